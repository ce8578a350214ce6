//! Where the journal keeps its files: one directory of named files, real or simulated.
//!
//! [`Storage`] is what the journal asks of a disk, no more, so that a simulated disk with faults
//! can stand in its place. What each call promises once it has returned `Ok`:
//!
//! | call | after a crash of the machine |
//! |---|---|
//! | `create`, `rename`, `remove` | nothing, until `sync_directory` |
//! | `append`, `truncate` | nothing, until `sync` of that file |
//! | `sync` | the bytes and the length of the file are kept, if its directory entry is |
//! | `sync_directory` | the names are kept |
//!
//! Of what was appended and not synced any 512-byte sector may be lost, also one in front of others
//! that are kept; it then reads as zeros. Bytes that were synced stay as they are when more is
//! appended to the same sector. After an error of `append`, `truncate` or `sync` nothing is known
//! about what was not synced before.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One directory of named files. All calls are synchronous; names have no slash.
///
/// Every error names the file that it is about.
pub trait Storage {
    /// The names of all files, in ascending order of their bytes.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The length of a file in bytes.
    fn len(&self, name: &str) -> io::Result<u64>;
    /// The whole of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Up to `bytes` bytes from `offset` on: fewer only where the file ends.
    fn read_range(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>>;
    /// A new, empty file. It is an error if there is one of that name.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Puts bytes at the end of a file.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Makes what a file holds, and its length, survive a crash of the machine.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Cuts a file to `bytes` bytes; a file is never made longer.
    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()>;
    /// Gives a file another name, in one step, in place of a file that had it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes the names of files survive a crash of the machine.
    fn sync_directory(&mut self) -> io::Result<()>;
    /// A file without a name, which is gone with its last handle; none where there are no real
    /// files.
    fn scratch(&self) -> Option<io::Result<File>> {
        None
    }
}

/// The file whose lock says that a process writes to the directory. It is not listed.
const LOCK: &str = "lock";

/// A real directory. One process at a time may write to it.
///
/// Files grow by plain appends. Writing zeros ahead was measured and left out: with the cost of the
/// zeros counted, batches of 60 and 600 kB were as often slower as faster.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held for as long as this value or another handle beside it lives; none if it may only read.
    lock: Option<Arc<File>>,
    /// Files appended to. A handle is kept until its file is synced, because the system tells of a
    /// failed write only to handles that were open at that time.
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    unsynced: bool,
}

impl Directory {
    /// A directory to write to, made if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceBusy`] if another handle, of this or another process, writes to it.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Directory> {
        let path = path.into();
        let context = |error| named(error, &path.to_string_lossy());
        fs::create_dir_all(&path).map_err(context)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(context)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    ErrorKind::ResourceBusy,
                    format!("{}: another process writes to this journal", path.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(context(error)),
        }
        Ok(Directory { path, lock: Some(Arc::new(file)), open: BTreeMap::new() })
    }

    /// A directory to read from, also while another process writes to it. Every call that would
    /// change something is an error.
    pub fn read_only(path: impl Into<PathBuf>) -> io::Result<Directory> {
        let path = path.into();
        fs::metadata(&path).map_err(|error| named(error, &path.to_string_lossy()))?;
        Ok(Directory { path, lock: None, open: BTreeMap::new() })
    }

    /// Another handle under the same lock, for files that this one leaves alone.
    pub fn beside(&self) -> Directory {
        Directory { path: self.path.clone(), lock: self.lock.clone(), open: BTreeMap::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name == LOCK || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "is no name of a file of the journal",
            ));
        }
        Ok(self.path.join(name))
    }

    fn writable(&self, name: &str) -> io::Result<PathBuf> {
        if self.lock.is_none() {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the directory was opened for reading",
            ));
        }
        self.file(name)
    }

    /// The kept handle of a file. Handles of other files are let go if nothing of theirs waits.
    fn handle(&mut self, name: &str) -> io::Result<&mut Open> {
        let path = self.writable(name)?;
        if !self.open.contains_key(name) {
            let file = OpenOptions::new().append(true).open(path)?;
            self.open.retain(|_, open| open.unsynced);
            self.open.insert(name.to_owned(), Open { file, unsynced: false });
        }
        Ok(self.open.get_mut(name).expect("it was put there"))
    }
}

