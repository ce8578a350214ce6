//! What a rule would do on the events of a run with its parameters set to other values.
//!
//! Each setting is a rules directory of its own, so that what is said of it is what [`mod@crate::diff`]
//! and a backtest say of that directory. Where stored features are enough all settings are scored in
//! one pass over them; else everything is decided again for each.

mod settings;
mod shown;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table, value};

pub use self::shown::terminal;

use self::settings::{Swept, shown, values, written};
use crate::dataflow::Options;
use crate::diagnostic::{Failure, Lang, Message, did_you_mean_hint};
use crate::diff::{self, Change, Obstacle, Side, check_whole, decide_again, obstacle, rescore};
use crate::expr::{Constant, Unit};
use crate::finished::FinishedRun;
use crate::judge::Tally;
use crate::rules::file::{RuleFile, SCORE_MAX, Status};
use crate::rules::{self, Loaded};
use crate::source::Progress;

/// Settings of one sweep: each decides on everything, and nobody reads a longer table.
const SETTINGS_MAX: usize = 200;
/// Settings that are scored in one pass, whose judges are in memory together.
const PASS_SETTINGS_MAX: usize = 32;
/// What a hit adds to the score: swept like a parameter, unless the rule has one of this name.
const SCORE: &str = "score";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The rule.
    pub rule: String,
    /// Its parameters, each with its values as text; none: some around the one that stands. Of
    /// several parameters every combination is a setting.
    pub params: Vec<(String, Option<String>)>,
    /// The rules directory; none: that of the run.
    pub rules: Option<PathBuf>,
}

/// A rule at several settings.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The rule.
    pub rule: String,
    /// Whether it decides as it stands. A rule that does not is swept as if it did.
    pub live: bool,
    /// `rescored` from stored features, or `decided_again`.
    pub method: &'static str,
    /// Why stored features were not enough; empty where they were.
    pub because: String,
    #[serde(skip)]
    because_zh: String,
    /// The field by which a swept parameter has other values too, which stay as they are.
    pub also_by: Option<String>,
    /// Transactions of the run.
    pub transactions: u64,
    /// What was decided in the run.
    pub run: Outcome,
    /// What would be at each setting, the last parameter changing first.
    pub settings: Vec<Setting>,
}

/// One setting, and what comes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// The parameters.
    pub params: Vec<Value>,
    /// Whether they are as they stand in the rule's file.
    pub stands: bool,
    /// The hash of the rules with them.
    pub rules_hash: String,
    /// The transactions that the rule hits, beside the run.
    pub hits: Change,
    /// Decisions other than allow, beside the run.
    pub alerts: Change,
    /// Transactions with another decision than in the run.
    pub changed: u64,
    /// How good it is.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A parameter at a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// Its value as a rule's file has it.
    pub value: String,
    #[serde(skip)]
    value_zh: String,
}

/// How good decisions are, of all and by labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Held or blocked.
    pub stopped: Tally,
    /// By event labels; none without any.
    pub events: Option<Figures>,
    /// By account labels; none without any.
    pub accounts: Option<Figures>,
}

/// What the labels of one kind say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The share of the rule's hits that are fraud.
    pub rule_precision: Option<f64>,
    /// Frauds that would have no alert without the rule.
    pub rule_marginal: u64,
    /// Honest transactions that would have none.
    pub rule_marginal_honest: u64,
    /// The share of alerts that are fraud.
    pub precision: Option<f64>,
    /// The share of fraud that is alerted.
    pub recall: Option<f64>,
    /// Their harmonic mean.
    pub f1: Option<f64>,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// Fraud that is held or blocked.
    pub fraud_stopped: Tally,
    /// What is honest, and held or blocked.
    pub honest_stopped: Tally,
    /// Accounts with fraud and an alert.
    pub fraud_accounts_alerted: u64,
    /// Accounts with an alert, all of whose transactions are honest.
    pub honest_accounts_alerted: u64,
    /// Of these with a hold or block.
    pub honest_accounts_stopped: u64,
}

