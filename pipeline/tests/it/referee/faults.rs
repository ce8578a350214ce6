//! Faults, one for each law, put into a stream that was clean.

use super::streams::{Dice, number};
use crate::support::{Ev, START};

const DAY: i64 = 24 * 3_600_000;

/// Puts a fault into a stream, if it has a place for it: the id of the event at which it shows.
pub(super) type Fault = fn(&mut Vec<Ev>, &mut Dice) -> Option<String>;

/// Each fault under the name by which it must be found. Some laws can be broken in several ways.
pub(super) const FAULTS: &[(&str, Fault)] = &[
    ("packet_unknown", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "claim")?;
        Some(change(events, at, |event| event.packet = "ghost".to_owned()))
    }),
    ("packet_reused", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "send")?;
        Some(insert_after(events, at, 1, |event| event.amount = Some(100)))
    }),
    ("claimed_twice", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "claim")?;
        Some(insert_after(events, at, 0, |event| event.amount = Some(1)))
    }),
    ("too_many_claims", |events, dice| {
        let at = any(events, dice, |events, event| left(events, event).1 == Some(1))?;
        Some(insert_after(events, at, 0, stranger))
    }),
    ("overdrawn", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "claim")?;
        let (money, _) = left(events, &events[at]);
        Some(change(events, at, |event| event.amount = Some(money + 1)))
    }),
    ("expired", |events, dice| {
        // All shares of it were taken, and nothing of it came back.
        let at = any(events, dice, |events, event| {
            left(events, event).1 == Some(1) && refund_of(events, event).is_none()
        })?;
        let first = of_packet(events, &events[at]).find(|one| one.kind == "claim")?.time;
        let after = first + DAY + 1 - events[at].time;
        Some(insert_after(events, at, after, stranger))
    }),
    ("expired", |events, dice| {
        // Nobody ever claimed, and what went back is not told.
        let at = any(events, dice, |events, event| {
            event.kind == "send" && of_packet(events, event).all(|one| one.kind != "claim")
        })?;
        if let Some(refund) = refund_of(events, &events[at]) {
            events.remove(refund);
        }
        let sender = events[at].account.clone();
        let waited = DAY + 168 * 3_600_000 + 2_000 + 3_600_000;
        Some(insert_after(events, at, waited + 1, |event| {
            (event.kind, event.counterparty) = ("claim", sender);
            (event.play, event.shares, event.amount) = ("", None, Some(1));
        }))
    }),
    ("after_refund", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        let sender = events[at].account.clone();
        Some(insert_after(events, at, 1, |event| {
            stranger(event);
            (event.kind, event.counterparty) = ("claim", sender);
        }))
    }),
    ("sent_after_claims", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "send")?;
        let sent = events[at].clone();
        let id = insert_after(events, at, -1, |event| {
            (event.kind, event.counterparty) = ("claim", sent.account.clone());
            (event.play, event.shares, event.amount) = ("", None, Some(1));
        });
        assert_ne!(id, sent.id);
        Some(sent.id)
    }),
    ("shares_out_of_limits", |events, dice| {
        let shares = *dice.of(&[0, 101]);
        let at = any(events, dice, |_, event| event.kind == "send")?;
        Some(change(events, at, |event| event.shares = Some(shares)))
    }),
    ("shares_not_one", |events, dice| {
        let at = any(events, dice, |_, event| event.play == "exclusive")?;
        Some(change(events, at, |event| event.shares = Some(2)))
    }),
    ("share_amount_out_of_limits", |events, dice| {
        let more = dice.below(2) == 0;
        let at = any(events, dice, |_, event| event.kind == "send")?;
        Some(change(events, at, |event| {
            let shares = event.shares.unwrap();
            event.amount = Some(if more { 20_000 * shares + 1 } else { shares - 1 });
        }))
    }),
    ("shares_uneven", |events, dice| {
        let at = any(events, dice, |_, event| {
            event.play == "equal"
                && event.shares > Some(1)
                && event.amount < event.shares.map(|shares| 20_000 * shares)
        })?;
        Some(change(events, at, |event| *event.amount.as_mut().unwrap() += 1))
    }),
    ("other_sender", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "claim")?;
        Some(change(events, at, |event| event.counterparty = "somebody".to_owned()))
    }),
    ("other_sender", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        Some(change(events, at, |event| event.account = "somebody".to_owned()))
    }),
    ("other_group", |events, dice| {
        let at = any(events, dice, |_, event| {
            (event.kind == "claim" || event.kind == "refund") && !event.group.is_empty()
        })?;
        Some(change(events, at, |event| event.group = "elsewhere".to_owned()))
    }),
    ("claim_of_nothing", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "claim")?;
        Some(change(events, at, |event| event.amount = Some(0)))
    }),
    ("reserve_short", |events, dice| {
        let at = any(events, dice, |events, event| {
            is_drawn(events, event) && left(events, event).1 >= Some(2)
        })?;
        let (money, shares) = left(events, &events[at]);
        let reserve = shares? - 1;
        Some(change(events, at, |event| event.amount = Some(money - reserve + 1)))
    }),
    ("share_unequal", |events, dice| {
        let at = any(events, dice, |events, event| {
            event.kind == "claim" && !is_drawn(events, event) && event.amount > Some(1)
        })?;
        Some(change(events, at, |event| *event.amount.as_mut().unwrap() -= 1))
    }),
    ("remainder_left", |events, dice| {
        let at = any(events, dice, |events, event| {
            is_drawn(events, event) && left(events, event).1 == Some(1) && event.amount > Some(1)
        })?;
        Some(change(events, at, |event| *event.amount.as_mut().unwrap() -= 1))
    }),
    ("share_impossible", |events, dice| {
        // Twice the mean of the free money and two fen more, where the reserve allows it.
        let most = |events: &[Ev], event: &Ev| {
            let (money, shares) = left(events, event);
            let shares = shares.filter(|shares| *shares > 2)?;
            let more = 2 * (money - shares) / shares + 3;
            (more <= money - shares + 1).then_some(more)
        };
        let at = any(events, dice, |events, event| {
            is_drawn(events, event) && most(events, event).is_some()
        })?;
        let more = most(events, &events[at])?;
        Some(change(events, at, |event| event.amount = Some(more)))
    }),
    ("refund_unknown", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        Some(change(events, at, |event| event.packet = "ghost".to_owned()))
    }),
    ("refunded_twice", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        Some(insert_after(events, at, 1, |_| ()))
    }),
    ("refund_early", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        let sent = of_packet(events, &events[at]).next()?;
        let (id, time) = (events[at].id.clone(), sent.time + DAY - 1);
        events[at].time = time;
        // Behind all of the same moment.
        events.sort_by_key(|event| (event.time, event.id == id));
        number(events);
        Some(id)
    }),
    ("refund_short", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        let (money, _) = left(events, &events[at]);
        let less = (money > 0).then(|| money - 1)?;
        Some(change(events, at, |event| event.amount = Some(less)))
    }),
    ("refund_excess", |events, dice| {
        let at = any(events, dice, |_, event| event.kind == "refund")?;
        let sent = of_packet(events, &events[at]).next()?.amount?;
        Some(change(events, at, |event| event.amount = Some(sent + 1)))
    }),
];

