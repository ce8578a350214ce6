//! What is said of values that can never be, of quantities, calendars and categories.

use super::mistakes::{said, said_of_rule};
use super::{FEATURES, loaded, rule, try_load};
use crate::diagnostic::line_and_column;

const PLATFORMS: &str = "alipay, douyin, other, wechat";

fn of_condition(when: &str) -> String {
    said_of_rule(&[&format!("when = \"{when}\"")])
}

#[test]
fn what_only_labels_say_is_no_condition_on_a_transaction() {
    for (when, name) in [("label == 'fraud'", "label"), ("has(typology)", "typology")] {
        let said = of_condition(when);
        let wanted = format!("label-in-a-rule: `{name}` is known of label events alone");
        assert!(said.contains(&wanted), "{said}");
    }
}

#[test]
fn a_name_that_is_none_of_a_closed_set_is_a_slip() {
    let never = |place, side, text, listed, hint| {
        format!("{place} unknown-value: `{side}` is never `{text}`: it is one of {listed}{hint}")
    };
    let rows = [
        (
            "platform == 'wechta'",
            never("4:21", "platform", "wechta", PLATFORMS, " (did you mean `wechat`?)"),
        ),
        (
            "'bnak' != funding",
            never(
                "4:9",
                "funding",
                "bnak",
                "balance, bank, lingqiantong",
                " (did you mean `bank`?)",
            ),
        ),
        (
            "payer.platform in ['wechat', 'qq']",
            never("4:38", "payer.platform", "qq", PLATFORMS, ""),
        ),
        (
            "(platform ?? 'none') == 'nnoe'",
            never(
                "4:33",
                "platform ?? 'none'",
                "nnoe",
                "alipay, douyin, none, other, wechat",
                " (did you mean `none`?)",
            ),
        ),
        (
            "group.type == 'busines'",
            never(
                "4:23",
                "group.type",
                "busines",
                "business, family, gambling, interest",
                " (did you mean `business`?)",
            ),
        ),
    ];
    for (when, wanted) in rows {
        assert_eq!(of_condition(when), wanted, "{when}");
    }
    let found = of_condition("kind == 'clam' || play == 'luckey' || packet.outcome == 'okay'");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 3, "{found}");
    assert!(lines[0].ends_with("(did you mean `claim`?)"), "{found}");
    assert!(lines[1].ends_with("(did you mean `lucky`?)"), "{found}");
}

#[test]
fn what_can_be_is_no_slip() {
    for when in [
        "kind == 'claim' && play in ['lucky', 'equal']",
        "(platform ?? 'none') == 'none'",
        "account_id == 'clam' && text == 'wechta'",
        "hour(event_time) == 0 || hour(event_time) < 24 || weekday(event_time) in [6, 7]",
        "hour(event_time + duration('8h')) >= 0 && weekday(event_time) > 0",
    ] {
        loaded(&[("funds/x.toml", &rule(&[&format!("when = \"{when}\"")]))]);
    }
}

/// The set of a feature is that of the field that it keeps, or of what its expression can give.
#[test]
fn features_have_closed_sets_too() {
    let features = "[t.last]\nover = ['send']\nkey = ['account_id']\nagg = 'last'\nfield = 'play'\n\
        window = '1h'\n[t.size]\nexpr = \"amount_fen > 100 ? 'large' : 'small'\"\n";
    let uses = rule(&["when = \"t.last == 'luckey' || t.size == 'lagre'\""]);
    let found = said(&[("features.toml", features), ("funds/x.toml", &uses)]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("4:19 unknown-value: `t.last` is never `luckey`"), "{found:#?}");
    assert!(found[1].ends_with("it is one of large, small (did you mean `large`?)"), "{found:#?}");
}

#[test]
fn parameters_and_given_features_are_held_to_closed_sets() {
    let found = said_of_rule(&[
        "when = \"amount_fen >= a\"",
        "params.a = 1",
        "params.by.\"group.type\".busines.a = 2",
    ]);
    assert!(found.starts_with("8:24 unknown-value: `group.type` is never `busines`"), "{found}");
    let found = said_of_rule(&["when = \"platform == p\"", "params.p = 'wechta'"]);
    assert!(found.starts_with("4:21 unknown-value: `platform` is never `wechta`"), "{found}");
    let test = "[[test]]\nname = 'n'\ngiven = ['0s claim - u amount=1']\n\
        given_features = { platform = 'wechta' }\nexpect = { event = 1, hit = true }";
    let found = said_of_rule(&[test]);
    assert!(found.starts_with("10:20 unknown-value: `platform` is never `wechta`"), "{found}");
}

