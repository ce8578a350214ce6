//! Training: from a finished run and labels to a model with its card, for an analyst who must
//! defend it.
//!
//! The columns are features of the run as they were when each transaction was decided on, so that
//! nothing in them is of later. The rows are parted by time: training, the gap of the label delay,
//! test; a label counts in training only if it was known when the test began. What is chosen
//! between models is chosen on a validation part before the gap; the test is looked at once, for
//! the figures.
//!
//! Memory: 8 bytes a value that takes part (rows from the first that trains to the last that tests,
//! times columns), as much again for the columns of the model, and 9 bytes a value of the rows that
//! train. A million rows of 200 columns are 1.6 GB, thus, and up to three times that while it trains.
//! Columns that the config leaves out and rows outside its times are never held.

mod bound;
mod classes;
mod config;
mod parts;
mod rows;
mod selection;
mod shown;
mod target;
mod trainers;
mod truth;
mod written;

use std::path::PathBuf;

use models::judge::{Figure, JudgeConfig, Judgement, Witness, judge};
use models::{
    Codes, Column, Identity, Kind, ModelKind, NullConfig, SplitFacts, Table, TrainConfig, Trained,
    Trainer, Warning, Work, raw_of,
};
use serde::Serialize;

pub use classes::{ClassesOutcome, classes, terminal as classes_terminal};
pub use config::{Config, Field, Judge, Moment, Split};
pub use shown::terminal;
pub use target::{Target, TargetSubject};
pub use truth::LabelFacts;

use self::config::DAY_MS;
use self::parts::Parts;
use self::rows::{Features, NONE, Named, Rows};
use self::selection::Selection;
use self::truth::Truth;
use crate::diagnostic::{Diagnostic, Failure, Message, Sources};
use crate::document::Reader;
use crate::expr::Zone;
use crate::finished::FinishedRun;
use crate::judge::Labels;

/// The most values of a text that becomes columns: each is a column of its own.
const CODED_MAX: usize = 24;

/// What is trained from what.
pub struct Request<'r> {
    /// The run whose features are learnt from.
    pub run: &'r FinishedRun,
    /// What was found true.
    pub labels: &'r Labels,
    /// The hash of the labels file, which the card names.
    pub labels_hash: String,
    /// The config, its file and the text of that, in which mistakes are shown.
    pub config: Config,
    /// The file.
    pub config_file: PathBuf,
    /// Its text.
    pub config_text: String,
    /// The name of the model.
    pub name: String,
    /// Threads to train with; they change nothing.
    pub threads: usize,
}

/// Told how far it is.
#[derive(Clone, Copy)]
pub struct Steps<'s> {
    /// Told what is done, and how many of how many.
    pub tell: &'s (dyn Fn(&str, usize, usize) + Sync),
}

/// How a model did on the validation part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// What it is.
    pub model: Trainer,
    /// Rows that validated it.
    pub rows: usize,
    /// Of these, frauds.
    pub positive: usize,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Average precision, by which one is chosen.
    pub average_precision: Option<f64>,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// One row of the test with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The transaction.
    pub event_id: String,
    /// Whether it is fraud.
    pub fraud: bool,
    /// From 0 to 1000.
    pub score: i64,
    /// In the units of the model: it ranks more finely.
    pub raw: i64,
}

/// A model and all that is shown of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ModelKind,
    /// The hash of the artefact.
    pub model_hash: String,
    /// The digest of the run.
    pub run_digest: String,
    /// The zone of days and dates.
    pub time_zone: String,
    /// Transactions of the run.
    pub transactions: usize,
    /// Columns that were offered to the training.
    pub columns: usize,
    /// Columns that the model reads.
    pub inputs: usize,
    /// Text features that a pattern matched and that were left out.
    pub texts_left_out: Vec<String>,
    /// Features that hang on earlier decisions, which no model reads.
    pub of_decisions_left_out: Vec<String>,
    /// What the labels said.
    pub labels: LabelFacts,
    /// How the rows were divided.
    pub split: SplitFacts,
    /// Rows of the test left out because their account was known for fraud.
    pub known_rows: usize,
    /// What was chosen between, if anything was.
    pub candidates: Vec<Candidate>,
    /// What was noticed about columns.
    pub warnings: Vec<Warning>,
    /// The figures on the test.
    pub judgement: Judgement,
    /// The model.
    #[serde(skip)]
    pub model: models::Model,
    /// The config as it was used.
    #[serde(skip)]
    pub config_used: String,
    /// The rows of the test.
    #[serde(skip)]
    pub scored: Vec<Scored>,
}

