//! What is said of bad files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::{FEATURES, directory, loaded, rule, try_load};
use crate::diagnostic::{Diagnostic, Failure, Lang, Sources, line_and_column, render};
use crate::event::Schema;
use crate::features::declare::{self, Body};
use crate::rules;

fn mistakes(files: &[(&str, &str)]) -> (Vec<Diagnostic>, Sources) {
    match try_load(files) {
        Err(Failure::Input(found, sources)) => (found, sources),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("nothing was found"),
    }
}

/// Every mistake as `line:column code: message (hint)`.
pub(super) fn said(files: &[(&str, &str)]) -> Vec<String> {
    let (found, sources) = mistakes(files);
    let one = |one: &Diagnostic| {
        let text = sources.get(&one.file).unwrap_or("");
        let place = one.span.as_ref().map_or_else(String::new, |span| {
            let (line, column) = line_and_column(text, span.start);
            format!("{line}:{column} ")
        });
        let hint = one.hint.as_ref().map_or_else(String::new, |hint| format!(" ({})", hint.en));
        assert!(!one.message.zh.is_empty() && one.message.zh != one.message.en);
        format!("{place}{}: {}{hint}", one.code, one.message.en)
    };
    found.iter().map(one).collect()
}

pub(super) fn said_of_rule(lines: &[&str]) -> String {
    said(&[("features.toml", FEATURES), ("funds/x.toml", &rule(lines))]).join("\n")
}

#[test]
fn each_mistake_of_a_rule_is_named_with_its_place() {
    let rows: &[(&[&str], &str)] = &[
        (&["wen = \"true\""], "7:1 unknown-key: unknown key `wen` (did you mean `when`?)"),
        (&["title = 1"], "1:9 wrong-type: `title` is an integer, not a string"),
        (
            &["status = \"lvie\""],
            "2:10 unknown-value: `status` is `lvie`, not one of draft, shadow, live, retired \
             (did you mean `live`?)",
        ),
        (
            &["on = [\"claim\", \"clam\"]"],
            "3:16 unknown-value: `on` is `clam`, not one of send, \
          claim, transfer, withdraw (did you mean `claim`?)",
        ),
        (&["on = []"], "3:6 empty: `on` is empty, so the rule looks at nothing"),
        (
            &["on = [\"message\"]"],
            "3:7 not-a-transaction: `message` is not a transaction, so \
          nothing is decided on it (transactions are send, claim, transfer and withdraw; features \
          can look at others)",
        ),
        (&["score = 1001"], "5:9 out-of-bounds: `score` is 1001, outside 0 to 1000"),
        (&["score = 1.5"], "5:9 wrong-type: `score` is a number with a fraction, not an integer"),
        (
            &["floor = \"alow\""],
            "7:9 unknown-value: `floor` is `alow`, not one of review, hold, \
          block",
        ),
        (
            &["effect = \"allow\""],
            "5:9 allow-and-stop: a rule with `effect = \"allow\"` has no \
          `score`",
        ),
        (
            &["when = \"amount_fn >= 1\""],
            "4:9 unknown-name: unknown name `amount_fn` (did you \
          mean `amount_fen`?)",
        ),
        (
            &["when = \"amount_fen\""],
            "4:8 not-a-condition: this is an int, and a condition is true \
          or false",
        ),
        (
            &["reason = \"{funds.payee.fan_in}\""],
            "6:12 unknown-name: unknown name \
          `funds.payee.fan_in` (did you mean `funds.payee.fan_in_24h`?)",
        ),
        (
            &["reason = \"{amount_fen\""],
            "6:11 unmatched-brace: a brace without its other half (a \
          name stands in {braces}; a brace itself is written twice)",
        ),
        (
            &["rollout = { percent = 10, by = \"payeeid\" }"],
            "7:32 unknown-name: `payeeid` is not \
          a field or feature (did you mean `payee_id`?)",
        ),
        (
            &["rollout = { percent = 101, by = \"payee_id\" }"],
            "7:23 out-of-bounds: `percent` is \
          101, outside 0 to 100",
        ),
        (&["rollout = { percent = 10 }"], "7:11 missing-key: `by` is missing"),
        (
            &["params = { amount_fen = 1 }"],
            "7:12 name-taken: `amount_fen` is the name of a field \
          or feature already",
        ),
        (
            &["when = \"amount_fen >= a\"", "params = { a = \"5 yaun\" }"],
            "7:16 unknown-unit: `5 yaun` has no unit that is \
          known (write an amount as \"5000 yuan\" and a duration as \"24h\" (ms, s, m, h, d))",
        ),
        (
            &["when = \"amount_fen >= a\"", "params.a = 1", "params.by.\"group.patform\".b.a = 2"],
            "8:11 unknown-name: `group.patform` is not a field or feature (did you mean `group.platform`?)",
        ),
        (
            &[
                "when = \"amount_fen >= a\"",
                "params.a = 1",
                "params.by.\"group.platform\".other.c = 2",
            ],
            "8:34 unknown-param: there is no parameter `c` to give another value",
        ),
        (
            &[
                "when = \"amount_fen >= a\"",
                "params.a = 1",
                "params.by.\"group.platform\".other.a = \"1h\"",
            ],
            "8:38 other-unit: `a` has another type or unit here than in [params]",
        ),
    ];
    for (lines, wanted) in rows {
        assert_eq!(said_of_rule(lines), *wanted, "{lines:?}");
    }
}

