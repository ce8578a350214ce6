//! How far a miss is from a hit.

use Value::{Bool, Double, Int, Str};

use super::*;

fn check(text: &str, expected: &str) {
    let world = World::new().param("min_in", Constant::Int(500_000), Unit::Yuan).by(
        "min_in",
        "group.type",
        &[("business", Constant::Int(2_000_000))],
    );
    let row = row(&[
        ("r.i", Int(3)),
        ("r.j", Int(i64::MIN)),
        ("r.d", Double(0.5)),
        ("r.b", Bool(false)),
        ("amount_fen", Int(499_999)),
        ("age_ms", Int(3_500_000)),
        ("group.type", Str("family")),
    ]);
    let shortfall = world.program(text).shortfall(&row);
    assert_eq!(shortfall.map_or("none".to_owned(), |lacks| lacks.to_string()), expected, "{text}");
}

#[test]
fn one_comparison_lacks_a_number_in_its_unit() {
    check("amount_fen >= min_in", "0.01 yuan");
    check("amount_fen > yuan(5000)", "0.02 yuan");
    check("min_in <= amount_fen", "0.01 yuan");
    check("500000 <= amount_fen", "0.01 yuan");
    check("age_ms >= duration('1h')", "1m40s");
    check("age_ms < 3500000", "1ms");
    check("r.i >= 5", "2");
    check("r.i == 5", "2");
    check("r.i != 3", "1");
    check("r.i < 3", "1");
    check("r.i > 3", "1");
    check("r.i + 2 * r.i > 10", "2");
    check("r.d >= 0.75", "0.25");
    check("r.i >= 3.5", "0.5");
    check("double(amount_fen) >= 499999.5", "0.01 yuan");
    check("r.j >= 9223372036854775807", "9223372036854775807");
}

#[test]
fn one_of_several_must_be_all_that_lacks() {
    check("r.i >= 5 && amount_fen > 0", "2");
    check("r.i >= 5 && amount_fen >= min_in", "none");
    check("r.i >= 5 && r.b", "none");
    check("r.i >= 5 && r.small > 0", "none");
    check("r.b && amount_fen > 0", "none");
    check("amount_fen > 0 && !r.b && (r.i > 1 && r.i >= 5)", "2");
}

#[test]
fn of_several_ways_the_nearest_counts() {
    check("r.i >= 50 || r.i >= 5 || r.i >= 7", "2");
    check("r.b || r.i >= 5", "2");
    check("r.small > 0 || r.i >= 5", "2");
    check("amount_fen >= min_in || age_ms >= duration('1h')", "0.01 yuan");
    check("!(r.i < 5 && amount_fen < min_in)", "2");
    check("!(r.i < 5)", "2");
    check("!(r.i <= 3)", "1");
    check("!(r.i == 3)", "1");
    check("!(r.i != 5)", "2");
    check("r.b ? r.i > 9 : r.i > 4", "2");
    check("(r.small > 0) ?? (r.i > 4)", "2");
}

/// `in` a list of integers asks for the nearest of them, as several `==` would.
#[test]
fn of_several_values_the_nearest_counts() {
    check("r.i in [9, 5, 100]", "2");
    check("r.i in [1, 9]", "2");
    check("amount_fen in [yuan(5000), yuan(6000)]", "0.01 yuan");
    check("r.i >= 50 || r.i in [5, 9]", "2");
    check("r.i >= 5 || r.i in [50, 90]", "2");
    check("!(r.i in [2, 3, 4])", "2");
    check("r.j in [9223372036854775807]", "9223372036854775807");
    check("r.i in [9] && r.b", "none");
    check("group.type in ['work']", "none");
    check("r.small in [1]", "none");
}

#[test]
fn there_is_none_where_there_is_no_number() {
    check("r.i > 1", "none");
    check("r.b", "none");
    check("r.i", "none");
    check("group.type == 'work'", "none");
    check("r.small > 1", "none");
    check("r.d != 0.5", "none");
    check("!(r.d == 0.5)", "none");
}

/// The shortfall is the truth: a left side greater by as much hits, by one less does not.
#[test]
fn the_shortfall_is_the_least_that_hits() {
    for (text, sign) in [("r.i >= r.j", 1), ("r.i > r.j", 1), ("r.i <= r.j", -1), ("r.i < r.j", -1)]
    {
        let program = World::new().program(text);
        for (left, right) in [(0, 5), (5, 0), (-3, -3), (-7, 9)] {
            let at = |left| row(&[("r.i", Int(left)), ("r.j", Int(right))]);
            let Some(lacks) = program.shortfall(&at(left)) else {
                assert_eq!(program.test(&at(left)), Ok(true));
                continue;
            };
            let crate::expr::Amount::Int(amount) = lacks.amount else { panic!("{text}") };
            assert_eq!(program.test(&at(left + sign * amount)), Ok(true), "{text} {left} {right}");
            assert_eq!(program.test(&at(left + sign * (amount - 1))), Ok(false), "{text}");
        }
    }
}
