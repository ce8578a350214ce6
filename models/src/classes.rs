//! A model of several classes: one model a class against the rest, of one set of inputs, in one
//! artefact. Calibrated log odds compare, so that the class of a row is integer arithmetic too.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::card::cell;
use crate::judge::{Blocks, Figure, resample};
use crate::model::{ArtefactError, CARD_FILE, File, Head, MODEL_FILE, read_bounded, write_whole};
use crate::split::{Split, SplitFacts};
use crate::table::Table;
use crate::train::{Identity, TrainConfig, TrainError, Warning, raw_of, train};
use crate::{Input, Model, Work};

/// What an artefact of this shape says it is.
pub(crate) const FORMAT: &str = "hongxian-classes-1";
/// The most classes: each is a model of its own, and is asked about every row.
pub const CLASSES_MAX: usize = 16;

/// A model of several classes. [`train_classes`] makes one, [`Classes::from_json`] reads one.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    names: Vec<String>,
    models: Vec<Model>,
    facts: Option<ClassesFacts>,
}

/// What an artefact keeps of its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesFacts {
    /// What the rows were, in the caller's words.
    pub data: String,
    /// How the rows were divided.
    pub split: SplitFacts,
    /// What was noticed about columns.
    pub warnings: Vec<Warning>,
    /// How it did on the test rows.
    pub judgement: ClassesJudgement,
}

/// How classes were told apart on the test rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesJudgement {
    /// Rows that were judged.
    pub rows: usize,
    /// The share of rows whose class was found.
    pub accuracy: Option<Figure>,
    /// By class.
    pub classes: Vec<ClassFigures>,
}

/// How one class was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFigures {
    /// Its name.
    pub name: String,
    /// Of the rows of this class, how many were given each class, in their order.
    pub given: Vec<usize>,
    /// Of the rows that were given it, the share that are of it.
    pub precision: Option<Figure>,
    /// Of the rows that are of it, the share that were given it.
    pub recall: Option<Figure>,
}

/// A model of classes and the rows that it was made from.
#[derive(Clone, Debug)]
pub struct TrainedClasses {
    /// The model.
    pub classes: Classes,
    /// Which rows trained, calibrated and test.
    pub split: Split,
    /// What was noticed about columns.
    pub warnings: Vec<Warning>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassesFile<H> {
    format: String,
    names: Vec<String>,
    models: Vec<File<H>>,
    facts: Option<ClassesFacts>,
}

/// Trains a model a class; `of_row` has the class of each row, as its place among the names.
///
/// # Panics
/// If there are not as many classes as rows, or one has no name.
pub fn train_classes(
    mut table: Table,
    (names, of_row): (&[String], &[u32]),
    config: &TrainConfig,
    identity: Identity,
    work: Work,
) -> Result<TrainedClasses, TrainError> {
    assert_eq!(of_row.len(), table.rows(), "one class a row");
    assert!(of_row.iter().all(|class| (*class as usize) < names.len()), "classes have names");
    let mut models = Vec::with_capacity(names.len());
    let (mut split, mut warnings) = (Split::default(), Vec::new());
    for (class, name) in names.iter().enumerate() {
        let positive = of_row.iter().map(|held| *held as usize == class).collect();
        table = table.with_labels(positive).expect("as many labels as rows");
        let trained = train(&table, config, Identity { name, ..identity }, work)?;
        models.push(trained.model);
        (split, warnings) = (trained.split, trained.warnings);
    }
    // What knows the answer is another column for each class, and is of no use in a list of all.
    warnings.retain(|warning| matches!(warning, Warning::Constant { .. }));
    Ok(TrainedClasses { classes: Classes::new(names.to_vec(), models, None), split, warnings })
}

/// Judges classes on the test rows; intervals draw whole groups of the table.
pub fn judge_classes(
    trained: &TrainedClasses,
    table: &Table,
    of_row: &[u32],
    replicates: usize,
    seed: u64,
) -> ClassesJudgement {
    let (classes, test) = (&trained.classes, &trained.split.test);
    let given = classes.of_rows(table, test);
    let truth: Vec<usize> = test.iter().map(|row| of_row[*row as usize] as usize).collect();
    let group = |row: &u32| table.groups().and_then(|groups| groups.of_row()[*row as usize]);
    let blocks = Blocks::by_key(test.iter().map(|row| group(row).map(i64::from)));
    let share = |of: &dyn Fn(usize) -> bool, hit: &dyn Fn(usize) -> bool| {
        resample(blocks.count(), replicates, seed, |times| {
            let drawn = blocks.of_rows(times);
            let (mut all, mut hits) = (0_u64, 0_u64);
            for (row, times) in drawn.iter().enumerate().filter(|(row, _)| of(*row)) {
                all += u64::from(*times);
                hits += u64::from(*times) * u64::from(hit(row));
            }
            (all > 0).then(|| hits as f64 / all as f64)
        })
    };
    let right = |row: usize| truth[row] == given[row];
    let figures = |(class, name): (usize, &String)| {
        let mut counts = vec![0; classes.names.len()];
        let of_class = (0..test.len()).filter(|row| truth[*row] == class);
        of_class.for_each(|row| counts[given[row]] += 1);
        ClassFigures {
            name: name.clone(),
            given: counts,
            precision: share(&|row| given[row] == class, &right),
            recall: share(&|row| truth[row] == class, &right),
        }
    };
    ClassesJudgement {
        rows: test.len(),
        accuracy: share(&|_| true, &right),
        classes: classes.names.iter().enumerate().map(figures).collect(),
    }
}

impl Classes {
    fn new(names: Vec<String>, models: Vec<Model>, facts: Option<ClassesFacts>) -> Classes {
        Classes { names, models, facts }
    }

