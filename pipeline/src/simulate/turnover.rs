//! How often money turns over and how long it stays, as it will turn out: the books that `--check`
//! makes of the events, kept while people make up their minds, with what is due in the place of what
//! has not happened yet.

use std::collections::VecDeque;

use super::figures::{DAY, FLOWS, TURNOVER_DAYS_MIN, TURNOVER_TENTHS, TURNOVER_TOLD_MS};
use super::scenario::Scenario;

/// Stays are counted in seconds: in milliseconds those of a million people would not fit.
const SECOND: i64 = 1000;
/// Money that was left is left again until its stay is so many thousandths of the wanted one: what
/// comes in later, and waits with it, does the rest.
const SHORT_OF_PERMILLE: i64 = 985;

/// The books of all accounts, and their sums. Times count from the start.
pub(super) struct Turnover {
    start: i64,
    end: i64,
    books: Vec<Book>,
    sums: [Flow; FLOWS],
}

/// One account's money out of packets.
#[derive(Default)]
struct Book {
    /// What came in, by flow.
    received: [i64; FLOWS],
    /// What is still there, the oldest first.
    receipts: VecDeque<Receipt>,
    /// Of that, what came in early enough to tell, and when it did: fen, and fen times s.
    waiting: [(i64, i64); FLOWS],
    /// When that goes out.
    due: i64,
}

#[derive(Clone, Copy)]
struct Receipt {
    flow: usize,
    time: i64,
    fen: i64,
    told: bool,
}

/// Money of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flow {
    /// What goes out before the end, fen.
    out: i64,
    /// How long it stays, at most to the end: fen times s.
    stays: i64,
    /// What moves on within the median stay, and what within a day, fen.
    quick: i64,
    day: i64,
}

impl Turnover {
    pub(super) fn new(scenario: &Scenario) -> Turnover {
        Turnover::of(scenario.start, scenario.days * DAY)
    }

    /// Whether the days are enough for the turnover to be told.
    pub(super) fn is_told(&self) -> bool {
        self.end >= TURNOVER_DAYS_MIN * DAY
    }

    fn of(start: i64, end: i64) -> Turnover {
        Turnover { start, end, books: Vec::new(), sums: [Flow::default(); FLOWS] }
    }

    /// An account has received money, and all of its money is due at a time.
    pub(super) fn received(&mut self, account: usize, flow: usize, now: i64, fen: i64, due: i64) {
        if self.books.len() <= account {
            self.books.resize_with(account + 1, Book::default);
        }
        let (time, due) = (now - self.start, due - self.start);
        let told = TURNOVER_TOLD_MS.get(flow).is_some_and(|told| time < self.end - told);
        self.change(account, |book, _| {
            book.received[flow] += fen;
            book.due = due;
            book.receipts.push_back(Receipt { flow, time, fen, told });
            if told {
                book.wait(flow, fen, time);
            }
        });
    }

    /// The money of an account is due later.
    pub(super) fn postponed(&mut self, account: usize, due: i64) {
        let due = due - self.start;
        self.change(account, |book, _| book.due = due);
    }

    /// An account has spent of its balance; `within` is the median stay of each flow.
    pub(super) fn paid(&mut self, account: usize, now: i64, mut fen: i64, within: [i64; FLOWS]) {
        if account >= self.books.len() {
            return;
        }
        let now = now - self.start;
        let known = now < self.end - DAY;
        self.change(account, |book, sums| {
            while fen > 0 {
                let Some(oldest) = book.receipts.front_mut() else { break };
                let part = fen.min(oldest.fen);
                oldest.fen -= part;
                fen -= part;
                let Receipt { flow, time, told, fen: left } = *oldest;
                if left == 0 {
                    book.receipts.pop_front();
                }
                if told {
                    book.wait(flow, -part, time);
                }
                if !book.mostly(flow) {
                    continue;
                }
                let sum = &mut sums[flow];
                if told {
                    sum.out += part;
                    sum.stays += part * (now / SECOND - time / SECOND);
                }
                if known && now - time <= DAY {
                    sum.day += part;
                    sum.quick += if now - time <= within[flow] { part } else { 0 };
                }
            }
        });
    }

    /// Of what moves on within a day, how much does so within the median stay, in thousandths.
    pub(super) fn quick_permille(&self, flow: usize) -> i64 {
        let Flow { quick, day, .. } = self.sums[flow];
        if day == 0 { 500 } else { quick * 1000 / day }
    }

    /// How long money of a flow stays, in thousandths of what the document's turnover makes of it;
    /// of a flow whose turnover the document does not give, a thousand.
    pub(super) fn stays_permille(&self, flow: usize) -> i64 {
        match self.wanted(flow) {
            0 => 1000,
            wanted => self.sums[flow].stays / (wanted / 1000).max(1),
        }
    }

