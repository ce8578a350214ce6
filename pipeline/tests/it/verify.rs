//! `verify`, by the program: runs that are what they say, and runs that somebody changed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// More than one block of the log.
const EVENTS: usize = 5_000;

fn hongxian(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.current_dir(place).args(arguments).arg("--lang=en").output().unwrap()
}

/// Transfers a second apart; those from number `until` on are of another amount.
fn events(count: usize, until: usize) -> String {
    let mut text = "event_id,event_time,kind,account_id,counterparty_id,amount_fen\n".to_owned();
    for at in 0..count {
        let (time, fen) = (1_707_480_000_000 + 1_000 * at, if at < until { 100 } else { 90_000 });
        text.push_str(&format!("e{at},{time},transfer,u{},cam,{fen}\n", at % 7));
    }
    text
}

fn backtest(place: &Path, events: &str, out: &str) {
    let done = hongxian(place, &["backtest", events, "--rules=rules", "--out", out]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs over `all.csv` (run), its first half (half) and the same events of which the last ten are
/// dearer (dear).
fn runs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    fs::create_dir_all(place.join("rules/funds")).unwrap();
    let rule = "title = \"Large\"\nstatus = \"live\"\non = [\"transfer\"]\n\
                when = \"amount_fen >= yuan(500)\"\nscore = 700\nreason = \"large\"\n";
    fs::write(place.join("rules/funds/large.toml"), rule).unwrap();
    for (name, count, until) in
        [("all", EVENTS, EVENTS), ("half", EVENTS / 2, EVENTS), ("dear", EVENTS, EVENTS - 10)]
    {
        fs::write(place.join(format!("{name}.csv")), events(count, until)).unwrap();
        backtest(place, &format!("{name}.csv"), name);
    }
    directory
}

/// What verify says of a run: its exit code, and its answer or its complaint.
fn said(place: &Path, run: &str, more: &[&str]) -> (Option<i32>, String) {
    let done = hongxian(place, &[&["verify", run], more].concat());
    let text = if done.status.success() { done.stdout } else { done.stderr };
    (done.status.code(), String::from_utf8(text).unwrap())
}

/// Lets the run.toml of a run name the input of another.
fn name_input_of(place: &Path, run: &str, other: &str, more: &str) {
    let read = |run: &str| fs::read_to_string(place.join(run).join("run.toml")).unwrap();
    let inputs = |text: &str| text.find("[[inputs]]").unwrap();
    let (own, others) = (read(run), read(other));
    let text = format!("{}{}", &own[..inputs(&own)], &others[inputs(&others)..]);
    let text = text.replace("partial = false", more);
    fs::write(place.join(run).join("run.toml"), text).unwrap();
}

#[test]
fn a_run_that_nobody_changed_is_what_it_says() {
    let directory = runs();
    let done = hongxian(directory.path(), &["verify", "all", "--json", "--workers=3"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&told["decisions"], &told["blocks"]), (&EVENTS.into(), &2.into()));
    assert_eq!(
        (&told["log"]["answer"], &told["re_execution"]["answer"]),
        (&"yes".into(), &"yes".into())
    );
    assert_eq!(told["files"]["answer"], "yes");
    let digest = hongxian(directory.path(), &["digest", "all"]).stdout;
    assert_eq!(told["decisions_digest"], String::from_utf8(digest).unwrap().trim());
    let (code, text) = said(directory.path(), "all", &["--log-only"]);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("5000 decisions in 2 blocks") && text.contains("nothing was decided again")
    );
}

