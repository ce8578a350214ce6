//! How a model is trained: the config file, every key with its default.
//!
//! `models/train.toml` is an example in which each key stands with its default and what it means.

use std::ops::RangeInclusive;
use std::path::Path;

use models::judge::IntervalBy;
use models::{CalibrationConfig, CalibrationRows, Method, NullPolicy, Scale, Trainer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::target::Target;
use super::trainers;
use crate::diagnostic::{Diagnostic, Message};
use crate::document::{Node, Reader, Text, integer_of};
use crate::expr::Zone;

/// A day, in ms.
pub(super) const DAY_MS: i64 = 86_400_000;
/// The longest delay of labels: chargebacks take half a year.
const DELAY_MAX: i64 = 366 * DAY_MS;
/// The most alerts a day that are judged at.
const ALERTS_MAX: i64 = 1_000_000;
/// The most budgets: each is two rows of the report.
const BUDGETS_MAX: usize = 8;
/// The least share of the rows that is a part.
const SHARE_MIN: f64 = 0.001;
/// The most draws for an interval: more digits than anybody reads.
const REPLICATES: RangeInclusive<i64> = 10..=10_000;
/// The most fen that a review may cost.
const REVIEW_FEN_MAX: i64 = 10_000_000;

/// A config that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What all random choices come from.
    pub seed: u64,
    /// The zone of dates and days; none: the run's.
    pub time_zone: Option<String>,
    /// The models to train; of several the one that does best on the validation part.
    pub models: Vec<Trainer>,
    /// Patterns of features to learn from.
    pub include: Vec<Text>,
    /// Patterns of features not to learn from.
    pub exclude: Vec<Text>,
    /// Fields of the transaction to learn from.
    pub fields: Vec<Field>,
    /// Text features of few values, each of which becomes a column of its own.
    pub coded: Vec<Text>,
    /// Whether account labels count where an event has none.
    pub account_labels: bool,
    /// What is told apart; none: fraud.
    pub target: Option<Target>,
    /// Which rows train, calibrate, validate and test.
    pub split: Split,
    /// What becomes of missing values.
    pub nulls: NullPolicy,
    /// The same for features by their name.
    pub nulls_of: Vec<(Text, NullPolicy)>,
    /// How raw scores become scores.
    pub calibration: CalibrationConfig,
    /// How the model is judged.
    pub judge: Judge,
}

/// A field of the transaction that a model may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `amount_fen`.
    Amount,
    /// `kind`, a column a kind.
    Kind,
}

/// A moment, or a day of the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In ms.
    At(i64),
    /// The beginning of a day.
    Day(jiff::civil::Date),
}

/// The parts by time.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// From when on rows train; none: from the first.
    pub train_from: Option<Moment>,
    /// From when on rows test; none: by `test_share`.
    pub test_from: Option<Moment>,
    /// Until when; none: to the end.
    pub test_until: Option<Moment>,
    /// The share of all rows, the latest, that test.
    pub test_share: f64,
    /// How long after a transaction its label is known, in ms.
    pub label_delay: i64,
    /// The share of the rows before the gap, the latest, that calibrate.
    pub calibration_share: f64,
    /// From when on rows validate; none: by `validation_share`.
    pub validation_from: Option<Moment>,
    /// Until when; none: to the gap.
    pub validation_until: Option<Moment>,
    /// From when on rows train the models that are validated; none: as `train_from`.
    pub validation_train_from: Option<Moment>,
    /// The share of the rows before the gap, the latest, that validate.
    pub validation_share: f64,
    /// The field or text feature whose rows stay on one side.
    pub group_by: Option<Text>,
    /// The share of groups that test.
    pub test_group_share: f64,
}

