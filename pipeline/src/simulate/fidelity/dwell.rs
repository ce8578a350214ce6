//! How long what packets bring stays on an account: first in, first out.

use std::collections::{BTreeMap, VecDeque};

use super::Row;
use super::tables::Tables;
use crate::simulate::figures::{self, DAY, GroupType, MINUTE};

/// The flows of which the document gives the dwell, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
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
pub(super) struct Books(BTreeMap<u32, Book>);

impl Books {
    /// A packet brought somebody money.
    pub(super) fn receive(&mut self, account: u32, flow: Flow, time: i64, fen: i64) {
        let book = self.0.entry(account).or_default();
        book.waiting.push_back(Receipt { flow, time, left_fen: fen });
        book.received[flow as usize] += fen;
    }

    /// Somebody spent of the balance.
    pub(super) fn pay(&mut self, account: u32, time: i64, mut fen: i64) {
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
}

impl Book {
    /// Where money of several flows has come together its stay belongs to none of them, unless most
    /// of it is of one.
    fn mostly(&self, flow: Flow) -> bool {
        self.received[flow as usize] * 2 >= self.received.iter().sum()
    }
}

pub(super) fn rows(tables: &Tables, rows: &mut Vec<Row>) {
    let books = &tables.books.0;
    let flows = [
        ("family", Flow::Family, GroupType::Family.habits().stay.dwell_ms),
        ("business", Flow::Business, GroupType::Business.habits().stay.dwell_ms),
        ("gambling", Flow::Gambling, figures::GAMBLING_STAY.dwell_ms),
    ];
    let end = tables.end();
    for ((name, flow, _), target) in flows.into_iter().zip(figures::TURNOVER_TENTHS) {
        let (mut out, mut time) = (0_i128, 0_i128);
        let mut samples = 0;
        let told = |since: i64| since < end - figures::TURNOVER_TOLD_MS[flow as usize];
        for book in books.values() {
            let of_flow = |stay: &&Stay| stay.flow == flow && stay.mostly;
            for stay in book.stays.iter().filter(of_flow).filter(|stay| told(stay.since)) {
                out += i128::from(stay.fen);
                time += i128::from(stay.fen) * i128::from(stay.ms);
                samples += 1;
            }
            let of_flow = |rest: &&Receipt| rest.flow == flow && book.mostly(flow);
            for rest in book.waiting.iter().filter(of_flow).filter(|rest| told(rest.time)) {
                time += i128::from(rest.left_fen) * i128::from(end - rest.time);
            }
        }
        let actual = out as f64 * DAY as f64 / time.max(1) as f64;
        let figure = format!("8 {name}: outflow a day over mean balance");
        let target = target as f64 / 10.0;
        rows.push(match tables.days < figures::TURNOVER_DAYS_MIN {
            true => Row::context(figure, target, (actual, samples)),
            false => Row::near(figure, target, 5.0, (actual, samples)),
        });
    }
    for (name, flow, target) in flows {
        let mut stays: Vec<(i64, i64)> = books
            .values()
            .flat_map(|book| &book.stays)
            .filter(|stay| stay.flow == flow && stay.mostly)
            .filter(|stay| stay.ms <= DAY && stay.since < end - DAY)
            .map(|stay| (stay.ms, stay.fen))
            .collect();
        let minutes = |ms: i64| ms as f64 / MINUTE as f64;
        let of = (minutes(median(&mut stays)), stays.len());
        let figure = format!("9 {name}: median stay of money, minutes");
        rows.push(Row::near(figure, minutes(target), 10.0, of));
    }
    recirculated(tables, rows);
}

/// What came in during the last day is left out, since the events end before it is known what
/// became of it.
fn recirculated(tables: &Tables, rows: &mut Vec<Row>) {
    let known = tables.end() - DAY;
    let (mut within, mut later, mut samples) = (0, 0, 0);
    for book in tables.books.0.values() {
        for stay in book.stays.iter().filter(|stay| stay.since < known) {
            *if stay.ms <= DAY { &mut within } else { &mut later } += stay.fen;
            samples += 1;
        }
        later += book.waiting.iter().filter(|r| r.time < known).map(|r| r.left_fen).sum::<i64>();
    }
    let target = figures::RECIRCULATED_PERMILLE as f64 / 10.0;
    let actual = within as f64 * 100.0 / (within + later).max(1) as f64;
    let figure = "11 moves on within a day, % of money";
    rows.push(Row::within(figure, target, 1.0, (actual, samples)));
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
