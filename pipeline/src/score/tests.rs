//! What rules do on rows of values, and what is decided.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Opinion, Scorer, Way, decide};
use crate::decision::{DecisionBatch, Evidence, Verdict};
use crate::event::{ChunkBuilder, Kind, Schema, Value};
use crate::expr::Names as _;
use crate::rules::Loaded;
use crate::rules::blend::{Blend, ModelPolicy};
use crate::rules::policy::Bands;
use crate::rules::tests::{FEATURES, loaded, rule};
use crate::source::order::Slice;

fn batch() -> DecisionBatch {
    let chunk = ChunkBuilder::new(Arc::new(Schema::default())).finish();
    DecisionBatch::new(Arc::new(Slice { chunk, effective: Vec::new(), step: 0, first: 0 }))
}

/// A row of the loaded rules: the values that are given, and null for the rest.
fn row<'v>(loaded: &Loaded, values: &[(&str, Value<'v>)]) -> Vec<Value<'v>> {
    let slot = |name: &str| usize::from(loaded.catalogue.lookup(name).unwrap().0.0);
    let width = 1 + values.iter().map(|(name, _)| slot(name)).max().unwrap_or(0);
    let mut row = vec![Value::Null; width.max(16)];
    for (name, value) in values {
        row[slot(name)] = *value;
    }
    row
}

fn load(files: &[(&str, &str)]) -> Loaded {
    loaded(&[&[("features.toml", FEATURES)], files].concat())
}

