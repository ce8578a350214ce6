//! What is done to the stream and to what it stands on. One fault is one block, and a row of the list.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::broker::signal;
use super::proxy::Weather;
use super::snapshots;
use super::world::{Running, World, last_of};
use crate::measure::fail;

/// One of two instances has noticed the other after so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that is done.
pub(super) struct Fault {
    pub(super) name: &'static str,
    /// How many times in a round.
    pub(super) weight: usize,
    pub(super) what: &'static str,
    /// Whether it fills the disk.
    pub(super) needs_small_disk: bool,
    /// When it returns the stream may be gone, and all is well otherwise.
    pub(super) run: fn(&mut World) -> Result<(), String>,
}

const fn fault(
    (name, weight): (&'static str, usize),
    what: &'static str,
    run: fn(&mut World) -> Result<(), String>,
) -> Fault {
    Fault { name, weight, what, needs_small_disk: false, run }
}

/// All faults.
pub(super) const FAULTS: [Fault; 21] = [
    fault(("kill-anywhere", 3), "kill -9 at any moment", kill_anywhere),
    fault(("kill-in-start", 2), "kill -9 while it starts", kill_in_start),
    fault(("kill-in-replay", 2), "kill -9 while it replays", kill_in_replay),
    fault(("kill-in-commit", 3), "it dies between flush and commit", kill_in_commit),
    fault(("kill-in-snapshot", 3), "kill -9 while a snapshot is written", kill_in_snapshot),
    fault(("terminate", 2), "SIGTERM, with exit code 0", terminate),
    fault(("snapshots-lost", 1), "killed, and the snapshots taken away", snapshots_lost),
    fault(("snapshot-damaged", 1), "killed, and the newest snapshot cut", snapshot_damaged),
    Fault {
        needs_small_disk: true,
        ..fault(("disk-full", 2), "no space for snapshots", disk_full)
    },
    fault(("broker-killed", 2), "kill -9 of the broker, and a restart", broker_killed),
    fault(("both-killed", 1), "kill -9 of broker and stream", both_killed),
    fault(("broker-frozen", 2), "SIGSTOP of the broker, then SIGCONT", broker_frozen),
    fault(("connections-broken", 1), "all connections broken once", connections_broken),
    fault(("network-cut", 2), "no connection for seconds", network_cut),
    fault(("network-slow", 1), "all that is sent takes longer", network_slow),
    fault(("network-still", 1), "nothing arrives for seconds", network_still),
    fault(("answers-lost", 2), "the broker is not heard", answers_lost),
    fault(("questions-lost", 1), "the broker hears nothing", questions_lost),
    fault(("stream-frozen", 1), "SIGSTOP of the stream, then SIGCONT", stream_frozen),
    fault(("second-instance", 1), "another of its name is started", second_instance),
    fault(("zombie", 2), "it wakes when another has gone on", zombie),
];

fn ms(dice: &mut super::dice::Dice, low: u64, high: u64) -> Duration {
    Duration::from_millis(dice.between(low, high))
}

fn kill_anywhere(world: &mut World) -> Result<(), String> {
    let time = ms(&mut world.dice, 50, 3_500);
    world.watch(time)?;
    world.kill()
}

fn kill_in_start(world: &mut World) -> Result<(), String> {
    world.terminate()?;
    let time = ms(&mut world.dice, 1, 600);
    world.start(&[])?;
    world.watch(time)?;
    world.kill()
}

/// From the beginning: what is replayed from a snapshot is over at once.
fn kill_in_replay(world: &mut World) -> Result<(), String> {
    let (from_the_beginning, time) = (world.dice.once_in(2), ms(&mut world.dice, 0, 250));
    world.kill()?;
    if from_the_beginning {
        take_away(world)?;
    }
    world.start(&[])?;
    world.until(Duration::from_secs(3), |world| world.has_said("replaying the input"));
    world.watch(time)?;
    world.kill()
}

fn kill_in_commit(world: &mut World) -> Result<(), String> {
    let at = world.dice.between(1, 12).to_string();
    world.kill()?;
    world.feed.busy(true);
    let mut dying = world.spawn(&["--crash-at", &at])?;
    let status = world.ended(&mut dying)?;
    world.feed.busy(false);
    if status.code().is_some() {
        return Err(format!("it ended by itself with {status}: {}", last_of(&dying.log)));
    }
    world.killed();
    world.check_snapshots()
}

fn kill_in_snapshot(world: &mut World) -> Result<(), String> {
    let (early, time) = (world.dice.once_in(3), Duration::from_micros(world.dice.below(6_000)));
    world.feed.busy(true);
    let unfinished = world.snapshots().join(".unfinished");
    let found = world.until(Duration::from_secs(10), |_| unfinished.exists());
    if !early {
        std::thread::sleep(time);
    }
    world.feed.busy(false);
    world.note(if found { "a snapshot is being written" } else { "no snapshot is being written" });
    world.kill()
}

fn terminate(world: &mut World) -> Result<(), String> {
    let time = ms(&mut world.dice, 0, 2_000);
    world.watch(time)?;
    world.terminate()
}

fn take_away(world: &mut World) -> Result<(), String> {
    world.note("the snapshots are taken away");
    for path in numbered(world)? {
        fs::remove_dir_all(&path).map_err(fail(&path))?;
    }
    Ok(())
}

/// The snapshots that are there, the newest last.
fn numbered(world: &World) -> Result<Vec<PathBuf>, String> {
    let directory = world.snapshots();
    let Ok(entries) = fs::read_dir(&directory) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(fail(&directory))?.path());
    }
    let hidden = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    };
    paths.retain(|path| !hidden(path));
    paths.sort();
    Ok(paths)
}

