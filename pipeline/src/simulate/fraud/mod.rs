//! Rings of fraud, one file a typology. What makes each typology is the same at every difficulty;
//! words, amounts, timing and accounts hide it better from easy to hard.

mod banker;
mod brushing;
mod chain;
mod coded;
mod collector;
mod contact;
mod farm;
mod mine;
mod mule;
mod number;
mod plugin;
mod takeover;

use super::figures::{
    BANNED_PROVINCES, BANNED_REGION_PERMILLE, DAY, GroupType, HOUR, MINUTE, PROVINCES,
};
use super::packets::{Fund, Share, Taker, Transfer};
use super::random::Rng;
use super::scenario::{Difficulty, Ring, Scenario, Typology};
use super::society::announce;
use super::world::{Account, Age, Group, GroupInfo, Member, SchemeId, World};
use crate::diagnostic::{Failure, Message};

/// Plans all rings. Groups and people must be there.
///
/// # Errors
/// When a ring needs more people than are left to be had (exit 2).
pub(super) fn plan(world: &mut World, scenario: &Scenario) -> Result<(), Failure> {
    let mut number = 0;
    for ring in &scenario.rings {
        for _ in 0..ring.count {
            let mut rng = world.rng(ring.typology.name(), number);
            number += 1;
            act(world, ring, &mut rng).map_err(|short| short.told(number, ring, scenario))?;
        }
    }
    Ok(())
}

/// A ring needs more people than there are.
struct Shortage {
    wanted: i64,
    able: i64,
}

impl Shortage {
    fn told(self, number: u64, ring: &Ring, scenario: &Scenario) -> Failure {
        let (Shortage { wanted, able }, accounts) = (self, scenario.accounts);
        let typology = ring.typology.name();
        Failure::Usage(Message::new(
            format!(
                "too few people: ring {number} of the scenario ({typology}) needs {wanted} of \
                 {accounts} accounts, and only {able} can be had (no elderly, no watchers, nobody \
                 who works for a ring already); give more `accounts`, or fewer rings or `players`"
            ),
            format!(
                "人数不足：场景中第 {number} 个团伙（{typology}）需要 {accounts} 个账户中的 {wanted} 个，\
                 而可用的只有 {able} 个（老年人、旁观者及已为团伙所用者除外）；请增大 `accounts`，或减少团伙或 `players`"
            ),
        ))
    }
}

fn act(world: &mut World, ring: &Ring, rng: &mut Rng) -> Result<(), Shortage> {
    match ring.typology {
        Typology::GamblingMine => mine::plan(world, ring, rng),
        Typology::GamblingBanker => banker::plan(world, ring, rng),
        Typology::GamblingNiuNiu | Typology::GamblingBigSmall => number::plan(world, ring, rng),
        Typology::ManyGroupsOneCollector => collector::plan(world, ring, rng),
        Typology::CollectorChain => chain::plan(world, ring, rng),
        Typology::DeviceFarm => farm::plan(world, ring, rng),
        Typology::BrushingRebate | Typology::BrushingScam => brushing::plan(world, ring, rng),
        Typology::MulePassThrough => mule::plan(world, ring, rng),
        Typology::ContactDiversion => contact::plan(world, ring, rng),
        Typology::CodedSettlement => coded::plan(world, ring, rng),
        Typology::AccountTakeover => takeover::plan(world, ring, rng),
        Typology::PluginClaimer => plugin::plan(world, ring, rng),
    }
}

/// One of three values, by difficulty.
fn by<T: Copy>(difficulty: Difficulty, easy: T, medium: T, hard: T) -> T {
    match difficulty {
        Difficulty::Easy => easy,
        Difficulty::Medium => medium,
        Difficulty::Hard => hard,
    }
}

/// The name of a section of phrases at a difficulty. The harder, the more often people write like
/// anybody else or nothing.
fn section(scene: &str, difficulty: Difficulty) -> String {
    format!("{scene}.{}", by(difficulty, "easy", "medium", "hard"))
}

