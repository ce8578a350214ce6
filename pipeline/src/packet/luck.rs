//! Whether shares came by luck: statistics of ranks under the law of the split.
//!
//! Where the law holds, the mid-ranks of a packet's shares have a mean of exactly a half, whatever
//! came before, and are uniform but for rounding to whole fen. Sums are of integers, so that they
//! are the same however events were cut up; a statistic is the last step of one event's value.

use std::collections::VecDeque;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::split::Rank;
use crate::snapshot::{self, Broken};

/// Shares with fewer possible amounts than this have too coarse a rank: with ten, the variance of
/// a rank is a hundredth less than that of a uniform number.
pub const OUTCOMES_MIN: u64 = 10;
/// A packet with fewer ranks has no deviation yet: it could hardly be large.
pub const DEVIATION_RANKS_MIN: u32 = 5;
/// An account with fewer ranks has no luck yet.
pub const LUCK_RANKS_MIN: usize = 10;
/// How far back an account's luck and its refunds count: 30 days.
pub const LUCK_WINDOW_MS: i64 = 30 * 24 * 3_600_000;
/// Of an account with more claims in the window only the latest are kept: a bot that claims all
/// day must not take the memory of thousands, and of a thousand the mean is known to a hundredth.
pub const LUCK_RANKS_MAX: usize = 1_000;
/// Of an account with more faulty refunds in the window only the latest count.
pub const REFUND_FAULTS_MAX: usize = 100;

/// A claim sooner than this after the sending is hasty, in ms. To notice a packet, to open it and to
/// tap on it are three acts of two tenths of a second each: one who watches for it does so now and
/// then, and a program whose delays are drawn to look human does so again and again.
pub const HASTE_MS: i64 = 600;
/// How far back hasty claims count: 7 days.
pub const HASTE_WINDOW_MS: i64 = 7 * 24 * 3_600_000;
/// Of an account with more hasty claims in the window only the latest count.
pub const HASTY_CLAIMS_MAX: usize = 1_000;

/// Half of the range of a rank.
const HALF: i64 = 1 << 31;
/// A rank of 1.
const ONE: f64 = 4_294_967_296.0;

/// The ranks of a packet's shares so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Ranks {
    count: u32,
    /// The sum of how far ranks are from a half.
    first: i64,
    /// The sum of how far the squares of that are from their mean under the law.
    second: i64,
}

impl Ranks {
    /// Whether a rank is fine enough to count.
    pub fn counts(rank: &Rank) -> bool {
        rank.outcomes >= OUTCOMES_MIN
    }

    /// Adds the rank of the next share, if it is fine enough.
    pub fn add(&mut self, rank: &Rank) {
        if Ranks::counts(rank) {
            self.put(rank.mid, rank.variance);
        }
    }

    /// Adds a rank that counts.
    pub fn put(&mut self, mid: u32, variance: u32) {
        let (first, second) = Ranks::terms(mid, variance);
        self.count += 1;
        self.first += first;
        self.second += second;
    }

    /// Takes one away that was put.
    pub fn take(&mut self, mid: u32, variance: u32) {
        let (first, second) = Ranks::terms(mid, variance);
        self.count -= 1;
        self.first -= first;
        self.second -= second;
    }

    fn terms(mid: u32, variance: u32) -> (i64, i64) {
        let from_half = i64::from(mid) - HALF;
        (from_half, ((from_half * from_half) >> 32) - i64::from(variance))
    }

    /// How far the ranks are from the law: Neyman's smooth statistic of order 2.
    ///
    /// With `y` a rank less a half and `v` its variance under the law, it is
    /// `12 (sum y)^2 / n + 180 (sum (y^2 - v))^2 / n`: large when shares are mostly high or mostly
    /// low for their places, and when they are mostly near the middle or mostly at both ends. Under
    /// the law it is about chi-square with two degrees of freedom: over `c` with a probability of
    /// `exp(-c/2)`, so over 9.2 in one packet of a hundred and over 13.8 in one of a thousand
    /// (J. Neyman, "Smooth" test for goodness of fit, 1937).
    ///
    /// None with fewer ranks than [`DEVIATION_RANKS_MIN`].
    pub fn deviation(&self) -> Option<f64> {
        if self.count < DEVIATION_RANKS_MIN {
            return None;
        }
        let first = self.first as f64 / ONE;
        let second = self.second as f64 / ONE;
        Some((12.0 * first * first + 180.0 * second * second) / f64::from(self.count))
    }
}

