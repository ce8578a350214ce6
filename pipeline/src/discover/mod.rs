//! Code words that no list knows: short terms that people say before they pay one collector, again
//! and again, and that hardly anybody else says.
//!
//! **Candidates** are stretches of two to six symbols of messages, memos and names of groups, tokens
//! of letters and numbers, and a lone character beside a number, in the normal form of the matcher.
//! What a phrase hits is left out. Numbers are one symbol.
//!
//! **What is asked of a term**, all over the run's own events:
//! - *association*: how much more often the speaker pays the term's collector within ten minutes of
//!   it than of other texts, as the log-likelihood ratio of Dunning (1993). A collector is whoever is
//!   so paid four times by three speakers;
//! - *purity*: the share of its uses after which a collector is paid, or that were made in a group
//!   where one of them acts; and how many other groups and payees it is spread over;
//! - *repetition*: whether the same people pay again. Guests of a wedding and parents of a class pay
//!   once each;
//! - *rarity*: the share of all speakers who say it. What one in fifty says is half everyday; what
//!   has more than [`COLLECTORS_MAX`] collectors is everyday wholly;
//! - *burst*: how improbable its densest three days are, given how much was said in them;
//! - *known*: the share of its texts in which a phrase hits something else: these are found without
//!   it.
//!
//! The score is ten times the decimal logarithm of one plus their product, so that ten more is ten
//! times as much. Of terms that share two symbols and a collector, the best stands for all; a term
//! whose every use lies in a longer one gives way to that.
//!
//! **Memory** is 24 bytes a text, the distinct texts, 24 bytes a payment, 8 MiB for a sketch that
//! says which pairs of term and payee are worth an exact count, and at most [`PAIRS_MAX`] of these.

mod count;
mod gather;
mod shown;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

pub use self::shown::terminal;

use self::count::{Sketch, log_likelihood_ratio, surprise};
use self::gather::{Gathered, NONE, Said, gather};
use self::terms::{NUMBER, Term, spelt, terms};
use crate::diagnostic::Failure;
use crate::event::TEXT;
use crate::features::text::Lexicon;
use crate::finished::{Events, go_on};
use crate::source::Progress;

/// So often a collector is paid after a term, at least: three times happen by chance.
const PAID_MIN: u32 = 4;
/// By so many speakers: two may be a couple.
const SPEAKERS_MIN: usize = 3;
/// A term with more collectors is everyday: so many rings do not share one word that no list knows.
pub const COLLECTORS_MAX: usize = 32;
/// The most pairs of term and payee that are counted exactly; about 200 bytes each.
pub const PAIRS_MAX: usize = 1 << 20;
/// The share of speakers at which a term is half everyday.
const EVERYDAY_SHARE: f64 = 0.02;
/// Days of a burst.
const BURST_DAYS: usize = 3;
/// The surprise that makes a term half as much again as it is without a burst.
const BURST_HALF: f64 = 5.0;
/// The part of the score that is left where nobody pays twice.
const REPEATED_LEAST: f64 = 0.02;
/// A term of a lower score is not even listed: it is as likely by chance.
const SCORE_MIN: f64 = 1.0;
/// Terms of one collector that are listed: a ring has a few words, and other rings have some too.
const TERMS_A_COLLECTOR: usize = 5;
/// Examples, and ids, that are listed of a term.
const LISTED_MAX: usize = 3;
const DAY_MS: i64 = 86_400_000;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Discovery {
    /// Texts that were looked at.
    pub texts: usize,
    /// Texts that were not, because there are too many.
    pub texts_left_out: u64,
    /// Whether more pairs of term and payee came up than are counted.
    pub pairs_full: bool,
    /// The terms, the best first.
    pub terms: Vec<Found>,
}

