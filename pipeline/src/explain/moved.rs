//! What moved the model's score of a transaction: worked out again from the values that were
//! recorded, whatever was decided.
//!
//! The reason of a decision names three features, and only of alerts in which the model counted.
//! Here are all that matter, of every transaction with a score, exact to the last unit.

use std::path::Path;

use serde::Serialize;

use super::Operand;
use super::clauses::Bench;
use super::look::{Read, said};
use crate::diagnostic::{Failure, Lang, Message};
use crate::expr::{Constant, Names as _};
use crate::features::catalogue::{coded, number};
use crate::finished::FinishedRun;
use crate::model::Artefact;
use crate::report::printable;

/// Features that are told one by one; what the others add is told as one number.
const NAMED_MAX: usize = 10;

/// What moved the model's score: base, features and others add up to the raw score.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// The model's file.
    pub model: String,
    /// Its hash.
    pub model_hash: String,
    /// Its score, 0 to 1000, to which it makes the raw score.
    pub score: i64,
    /// The raw score, larger for riskier; its unit is that of the kind of model.
    pub raw: i64,
    /// The raw score of a transaction of which nothing is known.
    pub base: i64,
    /// The features that moved it most, either way, the strongest first.
    pub features: Vec<Mover>,
    /// How many more features moved it.
    pub others: usize,
    /// What these add together.
    pub others_add: i64,
}

/// What one feature did to the raw score.
#[derive(Clone, Debug, Serialize)]
pub struct Mover {
    /// The feature or field and its value.
    #[serde(flatten)]
    pub of: Operand,
    /// What it adds: above 0 towards fraud, below 0 away from it.
    pub adds: i64,
}

impl Read {
    /// What moved the model's score; where that cannot be told, a note says why.
    pub(super) fn moved(
        &self,
        run: &FinishedRun,
        bench: &Bench<'_>,
    ) -> (Option<Moved>, Option<String>) {
        let Some(score) = self.record.model_score else { return (None, None) };
        match self.moved_by(run.model_path(), score, bench) {
            Ok(moved) => (Some(moved), None),
            Err(why) => (None, Some(why.text(bench.lang).to_owned())),
        }
    }

    fn moved_by(
        &self,
        path: Option<&Path>,
        score: i64,
        bench: &Bench<'_>,
    ) -> Result<Moved, Message> {
        let then = &self.record.model_hash;
        let Some(path) = path else {
            return Err(Message::new(
                format!(
                    "run.toml does not say where the model {then} is: what moved it is not told"
                ),
                format!("run.toml 未记录模型 {then} 的位置：无法说明模型分的构成"),
            ));
        };
        let artefact = Artefact::load(path).map_err(|failure| cannot_read(&failure))?;
        let (shown, hash) = (path.display(), artefact.hash());
        if hash != then {
            return Err(Message::new(
                format!(
                    "{shown} is another model now than that which scored ({hash} in place of \
                     {then}): what moved it is not told"
                ),
                format!(
                    "{shown} 已不是当时的模型（现为 {hash}，当时为 {then}）：无法说明模型分的构成"
                ),
            ));
        }
        let Some(model) = artefact.trained() else {
            return Err(Message::new(
                format!("{shown} was made elsewhere, and tells its score alone"),
                format!("{shown} 由其他工具生成，只给出分数，无法说明构成"),
            ));
        };
        let value = |input: &models::Input| {
            let (name, code) = coded(&input.name);
            number(self.value(name), code)
        };
        let values: Vec<f64> = model.inputs().iter().map(value).collect();
        let raw = model.raw(&values);
        if model.levels().score(raw) != score {
            return Err(Message::new(
                "the recorded values do not lead to the recorded model score: this is a mistake of \
                 the program, or the run's files have been changed",
                "按记录的数值得不到所记录的模型分：这是程序错误，或运行目录中的文件被改动过",
            ));
        }
        let why = model.explain(&values);
        let named = why.strongest(NAMED_MAX);
        let adds: i64 = named.iter().map(|one| one.adds).sum();
        let moving = why.contributions.iter().filter(|one| one.adds != 0).count();
        let mover = |one: &models::Contribution| {
            let written = &model.inputs()[one.input].name;
            let name = coded(written).0;
            let value = Constant::of(self.value(name));
            let value = value.map(|value| (value, self.loaded.catalogue.unit(name)));
            let of = Operand { name: written.clone(), ..bench.operand(name, value, "value", None) };
            Mover { of, adds: one.adds }
        };
        Ok(Moved {
            model: shown.to_string(),
            model_hash: hash.to_owned(),
            score,
            raw,
            base: why.bias,
            others: moving - named.len(),
            others_add: raw - why.bias - adds,
            features: named.iter().map(mover).collect(),
        })
    }

    /// What to say to somebody who asks for the model as if it were a rule.
    pub(super) fn model_is_no_rule(&self, run: &FinishedRun) -> Failure {
        let directory = run.directory().display();
        let id = printable(&self.record.event_id);
        Failure::Usage(match self.record.model_score {
            Some(score) => Message::new(
                format!(
                    "the model is no rule that hits or misses: it gave this transaction {score}, \
                     and `hongxian explain {directory} {id}` shows what moved it"
                ),
                format!(
                    "模型不是规则，没有命中与否：它给该交易 {score} 分；\
                     `hongxian explain {directory} {id}` 显示其构成"
                ),
            ),
            None => Message::new(
                "the model is no rule that hits or misses, and none scored this transaction",
                "模型不是规则，没有命中与否；该交易也没有模型分",
            ),
        })
    }
}

fn cannot_read(failure: &Failure) -> Message {
    Message::new(
        format!("what moved the model is not told: {}", said(failure, Lang::En)),
        format!("无法说明模型分的构成：{}", said(failure, Lang::Zh)),
    )
}
