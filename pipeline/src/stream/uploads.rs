//! Snapshots of a stream on their way to an object store: one at a time, by a thread of its own, and
//! the stream waits for none but the last, when it has ended.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::connect::Tell;
use crate::diagnostic::Message;
use crate::snapshot::{Bucket, NotPut, Store, Stored};
use crate::stopwatch::Since;

/// After one that could not be put nothing is tried for so long.
const PAUSE: Duration = Duration::from_secs(15);
/// How long the last one is waited for: `hongxian.service` gives a stream 60 s to end.
const LAST: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What puts snapshots.
#[derive(Debug)]
pub(super) struct Uploads {
    bucket: Arc<Bucket>,
    local: Store,
    owner: String,
    /// The newest that is on disk and was not begun to be put.
    next: Option<u64>,
    putting: Option<Putting>,
    /// When the last one could not be put.
    failed: Option<Since>,
    /// What was said since one was put: that it cannot be, and that some are skipped.
    told: (bool, bool),
    figures: Figures,
}

#[derive(Debug)]
struct Putting {
    number: u64,
    since: Since,
    thread: JoinHandle<Result<Stored, NotPut>>,
}

/// What is measured of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Those that were put, could not be put, and were not begun to be put before a newer one.
    pub(super) put: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    /// How long the last one took.
    pub(super) took: Option<Duration>,
    /// Since when the newest is there; where none was put, since when the program runs.
    pub(super) since: Since,
}

impl Uploads {
    pub(super) fn new(bucket: Arc<Bucket>, local: Store, owner: String) -> Uploads {
        let figures = Figures { put: 0, failed: 0, skipped: 0, took: None, since: Since::now() };
        let (next, putting, failed, told) = (None, None, None, (false, false));
        Uploads { bucket, local, owner, next, putting, failed, told, figures }
    }

    /// A snapshot is on disk. Where the one before is still on its way this one waits, in place of
    /// any other that does.
    pub(super) fn add(&mut self, number: u64, tell: Tell<'_>) {
        if self.next.replace(number).is_some() {
            self.figures.skipped += 1;
            // That it cannot be put at all was said.
            if self.putting.is_some() && !std::mem::replace(&mut self.told.1, true) {
                tell(&skipped(self.bucket.address()));
            }
        }
        self.poll(tell);
    }

    /// Takes note of one that is put or could not be, and begins the next.
    pub(super) fn poll(&mut self, tell: Tell<'_>) {
        if let Some(done) = self.putting.take_if(|putting| putting.thread.is_finished()) {
            let (number, took) = (done.number, done.since.elapsed());
            let gone = |_| Err(NotPut::Away("a panic".to_owned()));
            match done.thread.join().unwrap_or_else(gone) {
                Ok(_) => {
                    self.figures.put += 1;
                    (self.figures.took, self.figures.since) = (Some(took), Since::now());
                    if std::mem::take(&mut self.told).0 {
                        tell(&again(self.bucket.address()));
                    }
                    self.failed = None;
                }
                Err(why) => {
                    self.figures.failed += 1;
                    self.failed = Some(Since::now());
                    // One that cannot be read on disk will not be readable later.
                    if !matches!(why, NotPut::Local(_)) {
                        self.next.get_or_insert(number);
                    }
                    if !std::mem::replace(&mut self.told.0, true) {
                        tell(&self.not_put(number, &why));
                    }
                }
            }
        }
        let rests = self.failed.is_some_and(|failed| failed.elapsed() < PAUSE);
        if self.putting.is_none()
            && !rests
            && let Some(number) = self.next.take()
        {
            let (bucket, local) = (self.bucket.clone(), self.local.clone());
            let owner = self.owner.clone();
            let put = move || bucket.put(&local, number, &owner);
            let (since, thread) = (Since::now(), std::thread::spawn(put));
            self.putting = Some(Putting { number, since, thread });
        }
    }

    /// Waits until the last one is put, or for as long as that is reasonable.
    pub(super) fn finish(&mut self, tell: Tell<'_>) {
        let since = Since::now();
        self.failed = None;
        self.poll(tell);
        while self.putting.is_some() {
            if since.elapsed() > LAST {
                tell(&left(self.bucket.address()));
                return;
            }
            std::thread::sleep(POLL);
            self.poll(tell);
        }
    }

    pub(super) fn figures(&self) -> Figures {
        self.figures
    }

    fn not_put(&self, number: u64, why: &NotPut) -> Message {
        let address = self.bucket.address();
        match why {
            NotPut::Local(why) => why.tell(&self.local.path(number)),
            NotPut::Another(owner) => another(address, owner),
            NotPut::Away(why) => Message::new(
                format!(
                    "no snapshot could be put to {address}, and the stream goes on: {why}; on another \
                     machine it would begin at the one before"
                ),
                format!(
                    "无法把快照存入 {address}，流继续运行：{why}；在另一台机器上将从之前的快照开始"
                ),
            ),
        }
    }
}