/// Accounts that work for a ring: the harder to catch, the more of them are of ordinary people who
/// rent them out. The ring's own are the younger the easier, and known from the beginning.
fn recruit(
    world: &mut World,
    count: i64,
    difficulty: Difficulty,
    rng: &mut Rng,
) -> Result<Vec<Account>, Shortage> {
    let rented = by(difficulty, 0.0, 0.65, 0.9);
    let recruits = (0..count).map(|_| {
        if rng.chance(rented) {
            let account = public(world, 1, rng)?[0];
            world.people[account.0 as usize].hired = true;
            return Ok(account);
        }
        let (province, ..) = *rng.pick(PROVINCES);
        let age = [Age::Young, Age::Middle][rng.weighted(&[50, 50])];
        let account = world.add_person(age, province, rng);
        let start = world.start;
        let days = match difficulty {
            Difficulty::Easy => rng.between(1, 20),
            Difficulty::Medium => rng.around(260, 1.2).clamp(3, 3_000),
            Difficulty::Hard => rng.around(560, 1.2).clamp(3, 4_000),
        };
        let person = &mut world.people[account.0 as usize];
        person.registered_at = start - days * DAY - rng.between(0, DAY - 1);
        person.verified = rng.chance(by(difficulty, 0.5, 0.8, 0.92));
        person.ringed = true;
        Ok(account)
    });
    recruits.collect()
}

/// After so many draws in a row of nobody who will do, those who are left are listed: with one in
/// twenty left that never happens, so a draw costs next to nothing where there are people.
const MISSES_MAX: u32 = 1_000;

/// Ordinary people who get drawn in.
fn public(world: &World, count: i64, rng: &mut Rng) -> Result<Vec<Account>, Shortage> {
    let able = |account: Account| {
        let person = world.person(account);
        person.age != Age::Older && !person.watches && !person.hired
    };
    let mut found = Vec::new();
    let mut misses = 0;
    while (found.len() as i64) < count && misses < MISSES_MAX {
        let account = Account(rng.below(u64::from(world.ordinary)) as u32);
        if able(account) && !found.contains(&account) {
            found.push(account);
            misses = 0;
        } else {
            misses += 1;
        }
    }
    if (found.len() as i64) < count {
        let everybody = (0..world.ordinary).map(Account);
        let mut left: Vec<Account> =
            everybody.filter(|&account| able(account) && !found.contains(&account)).collect();
        let all = (found.len() + left.len()) as i64;
        if all < count {
            return Err(Shortage { wanted: count, able: all });
        }
        rng.shuffle(&mut left);
        left.truncate(count as usize - found.len());
        found.append(&mut left);
    }
    Ok(found)
}

/// Those who play in a group of a ring: the regulars first, and in a large group many who mostly
/// watch.
struct Crowd {
    everybody: Vec<Account>,
    regulars: usize,
}

impl Crowd {
    /// So many regulars of a scheme, and as many others as the ring's groups are large; in a group
    /// of fewer people all are regulars.
    fn drawn(
        world: &mut World,
        ring: &Ring,
        regulars: i64,
        rng: &mut Rng,
    ) -> Result<Crowd, Shortage> {
        let players = ring.players.unwrap_or(regulars);
        let everybody = public(world, players, rng)?;
        Ok(Crowd { everybody, regulars: regulars.min(players) as usize })
    }

    fn regulars(&self) -> &[Account] {
        &self.everybody[..self.regulars]
    }

    /// Who plays a round: mostly regulars. Whoever does is a player, also for the labels.
    fn seats(
        &self,
        world: &mut World,
        scheme: SchemeId,
        count: usize,
        rng: &mut Rng,
    ) -> Vec<Account> {
        let (regulars, others) = self.everybody.split_at(self.regulars);
        let guests = if others.is_empty() { 0 } else { count / GUESTS_ONE_IN };
        let mut seated = rng.sample(regulars, count - guests);
        for guest in rng.sample(others, guests) {
            world.role(scheme, guest, "player", false);
            seated.push(guest);
        }
        seated
    }
}

/// In a large group one in so many who play a round is no regular.
const GUESTS_ONE_IN: usize = 4;

/// Of a hundred groups of rings, those that were there long before and were kept for the purpose
/// (养群), by difficulty: so many that being new does not tell them.
const KEPT_PERCENT: [u64; 3] = [0, 25, 45];