/// Scores a rule of a run at several settings. `work` is an empty directory that is gone afterwards.
///
/// # Errors
/// When there is no such rule, parameter or value, or the rules are wrong (exit 2); as
/// [`diff`](crate::diff::diff).
pub fn sweep(
    run: &FinishedRun,
    request: &Request,
    work: &Path,
    options: Options,
    (progress, interrupted): (&dyn Progress, Arc<AtomicBool>),
) -> Result<Sweep, Failure> {
    check_whole(run)?;
    let schema = Arc::new(run.schema()?);
    let base = request.rules.as_deref().or(run.rules()).ok_or_else(|| {
        usage(
            "the run has no rules directory: say which by --rules",
            "该运行没有规则目录:请用 --rules 指定",
        )
    })?;
    let loaded = rules::load(Some(base), &schema)?;
    let rule = find(&loaded, &request.rule, base)?;
    let swept: Vec<(Swept, Vec<Constant>)> = request
        .params
        .iter()
        .map(|(name, given)| axis(rule, name, given))
        .collect::<Result<_, _>>()?;
    let combined = combine(&swept)?;
    let mut places = Vec::new();
    for (at, setting) in combined.iter().enumerate() {
        places.push(directory(base, rule, &swept, setting, &work.join(at.to_string()))?);
    }
    let news: Vec<Loaded> =
        places.iter().map(|place| rules::load(Some(place), &schema)).collect::<Result<_, _>>()?;
    let hashes: Vec<String> = news.iter().map(|new| new.rules.hash.to_hex().to_string()).collect();
    let obstacle = news.first().map(|new| obstacle(run, new, &places[0])).transpose()?.flatten();
    let sides = match &obstacle {
        None => rescore_all(run, news, options.workers, progress)?,
        Some(_) => {
            let again = |(at, place): (usize, &PathBuf)| {
                let out = work.join(format!("run-{at}"));
                let side = decide_again(run, place, &out, options, (progress, interrupted.clone()));
                // Only one of them need be on disk.
                let _ = fs::remove_dir_all(&out);
                side
            };
            places.iter().enumerate().map(again).collect::<Result<Vec<_>, _>>()?
        }
    };
    let Message { en, zh } = obstacle.map_or(Message::new("", ""), |Obstacle(why)| why);
    let by = |(swept, _): &(Swept, _)| rule.params.values.get(&swept.name)?.by.as_ref();
    let mut transactions = 0;
    let mut settings = Vec::new();
    for ((side, rules_hash), values) in sides.into_iter().zip(hashes).zip(combined) {
        let stands = values.iter().zip(&swept).all(|(value, (swept, _))| *value == swept.now);
        let compared = side.tally.finish();
        transactions = compared.transactions;
        let own = compared.rules.iter().find(|one| one.rule == rule.id);
        settings.push(Setting {
            params: values
                .iter()
                .zip(&swept)
                .map(|(value, (swept, _))| told(swept, value))
                .collect(),
            stands,
            rules_hash,
            hits: own.map(|one| one.hits).unwrap_or_default(),
            alerts: compared.alerts,
            changed: compared.changed,
            outcome: Outcome::of(&diff::as_json(run, &side.judgement)?, &rule.id),
        });
    }
    let judged = run.metrics().get("judgement");
    Ok(Sweep {
        rule: rule.id.clone(),
        live: rule.status == Status::Live,
        method: if en.is_empty() { diff::RESCORED } else { diff::DECIDED_AGAIN },
        because: en,
        because_zh: zh,
        also_by: swept.iter().find_map(by).map(|(field, _)| field.clone()),
        transactions,
        run: judged.map(|judged| Outcome::of(judged, &rule.id)).unwrap_or_default(),
        settings,
    })
}

