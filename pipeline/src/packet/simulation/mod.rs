//! The engine in a small world of its own: clients that repeat themselves, a network that loses and
//! reorders, a clock that stands, goes back and leaps, and people and scorers who decide late,
//! twice and otherwise. Everything follows from a seed. After each command the engine is compared
//! with an [`oracle`] that was written apart from it; after each batch everything that can be seen
//! from outside is.
//!
//! A seed that fails says at which command and how to run it again. The world ends where the
//! engine's bytes would be written; [`restarts`] goes on from there, on a disk that fails.

mod bounds;
mod coverage;
mod disk;
mod interleavings;
mod network;
mod oracle;
mod restarts;
mod witness;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::packet::bugs;
use crate::packet::command::Request;
use crate::packet::draw::MasterSecret;
use crate::packet::engine::{Engine, PacketState};
use crate::packet::limits::Limits;
use crate::packet::reply::{Effect, Happening, Reply};
use crate::packet::units::Time;

use self::coverage::Coverage;
use self::network::Network;
use self::oracle::{Expected, Oracle, Place, Told, What};
use self::witness::Witness;
use self::workload::{Dice, Workload};

/// Commands of a seed.
const STEPS: u32 = 600;
/// Seeds of the suite, enough that each rare event comes up often and few enough for every build.
const SEEDS: Range<u64> = 0..400;

/// Of what the clients speak.
#[derive(Clone, Copy, PartialEq)]
enum Clients {
    /// Of what the engine must still know.
    WithinMemory,
    /// Also of what it may have forgotten. The oracle, which forgets nothing, does not judge then:
    /// the engine must stand, and do the same however it is restarted and its batches are cut.
    OfOldThings,
}

/// Two engines, the oracle and the bystander, and what they were asked last.
#[derive(Clone)]
struct World {
    engine: Engine,
    /// Gets the same commands in other batches, and is written down and read again now and then.
    second: Engine,
    second_effects: Vec<Effect>,
    effects: Vec<Effect>,
    secret: MasterSecret,
    clients: Clients,
    oracle: Oracle,
    witness: Witness,
    /// The first reply to each id.
    replies: BTreeMap<String, Reply>,
    coverage: Coverage,
    step: u32,
    before: String,
    asked: String,
    replied: String,
    expected: String,
}

impl World {
    fn new(limits: Limits, secret: [u8; 32]) -> World {
        let secret = MasterSecret::new(secret);
        World {
            engine: Engine::new(limits, secret.clone()),
            second: Engine::new(limits, secret.clone()),
            second_effects: Vec::new(),
            effects: Vec::new(),
            secret: secret.clone(),
            clients: Clients::WithinMemory,
            oracle: Oracle::new(limits, secret),
            witness: Witness::default(),
            replies: BTreeMap::new(),
            coverage: Coverage::default(),
            step: 0,
            before: "none".to_owned(),
            asked: "nothing".to_owned(),
            replied: String::new(),
            expected: String::new(),
        }
    }

    /// Asks everybody the same and compares the answers.
    fn ask(&mut self, clock: Time, bytes: &[u8]) -> Result<(), String> {
        let request: Request<'_> = postcard::from_bytes(bytes).expect("it was written here");
        self.step += 1;
        self.before = std::mem::replace(&mut self.asked, format!("at {}: {request:?}", clock.0));
        (self.replied, self.expected) = ("none yet".to_owned(), "none yet".to_owned());
        let expected = self.oracle.apply(clock, &request);
        self.expected = format!("{expected:?}");
        let reply = self.engine.apply(clock, &request);
        self.replied = format!("{reply:?}");
        let effects = self.engine.take_effects();
        self.second.look_ahead(std::slice::from_ref(&request));
        let same = self.second.apply_encoded(clock, &request, bytes);
        if same != reply {
            return Err(format!("the second engine replied {same:?}"));
        }
        let told = self.oracle.take_told();
        if self.clients == Clients::OfOldThings {
            self.effects.extend(&effects);
            return self.remember(request.id, reply.ok());
        }
        self.compare_effects(&effects, &told)?;
        self.effects.extend(&effects);
        let (reply, expected) = match (reply, expected) {
            (Ok(reply), Ok(expected)) => (reply, expected),
            (Err(why), Err(expected)) if why == expected => {
                self.coverage.rejected(why);
                return self.nothing_happened(&effects);
            }
            _ => return Err("one of them rejects it".to_owned()),
        };
        if let Some(first) = self.replies.get(request.id) {
            if *first != reply {
                return Err(format!("the first reply was {first:?}"));
            }
            self.coverage.repeated();
            return self.nothing_happened(&effects);
        }
        compare_replies(&reply, &expected)?;
        self.witness.see(&request, &reply, &effects)?;
        self.replies.insert(request.id.to_owned(), reply);
        self.coverage.replied(&reply);
        Ok(())
    }

