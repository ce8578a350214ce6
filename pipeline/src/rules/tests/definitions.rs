//! What binds a model to the definitions of what it reads.

use std::sync::Arc;

use crate::event::Schema;
use crate::features::Features;
use crate::rules;

const BASE: &str = "
    [behaviour.claims_10m]
    over = ['claim']
    where = 'is_large && amount_fen >= 100'
    key = ['account_id']
    agg = 'count'
    window = '10m'
    doc = 'claims'

    [behaviour.night]
    expr = 'hour(event_time) < 6'

    [behaviour.night_claims]
    expr = 'behaviour.night ? behaviour.claims_10m : 0'
";
const POLICY: &str = "time_zone = 'Asia/Shanghai'\n";
const CONDITIONS: &str = "is_large = 'amount_fen > 5'\n";

fn features(declared: &str, policy: &str, conditions: &str) -> Features {
    let directory = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        std::fs::write(directory.path().join(file), text).unwrap();
    };
    write("features.toml", declared);
    write("policy.toml", policy);
    write("conditions.toml", conditions);
    let loaded = rules::load(Some(directory.path()), &Arc::new(Schema::default()));
    match loaded {
        Ok(loaded) => loaded.features,
        Err(wrong) => panic!("{wrong:?}"),
    }
}

#[test]
fn a_definition_is_another_when_what_it_rests_on_is_and_only_then() {
    let names = ["behaviour.claims_10m", "behaviour.night", "behaviour.night_claims"];
    let other_names = ["amount_fen", "devices.cluster_accounts", "kind=claim"];
    let of = |features: &Features| {
        let all: Vec<&str> = names.into_iter().chain(other_names).collect();
        features.definitions(&all).unwrap()
    };
    let base = features(BASE, POLICY, CONDITIONS);
    let changes = |declared: &str, policy: &str, conditions: &str| -> String {
        let (before, after) = (of(&base), of(&features(declared, policy, conditions)));
        let changed = |(a, b): (&String, &String)| if a == b { '.' } else { 'x' };
        before.iter().zip(&after).map(changed).collect()
    };
    let edit = |from: &str, to: &str| {
        assert!(BASE.contains(from), "{from}");
        BASE.replace(from, to)
    };
    let more = format!("{BASE}\n[behaviour.new]\nexpr = 'amount_fen'\n");
    let clusters = format!("{POLICY}[clusters]\nwindow = '3d'\n");
    for (declared, policy, conditions, expected) in [
        (BASE.to_owned(), POLICY, CONDITIONS, "......"),
        (more, POLICY, CONDITIONS, "......"),
        (edit("doc = 'claims'", "doc = 'n'\nunit = 'claims'"), POLICY, CONDITIONS, "......"),
        (edit("is_large && amount_fen", "is_large&&amount_fen"), POLICY, CONDITIONS, "......"),
        (edit(">= 100", ">= 101"), POLICY, CONDITIONS, "x.x..."),
        (edit("'10m'", "'11m'"), POLICY, CONDITIONS, "x.x..."),
        (edit("['account_id']", "['device_id']"), POLICY, CONDITIONS, "x.x..."),
        (edit("['claim']", "['claim', 'send']"), POLICY, CONDITIONS, "x.x..."),
        (edit("< 6", "< 7"), POLICY, CONDITIONS, ".xx..."),
        (BASE.to_owned(), "time_zone = 'Asia/Tokyo'\n", CONDITIONS, ".xx..."),
        (BASE.to_owned(), POLICY, "is_large = 'amount_fen > 6'\n", "x.x..."),
        (BASE.to_owned(), &clusters, CONDITIONS, "....x."),
    ] {
        assert_eq!(changes(&declared, policy, conditions), expected, "{declared}{policy}");
    }
}

#[test]
fn what_hangs_on_decisions_says_so_and_so_does_what_reads_it() {
    let declared = "
        [funds.a]
        expr = 'funds.payer.cycle4_24h ?? 0'
        [funds.b]
        expr = 'funds.a + 1'
        [funds.c]
        expr = 'amount_fen'
    ";
    let features = features(declared, POLICY, "");
    let hangs = |name: &str| features.definition(name).unwrap().of_decisions;
    assert_eq!(["funds.a", "funds.b", "funds.c"].map(hangs), [true, true, false]);
    assert_eq!(features.name_with_dots("funds_b"), Some("funds.b"));
}