/// Scores all sets of rules, so many at a time.
fn rescore_all(
    run: &FinishedRun,
    news: Vec<Loaded>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Vec<Side>, Failure> {
    let events = run.events(progress)?;
    let mut sides = Vec::new();
    let mut left = news.into_iter().peekable();
    while left.peek().is_some() {
        let pass: Vec<Loaded> = left.by_ref().take(PASS_SETTINGS_MAX).collect();
        sides.extend(rescore(run, &events, pass, threads, progress)?);
    }
    Ok(sides)
}

/// The rule of that id.
fn find<'r>(loaded: &'r Loaded, id: &str, base: &Path) -> Result<&'r RuleFile, Failure> {
    let files = || loaded.rules.rules.iter().map(|rule| &rule.file);
    files().find(|file| file.id == id).ok_or_else(|| {
        let near = did_you_mean_hint(id, files().map(|file| file.id.as_str()));
        let (en, zh) = near.map_or_else(Default::default, |near| {
            (format!("; {}", near.en), format!("；{}", near.zh))
        });
        let place = base.display();
        usage(
            format!("there is no rule `{id}` in {place}{en}"),
            format!("{place} 中没有规则 `{id}`{zh}"),
        )
    })
}

/// A parameter of a rule, with the values that it takes.
fn axis(
    rule: &RuleFile,
    name: &str,
    given: &Option<String>,
) -> Result<(Swept, Vec<Constant>), Failure> {
    let name = name.to_owned();
    let swept = match rule.params.values.get(&name) {
        Some(param) => Swept { name, now: param.default.clone(), unit: param.unit },
        None if name == SCORE => Swept { name, now: Constant::Int(rule.score), unit: Unit::None },
        None => {
            let known = rule.params.values.keys().map(String::as_str).chain([SCORE]);
            let known: Vec<&str> = known.collect();
            let (id, known) = (&rule.id, known.join(", "));
            return Err(usage(
                format!("the rule `{id}` has no parameter `{name}`: there are {known}"),
                format!("规则 `{id}` 没有参数 `{name}`:可用的有 {known}"),
            ));
        }
    };
    let values = values(&swept, given.as_deref()).map_err(Failure::Usage)?;
    let beyond = |value: &&Constant| !matches!(value, Constant::Int(0..=SCORE_MAX));
    let is_score = !rule.params.values.contains_key(&swept.name);
    if let Some(beyond) = values.iter().find(beyond).filter(|_| is_score) {
        let score = shown(beyond, swept.unit, Lang::En);
        return Err(usage(
            format!("a rule's score is from 0 to {SCORE_MAX}, not {score}"),
            format!("规则分数须在 0 到 {SCORE_MAX} 之间,不能为 {score}"),
        ));
    }
    Ok((swept, values))
}

/// Every combination of values.
fn combine(swept: &[(Swept, Vec<Constant>)]) -> Result<Vec<Vec<Constant>>, Failure> {
    let count =
        swept.iter().try_fold(1_usize, |count, (_, values)| count.checked_mul(values.len()));
    if count.is_none_or(|count| count > SETTINGS_MAX) {
        let counts: Vec<String> =
            swept.iter().map(|(_, values)| values.len().to_string()).collect();
        let counts = counts.join(" x ");
        return Err(usage(
            format!("{counts} settings are more than {SETTINGS_MAX}: sweep fewer values"),
            format!("{counts} 种取值组合超过 {SETTINGS_MAX}:请减少取值"),
        ));
    }
    let mut combined = vec![Vec::new()];
    for (_, values) in swept {
        let longer = |held: &Vec<Constant>| -> Vec<Vec<Constant>> {
            values
                .iter()
                .map(|value| [held.as_slice(), std::slice::from_ref(value)].concat())
                .collect()
        };
        combined = combined.iter().flat_map(longer).collect();
    }
    Ok(combined)
}

