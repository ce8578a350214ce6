//! The outbox: events that the engine has made and brokers may not have, on disk beside the journal.
//!
//! An entry is written, and synced where it holds events, before its batch goes into the journal. So
//! what the journal holds has its events here; what the journal does not hold, because a crash came
//! between, is dropped when the outbox is opened, for nobody was told of it. An entry also says how
//! far decisions were read when its batch was made: as what was decided stands in the journal, so
//! does from where to read on. And it says the ids of transactions whose money waits for a decision or a
//! person, of which the engine keeps hashes.
//!
//! A line is the XXH3 of an entry in hexadecimal digits, and the entry as JSON.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::diagnostic::{Failure, Message};

/// Its name in the directory of the journal.
const NAME: &str = "outbox.log";
/// An outbox that has grown to so many bytes is written anew with what is still to be published.
const COMPACT_BYTES: u64 = 64 << 20;
const HASH_DIGITS: usize = 16;

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    /// What says which partition it belongs to.
    pub(super) key: String,
    pub(super) value: String,
    /// Whether it is for the topic of holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) of_hold: bool,
}

/// What a batch brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// How many batches the journal has with this one.
    pub(super) batches: u64,
    /// The brokers have all events of entries with at most so many.
    pub(super) published: u64,
    /// From where on each partition is read, by its name.
    pub(super) read: BTreeMap<String, u64>,
    pub(super) events: Vec<Event>,
    /// The commands whose transactions began to wait, and the ids of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) opened: Vec<(u64, String)>,
    /// The commands whose transactions do not wait any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) closed: Vec<u64>,
}

/// What opening found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The entries whose events brokers may not have, in their order.
    pub(super) unpublished: Vec<Entry>,
    /// From where on to read.
    pub(super) read: BTreeMap<String, u64>,
    /// Batches of the journal of which the outbox knows nothing: somebody else executed them.
    pub(super) unknown: Range<u64>,
}

/// The outbox of a journal.
pub(super) struct Outbox {
    path: PathBuf,
    file: File,
    bytes: u64,
    compact_at: u64,
    /// The last entry, without its events.
    last: Entry,
    /// The ids of transactions that wait, by the command that made each.
    open: BTreeMap<u64, String>,
}

impl Outbox {
    /// Opens the outbox beside a journal that has so many batches, or begins one.
    pub(super) fn open(journal: &Path, batches: u64) -> Result<(Outbox, Found), Failure> {
        let path = journal.join(NAME);
        let mut entries = read(&path)?;
        let in_journal = |entry: &Entry| entry.batches <= batches;
        let kept = entries.iter().position(|entry| !in_journal(entry)).unwrap_or(entries.len());
        entries.truncate(kept);
        // The first batch of a journal holds its limits.
        let begun = Entry { batches: 1, published: 1, ..Entry::default() };
        let mut open = BTreeMap::new();
        entries.iter().for_each(|entry| entry.follow(&mut open));
        let last = entries.last().map_or(begun, Entry::without_its_own);
        let unknown = last.batches..batches;
        let unpublished = unpublished(entries, last.published);
        let (file, bytes) = rewrite(&path, &unpublished, (&last, &open))?;
        let found = Found { read: last.read.clone(), unpublished, unknown };
        Ok((Outbox { path, file, bytes, compact_at: COMPACT_BYTES, last, open }, found))
    }

    /// Writes an entry; one that holds events is on disk when this returns.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), Failure> {
        if self.bytes >= self.compact_at {
            // The new entry comes after it: until its batch is in the journal the one before counts.
            let entries = unpublished(read(&self.path)?, entry.published);
            (self.file, self.bytes) = rewrite(&self.path, &entries, (&self.last, &self.open))?;
            self.compact_at = COMPACT_BYTES.max(2 * self.bytes);
        }
        let line = line(entry);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| match entry.events[..] {
            [] => Ok(()),
            _ => self.file.sync_data(),
        });
        written.map_err(|error| unwritable(&self.path, &error))?;
        self.bytes += line.len() as u64;
        entry.follow(&mut self.open);
        self.last = entry.without_its_own();
        Ok(())
    }

    /// Forgets the ids of those that wait no longer: what was not brought to disk of an entry without
    /// events may be gone.
    pub(super) fn keep_open(&mut self, waits: impl Fn(&str) -> bool) {
        self.open.retain(|_, id| waits(id));
    }

    /// The ids of transactions that wait, by the command that made each.
    pub(super) fn open_ids(&self) -> &BTreeMap<u64, String> {
        &self.open
    }

    /// The last entry, without its events.
    pub(super) fn last(&self) -> &Entry {
        &self.last
    }
}

