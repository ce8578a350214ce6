//! Streams on a real broker, seen from outside: by the program, and by a reader of what is
//! committed.
//!
//! The broker is the one whose address stands in the environment as `HONGXIAN_TEST_BROKER`, which
//! `scripts/test` starts; without it these tests do nothing and say so.

mod bench;
mod cluster;
mod crashes;
mod days;
mod endures;
mod http;
mod models;
mod operate;
mod pseudonyms;
mod reload;
mod replay;
mod serve;
mod snapshots;
mod stored;

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command};
use std::time::Duration;

use hongxian::stopwatch::Since;

use self::bench::{Bench, PATIENCE, hongxian};

/// Brokers that are away are told of while they are waited for, and in the end it is their fault.
#[test]
fn brokers_that_are_away_are_waited_for_and_then_given_up() {
    let said = without_brokers("");
    assert!(said.contains("no broker at 127.0.0.1:1 answers yet"), "{said}");
    assert!(said.contains("no broker at 127.0.0.1:1 answered within"), "{said}");
}

/// Who serves HTTP is read by machines: each line is JSON, and the last says why it ended.
#[test]
fn a_service_logs_why_it_ended() {
    let said = without_brokers("[http]\nlisten = '127.0.0.1:0'\nlabels = 'e'\nholds = 'f'\n");
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().expect("it said something");
    assert_eq!(last["level"], "ERROR", "{said}");
    let why = last["fields"]["message"].as_str().unwrap();
    assert!(why.contains("no broker at 127.0.0.1:1 answered within"), "{said}");
}

/// What a stream says whose brokers are away.
fn without_brokers(more: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("stream.toml");
    let text = "brokers = '127.0.0.1:1'\nconnect_limit = '3s'\n[topics]\ninput = ['a']\noutput = 'b'\n\
                dead_letter = 'c'\ncontrol = 'd'\n";
    fs::write(&config, format!("{text}{more}")).unwrap();
    let output = hongxian().arg("stream").arg(&config).args(["--once", "--lang", "en"]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    said
}

/// A mistake of the configuration is shown where it stands, with what was meant.
#[test]
fn a_mistake_of_the_configuration_is_shown_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("stream.toml");
    fs::write(&config, "brokers = 'x'\n[topics]\ninputs = 'a'\noutput = 1\n").unwrap();
    let output = hongxian().arg("stream").arg(&config).args(["--lang", "en"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("stream.toml:3:1") && said.contains("did you mean `input`"), "{said}");
    assert!(said.contains("stream.toml:4:10"), "all at once: {said}");
}

/// A stream that goes on is told the same as when it began, and needs all that it read then.
#[test]
fn a_stream_goes_on_with_its_own_columns_and_all_its_records_or_not_at_all() {
    let Some(bench) = Bench::new("keeps", 1) else { return };
    bench.send((0..20).map(|at| bench::claim(at, 0)));
    bench.stream(&["--once"]);
    let config = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("{config}[extra]\nchannel = 'string'\n")).unwrap();
    let said = bench.fails(&["--once"], 2);
    assert!(said.contains("the stream began with others: the columns of [extra]"), "{said}");
    fs::write(bench.config(), config).unwrap();
    bench.stream(&["--once"]);
    bench.delete_before(5);
    let said = bench.fails(&["--once"], 3);
    assert!(said.contains("has the offsets 5 to 20"), "{said}");
    assert!(said.contains("needs those from 0 on: retention has removed them"), "{said}");
}

/// Sends a signal.
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// What a program ends with, and what it has said on standard error; it must end by itself.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let since = Since::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Sees that a program has not ended by itself; what it said is told where it has.
fn still_runs(child: &mut Child) {
    let Some(status) = child.try_wait().unwrap() else { return };
    panic!("it ended by itself, {status}: {}", said(child));
}

/// What a program that has ended said on standard error.
fn said(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_end(&mut said).unwrap();
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Since::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs a program to its end; what it said on standard output.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}
