//! Each law on streams of a few events, worked out by hand.

use super::*;

use crate::packet::plays::{EQUAL, EXCLUSIVE, LUCKY, TABLE, TIMED};

const DAY: i64 = 24 * HOUR_MS;
const SENDER: u128 = 9;
/// From the sending to the latest opening, by the shipped limits: a week, 2 s and an hour.
const OPENING: i64 = 168 * HOUR_MS + 2_000 + HOUR_MS;

fn referee() -> Referee {
    Referee::new(Law::new(&Limits::default()))
}

fn send(time: i64, amount: i64, shares: i64, play: &'static Rules) -> PacketEvent {
    PacketEvent {
        packet: 7,
        kind: Kind::Send,
        time,
        event_time: time,
        sequenced: true,
        amount,
        shares,
        play: Some(play),
        account: SENDER,
        counterparty: 0,
        group: 5,
    }
}

fn claim(time: i64, amount: i64, account: u128) -> PacketEvent {
    let counterparty = SENDER as u64;
    let kind = Kind::Claim;
    PacketEvent { kind, account, counterparty, play: None, ..send(time, amount, NULL_INT, &LUCKY) }
}

fn refund(time: i64, amount: i64) -> PacketEvent {
    PacketEvent { kind: Kind::Refund, play: None, ..send(time, amount, NULL_INT, &LUCKY) }
}

/// Judges a stream; each event stands with the finding that it should have.
#[track_caller]
fn check(stream: &[(PacketEvent, &str)]) {
    let mut referee = referee();
    for (at, (event, expected)) in stream.iter().enumerate() {
        let ruling = referee.judge(event).expect("an event of a packet");
        assert_eq!(ruling.finding.name(), *expected, "event {at}");
    }
}

#[test]
fn who_and_how_many() {
    check(&[
        (send(0, 100, 3, &LUCKY), "ok"),
        (send(1, 100, 3, &LUCKY), "packet_reused"),
        (claim(1, 30, 1), "ok"),
        (claim(2, 1, 1), "claimed_twice"),
        (PacketEvent { counterparty: 8, ..claim(3, 1, 2) }, "other_sender"),
        (PacketEvent { group: 6, ..claim(3, 1, 2) }, "other_group"),
        (PacketEvent { group: 0, counterparty: 0, ..claim(3, 30, 2) }, "ok"),
        (claim(4, 0, 3), "claim_of_nothing"),
        (claim(4, 41, 3), "overdrawn"),
        // What was refused took no share.
        (claim(4, 40, 3), "ok"),
        (claim(5, 1, 4), "too_many_claims"),
    ]);
    check(&[(claim(0, 10, 1), "packet_unknown"), (claim(0, 10, 1), "packet_unknown")]);
}

#[test]
fn amounts_by_play() {
    check(&[
        (send(0, 100, 4, &EQUAL), "ok"),
        (claim(1, 25, 1), "ok"),
        (claim(2, 24, 2), "share_unequal"),
    ]);
    // Of 100 fen in 4 shares 3 are kept: at most 1 + 2 * 96 / 4 = 49 for the first.
    check(&[(send(0, 100, 4, &LUCKY), "ok"), (claim(1, 49, 1), "ok")]);
    check(&[
        (send(0, 100, 4, &LUCKY), "ok"),
        (claim(1, 50, 1), "share_impossible"),
        (claim(2, 49, 2), "reserve_short"),
        (claim(3, 1, 3), "ok"),
        (claim(4, 1, 4), "overdrawn"),
    ]);
    check(&[
        (send(0, 100, 2, &LUCKY), "ok"),
        (claim(1, 50, 1), "ok"),
        (claim(2, 49, 2), "remainder_left"),
    ]);
    // Without shares or play nothing is known of amounts but their sum.
    let unknown = PacketEvent { shares: NULL_INT, play: None, ..send(0, 100, 1, &LUCKY) };
    check(&[(unknown, "ok"), (claim(1, 99, 1), "ok"), (claim(2, 2, 2), "overdrawn")]);
}

#[test]
fn sendings_within_the_limits() {
    for play in &TABLE {
        check(&[(send(0, 20_000, 1, play), "ok")]);
        check(&[(send(0, 20_001, 1, play), "share_amount_out_of_limits")]);
        check(&[(send(0, 0, 1, play), "share_amount_out_of_limits")]);
        check(&[(send(0, 200, 101, play), "shares_out_of_limits")]);
        check(&[(send(0, 200, 0, play), "shares_out_of_limits")]);
        check(&[(send(0, 0, NULL_INT, play), "share_amount_out_of_limits")]);
        check(&[(send(0, 1_000_000, NULL_INT, play), "ok")]);
    }
    check(&[(send(0, 2_000_000, 100, &LUCKY), "ok")]);
    check(&[(send(0, 99, 100, &LUCKY), "share_amount_out_of_limits")]);
    check(&[(send(0, 101, 4, &EQUAL), "shares_uneven")]);
    check(&[(send(0, 101, 2, &EXCLUSIVE), "shares_not_one")]);
}

