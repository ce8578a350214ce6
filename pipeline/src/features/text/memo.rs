//! The memo of a mine packet: an amount and the digit that loses.
//!
//! Whoever sends a packet in a 扫雷 game announces in its memo what is played: `100-6` is a packet
//! of 100 yuan in which shares that end in 6 pay; `100/7/6` says that it has 7 parts; a group is
//! named `30元5包` after its stakes. The grammar, over folded text:
//!
//! ```text
//! memo   = [opening [":"]] stake [closing]
//! stake  = amount [unit] [sep] "雷" [sep] mine                  50雷3
//!        | amount [unit] [sep] packets "包" [[sep] ["雷"] mine]  30元5包, 100元7包雷6
//!        | amount [unit] sep packets sep mine                  100/7/6
//!        | amount [unit] sep packets [sep] "雷" mine            100/7雷6
//!        | amount [unit] sep mine ["雷"]                        100-6
//!        | packets "包" [sep] "雷" mine                         7包雷6
//!        | "雷" mine sep amount [[sep] packets ["包"]]           雷6 100-7
//!        | "雷" mine sep packets "包" [[sep] amount]             雷6，7包100
//! ```
//!
//! Numbers alone are also dates, results, sizes and flats, so where no word says what they are, the
//! stake must look like one: round or lucky, not below ten. What still passes, such as 10-1 or
//! 30-5, is a bet only by what happens around it.

use super::normalise::{Normaliser, Reading, SKIP};

/// The longest memo that can be one, in bytes.
const MEMO_BYTES_MAX: usize = 96;
/// The most parts of a packet in a game; reports name 3 to 10.
const PACKETS_MAX: u32 = 20;
/// The fewest parts of a packet of a game that is named by its stakes alone: 10元3包 is a price.
const NAMED_PACKETS_MIN: u32 = 4;
/// The smallest stake of a memo that has nothing but numbers: 5-1 is a date, 3-2 a result.
const AMOUNT_MIN: u32 = 10;
/// The smallest stake before a stroke: 10/1 to 12/9 are days of the year.
const STROKE_AMOUNT_MIN: u32 = 13;
/// The smallest stake of a pair with several mines: below it the pair is a day of the year.
const MINES_AMOUNT_MIN: u32 = 20;
/// Stakes are round, or lucky: 16-9 is a picture, 21-15 a result, 302-1 a flat, 24-7 a promise.
const ROUND: u32 = 5;
/// Several mines are played for stakes rounder still: 25-23 and 15-13 are results.
const MINES_ROUND: u32 = 10;
const LUCKY: [u32; 12] = [18, 28, 58, 66, 68, 88, 99, 128, 168, 188, 288, 888];

const OPENINGS: [&str; 8] = ["发包", "发红包", "红包", "扫雷", "埋雷", "接龙", "雷包", "发"];
const CLOSINGS: [&str; 9] =
    ["红包群", "福利群", "扫雷群", "接龙群", "红包", "福利", "群", "场", "房"];
const UNITS: [&str; 4] = ["块钱", "元", "块", "米"];
/// The last seven only sound like 雷; a whole memo of numbers around one of them leaves no doubt.
const MINE_WORDS: [&str; 12] =
    ["雷号", "中雷", "埋雷", "扫雷", "雷点", "雷", "镭", "蕾", "累", "勒", "lei", "l"];
/// Pictures of a mine, or of thunder, which is the same character.
const MINES: [char; 4] = ['💣', '⚡', '🌩', '⛈'];
const PACKET_WORDS: [&str; 3] = ["个包", "包", "个"];

/// What a bet memo announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bet {
    /// The digit that loses; none if the memo names several or none.
    pub digit: Option<u8>,
}

/// The bet that `text` as a whole announces. `buffer` is reused memory.
pub(super) fn read_bet(table: &Normaliser, text: &str, buffer: &mut String) -> Option<Bet> {
    if text.len() > MEMO_BYTES_MAX || !compact(table, text, buffer) {
        return None;
    }
    let mut cursor = Cursor { rest: buffer };
    if let Some(bet) = cursor.mine_first() {
        return Some(bet);
    }
    let opened = cursor.take(&OPENINGS);
    if opened {
        cursor.take(&[":", "-"]);
    }
    let stake = cursor.stake()?;
    cursor.separator();
    let closed = cursor.take(&CLOSINGS);
    let told = opened || closed || !stake.bare;
    (cursor.rest.is_empty() && (told || stake.is_likely())).then_some(stake.bet)
}

