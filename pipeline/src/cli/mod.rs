//! The command line: one file a command.

mod backtest;
mod devices;
mod diff;
mod digest;
mod explain;
mod lens;
mod packet;
#[cfg(feature = "kafka")]
mod produce;
mod profile;
#[cfg(feature = "kafka")]
mod reach;
mod reading;
mod rules;
mod simulate;
#[cfg(feature = "kafka")]
mod stream;
mod sweep;
mod text;
mod train;
mod verify;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use comfy_table::Table;

use crate::diagnostic::{Failure, Lang, Message, to_stderr, unwritable};
use crate::finished::FinishedRun;
use crate::parquet_file::end_on_panic;

/// Days of a stream are opened so often where it takes away what is about to be read.
const OPENED_MAX: usize = 8;

/// Risk control for group red packets: exact features, rules, decisions, backtests.
#[derive(Parser)]
#[command(name = "hongxian", version, propagate_version = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Language of reports and messages [default: from the locale]
    #[arg(long, global = true, value_enum)]
    lang: Option<LangArgument>,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 the answer is no (tests failed, log broken); \
2 usage, rules or input files; 3 environment (disk, broker); 130 interrupted.";

#[derive(Clone, Copy, ValueEnum)]
enum LangArgument {
    En,
    Zh,
}

