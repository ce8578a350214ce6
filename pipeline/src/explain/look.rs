//! From a run and an id to an explanation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clauses::{Bench, Told, Truth};
use super::facts::{self, Event};
use super::lists::listed;
use super::{About, Bands, Explanation, Hit, Miss, Operand, Transaction, Verdict, WhyNot};
use crate::decision;
use crate::diagnostic::{Failure, Lang, Message, did_you_mean_hint};
use crate::event::{COUNTERPARTY_ID, EVENT_TIME, Kind, Schema, TEXT, Value};
use crate::expr::{Constant, Names as _, NotEvaluable};
use crate::features::text::{Marked, Scratch, entries};
use crate::finished::{Events, FinishedRun, Record};
use crate::report::printable;
use crate::rules::{self, Loaded, Rule};
use crate::source::Progress;

/// Rules that did not hit and are told of.
const NEAREST_MAX: usize = 5;

/// Explains the decision on a transaction of a run, by the rules of the run or of a directory; if
/// that is wanted, with the witness of each rule that hit.
///
/// # Errors
/// When the run or the rules cannot be read, or there is no such transaction (usage, exit 2).
pub fn explain(
    run: &FinishedRun,
    event_id: &str,
    (directory, witness): (Option<&Path>, bool),
    lang: Lang,
    progress: &dyn Progress,
) -> Result<Explanation, Failure> {
    let read = read(run, event_id, directory, lang, progress)?;
    let bench = read.bench(run, lang);
    let mut explained = Explanation {
        event: facts::transaction(&read.event, run.zone()),
        decision: read.verdict(),
        notes: read.notes.clone(),
        finding: Some(read.record.outcome.clone()).filter(|found| !found.is_empty()),
        evidence: read.evidence(&bench),
        ..Explanation::default()
    };
    read.hits(&bench, &mut explained);
    read.misses(&bench, &mut explained);
    read.words(&mut explained);
    let (moved, untold) = read.moved(run, &bench);
    explained.model = moved;
    explained.notes.extend(untold);
    if witness {
        match read.witnesses(run, progress) {
            Ok(witnesses) => explained.witnesses = Some(witnesses),
            Err(stopped @ (Failure::Stopped | Failure::Interrupted)) => return Err(stopped),
            Err(failure) => explained.notes.push(no_witness(&failure, lang)),
        }
    }
    let (before, other) = facts::before(run, &read.record)?;
    explained.before = before;
    explained.sides = facts::sides(run, &read.record, &read.features, other)?;
    Ok(explained)
}

/// Tells how far a rule was from hitting on a transaction.
///
/// # Errors
/// As [`explain`], and when there is no such rule (usage, exit 2).
pub fn why_not(
    run: &FinishedRun,
    (event_id, id): (&str, &str),
    directory: Option<&Path>,
    lang: Lang,
    progress: &dyn Progress,
) -> Result<WhyNot, Failure> {
    let read = read(run, event_id, directory, lang, progress)?;
    let bench = read.bench(run, lang);
    let rules = &read.loaded.rules.rules;
    let Some(rule) = rules.iter().find(|rule| rule.file.id == id) else {
        return Err(match id {
            decision::MODEL => read.model_is_no_rule(run),
            id => no_rule(id, rules, &read),
        });
    };
    let Some(condition) = bench.tell(rule) else { return Err(no_rule(id, rules, &read)) };
    let kind = read.kind();
    let outcome = match condition.truth {
        _ if !rule.file.on.contains(kind) => "other_kind",
        Truth::Met if !rule.is_rolled_out(&bench.row) => "not_rolled_out",
        Truth::Met => "hit",
        Truth::Unmet => "miss",
        Truth::NotEvaluable => "not_evaluable",
    };
    Ok(WhyNot {
        event: facts::transaction(&read.event, run.zone()),
        decision: read.verdict(),
        outcome,
        runs: rule.file.status.runs(),
        on: rule.file.on.iter().map(Kind::name).collect(),
        rule: miss(rule, condition, lang),
        notes: read.notes.clone(),
    })
}

