//! What every command promises to programs that call it: JSON where it is asked for, and exit codes
//! that tell a mistake of the caller from one of the machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::diff::{done, hongxian, stories};
use super::support::workspace;

/// The commands that have no result: a script for a shell is what it is.
const NO_RESULT: [&str; 2] = ["completions", "help"];

/// The commands below one, as its help lists them; none: it has none.
fn below(place: &Path, command: &[&str]) -> Vec<String> {
    let help = done(place, &[command, &["--help"]].concat());
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| !NO_RESULT.contains(name)).map(str::to_owned).collect()
}

#[test]
fn every_command_that_prints_a_result_prints_it_as_json() {
    let place = tempfile::tempdir().unwrap();
    let mut commands = Vec::new();
    for first in below(place.path(), &[]) {
        let second = below(place.path(), &[&first]);
        match second.is_empty() {
            true => commands.push(vec![first]),
            false => commands.extend(second.into_iter().map(|it| vec![first.clone(), it])),
        }
    }
    assert!(commands.len() > 25, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = done(place.path(), &[&words[..], &["-h"]].concat());
        assert!(help.contains("--json"), "{command:?}:\n{help}");
    }
}

fn parsed(place: &Path, arguments: &[&str]) -> Value {
    let text = done(place, arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{text}"))
}

#[test]
fn a_digest_is_of_decisions_and_of_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::write(place.join("events.csv"), EVENTS).unwrap();
    fs::create_dir(place.join("none")).unwrap();
    let rules = ["--rules", "none", "--out", "run", "--json"];
    let run = parsed(place, &[&["backtest", "events.csv"], &rules[..]].concat());
    let digest = run["decisions_digest"].as_str().unwrap();
    assert_eq!(done(place, &["digest", "run"]), format!("{digest}\n"));
    assert_eq!(parsed(place, &["digest", "run", "--json"]), json!({ "decisions_digest": digest }));

    // The line by hand, as the contract has it.
    let hash = run_hash(place);
    let line = format!(
        "{{\"event_id\":\"e1\",\"event_time\":1707480000000,\"effective_time\":1707480000000,\
         \"late\":false,\"kind\":\"transfer\",\"account_id\":\"a\",\"counterparty_id\":\"b\",\
         \"group_id\":null,\"packet_id\":null,\"amount_fen\":5,\"decision\":\"allow\",\"score\":0,\
         \"rule_score\":0,\"model_score\":null,\"reasons\":[],\"evidence\":{{}},\"outcome\":null,\
         \"shadow_hits\":[],\"rules_hash\":\"{hash}\",\"model_hash\":null}}"
    );
    for text in [format!("{line}\n"), line.clone()] {
        fs::write(place.join("lines.jsonl"), text).unwrap();
        assert_eq!(done(place, &["digest", "lines.jsonl"]), format!("{digest}\n"));
    }
    for (text, at) in [(EVENTS.to_owned(), 1), (format!("{line}\n{{\"event_id\": \"e2\"\n"), 2)] {
        fs::write(place.join("other"), text).unwrap();
        let refused = hongxian(place, &["digest", "other"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            refused.stdout.is_empty() && said.contains(&format!("other:{at} is no ")),
            "{said}"
        );
    }
    let refused = hongxian(place, &["digest", "run/features.parquet"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("it has no column event_time"), "{said}");
}

const EVENTS: &str = "event_id,event_time,kind,account_id,counterparty_id,amount_fen\n\
    e1,1707480000000,transfer,a,b,5\n";

fn run_hash(place: &Path) -> String {
    let run: toml::Table = fs::read_to_string(place.join("run/run.toml")).unwrap().parse().unwrap();
    run["rules_hash"].as_str().unwrap().to_owned()
}

#[test]
fn rules_are_told_to_programs_too() {
    let shipped = workspace().join("rules").display().to_string();
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let told = parsed(place, &["rules", "docs", "--of", "rules", "--json", "--rules", &shipped]);
    let rules = told["rules"].as_array().unwrap();
    let one = rules.iter().find(|rule| rule["id"] == "many-groups-one-collector").unwrap();
    assert_eq!((&one["score"], &one["floor"]), (&json!(400), &json!("review")));
    assert_eq!((&one["title_zh"], &one["effect"]), (&json!("多群归集"), &Value::Null));
    let told = parsed(place, &["rules", "docs", "--json", "--rules", &shipped]);
    let features = told["features"].as_array().unwrap();
    let fields = |name: &str| features.iter().find(|feature| feature["name"] == name).unwrap();
    assert_eq!(
        (&fields("amount_fen")["unit"], &fields("amount_fen")["type"]),
        (&json!("fen"), &json!("int"))
    );
    assert_eq!(fields("behaviour.night_share_7d")["type"], "double");

    fs::create_dir_all(place.join("own/funds")).unwrap();
    let rule = "status = 'live'\ntitle = 't'\non = ['claim']\nwhen = 'true'\nscore = 1\nreason = 'r'\n\
        [[test]]\nname = 'hits'\ngiven = ['0s claim g u amount=1']\nexpect = { event = 1, hit = true }\n";
    fs::write(place.join("own/funds/one.toml"), rule).unwrap();
    let told = parsed(place, &["rules", "test", "--json", "--rules", "own"]);
    assert_eq!((&told["passed"], &told["failed"]), (&json!(1), &json!(0)));
    assert_eq!(told, parsed(place, &["rules", "test", "--format=json", "--rules", "own"]));
    let changed = json!({ "changed": ["own/funds/one.toml"] });
    let check = hongxian(place, &["rules", "fmt", "--check", "--json", "--rules", "own"]);
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&check.stdout).unwrap(), changed);
    assert_eq!(parsed(place, &["rules", "fmt", "--json", "--rules", "own"]), changed);
    assert_eq!(
        parsed(place, &["rules", "fmt", "--json", "--rules", "own"]),
        json!({ "changed": [] })
    );
}