/// Writes the folded text with every separator as `/` or `-`; false if something in it rules a bet
/// out.
fn compact(table: &Normaliser, text: &str, buffer: &mut String) -> bool {
    buffer.clear();
    let mut digits = false;
    for c in text.trim().chars() {
        let symbols = match table.read(c) {
            Reading::One(SKIP) => {
                match c {
                    ':' | '：' => buffer.push(':'),
                    '，' => buffer.push(','),
                    _ if MINES.contains(&c) => buffer.push('雷'),
                    _ if is_separator(c) && !buffer.ends_with(['-', '/', ':']) => {
                        buffer.push(if is_stroke(c) { '/' } else { '-' });
                    }
                    _ if is_separator(c) || super::confusables::is_invisible(c) => {}
                    _ => return false,
                }
                continue;
            }
            Reading::One(symbol) => &[symbol][..],
            Reading::Many(symbols) => symbols,
        };
        for symbol in symbols.iter().filter_map(|symbol| char::from_u32(*symbol)) {
            // Most texts end here: they begin with a word that opens no bet.
            let opens = symbol.is_ascii_digit() || "发红扫埋接雷中镭蕾累勒l".contains(symbol);
            if buffer.is_empty() && !opens {
                return false;
            }
            digits |= symbol.is_ascii_digit();
            buffer.push(symbol);
        }
    }
    digits
}

fn is_stroke(c: char) -> bool {
    matches!(c, '/' | '／' | '∕' | '⁄' | '\\' | '＼')
}

/// Dashes, strokes and spaces. A point, a comma or a colon belongs to an amount or a time.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '\u{2010}'
                ..='\u{2015}'
                    | '\u{2212}'
                    | '－'
                    | '﹣'
                    | '/'
                    | '／'
                    | '∕'
                    | '⁄'
                    | '\\'
                    | '＼'
                    | '|'
                    | '｜'
                    | '_'
                    | '＿'
                    | '~'
                    | '～'
                    | '∼'
        )
}

struct Cursor<'b> {
    rest: &'b str,
}

/// A number as it is written.
#[derive(Clone, Copy)]
struct Number<'b> {
    digits: &'b str,
    value: u32,
}

/// A stake as it was read.
#[derive(Clone, Copy)]
struct Stake {
    bet: Bet,
    amount: u32,
    /// Whether no word says that it is one.
    bare: bool,
    /// How many mines there are, and whether a zero is the last of several.
    mines: usize,
    zero_last: bool,
    /// Whether a stroke stands between amount and mines.
    stroke: bool,
    /// The packets, if they are named.
    packets: Option<u32>,
}

impl Stake {
    /// Whether it looks like a stake although no word says so.
    fn is_likely(self) -> bool {
        let round = if self.mines > 1 { MINES_ROUND } else { ROUND };
        let amount = self.amount.is_multiple_of(round) || LUCKY.contains(&self.amount);
        if self.mines == 0 {
            let packets = self.packets.is_some_and(|packets| packets >= NAMED_PACKETS_MIN);
            return amount && self.amount >= AMOUNT_MIN && packets;
        }
        let several = self.mines > 1 && self.packets.is_none();
        // 300-50 is a discount, 130/85 a blood pressure.
        let other = several
            && (self.amount < MINES_AMOUNT_MIN || self.stroke || self.mines == 2 && self.zero_last);
        let day = self.stroke && self.packets.is_none() && self.amount < STROKE_AMOUNT_MIN;
        amount && self.amount >= AMOUNT_MIN && !other && !day
    }
}

