//! Kill it anywhere: a producer, a broker and the stream, and faults at random moments; and the
//! question whether every record has still become exactly what it should have.
//!
//! `scripts/chaos` builds the programs and starts this. The seed says which faults come in which
//! order and how long each takes; at which instruction one strikes, no seed can say.

mod broker;
mod dice;
mod faults;
mod feed;
mod proxy;
mod snapshots;
mod topics;
mod trial;
mod verdict;
mod world;

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde_json::{Value, json};

use self::dice::Dice;
use self::faults::{FAULTS, Fault};
use self::trial::Looked;
use self::world::{Setup, World};
use crate::measure::fail;

/// What the environment does not allow: no broker, no disk.
const EXIT_ENVIRONMENT: u8 = 3;
/// The stream runs so long before the next fault, in ms.
const BETWEEN: (u64, u64) = (50, 1_200);
/// Of the disk that is filled up: more than a few snapshots, and quick to fill.
const SMALL_DISK: &str = "size=256m";

#[derive(clap::Args)]
pub(crate) struct Chaos {
    /// How often the stream dies before it is over.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Which faults come in which order, and how long each takes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Numbers of workers; each start takes one of them.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    workers: Vec<u64>,
    /// Everything is checked after so many kills, and at the end.
    #[arg(long, value_name = "KILLS", default_value_t = 10)]
    check_every: u64,
    /// Only these faults, by their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rules directory; time is kept by the harness.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// List the faults and do nothing.
    #[arg(long)]
    list: bool,
    /// In the end write a decision once more: the run must fail, or it sees nothing.
    #[arg(long)]
    spoil: bool,
    /// Keep everything also where nothing was found.
    #[arg(long)]
    keep: bool,
    /// Where broker, logs and snapshots go; it must not be there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The program to trouble.
    #[arg(long, value_name = "PATH", hide = true)]
    binary: PathBuf,
    /// The process may mount: the snapshots get a small disk of their own.
    #[arg(long, hide = true)]
    may_mount: bool,
}

/// What came of it.
struct Outcome {
    failure: Option<String>,
    looked: Looked,
    checks: u64,
}

pub(crate) fn run(chaos: &Chaos) -> ExitCode {
    if chaos.list {
        for fault in &FAULTS {
            println!("{:<20} {}", fault.name, fault.what);
        }
        return ExitCode::SUCCESS;
    }
    match begin(chaos) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("chaos: {message}");
            ExitCode::from(EXIT_ENVIRONMENT)
        }
    }
}

