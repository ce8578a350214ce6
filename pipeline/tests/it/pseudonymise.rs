//! `--pseudonymise`, by the program: no id of the input is anywhere in the run directory, and nothing
//! else is decided.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

const START: i64 = 1_707_480_000_000;
/// With what every id of the input begins but those of events, and what a memo says.
const MARKS: [&str; 7] = ["acct-", "peer-", "room-", "parcel-", "phone-", "10.77.", "memorable"];
const WATCHED: &str = "peer-3";

const RULES: [(&str, &str); 6] = [
    (
        "features.toml",
        "[funds.fan]\nover = ['transfer']\nkey = ['counterparty_id']\nagg = 'distinct'\n\
         field = 'account_id'\nwindow = '1h'\n[devices.people]\nover = ['transfer']\n\
         key = ['device_id']\nagg = 'distinct'\nfield = 'account_id'\nwindow = '1h'\n\
         [devices.people_ip]\nover = ['transfer']\nkey = ['ip']\nagg = 'distinct'\n\
         field = 'account_id'\nwindow = '1h'\n\
         [funds.known]\nover = ['label']\nkey = ['subject_id']\nat = ['account_id']\n\
         agg = 'count'\nwindow = '1d'\n",
    ),
    (
        "lists/watched.csv",
        "value,valid_from,valid_until,added_by,reason\npeer-3,,,li,seen\npeer-4,,2024-01-01,li,\n",
    ),
    ("text/phrases/words.txt", "[gambling | weight=20]\n红包扫雷\n"),
    (
        "funds/watched.toml",
        "title = 'watched'\nstatus = 'live'\non = ['transfer']\n\
         when = \"in_list('watched', payee_id)\"\nscore = 400\nreason = '{payee_id} is watched'\n",
    ),
    (
        "devices/shared.toml",
        "title = 'shared'\nstatus = 'live'\non = ['transfer']\n\
         when = 'devices.people >= 3 || funds.fan >= 4 || devices.people_ip >= 5 || funds.known >= 1'\n\
         score = 350\nreason = '{account_id} with {devices.people} others on {device_id}'\n",
    ),
    (
        "text/words.toml",
        "title = 'words'\nstatus = 'live'\non = ['transfer']\nwhen = 'text.gambling >= 1'\n\
         score = 300\nreason = 'words'\n",
    ),
];

fn event(at: i64) -> Value {
    let id = |name: &str, number: i64| format!("{name}{number}");
    let mut event = json!({
        "event_id": id("e", at), "event_time": START + at * 20_000, "kind": "transfer",
        "account_id": id("acct-", at % 11), "counterparty_id": id("peer-", at % 7),
        "group_id": id("room-", at % 5), "packet_id": id("parcel-", at), "amount_fen": 100 + at,
        "device_id": id("phone-", at % 3), "ip": format!("10.77.0.{}", at % 4),
        "region": "440100", "text": if at % 9 == 0 { "memorable 红包扫雷" } else { "memorable lunch" },
    });
    if at == 50 || at == 51 {
        event["kind"] = "label".into();
        event["label"] = "fraud".into();
        event["subject_kind"] = if at == 50 { "account" } else { "event" }.into();
        event["subject_id"] = if at == 50 { "acct-2" } else { "e1" }.into();
    }
    event
}

/// Two hundred events; records that are none, each with ids where they do not belong; an id that is
/// used again by another event.
fn records() -> Vec<String> {
    let mut lines: Vec<String> = (0..200).map(|at| event(at).to_string()).collect();
    let broken = |field: &str, value: Value| {
        let mut event = event(7);
        event["event_id"] = format!("broken-{field}").into();
        event[field] = value;
        event.to_string()
    };
    lines.push(broken("kind", "acct-1".into()));
    lines.push(broken("platform", "acct-1".into()));
    lines.push(broken("amount_fen", "acct-1".into()));
    lines.push(broken("acct-1", 1.into()).replacen('{', "{\"acct-1\":2,", 1));
    lines.push("\"acct-1\"".to_owned());
    lines.push("{\"event_id\":\"acct-1\"".to_owned());
    lines.push(broken("text", "acct-1 ".repeat(200_000).into()));
    let mut conflict = event(7);
    conflict["account_id"] = "acct-10".into();
    // Of two at one time it is the body that says which of them counts.
    conflict["event_time"] = (START + 7 * 20_000 + 1).into();
    lines.push(conflict.to_string());
    lines
}

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { directory: tempfile::tempdir().unwrap() };
        for (file, text) in RULES {
            scene.write(&format!("rules/{file}"), text.as_bytes());
        }
        scene.write("events.jsonl", (records().join("\n") + "\n").as_bytes());
        let labels = "subject_kind,subject_id,label\naccount,acct-2,fraud\nevent,e3,fraud\n\
                      group,room-1,honest\nevent,e27,honest\n";
        scene.write("labels.csv", labels.as_bytes());
        scene.write("key", &[7; 32]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
        command.current_dir(self.directory.path()).args(arguments).arg("--lang=en");
        command.output().unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The metrics of a backtest of the events.
    fn backtest(&self, out: &str, more: &[&str]) -> Value {
        let input = ["backtest", "events.jsonl", "--labels=labels.csv", "--rules=rules"];
        let told = self.said(&[&input[..], &["--json", "--out", out], more].concat());
        serde_json::from_str(&told).unwrap()
    }
}