/// What is known of an account from its packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fortune {
    /// The standardised mean rank of its claims in the window, `sum y / sqrt(n / 12)`: under the
    /// law about normal, so over 3 for one account of 740. None with fewer than
    /// [`LUCK_RANKS_MIN`].
    pub luck: Option<f64>,
    /// Refunds to it in the window that broke a law.
    pub refund_faults: usize,
    /// What was found of the latest of these.
    pub refund_finding: Option<Finding>,
    /// Its claims in groups in the window of haste that came sooner than [`HASTE_MS`].
    pub hasty_claims: usize,
}

/// The accounts that lately claimed drawn shares, claimed in haste or were given a faulty refund.
#[derive(Debug, Default)]
pub struct Fortunes {
    accounts: HashTable<Account>,
    survivors: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    id: u128,
    /// Time and rank in one word, the earliest first.
    ranks: VecDeque<u64>,
    /// The sum of the ranks that are kept.
    sum: i64,
    faults: VecDeque<(i64, Finding)>,
    /// When it claimed in haste, the earliest first.
    hasty: VecDeque<i64>,
}

/// Bits of a rank beside its time: 2^-22 is far below what a thousand ranks can tell.
const RANK_BITS: u32 = 22;
/// Effective times are below 2^42 ms until the year 2109.
const _: () = assert!(crate::event::TIME_MAX < 1 << (64 - RANK_BITS));

impl Fortunes {
    /// A claim by `account` at an effective time, whose share has this rank (in 2^-32).
    pub fn claimed(&mut self, account: u128, time: i64, rank: u32) {
        let held = self.account(account, time);
        if held.ranks.len() == LUCK_RANKS_MAX {
            held.drop_rank();
        }
        let rank = u64::from(rank) >> (32 - RANK_BITS);
        held.ranks.push_back((time as u64) << RANK_BITS | rank);
        held.sum += rank as i64;
    }

    /// A refund to `account` at an effective time that broke a law.
    pub fn refunded(&mut self, account: u128, time: i64, finding: Finding) {
        let held = self.account(account, time);
        if held.faults.len() == REFUND_FAULTS_MAX {
            held.faults.pop_front();
        }
        held.faults.push_back((time, finding));
    }

    /// A claim by `account` at an effective time that came sooner than [`HASTE_MS`].
    pub fn hastened(&mut self, account: u128, time: i64) {
        let hasty = &mut self.account(account, time).hasty;
        if hasty.len() == HASTY_CLAIMS_MAX {
            hasty.pop_front();
        }
        hasty.push_back(time);
    }

    /// What is known of an account at an effective time, if anything is.
    pub fn of(&mut self, account: u128, time: i64) -> Option<Fortune> {
        let held = self.accounts.find_mut(account as u64, |held| held.id == account)?;
        held.expire(time);
        Some(Fortune {
            luck: held.luck(),
            refund_faults: held.faults.len(),
            refund_finding: held.faults.back().map(|(_, finding)| *finding),
            hasty_claims: held.hasty.len(),
        })
    }

    /// How many accounts are remembered.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// All that is remembered, as bytes.
    pub(crate) fn save(&self) -> Vec<u8> {
        snapshot::encode(&(self.survivors, self.accounts.iter().collect::<Vec<&Account>>()))
    }

    /// Remembers what was saved, and nothing else.
    pub(crate) fn load(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let (survivors, accounts): (usize, Vec<Account>) = snapshot::decode(bytes)?;
        self.survivors = survivors;
        self.accounts = HashTable::with_capacity(accounts.len());
        for account in accounts {
            self.accounts.insert_unique(account.id as u64, account, |held| held.id as u64);
        }
        Ok(())
    }

    /// Whether no account is remembered.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// How many ranks, refunds and hasty claims are remembered.
    pub fn events(&self) -> usize {
        let of_account = |held: &Account| held.ranks.len() + held.faults.len() + held.hasty.len();
        self.accounts.iter().map(of_account).sum()
    }