/// Two streams with one prefix would take each other's snapshots away.
pub(super) fn another(address: &str, owner: &str) -> Message {
    let owner = owner.trim();
    Message::new(
        format!(
            "{address} holds the snapshots of the stream {owner}: give each stream a prefix of its \
             own in `store`; or, if that stream is no more, remove {address}/.stream"
        ),
        format!(
            "{address} 存放的是流 {owner} 的快照：请在 `store` 中为每个流使用各自的前缀；若该流已不再使用，\
             请删除 {address}/.stream"
        ),
    )
}

fn again(address: &str) -> Message {
    Message::new(
        format!("snapshots are put to {address} again"),
        format!("快照已恢复存入 {address}"),
    )
}

fn skipped(address: &str) -> Message {
    Message::new(
        format!("putting a snapshot to {address} takes longer than the next one: some are skipped"),
        format!("向 {address} 存入快照的时间长于快照间隔：部分快照不再存入"),
    )
}

fn left(address: &str) -> Message {
    let limit = LAST.as_secs();
    Message::new(
        format!("the last snapshot is not yet in {address} after {limit} s: it is left out"),
        format!("最后一个快照在 {limit} 秒后仍未存入 {address}：不再等待"),
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::snapshot::bucket::faults::{Faults, written};

    struct Bench {
        _directory: tempfile::TempDir,
        faults: Arc<Faults>,
        uploads: Uploads,
        told: RefCell<Vec<String>>,
    }

    impl Bench {
        fn new(numbers: &[u64]) -> Bench {
            let (directory, local) = written(numbers, 9);
            let faults = Faults::new();
            let bucket = Arc::new(faults.bucket(1 << 20));
            let uploads = Uploads::new(bucket, local, "us\n".to_owned());
            Bench { _directory: directory, faults, uploads, told: RefCell::default() }
        }

        fn with(&mut self, act: impl FnOnce(&mut Uploads, Tell<'_>)) {
            let Bench { uploads, told, .. } = self;
            act(uploads, &|message: &Message| told.borrow_mut().push(message.en.clone()));
        }

        /// The numbers of which a manifest was put.
        fn put(&self) -> Vec<u64> {
            let puts = self.faults.puts.lock().unwrap();
            let manifests = puts.iter().filter(|key| key.ends_with("manifest.json"));
            manifests.map(|key| key.split('/').nth(2).unwrap()[..20].parse().unwrap()).collect()
        }
    }

    /// While one is on its way newer ones come: none is waited for, only the newest of them is put
    /// after it, and that others are skipped is said once.
    #[test]
    fn the_stream_never_waits_and_what_is_overtaken_is_skipped() {
        let mut bench = Bench::new(&[1, 2, 3, 4]);
        bench.faults.set_stuck(true);
        for number in 1..=4 {
            bench.with(|uploads, tell| uploads.add(number, tell));
        }
        assert_eq!(bench.told.borrow().len(), 1, "{:?}", bench.told);
        assert!(bench.told.borrow()[0].contains("some are skipped"));
        bench.faults.set_stuck(false);
        bench.with(|uploads, tell| uploads.finish(tell));
        assert_eq!(bench.put(), [1, 4]);
        let Figures { put, failed, skipped, .. } = bench.uploads.figures();
        assert_eq!((put, failed, skipped), (2, 0, 2));
    }

    /// A store that is away: that is said once, nothing waits, and at the end it is tried once more.
    #[test]
    fn a_store_that_is_away_is_told_and_tried_again() {
        let mut bench = Bench::new(&[1, 2]);
        *bench.faults.away.lock().unwrap() = true;
        bench.with(|uploads, tell| uploads.add(1, tell));
        bench.with(|uploads, tell| uploads.finish(tell));
        assert_eq!(bench.told.borrow().len(), 1, "{:?}", bench.told);
        assert!(bench.told.borrow()[0].contains("and the stream goes on"), "{:?}", bench.told);
        bench.with(|uploads, tell| uploads.add(2, tell));
        assert!(bench.uploads.putting.is_none(), "a moment ago it was away");
        bench.with(|uploads, tell| uploads.finish(tell));
        assert_eq!(bench.told.borrow().len(), 1, "{:?}", bench.told);
        *bench.faults.away.lock().unwrap() = false;
        bench.with(|uploads, tell| uploads.finish(tell));
        assert_eq!(bench.put(), [2]);
        assert!(bench.told.borrow()[1].contains("are put to s3://bucket/some/prefix again"));
        let Figures { put, failed, skipped, .. } = bench.uploads.figures();
        assert_eq!((put, failed, skipped), (1, 2, 1));
    }

    /// One that is gone from the disk is told, and not tried again: the next one is put.
    #[test]
    fn what_is_gone_from_the_disk_is_given_up() {
        let mut bench = Bench::new(&[2]);
        bench.with(|uploads, tell| uploads.add(1, tell));
        bench.with(|uploads, tell| uploads.finish(tell));
        bench.with(|uploads, tell| uploads.finish(tell));
        assert_eq!(bench.told.borrow().len(), 1, "{:?}", bench.told);
        assert_eq!(bench.uploads.figures().failed, 1);
        bench.with(|uploads, tell| uploads.add(2, tell));
        bench.with(|uploads, tell| uploads.finish(tell));
        assert_eq!(bench.put(), [2]);
    }
}