/// How the model is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    /// Alerts a day; the first is the budget by which typologies are judged.
    pub alerts_a_day: Vec<usize>,
    /// What a review costs, in fen.
    pub review_fen: i64,
    /// Draws of an interval.
    pub replicates: usize,
    /// Which rows are drawn together.
    pub interval_by: IntervalBy,
    /// Shuffles of an input for its importance.
    pub importance_repeats: usize,
    /// Whether accounts that were known for fraud are left out of the test.
    pub leave_out_known: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            time_zone: None,
            models: vec![Trainer::Boosting(models::BoostingConfig::default())],
            include: vec![Spanned::new(0..0, "*".to_owned())],
            exclude: Vec::new(),
            fields: vec![Field::Amount, Field::Kind],
            coded: Vec::new(),
            account_labels: false,
            target: None,
            split: Split {
                train_from: None,
                test_from: None,
                test_until: None,
                test_share: 0.25,
                label_delay: 7 * DAY_MS,
                calibration_share: 0.15,
                validation_from: None,
                validation_until: None,
                validation_train_from: None,
                validation_share: 0.25,
                group_by: None,
                test_group_share: 0.3,
            },
            nulls: NullPolicy::OwnBin,
            nulls_of: Vec::new(),
            calibration: CalibrationConfig {
                method: Method::Platt,
                rows: CalibrationRows::Slice,
                scale: Scale::LogOdds,
            },
            judge: Judge {
                alerts_a_day: vec![100, 20, 500],
                review_fen: 500,
                replicates: 200,
                interval_by: IntervalBy::Group,
                importance_repeats: 3,
                leave_out_known: false,
            },
        }
    }
}

