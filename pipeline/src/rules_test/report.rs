//! What the tests of a rule set came to: for a person, for JUnit readers, for programs.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use crate::diagnostic::{self, Diagnostic, Lang, Message, Sources};

/// The outcome of all tests, by rule and then in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every test.
    pub tested: Vec<Tested>,
    /// Rules without both a hit and a miss among what their tests expect.
    pub untested: Vec<String>,
}

/// One test that ran.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The rule's id.
    pub rule: String,
    /// The rule's file.
    pub file: PathBuf,
    /// The test's name.
    pub test: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Everything was as expected.
    Passed,
    /// What was not.
    Failed(Vec<Difference>),
}

/// How an event differs from what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where the expectation stands in the rule's file.
    pub span: Range<usize>,
    /// What differs.
    pub message: Message,
    /// The values that the rule saw: a line each.
    pub used: String,
}

impl Report {
    /// How many tests failed.
    pub fn failed(&self) -> usize {
        self.failures().count()
    }

    fn failures(&self) -> impl Iterator<Item = (&Tested, &[Difference])> {
        self.tested.iter().filter_map(|tested| match &tested.outcome {
            Outcome::Passed => None,
            Outcome::Failed(wrong) => Some((tested, wrong.as_slice())),
        })
    }

    /// The failures as mistakes in the rule files.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let one = |(tested, wrong): (&Tested, &[Difference])| {
            let (test, file) = (&tested.test, &tested.file);
            let diagnostic = |Difference { span, message, used }: &Difference| {
                let message = Message::new(
                    format!("test \"{test}\": {}", message.en),
                    format!("测试“{test}”:{}", message.zh),
                );
                let saw = || {
                    Message::new(format!("the rule saw\n{used}"), format!("规则看到的值\n{used}"))
                };
                Diagnostic::error("test-failed", file, Some(span.clone()), message)
                    .with_hint((!used.is_empty()).then(saw))
            };
            wrong.iter().map(diagnostic).collect::<Vec<_>>()
        };
        self.failures().flat_map(one).collect()
    }

    /// For a person: each failure at its place, then the numbers.
    pub fn text(&self, sources: &Sources, lang: Lang, color: bool) -> String {
        let mut out = diagnostic::render(&self.diagnostics(), sources, lang, color);
        let (failed, all) = (self.failed(), self.tested.len());
        let passed = all - failed;
        let untested = self.untested.join(", ");
        // Writing to a string cannot fail.
        let _ = match lang {
            Lang::En => {
                let noun = if all == 1 { "test" } else { "tests" };
                writeln!(out, "{all} {noun}: {passed} passed, {failed} failed")
            }
            Lang::Zh => writeln!(out, "共 {all} 个测试:通过 {passed},失败 {failed}"),
        };
        if !self.untested.is_empty() {
            let _ = match lang {
                Lang::En => writeln!(out, "without both a hit and a miss: {untested}"),
                Lang::Zh => writeln!(out, "缺少命中或未命中测试的规则:{untested}"),
            };
        }
        out
    }

    /// For a build server: JUnit XML, a suite a rule.
    pub fn junit(&self, lang: Lang) -> String {
        let (failed, all) = (self.failed(), self.tested.len());
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"hongxian rules test\" tests=\"{all}\" failures=\"{failed}\">\n"
        );
        for suite in self.tested.chunk_by(|one, next| one.rule == next.rule) {
            let failed = suite.iter().filter(|one| one.outcome != Outcome::Passed).count();
            let (rule, all) = (xml(&suite[0].rule), suite.len());
            let _ = writeln!(
                out,
                "  <testsuite name=\"{rule}\" tests=\"{all}\" failures=\"{failed}\">"
            );
            for tested in suite {
                let (test, file) = (xml(&tested.test), xml(&tested.file.display().to_string()));
                let _ = write!(
                    out,
                    "    <testcase classname=\"{rule}\" name=\"{test}\" file=\"{file}\""
                );
                let Outcome::Failed(wrong) = &tested.outcome else {
                    out.push_str("/>\n");
                    continue;
                };
                out.push_str(">\n");
                for Difference { message, used, .. } in wrong {
                    let (message, used) = (xml(message.text(lang)), xml(used));
                    let _ = writeln!(out, "      <failure message=\"{message}\">{used}</failure>");
                }
                out.push_str("    </testcase>\n");
            }
            out.push_str("  </testsuite>\n");
        }
        out.push_str("</testsuites>\n");
        out
    }

    /// For a program.
    pub fn json(&self, sources: &Sources) -> serde_json::Value {
        let tests: Vec<serde_json::Value> = self
            .tested
            .iter()
            .map(|tested| {
                let wrong = match &tested.outcome {
                    Outcome::Passed => &[][..],
                    Outcome::Failed(wrong) => wrong,
                };
                serde_json::json!({
                    "rule": tested.rule,
                    "test": tested.test,
                    "file": tested.file.display().to_string(),
                    "passed": wrong.is_empty(),
                    "messages": wrong.iter().map(|said| &said.message.en).collect::<Vec<_>>(),
                    "messages_zh": wrong.iter().map(|said| &said.message.zh).collect::<Vec<_>>(),
                })
            })
            .collect();
        serde_json::json!({
            "tests": tests,
            "passed": self.tested.len() - self.failed(),
            "failed": self.failed(),
            "untested": self.untested,
            "failures": diagnostic::to_json(&self.diagnostics(), sources),
        })
    }
}

/// Text for an attribute of XML: escaped, and without what XML cannot hold.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
