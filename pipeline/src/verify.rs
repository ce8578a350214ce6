//! Whether a run is what it says it is: its log is whole, its files are those that it wrote, and its
//! inputs, rules and model give the same decisions again.
//!
//! The log alone shows that decisions were not changed by somebody who left `log/` and `run.toml` as
//! they were, and the hashes in `run.toml` show the same of every other file. Who changes decisions, log
//! and `run.toml` together is found by deciding everything anew; of features, verdicts and the report
//! nothing but `run.toml` speaks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::dataflow::Options;
use crate::diagnostic::{Failure, Message, unreadable};
use crate::finished::written::Wrong;
use crate::finished::{FinishedRun, go_on};
use crate::report::printable;
use crate::rules;
use crate::run;
use crate::sink::lines::LineReader;
use crate::sink::log::{BLOCK_DECISIONS, BLOCKS_FILE, Block};
use crate::sink::parquet;
use crate::source::Progress;

const DECISIONS: &str = "decisions.parquet";
/// Characters that are shown on each side of where two decisions part.
const SHOWN_CHARS: usize = 60;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Decisions of the run.
    pub decisions: u64,
    /// Blocks of its log.
    pub blocks: u64,
    /// The digest of all decisions, which is the root of the log.
    pub decisions_digest: String,
    /// Whether the log is whole.
    pub log: Answer,
    /// Whether every file is what the run wrote; none where an earlier version made the run, which did
    /// not say, or where the log is not whole.
    pub files: Option<Answer>,
    /// Whether the decisions come out the same again; none where it was not asked.
    pub re_execution: Option<Answer>,
}

/// Yes, or where not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// It is so.
    Yes,
    /// It is not.
    No {
        /// Where, and in what way.
        #[serde(serialize_with = "in_english")]
        why: Message,
    },
}

fn in_english<S: serde::Serializer>(message: &Message, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&message.en)
}

impl Answer {
    fn no(en: String, zh: String) -> Answer {
        Answer::No { why: Message::new(en, zh) }
    }
}

impl Verified {
    /// Why the answer is no, if it is.
    pub fn broken(&self) -> Option<&Message> {
        let all = [Some(&self.log), self.files.as_ref(), self.re_execution.as_ref()];
        all.into_iter().flatten().find_map(|one| match one {
            Answer::Yes => None,
            Answer::No { why } => Some(why),
        })
    }
}

/// Holds the decisions of a run to its log, and its files to what `run.toml` says of them.
///
/// # Errors
/// When the log or a file cannot be read (exit 1), or `progress` says to stop.
pub fn files(run: &FinishedRun, progress: &dyn Progress) -> Result<Verified, Failure> {
    let verified = log(run, progress)?;
    if verified.log != Answer::Yes || !run.says_what_it_wrote() {
        return Ok(verified);
    }
    let files = match run.hold_files(&|_| true, &|| go_on(progress))? {
        Ok(()) => Answer::Yes,
        Err(wrong @ Wrong::Unreadable(..)) => return Err(Failure::No(wrong.message())),
        Err(wrong @ Wrong::Altered(_)) => Answer::No { why: wrong.message() },
    };
    Ok(Verified { files: Some(files), ..verified })
}

fn log(run: &FinishedRun, progress: &dyn Progress) -> Result<Verified, Failure> {
    if run.days().is_empty() {
        return log_of(run, progress);
    }
    let mut all = Verified {
        decisions: 0,
        blocks: 0,
        decisions_digest: run.decisions_digest().to_owned(),
        log: Answer::Yes,
        files: None,
        re_execution: None,
    };
    for day in run.days() {
        let Verified { decisions, blocks, log, .. } = log_of(day, progress)?;
        all.decisions += decisions;
        all.blocks += blocks;
        if let Answer::No { why: Message { en, zh } } = log {
            let day = day.directory().display();
            all.log = Answer::no(format!("{day}: {en}"), format!("{day}：{zh}"));
            return Ok(all);
        }
    }
    let digest = parquet::digest(run.files(DECISIONS));
    let digest = digest.map_err(|error| damaged(run.directory(), &error))?.to_hex();
    if digest.as_str() != run.decisions_digest() {
        let was = run.decisions_digest();
        all.log = Answer::no(
            format!("each day is whole, and together they come to {digest} in place of {was}"),
            format!("每一日都完整，但合起来的摘要为 {digest}，而不是 {was}"),
        );
    }
    Ok(all)
}