/// All text in a directory: every cell of its tables, and the bytes of its other files; refused
/// records are shown as they came.
fn all_text(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &all_text(&path);
        } else if path.extension().is_some_and(|held| held == "parquet") {
            let file = fs::File::open(&path).unwrap();
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let (batch, options) = (batch.unwrap(), FormatOptions::default());
                // A time with a zone is no text.
                let is_time = |kind: &DataType| matches!(kind, DataType::Timestamp(..));
                let columns = batch.columns().iter();
                for column in columns.filter(|column| !is_time(column.data_type())) {
                    let cells = ArrayFormatter::try_new(column, &options).unwrap();
                    (0..batch.num_rows())
                        .for_each(|row| text += &format!("{}\n", cells.value(row)));
                }
            }
        } else {
            let bytes = fs::read(&path).unwrap();
            text += &String::from_utf8_lossy(&bytes);
            if path.ends_with("rejects.jsonl") {
                text += &raw_records(&bytes);
            }
        }
    }
    text
}

fn raw_records(lines: &[u8]) -> String {
    use base64::Engine as _;
    let raw = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let raw = line["raw_base64"].as_str().unwrap();
        let raw = base64::engine::general_purpose::STANDARD.decode(raw).unwrap();
        String::from_utf8_lossy(&raw).into_owned()
    };
    String::from_utf8_lossy(lines).lines().map(raw).collect()
}

/// What was decided on each event, without what shows ids.
fn decided(directory: &Path) -> String {
    let file = fs::File::open(directory.join("decisions.parquet")).unwrap();
    let mut text = String::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let (batch, options) = (batch.unwrap(), FormatOptions::default());
        let columns = ["event_id", "decision", "score", "rules_hash", "shadow_hits"];
        for name in columns {
            let cells = ArrayFormatter::try_new(batch.column_by_name(name).unwrap(), &options);
            let cells = cells.unwrap();
            (0..batch.num_rows()).for_each(|row| text += &format!("{}\n", cells.value(row)));
        }
    }
    text
}

#[test]
fn no_id_of_the_input_is_in_the_run_directory_and_the_decisions_are_the_same() {
    let scene = Scene::new();
    let plain = scene.backtest("plain", &[]);
    let hidden = scene.backtest("hidden", &["--pseudonymise=key", "--workers=1"]);
    let [before, after] = ["plain", "hidden"].map(|run| all_text(&scene.path(run)));
    for mark in MARKS {
        assert!(before.contains(mark), "the search does not find {mark}");
        let at = after.find(mark);
        assert_eq!(at.map(|at| &after[at.saturating_sub(80)..at + 20]), None, "{mark} is there");
    }
    assert_eq!(decided(&scene.path("hidden")), decided(&scene.path("plain")));
    for same in ["counts", "kinds", "rules_hash", "verdicts"] {
        assert_eq!(hidden[same], plain[same], "{same}");
    }
    assert_eq!(hidden["judgement"]["rules"], plain["judgement"]["rules"]);
    assert_eq!(hidden["judgement"]["accounts"], plain["judgement"]["accounts"]);
    let rejects = |run: &str| fs::read_to_string(scene.path(run).join("rejects.jsonl")).unwrap();
    let codes = |run: &str| -> Vec<Value> {
        let line = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        rejects(run).lines().map(line).map(|line| json!([line["line"], line["code"]])).collect()
    };
    assert_eq!(codes("hidden"), codes("plain"));
    assert_eq!(codes("hidden").len(), 8);
}

