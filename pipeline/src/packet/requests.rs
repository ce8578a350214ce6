//! The referee as two keyed families: packets' events go to the worker that keeps the packet, and
//! what it finds of shares and refunds goes on to the worker that keeps the account.

use std::array;
use std::rc::Rc;

use super::finding::Finding;
use super::limits::Limits;
use super::luck::{Fortunes, HASTE_MS, Ranks};
use super::plays::{Rules, TABLE};
use super::referee::{Law, PacketEvent, Referee, Rest, Ruling};
use super::split::Rank;
use crate::event::{AMOUNT_FEN, EVENT_TIME, Kind, NULL_INT, PLAY, SEQ, SHARES};
use crate::keyed::{Addressing, Asked, KEY_GROUPS, Key, Replies, Requests, by_row, halves, whole};
use crate::snapshot::{Broken, Share, Snapshot};
use crate::source::order::Slice;

/// Words of a request about a packet: head, amount, shares on a send and the counterparty on a
/// claim, account (two), group, device (two).
const WORDS: usize = 8;

/// What an account is told of, by bit of a request's streams: a share's rank, a faulty refund, a
/// claim sooner than a hand.
pub(crate) const RANK: u32 = 1;
const FAULT: u32 = 2;
const HASTE: u32 = 4;

/// What the sender of a packet is told of beside a share's rank, by bit likewise: until when the rest
/// of the packet goes back, and that nothing of it is owed any more.
pub(crate) const DUE: u32 = 8;
pub(crate) const SETTLED: u32 = 16;

/// Words of what a sender is told: a rank and its variance, or the packet and a time.
pub(crate) const SENDER_WORDS: usize = 2;

/// The stream of a claim's latency in ms that a device or a group is told of.
pub(crate) const LATENCY: u32 = 2;

/// Whom the packets' keeper has something to tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Accounts,
    Devices,
    Groups,
    Senders,
}

/// The number of [`Told`].
pub(crate) const TOLD: usize = 4;

/// The requests of a slice's packet events, a batch for each worker; `keys` are those of packets,
/// accounts, counterparties, groups and devices.
pub(crate) fn packet_requests(
    slice: &Slice,
    [packets, accounts, counterparties, groups, devices]: &[Rc<[Key]>; 5],
    to: &Addressing,
) -> Vec<Requests> {
    let chunk = &slice.chunk;
    let mut batches = Requests::batches(to, chunk.len(), WORDS);
    for row in 0..chunk.len() {
        let kind = chunk.kind(row);
        if !matches!(kind, Kind::Send | Kind::Claim | Kind::Refund) {
            continue;
        }
        let key = packets[row];
        if key == Key::NULL {
            continue;
        }
        let late = slice.effective[row] - chunk.int(EVENT_TIME, row);
        let sequenced = chunk.int(SEQ, row) != NULL_INT;
        let (play, other) = match kind {
            Kind::Send => (place_of(chunk.str(PLAY, row)), chunk.int(SHARES, row) as u64),
            _ => (0, counterparties[row].hash as u64),
        };
        let [low, high] = halves(accounts[row].hash);
        let device = halves(devices[row].hash);
        let batch = &mut batches[key.group() % to.peers];
        batch.push(row, key, slice.effective[row], 1, 1);
        batch.words.extend([
            head(kind, play, sequenced, groups[row].group(), late),
            chunk.int(AMOUNT_FEN, row) as u64,
            other,
            low,
            high,
            groups[row].hash as u64,
            device[0],
            device[1],
        ]);
    }
    batches
}

/// Kind in four bits, play in three, whether it is sequenced in one, key group of the group in
/// eight, and above how late it came, in ms.
fn head(kind: Kind, play: u64, sequenced: bool, group: usize, late: i64) -> u64 {
    const { assert!(Kind::ALL.len() <= 16 && TABLE.len() < 8 && KEY_GROUPS <= 256) };
    kind as u64 | play << 4 | u64::from(sequenced) << 7 | (group as u64) << 8 | (late as u64) << 16
}

