//! The input log: what is replayed does not depend on how it is cut up, effective times are those
//! of a few plain lines, a record is the same event or reject as in a file of JSON lines, and a
//! broken log is told where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hongxian::dataflow::Options;
use hongxian::diagnostic::{Failure, Lang};
use hongxian::event::Schema;
use hongxian::features::declare::{self, Declaration};
use hongxian::run::{Events, ModelPaths, Outcome, Request};
use hongxian::source::Rejects;
use hongxian::source::log::{InputLog, Times};
use hongxian::source::order::{SortMemory, Sorter};
use proptest::prelude::*;

use crate::support::{Ev, START, chunk, features, job, job_of, options};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Workers, tick, batch, and the size of the blocks that are read.
const CUTS: [(usize, i64, usize, usize); 6] = [
    (1, 1_000, 10_000, 1 << 20),
    (2, 5, 1, 1),
    (3, 1_000, 64, 700),
    (4, 3_600_000, 1, 1 << 20),
    (8, 1_000, 64, 100),
    (8, 5, 10_000, 3_000),
];

const DECLARED: &str = r#"
[t.count]
over = ["claim", "message"]
key = ["account_id"]
agg = "count"
window = "10m"

[t.last]
over = ["claim"]
key = ["account_id"]
agg = "last"
field = "event_id"
window = "1d"
include_current = false
"#;

fn declared() -> Vec<Declaration> {
    let (declared, wrong) = declare::read(Path::new("features.toml"), DECLARED, &Schema::default());
    assert_eq!(wrong, []);
    declared.list
}

/// A log in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// By partition.
    pub(crate) records: Vec<Vec<Record>>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    /// Further lines of `control.jsonl`.
    pub(crate) control: String,
    /// Further lines of `log.toml`.
    pub(crate) header: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) append_time: i64,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a test has few records")]
pub(crate) enum Body {
    Event(Ev),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    partition: usize,
    next_offset: u64,
    event_time_max: i64,
}

impl Log {
    /// Writes the log to a directory that is gone with what is returned.
    pub(crate) fn write(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("partitions")).unwrap();
        let header = format!("version = 1\npartitions = {}\n{}", self.records.len(), self.header);
        fs::write(path.join("log.toml"), header).unwrap();
        for (number, records) in self.records.iter().enumerate() {
            let lines: String = records.iter().map(Record::line).collect();
            // Partitions are plain, gzip and zstd by turns.
            let (name, bytes) = match number % 3 {
                0 => (format!("{number}.jsonl"), lines.into_bytes()),
                1 => {
                    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                    std::io::Write::write_all(&mut gzip, lines.as_bytes()).unwrap();
                    (format!("{number}.jsonl.gz"), gzip.finish().unwrap())
                }
                _ => {
                    let bytes = zstd::encode_all(lines.as_bytes(), 1).unwrap();
                    (format!("{number}.jsonl.zst"), bytes)
                }
            };
            fs::write(path.join("partitions").join(name), bytes).unwrap();
        }
        let mut control = String::new();
        for Heartbeat { partition, next_offset, event_time_max } in &self.heartbeats {
            control += &format!(
                "{{\"kind\":\"heartbeat\",\"partition\":{partition},\
                 \"next_offset\":{next_offset},\"event_time_max\":{event_time_max}}}\n"
            );
        }
        fs::write(path.join("control.jsonl"), control + &self.control).unwrap();
        directory
    }

    /// The events, in no order that matters.
    fn events(&self) -> Vec<Ev> {
        let records = self.records.iter().flatten();
        let event = |record: &Record| match &record.body {
            Body::Event(ev) => Some(ev.clone()),
            Body::Bytes(_) => None,
        };
        records.filter_map(event).collect()
    }
}

impl Record {
    fn line(&self) -> String {
        let Record { offset, append_time, body } = self;
        let value = match body {
            Body::Event(ev) => format!("\"value\":{}", json(ev)),
            Body::Bytes(bytes) => format!("\"raw_base64\":\"{}\"", STANDARD.encode(bytes)),
        };
        format!("{{\"offset\":{offset},\"append_time\":{append_time},{value}}}\n")
    }
}

fn json(ev: &Ev) -> String {
    chunk(std::slice::from_ref(ev)).to_json(0).to_string()
}