#[test]
fn a_clock_has_no_hour_24_and_a_week_no_day_0() {
    let rows = [
        ("hour(event_time) == 24", "4:29 unknown-value: an hour is 0 to 23, never 24"),
        (
            "weekday(event_time) in [0, 6]",
            "4:33 unknown-value: a weekday is 1 (Monday) to 7 (Sunday), never 0",
        ),
        ("hour(event_time) > 24", "4:28 unknown-value: an hour is 0 to 23, so this is never true"),
        ("23 < hour(event_time)", "4:9 unknown-value: an hour is 0 to 23, so this is never true"),
        (
            "hour(event_time) <= 25",
            "4:29 unknown-value: an hour is 0 to 23, so this is always true",
        ),
        (
            "weekday(event_time) < 1",
            "4:31 unknown-value: a weekday is 1 (Monday) to 7 (Sunday), so this is never true",
        ),
        (
            "hour(amount_fen) < 6",
            "4:14 unit-mismatch: expected a time, found money (such as `event_time`)",
        ),
        (
            "weekday(duration('8h')) == 1",
            "4:17 unit-mismatch: expected a time, found a duration (such as `event_time`)",
        ),
    ];
    for (when, wanted) in rows {
        assert_eq!(of_condition(when), wanted, "{when}");
    }
}

/// A rule that runs may ask for an age or a region only beside what is done.
#[test]
fn age_and_region_do_not_decide_by_themselves() {
    let features = format!(
        "{FEATURES}[t.old]\nexpr = \"payer.age_band == '60+'\"\n[t.home]\nover = ['login']\n\
         key = ['account_id']\nagg = 'last'\nfield = 'region'\nwindow = '30d'\n"
    );
    let of = |status: &str, when: &str| {
        let text = rule(&[&format!("status = \"{status}\""), &format!("when = \"{when}\"")]);
        let files = [
            ("conditions.toml", "far = \"region != '440100'\""),
            ("lists/places.csv", "value,valid_from,valid_until,added_by,reason\n1,,,a,b\n"),
            ("features.toml", &*features),
            ("funds/x.toml", &*text),
        ];
        if try_load(&files).is_ok() { Vec::new() } else { said(&files) }
    };
    for when in ["t.old", "far && t.home == '1'", "kind == 'claim' && in_list('places', region)"] {
        for status in ["live", "shadow"] {
            let found = of(status, when);
            assert_eq!(found.len(), 1, "{when}: {found:?}");
            assert!(found[0].starts_with("4:8 age-or-region-alone: "), "{found:?}");
        }
        assert!(of("draft", when).is_empty(), "{when}");
    }
    for when in ["t.old && amount_fen > 1", "far && hour(event_time) < 6", "account_id != 'a'"] {
        assert!(of("live", when).is_empty(), "{when}");
    }
}

#[test]
fn a_text_that_is_taken_for_a_number_is_shown_where_it_is_written() {
    for text in ["5000元", "5,000 yuan"] {
        let given = format!("params = {{ min_in = \"{text}\" }}");
        let found = said_of_rule(&["when = \"amount_fen >= min_in && amuont_fen > 1\"", &given]);
        let wanted = format!(
            "4:33 unknown-name: unknown name `amuont_fen` (did you mean `amount_fen`?)\n\
             7:21 unknown-unit: `{text}` is a text, and `min_in` is used as a number (write an amount \
             as \"5000 yuan\" and a duration as \"24h\" (ms, s, m, h, d))"
        );
        assert_eq!(found, wanted);
    }
    let digits = rule(&["when = \"region == home && amount_fen > 1\"", "params.home = '440100'"]);
    loaded(&[("funds/x.toml", &digits)]);
}

