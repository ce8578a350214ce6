//! Local time, fast: a zone's offsets are listed once, and a look-up costs no calendar arithmetic.

use jiff::tz::TimeZone;

use crate::event::{TIME_MAX, TIME_MIN};

const DAY_MS: i64 = 86_400_000;

/// A time zone, as its offsets from UTC between 2000 and 2100.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    /// From when on (ms since 1970 UTC), and the offset in ms.
    offsets: Vec<(i64, i64)>,
}

impl Zone {
    /// The zone of an IANA name such as `Asia/Shanghai`.
    pub fn new(name: &str) -> Option<Zone> {
        let zone = TimeZone::get(name).ok()?;
        // A day's margin: a local day may start before the first time that events can have.
        let start = jiff::Timestamp::from_millisecond(TIME_MIN - 2 * DAY_MS).ok()?;
        let first = i64::from(zone.to_offset(start).seconds()) * 1000;
        let mut offsets = vec![(i64::MIN, first)];
        let until = |time: &jiff::Timestamp| time.as_millisecond() <= TIME_MAX;
        for transition in zone.following(start).take_while(|next| until(&next.timestamp())) {
            let at = transition.timestamp().as_millisecond();
            offsets.push((at, i64::from(transition.offset().seconds()) * 1000));
        }
        Some(Zone { name: name.to_owned(), offsets })
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hour of the local day, 0 to 23.
    pub fn hour(&self, time: i64) -> i64 {
        self.local(time).rem_euclid(DAY_MS) / 3_600_000
    }

    /// The local weekday: 1 is Monday, 7 is Sunday.
    pub fn weekday(&self, time: i64) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.local(time).div_euclid(DAY_MS) + 3).rem_euclid(7) + 1
    }

    /// The first moment of the local day.
    pub fn day_start(&self, time: i64) -> i64 {
        let midnight = self.local(time).div_euclid(DAY_MS) * DAY_MS;
        let guess = midnight - self.offset(time);
        // Where the offset changed since midnight, midnight had the other one; where the change
        // jumped over midnight, the day starts at the change.
        let start = midnight - self.offset(guess);
        if self.local(start).div_euclid(DAY_MS) * DAY_MS == midnight {
            return start.min(time);
        }
        let after = self.offsets.iter().map(|(at, _)| *at).find(|at| *at > start.min(guess));
        after.unwrap_or(guess).min(time)
    }

    /// The local date, as `YYYY-MM-DD`.
    pub fn date(&self, time: i64) -> String {
        let days = self.local(time).div_euclid(DAY_MS);
        // Howard Hinnant's civil_from_days: days since 1970 to the Gregorian calendar.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }

    fn local(&self, time: i64) -> i64 {
        time + self.offset(time)
    }

    fn offset(&self, time: i64) -> i64 {
        let after = self.offsets.partition_point(|(from, _)| *from <= time);
        self.offsets[after.saturating_sub(1)].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// jiff's own calendar is the oracle, also where clocks change and in half-hour zones.
        #[test]
        fn equals_jiff(
            time in TIME_MIN..TIME_MAX,
            name in prop::sample::select(vec![
                "Asia/Shanghai", "UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia",
            ]),
        ) {
            let zone = Zone::new(name).unwrap();
            let local = jiff::Timestamp::from_millisecond(time).unwrap().in_tz(name).unwrap();
            prop_assert_eq!(zone.hour(time), i64::from(local.hour()));
            prop_assert_eq!(
                zone.weekday(time),
                i64::from(local.weekday().to_monday_one_offset())
            );
            prop_assert_eq!(zone.date(time), local.date().to_string());
            let start = local.start_of_day().unwrap().timestamp().as_millisecond();
            prop_assert_eq!(zone.day_start(time), start);
        }
    }
}