#[test]
fn each_mistake_of_a_timeline_is_named_with_its_place() {
    let rows = [
        (
            "given = [\"0s clam g1 u1 amount=1\"]\nexpect = { event = 1, hit = true }",
            "9:14 unknown-value: `clam` is not a kind of event (did you mean `claim`?)",
        ),
        (
            "given = [\"0s claim g1\"]\nexpect = { event = 1, hit = true }",
            "9:11 timeline-line: a line is OFFSET KIND GROUP ACCOUNT field=value... (such as \
          \"1h claim g1 u1 payer=a amount=10.00\"; write - for no group)",
        ),
        (
            "given = [\"0s claim g1 u1 amonut=1\"]\nexpect = { event = 1, hit = true }",
            "9:26 unknown-field: `amonut` is not a field (did you mean `amount`?)",
        ),
        (
            "given = [\"0s claim g1 u1 amount=1.005\"]\nexpect = { event = 1, hit = true }",
            "9:33 bad-amount: `1.005` is not an amount in yuan (such as amount=1000.00)",
        ),
        (
            "given = [\"0s claim g1 u1 payee=b amount=1\"]\nexpect = { event = 1, hit = true }",
            "9:26 timeline-side: `payee` does not name the other side of a claim (payer= goes with \
          claim and payee= with transfer; the account that acts stands in front)",
        ),
        (
            "given = [\"0s claim g1 u1\"]\nexpect = { event = 1, hit = true }",
            "8:8 timeline-event: line 1 is not an event: amount_fen is required",
        ),
        (
            "given = [\"0s claim g1 u1 amount=1\"]\nexpect = { event = \"last\", hit = true }",
            "10:20 unknown-event: no event of this timeline is called `last` (name one with as=last, \
          or give its number from 1 to 1)",
        ),
        (
            "given = [\"0s login - u1\"]\nexpect = { event = 1, hit = true }",
            "10:20 not-a-transaction: nothing is decided on a login",
        ),
        (
            "from = \"two\"\nexpect = { event = 1, hit = true }",
            "9:8 unknown-test: no test before this one is called `two`",
        ),
        (
            "given = [\"0s claim g1 u1 amount=1\"]\ngiven_features = { amount = 1 }\n\
          expect = { event = 1, hit = true }",
            "10:20 unknown-name: `amount` is not a field or feature",
        ),
        // A line that is wrong hides no other mistake, and its number counts.
        (
            "given = [\"0s claim g1\", \"1s claim g1 u1 amount=1\"]\n\
          expect = [{ event = 2, hit = 1 }, { event = 3, hit = true }]",
            "9:11 timeline-line: a line is OFFSET KIND GROUP ACCOUNT field=value... (such as \
          \"1h claim g1 u1 payer=a amount=10.00\"; write - for no group)\n\
          10:30 wrong-type: `hit` is an integer, not true or false\n\
          10:45 unknown-event: no event of this timeline is called `3` (name one with as=3, or give \
          its number from 1 to 2)",
        ),
        (
            "given = [\"0s claim g1 u1 amonut=1 as=a\"]\nexpect = { event = \"a\", hit = true }\n\
          [[test]]\nname = \"two\"\nfrom = \"one\"\nexpect = { event = \"a\", hit = 2 }",
            "9:26 unknown-field: `amonut` is not a field (did you mean `amount`?)\n\
          14:31 wrong-type: `hit` is an integer, not true or false",
        ),
        (
            "given = [\"0s claim g1 u1 amount=1\"]\nexpect = []",
            "10:10 empty: `expect` is empty, so the test shows nothing (write what is expected of an \
          event: { event = 1, hit = true })",
        ),
        (
            "given = [\"0s claim g1 u1 amount=1\"]\nexpect = { event = 1, hti = true }",
            "10:10 missing-key: `hit` is missing\n10:23 unknown-key: unknown key `hti` (did you mean \
          `hit`?)",
        ),
        (
            "given = [\"0s claim g1 u1 amount=1\", \"1s send g1 u1 amount=1 as=b\"]\n\
          expect = [{ event = 1, hit = true }, { event = \"b\", hit = false }]",
            "10:38 kind-not-looked-at: `b` is a send, and the rule looks at claim only (expect \
          something of an event that it looks at, or add the kind to `on`)",
        ),
    ];
    for (test, wanted) in rows {
        let text = rule(&[&format!("[[test]]\nname = \"one\"\n{test}")]);
        let found = said(&[("features.toml", FEATURES), ("funds/x.toml", &text)]).join("\n");
        assert_eq!(found, wanted, "{test}");
    }
}

