//! `hongxian packet verify`.

use std::path::PathBuf;

use super::place::{self, Keys, PUBLIC, SECRET};
use crate::cli::{environment, print};
use crate::diagnostic::Failure;
use crate::packet::durable::Auditor;
use crate::packet::journal::checkpoint::CheckpointFile;
use crate::packet::journal::{Directory, JournalError, Replay, Trust, Verified, verify};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the journal
    directory: PathBuf,
    /// Checkpoints that were kept elsewhere: they must agree with the journal
    #[arg(long, value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// The operator's public key [default: public.key in the directory]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let default = directory.join(PUBLIC);
    let key = place::public_key(arguments.key.as_deref().unwrap_or(&default))?;
    let mut checkpoints = Vec::new();
    for path in &arguments.checkpoints {
        let bytes = std::fs::read(path).map_err(|error| place::at(path, &error))?;
        let file = CheckpointFile::read(&bytes).map_err(|damage| {
            let text = format!("{}: {damage}", path.display());
            place::usage(text.clone(), text)
        })?;
        checkpoints.extend(file.checkpoints.iter().map(|(_, signed)| signed.note().to_owned()));
    }
    let trust = Trust { key: Some(key), checkpoints };
    let storage = Directory::read_only(directory).map_err(|error| place::at(directory, &error))?;
    let executed = directory.join(SECRET).exists();
    let mut auditor = match executed {
        true => Some(Auditor::new(Keys::read(directory)?.draws, ())),
        false => None,
    };
    let replay = auditor.as_mut().map(|auditor| auditor as &mut dyn Replay);
    let verified = verify(&storage, &trust, replay).map_err(|error| match error {
        JournalError::Damage(damage) => place::broken(&damage.to_string()),
        other => environment(other.to_string()),
    })?;
    if verified.batches == 0 {
        return Err(place::usage(
            format!("there is no journal in {}", directory.display()),
            format!("{} 中没有日志", directory.display()),
        ));
    }
    if let Some(engine) = auditor.as_ref().and_then(Auditor::engine) {
        engine.audit();
    }
    print(&if arguments.json {
        as_json(&verified, executed)
    } else {
        in_words(&verified, executed)
    });
    Ok(())
}

fn as_json(verified: &Verified, executed: bool) -> String {
    let value = serde_json::json!({
        "batches": verified.batches,
        "commands": verified.commands,
        "bytes": verified.bytes,
        "hash": verified.hash.to_string(),
        "root": verified.root.to_string(),
        "checkpoints": verified.checkpoints,
        "executed_again": executed,
        "unfinished_bytes": verified.unfinished.as_ref().map_or(0, |cut| cut.bytes),
    });
    format!("{value}\n")
}

fn in_words(verified: &Verified, executed: bool) -> String {
    let Verified { batches, commands, bytes, checkpoints, .. } = verified;
    let mut text = format!(
        "whole: {commands} commands in {batches} batches, {bytes} bytes\nroot {}\n\
         {checkpoints} checkpoints agree\n",
        verified.root,
    );
    text += match executed {
        true => "executed again: every outcome is as it stands there\n",
        false => "not executed again: the secret is not here, so draws were not checked\n",
    };
    for cut in verified.unfinished.iter().chain(&verified.checkpoints_unfinished) {
        text += &format!("{cut}, which the next opening cuts off\n");
    }
    text
}
