//! How time passes: what will happen stands in an agenda, one thing at a time is done, in the order
//! of time, and whatever moves money is a command to the one packet engine.
//!
//! There is one engine for all groups, because a person's money is one: what is won in one group is
//! spent in another. The engine says what a share is, who comes too late, what goes back, and
//! whether somebody has the money; what people do next follows from what it said. So there is one order of
//! events, that of the engine, whatever the number of threads that write them down.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;

pub(super) use super::agenda::Act;
use super::agenda::Agenda;
use super::closed::{Subject, What};
use super::figures::{DAY, HOUR};
use super::names::Id;
use super::options::Customs;
use super::packets::{EXPIRY_MS, Fund, Offer, Play, Share, Taker, Transfer};
use super::random::Rng;
use super::world::{Account, Event, Group, Member, SchemeId, World};
use crate::event::Kind;
use crate::packet::command::{self, Command, Funding, Next, PerMille, Purse, Request, Tie};
use crate::packet::draw::MasterSecret;
use crate::packet::engine::Engine;
use crate::packet::limits::Limits;
use crate::packet::reply::{Done, Effect, Happening, Refusal, Reply};
use crate::packet::units::{Fen, Time};

/// Something for later.
pub(super) type Later = Box<dyn FnOnce(&mut World)>;
/// What follows when all who wanted a share of a packet have tried: the shares, as they were taken.
pub(super) type Then = Box<dyn FnOnce(&mut World, Vec<Share>)>;

/// The engine, and what the world remembers of its packets.
pub(super) struct Bank {
    pub(super) engine: Engine,
    /// The id of the last request.
    pub(super) requests: u64,
    packets: Vec<Known>,
    /// How many packets were sent into groups, and how many to one person.
    pub(super) sent: [i64; 2],
    /// Of those that belong to no scheme, how many there were and their fen.
    pub(super) ordinary: [(i64, i64); 2],
    watched: HashMap<u32, Watched, BuildHasherDefault<FxHasher>>,
    refused: BTreeMap<Refusal, u64>,
    /// Room for what the engine did by itself.
    effects: Vec<Effect>,
    rng: Rng,
    /// How likely a password is mistyped.
    slips: f64,
    slip_rng: Rng,
}

/// A packet.
#[derive(Clone, Copy)]
struct Known {
    id: Id,
    sender: Account,
    group: Option<Group>,
    platform: &'static str,
    /// Whether it is claimed by who says the word.
    password: bool,
}

/// A packet on whose outcome something depends.
struct Watched {
    /// Who has not tried yet.
    pending: usize,
    shares: Vec<Share>,
    then: Then,
}

/// The word that opens a packet with a password.
const PASSWORD: &str = "恭喜发财";
/// What a slip makes of it.
const PASSWORD_MISTYPED: &str = "恭喜发才";
/// So long it takes to type it again, from and to, ms.
const RETYPED_MS: (i64, i64) = (2_500, 15_000);
/// So often what must be true of the engine is asserted, in commands.
const BATCH_COMMANDS: u64 = 4096;
/// What people put into their wallets when they find them empty, fen.
const TOPUPS_FEN: [i64; 7] = [5_000, 10_000, 10_000, 20_000, 30_000, 50_000, 100_000];

impl Bank {
    /// With the longest hold where transactions are decided on, in ms.
    pub(super) fn new(seed: u64, hold: Option<i64>, customs: Customs) -> Bank {
        // Where nothing is decided on, nothing waits or is held, and no transaction is named again:
        // packets need not be known for longer than they are open. Else a transaction is known for
        // as long as its packet can be open after a hold.
        let hold_hours_max = hold.map_or(1, |hold| (hold / HOUR) as u32);
        let memory_hours = 1 + hold.map_or(24, |_| 2 * 24 + hold_hours_max);
        let limits = Limits {
            decisions_awaited: hold.is_some(),
            timed_ahead_hours_max: 1,
            hold_hours_max,
            memory_hours,
            ..Limits::default()
        };
        let mut secret = [0; 32];
        let mut rng = Rng::named(seed, "engine", 0);
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&rng.bits().to_le_bytes());
        }
        Bank {
            engine: Engine::new(limits, MasterSecret::new(secret)),
            requests: 0,
            packets: Vec::new(),
            sent: [0; 2],
            ordinary: [(0, 0); 2],
            watched: HashMap::default(),
            refused: BTreeMap::new(),
            effects: Vec::new(),
            rng: Rng::named(seed, "topup", 0),
            slips: customs.password_slips_percent as f64 / 100.0,
            slip_rng: Rng::named(seed, "slips", 0),
        }
    }
}