/// What is read of a run to explain one decision.
pub(super) struct Read {
    pub(super) record: Record,
    pub(super) events: Events,
    pub(super) event: Event,
    features: BTreeMap<String, Option<Constant>>,
    pub(super) loaded: Loaded,
    /// Where the rules are; none where they are not there.
    pub(super) directory: Option<PathBuf>,
    /// The values of features that the run did not record and the texts tell.
    texts: BTreeMap<String, Constant>,
    notes: Vec<String>,
}

fn read(
    run: &FinishedRun,
    event_id: &str,
    directory: Option<&Path>,
    lang: Lang,
    progress: &dyn Progress,
) -> Result<Read, Failure> {
    let record = run.record(event_id)?;
    let events = run.events(progress)?;
    let Some(record) = record else { return Err(facts::absent(&events, event_id, progress)) };
    let event = facts::event(&events, &record, progress)?;
    let features = run.feature_values(record.row)?;
    let mut notes: Vec<String> = again(&record, lang).into_iter().collect();
    let (directory, loaded) =
        load(run, &record, directory, events.ordered().schema(), lang, &mut notes)?;
    let texts = texts(&loaded, event.slice.chunk.str(TEXT, 0));
    let mut read = Read { record, events, event, features, loaded, directory, texts, notes };
    read.check(run, lang);
    Ok(read)
}

/// Says that the id was used again, where it was.
fn again(record: &Record, lang: Lang) -> Option<String> {
    let later = record.later;
    (later > 0).then(|| match lang {
        Lang::En => format!(
            "this id was used again after the dedup window: {later} later decision(s) on it are not shown"
        ),
        Lang::Zh => format!("该编号在去重窗口之后又被使用：其后的 {later} 条决策未显示"),
    })
}

/// The rules that are shown: those that are given, else those that decided, as far as they are
/// there.
fn load(
    run: &FinishedRun,
    record: &Record,
    given: Option<&Path>,
    schema: &Arc<Schema>,
    lang: Lang,
    notes: &mut Vec<String>,
) -> Result<(Option<PathBuf>, Loaded), Failure> {
    let directory = match given {
        Some(given) => Some(given.to_owned()),
        None => run.rules_of(&record.rules_hash),
    };
    let gone = directory.as_deref().filter(|path| given.is_none() && !path.is_dir());
    if let Some(gone) = gone {
        let gone = gone.display();
        let note = Message::new(
            format!(
                "the rules of this run are not there: {gone}, as seen from where the backtest was \
                 started; give --rules DIR to see their conditions. The bands shown are the defaults"
            ),
            format!(
                "该运行的规则目录不存在：{gone}（相对于回测启动目录）；用 --rules 指定目录可查看规则条件。所示分数线为默认值"
            ),
        );
        notes.push(note.text(lang).to_owned());
        return Ok((None, rules::load(None, schema)?));
    }
    let loaded = rules::load(directory.as_deref(), schema)?;
    let hash = loaded.rules.hash.to_hex().to_string();
    if hash != record.rules_hash {
        let shown = directory.as_deref().unwrap_or(Path::new("")).display();
        let then = &record.rules_hash;
        let note = Message::new(
            format!(
                "{shown} holds other rules than those that decided: rules {hash}, decided by \
                 {then}. Decision, reasons and evidence are as recorded; conditions, titles and what \
                 did not hit are as these rules say today"
            ),
            format!(
                "{shown} 中的规则与当时的规则不同：现为 {hash}，当时为 {then}。决策、理由与证据为当时记录；条件、标题与未命中情况按现有规则显示"
            ),
        );
        notes.push(note.text(lang).to_owned());
    }
    Ok((directory, loaded))
}

