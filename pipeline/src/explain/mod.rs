//! Why a transaction was decided as it was: what an analyst needs who is asked on the phone.
//!
//! Everything is taken from the run: its decision and its features as they were recorded, its events
//! read again, and the rules that decided, taken apart clause by clause with the values that each
//! saw. Where the rules are no longer those of the run, that is said, and what the rules of today
//! would say stands beside what was recorded, never in its place. Only a witness is found by
//! deciding again, on a few events.

mod clauses;
mod facts;
mod lists;
mod look;
mod moved;
mod shown;
mod witness;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::clauses::{Operand, Told, Truth};
pub use self::lists::Listed;
pub use self::look::{explain, why_not};
pub use self::moved::{Moved, Mover};
pub use self::shown::{explanation, miss};
pub use self::witness::{Earlier, Found, Reach, Witness};
use crate::features::text::Marked;

/// A transaction and all that led to its decision.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    /// What happened.
    pub event: Transaction,
    /// What was decided on it.
    pub decision: Verdict,
    /// Why: each reason as it was recorded, and its rule taken apart.
    pub reasons: Vec<Hit>,
    /// What moved the model's score; none where there was no model, or it cannot be told.
    pub model: Option<Moved>,
    /// Rules in shadow that hit: they decide nothing.
    pub shadow: Vec<Hit>,
    /// Rules that did not hit, the nearest first.
    pub nearest: Vec<Miss>,
    /// How many rules looked at the transaction and did not hit.
    pub missed: usize,
    /// Rules that could not be evaluated, for a value that they need was missing.
    pub not_evaluable: Vec<Miss>,
    /// What the referee found; none where the transaction is of no packet.
    pub finding: Option<String>,
    /// The entries of lists that name a part of the transaction.
    pub lists: Vec<Listed>,
    /// Its texts with the phrases in them.
    pub texts: Vec<Marked>,
    /// The values that the rules used that hit, as they were recorded.
    pub evidence: Vec<Operand>,
    /// The earlier events that made each rule hit; none where they were not asked for, or cannot be
    /// looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<Vec<Witness>>,
    /// Those who take part, the one who acts first.
    pub sides: Vec<Side>,
    /// What was decided before on transactions of those who take part, the latest first.
    pub before: Vec<Before>,
    /// What whoever reads it should know.
    pub notes: Vec<String>,
}

/// What happened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transaction {
    /// Its id.
    pub event_id: String,
    /// When, by the run's clock.
    pub time: String,
    /// Where it stands in the order, if that is later.
    pub effective_time: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Who acts.
    pub account: String,
    /// Who pays; empty where nobody is named.
    pub payer: String,
    /// Who is paid; empty where nobody is named.
    pub payee: String,
    /// In fen.
    pub amount_fen: i64,
    /// The group; empty where none is named.
    pub group: String,
    /// What the group was called then; empty where no event said.
    pub group_name: String,
    /// The other fields that have a value, by name.
    pub fields: BTreeMap<String, String>,
}

/// What was decided.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// allow, review, hold or block.
    pub decision: String,
    /// From 0 to 1000.
    pub score: i64,
    /// What the score alone gives.
    pub band: String,
    /// The least score of each decision.
    pub bands: Bands,
    /// What made the decision another than its band: rules with a floor, verdicts that are enforced,
    /// rules that allow.
    pub because_of: Vec<String>,
    /// The rules' part of the score.
    pub rule_score: i64,
    /// The model's part of the score; none where there was no model.
    pub model_score: Option<i64>,
    /// The hash of the rules that decided.
    pub rules_hash: String,
    /// The directory of the rules that are shown; empty where they are not there.
    pub rules: String,
    /// The hash of the rules that are shown; empty where they are not there.
    pub rules_hash_shown: String,
    /// Whether the rules that are shown are those that decided.
    pub same_rules: bool,
}