impl Field {
    /// The fields with their names.
    pub(super) const ALL: [(&'static str, Field); 2] =
        [("amount_fen", Field::Amount), ("kind", Field::Kind)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Field::ALL[self as usize].0
    }
}

impl Moment {
    /// The moment in ms.
    pub fn at(self, zone: &Zone) -> i64 {
        match self {
            Moment::At(time) => time,
            Moment::Day(date) => {
                let noon = format!("{date}T12:00:00Z").parse::<jiff::Timestamp>();
                // A day without a moment is of no year of events.
                let noon = noon.map_or(0, |noon| noon.as_millisecond());
                // At noon of UTC it may be the day before or after in the zone.
                let name = date.to_string();
                let own = |time: &i64| zone.date(*time).as_str() == name;
                let noons = [noon, noon - DAY_MS, noon + DAY_MS];
                zone.day_start(noons.into_iter().find(own).unwrap_or(noon))
            }
        }
    }
}

/// The null policies with their names.
pub(super) const NULLS: [(&str, NullPolicy); 3] = [
    ("own_bin", NullPolicy::OwnBin),
    ("indicator", NullPolicy::Indicator),
    ("median", NullPolicy::Median),
];
/// The calibrations with their names.
pub(super) const METHODS: [(&str, Method); 3] =
    [("platt", Method::Platt), ("isotonic", Method::Isotonic), ("none", Method::None)];
/// The scales with their names.
pub(super) const SCALES: [(&str, Scale); 2] =
    [("log_odds", Scale::LogOdds), ("probability", Scale::Probability)];
/// What is drawn together, with its names.
pub(super) const INTERVALS: [(&str, IntervalBy); 3] =
    [("group", IntervalBy::Group), ("row", IntervalBy::Row), ("day", IntervalBy::Day)];

impl Config {
    /// Reads a config file: what it says, and every mistake in it.
    pub fn read(file: &Path, text: &str) -> (Config, Vec<Diagnostic>) {
        let mut reader = Reader::new(file, text);
        let root = reader.parse();
        let root = root.get_ref();
        reader.known_keys(
            root,
            &[
                "seed",
                "time_zone",
                "model",
                "features",
                "labels",
                "target",
                "split",
                "nulls",
                "calibration",
                "judge",
            ],
        );
        let mut config = Config::default();
        if let Some(seed) = reader.integer(root, "seed", 0..=i64::MAX) {
            config.seed = seed as u64;
        }
        config.read_zone(&mut reader, root);
        if let Some(models) = trainers::read(&mut reader, root) {
            config.models = models;
        }
        config.read_features(&mut reader, root);
        config.read_labels(&mut reader, root);
        config.target = Target::read(&mut reader, root);
        config.split.read(&mut reader, root);
        if let Some(target) = &config.target {
            // Rows of one subject are alike, and are on one side.
            let subject = target.subject.field();
            if let Some(other) = config.split.group_by.as_ref().filter(|by| by.get_ref() != subject)
            {
                let message = Message::new(
                    format!(
                        "with [target] rows are parted by `{subject}`, whose classes are learnt"
                    ),
                    format!("有 [target] 时按 `{subject}` 划分,因为学习的是它的类别"),
                );
                let hint = Message::new("leave it out", "请删去");
                reader.fail("parted-by-target", other.span(), message, Some(hint));
            }
            config.split.group_by = Some(Spanned::new(0..0, subject.to_owned()));
        }
        config.read_nulls(&mut reader, root);
        config.read_calibration(&mut reader, root);
        config.judge.read(&mut reader, root);
        (config, reader.finish())
    }

    fn read_zone(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(zone) = reader.string(root, "time_zone") else { return };
        let name = zone.get_ref().as_str();
        if Zone::new(name).is_some() {
            self.time_zone = Some(name.to_owned());
            return;
        }
        let hint = Zone::near(name).map(|near| {
            Message::new(format!("did you mean `{near}`?"), format!("是否想写 `{near}`?"))
        });
        let message =
            Message::new(format!("`{name}` is not a time zone"), format!("`{name}` 不是时区"));
        reader.fail("unknown-zone", zone.span(), message, hint);
    }

    fn read_features(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(features) = reader.table(root, "features") else { return };
        reader.known_keys(features, &["include", "exclude", "fields", "coded"]);
        set(&mut self.include, reader.strings(features, "include"));
        set(&mut self.exclude, reader.strings(features, "exclude"));
        set(&mut self.coded, reader.strings(features, "coded"));
        if let Some(fields) = reader.strings(features, "fields") {
            let fields = fields.iter().filter_map(|f| reader.choice("fields", f, &Field::ALL));
            self.fields = fields.collect();
            self.fields.dedup();
        }
    }

    fn read_labels(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(labels) = reader.table(root, "labels") else { return };
        reader.known_keys(labels, &["accounts"]);
        set(&mut self.account_labels, reader.boolean(labels, "accounts"));
    }

    fn read_nulls(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(nulls) = reader.table(root, "nulls") else { return };
        reader.known_keys(nulls, &["default", "columns"]);
        set(&mut self.nulls, choice(reader, nulls, "default", &NULLS));
        let Some(columns) = reader.table(nulls, "columns") else { return };
        for (name, node) in columns {
            let policy = reader.as_string(name.get_ref(), node);
            let policy = policy.and_then(|text| reader.choice(name.get_ref(), &text, &NULLS));
            let name = Spanned::new(name.span(), name.get_ref().to_string());
            self.nulls_of.extend(policy.map(|policy| (name, policy)));
        }
        self.nulls_of.sort_by(|a, b| a.0.get_ref().cmp(b.0.get_ref()));
    }

    fn read_calibration(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(table) = reader.table(root, "calibration") else { return };
        reader.known_keys(table, &["method", "scale", "cross_fit"]);
        set(&mut self.calibration.method, choice(reader, table, "method", &METHODS));
        set(&mut self.calibration.scale, choice(reader, table, "scale", &SCALES));
        if let Some(folds) = reader.integer(table, "cross_fit", 2..=20) {
            self.calibration.rows = CalibrationRows::CrossFit(folds as usize);
        }
    }
}

impl Split {
    fn read(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(table) = reader.table(root, "split") else { return };
        reader.known_keys(
            table,
            &[
                "train_from",
                "test_from",
                "test_until",
                "test_share",
                "label_delay",
                "calibration_share",
                "validation_from",
                "validation_until",
                "validation_train_from",
                "validation_share",
                "group_by",
                "test_group_share",
            ],
        );
        for (key, place) in [
            ("train_from", &mut self.train_from),
            ("test_from", &mut self.test_from),
            ("test_until", &mut self.test_until),
            ("validation_from", &mut self.validation_from),
            ("validation_until", &mut self.validation_until),
            ("validation_train_from", &mut self.validation_train_from),
        ] {
            if let Some(node) = table.get(key) {
                *place = moment(reader, key, node);
            }
        }
        // A model needs no rows to calibrate on, but some to be tested on and to be chosen by.
        for (key, place, least) in [
            ("test_share", &mut self.test_share, SHARE_MIN),
            ("calibration_share", &mut self.calibration_share, 0.0),
            ("validation_share", &mut self.validation_share, SHARE_MIN),
            ("test_group_share", &mut self.test_group_share, 0.0),
        ] {
            set(place, number(reader, table, key, least..=0.99));
        }
        set(&mut self.label_delay, reader.duration(table, "label_delay", 0..=DELAY_MAX));
        self.group_by = reader.string(table, "group_by");
    }
}

impl Judge {
    fn read(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(table) = reader.table(root, "judge") else { return };
        reader.known_keys(
            table,
            &[
                "alerts_a_day",
                "review_fen",
                "replicates",
                "interval_by",
                "importance_repeats",
                "leave_out_known",
            ],
        );
        if let Some(node) = table.get("alerts_a_day") {
            set(&mut self.alerts_a_day, budgets(reader, node));
        }
        set(&mut self.review_fen, reader.integer(table, "review_fen", 0..=REVIEW_FEN_MAX));
        let replicates = reader.integer(table, "replicates", REPLICATES);
        set(&mut self.replicates, replicates.map(|count| count as usize));
        set(&mut self.interval_by, choice(reader, table, "interval_by", &INTERVALS));
        let repeats = reader.integer(table, "importance_repeats", 0..=100);
        set(&mut self.importance_repeats, repeats.map(|count| count as usize));
        set(&mut self.leave_out_known, reader.boolean(table, "leave_out_known"));
    }
}

/// Alerts a day: a number or an array of a few.
fn budgets(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Vec<usize>> {
    let wanted = ("a number of alerts, or an array of at most 8", "预警数,或至多 8 个的数组");
    let of = |node: &Node<'_>| {
        integer_of(node.get_ref()).filter(|alerts| (1..=ALERTS_MAX).contains(alerts))
    };
    let found: Option<Vec<i64>> = match node.get_ref() {
        DeValue::Array(items) if items.len() <= BUDGETS_MAX => items.iter().map(of).collect(),
        _ => of(node).map(|one| vec![one]),
    };
    match found.filter(|found| !found.is_empty()) {
        Some(found) => Some(found.into_iter().map(|alerts| alerts as usize).collect()),
        None => reader.wrong_type("alerts_a_day", node, wanted),
    }
}

/// A date of TOML or a text: a day, or a moment with its offset.
fn moment(reader: &mut Reader<'_>, key: &str, node: &Node<'_>) -> Option<Moment> {
    let text = match node.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        _ => String::new(),
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Moment::At(time.as_millisecond()));
    }
    // A civil time has no moment: which zone was meant?
    if text.len() <= "2026-01-01".len()
        && let Ok(day) = text.parse::<jiff::civil::Date>()
    {
        return Some(Moment::Day(day));
    }
    let wanted = (
        "a day such as 2026-03-01, or a time with its offset such as 2026-03-01T00:00:00+08:00",
        "日期(如 2026-03-01)或带时区的时间(如 2026-03-01T00:00:00+08:00)",
    );
    reader.wrong_type(key, node, wanted)
}