/// A term.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The term in normal form; `#` is any number.
    pub term: String,
    /// The greater, the more it looks like a code word.
    pub score: f64,
    /// What the score is made of.
    pub parts: Parts,
    /// When it was first said, ms.
    pub first_seen: i64,
    /// When it was last said, ms.
    pub last_seen: i64,
    /// In how many texts.
    pub count: u32,
    /// In how many of these a phrase hits something else.
    pub count_hit: u32,
    /// How many people say it.
    pub speakers: usize,
    /// In how many groups.
    pub groups: usize,
    /// Some of the groups.
    pub group_ids: Vec<String>,
    /// Texts after which a collector was paid.
    pub settled: u32,
    /// What was paid, in fen.
    pub settled_fen: i64,
    /// How many collectors there are.
    pub payees: usize,
    /// Some of the collectors, the most paid first.
    pub payee_ids: Vec<String>,
    /// Some texts, as they were written.
    pub examples: Vec<String>,
    /// A line for a phrase file; none where the term is too short for a phrase or holds a number.
    pub phrase_line: Option<String>,
}

/// What a score is made of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Parts {
    /// The log-likelihood ratio of the term and its main collector.
    pub association: f64,
    /// From 0 to 1.
    pub purity: f64,
    /// Other groups and payees with the term.
    pub spread: usize,
    /// From 0 to 1: payments by who had paid before.
    pub repetition: f64,
    /// The share of all speakers who say it, from 0 to 1.
    pub everyday: f64,
    /// The surprise of its densest days.
    pub burst: f64,
    /// From 0 to 1: texts in which a phrase hits something else.
    pub known: f64,
}

type Fast<K, V> = HashMap<K, V, Xxh3DefaultBuilder>;

/// A term and somebody who is paid after it.
#[derive(Default)]
struct Pair {
    count: u32,
    fen: i64,
    speakers: HashSet<u32>,
}

/// By term and payee.
type Pairs = Fast<(u64, u32), Pair>;

/// All uses of a term.
#[derive(Default)]
struct Uses {
    spelt: String,
    count: u32,
    inside: u32,
    hit: u32,
    first: i64,
    last: i64,
    /// How often on each day on which it is said.
    days: BTreeMap<usize, u32>,
    spread: HashSet<u64>,
    groups: BTreeSet<u32>,
    speakers: HashSet<u32>,
    settled: u32,
    settled_fen: i64,
    examples: Vec<u32>,
    /// How often it lies within a longer term.
    within: Fast<u64, u32>,
}

/// Finds the `top` best terms in the events of a run.
///
/// # Errors
/// When events that were sorted on disk cannot be read back, or `progress` says to stop.
pub fn discover(
    events: &Events,
    lexicon: &Lexicon,
    top: usize,
    progress: &dyn Progress,
) -> Result<Discovery, Failure> {
    let gathered = gather(events, lexicon, progress)?;
    let mut paid = Fast::default();
    let (pairs, pairs_full) = pairs(&gathered, &mut paid, progress)?;
    let collectors = collectors(&pairs);
    let uses = uses(&gathered, &collectors, progress)?;
    let ranked = rank(&gathered, &pairs, &collectors, &uses, &paid);
    let mut found = Vec::new();
    for (term, payee, score, parts) in ranked.into_iter().take(top) {
        found.push(told(
            events,
            &gathered,
            &uses[&term],
            &collectors[&term],
            (payee, score, parts),
        )?);
    }
    let texts = gathered.said.len();
    Ok(Discovery { texts, texts_left_out: gathered.left_out, pairs_full, terms: found })
}

fn key(term: u64, payee: u32) -> u64 {
    (term ^ u64::from(payee).wrapping_mul(0xA24B_AED4_963E_E407)).rotate_left(23)
}

