//! Made-up words in the place of known ones, in generated populations: how many of them `text
//! discover` finds, and how much else it lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hongxian::discover::{Found, discover};
use hongxian::event::{Chunk, EVENT_ID, GROUP_ID, Kind};
use hongxian::features::text::Lexicon;
use hongxian::finished::Events;
use hongxian::judge::{Labels, Subject};
use hongxian::simulate::{self, Scenario};
use hongxian::source::order::{Arrivals, Ordered};
use hongxian::source::{self, Input};

use super::support::workspace;

/// Rings that settle by coded orders, bankers and brushers; and the honest who collect money too.
const SCENARIO: &str = r#"
title = "Ten days, for code words"
start = "2024-03-04"
days = 10
accounts = 2400
difficulty = "medium"
[groups]
family = 300
interest = 45
business = 50
stranger = 10
[[ring]]
typology = "coded-settlement"
count = 4
[[ring]]
typology = "gambling-banker"
count = 3
[[ring]]
typology = "brushing-rebate"
count = 3
[[negative]]
kind = "class-fee"
count = 5
[[negative]]
kind = "dinner-collector"
count = 8
[[negative]]
kind = "wedding"
count = 5
[[negative]]
kind = "organiser"
count = 5
[[negative]]
kind = "course-refund"
count = 4
"#;

/// Words that occur nowhere else.
const MADE_UP: [&str; 24] = [
    "瓯舟", "骊枫", "璞砚", "霁澜", "筱岚", "麓簪", "岑鸢", "琅玕", "芷蘅", "潇浦", "鹭汀", "珩璃",
    "槿篱", "菡萏", "翎羽", "嵋崖", "濯缨", "蓼汀", "箜篌", "缃帙", "葳蕤", "璎珞", "鸾铃", "檀槽",
];
/// In the place of what the phrases know: staking, and brushing.
const KNOWN: [(&str, &str); 6] = [
    ("上芬", "雪椋"),
    ("尚芬", "雪椋"),
    ("上分", "雪椋"),
    ("S分", "雪椋"),
    ("補單", "澹宕"),
    ("补单", "澹宕"),
];

/// A word that is planted less often than this settles nothing that could be seen.
const PLANTED_MIN: u64 = 12;
/// What stands among the first ten: all. The rings of these populations settle forty times and more
/// with one payee, where a word is worth its place from a score of some twenty on.
const TOP: usize = 10;
/// Of the first twenty, at most so many are noise: with five planted words there are fifteen places
/// for others. The bankers' own tokens (d50, 鸭大) take half of these, and the rest is what a person
/// reads in a minute. Measured were 5 and 8 in seeds 31 and 32, then 7 and 5 in 41 and 42.
const NOISE_MAX: usize = 9;

/// The words of the generator's code books.
fn book() -> Vec<String> {
    let words = workspace().join("pipeline/src/simulate/words/fraud.txt");
    let words = fs::read_to_string(words).unwrap();
    let (_, after) = words.split_once("# code.books\n").expect("the section");
    let lines = after.lines().take_while(|line| !line.starts_with("# "));
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).map(str::to_owned).collect()
}

/// A population as JSON lines, with made-up words where its rings speak, and how often each is used;
/// and the ids of fraudulent events.
struct Planted {
    lines: String,
    used: BTreeMap<&'static str, u64>,
    fraud: BTreeSet<String>,
}

fn plant(chunks: &[Chunk], labels: &Labels) -> Planted {
    let book = book();
    let mut planted =
        Planted { lines: String::new(), used: BTreeMap::new(), fraud: BTreeSet::new() };
    let typology = |subject, id: &str| {
        let label = labels.get(subject, id).filter(|label| label.fraud)?;
        label.typology.map(|at| labels.typologies()[usize::from(at)].as_str())
    };
    for chunk in chunks {
        for row in 0..chunk.len() {
            let mut event = chunk.to_json(row);
            let id = chunk.str(EVENT_ID, row);
            let ring = typology(Subject::Event, id);
            let group = typology(Subject::Group, chunk.str(GROUP_ID, row));
            let coded = [ring, group].contains(&Some("coded-settlement"));
            if ring.is_some() {
                planted.fraud.insert(id.to_owned());
            }
            if let Some(text) = event["text"].as_str().map(str::to_owned) {
                let mut new = text;
                let mut replace = |from: &str, to: &'static str, new: &mut String| {
                    if new.contains(from) {
                        *new = new.replace(from, to);
                        *planted.used.entry(to).or_default() += 1;
                    }
                };
                if coded && chunk.kind(row) != Kind::Group {
                    for (from, to) in book.iter().zip(MADE_UP) {
                        replace(from, to, &mut new);
                    }
                }
                if ring.is_some() {
                    KNOWN.iter().for_each(|(from, to)| replace(from, to, &mut new));
                }
                event["text"] = new.into();
            }
            planted.lines.push_str(&event.to_string());
            planted.lines.push('\n');
        }
    }
    planted
}