impl Entry {
    /// What it says of how far everything is.
    fn without_its_own(&self) -> Entry {
        let Entry { batches, published, ref read, .. } = *self;
        Entry { batches, published, read: read.clone(), ..Entry::default() }
    }

    /// What waits after it.
    fn follow(&self, open: &mut BTreeMap<u64, String>) {
        open.extend(self.opened.iter().cloned());
        self.closed.iter().for_each(|seq| drop(open.remove(seq)));
    }
}

/// The entries whose events brokers may not have, with nothing else.
fn unpublished(entries: Vec<Entry>, published: u64) -> Vec<Entry> {
    let is_unpublished = |entry: &Entry| entry.batches > published && !entry.events.is_empty();
    let mut kept: Vec<Entry> = entries.into_iter().filter(is_unpublished).collect();
    kept.iter_mut().for_each(|entry| (entry.opened, entry.closed) = Default::default());
    kept
}

/// The entries of a file. A last one that a crash left unfinished is none.
fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unwritable(path, &error)),
    };
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut entries = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match parse(line) {
            Some(entry) => entries.push(entry),
            None if at + 1 == lines.len() => {}
            None => return Err(damaged(path, at + 1)),
        }
    }
    Ok(entries)
}

fn parse(line: &[u8]) -> Option<Entry> {
    let line = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (hash, entry) = line.split_at_checked(HASH_DIGITS)?;
    let entry = entry.strip_prefix(' ')?;
    (hash == digits(entry)).then(|| serde_json::from_str(entry).ok())?
}

fn line(entry: &Entry) -> String {
    let entry = serde_json::json!(entry).to_string();
    format!("{} {entry}\n", digits(&entry))
}

fn digits(entry: &str) -> String {
    format!("{:016x}", xxh3_64(entry.as_bytes()))
}

/// Puts a file with these entries in the place of another, at once or not at all. Gives the file, to be
/// written on, and its length.
fn rewrite(
    path: &Path,
    entries: &[Entry],
    (last, open): (&Entry, &BTreeMap<u64, String>),
) -> Result<(File, u64), Failure> {
    let opened = open.iter().map(|(seq, id)| (*seq, id.clone())).collect();
    let last = Entry { opened, ..last.clone() };
    let text: String = entries.iter().chain([&last]).map(line).collect();
    let new = path.with_extension("new");
    let written = || {
        fs::write(&new, &text)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())?;
        OpenOptions::new().append(true).open(path)
    };
    let file = written().map_err(|error| unwritable(path, &error))?;
    Ok((file, text.len() as u64))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure::Environment(Message::new(
        format!("the outbox {path} cannot be used: {error}"),
        format!("无法使用发件箱 {path}：{error}"),
    ))
}

