//! Models that score beside the rules, against the model itself on rows read back from the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use hongxian::diagnostic::{Failure, Lang};
use hongxian::event::Schema;
use hongxian::run::{self, Events, ModelPaths, Outcome, Request};
use hongxian::{rules, sink};
use models::{
    Classes, Column, Identity, Kind, Model, Table, TrainConfig, Work, train, train_classes,
};
use serde_json::Value;

use crate::digest::read_parquet;
use crate::support::{START, options};

mod logs;

const FEATURES: &str = "
[behaviour.claims_1h]
over = ['claim']
key = ['account_id']
agg = 'count'
window = '1h'

[behaviour.large]
expr = 'amount_fen > 6000 && behaviour.claims_1h > 2'

[funds.mean_1d]
over = ['claim']
key = ['account_id']
agg = 'mean'
window = '1d'
include_current = false
";

const RULES: [(&str, &str); 3] = [
    ("large", "when = 'amount_fen >= 8500'\nscore = 400"),
    ("known", "when = \"account_id == 'u1'\"\neffect = 'allow'"),
    ("never", "when = \"account_id == 'u2'\"\nscore = 0\nfloor = 'block'"),
];

/// What the models of these tests read: a field, a coded field, declared features of each kind, and
/// built-in ones that no rule uses: a text's, a keeper's, a cluster's.
const INPUTS: [(&str, Kind); 8] = [
    ("amount_fen", Kind::Integer),
    ("group_id=g1", Kind::Bool),
    ("behaviour.claims_1h", Kind::Integer),
    ("behaviour.large", Kind::Bool),
    ("funds.mean_1d", Kind::Double),
    ("devices.cluster_accounts", Kind::Integer),
    ("funds.payee.groups_24h", Kind::Integer),
    ("social.tie.groups_30d", Kind::Integer),
];

/// What the model of amounts reads.
const AMOUNT_INPUTS: [(&str, Kind); 3] = [
    ("amount_fen", Kind::Integer),
    ("behaviour.claims_1h", Kind::Integer),
    ("funds.mean_1d", Kind::Double),
];

const ACCOUNTS: u64 = 12;
const CLAIMS: u64 = 900;

/// Claims of a fixed sequence of numbers.
struct Claims(Vec<(i64, u64, u64, i64)>);

impl Claims {
    fn new() -> Claims {
        let mut state = 7_u64;
        let mut below = move |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        let claim = |at: u64| {
            let time = START + at as i64 * 60_000 + below(60_000) as i64;
            (time, below(ACCOUNTS), below(3), below(10_000) as i64 + 1)
        };
        Claims((0..CLAIMS).map(claim).collect())
    }

    fn csv(&self) -> String {
        let mut csv = "event_id,event_time,kind,account_id,counterparty_id,group_id,packet_id,\
                       device_id,amount_fen\n"
            .to_owned();
        for (at, (time, account, group, fen)) in self.0.iter().enumerate() {
            let device = account / 3;
            csv.push_str(&format!(
                "e{at:04},{time},claim,u{account},s{group},g{group},p{at},d{device},{fen}\n"
            ));
        }
        csv
    }

    /// What is fraud: more than 60 yuan, by one account in three, at times.
    fn fraud(&self) -> Vec<bool> {
        let fraud = |(time, account, _, fen): &(i64, u64, u64, i64)| {
            *fen > 6_000 && account % 3 == 0 && time % 5 > 0
        };
        self.0.iter().map(fraud).collect()
    }
}

