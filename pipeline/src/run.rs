//! A backtest from files to a run directory, and the live session, which decides while it is fed.

mod cluster;
mod examples;
mod model;
mod observer;
mod overwrite;
mod read;
mod rescoring;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

pub use self::cluster::{Followed, ReadNews, follow, follow_session};
pub use self::model::ModelPaths;
pub(crate) use self::rescoring::Rescoring;
pub use self::session::{Decided, InForce, Laid, Session, Settings};

use self::observer::{Floors, Observer, Places, judge};
use self::read::Read;
use crate::backtest;
use crate::changes::Planned;
use crate::dataflow::{Options, Summary};
use crate::diagnostic::{Failure, Message, unreadable, unwritable};
use crate::event::{Kind, Pseudonyms, RejectCode};
use crate::features::devices::Hubs;
use crate::job::{Epoch, Job};
use crate::judge::{Judgement, Labels};
use crate::model::{Artefact, Artefacts};
use crate::packet::finding::Finding as Breach;
use crate::peers::Place;
use crate::report::{
    self, Bands, BreachFact, ChangeFact, Counts, HubFact, InputFact, ModelFact, NamedCount,
    RejectCount, ReportInput, RunFacts, TextExample, WarmingFact,
};
use crate::sink::{Breaches, CHALLENGER_FILE, Hashed, Recorded, Scored, Written, entities};
use crate::source::intake::{Days, Intake};
use crate::source::log::{InputLog, Times};
use crate::source::mapping::Mapping;
use crate::source::order::OnDisk;
use crate::source::{FileRead, Input, Progress, Rejects};
use crate::stopwatch::Stopwatch;
use crate::verdicts::{Finding, Verdicts};

/// What is read.
#[derive(Clone, Debug)]
pub enum Events {
    /// Event files.
    Files {
        /// The files.
        paths: Vec<PathBuf>,
        /// Mapping files: none, one for all paths, or one for each.
        maps: Vec<PathBuf>,
    },
    /// An input log.
    Log {
        /// Its directory.
        path: PathBuf,
        /// Another lateness than the one that held, in ms.
        lateness: Option<i64>,
    },
    /// The days of a stream, from its beginning on.
    Days(Days),
}

/// What [`Request::sort_memory`] is unless told otherwise: 4 GiB.
pub const SORT_MEMORY: usize = 4 << 30;

/// What to run.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is read.
    pub events: Events,
    /// What replaces the ids of events, labels and lists, if anything does.
    pub pseudonyms: Option<Arc<Pseudonyms>>,
    /// What is known to be true, for judging.
    pub labels: Option<PathBuf>,
    /// The rules directory; none: no rules.
    pub rules: Option<PathBuf>,
    /// The model that decides with the rules, and one that is watched beside it.
    pub models: ModelPaths,
    /// The run directory.
    pub out: PathBuf,
    /// How the events are cut up.
    pub options: Options,
    /// The start of the stream that warms up features and is not judged, in ms.
    pub warmup: i64,
    /// More rejects than this end the run.
    pub rejects_max: Option<u64>,
    /// How much memory events may take up while they are put in order, in bytes; what is more goes
    /// to the disk of the run directory.
    pub sort_memory: usize,
    /// Which of several processes this one is; none: it is alone.
    pub place: Option<Place>,
}

/// What came of it.
pub struct Outcome {
    /// What was run.
    pub facts: RunFacts,
    /// How good it was.
    pub judgement: Judgement,
    /// As written to metrics.json.
    pub metrics: serde_json::Value,
}

