//! The engine with its journal on a disk that fails: whatever is lost, what was told stays true, and
//! who sends again what was not heard ends where all would have ended on a sound disk.
//!
//! First the commands of a seed are executed without a disk, each reply held against the oracle.
//! Then they are sent to an engine with a journal, in batches of which several may share a sync,
//! with checkpoints and snapshots between, until the disk fails or the machine crashes. What comes
//! back is opened, and its clients go on from the first batch of which they were not told.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disk::{Disk, Fault};
use super::network::Network;
use super::workload::{self, Dice, Workload};
use super::{Clients, World, limits_of};
use crate::packet::bugs;
use crate::packet::command::{Command, Request};
use crate::packet::draw::MasterSecret;
use crate::packet::durable::{Auditor, Durable, DurableError};
use crate::packet::engine::{Engine, Rejected};
use crate::packet::executor::Executor;
use crate::packet::journal::{Begin, JournalError, Options, Signer, Trust, verify};
use crate::packet::limits::Limits;
use crate::packet::reply::Reply;
use crate::packet::units::Time;

/// Batches of a seed.
const BATCHES: usize = 120;
/// Seeds of the suite.
const SEEDS: std::ops::Range<u64> = 0..150;
/// A segment: so little that a seed fills many.
const SEGMENT_BYTES: u64 = 6_000;
/// Restarts of a seed at most: a disk that has failed so often is sound from then on.
const RESTARTS_MAX: u32 = 60;

/// A batch with what it comes to.
struct Told {
    clock: Time,
    requests: Vec<Vec<u8>>,
    replies: Vec<Result<Reply, Rejected>>,
}

/// What a seed says and hears where no disk is in the way, and the engine's state at the end.
struct History {
    limits: Limits,
    secret: MasterSecret,
    batches: Vec<Told>,
    state: Vec<u8>,
}

impl History {
    fn of(seed: u64) -> Result<History, String> {
        let mut dice = Dice::new(seed ^ 0x0d15c);
        let limits = limits_of(&mut dice);
        let bytes = [seed as u8; 32];
        let mut world = World::new(limits, bytes);
        let mut network = Network::new(seed);
        let mut workload = Workload::new(seed, limits.memory_hours / 2);
        let secret = MasterSecret::new(bytes);
        let mut executor = Executor::new(Engine::new(limits, secret.clone()));
        let mut batches = Vec::new();
        world.clients = Clients::WithinMemory;
        for number in 0..BATCHES {
            let clock = network.tick(&world.oracle);
            let mut requests: Vec<Vec<u8>> = match number {
                0 => workload::beginning().collect(),
                _ => {
                    let count = dice.below(7);
                    (0..count).map(|_| network.next(&mut workload, &world.oracle)).collect()
                }
            };
            // A batch in which nothing new is asked is not written down, nor the time that it shows.
            requests.push(workload::encode(&format!("tick {number}"), Command::Tick));
            executor.begin(clock);
            let mut replies = Vec::new();
            for bytes in &requests {
                world.ask(clock, bytes)?;
                replies.push(executor.apply(&read(bytes)));
            }
            world.pass(clock)?;
            world.end_batch()?;
            executor.end();
            batches.push(Told { clock, requests, replies });
        }
        Ok(History { limits, secret, batches, state: executor.state() })
    }
}

fn read(bytes: &[u8]) -> Request<'_> {
    postcard::from_bytes(bytes).expect("it was written here")
}

fn signer() -> Signer {
    Signer::new("example.org/simulation", &[9; 32]).expect("the name is one")
}

/// Sends a history to an engine on a failing disk.
struct Life<'h> {
    history: &'h History,
    dice: Dice,
    /// Batches of which the clients were told.
    told: usize,
    restarts: u32,
}

