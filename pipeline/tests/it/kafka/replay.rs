//! What a stream decides is what a backtest decides: of the files that were produced where nothing
//! came late, and of the exported input log always.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use hongxian::stream::{self, Produce};

use super::bench::{Bench, Sent, claim, claim_json, hongxian};
use super::succeeds;
use crate::support::{START, workspace};

/// Claims and logins of a hundred accounts.
fn csv(claims: i64) -> String {
    let mut csv =
        "event_id,event_time,kind,account_id,counterparty_id,group_id,packet_id,amount_fen\n"
            .to_owned();
    for at in 0..claims {
        let (time, account, group, packet) = (START + at * 700, at * 7 % 100, at % 10, at / 5);
        writeln!(csv, "e{at},{time},claim,u{account},s{group},g{group},p{packet},{}", at % 900 + 1)
            .unwrap();
        if at % 5 == 0 {
            writeln!(csv, "l{at},{time},login,u{account},,,,").unwrap();
        }
    }
    csv
}

/// The shipped rules over a file: produced and streamed, the same bytes as a backtest; once more,
/// nothing more; and a run directory that commands read.
#[test]
fn a_file_that_is_produced_is_decided_as_a_backtest_decides_it() {
    let Some(bench) = Bench::new("file", 0) else { return };
    let (events, rules) = (bench.path("events.csv"), workspace().join("rules"));
    fs::write(&events, csv(2_000)).unwrap();
    bench.configure(&rules);
    let request = Produce {
        paths: vec![events.clone()],
        maps: Vec::new(),
        topic: bench.topic("in"),
        partitions: 3,
        key: "account_id".to_owned(),
        rate: None,
        sort_memory: 1 << 30,
    };
    let produced = stream::produce(&bench.cluster(), &request, &(), &|_| {}).unwrap();
    assert_eq!((produced.produced, produced.partitions), (2_400, 3));
    let run = bench.path("run");
    let ended = bench.stream(&["--once", "--out", run.to_str().unwrap()]);
    assert_eq!(ended["counts"]["decided"], 2_000);
    assert_eq!(ended["counts"]["applied"], 400);
    let mut backtest = hongxian();
    backtest.arg("backtest").arg(&events).arg("--out").arg(bench.path("plain"));
    succeeds(backtest.arg("--rules").arg(&rules));
    let digest =
        |run: &str| succeeds(hongxian().arg("digest").arg(bench.path(run))).trim().to_owned();
    let plain = digest("plain");
    assert_eq!(bench.digest(), plain, "the topic");
    assert_eq!(digest("run"), plain, "the run directory");
    let profile = succeeds(hongxian().arg("profile").arg(&run).arg("u7"));
    assert!(profile.contains("u7"), "{profile}");
    let again = bench.stream(&["--once", "--workers", "1", "--tick", "1m"]);
    assert_eq!((&again["written"], &again["counts"]), (&0.into(), &ended["counts"]));
    assert_eq!(again["decisions_digest"], plain.as_str());
}