impl<'b> Cursor<'b> {
    fn stake(&mut self) -> Option<Stake> {
        let amount = self.number().filter(|amount| !amount.digits.starts_with('0'))?;
        if is_packet_count(amount) && self.take(&PACKET_WORDS) {
            return self.packets_and_mine(amount);
        }
        let unit = self.take(&UNITS);
        let stroke = self.rest.starts_with('/');
        let apart = self.separator();
        let of = |bet: Bet, mines: &str, bare: bool, packets: Option<u32>| Stake {
            bet,
            amount: amount.value,
            bare,
            mines: mines.len(),
            zero_last: mines.ends_with('0'),
            stroke,
            packets,
        };
        if self.take(&MINE_WORDS) {
            return Some(of(self.mines_after_word()?, "", false, None));
        }
        let second = self.number()?;
        if self.take(&PACKET_WORDS) {
            let (bet, bare) = self.after_packets(second).filter(|_| unit || apart)?;
            return Some(of(bet, "", bare, Some(second.value)));
        }
        if !apart || is_year(amount) {
            return None;
        }
        self.separator();
        let before = self.rest;
        if is_packet_count(second) && self.take(&MINE_WORDS) {
            match self.mines_after_word() {
                Some(bet) => return Some(of(bet, "", false, Some(second.value))),
                None => self.rest = before,
            }
        }
        if let Some(third) = self.number() {
            let bare = !self.take(&MINE_WORDS);
            let bet = third.mines().filter(|_| is_packet_count(second))?;
            return Some(of(bet, third.digits, bare, Some(second.value)));
        }
        let bare = !self.take(&MINE_WORDS);
        Some(of(second.mines()?, second.digits, bare, None))
    }

    /// What follows `7包` at the start: the mine.
    fn packets_and_mine(&mut self, packets: Number<'_>) -> Option<Stake> {
        self.separator();
        let bet = self.take(&MINE_WORDS).then(|| self.mines_after_word())??;
        let packets = Some(packets.value);
        let amount = AMOUNT_MIN;
        Some(Stake { bet, amount, bare: false, mines: 0, zero_last: false, stroke: false, packets })
    }

    /// A whole memo that begins with its one mine: `雷6 100-7`. Leaves everything as it is if it is
    /// none.
    fn mine_first(&self) -> Option<Bet> {
        let mut cursor = Cursor { rest: self.rest };
        let word = cursor.take(&MINE_WORDS);
        let bet = cursor.number().filter(|mine| word && mine.digits.len() == 1)?.mines()?;
        if !cursor.take(&[",", "-", "/"]) {
            return None;
        }
        let first = cursor.number()?;
        let told = if cursor.take(&PACKET_WORDS) {
            cursor.separator();
            cursor.number();
            is_packet_count(first)
        } else {
            cursor.take(&UNITS);
            cursor.separator();
            let packets = cursor.number();
            cursor.take(&PACKET_WORDS);
            first.value >= AMOUNT_MIN && packets.is_none_or(is_packet_count)
        };
        (told && cursor.rest.is_empty()).then_some(bet)
    }

    /// What follows `30元5包`: nothing, or the mine; and whether nothing says that it is a bet.
    fn after_packets(&mut self, packets: Number<'_>) -> Option<(Bet, bool)> {
        if !is_packet_count(packets) {
            return None;
        }
        self.separator();
        if self.take(&MINE_WORDS) {
            return Some((self.mines_after_word()?, false));
        }
        match self.number() {
            Some(mines) => {
                self.take(&MINE_WORDS);
                Some((mines.mines()?, false))
            }
            None => Some((Bet { digit: None }, true)),
        }
    }

    fn mines_after_word(&mut self) -> Option<Bet> {
        self.separator();
        self.number()?.mines()
    }

    /// The first of `words` that stands here; longer words are listed before their beginnings.
    fn take(&mut self, words: &[&str]) -> bool {
        let rest = words.iter().find_map(|word| self.rest.strip_prefix(word));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn separator(&mut self) -> bool {
        self.take(&["-", "/"])
    }

    /// One to five digits.
    fn number(&mut self) -> Option<Number<'b>> {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &self.rest[..self.rest.len() - rest.len()];
        if digits.len() > 5 {
            return None;
        }
        let value = digits.parse().ok()?;
        self.rest = rest;
        Some(Number { digits, value })
    }
}

impl Number<'_> {
    /// The number read as mines: each of its digits once.
    fn mines(self) -> Option<Bet> {
        let mut seen = [false; 10];
        let distinct = self.digits.bytes().all(|digit| {
            let place = usize::from(digit - b'0');
            !std::mem::replace(&mut seen[place], true)
        });
        let digit = if self.digits.len() == 1 { Some(self.value as u8) } else { None };
        distinct.then_some(Bet { digit })
    }
}

fn is_packet_count(number: Number<'_>) -> bool {
    (2..=PACKETS_MAX).contains(&number.value)
}

