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
    /// Each class with the roles and typologies that it takes, or both as `typology/role`; `*`
    /// stands for any characters.
    pub classes: Vec<(String, Vec<Text>)>,
    /// The class of subjects without a label, by its place; none: they take no part.
    pub others: Option<u32>,
    /// Whether a subject is of a class only where it acts so: on days with a transaction that a
    /// label calls fraud, of which the last of each kind takes part. Subjects of the class `others`
    /// are on all.
    pub labelled_acts: bool,
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
        reader.known_keys(table, &["subject", "others", "labelled_acts", "classes"]);
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
        let places: Vec<(&str, u32)> =
            classes.iter().zip(0..).map(|((name, _), at)| (name.as_str(), at)).collect();
        let others = match reader.string(table, "others") {
            Some(text) => Some(reader.choice("others", &text, &places)?),
            None => None,
        };
        let labelled_acts = reader.boolean(table, "labelled_acts").unwrap_or(false);
        Some(Target { subject, classes, others, labelled_acts })
    }

    /// The names of the classes.
    pub(super) fn names(&self) -> Vec<String> {
        self.classes.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The class of a subject: by the typology and role of its label together, else by the role,
    /// else by the typology. None where its label is of no class, or it has none and `others` is
    /// not said.
    pub(super) fn class(&self, labels: &Labels, id: &str) -> Option<u32> {
        let Some(label) = labels.get(self.subject.of_labels(), id) else { return self.others };
        let Label { role, typology, .. } = label;
        let role = role.map(|at| labels.roles()[usize::from(at)].as_str());
        let typology = typology.map(|at| labels.typologies()[usize::from(at)].as_str());
        let both = typology.zip(role).map(|(typology, role)| format!("{typology}/{role}"));
        [both.as_deref(), role, typology].into_iter().flatten().find_map(|name| self.takes(name))
    }

    /// Whether a transaction is one in which its account acts as its class does.
    pub(super) fn is_act(&self, labels: &Labels, event: &str) -> bool {
        self.labelled_acts && labels.get(Subject::Event, event).is_some_and(|label| label.fraud)
    }

    /// The class that takes a name; a pattern with `/` is of both names, and of no other.
    fn takes(&self, name: &str) -> Option<u32> {
        let fits = |pattern: &Text| {
            let pattern = pattern.get_ref();
            pattern.contains('/') == name.contains('/') && super::selection::matches(pattern, name)
        };
        let takes = |(_, patterns): &(String, Vec<Text>)| patterns.iter().any(fits);
        self.classes.iter().position(takes).map(|at| at as u32)
    }
}