/// Events, rules, labels, and a run without a model from which one is trained.
struct Scene {
    directory: tempfile::TempDir,
    claims: Claims,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { directory: tempfile::tempdir().unwrap(), claims: Claims::new() };
        scene.write_rules(
            "rules",
            "[features]\ncolumns = 'all'\n[model]\nblend = 'max'\nat_least = 0\n",
        );
        fs::write(scene.path("events.csv"), scene.claims.csv()).unwrap();
        let mut labels = "subject_kind,subject_id,label,typology\n".to_owned();
        for (at, fraud) in scene.claims.fraud().into_iter().enumerate() {
            if fraud {
                labels.push_str(&format!("event,e{at:04},fraud,{}\n", ["a", "b"][at % 2]));
            }
        }
        fs::write(scene.path("labels.csv"), labels).unwrap();
        scene.run("plain", "rules", None, None, (2, 1_000, 64)).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_rules(&self, name: &str, policy: &str) {
        let directory = self.path(name);
        fs::create_dir_all(directory.join("funds")).unwrap();
        fs::write(directory.join("policy.toml"), policy).unwrap();
        fs::write(directory.join("features.toml"), FEATURES).unwrap();
        for (name, body) in RULES {
            let text = format!(
                "title = '{name}'\nstatus = 'live'\non = ['claim']\n{body}\nreason = '{name}'\n"
            );
            fs::write(directory.join(format!("funds/{name}.toml")), text).unwrap();
        }
    }

    fn request(&self, out: &str, rules: &str, cut: (usize, i64, usize)) -> Request {
        Request {
            events: Events::Files { paths: vec![self.path("events.csv")], maps: Vec::new() },
            pseudonyms: None,
            labels: Some(self.path("labels.csv")),
            rules: Some(self.path(rules)),
            models: ModelPaths::default(),
            out: self.path(out),
            options: options(cut.0, cut.1, cut.2),
            warmup: 0,
            rejects_max: Some(0),
            sort_memory: hongxian::run::SORT_MEMORY,
            place: None,
        }
    }

    fn run(
        &self,
        out: &str,
        rules: &str,
        champion: Option<&str>,
        challenger: Option<&str>,
        cut: (usize, i64, usize),
    ) -> Result<Outcome, Failure> {
        let path = |name: Option<&str>| name.map(|name| self.path(name));
        let models = ModelPaths { champion: path(champion), challenger: path(challenger) };
        let request = Request { models, ..self.request(out, rules, cut) };
        run::run(&request, &(), Default::default())
    }

    /// The values of an input in each transaction, by plain code from what the run wrote.
    fn values(&self, name: &str) -> Vec<f64> {
        if name == "group_id=g1" {
            return self.claims.0.iter().map(|claim| f64::from(claim.2 == 1)).collect();
        }
        let file = if name == "amount_fen" { "decisions.parquet" } else { "features.parquet" };
        numbers(&read_parquet(&self.path("plain").join(file)), name)
    }

    /// Trains a model of a kind on the inputs from `first` on, and writes it into a directory.
    fn train(&self, out: &str, config: &str, first: usize) -> Model {
        let loaded = rules::load(Some(&self.path("rules")), &Arc::new(Schema::default()));
        let Ok(loaded) = loaded else { panic!("good rules") };
        let inputs = &INPUTS[first..];
        let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
        let definitions = loaded.features.definitions(&names).unwrap();
        let column = |((name, kind), definition): (&(&str, Kind), String)| {
            let values =
                self.values(name).into_iter().map(|value| Some(value).filter(|v| !v.is_nan()));
            Column::new(*name, values).of_kind(*kind).defined_by(definition)
        };
        let columns = inputs.iter().zip(definitions).map(column).collect();
        let times = self.claims.0.iter().map(|claim| claim.0).collect();
        let table = Table::new(columns, self.claims.fraud(), times).unwrap();
        let config: TrainConfig = serde_json::from_str(config).unwrap();
        let hash = loaded.features.catalogue_hash();
        let identity = Identity { name: out, catalogue_hash: &hash };
        let trained = train(&table, &config, identity, Work::default()).unwrap();
        trained.model.save(&self.path(out)).unwrap();
        trained.model
    }

