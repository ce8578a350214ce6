//! The decision record: a batch of decisions in columns, and its canonical JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, EVENT_ID, EVENT_TIME, FieldId, GROUP_ID, NULL_INT,
    PACKET_ID, Strings,
};
use crate::source::order::Slice;

/// What is decided, from mild to strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// It settles.
    Allow,
    /// It settles, and a person looks at it.
    Review,
    /// It waits for a person.
    Hold,
    /// It does not settle.
    Block,
}

impl Verdict {
    /// Every decision, from mild to strict.
    pub const ALL: [Verdict; 4] = [Verdict::Allow, Verdict::Review, Verdict::Hold, Verdict::Block];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Review => "review",
            Verdict::Hold => "hold",
            Verdict::Block => "block",
        }
    }

    /// Its name in Chinese.
    pub fn name_zh(self) -> &'static str {
        match self {
            Verdict::Allow => "放行",
            Verdict::Review => "复核",
            Verdict::Hold => "暂缓",
            Verdict::Block => "拦截",
        }
    }
}

/// A value that fired rules used, kept with the decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant holds a value of that type")]
pub enum Evidence {
    Int(i64),
    Double(f64),
    Bool(bool),
    Str(Box<str>),
}

/// Lists end to end: the items of list `i` are `items[ends[i - 1]..ends[i]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lists<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Lists { ends: Vec::new(), items: Vec::new() }
    }
}

impl<T> Lists<T> {
    /// No lists yet, and room for that many.
    fn with_room(lists: usize) -> Self {
        Lists { ends: Vec::with_capacity(lists), items: Vec::new() }
    }

    /// Adds an item to the list that is open.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Adds a whole list.
    fn push_all(&mut self, items: &[T])
    where
        T: Clone,
    {
        self.items.extend_from_slice(items);
        self.end();
    }

    /// Closes the list that is open.
    pub fn end(&mut self) {
        self.ends.push(self.items.len() as u32);
    }

    /// Where the items of list `at` stand among all items.
    pub fn range(&self, at: usize) -> std::ops::Range<usize> {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        start..self.ends[at] as usize
    }

    /// The items of list `at`.
    pub fn get(&self, at: usize) -> &[T] {
        &self.items[self.range(at)]
    }

    /// All items.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The ends of the lists.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }
}

/// What is the same in every decision of a run.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Rule ids by index, with their scores.
    pub rules: Vec<(String, i64)>,
    /// Names of values that rules use, sorted.
    pub evidence: Vec<String>,
    /// Hash of the rule set, in hexadecimal.
    pub rules_hash: String,
    /// Hash of the model; empty where there is none.
    pub model_hash: String,
    /// Hash of the model that is watched beside it, which is no part of the record; empty where
    /// there is none.
    pub challenger_hash: String,
}

/// That an enforced verdict raised a decision: a reason that is no rule's, no hit and no evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The decision's place in its batch.
    pub at: usize,
    /// What stands in the place of a rule; it has a colon, and no rule's id does.
    pub rule: &'static str,
    /// Whose verdict it is, since when, and until when.
    pub text: String,
}

/// What a verdict adds to the score.
const RAISED_SCORE: i64 = 0;

/// What stands in the place of a rule where a model added to the score; no rule has that id.
pub const MODEL: &str = "model";

/// That a model added to the score of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The decision's place in its batch.
    pub at: usize,
    /// By how much, more than 0.
    pub score: i64,
    /// The model's score, and of an alert what moved it most.
    pub text: String,
}

/// One of the reasons of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'b> {
    /// The rule's id, or what stands for it.
    pub rule: &'b str,
    /// What it adds to the score.
    pub score: i64,
    /// The text; empty is null.
    pub text: &'b str,
    /// The rule's index, where it is one.
    hit: Option<u16>,
}

/// What a model that is watched beside the one that decides says: no part of the record.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Challenger {
    /// Its own scores; [`NULL_INT`] where it has no answer.
    pub model_scores: Vec<i64>,
    /// The final scores with it in place of the other.
    pub scores: Vec<i64>,
    /// What would be decided.
    pub verdicts: Vec<Verdict>,
}

