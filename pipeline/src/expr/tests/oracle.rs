//! The `cel` crate is the oracle for what the two languages share: random expressions on random
//! rows, also with values missing. A dotted name is a key of a map there, and a missing value a
//! key that is not in it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn pick(items: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(items).prop_map(str::to_owned).boxed()
}

/// Text in brackets or bare: precedence is part of what is tested.
fn joined(
    left: BoxedStrategy<String>,
    operators: &'static [&'static str],
    right: BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    (left, pick(operators), right, any::<(bool, bool)>())
        .prop_map(|(left, operator, right, (open_left, open_right))| {
            let side = |text: String, open| if open { text } else { format!("({text})") };
            format!("{} {operator} {}", side(left, open_left), side(right, open_right))
        })
        .boxed()
}

fn ints(depth: u32) -> BoxedStrategy<String> {
    let leaf = pick(&[
        "r.i",
        "r.j",
        "r.small",
        "0",
        "1",
        "-1",
        "2",
        "7",
        "-9223372036854775808",
        "9223372036854775807",
    ]);
    if depth == 0 {
        return leaf;
    }
    let below = || ints(depth - 1);
    let tests = bools(depth - 1);
    prop_oneof![
        2 => leaf,
        4 => joined(below(), &["+", "-", "*", "%"], below()),
        1 => below().prop_map(|inner| format!("-({inner})")),
        1 => (tests, below(), below()).prop_map(|(test, a, b)| format!("({test} ? {a} : {b})")),
        1 => strings().prop_map(|text| format!("size({text})")),
    ]
    .boxed()
}

/// No division, and no result beyond what is finite: there the two differ by intention.
fn doubles() -> BoxedStrategy<String> {
    let leaf = pick(&["r.d", "r.e", "0.5", "-1.25", "3.0", "1e3"]);
    prop_oneof![
        leaf.clone(),
        joined(leaf.clone(), &["+", "-", "*"], leaf.clone()),
        leaf.prop_map(|inner| format!("double({inner})")),
        Just("double(r.small)".to_owned()),
    ]
    .boxed()
}

fn strings() -> BoxedStrategy<String> {
    pick(&["r.s", "r.t", "'a'", "\"ab\"", "'红包'", r"'it\'s'", "'ba'"])
}

const COMPARISONS: &[&str] = &["==", "!=", "<", "<=", ">", ">="];

fn bools(depth: u32) -> BoxedStrategy<String> {
    let leaf = pick(&["r.b", "r.c", "true", "false", "has(r.b)", "has(r.s)", "has(r.i)"]);
    if depth == 0 {
        return leaf;
    }
    let below = || bools(depth - 1);
    // Beyond 2^53 the oracle rounds an int before it compares it with a double.
    let small = pick(&["r.small", "2", "-3"]);
    let bracketed = || below().prop_map(|inner| format!("({inner})")).boxed();
    prop_oneof![
        1 => leaf,
        6 => joined(below(), &["&&", "||"], below()),
        2 => below().prop_map(|inner| format!("!({inner})")),
        4 => joined(ints(depth - 1), COMPARISONS, ints(depth - 1)),
        2 => joined(doubles(), COMPARISONS, doubles()),
        1 => joined(small.clone(), COMPARISONS, doubles()),
        1 => joined(doubles(), COMPARISONS, small),
        2 => joined(strings(), COMPARISONS, strings()),
        1 => joined(bracketed(), &["==", "!="], bracketed()),
        1 => (below(), below(), below()).prop_map(|(test, a, b)| format!("({test} ? {a} : {b})")),
        1 => (ints(depth - 1), pick(&["[]", "[1, 7]", "[0, -1, 2]"]))
            .prop_map(|(value, list)| format!("({value}) in {list}")),
        1 => (strings(), pick(&["[]", "['a']", "['ab', '红包']"]))
            .prop_map(|(value, list)| format!("{value} in {list}")),
        2 => (strings(), pick(&["contains", "startsWith", "endsWith"]), strings())
            .prop_map(|(text, method, part)| format!("{text}.{method}({part})")),
        1 => strings().prop_map(|text| format!("{text}.matches('^[ab]+$')")),
    ]
    .prop_map(|text| if text.len() > 2000 { "true".to_owned() } else { text })
    .boxed()
}

fn missing_or(values: &'static [Value<'static>]) -> impl Strategy<Value = Value<'static>> {
    prop_oneof![1 => Just(Value::Null), 3 => prop::sample::select(values)]
}