fn log_of(run: &FinishedRun, progress: &dyn Progress) -> Result<Verified, Failure> {
    let mut verified = Verified {
        decisions: 0,
        blocks: 0,
        decisions_digest: run.decisions_digest().to_owned(),
        log: Answer::Yes,
        files: None,
        re_execution: None,
    };
    let path = run.log_directory().join(BLOCKS_FILE);
    let text = fs::read_to_string(&path).map_err(|error| Failure::No(unreadable(&path, &error)))?;
    let mut decisions = decisions(run)?;
    let mut hasher = blake3::Hasher::new();
    for line in text.lines() {
        if progress.stop() {
            return Err(Failure::Stopped);
        }
        let number = verified.blocks;
        let block = match serde_json::from_str::<Block>(line) {
            Ok(block) if block.first == verified.decisions && block.count > 0 => block,
            _ => {
                verified.log = Answer::no(
                    format!(
                        "line {} of the log is no block that follows the one before",
                        number + 1
                    ),
                    format!("日志第 {} 行不是接续前一块的块", number + 1),
                );
                return Ok(verified);
            }
        };
        let mut ids = [String::new(), String::new()];
        for nth in 0..block.count {
            let Some(line) = next(&mut decisions, run.directory())? else { break };
            hasher.update(line.as_bytes());
            verified.decisions += 1;
            if nth == 0 || nth + 1 == block.count {
                ids[usize::from(nth > 0)] = id_of(line);
            }
        }
        verified.blocks += 1;
        let last = verified.decisions == block.first + block.count;
        if !last || hasher.finalize().to_hex().as_str() != block.digest {
            verified.log = other_block(number, &block, &ids);
            return Ok(verified);
        }
    }
    verified.log = end(run, &verified, &hasher.finalize(), next(&mut decisions, run.directory())?);
    Ok(verified)
}

fn other_block(number: u64, block: &Block, ids: &[String; 2]) -> Answer {
    let (first, last) = (block.first, block.first + block.count - 1);
    let [from, to] = ids;
    Answer::no(
        format!(
            "block {number} of the log is not of these decisions: something is changed, gone or added \
             among decisions {first} to {last} ({from} to {to})"
        ),
        format!(
            "日志第 {number} 块与决策不符：第 {first} 至 {last} 条决策（{from} 至 {to}）有改动、缺失或添加"
        ),
    )
}

/// What is wrong once all blocks are right.
fn end(run: &FinishedRun, verified: &Verified, root: &blake3::Hash, more: Option<&str>) -> Answer {
    if let Some(line) = more {
        let (count, id) = (verified.decisions, id_of(line));
        return Answer::no(
            format!(
                "the log ends after {count} decisions, and decisions.parquet goes on with {id}"
            ),
            format!("日志止于第 {count} 条决策，而 decisions.parquet 还有 {id}"),
        );
    }
    if let Some(block) = verified.blocks.checked_sub(1)
        && verified.decisions <= block * BLOCK_DECISIONS
    {
        return Answer::no(
            format!(
                "a block of the log has fewer than {BLOCK_DECISIONS} decisions, and is not the last"
            ),
            format!("日志中有一块不足 {BLOCK_DECISIONS} 条决策，却不是最后一块"),
        );
    }
    let root = root.to_hex();
    let recorded = run.metrics().get("decisions_digest").and_then(|digest| digest.as_str());
    for (file, digest) in [("run.toml", Some(run.decisions_digest())), ("metrics.json", recorded)] {
        if digest != Some(root.as_str()) {
            let digest = digest.unwrap_or_default();
            return Answer::no(
                format!("the root of the log is {root}, and {file} says {digest}"),
                format!("日志的根为 {root}，而 {file} 记为 {digest}"),
            );
        }
    }
    Answer::Yes
}

/// Why nothing of a run can be decided again; none where it can.
///
/// # Errors
/// When the rules or the model of a stream's days are not there any more, or are wrong (exit 2).
pub fn not_again(run: &FinishedRun) -> Result<Option<Message>, Failure> {
    if run.goes_on().is_some() || !run.is_of_stream() {
        return Ok(run.goes_on());
    }
    // Whoever puts other rules into force changes the directory that the days name, and no day.
    let rules = rules::load(run.rules(), &Arc::new(run.schema()?))?.rules.hash.to_hex();
    let model = run.models().load()?.champion.map(|model| model.hash().to_owned());
    if (rules.as_str(), model.as_deref()) == (run.rules_hash(), run.model_hash()) {
        return Ok(None);
    }
    Ok(Some(Message::new(
        "the stream's rules or model were replaced since: to decide this again, export its input log, which \
         has all of them, and replay that",
        "流的规则或模型此后已更换：如需重新决策，请导出并重放包含它们全部的输入日志",
    )))
}

