//! Discovered terms on the terminal.

use super::{Discovery, Found};
use crate::diagnostic::Lang;
use crate::expr::Zone;
use crate::report::{Screen, grouped, minute, printable, short, yuan};

/// The most characters of an example that are shown.
const EXAMPLE_CHARS: usize = 40;

/// The terms as text of at most 100 columns; event text is escaped.
pub fn terminal(found: &Discovery, zone: &Zone, screen: Screen) -> String {
    let lang = screen.lang;
    let mut out = match lang {
        Lang::En => format!(
            "{} texts; terms that no phrase knows, the likeliest code words first. 10 more in score \
             is ten\ntimes as much; below about 17, wedding wishes and class fees are as likely\n",
            grouped(found.texts as u64)
        ),
        Lang::Zh => format!(
            "{} 条文本；未被词表收录的用语，最像暗语者在前。分值每高 10 即强十倍；\n约 17 分以下，婚礼祝福、\
             班费之类也会出现\n",
            grouped(found.texts as u64)
        ),
    };
    if found.texts_left_out > 0 || found.pairs_full {
        out.push_str(match lang {
            Lang::En => {
                "note: there is more text than is looked at, so rare terms may be missing\n"
            }
            Lang::Zh => "注意：文本超出处理上限，罕见用语可能缺失\n",
        });
    }
    if found.terms.is_empty() {
        out.push_str(match lang {
            Lang::En => "\nno term is followed by payments to one account often enough\n",
            Lang::Zh => "\n没有用语反复出现在向同一账户付款之前\n",
        });
    }
    for (at, term) in (1..).zip(&found.terms) {
        one(at, term, zone, screen, &mut out);
    }
    out
}

fn one(at: usize, term: &Found, zone: &Zone, screen: Screen, out: &mut String) {
    let lang = screen.lang;
    let word = screen.bold(&printable(&term.term));
    let parts = term.parts;
    let [first, last] = [term.first_seen, term.last_seen].map(|time| minute(&zone.moment(time)));
    let fen = yuan(term.settled_fen);
    let payees = ids(&term.payee_ids, term.payees);
    let groups = ids(&term.group_ids, term.groups);
    out.push_str(&format!("\n{at}. {word}  {:.1}\n", term.score));
    let lines = match lang {
        Lang::En => format!(
            "   {} texts by {} speakers, {first} to {last}; a phrase hits {} of them\n   \
             {} were followed by {fen} yuan to {payees}\n   groups: {groups}\n   association {:.0}, \
             purity {:.2}, spread {}, repetition {:.2}, everyday {:.1} %, burst {:.1}\n",
            grouped(term.count.into()),
            grouped(term.speakers as u64),
            term.count_hit,
            grouped(term.settled.into()),
            parts.association,
            parts.purity,
            parts.spread,
            parts.repetition,
            parts.everyday * 100.0,
            parts.burst,
        ),
        Lang::Zh => format!(
            "   {} 条文本，{} 人使用，{first} 至 {last}；其中 {} 条另有词表命中\n   其中 {} 条之后付款 \
             {fen} 元给 {payees}\n   群：{groups}\n   关联 {:.0}，纯度 {:.2}，扩散 {}，重复 {:.2}，日常 \
             {:.1}%，突发 {:.1}\n",
            grouped(term.count.into()),
            grouped(term.speakers as u64),
            term.count_hit,
            grouped(term.settled.into()),
            parts.association,
            parts.purity,
            parts.spread,
            parts.repetition,
            parts.everyday * 100.0,
            parts.burst,
        ),
    };
    out.push_str(&lines);
    for example in &term.examples {
        out.push_str(&format!("   「{}」\n", short(example, EXAMPLE_CHARS)));
    }
    match (&term.phrase_line, lang) {
        (Some(line), Lang::En) => out.push_str(&format!("   phrase: {}\n", printable(line))),
        (Some(line), Lang::Zh) => out.push_str(&format!("   词表行：{}\n", printable(line))),
        (None, Lang::En) => out.push_str("   no phrase: it is too short or holds a number\n"),
        (None, Lang::Zh) => out.push_str("   无法作为短语：过短或含数字\n"),
    }
}

fn ids(some: &[String], all: usize) -> String {
    let mut shown: Vec<String> = some.iter().map(|id| printable(id)).collect();
    if all > some.len() {
        shown.push(format!("+{}", all - some.len()));
    }
    if shown.is_empty() { "-".to_owned() } else { shown.join(", ") }
}
