//! `hongxian train`, by the program itself: what it learns from against a table that is built here
//! in plain lines from the files of the run, the parts against counts over the events, and every
//! input that cannot be learnt from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use models::{Codes, Column, Identity, Kind, Model, Table, TrainConfig, Work};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::interrupt::press_ctrl_c;

mod kinds;

/// 2024-03-01T00:00:00+08:00.
const START: i64 = 1_709_222_400_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const DAYS: i64 = 30;
/// Transfers of a day: one an account of each of the rings.
const RINGS: i64 = 26;
const MEMBERS: i64 = 3;

const FEATURES: &str = r#"
[behaviour.paid_3d]
over   = ["transfer"]
key    = ["account_id"]
agg    = "sum"
window = "3d"
doc    = "paid"

[behaviour.mean_7d]
over   = ["transfer"]
key    = ["account_id"]
agg    = "mean"
window = "7d"
include_current = false
doc    = "mean of the payments before"

[behaviour.night]
expr = "hour(event_time) < 6"
doc  = "at night"

[behaviour.level]
expr = "amount_fen * 0 + 1"
doc  = "always one"

[funds.size]
expr = "amount_fen >= 60000 ? 'large' : amount_fen >= 20000 ? 'medium' : 'small'"
doc  = "in a word"

[devices.own]
expr = "device_id ?? 'none'"
doc  = "the device"
"#;

/// The config of most tests, with times that are said.
const CONFIG: &str = r#"
seed = 3
[model]
kind = "forest"
trees = 12
depth_max = 6
[features]
coded = ["funds.size"]
[split]
train_from = "2024-03-03"
test_from = "2024-03-22T00:00:00+08:00"
test_until = 2024-03-30
label_delay = "4d"
[calibration]
method = "none"
[judge]
replicates = 20
importance_repeats = 1
"#;

/// A transfer and what is true of it.
struct Transfer {
    id: String,
    time: i64,
    account: String,
    ring: String,
    fen: i64,
    fraud: bool,
    known_at: i64,
}

/// Transfers of thirty days; large ones are mostly fraud, and frauds become known after one to six
/// days.
fn transfers() -> Vec<Transfer> {
    let mut state = 7_u64;
    let mut random = |below: i64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below as u64) as i64
    };
    let mut transfers = Vec::new();
    for day in 0..DAYS {
        for at in 0..RINGS * MEMBERS {
            let (ring, member) = (at / MEMBERS, at % MEMBERS);
            let fen = 1_000 + random(100) * random(1_000);
            let fraud = fen + random(20_000) > 65_000 || random(60) == 0;
            let time = START + day * DAY + random(DAY);
            transfers.push(Transfer {
                id: format!("t{day:02}-{at:02}"),
                time,
                account: format!("u{ring}-{member}"),
                ring: format!("d{ring}"),
                fen,
                fraud,
                known_at: time + DAY + random(5 * DAY),
            });
        }
    }
    transfers.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    transfers
}

fn labels(transfers: &[Transfer]) -> String {
    let mut csv = "subject_kind,subject_id,label,typology,known_at\n".to_owned();
    for (at, one) in transfers.iter().enumerate() {
        // Some honest ones are not labelled at all.
        if one.fraud {
            let typology = ["mule", "takeover"][at % 2];
            writeln!(csv, "event,{},fraud,{typology},{}", one.id, one.known_at).unwrap();
        } else if at % 3 > 0 {
            writeln!(csv, "event,{},honest,,", one.id).unwrap();
        }
    }
    csv
}