#[test]
fn a_calendar_holds_days() {
    let list = |values: &[&str]| {
        let rows: String = values.iter().map(|value| format!("{value},,,li,\n")).collect();
        format!("value,valid_from,valid_until,added_by,reason\n{rows}")
    };
    let uses = rule(&["when = \"in_calendar('days', event_time) && amount_fen > 1\""]);
    let with = |text: &str| {
        let files = [("funds/x.toml", &*uses), ("lists/days.csv", text)];
        if try_load(&files).is_ok() { Vec::new() } else { said(&files) }
    };
    assert!(with(&list(&["2024-02-09", "2024-02-10"])).is_empty());
    let found = with(&list(&["2024-02-09", "2024/2/10", "20240211", "Feb 12 2024", "2024-2-13"]));
    let wanted = |line, value| {
        format!(
            "{line}:1 not-a-day: `{value}` is no day, and the list is used as a calendar (write a day \
             as 2024-02-09)"
        )
    };
    let rows = [(3, "2024/2/10"), (4, "20240211"), (5, "Feb 12 2024"), (6, "2024-2-13")];
    assert_eq!(found, rows.map(|(line, value)| wanted(line, value)));
    // Another list is meant: one line says enough.
    assert_eq!(with(&list(&["u1", "u2", "u3"])), [wanted(2, "u1")]);
    // And a list that nobody takes for a calendar holds what it holds.
    loaded(&[("lists/days.csv", &list(&["20240211"]))]);
}

/// One slip in a phrase file does not make every use of its categories one.
#[test]
fn categories_are_known_whatever_is_wrong_with_phrases() {
    let features = "[behaviour.bets]\nexpr = \"text.dice + text.cards_weight + text.gambling\"\n";
    let phrases = [
        ("text/phrases/a.txt", "[dice | wieght=3]\n大小\n雷\n"),
        ("text/phrases/b.txt", "[cards]\n斗地主群\n"),
        ("features.toml", features),
    ];
    let found = said(&phrases);
    let codes: Vec<&str> = found.iter().map(|one| one.split(": ").next().unwrap()).collect();
    assert_eq!(codes, ["1:9 unknown-phrase-option", "3:1 phrase-too-short"], "{found:#?}");
    // A misspelt category is still one.
    let found = said(&[("text/phrases/a.txt", "[Dice]\n大小\n"), ("features.toml", features)]);
    assert!(found.iter().any(|one| one.contains("unknown name `text.dice`")), "{found:#?}");
    let files = [("text/phrases/a.txt", "[dice]\n大小\n[cards]\n斗地主群\n"), phrases[2]];
    loaded(&files);
}

/// A category of one's own is for whom it may concern; one that is nearly another is a slip.
#[test]
fn a_category_that_nothing_reads_is_told_where_it_is_nearly_another() {
    let reads = |expr: &str| format!("[behaviour.bets]\nexpr = \"{expr}\"\n");
    let slip = "[dice]\n大小群\n[gamblng]\n扫雷群\n红包群 | category=gamblng\n";
    let rows = [
        (slip, "text.dice", Some(("3:2", "gamblng", "gambling"))),
        (slip, "text.dice + text.gamblng_weight", None),
        (slip, "text.dice + text.gamblng", None),
        ("[dice]\n扫雷群 | category=dicce\n大小群\n", "text.dice", Some(("2:16", "dicce", "dice"))),
        ("[dicce]\n扫雷群\n[dice]\n大小群\n", "text.fraud", None),
        ("[fraud]\n扫雷群\n", "text.evasion", None),
    ];
    for (phrases, expr, expected) in rows {
        let loaded = loaded(&[("text/phrases/a.txt", phrases), ("features.toml", &reads(expr))]);
        let told: Vec<String> = loaded
            .warnings
            .iter()
            .map(|one| {
                let (line, column) = line_and_column(phrases, one.span.clone().unwrap().start);
                let hint = one.hint.as_ref().map_or("", |hint| &hint.en);
                format!("{line}:{column} {}: {} ({hint})", one.code, one.message.en)
            })
            .collect();
        let wanted = expected.map(|(place, name, near)| {
            format!(
                "{place} unread-category: nothing reads the category `{name}` \
                 (did you mean `{near}`?)"
            )
        });
        assert_eq!(told, Vec::from_iter(wanted), "{phrases} {expr}");
    }
}