    /// The claims as an input log; where it is.
    fn log(&self) -> PathBuf {
        let log = self.path("log");
        fs::create_dir_all(log.join("partitions")).unwrap();
        fs::write(log.join("log.toml"), "version = 1\npartitions = 1\n").unwrap();
        let csv = self.claims.csv();
        let mut lines = csv.lines();
        let names: Vec<&str> = lines.next().unwrap().split(',').collect();
        let record = |(offset, line): (usize, &str)| {
            let value = |(name, text): (&&str, &str)| match *name {
                "event_time" | "amount_fen" => format!("\"{name}\":{text}"),
                _ => format!("\"{name}\":\"{text}\""),
            };
            let values: Vec<String> = names.iter().zip(line.split(',')).map(value).collect();
            let time = self.claims.0[offset].0;
            let value = values.join(",");
            format!("{{\"offset\":{offset},\"append_time\":{time},\"value\":{{{value}}}}}\n")
        };
        let records: String = lines.enumerate().map(record).collect();
        fs::write(log.join("partitions/0.jsonl"), records).unwrap();
        log
    }

    /// Decides what is in the log, which begins with the forest.
    fn replay(&self, out: &str, cut: (usize, i64, usize)) -> Result<Outcome, Failure> {
        let request = Request {
            events: Events::Log { path: self.path("log"), lateness: None },
            models: ModelPaths { champion: Some(self.path("forest")), challenger: None },
            ..self.request(out, "rules", cut)
        };
        run::run(&request, &(), Default::default())
    }

