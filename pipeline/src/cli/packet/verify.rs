//! `hongxian packet verify`.

use std::path::PathBuf;

use super::damage::damaged;
use super::place::{self, Keys, PUBLIC, SECRET};
use crate::cli::{Shown, environment, print};
use crate::diagnostic::{Failure, Lang};
use crate::packet::durable::Auditor;
use crate::packet::journal::checkpoint::CheckpointFile;
use crate::packet::journal::{Cut, Directory, JournalError, Replay, Trust, Verified, verify};

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

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let directory = &arguments.directory;
    place::must_be_a_journal(directory)?;
    let default = directory.join(PUBLIC);
    let key = place::public_key(arguments.key.as_deref().unwrap_or(&default))?;
    let mut checkpoints = Vec::new();
    let mut unfinished = Vec::new();
    for path in &arguments.checkpoints {
        let bytes = std::fs::read(path).map_err(|error| place::at(path, &error))?;
        let file = CheckpointFile::read_outside(&bytes).map_err(|damage| {
            let (path, fault) = (path.display(), &damage.fault);
            place::usage(
                format!("{path} holds no checkpoints: {fault} (byte {})", damage.offset),
                format!("{path} 不是检查点文件:{fault}(字节 {})", damage.offset),
            )
        })?;
        checkpoints.extend(file.checkpoints.iter().map(|(_, signed)| signed.note().to_owned()));
        unfinished.extend(file.torn.map(|cut| Cut { file: path.display().to_string(), ..cut }));
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
        JournalError::Damage(damage) => damaged(&damage),
        other => environment(other.to_string()),
    })?;
    if verified.batches == 0 {
        return Err(place::no_journal(directory));
    }
    if let Some(engine) = auditor.as_ref().and_then(Auditor::engine) {
        engine.audit();
    }
    print(&match arguments.json {
        true => as_json(&verified, executed),
        false => in_words(&verified, executed, &unfinished, shown.lang),
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
        "checkpoints_outside": verified.checkpoints_outside,
        "executed_again": executed,
        "snapshots_compared": if executed { verified.snapshots } else { 0 },
        "snapshots_earlier": verified.snapshots_earlier,
        "unfinished_bytes": verified.unfinished.as_ref().map_or(0, |cut| cut.bytes),
    });
    format!("{value}\n")
}

fn in_words(verified: &Verified, executed: bool, outside: &[Cut], lang: Lang) -> String {
    let Verified { batches, commands, bytes, root, checkpoints, checkpoints_outside, .. } =
        verified;
    let snapshots = verified.snapshots;
    let zh = lang == Lang::Zh;
    let mut lines = vec![match lang {
        Lang::En => format!("whole: {commands} commands in {batches} batches, {bytes} bytes"),
        Lang::Zh => format!("日志完整:{commands} 条命令,{batches} 批,{bytes} 字节"),
    }];
    lines.push(if zh { format!("根 {root}") } else { format!("root {root}") });
    lines.push(match (checkpoints + checkpoints_outside, lang) {
        (0, Lang::En) => "no checkpoint: nothing shows that this is all, or what was first written".into(),
        (0, Lang::Zh) => "没有检查点:无从证明日志未被截短或改写".into(),
        (_, Lang::En) => format!(
            "{checkpoints} checkpoints of the journal agree, and {checkpoints_outside} kept elsewhere"
        ),
        (_, Lang::Zh) => {
            format!("日志自带的 {checkpoints} 个检查点相符,另存的 {checkpoints_outside} 个相符")
        }
    });
    lines.push(match (executed, lang) {
        (true, Lang::En) => "executed again: every outcome is as it stands there".into(),
        (true, Lang::Zh) => "已重新执行:每个结果都与日志所载相同".into(),
        (false, Lang::En) => {
            "not executed again: the secret is not here, so draws were not checked".into()
        }
        (false, Lang::Zh) => "未重新执行:此处没有密钥,未核对抽取结果".into(),
    });
    if snapshots > 0 {
        lines.push(match (executed, lang) {
            (true, Lang::En) => format!("{snapshots} snapshots hold the state that it came to"),
            (true, Lang::Zh) => format!("{snapshots} 个快照与重新执行所得的状态相同"),
            (false, Lang::En) => format!("{snapshots} snapshots: their state was not compared"),
            (false, Lang::Zh) => format!("{snapshots} 个快照:未核对其中的状态"),
        });
    }
    match (verified.snapshots_earlier, lang) {
        (0, _) => {}
        (earlier, Lang::En) => {
            lines.push(format!(
                "{earlier} snapshots of an earlier version, which this one passes over"
            ));
        }
        (earlier, Lang::Zh) => lines.push(format!("{earlier} 个快照为早先版本所写,本版本不使用")),
    }
    for Cut { file, offset, bytes, .. } in
        verified.unfinished.iter().chain(&verified.checkpoints_unfinished)
    {
        lines.push(match lang {
            Lang::En => format!(
                "{file} at byte {offset}: an unfinished end of {bytes} bytes, which the next opening \
                 cuts off"
            ),
            Lang::Zh => {
                format!("{file} 自第 {offset} 字节起:末尾 {bytes} 字节未写完,下次打开时将截去")
            }
        });
    }
    for Cut { file, offset, bytes, .. } in outside {
        lines.push(match lang {
            Lang::En => format!("{file} at byte {offset}: {bytes} bytes are no whole checkpoint"),
            Lang::Zh => format!("{file} 自第 {offset} 字节起:{bytes} 字节不是完整的检查点"),
        });
    }
    lines.join("\n") + "\n"
}
