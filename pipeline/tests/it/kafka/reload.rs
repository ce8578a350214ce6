//! Rules that change under a stream: in force at a committed time, refused where they are wrong, and
//! replayed from the exported log, whatever is on the disk by then.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::bench::{Bench, claim};
use super::http::serve;
use super::{ended, signal, until};

pub(super) const FEATURES: &str = "features.toml";
const POLICY: &str = "policy.toml";
pub(super) const RULE: &str = "funds/many.toml";

impl Bench {
    /// Puts a text in a file of the rules in the place of another.
    pub(super) fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.rules().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(path, text.replace(old, new)).unwrap();
    }

    /// The changes that are committed: their times and hashes.
    pub(super) fn changes(&self) -> Vec<(i64, String)> {
        let records = self.committed("control");
        let values = records.iter().map(|seen| serde_json::from_slice(&seen.value).unwrap());
        let changes = values.filter(|value: &Value| value["kind"] == "change");
        let of = |value: Value| {
            let hash = value["rules_hash"].as_str().unwrap().to_owned();
            (value["effective_time"].as_i64().unwrap(), hash)
        };
        changes.map(of).collect()
    }

    /// The hash and time of each decision, in the order of the topic.
    fn hashes(&self) -> Vec<(i64, String)> {
        let of = |value: Value| {
            let hash = value["rules_hash"].as_str().unwrap().to_owned();
            (value["effective_time"].as_i64().unwrap(), hash)
        };
        let decisions = self.committed("out");
        decisions.iter().map(|seen| of(serde_json::from_slice(&seen.value).unwrap())).collect()
    }

    /// Checks each decision against the changes, and the topic against the replay of the log.
    pub(super) fn check(&self, decisions: usize, kinds: usize) {
        let (changes, hashes) = (self.changes(), self.hashes());
        assert_eq!(hashes.len(), decisions);
        let ids: BTreeSet<String> = self.decided().into_iter().collect();
        assert_eq!(ids.len(), decisions, "each once");
        for (time, hash) in &hashes {
            let own = changes.iter().rfind(|(start, _)| start <= time);
            assert!(own.is_none_or(|(_, own)| own == hash), "{time} {hash} {changes:?}");
        }
        let different: BTreeSet<&String> = hashes.iter().map(|(_, hash)| hash).collect();
        assert_eq!(different.len(), kinds, "{changes:?}");
        let digest = self.digest();
        for workers in ["1", "3"] {
            assert_eq!(self.replayed(workers).0, digest);
        }
    }
}

/// An analyst edits rules: what is right decides from its time on, what is wrong is refused as
/// `rules check` refuses it, and the stream goes on. A replay needs nothing but the log.
#[test]
fn rules_change_while_a_stream_runs() {
    let Some(bench) = Bench::new("reload", 2) else { return };
    bench.configure_with(&bench.rules(), "reload_after = '300ms'\n");
    // More than brokers take in one record.
    let mut noise = vec![0; 2_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(bench.rules().join("notes.bin"), noise).unwrap();
    let mut sent = 0;
    let mut send = |many: i64| {
        bench.send((sent..sent + many).map(|at| claim(at, (at % 2) as i32)));
        sent += many;
        until("decided", || bench.decided().len() as i64 + 10 > sent);
    };
    let child = bench.spawn(&[]);
    send(60);
    // The files are still, and nobody has said anything.
    bench.edit(RULE, "score = 400", "score = 250");
    until("the first change", || bench.changes().len() == 1);
    send(60);
    bench.edit(RULE, "funds.t_count >= 3", "funds.t_cuont >= 3");
    signal(&child, "-HUP");
    send(60);
    bench.edit(POLICY, "allowed_lateness = \"2s\"", "allowed_lateness = \"3s\"");
    bench.edit(RULE, "t_cuont", "t_count");
    signal(&child, "-HUP");
    send(60);
    bench.edit(POLICY, "allowed_lateness = \"3s\"", "allowed_lateness = \"2s\"");
    bench.edit(RULE, "funds.t_count >= 3", "funds.t_count >= 2");
    signal(&child, "-HUP");
    until("the second change", || bench.changes().len() == 2);
    send(60);
    // Another feature is worked out beside the stream.
    bench.edit(FEATURES, "10m", "30s");
    signal(&child, "-HUP");
    send(20);
    until("the third change", || bench.changes().len() == 3);
    send(60);
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("are in force from 20"), "{said}");
    assert!(said.contains("did you mean `funds.t_count`"), "{said}");
    assert!(said.contains("`allowed_lateness` cannot change during a run"), "{said}");
    assert!(said.contains("the rules on disk are refused, those before stay in force"), "{said}");
    assert!(said.contains("need what is not computed yet: funds.t_count"), "{said}");
    bench.stream(&["--once"]);
    // The machine that replays has other files.
    fs::remove_dir_all(bench.rules()).unwrap();
    bench.check(380, 4);
    let largest = bench.committed("control").iter().map(|seen| seen.value.len()).max().unwrap();
    assert!((500_000..1_000_000).contains(&largest), "{largest}");
}

