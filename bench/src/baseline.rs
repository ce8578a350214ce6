//! A build of another revision, to run beside this one: a ratio holds on any machine, a figure
//! only on one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::fail;

/// Checks `revision` out beside the work and builds it; its name and its program.
pub(crate) fn build(root: &Path, revision: &str, work: &Path) -> Result<(String, PathBuf), String> {
    let commit =
        git(root, &["rev-parse", "--short", "--verify", &format!("{revision}^{{commit}}")])?;
    let tree = work.join(format!("baseline-{commit}"));
    let tree_name = tree.to_string_lossy();
    if !tree.exists() {
        git(root, &["worktree", "prune"])?;
        git(root, &["worktree", "add", "--detach", &tree_name, &commit])?;
    }
    eprintln!("building {commit}, the baseline");
    // All baselines share one folder, so that their dependencies are built once.
    let target = work.join("baseline-target");
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "-p", "hongxian"])
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(fail(&tree))?;
    if !status.success() {
        return Err(format!("the baseline {commit} does not build"));
    }
    // The next baseline overwrites it.
    let program = tree.join("hongxian-baseline");
    std::fs::copy(target.join("release/hongxian"), &program).map_err(fail(&program))?;
    Ok((format!("baseline {commit}"), program))
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
