//! The state of groups and ties against their oracle, over random histories with ties in time,
//! long pauses and few people.

#[path = "../../../tests/it/social/oracle.rs"]
mod oracle;

use proptest::prelude::*;

use super::group::{Deal as Deed, Group, Id, KNOWN_WINDOW_MS, MONEY_WINDOW_MS};
use super::groups::{GroupsState, WORDS, words_of};
use super::mines::{RATIO_KNOWN_MS, RATIOS_MAX, SETTLED_WITHIN_MS};
use super::requests::pair;
use super::ties::TiesState;
use crate::event::{Kind, NULL_INT};
use crate::features::state_map::{KeyedState, StateMap};
use crate::keyed::{Addressing, Key, Replies, Requests, halves};
use crate::packet::requests::LATENCY;
use oracle::{Deal, Known, What};

/// Who acts towards whom about which packet in which group; the last of each but the first is null.
type Who = (usize, usize, usize, usize);

/// A pause, and the deal after it; see [`latency_of`] for how long a claim took.
type Parts = (i64, What, Who, i64, Option<i64>);

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Everybody does everything, in three groups.
fn bustle() -> impl Strategy<Value = Parts> {
    let pauses = vec![0i64, 0, 1, 500, 20_000, 59_999, 600_000, 3_600_000];
    let what = prop::sample::select(vec![
        What::Send,
        What::Claim,
        What::Claim,
        What::Transfer,
        What::Refund,
        What::Withdraw,
    ]);
    let who = (0usize..4, 0usize..5, 0usize..4, 0usize..3);
    let amount = prop::sample::select(vec![0i64, 1, 2, 5, 10, 11, 12, 15, 20]);
    (prop::sample::select(pauses), what, who, amount, prop::option::of(0i64..3))
}

/// One host announces a digit, and players lose and pay.
fn game() -> impl Strategy<Value = Parts> {
    let pauses = vec![0i64, 0, 0, 0, 0, 1, 5_000, 20_000, 30_000, 60_000, DAY - 60_000, DAY];
    let whats = vec![What::Send, What::Claim, What::Claim, What::Claim, What::Transfer];
    let player = prop::sample::select(vec![0usize, 0, 1, 1, 1]);
    let deal = (prop::sample::select(whats), player, 0usize..3, 0usize..3, 0usize..4);
    (prop::sample::select(pauses), deal).prop_map(|(pause, (what, player, packet, face, share))| {
        let amount = match what {
            What::Claim => [1, 11, 21, 2][share],
            What::Send => [10, 20, 0][face],
            _ => [0, 10, 20, 30][share],
        };
        let (account, other) = if what == What::Send { (0, 4) } else { (player, 0) };
        (pause, what, (account, other, packet, 0), amount, Some(1))
    })
}

/// Little happens, at the ends of windows.
fn months() -> impl Strategy<Value = Parts> {
    // A packet is known for three days after its last event, and unclaimed until the twelfth day.
    let (kept, unclaimed) = (3 * DAY, 265 * HOUR + 2_000);
    let pauses = vec![
        0i64,
        1,
        DAY - 1,
        DAY,
        kept,
        kept + 1,
        unclaimed,
        unclaimed + 1,
        15 * DAY,
        30 * DAY - 1,
        30 * DAY,
    ];
    let whats = vec![What::Send, What::Claim, What::Refund, What::Transfer, What::Withdraw];
    let who = (0usize..2, 0usize..2, 0usize..1, 0usize..2);
    (prop::sample::select(pauses), prop::sample::select(whats), who, 0i64..9, Just(None))
}

fn deals() -> impl Strategy<Value = Vec<Deal>> {
    let many = |parts: BoxedStrategy<Parts>| prop::collection::vec(parts, 1..200);
    let parts = prop_oneof![many(bustle().boxed()), many(game().boxed()), many(months().boxed())];
    parts.prop_map(|parts| {
        let mut time = 0;
        let deal = |(pause, what, (account, other, packet, group), amount, digit): Parts| {
            time += pause;
            let id = |name: &str, at: usize, none: usize| {
                if at == none { String::new() } else { format!("{name}{at}") }
            };
            let two = matches!(what, What::Claim | What::Transfer);
            let of_packet = matches!(what, What::Send | What::Claim | What::Refund);
            Deal {
                time,
                what,
                group: id("g", group, 2),
                account: id("u", account, usize::MAX),
                counterparty: if two { id("u", other, 4) } else { String::new() },
                packet: if of_packet { id("p", packet, 3) } else { String::new() },
                amount,
                digit: digit.filter(|_| what == What::Send),
                latency: latency_of(what, account, packet, amount),
            }
        };
        parts.into_iter().map(deal).collect()
    })
}

