//! Verdicts on accounts and groups, which add up from decisions in total order.

use std::collections::VecDeque;

use compact_str::CompactString;
use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use crate::decision::Verdict;
use crate::diagnostic::Lang;
use crate::event::uneven_share;
use crate::expr::Zone;
use crate::rules::Lifts;
use crate::rules::policy::{Policy, Threshold, VerdictPolicy};
use crate::snapshot::{self, Broken};

/// What holds of an account or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Some functions are taken away for a time.
    Restricted,
    /// Everything is.
    Banned,
}

impl Standing {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Restricted => "restrict",
            Standing::Banned => "ban",
        }
    }

    /// What stands in the place of a rule among the reasons of a decision that it raised.
    pub fn reason(self) -> &'static str {
        match self {
            Standing::Restricted => "verdict:restrict",
            Standing::Banned => "verdict:ban",
        }
    }
}

/// What a verdict is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the kind of that name")]
pub enum Subject {
    Account,
    Group,
}

impl Subject {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Account => "account",
            Subject::Group => "group",
        }
    }
}

/// An enforced verdict that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// What it is on.
    pub subject: Subject,
    /// The verdict.
    pub standing: Standing,
    /// Effective time of the decision that brought it, in ms.
    pub since: i64,
    /// When it ends, as far as is known by now; none: when it is lifted by hand.
    pub until: Option<i64>,
    /// The decision below which none of its subject may fall.
    pub floor: Verdict,
}

impl Enforced {
    /// What it says to a person of the subject with that id.
    pub fn tell(&self, id: &str, zone: &Zone, lang: Lang) -> String {
        let since = zone.moment(self.since);
        let until = self.until.map(|until| zone.moment(until));
        match lang {
            Lang::En => {
                let subject = self.subject.name();
                let held = match self.standing {
                    Standing::Restricted => "restricted",
                    Standing::Banned => "banned",
                };
                let until = until.unwrap_or_else(|| "it is lifted".to_owned());
                format!("{subject} {id} is {held} since {since}, until {until}")
            }
            Lang::Zh => {
                let subject = match self.subject {
                    Subject::Account => "账户",
                    Subject::Group => "群",
                };
                let held = match self.standing {
                    Standing::Restricted => "限制",
                    Standing::Banned => "封禁",
                };
                let until = until.map_or_else(|| "人工解除".to_owned(), |at| format!(" {at} "));
                format!("{subject} {id} 自 {since} 起被{held}，至{until}止")
            }
        }
    }
}

/// The decision below which none may fall on whose account and group these are.
pub fn floor(enforced: &[Option<Enforced>; 2]) -> Verdict {
    enforced.iter().flatten().map(|one| one.floor).max().unwrap_or(Verdict::Allow)
}

/// One account or group with a verdict, at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Account or group.
    pub subject: Subject,
    /// Its id.
    pub id: String,
    /// The verdict.
    pub standing: Standing,
    /// Effective time of the decision that brought it.
    pub since: i64,
    /// When it ends; none: until it is lifted by hand.
    pub until: Option<i64>,
    /// Decisions of review, hold and block on it, without what floors added.
    pub decisions: [u64; 3],
}

/// Tables of the subjects of a kind: a single one of many would stall when it grows.
const TABLES: u64 = 64;

/// The verdicts so far.
pub struct Verdicts {
    policies: [VerdictPolicy; 2],
    /// By subject: who has been let off, and when.
    lifts: Lifts,
    /// By subject.
    histories: [Histories; 2],
}

/// What counts of each subject of a kind.
#[derive(Serialize, Deserialize)]
struct Histories(Vec<Table>);

/// Subjects with their histories.
#[derive(Default, Deserialize)]
#[serde(from = "Vec<(CompactString, History)>")]
struct Table(HashTable<Entry>);

/// A subject and its history. With its hash, by which a table that grows places it anew, it is as
/// long as a line of a processor's cache, so that who is met costs one wait for memory.
struct Entry {
    hash: u64,
    id: CompactString,
    history: History,
}