impl World {
    /// Does everything there is to do.
    pub(super) fn run(&mut self) {
        loop {
            if self.is_interrupted() {
                // What waits for its decision still gets it.
                self.break_off();
            }
            if let Some(decided) = self.decided_at()
                && self.agenda.next_time().is_none_or(|next| next >= decided)
            {
                self.settle();
                continue;
            }
            let Some(due) = self.agenda.next() else { break };
            debug_assert!(due.time >= self.now, "time does not go back");
            self.now = due.time;
            self.perform(due.act);
        }
        self.bank.engine.end_batch();
        self.bank.engine.audit();
        self.close();
    }

    /// Nothing more happens.
    pub(super) fn break_off(&mut self) {
        self.agenda = Agenda::from(self.now);
    }

    /// Plans something; what lies after the last day does not happen.
    pub(super) fn plan(&mut self, time: i64, act: Act) {
        let after = matches!(act, Act::Claim { .. } | Act::Expire(_) | Act::Look);
        if time >= self.end && !after {
            return;
        }
        self.agenda.add(time.max(self.now), act);
    }

    /// Plans something that anything may follow from.
    pub(super) fn at(&mut self, time: i64, act: impl FnOnce(&mut World) + 'static) {
        self.plan(time, Act::Call(Box::new(act)));
    }

    /// Plans a packet.
    pub(super) fn send_at(&mut self, time: i64, offer: Offer, takers: Vec<Taker>) {
        self.plan(time, Act::Send(Box::new((offer, takers, None))));
    }

    /// Plans a packet and what follows from its shares.
    pub(super) fn send_then(
        &mut self,
        time: i64,
        offer: Offer,
        takers: Vec<Taker>,
        then: impl FnOnce(&mut World, Vec<Share>) + 'static,
    ) {
        self.plan(time, Act::Send(Box::new((offer, takers, Some(Box::new(then))))));
    }

    /// Plans a transfer.
    pub(super) fn pay_at(&mut self, time: i64, transfer: Transfer) {
        self.plan(time, Act::Pay(Box::new(transfer)));
    }

    /// Plans that somebody becomes a member of a group.
    pub(super) fn join_at(&mut self, time: i64, group: Group, account: Account) {
        self.plan(time, Act::Join(account, group, None));
    }

    /// Plans a message in a group.
    pub(super) fn say_at(
        &mut self,
        time: i64,
        who: Account,
        group: Group,
        text: String,
        scheme: Option<SchemeId>,
    ) {
        self.at(time, move |world| {
            let (who, group) = (world.acting(who, scheme), world.meeting(group));
            let event = world.act(Kind::Message, who);
            world.emit(Event { group: Some(group), text, scheme, ..event });
        });
    }

    /// Plans that somebody withdraws all the change there is to the bank.
    pub(super) fn cash_out_at(&mut self, time: i64, who: Account, scheme: Option<SchemeId>) {
        self.at(time, move |world| {
            let fen = world.change_fen(world.acting(who, scheme));
            if fen > 0 {
                world.withdraw(who, fen, scheme);
            }
        });
    }

    /// How often the engine refused, by its reason.
    pub fn refusals(&self) -> &BTreeMap<Refusal, u64> {
        &self.bank.refused
    }

