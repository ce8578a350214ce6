//! `hongxian digest`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{Shown, print};
use crate::diagnostic::{Failure, Message, unreadable};
use crate::finished::FinishedRun;

const DECISIONS: &str = "decisions.parquet";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A run directory or the directory of a stream's days, a decisions.parquet, a file of decisions as canonical JSON lines; with
    /// --brokers or --config, the output topic of a stream
    run: PathBuf,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    reach: super::reach::Reach,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let path = &arguments.run;
    #[cfg(feature = "kafka")]
    if let Some(cluster) = arguments.reach.cluster()? {
        let topic = path.to_string_lossy();
        let tell = |said: &Message| super::note(said, shown);
        print(&format!("{}\n", crate::stream::digest(&cluster, &topic, &tell)?));
        return Ok(());
    }
    let _ = shown;
    let digest = if path.is_dir() || is_parquet(path) {
        let own = path.join(DECISIONS);
        let tables = match path.is_dir() {
            // A run that did not come to its end has no more than that.
            true if own.is_file() => vec![own],
            true => FinishedRun::open(path)?.files(DECISIONS).collect(),
            false => vec![path.clone()],
        };
        crate::sink::parquet::digest(tables).map_err(|error| {
            let path = path.display();
            Failure::Usage(Message::new(
                format!("cannot read decisions of {path}: {error}"),
                format!("无法读取 {path} 的决策：{error}"),
            ))
        })?
    } else {
        let file = File::open(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
        let mut hasher = blake3::Hasher::new();
        let mut line = Vec::new();
        let mut reader = BufReader::new(file);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::Environment(unreadable(path, &error)))? == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            hasher.update(&line);
        }
        hasher.finalize()
    };
    print(&format!("{digest}\n"));
    Ok(())
}

/// Whether a file begins as Parquet files do.
fn is_parquet(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"PAR1"
}
