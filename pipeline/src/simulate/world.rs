//! The world in the making: people, groups, what happened, and the truth about it.

use super::figures::{DAY, GroupType, MINUTE};
use super::random::Rng;
use super::scenario::{NegativeKind, Scenario, Typology};
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
    /// A shop: is paid, does not take part.
    pub shop: bool,
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
}

impl GroupInfo {
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
    /// From when the evidence is complete, ms.
    pub detectable_from: i64,
    /// How long after that it becomes known, ms.
    pub known_after: i64,
    /// Who takes part, and as what.
    pub roles: Vec<(Account, &'static str, bool)>,
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
    /// The app; empty where unknown.
    pub platform: &'static str,
    /// Memo, message or name.
    pub text: String,
    /// The scheme of which it is a part.
    pub scheme: Option<SchemeId>,
}

/// Everything so far.
#[derive(Debug)]
pub struct World {
    /// The seed.
    pub seed: u64,
    /// When activity begins, ms.
    pub start: i64,
    /// When it ends, ms; only refunds come later.
    pub end: i64,
    /// Everybody.
    pub people: Vec<Person>,
    /// Ordinary people, shops and rings left out: the first of [`World::people`].
    pub ordinary: u32,
    /// Shops.
    pub shops: Vec<Account>,
    /// Every group.
    pub groups: Vec<GroupInfo>,
    /// What happened, in no order.
    pub events: Vec<Event>,
    /// Frauds and what resembles them.
    pub schemes: Vec<Scheme>,
    /// What people write.
    pub words: Words,
    /// Packets so far.
    pub packets: u32,
    devices: u32,
}

impl World {
    /// An empty world.
    pub fn new(scenario: &Scenario, seed: u64) -> World {
        World {
            seed,
            start: scenario.start,
            end: scenario.start + scenario.days * DAY,
            people: Vec::new(),
            ordinary: 0,
            shops: Vec::new(),
            groups: Vec::new(),
            events: Vec::new(),
            schemes: Vec::new(),
            words: Words::new(),
            packets: 0,
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

    /// A device that nobody has yet.
    pub fn new_device(&mut self) -> u32 {
        self.devices += 1;
        self.devices
    }

    /// Adds a person like everybody else; the caller changes what differs.
    pub fn add_person(&mut self, age: Age, province: u32, rng: &mut Rng) -> Account {
        const YEARS_DAYS: i64 = 9 * 365;
        let days = rng.between(40, YEARS_DAYS);
        let person = Person {
            age,
            province,
            registered_at: self.start - days * DAY - rng.between(0, DAY - 1),
            verified: rng.chance(0.96),
            device: self.new_device(),
            ips: [new_ip(rng), new_ip(rng)],
            plays_relay: false,
            widens_contacts: false,
            watches: false,
            shop: false,
            ringed: false,
        };
        self.people.push(person);
        Account(self.people.len() as u32 - 1)
    }

    /// Adds a group.
    pub fn add_group(&mut self, group: GroupInfo) -> Group {
        self.groups.push(group);
        Group(self.groups.len() as u32 - 1)
    }

    /// Opens the book on a fraud; `known_after` is drawn about two days.
    pub fn fraud(&mut self, typology: Typology, detectable_from: i64, rng: &mut Rng) -> SchemeId {
        let known_after = rng.around(2 * DAY, 0.5);
        self.scheme(typology.name(), true, detectable_from, known_after)
    }

    /// Opens the book on honest behaviour that resembles fraud.
    pub fn honest(&mut self, name: &'static str, from: i64) -> SchemeId {
        self.scheme(name, false, from, DAY)
    }

    /// Opens the book on honest behaviour of a kind that scenario files name.
    pub fn negative(&mut self, kind: NegativeKind, from: i64) -> SchemeId {
        self.honest(kind.name(), from)
    }

    fn scheme(&mut self, name: &'static str, fraud: bool, from: i64, known_after: i64) -> SchemeId {
        let roles = Vec::new();
        self.schemes.push(Scheme { name, fraud, detectable_from: from, known_after, roles });
        SchemeId(self.schemes.len() as u32 - 1)
    }

    /// Notes who takes part in a scheme, as what, and whether that makes the account fraudulent.
    pub fn role(&mut self, scheme: SchemeId, account: Account, role: &'static str, fraud: bool) {
        self.schemes[scheme.0 as usize].roles.push((account, role, fraud));
    }

    /// Something that a person does, from the own device and address.
    pub fn act(&self, time: i64, kind: Kind, account: Account) -> Event {
        let person = self.person(account);
        // Out of the house by day, at home in the evening: the address follows the hour.
        let hour = (time - self.start).rem_euclid(DAY) / (60 * MINUTE);
        let ip = person.ips[usize::from((9..18).contains(&hour))];
        Event {
            time,
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
            platform: "wechat",
            text: String::new(),
            scheme: None,
        }
    }

    /// Takes note of what happened; what lies after the last day does not happen.
    pub fn emit(&mut self, event: Event) -> bool {
        assert!(event.time >= self.start, "{event:?} is before the first day");
        let happens = event.time < self.end;
        if happens {
            self.events.push(event);
        }
        happens
    }

    /// A transfer.
    pub fn transfer(&mut self, transfer: Transfer<'_>) -> bool {
        let Transfer { time, from, to, amount_fen, text, funding, group, scheme } = transfer;
        let event = Event {
            counterparty: Some(to),
            amount_fen: Some(amount_fen),
            text: text.to_owned(),
            funding,
            group,
            scheme,
            ..self.act(time, Kind::Transfer, from)
        };
        self.emit(event)
    }

    /// A withdrawal to the bank.
    pub fn withdraw(
        &mut self,
        time: i64,
        who: Account,
        fen: i64,
        scheme: Option<SchemeId>,
    ) -> bool {
        let event = Event {
            amount_fen: Some(fen),
            funding: "balance",
            scheme,
            ..self.act(time, Kind::Withdraw, who)
        };
        self.emit(event)
    }

    /// A message in a group.
    pub fn message(
        &mut self,
        time: i64,
        who: Account,
        group: Group,
        text: String,
        scheme: Option<SchemeId>,
    ) {
        let event =
            Event { group: Some(group), text, scheme, ..self.act(time, Kind::Message, who) };
        self.emit(event);
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

/// A transfer to be made.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'t> {
    /// When, ms.
    pub time: i64,
    /// Who pays.
    pub from: Account,
    /// Who is paid.
    pub to: Account,
    /// How much, fen.
    pub amount_fen: i64,
    /// The memo.
    pub text: &'t str,
    /// Where the money comes from.
    pub funding: &'static str,
    /// The group in which it was made, if any.
    pub group: Option<Group>,
    /// The scheme of which it is a part.
    pub scheme: Option<SchemeId>,
}

/// An address of 100.64.0.0/10, which no host on the internet has.
pub fn new_ip(rng: &mut Rng) -> u32 {
    const BASE: u32 = (100 << 24) | (64 << 16);
    BASE + rng.below(1 << 22) as u32
}
