//! The batch job as people would otherwise write it, in DuckDB and in Polars, beside Hongxian: on
//! one machine, in one run, with the same values and scores.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::generate::Keys;
use crate::measure::{self, Measured, fail};
use crate::table::{cores, grouped, median, shown};

/// Their versions; `scripts/bench` installs these.
const REQUIREMENTS: &str = include_str!("../peers/requirements.txt");

/// What Hongxian's figure includes and the others' do not.
const LEFT_OUT: &str = "\
Each reads the CSV, computes the seven windows, the phrases and the ten rules exactly, and writes
Parquet in the order of the events; before the clock runs, every value and score of DuckDB and
Polars is compared with Hongxian's. Time, processor time and memory are those of the whole process.
A program with N threads may use N cores, for each has some threads beside those that it is told.

DuckDB and Polars write the id, the eight values and the score of an event, and do no more.
Hongxian's figure includes checks of each field, rejects with place and reason, duplicates and
conflicts of ids, the packets' referee, decisions with reasons in words and evidence, verdicts on
accounts and groups, the digest, the tamper-evident log and the report. It counts phrases behind
disguises too (homophones among them), of which this input has none. DuckDB can put on disk what
does not fit in memory, as Hongxian can; Polars, written so, needs memory for all. Both read files to
their end, where Hongxian also decides a stream, with the same results.
";

const THIS_PROCESS: Pid = Pid::from_raw(0);

#[derive(clap::Args)]
pub(crate) struct Peers {
    /// Number of events.
    #[arg(long, default_value_t = crate::EVENTS_DEFAULT)]
    events: u64,
    /// Runs of each program; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Numbers of threads, of workers for Hongxian.
    #[arg(long, value_delimiter = ',', default_value = "1,2",
          value_parser = clap::value_parser!(u64).range(1..))]
    threads: Vec<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The program to measure.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    /// The Python that has both peers.
    #[arg(long, value_name = "PATH")]
    python: PathBuf,
    /// Where input and outputs go.
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
}

/// One program with one number of threads.
struct Entry {
    program: Program,
    threads: u64,
    runs: Vec<Measured>,
}

#[derive(Clone, Copy, PartialEq)]
enum Program {
    Hongxian,
    Duckdb,
    Polars,
}

const PROGRAMS: [Program; 3] = [Program::Hongxian, Program::Duckdb, Program::Polars];

impl Program {
    fn name(self) -> String {
        let (name, package) = match self {
            Program::Hongxian => return "Hongxian".to_owned(),
            Program::Duckdb => ("DuckDB", "duckdb=="),
            Program::Polars => ("Polars", "polars=="),
        };
        let version = REQUIREMENTS.lines().find_map(|line| line.strip_prefix(package));
        format!("{name} {}", version.unwrap_or_default())
    }
}

pub(crate) fn run(peers: &Peers) -> Result<(), String> {
    let job = Paths::new(peers)?;
    eprintln!("comparing the values and scores of all");
    for program in PROGRAMS {
        let threads = peers.threads.iter().copied().max().unwrap_or(1);
        let mut command = job.command(program, threads)?;
        if program != Program::Hongxian {
            command.arg("--check").arg(&job.run);
        }
        // What it prints is not the result of this benchmark.
        command.stdout(Stdio::null());
        let status = command.status().map_err(fail(Path::new(command.get_program())))?;
        if !status.success() {
            return Err(format!("{} fails, or its values differ", program.name()));
        }
    }
    let mut entries: Vec<Entry> = Vec::new();
    for &threads in &peers.threads {
        entries.extend(PROGRAMS.map(|program| Entry { program, threads, runs: Vec::new() }));
    }
    let cores = cores();
    let cores_given = sched_getaffinity(THIS_PROCESS).map_err(|error| error.to_string())?;
    // Alternately, so that whatever else the machine does falls on all alike.
    for turn in 1..=peers.runs {
        for Entry { program, threads, runs } in &mut entries {
            eprintln!("run {turn} of {}: {}, threads: {threads}", peers.runs, program.name());
            use_cores(&cores_given, *threads)
                .map_err(|error| format!("cores of a run: {error}"))?;
            runs.push(measure::measure(&job.command(*program, *threads)?)?);
        }
    }
    if peers.json {
        println!("{:#}", as_json(peers.events, cores, &entries));
    } else {
        print!("{}\n{LEFT_OUT}", as_text(peers.events, cores, &entries));
    }
    Ok(())
}

/// Lets what is started from now on use the first `count` of the `given` cores.
fn use_cores(given: &CpuSet, count: u64) -> nix::Result<()> {
    let mut used = CpuSet::new();
    let cores = (0..CpuSet::count()).filter(|core| given.is_set(*core) == Ok(true));
    for core in cores.take(count as usize) {
        used.set(core)?;
    }
    sched_setaffinity(THIS_PROCESS, &used)
}

/// What the programs read and write.
struct Paths<'a> {
    peers: &'a Peers,
    root: PathBuf,
    events: PathBuf,
    /// The run directory of Hongxian.
    run: PathBuf,
}

