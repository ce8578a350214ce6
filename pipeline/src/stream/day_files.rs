//! The files of a stream's days: parts that are written and then never changed, and `run.toml`, which
//! says what is there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use super::days::{Facts, Part, Settings, Task};
use crate::changes::Deciders;
use crate::decision::Names;
use crate::event::Type;
use crate::expr::Zone;
use crate::finished::days::{DayCounts, OWNER, PARTS, StreamDay, listed};
use crate::finished::written::{PART_FILES, PartFiles};
use crate::run::ModelPaths;
use crate::sink::lines::LineReader;
use crate::sink::log::{BLOCKS_FILE, Blocks};
use crate::sink::parquet::{
    Writer, challenger_columns, challenger_schema, decisions_columns, decisions_schema,
    events_columns, events_schema, features_columns, features_schema,
};
use crate::sink::{CHALLENGER_FILE, Scored, Written, entities};
use crate::snapshot::take_away;

const DAY_MS: i64 = 86_400_000;

/// The files of days, on a thread of their own.
pub(super) struct Files {
    pub(super) settings: Settings,
    pub(super) facts: Facts,
    /// Whether everything since the stream's beginning is there, or was until it was removed.
    pub(super) whole: bool,
    pub(super) open: Option<Open>,
    /// By which parts of this process are told from those of others.
    pub(super) token: String,
}

/// The last day.
pub(super) struct Open {
    directory: PathBuf,
    /// By which it began; its first model, where that came on the way.
    deciders: Deciders,
    pub(super) is: StreamDay,
    /// What the stream had before it.
    before: DayCounts,
    blocks: Blocks,
    /// Over the lists of the files of its parts.
    lists: blake3::Hasher,
}

impl Open {
    /// The day in a directory. What its `run.toml` does not speak of is of one that died, and goes.
    pub(super) fn read(directory: &Path) -> Result<Open, String> {
        let Held { deciders, stream: is } = Held::read(directory)?;
        for entry in fs::read_dir(directory.join(PARTS)).into_iter().flatten().flatten() {
            if !is.parts.iter().any(|part| *part == entry.file_name().to_string_lossy()) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| failed(&path, &error))?;
            }
        }
        let mut blocks = Blocks::default();
        let parts = is.parts_of(directory);
        let mut lines = LineReader::of(parts.iter().map(|part| part.join("decisions.parquet")))?;
        while let Some(line) = lines.next_line()? {
            blocks.append_line(line);
        }
        let mut lists = blake3::Hasher::new();
        for path in parts.iter().map(|part| part.join(PART_FILES)).filter(|_| is.files.is_some()) {
            lists.update(&fs::read(&path).map_err(|error| unread(&path, &error))?);
        }
        let left = |total: u64, own: u64| total.saturating_sub(own);
        let before = DayCounts {
            decided: left(is.total.decided, is.counts.decided),
            applied: left(is.total.applied, is.counts.applied),
            rejected: left(is.total.rejected, is.counts.rejected),
            duplicates: left(is.total.duplicates, is.counts.duplicates),
        };
        let directory = directory.to_owned();
        Ok(Open { directory, deciders, is, before, blocks, lists })
    }
}

/// What `run.toml` says of a day, as far as it is needed to go on.
#[derive(serde::Deserialize)]
pub(super) struct Held {
    #[serde(flatten)]
    deciders: Deciders,
    pub(super) stream: StreamDay,
}

impl Held {
    pub(super) fn read(directory: &Path) -> Result<Held, String> {
        let path = directory.join("run.toml");
        let text = fs::read_to_string(&path).map_err(|error| unread(&path, &error))?;
        toml::from_str(&text).map_err(|error| unread(&path, &error))
    }
}

impl Files {
    pub(super) fn run(&mut self, tasks: &Receiver<Task>, zone: &Zone) -> Result<(), String> {
        for task in tasks {
            match task {
                Task::Part(part) => self.write(*part, zone)?,
                // Whoever asked may have gone away.
                Task::Told(sender) => drop(sender.send(())),
            }
        }
        Ok(())
    }

