//! Several processes decide what one does, and none of them waits for one that is gone.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::digest::read_parquet;
use super::interrupt::{decisions, metrics, press_ctrl_c, write_events};
use super::support::workspace;

/// Stories with clusters, texts, packets, chains and alerts of several kinds.
const STORIES: [&str; 4] =
    ["device-farm", "gambling-mine-group", "collector-chain", "pass-through-mule"];

/// Far more than a process that is lost or wrong may hold up the others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes that are called together.
struct Called {
    folder: tempfile::TempDir,
    hosts: PathBuf,
    processes: usize,
    workers: usize,
    batch: usize,
}

impl Called {
    fn new(processes: usize, workers: usize) -> Called {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        fs::write(&hosts, host_file(processes)).unwrap();
        Called { folder, hosts, processes, workers, batch: 64 }
    }

    fn out(&self, process: usize) -> PathBuf {
        self.folder.path().join(format!("run{process}"))
    }

    fn command(&self, process: usize, events: &[PathBuf], rules: &Path) -> Command {
        let mut command = backtest(events, rules, &self.out(process), self.batch);
        command.args(["--workers", &self.workers.to_string()]);
        command.arg("--hosts").arg(&self.hosts).args(["--process", &process.to_string()]);
        command
    }

    fn start(&self, process: usize, events: &[PathBuf], rules: &Path) -> Child {
        let mut command = self.command(process, events, rules);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn start_all(&self, events: &[PathBuf], rules: &Path) -> Vec<Child> {
        (0..self.processes).map(|process| self.start(process, events, rules)).collect()
    }

    /// Waits until process 0 is about to decide.
    fn await_begin(&self, first: &mut Child) {
        while !self.out(0).join("log/blocks.jsonl").exists() {
            assert_eq!(first.try_wait().unwrap(), None, "it ended before it began");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Free ports of this machine, a line each.
pub(super) fn host_file(processes: usize) -> String {
    let bound: Vec<_> = (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    bound.iter().map(|one| format!("{}\n", one.local_addr().unwrap())).collect()
}

fn backtest(events: &[PathBuf], rules: &Path, out: &Path, batch: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongxian"));
    command.arg("backtest").args(events).arg("--out").arg(out).arg("--rules").arg(rules);
    command.args(["--lang", "en", "--tick", "1s", "--batch", &batch.to_string()]);
    command
}

/// What all said, each within the time that is given to them; else none is left.
pub(super) fn ended(children: Vec<Child>) -> Vec<Output> {
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(10);
    let mut children = children;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        if waited > PATIENCE {
            for child in &mut children {
                let _ = child.kill();
            }
            let said: Vec<String> = children
                .into_iter()
                .map(|child| told(&child.wait_with_output().unwrap()))
                .collect();
            panic!("they wait for each other: {said:?}");
        }
        std::thread::sleep(pause);
        waited += pause;
    }
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

pub(super) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn codes(outputs: &[Output]) -> Vec<Option<i32>> {
    outputs.iter().map(|output| output.status.code()).collect()
}

fn stories() -> Vec<PathBuf> {
    let story = |name| workspace().join("fixtures/stories").join(name).join("events.csv");
    STORIES.into_iter().map(story).collect()
}

fn shipped() -> PathBuf {
    workspace().join("rules")
}

/// A run of one process, with as many workers as the others have together: then all that workers
/// find, what each has whole included, adds up to the same.
fn alone(folder: &Path, workers: usize) -> PathBuf {
    let out = folder.join(format!("alone{workers}"));
    let mut command = backtest(&stories(), &shipped(), &out, 64);
    let output = command.args(["--workers", &workers.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    out
}

#[test]
fn several_processes_decide_what_one_does() {
    let folder = tempfile::tempdir().unwrap();
    for (processes, workers) in [(2, 1), (2, 2), (4, 1), (4, 2)] {
        let alone = alone(folder.path(), processes * workers);
        let known = metrics(&alone);
        assert!(known["counts"]["decided"].as_u64().unwrap() > 200);
        let called = Called::new(processes, workers);
        let outputs = ended(called.start_all(&stories(), &shipped()));
        let said: Vec<String> = outputs.iter().map(told).collect();
        assert_eq!(codes(&outputs), vec![Some(0); processes], "{said:?}");
        let found = metrics(&called.out(0));
        for key in ["decisions_digest", "counts", "kinds", "verdicts", "hubs", "not_evaluable"] {
            assert_eq!(found[key], known[key], "{key} of {processes} processes");
        }
        let keys = |metrics: &serde_json::Value| -> Vec<(String, serde_json::Value)> {
            let state = metrics["state"].as_object().unwrap();
            state.iter().map(|(name, used)| (name.clone(), used["keys"].clone())).collect()
        };
        assert_eq!(keys(&found), keys(&known), "what all of them keep");
        let features = |run: &Path| read_parquet(&run.join("features.parquet"));
        assert_eq!(features(&called.out(0)), features(&alone));
        for process in 1..processes {
            assert!(!called.out(process).join("run.toml").exists(), "only process 0 writes");
        }
    }
}

#[test]
fn a_lost_process_ends_the_others_which_say_so() {
    let mut called = Called::new(3, 1);
    called.batch = 4;
    let events = called.folder.path().join("events.csv");
    write_events(&events, 20_000);
    let mut children = called.start_all(&[events], &shipped());
    called.await_begin(&mut children[0]);
    std::thread::sleep(Duration::from_millis(200));
    children[1].kill().unwrap();
    let outputs = ended(children);
    for process in [0, 2] {
        assert_eq!(outputs[process].status.code(), Some(3), "{}", told(&outputs[process]));
        let said = told(&outputs[process]);
        assert!(said.contains("process 1 (127.0.0.1:") && said.contains("was lost"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    assert!(!called.out(0).join("run.toml").exists(), "it is no whole run");
}

#[test]
fn one_that_is_interrupted_ends_all_at_the_same_tick() {
    let mut called = Called::new(2, 2);
    called.batch = 4;
    let events = called.folder.path().join("events.csv");
    write_events(&events, 20_000);
    let mut children = called.start_all(std::slice::from_ref(&events), &shipped());
    called.await_begin(&mut children[0]);
    std::thread::sleep(Duration::from_millis(400));
    press_ctrl_c(&children[1]);
    let outputs = ended(children);
    let said: Vec<String> = outputs.iter().map(told).collect();
    assert_eq!(codes(&outputs), [Some(130); 2], "{said:?}");
    assert!(said.iter().all(|said| said.contains("decided until the last tick")), "{said:?}");
    let alone = called.folder.path().join("alone");
    assert!(backtest(&[events], &shipped(), &alone, 4_096).output().unwrap().status.success());
    let (kept, all) = (decisions(&called.out(0)), decisions(&alone));
    assert!(kept.len() < all.len() && all.starts_with(&kept));
}

/// What is another in one process is named by each of them, and nobody waits.
#[test]
fn processes_that_were_called_otherwise_end_with_what_differs() {
    let events = stories();
    let other = workspace().join("bench/batch-job");
    for (files, rules, differs) in
        [(&events[..3], shipped(), "other event files"), (&events[..], other, "other rules")]
    {
        let called = Called::new(3, 1);
        let mut children = vec![called.start(0, &events, &shipped())];
        children.push(called.start(1, files, &rules));
        children.push(called.start(2, &events, &shipped()));
        let outputs = ended(children);
        assert_eq!(codes(&outputs), [Some(2); 3]);
        for output in &outputs {
            assert!(told(output).contains(differs), "{}", told(output));
        }
    }
    let mut called = Called::new(2, 1);
    let first = called.start(0, &events, &shipped());
    called.workers = 2;
    let outputs = ended(vec![first, called.start(1, &events, &shipped())]);
    assert_eq!(codes(&outputs), [Some(2); 2]);
    assert!(told(&outputs[0]).contains("has 2 workers and this one 1"), "{}", told(&outputs[0]));
    let outputs = ended(vec![called.start(2, &events, &shipped())]);
    assert_eq!(codes(&outputs), [Some(2)]);
    assert!(told(&outputs[0]).contains("there is no process 2"), "{}", told(&outputs[0]));
}

#[test]
fn whoever_waits_for_the_others_can_be_interrupted() {
    let called = Called::new(2, 1);
    let waiting = called.start(1, &stories(), &shipped());
    std::thread::sleep(Duration::from_millis(500));
    press_ctrl_c(&waiting);
    let outputs = ended(vec![waiting]);
    assert_eq!(codes(&outputs), [Some(130)], "{}", told(&outputs[0]));
    assert!(told(&outputs[0]).contains("nothing is written"));
}
