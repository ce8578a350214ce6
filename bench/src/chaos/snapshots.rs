//! The snapshot directory as it must be at any moment, also after kill -9: what has the name of a
//! snapshot is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::measure::fail;

/// What the names of files of parts begin with.
const PARTS: &str = "parts";

/// Checks every snapshot of a directory; how many there are.
pub(super) fn check(directory: &Path) -> Result<usize, String> {
    let mut whole = 0;
    let Ok(entries) = fs::read_dir(directory) else { return Ok(0) };
    for entry in entries {
        let path = entry.map_err(fail(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // What is being written, or was.
        if name.starts_with('.') {
            continue;
        }
        if name.len() != 20 || name.parse::<u64>().is_err() {
            return Err(format!("{} is no snapshot", path.display()));
        }
        check_one(&path).map_err(|why| format!("{} is not whole: {why}", path.display()))?;
        whole += 1;
    }
    Ok(whole)
}

fn check_one(path: &Path) -> Result<(), String> {
    let manifest = path.join("manifest.json");
    let text = fs::read_to_string(&manifest).map_err(fail(&manifest))?;
    let (line, hash) = text.split_once('\n').unwrap_or_default();
    if blake3::hash(line.as_bytes()).to_hex().as_str() != hash.trim_end() {
        return Err("the manifest is not as it was written".to_owned());
    }
    let manifest: Value = serde_json::from_str(line).map_err(fail(&manifest))?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for path in parts(path)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, fs::read(&path).map_err(fail(&path))?);
    }
    let mut rest: BTreeMap<&str, &[u8]> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    for part in manifest["parts"].as_array().into_iter().flatten() {
        // Where several write side by side each has a file of its own.
        let name = part["file"].as_u64().map_or(PARTS.to_owned(), |file| format!("{PARTS}-{file}"));
        let stored = part["stored"].as_u64().unwrap_or(u64::MAX) as usize;
        let left = rest.get_mut(name.as_str()).ok_or_else(|| format!("{name} is missing"))?;
        let Some((own, after)) = left.split_at_checked(stored) else {
            return Err(format!("{name} is cut"));
        };
        if part["blake3"] != blake3::hash(own).to_hex().as_str() {
            return Err(format!("the part {} is not as it was written", part["keeper"]));
        }
        *left = after;
    }
    match rest.values().all(|left| left.is_empty()) {
        true => Ok(()),
        false => Err("there is more than its parts".to_owned()),
    }
}

/// The files of a snapshot in which its state is.
pub(super) fn parts(snapshot: &Path) -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(snapshot).map_err(fail(snapshot))? {
        let path = entry.map_err(fail(snapshot))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTS)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
