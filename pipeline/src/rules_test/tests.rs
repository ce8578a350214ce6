//! The events that timelines make, and what is said when an expectation fails.

use std::sync::Arc;

use super::{Mutations, Outcome, Report, mutate, run};
use crate::diagnostic::{Lang, Sources};
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, DEVICE_ID, EVENT_ID, EVENT_TIME, GROUP_ID, Kind, SEQ,
    Schema, TEXT,
};
use crate::expr::{Amount, Constant, Shortfall, Unit};
use crate::rules;
use crate::rules::timeline::START_DEFAULT;

/// What every rule of these tests can use.
const FEATURES: &str = "
[funds.payee.groups_24h]
over = [\"claim\"]
key = [\"account_id\"]
agg = \"distinct\"
field = \"group_id\"
window = \"24h\"
[behaviour.pace]
over = [\"claim\"]
key = [\"account_id\"]
agg = \"mean\"
window = \"1h\"
";

const TESTS: &str = "
[[test]]
name = \"a thousand yuan\"
start = \"2024-02-09T20:00:00+08:00\"
given = [
  \"0s  claim g1 u1 payer=a amount=1000.00 device=d1\",
  \"1h  send - u2 amount=0.01 text='hello  you'\",
  \"20h claim g5 u1 payer=e amount=1000.00 as=last\",
]
expect = [
  { event = \"last\", hit = true, score = 400, decision = \"review\", evaluable = true },
  { event = 1, hit = true },
]
[[test]]
name = \"one fen below\"
from = \"a thousand yuan\"
set = { last = \"amount=999.99 at=21h\" }
expect = { event = \"last\", hit = false, short_by = \"0.01 yuan\" }
[[test]]
name = \"the group is known\"
given = [\"0s claim g1 u1 amount=5\"]
given_features = { \"funds.payee.groups_24h\" = 9, \"behaviour.pace\" = 1 }
expect = { event = 1, hit = false }
";

fn tested(when: &str, tests: &str) -> (Report, Sources, rules::Loaded) {
    let text = format!(
        "title = \"T\"\nstatus = \"draft\"\non = [\"claim\"]\nwhen = \"{when}\"\nscore = 400\n\
         reason = \"r\"\n{tests}"
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("funds")).unwrap();
    std::fs::write(directory.path().join("features.toml"), FEATURES).unwrap();
    std::fs::write(directory.path().join("funds/x.toml"), text).unwrap();
    let schema = Arc::new(Schema::default());
    let loaded = rules::load(Some(directory.path()), &schema);
    let loaded = loaded.unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)));
    let (report, sources) = run(directory.path(), &schema).unwrap();
    (report, sources, loaded)
}

#[test]
fn lines_are_events() {
    let (report, _, loaded) = tested("amount_fen >= yuan(1000)", TESTS);
    assert!(report.failed() == 0, "{}", report.text(&Sources::default(), Lang::En, false));
    assert_eq!((report.tested.len(), report.untested.len()), (3, 0));
    let rule = &loaded.rules.rules[0];
    let tests = &rule.file.tests;
    let chunk = &tests[0].chunk;
    assert_eq!(chunk.kind(0), Kind::Claim);
    let start = "2024-02-09T20:00:00+08:00".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!((chunk.int(EVENT_TIME, 0), chunk.int(EVENT_TIME, 1)), (start, start + 3_600_000));
    assert_eq!((chunk.int(SEQ, 0), chunk.int(AMOUNT_FEN, 0)), (1, 100_000));
    let ids = [ACCOUNT_ID, COUNTERPARTY_ID, GROUP_ID, DEVICE_ID].map(|field| chunk.str(field, 0));
    assert_eq!(ids, ["u1", "a", "g1", "d1"]);
    assert_eq!((chunk.str(GROUP_ID, 1), chunk.str(TEXT, 1)), ("", "hello  you"));
    assert_eq!((chunk.str(EVENT_ID, 1), chunk.str(EVENT_ID, 2)), ("2", "last"));
    let changed = &tests[1].chunk;
    assert_eq!(changed.int(AMOUNT_FEN, 2), 99_999);
    assert_eq!(changed.int(EVENT_TIME, 2), start + 21 * 3_600_000);
    assert_eq!(changed.int(AMOUNT_FEN, 0), 100_000, "the rest is as it was");
    assert_eq!(tests[2].chunk.int(EVENT_TIME, 0), START_DEFAULT);
    let pinned: Vec<&Constant> = rule.pins[2].iter().map(|pin| &pin.value).collect();
    assert_eq!(pinned, [&Constant::Double(1.0), &Constant::Int(9)]);
}

#[test]
fn failures_say_what_differs() {
    let (report, sources, _) = tested("amount_fen >= yuan(1001)", TESTS);
    assert_eq!(report.failed(), 2);
    let Outcome::Failed(wrong) = &report.tested[0].outcome else { panic!("it passed") };
    assert_eq!(
        wrong[0].message.en,
        "`last` is not as expected: it misses, short by 1.00 yuan; the score is 0, not 400; \
         the decision is allow, not review"
    );
    let Outcome::Failed(wrong) = &report.tested[1].outcome else { panic!("it passed") };
    assert_eq!(
        wrong[0].message.en,
        "`last` is not as expected: it is short by 1.01 yuan, not 0.01 yuan"
    );
    assert_eq!(wrong[0].message.zh, "`last` 与预期不符:差距为 1.01 yuan,而不是 0.01 yuan");
    let text = report.text(&sources, Lang::En, false);
    assert!(text.contains("amount_fen = 99999"), "{text}");
    assert!(text.ends_with("3 tests: 1 passed, 2 failed\n"), "{text}");
    let junit = report.junit(Lang::En);
    assert!(junit.contains("<testsuite name=\"x\" tests=\"3\" failures=\"2\">"), "{junit}");
    assert!(junit.contains("it misses, short by 1.00 yuan"), "{junit}");
    let json = report.json(&sources);
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &2.into()));
    assert_eq!(json["tests"][2]["passed"], true);
}

#[test]
fn a_rule_without_a_near_miss_is_named() {
    let (report, ..) = tested(
        "amount_fen >= 1",
        "[[test]]\nname = \"n\"\ngiven = [\"0s claim - u1 amount=1\"]\nexpect = { event = 1, hit = true }",
    );
    assert_eq!(report.failed(), 0);
    assert_eq!(report.untested, ["x"]);
}

/// Where a value is missing a rule says nothing of the event: that is no near miss.
#[test]
fn what_is_not_evaluable_is_no_miss() {
    let tests = |expect: &str| {
        format!(
            "[[test]]\nname = \"hits\"\ngiven = [\"0s claim - u1 amount=1 device=d\"]\n\
             expect = {{ event = 1, hit = true }}\n[[test]]\nname = \"no device\"\n\
             given = [\"0s claim - u1 amount=1\"]\nexpect = {{ event = 1, hit = false{expect} }}"
        )
    };
    let (report, ..) = tested("device_id == 'd'", &tests(""));
    let Outcome::Failed(wrong) = &report.tested[1].outcome else { panic!("it passed") };
    assert_eq!(
        wrong[0].message.en,
        "`1` is not as expected: it is not evaluable, which is no miss, because `device_id` is \
         missing; give the value, or expect `evaluable = false`"
    );
    let (report, ..) = tested("device_id == 'd'", &tests(", evaluable = false"));
    assert_eq!((report.failed(), report.untested), (0, vec!["x".to_owned()]));
    let (report, ..) = tested("(device_id ?? '') == 'd'", &tests(""));
    assert_eq!((report.failed(), report.untested.len()), (0, 0));
}

#[test]
fn an_amount_stands_for_fen_only_with_its_unit() {
    let tests = TESTS.replace("short_by = \"0.01 yuan\"", "short_by = 1");
    let (report, _, loaded) = tested("amount_fen >= yuan(1000)", &tests);
    assert_eq!(report.failed(), 1, "one fen is not the plain number 1");
    let short_by = loaded.rules.rules[0].file.tests[1].expect[0].short_by;
    assert_eq!(short_by, Some(Shortfall { amount: Amount::Int(1), unit: Unit::None }));
}

fn mutated(when: &str, params: &str, tests: &str) -> (Report, Option<Mutations>, Sources) {
    let text = format!(
        "title = \"T\"\nstatus = \"draft\"\non = [\"claim\"]\nwhen = \"{when}\"\nscore = 400\n\
         reason = \"r\"\n{params}{tests}"
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("funds")).unwrap();
    std::fs::write(directory.path().join("features.toml"), FEATURES).unwrap();
    std::fs::write(directory.path().join("funds/x.toml"), text).unwrap();
    mutate(directory.path(), &Arc::default())
        .unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)))
}

/// A claim of so many fen in so many groups, and whether it hits.
fn case(fen: i64, groups: i64, hit: bool) -> String {
    format!(
        "[[test]]\nname = \"{fen} in {groups}\"\ngiven = [\"0s claim g1 u1 amount=0.01\"]\ngiven_features = \
         {{ amount_fen = {fen}, \"funds.payee.groups_24h\" = {groups} }}\n\
         expect = {{ event = 1, hit = {hit} }}\n"
    )
}

#[test]
fn mutants_that_no_test_notices_survive() {
    // What survives is worked out by hand: for each mutant, whether some case comes out otherwise.
    let check = |when: &str, cases: &[(i64, i64, bool)], mutants: usize, survivors: &[&str]| {
        let tests: String =
            cases.iter().map(|(fen, groups, hit)| case(*fen, *groups, *hit)).collect();
        let (_, found, sources) = mutated(when, "[params]\nmin_in = 10\n", &tests);
        let of = &found.expect("its tests pass").of[0];
        let text = sources.get(&of.file).unwrap();
        let told: Vec<String> = of
            .survivors
            .iter()
            .map(|one| {
                let what = one.change.en.strip_suffix(", and no test notices").expect("says so");
                format!("{} | {what}", &text[one.span.clone()])
            })
            .collect();
        assert_eq!(
            (of.mutants, told),
            (mutants, survivors.iter().map(ToString::to_string).collect())
        );
    };
    // >, <, 9, 11.
    check("amount_fen >= 10", &[(10, 0, true), (9, 0, false)], 4, &[]);
    check("amount_fen >= 10", &[(10, 0, true), (0, 0, false)], 4, &["10 | `10` may be `9`"]);
    check(
        "amount_fen >= min_in",
        &[(11, 0, true), (9, 0, false)],
        4,
        &[
            "amount_fen >= min_in | `amount_fen >= min_in` may be `amount_fen > min_in`",
            "min_in | `min_in` may be 11 instead of 10",
        ],
    );
    // Of each clause >, <, and either side of its limit; either left out, and || for &&.
    let both = "amount_fen >= 10 && funds.payee.groups_24h >= 3";
    check(both, &[(10, 3, true), (9, 3, false), (10, 2, false)], 11, &[]);
    check(
        both,
        &[(10, 3, true), (9, 3, false), (0, 0, false)],
        11,
        &[
            "funds.payee.groups_24h >= 3 | `funds.payee.groups_24h >= 3` may be left out",
            "3 | `3` may be `2`",
        ],
    );
}

#[test]
fn nothing_is_mutated_while_a_test_fails_and_every_format_tells_of_survivors() {
    let (report, found, _) = mutated("amount_fen >= 10", "", &case(9, 0, true));
    assert!(report.failed() == 1 && found.is_none());
    let (_, found, sources) = mutated("amount_fen >= 10", "", &case(10, 0, true));
    let found = found.expect("its tests pass");
    // At 10 it hits as well with >= 9.
    assert_eq!((found.mutants(), found.survivors()), (4, 1));
    let text = found.text(&sources, Lang::En, false);
    assert!(text.contains("funds/x.toml:4:23"), "{text}");
    assert!(
        text.ends_with("x: 1 of 4 mutants survive\n4 mutants of 1 rules: 1 survive\n"),
        "{text}"
    );
    let junit = found.junit(&sources, Lang::En);
    assert!(junit.contains("<testsuite name=\"x\" tests=\"4\" failures=\"1\">"), "{junit}");
    assert!(junit.contains("line=\"4\""), "{junit}");
    let json = found.json(&sources);
    assert_eq!((&json["mutants"], &json["rules"][0]["survivors"]), (&4.into(), &1.into()));
    assert_eq!(json["survived"][0]["line"], 4);
}