#[test]
fn a_changed_decision_is_found_by_the_log() {
    let directory = runs();
    let place = directory.path();
    fs::copy(place.join("dear/decisions.parquet"), place.join("all/decisions.parquet")).unwrap();
    let (code, text) = said(place, "all", &["--log-only"]);
    assert_eq!(code, Some(1), "{text}");
    // The last ten are in the second block, and only they are others.
    assert!(text.contains("block 1 ") && text.contains("4096 to 4999 (e4096 to e4999)"), "{text}");
    // Fewer and no decisions at all are seen too.
    fs::copy(place.join("half/decisions.parquet"), place.join("all/decisions.parquet")).unwrap();
    let (code, text) = said(place, "all", &["--log-only"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("block 0 "), "{text}");
    fs::write(place.join("all/decisions.parquet"), "nothing").unwrap();
    assert_eq!(said(place, "all", &[]).0, Some(1));
}

#[test]
fn a_changed_log_is_found() {
    let directory = runs();
    let place = directory.path();
    let path = place.join("all/log/blocks.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let (first, second) = whole.split_once('\n').unwrap();
    for (text, wanted) in [
        (
            first.to_owned(),
            "the log ends after 4096 decisions, and decisions.parquet goes on with e4096",
        ),
        (second.to_owned(), "line 1 of the log is no block"),
        (whole.replace("\"count\":904", "\"count\":905"), "block 1 "),
        (String::new(), "goes on with e0"),
    ] {
        fs::write(&path, text).unwrap();
        let (code, said) = said(place, "all", &["--log-only"]);
        assert_eq!(code, Some(1), "{wanted}");
        assert!(said.contains(wanted), "{said}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(said(place, "all", &["--log-only"]).0, Some(1));
}

#[test]
fn who_changes_everything_is_found_by_deciding_again() {
    let directory = runs();
    let place = directory.path();
    // Decisions and log are those of other events, and whole in themselves.
    name_input_of(place, "dear", "all", "partial = false");
    assert_eq!(said(place, "dear", &["--log-only"]).0, Some(0));
    let (code, text) = said(place, "dear", &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("decision 4990 (e4990) is another"), "{text}");
    // A run that says that it ended early may hold fewer decisions, one that does not may not.
    name_input_of(place, "half", "all", "partial = false");
    let (code, text) = said(place, "half", &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("decision 2500 (e2500) is another"), "{text}");
    name_input_of(place, "half", "all", "partial = true");
    assert_eq!(said(place, "half", &[]).0, Some(0));
}

#[test]
fn rules_and_inputs_that_have_changed_are_named() {
    let directory = runs();
    let place = directory.path();
    let rule = place.join("rules/funds/large.toml");
    let text = fs::read_to_string(&rule).unwrap();
    fs::write(&rule, text.replace("score = 700", "score = 701")).unwrap();
    let (code, said_of_rules) = said(place, "all", &[]);
    assert_eq!(code, Some(1));
    assert!(said_of_rules.contains("the rules have changed"), "{said_of_rules}");
    fs::write(&rule, text).unwrap();
    fs::write(place.join("all.csv"), events(EVENTS, EVENTS - 1)).unwrap();
    let (code, text) = said(place, "all", &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("an input has changed") && text.contains("all.csv"), "{text}");
    fs::remove_file(place.join("all.csv")).unwrap();
    assert_eq!(said(place, "all", &[]).0, Some(2));
}

/// The files of which the log does not speak are held to `run.toml`, which names what is another; and
/// what would be told from them is not told.
#[test]
fn a_file_that_the_run_did_not_write_is_named_and_not_read() {
    let directory = runs();
    let place = directory.path();
    for file in
        ["entities.parquet", "features.parquet", "rejects.jsonl", "metrics.json", "report.html"]
    {
        let path = place.join("all").join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"\n"].concat()).unwrap();
        let (code, text) = said(place, "all", &[]);
        assert_eq!(code, Some(1), "{file}: {text}");
        assert!(text.contains(&format!("{file} is not what the run wrote")), "{text}");
        assert_eq!(said(place, "all", &["--log-only"]).0, Some(1), "{file}");
        let readers: [&[&str]; 4] = [
            &["diff", "all", "--rules=rules"],
            &["sweep", "all", "--rule=large", "--param=score=100"],
            &["explain", "all", "e7"],
            &["profile", "all", "u1"],
        ];
        for reader in readers {
            let command = reader[0];
            let done = hongxian(place, reader);
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            let refused = match file {
                "features.parquet" => true,
                // What is set beside the new rules stands there.
                "metrics.json" => ["diff", "sweep"].contains(&command),
                _ => continue,
            };
            assert_eq!(done.status.code(), Some(if refused { 2 } else { 0 }), "{command}: {said}");
            let told = said.contains(&format!("{file} is not what the run wrote"));
            assert_eq!(told, refused, "{command}: {said}");
        }
        fs::write(&path, whole).unwrap();
    }
    fs::remove_file(place.join("all/report.html")).unwrap();
    let (code, text) = said(place, "all", &["--log-only"]);
    assert!(code == Some(1) && text.contains("report.html"), "{text}");
}

/// A run of a version that wrote no hashes is read as before, and it is said what cannot be seen.
#[test]
fn a_run_that_does_not_say_what_it_wrote_is_read_all_the_same() {
    let directory = runs();
    let place = directory.path();
    let path = place.join("all/run.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (files, inputs) = (text.find("[[files]]").unwrap(), text.find("[[inputs]]").unwrap());
    fs::write(&path, format!("{}{}", &text[..files], &text[inputs..])).unwrap();
    fs::write(place.join("all/report.html"), "another").unwrap();
    let done = hongxian(place, &["verify", "all", "--log-only", "--json"]);
    let noted = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && noted.contains("did not write down the hashes"), "{noted}");
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&told["log"]["answer"], &told["files"]), (&"yes".into(), &Value::Null));
}
