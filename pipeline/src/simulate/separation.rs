//! How well any one simple quantity tells fraud from honest life: a test of the generator. Where
//! one quantity tells it all, rules need not be good to look good.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::figures::{DAY, HOUR};
use super::world::{Account, Event, World};
use super::*;
use crate::event::Kind;

/// Two weeks with all typologies and look-alikes, as in `fixtures/populations/small.toml` but fewer
/// people.
fn scenario(difficulty: Difficulty) -> Scenario {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/populations");
    let mut scenario = Scenario::read(&fixtures.join("small.toml"), Some(difficulty)).unwrap();
    scenario.accounts /= 2;
    for count in &mut scenario.groups {
        *count /= 2;
    }
    scenario
}

/// The area under the curve of a quantity: how likely it is larger for a fraud than for something
/// honest; turned round where it is smaller, because a rule can ask for either.
fn auc(values: &[(f64, bool)]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let frauds = values.iter().filter(|value| value.1).count() as f64;
    let honest = values.len() as f64 - frauds;
    let (mut below, mut pairs) = (0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let fraud = equal.iter().filter(|value| value.1).count() as f64;
        let others = equal.len() as f64 - fraud;
        pairs += fraud * (below + others / 2.0);
        below += others;
    }
    let area = pairs / (frauds * honest);
    area.max(1.0 - area)
}

#[test]
fn the_area_is_the_share_of_pairs_in_order() {
    let values = [(1.0, false), (2.0, true), (2.0, false), (3.0, true)];
    // Of four pairs three are in order and one is a tie.
    assert_eq!(auc(&values), 0.875);
}

/// Quantities by name, of accounts or of transactions of a kind.
type Quantities = BTreeMap<&'static str, Vec<(f64, bool)>>;

/// What is known of one account in the end.
#[derive(Default)]
struct Known {
    acts: usize,
    nights: usize,
    claims: usize,
    claimed: i64,
    latencies: Vec<i64>,
    sent: usize,
    received: i64,
    spent: i64,
    payers: BTreeSet<Account>,
    payees: BTreeSet<Account>,
    groups: BTreeSet<u32>,
    hours: BTreeMap<i64, usize>,
    days: BTreeSet<i64>,
    last_in: Option<i64>,
    dwells: Vec<i64>,
}

fn accounts(world: &World, events: &[Event]) -> Quantities {
    let mut known: BTreeMap<Account, Known> = BTreeMap::new();
    let mut sent: BTreeMap<u32, i64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind.is_transaction()) {
        let (Some(account), Some(fen)) = (event.account, event.amount_fen) else { continue };
        let since = event.time - world.start;
        let one = known.entry(account).or_default();
        one.acts += 1;
        one.nights += usize::from((since % DAY) < 6 * HOUR);
        *one.hours.entry(since / HOUR).or_default() += usize::from(event.kind == Kind::Claim);
        one.days.insert(since / DAY);
        one.groups.extend(event.group.map(|group| group.0));
        match event.kind {
            Kind::Send => {
                one.sent += 1;
                one.spent += fen;
                sent.extend(event.packet.map(|packet| (packet, event.time)));
            }
            Kind::Claim => {
                one.claims += 1;
                one.claimed += fen;
                one.received += fen;
                one.last_in = Some(event.time);
                one.payers.extend(event.counterparty);
                let at = event.packet.and_then(|packet| sent.get(&packet)).copied();
                one.latencies.extend(at.map(|at| event.time - at));
            }
            _ => {
                one.spent += fen;
                one.dwells.extend(one.last_in.map(|last| event.time - last));
                one.payees.extend(event.counterparty);
                if let Some(payee) = event.counterparty {
                    let other = known.entry(payee).or_default();
                    other.received += fen;
                    other.payers.insert(account);
                    other.last_in = Some(event.time);
                }
            }
        }
    }
    let mut devices: BTreeMap<u32, usize> = BTreeMap::new();
    for account in known.keys() {
        *devices.entry(world.person(*account).device).or_default() += 1;
    }
    let frauds: BTreeSet<Account> = world
        .schemes
        .iter()
        .flat_map(|scheme| &scheme.roles)
        .filter(|(_, _, guilty)| *guilty)
        .map(|(account, ..)| *account)
        .collect();
    let mut quantities = Quantities::new();
    for (account, one) in &known {
        let person = world.person(*account);
        let per = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let share = |part: i64, whole: i64| part as f64 / whole.max(1) as f64;
        for (name, value) in [
            ("transactions a day", per(one.acts, one.days.len())),
            ("share by night", per(one.nights, one.acts)),
            ("claims", one.claims as f64),
            ("claims in the busiest hour", one.hours.values().max().map_or(0.0, |n| *n as f64)),
            ("mean claim", share(one.claimed, one.claims as i64)),
            ("median claim latency", median(&one.latencies)),
            ("packets sent", one.sent as f64),
            ("received", one.received as f64),
            ("spent", one.spent as f64),
            ("spent of received", share(one.spent, one.received)),
            ("median dwell", median(&one.dwells)),
            ("payers", one.payers.len() as f64),
            ("payees", one.payees.len() as f64),
            ("groups", one.groups.len() as f64),
            ("active days", one.days.len() as f64),
            ("accounts on the device", devices[&person.device] as f64),
            ("age of the account", (world.start - person.registered_at) as f64),
            ("verified", f64::from(u8::from(person.verified))),
        ] {
            quantities.entry(name).or_default().push((value, frauds.contains(account)));
        }
    }
    quantities
}

