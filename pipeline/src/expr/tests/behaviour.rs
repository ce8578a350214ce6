//! What expressions mean, row by row.

use NotEvaluable::{DivisionByZero, Missing, Overflow};
use Value::{Bool, Double, Int, Str};

use super::*;
use crate::expr::{duration, format_duration, format_yuan, yuan};

/// 2024-02-10T01:30:00 in Shanghai, a Saturday and the first day of the year of the dragon.
const NEW_YEAR: i64 = 1_707_499_800_000;

fn sample() -> Row {
    row(&[
        ("r.i", Int(7)),
        ("r.j", Int(i64::MAX)),
        ("r.d", Double(0.5)),
        ("r.b", Bool(true)),
        ("r.s", Str("红包abc")),
        ("event_time", Int(NEW_YEAR)),
        ("amount_fen", Int(99_999)),
    ])
}

fn check(text: &str, expected: Result<Value<'_>, NotEvaluable>) {
    let program = World::new().program(text);
    assert_eq!(program.value(&sample()), expected, "{text}");
}

#[test]
fn values() {
    check("1 + 2 * 3", Ok(Int(7)));
    check("(1 + 2) * 3", Ok(Int(9)));
    check("7 - 2 - 1", Ok(Int(4)));
    check("-7 % 3", Ok(Int(-1)));
    check("-9223372036854775808", Ok(Int(i64::MIN)));
    check("div(-7, 2)", Ok(Int(-3)));
    check("double(7) / 2", Ok(Double(3.5)));
    check("r.i * r.d", Ok(Double(3.5)));
    check("int(-3.9)", Ok(Int(-3)));
    check("abs(-3)", Ok(Int(3)));
    check("max(r.i, 9) - min(r.i, 9)", Ok(Int(2)));
    check("yuan(5000)", Ok(Int(500_000)));
    check("yuan('5000.50')", Ok(Int(500_050)));
    check("yuan(0.29)", Ok(Int(29)));
    check("duration('24h')", Ok(Int(86_400_000)));
    check("duration('1h30m')", Ok(Int(5_400_000)));
    check("timestamp('2024-02-10T01:30:00+08:00') == event_time", Ok(Bool(true)));
    check("r.b ? 'yes' : 'no'", Ok(Str("yes")));
    check("r.i in [9, 7, 8]", Ok(Bool(true)));
    check("r.s in ['b', 'a']", Ok(Bool(false)));
    check("r.i in []", Ok(Bool(false)));
}

#[test]
fn strings_count_characters() {
    check("size(r.s)", Ok(Int(5)));
    check("r.s.size()", Ok(Int(5)));
    check("r.s.contains('包a')", Ok(Bool(true)));
    check("r.s.startsWith('红')", Ok(Bool(true)));
    check("r.s.endsWith('红')", Ok(Bool(false)));
    check("r.s.matches('^.{2}[a-c]+$')", Ok(Bool(true)));
    check("r.s < '红包b'", Ok(Bool(true)));
    check(r#"r.s == "红包abc""#, Ok(Bool(true)));
}

#[test]
fn time_is_local() {
    check("hour(event_time)", Ok(Int(1)));
    check("weekday(event_time)", Ok(Int(6)));
    check("in_calendar('festivals', event_time)", Ok(Bool(true)));
    check("in_calendar('festivals', event_time - duration('2h'))", Ok(Bool(false)));
}

#[test]
fn a_list_is_asked_as_of_the_event() {
    let program = World::new().program("in_list('trusted', group.type)");
    let at = |time| row(&[("group.type", Str("a")), ("event_time", Int(time))]);
    let times = [999_999_999_999, 1_000_000_000_000, 1_699_999_999_999, 1_700_000_000_000];
    assert_eq!(
        times.map(|time| program.test(&at(time))),
        [Ok(false), Ok(true), Ok(true), Ok(false)]
    );
    assert_eq!(program.test(&row(&[("group.type", Str("a"))])), Err(Missing));
    let names = parse("in_list('trusted', group.type)").unwrap().names();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["event_time", "group.type"]);
}

#[test]
fn what_is_missing_is_an_error_unless_another_side_decides() {
    check("r.c", Err(Missing));
    check("!r.c", Err(Missing));
    check("r.b || r.c", Ok(Bool(true)));
    check("r.c || r.b", Ok(Bool(true)));
    check("!r.b && r.c", Ok(Bool(false)));
    check("r.c && !r.b", Ok(Bool(false)));
    check("r.b && r.c", Err(Missing));
    check("r.c && r.b", Err(Missing));
    check("r.c && r.b && !r.b", Ok(Bool(false)));
    check("r.c || !r.b || r.b", Ok(Bool(true)));
    check("r.c ? true : true", Err(Missing));
    check("r.b ? 1 : r.small", Ok(Int(1)));
    check("r.b ? r.small : 1", Err(Missing));
    check("r.small == r.small", Err(Missing));
    check("r.small in []", Err(Missing));
    check("r.t.contains('a')", Err(Missing));
    check("has(r.small)", Ok(Bool(false)));
    check("has(r.i) && r.i == 7", Ok(Bool(true)));
}