    fn write(&mut self, part: Part, zone: &Zone) -> Result<(), String> {
        let directory = self.settings.dir.join(&part.day);
        if self.open.as_ref().is_none_or(|open| open.directory != directory) {
            let deciders = deciders(&part.scored[0].names);
            let before = self.open.as_ref().map_or_else(DayCounts::default, |open| open.is.total);
            let is = StreamDay {
                begin: self.facts.begin.clone(),
                frontier: i64::MIN,
                parts: Vec::new(),
                whole: self.whole,
                changed: false,
                digest: String::new(),
                files: Some(String::new()),
                counts: DayCounts::default(),
                total: before,
                extra: self.facts.extra.iter().cloned().collect(),
            };
            let (blocks, lists) = (Blocks::default(), blake3::Hasher::new());
            // One that died before it said that the day is there.
            take_away(&directory).map_err(|error| failed(&directory, &error))?;
            self.open = Some(Open { directory, deciders, is, before, blocks, lists });
            self.remove_old(part.scored[0].batch.slice.effective[0], zone)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.is.whole &= self.whole;
        let name = format!("{:06}-{}", open.is.parts.len(), self.token);
        open.write_part(part, &name)?;
        check_owner(&self.settings.dir, &self.token)?;
        open.tell(&self.facts)
    }

    /// Removes days that are not kept.
    fn remove_old(&self, time: i64, zone: &Zone) -> Result<(), String> {
        let Some(keep) = self.facts.days_kept() else { return Ok(()) };
        // From noon, so that no change of clocks leaves the day.
        let noon = zone.day_start(time) + DAY_MS / 2;
        let first = zone.date(noon - (keep - 1) * DAY_MS).to_string();
        for day in listed(&self.settings.dir) {
            let name = day.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name < first {
                take_away(&day)
                    .map_err(|error| format!("cannot remove {}: {error}", day.display()))?;
            }
        }
        Ok(())
    }
}

impl Open {
    /// Writes a part, of which nobody knows yet.
    fn write_part(&mut self, part: Part, name: &str) -> Result<(), String> {
        let Part { scored, columns, at, .. } = part;
        let parts = self.directory.join(PARTS);
        let (draft, whole) = (parts.join(format!(".{name}")), parts.join(name));
        fs::create_dir_all(&draft).map_err(|error| failed(&draft, &error))?;
        for scored in &scored {
            let (rows, events) = (scored.batch.rows.len(), scored.batch.slice.chunk.len());
            self.is.counts.decided += rows as u64;
            self.is.counts.applied += (events - rows) as u64;
            // A challenger decides nothing.
            let Deciders { rules_hash, model_hash, .. } = deciders(&scored.names);
            let begun = (&self.deciders.rules_hash, &self.deciders.model_hash);
            self.is.changed |= (&rules_hash, &model_hash) != begun;
            // One that came on the way took part as well, and whoever reads the day is to know.
            self.deciders.model_hash = self.deciders.model_hash.take().or(model_hash);
            self.blocks.append(&scored.batch, &scored.names);
        }
        let (blocks, _) = self.blocks.so_far();
        let mut files = write_tables(&draft, scored, &columns)?;
        files.push(entities::write(&draft.join("entities.parquet"), &at.findings)?);
        let list = toml::to_string(&PartFiles { files }).map_err(|error| error.to_string())?;
        put(&draft.join(PART_FILES), list.as_bytes())?;
        put(&draft.join(BLOCKS_FILE), blocks.as_bytes())?;
        let entries = fs::read_dir(&draft).map_err(|error| failed(&draft, &error))?;
        entries.flatten().try_for_each(|entry| sync(&entry.path()))?;
        sync(&draft)?;
        fs::rename(&draft, &whole).map_err(|error| failed(&whole, &error))?;
        sync(&parts)?;
        self.is.parts.push(name.to_owned());
        self.lists.update(list.as_bytes());
        // Parts that an earlier version wrote have no lists.
        if let Some(files) = &mut self.is.files {
            *files = self.lists.finalize().to_hex().to_string();
        }
        self.is.frontier = at.frontier;
        self.is.digest = at.digest;
        self.is.total = at.counts.into();
        self.is.counts.rejected = self.is.total.rejected.saturating_sub(self.before.rejected);
        self.is.counts.duplicates = self.is.total.duplicates.saturating_sub(self.before.duplicates);
        Ok(())
    }

    /// Says what is there now.
    fn tell(&mut self, facts: &Facts) -> Result<(), String> {
        let digest = self.blocks.so_far().1.to_hex().to_string();
        let counts = serde_json::json!({ "counts": self.is.counts, "decisions_digest": digest });
        replace(&self.directory, "metrics.json", &format!("{counts:#}\n"))?;
        replace(&self.directory, "run.toml", &self.run_toml(facts, &digest)?)?;
        // Those of the last two are read.
        if let Some(old) = self.is.parts.iter().nth_back(2) {
            let old = self.directory.join(PARTS).join(old);
            for file in [BLOCKS_FILE, "entities.parquet"] {
                let _ = fs::remove_file(old.join(file));
            }
        }
        Ok(())
    }

