//! Models at work: read from a file, held to the catalogue of features, and bound to where the
//! values of their inputs are.
//!
//! A model reads features and fields by name. It is refused where a name is not there, or is
//! computed otherwise than when the model was trained, or hangs on earlier decisions: all of these
//! are named, and nothing runs.

mod reason;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use models::onnx::{OPERATIONS, OnnxError, OnnxModel};
use models::{AnyModel, ArtefactError, Input, Model, Scale};

use crate::diagnostic::{Diagnostic, Failure, Message};
use crate::event::Schema;
use crate::expr::Unit;
use crate::features::catalogue::coded;
use crate::features::kept::OUTCOME;
pub use crate::features::learnt::kind;
use crate::features::{Catalogue, Features, SlotSource};
use crate::rules::blend::Blend;

/// A model as its file has it.
#[derive(Debug)]
pub struct Artefact {
    path: PathBuf,
    form: Form,
    /// What it reads, as its file names it.
    names: Vec<String>,
    hash: String,
}

#[derive(Debug)]
enum Form {
    /// Made by `hongxian train`.
    Trained(Box<Model>),
    /// Made elsewhere.
    Onnx(OnnxModel),
}

/// The models of a run.
#[derive(Clone, Debug, Default)]
pub struct Artefacts {
    /// The one that decides with the rules.
    pub champion: Option<Arc<Artefact>>,
    /// One that is watched beside it.
    pub challenger: Option<Arc<Artefact>>,
}

/// A model with the places of its inputs.
#[derive(Clone, Debug)]
pub struct Bound {
    artefact: Arc<Artefact>,
    inputs: Vec<Bind>,
    /// The computed features that inputs rest on, by place.
    pub(crate) computed: Vec<usize>,
}

/// Where the value of an input is.
#[derive(Clone, Debug)]
pub(crate) struct Bind {
    /// The name in the catalogue, with the value of a coded column.
    pub(crate) name: String,
    pub(crate) source: SlotSource,
    /// For a coded column, the text for which it is 1.
    pub(crate) coded: Option<String>,
    /// The place among the columns of `features.parquet`; fields have none.
    pub(crate) column: Option<usize>,
    /// How a person reads it.
    unit: Unit,
}

/// The models of a run, bound to the features of its rules.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// The one that decides with the rules.
    pub champion: Option<Bound>,
    /// One that is watched beside it.
    pub challenger: Option<Bound>,
}

impl Artefact {
    /// Reads a directory of `hongxian train`, its `model.json`, or an ONNX file.
    pub fn load(path: &Path) -> Result<Artefact, Failure> {
        let is_onnx = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"));
        let (form, names, hash) = if is_onnx {
            let model = OnnxModel::load(path).map_err(|error| no_model(path, onnx_said(&error)))?;
            let names =
                model.feature_names(None).map_err(|error| no_model(path, onnx_said(&error)))?;
            let hash = model.hash().to_owned();
            (Form::Onnx(model), names, hash)
        } else {
            let model = match AnyModel::load(path).map_err(|error| no_model(path, said(&error)))? {
                AnyModel::Score(model) => *model,
                AnyModel::Classes(classes) => {
                    return Err(no_model(path, of_classes(classes.names())));
                }
            };
            let names = model.inputs().iter().map(|input| input.name.clone()).collect();
            let hash = model.hash();
            (Form::Trained(Box::new(model)), names, hash)
        };
        Ok(Artefact { path: path.to_owned(), form, names, hash })
    }

    /// The file as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its hash, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The trained model; none for one that was made elsewhere.
    pub fn trained(&self) -> Option<&Model> {
        match &self.form {
            Form::Trained(model) => Some(model),
            Form::Onnx(_) => None,
        }
    }

    /// What scores say; an ONNX model's are probabilities.
    pub fn scale(&self) -> Scale {
        self.trained().map_or(Scale::Probability, Model::scale)
    }

    /// How many inputs it reads.
    pub fn inputs(&self) -> usize {
        self.names.len()
    }

    /// The scores of rows, by columns in the order of the inputs; none where it has no answer.
    pub(crate) fn scores(&self, columns: &[&[f64]]) -> Vec<Option<i64>> {
        match &self.form {
            Form::Trained(model) => {
                let raw = model.raw_columns(columns);
                raw.into_iter().map(|raw| Some(model.levels().score(raw))).collect()
            }
            Form::Onnx(model) => model.scores(columns),
        }
    }

    /// Asks the catalogue to have what the model reads computed.
    pub fn ask(&self, catalogue: &Catalogue) {
        for name in &self.names {
            let (name, _) = coded(name);
            let spelt = match &self.form {
                Form::Trained(_) => Some(name),
                Form::Onnx(_) => catalogue.name_with_dots(name),
            };
            spelt.into_iter().for_each(|name| catalogue.ask(name));
        }
    }

