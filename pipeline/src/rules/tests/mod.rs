//! Tests of a rules directory as a whole.

mod definitions;
mod hash;
mod mistakes;
mod parts;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Loaded, load};
use crate::diagnostic::{Failure, Lang};
use crate::event::Schema;

/// The features of these tests.
pub(crate) const FEATURES: &str = "\
[funds.payee.fan_in_24h]
over = [\"claim\", \"transfer\"]
key = [\"payee_id\"]
agg = \"sum\"
window = \"24h\"
unit = \"fen\"
[funds.payee.groups_24h]
over = [\"claim\", \"transfer\"]
key = [\"payee_id\"]
agg = \"distinct\"
field = \"group_id\"
window = \"24h\"
[behaviour.pace]
over = [\"claim\"]
key = [\"account_id\"]
agg = \"mean\"
window = \"1h\"
[behaviour.gap]
over = [\"claim\"]
key = [\"account_id\"]
agg = \"since_last\"
window = \"1d\"
unit = \"ms\"
";

/// A rule file that is right, with lines put in place of those with the same key or added.
pub(crate) fn rule(lines: &[&str]) -> String {
    let mut held: BTreeMap<usize, String> = BTreeMap::new();
    let whole = [
        "title = \"T\"",
        "status = \"live\"",
        "on = [\"claim\"]",
        "when = \"amount_fen >= 1\"",
        "score = 100",
        "reason = \"r\"",
    ];
    let key = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
    held.extend(whole.iter().map(|line| (*line).to_owned()).enumerate());
    for line in lines {
        let at = whole.iter().position(|held| key(held) == key(line)).unwrap_or(held.len());
        held.insert(at, (*line).to_owned());
    }
    held.into_values().map(|line| line + "\n").collect()
}

/// A rules directory with these files.
pub(super) fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

pub(super) fn try_load(files: &[(&str, &str)]) -> Result<Loaded, Failure> {
    load(Some(directory(files).path()), &Arc::new(Schema::default()))
}

/// A group's type may be called as the attributes of a group are, wherever a name may stand, and is the
/// same thing.
#[test]
fn a_groups_type_has_a_short_name() {
    let rules = |name: &str| {
        let when = format!("when = \"amount_fen >= least && ({name} ?? '') != 'family'\"");
        let params =
            format!("[params]\nleast = 1\n[params.by.\"{name}\"]\nbusiness = {{ least = 2 }}");
        let reason = format!("reason = \"in a group of {{{name}}}\"");
        loaded(&[("funds/in-a-group.toml", &rule(&[&when, &reason, &params]))])
    };
    let (short, full) = (rules("group.type"), rules("social.group.type"));
    let columns = |loaded: &Loaded| {
        let columns = loaded.features.columns().iter();
        columns.map(|(name, kind, _)| (name.clone(), *kind)).collect::<Vec<_>>()
    };
    assert_eq!(columns(&short), columns(&full));
    assert!(!columns(&short).iter().any(|(name, _)| name == "group.type"));
}

/// The directory loaded, which must have no mistake.
pub(crate) fn loaded(files: &[(&str, &str)]) -> Loaded {
    try_load(files).unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)))
}