    fn decisions(&self, out: &str) -> Vec<Value> {
        let mut stored = String::new();
        let batch = read_parquet(&self.path(out).join("decisions.parquet"));
        sink::lines::write(&batch, &mut stored).unwrap();
        stored.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let value = |row: usize| match column.data_type() {
        _ if column.is_null(row) => f64::NAN,
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
        DataType::Boolean => f64::from(column.as_boolean().value(row)),
        other => panic!("{name} is {other}"),
    };
    (0..batch.num_rows()).map(value).collect()
}

const FOREST: &str = r#"{"model": {"kind": "forest", "trees": 20}}"#;
const BOOSTING: &str = r#"{"model": {"kind": "boosting", "trees": 15}}"#;
const LOGISTIC: &str = r#"{"model": {"kind": "logistic"}}"#;

/// Which of three amounts a claim is of, learnt from what the run wrote.
fn amounts(scene: &Scene) -> Classes {
    let loaded = rules::load(Some(&scene.path("rules")), &Arc::new(Schema::default()));
    let Ok(loaded) = loaded else { panic!("good rules") };
    let (names, kinds): (Vec<&str>, Vec<Kind>) = AMOUNT_INPUTS.into_iter().unzip();
    let definitions = loaded.features.definitions(&names).unwrap();
    let columns = names.iter().zip(kinds).zip(definitions).map(|((name, kind), definition)| {
        let values = scene.values(name).into_iter().map(|v| Some(v).filter(|v| !v.is_nan()));
        Column::new(*name, values).of_kind(kind).defined_by(definition)
    });
    let times = scene.claims.0.iter().map(|claim| claim.0).collect();
    let table = Table::new(columns.collect(), vec![false; CLAIMS as usize], times).unwrap();
    let of_row: Vec<u32> =
        scene.claims.0.iter().map(|claim| (claim.3 / 3_334).min(2) as u32).collect();
    let classes = ["small", "middle", "large"].map(str::to_owned);
    let config: TrainConfig = serde_json::from_str(BOOSTING).unwrap();
    let identity = Identity { name: "amounts", catalogue_hash: "" };
    let trained =
        train_classes(table, (&classes, &of_row), &config, identity, Work::default()).unwrap();
    trained.classes.save("amounts", &scene.path("amounts")).unwrap();
    trained.classes
}

/// A model of classes and one of scores are features, which rules and other models read.
#[test]
fn a_model_gives_a_feature_that_rules_read_at_any_cut() {
    let scene = Scene::new();
    let (classes, model) = (amounts(&scene), scene.train("forest", FOREST, 0));
    let rules = scene.path("learnt");
    scene.write_rules("learnt", "[features]\ncolumns = 'used'\n");
    let learnt = "[funds.kind_of_amount]\nmodel = '../amounts'\ngives = 'class'\n\
                  [funds.sure]\nmodel = '../amounts'\n\
                  [funds.risk]\nmodel = '../forest/model.json'\n\
                  [funds.both]\nexpr = \"funds.kind_of_amount == 'large' && funds.risk > 500\"\n";
    fs::write(rules.join("features.toml"), format!("{FEATURES}{learnt}")).unwrap();
    let rule = "title = 't'\nstatus = 'live'\non = ['claim']\nwhen = 'funds.both'\nscore = 900\n\
                reason = '{funds.kind_of_amount} {funds.risk}'\n";
    fs::write(rules.join("funds/both.toml"), rule).unwrap();
    let cuts = [(1, 1_000, 10_000), (3, 7, 64)];
    let digests = cuts.map(|cut| {
        let outcome = scene.run(&format!("learnt{}", cut.0), "learnt", None, None, cut);
        outcome.unwrap_or_else(|f| panic!("{}", f.render(Lang::En, false))).facts.decisions_digest
    });
    assert_eq!(digests[0], digests[1]);

    let stored = read_parquet(&scene.path("learnt3/features.parquet"));
    let kinds = stored.column_by_name("funds.kind_of_amount").unwrap().as_string::<i32>().clone();
    let (sure, risk) = (numbers(&stored, "funds.sure"), numbers(&stored, "funds.risk"));
    let columns = AMOUNT_INPUTS.map(|(name, _)| scene.values(name));
    let (decisions, expected) = (scene.decisions("learnt3"), expected(&scene, &model));
    let mut hits = 0;
    for (at, decision) in decisions.iter().enumerate() {
        let (class, score) = classes.class(&columns.each_ref().map(|column| column[at]));
        let name = classes.names()[class].as_str();
        assert_eq!((kinds.value(at), sure[at]), (name, score as f64), "{at}");
        assert_eq!(risk[at], expected[at] as f64, "{at}");
        let reasons = decision["reasons"].as_array().unwrap();
        let own = reasons.iter().find(|reason| reason["rule"] == "both");
        let told = format!("{name} {}", expected[at]);
        let wanted = (name == "large" && expected[at] > 500).then_some(told);
        assert_eq!(own.map(|reason| reason["text"].as_str().unwrap().to_owned()), wanted);
        hits += usize::from(own.is_some());
    }
    assert!(hits > 20, "{hits} hits");

    // It is bound to what it reads, as a model that scores is.
    let refused = |features: &str| {
        fs::write(rules.join("features.toml"), format!("{features}{learnt}")).unwrap();
        rendered(scene.run("refused", "learnt", None, None, (1, 1, 1)))
    };
    let said = refused(&FEATURES.replace("'1h'", "'2h'"));
    assert!(said.contains("behaviour.claims_1h") && said.contains("otherwise than"), "{said}");
    let said = refused(&FEATURES.replace("mean_1d", "mean_day"));
    assert!(said.contains("not in the feature catalogue: funds.mean_1d"), "{said}");
    let said = refused("[funds.none]\nmodel = '../nothing'\n");
    assert!(said.contains("cannot use the model"), "{said}");
    let said = refused("[funds.none]\nmodel = '../forest'\ngives = 'class'\n");
    assert!(said.contains("no class"), "{said}");
}

/// The model's scores on the rows of the run, asked one by one.
fn expected(scene: &Scene, model: &Model) -> Vec<i64> {
    let columns: Vec<Vec<f64>> =
        model.inputs().iter().map(|input| scene.values(&input.name)).collect();
    let row = |at: usize| columns.iter().map(|column| column[at]).collect::<Vec<f64>>();
    (0..CLAIMS as usize).map(|at| model.score(&row(at))).collect()
}

fn int(decision: &Value, key: &str) -> i64 {
    decision[key].as_i64().unwrap_or_else(|| panic!("no {key} in {decision}"))
}

fn rendered(failure: Result<Outcome, Failure>) -> String {
    let Err(failure) = failure else { panic!("it ran") };
    assert_eq!(failure.exit_code(), 2);
    failure.render(Lang::En, false)
}

#[test]
fn scores_are_the_models_and_the_blend_is_the_policys_at_any_cut() {
    let scene = Scene::new();
    let model = scene.train("forest", FOREST, 0);
    let expected = expected(&scene, &model);
    assert!(expected.iter().any(|score| *score > 500), "it has learnt something");
    // No rule uses what the model reads, and the policy has only what rules use computed.
    let policy =
        "[features]\ncolumns = 'used'\n[model]\nblend = 'sum'\nweight = 50\nat_least = 9\n";
    scene.write_rules("used", policy);
    let cuts = [(1, 1_000, 10_000), (2, 5, 1), (3, 7, 64), (4, 1_000, 100), (8, 3_600_000, 999)];
    let outcomes: Vec<Outcome> = cuts
        .iter()
        .enumerate()
        .map(|(at, cut)| {
            let outcome = scene.run(&format!("run{at}"), "used", Some("forest"), None, *cut);
            outcome.unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)))
        })
        .collect();
    let digest = &outcomes[0].facts.decisions_digest;
    assert!(outcomes.iter().all(|one| one.facts.decisions_digest == *digest));
    assert_eq!(outcomes[0].facts.model_hash.as_deref(), Some(model.hash().as_str()));

    let decisions = scene.decisions("run2");
    assert_eq!(decisions.len(), expected.len());
    for (decision, expected) in decisions.iter().zip(&expected) {
        assert_eq!(int(decision, "model_score"), *expected);
        let counts = if *expected >= 9 { expected / 2 } else { 0 };
        let rule_score = if int(decision, "amount_fen") >= 8500 { 400 } else { 0 };
        let score = (rule_score + counts).min(1000);
        assert_eq!((int(decision, "rule_score"), int(decision, "score")), (rule_score, score));
        let band = match score {
            850.. => "block",
            600.. => "hold",
            300.. => "review",
            _ => "allow",
        };
        // An allow rule overrides the model too, and a floor of block holds.
        let verdict = match decision["account_id"].as_str().unwrap() {
            "u1" => "allow",
            "u2" => "block",
            _ => band,
        };
        assert_eq!(decision["decision"], verdict);
        assert_eq!(decision["model_hash"], model.hash());
    }
    let toml = fs::read_to_string(scene.path("run2").join("run.toml")).unwrap();
    assert!(toml.contains(&format!("model_hash = \"{}\"", model.hash())));
    let without = scene.decisions("plain");
    assert!(without.iter().all(|one| one["model_score"].is_null() && one["model_hash"].is_null()));
}