/// The decisions on the transactions of one slice, in total order.
#[derive(Debug)]
pub struct DecisionBatch {
    /// The events.
    pub slice: Arc<Slice>,
    /// The rows of the transactions.
    pub rows: Vec<u32>,
    /// The decisions.
    pub verdicts: Vec<Verdict>,
    /// The scores, clamped.
    pub scores: Vec<i64>,
    /// What rules gave to the score.
    pub rule_scores: Vec<i64>,
    /// What the model gave; [`NULL_INT`] where there is none.
    pub model_scores: Vec<i64>,
    /// What a challenger gave, and what would be decided with it; empty where there is none.
    pub challenger: Challenger,
    /// Live rules that hit, by score descending, then id.
    pub hits: Lists<u16>,
    /// The reason of each hit, in the same places.
    pub reasons: Strings,
    /// Decisions to whose score the model added, by place.
    pub added: Vec<Added>,
    /// Decisions that enforced verdicts raised, by place, then by what stands for the rule.
    pub raised: Vec<Raised>,
    /// Shadow rules that hit, by id.
    pub shadow_hits: Lists<u16>,
    /// The values that the rules which hit used: index into [`Names::evidence`], and value.
    pub evidence: Lists<(u16, Evidence)>,
    /// The referee's finding; empty is null.
    pub outcomes: Strings,
}

impl DecisionBatch {
    /// A batch without decisions yet.
    pub fn new(slice: Arc<Slice>) -> DecisionBatch {
        let rows = slice.chunk.len();
        DecisionBatch {
            slice,
            rows: Vec::with_capacity(rows),
            verdicts: Vec::with_capacity(rows),
            scores: Vec::with_capacity(rows),
            rule_scores: Vec::with_capacity(rows),
            model_scores: Vec::with_capacity(rows),
            challenger: Challenger::default(),
            hits: Lists::with_room(rows),
            reasons: Strings::default(),
            added: Vec::new(),
            raised: Vec::new(),
            shadow_hits: Lists::with_room(rows),
            evidence: Lists::with_room(rows),
            outcomes: Strings::with_room(rows),
        }
    }

    /// Puts the decisions of `other` in these places, which rise.
    pub(crate) fn replace(&mut self, places: &[usize], other: &DecisionBatch) {
        let (mut hits, mut shadow_hits) = (Lists::default(), Lists::default());
        let (mut reasons, mut evidence) = (Strings::default(), Lists::default());
        let mut others = places.iter().copied().enumerate().peekable();
        for at in 0..self.rows.len() {
            let (from, nth) = match others.next_if(|(_, place)| *place == at) {
                Some((nth, _)) => (other, nth),
                None => (&*self, at),
            };
            from.hits.range(nth).for_each(|hit| reasons.push(from.reasons.get(hit)));
            hits.push_all(from.hits.get(nth));
            shadow_hits.push_all(from.shadow_hits.get(nth));
            evidence.push_all(from.evidence.get(nth));
        }
        (self.hits, self.reasons) = (hits, reasons);
        (self.shadow_hits, self.evidence) = (shadow_hits, evidence);
        for (nth, &place) in places.iter().enumerate() {
            self.verdicts[place] = other.verdicts[nth];
            self.scores[place] = other.scores[nth];
            self.rule_scores[place] = other.rule_scores[nth];
            self.model_scores[place] = other.model_scores[nth];
            if let Some(score) = other.challenger.scores.get(nth) {
                self.challenger.scores[place] = *score;
                self.challenger.verdicts[place] = other.challenger.verdicts[nth];
            }
        }
    }

