//! Our own part of the character table: what neither NFKC nor OpenCC folds.
//!
//! Every character of a phrase and of a text goes through the same table, so a fold never loses a
//! phrase: it only lets more spellings reach it. That is why common words limit the list. 入 looks
//! like 人, but folding it would make 入群 (join the group) hit in 人群 (a crowd); 徽 stands for 微 in
//! 徽信, but 安徽信用社 is a bank. Such spellings are written out as phrases of their own.

/// Each line: the character that stays, and the characters that are read as it.
pub(super) const FOLDS: &[(char, &str)] = &[
    // Han numerals, common and financial (traditional forms are simplified first).
    ('0', "零〇"),
    ('1', "一壹弌"),
    ('2', "二贰弍"),
    ('3', "三叁弎ろ"),
    ('4', "四肆ч"),
    ('5', "五伍ら"),
    ('6', "六陆ϭ"),
    ('7', "七柒ヿ"),
    ('8', "八捌"),
    ('9', "九玖"),
    // Letters of other scripts and small capitals that pass for Latin ones.
    ('a', "аαɑᴀ"),
    ('b', "вβʙ"),
    ('c', "сϲᴄ"),
    ('d', "ԁᴅ"),
    ('e', "еёεᴇ"),
    ('f', "ꜰ"),
    ('g', "ɡɢ"),
    ('h', "нһʜ"),
    ('i', "іιɪı"),
    ('j', "јᴊ"),
    ('k', "кκᴋ"),
    ('l', "ʟӏ"),
    ('m', "мᴍ"),
    ('n', "ηոɴ"),
    ('o', "оοօᴏ"),
    ('p', "рρᴘ"),
    ('q', "ԛզᑫɋǫ"),
    ('r', "ʀ"),
    ('s', "ѕꜱ"),
    ('t', "тτᴛ"),
    ('u', "υսᴜ"),
    ('v', "νѵʋᴠꪜ"),
    ('w', "ԝωᴡ"),
    ('x', "хχ᥊"),
    ('y', "уγʏ"),
    ('z', "ᴢ"),
    // Han look-alikes, Japanese forms and the "Martian" spellings of Chinese chat.
    ('上', "丄仩"),
    ('下', "丅芐"),
    ('不', "吥"),
    ('事', "亊"),
    ('仓', "仺"),
    ('你', "妳伱"),
    ('出', "岀"),
    ('到', "菿"),
    ('卖', "売"),
    ('博', "愽"),
    ('口', "囗"),
    ('地', "哋"),
    ('好', "恏"),
    ('小', "尛"),
    ('己', "已巳"),
    ('币', "帀"),
    ('彩', "啋倸婇"),
    ('微', "嶶溦"),
    ('我', "硪莪"),
    ('打', "咑"),
    ('户', "戸"),
    ('日', "曰"),
    ('没', "莈"),
    // Taiwan writes 躺著 for 躺着; 著 stays itself where traditional characters are simplified.
    ('着', "著"),
    ('牛', "牜"),
    ('红', "荭"),
    ('群', "峮"),
    ('采', "釆"),
    ('钱', "銭"),
    // Radicals that never stand alone in a sentence: 贝者 and 钅戋 are 赌 and 钱 taken apart, and
    // either form of the radical will do.
    ('人', "亻⺅"),
    ('刀', "刂⺉"),
    ('心', "忄⺖"),
    ('手', "扌⺘"),
    ('水', "氺氵⺡"),
    ('犬', "犭⺨"),
    ('示', "礻⺭"),
    ('衣', "衤⻂"),
    ('言', "讠訁⻈"),
    ('金', "钅釒⻐"),
    ('食', "饣飠⻠"),
    ('丝', "纟糹糸⺯"),
    ('草', "艹⺾"),
    ('走', "辶⻌⻍"),
    ('文', "攵⺙"),
    ('火', "灬⺣"),
];

/// Runs of 26 enclosed Latin letters that NFKC leaves alone: the code point of the letter A.
pub(super) const ENCLOSED_LETTERS: &[u32] = &[
    0x1F150, // negative circled
    0x1F170, // negative squared
];

/// Runs of enclosed numbers that NFKC leaves alone: first code point, first number, last number.
pub(super) const ENCLOSED_NUMBERS: &[(u32, u32, u32)] = &[
    (0x24FF, 0, 0),   // negative circled zero
    (0x2776, 1, 10),  // dingbat negative circled
    (0x2780, 1, 10),  // dingbat circled sans-serif
    (0x278A, 1, 10),  // dingbat negative circled sans-serif
    (0x24EB, 11, 20), // negative circled
    (0x24F5, 1, 10),  // double circled
    (0x1F10B, 0, 0),  // dingbat circled sans-serif zero
    (0x1F10C, 0, 0),  // dingbat negative circled sans-serif zero
];

/// The zeros of scripts with decimal digits of their own; the nine digits after each follow it.
pub(super) const DECIMAL_ZEROS: &[char] = &[
    '\u{0660}', '\u{06F0}', '\u{07C0}', '\u{0966}', '\u{09E6}', '\u{0A66}', '\u{0AE6}', '\u{0B66}',
    '\u{0BE6}', '\u{0C66}', '\u{0CE6}', '\u{0D66}', '\u{0E50}', '\u{0ED0}', '\u{0F20}', '\u{1040}',
    '\u{17E0}', '\u{1810}',
];

/// What stands for letters by Unicode and decorates words for people: strokes, signs that are not
/// read out, and fillers without ink.
pub(super) const DECORATION: &[char] =
    &['丶', '丨', '丿', '™', '℠', '№', '℃', '℉', '\u{115F}', '\u{1160}', '\u{3164}', '\u{FFA0}'];

/// Whether a character that is stripped also leaves no ink of its own: zero-width and format
/// characters and combining marks. Two letters with only such characters between them touch.
pub(super) fn is_invisible(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
        || matches!(c, '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}'
            | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}')
}