/// Trains and judges a model.
///
/// # Errors
/// Mistakes in the config, labels that match nothing, parts that have one class or no rows: exit 2.
pub fn train(request: &Request<'_>, steps: Steps<'_>) -> Result<Outcome, Failure> {
    let run = request.run;
    let mut config = request.config.clone();
    if request.labels.is_empty() {
        // There are none to wait for.
        config.split.label_delay = 0;
    }
    let zone = zone(run, &config);
    let mut selection = select(request)?;
    let catalogue = bound::features(run)?;
    let of_decisions = bound::leave_out_decisions(&mut selection, &catalogue);
    let all_times = rows::times(run)?;
    let parts = Parts::new(&config.split, &all_times, &zone)?;
    let places: Vec<usize> =
        (0..all_times.len()).filter(|at| parts.reads(all_times[*at])).collect();
    let transactions = all_times.len();
    drop(all_times);
    let mut rows = rows::rows(run, places, selection.group_field, &steps)?;
    let truth = Truth::new(request.labels, &rows, config.account_labels, parts.label_delay);
    check_matched(request, &truth.facts)?;
    let features = rows::features(run, &mut rows, &selection, &steps)?;
    let mut columns = columns(request, features, &rows, &parts, &selection)?;
    bound::define(&mut columns, &catalogue)?;
    let offered = columns.len();
    let work = Work { threads: request.threads.max(1), progress: steps.tell };
    let groups = groups(&rows, &config);
    let table = table(columns, &truth, &rows, groups, parts.test_from)?;
    let (table, candidates) = choose(request, table, (&truth, &rows), &parts, work)?;
    let chosen = candidates.iter().position(|candidate| candidate.chosen).unwrap_or(0);
    let is_anomaly = matches!(config.models[chosen], Trainer::Isolation(_));
    if is_anomaly {
        // How odd a row is has nothing to calibrate: the rows train.
        config.split.calibration_share = 0.0;
        config.calibration.method = models::Method::None;
    }
    let train_config = TrainConfig {
        model: config.models[chosen].clone(),
        seed: config.seed,
        split: parts.split_config(&config.split),
        nulls: null_config(&config),
        calibration: models::CalibrationConfig {
            scale: if is_anomaly { models::Scale::Anomaly } else { config.calibration.scale },
            ..config.calibration
        },
    };
    let catalogue_hash = catalogue.catalogue_hash();
    let identity = Identity { name: &request.name, catalogue_hash: &catalogue_hash };
    let mut trained = models::train(&table, &train_config, identity, work)
        .map_err(|error| parts.failure(error, &zone))?;
    trained.split.facts.outside_rows += transactions - rows.ids.len();
    let known_rows = match config.judge.leave_out_known {
        true => leave_out_known(&mut trained, &truth, &rows, &parts, &zone),
        false => 0,
    };
    let mut facts = truth.facts.clone();
    facts.not_yet_known = not_yet_known(&trained, &truth, parts.test_from);
    let judgement = judged(request, &trained, &table, (&truth, &rows), (&parts, &zone), work);
    let data = data(request, &rows, &zone);
    trained.keep_facts(&data, &train_config, judgement.clone());
    let used = parts.used(&config.split);
    let model = trained.model.clone();
    Ok(Outcome {
        name: request.name.clone(),
        kind: model.kind(),
        model_hash: model.hash(),
        run_digest: run.decisions_digest().to_owned(),
        time_zone: zone.name().to_owned(),
        transactions,
        columns: offered,
        inputs: model.inputs().len(),
        texts_left_out: selection.texts,
        of_decisions_left_out: of_decisions,
        labels: facts,
        split: trained.split.facts.clone(),
        known_rows,
        candidates,
        warnings: trained.warnings.clone(),
        judgement,
        config_used: written::config(&config, &used, &zone),
        scored: scored(&trained, &table, &rows),
        model,
    })
}

