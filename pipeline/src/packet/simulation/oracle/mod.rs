//! What the engine must do, said a second time and plainly: written from the documentation of the
//! commands and replies, by someone who had not read the engine. It looks everything up by its
//! name, sums over all that ever happened, and takes its time.

mod decisions;
mod money;
mod packets;

use std::collections::{BTreeMap, BTreeSet};

use crate::packet::command::{Command, Decision, Funding, Purse, Request};
use crate::packet::draw::MasterSecret;
use crate::packet::engine::{ID_BYTES_MAX, PacketState, REQUEST_ID_BYTES_MAX, Rejected};
use crate::packet::ledger::MONEY_MAX;
use crate::packet::limits::Limits;
use crate::packet::reply::{Digest, Done, Happening, Refusal, Seq, Settlement, Wallet};
use crate::packet::units::{Day, Fen, Time};

pub(super) use self::money::Place;
use self::money::{Movements, Phase};
pub(super) use self::packets::Packet;

/// What the reply must be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) seq: Seq,
    pub(super) time: Time,
    pub(super) result: Result<Done, Refusal>,
    /// The wallet of the account that acts; none where the command names nobody who could have
    /// one.
    pub(super) wallet: Option<Wallet>,
    /// The head of the packet that the command is about, if there is such a packet.
    pub(super) head: Option<Digest>,
}

/// What must have been told beside the replies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) time: Time,
    pub(super) what: What,
}

/// A happening, with accounts by their names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Plain(Happening),
    Exhausted { packet: Seq, luckiest: String, next: Option<String> },
}

/// What a transaction is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Withdraw,
    Transfer,
    Send(String),
    Claim(String),
}

/// Money that waits for a decision, or did.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) seq: Seq,
    pub(super) time: Time,
    pub(super) kind: Kind,
    /// Who acts.
    pub(super) account: String,
    pub(super) fen: u64,
    reservation: usize,
    from: Place,
    to: Place,
    /// Where it goes when it is given back after a hold.
    back: Place,
    pub(super) decision: Option<Decision>,
    pub(super) settlement: Settlement,
    pub(super) held_until: Option<Time>,
}

/// The oracle.
#[derive(Clone)]
pub(super) struct Oracle {
    pub(super) limits: Limits,
    secret: MasterSecret,
    pub(super) clock: Time,
    last: Option<Time>,
    next: u64,
    answered: BTreeMap<String, (Vec<u8>, Expected)>,
    pub(super) movements: Movements,
    /// By the id of the request that made each.
    pub(super) transactions: BTreeMap<String, Transaction>,
    /// Those that are undecided or held.
    waiting: BTreeSet<String>,
    pub(super) packets: BTreeMap<String, Packet>,
    members: BTreeSet<(String, String)>,
    watched: BTreeSet<String>,
    clusters: BTreeMap<String, String>,
    cases: BTreeSet<String>,
    cleared: BTreeSet<Day>,
    /// The transactions that wait for a person.
    pub(super) queue: BTreeSet<Seq>,
    told: Vec<Told>,
    /// The packets whose chains have grown, in the order in which they first did.
    pub(super) grown: Vec<String>,
}

/// Something that time brings. The order is the one in which they are done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Fallback,
    HoldEnd,
    Expiry,
}

impl Oracle {
    pub(super) fn new(limits: Limits, secret: MasterSecret) -> Oracle {
        Oracle {
            limits,
            secret,
            clock: Time(i64::MIN),
            last: None,
            next: 0,
            answered: BTreeMap::new(),
            movements: Movements::default(),
            transactions: BTreeMap::new(),
            waiting: BTreeSet::new(),
            packets: BTreeMap::new(),
            members: BTreeSet::new(),
            watched: BTreeSet::new(),
            clusters: BTreeMap::new(),
            cases: BTreeSet::new(),
            cleared: BTreeSet::new(),
            queue: BTreeSet::new(),
            told: Vec::new(),
            grown: Vec::new(),
        }
    }

    pub(super) fn apply(
        &mut self,
        clock: Time,
        request: &Request<'_>,
    ) -> Result<Expected, Rejected> {
        if request.id.is_empty() || request.id.len() > REQUEST_ID_BYTES_MAX {
            return Err(Rejected::IdInvalid);
        }
        let body = postcard::to_allocvec(&request.command).unwrap();
        if let Some((first, reply)) = self.answered.get(request.id) {
            return if *first == body { Ok(reply.clone()) } else { Err(Rejected::IdTaken) };
        }
        self.advance(clock);
        let seq = Seq(self.next);
        self.next += 1;
        let time = self.moment();
        let result = self.execute(request, seq, time);
        let (account, packet) = self.concerned(request);
        let wallet = account.map(|account| self.movements.wallet(&account));
        let packet = packet.and_then(|packet| self.packets.get(&packet));
        let head = match result {
            Ok(Done::Claimed { index, .. }) => {
                packet.map(|packet| packet.claims[index as usize].head)
            }
            _ => packet.map(|packet| packet.head),
        };
        let reply = Expected { seq, time, result, wallet, head };
        self.answered.insert(request.id.to_owned(), (body, reply.clone()));
        Ok(reply)
    }

