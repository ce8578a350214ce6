//! What becomes of the money that packets bring: ordinary people spend it after a while, all of it
//! at once; a part of it is left for days.

use super::clockwork::Act;
use super::figures::{
    DAY, FLOWS, GAMBLING_STAY, GroupType, HOUR, MINUTE, RECIRCULATED_PERMILLE, Stay,
    TURNOVER_TENTHS,
};
use super::packets::{Fund, Transfer};
use super::random::{Deck, Rng, normal_quantile};
use super::scenario::Scenario;
use super::turnover::Turnover;
use super::world::{Account, Group, World};

/// Waits are drawn so much shorter than the document's median stay, in hundredths: over a long wait
/// more money comes together, which draws the median of the money up. In days that are enough for the
/// turnover to be told, what is left for days is steered by it, and families wait a little longer.
const WAIT_PERCENT: [[i64; CLASSES]; 2] = [[88, 80, 74, 88], [92, 80, 74, 88]];
/// So much more is left for days than does not move on within a day, in thousandths of a class's
/// money: what is left moves sooner where faster money comes in.
const KEPT_MORE_PERMILLE: [[i64; CLASSES]; 2] = [[10, 0, -22, -10], [11, 0, -22, -10]];

/// The purses of all accounts.
pub(super) struct Purses {
    purses: Vec<Purse>,
    rng: Rng,
    patience: Deck,
    /// Money received and, of that, money left for days, by class.
    received: [i64; CLASSES],
    kept: [i64; CLASSES],
    /// How long it stays, about: fen times ms.
    stays: [i128; CLASSES],
    /// The same as it will be measured.
    turnover: Turnover,
}

const CLASSES: usize = FLOWS;
/// What is reckoned when money comes in is more or less than what becomes of it: by so much, in
/// thousandths.
const STAYS_PERMILLE: [i128; 3] = [1010, 1050, 770];
const GAMBLING: usize = 2;
/// Money that has stayed a percent too long is answered by stays that are so many percent shorter.
const STEER: i64 = 4;
/// Stays that are so much too long, in thousandths, are ended at the next occasion.
const OVERSTAYED_PERMILLE: i64 = 1010;
/// For so long money that was left is left again.
const POSTPONED_MAX_MS: i64 = 2 * DAY;

/// The document's median stays, by class.
const MEDIANS: [i64; CLASSES] = [3 * HOUR, 90 * MINUTE, GAMBLING_STAY.dwell_ms, 3 * HOUR];

/// What one account has of packets.
#[derive(Clone, Copy, Debug, Default)]
struct Purse {
    fen: i64,
    /// When the first of it came in, ms.
    first: i64,
    /// Fen times how long after the first they came in.
    moment: i128,
    due: i64,
    /// For when the next look at it is planned.
    planned: i64,
    dwell_ms: i64,
    /// Thousandths of the usual wait.
    patience: i64,
    kept: bool,
    class: usize,
}

impl Purses {
    pub(super) fn new(seed: u64, scenario: &Scenario) -> Purses {
        const CARDS: usize = 60;
        let z = |at: usize| normal_quantile((at as f64 + 0.5) / CARDS as f64);
        Purses {
            purses: Vec::new(),
            rng: Rng::named(seed, "purses", 0),
            patience: Deck::new(
                (0..CARDS).map(|at| (1_000.0 * libm::exp(0.8 * z(at))) as i64).collect(),
            ),
            received: [0; CLASSES],
            kept: [0; CLASSES],
            stays: [0; CLASSES],
            turnover: Turnover::new(scenario),
        }
    }

    /// Whether money of a class that comes into an empty purse is left there: such that the share
    /// of the money that stays is the document's.
    fn keep(&mut self, class: usize) -> bool {
        if class == GAMBLING {
            // Else that is decided when it would be spent.
            return !self.turnover.is_told()
                && self.stays_permille(class) < 1000
                && self.rng.chance(0.3);
        }
        let more = KEPT_MORE_PERMILLE[usize::from(self.turnover.is_told())][class];
        let wanted = 1000 - RECIRCULATED_PERMILLE + more;
        let behind = self.kept[class] * 1000 < self.received[class] * wanted;
        behind && self.rng.chance(0.3)
    }
}