    /// Time passes with no command, as at the end of a batch.
    fn pass(&mut self, clock: Time) -> Result<(), String> {
        self.before = std::mem::replace(&mut self.asked, format!("the clock shows {}", clock.0));
        self.oracle.advance(clock);
        self.engine.advance(clock);
        self.second.advance(clock);
        let (effects, told) = (self.engine.take_effects(), self.oracle.take_told());
        self.effects.extend(&effects);
        if self.clients == Clients::OfOldThings {
            return Ok(());
        }
        self.compare_effects(&effects, &told)?;
        effects.iter().try_for_each(|effect| self.witness.see_effect(effect))
    }

    /// Compares a reply with the first one, unless that is so old that it may be forgotten.
    fn remember(&mut self, id: &str, reply: Option<Reply>) -> Result<(), String> {
        let Some(reply) = reply else { return Ok(()) };
        let memory = self.oracle.limits.memory();
        match self.replies.insert(id.to_owned(), reply) {
            Some(first) if first != reply && first.time.after(memory) >= reply.time => {
                Err(format!("the first reply was {first:?}"))
            }
            _ => Ok(()),
        }
    }

    fn nothing_happened(&self, effects: &[Effect]) -> Result<(), String> {
        match effects {
            [] => Ok(()),
            effects => Err(format!("it was no new command, and yet {effects:?}")),
        }
    }

    fn compare_effects(&mut self, effects: &[Effect], told: &[Told]) -> Result<(), String> {
        let seen: Vec<Told> = effects.iter().map(|effect| self.seen(effect)).collect();
        effects.iter().for_each(|effect| self.coverage.happened(effect));
        match seen == told {
            true => Ok(()),
            false => Err(format!("what happened: {seen:#?}\nexpected: {told:#?}")),
        }
    }

    fn seen(&self, effect: &Effect) -> Told {
        let name = |account| self.engine.account_name(account).to_owned();
        let what = match effect.what {
            Happening::Exhausted { packet, luckiest, next } => {
                What::Exhausted { packet, luckiest: name(luckiest), next: next.map(name) }
            }
            other => What::Plain(other),
        };
        Told { time: effect.time, what }
    }

    /// Ends a batch of the first engine and compares everything that can be seen of it.
    fn end_batch(&mut self) -> Result<(), String> {
        if self.clients == Clients::OfOldThings {
            self.engine.end_batch();
            self.engine.audit();
            return Ok(());
        }
        let heads: Vec<_> = self.engine.heads().collect();
        let grown = std::mem::take(&mut self.oracle.grown);
        // One that ended long ago by the clock, in a batch in which it leaped, may be forgotten.
        let known = |(name, packet): &(&str, &oracle::Packet)| {
            self.engine.packet(name).is_some() || !self.oracle.may_forget(packet.seq)
        };
        let expected = grown.iter().map(|name| (&**name, &self.oracle.packets[name]));
        let expected = expected.filter(known);
        let links = |packet: &oracle::Packet| packet.claims.len() + usize::from(packet.closed);
        let expected = expected.map(|(name, packet)| (name, packet.head, links(packet) as u32));
        let heads: Vec<_> = heads.iter().map(|head| (head.packet, head.head, head.links)).collect();
        let expected: Vec<_> = expected.collect();
        if heads != expected {
            return Err(format!("chains that grew: {heads:?}\nexpected: {expected:?}"));
        }
        self.engine.end_batch();
        self.engine.audit();
        if self.engine.commands() != self.oracle.commands() {
            return Err(format!("{} commands were executed", self.engine.commands()));
        }
        let mut expected = self.oracle.queue.clone();
        let queue: BTreeSet<_> = self.engine.queue().collect();
        // What is reviewed may be forgotten with time.
        expected.retain(|seq| queue.contains(seq) || !self.oracle.may_forget(*seq));
        if queue != expected {
            return Err(format!("these wait for a person: {queue:?}, expected: {expected:?}"));
        }
        self.compare_packets()?;
        self.compare_money()
    }

    /// Ends a batch of the second engine, which may be written down and read again.
    fn end_second_batch(&mut self, restart: bool) -> Result<(), String> {
        self.second_effects.extend(self.second.take_effects());
        self.second.end_batch();
        if restart {
            let bytes = postcard::to_allocvec(&self.second).expect("an engine can be written");
            let read: Engine = postcard::from_bytes(&bytes).map_err(|error| error.to_string())?;
            self.second = read.restored(self.secret.clone());
            self.second.audit();
            let again = postcard::to_allocvec(&self.second).expect("an engine can be written");
            if again != bytes {
                return Err("the engine read back is written otherwise".to_owned());
            }
        }
        match self.second_effects == self.effects {
            true => Ok(()),
            false => Err("other batches bring other happenings".to_owned()),
        }
    }

