//! `hongxian digest`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{Shown, print, with_run};
use crate::diagnostic::{Failure, Message, unreadable};

const DECISIONS: &str = "decisions.parquet";
/// How the canonical line of a decision begins.
const FIRST_KEY: &[u8] = b"{\"event_id\":";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A run directory or the directory of a stream's days, a decisions.parquet, a file of decisions
    /// as canonical JSON lines; with --brokers or --config, the output topic of a stream
    run: PathBuf,
    /// Print one JSON object: `decisions_digest`
    #[arg(long)]
    json: bool,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    reach: super::reach::Reach,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let digest = digest(arguments, shown)?;
    print(&match arguments.json {
        true => format!("{:#}\n", serde_json::json!({ "decisions_digest": digest.to_string() })),
        false => format!("{digest}\n"),
    });
    Ok(())
}

fn digest(arguments: &Arguments, shown: Shown) -> Result<blake3::Hash, Failure> {
    let path = &arguments.run;
    #[cfg(feature = "kafka")]
    if let Some(cluster) = arguments.reach.cluster()? {
        let topic = path.to_string_lossy();
        let tell = |said: &Message| super::note(said, shown);
        return crate::stream::digest(&cluster, &topic, &tell);
    }
    let own = path.join(DECISIONS);
    match path.is_dir() {
        // A run that did not come to its end has no more than that.
        true if own.is_file() => of_tables(path, [own]),
        true => Ok(with_run(path, shown, |run| of_tables(path, run.files(DECISIONS)))?.1),
        false if is_parquet(path) => of_tables(path, [path.clone()]),
        false => {
            let file =
                File::open(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
            of_lines(path, BufReader::new(file))
        }
    }
}

fn of_tables(
    path: &Path,
    tables: impl IntoIterator<Item = PathBuf>,
) -> Result<blake3::Hash, Failure> {
    crate::sink::parquet::digest(tables).map_err(|error| {
        let path = path.display();
        Failure::Usage(Message::new(
            format!("cannot read decisions of {path}: {error}"),
            format!("无法读取 {path} 的决策：{error}"),
        ))
    })
}

/// The digest of a file of decisions, a line each as it stands in an output topic.
fn of_lines(path: &Path, mut lines: impl BufRead) -> Result<blake3::Hash, Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = lines.read_until(b'\n', &mut line);
        if read.map_err(|error| Failure::Environment(unreadable(path, &error)))? == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if !line.starts_with(FIRST_KEY) || !line.ends_with(b"}\n") {
            return Err(Failure::Usage(no_decision(path, number)));
        }
        hasher.update(&line);
    }
    Ok(hasher.finalize())
}

fn no_decision(path: &Path, line: u64) -> Message {
    let path = path.display();
    Message::new(
        format!(
            "{path}:{line} is no decision as canonical JSON, which begins with {{\"event_id\":; give a \
             run directory, its decisions.parquet or the lines of an output topic"
        ),
        format!(
            "{path}:{line} 不是规范 JSON 形式的决策（以 {{\"event_id\": 开头）；请给出运行目录、其 \
             decisions.parquet 或输出主题的各行"
        ),
    )
}

/// Whether a file begins as Parquet files do.
fn is_parquet(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"PAR1"
}