/// A play's place in the table, from 1; 0 where it is null.
fn place_of(play: &str) -> u64 {
    TABLE.iter().position(|rules| rules.name == play).map_or(0, |at| at as u64 + 1)
}

fn play_at(place: u64) -> Option<&'static Rules> {
    TABLE.get((place as usize).checked_sub(1)?)
}

/// The words of an answer about a packet: finding, rank of the share, deviation of the split,
/// shares taken, fen left, ms since the sending.
const ANSWER_WORDS: usize = 6;

fn answer(ruling: &Ruling) -> [u64; ANSWER_WORDS] {
    let rank = ruling.share_rank.map_or(f64::NAN, |rank| f64::from(rank.mid) / 4_294_967_296.0);
    [
        ruling.finding as u64,
        rank.to_bits(),
        ruling.split_deviation.unwrap_or(f64::NAN).to_bits(),
        ruling.shares_taken.unwrap_or(NULL_INT) as u64,
        ruling.left.unwrap_or(NULL_INT) as u64,
        ruling.latency.unwrap_or(NULL_INT) as u64,
    ]
}

/// One worker's part of the packets.
pub(crate) struct RefereeState {
    groups: Vec<Referee>,
    peers: usize,
    /// Who listens, by [`Told`].
    listens: [bool; TOLD],
}

impl Snapshot for RefereeState {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        let held = self.groups.iter().enumerate().filter(|(_, group)| !group.is_empty());
        held.for_each(|(number, group)| put(number, group.save()));
    }

    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        self.groups[number].load(bytes)
    }
}

impl RefereeState {
    pub(crate) fn new(peers: usize, listens: [bool; TOLD]) -> RefereeState {
        let law = Law::new(&Limits::default());
        let groups = (0..KEY_GROUPS).map(|_| Referee::new(law)).collect();
        RefereeState { groups, peers, listens }
    }

    /// Judges requests that are in total order. Returns what those who listen are to be told of, by
    /// [`Told`] a batch for each worker that there is something for.
    pub(crate) fn apply(
        &mut self,
        requests: &Requests,
        replies: &mut Replies,
    ) -> [Vec<Requests>; TOLD] {
        let to = Addressing {
            origin: requests.origin as usize,
            peers: self.peers,
            first: requests.first,
        };
        replies.make_room(requests, |_| ANSWER_WORDS);
        let mut tidings: [_; TOLD] = array::from_fn(|_| Requests::batches(&to, 0, 0));
        for (at, words) in requests.words.chunks_exact(WORDS).enumerate() {
            let Asked { time, row, lookups, .. } = requests.asked[at];
            let key = requests.key(at);
            let event = event_of(key, time, words);
            let Some(ruling) = self.groups[key.group()].judge(&event) else {
                continue;
            };
            if lookups != 0 {
                replies.rows.push(row);
                replies.lookups.push(1);
                replies.values.extend(answer(&ruling));
            }
            let mut tell = |whom: Told, key: Key, key_group: usize, stream: u32, words: &[u64]| {
                if self.listens[whom as usize] {
                    let batch = &mut tidings[whom as usize][key_group % self.peers];
                    batch.push(row as usize, key, event.time, stream, 0);
                    batch.words.extend(words);
                }
            };
            let account = Key { hash: event.account, check: 0 };
            if let Some(latency) = ruling.latency {
                let device = Key { hash: whole(&words[6..]), check: 0 };
                if device != Key::NULL {
                    tell(Told::Devices, device, device.group(), LATENCY, &[latency as u64]);
                }
                if event.group != 0 {
                    // Its keeper knows the row's group, and is told of the row alone.
                    let key_group = (words[0] >> 8 & 0xff) as usize;
                    tell(Told::Groups, Key::NULL, key_group, LATENCY, &[latency as u64]);
                }
                if event.group != 0 && (0..HASTE_MS).contains(&latency) {
                    tell(Told::Accounts, account, account.group(), HASTE, &[0]);
                }
            }
            let rank = ruling.share_rank.filter(Ranks::counts);
            if let Some(sender) = ruling.sender.map(|hash| Key { hash, check: 0 }) {
                let mut tell = |stream, words: [u64; SENDER_WORDS]| {
                    tell(Told::Senders, sender, sender.group(), stream, &words);
                };
                if let Some(Rank { mid, variance, .. }) = rank {
                    tell(RANK, [mid.into(), variance.into()]);
                }
                match ruling.rest {
                    Some(Rest::Due(time)) => tell(DUE, [event.packet as u64, time as u64]),
                    Some(Rest::Settled) => tell(SETTLED, [event.packet as u64, 0]),
                    None => {}
                }
            }
            let (stream, word) = match (event.kind, rank) {
                (Kind::Refund, _) if ruling.finding != Finding::Ok => {
                    (FAULT, ruling.finding as u64)
                }
                (_, Some(rank)) => (RANK, u64::from(rank.mid)),
                _ => continue,
            };
            tell(Told::Accounts, account, account.group(), stream, &[word]);
        }
        tidings.each_mut().map(|batches| {
            batches.retain(|batch| !batch.asked.is_empty());
            std::mem::take(batches)
        })
    }

