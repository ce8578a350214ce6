//! `hongxian stream` and `hongxian input-log`.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::flag;

use super::backtest::tell_of;
use super::reading::Reading;
use super::{Shown, duration, note, print, time};
use crate::diagnostic::{Failure, Lang, Message};
use crate::report::grouped;
use crate::run::ModelPaths;
use crate::stopwatch::Since;
use crate::stream::{self, Config, Ended, How, Overrides, Progress, Span};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Configuration file (--help tells what it holds)
    ///
    /// brokers = "host:9092"; [topics] input = ["events"], output, dead_letter and control (the
    /// last three are made with one partition where they are not there); and, where wanted, name
    /// (two streams of one name fence each other), rules, model and challenger (what `backtest
    /// --model` and `--challenger` take), out, workers, tick, commit_interval,
    /// connect_limit, waiting_mib (memory for events that wait for others before them),
    /// max_skew (how far a partition is read ahead of one that is behind), reload_after
    /// (rules and models are read again when their files have changed and then been still for so long; a
    /// SIGHUP has the same effect at any time; rules of which none is live are refused then, and are taken
    /// at a start); [days] with dir and interval,
    /// where what is decided is kept as a run directory a day (of as many days as the policy.toml of
    /// the rules says); [extra] with the types of columns of one's own;
    /// [kafka] with settings of librdkafka, passwords as { env = "NAME" } or { file = "PATH" };
    /// [cluster] with hosts (["a:7101", "b:7101"]), the addresses of several processes; [http] with listen
    /// ("127.0.0.1:8080"), tokens (a file of [[token]] actor, role and sha256), topic, labels, holds,
    /// time_limit, idle, fallback, tls (read again after a SIGHUP), connections (at a time; 512, and at
    /// most half of the limit of descriptors), read_limit (how long a request's head or body may take;
    /// 10s), keep_alive (how long a connection may rest; 60s) and other limits. Paths are relative to the
    /// file. How late events may be, and when a partition is idle, stands in the policy.toml of
    /// the rules.
    config: PathBuf,
    /// Which of the hosts of [cluster] this process is, from 0
    ///
    /// Each process is called with the same configuration and rules. Process 0 reads, commits, saves
    /// and answers; the others do their part of the work and keep their part of the state. Whichever
    /// is asked to end ends all of them; where one is lost all end with exit code 3, and what is
    /// started again goes on from the last commit. Connections are neither encrypted nor checked
    /// for who is there: the hosts must be on a network of their own.
    #[arg(long, value_name = "N")]
    process: Option<usize>,
    /// Read to where the topics end now, decide all of it, and stop
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    overrides: Told,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Die in a transaction after it is flushed, for tests
    #[arg(long, hide = true)]
    crash_at: Option<u64>,
}

/// What is said in place of the file.
#[derive(clap::Args)]
struct Told {
    /// Addresses of brokers, host:port with commas between
    #[arg(long)]
    brokers: Option<String>,
    /// Rules directory
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Model that scores beside the rules, as `backtest --model`
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A second model that decides nothing, as `backtest --challenger`
    #[arg(long, value_name = "FILE")]
    challenger: Option<PathBuf>,
    /// Run directory to write at the end of --once
    #[arg(long)]
    out: Option<PathBuf>,
    /// Worker threads [default: the machine's cores]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: Option<u32>,
    /// Length of a tick of effective time; results do not depend on it
    #[arg(long, value_parser = duration)]
    tick: Option<i64>,
    /// Time between commits
    #[arg(long, value_parser = duration)]
    commit_interval: Option<i64>,
    /// How long to try to reach the brokers
    #[arg(long, value_parser = duration)]
    connect_limit: Option<i64>,
}

