//! How far the shipped lexicon reaches: disguises of its own phrases that this file makes, and
//! harmless texts. What a disguise hides counts as found when a phrase of the same category is hit
//! there.

use std::path::Path;

use hashbrown::HashMap;
use pinyin::ToPinyin as _;

use super::{Hit, Lexicon, Scratch};

/// Texts around a phrase, by turns. None of them holds a phrase.
const AROUND: [(&str, &str); 4] = [("", ""), ("今天", "谢谢"), ("你好，", "。"), ("6月", "的事")];

/// As seen in chats, from memory and not from the program's table; radicals in either form.
const APART: &[(char, &[&str])] = &[
    ('赌', &["贝者", "貝者"]),
    ('博', &["十尃"]),
    ('红', &["纟工", "糸工"]),
    ('扫', &["扌彐", "手彐"]),
    ('雷', &["雨田"]),
    ('群', &["君羊"]),
    ('加', &["力口"]),
    ('抢', &["扌仓", "手仓"]),
    ('押', &["扌甲", "手甲"]),
    ('投', &["扌殳"]),
    ('码', &["石马", "石馬"]),
    ('信', &["亻言", "人言"]),
    ('佣', &["亻用", "人用"]),
    ('代', &["亻弋"]),
    ('付', &["亻寸"]),
    ('钱', &["钅戋", "金戋"]),
    ('银', &["钅艮", "金艮"]),
    ('账', &["贝长"]),
    ('赔', &["贝咅"]),
    ('财', &["贝才"]),
    ('贷', &["代贝"]),
    ('洗', &["氵先", "水先"]),
    ('流', &["氵㐬"]),
    ('注', &["氵主"]),
    ('跑', &["足包"]),
    ('分', &["八刀"]),
    ('返', &["反辶"]),
    ('现', &["王见"]),
    ('利', &["禾刂"]),
    ('秒', &["禾少"]),
    ('积', &["禾只"]),
    ('租', &["禾且"]),
    ('和', &["禾口"]),
    ('结', &["纟吉"]),
    ('给', &["纟合"]),
    ('收', &["丩攵"]),
    ('放', &["方攵"]),
    ('评', &["讠平", "言平"]),
    ('证', &["讠正", "言正"]),
    ('认', &["讠人"]),
    ('话', &["讠舌"]),
    ('试', &["讠式"]),
    ('诈', &["讠乍"]),
    ('机', &["木几"]),
    ('棋', &["木其"]),
    ('牌', &["片卑"]),
    ('玩', &["王元"]),
    ('球', &["王求"]),
    ('期', &["其月"]),
    ('好', &["女子"]),
    ('领', &["令页"]),
    ('额', &["客页"]),
    ('彩', &["采彡"]),
    ('对', &["又寸"]),
    ('双', &["又又"]),
    ('炸', &["火乍"]),
    ('挂', &["扌圭"]),
    ('提', &["扌是"]),
    ('招', &["扌召"]),
    ('接', &["扌妾"]),
    ('找', &["扌戈"]),
    ('聊', &["耳卯"]),
    ('职', &["耳只"]),
    ('验', &["马佥"]),
];

struct Reach {
    lexicon: Lexicon,
    scratch: Scratch,
    hits: Vec<Hit>,
    turn: usize,
}

impl Reach {
    fn new() -> Reach {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/text/phrases");
        let lexicon = Lexicon::load(&dir).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        Reach { lexicon, scratch: Scratch::default(), hits: Vec::new(), turn: 0 }
    }

    /// The phrases in one piece that take disguises, with their categories.
    fn phrases(&self) -> Vec<(String, u16)> {
        let mut of_phrase: Vec<(String, u16)> = Vec::new();
        for (at, line) in self.lexicon.canonical().lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            let category = self.lexicon.categories().iter().position(|name| name == fields[0]);
            let disguised = fields[2].contains("folded,skipped");
            if let Some(category) = category.filter(|_| disguised && !fields[4].contains("&&")) {
                assert_eq!(self.lexicon.phrase(at as u32), fields[4]);
                of_phrase.push((fields[4].to_owned(), category as u16));
            }
        }
        of_phrase
    }

    /// Whether a hit of `category` covers a part of `disguise`, wherever it stands.
    fn finds(&mut self, disguise: &str, category: u16) -> bool {
        let (before, after) = AROUND[self.turn % AROUND.len()];
        self.turn += 1;
        let text = format!("{before}{disguise}{after}");
        self.lexicon.scan(&text, &mut self.scratch, &mut self.hits);
        let start = before.chars().count() as u32;
        let end = start + disguise.chars().count() as u32;
        self.hits.iter().any(|hit| hit.category == category && hit.start < end && hit.end > start)
    }
}

fn han(c: char) -> bool {
    ('\u{4E00}'..='\u{9FA5}').contains(&c)
}

/// Characters by their everyday reading without tone.
fn by_sound() -> HashMap<&'static str, Vec<char>> {
    let mut by_sound: HashMap<&'static str, Vec<char>> = HashMap::new();
    for c in '\u{4E00}'..='\u{9FA5}' {
        if let Some(reading) = c.to_pinyin() {
            by_sound.entry(reading.plain()).or_default().push(c);
        }
    }
    by_sound
}

