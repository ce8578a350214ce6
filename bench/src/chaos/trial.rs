//! The check in full: the stream is let decide all that there is, and what it wrote is held against
//! the input, a backtest of the exported log, and a stream that nobody troubled.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::broker::said;
use super::topics::Seen;
use super::verdict::{self, Counts, Evidence};
use super::world::{CONTROL, DEAD, INPUT, OUTPUT, World};
use crate::measure::fail;

/// From so many decisions on mistakes can be put in.
const DECISIONS_MIN: u64 = 3;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    pub(super) records: u64,
    /// Those of them that are there once more than they were sent.
    pub(super) written_twice: u64,
    pub(super) counts: Counts,
    pub(super) late: u64,
    pub(super) heartbeats: u64,
}

/// Checks everything. `spoil` writes a decision once more than it was made, which must be found.
pub(super) fn check(world: &mut World, rules: &Path, spoil: bool) -> Result<Looked, String> {
    world.fault = "check";
    // One that still replays commits nothing either, and would be taken to be done.
    world.recover()?;
    let sent = world.feed.pause()?;
    world.note("everything is decided and looked at");
    world.settle()?;
    let ended = once(world)?;
    // Partitions without records are idle, and what waits is decided.
    if ended["written"] != 0 {
        let left = &ended["written"];
        return Err(format!("left alone, the stream did not decide {left} of the last records"));
    }
    world.check_snapshots()?;
    if spoil {
        let decisions = world.topics.read(OUTPUT)?;
        let one = decisions.get(decisions.len() / 2).ok_or("there is no decision to double")?;
        world.topics.append(OUTPUT, std::slice::from_ref(one))?;
    }
    let evidence = evidence(world, &ended)?;
    let records = evidence.input.len() as u64;
    let written_twice = verdict::check(&evidence)?;
    if records != sent + written_twice {
        return Err(format!(
            "the broker says {sent} records, and its topic has {records}, {written_twice} of them twice"
        ));
    }
    let blind = verdict::blind_spots(&evidence);
    if evidence.counts.decided >= DECISIONS_MIN && !blind.is_empty() {
        return Err(format!("the harness does not see {}", blind.join(", ")));
    }
    by_digest(world, &evidence)?;
    by_backtest(world, rules, &evidence)?;
    let heartbeats = by_twin(world, rules, &evidence)?;
    let is_late = |seen: &&Seen| {
        serde_json::from_slice::<Value>(&seen.value).is_ok_and(|decision| decision["late"] == true)
    };
    let late = evidence.decisions.iter().filter(is_late).count() as u64;
    world.feed.resume();
    Ok(Looked { records, written_twice, counts: evidence.counts, late, heartbeats })
}

/// Runs the stream to the end of what there is; what it says.
fn once(world: &mut World) -> Result<Value, String> {
    let workers = world.dice.pick(&world.workers).to_string();
    let mut command = Command::new(&world.program);
    command.arg("stream").arg(world.config()).args(["--once", "--json", "--workers", &workers]);
    let ended = said(&mut command)?;
    serde_json::from_str(&ended).map_err(|error| format!("stream --once says {ended}: {error}"))
}

fn evidence(world: &World, ended: &Value) -> Result<Evidence, String> {
    Ok(Evidence {
        input: world.topics.read(INPUT)?,
        decisions: world.topics.read(OUTPUT)?,
        letters: world.topics.read(DEAD)?,
        counts: Counts::read(&ended["counts"]),
        digest: ended["decisions_digest"].as_str().unwrap_or_default().to_owned(),
    })
}

fn by_digest(world: &World, evidence: &Evidence) -> Result<(), String> {
    let mut command = Command::new(&world.program);
    let digest = said(command.args(["digest", OUTPUT, "--brokers", &world.broker.address]))?;
    same("hongxian digest of the topic", &digest, evidence)
}

fn by_backtest(world: &mut World, rules: &Path, evidence: &Evidence) -> Result<(), String> {
    let (log, run) = (world.dir.join("input-log"), world.dir.join("backtest"));
    let mut export = Command::new(&world.program);
    said(export.arg("input-log").arg(world.config()).arg("--out").arg(&log))?;
    let workers = world.dice.pick(&world.workers).to_string();
    let mut backtest = Command::new(&world.program);
    backtest.arg("backtest").arg("--input-log").arg(&log).arg("--out").arg(&run).arg("--rules");
    said(backtest.arg(rules).args(["--workers", &workers]))?;
    let path = run.join("metrics.json");
    let metrics = fs::read_to_string(&path).map_err(fail(&path))?;
    let metrics: Value = serde_json::from_str(&metrics).map_err(fail(&path))?;
    let digest = metrics["decisions_digest"].as_str().unwrap_or_default();
    same("a backtest of the input log", digest, evidence)?;
    same_counts("a backtest of the input log", Counts::read(&metrics["counts"]), evidence)
}

/// A stream with topics of its own over the same input, in one go. It is told when partitions were
/// idle, for that is of the input log; everything else it finds out for itself.
fn by_twin(world: &mut World, rules: &Path, evidence: &Evidence) -> Result<u64, String> {
    let name = format!("chaos.twin-{}", world.kills);
    let control = format!("{name}.control");
    let mut told = world.topics.read(CONTROL)?;
    let kind = |seen: &Seen| {
        let entry: Option<Value> = serde_json::from_slice(&seen.value).ok();
        entry.and_then(|entry| entry["kind"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    told.retain(|seen| kind(seen) != "resume");
    let heartbeats = told.iter().filter(|seen| kind(seen) == "heartbeat").count();
    world.broker.make(&control, 1)?;
    world.topics.append(&control, &told)?;
    let workers = world.dice.pick(&world.workers);
    let (brokers, rules) = (&world.broker.address, rules.display());
    let text = format!(
        "brokers = '{brokers}'\nname = '{name}'\nrules = '{rules}'\nworkers = {workers}\n\
         tick = '37ms'\n\
         [topics]\ninput = ['{INPUT}']\noutput = '{name}.out'\ndead_letter = '{name}.dead'\n\
         control = '{control}'\n"
    );
    let path = world.dir.join("twin.toml");
    fs::write(&path, text).map_err(fail(&path))?;
    let mut command = Command::new(&world.program);
    let ended = said(command.arg("stream").arg(&path).args(["--once", "--json"]))?;
    let ended: Value = serde_json::from_str(&ended).map_err(fail(&path))?;
    let digest = ended["decisions_digest"].as_str().unwrap_or_default();
    same("a stream that nobody troubled", digest, evidence)?;
    same_counts("a stream that nobody troubled", Counts::read(&ended["counts"]), evidence)?;
    Ok(heartbeats as u64)
}

fn same(who: &str, digest: &str, evidence: &Evidence) -> Result<(), String> {
    match digest == evidence.digest {
        true => Ok(()),
        false => Err(format!("{who} comes to {digest}, and the stream to {}", evidence.digest)),
    }
}

fn same_counts(who: &str, counts: Counts, evidence: &Evidence) -> Result<(), String> {
    match counts == evidence.counts {
        true => Ok(()),
        false => Err(format!("{who} counts {counts:?}, and the stream {:?}", evidence.counts)),
    }
}
