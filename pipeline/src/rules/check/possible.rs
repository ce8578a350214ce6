//! A rule hits only where its condition can be true on a kind of transaction that it looks at.

use super::Checker;
use crate::rules::file::RuleFile;

impl Checker<'_> {
    /// Notes a condition, which has been compiled, that no event can meet that the rule looks at: it
    /// asks for another kind, or for what those do not have.
    pub(super) fn check_possible(&mut self, file: &RuleFile) {
        let Some((text, ast)) = file.when.as_ref().filter(|_| !file.on.is_empty()) else { return };
        let names = ast.expanded(&self.files.conditions).written_names();
        if names.iter().any(|name| self.broken.contains(name)) {
            return;
        }
        let never = self.catalogue.never_true(ast, file.on, &self.files.conditions);
        self.fail_in_rule(file, text, never.into_iter().collect());
    }
}
