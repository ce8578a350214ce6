//! The closed loop is held to the engine's ledger, to a backtest of its own events, and to its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::dataflow::Options;
use crate::diagnostic::Lang;
use crate::event::Kind;
use crate::run::{self, Events, ModelPaths, Request, SORT_MEMORY};
use crate::simulate::figures::DAY;
use crate::simulate::{live, run_with_rules};

/// A village in which two rings play by the book for some days.
const VILLAGE: &str = r#"
title = "a village with two rings"
start = "2024-03-01"
days = 4
accounts = 200
difficulty = "easy"
groups = { family = 20, interest = 3, business = 3, stranger = 2 }

[[ring]]
typology = "gambling-mine"
count = 1
[[ring]]
typology = "gambling-banker"
count = 1
"#;

/// Clusters among the features, and verdicts that are floors: the whole of what a session decides by.
const ENFORCED: &str = r#"
[verdicts.account]
enforce = true
[verdicts.group]
enforce = true
"#;
const ALL_KINDS: &str = "on = ['send', 'claim', 'transfer', 'withdraw']";

fn village(reactions: &str) -> Scenario {
    let text = format!("{VILLAGE}[reactions]\n{reactions}");
    Scenario::parse(Path::new("village.toml"), &text).unwrap_or_else(|_| panic!("{text}"))
}

/// A rules directory of rules of one line each.
fn rules(dir: &Path, policy: &str, rules: &[(&str, &str)]) -> PathBuf {
    let dir = dir.join("rules");
    fs::create_dir_all(dir.join("funds")).unwrap();
    fs::write(dir.join("policy.toml"), policy).unwrap();
    for (id, rule) in rules {
        let text = format!("title = '{id}'\nstatus = 'live'\nreason = 'r'\n{rule}\n");
        fs::write(dir.join(format!("funds/{id}.toml")), text).unwrap();
    }
    dir
}

fn sound<T>(done: Result<T, Failure>) -> T {
    done.unwrap_or_else(|failure| panic!("{}", failure.render(Lang::En, false)))
}

/// The world at the end of its days with rules at work in it, all that happened, and what came of
/// it.
fn lived(scenario: &Scenario, policy: &str, which: &[(&str, &str)]) -> (World, Vec<Event>, Ended) {
    let dir = tempfile::tempdir().unwrap();
    let rules = rules(dir.path(), policy, which);
    let closed = sound(Closed::new((&rules, &alone()), scenario, 1, Arc::default()));
    let mut events = Vec::new();
    let mut world = sound(live(scenario, 1, Some(Box::new(closed)), |batch| events.extend(batch)));
    let closed = world.closed.take().unwrap();
    let ended = sound(closed.finish(&world));
    (world, events, ended)
}

/// No model.
fn alone() -> ModelPaths {
    ModelPaths::default()
}

fn backtest(dir: &Path, (rules, models): (&Path, &ModelPaths), options: Options) -> String {
    let request = Request {
        events: Events::Files { paths: vec![dir.join("events.parquet")], maps: Vec::new() },
        pseudonyms: None,
        labels: None,
        rules: Some(rules.to_owned()),
        models: models.clone(),
        out: dir.join("again"),
        options,
        warmup: 0,
        rejects_max: Some(0),
        sort_memory: SORT_MEMORY,
        place: None,
    };
    sound(run::run(&request, &(), Arc::default())).facts.decisions_digest
}

/// The one promise: what settled the money is what a backtest of the events decides, however it is
/// cut up; and another rule does not decide like that.
#[test]
fn a_backtest_decides_what_the_loop_decided() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let dir = tempfile::tempdir().unwrap();
    let from = |yuan: i64| format!("{ALL_KINDS}\nwhen = 'amount_fen >= yuan({yuan})'\nscore = 700");
    let own = rules(dir.path(), ENFORCED, &[("large", &from(40))]);
    let other = tempfile::tempdir().unwrap();
    let other = rules(other.path(), ENFORCED, &[("large", &from(90))]);
    for rules in [&shipped, &own] {
        let out = dir.path().join("out");
        let ended =
            sound(run_with_rules(&village(""), 1, (rules, &alone()), &out, &Arc::default()));
        let digest = ended.digest.to_hex();
        let cut = Options { workers: 3, tick: 7_000, batch: 50, sorted: true };
        assert_eq!(backtest(&out, (rules, &alone()), cut), digest.as_str());
        let run = fs::read_to_string(out.join("run/run.toml")).unwrap();
        assert!(run.contains(digest.as_str()), "the run directory is of these decisions");
        if rules == &own {
            assert!(ended.report.honest.held.transactions > 0);
            assert_ne!(backtest(&out, (&other, &alone()), cut), digest.as_str());
        }
    }
}

