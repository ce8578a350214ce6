//! What the tests of changes are given: rules in short, logs with changes, and what runs wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use arrow::array::Array;
use arrow::util::display::array_value_to_string;
use hongxian::diagnostic::Lang;
use hongxian::run::Outcome;
use serde_json::{Value, json};

use crate::digest::read_parquet;
use crate::input_log::{Log, log_at, ran};

/// A file of a rules directory: its path, and its text.
pub(super) type File = (&'static str, String);

/// A feature: its name, and the rest of its table.
pub(super) type Declared = (&'static str, &'static str);

pub(super) const COUNT: Declared =
    ("t.count", "over = ['claim', 'message']\nkey = ['account_id']\nagg = 'count'\nwindow = '10m'");
pub(super) const COUNT_SHORTER: Declared =
    ("t.count", "over = ['claim', 'message']\nkey = ['account_id']\nagg = 'count'\nwindow = '3m'");
pub(super) const SUM: Declared =
    ("t.sum", "over = ['claim']\nkey = ['counterparty_id']\nagg = 'sum'\nwindow = '5m'");
pub(super) const LAST: Declared = (
    "t.last",
    "over = ['claim']\nkey = ['account_id']\nagg = 'last'\nfield = 'event_id'\nwindow = '2m'\n\
     include_current = false",
);
pub(super) const FIRST: Declared = (
    "t.first",
    "over = ['claim']\nkey = ['account_id']\nagg = 'first'\nfield = 'event_id'\nwindow = '4m'",
);
pub(super) const RATIO: Declared =
    ("t.ratio", "over = ['claim']\nkey = ['account_id']\nagg = 'ratio_to_mean'\nwindow = '6m'");
pub(super) const SHARE: Declared = (
    "t.share",
    "over = ['claim']\nkey = ['counterparty_id']\nagg = 'top_share'\nfield = 'account_id'\n\
     window = '7m'",
);
pub(super) const TODAY: Declared = (
    "t.today",
    "over = ['claim']\nkey = ['counterparty_id']\nagg = 'distinct'\nfield = 'account_id'\n\
     window = 'day'",
);
/// Conditions that only some of the rules have.
pub(super) const SOME: Declared = (
    "t.some",
    "over = ['claim']\nwhere = \"account_id != 'u1'\"\nkey = ['counterparty_id']\nagg = 'count'\n\
     window = '8m'",
);
pub(super) const SOME_OTHERS: Declared = (
    "t.some",
    "over = ['claim']\nwhere = \"account_id != 'u2'\"\nkey = ['counterparty_id']\nagg = 'count'\n\
     window = '8m'",
);
pub(super) const ONE: Declared = (
    "t.one",
    "over = ['claim']\nwhere = \"account_id == 'u0'\"\nkey = ['counterparty_id']\nagg = 'last'\n\
     field = 'event_id'\nwindow = '9m'",
);
pub(super) const TWICE: Declared = ("t.twice", "expr = 't.count * 2'");

/// A rules directory in short.
pub(super) struct Rules {
    pub(super) features: &'static [Declared],
    pub(super) policy: &'static str,
    /// Id, status, score, condition, and the feature that it uses.
    pub(super) rules: &'static [(&'static str, &'static str, i64, &'static str, &'static str)],
}

/// Rules that share features, have others of the same name, and each some of their own.
pub(super) const RULES: [Rules; 3] = [
    Rules {
        features: &[COUNT, SUM, RATIO, ONE, TWICE],
        policy: "",
        rules: &[
            ("big", "live", 200, "t.ratio > 0.9", "t.ratio"),
            ("many", "live", 400, "t.count >= 3", "t.count"),
            ("total", "shadow", 100, "t.sum >= 300", "t.sum"),
        ],
    },
    Rules {
        features: &[LAST, COUNT_SHORTER, TODAY, SUM, SOME, TWICE],
        policy: "[bands]\nreview = 100\n",
        rules: &[
            ("again", "live", 300, "t.last != event_id", "t.last"),
            ("few", "shadow", 200, "t.today >= 2", "t.today"),
            ("many", "live", 500, "t.twice >= 4", "t.twice"),
            ("total", "live", 150, "t.sum >= 200", "t.sum"),
        ],
    },
    Rules {
        features: &[RATIO, COUNT, FIRST, SHARE, ONE, SOME_OTHERS],
        policy: "language = 'zh'\n[bands]\nreview = 50\nhold = 160\n",
        rules: &[
            ("many", "live", 150, "t.count >= 2", "t.count"),
            ("old", "live", 60, "t.first != event_id", "t.first"),
            ("share", "shadow", 20, "t.share >= 0.5", "t.share"),
        ],
    },
];

pub(super) fn declared(features: &[Declared]) -> File {
    let table = |(name, body): &Declared| format!("[{name}]\n{body}\ndoc = 'x'\n");
    ("features.toml", features.iter().map(table).collect())
}

pub(super) fn rule(path: &'static str, status: &str, score: i64, when: &str) -> File {
    let text = format!(
        "title = 'x'\nstatus = '{status}'\non = ['claim']\nwhen = \"{when}\"\nscore = {score}\n\
         reason = 'hit'\nreason_zh = '命中'\n"
    );
    (path, text)
}

impl Rules {
    pub(super) fn files(&self) -> Vec<File> {
        let mut files = vec![declared(self.features), ("policy.toml", self.policy.to_owned())];
        for (id, status, score, when, _) in self.rules {
            let (_, text) = rule("", status, *score, when);
            files.push((format!("funds/{id}.toml").leak(), text));
        }
        files
    }

    pub(super) fn has(&self, name: &str) -> Option<&'static str> {
        self.features.iter().find(|(held, _)| *held == name).map(|(_, body)| *body)
    }
}

