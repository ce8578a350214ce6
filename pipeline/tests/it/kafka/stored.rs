//! A stream whose snapshots lie in an object store: on a machine that has none it goes on from there.
//!
//! The store is the one whose address stands in the environment as `HONGXIAN_TEST_S3`, which
//! `scripts/test` starts (`scripts/s3`); without it these tests do nothing and say so.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore as _};

use super::bench::{Bench, claim};
use super::{still_runs, until};

const SECRET: &str = "never-to-be-seen";

/// A stream with snapshots in the store, if there is one.
fn bench(name: &str) -> Option<Bench> {
    let Some(endpoint) = endpoint() else {
        eprintln!("not tested: HONGXIAN_TEST_S3 is not set; scripts/test starts a store");
        return None;
    };
    let mut bench = Bench::new(name, 1)?;
    bench.reaches(endpoint);
    bench.with_snapshots();
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("{text}store = 's3://hongxian/{}'\n", bench.prefix)).unwrap();
    Some(bench)
}

#[expect(clippy::disallowed_methods, reason = "the check tells its tests where its store is")]
fn endpoint() -> Option<String> {
    std::env::var("HONGXIAN_TEST_S3").ok()
}

impl Bench {
    fn reaches(&mut self, endpoint: String) {
        self.environment = vec![
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "somebody".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ];
    }

    /// The numbers of the snapshots that are in the store as a whole.
    fn stored(&self) -> BTreeSet<String> {
        // As the program does before its first connection.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = AmazonS3Builder::new()
            .with_endpoint(&self.environment[0].1)
            .with_allow_http(true)
            .with_bucket_name("hongxian")
            .with_access_key_id("somebody")
            .with_secret_access_key(SECRET)
            .build()
            .unwrap();
        let prefix = Key::from(self.prefix.as_str());
        let listing = store.list(Some(&prefix)).try_collect::<Vec<ObjectMeta>>();
        let keys = runtime.block_on(listing).unwrap();
        let keys = keys.iter().map(|meta| meta.location.to_string());
        let whole = keys.filter(|key| key.ends_with("/manifest.json"));
        whole.map(|key| key.split('/').nth(1).unwrap()[..20].to_owned()).collect()
    }

    /// The number of the newest snapshot on disk.
    fn newest(&self) -> Option<String> {
        let path = self.snapshots().pop()?;
        Some(path.file_name().unwrap().to_string_lossy().into_owned())
    }
}

/// Killed, and begun on a machine without a snapshot: it goes on from the one in the store, and what
/// it decides is what its log replays to. It needs no input from before that.
#[test]
fn on_another_machine_a_stream_goes_on_from_its_stored_snapshot() {
    let Some(bench) = bench("stored") else { return };
    bench.send((0..200).map(|at| claim(at, 0)));
    let mut child = bench.spawn(&[]);
    until("not all is decided", || bench.decided().len() == 200);
    until("the newest is not put", || {
        bench.newest().is_some_and(|newest| bench.stored().contains(&newest))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(bench.path("snapshots")).unwrap();

    bench.send((200..300).map(|at| claim(at, 0)));
    let said = bench.told();
    assert!(said.contains("going on from the snapshot at 200 decisions"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    let digest = bench.digest();
    let (replayed, counts) = bench.replayed("2");
    assert_eq!((replayed, &counts["decided"]), (digest, &300.into()));
    // Who ends waits until the last one is there; as many are kept as on disk.
    let stored = bench.stored();
    assert_eq!((stored.last(), stored.len()), (bench.newest().as_ref(), 2), "{stored:?}");

    bench.delete_before(300);
    fs::remove_dir_all(bench.path("snapshots")).unwrap();
    bench.send((300..350).map(|at| claim(at, 0)));
    let ended = bench.stream(&["--once", "--workers", "3"]);
    assert_eq!(ended["counts"]["decided"], 350);
    assert_eq!(ended["decisions_digest"], bench.digest().as_str());
}

/// Killed again and again while snapshots are put all the time, each time begun on a machine that has
/// none, with another number of workers: every event is decided once, as in a replay of its log.
#[test]
fn killed_while_snapshots_are_put_and_moved_a_stream_decides_the_same() {
    let Some(bench) = bench("moved") else { return };
    let mut sent = 0;
    for round in 0..6_u64 {
        let before = bench.stored();
        let mut child = bench.spawn(&["--workers", &(1 + round % 3).to_string()]);
        for _ in 0..4 {
            bench.send((sent..sent + 60).map(|at| claim(at, 0)));
            sent += 60;
            std::thread::sleep(Duration::from_millis(100 + 97 * round));
        }
        // Each second time not before something new has come to the store.
        until("nothing is put", || round % 2 == 1 || bench.stored() != before);
        still_runs(&mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = fs::remove_dir_all(bench.path("snapshots"));
    }
    let said = bench.told();
    assert!(said.contains("going on from the snapshot"), "{said}");
    assert!(!said.contains("passed over"), "what is there is whole: {said}");
    let decided = bench.decided();
    assert_eq!(decided.len(), sent as usize);
    assert_eq!(decided.iter().collect::<BTreeSet<_>>().len(), sent as usize);
    assert_eq!(bench.replayed("2").0, bench.digest());
    assert_eq!(bench.stored().len(), 2, "as many as are kept");
}

/// Two streams do not put into one prefix: the second one says whose it is, before it takes its name.
#[test]
fn the_prefix_of_another_stream_is_refused_by_name() {
    let Some(bench) = bench("prefix") else { return };
    let Some(mut other) = Bench::new("prefix2", 1) else { return };
    bench.send((0..20).map(|at| claim(at, 0)));
    bench.stream(&["--once"]);
    other.environment.clone_from(&bench.environment);
    other.with_snapshots();
    let text = fs::read_to_string(other.config()).unwrap();
    fs::write(other.config(), format!("{text}store = 's3://hongxian/{}'\n", bench.prefix)).unwrap();
    other.send((0..20).map(|at| claim(at, 0)));
    let before = bench.stored();
    let said = other.fails(&["--once"], 2);
    assert!(said.contains("holds the snapshots of the stream prefix-"), "{said}");
    assert!(said.contains("give each stream a prefix of its own"), "{said}");
    assert!(other.committed("control").is_empty(), "it has not begun");
    assert_eq!(bench.stored(), before);
}

/// A store that cannot be reached is told, and the stream decides; but it does not replay all of its
/// input for that alone.
#[test]
fn a_store_that_is_away_stops_no_stream_that_can_go_on() {
    let Some(mut bench) = bench("nostore") else { return };
    bench.reaches("http://127.0.0.1:1".to_owned());
    bench.send((0..50).map(|at| claim(at, 0)));
    let said = bench.told();
    assert!(
        said.contains("cannot be read: ") && said.contains("what is on disk is used"),
        "{said}"
    );
    assert!(said.contains("and the stream goes on: "), "{said}");
    assert_eq!(bench.decided().len(), 50);
    fs::remove_dir_all(bench.path("snapshots")).unwrap();
    let said = bench.fails(&["--once"], 3);
    assert!(said.contains("no snapshot is on disk, and all input would be replayed"), "{said}");
}
