//! The order contract over what is shipped: all rules, clusters and texts on, over stories and a
//! part of the population, the same decisions and features however the run is cut up and however
//! the rows lie in files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use hongxian::dataflow::Options;
use hongxian::event::{Chunk, EVENT_ID, EVENT_TIME, FIELDS, FieldId, Schema, Type, Value};
use hongxian::features::Features;
use hongxian::job::Job;
use hongxian::rules::{self, Loaded};
use hongxian::run::{self, Events, ModelPaths, Request};
use hongxian::score::Scorer;
use hongxian::sink::Scored;
use hongxian::source::order::{Arrivals, Ordered};
use hongxian::source::{self, Input};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::support::workspace;

/// Stories with fraud of several kinds and with innocents who look like it.
const STORIES: [&str; 4] = ["device-farm", "gambling-mine-group", "dinner-money", "class-fee"];

/// Of the population, the events at these places: a part of the festival's eve.
const PART: std::ops::Range<usize> = 120_000..122_500;

/// Workers, ticks and batches: every two values of different columns meet. Steps of one tick are
/// slow where there are more workers than cores, and have fewer events.
const CUTS: [(usize, i64, usize); 15] = [
    (1, 5, 64),
    (1, 1_000, 10_000),
    (1, 3_600_000, 1),
    (2, 5, 1),
    (2, 1_000, 64),
    (2, 3_600_000, 10_000),
    (3, 5, 10_000),
    (3, 1_000, 1),
    (3, 3_600_000, 64),
    (4, 5, 64),
    (4, 1_000, 1),
    (4, 3_600_000, 10_000),
    (8, 5, 1),
    (8, 1_000, 10_000),
    (8, 3_600_000, 64),
];

/// What is shipped, ready to run.
struct Shipped {
    schema: Arc<Schema>,
    features: Arc<Features>,
    scorer: Arc<Scorer>,
    dedup_window: i64,
}

/// What came of a run: the digest, and every feature of every transaction in total order.
#[derive(PartialEq, Eq)]
struct Decided {
    digest: blake3::Hash,
    features: blake3::Hash,
    transactions: usize,
}

impl Shipped {
    fn load() -> Shipped {
        let schema = Arc::new(Schema::default());
        let loaded = rules::load(Some(&workspace().join("rules")), &schema);
        let Ok(Loaded { rules, features, .. }) = loaded else { panic!("the rules are good") };
        let dedup_window = rules.policy.dedup_window;
        let (features, scorer) = (Arc::new(features), Arc::new(Scorer::new(rules)));
        Shipped { schema, features, scorer, dedup_window }
    }

    fn decide(&self, chunks: Vec<Arc<Chunk>>, options: Options) -> Vec<Scored> {
        let arrivals = Arrivals { chunks, effective: None };
        let schema = self.schema.clone();
        let events = Ordered::new(schema, arrivals, self.dedup_window, options.sorted);
        let (features, scorer) = (self.features.clone(), self.scorer.clone());
        let job = Arc::new(Job::new(events, features, scorer, Default::default()));
        hongxian::backtest::decide(&job, options).unwrap().1
    }
}

fn options((workers, tick, batch): (usize, i64, usize)) -> Options {
    Options { workers, tick, batch, sorted: true }
}

/// The features of a part's transaction, after its id.
fn row(part: &Scored, at: usize) -> String {
    let id = part.batch.slice.chunk.str(EVENT_ID, part.batch.rows[at] as usize);
    let values: Vec<Value<'_>> = part.features.iter().map(|column| column.value(at)).collect();
    format!("{id} {values:?}\n")
}

fn decided(parts: &[Scored]) -> Decided {
    let (mut digest, mut features) = (blake3::Hasher::new(), blake3::Hasher::new());
    let mut transactions = 0;
    for part in parts {
        digest.update(part.lines().as_bytes());
        for at in 0..part.batch.rows.len() {
            features.update(row(part, at).as_bytes());
            transactions += 1;
        }
    }
    Decided { digest: digest.finalize(), features: features.finalize(), transactions }
}