#[test]
fn the_second_choice_stands_for_what_is_missing_only() {
    check("r.small ?? 3", Ok(Int(3)));
    check("r.i ?? 3", Ok(Int(7)));
    check("1 + r.small ?? 3", Ok(Int(4)));
    check("r.small ?? 3 > 2", Ok(Bool(true)));
    check("r.small ?? r.small ?? 5", Ok(Int(5)));
    check("r.small > 2 || r.c ?? true", Ok(Bool(true)));
    check("(r.t ?? 'none') == 'none'", Ok(Bool(true)));
    check("r.t ?? ''", Err(Missing));
    check("r.e ?? 1", Ok(Double(1.0)));
    check("div(1, 0) ?? 3", Err(DivisionByZero));
}

#[test]
fn what_does_not_fit_is_no_value() {
    check("r.j + 1", Err(Overflow));
    check("-r.j - 2", Err(Overflow));
    check("r.j * 2", Err(Overflow));
    check("-(-9223372036854775808)", Err(Overflow));
    check("abs(-9223372036854775808)", Err(Overflow));
    check("div(-9223372036854775808, -1)", Err(Overflow));
    check("-9223372036854775808 % -1", Err(Overflow));
    check("div(r.i, r.i - 7)", Err(DivisionByZero));
    check("r.i % (r.i - 7)", Err(DivisionByZero));
    check("r.d / (r.d - r.d)", Err(DivisionByZero));
    check("1e300 * 1e300 > r.d", Err(Overflow));
    check("int(1e19)", Err(Overflow));
    check("hour(r.i)", Err(Overflow));
    check("in_calendar('festivals', r.j)", Err(Overflow));
    check("r.b || r.j + 1 > 0", Ok(Bool(true)));
}

#[test]
fn an_int_and_a_double_compare_exactly() {
    // As doubles, 2^53 and 2^53 + 1 are one number.
    check("9007199254740993 > 9007199254740992.0", Ok(Bool(true)));
    check("9007199254740993 == 9007199254740992.0", Ok(Bool(false)));
    check("9007199254740992.0 < 9007199254740993", Ok(Bool(true)));
    check("r.j < 9223372036854775808.0", Ok(Bool(true)));
    check("-9223372036854775808 == -9223372036854775808.0", Ok(Bool(true)));
    check("-9223372036854775808 > -1e300", Ok(Bool(true)));
    check("r.i > 6.5 && r.i < 7.5 && -r.i < -6.5 && -r.i > -7.5", Ok(Bool(true)));
    check("r.i == 7.0 && 7.0 == r.i && r.i != 7.5", Ok(Bool(true)));
}

#[test]
fn a_parameter_differs_by_a_field() {
    let world = World::new().param("min_in", Constant::Int(500), Unit::Yuan).by(
        "min_in",
        "group.type",
        &[("business", Constant::Int(900)), ("work", Constant::Int(1))],
    );
    let program = world.program("min_in");
    let of = |kind| program.value(&row(&[("group.type", kind)])).unwrap();
    assert_eq!(of(Str("business")), Int(900));
    assert_eq!(of(Str("work")), Int(1));
    assert_eq!(of(Str("family")), Int(500));
    assert_eq!(of(Value::Null), Int(500), "a missing value leaves the default");
    assert_eq!(program.slots(), [Known.lookup("group.type").unwrap().0]);
}

#[test]
fn a_parameter_differs_by_a_number_or_a_truth() {
    let world = World::new()
        .param("a", Constant::Int(1), Unit::None)
        .by("a", "r.small", &[("-3", Constant::Int(2))])
        .param("b", Constant::Int(10), Unit::None)
        .by("b", "r.b", &[("true", Constant::Int(20))]);
    let program = world.program("a + b");
    let of = |small, truth| program.value(&row(&[("r.small", small), ("r.b", truth)])).unwrap();
    assert_eq!(of(Int(-3), Bool(true)), Int(22));
    assert_eq!(of(Int(3), Bool(false)), Int(11));
}

#[test]
fn named_conditions_stand_for_what_they_say() {
    let world = World::new()
        .condition("large", "amount_fen >= min_amount")
        .condition("large_at_night", "large && hour(event_time) < 6")
        .param("min_amount", Constant::Int(99_999), Unit::Yuan);
    assert_eq!(world.program("large_at_night").test(&sample()), Ok(true));
}

#[test]
fn amounts_and_durations_are_read_exactly_and_shown_as_read() {
    for (text, fen) in [
        ("0.01", Some(1)),
        ("0.1", Some(10)),
        ("-0.50", Some(-50)),
        ("92233720368547758.07", Some(i64::MAX)),
        ("92233720368547758.08", None),
        ("1.001", None),
        ("1.", None),
        (".5", None),
        ("", None),
        ("-", None),
        ("+1", None),
        ("1e2", None),
        ("１", None),
    ] {
        assert_eq!(yuan(text), fen, "{text}");
    }
    for (text, ms) in [
        ("90s", Some(90_000)),
        ("1d12h", Some(129_600_000)),
        ("5ms", Some(5)),
        ("h", None),
        ("5", None),
        ("", None),
        ("1w", None),
        ("1h ", None),
        ("9223372036854775807d", None),
        ("1小时", None),
    ] {
        assert_eq!(duration(text), ms, "{text}");
    }
    for ms in [0, 1, 999, 1000, 61_001, 86_400_000, 90_000_000] {
        assert_eq!(duration(&format_duration(ms)), Some(ms));
        assert_eq!(yuan(&format_yuan(ms)), Some(ms));
        assert_eq!(yuan(&format_yuan(-ms)), Some(-ms));
    }
}

#[test]
fn programs_are_shared_between_workers() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&World::new().program("r.b && r.s.matches('a')"));
}