/// The day runs from the opening, which the first claim shows to have been.
#[test]
fn a_claim_a_day_after_the_first_is_late() {
    check(&[
        (send(0, 100, 4, &LUCKY), "ok"),
        (claim(5, 10, 1), "ok"),
        (claim(DAY + 5, 10, 2), "ok"),
        (claim(DAY + 6, 10, 3), "expired"),
    ]);
    check(&[(send(0, 100, 4, &TIMED), "ok"), (claim(OPENING + DAY, 10, 1), "ok")]);
    check(&[(send(0, 100, 4, &TIMED), "ok"), (claim(OPENING + DAY + 1, 10, 1), "expired")]);
    // A claim that came late was in time; one that came in time after it shows nothing.
    let late = PacketEvent { event_time: DAY, ..claim(DAY + 100, 10, 2) };
    check(&[(send(0, 100, 4, &LUCKY), "ok"), (claim(5, 10, 1), "ok"), (late, "ok")]);
}

#[test]
fn refunds_once_in_time_of_what_is_left_to_the_sender() {
    let sent = (send(0, 100, 4, &LUCKY), "ok");
    let claimed = (claim(1, 30, 1), "ok");
    let check = |refund: PacketEvent, expected| check(&[sent, claimed, (refund, expected)]);
    check(refund(DAY, 70), "ok");
    check(refund(DAY - 1, 70), "refund_early");
    check(refund(DAY, 69), "refund_short");
    check(refund(DAY, 71), "refund_excess");
    // The claim may have been blocked.
    check(refund(DAY, 100), "ok");
    check(refund(DAY, 101), "refund_excess");
    check(PacketEvent { account: 8, ..refund(DAY, 70) }, "other_sender");
    check(PacketEvent { group: 8, ..refund(DAY, 70) }, "other_group");
    check(PacketEvent { packet: 8, ..refund(DAY, 70) }, "refund_unknown");
    super::tests::check(&[
        sent,
        claimed,
        (refund(DAY, 70), "ok"),
        (refund(DAY, 70), "refunded_twice"),
        (claim(DAY, 10, 2), "after_refund"),
        (PacketEvent { event_time: DAY - 1, ..claim(DAY, 10, 2) }, "ok"),
    ]);
}

#[test]
fn a_sending_after_claims_is_found_and_the_claims_count() {
    check(&[
        (claim(0, 60, 1), "packet_unknown"),
        (send(1, 100, 3, &LUCKY), "sent_after_claims"),
        (claim(2, 1, 1), "claimed_twice"),
        (claim(2, 41, 2), "overdrawn"),
        // Neither the law of the split nor that of the last share can be held against the rest.
        (claim(2, 38, 2), "ok"),
        (claim(3, 1, 3), "ok"),
    ]);
    let same = PacketEvent { sequenced: false, ..send(0, 100, 3, &LUCKY) };
    check(&[(claim(0, 60, 1), "packet_unknown"), (same, "ok")]);
}

/// Claims at one moment whose order nobody tells, and late ones, are no draws in their order.
#[test]
fn the_law_of_the_split_wants_the_order_of_claims() {
    let untold =
        |time, amount, account| PacketEvent { sequenced: false, ..claim(time, amount, account) };
    check(&[(send(0, 100, 4, &LUCKY), "ok"), (untold(1, 1, 1), "ok"), (untold(1, 90, 2), "ok")]);
    check(&[
        (send(0, 100, 4, &LUCKY), "ok"),
        (untold(1, 1, 1), "ok"),
        (untold(2, 90, 2), "share_impossible"),
    ]);
}

#[test]
fn figures_are_as_after_the_event() {
    let mut referee = referee();
    let mut judge = |event: &PacketEvent| {
        let ruling = referee.judge(event).expect("an event of a packet");
        (ruling.shares_taken, ruling.left, ruling.share_rank.map(|rank| rank.mid >> 16))
    };
    assert_eq!(judge(&claim(0, 10, 1)), (None, None, None));
    let other = |event| PacketEvent { packet: 8, ..event };
    assert_eq!(judge(&other(send(0, 100, 3, &LUCKY))), (Some(0), Some(100), None));
    // 97 free fen in 3 shares: 1 to 65 with 196/12870 each. The 33rd: 65 halves of that, 0.49495.
    assert_eq!(judge(&other(claim(1, 33, 1))), (Some(1), Some(67), Some(32_437)));
    assert_eq!(judge(&other(claim(2, 1, 2))), (Some(2), Some(66), Some(496)));
    assert_eq!(judge(&other(claim(2, 1, 1))), (Some(2), Some(66), None), "refused");
    assert_eq!(judge(&other(claim(2, 66, 3))), (Some(3), Some(0), None));
}

#[test]
fn what_is_over_is_forgotten_and_what_waits_is_not() {
    check(&[
        (send(0, 100, 3, &LUCKY), "ok"),
        (claim(1, 30, 1), "ok"),
        (send(1 + 72 * HOUR_MS, 100, 3, &LUCKY), "packet_reused"),
        (send(2 + 144 * HOUR_MS, 100, 3, &LUCKY), "ok"),
    ]);
    check(&[(send(0, 100, 3, &LUCKY), "ok"), (claim(OPENING + 4 * DAY, 30, 1), "expired")]);
    let mut referee = referee();
    for at in 0..20_000 {
        let packet = |event| PacketEvent { packet: at as u128 + 1, ..event };
        referee.judge(&packet(send(at * HOUR_MS, 100, 3, &LUCKY)));
        referee.judge(&packet(claim(at * HOUR_MS, 10, 1)));
    }
    assert!(referee.len() < 400, "{}", referee.len());
}