fn begin(chaos: &Chaos) -> Result<ExitCode, String> {
    let unknown = chaos.only.iter().find(|name| FAULTS.iter().all(|one| one.name != **name));
    if let Some(unknown) = unknown {
        return Err(format!("there is no fault {unknown}; --list names them"));
    }
    let dir = chaos.dir.clone().ok_or("--dir is missing")?;
    fs::create_dir(&dir).map_err(fail(&dir))?;
    let dir = fs::canonicalize(&dir).map_err(fail(&dir))?;
    let snapshots = dir.join("snapshots");
    fs::create_dir(&snapshots).map_err(fail(&snapshots))?;
    if chaos.may_mount {
        mount(&snapshots)?;
    } else {
        eprintln!("chaos: nothing can be mounted here: no fault fills the disk");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rules = rules(&root, chaos.rules.as_deref(), &dir)?;
    let program = fs::canonicalize(&chaos.binary).map_err(fail(&chaos.binary))?;
    let setup = Setup {
        program: &program,
        dir: &dir,
        rules: &rules,
        workers: &chaos.workers,
        seed: chaos.seed,
    };
    eprintln!("chaos: starting a broker");
    let mut world = World::open(&root, &setup)?;
    let outcome = trouble(chaos, &mut world, &rules);
    world.close();
    let failed = outcome.failure.is_some();
    if chaos.json {
        println!("{:#}", as_json(chaos, &world, &outcome));
    } else {
        print!("{}", as_text(&world, &outcome));
    }
    if failed {
        tell(chaos, &world, &outcome)?;
    } else if !chaos.keep {
        unmount(chaos, &snapshots);
        fs::remove_dir_all(&dir).map_err(fail(&dir))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Fault after fault until the stream has died often enough.
fn trouble(chaos: &Chaos, world: &mut World, rules: &Path) -> Outcome {
    let mut outcome = Outcome { failure: None, looked: Looked::default(), checks: 0 };
    let done = (|| {
        let mut round: Vec<&Fault> = Vec::new();
        let mut checked = 0;
        while world.kills < chaos.kills {
            if round.is_empty() {
                round = next_round(chaos, &mut world.dice);
            }
            let Some(fault) = round.pop() else { return Err("there is no fault to do".to_owned()) };
            progress(chaos, world, fault.name);
            world.fault = fault.name;
            world.start(&[])?;
            let pause = Duration::from_millis(world.dice.between(BETWEEN.0, BETWEEN.1));
            world.watch(pause)?;
            world.note(&format!("== {}", fault.name));
            world.tally().times += 1;
            (fault.run)(world)?;
            if world.kills >= checked + chaos.check_every || world.kills >= chaos.kills {
                progress(chaos, world, "check");
                checked = world.kills;
                let spoil = chaos.spoil && world.kills >= chaos.kills;
                outcome.looked = trial::check(world, rules, spoil)?;
                outcome.checks += 1;
            }
        }
        Ok(())
    })();
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    outcome.failure = done.err();
    outcome
}

/// All faults, in an order of the seed: each comes once before one comes again more often than its
/// weight says.
fn next_round(chaos: &Chaos, dice: &mut Dice) -> Vec<&'static Fault> {
    let wanted = |fault: &&Fault| {
        (chaos.only.is_empty() || chaos.only.iter().any(|name| name == fault.name))
            && (chaos.may_mount || !fault.needs_small_disk)
    };
    let mut round: Vec<&Fault> = FAULTS
        .iter()
        .filter(wanted)
        .flat_map(|fault| std::iter::repeat_n(fault, fault.weight))
        .collect();
    dice.shuffle(&mut round);
    round
}

/// A line on a terminal, and one for each check elsewhere.
fn progress(chaos: &Chaos, world: &World, what: &str) {
    let (kills, all, sent) = (world.kills, chaos.kills, world.feed.sent());
    let seconds = world.seconds();
    let line = format!("{kills} of {all} kills, {sent} records, {seconds:.0} s: {what}");
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{line}");
        // A line that cannot be shown is not worth ending for.
        let _ = std::io::stderr().flush();
    } else if what == "check" {
        eprintln!("chaos: {line}");
    }
}

/// The shipped rules, or others, with times by which things happen while one waits.
fn rules(root: &Path, rules: Option<&Path>, dir: &Path) -> Result<PathBuf, String> {
    let to = dir.join("rules");
    crate::copy(rules.unwrap_or(&root.join("rules")), &to)?;
    let policy = to.join("policy.toml");
    let text = fs::read_to_string(&policy).unwrap_or_default();
    let own = [
        ("allowed_lateness", "\"2s\""),
        ("idle_ms", "150"),
        ("dedup_window", "\"1d\""),
        ("max_ahead", "\"5m\""),
    ];
    let mut lines: Vec<String> =
        own.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let is_own = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        own.iter().any(|(name, _)| *name == key)
    };
    lines.extend(text.lines().filter(|line| !is_own(line)).map(str::to_owned));
    fs::write(&policy, lines.join("\n") + "\n").map_err(fail(&policy))?;
    Ok(to)
}

/// It is gone with the namespace of this process.
fn mount(directory: &Path) -> Result<(), String> {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", SMALL_DISK, "tmpfs"]).arg(directory);
    broker::said(&mut command).map(drop)
}

