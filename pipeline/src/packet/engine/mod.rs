//! The engine: one state, changed by one command at a time.
//!
//! It has no clock, no files and no randomness of its own: the caller says what time it is, and the
//! same commands at the same times give the same replies, byte for byte. Every command gets a
//! moment later than all before it. What has fallen due is done before the command.

mod ahead;
mod audit;
mod due;
mod packet;
mod play;
mod transaction;

use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use self::due::{Agenda, Due};
use self::packet::Packet;
use self::transaction::{Kind, Transaction};
use super::bugs::{Bug, made};
use super::chain;
use super::command::{Command, PerMille, Purse, Request};
use super::draw::{self, MasterSecret};
use super::hash_index::HashIndex;
use super::ledger::{Ledger, Place};
use super::limits::Limits;
use super::names::{self, Names};
use super::numbered::Numbered;
use super::plays::Rules;
use super::reply::{Digest, Done, Effect, Happening, Refusal, Reply, Seq, Settlement, Wallet};
use super::units::{Day, Fen, Time};

pub use self::ahead::AHEAD;
pub use self::packet::{Claim, PacketState, Parts};

/// Bytes of an id of a command.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Bytes of an id of an account, a packet, a group, a case or a cluster, and of an actor's name.
pub const ID_BYTES_MAX: usize = 128;
/// Chunks of commands that are made ready: as many as the largest batch takes.
const READY: usize = 4;
/// Bytes of a request, mostly.
const REQUEST_BYTES_USUAL: usize = 192;
/// Bytes of the reason of a person's act.
pub const REASON_BYTES_MAX: usize = 1024;

/// Why a request is no command: it changes nothing and is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The id is empty or too long.
    #[error("the request's id must have 1 to {REQUEST_ID_BYTES_MAX} bytes")]
    IdInvalid,
    /// The id is that of another command.
    #[error("the request's id was used for another command")]
    IdTaken,
}

/// The packet engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Engine {
    limits: Limits,
    #[serde(skip)]
    secret: MasterSecret,
    /// The last moment that was given.
    last: Time,
    /// What time it is, by the caller.
    clock: Time,
    accounts: Names,
    people: Numbered<Person>,
    groups: Names,
    /// By group.
    under_review: Vec<bool>,
    #[serde(serialize_with = "in_order")]
    members: HashSet<(u32, u32), BuildHasherDefault<FxHasher>>,
    clusters: Names,
    cases: Names,
    packets: Numbered<Packet>,
    /// By their ids.
    #[serde(skip)]
    packet_numbers: HashIndex,
    transactions: Numbered<Transaction>,
    executed: Numbered<Executed>,
    /// By their ids.
    #[serde(skip)]
    executed_numbers: HashIndex,
    ledger: Ledger,
    cleared: BTreeSet<Day>,
    agenda: Agenda,
    /// Transactions for a person to look at: those in review and those held.
    queue: BTreeSet<Seq>,
    effects: Vec<Effect>,
    /// Packets whose chain has grown since the last batch, in the order in which they did.
    touched: Vec<u64>,
}

/// An account beside its money.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Person {
    digest: Digest,
    cluster: Option<u32>,
    /// The day of the figures below.
    day: Day,
    sends: u32,
    sent: Fen,
}

/// A command that was executed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Executed {
    /// The [hash](id_hash) of its id.
    id: u128,
    /// A digest of the whole request.
    body: u64,
    reply: Reply,
    transaction: Option<u64>,
}

/// A command while it is executed: its place, and what it turns out to be about.
struct Step {
    seq: Seq,
    time: Time,
    account: Option<u32>,
    packet: Option<u64>,
    transaction: Option<u64>,
    /// The head at the claim's own link, where one was added.
    receipt: Option<Digest>,
}

/// A packet as anyone may look at it.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// The command that sent it.
    pub seq: Seq,
    /// Who sent it.
    pub sender: &'a str,
    /// The group into which it was sent, if it was into one.
    pub group: Option<&'a str>,
    /// How it is played.
    pub play: &'static Rules,
    /// Whose an exclusive one is.
    pub named: Option<&'a str>,
    /// In how many shares.
    pub shares: u32,
    /// How strongly ties tilt who gets which.
    pub tilt: PerMille,
    /// What its secret was told as when it was made.
    pub commitment: Digest,
    /// The secret of its draws, once it is closed.
    pub secret: Option<Digest>,
    /// Where it stands.
    pub state: PacketState,
    /// Its shares that were taken, in their order.
    pub claims: &'a [Claim],
    /// Where its money is.
    pub parts: Parts,
    /// The head of its chain.
    pub head: Digest,
    /// When its time is over.
    pub expires_at: Time,
    /// Who has to send the next packet, in a relay whose shares are all taken.
    pub next_sender: Option<&'a str>,
}