/// A part of a log between two times at which its records were appended: up to a time it decides what
/// the stream had decided by then, from a time on it is what came since.
#[test]
fn a_part_of_a_log_has_what_was_appended_in_it() {
    let Some(bench) = Bench::new("part", 2) else { return };
    bench.send((0..40).map(|at| claim(at, (at % 2) as i32)));
    bench.stream(&["--once"]);
    let first = bench.digest();
    // What is appended from here on is appended a millisecond later at least.
    std::thread::sleep(Duration::from_millis(20));
    bench.send((40..70).map(|at| claim(at, (at % 2) as i32)));
    let ended = bench.stream(&["--once"]);
    assert_eq!(ended["counts"]["decided"], 70);

    let exported = |name: &str, more: &[&str]| {
        let mut command = hongxian();
        command.arg("input-log").arg(bench.config()).arg("--out").arg(bench.path(name));
        succeeds(command.args(more));
        let lines = |partition: usize| -> Vec<serde_json::Value> {
            let path = bench.path(name).join(format!("partitions/{partition}.jsonl"));
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        [lines(0), lines(1)]
    };
    let all = exported("all", &[]);
    assert_eq!([all[0].len(), all[1].len()], [35, 35]);
    let appended = |line: &serde_json::Value| line["append_time"].as_i64().unwrap();
    let second = all.iter().flat_map(|lines| &lines[20..]).map(appended).min().unwrap();
    let before = exported("before", &["--to", &second.to_string()]);
    assert_eq!(before, [all[0][..20].to_vec(), all[1][..20].to_vec()]);
    let rfc3339 = jiff::Timestamp::from_millisecond(second).unwrap().to_string();
    let since = exported("since", &["--from", &rfc3339]);
    assert_eq!(since, [all[0][20..].to_vec(), all[1][20..].to_vec()]);

    let replayed = |name: &str| {
        let mut backtest = hongxian();
        backtest.arg("backtest").arg("--input-log").arg(bench.path(name)).arg("--json");
        backtest.arg("--rules").arg(bench.rules()).arg("--out").arg(bench.path("run"));
        let told: serde_json::Value = serde_json::from_str(&succeeds(&mut backtest)).unwrap();
        (told["decisions_digest"].clone(), told["counts"]["decided"].clone())
    };
    assert_eq!(replayed("before"), (first.into(), 40.into()));
    assert_eq!(replayed("since").1, 30);

    let refused = |more: &[&str]| {
        let mut command = hongxian();
        command.arg("input-log").arg(bench.config()).arg("--out").arg(bench.path("none"));
        let output = command.args(["--lang", "en"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let second = second.to_string();
    let said = refused(&["--from", &second, "--to", &second]);
    assert!(said.contains("--from is not before --to"), "{said}");
    let said = refused(&["--from", "2100-01-01T00:00:00Z"]);
    assert!(said.contains("nothing was appended between"), "{said}");
    let said = refused(&["--from", "yesterday"]);
    assert!(said.contains("2026-11-29T08:00:00+08:00"), "{said}");
    assert!(!bench.path("none").exists(), "nothing is left behind");
}

/// Numbers by a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Records that are no events.
const POISON: [&[u8]; 8] = [
    b"",
    b"not json",
    b"[1,2]",
    b"{\"event_id\":\"x\"}",
    b"{\"event_id\":\"x\",\"event_time\":1.0,\"kind\":\"login\",\"account_id\":\"u\"}",
    b"{\"event_id\":\"x\",\"event_time\":3786912000000,\"kind\":\"login\",\"account_id\":\"u\"}",
    b"\xff\xfe{}",
    b"{\"event_id\":\"x\",\"event_time\":1707480000000,\"kind\":\"dance\"} trailing",
];

/// Disorder: late events, repeats with the same and another body in any partition, records that
/// are no events and one without a value, JSON over two lines.
fn disorder(random: &mut Random, count: i64, start: i64) -> Vec<Sent> {
    let mut sent = Vec::new();
    for at in 0..count {
        // Of five partitions the fourth has nothing and the fifth no event.
        let partition = random.below(3) as i32;
        let behind = random.below(6_000) as i64;
        let (id, time) = (format!("e{}", start + at), (start + at) * 90 - behind);
        let json = claim_json(&id, time, random.below(20) as i64, at);
        let value = match random.below(40) {
            0 => Some(POISON[random.below(8) as usize].to_vec()),
            1 => None,
            2 => Some(json.replacen(',', ",\n", 1).into_bytes()),
            _ => Some(json.clone().into_bytes()),
        };
        sent.push(Sent { partition, value });
        match random.below(30) {
            0 => sent.push(Sent { partition: 1, value: Some(json.into_bytes()) }),
            1 => {
                let other = claim_json(&id, time, 99, at);
                sent.push(Sent { partition: 2, value: Some(other.into_bytes()) });
            }
            2 => {
                let value = Some(POISON[random.below(8) as usize].to_vec());
                sent.push(Sent { partition: 4, value });
            }
            _ => {}
        }
    }
    sent
}

/// In two sittings with other workers and ticks, the topic has the bytes of a backtest of the
/// exported log at any number of workers; and every record is accounted for, refused ones byte by
/// byte.
#[test]
fn an_exported_input_log_replays_to_the_bytes_of_the_topic() {
    let Some(bench) = Bench::new("log", 5) else { return };
    let mut random = Random(7);
    let mut sent = Vec::new();
    let sittings =
        [(700, ["--workers", "1", "--tick", "1s"]), (500, ["--workers", "3", "--tick", "7ms"])];
    let mut ended = serde_json::Value::Null;
    let mut start = 0;
    for (count, how) in sittings {
        let mut more = disorder(&mut random, count, start);
        // Why it is refused quotes all of it.
        let time = "\u{7f}".repeat(200_000);
        let value = Some(format!("{{\"event_id\":\"x\",\"event_time\":\"{time}\"}}").into_bytes());
        more.push(Sent { partition: 4, value });
        start += count;
        bench.send(more.clone());
        sent.extend(more);
        ended = bench.stream(&[&["--once"], &how[..]].concat());
    }
    let digest = bench.digest();
    assert_eq!(ended["decisions_digest"], digest.as_str());
    for workers in ["1", "4"] {
        let (replayed, counts) = bench.replayed(workers);
        assert_eq!(replayed, digest, "{workers} workers");
        for (name, count) in ended["counts"].as_object().unwrap() {
            assert_eq!(&counts[name], count, "{name}");
        }
    }
    let count = |name: &str| ended["counts"][name].as_u64().unwrap();
    let all: u64 = ["decided", "applied", "rejected", "duplicates"].map(count).iter().sum();
    assert_eq!(all, sent.len() as u64);
    assert!(count("duplicates") > 5 && count("rejected") > 30, "{ended}");
    let decisions = bench.committed("out");
    let late = decisions.iter().filter(|seen| {
        serde_json::from_slice::<serde_json::Value>(&seen.value).unwrap()["late"] == true
    });
    assert!(late.count() > 50, "the test is about late events too");
    let ids: BTreeSet<String> = bench.decided().into_iter().collect();
    assert_eq!(ids.len() as u64, count("decided"), "each once");
    check_letters(&bench, &sent, count("rejected"));
}

/// Every dead letter has its reason, and the bytes of the record at its place.
fn check_letters(bench: &Bench, sent: &[Sent], rejected: u64) {
    let letters = bench.committed("dead");
    assert_eq!(letters.len() as u64, rejected);
    let mut codes = BTreeSet::new();
    for letter in &letters {
        let header = |name: &str| letter.headers[&format!("hongxian.{name}")].as_str();
        let partition: i32 = header("partition").parse().unwrap();
        let offset: usize = header("offset").parse().unwrap();
        let mut of_partition = sent.iter().filter(|sent| sent.partition == partition);
        let original = of_partition.nth(offset).unwrap();
        let code = header("code").to_owned();
        assert!(header("detail").len() <= 1024);
        assert_eq!(letter.value, original.value.clone().unwrap_or_default(), "{code}");
        codes.insert(code);
    }
    for code in ["id_conflict", "malformed", "missing_field", "time_ahead", "wrong_type"] {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
}