fn zone(run: &FinishedRun, config: &Config) -> Zone {
    let own = config.time_zone.as_deref().and_then(Zone::new);
    own.or_else(|| Zone::new(run.zone().name())).expect("a run has a zone that there is")
}

/// The columns that the config takes, or its mistakes about them.
fn select(request: &Request<'_>) -> Result<Selection, Failure> {
    let features = request.run.feature_types()?;
    let mut reader = Reader::new(&request.config_file, &request.config_text);
    let selection = Selection::new(&request.config, &features, &mut reader);
    let wrong = reader.finish();
    if !wrong.is_empty() {
        return Err(mistakes(request, wrong));
    }
    if selection.numbers.is_empty() && selection.coded.is_empty() && selection.fields.is_empty() {
        return Err(usage(
            "features.include and features.exclude leave no feature to learn from",
            "features.include 与 features.exclude 之后没有可用特征",
        ));
    }
    Ok(selection)
}

fn mistakes(request: &Request<'_>, wrong: Vec<Diagnostic>) -> Failure {
    let mut sources = Sources::default();
    sources.add(&request.config_file, &request.config_text);
    Failure::Input(wrong, sources)
}

fn check_matched(request: &Request<'_>, facts: &LabelFacts) -> Result<(), Failure> {
    let directory = request.run.directory().display();
    if facts.fraud + facts.honest > 0 || request.labels.is_empty() {
        return Ok(());
    }
    let (events, rows) = (facts.events, facts.rows);
    if events == 0 && !request.config.account_labels {
        return Err(usage(
            "the labels file labels no event; where accounts are labelled, say `accounts = true` \
             in the config's [labels]",
            "标签文件没有交易标签；若标注的是账户，请在配置的 [labels] 中写 `accounts = true`",
        ));
    }
    let examples = facts.events_unmatched_examples.join(", ");
    let all = events + facts.accounts;
    Err(usage(
        format!(
            "none of the {all} labels matches one of the {rows} transactions of {directory} that \
             take part (labels are of {examples} ..): are they of another run?"
        ),
        format!(
            "{all} 个标签均未匹配 {directory} 中参与训练的 {rows} 笔交易（标签如 {examples}）：是否属于另一次运行？"
        ),
    ))
}

/// All columns: numbers, then the values of texts that occur in the rows that train.
fn columns(
    request: &Request<'_>,
    features: Features,
    rows: &Rows,
    parts: &Parts,
    selection: &Selection,
) -> Result<Vec<Column>, Failure> {
    let mut columns = features.columns;
    let trains: Vec<usize> =
        (0..rows.ids.len()).filter(|at| parts.trains(rows.times[*at])).collect();
    if selection.fields.contains(&Field::Kind) {
        columns.extend(coded("kind", &rows.kinds, &trains));
    }
    for (name, named) in &features.coded {
        let own = coded(name, named, &trains);
        if own.len() <= CODED_MAX {
            columns.extend(own);
            continue;
        }
        let mut reader = Reader::new(&request.config_file, &request.config_text);
        let text = request.config.coded.iter().find(|text| text.get_ref() == name);
        let message = Message::new(
            format!("`{name}` has {} values; at most {CODED_MAX} become columns", own.len()),
            format!("`{name}` 有 {} 个取值；最多 {CODED_MAX} 个可成为列", own.len()),
        );
        reader.fail("too-many-values", text.map_or(0..0, |text| text.span()), message, None);
        return Err(mistakes(request, reader.finish()));
    }
    Ok(columns)
}

