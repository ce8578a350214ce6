//! A list that something takes for a calendar holds days.

use std::collections::BTreeSet;

use super::Checker;
use crate::expr;
use crate::features::declare::{Body, Windowed};
use crate::rules::files::LISTS;
use crate::rules::lists;

impl Checker<'_> {
    /// Notes what is no day in the lists that conditions, rules and features ask for days.
    pub(super) fn calendars(&mut self) {
        let mut used = BTreeSet::new();
        let asts = self.files.rules.iter().filter_map(|file| file.when.as_ref());
        for ast in asts.map(|(_, ast)| ast).chain(self.files.conditions.values()) {
            used.extend(ast.calendars());
        }
        for declaration in &self.files.declarations.list {
            let source = match &declaration.body {
                Body::Expr { source, .. } => source,
                Body::Windowed(Windowed { where_: Some((source, _)), .. }) => source,
                _ => continue,
            };
            used.extend(expr::parse(source).map(|ast| ast.calendars()).unwrap_or_default());
        }
        for name in used.iter().filter(|name| self.files.lists.contains_key(*name)) {
            let path = self.files.directory.join(LISTS).join(format!("{name}.csv"));
            let wrong = lists::no_days(&path, self.text_of(&path));
            self.found.extend(wrong);
        }
    }
}
