//! All figures of a model on the rows that it was not trained on.

use serde::{Deserialize, Serialize};

use super::budget::{alerts, budget, card_precision};
use super::drift::{calibration_error, stability_index};
use super::importance::{Importance, permutation_importance};
use super::interval::{Blocks, Figure, resample};
use super::money::{CostPoint, cost_curve};
use super::ranking::Runs;
use crate::forest::Work;
use crate::table::{Codes, Table};
use crate::train::Trained;

/// How to judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeConfig {
    /// The length of a day in the unit of the table's times.
    pub day: i64,
    /// What is added to a time before it is divided into days: the offset of the zone.
    pub day_offset: i64,
    /// Alerts a day to judge at; the first is the one at which typologies are judged.
    pub alerts_a_day: Vec<usize>,
    /// What the review of one alert costs, in fen.
    pub review_fen: i64,
    /// Draws for an interval.
    pub replicates: usize,
    /// Which rows are drawn together.
    pub interval_by: IntervalBy,
    /// Shuffles of each input; 0 leaves importances out.
    pub importance_repeats: usize,
    /// Bins of the calibration error.
    pub calibration_bins: usize,
}

/// Which rows are not independent and are drawn together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalBy {
    /// None: each row apart.
    #[default]
    Row,
    /// Those of one group of the table.
    Group,
    /// Those of one day.
    Day,
}

/// What is known of the rows of a table beside their columns; each has a value a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Witness<'a> {
    /// The amount at stake, in fen.
    pub amounts_fen: Option<&'a [i64]>,
    /// The card, for Card Precision@100.
    pub cards: Option<&'a [u64]>,
    /// The typology of rows with the label.
    pub typologies: Option<&'a Codes>,
}

/// What a model is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// Rows that were judged.
    pub rows: usize,
    /// Those with the label.
    pub positive: usize,
    /// Area under the ROC curve.
    pub auc: Option<Figure>,
    /// Average precision.
    pub average_precision: Option<Figure>,
    /// At each number of alerts a day; the intervals draw days.
    pub budgets: Vec<BudgetFigures>,
    /// Card Precision@100; the interval draws days.
    pub card_precision_100: Option<Figure>,
    /// Expected calibration error of the scores; none where they are no probabilities.
    pub calibration_error: Option<f64>,
    /// Cost by threshold of the raw score; empty without amounts.
    pub costs: Vec<CostPoint>,
    /// Of each typology, what the first budget finds.
    pub typologies: Vec<TypologyRecall>,
    /// What each input is worth.
    pub importances: Vec<Importance>,
    /// How far each input moved between training and test, the furthest first.
    pub drift: Vec<ColumnDrift>,
}

/// What a number of alerts a day is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetFigures {
    /// Alerts a day.
    pub alerts_a_day: usize,
    /// Of the alerts, the share with the label.
    pub precision: Option<Figure>,
    /// Of the rows with the label, the share that was alerted.
    pub recall: Option<Figure>,
    /// The precision of a model that knows the labels: below 1 where days have fewer rows with the
    /// label than alerts, as a day has of which only a part is in the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision_max: Option<f64>,
}

/// How much of one typology is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypologyRecall {
    /// The typology.
    pub typology: String,
    /// Its rows with the label.
    pub positive: usize,
    /// Those among the alerts.
    pub found: usize,
}

/// How far an input moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnDrift {
    /// The input.
    pub input: String,
    /// Its population stability index between the rows of training and test.
    pub stability_index: f64,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        JudgeConfig {
            day: 86_400_000,
            day_offset: 0,
            alerts_a_day: vec![100, 20, 500],
            review_fen: 500,
            replicates: 200,
            interval_by: IntervalBy::Row,
            importance_repeats: 3,
            calibration_bins: 10,
        }
    }
}

impl Judgement {
    /// The budgets at which no model could be always right, with the precision of one that is right
    /// as often as can be.
    pub fn bounded(&self) -> impl Iterator<Item = (usize, f64)> {
        let bound = |budget: &BudgetFigures| Some((budget.alerts_a_day, budget.precision_max?));
        // What the card and the terminal show of it must differ from 1.
        self.budgets.iter().filter_map(bound).filter(|(_, most)| *most < 0.999)
    }
}