/// The contract in plain lines: for each accepted event its effective time and whether it is late,
/// in total order.
pub(crate) fn expected(log: &Log, lateness: i64, max_ahead: i64) -> Vec<(String, i64, bool)> {
    let mut all = Vec::new();
    for (partition, records) in log.records.iter().enumerate() {
        let mut newest = 0;
        for record in records {
            for beat in &log.heartbeats {
                if beat.partition == partition && beat.next_offset <= record.offset {
                    newest = newest.max(beat.event_time_max);
                }
            }
            let Body::Event(ev) = &record.body else { continue };
            if ev.time > record.append_time + max_ahead {
                continue;
            }
            let watermark = newest - lateness;
            all.push((ev.time.max(watermark), ev.time, ev.seq.unwrap_or(0), ev.id.clone()));
            newest = newest.max(ev.time);
        }
    }
    all.sort();
    all.into_iter().map(|(effective, time, _, id)| (id, effective, effective > time)).collect()
}

/// What the program makes of a log: the decisions' lines.
fn replayed(log: &Path, times: Times, cut: (usize, i64, usize, usize)) -> String {
    let schema = Arc::new(Schema::default());
    // Some are sorted on disk, on which nothing depends either.
    let folder = tempfile::tempdir().unwrap();
    let memory = SortMemory { bytes: 0, folder: folder.path().to_owned() };
    let mut events = Sorter::new(schema, (cut.0 > 2).then_some(memory));
    let mut rejects = Rejects::new(Vec::new(), folder.path(), None);
    let log = InputLog::open(log).unwrap();
    log.read_in_blocks(times, cut.3, &mut events, &mut rejects, &()).unwrap();
    let events = events.finish(7 * DAY, &|| false).unwrap();
    let job = job_of(events, features(declared(), None));
    lines(&job, options(cut.0, cut.1, cut.2))
}

fn lines(job: &Arc<hongxian::job::Job>, options: Options) -> String {
    let (_, parts) = hongxian::backtest::decide(job, options).unwrap();
    parts.iter().map(hongxian::sink::Scored::lines).collect()
}

/// Id, effective time and lateness of each decision.
fn effective(lines: &str) -> Vec<(String, i64, bool)> {
    lines
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = line["event_id"].as_str().unwrap().to_owned();
            (id, line["effective_time"].as_i64().unwrap(), line["late"].as_bool().unwrap())
        })
        .collect()
}

fn lateness(allowed_lateness: i64) -> Times {
    Times { allowed_lateness, max_ahead: 5 * MINUTE }
}

/// A claim so long after the start.
pub(crate) fn claim(id: &str, after: i64, account: &str) -> Ev {
    Ev {
        id: id.to_owned(),
        time: START + after,
        kind: "claim",
        account: account.to_owned(),
        counterparty: "s".to_owned(),
        amount: Some(100),
        ..Ev::default()
    }
}

/// Three partitions: events up to twelve minutes late, malformed records, clocks up to an hour
/// ahead, gaps between offsets, heartbeats.
pub(crate) fn history() -> impl Strategy<Value = Log> {
    let record = (0usize..3, 0u8..16, 0i64..5, 0i64..12, 0u8..3, 1u64..3, any::<bool>());
    prop::collection::vec(record, 1..120).prop_map(|parts| {
        let mut log = Log { records: vec![Vec::new(); 3], ..Log::default() };
        let (mut now, mut offsets, mut newest) = (START, [0u64; 3], START);
        for (at, (partition, what, gap, behind, account, skip, idle)) in
            parts.into_iter().enumerate()
        {
            now += gap * gap * 7_000;
            let mut ev = claim(&format!("e{at:03}"), 0, &format!("u{account}"));
            ev.time = now - behind * behind * 5_000;
            ev.kind = if what == 1 { "message" } else { "claim" };
            ev.seq = (what == 2).then_some(i64::from(account));
            let body = match what {
                0 => Body::Bytes(b"{\"event_id\":".to_vec()),
                3 => {
                    ev.time = now + (behind + 1) * 5 * MINUTE;
                    Body::Event(ev)
                }
                _ => {
                    newest = newest.max(ev.time);
                    Body::Event(ev)
                }
            };
            let offset = offsets[partition];
            log.records[partition].push(Record { offset, append_time: now, body });
            offsets[partition] += skip;
            if idle {
                let partition = (partition + 1) % 3;
                let next_offset = offsets[partition];
                log.heartbeats.push(Heartbeat { partition, next_offset, event_time_max: newest });
            }
        }
        log
    })
}

