//! The benchmark's events: claims of red packets over seven days, or another span, in the order of
//! their times.
//!
//! A million account ids and 50,000 groups are used with Zipf-like skew; 2 % of the accounts share
//! 400 devices; a packet's memo has about ten Chinese characters, and 4 % of packets carry one of
//! 1,000 phrases. The same number of events gives the same bytes on every machine: there is one
//! seed, and no floating point.

use std::io::{self, Write};

pub(crate) const SEED: u64 = 0x686f_6e67_7869_616e;
const ACCOUNTS: u64 = 1_000_000;
const GROUPS: u64 = 50_000;
const SHARED_DEVICES: u64 = 400;
/// One in this many accounts uses a shared device.
const SHARING_ONE_IN: u64 = 50;
/// One in this many packets carries a phrase.
const PHRASE_ONE_IN: u64 = 25;
/// Packets that are open at any time; with this many, a packet is empty after some minutes.
const OPEN_PACKETS: usize = 512;
const SHARES_MAX: u64 = 12;
const AMOUNT_FEN_MAX: u64 = 20_000;
/// 2024-02-05T00:00:00+08:00, the week of a New Year.
pub(crate) const START_MS: u64 = 1_707_062_400_000;
pub(crate) const SPAN_MS: u64 = 7 * 86_400_000;

pub(crate) const PHRASES: &str = include_str!("../batch-job/text/phrases/thousand.txt");

/// What ordinary memos are made of; no phrase can be spelt with it.
pub(crate) const MEMO_CHARACTERS: &str = "的一是在不了有和人这中为上个国我以要他时来用们生到作地于出就分对成会可主发年动同\
工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本\
去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此";

/// Whose claims they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Of many senders, groups and devices, with skew.
    Skewed,
    /// All from one sender, in one group, on one device.
    Hot,
}

/// Writes `events` claims as CSV, spread over `span_ms`.
pub(crate) fn write(events: u64, span_ms: u64, keys: Keys, mut out: impl Write) -> io::Result<()> {
    writeln!(
        out,
        "event_id,event_time,kind,packet_id,group_id,account_id,counterparty_id,device_id,\
         amount_fen,text"
    )?;
    let mut draw = Draw(SEED);
    let words = Words::new();
    let mut packets_made = 0;
    let mut open: Vec<Packet> =
        (0..OPEN_PACKETS).map(|_| Packet::new(&mut packets_made, &mut draw, &words)).collect();
    for event in 0..events {
        // Evenly spread, and never back in time.
        let from = u128::from(event) * u128::from(span_ms) / u128::from(events);
        let until = u128::from(event + 1) * u128::from(span_ms) / u128::from(events);
        let time = START_MS + from as u64 + draw.below((until - from).max(1) as u64);
        let packet = &mut open[draw.below(OPEN_PACKETS as u64) as usize];
        let claimer = packet.next_claimer(&mut draw);
        write!(out, "e{event},{time},claim,p{},", packet.id)?;
        match (keys, shared_device(claimer)) {
            (Keys::Hot, _) => write!(out, "g0,u{claimer},hot,hot")?,
            (Keys::Skewed, device) => {
                write!(out, "g{},u{claimer},u{},", packet.group, packet.sender)?;
                match device {
                    Some(device) => write!(out, "shared{device}")?,
                    None => write!(out, "d{claimer}")?,
                }
            }
        }
        writeln!(out, ",{},{}", 1 + draw.skewed(AMOUNT_FEN_MAX), packet.memo)?;
        if packet.claimers.len() as u64 == packet.shares {
            *packet = Packet::new(&mut packets_made, &mut draw, &words);
        }
    }
    out.flush()
}

/// The shared device of an account, if it is one of those that share. Which they are is scattered
/// over busy and quiet accounts.
fn shared_device(account: u64) -> Option<u64> {
    let scattered = Draw(account).next();
    scattered.is_multiple_of(SHARING_ONE_IN).then_some(scattered / SHARING_ONE_IN % SHARED_DEVICES)
}

struct Packet {
    id: u64,
    group: u64,
    sender: u64,
    memo: String,
    shares: u64,
    claimers: Vec<u64>,
}