    /// The account, which is new where it is not known; what is over of it is forgotten.
    fn account(&mut self, id: u128, time: i64) -> &mut Account {
        self.sweep_when_due(time);
        let new = || Account {
            id,
            ranks: VecDeque::new(),
            sum: 0,
            faults: VecDeque::new(),
            hasty: VecDeque::new(),
        };
        let hash = |held: &Account| held.id as u64;
        let entry = self.accounts.entry(id as u64, |held| held.id == id, hash);
        let held = entry.or_insert_with(new).into_mut();
        held.expire(time);
        held
    }

    /// Forgets who is quiet, once the accounts have doubled since the last look.
    fn sweep_when_due(&mut self, now: i64) {
        if self.accounts.len() >= 2 * self.survivors + 64 {
            self.accounts.retain(|held| {
                held.expire(now);
                !held.ranks.is_empty() || !held.faults.is_empty() || !held.hasty.is_empty()
            });
            self.survivors = self.accounts.len();
        }
    }
}

impl Account {
    fn expire(&mut self, now: i64) {
        let over = |time: i64| time <= now - LUCK_WINDOW_MS;
        while self.ranks.front().is_some_and(|word| over((word >> RANK_BITS) as i64)) {
            self.drop_rank();
        }
        while self.faults.front().is_some_and(|(time, _)| over(*time)) {
            self.faults.pop_front();
        }
        while self.hasty.front().is_some_and(|time| *time <= now - HASTE_WINDOW_MS) {
            self.hasty.pop_front();
        }
    }

    fn drop_rank(&mut self) {
        if let Some(word) = self.ranks.pop_front() {
            self.sum -= (word & ((1 << RANK_BITS) - 1)) as i64;
        }
    }