#[test]
fn reasons_add_up_and_tell_what_moved_the_model() {
    for (name, config) in [("boosting", BOOSTING), ("logistic", LOGISTIC)] {
        let scene = Scene::new();
        let model = scene.train(name, config, 0);
        scene.write_rules("max", "[model]\nblend = 'max'\nat_least = 0\n");
        scene
            .run("run", "max", Some(name), None, (2, 1_000, 64))
            .map(drop)
            .unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)));
        let columns: Vec<Vec<f64>> =
            model.inputs().iter().map(|input| scene.values(&input.name)).collect();
        let mut told = 0;
        for (at, decision) in scene.decisions("run").iter().enumerate() {
            let reasons = decision["reasons"].as_array().unwrap();
            let sum: i64 = reasons.iter().map(|reason| int(reason, "score")).sum();
            assert_eq!(sum, int(decision, "score"), "{decision}");
            let of_model = reasons.iter().find(|reason| reason["rule"] == "model");
            let adds = int(decision, "score") - int(decision, "rule_score");
            assert_eq!(of_model.map(|reason| int(reason, "score")), Some(adds).filter(|n| *n > 0));
            let Some(text) = of_model.map(|reason| reason["text"].as_str().unwrap()) else {
                continue;
            };
            let own = format!("model score {}", int(decision, "model_score"));
            if decision["decision"] == "allow" {
                assert_eq!(text, own);
                continue;
            }
            told += 1;
            let row: Vec<f64> = columns.iter().map(|column| column[at]).collect();
            let mut moved = model.explain(&row).contributions;
            moved.retain(|one| one.adds != 0);
            let all: i64 = moved.iter().map(|one| one.adds.abs()).sum();
            moved.sort_by_key(|one| (-one.adds.abs(), one.input));
            let shares: Vec<String> = moved
                .iter()
                .take(3)
                .map(|one| {
                    let sign = if one.adds > 0 { '+' } else { '-' };
                    let name = &model.inputs()[one.input].name;
                    format!("{name} {sign}{}%", 100 * one.adds.abs() / all)
                })
                .collect();
            let (start, list) = text.split_once(": ").unwrap();
            let told: Vec<String> = list
                .split(", ")
                .map(|one| {
                    let (name, rest) = one.split_once(" = ").unwrap();
                    let (_, share) = rest.rsplit_once(" (").unwrap();
                    format!("{name} {}", share.trim_end_matches(')'))
                })
                .collect();
            assert_eq!((start, told), (own.as_str(), shares));
        }
        assert!(told > 10, "{told} alerts of {name} have the model's reason");
    }
}