    fn run_toml(&self, facts: &Facts, digest: &str) -> Result<String, String> {
        #[derive(serde::Serialize)]
        struct Written<'w> {
            version: &'w str,
            decisions_digest: &'w str,
            #[serde(flatten)]
            deciders: &'w Deciders,
            partial: bool,
            rules: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            model: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            challenger: Option<String>,
            labels: &'w str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pseudonymise: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pseudonymise_fingerprint: Option<&'w str>,
            time_zone: &'w str,
            dedup_window_ms: i64,
            tick_ms: i64,
            warmup_ms: i64,
            allowed_lateness_ms: i64,
            max_ahead_ms: i64,
            stream: &'w StreamDay,
        }
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        // What it is told may be others than those that decided, whose hashes say so.
        let of = |path, hash: &Option<String>| hash.as_ref().and_then(|_| shown(path));
        let ModelPaths { champion, challenger } = &facts.models;
        let pseudonyms = facts.pseudonyms.as_deref();
        toml::to_string(&Written {
            version: env!("CARGO_PKG_VERSION"),
            decisions_digest: digest,
            deciders: &self.deciders,
            partial: false,
            rules: shown(&facts.rules).unwrap_or_default(),
            model: of(champion, &self.deciders.model_hash),
            challenger: of(challenger, &self.deciders.challenger_hash),
            labels: "",
            pseudonymise: pseudonyms.map(|held| held.path().display().to_string()),
            pseudonymise_fingerprint: pseudonyms.map(|held| held.fingerprint()),
            time_zone: &facts.zone,
            dedup_window_ms: facts.dedup_window,
            tick_ms: facts.tick,
            warmup_ms: 0,
            allowed_lateness_ms: facts.allowed_lateness,
            max_ahead_ms: facts.max_ahead,
            stream: &self.is,
        })
        .map_err(|error| error.to_string())
    }
}

/// What decided what has these names.
fn deciders(names: &Names) -> Deciders {
    let hash = |hash: &String| Some(hash.clone()).filter(|hash| !hash.is_empty());
    Deciders {
        rules_hash: names.rules_hash.clone(),
        model_hash: hash(&names.model_hash),
        challenger_hash: hash(&names.challenger_hash),
    }
}

fn write_tables(
    folder: &Path,
    scored: Vec<Scored>,
    features: &[(String, Type)],
) -> Result<Vec<Written>, String> {
    let path = |name: &str| folder.join(name);
    let failed = |error: parquet::errors::ParquetError| {
        format!("cannot write to {}: {error}", folder.display())
    };
    let schema = scored[0].batch.slice.chunk.schema().clone();
    let create = |name: &str, schema| Writer::create(&path(name), schema).map_err(failed);
    let mut events = create("events.parquet", events_schema(&schema))?;
    let mut decisions = create("decisions.parquet", decisions_schema())?;
    let mut rows = create("features.parquet", features_schema(features))?;
    let challenged = scored.iter().any(|scored| !scored.batch.challenger.verdicts.is_empty());
    let mut challenger =
        challenged.then(|| create(CHALLENGER_FILE, challenger_schema())).transpose()?;
    for Scored { batch, names, features, .. } in scored {
        events.write(events_columns(&batch.slice)).map_err(failed)?;
        if let Some(file) = challenger.as_mut().filter(|_| !batch.challenger.verdicts.is_empty()) {
            file.write(challenger_columns(&batch)).map_err(failed)?;
        }
        if !batch.rows.is_empty() {
            decisions.write(decisions_columns(&batch, &names)).map_err(failed)?;
            rows.write(features_columns(&batch, features)).map_err(failed)?;
        }
    }
    let all = [events, decisions, rows].into_iter().chain(challenger);
    all.into_iter().map(|writer| writer.close().map_err(failed)).collect()
}

/// Writes a file anew: whoever reads it has the one before or this one.
pub(super) fn replace(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    let (draft, path) = (directory.join(format!(".{name}")), directory.join(name));
    put(&draft, text.as_bytes())?;
    sync(&draft)?;
    fs::rename(&draft, &path).map_err(|error| failed(&path, &error))?;
    sync(directory)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| failed(path, &error))
}

fn sync(path: &Path) -> Result<(), String> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

fn unread(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// Whether the directory is still that of the one who says so: another may have taken the stream's
/// name, and goes on with the days. What it does not know of it decides again.
fn check_owner(dir: &Path, token: &str) -> Result<(), String> {
    match fs::read_to_string(dir.join(OWNER)) {
        Ok(owner) if owner == token => Ok(()),
        Ok(_) => Err("another instance goes on with them; each stream has a dir of its own".into()),
        Err(error) => Err(failed(&dir.join(OWNER), &error)),
    }
}
