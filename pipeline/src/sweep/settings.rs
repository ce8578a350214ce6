//! The values that a parameter is swept over: those that somebody asks for, or some around the one
//! that stands.

use toml_edit::Value;

use super::SCORE;
use crate::diagnostic::{Lang, Message};
use crate::expr::{Constant, Unit, duration, format_duration, format_yuan, yuan};
use crate::rules::{SCORE_MAX, write_value};

/// Values of one parameter: a person reads no longer table.
const VALUES_MAX: usize = 200;
/// Where nobody says which values: these hundredths of the one that stands.
const AROUND: [i64; 9] = [25, 50, 75, 90, 100, 110, 125, 150, 200];

/// What is swept, as it stands in the rule's file.
#[derive(Clone, Debug)]
pub(super) struct Swept {
    /// The parameter.
    pub(super) name: String,
    /// Its value, and in what.
    pub(super) now: Constant,
    pub(super) unit: Unit,
}

/// The values of `given`, the one that stands among them, in their order: `A,B,C`, or `FROM..TO/STEP`
/// with both ends, or both. Without any, some around the one that stands.
///
/// # Errors
/// What is wrong with the first that is.
pub(super) fn values(swept: &Swept, given: Option<&str>) -> Result<Vec<Constant>, Message> {
    let mut values = match given {
        Some(given) => {
            let mut values = Vec::new();
            for one in given.split(',').map(str::trim) {
                match one.split_once("..") {
                    Some((from, rest)) if is_number(&swept.now) => {
                        range(swept, one, from, rest, &mut values)?;
                    }
                    _ => values.push(value(swept, one)?),
                }
            }
            values
        }
        None => around(swept)?,
    };
    values.push(swept.now.clone());
    values.sort_by(order);
    values.dedup();
    if values.len() > VALUES_MAX {
        let (name, count) = (&swept.name, values.len());
        return Err(Message::new(
            format!("`{name}` has {count} values, more than {VALUES_MAX}"),
            format!("`{name}` 有 {count} 个取值,超过 {VALUES_MAX}"),
        ));
    }
    Ok(values)
}

/// A value as it stands in a rule's file.
pub(super) fn written(value: &Constant, unit: Unit) -> Value {
    match (value, unit) {
        (Constant::Int(fen), Unit::Yuan) => format!("{} yuan", format_yuan(*fen)).into(),
        (Constant::Int(ms), Unit::Duration) => format_duration(*ms).into(),
        (Constant::Int(value), Unit::None) => (*value).into(),
        (Constant::Double(value), _) => (*value).into(),
        (Constant::Bool(value), _) => (*value).into(),
        (Constant::Str(text), _) => text.as_str().into(),
    }
}

/// A value as a person reads it.
pub(super) fn shown(value: &Constant, unit: Unit, lang: Lang) -> String {
    match value {
        Constant::Double(value) => value.to_string(),
        other => {
            let mut text = String::new();
            write_value(other.value(), unit, lang, &mut text);
            text
        }
    }
}

fn is_number(value: &Constant) -> bool {
    matches!(value, Constant::Int(_) | Constant::Double(_))
}

fn order(a: &Constant, b: &Constant) -> std::cmp::Ordering {
    match (a, b) {
        (Constant::Int(a), Constant::Int(b)) => a.cmp(b),
        (Constant::Double(a), Constant::Double(b)) => a.total_cmp(b),
        (Constant::Bool(a), Constant::Bool(b)) => a.cmp(b),
        (Constant::Str(a), Constant::Str(b)) => a.cmp(b),
        // All are of one type.
        _ => std::cmp::Ordering::Equal,
    }
}

/// One value, of the type and unit of the one that stands.
fn value(swept: &Swept, text: &str) -> Result<Constant, Message> {
    let plain = text.trim();
    let read = match (&swept.now, swept.unit) {
        (Constant::Int(_), Unit::Yuan) => {
            plain.strip_suffix("yuan").and_then(|n| yuan(n.trim())).map(Constant::Int)
        }
        (Constant::Int(_), Unit::Duration) => duration(&plain.replace(' ', "")).map(Constant::Int),
        (Constant::Int(_), Unit::None) => plain.parse().ok().map(Constant::Int),
        (Constant::Double(_), _) => {
            let value = plain.parse().ok().filter(|value: &f64| value.is_finite());
            value.map(Constant::Double)
        }
        (Constant::Bool(_), _) => plain.parse().ok().map(Constant::Bool),
        (Constant::Str(_), _) => Some(Constant::Str(plain.to_owned())),
    };
    read.ok_or_else(|| {
        let (name, now) = (&swept.name, written(&swept.now, swept.unit));
        Message::new(
            format!(
                "`{text}` is no value for `{name}`, which is {now} in the rule: write one like it"
            ),
            format!("`{text}` 不能作为 `{name}` 的取值,规则中为 {now}:请写同类的值"),
        )
    })
}

