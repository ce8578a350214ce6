//! Local time, fast: a zone's offsets are listed once, and a look-up costs no calendar arithmetic.

use std::fmt;

use jiff::tz::TimeZoneDatabase;

use crate::diagnostic::did_you_mean;
use crate::event::{TIME_MAX, TIME_MIN};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// What is asked of a zone lies between 2000 and 2100, or in the local day of such a time.
const FIRST: i64 = TIME_MIN - 2 * DAY_MS;
const LAST: i64 = TIME_MAX + 2 * DAY_MS;

/// A time zone, as its offsets from UTC between 2000 and 2100. Times outside are taken for the
/// nearest one inside.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    /// From when on (ms since 1970 UTC), and the offset in ms.
    offsets: Vec<(i64, i64)>,
}

/// A date as `YYYY-MM-DD`, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Date([u8; 10]);

impl Date {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Digits and hyphens are ASCII, so that this never falls back.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Zone {
    /// The zone of an IANA name such as `Asia/Shanghai`, from the database that the program was
    /// built with: a machine's own may be older, or not there, and would change what is decided.
    pub fn new(name: &str) -> Option<Zone> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let start = jiff::Timestamp::from_millisecond(FIRST).ok()?;
        let first = i64::from(zone.to_offset(start).seconds()) * 1000;
        let mut offsets = vec![(i64::MIN, first)];
        for transition in zone.following(start) {
            let from = transition.timestamp().as_millisecond();
            if from > LAST {
                break;
            }
            let offset = i64::from(transition.offset().seconds()) * 1000;
            // A change of the zone's letters alone is none of its time.
            if offsets.last().is_some_and(|(_, before)| *before != offset) {
                offsets.push((from, offset));
            }
        }
        Some(Zone { name: name.to_owned(), offsets })
    }

    /// The name of a zone that is near to one that there is not.
    pub fn near(name: &str) -> Option<String> {
        let database = TimeZoneDatabase::bundled();
        let names: Vec<_> = database.available().collect();
        did_you_mean(name, names.iter().map(|name| name.as_str()))
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The moment as RFC 3339 with the zone's offset, such as `2024-02-09T20:00:00+08:00`; no more
    /// than milliseconds, and those only where there are some.
    pub fn moment(&self, time: i64) -> String {
        let offset = self.offsets[self.span(time.clamp(FIRST, LAST))].1;
        let offset = jiff::tz::Offset::from_seconds((offset / 1000) as i32);
        match (jiff::Timestamp::from_millisecond(time), offset) {
            (Ok(moment), Ok(offset)) => moment.display_with_offset(offset).to_string(),
            // No such moment is in any calendar, and the number still says which it is.
            _ => time.to_string(),
        }
    }

    /// The hour of the local day, 0 to 23.
    #[inline]
    pub fn hour(&self, time: i64) -> i64 {
        self.local(time).rem_euclid(DAY_MS) / HOUR_MS
    }

    /// The local weekday: 1 is Monday, 7 is Sunday.
    #[inline]
    pub fn weekday(&self, time: i64) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.local_day(time) + 3).rem_euclid(7) + 1
    }

    /// The first moment of the local day: midnight (the first, where clocks go back over it), or
    /// the change, where clocks jump over midnight.
    pub fn day_start(&self, time: i64) -> i64 {
        let midnight = self.local_day(time) * DAY_MS;
        let mut span = self.span(time);
        loop {
            let (from, offset) = self.offsets[span];
            let start = midnight - offset;
            let Some(before) = span.checked_sub(1) else { return start };
            let ended = from + self.offsets[before].1;
            if ended <= midnight {
                // The clock had not yet reached midnight when this offset began.
                return start.max(from);
            }
            // The clock was past midnight already: the day began under an offset before, be it
            // that it began again under this one.
            span = before;
        }
    }

    /// The local date.
    #[inline]
    pub fn date(&self, time: i64) -> Date {
        // Howard Hinnant's civil_from_days: days since 1970 to the Gregorian calendar.
        let shifted = self.local_day(time) + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let digit = |number: i64, unit: i64| b'0' + (number / unit % 10) as u8;
        Date([
            digit(year, 1000),
            digit(year, 100),
            digit(year, 10),
            digit(year, 1),
            b'-',
            digit(month, 10),
            digit(month, 1),
            b'-',
            digit(day, 10),
            digit(day, 1),
        ])
    }

    fn local_day(&self, time: i64) -> i64 {
        self.local(time).div_euclid(DAY_MS)
    }

    #[inline]
    fn local(&self, time: i64) -> i64 {
        let time = time.clamp(FIRST, LAST);
        time + self.offsets[self.span(time)].1
    }

    /// Which offset holds at a time.
    #[inline]
    fn span(&self, time: i64) -> usize {
        // Many zones, China's among them, have had one offset all along.
        match self.offsets.len() {
            1 => 0,
            _ => self.offsets.partition_point(|(from, _)| *from <= time) - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Zones without and with summer time, with half and quarter hours, whose clocks change at
    /// midnight (Havana back over it, Sao Paulo, Beirut and Cairo over it), and one that left a day
    /// out (Apia, 2011-12-30).
    const ZONES: [&str; 13] = [
        "Asia/Shanghai",
        "UTC",
        "America/New_York",
        "Europe/London",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Havana",
        "America/Sao_Paulo",
        "Asia/Beirut",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Pacific/Apia",
    ];

    fn check(name: &str, zone: &Zone, time: i64) {
        let tz = TimeZoneDatabase::bundled().get(name).unwrap();
        let local = jiff::Timestamp::from_millisecond(time).unwrap().to_zoned_datetime(tz);
        let start = local.start_of_day().unwrap().timestamp().as_millisecond();
        let weekday = i64::from(local.weekday().to_monday_one_offset());
        assert_eq!(zone.hour(time), i64::from(local.hour()), "hour of {local}");
        assert_eq!(zone.weekday(time), weekday, "weekday of {local}");
        assert_eq!(zone.date(time).to_string(), local.date().to_string(), "date of {local}");
        assert_eq!(zone.day_start(time), start, "start of the day of {local}");
        let moment: jiff::Timestamp = zone.moment(time).parse().unwrap();
        assert_eq!(moment.as_millisecond(), time, "moment of {local}");
        assert!(zone.moment(time).starts_with(&local.datetime().to_string()), "of {local}");
    }

    proptest! {
        /// jiff's own calendar is the oracle.
        #[test]
        fn equals_jiff(time in TIME_MIN..TIME_MAX, at in 0..ZONES.len()) {
            check(ZONES[at], &Zone::new(ZONES[at]).unwrap(), time);
        }
    }

    #[test]
    fn equals_jiff_around_every_change_of_clocks() {
        for name in ZONES {
            let zone = Zone::new(name).unwrap();
            for &(change, _) in &zone.offsets[1..] {
                for step in -60..60 {
                    check(name, &zone, change + step * HOUR_MS / 2);
                }
                check(name, &zone, change - 1);
            }
        }
    }

    #[test]
    fn times_that_are_none_do_no_harm() {
        let zone = Zone::new("America/New_York").unwrap();
        for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
            assert!((0..24).contains(&zone.hour(time)));
            assert!((1..=7).contains(&zone.weekday(time)));
            assert_eq!(zone.date(time).as_str().len(), 10);
            zone.day_start(time);
        }
    }

    #[test]
    fn an_unknown_zone_is_none_and_a_near_one_is_offered() {
        assert!(Zone::new("Asia/Shangai").is_none());
        assert_eq!(Zone::near("Asia/Shangai").as_deref(), Some("Asia/Shanghai"));
    }
}