/// A column a value that occurs in the rows that train, in the order of the values: 1 where a row
/// has it, missing where it has none.
fn coded(name: &str, named: &Named, trains: &[usize]) -> Vec<Column> {
    let mut occurs = vec![false; named.names.len()];
    for row in trains {
        if let Some(occurs) = occurs.get_mut(named.of_row[*row] as usize) {
            *occurs = true;
        }
    }
    let mut codes: Vec<usize> = (0..occurs.len()).filter(|code| occurs[*code]).collect();
    codes.sort_by(|a, b| named.names[*a].cmp(&named.names[*b]));
    let column = |code: usize| {
        let of = |held: &u32| match *held {
            NONE => None,
            held => Some(f64::from(u8::from(held as usize == code))),
        };
        let title = format!("{name}={}", named.names[code]);
        Column::new(title, named.of_row.iter().map(of)).of_kind(Kind::Bool)
    };
    codes.into_iter().map(column).collect()
}

/// The groups by which rows are parted or drawn together: what `group_by` says, else the accounts.
fn groups(rows: &Rows, config: &Config) -> Codes {
    let named = if config.split.group_by.is_some() { &rows.groups } else { &rows.accounts };
    Codes::new((0..rows.ids.len()).map(|row| named.name(row)))
}

fn table(
    columns: Vec<Column>,
    truth: &Truth,
    rows: &Rows,
    groups: Codes,
    until: i64,
) -> Result<Table, Failure> {
    let positive = truth.as_of(until, i64::MAX, &rows.times);
    Table::new(columns, positive, rows.times.clone())
        .and_then(|table| table.with_groups(groups))
        .map_err(|error| usage(error.to_string(), error.to_string()))
}

fn null_config(config: &Config) -> NullConfig {
    let columns = config.nulls_of.iter().map(|(name, policy)| (name.get_ref().clone(), *policy));
    NullConfig { default: config.nulls, columns: columns.collect() }
}

/// Of several models, how each does on the validation part when it was trained on what was known
/// before; the first of the best is chosen.
fn choose(
    request: &Request<'_>,
    table: Table,
    (truth, rows): (&Truth, &Rows),
    parts: &Parts,
    work: Work<'_>,
) -> Result<(Table, Vec<Candidate>), Failure> {
    let config = &request.config;
    if config.models.len() < 2 {
        return Ok((table, Vec::new()));
    }
    let relabelled = |table: Table, until, end| {
        table.with_labels(truth.as_of(until, end, &rows.times)).expect("as many labels as before")
    };
    let table = relabelled(table, parts.validation_from, parts.test_from);
    let mut candidates: Vec<Candidate> = Vec::new();
    for model in &config.models {
        let train_config = TrainConfig {
            model: model.clone(),
            seed: config.seed,
            split: parts.validation_config(&config.split),
            nulls: null_config(config),
            calibration: models::CalibrationConfig {
                method: models::Method::None,
                ..config.calibration
            },
        };
        let identity = Identity { name: &request.name, catalogue_hash: "" };
        let trained = models::train(&table, &train_config, identity, work)
            .map_err(|error| parts.validation_failure(error))?;
        let validation = &trained.split.test;
        let raw = raw_of(&trained.model, &table, validation);
        let positive = table.labels_of(validation);
        candidates.push(Candidate {
            model: model.clone(),
            rows: validation.len(),
            positive: positive.iter().filter(|positive| **positive).count(),
            auc: models::judge::auc(&raw, &positive),
            average_precision: models::judge::average_precision(&raw, &positive),
            chosen: false,
        });
    }
    let reached = |at: usize| candidates[at].average_precision.unwrap_or(0.0);
    let best = (1..candidates.len())
        .fold(0, |best, at| if reached(at) > reached(best) { at } else { best });
    candidates[best].chosen = true;
    Ok((relabelled(table, parts.test_from, i64::MAX), candidates))
}

/// Takes rows out of the test whose account was known for a fraud before their day began.
fn leave_out_known(
    trained: &mut Trained,
    truth: &Truth,
    rows: &Rows,
    parts: &Parts,
    zone: &Zone,
) -> usize {
    let known = truth.accounts_known(rows, parts.train_from);
    let before = trained.split.test.len();
    trained.split.test.retain(|row| {
        let row = *row as usize;
        let known = known.get(rows.accounts.of_row[row] as usize);
        known.is_none_or(|known| *known >= zone.day_start(rows.times[row]))
    });
    let left = trained.split.test.len();
    let frauds = trained.split.test.iter();
    let frauds = frauds.filter(|row| truth.fraud_known[**row as usize].is_some()).count();
    if let Some(test) = trained.split.facts.parts.iter_mut().find(|part| part.name == "test") {
        (test.rows, test.positive) = (left, frauds);
    }
    trained.split.facts.outside_rows += before - left;
    before - left
}