/// The text features of a text, by name.
fn texts(loaded: &Loaded, text: &str) -> BTreeMap<String, Constant> {
    let lexicon = &loaded.features.lexicon;
    let mut values = vec![0; lexicon.features()];
    lexicon.compute(text, &mut Scratch::default(), &mut values);
    let named = entries(lexicon).into_iter().zip(values).enumerate();
    let known = named.filter_map(|(at, (entry, value))| match lexicon.value(at, value) {
        Value::Int(value) => Some((entry.name, Constant::Int(value))),
        Value::Bool(value) => Some((entry.name, Constant::Bool(value))),
        _ => None,
    });
    known.collect()
}

impl Read {
    fn kind(&self) -> Kind {
        self.event.slice.chunk.kind(0)
    }

    fn bench<'b>(&'b self, run: &'b FinishedRun, lang: Lang) -> Bench<'b> {
        let names = self.loaded.catalogue.slot_names();
        let row = names.iter().map(|name| self.value(name)).collect();
        Bench { loaded: &self.loaded, row, lang, zone: run.zone() }
    }

    /// The value of a name: of a field as the event has it, of a feature as it was recorded.
    pub(super) fn value(&self, name: &str) -> Value<'_> {
        let chunk = &self.event.slice.chunk;
        if let Some(field) = chunk.schema().find(name) {
            return chunk.value(field, 0);
        }
        let named = |text| if str::is_empty(text) { Value::Null } else { Value::Str(text) };
        match name {
            "payer_id" => named(chunk.payer(0)),
            "payee_id" => named(chunk.payee(0)),
            "packet.outcome" => named(&self.record.outcome),
            _ => match self.features.get(name) {
                Some(value) => value.as_ref().map_or(Value::Null, Constant::value),
                None => self.texts.get(name).map_or(Value::Null, Constant::value),
            },
        }
    }

    /// Whether the run tells the value of a name, be it that there is none.
    fn is_recorded(&self, name: &str) -> bool {
        let own = self.event.slice.chunk.schema().find(name).is_some();
        let sides = matches!(name, "payer_id" | "payee_id" | "packet.outcome");
        own || sides || name.starts_with("text.") || self.features.contains_key(name)
    }

    /// Notes what the run does not tell, and where what is shown is not what was recorded.
    fn check(&mut self, run: &FinishedRun, lang: Lang) {
        let running = self.loaded.rules.running().map(|(_, rule)| rule);
        let on = running.filter(|rule| rule.file.on.contains(self.kind()));
        let mut unknown: Vec<&str> = on
            .flat_map(|rule| &rule.uses)
            .map(|(name, ..)| name.as_str())
            .filter(|name| !self.is_recorded(name))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            let note = Message::new(
                format!("the run did not record {names}: shown as missing"),
                format!("该运行未记录 {names}：按缺失显示"),
            );
            self.notes.push(note.text(lang).to_owned());
        }
        if self.same_rules() && !self.agrees(run, lang) {
            let note = Message::new(
                "the recorded values do not lead to the recorded reasons: this is a mistake of the \
                 program, or the run's files have been changed",
                "按记录的数值得不到所记录的理由：这是程序错误，或运行目录中的文件被改动过",
            );
            self.notes.push(note.text(lang).to_owned());
        }
    }

    pub(super) fn same_rules(&self) -> bool {
        self.loaded.rules.hash.to_hex().as_str() == self.record.rules_hash
    }

    /// Whether the rules that hit on the recorded values are those of the recorded reasons.
    fn agrees(&self, run: &FinishedRun, lang: Lang) -> bool {
        let bench = self.bench(run, lang);
        let (mut live, mut shadow) = (Vec::new(), Vec::new());
        for (_, rule) in self.loaded.rules.running() {
            if rule.file.on.contains(self.kind())
                && rule.program.test(&bench.row) == Ok(true)
                && rule.is_rolled_out(&bench.row)
            {
                let live_now = rule.file.status == rules::file::Status::Live;
                let of = if live_now { &mut live } else { &mut shadow };
                of.push(rule.file.id.as_str());
            }
        }
        let known = |id: &&str| self.rule(id).is_some();
        let mut recorded: Vec<&str> =
            self.record.reasons.iter().map(|one| one.rule.as_str()).filter(known).collect();
        recorded.sort_unstable();
        let mut in_shadow: Vec<&str> = self.record.shadow_hits.iter().map(String::as_str).collect();
        in_shadow.sort_unstable();
        live == recorded && shadow == in_shadow
    }

    pub(super) fn rule(&self, id: &str) -> Option<&Rule> {
        self.loaded.rules.rules.iter().find(|rule| rule.file.id == id)
    }

    fn verdict(&self) -> Verdict {
        let (record, bands) = (&self.record, self.loaded.rules.policy.bands);
        let bands = Bands { review: bands.review, hold: bands.hold, block: bands.block };
        let band = match record.score {
            score if score >= bands.block => "block",
            score if score >= bands.hold => "hold",
            score if score >= bands.review => "review",
            _ => "allow",
        };
        let directory = self.directory.as_ref();
        let mut verdict = Verdict {
            decision: record.decision.clone(),
            score: record.score,
            band: band.to_owned(),
            bands,
            because_of: Vec::new(),
            rule_score: record.rule_score,
            model_score: record.model_score,
            rules_hash: record.rules_hash.clone(),
            rules: directory.map(|path| path.display().to_string()).unwrap_or_default(),
            rules_hash_shown: directory
                .map(|_| self.loaded.rules.hash.to_hex().to_string())
                .unwrap_or_default(),
            same_rules: self.same_rules(),
        };
        if verdict.decision != verdict.band {
            verdict.because_of = self.because_of(&verdict.decision);
        }
        verdict
    }

    /// What can have made the decision another than what the score alone gives.
    fn because_of(&self, decision: &str) -> Vec<String> {
        let reasons = self.record.reasons.iter();
        let led = reasons.filter(|reason| match self.rule(&reason.rule) {
            Some(rule) if rule.file.allows => decision == "allow",
            Some(rule) => decision != "allow" && rule.file.floor.name() == decision,
            // A verdict that is enforced, or what else stands for a rule and adds nothing.
            None => reason.score == 0,
        });
        led.map(|reason| reason.rule.clone()).collect()
    }

    fn evidence(&self, bench: &Bench<'_>) -> Vec<Operand> {
        let one = |(name, text): (&String, &String)| {
            let value = match serde_json::from_str(text) {
                Ok(serde_json::Value::Bool(value)) => Some(Constant::Bool(value)),
                Ok(serde_json::Value::String(value)) => Some(Constant::Str(value)),
                Ok(serde_json::Value::Number(value)) => match value.as_i64() {
                    Some(value) => Some(Constant::Int(value)),
                    None => value.as_f64().map(Constant::Double),
                },
                _ => None,
            };
            let unit = self.loaded.catalogue.unit(name);
            bench.operand(name, value.map(|value| (value, unit)), "value", None)
        };
        self.record.evidence.iter().map(one).collect()
    }

    fn hits(&self, bench: &Bench<'_>, explained: &mut Explanation) {
        let hit = |id: &str, score: Option<i64>, text: String| {
            let rule = self.rule(id);
            Hit {
                rule: id.to_owned(),
                score,
                text,
                of: rule.map(|rule| about(rule, bench.lang)),
                condition: rule.and_then(|rule| bench.tell(rule)),
            }
        };
        let reasons = self.record.reasons.iter();
        explained.reasons =
            reasons.map(|one| hit(&one.rule, Some(one.score), one.text.clone())).collect();
        let shadow = self.record.shadow_hits.iter();
        explained.shadow = shadow.map(|id| hit(id, None, String::new())).collect();
    }

    fn misses(&self, bench: &Bench<'_>, explained: &mut Explanation) {
        let mut misses = Vec::new();
        for (_, rule) in self.loaded.rules.running() {
            if !rule.file.on.contains(self.kind()) {
                continue;
            }
            let hit = match rule.program.test(&bench.row) {
                Ok(hit) => hit && rule.is_rolled_out(&bench.row),
                Err(
                    NotEvaluable::Missing | NotEvaluable::Overflow | NotEvaluable::DivisionByZero,
                ) => {
                    let told = bench.tell(rule).map(|told| miss(rule, told, bench.lang));
                    explained.not_evaluable.extend(told);
                    continue;
                }
            };
            if !hit && let Some(told) = bench.tell(rule) {
                misses.push(miss(rule, told, bench.lang));
            }
        }
        explained.missed = misses.len();
        misses.sort_by(|a, b| a.lacking.total_cmp(&b.lacking).then_with(|| a.rule.cmp(&b.rule)));
        misses.truncate(NEAREST_MAX);
        explained.nearest = misses;
    }

    fn words(&self, explained: &mut Explanation) {
        let lexicon = &self.loaded.features.lexicon;
        let chunk = &self.event.slice.chunk;
        let texts = [("text", chunk.str(TEXT, 0)), ("group.text", &self.event.group_name)];
        let marked = texts.into_iter().filter_map(|(of, text)| Marked::new(of, text, lexicon));
        explained.texts = marked.collect();
        let Some(directory) = &self.directory else { return };
        let event: &Transaction = &explained.event;
        let sides = [
            ("account_id", &event.account),
            ("payer_id", &event.payer),
            ("payee_id", &event.payee),
            ("group_id", &event.group),
        ];
        let time = chunk.int(EVENT_TIME, 0);
        let date = self.loaded.vocabulary.zone.date(time).as_str().to_owned();
        let mut values: Vec<(String, String)> = vec![("event_time".to_owned(), date)];
        let other = chunk.str(COUNTERPARTY_ID, 0).to_owned();
        values.extend(sides.map(|(field, value)| (field.to_owned(), value.clone())));
        values.push(("counterparty_id".to_owned(), other));
        values.extend(event.fields.iter().map(|(field, value)| (field.clone(), value.clone())));
        values.retain(|(_, value)| !value.is_empty());
        explained.lists = listed(directory, &self.loaded, &values, time);
    }
}