/// A directory with the transfers decided, their labels and the config.
fn decided() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let transfers = transfers();
    let mut events =
        "event_id,event_time,kind,account_id,counterparty_id,amount_fen,device_id\n".to_owned();
    for one in &transfers {
        let Transfer { id, time, account, ring, fen, .. } = one;
        writeln!(events, "{id},{time},transfer,{account},shop,{fen},{ring}").unwrap();
    }
    fs::create_dir(path.join("rules")).unwrap();
    fs::write(path.join("rules/features.toml"), FEATURES).unwrap();
    fs::write(path.join("rules/policy.toml"), "[features]\ncolumns = 'used'\n").unwrap();
    fs::write(path.join("events.csv"), events).unwrap();
    fs::write(path.join("labels.csv"), labels(&transfers)).unwrap();
    fs::write(path.join("train.toml"), CONFIG).unwrap();
    let done = hongxian(path, &["backtest", "events.csv", "--rules=rules", "--out=run"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    directory
}

fn hongxian(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(directory).args(arguments);
    if !arguments.contains(&"--lang=zh") {
        command.arg("--lang=en");
    }
    command.output().unwrap()
}

const TRAIN: [&str; 4] = ["train", "run", "--labels=labels.csv", "--config=train.toml"];

/// Ctrl-C ends a training that takes long, and leaves the model that was there as it was.
#[test]
fn an_interrupted_training_leaves_the_model_that_was_there() {
    let directory = decided();
    let path = directory.path();
    trained(path, &["--out=model"]);
    let files = || {
        let listed = fs::read_dir(path.join("model")).unwrap();
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.clone(), fs::read(path).unwrap())
        };
        listed.map(read).collect::<BTreeMap<_, _>>()
    };
    let before = files();
    // A thousand trees, and each input is shuffled a hundred times.
    let long = CONFIG.replace("trees = 12", "trees = 1000").replace("repeats = 1", "repeats = 100");
    fs::write(path.join("long.toml"), long).unwrap();
    let mut after = Duration::from_millis(200);
    for out in ["model", "new"] {
        loop {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
            command.current_dir(path).args(["train", "run", "--labels=labels.csv"]);
            command.args(["--config=long.toml", "--force"]).arg(format!("--out={out}"));
            let mut training = command.stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(after);
            press_ctrl_c(&training);
            let ended = training.wait().unwrap();
            // The signal may come before the program listens to any.
            if ended.code().is_some() {
                assert_eq!(ended.code(), Some(130));
                break;
            }
            after *= 2;
        }
    }
    assert_eq!(files(), before);
    assert!(!path.join("new").exists());
}

