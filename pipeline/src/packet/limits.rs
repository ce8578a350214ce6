//! The limits of the engine, read from a file that says where each value comes from.

use serde::{Deserialize, Serialize};

use super::units::{Fen, Span};

/// The file with the limits that hold when no other is given.
pub const DEFAULT: &str = include_str!("limits.toml");

/// The same for a reader: as it is, or as one JSON object.
pub fn shipped(as_json: bool) -> String {
    if !as_json {
        return DEFAULT.to_owned();
    }
    let value: serde_json::Value = toml::from_str(DEFAULT).expect("the shipped limits are right");
    format!("{value}\n")
}

/// No file of limits may allow a stronger tilt: beyond it the last of many members would expect
/// less than four fifths of the mean.
pub const TILT_PER_MILLE_MAX: u16 = 150;
/// No file of limits may allow more shares: a packet is kept whole in memory.
pub const SHARES_MAX: u32 = 1_000_000;
/// The longest span that a file of limits may name, in hours: ten years.
const HOURS_MAX: u32 = 10 * 366 * 24;

/// What the engine allows. The fields are documented in the default file, where each value stands
/// with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is documented in limits.toml, beside its value")]
pub struct Limits {
    pub shares_max: u32,
    pub share_mean_fen_max: u32,
    pub open_hours: u32,
    pub sender_may_claim: bool,
    pub password_guesses_max: u32,
    pub timed_ahead_hours_max: u32,
    pub tilt_per_mille_max: u16,
    pub sends_a_day_max: u32,
    pub sent_fen_a_day_max: u64,
    pub decisions_awaited: bool,
    pub decision_ms_max: u32,
    pub fallback_allow_fen_below: u64,
    pub hold_hours_max: u32,
    pub hold_releases_on_expiry: bool,
    pub memory_hours: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::parse(DEFAULT).expect("the shipped limits are right")
    }
}

impl Limits {
    /// Reads a file of limits. A limit that is left out has its default.
    ///
    /// # Errors
    /// Says what is wrong and in which line.
    pub fn parse(text: &str) -> Result<Limits, String> {
        let file: LimitsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let limits = file.over(match text == DEFAULT {
            true => None,
            false => Some(Limits::default()),
        })?;
        limits.check()?;
        Ok(limits)
    }

    /// How long a packet can be claimed.
    pub fn open(&self) -> Span {
        hours(self.open_hours)
    }

    /// How far ahead a timed packet may open.
    pub fn timed_ahead_max(&self) -> Span {
        hours(self.timed_ahead_hours_max)
    }

    /// After how long without a decision the fallback decides.
    pub fn decision_max(&self) -> Span {
        Span::from_ms(self.decision_ms_max)
    }

    /// The longest hold.
    pub fn hold_max(&self) -> Span {
        hours(self.hold_hours_max)
    }

    /// How long ids are remembered.
    pub fn memory(&self) -> Span {
        hours(self.memory_hours)
    }

    /// The largest mean of a packet's shares.
    pub fn share_mean_max(&self) -> Fen {
        Fen(u64::from(self.share_mean_fen_max))
    }

    fn check(&self) -> Result<(), String> {
        let bound = |name: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(format!("{name} is {value}; it must lie between {least} and {most}"))
        };
        let hours_max = u64::from(HOURS_MAX);
        bound("shares_max", self.shares_max.into(), 1, SHARES_MAX.into())?;
        bound("share_mean_fen_max", self.share_mean_fen_max.into(), 1, u64::from(u32::MAX))?;
        bound("open_hours", self.open_hours.into(), 1, hours_max)?;
        bound("timed_ahead_hours_max", self.timed_ahead_hours_max.into(), 0, hours_max)?;
        let tilt_max = u64::from(TILT_PER_MILLE_MAX);
        bound("tilt_per_mille_max", self.tilt_per_mille_max.into(), 0, tilt_max)?;
        bound("decision_ms_max", self.decision_ms_max.into(), 1, 3_600_000)?;
        bound("hold_hours_max", self.hold_hours_max.into(), 1, hours_max)?;
        // A transaction is named by its id while anything can still happen to it.
        let least = self.timed_ahead_hours_max + 2 * self.open_hours + self.hold_hours_max;
        bound("memory_hours", self.memory_hours.into(), least.into(), hours_max.max(least.into()))
    }
}

fn hours(hours: u32) -> Span {
    Span::from_seconds(hours.min(HOURS_MAX) * 3600)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `value` and `source`, as [shares_max]")]
struct Sourced<T> {
    value: T,
    source: String,
}

macro_rules! limits_file {
    ($($name:ident: $kind:ty),* $(,)?) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct LimitsFile {
            $($name: Option<Sourced<$kind>>,)*
        }

        impl LimitsFile {
            fn over(self, default: Option<Limits>) -> Result<Limits, String> {
                let missing = |name: &str| format!("{name} is missing");
                $(let $name = match (self.$name, default) {
                    (Some(limit), _) if limit.source.trim().is_empty() => {
                        return Err(concat!(stringify!($name), " needs a source").to_owned());
                    }
                    (Some(limit), _) => limit.value,
                    (None, Some(default)) => default.$name,
                    (None, None) => return Err(missing(stringify!($name))),
                };)*
                Ok(Limits { $($name,)* })
            }
        }
    };
}

limits_file! {
    shares_max: u32,
    share_mean_fen_max: u32,
    open_hours: u32,
    sender_may_claim: bool,
    password_guesses_max: u32,
    timed_ahead_hours_max: u32,
    tilt_per_mille_max: u16,
    sends_a_day_max: u32,
    sent_fen_a_day_max: u64,
    decisions_awaited: bool,
    decision_ms_max: u32,
    fallback_allow_fen_below: u64,
    hold_hours_max: u32,
    hold_releases_on_expiry: bool,
    memory_hours: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_limits_changes_what_it_names() {
        let file = "[shares_max]\nvalue = 10_000\nsource = \"a test of a hot packet\"\n";
        let limits = Limits::parse(file).unwrap();
        assert_eq!(limits, Limits { shares_max: 10_000, ..Limits::default() });
    }

    #[test]
    fn mistakes_are_named() {
        let mistake = |text: &str| Limits::parse(text).unwrap_err();
        assert!(mistake("[share_max]\nvalue = 1\nsource = \"x\"").contains("share_max"));
        assert!(mistake("[shares_max]\nvalue = 1").contains("source"));
        let plain = mistake("shares_max = 1");
        assert!(plain.contains("expected a table with `value` and `source`"), "{plain}");
        assert!(mistake("[shares_max]\nvalue = 1\nsource = \" \"").contains("needs a source"));
        assert!(mistake("[shares_max]\nvalue = 0\nsource = \"x\"").contains("shares_max is 0"));
        assert!(mistake("[tilt_per_mille_max]\nvalue = 151\nsource = \"x\"").contains("151"));
        assert!(mistake("[memory_hours]\nvalue = 24\nsource = \"x\"").contains("memory_hours"));
    }
}
