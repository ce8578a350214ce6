//! What the events tell of one account.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use super::{Counterparty, Device, GroupSeen, LISTED_MAX, Moved, Profile};
use crate::diagnostic::Failure;
use crate::event::{
    ACCOUNT_ID, AGE_BAND, AMOUNT_FEN, COUNTERPARTY_ID, Chunk, DEVICE_ID, EVENT_TIME, GROUP_ID,
    Kind, PLATFORM, REGION, REGISTERED_AT, TEXT, VERIFIED, Value,
};
use crate::expr::Zone;
use crate::finished::Events;
use crate::source::Progress;
use crate::source::order::Slice;

/// Ids that are proposed where an account does not occur.
const NEAREST_MAX: usize = 3;

/// From when to when, and how often.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    last: i64,
    events: u64,
}

impl Span {
    fn at(time: i64) -> Span {
        Span { first: time, last: time, events: 0 }
    }

    fn see(&mut self, time: i64) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.events += 1;
    }
}

#[derive(Default)]
struct InGroup {
    span: Option<Span>,
    name: String,
    sent: Moved,
    claimed: Moved,
}

#[derive(Default)]
struct OnDevice {
    span: Option<Span>,
    others: HashSet<String>,
}

/// Gathers in two passes: its own events, and then what others did on its devices and in its groups.
pub(super) struct Gatherer<'g> {
    account: String,
    from: i64,
    zone: &'g Zone,
    /// Whether it occurs at all, also before the days that are looked at.
    occurs: bool,
    span: Option<Span>,
    profile: Profile,
    counterparties: BTreeMap<String, (Moved, Moved)>,
    groups: BTreeMap<String, InGroup>,
    devices: BTreeMap<String, OnDevice>,
}

