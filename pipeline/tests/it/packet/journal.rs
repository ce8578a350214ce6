//! The journal of the packet engine: whole, or it says where it is not, and proofs that others can check.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{DINNER, errors, of, outcomes, packet, packet_in, said_in_chinese};

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
