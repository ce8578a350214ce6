//! The laws of a packet in plain lines: what is found of each event, and each figure, computed from
//! the events before it. Nothing here is fast, and nothing here uses the referee that it judges.

use std::collections::BTreeMap;

use crate::support::Ev;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// A hold or a timed packet a week ahead, two seconds for a decision, an hour for a timer.
const OPENING: i64 = 168 * HOUR + 2_000 + HOUR;

/// What is known of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub(super) finding: &'static str,
    pub(super) shares_taken: Option<i64>,
    pub(super) left: Option<i64>,
    pub(super) rank: Option<f64>,
    pub(super) deviation: Option<f64>,
    pub(super) luck: Option<f64>,
    pub(super) refund_faults: i64,
    pub(super) refund_finding: &'static str,
    pub(super) sent_deviation: Option<f64>,
    pub(super) unreturned: usize,
    /// Of a rank that counts: its variance under the law.
    variance: Option<f64>,
    /// Who sent the packet.
    sender: String,
    /// After this event: until when what nobody claims goes back; none where nothing is owed.
    due: Option<i64>,
}

/// What is known of each of these events, which are in total order and none of them late.
pub(super) fn known(events: &[Ev]) -> Vec<Known> {
    let mut found: Vec<Known> = Vec::new();
    for at in 0..events.len() {
        let mut one = of_packet(events, at, &found);
        found.push(one.clone());
        of_account(events, at, &found, &mut one);
        found[at] = one;
    }
    found
}

/// What the engine would have refused takes no share.
const REFUSED: [&str; 8] = [
    "after_refund",
    "expired",
    "other_sender",
    "other_group",
    "claimed_twice",
    "too_many_claims",
    "claim_of_nothing",
    "overdrawn",
];

/// The places of the earlier events of the same packet that are still remembered.
fn history(events: &[Ev], at: usize, found: &[Known]) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    let mut last = i64::MAX;
    for place in (0..=at).filter(|place| events[*place].packet == events[at].packet) {
        let is = |place: &usize, kind| events[*place].kind == kind;
        let took = |place: &usize| is(place, "claim") && !REFUSED.contains(&found[*place].finding);
        let sent = places.iter().position(|place| is(place, "send"));
        let refunded = |sent| places[sent..].iter().any(|place| is(place, "refund"));
        let waits = !places.iter().any(took) && sent.is_some_and(|sent| !refunded(sent));
        let kept = 3 * DAY + if waits { OPENING + DAY } else { 0 };
        if events[place].time > last.saturating_add(kept) {
            places.clear();
        }
        last = events[place].time;
        places.push(place);
    }
    places.pop();
    // A refund of what nobody knows is not remembered either.
    let first = places.iter().position(|place| events[*place].kind != "refund");
    places.split_off(first.unwrap_or(places.len()))
}

fn of_packet(events: &[Ev], at: usize, found: &[Known]) -> Known {
    let event = &events[at];
    if event.packet.is_empty() || !["send", "claim", "refund"].contains(&event.kind) {
        return Known::default();
    }
    let history = history(events, at, found);
    let only = |finding| Known { finding, ..Known::default() };
    let sent = history.iter().copied().find(|place| events[*place].kind == "send");
    let Some(sent) = sent.or((event.kind == "send").then_some(at)) else {
        return only(if event.kind == "refund" { "refund_unknown" } else { "packet_unknown" });
    };
    let send = &events[sent];
    // The claims that took a share; before the sending one for each account.
    let mut claims: Vec<usize> = Vec::new();
    for place in history.iter().copied().filter(|place| events[*place].kind == "claim") {
        let mut accounts = claims.iter().map(|place| &events[*place].account);
        let repeated = accounts.any(|account| *account == events[place].account);
        let refused = REFUSED.contains(&found[place].finding);
        if !(refused || place < sent && repeated) {
            claims.push(place);
        }
    }
    let after = history.iter().filter(|place| **place > sent).map(|place| &events[*place]);
    let refunds: Vec<&Ev> = after.filter(|event| event.kind == "refund").collect();
    // All of it was seen as the engine would have had it.
    let whole = history.iter().all(|place| {
        *place == sent
            || (*place > sent
                && events[*place].kind != "send"
                && !REFUSED.contains(&found[*place].finding)
                || events[*place].kind == "refund")
    });
    let packet = Packet { send, claims: &claims, refunds: &refunds, whole, events, found };
    let mut one = match event.kind {
        "send" if sent != at => only("packet_reused"),
        "send" => only(packet.sending(event)),
        "claim" => packet.claim(event),
        _ => only(packet.refund(event)),
    };
    let takes = event.kind == "claim" && !REFUSED.contains(&one.finding);
    let taken = claims.len() as i64 + i64::from(takes);
    let own = if takes { event.amount.unwrap() } else { 0 };
    one.shares_taken = Some(taken);
    one.left = Some(send.amount.unwrap() - packet.claimed() - own);
    let earlier = claims.iter().map(|place| &found[*place]);
    one.deviation = deviation(earlier.chain([&one]).filter_map(from_half).collect());
    one.sender.clone_from(&send.account);
    let times = claims.iter().map(|place| events[*place].time);
    let first = times.chain(takes.then_some(event.time)).min();
    let over = event.kind == "refund" || !packet.refunds.is_empty() || one.left <= Some(0);
    one.due = first.filter(|_| !over).map(|first| first + DAY + HOUR);
    one
}