    /// The names of the classes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What it reads: every class reads the same.
    pub fn inputs(&self) -> &[Input] {
        self.models[0].inputs()
    }

    /// What it was made from, if it was judged.
    pub fn facts(&self) -> Option<&ClassesFacts> {
        self.facts.as_ref()
    }

    /// Writes into the artefact what it was made from; the hash covers it.
    pub fn keep_facts(&mut self, facts: ClassesFacts) {
        self.facts = Some(facts);
    }

    /// The class of a row and its score, 0 to [`crate::SCORE_MAX`]: the first of those with the
    /// largest score.
    ///
    /// # Panics
    /// If there are not as many values as inputs.
    pub fn class(&self, values: &[f64]) -> (usize, i64) {
        largest(self.models.iter().map(|model| model.score(values)))
    }

    /// The classes of rows of a table that has the inputs.
    fn of_rows(&self, table: &Table, rows: &[u32]) -> Vec<usize> {
        let scores = |model: &Model| -> Vec<i64> {
            let raw = raw_of(model, table, rows);
            raw.into_iter().map(|raw| model.levels().score(raw)).collect()
        };
        let scores: Vec<Vec<i64>> = self.models.iter().map(scores).collect();
        (0..rows.len()).map(|row| largest(scores.iter().map(|of| of[row])).0).collect()
    }

    /// The artefact: the same model is the same bytes.
    pub fn to_json(&self) -> String {
        let file = ClassesFile {
            format: FORMAT.to_owned(),
            names: self.names.clone(),
            models: self.models.iter().map(Model::file).collect(),
            facts: self.facts.clone(),
        };
        serde_json::to_string(&file).expect("a model is JSON")
    }

    /// The hash of the artefact, BLAKE3 in hexadecimal.
    pub fn hash(&self) -> String {
        blake3::hash(self.to_json().as_bytes()).to_hex().to_string()
    }

