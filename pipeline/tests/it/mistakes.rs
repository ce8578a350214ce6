//! What the program says of mistakes in files, and that it ends the same whether anybody reads it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

const EVENTS: &str = "event_id,event_time,kind,account_id,counterparty_id,amount_fen\n\
    e1,2024-02-09T20:00:00+08:00,transfer,u1,u2,100\n\
    e2,2024-02-09T20:00:01+08:00,transfer,u1,,100\n\
    e3,yesterday,transfer,u1,u2,100\n\
    e4,2024-02-09T20:00:03+08:00,transfer,u1,u2,-1\n\
    e5,2024-02-09T20:00:04+08:00,dance,u1,u2,1\n\
    e6,2024-02-09T20:00:05+08:00,dance,u1,u2,1\n";

const LIST: &str = "value,valid_from,valid_until,added_by,reason\n\
    u9,,,li,\"opened in haste\n\
    u10,,,li,seen\n\
    u11,soon,,li,\x1b]0;seen\x07\n";

fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(directory).args(arguments).args(["--lang", "en"]);
    command
}

fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// A directory with the file at `path` in it.
fn with(path: &str, text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::create_dir_all(directory.path().join("rules")).unwrap();
    fs::write(path, text).unwrap();
    directory
}

#[test]
fn a_quote_in_a_list_hides_no_row() {
    let directory = with("rules/lists/blocked.csv", LIST);
    let (_, stderr, code) = said(&program(directory.path(), &["rules", "check"]).output().unwrap());
    assert_eq!(code, Some(2), "{stderr}");
    let open = "error[bad-list]: a quote is opened and not closed on its line";
    assert!(stderr.contains(open) && stderr.contains("blocked.csv:2:1"), "{stderr}");
    assert!(stderr.contains("blocked.csv:4:1"), "the rows after it are read: {stderr}");
    assert!(stderr.contains("li,\u{fffd}]0;seen\u{fffd}"), "{stderr}");
    assert!(!stderr.contains(['\u{1b}', '\u{7}']), "a row cannot speak to the terminal: {stderr}");
}

/// An input is read twice, which a pipe is not: waiting for its writer would hang.
#[test]
fn a_pipe_is_no_input() {
    let directory = with("rules/README.md", "");
    let pipe = directory.path().join("events.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let backtest = program(directory.path(), &["backtest", "events.csv", "--out", "out"]).output();
    let (_, stderr, code) = said(&backtest.unwrap());
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("events.csv") && stderr.contains("write it to a file"), "{stderr}");
}

