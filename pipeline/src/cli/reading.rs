//! A bar on standard error while files are read, and Ctrl-C in the meantime; and what commands need
//! that may decide all events of a run again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::backtest::BATCH;
use super::{Shown, environment};
use crate::dataflow::Options;
use crate::diagnostic::{Diagnostic, Failure, Sources, render, to_stderr};
use crate::source::Progress;

/// Hidden where standard error is no terminal.
pub(super) struct Reading {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    /// How what looks like a mistake is told; not at all where what is read was read before.
    shown: Option<Shown>,
}

impl Reading {
    /// A bar, and a handler by which the first Ctrl-C sets `interrupted` and the second ends the
    /// program.
    pub(super) fn begin(interrupted: &Arc<AtomicBool>) -> Reading {
        super::note_ctrl_c(interrupted);
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}");
        let bar = match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Reading { bar, interrupted: interrupted.clone(), shown: None }
    }

    /// The same, which tells what looks like a mistake in what is read.
    pub(super) fn telling(self, shown: Shown) -> Reading {
        Reading { shown: Some(shown), ..self }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Has `work` decide again what it has to: in a directory that is gone afterwards, with so many workers
/// (none: one for each core), under a bar.
pub(super) fn again<T>(
    workers: Option<usize>,
    work: impl FnOnce(&Path, Options, (&dyn Progress, Arc<AtomicBool>)) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let directory = tempfile::tempdir().map_err(|error| environment(error.to_string()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.unwrap_or(cores).max(1);
    let options = Options { workers, tick: 1_000, batch: BATCH, sorted: true };
    let interrupted = Arc::default();
    let progress = Reading::begin(&interrupted);
    let done = work(directory.path(), options, (&progress, interrupted.clone()));
    progress.end();
    done
}

impl Progress for Reading {
    fn begin(&self, bytes: u64) {
        self.bar.set_length(bytes);
        self.bar.set_position(0);
    }

    fn advance(&self, bytes: u64, _records: u64) {
        self.bar.inc(bytes);
    }

    fn warn(&self, warnings: &[Diagnostic]) {
        let Some(Shown { lang, color, .. }) = self.shown else { return };
        let told = render(warnings, &Sources::default(), lang, color);
        self.bar.suspend(|| to_stderr(&told));
    }

    fn stop(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
