//! What a person reads after a run: a table for the terminal, and one HTML file with plots that
//! needs neither a network nor this program.

mod html;
mod screen;
mod terminal;

use serde::Serialize;

pub(crate) use crate::unseen::{json, printable};
pub use html::html;
pub(crate) use html::page;
pub use screen::Screen;
pub(crate) use screen::{bar, columns, minute, short};
pub use terminal::terminal;
pub(crate) use terminal::{grouped, yuan, yuan_change};

use crate::judge::Judgement;
use crate::source::order::OnDisk;

/// Everything that a report shows. No clock and no duration is in it, so that the same run makes
/// the same report.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReportInput<'a> {
    /// The heading.
    pub title: &'a str,
    /// What was run.
    pub run: &'a RunFacts,
    /// How good it was.
    pub judgement: &'a Judgement,
}

/// What was run on what, and what became of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunFacts {
    /// The version of this program.
    pub version: String,
    /// The input files.
    pub inputs: Vec<InputFact>,
    /// The hash of the rule set with which the run began.
    pub rules_hash: String,
    /// The changes of rules on the way, in the order of time.
    pub changes: Vec<ChangeFact>,
    /// The hash of the model, if one was used.
    pub model_hash: Option<String>,
    /// The model that decided with the rules.
    pub model: Option<ModelFact>,
    /// The model that was watched beside it.
    pub challenger: Option<ModelFact>,
    /// The digest of all decisions.
    pub decisions_digest: String,
    /// What became of the records.
    pub counts: Counts,
    /// Rejected records by reason, the most frequent first.
    pub rejects: Vec<RejectCount>,
    /// The names of the features that live rules use.
    pub features: Vec<String>,
    /// From which score on what is decided; where rules changed, in the end.
    pub bands: Bands,
    /// Rules that could not be evaluated on some transactions, and on how many.
    pub not_evaluable: Vec<NamedCount>,
    /// Rules in shadow and how many transactions they hit.
    pub shadow_hits: Vec<NamedCount>,
    /// Verdicts on accounts and groups, such as `account restricted`, and how many.
    pub entity_verdicts: Vec<NamedCount>,
    /// Texts on which rules of the text dimension hit, by rule and then by score.
    pub texts: Vec<TextExample>,
    /// The laws of packets that events break by the referee's findings, the most frequent first.
    pub breaches: Vec<BreachFact>,
    /// Links between accounts that were left out, for too many shared what links them.
    pub hubs: Vec<HubFact>,
    /// What was sorted on disk, where events did not fit in memory.
    pub sorted_on_disk: Option<OnDisk>,
    /// Whether the run was interrupted and shows only what it had done.
    pub partial: bool,
}

/// A model of a run, and how its score counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelFact {
    /// The file as it was given.
    pub path: String,
    /// Its hash.
    pub hash: String,
    /// Its name; empty for an ONNX file.
    pub name: String,
    /// `forest`, `boosting` and the like, or `onnx`.
    pub kind: String,
    /// What scores say: `log_odds` (500 is even odds and 50 points double them), `probability`
    /// (thousandths) or `anomaly` (how odd a transaction is, which is no probability).
    pub scale: String,
    /// How many inputs it reads.
    pub inputs: u64,
    /// How its score joins that of the rules: `max`, `sum` or `rules`.
    pub blend: String,
    /// How many of a hundred of its points count.
    pub weight: i64,
    /// The score from which on it counts in full.
    pub at_least: i64,
    /// The probability that this score stands for, in thousandths; none where it stands for none.
    pub at_least_per_mille: Option<i64>,
    /// What its card says of its training; none for an ONNX file or a model that was not judged.
    pub training: Option<TrainingFact>,
}

/// The key facts of a model's card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainingFact {
    /// What it was trained on, in the words of the training.
    pub data: String,
    /// The parts of the data, in order of time.
    pub parts: Vec<TrainingPart>,
    /// The area under the ROC curve on the test part, with its interval, in thousandths.
    pub auc: Option<[i64; 3]>,
    /// Average precision there, likewise.
    pub average_precision: Option<[i64; 3]>,
    /// The inputs that are worth most.
    pub important: Vec<String>,
}