fn damaged(path: &Path, line: usize) -> Failure {
    let path = path.display();
    Failure::No(Message::new(
        format!(
            "line {line} of the outbox {path} is not as it was written; moved away, it is begun anew: \
             events that were not published then never are, and decisions are read from the first"
        ),
        format!(
            "发件箱 {path} 第 {line} 行已损坏；移走该文件后会重新开始：当时未发布的事件不再发布，\
             并从头读取决定"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> Event {
        let value = format!("{{\"event_id\":\"{id}\"}}");
        Event { key: "k".to_owned(), value, of_hold: false }
    }

    fn entry(batches: u64, published: u64, read: u64, ids: &[&str]) -> Entry {
        let events = ids.iter().map(|id| event(id)).collect();
        let read = BTreeMap::from([("decisions/0".to_owned(), read)]);
        Entry { batches, published, read, events, ..Entry::default() }
    }

    fn ids(found: &Found) -> Vec<&str> {
        let events = found.unpublished.iter().flat_map(|entry| &entry.events);
        events.map(|event| event.value.split('"').nth(3).unwrap()).collect()
    }

    /// What brokers do not have is published again, what they have is not, and reading goes on from
    /// where it was: whatever the journal has of it.
    #[test]
    fn what_the_journal_has_is_published_and_what_it_has_not_is_forgotten() {
        let rows: [(u64, &[&str], u64, Range<u64>); 5] = [
            // The journal's batches; what is published again; from where on is read; what is unknown.
            (5, &["c", "d"], 40, 5..5),
            (4, &["c"], 30, 4..4),
            // With the entry of batch 3 that of its acknowledgement is gone.
            (3, &["b"], 20, 3..3),
            (2, &["a"], 10, 2..2),
            (9, &["c", "d"], 40, 5..9),
        ];
        for (batches, published, read, unknown) in rows {
            let directory = tempfile::tempdir().unwrap();
            let (mut outbox, found) = Outbox::open(directory.path(), 1).unwrap();
            assert_eq!(found, Found { unknown: 1..1, ..Found::default() });
            outbox.append(&entry(2, 1, 10, &["a"])).unwrap();
            outbox.append(&entry(3, 2, 20, &["b"])).unwrap();
            outbox.append(&entry(4, 3, 30, &["c"])).unwrap();
            outbox.append(&entry(5, 3, 40, &["d"])).unwrap();
            drop(outbox);
            // Opened twice, it says the same.
            for _ in 0..2 {
                let (_, found) = Outbox::open(directory.path(), batches).unwrap();
                assert_eq!(ids(&found), published, "of {batches}");
                assert_eq!(found.read["decisions/0"], read, "of {batches}");
                assert_eq!(found.unknown, unknown);
            }
        }
    }

    /// Cut off at any byte, an outbox has the entries that are whole.
    #[test]
    fn an_unfinished_entry_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let entries = [entry(2, 1, 1, &["a"]), entry(3, 1, 2, &["b", "c"]), entry(3, 3, 5, &[])];
        let lines: Vec<String> = entries.iter().map(line).collect();
        let whole = lines.concat();
        let mut end = 0;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            if lines.get(end).is_some_and(|_| cut >= lines[..=end].concat().len()) {
                end += 1;
            }
            assert_eq!(read(&path).unwrap(), entries[..end], "at {cut}");
        }
    }

    /// A changed byte before the end is damage and not a crash.
    #[test]
    fn a_changed_byte_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let first = line(&entry(2, 1, 1, &["a"]));
        let text = first.clone() + &line(&entry(3, 1, 2, &["b"]));
        for at in 0..first.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let failure = Outbox::open(directory.path(), 9).err().expect("it is damaged");
            assert_eq!(failure.exit_code(), 1, "byte {at}");
        }
    }

    /// Whatever the journal has, the ids are those of what waits then; also after the file was written
    /// anew, and where that was for an entry whose batch never came into the journal.
    #[test]
    fn it_knows_the_ids_of_what_waits() {
        let opened = |batch: u64, seq: u64, closed: &[u64]| {
            let ids = [if seq > 0 { vec![(seq, format!("t{seq}"))] } else { Vec::new() }].concat();
            Entry { opened: ids, closed: closed.to_vec(), ..entry(batch, 1, batch, &["e"]) }
        };
        for compact in [false, true] {
            for (batches, expected) in
                [(5, vec![20, 40]), (4, vec![20]), (3, vec![10, 20]), (1, vec![])]
            {
                let directory = tempfile::tempdir().unwrap();
                let (mut outbox, _) = Outbox::open(directory.path(), 1).unwrap();
                let entries = [
                    opened(2, 10, &[]),
                    opened(3, 20, &[]),
                    opened(4, 0, &[10]),
                    opened(5, 40, &[]),
                ];
                for entry in &entries {
                    // For the last one alone: what is not in the journal may have been before.
                    if compact && entry.batches == batches + 1 {
                        outbox.compact_at = 1;
                    }
                    outbox.append(entry).unwrap();
                }
                drop(outbox);
                for _ in 0..2 {
                    let (outbox, _) = Outbox::open(directory.path(), batches).unwrap();
                    let found: Vec<u64> = outbox.open_ids().keys().copied().collect();
                    assert_eq!(found, expected, "{batches} batches, {compact}");
                    assert!(outbox.open_ids().iter().all(|(seq, id)| *id == format!("t{seq}")));
                }
            }
        }
    }

    /// It does not grow with what is published, and loses nothing when it is written anew.
    #[test]
    fn it_is_as_large_as_what_waits() {
        let directory = tempfile::tempdir().unwrap();
        let (mut outbox, _) = Outbox::open(directory.path(), 1).unwrap();
        outbox.compact_at = 4_096;
        for batch in 2..2_000 {
            outbox.compact_at = outbox.compact_at.min(8_192);
            outbox.append(&entry(batch, batch - 2, batch, &["x"])).unwrap();
        }
        assert!(fs::metadata(directory.path().join(NAME)).unwrap().len() < 10_000);
        let (_, found) = Outbox::open(directory.path(), 1_999).unwrap();
        let waiting: Vec<u64> = found.unpublished.iter().map(|entry| entry.batches).collect();
        assert_eq!(waiting, [1_998, 1_999]);
    }
}
