//! Training a model of classes: of groups or accounts, of each a row a day.
//!
//! The rows of one subject are alike, so it is a whole subject that trains or tests, and of the many
//! transactions of a day only the last takes part, which has seen the day.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow::array::Array as _;
use models::{
    Classes, ClassesFacts, ClassesJudgement, Codes, Identity, SplitFacts, Table, TrainConfig,
    Warning, Work, judge_classes, train_classes,
};
use serde::Serialize;

use super::parts::Parts;
use super::rows::{ints, texts};
use super::target::Target;
use super::{
    Request, Steps, bound, columns, data, interval, null_config, rows, select, usage, written,
};
use crate::diagnostic::{Failure, Lang};
use crate::expr::Zone;
use crate::report::{Screen, printable};

/// A model of classes and all that is shown of it.
#[derive(Debug, Serialize)]
pub struct ClassesOutcome {
    /// Its name.
    pub name: String,
    /// The hash of the artefact.
    pub model_hash: String,
    /// The digest of the run.
    pub run_digest: String,
    /// Groups or accounts that take part.
    pub subjects: usize,
    /// Their rows: one a subject and day.
    pub rows: usize,
    /// Columns that the model reads.
    pub inputs: usize,
    /// How the rows were divided.
    pub split: SplitFacts,
    /// What was noticed about columns.
    pub warnings: Vec<Warning>,
    /// The figures on the test.
    pub judgement: ClassesJudgement,
    /// The model.
    #[serde(skip)]
    pub classes: Classes,
    /// The config as it was used.
    #[serde(skip)]
    pub config_used: String,
}

/// Trains and judges a model of the classes of a target.
///
/// # Errors
/// Mistakes in the config, labels of no class, a class that a part has no rows of: exit 2.
pub fn classes(
    request: &Request<'_>,
    target: &Target,
    steps: Steps<'_>,
) -> Result<ClassesOutcome, Failure> {
    let (run, config) = (request.run, &request.config);
    let [model] = config.models.as_slice() else {
        return Err(usage("a [target] is learnt by one [model]", "[target] 只用一个 [model] 训练"));
    };
    let zone = super::zone(run, config);
    let mut selection = select(request)?;
    let catalogue = bound::features(run)?;
    bound::leave_out_decisions(&mut selection, &catalogue);
    let (places, times) = last_of_days(request, target, &zone)?;
    let parts = Parts::new(&config.split, &times, &zone)?;
    let takes_part = places.into_iter().zip(times).filter(|(_, time)| parts.reads(*time));
    let places = takes_part.map(|(place, _)| place).collect();
    let mut rows = rows::rows(run, places, selection.group_field, &steps)?;
    let features = rows::features(run, &mut rows, &selection, &steps)?;
    let mut columns = columns(request, features, &rows, &parts, &selection)?;
    bound::define(&mut columns, &catalogue)?;
    let subject = |row: usize| rows.groups.name(row).unwrap_or_default();
    let class =
        |row| target.class(request.labels, subject(row)).expect("it was found by its class");
    let of_row: Vec<u32> = (0..rows.ids.len()).map(class).collect();
    let groups = Codes::new((0..rows.ids.len()).map(|row| rows.groups.name(row)));
    let subjects = groups.names().len();
    let table = Table::new(columns, vec![false; rows.ids.len()], rows.times.clone())
        .and_then(|table| table.with_groups(groups))
        .map_err(|error| usage(error.to_string(), error.to_string()))?;
    let train_config = TrainConfig {
        model: model.clone(),
        seed: config.seed,
        split: parts.split_config(&config.split),
        nulls: null_config(config),
        calibration: config.calibration,
    };
    let catalogue_hash = catalogue.catalogue_hash();
    let identity = Identity { name: &request.name, catalogue_hash: &catalogue_hash };
    let work = Work { threads: request.threads.max(1), progress: steps.tell };
    let names = target.names();
    let mut trained =
        train_classes(table.clone(), (&names, &of_row), &train_config, identity, work)
            .map_err(|error| parts.failure(error, &zone))?;
    let judgement = judge_classes(&trained, &table, &of_row, config.judge.replicates, config.seed);
    let facts = ClassesFacts {
        data: data(request, &rows, &zone),
        split: trained.split.facts.clone(),
        warnings: trained.warnings.clone(),
        judgement: judgement.clone(),
    };
    trained.classes.keep_facts(facts);
    Ok(ClassesOutcome {
        name: request.name.clone(),
        model_hash: trained.classes.hash(),
        run_digest: run.decisions_digest().to_owned(),
        subjects,
        rows: rows.ids.len(),
        inputs: trained.classes.inputs().len(),
        split: trained.split.facts,
        warnings: trained.warnings,
        judgement,
        classes: trained.classes,
        config_used: written::config(config, &parts.used(&config.split), &zone),
    })
}

