//! Look-alikes that are words of their own, written out when phrases are compiled.
//!
//! Provenance: written for Hongxian from pairs that readers confuse. What always looks the same is
//! folded in `confusables`; here stands what is only safe inside of a longer phrase: 入 is not 人,
//! but 人群 hits nothing unless a phrase says 入群 and more.

use hashbrown::HashMap;

use super::normalise::{Normaliser, Reading, SKIP, Symbol};

/// The most other ways to write one phrase: enough for six characters with a look-alike or two.
const LOOKALIKES_PER_PHRASE_MAX: usize = 8;
/// Look-alikes are replaced only in phrases of so many symbols: in a pair, half the phrase would
/// be another word.
const LOOKALIKE_SYMBOLS_MIN: usize = 3;

/// Groups of characters that readers take for one another, and that are words of their own.
const LOOKALIKES: &[&str] = &[
    "人入",
    "三参",
    "末未",
    "土士",
    "干千于",
    "大太犬",
    "天夫无",
    "王玉主",
    "牛午",
    "鸟乌",
    "折拆",
    "戊戌戍",
    "免兔",
    "刀力",
    "贷货",
    "微徽",
    "博搏膊",
    "赌睹堵",
    "贝见",
    "今令",
    "住往",
    "孑子",
    "亨享",
    "管菅",
    "拔拨",
    "候侯",
    "栗粟",
    "崇祟",
    "爪瓜",
    "汨汩",
    "场扬",
    "拍柏",
    "抢枪",
    "庄压",
    "雷霄",
    "红江",
    "押抻",
    "彩影",
    "注住",
    "投没",
    "洗冼",
    "钱线",
    "码吗",
    "群裙",
    "跑泡",
    "刷涮",
    "单草",
];

/// The table by symbol.
pub(super) struct Lookalikes {
    others: HashMap<Symbol, Vec<Symbol>>,
}

impl Lookalikes {
    pub(super) fn new(table: &Normaliser) -> Lookalikes {
        let mut others: HashMap<Symbol, Vec<Symbol>> = HashMap::new();
        for group in LOOKALIKES {
            let symbols: Vec<Symbol> = (group.chars())
                .filter_map(|c| match table.read(c) {
                    Reading::One(symbol) if symbol != SKIP => Some(symbol),
                    _ => None,
                })
                .collect();
            for symbol in &symbols {
                let rest = symbols.iter().copied().filter(|other| other != symbol);
                others.entry(*symbol).or_default().extend(rest);
            }
        }
        Lookalikes { others }
    }

    /// `symbols` with one of them replaced by a look-alike, at most [`LOOKALIKES_PER_PHRASE_MAX`].
    pub(super) fn of(&self, symbols: &[Symbol]) -> Vec<Vec<Symbol>> {
        if symbols.len() < LOOKALIKE_SYMBOLS_MIN {
            return Vec::new();
        }
        let places = symbols.iter().enumerate();
        let all = places.flat_map(|(at, symbol)| {
            let others = self.others.get(symbol).into_iter().flatten();
            others.map(move |other| [&symbols[..at], &[*other], &symbols[at + 1..]].concat())
        });
        all.take(LOOKALIKES_PER_PHRASE_MAX).collect()
    }
}
