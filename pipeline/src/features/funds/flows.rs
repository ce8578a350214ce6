//! What an account's money did in the last 24 hours, exact to the event and at the same cost for
//! busy accounts as for quiet ones.
//!
//! *Matching.* Money that goes out consumes the oldest receipts of the window that are not yet
//! consumed; what it does not find there is ignored. When the window moves on, everything is
//! matched as if from scratch over what is left of it. That costs a constant number of steps an
//! event, amortised, for two reasons:
//!
//! - Let the *excess* after an event be all that went out until then less all that came in. Money
//!   that finds no receipt is where the excess rises above all its values since the window's
//!   beginning: its *records*. An event that is a record stays one until it leaves the window, and
//!   new records lie only between the event that leaves and the first record so far: they are
//!   found by going from each event to the next with a greater excess.
//! - What is consumed is the oldest part of the receipts, and where it ends only moves on.
//!
//! So the time between receipt and spend, weighted by fen, is a difference of sums: of matched
//! money times the moment of its spend, and of consumed receipts times their moments.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::features::state_map::KeyedState;

/// The window, in ms: an event counts while `t - 24 h < its effective time <= t`.
pub(crate) const WINDOW_MS: i64 = 86_400_000;

/// An account that moves nothing for so long is forgotten with its balance, and first seen anew: of
/// accounts that were emptied elsewhere, or never again, not all can be kept for good. As long as
/// the longest window of a declared feature, in ms.
pub(crate) const BALANCE_KEPT_MS: i64 = 90 * WINDOW_MS;

const MINUTE_MS: i128 = 60_000;

/// How a movement of money concerns an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flow {
    /// A claim or transfer to it.
    Receipt,
    /// A refund or topup: its own money comes, and is nobody's payment.
    Credit,
    /// A send, transfer or withdrawal from what it has on the platform.
    Spend,
    /// A send or transfer paid by a bank card: it passes the balance by.
    BankSpend,
}

/// The features of an account at a moment; each is `None` where it has no meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Flowed {
    pub(crate) residence_minutes: Option<f64>,
    pub(crate) recirculated: Option<f64>,
    pub(crate) turnover: Option<f64>,
}

/// What is kept of one account: its balance, and of its day what has not left the window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flows {
    balance: i128,
    /// When the last movement came.
    last: i64,
    day: Option<Box<Day>>,
}

/// The movements of the window and their sums.
#[derive(Debug, Serialize, Deserialize)]
struct Day {
    entries: VecDeque<Entry>,
    /// The number of the oldest entry; numbers wrap around.
    first: u32,
    matching: Matching,
    balances: Balances,
}

/// One movement. 32 bytes, so that a million of them fit where they must.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    time: i64,
    fen: i64,
    /// Excess after the event. It wraps around: only differences within a window have a meaning,
    /// and they are exact as long as an account moves less than 2^63 fen in a day, which takes
    /// nine million events of the largest amount.
    excess: i64,
    /// The next entry with a greater excess, once it is found; before that, the one below this on
    /// the stack of those that still seek theirs, or this itself if it is the lowest.
    link: u32,
    found: bool,
    flow: Flow,
}

/// Sums over the window that tell how long money stayed. Sums with a weight are in fen times ms.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Matching {
    /// Excess at the beginning of the window, now, and the largest in between.
    base: i64,
    now: i64,
    top: i64,
    received: i128,
    spent: i128,
    spent_weighted: i128,
    unmatched: i128,
    unmatched_weighted: i128,
    /// The consumed receipts, each with the moment at which it came.
    consumed_weighted: i128,
    /// Where the consumed part of the receipts ends: an entry's number, and the fen of it.
    end: u32,
    end_fen: i64,
}

/// The balance over the window.
#[derive(Debug, Serialize, Deserialize)]
struct Balances {
    /// From when on the balance is known, or the last event that left the window; and the balance
    /// then.
    since: i64,
    at_first: i128,
    /// The last event, and the balance summed over the time from `since` until then.
    until: i64,
    area: i128,
    /// Money spent from the balance.
    spent: i128,
}

impl Flows {
    /// Takes a movement; they come in total order.
    pub(crate) fn apply(&mut self, time: i64, flow: Flow, fen: i64) {
        self.expire(time);
        let balance = self.balance;
        let day = self.day.get_or_insert_with(|| Box::new(Day::new(time, balance)));
        day.push(time, flow, fen);
        day.balances.pass(time, self.balance);
        if flow == Flow::Spend {
            day.balances.spent += i128::from(fen);
        }
        self.balance = after(self.balance, flow, fen);
        self.last = time;
    }

