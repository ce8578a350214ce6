//! Keyed by account: what became of the packets that it sent.
//!
//! What the packets' keeper finds of shares and of what goes back is told to the sender's keeper
//! within the same step.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::kept::{Row, RowKind};
use super::state::Usage;
use super::state_map::{KeyedState, StateMap, give_back};
use crate::keyed::{Key, Replies, Requests, by_row};
use crate::packet::luck::Ranks;
use crate::packet::requests::{DUE, RANK, SENDER_WORDS, SETTLED};
use crate::snapshot::kept_in;

/// How far back shares and packets count: 30 days.
const WINDOW_MS: i64 = 30 * 24 * 3_600_000;
/// Of a sender with more in the window the latest count: shares, and packets of which some is owed.
const KEPT_MAX: usize = 1_000;

/// What the keeper answers.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "packet.sent_deviation_30d",
        kind: RowKind::Double,
        doc: "how far the shares of all packets that the acting account sent are from the law of the \
              split, as packet.split_deviation, over 30 days, of the latest 1000: packets of few \
              shares, of which none can deviate by itself, do so together",
        doc_zh: "该账号30天内发出的全部红包(最近1000份)各份位次偏离抽取规则的程度,\
                 计算同 packet.split_deviation:份数少的红包单个看不出,合起来可见",
        unit: "chi-square with 2 degrees of freedom",
        misleads: "as packet.split_deviation; people's packets that are tilted by relationship deviate; \
                   null below 5 ranks; the last share of a packet has no rank, so that of packets of \
                   two shares one counts; it is looked at again and again: by honest luck at some \
                   sending within 200 shares over 18.4 for one sender of 400, over 30 for one of \
                   36000",
    },
    Row {
        name: "packet.unreturned_30d",
        kind: RowKind::Count,
        doc: "packets that the acting account sent and people claimed, whose rest nobody claimed and \
              that has not gone back though the time for it was over (a day and an hour after the \
              first claim) within the last 30 days; of the latest 1000 of which something is owed",
        doc_zh: "该账号发出且有人领取、剩余金额逾期(首次领取后一天零一小时)仍未退回的红包数\
                 (逾期时刻在30天内,只计最近1000个仍有剩余的红包)",
        unit: "packets",
        misleads: "in a stream without refunds every packet that is not claimed whole; a refund of a \
                   packet that is forgotten (72 hours after its last event) settles nothing; a packet \
                   that nobody claimed never counts, for it may have been blocked; who has more than \
                   1000 packets open at a time hides the earlier ones",
    },
];

/// One worker's part of the accounts that send packets.
pub(crate) struct Senders {
    accounts: StateMap<Sender>,
}

/// What is known of one account's packets.
#[derive(Default, Serialize, Deserialize)]
struct Sender {
    /// The shares' times, mid-ranks and variances, the earliest first.
    shares: VecDeque<(i64, u32, u32)>,
    ranks: Ranks,
    /// Packets of which something is owed, and until when it goes back.
    owed: VecDeque<(u64, i64)>,
}

kept_in!(Senders, accounts);

impl Senders {
    pub(crate) fn new() -> Senders {
        Senders { accounts: StateMap::new() }
    }

