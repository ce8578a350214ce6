//! Times of foreign data: text in some format, local to some zone, or a number of some unit.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::decimal::Decimal;
use crate::event::Raw;

/// How a column is read as a time. A column that is a timestamp already needs none of it but the
/// zone, and that only where the timestamp is a local one.
#[derive(Clone, Debug)]
pub(super) enum TimeRule {
    /// Text in a format (ISO 8601 if none is given), in a zone where it does not carry its own.
    Text { format: Option<String>, zone: Option<TimeZone> },
    /// A number of units, each of `factor` / `divisor` milliseconds, since `origin`.
    Number { factor: i64, divisor: i64, origin: i64 },
}

/// The units of numbers: the name, and the unit in milliseconds as a fraction.
pub(super) const UNITS: &[(&str, (i64, i64))] = &[
    ("ns", (1, 1_000_000)),
    ("us", (1, 1_000)),
    ("ms", (1, 1)),
    ("s", (1_000, 1)),
    ("min", (60_000, 1)),
    ("hour", (3_600_000, 1)),
    ("day", (86_400_000, 1)),
];

impl TimeRule {
    /// The time in milliseconds, floored. The error completes "COLUMN is ...".
    pub(super) fn read(&self, raw: Raw<'_>) -> Result<i64, String> {
        match self {
            TimeRule::Number { factor, divisor, origin } => {
                let number = Decimal::of(raw).ok_or("not a number")?;
                let since = number.floor_times(*factor, *divisor);
                let time = since.and_then(|since| since.checked_add(*origin));
                Ok(time.ok_or("too large for a time")?)
            }
            TimeRule::Text { format, zone } => {
                let text = match raw {
                    Raw::Cell(text) | Raw::Str(text) => text,
                    Raw::NotUtf8 => return Err("not UTF-8".to_owned()),
                    _ => return Err("not text, and the mapping gives no unit".to_owned()),
                };
                match format {
                    Some(format) => read_format(format, text, zone.as_ref()),
                    None => read_iso(text, zone.as_ref()),
                }
            }
        }
    }

    /// A local timestamp column in this rule's zone.
    pub(super) fn localise(&self, local_ms: i64) -> Result<i64, String> {
        let TimeRule::Text { zone: Some(zone), .. } = self else { return Ok(local_ms) };
        let local = Timestamp::from_millisecond(local_ms).map_err(|_| "out of range")?;
        in_zone(TimeZone::UTC.to_datetime(local), zone)
    }
}

fn read_format(format: &str, text: &str, zone: Option<&TimeZone>) -> Result<i64, String> {
    let wrong = || format!("not in the format {format:?}");
    let parts = strtime::parse(format, text).map_err(|_| wrong())?;
    if parts.offset().is_some() || parts.timestamp().is_some() {
        return parts.to_timestamp().map(floor_ms).map_err(|_| wrong());
    }
    let date = parts.to_date().map_err(|_| wrong())?;
    let local = match parts.hour() {
        Some(_) => date.to_datetime(parts.to_time().map_err(|_| wrong())?),
        None => date.at(0, 0, 0, 0),
    };
    in_zone(local, zone.ok_or("a local time, and the mapping gives no zone")?)
}

fn read_iso(text: &str, zone: Option<&TimeZone>) -> Result<i64, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(floor_ms(time));
    }
    let local: DateTime = text.parse().map_err(|_| "not a time in ISO 8601")?;
    in_zone(local, zone.ok_or("a local time, and the mapping gives no zone")?)
}

/// A local time that a change of clocks skips or repeats is taken as RFC 5545 says: after the gap
/// by as much as it is inside, and the first of the two.
fn in_zone(local: DateTime, zone: &TimeZone) -> Result<i64, String> {
    let time = zone.to_ambiguous_timestamp(local).compatible();
    Ok(floor_ms(time.map_err(|_| "out of range")?))
}

fn floor_ms(time: Timestamp) -> i64 {
    // A timestamp has 97 bits of nanoseconds at most; in milliseconds they fit.
    time.as_nanosecond().div_euclid(1_000_000) as i64
}

/// Whether the format says which zone its times are in.
pub(super) fn carries_zone(format: &str) -> bool {
    ["%z", "%:z", "%Q", "%:Q", "%s"].iter().any(|directive| format.contains(directive))
}

