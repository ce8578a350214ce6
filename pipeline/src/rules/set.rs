//! A rules directory as a whole: read, checked, compiled, hashed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, RuleFile, Status};
use super::lists;
use super::policy::Policy;
use crate::decision::Verdict;
use crate::diagnostic::{Diagnostic, Failure, Message, Sources, did_you_mean_hint};
use crate::document::{Reader, located};
use crate::event::{KindSet, Schema, Type};
use crate::expr::{self, Ast, Environment, List, Names as _, Param, Program, Slot, Unit, Zone};
use crate::features::catalogue::{Catalogue, Context, Features};
use crate::features::declare::{self, Declaration};
use crate::features::devices::ClusterOptions;
use crate::features::text::{self, Lexicon};

/// The folders in which rules stand: the four dimensions, and what is none of them.
pub const DIMENSIONS: [&str; 5] = ["behaviour", "funds", "text", "devices", "packet"];

/// A rule ready to run.
#[derive(Debug)]
pub struct Rule {
    /// As written.
    pub file: RuleFile,
    /// The condition.
    pub program: Program,
    /// The reason's parts.
    pub reason: Vec<Piece>,
    /// The names that its condition and reason use, with slot and type.
    pub uses: Vec<(String, Slot, Type)>,
    /// The slot by which it is rolled out.
    pub rollout: Option<(i64, Slot)>,
}

/// A part of a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// A value.
    Value(Slot, Unit),
}

/// The rules of a directory.
#[derive(Debug)]
pub struct RuleSet {
    /// All rules, by id.
    pub rules: Vec<Rule>,
    /// The policy.
    pub policy: Policy,
    /// BLAKE3 of the canonical form of everything that can change a decision.
    pub hash: blake3::Hash,
}

/// A rules directory, loaded.
pub struct Loaded {
    /// The rules and the policy.
    pub rules: RuleSet,
    /// The features, ready to run.
    pub features: Features,
    /// Every name with its meaning.
    pub catalogue: Catalogue,
}

/// What was read of a directory.
struct Files {
    sources: Sources,
    found: Vec<Diagnostic>,
    declarations: Vec<Declaration>,
    features_path: PathBuf,
    conditions: BTreeMap<String, Ast>,
    policy: Policy,
    lists: BTreeMap<String, Arc<List>>,
    rules: Vec<RuleFile>,
    lexicon: Lexicon,
    zone: Arc<Zone>,
}

/// Loads a rules directory for events of a schema. What the directory leaves out has its
/// default; without a directory there are no rules and no declared features.
pub fn load(directory: Option<&Path>, schema: &Arc<Schema>) -> Result<Loaded, Failure> {
    let mut files = Files::read(directory)?;
    let features_text = files.sources.get(&files.features_path).unwrap_or("").to_owned();
    let declarations = std::mem::take(&mut files.declarations);
    let canonical_features = canonical_features(&declarations);
    let place = (files.features_path.as_path(), features_text.as_str());
    let mut catalogue = match Catalogue::new(schema.clone(), place, declarations, &files.lexicon) {
        Ok(catalogue) => catalogue,
        Err(found) => {
            files.found.extend(found);
            return Err(Failure::Input(files.found, files.sources));
        }
    };
    let devices = files.policy.devices;
    let clusters = devices.clusters.then_some(ClusterOptions {
        graph_tick: files.policy.graph_tick,
        window: devices.window,
        hub_limit: devices.hub_limit as usize,
    });
    let (conditions, lists, zone) =
        (files.conditions.clone(), files.lists.clone(), files.zone.clone());
    let context = Context { conditions: &conditions, lists: &lists, zone: &zone, clusters };
    let order = match catalogue.settle(&context) {
        Ok(order) => order,
        Err(found) => {
            files.found.extend(found);
            Vec::new()
        }
    };
    let rules = files.compile_rules(&catalogue);
    let hash = files.hash(&rules, &canonical_features);
    let lexicon = Arc::new(std::mem::replace(&mut files.lexicon, empty_lexicon()));
    let features = match catalogue.compile(&order, &context, lexicon) {
        Ok(features) if files.found.is_empty() => features,
        Ok(_) => return Err(Failure::Input(files.found, files.sources)),
        Err(found) => {
            let known = |diagnostic: &Diagnostic| files.found.contains(diagnostic);
            let new: Vec<_> = found.into_iter().filter(|found| !known(found)).collect();
            files.found.extend(new);
            return Err(Failure::Input(files.found, files.sources));
        }
    };
    let rules = RuleSet { rules, policy: files.policy, hash };
    Ok(Loaded { rules, features, catalogue })
}