    fn luck(&self) -> Option<f64> {
        let count = self.ranks.len();
        if count < LUCK_RANKS_MIN {
            return None;
        }
        // In units of half a rank's last bit, so that the middle of each step counts.
        let from_half = 2 * self.sum + count as i64 - ((count as i64) << RANK_BITS);
        let from_half = from_half as f64 / f64::from(1 << (RANK_BITS + 1));
        Some(from_half / libm::sqrt(count as f64 / 12.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::packet::draw::{Draws, Purpose};
    use crate::packet::split::{rank, share};
    use crate::packet::units::Fen;

    const DAY: i64 = 24 * 3_600_000;

    fn fortune(fortunes: &mut Fortunes, account: u128, time: i64) -> Fortune {
        fortunes.of(account, time).expect("it is known")
    }

    /// Ranks of the places of one packet, drawn with a secret of this number; the last has none.
    fn drawn(number: u32, total: u64, shares: u32) -> Vec<Rank> {
        let secret = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let mut remaining = Fen(total);
        let of_place = |place| {
            let mut draws = Draws::new(&secret, Purpose::Share, place);
            let before = remaining;
            let got = share(before, shares - place, |end| draws.below(end));
            remaining -= got;
            rank(before, shares - place, got).expect("the law drew it")
        };
        (0..shares - 1).map(of_place).collect()
    }

    /// How many packets of each kind deviate by more than one in a hundred, and in a thousand,
    /// should: within five standard errors of the count, and a tenth for what is only "about".
    #[test]
    fn deviation_has_its_null_distribution_under_the_law() {
        const PACKETS: u32 = 20_000;
        for (total, shares) in [(100_000, 10), (20_000, 30), (1_000, 20), (3_000, 100)] {
            let deviations: Vec<f64> = (0..PACKETS)
                .filter_map(|number| {
                    let mut ranks = Ranks::default();
                    drawn(number, total, shares).iter().for_each(|rank| ranks.add(rank));
                    ranks.deviation()
                })
                .collect();
            assert!(deviations.len() > PACKETS as usize / 2, "{total} in {shares}");
            let over = |c: f64| deviations.iter().filter(|d| **d > c).count() as f64;
            for (c, of) in [(1.386, 2.0), (4.605, 10.0), (9.21, 100.0), (13.82, 1_000.0)] {
                let expected = deviations.len() as f64 / of;
                let room = 0.15 * expected + 5.0 * expected.sqrt();
                assert!((over(c) - expected).abs() < room, "{total} in {shares}, over {c}");
            }
        }
    }

    #[test]
    fn luck_is_standard_normal_under_the_law_and_grows_with_favour() {
        let mut fortunes = Fortunes::default();
        let mut lucks = Vec::new();
        for account in 0..2_000_u32 {
            for packet in 0..20 {
                let rank = drawn(account * 20 + packet, 20_000, 10)[packet as usize % 9];
                fortunes.claimed(u128::from(account) + 1, i64::from(packet), rank.mid);
            }
            lucks.push(
                fortune(&mut fortunes, u128::from(account) + 1, 20).luck.expect("there are twenty"),
            );
        }
        let mean = lucks.iter().sum::<f64>() / 2_000.0;
        let square = lucks.iter().map(|luck| luck * luck).sum::<f64>() / 2_000.0;
        // Five standard errors.
        assert!(mean.abs() < 5.0 / 2_000_f64.sqrt(), "{mean}");
        assert!((square - 1.0).abs() < 5.0 * (2.0 / 2_000_f64).sqrt(), "{square}");
        // Of two shares always the larger: a mean rank of two thirds. Twenty: z of 0.167 * 15.5.
        for packet in 0..20_u32 {
            let two = [drawn(packet, 20_000, 10)[0], drawn(packet + 100, 20_000, 10)[0]];
            fortunes.claimed(9_999, 0, two[0].mid.max(two[1].mid));
        }
        assert!(fortune(&mut fortunes, 9_999, 0).luck.is_some_and(|luck| luck > 1.5));
    }

    #[test]
    fn luck_counts_thirty_days_to_the_millisecond_and_the_latest_thousand() {
        let mut fortunes = Fortunes::default();
        (0..10).for_each(|at| fortunes.claimed(1, at, u32::MAX));
        assert!(fortune(&mut fortunes, 1, 30 * DAY - 1).luck.is_some());
        assert_eq!(fortune(&mut fortunes, 1, 30 * DAY).luck, None, "nine are left");
        (0..1_000).for_each(|at| fortunes.claimed(2, at, 0));
        (0..1_000).for_each(|at| fortunes.claimed(2, at, u32::MAX));
        let luck = fortune(&mut fortunes, 2, 1_000).luck.expect("a thousand");
        assert!((luck - 0.5 * 12_000_f64.sqrt()).abs() < 1e-3, "{luck}");
    }

    #[test]
    fn hasty_claims_count_for_a_week_and_the_latest_thousand() {
        let mut fortunes = Fortunes::default();
        (0..3).for_each(|at| fortunes.hastened(1, at));
        for (time, count) in [(2, 3), (7 * DAY, 2), (7 * DAY + 2, 0)] {
            assert_eq!(fortune(&mut fortunes, 1, time).hasty_claims, count, "at {time}");
        }
        (0..2_000).for_each(|at| fortunes.hastened(2, at));
        assert_eq!(fortune(&mut fortunes, 2, 2_000).hasty_claims, 1_000);
        assert_eq!(fortune(&mut fortunes, 2, 7 * DAY + 1_500).hasty_claims, 499);
    }

    #[test]
    fn refunds_count_and_the_quiet_are_forgotten() {
        let mut fortunes = Fortunes::default();
        fortunes.refunded(1, 0, Finding::RefundShort);
        fortunes.refunded(1, DAY, Finding::RefundedTwice);
        let told = fortune(&mut fortunes, 1, DAY);
        assert_eq!((told.refund_faults, told.luck), (2, None));
        assert_eq!(told.refund_finding, Some(Finding::RefundedTwice));
        assert_eq!(fortune(&mut fortunes, 1, 30 * DAY).refund_faults, 1);
        assert_eq!(fortune(&mut fortunes, 1, 31 * DAY).refund_finding, None);
        for account in 0..10_000 {
            fortunes.claimed(account + 2, DAY * account as i64, 0);
        }
        assert!(fortunes.len() < 200, "{}", fortunes.len());
    }
}