/// A model decides with the rules, by the policy's blend: here it alone, for there is no rule.
#[test]
fn a_model_decides_in_the_loop_as_in_a_backtest() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "[features]\ncolumns = 'used'\n[model]\nblend = 'max'\nat_least = 0\n";
    let rules = rules(dir.path(), policy, &[]);
    let model = large_amounts(dir.path());
    let models = ModelPaths { champion: Some(model), challenger: None };
    let out = dir.path().join("out");
    let ended = sound(run_with_rules(&village(""), 1, (&rules, &models), &out, &Arc::default()));
    let digest = ended.digest.to_hex();
    let cut = Options { workers: 2, tick: 7_000, batch: 50, sorted: true };
    assert_eq!(backtest(&out, (&rules, &models), cut), digest.as_str());
    assert_ne!(backtest(&out, (&rules, &alone()), cut), digest.as_str());
    let (.., nobody) = lived(&village(""), policy, &[]);
    assert_eq!(nobody.report.honest.blocked.transactions, 0);
    assert!(ended.report.honest.blocked.transactions > 0, "people meet the model's decisions");
    let run = fs::read_to_string(out.join("run/run.toml")).unwrap();
    assert!(run.contains("model_hash"), "the run directory is of these decisions");

    let models = ModelPaths { champion: Some(dir.path().join("none")), challenger: None };
    let Err(refused) = Closed::new((&rules, &models), &village(""), 1, Arc::default()) else {
        panic!("there is no such model")
    };
    let said = refused.render(Lang::En, false);
    assert!(said.contains("cannot use the model"), "{said}");
}

/// A model that is sure of fraud from 40 yuan on, in a directory.
fn large_amounts(dir: &Path) -> PathBuf {
    use models::{Column, Identity, Table, TrainConfig, Work, train};
    let amounts = (0..2000).map(|row| row * 7919 % 20_000);
    let column = Column::new("amount_fen", amounts.clone().map(|fen| Some(f64::from(fen))));
    let labels = amounts.map(|fen| fen >= 4_000).collect();
    let table =
        Table::new(vec![column.of_kind(models::Kind::Integer)], labels, (0..2000).collect());
    let config = r#"{"model": {"kind": "tree"}, "calibration": {"method": "none"}}"#;
    let config: TrainConfig = serde_json::from_str(config).unwrap();
    let identity = Identity { name: "large", catalogue_hash: "" };
    let trained = train(&table.unwrap(), &config, identity, Work::default()).unwrap();
    trained.model.save(&dir.join("large")).unwrap();
    dir.join("large")
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let rule = format!("{ALL_KINDS}\nwhen = 'amount_fen % 7 == 3'\nscore = 1000");
    let rules = rules(dir.path(), "", &[("sevens", &rule)]);
    let written = |seed| {
        let out = dir.path().join("out");
        sound(run_with_rules(&village(""), seed, (&rules, &alone()), &out, &Arc::default()));
        ["events.parquet", "labels.parquet", "loop.json", "run/log/blocks.jsonl"]
            .map(|name| blake3::hash(&fs::read(out.join(name)).unwrap()))
    };
    let first = written(1);
    assert_eq!(first, written(1));
    assert!(written(2).iter().zip(first).all(|(other, first)| *other != first));
}

/// What everybody owns at the end by the events alone, where `stopped` says which transactions came
/// to nothing.
fn purses(events: &[Event], stopped: impl Fn(&Event) -> bool) -> BTreeMap<Account, i64> {
    let mut purses: BTreeMap<Account, i64> = BTreeMap::new();
    for event in events {
        let (Some(account), Some(fen)) = (event.account, event.amount_fen) else { continue };
        if event.kind.is_transaction() && stopped(event) {
            continue;
        }
        let own = if event.funding == "bank" { 0 } else { fen };
        *purses.entry(account).or_default() += match event.kind {
            Kind::Topup | Kind::Refund | Kind::Claim => fen,
            Kind::Send | Kind::Transfer | Kind::Withdraw => -own,
            _ => 0,
        };
        if let (Kind::Transfer, Some(payee)) = (event.kind, event.counterparty) {
            *purses.entry(payee).or_default() += fen;
        }
    }
    purses
}

