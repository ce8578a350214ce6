//! A storage in memory for tests, with calls that can be made to fail.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::storage::Storage;

/// Files in memory. A clone is a copy of the disk at that moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// What each file holds.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// What each file held when it was last synced, also under names that it had before.
    pub(crate) synced: BTreeMap<String, Vec<u8>>,
    /// The names when the directory was last synced.
    names: Vec<String>,
    /// The call that fails, as `sync` or `append`, and how many of its kind go well before.
    pub(crate) fails: Option<(&'static str, usize)>,
    /// How many bytes an append that fails leaves behind.
    pub(crate) torn_bytes: usize,
    /// Calls that changed something, each its name and its file.
    pub(crate) calls: Vec<(&'static str, String)>,
}

impl Memory {
    /// What a file holds.
    pub(crate) fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.files.get_mut(name).unwrap_or_else(|| panic!("no file {name}"))
    }

    /// The disk after the worst crash of the machine: all is lost that was not synced.
    pub(crate) fn crashed(&self) -> Memory {
        let file =
            |name: &String| (name.clone(), self.synced.get(name).cloned().unwrap_or_default());
        let files: BTreeMap<_, _> = self.names.iter().map(file).collect();
        let (synced, names) = (files.clone(), self.names.clone());
        Memory { files, synced, names, ..Memory::default() }
    }

    fn call(&mut self, call: &'static str, name: &str) -> io::Result<()> {
        self.calls.push((call, name.to_owned()));
        if let Some((failing, left)) = &mut self.fails
            && *failing == call
        {
            if *left == 0 {
                return Err(io::Error::new(
                    ErrorKind::StorageFull,
                    format!("{name}: {call} failed"),
                ));
            }
            *left -= 1;
        }
        Ok(())
    }

    fn found(&mut self, name: &str) -> io::Result<&mut Vec<u8>> {
        self.files.get_mut(name).ok_or_else(|| missing(name))
    }
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.files.get(name).map(|file| file.len() as u64).ok_or_else(|| missing(name))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files.get(name).cloned().ok_or_else(|| missing(name))
    }

    fn read_range(&self, name: &str, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let file = self.files.get(name).ok_or_else(|| missing(name))?;
        let start = (offset as usize).min(file.len());
        Ok(file[start..(start + bytes).min(file.len())].to_vec())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.call("create", name)?;
        if self.files.contains_key(name) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{name}: exists")));
        }
        self.files.insert(name.to_owned(), Vec::new());
        self.synced.insert(name.to_owned(), Vec::new());
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let called = self.call("append", name);
        let torn = self.torn_bytes.min(bytes.len());
        let file = self.found(name)?;
        file.extend_from_slice(if called.is_ok() { bytes } else { &bytes[..torn] });
        called
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.call("sync", name)?;
        let bytes = self.found(name)?.clone();
        self.synced.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.call("truncate", name)?;
        let file = self.found(name)?;
        if bytes > file.len() as u64 {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("{name}: would grow")));
        }
        file.truncate(bytes as usize);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.call("rename", from)?;
        let file = self.files.remove(from).ok_or_else(|| missing(from))?;
        self.files.insert(to.to_owned(), file);
        let synced = self.synced.get(from).cloned().unwrap_or_default();
        self.synced.insert(to.to_owned(), synced);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.call("remove", name)?;
        self.files.remove(name).map(drop).ok_or_else(|| missing(name))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.call("sync_directory", "")?;
        self.names = self.files.keys().cloned().collect();
        Ok(())
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{name}: there is no such file"))
}