fn not_yet_known(trained: &Trained, truth: &Truth, until: i64) -> usize {
    let rows = trained.split.train.iter().chain(&trained.split.calibration);
    let late = |row: &&u32| truth.fraud_known[**row as usize].is_some_and(|known| known > until);
    rows.filter(late).count()
}

fn judged(
    request: &Request<'_>,
    trained: &Trained,
    table: &Table,
    (truth, rows): (&Truth, &Rows),
    (parts, zone): (&Parts, &Zone),
    work: Work<'_>,
) -> Judgement {
    let config = &request.config.judge;
    let typology = |typology: &Option<u16>| {
        typology.map(|at| request.labels.typologies()[usize::from(at)].as_str())
    };
    let typologies = Codes::new(truth.typologies.iter().map(typology));
    let cards = ranks(&rows.accounts);
    let midnight = zone.day_start(parts.test_from);
    let judging = JudgeConfig {
        day: DAY_MS,
        day_offset: (-midnight).rem_euclid(DAY_MS),
        alerts_a_day: config.alerts_a_day.clone(),
        review_fen: config.review_fen,
        replicates: config.replicates,
        interval_by: config.interval_by,
        importance_repeats: config.importance_repeats,
        ..JudgeConfig::default()
    };
    let witness = Witness {
        amounts_fen: Some(&rows.amounts),
        cards: Some(&cards),
        typologies: Some(&typologies),
    };
    judge(trained, table, witness, &judging, request.config.seed, work)
}

/// A number a row that is ordered as the accounts are: shorter names first, so that numbered ones
/// stand in the order of their numbers.
fn ranks(accounts: &Named) -> Vec<u64> {
    let mut order: Vec<usize> = (0..accounts.names.len()).collect();
    order.sort_by_key(|at| (accounts.names[*at].len(), &accounts.names[*at]));
    let mut ranks = vec![0; order.len()];
    order.iter().zip(0..).for_each(|(at, rank)| ranks[*at] = rank);
    let rank = |code: &u32| ranks.get(*code as usize).copied().unwrap_or(u64::MAX);
    accounts.of_row.iter().map(rank).collect()
}

/// What the rows were, for the card.
fn data(request: &Request<'_>, rows: &Rows, zone: &Zone) -> String {
    let run = request.run;
    let time = |time: Option<&i64>| time.map_or(String::new(), |time| zone.moment(*time));
    format!(
        "run with decisions {}, rules {}, labels {}; {} transactions from {} to {}",
        run.decisions_digest(),
        run.rules_hash(),
        request.labels_hash,
        rows.ids.len(),
        time(rows.times.iter().min()),
        time(rows.times.iter().max()),
    )
}

fn scored(trained: &Trained, table: &Table, rows: &Rows) -> Vec<Scored> {
    let raw = raw_of(&trained.model, table, &trained.split.test);
    let one = |(row, raw): (&u32, i64)| Scored {
        event_id: rows.ids[*row as usize].to_string(),
        fraud: table.positive()[*row as usize],
        score: trained.model.levels().score(raw),
        raw,
    };
    trained.split.test.iter().zip(raw).map(one).collect()
}

fn usage(en: impl Into<String>, zh: impl Into<String>) -> Failure {
    Failure::Usage(Message::new(en, zh))
}

/// A file of the run that cannot be right.
fn failed(run: &FinishedRun, problem: &str) -> Failure {
    let path = run.directory().join("features.parquet");
    let path = path.display();
    usage(format!("cannot read {path}: {problem}"), format!("无法读取 {path}：{problem}"))
}

/// A figure and its interval, as they are shown.
fn interval(figure: Option<Figure>) -> [String; 3] {
    figure.map_or([(); 3].map(|()| "-".to_owned()), |figure| {
        [figure.value, figure.low, figure.high].map(|value| format!("{value:.3}"))
    })
}