    /// Everything that keeps the model from reading these features and from deciding by its score
    /// as `blend` says.
    pub fn check(&self, features: &Features, blend: Blend) -> Vec<Diagnostic> {
        let odd = self.scale() == Scale::Anomaly && blend != Blend::Rules;
        let mut wrong = Wrong { odd_as_odds: odd.then_some(blend), ..Wrong::default() };
        for (at, written) in self.names.iter().enumerate() {
            let input = self.trained().map(|model| &model.inputs()[at]);
            let name = self.name_in(features, written);
            let Some(held) = name.and_then(|name| features.definition(name)) else {
                wrong.missing.push(written.clone());
                continue;
            };
            let of_kind = kind(held.kind);
            if held.of_decisions {
                wrong.of_decisions.push(written.clone());
            } else if of_kind.is_none_or(|kind| input.is_some_and(|input| input.kind != kind)) {
                wrong.other_type.push(format!("{written} ({})", held.kind));
            } else if input.is_some_and(|input| differs(input, &held.hash)) {
                wrong.otherwise.push(written.clone());
            }
        }
        wrong.diagnostics(&self.path)
    }

    fn name_in<'n>(&self, features: &'n Features, written: &'n str) -> Option<&'n str> {
        match &self.form {
            Form::Trained(_) => Some(written),
            Form::Onnx(_) => features.name_with_dots(written).or(Some(written)),
        }
    }

    /// The model with the places of its inputs among features that passed [`Artefact::check`].
    pub(crate) fn bind(self: &Arc<Artefact>, features: &Features) -> Bound {
        let bind = |written: &String| {
            let written = self.name_in(features, written).unwrap_or(written);
            let (name, value) = coded(written);
            let column = features.columns().iter().position(|(held, ..)| held == name);
            let source = match column {
                Some(column) => features.columns()[column].2,
                None => own(&features.schema, name),
            };
            let unit = features.definition(written).map_or(Unit::None, |held| unit(&held.unit));
            let coded = value.map(str::to_owned);
            Bind { name: written.to_owned(), source, coded, column, unit }
        };
        let inputs: Vec<Bind> = self.names.iter().map(bind).collect();
        let names = inputs.iter().map(|input| input.name.as_str());
        let computed = features.computed_for(names);
        Bound { artefact: self.clone(), inputs, computed }
    }
}

impl Artefacts {
    /// All there are.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Artefact>> {
        self.champion.iter().chain(&self.challenger)
    }

    /// The models bound to features that passed the check of each.
    pub(crate) fn bind(&self, features: &Features) -> Bounds {
        let bind =
            |artefact: &Option<Arc<Artefact>>| artefact.as_ref().map(|one| one.bind(features));
        Bounds { champion: bind(&self.champion), challenger: bind(&self.challenger) }
    }
}

impl Bounds {
    /// All there are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Bound> {
        self.champion.iter().chain(&self.challenger)
    }
}

impl Bound {
    /// The model.
    pub fn artefact(&self) -> &Artefact {
        &self.artefact
    }

    pub(crate) fn inputs(&self) -> &[Bind] {
        &self.inputs
    }
}

/// A field of the event, or a side of the transaction.
fn own(schema: &Schema, name: &str) -> SlotSource {
    match name {
        "payer_id" => SlotSource::Payer,
        "payee_id" => SlotSource::Payee,
        // No column: the referee's finding is in the decision.
        "packet.outcome" => SlotSource::Kept(OUTCOME),
        name => schema.find(name).map_or(SlotSource::Nowhere, SlotSource::Field),
    }
}

fn unit(unit: &str) -> Unit {
    match unit {
        "fen" => Unit::Yuan,
        "ms" => Unit::Duration,
        _ => Unit::None,
    }
}

/// A model that does not know how its inputs were computed is held to their names and types.
fn differs(input: &Input, hash: &str) -> bool {
    !input.definition.is_empty() && input.definition != hash
}

/// The inputs of a model that it cannot read, by what is wrong with them.
#[derive(Default)]
struct Wrong {
    missing: Vec<String>,
    otherwise: Vec<String>,
    other_type: Vec<String>,
    of_decisions: Vec<String>,
    /// A blend that takes how odd a transaction is for its odds.
    odd_as_odds: Option<Blend>,
}