impl Packet {
    fn new(made: &mut u64, draw: &mut Draw, words: &Words) -> Packet {
        *made += 1;
        Packet {
            id: *made,
            group: draw.skewed(GROUPS),
            sender: draw.skewed(ACCOUNTS),
            memo: words.memo(draw),
            shares: 1 + draw.below(SHARES_MAX),
            claimers: Vec::new(),
        }
    }

    /// An account that has not claimed this packet yet: one claim a member.
    fn next_claimer(&mut self, draw: &mut Draw) -> u64 {
        loop {
            let account = draw.skewed(ACCOUNTS);
            if !self.claimers.contains(&account) {
                self.claimers.push(account);
                return account;
            }
        }
    }
}

struct Words {
    characters: Vec<char>,
    phrases: Vec<&'static str>,
}

impl Words {
    fn new() -> Words {
        let is_phrase = |line: &&str| !line.is_empty() && !line.starts_with(['#', '[']);
        Words {
            characters: MEMO_CHARACTERS.chars().collect(),
            phrases: PHRASES.lines().filter(is_phrase).collect(),
        }
    }

    /// Eight to twelve ordinary characters; a phrase stands in place of some of them.
    fn memo(&self, draw: &mut Draw) -> String {
        let mut length = 8 + draw.below(5);
        let mut memo = String::new();
        if draw.below(PHRASE_ONE_IN) == 0 {
            let phrase = self.phrases[draw.below(self.phrases.len() as u64) as usize];
            memo.push_str(phrase);
            length = length.saturating_sub(phrase.chars().count() as u64);
        }
        for _ in 0..length {
            memo.push(self.characters[draw.below(self.characters.len() as u64) as usize]);
        }
        memo
    }
}

/// SplitMix64: small, and good enough for a load.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A rank below `bound`, drawn about in inverse proportion to it (Zipf with exponent 1): each
    /// doubling of the rank is as likely as the one before.
    fn skewed(&mut self, bound: u64) -> u64 {
        let doublings = u64::from(u64::BITS - bound.leading_zeros());
        loop {
            let first = 1 << self.below(doublings);
            let rank = first - 1 + self.below(first);
            if rank < bound {
                return rank;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: u64) -> String {
        let mut bytes = Vec::new();
        write(count, SPAN_MS, Keys::Skewed, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_same_bytes_every_time_in_the_order_of_time() {
        let csv = events(5_000);
        assert_eq!(csv, events(5_000));
        let times: Vec<u64> = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(times.len(), 5_000);
        assert!(times.is_sorted());
        assert!(times[0] >= START_MS && times[4_999] < START_MS + SPAN_MS);
    }

    #[test]
    fn the_stated_shares_of_devices_and_phrases() {
        let csv = events(20_000);
        let words = Words::new();
        assert_eq!(words.phrases.len(), 1_000);
        let ordinary = |phrase: &&&str| phrase.chars().all(|c| words.characters.contains(&c));
        assert_eq!(words.phrases.iter().find(ordinary), None, "no phrase by chance");
        let carries = |line: &&str| words.phrases.iter().any(|phrase| line.contains(phrase));
        let with_phrase = csv.lines().filter(carries).count();
        assert!((500..1_100).contains(&with_phrase), "{with_phrase} of 20,000 carry a phrase");
        let sharing = (0..ACCOUNTS).filter(|account| shared_device(*account).is_some()).count();
        assert!((19_000..21_000).contains(&sharing), "{sharing} of a million accounts share");
    }

    #[test]
    fn skew_is_zipf_like() {
        let mut draw = Draw(SEED);
        let ranks: Vec<u64> = (0..100_000).map(|_| draw.skewed(1_000)).collect();
        assert!(ranks.iter().all(|rank| *rank < 1_000));
        let at = |rank| ranks.iter().filter(|drawn| **drawn == rank).count() as f64;
        let ratio = at(0) / (at(1) + at(2));
        assert!((0.9..1.1).contains(&ratio), "a doubling is as likely as the next: {ratio}");
    }
}