/// The rules directory `base` with a rule at a setting, below `work`. What stands beside `base` stands
/// beside it too, for `features.toml` may name a model there.
fn directory(
    base: &Path,
    rule: &RuleFile,
    swept: &[(Swept, Vec<Constant>)],
    setting: &[Constant],
    work: &Path,
) -> Result<PathBuf, Failure> {
    let whole = base.canonicalize().map_err(|error| environment(base, &error))?;
    let name = whole.file_name().unwrap_or("rules".as_ref()).to_owned();
    let place = work.join(&name);
    copy(base, &place)?;
    for entry in fs::read_dir(whole.parent().unwrap_or(&whole)).into_iter().flatten().flatten() {
        if entry.file_name() != name {
            link(&entry.path(), &work.join(entry.file_name()));
        }
    }
    // Links are not followed here: what they lead to is the analyst's own file.
    let own = rule.path.strip_prefix(base).expect("a rule's path begins with its directory");
    let file = place.join(own);
    let text = fs::read_to_string(&file).map_err(|error| environment(&file, &error))?;
    let mut document: DocumentMut = text.parse().expect("a rule that was read is TOML");
    for ((swept, _), setting) in swept.iter().zip(setting) {
        let table = match rule.params.values.contains_key(&swept.name) {
            true => document.entry("params").or_insert(Item::Table(Table::new())),
            false => document.as_item_mut(),
        };
        table[&swept.name] = value(written(setting, swept.unit));
    }
    if rule.status != Status::Live {
        document["status"] = value("live");
    }
    fs::write(&file, document.to_string()).map_err(|error| environment(&file, &error))?;
    Ok(place)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|error| environment(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| environment(from, &error))? {
        let entry = entry.map_err(|error| environment(from, &error))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).map_err(|error| environment(&from, &error))?;
        }
    }
    Ok(())
}

/// Where there are no such links, a model beside the rules is not found, and the rules say so.
fn link(from: &Path, to: &Path) {
    #[cfg(unix)]
    let _ = std::os::unix::fs::symlink(from, to);
    #[cfg(not(unix))]
    let _ = (from, to);
}

fn told(swept: &Swept, value: &Constant) -> Value {
    let [value, value_zh] = [Lang::En, Lang::Zh].map(|lang| shown(value, swept.unit, lang));
    Value { name: swept.name.clone(), value, value_zh }
}

impl Outcome {
    /// What `metrics.json` says of a run and of a rule in it.
    fn of(judgement: &serde_json::Value, rule: &str) -> Outcome {
        Outcome {
            stopped: stopped(judgement.get("decided")),
            events: Figures::of(judgement.pointer("/truth/events"), rule),
            accounts: Figures::of(judgement.pointer("/truth/accounts"), rule),
        }
    }
}

impl Figures {
    fn of(view: Option<&serde_json::Value>, rule: &str) -> Option<Figures> {
        let view = view.filter(|view| !view.is_null())?;
        let mut rules = view.get("rules")?.as_array()?.iter();
        let own = rules.find(|one| one.get("id").is_some_and(|id| id == rule));
        let of_rule = |name: &str| own?.get(name)?.as_u64();
        let share = |name: &str| view.get(name)?.as_f64();
        let accounts = |name: &str| view.pointer(&format!("/accounts/{name}"))?.as_u64();
        Some(Figures {
            rule_precision: own.and_then(|own| own.get("precision")?.as_f64()),
            rule_marginal: of_rule("marginal").unwrap_or(0),
            rule_marginal_honest: of_rule("marginal_honest").unwrap_or(0),
            precision: share("precision"),
            recall: share("recall"),
            f1: share("f1"),
            average_precision: share("average_precision"),
            fraud_stopped: stopped(view.get("fraud")),
            honest_stopped: stopped(view.get("honest")),
            fraud_accounts_alerted: accounts("fraud_alerted").unwrap_or(0),
            honest_accounts_alerted: accounts("honest_alerted").unwrap_or(0),
            honest_accounts_stopped: accounts("honest_stopped").unwrap_or(0),
        })
    }
}

/// What was held and blocked of a mix.
fn stopped(mix: Option<&serde_json::Value>) -> Tally {
    let of = |decision: &str| {
        let tally = mix.and_then(|mix| mix.get(decision));
        let field = |name: &str| tally.and_then(|tally| tally.get(name));
        Tally {
            count: field("count").and_then(serde_json::Value::as_u64).unwrap_or(0),
            fen: field("fen").and_then(serde_json::Value::as_i64).unwrap_or(0),
        }
    };
    of("hold").and(of("block"))
}

fn usage(en: impl Into<String>, zh: impl Into<String>) -> Failure {
    Failure::Usage(Message::new(en, zh))
}

fn environment(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure::Environment(Message::new(format!("{path}: {error}"), format!("{path}：{error}")))
}
