//! The world: people, groups, the engine that keeps their money, what happened, and the truth about
//! it.

use std::sync::mpsc::SyncSender;

use super::agenda::Agenda;
use super::clockwork::Bank;
use super::closed::Closed;
use super::figures::{DAY, GroupType, MINUTE};
use super::life::Life;
use super::names::Names;
use super::purses::Purses;
use super::random::Rng;
use super::scenario::{NegativeKind, Scenario, Typology};
use super::talk::Talk;
use super::words::Words;
use crate::event::Kind;

/// An account: an index into [`World::people`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(pub u32);

/// A group: an index into [`World::groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub u32);

/// A scheme: an index into [`World::schemes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemeId(pub u32);

/// How old somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// 18 to 25.
    Young,
    /// 26 to 45.
    Middle,
    /// 46 and more.
    Older,
}

impl Age {
    /// The band in events.
    pub fn band(self) -> &'static str {
        match self {
            Age::Young => "18-25",
            Age::Middle => "26-45",
            Age::Older => "46+",
        }
    }
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    /// Age.
    pub age: Age,
    /// GB/T 2260 code of the province.
    pub province: u32,
    /// When the account was opened, ms.
    pub registered_at: i64,
    /// Whether the holder's name is verified.
    pub verified: bool,
    /// Device number.
    pub device: u32,
    /// Home address, and the one of the mobile network.
    pub ips: [u32; 2],
    /// Joins relay packets and lotteries.
    pub plays_relay: bool,
    /// Uses groups to widen the circle of contacts: may be in groups other than of family.
    pub widens_contacts: bool,
    /// Would rather watch than grab.
    pub watches: bool,
    /// Quick with the thumb.
    pub nimble: bool,
    /// A shop: is paid, does not take part.
    pub shop: bool,
    /// Works for a ring, beside a life of his own: rented out the account.
    pub hired: bool,
    /// Belongs to a ring, which decides what becomes of the money; else an ordinary person.
    pub ringed: bool,
}

/// A member of a group.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Who.
    pub account: Account,
    /// Since when, ms.
    pub since: i64,
}

/// Accounts that grab in a group on a ring's behalf.
#[derive(Clone, Debug)]
pub struct Farm {
    /// From when they grab, ms.
    pub since: i64,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// Median time to a claim, ms.
    pub latency_ms: i64,
    /// Spread of the logarithm of that time.
    pub latency_sigma: f64,
    /// Share of packets that are grabbed at all.
    pub appetite: f64,
    /// Most shares that are taken of one packet.
    pub shares_max: i64,
    /// The ring's scheme.
    pub scheme: SchemeId,
}

/// Whoever is asked into a new group has come after so long, ms.
pub const GATHER_MS: i64 = 60 * MINUTE;

/// A group.
#[derive(Clone, Debug)]
pub struct GroupInfo {
    /// What it is for (for a ring's group: what it pretends to be for).
    pub kind: GroupType,
    /// GB/T 2260 code of the owner's province.
    pub province: u32,
    /// Its name.
    pub name: String,
    /// When it was opened, if within the days of the scenario.
    pub opened_at: Option<i64>,
    /// Its members; the first is the owner.
    pub members: Vec<Member>,
    /// Accounts of a device farm in it.
    pub farm: Option<Farm>,
    /// The scheme that it belongs to.
    pub scheme: Option<SchemeId>,
    /// Whether nothing is said in it but what belongs to its scheme.
    pub taciturn: bool,
}

impl GroupInfo {
    /// Whether it was there before the days of the scenario.
    pub fn settled(&self) -> bool {
        self.opened_at.is_none()
    }

    /// From when on it lives on the day that begins at a midnight, ms: where it is opened on that
    /// day, from when those who were asked have come.
    pub fn lives_from(&self, midnight: i64) -> Option<i64> {
        let gathered = self.opened_at.map_or(midnight, |opened| opened + GATHER_MS);
        (gathered < midnight + DAY).then(|| gathered.max(midnight))
    }

    /// The members at a time.
    pub fn members_at(&self, time: i64) -> impl Iterator<Item = Account> {
        self.members.iter().filter(move |member| member.since <= time).map(|member| member.account)
    }
}

/// Something done together on purpose: a fraud, or honest behaviour that resembles one.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// Name of the typology, or of the honest behaviour.
    pub name: &'static str,
    /// Whether it is fraud.
    pub fraud: bool,
    /// How many more pieces of evidence make it plain.
    pub untold: u32,
    /// From when the evidence is complete, ms.
    pub detectable_from: Option<i64>,
    /// When it last did anything, ms.
    pub last: i64,
    /// How long after that it becomes known, ms.
    pub known_after: i64,
    /// Who takes part, and as what.
    pub roles: Vec<(Account, &'static str, bool)>,
}

impl Scheme {
    /// From when the evidence is complete, ms: at the latest when all has happened.
    pub fn detectable_from(&self) -> i64 {
        self.detectable_from.unwrap_or(self.last)
    }

    /// Whether money in it is that of gamblers.
    pub fn gambles(&self) -> bool {
        self.fraud && self.name.starts_with("gambling")
    }
}