impl Life<'_> {
    /// Until all batches are told, whatever happens. Gives the disk back.
    fn live(&mut self, mut disk: Disk) -> Result<Disk, String> {
        while self.told < self.history.batches.len() {
            disk.sound = self.restarts >= RESTARTS_MAX;
            let left = disk.clone();
            disk = match self.open(disk)? {
                Some(mut durable) => {
                    self.has_kept(&durable)?;
                    self.run(&mut durable)?;
                    durable.into_parts().1.into_storage()
                }
                // It failed while it was opened, and took the disk with it.
                None => {
                    let mut disk = left;
                    disk.machine_crashes();
                    disk
                }
            };
            self.restarts += 1;
            match disk.may_go_on() && self.dice.chance(30) {
                true => disk.process_ends(),
                false => disk.machine_crashes(),
            }
        }
        Ok(disk)
    }

    fn open(&mut self, disk: Disk) -> Result<Option<Durable<Disk>>, String> {
        let History { limits, secret, .. } = self.history;
        let trust = Trust { key: Some(signer().public().clone()), ..Trust::default() };
        let begin = if self.dice.chance(50) { Begin::First } else { Begin::Snapshot };
        let options = Options { trust, segment_bytes: SEGMENT_BYTES, begin };
        match Durable::open(disk, &options, Some(*limits), secret) {
            Ok((durable, _)) => Ok(Some(durable)),
            Err(DurableError::Journal(JournalError::Io(_))) => Ok(None),
            Err(other) => Err(format!("what crashes left does not open: {other}")),
        }
    }

    fn has_kept(&self, durable: &Durable<Disk>) -> Result<(), String> {
        let executed = durable.engine().commands();
        let told = &self.history.batches[..self.told];
        let replies = told.iter().flat_map(|batch| batch.replies.iter().flatten());
        let needed = replies.map(|reply| reply.seq.0 + 1).max().unwrap_or(0);
        match executed >= needed {
            true => Ok(()),
            false => Err(format!("{needed} commands were told, {executed} are there")),
        }
    }

    /// Sends batches until the disk fails, the machine does, or all are told.
    fn run(&mut self, durable: &mut Durable<Disk>) -> Result<(), String> {
        let mut sent = self.told;
        while self.told < self.history.batches.len() {
            for _ in 0..1 + self.dice.below(3) {
                let Some(batch) = self.history.batches.get(sent) else { break };
                self.send(durable, batch).map_err(|what| format!("batch {sent}: {what}"))?;
                if durable.commit().is_err() {
                    return Ok(());
                }
                sent += 1;
            }
            let kept = match self.dice.below(12) {
                // The machine crashes between writing and syncing.
                0 => return Ok(()),
                1 => durable.snapshot(&signer()).is_ok(),
                2 => durable.journal_mut().checkpoint(&signer()).is_ok(),
                _ => durable.sync().is_ok(),
            };
            if !kept {
                return Ok(());
            }
            self.told = sent;
            // The machine crashes, or somebody pulls a plug.
            if self.dice.chance(3) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&self, durable: &mut Durable<Disk>, batch: &Told) -> Result<(), String> {
        durable.begin(batch.clock);
        for (request, expected) in batch.requests.iter().zip(&batch.replies) {
            let reply = durable.apply(&read(request));
            if reply != *expected {
                let asked = read(request);
                return Err(format!("{asked:?}\nreplied:  {reply:?}\nexpected: {expected:?}"));
            }
        }
        Ok(())
    }

    /// At the end the state is that of the engine without a disk, and the journal proves it.
    fn ends_well(&mut self, mut disk: Disk) -> Result<(), String> {
        disk.sound = true;
        let Some(durable) = self.open(disk)? else { return Err("a sound disk".to_owned()) };
        self.has_kept(&durable)?;
        durable.engine().audit();
        let (executor, mut journal) = durable.into_parts();
        if executor.state() != self.history.state {
            return Err("the state at the end is another".to_owned());
        }
        journal.checkpoint(&signer()).map_err(|error| error.to_string())?;
        let trust = Trust { key: Some(signer().public().clone()), ..Trust::default() };
        let mut auditor = Auditor::new(self.history.secret.clone(), ());
        let disk = journal.into_storage();
        let verified = verify(&disk, &trust, Some(&mut auditor));
        let verified = verified.map_err(|error| format!("it does not verify: {error}"))?;
        match verified.commands == executor.engine().commands() {
            true => Ok(()),
            false => Err(format!("{} commands verified", verified.commands)),
        }
    }
}

/// Runs a seed, and says what went wrong with its disk and how often it was started again.
fn run(seed: u64) -> Result<(BTreeMap<Fault, u32>, u32), String> {
    let again = format!(
        "HONGXIAN_SEEDS={seed}..{} cargo test -p hongxian --lib packet::simulation::restarts::seeds",
        seed + 1
    );
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let history = History::of(seed)?;
        let dice = Dice::new(seed ^ 0x11fe);
        let mut life = Life { history: &history, dice, told: 0, restarts: 0 };
        let disk = life.live(Disk::new(seed))?;
        let faults = disk.faults.clone();
        life.ends_well(disk)?;
        Ok((faults, life.restarts))
    }));
    let lived = lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    lived.map_err(|what: String| format!("{what}\n\nagain:    {again}\n"))
}

#[test]
fn seeds() {
    let asked = super::seeds_asked(SEEDS);
    let mut faults: BTreeMap<Fault, u32> = BTreeMap::new();
    let mut restarts = 0;
    for seed in asked.clone() {
        match run(seed) {
            Ok((of_seed, times)) => {
                of_seed
                    .iter()
                    .for_each(|(fault, count)| *faults.entry(*fault).or_default() += count);
                restarts += times;
            }
            Err(mistake) => panic!("seed {seed}: {mistake}"),
        }
    }
    println!("{restarts} restarts: {faults:?}");
    if asked == SEEDS {
        use Fault::*;
        let all = [ShortWrite, NoSpace, SyncFailed, NameFailed, SectorsLost, SectorTorn, NamesLost];
        for fault in all {
            let count = faults.get(&fault).copied().unwrap_or(0);
            assert!(count >= 10, "{fault:?} came up {count} times");
        }
    }
}

/// In so many seeds each mistake of the journal must be found.
const SEEDS_OF_A_BUG: u64 = 120;

/// The test of this test.
#[test]
fn every_bug_of_the_journal_is_found() {
    let mut missed = Vec::new();
    for bug in bugs::OF_THE_JOURNAL {
        match (0..SEEDS_OF_A_BUG).find(|&seed| bugs::with(bug, || run(seed)).is_err()) {
            Some(seed) => println!("{bug:?}: found by seed {seed}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {SEEDS_OF_A_BUG} seeds: {missed:?}");
}