/// 2024-2 is a month.
fn is_year(amount: Number<'_>) -> bool {
    (1900..2100).contains(&amount.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<Bet> {
        read_bet(Normaliser::get(), text, &mut String::new())
    }

    #[test]
    fn bets() {
        let rows = [
            ("100-6", Some(6)),
            (" 100 - 6 ", Some(6)),
            ("100/6", Some(6)),
            ("100 6", Some(6)),
            ("100—6", Some(6)),
            ("１００－６", Some(6)),
            ("①⓪⓪-⑥", Some(6)),
            ("1️⃣0️⃣0️⃣-6️⃣", Some(6)),
            ("100\u{200b}-\u{200b}六", Some(6)),
            ("壹零零-陆", Some(6)),
            ("发包:100-6", Some(6)),
            ("发包：100/7/6", Some(6)),
            ("100/7/6", Some(6)),
            ("100-7-0", Some(0)),
            ("50雷3", Some(3)),
            ("50元雷3", Some(3)),
            ("50 雷号 3", Some(3)),
            ("50-3雷", Some(3)),
            ("扫雷 50-3", Some(3)),
            ("掃雷50-3", Some(3)),
            ("30元5包", None),
            ("30块5个包", None),
            ("100元7包雷6", Some(6)),
            ("100元/7包/6雷", Some(6)),
            ("30元5包福利群", None),
            ("30元5包 接龙群", None),
            ("100-6 福利群", Some(6)),
            ("100-268", None),
            ("100-35", None),
            ("88-6", Some(6)),
            ("15-3", Some(3)),
            ("20/3", Some(3)),
            ("50/7/3", Some(3)),
            ("50/7雷3", Some(3)),
            ("50-7 L3", Some(3)),
            ("50-7 💣3", Some(3)),
            ("50/7 蕾3", Some(3)),
            ("7包 lei3", Some(3)),
            ("雷3 50-7", Some(3)),
            ("⚡3 50", Some(3)),
            ("扫雷3，7包50", Some(3)),
            ("埋雷3，7包", Some(3)),
            ("雷号6 100元7包", Some(6)),
            // A word says what is meant, so the stake may be any.
            ("3元5包群", None),
            ("发包 8-3", Some(3)),
            ("7元5包雷2", Some(2)),
            ("16-9雷", Some(9)),
            ("20-12345", None),
        ];
        for (text, digit) in rows {
            assert_eq!(check(text), Some(Bet { digit }), "{text:?}");
        }
    }

    #[test]
    fn other_texts_with_numbers() {
        let rows = [
            "",
            " ",
            "-",
            "100",
            "100-",
            "-6",
            "6.6",
            "88.88",
            "12:30",
            "12:30-13:30",
            "2024-2",
            "2024-2-9",
            "2024/2/9",
            "2024年2月9日",
            "5-1",
            "6/1",
            "3-2",
            "8-10点",
            "12/25",
            "11-11",
            "100-66",
            "010-6",
            "0-6",
            "123456-7",
            "19.9元10包",
            "10包",
            "5包",
            "30元",
            "30元5",
            "30元5件",
            "3号楼-2单元",
            "第100-6页",
            "电话 138-0000-0000",
            "138-1234-5678",
            "100+6",
            "100x6",
            "100*6",
            "100,6",
            "100-6谢谢",
            "生日快乐",
            "发红包啦",
            "红包",
            "发",
            "红包100",
            "100/70/6",
            "100元50包",
            "雷军-1",
            "雷3",
            "雷3 5",
            "雷33 50",
            "累3天",
            "L3",
            "l3-5",
            "7包",
            "7包 3",
            "7包烟3",
            "💣💣💣",
            "50，3",
            // Results.
            "11-9",
            "21-15",
            "25-23",
            "101-98",
            "0-10",
            // Days of the year, and years.
            "10/1",
            "12/5",
            "24/12/5",
            "12-2-9",
            "23/24",
            "2023-2024",
            // Times and numbers of houses, flats and telephones.
            "24/7",
            "7/24",
            "9-17",
            "101-3",
            "201-6",
            "302-1",
            "1201-2",
            "12-3-601",
            "0571-8",
            "95588-1-2-3",
            // Sizes, pictures, blood pressure, discounts.
            "16-9",
            "36-5",
            "38-40",
            "175/92",
            "130/85",
            "120/80",
            "300-50",
            "100-20",
            "50/50",
            // Prices.
            "10元3包",
            "10元2包",
            "5元10包",
            "12元6包",
            "15元2个",
            "30元5包邮",
            "30元5包纸巾",
            "一一",
        ];
        for text in rows {
            assert_eq!(check(text), None, "{text:?}");
        }
    }
}
