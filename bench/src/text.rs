//! The benchmark of texts: memos of 16 characters against 1,000 and 10,000 phrases, on one core.
//!
//! Half of the memos are cut from harmless sentences, half are random common characters; one in 500
//! carries a phrase. `hongxian text bench` measures the scan alone, in processor time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::generate::{Draw, MEMO_CHARACTERS, PHRASES, SEED};
use crate::measure::fail;

const MEMO_CHARS: usize = 16;
const MEMOS: usize = 500_000;
const PHRASE_ONE_IN: u64 = 500;
const SENTENCES: &str = include_str!("../../pipeline/src/features/text/harmless.txt");

#[derive(clap::Args)]
pub(crate) struct Text {
    /// Rounds over all memos; the fastest counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The program to measure.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    /// Where the input goes.
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
}

pub(crate) fn run(text: &Text) -> Result<(), String> {
    fs::create_dir_all(&text.work).map_err(fail(&text.work))?;
    let memos = text.work.join("memos.txt");
    fs::write(&memos, make_memos(MEMOS)).map_err(fail(&memos))?;
    let mut results = Vec::new();
    for count in [1_000, 10_000] {
        let phrases = text.work.join(format!("phrases-{count}.txt"));
        fs::write(&phrases, make_phrases(count)).map_err(fail(&phrases))?;
        results.push(measure(text, &memos, &phrases)?);
    }
    if text.json {
        println!("{:#}", Value::from(results));
        return Ok(());
    }
    println!("{MEMOS} memos of {MEMO_CHARS} characters, one core, processor time");
    println!("phrases  load (ms)  million memos/s  memos with hits");
    for result in &results {
        let number = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:7}  {:9.0}  {:15.2}  {:15}",
            number("phrases"),
            number("load_seconds") * 1e3,
            number("lines_a_second") / 1e6,
            number("lines_with_hits"),
        );
    }
    Ok(())
}

fn measure(text: &Text, memos: &Path, phrases: &Path) -> Result<Value, String> {
    let output = Command::new(&text.binary)
        .args(["text", "bench", "--json", "--rounds", &text.rounds.to_string(), "--phrases"])
        .arg(phrases)
        .stdin(fs::File::open(memos).map_err(fail(memos))?)
        .stderr(Stdio::inherit())
        .output()
        .map_err(fail(&text.binary))?;
    if !output.status.success() {
        return Err(format!("{} text bench: {}", text.binary.display(), output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(fail(&text.binary))
}

/// `count` memos, a line each. The same number gives the same bytes on every machine.
fn make_memos(count: usize) -> String {
    let mut draw = Draw(SEED);
    let natural: Vec<char> = SENTENCES.chars().filter(|c| *c != '\n').collect();
    let common: Vec<char> = MEMO_CHARACTERS.chars().collect();
    let phrases = phrase_lines();
    let mut memos = String::new();
    for memo in 0..count {
        let mut chars: Vec<char> = if memo % 2 == 0 {
            let start = draw.below((natural.len() - MEMO_CHARS) as u64) as usize;
            natural[start..start + MEMO_CHARS].to_vec()
        } else {
            (0..MEMO_CHARS).map(|_| common[draw.below(common.len() as u64) as usize]).collect()
        };
        if draw.below(PHRASE_ONE_IN) == 0 {
            let phrase = phrases[draw.below(phrases.len() as u64) as usize];
            chars.splice(..phrase.chars().count().min(MEMO_CHARS), phrase.chars());
            chars.truncate(MEMO_CHARS);
        }
        memos.extend(chars);
        memos.push('\n');
    }
    memos
}

/// The thousand phrases of the batch job, and beginnings of them with two characters of others.
fn make_phrases(count: usize) -> String {
    let mut draw = Draw(SEED);
    let own = phrase_lines();
    let characters: Vec<char> = own.iter().flat_map(|phrase| phrase.chars()).collect();
    let mut phrases: BTreeSet<String> = own.iter().map(|phrase| (*phrase).to_owned()).collect();
    while phrases.len() < count {
        let base = own[draw.below(own.len() as u64) as usize];
        let mut phrase: String = base.chars().take(3).collect();
        for _ in 0..2 {
            phrase.push(characters[draw.below(characters.len() as u64) as usize]);
        }
        phrases.insert(phrase);
    }
    let lines: Vec<String> = phrases.into_iter().take(count).collect();
    format!("[gambling]\n{}\n", lines.join("\n"))
}

fn phrase_lines() -> Vec<&'static str> {
    PHRASES.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_sizes() {
        let memos = make_memos(2_000);
        assert_eq!(memos, make_memos(2_000));
        assert!(memos.lines().all(|memo| memo.chars().count() == MEMO_CHARS));
        assert_eq!(memos.lines().count(), 2_000);
        assert_eq!(make_phrases(10_000).lines().count(), 10_001);
    }
}