/// The rule goes by the amount alone, so the test knows without any decision what was blocked.
#[test]
fn what_is_blocked_never_arrives() {
    let rule = format!("{ALL_KINDS}\nwhen = 'amount_fen % 7 == 3'\nscore = 1000");
    let (world, events, ended) = lived(&village(""), "", &[("sevens", &rule)]);
    let blocked = |event: &Event| event.amount_fen.is_some_and(|fen| fen % 7 == 3);
    let owned = |account: &Account| {
        let wallet = world.bank.engine.wallet(world.names.account(*account).as_str());
        wallet.map_or(0, |wallet| {
            assert_eq!((wallet.reserved.0, wallet.held.0), (0, 0), "nothing waits any more");
            (wallet.change.0 + wallet.lingqiantong.0) as i64
        })
    };
    let accounts: Vec<Account> = (0..world.people.len() as u32).map(Account).collect();
    let in_engine: Vec<i64> = accounts.iter().map(owned).collect();
    let of = |purses: BTreeMap<Account, i64>| -> Vec<i64> {
        accounts.iter().map(|account| purses.get(account).copied().unwrap_or(0)).collect()
    };
    assert_eq!(of(purses(&events, blocked)), in_engine);
    assert_ne!(of(purses(&events, |_| false)), in_engine, "else nothing would have been blocked");
    let never: BTreeSet<u32> = events
        .iter()
        .filter(|event| event.kind == Kind::Send && blocked(event))
        .filter_map(|event| event.packet)
        .collect();
    assert!(never.len() > 10, "{}", never.len());
    let touched = |event: &&Event| {
        event.kind != Kind::Send && event.packet.is_some_and(|packet| never.contains(&packet))
    };
    assert!(!events.iter().any(|event| touched(&event)), "a packet that was blocked never opens");
    let fen = |kept: &dyn Fn(&Event) -> bool| -> i64 {
        events.iter().filter(|event| kept(event)).filter_map(|event| event.amount_fen).sum()
    };
    let honest = &ended.report.honest;
    let rings: Flow = ended.report.typologies.values().fold(Flow::default(), |mut sum, money| {
        sum.stopped.fen += money.all.stopped.fen;
        sum.moved.fen += money.all.moved.fen;
        sum
    });
    let is_blocked = |event: &Event| event.kind.is_transaction() && blocked(event);
    assert_eq!(honest.blocked.fen + rings.stopped.fen, fen(&is_blocked));
    // What went through, each yuan once: a share is money of its packet, unless the one is of a
    // fraud and the other is not.
    let fraud = |event: &Event| {
        let scheme = event.scheme.map(|scheme| world.scheme(scheme));
        scheme.filter(|scheme| scheme.fraud).map(|scheme| scheme.name)
    };
    let sent: BTreeMap<u32, Option<&str>> = events
        .iter()
        .filter(|event| event.kind == Kind::Send)
        .filter_map(|event| Some((event.packet?, fraud(event))))
        .collect();
    let share = |event: &Event| {
        event.kind == Kind::Claim && event.packet.is_some_and(|at| sent[&at] == fraud(event))
    };
    let goes = |event: &Event| event.kind.is_transaction() && !blocked(event) && !share(event);
    let stopped_share = |event: &Event| blocked(event) && share(event);
    let through = honest.attempted.fen - honest.blocked.fen + rings.moved.fen;
    assert_eq!(through, fen(&goes) - fen(&stopped_share));
    for RingMoney { all, .. } in ended.report.typologies.values() {
        assert_eq!(all.attempted.fen, all.stopped.fen + all.moved.fen, "nothing was held");
        assert!(all.attempted.transactions > 0 && all.moved.fen >= 0);
    }
}

/// What was lived until an interruption is what would have been lived without it.
#[test]
fn an_interrupted_world_has_lived_a_part_of_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let rule = format!("{ALL_KINDS}\nwhen = 'amount_fen % 7 == 3'\nscore = 1000");
    let rules = rules(dir.path(), "", &[("sevens", &rule)]);
    let scenario = village("");
    let (_, all, whole) = lived(&scenario, "", &[("sevens", &rule)]);
    assert_eq!((whole.interrupted_at, &whole.json()["partial"]), (None, &false.into()));

    let interrupted = Arc::new(AtomicBool::new(false));
    let closed = sound(Closed::new((&rules, &alone()), &scenario, 1, interrupted.clone()));
    let (sender, batches) = std::sync::mpsc::sync_channel(64);
    let mut world = World::new(&scenario, 1, Some(Box::new(closed)), sender);
    crate::simulate::society::settle(&mut world, &scenario);
    crate::simulate::negatives::plan(&mut world, &scenario).unwrap();
    crate::simulate::fraud::plan(&mut world, &scenario).unwrap();
    crate::simulate::life::begin(&mut world, &scenario);
    let noon = world.start + DAY + DAY / 2;
    world.at(noon, move |_| interrupted.store(true, Ordering::Relaxed));
    world.run();
    let some: Vec<Event> = batches.into_iter().flatten().collect();
    let closed = world.closed.take().unwrap();
    let ended = sound(closed.finish(&world));
    assert_eq!(ended.interrupted_at, Some(noon));
    assert!(some.len() > 100 && some.len() < all.len());
    let lines = |events: &[Event]| -> Vec<String> {
        events.iter().map(|event| format!("{event:?}")).collect()
    };
    assert_eq!(lines(&some), lines(&all[..some.len()]));
    assert!(some.last().is_some_and(|last| last.time <= noon + TICK), "and nothing after it");
    assert!(all[some.len()].time >= noon, "and all before it");
    let text = terminal(&ended, Lang::En);
    assert!(text.contains("partial") && ended.json()["partial"] == true, "{text}");
}