    /// The features at `time`, which is not before any movement.
    pub(crate) fn at(&mut self, time: i64) -> Flowed {
        self.expire(time);
        let Some(day) = &self.day else {
            // A balance that lay still was turned over by nothing.
            return Flowed { turnover: (self.balance > 0).then_some(0.0), ..Flowed::default() };
        };
        let of = &day.matching;
        let matched = of.spent - of.unmatched;
        let waited = of.spent_weighted - of.unmatched_weighted - of.consumed_weighted;
        let share = |part: i128, whole: i128| (whole > 0).then(|| part as f64 / whole as f64);
        Flowed {
            residence_minutes: share(waited, matched * MINUTE_MS),
            recirculated: share(matched, of.received),
            turnover: day.balances.turnover(time, self.balance),
        }
    }
}

impl KeyedState for Flows {
    fn expire(&mut self, moment: i64) {
        let Some(day) = &mut self.day else { return self.forget_when_due(moment) };
        while day.entries.front().is_some_and(|entry| entry.time <= moment - WINDOW_MS) {
            day.pop();
        }
        let (held, room) = (day.entries.len(), day.entries.capacity());
        if held == 0 {
            self.day = None;
            self.forget_when_due(moment);
        } else if room > 8 * held + 32 {
            day.entries.shrink_to(2 * held);
        }
    }

    fn is_over(&self) -> bool {
        self.day.is_none() && self.balance == 0
    }

    fn touch(&self) -> u64 {
        let ends = |day: &Day| {
            let (front, back) = (day.entries.front()?.time, day.entries.back()?.time);
            Some((front ^ back) as u64)
        };
        self.day.as_deref().and_then(ends).unwrap_or(0)
    }

    fn events(&self) -> usize {
        self.day.as_ref().map_or(0, |day| day.entries.len())
    }

    fn heap_bytes(&self) -> usize {
        let of = |day: &Day| size_of::<Day>() + day.entries.capacity() * size_of::<Entry>();
        self.day.as_deref().map_or(0, of)
    }
}

impl Flows {
    /// Without movements for long enough, what was there is no longer known.
    fn forget_when_due(&mut self, moment: i64) {
        if self.last <= moment - BALANCE_KEPT_MS {
            self.balance = 0;
        }
    }
}

/// The balance after a movement; it never falls below nothing, for an account may have had more
/// than was seen.
fn after(balance: i128, flow: Flow, fen: i64) -> i128 {
    match flow {
        Flow::Receipt | Flow::Credit => balance + i128::from(fen),
        Flow::Spend => (balance - i128::from(fen)).max(0),
        Flow::BankSpend => balance,
    }
}

impl Flow {
    /// What comes in and goes out, as the matching sees it.
    fn in_and_out(self, fen: i64) -> (i64, i64) {
        match self {
            Flow::Receipt => (fen, 0),
            Flow::Credit => (0, 0),
            Flow::Spend | Flow::BankSpend => (0, fen),
        }
    }
}

fn weighted(fen: i64, time: i64) -> i128 {
    i128::from(fen) * i128::from(time)
}

impl Day {
    /// The window of an account that had this balance for a day, or none and is first seen.
    fn new(time: i64, balance: i128) -> Day {
        let since = if balance == 0 { time } else { time - WINDOW_MS };
        let balances = Balances { since, at_first: balance, until: since, area: 0, spent: 0 };
        Day { entries: VecDeque::new(), first: 0, matching: Matching::default(), balances }
    }

    fn push(&mut self, time: i64, flow: Flow, fen: i64) {
        let (received, spent) = flow.in_and_out(fen);
        let of = &mut self.matching;
        of.received += i128::from(received);
        of.spent += i128::from(spent);
        of.spent_weighted += weighted(spent, time);
        of.now = of.now.wrapping_add(spent).wrapping_sub(received);
        let rise = of.now.wrapping_sub(of.top).max(0);
        of.top = of.top.wrapping_add(rise);
        of.unmatched += i128::from(rise);
        of.unmatched_weighted += weighted(rise, time);
        let excess = of.now;
        let number = self.first.wrapping_add(self.entries.len() as u32);
        let below = self.answer_those_that_seek(number, excess);
        let link = below.unwrap_or(number);
        self.entries.push_back(Entry { time, fen, excess, link, found: false, flow });
        self.consume(spent - rise);
    }