/// Whose a value is, is what looks it up, also through what is computed: who acts (a), pays (p), is paid
/// (r), or something else (o); of nobody it is the transaction's own.
#[test]
fn whose_a_value_is_hangs_on_what_looks_it_up() {
    let windowed = |name: &str, keys: &str| {
        format!("[{name}]\nover = ['transfer']\n{keys}\nagg = 'count'\nwindow = '1h'\n")
    };
    let declared = [
        windowed("funds.mine", "key = ['payee_id']\nat = ['account_id']"),
        windowed("funds.theirs", "key = ['account_id']\nat = ['counterparty_id']"),
        windowed("funds.one", "key = ['account_id', 'device_id']"),
        windowed("funds.ring", "key = ['cluster_id']"),
        "[funds.both]\nexpr = 'funds.mine + funds.payer.groups_24h'\n".to_owned(),
        "[funds.hour]\nexpr = 'hour(event_time)'\n".to_owned(),
        "[funds.typed]\nexpr = \"group.type == 'family' && funds.mine > 1\"\n".to_owned(),
        "[funds.more]\nexpr = 'funds.both + 1'\n".to_owned(),
        "[funds.named]\nexpr = 'is_large ? funds.mine : 0'\n".to_owned(),
    ];
    let features =
        features(&declared.concat(), POLICY, "is_large = 'funds.payee.groups_24h > 5'\n");
    for (name, expected) in [
        ("funds.mine", "a"),
        ("funds.theirs", "o"),
        ("funds.one", "o"),
        ("funds.ring", "a"),
        ("funds.both", "ap"),
        ("funds.more", "ap"),
        ("funds.hour", ""),
        ("funds.typed", "ao"),
        ("funds.named", "ar"),
        ("funds.payer.fan_in_24h", "p"),
        ("funds.payee.fan_in_24h", "r"),
        ("funds.payer.pass_through_24h", "p"),
        ("funds.payer.turnover_24h", "p"),
        ("funds.payee.chain_2hop_24h", "r"),
        ("funds.payer.cycle_24h", "p"),
        ("funds.payee.cycle4_24h", "r"),
        ("funds.group.turnover_24h", "o"),
        ("social.group.acts_30d", "o"),
        ("social.tie.forward_30d", "o"),
        ("devices.accounts_24h", "o"),
        ("devices.known_for", "o"),
        ("devices.of_account_30d", "a"),
        ("devices.cluster_accounts", "a"),
        ("packet.left_fen", "o"),
        ("packet.luck_30d", "a"),
        ("packet.unreturned_30d", "a"),
        ("account.registered_at", "a"),
        ("payee.verified", "r"),
        ("group.text", "o"),
        ("text.bet_memo", ""),
        ("amount_fen", ""),
        ("group_id", "o"),
    ] {
        let whose = features.definition(name).unwrap().whose;
        let marks =
            [(whose.acting, 'a'), (whose.payer, 'p'), (whose.payee, 'r'), (whose.other, 'o')];
        let found: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn names_that_are_not_there_are_named() {
    let features = features(BASE, POLICY, CONDITIONS);
    let wanted = ["behaviour.night", "behaviour.day", "amount_fen=3", "kind=", "kind=claim"];
    let missing = features.definitions(&wanted).unwrap_err();
    assert_eq!(missing, ["behaviour.day", "amount_fen=3", "kind="]);
    let [claim, send] = ["kind=claim", "kind=send"].map(|name| features.definition(name));
    assert_ne!(claim, send);
}

#[test]
fn the_hash_of_the_catalogue_is_that_of_all_definitions() {
    let hash = |declared: &str| features(declared, POLICY, CONDITIONS).catalogue_hash();
    assert_eq!(hash(BASE), hash(BASE));
    assert_ne!(hash(BASE), hash(&format!("{BASE}\n[behaviour.new]\nexpr = 'amount_fen'\n")));
}
