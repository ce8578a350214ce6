//! Snapshots in an object store, so that a stream goes on from them on another machine.
//!
//! ```text
//! PREFIX/.stream                                 whose they are
//! PREFIX/00000000000000000042-0123456789abcdef/  its number, and how the hash of its manifest begins
//!   parts-0.000000000000                         its files as they are on disk, in pieces that are
//!   parts-0.000008388608 ..                      named by where in the file they begin
//!   manifest.json                                the same; put last, and removed first
//! ```
//!
//! An object is there as a whole or not at all, so a snapshot is there when its manifest is. Its name
//! says what is in it: who puts the same one again leaves out what is there already, and two who put
//! different ones under one number are not in each other's way. Pieces are put one by one, and not
//! by a multipart upload, of which a program that dies would leave parts that no listing shows.
//!
//! What is fetched is written to the local directory, and checked there as any other snapshot.

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig};
use tokio::runtime::{Builder, Runtime};

use super::parts::{self, Opened};
use super::store::{self, MANIFEST, Manifest, Whole};
use super::{Found, Store, Stored, Unusable};
use crate::diagnostic::Message;

/// Bytes of a piece. It is in memory while it is put, and put again as a whole where that fails.
const PIECE: u64 = 8 << 20;
/// So many pieces are on their way at once: a request alone fills no line.
const AT_ONCE: usize = 4;
/// How long a request is tried again before the store is said to be away.
const RETRIED: Duration = Duration::from_secs(20);
/// Says whose a prefix is.
const OWNER: &str = ".stream";
/// How often a search begins again because somebody removed what it had found.
const LISTINGS: usize = 3;
/// How the crate begins to tell of an answer that is no success.
const STATUS: &str = "status code: ";
/// How much of the hash of a manifest is in a name.
const HASH: usize = 16;

/// What a store is called in a configuration: `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    bucket: String,
    prefix: Key,
}

/// A place for snapshots in an object store.
#[derive(Debug)]
pub struct Bucket {
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    address: String,
    claimed: OnceLock<()>,
    /// Bytes of a piece.
    piece: u64,
}

/// Why a snapshot was not put.
#[derive(Debug)]
pub enum NotPut {
    /// The one on disk cannot be used.
    Local(Unusable),
    /// The prefix is another's, who says so.
    Another(String),
    /// The store does not do what it was asked to.
    Away(String),
}

/// What is in the store under the name of a snapshot: objects and how long they are.
#[derive(Debug)]
struct Listed {
    number: u64,
    name: String,
    objects: BTreeMap<String, u64>,
}

impl Listed {
    fn is_whole(&self) -> bool {
        self.objects.contains_key(MANIFEST)
    }
}

/// Why a snapshot could not be fetched.
enum Missed {
    /// Somebody has removed it since it was listed, or some of it.
    Gone,
    Unusable(Unusable),
    Away(Error),
    Disk(io::Error),
}

impl From<io::Error> for Missed {
    fn from(error: io::Error) -> Missed {
        Missed::Disk(error)
    }
}