#[derive(Subcommand)]
enum Command {
    /// Decide every transaction of event files and judge the decisions
    Backtest(backtest::Arguments),
    /// Check, document and format rules
    #[command(subcommand)]
    Rules(rules::Command),
    /// Print the decisions digest of a run directory, a file of decision lines or a topic
    Digest(digest::Arguments),
    /// The tables of the domain document over the events of a run
    ///
    /// Types of groups by hour, mean packet and scene, turnover and stay of money, ties, regions,
    /// ages and platforms, each beside the document's figure where it has one. Nothing in it is
    /// about a single person: a figure of fewer than ten accounts is hidden.
    ///
    /// Money of packets stays on an account, first in first out, until a packet, transfer or
    /// withdrawal from the balance takes it; a transfer or withdrawal of unknown funding does too.
    /// What lingqiantong (零钱通) or a bank card pays ends no stay. Whatever came in on the last
    /// calendar day of the run is in neither the stay nor what is on within a day.
    Lens(lens::Arguments),
    /// Make a population of events and labels from a scenario
    Simulate(simulate::Arguments),
    /// What an account does in a run, with whom, and what was decided on it
    Profile(profile::Arguments),
    /// Why a transaction of a run was decided as it was
    ///
    /// Who paid whom, the score against the bands, each reason with its rule taken apart clause by
    /// clause and the values that each saw, what moved the model, the phrases in its text, which rules
    /// came closest to hitting and what they lacked, and what was decided before on those who take
    /// part.
    ///
    /// With `--witness` also the earlier events that made each rule hit: those that share an account,
    /// group, packet, device or another key with the transaction (else those two hops away, else all;
    /// the latest 20,000) are decided on again, and taken away as long as the rule still hits, until
    /// none of them can be left out. Each try is a run of its own in memory, so it takes longer.
    Explain(explain::ExplainArguments),
    /// How far a rule was from hitting on a transaction of a run
    WhyNot(explain::WhyNotArguments),
    /// What other rules would have decided on the events of a run
    ///
    /// How many transactions go from which decision to which, hits by rule, what the labels say of
    /// both, and the transactions that move furthest. The stored features are scored anew, in a
    /// fraction of a backtest's time; where the new rules read something that the run did not store as
    /// it is defined now, everything is decided again. Exit code 0 whether or not anything differs.
    Diff(diff::Arguments),
    /// What a rule would do on the events of a run with its parameters at other values
    ///
    /// For each value, or each combination of several parameters' values: hits, alerts, precision,
    /// recall and F1 by the labels of the run, yuan of fraud stopped and honest accounts met. All are
    /// scored in one pass over the stored features; where these are not enough everything is decided
    /// again for each. A rule that is not live is swept as if it were. Each line is what `diff` and a
    /// backtest say of rules with that value.
    Sweep(sweep::Arguments),
    /// Whether a run is what it says it is: its log whole, its decisions the same when made again
    ///
    /// First the decisions are held to log/blocks.jsonl, run.toml and metrics.json, and every other file
    /// to its hash in run.toml; then the inputs, rules and model that run.toml names decide everything
    /// anew, in a directory that is gone afterwards. Exit code 1 and the first place that differs where
    /// the answer is no. Of a stream's days, what went on from days that are not there, or was decided by
    /// rules that are replaced by now, is not decided again, and it says so.
    Verify(verify::Arguments),
    /// Train a model on the features of a run, and judge it on days that it has not seen
    ///
    /// Rows are parted by time: training, a gap as long as labels take to become known, test. A
    /// label counts in training only if it was known when the test began; of several models in the
    /// config the one that does best on a validation part before the gap is taken. DIR holds
    /// model.json for `backtest --model`, card.md with all figures for whoever must approve it, and
    /// train.toml, the config as it was used. The same run, labels and config give the same bytes.
    Train(train::Arguments),
    /// Replay event files into a Kafka topic
    #[cfg(feature = "kafka")]
    Produce(produce::Arguments),
    /// Decide what comes from Kafka, to Kafka: each event once, whatever is killed
    ///
    /// Decisions go to the output topic as canonical JSON, refused records to the dead-letter topic
    /// with the reason, both in transactions: readers use isolation.level=read_committed. Killed
    /// anywhere, it goes on where it was: it replays the input from its beginning and writes nothing
    /// twice.
    #[cfg(feature = "kafka")]
    Stream(stream::Arguments),
    /// Export the input log of a stream, which `backtest --input-log` replays to the same decisions
    #[cfg(feature = "kafka")]
    InputLog(stream::ExportArguments),
    /// The reference packet engine on its own
    #[command(subcommand)]
    Packet(packet::Command),
    /// Match texts against phrases, and find new ones
    #[command(subcommand)]
    Text(text::Command),
    /// Measure how fast clusters of accounts are kept up to date
    #[command(subcommand)]
    Devices(devices::Command),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How results and messages are shown.
#[derive(Clone, Copy)]
struct Shown {
    lang: Lang,
    /// Whether standard output is a terminal.
    rich: bool,
    /// Columns of standard output.
    width: u16,
    /// Whether standard error is a terminal.
    color: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    end_on_panic();
    let arguments = Arguments::parse();
    let shown = Shown {
        lang: match arguments.lang {
            Some(LangArgument::En) => Lang::En,
            Some(LangArgument::Zh) => Lang::Zh,
            None => Lang::of_locale(&locale()),
        },
        rich: std::io::stdout().is_terminal(),
        // None where it is no terminal; 0 of one that does not tell.
        width: Table::new().width().filter(|columns| *columns > 0).unwrap_or(100),
        color: std::io::stderr().is_terminal(),
    };
    let done = match arguments.command {
        Command::Backtest(arguments) => backtest::run(&arguments, shown),
        Command::Rules(command) => rules::run(&command, shown),
        Command::Digest(arguments) => digest::run(&arguments, shown),
        Command::Lens(arguments) => lens::run(&arguments, shown),
        Command::Simulate(arguments) => simulate::run(&arguments, shown),
        Command::Profile(arguments) => profile::run(&arguments, shown),
        Command::Explain(arguments) => explain::run(&arguments, shown),
        Command::WhyNot(arguments) => explain::why_not(&arguments, shown),
        Command::Diff(arguments) => diff::run(&arguments, shown),
        Command::Sweep(arguments) => sweep::run(&arguments, shown),
        Command::Verify(arguments) => verify::run(&arguments, shown),
        Command::Train(arguments) => train::run(&arguments, shown),
        #[cfg(feature = "kafka")]
        Command::Produce(arguments) => produce::run(&arguments, shown),
        #[cfg(feature = "kafka")]
        Command::Stream(arguments) => stream::run(&arguments, shown),
        #[cfg(feature = "kafka")]
        Command::InputLog(arguments) => stream::export(&arguments, shown),
        Command::Packet(command) => packet::run(&command, shown),
        Command::Text(command) => text::run(&command, shown),
        Command::Devices(command) => devices::run(&command),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "hongxian", &mut script);
            print(&String::from_utf8_lossy(&script));
            Ok(())
        }
    };
    match done.and_then(|()| printed()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let why = failure.render(shown.lang, shown.color);
            // Who reads a log by machine reads how it ended there too.
            if tracing::dispatcher::has_been_set() && !std::io::stderr().is_terminal() {
                tracing::error!("{}", why.trim_end());
            } else {
                to_stderr(&why);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the locale chooses the language of messages only")]
fn locale() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG")).unwrap_or_default()
}

/// Why a result could not be written, if one could not.
static UNPRINTED: OnceLock<String> = OnceLock::new();

/// Writes a result; what goes wrong is told by [`printed`]. A reader that went away is no failure: a
/// closed pipe means that nobody wants the rest.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            UNPRINTED.get_or_init(|| error.to_string());
        }
        _ => {}
    }
}

/// Whether all results were written.
fn printed() -> Result<(), Failure> {
    match UNPRINTED.get() {
        Some(error) => {
            Err(Failure::Environment(unwritable(std::path::Path::new("standard output"), error)))
        }
        None => Ok(()),
    }
}

/// Has Ctrl-C end a command that leaves nothing behind that would have to be brought to an end.
fn end_on_ctrl_c() {
    // Without the handler Ctrl-C ends the program at once, which is no worse than before.
    let _ = ctrlc::set_handler(|| std::process::exit(130));
}

