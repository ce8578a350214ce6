//! The parts of a run by time: from when on rows train, validate and test.

use models::{SplitConfig, SplitError, TrainError};

use super::config::{Moment, Split};
use super::usage;
use crate::diagnostic::Failure;
use crate::expr::{Zone, format_duration};

const HOUR_MS: i64 = 3_600_000;

/// The parts as moments, ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) train_from: i64,
    /// Where the label delay before the test begins.
    pub(super) train_until: i64,
    pub(super) test_from: i64,
    pub(super) test_until: i64,
    pub(super) validation_train_from: i64,
    pub(super) validation_from: i64,
    pub(super) validation_until: i64,
    pub(super) label_delay: i64,
    /// The first and last time of all rows.
    run: (i64, i64),
}

impl Parts {
    /// Works out the moments that the config does not say.
    pub(super) fn new(split: &Split, times: &[i64], zone: &Zone) -> Result<Parts, Failure> {
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
            return Err(usage("the run has no transactions", "该运行没有交易"));
        };
        let at = |moment: Option<Moment>| moment.map(|moment| moment.at(zone));
        let train_from = at(split.train_from).unwrap_or(*first);
        let test_until = at(split.test_until).unwrap_or(last + 1);
        let within = |from: i64, until: i64| -> Vec<i64> {
            times.iter().copied().filter(|time| (from..until).contains(time)).collect()
        };
        let test_from = at(split.test_from)
            .or_else(|| quantile(within(train_from, test_until), 1.0 - split.test_share))
            .unwrap_or(test_until);
        let train_until = test_from - split.label_delay;
        let validation_train_from = at(split.validation_train_from).unwrap_or(train_from);
        let validation_until = at(split.validation_until).unwrap_or(train_until);
        let before = || within(validation_train_from, validation_until);
        let validation_from = at(split.validation_from)
            .or_else(|| quantile(before(), 1.0 - split.validation_share))
            .unwrap_or(validation_until);
        let parts = Parts {
            train_from,
            train_until,
            test_from,
            test_until,
            validation_train_from,
            validation_from,
            validation_until,
            label_delay: split.label_delay,
            run: (*first, *last),
        };
        parts.check(times, zone)?;
        Ok(parts)
    }

    fn check(&self, times: &[i64], zone: &Zone) -> Result<(), Failure> {
        let any = |from, until| times.iter().any(|time| (from..until).contains(time));
        let moment = |time| zone.moment(time);
        let run = || (moment(self.run.0), moment(self.run.1));
        if !any(self.test_from, self.test_until) {
            let ((first, last), (from, until)) =
                (run(), (moment(self.test_from), moment(self.test_until)));
            return Err(usage(
                format!(
                    "no transaction is in the test, {from} to {until}: the run has {first} to {last}"
                ),
                format!("测试期 {from} 至 {until} 没有交易：该运行为 {first} 至 {last}"),
            ));
        }
        if self.validation_until > self.test_from {
            let (until, test) = (moment(self.validation_until), moment(self.test_from));
            return Err(usage(
                format!(
                    "split.validation_until, {until}, is after the beginning of the test, {test}: \
                     what chooses a model may not test it"
                ),
                format!(
                    "split.validation_until({until})晚于测试开始({test}):用于选择模型的部分不能用于测试"
                ),
            ));
        }
        if any(self.train_from, self.train_until) {
            return Ok(());
        }
        let (delay, test, until) =
            (format_duration(self.label_delay), moment(self.test_from), moment(self.train_until));
        let from = moment(self.train_from);
        // Half of the time before the test, in whole hours, leaves the other half to train on.
        let half = (self.test_from - self.train_from).max(0) / 2;
        let fits = format_duration(half / HOUR_MS * HOUR_MS);
        Err(usage(
            format!(
                "nothing is left to train on: the test begins at {test}, labels are known {delay} \
                 later, so that training ends at {until}, and it begins at {from}; a longer run \
                 leaves more, or a smaller split.label_delay, if labels are known by then: in the \
                 file of --config, under [split], label_delay = \"{fits}\""
            ),
            format!(
                "没有可供训练的交易：测试自 {test} 开始，标签延迟 {delay}，训练须止于 {until}，\
                 而训练自 {from} 开始；请用更长的运行；若标签更早可知，\
                 可在 --config 的文件中 [split] 下写 label_delay = \"{fits}\""
            ),
        ))
    }

    /// Whether a row of this time takes part.
    pub(super) fn reads(&self, time: i64) -> bool {
        (self.train_from.min(self.validation_train_from)..self.test_until).contains(&time)
    }

    /// Whether a row of this time trains or calibrates.
    pub(super) fn trains(&self, time: i64) -> bool {
        (self.train_from..self.train_until).contains(&time)
    }

    /// The split of the model.
    pub(super) fn split_config(&self, split: &Split) -> SplitConfig {
        SplitConfig {
            train_from: Some(self.train_from),
            test_from: Some(self.test_from),
            test_until: Some(self.test_until),
            test_share: split.test_share,
            label_delay: self.label_delay,
            calibration_share: split.calibration_share,
            by_group: split.group_by.is_some(),
            test_group_share: split.test_group_share,
        }
    }

    /// The split by which models are chosen between.
    pub(super) fn validation_config(&self, split: &Split) -> SplitConfig {
        SplitConfig {
            train_from: Some(self.validation_train_from),
            test_from: Some(self.validation_from),
            test_until: Some(self.validation_until),
            calibration_share: 0.0,
            ..self.split_config(split)
        }
    }

    /// The split with the moments that were worked out, so that it is the same on a longer run.
    pub(super) fn used(&self, split: &Split) -> Split {
        let at = |said: Option<Moment>, worked_out| said.or(Some(Moment::At(worked_out)));
        Split {
            train_from: at(split.train_from, self.train_from),
            test_from: at(split.test_from, self.test_from),
            test_until: at(split.test_until, self.test_until),
            validation_from: at(split.validation_from, self.validation_from),
            validation_until: at(split.validation_until, self.validation_until),
            validation_train_from: at(split.validation_train_from, self.validation_train_from),
            ..split.clone()
        }
    }

    /// Why a training failed, in the words of the config.
    pub(super) fn failure(&self, error: TrainError, zone: &Zone) -> Failure {
        let TrainError::Split(SplitError::OneClass { part, rows, positive }) = error else {
            let text = error.to_string();
            return usage(text.clone(), format!("无法训练：{text}"));
        };
        let honest = rows - positive;
        let zh = part_zh(part);
        let until = zone.moment(self.test_from);
        usage(
            format!(
                "the {part} part has {rows} transactions, {positive} fraud and {honest} honest: it \
                 needs both; fraud counts before the test only if it was known at {until}"
            ),
            format!(
                "{zh}部分有 {rows} 笔交易，其中欺诈 {positive}、正常 {honest}：两者都不可缺；\
                 测试之前的欺诈只有在 {until} 已知的才计入"
            ),
        )
    }

    /// The same of the models that are chosen between.
    pub(super) fn validation_failure(&self, error: TrainError) -> Failure {
        let text = error.to_string();
        usage(
            format!(
                "cannot choose between models: before the validation part (where it says test) \
                 {text}; give split.validation_from, split.validation_train_from, or one [model]"
            ),
            format!(
                "无法在多个模型间选择（下文 test 指验证部分）：{text}；请设置 split.validation_from、\
                 split.validation_train_from，或只给一个 [model]"
            ),
        )
    }
}

fn part_zh(part: &str) -> &'static str {
    match part {
        "train" => "训练",
        "calibration" => "校准",
        _ => "测试",
    }
}

/// The time at which `share` of the times lie before it, or as near to that as equal times allow.
fn quantile(mut times: Vec<i64>, share: f64) -> Option<i64> {
    times.sort_unstable();
    let at = (times.len() as f64 * share) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied()
}
