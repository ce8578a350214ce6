//! `hongxian rules`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Shown, print};
use crate::diagnostic::{Failure, Lang, to_json};
use crate::event::Schema;
use crate::rules::{self, Loaded};

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
}

pub(super) fn run(command: &Command, shown: Shown) -> Result<(), Failure> {
    match command {
        Command::Check { rules, cost, json } => check(rules, *cost, *json, shown),
    }
}

fn check(directory: &PathBuf, cost: bool, json: bool, shown: Shown) -> Result<(), Failure> {
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