/// A file that is not TOML is no file in its normal form, and the others are put into theirs.
#[test]
fn a_file_that_cannot_be_put_into_its_normal_form_is_a_mistake() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::create_dir_all(place.join("own/funds")).unwrap();
    fs::write(place.join("own/funds/broken.toml"), "title = [\n").unwrap();
    fs::write(place.join("own/funds/whole.toml"), "status='live'\ntitle='t'\n").unwrap();
    for more in [&["--check"][..], &[]] {
        let words = [&["rules", "fmt", "--rules", "own"], more].concat();
        let refused = hongxian(place, &words);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("own/funds/broken.toml:1:"), "{said}");
    }
    let whole = fs::read_to_string(place.join("own/funds/whole.toml")).unwrap();
    assert!(whole.starts_with("title"), "{whole}");
}

/// Whoever keeps what a command prints must hear that it was not kept; whoever reads only the
/// beginning need not.
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    for command in [&["rules", "docs", "--json"][..], &["completions", "bash"]] {
        let mut told = Command::new(env!("CARGO_BIN_EXE_hongxian"));
        told.args(command).current_dir(workspace()).env("LANG", "C").stderr(Stdio::piped());
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = told.stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{command:?}: {said}");
        assert!(said.contains("cannot write standard output"), "{said}");

        let mut child = told.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{command:?}");
    }
}

/// Rules may read columns of one's own, whose types the mapping file says; they are checked, tested
/// and documented like others.
#[test]
fn rules_on_own_columns_are_checked_and_tested_with_their_mapping() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let map = "[fields]\nevent_id = 'id'\nevent_time = 'at'\nkind = { constant = 'transfer' }\n\
        [extra.shop]\ncolumn = 'shop'\ntype = 'string'\n";
    fs::write(place.join("map.toml"), map).unwrap();
    let rule = "title = 't'\nstatus = 'live'\non = ['transfer']\nwhen = \"extra.shop == 's'\"\nscore = 1\n\
        reason = 'r'\n[[test]]\nname = 'hits'\n\
        given = ['0s transfer - a payee=b amount=1 extra.shop=s', '1s transfer - a payee=b amount=1 extra.shop=t']\n\
        expect = [{ event = 1, hit = true }, { event = 2, hit = false }]\n";
    fs::create_dir_all(place.join("own/funds")).unwrap();
    fs::write(place.join("own/funds/at-the-shop.toml"), rule).unwrap();
    for (command, said) in [("check", "1 rules"), ("test", "1 passed"), ("docs", "`extra.shop`")] {
        let words = ["rules", command, "--rules", "own"];
        let without = hongxian(place, &words);
        assert_eq!(without.status.code(), Some(2), "{command}: there is no such column");
        let with = done(place, &[&words[..], &["--map", "map.toml"]].concat());
        assert!(with.contains(said), "{command}: {with}");
    }
}

/// Whoever names a rules directory that is not there has mistyped it, whatever was to be done.
#[test]
fn a_rules_directory_that_is_not_there_is_a_mistake_of_the_caller() {
    let place = tempfile::tempdir().unwrap();
    for command in ["check", "test", "fmt", "docs"] {
        let refused = hongxian(place.path(), &["rules", command, "--rules", "nowhere"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "rules {command}: {said}");
        assert!(said.contains("nowhere"), "{said}");
    }
}

/// A rule that lacked a value is counted for whoever looks at the run, and not silently a miss.
#[test]
fn rules_that_could_not_be_evaluated_are_shown() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let rule = "title = 't'\nstatus = 'live'\non = ['transfer']\nwhen = \"group_id == 'g'\"\nscore = 1\n\
        reason = 'r'\n";
    fs::create_dir_all(place.join("own/funds")).unwrap();
    fs::write(place.join("own/funds/in-a-group.toml"), rule).unwrap();
    fs::write(place.join("events.csv"), EVENTS).unwrap();
    let said = done(place, &["backtest", "events.csv", "--rules", "own", "--out", "run"]);
    assert!(said.contains("not evaluable, transactions  in-a-group 1"), "{said}");
    let files = stories(place);
    let shipped = workspace().join("rules").display().to_string();
    let said = done(place, &["backtest", &files[0], "--rules", &shipped, "--out", "story"]);
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
}
