//! Ctrl-C ends a run cleanly: what it had decided stays, and is what a whole run decides.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use hongxian::sink::lines;

use super::digest::read_parquet;
use super::support::{START, workspace};

/// How often the moment is sought before the test gives up: it never passes without an interruption
/// between the first decision and the last.
const ATTEMPTS: usize = 12;

/// What came of a signal, as far as it tells how to do better the next time.
enum Met {
    /// Before the first decision.
    TooEarly,
    /// After the last.
    TooLate,
    /// In between; what the program said.
    Midway(Output),
}

/// A claim every 20 ms, by a hundred accounts in ten groups.
pub(super) fn write_events(path: &Path, claims: i64) {
    let mut csv =
        "event_id,event_time,kind,account_id,counterparty_id,group_id,packet_id,amount_fen\n"
            .to_owned();
    for at in 0..claims {
        let (time, account, group, packet) = (START + at * 20, at * 7 % 100, at % 10, at / 5);
        writeln!(csv, "e{at},{time},claim,u{account},s{group},g{group},p{packet},{}", at % 900 + 1)
            .unwrap();
    }
    fs::write(path, csv).unwrap();
}

fn backtest(events: &Path, rules: &Path, out: &Path, batch: &str) -> Command {
    let mut command = hongxian();
    command.arg("backtest").arg(events).arg("--out").arg(out);
    command.arg("--rules").arg(rules).args(["--lang", "en"]);
    command.args(["--workers", "4", "--tick", "5ms", "--batch", batch]);
    command
}

fn shipped() -> PathBuf {
    workspace().join("rules")
}

fn hongxian() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hongxian"))
}

/// Interrupts a run whose steps have an event for each worker, so long after it has begun to decide.
fn interrupt(events: &Path, rules: &Path, out: &Path, after: Duration) -> Met {
    let run = begun(backtest(events, rules, out, "4"), out);
    std::thread::sleep(after);
    press_ctrl_c(&run);
    let output = run.wait_with_output().unwrap();
    if output.status.success() {
        return Met::TooLate;
    }
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{shown}");
    let decided_none = metrics(out)["counts"]["decided"] == 0;
    if decided_none { Met::TooEarly } else { Met::Midway(output) }
}

/// Starts a run and waits until it is about to decide: all is read before the first decision, and
/// the log is opened between the two.
fn begun(mut run: Command, out: &Path) -> Child {
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !out.join("log/blocks.jsonl").exists() {
        assert_eq!(run.try_wait().unwrap(), None, "it ended before it began");
        std::thread::sleep(Duration::from_millis(1));
    }
    run
}

pub(super) fn press_ctrl_c(run: &Child) {
    // A run that is over already is found out from its exit code.
    let _ = Command::new("sh").args(["-c", &format!("kill -INT {}", run.id())]).output().unwrap();
}

pub(super) fn metrics(out: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(out.join("metrics.json")).unwrap()).unwrap()
}

pub(super) fn decisions(out: &Path) -> String {
    let mut text = String::new();
    lines::write(&read_parquet(&out.join("decisions.parquet")), &mut text).unwrap();
    text
}

/// A run that was interrupted midway, with its input and what it said.
fn interrupted(directory: &Path, rules: &Path) -> (PathBuf, PathBuf, Output) {
    let (mut claims, mut after) = (4_000, Duration::from_millis(50));
    for attempt in 0..ATTEMPTS {
        let events = directory.join(format!("events{attempt}.csv"));
        let out = directory.join(format!("run{attempt}"));
        write_events(&events, claims);
        match interrupt(&events, rules, &out, after) {
            Met::TooEarly => after *= 2,
            Met::TooLate => claims *= 2,
            Met::Midway(output) => return (events, out, output),
        }
    }
    panic!("no run could be interrupted midway");
}

/// Three times, for workers are at different steps when the signal comes, or are not.
#[test]
fn an_interrupted_run_keeps_the_first_decisions_of_a_whole_one() {
    for _ in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let (events, out, output) = interrupted(directory.path(), &shipped());
        assert_told(&output);
        assert_start_of_whole(&events, &out, &directory.path().join("whole"));
    }
}

fn assert_told(output: &Output) {
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("partial") && shown.contains("not reached"), "{shown}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("interrupted: what was decided until the last tick is kept"), "{told}");
}

