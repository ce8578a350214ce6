//! The hash: the same however the files are written, another with every change of meaning.

use super::{loaded, rule};

const FEATURES: &str = "\
[behaviour.claims_10m]
over = [\"claim\"]
where = \"amount_fen >= 100\"
key = [\"account_id\"]
agg = \"count\"
window = \"10m\"
";
const LIST: &str =
    "value,valid_from,valid_until,added_by,reason\nu1,,,ann,\nu2,2024-01-01,,bob,x\n";
const CONDITIONS: &str = "large = \"amount_fen >= yuan(1000)\"\n";
const POLICY: &str = "[bands]\nhold = 500\n";
const RULE: [&str; 8] = [
    "when = \"large && amount_fen >= min && !in_list('trusted', payee_id)\"",
    "score = 400",
    "floor = \"review\"",
    "rollout = { percent = 10, by = \"payee_id\" }",
    "reason = \"{amount_fen}\"",
    "reason_zh = \"金额{amount_fen}\"",
    "params.min = \"5 yuan\"",
    "params.by.\"group.platform\".wechat.min = \"20 yuan\"",
];

fn hash_of(files: &[(&str, &str)]) -> blake3::Hash {
    loaded(files).rules.hash
}

fn whole(rule: &str) -> Vec<(&'static str, String)> {
    vec![
        ("features.toml", FEATURES.to_owned()),
        ("lists/trusted.csv", LIST.to_owned()),
        ("conditions.toml", CONDITIONS.to_owned()),
        ("policy.toml", POLICY.to_owned()),
        ("funds/a.toml", rule.to_owned()),
        ("funds/b.toml", super::rule(&[])),
    ]
}

fn hash(files: &[(&'static str, String)]) -> blake3::Hash {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, &**text)).collect();
    hash_of(&files)
}

/// The files with the first occurrence of a text replaced, which must be there.
fn with(from: &str, to: &str) -> Vec<(&'static str, String)> {
    let mut files = whole(&rule(&RULE));
    let file = files.iter_mut().find(|(_, text)| text.contains(from));
    let (_, text) = file.unwrap_or_else(|| panic!("{from} is nowhere"));
    *text = text.replacen(from, to, 1);
    files
}

#[test]
fn how_it_is_written_does_not_count() {
    let before = hash(&whole(&rule(&RULE)));
    let rows = [
        ("large && amount_fen", "large   &&  (amount_fen"),
        (
            "title = \"T\"",
            "title = \"Another\"\nowner = \"ann\"\nfalsepositives = [\"x\"]\nfalsepositives_zh = [\"乙\"]",
        ),
        ("score = 400", "score = 0x190 # four hundred"),
        ("params.min = \"5 yuan\"", "params.min = \"5.00 yuan\""),
        ("on = [\"claim\"]", "on = \"claim\""),
        ("[bands]\nhold = 500\n", "max_ahead = \"300s\"\n[bands]\nreview = 300\nhold = 500\n"),
        ("agg = \"count\"\nwindow = \"10m\"", "window = \"600s\"\nagg = \"count\"\ndoc = \"d\""),
        ("amount_fen >= 100\"", "(amount_fen>=100)\""),
        ("key = [\"account_id\"]", "key = \"account_id\"\nat = [\"account_id\"]"),
        ("u1,,,ann,\nu2,2024-01-01,,bob,x\n", "u2,2024-01-01T00:00:00+08:00,,eve,\nu1,,,,\n"),
        ("amount_fen >= yuan(1000)", "amount_fen>=yuan( 1000 )"),
    ];
    for (from, to) in rows {
        let mut files = with(from, to);
        if to.contains("(amount_fen") && to.starts_with("large") {
            files[4].1 = files[4].1.replacen(">= min", ">= min)", 1);
        }
        assert_eq!(hash(&files), before, "{from} -> {to}");
    }
    let mut moved = whole(&rule(&RULE));
    moved[4].0 = "text/a.toml";
    assert_eq!(hash(&moved), before, "the folder does not decide");
    let draft = super::rule(&["status = \"draft\"", "score = 7"]);
    let mut more = whole(&rule(&RULE));
    more.push(("funds/c.toml", draft));
    assert_eq!(hash(&more), before, "a draft decides nothing");
}

#[test]
fn every_change_of_meaning_counts() {
    let before = hash(&whole(&rule(&RULE)));
    let mut seen = vec![before];
    let rows = [
        ("amount_fen >= min", "amount_fen > min"),
        ("score = 400", "score = 401"),
        ("floor = \"review\"", "floor = \"hold\""),
        ("percent = 10", "percent = 11"),
        ("by = \"payee_id\"", "by = \"account_id\""),
        ("status = \"live\"", "status = \"shadow\""),
        ("on = [\"claim\"]", "on = [\"claim\", \"transfer\"]"),
        ("\"{amount_fen}\"", "\"{amount_fen}!\""),
        ("金额", "额"),
        ("\"5 yuan\"", "\"5.01 yuan\""),
        ("\"20 yuan\"", "\"21 yuan\""),
        (".wechat.", ".alipay."),
        ("yuan(1000)", "yuan(1001)"),
        ("hold = 500", "hold = 501"),
        ("[bands]", "allowed_lateness = \"1s\"\n[bands]"),
        ("[bands]", "language = \"zh\"\n[bands]"),
        ("hold = 500\n", "hold = 500\n[verdicts.account]\nenforce = true\n"),
        ("window = \"10m\"", "window = \"11m\""),
        ("window = \"10m\"", "window = \"day\""),
        ("agg = \"count\"", "agg = \"sum\""),
        ("amount_fen >= 100\"", "amount_fen >= 101\""),
        ("over = [\"claim\"]", "over = [\"send\"]"),
        ("key = [\"account_id\"]", "key = [\"account_id\"]\nat = [\"payer_id\"]"),
        ("agg = \"count\"", "agg = \"count\"\ninclude_current = false"),
        ("agg = \"count\"", "agg = \"count\"\nunit = \"fen\""),
        ("behaviour.claims_10m", "behaviour.claims_ten"),
        ("u1,,,", "u3,,,"),
        ("2024-01-01", "2024-01-02"),
        ("u1,,,", "u1,,2025-01-01,"),
    ];
    for (from, to) in rows {
        let after = hash(&with(from, to));
        assert!(!seen.contains(&after), "{from} -> {to}");
        seen.push(after);
    }
    let mut fewer = whole(&rule(&RULE));
    fewer.pop();
    assert!(!seen.contains(&hash(&fewer)), "a rule less");
    let mut renamed = whole(&rule(&RULE));
    renamed[5].0 = "funds/c.toml";
    assert!(!seen.contains(&hash(&renamed)), "a rule of another name");
}