impl Told {
    fn overrides(&self) -> Overrides {
        Overrides {
            brokers: self.brokers.clone(),
            rules: self.rules.clone(),
            models: ModelPaths {
                champion: self.model.clone(),
                challenger: self.challenger.clone(),
            },
            out: self.out.clone(),
            workers: self.workers.map(|many| many as usize),
            tick: self.tick.map(|tick| tick.max(1)),
            commit_interval: self.commit_interval.map(|interval| interval.max(1)),
            connect_limit: self.connect_limit,
        }
    }
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let config = Config::read(&arguments.config, &arguments.overrides.overrides())?;
    if let Some(warning) = config.pseudonyms.as_ref().and_then(|held| held.warning()) {
        note(&warning, shown);
    }
    if config.http.is_some() {
        log_to_stderr();
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let terminated = end_on_sigterm(&interrupted);
    let progress = Reading::begin(&interrupted);
    let line = Line::begin(shown);
    let is_logged = config.http.is_some();
    let say = |said: &Message, warns: bool| {
        line.bar.suspend(|| match (is_logged, warns) {
            (true, false) => tracing::info!("{}", said.text(shown.lang)),
            (true, true) => tracing::warn!("{}", said.text(shown.lang)),
            (false, _) => note(said, shown),
        });
    };
    let how = How {
        place: config.place(arguments.process)?,
        once: arguments.once,
        interrupted,
        reload: reload_on_sighup(),
        crash_at: arguments.crash_at,
        tell: &|said| say(said, false),
        warn: &|said| say(said, true),
        progress: &|progress| line.show(progress),
    };
    if how.place.as_ref().is_some_and(|place| place.process() > 0) {
        return follow(&config, &how, (&progress, &terminated), arguments.json);
    }
    let ended = stream::stream(&config, &how);
    line.bar.finish_and_clear();
    progress.end();
    let terminated = terminated.load(Ordering::Relaxed);
    let Ended { counts, digest, written, interrupted, by_other } = match ended {
        Err(Failure::Interrupted) if terminated => return Ok(()),
        ended => ended?,
    };
    print(&if arguments.json {
        let digest = digest.to_hex().to_string();
        let result = serde_json::json!({
            "counts": counts,
            "decisions_digest": digest,
            "written": written,
            "interrupted": interrupted,
        });
        format!("{result}\n")
    } else {
        let stream::Counted { decided, applied, rejected, duplicates } = counts;
        format!(
            "{decided} decided, {applied} applied, {rejected} rejected, {duplicates} duplicates\n\
             decisions digest {digest}\n"
        )
    });
    if interrupted && !terminated && !by_other { Err(Failure::Partial) } else { Ok(()) }
}

/// Runs a process of a cluster that is not number 0.
fn follow(
    config: &Config,
    how: &How<'_>,
    (progress, terminated): (&Reading, &AtomicBool),
    json: bool,
) -> Result<(), Failure> {
    let followed = stream::follow(config, how);
    progress.end();
    let terminated = terminated.load(Ordering::Relaxed);
    match followed {
        Err(Failure::Interrupted) if terminated => return Ok(()),
        followed => tell_of(followed?, json),
    }
    let interrupted = how.interrupted.load(Ordering::Relaxed);
    if interrupted && !terminated { Err(Failure::Partial) } else { Ok(()) }
}

/// How far a stream is, on standard error where that is a terminal.
struct Line {
    bar: ProgressBar,
    shown: Shown,
    /// Decisions when it was last told, and when that was.
    last: Cell<Option<(u64, Since)>>,
}

impl Line {
    fn begin(shown: Shown) -> Line {
        let bar = ProgressBar::new_spinner();
        let bar = match ProgressStyle::with_template("{msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Line { bar, shown, last: Cell::new(None) }
    }

    fn show(&self, Progress { counts, live, lag }: &Progress) {
        let decided = counts.decided;
        let last = self.last.replace(Some((decided, Since::now())));
        let rate = last.map_or(0.0, |(before, since)| {
            decided.saturating_sub(before) as f64 / since.elapsed().as_secs_f64().max(1e-3)
        });
        let (decided, refused) = (grouped(decided), grouped(counts.rejected));
        let rate = grouped(rate as u64);
        let behind = lag.map_or("?".to_owned(), grouped);
        self.bar.set_message(match (self.shown.lang, live) {
            (Lang::En, true) => {
                format!("{decided} decided, {rate}/s, {refused} refused, {behind} records behind")
            }
            (Lang::En, false) => format!("replaying: {decided} decided again, {rate}/s"),
            (Lang::Zh, true) => {
                format!(
                    "已决策 {decided} 条，{rate} 条/秒，拒收 {refused} 条，落后 {behind} 条记录"
                )
            }
            (Lang::Zh, false) => format!("正在重放：已重新决策 {decided} 条，{rate} 条/秒"),
        });
    }
}

/// What happens while a stream is reached by HTTP, a line each: for people on a terminal, else JSON.
pub(super) fn log_to_stderr() {
    // What cannot be written there is no matter of the stream; told of there too, it would panic.
    let subscriber =
        tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    let subscriber = subscriber.with_max_level(tracing::Level::INFO).with_target(false);
    // One that is there already, in tests, is as good.
    let _ = match std::io::stderr().is_terminal() {
        true => subscriber.try_init(),
        false => subscriber.json().try_init(),
    };
}

/// Has a SIGHUP ask for the rules to be read again, in place of ending the program.
fn reload_on_sighup() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    // Without the handler a SIGHUP ends it, and it goes on from the last commit.
    let _ = flag::register(SIGHUP, asked.clone());
    asked
}

/// Has a SIGTERM end the stream at the next tick, and a second one at once. The flag says that one
/// came: who runs services sends it to end them, and takes 0 for a clean end.
pub(super) fn end_on_sigterm(interrupted: &Arc<AtomicBool>) -> Arc<AtomicBool> {
    let terminated = Arc::new(AtomicBool::new(false));
    let at_once = flag::register_conditional_shutdown(SIGTERM, 128 + SIGTERM, terminated.clone());
    let flags = [&terminated, interrupted].map(|flag| flag::register(SIGTERM, flag.clone()));
    // Without the handlers it ends at once, and goes on from the last commit.
    let _ = (at_once, flags);
    terminated
}

#[derive(clap::Args)]
pub(super) struct ExportArguments {
    /// Configuration file of the stream
    config: PathBuf,
    /// Directory to write, for `backtest --input-log`
    #[arg(long)]
    out: PathBuf,
    /// Leave out what was appended before that time (2026-11-29T08:00:00+08:00, or ms since 1970 UTC)
    ///
    /// The replay of such a log begins with empty states: it decides as the stream did once the
    /// longest window has filled up, which `backtest --warmup` leaves out of the report. What is
    /// older than the topics keep need not be there then.
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    from: Option<i64>,
    /// Leave out what was appended at that time or later
    ///
    /// The replay decides as the stream did, but for the last events, whose late predecessors are left out.
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    to: Option<i64>,
    /// Addresses of brokers, host:port with commas between
    #[arg(long)]
    brokers: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn export(arguments: &ExportArguments, shown: Shown) -> Result<(), Failure> {
    let brokers = arguments.brokers.clone();
    let config = Config::read(&arguments.config, &Overrides { brokers, ..Overrides::default() })?;
    let span = Span { from: arguments.from, to: arguments.to };
    let exported = stream::export(&config, span, &arguments.out, &|said| note(said, shown))?;
    if arguments.json {
        print(&format!("{:#}\n", serde_json::json!(exported)));
        return Ok(());
    }
    let records: u64 = exported.records.iter().sum();
    let said = |flag: &str, path: &Option<PathBuf>| {
        path.as_ref().map_or_else(String::new, |path| format!(" --{flag} {}", path.display()))
    };
    let deciders = [
        ("rules", &exported.rules),
        ("model", &exported.model),
        ("challenger", &exported.challenger),
    ];
    let deciders: String = deciders.map(|(flag, path)| said(flag, path)).concat();
    let key = config.pseudonyms.as_ref();
    let key = key.map(|held| format!(" --pseudonymise {}", held.path().display()));
    print(&format!(
        "{records} records of {} partitions, {} heartbeats and {} changes of rules or models in {out}\n\
         replay it with: hongxian backtest --input-log {out}{deciders}{} --out RUN\n",
        exported.records.len(),
        exported.heartbeats,
        exported.changes,
        key.unwrap_or_default(),
        out = arguments.out.display()
    ));
    Ok(())
}
