//! `hongxian verify`.

use std::path::PathBuf;

use super::reading::again;
use super::{Shown, environment, note, print, with_run};
use crate::diagnostic::{Failure, Lang};
use crate::report;
use crate::verify::{self, Answer, Verified};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run directory of a backtest or a stream; its inputs are read again
    run: PathBuf,
    /// Look at the log and the files alone, and decide nothing anew
    #[arg(long)]
    log_only: bool,
    /// Worker threads, on which no result depends [default: the machine's cores]
    #[arg(long)]
    workers: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let (_, (verified, why)) =
        again(arguments.workers, |work, options, (progress, interrupted)| {
            with_run(&arguments.run, shown, |run| {
                let mut verified = verify::files(run, progress)?;
                if arguments.log_only || verified.broken().is_some() {
                    return Ok((verified, None));
                }
                let why = verify::not_again(run)?;
                if why.is_none() {
                    let again = verify::again(run, options, work, progress, interrupted.clone());
                    verified.re_execution = Some(again?);
                }
                Ok((verified, why))
            })
        })?;
    if let Some(why) = why {
        note(&why, shown);
    }
    if arguments.json {
        let json =
            serde_json::to_value(&verified).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
    } else {
        print(&terminal(&verified, shown.lang));
    }
    match verified.broken() {
        Some(why) => Err(Failure::No(why.clone())),
        None => Ok(()),
    }
}

fn terminal(verified: &Verified, lang: Lang) -> String {
    let Verified { decisions, blocks, decisions_digest, log, files, re_execution } = verified;
    let say = |en: &'static str, zh: &'static str| if lang == Lang::Zh { zh } else { en };
    let mut out = String::new();
    if *log == Answer::Yes {
        let whole = match lang {
            Lang::En => format!("the log is whole: {decisions} decisions in {blocks} blocks\n"),
            Lang::Zh => format!("日志完整：{decisions} 条决策，{blocks} 块\n"),
        };
        out.push_str(&whole);
    }
    if *files == Some(Answer::Yes) {
        out.push_str(say("every file is what the run wrote\n", "每个文件都与运行写入时相同\n"));
    }
    match re_execution {
        Some(Answer::Yes) => {
            out.push_str(say(
                "decided again, every decision is the same\n",
                "重新决策，每条决策都相同\n",
            ));
        }
        Some(Answer::No { .. }) => {}
        None if verified.broken().is_none() => {
            out.push_str(say("nothing was decided again\n", "未重新决策\n"));
        }
        None => {}
    }
    out.push_str(decisions_digest);
    out.push('\n');
    out
}