    /// How many packets are remembered.
    pub(crate) fn len(&self) -> usize {
        self.groups.iter().map(Referee::len).sum()
    }
}

fn event_of(key: Key, time: i64, words: &[u64]) -> PacketEvent {
    let kind = Kind::ALL[(words[0] & 0xf) as usize];
    let send = kind == Kind::Send;
    PacketEvent {
        packet: key.hash,
        kind,
        time,
        event_time: time - (words[0] >> 16) as i64,
        sequenced: words[0] >> 7 & 1 == 1,
        amount: words[1] as i64,
        shares: if send { words[2] as i64 } else { NULL_INT },
        play: play_at(words[0] >> 4 & 0x7),
        account: whole(&words[3..]),
        counterparty: if send { 0 } else { words[2] },
        group: words[5],
    }
}

/// One worker's part of the accounts.
pub(crate) struct FortunesState {
    groups: Vec<Fortunes>,
}

impl Snapshot for FortunesState {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
        let held = self.groups.iter().enumerate().filter(|(_, group)| !group.is_empty());
        held.for_each(|(number, group)| put(number, group.save()));
    }

    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken> {
        self.groups[number].load(bytes)
    }
}

impl FortunesState {
    pub(crate) fn new() -> FortunesState {
        let groups = (0..KEY_GROUPS).map(|_| Fortunes::default()).collect();
        FortunesState { groups }
    }

    /// Applies the batches of one slice: of each row first what there is to tell, then lookups.
    pub(crate) fn apply(&mut self, batches: &[Requests], replies: &mut Replies) {
        for (nth, at) in by_row(batches) {
            let batch = &batches[nth];
            let (account, time) = (batch.key(at).hash, batch.asked[at].time);
            let fortunes = &mut self.groups[Key { hash: account, check: 0 }.group()];
            match batch.asked[at].streams {
                RANK => fortunes.claimed(account, time, batch.words[at] as u32),
                HASTE => fortunes.hastened(account, time),
                FAULT => {
                    let finding = Finding::ALL[batch.words[at] as usize];
                    fortunes.refunded(account, time, finding);
                }
                _ => {
                    let Some(known) = fortunes.of(account, time) else { continue };
                    replies.rows.push(batch.asked[at].row);
                    replies.lookups.push(1);
                    replies.values.extend([
                        known.luck.unwrap_or(f64::NAN).to_bits(),
                        known.refund_faults as u64,
                        known.refund_finding.map_or(u64::MAX, |finding| finding as u64),
                        known.hasty_claims as u64,
                    ]);
                }
            }
        }
    }

    /// How many accounts are remembered, and how many of their ranks and refunds.
    pub(crate) fn len(&self) -> (usize, usize) {
        let sum = |of: fn(&Fortunes) -> usize| self.groups.iter().map(of).sum();
        (sum(Fortunes::len), sum(Fortunes::events))
    }
}