/// Of stories and population, `share` in a hundred: the events in the order of their files, and
/// the same shuffled, a few of them twice.
fn events(schema: &Arc<Schema>, share: usize) -> (Vec<Arc<Chunk>>, Chunk) {
    let fixtures = workspace().join("fixtures");
    let population = fixtures.join("populations/new-year/events.parquet");
    let story = |story| fixtures.join("stories").join(story).join("events.csv");
    let read = |paths: Vec<PathBuf>| -> Vec<Arc<Chunk>> {
        let inputs: Vec<Input> = paths.into_iter().map(Input::plain).collect();
        let read = source::read_all(&inputs, schema, &());
        let Ok(read) = read else { panic!("the fixtures are good") };
        read.chunks.into_iter().map(Arc::new).collect()
    };
    let places = |chunks: &[Arc<Chunk>]| -> Vec<(u32, u32)> {
        let rows = |(at, chunk): (usize, &Arc<Chunk>)| {
            (0..chunk.len() as u32).map(move |row| (at as u32, row)).collect::<Vec<_>>()
        };
        chunks.iter().enumerate().flat_map(rows).collect()
    };
    let chunks = read(vec![population]);
    let part = PART.start..PART.start + PART.len() * share / 100;
    let part = Chunk::gather(schema, &chunks, &places(&chunks)[part]);
    let mut all = vec![Arc::new(part)];
    all.extend(read(STORIES.iter().map(story).collect()));
    let mut rows = places(&all);
    let step = 100 / share;
    rows.retain(|(chunk, row)| *chunk == 0 || (*row as usize).is_multiple_of(step));
    rows.extend_from_within(20..60);
    let by_hash = |&(chunk, row): &(u32, u32)| {
        let id = all[chunk as usize].str(EVENT_ID, row as usize);
        (*blake3::hash(id.as_bytes()).as_bytes(), chunk, row)
    };
    let plain = Chunk::gather(schema, &all, &rows);
    rows.sort_by_key(by_hash);
    (vec![Arc::new(plain)], Chunk::gather(schema, &all, &rows))
}

#[test]
fn what_is_shipped_decides_the_same_however_it_is_cut() {
    let shipped = Shipped::load();
    let [whole, few] = [100, 10].map(|share| {
        let (plain, shuffled) = events(&shipped.schema, share);
        (shipped.decide(plain, options(CUTS[1])), Arc::new(shuffled))
    });
    let lines: String = whole.0.iter().map(Scored::lines).collect();
    for verdict in ["allow", "review", "hold", "block"] {
        assert!(lines.contains(&format!("\"decision\":\"{verdict}\"")), "no {verdict}");
    }
    for cut in CUTS {
        let (parts, shuffled) = if cut.2 == 1 { &few } else { &whole };
        let found = decided(&shipped.decide(vec![shuffled.clone()], options(cut)));
        assert!(found == decided(parts), "cut {cut:?}");
    }
}

/// The same rows left as they lie in the file give other features, so that the test above has
/// power. Here they lie in the order of their graph ticks, of ten seconds, and inside one in that of
/// their ids' hashes: clusters would not bear more disorder.
#[test]
fn what_is_shipped_decides_otherwise_without_the_sort() {
    let shipped = Shipped::load();
    let (plain, _) = events(&shipped.schema, 10);
    let mut rows: Vec<(u32, u32)> = (0..plain[0].len() as u32).map(|row| (0, row)).collect();
    rows.sort_by_key(|&(_, row)| {
        let row = row as usize;
        let tick = plain[0].int(EVENT_TIME, row).div_euclid(10_000);
        (tick, *blake3::hash(plain[0].str(EVENT_ID, row).as_bytes()).as_bytes())
    });
    let disordered = Chunk::gather(&shipped.schema, &plain, &rows);
    let of_each = |parts: &[Scored]| -> BTreeSet<String> {
        parts.iter().flat_map(|part| (0..part.batch.rows.len()).map(|at| row(part, at))).collect()
    };
    let expected = of_each(&shipped.decide(plain, options(CUTS[1])));
    let unsorted = Options { sorted: false, ..options((1, 3_600_000, 10_000)) };
    let found = of_each(&shipped.decide(vec![Arc::new(disordered)], unsorted));
    assert_ne!(found, expected);
}