/// `FROM..TO/STEP`, both ends among them where the steps meet the second.
fn range(
    swept: &Swept,
    whole: &str,
    from: &str,
    rest: &str,
    values: &mut Vec<Constant>,
) -> Result<(), Message> {
    let (to, step) = rest.split_once('/').ok_or_else(|| {
        Message::new(
            format!("`{whole}` has no step: write FROM..TO/STEP"),
            format!("`{whole}` 没有步长:请写 起..止/步长"),
        )
    })?;
    let [from, to, step] = [value(swept, from)?, value(swept, to)?, value(swept, step)?];
    let (steps, at): (f64, Box<dyn Fn(usize) -> Constant>) = match (from, to, step) {
        (Constant::Int(from), Constant::Int(to), Constant::Int(step)) if step > 0 && from <= to => {
            let steps = (to.saturating_sub(from) / step) as f64;
            // No more than VALUES_MAX steps are made, and none goes beyond `to`.
            (steps, Box::new(move |at| Constant::Int(from + step * at as i64)))
        }
        (Constant::Double(from), Constant::Double(to), Constant::Double(step)) if step > 0.0 => {
            // What ten decimals cannot tell apart is the same end.
            let steps = ((to - from) / step + 1e-9).floor();
            let round = |value: f64| (value * 1e10).round() / 1e10;
            (steps, Box::new(move |at| Constant::Double(round(from + step * at as f64))))
        }
        _ => (-1.0, Box::new(|_| Constant::Int(0))),
    };
    if !(0.0..VALUES_MAX as f64).contains(&steps) {
        return Err(Message::new(
            format!("`{whole}` has no values, or more than {VALUES_MAX}: write FROM..TO/STEP"),
            format!("`{whole}` 没有取值,或超过 {VALUES_MAX} 个:请写 起..止/步长"),
        ));
    }
    values.extend((0..=steps as usize).map(at));
    Ok(())
}

fn around(swept: &Swept) -> Result<Vec<Constant>, Message> {
    match &swept.now {
        Constant::Int(now) if *now != 0 => {
            let part = |percent: &i64| {
                let value = (i128::from(*now) * i128::from(*percent) / 100) as i64;
                // No rule scores more.
                let most = if swept.name == SCORE { SCORE_MAX } else { i64::MAX };
                Constant::Int(value.min(most))
            };
            Ok(AROUND.iter().map(part).collect())
        }
        Constant::Double(now) if *now != 0.0 => Ok(AROUND
            .iter()
            .map(|percent| Constant::Double(now * *percent as f64 / 100.0))
            .collect()),
        Constant::Bool(_) => Ok(vec![Constant::Bool(false), Constant::Bool(true)]),
        _ => {
            let (name, now) = (&swept.name, written(&swept.now, swept.unit));
            Err(Message::new(
                format!(
                    "`{name}` is {now}, which has no values around it: write --param {name}=A,B,C"
                ),
                format!("`{name}` 为 {now},无法自动取值:请写 --param {name}=A,B,C"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swept(now: Constant, unit: Unit) -> Swept {
        Swept { name: "min".to_owned(), now, unit }
    }

    fn shown_all(swept: &Swept, given: Option<&str>) -> Result<String, String> {
        let values = values(swept, given).map_err(|wrong| wrong.en)?;
        let text = |value: &Constant| shown(value, swept.unit, Lang::En);
        Ok(values.iter().map(text).collect::<Vec<_>>().join(" | "))
    }

    #[test]
    fn values_are_listed_or_ranges_and_the_one_that_stands_is_among_them() {
        let yuan = swept(Constant::Int(500_000), Unit::Yuan);
        let hours = swept(Constant::Int(7_200_000), Unit::Duration);
        let count = swept(Constant::Int(3), Unit::None);
        let ratio = swept(Constant::Double(0.5), Unit::None);
        let switch = swept(Constant::Bool(true), Unit::None);
        let rows = [
            (&yuan, "9000 yuan, 1000 yuan", "1000.00 yuan | 5000.00 yuan | 9000.00 yuan"),
            (&yuan, "4000yuan..6000 yuan/1000 yuan", "4000.00 yuan | 5000.00 yuan | 6000.00 yuan"),
            (&hours, "1h..4h/90m", "1h | 2h | 2h30m | 4h"),
            (&count, "1..4/2,9", "1 | 3 | 9"),
            (&ratio, "0.1..0.3/0.1", "0.1 | 0.2 | 0.3 | 0.5"),
            (&switch, "false", "false | true"),
        ];
        for (swept, given, expected) in rows {
            assert_eq!(shown_all(swept, Some(given)).as_deref(), Ok(expected), "{given}");
        }
        assert_eq!(shown_all(&count, None).as_deref(), Ok("0 | 1 | 2 | 3 | 4 | 6"));
        let score = Swept { name: SCORE.to_owned(), ..swept(Constant::Int(800), Unit::None) };
        let around = shown_all(&score, None).unwrap();
        assert!(around.ends_with(" | 880 | 1000"), "a rule scores at most 1000: {around}");
    }

    #[test]
    fn what_is_no_value_is_named() {
        let yuan = swept(Constant::Int(500_000), Unit::Yuan);
        let count = swept(Constant::Int(3), Unit::None);
        let place = swept(Constant::Str("inland".to_owned()), Unit::None);
        for (swept, given, part) in [
            (&yuan, Some("5000"), "`5000` is no value for `min`, which is \"5000.00 yuan\""),
            (&count, Some("1h"), "`1h` is no value"),
            (&count, Some("1..5"), "has no step"),
            (&count, Some("5..1/1"), "no values"),
            (&count, Some("1..5000/1"), "more than 200"),
            (&count, Some("1..5/0"), "no values"),
            (&place, None, "write --param min=A,B,C"),
        ] {
            let wrong = shown_all(swept, given).expect_err("no value");
            assert!(wrong.contains(part), "{given:?}: {wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (text, swept) in [
            ("0.07 yuan", swept(Constant::Int(7), Unit::Yuan)),
            ("1d2h3ms", swept(Constant::Int(93_600_003), Unit::Duration)),
            ("12", swept(Constant::Int(12), Unit::None)),
            ("0.25", swept(Constant::Double(0.25), Unit::None)),
        ] {
            let written = written(&swept.now, swept.unit);
            let plain = written.as_str().map_or_else(|| written.to_string(), str::to_owned);
            assert_eq!(plain.trim(), text);
            assert_eq!(value(&swept, &plain), Ok(swept.now.clone()), "{text}");
        }
    }
}