impl Purses {
    /// How long money of a class stays, in thousandths of what the document's turnover makes of it.
    fn stays_permille(&self, class: usize) -> i64 {
        if self.turnover.is_told() {
            return self.turnover.stays_permille(class);
        }
        let Some(turnover) = TURNOVER_TENTHS.get(class) else { return 1000 };
        let wanted = i128::from(self.received[class]) * i128::from(DAY * 10 / turnover);
        let wanted = wanted * STAYS_PERMILLE[class] / 1000;
        (self.stays[class] * 1000 / wanted.max(1)) as i64
    }

    /// How much longer or shorter than usual what is left stays, in thousandths, to make up for
    /// what the stays until now were too short or too long.
    fn steer_permille(&self, class: usize) -> i64 {
        let stays = self.stays_permille(class).max(1);
        match self.turnover.is_told() {
            true => (1000 - (stays - 1000) * STEER).clamp(500, 1_500),
            false => (1_000_000 / stays).clamp(700, 1_400),
        }
    }

    /// How long somebody at the table waits, in thousandths of the usual: such that half of the
    /// money moves on within the document's stay.
    fn hurry_permille(&self) -> i64 {
        (1000 + (self.turnover.quick_permille(GAMBLING) - 500) * STEER).clamp(600, 1_600)
    }

    /// When an account's money is due that would be spent now: later if it was left for days and the
    /// money of its class has not stayed for long enough. At the table that is when it is left.
    fn postpone(&mut self, account: Account, now: i64) -> Option<i64> {
        let purse = &mut self.purses[account.0 as usize];
        if !self.turnover.is_told() || !purse.kept && purse.class != GAMBLING {
            return None;
        }
        let turnover = &mut self.turnover;
        let more = turnover.short_ms(account.0 as usize, purse.class, now).min(POSTPONED_MAX_MS);
        let least = if purse.kept { MINUTE } else { DAY };
        if more < least || !purse.kept && self.rng.chance(0.5) {
            return None;
        }
        purse.kept = true;
        (purse.due, purse.planned) = (now + more, now + more);
        turnover.postponed(account.0 as usize, purse.due);
        Some(purse.due)
    }
}

impl World {
    /// A packet has brought somebody money.
    pub(super) fn received(&mut self, account: Account, group: Option<Group>, fen: i64) {
        let person = self.person(account);
        if person.ringed || person.shop {
            return;
        }
        let hired = person.hired;
        let (class, stay) = self.stay(group);
        let now = self.now;
        let purses = &mut self.purses;
        if purses.purses.len() <= account.0 as usize {
            purses.purses.resize(account.0 as usize + 1, Purse::default());
        }
        purses.received[class] += fen;
        if purses.purses[account.0 as usize].fen == 0 {
            let patience = purses.patience.deal(&mut purses.rng);
            let kept = purses.keep(class);
            let days = stay.kept_hours * HOUR;
            // Longer or shorter, as the turnover until now has it.
            let steer = purses.steer_permille(class);
            let days = if class == GAMBLING { days } else { days * steer / 1000 };
            let due = now + purses.rng.between(days * 3 / 4, days * 5 / 4);
            let dwell_ms = stay.dwell_ms;
            purses.purses[account.0 as usize] = Purse {
                fen: 0,
                first: now,
                moment: 0,
                due,
                planned: i64::MAX,
                dwell_ms,
                patience,
                kept,
                class,
            };
        }
        let overstayed =
            purses.turnover.is_told() && purses.stays_permille(class) > OVERSTAYED_PERMILLE;
        let hurry = purses.hurry_permille();
        let purse = &mut purses.purses[account.0 as usize];
        if purse.kept && class == GAMBLING && (purse.class != GAMBLING || overstayed) {
            // Who gambles leaves nothing where it is.
            (purse.kept, purse.first, purse.moment) = (false, now, 0);
        }
        purse.fen += fen;
        if purse.kept {
            // Nor does money that moves faster wait for money that moves slower.
            let days = stay.kept_hours * HOUR / if overstayed { 3 } else { 1 };
            purse.due = purse.due.min(now + days * (750 + purse.patience % 500) / 1000);
            if purse.due > now + DAY {
                purses.kept[class] += fen;
            }
        } else {
            // What comes meanwhile is spent along with it. The wait counts from the money's mean
            // time, so that the median stay is the median wait however the money comes in; it is as
            // short as that of the most fleeting money.
            purse.moment += i128::from(fen) * i128::from(now - purse.first);
            purse.dwell_ms = purse.dwell_ms.min(stay.dwell_ms);
            if class == GAMBLING && purse.class != GAMBLING {
                // At the table all are about as patient.
                purse.class = GAMBLING;
                purse.patience = (1000 + purse.patience) / 2;
            }
            let wait = (purse.dwell_ms * purse.patience / 1000).clamp(MINUTE, 5 * DAY);
            let wait = if class == GAMBLING { wait * hurry / 1000 } else { wait };
            let mean = (purse.moment / i128::from(purse.fen)) as i64;
            purse.due = (purse.first + mean + wait).max(now + 1_000);
        }
        let due = purse.due;
        purses.stays[class] += i128::from(fen) * i128::from(due - now);
        if !hired {
            purses.turnover.received(account.0 as usize, class, now, fen, due);
        }
        // What falls due later than planned is found out when the time has come.
        let purse = &mut purses.purses[account.0 as usize];
        if due < purse.planned {
            purse.planned = due;
            self.plan(due, Act::Spend(account));
        }
    }