/// Some latency of a claim, or none as of a packet whose sending was not seen.
fn latency_of(what: What, account: usize, packet: usize, amount: i64) -> Option<i64> {
    let known = what == What::Claim && packet != account;
    known.then_some(amount * 7_919 % 5 * 1_000 + account as i64 - 1)
}

fn key(text: &str) -> Key {
    Key::of(text.as_bytes())
}

/// The requests about groups with what packets tell of them, and about ties.
fn requests(deals: &[Deal]) -> ([Requests; 2], Requests) {
    let to = Addressing { origin: 0, peers: 1, first: 0 };
    let mut groups = Requests::batches(&to, deals.len(), WORDS).remove(0);
    let mut told = Requests::batches(&to, 0, 0).remove(0);
    let mut ties = Requests::batches(&to, deals.len(), 2).remove(0);
    for (row, deal) in deals.iter().enumerate() {
        let kind = match deal.what {
            What::Send => Kind::Send,
            What::Claim => Kind::Claim,
            What::Refund => Kind::Refund,
            What::Transfer => Kind::Transfer,
            What::Withdraw => Kind::Withdraw,
        };
        let (group, account) = (key(&deal.group), key(&deal.account));
        let other = key(&deal.counterparty);
        if group != Key::NULL {
            let contributes = u32::from(deal.what != What::Withdraw);
            let lookup = u32::from(deal.what != What::Refund);
            groups.push(row, group, deal.time, contributes, lookup);
            if contributes != 0 {
                let ids = [account, other, key(&deal.packet)].map(|key| Id(key.hash as u64));
                let digit = deal.digit.unwrap_or(NULL_INT);
                groups.words.extend(words_of(kind, digit, deal.amount, ids));
            }
            if let Some(latency) = deal.latency {
                told.push(row, Key::NULL, deal.time, LATENCY, 0);
                told.words.push(latency as u64);
            }
        }
        if matches!(deal.what, What::Claim | What::Transfer) && other != Key::NULL {
            let contributes = u32::from(account != other && group != Key::NULL);
            ties.push(row, pair(account, other), deal.time, contributes, 1);
            if contributes != 0 {
                ties.words.extend(halves(group.hash));
            }
        }
    }
    ([told, groups], ties)
}

