//! What the report on the terminal says of sample runs.

use super::*;
use crate::report::sample;

fn show(lang: Lang, rich: bool, labelled: bool) -> String {
    let (run, judgement) = sample::run(5_000, labelled);
    let input = ReportInput { title: "demo \x1b[31m", run: &run, judgement: &judgement };
    terminal(&input, Screen { lang, width: 200, rich })
}

#[test]
fn fits_and_says_what_matters() {
    for lang in [Lang::En, Lang::Zh] {
        for labelled in [true, false] {
            let text = show(lang, false, labelled);
            let wide = text.lines().find(|line| crate::report::screen::columns(line) > 100);
            assert_eq!(wide, None, "{text}");
            assert!(!text.contains('\x1b'), "event text cannot move the cursor:\n{text}");
            assert_eq!(text.contains("--labels"), !labelled);
        }
    }
    let text = show(Lang::En, true, true);
    let expect = [
        "average precision",
        "honest accounts touched",
        "time to detection",
        "AUC",
        "rules alone",
        "spring (boosting, 141 inputs",
        "alerts in common",
        "not evaluable, transactions",
    ];
    for words in expect {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

/// Millions of yuan stand in one piece beside all that is said of rules and model, in lines that fit.
#[test]
fn amounts_of_rules_and_model_are_never_broken() {
    let (run, mut judgement) = sample::run(5_000, true);
    let ways = &mut judgement.comparison.as_mut().expect("a model").ways;
    for way in ways.iter_mut() {
        (way.fraud.hold.fen, way.fraud.block.fen) = (100_796_000, 504);
        way.at_budget.fraud_fen = 298_765_432;
        way.alerts.count = 9_876;
        way.honest_accounts_alerted = 5_432;
    }
    let ways = ways.len();
    for lang in [Lang::En, Lang::Zh] {
        for width in [80, 100] {
            let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
            let text = terminal(&input, Screen { lang, width, rich: false });
            for amount in ["1,007,965.04", "2,987,654.32"] {
                assert_eq!(text.matches(amount).count(), ways, "{amount} at {width}:\n{text}");
            }
            let told = text.lines().filter(|line| line.contains("1,007,965.04"));
            for line in told {
                assert!(crate::report::screen::columns(line) <= usize::from(width), "{line}");
            }
        }
    }
}

/// Dots stand for names that are not shown, and for nothing else.
#[test]
fn labels_that_match_nothing_are_named() {
    let (run, mut judgement) = sample::run(500, true);
    for (unmatched, words) in [(2, "2 (zzz, qqq)"), (3, "3 (zzz, qqq ..)")] {
        let view = judgement.truth.events.as_mut().expect("event labels");
        view.labels.unmatched = unmatched;
        view.labels.unmatched_examples = ["zzz", "qqq"].map(str::to_owned).to_vec();
        let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
        let text = terminal(&input, Screen { lang: Lang::En, width: 100, rich: false });
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn accounts_alerted_too_early_are_told_beside_the_detected() {
    let (run, mut judgement) = sample::run(500, true);
    let detection = judgement.truth.accounts.as_mut().and_then(|view| view.detection.as_mut());
    detection.expect("a time").early_only = 46;
    let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
    for (lang, time, words) in [
        (Lang::En, "time to detection", "46, no detection"),
        (Lang::Zh, "发现用时", "46，不算发现"),
    ] {
        let text = terminal(&input, Screen { lang, width: 100, rich: false });
        assert!(text.contains(words), "{text}");
        assert_eq!(text.matches(time).count(), 1, "by account labels only: {text}");
    }
}

#[test]
fn accounts_that_could_be_seen_in_the_warm_up_are_told_to_be_left_out() {
    let (run, mut judgement) = sample::run(500, true);
    for (left_out, shown) in [(0, 0), (1_046, 1)] {
        let detection = judgement.truth.accounts.as_mut().and_then(|view| view.detection.as_mut());
        detection.expect("a time").in_warmup = std::num::NonZeroU64::new(left_out);
        let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
        for (lang, words) in [
            (Lang::En, "1,046, which could be seen before the warm-up's end"),
            (Lang::Zh, "1,046，预热结束前已可发现"),
        ] {
            let text = terminal(&input, Screen { lang, width: 100, rich: false });
            assert_eq!(text.matches(words).count(), shown, "{text}");
        }
    }
}

#[test]
fn a_change_of_rules_is_told_with_what_it_leaves_warming() {
    for (lang, words) in [(Lang::En, "rules changed 1/1"), (Lang::Zh, "规则变更 1/1")] {
        let text = show(lang, false, false);
        let line = text.lines().find(|line| line.contains(words)).expect("a line");
        assert!(line.contains("rules-2") && line.contains("c41d07c1a5be"), "{line}");
        let warming = text.lines().find(|line| line.contains("funds.payee.fan_in_24h"));
        assert!(warming.is_some_and(|line| line.contains("T")), "{text}");
    }
}

/// The sample has eight live rules, of which one hits nothing, two in shadow, of which one
/// does, one draft and one that is retired.
#[test]
fn only_live_rules_are_said_to_hit_nothing() {
    for (lang, live, shadow) in [
        (Lang::En, "7 of 8 live rules shown, 1 hit nothing", "in shadow, hit nothing 1: quiet-ip"),
        (Lang::Zh, "列出 8 条生效规则中的 7 条，1 条未命中", "影子规则，未命中 1 条：quiet-ip"),
    ] {
        for labelled in [true, false] {
            let text = show(lang, false, labelled);
            let words: Vec<&str> = text.split_whitespace().collect();
            let words = words.join(" ");
            assert!(words.contains(live) && words.contains(shadow), "{text}");
            assert!(!text.contains("half-written") && !text.contains("given-up"), "{text}");
        }
    }
}

#[test]
fn records_that_do_not_add_up_are_shouted() {
    let (mut run, judgement) = sample::run(10, false);
    run.counts.rejected += 1;
    let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
    let screen = Screen { lang: Lang::En, width: 80, rich: false };
    assert!(terminal(&input, screen).contains("DOES NOT ADD UP"));
}

/// What an interrupted run did not come to is told as that, and is no loss.
#[test]
fn an_interrupted_run_says_what_it_did_not_reach() {
    let (mut run, judgement) = sample::run(10, true);
    run.counts.read += 1_234;
    run.partial = true;
    let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
    let screen = Screen { lang: Lang::En, width: 80, rich: false };
    let text = terminal(&input, screen);
    assert!(!text.contains("DOES NOT ADD UP"), "{text}");
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains("not reached 1,234"));
    let (done, read) = (run.counts.accounted(), run.counts.read);
    assert_eq!(read - done, 1_234);
    let told = format!("interrupted after {} of {} records", grouped(done), grouped(read));
    assert!(text.contains(&told), "{text}");
    assert!(text.find("partial") < text.find("decisions"), "{text}");
    assert!(text.contains("labels that match nothing reached"), "{text}");
}

#[test]
fn an_empty_run_has_a_report() {
    let (run, judgement) = sample::run(0, true);
    let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
    let screen = Screen { lang: Lang::Zh, width: 80, rich: false };
    assert!(terminal(&input, screen).contains("决策 0"));
}

#[test]
fn numbers_read_well() {
    assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(grouped)[..]);
    assert_eq!(["0.05", "12.30", "1,000.00"], [5, 1_230, 100_000].map(yuan)[..]);
    let changes = [-720_181, 276_403, -5, 0].map(yuan_change);
    assert_eq!(["-7,201.81", "+2,764.03", "-0.05", "+0.00"], changes[..]);
}