/// The library that reads Parquet panics at many of these; a panic would end the program with a signal.
#[test]
fn damage_in_a_parquet_file_is_a_mistake_in_the_input() {
    let directory = with("rules/README.md", "");
    let times = (0..40).map(|at| 1_700_000_000_000 + at);
    let columns: [(&str, ArrayRef); 4] = [
        ("event_id", Arc::new(StringArray::from_iter_values((0..40).map(|at| format!("e{at}"))))),
        ("event_time", Arc::new(Int64Array::from_iter_values(times))),
        ("kind", Arc::new(StringArray::from(vec!["login"; 40]))),
        ("account_id", Arc::new(StringArray::from(vec!["u"; 40]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut whole = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut whole, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let mut untold = 0;
    // The head of the first page.
    for (place, value) in (4..24).flat_map(|place| [(place, 0), (place, 2)]) {
        let mut bytes = whole.clone();
        bytes[place] = value;
        fs::write(directory.path().join("events.parquet"), bytes).unwrap();
        let arguments = ["backtest", "events.parquet", "--out", "run", "--workers", "1"];
        let (_, stderr, code) = said(&program(directory.path(), &arguments).output().unwrap());
        assert!(matches!(code, Some(0 | 2)), "{code:?} at {place}: {stderr}");
        if code == Some(2) {
            assert!(stderr.contains("events.parquet"), "{stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");
            untold += usize::from(stderr.contains("does not fit together"));
        }
    }
    assert!(untold > 0, "the library told all of them itself");
}

/// Neither a terminal that went away nor a full disk turns a mistake into a crash.
#[test]
fn exit_codes_hold_where_nothing_can_be_said() {
    let directory = with("rules/lists/blocked.csv", LIST);
    let check = || program(directory.path(), &["rules", "check"]);
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(check().stderr(closed).status().unwrap().code(), Some(2));
    if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
        assert_eq!(check().stderr(Stdio::from(full)).status().unwrap().code(), Some(2));
    }
}

#[test]
fn too_many_rejects_are_told_with_the_first_of_them() {
    let directory = with("events.csv", EVENTS);
    let arguments = ["backtest", "events.csv", "--out", "run", "--max-rejects", "1"];
    let (_, stderr, code) = said(&program(directory.path(), &arguments).output().unwrap());
    assert_eq!(code, Some(2), "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    let first = "more records were rejected than --max-rejects 1:";
    let at = lines.iter().position(|line| line.contains(first)).expect(&stderr);
    assert_eq!(lines[at + 1..].len(), 2, "the one that may be, and the one too many: {stderr}");
    assert!(lines[at + 1].starts_with("  events.csv:"), "{stderr}");
    assert!(stderr.contains("events.csv:4 "), "its line and what is wrong: {stderr}");
    let arguments = ["backtest", "events.csv", "--out", "run", "--max-rejects", "9"];
    assert_eq!(said(&program(directory.path(), &arguments).output().unwrap()).2, Some(0));
}

/// What a run reads stays as it is: it is not among the files that the run writes.
#[test]
fn a_run_does_not_write_over_what_it_reads() {
    let event = r#"{"event_id":"e","event_time":1707480000000,"kind":"login","account_id":"a"}"#;
    let directory = with("out/rejects.jsonl", event);
    let place = directory.path();
    let labels = "subject_kind,subject_id,label\nevent,e,fraud\n";
    fs::write(place.join("events.jsonl"), event).unwrap();
    fs::write(place.join("out/labels.csv"), labels).unwrap();
    fs::write(place.join("map.toml"), "").unwrap();
    std::os::unix::fs::symlink("../map.toml", place.join("out/run.toml")).unwrap();
    fs::create_dir(place.join("out/log")).unwrap();
    fs::write(place.join("out/log/events.jsonl"), event).unwrap();
    let run = |arguments: &[&str]| {
        let arguments = [&["backtest", "--out", "out"], arguments].concat();
        said(&program(place, &arguments).output().unwrap())
    };
    for (arguments, read) in [
        (&["out/rejects.jsonl"][..], "out/rejects.jsonl"),
        (&["events.jsonl", "./rules/../out/rejects.jsonl"], "./rules/../out/rejects.jsonl"),
        (&["events.jsonl", "--labels", "out/rejects.jsonl"], "out/rejects.jsonl"),
        (&["events.jsonl", "--map", "map.toml"], "map.toml"),
        (&["events.jsonl", "--rules", "out"], "out"),
        (&["out/log/events.jsonl"], "out/log/events.jsonl"),
    ] {
        let (_, stderr, code) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        let refused = format!("{read} is read, and --out out would write over it");
        assert!(stderr.contains(&refused), "{arguments:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(place.join("out/rejects.jsonl")).unwrap(), event);
    assert!(!place.join("out/decisions.parquet").exists());
    // Beside what is written there is room.
    let (_, stderr, code) = run(&["events.jsonl", "--labels", "out/labels.csv"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(fs::read_to_string(place.join("out/labels.csv")).unwrap(), labels);
}

#[test]
fn a_labels_file_without_labels_is_told_from_none() {
    let directory = with("events.csv", EVENTS);
    let labels = directory.path().join("L.CSV");
    fs::write(&labels, "subject_kind,subject_id,label\n").unwrap();
    let judged = |more: &[&str]| {
        let arguments = [&["backtest", "events.csv", "--out", "run"], more].concat();
        said(&program(directory.path(), &arguments).output().unwrap())
    };
    let (stdout, stderr, code) = judged(&["--labels", "L.CSV"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("the file of --labels has none"), "{stdout}");
    assert!(judged(&[]).0.contains("--labels FILE tells fraud from honest"));
    fs::rename(&labels, directory.path().join("labels.parq")).unwrap();
    let (_, stderr, code) = judged(&["--labels", "labels.parq"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("error[unknown-extension]: labels.parq"), "{stderr}");
}