/// Pairs of a term and a payee that come up often enough, each counted exactly; and after how many
/// texts each payee is paid.
fn pairs(
    gathered: &Gathered,
    paid: &mut Fast<u32, u32>,
    progress: &dyn Progress,
) -> Result<(Pairs, bool), Failure> {
    let mut sketch = Sketch::new();
    let (mut found, mut payees) = (Vec::new(), Vec::new());
    for (at, said) in gathered.said.iter().enumerate() {
        ask(at, progress)?;
        gathered.paid_after(said, &mut payees);
        if payees.is_empty() {
            continue;
        }
        terms(gathered.text(said.text), &mut found);
        for (payee, _) in &payees {
            *paid.entry(*payee).or_default() += 1;
            found.iter().for_each(|term| sketch.add(key(term.hash, *payee)));
        }
    }
    let mut pairs = Pairs::default();
    let mut full = false;
    for (at, said) in gathered.said.iter().enumerate() {
        ask(at, progress)?;
        gathered.paid_after(said, &mut payees);
        if payees.is_empty() {
            continue;
        }
        terms(gathered.text(said.text), &mut found);
        for (payee, fen) in &payees {
            for term in &found {
                if sketch.at_most(key(term.hash, *payee)) < PAID_MIN {
                    continue;
                }
                let at = (term.hash, *payee);
                if pairs.len() == PAIRS_MAX && !pairs.contains_key(&at) {
                    full = true;
                    continue;
                }
                let pair = pairs.entry(at).or_default();
                pair.count += 1;
                pair.fen += fen;
                pair.speakers.insert(said.speaker);
            }
        }
    }
    pairs.retain(|_, pair| pair.count >= PAID_MIN && pair.speakers.len() >= SPEAKERS_MIN);
    Ok((pairs, full))
}

/// Texts after which it is asked whether to stop.
const ASK_EVERY: usize = 1 << 16;

fn ask(at: usize, progress: &dyn Progress) -> Result<(), Failure> {
    if at.is_multiple_of(ASK_EVERY) { go_on(progress) } else { Ok(()) }
}

/// The collectors of each term, the one who is paid most often first.
fn collectors(pairs: &Pairs) -> Fast<u64, Vec<u32>> {
    let mut sorted: Vec<(u64, u32, u32)> =
        pairs.iter().map(|((term, payee), pair)| (*term, *payee, pair.count)).collect();
    sorted.sort_unstable_by_key(|(term, payee, count)| (*term, std::cmp::Reverse(*count), *payee));
    let mut collectors: Fast<u64, Vec<u32>> = Fast::default();
    for (term, payee, _) in sorted {
        collectors.entry(term).or_default().push(payee);
    }
    collectors.retain(|_, payees| payees.len() <= COLLECTORS_MAX);
    collectors
}

/// All uses of the terms that have collectors.
fn uses(
    gathered: &Gathered,
    collectors: &Fast<u64, Vec<u32>>,
    progress: &dyn Progress,
) -> Result<Fast<u64, Uses>, Failure> {
    let mut uses: Fast<u64, Uses> = Fast::default();
    let (mut found, mut payees) = (Vec::new(), Vec::new());
    let (start, _) = span(gathered);
    for (at, said) in gathered.said.iter().enumerate() {
        ask(at, progress)?;
        let symbols = gathered.text(said.text);
        terms(symbols, &mut found);
        found.retain(|term| collectors.contains_key(&term.hash));
        if found.is_empty() {
            continue;
        }
        gathered.paid_after(said, &mut payees);
        for term in &found {
            let theirs = &collectors[&term.hash];
            let one = uses.entry(term.hash).or_default();
            if one.count == 0 {
                one.spelt = spelt(&symbols[usize::from(term.start)..usize::from(term.end)]);
                (one.first, one.last) = (said.time, said.time);
            }
            *one.days.entry(day(said.time, start)).or_default() += 1;
            one.take(gathered, said, theirs, &payees);
            for longer in found.iter().filter(|other| contains(other, term)) {
                *one.within.entry(longer.hash).or_default() += 1;
            }
        }
    }
    Ok(uses)
}

/// Whether a term lies in another, longer one.
fn contains(longer: &Term, term: &Term) -> bool {
    longer.start <= term.start && longer.end >= term.end && longer.hash != term.hash
}

