//! What the clients ask for: commands over few accounts, groups and packets, so that they meet.

use super::oracle::{Oracle, Packet, Place, Transaction};
use crate::packet::command::{
    Command, Decision, Funding, Next, PerMille, Play, Purse, Request, Resolution, Send, Tie,
    password_digest,
};
use crate::packet::engine::PacketState;
use crate::packet::reply::Settlement;
use crate::packet::units::{Day, Fen, Span, Time};

/// A die that falls the same way for the same seed (splitmix64, G. L. Steele and others, 2014).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// One of those, if there are any.
    fn any<T>(&mut self, from: impl Iterator<Item = T>) -> Option<T> {
        let mut from: Vec<T> = from.collect();
        match from.len() as u64 {
            0 => None,
            count => Some(from.swap_remove(self.below(count) as usize)),
        }
    }
}

pub(super) const ACCOUNTS: [&str; 6] = ["ada", "bo", "程", "dee", "eve", "fay🧧"];
const GROUPS: [&str; 3] = ["g", "麻将群", "g2"];
const CASES: [&str; 2] = ["case", "案"];
const CLUSTERS: [&str; 2] = ["devices", "设备"];

/// Makes commands.
pub(super) struct Workload {
    pub(super) dice: Dice,
    /// The ids of all requests that were made, and when.
    ids: Vec<(String, Time)>,
    packets_made: u32,
    /// What time it is for the engine when the next request reaches it.
    pub(super) now: Time,
    /// Nothing older than this many nanoseconds is spoken of: the engine may have forgotten it.
    speaks_of: i64,
}

impl Workload {
    pub(super) fn new(seed: u64, speaks_of_hours: u32) -> Workload {
        let speaks_of = i64::from(speaks_of_hours) * 3_600_000_000_000;
        let ids = Vec::new();
        Workload { dice: Dice::new(seed), ids, packets_made: 0, now: Time(0), speaks_of }
    }

    /// Whether the engine must still know what was made then, however long this command travels.
    pub(super) fn remembered(&self, made: Time) -> bool {
        self.now.0 - made.0 < self.speaks_of
    }

    /// A new request, as its bytes.
    pub(super) fn request(&mut self, oracle: &Oracle) -> Vec<u8> {
        let id = self.id();
        match self.dice.below(100) {
            0..8 => self.top_up(&id, oracle),
            8..12 => self.withdraw(&id, oracle),
            12..15 => self.move_between(&id, oracle),
            15..23 => self.transfer(&id, oracle),
            23..37 => self.send(&id, oracle),
            37..64 => self.claim(&id, oracle),
            64..70 => self.member(&id),
            70..72 => self.look(&id),
            72..86 => self.decide(&id, oracle),
            86..94 => self.resolve(&id, oracle),
            94..96 => self.thaw(&id, oracle),
            96..98 => self.clear(&id),
            _ => encode(&id, Command::Tick),
        }
    }

    fn id(&mut self) -> String {
        let fresh = format!("r{}", self.ids.len());
        let id = match self.dice.below(200) {
            0 => String::new(),
            1 => "i".repeat(65),
            2 => "包".repeat(22),
            3 => format!("{fresh:#>64}"),
            4..10 => self.old_id().unwrap_or(fresh),
            _ => fresh,
        };
        self.ids.push((id.clone(), self.now));
        id
    }

    fn old_id(&mut self) -> Option<String> {
        let ids = std::mem::take(&mut self.ids);
        let young = ids.iter().filter(|(_, made)| self.remembered(*made));
        // The first use counts, so an id that was used again is as old as then.
        let young: Vec<&String> = young.map(|(id, _)| id).collect();
        let old: Vec<&String> =
            ids.iter().filter(|(_, made)| !self.remembered(*made)).map(|(id, _)| id).collect();
        let id = self.dice.any(young.into_iter().filter(|id| !old.contains(id))).cloned();
        self.ids = ids;
        id
    }

    fn account(&mut self) -> String {
        match self.dice.below(150) {
            0 => String::new(),
            1 => "包".repeat(43),
            2 => "a".repeat(128),
            _ => self.dice.pick(&ACCOUNTS).to_owned(),
        }
    }

    fn group(&mut self) -> String {
        match self.dice.below(100) {
            0 => String::new(),
            1 => "g".repeat(129),
            _ => self.dice.pick(&GROUPS).to_owned(),
        }
    }

    /// An amount, often at an edge.
    fn amount(&mut self, spendable: i128, oracle: &Oracle) -> Fen {
        let spendable = u64::try_from(spendable).unwrap_or_default();
        let band = oracle.limits.fallback_allow_fen_below;
        Fen(match self.dice.below(40) {
            0 => 0,
            1 => Fen::MAX.0,
            2 => Fen::MAX.0 + 1,
            3 => u64::MAX,
            4 => spendable,
            5 => spendable + 1,
            6 => band - 1,
            7 => band,
            8..14 => 1 + self.dice.below(3),
            14..18 => 1 + self.dice.below(100_000),
            _ => 1 + self.dice.below(1_000),
        })
    }

