//! Exact decimal numbers: amounts never pass through a float.

use crate::event::Raw;

/// More digits than any amount, time or rate has; what is longer is refused rather than cut.
const DIGITS_MAX: usize = 36;

/// `digits` divided by ten to the power of `scale`, with no trailing zeros behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) digits: i128,
    pub(super) scale: u32,
}

/// What becomes of decimals finer than the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// The record is refused.
    Reject,
    /// To the nearest, a tie to the even digit.
    HalfEven,
    /// To the nearest, a tie away from zero.
    HalfUp,
    /// Towards zero.
    Down,
}

impl Decimal {
    /// A number as a decoder found it. A double stands for the shortest decimal that reads back
    /// as that double, which is the decimal that was written into it.
    pub(super) fn of(raw: Raw<'_>) -> Option<Decimal> {
        match raw {
            Raw::Int(value) => Some(Decimal { digits: value.into(), scale: 0 }),
            Raw::Natural(value) => Some(Decimal { digits: value.into(), scale: 0 }),
            Raw::Double(value) if value.is_finite() => {
                Decimal::parse(format!("{value}").as_bytes())
            }
            Raw::Cell(text) | Raw::Str(text) => Decimal::parse(text.as_bytes()),
            _ => None,
        }
    }

    /// Digits with an optional sign, point and exponent; nothing else, no blanks.
    pub(super) fn parse(text: &[u8]) -> Option<Decimal> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (number, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.iter().position(|&byte| byte == b'.') {
            Some(at) => (&number[..at], &number[at + 1..]),
            None => (number, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits: i128 = 0;
        let mut count = 0;
        for &byte in whole.iter().chain(fraction) {
            if !byte.is_ascii_digit() {
                return None;
            }
            if count > 0 || byte != b'0' {
                count += 1;
            }
            if count <= DIGITS_MAX {
                digits = digits * 10 + i128::from(byte - b'0');
            } else if byte != b'0' {
                return None;
            }
        }
        // Zeros past the limit were not multiplied in.
        let skipped = count.saturating_sub(DIGITS_MAX) as i64;
        let scale = i64::try_from(fraction.len()).ok()? - exponent - skipped;
        Decimal { digits: if negative { -digits } else { digits }, scale: 0 }.with_scale(scale)
    }

    fn with_scale(mut self, mut scale: i64) -> Option<Decimal> {
        if self.digits == 0 {
            return Some(self);
        }
        while scale > 0 && self.digits % 10 == 0 {
            self.digits /= 10;
            scale -= 1;
        }
        while scale < 0 {
            self.digits = self.digits.checked_mul(10)?;
            scale += 1;
        }
        self.scale = u32::try_from(scale).ok()?;
        Some(self)
    }

    /// The number times ten to the power of `places` as an integer.
    pub(super) fn scaled(self, places: u32, rounding: Rounding) -> Result<i64, &'static str> {
        let value = if self.scale <= places {
            let factor = 10i128.checked_pow(places - self.scale);
            factor.and_then(|factor| self.digits.checked_mul(factor)).ok_or("too large")?
        } else if rounding == Rounding::Reject {
            return Err("finer than its unit");
        } else {
            match 10i128.checked_pow(self.scale - places) {
                Some(divisor) => divide(self.digits, divisor, rounding),
                // Fewer digits than places to drop: less than half a unit.
                None => 0,
            }
        };
        i64::try_from(value).map_err(|_| "too large")
    }

    /// The largest integer not above the number times `factor`.
    pub(super) fn floor_times(self, factor: i64, divisor: i64) -> Option<i64> {
        let divisor = 10i128.checked_pow(self.scale)?.checked_mul(divisor.into())?;
        let value = self.digits.checked_mul(factor.into())?.div_euclid(divisor);
        i64::try_from(value).ok()
    }
}

fn divide(digits: i128, divisor: i128, rounding: Rounding) -> i128 {
    let (quotient, rest) = (digits / divisor, digits % divisor);
    let twice = rest.unsigned_abs() * 2;
    let away = match rounding {
        Rounding::HalfUp => twice >= divisor.unsigned_abs(),
        Rounding::HalfEven => match twice.cmp(&divisor.unsigned_abs()) {
            std::cmp::Ordering::Equal => quotient % 2 != 0,
            order => order.is_gt(),
        },
        Rounding::Down | Rounding::Reject => false,
    };
    if away { quotient + digits.signum() } else { quotient }
}

fn exponent(text: &[u8]) -> Option<i64> {
    // Beyond four digits the number is out of every bound anyway.
    let digits = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
    if digits.len() > 4 {
        return None;
    }
    crate::event::parse_int(text.strip_prefix(b"+").unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuan_become_fen_exactly() {
        use Rounding::*;
        let cases = [
            ("0.29", Reject, Ok(29)),
            ("1.1", Reject, Ok(110)),
            ("57.16", Reject, Ok(5716)),
            ("12", Reject, Ok(1200)),
            ("12.", Reject, Ok(1200)),
            (".5", Reject, Ok(50)),
            ("-3.07", Reject, Ok(-307)),
            ("1.2300000", Reject, Ok(123)),
            ("1e3", Reject, Ok(100_000)),
            ("12345e-2", Reject, Ok(12_345)),
            ("0e9999", Reject, Ok(0)),
            ("0.005", Reject, Err("finer than its unit")),
            ("0.005", HalfEven, Ok(0)),
            ("0.015", HalfEven, Ok(2)),
            ("0.005", HalfUp, Ok(1)),
            ("-0.005", HalfUp, Ok(-1)),
            ("0.0049999", HalfUp, Ok(0)),
            ("0.019", Down, Ok(1)),
            ("92233720368547758.07", Reject, Ok(i64::MAX)),
            ("92233720368547758.08", Reject, Err("too large")),
            ("1e-300", HalfUp, Ok(0)),
        ];
        for (text, rounding, wanted) in cases {
            let found = Decimal::parse(text.as_bytes()).unwrap().scaled(2, rounding);
            assert_eq!(found, wanted, "{text} {rounding:?}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_none() {
        for text in
            ["", ".", "-", "1,000", " 1", "1 ", "0x1", "1e", "e1", "1.2.3", "nan", "1e99999"]
        {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn every_double_of_two_decimals_comes_back_exactly() {
        for fen in (0..2_000_000i64).step_by(7).chain([999_999_999_999]) {
            let text = format!("{}.{:02}", fen / 100, fen % 100);
            let double: f64 = text.parse().unwrap();
            let found = Decimal::of(Raw::Double(double)).unwrap();
            assert_eq!(found.scaled(2, Rounding::Reject), Ok(fen), "{text}");
        }
    }
}