/// Only transactions get decisions.
fn decided(log: &Log, all: Vec<(String, i64, bool)>) -> Vec<(String, i64, bool)> {
    let kinds: BTreeMap<String, &str> =
        log.events().into_iter().map(|ev| (ev.id, ev.kind)).collect();
    all.into_iter().filter(|(id, ..)| kinds[id] == "claim").collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn effective_times_are_the_contracts_and_nothing_depends_on_the_cut(
        log in history(),
        allowed in prop::sample::select(vec![0, 1, 30_000, 10 * MINUTE]),
    ) {
        let directory = log.write();
        let first = replayed(directory.path(), lateness(allowed), CUTS[0]);
        let wanted = decided(&log, expected(&log, allowed, 5 * MINUTE));
        prop_assert_eq!(effective(&first), wanted);
        for cut in CUTS {
            let again = replayed(directory.path(), lateness(allowed), cut);
            prop_assert_eq!(&again, &first, "cut {:?}", cut);
        }
    }

    /// A log in which no event is late is a plain file.
    #[test]
    fn without_late_events_a_log_decides_as_a_file(log in history()) {
        let times = Times { allowed_lateness: DAY, max_ahead: DAY };
        let directory = log.write();
        let job = job(vec![chunk(&log.events())], features(declared(), None), true);
        let of_file = lines(&job, options(2, 1_000, 64));
        for cut in CUTS {
            prop_assert_eq!(&replayed(directory.path(), times, cut), &of_file, "cut {:?}", cut);
        }
    }

    /// The number of a partition says nothing.
    #[test]
    fn partitions_may_change_places(log in history()) {
        let mut turned = log.clone();
        turned.records.rotate_left(1);
        for heartbeat in &mut turned.heartbeats {
            heartbeat.partition = (heartbeat.partition + 2) % 3;
        }
        let (log, turned) = (log.write(), turned.write());
        let of = |directory: &tempfile::TempDir| replayed(directory.path(), lateness(0), CUTS[0]);
        prop_assert_eq!(of(&log), of(&turned));
    }
}

fn one_late(heartbeat: bool) -> Log {
    let record = |offset, ev: Ev| Record { offset, append_time: ev.time, body: Body::Event(ev) };
    let beat = Heartbeat { partition: 1, next_offset: 4, event_time_max: START + 10 * MINUTE };
    Log {
        records: vec![
            vec![record(0, claim("a", 10 * MINUTE, "u"))],
            vec![record(3, claim("b", 0, "u")), record(4, claim("c", MINUTE, "u"))],
        ],
        heartbeats: if heartbeat { vec![beat] } else { Vec::new() },
        ..Log::default()
    }
}

/// The heartbeat holds from its offset on, and without it the event is not late.
#[test]
fn a_heartbeat_makes_the_idle_partitions_next_event_late() {
    let of =
        |log: Log, allowed| effective(&replayed(log.write().path(), lateness(allowed), CUTS[0]));
    let row = |id: &str, after: i64, late| (id.to_owned(), START + after, late);
    let with = of(one_late(true), 2 * MINUTE);
    let at = 8 * MINUTE;
    assert_eq!(with, [row("b", 0, false), row("c", at, true), row("a", 10 * MINUTE, false)]);
    let without = of(one_late(false), 2 * MINUTE);
    let on_time = [row("b", 0, false), row("c", MINUTE, false), row("a", 10 * MINUTE, false)];
    assert_eq!(without, on_time);
    assert_eq!(of(one_late(true), 9 * MINUTE), on_time, "a replay with more lateness");
}

/// Without a warm-up every transaction is judged, and one that was late from the start is no less.
#[test]
fn what_is_late_from_the_start_is_judged() {
    let mut log = one_late(true);
    log.heartbeats[0].next_offset = 3;
    let directory = log.write();
    let (outcome, _) = ran(log_at(&directory), None, (1, 1_000, 1)).unwrap();
    assert_eq!((outcome.judgement.transactions, outcome.judgement.warmup), (3, 0));
}

