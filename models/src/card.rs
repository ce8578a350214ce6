//! The model card: what a person should know before trusting a model (the headings are those of
//! Mitchell et al., 2019).

use std::fmt::Write;

use crate::judge::{Figure, Judgement};
use crate::train::{Trainer, TrainingFacts};

/// Writes the card of a model in Markdown.
pub fn card(name: &str, hash: &str, facts: &TrainingFacts) -> String {
    let mut text = String::new();
    details(&mut text, name, hash, facts);
    use_and_factors(&mut text);
    metrics(&mut text, &facts.judgement);
    data(&mut text, facts);
    analyses(&mut text, &facts.judgement);
    caveats(&mut text, facts);
    text
}

/// A line of the card; writing to a String cannot fail.
macro_rules! line {
    ($text:expr) => { writeln!($text).expect("a String takes all") };
    ($text:expr, $($words:tt)*) => { writeln!($text, $($words)*).expect("a String takes all") };
}

fn details(text: &mut String, name: &str, hash: &str, facts: &TrainingFacts) {
    line!(text, "# Model card: {}", cell(name));
    line!(text);
    line!(text, "## Model details");
    line!(text);
    let kind = match &facts.config.model {
        Trainer::Logistic(_) => "logistic regression".to_owned(),
        Trainer::Tree(config) => format!("a decision tree of depth {} at most", config.depth_max),
        Trainer::Forest(config) => {
            format!("a random forest of {} trees, depth {} at most", config.trees, config.depth_max)
        }
        Trainer::Boosting(config) => format!(
            "gradient boosting, {} trees of depth {} at most, learning rate {}",
            config.trees, config.depth_max, config.learning_rate
        ),
        Trainer::Isolation(config) => format!(
            "an isolation forest of {} trees on {} rows each, without labels",
            config.trees, config.sample_rows
        ),
    };
    line!(text, "- Kind: {kind}");
    line!(text, "- Hash: `{hash}`");
    line!(text, "- Feature catalogue: `{}`", cell(&facts.catalogue_hash));
    line!(text, "- Seed: {}", facts.config.seed);
    let calibration = facts.config.calibration;
    match facts.config.model {
        Trainer::Isolation(_) => line!(
            text,
            "- Calibration: none. A score says how odd a row is; it is no probability of the label."
        ),
        _ => line!(text, "- Calibration: {:?}, scale {:?}", calibration.method, calibration.scale),
    }
    line!(text, "- Data: {}", cell(&facts.data));
    line!(text);
}

fn use_and_factors(text: &mut String) {
    line!(text, "## Intended use");
    line!(text);
    line!(text, "It ranks transactions for review beside rules, and says which inputs moved each");
    line!(
        text,
        "score. It is not meant to decide alone, nor for data of another kind than it saw."
    );
    line!(text);
    line!(text, "## Factors");
    line!(text);
    line!(text, "Recall differs by typology and performance moves with the columns' drift; both");
    line!(text, "are listed below. Other groups of people were not looked at here.");
    line!(text);
}

fn metrics(text: &mut String, judgement: &Judgement) {
    line!(text, "## Metrics");
    line!(text);
    if judgement.positive == 0 {
        line!(text, "None of the {} test rows has a label: nothing was judged.", judgement.rows);
        line!(text);
        return;
    }
    line!(text, "On the test rows: {} with {} labelled.", judgement.rows, judgement.positive);
    line!(text, "Intervals of 95 percent are by drawing again; those of budgets draw days.");
    line!(text);
    line!(text, "| figure | value | from | to |");
    line!(text, "|---|---|---|---|");
    figure(text, "AUC ROC", judgement.auc);
    figure(text, "average precision", judgement.average_precision);
    for budget in &judgement.budgets {
        let alerts = budget.alerts_a_day;
        figure(text, &format!("precision at {alerts} alerts a day"), budget.precision);
        figure(text, &format!("recall at {alerts} alerts a day"), budget.recall);
    }
    figure(text, "Card Precision@100", judgement.card_precision_100);
    if let Some(error) = judgement.calibration_error {
        line!(text, "| expected calibration error | {error:.4} | | |");
    }
    line!(text);
    for (alerts, most) in judgement.bounded() {
        line!(
            text,
            "No model has a precision over {most:.4} at {alerts} alerts a day: days of the"
        );
        line!(text, "test, whole or in part, have fewer labelled rows than that.");
        line!(text);
    }
    if let Some(best) = judgement.costs.iter().min_by_key(|point| point.cost_fen) {
        line!(
            text,
            "The cheapest threshold alerts {} rows and costs {} fen: {} missed, the rest reviews.",
            best.alerts,
            best.cost_fen,
            best.missed_fen
        );
        line!(text);
    }
}

