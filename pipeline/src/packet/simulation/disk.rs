//! A disk that fails by the seed: calls that fail halfway, a sync after which the bytes are gone, no
//! space, and at a crash of the machine sectors of which nobody knows what they hold.
//!
//! It keeps what [`Storage`] promises and nothing more. Changes of names reach the disk in their
//! order, as in a journalling file system, but nobody knows how many of them have.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::workload::Dice;
use crate::packet::journal::Storage;

/// What is written at once: a sector is there or not, or torn.
const SECTOR: usize = 512;
/// How many calls in ten thousand fail.
const FAILING: u64 = 60;

/// What has gone wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// An append left less than it should have.
    ShortWrite,
    /// There is no space left, until the machine starts again.
    NoSpace,
    /// A sync failed, and what was to be synced will not be.
    SyncFailed,
    /// A file was not made, renamed or removed, or the names not synced.
    NameFailed,
    /// Of sectors that were not synced some were lost in a crash.
    SectorsLost,
    /// One of them was torn.
    SectorTorn,
    /// Changes of names were lost in a crash.
    NamesLost,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// A sync has failed: the system thinks that what was in it then is on disk, and will not write
    /// it again.
    forsaken: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Created(String, usize),
    Renamed(String, String),
    Removed(String),
}

/// The disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    dice: Dice,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    /// The names on disk, and what has changed of them since.
    synced: BTreeMap<String, usize>,
    changes: Vec<Change>,
    full: bool,
    /// Whether nothing fails any more.
    pub(super) sound: bool,
    /// What has gone wrong so far.
    pub(super) faults: BTreeMap<Fault, u32>,
    /// Calls that changed something.
    calls: Cell<u64>,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            dice: Dice::new(seed ^ 0xd15c),
            files: Vec::new(),
            names: BTreeMap::new(),
            synced: BTreeMap::new(),
            changes: Vec::new(),
            full: false,
            sound: false,
            faults: BTreeMap::new(),
            calls: Cell::new(0),
        }
    }

    fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    fn fails(&mut self) -> bool {
        self.calls.set(self.calls.get() + 1);
        !self.sound && self.dice.below(10_000) < FAILING
    }

    /// The process ends and another begins: what was written is there, synced or not. Where a sync
    /// has failed this is not enough, see the journal's documentation.
    pub(super) fn may_go_on(&self) -> bool {
        !self.names.values().any(|&file| self.files[file].forsaken)
    }

    /// The next process finds what this one left.
    pub(super) fn process_ends(&mut self) {
        self.full = false;
    }

    /// The machine crashes, and starts again.
    pub(super) fn machine_crashes(&mut self) {
        self.full = false;
        let kept = self.dice.below(self.changes.len() as u64 + 1) as usize;
        if kept < self.changes.len() {
            self.fault(Fault::NamesLost);
        }
        let changes = std::mem::take(&mut self.changes);
        for change in changes.into_iter().take(kept) {
            apply(&mut self.synced, change);
        }
        self.names = self.synced.clone();
        for file in self.names.values().copied().collect::<Vec<_>>() {
            self.lose_sectors(file);
        }
    }

    /// What was synced stays; of the rest each sector stays, is zeros, or is neither.
    fn lose_sectors(&mut self, number: usize) {
        let file = std::mem::take(&mut self.files[number]);
        let synced = file.synced.len().min(file.bytes.len());
        let whole = self.dice.chance(20) && !file.forsaken;
        let (mut lost, mut torn) = (false, false);
        let mut left = file.synced.clone();
        if file.bytes.len() > synced && file.bytes[..synced] == file.synced {
            let length = synced + self.dice.below((file.bytes.len() - synced) as u64 + 1) as usize;
            let length = if whole { file.bytes.len() } else { length };
            lost |= length < file.bytes.len();
            left = file.bytes[..length].to_vec();
            let mut at = synced;
            while at < length && !whole {
                let end = (at / SECTOR * SECTOR + SECTOR).min(length);
                match self.dice.below(4) {
                    0 => {
                        left[at..end].fill(0);
                        lost = true;
                    }
                    1 => {
                        let from = at + self.dice.below((end - at) as u64) as usize;
                        left[from..end].fill(0);
                        torn = true;
                    }
                    _ => {}
                }
                at = end;
            }
        }
        if lost {
            self.fault(Fault::SectorsLost);
        }
        if torn {
            self.fault(Fault::SectorTorn);
        }
        self.files[number] = File { synced: left.clone(), bytes: left, forsaken: false };
    }

    fn found(&self, name: &str) -> io::Result<&File> {
        let file = self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(&self.files[*file])
    }

    fn found_mut(&mut self, name: &str) -> io::Result<&mut File> {
        let file = self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(&mut self.files[*file])
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        if self.fails() {
            self.fault(Fault::NameFailed);
            return Err(io::Error::other("the name did not change"));
        }
        apply(&mut self.names, change.clone());
        self.changes.push(change);
        Ok(())
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Created(name, file) => drop(names.insert(name, file)),
        Change::Removed(name) => drop(names.remove(&name)),
        Change::Renamed(from, to) => {
            if let Some(file) = names.remove(&from) {
                names.insert(to, file);
            }
        }
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.found(name)?.bytes.len() as u64)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.found(name)?.bytes.clone())
    }

    fn read_range(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let file = &self.found(name)?.bytes;
        let start = (offset as usize).min(file.len());
        Ok(file[start..(start + bytes).min(file.len())].to_vec())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        if self.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if self.full {
            return Err(ErrorKind::StorageFull.into());
        }
        self.files.push(File::default());
        self.change(Change::Created(name.to_owned(), self.files.len() - 1))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fails = self.full || self.fails();
        let left =
            if fails { self.dice.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
        self.found_mut(name)?.bytes.extend_from_slice(&bytes[..left]);
        if !fails {
            return Ok(());
        }
        if self.full || self.dice.chance(40) {
            self.full = true;
            self.fault(Fault::NoSpace);
            return Err(ErrorKind::StorageFull.into());
        }
        self.fault(Fault::ShortWrite);
        Err(ErrorKind::WriteZero.into())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let fails = self.fails();
        let file = self.found_mut(name)?;
        if fails {
            file.forsaken = true;
            self.fault(Fault::SyncFailed);
            return Err(io::Error::other("the disk did not write"));
        }
        if !file.forsaken {
            file.synced = file.bytes.clone();
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.found_mut(name)?.bytes.truncate(bytes as usize);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.found(from)?;
        self.change(Change::Renamed(from.to_owned(), to.to_owned()))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.found(name)?;
        self.change(Change::Removed(name.to_owned()))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        if self.fails() {
            self.fault(Fault::NameFailed);
            return Err(io::Error::other("the names were not written"));
        }
        for change in std::mem::take(&mut self.changes) {
            apply(&mut self.synced, change);
        }
        Ok(())
    }
}
