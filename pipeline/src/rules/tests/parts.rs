//! What stands in a rules directory and does not count is said, and what people leave there is not.

use std::path::Path;
use std::sync::Arc;

use super::mistakes::said;
use super::{directory, loaded, rule};
use crate::diagnostic::Failure;
use crate::event::Schema;
use crate::rules;

const LIST: &str = "value,valid_from,valid_until,added_by,reason\nu1,,,li,\n";

#[test]
fn what_would_be_passed_over_is_a_mistake() {
    let good = rule(&[]);
    let rows: [(&str, &str, &str, &str); 16] = [
        ("funds/new-one.TOML", &good, "unknown-file", "call it `new-one.toml`"),
        ("funds/new.toml.txt", &good, "unknown-file", "call it `new.toml`"),
        ("funds/new.tml", &good, "unknown-file", "call it `new.toml`"),
        ("policy.tml", "", "unknown-part", "did you mean `policy.toml`?"),
        ("funds/a/b/deep.toml", &good, "unknown-folder", "move the files"),
        ("wip/funds/deep2.toml", &good, "unknown-folder", "move the files"),
        ("policy.TOML", "", "unknown-part", "did you mean `policy.toml`?"),
        ("policy.toml.txt", "", "unknown-part", "did you mean `policy.toml`?"),
        ("Lists/vip.csv", LIST, "unknown-folder", "did you mean `lists`?"),
        ("Text/phrases/a.txt", "[own]\n扫雷\n", "unknown-folder", "did you mean `text`?"),
        ("text/phrase/a.txt", "[own]\n扫雷\n", "unknown-folder", "did you mean `phrases`?"),
        ("text/a.txt", "[own]\n扫雷\n", "unknown-file", "move the file there"),
        ("text/phrases/a.TXT", "[own]\n扫雷\n", "unknown-file", "call it `a.txt`"),
        ("text/phrases/b/a.txt", "[own]\n扫雷\n", "unknown-folder", "move the files"),
        ("lists/vip.txt", LIST, "unknown-file", "call it `vip.csv`"),
        ("lists/old/vip.csv", LIST, "unknown-folder", "move the files"),
    ];
    for (path, text, code, hint) in rows {
        let found = said(&[(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {found:#?}");
        assert!(found[0].starts_with(code) && found[0].contains(hint), "{path}: {found:#?}");
    }
}

#[test]
fn what_people_leave_beside_rules_is_none() {
    let good = rule(&[]);
    loaded(&[
        ("README.md", ""),
        ("rule.schema.json", "{}"),
        (".git/config.toml", ""),
        ("notes/todo.txt", ""),
        ("funds/README.md", ""),
        ("funds/.old.toml", "x"),
        ("funds/x.toml", &good),
        ("funds/x.toml~", "x"),
        ("lists/vip.csv", LIST),
        ("lists/vip.csv~", LIST),
        ("lists/README.md", ""),
        ("text/phrases/README.md", ""),
        ("text/phrases/a.txt", "[own]\n扫雷\n"),
    ]);
}

/// A link to nothing is not an absent file.
#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_a_mistake() {
    for path in ["policy.toml", "funds/x.toml", "lists/vip.csv", "funds/README.md"] {
        let directory = directory(&[("funds/a.toml", &rule(&[])), ("lists/b.csv", LIST)]);
        std::os::unix::fs::symlink("nowhere", directory.path().join(path)).unwrap();
        let Err(Failure::Input(found, _)) =
            rules::load(Some(directory.path()), &Arc::new(Schema::default()))
        else {
            panic!("{path}: nothing was found")
        };
        let told: Vec<(&str, &Path)> =
            found.iter().map(|one| (one.code, one.file.as_path())).collect();
        assert_eq!(told, [("unreadable", directory.path().join(path).as_path())]);
    }
}