/// Whatever was decided, base and contributions add up to the raw score, from the stored row.
#[test]
fn explain_tells_what_moved_the_model_also_where_no_reason_does() {
    let scene = Scene::new();
    let model = scene.train("boosting", BOOSTING, 0);
    // The rules alone decide, so that no decision has a reason of the model.
    scene.write_rules("alone", "[model]\nblend = 'rules'\n");
    let outcome = scene.run("run", "alone", Some("boosting"), None, (2, 1_000, 64));
    outcome.map(drop).unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)));
    let asked = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_hongxian");
        let (run, en) = (scene.path("run"), "--lang=en");
        let [command, rest @ ..] = arguments else { panic!("no command") };
        Command::new(program).arg(command).arg(run).args(rest).arg(en).output().unwrap()
    };
    let told = |id: &str| -> Value {
        let done = asked(&["explain", id, "--json"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let columns: Vec<Vec<f64>> =
        model.inputs().iter().map(|input| scene.values(&input.name)).collect();
    let mut allowed = 0;
    for (at, decision) in scene.decisions("run").iter().enumerate().step_by(60) {
        let id = decision["event_id"].as_str().unwrap();
        allowed += usize::from(decision["decision"] == "allow");
        let explained = told(id);
        let moved = &explained["model"];
        let row: Vec<f64> = columns.iter().map(|column| column[at]).collect();
        let why = model.explain(&row);
        assert_eq!(int(moved, "score"), int(decision, "model_score"), "{id}");
        assert_eq!((int(moved, "raw"), int(moved, "base")), (model.raw(&row), why.bias), "{id}");
        let features = moved["features"].as_array().unwrap();
        let named: Vec<(&str, i64)> =
            features.iter().map(|one| (one["name"].as_str().unwrap(), int(one, "adds"))).collect();
        let strongest = why.strongest(10);
        let name = |input: usize| model.inputs()[input].name.as_str();
        let expected: Vec<(&str, i64)> =
            strongest.iter().map(|one| (name(one.input), one.adds)).collect();
        assert_eq!(named, expected, "{id}");
        let adds: i64 = named.iter().map(|(_, adds)| adds).sum();
        assert_eq!(int(moved, "base") + adds + int(moved, "others_add"), int(moved, "raw"));
        let of_amount = features.iter().find(|one| one["name"] == "amount_fen");
        let own = of_amount.map_or(decision["amount_fen"].clone(), |one| one["value"].clone());
        assert_eq!(own, decision["amount_fen"], "the value is that of the event");
    }
    assert!(allowed > 5, "{allowed} of those that were asked are allowed");

    let shown = String::from_utf8(asked(&["explain", "e0000"]).stdout).unwrap();
    assert!(shown.contains("what moved the model") && shown.contains("raw score"), "{shown}");
    let no_rule = asked(&["why-not", "e0000", "--rule=model"]);
    let said = String::from_utf8_lossy(&no_rule.stderr);
    assert_eq!(no_rule.status.code(), Some(2));
    assert!(said.contains("no rule that hits") && said.contains("hongxian explain"), "{said}");

    // Another model in its place is told, and nothing is made up from it.
    scene.train("boosting", LOGISTIC, 0);
    let explained = told("e0000");
    assert!(explained["model"].is_null(), "{explained}");
    let notes = explained["notes"].to_string();
    assert!(notes.contains("another model now") && notes.contains(&model.hash()), "{notes}");
    fs::remove_dir_all(scene.path("boosting")).unwrap();
    let notes = told("e0000")["notes"].to_string();
    assert!(notes.contains("what moved the model is not told"), "{notes}");
}

#[test]
fn a_challenger_is_compared_and_changes_nothing() {
    let scene = Scene::new();
    scene.train("champion", FOREST, 0);
    let challenger = scene.train("challenger", LOGISTIC, 2);
    let cut = (2, 1_000, 64);
    let alone = scene.run("alone", "rules", Some("champion"), None, cut).ok().unwrap();
    let both = scene.run("both", "rules", Some("champion"), Some("challenger"), cut).ok().unwrap();
    assert_eq!(alone.facts.decisions_digest, both.facts.decisions_digest);
    assert!(!scene.path("alone").join("challenger.parquet").exists());

    let found = read_parquet(&scene.path("both").join("challenger.parquet"));
    let scores: Vec<i64> =
        numbers(&found, "challenger_model_score").iter().map(|score| *score as i64).collect();
    assert_eq!(scores, expected(&scene, &challenger));
    let finals = numbers(&found, "challenger_score");
    let decisions = scene.decisions("both");
    for ((decision, own), found) in decisions.iter().zip(&scores).zip(finals) {
        assert_eq!(int(decision, "rule_score").max(*own), found as i64);
    }

    // The comparison against counts of what was written.
    let comparison = both.judgement.comparison.unwrap();
    let fraud = scene.claims.fraud();
    let names: Vec<&str> = comparison.ways.iter().map(|way| way.name).collect();
    assert_eq!(names, ["rules", "model", "both", "challenger"]);
    let alerts = |alert: &dyn Fn(&Value) -> bool| {
        let alerted = decisions.iter().zip(&fraud).filter(|(decision, _)| alert(decision));
        alerted.fold((0, 0), |(all, frauds), (_, fraud)| (all + 1, frauds + u64::from(*fraud)))
    };
    let way = |at: usize| {
        let way = &comparison.ways[at];
        (way.alerts.count, way.fraud.alerts().count)
    };
    assert_eq!(way(1), alerts(&|one| int(one, "model_score") >= 300));
    assert_eq!(way(2), alerts(&|one| one["decision"] != "allow"));
    let rules = |one: &Value| match one["account_id"].as_str().unwrap() {
        "u1" => false,
        "u2" => true,
        _ => int(one, "rule_score") >= 300,
    };
    assert_eq!(way(0), alerts(&rules));
    let common = comparison.common.unwrap();
    assert_eq!(common.both + common.champion_only, way(2).0);
    assert_eq!(common.both + common.challenger_only, way(3).0);
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_the_names_and_nothing_runs() {
    let scene = Scene::new();
    scene.train("forest", FOREST, 0);
    let rules = scene.path("other");
    let write = |features: &str| {
        scene.write_rules("other", "");
        fs::write(rules.join("features.toml"), features).unwrap();
    };
    let refused = || rendered(scene.run("refused", "other", Some("forest"), None, (1, 1, 1)));
    // A new feature beside them does not matter, nor does a word of documentation.
    write(&format!("{FEATURES}doc = 'mean'\n[funds.new]\nexpr = 'amount_fen'\n"));
    assert!(scene.run("fits", "other", Some("forest"), None, (1, 1_000, 64)).is_ok());

    write(&FEATURES.replace("'1h'", "'2h'"));
    let said = refused();
    assert!(said.contains("other definitions"), "{said}");
    assert!(said.contains("behaviour.claims_1h, behaviour.large"), "{said}");
    assert!(!said.contains("mean_1d"), "{said}");
    write(&FEATURES.replace("mean_1d", "mean_day"));
    let said = refused();
    assert!(said.contains("not in the feature catalogue: funds.mean_1d"), "{said}");
    write(&FEATURES.replace("agg = 'mean'", "agg = 'sum'"));
    let said = refused();
    assert!(said.contains("another type now: funds.mean_1d (int)"), "{said}");
    assert!(!scene.path("refused").exists(), "nothing ran");

    amounts(&scene);
    let classes = rendered(scene.run("refused", "rules", Some("amounts"), None, (1, 1, 1)));
    assert!(classes.contains("tells classes apart ("), "{classes}");
    assert!(classes.contains("middle") && classes.contains("gives = \"class\""), "{classes}");
    let none = rendered(scene.run("refused", "rules", Some("no-model"), None, (1, 1, 1)));
    assert!(none.contains("no-model"), "{none}");
    fs::write(scene.path("broken.json"), "{\"head\": 1}").unwrap();
    let broken = rendered(scene.run("refused", "rules", Some("broken.json"), None, (1, 1, 1)));
    assert!(broken.contains("not the artefact of a model"), "{broken}");
}

/// The file of a library with inputs named as features are, dots as underscores or not.
#[test]
fn an_onnx_model_reads_features_by_name() {
    let scene = Scene::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/oracle/logistic.onnx");
    let cut = (1, 1_000, 64);
    fs::copy(&file, scene.path("model.onnx")).unwrap();
    let said = rendered(scene.run("run", "rules", Some("model.onnx"), None, cut));
    assert!(said.contains("not in the feature catalogue: amount, count, gap"), "{said}");
    // Names of the same length, so that no length in the file changes.
    let mut bytes = fs::read(&file).unwrap();
    for (from, to) in [(&b"amount"[..], &b"f_amnt"[..]), (b"count", b"f_cnt"), (b"gap", b"f_g")] {
        let found: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
        found.iter().for_each(|at| bytes[*at..*at + to.len()].copy_from_slice(to));
    }
    fs::write(scene.path("named.onnx"), &bytes).unwrap();
    scene.write_rules("onnx", "[features]\ncolumns = 'used'\n");
    let more = "[f.amnt]\nexpr = 'amount_fen'\n[f.cnt]\nexpr = 'behaviour.claims_1h'\n\
                [f.g]\nexpr = 'funds.mean_1d ?? 0.0'\n";
    fs::write(scene.path("onnx/features.toml"), format!("{FEATURES}{more}")).unwrap();
    let outcome = scene.run("run", "onnx", Some("named.onnx"), None, cut);
    outcome.map(drop).unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)));
    let model = models::onnx::OnnxModel::from_bytes(&bytes).unwrap();
    let stored = read_parquet(&scene.path("run/features.parquet"));
    let columns = ["f.amnt", "f.cnt", "f.g"].map(|name| numbers(&stored, name));
    for (at, decision) in scene.decisions("run").iter().enumerate() {
        let row = [0, 1, 2].map(|input| columns[input][at]);
        assert_eq!(int(decision, "model_score"), model.score(&row).unwrap());
    }
}