/// Shuffled, split into files of three formats, read and recorded by the program as a whole.
#[test]
fn what_is_shipped_decides_the_same_from_any_files() {
    let shipped = Shipped::load();
    let (plain, shuffled) = events(&shipped.schema, 100);
    let expected = shipped.decide(plain, options(CUTS[1]));
    let directory = tempfile::tempdir().unwrap();
    let inputs = write_files(&shuffled, directory.path());
    let mut features = Vec::new();
    for (at, cut) in [(1, 1_000, 10_000), (4, 5, 64)].into_iter().enumerate() {
        let out = directory.path().join(format!("run{at}"));
        let request = Request {
            events: Events::Files {
                paths: if at == 0 {
                    inputs.clone()
                } else {
                    inputs.iter().rev().cloned().collect()
                },
                maps: Vec::new(),
            },
            pseudonyms: None,
            labels: None,
            rules: Some(workspace().join("rules")),
            models: ModelPaths::default(),
            out: out.clone(),
            options: options(cut),
            warmup: 0,
            rejects_max: None,
            sort_memory: hongxian::run::SORT_MEMORY,
            place: None,
        };
        let Ok(outcome) = run::run(&request, &(), Default::default()) else {
            panic!("cut {cut:?}")
        };
        assert_eq!(outcome.facts.decisions_digest, decided(&expected).digest.to_hex().to_string());
        features.push(read_parquet(&out.join("features.parquet")));
    }
    assert_eq!(features[0].num_rows(), decided(&expected).transactions);
    assert!(features[0] == features[1], "features.parquet");
}

/// Every third row into a file of its format.
fn write_files(chunk: &Chunk, directory: &Path) -> Vec<PathBuf> {
    let rows = |nth: usize| (nth..chunk.len()).step_by(3);
    let fields: Vec<(FieldId, &str, Type)> = FIELDS
        .iter()
        .enumerate()
        .map(|(at, (name, kind, ..))| (FieldId(at as u16), *name, *kind))
        .collect();
    let paths = ["a.csv", "b.jsonl", "c.parquet"].map(|name| directory.join(name));

    let mut csv = csv::Writer::from_path(&paths[0]).unwrap();
    csv.write_record(fields.iter().map(|(_, name, _)| name)).unwrap();
    for row in rows(0) {
        csv.write_record(fields.iter().map(|(field, ..)| text(chunk.value(*field, row)))).unwrap();
    }
    csv.flush().unwrap();

    let lines: String = rows(1).map(|row| format!("{}\n", chunk.to_json(row))).collect();
    fs::write(&paths[1], lines).unwrap();

    let column = |&(field, name, kind): &(FieldId, &'static str, Type)| -> (&str, ArrayRef) {
        let values = rows(2).map(|row| chunk.value(field, row));
        let int = |value| if let Value::Int(value) = value { Some(value) } else { None };
        let bool = |value| if let Value::Bool(value) = value { Some(value) } else { None };
        let string = |value| if let Value::Str(value) = value { Some(value) } else { None };
        let array: ArrayRef = match kind {
            Type::Int => Arc::new(values.map(int).collect::<Int64Array>()),
            Type::Bool => Arc::new(values.map(bool).collect::<BooleanArray>()),
            _ => Arc::new(values.map(string).collect::<StringArray>()),
        };
        (name, array)
    };
    let batch = RecordBatch::try_from_iter(fields.iter().map(column)).unwrap();
    let file = File::create(&paths[2]).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    paths.into()
}

fn text(value: Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Str(value) => value.to_owned(),
    }
}

pub(crate) fn read_parquet(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    // A file without rows has no batch to tell its schema.
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}
