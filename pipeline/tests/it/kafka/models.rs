//! A model that scores in a stream: what is decided with it is what a backtest decides with it, and
//! one that takes its place while the stream runs does so at the same event in a replay.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use hongxian::finished::FinishedRun;
use models::{Column, Identity, Kind, Model, Table, TrainConfig, Work, train};
use serde_json::Value;

use super::bench::{Bench, claim};
use super::{ended, signal, succeeds, until};
use crate::digest::read_parquet;
use crate::support::START;

const HOUR_MS: i64 = 3_600_000;
const ROWS: i64 = 400;
/// What the models of these tests read, of which rules have everything computed.
pub(super) const INPUTS: [&str; 2] = ["amount_fen", "funds.t_count"];
/// What no rule has computed.
const ANOTHER: &str = "funds.payee.groups_24h";

/// A model of its own for each `bound`, above which an amount is fraud; in a directory, as
/// `hongxian train` writes it.
pub(super) fn trained(directory: &Path, inputs: &[&str], bound: i64) -> Model {
    let value = |name: &str, at: i64| match name {
        "amount_fen" => at * 37 % 900 + 1,
        _ => at * 7 % 10 + 1,
    };
    let column = |name: &&str| {
        let values = (0..ROWS).map(|at| Some(value(name, at) as f64));
        Column::new(*name, values).of_kind(Kind::Integer)
    };
    let fraud = (0..ROWS).map(|at| value("amount_fen", at) > bound && at % 9 > 0).collect();
    let times = (0..ROWS).map(|at| START + at * HOUR_MS).collect();
    let table = Table::new(inputs.iter().map(column).collect(), fraud, times).unwrap();
    let config = r#"{"model": {"kind": "boosting", "trees": 5}}"#;
    let config: TrainConfig = serde_json::from_str(config).unwrap();
    let identity = Identity { name: "night", catalogue_hash: "" };
    let model = train(&table, &config, identity, Work::default()).unwrap().model;
    model.save(directory).unwrap();
    model
}

/// What a model says of the event `e{at}` of [`claim`], whose account has one at every tenth second.
fn score(model: &Model, at: i64) -> i64 {
    model.score(&[(at % 900 + 1) as f64, (at / 10 + 1) as f64])
}

impl Bench {
    fn with_model(&self, more: &str) {
        self.configure_with(&self.rules(), &format!("model = 'models/night'\n{more}"));
    }

    fn add_to_rules(&self, file: &str, more: &str) {
        let path = self.rules().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + more).unwrap();
    }

    /// The models that the control topic names, with the times from which on they score.
    fn models(&self) -> Vec<(i64, Option<String>)> {
        let records = self.committed("control");
        let values = records.iter().map(|seen| serde_json::from_slice(&seen.value).unwrap());
        let of = |value: Value| {
            let since = match value["kind"].as_str() {
                Some("begin") => i64::MIN,
                Some("change") => value["effective_time"].as_i64().unwrap(),
                _ => return None,
            };
            Some((since, value["model_hash"].as_str().map(str::to_owned)))
        };
        values.filter_map(of).collect()
    }

    fn decisions(&self) -> Vec<Value> {
        let decisions = self.committed("out");
        decisions.iter().map(|seen| serde_json::from_slice(&seen.value).unwrap()).collect()
    }

    /// Checks that each event is decided once, with the model of its time, and that a replay of the
    /// log decides the same.
    fn check_models(&self, decisions: usize) {
        let (named, decided) = (self.models(), self.decisions());
        let ids: BTreeSet<&str> =
            decided.iter().map(|one| one["event_id"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), decided.len()), (decisions, decisions), "each once");
        for one in &decided {
            let time = one["effective_time"].as_i64().unwrap();
            let (_, own) = named.iter().rfind(|(since, _)| *since <= time).unwrap();
            assert_eq!(one["model_hash"].as_str(), own.as_deref(), "{one} {named:?}");
            assert_eq!(one["model_score"].is_null(), own.is_none(), "{one}");
        }
        for workers in ["1", "3"] {
            assert_eq!(self.replayed(workers).0, self.digest());
        }
    }
}

