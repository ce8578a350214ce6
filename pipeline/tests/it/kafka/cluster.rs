//! A stream in several processes: what one decides, and none of them outlives another.

use std::fs;
use std::process::{Child, Output};
use std::time::Duration;

use super::bench::{Bench, PATIENCE, claim};
use super::models::{INPUTS, trained};
use super::reload::{FEATURES, RULE};
use super::{signal, until};
use crate::cluster::{ended, host_file, told};
use crate::interrupt::metrics;
use crate::support::workspace;

/// A stream of so many processes, with snapshots all the time.
fn bench(name: &str, processes: usize, partitions: i32) -> Option<Bench> {
    let bench = Bench::new(name, partitions)?;
    bench.configure(&bench.rules());
    add_to_config(&bench, &cluster_table(processes));
    Some(bench)
}

/// The configuration of so many processes on this machine.
pub(super) fn hosts_table(processes: usize) -> String {
    let hosts = host_file(processes);
    let hosts: Vec<String> = hosts.lines().map(|host| format!("'{host}'")).collect();
    format!("[cluster]\nhosts = [{}]\n", hosts.join(", "))
}

fn cluster_table(processes: usize) -> String {
    let hosts = hosts_table(processes);
    format!("{hosts}[snapshots]\ndir = 'snapshots'\ninterval = '50ms'\n")
}

fn add_to_config(bench: &Bench, table: &str) {
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("{text}{table}")).unwrap();
}

pub(super) fn start(bench: &Bench, process: usize, more: &[&str]) -> Child {
    let number = process.to_string();
    let mut command = bench.command(&[&["--process", &number], more].concat());
    let piped = || std::process::Stdio::piped();
    command.stdout(piped()).stderr(piped()).spawn().unwrap()
}

fn start_all(bench: &Bench, processes: usize) -> Vec<Child> {
    (0..processes).map(|process| start(bench, process, &[])).collect()
}

/// Runs all to the end of the topics; what process 0 says.
fn once(bench: &Bench, processes: usize) -> (serde_json::Value, Output) {
    let mut children = vec![start(bench, 0, &["--once"])];
    children.extend((1..processes).map(|process| start(bench, process, &[])));
    let mut outputs = ended(children);
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{}", told(output));
    }
    let first = outputs.swap_remove(0);
    (serde_json::from_slice(&first.stdout).unwrap(), first)
}

fn await_decisions(bench: &Bench, many: usize) {
    let pause = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while bench.decided().len() < many {
        assert!(waited < PATIENCE, "{} of {many} decided", bench.decided().len());
        std::thread::sleep(pause);
        waited += pause;
    }
}