impl From<Unusable> for Missed {
    fn from(why: Unusable) -> Missed {
        Missed::Unusable(why)
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Missed {
        match error {
            Error::NotFound { .. } => Missed::Gone,
            error => Missed::Away(error),
        }
    }
}

impl From<Error> for NotPut {
    fn from(error: Error) -> NotPut {
        NotPut::Away(told(&error))
    }
}

impl Address {
    /// Reads what a configuration says; none where it is no such address.
    pub fn parse(text: &str) -> Option<Address> {
        let (bucket, prefix) = text.strip_prefix("s3://")?.split_once('/')?;
        let prefix = Key::parse(prefix).ok().filter(|prefix| !prefix.as_ref().is_empty())?;
        (!bucket.is_empty()).then(|| Address { bucket: bucket.to_owned(), prefix })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl Bucket {
    /// A place in S3, or what speaks as it does. Keys, region and endpoint are those of the
    /// environment (`AWS_...`). Nothing is asked of it yet.
    ///
    /// # Errors
    /// Where these are not what they should be; it says which.
    pub fn open(address: &Address) -> Result<Bucket, String> {
        // Set by whoever was first; there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig { retry_timeout: RETRIED, ..RetryConfig::default() };
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(&address.bucket)
            .with_retry(retry)
            .build()
            .map_err(|error| told(&error))?;
        Bucket::of(Arc::new(store), address).map_err(|error| error.to_string())
    }

    fn of(store: Arc<dyn ObjectStore>, address: &Address) -> io::Result<Bucket> {
        Ok(Bucket {
            // Whoever calls does the work.
            runtime: Builder::new_current_thread().enable_all().build()?,
            store,
            prefix: address.prefix.clone(),
            address: address.to_string(),
            claimed: OnceLock::new(),
            piece: PIECE,
        })
    }

    /// What a person calls it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whose it is; nobody's yet if none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn owner(&self) -> Result<Option<String>, String> {
        self.read_owner().map_err(|error| told(&error))
    }

    fn read_owner(&self) -> Result<Option<String>, Error> {
        match self.get(&self.key(OWNER)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes it this owner's, if it is nobody's.
    fn claim(&self, owner: &str) -> Result<(), NotPut> {
        let mut found = self.read_owner()?;
        if found.is_none() {
            let put = self.put_object(&self.key(OWNER), owner.into(), PutMode::Create);
            found = match put {
                Ok(()) => Some(owner.to_owned()),
                // Somebody was faster.
                Err(Error::AlreadyExists { .. }) => self.read_owner()?,
                // One that cannot do that is told so (AWS_CONDITIONAL_PUT=disabled).
                Err(Error::NotImplemented { .. }) => {
                    self.put_object(&self.key(OWNER), owner.into(), PutMode::Overwrite)?;
                    self.read_owner()?
                }
                Err(error) => return Err(error.into()),
            };
        }
        match found {
            Some(found) if found != owner => Err(NotPut::Another(found)),
            _ => Ok(()),
        }
    }

    /// Puts a snapshot that is whole on disk, and takes away those before the last that are kept. Its
    /// files are held open, so that it does not matter when it is removed meanwhile.
    ///
    /// # Errors
    /// Where it could not be put: then it is not there, or what it replaces is not removed.
    pub fn put(&self, local: &Store, number: u64, owner: &str) -> Result<Stored, NotPut> {
        let whole =
            store::open(&local.path(number), number, |_, _| Ok(())).map_err(NotPut::Local)?;
        if self.claimed.get().is_none() {
            self.claim(owner)?;
            let _ = self.claimed.set(());
        }
        let hash = blake3::hash(whole.text.as_bytes()).to_hex();
        let name = format!("{number:020}-{}", &hash[..HASH]);
        let listed = self.list()?;
        let there = listed.iter().find(|listed| listed.name == name);
        if !there.is_some_and(Listed::is_whole) {
            let empty = BTreeMap::new();
            let there = there.map_or(&empty, |listed| &listed.objects);
            for (file, opened) in whole.files.iter().enumerate() {
                self.put_file(&name, whole.name(file), opened, there)?;
            }
            let manifest = self.key(&format!("{name}/{MANIFEST}"));
            self.put_object(&manifest, whole.text.clone().into_bytes(), PutMode::Overwrite)?;
        }
        self.remove_old(number, local.keep())?;
        Ok(whole.size())
    }

    /// Puts the pieces of a file that are not there.
    fn put_file(
        &self,
        name: &str,
        file: String,
        opened: &Opened,
        there: &BTreeMap<String, u64>,
    ) -> Result<(), NotPut> {
        let unreadable = |error: io::Error| NotPut::Local(Unusable::Broken(error.to_string()));
        let length = opened.length().map_err(unreadable)?;
        let pieces = (0..length).step_by(self.piece as usize).filter_map(|at| {
            let many = self.piece.min(length - at);
            let piece = format!("{file}.{at:012}");
            let is_there = there.get(&piece) == Some(&many);
            (!is_there).then(|| (self.key(&format!("{name}/{piece}")), at, many))
        });
        let put = |(key, at, many): (Key, u64, u64)| async move {
            let bytes = opened.read(at, many).map_err(unreadable)?;
            Ok::<_, NotPut>(self.store.put(&key, bytes.into()).await.map(drop)?)
        };
        let mut puts = stream::iter(pieces).map(put).buffered(AT_ONCE);
        self.runtime.block_on(async {
            while puts.try_next().await?.is_some() {}
            Ok(())
        })
    }

    /// Takes away what is before the last that are kept, and what is left of older ones that were
    /// never whole. What is newer than the one just put is somebody else's who is at work.
    fn remove_old(&self, put: u64, keep: usize) -> Result<(), Error> {
        let listed = self.list()?;
        let whole = listed.iter().rev().filter(|one| one.number <= put && one.is_whole());
        let oldest = whole.map(|listed| listed.number).nth(keep - 1).unwrap_or(0);
        for Listed { number, name, objects } in &listed {
            let manifest = self.key(&format!("{name}/{MANIFEST}"));
            if *number >= if objects.contains_key(MANIFEST) { oldest } else { put } {
                continue;
            }
            let others = objects.keys().filter(|object| *object != MANIFEST);
            let others = others.map(|object| self.key(&format!("{name}/{object}"))).collect();
            // So that nobody takes it for one that is whole.
            if objects.contains_key(MANIFEST) {
                self.delete(vec![manifest])?;
            }
            self.delete(others)?;
        }
        Ok(())
    }

    /// The newest snapshot that is whole and of which `fits` says that it can be used, on disk or in
    /// the store; what is only there is fetched to disk.
    ///
    /// # Errors
    /// Those of the disk. That the store is away is said in what is found.
    pub fn newest(
        &self,
        local: &Store,
        fits: impl Fn(u64, &serde_json::Value) -> Result<(), Message>,
    ) -> io::Result<Found> {
        for listing in 1..=LISTINGS {
            if let Some(found) = self.search(local, &fits, listing == LISTINGS)? {
                return Ok(found);
            }
        }
        unreachable!("the last search says what it found");
    }

    /// The same by one listing; none if something is no longer there of what was listed, and that is
    /// not the last try.
    fn search(
        &self,
        local: &Store,
        fits: &impl Fn(u64, &serde_json::Value) -> Result<(), Message>,
        is_last: bool,
    ) -> io::Result<Option<Found>> {
        let mut found = Found::default();
        let mut stored = self.list().unwrap_or_else(|error| {
            found.away = Some(told(&error));
            Vec::new()
        });
        stored.retain(Listed::is_whole);
        let here: BTreeSet<u64> = local.numbers()?.into_iter().collect();
        let all: BTreeSet<u64> =
            here.iter().copied().chain(stored.iter().map(|listed| listed.number)).collect();
        for number in all.into_iter().rev() {
            let path = local.path(number);
            if here.contains(&number)
                && found.take(number, path.clone(), store::open(&path, number, fits))
            {
                return Ok(Some(found));
            }
            for listed in stored.iter().filter(|listed| listed.number == number) {
                let shown = PathBuf::from(format!("{}/{}", self.address, listed.name));
                let opened = match self.fetch(listed, local, fits) {
                    Ok(whole) => Ok(whole),
                    Err(Missed::Gone) if !is_last => return Ok(None),
                    Err(Missed::Gone) => Err(Unusable::Broken("some of it is gone".to_owned())),
                    Err(Missed::Unusable(why)) => Err(why),
                    Err(Missed::Away(error)) => {
                        found.away = Some(told(&error));
                        continue;
                    }
                    Err(Missed::Disk(error)) => return Err(error),
                };
                if found.take(number, shown, opened) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(Some(found))
    }

    /// Brings a snapshot to disk, if it can be used.
    fn fetch(
        &self,
        listed: &Listed,
        local: &Store,
        fits: impl Fn(u64, &serde_json::Value) -> Result<(), Message>,
    ) -> Result<Whole, Missed> {
        let text = self.get(&self.key(&format!("{}/{MANIFEST}", listed.name)))?;
        let text = String::from_utf8_lossy(&text);
        let manifest = Manifest::read(&text, listed.number)?;
        fits(listed.number, &manifest.about).map_err(Unusable::Other)?;
        local.take_in(listed.number, &text, |directory| {
            for places in manifest.files() {
                let length = places.iter().map(|place| place.stored).sum();
                self.fetch_file(listed, &parts::name(places[0].file), length, directory)?;
            }
            Ok(())
        })
    }

    fn fetch_file(
        &self,
        listed: &Listed,
        name: &str,
        length: u64,
        directory: &Path,
    ) -> Result<(), Missed> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < length {
            let piece = format!("{name}.{at:012}");
            let size = listed.objects.get(&piece).copied().filter(|size| *size > 0);
            at += size.ok_or(Missed::Gone)?;
            pieces.push(self.key(&format!("{}/{piece}", listed.name)));
        }
        let mut file = File::create(directory.join(name))?;
        let get = |key: Key| async move { self.store.get(&key).await?.bytes().await };
        let mut gets = stream::iter(pieces).map(get).buffered(AT_ONCE);
        self.runtime.block_on(async {
            while let Some(bytes) = gets.try_next().await? {
                file.write_all(&bytes)?;
            }
            Ok(())
        })
    }

    /// What is there of snapshots, in order.
    fn list(&self) -> Result<Vec<Listed>, Error> {
        let listing = self.store.list(Some(&self.prefix)).try_collect::<Vec<ObjectMeta>>();
        let mut listed: BTreeMap<String, Listed> = BTreeMap::new();
        for meta in self.runtime.block_on(listing)? {
            let Some(path) = meta.location.prefix_match(&self.prefix) else { continue };
            let path: Vec<String> = path.map(|part| part.as_ref().to_owned()).collect();
            let [name, object] = path.as_slice() else { continue };
            let Some(number) = number_of(name) else { continue };
            let entry = listed.entry(name.clone());
            let new = || Listed { number, name: name.clone(), objects: BTreeMap::new() };
            entry.or_insert_with(new).objects.insert(object.clone(), meta.size);
        }
        Ok(listed.into_values().collect())
    }

    fn key(&self, path: &str) -> Key {
        Key::from(format!("{}/{path}", self.prefix))
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        let bytes = async { self.store.get(key).await?.bytes().await };
        self.runtime.block_on(bytes).map(Vec::from)
    }

    fn put_object(&self, key: &Key, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        self.runtime.block_on(self.store.put_opts(key, bytes.into(), mode.into())).map(drop)
    }

    /// Removes objects; what is no longer there is none.
    fn delete(&self, keys: Vec<Key>) -> Result<(), Error> {
        let keys = stream::iter(keys).map(Ok).boxed();
        let mut deleted = self.store.delete_stream(keys);
        self.runtime.block_on(async {
            while let Some(key) = deleted.next().await {
                match key {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }
}

/// The number of the snapshot of a name.
fn number_of(name: &str) -> Option<u64> {
    let (number, hash) = name.split_once('-')?;
    let is_ours = number.len() == 20 && hash.len() == HASH;
    number.parse().ok().filter(|_| is_ours)
}

/// What a person is told of an error, and of what is behind it. Not what a server said in its answer,
/// for some repeat in it the key or the token that they were shown.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let behind = std::iter::successors(error.source(), |error| (*error).source()).last();
    if let Some(behind) = behind.map(ToString::to_string).filter(|why| !text.contains(why)) {
        text = format!("{text}: {behind}");
    }
    // A status and its name, and then the answer, which is XML or whatever else.
    let (what, rest) = text.split_once(STATUS).map_or((text.as_str(), ""), |found| found);
    let status = rest.split([':', '<', '\n']).next().unwrap_or_default();
    let shown = if rest.is_empty() { String::new() } else { format!("{STATUS}{status}") };
    let what = what.split('<').next().unwrap_or_default();
    format!("{what}{shown}").trim_end().to_owned()
}