impl Paths<'_> {
    fn new(peers: &Peers) -> Result<Paths<'_>, String> {
        let events = crate::events_file(&peers.work, peers.events, Keys::Skewed)?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
        Ok(Paths { peers, root, events, run: peers.work.join("peers-run") })
    }

    /// Hongxian's run directory is taken away before, for it writes to a new one only.
    fn command(&self, program: Program, threads: u64) -> Result<Command, String> {
        let script = match program {
            Program::Hongxian => {
                if self.run.exists() {
                    fs::remove_dir_all(&self.run).map_err(fail(&self.run))?;
                }
                let mut command = Command::new(&self.peers.binary);
                command.arg("backtest").arg(&self.events).arg("--json").arg("--out").arg(&self.run);
                command.arg("--rules").arg(self.root.join("batch-job"));
                command.args(["--workers", &threads.to_string()]);
                return Ok(command);
            }
            Program::Duckdb => "duckdb_job.py",
            Program::Polars => "polars_job.py",
        };
        let mut command = Command::new(&self.peers.python);
        command.arg(self.root.join("peers").join(script)).arg(&self.events);
        command.arg("--out").arg(self.peers.work.join("peers.parquet"));
        command.args(["--threads", &threads.to_string()]);
        Ok(command)
    }
}

/// The medians of an entry and their ratios to Hongxian's with as many threads.
struct Figures {
    events_a_second: f64,
    speed_ratio: f64,
    cpu_seconds: f64,
    peak_bytes: f64,
    memory_ratio: f64,
}

impl Figures {
    fn of(entry: &Entry, entries: &[Entry], events: u64) -> Figures {
        let hongxian = entries
            .iter()
            .find(|other| other.program == Program::Hongxian && other.threads == entry.threads)
            .unwrap_or(entry);
        let seconds = |entry: &Entry| figure(entry, |run| run.seconds);
        let peak = |entry: &Entry| figure(entry, |run| run.peak_bytes as f64);
        Figures {
            events_a_second: events as f64 / seconds(entry),
            speed_ratio: seconds(hongxian) / seconds(entry),
            cpu_seconds: figure(entry, |run| run.cpu_seconds),
            peak_bytes: peak(entry),
            memory_ratio: peak(entry) / peak(hongxian),
        }
    }
}

fn figure(entry: &Entry, of: impl Fn(&Measured) -> f64) -> f64 {
    median(entry.runs.iter().map(of)).unwrap_or(f64::NAN)
}

fn as_text(events: u64, cores: usize, entries: &[Entry]) -> String {
    let runs = entries.first().map_or(0, |entry| entry.runs.len());
    let mut out = format!(
        "batch-job: {} events, {} cores, median of {runs} runs; ratios to Hongxian's\n\n{:<16}{:>8}\
         {:>12}{:>8}{:>8}{:>14}{:>8}\n",
        grouped(events as f64),
        cores,
        "program",
        "threads",
        "events/s",
        "ratio",
        "cpu",
        "peak memory",
        "ratio",
    );
    for entry in entries {
        let figures = Figures::of(entry, entries, events);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:<16}{:>8}{:>12}{:>8.2}{:>6.2} s{:>14}{:>8.2}",
            entry.program.name(),
            entry.threads,
            grouped(figures.events_a_second),
            figures.speed_ratio,
            figures.cpu_seconds,
            shown(figures.peak_bytes, "bytes"),
            figures.memory_ratio,
        );
    }
    out
}

fn as_json(events: u64, cores: usize, entries: &[Entry]) -> Value {
    let rows: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let figures = Figures::of(entry, entries, events);
            let seconds: Vec<f64> = entry.runs.iter().map(|run| run.seconds).collect();
            json!({
                "program": entry.program.name(),
                "threads": entry.threads,
                "seconds_of_runs": seconds,
                "events_a_second": figures.events_a_second,
                "speed_ratio": figures.speed_ratio,
                "cpu_seconds": figures.cpu_seconds,
                "peak_bytes": figures.peak_bytes,
                "memory_ratio": figures.memory_ratio,
            })
        })
        .collect();
    json!({ "job": "batch-job", "events": events, "cores": cores, "programs": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(program: Program, threads: u64, seconds: &[f64], peak_mib: u64) -> Entry {
        let run =
            |&seconds| Measured { seconds, cpu_seconds: seconds / 2.0, peak_bytes: peak_mib << 20 };
        Entry { program, threads, runs: seconds.iter().map(run).collect() }
    }

    #[test]
    fn ratios_are_of_medians_with_as_many_threads() {
        let entries = [
            entry(Program::Hongxian, 1, &[4.0, 9.0, 3.0], 100),
            entry(Program::Polars, 1, &[2.0, 2.0, 8.0], 50),
            entry(Program::Hongxian, 2, &[2.0, 2.0, 2.0], 200),
            entry(Program::Polars, 2, &[4.0, 5.0, 3.0], 300),
        ];
        let rows: Vec<String> = as_text(1_000_000, 2, &entries)
            .lines()
            .skip(3)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let polars = Program::Polars.name();
        assert_eq!(
            rows,
            [
                "Hongxian 1 250,000 1.00 2.00 s 100.0 MiB 1.00".to_owned(),
                format!("{polars} 1 500,000 2.00 1.00 s 50.0 MiB 0.50"),
                "Hongxian 2 500,000 1.00 1.00 s 200.0 MiB 1.00".to_owned(),
                format!("{polars} 2 250,000 0.50 2.00 s 300.0 MiB 1.50"),
            ]
        );
        let json = as_json(1_000_000, 2, &entries);
        assert_eq!(json["programs"][3]["speed_ratio"], 0.5);
        assert_eq!(json["programs"][3]["memory_ratio"], 1.5);
    }

    #[test]
    fn the_peers_are_named_with_the_versions_that_are_installed() {
        for (program, begins) in [(Program::Duckdb, "DuckDB "), (Program::Polars, "Polars ")] {
            let name = program.name();
            let version = name.strip_prefix(begins).unwrap();
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name}");
        }
    }
}