/// Runs the whole command on something; the directory holds the run.
pub(crate) fn ran(
    events: Events,
    rules: Option<PathBuf>,
    cut: (usize, i64, usize),
) -> Result<(Outcome, tempfile::TempDir), Failure> {
    let out = tempfile::tempdir().unwrap();
    let request = Request {
        events,
        pseudonyms: None,
        labels: None,
        rules,
        models: ModelPaths::default(),
        out: out.path().to_owned(),
        options: options(cut.0, cut.1, cut.2),
        warmup: 0,
        rejects_max: None,
        sort_memory: hongxian::run::SORT_MEMORY,
        place: None,
    };
    hongxian::run::run(&request, &(), Default::default()).map(|outcome| (outcome, out))
}

pub(crate) fn log_at(directory: &tempfile::TempDir) -> Events {
    Events::Log { path: directory.path().to_owned(), lateness: None }
}

fn rejects(run: &tempfile::TempDir) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.path().join("rejects.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every record is decided, applied, rejected or a duplicate; rejects say partition and offset.
#[test]
fn the_accounts_of_a_log_balance() {
    let event = |offset, append_time: i64, ev: Ev| Record {
        offset,
        append_time: START + append_time,
        body: Body::Event(ev),
    };
    let message = Ev { kind: "message", ..claim("m", MINUTE, "u") };
    let mut other_body = claim("a", 0, "u");
    other_body.amount = Some(7);
    let log = Log {
        records: vec![
            vec![
                event(5, 0, claim("a", 0, "u")),
                event(6, 0, claim("future", 5 * MINUTE + 1, "u")),
                event(7, 0, claim("edge", 5 * MINUTE, "u")),
                Record { offset: 9, append_time: START, body: Body::Bytes(b"\xff".to_vec()) },
                event(10, 0, claim("ancient", 5 * MINUTE - 7 * DAY - 1, "u")),
            ],
            vec![
                event(0, MINUTE, message),
                event(1, MINUTE, claim("a", 0, "u")),
                event(2, MINUTE, other_body),
            ],
            Vec::new(),
        ],
        ..Log::default()
    };
    let directory = log.write();
    let (outcome, run) = ran(log_at(&directory), None, (2, 1_000, 64)).unwrap();
    let counts = outcome.facts.counts;
    assert!(counts.balance());
    assert_eq!((counts.read, counts.decided, counts.applied), (8, 2, 1));
    assert_eq!((counts.rejected, counts.duplicates), (4, 1));
    let found: Vec<(u64, u64, String)> = rejects(&run)
        .iter()
        .map(|line| {
            assert!(line.get("source").is_none() && line.get("line").is_none());
            let number = |key: &str| line[key].as_u64().unwrap();
            (number("partition"), number("offset"), line["code"].as_str().unwrap().to_owned())
        })
        .collect();
    let row = |partition, offset, code: &str| (partition, offset, code.to_owned());
    let wanted = [
        row(0, 6, "time_ahead"),
        row(0, 9, "invalid_utf8"),
        row(0, 10, "too_old"),
        row(1, 2, "id_conflict"),
    ];
    assert_eq!(found, wanted);
    let facts = fs::read_to_string(run.path().join("run.toml")).unwrap();
    for part in ["log.toml", "control.jsonl", "0.jsonl", "1.jsonl.gz", "2.jsonl.zst"] {
        assert!(facts.contains(part), "run.toml has no hash of {part}:\n{facts}");
    }
    assert!(facts.contains("allowed_lateness_ms = 0\nmax_ahead_ms = 300000"), "{facts}");
    for workers in [1, 3, 4, 8] {
        let (again, _) = ran(log_at(&directory), None, (workers, 5, 1)).unwrap();
        assert_eq!(again.facts.decisions_digest, outcome.facts.decisions_digest);
        assert_eq!(again.facts.counts, counts);
    }
}

/// A record of a log and the same line of a file are the same event, or the same reject.
#[test]
fn a_record_is_what_its_line_would_be_in_a_file() {
    let good = json(&claim("good", 0, "u"));
    let with = |from: &str, to: &str| good.replace(from, to);
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let lines = [
        good.clone(),
        with("\"good\"", "\"\\u0067\\n\\\"x\\\"\""),
        with("100", "1.0"),
        with("100", "\"1\""),
        with("\"claim\"", "\"clam\""),
        with("{", "{\"amount_fen\":1,"),
        with("{", "{\"x\":{\"y\":[1,{}]},\"z\":null,"),
        with("1707480000000", "\"2024-02-09T12:00:00Z\""),
        with("1707480000000", "1"),
        with("\"u\"", "null"),
        with("\"good\"", "\"\\ud800\""),
        with("\"good\"", &format!("\"{}\"", "x".repeat(65))),
        with("{", &format!("{{\"x\":\"{}\",", "x".repeat(1 << 20))),
        deep,
        "[1]".to_owned(),
        "null".to_owned(),
        "17".to_owned(),
        format!("{good}{good}"),
        "{\"event_id\":".to_owned(),
    ];
    let framed = |offset: usize, value: String| {
        format!("{{\"offset\":{offset},\"append_time\":{START},{value}}}\n")
    };
    let mut compared = 0;
    for (at, line) in lines.iter().enumerate() {
        let file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
        fs::write(file.path(), line).unwrap();
        let paths = vec![file.path().to_owned()];
        let of_file = ran(Events::Files { paths, maps: Vec::new() }, None, (1, 1_000, 1)).unwrap();
        let raw = format!("\"raw_base64\":\"{}\"", STANDARD.encode(line));
        // What is not one JSON value can be held as bytes only.
        let is_json = !(line.ends_with(':') || line.contains("}{"));
        let value = is_json.then(|| format!("\"value\":{line}"));
        for value in value.into_iter().chain([raw]) {
            let directory = Log { records: vec![Vec::new()], ..Log::default() }.write();
            let text = framed(at, value);
            fs::write(directory.path().join("partitions/0.jsonl"), &text).unwrap();
            let shown = &text[..text.len().min(300)];
            let of_log = ran(log_at(&directory), None, (1, 1_000, 1));
            let of_log = of_log.unwrap_or_else(|failure| panic!("{shown}: {failure:?}"));
            assert_eq!(of_log.0.facts.counts, of_file.0.facts.counts, "{shown}");
            let digests = [&of_log, &of_file].map(|(run, _)| run.facts.decisions_digest.clone());
            assert_eq!(digests[0], digests[1], "{shown}");
            let told = |run: &tempfile::TempDir| -> Vec<[serde_json::Value; 3]> {
                let keys = ["code", "detail", "raw_base64"];
                rejects(run).iter().map(|line| keys.map(|key| line[key].clone())).collect()
            };
            assert_eq!(told(&of_log.1), told(&of_file.1), "{shown}");
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * lines.len() - 2);
}

/// Columns of one's own have the types that log.toml says.
#[test]
fn extra_columns_have_types() {
    let line = |value: &str| {
        let good = json(&claim("e", 0, "u")).replace('{', &format!("{{\"extra.level\":{value},"));
        format!("{{\"offset\":0,\"append_time\":{START},\"value\":{good}}}\n")
    };
    for (value, decided) in [("3", 1), ("\"x\"", 0)] {
        let header = "[extra]\nlevel = \"int\"\n".to_owned();
        let directory = Log { records: vec![Vec::new()], header, ..Log::default() }.write();
        fs::write(directory.path().join("partitions/0.jsonl"), line(value)).unwrap();
        let (outcome, _) = ran(log_at(&directory), None, (1, 1_000, 1)).unwrap();
        assert_eq!(outcome.facts.counts.decided, decided, "{value}");
    }
}

/// What held for the log holds in its replay, unless the call says otherwise; the policy comes last.
#[test]
fn the_lateness_that_held_holds() {
    let rules = tempfile::tempdir().unwrap();
    fs::write(rules.path().join("policy.toml"), "allowed_lateness = \"9m\"\n").unwrap();
    let late = |header: &str, lateness: Option<i64>| {
        let log = Log { header: header.to_owned(), ..one_late(true) }.write();
        let events = Events::Log { path: log.path().to_owned(), lateness };
        let (_, run) = ran(events, Some(rules.path().to_owned()), (1, 1_000, 1)).unwrap();
        let facts = fs::read_to_string(run.path().join("run.toml")).unwrap();
        let line = facts.lines().find(|line| line.starts_with("allowed_lateness_ms")).unwrap();
        line.split(" = ").nth(1).unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(late("", None), 9 * MINUTE);
    assert_eq!(late("allowed_lateness = \"2m\"", None), 2 * MINUTE);
    assert_eq!(late("allowed_lateness = \"2m\"", Some(MINUTE)), MINUTE);
}

/// The structure of a log that is broken, what is said, and where.
#[test]
fn a_broken_log_is_told_where() {
    let good =
        Record { offset: 4, append_time: START, body: Body::Event(claim("e", 0, "u")) }.line();
    let repeated = format!("{good}{good}");
    let cut_off = format!("{good}{}", &good[..40]);
    let both = good.replace("\"value\"", "\"raw_base64\":\"\",\"value\"");
    let unknown = good.replace("\"offset\"", "\"ofset\"");
    let bad_base64 = "{\"offset\":1,\"append_time\":1,\"raw_base64\":\"?\"}\n";
    let beat = |partition: u32, time: i64| {
        format!(
            "{{\"kind\":\"heartbeat\",\"partition\":{partition},\"next_offset\":0,\
             \"event_time_max\":{time}}}\n"
        )
    };
    let (two, no_partition, early) = (beat(0, START), beat(2, START), beat(0, 5));
    let many = format!("{two}{no_partition}{early}");
    let long = format!("{good}{}\n", "x".repeat(2 << 20));
    let deep = format!("{{\"offset\":{}\n", "[".repeat(1 << 18));
    // The file that is written anew (nothing: taken away), its text, and what is said.
    let rows: [(&str, &str, &[&str]); 15] = [
        ("partitions/0.jsonl", &deep, &["bad-frame", "partitions/0.jsonl:1:", "levels deep"]),
        ("partitions/0.jsonl", &repeated, &["offset-order", "partitions/0.jsonl:2:"]),
        ("partitions/0.jsonl", &cut_off, &["bad-frame", "partitions/0.jsonl:2:", "taken out"]),
        ("partitions/0.jsonl", &both, &["bad-frame", "partitions/0.jsonl:1:", "both or neither"]),
        ("partitions/0.jsonl", &unknown, &["bad-frame", "partitions/0.jsonl:1:", "ofset"]),
        ("partitions/0.jsonl", bad_base64, &["bad-frame", "partitions/0.jsonl:1:"]),
        ("partitions/0.jsonl", &long, &["bad-frame", "partitions/0.jsonl:2:", "longer than"]),
        ("partitions/0.jsonl", "", &["missing-partition", "partition 0", "2 partitions"]),
        ("partitions/7.jsonl", &good, &["unknown-partition", "partitions/7.jsonl"]),
        ("partitions/0.jsonl.zst", &good, &["partition-twice", "partitions/0.jsonl.zst"]),
        ("log.toml", "", &["no-input-log", "log.toml"]),
        ("log.toml", "version = 2\npartitions = 2", &["out-of-bounds", "log.toml:1:11"]),
        ("log.toml", "version = 1\npartition = 2", &["unknown-key", "partitions"]),
        ("control.jsonl", &many, &["bad-control", "control.jsonl:2:1", "control.jsonl:3:1"]),
        ("control.jsonl", "{\"kind\":\"beat\"}\n", &["bad-control", "control.jsonl:1:1"]),
    ];
    for (file, text, told) in rows {
        let records = vec![Vec::new(), Vec::new()];
        let directory = Log { records, ..Log::default() }.write();
        match text {
            "" => fs::remove_file(directory.path().join(file)).unwrap(),
            text => fs::write(directory.path().join(file), text).unwrap(),
        }
        let Err(failure) = ran(log_at(&directory), None, (1, 1_000, 1)) else {
            panic!("{file} {told:?} was read");
        };
        assert_eq!(failure.exit_code(), 2, "{told:?}");
        let shown = failure.render(Lang::En, false);
        for part in told {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
    }
}

/// Offsets are checked from block to block as well.
#[test]
fn offsets_rise_over_blocks() {
    let record = |offset| Record {
        offset,
        append_time: START,
        body: Body::Event(claim(&format!("e{offset}"), 0, "u")),
    };
    let log = Log { records: vec![vec![record(0), record(2), record(1)]], ..Log::default() };
    let directory = log.write();
    let schema = Arc::new(Schema::default());
    for block in [1, 300, 1 << 20] {
        let log = InputLog::open(directory.path()).unwrap();
        let mut events = Sorter::new(schema.clone(), None);
        let mut rejects = Rejects::new(Vec::new(), directory.path(), None);
        let read = log.read_in_blocks(lateness(0), block, &mut events, &mut rejects, &());
        let failure = read.unwrap_err();
        let shown = failure.render(Lang::En, false);
        assert!(shown.contains("0.jsonl:3:"), "blocks of {block}: {shown}");
    }
}
