//! How much people send. Amounts are lognormal, many of them moved to a number that means
//! something, and each law is dealt from a deck whose mean is exact.

use super::figures::{
    ALL_MEAN_FEN, DELTA_BUSINESS_MEAN_FEN, GroupType, INLAND_MEAN_FEN, LUCKY_FEN, Zone,
};
use super::random::{Deck, Rng, normal_quantile};

/// Cards of a deck: enough that the rare large amounts are among them.
const CARDS: usize = 400;
/// So many packets in a hundred carry a number that means something, if one is near.
const LUCKY_PERCENT: u64 = 45;
/// The mean of families inland is at most so many hundredths of that of all families, and leaves
/// the others so many: with less, too few of their packets would be of a yuan and more.
const KIN_INLAND_PERCENT_MAX: i64 = 125;
const KIN_ELSEWHERE_PERCENT_MIN: i64 = 35;
/// Where families cannot bring inland to its mean, it may be short of it by so many thousandths,
/// about as much as luck makes it...
const INLAND_SHORT_PERMILLE: i64 = 12;
/// ...and the rest is in packets of other groups, which elsewhere are smaller for it by so many
/// hundredths at most.
const PAID_BACK_PERCENT_MAX: i64 = 50;

/// The decks of a population.
#[derive(Debug)]
pub(super) struct Amounts {
    /// By type and, within it, zone.
    decks: [[Deck; 3]; 4],
    direct: Deck,
    /// By how much packets that repeat an amount were above the mean, fen: the next pay it back.
    owed: [[i64; 3]; 4],
    means: [[i64; 3]; 4],
}

/// Packets that will be sent in groups, by type and zone: how many about, since only their
/// proportions matter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Planned(pub [[i64; 3]; 4]);

impl Planned {
    fn of(&self, kind: GroupType) -> i64 {
        self.0[kind as usize].iter().sum()
    }

    fn in_zone(&self, kind: GroupType, zone: Zone) -> i64 {
        self.0[kind as usize][zone as usize]
    }

    /// All of them.
    pub(super) fn total(&self) -> i64 {
        GroupType::ALL.into_iter().map(|kind| self.of(kind)).sum()
    }
}

impl Amounts {
    /// The decks for packets planned in groups, and `direct` packets from person to person.
    ///
    /// The means by type are given, and so are two by zone: of business in the deltas, and of all
    /// groups inland. The means that are left free are those that make both true together.
    pub(super) fn new(planned: &Planned, direct: i64, rng: &mut Rng) -> Amounts {
        let means = means(planned);
        let decks = GroupType::ALL.map(|kind| {
            let sigma = kind.habits().sigma;
            means[kind as usize].map(|mean_fen| deck(mean_fen, sigma, rng))
        });
        let group_sum: i64 = (0..4)
            .flat_map(|kind| (0..3).map(move |zone| (kind, zone)))
            .map(|(kind, zone)| planned.0[kind][zone] * means[kind][zone])
            .sum();
        let wanted = ALL_MEAN_FEN * (planned.total() + direct) - group_sum;
        let direct = deck((wanted / direct.max(1)).max(200), 1.1, rng);
        Amounts { decks, direct, owed: [[0; 3]; 4], means }
    }

    /// The total of a packet in a group.
    pub(super) fn in_group(&mut self, kind: GroupType, zone: Zone, rng: &mut Rng) -> i64 {
        let card = self.decks[kind as usize][zone as usize].deal(rng);
        let owed = &mut self.owed[kind as usize][zone as usize];
        if LUCKY_FEN.contains(&card) {
            return card;
        }
        let paid = (*owed).clamp(-card / 4, card / 4);
        *owed -= paid;
        card - paid
    }

    /// A packet repeats the amount of the one before.
    pub(super) fn repeat(&mut self, kind: GroupType, zone: Zone, fen: i64) {
        self.owed[kind as usize][zone as usize] += fen - self.means[kind as usize][zone as usize];
    }

    /// The mean of a packet from person to person.
    pub(super) fn direct_mean_fen(&self) -> i64 {
        self.direct.mean()
    }

    /// The total of a packet from person to person.
    pub(super) fn direct(&mut self, rng: &mut Rng) -> i64 {
        self.direct.deal(rng)
    }
}

