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
    let business = GroupType::Business as usize;
    let family = GroupType::Family as usize;
    let (delta, inland, rest) = (Zone::Delta as usize, Zone::Inland as usize, Zone::Rest as usize);

    let in_delta = planned.in_zone(GroupType::Business, Zone::Delta);
    let elsewhere = planned.of(GroupType::Business) - in_delta;
    let sum = GroupType::Business.habits().mean_fen * planned.of(GroupType::Business);
    means[business][delta] = DELTA_BUSINESS_MEAN_FEN;
    let left = sum - in_delta * DELTA_BUSINESS_MEAN_FEN;
    let mean = left.checked_div(elsewhere).unwrap_or(0).max(400);
    means[business][inland] = mean;
    means[business][rest] = mean;

    let kin_inland = planned.in_zone(GroupType::Family, Zone::Inland);
    let kin_elsewhere = planned.of(GroupType::Family) - kin_inland;
    let all_inland: i64 = planned.0.iter().map(|zones| zones[inland]).sum();
    let others: i64 = (0..4)
        .filter(|&kind| kind != family)
        .map(|kind| planned.0[kind][inland] * means[kind][inland])
        .sum();
    let left = INLAND_MEAN_FEN * all_inland - others;
    let kin_mean = GroupType::Family.habits().mean_fen;
    let mean = left.checked_div(kin_inland).unwrap_or(kin_mean);
    let mean = mean.clamp(kin_mean / 2, kin_mean * 5 / 4);
    means[family][inland] = mean;
    let left = kin_mean * (kin_inland + kin_elsewhere) - mean * kin_inland;
    let mean = left.checked_div(kin_elsewhere).unwrap_or(kin_mean).max(100);
    means[family][delta] = mean;
    means[family][rest] = mean;
    means
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
    use super::*;

    #[test]
    fn means_by_type_and_by_zone_hold_together() {
        let planned = Planned([[300, 2800, 1400], [60, 500, 200], [700, 200, 150], [5, 40, 60]]);
        let means = means(&planned);
        let mean = |kind: usize, zones: std::ops::Range<usize>| {
            let counts = &planned.0[kind][zones.clone()];
            let sum: i64 = counts.iter().zip(&means[kind][zones]).map(|(n, m)| n * m).sum();
            sum / counts.iter().sum::<i64>()
        };
        assert!(mean(0, 0..3).abs_diff(870) <= 1);
        assert!(mean(2, 0..3).abs_diff(2850) <= 1);
        assert_eq!(mean(2, 0..1), 3580);
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