/// Runs a backtest and writes its run directory; of several processes, number 0 does so and the
/// others [`follow`].
pub fn run(
    request: &Request,
    progress: &dyn Progress,
    interrupted: Arc<AtomicBool>,
) -> Result<Outcome, Failure> {
    overwrite::check(request)?;
    let mut peers = cluster::meet(request, progress)?;
    let pseudonyms = request.pseudonyms.as_deref();
    let read = |path| Labels::read(path, pseudonyms);
    let labels = request.labels.as_deref().map(read).transpose()?;
    if let (Some(labels), Some(path)) = (&labels, &request.labels) {
        let warnings = labels.warnings(path);
        if !warnings.is_empty() {
            progress.warn(&warnings);
        }
    }
    let read = Read::of(request, progress)?;
    let Read { events, timetable, models, hashes, mut stopwatch, .. } = read;
    let Read { rejects, files, times, .. } = read;
    let (duplicates, on_disk) = (events.duplicates, events.on_disk);
    let (start, end) = (events.start(), events.end());
    let verdicts = Verdicts::new(timetable.policy());
    let timetable = timetable.until(end);
    let (rules_hash, mut changes) = (timetable.rules_hash(), timetable.changes());
    if let Some(peers) = &mut peers {
        let terms = cluster::terms(request, &files, (&rules_hash, &changes), (&models, &hashes));
        peers.agree(&terms, &|| progress.stop())?;
    }
    let epochs = timetable.epochs(start);
    let places = Arc::new(Places::new(&epochs));
    let judge = judge(&epochs, &places, labels, judge_from(request.warmup, start));
    let observer = Observer::new(judge, &epochs, &places, verdicts);
    let observer = Arc::new(Mutex::new(observer));
    let job = Arc::new(Job::with_epochs(events, epochs, interrupted.clone()));
    create(&request.out)?;
    let (summary, recorded) = {
        let observer = observer.clone();
        let each = move |scored: &mut Scored| {
            if let Ok(mut observer) = observer.lock() {
                observer.observe(scored);
            }
        };
        let to = (request.out.as_path(), peers);
        backtest::record(&job, request.options, to, each).map_err(environment)?
    };
    let observer = Arc::into_inner(observer).and_then(|held| held.into_inner().ok());
    let Some(Observer { judge, floors, examples, .. }) = observer else {
        return Err(Failure::Environment(Message::new("the recorder stopped", "记录线程已停止")));
    };
    let Floors { verdicts, reached, epoch, .. } = floors;
    let texts = examples.finish();
    stopwatch.add(&summary.stopwatch);
    stopwatch.add(&recorded.stopwatch);
    // A signal after the last decision interrupts nothing.
    let recorded_events = recorded.events.iter().sum::<u64>();
    let partial = interrupted.load(Ordering::Relaxed) && recorded_events < job.events.len() as u64;
    let end = if partial { reached } else { end };
    changes.retain(|change| change.effective_time <= end);
    let (findings, judgement) = rayon::join(|| verdicts.findings(end), || judge.finish());
    let whole = Whole {
        request,
        job: &job,
        rules_hash,
        changes,
        epoch,
        models: &models,
        files: &files,
        hashes,
        times,
        rejects: &rejects,
        duplicates,
        on_disk,
        summary: &summary,
        recorded: &recorded,
        findings: &findings,
        texts: &texts,
        stopwatch: &stopwatch,
        partial,
    };
    let facts = whole.facts();
    let metrics = whole.metrics(&facts, &judgement);
    whole.write(&facts, &judgement, &metrics)?;
    if !partial && !facts.counts.balance() {
        let counts = facts.counts;
        return Err(Failure::Environment(Message::new(
            format!("records were lost: {counts:?}"),
            format!("有记录丢失：{counts:?}"),
        )));
    }
    // Nobody waits until these are freed: most often the program ends before.
    rayon::spawn(move || drop((job, verdicts)));
    Ok(Outcome { facts, judgement, metrics })
}

fn environment(message: String) -> Failure {
    Failure::Environment(Message::new(message.clone(), message))
}

impl Events {
    /// Opens what is to be read.
    pub(crate) fn open(&self) -> Result<Intake, Failure> {
        match self {
            Events::Files { paths, maps } => inputs(paths, maps).map(Intake::Files),
            Events::Log { path, lateness } => {
                Ok(Intake::Log(Box::new(InputLog::open(path)?.with_lateness(*lateness))))
            }
            Events::Days(days) => Ok(Intake::Days(days.clone())),
        }
    }
}