fn empty_lexicon() -> Lexicon {
    Lexicon::from_files(&[]).expect("no file has no mistake")
}

impl Files {
    fn read(directory: Option<&Path>) -> Result<Files, Failure> {
        let zone = Zone::new("UTC").expect("the zone database is bundled");
        let mut files = Files {
            sources: Sources::default(),
            found: Vec::new(),
            declarations: Vec::new(),
            features_path: PathBuf::from("features.toml"),
            conditions: BTreeMap::new(),
            policy: Policy::default(),
            lists: BTreeMap::new(),
            rules: Vec::new(),
            lexicon: empty_lexicon(),
            zone: Arc::new(zone),
        };
        if let Some(directory) = directory {
            if !directory.is_dir() {
                let message = Message::new("there is no such directory", "没有该目录");
                return Err(Failure::file("no-directory", directory, message, None));
            }
            files.read_policy(&directory.join("policy.toml"))?;
            files.read_features(&directory.join("features.toml"))?;
            files.read_conditions(&directory.join("conditions.toml"))?;
            files.read_lists(&directory.join("lists"))?;
            files.read_phrases(&directory.join("text").join("phrases"));
            for dimension in DIMENSIONS {
                files.read_rules(&directory.join(dimension))?;
            }
            files.check_ids();
        }
        if let Some(zone) = Zone::new(&files.policy.time_zone) {
            files.zone = Arc::new(zone);
        }
        Ok(files)
    }

    /// A file's text, if it is there; it is kept for messages.
    fn text(&mut self, path: &Path) -> Result<Option<String>, Failure> {
        match fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    self.sources.add(path, text.clone());
                    Ok(Some(text))
                }
                Err(_) => {
                    let message = Message::new("the file is not UTF-8", "文件不是 UTF-8");
                    self.found.push(Diagnostic::error("not-utf8", path, None, message));
                    Ok(None)
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let message = Message::new(
                    format!("cannot read {}: {error}", path.display()),
                    format!("无法读取 {}:{error}", path.display()),
                );
                Err(Failure::Environment(message))
            }
        }
    }

    fn read_policy(&mut self, path: &Path) -> Result<(), Failure> {
        if let Some(text) = self.text(path)? {
            let (policy, found) = Policy::read(path, &text);
            self.policy = policy;
            self.found.extend(found);
        }
        Ok(())
    }

    fn read_features(&mut self, path: &Path) -> Result<(), Failure> {
        self.features_path = path.to_owned();
        if let Some(text) = self.text(path)? {
            let (declarations, found) = declare::read(path, &text);
            self.declarations = declarations;
            self.found.extend(found);
        }
        Ok(())
    }

    /// Named conditions: a name and an expression each.
    fn read_conditions(&mut self, path: &Path) -> Result<(), Failure> {
        let Some(text) = self.text(path)? else { return Ok(()) };
        let mut reader = Reader::new(path, &text);
        let root = reader.parse();
        for (name, node) in root.get_ref() {
            let Some(source) = reader.as_string(name.get_ref(), node) else { continue };
            match expr::parse(source.get_ref()) {
                Ok(ast) => {
                    self.conditions.insert(name.get_ref().to_string(), ast);
                }
                Err(errors) => reader.fail_expression(&source.span(), errors),
            }
        }
        self.found.extend(reader.finish());
        Ok(())
    }

    fn read_lists(&mut self, directory: &Path) -> Result<(), Failure> {
        let zone = Zone::new(&self.policy.time_zone).unwrap_or_else(|| (*self.zone).clone());
        for path in paths(directory, "csv") {
            let Some(text) = self.text(&path)? else { continue };
            let (list, found) = lists::read(&path, &text, &zone);
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            self.lists.insert(name.unwrap_or_default(), Arc::new(list));
            self.found.extend(found);
        }
        Ok(())
    }

    fn read_phrases(&mut self, directory: &Path) {
        let files = match text::read_directory(directory) {
            Ok(files) => files,
            Err(found) => {
                self.found.extend(found);
                return;
            }
        };
        for (path, text) in &files {
            self.sources.add(path, text.clone());
        }
        match Lexicon::from_files(&files) {
            Ok(lexicon) => self.lexicon = lexicon,
            Err(found) => self.found.extend(found),
        }
    }

    fn read_rules(&mut self, directory: &Path) -> Result<(), Failure> {
        for path in paths(directory, "toml") {
            if let Some(text) = self.text(&path)? {
                let (rule, found) = file::read(&path, &text);
                self.rules.extend(rule);
                self.found.extend(found);
            }
        }
        Ok(())
    }

    fn check_ids(&mut self) {
        self.rules.sort_by(|left, right| left.id.cmp(&right.id));
        for pair in self.rules.windows(2) {
            if pair[0].id == pair[1].id {
                let (id, first) = (&pair[1].id, pair[0].path.display());
                let message = Message::new(
                    format!("the id `{id}` is taken by {first}"),
                    format!("规则编号 `{id}` 已被 {first} 使用"),
                );
                let path = &pair[1].path;
                self.found.push(Diagnostic::error("duplicate-id", path, None, message));
            }
        }
    }

    fn compile_rules(&mut self, catalogue: &Catalogue) -> Vec<Rule> {
        let mut rules = Vec::new();
        let mut found = Vec::new();
        for file in std::mem::take(&mut self.rules) {
            let text = self.sources.get(&file.path).unwrap_or("");
            match compile(file, text, catalogue, self) {
                Ok(rule) => rules.push(rule),
                Err(mistakes) => found.extend(mistakes),
            }
        }
        self.found.extend(found);
        rules
    }

    /// BLAKE3 over everything that can change a decision, whatever its formatting and order.
    fn hash(&self, rules: &[Rule], features: &str) -> blake3::Hash {
        let mut canonical = String::from("hongxian rules 1\n");
        canonical.push_str(&self.policy.canonical());
        canonical.push('\n');
        canonical.push_str(features);
        for (name, ast) in &self.conditions {
            canonical.push_str(&format!("condition {name} {}\n", ast.canonical()));
        }
        for (name, list) in &self.lists {
            for (value, spans) in list.entries() {
                let mut spans = spans.to_vec();
                spans.sort_unstable();
                canonical.push_str(&format!("list {name} {value:?} {spans:?}\n"));
            }
        }
        for rule in rules {
            canonical.push_str(&rule.canonical());
        }
        canonical.push_str(&self.lexicon.canonical());
        blake3::hash(canonical.as_bytes())
    }
}

