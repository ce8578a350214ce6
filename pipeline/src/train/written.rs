//! A config as it was used: every key with its value, so that the file alone says how a model was
//! made.

use std::fmt::Write as _;

use models::{CalibrationRows, ClassWeight, Trainer};
use toml::Spanned;

use super::config::{Config, INTERVALS, METHODS, Moment, NULLS, SCALES, Split};
use super::target::TargetSubject;
use crate::expr::{Zone, format_duration};

/// The config with all that was left out, and the moments that were worked out.
pub(super) fn config(config: &Config, split: &Split, zone: &Zone) -> String {
    let mut text =
        String::from("# The config of this model as it was used, every key with its value.\n");
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!("seed = {}", config.seed));
    line(format!("time_zone = {}", quoted(zone.name())));
    for model in &config.models {
        line(format!("\n[[model]]\n{}", self::model(model)));
    }
    line("\n[features]".to_owned());
    line(format!("include = {}", strings(config.include.iter().map(Spanned::get_ref))));
    line(format!("exclude = {}", strings(config.exclude.iter().map(Spanned::get_ref))));
    line(format!("fields = {}", strings(config.fields.iter().map(|field| field.name()))));
    line(format!("coded = {}", strings(config.coded.iter().map(Spanned::get_ref))));
    line(format!("\n[labels]\naccounts = {}", config.account_labels));
    if let Some(target) = &config.target {
        line(format!("\n[target]\nsubject = {}", named(&TargetSubject::ALL, target.subject)));
        if let Some(others) = target.others {
            line(format!("others = {}", quoted(&target.classes[others as usize].0)));
        }
        line(format!("labelled_acts = {}", target.labelled_acts));
        line("[target.classes]".to_owned());
        for (name, patterns) in &target.classes {
            let patterns = strings(patterns.iter().map(Spanned::get_ref));
            line(format!("{} = {patterns}", quoted(name)));
        }
    }
    line(format!("\n[split]\n{}", self::split(split, zone)));
    line(format!("\n[nulls]\ndefault = {}", named(&NULLS, config.nulls)));
    if !config.nulls_of.is_empty() {
        line("\n[nulls.columns]".to_owned());
        for (name, policy) in &config.nulls_of {
            line(format!("{} = {}", quoted(name.get_ref()), named(&NULLS, *policy)));
        }
    }
    let calibration = &config.calibration;
    line(format!("\n[calibration]\nmethod = {}", named(&METHODS, calibration.method)));
    line(format!("scale = {}", named(&SCALES, calibration.scale)));
    if let CalibrationRows::CrossFit(folds) = calibration.rows {
        line(format!("cross_fit = {folds}"));
    }
    let judge = &config.judge;
    line(format!("\n[judge]\nalerts_a_day = {:?}", judge.alerts_a_day));
    line(format!("review_fen = {}\nreplicates = {}", judge.review_fen, judge.replicates));
    line(format!("interval_by = {}", named(&INTERVALS, judge.interval_by)));
    line(format!("importance_repeats = {}", judge.importance_repeats));
    line(format!("leave_out_known = {}", judge.leave_out_known));
    text
}

fn split(split: &Split, zone: &Zone) -> String {
    let mut text = String::new();
    for (key, moment) in [
        ("train_from", split.train_from),
        ("test_from", split.test_from),
        ("test_until", split.test_until),
        ("validation_from", split.validation_from),
        ("validation_until", split.validation_until),
        ("validation_train_from", split.validation_train_from),
    ] {
        if let Some(moment) = moment {
            let moment = match moment {
                Moment::Day(day) => day.to_string(),
                Moment::At(time) => zone.moment(time),
            };
            writeln!(text, "{key} = {}", quoted(&moment)).expect("a String takes all");
        }
    }
    for (key, share) in [
        ("test_share", split.test_share),
        ("calibration_share", split.calibration_share),
        ("validation_share", split.validation_share),
        ("test_group_share", split.test_group_share),
    ] {
        writeln!(text, "{key} = {share:?}").expect("a String takes all");
    }
    let delay = quoted(&format_duration(split.label_delay));
    write!(text, "label_delay = {delay}").expect("a String takes all");
    if let Some(group_by) = &split.group_by {
        write!(text, "\ngroup_by = {}", quoted(group_by.get_ref())).expect("a String takes all");
    }
    text
}

