//! From the text of `features.toml` to declarations; every mistake is found, not only the first.

mod carried;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use models::AnyModel;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Agg, Body, Declaration, FEATURE_KEYS, WINDOW_MS_MAX, Window, Windowed};
use crate::diagnostic::{Diagnostic, Message};
use crate::document::{Reader, Text, suggest};
use crate::event::{AMOUNT_FEN, FIELDS, Kind, KindSet, Schema, Type};
use crate::expr;
use crate::features::learnt::{Gives, Learnt};
use crate::features::plan::{CLUSTER_ID, Source};
use crate::features::state::QUANTILE_UNIT;

/// The keys that only a windowed feature has.
const WINDOWED_KEYS: &[&str] =
    &["over", "where", "key", "at", "agg", "field", "q", "window", "include_current", "approx"];

/// What a file declares.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// The features without a mistake, in the order of the text.
    pub list: Vec<Declaration>,
    /// The names of those with one: a rule that uses them has no mistake of its own.
    pub broken: Vec<String>,
}

/// Reads the declarations of a file, and everything that is wrong with them.
pub fn read(file: &Path, text: &str, schema: &Schema) -> (Declarations, Vec<Diagnostic>) {
    read_as(file, text, schema, false)
}

/// Reads what the program itself declares, with all that only it may say.
pub(crate) fn read_built_in(
    file: &Path,
    text: &str,
    schema: &Schema,
) -> (Declarations, Vec<Diagnostic>) {
    read_as(file, text, schema, true)
}

fn read_as(
    file: &Path,
    text: &str,
    schema: &Schema,
    built_in: bool,
) -> (Declarations, Vec<Diagnostic>) {
    let (reader, found) = (Reader::new(file, text), Declarations::default());
    let directory = file.parent().unwrap_or(Path::new(""));
    let mut parser = Parser { reader, directory, schema, built_in, found };
    let root = parser.reader.parse();
    parser.walk(root.get_ref(), "", false);
    parser.found.list.sort_by_key(|declaration| declaration.span.start);
    (parser.found, parser.reader.finish())
}

struct Parser<'p> {
    reader: Reader<'p>,
    /// That of the file, from which paths of models count.
    directory: &'p Path,
    schema: &'p Schema,
    /// Whether the program itself declares: then a window may be "ever".
    built_in: bool,
    found: Declarations,
}

fn is_ever(window: &Spanned<DeValue<'_>>) -> bool {
    matches!(window.get_ref(), DeValue::String(text) if text == "ever")
}

impl<'p> Parser<'p> {
    /// A table with a value of its own is a feature; the tables in it are looked into as well.
    /// `told` says that something is wrong with the feature that `table` is.
    fn walk(&mut self, table: &DeTable<'p>, path: &str, told: bool) {
        for (key, node) in table {
            let part: &str = key.get_ref();
            let DeValue::Table(inner) = node.get_ref() else {
                if path.is_empty() {
                    self.outside(part, key.span());
                }
                continue;
            };
            let name = if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
            if !path.is_empty() && FEATURE_KEYS.contains(&part) {
                // Of a feature that is wrong this may be said already: a key of another type.
                if !told {
                    self.named_as_key(part, key.span());
                }
                self.break_all(inner, &name);
                continue;
            }
            let own = |value: &Spanned<DeValue<'_>>| !matches!(value.get_ref(), DeValue::Table(_));
            let before = self.reader.count();
            if inner.is_empty() || inner.values().any(own) {
                self.feature(&name, key.span(), inner);
            }
            let told = self.reader.count() > before;
            self.walk(inner, &name, told);
        }
    }

    fn named_as_key(&mut self, key: &str, span: Range<usize>) {
        let message = Message::new(
            format!("`{key}` is a key of every feature, and no part of a feature's name"),
            format!("`{key}` 是特征的键,不能作为特征名称的一部分"),
        );
        let hint = Message::new(
            format!("take a longer name, such as `{key}_24h`"),
            format!("请改用更长的名称,例如 `{key}_24h`"),
        );
        self.reader.fail("bad-feature-name", span, message, Some(hint));
    }

