//! `hongxian rules`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Shown, end_on_ctrl_c, print};
use crate::diagnostic::{
    Failure, Lang, Message, Sources, render, to_stderr, unreadable, unwritable,
};
use crate::document::Reader;
use crate::event::Schema;
use crate::features::cost;
use crate::rules::overview::Overview;
use crate::rules::{self, Loaded, docs, fmt};
use crate::rules_test;
use crate::source::{self, Input, Mapping};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check everything in a rules directory
    Check {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        #[command(flatten)]
        maps: Maps,
        /// Print what is shared, and the expected bytes a key and an event, of each family of features
        #[arg(long)]
        cost: bool,
        /// Print what was found as JSON (--help tells the fields)
        ///
        /// One object. `status` is "ok", "warnings" or "errors"; `errors` and `warnings` are how many
        /// there are. `diagnostics` lists them, by file and place, with `file`, `line`, `column`,
        /// `end_line` and `end_column` (from 1, columns in characters; null: the file as a whole),
        /// `severity` ("error" or "warning"), `code`, `message` and `hint` (null: none), both also
        /// with `_zh`; that a parameter is not used is one. The others are null while there are
        /// errors: `rules` has `all`, `running` (live and shadow), `by_status` and `by_dimension`;
        /// `rules_hash` is what stands in every decision; `features` lists the columns of
        /// features.parquet with `name`, `type`, `unit` and `family` (null: no state); `families`
        /// has, for each `family` of features filed under one key, what --cost prints:
        /// `bytes_per_key`, `bytes_per_event`, and `streams` with `features` and `bytes_per_event`.
        /// Exit 2 where there are errors.
        #[arg(long)]
        json: bool,
    },
    /// Run the timelines in the rules' own files
    Test {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        #[command(flatten)]
        maps: Maps,
        /// How results are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// The same as --format json
        #[arg(long, conflicts_with = "format")]
        json: bool,
        /// Change each rule a little in every way and see whether its tests notice
        ///
        /// A comparison gets another edge or sense, `&&` and `||` change places, clauses, `!` and
        /// defaults are left out, numbers and parameters move by one of their unit (a fen, a second,
        /// the last digit). What no test of the rule notices is shown where it stands, with the test
        /// that would; exit 1 if there is any. The tests themselves must pass first.
        #[arg(long)]
        mutate: bool,
    },
    /// Put the files of a rules directory into their normal form
    Fmt {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        /// Change nothing; exit 1 if something would change
        #[arg(long)]
        check: bool,
        /// Print one JSON object: `changed`, the files that were, or would be, changed
        #[arg(long)]
        json: bool,
    },
    /// Print what rules and features there are, as Markdown
    Docs {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        #[command(flatten)]
        maps: Maps,
        /// What is documented
        #[arg(long, value_enum, default_value_t = Of::Features)]
        of: Of,
        /// Print one JSON object: `features` or `rules`, a list with what the Markdown says of each
        #[arg(long)]
        json: bool,
    },
}

/// The columns of one's own that rules read.
#[derive(clap::Args)]
pub(super) struct Maps {
    /// Mapping file whose own columns, [extra.NAME], the rules read; as often as there are such files
    #[arg(long = "map", value_name = "FILE")]
    maps: Vec<PathBuf>,
}

impl Maps {
    /// The fields of the events that the rules are for.
    fn schema(&self) -> Result<Arc<Schema>, Failure> {
        let inputs: Result<Vec<Input>, Failure> = self
            .maps
            .iter()
            .map(|path| {
                let mapping = Some(Arc::new(Mapping::load(path)?));
                Ok(Input { path: path.clone(), mapping })
            })
            .collect();
        source::schema(&inputs?).map(Arc::new)
    }
}

/// What is documented.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Of {
    /// Every name that a rule may use, in both languages: FEATURES.md.
    Features,
    /// Every rule.
    Rules,
}

/// How test results are printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For build servers.
    Junit,
    /// For programs.
    Json,
}

pub(super) fn run(command: &Command, shown: Shown) -> Result<(), Failure> {
    match command {
        Command::Check { rules, maps, cost, json } => {
            check(rules, &maps.schema()?, (*cost, *json), shown)
        }
        Command::Test { rules, maps, format, json, mutate: mutants } => {
            let schema = maps.schema()?;
            let format = if *json { Format::Json } else { *format };
            match mutants {
                true => mutate(rules, &schema, format, shown),
                false => test(rules, &schema, format, shown),
            }
        }
        Command::Fmt { rules, check, json } => format(rules, *check, *json, shown),
        Command::Docs { rules, maps, of, json } => {
            docs(rules, &maps.schema()?, (*of, *json), shown)
        }
    }
}

fn test(
    directory: &Path,
    schema: &Arc<Schema>,
    format: Format,
    shown: Shown,
) -> Result<(), Failure> {
    let (report, sources) = rules_test::run(directory, schema)?;
    tell(&report, &sources, format, shown)
}

