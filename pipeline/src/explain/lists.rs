//! Lists that name a part of a transaction.

use std::path::Path;

use serde::Serialize;

use crate::rules::{Loaded, lists};

/// An entry of a list that names a part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The list.
    pub list: String,
    /// The value.
    pub value: String,
    /// The fields of the transaction that have it; `event_time` for a day of a calendar.
    pub fields: Vec<String>,
    /// From when on it is valid, as the list says; empty without bound.
    pub valid_from: String,
    /// Until when it is valid, as the list says; empty without bound.
    pub valid_until: String,
    /// Whether it was valid at the time of the transaction.
    pub in_force: bool,
    /// Who added it.
    pub added_by: String,
    /// Why.
    pub reason: String,
}

/// The entries of all lists that have one of the `values`, each of which is of a field.
pub(super) fn listed(
    directory: &Path,
    loaded: &Loaded,
    values: &[(String, String)],
    time: i64,
) -> Vec<Listed> {
    let zone = &loaded.vocabulary.zone;
    let mut found = Vec::new();
    for (name, list) in &loaded.vocabulary.lists {
        let named: Vec<(&String, &String, &str)> = values
            .iter()
            .filter_map(|(field, held)| Some((field, held, list.value(held)?)))
            .collect();
        if named.is_empty() {
            continue;
        }
        let path = directory.join("lists").join(format!("{name}.csv"));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for entry in lists::entries(&text, zone) {
            let of = named.iter().filter(|(_, _, value)| *value == entry.value);
            let fields: Vec<String> = of.clone().map(|(field, ..)| (*field).clone()).collect();
            // As the transaction has it, which may be a pseudonym.
            let Some(value) = of.map(|(_, held, _)| (*held).clone()).next() else { continue };
            found.push(Listed {
                list: name.clone(),
                fields,
                in_force: entry.from <= time && time < entry.until,
                value,
                valid_from: entry.valid_from,
                valid_until: entry.valid_until,
                added_by: entry.added_by,
                reason: entry.reason,
            });
        }
    }
    found
}