    /// What would be called so, and all in it, are features with a mistake.
    fn break_all(&mut self, table: &DeTable<'p>, name: &str) {
        for (key, node) in table {
            if let DeValue::Table(inner) = node.get_ref() {
                self.break_all(inner, &format!("{name}.{}", key.get_ref()));
            }
        }
        self.found.broken.push(name.to_owned());
    }

    fn outside(&mut self, key: &str, span: Range<usize>) {
        let message = Message::new(
            format!("`{key}` stands outside of any feature"),
            format!("`{key}` 不在任何特征之内"),
        );
        let hint = Message::new(
            "a feature is a table named by its dimension and name, such as [behaviour.claims_10m]",
            "特征是以维度和名称命名的表,例如 [behaviour.claims_10m]",
        );
        self.reader.fail("key-outside-feature", span, message, Some(hint));
    }

    fn feature(&mut self, name: &str, span: Range<usize>, table: &DeTable<'p>) {
        self.check_name(name, &span);
        let features: Vec<&str> = FEATURE_KEYS.to_vec();
        for (key, value) in table {
            let part: &str = key.get_ref();
            if !features.contains(&part) && !matches!(value.get_ref(), DeValue::Table(_)) {
                let message =
                    Message::new(format!("unknown key `{part}`"), format!("未知的键 `{part}`"));
                let hint = suggest(part, features.iter().copied());
                self.reader.fail("unknown-key", key.span(), message, hint);
            }
        }
        let before = self.reader.count();
        let mut text = |key| self.reader.string(table, key).map(Spanned::into_inner);
        let (doc, doc_zh) = (text("doc"), text("doc_zh"));
        let (unit, misleads) = (text("unit"), text("misleads"));
        let body = if table.contains_key("expr") {
            self.computed(table, "expr")
        } else if table.contains_key("model") {
            self.computed(table, "model")
        } else {
            self.windowed(table, &span).map(Body::Windowed)
        };
        match body {
            Some(body) if self.reader.count() == before => self.found.list.push(Declaration {
                name: name.to_owned(),
                span,
                body,
                doc: doc.unwrap_or_default(),
                doc_zh: doc_zh.unwrap_or_default(),
                unit: unit.unwrap_or_default(),
                misleads: misleads.unwrap_or_default(),
            }),
            _ => self.found.broken.push(name.to_owned()),
        }
    }