/// Who interrupts has what was lived on disk, and no run directory that tells of something else.
#[test]
fn what_an_interrupted_loop_leaves_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let rules = rules(dir.path(), "", &[]);
    let out = dir.path().join("out");
    let interrupted = Arc::new(AtomicBool::new(true));
    let ended = sound(run_with_rules(&village(""), 1, (&rules, &alone()), &out, &interrupted));
    assert!(ended.interrupted_at.is_some());
    let told = fs::read_to_string(out.join("loop.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["partial"], true);
    assert!(out.join("events.parquet").exists() && out.join("labels.parquet").exists());
    assert!(!out.join("run").exists());
}

/// What a loop left in a directory is not left beside the events of another world; what somebody else
/// put there is.
#[test]
fn nothing_of_an_earlier_world_stays() {
    let dir = tempfile::tempdir().unwrap();
    let rules = rules(dir.path(), "", &[]);
    let out = dir.path().join("out");
    let never = Arc::default();
    sound(run_with_rules(&village(""), 1, (&rules, &alone()), &out, &never));
    fs::write(out.join("notes.txt"), "mine").unwrap();
    assert!(out.join("run").exists() && out.join("loop.json").exists());
    sound(crate::simulate::command(&village(""), 2, &out));
    let left = ["run", "loop.json", "notes.txt"].map(|name| out.join(name).exists());
    assert_eq!(left, [false, false, true]);
    fs::create_dir(out.join("run")).unwrap();
    sound(crate::simulate::command(&village(""), 3, &out));
    assert!(out.join("run").exists(), "no loop has made it");
}

/// No packet is claimed before its sending was decided, a tick at most after it, and no transaction
/// is later than the decision for which it waited.
#[test]
fn what_is_sent_waits_for_its_decision() {
    let (_, events, _) = lived(&village(""), "", &[]);
    let sent: BTreeMap<u32, i64> = events
        .iter()
        .filter(|event| event.kind == Kind::Send)
        .filter_map(|event| Some((event.packet?, event.time)))
        .collect();
    let claims = events.iter().filter(|event| event.kind == Kind::Claim);
    let mut count = 0;
    for claim in claims {
        let decided = (sent[&claim.packet.unwrap()].div_euclid(TICK) + 1) * TICK;
        assert!(claim.time > decided, "{claim:?}");
        count += 1;
    }
    assert!(count > 1_000, "{count}");
}

#[test]
fn a_ring_that_is_blocked_moves_with_the_same_people() {
    // The house of the mine group sends 50 yuan and more, and hardly anybody else does in a group.
    let rule = "on = ['send']\nwhen = 'amount_fen >= yuan(50) && has(group_id)'\nscore = 1000";
    let (world, events, ended) = lived(&village(""), "", &[("large", rule)]);
    let mine = |scheme: Option<SchemeId>| {
        scheme.is_some_and(|scheme| world.scheme(scheme).name == "gambling-mine")
    };
    let groups: Vec<u32> = (0..world.groups.len() as u32)
        .filter(|at| mine(world.groups[*at as usize].scheme))
        .collect();
    assert!(groups.len() >= 2, "a new group was opened");
    let of = |at: u32| &world.groups[at as usize];
    let people = |at: u32| -> BTreeSet<Account> {
        let members = of(at).members.iter().map(|member| member.account);
        members.filter(|account| !world.person(*account).ringed).collect()
    };
    let (first, second) = (groups[0], groups[1]);
    assert_eq!(of(first).name, of(second).name);
    assert_eq!(people(first), people(second), "those who play go along");
    let sends = |at: u32| -> Vec<&Event> {
        let here = |event: &&Event| event.kind == Kind::Send && event.group == Some(Group(at));
        events.iter().filter(here).collect()
    };
    assert!(!sends(first).is_empty() && !sends(second).is_empty());
    let last = sends(first).last().map(|event| event.time);
    assert!(sends(second).iter().all(|event| Some(event.time) > last), "the old one is left");
    let money = ended.report.typologies["gambling-mine"];
    assert_eq!((money.rings, money.rings_moved), (1, 1));
    assert!(money.all.stopped.fen > 0 && money.after_moving.attempted.fen > 0);
    let Flow { attempted, stopped, moved } = money.after_moving;
    assert_eq!(attempted.fen, stopped.fen + moved.fen);
    assert!(ended.report.groups_opened > 0 && ended.report.accounts_bought > 0);
    let new = groups.iter().flat_map(|at| &of(*at).members).filter(|member| {
        events.iter().any(|event| {
            event.kind == Kind::Account
                && event.account == Some(member.account)
                && event.time > world.start + DAY
        })
    });
    assert!(new.count() > 0, "an account that the stream gets to know only then");
}

#[test]
fn a_ring_that_is_left_alone_stays() {
    let (world, _, ended) = lived(&village(""), "", &[]);
    let report = &ended.report;
    assert_eq!((report.groups_opened, report.accounts_bought), (0, 0));
    for money in report.typologies.values() {
        assert_eq!(money.rings_moved, 0);
        assert_eq!((money.all.stopped, money.all.attempted), (Money::default(), money.all.moved));
        assert!(money.all.moved.fen > 0);
    }
    assert_eq!(report.honest.people, 0);
    assert_eq!(world.groups.iter().filter(|info| info.scheme.is_some()).count(), 10);
}

/// A ring that is stopped wherever it goes gives up.
#[test]
fn a_ring_gives_up_when_it_has_moved_often_enough() {
    let rule = format!("{ALL_KINDS}\nwhen = 'amount_fen >= 0'\nscore = 1000");
    let reactions = "ring_moves_max = 1\nring_patience = 1\nring_moves_minutes = 1";
    let (_, _, ended) = lived(&village(reactions), "", &[("all", &rule)]);
    for money in ended.report.typologies.values() {
        assert_eq!((money.rings_moved, money.rings_given_up), (1, 1));
        assert_eq!(money.all.moved, Money::default());
    }
}

#[test]
fn honest_people_try_once_more_or_give_up_and_remember() {
    let rule = "on = ['transfer']\nwhen = 'amount_fen >= yuan(50)'\nscore = 1000";
    let honest =
        |reactions: &str| lived(&village(reactions), "", &[("large", rule)]).2.report.honest;
    let patient = honest("retry_permille = 1000");
    // Whoever tries again is blocked again, by a rule that goes by the amount.
    assert!(patient.retried > 0 && patient.retried_through == 0, "{patient:?}");
    assert!(patient.blocked.transactions > patient.gave_up.transactions);
    let proud = honest("retry_permille = 0");
    assert_eq!((proud.retried, proud.blocked), (0, proud.gave_up));
    assert!(proud.forgone.transactions > 0);
    let forgetful = honest("retry_permille = 0\nshun_days = 0");
    assert_eq!(forgetful.forgone, Money::default());
}

#[test]
fn the_desk_ends_holds_by_what_is_true_and_time_ends_the_rest() {
    let rule = "on = ['transfer']\nwhen = 'amount_fen >= yuan(50)'\nfloor = 'hold'\nscore = 1";
    let report = |reactions: &str| lived(&village(reactions), "", &[("large", rule)]).2.report;
    let able = report("desk_a_day = 10000\ndesk_errors_permille = 0");
    assert!(able.desk.looked_at > 10 && able.desk.mistakes == 0, "{:?}", able.desk);
    assert!(able.honest.held.transactions > 0 && able.honest.hours_waited_median > Some(0.0));
    // The desk works until nothing waits, also after the last day, and is never wrong.
    assert_eq!((able.desk.ran_out, able.honest.returned), (0, Money::default()));
    let banker = able.typologies["gambling-banker"].all;
    assert!(banker.stopped.fen > 0);
    assert_eq!(banker.attempted.fen, banker.stopped.fen + banker.moved.fen);
    let asleep = report("desk_a_day = 0\nhold_hours = 5");
    assert_eq!((asleep.desk.looked_at, asleep.honest.returned), (0, asleep.honest.held));
    assert_eq!(asleep.honest.hours_waited_median, Some(5.0));
    let wrong = report("desk_a_day = 10000\ndesk_errors_permille = 1000");
    assert_eq!(wrong.desk.mistakes, wrong.desk.looked_at);
    assert!(wrong.honest.returned.transactions > able.honest.returned.transactions);
}