/// The place and time of the last transaction of each day of each subject that has a class; where
/// acts are labelled, of the last of these of each kind, for a role is played in several.
fn last_of_days(
    request: &Request<'_>,
    target: &Target,
    zone: &Zone,
) -> Result<(Vec<usize>, Vec<i64>), Failure> {
    let (field, labels) = (target.subject.field(), request.labels);
    let mut last: BTreeMap<(String, i64, String), (bool, usize, i64)> = BTreeMap::new();
    let columns = ["event_id", "effective_time", "kind", field];
    request.run.decision_columns(&columns, &mut |first, batch| {
        let (ids, subjects) = (texts(batch, "event_id")?, texts(batch, field)?);
        let (kinds, times) = (texts(batch, "kind")?, ints(batch, "effective_time")?);
        for at in (0..batch.num_rows()).filter(|at| subjects.is_valid(*at)) {
            let (subject, time) = (subjects.value(at), times.value(at));
            let Some(class) = target.class(labels, subject) else { continue };
            let act = target.is_act(labels, ids.value(at));
            if target.labelled_acts && !act && target.others != Some(class) {
                continue;
            }
            let kind = if target.labelled_acts { kinds.value(at) } else { "" };
            let day = zone.day_start(time);
            let seen = last.entry((subject.to_owned(), day, kind.to_owned())).or_default();
            // An act stands against all later transactions of its day that are none.
            if act || !seen.0 {
                *seen = (act, first + at, time);
            }
        }
        Ok(())
    })?;
    if last.is_empty() {
        let wanted = target.names().join(", ");
        return Err(usage(
            format!("no {field} of the run has a label of the classes {wanted}"),
            format!("该运行中没有 {field} 带有类别 {wanted} 的标签"),
        ));
    }
    let mut found: Vec<(usize, i64)> =
        last.into_values().map(|(_, place, time)| (place, time)).collect();
    found.sort_unstable();
    Ok(found.into_iter().unzip())
}

/// The outcome as text.
pub fn terminal(outcome: &ClassesOutcome, screen: Screen) -> String {
    let judgement = &outcome.judgement;
    let mut text = screen.bold(&printable(&outcome.name));
    let mut line = |en: String, zh: String| {
        let words = if screen.lang == Lang::Zh { zh } else { en };
        writeln!(text, "{words}").expect("a String takes all");
    };
    let (subjects, rows, inputs) = (outcome.subjects, outcome.rows, outcome.inputs);
    line(
        format!("\n{rows} rows of {subjects} subjects, {inputs} inputs"),
        format!("\n{subjects} 个对象共 {rows} 行，{inputs} 个输入"),
    );
    let [accuracy, low, high] = interval(judgement.accuracy);
    let tested = judgement.rows;
    line(
        format!("of {tested} test rows {accuracy} ({low} to {high}) were given their class"),
        format!("{tested} 行测试数据中 {accuracy}（{low} 至 {high}）类别正确"),
    );
    for class in &judgement.classes {
        let [recall, low, high] = interval(class.recall);
        let [precision, from, to] = interval(class.precision);
        let (name, given) = (printable(&class.name), &class.given);
        line(
            format!(
                "  {name}: given {given:?}, recall {recall} ({low} to {high}), precision {precision} \
                 ({from} to {to})"
            ),
            format!(
                "  {name}：判为 {given:?}，召回率 {recall}（{low} 至 {high}），精确率 {precision}\
                 （{from} 至 {to}）"
            ),
        );
    }
    text
}
