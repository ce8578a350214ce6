//! Populations are held to the laws of packets by a checker of its own, to the document's figures,
//! and to their seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::event::{self, Chunk, NULL_INT};

const SMALL: &str = r#"
title = "small"
start = "2024-02-06"
days = 7
accounts = 2400
groups = { family = 300, interest = 45, business = 55, stranger = 12 }
festival = { eve = "2024-02-09", peak = 4 }
[[ring]]
typology = "gambling-mine"
difficulty = "easy"
count = 2
[[ring]]
typology = "gambling-banker"
difficulty = "medium"
count = 1
[[ring]]
typology = "many-groups-one-collector"
difficulty = "easy"
count = 1
[[ring]]
typology = "device-farm"
difficulty = "medium"
count = 1
[[ring]]
typology = "brushing-rebate"
difficulty = "easy"
count = 1
[[ring]]
typology = "mule-pass-through"
difficulty = "hard"
count = 1
[[ring]]
typology = "contact-diversion"
difficulty = "medium"
count = 1
[[ring]]
typology = "coded-settlement"
difficulty = "hard"
count = 1
[[negative]]
kind = "family-round-robin"
count = 1
[[negative]]
kind = "dinner-collector"
count = 2
[[negative]]
kind = "family-tablet"
count = 1
[[negative]]
kind = "internet-cafe"
count = 1
[[negative]]
kind = "class-fee"
count = 1
"#;

fn small() -> Scenario {
    Scenario::parse(Path::new("small.toml"), SMALL).unwrap()
}

/// A packet as its events tell it.
#[derive(Default)]
struct Seen {
    amount: i64,
    shares: i64,
    sent: i64,
    sender: String,
    claimed: i64,
    claimers: BTreeSet<String>,
    refunded: i64,
}

/// Checks the laws on nothing but the events' columns.
fn check_laws(chunks: &[Chunk]) -> usize {
    let mut packets: BTreeMap<String, Seen> = BTreeMap::new();
    let mut last = (0, 0);
    for chunk in chunks {
        for row in 0..chunk.len() {
            let int = |field| chunk.int(field, row);
            let order = (int(event::EVENT_TIME), int(event::SEQ));
            assert!(order > last, "events are in total order");
            last = order;
            let id = chunk.str(event::PACKET_ID, row).to_owned();
            if id.is_empty() {
                continue;
            }
            let (fen, time) = (int(event::AMOUNT_FEN), int(event::EVENT_TIME));
            let account = chunk.str(event::ACCOUNT_ID, row).to_owned();
            let packet = packets.entry(id.clone()).or_default();
            match chunk.kind(row) {
                Kind::Send => {
                    assert_eq!(packet.shares, 0, "{id} is sent once");
                    assert_ne!(int(event::SHARES), NULL_INT);
                    (packet.amount, packet.shares) = (fen, int(event::SHARES));
                    (packet.sent, packet.sender) = (time, account);
                }
                Kind::Claim => {
                    assert!(fen >= 1 && time > packet.sent && time < packet.sent + 86_400_000);
                    assert_eq!(chunk.str(event::COUNTERPARTY_ID, row), packet.sender);
                    assert!(packet.claimers.insert(account), "{id}: one claim a member");
                    assert!(packet.claimers.len() as i64 <= packet.shares, "{id}");
                    packet.claimed += fen;
                }
                Kind::Refund => {
                    assert_eq!((packet.refunded, time), (0, packet.sent + 86_400_000), "{id}");
                    assert_eq!(account, packet.sender);
                    packet.refunded = fen;
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }
    for (id, packet) in &packets {
        assert_eq!(packet.claimed + packet.refunded, packet.amount, "{id}: no fen is lost");
    }
    packets.len()
}

#[test]
fn every_packet_obeys_the_laws() {
    for seed in [1, 2] {
        assert!(check_laws(&run(&small(), seed).chunks()) > 5_000);
    }
}

#[test]
fn the_figures_of_the_document_hold() {
    let rows = fidelity(&run(&small(), 1));
    assert!(rows.iter().all(Row::holds), "\n{}", fidelity::table(&rows));
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_does_not() {
    let written = |seed| {
        let dir = tempfile::tempdir().unwrap();
        write(&run(&small(), seed), dir.path()).unwrap();
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        (blake3::hash(&read("events.parquet")), blake3::hash(&read("labels.parquet")))
    };
    let first = written(1);
    assert_eq!(first, written(1));
    let other = written(2);
    assert!(first.0 != other.0 && first.1 != other.1);
}

#[test]
fn labels_name_what_is_there_once_and_every_typology() {
    let population = run(&small(), 1);
    let mut subjects = BTreeSet::new();
    let mut typologies = BTreeSet::new();
    for label in &population.labels {
        assert!(subjects.insert((label.subject_kind, &label.subject_id)), "{label:?}");
        if label.fraud {
            typologies.extend(label.typology);
            assert!(label.known_at > label.detectable_from && label.detectable_from.is_some());
        }
    }
    let wanted: BTreeSet<&str> = Typology::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(typologies, wanted);
}

/// In a mine group whoever draws the digit pays within the minute: that is what rules look for.
#[test]
fn losers_in_mine_groups_pay_the_sender_within_a_minute() {
    let population = run(&small(), 1);
    let mine = |event: &&world::Event| {
        event.scheme.is_some_and(|s| population.scheme(s).name == "gambling-mine")
    };
    let events: Vec<&world::Event> = population.events.iter().filter(mine).collect();
    let settled: Vec<_> = events.iter().filter(|event| event.kind == Kind::Transfer).collect();
    assert!(settled.len() > 20);
    for payment in settled {
        let lost = events.iter().any(|claim| {
            claim.kind == Kind::Claim
                && claim.account == payment.account
                && claim.counterparty == payment.counterparty
                && (1..60_000).contains(&(payment.time - claim.time))
        });
        assert!(lost, "{payment:?}");
    }
}

/// The sample in the repository is what anyone gets from its scenario, to the byte.
#[test]
fn the_committed_population_is_what_its_scenario_gives() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/populations");
    let made = tempfile::tempdir().unwrap();
    let population = command(&fixtures.join("new-year.toml"), 1, made.path()).unwrap();
    let rows = fidelity(&population);
    assert!(rows.iter().all(Row::holds), "\n{}", fidelity::table(&rows));
    for name in ["events.parquet", "labels.parquet"] {
        let read = |dir: &Path| blake3::hash(&std::fs::read(dir.join(name)).unwrap());
        assert_eq!(read(made.path()), read(&fixtures.join("new-year")), "{name} is not up to date");
    }
}