/// How far a rank that counts is from a half, and its variance.
fn from_half(known: &Known) -> Option<(f64, f64)> {
    Some((known.rank? - 0.5, known.variance?))
}

/// Neyman's statistic.
fn deviation(ranks: Vec<(f64, f64)>) -> Option<f64> {
    let first: f64 = ranks.iter().map(|(y, _)| y).sum();
    let second: f64 = ranks.iter().map(|(y, variance)| y * y - variance).sum();
    let count = ranks.len() as f64;
    (ranks.len() >= 5).then(|| (12.0 * first * first + 180.0 * second * second) / count)
}

struct Packet<'a> {
    send: &'a Ev,
    claims: &'a [usize],
    refunds: &'a [&'a Ev],
    whole: bool,
    events: &'a [Ev],
    found: &'a [Known],
}

impl Packet<'_> {
    fn claimed(&self) -> i64 {
        self.claims.iter().map(|place| self.events[*place].amount.unwrap()).sum()
    }

    fn sending(&self, send: &Ev) -> &'static str {
        let amount = send.amount.unwrap();
        if self.claims.iter().any(|place| self.events[*place].time < send.time) {
            return "sent_after_claims";
        }
        let Some(shares) = send.shares else {
            return if amount == 0 { "share_amount_out_of_limits" } else { "ok" };
        };
        if !(1..=100).contains(&shares) {
            "shares_out_of_limits"
        } else if send.play == "exclusive" && shares != 1 {
            "shares_not_one"
        } else if amount < shares || amount > 20_000 * shares {
            "share_amount_out_of_limits"
        } else if send.play == "equal" && amount % shares != 0 {
            "shares_uneven"
        } else {
            "ok"
        }
    }

    fn claim(&self, event: &Ev) -> Known {
        let (send, taken) = (self.send, self.claims.len() as i64);
        let amount = event.amount.unwrap();
        let left = send.amount.unwrap() - self.claimed();
        let first = self.claims.iter().map(|place| self.events[*place].time).min();
        let opened = first.unwrap_or(i64::MAX).min(send.time + OPENING);
        let differ = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
        let claimed = |place: &usize| self.events[*place].account == event.account;
        let only = |finding| Known { finding, ..Known::default() };
        if self.refunds.iter().any(|refund| refund.time <= event.time) {
            return only("after_refund");
        } else if event.time > opened + DAY {
            return only("expired");
        } else if differ(&event.counterparty, &send.account) {
            return only("other_sender");
        } else if differ(&event.group, &send.group) {
            return only("other_group");
        } else if self.claims.iter().any(claimed) {
            return only("claimed_twice");
        } else if send.shares.is_some_and(|shares| taken >= shares) {
            return only("too_many_claims");
        } else if amount == 0 {
            return only("claim_of_nothing");
        } else if amount > left {
            return only("overdrawn");
        }
        let Some(shares) = send.shares else { return only("ok") };
        let to_come = shares - taken - 1;
        let equal = send.play == "equal" || send.play == "exclusive";
        if equal && send.amount.unwrap() % shares == 0 {
            let right = amount * shares == send.amount.unwrap();
            return only(if right { "ok" } else { "share_unequal" });
        }
        if left > to_come && left - amount < to_come {
            return only("reserve_short");
        }
        if equal || send.play.is_empty() || !self.whole {
            return only("ok");
        }
        if to_come == 0 {
            return only(if amount < left { "remainder_left" } else { "ok" });
        }
        let broken = |place: &usize| {
            ["reserve_short", "share_impossible"].contains(&self.found[*place].finding)
        };
        let untold = |place: &usize| {
            let before = self.events[*place].time;
            before == event.time && event.seq.is_none()
        };
        let earlier_untold = self.claims.windows(2).any(|two| {
            let [one, next] = [&self.events[two[0]], &self.events[two[1]]];
            one.time == next.time && next.seq.is_none()
        });
        if self.claims.iter().any(broken)
            || self.claims.last().is_some_and(untold)
            || earlier_untold
            || left < to_come + 1
        {
            return only("ok");
        }
        rank(left, to_come + 1, amount)
    }

    fn refund(&self, event: &Ev) -> &'static str {
        let left = self.send.amount.unwrap() - self.claimed();
        let amounts = self.claims.iter().map(|place| self.events[*place].amount.unwrap());
        let more = event.amount.unwrap() - left;
        if !self.refunds.is_empty() {
            "refunded_twice"
        } else if event.time < self.send.time + DAY {
            "refund_early"
        } else if event.account != self.send.account {
            "other_sender"
        } else if !event.group.is_empty()
            && !self.send.group.is_empty()
            && event.group != self.send.group
        {
            "other_group"
        } else if !self.whole {
            "ok"
        } else if more < 0 {
            "refund_short"
        } else if more > 0 && (amounts.clone().all(|one| more < one) || more > amounts.sum()) {
            "refund_excess"
        } else {
            "ok"
        }
    }
}