fn unmount(chaos: &Chaos, directory: &Path) {
    if chaos.may_mount {
        // If it stays, the folder cannot be taken away, and that is told.
        let _ = Command::new("umount").arg(directory).status();
    }
}

/// Says what was found, where to look and how to do it again.
fn tell(chaos: &Chaos, world: &World, outcome: &Outcome) -> Result<(), String> {
    let Some(failure) = &outcome.failure else { return Ok(()) };
    if chaos.may_mount {
        // The small disk goes with this process.
        crate::copy(&world.snapshots(), &world.dir.join("snapshots-kept"))?;
    }
    let (seed, kills, fault) = (chaos.seed, world.kills, world.fault);
    let workers: Vec<String> = chaos.workers.iter().map(u64::to_string).collect();
    let mut again = format!("scripts/chaos --kills {} --seed {seed}", chaos.kills);
    again += &format!(" --workers {} --check-every {}", workers.join(","), chaos.check_every);
    if !chaos.only.is_empty() {
        again += &format!(" --only {}", chaos.only.join(","));
    }
    if chaos.spoil {
        again += " --spoil";
    }
    eprintln!("chaos: seed {seed}, after {kills} kills, in {fault}: {failure}");
    eprintln!("  evidence  {} (diary.txt, logs, broker, snapshots)", world.dir.display());
    eprintln!("  again     {again}");
    Ok(())
}

fn as_text(world: &World, outcome: &Outcome) -> String {
    let mut out = format!(
        "{:<20}{:>7}{:>7}{:>9}{:>18}\n",
        "fault", "times", "kills", "gave up", "longest recovery"
    );
    for fault in &FAULTS {
        let Some(tally) = world.tally.get(fault.name) else { continue };
        let recovery = match tally.recovery {
            Duration::ZERO => "-".to_owned(),
            took => format!("{:.1} s", took.as_secs_f64()),
        };
        let (times, kills, gave_up) = (tally.times, tally.kills, tally.gave_up);
        out += &format!("{:<20}{times:>7}{kills:>7}{gave_up:>9}{recovery:>18}\n", fault.name);
    }
    let Looked { records, written_twice, counts, late, heartbeats } = outcome.looked;
    out += &format!(
        "\n{} kills in {:.0} s, {} checks; in the last one {records} records ({written_twice} \
         that the broker wrote twice): {} decided ({late} late), {} applied, {} rejected, {} \
         duplicates; {heartbeats} heartbeats\n{}\n",
        world.kills,
        world.seconds(),
        outcome.checks,
        counts.decided,
        counts.applied,
        counts.rejected,
        counts.duplicates,
        if outcome.failure.is_none() {
            "each record once, no number missing, the same bytes each way"
        } else {
            "FAILED"
        }
    );
    out
}

fn as_json(chaos: &Chaos, world: &World, outcome: &Outcome) -> Value {
    let faults: serde_json::Map<String, Value> = world
        .tally
        .iter()
        .map(|(name, tally)| {
            let told = json!({
                "times": tally.times,
                "kills": tally.kills,
                "gave_up": tally.gave_up,
                "longest_recovery_seconds": tally.recovery.as_secs_f64(),
            });
            ((*name).to_owned(), told)
        })
        .collect();
    let Looked { records, written_twice, counts, late, heartbeats } = outcome.looked;
    json!({
        "seed": chaos.seed,
        "kills": world.kills,
        "seconds": world.seconds(),
        "faults": faults,
        "disk_filled": chaos.may_mount,
        "checks": outcome.checks,
        "records": records,
        "written_twice": written_twice,
        "decided": counts.decided,
        "late": late,
        "applied": counts.applied,
        "rejected": counts.rejected,
        "duplicates": counts.duplicates,
        "heartbeats": heartbeats,
        "passed": outcome.failure.is_none(),
        "failure": outcome.failure,
    })
}
