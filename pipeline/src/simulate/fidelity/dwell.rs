//! How long what packets bring stays on an account: first in, first out.

use std::collections::VecDeque;

use super::tables::{Met, Tables};
use super::{Of, Row};
use crate::simulate::figures::{self, DAY, GroupType, MINUTE};

/// The flows of which the document gives the dwell, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Family,
    Business,
    Gambling,
    Other,
}

/// Money that came in.
struct Receipt {
    flow: Flow,
    time: i64,
    left_fen: i64,
}

/// Money that came in and went out.
#[derive(Clone, Copy)]
struct Stay {
    flow: Flow,
    since: i64,
    ms: i64,
    fen: i64,
    /// Whether most of what had come in by the time it went out was of its flow.
    mostly: bool,
}

#[derive(Default)]
struct Book {
    waiting: VecDeque<Receipt>,
    stays: Vec<Stay>,
    /// What came in, by flow.
    received: [i64; 4],
}

/// The books of ordinary people.
#[derive(Default)]
pub(crate) struct Books(Met<u32, Book>);

impl Books {
    /// A packet brought somebody money.
    pub(crate) fn receive(&mut self, account: u32, flow: Flow, time: i64, fen: i64) {
        let book = self.0.entry(account).or_default();
        book.waiting.push_back(Receipt { flow, time, left_fen: fen });
        book.received[flow as usize] += fen;
    }

    /// Somebody spent of the balance.
    pub(crate) fn pay(&mut self, account: u32, time: i64, mut fen: i64) {
        let Some(book) = self.0.get_mut(&account) else { return };
        while fen > 0 {
            let Some(oldest) = book.waiting.front_mut() else { break };
            let part = fen.min(oldest.left_fen);
            oldest.left_fen -= part;
            fen -= part;
            let (flow, since, left_fen) = (oldest.flow, oldest.time, oldest.left_fen);
            let mostly = book.mostly(flow);
            book.stays.push(Stay { flow, since, ms: time - since, fen: part, mostly });
            if left_fen == 0 {
                book.waiting.pop_front();
            }
        }
    }

    /// What moved on a day over the mean of what lay there, of money that came in early enough for
    /// that to be told before `end`.
    pub(crate) fn turnover(&self, flow: Flow, end: i64) -> Of {
        let mut all = Outflow::default();
        self.0.values().for_each(|book| all.add(&book.outflow(flow, end, |stay| stay.mostly)));
        (all.a_day(), all.stays)
    }

    /// Minutes that half of the money which moved on within a day had stayed.
    pub(crate) fn stay_minutes(&self, flow: Flow, end: i64) -> Of {
        let books = self.0.values();
        let stays = books.flat_map(|book| book.moved_on(flow, end).filter(|stay| stay.mostly));
        let mut stays: Vec<(i64, i64)> = stays.map(|stay| (stay.ms, stay.fen)).collect();
        (median(&mut stays) as f64 / MINUTE as f64, stays.len())
    }

    /// Hundredths of the money that moved on within a day. What came in during the last day is left
    /// out, since the events end before it is known what became of it.
    pub(crate) fn recirculated(&self, end: i64) -> Of {
        let known = end - DAY;
        let (mut within, mut later, mut samples) = (0, 0, 0);
        for book in self.0.values() {
            for stay in book.stays.iter().filter(|stay| stay.since < known) {
                *if stay.ms <= DAY { &mut within } else { &mut later } += stay.fen;
                samples += 1;
            }
            later +=
                book.waiting.iter().filter(|r| r.time < known).map(|r| r.left_fen).sum::<i64>();
        }
        (within as f64 * 100.0 / (within + later).max(1) as f64, samples)
    }

    /// On how many accounts money came in so early that [`Books::recirculated`] tells of it.
    pub(crate) fn recirculated_accounts(&self, end: i64) -> usize {
        let known = end - DAY;
        let told = |book: &&Book| {
            book.stays.iter().any(|stay| stay.since < known)
                || book.waiting.iter().any(|rest| rest.time < known)
        };
        self.0.values().filter(told).count()
    }

    /// What the accounts tell of a flow that is most of all that they received by the end.
    pub(crate) fn kept_by_most(&self, flow: Flow, end: i64) -> Kept {
        let (mut kept, mut all, mut stays) = (Kept::default(), Outflow::default(), Vec::new());
        let mostly = |book: &&Book| book.received[flow as usize] > 0 && book.mostly(flow);
        for book in self.0.values().filter(mostly) {
            kept.accounts += 1;
            kept.received_fen += book.received[flow as usize];
            let outflow = book.outflow(flow, end, |_| true);
            kept.turnover.1 += usize::from(outflow.fen_ms > 0 || outflow.stays > 0);
            all.add(&outflow);
            let before = stays.len();
            stays.extend(book.moved_on(flow, end).map(|stay| (stay.ms, stay.fen)));
            kept.stay_minutes.1 += usize::from(stays.len() > before);
        }
        kept.turnover.0 = if all.stays == 0 { f64::NAN } else { all.a_day() };
        kept.stay_minutes.0 = match stays.is_empty() {
            true => f64::NAN,
            false => median(&mut stays) as f64 / MINUTE as f64,
        };
        kept
    }