/// A share is 1 + a whole number from 0 to a bound, each alike; the bound is twice the free money by
/// the shares to come, rounded up or down with the probabilities that keep its mean.
fn rank(left: i64, shares_left: i64, amount: i64) -> Known {
    let twice = 2 * (left - shares_left);
    let up = (twice % shares_left) as f64 / shares_left as f64;
    let bounds = [(twice / shares_left, 1.0 - up), (twice / shares_left + 1, up)];
    let number = amount - 1;
    let probability = |number: i64| -> f64 {
        let of_bound = |(bound, p): &(i64, f64)| {
            if number <= *bound { p / (*bound + 1) as f64 } else { 0.0 }
        };
        bounds.iter().map(of_bound).sum()
    };
    if probability(number) == 0.0 {
        return Known { finding: "share_impossible", ..Known::default() };
    }
    let below_and_half = |(bound, p): &(i64, f64)| {
        if number <= *bound { p * (number as f64 + 0.5) / (*bound + 1) as f64 } else { *p }
    };
    let fine = bounds[0].0 + 1 >= 10;
    // All amounts but the largest are alike.
    let cube = |p: f64| p * p * p;
    let cubes = (bounds[0].0 + 1) as f64 * cube(probability(0)) + cube(probability(bounds[1].0));
    Known {
        finding: "ok",
        rank: Some(bounds.iter().map(below_and_half).sum()),
        variance: fine.then_some((1.0 - cubes) / 12.0),
        ..Known::default()
    }
}

/// Luck and refunds of the account of a transaction, over thirty days.
fn of_account(events: &[Ev], at: usize, found: &[Known], one: &mut Known) {
    let now = &events[at];
    let within = |place: &usize| {
        events[*place].account == now.account && events[*place].time > now.time - 30 * DAY
    };
    let ranks: Vec<f64> = (0..=at)
        .filter(within)
        .filter_map(|place| found[place].variance.and(found[place].rank))
        .collect();
    let ranks = &ranks[ranks.len().saturating_sub(1_000)..];
    if ranks.len() >= 10 {
        let from_half: f64 = ranks.iter().map(|rank| rank - 0.5).sum();
        one.luck = Some(from_half / (ranks.len() as f64 / 12.0).sqrt());
    }
    let faults: Vec<&str> = (0..=at)
        .filter(within)
        .filter(|place| events[*place].kind == "refund")
        .filter(|place| !["", "ok"].contains(&found[*place].finding))
        .map(|place| found[place].finding)
        .collect();
    one.refund_faults = faults.len().min(100) as i64;
    one.refund_finding = faults.last().copied().unwrap_or("");
    of_sender(events, at, found, one);
}

/// What became of the packets that the account of a transaction sent.
fn of_sender(events: &[Ev], at: usize, found: &[Known], one: &mut Known) {
    let now = &events[at];
    let theirs: Vec<usize> = (0..=at).filter(|place| found[*place].sender == now.account).collect();
    let within = |place: &&usize| events[**place].time > now.time - 30 * DAY;
    let shares = theirs.iter().filter(within).filter_map(|place| from_half(&found[*place]));
    let shares: Vec<(f64, f64)> = shares.collect();
    one.sent_deviation = deviation(shares[shares.len().saturating_sub(1_000)..].to_vec());
    let mut owed: BTreeMap<&str, Option<i64>> = BTreeMap::new();
    for place in &theirs {
        owed.insert(&events[*place].packet, found[*place].due);
    }
    let over = |due: &i64| *due < now.time && *due > now.time - 30 * DAY;
    one.unreturned = owed.into_values().flatten().filter(over).count();
}