pub(super) fn write_rules(directory: &Path, files: &[File]) {
    fs::create_dir_all(directory).unwrap();
    for (path, text) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A log with rules in it: `rules-0` and so on.
pub(super) fn written(log: &Log, rules: &[Vec<File>]) -> tempfile::TempDir {
    let directory = log.write();
    for (at, files) in rules.iter().enumerate() {
        write_rules(&directory.path().join(format!("rules-{at}")), files);
    }
    directory
}

pub(super) fn change(time: i64, rules: usize) -> String {
    format!(
        "{}\n",
        json!({"kind": "change", "effective_time": time, "rules": format!("rules-{rules}")})
    )
}

/// The same as a stream writes it: what the rules bring had been worked out before.
pub(super) fn backfilled(time: i64, rules: usize) -> String {
    change(time, rules).replace('}', ",\"backfilled\":true}")
}

/// What a run wrote.
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    /// The decisions, in total order.
    pub(super) lines: Vec<Value>,
    /// The features of each, by name; null is empty.
    pub(super) features: Vec<BTreeMap<String, String>>,
    pub(super) directory: tempfile::TempDir,
}

/// Runs a log from `rules-{first}` on.
pub(super) fn run(log: &tempfile::TempDir, first: usize, cut: (usize, i64, usize)) -> Ran {
    let rules = log.path().join(format!("rules-{first}"));
    let (outcome, directory) = match ran(log_at(log), Some(rules), cut) {
        Ok(ran) => ran,
        Err(failure) => panic!("{}", failure.render(Lang::En, false)),
    };
    let mut text = String::new();
    let decisions = read_parquet(&directory.path().join("decisions.parquet"));
    hongxian::sink::lines::write(&decisions, &mut text).unwrap();
    let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
    assert_eq!(digest, outcome.facts.decisions_digest, "the digest is of what is written");
    let table = read_parquet(&directory.path().join("features.parquet"));
    let schema = table.schema();
    let row = |row: usize| {
        let value = |(at, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
            let column = table.column(at);
            let text = array_value_to_string(column, row).unwrap();
            let text = if column.is_null(row) { String::new() } else { text };
            (field.name().clone(), text)
        };
        schema.fields().iter().enumerate().map(value).collect()
    };
    let features = (0..table.num_rows()).map(row).collect();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Ran { outcome, lines, features, directory }
}

impl Ran {
    pub(super) fn line(&self, id: &str) -> &Value {
        self.lines.iter().find(|line| line["event_id"] == id).unwrap()
    }

    /// The values of a feature by event.
    pub(super) fn feature(&self, name: &str) -> Vec<(&str, &str)> {
        self.features.iter().map(|row| (row["event_id"].as_str(), row[name].as_str())).collect()
    }

    pub(super) fn count_of(&self, what: &[hongxian::report::NamedCount]) -> BTreeMap<String, u64> {
        what.iter().map(|one| (one.name.clone(), one.count)).collect()
    }
}
