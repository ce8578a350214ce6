//! `hongxian rules`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Shown, print};
use crate::diagnostic::{Failure, Lang, Message, to_json};
use crate::event::Schema;
use crate::rules::{self, Loaded};
use crate::rules_test::{self, TestResult};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check everything in a rules directory
    Check {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        /// Print keys, shared state and bytes a key of each family of features
        #[arg(long)]
        cost: bool,
        /// Print mistakes as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print features and rules as Markdown
    Docs {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
    },
    /// Bring rule files into their one normal form
    Fmt {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        /// Change nothing; exit code 1 when something would change
        #[arg(long)]
        check: bool,
    },
    /// Run the timelines in the rules' own files
    Test {
        /// Rules directory
        #[arg(long, default_value = "rules")]
        rules: PathBuf,
        /// How results are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
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
        Command::Check { rules, cost, json } => check(rules, *cost, *json, shown),
        Command::Docs { rules } => docs(rules),
        Command::Fmt { rules, check } => fmt(rules, *check),
        Command::Test { rules, format } => test(rules, *format),
    }
}

fn docs(directory: &Path) -> Result<(), Failure> {
    let loaded = rules::load(Some(directory), &Arc::new(Schema::default()))?;
    print(&rules::docs::markdown(&loaded.rules, &loaded.features, &loaded.catalogue));
    Ok(())
}

fn fmt(directory: &Path, check: bool) -> Result<(), Failure> {
    let mut changed = Vec::new();
    for path in rules::set::toml_files(directory) {
        let failed = |what: String| {
            let message = format!("{}: {what}", path.display());
            Failure::Usage(Message::new(message.clone(), message))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let formatted = rules::fmt::format(&text).map_err(failed)?;
        if formatted == text {
            continue;
        }
        print(&format!("{}\n", path.display()));
        if !check {
            std::fs::write(&path, formatted).map_err(|error| failed(error.to_string()))?;
        }
        changed.push(path);
    }
    if check && !changed.is_empty() {
        return Err(Failure::No(Message::new(
            format!("{} files are not formatted: run `hongxian rules fmt`", changed.len()),
            format!("{} 个文件未格式化:请运行 `hongxian rules fmt`", changed.len()),
        )));
    }
    Ok(())
}

fn test(directory: &Path, format: Format) -> Result<(), Failure> {
    let results = rules_test::run(directory)?;
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    let passed = results.len() - failed;
    match format {
        Format::Text => {
            for result in results.iter().filter(|result| result.failure.is_some()) {
                let failure = result.failure.as_deref().unwrap_or("");
                print(&format!("FAILED {}: {}\n    {failure}\n", result.rule, result.test));
            }
            print(&format!("{passed} passed, {failed} failed\n"));
        }
        Format::Json => {
            let json = serde_json::to_string_pretty(&results).unwrap_or_default();
            print(&format!("{json}\n"));
        }
        Format::Junit => print(&junit(&results, failed)),
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::No(Message::new(
        format!("{failed} of {} tests failed", results.len()),
        format!("{} 个测试中有 {failed} 个失败", results.len()),
    )))
}

fn junit(results: &[TestResult], failed: usize) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let mut out =
        format!("<testsuite name=\"rules\" tests=\"{}\" failures=\"{failed}\">\n", results.len());
    for result in results {
        let (rule, test) = (escape(&result.rule), escape(&result.test));
        out.push_str(&format!("  <testcase classname=\"{rule}\" name=\"{test}\""));
        match &result.failure {
            Some(failure) => {
                let failure = escape(failure);
                out.push_str(&format!("><failure message=\"{failure}\"/></testcase>\n"));
            }
            None => out.push_str("/>\n"),
        }
    }
    out.push_str("</testsuite>\n");
    out
}

fn check(directory: &Path, cost: bool, json: bool, shown: Shown) -> Result<(), Failure> {
    let schema = Arc::new(Schema::default());
    let loaded = match rules::load(Some(directory), &schema) {
        Ok(loaded) => loaded,
        Err(Failure::Input(found, sources)) if json => {
            print(&format!("{:#}\n", to_json(&found, &sources)));
            return Err(Failure::Input(Vec::new(), sources));
        }
        Err(failure) => return Err(failure),
    };
    if json {
        print("[]\n");
        return Ok(());
    }
    let Loaded { rules: set, features, .. } = loaded;
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
    if cost {
        print(&features.cost());
    }
    Ok(())
}