    /// Reads an artefact, and trusts none of it.
    pub fn from_json(text: &str) -> Result<Classes, ArtefactError> {
        let file: ClassesFile<Head> = serde_json::from_str(text)?;
        if file.format != FORMAT {
            return Err(ArtefactError::Format(file.format));
        }
        if file.names.len() != file.models.len() || !(2..=CLASSES_MAX).contains(&file.names.len()) {
            return Err(ArtefactError::Unsound("number of classes"));
        }
        if file.names.iter().any(String::is_empty) {
            return Err(ArtefactError::Unsound("name of a class"));
        }
        let models: Result<Vec<Model>, _> = file.models.into_iter().map(Model::of_file).collect();
        let models = models?;
        if models.iter().any(|model| model.inputs() != models[0].inputs()) {
            return Err(ArtefactError::Unsound("list of inputs"));
        }
        Ok(Classes::new(file.names, models, file.facts))
    }

    /// Reads the `model.json` of a directory, or a file of any name.
    pub fn load(path: &Path) -> Result<Classes, ArtefactError> {
        Classes::from_json(&read_bounded(path)?)
    }

    /// Writes `model.json` and, where it was judged, `card.md` into a directory, which is made.
    pub fn save(&self, name: &str, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        if let Some(facts) = &self.facts {
            write_whole(&directory.join(CARD_FILE), &card(name, self, facts))?;
        }
        write_whole(&directory.join(MODEL_FILE), &self.to_json())
    }
}

/// The place of the first of the largest scores, and it.
fn largest(scores: impl Iterator<Item = i64>) -> (usize, i64) {
    let better = |best: (usize, i64), one: (usize, i64)| if one.1 > best.1 { one } else { best };
    scores.enumerate().reduce(better).expect("a model has classes")
}

/// The card of a model of classes, in Markdown.
fn card(name: &str, classes: &Classes, facts: &ClassesFacts) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let judgement = &facts.judgement;
    line(format!("# Model card: {}\n\n## Model details\n", cell(name)));
    line(format!("- Kind: one model a class against the rest, {:?}", classes.models[0].kind()));
    line(format!("- Hash: `{}`", classes.hash()));
    line(format!("- Inputs: {}", classes.inputs().len()));
    line(format!("- Data: {}", cell(&facts.data)));
    line("\n## Intended use\n".to_owned());
    line("It describes, for rules and reports to read; it is no finding of wrong.".to_owned());
    line("\n## Metrics\n".to_owned());
    line(format!("On {} test rows; intervals of 95 percent draw whole groups.\n", judgement.rows));
    if let Some(Figure { value, low, high }) = judgement.accuracy {
        line(format!("The class was found of {value:.3} of them ({low:.3} to {high:.3}).\n"));
    }
    let names: Vec<String> = classes.names().iter().map(|name| cell(name)).collect();
    line(format!("| is \\ given | {} | recall | precision |", names.join(" | ")));
    line(format!("|---{}|", "|---".repeat(names.len() + 2)));
    for class in &judgement.classes {
        let given: Vec<String> = class.given.iter().map(usize::to_string).collect();
        let [recall, precision] = [class.recall, class.precision].map(|figure| {
            figure.map_or("-".to_owned(), |Figure { value, low, high }| {
                format!("{value:.3} ({low:.3} to {high:.3})")
            })
        });
        let name = cell(&class.name);
        line(format!("| {name} | {} | {recall} | {precision} |", given.join(" | ")));
    }
    line("\n## Evaluation data and training data\n\n| part | rows |\n|---|---|".to_owned());
    for part in &facts.split.parts {
        line(format!("| {} | {} |", part.name, part.rows));
    }
    let split = &facts.split;
    line(format!(
        "\nLeft out: {} rows in the gap, {} outside, {} of groups on the other side.",
        split.gap_rows, split.outside_rows, split.group_rows
    ));
    for warning in &facts.warnings {
        line(format!("- Warning: {}", cell(&warning.to_string())));
    }
    let mut inputs = String::new();
    for input in classes.inputs() {
        write!(inputs, " {},", cell(&input.name)).expect("a String takes all");
    }
    line(format!("\n## Inputs\n\n{}", inputs.trim_matches([' ', ','])));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Codes, Column};

    /// 600 rows of 60 groups: the class is a third of the line, and another column is noise.
    fn table() -> (Table, Vec<u32>) {
        let at = |row: u32| f64::from(row * 37 % 600);
        let column = Column::new("at", (0..600).map(|row| Some(at(row))));
        let noise = Column::new("noise", (0..600).map(|row| Some(f64::from(row * 11 % 7))));
        let of_row = (0..600).map(|row| (at(row) / 200.0) as u32).collect();
        let table = Table::new(vec![column, noise], vec![false; 600], (0..600).collect()).unwrap();
        let names: Vec<String> = (0..600).map(|row| format!("g{}", row % 60)).collect();
        let groups = Codes::new(names.iter().map(|name| Some(name.as_str())));
        (table.with_groups(groups).unwrap(), of_row)
    }

    fn trained(threads: usize) -> Classes {
        let config = r#"{"model": {"kind": "boosting", "trees": 30}, "split": {"by_group": true},
            "calibration": {"method": "platt", "rows": {"cross_fit": 3}}}"#;
        let mut config: TrainConfig = serde_json::from_str(config).unwrap();
        config.split.calibration_share = 0.0;
        let (table, of_row) = table();
        let names = ["low", "middle", "high"].map(str::to_owned);
        let identity = Identity { name: "thirds", catalogue_hash: "" };
        let work = Work { threads, ..Work::default() };
        let mut trained =
            train_classes(table.clone(), (&names, &of_row), &config, identity, work).unwrap();
        let judgement = judge_classes(&trained, &table, &of_row, 20, 1);
        let (split, warnings) = (trained.split.facts.clone(), trained.warnings.clone());
        let facts = ClassesFacts { data: "made up".to_owned(), split, warnings, judgement };
        trained.classes.keep_facts(facts);
        trained.classes
    }

    #[test]
    fn each_row_is_of_the_class_that_speaks_loudest() {
        let classes = trained(1);
        for (at, expected) in [(20.0, "low"), (300.0, "middle"), (590.0, "high")] {
            let (class, score) = classes.class(&[at, 3.0]);
            assert_eq!(classes.names()[class], expected);
            assert!(score > 500, "{score}");
        }
        let judgement = &classes.facts().unwrap().judgement;
        assert!(judgement.accuracy.unwrap().value > 0.9);
        let rows: usize = judgement.classes.iter().flat_map(|class| &class.given).sum();
        assert_eq!(rows, judgement.rows);
        // Worked out from the counts: rows of a class that were given it, of those of it.
        for (at, class) in judgement.classes.iter().enumerate() {
            let all: usize = class.given.iter().sum();
            assert_eq!(class.recall.unwrap().value, class.given[at] as f64 / all as f64);
        }
    }

    #[test]
    fn it_comes_back_and_threads_do_not_matter() {
        let classes = trained(1);
        assert_eq!(classes.to_json(), trained(3).to_json());
        assert_eq!(Classes::from_json(&classes.to_json()).unwrap(), classes);
        let text = card("thirds", &classes, classes.facts().unwrap());
        assert!(text.contains("| middle |") && text.contains(&classes.hash()), "{text}");
    }

    #[test]
    fn a_broken_artefact_is_refused() {
        let refused = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut json: serde_json::Value = serde_json::from_str(&trained(1).to_json()).unwrap();
            change(&mut json);
            Classes::from_json(&json.to_string()).unwrap_err().to_string()
        };
        assert!(refused(&|json| json["format"] = "another".into()).contains("another"));
        assert!(refused(&|json| json["names"] = ["one"].into()).contains("number of classes"));
        let other = refused(&|json| json["models"][1]["head"]["inputs"][0]["name"] = "b".into());
        assert!(other.contains("inputs"), "{other}");
        let forest = refused(&|json| json["models"][2]["trees"]["edges"] = serde_json::json!([]));
        assert!(forest.contains("forest"), "{forest}");
    }
}