/// A folder that is not mounted or is being filled has no rules either: what was in force stays, and
/// who watches hears of it. At a start the same is taken, and told.
#[test]
fn a_reload_that_leaves_no_live_rule_is_refused() {
    let Some(bench) = Bench::new("reload-none", 1) else { return };
    let (child, client) = serve(&bench, "");
    until("it is not ready", || client.ask_plainly("GET", "/readyz", "", "").status == 200);
    let reload = |result: &str, count: usize| {
        signal(&child, "-HUP");
        let line = format!("hongxian_rules_reloads_total{{result=\"{result}\"}} {count}\n");
        until(&line, || client.ask_plainly("GET", "/metrics", "", "").text.contains(&line));
    };
    bench.send((0..20).map(|at| claim(at, 0)));
    until("decided", || bench.decided().len() + 10 > 20);
    let away = bench.path("away");
    fs::rename(bench.rules(), &away).unwrap();
    fs::create_dir(bench.rules()).unwrap();
    fs::copy(away.join(POLICY), bench.rules().join(POLICY)).unwrap();
    reload("refused", 1);
    fs::remove_dir_all(bench.rules()).unwrap();
    fs::rename(&away, bench.rules()).unwrap();
    reload("unchanged", 1);
    bench.edit(RULE, "status = 'live'", "status = 'shadow'");
    reload("refused", 2);
    // What the order of a run depends on is told where it stands.
    bench.edit(RULE, "status = 'shadow'", "status = 'live'");
    bench.edit(POLICY, "dedup_window = \"1d\"", "dedup_window = \"2d\"");
    reload("refused", 3);
    bench.edit(POLICY, "dedup_window = \"2d\"", "dedup_window = \"1d\"");
    bench.edit(RULE, "status = 'live'", "status = 'shadow'");
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let warned: Vec<String> = lines
        .filter(|line| line["level"] == "WARN")
        .map(|line| line["fields"]["message"].as_str().unwrap_or_default().to_owned())
        .filter(|message| message.contains("the rules on disk are refused"))
        .collect();
    assert_eq!(warned.len(), 3, "{said}");
    for none in &warned[..2] {
        assert!(none.contains("no-live-rule") && none.contains("restart the stream"), "{none}");
    }
    let place = warned[2].contains("policy.toml:2:1");
    assert!(place && warned[2].contains("`dedup_window` cannot change"), "{}", warned[2]);
    assert!(bench.changes().is_empty(), "{:?}", bench.changes());
    bench.send((20..40).map(|at| claim(at, 0)));
    let said = bench.told();
    assert!(said.contains("none of them is live"), "{said}");
    assert_eq!(bench.changes().len(), 1);
    // Wrong rules that a start finds are counted as those of a reload are.
    bench.edit(RULE, "score = 400", "score = 'x'");
    let (child, client) = serve(&bench, "");
    let line = "hongxian_rules_reloads_total{result=\"refused\"} 1\n";
    until(line, || client.ask_plainly("GET", "/metrics", "", "").text.contains(line));
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
}