    fn stay(&self, group: Option<Group>) -> (usize, Stay) {
        let wait = WAIT_PERCENT[usize::from(self.purses.turnover.is_told())];
        let kind = match group.map(|group| self.group(group)) {
            Some(info) if info.scheme.is_some_and(|scheme| self.scheme(scheme).gambles()) => {
                let dwell_ms = GAMBLING_STAY.dwell_ms * wait[GAMBLING] / 100;
                return (GAMBLING, Stay { dwell_ms, ..GAMBLING_STAY });
            }
            Some(info) => info.kind,
            None => GroupType::Family,
        };
        let stay = kind.habits().stay;
        let class = match kind {
            GroupType::Family => 0,
            GroupType::Business => 1,
            GroupType::Interest | GroupType::Stranger => 3,
        };
        (class, Stay { dwell_ms: stay.dwell_ms * wait[class] / 100, ..stay })
    }

    /// Somebody has spent of the balance.
    pub(super) fn spent(&mut self, account: Account, fen: i64) {
        let hired = self.person(account).hired;
        if !hired {
            self.purses.turnover.paid(account.0 as usize, self.now, fen, MEDIANS);
        }
    }

    /// Somebody spends what packets have brought, unless more has come in and the time is later.
    pub(super) fn spend(&mut self, account: Account) {
        let purse = &mut self.purses.purses[account.0 as usize];
        if purse.fen == 0 {
            return;
        }
        if purse.due > self.now {
            if purse.planned <= self.now {
                purse.planned = purse.due;
                let due = purse.due;
                self.plan(due, Act::Spend(account));
            }
            return;
        }
        if let Some(due) = self.purses.postpone(account, self.now) {
            return self.plan(due, Act::Spend(account));
        }
        let fen = std::mem::take(&mut self.purses.purses[account.0 as usize].fen);
        let mut rng = std::mem::replace(&mut self.purses.rng, Rng::named(0, "", 0));
        self.pay_out(account, fen, &mut rng);
        self.purses.rng = rng;
    }

    /// At a shop, to a friend, or to the bank.
    fn pay_out(&mut self, account: Account, fen: i64, rng: &mut Rng) {
        let shop = rng.chance(0.7);
        let to = if shop {
            *rng.pick(&self.shops)
        } else {
            Account(rng.below(u64::from(self.ordinary)) as u32)
        };
        if to == account || rng.chance(0.15) {
            return self.withdraw(account, fen, None);
        }
        let scene = if shop { "transfer.shop" } else { "transfer.friend" };
        let text = self.words.say(scene, &[], rng);
        let (group, scheme, fund) = (None, None, Fund::Balance);
        self.pay(Transfer { from: account, to, amount_fen: fen, text, fund, group, scheme });
    }
}