/// Killed twice, once the process that commits and once another, the stream goes on from its
/// snapshots with the same decisions; and a process alone goes on from what two have left.
#[test]
fn a_stream_of_several_processes_decides_what_one_does() {
    let Some(bench) = bench("cluster", 2, 3) else { return };
    let mut sent = 0;
    for victim in [1, 0] {
        let mut children = start_all(&bench, 2);
        bench.send((sent..sent + 200).map(|at| claim(at, (at * 7 % 3) as i32)));
        sent += 200;
        await_decisions(&bench, sent as usize - 100);
        children[victim].kill().unwrap();
        let outputs = ended(children);
        let other = &outputs[1 - victim];
        assert_eq!(other.status.code(), Some(3), "{}", told(other));
        let lost = format!("process {victim} (127.0.0.1:");
        assert!(told(other).contains(&lost) && told(other).contains("was lost"), "{}", told(other));
    }
    let (run, first) = once(&bench, 2);
    assert!(told(&first).contains("going on from the snapshot"), "{}", told(&first));
    assert_eq!(run["counts"]["decided"], sent);
    assert_eq!(bench.decided().len(), sent as usize);
    assert_eq!(run["decisions_digest"], bench.digest().as_str());
    assert_eq!(bench.replayed("2").0, bench.digest());

    // Without the table it is a stream of one process, with the state of two.
    bench.configure(&bench.rules());
    add_to_config(&bench, "[snapshots]\ndir = 'snapshots'\n");
    bench.send((sent..sent + 50).map(|at| claim(at, 0)));
    let run = bench.stream(&["--once"]);
    assert_eq!(run["counts"]["decided"], sent + 50);
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// The system of a frozen process answers for it, for ever: the others notice all the same.
#[test]
#[cfg(target_os = "linux")]
fn a_process_that_is_frozen_is_lost() {
    let Some(bench) = bench("cluster-frozen", 2, 1) else { return };
    let mut children = start_all(&bench, 2);
    bench.send((0..100).map(|at| claim(at, 0)));
    await_decisions(&bench, 50);
    signal(&children[1], "-STOP");
    let mut frozen = children.pop().unwrap();
    let output = &ended(children)[0];
    assert_eq!(output.status.code(), Some(3), "{}", told(output));
    assert!(told(output).contains("process 1 (127.0.0.1:"), "{}", told(output));
    frozen.kill().unwrap();
    frozen.wait().unwrap();
    let (run, _) = once(&bench, 2);
    assert_eq!(run["counts"]["decided"], 100);
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// The shipped rules, with clusters and all keepers, over a story.
#[test]
fn the_shipped_rules_decide_the_same_in_several_processes() {
    let Some(bench) = Bench::new("cluster-shipped", 0) else { return };
    bench.configure(&workspace().join("rules"));
    add_to_config(&bench, &cluster_table(4));
    let events = workspace().join("fixtures/stories/gambling-mine-group/events.csv");
    let topic = bench.topic("in");
    let mut produce = super::bench::hongxian();
    produce.arg("produce").arg(&events).args(["--topic", &topic, "--brokers", &bench.brokers]);
    crate::kafka::succeeds(produce.args(["--partitions", "2"]));
    let out = bench.path("run");
    let mut children =
        vec![start(&bench, 0, &["--once", "--workers", "1", "--out", out.to_str().unwrap()])];
    children.extend((1..4).map(|process| start(&bench, process, &["--workers", "1"])));
    // Process 0 replays the exported log alone at the end, and says so if it decides otherwise.
    for output in ended(children) {
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    assert!(out.join("run.toml").exists());
    assert!(metrics(&out)["counts"]["decided"].as_u64().unwrap() > 100);
}

#[test]
fn one_that_is_asked_to_end_ends_all() {
    let Some(bench) = bench("cluster-ends", 2, 1) else { return };
    let children = start_all(&bench, 2);
    bench.send((0..100).map(|at| claim(at, 0)));
    await_decisions(&bench, 50);
    let kill = format!("kill -TERM {}", children[1].id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let outputs = ended(children);
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{}", told(output));
    }
    let (run, _) = once(&bench, 2);
    assert_eq!(run["counts"]["decided"], 100);
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// Events of a partition that is not read would be missing from every feature.
#[test]
fn partitions_that_are_added_end_the_stream_which_says_so() {
    let Some(bench) = Bench::new("added", 2) else { return };
    let child = bench.spawn(&[]);
    bench.send((0..50).map(|at| claim(at, (at % 2) as i32)));
    await_decisions(&bench, 1);
    bench.add_partitions(3);
    let output = &ended(vec![child])[0];
    assert_eq!(output.status.code(), Some(3), "{}", told(output));
    assert!(
        told(output).contains("has 3 partitions, and the stream began with 2"),
        "{}",
        told(output)
    );
    let said = bench.fails(&["--once"], 2);
    assert!(
        said.contains("has 3 partitions, and the stream began with 2"),
        "nor at a start: {said}"
    );
    assert!(said.contains("begin a new stream") && !said.contains("put them back"), "{said}");
}

/// All processes score with the model of process 0, whatever the others have.
#[test]
fn a_stream_of_several_processes_scores_with_its_model() {
    let Some(bench) = bench("cluster-model", 2, 2) else { return };
    let model = trained(&bench.path("models/night"), &INPUTS, 450);
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("model = 'models/night'\n{text}")).unwrap();
    bench.send((0..200).map(|at| claim(at, (at % 2) as i32)));
    let ended = ended(vec![
        start(&bench, 0, &["--once"]),
        start(&bench, 1, &["--model", "nowhere", "--rules", "nowhere"]),
    ]);
    for output in &ended {
        assert_eq!(output.status.code(), Some(0), "{}", told(output));
    }
    assert_eq!(bench.replayed("2").0, bench.digest());
    assert_eq!(bench.decided().len(), 200);
    for seen in bench.committed("out") {
        let decision: serde_json::Value = serde_json::from_slice(&seen.value).unwrap();
        assert_eq!(decision["model_hash"], model.hash(), "{decision}");
    }
}

/// Rules change before the first event, while events come, and with a feature that is worked out first;
/// process 1 has none on its disk. Killed on both sides, all go on under the rules of their time.
#[test]
fn rules_change_in_all_processes_at_one_place_of_the_log() {
    let Some(bench) = bench("cluster-reload", 2, 2) else { return };
    let start_both =
        || vec![start(&bench, 0, &[]), start(&bench, 1, &["--rules", "nowhere", "--model", "no"])];
    let mut sent = 0;
    let mut send = |many: i64| {
        bench.send((sent..sent + many).map(|at| claim(at, (at % 2) as i32)));
        sent += many;
        await_decisions(&bench, sent as usize - 10);
    };
    let change = |child: &Child, (file, old, new): (&str, &str, &str), number: usize| {
        bench.edit(file, old, new);
        signal(child, "-HUP");
        until("the change", || bench.changes().len() == number);
    };
    let mut children = start_both();
    until("the stream has begun", || !bench.committed("control").is_empty());
    change(&children[0], (RULE, "score = 400", "score = 310"), 1);
    send(60);
    change(&children[0], (RULE, "score = 310", "score = 320"), 2);
    send(30);
    change(&children[0], (RULE, "score = 320", "score = 330"), 3);
    send(30);
    // Wrong ones change nothing, and end nothing.
    bench.edit(RULE, "funds.t_count >= 3", "funds.t_cuont >= 3");
    signal(&children[0], "-HUP");
    send(60);
    bench.edit(RULE, "t_cuont", "t_count");
    change(&children[0], (FEATURES, "10m", "30s"), 4);
    send(60);
    children[1].kill().unwrap();
    let said = ended(children);
    assert_eq!(said[0].status.code(), Some(3), "{}", told(&said[0]));
    for part in ["did you mean `funds.t_count`", "need what is not computed yet: funds.t_count"] {
        assert!(told(&said[0]).contains(part), "{}", told(&said[0]));
    }
    // What changed while nothing ran comes into force when they are back.
    bench.edit(RULE, "score = 330", "score = 340");
    let mut children = start_both();
    send(60);
    until("the change", || bench.changes().len() == 5);
    send(60);
    children[0].kill().unwrap();
    let said = ended(children);
    assert_eq!(said[1].status.code(), Some(3), "{}", told(&said[1]));
    let (run, first) = once(&bench, 2);
    assert!(told(&first).contains("going on from the snapshot"), "{}", told(&first));
    assert_eq!(run["counts"]["decided"], 360);
    fs::remove_dir_all(bench.rules()).unwrap();
    bench.check(360, 5);
}