    /// Applies the batches of one slice: of each row first what there is to tell, then the lookup.
    pub(crate) fn apply(&mut self, batches: &[Requests], replies: &mut Replies) {
        for (nth, at) in by_row(batches) {
            let (batch, time) = (&batches[nth], batches[nth].asked[at].time);
            // The packets' keeper knows no more of an account than its hash.
            let key = Key { check: 0, ..batch.key(at) };
            if batch.asked[at].lookups == 0 {
                let words = &batch.words[at * SENDER_WORDS..][..SENDER_WORDS];
                match batch.asked[at].streams {
                    RANK => {
                        let sender = self.accounts.entry(key, time);
                        sender.drawn(time, words[0] as u32, words[1] as u32);
                    }
                    DUE => self.accounts.entry(key, time).owes(words[0], words[1] as i64),
                    SETTLED => {
                        if let Some(sender) = self.accounts.get(key) {
                            sender.settled(words[0]);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let Some(sender) = self.accounts.get(key) else { continue };
            sender.expire(time);
            replies.rows.push(batch.asked[at].row);
            replies.lookups.push(1);
            let deviation = sender.ranks.deviation().unwrap_or(f64::NAN);
            replies.values.extend([deviation.to_bits(), sender.unreturned(time) as u64]);
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.accounts.usage()
    }
}

impl Sender {
    fn drawn(&mut self, time: i64, mid: u32, variance: u32) {
        self.expire(time);
        if self.shares.len() == KEPT_MAX {
            self.drop_share();
        }
        self.shares.push_back((time, mid, variance));
        self.ranks.put(mid, variance);
    }

    fn drop_share(&mut self) {
        if let Some((_, mid, variance)) = self.shares.pop_front() {
            self.ranks.take(mid, variance);
        }
    }

    fn owes(&mut self, packet: u64, due: i64) {
        self.settled(packet);
        if self.owed.len() == KEPT_MAX {
            self.owed.pop_front();
        }
        self.owed.push_back((packet, due));
    }

    fn settled(&mut self, packet: u64) {
        if let Some(at) = self.owed.iter().position(|(held, _)| *held == packet) {
            self.owed.remove(at);
        }
    }

    fn unreturned(&self, time: i64) -> usize {
        self.owed.iter().filter(|(_, due)| *due < time).count()
    }
}

impl KeyedState for Sender {
    fn expire(&mut self, moment: i64) {
        let from = moment - WINDOW_MS;
        while self.shares.front().is_some_and(|(time, ..)| *time <= from) {
            self.drop_share();
        }
        // Late events make them stand in no order of time.
        if self.owed.iter().any(|(_, due)| *due <= from) {
            self.owed.retain(|(_, due)| *due > from);
        }
        give_back(&mut self.shares);
        give_back(&mut self.owed);
    }

    fn is_over(&self) -> bool {
        self.shares.is_empty() && self.owed.is_empty()
    }

    fn touch(&self) -> u64 {
        self.shares.front().map_or(0, |(time, ..)| *time as u64)
    }

    fn events(&self) -> usize {
        self.shares.len() + self.owed.len()
    }

    fn heap_bytes(&self) -> usize {
        self.shares.capacity() * size_of::<(i64, u32, u32)>()
            + self.owed.capacity() * size_of::<(u64, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    #[test]
    fn shares_count_for_thirty_days_and_the_latest_thousand() {
        let mut sender = Sender::default();
        (0..5).for_each(|at| sender.drawn(at, u32::MAX, 0));
        sender.expire(30 * DAY - 1);
        assert!(sender.ranks.deviation().is_some());
        sender.expire(30 * DAY);
        assert_eq!(sender.ranks.deviation(), None, "four are left");
        let mut many = Sender::default();
        (0..1_000).for_each(|at| many.drawn(at, 0, 7));
        (0..1_000).for_each(|at| many.drawn(at, u32::MAX, 9));
        let mut last = Ranks::default();
        (0..1_000).for_each(|_| last.put(u32::MAX, 9));
        assert_eq!(many.ranks.deviation(), last.deviation(), "nothing is left of the first");
        many.expire(31 * DAY);
        assert!(many.is_over() && many.ranks.deviation().is_none());
    }

    #[test]
    fn a_packet_is_owed_from_its_time_on_until_it_is_settled_or_forgotten() {
        let mut sender = Sender::default();
        sender.owes(1, 10);
        sender.owes(2, 20);
        sender.owes(1, 30);
        for (time, count) in [(20, 0), (21, 1), (31, 2)] {
            assert_eq!(sender.unreturned(time), count, "at {time}");
        }
        sender.settled(2);
        assert_eq!(sender.unreturned(31), 1);
        sender.expire(30 * DAY + 29);
        assert_eq!(sender.unreturned(30 * DAY + 29), 1);
        sender.expire(30 * DAY + 30);
        assert!(sender.is_over());
        (0..2_000).for_each(|packet| sender.owes(packet, 40));
        assert_eq!(sender.unreturned(41), 1_000);
    }
}
