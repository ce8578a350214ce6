//! Rules alone, the model alone, both, and a challenger in the model's place: the same transactions
//! judged four ways, by the labels that judge first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::labels::Subject;
use super::metrics::{Confusion, CurvePoint, Histogram, SCORE_MAX, auc, average_precision, curve};
use super::tally::{Mix, Tally};
use crate::score::Verdict;

/// Bins of the calibration plot.
const BINS: usize = 20;

/// What one way decides on a transaction, and by which score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayDecision {
    /// The decision.
    pub verdict: Verdict,
    /// The score by which the way ranks.
    pub score: i64,
}

/// What each way decides on a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayDecisions {
    /// The model's own score; none where it has no answer.
    pub model_score: Option<i64>,
    /// Without the model.
    pub rules: WayDecision,
    /// Without the rules: the bands over the model's score.
    pub model: WayDecision,
    /// As was decided.
    pub both: WayDecision,
    /// As would be with the challenger in the model's place.
    pub challenger: Option<WayDecision>,
}

/// The ways, in the order of a report.
const WAYS: [&str; 4] = ["rules", "model", "both", "challenger"];
const CHALLENGER: usize = 3;

/// What one way did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WayFinding {
    /// `rules`, `model`, `both` or `challenger`.
    pub name: &'static str,
    /// Decisions other than allow.
    pub alerts: Tally,
    /// Frauds, and what was decided on them.
    pub fraud: Mix,
    /// Honest transactions, those without a label included.
    pub honest: Mix,
    /// The share of alerts that are fraud.
    pub precision: Option<f64>,
    /// The share of fraud that is alerted.
    pub recall: Option<f64>,
    /// Average precision by the way's score.
    pub average_precision: Option<f64>,
    /// The area under the ROC curve by the way's score.
    pub auc: Option<f64>,
    /// Accounts with an alert, all of whose transactions are honest, also in the warm-up.
    pub honest_accounts_alerted: u64,
    /// Of these with a hold or block.
    pub honest_accounts_stopped: u64,
    /// What the transactions of the highest scores hold, as many as the rules alert.
    pub at_budget: AtBudget,
    /// Frauds by typology: its name, its transactions, those alerted, those stopped.
    pub typologies: Vec<TypologyFinding>,
    /// What each threshold would catch.
    pub curve: Vec<CurvePoint>,
}

/// What a way does against one typology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypologyFinding {
    /// Its name; empty for fraud without one.
    pub name: String,
    /// Its transactions.
    pub transactions: u64,
    /// Of these the alerted.
    pub alerted: u64,
    /// The money of those held and blocked.
    pub stopped_fen: i64,
}

/// What a number of alerts holds, taken by score from the highest; of equal scores, which may not
/// all fit, the same share of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AtBudget {
    /// How many alerts.
    pub alerts: u64,
    /// Of these fraud.
    pub fraud: f64,
    /// The share that is.
    pub precision: Option<f64>,
    /// The share of all fraud.
    pub recall: Option<f64>,
    /// The money of the frauds, to the fen below.
    pub fraud_fen: i64,
}

/// Alerts of champion and challenger, both with the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Common {
    /// Alerts of both.
    pub both: u64,
    /// Of the champion only.
    pub champion_only: u64,
    /// Of the challenger only.
    pub challenger_only: u64,
    /// Frauds among these, in the same order.
    pub fraud: [u64; 3],
}

/// A bin of the calibration plot: transactions whose score of the model is within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CalibrationBin {
    /// Transactions.
    pub transactions: u64,
    /// The sum of their scores.
    pub score_sum: u64,
    /// Frauds.
    pub fraud: u64,
}

/// The comparison of a run with a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// By whose labels; none where there are none, and then only alerts mean something.
    pub subject: Option<Subject>,
    /// The ways.
    pub ways: Vec<WayFinding>,
    /// The model's scores: score, honest, fraud.
    pub model_scores: Vec<(u16, u64, u64)>,
    /// Transactions on which the model had no answer.
    pub unscored: u64,
    /// The model's scores in bins of equal width.
    pub calibration: Vec<CalibrationBin>,
    /// Champion against challenger, where there is one.
    pub common: Option<Common>,
}