/// A group that a ring uses from a time on. Most are opened for it: their members join within the
/// half-hour before.
fn open_group(
    world: &mut World,
    (scene, difficulty): (&str, Difficulty),
    members: &[Account],
    time: i64,
    scheme: SchemeId,
    rng: &mut Rng,
) -> Group {
    let name = world.words.say(&section(scene, difficulty), &[], rng);
    let kept = rng.below(100) < KEPT_PERCENT[difficulty as usize];
    let opened_at = (!kept).then_some(time - 30 * MINUTE);
    let long_since = world.start - DAY;
    let join = |(at, &account): (usize, &Account)| {
        let since = match opened_at {
            Some(opened_at) if at > 0 => opened_at + rng.between(1, 25 * MINUTE),
            _ => opened_at.unwrap_or(long_since),
        };
        Member { account, since }
    };
    let members = members.iter().enumerate().map(join).collect();
    let group = world.add_group(GroupInfo {
        kind: GroupType::Stranger,
        province: banned_province(world, rng),
        name,
        opened_at,
        members,
        farm: None,
        scheme: Some(scheme),
        taciturn: difficulty == Difficulty::Easy,
    });
    if let Some(opened_at) = opened_at {
        announce(world, group, opened_at, Some(scheme));
    }
    group
}

/// The memo of a packet that a ring sends into a group and that is no bet: by the book only at easy.
fn memo_in_group(
    world: &mut World,
    difficulty: Difficulty,
    group: Option<Group>,
    said: String,
) -> String {
    match group {
        Some(group) if difficulty != Difficulty::Easy => {
            world.talk.memo_of_ring(&world.words, group, said)
        }
        _ => said,
    }
}

/// The provinces of rings' groups: of any number of them, the share that the document gives lies
/// in three provinces.
fn banned_province(world: &World, rng: &mut Rng) -> u32 {
    let rings = |info: &&GroupInfo| info.scheme.is_some_and(|scheme| world.scheme(scheme).fraud);
    let opened = world.groups.iter().filter(rings).count() as i64;
    let so_far = |groups: i64| (groups * BANNED_REGION_PERMILLE + 500) / 1000;
    if so_far(opened + 1) > so_far(opened) {
        return *rng.pick(&BANNED_PROVINCES);
    }
    loop {
        let (province, ..) = *rng.pick(PROVINCES);
        if !BANNED_PROVINCES.contains(&province) {
            return province;
        }
    }
}

/// A day on which a ring can begin: where there is no room for it before `until` it begins on the
/// first, and never before that.
fn pick_day(world: &World, ring: &Ring, rng: &mut Rng) -> i64 {
    let first = ring.from.unwrap_or(0);
    let last = ring.until.unwrap_or(world.days()) - ring.typology.days();
    rng.between(first, last.max(first))
}

/// A time of day: an hour from `from` to `to` of a day, and not before the stream has opened.
fn time_on(world: &World, day: i64, from: i64, to: i64, rng: &mut Rng) -> i64 {
    let time = world.midnight(day) + rng.between(from * HOUR, to * HOUR);
    time.max(world.start + HOUR)
}

/// An amount in yuan as people write it: without a fraction where there is none.
fn yuan(fen: i64) -> String {
    match fen % 100 {
        0 => (fen / 100).to_string(),
        rest => format!("{}.{rest:02}", fen / 100),
    }
}

/// Out of what gamblers and buyers pay.
fn anyhow(rng: &mut Rng) -> Fund {
    [Fund::Lingqiantong, Fund::Bank][rng.below(2) as usize]
}

/// A transfer of a scheme.
fn paid(
    scheme: SchemeId,
    (from, to): (Account, Account),
    amount_fen: i64,
    text: String,
    fund: Fund,
) -> Transfer {
    Transfer { from, to, amount_fen, text, fund, group: None, scheme: Some(scheme) }
}

/// Those of a scheme who take a share each, quickly or not.
fn takers(
    accounts: &[Account],
    scheme: SchemeId,
    rng: &mut Rng,
    delay: impl Fn(&mut Rng) -> i64,
) -> Vec<Taker> {
    let scheme = Some(scheme);
    accounts.iter().map(|&account| Taker { account, delay_ms: delay(rng), scheme }).collect()
}

/// The share of somebody, if there is one.
fn share_of(shares: &[Share], account: Account) -> Option<Share> {
    shares.iter().find(|share| share.account == account).copied()
}
