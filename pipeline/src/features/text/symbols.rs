//! What a text says beside the phrases that are known: the symbols that the matcher reads.

use super::normalise::{Reading, SKIP};
use super::{Lexicon, Scratch};

/// What stands in [`Lexicon::unknown_symbols`] where a sentence pauses, or a known phrase was.
pub const BREAK: u32 = 0;

/// Where a sentence pauses. Other signs within a word are a disguise: 花.茶, 花*茶.
const PAUSES: &str = "，。！？；：、,!?;:…|/()（）[]【】《》\"“”";

impl Lexicon {
    /// The symbols of `text` that belong to no known phrase, as code points, with [`BREAK`] where a
    /// phrase was or a sentence pauses; `out` is cleared first. Whether a phrase was hit, or the
    /// whole text is a mine packet's memo, of which nothing is left.
    pub fn unknown_symbols(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<u32>) -> bool {
        out.clear();
        if self.bet(text, scratch).is_some() {
            return true;
        }
        let mut hits = std::mem::take(&mut scratch.hits);
        self.scan(text, scratch, &mut hits);
        let mut skipped = 0;
        for (at, c) in (0_u32..).zip(text.chars()) {
            let known = hits.iter().any(|hit| (hit.start..hit.end).contains(&at));
            if known || c.is_whitespace() || PAUSES.contains(c) {
                out.push(BREAK);
                skipped = 0;
                continue;
            }
            match self.table.read(c) {
                Reading::One(SKIP) => skipped += 1,
                Reading::One(symbol) => {
                    // One sign is a disguise; several, or one beside a number, keep words apart.
                    let number =
                        |symbol: u32| char::from_u32(symbol).is_some_and(|c| c.is_numeric());
                    let beside = number(symbol) || out.last().is_some_and(|last| number(*last));
                    if skipped > 1 || skipped == 1 && beside {
                        out.push(BREAK);
                    }
                    out.push(symbol);
                    skipped = 0;
                }
                Reading::Many(symbols) => {
                    out.extend_from_slice(symbols);
                    skipped = 0;
                }
            }
        }
        let hit = !hits.is_empty();
        scratch.hits = hits;
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_left_out() {
        let files = [("p.txt".into(), "[gambling]\n扫雷\n".to_owned())];
        let lexicon = Lexicon::from_files(&files).unwrap();
        let cases = [
            ("来份花茶，照旧", "来份花茶|照旧", false),
            ("花.茶 三份", "花茶|3份", false),
            ("今晚扫.雷开局", "今晚|开局", true),
            ("FENG茶", "feng茶", false),
            ("100-6", "", true),
            ("楼12--茶", "楼12|茶", false),
        ];
        let (mut scratch, mut symbols) = (Scratch::default(), Vec::new());
        for (text, expected, hit) in cases {
            assert_eq!(lexicon.unknown_symbols(text, &mut scratch, &mut symbols), hit, "{text}");
            let read = symbols.iter().map(|symbol| match *symbol {
                BREAK => '|',
                symbol => char::from_u32(symbol).unwrap(),
            });
            let mut read: String = read.collect();
            while read.contains("||") {
                read = read.replace("||", "|");
            }
            assert_eq!(read, expected, "{text}");
        }
    }
}