/// A flag that the first Ctrl-C sets; the second ends the program.
fn noted_ctrl_c() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    note_ctrl_c(&interrupted);
    interrupted
}

fn note_ctrl_c(interrupted: &Arc<AtomicBool>) {
    let flag = interrupted.clone();
    // Without the handler Ctrl-C ends the program at once, which is no worse than before.
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
}

/// For commands that print JSON in any case: who calls every command with --json may do so here.
#[derive(clap::Args)]
struct JsonAnyway {
    /// Print JSON, which is what this command prints in any case
    #[arg(long = "json")]
    _json: bool,
}

/// A value given as a duration such as `30d`.
fn duration(text: &str) -> Result<i64, String> {
    crate::expr::duration(text)
        .ok_or_else(|| "write a number and a unit (ms, s, m, h, d), such as 30d".to_owned())
}

/// A time in RFC 3339 with an offset, or in ms since 1970 UTC, as events have it.
fn time(text: &str) -> Result<i64, String> {
    let wrong =
        || "write a time with its offset, such as 2026-11-29T08:00:00+08:00, or ms".to_owned();
    match text.parse::<i64>() {
        Ok(ms) => Ok(ms),
        Err(_) => text.parse().map(jiff::Timestamp::as_millisecond).map_err(|_| wrong()),
    }
}

/// A value given as a size such as `512MiB`, in bytes.
fn size(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = [("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
        .map(|(_, shift)| 1_usize << shift);
    let number: Option<usize> = number.parse().ok();
    number
        .zip(shift)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .ok_or_else(|| "write a number and a unit (B, KiB, MiB, GiB, TiB), such as 4GiB".to_owned())
}

/// What `look` sees in a run, and the run. Days of a stream that took away what was about to be read are
/// opened anew, as they are by then.
fn with_run<T>(
    directory: &std::path::Path,
    shown: Shown,
    mut look: impl FnMut(&FinishedRun) -> Result<T, Failure>,
) -> Result<(FinishedRun, T), Failure> {
    let mut run = opened(directory, shown)?;
    for _ in 0..OPENED_MAX {
        match look(&run) {
            Err(failure) if !failure.is_interruption() && run.has_moved_on() => {
                run = FinishedRun::open(directory)?;
            }
            seen => return seen.map(|seen| (run, seen)),
        }
    }
    let directory = directory.display();
    Err(Failure::Environment(Message::new(
        format!("the stream takes days and parts of {directory} away faster than they can be read"),
        format!("流移除 {directory} 中各日或其部分的速度快于读取速度"),
    )))
}

/// A run directory, and on standard error what whoever reads it should know.
fn opened(directory: &std::path::Path, shown: Shown) -> Result<FinishedRun, Failure> {
    let run = FinishedRun::open(directory)?;
    run.notes().iter().for_each(|one| note(one, shown));
    Ok(run)
}

/// Something that whoever reads the result should know, on standard error.
fn note(message: &Message, shown: Shown) {
    let word = if shown.lang == Lang::Zh { "注意" } else { "note" };
    to_stderr(&format!("{word}: {}\n", message.shown(shown.lang)));
}

/// A failure of the environment, told the same in both languages.
fn environment(message: String) -> Failure {
    Failure::Environment(Message::new(message.clone(), message))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Arguments, size};

    /// Whoever gives a backtest nothing to read is told of both things that it reads, and whoever
    /// gives both that it reads one.
    #[test]
    fn a_backtest_reads_event_files_or_an_input_log() {
        let said = |input: &[&str]| {
            let line = [&["hongxian", "backtest", "--out", "run"], input].concat();
            Arguments::try_parse_from(line).err().map(|error| error.to_string())
        };
        assert_eq!(said(&["events.csv", "more.csv", "--map", "map.toml"]), None);
        assert_eq!(said(&["--input-log", "log"]), None);
        let nothing = said(&[]).expect("an error");
        let wanted = nothing.split("Usage:").next().unwrap_or_default();
        assert!(wanted.contains("--input-log") && wanted.contains("EVENTS"), "{nothing}");
        for both in [["events.csv", "--input-log", "log"], ["--input-log", "log", "--map=m.toml"]] {
            let said = said(&both).expect("an error");
            assert!(said.contains("cannot be used with"), "{said}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_binary_unit() {
        assert_eq!(size("512MiB"), Ok(536_870_912));
        assert_eq!(size("4 GiB"), Ok(4_294_967_296));
        assert_eq!(size("0B"), Ok(0));
        for wrong in ["", "4", "GiB", "4GB", "4gib", "-1B", "1.5GiB", "99999999999999999999B"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(size("99999999TiB").is_err(), "more than any memory");
    }
}