impl Entry {
    fn is(&self, hash: u64, id: &str) -> bool {
        self.hash == hash && self.id == id
    }
}

impl Default for Histories {
    fn default() -> Histories {
        Histories((0..TABLES).map(|_| Table::default()).collect())
    }
}

impl Histories {
    fn get(&self, id: &str) -> Option<&History> {
        let hash = hash_of(id);
        let found = self.0[table(hash)].0.find(hash, |held| held.is(hash, id));
        found.map(|held| &held.history)
    }

    fn of(&mut self, id: &str) -> &mut History {
        let hash = hash_of(id);
        let entry = self.0[table(hash)].0.entry(hash, |held| held.is(hash, id), |held| held.hash);
        let new = || Entry { hash, id: id.into(), history: History::default() };
        &mut entry.or_insert_with(new).into_mut().history
    }

    /// Whether there may be something of a subject; its memory is near the processor afterwards.
    fn touch(&self, id: &str) -> bool {
        let hash = hash_of(id);
        self.0[table(hash)].0.find(hash, |held| held.hash == hash).is_some()
    }

    fn each(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flat_map(|table| &table.0)
    }
}

impl From<Vec<(CompactString, History)>> for Table {
    fn from(held: Vec<(CompactString, History)>) -> Table {
        let mut table = HashTable::with_capacity(held.len());
        for (id, history) in held {
            let hash = hash_of(&id);
            table.insert_unique(hash, Entry { hash, id, history }, |held| held.hash);
        }
        Table(table)
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|held| (&held.id, &held.history)))
    }
}