    /// What somebody can spend of the change, fen.
    pub(super) fn change_fen(&self, who: Account) -> i64 {
        let wallet = self.bank.engine.wallet(self.names.account(who).as_str());
        wallet.map_or(0, |wallet| wallet.change.0 as i64)
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Claim { packet, account, scheme } => self.claim(packet, account, scheme),
            Act::Expire(time) => {
                self.bank.engine.advance(time);
                self.take_effects();
            }
            Act::Spend(account) => self.spend(account),
            Act::Packet(plan) => super::life::send(self, *plan),
            Act::Chat(account, group) => super::life::say(self, account, group),
            Act::Login(account) => {
                let event = self.act(Kind::Login, account);
                self.emit(event);
            }
            Act::Join(account, group, scheme) => self.join(group, account, scheme),
            Act::Pay(transfer) => self.pay(*transfer),
            Act::Send(all) => {
                let (offer, takers, then) = *all;
                self.send(offer, takers, then);
            }
            Act::Call(act) => act(self),
            Act::Again(what) => self.try_again(*what),
            Act::Look => self.desk_looks(),
        }
    }

    /// Asks the engine.
    pub(super) fn ask(&mut self, command: Command<'_>) -> Reply {
        let bank = &mut self.bank;
        bank.requests += 1;
        let id = self.names.request(bank.requests);
        let request = Request { id: id.as_str(), command };
        let reply = bank.engine.apply(Time::from_ms(self.now), &request);
        let reply = reply.unwrap_or_else(|error| unreachable!("every id is new: {error}"));
        if bank.requests.is_multiple_of(BATCH_COMMANDS) {
            bank.engine.end_batch();
        }
        if let Err(refusal) = reply.result {
            *bank.refused.entry(refusal).or_default() += 1;
        }
        if !bank.engine.effects().is_empty() {
            self.take_effects();
        }
        reply
    }

    /// What the engine did by itself: of that, what people see is that money comes back.
    fn take_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.bank.effects);
        self.bank.engine.take_effects_into(&mut effects);
        for effect in effects.drain(..) {
            let (packet, amount) = match effect.what {
                Happening::Refunded { packet, amount } => (packet, amount),
                Happening::HoldEnded { transaction, .. } => {
                    self.hold_ended(transaction, false);
                    continue;
                }
                Happening::FellBack { .. } => unreachable!("decisions come in time"),
                _ => continue,
            };
            let name = self.bank.engine.packet_name(packet).and_then(|name| name.get(1..));
            let number = name.and_then(|digits| digits.parse::<u32>().ok());
            let Some(number) = number.map(|number| number - 1) else {
                unreachable!("a packet that money comes back from is known")
            };
            let known = self.bank.packets[number as usize];
            let event = Event {
                time: self.now,
                group: known.group,
                packet: Some(number),
                amount_fen: Some(amount.0 as i64),
                platform: known.platform,
                device: None,
                ip: None,
                region: None,
                ..self.act(Kind::Refund, known.sender)
            };
            debug_assert_eq!(effect.time.ms(), self.now, "the refund is when it is due");
            self.emit(event);
        }
        self.bank.effects = effects;
    }

    /// Makes somebody a member for the engine, and nothing else.
    pub(super) fn admit(&mut self, group: Group, account: Account) {
        let (group, account) = (self.names.group(group), self.names.account(account));
        self.ask(Command::Join { group: group.as_str(), account: account.as_str() });
    }

    pub(super) fn join(&mut self, group: Group, account: Account, scheme: Option<SchemeId>) {
        self.admit(group, account);
        // What a ring's accounts do is up to the ring.
        if !self.person(account).ringed {
            let info = &mut self.groups[group.0 as usize];
            if info.members.iter().all(|member| member.account != account) {
                info.members.push(Member { account, since: self.now });
            }
        }
        let event = self.act(Kind::Join, account);
        self.emit(Event { group: Some(group), scheme, ..event });
    }

    /// Sends a packet, and plans the claims. Who does not have the money puts some in first.
    pub(super) fn send(&mut self, mut offer: Offer, takers: Vec<Taker>, then: Option<Then>) {
        offer.sender = self.acting(offer.sender, offer.scheme);
        offer.group = offer.group.map(|group| self.meeting(group));
        if let Play::Exclusive(to) = &mut offer.play {
            *to = self.acting(*to, offer.scheme);
        }
        if self.stays_away(offer.sender, offer.amount_fen, offer.scheme) {
            return;
        }
        let number = self.bank.packets.len() as u32;
        let reply = self.ask_to_send(number, &offer);
        match reply.result {
            Ok(_) => {}
            Err(Refusal::FundsInsufficient) => {
                let wait = self.top_up(offer.sender, offer.fund, offer.amount_fen);
                return self.plan(self.now + wait, Act::Send(Box::new((offer, takers, then))));
            }
            // Somebody else was quicker with the relay, or has just left.
            Err(_) => return,
        }
        self.sent(number, &offer);
        let wait = if let Play::Timed(wait) = offer.play { wait } else { 0 };
        let opens = self.now + wait;
        if self.closed.is_some() {
            let subject = Subject {
                actor: offer.sender,
                payee: None,
                group: offer.group,
                amount_fen: offer.amount_fen,
                scheme: offer.scheme,
            };
            let what = What::Send { number, opens, offer, takers, then };
            return self.await_decision(reply.seq, subject, what);
        }
        let expires = Time::from_ms(opens).max(reply.time).after(self.bank.engine.limits().open());
        self.open(number, opens, expires, takers, then);
    }

    /// Asks the engine to send a packet.
    fn ask_to_send(&mut self, number: u32, offer: &Offer) -> Reply {
        let id = self.names.packet(number);
        let sender = self.names.account(offer.sender);
        let group = offer.group.map(|group| self.names.group(group));
        let (named, before);
        let play = match offer.play {
            Play::Lucky => command::Play::Lucky,
            Play::Equal => command::Play::Equal,
            Play::Exclusive(to) => {
                named = self.names.account(to);
                command::Play::Exclusive { to: named.as_str() }
            }
            Play::Relay(after) => {
                before = after.map(|packet| self.names.packet(packet));
                let after = before.as_ref().map(|id| id.as_str());
                command::Play::Relay { next: Next::Luckiest, after }
            }
            Play::Timed(wait) => command::Play::Timed { from: Time::from_ms(self.now + wait) },
            Play::Password => {
                let digest = command::password_digest(id.as_str(), PASSWORD);
                command::Play::Password { digest }
            }
        };
        self.ask(Command::Send(command::Send {
            account: sender.as_str(),
            packet: id.as_str(),
            group: group.as_ref().map(|id| id.as_str()),
            amount: Fen(offer.amount_fen as u64),
            shares: offer.shares as u32,
            play,
            funding: funding(offer.fund),
            tilt: PerMille(0),
        }))
    }

    /// A packet was sent: it is remembered, and everybody sees it.
    fn sent(&mut self, number: u32, offer: &Offer) {
        let alone = usize::from(offer.group.is_none());
        self.bank.sent[alone] += 1;
        if offer.scheme.is_none() {
            let (count, fen) = &mut self.bank.ordinary[alone];
            *count += 1;
            *fen += offer.amount_fen;
        }
        let password = matches!(offer.play, Play::Password);
        let Offer { sender, group, platform, .. } = *offer;
        let id = self.names.packet(number);
        self.bank.packets.push(Known { id, sender, group, platform, password });
        let event = self.act(Kind::Send, sender);
        self.emit(Event {
            group,
            packet: Some(number),
            amount_fen: Some(offer.amount_fen),
            shares: Some(offer.shares),
            play: offer.play.name(),
            funding: offer.fund.name(),
            platform,
            text: offer.text.clone(),
            scheme: offer.scheme,
            ..event
        });
    }

    /// A packet can be claimed from a time on, or from now on where that is later.
    pub(super) fn open(
        &mut self,
        number: u32,
        opens: i64,
        expires: Time,
        takers: Vec<Taker>,
        then: Option<Then>,
    ) {
        self.plan(expires.ms(), Act::Expire(expires));
        let opens = opens.max(self.now);
        let wait = opens - self.now;
        let mut pending = 0;
        for Taker { account, delay_ms, scheme } in takers {
            if delay_ms + wait < EXPIRY_MS {
                pending += 1;
                let time = opens + delay_ms.max(1);
                self.plan(time, Act::Claim { packet: number, account, scheme });
            }
        }
        match then {
            Some(then) if pending > 0 => {
                self.bank.watched.insert(number, Watched { pending, shares: Vec::new(), then });
            }
            Some(then) => then(self, Vec::new()),
            None => {}
        }
    }

    fn claim(&mut self, packet: u32, account: Account, scheme: Option<SchemeId>) {
        let known = self.bank.packets[packet as usize];
        let actor = self.acting(account, scheme);
        let (id, claimer) = (known.id, self.names.account(actor));
        let bank = &mut self.bank;
        let slip = known.password && bank.slips > 0.0 && bank.slip_rng.chance(bank.slips);
        let typed = if slip { PASSWORD_MISTYPED } else { PASSWORD };
        let guess = known.password.then(|| command::password_digest(id.as_str(), typed));
        let reply = self.ask(Command::Claim {
            account: claimer.as_str(),
            packet: id.as_str(),
            guess,
            tie: Tie::None,
        });
        if slip && reply.result == Err(Refusal::PasswordWrong) {
            let time = self.now + self.bank.slip_rng.between(RETYPED_MS.0, RETYPED_MS.1);
            return self.plan(time, Act::Claim { packet, account, scheme });
        }
        if let Ok(Done::Claimed { amount, .. }) = reply.result {
            let amount_fen = amount.0 as i64;
            let event = self.act(Kind::Claim, actor);
            self.emit(Event {
                counterparty: Some(known.sender),
                group: known.group,
                packet: Some(packet),
                amount_fen: Some(amount_fen),
                platform: known.platform,
                scheme,
                ..event
            });
            if self.closed.is_some() {
                let (group, payee) = (known.group, Some(known.sender));
                let subject = Subject { actor, payee, group, amount_fen, scheme };
                return self.await_decision(reply.seq, subject, What::Claim { packet, account });
            }
            self.got(packet, account, amount_fen, scheme);
        }
        self.tried(packet);
    }

    /// Somebody has a share.
    pub(super) fn got(
        &mut self,
        packet: u32,
        account: Account,
        amount_fen: i64,
        scheme: Option<SchemeId>,
    ) {
        if let Some(watched) = self.bank.watched.get_mut(&packet) {
            watched.shares.push(Share { account, time: self.now, amount_fen, packet });
        }
        // What comes in for a ring is not the account's to spend.
        let for_ring =
            scheme.is_some_and(|scheme| self.scheme(scheme).fraud) && self.person(account).hired;
        if !for_ring {
            let group = self.bank.packets[packet as usize].group;
            self.received(account, group, amount_fen);
        }
    }

    /// One more of those who wanted a share has tried.
    pub(super) fn tried(&mut self, packet: u32) {
        let Some(watched) = self.bank.watched.get_mut(&packet) else { return };
        watched.pending -= 1;
        if watched.pending == 0
            && let Some(watched) = self.bank.watched.remove(&packet)
        {
            (watched.then)(self, watched.shares);
        }
    }

    /// Pays; who does not have the money puts some in first.
    pub(super) fn pay(&mut self, mut transfer: Transfer) {
        transfer.from = self.acting(transfer.from, transfer.scheme);
        transfer.to = self.acting(transfer.to, transfer.scheme);
        transfer.group = transfer.group.map(|group| self.meeting(group));
        let Transfer { from, to, amount_fen, fund, group, scheme, .. } = transfer;
        if self.stays_away(from, amount_fen, scheme) {
            return;
        }
        let (payer, payee) = (self.names.account(from), self.names.account(to));
        let reply = self.ask(Command::Transfer {
            account: payer.as_str(),
            to: payee.as_str(),
            amount: Fen(amount_fen as u64),
            funding: funding(fund),
        });
        match reply.result {
            Ok(_) => {
                if fund == Fund::Balance {
                    self.spent(from, amount_fen);
                }
                let event = self.act(Kind::Transfer, from);
                self.emit(Event {
                    counterparty: Some(to),
                    amount_fen: Some(amount_fen),
                    text: transfer.text.clone(),
                    funding: fund.name(),
                    group,
                    scheme,
                    ..event
                });
                if self.closed.is_some() {
                    let subject =
                        Subject { actor: from, payee: Some(to), group, amount_fen, scheme };
                    self.await_decision(reply.seq, subject, What::Pay(transfer));
                }
            }
            Err(Refusal::FundsInsufficient) => {
                let wait = self.top_up(from, fund, amount_fen);
                self.plan(self.now + wait, Act::Pay(Box::new(transfer)));
            }
            Err(refusal) => unreachable!("{transfer:?}: {refusal}"),
        }
    }

    /// Withdraws to the bank what there is.
    pub(super) fn withdraw(&mut self, who: Account, fen: i64, scheme: Option<SchemeId>) {
        let who = self.acting(who, scheme);
        if self.stays_away(who, fen, scheme) {
            return;
        }
        let account = self.names.account(who);
        let amount = Fen(fen as u64);
        let reply = self.ask(Command::Withdraw { account: account.as_str(), amount });
        if reply.result.is_ok() {
            self.spent(who, fen);
            let event = self.act(Kind::Withdraw, who);
            let amount_fen = Some(fen);
            self.emit(Event { amount_fen, funding: "balance", scheme, ..event });
            if self.closed.is_some() {
                let (payee, group) = (None, None);
                let subject = Subject { actor: who, payee, group, amount_fen: fen, scheme };
                self.await_decision(reply.seq, subject, What::Withdraw);
            }
        }
    }

    /// Puts enough into a purse, at once; how long it takes to go on after that, ms.
    fn top_up(&mut self, who: Account, fund: Fund, need_fen: i64) -> i64 {
        let usual = *self.bank.rng.pick(&TOPUPS_FEN);
        let fen = usual.max((need_fen + 9_999) / 10_000 * 10_000);
        self.put_in(who, fen);
        if fund == Fund::Lingqiantong {
            let account = self.names.account(who);
            let (account, into) = (account.as_str(), Purse::Lingqiantong);
            let reply = self.ask(Command::Move { account, into, amount: Fen(fen as u64) });
            assert!(reply.result.is_ok(), "what was put in can be moved");
        }
        self.bank.rng.between(3_000, 20_000)
    }

    /// Money from the bank into the change.
    pub(super) fn put_in(&mut self, who: Account, fen: i64) {
        let account = self.names.account(who);
        let amount = Fen(fen as u64);
        let reply = self.ask(Command::TopUp { account: account.as_str(), amount });
        assert!(reply.result.is_ok(), "a bank has money");
        let event = self.act(Kind::Topup, who);
        self.emit(Event { amount_fen: Some(fen), ..event });
    }

    /// Plans what happens at the beginning of each day.
    pub(super) fn each_midnight(&mut self, act: fn(&mut World, i64)) {
        for day in 0..self.days() {
            self.at(self.start + day * DAY, move |world| act(world, day));
        }
    }
}

fn funding(fund: Fund) -> Funding {
    match fund {
        Fund::Balance => Funding::Purse(Purse::Change),
        Fund::Lingqiantong => Funding::Purse(Purse::Lingqiantong),
        Fund::Bank => Funding::Bank,
    }
}
