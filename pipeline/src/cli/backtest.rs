//! `hongxian backtest`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::reading::Reading;
use super::{Shown, duration, note, print, size};
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message};
use crate::event::Pseudonyms;
use crate::peers::{Hosts, Place};
use crate::report::{self, ReportInput, Screen};
use crate::run::{Events, Followed, ModelPaths, Request, follow, run as run_backtest};

/// Events of a step, at least, unless told otherwise: few steps, and each fits in memory easily.
pub(super) const BATCH: usize = 65_536;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("input").args(["events", "input_log"]).required(true))]
pub(super) struct Arguments {
    /// Event files: CSV, JSON lines (also .gz and .zst) or Parquet
    events: Vec<PathBuf>,
    /// Input log to replay in place of event files (--help tells the format)
    ///
    /// PATH is the directory of an input log. It holds log.toml (version = 1, partitions = N, and
    /// what held when it was written: allowed_lateness, max_ahead, a table `extra` with the types of
    /// columns of one's own); partitions/0.jsonl and so on, also .gz and .zst, with a line a record
    /// in the order of offsets:
    /// {"offset":17,"append_time":1707480000123,"value":{...event...}}, or "raw_base64":"..." in
    /// place of "value" (a column of one's own is the key "extra.NAME" of the event itself, not a
    /// key of an object "extra"); and, where partitions were idle or rules changed, control.jsonl:
    /// {"kind":"heartbeat","partition":1,"next_offset":18,"event_time_max":1707480000000} or
    /// {"kind":"change","effective_time":1707480600000,"rules":"rules-2"}: from that effective time
    /// on the rules of that directory decide, whose path is relative to PATH. With
    /// "rules_hash":"...", the hash that decisions have, they must be the very rules.
    /// Times are ms since 1970 UTC.
    #[arg(long, value_name = "PATH", conflicts_with = "maps")]
    input_log: Option<PathBuf>,
    /// Replay the input log with another allowed lateness than the one that held; event files are
    /// put in order first, and nothing in them is late
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lateness: Option<i64>,
    /// Run directory to write
    #[arg(long)]
    out: PathBuf,
    /// Labels to judge by: CSV, JSON lines or Parquet
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Mapping file for foreign data: one for all inputs, or one for each
    #[arg(long = "map")]
    maps: Vec<PathBuf>,
    /// Replace ids by keyed pseudonyms as events are read; the key is in this file, of 32 random bytes or
    /// more
    ///
    /// Replaced are account_id, counterparty_id, group_id, packet_id, device_id and ip, the subjects of
    /// labels, and so is what lists are asked for; event_id stays, so that a decision finds its way back.
    /// One key gives one id the same pseudonym in every run. The run directory then holds none of
    /// these ids: no raw records in rejects.jsonl and no texts in report.html either. run.toml
    /// has the path of the key file and a fingerprint of the key; commands that read the inputs
    /// again need the file. Columns of one's own and texts are not changed.
    #[arg(long, value_name = "KEYFILE")]
    pseudonymise: Option<PathBuf>,
    /// Rules directory
    #[arg(long, default_value = "rules")]
    rules: PathBuf,
    /// Model that scores each transaction beside the rules: a directory of `hongxian train`, its
    /// model.json, or an .onnx file
    ///
    /// How its score and that of the rules make the final one is said in policy.toml, [model]. What
    /// it reads is computed, also where no rule uses it. A model whose features are not in the
    /// catalogue, or are defined otherwise than when it was trained, is refused with their names. An
    /// ONNX file has one input a feature, named as the feature is (dots may be underscores), and
    /// gives the probabilities of two classes; rules/README.md lists the operations that are read.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A second model that decides nothing: what it would have decided in place of --model goes to
    /// challenger.parquet, and the report compares the two
    #[arg(long, value_name = "FILE", requires = "model")]
    challenger: Option<PathBuf>,
    /// Worker threads [default: the machine's cores]
    #[arg(long)]
    workers: Option<usize>,
    /// Length of a tick; results do not depend on it
    #[arg(long, default_value = "1s", value_parser = duration)]
    tick: i64,
    /// Events of a step, at least; results do not depend on it
    #[arg(long, default_value_t = BATCH)]
    batch: usize,
    /// Start of the stream that warms features up and is not judged
    ///
    /// An account all of whose fraud is in it counts neither as a fraud nor as honest, and one that was
    /// stopped in it as stopped already. One that could be seen before its end has no time to
    /// detection.
    #[arg(long, default_value = "0s", value_parser = duration)]
    warmup: i64,
    /// End with exit code 2 when more records than this are rejected
    #[arg(long)]
    max_rejects: Option<u64>,
    /// Memory for putting events in order, such as 512MiB or 4GiB; what is more is sorted on disk, in
    /// the run directory. Results do not depend on it
    ///
    /// Files of the sort take up their space in the run directory without a name, and are gone when
    /// the run ends, however it ends. Beside this memory stay about 8 bytes an event, 60 bytes for each
    /// id that came within the dedup window (7 days unless policy.toml says otherwise), and the state
    /// of features.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    sort_memory: usize,
    /// Run as one of several processes, which are on a line each of this file, as host:port
    ///
    /// Each process is called with the same files, rules, models and options, and with its own
    /// --process: whatever else one has, all end with exit code 2. They share out the work and the
    /// state. Process 0 writes the run directory, and its result is that of one process alone; the
    /// others use --out for what is sorted on disk. Where one is interrupted all end at the same
    /// tick; where one is lost all end with exit code 3. Connections are neither encrypted nor
    /// checked for who is there: the hosts must be on a network of their own.
    #[arg(long, value_name = "FILE", requires = "process")]
    hosts: Option<PathBuf>,
    /// Which line of --hosts this process is, from 0
    #[arg(long, value_name = "N", requires = "hosts")]
    process: Option<usize>,
    /// Print metrics as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    if arguments.tick < 1 || arguments.workers == Some(0) {
        return Err(Failure::Usage(Message::new(
            "--tick and --workers must be at least 1",
            "--tick 和 --workers 至少为 1",
        )));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let request = Request {
        events: match &arguments.input_log {
            Some(path) => Events::Log { path: path.clone(), lateness: arguments.lateness },
            None => Events::Files { paths: arguments.events.clone(), maps: arguments.maps.clone() },
        },
        pseudonyms: pseudonyms(arguments.pseudonymise.as_deref(), shown)?,
        labels: arguments.labels.clone(),
        rules: Some(arguments.rules.clone()),
        models: ModelPaths {
            champion: arguments.model.clone(),
            challenger: arguments.challenger.clone(),
        },
        out: arguments.out.clone(),
        options: Options {
            workers: arguments.workers.unwrap_or(cores),
            tick: arguments.tick,
            batch: arguments.batch,
            sorted: true,
        },
        warmup: arguments.warmup,
        rejects_max: arguments.max_rejects,
        sort_memory: arguments.sort_memory,
        place: place(arguments)?,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let progress = Reading::begin(&interrupted).telling(shown);
    if request.place.as_ref().is_some_and(|place| place.process() > 0) {
        let followed = follow(&request, &progress, interrupted.clone());
        progress.end();
        return followed.map(|followed| tell_of(followed, arguments.json));
    }
    let outcome = run_backtest(&request, &progress, interrupted.clone());
    progress.end();
    let outcome = outcome?;
    if arguments.json {
        print(&format!("{:#}\n", outcome.metrics));
    } else {
        let title = "Hongxian backtest";
        let input = ReportInput { title, run: &outcome.facts, judgement: &outcome.judgement };
        let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
        print(&report::terminal(&input, screen));
        print(&format!("\n{}\n", arguments.out.join("report.html").display()));
    }
    if outcome.facts.partial { Err(Failure::Partial) } else { Ok(()) }
}

/// What is to replace ids, if anything is.
fn pseudonyms(path: Option<&Path>, shown: Shown) -> Result<Option<Arc<Pseudonyms>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let pseudonyms = Pseudonyms::read(path)?;
    if let Some(warning) = pseudonyms.warning() {
        note(&warning, shown);
    }
    Ok(Some(Arc::new(pseudonyms)))
}

/// Which of several processes this one is.
fn place(arguments: &Arguments) -> Result<Option<Place>, Failure> {
    let Some((hosts, process)) = arguments.hosts.as_ref().zip(arguments.process) else {
        return Ok(None);
    };
    Hosts::read(hosts)?.place(process).map(Some)
}

/// Says what a process did that is not number 0.
pub(super) fn tell_of(followed: Followed, json: bool) {
    let Followed { process, events } = followed;
    print(&if json {
        format!("{}\n", serde_json::json!({ "process": process, "events": events }))
    } else {
        format!("process {process}: {events} events; what was decided is with process 0\n")
    });
}
