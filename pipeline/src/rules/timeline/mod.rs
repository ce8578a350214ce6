//! Timelines: the tests in a rule's own file, with a virtual clock.
//!
//! A line is `OFFSET KIND GROUP|- ACCOUNT|- field=value...`: `payer=` or `payee=` names the other
//! side, `amount=` is in yuan, `device=` and `packet=` stand for `device_id=` and `packet_id=`, any
//! field of the schema can be given by its name, `text='...'` may hold blanks, and `as=NAME` names
//! the event for `expect` and `set`; without a name an event is called by its number, from 1.
//! Lines with one time happen in the order in which they are written.
//!
//! A rule is tested on its own and as if it were live for everybody: the score and the decision
//! that a test expects are those to which this rule alone leads, under the policy at hand.

mod line;
mod parse;

use std::ops::Range;

pub(crate) use parse::parse_all;

use crate::decision::Verdict;
use crate::event::Chunk;
use crate::expr::{Constant, Shortfall};

/// The keys of a `[[test]]`, and of what it expects.
pub const TEST_KEYS: &[&str] =
    &["name", "start", "given", "from", "set", "given_features", "expect"];
/// The keys of `expect`.
pub const EXPECT_KEYS: &[&str] = &["event", "hit", "score", "decision", "short_by", "evaluable"];

/// When a timeline starts that does not say: 2024-01-10T12:00:00+08:00, noon of a Wednesday that
/// is no holiday.
pub const START_DEFAULT: i64 = 1_704_859_200_000;

/// A test as written: events, and what is expected of some of them.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// Where the name stands in the file.
    pub span: Range<usize>,
    /// The events.
    pub chunk: Chunk,
    /// Features whose values are given, by name.
    pub pins: Vec<(String, Range<usize>, Constant)>,
    /// What is expected.
    pub expect: Vec<Expectation>,
}

/// What is expected of one event.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Where it stands in the file.
    pub span: Range<usize>,
    /// The event as the file names it.
    pub event: String,
    /// Its row among the events.
    pub row: usize,
    /// Whether the rule hits.
    pub hit: bool,
    /// The score to which the rule leads.
    pub score: Option<i64>,
    /// The decision to which it leads.
    pub decision: Option<Verdict>,
    /// How far the miss is from a hit.
    pub short_by: Option<Shortfall>,
    /// Whether the condition has a value at all.
    pub evaluable: Option<bool>,
}
