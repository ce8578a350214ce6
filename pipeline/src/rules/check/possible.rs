//! A rule hits only where its condition can be true on a kind of transaction that it looks at, and its
//! tests show something only of those.

use super::Checker;
use crate::diagnostic::Message;
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

    /// Notes what tests expect of events of a kind that the rule does not look at: that it misses
    /// there says nothing of its condition.
    pub(super) fn check_expectations(&mut self, file: &RuleFile) {
        for test in file.tests.iter().filter(|_| !file.on.is_empty()) {
            // Of lines with a mistake there are no events.
            let known = test.expect.iter().filter(|one| one.row < test.chunk.len());
            for expected in known {
                let kind = test.chunk.kind(expected.row);
                if file.on.contains(kind) {
                    continue;
                }
                let (event, kind, on) = (&expected.event, kind.name(), file.on.listed());
                let message = Message::new(
                    format!("`{event}` is a {kind}, and the rule looks at {on} only"),
                    format!("`{event}` 是 {kind},而该规则只检查 {on}"),
                );
                let hint = Message::new(
                    "expect something of an event that it looks at, or add the kind to `on`",
                    "请对其检查的事件写预期,或把该种类加入 `on`",
                );
                let span = expected.span.clone();
                self.fail("kind-not-looked-at", &file.path, span, message, Some(hint));
            }
        }
    }
}