/// The first moment and the number of days.
fn span(gathered: &Gathered) -> (i64, usize) {
    let times = gathered.said.iter().map(|said| said.time);
    let (first, last) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
    (first, ((last - first) / DAY_MS + 1) as usize)
}

fn day(time: i64, start: i64) -> usize {
    ((time - start) / DAY_MS) as usize
}

impl Uses {
    fn take(&mut self, gathered: &Gathered, said: &Said, theirs: &[u32], payees: &[(u32, i64)]) {
        self.count += 1;
        self.hit += u32::from(gathered.is_hit(said.text));
        self.first = self.first.min(said.time);
        self.last = self.last.max(said.time);
        if said.speaker != NONE {
            self.speakers.insert(said.speaker);
        }
        if said.group != NONE {
            self.groups.insert(said.group);
        }
        let settled: i64 =
            payees.iter().filter(|(payee, _)| theirs.contains(payee)).map(|(_, fen)| fen).sum();
        let is_settled = payees.iter().any(|(payee, _)| theirs.contains(payee));
        self.settled += u32::from(is_settled);
        self.settled_fen += settled;
        let inside = is_settled || theirs.iter().any(|payee| gathered.acts_in(*payee, said.group));
        if inside {
            self.inside += 1;
            if self.examples.len() < LISTED_MAX {
                self.examples.push(said.event);
            }
        } else {
            // A group, or else who is paid, or else who says it.
            self.spread.insert(match (said.group, payees.first()) {
                (NONE, Some((payee, _))) => u64::from(*payee) | 1 << 32,
                (NONE, None) => u64::from(said.speaker) | 2 << 32,
                (group, _) => u64::from(group),
            });
        }
    }
}

type Ranked = (u64, u32, f64, Parts);

fn rank(
    gathered: &Gathered,
    pairs: &Pairs,
    collectors: &Fast<u64, Vec<u32>>,
    uses: &Fast<u64, Uses>,
    paid: &Fast<u32, u32>,
) -> Vec<Ranked> {
    let (start, days) = span(gathered);
    let mut said_on = vec![0_u32; days];
    gathered.said.iter().for_each(|said| said_on[day(said.time, start)] += 1);
    let speakers = gathered.said.iter().map(|said| said.speaker);
    let everyone: HashSet<u32> = speakers.filter(|speaker| *speaker != NONE).collect();
    let all = gathered.said.len() as u32;
    let mut ranked: Vec<Ranked> = Vec::new();
    let mut order: Vec<(&u64, &Uses)> = uses.iter().collect();
    order.sort_unstable_by_key(|(term, _)| **term);
    for (term, one) in order {
        if one.within.values().any(|count| *count >= one.count) {
            continue;
        }
        let payee = collectors[term][0];
        let pair = &pairs[&(*term, payee)];
        let again = pair.count - (pair.speakers.len() as u32).min(pair.count);
        let parts = Parts {
            association: log_likelihood_ratio(pair.count, one.count, paid[&payee], all),
            purity: f64::from(one.inside) / f64::from(one.count),
            spread: one.spread.len(),
            repetition: f64::from(again) / f64::from(pair.count),
            everyday: one.speakers.len() as f64 / everyone.len().max(1) as f64,
            burst: burst(&one.days, one.count, &said_on, all),
            known: f64::from(one.hit) / f64::from(one.count),
        };
        let score = parts.score();
        if score >= SCORE_MIN {
            ranked.push((*term, payee, score, parts));
        }
    }
    ranked
        .sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| uses[&a.0].spelt.cmp(&uses[&b.0].spelt)));
    one_of_each(ranked, uses)
}

impl Parts {
    fn score(&self) -> f64 {
        let product = self.association.max(0.0) * self.purity * self.purity
            / (1.0 + self.spread as f64)
            * (REPEATED_LEAST + self.repetition)
            / (1.0 + self.everyday / EVERYDAY_SHARE)
            * (1.0 + self.burst / (self.burst + BURST_HALF))
            * (1.0 - self.known);
        10.0 * libm::log10(1.0 + product)
    }
}