fn read(path: &Path) -> (Arc<hongxian::event::Schema>, Vec<Chunk>) {
    let inputs = [Input::plain(path)];
    let schema = Arc::new(source::schema(&inputs).expect("a schema"));
    let read = source::read_all(&inputs, &schema, &()).expect("events");
    assert!(read.rejects.is_empty(), "all are events");
    (schema, read.chunks)
}

/// The planted words that stand among the first [`TOP`], those that do not, and how many of the first
/// twenty are noise: neither planted nor mostly said in fraud.
fn measure(seed: u64) -> (Vec<&'static str>, Vec<&'static str>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::parse(Path::new("scenario.toml"), SCENARIO).expect("a scenario");
    simulate::command(&scenario, seed, directory.path()).expect("a population");
    let labels = Labels::read(&directory.path().join("labels.parquet"), None).expect("labels");
    let (_, chunks) = read(&directory.path().join("events.parquet"));
    let planted = plant(&chunks, &labels);
    let path = directory.path().join("planted.jsonl");
    fs::write(&path, &planted.lines).unwrap();
    let (schema, chunks) = read(&path);
    let fraud_texts: Vec<(String, bool)> = chunks
        .iter()
        .flat_map(|chunk| {
            (0..chunk.len()).map(|row| {
                let text = chunk.str(hongxian::event::TEXT, row).to_lowercase();
                (text, planted.fraud.contains(chunk.str(EVENT_ID, row)))
            })
        })
        .filter(|(text, _)| !text.is_empty())
        .collect();
    let arrivals = Arrivals { chunks: chunks.into_iter().map(Arc::new).collect(), effective: None };
    let events = Events::of(Ordered::new(schema, arrivals, 7 * 86_400_000, true));
    let lexicon = Lexicon::load(&workspace().join("rules/text/phrases")).expect("the phrases");
    let found = discover(&events, &lexicon, 20, &()).expect("terms").terms;
    let is_planted = |term: &Found| planted.used.keys().any(|word| term.term.contains(word));
    let words = planted.used.iter().filter(|(_, count)| **count >= PLANTED_MIN);
    let (hit, missed): (Vec<&str>, Vec<&str>) = words
        .map(|(word, _)| *word)
        .partition(|word| found.iter().take(TOP).any(|term| term.term.contains(word)));
    // A term that is half fraud is a lead; `#` stands for any number. What is told in a normal form
    // that nobody wrote (双# for the bankers' 雙30) counts as noise.
    let noise = found.iter().filter(|term| !is_planted(term)).filter(|term| {
        let stem = term.term.trim_matches('#').to_owned();
        let said: Vec<bool> = fraud_texts
            .iter()
            .filter(|(text, _)| text.contains(&stem))
            .map(|(_, fraud)| *fraud)
            .collect();
        said.is_empty() || said.iter().filter(|fraud| **fraud).count() * 2 < said.len()
    });
    let noise = noise.map(|term| term.term.clone()).collect();
    (hit, missed, noise)
}

/// The seeds were chosen before the words were looked for in them.
#[test]
fn made_up_words_are_found_and_little_else() {
    for seed in [41, 42] {
        let (hit, missed, noise) = measure(seed);
        println!("seed {seed}: found {hit:?}, missed {missed:?}, noise {noise:?}");
        assert!(hit.len() >= 3, "seed {seed}: the rings use some words");
        assert_eq!(missed, [""; 0], "seed {seed}: all stand among the first {TOP}");
        assert!(noise.len() <= NOISE_MAX, "seed {seed}: {noise:?}");
    }
}