fn hash_of(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// The table of a subject, by bits of its hash that the table does not use.
fn table(hash: u64) -> usize {
    uneven_share(hash >> 32, TABLES)
}

#[derive(Default, Serialize, Deserialize)]
struct History {
    decisions: [u64; 3],
    /// What counts. None until something does, as it is of most: they were reviewed at times. It is
    /// stored as if it were there.
    #[serde(serialize_with = "save_marks", deserialize_with = "load_marks")]
    marks: Option<Box<Marks>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Marks {
    /// Times of the decisions that count towards a restriction and a ban.
    counted: [VecDeque<i64>; 2],
    /// Since when and until when a restriction and a ban hold.
    held: [Option<Span>; 2],
}

/// Since when and until when a verdict holds; without an end, until it is lifted by hand.
type Span = (i64, Option<i64>);

fn save_marks<S: Serializer>(marks: &Option<Box<Marks>>, to: S) -> Result<S::Ok, S::Error> {
    match marks {
        Some(marks) => marks.serialize(to),
        None => Marks::default().serialize(to),
    }
}

fn load_marks<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<Marks>>, D::Error> {
    let marks = Marks::deserialize(from)?;
    let empty = marks.counted.iter().all(VecDeque::is_empty) && marks.held == [None; 2];
    Ok((!empty).then(|| Box::new(marks)))
}

impl Verdicts {
    /// No verdicts yet.
    pub fn new(policy: &Policy) -> Verdicts {
        let policies = [policy.accounts, policy.groups];
        Verdicts { policies, lifts: Lifts::default(), histories: Default::default() }
    }

    /// Has these lists hold from now on.
    pub fn set_lifts(&mut self, lifts: &Lifts) {
        self.lifts.clone_from(lifts);
    }

    /// The moment before which nothing counts against a subject any more.
    fn lifted(&self, subject: Subject, id: &str, time: i64) -> i64 {
        let list = self.lifts[subject as usize].as_ref();
        list.and_then(|list| list.last_from(id, time)).unwrap_or(i64::MIN)
    }

    /// All decisions that count, as bytes.
    pub(crate) fn save(&self) -> Vec<u8> {
        snapshot::encode(&self.histories)
    }

    /// Takes in what was saved, in place of what there is.
    pub(crate) fn load(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.histories = snapshot::decode(bytes)?;
        Ok(())
    }

    /// What holds of a subject at `time`.
    pub fn standing(&self, subject: Subject, id: &str, time: i64) -> Option<Standing> {
        self.histories[subject as usize].get(id)?.standing(time, self.lifted(subject, id, time))
    }

    /// Whether verdicts of any kind are enforced; where not, [`Verdicts::enforced`] has nothing.
    pub(crate) fn enforces(&self) -> bool {
        self.policies.iter().any(|policy| policy.enforce)
    }

    /// Looks up accounts and groups that are about to be asked about or decided on: the waits for
    /// memory, which are most of the cost, then overlap.
    pub(crate) fn look_ahead<'a>(&self, subjects: impl Iterator<Item = [&'a str; 2]>) {
        let mut touched = 0;
        for ids in subjects {
            for (histories, id) in self.histories.iter().zip(ids) {
                touched += u32::from(histories.touch(id));
            }
        }
        std::hint::black_box(touched);
    }

    /// The verdicts on an account and its group that hold at `time` and are enforced, in this order.
    pub fn enforced(&self, account: &str, group: &str, time: i64) -> [Option<Enforced>; 2] {
        [(Subject::Account, account), (Subject::Group, group)].map(|(subject, id)| {
            let policy = self.policies[subject as usize];
            if !policy.enforce || id.is_empty() {
                return None;
            }
            let history = self.histories[subject as usize].get(id)?;
            let standing = history.standing(time, self.lifted(subject, id, time))?;
            let threshold = match standing {
                Standing::Restricted => policy.restrict,
                Standing::Banned => policy.ban,
            };
            let (since, until) = history.held(standing)?;
            Some(Enforced { subject, standing, since, until, floor: threshold?.floor })
        })
    }

    /// Takes the next decision of the rules in total order, as it was before any floor.
    pub fn observe(&mut self, account: &str, group: &str, time: i64, verdict: Verdict) {
        if verdict == Verdict::Allow {
            return;
        }
        for (subject, id) in [(Subject::Account, account), (Subject::Group, group)] {
            let policy = self.policies[subject as usize];
            if id.is_empty() || (policy.restrict.is_none() && policy.ban.is_none()) {
                continue;
            }
            let lifted = self.lifted(subject, id, time);
            let history = self.histories[subject as usize].of(id);
            history.lift(lifted);
            history.decisions[verdict as usize - 1] += 1;
            for (at, threshold) in [policy.restrict, policy.ban].into_iter().enumerate() {
                if let Some(threshold) = threshold {
                    history.count(at, &threshold, time, verdict);
                }
            }
        }
    }

    /// Every account and group with a verdict that still holds at `end`, by kind and id.
    pub fn findings(&self, end: i64) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (subject, histories) in
            [Subject::Account, Subject::Group].into_iter().zip(&self.histories)
        {
            let first = findings.len();
            findings.extend(histories.each().filter_map(|Entry { id, history, .. }| {
                let standing = history.standing(end, self.lifted(subject, id, end))?;
                let (since, until) = history.held(standing)?;
                let (id, decisions) = (id.to_string(), history.decisions);
                Some(Finding { subject, id, standing, since, until, decisions })
            }));
            findings[first..].sort_unstable_by(|left: &Finding, right| left.id.cmp(&right.id));
        }
        findings
    }
}

impl History {
    /// What holds at `time`, of what came from `lifted` on.
    fn standing(&self, time: i64, lifted: i64) -> Option<Standing> {
        let holds = |standing: &Standing| {
            self.held(*standing).is_some_and(|(since, until)| {
                since >= lifted && until.is_none_or(|until| time < until)
            })
        };
        [Standing::Banned, Standing::Restricted].into_iter().find(holds)
    }

    /// The last span of a verdict, whether it is over or not.
    fn held(&self, standing: Standing) -> Option<Span> {
        self.marks.as_ref()?.held[standing as usize]
    }

    /// Forgets what came before that moment.
    fn lift(&mut self, lifted: i64) {
        let Some(Marks { counted, held }) = self.marks.as_deref_mut() else { return };
        for (held, counted) in held.iter_mut().zip(counted) {
            held.take_if(|(since, _)| *since < lifted);
            while counted.front().is_some_and(|first| *first < lifted) {
                counted.pop_front();
            }
        }
    }