fn model(model: &Trainer) -> String {
    match model {
        Trainer::Boosting(c) => format!(
            "kind = \"boosting\"\ntrees = {}\ndepth_max = {}\nleaf_rows_min = {}\n\
             learning_rate = {:?}\nl2 = {:?}\ncolumns_share = {:?}\nrows_share = {:?}\n\
             class_weight = {}",
            c.trees,
            c.depth_max,
            c.leaf_rows_min,
            c.learning_rate,
            c.l2,
            c.columns_share,
            c.rows_share,
            weight(c.class_weight)
        ),
        Trainer::Forest(c) => {
            let tried = c.columns_tried.map_or(String::new(), |n| format!("columns_tried = {n}\n"));
            format!(
                "kind = \"forest\"\ntrees = {}\ndepth_max = {}\nleaf_rows_min = {}\n\
                 {tried}sample_share = {:?}\nclass_weight = {}",
                c.trees,
                c.depth_max,
                c.leaf_rows_min,
                c.sample_share,
                weight(c.class_weight)
            )
        }
        Trainer::Tree(c) => format!(
            "kind = \"tree\"\ndepth_max = {}\nleaf_rows_min = {}\nclass_weight = {}",
            c.depth_max,
            c.leaf_rows_min,
            weight(c.class_weight)
        ),
        Trainer::Logistic(c) => format!(
            "kind = \"logistic\"\nl2 = {:?}\nvalidation_share = {:?}\niterations_max = {}\n\
             class_weight = {}",
            c.l2,
            c.validation_share,
            c.iterations_max,
            weight(c.class_weight)
        ),
        Trainer::Isolation(c) => {
            format!("kind = \"isolation\"\ntrees = {}\nsample_rows = {}", c.trees, c.sample_rows)
        }
    }
}

fn weight(weight: ClassWeight) -> String {
    match weight {
        ClassWeight::None => quoted("none"),
        ClassWeight::Balanced => quoted("balanced"),
        ClassWeight::Positive(weight) => format!("{weight:?}"),
    }
}

fn named<T: PartialEq>(names: &[(&str, T)], value: T) -> String {
    names.iter().find(|(_, named)| *named == value).map_or(String::new(), |(name, _)| quoted(name))
}

fn strings(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items.map(|item| quoted(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// A text as a basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What was used, read again, is what was used.
    #[test]
    fn a_config_comes_back() {
        let text = r#"
            seed = 7
            [[model]]
            kind = "logistic"
            l2 = 0.5
            [[model]]
            kind = "forest"
            columns_tried = 3
            class_weight = "balanced"
            [[model]]
            kind = "tree"
            class_weight = 4
            [[model]]
            [features]
            include = ["funds.*", "a\"b"]
            exclude = "funds.x"
            fields = []
            [split]
            test_from = 2018-08-08
            train_from = "2018-07-25T00:00:00Z"
            label_delay = "36h"
            group_by = "group_id"
            [nulls]
            default = "median"
            columns = { "funds.y" = "indicator" }
            [calibration]
            method = "isotonic"
            cross_fit = 5
            [judge]
            alerts_a_day = 50
            interval_by = "day"
        "#;
        let zone = Zone::new("UTC").expect("a zone");
        let (read, wrong) = Config::read(Path::new("t.toml"), text);
        assert_eq!(wrong, []);
        let written = config(&read, &read.split, &zone);
        let (again, wrong) = Config::read(Path::new("t.toml"), &written);
        assert_eq!(wrong, [], "{written}");
        // Spans and the kind of quotes differ; what is written does not.
        assert_eq!(config(&again, &again.split, &zone), written);
        assert_eq!((again.models, again.calibration), (read.models, read.calibration));
        assert_eq!(again.split.label_delay, read.split.label_delay);
        assert_eq!(again.split.train_from, read.split.train_from);
        assert!(written.contains("test_from = \"2018-08-08\""), "{written}");
    }
}