fn assert_start_of_whole(events: &Path, out: &Path, whole: &Path) {
    let run: toml::Table =
        toml::from_str(&fs::read_to_string(out.join("run.toml")).unwrap()).unwrap();
    assert_eq!(run["partial"].as_bool(), Some(true));
    for named in [out.to_owned(), out.join("decisions.parquet")] {
        let digest = hongxian().arg("digest").arg(named).output().unwrap();
        let digest = String::from_utf8(digest.stdout).unwrap();
        assert_eq!(run["decisions_digest"].as_str(), Some(digest.trim()));
    }

    assert!(backtest(events, &shipped(), whole, "32768").output().unwrap().status.success());
    let (kept, all) = (decisions(out), decisions(whole));
    assert!(!kept.is_empty() && kept.len() < all.len() && all.starts_with(&kept));
    let count = kept.lines().count();
    let counts = &metrics(out)["counts"];
    assert_eq!(counts["decided"], count);
    let sum: u64 = ["decided", "applied", "rejected", "duplicates", "not_reached"]
        .map(|part| counts[part].as_u64().unwrap())
        .iter()
        .sum();
    assert_eq!(counts["in"], sum, "every record is accounted for");
    assert_eq!(read_parquet(&out.join("features.parquet")).num_rows(), count);
}

/// Rules that review every claim, and restrict its account for the second after it.
fn brief_verdicts(rules: &Path) {
    fs::create_dir_all(rules.join("funds")).unwrap();
    let rule = "title = 'x'\nstatus = 'live'\non = ['claim']\nwhen = 'amount_fen > 0'\n\
                floor = 'review'\nscore = 0\nreason = 'x'\n";
    fs::write(rules.join("funds/any-claim.toml"), rule).unwrap();
    let policy = "[clusters]\nenabled = false\n\
                  [verdicts.group]\nrestrict = false\nban = false\n\
                  [verdicts.account]\nban = false\n\
                  restrict = { decisions = 1, at_least = 'review', within = '1s', lasts = '1s' }\n";
    fs::write(rules.join("policy.toml"), policy).unwrap();
}

/// Who is restricted in the end of an interrupted run is who is in that of a whole run over what it
/// had decided: not who would be when the events end that it did not come to.
#[test]
fn the_verdicts_of_an_interrupted_run_are_as_of_its_last_decision() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    brief_verdicts(&rules);
    let (events, out, _) = interrupted(directory.path(), &rules);
    let decided = metrics(&out)["counts"]["decided"].as_u64().unwrap() as usize;
    let text = fs::read_to_string(&events).unwrap();
    assert!(decided + 1 < text.lines().count(), "it did not come to all");
    let first = directory.path().join("first.csv");
    let header_and_first = text.split_inclusive('\n').take(1 + decided);
    fs::write(&first, header_and_first.collect::<String>()).unwrap();
    let whole = directory.path().join("whole");
    assert!(backtest(&first, &rules, &whole, "32768").output().unwrap().status.success());
    assert_eq!(decisions(&out), decisions(&whole));
    let [kept, told] = [out, whole].map(|run| read_parquet(&run.join("entities.parquet")));
    // A second has fifty claims, by as many accounts.
    assert_eq!(kept.num_rows(), decided.min(50));
    assert_eq!(kept, told);
}

/// The file that is written last says that a run came to its end: of one that was killed there is
/// none, not even that of a run before it.
#[test]
fn a_killed_run_does_not_look_like_the_whole_one_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let [rules, events, out] = ["rules", "events.csv", "run"].map(|at| directory.path().join(at));
    brief_verdicts(&rules);
    let mut claims = 4_000;
    for _ in 0..ATTEMPTS {
        write_events(&events, claims);
        assert!(backtest(&events, &rules, &out, "32768").output().unwrap().status.success());
        assert!(out.join("run.toml").exists());
        fs::remove_file(out.join("log/blocks.jsonl")).unwrap();
        let mut run = begun(backtest(&events, &rules, &out, "4"), &out);
        run.kill().unwrap();
        if !run.wait().unwrap().success() {
            assert!(!out.join("run.toml").exists(), "it is of the run before");
            return;
        }
        claims *= 2;
    }
    panic!("no run could be killed midway");
}

/// A closed loop that is interrupted says so, and leaves the part of the world that was lived, which a
/// backtest takes like any other.
#[test]
fn an_interrupted_loop_leaves_what_it_lived() {
    let directory = tempfile::tempdir().unwrap();
    let [out, run] = ["loop", "run"].map(|at| directory.path().join(at));
    let scenario = workspace().join("fixtures/populations/new-year.toml");
    let mut command = hongxian();
    command.args(["simulate", "--seed", "1", "--lang", "en"]).arg(scenario);
    command.arg("--with-rules").arg(shipped()).arg("--out").arg(&out);
    let mut world = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !out.join("events.parquet").exists() {
        assert_eq!(world.try_wait().unwrap(), None, "it ended before it began");
        std::thread::sleep(Duration::from_millis(1));
    }
    // It is long before a week is over.
    std::thread::sleep(Duration::from_millis(500));
    press_ctrl_c(&world);
    let output = world.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{shown}");
    let text = fs::read_to_string(out.join("loop.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["partial"], true, "{text}");
    assert!(!out.join("run").exists(), "nothing was decided after the fact");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("partial"), "{said}");
    let events = out.join("events.parquet");
    assert!(backtest(&events, &shipped(), &run, "32768").output().unwrap().status.success());
    assert!(metrics(&run)["counts"]["decided"].as_u64() > Some(0));
}
