//! The packet engine as a program: commands in, outcomes out, a journal that is whole or says where
//! it is not, and proofs that others can check.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn packet(arguments: &[&str], input: &str) -> Output {
    packet_in("en", arguments, input)
}

fn packet_in(lang: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.arg("packet").args(arguments).args(["--lang", lang]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What a command says on standard output with `--lang zh`.
fn said_in_chinese(arguments: &[&str]) -> String {
    let output = packet_in("zh", arguments, "");
    assert!(output.status.success(), "{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn outcomes(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs commands, one a line, by the clock in them, without a journal.
fn tell(commands: &str) -> Vec<Value> {
    let output = packet(&["run", "--clock", "commands"], commands);
    assert!(output.status.success(), "{}", errors(&output));
    outcomes(&output)
}

fn of<'a>(outcomes: &'a [Value], id: &str) -> &'a Value {
    outcomes.iter().find(|outcome| outcome["id"] == id).expect("an outcome of that id")
}

/// A dinner: equal shares, one held and given back, one blocked, the rest refunded after a day.
const DINNER: &str = r#"
{"id":"t1","do":"topup","account":"ada","amount_fen":10000,"at":"2024-02-09T20:00:00+08:00"}
{"id":"j1","do":"join","group":"g","account":"ada","at":"2024-02-09T20:00:00+08:00"}
{"id":"j2","do":"join","group":"g","account":"bo","at":"2024-02-09T20:00:00+08:00"}
{"id":"j3","do":"join","group":"g","account":"cy","at":"2024-02-09T20:00:00+08:00"}
{"id":"j4","do":"join","group":"g","account":"dee","at":"2024-02-09T20:00:00+08:00"}
{"id":"s1","do":"send","account":"ada","packet":"p1","group":"g","amount_fen":8000,"shares":4,"play":"equal","at":"2024-02-09T20:00:01+08:00"}
{"id":"c0","do":"claim","account":"bo","packet":"p1","at":"2024-02-09T20:00:01+08:00"}
{"id":"d1","do":"decide","transaction":"s1","decision":"allow","at":"2024-02-09T20:00:01+08:00"}
{"id":"c1","do":"claim","account":"bo","packet":"p1","at":"2024-02-09T20:00:02+08:00"}
{"id":"d2","do":"decide","transaction":"c1","decision":"allow","at":"2024-02-09T20:00:02+08:00"}
{"id":"d3","do":"decide","transaction":"c1","decision":"block","at":"2024-02-09T20:00:02+08:00"}
{"id":"c2","do":"claim","account":"bo","packet":"p1","at":"2024-02-09T20:00:03+08:00"}
{"id":"c3","do":"claim","account":"stranger","packet":"p1","at":"2024-02-09T20:00:03+08:00"}
{"id":"c4","do":"claim","account":"cy","packet":"p1","at":"2024-02-09T20:00:03+08:00"}
{"id":"d4","do":"decide","transaction":"c4","decision":"hold","ttl_ms":3600000,"at":"2024-02-09T20:00:03+08:00"}
{"id":"c5","do":"claim","account":"dee","packet":"p1","at":"2024-02-09T20:00:04+08:00"}
{"id":"d5","do":"decide","transaction":"c5","decision":"block","at":"2024-02-09T20:00:04+08:00"}
{"id":"r1","do":"resolve","transaction":"c4","resolution":"return","actor":"lin","reason":"not hers","at":"2024-02-09T20:30:00+08:00"}
{"id":"late","do":"claim","account":"ada","packet":"p1","at":"2024-02-10T20:00:02+08:00"}
{"id":"clear","do":"clear","day":"2024-02-09","at":"2024-02-10T20:00:02+08:00"}
{"id":"again","do":"clear","day":"2024-02-09","at":"2024-02-10T20:00:02+08:00"}
"#;

#[test]
fn a_packet_goes_its_way_through_decisions_to_its_end() {
    let outcomes = tell(DINNER);
    assert_eq!(outcomes.len(), DINNER.trim().lines().count(), "an outcome a command");
    let wallet = |id: &str| {
        let wallet = &of(&outcomes, id)["wallet"];
        ["change_fen", "reserved_fen", "held_fen"].map(|field| wallet[field].as_u64().unwrap())
    };
    assert_eq!(wallet("s1"), [2000, 8000, 0], "the packet's money is reserved");
    assert_eq!(of(&outcomes, "c0")["refusal"], "packet_waiting");
    assert_eq!(wallet("d1"), [2000, 0, 0]);
    assert_eq!(of(&outcomes, "c1")["amount_fen"], 2000);
    assert_eq!(wallet("c1"), [0, 0, 0], "the share waits in the packet");
    assert_eq!(wallet("d2"), [2000, 0, 0]);
    assert_eq!(of(&outcomes, "d3")["refusal"], "decided_otherwise");
    assert_eq!(of(&outcomes, "c2")["refusal"], "claimed_already");
    assert_eq!(of(&outcomes, "c3")["refusal"], "not_member");
    assert_eq!(wallet("d4"), [0, 0, 2000], "held for the claimer");
    assert_eq!(of(&outcomes, "d5")["settlement"], "voided");
    assert_eq!(of(&outcomes, "r1")["settlement"], "returned");
    assert_eq!(wallet("r1"), [0, 0, 0]);
    // 24 hours after it was opened: a share that nobody took and one that was blocked go back.
    let late = of(&outcomes, "late");
    assert_eq!(late["refusal"], "packet_expired");
    let whats: Vec<&str> =
        late["effects"].as_array().unwrap().iter().map(|e| e["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["expired", "refunded", "closed"]);
    assert_eq!(late["effects"][1]["amount_fen"], 4000);
    assert_eq!(wallet("late"), [8000, 0, 0], "10,000 less the one share that was paid");
    assert_eq!(of(&outcomes, "clear")["net_fen"], 10_000, "what the bank pays in for the day");
    assert_eq!(of(&outcomes, "again")["refusal"], "day_cleared");
}

#[test]
fn what_nobody_decides_falls_to_the_policy_by_amount() {
    let outcomes = tell(
        r#"
{"id":"t1","do":"topup","account":"ada","amount_fen":100000,"at":0}
{"id":"x1","do":"transfer","account":"ada","to":"bo","amount_fen":19999,"at":0}
{"id":"x2","do":"transfer","account":"ada","to":"bo","amount_fen":20000,"at":0}
{"id":"k1","do":"tick","at":1999}
{"id":"k2","do":"tick","at":2001}
{"id":"d1","do":"decide","transaction":"x2","decision":"allow","at":2002}
{"id":"r1","do":"resolve","transaction":"x2","resolution":"release","actor":"lin","reason":"known","at":2003}
{"id":"w","do":"move","account":"bo","into":"lingqiantong","amount_fen":39999,"at":2004}
"#,
    );
    assert!(of(&outcomes, "k1").get("effects").is_none());
    let fell = of(&outcomes, "k2")["effects"].as_array().unwrap();
    let decisions: Vec<&Value> = fell.iter().map(|effect| &effect["decision"]).collect();
    assert_eq!(decisions, ["allow", "hold"]);
    assert_eq!(of(&outcomes, "d1")["refusal"], "decided_otherwise");
    assert_eq!(of(&outcomes, "r1")["settlement"], "released");
    assert_eq!(of(&outcomes, "w")["result"], "applied", "both amounts have arrived");
}

#[test]
fn a_relay_goes_to_whom_the_shares_say() {
    let outcomes = tell(
        r#"
{"id":"t1","do":"topup","account":"ada","amount_fen":1000,"at":0}
{"id":"t2","do":"topup","account":"bo","amount_fen":1000,"at":0}
{"id":"t3","do":"topup","account":"cy","amount_fen":1000,"at":0}
{"id":"s1","do":"send","account":"ada","packet":"p1","amount_fen":999,"shares":2,"play":"relay","next":"least_lucky","at":0}
{"id":"d1","do":"decide","transaction":"s1","decision":"allow","at":0}
{"id":"c1","do":"claim","account":"bo","packet":"p1","at":1}
{"id":"c2","do":"claim","account":"cy","packet":"p1","at":1}
{"id":"n1","do":"send","account":"bo","packet":"p2","amount_fen":999,"shares":2,"play":"relay","after":"p1","at":2}
{"id":"n2","do":"send","account":"cy","packet":"p3","amount_fen":999,"shares":2,"play":"relay","after":"p1","at":2}
"#,
    );
    let [bo, cy] = ["c1", "c2"].map(|id| of(&outcomes, id)["amount_fen"].as_u64().unwrap());
    assert_eq!(bo + cy, 999, "odd, so that one has less");
    let (least, other) = if bo < cy { ("n1", "n2") } else { ("n2", "n1") };
    assert_eq!(of(&outcomes, least)["result"], "sent");
    assert_eq!(of(&outcomes, other)["refusal"], "relay_not_your_turn");
    let last = of(&outcomes, "c2")["effects"].as_array().unwrap();
    assert_eq!(last[0]["next"], if bo < cy { "bo" } else { "cy" });
    assert_eq!(last[0]["luckiest"], if bo < cy { "cy" } else { "bo" });
}

#[test]
fn a_password_may_be_guessed_five_times() {
    let mut commands = r#"
{"id":"t1","do":"topup","account":"ada","amount_fen":1000,"at":0}
{"id":"s1","do":"send","account":"ada","packet":"p1","amount_fen":100,"shares":2,"play":"password","password":"恭喜发财","at":0}
{"id":"d1","do":"decide","transaction":"s1","decision":"allow","at":0}
"#
    .to_owned();
    for guess in 0..6 {
        commands += &format!(
            "{{\"id\":\"g{guess}\",\"do\":\"claim\",\"account\":\"bo\",\"packet\":\"p1\",\
             \"password\":\"{guess}\",\"at\":1}}\n"
        );
    }
    commands += r#"
{"id":"bo","do":"claim","account":"bo","packet":"p1","password":"恭喜发财","at":2}
{"id":"cy","do":"claim","account":"cy","packet":"p1","password":"恭喜发财","at":2}
"#;
    let outcomes = tell(&commands);
    assert_eq!(of(&outcomes, "g4")["refusal"], "password_wrong");
    assert_eq!(of(&outcomes, "g5")["refusal"], "guesses_too_many");
    assert_eq!(of(&outcomes, "bo")["refusal"], "guesses_too_many");
    assert_eq!(of(&outcomes, "cy")["result"], "claimed");
}

/// Whatever the play, a group's packet is for its members.
#[test]
fn an_exclusive_packet_in_a_group_is_for_a_member() {
    let outcomes = tell(
        r#"
{"id":"t","do":"topup","account":"ada","amount_fen":1000,"at":0}
{"id":"j1","do":"join","group":"g","account":"ada","at":0}
{"id":"s","do":"send","account":"ada","packet":"p","group":"g","amount_fen":100,"shares":1,"play":"exclusive","to":"bo","at":0}
{"id":"d","do":"decide","transaction":"s","decision":"allow","at":0}
{"id":"c1","do":"claim","account":"ada","packet":"p","at":1}
{"id":"c2","do":"claim","account":"bo","packet":"p","at":1}
{"id":"j2","do":"join","group":"g","account":"bo","at":2}
{"id":"c3","do":"claim","account":"bo","packet":"p","at":2}
"#,
    );
    assert_eq!(of(&outcomes, "c1")["refusal"], "not_named");
    assert_eq!(of(&outcomes, "c2")["refusal"], "not_member");
    assert_eq!(of(&outcomes, "c3")["result"], "claimed");
}

/// A refusal shows what the account has also where no command has opened it: nothing.
#[test]
fn every_reply_to_an_account_has_its_wallet() {
    let outcomes = tell(
        r#"
{"id":"s","do":"send","account":"ada","packet":"p","group":"g","amount_fen":100,"shares":1,"at":0}
{"id":"c","do":"claim","account":"bo","packet":"p","at":0}
{"id":"h","do":"thaw","case":"k","account":"cy","amount_fen":1,"actor":"lin","reason":"known","at":0}
{"id":"d","do":"decide","transaction":"s","decision":"allow","at":0}
"#,
    );
    let nothing = serde_json::json!({
        "change_fen": 0, "lingqiantong_fen": 0, "reserved_fen": 0, "held_fen": 0,
    });
    let refusals = [("s", "not_member"), ("c", "packet_unknown"), ("h", "case_unknown")];
    for (id, refusal) in refusals {
        let outcome = of(&outcomes, id);
        assert_eq!((&outcome["refusal"], &outcome["wallet"]), (&refusal.into(), &nothing));
    }
    assert!(of(&outcomes, "d").get("wallet").is_none(), "it is of nobody");
}

#[test]
fn a_line_that_is_no_command_says_what_is_wrong_with_it() {
    let decide = r#"{"id":"a","do":"decide","transaction":"b","decision":"hold","ttl_ms":0}"#;
    let send = |more: &str| {
        let start =
            r#"{"id":"a","do":"send","account":"x","packet":"p","amount_fen":2,"shares":1,"#;
        format!("{start}{more}}}")
    };
    let empty = send(r#""play":"password","password":"""#);
    let equal = send(r#""play":"equal","tilt_per_mille":5"#);
    let exclusive = send(r#""play":"exclusive","to":"y","tilt_per_mille":5"#);
    let mistakes = [
        (decide, "`ttl_ms` is 0"),
        (empty.as_str(), "`password` is empty"),
        (equal.as_str(), "`tilt_per_mille` means nothing for equal"),
        (exclusive.as_str(), "`tilt_per_mille` means nothing for exclusive"),
        (r#"{"id":"a","do":"send","play":"luky"}"#, "unknown variant `luky`"),
        (r#"{"id":"a","do":"sned","account":"x"}"#, "did you mean `send`"),
        (r#"{"id":"a","do":"claim","account":"x"}"#, "`packet` is missing"),
        (r#"{"id":"a","do":"topup","account":"x","amount_fen":1,"shares":2}"#, "`shares` does not"),
        (r#"{"id":"a","do":"topup","account":"x","amount_fen":1.5}"#, "invalid type"),
        (r#"{"id":"a","do":"topup","account":"x","amount_fen":-1}"#, "invalid value"),
        (r#"{"id":"a","do":"topup","acount":"x","amount_fen":1}"#, "unknown field `acount`"),
        (r#"{"id":"a","do":"decide","transaction":"b","decision":"hold"}"#, "`ttl_ms` is missing"),
        (r#"not json"#, "no JSON object"),
        (r#"{"id":"a","do":"tick""#, "EOF"),
        (r#"["a","tick"]"#, "no JSON object"),
    ];
    let unnamed = ["no JSON object", "EOF"];
    let lines: String = mistakes.iter().map(|(line, _)| format!("{line}\n")).collect();
    let output = packet(&["run"], &lines);
    assert!(output.status.success());
    let outcomes = outcomes(&output);
    assert_eq!(outcomes.len(), mistakes.len());
    for (at, (outcome, (line, words))) in outcomes.iter().zip(mistakes).enumerate() {
        let error = outcome["error"].as_str().unwrap();
        assert!(error.contains(words), "{line}: {error}");
        assert!(error.starts_with(&format!("line {}: ", at + 1)), "{error}");
        assert_eq!(outcome["code"], "malformed", "{outcome}");
        let named = outcome.get("id").is_some_and(|id| id == "a");
        assert_eq!(named, !unnamed.contains(&words), "where it can be read: {line}");
    }
}

#[test]
fn an_id_of_another_command_has_a_code_and_a_byte_order_mark_is_no_command() {
    let lines = "\u{feff}{\"id\":\"t\",\"do\":\"topup\",\"account\":\"a\",\"amount_fen\":5}\n\
                 {\"id\":\"t\",\"do\":\"topup\",\"account\":\"a\",\"amount_fen\":6}\n\
                 {\"id\":\"\",\"do\":\"topup\",\"account\":\"a\",\"amount_fen\":6}\n";
    let outcomes = outcomes(&packet(&["run"], lines));
    assert_eq!(outcomes[0]["result"], "applied");
    assert_eq!([&outcomes[1]["code"], &outcomes[2]["code"]], ["id_taken", "id_invalid"]);
}

/// Ctrl-C ends it with what it has: everything that was answered is under a checkpoint, so that a
/// byte of it that is changed is not taken for what a crash left unfinished.
#[cfg(unix)]
#[test]
fn an_interrupted_journal_is_covered_to_its_last_answer() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.args(["packet", "run", "--lang", "en", "--journal", path]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for at in 0..3 {
        writeln!(input, r#"{{"id":"t{at}","do":"topup","account":"a","amount_fen":5}}"#).unwrap();
        answers.next().unwrap().unwrap();
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    assert!(errors(&output).contains("interrupted after 3 lines"), "{}", errors(&output));
    assert!(packet(&["verify", path], "").status.success());
    let logs = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
    let last = logs.filter(|path| path.extension().is_some_and(|kind| kind == "log")).max();
    let last = last.unwrap();
    let mut bytes = fs::read(&last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&last, bytes).unwrap();
    assert_eq!(packet(&["verify", path], "").status.code(), Some(1));
}

/// A journal of two runs: a packet of ten shares, all claimed, and some repeats.
fn journal(directory: &Path) -> Vec<Value> {
    let mut first = r#"{"id":"t","do":"topup","account":"ada","amount_fen":100000}
{"id":"s","do":"send","account":"ada","packet":"p","amount_fen":5000,"shares":10}
"#
    .to_owned();
    let claim = |at: u32| {
        format!("{{\"id\":\"c{at}\",\"do\":\"claim\",\"account\":\"u{at}\",\"packet\":\"p\"}}\n")
    };
    first.extend((0..5).map(claim));
    let path = directory.to_str().unwrap();
    let run = |input: &str| {
        let output = packet(&["run", "--journal", path, "--no-decisions"], input);
        assert!(output.status.success(), "{}", errors(&output));
        outcomes(&output)
    };
    let mut all = run(&first);
    // What was not heard is sent again, and then the rest.
    let second: String = (3..10).map(claim).collect();
    let again = run(&second);
    assert_eq!(again[..2], all[5..], "a repeat gets its first outcome, also from another process");
    all.extend_from_slice(&again[2..]);
    all
}

#[test]
fn a_journal_goes_on_where_it_was_and_verifies() {
    let place = tempfile::tempdir().unwrap();
    let outcomes = journal(place.path());
    let amounts = outcomes.iter().filter(|outcome| outcome["result"] == "claimed");
    let sum: u64 = amounts.map(|outcome| outcome["amount_fen"].as_u64().unwrap()).sum();
    assert_eq!(sum, 5000);
    let path = place.path().to_str().unwrap();
    let output = packet(&["verify", path, "--json"], "");
    assert!(output.status.success(), "{}", errors(&output));
    let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verified["commands"], 12);
    assert_eq!(verified["executed_again"], true);
    assert_eq!(
        (&verified["checkpoints_outside"], &verified["snapshots_compared"]),
        (&0.into(), &0.into())
    );
    // Without the secret the bytes and their order can still be checked.
    fs::remove_file(place.path().join("secret.key")).unwrap();
    let output = packet(&["verify", path], "");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not executed again"));
}

/// A line that is no command moves no clock, though it is read by itself.
#[test]
fn a_mistake_leaves_the_time_where_the_commands_say_it_is() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.args(["packet", "run", "--clock", "commands", "--no-decisions"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut said) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut ask = |line: &str| -> Value {
        writeln!(input, "{line}").unwrap();
        let mut outcome = String::new();
        said.read_line(&mut outcome).unwrap();
        serde_json::from_str(&outcome).unwrap()
    };
    let at = |seconds: u32| format!("\"at\":\"2024-02-09T20:00:{seconds:02}+08:00\"}}");
    let moment = |seconds: u64| 1_707_480_000_000_000_000 + seconds * 1_000_000_000;
    let topup = r#"{"do":"topup","account":"ada","amount_fen":10,"id":"#;
    let first = ask(&format!("{topup}\"t1\",{}", at(1)));
    assert_eq!(first["time_ns"], moment(1), "{first}");
    assert_eq!(ask("xx")["code"], "malformed");
    assert_eq!(ask(&format!("{topup}\"t2\"}}"))["code"], "malformed", "it has no `at`");
    let second = ask(&format!("{topup}\"t3\",{}", at(2)));
    assert_eq!(second["time_ns"], moment(2), "{second}");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_journal_can_be_told_of_times_that_are_past() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    let output = packet(&["run", "--clock", "commands", "--journal", path], DINNER);
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(of(&outcomes(&output), "clear")["net_fen"], 10_000);
    let output = packet(&["verify", path], "");
    assert!(output.status.success(), "{}", errors(&output));
}

/// Whoever has missed an effect can ask for what became of a packet, also of one that the engine has
/// forgotten since, and nothing changes by it.
#[test]
fn what_a_packet_is_can_be_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    let later = r#"{"id":"later","do":"tick","at":"2024-03-09T20:00:00+08:00"}"#;
    let commands = format!("{DINNER}{later}\n");
    let output = packet(&["run", "--clock", "commands", "--journal", path], &commands);
    assert!(output.status.success(), "{}", errors(&output));
    let outcomes = outcomes(&output);
    let effects = of(&outcomes, "late")["effects"].as_array().unwrap();
    let closed = effects.iter().find(|effect| effect["what"] == "closed").unwrap();
    let log = place.path().join("batches-00000000000000000000.log");
    let before = fs::read(&log).unwrap();
    let shown = packet(&["show", path, "p1"], "");
    assert!(shown.status.success(), "{}", errors(&shown));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["state"], &shown["play"]), (&"closed".into(), &"equal".into()));
    assert_eq!(shown["secret"], closed["secret"]);
    assert_eq!(shown["commitment"], of(&outcomes, "s1")["commitment"]);
    let parts = ["paid_fen", "returned_fen", "refunded_fen"].map(|part| shown[part].as_u64());
    assert_eq!(parts, [Some(2_000), Some(2_000), Some(4_000)]);
    let claims = shown["claims"].as_array().unwrap();
    let named = |claim: &Value, id: &str| claim["seq"] == of(&outcomes, id)["seq"];
    assert!(claims.len() == 3 && named(&claims[0], "c1") && named(&claims[2], "c5"), "{shown}");
    assert_eq!(fs::read(&log).unwrap(), before);
    let nothing = packet(&["show", path, "p2"], "");
    assert_eq!(nothing.status.code(), Some(1), "{}", errors(&nothing));
}

/// Every command, field and value that the help names is one.
#[test]
fn help_and_limits_say_what_can_be_given() {
    let help = packet(&["run", "--help"], "");
    let help = String::from_utf8(help.stdout).unwrap();
    for words in ["send      account packet amount_fen shares [group]", "memory_hours", "show"] {
        assert!(help.contains(words), "{words}: {help}");
    }
    let shipped = packet(&["limits"], "");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("limits.toml");
    fs::write(&file, &shipped.stdout).unwrap();
    let output = packet(&["run", "--limits", file.to_str().unwrap()], "");
    assert!(output.status.success(), "it is a file of limits: {}", errors(&output));
    let json = packet(&["limits", "--json"], "");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["shares_max"]["value"], 100);
    assert!(json["shares_max"]["source"].is_string());
}

#[test]
fn no_byte_of_a_journal_can_be_changed_unseen() {
    let place = tempfile::tempdir().unwrap();
    journal(place.path());
    let path = place.path().to_str().unwrap();
    let segment = place.path().join("batches-00000000000000000000.log");
    let whole = fs::read(&segment).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&segment, &changed).unwrap();
        let output = packet(&["verify", path], "");
        assert_eq!(output.status.code(), Some(1), "byte {at}: {}", errors(&output));
        assert!(errors(&output).contains("the journal is broken"), "{}", errors(&output));
    }
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&segment, &changed).unwrap();
    let output = packet(&["verify", path], "");
    assert!(
        errors(&output).contains("batches-00000000000000000000.log at byte"),
        "{}",
        errors(&output)
    );
    let output = packet_in("zh", &["verify", path], "");
    assert!(errors(&output).contains("帧已损坏"), "{}", errors(&output));
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    let output = packet(&["verify", path], "");
    assert_eq!(output.status.code(), Some(1), "cut below its checkpoint: {}", errors(&output));
    fs::write(&segment, &whole).unwrap();
    assert!(packet(&["verify", path], "").status.success());
}

#[test]
fn a_claim_can_be_proved_to_whoever_has_the_public_key() {
    let place = tempfile::tempdir().unwrap();
    let outcomes = journal(place.path());
    let path = place.path().to_str().unwrap();
    let key = place.path().join("public.key");
    let proof = place.path().join("proof.json");
    let check = |proof: &Path| {
        let arguments = ["prove", "--check", proof.to_str().unwrap(), "--key"];
        packet(&[&arguments[..], &[key.to_str().unwrap()]].concat(), "")
    };
    for id in ["c0", "c4", "c9"] {
        let output = packet(&["prove", path, id], "");
        assert!(output.status.success(), "{}", errors(&output));
        fs::write(&proof, &output.stdout).unwrap();
        let checked = check(&proof);
        assert!(checked.status.success(), "{}", errors(&checked));
        let words = String::from_utf8_lossy(&checked.stdout).into_owned();
        let outcome = of(&outcomes, id);
        for fact in [
            format!("claim {} of packet p", outcome["index"]),
            format!("{} fen at {} ns", outcome["amount_fen"], outcome["time_ns"]),
            format!("receipt {}", outcome["head"].as_str().unwrap()),
        ] {
            assert!(words.contains(&fact), "{fact}: {words}");
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let in_chinese =
            ["prove", "--check", proof.to_str().unwrap(), "--key", key.to_str().unwrap()];
        let words = said_in_chinese(&in_chinese);
        assert!(words.contains(&format!("红包 p 的第 {} 笔", outcome["index"])), "{words}");
        let place = format!("\"place\": {}", outcome["index"]);
        let other = text.replace(&place, "\"place\": 77");
        assert_ne!(text, other);
        fs::write(&proof, other).unwrap();
        assert_eq!(check(&proof).status.code(), Some(1));
    }
    let nothing = packet(&["prove", path, "t"], "");
    assert_eq!(nothing.status.code(), Some(1), "a top-up is no claim");
}

#[test]
fn a_snapshot_that_is_none_is_a_broken_place() {
    let place = tempfile::tempdir().unwrap();
    journal(place.path());
    let path = place.path().to_str().unwrap();
    let snapshot = place.path().join("snapshot-00000000000000000001.bin");
    fs::write(&snapshot, b"no state").unwrap();
    let output = packet(&["verify", path], "");
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("snapshot-00000000000000000001.bin"), "{}", errors(&output));
    let output = packet(&["run", "--journal", path, "--no-decisions", "--whole"], "");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(!errors(&output).contains("snapshot"), "none is looked at: {}", errors(&output));
}

/// All files of a journal, with what is in them.
fn files(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_journal_without_its_secret_is_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    journal(place.path());
    let path = place.path().to_str().unwrap();
    let (secret, public) = (place.path().join("secret.key"), place.path().join("public.key"));
    let whole = files(place.path());
    let (secret_bytes, public_bytes) = (fs::read(&secret).unwrap(), fs::read(&public).unwrap());
    fs::remove_file(&secret).unwrap();
    let before = files(place.path());
    let output = packet(&["run", "--journal", path, "--no-decisions"], "");
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("its secret.key is missing"), "{}", errors(&output));
    assert_eq!(files(place.path()), before, "nothing was written");

    // The public key follows from the secret.
    fs::write(&secret, secret_bytes).unwrap();
    fs::remove_file(&public).unwrap();
    let output = packet(&["run", "--journal", path, "--no-decisions"], "");
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!(fs::read(&public).unwrap(), public_bytes);
    assert_eq!(files(place.path()), whole);
    assert!(packet(&["verify", path], "").status.success());
}

#[test]
fn checkpoints_kept_elsewhere_are_counted_apart_and_must_be_some() {
    let place = tempfile::tempdir().unwrap();
    journal(place.path());
    let path = place.path().to_str().unwrap();
    let own = place.path().join("checkpoints.txt");
    let notes = fs::read_to_string(&own).unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let kept = elsewhere.path().to_str().unwrap();
    let verify = |bytes: &str| {
        fs::write(elsewhere.path(), bytes).unwrap();
        packet(&["verify", path, "--checkpoints", kept, "--json"], "")
    };
    for none in ["", "hongxian/packet\n", &notes[..100]] {
        let output = verify(none);
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains("holds no checkpoints"), "{}", errors(&output));
    }
    // One as it was given away, without the empty line that parts it from the next.
    let (first, _) = notes.split_at(notes.len() / 2);
    let output = verify(first.trim_end_matches('\n'));
    assert_eq!(output.status.code(), Some(2), "its last line is cut: {}", errors(&output));
    let output = verify(&format!("{}\n", first.trim_end_matches('\n')));
    assert!(output.status.success(), "{}", errors(&output));
    let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&verified["checkpoints"], &verified["checkpoints_outside"]),
        (&2.into(), &1.into())
    );

    let words = said_in_chinese(&["verify", path, "--checkpoints", kept]);
    assert!(words.contains("日志自带的 2 个检查点相符,另存的 1 个相符"), "{words}");
    fs::remove_file(&own).unwrap();
    let output = packet(&["verify", path], "");
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains("no checkpoint: nothing shows that this is all"), "{words}");
}

#[test]
fn that_a_journal_was_only_added_to_can_be_proved() {
    let place = tempfile::tempdir().unwrap();
    journal(place.path());
    let path = place.path().to_str().unwrap();
    let notes = fs::read_to_string(place.path().join("checkpoints.txt")).unwrap();
    // Each is an origin, a size and a root, an empty line, a signature, an empty line.
    let checkpoints: Vec<_> =
        notes.lines().collect::<Vec<_>>().chunks(6).map(|lines| (lines[1], lines[2])).collect();
    let [(old, old_root), (new, new_root)] = checkpoints[..] else { panic!("{notes}") };
    let (key, proof) = (place.path().join("public.key"), place.path().join("growth.json"));
    let check =
        ["prove", "--check", proof.to_str().unwrap(), "--key", key.to_str().unwrap(), "--json"];
    for to in [&["--to", new][..], &[]] {
        let output = packet(&[&["prove", path, "--from", old], to].concat(), "");
        assert!(output.status.success(), "{}", errors(&output));
        fs::write(&proof, &output.stdout).unwrap();
        let checked = packet(&check, "");
        assert!(checked.status.success(), "{}", errors(&checked));
        let grown: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(
            (grown["old_batches"].to_string(), grown["new_batches"].to_string()),
            (old.into(), new.into())
        );
        assert_eq!((&grown["old_root"], &grown["new_root"]), (&old_root.into(), &new_root.into()));
    }
    let words = said_in_chinese(&check[..5]);
    assert!(words.contains("日志只有追加"), "{words}");
    // The older log of another engine is not the beginning of this one.
    let text = fs::read_to_string(&proof).unwrap();
    let other = tempfile::tempdir().unwrap();
    journal(other.path());
    let theirs = packet(&["prove", other.path().to_str().unwrap(), "--from", old], "");
    let mut mixed: Value = serde_json::from_str(&text).unwrap();
    let theirs: Value = serde_json::from_slice(&theirs.stdout).unwrap();
    mixed["old_checkpoint"] = theirs["old_checkpoint"].clone();
    fs::write(&proof, mixed.to_string()).unwrap();
    assert_eq!(packet(&check, "").status.code(), Some(1));
    for sizes in [["0", "2"], ["2", "1"], ["1", "999"]] {
        let output = packet(&["prove", path, "--from", sizes[0], "--to", sizes[1]], "");
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains("no proof leads from"), "{}", errors(&output));
    }
}

/// One command of a wrong clock would have all that come by the machine's stand still for decades.
#[test]
fn a_journal_far_ahead_of_the_machines_clock_goes_on_by_commands_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    let tick =
        |id: &str| format!("{{\"id\":\"{id}\",\"do\":\"tick\",\"at\":\"2096-01-01T00:00:00Z\"}}\n");
    let by_commands = ["run", "--clock", "commands", "--journal", path];
    assert!(packet(&by_commands, &tick("t1")).status.success());
    let output = packet(&["run", "--journal", path], "{\"id\":\"t2\",\"do\":\"tick\"}\n");
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    assert!(errors(&output).contains("ahead of the machine's clock"), "{}", errors(&output));
    assert!(output.stdout.is_empty(), "nothing was executed");
    assert!(packet(&by_commands, &tick("t3")).status.success());
}

#[test]
fn a_directory_without_a_journal_is_said_to_have_none() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().to_str().unwrap();
    for arguments in
        [&["verify", path][..], &["prove", path, "c1"], &["prove", path, "--from", "1"]]
    {
        let output = packet(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(errors(&output).contains("there is no journal in"), "{}", errors(&output));
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "and nothing is made there");
}

#[test]
fn a_load_leaves_a_journal_that_is_whole() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("journal");
    let path = directory.to_str().unwrap();
    let arguments =
        ["bench", "--rate", "2000", "--seconds", "1", "--accounts", "1000", "--journal", path];
    let output = packet(&arguments, "");
    assert!(output.status.success(), "{}", errors(&output));
    let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(measured["claims"], 2000, "all that was offered is done");
    // A thousand accounts want a share of the hot packet, and ten get one.
    assert_eq!(measured["refused"], 990);
    assert!(measured["create_to_allocated_ms"]["p999"].is_number());
    let verified = packet(&["verify", path], "");
    assert!(verified.status.success(), "{}", errors(&verified));
}

/// Three hundred packets of four shares with their claims, one too many for each.
fn many_commands() -> Vec<String> {
    let mut lines =
        vec![r#"{"id":"t","do":"topup","account":"ada","amount_fen":10000000}"#.to_owned()];
    for packet in 0..300 {
        lines.push(format!(
            r#"{{"id":"s{packet}","do":"send","account":"ada","packet":"p{packet}","amount_fen":{},"shares":4}}"#,
            400 + packet,
        ));
        lines.extend((0..5).map(|at| {
            format!(
                r#"{{"id":"c{packet}-{at}","do":"claim","account":"u{at}","packet":"p{packet}"}}"#
            )
        }));
    }
    lines
}

/// Sends commands to a program until it has answered so many, or all; then it is killed.
fn run_until(journal: &str, commands: &[String], answers: usize) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.args(["packet", "run", "--no-decisions", "--journal", journal]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = commands.to_vec();
    let writer = std::thread::spawn(move || {
        for part in lines.chunks(40) {
            // The program may have been killed.
            if input.write_all((part.join("\n") + "\n").as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut heard = Vec::new();
    let mut line = String::new();
    while heard.len() < answers && output.read_line(&mut line).unwrap() > 0 {
        let mut outcome: Value = serde_json::from_str(&line).unwrap();
        // What the engine does beside its reply is told once, the reply as often as it is asked for.
        outcome.as_object_mut().unwrap().remove("effects");
        heard.push(outcome);
        line.clear();
    }
    if answers < commands.len() {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    writer.join().unwrap();
    heard
}

#[test]
fn a_killed_program_has_kept_all_that_it_told() {
    let place = tempfile::tempdir().unwrap();
    let journal = place.path().to_str().unwrap();
    let commands = many_commands();
    let mut heard: Vec<Value> = Vec::new();
    for answers in [1, 30, 200, 201, 555, 1_000, 1_400, usize::MAX] {
        let again = run_until(journal, &commands, answers);
        let both = heard.len().min(again.len());
        assert_eq!(again[..both], heard[..both], "what was told before the kill stays true");
        if again.len() > heard.len() {
            heard = again;
        }
    }
    assert_eq!(heard.len(), commands.len());
    for packet in 0..300 {
        let outcomes: Vec<&Value> =
            (0..5).map(|at| of(&heard, &format!("c{packet}-{at}"))).collect();
        let amounts = outcomes.iter().filter_map(|outcome| outcome["amount_fen"].as_u64());
        assert_eq!(amounts.sum::<u64>(), 400 + packet);
        assert_eq!(outcomes[4]["refusal"], "packet_exhausted");
    }
    let verified = packet(&["verify", journal], "");
    assert!(verified.status.success(), "{}", errors(&verified));
}