/// Any event that passes, of a packet that other faults have left its sending.
fn any(events: &[Ev], dice: &mut Dice, passes: impl Fn(&[Ev], &Ev) -> bool) -> Option<usize> {
    let sent = |event: &Ev| of_packet(events, event).next().is_some_and(|one| one.kind == "send");
    let passes = |place: &usize| sent(&events[*place]) && passes(events, &events[*place]);
    let places: Vec<usize> = (0..events.len()).filter(passes).collect();
    (!places.is_empty()).then(|| *dice.of(&places))
}

fn of_packet<'e>(events: &'e [Ev], event: &Ev) -> impl Iterator<Item = &'e Ev> + use<'e> {
    let packet = event.packet.clone();
    events.iter().filter(move |one| one.packet == packet)
}

fn refund_of(events: &[Ev], event: &Ev) -> Option<usize> {
    events.iter().position(|one| one.packet == event.packet && one.kind == "refund")
}

/// Money and shares of the packet before an event of it; no shares before a send or refund.
fn left(events: &[Ev], event: &Ev) -> (i64, Option<i64>) {
    let sent = of_packet(events, event).next().expect("it was sent");
    let claims =
        || of_packet(events, event).filter(|one| one.kind == "claim" && one.seq < event.seq);
    let money = sent.amount.unwrap() - claims().map(|one| one.amount.unwrap()).sum::<i64>();
    let shares = sent.shares.unwrap() - claims().count() as i64;
    (money, (event.kind == "claim").then_some(shares))
}

fn is_drawn(events: &[Ev], event: &Ev) -> bool {
    let sent = of_packet(events, event).next().expect("it was sent");
    event.kind == "claim" && sent.play != "equal" && sent.play != "exclusive"
}

fn stranger(event: &mut Ev) {
    event.account = "stranger".to_owned();
    event.amount = Some(1);
}

fn change(events: &mut [Ev], at: usize, change: impl FnOnce(&mut Ev)) -> String {
    change(&mut events[at]);
    events[at].id.clone()
}

/// A copy of an event with another id, so many ms later and behind all of the same moment.
fn insert_after(
    events: &mut Vec<Ev>,
    at: usize,
    after: i64,
    change: impl FnOnce(&mut Ev),
) -> String {
    let mut event = Ev { id: "fault".to_owned(), ..events[at].clone() };
    event.time += after;
    assert!(event.time > START - DAY);
    change(&mut event);
    let place = match after {
        // Right behind it, before what else there may be of the packet at its moment.
        0 => at + 1,
        _ => events.partition_point(|one| one.time <= event.time),
    };
    events.insert(place, event);
    number(events);
    "fault".to_owned()
}