/// A transaction as anyone may look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionView<'a> {
    /// The command that made it.
    pub seq: Seq,
    /// Who acts.
    pub account: &'a str,
    /// How much.
    pub amount: Fen,
    /// Where it stands.
    pub settlement: Settlement,
}

/// A packet whose chain has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The packet's id.
    pub packet: &'a str,
    /// The head of its chain.
    pub head: Digest,
    /// The links of its chain.
    pub links: u32,
}

impl Engine {
    /// An engine without accounts.
    pub fn new(limits: Limits, secret: MasterSecret) -> Engine {
        Engine {
            limits,
            secret,
            last: Time(i64::MIN),
            clock: Time(i64::MIN),
            accounts: Names::default(),
            people: Numbered::default(),
            groups: Names::default(),
            under_review: Vec::new(),
            members: HashSet::default(),
            clusters: Names::default(),
            cases: Names::default(),
            packets: Numbered::default(),
            packet_numbers: HashIndex::default(),
            transactions: Numbered::default(),
            executed: Numbered::default(),
            executed_numbers: HashIndex::default(),
            ledger: Ledger::default(),
            cleared: BTreeSet::new(),
            agenda: Agenda::default(),
            queue: BTreeSet::new(),
            effects: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Makes an engine whole that was read from where it was written with serde: neither the secret
    /// nor what can be found again from the rest is written.
    pub fn restored(mut self, secret: MasterSecret) -> Engine {
        self.secret = secret;
        self.executed_numbers.forget_before(self.executed.first());
        for (number, executed) in self.executed.iter() {
            self.executed_numbers.add(executed.id as u64, number);
        }
        self.packet_numbers.forget_before(self.packets.first());
        if made(Bug::PacketIdsAreNotRestored) {
            return self;
        }
        for number in self.packets.first()..self.packets.next() {
            self.add_packet_id(number);
        }
        self
    }

    /// Has threads beside make memory ready for the commands to come.
    pub fn make_ready(&mut self) {
        self.executed.make_ready(READY);
        self.transactions.make_ready(READY);
        self.packets.make_ready(1);
    }

    /// Executes a command at a time that the caller's clock shows; a clock that goes back is taken
    /// to stand still.
    ///
    /// # Errors
    /// When the request's id is not one or is that of another command. A refusal is no error but a
    /// reply.
    pub fn apply(&mut self, clock: Time, request: &Request<'_>) -> Result<Reply, Rejected> {
        // Most requests fit: growing into one byte by byte would move it several times.
        let bytes = postcard::to_extend(request, Vec::with_capacity(REQUEST_BYTES_USUAL))
            .expect("a request can be written to memory");
        self.apply_encoded(clock, request, &bytes)
    }

    /// As [`apply`](Self::apply), for a caller that has the request's postcard bytes already.
    pub fn apply_encoded(
        &mut self,
        clock: Time,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Result<Reply, Rejected> {
        if request.id.is_empty() || request.id.len() > REQUEST_ID_BYTES_MAX {
            return Err(Rejected::IdInvalid);
        }
        let id = id_hash(request.id);
        let body = xxh3_64(bytes);
        if let Some((_, known)) = self.executed_as(id)
            && !made(Bug::KnownIdRunsAgain)
        {
            let same = known.body == body || made(Bug::BodyIsNotCompared);
            return if same { Ok(known.reply) } else { Err(Rejected::IdTaken) };
        }
        self.advance(clock);
        let number = self.executed.next();
        let time = self.tick();
        let mut step = Step {
            seq: Seq(number),
            time,
            account: None,
            packet: None,
            transaction: None,
            receipt: None,
        };
        let result = self.execute(&mut step, &request.command);
        let mut wallet = None;
        if result.is_err() {
            // Whatever it was refused for, the reply shows what there is of what it is about: of an
            // account that no command has opened, nothing in every purse.
            let (account, packet) = request.command.about();
            step.account = step.account.or_else(|| self.accounts.find(account?));
            step.packet = step.packet.or_else(|| self.find_packet(packet?));
            wallet = account.map(|_| Wallet::default());
        }
        let reply = Reply {
            seq: step.seq,
            time,
            result,
            wallet: step.account.map(|account| self.ledger.wallet(account)).or(wallet),
            head: step.receipt.or_else(|| Some(self.packets[step.packet?].head)),
        };
        self.executed.push(Executed { id, body, reply, transaction: step.transaction });
        if result.is_ok() || !made(Bug::RefusedIdIsNotRemembered) {
            self.executed_numbers.add(id as u64, number);
        }
        Ok(reply)
    }

    /// The command whose id has this hash, with its number.
    fn executed_as(&self, id: u128) -> Option<(u64, &Executed)> {
        let command = |number: u64| self.executed.get(number).filter(|command| command.id == id);
        let is_it = |number| command(number).is_some();
        let number = self.executed_numbers.find(id as u64, is_it)?;
        Some((number, command(number)?))
    }

    /// Does what has fallen due at a time that the caller's clock shows.
    pub fn advance(&mut self, clock: Time) {
        let before = self.clock;
        self.do_due(clock);
        if clock > before {
            self.forget();
        }
    }

    /// As [`advance`](Self::advance), at the end of a batch. Where nothing has happened the clock stays
    /// where it was and nothing is forgotten: no journal gets such a batch, and who executes the
    /// journal again must come to the same.
    pub fn finish(&mut self, clock: Time) {
        let before = self.clock;
        self.do_due(clock);
        match self.effects.is_empty() {
            true => self.clock = before,
            false if clock > before => self.forget(),
            false => {}
        }
    }

    fn do_due(&mut self, clock: Time) {
        self.clock = self.clock.max(clock);
        // Also while the clock stands: a hold of no length falls due at once.
        while let Some(due) = self.agenda.next(self.clock) {
            match due {
                Due::Decision(transaction) => self.fall_back(transaction),
                Due::Hold(transaction) => self.hold_over(transaction),
                Due::Expiry(packet) => self.expire(packet),
            }
        }
    }

    /// What the engine did beside its replies since it was last taken.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Takes what the engine did beside its replies.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The same, after what stands in `taken`.
    pub fn take_effects_into(&mut self, taken: &mut Vec<Effect>) {
        taken.append(&mut self.effects);
    }

    /// The packets whose chains have grown since [`end_batch`](Self::end_batch), in the order in
    /// which they did.
    pub fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        let packets = self.touched.iter().filter_map(|&number| self.packets.get(number));
        packets.map(|packet| Head { packet: &packet.name, head: packet.head, links: packet.links })
    }

    /// What an account has, if there is such an account.
    pub fn wallet(&self, account: &str) -> Option<Wallet> {
        Some(self.ledger.wallet(self.accounts.find(account)?))
    }

    /// A packet, if there is one of that id.
    pub fn packet(&self, id: &str) -> Option<PacketView<'_>> {
        let packet = &self.packets[self.find_packet(id)?];
        Some(PacketView {
            seq: packet.seq,
            sender: self.accounts.text(packet.sender),
            group: packet.group.map(|group| self.groups.text(group)),
            play: packet.rules(),
            named: packet.named.map(|account| self.accounts.text(account)),
            shares: packet.shares,
            tilt: packet.tilt,
            commitment: draw::commitment(&packet.name, &packet.secret),
            secret: (packet.state == PacketState::Closed).then_some(packet.secret),
            state: packet.state,
            claims: &packet.claims,
            parts: packet.parts,
            head: packet.head,
            expires_at: packet.expires_at,
            next_sender: packet.turn().map(|account| self.accounts.text(account)),
        })
    }

    /// The transaction that the command of an id made; none where it made none, or is forgotten.
    pub fn transaction(&self, id: &str) -> Option<TransactionView<'_>> {
        let (seq, executed) = self.executed_as(id_hash(id))?;
        let transaction = self.transactions.get(executed.transaction?)?;
        let Transaction { account, amount, settlement, .. } = *transaction;
        let (seq, account) = (Seq(seq), self.accounts.text(account));
        Some(TransactionView { seq, account, amount, settlement })
    }