fn median(values: &[i64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).map_or(0.0, |value| *value as f64)
}

fn transactions(world: &World, events: &[Event], kinds: &[Kind]) -> Quantities {
    let mut quantities = Quantities::new();
    let mut sent: BTreeMap<u32, i64> = BTreeMap::new();
    let mut before: BTreeMap<Account, i64> = BTreeMap::new();
    let mut paid: BTreeMap<Account, (i64, i64)> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind.is_transaction()) {
        let (Some(account), Some(fen)) = (event.account, event.amount_fen) else { continue };
        if let (Kind::Send, Some(packet)) = (event.kind, event.packet) {
            sent.insert(packet, event.time);
        }
        let last = before.insert(account, event.time);
        let busy = event.counterparty.map_or(0, |payee| {
            // Payments to this one within the hour.
            let (since, count) = paid.entry(payee).or_insert((event.time, 0));
            if event.time - *since > HOUR {
                (*since, *count) = (event.time, 0);
            }
            *count += 1;
            *count
        });
        if !kinds.contains(&event.kind) {
            continue;
        }
        let fraud = event.scheme.is_some_and(|scheme| world.scheme(scheme).fraud);
        let since = event.time - world.start;
        let person = world.person(account);
        let latency = event.packet.and_then(|packet| sent.get(&packet)).copied();
        let digit = event.text.bytes().any(|byte| byte.is_ascii_digit());
        for (name, value) in [
            ("amount", fen as f64),
            ("amount is whole yuan", f64::from(u8::from(fen % 100 == 0))),
            ("hour", (since % DAY / HOUR) as f64),
            ("since the claim began", latency.map_or(0, |at| event.time - at) as f64),
            ("since the last transaction", last.map_or(14 * DAY, |at| event.time - at) as f64),
            ("payments to this payee in the hour", busy as f64),
            ("length of the text", event.text.chars().count() as f64),
            ("a digit in the text", f64::from(u8::from(digit))),
            ("shares", event.shares.unwrap_or(0) as f64),
            ("in a group", f64::from(u8::from(event.group.is_some()))),
            ("age of the account", (world.start - person.registered_at) as f64),
            ("verified", f64::from(u8::from(person.verified))),
            ("from the bank", f64::from(u8::from(event.funding == "bank"))),
        ] {
            quantities.entry(name).or_default().push((value, fraud));
        }
    }
    quantities
}

/// What has been seen of a group.
#[derive(Default)]
struct Lived {
    first: Option<i64>,
    joins: Vec<i64>,
    last_act: BTreeMap<Account, i64>,
    sends: Vec<(i64, Account)>,
    pairs: BTreeSet<(Account, Account)>,
    claims: usize,
    strange: usize,
}

impl Lived {
    fn take_note(&mut self, event: &Event) {
        self.first.get_or_insert(event.time);
        let Some(account) = event.account else { return };
        match event.kind {
            Kind::Group => return,
            Kind::Join => self.joins.push(event.time),
            Kind::Send => self.sends.push((event.time, account)),
            Kind::Claim => {
                if let Some(sender) = event.counterparty.filter(|sender| *sender != account) {
                    self.claims += 1;
                    let pair = (account.min(sender), account.max(sender));
                    self.strange += usize::from(self.pairs.insert(pair));
                }
            }
            _ => {}
        }
        self.last_act.insert(account, event.time);
    }
}

