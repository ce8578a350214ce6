//! Measuring a program from outside: wall clock, peak memory, and what it says of itself in
//! `metrics.json`.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::Value;

/// What an event that a ring still holds may take up: it is not the key's.
const EVENT_BYTES: f64 = 24.0;

/// One run of a program.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Wall clock of the whole process.
    pub(crate) seconds: f64,
    /// The most memory that it held.
    pub(crate) peak_bytes: u64,
    /// Events with a decision.
    pub(crate) decided: u64,
    /// `decisions_digest`.
    pub(crate) digest: String,
    /// Seconds by stage, in the order of the file.
    pub(crate) stages: Vec<(String, f64)>,
    /// Seconds that the workers spent on each family of features, its requests and its state, and on
    /// what belongs to none; the dearest first.
    pub(crate) families: Vec<(String, f64)>,
    /// Bytes of state a live key, less [`EVENT_BYTES`] for each event that a ring still holds.
    pub(crate) bytes_a_key: Option<f64>,
}

/// Turns an error into a message that begins with the path.
pub(crate) fn fail<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

/// What is seen of a program from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Wall clock of the whole process.
    pub(crate) seconds: f64,
    /// Processor time of all its threads: it says more than the clock where others use the machine.
    pub(crate) cpu_seconds: f64,
    /// The most memory that it held.
    pub(crate) peak_bytes: u64,
}

/// Runs `command` under [`print_measurement`], in a process of its own; what it writes to its
/// standard output is dropped.
pub(crate) fn measure(command: &Command) -> Result<Measured, String> {
    let program = Path::new(command.get_program());
    let this = std::env::current_exe().map_err(fail(program))?;
    let mut measuring = Command::new(this);
    measuring.arg("measure").arg(program).args(command.get_args());
    measuring.stderr(Stdio::inherit());
    // The first of two does not count. The host of a virtual machine takes away what stands free there
    // for seconds, and gives it back page by page: who runs first after others pays for that.
    measuring.output().map_err(fail(program))?;
    let output = measuring.output().map_err(fail(program))?;
    if !output.status.success() {
        return Err(format!("{} failed", program.display()));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let measured = json(printed.lines().next_back().unwrap_or_default(), program)?;
    Measured::read(&measured).ok_or_else(|| format!("{} was not measured", program.display()))
}

impl Measured {
    fn read(printed: &Value) -> Option<Measured> {
        Some(Measured {
            seconds: printed["seconds"].as_f64()?,
            cpu_seconds: printed["cpu_seconds"].as_f64()?,
            peak_bytes: printed["peak_bytes"].as_u64()?,
        })
    }
}

/// Runs `command` and prints `{"seconds": ..., "cpu_seconds": ..., "peak_bytes": ...}` as the last
/// line. A process of its own, because the system keeps the peak of all children together.
pub(crate) fn print_measurement(command: &[String]) -> Result<(), String> {
    let program = Path::new(&command[0]);
    let start = Instant::now();
    let status = Command::new(program)
        .args(&command[1..])
        .stdin(Stdio::null())
        .status()
        .map_err(fail(program))?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{} ended with {status}", program.display()));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(fail(program))?;
    // Linux counts in KiB.
    let peak_bytes = usage.max_rss() * 1024;
    let cpu = usage.user_time() + usage.system_time();
    let cpu_seconds = cpu.num_microseconds() as f64 / 1e6;
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes,
        })
    );
    Ok(())
}

/// One backtest with every output, in a process of its own.
pub(crate) fn backtest(
    program: &Path,
    events: &Path,
    rules: &Path,
    workers: u64,
    out: &Path,
) -> Result<Run, String> {
    if out.exists() {
        fs::remove_dir_all(out).map_err(fail(out))?;
    }
    let mut command = Command::new(program);
    command.arg("backtest").arg(events).arg("--rules").arg(rules).arg("--out").arg(out);
    command.arg("--workers").arg(workers.to_string()).arg("--json");
    let measured = measure(&command)?;
    let metrics = out.join("metrics.json");
    let metrics = json(&fs::read_to_string(&metrics).map_err(fail(&metrics))?, &metrics)?;
    Run::read(measured, &metrics).ok_or_else(|| {
        format!("{}: metrics.json lacks counts.decided or decisions_digest", out.display())
    })
}

impl Run {
    fn read(measured: Measured, metrics: &Value) -> Option<Run> {
        let stages = metrics["timings"].as_object().map(|timings| {
            timings.iter().filter_map(|(name, spent)| Some((name.clone(), spent.as_f64()?)))
        });
        let families = metrics["state"].as_object().into_iter().flat_map(|state| state.values());
        // The families that say what they take up.
        let families = families.filter(|family| family["bytes"].as_f64() > Some(0.0));
        let (mut keys, mut bytes) = (0.0, 0.0);
        for family in families {
            keys += family["keys"].as_f64()?;
            bytes += family["bytes"].as_f64()? - EVENT_BYTES * family["events"].as_f64()?;
        }
        Some(Run {
            seconds: measured.seconds,
            peak_bytes: measured.peak_bytes,
            decided: metrics["counts"]["decided"].as_u64()?,
            digest: metrics["decisions_digest"].as_str()?.to_owned(),
            stages: stages.into_iter().flatten().collect(),
            families: families_of(&metrics["operators"]),
            bytes_a_key: (keys > 0.0).then_some(bytes / keys),
        })
    }
}

/// Adds up the operators of each family, which are named after it: `account_id: state`.
fn families_of(operators: &Value) -> Vec<(String, f64)> {
    let mut families: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, seconds) in operators.as_object().into_iter().flatten() {
        let family = name.strip_suffix(": state").or_else(|| name.strip_suffix(": requests"));
        *families.entry(family.unwrap_or(name)).or_default() += seconds.as_f64().unwrap_or(0.0);
    }
    let named = families.into_iter().map(|(name, seconds)| (name.to_owned(), seconds));
    let mut families: Vec<(String, f64)> = named.collect();
    families.sort_by(|one, other| other.1.total_cmp(&one.1));
    families
}

fn json(text: &str, from: &Path) -> Result<Value, String> {
    serde_json::from_str(text).map_err(fail(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_from_what_the_program_says_of_itself() {
        let measured = Measured { seconds: 2.0, cpu_seconds: 3.0, peak_bytes: 1024 };
        let metrics = serde_json::json!({
            "counts": { "decided": 10 },
            "decisions_digest": "d",
            "timings": { "read": 0.5, "rules": 0.25 },
            "state": {
                "account_id": { "keys": 3, "bytes": 144, "events": 2 },
                "device_id": { "keys": 1, "bytes": 4, "events": 0 },
                "packet: referee": { "keys": 9, "bytes": 0, "events": 0 },
            },
            "operators": { "account_id: state": 0.5, "account_id: requests": 0.25, "score": 1.0 },
        });
        let run = Run::read(measured, &metrics).unwrap();
        assert_eq!((run.decided, run.digest.as_str()), (10, "d"));
        assert_eq!(run.stages, [("read".to_owned(), 0.5), ("rules".to_owned(), 0.25)]);
        assert_eq!(run.families, [("score".to_owned(), 1.0), ("account_id".to_owned(), 0.75)]);
        assert_eq!(run.bytes_a_key, Some(25.0));
        assert!(Run::read(measured, &serde_json::json!({})).is_none());
    }
}
