//! What was found true of somebody is known by label events alone, and no rule runs on those.

use super::Checker;
use crate::diagnostic::Message;
use crate::event::{FIELDS, FOUND_TRUE};
use crate::features::catalogue::over_labels;
use crate::rules::file::RuleFile;

impl Checker<'_> {
    /// Notes a condition that asks a transaction for what only labels say: it would never be
    /// evaluable. Says whether there was nothing to note.
    pub(super) fn check_truth(&mut self, file: &RuleFile) -> bool {
        let Some((text, ast)) = &file.when else { return true };
        let names = ast.expanded(&self.files.conditions).written_names();
        let of_labels = FOUND_TRUE.map(|field| FIELDS[field.index()].0);
        let asked = |name: &&str| names.contains(*name) && !file.params.values.contains_key(*name);
        let Some(name) = of_labels.iter().find(|name| asked(name)) else { return true };
        let message = Message::new(
            format!("`{name}` is known of label events alone, and no transaction is one"),
            format!("`{name}` 仅在标签事件中有值,而交易不是标签事件"),
        );
        self.fail("label-in-a-rule", &file.path, text.span(), message, Some(over_labels()));
        false
    }
}