/// The rows decided one after the other.
fn decided(loaded: Loaded, kind: Kind, rows: &[Vec<Value<'_>>]) -> (DecisionBatch, Vec<u64>) {
    let scorer = Scorer::new(loaded.rules);
    let mut decider = scorer.decider();
    let mut batch = batch();
    for row in rows {
        decider.decide(kind, row, None, Opinion::default(), &mut batch);
    }
    (batch, decider.not_evaluable())
}

#[test]
fn only_what_runs_on_the_kind_is_evaluated() {
    let files = [
        ("funds/a-live.toml", rule(&[])),
        ("funds/b-live.toml", rule(&[])),
        ("funds/c-top.toml", rule(&["score = 900"])),
        ("funds/d-shadow.toml", rule(&["status = \"shadow\"", "score = 999"])),
        ("funds/e-draft.toml", rule(&["status = \"draft\""])),
        ("funds/f-retired.toml", rule(&["status = \"retired\""])),
        ("funds/g-other.toml", rule(&["on = [\"transfer\"]"])),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    for (kind, live, shadow) in [
        (Kind::Claim, &[2, 0, 1][..], &[3][..]),
        (Kind::Transfer, &[6], &[]),
        (Kind::Send, &[], &[]),
    ] {
        let loaded = load(&files);
        let row = row(&loaded, &[("amount_fen", Value::Int(1))]);
        let (batch, _) = decided(loaded, kind, &[row]);
        assert_eq!((batch.hits.get(0), batch.shadow_hits.get(0)), (live, shadow), "{kind:?}");
    }
}

#[test]
fn what_has_no_value_is_counted() {
    let loaded = load(&[("funds/x.toml", &rule(&[]))]);
    let rows = [Value::Null, Value::Int(5), Value::Null, Value::Int(0)]
        .map(|amount| row(&loaded, &[("amount_fen", amount)]));
    let (batch, not_evaluable) = decided(loaded, Kind::Claim, &rows);
    assert_eq!(not_evaluable, [2]);
    let hits: Vec<usize> = (0..4).map(|at| batch.hits.get(at).len()).collect();
    assert_eq!(hits, [0, 1, 0, 0]);
}

const REASONED: [&str; 5] = [
    "when = \"funds.payee.fan_in_24h >= least && payee_id != 'x'\"",
    "reason = \"{{{funds.payee.fan_in_24h}}} of at least {least}, pace {behaviour.pace}, \
     gap {behaviour.gap}, {account_id}\"",
    "reason_zh = \"归集{funds.payee.fan_in_24h}\"",
    "params.least = \"50 yuan\"",
    "params.by.\"platform\".douyin.least = \"20 yuan\"",
];

#[test]
fn a_time_in_a_reason_is_told_in_the_zone_of_the_policy() {
    for (zone, told) in [
        ("Asia/Shanghai", "at 2024-02-06T00:00:21+08:00, opened unknown"),
        ("America/New_York", "at 2024-02-05T11:00:21-05:00, opened unknown"),
    ] {
        let policy = format!("language = \"en\"\ntime_zone = \"{zone}\"");
        let rule = rule(&["reason = \"at {event_time}, opened {payer.registered_at}\""]);
        let loaded = load(&[("policy.toml", &policy), ("funds/x.toml", &rule)]);
        let values = [("amount_fen", Value::Int(1)), ("event_time", Value::Int(1_707_148_821_000))];
        let row = row(&loaded, &values);
        let scorer = Scorer::new(loaded.rules);
        let mut batch = batch();
        scorer.decider().decide(Kind::Claim, &row, None, Opinion::default(), &mut batch);
        assert_eq!(batch.reasons.get(0), told);
    }
}

#[test]
fn reasons_and_evidence_hold_the_values_of_the_event() {
    let values = [
        ("funds.payee.fan_in_24h", Value::Int(500_001)),
        ("payee_id", Value::Str("u1")),
        ("behaviour.pace", Value::Double(0.125)),
        ("behaviour.gap", Value::Int(5_400_000)),
        ("platform", Value::Str("douyin")),
    ];
    let english = "{5000.01 yuan} of at least 20.00 yuan, pace 0.12, gap 1h30m, unknown";
    for (language, reason) in [("en", english), ("zh", "归集5000.01元")] {
        let policy = format!("language = \"{language}\"");
        let loaded = load(&[("policy.toml", &policy), ("funds/x.toml", &rule(&REASONED))]);
        let row = row(&loaded, &values);
        let scorer = Scorer::new(loaded.rules);
        let mut batch = batch();
        scorer.decider().decide(Kind::Claim, &row, None, Opinion::default(), &mut batch);
        assert_eq!(batch.reasons.get(0), reason);
        let named = |(name, value): &(u16, Evidence)| {
            let mut text = format!("{}=", scorer.names().evidence[usize::from(*name)]);
            value.write_json(&mut text);
            text
        };
        let evidence: Vec<String> = batch.evidence.get(0).iter().map(named).collect();
        let wanted = [
            "behaviour.gap=5400000",
            "behaviour.pace=0.125",
            "funds.payee.fan_in_24h=500001",
            "payee_id=\"u1\"",
            "platform=\"douyin\"",
        ];
        assert_eq!(evidence, wanted);
    }
}

/// Which of 10,000 payees are in a rollout of the rule.
fn inside(percent: u32, id: &str) -> Vec<bool> {
    let line = format!("rollout = {{ percent = {percent}, by = \"payee_id\" }}");
    let loaded = load(&[(&*format!("funds/{id}.toml"), &rule(&[&line]))]);
    let payees: Vec<String> = (0..10_000).map(|at| format!("u{at}")).collect();
    let rows: Vec<_> = payees
        .iter()
        .map(|payee| {
            let values = [("amount_fen", Value::Int(1)), ("payee_id", Value::Str(payee))];
            row(&loaded, &values)
        })
        .collect();
    let (batch, _) = decided(loaded, Kind::Claim, &rows);
    (0..rows.len()).map(|at| !batch.hits.get(at).is_empty()).collect()
}

#[test]
fn a_value_stays_on_its_side_of_a_rollout() {
    let share = |inside: &[bool]| inside.iter().filter(|inside| **inside).count();
    let ten = inside(10, "a");
    assert!((900..=1_100).contains(&share(&ten)), "{} of 10,000", share(&ten));
    assert_eq!(ten, inside(10, "a"), "the same values every time");
    let thirty = inside(30, "a");
    assert!(ten.iter().zip(&thirty).all(|(ten, thirty)| !ten || *thirty), "growing only adds");
    let other = inside(10, "b");
    let both = ten.iter().zip(&other).filter(|(a, b)| **a && **b).count();
    assert!((60..=140).contains(&both), "rules draw apart: {both} in both");
    assert_eq!((share(&inside(0, "a")), share(&inside(100, "a"))), (0, 10_000));
}

#[test]
fn a_row_without_the_value_is_outside_of_a_rollout() {
    for (percent, hits) in [(99, 0), (100, 1)] {
        let line = format!("rollout = {{ percent = {percent}, by = \"payee_id\" }}");
        let loaded = load(&[("funds/x.toml", &rule(&[&line]))]);
        let row = row(&loaded, &[("amount_fen", Value::Int(1)), ("payee_id", Value::Null)]);
        let (batch, _) = decided(loaded, Kind::Claim, &[row]);
        assert_eq!(batch.hits.get(0).len(), hits);
    }
}

/// The decision in a few plain lines.
fn oracle(
    effects: &[(i64, Verdict, bool)],
    model: Option<i64>,
    bands: Bands,
    policy: ModelPolicy,
) -> (Verdict, i64, i64) {
    let rules = effects.iter().map(|(score, ..)| score).sum::<i64>().min(1000);
    let full = model.map_or(0, |score| (score * policy.weight / 100).min(1000));
    let counts = model.is_some_and(|score| score >= policy.at_least);
    // Below the limit it ranks, less than a review can be.
    let said = match model {
        Some(_) if counts => full,
        Some(score) if score >= 100 => full.min(score * (bands.review - 1) / policy.at_least),
        _ => 0,
    };
    let score = match policy.blend {
        Blend::Rules => rules,
        Blend::Max if said > rules => said,
        Blend::Max => rules,
        Blend::Sum if counts => (rules + said).min(1000),
        Blend::Sum => rules,
        Blend::Joint if said == 0 => rules,
        Blend::Joint => (said + rules * policy.agreement / 100).min(1000).max(rules),
    };
    let mut verdict = Verdict::Allow;
    if score >= bands.review {
        verdict = Verdict::Review;
    }
    if score >= bands.hold {
        verdict = Verdict::Hold;
    }
    if score >= bands.block {
        verdict = Verdict::Block;
    }
    let floor = effects.iter().map(|(_, floor, _)| *floor).max().unwrap_or(Verdict::Allow);
    let verdict = if floor == Verdict::Block {
        Verdict::Block
    } else if effects.iter().any(|(.., allows)| *allows) {
        Verdict::Allow
    } else {
        verdict.max(floor)
    };
    (verdict, score, rules)
}

proptest! {
    #[test]
    fn decisions_equal_a_plain_oracle(
        effects in prop::collection::vec((0i64..=500, 0usize..4, prop::bool::weighted(0.2)), 0..6),
        cuts in prop::array::uniform3(1i64..=1001),
        model in prop::option::of(0i64..=1000),
        (blend, weight, at_least, agreement) in (0usize..4, 0i64..=300, 0i64..=1000, 0i64..=100),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let bands = Bands { review: cuts[0], hold: cuts[1], block: cuts[2] };
        let blend = [Blend::Max, Blend::Sum, Blend::Rules, Blend::Joint][blend];
        let policy = ModelPolicy { blend, weight, at_least, agreement };
        let effects: Vec<(i64, Verdict, bool)> = effects
            .into_iter()
            .map(|(score, floor, allows)| match allows {
                true => (0, Verdict::Allow, true),
                false => (score, Verdict::ALL[floor], false),
            })
            .collect();
        let found = decide(effects.iter().copied(), model, &Way { bands, model: policy });
        let found = (found.verdict, found.score, found.rule_score);
        prop_assert_eq!(found, oracle(&effects, model, bands, policy));
    }
}
