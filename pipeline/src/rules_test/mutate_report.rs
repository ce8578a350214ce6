//! What came of mutating rules: for a person, for JUnit readers, for programs.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::mutate::Survivor;
use super::report::xml;
use crate::diagnostic::{self, Diagnostic, Lang, Sources};

/// The mutants of all rules.
#[derive(Clone, Debug, Default)]
pub struct Mutations {
    /// By rule.
    pub of: Vec<MutantsOf>,
}

/// The mutants of one rule.
#[derive(Clone, Debug)]
pub struct MutantsOf {
    /// The rule's id.
    pub rule: String,
    /// The rule's file.
    pub file: PathBuf,
    /// How many there were.
    pub mutants: usize,
    /// Those that no test noticed, by where they stand.
    pub survivors: Vec<Survivor>,
}

impl Mutations {
    /// How many there were.
    pub fn mutants(&self) -> usize {
        self.of.iter().map(|of| of.mutants).sum()
    }

    /// How many no test noticed.
    pub fn survivors(&self) -> usize {
        self.of.iter().map(|of| of.survivors.len()).sum()
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        let one = |of: &MutantsOf| {
            let of = of.clone();
            of.survivors.into_iter().map(move |Survivor { span, change, hint }| {
                Diagnostic::error("mutant-survived", &of.file, Some(span), change)
                    .with_hint(Some(hint))
            })
        };
        self.of.iter().flat_map(one).collect()
    }

    /// For a person: each survivor at its place, the rules that have some, and the numbers.
    pub fn text(&self, sources: &Sources, lang: Lang, color: bool) -> String {
        let mut out = diagnostic::render(&self.diagnostics(), sources, lang, color);
        for of in self.of.iter().filter(|of| !of.survivors.is_empty()) {
            let (rule, count, all) = (&of.rule, of.survivors.len(), of.mutants);
            // Writing to a string cannot fail.
            let _ = match lang {
                Lang::En => writeln!(out, "{rule}: {count} of {all} mutants survive"),
                Lang::Zh => writeln!(out, "{rule}:{all} 个变异中有 {count} 个存活"),
            };
        }
        let (rules, all, left) = (self.of.len(), self.mutants(), self.survivors());
        let _ = match lang {
            Lang::En => writeln!(out, "{all} mutants of {rules} rules: {left} survive"),
            Lang::Zh => writeln!(out, "{rules} 条规则共 {all} 个变异:{left} 个存活"),
        };
        out
    }

    /// For a build server: JUnit XML, a suite a rule, a failed case a survivor.
    pub fn junit(&self, sources: &Sources, lang: Lang) -> String {
        let (all, left) = (self.mutants(), self.survivors());
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"hongxian rules test --mutate\" tests=\"{all}\" failures=\"{left}\">\n"
        );
        for of in &self.of {
            let (rule, all, left) = (xml(&of.rule), of.mutants, of.survivors.len());
            let file = xml(&of.file.display().to_string());
            let _ =
                writeln!(out, "  <testsuite name=\"{rule}\" tests=\"{all}\" failures=\"{left}\">");
            if all > left {
                let noticed = all - left;
                let _ = writeln!(
                    out,
                    "    <testcase classname=\"{rule}\" name=\"{noticed} noticed\" file=\"{file}\"/>"
                );
            }
            for survivor in &of.survivors {
                let line = line(sources.get(&of.file).unwrap_or(""), survivor.span.start);
                let (change, hint) =
                    (xml(survivor.change.text(lang)), xml(survivor.hint.text(lang)));
                let _ = writeln!(
                    out,
                    "    <testcase classname=\"{rule}\" name=\"{change}\" file=\"{file}\" \
                     line=\"{line}\">\n      <failure message=\"{hint}\"/>\n    </testcase>"
                );
            }
            out.push_str("  </testsuite>\n");
        }
        out.push_str("</testsuites>\n");
        out
    }

    /// For programs.
    pub fn json(&self, sources: &Sources) -> serde_json::Value {
        let rules: Vec<serde_json::Value> = self
            .of
            .iter()
            .map(|of| {
                serde_json::json!({
                    "rule": of.rule,
                    "file": of.file.display().to_string(),
                    "mutants": of.mutants,
                    "survivors": of.survivors.len(),
                })
            })
            .collect();
        serde_json::json!({
            "mutants": self.mutants(),
            "survivors": self.survivors(),
            "rules": rules,
            "survived": diagnostic::to_json(&self.diagnostics(), sources),
        })
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