fn known(words: &[u64]) -> Known {
    let int = |word: u64| Some(word as i64).filter(|value| *value != NULL_INT);
    let double = |word: u64| Some(f64::from_bits(word)).filter(|value| !value.is_nan());
    Known {
        turnover: words[0] as i64,
        net_winner_share: double(words[1]),
        rake: words[2] as i64,
        mine_payouts: words[3] as i64,
        mine_payouts_cut: words[4] as i64,
        stranger_share: double(words[5]),
        latency: [6, 7, 8].map(|at| int(words[at])),
        latency_spread: int(words[9]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_the_oracle(deals in deals()) {
        let (groups, ties) = requests(&deals);
        let mut replies = Replies::to(&groups[0], 0);
        GroupsState::new().apply(&groups, &mut replies);
        let mut answers = replies.rows.iter().zip(replies.values.chunks_exact(10)).peekable();
        for (row, deal) in deals.iter().enumerate() {
            let wanted = oracle::group(&deals, row).filter(|_| deal.what != What::Refund);
            let given = answers.next_if(|(at, _)| **at == row as u32).map(|(_, words)| known(words));
            prop_assert_eq!(given, wanted, "row {}", row);
        }
        let mut replies = Replies::to(&ties, 0);
        TiesState::new().apply(&ties, &mut replies);
        let mut answers = replies.rows.iter().zip(&replies.values).peekable();
        for row in 0..deals.len() {
            let given = answers.next_if(|(at, _)| **at == row as u32).map(|(_, word)| *word as i64);
            prop_assert_eq!(given, oracle::tie_groups(&deals, row), "row {}", row);
        }
    }
}

/// Sends, claims and transfers of one group, applied one by one.
struct Told {
    group: Group,
    time: i64,
}

impl Told {
    fn begin() -> Told {
        Told { group: Group::default(), time: 0 }
    }

    fn after(&mut self, pause: i64, deal: Deed, fen: i64) -> super::group::Known {
        self.time += pause;
        self.group.take(deal, fen, self.time);
        self.group.known(self.time)
    }
}

const HOST: Id = Id(1);
const PLAYER: Id = Id(2);

fn sent(packet: u64) -> Deed {
    Deed::Send { sender: HOST, packet: Id(packet), digit: Some(6) }
}

fn claimed(packet: u64) -> Deed {
    claimed_after(packet, Some(5_000))
}

fn claimed_after(packet: u64, latency: Option<i64>) -> Deed {
    Deed::Claim { claimer: PLAYER, sender: HOST, packet: Id(packet), latency }
}

const PAID: Deed = Deed::Transfer { payer: PLAYER, payee: HOST };

#[test]
fn a_game_by_hand() {
    let mut told = Told::begin();
    told.after(0, sent(7), 10_000);
    let known = told.after(5_000, claimed(7), 1_426);
    assert_eq!((known.turnover, known.rake, known.latency), (10_000, 1_426, [Some(5_000); 3]));
    assert_eq!((known.net_winner_share, known.stranger_share), (Some(0.1426), Some(1.0)));
    // The first payment of a ratio only makes it known.
    assert_eq!(told.after(59_999, PAID, 12_000).mine_payouts, 0);
    told.after(0, sent(8), 5_000);
    told.after(0, claimed(8), 6);
    assert_eq!(told.after(0, PAID, 6_000).mine_payouts, 1, "6/5 again");
    assert_eq!(told.after(0, PAID, 6_000).mine_payouts, 1, "nothing is owed any more");
    told.after(0, sent(9), 5_000);
    told.after(0, claimed(9), 16);
    assert_eq!(told.after(60_000, PAID, 6_000).mine_payouts, 1, "too late");
    told.after(0, sent(10), 5_000);
    told.after(0, claimed(10), 15);
    assert_eq!(told.after(0, PAID, 6_000).mine_payouts, 1, "15 does not end in 6");
}

#[test]
fn of_many_losses_the_latest_can_be_paid() {
    let mut told = Told::begin();
    for packet in 1..=9 {
        told.after(1, sent(packet), 1_000);
        told.after(1, claimed(packet), 106);
    }
    // The loss that gave way leaves the minute first, and takes no other with it.
    told.time = SETTLED_WITHIN_MS + 2;
    for payment in 0..8 {
        assert_eq!(told.after(0, PAID, 1_000).mine_payouts, payment);
    }
    assert_eq!(told.after(0, PAID, 1_000).mine_payouts, 7, "no ninth");
}

#[test]
fn a_loss_that_gives_way_shows_for_a_day_unless_it_was_paid() {
    for (paid, cuts) in [(0, 1), (1, 0)] {
        let mut told = Told::begin();
        for packet in 1..=8 {
            told.after(0, sent(packet), 1_000);
            told.after(0, claimed(packet), 106);
        }
        (0..paid).for_each(|_| assert_eq!(told.after(0, PAID, 1_000).mine_payouts_cut, 0));
        told.after(0, sent(9), 1_000);
        assert_eq!(told.after(0, claimed(9), 106).mine_payouts_cut, cuts);
        assert_eq!(told.group.known(DAY - 1).mine_payouts_cut, cuts, "long after the minute");
        assert_eq!(told.group.known(DAY).mine_payouts_cut, 0);
    }
}

/// Nine losses with a minute between the first and the last: the first was over.
#[test]
fn a_loss_that_is_over_gives_way_to_none() {
    let mut told = Told::begin();
    for packet in 1..=9 {
        told.after(if packet == 9 { SETTLED_WITHIN_MS } else { 0 }, sent(packet), 1_000);
        assert_eq!(told.after(0, claimed(packet), 106).mine_payouts_cut, 0);
    }
}

/// A packet of `face` fen, a loss of it and a payment, all at once; what is known then.
fn lost_and_paid(told: &mut Told, packet: u64, face: i64, fen: i64) -> i64 {
    told.after(0, sent(packet), face);
    told.after(0, claimed(packet), 6);
    told.after(0, PAID, fen).mine_payouts
}

#[test]
fn a_ratio_is_known_for_a_month() {
    for (pause, payouts) in [(RATIO_KNOWN_MS - 1, 1), (RATIO_KNOWN_MS, 0)] {
        let mut told = Told::begin();
        lost_and_paid(&mut told, 1, 1_000, 1_000);
        told.time += pause;
        assert_eq!(lost_and_paid(&mut told, 2, 3_000, 3_000), payouts);
    }
}

/// Three payments of one ratio at 0, 10 and 20 h: the second and the third repeat it, and go on to
/// do so when the first has left the window.
#[test]
fn a_payment_counts_by_what_was_seen_before_it_was_made() {
    let mut told = Told::begin();
    assert_eq!(lost_and_paid(&mut told, 1, 1_000, 1_200), 0);
    told.time = 10 * HOUR;
    assert_eq!(lost_and_paid(&mut told, 2, 1_000, 1_200), 1);
    told.time = 20 * HOUR;
    assert_eq!(lost_and_paid(&mut told, 3, 500, 600), 2);
    for (hour, payouts) in [(25, 2), (34, 1), (44, 0)] {
        assert_eq!(told.group.known(hour * HOUR).mine_payouts, payouts, "after {hour} h");
    }
}

#[test]
fn of_many_ratios_the_last_seen_are_known() {
    let mut told = Told::begin();
    for ratio in 1..=RATIOS_MAX as i64 {
        assert_eq!(lost_and_paid(&mut told, ratio as u64, 1_000, 1_000 * ratio), 0);
    }
    // The first is seen again, so that the one more takes the place of the second.
    assert_eq!(lost_and_paid(&mut told, 101, 1_000, 1_000), 1);
    assert_eq!(lost_and_paid(&mut told, 102, 1_000, 999_000), 1);
    assert_eq!(lost_and_paid(&mut told, 103, 1_000, 2_000), 1, "forgotten");
    assert_eq!(lost_and_paid(&mut told, 104, 1_000, 1_000), 2);
    // The one more took a place, and so did the second when it came again.
    assert_eq!(told.group.known(told.time).mine_payouts_cut, 2);
    assert_eq!(told.group.known(told.time + DAY).mine_payouts_cut, 0);
}

#[test]
fn an_id_that_is_used_again_stands_for_its_first_packet() {
    let mut told = Told::begin();
    lost_and_paid(&mut told, 1, 1_000, 1_000);
    told.after(0, sent(7), 1_000);
    told.after(50, sent(7), 3_000);
    told.after(50, claimed(7), 6);
    assert_eq!(told.after(0, PAID, 1_000).mine_payouts, 1, "1/1 again, and not 1/3");
    // Known to the millisecond for three days after its last event, and then another.
    let kept = 3 * DAY;
    told.after(kept, claimed(7), 6);
    assert_eq!(told.after(0, PAID, 1_000).mine_payouts, 1);
    told.after(kept + 1, claimed(7), 6);
    assert_eq!(told.after(0, PAID, 1_000).mine_payouts, 0, "forgotten");
    told.after(0, sent(7), 3_000);
    told.after(9, claimed(7), 6);
    assert_eq!(told.after(0, PAID, 3_000).mine_payouts, 1);
}

/// Few latencies are kept in another way than many.
#[test]
fn latencies_of_a_crowd() {
    let mut told = Told::begin();
    let mut packet = 0;
    let mut held = Vec::new();
    for at in 0..1_500i64 {
        // A crowd for a while, then a claim now and then, and a crowd again.
        let pause = if (600..700).contains(&at) { 150_000 } else { (at * 7_919) % 13 * 1_000 };
        if at % 25 == 0 {
            packet += 1;
            told.after(0, sent(packet), 1_000);
            held.push((told.time, None));
        }
        let sent_at = held.iter().rev().find(|(_, latency)| latency.is_none()).expect("sent").0;
        let latency = Some(told.time + pause - sent_at);
        let known = told.after(pause, claimed_after(packet, latency), 5);
        held.push((told.time, latency));
        let inside = held.iter().filter(|(time, _)| *time > told.time - 3_600_000);
        let mut sorted: Vec<i64> = inside.filter_map(|(_, latency)| *latency).collect();
        sorted.sort_unstable();
        let rank = |percent: usize| Some(sorted[(percent * sorted.len()).div_ceil(100) - 1]);
        assert_eq!(known.latency, [10, 50, 90].map(rank), "claim {at}");
    }
}

/// What a burst of a day leaves behind takes up no room after it, and nothing is left in the end.
#[test]
fn memory_follows_what_windows_hold() {
    let mut told = Told::begin();
    for member in 0..20_000 {
        told.after(1, sent(member), 1_000);
        let (claimer, packet) = (Id(9 + member), Id(member));
        told.after(1, Deed::Claim { claimer, sender: HOST, packet, latency: Some(1) }, 6);
        told.after(1, Deed::Transfer { payer: claimer, payee: HOST }, 1_000);
    }
    assert!(told.group.heap_bytes() > 20_000 * 200);
    told.after(MONEY_WINDOW_MS, sent(1), 5);
    // Who knows whom stays for longer, and is let go as well.
    told.after(KNOWN_WINDOW_MS, sent(2), 5);
    assert!(told.group.heap_bytes() < 10_000, "{}", told.group.heap_bytes());

    let mut groups: StateMap<Group> = StateMap::new();
    for at in 0..100_000i64 {
        let time = at * KNOWN_WINDOW_MS / 1_000;
        groups.entry(key(&at.to_string()), time).take(sent(1), 5, time);
        let few = at % 1_000 > 0 || groups.usage().keys < 12_000;
        assert!(few, "a thousand are in the window");
    }
}