    fn count(&mut self, at: usize, threshold: &Threshold, time: i64, verdict: Verdict) {
        if verdict < threshold.at_least {
            return;
        }
        let Marks { counted, held } = &mut **self.marks.get_or_insert_default();
        let counted = &mut counted[at];
        counted.push_back(time);
        while counted.front().is_some_and(|first| *first <= time - threshold.within) {
            counted.pop_front();
        }
        if (counted.len() as i64) < threshold.decisions {
            return;
        }
        let until = threshold.lasts.map(|lasts| time + lasts);
        let since = match held[at] {
            Some((since, old)) if old.is_none_or(|old| time < old) => since,
            _ => time,
        };
        held[at] = Some((since, until));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::expr::List;

    /// Whether a step's verdict stands at `time`, recomputed from all decisions before.
    fn stands(history: &[(i64, Verdict)], step: &Threshold, time: i64) -> bool {
        history.iter().enumerate().any(|(at, (then, decision))| {
            let counts = |(earlier, what): &&(i64, Verdict)| {
                *what >= step.at_least && *earlier > then - step.within
            };
            let enough = history[..=at].iter().filter(counts).count() as i64 >= step.decisions;
            let over = step.lasts.is_some_and(|lasts| time >= then + lasts);
            *decision >= step.at_least && enough && !over
        })
    }

    proptest! {
        #[test]
        fn floors_equal_a_recomputation(
            events in prop::collection::vec((0i64..6, 0usize..4, 0usize..3), 0..60),
            decisions in 1i64..4,
            within in 1i64..20,
            lasts in prop::option::weighted(0.9, 1i64..20),
            saved in 0usize..60,
        ) {
            let step = |at_least| Threshold { decisions, at_least, within, lasts, floor: at_least };
            let (restrict, ban) = (step(Verdict::Hold), step(Verdict::Block));
            let accounts =
                VerdictPolicy { restrict: Some(restrict), ban: Some(ban), enforce: true };
            let groups = VerdictPolicy { enforce: false, ..accounts };
            let policy = Policy { accounts, groups, ..Policy::default() };
            let mut verdicts = Verdicts::new(&policy);
            let mut histories: [Vec<(i64, Verdict)>; 3] = Default::default();
            let mut time = 0;
            for (nth, (pause, decision, who)) in events.into_iter().enumerate() {
                time += pause;
                if nth == saved {
                    let bytes = verdicts.save();
                    verdicts = Verdicts::new(&policy);
                    verdicts.load(&bytes).expect("what was saved is whole");
                }
                let (decision, id) = (Verdict::ALL[decision], ["a", "b", "c"][who]);
                let wanted = [ban, restrict]
                    .into_iter()
                    .find(|step| stands(&histories[who], step, time))
                    .map_or(Verdict::Allow, |step| step.floor);
                prop_assert_eq!(floor(&verdicts.enforced(id, "g", time)), wanted);
                verdicts.observe(id, "g", time, decision);
                histories[who].push((time, decision));
            }
            for finding in verdicts.findings(time) {
                if finding.subject == Subject::Account {
                    let who = ["a", "b", "c"].iter().position(|id| *id == finding.id).unwrap();
                    let count = |what| {
                        histories[who].iter().filter(|(_, held)| *held == what).count() as u64
                    };
                    let counts = [Verdict::Review, Verdict::Hold, Verdict::Block].map(count);
                    prop_assert_eq!(finding.decisions, counts);
                }
            }
        }
    }

    #[test]
    fn what_never_counted_is_saved_as_if_it_had() {
        assert_eq!(size_of::<Entry>(), 64, "a line of the cache");
        let saved = |marks| snapshot::encode(&History { decisions: [7, 0, 0], marks });
        assert_eq!(saved(None), saved(Some(Box::default())));
        let loaded: History = snapshot::decode(&saved(Some(Box::default()))).unwrap();
        assert!(loaded.marks.is_none());
        let plain = ([7_u64, 0, 0], [[0_i64; 0]; 2].map(Vec::from), [None::<Span>; 2]);
        assert_eq!(saved(None), snapshot::encode(&plain));
    }

    #[test]
    fn decisions_within_the_time_add_up_and_lapse() {
        let restrict = Threshold {
            decisions: 2,
            at_least: Verdict::Hold,
            within: 100,
            lasts: Some(50),
            floor: Verdict::Hold,
        };
        let accounts = VerdictPolicy { restrict: Some(restrict), ban: None, enforce: true };
        let policy = Policy { accounts, groups: VerdictPolicy::default(), ..Policy::default() };
        let mut verdicts = Verdicts::new(&policy);
        verdicts.observe("u1", "g1", 0, Verdict::Hold);
        verdicts.observe("u1", "g1", 50, Verdict::Review);
        assert_eq!(verdicts.standing(Subject::Account, "u1", 60), None, "review does not count");
        verdicts.observe("u1", "g1", 100, Verdict::Block);
        assert_eq!(verdicts.standing(Subject::Account, "u1", 100), None, "the first is too old");
        verdicts.observe("u1", "g1", 199, Verdict::Hold);
        let at = |time| floor(&verdicts.enforced("u1", "g1", time));
        assert_eq!(at(248), Verdict::Hold);
        assert_eq!(at(249), Verdict::Allow, "it lapses");
        let found = verdicts.findings(200);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].since, found[0].until), (199, Some(249)));
        assert_eq!(found[0].decisions, [1, 2, 1]);
    }

    /// Whoever is let off begins anew at that moment, and may be held again.
    #[test]
    fn what_came_before_a_lift_counts_no_more() {
        let ban = Threshold {
            decisions: 2,
            at_least: Verdict::Block,
            within: 1_000,
            lasts: None,
            floor: Verdict::Block,
        };
        let accounts = VerdictPolicy { restrict: None, ban: Some(ban), enforce: true };
        let policy = Policy { accounts, groups: VerdictPolicy::default(), ..Policy::default() };
        let mut verdicts = Verdicts::new(&policy);
        for time in [0, 10] {
            verdicts.observe("u1", "g1", time, Verdict::Block);
            verdicts.observe("u2", "g1", time, Verdict::Block);
        }
        let at = |verdicts: &Verdicts, id, time| floor(&verdicts.enforced(id, "g1", time));
        assert_eq!(at(&verdicts, "u1", 50), Verdict::Block, "it has no end");
        let mut list = List::default();
        list.add("u1", 100, i64::MAX);
        // A change of the list counts from when it is in force, and says nothing of before.
        verdicts.set_lifts(&[Some(Arc::new(list)), None]);
        assert_eq!(at(&verdicts, "u1", 99), Verdict::Block);
        assert_eq!(at(&verdicts, "u1", 100), Verdict::Allow);
        assert_eq!(at(&verdicts, "u2", 100), Verdict::Block, "he is not on the list");
        verdicts.observe("u1", "g1", 100, Verdict::Block);
        assert_eq!(at(&verdicts, "u1", 101), Verdict::Allow, "one of before would have made two");
        assert_eq!(verdicts.findings(101).len(), 1);
        verdicts.observe("u1", "g1", 110, Verdict::Block);
        assert_eq!(at(&verdicts, "u1", 111), Verdict::Block);
        assert_eq!(verdicts.findings(111).len(), 2);
    }

    #[test]
    fn a_verdict_tells_whose_it_is_and_until_when() {
        let utc = Zone::new("UTC").unwrap();
        let held = Enforced {
            subject: Subject::Group,
            standing: Standing::Banned,
            since: 1_707_480_000_001,
            until: None,
            floor: Verdict::Block,
        };
        assert_eq!(
            [Lang::En, Lang::Zh].map(|lang| held.tell("g1", &utc, lang)),
            [
                "group g1 is banned since 2024-02-09T12:00:00.001+00:00, until it is lifted",
                "群 g1 自 2024-02-09T12:00:00.001+00:00 起被封禁，至人工解除止",
            ]
        );
    }
}