fn canonical_features(declarations: &[Declaration]) -> String {
    let mut lines: Vec<String> = declarations
        .iter()
        .map(|declaration| {
            let body = match &declaration.body {
                declare::Body::Expr { source, .. } => canonical_expr(source),
                declare::Body::Windowed(windowed) => {
                    let where_ = windowed.where_.as_ref().map(|(text, _)| canonical_expr(text));
                    let declare::Windowed { over, key, at, agg, window, include_current, .. } =
                        windowed;
                    format!(
                        "{over:?} {where_:?} {key:?} {at:?} {agg:?} {window:?} {include_current}"
                    )
                }
            };
            format!("feature {} {body}\n", declaration.name)
        })
        .collect();
    lines.sort();
    lines.concat()
}

fn canonical_expr(source: &str) -> String {
    expr::parse(source).map_or_else(|_| source.to_owned(), |ast| ast.canonical())
}

impl Rule {
    /// Everything of the rule that can change a decision or its reasons.
    fn canonical(&self) -> String {
        let file = &self.file;
        let rollout = file.rollout.as_ref().map(|held| (held.percent, held.by.get_ref()));
        format!(
            "rule {} {} {rollout:?} {:?} {} {} {:?} {} {:?} {:?}\n",
            file.id,
            file.status.name(),
            file.on,
            canonical_expr(file.when.get_ref()),
            file.score,
            file.floor,
            file.allows,
            file.reason.get_ref(),
            file.params,
        )
    }
}

/// The TOML files of a rules directory that `rules fmt` formats: rules, features, conditions.
pub fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let own = ["features.toml", "conditions.toml"].map(|name| directory.join(name));
    let own = own.into_iter().filter(|path| path.is_file());
    let rules = DIMENSIONS.iter().flat_map(|folder| paths(&directory.join(folder), "toml"));
    own.chain(rules).collect()
}