/// Whether every directive of the format is known.
pub(super) fn check_format(format: &str) -> Result<(), String> {
    strtime::format(format, &Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC))
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Whether text of the format tells the day, without which there is no time.
pub(super) fn has_date(format: &str) -> bool {
    let some = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    let Ok(text) = strtime::format(format, &some) else { return true };
    match strtime::parse(format, text) {
        Ok(parts) => parts.timestamp().is_some() || parts.to_date().is_ok(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Option<&str>, zone: &str, text: &str) -> Result<i64, String> {
        let zone = (!zone.is_empty()).then(|| TimeZone::get(zone).unwrap());
        let rule = TimeRule::Text { format: format.map(str::to_owned), zone };
        rule.read(Raw::Cell(text))
    }

    #[test]
    fn text_is_read_by_format_and_zone() {
        let full = Some("%Y-%m-%d %H:%M:%S%.f");
        let cases = [
            (full, "UTC", "2017-01-02 05:24:17.676", 1_483_334_657_676),
            (full, "UTC", "2017-01-02 05:24:17", 1_483_334_657_000),
            (full, "UTC", "2017-01-02 05:24:17.6769", 1_483_334_657_676),
            (full, "Asia/Shanghai", "2017-01-02 05:24:17.676", 1_483_305_857_676),
            (None, "Asia/Shanghai", "2017-01-02 05:24:17.676", 1_483_305_857_676),
            (None, "Asia/Shanghai", "2017-01-02T05:24:17Z", 1_483_334_657_000),
            (None, "", "2017-01-02T05:24:17+08:00", 1_483_305_857_000),
            (Some("%d/%m/%Y"), "UTC", "02/01/2017", 1_483_315_200_000),
            (Some("%Y%m%d%H%M%S %z"), "", "20170102052417 +0800", 1_483_305_857_000),
            // Clocks went back at 01:00 UTC: the first of the two, and forward: after the gap.
            (None, "Europe/Berlin", "2017-10-29T02:30:00", 1_509_237_000_000),
            (None, "Europe/Berlin", "2017-03-26T02:30:00", 1_490_491_800_000),
        ];
        for (format, zone, written, wanted) in cases {
            assert_eq!(text(format, zone, written), Ok(wanted), "{written} {format:?} {zone}");
        }
        assert!(text(full, "UTC", "02/01/2017").is_err());
        assert!(text(None, "", "2017-01-02T05:24:17").is_err());
    }

    #[test]
    fn numbers_are_read_by_unit_and_origin() {
        let read = |unit: &str, origin, raw| {
            let (_, (factor, divisor)) = UNITS.iter().find(|(name, _)| *name == unit).unwrap();
            TimeRule::Number { factor: *factor, divisor: *divisor, origin }.read(raw)
        };
        assert_eq!(read("s", 0, Raw::Cell("1483334657.6769")), Ok(1_483_334_657_676));
        assert_eq!(read("s", 0, Raw::Double(1_483_334_657.25)), Ok(1_483_334_657_250));
        assert_eq!(read("ns", 0, Raw::Int(-1)), Ok(-1), "floored, not cut");
        assert_eq!(read("day", 1_000, Raw::Int(2)), Ok(172_801_000));
        assert_eq!(read("hour", 0, Raw::Cell("0.5")), Ok(1_800_000));
        assert!(read("day", 0, Raw::Int(i64::MAX)).is_err());
        assert!(read("s", 0, Raw::Cell("now")).is_err());
    }

    #[test]
    fn a_format_is_checked_before_it_is_used() {
        assert_eq!(check_format("%Y-%m-%d %H:%M:%S%.f"), Ok(()));
        assert!(check_format("%Y-%!").is_err());
        assert!(carries_zone("%FT%T%:z") && !carries_zone("%F %T"));
        for format in ["%F", "%F %T%.f", "%Y%m%d%H%M%S %z", "%d/%m/%y", "%s", "%Y-%j", "%FT%T%Q"] {
            assert!(has_date(format), "{format}");
        }
        for format in ["%H:%M", "%T%z", "%m-%d", "%A %T"] {
            assert!(!has_date(format), "{format}");
        }
    }
}