/// What an `account` event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Age.
    pub age: Age,
    /// When the account was opened, ms.
    pub registered_at: i64,
    /// Whether the holder's name is verified.
    pub verified: bool,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, ms.
    pub time: i64,
    /// What.
    pub kind: Kind,
    /// Who acted; for a refund, who gets the money back; for a group, its owner.
    pub account: Option<Account>,
    /// The packet's sender on a claim, the payee on a transfer.
    pub counterparty: Option<Account>,
    /// The group.
    pub group: Option<Group>,
    /// The packet.
    pub packet: Option<u32>,
    /// The money, fen.
    pub amount_fen: Option<i64>,
    /// The shares of a packet.
    pub shares: Option<i64>,
    /// How a packet is shared out; empty on other kinds.
    pub play: &'static str,
    /// Where the money comes from; empty where unknown.
    pub funding: &'static str,
    /// The device.
    pub device: Option<u32>,
    /// The address.
    pub ip: Option<u32>,
    /// GB/T 2260 code of the province.
    pub region: Option<u32>,
    /// The app; empty where unknown.
    pub platform: &'static str,
    /// Of an account.
    pub holder: Option<Holder>,
    /// Memo, message or name.
    pub text: String,
    /// The scheme of which it is a part.
    pub scheme: Option<SchemeId>,
}

/// The events of a batch: what a thread hands over to the next.
pub const BATCH_EVENTS: usize = 1 << 13;

/// Everything.
pub struct World {
    /// The seed.
    pub seed: u64,
    /// When activity begins, ms.
    pub start: i64,
    /// When it ends, ms; only claims and refunds come later.
    pub end: i64,
    /// What time it is, ms.
    pub now: i64,
    /// Everybody.
    pub people: Vec<Person>,
    /// Ordinary people, shops and rings left out: the first of [`World::people`].
    pub ordinary: u32,
    /// Shops.
    pub shops: Vec<Account>,
    /// Every group.
    pub groups: Vec<GroupInfo>,
    /// Frauds and what resembles them.
    pub schemes: Vec<Scheme>,
    /// What people write.
    pub words: Words,
    /// What everybody and everything is called.
    pub names: Names,
    /// What will happen.
    pub(super) agenda: Agenda,
    /// The engine, and what the world remembers of its packets.
    pub(super) bank: Bank,
    /// What ordinary people will do with what packets brought them.
    pub(super) purses: Purses,
    /// The rules that decide, and what is done about it; none where all goes through.
    pub(super) closed: Option<Box<Closed>>,
    /// Ordinary life.
    pub(super) life: Option<Box<Life>>,
    /// How much is said where, and how short.
    pub(super) talk: Talk,
    /// Events not yet handed over.
    batch: Vec<Event>,
    /// Where batches go; nowhere once all has happened.
    sink: Option<SyncSender<Vec<Event>>>,
    /// How many events there are.
    pub emitted: u64,
    /// Transactions of schemes: the number of their event from 0, and its time.
    pub labelled: Vec<(u64, i64, SchemeId)>,
    devices: u32,
}