    /// The id of the packet that a command sent.
    pub fn packet_name(&self, sent_by: Seq) -> Option<&str> {
        let (mut low, mut high) = (self.packets.first(), self.packets.next());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.packets[middle].seq < sent_by {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let packet = self.packets.get(low)?;
        (packet.seq == sent_by).then_some(&packet.name)
    }

    /// The id of an account.
    ///
    /// # Panics
    /// When there is no account of that number.
    pub fn account_name(&self, account: u32) -> &str {
        self.accounts.text(account)
    }

    /// The transactions that wait for a person, the first one first.
    pub fn queue(&self) -> impl Iterator<Item = Seq> + '_ {
        self.queue.iter().copied()
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The latest time that the caller's clock has shown.
    pub fn clock(&self) -> Time {
        self.clock
    }

    /// How many commands were executed.
    pub fn commands(&self) -> u64 {
        self.executed.next()
    }

    fn execute(&mut self, step: &mut Step, command: &Command<'_>) -> Result<Done, Refusal> {
        match *command {
            Command::TopUp { account, amount } => {
                let account = self.account(step, account, amount)?;
                let to = Place::Purse(account, Purse::Change);
                self.ledger.post(Place::Transit(step.time.day()), to, amount)?;
                Ok(Done::Applied)
            }
            Command::Withdraw { account, amount } => {
                self.account(step, account, amount)?;
                self.transact(step, Kind::Withdraw, amount)
            }
            Command::Move { account, into, amount } => {
                let account = self.account(step, account, amount)?;
                let from = match into {
                    Purse::Change => Purse::Lingqiantong,
                    Purse::Lingqiantong => Purse::Change,
                };
                let [from, to] = [from, into].map(|purse| Place::Purse(account, purse));
                self.ledger.post(from, to, amount)?;
                Ok(Done::Applied)
            }
            Command::Transfer { account, to, amount, funding } => {
                self.account(step, account, amount)?;
                if account == to {
                    return Err(Refusal::SameAccount);
                }
                check_id(to)?;
                let payee = self.open_account(to);
                self.transact(step, Kind::Transfer { payee, funding }, amount)
            }
            Command::Send(ref send) => self.send(step, send),
            Command::Claim { account, packet, guess, tie } => {
                self.claim(step, account, packet, guess, tie)
            }
            Command::Join { group, account } => {
                let member = self.member(step, group, account)?;
                self.members.insert(member);
                Ok(Done::Applied)
            }
            Command::Leave { group, account } => {
                let member = self.member(step, group, account)?;
                self.members.remove(&member);
                Ok(Done::Applied)
            }
            Command::Watch { group, under_review } => {
                check_id(group)?;
                let group = self.group(group);
                self.under_review[group as usize] = under_review;
                Ok(Done::Applied)
            }
            Command::Link { account, cluster } => {
                check_id(account)?;
                cluster.map_or(Ok(()), check_id)?;
                let cluster = cluster.map(|cluster| self.clusters.number(cluster));
                let account = self.open_account(account);
                step.account = Some(account);
                self.people[u64::from(account)].cluster = cluster;
                Ok(Done::Applied)
            }
            Command::Decide { transaction, decision, .. } => {
                self.decide(step, transaction, decision)
            }
            Command::Resolve { transaction, resolution, actor, reason } => {
                let found = self.named_transaction(step, transaction);
                check_act(actor, reason)?;
                self.resolve(found?, step.time, resolution)
            }
            Command::Thaw { case, account, amount, actor, reason } => {
                check_act(actor, reason)?;
                let case = self.cases.find(case).ok_or(Refusal::CaseUnknown)?;
                let account = self.account(step, account, amount)?;
                let to = Place::Purse(account, Purse::Change);
                self.ledger.post(Place::Frozen(case), to, amount)?;
                Ok(Done::Applied)
            }
            Command::Clear { day } => self.clear(day),
            Command::Tick => Ok(Done::Applied),
        }
    }

    /// Begins a transaction that is all of its command.
    fn transact(&mut self, step: &mut Step, kind: Kind, amount: Fen) -> Result<Done, Refusal> {
        let number = self.begin(step, kind, amount)?;
        self.await_decision(number, step.time);
        Ok(Done::Waiting)
    }

    fn clear(&mut self, day: Day) -> Result<Done, Refusal> {
        // Until then a transaction of that day may still wait for its decision, which falls due by
        // the clock: moments run ahead of it while it stands.
        if self.clock < day.end().after(self.limits.decision_max()) {
            return Err(Refusal::DayNotOver);
        }
        if self.cleared.contains(&day) && !made(Bug::DayIsClearedTwice) {
            return Err(Refusal::DayCleared);
        }
        let net = self.ledger.clear(day)?;
        self.cleared.insert(day);
        Ok(Done::Cleared { net })
    }

    /// The next moment.
    fn tick(&mut self) -> Time {
        let later = i64::from(!made(Bug::MomentIsNotLater));
        self.last = self.clock.max(Time(self.last.0.saturating_add(later)));
        self.last
    }

    fn happen(&mut self, time: Time, what: Happening) {
        self.effects.push(Effect { time, what });
    }

    /// The account of a command that moves money of it, opened if it is new.
    fn account(&mut self, step: &mut Step, id: &str, amount: Fen) -> Result<u32, Refusal> {
        check_id(id)?;
        check_amount(amount)?;
        let account = self.open_account(id);
        step.account = Some(account);
        Ok(account)
    }

    fn open_account(&mut self, id: &str) -> u32 {
        let account = self.accounts.number(id);
        if u64::from(account) == self.people.next() {
            self.people.push(Person {
                digest: chain::account_digest(id),
                cluster: None,
                day: Day::default(),
                sends: 0,
                sent: Fen::ZERO,
            });
            self.ledger.open_account();
        }
        account
    }

    fn group(&mut self, id: &str) -> u32 {
        let group = self.groups.number(id);
        if self.under_review.len() == group as usize {
            self.under_review.push(false);
        }
        group
    }

    fn case(&mut self, id: &str) -> u32 {
        let known = self.cases.len();
        let case = self.cases.number(id);
        if self.cases.len() > known {
            self.ledger.open_case();
        }
        case
    }

    fn member(
        &mut self,
        step: &mut Step,
        group: &str,
        account: &str,
    ) -> Result<(u32, u32), Refusal> {
        check_id(group)?;
        check_id(account)?;
        let account = self.open_account(account);
        step.account = Some(account);
        Ok((self.group(group), account))
    }

    fn find_packet(&self, id: &str) -> Option<u64> {
        let is_it = |number| self.packets.get(number).is_some_and(|packet| &*packet.name == id);
        self.packet_numbers.find(names::hash(id), is_it)
    }

    /// Forgets commands, transactions and packets that are older than the memory. What is held is
    /// not forgotten, however old it is, nor what came after it; a packet is forgotten so long after
    /// its end, and not before the last transaction that it has a part in. (What waits for its
    /// decision is never so old.)
    fn forget(&mut self) {
        let memory = self.limits.memory();
        let clock = self.clock;
        let earlier = self.executed.first();
        let old = |time: Time| time.after(memory) < clock;
        let before = self.executed.over_before(|executed| old(executed.reply.time));
        let mut queue = self.queue.iter().take_while(|seq| seq.0 < before);
        let held = queue.find(|seq| self.is_held(**seq) && !made(Bug::HeldIsForgotten));
        self.executed.forget_before(held.map_or(before, |seq| seq.0)).for_each(drop);
        let first = self.executed.first();
        if first == earlier {
            return;
        }
        self.executed_numbers.forget_before(first);
        let before = self.transactions.over_before(|transaction| transaction.seq.0 < first);
        self.transactions.forget_before(before).for_each(drop);
        self.queue.retain(|seq| seq.0 >= first);
        let before = self.packets.all_before(|packet| {
            let last = packet.claims.last().map_or(packet.seq, |claim| claim.seq);
            packet.over_at.is_some_and(old) && last.0 < first
        });
        self.packets.forget_before(before).for_each(drop);
        self.packet_numbers.forget_before(self.packets.first());
        self.ledger.forget_escrows_before(self.packets.first());
    }

    fn is_held(&self, seq: Seq) -> bool {
        let transaction = self.executed.get(seq.0).and_then(|executed| executed.transaction);
        let transaction = transaction.and_then(|number| self.transactions.get(number));
        transaction.is_some_and(|transaction| transaction.settlement == Settlement::Held)
    }
}

/// The hash by which a command is known. Two ids that share it have different bodies, which hold the
/// id itself: the second is refused as the same id with another body, never taken for the first.
fn id_hash(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// Writes a set in order, so that equal engines are written alike.
fn in_order<T: Ord + Serialize, H, S: serde::Serializer>(
    set: &HashSet<T, H>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(set.iter().collect::<BTreeSet<_>>())
}

fn check_id(id: &str) -> Result<(), Refusal> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(Refusal::IdInvalid);
    }
    Ok(())
}

fn check_amount(amount: Fen) -> Result<(), Refusal> {
    match amount {
        Fen::ZERO => Err(Refusal::AmountZero),
        _ if amount > Fen::MAX => Err(Refusal::AmountTooLarge),
        _ => Ok(()),
    }
}

fn check_act(actor: &str, reason: &str) -> Result<(), Refusal> {
    let named = !actor.trim().is_empty() && actor.len() <= ID_BYTES_MAX;
    if !named || reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Refusal::ActorOrReasonMissing);
    }
    Ok(())
}