/// Quantities of the groups in which transactions are made, as of then.
fn groups(events: &[Event], world: &World) -> Quantities {
    let mut quantities = Quantities::new();
    let mut groups: BTreeMap<u32, Lived> = BTreeMap::new();
    for event in events {
        let Some(group) = event.group else { continue };
        let lived = groups.entry(group.0).or_default();
        lived.take_note(event);
        if !event.kind.is_transaction() {
            continue;
        }
        let fraud = event.scheme.is_some_and(|scheme| world.scheme(scheme).fraud);
        let within = |time: &i64, span: i64| event.time - time < span;
        let joins = lived.joins.iter().filter(|time| within(time, 7 * DAY)).count() as f64;
        let actors = lived.last_act.len() as f64;
        let recent: Vec<_> = lived.sends.iter().filter(|(time, _)| within(time, DAY)).collect();
        let senders: BTreeSet<Account> = recent.iter().map(|(_, account)| *account).collect();
        let age = lived.first.map_or(0, |first| event.time - first);
        for (name, value) in [
            ("joins in 7 days", joins),
            ("growth in 7 days", joins / actors.max(1.0)),
            ("members who act", actors),
            ("age of the group", age as f64),
            ("packets in a day", recent.len() as f64),
            ("senders in a day", senders.len() as f64),
            ("share of strangers", lived.strange as f64 / lived.claims.max(1) as f64),
        ] {
            quantities.entry(name).or_default().push((value, fraud));
        }
    }
    quantities
}

/// All that was seen of one group in the end.
#[derive(Default)]
struct Heard {
    first: usize,
    events: usize,
    messages: usize,
    said: usize,
    speakers: BTreeSet<Account>,
    sends: usize,
    memos: usize,
}

/// Quantities of groups in the end: how much is said there, and how short people write.
fn rooms(events: &[Event], world: &World) -> Quantities {
    let mut rooms: BTreeMap<u32, Heard> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        let Some(group) = event.group.filter(|_| event.kind != Kind::Refund) else { continue };
        let room = rooms.entry(group.0).or_insert_with(|| Heard { first: at, ..Heard::default() });
        room.events += 1;
        let length = event.text.chars().count();
        match event.kind {
            Kind::Message => {
                room.messages += 1;
                room.said += length;
                room.speakers.extend(event.account);
            }
            Kind::Send => {
                room.sends += 1;
                room.memos += length;
            }
            _ => {}
        }
    }
    let mut quantities = Quantities::new();
    for (group, room) in &rooms {
        let scheme = world.groups[*group as usize].scheme;
        let fraud = scheme.is_some_and(|scheme| world.scheme(scheme).fraud);
        let per = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        for (name, value) in [
            ("place of the first event", room.first as f64),
            ("messages", room.messages as f64),
            ("messages of all events", per(room.messages, room.events)),
            ("messages a packet", per(room.messages, 1 + room.sends)),
            ("speakers", room.speakers.len() as f64),
        ] {
            quantities.entry(name).or_default().push((value, fraud));
        }
        // A mean of nothing is none.
        for (name, sum, count) in [
            ("mean length of a memo", room.memos, room.sends),
            ("mean length of a message", room.said, room.messages),
        ] {
            if count > 0 {
                quantities.entry(name).or_default().push((per(sum, count), fraud));
            }
        }
    }
    quantities
}

/// No quantity separates better than so, of accounts, of groups or of transactions.
fn check(difficulty: Difficulty, most: f64) {
    let mut events = Vec::new();
    let world = run(&scenario(difficulty), 1, |batch| events.extend(batch)).unwrap();
    let mut table = Vec::new();
    let all = [Kind::Send, Kind::Claim, Kind::Transfer, Kind::Withdraw];
    for (of, quantities) in [
        ("account", accounts(&world, &events)),
        ("transaction", transactions(&world, &events, &all)),
        ("send", transactions(&world, &events, &[Kind::Send])),
        ("claim", transactions(&world, &events, &[Kind::Claim])),
        ("transfer", transactions(&world, &events, &[Kind::Transfer])),
        ("group", groups(&events, &world)),
        ("group in the end", rooms(&events, &world)),
    ] {
        table.extend(quantities.iter().map(|(name, values)| (auc(values), of, *name)));
    }
    table.sort_by(|a, b| b.0.total_cmp(&a.0));
    let worst: Vec<String> =
        table.iter().take(24).map(|(area, of, name)| format!("{area:.3} {of}: {name}")).collect();
    println!("{difficulty:?}\n{}", worst.join("\n"));
    assert!(table[0].0 <= most, "{difficulty:?}: {most}\n{}", worst.join("\n"));
}

#[test]
fn no_single_quantity_tells_all_at_medium() {
    check(Difficulty::Medium, 0.90);
}

#[test]
fn no_single_quantity_tells_all_at_hard() {
    check(Difficulty::Hard, 0.80);
}