/// From which score on what is decided.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "each field is the band of that name")]
pub struct Bands {
    pub review: i64,
    pub hold: i64,
    pub block: i64,
}

/// A reason of a decision, or a rule in shadow that hit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hit {
    /// The rule, or what stands for one, such as a verdict that is enforced.
    pub rule: String,
    /// What it added to the score; none in shadow.
    pub score: Option<i64>,
    /// What it said.
    pub text: String,
    /// What is known of the rule; none where there is no rule of that name.
    pub of: Option<About>,
    /// Its condition, taken apart; none where there is no rule of that name.
    pub condition: Option<Told>,
}

/// A rule that did not hit.
#[derive(Clone, Debug, Serialize)]
pub struct Miss {
    /// The rule.
    pub rule: String,
    /// What is known of it.
    pub of: About,
    /// By how much one number would have to change, where that alone stands between.
    pub short_by: Option<String>,
    /// How much is lacking, a clause that is wholly unmet being 1: the measure of who is nearest.
    pub lacking: f64,
    /// The names without a value for which it could not be evaluated.
    pub missing: Vec<String>,
    /// Its condition, taken apart.
    pub condition: Told,
}

/// What is known of a rule.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    /// Its title in the language of the explanation.
    pub title: String,
    /// draft, shadow, live or retired.
    pub status: String,
    /// Its file.
    pub file: String,
    /// What a hit adds to the score.
    pub score: i64,
    /// What a hit decides at least; allow where it has no floor.
    pub floor: String,
    /// Whether a hit allows.
    pub allows: bool,
    /// Who hits it without having done wrong.
    pub falsepositives: Vec<String>,
}

/// One of those who take part.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// `acts`, `other` or `group`.
    pub role: &'static str,
    /// Its id.
    pub id: String,
    /// The cluster of accounts that it is linked to; none where nothing is known of one.
    pub cluster: Option<Cluster>,
    /// Verdicts on it at the end of the run.
    pub verdicts: Vec<Standing>,
}

/// Accounts that what they share links.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// Its smallest account id; empty where that was not recorded.
    pub id: String,
    /// How many accounts it has, if that was recorded.
    pub accounts: Option<i64>,
    /// In how many groups they act, if that was recorded.
    pub groups: Option<i64>,
    /// The transaction of the account on which that was recorded.
    pub as_of: String,
}

/// A verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// `restrict` or `ban`.
    pub verdict: String,
    /// Since when.
    pub since: String,
    /// Until when; none: until it is lifted by hand.
    pub until: Option<String>,
    /// Whether it was in force when the transaction was decided on.
    pub in_force: bool,
}

/// A decision before this one.
#[derive(Clone, Debug, Serialize)]
pub struct Before {
    /// Whose transaction: `acts` or `other`.
    pub role: &'static str,
    /// The transaction.
    pub event_id: String,
    /// When.
    pub time: String,
    /// Its kind.
    pub kind: String,
    /// In fen.
    pub amount_fen: i64,
    /// The other side of it; empty where there is none.
    pub counterparty: String,
    /// What was decided.
    pub decision: String,
    /// From 0 to 1000.
    pub score: i64,
    /// The rules that hit.
    pub rules: Vec<String>,
}

/// How far a rule was from hitting on a transaction.
#[derive(Clone, Debug, Serialize)]
pub struct WhyNot {
    /// What happened.
    pub event: Transaction,
    /// What was decided on it.
    pub decision: Verdict,
    /// `hit`, `miss`, `not_evaluable`, `other_kind` (it does not look at such transactions),
    /// `not_rolled_out` (its condition is met, and it does not run for this one).
    pub outcome: &'static str,
    /// Whether it decides at all: rules that are draft or retired do not run, and those in shadow
    /// decide nothing.
    pub runs: bool,
    /// The kinds of transactions that it looks at.
    pub on: Vec<&'static str>,
    /// The rule and its condition.
    pub rule: Miss,
    /// What whoever reads it should know.
    pub notes: Vec<String>,
}