    fn purse(&mut self) -> Purse {
        if self.dice.chance(75) { Purse::Change } else { Purse::Lingqiantong }
    }

    fn funding(&mut self) -> Funding {
        if self.dice.chance(25) { Funding::Bank } else { Funding::Purse(self.purse()) }
    }

    fn spendable(&self, account: &str, purse: Purse, oracle: &Oracle) -> i128 {
        oracle.movements.spendable(&Place::Purse(account.to_owned(), purse))
    }

    fn top_up(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let account = self.account();
        let room = u64::try_from(oracle.room()).expect("there is no more than there can be");
        let amount = match self.dice.below(20) {
            0..14 => Fen(1 + self.dice.below(200_000)),
            14 => Fen(room),
            15 => Fen(room + 1),
            16..18 => Fen::MAX,
            _ => self.amount(0, oracle),
        };
        encode(id, Command::TopUp { account: &account, amount })
    }

    fn withdraw(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let account = self.account();
        let amount = self.amount(self.spendable(&account, Purse::Change, oracle), oracle);
        encode(id, Command::Withdraw { account: &account, amount })
    }

    fn move_between(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let (account, into) = (self.account(), self.dice.pick(&PURSES));
        let from = if into == Purse::Change { Purse::Lingqiantong } else { Purse::Change };
        let amount = self.amount(self.spendable(&account, from, oracle), oracle);
        encode(id, Command::Move { account: &account, into, amount })
    }

    fn transfer(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let (account, to, funding) = (self.account(), self.account(), self.funding());
        let spendable = match funding {
            Funding::Purse(purse) => self.spendable(&account, purse, oracle),
            Funding::Bank => 0,
        };
        let amount = self.amount(spendable, oracle);
        encode(id, Command::Transfer { account: &account, to: &to, amount, funding })
    }

    fn send(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let limits = &oracle.limits;
        let mut account = self.account();
        let mut group = self.dice.chance(60).then(|| self.group());
        let packet = self.new_packet_name(oracle);
        let shares = match self.dice.below(40) {
            0 => 0,
            1 => limits.shares_max,
            2 => limits.shares_max + 1,
            3..18 => 2,
            _ => 1 + self.dice.below(5) as u32,
        };
        let (other, password) = (self.account(), password_digest(&packet, "新年快乐"));
        let after = self.packet_before(oracle, &mut account, &mut group);
        let play = match self.dice.below(20) {
            0..6 => Play::Lucky,
            6..9 => Play::Equal,
            9..11 => Play::Exclusive { to: &other },
            11..15 => Play::Relay {
                next: self.dice.pick(&[Next::Luckiest, Next::LeastLucky]),
                after: after.as_deref(),
            },
            15..17 => Play::Timed { from: self.release(oracle) },
            _ => Play::Password { digest: password },
        };
        let single = play.rules().single && self.dice.chance(90);
        let shares = if single { 1 } else { shares };
        let funding = self.funding();
        let amount = self.packet_amount(&account, shares, funding, oracle);
        let tilt = PerMille(match self.dice.below(10) {
            0..6 => 0,
            6 => limits.tilt_per_mille_max + 1,
            _ => limits.tilt_per_mille_max,
        });
        let (account, packet, group) = (&*account, &*packet, group.as_deref());
        let send = Send { account, packet, group, amount, shares, play, funding, tilt };
        encode(id, Command::Send(send))
    }

    fn new_packet_name(&mut self, oracle: &Oracle) -> String {
        self.packets_made += 1;
        let fresh = format!("p{}", self.packets_made);
        match self.dice.below(60) {
            0 => String::new(),
            1 => "p".repeat(129),
            2..4 => self.some_packet(oracle).map_or(fresh, |(id, _)| id),
            4 => format!("{fresh:福>40}"),
            _ => fresh,
        }
    }

    /// A packet for a relay to follow, most times by the one whose turn it is.
    fn packet_before(
        &mut self,
        oracle: &Oracle,
        account: &mut String,
        group: &mut Option<String>,
    ) -> Option<String> {
        if self.dice.chance(30) {
            return None;
        }
        let of = |(_, packet): &(&String, &Packet)| {
            packet.next_sender().is_some() && self.remembered(packet.time)
        };
        let finished: Vec<_> = oracle.packets.iter().filter(of).collect();
        let Some((id, before)) = self.dice.any(finished.into_iter()) else {
            return self.some_packet(oracle).map(|(id, _)| id);
        };
        if self.dice.chance(85) {
            *account = before.next_sender()?;
        }
        if self.dice.chance(90) {
            *group = before.group.clone();
        }
        Some(id.clone())
    }