/// The number at `key` within bounds.
pub(super) fn number(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
    bounds: RangeInclusive<f64>,
) -> Option<f64> {
    let value = reader.number(table, key)?;
    if bounds.contains(value.get_ref()) {
        return Some(*value.get_ref());
    }
    let (low, high) = bounds.into_inner();
    let message = Message::new(
        format!("`{key}` is {}, outside {low} to {high}", value.get_ref()),
        format!("`{key}` 为 {},超出 {low} 至 {high}", value.get_ref()),
    );
    reader.fail("out-of-bounds", value.span(), message, None);
    None
}

/// The meaning of the word at `key`.
pub(super) fn choice<T: Copy>(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
    choices: &[(&str, T)],
) -> Option<T> {
    let text = reader.string(table, key)?;
    reader.choice(key, &text, choices)
}

pub(super) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_of_its_zone() {
        let rows = [
            ("UTC", "2018-07-25", "2018-07-25T00:00:00Z"),
            ("Asia/Shanghai", "2018-07-25", "2018-07-24T16:00:00Z"),
            ("Pacific/Kiritimati", "2018-07-25", "2018-07-24T10:00:00Z"),
            ("Pacific/Pago_Pago", "2018-07-25", "2018-07-25T11:00:00Z"),
        ];
        for (zone, day, expected) in rows {
            let day = Moment::Day(day.parse().expect("a day"));
            let expected: jiff::Timestamp = expected.parse().expect("a moment");
            let zone = Zone::new(zone).expect("a zone");
            assert_eq!(day.at(&zone), expected.as_millisecond(), "{}", zone.name());
        }
    }

    #[test]
    fn each_mistake_is_named() {
        let rows = [
            ("sed = 1", "unknown-key", Some("seed")),
            ("[model]\nkind = 'forrest'", "unknown-value", Some("forest")),
            ("[model]\ntres = 10", "unknown-key", Some("trees")),
            ("[model]\nkind = 'tree'\ntrees = 10", "unknown-key", None),
            ("[model]\ntrees = 0", "out-of-bounds", None),
            ("[model]\nlearning_rate = 1.5", "out-of-bounds", None),
            ("[model]\nclass_weight = 'balanceed'", "unknown-value", Some("balanced")),
            ("[model]\nclass_weight = 0", "out-of-bounds", None),
            ("[model]\nkind = 'logistic'\nl2 = [1, -1]", "wrong-type", None),
            ("model = []", "wrong-type", None),
            ("time_zone = 'Asia/Shanhai'", "unknown-zone", Some("Asia/Shanghai")),
            ("[features]\ninclud = '*'", "unknown-key", Some("include")),
            ("[features]\nfields = 'amount'", "unknown-value", None),
            ("[split]\nlabel_delay = '7'", "bad-duration", None),
            ("[split]\nlabel_delay = 7", "wrong-type", None),
            ("[split]\ntest_share = 1", "out-of-bounds", None),
            ("[split]\ntest_share = 0.0", "out-of-bounds", None),
            ("[split]\nvalidation_share = 0.0", "out-of-bounds", None),
            ("[split]\ntest_from = '2018-13-01'", "wrong-type", None),
            ("[split]\ntest_from = 2018-08-08T00:00:00", "wrong-type", None),
            ("[nulls]\ndefault = 'mean'", "unknown-value", None),
            ("[nulls.columns]\nx = 'medan'", "unknown-value", Some("median")),
            ("[calibration]\nmethod = 'plat'", "unknown-value", Some("platt")),
            ("[calibration]\ncross_fit = 1", "out-of-bounds", None),
            ("[judge]\nalerts_a_day = []", "wrong-type", None),
            ("[judge]\nreplicates = 1", "out-of-bounds", None),
            ("[labels]\naccounts = 'yes'", "wrong-type", None),
            (
                "[split]\ngroup_by = 'account_id'\n[target.classes]\na = ['x']\nb = ['y']",
                "parted-by-target",
                Some("leave it out"),
            ),
        ];
        for (text, code, near) in rows {
            let (_, wrong) = Config::read(Path::new("train.toml"), text);
            let codes: Vec<&str> = wrong.iter().map(|one| one.code).collect();
            assert_eq!(codes, [code], "{text}");
            let hint = wrong[0].hint.as_ref().map_or("", |hint| hint.en.as_str());
            assert!(near.is_none_or(|near| hint.contains(near)), "{text}: {hint}");
        }
    }

    /// The shipped file says of itself that it holds the defaults.
    #[test]
    fn the_documented_defaults_are_true() {
        let shipped = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/train.toml"));
        let (read, wrong) = Config::read(Path::new("train.toml"), shipped);
        assert_eq!(wrong, []);
        let zone = Zone::new("UTC").expect("a zone");
        let written = |config: &Config| super::super::written::config(config, &config.split, &zone);
        assert_eq!(written(&read), written(&Config::default()));
    }
}
