//! `hongxian packet serve`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::place;
use super::run::found;
use crate::cli::reading::Reading;
use crate::cli::stream::{end_on_sigterm, log_to_stderr};
use crate::cli::{Shown, print};
use crate::diagnostic::Failure;
use crate::packet::journal::Begin;
use crate::packet::server::Pace;
use crate::stream::{self, Config, Crash, CrashPlace, Overrides, Served, Serving};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Configuration file of the stream, with a table [packet]
    ///
    /// [packet] has listen ("127.0.0.1:8081"), tokens (a file as that of [http]), topic (one of the
    /// stream's input; the first), hold (how long a held transaction waits for a person; 24h), tls,
    /// plain, body_kib, rate, connections, read_limit and keep_alive (as those of [http]).
    config: PathBuf,
    /// Keep the journal in this directory, and the outbox beside it
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// Limits for a new journal, a TOML file [default: the shipped limits]
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    /// Addresses of brokers, host:port with commas between
    #[arg(long)]
    brokers: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Die in the N-th batch since the start, for tests: before-journal:N, before-publish:N or after-publish:N
    #[arg(long, hide = true, value_parser = crash)]
    crash_at: Option<Crash>,
}

fn crash(text: &str) -> Result<Crash, String> {
    let (place, number) = text.split_once(':').ok_or("PLACE:N")?;
    let batch = number.parse().map_err(|_| "N is a number")?;
    let place = match place {
        "before-journal" => CrashPlace::BeforeJournal,
        "before-publish" => CrashPlace::BeforePublish,
        "after-publish" => CrashPlace::AfterPublish,
        _ => return Err(format!("{place} is no place")),
    };
    Ok(Crash { place, batch })
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let overrides = Overrides { brokers: arguments.brokers.clone(), ..Overrides::default() };
    let config = Config::read(&arguments.config, &overrides)?;
    let limits = arguments.limits.as_deref().map(place::limits).transpose()?;
    log_to_stderr();
    let interrupted = Arc::new(AtomicBool::new(false));
    let terminated = end_on_sigterm(&interrupted);
    // For Ctrl-C; nothing is read whose end is known.
    let reading = Reading::begin(&interrupted);
    let journal = &arguments.journal;
    let served = stream::serve(
        &config,
        Serving {
            journal,
            open: Box::new(move |teller| {
                let (begin, pace) = (Begin::Snapshot, Pace::default());
                let (server, opened) = place::server(journal, limits, begin, pace, teller)?;
                found(&opened).iter().for_each(|line| tracing::info!("{line}"));
                Ok(server)
            }),
            clock: place::clock,
            stopped: place::stopped,
            interrupted,
            crash: arguments.crash_at,
            tell: &|said| tracing::info!("{}", said.text(shown.lang)),
        },
    );
    reading.end();
    let terminated = terminated.load(Ordering::Relaxed);
    let Served { batches, published } = match served {
        Err(Failure::Interrupted) if terminated => return Ok(()),
        served => served?,
    };
    print(&if arguments.json {
        format!("{}\n", serde_json::json!({ "batches": batches, "published": published }))
    } else {
        format!("{batches} batches in the journal, {published} events published\n")
    });
    // Ctrl-C is how it is ended on a terminal, and it has ended well.
    Ok(())
}