/// Judges a model on the test rows of its split. Where none of them has the label, there is nothing
/// to be right about: then only the drift is looked at.
pub fn judge(
    trained: &Trained,
    table: &Table,
    witness: Witness,
    config: &JudgeConfig,
    seed: u64,
    work: Work,
) -> Judgement {
    let (model, rows) = (&trained.model, &trained.split.test);
    let columns = inputs(trained, table, rows);
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let raw = model.raw_columns(&columns);
    let positive = table.labels_of(rows);
    if !positive.contains(&true) {
        return Judgement {
            rows: rows.len(),
            positive: 0,
            auc: None,
            average_precision: None,
            budgets: Vec::new(),
            card_precision_100: None,
            calibration_error: None,
            costs: Vec::new(),
            typologies: Vec::new(),
            importances: Vec::new(),
            drift: drift(trained, table, &columns),
        };
    }
    let of_rows =
        |values: &[i64]| -> Vec<i64> { rows.iter().map(|row| values[*row as usize]).collect() };
    let days: Vec<i64> = of_rows(table.times())
        .iter()
        .map(|time| (time + config.day_offset).div_euclid(config.day.max(1)))
        .collect();
    let blocks = blocks(table, rows, &days, config.interval_by);
    let runs = Runs::new(&raw);
    let interval = |metric: &dyn Fn(&[u32]) -> Option<f64>| {
        resample(blocks.count(), config.replicates, seed, |times| metric(&blocks.of_rows(times)))
    };
    let cards = witness.cards.map(|cards| {
        let cards: Vec<u64> = rows.iter().map(|row| cards[*row as usize]).collect();
        card_precision(&raw, &positive, &days, &cards, 100)
    });
    let says = |raw: &i64| model.scale().probability_of(model.levels().score(*raw));
    let probabilities: Option<Vec<f64>> = raw.iter().map(says).collect();
    let costs = witness
        .amounts_fen
        .map(|amounts| cost_curve(&raw, &positive, &of_rows(amounts), config.review_fen));
    let alerted = alerts(&raw, &days, config.alerts_a_day.first().copied().unwrap_or(100));
    Judgement {
        rows: rows.len(),
        positive: positive.iter().filter(|positive| **positive).count(),
        auc: interval(&|times| runs.auc(&positive, Some(times))),
        average_precision: interval(&|times| runs.average_precision(&positive, Some(times))),
        budgets: budgets(&raw, &positive, &days, config, seed),
        card_precision_100: cards.and_then(|of_day| mean_of_days(&of_day, config, seed)),
        calibration_error: probabilities
            .map(|said| calibration_error(&said, &positive, config.calibration_bins)),
        costs: costs.unwrap_or_default(),
        typologies: typologies(witness, rows, &positive, &alerted),
        importances: match config.importance_repeats {
            0 => Vec::new(),
            repeats => permutation_importance(model, &columns, &positive, repeats, seed, work),
        },
        drift: drift(trained, table, &columns),
    }
}

/// The values of the model's inputs in some rows, which the model's own table surely has.
fn inputs(trained: &Trained, table: &Table, rows: &[u32]) -> Vec<Vec<f64>> {
    let column = |name: &str| {
        let column = table.columns().iter().find(|column| column.name == name);
        &column.expect("a table that the model was trained on has its inputs").values
    };
    let of = |input: &crate::inputs::Input| {
        rows.iter().map(|row| column(&input.name)[*row as usize]).collect()
    };
    trained.model.inputs().iter().map(of).collect()
}

fn blocks(table: &Table, rows: &[u32], days: &[i64], by: IntervalBy) -> Blocks {
    match (by, table.groups()) {
        (IntervalBy::Day, _) => Blocks::by_key(days.iter().map(|day| Some(*day))),
        (IntervalBy::Group, Some(groups)) => {
            Blocks::by_key(rows.iter().map(|row| groups.of_row()[*row as usize].map(i64::from)))
        }
        _ => Blocks::rows(rows.len()),
    }
}

fn budgets(
    raw: &[i64],
    positive: &[bool],
    days: &[i64],
    config: &JudgeConfig,
    seed: u64,
) -> Vec<BudgetFigures> {
    let figures = |alerts_a_day: &usize| {
        let budget = budget(raw, positive, days, *alerts_a_day);
        let draw = |metric: &dyn Fn(&[u32]) -> Option<f64>| {
            resample(budget.days(), config.replicates, seed, metric)
        };
        BudgetFigures {
            alerts_a_day: *alerts_a_day,
            precision: draw(&|times| budget.precision(times)),
            recall: draw(&|times| budget.recall(times)),
            precision_max: budget.precision_max(),
        }
    };
    config.alerts_a_day.iter().map(figures).collect()
}

fn mean_of_days(of_day: &[f64], config: &JudgeConfig, seed: u64) -> Option<Figure> {
    resample(of_day.len(), config.replicates, seed, |times| {
        let sum: f64 = of_day.iter().zip(times).map(|(day, times)| day * f64::from(*times)).sum();
        let count: u32 = times.iter().sum();
        (count > 0).then(|| sum / f64::from(count))
    })
}

fn typologies(
    witness: Witness,
    rows: &[u32],
    positive: &[bool],
    alerted: &[bool],
) -> Vec<TypologyRecall> {
    let Some(codes) = witness.typologies else { return Vec::new() };
    let mut recalls: Vec<TypologyRecall> = codes
        .names()
        .iter()
        .map(|name| TypologyRecall { typology: name.clone(), positive: 0, found: 0 })
        .collect();
    for ((row, positive), alerted) in rows.iter().zip(positive).zip(alerted) {
        if let (true, Some(code)) = (*positive, codes.of_row()[*row as usize]) {
            let recall = &mut recalls[code as usize];
            recall.positive += 1;
            recall.found += usize::from(*alerted);
        }
    }
    recalls.retain(|recall| recall.positive > 0);
    recalls.sort_by(|a, b| a.typology.cmp(&b.typology));
    recalls
}

fn drift(trained: &Trained, table: &Table, test: &[&[f64]]) -> Vec<ColumnDrift> {
    let train = inputs(trained, table, &trained.split.train);
    let mut drift: Vec<ColumnDrift> = trained
        .model
        .inputs()
        .iter()
        .zip(train.iter().zip(test))
        .map(|(input, (train, test))| ColumnDrift {
            input: input.name.clone(),
            stability_index: stability_index(train, test),
        })
        .collect();
    drift.sort_by(|a, b| b.stability_index.total_cmp(&a.stability_index));
    drift
}
