//! `hongxian text`.

use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reading::Reading;
use super::{JsonAnyway, Shown, end_on_ctrl_c, environment, note, print, with_run};
use crate::diagnostic::{Failure, Message, Sources};
use crate::discover;
use crate::features::text::{Lexicon, Scratch, read_directory, read_text};
use crate::finished::{Events, FinishedRun};
use crate::report::{self, Screen};
use crate::stopwatch::ThreadTime;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print the hits of each line of standard input as one JSON line
    Scan {
        /// Phrase files [default: all of rules/text/phrases]
        #[arg(long, num_args = 1..)]
        phrases: Vec<PathBuf>,
        #[command(flatten)]
        _json: JsonAnyway,
    },
    /// Measure how fast the lines of standard input are scanned on one core
    Bench {
        /// Phrase files [default: all of rules/text/phrases]
        #[arg(long, num_args = 1..)]
        phrases: Vec<PathBuf>,
        /// How often the lines are scanned; the fastest round counts
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Find code words that no phrase knows in the texts of a run
    ///
    /// Short terms that people say before they pay one account, again and again, and that hardly
    /// anybody else says, ranked for an analyst: with who, where and when, what was paid after them,
    /// examples, and a line for a phrase file. Text is all that is looked at, and whom the speaker
    /// pays within ten minutes; a term is a lead and no finding.
    Discover {
        /// Run directory of a backtest; its inputs are read again
        run: PathBuf,
        /// Phrase files that are known [default: all of the rules of the run]
        #[arg(long, num_args = 1..)]
        phrases: Vec<PathBuf>,
        /// How many terms are listed
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
        top: u16,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Command, shown: Shown) -> Result<(), Failure> {
    match command {
        Command::Discover { run, phrases, top, json } => {
            discover(run, phrases, usize::from(*top), *json, shown)
        }
        Command::Scan { phrases, .. } => scan(phrases),
        Command::Bench { phrases, rounds, json } => bench(phrases, *rounds, *json),
    }
}

fn discover(
    directory: &Path,
    phrases: &[PathBuf],
    top: usize,
    json: bool,
    shown: Shown,
) -> Result<(), Failure> {
    let progress = Reading::begin(&Arc::default());
    let read = with_run(directory, shown, |run| {
        let lexicon = match (phrases, run.rules()) {
            ([], Some(rules)) => known(rules)?,
            ([], None) => from_files(&[])?,
            _ => lexicon(phrases)?,
        };
        Ok((lexicon, run.events(&progress)?))
    });
    progress.end();
    let (run, (lexicon, events)) = read?;
    if let (true, Some(rules)) = (phrases.is_empty(), run.rules())
        && !same_rules(&run, rules, &events)
    {
        note(&other_rules(rules), shown);
    }
    let found = discover::discover(&events, &lexicon, top, &progress)?;
    if json {
        let json = serde_json::to_value(&found).map_err(|error| environment(error.to_string()))?;
        print(&report::json(&json));
        return Ok(());
    }
    let screen = Screen { lang: shown.lang, width: shown.width, rich: shown.rich };
    print(&discover::terminal(&found, run.zone(), screen));
    Ok(())
}

/// The phrases of the rules of a run, which may have none; but the rules must be there.
fn known(rules: &Path) -> Result<Lexicon, Failure> {
    if !rules.is_dir() {
        let rules = rules.display();
        return Err(Failure::Usage(Message::new(
            format!(
                "the rules of this run are not there: {rules}, as seen from where the backtest was \
                 started; start this command there too, or give --phrases FILE..."
            ),
            format!(
                "该运行的规则目录不存在：{rules}（相对于回测启动目录）；请在同一目录执行，或用 --phrases 指定词表文件"
            ),
        )));
    }
    from_files(&phrases_in(&rules.join("text").join("phrases"))?)
}

fn phrases_in(directory: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let (files, wrong) = read_directory(directory);
    if wrong.is_empty() { Ok(files) } else { Err(Failure::Input(wrong, Sources::default())) }
}

/// Whether the rules are still those with which the run began.
fn same_rules(run: &FinishedRun, rules: &Path, events: &Events) -> bool {
    let loaded = crate::rules::load(Some(rules), events.ordered().schema());
    loaded.is_ok_and(|loaded| loaded.rules.hash.to_hex().as_str() == run.rules_hash())
}

fn other_rules(rules: &Path) -> Message {
    let rules = rules.display();
    Message::new(
        format!("{rules} is not what it was when this run began: its phrases of today are used"),
        format!("{rules} 与该运行开始时的规则不同：使用的是当前的词表"),
    )
}

fn scan(phrases: &[PathBuf]) -> Result<(), Failure> {
    end_on_ctrl_c();
    scan_lines(&lexicon(phrases)?, std::io::stdin().lock(), std::io::stdout().lock())
}

/// Bytes that are read and written at once.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes the hits of each line; what has been found goes out before more input is waited for. A
/// reader that went away ends it, and is no failure.
fn scan_lines(
    lexicon: &Lexicon,
    input: impl std::io::Read,
    output: impl std::io::Write,
) -> Result<(), Failure> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, output);
    let mut line = Vec::new();
    loop {
        let waits = !input.buffer().contains(&b'\n');
        let flushed = if waits { output.flush() } else { Ok(()) };
        line.clear();
        let read = match flushed {
            Ok(()) => input.read_until(b'\n', &mut line).map_err(|error| unread(&error))?,
            Err(error) => return unwritten(&error),
        };
        if read == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_suffix('\n').unwrap_or(&line).trim_end_matches('\r');
        if let Err(error) = writeln!(output, "{}", lexicon.scan_line(line)) {
            return unwritten(&error);
        }
    }
}