/// The mean of each type in each zone.
fn means(planned: &Planned) -> [[i64; 3]; 4] {
    let mut means = GroupType::ALL.map(|kind| [kind.habits().mean_fen; 3]);
    business(planned, &mut means);
    families(planned, &mut means);
    others_inland(planned, &mut means);
    means
}

/// The mean in the deltas is given, and so is that of all.
fn business(planned: &Planned, means: &mut [[i64; 3]; 4]) {
    let (kind, delta) = (GroupType::Business, Zone::Delta);
    let in_delta = planned.in_zone(kind, delta);
    let elsewhere = planned.of(kind) - in_delta;
    let left = kind.habits().mean_fen * planned.of(kind) - in_delta * DELTA_BUSINESS_MEAN_FEN;
    let mean = left.checked_div(elsewhere).unwrap_or(0).max(400);
    means[kind as usize] = [mean; 3];
    means[kind as usize][delta as usize] = DELTA_BUSINESS_MEAN_FEN;
}

/// Families inland make up for what others lack there, as far as those elsewhere can bear it.
fn families(planned: &Planned, means: &mut [[i64; 3]; 4]) {
    let kind = GroupType::Family;
    let usual = kind.habits().mean_fen;
    let inland = planned.in_zone(kind, Zone::Inland);
    let elsewhere = planned.of(kind) - inland;
    let missing = missing_inland(planned, means).checked_div_euclid(inland).unwrap_or(0);
    let wanted = usual + missing;
    let bearable = usual * elsewhere * (100 - KIN_ELSEWHERE_PERCENT_MIN) / 100;
    let most = usual + bearable.checked_div(inland).unwrap_or(0);
    let most = most.min(usual * KIN_INLAND_PERCENT_MAX / 100);
    let mean = wanted.clamp(usual / 2, most);
    let left = usual * planned.of(kind) - mean * inland;
    means[kind as usize] = [left.checked_div(elsewhere).unwrap_or(usual).max(100); 3];
    means[kind as usize][Zone::Inland as usize] = mean;
}

/// What families leave for others to make up for: each type gives in proportion to what it can.
fn others_inland(planned: &Planned, means: &mut [[i64; 3]; 4]) {
    const OTHERS: [(GroupType, &[Zone]); 3] = [
        (GroupType::Interest, &[Zone::Delta, Zone::Rest]),
        (GroupType::Business, &[Zone::Rest]),
        (GroupType::Stranger, &[Zone::Delta, Zone::Rest]),
    ];
    let all: i64 = GroupType::ALL.iter().map(|&kind| planned.in_zone(kind, Zone::Inland)).sum();
    let missing = missing_inland(planned, means);
    let missing = missing - INLAND_MEAN_FEN * all * INLAND_SHORT_PERMILLE / 1000;
    let able = OTHERS.map(|(kind, zones)| match planned.in_zone(kind, Zone::Inland) {
        0 => 0,
        _ => zones
            .iter()
            .map(|&zone| planned.in_zone(kind, zone) * means[kind as usize][zone as usize])
            .sum::<i64>(),
    });
    let able_all: i64 = able.iter().sum();
    if missing <= 0 || able_all == 0 {
        return;
    }
    let permille = (missing * 1000 / able_all).min(PAID_BACK_PERCENT_MAX * 10);
    for ((kind, zones), able) in OTHERS.into_iter().zip(able).filter(|(_, able)| *able > 0) {
        let inland = planned.in_zone(kind, Zone::Inland);
        let means = &mut means[kind as usize];
        means[Zone::Inland as usize] += able * permille / 1000 / inland;
        for &zone in zones {
            means[zone as usize] -= means[zone as usize] * permille / 1000;
        }
    }
}

/// What all packets inland lack for their mean to be the document's, fen.
fn missing_inland(planned: &Planned, means: &[[i64; 3]; 4]) -> i64 {
    let lacks = |kind: GroupType| {
        let mean = means[kind as usize][Zone::Inland as usize];
        planned.in_zone(kind, Zone::Inland) * (INLAND_MEAN_FEN - mean)
    };
    GroupType::ALL.into_iter().map(lacks).sum()
}