impl<'g> Gatherer<'g> {
    pub(super) fn new(account: &str, from: i64, zone: &'g Zone) -> Gatherer<'g> {
        let profile = Profile { account: account.to_owned(), ..Profile::default() };
        Gatherer {
            account: account.to_owned(),
            from,
            zone,
            occurs: false,
            span: None,
            profile,
            counterparties: BTreeMap::new(),
            groups: BTreeMap::new(),
            devices: BTreeMap::new(),
        }
    }

    pub(super) fn occurs(&self) -> bool {
        self.occurs
    }

    /// The first pass.
    pub(super) fn own(&mut self, slice: &Slice) {
        let chunk = &slice.chunk;
        for row in 0..chunk.len() {
            let acts = chunk.str(ACCOUNT_ID, row) == self.account;
            if !acts && chunk.str(COUNTERPARTY_ID, row) != self.account {
                continue;
            }
            self.occurs = true;
            if acts {
                self.attributes(chunk, row);
            }
            let time = chunk.int(EVENT_TIME, row);
            if time < self.from {
                continue;
            }
            self.span.get_or_insert(Span::at(time)).see(time);
            self.money(chunk, row);
            if acts {
                self.act(chunk, row, time);
            }
        }
    }

    fn attributes(&mut self, chunk: &Chunk, row: usize) {
        let attributes = &mut self.profile.attributes;
        for (name, field) in [("age_band", AGE_BAND), ("region", REGION), ("platform", PLATFORM)] {
            if let Value::Str(value) = chunk.value(field, row) {
                attributes.insert(name, value.to_owned());
            }
        }
        if let Value::Int(time) = chunk.value(REGISTERED_AT, row) {
            attributes.insert("registered_at", self.zone.moment(time));
        }
        if let Value::Bool(value) = chunk.value(VERIFIED, row) {
            attributes.insert("verified", value.to_string());
        }
    }

    /// Money that goes from one account to another: it has a payer and a payee.
    fn money(&mut self, chunk: &Chunk, row: usize) {
        let (payer, payee) = (chunk.payer(row), chunk.payee(row));
        // What somebody moves to himself, such as a share of his own packet, is neither paid nor received.
        if payer.is_empty() || payee.is_empty() || payer == payee {
            return;
        }
        let fen = Some(chunk.int(AMOUNT_FEN, row));
        if payer == self.account {
            self.profile.paid.add(fen);
            self.counterparties.entry(payee.to_owned()).or_default().0.add(fen);
        }
        if payee == self.account {
            self.profile.received.add(fen);
            self.counterparties.entry(payer.to_owned()).or_default().1.add(fen);
        }
    }

    fn act(&mut self, chunk: &Chunk, row: usize, time: i64) {
        let kind = chunk.kind(row);
        let fen = kind.has_amount().then(|| chunk.int(AMOUNT_FEN, row));
        self.profile.kinds.entry(kind.name().to_owned()).or_default().add(fen);
        self.profile.hours[self.zone.hour(time) as usize] += 1;
        self.profile.weekdays[self.zone.weekday(time) as usize - 1] += 1;
        let group = chunk.str(GROUP_ID, row);
        if !group.is_empty() {
            let seen = self.groups.entry(group.to_owned()).or_default();
            seen.span.get_or_insert(Span::at(time)).see(time);
            match kind {
                Kind::Send => seen.sent.add(fen),
                Kind::Claim => seen.claimed.add(fen),
                _ => {}
            }
        }
        let device = chunk.str(DEVICE_ID, row);
        if !device.is_empty() {
            let seen = self.devices.entry(device.to_owned()).or_default();
            seen.span.get_or_insert(Span::at(time)).see(time);
        }
    }

    /// The second pass.
    pub(super) fn others(&mut self, slice: &Slice) {
        let chunk = &slice.chunk;
        for row in 0..chunk.len() {
            let account = chunk.str(ACCOUNT_ID, row);
            if account != self.account
                && !account.is_empty()
                && let Some(device) = self.devices.get_mut(chunk.str(DEVICE_ID, row))
                && !device.others.contains(account)
            {
                device.others.insert(account.to_owned());
            }
            if chunk.kind(row) == Kind::Group
                && let Some(group) = self.groups.get_mut(chunk.str(GROUP_ID, row))
                && let Value::Str(name) = chunk.value(TEXT, row)
            {
                group.name = name.to_owned();
            }
        }
    }

    pub(super) fn profile(self) -> Profile {
        let zone = self.zone;
        let moment = |time: i64| zone.moment(time);
        let mut profile = self.profile;
        let told = |span: Option<Span>| match span {
            Some(span) => (moment(span.first), moment(span.last), span.events),
            None => Default::default(),
        };
        (profile.first_seen, profile.last_seen, _) = told(self.span);
        profile.counterparties_all = self.counterparties.len();
        let one = |(id, (paid, received))| Counterparty { id, paid, received };
        profile.counterparties = self.counterparties.into_iter().map(one).collect();
        profile
            .counterparties
            .sort_by_key(|one| std::cmp::Reverse(one.paid.fen + one.received.fen));
        profile.counterparties.truncate(LISTED_MAX);
        profile.groups_all = self.groups.len();
        let one = |(id, seen): (String, InGroup)| {
            let (first_seen, last_seen, events) = told(seen.span);
            let InGroup { name, sent, claimed, .. } = seen;
            GroupSeen { id, name, events, sent, claimed, first_seen, last_seen }
        };
        profile.groups = self.groups.into_iter().map(one).collect();
        profile.groups.sort_by_key(|one| std::cmp::Reverse(one.events));
        profile.groups.truncate(LISTED_MAX);
        profile.devices_all = self.devices.len();
        let one = |(id, seen): (String, OnDevice)| {
            let (first_seen, last_seen, events) = told(seen.span);
            Device { id, events, first_seen, last_seen, other_accounts: seen.others.len() }
        };
        profile.devices = self.devices.into_iter().map(one).collect();
        profile.devices.sort_by_key(|one| std::cmp::Reverse(one.events));
        profile.devices.truncate(LISTED_MAX);
        profile
    }
}

/// The ids of the run that are most like one that does not occur: of three letters at most one is
/// another, for else it is another id.
pub(super) fn nearest(
    events: &Events,
    account: &str,
    progress: &dyn Progress,
) -> Result<Vec<String>, Failure> {
    let mut seen: HashSet<String> = HashSet::new();
    let mut best: BTreeSet<(usize, String)> = BTreeSet::new();
    events.each_slice(progress, &mut |slice| {
        for row in 0..slice.chunk.len() {
            for id in [ACCOUNT_ID, COUNTERPARTY_ID].map(|field| slice.chunk.str(field, row)) {
                if id.is_empty() || seen.contains(id) {
                    continue;
                }
                seen.insert(id.to_owned());
                let distance = strsim::damerau_levenshtein(id, account);
                if distance * 3 > account.chars().count().max(id.chars().count()) {
                    continue;
                }
                best.insert((distance, id.to_owned()));
                if best.len() > NEAREST_MAX {
                    best.pop_last();
                }
            }
        }
    })?;
    Ok(best.into_iter().map(|(_, id)| id).collect())
}