fn rows() -> impl Strategy<Value = Row> {
    use Value::{Bool, Double, Int, Str};
    const INTS: &[Value<'static>] =
        &[Int(0), Int(1), Int(2), Int(-7), Int(i64::MAX), Int(i64::MIN), Int(1 << 40)];
    const SMALL: &[Value<'static>] = &[Int(-3), Int(0), Int(2), Int(3)];
    const DOUBLES: &[Value<'static>] = &[Double(0.5), Double(-0.0), Double(2.0), Double(-1e9)];
    const BOOLS: &[Value<'static>] = &[Bool(true), Bool(false)];
    const STRINGS: &[Value<'static>] = &[Str("a"), Str("ab"), Str("红包"), Str("it's")];
    let numbers = (missing_or(INTS), missing_or(INTS), missing_or(SMALL));
    let doubles = (missing_or(DOUBLES), missing_or(DOUBLES));
    let others = (missing_or(BOOLS), missing_or(BOOLS), missing_or(STRINGS), missing_or(STRINGS));
    (numbers, doubles, others).prop_map(|((i, j, small), (d, e), (b, c, s, t))| {
        row(&[
            ("r.i", i),
            ("r.j", j),
            ("r.small", small),
            ("r.d", d),
            ("r.e", e),
            ("r.b", b),
            ("r.c", c),
            ("r.s", s),
            ("r.t", t),
        ])
    })
}

/// The oracle's value as text, or none where it ends in an error.
fn oracle(text: &str, row: &Row) -> Option<String> {
    let program = cel::Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let fields: HashMap<String, cel::Value> = NAMES
        .iter()
        .zip(row)
        .filter_map(|((name, ..), value)| {
            let value = match *value {
                Value::Null => return None,
                Value::Int(value) => cel::Value::from(value),
                Value::Double(value) => cel::Value::from(value),
                Value::Bool(value) => cel::Value::from(value),
                Value::Str(value) => cel::Value::from(value),
            };
            Some((name.strip_prefix("r.")?.to_owned(), value))
        })
        .collect();
    let mut context = cel::Context::default();
    context.add_variable_from_value("r", fields);
    match program.execute(&context).ok()? {
        cel::Value::Int(value) => Some(format!("{value}")),
        cel::Value::Bool(value) => Some(format!("{value}")),
        other => panic!("{text}: {other:?}"),
    }
}

fn ours(program: &Program, row: &Row) -> Option<String> {
    match program.value(row).ok()? {
        Value::Int(value) => Some(format!("{value}")),
        Value::Bool(value) => Some(format!("{value}")),
        other => panic!("{other:?}"),
    }
}

/// Words of the language and things that look like them, in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = pick(&[
        "r.i",
        "r.b",
        "r.s",
        "in",
        "true",
        "has",
        "yuan",
        "duration",
        "in_list",
        "size",
        "(",
        ")",
        "[",
        "]",
        ",",
        "?",
        ":",
        "??",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "<",
        ">=",
        "1",
        "0.5",
        "1e3",
        "-0.0",
        "'a'",
        "'24h'",
        "'trusted'",
        ".size()",
        ".",
        "'",
        "红",
        "\\",
        "9223372036854775808",
    ]);
    prop::collection::vec((words, prop::bool::ANY), 0..24).prop_map(|words| {
        words.into_iter().map(|(word, blank)| if blank { word + " " } else { word }).collect()
    })
}

/// The normal spelling is its own normal spelling, and the same condition.
fn check_canonical(text: &str) {
    let Ok(ast) = parse(text) else { return };
    let canonical = ast.canonical();
    let again = parse(&canonical).unwrap_or_else(|e| panic!("{text} -> {canonical}: {e:?}"));
    assert_eq!(again.canonical(), canonical, "of {text}");
    assert_eq!(again.names(), ast.names(), "of {text}");
    // Compiling may refuse, and must do nothing worse.
    let _ = World::new().compile(text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn conditions_equal_cel(text in bools(4), rows in prop::collection::vec(rows(), 8)) {
        let program = World::new().program(&text);
        let canonical = World::new().program(&parse(&text).unwrap().canonical());
        for row in rows {
            let expected = oracle(&text, &row);
            prop_assert_eq!(ours(&program, &row), expected.clone(), "{} on {:?}", text, row);
            prop_assert_eq!(ours(&canonical, &row), expected, "canonical {} on {:?}", text, row);
        }
        check_canonical(&text);
    }

    #[test]
    fn numbers_equal_cel(text in ints(3), row in rows()) {
        let program = World::new().program(&text);
        prop_assert_eq!(ours(&program, &row), oracle(&text, &row), "{} on {:?}", text, row);
        check_canonical(&text);
    }

    #[test]
    fn no_text_does_harm(text in any::<String>()) {
        check_canonical(&text);
    }

    #[test]
    fn no_words_do_harm(text in soup()) {
        check_canonical(&text);
    }
}
