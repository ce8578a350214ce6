//! What is said about a mistake, and where.

use super::*;

/// Each mistake as `code "the text it points at" message / hint`.
fn shown(world: &World, text: &str) -> Vec<String> {
    let errors = world.compile(text).expect_err(text);
    errors
        .iter()
        .map(|error| {
            let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" / {}", hint.en));
            let place = text.get(error.span.clone()).expect("a span lies on characters");
            assert!(!error.message.zh.is_empty() && error.message.zh != error.message.en);
            format!("{} {place:?} {}{hint}", error.code, error.message.en)
        })
        .collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(shown(&World::new(), text), expected, "{text}");
}

#[test]
fn what_cannot_be_read() {
    check("", &[r#"unexpected-end "" expected a value at the end"#]);
    check("1 +", &[r#"unexpected-end "" expected a value at the end"#]);
    check("(1", &[r#"unexpected-end "" expected `)` at the end"#]);
    check("1 2", &[r#"unexpected-token "2" expected an operator here"#]);
    check("r.b and r.c", &[r#"unexpected-token "and" expected an operator here / write `&&`"#]);
    check(
        "r.i > 5000 yuan",
        &[r#"unexpected-token "yuan" expected an operator here / write `yuan(5000)`"#],
    );
    check("r.i = 5", &[r#"unexpected-character "=" unexpected character '=' / write `==`"#]);
    check("r.i ≥ 5", &[r#"unexpected-character "≥" unexpected character '≥' / write `>=`"#]);
    check("（r.i)", &[r#"unexpected-character "（" unexpected character '（' / write `(`"#]);
    check("'a", &[r#"open-string "'a" the string is not closed"#]);
    check(r"'a\红'", &[r#"bad-escape "\\红" unknown escape"#]);
    check(
        "99999999999999999999",
        &[r#"bad-number "99999999999999999999" the number does not fit 64 bits"#],
    );
    check(
        "9223372036854775808",
        &[r#"bad-number "9223372036854775808" the number does not fit 64 bits"#],
    );
    check("1e999", &[r#"bad-number "1e999" the number does not fit 64 bits"#]);
    check(
        "age_ms > 24h",
        &["bad-number \"24h\" a number cannot be followed by letters / \
         write yuan(5000) or duration('24h') for a number with a unit"],
    );
}

#[test]
fn all_mistakes_of_an_expression_are_shown_in_order() {
    check(
        "r.ii > 1 && r.s > 2 || hours(r.i) < 6 && !r.i",
        &[
            r#"unknown-name "r.ii" unknown name `r.ii` / did you mean `r.i`?"#,
            r#"type-mismatch "r.s > 2" a string cannot be compared with an int"#,
            r#"unknown-function "hours(r.i)" unknown function `hours` / did you mean `hour`?"#,
            r#"type-mismatch "r.i" expected a condition, found an int"#,
        ],
    );
}

#[test]
fn what_does_not_fit_together() {
    check(
        "r.i / 2 > 1",
        &["integer-division \"r.i / 2\" `/` on two ints would drop the rest / \
         write div(a, b) to drop it, or double(a) / double(b) to keep it"],
    );
    check("r.b < r.c", &[r#"type-mismatch "r.b < r.c" a bool cannot be compared with a bool"#]);
    check("r.s + 'a'", &[r#"type-mismatch "r.s + 'a'" these two are a string and a string"#]);
    check("r.d % 2.0", &[r#"type-mismatch "r.d % 2.0" these two are a double and a double"#]);
    check("r.i ?? 'a'", &[r#"type-mismatch "r.i ?? 'a'" these two are an int and a string"#]);
    check("-r.s", &[r#"type-mismatch "r.s" expected a number, found a string"#]);
    check(
        "amount_fen > age_ms",
        &["unit-mismatch \"amount_fen > age_ms\" money and a duration cannot be \
             added or compared"],
    );
    check(
        "r.s == ''",
        &["empty-string \"''\" an empty string is a missing value / \
         write !has(name) for missing, has(name) for present"],
    );
    check(
        "r.s == null",
        &[r#"unknown-name "null" unknown name `null` / a missing value is asked with !has(name)"#],
    );
    check("[1, 2]", &[r#"list-outside-in "[1, 2]" a list can stand only after `in`"#]);
    check(
        "r.i in 'a'",
        &["in-needs-list \"'a'\" `in` needs a list such as ['a', 'b'] / \
         a named list is asked with in_list('name', value)"],
    );
    check(
        "r.i in [1, 'a']",
        &["type-mismatch \"[1, 'a']\" the list must hold constants of the value's type, \
             int or string"],
    );
}

#[test]
fn functions_say_what_they_take() {
    check(
        "div(1)",
        &[r#"wrong-arity "div(1)" `div` does not take 1 values / write div(int, int)"#],
    );
    check(
        "contains(r.s, 'a')",
        &["unknown-function \"contains(r.s, 'a')\" unknown function `contains` / \
         write text.contains('part')"],
    );
    check(
        "r.s.startswith('a')",
        &["unknown-function \"r.s.startswith('a')\" unknown function `startswith` / \
         did you mean `startsWith`?"],
    );
    check("r.s.matches('(')", &[r#"bad-pattern "'('" bad pattern: unclosed group"#]);
    check("r.s.matches(r.t)", &[r#"pattern-literal "r.t" the pattern must be a literal"#]);
    check(
        "in_list('trustd', r.s)",
        &[r#"unknown-list "'trustd'" there is no list `trustd` / did you mean `trusted`?"#],
    );
    check("in_list(r.s, r.t)", &[r#"list-name "r.s" expected the name of a list"#]);
    check(
        "yuan('1.001') > 0",
        &["bad-amount \"'1.001'\" expected an amount such as 5000 or '99.50', \
         with at most two decimals"],
    );
    check(
        "duration(24) > 0",
        &["bad-duration \"24\" expected a duration such as '90s', '10m', '24h' or '30d'"],
    );
    check("has(1)", &[r#"has-needs-name "1" `has` takes a name"#]);
    check("has(r.x)", &[r#"unknown-name "r.x" unknown name `r.x` / did you mean `r.b`?"#]);
}

#[test]
fn parameters_and_conditions_are_checked_where_they_are_used() {
    let world = World::new()
        .param("p", Constant::Int(1), Unit::None)
        .by("p", "p", &[("a", Constant::Int(2))])
        .param("q", Constant::Int(1), Unit::None)
        .by("q", "r.s", &[("a", Constant::Double(2.0))])
        .param("n", Constant::Int(1), Unit::None)
        .by("n", "r.i", &[("x", Constant::Int(2))])
        .condition("loop", "r.b && pool")
        .condition("pool", "!loop")
        .condition("wrong", "r.i > 'a' && r.j > 'b'");
    let check = |text: &str, expected: &[&str]| assert_eq!(shown(&world, text), expected, "{text}");
    check("p > 0", &[r#"unknown-name "p" unknown name `p`"#]);
    check("q > 0", &[r#"param-type "q" the parameter `q` is an int and for "a" a double"#]);
    check("n > 0", &[r#"param-by-type "n" the parameter `n` cannot differ for "x" of an int"#]);
    check(
        "has(n)",
        &[r#"has-needs-name "n" `has` takes a field or feature, and `n` always has a value"#],
    );
    check(
        "loop || loop",
        &["condition-cycle \"loop\" in the condition `loop`: in the condition `pool`: \
         the condition `loop` needs itself"],
    );
    // Both mistakes inside, and each once.
    let inside = "type-mismatch \"wrong\" in the condition `wrong`: an int cannot be compared \
                  with a string";
    check("wrong || wrong", &[inside, inside]);
}

#[test]
fn conditions_that_double_are_refused_before_they_fill_the_memory() {
    let mut world = World::new().condition("c0", "r.b");
    for step in 1..60 {
        let before = step - 1;
        world = world.condition(&format!("c{step}"), &format!("c{before} && c{before}"));
    }
    assert_eq!(world.compile("c59").unwrap_err().len(), 1);
    let mut world = World::new().condition("c0", "r.b");
    for step in 1..2000 {
        world = world.condition(&format!("c{step}"), &format!("!c{}", step - 1));
    }
    assert!(world.compile("c50").is_ok());
    assert_eq!(world.compile("c1999").unwrap_err().len(), 1);
}

#[test]
fn nesting_has_a_limit_and_length_alone_is_none() {
    let nested = |open: &str, close: &str, count: usize| {
        format!("{}r.b{}", open.repeat(count), close.repeat(count))
    };
    let chain = |between: &str, count: usize| vec!["r.i"; count].join(between);
    let world = World::new();
    assert!(world.compile(&nested("(", ")", 50)).is_ok());
    assert!(world.compile(&vec!["r.b"; 2000].join(" || ")).is_ok());
    assert!(world.compile(&vec!["r.b"; 2000].join(" && ")).is_ok());
    assert!(world.compile(&chain(" + ", 60)).is_ok());
    for text in [
        nested("(", ")", 5000),
        nested("!", "", 5000),
        nested("-", "", 5000),
        nested("has(", ")", 3000),
        nested("[", "]", 5000),
        nested("(r.b ? r.b : ", ")", 1000),
        nested("r.b ? r.b : ", "", 1000),
        nested("r.b ?? ", "", 2000),
        // Each pair of brackets holds a chain as long as is allowed.
        (0..60).fold("r.i".to_owned(), |inner, _| format!("({inner}){}", " + r.i".repeat(20))),
        chain(" + ", 2000),
        chain(" ?? ", 2000),
        format!("r.s{}", ".size()".repeat(2000)),
    ] {
        let errors = world.compile(&text).unwrap_err();
        assert_eq!(errors[0].code, "too-deep", "{}", &text[..40]);
    }
    assert_eq!(world.compile(&" ".repeat(20_000)).unwrap_err()[0].code, "expression-too-long");
}