fn mutate(
    directory: &Path,
    schema: &Arc<Schema>,
    format: Format,
    shown: Shown,
) -> Result<(), Failure> {
    end_on_ctrl_c();
    let (report, mutations, sources) = rules_test::mutate(directory, schema)?;
    let Some(mutations) = mutations else { return tell(&report, &sources, format, shown) };
    match format {
        Format::Text => print(&mutations.text(&sources, shown.lang, shown.rich)),
        Format::Json => print(&format!("{:#}\n", mutations.json(&sources))),
        Format::Junit => print(&mutations.junit(&sources, shown.lang)),
    }
    let (left, all) = (mutations.survivors(), mutations.mutants());
    if left == 0 {
        return Ok(());
    }
    Err(Failure::No(Message::new(
        format!("{left} of {all} mutants survive"),
        format!("{all} 个变异中有 {left} 个存活"),
    )))
}

fn tell(
    report: &rules_test::Report,
    sources: &Sources,
    format: Format,
    shown: Shown,
) -> Result<(), Failure> {
    match format {
        Format::Text => print(&report.text(sources, shown.lang, shown.rich)),
        Format::Json => print(&format!("{:#}\n", report.json(sources))),
        Format::Junit => print(&report.junit(shown.lang)),
    }
    let (failed, all) = (report.failed(), report.tested.len());
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::No(Message::new(
        format!("{failed} of {all} tests failed"),
        format!("{all} 个测试中有 {failed} 个失败"),
    )))
}

/// Puts the files into their normal form, or says which are not.
fn format(directory: &Path, check: bool, json: bool, shown: Shown) -> Result<(), Failure> {
    let (mut changed, mut mistakes, mut sources) = (Vec::new(), Vec::new(), Sources::default());
    let unread = |path: &Path, error| Failure::Usage(unreadable(path, &error));
    for file in fmt::files(directory).map_err(|error| unread(directory, error))? {
        let text = fs::read_to_string(&file).map_err(|error| unread(&file, error))?;
        let below = file.strip_prefix(directory).unwrap_or(&file);
        let mut reader = Reader::new(&file, &text);
        reader.parse();
        let found = reader.finish();
        if !found.is_empty() {
            mistakes.extend(found);
            sources.add(&file, &text);
            continue;
        }
        let Some(formatted) = fmt::format(below, &text).filter(|formatted| *formatted != text)
        else {
            continue;
        };
        if !check {
            fs::write(&file, formatted)
                .map_err(|error| Failure::Environment(unwritable(&file, &error)))?;
        }
        changed.push(file);
    }
    if json {
        print(&format!("{:#}\n", serde_json::json!({ "changed": changed })));
    }
    for file in changed.iter().filter(|_| !json) {
        let file = file.display();
        print(&match (check, shown.lang) {
            (true, Lang::En) => format!("not in normal form: {file}\n"),
            (true, Lang::Zh) => format!("不是规范格式:{file}\n"),
            (false, Lang::En) => format!("formatted {file}\n"),
            (false, Lang::Zh) => format!("已格式化 {file}\n"),
        });
    }
    // A file that is not TOML is left as it is.
    if !mistakes.is_empty() {
        return Err(Failure::Input(mistakes, sources));
    }
    if check && !changed.is_empty() {
        let count = changed.len();
        return Err(Failure::No(Message::new(
            format!("{count} files are not in normal form: run hongxian rules fmt"),
            format!("{count} 个文件不是规范格式:请运行 hongxian rules fmt"),
        )));
    }
    Ok(())
}

fn docs(
    directory: &Path,
    schema: &Arc<Schema>,
    (of, json): (Of, bool),
    shown: Shown,
) -> Result<(), Failure> {
    let loaded = rules::load(Some(directory), schema)?;
    print(&match (of, json) {
        (Of::Features, false) => docs::features(&loaded.catalogue),
        (Of::Rules, false) => docs::rules(&loaded.rules, shown.lang),
        (Of::Features, true) => format!("{:#}\n", docs::features_json(&loaded.catalogue)),
        (Of::Rules, true) => format!("{:#}\n", docs::rules_json(&loaded.rules)),
    });
    Ok(())
}

fn check(
    directory: &Path,
    schema: &Arc<Schema>,
    (with_cost, json): (bool, bool),
    shown: Shown,
) -> Result<(), Failure> {
    let loaded = match rules::load(Some(directory), schema) {
        Ok(loaded) => loaded,
        Err(Failure::Input(found, sources)) if json => {
            print_overview(&Overview::of_mistakes(&found, &sources));
            return Err(Failure::Input(Vec::new(), sources));
        }
        Err(failure) => return Err(failure),
    };
    if json {
        print_overview(&Overview::of(&loaded));
        return Ok(());
    }
    let Loaded { rules: set, features, warnings, sources, .. } = loaded;
    to_stderr(&render(&warnings, &sources, shown.lang, shown.color));
    let running = set.running().count();
    let (all, columns) = (set.rules.len(), features.columns().len());
    print(&match shown.lang {
        Lang::En => format!(
            "{all} rules ({running} run), {columns} features: no mistakes\nrules hash {}\n",
            set.hash
        ),
        Lang::Zh => format!(
            "{all} 条规则({running} 条运行),{columns} 个特征:没有错误\n规则哈希 {}\n",
            set.hash
        ),
    });
    if with_cost {
        print(&cost::render(&features.costs(), shown.lang));
    }
    Ok(())
}

fn print_overview(overview: &Overview) {
    print(&format!("{:#}\n", serde_json::json!(overview)));
}