    /// Tells those on the stack with a smaller excess that `number` is the next with a greater one,
    /// and says which stays uppermost.
    fn answer_those_that_seek(&mut self, number: u32, excess: i64) -> Option<u32> {
        let mut upmost = number.wrapping_sub(1);
        loop {
            let at = self.place(upmost)?;
            let entry = &mut self.entries[at];
            if excess.wrapping_sub(entry.excess) <= 0 {
                return Some(upmost);
            }
            let below = entry.link;
            (entry.link, entry.found) = (number, true);
            if below == upmost {
                return None;
            }
            upmost = below;
        }
    }

    /// Where an entry stands; nowhere if it has left the window.
    fn place(&self, number: u32) -> Option<usize> {
        let at = number.wrapping_sub(self.first) as usize;
        (at < self.entries.len()).then_some(at)
    }

    /// The oldest receipts that are not consumed are, for so much.
    fn consume(&mut self, mut fen: i64) {
        while fen > 0 {
            let at = self.matching.end.wrapping_sub(self.first) as usize;
            let entry = self.entries[at];
            let (received, _) = entry.flow.in_and_out(entry.fen);
            let taken = fen.min(received - self.matching.end_fen);
            self.matching.consumed_weighted += weighted(taken, entry.time);
            self.matching.end_fen += taken;
            fen -= taken;
            if self.matching.end_fen == received {
                self.matching.end = self.matching.end.wrapping_add(1);
                self.matching.end_fen = 0;
            }
        }
    }

    /// The oldest movement leaves the window.
    fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.balances.forget(&entry);
        let (received, spent) = entry.flow.in_and_out(entry.fen);
        // What it did: of a receipt the part that is consumed, which is all of it if the consumed
        // part of the receipts ends behind it. Nothing is in front of money that goes out, so that
        // all of it is unmatched.
        let mut consumed = received;
        if self.matching.end == self.first {
            consumed = self.matching.end_fen;
            (self.matching.end, self.matching.end_fen) = (self.first.wrapping_add(1), 0);
        }
        self.first = self.first.wrapping_add(1);
        let of = &mut self.matching;
        of.received -= i128::from(received);
        of.spent -= i128::from(spent);
        of.spent_weighted -= weighted(spent, entry.time);
        of.unmatched -= i128::from(spent);
        of.unmatched_weighted -= weighted(spent, entry.time);
        of.consumed_weighted -= weighted(consumed, entry.time);
        let before = of.base;
        of.base = entry.excess;
        if received > 0 {
            let unmatched = self.raise_records(&entry, before);
            self.consume(consumed - unmatched);
        }
    }

    /// A receipt has left: finds the records that there are without it, from its own excess up to
    /// the excess before it. Returns the money that is now unmatched.
    fn raise_records(&mut self, gone: &Entry, before: i64) -> i64 {
        let mut last = gone.excess;
        let mut next = gone.found.then_some(gone.link);
        let mut raised = 0;
        while let Some(place) = next.and_then(|number| self.place(number)) {
            let entry = &self.entries[place];
            // The first record so far was unmatched only for what it rose above the old beginning.
            let over = entry.excess.wrapping_sub(before) >= 0;
            let upper = if over { before } else { entry.excess };
            let more = upper.wrapping_sub(last);
            raised += more;
            self.matching.unmatched_weighted += weighted(more, entry.time);
            last = upper;
            if over {
                break;
            }
            next = entry.found.then_some(entry.link);
        }
        self.matching.unmatched += i128::from(raised);
        if self.matching.top == before {
            self.matching.top = last;
        }
        raised
    }
}

impl Balances {
    /// Time passes until `time` with this balance.
    fn pass(&mut self, time: i64, balance: i128) {
        self.area += balance * i128::from(time - self.until);
        self.until = time;
    }

    fn forget(&mut self, entry: &Entry) {
        self.area -= self.at_first * i128::from(entry.time - self.since);
        self.since = entry.time;
        self.at_first = after(self.at_first, entry.flow, entry.fen);
        if entry.flow == Flow::Spend {
            self.spent -= i128::from(entry.fen);
        }
    }