/// Killed before and after a change is committed, and gone on with from a snapshot after it.
#[test]
fn a_change_is_committed_or_never_was() {
    let Some(bench) = Bench::new("rechange", 1) else { return };
    bench.with_snapshots();
    // Before the first event it is as if the stream had begun with them.
    bench.stream(&["--once"]);
    bench.edit(RULE, "score = 400", "score = 210");
    bench.stream(&["--once"]);
    let mut sent = 0;
    let mut send = |many: i64| {
        bench.send((sent..sent + many).map(|at| claim(at, 0)));
        sent += many;
    };
    send(50);
    bench.stream(&["--once"]);
    bench.edit(RULE, "score = 210", "score = 220");
    send(50);
    let crashed = bench.command(&["--once", "--crash-at", "1"]).output().unwrap();
    assert!(!crashed.status.success());
    assert_eq!(bench.changes().len(), 1, "only the one before the first event");
    bench.stream(&["--once"]);
    assert_eq!(bench.changes().len(), 2);
    bench.edit(RULE, "score = 220", "score = 230");
    send(50);
    let crashed = bench.command(&["--once", "--crash-at", "2"]).output().unwrap();
    assert!(!crashed.status.success());
    assert_eq!(bench.changes().len(), 3, "it was committed, and nothing by it");
    // What is on disk by then is wrong: the stream goes on by what it keeps.
    bench.edit(RULE, "score = 230", "score = 'x'");
    let said = bench.told();
    assert!(said.contains("the rules on disk are refused, those before stay in force"), "{said}");
    assert!(said.contains("going on from the snapshot"), "{said}");
    // The first rules once more.
    bench.edit(RULE, "score = 'x'", "score = 400");
    send(50);
    bench.stream(&["--once", "--workers", "3"]);
    assert_eq!(bench.changes().len(), 4);
    send(50);
    let said = bench.told();
    assert!(said.contains("going on from the snapshot at 200 decisions"), "{said}");
    bench.edit(FEATURES, "10m", "40s");
    // Two commits, at which the other session begins and takes over, and then the change.
    let crashed = bench.command(&["--once", "--crash-at", "3"]).output().unwrap();
    assert!(!crashed.status.success());
    assert_eq!(bench.changes().len(), 4);
    let said = bench.told();
    assert!(said.contains("need what is not computed yet: funds.t_count"), "{said}");
    send(50);
    let said = bench.told();
    assert!(said.contains("going on from the snapshot at 250 decisions"), "{said}");
    bench.check(300, 5);
    // Without the input from before, what is new cannot be worked out, and the stream goes on.
    bench.delete_before(10);
    bench.edit(FEATURES, "40s", "50s");
    send(50);
    let said = bench.told();
    assert!(said.contains("cannot be worked out from the input"), "{said}");
    assert_eq!((bench.changes().len(), bench.hashes().len()), (5, 350));
}

/// Features are worked out while events go on coming in several partitions: what comes meanwhile is
/// neither passed over nor taken to be gone.
#[test]
fn features_are_worked_out_while_events_go_on_coming() {
    let Some(bench) = Bench::new("reload-busy", 3) else { return };
    let child = bench.spawn(&[]);
    let done = AtomicBool::new(false);
    // Also where something is not as it must be.
    struct Ends<'d>(&'d AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                bench.send((sent..sent + 30).map(|at| claim(at, (at % 3) as i32)));
                sent += 30;
            }
            sent
        });
        let ends = Ends(&done);
        until("it decides", || bench.decided().len() > 50);
        for change in 1..=4 {
            let window = |at: i32| format!("{}m", 9 + at);
            bench.edit(FEATURES, &window(change), &window(change + 1));
            signal(&child, "-HUP");
            until("the change", || bench.changes().len() == change as usize);
        }
        drop(ends);
        sender.join().unwrap()
    });
    until("all is decided", || bench.decided().len() as i64 + 10 > sent);
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    bench.stream(&["--once"]);
    bench.check(sent as usize, 5);
}
