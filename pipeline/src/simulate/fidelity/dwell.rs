//! How long what packets bring stays on an account: first in, first out.

use std::collections::{BTreeMap, VecDeque};

use super::{Row, percent};
use crate::event::Kind;
use crate::simulate::figures::{self, DAY, GroupType, MINUTE};
use crate::simulate::population::Population;
use crate::simulate::world::{Account, Event};

/// The flows of which the document gives the dwell, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
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
struct Stay {
    flow: Flow,
    ms: i64,
    fen: i64,
}

#[derive(Default)]
struct Book {
    waiting: VecDeque<Receipt>,
    stays: Vec<Stay>,
    /// What came in, by flow.
    received: [i64; 4],
}

pub(super) fn rows(population: &Population, rows: &mut Vec<Row>) {
    let books = books(population);
    let targets = [
        ("family", Flow::Family, GroupType::Family.habits().dwell_ms),
        ("business", Flow::Business, GroupType::Business.habits().dwell_ms),
        ("gambling", Flow::Gambling, figures::GAMBLING_DWELL_MS),
    ];
    for (name, flow, target) in targets {
        let mut stays: Vec<(i64, i64)> = books
            .values()
            .filter(|book| mostly(book, flow))
            .flat_map(|book| &book.stays)
            .filter(|stay| stay.flow == flow && stay.ms <= DAY)
            .map(|stay| (stay.ms, stay.fen))
            .collect();
        let minutes = |ms: i64| ms as f64 / MINUTE as f64;
        let (target, actual) = (minutes(target), minutes(median(&mut stays)));
        let figure = format!("{name}: median stay of money, minutes");
        rows.push(Row::near(figure, target, 15.0, actual, stays.len()));
    }
    let received: i64 = books.values().flat_map(|book| book.received).sum();
    let within: i64 = books
        .values()
        .flat_map(|book| &book.stays)
        .filter(|stay| stay.ms <= DAY)
        .map(|stay| stay.fen)
        .sum();
    let target = figures::RECIRCULATED_PERMILLE as f64 / 10.0;
    let actual = percent(within as usize, received as usize);
    rows.push(Row::within("moves on within a day, % of money", target, 1.5, actual, books.len()));
}

/// Where money of several flows comes together its stay belongs to none of them.
fn mostly(book: &Book, flow: Flow) -> bool {
    let all: i64 = book.received.iter().sum();
    book.received[flow as usize] * 2 >= all
}

/// The books of ordinary people. What came in during the last day is left out, since the events
/// end before it is known what became of it.
fn books(population: &Population) -> BTreeMap<Account, Book> {
    let mut books: BTreeMap<Account, Book> = BTreeMap::new();
    for event in &population.events {
        let (Some(account), Some(fen)) = (event.account, event.amount_fen) else { continue };
        if population.people[account.0 as usize].ringed {
            continue;
        }
        match event.kind {
            Kind::Claim => {
                let book = books.entry(account).or_default();
                let flow = flow(population, event);
                book.waiting.push_back(Receipt { flow, time: event.time, left_fen: fen });
                if event.time < population.end - DAY {
                    book.received[flow as usize] += fen;
                }
            }
            Kind::Transfer | Kind::Withdraw if event.funding == "balance" => {
                if let Some(book) = books.get_mut(&account) {
                    book.pay(event.time, fen, population.end - DAY);
                }
            }
            _ => {}
        }
    }
    books
}

impl Book {
    fn pay(&mut self, time: i64, mut fen: i64, known_until: i64) {
        while fen > 0 {
            let Some(oldest) = self.waiting.front_mut() else { break };
            let part = fen.min(oldest.left_fen);
            oldest.left_fen -= part;
            fen -= part;
            if oldest.time < known_until {
                self.stays.push(Stay { flow: oldest.flow, ms: time - oldest.time, fen: part });
            }
            if oldest.left_fen == 0 {
                self.waiting.pop_front();
            }
        }
    }
}

fn flow(population: &Population, claim: &Event) -> Flow {
    let Some(group) = claim.group else { return Flow::Family };
    let info = &population.groups[group.0 as usize];
    let scheme = info.scheme.map(|scheme| population.scheme(scheme));
    match info.kind {
        _ if scheme.is_some_and(|s| s.fraud && s.name.starts_with("gambling")) => Flow::Gambling,
        GroupType::Family => Flow::Family,
        GroupType::Business => Flow::Business,
        _ => Flow::Other,
    }
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
