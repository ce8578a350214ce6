//! Money and time of the engine.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// Money in fen, a hundredth of a yuan.
///
/// Arithmetic that leaves its range is a mistake of this program and panics, in every build; what
/// comes from outside is bounded by [`Fen::MAX`] first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fen(pub u64);

impl Fen {
    /// Nothing.
    pub const ZERO: Fen = Fen(0);
    /// The most that one command may move: ten billion yuan. Ten million such commands still add
    /// up without leaving 64 bits.
    pub const MAX: Fen = Fen(1_000_000_000_000);
}

impl Add for Fen {
    type Output = Fen;

    fn add(self, more: Fen) -> Fen {
        Fen(self.0.checked_add(more.0).expect("a sum of fen stays within 64 bits"))
    }
}

impl Sub for Fen {
    type Output = Fen;

    fn sub(self, less: Fen) -> Fen {
        Fen(self.0.checked_sub(less.0).expect("no more is taken than there is"))
    }
}

impl AddAssign for Fen {
    fn add_assign(&mut self, more: Fen) {
        *self = *self + more;
    }
}

impl SubAssign for Fen {
    fn sub_assign(&mut self, less: Fen) {
        *self = *self - less;
    }
}

impl Sum for Fen {
    fn sum<I: Iterator<Item = Fen>>(parts: I) -> Fen {
        parts.fold(Fen::ZERO, Add::add)
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} yuan", self.0 / 100, self.0 % 100)
    }
}

/// A moment: nanoseconds since 1970 UTC. The engine gives each command and each thing that falls
/// due a moment of its own, later than all before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// The moment of a count of milliseconds since 1970 UTC.
    pub const fn from_ms(ms: i64) -> Time {
        Time(ms.saturating_mul(1_000_000))
    }

    /// Milliseconds since 1970 UTC, rounded down.
    pub const fn ms(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment after so long.
    pub fn after(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    /// The calendar day in China, which has had no clock changes since 1991.
    pub fn day(self) -> Day {
        const OFFSET_MS: i64 = 8 * 3_600_000;
        const DAY_MS: i64 = 86_400_000;
        Day((self.ms() + OFFSET_MS).div_euclid(DAY_MS) as i32)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a command in the one sequence of all commands, from 0, without a gap.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place `count` places on; none past 2^64.
    pub fn after(self, count: u32) -> Option<Seq> {
        self.0.checked_add(u64::from(count)).map(Seq)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A length of time in nanoseconds, not negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Span(i64);

impl Span {
    /// A span of so many milliseconds.
    pub const fn from_ms(ms: u32) -> Span {
        Span(ms as i64 * 1_000_000)
    }

    /// A span of so many seconds.
    pub const fn from_seconds(seconds: u32) -> Span {
        Span(seconds as i64 * 1_000_000_000)
    }
}

/// A calendar day in China: days since 1970-01-01 there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// The first moment that is no longer this day.
    pub fn end(self) -> Time {
        Time::from_ms((i64::from(self.0) + 1) * 86_400_000 - 8 * 3_600_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_china() {
        // 2024-02-09T15:59:59.999Z is one millisecond before the New Year of 2024 in Beijing.
        let before = Time::from_ms(1_707_494_399_999);
        let after = Time::from_ms(1_707_494_400_000);
        assert_eq!(before.day().0 + 1, after.day().0);
        assert_eq!(before.day().end(), after);
        assert_eq!(Time::from_ms(-1).day(), Day(0), "08:00 on the first of January 1970 less 1 ms");
    }
}