/// The stream's scores are the model's, its decisions those of a backtest of its log, and the machine
/// that goes on needs no file of the model.
#[test]
fn a_stream_scores_with_its_model_as_a_backtest_does() {
    let Some(bench) = Bench::new("model", 2) else { return };
    let model = trained(&bench.path("models/night"), &INPUTS, 450);
    let out = bench.path("run");
    bench.with_model("");
    bench.add_to_rules("policy.toml", "[model]\nblend = 'sum'\nweight = 50\nat_least = 0\n");
    bench.send((0..300).map(|at| claim(at, (at % 2) as i32)));
    bench.stream(&["--once", "--out", out.to_str().unwrap()]);
    for one in bench.decisions() {
        let at: i64 = one["event_id"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(one["model_score"], score(&model, at), "{one}");
        assert_eq!(one["model_hash"], model.hash());
    }
    let reasons = bench
        .decisions()
        .iter()
        .filter(|one| one["reasons"].to_string().contains("\"model\""))
        .count();
    assert!(reasons > 10, "{reasons} decisions have a reason of the model");
    bench.check_models(300);
    fs::remove_dir_all(bench.path("models")).unwrap();
    bench.send((300..400).map(|at| claim(at, (at % 2) as i32)));
    let said = bench.told();
    assert!(said.contains("cannot use the model"), "{said}");
    assert!(said.contains("rules and models on disk are refused, those before stay"), "{said}");
    bench.check_models(400);
    // The last one of a stream that is told none goes.
    bench.configure(&bench.rules());
    bench.send((400..450).map(|at| claim(at, (at % 2) as i32)));
    bench.stream(&["--once"]);
    assert_eq!(bench.models().last().unwrap().1, None);
    bench.check_models(450);
}

/// A model takes the place of another at a committed time, one that is wrong is refused, and one that
/// reads more is worked out beside the stream; killed after each, it goes on with what stands in the
/// log.
#[test]
fn a_model_changes_while_a_stream_runs() {
    let Some(bench) = Bench::new("model-change", 2) else { return };
    let path = bench.path("models/night");
    trained(&path, &INPUTS, 450);
    bench.with_model("reload_after = '300ms'\n");
    bench.add_to_rules("policy.toml", "[features]\ncolumns = 'used'\n");
    bench.with_snapshots();
    let mut sent = 0;
    let mut send = |many: i64| {
        bench.send((sent..sent + many).map(|at| claim(at, (at % 2) as i32)));
        sent += many;
        until("decided", || bench.decided().len() as i64 + 10 > sent);
    };
    let mut child = bench.spawn(&[]);
    send(60);
    let second = trained(&path, &INPUTS, 300).hash();
    until("the second model", || bench.models().len() == 2);
    send(60);
    assert_eq!(bench.models()[1].1.as_ref(), Some(&second));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = bench.spawn(&[]);
    send(60);
    // Wrong ones, of which the first is no model at all.
    let right = fs::read(path.join("model.json")).unwrap();
    fs::write(path.join("model.json"), "{}").unwrap();
    signal(&child, "-HUP");
    send(40);
    trained(&path, &["amount_fen", "funds.nothing"], 300);
    signal(&child, "-HUP");
    send(40);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    fs::write(path.join("model.json"), right).unwrap();
    signal(&child, "-HUP");
    send(40);
    assert_eq!(bench.models().len(), 2, "none of them came into force");
    // With the rules it stands in one change.
    let rule = bench.rules().join("funds/many.toml");
    let text = fs::read_to_string(&rule).unwrap();
    trained(&path, &["amount_fen", ANOTHER], 200);
    fs::write(&rule, text.replace("score = 400", "score = 250")).unwrap();
    until("the third model", || bench.models().len() == 3);
    send(60);
    child.kill().unwrap();
    let (_, said) = ended(child);
    assert!(said.contains("going on from the snapshot"), "{said}");
    assert!(said.contains("not the artefact of a model"), "{said}");
    assert!(said.contains("not in the feature catalogue: funds.nothing"), "{said}");
    assert!(said.contains("rules and models on disk are refused, those before stay"), "{said}");
    let needs = format!("need what is not computed yet: {ANOTHER}");
    assert!(said.contains(&needs), "{said}");
    fs::remove_dir_all(bench.path("models")).unwrap();
    fs::remove_dir_all(bench.rules()).unwrap();
    bench.stream(&["--once"]);
    bench.check_models(360);
}

/// A stream does not begin with a model that does not fit, and says what a backtest says.
#[test]
fn a_wrong_model_is_refused_at_the_start_as_a_backtest_refuses_it() {
    let Some(bench) = Bench::new("model-wrong", 1) else { return };
    bench.send((0..5).map(|at| claim(at, 0)));
    bench.with_model("");
    let model = bench.path("models/night");
    let (rules, run) = (bench.rules(), bench.path("run"));
    let events = bench.path("events.jsonl");
    fs::write(&events, super::bench::claim_json("e", 0, 1, 1)).unwrap();
    let backtest = || {
        let mut command = super::hongxian();
        command.arg("backtest").arg(&events).arg("--out").arg(&run).args(["--lang", "en"]);
        command.arg("--rules").arg(&rules).arg("--model").arg(&model).output().unwrap()
    };
    let check = |wrong: &str| {
        let output = backtest();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(wrong), "{said}");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(bench.fails(&["--once"], 2), said);
    };
    check("cannot use the model");
    trained(&model, &["amount_fen", "funds.nothing"], 300);
    check("not in the feature catalogue: funds.nothing");
    fs::write(model.join("model.json"), "no").unwrap();
    check("not the artefact of a model");
    let columns = vec![
        Column::new("funds.t_count", (0..ROWS).map(|at| Some(at as f64)))
            .of_kind(Kind::Integer)
            .defined_by("0".repeat(64)),
    ];
    let times = (0..ROWS).map(|at| START + at * HOUR_MS).collect();
    let table = Table::new(columns, (0..ROWS).map(|at| at % 3 == 0).collect(), times).unwrap();
    let config: TrainConfig = serde_json::from_str(r#"{"model": {"kind": "tree"}}"#).unwrap();
    let identity = Identity { name: "other", catalogue_hash: "" };
    train(&table, &config, identity, Work::default()).unwrap().model.save(&model).unwrap();
    check("trained on other definitions of what it reads: funds.t_count");
    assert!(bench.committed("control").is_empty(), "no stream began");
}

/// The days of a stream have the model, and what a challenger says, as the run of a backtest has.
#[test]
fn days_have_what_the_model_and_its_challenger_say() {
    let Some(bench) = Bench::new("model-days", 1) else { return };
    let model = trained(&bench.path("models/night"), &INPUTS, 450);
    let other = trained(&bench.path("models/day"), &INPUTS, 200);
    bench.with_model("challenger = 'models/day'\n");
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), text + "[days]\ndir = 'days'\ninterval = '50ms'\n").unwrap();
    bench.send((0..200).map(|at| claim(at, 0)));
    let out = bench.path("run");
    bench.stream(&["--once", "--out", out.to_str().unwrap()]);
    let days = bench.path("days");
    let told = succeeds(super::hongxian().arg("verify").arg(&days).args(["--lang", "en"]));
    assert!(told.contains("every decision is the same"), "{told}");
    let mut all = fs::read_dir(&days).unwrap().map(|entry| entry.unwrap().path());
    let day = all.find(|path| path.join("run.toml").exists()).unwrap();
    let run: toml::Table = fs::read_to_string(day.join("run.toml")).unwrap().parse().unwrap();
    assert_eq!(run["model_hash"].as_str(), Some(&*model.hash()));
    assert_eq!(run["challenger_hash"].as_str(), Some(&*other.hash()));
    let mut rows = 0;
    for part in fs::read_dir(day.join("parts")).unwrap() {
        let found = read_parquet(&part.unwrap().path().join("challenger.parquet"));
        let ids = found.column_by_name("event_id").unwrap().as_string::<i32>();
        let scores = found.column_by_name("challenger_model_score").unwrap();
        let scores = scores.as_primitive::<Int64Type>();
        for (id, given) in ids.iter().zip(scores.values()) {
            let at: i64 = id.unwrap()[1..].parse().unwrap();
            assert_eq!(*given, score(&other, at), "e{at}");
            rows += 1;
        }
    }
    assert_eq!(rows, 200);
    assert_eq!(read_parquet(&out.join("challenger.parquet")).num_rows(), 200);
    bench.check_models(200);
}

/// A model that comes on the way took part: the day says so, for `diff` must not leave it out.
#[test]
fn a_day_says_that_a_model_came_on_the_way() {
    let Some(bench) = Bench::new("model-came", 1) else { return };
    let model = trained(&bench.path("models/night"), &INPUTS, 450);
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), text + "[days]\ndir = 'days'\ninterval = '50ms'\n").unwrap();
    bench.send((0..100).map(|at| claim(at, 0)));
    bench.stream(&["--once"]);
    let path = bench.path("models/night");
    bench.send((100..200).map(|at| claim(at, 0)));
    bench.stream(&["--once", "--model", path.to_str().unwrap()]);
    bench.check_models(200);
    let replayed = FinishedRun::open(&bench.path("replayed")).ok().unwrap();
    let days = FinishedRun::open(&bench.path("days")).ok().unwrap();
    for (run, hash) in [(replayed, None), (days, Some(model.hash()))] {
        assert!(run.has_model() && run.has_changes());
        assert_eq!(run.model_hash(), hash.as_deref());
    }
}