#[test]
fn each_mistake_of_a_directory_is_named() {
    let good = rule(&[]);
    let rows: [(&[(&str, &str)], &str); 9] = [
        (
            &[("behavior/a.toml", &good)],
            "unknown-folder: rules stand in behaviour, funds, text, devices, social, packet, lists in \
          lists, phrases in text/phrases, and nothing of them here (did you mean `behaviour`?)",
        ),
        (&[("funds/fast/a.toml", &good)], "unknown-folder: rules stand in behaviour"),
        (
            &[("polcy.toml", "")],
            "unknown-part: this is no part of a rules directory; rules stand \
          in a folder such as funds/ (did you mean `policy.toml`?)",
        ),
        (&[("funds/a.toml", &good), ("text/a.toml", &good)], "duplicate-id"),
        (
            &[("funds/a b.toml", &good)],
            "1:1 bad-rule-id: the file's name `a b` cannot be the id \
          of a rule (use letters, digits, - and _)",
        ),
        (
            &[("conditions.toml", "big = \"amount_fn > 1\"")],
            "1:8 unknown-name: unknown name \
          `amount_fn` (did you mean `amount_fen`?)",
        ),
        (
            &[("conditions.toml", "amount_fen = \"true\"")],
            "1:14 name-taken: `amount_fen` is the \
          name of a field or feature already",
        ),
        (
            &[("conditions.toml", "big = \"1 + 1\"")],
            "1:7 not-a-condition: this is an int, and a \
          condition is true or false",
        ),
        (
            &[("lists/trusted.csv", "value,until\nu1,2024\n")],
            "1:1 bad-list: the header is not `value,valid_from,valid_until,added_by,reason`",
        ),
    ];
    for (files, wanted) in rows {
        let found = said(files).join("\n");
        assert!(found.starts_with(wanted), "{found}");
    }
}

/// Which built-in features read each built-in feature.
fn readers_of_built_in() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../features/built_in.toml");
    let (read, wrong) =
        declare::read_built_in(Path::new("built_in.toml"), text, &Schema::default());
    assert_eq!(wrong, []);
    let mut readers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for declaration in &read.list {
        let Body::Expr { source, .. } = &declaration.body else { continue };
        for name in crate::expr::parse(source).unwrap().names() {
            readers.entry(name).or_default().push(declaration.name.clone());
        }
    }
    readers.retain(|name, _| read.list.iter().any(|declaration| declaration.name == *name));
    readers
}

/// Of each built-in feature, who reads it or reads who reads it.
fn by_detours(readers: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let all = |name: &String| {
        let (mut found, mut left) = (BTreeSet::new(), vec![name.clone()]);
        while let Some(name) = left.pop() {
            let new = readers.get(&name).into_iter().flatten();
            left.extend(new.filter(|one| found.insert((*one).clone())).cloned());
        }
        found
    };
    let names = readers.keys().chain(readers.values().flatten());
    names.map(|name| (name.clone(), all(name))).collect()
}