fn inputs(paths: &[PathBuf], maps: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    if maps.len() > 1 && maps.len() != paths.len() {
        let (maps, inputs) = (maps.len(), paths.len());
        return Err(Failure::Usage(Message::new(
            format!("{maps} mapping files for {inputs} inputs: give one, or one for each"),
            format!("{inputs} 个输入对应 {maps} 个映射文件:请给一个,或每个输入各一个"),
        )));
    }
    let mappings: Vec<Arc<Mapping>> =
        maps.iter().map(|path| Mapping::load(path).map(Arc::new)).collect::<Result<_, _>>()?;
    let input = |(at, path): (usize, &PathBuf)| {
        let mapping = mappings.get(at).or(mappings.first()).cloned();
        Input { path: path.clone(), mapping }
    };
    Ok(paths.iter().enumerate().map(input).collect())
}

/// Why an event is refused in the order.
pub(crate) fn refusal_detail(code: RejectCode) -> &'static str {
    match code {
        RejectCode::TooOld => "older than the watermark by more than the dedup window",
        _ => "the id was used before by an event with another body",
    }
}

/// Makes the run directory. `run.toml` of a run before goes at once, for it is written last: a
/// directory that has one holds a run that came to its end.
fn create(directory: &Path) -> Result<(), Failure> {
    let failed = |error| {
        let directory = directory.display();
        Failure::Environment(Message::new(
            format!("cannot create {directory}: {error}"),
            format!("无法创建 {directory}：{error}"),
        ))
    };
    fs::create_dir_all(directory).map_err(failed)?;
    // Not every run has a challenger.
    for file in ["run.toml", CHALLENGER_FILE] {
        match fs::remove_file(directory.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The event time from which on transactions are judged. Without a warm-up all are, the late ones
/// too that happened before the first effective time.
pub(crate) fn judge_from(warmup: i64, start: i64) -> i64 {
    if warmup == 0 { i64::MIN } else { start.saturating_add(warmup) }
}

/// All that is known when a run is over.
struct Whole<'w> {
    request: &'w Request,
    job: &'w Job,
    rules_hash: String,
    changes: Vec<Planned>,
    /// The epoch of the last decision.
    epoch: usize,
    models: &'w Artefacts,
    files: &'w [(PathBuf, FileRead)],
    hashes: Hashes,
    times: Option<Times>,
    rejects: &'w Rejects,
    duplicates: u64,
    on_disk: Option<OnDisk>,
    summary: &'w Summary,
    recorded: &'w Recorded,
    findings: &'w [Finding],
    texts: &'w [TextExample],
    stopwatch: &'w Stopwatch,
    partial: bool,
}

impl Whole<'_> {
    fn counts(&self) -> Counts {
        let events: u64 = self.recorded.events.iter().sum();
        let decided = self.recorded.decided;
        Counts {
            read: self.files.iter().map(|(_, file)| file.records).sum(),
            decided,
            applied: events - decided,
            rejected: self.rejects.len() as u64,
            duplicates: self.duplicates,
        }
    }

    fn facts(&self) -> RunFacts {
        let bands = self.job.epochs[self.epoch].scorer.policy().bands;
        let evidence: BTreeSet<&String> =
            self.job.epochs.iter().flat_map(|epoch| &epoch.scorer.names().evidence).collect();
        let named = |counts: &BTreeMap<String, u64>| {
            let one =
                |(name, count): (&String, &u64)| NamedCount { name: name.clone(), count: *count };
            counts.iter().map(one).collect()
        };
        let mut standings: BTreeMap<String, u64> = BTreeMap::new();
        for finding in self.findings {
            let name = format!("{} {}", finding.subject.name(), finding.standing.name());
            *standings.entry(name).or_default() += 1;
        }
        RunFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: self
                .files
                .iter()
                .map(|(path, file)| InputFact {
                    name: path.display().to_string(),
                    hash: blake3::Hash::from(file.hash).to_hex().to_string(),
                })
                .collect(),
            rules_hash: self.rules_hash.clone(),
            changes: self.changes.iter().map(|change| self.change(change)).collect(),
            model_hash: self.models.champion.as_ref().map(|model| model.hash().to_owned()),
            model: self.models.champion.as_ref().map(|model| self.model(model)),
            challenger: self.models.challenger.as_ref().map(|model| self.model(model)),
            decisions_digest: self.recorded.digest.to_hex().to_string(),
            counts: self.counts(),
            rejects: self.reject_counts(),
            features: evidence.into_iter().cloned().collect(),
            bands: Bands { review: bands.review, hold: bands.hold, block: bands.block },
            not_evaluable: named(&self.recorded.not_evaluable),
            shadow_hits: named(&self.recorded.shadow_hits),
            entity_verdicts: standings
                .into_iter()
                .map(|(name, count)| NamedCount { name, count })
                .collect(),
            texts: self.texts.to_vec(),
            breaches: self.breaches(),
            hubs: self.hubs(),
            sorted_on_disk: self.on_disk,
            partial: self.partial,
        }
    }

    fn model(&self, artefact: &Artefact) -> ModelFact {
        model::fact(artefact, self.job.epochs[self.epoch].scorer.policy().model)
    }

    /// The links of which something was left out.
    fn hubs(&self) -> Vec<HubFact> {
        let links = &self.job.epochs[self.epoch].scorer.policy().devices.links;
        let fact = |(link, hubs): (&String, &Hubs)| {
            let limit = links.iter().find(|held| held.name == *link)?.hub_limit;
            let Hubs { times, accounts_max } = *hubs;
            (times > 0).then(|| HubFact { link: link.clone(), limit, times, accounts_max })
        };
        self.summary.hubs.iter().filter_map(fact).collect()
    }

    /// The laws of packets that were broken, the most frequent first.
    fn breaches(&self) -> Vec<BreachFact> {
        let fact = |((finding, kind), held): (&(Breach, &str), &Breaches)| BreachFact {
            finding: finding.name().to_owned(),
            kind: (*kind).to_owned(),
            count: held.count,
            first: held.first.clone(),
        };
        let mut facts: Vec<BreachFact> = self.recorded.breaches.iter().map(fact).collect();
        facts.sort_by_key(|fact| std::cmp::Reverse(fact.count));
        facts
    }

    fn change(&self, planned: &Planned) -> ChangeFact {
        let epoch = |epoch: &&Epoch| epoch.start == planned.effective_time;
        let features = self.job.epochs[1..].iter().find(epoch).map(|epoch| &epoch.features);
        let warming = features.into_iter().flat_map(|features| features.warming());
        ChangeFact {
            effective_time: planned.effective_time,
            rules: planned.rules.clone(),
            rules_hash: planned.deciders.rules_hash.clone(),
            model_hash: planned.deciders.model_hash.clone(),
            challenger_hash: planned.deciders.challenger_hash.clone(),
            warming: warming
                .map(|(feature, until)| WarmingFact { feature: feature.to_owned(), until })
                .collect(),
        }
    }

    fn reject_counts(&self) -> Vec<RejectCount> {
        let mut by_code: BTreeMap<RejectCode, RejectCount> = BTreeMap::new();
        for reject in self.rejects.iter() {
            let count = by_code.entry(reject.code).or_insert_with(|| RejectCount {
                code: reject.code.name().to_owned(),
                count: 0,
                example: format!("{} {}", self.rejects.place(reject), reject.detail),
            });
            count.count += 1;
        }
        let mut counts: Vec<RejectCount> = by_code.into_values().collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.count));
        counts
    }

    fn metrics(&self, facts: &RunFacts, judgement: &Judgement) -> serde_json::Value {
        let timings: BTreeMap<&str, f64> = self
            .stopwatch
            .seconds()
            .map(|(name, spent)| (name, (spent * 1e6).round() / 1e6))
            .collect();
        let kinds: BTreeMap<&str, u64> = Kind::ALL
            .iter()
            .zip(self.recorded.events)
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.name(), count))
            .collect();
        let mut counts = json!(facts.counts);
        if facts.partial {
            counts["not_reached"] = facts.counts.missing().into();
        }
        json!({
            "counts": counts,
            "kinds": kinds,
            "decisions_digest": facts.decisions_digest,
            "rules_hash": facts.rules_hash,
            "changes": facts.changes,
            "model_hash": facts.model_hash,
            "model": facts.model,
            "challenger": facts.challenger,
            "rejects": facts.rejects,
            "not_evaluable": facts.not_evaluable,
            "shadow_hits": facts.shadow_hits,
            "verdicts": facts.entity_verdicts,
            "judgement": judgement,
            "sorted_on_disk": facts.sorted_on_disk,
            "breaches": facts.breaches,
            "hubs": facts.hubs,
            "state": self.summary.state,
            "operators": self.summary.operators,
            "timings": timings,
            "workers": self.request.options.workers,
            "partial": facts.partial,
        })
    }

    fn write(
        &self,
        facts: &RunFacts,
        judgement: &Judgement,
        metrics: &serde_json::Value,
    ) -> Result<(), Failure> {
        let out = &self.request.out;
        let mut files = self.recorded.files.clone();
        let path = out.join("rejects.jsonl");
        let rejects = Hashed::create(&path).map(BufWriter::new).and_then(|mut file| {
            self.rejects.write(&mut file)?;
            Ok(file.into_inner()?.written())
        });
        let failed = |error| Failure::Environment(unwritable(&path, &error));
        files.push(rejects.map_err(failed)?);
        let path = out.join("entities.parquet");
        let input = ReportInput { title: "Hongxian backtest", run: facts, judgement };
        let findings = self.findings;
        let (entities, html) =
            rayon::join(|| entities::write(&path, findings), || report::html(&input));
        files.push(entities.map_err(environment)?);
        let pretty = format!("{metrics:#}\n");
        files.push(write(&out.join("metrics.json"), pretty.as_bytes())?);
        files.push(write(&out.join("report.html"), html.as_bytes())?);
        write(&out.join("run.toml"), self.run_toml(facts, &files).as_bytes()).map(drop)
    }

    /// What was run, so that it can be run again, and what it wrote.
    fn run_toml(&self, facts: &RunFacts, files: &[Written]) -> String {
        let mut document = toml_edit::DocumentMut::new();
        document["version"] = toml_edit::value(&facts.version);
        document["decisions_digest"] = toml_edit::value(&facts.decisions_digest);
        document["rules_hash"] = toml_edit::value(&facts.rules_hash);
        document["partial"] = toml_edit::value(facts.partial);
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        document["rules"] = toml_edit::value(path(&self.request.rules));
        document["labels"] = toml_edit::value(path(&self.request.labels));
        for (key, artefact) in
            [("model", &self.models.champion), ("challenger", &self.models.challenger)]
        {
            if let Some(artefact) = artefact {
                document[key] = toml_edit::value(artefact.path().display().to_string());
                document[&format!("{key}_hash")] = toml_edit::value(artefact.hash());
            }
        }
        if let Some(pseudonyms) = &self.request.pseudonyms {
            document["pseudonymise"] = toml_edit::value(pseudonyms.path().display().to_string());
            document["pseudonymise_fingerprint"] = toml_edit::value(pseudonyms.fingerprint());
        }
        if let Some(hash) = &self.hashes.labels {
            document["labels_blake3"] = toml_edit::value(hash);
        }
        let policy = self.job.epochs[self.epoch].scorer.policy();
        document["time_zone"] = toml_edit::value(&policy.time_zone);
        document["dedup_window_ms"] = toml_edit::value(policy.dedup_window);
        document["tick_ms"] = toml_edit::value(self.request.options.tick);
        document["warmup_ms"] = toml_edit::value(self.request.warmup);
        if let (Events::Log { path, .. }, Some(times)) = (&self.request.events, self.times) {
            document["input_log"] = toml_edit::value(path.display().to_string());
            document["allowed_lateness_ms"] = toml_edit::value(times.allowed_lateness);
            document["max_ahead_ms"] = toml_edit::value(times.max_ahead);
        }
        let files = files.iter().map(file_toml).collect();
        document["files"] = toml_edit::Item::ArrayOfTables(files);
        let maps: &[PathBuf] = match &self.request.events {
            Events::Files { maps, .. } => maps,
            Events::Log { .. } | Events::Days(_) => &[],
        };
        let mut inputs = toml_edit::ArrayOfTables::new();
        for (at, fact) in facts.inputs.iter().enumerate() {
            let mut input = toml_edit::Table::new();
            input["path"] = toml_edit::value(&fact.name);
            input["blake3"] = toml_edit::value(&fact.hash);
            if let Some(map) = maps.get(at).or(maps.first()) {
                input["map"] = toml_edit::value(map.display().to_string());
                if let Some(hash) = self.hashes.maps.get(at) {
                    input["map_blake3"] = toml_edit::value(hash);
                }
            }
            inputs.push(input);
        }
        document["inputs"] = toml_edit::Item::ArrayOfTables(inputs);
        if !facts.changes.is_empty() {
            let changes = facts.changes.iter().map(change_toml).collect();
            document["changes"] = toml_edit::Item::ArrayOfTables(changes);
        }
        document.to_string()
    }
}