impl Wrong {
    fn diagnostics(self, path: &Path) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> =
            self.odd_as_odds.map(|blend| odd_as_odds(path, blend.name())).into_iter().collect();
        let mut say = |code, names: Vec<String>, en: &str, zh: &str, hint: Option<Message>| {
            if !names.is_empty() {
                let message = Message::new(
                    format!("{en}: {}", names.join(", ")),
                    format!("{zh}:{}", names.join("、")),
                );
                found.push(Diagnostic::error(code, path, None, message).with_hint(hint));
            }
        };
        let again = || {
            Some(Message::new(
                "train a model on a run with these rules, or run with the rules it was trained on",
                "请用这些规则的运行重新训练,或使用训练时的规则运行",
            ))
        };
        say(
            "model-input-missing",
            self.missing,
            "the model reads what is not in the feature catalogue",
            "模型读取的特征不在特征目录中",
            again(),
        );
        say(
            "model-input-differs",
            self.otherwise,
            "the model was trained on other definitions of what it reads",
            "模型训练时这些特征的定义与现在不同",
            again(),
        );
        say(
            "model-input-type",
            self.other_type,
            "what the model reads is of another type now",
            "模型读取的特征现在是其他类型",
            again(),
        );
        let hint = Message::new(
            "leave them out when training: they are null unless the rules decided against an \
             account before, and the score would hang on the rules and on itself",
            "训练时请排除它们:只有规则先前作出过处置才有值,模型分会因此依赖规则和它自身",
        );
        say(
            "model-input-of-decisions",
            self.of_decisions,
            "the model reads what hangs on earlier decisions",
            "模型读取的特征依赖先前的决策",
            Some(hint),
        );
        found
    }
}

/// A usual transaction has a score of about 500: as odds, all would be alerts.
fn odd_as_odds(path: &Path, blend: &str) -> Diagnostic {
    let message = Message::new(
        format!(
            "an isolation forest says how odd a transaction is, which is no probability, and blend \
             = \"{blend}\" would decide by it as by one"
        ),
        format!(
            "孤立森林给出的是交易的异常程度,不是概率,而 blend = \"{blend}\" 会把它当作概率来决策"
        ),
    );
    let hint = Message::new(
        "write blend = \"rules\" under [model] in policy.toml: its score is then recorded and ranked \
         beside the rules'; to decide by it, declare it in features.toml (model = \"...\") and \
         compare it in a rule",
        "请在 policy.toml 的 [model] 下写 blend = \"rules\":模型分将被记录并与规则并列排序;\
         若要据此决策,请在 features.toml 中声明(model = \"...\")并在规则中与阈值比较",
    );
    Diagnostic::error("model-of-anomaly", path, None, message).with_hint(Some(hint))
}

/// Why a model of classes is no model of a run.
fn of_classes(names: &[String]) -> (String, String) {
    let names = names.join(", ");
    (
        format!(
            "it tells classes apart ({names}) and gives no score of fraud; it is a feature: name it \
             in features.toml, under a table such as [social.group.type_model], as model = \"...\" \
             with gives = \"class\""
        ),
        format!(
            "它区分类别({names}),不给出欺诈分;它是一个特征:请在 features.toml 的表(如 \
             [social.group.type_model])中写 model = \"...\" 与 gives = \"class\""
        ),
    )
}

fn no_model(path: &Path, (why, zh): (String, String)) -> Failure {
    let path = path.display();
    Failure::Usage(Message::new(
        format!("cannot use the model {path}: {why}"),
        format!("无法使用模型 {path}:{zh}"),
    ))
}

fn said(error: &ArtefactError) -> (String, String) {
    let zh = match error {
        ArtefactError::Read(_, error) => format!("无法读取({error})"),
        ArtefactError::TooLarge(_) => "文件过大".to_owned(),
        ArtefactError::Json(error) => format!("不是模型的 JSON({error})"),
        ArtefactError::Format(format) => format!("格式为 {format},本程序无法读取"),
        ArtefactError::Unsound(what) => format!("{what} 不可能由训练产生"),
    };
    (error.to_string(), zh)
}

fn onnx_said(error: &OnnxError) -> (String, String) {
    let mut en = error.to_string();
    let mut zh = match error {
        OnnxError::Read(_, error) => format!("无法读取({error})"),
        OnnxError::TooLarge(_) => "文件过大".to_owned(),
        OnnxError::NotOnnx => "不是 ONNX 文件".to_owned(),
        OnnxError::Unsupported(what) => format!("模型含有不支持的内容({what})"),
        OnnxError::Broken(what) => format!("模型已损坏({what})"),
        OnnxError::Operation(name) => {
            format!("不支持算子 {name};支持的有 {}", OPERATIONS.join("、"))
        }
        OnnxError::Classes => "模型没有给出两个类别概率的输出".to_owned(),
        OnnxError::Names { wanted, given } => {
            format!("模型需要 {wanted} 个特征,给出了 {given} 个名称")
        }
    };
    if matches!(error, OnnxError::Names { given: 0, .. }) {
        en.push_str("; export it with one input a feature, each under the feature's name");
        zh.push_str(";请导出为每个特征一个输入,并以特征名命名");
    }
    (en, zh)
}