fn unread(error: &std::io::Error) -> Failure {
    Failure::Environment(Message::new(
        format!("cannot read standard input: {error}"),
        format!("无法读取标准输入：{error}"),
    ))
}

/// What a write that failed means.
fn unwritten(error: &std::io::Error) -> Result<(), Failure> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Failure::Environment(Message::new(
        format!("cannot write to standard output: {error}"),
        format!("无法写入标准输出：{error}"),
    )))
}

/// How many lines a round scans at least: about half a second, because the system counts processor
/// time in steps of some milliseconds.
const LINES_A_ROUND: usize = 2_000_000;

fn bench(phrases: &[PathBuf], rounds: u32, json: bool) -> Result<(), Failure> {
    let mut input = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut input);
    read.map_err(|error| unread(&error))?;
    let lines: Vec<&str> = input.lines().collect();
    if lines.is_empty() {
        return Err(Failure::Usage(Message::new(
            "standard input has no line to scan".to_owned(),
            "标准输入没有可扫描的行".to_owned(),
        )));
    }
    let (lexicon, load) = ThreadTime::of(|| lexicon(phrases));
    let lexicon = lexicon?;
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let (mut count, mut hit_lines, mut best) = (0, 0, f64::INFINITY);
    let passes = (LINES_A_ROUND / lines.len()).max(1);
    for _ in 0..rounds {
        let ((), seconds) = ThreadTime::of(|| {
            for _ in 0..passes {
                (count, hit_lines) = (0, 0);
                for line in &lines {
                    lexicon.scan(line, &mut scratch, &mut hits);
                    count += hits.len();
                    hit_lines += usize::from(!hits.is_empty());
                }
            }
        });
        best = best.min(seconds);
    }
    let rate = (passes * lines.len()) as f64 / best;
    let characters: usize = lines.iter().map(|line| line.chars().count()).sum();
    let report = serde_json::json!({
        "phrases": lexicon.len(),
        "load_seconds": load,
        "lines": lines.len(),
        "characters_a_line": characters as f64 / lines.len() as f64,
        "lines_with_hits": hit_lines,
        "hits": count,
        "lines_a_second": rate,
    });
    if json {
        print(&format!("{report}\n"));
    } else {
        print(&format!(
            "{} phrases loaded in {:.0} ms\n{} lines, {} of them with hits, {} hits\n\
             {:.2} million lines a second on one core (CPU time, fastest of {rounds} rounds)\n",
            lexicon.len(),
            load * 1e3,
            lines.len(),
            hit_lines,
            count,
            rate / 1e6,
        ));
    }
    Ok(())
}

/// Where phrases are looked for if none are given.
const PHRASES: &str = "rules/text/phrases";

fn lexicon(phrases: &[PathBuf]) -> Result<Lexicon, Failure> {
    let mut files = Vec::new();
    for path in phrases {
        files.push((path.clone(), read_text(path).map_err(Failure::Usage)?));
    }
    if phrases.is_empty() {
        files = phrases_in(Path::new(PHRASES))?;
    }
    if files.is_empty() {
        return Err(Failure::Usage(Message::new(
            format!("there are no phrases in {PHRASES} here; give --phrases FILE..."),
            format!("当前目录下的 {PHRASES} 中没有词表；请用 --phrases 指定词表文件"),
        )));
    }
    from_files(&files)
}

fn from_files(files: &[(PathBuf, String)]) -> Result<Lexicon, Failure> {
    let mut sources = Sources::default();
    for (path, text) in files {
        sources.add(path, text.clone());
    }
    Lexicon::from_files(files).map_err(|found| Failure::Input(found, sources))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::{Arc, Mutex};

    use super::*;

    fn known() -> Lexicon {
        let file = ("p.txt".into(), "上分 | category=gambling weight=10\n".to_owned());
        from_files(&[file]).expect("a phrase")
    }

    /// What has come out so far, and how much a reader takes before it goes away.
    #[derive(Clone)]
    struct Out(Arc<Mutex<Vec<u8>>>, usize);

    impl std::io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut written = self.0.lock().unwrap();
            if written.len() >= self.1 {
                return Err(ErrorKind::BrokenPipe.into());
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Input that comes in pieces; before each is handed over, all lines so far must be out.
    struct Pieces(Vec<&'static str>, usize, Out);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let lines = self.2.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count();
            assert!(lines >= self.1, "every whole line that was read is out");
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece.as_bytes());
            self.1 += piece.matches('\n').count();
            Ok(piece.len())
        }
    }

    #[test]
    fn hits_are_out_before_more_input_is_waited_for() {
        let out = Out(Arc::default(), usize::MAX);
        let pieces = Pieces(vec!["上分\n晚安\n上", "分\r\n", "没有", "\n上分"], 0, out.clone());
        scan_lines(&known(), pieces, out.clone()).unwrap();
        let written = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let hits: Vec<usize> = written
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|found| found["hits"].as_array().unwrap().len())
            .collect();
        assert_eq!(hits, [1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_scan() {
        struct Endless(usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0 += 1;
                assert!(self.0 < 100, "nobody reads what is scanned");
                let line = "上分\n".as_bytes();
                buffer[..line.len()].copy_from_slice(line);
                Ok(line.len())
            }
        }
        scan_lines(&known(), Endless(0), Out(Arc::default(), 100)).unwrap();
    }

    #[test]
    fn no_phrases_at_all_is_a_mistake() {
        // The tests run in the folder of the crate, which has no rules.
        let Err(failure) = lexicon(&[]) else { panic!("there are none") };
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.render(crate::diagnostic::Lang::En, false).contains("--phrases"));
    }
}