/// Transactions and money by score.
#[derive(Default)]
struct Ranking {
    counts: Histogram,
    fen: BTreeMap<i64, i64>,
}

impl Ranking {
    fn add(&mut self, score: i64, fen: i64) {
        let score = score.clamp(0, SCORE_MAX as i64);
        self.counts.add(score);
        let held = self.fen.entry(score).or_default();
        *held = held.saturating_add(fen);
    }
}

#[derive(Default)]
struct Way {
    fraud: Mix,
    honest: Mix,
    fraud_scores: Ranking,
    honest_scores: Histogram,
    /// One a typology, then one for fraud without any.
    typologies: Vec<Mix>,
}

/// What is known of an account that is fraud or was alerted: a bit a way.
#[derive(Clone, Copy, Default)]
struct Account {
    fraud: bool,
    alerted: u8,
    stopped: u8,
}

/// A transaction, as far as a comparison is concerned.
pub(super) struct Compared {
    pub(super) account_hash: u64,
    pub(super) fen: i64,
    pub(super) fraud: bool,
    pub(super) typology: Option<u16>,
}

/// Adds up a [`Comparison`].
pub(super) struct Comparer {
    ways: [Way; WAYS.len()],
    accounts: BTreeMap<u64, Account>,
    honest: Histogram,
    fraud: Histogram,
    unscored: u64,
    common: Option<Common>,
}

impl Comparer {
    pub(super) fn new(typologies: usize) -> Comparer {
        let way = || Way { typologies: vec![Mix::default(); typologies + 1], ..Way::default() };
        Comparer {
            ways: std::array::from_fn(|_| way()),
            accounts: BTreeMap::new(),
            honest: Histogram::default(),
            fraud: Histogram::default(),
            unscored: 0,
            common: None,
        }
    }

    pub(super) fn add(&mut self, transaction: &Compared, decisions: &WayDecisions) {
        let WayDecisions { model_score, rules, model, both, challenger } = *decisions;
        let scores = if transaction.fraud { &mut self.fraud } else { &mut self.honest };
        match model_score {
            Some(score) => scores.add(score),
            None => self.unscored += 1,
        }
        let decisions = [Some(rules), Some(model), Some(both), challenger];
        let mut seen = Account { fraud: transaction.fraud, ..Account::default() };
        for (nth, (way, decision)) in self.ways.iter_mut().zip(decisions).enumerate() {
            let Some(decision) = decision else { continue };
            way.add(transaction, decision);
            seen.alerted |= u8::from(decision.verdict > Verdict::Allow) << nth;
            seen.stopped |= u8::from(decision.verdict >= Verdict::Hold) << nth;
        }
        if let Some(challenger) = challenger {
            let alert = |decision: WayDecision| decision.verdict > Verdict::Allow;
            let fraud = transaction.fraud;
            self.common.get_or_insert_default().add(alert(both), alert(challenger), fraud);
        }
        if seen.fraud || seen.alerted != 0 {
            let account = self.accounts.entry(transaction.account_hash).or_default();
            account.fraud |= seen.fraud;
            account.alerted |= seen.alerted;
            account.stopped |= seen.stopped;
        }
    }

    /// Enters an account with a fraud in the warm-up: it is no honest one.
    pub(super) fn add_before(&mut self, account_hash: u64) {
        self.accounts.entry(account_hash).or_default().fraud = true;
    }