impl World {
    /// An empty world, which hands over its events in batches, in total order.
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        closed: Option<Box<Closed>>,
        sink: SyncSender<Vec<Event>>,
    ) -> World {
        let hold = closed.is_some().then_some(scenario.reactions.hold);
        World {
            seed,
            start: scenario.start,
            end: scenario.start + scenario.days * DAY,
            now: scenario.start,
            people: Vec::new(),
            ordinary: 0,
            shops: Vec::new(),
            groups: Vec::new(),
            schemes: Vec::new(),
            words: Words::new(),
            names: Names::new(seed),
            agenda: Agenda::from(scenario.start),
            bank: Bank::new(seed, hold, scenario.customs),
            purses: Purses::new(seed, scenario),
            closed,
            life: None,
            talk: Talk::new(seed),
            batch: Vec::with_capacity(BATCH_EVENTS),
            sink: Some(sink),
            emitted: 0,
            labelled: Vec::new(),
            devices: 0,
        }
    }

    /// A generator for a part of this world.
    pub fn rng(&self, name: &str, number: u64) -> Rng {
        Rng::named(self.seed, name, number)
    }

    /// A person.
    pub fn person(&self, account: Account) -> &Person {
        &self.people[account.0 as usize]
    }

    /// A group.
    pub fn group(&self, group: Group) -> &GroupInfo {
        &self.groups[group.0 as usize]
    }

    /// A scheme.
    pub fn scheme(&self, scheme: SchemeId) -> &Scheme {
        &self.schemes[scheme.0 as usize]
    }

    /// A device that nobody has yet.
    pub fn new_device(&mut self) -> u32 {
        self.devices += 1;
        self.devices
    }

    /// Adds a person like everybody else; the caller changes what differs.
    pub fn add_person(&mut self, age: Age, province: u32, rng: &mut Rng) -> Account {
        // Half of all accounts are younger than two years, one in eight than half a year.
        let days = rng.around(700, 1.2).clamp(3, 12 * 365);
        let person = Person {
            age,
            province,
            registered_at: self.start - days * DAY - rng.between(0, DAY - 1),
            verified: rng.chance(0.93),
            device: self.new_device(),
            ips: [new_ip(rng), new_ip(rng)],
            plays_relay: false,
            widens_contacts: false,
            watches: false,
            nimble: rng.chance(0.18),
            shop: false,
            hired: false,
            ringed: false,
        };
        self.people.push(person);
        Account(self.people.len() as u32 - 1)
    }

    /// Adds a group; whoever is a member by now is one for the engine too.
    pub fn add_group(&mut self, info: GroupInfo) -> Group {
        let group = Group(self.groups.len() as u32);
        let (here, later): (Vec<Member>, Vec<Member>) =
            info.members.iter().partition(|member| member.since <= self.now);
        self.groups.push(info);
        self.talk.add_group();
        for member in here {
            self.admit(group, member.account);
        }
        for Member { account, since } in later {
            self.join_at(since, group, account);
        }
        group
    }

    /// Opens the book on a fraud that so many pieces of evidence make plain; when it becomes known
    /// is drawn about two days later.
    pub fn fraud(&mut self, typology: Typology, telling: u32, rng: &mut Rng) -> SchemeId {
        let known_after = rng.around(2 * DAY, 0.5);
        self.open_scheme(typology.name(), true, telling, known_after)
    }

    /// Opens the book on honest behaviour that resembles fraud.
    pub fn honest(&mut self, name: &'static str) -> SchemeId {
        self.open_scheme(name, false, 1, DAY)
    }

    /// Opens the book on honest behaviour of a kind that scenario files name.
    pub fn negative(&mut self, kind: NegativeKind) -> SchemeId {
        self.honest(kind.name())
    }

    fn open_scheme(
        &mut self,
        name: &'static str,
        fraud: bool,
        untold: u32,
        known_after: i64,
    ) -> SchemeId {
        self.schemes.push(Scheme {
            name,
            fraud,
            untold,
            detectable_from: None,
            last: self.start,
            known_after,
            roles: Vec::new(),
        });
        SchemeId(self.schemes.len() as u32 - 1)
    }

    /// Notes who takes part in a scheme, as what, and whether that makes the account fraudulent.
    pub fn role(&mut self, scheme: SchemeId, account: Account, role: &'static str, fraud: bool) {
        self.schemes[scheme.0 as usize].roles.push((account, role, fraud));
    }

    /// A piece of evidence has come to be.
    pub fn tell(&mut self, scheme: SchemeId) {
        let now = self.now;
        let scheme = &mut self.schemes[scheme.0 as usize];
        scheme.untold = scheme.untold.saturating_sub(1);
        if scheme.untold == 0 && scheme.detectable_from.is_none() {
            scheme.detectable_from = Some(now);
        }
    }

    /// Something that a person does now, from the own device and address.
    pub fn act(&self, kind: Kind, account: Account) -> Event {
        let person = self.person(account);
        // Out of the house by day, at home in the evening: the address follows the hour.
        let hour = (self.now - self.start).rem_euclid(DAY) / (60 * MINUTE);
        let ip = person.ips[usize::from((9..18).contains(&hour))];
        Event {
            time: self.now,
            kind,
            account: Some(account),
            counterparty: None,
            group: None,
            packet: None,
            amount_fen: None,
            shares: None,
            play: "",
            funding: "",
            device: Some(person.device),
            ip: Some(ip),
            region: Some(person.province),
            platform: "wechat",
            holder: None,
            text: String::new(),
            scheme: None,
        }
    }

    /// Takes note of what has just happened.
    pub fn emit(&mut self, event: Event) {
        debug_assert_eq!(event.time, self.now, "events come in the order of time");
        if let Some(scheme) = event.scheme {
            self.schemes[scheme.0 as usize].last = event.time;
            if event.kind.is_transaction() {
                self.labelled.push((self.emitted, event.time, scheme));
            }
        }
        self.talk.take_note(&event);
        if let Some(closed) = &mut self.closed {
            closed.take_note(self.names, self.emitted, &event);
        }
        self.emitted += 1;
        self.batch.push(event);
        if self.batch.len() == BATCH_EVENTS {
            self.hand_over();
        }
    }

    /// Hands over the events that were not yet.
    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_EVENTS));
        let sink = self.sink.as_ref().unwrap_or_else(|| unreachable!("all has happened"));
        sink.send(batch).unwrap_or_else(|_| panic!("whoever takes the events has given up"));
    }

    /// All has happened.
    pub(super) fn close(&mut self) {
        self.hand_over();
        self.sink = None;
    }

    /// Local midnight of a day counted from 0.
    pub fn midnight(&self, day: i64) -> i64 {
        self.start + day * DAY
    }

    /// Days of activity.
    pub fn days(&self) -> i64 {
        (self.end - self.start) / DAY
    }
}

/// An address of 100.64.0.0/10, which no host on the internet has.
pub fn new_ip(rng: &mut Rng) -> u32 {
    const BASE: u32 = (100 << 24) | (64 << 16);
    BASE + rng.below(1 << 22) as u32
}