/// Amounts of a lognormal law of that mean, some of them moved to lucky numbers nearby; the
/// others are then scaled so that the deck's mean is exact.
fn deck(mean_fen: i64, sigma: f64, rng: &mut Rng) -> Deck {
    let median = mean_fen as f64 / libm::exp(sigma * sigma / 2.0);
    let quantile = |at: usize| {
        let z = normal_quantile((at as f64 + 0.5) / CARDS as f64);
        (median * libm::exp(sigma * z)) as i64
    };
    let mut cards: Vec<i64> = (0..CARDS).map(|at| quantile(at).max(10)).collect();
    let mut plain = Vec::new();
    for (at, card) in cards.iter_mut().enumerate() {
        let near = LUCKY_FEN.iter().copied().min_by_key(|lucky| lucky.abs_diff(*card));
        match near.filter(|lucky| lucky.abs_diff(*card) * 8 <= card.unsigned_abs()) {
            Some(lucky) if rng.below(100) < LUCKY_PERCENT => *card = lucky,
            _ => plain.push(at),
        }
    }
    let wanted = mean_fen * CARDS as i64;
    let plain_sum: i64 = plain.iter().map(|&at| cards[at]).sum();
    let plain_wanted = wanted - (cards.iter().sum::<i64>() - plain_sum);
    for &at in &plain {
        cards[at] = (cards[at] * plain_wanted / plain_sum).max(10);
    }
    Deck::new(cards)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    /// The mean of the packets of some types in some zones.
    fn mean(planned: &Planned, kinds: Range<usize>, zones: Range<usize>) -> i64 {
        let means = means(planned);
        let (mut sum, mut count) = (0, 0);
        for kind in kinds {
            for zone in zones.clone() {
                sum += planned.0[kind][zone] * means[kind][zone];
                count += planned.0[kind][zone];
            }
        }
        sum / count
    }

    #[test]
    fn means_by_type_and_by_zone_hold_together() {
        let planned = Planned([[300, 2800, 1400], [60, 500, 200], [700, 200, 150], [5, 40, 60]]);
        assert!(mean(&planned, 0..1, 0..3).abs_diff(870) <= 1);
        assert!(mean(&planned, 2..3, 0..3).abs_diff(2850) <= 1);
        assert_eq!(mean(&planned, 2..3, 0..1), 3580);
    }

    /// In a week of few groups it may be that families alone cannot bring inland to its mean.
    #[test]
    fn what_families_cannot_bring_inland_to_its_mean_is_in_the_packets_of_others() {
        for kin_inland in [3300, 3700, 4100] {
            let families = [300, kin_inland, 5400 - 300 - kin_inland];
            let planned = Planned([families, [140, 1430, 0], [1160, 480, 170], [0, 600, 650]]);
            let inland = mean(&planned, 0..4, 1..2);
            assert!((1220..=1240).contains(&inland), "{kin_inland}: {inland}");
            for (kind, wanted) in [870_i64, 1520, 2850, 1100].into_iter().enumerate() {
                let mean = mean(&planned, kind..kind + 1, 0..3);
                assert!(mean.abs_diff(wanted) * 200 <= wanted as u64, "{kin_inland}: {mean}");
            }
            assert_eq!(mean(&planned, 2..3, 0..1), 3580);
            let elsewhere = means(&planned)[0][Zone::Rest as usize];
            assert!(elsewhere >= 870 * 35 / 100 - 1, "{kin_inland}: {elsewhere}");
        }
    }

    #[test]
    fn a_deck_has_its_mean_and_lucky_numbers() {
        let mut rng = Rng::named(1, "deck", 0);
        let mut deck = deck(1520, 1.03, &mut rng);
        let cards: Vec<i64> = (0..CARDS).map(|_| deck.deal(&mut rng)).collect();
        let mean = cards.iter().sum::<i64>() / CARDS as i64;
        assert!(mean.abs_diff(1520) <= 15, "{mean}");
        let lucky = cards.iter().filter(|card| LUCKY_FEN.contains(card)).count();
        assert!((80..260).contains(&lucky), "{lucky}");
        let band = cards.iter().filter(|card| (500..=5000).contains(*card)).count();
        assert!((260..=276).contains(&band), "67 % are from 5 to 50 yuan, not {band} of 400");
    }
}