fn snapshots_lost(world: &mut World) -> Result<(), String> {
    world.kill()?;
    take_away(world)
}

/// It is passed over for the one before, and that is said.
fn snapshot_damaged(world: &mut World) -> Result<(), String> {
    world.kill()?;
    let found = numbered(world)?;
    let Some(newest) = found.last() else { return Ok(()) };
    let Some(parts) = snapshots::parts(newest)?.pop() else { return Ok(()) };
    let bytes = fs::read(&parts).map_err(fail(&parts))?;
    let left = world.dice.below(bytes.len() as u64) as usize;
    fs::write(&parts, &bytes[..left]).map_err(fail(&parts))?;
    world.note(&format!("{} has {left} bytes of {}", parts.display(), bytes.len()));
    world.start(&[])?;
    world.recover()?;
    if !world.has_said("is passed over, it is not whole") {
        return Err(format!("{} is not whole, and nothing was said", newest.display()));
    }
    // It may stay until newer ones push it out.
    if newest.exists() {
        fs::remove_dir_all(newest).map_err(fail(newest))?;
    }
    Ok(())
}

/// The stream goes on, and so does one that starts.
fn disk_full(world: &mut World) -> Result<(), String> {
    let (time, restarts) = (ms(&mut world.dice, 500, 3_000), world.dice.once_in(2));
    let left = world.dice.below(40) << 10;
    let (filler, last) = (world.snapshots().join(".filler"), world.snapshots().join(".last"));
    let mut file = File::create(&filler).map_err(fail(&filler))?;
    // So much is left that some of a snapshot can be written.
    fs::write(&last, vec![1; left as usize]).map_err(fail(&last))?;
    while file.write_all(&[1; 4096]).is_ok() {}
    fs::remove_file(&last).map_err(fail(&last))?;
    world.note(&format!("the disk of the snapshots has {left} bytes left"));
    world.feed.busy(true);
    world.watch(time)?;
    if restarts {
        world.kill()?;
        world.watch(time)?;
    }
    world.feed.busy(false);
    world.recover()?;
    drop(file);
    fs::remove_file(&filler).map_err(fail(&filler))?;
    world.note("the disk has space again");
    Ok(())
}

/// Something outside the stream that does not work for a while; the stream may be killed meanwhile.
fn outage(
    world: &mut World,
    (low, high): (u64, u64),
    begin: &dyn Fn(&World) -> Result<(), String>,
    end: &dyn Fn(&World) -> Result<(), String>,
) -> Result<(), String> {
    let (before, time) = (ms(&mut world.dice, 0, 800), ms(&mut world.dice, low, high));
    let killed = world.dice.once_in(3).then(|| time.mul_f64(world.dice.below(100) as f64 / 100.0));
    world.watch(before)?;
    world.note(&format!("{} for {} ms", world.fault, time.as_millis()));
    world.troubled = true;
    begin(world)?;
    let done = match killed {
        None => world.watch(time),
        Some(at) => world
            .watch(at)
            .and_then(|()| world.kill())
            .and_then(|()| world.watch(time.saturating_sub(at))),
    };
    end(world)?;
    done?;
    world.note("it is over");
    world.recover()
}

