//! Random numbers that can be drawn again: each packet has a secret that is committed to when the
//! packet is made and told when it closes, and each draw is a function of the secret and its place.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use super::reply::Digest;

/// The secret from which those of the packets are made. Whoever knows it knows every draw to come.
#[derive(Clone, Default)]
pub struct MasterSecret(Digest);

impl std::fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterSecret(..)")
    }
}

impl MasterSecret {
    /// 32 bytes that nobody else knows.
    pub fn new(bytes: Digest) -> MasterSecret {
        MasterSecret(bytes)
    }

    /// What can be told of it: it binds the secret, and the secret cannot be found from it.
    pub fn commitment(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("hongxian 2026 master commitment");
        hasher.update(&self.0);
        *hasher.finalize().as_bytes()
    }

    /// The secret of the packet that the command of this number made.
    pub fn of_packet(&self, packet: &str, seq: u64) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&seq.to_le_bytes());
        hasher.update(packet.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// What is told of a packet's secret when the packet is made: it binds the secret, and the secret
/// cannot be found from it.
pub fn commitment(packet: &str, secret: &Digest) -> Digest {
    static KEY: LazyLock<ContextKey> =
        LazyLock::new(|| hash_derive_key_context("hongxian 2026 packet commitment"));
    let mut hasher = blake3::Hasher::new_from_context_key(&KEY);
    hasher.update(secret);
    hasher.update(packet.as_bytes());
    *hasher.finalize().as_bytes()
}

/// What a draw is for: draws for different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The amount of the share at a place.
    Share = 0,
    /// The order of the shares of a regulated packet.
    Shuffle = 1,
    /// Which share of a regulated packet the claimer at a place gets.
    Choice = 2,
}

/// The random numbers of one place of a packet: the keyed hash of the place, as long as it is needed.
/// They cost nothing until one is drawn: the last share of a packet needs none.
pub struct Draws {
    secret: Digest,
    name: [u8; 5],
    begun: bool,
    /// What comes after the first block.
    rest: Option<blake3::OutputReader>,
    block: [u8; BLOCK],
    used: usize,
}

/// A share takes two numbers: the hash alone has four, and is made sooner than a stream.
const BLOCK: usize = blake3::OUT_LEN;

impl Draws {
    /// The draws for a purpose at a place.
    pub fn new(secret: &Digest, purpose: Purpose, index: u32) -> Draws {
        let [a, b, c, d] = index.to_le_bytes();
        let name = [purpose as u8, a, b, c, d];
        Draws { secret: *secret, name, begun: false, rest: None, block: [0; BLOCK], used: BLOCK }
    }

    /// A whole number from 0 to below `end`, each as likely as another: a product of 64 bits each
    /// whose upper half is taken, and the few draws that would make some likelier are drawn again
    /// (D. Lemire, Fast random integer generation in an interval, 2019).
    ///
    /// # Panics
    /// When `end` is zero.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is a number to draw");
        let threshold = end.wrapping_neg() % end;
        loop {
            let product = u128::from(self.next()) * u128::from(end);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    fn next(&mut self) -> u64 {
        if self.used == BLOCK {
            self.fill();
        }
        let bytes = &self.block[self.used..self.used + 8];
        self.used += 8;
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    fn fill(&mut self) {
        if self.begun {
            let rest = self.rest.get_or_insert_with(|| {
                let mut hasher = blake3::Hasher::new_keyed(&self.secret);
                let mut stream = hasher.update(&self.name).finalize_xof();
                stream.set_position(BLOCK as u64);
                stream
            });
            rest.fill(&mut self.block);
        } else {
            self.block = *blake3::keyed_hash(&self.secret, &self.name).as_bytes();
        }
        (self.begun, self.used) = (true, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_a_function_of_secret_purpose_and_place() {
        let first =
            |secret: u8, purpose, index| Draws::new(&[secret; 32], purpose, index).below(u64::MAX);
        let drawn = first(1, Purpose::Share, 0);
        assert_eq!(drawn, first(1, Purpose::Share, 0));
        assert_ne!(drawn, first(2, Purpose::Share, 0));
        assert_ne!(drawn, first(1, Purpose::Choice, 0));
        assert_ne!(drawn, first(1, Purpose::Share, 1));
    }

    #[test]
    fn the_numbers_are_those_of_one_keyed_hash() {
        let mut stream = [0; 80];
        let mut hasher = blake3::Hasher::new_keyed(&[9; 32]);
        hasher.update(&[1, 5, 0, 0, 0]).finalize_xof().fill(&mut stream);
        let mut draws = Draws::new(&[9; 32], Purpose::Shuffle, 5);
        for bytes in stream.chunks_exact(8) {
            assert_eq!(draws.next().to_le_bytes(), bytes);
        }
    }

    #[test]
    fn every_number_is_as_likely() {
        // 7 does not divide 2^64. Chi-square with 6 degrees of freedom: 27.9 in one of 10,000.
        let mut counts = [0_u32; 7];
        let mut draws = Draws::new(&[7; 32], Purpose::Share, 0);
        for _ in 0..70_000 {
            counts[draws.below(7) as usize] += 1;
        }
        let square = |n: u32| (f64::from(n) - 10_000.0) * (f64::from(n) - 10_000.0);
        let chi_square: f64 = counts.iter().map(|&n| square(n) / 10_000.0).sum();
        assert!(chi_square < 27.9, "{counts:?}");
    }

    #[test]
    fn the_commitment_binds_packet_and_secret() {
        let told = commitment("p1", &[1; 32]);
        assert_ne!(told, commitment("p2", &[1; 32]));
        assert_ne!(told, commitment("p1", &[2; 32]));
    }
}