    /// How much longer an account must keep its money for the money of a flow to stay as long as the
    /// document's turnover makes of it, ms: never beyond the end.
    pub(super) fn short_ms(&self, account: usize, flow: usize, now: i64) -> i64 {
        let Some(book) = self.books.get(account).filter(|book| book.mostly(flow)) else { return 0 };
        let waiting = book.waiting[flow].0;
        if waiting == 0 {
            return 0;
        }
        let enough = self.wanted(flow) / 1000 * SHORT_OF_PERMILLE;
        let short = (enough - self.sums[flow].stays) / waiting * SECOND;
        let room = self.end - 1 - (now - self.start);
        short.clamp(0, room.max(0))
    }

    fn wanted(&self, flow: usize) -> i64 {
        let turnover = TURNOVER_TENTHS.get(flow);
        turnover.map_or(0, |turnover| self.sums[flow].out * (DAY / SECOND * 10 / turnover))
    }

    /// Changes a book, and what is due of it in the sums; what goes out is for `change` to count.
    fn change(&mut self, account: usize, change: impl FnOnce(&mut Book, &mut [Flow; FLOWS])) {
        let Turnover { end, ref mut books, ref mut sums, .. } = *self;
        let book = &mut books[account];
        book.count_due(sums, end, -1);
        change(book, sums);
        book.count_due(sums, end, 1);
    }
}

impl Book {
    fn wait(&mut self, flow: usize, fen: i64, time: i64) {
        let (waiting, moment) = &mut self.waiting[flow];
        *waiting += fen;
        *moment += fen * (time / SECOND);
    }

    /// Where money of several flows has come together its stay belongs to none of them, unless most
    /// of it is of one.
    fn mostly(&self, flow: usize) -> bool {
        self.received[flow] * 2 >= self.received.iter().sum()
    }

    /// Adds what is due to the sums so many times.
    fn count_due(&self, sums: &mut [Flow; FLOWS], end: i64, times: i64) {
        let goes_out = i64::from(self.due < end);
        let leaves = self.due.min(end) / SECOND;
        for (flow, sum) in sums.iter_mut().enumerate() {
            let (fen, moment) = self.waiting[flow];
            if fen > 0 && self.mostly(flow) {
                sum.out += fen * goes_out * times;
                sum.stays += (fen * leaves - moment) * times;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::figures::HOUR;

    const WITHIN: [i64; FLOWS] = [HOUR; FLOWS];

    #[test]
    fn money_that_stays_as_long_as_the_document_says_is_a_thousand() {
        // Business turns over 3.2 times a day: a stay of 7.5 hours.
        let mut books = Turnover::of(0, 14 * DAY);
        books.received(0, 1, HOUR, 500, 8 * HOUR + HOUR / 2);
        assert_eq!(books.stays_permille(1), 1000);
        // More money comes, and the first waits with it: 500 for 11 hours and 100 for 4.
        books.received(0, 1, 8 * HOUR, 100, 12 * HOUR);
        assert_eq!(books.stays_permille(1), 5_900 * 1000 / (600 * 15 / 2));
        books.paid(0, 12 * HOUR, 600, WITHIN);
        assert_eq!(books.stays_permille(1), 5_900 * 1000 / (600 * 15 / 2));
        assert_eq!(books.quick_permille(1), 0, "all of it stayed for more than an hour");
    }

    #[test]
    fn what_is_postponed_as_asked_makes_up_for_what_is_short() {
        let mut books = Turnover::of(0, 14 * DAY);
        books.received(0, 2, 0, 300, HOUR);
        books.paid(0, HOUR, 300, WITHIN);
        books.received(1, 2, 0, 100, HOUR);
        let more = books.short_ms(1, 2, HOUR);
        books.postponed(1, HOUR + more);
        assert_eq!(books.stays_permille(2), 984, "rounded down");
        assert_eq!(books.short_ms(1, 2, HOUR + more), 0);
    }

    #[test]
    fn what_comes_too_late_or_among_other_money_does_not_count() {
        let mut books = Turnover::of(0, 14 * DAY);
        books.received(0, 1, HOUR, 500, 16 * HOUR);
        books.received(1, 1, 13 * DAY, 500, 13 * DAY + HOUR);
        assert_eq!(books.stays_permille(1), 2000);
        books.received(0, 3, 2 * HOUR, 501, 16 * HOUR);
        assert_eq!(books.stays_permille(1), 1000, "there is nothing to tell of");
    }
}
