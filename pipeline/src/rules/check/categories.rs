//! A category of phrases that nothing reads, with nearly the name of another, is probably a slip.

use std::collections::BTreeSet;
use std::path::Path;

use super::Checker;
use crate::diagnostic::{Diagnostic, Message, Severity, did_you_mean, did_you_mean_hint};
use crate::features::declare::Body;
use crate::features::text;

/// From so many slips of the keyboard on, a name is another name.
const SLIPS_MAX: usize = 2;

impl Checker<'_> {
    /// Notes categories that no file reads and whose name is nearly that of one that is read or
    /// always there. A category of one's own may well be for `text scan` alone, so that others
    /// are left alone, and these are no errors.
    pub(super) fn categories(&mut self) {
        let categories = self.files.lexicon.categories();
        let meant: Vec<&str> = categories
            .iter()
            .map(String::as_str)
            .filter(|name| text::has_always(name) || self.is_read(name))
            .collect();
        let folder = self.files.phrases_folder();
        let mut told = BTreeSet::new();
        let mut found = Vec::new();
        for (path, file) in self.files.sources.texts() {
            if !path.starts_with(&folder) {
                continue;
            }
            for (name, span) in text::categories_named(file) {
                if meant.contains(&&*name) || told.contains(&name) {
                    continue;
                }
                let near = did_you_mean(&name, meant.iter().copied())
                    .filter(|near| strsim::damerau_levenshtein(&name, near) <= SLIPS_MAX);
                let Some(near) = near else { continue };
                let message = Message::new(
                    format!("nothing reads the category `{name}`"),
                    format!("没有任何规则、条件或特征使用类别 `{name}`"),
                );
                let hint = did_you_mean_hint(&name, [&*near]);
                let wrong = Diagnostic::error("unread-category", path, Some(span), message);
                let wrong = Diagnostic { severity: Severity::Warning, ..wrong };
                found.push(wrong.with_hint(hint));
                told.insert(name);
            }
        }
        self.found.extend(found);
    }

    /// Whether a rule, condition, feature or policy names a feature of the category, or a model
    /// reads one. A mention is enough: what is meant to be read is no slip.
    fn is_read(&self, category: &str) -> bool {
        let (feature, weight) = (format!("text.{category}"), format!("text.{category}_weight"));
        let is_toml = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
        let mut files = self.files.sources.texts().filter(|(path, _)| is_toml(path));
        let by_model = |body: &Body| match body {
            Body::Learnt { learnt, .. } => {
                let names = learnt.names();
                names.contains(&feature) || names.contains(&weight)
            }
            _ => false,
        };
        files.any(|(_, text)| mentions(text, &feature) || mentions(text, &weight))
            || self.files.declarations.list.iter().any(|one| by_model(&one.body))
    }
}

/// Whether a text holds a name as a whole.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        !text[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    })
}