    pub(super) fn finish(self, subject: Option<Subject>, typologies: &[String]) -> Comparison {
        let budget = self.ways[0].alerts().count;
        let count = |test: &dyn Fn(&Account) -> bool| {
            self.accounts.values().filter(|account| !account.fraud && test(account)).count() as u64
        };
        let there = |(nth, _): &(usize, &Way)| *nth != CHALLENGER || self.common.is_some();
        let finding = |(nth, way): (usize, &Way)| {
            let touched = [
                count(&|account| account.alerted >> nth & 1 == 1),
                count(&|account| account.stopped >> nth & 1 == 1),
            ];
            way.finding(WAYS[nth], budget, touched, typologies)
        };
        let both = |score: usize| (score as u16, self.honest.at(score), self.fraud.at(score));
        Comparison {
            subject,
            ways: self.ways.iter().enumerate().filter(there).map(finding).collect(),
            model_scores: (0..=SCORE_MAX)
                .map(both)
                .filter(|(_, honest, fraud)| honest + fraud > 0)
                .collect(),
            unscored: self.unscored,
            calibration: calibration(&self.honest, &self.fraud),
            common: self.common,
        }
    }
}

impl Common {
    fn add(&mut self, champion: bool, challenger: bool, fraud: bool) {
        let (place, held) = match (champion, challenger) {
            (true, true) => (0, &mut self.both),
            (true, false) => (1, &mut self.champion_only),
            (false, true) => (2, &mut self.challenger_only),
            (false, false) => return,
        };
        *held += 1;
        self.fraud[place] += u64::from(fraud);
    }
}

impl Way {
    fn add(&mut self, transaction: &Compared, decision: WayDecision) {
        let WayDecision { verdict, score } = decision;
        let fen = transaction.fen;
        if !transaction.fraud {
            self.honest.add(verdict, fen, false);
            self.honest_scores.add(score);
            return;
        }
        self.fraud.add(verdict, fen, false);
        self.fraud_scores.add(score, fen);
        let nameless = self.typologies.len() - 1;
        self.typologies[transaction.typology.map_or(nameless, usize::from)]
            .add(verdict, fen, false);
    }

    fn alerts(&self) -> Tally {
        self.fraud.alerts().and(self.honest.alerts())
    }

    fn finding(
        &self,
        name: &'static str,
        budget: u64,
        [alerted, stopped]: [u64; 2],
        typologies: &[String],
    ) -> WayFinding {
        let confusion = Confusion {
            true_positives: self.fraud.alerts().count,
            false_positives: self.honest.alerts().count,
            false_negatives: self.fraud.allow.count,
            true_negatives: self.honest.allow.count,
        };
        let frauds = &self.fraud_scores.counts;
        let typology = |(at, mix): (usize, &Mix)| TypologyFinding {
            name: typologies.get(at).cloned().unwrap_or_default(),
            transactions: mix.total().count,
            alerted: mix.alerts().count,
            stopped_fen: mix.stopped().fen,
        };
        let met = |(_, mix): &(usize, &Mix)| mix.total().count > 0;
        WayFinding {
            name,
            alerts: self.alerts(),
            fraud: self.fraud,
            honest: self.honest,
            precision: confusion.precision(),
            recall: confusion.recall(),
            average_precision: average_precision(frauds, &self.honest_scores),
            auc: auc(frauds, &self.honest_scores),
            honest_accounts_alerted: alerted,
            honest_accounts_stopped: stopped,
            at_budget: self.at_budget(budget),
            typologies: self.typologies.iter().enumerate().filter(met).map(typology).collect(),
            curve: curve(frauds, &self.honest_scores),
        }
    }

    fn at_budget(&self, budget: u64) -> AtBudget {
        let (mut left, mut fraud, mut fen) = (budget, 0.0, 0_i64);
        let frauds = &self.fraud_scores.counts;
        for score in (0..=SCORE_MAX).rev() {
            let of_fraud = frauds.at(score);
            let all = of_fraud + self.honest_scores.at(score);
            if all == 0 {
                continue;
            }
            let taken = left.min(all);
            fraud += of_fraud as f64 * taken as f64 / all as f64;
            let held = self.fraud_scores.fen.get(&(score as i64)).copied().unwrap_or(0);
            fen =
                fen.saturating_add((i128::from(held) * i128::from(taken) / i128::from(all)) as i64);
            left -= taken;
            if left == 0 {
                break;
            }
        }
        let alerts = budget - left;
        let share = |of: u64| (of > 0).then(|| fraud / of as f64);
        let (precision, recall) = (share(alerts), share(frauds.total()));
        AtBudget { alerts, fraud, precision, recall, fraud_fen: fen }
    }
}