/// Decides everything anew, in `work`, and compares. `options` say how it is cut up, on which nothing
/// depends.
///
/// # Errors
/// When inputs, rules or model of the run are not there any more or have changed (exit 2), what a
/// backtest fails of, or `progress` says to stop.
pub fn again(
    run: &FinishedRun,
    options: Options,
    work: &Path,
    progress: &dyn Progress,
    interrupted: Arc<AtomicBool>,
) -> Result<Answer, Failure> {
    let request = run.request(work.to_owned(), options)?;
    let outcome = match run::run(&request, progress, interrupted.clone()) {
        Err(Failure::Interrupted) => return Err(Failure::Stopped),
        outcome => outcome?,
    };
    if interrupted.load(Ordering::Relaxed) || outcome.facts.partial {
        return Err(Failure::Stopped);
    }
    if let Some(answer) = others(run, &outcome.facts) {
        return Ok(answer);
    }
    let (mut then, mut now) = (decisions(run)?, decisions(&FinishedRun::open(work)?)?);
    let mut count = 0_u64;
    loop {
        match (next(&mut then, run.directory())?, next(&mut now, work)?) {
            (Some(then), Some(now)) if then == now => count += 1,
            // What a run that was interrupted did not come to.
            (None, None) => return Ok(Answer::Yes),
            (None, Some(_)) if run.partial() => return Ok(Answer::Yes),
            (then, now) => return Ok(differs(count, then, now)),
        }
    }
}

/// What had already changed before anything was decided: the inputs, the rules or the model.
fn others(run: &FinishedRun, facts: &crate::report::RunFacts) -> Option<Answer> {
    let inputs = facts.inputs.iter().map(|input| (input.name.as_str(), input.hash.as_str()));
    let changed: Vec<String> = inputs
        .filter(|(path, hash)| run.input_hash(path).is_some_and(|then| then != *hash))
        .map(|(path, _)| printable(path))
        .collect();
    if !changed.is_empty() {
        let names = changed.join(", ");
        return Some(Answer::no(
            format!("an input has changed since the run read it: {names}"),
            format!("输入文件在该运行之后已被改动：{names}"),
        ));
    }
    let hashes = [
        ("the rules have", "规则", Some(run.rules_hash()), Some(facts.rules_hash.as_str())),
        ("the model has", "模型", run.model_hash(), facts.model_hash.as_deref()),
    ];
    let (en, zh, then, now) = hashes.into_iter().find(|(_, _, then, now)| then != now)?;
    let (then, now) = (then.unwrap_or("-"), now.unwrap_or("-"));
    Some(Answer::no(
        format!("{en} changed since the run: hash {now} in place of {then}"),
        format!("{zh}在该运行之后已被改动：散列为 {now}，原为 {then}"),
    ))
}

/// Where two runs part.
fn differs(at: u64, then: Option<&str>, now: Option<&str>) -> Answer {
    let (was, is) = (then.unwrap_or_default(), now.unwrap_or_default());
    let id = id_of(then.or(now).unwrap_or_default());
    let part = was.bytes().zip(is.bytes()).take_while(|(was, is)| was == is).count();
    let shown = |line: &str| {
        if line.is_empty() {
            return "-".to_owned();
        }
        let (start, end) = (part.saturating_sub(SHOWN_CHARS), part + SHOWN_CHARS);
        let (start, end) = (line.floor_char_boundary(start), line.floor_char_boundary(end));
        printable(line[start..end].trim_end())
    };
    let (was, is) = (shown(was), shown(is));
    Answer::no(
        format!("decided again, decision {at} ({id}) is another: {is} in place of {was}"),
        format!("重新决策后，第 {at} 条决策（{id}）不同：{is}，原为 {was}"),
    )
}

fn decisions(run: &FinishedRun) -> Result<LineReader, Failure> {
    LineReader::of(run.files(DECISIONS)).map_err(|error| damaged(run.directory(), &error))
}

fn next<'l>(lines: &'l mut LineReader, directory: &Path) -> Result<Option<&'l str>, Failure> {
    lines.next_line().map_err(|error| damaged(directory, &error))
}

fn damaged(directory: &Path, error: &str) -> Failure {
    let path = directory.join(DECISIONS);
    let path = path.display();
    Failure::No(Message::new(
        format!("cannot read {path}: {error}"),
        format!("无法读取 {path}：{error}"),
    ))
}

/// The id of the event of a decision, to be shown.
fn id_of(line: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Id {
        event_id: String,
    }
    let id: Option<Id> = serde_json::from_str(line).ok();
    printable(&id.map(|id| id.event_id).unwrap_or_default())
}
