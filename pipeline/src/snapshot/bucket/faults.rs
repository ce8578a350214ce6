//! An object store in memory on which things go wrong when a test says so.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Address, Bucket};
use crate::snapshot::{Part, State, Store};

/// Called before an object is read.
pub(crate) type BeforeGet = Box<dyn FnMut(&Key) + Send>;

#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) inner: Arc<InMemory>,
    /// What was put, in order, tries that failed included.
    pub(crate) puts: Mutex<Vec<String>>,
    /// So many puts succeed, and none after them.
    pub(crate) puts_left: Mutex<Option<usize>>,
    pub(crate) before_get: Mutex<Option<BeforeGet>>,
    /// Whether it is not to be reached.
    pub(crate) away: Mutex<bool>,
    /// While this is so, puts wait.
    pub(crate) stuck: (Mutex<bool>, Condvar),
}

impl Faults {
    pub(crate) fn new() -> Arc<Faults> {
        Arc::default()
    }

    /// The same objects, seen by somebody else.
    pub(crate) fn beside(&self) -> Arc<Faults> {
        Arc::new(Faults { inner: self.inner.clone(), ..Faults::default() })
    }

    /// A place in it whose pieces are so long.
    pub(crate) fn bucket(self: &Arc<Faults>, piece: u64) -> Bucket {
        let address = Address::parse("s3://bucket/some/prefix").unwrap();
        Bucket { piece, ..Bucket::of(self.clone(), &address).unwrap() }
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        *self.stuck.0.lock().unwrap() = stuck;
        self.stuck.1.notify_all();
    }

    fn reach(&self) -> Result<()> {
        if *self.away.lock().unwrap() { Err(failed("nobody answers")) } else { Ok(()) }
    }
}

fn failed(why: &str) -> Error {
    Error::Generic { store: "test", source: why.into() }
}

/// State that can be told from another's.
pub(crate) fn state(of: u8) -> State {
    let part = |keeper: &str, number: u32| {
        // Bytes that cannot be compressed.
        let of = (u32::from(of) << 16 | number).to_le_bytes();
        let mut bytes = vec![0; 7 + number as usize * 50];
        blake3::Hasher::new().update(&of).finalize_xof().fill(&mut bytes);
        Part { keeper: keeper.to_owned(), number, bytes }
    };
    State { until: Some(i64::from(of)), parts: vec![part("a", 0), part("b", 1), part("b", 2)] }
}

/// A directory of snapshots of these numbers.
pub(crate) fn written(numbers: &[u64], keep: usize) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(&directory.path().join("snapshots"), keep);
    for number in numbers {
        store.write(*number, serde_json::json!(number), &state(*number as u8)).unwrap();
    }
    (directory, store)
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

#[async_trait]
impl ObjectStore for Faults {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.reach()?;
        self.puts.lock().unwrap().push(location.to_string());
        let (stuck, changed) = &self.stuck;
        drop(changed.wait_while(stuck.lock().unwrap(), |stuck| *stuck).unwrap());
        if let Some(left) = &mut *self.puts_left.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| failed("no put more"))?;
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        self.reach()?;
        if let Some(before) = &mut *self.before_get.lock().unwrap() {
            before(location);
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.reach() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => Box::pin(futures_util::stream::iter([Err(error)])),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