fn no_witness(failure: &Failure, lang: Lang) -> String {
    let why = said(failure, lang);
    match lang {
        Lang::En => format!("no witness can be looked for: {why}"),
        Lang::Zh => format!("无法查找见证事件：{why}"),
    }
}

/// What a failure says, where it is but a note.
pub(super) fn said(failure: &Failure, lang: Lang) -> String {
    match failure {
        Failure::Usage(message) | Failure::Environment(message) => message.text(lang).to_owned(),
        other => other.render(lang, false).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn about(rule: &Rule, lang: Lang) -> About {
    let file = &rule.file;
    let title = match lang {
        Lang::Zh if !file.about.title_zh.is_empty() => &file.about.title_zh,
        _ => &file.about.title,
    };
    About {
        title: title.clone(),
        status: file.status.name().to_owned(),
        file: file.path.display().to_string(),
        score: file.score,
        floor: file.floor.name().to_owned(),
        allows: file.allows,
        falsepositives: file.about.innocent(lang).to_vec(),
    }
}

fn miss(rule: &Rule, condition: Told, lang: Lang) -> Miss {
    Miss {
        rule: rule.file.id.clone(),
        of: about(rule, lang),
        short_by: condition.short_by.clone(),
        lacking: condition.lacking,
        missing: condition.missing(),
        condition,
    }
}

fn no_rule(id: &str, rules: &[Rule], read: &Read) -> Failure {
    let shown = printable(id);
    let near = did_you_mean_hint(id, rules.iter().map(|rule| rule.file.id.as_str()));
    let (en, zh) = match near {
        Some(near) => (format!("; {}", near.en), format!("；{}", near.zh)),
        None => (String::new(), String::new()),
    };
    let place = read.directory.as_deref().unwrap_or(Path::new("")).display();
    Failure::Usage(Message::new(
        format!("there is no rule {shown} in {place}{en}"),
        format!("{place} 中没有规则 {shown}{zh}"),
    ))
}
