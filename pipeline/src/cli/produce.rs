//! `hongxian produce`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::reach::Reach;
use super::reading::Reading;
use super::{Shown, note, print, size};
use crate::diagnostic::Failure;
use crate::stream::{self, Produce};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Event files: CSV, JSON lines (also .gz and .zst) or Parquet
    #[arg(required = true)]
    events: Vec<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    /// Topic; made where it is not there
    #[arg(long)]
    topic: String,
    /// Mapping file for foreign data: one for all inputs, or one for each
    #[arg(long = "map")]
    maps: Vec<PathBuf>,
    /// Partitions of a topic that is made
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: u32,
    /// Field whose value says which events share a partition, in their order
    #[arg(long, value_name = "FIELD", default_value = "account_id")]
    partitions_by: String,
    /// How fast: as it happened (x1), a number of times as fast (x100), or as fast as it goes (max)
    #[arg(long, default_value = "max", value_parser = rate)]
    rate: Rate,
    /// Memory for putting events in order; what is more is sorted on disk
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    sort_memory: usize,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

/// How many times as fast as it happened; none: as fast as it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<u32>);

fn rate(text: &str) -> Result<Rate, String> {
    let times = || text.strip_prefix('x')?.parse().ok().filter(|times| *times > 0);
    match text {
        "max" => Ok(Rate(None)),
        _ => times().map(|times| Rate(Some(times))).ok_or_else(|| "x1, x100 or max".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let cluster = arguments.reach.required()?;
    let request = Produce {
        paths: arguments.events.clone(),
        maps: arguments.maps.clone(),
        topic: arguments.topic.clone(),
        partitions: arguments.partitions,
        key: arguments.partitions_by.clone(),
        rate: arguments.rate.0,
        sort_memory: arguments.sort_memory,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let progress = Reading::begin(&interrupted).telling(shown);
    let produced = stream::produce(&cluster, &request, &progress, &|said| note(said, shown));
    progress.end();
    let produced = produced?;
    print(&if arguments.json {
        format!("{}\n", serde_json::json!(produced))
    } else {
        let stream::Produced { produced, rejected, duplicates, partitions } = produced;
        format!(
            "{produced} events in {} ({partitions} partitions); of the files, {rejected} records \
             were rejected and {duplicates} were duplicates\n",
            arguments.topic
        )
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Rate, rate};

    #[test]
    fn a_rate_is_a_number_of_times_or_max() {
        assert_eq!(rate("x1"), Ok(Rate(Some(1))));
        assert_eq!(rate("x100"), Ok(Rate(Some(100))));
        assert_eq!(rate("max"), Ok(Rate(None)));
        for wrong in ["", "x", "x0", "100", "x1.5", "x-1", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