/// What is built in may be declared otherwise, but not so that other built-in features cannot be
/// computed any more. What reads those is not told of as well.
#[test]
fn a_built_in_feature_keeps_a_type_that_its_readers_can_read() {
    let readers = readers_of_built_in();
    assert!(readers.len() > 15, "{readers:?}");
    let all = by_detours(&readers);
    for (name, readers) in &readers {
        // The type of a group is a name, and all others are figures.
        let (kind, agg) = match name.as_str() {
            "social.group.type" => ("int", "agg = \"count\""),
            _ => ("string", "agg = \"last\"\nfield = \"text\""),
        };
        let text = format!(
            "[t.twice]\nexpr = \"{0} == {0}\"\n[{name}]\nover = [\"send\"]\nkey = [\"group_id\"]\n\
             {agg}\nwindow = \"30d\"\ndoc = \"x\"\n",
            readers[0],
        );
        let uses = rule(&[&format!("reason = \"{{{}}}\"", readers[0])]);
        for policy in ["", "[features]\ncolumns = \"used\"\n"] {
            let files =
                [("policy.toml", policy), ("features.toml", &text), ("funds/x.toml", &uses)];
            let found = said(&files);
            assert_eq!(found.len(), 1, "{found:#?}");
            // Shown is the last part of the name.
            let column = name.rfind('.').map_or(2, |dot| dot + 3);
            let start = format!("3:{column} built-in-type: `{name}` has the type {kind} here");
            assert!(found[0].starts_with(&start), "{found:#?}");
            // Who reads another reader as well is not told of: that one is no more.
            let through = |one: &String| readers.iter().any(|other| all[other].contains(one));
            let told = readers.iter().filter(|one| !through(one));
            for one in told {
                assert!(found[0].contains(&format!("`{one}`")), "{one}: {found:#?}");
            }
        }
    }
}

#[test]
fn a_built_in_feature_that_would_need_itself_is_told_at_the_declaration() {
    let text = "[t.a]\nexpr = \"amount_fen\"\n[social.group.sends_24h]\n\
                expr = \"int(social.group.turns_24h)\"\n";
    let wanted = "3:15 feature-cycle: the feature `social.group.sends_24h` needs itself";
    assert_eq!(said(&[("features.toml", text)]), [wanted]);
}

/// A chain of features is walked on the stack: one that is too long is refused before.
#[test]
fn a_chain_of_features_has_an_end() {
    let chain = |links: usize| {
        let of = |at: usize| match at {
            0 => "amount_fen".to_owned(),
            below => format!("t.f{:04} + 1", below - 1),
        };
        let feature = |at| format!("[t.f{at:04}]\nexpr = \"{}\"\n", of(at));
        (0..links).map(feature).collect::<String>()
    };
    loaded(&[("features.toml", &chain(64))]);
    let found = said(&[("features.toml", &chain(5_000))]);
    let wanted = "130:8 chain-too-long: `t.f0064` ends a chain of more than 64 features (each is \
                  computed from the next: compute several of them in one expression)";
    assert_eq!(found, [wanted]);
}

/// `window` is a key of a feature wherever it stands, and what is said stands there too.
#[test]
fn a_feature_cannot_be_called_as_a_key() {
    let text = "[behaviour.pace]\nexpr = \"amount_fen\"\n[behaviour.window]\nexpr = \"1\"\n\
                [behaviour.key.claims]\nexpr = \"1\"\n";
    let uses = rule(&["when = \"behaviour.window > 1 && behaviour.key.claims > 1\""]);
    let found = said(&[("features.toml", text), ("funds/x.toml", &uses)]);
    let wanted = |place, key| {
        format!(
            "{place} bad-feature-name: `{key}` is a key of every feature, and no part of a feature's \
             name (take a longer name, such as `{key}_24h`)"
        )
    };
    assert_eq!(found, [wanted("3:12", "window"), wanted("5:12", "key")]);
}

/// What is never true or false would leave a feature at nothing, and nobody would know why.
#[test]
fn what_a_feature_counts_is_a_condition_too() {
    let text = "[behaviour.z]\nover = [\"claim\"]\nkey = [\"account_id\"]\nagg = \"count\"\n\
        window = \"10m\"\nwhere = \"amount_fen\"\n";
    let found = said(&[("features.toml", text)]);
    assert_eq!(found, ["6:9 not-a-condition: this is an int, and a condition is true or false"]);
}

/// People name files as their house does.
#[test]
fn the_name_of_a_file_may_be_any_word() {
    for id in ["many_groups", "R1", "bigTransfer", "大额", "a-b"] {
        let named = format!("funds/{id}.toml");
        let loaded = loaded(&[("features.toml", FEATURES), (&named, &rule(&[]))]);
        assert_eq!(loaded.rules.rules[0].file.id, id);
    }
}