    fn release(&mut self, oracle: &Oracle) -> Time {
        let (now, ahead) = (self.now, oracle.limits.timed_ahead_max());
        let ns = |more: i64| Time(now.0 + more);
        match self.dice.below(12) {
            0 => ns(-1),
            1 => now,
            2 => ns(1),
            3 => now.after(ahead),
            4 => Time(now.after(ahead).0 + 1),
            5 => Time(i64::MAX),
            6 => Time(i64::MIN),
            7..9 => ns(1_000_000_000 * self.dice.below(100) as i64),
            _ => ns(60_000_000_000 * self.dice.below(200) as i64),
        }
    }

    fn packet_amount(
        &mut self,
        account: &str,
        shares: u32,
        funding: Funding,
        oracle: &Oracle,
    ) -> Fen {
        let shares = u64::from(shares);
        let mean_max = u64::from(oracle.limits.share_mean_fen_max);
        let spendable = match funding {
            Funding::Purse(purse) => self.spendable(account, purse, oracle),
            Funding::Bank => 0,
        };
        match self.dice.below(20) {
            0 => Fen(shares),
            1 => Fen(shares.saturating_sub(1)),
            2 => Fen(shares * mean_max),
            3 => Fen(shares * mean_max + 1),
            4 => self.amount(spendable, oracle),
            5 => Fen(shares + self.dice.below(4)),
            6..10 => Fen(shares * (1 + self.dice.below(3))),
            _ => Fen(shares * (1 + self.dice.below(500))),
        }
    }

