//! What is true of events, accounts and groups.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Group, Scheme, SchemeId, World};

/// What is true of an event, an account or a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// `event`, `account` or `group`.
    pub subject_kind: &'static str,
    /// Its id.
    pub subject_id: String,
    /// Whether it is fraud, else honest.
    pub fraud: bool,
    /// The typology, or the honest behaviour that resembles one.
    pub typology: Option<&'static str>,
    /// As what an account takes part; the type of an honest group.
    pub role: Option<&'static str>,
    /// When it becomes known, ms.
    pub known_at: Option<i64>,
    /// From when the evidence is complete, ms.
    pub detectable_from: Option<i64>,
}

/// The labels of a world, sorted by subject.
pub(super) fn of(world: &World) -> Vec<Label> {
    of_known(world, &BTreeSet::new())
}

/// The labels of a world in which some schemes are not known, sorted by subject.
pub(super) fn of_known(world: &World, missed: &BTreeSet<SchemeId>) -> Vec<Label> {
    let mut labels = BTreeMap::new();
    // Fraud first: a subject has one label, and what it did for a ring outweighs the rest.
    for fraud in [true, false] {
        of_accounts(world, missed, fraud, &mut labels);
        of_groups(world, missed, fraud, &mut labels);
    }
    let mut labels: Vec<Label> = labels.into_values().collect();
    labels.extend(of_events(world, missed));
    labels.sort_unstable();
    labels
}

fn of_events<'w>(
    world: &'w World,
    missed: &'w BTreeSet<SchemeId>,
) -> impl Iterator<Item = Label> + 'w {
    let known = |(_, _, scheme): &&(u64, i64, SchemeId)| !missed.contains(scheme);
    world.labelled.iter().filter(known).map(|&(event, time, scheme)| {
        let scheme = world.scheme(scheme);
        let known_at = time.max(scheme.detectable_from()) + scheme.known_after;
        label("event", world.names.event(event).as_str(), scheme, None, known_at)
    })
}

fn of_accounts(world: &World, missed: &BTreeSet<SchemeId>, fraud: bool, labels: &mut Labels) {
    for (at, scheme) in world.schemes.iter().enumerate() {
        if missed.contains(&SchemeId(at as u32)) {
            continue;
        }
        let known_at = scheme.detectable_from() + scheme.known_after;
        for &(account, role, guilty) in &scheme.roles {
            if guilty == fraud {
                let id = world.names.account(account);
                let mut label = label("account", id.as_str(), scheme, Some(role), known_at);
                label.fraud = guilty;
                insert(labels, label);
            }
        }
    }
}

fn of_groups(world: &World, missed: &BTreeSet<SchemeId>, fraud: bool, labels: &mut Labels) {
    for (at, info) in world.groups.iter().enumerate() {
        if info.scheme.is_some_and(|scheme| missed.contains(&scheme)) {
            continue;
        }
        let scheme = info.scheme.map(|scheme| world.scheme(scheme));
        if scheme.is_some_and(|scheme| scheme.fraud) != fraud {
            continue;
        }
        let id = world.names.group(Group(at as u32));
        let label = match scheme {
            Some(scheme) => {
                let role = (!scheme.fraud).then(|| info.kind.name());
                let known_at = scheme.detectable_from() + scheme.known_after;
                label("group", id.as_str(), scheme, role, known_at)
            }
            None => Label {
                subject_kind: "group",
                subject_id: id.as_str().to_owned(),
                fraud: false,
                typology: None,
                role: Some(info.kind.name()),
                known_at: None,
                detectable_from: None,
            },
        };
        insert(labels, label);
    }
}

/// Labels by kind and id of their subject.
type Labels = BTreeMap<(&'static str, String), Label>;

fn insert(labels: &mut Labels, label: Label) {
    labels.entry((label.subject_kind, label.subject_id.clone())).or_insert(label);
}

fn label(
    subject_kind: &'static str,
    subject_id: &str,
    scheme: &Scheme,
    role: Option<&'static str>,
    known_at: i64,
) -> Label {
    Label {
        subject_kind,
        subject_id: subject_id.to_owned(),
        fraud: scheme.fraud,
        typology: Some(scheme.name),
        role,
        known_at: Some(known_at),
        detectable_from: scheme.fraud.then(|| scheme.detectable_from()),
    }
}