fn calibration(honest: &Histogram, fraud: &Histogram) -> Vec<CalibrationBin> {
    let mut bins = vec![CalibrationBin::default(); BINS];
    for score in 0..=SCORE_MAX {
        let bin = &mut bins[(score * BINS / SCORE_MAX).min(BINS - 1)];
        let all = honest.at(score) + fraud.at(score);
        bin.transactions += all;
        bin.score_sum += all * score as u64;
        bin.fraud += fraud.at(score);
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(verdict: Verdict, score: i64) -> WayDecision {
        WayDecision { verdict, score }
    }

    /// Four transactions, worked out by hand.
    #[test]
    fn each_way_is_judged_by_its_own_decisions_and_scores() {
        use Verdict::{Allow, Block, Hold, Review};
        let mut comparer = Comparer::new(1);
        // Account, fen, fraud, rules, model, both, challenger.
        let rows = [
            (1, 100, true, (Review, 400), (Allow, 100), (Review, 400), (Allow, 0)),
            (2, 200, true, (Allow, 0), (Block, 900), (Block, 900), (Hold, 700)),
            (3, 400, false, (Hold, 600), (Allow, 100), (Hold, 600), (Hold, 600)),
            (3, 800, false, (Allow, 0), (Allow, 0), (Allow, 0), (Review, 300)),
        ];
        for (account_hash, fen, fraud, rules, model, both, challenger) in rows {
            let compared =
                Compared { account_hash, fen, fraud, typology: (fen == 200).then_some(0) };
            let of = |(verdict, score)| decision(verdict, score);
            let decisions = WayDecisions {
                model_score: Some(model.1),
                rules: of(rules),
                model: of(model),
                both: of(both),
                challenger: Some(of(challenger)),
            };
            comparer.add(&compared, &decisions);
        }
        let found = comparer.finish(Some(Subject::Event), &["mule".to_owned()]);
        let row = |way: &WayFinding| {
            let stopped = way.fraud.stopped().fen;
            let touched = way.honest_accounts_alerted;
            (way.name, way.alerts.count, way.precision, way.recall, stopped, touched)
        };
        let rows: Vec<_> = found.ways.iter().map(row).collect();
        assert_eq!(
            rows,
            [
                ("rules", 2, Some(0.5), Some(0.5), 0, 1),
                ("model", 1, Some(1.0), Some(0.5), 200, 0),
                ("both", 3, Some(2.0 / 3.0), Some(1.0), 200, 1),
                ("challenger", 3, Some(1.0 / 3.0), Some(0.5), 200, 1),
            ]
        );
        // The rules alert twice: of the model's ranking the first, and half of the two with 100.
        let at = found.ways[1].at_budget;
        assert_eq!((at.alerts, at.fraud, at.fraud_fen), (2, 1.5, 250));
        let common = found.common.unwrap();
        assert_eq!((common.both, common.champion_only, common.challenger_only), (2, 1, 1));
        assert_eq!(common.fraud, [1, 1, 0]);
        let names = |way: &WayFinding| -> Vec<(String, u64, u64, i64)> {
            let row = |one: &TypologyFinding| {
                (one.name.clone(), one.transactions, one.alerted, one.stopped_fen)
            };
            way.typologies.iter().map(row).collect()
        };
        assert_eq!(
            names(&found.ways[2]),
            [("mule".to_owned(), 1, 1, 200), (String::new(), 1, 1, 0)]
        );
        let bins: Vec<_> = found.calibration.iter().enumerate().collect();
        let held = |(at, bin): &(usize, &CalibrationBin)| {
            (bin.transactions > 0).then_some((*at, bin.transactions, bin.score_sum, bin.fraud))
        };
        let bins: Vec<_> = bins.iter().filter_map(held).collect();
        assert_eq!(bins, [(0, 1, 0, 0), (2, 2, 200, 1), (18, 1, 900, 1)]);
    }
}
