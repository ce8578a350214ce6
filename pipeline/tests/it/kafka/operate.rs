//! What whoever runs a stream, or sends to one, is told.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;

use super::bench::{Bench, claim, hongxian};
use super::{ended, signal, until};
use crate::support::START;

/// Topics whose records have the times of their senders are told of, at every start.
#[test]
fn topics_with_times_of_senders_are_told_of() {
    let Some(bench) = Bench::new("times", 0) else { return };
    let told = |bench: &Bench| {
        let output = bench.command(&["--once"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said.contains("the times of their senders")
    };
    bench.make("in", 1, &[("message.timestamp.type", "CreateTime")]);
    bench.send([claim(0, 0)]);
    assert!(told(&bench) && told(&bench));
    let Some(sound) = Bench::new("times-of-brokers", 1) else { return };
    sound.send([claim(0, 0)]);
    assert!(!told(&sound));
}

/// SIGTERM is how services are ended: it is no failure. Ctrl-C says that it was interrupted.
#[test]
fn a_signal_ends_a_stream_at_a_commit() {
    let Some(bench) = Bench::new("signals", 1) else { return };
    for (at, (name, code)) in (0..).zip([("-TERM", 0), ("-INT", 130)]) {
        let (from, to) = (at * 50, at * 50 + 50);
        bench.send((from..to).map(|at| claim(at, 0)));
        let child = bench.spawn(&[]);
        until("nothing is decided", || bench.decided().len() as i64 > from);
        signal(&child, name);
        let (ended, said) = ended(child);
        assert_eq!(ended, Some(code), "{name}: {said}");
    }
    assert_eq!(bench.stream(&["--once"])["counts"]["decided"], 100);
    assert_eq!(bench.replayed("1").0, bench.digest());
}

/// Who interrupts a producer hears how much of the file is in the topic.
#[test]
fn an_interrupted_producer_says_how_far_it_came() {
    let Some(bench) = Bench::new("cut", 0) else { return };
    let mut csv = "event_id,event_time,kind,account_id\n".to_owned();
    // The last one is due in an hour.
    for at in 0..51 {
        let time = START + if at < 50 { at } else { 3_600_000 };
        writeln!(csv, "e{at},{time},login,u{at}").unwrap();
    }
    fs::write(bench.path("events.csv"), csv).unwrap();
    let mut command = hongxian();
    command.arg("produce").arg(bench.path("events.csv")).args(["--rate", "x1", "--lang", "en"]);
    command.args(["--partitions", "1", "--topic", &bench.topic("in")]);
    command.args(["--brokers", &bench.brokers]).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("they are not sent", || bench.committed("in").len() == 50);
    signal(&child, "-INT");
    let (code, said) = ended(child);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("50 of 51 events are in"), "{said}");
    assert_eq!(bench.committed("in").len(), 50);
}

/// What the configuration of a stream says of security holds for whoever sends to it or reads it.
#[test]
fn producers_and_readers_sign_in_as_the_stream_does() {
    let Some(bench) = Bench::new("security", 1) else { return };
    bench.send([claim(0, 0)]);
    bench.stream(&["--once"]);
    let one = "event_id,event_time,kind,account_id\nlast,1707490000000,login,u\n";
    fs::write(bench.path("events.csv"), one).unwrap();
    let plain = fs::read_to_string(bench.config()).unwrap();
    let rows = [
        ("security.protocol = 'plaintext'", Some(0), ""),
        // Without TLS at the other end there is no answer.
        ("security.protocol = 'ssl'", Some(3), "answered within"),
        ("sasl.password = 'hunter2'", Some(2), "is a secret"),
    ];
    for (setting, code, says) in rows {
        let (key, value) = setting.split_once(" = ").unwrap();
        let config = bench.path("security.toml");
        fs::write(&config, format!("connect_limit = '2s'\n{plain}[kafka]\n'{key}' = {value}\n"))
            .unwrap();
        let mut produce = hongxian();
        produce.arg("produce").arg(bench.path("events.csv")).args(["--topic", &bench.topic("in")]);
        let mut digest = hongxian();
        digest.args(["digest", &bench.topic("out")]);
        for command in [&mut produce, &mut digest] {
            command.arg("--config").arg(&config).args(["--lang", "en"]);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), code, "{setting}: {said}");
            assert!(said.contains(says) && !said.contains("hunter2"), "{setting}: {said}");
        }
    }
}