    /// How many accounts received anything.
    pub(crate) fn accounts(&self) -> usize {
        self.0.len()
    }
}

/// So long before the end money of a flow has come in, for its turnover to be told; of other money
/// as long as of that which stays longest.
fn told_ms(flow: Flow) -> i64 {
    let told = figures::TURNOVER_TOLD_MS;
    told.get(flow as usize).copied().unwrap_or(told[0])
}

/// What accounts tell of a flow: how many there are, what they received of it, and two figures, each
/// with how many of the accounts it is of; not a number where nothing is told.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) accounts: usize,
    pub(crate) received_fen: i64,
    pub(crate) turnover: (f64, usize),
    pub(crate) stay_minutes: (f64, usize),
}

/// What moved on, in how many parts, and all money times how long it lay there.
#[derive(Default)]
struct Outflow {
    fen: i128,
    fen_ms: i128,
    stays: usize,
}

impl Outflow {
    fn add(&mut self, other: &Outflow) {
        self.fen += other.fen;
        self.fen_ms += other.fen_ms;
        self.stays += other.stays;
    }

    fn a_day(&self) -> f64 {
        self.fen as f64 * DAY as f64 / self.fen_ms.max(1) as f64
    }
}

impl Book {
    /// Money of a flow that came in early enough for its turnover to be told; of what moved on only
    /// what `counts`.
    fn outflow(&self, flow: Flow, end: i64, counts: impl Fn(&Stay) -> bool) -> Outflow {
        let mut all = Outflow::default();
        let told = |since: i64| since < end - told_ms(flow);
        let of_flow = |stay: &&Stay| stay.flow == flow && counts(stay) && told(stay.since);
        for stay in self.stays.iter().filter(of_flow) {
            all.fen += i128::from(stay.fen);
            all.fen_ms += i128::from(stay.fen) * i128::from(stay.ms);
            all.stays += 1;
        }
        let of_flow = |rest: &&Receipt| rest.flow == flow && self.mostly(flow) && told(rest.time);
        for rest in self.waiting.iter().filter(of_flow) {
            all.fen_ms += i128::from(rest.left_fen) * i128::from(end - rest.time);
        }
        all
    }

    /// Money of a flow that moved on within a day, where a day had passed before `end`.
    fn moved_on(&self, flow: Flow, end: i64) -> impl Iterator<Item = &Stay> {
        let within = move |stay: &&Stay| stay.ms <= DAY && stay.since < end - DAY;
        self.stays.iter().filter(move |stay| stay.flow == flow).filter(within)
    }

    /// Where money of several flows has come together its stay belongs to none of them, unless most
    /// of it is of one.
    fn mostly(&self, flow: Flow) -> bool {
        self.received[flow as usize] * 2 >= self.received.iter().sum()
    }
}

pub(super) fn rows(tables: &Tables, rows: &mut Vec<Row>) {
    let (books, end) = (&tables.books, tables.end());
    let flows = [
        ("family", Flow::Family, GroupType::Family.habits().stay.dwell_ms),
        ("business", Flow::Business, GroupType::Business.habits().stay.dwell_ms),
        ("gambling", Flow::Gambling, figures::GAMBLING_STAY.dwell_ms),
    ];
    for ((name, flow, _), target) in flows.into_iter().zip(figures::TURNOVER_TENTHS) {
        let of = books.turnover(flow, end);
        let figure = format!("8 {name}: outflow a day over mean balance");
        let target = target as f64 / 10.0;
        rows.push(match tables.days < figures::TURNOVER_DAYS_MIN {
            true => Row::context(figure, target, of),
            false => Row::near(figure, target, 5.0, of),
        });
    }
    for (name, flow, target) in flows {
        let figure = format!("9 {name}: median stay of money, minutes");
        let target = target as f64 / MINUTE as f64;
        rows.push(Row::near(figure, target, 10.0, books.stay_minutes(flow, end)));
    }
    let target = figures::RECIRCULATED_PERMILLE as f64 / 10.0;
    let figure = "11 moves on within a day, % of money";
    rows.push(Row::within(figure, target, 1.0, books.recirculated(end)));
}

/// The value below which half of the weight lies.
fn median(weighted: &mut [(i64, i64)]) -> i64 {
    weighted.sort_unstable();
    let all: i64 = weighted.iter().map(|(_, weight)| weight).sum();
    let mut below = 0;
    for &(value, weight) in &*weighted {
        below += weight;
        if below * 2 >= all {
            return value;
        }
    }
    0
}