/// A part of a model's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainingPart {
    /// train, calibration or test.
    pub name: String,
    /// Its transactions.
    pub rows: u64,
    /// Its frauds.
    pub fraud: u64,
    /// Its first time, in ms.
    pub first: Option<i64>,
    /// Its last.
    pub last: Option<i64>,
}

/// A text on which a rule of the text dimension hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TextExample {
    /// The rule.
    pub rule: String,
    /// The transaction.
    pub event_id: String,
    /// What was decided on it.
    pub decision: String,
    /// Its score.
    pub score: i64,
    /// Its text in pieces, and whether each is of a phrase, or of a mine packet's memo.
    pub pieces: Vec<(String, bool)>,
    /// The phrases, as their files have them, with their categories.
    pub phrases: Vec<(String, String)>,
    /// What the rule said.
    pub reason: String,
}

/// Values of a link, such as devices, that linked nobody, for they had too many accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HubFact {
    /// The link.
    pub link: String,
    /// The most accounts with which a value still links.
    pub limit: i64,
    /// How often a value came to have more.
    pub times: u64,
    /// The most accounts that one had.
    pub accounts_max: u64,
}

/// A change of rules during a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeFact {
    /// The effective time of the first event for which the new rules decided, in ms.
    pub effective_time: i64,
    /// Their directory, as the log names it.
    pub rules: String,
    /// Their hash.
    pub rules_hash: String,
    /// That of the model from then on; none: there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
    /// That of the challenger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger_hash: Option<String>,
    /// The features that were null then, for their windows were not full.
    pub warming: Vec<WarmingFact>,
}

/// A feature that was null for a while after a change of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WarmingFact {
    /// Its name.
    pub feature: String,
    /// The effective time from which on it had a value, in ms.
    pub until: i64,
}

/// One input file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InputFact {
    /// Its name as it was given.
    pub name: String,
    /// The hash of its bytes; empty if it was not taken.
    pub hash: String,
}

/// What became of the records: each is in exactly one of the four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records read.
    #[serde(rename = "in")]
    pub read: u64,
    /// Transactions decided.
    pub decided: u64,
    /// Other events, which change features and get no decision.
    pub applied: u64,
    /// Records refused.
    pub rejected: u64,
    /// Repeats of a record that was read before.
    pub duplicates: u64,
}

impl Counts {
    /// Whether nothing was lost and nothing counted twice.
    pub fn balance(&self) -> bool {
        self.read == self.accounted()
    }

    /// Records that nothing was done with: in a run that was interrupted, those it did not reach.
    pub fn missing(&self) -> u64 {
        self.read.saturating_sub(self.accounted())
    }

    /// Records that were decided, applied, refused or repeats.
    pub fn accounted(&self) -> u64 {
        self.decided + self.applied + self.rejected + self.duplicates
    }
}

/// Records rejected for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RejectCount {
    /// The code in `rejects.jsonl`.
    pub code: String,
    /// How many.
    pub count: u64,
    /// What was wrong with the first of them, and where it stood.
    pub example: String,
}

/// Events that break a law of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BreachFact {
    /// The finding, as in the `outcome` of decisions.
    pub finding: String,
    /// The kind of the events: send, claim or refund.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The ids of the first ones.
    pub first: Vec<String>,
}

/// From which score on (reached with `>=`) a transaction is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bands {
    /// Reviewed.
    pub review: i64,
    /// Held.
    pub hold: i64,
    /// Blocked.
    pub block: i64,
}

impl Default for Bands {
    fn default() -> Self {
        Bands { review: 300, hold: 600, block: 850 }
    }
}

/// How often something named occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamedCount {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
}

#[cfg(test)]
pub(crate) mod sample;
