//! `hongxian train`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Shown, environment, opened, print};
use crate::diagnostic::{Failure, Message, Sources, render, to_stderr, unreadable, unwritable};
use crate::finished::FinishedRun;
use crate::judge::Labels;
use crate::report::{self, Screen};
use crate::train::{self, Config, Outcome, Request, Scored, Steps};

/// The config as it was used, beside the model.
const CONFIG_FILE: &str = "train.toml";
/// The artefact, by which a directory is known to hold a model.
const MODEL_FILE: &str = "model.json";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run directory of a backtest, whose features and decisions are read
    run: PathBuf,
    /// Labels to learn from and judge by: CSV, JSON lines or Parquet; an isolation forest needs none
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Directory for the model; its last part is the model's name
    ///
    /// It is written when the training is over: Ctrl-C before (exit 130) leaves what was there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How to train; models/train.toml explains every key [default: boosting, the last quarter tests]
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Threads; results do not depend on it [default: the machine's cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// CSV file to write as well: the score of each transaction of the test
    #[arg(long, value_name = "FILE.csv")]
    scores: Option<PathBuf>,
    /// Put the model in the place of one that is there
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let writing = end_on_ctrl_c();
    let name = name(&arguments.out)?;
    if arguments.out.join(MODEL_FILE).exists() && !arguments.force {
        let out = arguments.out.display();
        return Err(Failure::Usage(Message::new(
            format!("{out} holds a model already: give another --out, or --force to replace it"),
            format!("{out} 中已有模型：请换一个 --out，或用 --force 覆盖"),
        )));
    }
    let (config, config_file, config_text) = config(arguments.config.as_deref())?;
    let run = opened(&arguments.run, shown)?;
    let (labels, labels_hash) = labels((&run, arguments.labels.as_deref()), &config)?;
    if let Some(path) = &arguments.labels {
        let warnings = labels.warnings(path);
        to_stderr(&render(&warnings, &Sources::default(), shown.lang, shown.color));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let request = Request {
        run: &run,
        labels: &labels,
        labels_hash,
        config,
        config_file,
        config_text,
        name,
        threads: arguments.threads.map_or(cores, usize::from),
    };
    let bar = bar();
    let tell = |what: &str, done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(what.to_owned());
    };
    if let Some(target) = &request.config.target {
        let outcome = train::classes(&request, target, Steps { tell: &tell });
        bar.finish_and_clear();
        let outcome = outcome?;
        writing.store(true, Ordering::SeqCst);
        let failed = |error| Failure::Environment(unwritable(&arguments.out, &error));
        fs::create_dir_all(&arguments.out).map_err(failed)?;
        fs::write(arguments.out.join(CONFIG_FILE), &outcome.config_used).map_err(failed)?;
        outcome.classes.save(&outcome.name, &arguments.out).map_err(failed)?;
        return shown_or_json(arguments, &outcome, shown, train::classes_terminal);
    }
    let outcome = train::train(&request, Steps { tell: &tell });
    bar.finish_and_clear();
    let outcome = outcome?;
    writing.store(true, Ordering::SeqCst);
    write(&arguments.out, &outcome)?;
    if let Some(path) = &arguments.scores {
        fs::write(path, csv(&outcome.scored))
            .map_err(|error| Failure::Environment(unwritable(path, &error)))?;
    }
    shown_or_json(arguments, &outcome, shown, train::terminal)
}

/// Has Ctrl-C end the program until what this gives is set: from then on the model is written, which
/// takes a moment, and no half of it is left.
fn end_on_ctrl_c() -> Arc<AtomicBool> {
    let writing = Arc::new(AtomicBool::new(false));
    let flag = writing.clone();
    // Without the handler Ctrl-C ends the program at once, which is no worse than before.
    let _ = ctrlc::set_handler(move || {
        if !flag.load(Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    writing
}

fn shown_or_json<O: serde::Serialize>(
    arguments: &Arguments,
    outcome: &O,
    shown: Shown,
    terminal: impl Fn(&O, Screen) -> String,
) -> Result<(), Failure> {
    if arguments.json {
        let json = serde_json::to_value(outcome).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
        return Ok(());
    }
    let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
    print(&terminal(outcome, screen));
    print(&format!("\n{}\n", arguments.out.join("card.md").display()));
    Ok(())
}

/// The labels with the hash of their file; only what learns without any may go without.
fn labels(
    (run, path): (&FinishedRun, Option<&Path>),
    config: &Config,
) -> Result<(Labels, String), Failure> {
    if let Some(path) = path {
        let labels = Labels::read(path, run.pseudonyms()?.as_deref())?;
        if labels.is_empty() {
            let path = path.display();
            return Err(Failure::Usage(Message::new(
                format!("{path} has no labels: it is empty, or has a header only"),
                format!("{path} 中没有标签：文件为空，或只有表头"),
            )));
        }
        let text = fs::read(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
        return Ok((labels, blake3::hash(&text).to_hex().to_string()));
    }
    let unsupervised = |model: &models::Trainer| matches!(model, models::Trainer::Isolation(_));
    if config.target.is_none() && matches!(config.models.as_slice(), [model] if unsupervised(model))
    {
        return Ok((Labels::default(), "none".to_owned()));
    }
    Err(Failure::Usage(Message::new(
        "--labels is missing: only one [model] of the kind \"isolation\" learns without labels",
        "缺少 --labels：只有单个 kind = \"isolation\" 的 [model] 无需标签",
    )))
}

/// The name of the model: the last part of its directory.
fn name(out: &Path) -> Result<String, Failure> {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| {
        let out = out.display();
        Failure::Usage(Message::new(
            format!("--out {out} names no directory for the model"),
            format!("--out {out} 未指明模型目录"),
        ))
    })
}

fn config(path: Option<&Path>) -> Result<(Config, PathBuf, String), Failure> {
    let Some(path) = path else {
        return Ok((Config::default(), PathBuf::from(CONFIG_FILE), String::new()));
    };
    let text =
        fs::read_to_string(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
    let (config, wrong) = Config::read(path, &text);
    if wrong.is_empty() {
        return Ok((config, path.to_owned(), text));
    }
    let mut sources = Sources::default();
    sources.add(path, text);
    Err(Failure::Input(wrong, sources))
}

/// A bar on standard error; hidden where that is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{msg:12} {bar:30} {pos}/{len}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn write(out: &Path, outcome: &Outcome) -> Result<(), Failure> {
    let failed = |error| Failure::Environment(unwritable(out, &error));
    outcome.model.save(out).map_err(failed)?;
    fs::write(out.join(CONFIG_FILE), &outcome.config_used).map_err(failed)
}

/// The scores as CSV; ids are quoted where they must be, and those that a spreadsheet would take
/// for a formula are made harmless.
fn csv(scored: &[Scored]) -> String {
    let mut text = String::from("event_id,fraud,score,raw\n");
    for Scored { event_id, fraud, score, raw } in scored {
        let formula = event_id.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let plain = !formula && !event_id.contains([',', '"', '\n', '\r']);
        let id = match plain {
            true => event_id.clone(),
            false => {
                let lead = if formula { "'" } else { "" };
                format!("\"{lead}{}\"", event_id.replace('"', "\"\""))
            }
        };
        writeln!(text, "{id},{},{score},{raw}", u8::from(*fraud)).expect("a String takes all");
    }
    text
}