/// The surprise of the densest days of a term.
fn burst(days: &BTreeMap<usize, u32>, count: u32, said_on: &[u32], all: u32) -> f64 {
    let within = |from: usize| {
        let to = (from + BURST_DAYS).min(said_on.len());
        let here: u32 = days.range(from..to).map(|(_, count)| count).sum();
        let said: u32 = said_on[from..to].iter().sum();
        surprise(here, f64::from(count) * f64::from(said) / f64::from(all.max(1)))
    };
    // Stretches of days on which it is not said surprise nobody.
    let starts = days.keys().flat_map(|day| day.saturating_sub(BURST_DAYS - 1)..=*day);
    starts.map(within).fold(0.0, f64::max)
}

/// Of terms that share two symbols and a collector, the first.
fn one_of_each(mut ranked: Vec<Ranked>, uses: &Fast<u64, Uses>) -> Vec<Ranked> {
    let mut taken: Fast<u32, Vec<Vec<char>>> = Fast::default();
    ranked.retain(|(term, payee, ..)| {
        let symbols: Vec<char> = uses[term].spelt.chars().collect();
        let theirs = taken.entry(*payee).or_default();
        let alike = |one: &Vec<char>| {
            one.windows(2).any(|pair| symbols.windows(2).any(|other| other == pair))
        };
        let new = theirs.len() < TERMS_A_COLLECTOR && !theirs.iter().any(alike);
        if new {
            theirs.push(symbols);
        }
        new
    });
    ranked
}

fn told(
    events: &Events,
    gathered: &Gathered,
    uses: &Uses,
    collectors: &[u32],
    (_, score, parts): (u32, f64, Parts),
) -> Result<Found, Failure> {
    let name = |at: &u32| gathered.names[*at as usize].clone();
    let mut examples = Vec::new();
    for event in &uses.examples {
        let at = *event as usize;
        let slice = events.ordered().slice(at..at + 1, 0).map_err(Failure::Environment)?;
        examples.push(slice.chunk.str(TEXT, 0).to_owned());
    }
    let number = char::from_u32(NUMBER);
    let phrase = uses.spelt.chars().count() >= 2 && !uses.spelt.chars().any(|c| Some(c) == number);
    Ok(Found {
        term: uses.spelt.clone(),
        score,
        parts,
        first_seen: uses.first,
        last_seen: uses.last,
        count: uses.count,
        count_hit: uses.hit,
        speakers: uses.speakers.len(),
        groups: uses.groups.len(),
        group_ids: uses.groups.iter().take(LISTED_MAX).map(name).collect(),
        settled: uses.settled,
        settled_fen: uses.settled_fen,
        payees: collectors.len(),
        payee_ids: collectors.iter().take(LISTED_MAX).map(name).collect(),
        examples,
        phrase_line: phrase.then(|| format!("{} | category=settlement weight=10", uses.spelt)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The densest days are those that a count of all stretches of days finds.
    #[test]
    fn a_burst_is_the_most_surprising_stretch_of_days() {
        let said_on = [10, 20, 5, 40, 1, 1, 30, 8];
        for days in [&[0_u32, 0, 1, 9, 0, 0, 2, 0][..], &[5, 0, 0, 0, 0, 0, 0, 5], &[1; 8]] {
            let count: u32 = days.iter().sum();
            let all: u32 = said_on.iter().sum();
            let stretch = |from: usize| {
                let to = (from + BURST_DAYS).min(days.len());
                let (here, said) =
                    (days[from..to].iter().sum(), said_on[from..to].iter().sum::<u32>());
                surprise(here, f64::from(count) * f64::from(said) / f64::from(all))
            };
            let expected = (0..days.len()).map(stretch).fold(0.0, f64::max);
            let sparse: BTreeMap<usize, u32> =
                days.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
            assert!((burst(&sparse, count, &said_on, all) - expected).abs() < 1e-12, "{days:?}");
        }
    }
}
