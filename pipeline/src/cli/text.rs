//! `hongxian text`.

use std::io::BufRead as _;
use std::path::PathBuf;

use super::{environment, print};
use crate::diagnostic::{Failure, Message, Sources};
use crate::features::text::{Lexicon, read_directory};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print the hits of each line of standard input as one JSON line
    Scan {
        /// Phrase files [default: all of rules/text/phrases]
        #[arg(long, num_args = 1..)]
        phrases: Vec<PathBuf>,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Scan { phrases } = command;
    let lexicon = lexicon(phrases)?;
    let mut out = String::new();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| environment(error.to_string()))?;
        let line = String::from_utf8_lossy(&line);
        out.push_str(&lexicon.scan_line(line.trim_end_matches('\r')).to_string());
        out.push('\n');
        if out.len() > 1 << 16 {
            print(&out);
            out.clear();
        }
    }
    print(&out);
    Ok(())
}

fn lexicon(phrases: &[PathBuf]) -> Result<Lexicon, Failure> {
    let mut files = Vec::new();
    for path in phrases {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::Usage(Message::new(message.clone(), message))
        })?;
        files.push((path.clone(), text));
    }
    let mut sources = Sources::default();
    if phrases.is_empty() {
        files = read_directory(&PathBuf::from("rules/text/phrases"))
            .map_err(|found| Failure::Input(found, Sources::default()))?;
    }
    for (path, text) in &files {
        sources.add(path, text.clone());
    }
    Lexicon::from_files(&files).map_err(|found| Failure::Input(found, sources))
}