/// The hashes of what a run read beside its events, so that who reads it again sees a change.
struct Hashes {
    labels: Option<String>,
    /// Of the mapping file of each input; empty where the inputs have none.
    maps: Vec<String>,
}

impl Hashes {
    fn of(intake: &Intake, labels: Option<&Path>) -> Result<Hashes, Failure> {
        let hex = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let labels = labels.map(|path| {
            let failed = |error| Failure::Environment(unreadable(path, &error));
            fs::read(path).map(|bytes| hex(&bytes)).map_err(failed)
        });
        let maps = match intake {
            Intake::Files(inputs) => {
                let mappings = inputs.iter().filter_map(|input| input.mapping.as_ref());
                mappings.map(|mapping| hex(mapping.text().as_bytes())).collect()
            }
            Intake::Log(_) | Intake::Days(_) => Vec::new(),
        };
        Ok(Hashes { labels: labels.transpose()?, maps })
    }
}

fn file_toml(file: &Written) -> toml_edit::Table {
    let mut table = toml_edit::Table::new();
    table["name"] = toml_edit::value(&file.name);
    table["bytes"] = toml_edit::value(file.bytes as i64);
    table["blake3"] = toml_edit::value(&file.blake3);
    table
}

fn change_toml(change: &ChangeFact) -> toml_edit::Table {
    let mut table = toml_edit::Table::new();
    table["effective_time"] = toml_edit::value(change.effective_time);
    table["rules"] = toml_edit::value(&change.rules);
    table["rules_hash"] = toml_edit::value(&change.rules_hash);
    let models = [("model_hash", &change.model_hash), ("challenger_hash", &change.challenger_hash)];
    for (key, hash) in models.into_iter().filter_map(|(key, hash)| Some((key, hash.as_ref()?))) {
        table[key] = toml_edit::value(hash);
    }
    let mut warming = toml_edit::InlineTable::new();
    for WarmingFact { feature, until } in &change.warming {
        warming.insert(feature, (*until).into());
    }
    table["warming_until"] = toml_edit::value(warming);
    table
}

fn write(path: &Path, bytes: &[u8]) -> Result<Written, Failure> {
    Written::put(path, bytes).map_err(|error| Failure::Environment(unwritable(path, &error)))
}