    fn some_packet<'o>(&mut self, oracle: &'o Oracle) -> Option<(String, &'o Packet)> {
        let open = self.dice.chance(75);
        let fits = |(_, packet): &(&String, &Packet)| {
            let ready = oracle.state(packet) == PacketState::Open;
            self.remembered(packet.time) && (ready || !open)
        };
        let mut packets: Vec<_> = oracle.packets.iter().filter(fits).collect();
        if packets.is_empty() {
            let young = |(_, packet): &(&String, &Packet)| self.remembered(packet.time);
            packets = oracle.packets.iter().filter(young).collect();
        }
        self.dice.any(packets.into_iter()).map(|(id, packet)| (id.clone(), packet))
    }

    fn claim(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let mut account = self.account();
        let tie = self.dice.pick(&[Tie::Close, Tie::None, Tie::Distant]);
        let (packet, guess) = match self.some_packet(oracle) {
            Some((id, packet)) if self.dice.chance(98) => {
                let play = packet.play();
                let right = match play {
                    Play::Password { digest } => Some(digest),
                    _ => None,
                };
                let other = ACCOUNTS.iter().filter(|name| !packet.has_share(name));
                if self.dice.chance(60) {
                    account = self.dice.any(other).map_or(account, |name| (*name).to_owned());
                }
                if let Play::Exclusive { to } = play
                    && self.dice.chance(70)
                {
                    account = to.to_owned();
                }
                let wrong = [None, Some(password_digest(&id, "恭喜")), Some([0; 32])];
                (id, if self.dice.chance(55) { right } else { self.dice.pick(&wrong) })
            }
            _ => (self.dice.pick(&["", "no such packet"]).to_owned(), None),
        };
        encode(id, Command::Claim { account: &account, packet: &packet, guess, tie })
    }

    fn member(&mut self, id: &str) -> Vec<u8> {
        let (group, account) = (&*self.group(), &*self.account());
        match self.dice.chance(75) {
            true => encode(id, Command::Join { group, account }),
            false => encode(id, Command::Leave { group, account }),
        }
    }

    fn look(&mut self, id: &str) -> Vec<u8> {
        let (group, account) = (&*self.group(), &*self.account());
        if self.dice.chance(50) {
            return encode(id, Command::Watch { group, under_review: self.dice.chance(40) });
        }
        let clusters = [None, Some(CLUSTERS[0]), Some(CLUSTERS[0]), Some(CLUSTERS[1]), Some("")];
        encode(id, Command::Link { account, cluster: self.dice.pick(&clusters) })
    }

    /// The id of a transaction: mostly of one in this state, or of any, or of none at all.
    fn transaction(&mut self, oracle: &Oracle, settlements: &[Settlement]) -> String {
        let aimed = self.dice.chance(80);
        let young = oracle.transactions.iter();
        let young: Vec<_> = young.filter(|(_, one)| self.remembered(one.time)).collect();
        let fits = |one: &Transaction| aimed && settlements.contains(&one.settlement);
        let aimed_at = young.iter().filter(|(_, one)| fits(one)).map(|(id, _)| *id);
        let found = self.dice.any(aimed_at);
        let found = found.or_else(|| self.dice.any(young.iter().map(|(id, _)| *id))).cloned();
        let other = match self.dice.chance(3) {
            true => self.old_id().or(Some(String::new())),
            false => None,
        };
        other.or(found).unwrap_or_else(|| "no such transaction".to_owned())
    }

    fn decide(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let transaction = self.transaction(oracle, &[Settlement::Undecided]);
        let hours = oracle.limits.hold_hours_max;
        let first = oracle.transactions.get(&transaction).and_then(|first| first.decision);
        let decision = match (self.dice.below(100), first) {
            (0..40, Some(first)) => first,
            (0..48, _) => Decision::Allow,
            (48..58, _) => Decision::Review,
            (58..82, _) => {
                let ttl = match self.dice.below(12) {
                    0 => Span::from_ms(0),
                    1 => Span::from_ms(1),
                    2..6 => Span::from_seconds(1 + self.dice.below(7_200) as u32),
                    6 => Span::from_seconds(hours * 3_600 + 1),
                    7 => Span::from_seconds(u32::MAX),
                    _ => oracle.limits.hold_max(),
                };
                Decision::Hold { ttl }
            }
            _ => Decision::Block,
        };
        let (rules_hash, evidence_hash) = ([1; 32], [self.dice.below(2) as u8; 32]);
        let transaction = &transaction;
        encode(id, Command::Decide { transaction, decision, rules_hash, evidence_hash })
    }

    fn resolve(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let settlements = [Settlement::Held];
        let mut transaction = self.transaction(oracle, &settlements);
        if self.dice.chance(15) {
            let on_queue = oracle.transactions.iter().filter(|(_, waiting)| {
                oracle.queue.contains(&waiting.seq) && self.remembered(waiting.time)
            });
            let on_queue: Vec<&String> = on_queue.map(|(id, _)| id).collect();
            transaction = self.dice.any(on_queue.into_iter()).cloned().unwrap_or(transaction);
        }
        let invalid = if self.dice.chance(4) { "" } else { self.dice.pick(&CASES) };
        let resolution = match self.dice.below(3) {
            0 => Resolution::Release,
            1 => Resolution::Return,
            _ => Resolution::Freeze { case: invalid },
        };
        let (actor, reason) = (self.actor(), self.reason());
        let (transaction, actor, reason) = (&*transaction, &*actor, &*reason);
        encode(id, Command::Resolve { transaction, resolution, actor, reason })
    }

    fn actor(&mut self) -> String {
        match self.dice.below(60) {
            0 => String::new(),
            1 => " \t".to_owned(),
            2 => "a".repeat(129),
            3 => "a".repeat(128),
            _ => "ann".to_owned(),
        }
    }

    fn reason(&mut self) -> String {
        match self.dice.below(60) {
            0 => String::new(),
            1 => "\u{3000}".to_owned(),
            2 => "因".repeat(342),
            3 => "r".repeat(1024),
            _ => "known from a letter".to_owned(),
        }
    }

    fn thaw(&mut self, id: &str, oracle: &Oracle) -> Vec<u8> {
        let case = self.dice.pick(&[CASES[0], CASES[0], CASES[1], CASES[1], "no case", ""]);
        let frozen = oracle.movements.balance(&Place::Frozen(case.to_owned()));
        let amount = match self.dice.chance(50) {
            true => Fen(1 + self.dice.below(frozen.max(1) as u64)),
            false => self.amount(frozen, oracle),
        };
        let (account, actor, reason) = (self.account(), self.actor(), self.reason());
        let (account, actor, reason) = (&*account, &*actor, &*reason);
        encode(id, Command::Thaw { case, account, amount, actor, reason })
    }

    fn clear(&mut self, id: &str) -> Vec<u8> {
        let Day(today) = self.now.day();
        let day = match self.dice.below(20) {
            0 => i32::MIN,
            1 => i32::MAX,
            2..4 => today,
            4..6 => today - 2,
            _ => today - 1,
        };
        encode(id, Command::Clear { day: Day(day) })
    }
}

/// What everybody does at the beginning, so that there is something to play with and for.
pub(super) fn beginning() -> impl Iterator<Item = Vec<u8>> {
    ACCOUNTS.iter().flat_map(|account| {
        let amount = Fen(100_000);
        let top_up = encode(&format!("money of {account}"), Command::TopUp { account, amount });
        let joins = GROUPS[..2].iter().map(move |group| {
            encode(&format!("{account} joins {group}"), Command::Join { group, account })
        });
        std::iter::once(top_up).chain(joins)
    })
}

const PURSES: [Purse; 2] = [Purse::Change, Purse::Lingqiantong];

pub(super) fn encode(id: &str, command: Command<'_>) -> Vec<u8> {
    postcard::to_allocvec(&Request { id, command }).expect("a request can be written")
}