    fn compare_packets(&mut self) -> Result<(), String> {
        for (name, packet) in &self.oracle.packets {
            let Some(view) = self.engine.packet(name) else {
                if self.oracle.may_forget(packet.seq) {
                    continue;
                }
                return Err(format!("packet {name} is not there"));
            };
            let wrong = |what: &str| Err(format!("{what} of packet {name}: {view:?}\n{packet:?}"));
            let state = self.oracle.state(packet);
            self.coverage.packet(state);
            if view.state != state {
                return wrong("state");
            }
            let name_of = |account| self.engine.account_name(account);
            let claims = view.claims.iter().map(|c| (name_of(c.account), c.amount.0, c.seq));
            let expected = packet.claims.iter().map(|c| (&*c.account, c.fen, c.seq));
            if !claims.eq(expected) {
                return wrong("claims");
            }
            if view.head != packet.head || self.witness.head(name) != Some(packet.head) {
                return wrong("head");
            }
            if view.next_sender.map(str::to_owned) != packet.next_sender() {
                return wrong("next sender");
            }
            if view.parts.total().0 != packet.fen {
                return wrong("total");
            }
            let opened = !matches!(state, PacketState::Waiting | PacketState::Blocked);
            if opened && view.parts != self.oracle.parts(packet) {
                return wrong("parts");
            }
            if opened && view.expires_at != packet.expires_at {
                return wrong("expiry");
            }
            let named = self.engine.packet_name(packet.seq);
            if named != Some(name) && (named.is_some() || !self.oracle.may_forget(packet.seq)) {
                return wrong("name");
            }
        }
        for transaction in self.oracle.transactions.values() {
            self.coverage.transaction(transaction.settlement);
        }
        Ok(())
    }

    /// The wallets, and that no money came from nowhere: what is in wallets, escrows and cases is
    /// what the bank put in.
    fn compare_money(&self) -> Result<(), String> {
        let mut money = 0;
        for account in self.oracle.accounts() {
            let wallet = self.engine.wallet(account).unwrap_or_default();
            let expected = self.oracle.wallet(account);
            if wallet != expected {
                return Err(format!("{account} has {wallet:?}, expected {expected:?}"));
            }
            let all = [wallet.change, wallet.lingqiantong, wallet.reserved, wallet.held];
            money += all.iter().map(|part| i128::from(part.0)).sum::<i128>();
        }
        for (name, packet) in &self.oracle.packets {
            let opened = packet.is_opened();
            let view = self.engine.packet(name).filter(|_| opened);
            money += view.map_or(0, |view| i128::from(view.parts.in_escrow().0));
        }
        let movements = &self.oracle.movements;
        money += movements.sum_where(|place| matches!(place, Place::Frozen(_)));
        let bank = |place: &Place| matches!(place, Place::Bank | Place::Transit(_));
        match money + movements.sum_where(bank) {
            0 => Ok(()),
            more => Err(format!("there are {more} fen too many")),
        }
    }

    fn mistake(&self, what: &str, replay: &str) -> String {
        let World { step, before, asked, replied, expected, .. } = self;
        format!(
            "{what}\n\nlimits:   {:?}\nstep:     {step}\nbefore:   {before}\nasked:    {asked}\n\
             replied:  {replied}\nexpected: {expected}\nagain:    {replay}\n",
            self.oracle.limits
        )
    }

    /// Runs a scene in the world; a panic is a mistake like others.
    fn play(
        &mut self,
        replay: &str,
        scene: impl FnOnce(&mut World) -> Result<(), String>,
    ) -> Result<(), String> {
        let played = catch_unwind(AssertUnwindSafe(|| scene(self)));
        let played = played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        });
        played.map_err(|what| self.mistake(&what, replay))
    }
}

fn compare_replies(reply: &Reply, expected: &Expected) -> Result<(), String> {
    let Expected { seq, time, result, wallet, head } = *expected;
    if (reply.seq, reply.time, reply.result) != (seq, time, result) {
        return Err("the replies differ".to_owned());
    }
    if reply.wallet != wallet {
        return Err("wallets differ".to_owned());
    }
    if reply.head != head {
        return Err("heads differ".to_owned());
    }
    Ok(())
}