#[test]
fn one_character_homophones_are_found() {
    let mut reach = Reach::new();
    let by_sound = by_sound();
    let (mut found, mut all, mut found_long, mut all_long) = (0, 0, 0, 0);
    for (phrase, category) in reach.phrases() {
        let chars: Vec<char> = phrase.chars().collect();
        for (at, c) in chars.iter().enumerate().filter(|(_, c)| han(**c)) {
            let Some(same) = c.to_pinyin().and_then(|reading| by_sound.get(reading.plain())) else {
                continue;
            };
            for step in [3, 11, 29] {
                let other = same[(at * 17 + step * 7 + phrase.len()) % same.len()];
                if other == *c {
                    continue;
                }
                let mut disguise = chars.clone();
                disguise[at] = other;
                let is_found = reach.finds(&disguise.iter().collect::<String>(), category);
                found += usize::from(is_found);
                all += 1;
                let long = chars.iter().filter(|c| han(**c)).count() >= 3;
                found_long += usize::from(is_found && long);
                all_long += usize::from(long);
            }
        }
    }
    let percent = |part: usize, all: usize| 100.0 * part as f64 / all as f64;
    println!(
        "homophones: {found} of {all}, {found_long} of {all_long} of three characters or more"
    );
    assert!(all > 5_000, "{all}");
    assert!(percent(found, all) >= 95.0, "{found} of {all}");
    assert!(percent(found_long, all_long) >= 99.0, "{found_long} of {all_long}");
}

#[test]
fn pinyin_is_found() {
    let mut reach = Reach::new();
    let (mut found, mut all) = (0, 0);
    for (phrase, category) in reach.phrases() {
        if phrase.chars().count() < 3 || !phrase.chars().all(han) {
            continue;
        }
        let read = |joint: &str| {
            let each: Vec<_> = phrase.chars().flat_map(|c| c.to_pinyin()).collect();
            let names = each.iter().map(|reading| reading.plain().replace('ü', "v"));
            names.collect::<Vec<_>>().join(joint)
        };
        for disguise in [read(" "), read(""), read("·")] {
            found += usize::from(reach.finds(&disguise, category));
            all += 1;
        }
    }
    println!("pinyin: {found} of {all}");
    assert!(all > 1_000 && found * 100 >= all * 90, "{found} of {all}");
}

#[test]
fn split_characters_are_found() {
    let mut reach = Reach::new();
    let (mut found, mut all) = (0, 0);
    for (phrase, category) in reach.phrases() {
        for (whole, ways) in APART.iter().filter(|one| phrase.contains(one.0)) {
            for way in *ways {
                let disguise = phrase.replace(*whole, way);
                found += usize::from(reach.finds(&disguise, category));
                all += 1;
            }
        }
    }
    println!("split: {found} of {all}");
    assert!(all > 500 && found * 100 >= all * 95, "{found} of {all}");
}

#[test]
fn folds_and_symbols_are_found_without_exception() {
    let mut reach = Reach::new();
    let traditional: HashMap<char, char> = "賭赌紅红掃扫錢钱銀银賬账賠赔財财貸贷現现結结給给評评證证認认話话\
        試试詐诈機机彈弹領领額额雙双單单對对聯联絡络職职驗验號号羣群莊庄雞鸡買买賣卖發发獎奖運运龍龙飛飞\
        車车轉转盤盘網网頁页員员團团門门開开關关間间電电話话實实資资質质購购優优廣广應应為为無无點点\
        馬马騙骗們们個个總总計计訂订設设語语請请調调贏赢輸输"
        .chars()
        .collect::<Vec<_>>()
        .chunks_exact(2)
        .map(|pair| (pair[1], pair[0]))
        .collect();
    let numerals: HashMap<char, &str> = [
        ('0', "⓪"),
        ('1', "①"),
        ('2', "贰"),
        ('3', "③"),
        ('4', "肆"),
        ('5', "５"),
        ('8', "❽"),
        ('一', "壹"),
        ('二', "②"),
        ('三', "叁"),
        ('四', "4"),
        ('五', "伍"),
        ('六', "6"),
        ('七', "⑦"),
        ('八', "捌"),
        ('九', "9"),
        ('十', "十"),
    ]
    .into();
    let wide = |c: char| {
        if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xFEE0).unwrap_or(c) } else { c }
    };
    let between =
        |text: &str, ink: &str| text.chars().map(String::from).collect::<Vec<_>>().join(ink);
    for (phrase, category) in reach.phrases() {
        let disguises = [
            phrase.chars().map(wide).collect(),
            phrase.to_uppercase(),
            phrase.chars().map(|c| traditional.get(&c).copied().unwrap_or(c)).collect(),
            phrase
                .chars()
                .map(|c| numerals.get(&c).map_or(c.to_string(), |n| (*n).to_owned()))
                .collect(),
            between(&phrase, "\u{200B}"),
            between(&phrase, "\u{FE0F}"),
            between(&phrase, "*"),
            between(&phrase, " "),
            between(&phrase, "💰"),
            between(&phrase, "，"),
        ];
        for disguise in disguises {
            assert!(reach.finds(&disguise, category), "{phrase} as {disguise:?}");
        }
    }
}

#[test]
fn harmless_texts_are_left_alone() {
    let mut reach = Reach::new();
    let lines = include_str!("harmless.txt").lines().chain(include_str!("background.txt").lines());
    let mut all = 0;
    for line in lines {
        reach.lexicon.scan(line, &mut reach.scratch, &mut reach.hits);
        let named: Vec<_> = reach.hits.iter().map(|hit| reach.lexicon.phrase(hit.phrase)).collect();
        assert!(named.is_empty(), "{line}: {named:?}");
        assert_eq!(reach.lexicon.bet(line, &mut reach.scratch), None, "{line}");
        all += 1;
    }
    assert!(all > 400, "{all}");
}