/// The files of a directory with an extension, by name.
fn paths(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

fn compile(
    file: RuleFile,
    text: &str,
    catalogue: &Catalogue,
    files: &Files,
) -> Result<Rule, Vec<Diagnostic>> {
    let environment = Environment {
        names: catalogue,
        params: &file.params,
        conditions: &files.conditions,
        lists: &files.lists,
        zone: &files.zone,
    };
    let literal = file.when.span();
    let at = |error| located(&file.path, text, &literal, error);
    let mut found = Vec::new();
    let ast = expr::parse(file.when.get_ref());
    let program = ast.and_then(|ast| Ok((expr::compile(&ast, &environment)?, ast)));
    let program = match program {
        Ok((program, ast)) if program.kind() == Type::Bool => Some((program, ast)),
        Ok((program, _)) => {
            let kind = program.kind();
            let message = Message::new(
                format!("`when` is a {kind}, not a condition"),
                format!("`when` 的类型是 {kind},应为条件"),
            );
            let span = Some(literal.clone());
            found.push(Diagnostic::error("when-not-condition", &file.path, span, message));
            None
        }
        Err(errors) => {
            found.extend(errors.into_iter().map(at));
            None
        }
    };
    let reason = pieces(&file, &file.reason, catalogue, &mut found);
    if let Some(reason_zh) = &file.reason_zh {
        pieces(&file, reason_zh, catalogue, &mut found);
    }
    let rollout = file.rollout.as_ref().and_then(|rollout| {
        let slot = catalogue.lookup(rollout.by.get_ref());
        if slot.is_none() {
            found.push(unknown_name(&file, rollout.by.get_ref(), rollout.by.span(), catalogue));
        }
        Some((rollout.percent, slot?.0))
    });
    let Some((program, ast)) = program.filter(|_| found.is_empty()) else { return Err(found) };
    let mut names = ast.names();
    for param in file.params.values() {
        names.extend(param.by.iter().map(|(name, _)| name.clone()));
    }
    let mut uses: BTreeMap<String, (Slot, Type)> = BTreeMap::new();
    let mut waiting: Vec<String> = names.into_iter().collect();
    while let Some(name) = waiting.pop() {
        if let Some(condition) = files.conditions.get(&name) {
            waiting.extend(condition.names());
        } else if !file.params.contains_key(&name)
            && let Some(found) = catalogue.lookup(&name)
        {
            uses.insert(name, found);
        }
    }
    let uses = uses.into_iter().map(|(name, (slot, kind))| (name, slot, kind)).collect();
    Ok(Rule { file, program, reason, uses, rollout })
}

/// Splits a reason at its braces; each name in braces must be known.
fn pieces(
    file: &RuleFile,
    reason: &crate::document::Text,
    catalogue: &Catalogue,
    found: &mut Vec<Diagnostic>,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = reason.get_ref().as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        match catalogue.lookup(name) {
            Some((slot, _)) => pieces.push(Piece::Value(slot, catalogue.unit(name))),
            None if file.params.contains_key(name) => {
                let param = &file.params[name];
                pieces.push(Piece::Text(shown(param)));
            }
            None => found.push(unknown_name(file, name, reason.span(), catalogue)),
        }
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

fn shown(param: &Param) -> String {
    match (&param.default, param.unit) {
        (expr::Constant::Int(fen), Unit::Yuan) => format!("{} yuan", expr::format_yuan(*fen)),
        (expr::Constant::Int(ms), Unit::Duration) => expr::format_duration(*ms),
        (expr::Constant::Int(value), Unit::None) => value.to_string(),
        (expr::Constant::Double(value), _) => value.to_string(),
        (expr::Constant::Bool(value), _) => value.to_string(),
        (expr::Constant::Str(value), _) => value.clone(),
    }
}

fn unknown_name(
    file: &RuleFile,
    name: &str,
    span: std::ops::Range<usize>,
    catalogue: &Catalogue,
) -> Diagnostic {
    let message = Message::new(format!("unknown name `{name}`"), format!("未知的名称 `{name}`"));
    let names = catalogue.all();
    let hint = did_you_mean_hint(name, names.iter().map(String::as_str));
    Diagnostic::error("unknown-name", &file.path, Some(span), message).with_hint(hint)
}

impl RuleSet {
    /// The rules that run, with their places.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let runs = |rule: &Rule| matches!(rule.file.status, Status::Live | Status::Shadow);
        self.rules.iter().enumerate().filter(move |(_, rule)| runs(rule))
    }

    /// The kinds on which some rule runs.
    pub fn kinds(&self) -> KindSet {
        KindSet(self.running().fold(0, |kinds, (_, rule)| kinds | rule.file.on.0))
    }

    /// The strictest decision that a floor can give.
    pub fn floor_max(&self) -> Verdict {
        self.running().map(|(_, rule)| rule.file.floor).max().unwrap_or(Verdict::Allow)
    }
}
