//! What was found true of somebody is known by label events alone, and no rule runs on those.

use super::Checker;
use crate::diagnostic::Message;
use crate::event::{FIELDS, FOUND_TRUE};
use crate::rules::file::RuleFile;

impl Checker<'_> {
    /// Notes a condition that asks a transaction for what only labels say: it would never be
    /// evaluable.
    pub(super) fn check_truth(&mut self, file: &RuleFile) {
        let Some((text, ast)) = &file.when else { return };
        let names = ast.expanded(&self.files.conditions).written_names();
        let of_labels = FOUND_TRUE.map(|field| FIELDS[field.index()].0);
        let asked = |name: &&str| names.contains(*name) && !file.params.values.contains_key(*name);
        let Some(name) = of_labels.iter().find(|name| asked(name)) else { return };
        let message = Message::new(
            format!("`{name}` is known of label events alone, and no transaction is one"),
            format!("`{name}` 仅在标签事件中有值,而交易不是标签事件"),
        );
        let hint = Message::new(
            "declare a feature over labels: over = [\"label\"], where = \"label == 'fraud'\"",
            "请声明基于标签的特征:over = [\"label\"], where = \"label == 'fraud'\"",
        );
        self.fail("label-in-a-rule", &file.path, text.span(), message, Some(hint));
    }
}