impl Storage for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let context = |error| named(error, &self.path.to_string_lossy());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(context)? {
            let entry = entry.map_err(context)?;
            if entry.file_type().map_err(context)?.is_file()
                && let Ok(name) = entry.file_name().into_string()
                && self.file(&name).is_ok()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let length = self.file(name).and_then(fs::metadata).map(|found| found.len());
        length.map_err(|error| named(error, name))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.file(name).and_then(fs::read).map_err(|error| named(error, name))
    }

    fn read_range(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let read = || {
            let mut file = File::open(self.file(name)?)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut found = Vec::new();
            file.take(bytes as u64).read_to_end(&mut found)?;
            Ok(found)
        };
        read().map_err(|error| named(error, name))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let create = || {
            let path = self.writable(name)?;
            OpenOptions::new().append(true).create_new(true).open(path)
        };
        let file = create().map_err(|error| named(error, name))?;
        self.open.retain(|_, open| open.unsynced);
        self.open.insert(name.to_owned(), Open { file, unsynced: true });
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let append = |open: &mut Open| {
            open.unsynced = true;
            open.file.write_all(bytes)
        };
        self.handle(name).and_then(append).map_err(|error| named(error, name))
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let sync = |open: &mut Open| {
            open.file.sync_data()?;
            open.unsynced = false;
            Ok(())
        };
        self.handle(name).and_then(sync).map_err(|error| named(error, name))
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let truncate = |open: &mut Open| {
            if bytes > open.file.metadata()?.len() {
                return Err(io::Error::new(ErrorKind::InvalidInput, "a cut makes no file longer"));
            }
            open.unsynced = true;
            open.file.set_len(bytes)
        };
        self.handle(name).and_then(truncate).map_err(|error| named(error, name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let rename = || fs::rename(self.writable(from)?, self.writable(to)?);
        rename().map_err(|error| named(error, from))?;
        self.open.remove(from);
        self.open.remove(to);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.writable(name).and_then(fs::remove_file).map_err(|error| named(error, name))?;
        self.open.remove(name);
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let sync = || {
            self.writable("directory")?;
            File::open(&self.path)?.sync_all()
        };
        sync().map_err(|error| named(error, &self.path.to_string_lossy()))
    }

    fn scratch(&self) -> Option<io::Result<File>> {
        let file = tempfile::tempfile_in(&self.path);
        Some(file.map_err(|error| named(error, &self.path.to_string_lossy())))
    }
}

/// The same error with the file's name in front.
fn named(error: io::Error, name: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    /// What both kinds of storage must do alike.
    fn behaves(storage: &mut dyn Storage) {
        storage.create("a").unwrap();
        assert_eq!(storage.create("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
        storage.append("a", b"0123").unwrap();
        storage.append("a", b"456789").unwrap();
        storage.sync("a").unwrap();
        assert_eq!(storage.read("a").unwrap(), b"0123456789");
        assert_eq!(storage.read_range("a", 3, 4).unwrap(), b"3456");
        assert_eq!(storage.read_range("a", 8, 4).unwrap(), b"89");
        assert_eq!(storage.read_range("a", 12, 4).unwrap(), b"");
        assert_eq!(storage.len("a").unwrap(), 10);
        storage.truncate("a", 2).unwrap();
        assert_eq!(storage.truncate("a", 3).unwrap_err().kind(), ErrorKind::InvalidInput);
        storage.append("a", b"x").unwrap();
        assert_eq!(storage.read("a").unwrap(), b"01x");
        storage.create("b").unwrap();
        storage.append("b", b"of b").unwrap();
        storage.rename("b", "a").unwrap();
        storage.append("a", b"!").unwrap();
        storage.sync_directory().unwrap();
        assert_eq!(storage.list().unwrap(), ["a"]);
        assert_eq!(storage.read("a").unwrap(), b"of b!");
        for error in [
            storage.read("none").unwrap_err(),
            storage.len("none").unwrap_err(),
            storage.append("none", b"").unwrap_err(),
            storage.sync("none").unwrap_err(),
            storage.rename("none", "a").unwrap_err(),
            storage.remove("none").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("none"), "{error}");
        }
        storage.remove("a").unwrap();
        assert!(storage.list().unwrap().is_empty());
    }

    #[test]
    fn a_directory_keeps_files() {
        let place = tempfile::tempdir().unwrap();
        behaves(&mut Directory::open(place.path()).unwrap());
    }

    #[test]
    fn the_storage_of_the_tests_does_the_same() {
        behaves(&mut Memory::default());
    }

    #[test]
    fn one_handle_at_a_time_writes() {
        let place = tempfile::tempdir().unwrap();
        let first = Directory::open(place.path()).unwrap();
        let error = Directory::open(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert!(Directory::read_only(place.path()).is_ok(), "reading is always possible");
        drop(first);
        assert!(Directory::open(place.path()).is_ok(), "the lock ends with its holder");
    }

    #[test]
    fn a_reader_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        Directory::open(place.path()).unwrap().create("a").unwrap();
        let mut reader = Directory::read_only(place.path()).unwrap();
        for result in [
            reader.create("b"),
            reader.append("a", b"x"),
            reader.truncate("a", 0),
            reader.remove("a"),
            reader.rename("a", "b"),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(reader.list().unwrap(), ["a"]);
    }

    #[test]
    fn a_name_leads_to_no_other_directory() {
        let place = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(place.path()).unwrap();
        for name in ["../a", "a/b", "", ".", "..", LOCK] {
            assert_eq!(directory.create(name).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
