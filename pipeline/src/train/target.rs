//! `[target]` of a config: what a model tells apart that is no fraud, such as the types of groups.

use models::CLASSES_MAX;
use toml::de::DeTable;

use crate::diagnostic::Message;
use crate::document::{Reader, Text};
use crate::judge::{Label, Labels, Subject};

/// Of whom there are classes, and which labels make each.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Whose labels they are.
    pub subject: TargetSubject,
    /// Each class with the roles and typologies that it takes; `*` stands for any characters.
    pub classes: Vec<(String, Vec<Text>)>,
}

/// Who can be of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSubject {
    /// The group of a transaction.
    Group,
    /// The account that acts.
    Account,
}

impl TargetSubject {
    /// The subjects with their names.
    pub(super) const ALL: [(&'static str, TargetSubject); 2] =
        [("group", TargetSubject::Group), ("account", TargetSubject::Account)];

    /// The field of a transaction that names it.
    pub fn field(self) -> &'static str {
        match self {
            TargetSubject::Group => "group_id",
            TargetSubject::Account => "account_id",
        }
    }

    fn of_labels(self) -> Subject {
        match self {
            TargetSubject::Group => Subject::Group,
            TargetSubject::Account => Subject::Account,
        }
    }
}

impl Target {
    pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Target> {
        let table = reader.table(root, "target")?;
        reader.known_keys(table, &["subject", "classes"]);
        let subject = match reader.string(table, "subject") {
            Some(text) => reader.choice("subject", &text, &TargetSubject::ALL)?,
            None => TargetSubject::Group,
        };
        let span = root.get("target").map_or(0..0, toml::Spanned::span);
        reader.required_keys(table, span.clone(), &["classes"]);
        let mut classes = Vec::new();
        let named = reader.table(table, "classes")?;
        for (name, _) in named {
            let patterns = reader.strings(named, name.get_ref())?;
            classes.push((name.get_ref().to_string(), patterns));
        }
        classes.sort_by(|a, b| a.0.cmp(&b.0));
        if !(2..=CLASSES_MAX).contains(&classes.len()) {
            let message = Message::new(
                format!(
                    "there are {} classes; a model tells 2 to {CLASSES_MAX} apart",
                    classes.len()
                ),
                format!("有 {} 个类别;模型可区分 2 至 {CLASSES_MAX} 个", classes.len()),
            );
            reader.fail("number-of-classes", span, message, None);
            return None;
        }
        Some(Target { subject, classes })
    }

    /// The names of the classes.
    pub(super) fn names(&self) -> Vec<String> {
        self.classes.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The class of a subject, by the role that its label gives, else by the typology; none where
    /// it has no label, or one of no class.
    pub(super) fn class(&self, labels: &Labels, id: &str) -> Option<u32> {
        let Label { role, typology, .. } = labels.get(self.subject.of_labels(), id)?;
        let role = role.map(|at| labels.roles()[usize::from(at)].as_str());
        let typology = typology.map(|at| labels.typologies()[usize::from(at)].as_str());
        let of = |name: &str| {
            let takes = |(_, patterns): &(String, Vec<Text>)| {
                patterns.iter().any(|pattern| super::selection::matches(pattern.get_ref(), name))
            };
            self.classes.iter().position(takes).map(|at| at as u32)
        };
        role.and_then(of).or_else(|| typology.and_then(of))
    }
}