#[test]
fn one_key_gives_one_digest_at_any_cut_and_another_key_another() {
    let scene = Scene::new();
    scene.write("other", &[8; 32]);
    let digest = |out: &str, more: &[&str]| scene.backtest(out, more)["decisions_digest"].clone();
    let plain = digest("plain", &[]);
    let one = digest("one", &["--pseudonymise=key", "--workers=1"]);
    let cut =
        ["--pseudonymise=key", "--workers=3", "--batch=7", "--tick=10ms", "--sort-memory=64KiB"];
    assert_eq!(digest("cut", &cut), one);
    let other = digest("other-run", &["--pseudonymise=other"]);
    assert!(one != plain && other != plain && other != one);
    // Of an input log as well.
    let lines = records().into_iter().take(200).enumerate().map(|(at, record)| {
        let append = START + at as i64 * 20_000;
        format!("{{\"offset\":{at},\"append_time\":{append},\"value\":{record}}}\n")
    });
    scene.write("log/partitions/0.jsonl", lines.collect::<String>().as_bytes());
    scene.write("log/log.toml", b"version = 1\npartitions = 1\n");
    let replay = |more: &[&str]| -> Value {
        let log = ["backtest", "--input-log=log", "--rules=rules", "--json", "--out=replayed"];
        serde_json::from_str(&scene.said(&[&log[..], more].concat())).unwrap()
    };
    assert_eq!(replay(&["--pseudonymise=key"])["decisions_digest"], one);
    assert_eq!(replay(&[])["decisions_digest"], plain);
}

#[test]
fn commands_that_read_the_inputs_again_do_so_with_the_key_of_the_run() {
    let scene = Scene::new();
    scene.backtest("plain", &[]);
    scene.backtest("run", &["--pseudonymise=key"]);
    let run_toml = fs::read_to_string(scene.path("run/run.toml")).unwrap();
    assert!(run_toml.contains("pseudonymise = \"key\"\npseudonymise_fingerprint = \""));
    assert!(scene.said(&["verify", "run"]).contains("every decision is the same"));
    let explained = scene.said(&["explain", "run", "e3", "--json"]);
    let value: Value = serde_json::from_str(&explained).unwrap();
    let payee = value["lists"][0]["value"].as_str().unwrap();
    assert!(payee.len() == 32 && explained.contains("watched"), "{explained}");
    assert!(!explained.contains(WATCHED), "{explained}");
    let profile = scene.said(&["profile", "run", payee]);
    assert!(profile.contains(payee) && !profile.contains(WATCHED), "{profile}");
    // Who has the key may ask by the id: the answer has the pseudonym, as all of the run.
    let asked = scene.run(&["profile", "run", WATCHED]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout), profile);
    let noted = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(noted.contains(&format!("{WATCHED} is {payee}")), "{noted}");
    let nobody = scene.run(&["profile", "run", "peer-99"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(nobody.status.code(), Some(1), "{said}");
    assert!(said.contains("peer-99") && said.contains("whose ids are pseudonyms"), "{said}");
    // A rule that asks the list for less, on stored features.
    scene.write("more/funds/watched.toml", RULES[3].1.replace("400", "650").as_bytes());
    for (file, text) in RULES.iter().filter(|(file, _)| *file != "funds/watched.toml") {
        scene.write(&format!("more/{file}"), text.as_bytes());
    }
    let changed = |run: &str| -> Value {
        let told = scene.said(&["diff", run, "--rules=more", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        json!([told["changes"], told["moves"], told["decisions"], told["rules"]])
    };
    assert_eq!(changed("run"), changed("plain"));
    // Another key is another run, and without one there is none.
    scene.write("key", &[9; 32]);
    let done = scene.run(&["verify", "run"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("key holds another key than that of this run"), "{said}");
    fs::remove_file(scene.path("key")).unwrap();
    let done = scene.run(&["explain", "run", "e3"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("not there: key"));
}

#[test]
fn a_key_that_is_too_short_is_refused_before_anything_is_written() {
    let scene = Scene::new();
    scene.write("key", &[7; 31]);
    let done = scene.run(&[
        "backtest",
        "events.jsonl",
        "--rules=rules",
        "--out=run",
        "--pseudonymise=key",
    ]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("from 32 to 4096 bytes, and this file 31"), "{said}");
    assert!(!scene.path("run").exists());
}
