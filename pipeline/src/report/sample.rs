//! A made-up run for the tests of reports: two weeks around New Year's Eve, with a few schemes
//! among honest traffic, hostile names included.

use super::{
    BreachFact, ChangeFact, Counts, HubFact, InputFact, ModelFact, NamedCount, RejectCount,
    RunFacts, TextExample, TrainingFact, TrainingPart, WarmingFact,
};
use crate::event::Raw;
use crate::judge::{
    Judge, JudgeOptions, Judged, JudgedRule, Judgement, Labels, LabelsBuilder, WayDecision,
    WayDecisions,
};
use crate::rules::file::Status;
use crate::score::Verdict;
use crate::source::order::OnDisk;

/// 2024-02-03T00:00:00+08:00.
const START: i64 = 1_706_889_600_000;
const SPAN: i64 = 14 * 86_400_000;
const ACCOUNTS: u64 = 400;
/// Accounts below this number belong to a scheme.
const FRAUDS: u64 = 12;
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\u{202e}\x1b[31m";

/// Live rules, and then what is not live.
const RULES: [(&str, &str, &str, i64); 12] = [
    ("many-groups-one-collector", "Many groups, one collector", "多群归集", 400),
    ("frequent-send-and-receive", "Frequent send and receive", "频繁收发", 250),
    ("sudden-amount-change", "Sudden change of amount", "金额突变", 300),
    ("gambling-words", "Gambling words in the memo", "备注含赌博用语", 350),
    ("many-accounts-one-device", "Many accounts on one device", "一机多号", 450),
    ("night-burst", "A burst at night", "深夜突发", 150),
    ("fast-in-fast-out", "Money in, money out", "快进快出", 300),
    ("never-hits", "Never hits", "从不命中", 900),
    ("shared-ip", "One address, many accounts", "同一地址多账户", 100),
    ("quiet-ip", "An address that was never seen", "从未出现的地址", 100),
    ("half-written", "Half written", "尚未写完", 100),
    ("given-up", "Given up", "已停用", 100),
];
const STATUSES: [Status; 12] = {
    let mut statuses = [Status::Live; 12];
    statuses[8] = Status::Shadow;
    statuses[9] = Status::Shadow;
    statuses[10] = Status::Draft;
    statuses[11] = Status::Retired;
    statuses
};

fn rules() -> Vec<JudgedRule> {
    let rule = |((id, title, title_zh, score), status): (&(&str, &str, &str, i64), _)| JudgedRule {
        id: (*id).to_owned(),
        title: (*title).to_owned(),
        title_zh: (*title_zh).to_owned(),
        score: *score,
        status,
    };
    RULES.iter().zip(STATUSES).map(rule).collect()
}

fn score(hits: &[u16]) -> i64 {
    hits.iter().map(|&rule| RULES[usize::from(rule)].3).sum::<i64>().min(1000)
}

fn decide(hits: &[u16]) -> Verdict {
    banded(score(hits))
}

/// One transaction of the sample.
struct Transaction {
    id: String,
    account: String,
    time: i64,
    amount_fen: i64,
    hits: Vec<u16>,
    fraud: bool,
}

fn transactions(count: u64) -> Vec<Transaction> {
    let mut draw = Sequence(7);
    let transaction = |event: u64| {
        let account = if draw.below(100) < 3 { draw.below(FRAUDS) } else { draw.below(ACCOUNTS) };
        let fraud = account < FRAUDS && draw.below(4) > 0;
        // The honest rarely hit anything, and more on New Year's Eve, the eighth day.
        let festival = event * 14 / count == 7;
        let odds = if fraud {
            45
        } else if festival {
            4
        } else {
            1
        };
        let hits = (0..7).filter(|rule| draw.below(100 + 30 * rule) < odds);
        Transaction {
            hits: hits.map(|rule| rule as u16).collect(),
            id: format!("e{event}"),
            account: if account == 3 { HOSTILE.to_owned() } else { format!("u{account}") },
            time: START + SPAN / count as i64 * event as i64,
            amount_fen: (1 + draw.below(20_000) * (1 + draw.below(20)) / 10) as i64,
            fraud,
        }
    };
    (0..count).map(transaction).collect()
}

fn labels(transactions: &[Transaction]) -> Labels {
    let mut builder = LabelsBuilder::default();
    let mut push = |kind: &str, id: &str, typology: &str, role: &str, from: i64| {
        let row = [kind, id, "fraud", typology, role].map(Raw::Cell);
        let [kind, id, label, typology, role] = row;
        builder.push([kind, id, label, typology, role, Raw::Null, Raw::Int(from)], 0, None);
    };
    let typology = |at: usize| ["gambling group", "collection ring", HOSTILE][at % 3];
    for account in 0..FRAUDS as usize {
        let role = if account < 4 { "organiser" } else { "mule" };
        push("account", &format!("u{account}"), typology(account), role, START + 3_600_000);
    }
    push("account", HOSTILE, "collection ring", "mule", START);
    for transaction in transactions.iter().filter(|transaction| transaction.fraud) {
        let at = transaction.account.len() + transaction.account.as_bytes()[1] as usize;
        push("event", &transaction.id, typology(at), "", transaction.time - 60_000);
    }
    builder.finish().unwrap_or_else(|bad| panic!("{bad:?}"))
}

/// A fixed sequence of numbers, so that the sample is always the same.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// A run of that many transactions.
pub(crate) fn run(count: u64, labelled: bool) -> (RunFacts, Judgement) {
    let transactions = transactions(count);
    let redecide = Box::new(|_: &Judged<'_>, hits: &[u16]| decide(hits));
    let labels = labelled.then(|| labels(&transactions));
    let mut judge = Judge::new(labels, rules(), JudgeOptions::default(), redecide);
    for transaction in &transactions {
        judge.observe(&Judged {
            event_id: &transaction.id,
            event_time: transaction.time,
            account_id: &transaction.account,
            group_id: "",
            amount_fen: transaction.amount_fen,
            decision: decide(&transaction.hits),
            floor: Verdict::Allow,
            score: score(&transaction.hits),
            hits: &transaction.hits,
            epoch: 0,
            ways: Some(ways(transaction)),
        });
    }
    (facts(count), judge.finish())
}

/// A model that sees most of what is fraud, and a challenger that sees less.
fn ways(transaction: &Transaction) -> WayDecisions {
    let Transaction { fraud, amount_fen, hits, .. } = transaction;
    let draw = amount_fen * 7 % 400;
    let model = if *fraud && amount_fen % 9 > 0 { 600 + draw } else { draw * draw / 400 };
    let at = |score: i64| WayDecision { verdict: banded(score), score };
    WayDecisions {
        model_score: (amount_fen % 501 > 0).then_some(model),
        rules: at(score(hits)),
        model: at(model),
        both: at(score(hits).max(model)),
        challenger: Some(at(score(hits).max(model * 2 / 3))),
    }
}

fn banded(score: i64) -> Verdict {
    match score {
        850.. => Verdict::Block,
        600.. => Verdict::Hold,
        300.. => Verdict::Review,
        _ => Verdict::Allow,
    }
}

fn model(name: &str) -> ModelFact {
    let part = |name: &str, rows, fraud, day: i64| TrainingPart {
        name: name.to_owned(),
        rows,
        fraud,
        first: Some(START - (40 - day) * 86_400_000),
        last: Some(START - (30 - day) * 86_400_000),
    };
    ModelFact {
        path: format!("models/{name}{HOSTILE}"),
        hash: "07c1a5be39f2c41d".repeat(4),
        name: name.to_owned(),
        kind: "boosting".to_owned(),
        scale: "log_odds".to_owned(),
        inputs: 141,
        blend: "joint".to_owned(),
        weight: 100,
        at_least: 0,
        at_least_per_mille: Some(0),
        training: Some(TrainingFact {
            data: "out/january".to_owned(),
            parts: vec![part("train", 70_000, 900, 0), part("test", 20_000, 260, 20)],
            auc: Some([981, 975, 986]),
            average_precision: Some([803, 771, 829]),
            important: vec!["funds.payee.fan_in_24h".to_owned(), HOSTILE.to_owned()],
        }),
    }
}

fn facts(transactions: u64) -> RunFacts {
    let named = |name: &str, count| NamedCount { name: name.to_owned(), count };
    RunFacts {
        version: "0.1.0".to_owned(),
        inputs: vec![InputFact {
            name: format!("fixtures/{HOSTILE}.csv"),
            hash: "9f2c41d07c1a5be3".repeat(4),
        }],
        rules_hash: "5be39f2c41d07c1a".repeat(4),
        model_hash: None,
        model: Some(model("spring")),
        challenger: Some(model("summer")),
        decisions_digest: "41d07c1a5be39f2c".repeat(4),
        counts: Counts {
            read: transactions * 3 / 2 + 11,
            decided: transactions,
            applied: transactions * 3 / 2 - transactions,
            rejected: 7,
            duplicates: 4,
        },
        rejects: vec![
            RejectCount {
                code: "out_of_bounds".to_owned(),
                count: 5,
                example: format!("line 17: play is {HOSTILE}"),
            },
            RejectCount {
                code: "malformed".to_owned(),
                count: 2,
                example: "line 904: unexpected end of record".to_owned(),
            },
        ],
        features: vec!["funds.payee.fan_in_24h".to_owned(), "devices.accounts_24h".to_owned()],
        not_evaluable: vec![named("many-accounts-one-device", 31)],
        shadow_hits: vec![named("shared-ip", 12)],
        texts: vec![TextExample {
            rule: "gambling-words".to_owned(),
            event_id: "e7".to_owned(),
            decision: "hold".to_owned(),
            score: 650,
            pieces: vec![(HOSTILE.to_owned(), false), (format!("扫雷{HOSTILE}"), true)],
            phrases: vec![("扫雷".to_owned(), "gambling".to_owned())],
            reason: format!("one phrase {HOSTILE}"),
        }],
        breaches: vec![BreachFact {
            finding: "refund_short".to_owned(),
            kind: "refund".to_owned(),
            count: 4,
            first: vec!["e12".to_owned(), HOSTILE.to_owned()],
        }],
        hubs: vec![HubFact { link: "ip".to_owned(), limit: 50, times: 3, accounts_max: 812 }],
        sorted_on_disk: Some(OnDisk { events: transactions, runs: 3, bytes: 5_000_000 }),
        entity_verdicts: vec![named("account restricted", 9), named("group banned", 1)],
        changes: vec![ChangeFact {
            effective_time: START,
            rules: format!("rules-2{HOSTILE}"),
            rules_hash: "c41d07c1a5be39f2".repeat(4),
            warming: vec![WarmingFact {
                feature: "funds.payee.fan_in_24h".to_owned(),
                until: START + 86_400_000,
            }],
            ..ChangeFact::default()
        }],
        ..RunFacts::default()
    }
}