    /// Hands out the reasons of decision `at` as the record has them: by score descending, then by
    /// rule.
    pub fn each_reason<'b>(
        &'b self,
        at: usize,
        names: &'b Names,
        mut each: impl FnMut(Reason<'b>),
    ) {
        let first = self.raised.partition_point(|raised| raised.at < at);
        let raised = self.raised[first..].iter().take_while(|raised| raised.at == at);
        let reason = |Raised { rule, text, .. }: &'b Raised| Reason {
            rule,
            score: RAISED_SCORE,
            text,
            hit: None,
        };
        let first = self.added.partition_point(|added| added.at < at);
        let added = self.added.get(first).filter(|added| added.at == at);
        let model = |Added { score, text, .. }: &'b Added| Reason {
            rule: MODEL,
            score: *score,
            text,
            hit: None,
        };
        // What the model adds is more than 0, which is what verdicts add.
        let mut raised = added.map(model).into_iter().chain(raised.map(reason)).peekable();
        for place in self.hits.range(at) {
            let hit = self.hits.items()[place];
            let (rule, score) = &names.rules[usize::from(hit)];
            let order = (-score, rule.as_str());
            while let Some(before) = raised.next_if(|one| (-one.score, one.rule) < order) {
                each(before);
            }
            each(Reason { rule, score: *score, text: self.reasons.get(place), hit: Some(hit) });
        }
        raised.for_each(each);
    }

    /// Whether decision `at` has no reason, no outcome, and nothing hit it in shadow; it may be no where
    /// that is so.
    fn is_plain(&self, at: usize) -> bool {
        self.added.is_empty()
            && self.raised.is_empty()
            && self.hits.range(at).is_empty()
            && self.shadow_hits.range(at).is_empty()
            && self.evidence.range(at).is_empty()
            && self.outcomes.get(at).is_empty()
    }

    /// Every decision as its canonical line.
    pub fn lines(&self, names: &Names) -> String {
        let lines = Lines::new(names);
        let mut out = String::new();
        for at in 0..self.rows.len() {
            lines.write(self, at, &mut out);
        }
        out
    }
}

/// A reason as it is written, up to its text.
fn start_of_reason(rule: &str, score: i64) -> String {
    let mut out = String::from("{\"rule\":");
    quote(&mut out, rule);
    int(&mut out, ",\"score\":", score);
    out.push_str(",\"text\":");
    out
}

/// How the decisions of a set of rules are written: what is the same in many lines, made once.
pub struct Lines<'n> {
    names: &'n Names,
    /// A rule's id, by index.
    rules: Vec<String>,
    /// The start of a rule's reason, up to its text.
    hits: Vec<String>,
    /// The key of a value.
    evidence: Vec<String>,
    /// The end of a line, from the end of the shadow hits on.
    end: String,
    /// The end of a line of a decision without a reason, from there on.
    end_without_reason: String,
}