    /// Time passes to what the clock shows; a clock that goes back stands still.
    pub(super) fn advance(&mut self, clock: Time) {
        self.clock = self.clock.max(clock);
        while let Some((due, kind, _, name)) = self.dues().into_iter().min() {
            if due > self.clock {
                break;
            }
            let time = self.moment();
            match kind {
                Due::Fallback => self.fall_back(&name, time),
                Due::HoldEnd => self.end_hold(&name, time),
                Due::Expiry => self.expire(&name, time),
            }
        }
    }

    /// When the next thing falls due, for a clock that wants to be there.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.dues().into_iter().map(|(due, ..)| due).min()
    }

    /// When the next packet expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        let expiries = self.dues().into_iter().filter(|(_, due, ..)| *due == Due::Expiry);
        expiries.map(|(due, ..)| due).min()
    }

    pub(super) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    pub(super) fn wallet(&self, account: &str) -> Wallet {
        self.movements.wallet(account)
    }

    pub(super) fn state(&self, packet: &Packet) -> PacketState {
        packet.state()
    }

    /// Whether the transaction of a command is over and older than the memory.
    pub(super) fn may_forget(&self, seq: Seq) -> bool {
        let transaction = self.transactions.values().find(|transaction| transaction.seq == seq);
        let Transaction { time, settlement, .. } = transaction.expect("a transaction");
        let over = !matches!(settlement, Settlement::Undecided | Settlement::Held);
        over && time.after(self.limits.memory()) < self.clock
    }

    pub(super) fn commands(&self) -> u64 {
        self.next
    }

    /// Everyone who ever had money.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &str> {
        self.movements.accounts().into_iter()
    }

    fn dues(&self) -> Vec<(Time, Due, Seq, String)> {
        let mut dues = Vec::new();
        for id in &self.waiting {
            let transaction = &self.transactions[id];
            let (due, kind) = match transaction.held_until {
                Some(until) => (until, Due::HoldEnd),
                None => (transaction.time.after(self.limits.decision_max()), Due::Fallback),
            };
            dues.push((due, kind, transaction.seq, id.clone()));
        }
        for (id, packet) in &self.packets {
            if matches!(packet.state(), PacketState::Open | PacketState::Exhausted) {
                dues.push((packet.expires_at, Due::Expiry, packet.seq, id.clone()));
            }
        }
        dues
    }

    /// A moment later than all before.
    fn moment(&mut self) -> Time {
        let moment = match self.last {
            Some(Time(last)) => self.clock.max(Time(last + 1)),
            None => self.clock,
        };
        self.last = Some(moment);
        moment
    }

    fn tell(&mut self, time: Time, what: Happening) {
        self.told.push(Told { time, what: What::Plain(what) });
    }

    /// Whose wallet and which packet's head the reply shows.
    fn concerned(&self, request: &Request<'_>) -> (Option<String>, Option<String>) {
        let some = |id: &str| Some(id.to_owned());
        match request.command {
            Command::TopUp { account, .. }
            | Command::Withdraw { account, .. }
            | Command::Move { account, .. }
            | Command::Transfer { account, .. }
            | Command::Join { account, .. }
            | Command::Leave { account, .. }
            | Command::Link { account, .. }
            | Command::Thaw { account, .. } => (some(account), None),
            Command::Send(send) => (some(send.account), some(send.packet)),
            Command::Claim { account, packet, .. } => (some(account), some(packet)),
            Command::Decide { transaction, .. } | Command::Resolve { transaction, .. } => {
                match self.transactions.get(transaction) {
                    None => (None, None),
                    Some(transaction) => match &transaction.kind {
                        Kind::Send(packet) | Kind::Claim(packet) => {
                            (some(&transaction.account), some(packet))
                        }
                        Kind::Withdraw | Kind::Transfer => (some(&transaction.account), None),
                    },
                }
            }
            Command::Watch { .. } | Command::Clear { .. } | Command::Tick => (None, None),
        }
    }

    fn execute(&mut self, request: &Request<'_>, seq: Seq, now: Time) -> Result<Done, Refusal> {
        match request.command {
            Command::TopUp { account, amount } => {
                named(account)?;
                let fen = amount_allowed(amount)?;
                let from = Place::Transit(now.day());
                self.funded(&from, fen)?;
                self.movements.add(&from, &change_of(account), fen, Phase::Posted);
                Ok(Done::Applied)
            }
            Command::Withdraw { account, amount } => {
                named(account)?;
                let fen = amount_allowed(amount)?;
                let from = change_of(account);
                self.funded(&from, fen)?;
                let to = Place::Transit(now.day());
                let back = from.clone();
                self.reserve(request.id, seq, now, Kind::Withdraw, account, fen, [from, to, back]);
                Ok(Done::Waiting)
            }
            Command::Move { account, into, amount } => {
                named(account)?;
                let fen = amount_allowed(amount)?;
                let other = match into {
                    Purse::Change => Purse::Lingqiantong,
                    Purse::Lingqiantong => Purse::Change,
                };
                let from = Place::Purse(account.to_owned(), other);
                self.funded(&from, fen)?;
                let to = Place::Purse(account.to_owned(), into);
                self.movements.add(&from, &to, fen, Phase::Posted);
                Ok(Done::Applied)
            }
            Command::Transfer { account, to, amount, funding } => {
                named(account)?;
                let fen = amount_allowed(amount)?;
                if account == to {
                    return Err(Refusal::SameAccount);
                }
                named(to)?;
                let (from, back) = source(account, funding, now);
                self.funded(&from, fen)?;
                let places = [from, change_of(to), back];
                self.reserve(request.id, seq, now, Kind::Transfer, account, fen, places);
                Ok(Done::Waiting)
            }
            Command::Send(send) => self.send(request.id, &send, seq, now),
            Command::Claim { account, packet, guess, tie } => {
                self.claim(request.id, account, packet, guess, tie, seq, now)
            }
            Command::Join { group, account } => {
                named(group).and(named(account))?;
                self.members.insert((group.to_owned(), account.to_owned()));
                Ok(Done::Applied)
            }
            Command::Leave { group, account } => {
                named(group).and(named(account))?;
                self.members.remove(&(group.to_owned(), account.to_owned()));
                Ok(Done::Applied)
            }
            Command::Watch { group, under_review } => {
                named(group)?;
                match under_review {
                    true => self.watched.insert(group.to_owned()),
                    false => self.watched.remove(group),
                };
                Ok(Done::Applied)
            }
            Command::Link { account, cluster } => {
                named(account)?;
                cluster.map_or(Ok(()), named)?;
                match cluster {
                    Some(cluster) => self.clusters.insert(account.to_owned(), cluster.to_owned()),
                    None => self.clusters.remove(account),
                };
                Ok(Done::Applied)
            }
            Command::Decide { transaction, decision, .. } => {
                self.decide(transaction, decision, now)
            }
            Command::Resolve { transaction, resolution, actor, reason } => {
                self.resolve(transaction, resolution, actor, reason, now)
            }
            Command::Thaw { case, account, amount, actor, reason } => {
                self.thaw(case, account, amount, actor, reason)
            }
            Command::Clear { day } => self.clear(day),
            Command::Tick => Ok(Done::Applied),
        }
    }

    /// How much more money there can be.
    pub(super) fn room(&self) -> i128 {
        i128::from(MONEY_MAX.0) - self.movements.outside_the_bank()
    }

    /// Whether so much can be taken from a place.
    fn funded(&self, from: &Place, fen: u64) -> Result<(), Refusal> {
        if matches!(from, Place::Transit(_)) {
            // The bank always has it, but not without end.
            return if self.room() < i128::from(fen) { Err(Refusal::LedgerFull) } else { Ok(()) };
        }
        match self.movements.spendable(from) >= i128::from(fen) {
            true => Ok(()),
            false => Err(Refusal::FundsInsufficient),
        }
    }

    /// Makes a transaction, and allows it at once where no decision is awaited.
    #[expect(clippy::too_many_arguments, reason = "what a transaction is, in one place")]
    fn reserve(
        &mut self,
        id: &str,
        seq: Seq,
        time: Time,
        kind: Kind,
        account: &str,
        fen: u64,
        [from, to, back]: [Place; 3],
    ) {
        let reservation = self.movements.add(&from, &to, fen, Phase::Reserved);
        let transaction = Transaction {
            seq,
            time,
            kind,
            account: account.to_owned(),
            fen,
            reservation,
            from,
            to,
            back,
            decision: None,
            settlement: Settlement::Undecided,
            held_until: None,
        };
        self.transactions.insert(id.to_owned(), transaction);
        self.waiting.insert(id.to_owned());
        if !self.limits.decisions_awaited {
            self.settle(id, Decision::Allow, time);
        }
    }
}

/// Where the money of a funding comes from, and where it goes back to.
fn source(account: &str, funding: Funding, now: Time) -> (Place, Place) {
    match funding {
        Funding::Purse(purse) => {
            let purse = Place::Purse(account.to_owned(), purse);
            (purse.clone(), purse)
        }
        Funding::Bank => (Place::Transit(now.day()), change_of(account)),
    }
}

fn change_of(account: &str) -> Place {
    Place::Purse(account.to_owned(), Purse::Change)
}

fn named(id: &str) -> Result<(), Refusal> {
    match id.is_empty() || id.len() > ID_BYTES_MAX {
        true => Err(Refusal::IdInvalid),
        false => Ok(()),
    }
}

fn amount_allowed(amount: Fen) -> Result<u64, Refusal> {
    match amount {
        Fen::ZERO => Err(Refusal::AmountZero),
        amount if amount > Fen::MAX => Err(Refusal::AmountTooLarge),
        amount => Ok(amount.0),
    }
}