    fn turnover(&self, time: i64, balance: i128) -> Option<f64> {
        let start = self.since.max(time - WINDOW_MS);
        let area = self.area + balance * i128::from(time - self.until)
            - self.at_first * i128::from(start - self.since);
        let length = i128::from(time - start);
        (area > 0).then(|| (self.spent * length) as f64 / area as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::oracle::{Movement, flowed};
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn movements() -> impl Strategy<Value = Vec<Movement>> {
        let short = prop::sample::select(vec![0, 0, 1, 7, HOUR, 5 * HOUR, 11 * HOUR, 24 * HOUR]);
        let kept = BALANCE_KEPT_MS;
        let long = prop::sample::select(vec![kept - 1, kept, kept + HOUR, 3 * kept]);
        let gap = prop_oneof![40 => short, 1 => long];
        let flow = prop::sample::select(vec![
            Flow::Receipt,
            Flow::Receipt,
            Flow::Credit,
            Flow::Spend,
            Flow::Spend,
            Flow::BankSpend,
        ]);
        let fen = prop_oneof![0_i64..4, 0_i64..20, 0_i64..1_000, Just(1_000_000_000_000)];
        let movement = (gap, 1_i64..4, flow, fen);
        prop::collection::vec(movement, 1..120).prop_map(|parts| {
            let mut time = 1_707_480_000_000;
            let movement = |(gap, part, flow, fen)| {
                time += gap / part;
                Movement { time, flow, fen }
            };
            parts.into_iter().map(movement).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn equal_matching_from_scratch(
            history in movements(),
            later in prop_oneof![0..30 * HOUR, BALANCE_KEPT_MS - 3..BALANCE_KEPT_MS + 30 * HOUR],
        ) {
            let mut flows = Flows::default();
            for (at, movement) in history.iter().enumerate() {
                flows.apply(movement.time, movement.flow, movement.fen);
                let expected = flowed(&history[..=at], movement.time);
                prop_assert_eq!(flows.at(movement.time), expected, "after {} movements", at + 1);
            }
            let last = history.last().map_or(0, |movement| movement.time) + later;
            prop_assert_eq!(flows.at(last), flowed(&history, last), "later");
        }

        /// Whether a quiet account is looked at in between, as sweeps do, changes nothing.
        #[test]
        fn looking_changes_nothing(history in movements(), look in 1_usize..9) {
            let (mut flows, mut looked_at) = (Flows::default(), Flows::default());
            for (at, movement) in history.iter().enumerate() {
                flows.apply(movement.time, movement.flow, movement.fen);
                if at % look == 0 {
                    looked_at.expire(movement.time);
                    if looked_at.is_over() {
                        looked_at = Flows::default();
                    }
                }
                looked_at.apply(movement.time, movement.flow, movement.fen);
                prop_assert_eq!(flows.at(movement.time), looked_at.at(movement.time));
            }
        }
    }

    /// 100 yuan come at noon and 60 at one; at two 120 go out: 100 waited 2 h and 20 waited 1 h.
    #[test]
    fn figures_worked_out_by_hand() {
        let mut flows = Flows::default();
        flows.apply(0, Flow::Receipt, 10_000);
        flows.apply(HOUR, Flow::Receipt, 6_000);
        assert_eq!(flows.at(HOUR).residence_minutes, None, "nothing went out");
        flows.apply(2 * HOUR, Flow::Spend, 12_000);
        let flowed = flows.at(2 * HOUR);
        assert_eq!(flowed.residence_minutes, Some(110.0));
        assert_eq!(flowed.recirculated, Some(0.75));
        // The balance was 100 yuan for an hour and 160 for another: 130 on average.
        assert_eq!(flowed.turnover, Some(12_000.0 / 13_000.0));
        // A day later the first receipt is gone, and 60 of the 120 yuan are matched in an hour.
        let flowed = flows.at(24 * HOUR);
        assert_eq!((flowed.residence_minutes, flowed.recirculated), (Some(60.0), Some(1.0)));
        assert_eq!(flows.at(25 * HOUR).recirculated, None, "no receipt is left");
        assert_eq!(flows.at(26 * HOUR).turnover, Some(0.0), "40 yuan lay still");
        assert_eq!(flows.at(2 * HOUR + BALANCE_KEPT_MS - 1).turnover, Some(0.0));
        assert!(!flows.is_over());
        assert_eq!(flows.at(2 * HOUR + BALANCE_KEPT_MS).turnover, None, "forgotten");
        assert!(flows.is_over());
    }
}
