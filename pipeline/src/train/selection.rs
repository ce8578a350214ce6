//! Which columns of a run a model learns from.

use arrow::datatypes::DataType;
use models::Kind;

use super::config::{Config, Field};
use crate::diagnostic::Message;
use crate::document::{Reader, Text, suggest};

/// What `split.group_by` may be beside a text feature.
const GROUP_FIELDS: [&str; 4] = ["account_id", "counterparty_id", "group_id", "packet_id"];

/// The columns that a config takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selection {
    /// Features that are numbers or truth values, in the order of the file.
    pub(super) numbers: Vec<(String, Kind)>,
    /// Text features that become columns.
    pub(super) coded: Vec<String>,
    /// Fields of the transaction.
    pub(super) fields: Vec<Field>,
    /// The field by which rows are grouped.
    pub(super) group_field: Option<&'static str>,
    /// The feature by which rows are grouped.
    pub(super) group_feature: Option<String>,
    /// Text features that a pattern matches and that no model can read.
    pub(super) texts: Vec<String>,
}

impl Selection {
    /// Whether a column of features.parquet is read.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.numbers.iter().any(|(number, _)| number == name)
            || self.coded.iter().any(|coded| coded == name)
            || self.group_feature.as_deref() == Some(name)
    }

    /// Chooses among the features of a run, or says what of the config is not among them.
    pub(super) fn new(
        config: &Config,
        features: &[(String, DataType)],
        reader: &mut Reader<'_>,
    ) -> Selection {
        let mut selection = Selection { fields: config.fields.clone(), ..Selection::default() };
        let names = || features.iter().map(|(name, _)| name.as_str());
        for pattern in config.include.iter().chain(&config.exclude) {
            if !names().any(|name| matches(pattern.get_ref(), name)) {
                unknown(reader, pattern, names());
            }
        }
        let any = |patterns: &[Text], name: &str| {
            patterns.iter().any(|pattern| matches(pattern.get_ref(), name))
        };
        for (name, of) in features {
            if !any(&config.include, name) || any(&config.exclude, name) {
                continue;
            }
            match kind(of) {
                Some(kind) => selection.numbers.push((name.clone(), kind)),
                None => selection.text(config, name, reader),
            }
        }
        for text in &config.coded {
            match features.iter().find(|(name, _)| name == text.get_ref()) {
                None => unknown(reader, text, names()),
                Some((name, of)) if kind(of).is_some() => {
                    let message = Message::new(
                        format!("`{name}` is no text: it is read as it is"),
                        format!("`{name}` 不是文本,可直接使用"),
                    );
                    reader.fail("not-text", text.span(), message, None);
                }
                Some((name, _)) => selection.coded.push(name.clone()),
            }
        }
        for (name, _) in &config.nulls_of {
            let is_field = name.get_ref() == Field::Amount.name();
            let known = |(number, _): &(String, Kind)| number == name.get_ref();
            if !is_field && !selection.numbers.iter().any(known) {
                let inputs = selection.numbers.iter().map(|(name, _)| name.as_str());
                let inputs: Vec<String> = inputs.map(str::to_owned).collect();
                unknown(reader, name, inputs.iter().map(String::as_str));
            }
        }
        if let Some(group_by) = &config.split.group_by {
            selection.group(group_by, features, reader);
        }
        selection
    }

    /// A text that is taken: by its own name it is a mistake, by a pattern it is left out.
    fn text(&mut self, config: &Config, name: &str, reader: &mut Reader<'_>) {
        if config.coded.iter().any(|coded| coded.get_ref() == name) {
            return;
        }
        let Some(exact) = config.include.iter().find(|pattern| pattern.get_ref() == name) else {
            self.texts.push(name.to_owned());
            return;
        };
        let message = Message::new(
            format!("`{name}` is a text, which no model can read"),
            format!("`{name}` 是文本,模型无法直接使用"),
        );
        let hint = Message::new(
            "if it has only a few values, name it in features.coded: each becomes a column",
            "若只有少数取值,请写入 features.coded:每个取值成为一列",
        );
        reader.fail("text-input", exact.span(), message, Some(hint));
    }

    fn group(&mut self, group_by: &Text, features: &[(String, DataType)], reader: &mut Reader<'_>) {
        let name = group_by.get_ref().as_str();
        self.group_field = GROUP_FIELDS.into_iter().find(|field| *field == name);
        if self.group_field.is_some() {
            return;
        }
        match features.iter().find(|(feature, _)| feature == name) {
            Some((_, of)) if kind(of).is_none() => self.group_feature = Some(name.to_owned()),
            Some(_) => {
                let message = Message::new(
                    format!("`{name}` is a number; groups have names"),
                    format!("`{name}` 是数值;分组需要名称"),
                );
                reader.fail("not-text", group_by.span(), message, None);
            }
            None => {
                let texts = features.iter().filter(|(_, of)| kind(of).is_none());
                let texts = texts.map(|(name, _)| name.as_str());
                unknown(reader, group_by, texts.chain(GROUP_FIELDS));
            }
        }
    }
}

/// Whether a name is as the pattern, in which `*` stands for any characters.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = others.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // Each part as early as it can be leaves most to the others.
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What a column becomes; none for texts.
fn kind(of: &DataType) -> Option<Kind> {
    match of {
        DataType::Int64 => Some(Kind::Integer),
        DataType::Float64 => Some(Kind::Double),
        DataType::Boolean => Some(Kind::Bool),
        _ => None,
    }
}

fn unknown<'n>(reader: &mut Reader<'_>, name: &Text, names: impl Iterator<Item = &'n str>) {
    let what = name.get_ref();
    let message = Message::new(
        format!("no feature of this run is `{what}`"),
        format!("该运行没有特征 `{what}`"),
    );
    let hint = suggest(what, names).or_else(|| {
        Message::new(
            "features.parquet has the features of the run's rules; a new one wants a backtest first",
            "features.parquet 只含该运行的特征;新特征需先重新回测",
        )
        .into()
    });
    reader.fail("unknown-feature", name.span(), message, hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let rows = [
            ("*", "a.b", true),
            ("funds.*", "funds.payee.fan_in_24h", true),
            ("funds.*", "behaviour.funds.x", false),
            ("*_24h", "funds.payee.fan_in_24h", true),
            ("*_24h", "funds.payee.fan_in_24h_more", false),
            ("funds.*.fan_*_24h", "funds.payee.fan_in_24h", true),
            ("funds", "funds.x", false),
            ("a*a", "a", false),
            ("*é*", "é", true),
            ("a*b*ab", "abab", true),
            ("a*ab*ab", "abab", false),
            (&"*a".repeat(40), &("a".repeat(60) + "b"), false),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