fn figure(text: &mut String, name: &str, figure: Option<Figure>) {
    if let Some(Figure { value, low, high }) = figure {
        line!(text, "| {name} | {value:.4} | {low:.4} | {high:.4} |");
    }
}

fn data(text: &mut String, facts: &TrainingFacts) {
    line!(text, "## Evaluation data and training data");
    line!(text);
    line!(text, "| part | rows | labelled | first time | last time |");
    line!(text, "|---|---|---|---|---|");
    for part in &facts.split.parts {
        let time = |time: Option<i64>| time.map_or(String::new(), |time| time.to_string());
        let (first, last) = (time(part.first), time(part.last));
        line!(text, "| {} | {} | {} | {first} | {last} |", part.name, part.rows, part.positive);
    }
    line!(text);
    line!(
        text,
        "Left out: {} rows in the gap of the label delay, {} outside, {} of groups on the other side.",
        facts.split.gap_rows,
        facts.split.outside_rows,
        facts.split.group_rows
    );
    line!(text);
    for warning in &facts.warnings {
        line!(text, "- Warning: {}", cell(&warning.to_string()));
    }
    if !facts.warnings.is_empty() {
        line!(text);
    }
}

fn analyses(text: &mut String, judgement: &Judgement) {
    line!(text, "## Quantitative analyses");
    line!(text);
    if !judgement.typologies.is_empty() {
        line!(text, "| typology | labelled | found at the first budget |");
        line!(text, "|---|---|---|");
        for recall in &judgement.typologies {
            let name = cell(&recall.typology);
            line!(text, "| {name} | {} | {} |", recall.positive, recall.found);
        }
        line!(text);
    }
    if !judgement.importances.is_empty() {
        line!(text, "| input | fall of average precision when shuffled | fall of AUC |");
        line!(text, "|---|---|---|");
        for importance in &judgement.importances {
            let (name, fall) = (cell(&importance.input), importance.average_precision);
            line!(text, "| {name} | {fall:.4} | {:.4} |", importance.auc);
        }
        line!(text);
    }
    line!(text, "| input | population stability index, training to test |");
    line!(text, "|---|---|");
    for drift in &judgement.drift {
        line!(text, "| {} | {:.4} |", cell(&drift.input), drift.stability_index);
    }
    line!(text);
}

fn caveats(text: &mut String, facts: &TrainingFacts) {
    line!(text, "## Ethical considerations");
    line!(text);
    line!(text, "A score moves people's money. Whoever uses it should read the reasons, look at");
    line!(text, "who is held wrongly, and give them a way to be heard.");
    line!(text);
    line!(text, "## Caveats and recommendations");
    line!(text);
    line!(
        text,
        "- Rows without a label count as honest; what nobody found is not in these figures."
    );
    line!(text, "- The test is one stretch of time after the training; others will differ.");
    let moved = facts.judgement.drift.iter().filter(|drift| drift.stability_index > 0.25);
    let moved: Vec<String> = moved.map(|drift| cell(&drift.input)).collect();
    if !moved.is_empty() {
        line!(text, "- These inputs moved between training and test: {}.", moved.join(", "));
    }
}

/// Text within a Markdown table: names come from outside.
pub(crate) fn cell(text: &str) -> String {
    let safe = |c: char| match c {
        '|' | '`' | '<' | '>' | '*' | '[' | ']' | '\\' => format!("\\{c}"),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(safe).collect()
}
