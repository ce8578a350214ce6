//! A toy engine for tests: a command is a packet's letter and eight bytes that move its chain on.

use std::collections::BTreeMap;

use super::chain;
use super::frame::Header;
use super::ids::{BatchNumber, Head, Seq, Time};
use super::log::{Batch, Journal, Options};
use super::memory::Memory;
use super::note::Signer;
use super::storage::Storage;
use super::touched::Touched;
use super::verify::Replay;

/// The bytes of a command.
pub(crate) const COMMAND_BYTES: usize = 9;

/// The engine's state: the chain of each packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toy {
    packets: BTreeMap<[u8; 1], (Head, u32)>,
}

impl Toy {
    /// Executes a batch.
    pub(crate) fn apply(&mut self, body: &[u8]) -> Result<Vec<Touched<'_>>, String> {
        let mut order = Vec::new();
        for command in body.chunks(COMMAND_BYTES) {
            let Some((&packet, record)) = command.split_first().filter(|(_, r)| r.len() == 8)
            else {
                return Err("a command is cut".into());
            };
            let created = (chain::start(&[packet]), 0);
            let (head, claims) = self.packets.entry([packet]).or_insert(created);
            (*head, *claims) = (chain::extend(*head, record), *claims + 1);
            if !order.contains(&packet) {
                order.push(packet);
            }
        }
        let touched = |packet| {
            let (packet, (head, claims)) =
                self.packets.get_key_value(&[packet]).expect("a packet that was touched");
            Touched { packet, head: *head, claims: *claims }
        };
        Ok(order.into_iter().map(touched).collect())
    }
}

impl Toy {
    /// What a snapshot holds.
    pub(crate) fn state(&self) -> Vec<u8> {
        format!("{:?}", self.packets).into_bytes()
    }
}

impl Replay for Toy {
    fn batch<'a>(&'a mut self, _: &Header, body: &'a [u8]) -> Result<Vec<Touched<'a>>, String> {
        self.apply(body)
    }

    fn is_state(&mut self, state: &[u8]) -> bool {
        self.state() == state
    }
}

/// The commands of a batch: its number decides how many and which packets.
pub(crate) fn body(batch: BatchNumber) -> Vec<u8> {
    let commands = 1 + batch.0 % 4;
    (0..commands)
        .flat_map(|command| {
            let packet = b'a' + ((batch.0 + command * 2) % 5) as u8;
            [&[packet], &(batch.0 * 100 + command).to_le_bytes()[..]].concat()
        })
        .collect()
}

/// Puts a batch with that body at the end of a journal.
pub(crate) fn append<S: Storage>(journal: &mut Journal<S>, toy: &mut Toy, body: &[u8]) -> Header {
    let touched = toy.apply(body).unwrap();
    let batch = Batch {
        first_sequence: journal.next_sequence().unwrap_or(Seq(1)),
        count: (body.len() / COMMAND_BYTES) as u32,
        time: Time(journal.next().0 as i64 * 1000),
        body,
        touched: &touched,
    };
    journal.append(&batch).unwrap()
}

/// A journal of that many batches, each synced by itself, three or so to a segment.
pub(crate) fn journal(batches: u64) -> Memory {
    written(batches, u64::MAX)
}

/// The same, in which batch `other` and those after it hold other commands.
pub(crate) fn written(batches: u64, other: u64) -> Memory {
    let (mut journal, _) = Journal::open(Memory::default(), &options()).unwrap();
    let mut toy = Toy::default();
    for batch in 0..batches {
        let mut body = body(BatchNumber(batch));
        if batch >= other {
            body[1] ^= 1;
        }
        append(&mut journal, &mut toy, &body);
        journal.sync().unwrap();
    }
    journal.into_storage()
}

/// Options with small segments.
pub(crate) fn options() -> Options {
    Options { segment_bytes: 600, ..Options::default() }
}

/// The key that signs in tests.
pub(crate) fn signer() -> Signer {
    Signer::new("example.org/packets", &[7; 32]).unwrap()
}