impl<'n> Lines<'n> {
    /// For decisions of these rules.
    pub fn new(names: &'n Names) -> Lines<'n> {
        let quoted = |text: &str| {
            let mut out = String::new();
            quote(&mut out, text);
            out
        };
        let mut end = String::from("],\"rules_hash\":");
        nullable(&mut end, &names.rules_hash);
        end.push_str(",\"model_hash\":");
        nullable(&mut end, &names.model_hash);
        end.push_str("}\n");
        let none = "],\"evidence\":{},\"outcome\":null,\"shadow_hits\":[";
        let end_without_reason = format!("{none}{end}");
        let hit = |(rule, score): &(String, i64)| start_of_reason(rule, *score);
        Lines {
            names,
            rules: names.rules.iter().map(|(rule, _)| quoted(rule)).collect(),
            hits: names.rules.iter().map(hit).collect(),
            evidence: names.evidence.iter().map(|name| format!("{}:", quoted(name))).collect(),
            end,
            end_without_reason,
        }
    }

    /// Appends decision `at` of a batch as one line of canonical JSON: the fields in the order of
    /// the contract, each value as RFC 8785 writes it, times as integers of ms.
    pub fn write(&self, batch: &DecisionBatch, at: usize, out: &mut String) {
        let row = batch.rows[at] as usize;
        let chunk = &batch.slice.chunk;
        let string = |out: &mut String, key: &str, field: FieldId| {
            out.push_str(key);
            nullable(out, chunk.str(field, row));
        };
        string(out, "{\"event_id\":", EVENT_ID);
        int(out, ",\"event_time\":", chunk.int(EVENT_TIME, row));
        int(out, ",\"effective_time\":", batch.slice.effective[row]);
        out.push_str(if batch.slice.late(row) { ",\"late\":true" } else { ",\"late\":false" });
        out.push_str(",\"kind\":\"");
        out.push_str(chunk.kind(row).name());
        string(out, "\",\"account_id\":", ACCOUNT_ID);
        string(out, ",\"counterparty_id\":", COUNTERPARTY_ID);
        string(out, ",\"group_id\":", GROUP_ID);
        string(out, ",\"packet_id\":", PACKET_ID);
        int(out, ",\"amount_fen\":", chunk.int(AMOUNT_FEN, row));
        out.push_str(",\"decision\":\"");
        out.push_str(batch.verdicts[at].name());
        int(out, "\",\"score\":", batch.scores[at]);
        int(out, ",\"rule_score\":", batch.rule_scores[at]);
        int(out, ",\"model_score\":", batch.model_scores[at]);
        out.push_str(",\"reasons\":[");
        // Most decisions are so.
        if batch.is_plain(at) {
            out.push_str(&self.end_without_reason);
            return;
        }
        let mut first = true;
        batch.each_reason(at, self.names, |reason| {
            if !std::mem::replace(&mut first, false) {
                out.push(',');
            }
            match reason.hit {
                Some(hit) => out.push_str(&self.hits[usize::from(hit)]),
                None => out.push_str(&start_of_reason(reason.rule, reason.score)),
            }
            nullable(out, reason.text);
            out.push('}');
        });
        out.push_str("],\"evidence\":{");
        for (nth, (name, value)) in batch.evidence.get(at).iter().enumerate() {
            if nth > 0 {
                out.push(',');
            }
            out.push_str(&self.evidence[usize::from(*name)]);
            value.write_json(out);
        }
        out.push_str("},\"outcome\":");
        nullable(out, batch.outcomes.get(at));
        out.push_str(",\"shadow_hits\":[");
        for (nth, rule) in batch.shadow_hits.get(at).iter().enumerate() {
            if nth > 0 {
                out.push(',');
            }
            out.push_str(&self.rules[usize::from(*rule)]);
        }
        out.push_str(&self.end);
    }
}

impl Evidence {
    /// The value as RFC 8785 writes it.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Evidence::Int(value) => out.push_str(itoa::Buffer::new().format(*value)),
            Evidence::Double(value) => out.push_str(ryu_js::Buffer::new().format(*value)),
            Evidence::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Evidence::Str(value) => quote(out, value),
        }
    }
}

fn int(out: &mut String, key: &str, value: i64) {
    out.push_str(key);
    if value == NULL_INT {
        out.push_str("null");
    } else {
        out.push_str(itoa::Buffer::new().format(value));
    }
}

fn nullable(out: &mut String, value: &str) {
    if value.is_empty() {
        out.push_str("null");
    } else {
        quote(out, value);
    }
}

/// A JSON string as RFC 8785 writes it.
pub fn quote(out: &mut String, value: &str) {
    out.push('"');
    // One look at every byte and no branch: nearly no string has anything to escape.
    if value.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        escape(out, value);
    } else {
        out.push_str(value);
    }
    out.push('"');
}

fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape(out: &mut String, value: &str) {
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate().filter(|(_, byte)| is_escaped(*byte)) {
        out.push_str(&value[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&value[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_rfc_8785_says() {
        let mut out = String::new();
        // The string of RFC 8785, section 3.2.2.2, less its lone surrogate.
        quote(&mut out, "\u{20ac}$\u{f}\nA'B\"\\\\\"/");
        assert_eq!(out, r#""€$\u000f\nA'B\"\\\\\"/""#);
    }

    #[test]
    fn doubles_are_written_as_rfc_8785_says() {
        // Rows of RFC 8785, appendix B.
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
        ] {
            let mut out = String::new();
            Evidence::Double(f64::from_bits(bits)).write_json(&mut out);
            assert_eq!(out, text);
        }
    }
}