fn broker_killed(world: &mut World) -> Result<(), String> {
    outage(world, (0, 6_000), &|world| world.broker.kill(), &|world| world.broker.restart())
}

fn both_killed(world: &mut World) -> Result<(), String> {
    world.troubled = true;
    world.kill()?;
    world.note("kill -9 of the broker");
    world.broker.kill()?;
    world.start(&[])?;
    world.broker.restart()?;
    world.recover()
}

fn broker_frozen(world: &mut World) -> Result<(), String> {
    outage(world, (300, 14_000), &|world| world.broker.freeze(), &|world| world.broker.thaw())
}

fn connections_broken(world: &mut World) -> Result<(), String> {
    let begin = |world: &World| {
        world.proxy.drop_all();
        Ok(())
    };
    outage(world, (100, 400), &begin, &|_| Ok(()))
}

fn weather(world: &mut World, time: (u64, u64), bad: Weather) -> Result<(), String> {
    let set = |weather: Weather| {
        move |world: &World| {
            world.proxy.set(weather);
            Ok(())
        }
    };
    outage(world, time, &set(bad), &set(Weather::Fair))
}

fn network_cut(world: &mut World) -> Result<(), String> {
    weather(world, (200, 9_000), Weather::Cut)
}

fn network_slow(world: &mut World) -> Result<(), String> {
    let delay = ms(&mut world.dice, 10, 300);
    weather(world, (2_000, 6_000), Weather::Slow(delay))
}

fn network_still(world: &mut World) -> Result<(), String> {
    weather(world, (300, 14_000), Weather::Still)
}

fn answers_lost(world: &mut World) -> Result<(), String> {
    weather(world, (300, 12_000), Weather::AnswersLost)
}

fn questions_lost(world: &mut World) -> Result<(), String> {
    weather(world, (300, 12_000), Weather::QuestionsLost)
}

fn stream_frozen(world: &mut World) -> Result<(), String> {
    let time = ms(&mut world.dice, 300, 4_000);
    let stream = world.take()?;
    let pid = stream.child.id().to_string();
    signal("-STOP", &pid)?;
    std::thread::sleep(time);
    signal("-CONT", &pid)?;
    world.set(stream);
    world.recover()
}

/// Whoever takes the name last goes on, and the other one ends and says why.
fn second_instance(world: &mut World) -> Result<(), String> {
    let first = world.take()?;
    world.feed.busy(true);
    world.start(&[])?;
    one_of_two(world, first)
}

/// One that stood still while another went on commits nothing when it wakes, and spoils no snapshot.
fn zombie(world: &mut World) -> Result<(), String> {
    let (in_snapshot, asleep) = (world.dice.once_in(2), ms(&mut world.dice, 0, 2_000));
    world.feed.busy(true);
    if in_snapshot {
        let unfinished = world.snapshots().join(".unfinished");
        world.until(Duration::from_secs(3), |_| unfinished.exists());
    }
    let first = world.take()?;
    let pid = first.child.id().to_string();
    signal("-STOP", &pid)?;
    world.note("it stands still");
    world.start(&[])?;
    let gone_on = world.recover().and_then(|()| world.watch(asleep));
    world.note("it wakes");
    signal("-CONT", &pid)?;
    gone_on?;
    world.feed.busy(true);
    one_of_two(world, first)
}

/// Of this one and the one that runs, one has to end. Either may have been starting, so that nobody
/// can say which of them takes the name last.
fn one_of_two(world: &mut World, mut first: Running) -> Result<(), String> {
    let mut second = world.take()?;
    world.until(PATIENCE, |_| first.has_ended() || second.has_ended());
    world.feed.busy(false);
    let (mut gone, goes_on) = if first.has_ended() { (first, second) } else { (second, first) };
    world.set(goes_on);
    let status = world.ended(&mut gone)?;
    fenced(status.code(), &gone.log)?;
    world.recover()
}

fn fenced(code: Option<i32>, log: &std::path::Path) -> Result<(), String> {
    let said = last_of(log);
    match said.contains("another instance goes on") && code == Some(3) {
        true => Ok(()),
        false => Err(format!("a stream that was fenced ended with {code:?}: {said}")),
    }
}
