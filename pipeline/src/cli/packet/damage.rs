//! What is wrong with a journal or a proof, in both languages.

use crate::diagnostic::{Failure, Message};
use crate::packet::journal::error::OUTSIDE;
use crate::packet::journal::snapshot::SnapshotFault;
use crate::packet::journal::{CheckpointError, Damage, Fault, ProofError};

/// The answer is that a journal is broken at a place.
pub(super) fn damaged(damage: &Damage) -> Failure {
    let Damage { file, offset, batch, fault } = damage;
    let place = match &**file {
        OUTSIDE => format!("另存的检查点第 {offset} 个"),
        file => format!("{file} 第 {offset} 字节"),
    };
    Failure::No(Message::new(
        format!("the journal is broken: {damage}"),
        format!("日志已损坏:{place},第 {batch} 批:{}", of_fault(fault)),
    ))
}

/// A proof shows nothing.
pub(super) fn shows_nothing(error: &ProofError) -> Failure {
    Failure::No(Message::new(
        format!("the proof shows nothing: {error}"),
        format!("证明无效:{}", of_proof(error)),
    ))
}

fn of_fault(fault: &Fault) -> String {
    match fault {
        Fault::Frame(error) => format!("帧已损坏({error}),且并非崩溃所致:该批曾完整写入磁盘"),
        Fault::Covered { error, size } => {
            format!("帧已损坏({error}),而涵盖 {size} 批的检查点表明该批曾完整写入磁盘")
        }
        Fault::Segment { named, expected } => {
            format!("该段从第 {named} 批开始,接下来应为第 {expected} 批")
        }
        Fault::SegmentName => "文件名不是日志段的名称".into(),
        Fault::Batch(found) => format!("这是第 {found} 批"),
        Fault::Previous => "所记的前一帧哈希与前一帧不符".into(),
        Fault::Sequence { found, expected } => {
            format!("从第 {found} 条命令开始,接下来应为第 {expected} 条")
        }
        Fault::Time { found, before } => format!("执行时间 {found} 早于前一批的 {before}"),
        Fault::LogTree => "此前的帧已不是写入或读取时的内容".into(),
        Fault::HeadsRoot => "重新执行后,该批留下的红包与帧中所载不同".into(),
        Fault::PacketTwice => "重新执行后,该批两次给出同一个红包".into(),
        Fault::Replay(words) => format!("重新执行该批失败:{words}"),
        Fault::Snapshot(fault) => of_snapshot(fault),
        Fault::Checkpoint(error) => of_checkpoint(error),
    }
}

fn of_snapshot(fault: &SnapshotFault) -> String {
    match fault {
        SnapshotFault::Length { needed, found } => {
            format!("快照应为 {needed} 字节,实为 {found} 字节")
        }
        SnapshotFault::Magic => "文件开头不是快照".into(),
        SnapshotFault::Version(version) => format!("快照的格式版本 {version} 未知"),
        SnapshotFault::Earlier(version) => format!("快照由早先版本写成（格式版本 {version}）"),
        SnapshotFault::Hash => "快照内容与其哈希不符".into(),
        SnapshotFault::Name(batch) => format!("快照属于第 {batch} 批,与文件名不符"),
        SnapshotFault::Ahead(batches) => format!("快照所在的批已丢失:日志只有 {batches} 批"),
        SnapshotFault::OtherBatch => "快照属于另一个批,不是日志中的这一批".into(),
        SnapshotFault::LogTree => "快照中的日志树与日志不符".into(),
        SnapshotFault::State => "快照中的状态与重新执行日志所得不同".into(),
    }
}

fn of_checkpoint(error: &CheckpointError) -> String {
    match error {
        CheckpointError::Note(_) | CheckpointError::Malformed(_) => format!("检查点无效:{error}"),
        CheckpointError::Origin { found, expected } => {
            format!("检查点属于日志 `{found}`,不是 `{expected}`")
        }
        CheckpointError::Equivocation { size } => {
            format!("{size} 批的两个检查点有不同的根:日志有两个版本")
        }
        CheckpointError::RolledBack { size, before } => {
            format!("{size} 批的检查点在 {before} 批的之后:日志曾被回退")
        }
        CheckpointError::Truncated { size, batches } => {
            format!("检查点涵盖 {size} 批,而日志只有 {batches} 批:日志被截短")
        }
        CheckpointError::Forked { size } => format!("日志的前 {size} 批不是检查点所涵盖的各批"),
    }
}

fn of_proof(error: &ProofError) -> String {
    match error {
        ProofError::Json(words) => format!("不是证明文件:{words}"),
        ProofError::TooLong(bytes) => format!("{bytes} 字节,过长"),
        ProofError::Version(version) => format!("格式版本 {version} 未知"),
        ProofError::Field(field) => format!("`{field}` 不是长度正确的 base64"),
        ProofError::Checkpoint(error) => of_checkpoint(error),
        ProofError::NotCovered { batch, size } => {
            format!("检查点涵盖 {size} 批,不含第 {batch} 批")
        }
        ProofError::Place { place, after, claims } => {
            format!("共 {claims} 笔,其后有 {after} 笔,次序不会是 {place}")
        }
        ProofError::Chain => "各条记录得不出红包的链头".into(),
        ProofError::BatchPath => "红包的链头不在该批之中".into(),
        ProofError::LogPath(why) => format!("该批不在已签名的日志中:{why}"),
        ProofError::Growth(why) => format!("日志并非只有追加:{why}"),
        ProofError::Sizes { old, new, batches } => {
            format!("无法证明从 {old} 批到 {new} 批:日志共 {batches} 批")
        }
        ProofError::NotTouched => "该批没有涉及此红包".into(),
        ProofError::OtherBatch => "这些红包不是该批所涉及的".into(),
    }
}