fn trained(directory: &Path, more: &[&str]) -> String {
    let done = hongxian(directory, &[&TRAIN, more].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What a command says that must fail with exit code 2.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let done = hongxian(directory, arguments);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(!directory.join("refused").exists(), "{arguments:?} leaves something behind");
    said
}

fn parquet(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn numbers(column: &ArrayRef) -> Vec<Option<f64>> {
    let column = cast(column, &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().collect()
}

fn texts(column: &ArrayRef) -> Vec<String> {
    let column = cast(column, &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|text| text.unwrap_or("").to_owned()).collect()
}

/// The scores file by event: fraud, score, raw.
fn scores(path: &Path) -> BTreeMap<String, (bool, i64, i64)> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let row = |row: csv::StringRecord| {
        (row[0].to_owned(), (&row[1] == "1", row[2].parse().unwrap(), row[3].parse().unwrap()))
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// The times of the config, in ms.
struct Times {
    train_from: i64,
    train_until: i64,
    test_from: i64,
    test_until: i64,
}

const TIMES: Times = Times {
    train_from: START + 2 * DAY,
    train_until: START + 17 * DAY,
    test_from: START + 21 * DAY,
    test_until: START + 29 * DAY,
};

/// The table in plain lines: what features.parquet holds of the rows, and what the labels say.
fn table(directory: &Path) -> (Vec<String>, Table) {
    let decisions = parquet(&directory.join("run/decisions.parquet"));
    let features = parquet(&directory.join("run/features.parquet"));
    let ids = texts(decisions.column_by_name("event_id").unwrap());
    assert_eq!(ids, texts(features.column_by_name("event_id").unwrap()));
    let of = |batch: &RecordBatch, name: &str| numbers(batch.column_by_name(name).unwrap());
    let transfers = transfers();
    let by_id: BTreeMap<&str, &Transfer> = transfers.iter().map(|one| (&*one.id, one)).collect();
    let takes_part =
        |id: &String| (TIMES.train_from..TIMES.test_until).contains(&by_id[id.as_str()].time);
    let kept: Vec<usize> = (0..ids.len()).filter(|at| takes_part(&ids[*at])).collect();
    let pick = |values: Vec<Option<f64>>| kept.iter().map(|at| values[*at]).collect::<Vec<_>>();
    let sizes = texts(features.column_by_name("funds.size").unwrap());
    let is = |size: &str| sizes.iter().map(|own| Some(f64::from(u8::from(own == size)))).collect();
    let all_transfers = vec![Some(1.0); ids.len()];
    let mut rows = vec![
        ("behaviour.level", Kind::Integer, of(&features, "behaviour.level")),
        ("behaviour.mean_7d", Kind::Double, of(&features, "behaviour.mean_7d")),
        ("behaviour.night", Kind::Bool, of(&features, "behaviour.night")),
        ("behaviour.paid_3d", Kind::Integer, of(&features, "behaviour.paid_3d")),
        ("amount_fen", Kind::Integer, of(&decisions, "amount_fen")),
        ("kind=transfer", Kind::Bool, all_transfers),
        ("funds.size=large", Kind::Bool, is("large")),
        ("funds.size=medium", Kind::Bool, is("medium")),
        ("funds.size=small", Kind::Bool, is("small")),
    ];
    // Features come first, in the order of the file.
    let place = |name: &str| features.schema().index_of(name).unwrap_or(usize::MAX);
    rows.sort_by_key(|(name, ..)| place(name));
    let column = |(name, kind, values)| Column::new(name, pick(values)).of_kind(kind);
    let columns = rows.into_iter().map(column).collect();
    let truth = |at: &usize| {
        let one = by_id[ids[*at].as_str()];
        one.fraud && (one.time >= TIMES.test_from || one.known_at <= TIMES.test_from)
    };
    let positive = kept.iter().map(truth).collect();
    let times = kept.iter().map(|at| by_id[ids[*at].as_str()].time).collect();
    let rings: Vec<&str> = kept.iter().map(|at| by_id[ids[*at].as_str()].ring.as_str()).collect();
    let table = Table::new(columns, positive, times).unwrap();
    let table = table.with_groups(Codes::new(rings.into_iter().map(Some))).unwrap();
    (kept.iter().map(|at| ids[*at].clone()).collect(), table)
}

/// The same model as the `models` crate makes from the table that is built here.
#[test]
fn a_model_is_learnt_from_what_the_files_of_the_run_hold() {
    let directory = decided();
    let path = directory.path();
    for by_group in [false, true] {
        if by_group {
            let config = CONFIG.replace("[split]", "[split]\ngroup_by = 'devices.own'");
            fs::write(path.join("train.toml"), config).unwrap();
        }
        let out = trained(path, &["--out=m", "--scores=scores.csv", "--json", "--force"]);
        let (ids, table) = table(path);
        let config = serde_json::json!({
            "seed": 3,
            "model": {"kind": "forest", "trees": 12, "depth_max": 6},
            "split": {
                "train_from": TIMES.train_from, "test_from": TIMES.test_from,
                "test_until": TIMES.test_until, "label_delay": 4 * DAY, "by_group": by_group,
            },
            "calibration": {"method": "none", "scale": "log_odds"},
        });
        let config: TrainConfig = serde_json::from_value(config).unwrap();
        let identity = Identity { name: "m", catalogue_hash: "" };
        let expected = models::train(&table, &config, identity, Work::default()).unwrap();
        let raw = models::raw_of(&expected.model, &table, &expected.split.test);
        let expected_scores: BTreeMap<String, (bool, i64, i64)> = expected
            .split
            .test
            .iter()
            .zip(raw)
            .map(|(row, raw)| {
                let row = *row as usize;
                let score = expected.model.levels().score(raw);
                (ids[row].clone(), (table.positive()[row], score, raw))
            })
            .collect();
        let same = scores(&path.join("scores.csv")) == expected_scores;
        assert!(same, "by group: {by_group}");
        assert!(expected_scores.len() > 50, "by group: {by_group}, {}", expected_scores.len());
        let made = Model::load(&path.join("m")).unwrap();
        let names = |model: &Model| -> Vec<(String, Kind)> {
            model.inputs().iter().map(|input| (input.name.clone(), input.kind)).collect()
        };
        assert_eq!(names(&made), names(&expected.model));
        let hashes: BTreeSet<&str> = made.inputs().iter().map(|i| i.definition.as_str()).collect();
        assert_eq!(hashes.len(), made.inputs().len(), "each input has a definition of its own");
        assert!(!hashes.contains(""));
        let out: Value = serde_json::from_str(&out).unwrap();
        let constant = ["behaviour.level", "kind=transfer"];
        let warned: Vec<&str> = out["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|warning| warning["warning"] == "constant")
            .map(|warning| warning["column"].as_str().unwrap())
            .collect();
        assert_eq!(warned, constant);
        assert_eq!(out["texts_left_out"], serde_json::json!(["devices.own"]));
    }
}

/// The parts are counted over the events, and with groups: who tests trains nowhere.
#[test]
fn the_gap_and_the_groups_are_kept() {
    let directory = decided();
    let path = directory.path();
    let config = CONFIG.replace("[split]", "[split]\ngroup_by = 'devices.own'");
    fs::write(path.join("train.toml"), config).unwrap();
    let out = trained(path, &["--out=m", "--scores=scores.csv", "--json"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let scores = scores(&path.join("scores.csv"));
    let transfers = transfers();
    let tests: BTreeSet<&str> = transfers
        .iter()
        .filter(|one| scores.contains_key(&one.id))
        .map(|one| one.ring.as_str())
        .collect();
    assert!(!tests.is_empty() && tests.len() < RINGS as usize, "{tests:?}");
    let within = |from: i64, until: i64| {
        transfers.iter().filter(move |one| (from..until).contains(&one.time))
    };
    let test = within(TIMES.test_from, TIMES.test_until);
    let test: BTreeSet<&str> =
        test.filter(|one| tests.contains(&*one.ring)).map(|one| one.id.as_str()).collect();
    assert_eq!(test, scores.keys().map(String::as_str).collect());
    let before = within(TIMES.train_from, TIMES.train_until);
    let trains: Vec<&Transfer> = before.filter(|one| !tests.contains(&*one.ring)).collect();
    let part = |name: &str, what: &str| -> u64 {
        let parts = out["split"]["parts"].as_array().unwrap();
        parts.iter().find(|part| part["name"] == name).unwrap()[what].as_u64().unwrap()
    };
    let both = |what: &str| part("train", what) + part("calibration", what);
    assert_eq!(both("rows"), trains.len() as u64);
    let known = |one: &&&Transfer| one.fraud && one.known_at <= TIMES.test_from;
    assert_eq!(both("positive"), trains.iter().filter(known).count() as u64);
    let late = trains.iter().filter(|one| one.fraud && one.known_at > TIMES.test_from).count();
    assert_eq!(out["labels"]["not_yet_known"], late);
    assert!(late > 0, "the labels are known after the gap for nobody: the test tests nothing");
    assert!(part("calibration", "last") < TIMES.train_until as u64);
    assert!(part("test", "first") >= TIMES.test_from as u64);
    let gap = within(TIMES.train_until, TIMES.test_from).count();
    assert_eq!(out["split"]["gap_rows"], gap);
    let all: u64 = ["gap_rows", "outside_rows", "group_rows"]
        .iter()
        .map(|name| out["split"][name].as_u64().unwrap())
        .sum();
    assert_eq!(all + both("rows") + part("test", "rows"), transfers.len() as u64);
    assert_eq!(out["judgement"]["rows"], test.len());
}

/// An account whose fraud was known before the day of a row is no test of anything.
#[test]
fn accounts_that_are_known_can_be_left_out_of_the_test() {
    let directory = decided();
    let path = directory.path();
    let config = CONFIG.replace("[judge]", "[judge]\nleave_out_known = true");
    fs::write(path.join("train.toml"), config).unwrap();
    let out = trained(path, &["--out=m", "--scores=scores.csv", "--json"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let transfers = transfers();
    let known = |one: &Transfer| {
        let day = START + (one.time - START) / DAY * DAY;
        transfers.iter().any(|other| {
            let fraud = other.fraud && other.account == one.account;
            fraud && other.time >= TIMES.train_from && other.known_at < day
        })
    };
    let tests = (TIMES.test_from, TIMES.test_until);
    let test: Vec<&Transfer> =
        transfers.iter().filter(|one| (tests.0..tests.1).contains(&one.time)).collect();
    let left: BTreeSet<&str> =
        test.iter().filter(|one| !known(one)).map(|one| one.id.as_str()).collect();
    assert!(left.len() < test.len() && !left.is_empty());
    assert_eq!(left, scores(&path.join("scores.csv")).keys().map(String::as_str).collect());
    assert_eq!(out["known_rows"], test.len() - left.len());
}

#[test]
fn the_same_run_is_the_same_bytes() {
    let directory = decided();
    let path = directory.path();
    let read = |out: &str| {
        ["model.json", "card.md", "train.toml"]
            .map(|name| fs::read(path.join(out).join(name)).unwrap())
    };
    let said = trained(path, &["--out=one/m", "--threads=1"]);
    let again = trained(path, &["--out=two/m", "--threads=3"]);
    assert_eq!(read("one/m"), read("two/m"));
    assert_eq!(said.replace("one/m", "two/m"), again);
    // The config as it was used is a config, and makes the model that it came from.
    let used = hongxian(
        path,
        &["train", "run", "--labels=labels.csv", "--config=one/m/train.toml", "--out=three/m"],
    );
    assert!(used.status.success(), "{}", String::from_utf8_lossy(&used.stderr));
    assert_eq!(read("one/m"), read("three/m"));
}

/// Of several models the one that ranks the validation part best is trained; the test is not asked.
#[test]
fn a_model_is_chosen_before_the_test() {
    let directory = decided();
    let path = directory.path();
    let model = "[[model]]\nkind = 'tree'\ndepth_max = 1\n[[model]]\nkind = 'forest'\ntrees = 12\n\
                 [[model]]\nkind = 'tree'\ndepth_max = 2\n[features]";
    let config = CONFIG
        .replace("[model]\nkind = \"forest\"\ntrees = 12\ndepth_max = 6\n[features]", model)
        .replace("[split]", "[split]\nvalidation_from = '2024-03-12'");
    fs::write(path.join("train.toml"), config).unwrap();
    let out: Value = serde_json::from_str(&trained(path, &["--out=m", "--json"])).unwrap();
    let candidates = out["candidates"].as_array().unwrap();
    let reached: Vec<f64> =
        candidates.iter().map(|one| one["average_precision"].as_f64().unwrap()).collect();
    let best = reached.iter().copied().fold(0.0, f64::max);
    let chosen: Vec<usize> = (0..3).filter(|at| candidates[*at]["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(reached[chosen[0]], best, "{reached:?}");
    assert_eq!(out["kind"], candidates[chosen[0]]["model"]["kind"]);
    let validation = |one: &&Transfer| (START + 11 * DAY..TIMES.train_until).contains(&one.time);
    assert_eq!(candidates[0]["rows"], transfers().iter().filter(validation).count());
}

#[test]
fn what_an_analyst_reads_is_there_in_both_languages() {
    let directory = decided();
    let path = directory.path();
    let en = trained(path, &["--out=m"]);
    for words in [
        "random forest",
        "training",
        "AUC ROC",
        "Card Precision@100",
        "takeover",
        "yuan",
        "recall at 20 alerts a day",
        "calibration error",
        "card.md",
        "devices.own",
        "behaviour.level",
    ] {
        assert!(en.contains(words), "{words}:\n{en}");
    }
    let zh = trained(path, &["--out=m", "--force", "--lang=zh"]);
    for words in ["随机森林", "训练", "校准误差", "takeover", "元"] {
        assert!(zh.contains(words), "{words}:\n{zh}");
    }
    let wide = |text: &str| {
        let columns =
            |line: &str| -> usize { line.chars().map(|c| 1 + usize::from(c >= '\u{2e80}')).sum() };
        text.lines().map(columns).max().unwrap_or(0)
    };
    assert!(wide(&en) <= 110 && wide(&zh) <= 110, "{en}\n{zh}");
    let card = fs::read_to_string(path.join("m/card.md")).unwrap();
    assert!(card.contains("# Model card: m") && card.contains("| mule |"), "{card}");
}

#[test]
fn what_cannot_be_learnt_from_is_said() {
    let directory = decided();
    let path = directory.path();
    let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
    let train = [&TRAIN[..], &["--out=refused"]].concat();
    let with_config = |change: &dyn Fn(String) -> String| {
        write("train.toml", &change(CONFIG.to_owned()));
        let said = refused(path, &train);
        write("train.toml", CONFIG);
        said
    };
    let with_labels = |labels: &str| {
        write("other.csv", labels);
        refused(
            path,
            &["train", "run", "--labels=other.csv", "--config=train.toml", "--out=refused"],
        )
    };
    let head = "subject_kind,subject_id,label\n";
    let honest = with_labels(&format!("{head}event,t10-01,honest\n"));
    assert!(honest.contains("0 fraud") && honest.contains("needs both"), "{honest}");
    let strange = with_labels(&format!("{head}event,x1,fraud\nevent,x2,fraud\n"));
    assert!(strange.contains("none of the 2 labels") && strange.contains("x1"), "{strange}");
    let accounts = with_labels(&format!("{head}account,u1-1,fraud\n"));
    assert!(accounts.contains("accounts = true"), "{accounts}");
    let empty = with_labels(head);
    assert!(empty.contains("other.csv has no labels"), "{empty}");
    let gone = with_labels("subject_kind,subject_id\n");
    assert!(gone.contains("no column label"), "{gone}");

    let share = with_config(&|text| text.replace("[split]", "[split]\ntest_share = 0.0"));
    assert!(share.contains("`test_share` is 0, outside 0.001 to 0.99"), "{share}");
    let gap = with_config(&|text| text.replace("4d", "30d"));
    assert!(gap.contains("nothing is left to train on") && gap.contains("label_delay"), "{gap}");
    let fits = gap.split("label_delay = \"").nth(1).and_then(|rest| rest.split('"').next());
    fs::write(path.join("fits.toml"), CONFIG.replace("4d", fits.unwrap())).unwrap();
    let with = ["train", "run", "--labels=labels.csv", "--config=fits.toml", "--out=fits"];
    assert!(hongxian(path, &with).status.success(), "the proposed delay: {gap}");
    let late = with_config(&|text| {
        text.replace("2024-03-22", "2034-03-22").replace("2024-03-30", "2035-03-30")
    });
    assert!(late.contains("no transaction is in the test"), "{late}");
    let seen =
        with_config(&|text| text.replace("[split]", "[split]\nvalidation_until = '2024-03-29'"));
    assert!(seen.contains("split.validation_until") && seen.contains("2024-03-29"), "{seen}");
    let key = with_config(&|text| text.replace("depth_max", "depht_max"));
    assert!(key.contains("train.toml:6:1") && key.contains("did you mean `depth_max`"), "{key}");
    let feature =
        with_config(&|text| text.replace("[features]", "[features]\nexclude = 'behaviour.nigth'"));
    assert!(feature.contains("behaviour.night") && feature.contains("train.toml:8"), "{feature}");
    let text =
        with_config(&|text| text.replace("[features]", "[features]\ninclude = 'devices.own'"));
    assert!(text.contains("is a text") && text.contains("features.coded"), "{text}");
    let many = with_config(&|text| text.replace("\"funds.size\"", "\"devices.own\""));
    assert!(many.contains("has 26 values"), "{many}");
    let group = with_config(&|text| text.replace("[split]", "[split]\ngroup_by = 'account'"));
    assert!(group.contains("no feature of this run is `account`"), "{group}");

    let nowhere = refused(path, &["train", "nowhere", "--labels=labels.csv", "--out=refused"]);
    assert!(nowhere.contains("no finished run"), "{nowhere}");
    write("rules/features.toml", &FEATURES.replace("3d", "4d"));
    let other = refused(path, &train);
    assert!(other.contains("rules is not what it was"), "{other}");
    write("rules/features.toml", FEATURES);
    trained(path, &["--out=m"]);
    let there = refused(path, &[&TRAIN[..], &["--out=m"]].concat());
    assert!(there.contains("--force"), "{there}");
    fs::remove_file(path.join("run/features.parquet")).unwrap();
    let features = refused(path, &train);
    assert!(features.contains("features.parquet"), "{features}");
}

/// A calibration on another share of frauds than the test has, and days that have fewer frauds than
/// alerts, are said beside the figures.
#[test]
fn what_keeps_figures_from_being_what_they_seem_is_said() {
    let directory = decided();
    let path = directory.path();
    let even = CONFIG.replace("method = \"none\"", "method = \"platt\"");
    fs::write(path.join("train.toml"), &even).unwrap();
    let said = trained(path, &["--out=even"]);
    assert!(!said.contains("calibrated on"), "shares are alike: {said}");
    // 78 payments a day, so that 100 alerts are all of them.
    assert!(said.contains("no model has a higher\nprecision than 0."), "{said}");
    // Of the latest rows before the gap one fraud in five is known.
    let thinned: String = labels(&transfers())
        .lines()
        .enumerate()
        .filter(|(at, line)| {
            let late = ["t14", "t15", "t16", "t17"]
                .iter()
                .any(|t| line.starts_with(&format!("event,{t}")));
            !(late && line.contains(",fraud,") && at % 5 > 0)
        })
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    fs::write(path.join("thinned.csv"), thinned).unwrap();
    let arguments = ["train", "run", "--labels=thinned.csv", "--config=train.toml", "--out=thin"];
    let done = hongxian(path, &arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("calibrated on") && said.contains("while the test has"), "{said}");
}