    fn check_name(&mut self, name: &str, span: &Range<usize>) {
        if !name.contains('.') {
            let message = Message::new(
                format!("the feature `{name}` has no dimension"),
                format!("特征 `{name}` 没有维度"),
            );
            let hint = Message::new(
                format!("put behaviour, funds, text or devices before it: [behaviour.{name}]"),
                format!("在前面加上 behaviour、funds、text 或 devices:[behaviour.{name}]"),
            );
            self.reader.fail("no-dimension", span.clone(), message, Some(hint));
        }
        let last = name.rsplit('.').next().unwrap_or(name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !last.chars().all(plain) || last.starts_with(|c: char| c.is_ascii_digit()) {
            let message = Message::new(
                format!("`{last}` cannot be part of a feature's name"),
                format!("`{last}` 不能作为特征名称的一部分"),
            );
            let hint = Message::new(
                "use a-z, 0-9 and _, beginning with a letter",
                "使用 a-z、0-9 和 _,以字母开头",
            );
            self.reader.fail("bad-feature-name", span.clone(), message, Some(hint));
        }
    }

    /// A value of the transaction alone, which `by` computes.
    fn computed(&mut self, table: &DeTable<'p>, by: &str) -> Option<Body> {
        for (key, node) in table {
            let name: &str = key.get_ref();
            let of_other =
                WINDOWED_KEYS.contains(&name) && !matches!(node.get_ref(), DeValue::Table(_));
            if of_other || (by == "expr" && ["model", "gives"].contains(&name)) {
                self.meaningless(name, by, key.span());
            }
        }
        if by == "model" {
            return self.learnt(table);
        }
        let (source, span) = self.expression(table, "expr")?;
        Some(Body::Expr { source, span })
    }

    /// A model that can be read, with what it gives.
    fn learnt(&mut self, table: &DeTable<'p>) -> Option<Body> {
        let path = self.reader.string(table, "model")?;
        let given = match self.reader.string(table, "gives") {
            Some(text) => {
                let choices = [Gives::Score, Gives::Class].map(|gives| (gives.name(), gives));
                self.reader.choice("gives", &text, &choices)?
            }
            None => Gives::Score,
        };
        let model = match AnyModel::load(&self.directory.join(path.get_ref())) {
            Ok(model) => Arc::new(model),
            Err(error) => {
                let message = Message::new(
                    format!("cannot use the model: {error}"),
                    format!("无法使用该模型:{error}"),
                );
                self.reader.fail("bad-model", path.span(), message, None);
                return None;
            }
        };
        if given == Gives::Class && matches!(*model, AnyModel::Score(_)) {
            let message =
                Message::new("this model gives a score and no class", "该模型只给出分数,没有类别");
            self.reader.fail("no-classes", path.span(), message, None);
            return None;
        }
        let hash = model.hash();
        Some(Body::Learnt { learnt: Learnt { model, hash, gives: given }, span: path.span() })
    }

    /// An expression of correct syntax, and where its literal stands.
    fn expression(&mut self, table: &DeTable<'p>, key: &str) -> Option<(String, Range<usize>)> {
        let text = self.reader.string(table, key)?;
        if let Err(errors) = expr::parse(text.get_ref()) {
            self.reader.fail_expression(&text.span(), errors);
            return None;
        }
        let span = text.span();
        Some((text.into_inner(), span))
    }

    fn windowed(&mut self, table: &DeTable<'p>, span: &Range<usize>) -> Option<Windowed> {
        if !table.contains_key("agg") {
            let message = Message::new(
                "a feature needs `agg`, or for a value of the transaction alone `expr` or `model`",
                "特征需要 `agg`;只取决于交易自身的值用 `expr` 或 `model`",
            );
            self.reader.fail("missing-key", span.clone(), message, None);
        } else {
            self.reader.required_keys(table, span.clone(), &["over", "key", "window"]);
        }
        let over = self.kinds(table);
        let where_ = match table.contains_key("where") {
            true => Some(self.expression(table, "where")),
            false => None,
        };
        let key = self.fields(table, "key");
        let at = match table.contains_key("at") {
            true => self.lookups(table, key.as_deref()),
            false => key.clone(),
        };
        let agg = self.agg(table, span);
        let window = self.window(table);
        let include_current = self.include_current(table, agg.as_ref());
        // Whoever says so would take an approximate value; every window is exact all the same.
        self.reader.boolean(table, "approx");
        let where_ = match where_ {
            Some(condition) => Some(condition?),
            None => None,
        };
        let windowed = Windowed {
            over: over?,
            where_,
            key: key?,
            at: at?,
            agg: agg?,
            window: window?,
            include_current: include_current?,
        };
        self.check_carried(table, &windowed).map(|()| windowed)
    }

    fn kinds(&mut self, table: &DeTable<'p>) -> Option<KindSet> {
        let names = self.names(table, "over")?;
        let choices: Vec<(&str, Kind)> =
            Kind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
        let kinds: Vec<Option<Kind>> =
            names.iter().map(|name| self.reader.choice("over", name, &choices)).collect();
        kinds.into_iter().collect()
    }

    /// The array of names at `key`, which must hold one at least.
    fn names(&mut self, table: &DeTable<'p>, key: &str) -> Option<Vec<Text>> {
        let node = table.get(key)?;
        if matches!(node.get_ref(), DeValue::Array(items) if items.is_empty()) {
            let message = Message::new(format!("`{key}` is empty"), format!("`{key}` 为空"));
            self.reader.fail("empty", node.span(), message, None);
        }
        self.reader.strings(table, key).filter(|names| !names.is_empty())
    }

    fn fields(&mut self, table: &DeTable<'p>, key: &str) -> Option<Vec<String>> {
        let names = self.names(table, key)?;
        let known: Vec<bool> = names.iter().map(|name| self.field(name).is_some()).collect();
        let fields = names.into_iter().map(Spanned::into_inner).collect();
        known.into_iter().all(|known| known).then_some(fields)
    }

    fn lookups(&mut self, table: &DeTable<'p>, key: Option<&[String]>) -> Option<Vec<String>> {
        let at = self.fields(table, "at")?;
        let key = key?;
        if at.len() != key.len() {
            let message = Message::new(
                format!("`at` has {} fields and `key` {}", at.len(), key.len()),
                format!("`at` 有 {} 个字段,而 `key` 有 {} 个", at.len(), key.len()),
            );
            let hint = Message::new(
                "each field of `at` looks up the field of `key` in the same place",
                "`at` 的每个字段与 `key` 同一位置的字段对应",
            );
            self.reader.fail("key-and-at-differ", table.get("at")?.span(), message, Some(hint));
            return None;
        }
        let kind = |name: &String| Some(Source::find(self.schema, name)?.kind(self.schema));
        let differ = key.iter().zip(&at).find(|(key, at)| kind(key) != kind(at));
        if let Some((key, at)) = differ {
            let (key_kind, at_kind) = (kind(key)?, kind(at)?);
            let message = Message::new(
                format!(
                    "`{at}` is {} and looks up `{key}`, which is {}",
                    at_kind.with_article(),
                    key_kind.with_article()
                ),
                format!("`{at}` 的类型是 {at_kind},而它对应的 `{key}` 是 {key_kind}"),
            );
            let hint = Message::new(
                "values of different types are never equal: nothing would be found",
                "不同类型的值永不相等:什么也查不到",
            );
            self.reader.fail("key-and-at-differ", table.get("at")?.span(), message, Some(hint));
            return None;
        }
        Some(at)
    }

    fn meaningless(&mut self, key: &str, beside: &str, span: Range<usize>) {
        let message = Message::new(
            format!("`{key}` has no meaning beside `{beside}`"),
            format!("`{key}` 与 `{beside}` 一起没有意义"),
        );
        self.reader.fail("meaningless-key", span, message, None);
    }

    /// The type of a field's values, or a note that there is no such field.
    fn field(&mut self, name: &Text) -> Option<Type> {
        if let Some(source) = Source::find(self.schema, name.get_ref()) {
            return Some(source.kind(self.schema));
        }
        let known = self.schema.fields().iter().map(|field| field.name.as_str());
        let hint = suggest(name.get_ref(), known.chain(["payer_id", "payee_id", CLUSTER_ID]));
        let name_ = name.get_ref();
        let message =
            Message::new(format!("`{name_}` is not a field"), format!("`{name_}` 不是字段"));
        self.reader.fail("unknown-field", name.span(), message, hint);
        None
    }

    fn window(&mut self, table: &DeTable<'p>) -> Option<Window> {
        if let Some(DeValue::String(text)) = table.get("window").map(Spanned::get_ref)
            && text == "day"
        {
            return Some(Window::Day);
        }
        if self.built_in && table.get("window").is_some_and(is_ever) {
            return Some(Window::Forever);
        }
        self.reader.duration(table, "window", 1..=WINDOW_MS_MAX).map(Window::Span)
    }

    fn include_current(&mut self, table: &DeTable<'p>, agg: Option<&Agg>) -> Option<bool> {
        let others_only = matches!(agg, Some(Agg::SinceLast | Agg::RatioToMean));
        if !table.contains_key("include_current") {
            return Some(!others_only);
        }
        let include = self.reader.boolean(table, "include_current")?;
        if include && others_only {
            let message = Message::new(
                "this aggregate compares the transaction with the events before it",
                "该聚合把交易与它之前的事件相比较",
            );
            let hint = Message::new("leave `include_current` out", "去掉 `include_current`");
            let span = table.get("include_current")?.span();
            self.reader.fail("includes-itself", span, message, Some(hint));
        }
        Some(include)
    }

    fn agg(&mut self, table: &DeTable<'p>, span: &Range<usize>) -> Option<Agg> {
        let name = self.reader.string(table, "agg")?;
        if self.built_in && name.get_ref() == "since_first" {
            return Some(Agg::SinceFirst);
        }
        let form = self.reader.choice("agg", &name, &FORMS)?;
        if !matches!(form, Form::Quantile)
            && let Some((key, _)) = table.get_key_value("q")
        {
            self.meaningless("q", name.get_ref(), key.span());
        }
        let agg = match form {
            Form::Whole(agg) => {
                if let Some((key, _)) = table.get_key_value("field") {
                    self.meaningless("field", name.get_ref(), key.span());
                }
                agg()
            }
            Form::Number(agg) => agg(self.number_field(table)?),
            Form::Any(agg) => agg(self.any_field(table, span)?.into_inner()),
            Form::Kept(agg) => {
                let field = self.any_field(table, span)?;
                self.refuse_cluster(&field)?;
                agg(field.into_inner())
            }
            Form::Quantile => {
                let field = self.number_field(table);
                let q = self.quantile(table, span);
                Agg::Quantile(field?, q?)
            }
            Form::Entropy => self.entropy(table, span)?,
        };
        Some(agg)
    }

    /// A field of integers; the amount where none is named.
    fn number_field(&mut self, table: &DeTable<'p>) -> Option<String> {
        if !table.contains_key("field") {
            return Some(FIELDS[AMOUNT_FEN.index()].0.to_owned());
        }
        let field = self.reader.string(table, "field")?;
        self.integer_field(&field)?;
        Some(field.into_inner())
    }

    fn integer_field(&mut self, field: &Text) -> Option<()> {
        let kind = self.field(field)?;
        if kind == Type::Int {
            return Some(());
        }
        let name = field.get_ref();
        let message = Message::new(
            format!("`{name}` is {}, and this aggregate needs an int", kind.with_article()),
            format!("`{name}` 的类型是 {kind},该聚合需要 int"),
        );
        self.reader.fail("aggregate-needs-int", field.span(), message, None);
        None
    }

    fn any_field(&mut self, table: &DeTable<'p>, span: &Range<usize>) -> Option<Text> {
        self.reader.required_keys(table, span.clone(), &["field"]);
        let field = self.reader.string(table, "field")?;
        self.field(&field)?;
        Some(field)
    }

    /// Clusters are counted and told apart; no event has the text of one to be kept.
    fn refuse_cluster(&mut self, field: &Text) -> Option<()> {
        if field.get_ref() != CLUSTER_ID {
            return Some(());
        }
        let message = Message::new(
            format!("`{CLUSTER_ID}` can be counted, but not kept"),
            format!("`{CLUSTER_ID}` 可以计数,但不能保留其值"),
        );
        let hint = Message::new(
            "count it with `distinct`, `top_share` or `entropy`, or put it in `key`",
            "用 `distinct`、`top_share` 或 `entropy` 计数,或放入 `key`",
        );
        self.reader.fail("cluster-not-kept", field.span(), message, Some(hint));
        None
    }

    fn quantile(&mut self, table: &DeTable<'p>, span: &Range<usize>) -> Option<f64> {
        self.reader.required_keys(table, span.clone(), &["q"]);
        let q = self.reader.number(table, "q")?;
        if (0.0..=1.0).contains(q.get_ref()) {
            let units = q.get_ref() * QUANTILE_UNIT as f64;
            if units.round() / QUANTILE_UNIT as f64 == *q.get_ref() {
                return Some(q.into_inner());
            }
            let message = Message::new(
                "`q` has more than six digits after the point",
                "`q` 的小数位数超过六位",
            );
            self.reader.fail("out-of-bounds", q.span(), message, None);
            return None;
        }
        let message = Message::new("`q` is not between 0 and 1", "`q` 不在 0 与 1 之间");
        self.reader.fail("out-of-bounds", q.span(), message, None);
        None
    }

    /// `field` or `field % n`.
    fn entropy(&mut self, table: &DeTable<'p>, span: &Range<usize>) -> Option<Agg> {
        self.reader.required_keys(table, span.clone(), &["field"]);
        let text = self.reader.string(table, "field")?;
        let Some((field, divisor)) = text.get_ref().split_once('%') else {
            self.field(&text)?;
            return Some(Agg::Entropy(text.into_inner(), None));
        };
        let field = Spanned::new(text.span(), field.trim().to_owned());
        let divisor = divisor.trim().parse::<i64>().ok().filter(|divisor| *divisor >= 2);
        if divisor.is_none() {
            let message = Message::new(
                "after % stands no integer of 2 or more",
                "% 之后不是大于等于 2 的整数",
            );
            let hint = Message::new("such as \"amount_fen % 100\"", "例如 \"amount_fen % 100\"");
            self.reader.fail("bad-divisor", text.span(), message, Some(hint));
        }
        self.integer_field(&field)?;
        Some(Agg::Entropy(field.into_inner(), Some(divisor?)))
    }
}

/// What an aggregate needs besides its name.
#[derive(Clone, Copy)]
enum Form {
    /// Nothing.
    Whole(fn() -> Agg),
    /// A field of integers.
    Number(fn(String) -> Agg),
    /// A field of any type.
    Any(fn(String) -> Agg),
    /// A field of any type whose value is kept.
    Kept(fn(String) -> Agg),
    /// A field of integers and `q`.
    Quantile,
    /// A field of any type, or the remainder of one of integers.
    Entropy,
}

const FORMS: [(&str, Form); 14] = [
    ("count", Form::Whole(|| Agg::Count)),
    ("sum", Form::Number(Agg::Sum)),
    ("min", Form::Number(Agg::Min)),
    ("max", Form::Number(Agg::Max)),
    ("first", Form::Kept(Agg::First)),
    ("last", Form::Kept(Agg::Last)),
    ("mean", Form::Number(Agg::Mean)),
    ("stddev", Form::Number(Agg::Stddev)),
    ("distinct", Form::Any(Agg::Distinct)),
    ("quantile", Form::Quantile),
    ("since_last", Form::Whole(|| Agg::SinceLast)),
    ("ratio_to_mean", Form::Whole(|| Agg::RatioToMean)),
    ("top_share", Form::Any(Agg::TopShare)),
    ("entropy", Form::Entropy),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Declarations, Vec<Diagnostic>) {
        super::read(Path::new("features.toml"), text, &Schema::default())
    }

