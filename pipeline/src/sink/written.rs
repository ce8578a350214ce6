//! What a run wrote, file by file: by their bytes and hashes in `run.toml` whoever reads the run sees
//! that a file is no more what it was.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its name in the directory.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// BLAKE3 of it, in hexadecimal.
    pub blake3: String,
}

impl Written {
    /// Writes a file whole.
    pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<Written> {
        let mut file = Hashed::create(path)?;
        file.write_all(bytes)?;
        Ok(file.written())
    }

    /// Whether the file in `directory` is still so. All of it is read, unless it is of another length.
    ///
    /// # Errors
    /// When it is gone, or cannot be read.
    pub(crate) fn is_in(&self, directory: &Path) -> io::Result<bool> {
        let file = File::open(directory.join(&self.name))?;
        if file.metadata()?.len() != self.bytes {
            return Ok(false);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file)?;
        Ok(hasher.finalize().to_hex().as_str() == self.blake3)
    }
}

/// A file in the making, hashed as it is written, so that nobody has to read it again for that.
#[derive(Debug)]
pub(crate) struct Hashed {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Hashed {
    pub(crate) fn create(path: &Path) -> io::Result<Hashed> {
        let (file, hasher) = (File::create(path)?, blake3::Hasher::new());
        Ok(Hashed { path: path.to_owned(), file, hasher, bytes: 0 })
    }

    /// What was written, all of it.
    pub(crate) fn written(self) -> Written {
        Written {
            name: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
        }
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is hashed as it is written is the file, and every other byte is seen.
    #[test]
    fn a_file_is_what_was_written_until_somebody_changes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bin");
        let bytes: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let mut file = Hashed::create(&path).unwrap();
        bytes.chunks(777).for_each(|some| file.write_all(some).unwrap());
        let written = file.written();
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let expect = Written { name: "a.bin".to_owned(), bytes: 100_000, blake3: hash };
        assert_eq!(written, expect);
        assert!(written.is_in(directory.path()).unwrap());
        let mut other = bytes.clone();
        other[99_999] ^= 1;
        for changed in [&other[..], &bytes[..99_999], &[&bytes[..], b"x"].concat(), b""] {
            std::fs::write(&path, changed).unwrap();
            assert!(!written.is_in(directory.path()).unwrap());
        }
        assert_eq!(Written::put(&path, &bytes).unwrap(), expect);
        std::fs::remove_file(&path).unwrap();
        assert!(written.is_in(directory.path()).is_err());
    }
}
