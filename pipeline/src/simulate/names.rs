//! What everybody and everything is called. Numbers are scattered, so that neighbours in the making
//! (accounts of one family or ring) are no neighbours by id.

use super::random::Rng;
use super::world::{Account, Group};

/// How many ids of a kind there can be.
const IDS: u64 = 10_000_000;
/// Digits of a scattered number.
const DIGITS: usize = 7;
/// Digits of the running number of an event or packet.
const DIGITS_RUNNING: usize = 8;

/// The base of the number of a request, of which there are more than events.
const BASE_REQUEST: u64 = 32;

/// The names of one population.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    offset: u64,
}

impl Names {
    /// The names of a seed.
    pub fn new(seed: u64) -> Names {
        Names { offset: Rng::named(seed, "names", 0).below(IDS) }
    }

    /// The id of an account.
    pub fn account(self, account: Account) -> Id {
        Id::new(b'u', self.scatter(account.0, 7_368_787), DIGITS)
    }

    /// The id of a group.
    pub fn group(self, group: Group) -> Id {
        Id::new(b'g', self.scatter(group.0, 3_276_509), DIGITS)
    }

    /// The id of a device.
    pub fn device(self, device: u32) -> Id {
        Id::new(b'd', self.scatter(device, 5_915_587), DIGITS)
    }

    /// The id of a packet, in the order of sending from 0.
    pub fn packet(self, packet: u32) -> Id {
        Id::new(b'p', u64::from(packet) + 1, DIGITS_RUNNING)
    }

    /// The id of an event, in total order from 0.
    pub fn event(self, event: u64) -> Id {
        Id::new(b'e', event + 1, DIGITS_RUNNING)
    }

    /// The id of a request to the engine, which no event tells.
    pub(super) fn request(self, request: u64) -> Id {
        Id::of_base::<BASE_REQUEST>(b'r', request, DIGITS)
    }

    /// A number of seven digits that no other index has.
    fn scatter(self, index: u32, factor: u64) -> u64 {
        // The factors have neither 2 nor 5 in them, so no two indices below IDS meet.
        (u64::from(index) * factor + self.offset) % IDS
    }
}

/// A letter and digits.
#[derive(Clone, Copy, Debug)]
pub struct Id {
    bytes: [u8; 16],
    len: u8,
}

impl Id {
    fn new(letter: u8, number: u64, digits: usize) -> Id {
        Id::of_base::<10>(letter, number, digits)
    }

    fn of_base<const BASE: u64>(letter: u8, mut number: u64, digits: usize) -> Id {
        // Put together in a register: text that was written byte by byte and is read at once, as
        // it is hashed or copied, makes a processor wait until all of it is in its cache.
        let mut text = 0_u128;
        for _ in 0..digits {
            text = text << 8 | u128::from(b'0' + (number % BASE) as u8);
            number /= BASE;
        }
        assert_eq!(number, 0, "an id has room for its number");
        let bytes = (text << 8 | u128::from(letter)).to_le_bytes();
        Id { bytes, len: 1 + digits as u8 }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..self.len.into()];
        std::str::from_utf8(bytes).unwrap_or_else(|_| unreachable!("a letter and digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_accounts_share_an_id() {
        let names = Names::new(3);
        let mut seen = std::collections::HashSet::new();
        for account in 0..100_000 {
            assert!(seen.insert(names.account(Account(account)).as_str().to_owned()));
        }
        assert_eq!(names.packet(41).as_str(), "p00000042");
    }
}