/// Whoever reads what goes around for ever would never come to an end.
#[test]
fn conditions_that_need_each_other_are_told_also_where_a_feature_uses_them() {
    let found = said(&[
        ("conditions.toml", "a = \"b && amount_fen > 1\"\nb = \"a || amount_fen > 2\"\n"),
        ("features.toml", "[t.a]\nexpr = \"a ? 1 : 0\"\n"),
    ]);
    assert!(found.iter().any(|one| one.contains("condition")), "{found:#?}");
}

/// A rule that uses a condition or a feature with a mistake has no mistake of its own.
#[test]
fn a_mistake_is_said_once() {
    let uses = rule(&["when = \"big && behaviour.x > 1\""]);
    let found = said(&[
        ("conditions.toml", "big = \"amount_fn > 1\""),
        ("features.toml", "[behaviour.x]\nagg = \"cuont\"\n"),
        ("funds/x.toml", &uses),
    ]);
    assert!(found[0].contains("amount_fn"), "{found:#?}");
    assert!(found.iter().all(|said| !said.contains("in the condition")), "{found:#?}");
    assert!(found.iter().all(|said| !said.contains("behaviour.x")), "{found:#?}");
}

#[test]
fn all_mistakes_of_all_files_are_shown_at_once() {
    let files = [
        ("policy.toml", "[bands]\nreview = 0\n"),
        ("funds/a.toml", &*rule(&["when = \"amount_fen >= 1 &&\"", "socre = 1"])),
        ("text/b.toml", &*rule(&["when = \"amuont_fen >= 1\""])),
    ];
    let dir = directory(&files);
    let failure = rules::load(Some(dir.path()), &Arc::new(Schema::default()));
    let Err(failure) = failure else { panic!("nothing was found") };
    assert_eq!(failure.exit_code(), 2);
    let Failure::Input(found, sources) = failure else { panic!("not of the input") };
    assert_eq!(found.len(), 4);
    let shown = |lang| {
        let text = render(&found, &sources, lang, false);
        text.replace(&format!("{}", dir.path().display()), "rules")
    };
    let en = shown(Lang::En);
    let wanted = "\
error[unknown-name]: unknown name `amuont_fen`
  ┌─ rules/text/b.toml:4:9
  │
4 │ when = \"amuont_fen >= 1\"
  │         ^^^^^^^^^^
  │
  = hint: did you mean `amount_fen`?
";
    assert!(en.contains(wanted), "{en}");
    assert!(en.contains("rules/funds/a.toml:7:1"), "{en}");
    assert!(en.contains("rules/policy.toml:2:10"), "{en}");
    let zh = shown(Lang::Zh);
    assert!(zh.contains("是否想写 `amount_fen`?"), "{zh}");
    assert!(zh.contains("未知的键 `socre`"), "{zh}");
}

#[test]
fn what_is_absent_has_its_default() {
    let schema = Arc::new(Schema::default());
    let Ok(none) = rules::load(None, &schema) else { panic!("nothing can be wrong") };
    assert!(none.rules.rules.is_empty());
    assert_eq!(none.rules.policy.bands.block, 850);
    let empty = loaded(&[("README.md", "nothing here")]);
    assert_eq!(none.rules.hash, empty.rules.hash);
    let missing = rules::load(Some(Path::new("no/such/rules")), &schema);
    assert_eq!(missing.err().map(|failure| failure.exit_code()), Some(2));
}

#[test]
fn an_unused_parameter_is_a_warning() {
    let loaded = loaded(&[("funds/x.toml", &rule(&["params = { a = 1 }"]))]);
    let codes: Vec<&str> = loaded.warnings.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["unused-param"]);
}

/// The schema that editors read and the parser know the same keys.
#[test]
fn the_json_schema_is_true() {
    use crate::rules::timeline::{EXPECT_KEYS, TEST_KEYS};
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/rule.schema.json"));
    let schema: serde_json::Value = serde_json::from_str(text).unwrap();
    let rows = [
        ("/properties", rules::file::RULE_KEYS),
        ("/$defs/test/properties", TEST_KEYS),
        ("/$defs/expectation/properties", EXPECT_KEYS),
    ];
    for (pointer, keys) in rows {
        let held = schema.pointer(pointer).and_then(|held| held.as_object()).unwrap();
        let mut held: Vec<&str> = held.keys().map(String::as_str).collect();
        let mut keys = keys.to_vec();
        held.sort_unstable();
        keys.sort_unstable();
        assert_eq!(held, keys, "{pointer}");
    }
    let statuses: Vec<&str> = rules::file::Status::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(schema.pointer("/properties/status/enum").unwrap(), &serde_json::json!(statuses));
}
