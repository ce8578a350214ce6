//! The packets that a batch touched, and the tree over them whose root stands in the frame.

use super::ids::{Head, Root};
use super::merkle::{Frontier, leaf_hash};

/// The longest id of a packet, in bytes: that of an event's `packet_id`.
pub const PACKET_BYTES_MAX: usize = 128;

/// A packet that a batch touched, as it is after the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched<'a> {
    /// The packet's id.
    pub packet: &'a [u8],
    /// The head of its chain.
    pub head: Head,
    /// How many records its chain has after that of its creation: the number of its claims.
    pub claims: u32,
}

impl Touched<'_> {
    /// The hash of its leaf: `SHA-256(00 || packet || head || claims)`, the claims as 4 bytes,
    /// little endian. What follows the id has a fixed length, so no two packets have the same leaf.
    pub fn leaf(&self) -> Root {
        let mut bytes = Vec::with_capacity(self.packet.len() + 36);
        bytes.extend_from_slice(self.packet);
        bytes.extend_from_slice(&self.head.0);
        bytes.extend_from_slice(&self.claims.to_le_bytes());
        leaf_hash(&bytes)
    }
}

/// The root of the tree over the packets of one batch, each once, in the order in which the batch
/// touched them first.
pub fn heads_root(touched: &[Touched<'_>]) -> Root {
    let mut frontier = Frontier::default();
    touched.iter().for_each(|packet| frontier.push(packet.leaf()));
    frontier.root()
}

/// The first packet that stands in the list twice.
pub(super) fn repeated<'a>(touched: &[Touched<'a>]) -> Option<&'a [u8]> {
    let mut packets: Vec<&[u8]> = touched.iter().map(|touched| touched.packet).collect();
    packets.sort_unstable();
    packets.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_depends_on_id_head_claims_and_order() {
        let one = Touched { packet: b"p1", head: Head([1; 32]), claims: 1 };
        let two = Touched { packet: b"p2", head: Head([2; 32]), claims: 2 };
        let root = heads_root(&[one, two]);
        let others = [
            heads_root(&[]),
            heads_root(&[one]),
            heads_root(&[two, one]),
            heads_root(&[Touched { packet: b"p3", ..one }, two]),
            heads_root(&[Touched { head: Head([3; 32]), ..one }, two]),
            heads_root(&[Touched { claims: 2, ..one }, two]),
        ];
        assert!(others.iter().all(|other| *other != root));
    }

    #[test]
    fn a_packet_in_a_list_twice_is_found() {
        let packet = |id| Touched { packet: id, head: Head([0; 32]), claims: 0 };
        assert_eq!(repeated(&[packet(b"b"), packet(b"a"), packet(b"b")]), Some(&b"b"[..]));
        assert_eq!(repeated(&[packet(b"b"), packet(b"a")]), None);
    }
}