/// A feature over events that never have what it asks of them is nothing for ever.
#[test]
fn what_the_counted_events_never_have_is_a_mistake() {
    let windowed = |lines: &str| {
        let over = if lines.contains("over") { "" } else { "over = ['claim']\n" };
        let key = if lines.contains("key") { "" } else { "key = ['account_id']\n" };
        let agg = if lines.contains("agg") { "" } else { "agg = 'count'\n" };
        format!("[t.x]\n{lines}\n{over}{key}{agg}window = '1d'\n")
    };
    let rows = [
        (
            windowed("key = ['payee_id']\nover = ['refund']"),
            "2:7 never-filed: `payee_id` has a value on claim, transfer, and this is over refund: \
             nothing is filed",
        ),
        (
            windowed("key = ['label']"),
            "2:7 never-filed: `label` has a value on label, and this is over claim",
        ),
        (
            windowed("key = ['subject_id']\nover = ['label']"),
            "2:7 never-looked-up: `subject_id` has a value on label: no transaction looks anything \
             up by it (name in `at` the transaction's field",
        ),
        (
            windowed("at = ['typology']"),
            "2:6 never-looked-up: `typology` has a value on label: no transaction",
        ),
        (
            windowed("field = 'label'\nagg = 'last'"),
            "2:9 never-counted: `label` has a value on label, and what is counted is claim",
        ),
        (
            windowed("where = \"amount_fen > 1 && label == 'fraud'\""),
            "2:28 never-true: this is never true on claim (declare a feature over labels: ",
        ),
        (
            windowed("where = \"payee_id == 'x'\"\nover = ['refund', 'topup']"),
            "2:10 never-true: this is never true on refund, topup (`payee_id` has a value on claim, \
             transfer)",
        ),
        (
            "[t.x]\nexpr = \"label == 'fraud'\"\n[t.y]\nexpr = 't.x && amount_fen > 1'\n"
                .to_owned(),
            "2:9 never-a-value: `t.x` has a value on no transaction (declare a feature over labels: ",
        ),
    ];
    for (text, wanted) in rows {
        // What reads it has no mistake of its own.
        let reads = rule(&["when = \"(t.x ?? t.x) == t.x\""]);
        let found = said(&[("features.toml", &text), ("funds/x.toml", &reads)]);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(wanted), "{text}: {found:#?}");
    }
    for text in [
        windowed("over = ['label']\nkey = ['subject_id']\nat = ['account_id']"),
        windowed("over = ['label']\nkey = ['counterparty_id']\nwhere = \"label == 'fraud'\""),
        windowed("over = ['claim', 'label']\nwhere = \"(label ?? 'honest') == 'fraud'\""),
        windowed("over = ['claim', 'refund']\nkey = ['payee_id']"),
        "[t.x]\nexpr = \"(label ?? 'honest') == 'fraud'\"\n".to_owned(),
    ] {
        loaded(&[("features.toml", &text)]);
    }
}

/// A rule that no transaction can meet that it looks at would run, and never hit.
#[test]
fn a_condition_that_no_looked_at_kind_can_meet_is_a_mistake() {
    let on = |on: &str, when: &str| [format!("on = {on}"), format!("when = \"{when}\"")];
    let features = format!("{FEATURES}[t.big]\nexpr = 'funds.payee.fan_in_24h > 5'\n");
    let files = |lines: &[String; 2]| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        vec![
            ("conditions.toml", "paid = \"payee_id != 'x'\"".to_owned()),
            ("features.toml", features.clone()),
            ("funds/x.toml", rule(&lines)),
        ]
    };
    let sends = "never-true: this is never true on send";
    let rows = [
        ("amount_fen > 1 && kind == 'claim'", "4:27", "(`kind` is send here)"),
        ("kind in ['claim', 'transfer']", "4:9", "(`kind` is send here)"),
        ("payee_id == 'x'", "4:9", "(`payee_id` has a value on claim, transfer)"),
        ("amount_fen > 1 && paid", "4:27", "(`payee_id` has a value on claim, transfer)"),
        ("payee.verified", "4:9", "(`payee.verified` has a value on claim, transfer)"),
        ("t.big && amount_fen > 1", "4:9", "(`t.big` has a value on claim, transfer)"),
        (
            "funds.payee.groups_24h > 5",
            "4:9",
            "(`funds.payee.groups_24h` has a value on claim, transfer)",
        ),
        ("payer.label == 'fraud'", "4:9", "(`payer.label` never has a value)"),
    ];
    for (when, place, hint) in rows {
        let files = files(&on("['send']", when));
        let files: Vec<(&str, &str)> = files.iter().map(|(at, text)| (*at, &**text)).collect();
        assert_eq!(said(&files), [format!("{place} {sends} {hint}")], "{when}");
    }
    for (kinds, when) in [
        ("['send', 'claim']", "payee_id == 'x'"),
        ("['send', 'withdraw']", "kind == 'send' || t.big"),
        ("['send']", "(funds.payee.groups_24h ?? 0) > 5 || !has(payee_id)"),
        ("['send']", "payer_id == 'x'"),
    ] {
        let files = files(&on(kinds, when));
        let files: Vec<(&str, &str)> = files.iter().map(|(at, text)| (*at, &**text)).collect();
        loaded(&files);
    }
}
