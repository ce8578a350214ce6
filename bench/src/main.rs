//! Benchmarks of Hongxian: each makes its own input, runs the released program as a person would,
//! and prints events a second, peak memory and the time of each stage, beside a baseline if asked.
//!
//! `scripts/bench` builds both programs and starts this one.

mod baseline;
mod chaos;
mod generate;
mod measure;
mod peers;
mod stream;
mod table;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use generate::Keys;
use measure::{Run, fail};

/// Benchmarks of Hongxian.
#[derive(Parser)]
#[command(name = "scripts/bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Decide a file of claims, from CSV to every output.
    Backtest(Backtest),
    /// The batch job in Hongxian, DuckDB and Polars, with the same values and scores.
    Peers(peers::Peers),
    /// How soon a stream decides: its engine alone, with a broker, and over HTTP.
    Stream(stream::Stream),
    /// Scan memos for 1,000 and 10,000 phrases.
    Text(text::Text),
    /// Kill the stream, its broker, network and disk at random, and check what it decided.
    Chaos(chaos::Chaos),
    /// Write the benchmark's events as CSV.
    Generate {
        /// Number of events.
        #[arg(long, default_value_t = EVENTS_DEFAULT)]
        events: u64,
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Run one command and print its wall-clock seconds and peak memory as JSON.
    Measure {
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

const EVENTS_DEFAULT: u64 = 1_000_000;

#[derive(clap::Args)]
struct Backtest {
    /// Which job: rules and features of `bench/batch-job` or `bench/full-job`.
    #[arg(long, value_enum, default_value_t = Job::Batch)]
    job: Job,
    /// Number of events.
    #[arg(long, default_value_t = EVENTS_DEFAULT)]
    events: u64,
    /// Workers.
    #[arg(long, default_value_t = 2)]
    workers: u64,
    /// Runs of each build; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Also run it on as many claims that are all of one sender, in one group, on one device.
    #[arg(long)]
    hot: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Also build this git revision and run it alternately on the same input and rules.
    #[arg(long, value_name = "REV")]
    baseline: Option<String>,
    /// Also run this program alternately, instead of building a revision.
    #[arg(long, value_name = "PATH", conflicts_with = "baseline")]
    baseline_binary: Option<PathBuf>,
    /// The program to measure.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    /// Where input, run directories and the baseline's build go.
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Job {
    /// Seven windows, 1,000 phrases, ten rules.
    Batch,
    /// Four key families, twenty features, clusters, 1,000 phrases, fifty rules.
    Full,
    /// The full job with every feature that is built in, as a rules directory has it that says
    /// nothing else.
    Everything,
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Job::Batch => "batch-job",
            Job::Full => "full-job",
            Job::Everything => "everything",
        }
    }

    /// The rules directory of the job.
    fn rules(self, root: &Path, work: &Path) -> Result<PathBuf, String> {
        let bench = root.join("bench");
        match self {
            Job::Batch | Job::Full => Ok(bench.join(self.name())),
            Job::Everything => {
                let rules = work.join(self.name());
                if rules.exists() {
                    fs::remove_dir_all(&rules).map_err(fail(&rules))?;
                }
                copy(&bench.join(Job::Full.name()), &rules)?;
                let policy = rules.join("policy.toml");
                fs::remove_file(&policy).map_err(fail(&policy))?;
                Ok(rules)
            }
        }
    }
}

/// Copies a directory and what is in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(fail(to))?;
    for entry in fs::read_dir(from).map_err(fail(from))? {
        let from = entry.map_err(fail(from))?.path();
        let Some(name) = from.file_name() else { continue };
        let to = to.join(name);
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).map_err(fail(&from))?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Backtest(backtest) => run_backtest(&backtest),
        Command::Peers(peers) => peers::run(&peers),
        Command::Stream(stream) => stream::run(&stream),
        Command::Text(text) => text::run(&text),
        Command::Chaos(chaos) => return chaos::run(&chaos),
        Command::Generate { events, out } => write_events(events, Keys::Skewed, &out),
        Command::Measure { command } => measure::print_measurement(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run_backtest(backtest: &Backtest) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let input = |keys| events_file(&backtest.work, backtest.events, keys);
    let events = input(Keys::Skewed)?;
    let mut programs = vec![("this build".to_owned(), backtest.binary.clone(), events.clone())];
    if backtest.hot {
        programs.push(("hot keys".to_owned(), backtest.binary.clone(), input(Keys::Hot)?));
    }
    if let Some(revision) = &backtest.baseline {
        let (name, binary) = baseline::build(&root, revision, &backtest.work)?;
        programs.push((name, binary, events.clone()));
    }
    if let Some(binary) = &backtest.baseline_binary {
        programs.push(("baseline".to_owned(), binary.clone(), events));
    }
    let rules = backtest.job.rules(&root, &backtest.work)?;
    // Alternately, so that whatever else the machine does falls on all alike.
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); programs.len()];
    for turn in 1..=backtest.runs {
        for ((name, binary, events), runs) in programs.iter().zip(&mut runs) {
            eprintln!("run {turn} of {}: {name}", backtest.runs);
            let out = backtest.work.join("run");
            runs.push(measure::backtest(binary, events, &rules, backtest.workers, &out)?);
        }
    }
    for ((name, ..), runs) in programs.iter().zip(&runs) {
        check_runs(name, runs, backtest.events)?;
    }
    let columns: Vec<(String, Vec<Run>)> =
        programs.into_iter().map(|(name, ..)| name).zip(runs).collect();
    let job = table::Job {
        name: backtest.job.name(),
        events: backtest.events,
        workers: backtest.workers,
        one_input: !backtest.hot,
    };
    if backtest.json {
        println!("{:#}", table::json(&job, &columns));
    } else {
        print!("{}", table::text(&job, &columns));
    }
    Ok(())
}

/// A fast run that lost an event or decided differently each time is no run.
fn check_runs(name: &str, runs: &[Run], events: u64) -> Result<(), String> {
    for run in runs {
        if run.decided != events {
            return Err(format!("{name} decided {} of {events} events", run.decided));
        }
        if run.digest != runs[0].digest {
            return Err(format!("{name} decided differently in two runs of the same input"));
        }
    }
    Ok(())
}

/// The benchmark's events in the folder `work`, made if they are not there.
fn events_file(work: &Path, events: u64, keys: Keys) -> Result<PathBuf, String> {
    fs::create_dir_all(work).map_err(fail(work))?;
    let path = work.join(match keys {
        Keys::Skewed => format!("events-{events}.csv"),
        Keys::Hot => format!("events-{events}-hot.csv"),
    });
    if !path.exists() {
        eprintln!("making {}", path.display());
        write_events(events, keys, &path)?;
    }
    Ok(path)
}

/// Writes under another name first, so that an interrupted run leaves no half file to be reused.
fn write_events(events: u64, keys: Keys, out: &Path) -> Result<(), String> {
    let partial = out.with_extension("partial");
    let file = fs::File::create(&partial).map_err(fail(&partial))?;
    let file = std::io::BufWriter::with_capacity(1 << 20, file);
    generate::write(events, generate::SPAN_MS, keys, file).map_err(fail(&partial))?;
    fs::rename(&partial, out).map_err(fail(out))
}
