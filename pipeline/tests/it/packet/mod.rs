//! The packet engine as a program: commands in, outcomes out.

mod journal;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
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