/// The limits of a seed: the shipped ones in most, and each limit at work in some.
fn limits_of(dice: &mut Dice) -> Limits {
    // Nothing is forgotten during most seeds.
    let mut limits = Limits { memory_hours: 80_000, ..Limits::default() };
    if dice.chance(20) {
        limits.decisions_awaited = false;
    }
    if dice.chance(40) {
        limits.open_hours = 1;
        limits.hold_hours_max = 1 + dice.below(2) as u32;
        limits.timed_ahead_hours_max = dice.below(3) as u32;
    }
    if dice.chance(15) {
        limits.memory_hours =
            limits.timed_ahead_hours_max + 2 * limits.open_hours + limits.hold_hours_max;
    }
    if dice.chance(30) {
        limits.sender_may_claim = false;
    }
    if dice.chance(30) {
        limits.sends_a_day_max = 1 + dice.below(4) as u32;
    }
    if dice.chance(30) {
        limits.sent_fen_a_day_max = 2_000 + dice.below(4_000);
    }
    limits.password_guesses_max = dice.pick(&[5, 5, 2, 1, 0]);
    // Stronger than a file may allow, so that it shows.
    limits.tilt_per_mille_max = dice.pick(&[100, 150, 900]);
    limits.shares_max = dice.pick(&[100, 100, 6]);
    limits.hold_releases_on_expiry = dice.chance(50);
    limits.fallback_allow_fen_below = dice.pick(&[20_000, 300, 1]);
    limits.decision_ms_max = dice.pick(&[2_000, 2_000, 1, 60_000]);
    limits
}

/// Runs a seed, and says what it reached.
fn run(seed: u64, clients: Clients) -> Result<Coverage, String> {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let mut limits = limits_of(&mut dice);
    if clients == Clients::OfOldThings {
        limits.memory_hours =
            limits.timed_ahead_hours_max + 2 * limits.open_hours + limits.hold_hours_max;
    }
    let mut world = World::new(limits, [seed as u8; 32]);
    world.clients = clients;
    let replay = format!(
        "HONGXIAN_SEEDS={seed}..{} cargo test -p hongxian --lib packet::simulation::seeds",
        seed + 1
    );
    world.play(&replay, |world| {
        let mut network = Network::new(seed);
        let mut workload = Workload::new(
            seed,
            match clients {
                Clients::WithinMemory => limits.memory_hours / 2,
                Clients::OfOldThings => 20 * limits.memory_hours,
            },
        );
        for request in workload::beginning() {
            world.ask(network.tick(&world.oracle), &request)?;
        }
        for _ in 0..STEPS {
            let clock = network.tick(&world.oracle);
            let request = network.next(&mut workload, &world.oracle);
            world.ask(clock, &request)?;
            if dice.chance(20) {
                if dice.chance(50) {
                    let clock = network.tick(&world.oracle);
                    world.pass(clock)?;
                }
                world.end_batch()?;
            }
            if dice.chance(10) {
                let restart = dice.chance(10);
                world.end_second_batch(restart)?;
            }
        }
        world.end_batch()?;
        world.end_second_batch(true)
    })?;
    Ok(world.coverage)
}

/// The seeds to run: those of a suite, or `HONGXIAN_SEEDS=from..to`.
fn seeds_asked(suite: Range<u64>) -> Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test that is told how much to test")]
    let asked = std::env::var("HONGXIAN_SEEDS");
    let Ok(asked) = asked else { return suite };
    let parsed = asked
        .split_once("..")
        .and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
    parsed.unwrap_or_else(|| panic!("HONGXIAN_SEEDS is from..to, not {asked}"))
}

#[test]
fn seeds() {
    let mut coverage = Coverage::default();
    for seed in seeds_asked(SEEDS) {
        match run(seed, Clients::WithinMemory) {
            Ok(of_seed) => coverage.add(&of_seed),
            Err(mistake) => panic!("seed {seed}: {mistake}"),
        }
        // Some speak of what was long ago, too.
        if seed % 8 == 0 {
            run(seed, Clients::OfOldThings)
                .unwrap_or_else(|mistake| panic!("seed {seed}, of old things: {mistake}"));
        }
    }
    if seeds_asked(SEEDS) == SEEDS {
        coverage.assert_complete();
    }
    println!("{coverage}");
}

/// In so many seeds each mistake of the engine must be found.
const SEEDS_OF_A_BUG: u64 = 200;

/// The test of this test: a simulation that finds nothing says little.
#[test]
fn every_bug_is_found() {
    let mut missed = Vec::new();
    for bug in bugs::ALL {
        let finds = |seed: u64, clients| bugs::with(bug, || run(seed, clients)).is_err();
        let found =
            |seed: &u64| finds(*seed, Clients::WithinMemory) || finds(*seed, Clients::OfOldThings);
        match (0..SEEDS_OF_A_BUG).find(found) {
            Some(seed) => println!("{bug:?}: found by seed {seed}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {SEEDS_OF_A_BUG} seeds: {missed:?}");
}