    #[test]
    fn what_is_written_is_declared() {
        let (found, wrong) = read(
            r#"
            [funds.payee.fan_in_24h]
            over = ["claim", "transfer"]
            where = "amount_fen >= 100"
            key = ["payee_id"]
            agg = "sum"
            window = "24h"
            unit = "yuan"
            [behaviour.tail]
            over = "claim"
            key = "account_id"
            at = ["payer_id"]
            agg = "entropy"
            field = "amount_fen % 100"
            window = "day"
            [behaviour.night]
            expr = "hour(event_time) < 6"
            "#,
        );
        assert_eq!(wrong, []);
        let names: Vec<&str> = found.list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["funds.payee.fan_in_24h", "behaviour.tail", "behaviour.night"]);
        let Body::Windowed(fan_in) = &found.list[0].body else { panic!("it has a window") };
        assert_eq!(fan_in.agg, Agg::Sum("amount_fen".to_owned()));
        assert_eq!((fan_in.window, fan_in.include_current), (Window::Span(86_400_000), true));
        assert_eq!(fan_in.at, fan_in.key);
        let Body::Windowed(tail) = &found.list[1].body else { panic!("it has a window") };
        assert_eq!(tail.agg, Agg::Entropy("amount_fen".to_owned(), Some(100)));
        assert_eq!((tail.window, tail.at[0].as_str()), (Window::Day, "payer_id"));
    }

    /// A table whose only mistake is the row's, and what is said of it.
    #[test]
    fn each_mistake_is_named() {
        let whole = "over = ['claim']\nkey = ['account_id']\nagg = 'count'\nwindow = '1h'\n";
        let rows = [
            ("x = 1", "", "unknown-key"),
            ("wehre = 'true'", "", "unknown-key"),
            ("over = ['claims']", "over", "unknown-value"),
            ("over = []", "over", "empty"),
            ("over = [1]", "over", "wrong-type"),
            ("key = ['acount_id']", "key", "unknown-field"),
            ("at = ['payer_id', 'payee_id']", "", "key-and-at-differ"),
            ("at = ['amount_fen']", "", "key-and-at-differ"),
            ("agg = 'cuont'", "agg", "unknown-value"),
            ("agg = 'sum'\nfield = 'text'", "agg", "aggregate-needs-int"),
            ("agg = 'sum'\nq = 0.5", "agg", "meaningless-key"),
            ("field = 'text'", "", "meaningless-key"),
            ("agg = 'distinct'", "agg", "missing-key"),
            ("agg = 'quantile'", "agg", "missing-key"),
            ("agg = 'quantile'\nq = 2", "agg", "out-of-bounds"),
            ("agg = 'quantile'\nq = 0.3333334", "agg", "out-of-bounds"),
            ("agg = 'entropy'\nfield = 'amount_fen % 1'", "agg", "bad-divisor"),
            ("agg = 'entropy'\nfield = 'text % 10'", "agg", "aggregate-needs-int"),
            ("agg = 'since_last'\ninclude_current = true", "agg", "includes-itself"),
            ("window = '91d'", "window", "bad-duration"),
            ("window = '0s'", "window", "bad-duration"),
            ("window = 'week'", "window", "bad-duration"),
            ("where = '1 +'", "", "unexpected-end"),
            ("approx = 1", "", "wrong-type"),
            ("expr = '1'", "", "meaningless-key"),
            ("key = ['clustr_id']", "key", "unknown-field"),
            ("agg = 'last'\nfield = 'cluster_id'", "agg", "cluster-not-kept"),
            ("agg = 'sum'\nfield = 'cluster_id'", "agg", "aggregate-needs-int"),
        ];
        for (line, instead, code) in rows {
            let kept = whole
                .lines()
                .filter(|held| instead.is_empty() || !held.starts_with(&format!("{instead} ")));
            let body: Vec<&str> = kept.chain([line]).collect();
            let (found, wrong) = read(&format!("[behaviour.x]\n{}\n", body.join("\n")));
            let codes: Vec<&str> = wrong.iter().map(|one| one.code).collect();
            assert!(!codes.is_empty(), "{line}: nothing found");
            assert!(codes.iter().all(|found| *found == code), "{line}: {codes:?}");
            assert!(found.list.is_empty() || code == "unknown-key", "{line}");
        }
    }

    #[test]
    fn a_feature_that_may_be_approximate_is_the_exact_one() {
        let text =
            "[behaviour.x]\nover = ['claim']\nkey = ['account_id']\nagg = 'count'\nwindow = '1h'\n";
        let (exact, _) = read(text);
        let (found, wrong) = read(&format!("{text}approx = true\n"));
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(format!("{:?}", found.list), format!("{:?}", exact.list));
    }

    #[test]
    fn all_mistakes_come_at_once_with_their_places() {
        let text = "loose = 1\n[claims]\nagg = 'count'\n[behaviour.Bad-Name]\nexpr = 'true &&'\n";
        let (found, wrong) = read(text);
        let said: Vec<(&str, &str)> =
            wrong.iter().map(|one| (one.code, &text[one.span.clone().unwrap()])).take(6).collect();
        assert_eq!(said[0], ("key-outside-feature", "loose"));
        assert!(said.contains(&("no-dimension", "claims")));
        assert!(said.contains(&("bad-feature-name", "Bad-Name")));
        assert_eq!(found.broken.len(), 2);
    }
}
