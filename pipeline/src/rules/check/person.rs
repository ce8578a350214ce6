//! Age and region never add to a score by themselves.

use super::Checker;
use crate::diagnostic::Message;
use crate::rules::file::RuleFile;

impl Checker<'_> {
    /// Notes a rule that runs and whose condition, which has been compiled, reads nothing but age
    /// bands and regions.
    pub(super) fn check_person_alone(&mut self, file: &RuleFile) {
        let Some((text, ast)) = file.when.as_ref().filter(|_| file.status.runs()) else { return };
        let mut names = ast.expanded(&self.files.conditions).written_names();
        names.retain(|name| !file.params.values.contains_key(name));
        if !self.catalogue.is_of_person_alone(names, &self.files.conditions) {
            return;
        }
        let message = Message::new(
            "age and region never decide by themselves, and this condition reads nothing else",
            "年龄和地区本身不得作为判定依据,而该条件没有读取其他信息",
        );
        let hint = Message::new(
            "ask for what is done too; a rule of status \"draft\" may stay as it is",
            "请同时要求具体行为;状态为 \"draft\" 的规则可保留",
        );
        self.fail("age-or-region-alone", &file.path, text.span(), message, Some(hint));
    }
}
