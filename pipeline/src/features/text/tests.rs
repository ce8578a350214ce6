//! What the shipped lexicon hits and what it leaves alone; phrase files; features.

use std::path::{Path, PathBuf};

use super::{Grade, Lexicon, Scratch, WEIGHT_MAX, entries};
use crate::diagnostic::{Diagnostic, Sources, to_json};
use crate::event::{NULL_INT, Type, Value};

fn shipped() -> Lexicon {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/text/phrases");
    Lexicon::load(&dir).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn made(text: &str) -> Result<Lexicon, Vec<Diagnostic>> {
    Lexicon::from_files(&[(PathBuf::from("made.txt"), text.to_owned())])
}

/// The hits as `phrase grade start..end`, separated by `; `.
fn hits(lexicon: &Lexicon, text: &str) -> String {
    let mut hits = Vec::new();
    lexicon.scan(text, &mut Scratch::default(), &mut hits);
    let one = |hit: &super::Hit| {
        let (phrase, grade) = (lexicon.phrase(hit.phrase), hit.grade.name());
        format!("{phrase} {grade} {}..{}", hit.start, hit.end)
    };
    hits.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_shipped_lexicon_is_large_and_in_five_categories() {
    let lexicon = shipped();
    assert!(lexicon.len() >= 500, "{}", lexicon.len());
    assert_eq!(
        lexicon.categories(),
        ["gambling", "settlement", "brushing", "contact", "fraud"],
        "a category of another name is probably misspelt"
    );
}

#[test]
fn harmless_texts_do_not_hit() {
    let lexicon = shipped();
    let hard = [
        "双色球投注一注两元",
        "体彩投注站几点关门",
        "双色球开奖结果公布了吗",
        "群接龙：明天聚餐报名，1.小王 2.小李",
        "扫雷",
        "扫雷游戏真好玩，电脑上的那个",
        "牛牛今天满月",
        "牛牛爸爸转的奶粉钱",
        "这个月流水对好了，财务入账",
        "生日快乐",
        "马上分",
        "早上分了组，晚上分享",
        "底下注意安全",
        "注意，地下注水了",
        "加微波炉热一下",
        "更加微妙",
        "更加Q弹",
        "安徽信用社",
        "加VIP会员",
        "加V领毛衣",
        "have fun, see you at devx",
        "x86_64 vxworks",
        "空中雷达站",
        "卫生间返水了",
        "抽水马桶",
        "加倍投入工作",
        "反洗钱培训资料",
        "谨防刷单诈骗",
        "远离赌博，珍爱家庭",
        "刷手机刷到半夜",
        "回收卡片",
        "二维码商家收款",
        "材料商送货",
        "外套现货",
        "彩金项链",
        "不知道买大小合适吗",
        "牙刷手柄",
        "3公里 三公斤 13公分",
        "请问这款 U 盘，换U盘要多少钱",
        "赌 气",
    ];
    for text in include_str!("background.txt").lines().chain(hard) {
        assert_eq!(hits(&lexicon, text), "", "{text:?}");
    }
}

#[test]
fn evasions_hit() {
    let lexicon = shipped();
    let rows = [
        ("红包扫雷", "红包扫雷 exact 0..4"),
        ("今晚红包扫雷开始", "红包扫雷 exact 2..6"),
        ("紅包掃雷", "红包扫雷 folded 0..4"),
        ("荭包扫雷", "红包扫雷 folded 0..4"),
        ("红 包 扫 雷", "红包扫雷 skipped 0..7"),
        ("红*包*扫*雷", "红包扫雷 skipped 0..7"),
        ("红\u{200b}包\u{200c}扫\u{2060}雷", "红包扫雷 skipped 0..7"),
        ("红💰包💣扫丶雷", "红包扫雷 skipped 0..7"),
        ("红红包包扫扫雷", "红包扫雷 folded 0..7"),
        ("红̿包̿扫̿雷̿", "红包扫雷 skipped 0..7"),
        ("赌博", "赌博 exact 0..2"),
        ("賭愽", "赌博 folded 0..2"),
        ("赌。博", "赌博 skipped 0..3"),
        ("来抢庄牛牛", "抢庄 exact 1..3; 抢庄牛牛 exact 1..5"),
        ("七包雷", "七包雷 exact 0..3"),
        ("7包雷", "七包雷 folded 0..3"),
        ("⑦包雷", "七包雷 folded 0..3"),
        ("柒包雷", "七包雷 folded 0..3"),
        ("六合彩", "六合彩 exact 0..3"),
        ("6合彩", "六合彩 folded 0..3"),
        ("❻合啋", "六合彩 folded 0..3"),
        ("北京ＰＫ１０", "北京pk10 folded 0..6"),
        // The case of ASCII letters is no disguise.
        ("加VX123456", "加vx exact 0..3; vx exact 1..3"),
        ("加vx123456", "加vx exact 0..3; vx exact 1..3"),
        ("加ＶＸ123456", "加vx folded 0..3; vx folded 1..3"),
        ("加🆅🆇 123456", "加vx folded 0..3; vx folded 1..3"),
        ("加νχ", "加vx folded 0..3; vx folded 1..3"),
        ("加v❤x", "加v exact 0..2; 加vx skipped 0..4; vx skipped 1..4"),
        ("加嶶", "加微 folded 0..2"),
        ("上丅分", "上下分 folded 0..3"),
        ("上-下-分", "上下分 skipped 0..5"),
        ("双色球投注不玩，玩六合彩投注", "六合彩 exact 9..12; 投注 exact 12..14"),
        // A flag is a picture, though its halves stand for letters.
        ("红🇨🇳包🇨🇳扫雷", "红包扫雷 skipped 0..8"),
        ("加🇻🇽", "加vx homophones 0..3"),
        ("➕vx", "加vx homophone 0..3; vx exact 1..3"),
        // Look-alikes within a phrase.
        ("兔死号", "免死号 folded 0..3"),
        ("红包扫霄", "红包扫雷 folded 0..4"),
        // Taken apart, in either form of a radical.
        ("红包扫雨田", "红包扫雷 split 0..5"),
        ("纟工包扌彐雨田", "红包扫雷 split 0..7"),
        ("貝者博", "赌博 split 0..3"),
        ("贝 者 博", "赌博 split 0..5"),
        ("日寸日寸彩", "时时彩 split 0..5"),
        ("时日寸采彡", "时时彩 split 0..5"),
        // By sound: homophones, pinyin, pictures, and a letter that is part of a word.
        ("红包扫蕾", "红包扫雷 homophone 0..4"),
        ("洪包扫累", "红包扫雷 homophones 0..4"),
        ("来hongbao扫雷", "红包扫雷 homophones 1..10"),
        ("HONG BAO SAO LEI", "红包扫雷 homophones 0..16"),
        ("hongbaosaolei", "红包扫雷 homophones 0..13"),
        ("红🎒扫💣", "红包扫雷 homophones 0..4"),
        ("🧧扫雷", "红包扫雷 homophones 0..3"),
        ("睹博", "赌博 homophone 0..2"),
        ("佳vx", "加vx homophone 0..3; vx exact 1..3"),
        // Written plainly, it is not also its own disguise.
        ("加微信", "加微 exact 0..2; 加微信 exact 0..3"),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
}

#[test]
fn run_lengths_are_kept() {
    let lexicon = made("[own]\n牛牛\n时时彩\n时彩\n18元\n").unwrap();
    let rows = [
        ("牛", ""),
        ("牛年", ""),
        ("牛牛", "牛牛 exact 0..2"),
        ("牛·牛", "牛牛 skipped 0..3"),
        ("犇牛牛牛", "牛牛 exact 1..4"),
        ("时彩", "时彩 exact 0..2"),
        ("牛，牛牛", "牛牛 exact 2..4"),
        ("时时彩", "时彩 exact 0..3; 时时彩 exact 0..3"),
        ("时时时彩彩", "时彩 exact 0..5; 时时彩 exact 0..5"),
        ("18元", "18元 exact 0..3"),
        ("188元", ""),
        ("118元", ""),
        ("11 18元", "18元 exact 3..6"),
        ("一八元", "18元 folded 0..3"),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
}

#[test]
fn boundaries_stand_in_the_original() {
    let lexicon =
        made("[own]\nav\nvip | boundary=token\nusd | boundary=none\n六合\n100 | boundary=word\n")
            .unwrap();
    let rows = [
        ("have", ""),
        ("haveav", ""),
        ("测av试", "av exact 1..3"),
        ("av8", "av exact 0..2"),
        ("8AV", "av exact 1..3"),
        ("a_av_b", "av exact 2..4"),
        ("h\u{200b}av", ""),
        ("la av", "av exact 3..5"),
        ("av vhs", "av exact 0..2"),
        ("eav", ""),
        ("éav", ""),
        ("ﬁav", ""),
        ("vip", "vip exact 0..3"),
        ("vip8", ""),
        ("8vip", ""),
        ("vip卡", "vip exact 0..3"),
        ("busdriver", "usd exact 1..4"),
        ("36合", ""),
        ("三六合", "六合 exact 1..3"),
        ("1000", ""),
        ("100", "100 exact 0..3"),
        ("100元", "100 exact 0..3"),
        ("2100", ""),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
}

#[test]
fn parts_stand_anywhere() {
    let lexicon = made("[own]\n福利 && 尾数\n扫雷 && 一百元 | grades=exact\n!福利院\n").unwrap();
    let rows = [
        ("福利", ""),
        ("尾数", ""),
        ("群福利看尾数", "福利 && 尾数 exact 1..6"),
        ("尾数，福利，尾数", "福利 && 尾数 exact 0..5"),
        ("尾.数 福利", "福利 && 尾数 skipped 0..6"),
        // A part under an allow-phrase does not count.
        ("福利院的尾数", ""),
        ("福利院的尾数和福利", "福利 && 尾数 exact 4..9"),
        ("扫雷100元", ""),
        ("一百元扫雷", "扫雷 && 一百元 exact 0..5"),
        ("一百元掃雷", ""),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
    for wrong in ["一 && 扫雷", "扫雷 &&", "扫雷 && 掃雷", "甲乙 && 丙丁 && 戊己 && 庚辛 && 壬癸"]
    {
        let mistakes = made(&format!("[own]\n{wrong}\n")).err().unwrap_or_default();
        assert_eq!(mistakes.len(), 1, "{wrong}");
    }
    let repeated = made("[own]\n扫雷 && 福利\n福利 && 掃雷\n").err().unwrap_or_default();
    assert_eq!(repeated[0].code, "phrase-repeated");
    assert_eq!(made("!扫雷 && 福利\n").err().unwrap_or_default()[0].code, "phrase-parts");
}

#[test]
fn sounds_count_where_they_are_asked_for() {
    let file = "[own]\n中雷\n抢庄 | grades=+homophone\n埋雷群 | grades=-homophones\n\
                红包扫雷 | category=gambling\n红包搔雷\n!因为信号\n唯信号\n";
    let lexicon = made(file).unwrap();
    let rows = [
        ("这个种类", ""),
        ("抢装", "抢庄 homophone 0..2"),
        ("强装", ""),
        ("埋累群", "埋雷群 homophone 0..3"),
        ("买累群", ""),
        // Of those that sound alike, one a category: the best spelt, then the first.
        ("红包扫蕾", "红包扫雷 homophone 0..4; 红包搔雷 homophones 0..4"),
        ("红包骚蕾", "红包扫雷 homophones 0..4; 红包搔雷 homophones 0..4"),
        ("微信号", "唯信号 homophone 0..3"),
        ("因为信号不好", ""),
        // Another syllable, a kana between, half a word.
        ("红包少雷", ""),
        ("红包の扫蕾", ""),
        ("redhongbao saolei", ""),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
}

#[test]
fn the_longest_cover_decides() {
    let lexicon =
        made("[own]\n扫雷\n扫雷游戏赌\n微信\n!扫雷游戏\n!微信\n!个微信读书\n群 | category=fraud\n")
            .map_err(|mistakes| mistakes[0].code);
    assert_eq!(lexicon.err(), Some("phrase-too-short"));
    let lexicon = made("[own]\n扫雷\n扫雷游戏赌\n微信\n!扫雷游戏\n!微信\n").unwrap();
    let rows = [
        ("扫雷", "扫雷 exact 0..2"),
        ("扫雷游戏", ""),
        ("掃雷·游戏", ""),
        ("扫雷游戏，扫雷", "扫雷 exact 5..7"),
        // The longer phrase also brings back the shorter one: the allow-phrase lost.
        ("扫雷游戏赌", "扫雷 exact 0..2; 扫雷游戏赌 exact 0..5"),
        // Of equals the allow-phrase wins: that switches a phrase off.
        ("微信", ""),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
}

#[test]
fn options_choose_the_grades() {
    let lexicon = made("[own | grades=exact]\n上分\n中雷\tgrades=exact,folded\n").unwrap();
    let rows = [
        ("上分", "上分 exact 0..2"),
        ("上，分", ""),
        ("丄分", ""),
        ("中雷", "中雷 exact 0..2"),
        ("空中，雷", ""),
        ("⊕中靁", ""),
    ];
    for (text, expected) in rows {
        assert_eq!(hits(&lexicon, text), expected, "{text:?}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let text = "\u{feff}# a comment\n没有类别\n[gambling | wieght=3]\n这一行不再被责怪\n\
                [Fraud]\n[evasion]\n[own\n[own | weight=7]\r\n雷\n!!\n扫雷 | weight=1001\n\
                掃雷\n扫 雷\n赌博\tgrades=exact,fold boundary=words\n!放行 | weight=3\n\
                好短语 | colour=red\n";
    let mistakes = made(text).err().unwrap_or_default();
    let mut sources = Sources::default();
    sources.add("made.txt", text);
    let json = to_json(&mistakes, &sources);
    let shown: Vec<String> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}:{} {}", one["line"], one["column"], one["code"].as_str().unwrap()))
        .collect();
    let expected = [
        "2:1 phrase-without-category",
        "3:13 unknown-phrase-option",
        "5:2 category-name",
        "6:2 category-reserved",
        "7:1 section-not-closed",
        "9:1 phrase-too-short",
        "10:2 phrase-too-short",
        "11:13 weight",
        "12:1 phrase-repeated",
        "13:1 phrase-repeated",
        "14:17 unknown-phrase-option",
        "14:31 unknown-phrase-option",
        "15:7 option-of-allow-phrase",
        "16:7 unknown-phrase-option",
    ];
    assert_eq!(shown, expected);
    assert_eq!(json[1]["hint"], "did you mean `weight`?");
    assert!(json[8]["hint"].as_str().unwrap().contains("made.txt:11"), "{}", json[8]);
    let lexicon = made("[own | weight=7]\r\n甲乙\r\n丙丁 | weight=9\r\n").unwrap();
    assert_eq!((lexicon.weight(0), lexicon.weight(1)), (9, 7), "in order of the text");
    assert!(lexicon.weight(0) <= WEIGHT_MAX);
}

#[test]
fn the_normal_spelling_ignores_layout() {
    let one = [
        (PathBuf::from("b.txt"), "[own]\n甲乙 | weight=3\n!甲乙丙\n".to_owned()),
        (PathBuf::from("a.txt"), "# x\n[gambling]\n扫雷\n".to_owned()),
    ];
    let other = [(
        PathBuf::from("z.txt"),
        "!甲乙丙\n[gambling | weight=3 grades=exact,folded,skipped,split]\n甲乙 | category=own\n\
         扫雷 | weight=10\n"
            .to_owned(),
    )];
    let canonical = |files: &[(PathBuf, String)]| Lexicon::from_files(files).unwrap().canonical();
    assert_eq!(canonical(&one), canonical(&other));
    assert_eq!(
        canonical(&one),
        "gambling\t10\texact,folded,skipped,split\tword\t扫雷\n\
         own\t3\texact,folded,skipped,split\tword\t甲乙\n\
         !\t10\texact,folded,skipped,split,homophone,homophones\tword\t甲乙丙\n"
    );
}

#[test]
fn features_of_a_text() {
    let lexicon = made("[own | weight=4]\n扫雷\n赌博 | weight=6\n[gambling]\n上下分\n").unwrap();
    let listed = entries(&lexicon);
    assert_eq!(listed.len(), lexicon.features());
    let names: Vec<&str> = listed.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names[..2], ["text.gambling", "text.gambling_weight"]);
    let tail = ["text.own", "text.own_weight", "text.evasion", "text.bet_memo", "text.bet_digit"];
    assert_eq!(names[10..], tail);
    for entry in &listed {
        assert!(!entry.doc.is_empty() && !entry.doc_zh.is_empty() && !entry.misleads.is_empty());
    }
    let mut scratch = Scratch::default();
    let mut check = |text: &str, gambling: i64, tail: [i64; 5]| {
        let mut values = vec![77; lexicon.features()];
        lexicon.compute(text, &mut scratch, &mut values);
        assert_eq!((values[0], &values[10..]), (gambling, &tail[..]), "{text:?}");
    };
    let none = NULL_INT;
    check("", none, [none; 5]);
    check("你好", 0, [0, 0, 0, 0, none]);
    check("扫雷扫雷", 0, [1, 4, 0, 0, none]);
    check("扫雷 赌博 上下分", 1, [2, 10, 0, 0, none]);
    check("扫雷 掃雷 赌·博", 0, [2, 10, 2, 0, none]);
    check("100-6", 0, [0, 0, 0, 1, 6]);
    check("30元5包", 0, [0, 0, 0, 1, none]);
    check("扫雷100-6", 0, [1, 4, 0, 1, 6]);
    for (at, entry) in listed.iter().enumerate() {
        assert_eq!(lexicon.value(at, NULL_INT), Value::Null);
        let expected = if entry.kind == Type::Bool { Value::Bool(true) } else { Value::Int(1) };
        assert_eq!(lexicon.value(at, 1), expected, "{}", entry.name);
    }
}

#[test]
fn a_line_is_scanned_to_json() {
    let lexicon = made("[own | weight=4]\n扫雷\n").unwrap();
    assert_eq!(
        lexicon.scan_line("来掃.雷"),
        serde_json::json!({
            "hits": [{
                "phrase": "扫雷", "category": "own", "weight": 4, "grade": "skipped",
                "start": 1, "end": 4,
            }],
            "bet_memo": false,
            "bet_digit": null,
        })
    );
    assert_eq!(lexicon.scan_line("100-6")["bet_digit"], 6);
}

#[test]
fn a_missing_directory_is_an_empty_lexicon() {
    let lexicon = Lexicon::load(Path::new("no/such/directory")).unwrap();
    assert!(lexicon.is_empty());
    assert_eq!(lexicon.categories().len(), 5);
    assert_eq!(hits(&lexicon, "红包扫雷"), "");
    assert_eq!(Grade::ALL.map(|grade| grade as u8), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn unreadable_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.txt"), b"[own]\n\xff\xfe\n").unwrap();
    std::fs::write(dir.path().join("b.txt"), "[own]\n扫雷\n").unwrap();
    std::fs::write(dir.path().join("notes.md"), b"\xff").unwrap();
    let mistakes = Lexicon::load(dir.path()).err().unwrap_or_default();
    let files: Vec<_> = mistakes.iter().map(|one| one.file.file_name().unwrap()).collect();
    assert_eq!(files, ["a.txt"]);
    assert_eq!(mistakes[0].code, "phrases-unreadable");
    assert!(mistakes[0].message.en.contains("a.txt:2 is not UTF-8"), "{mistakes:?}");
}

#[test]
fn an_option_that_is_said_twice_is_a_mistake() {
    let mistakes = made("[own]\n扫雷 | weight=3 weight=4\n").err().unwrap_or_default();
    assert_eq!(mistakes.iter().map(|one| one.code).collect::<Vec<_>>(), ["option-twice"]);
}

/// The mistakes of a file as `line:column code (hint)`.
fn told(text: &str) -> Vec<String> {
    let mistakes = made(text).err().unwrap_or_default();
    let mut sources = Sources::default();
    sources.add("made.txt", text);
    let one = |one: &serde_json::Value| {
        let word = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        assert!(!word("message_zh").is_empty() && word("hint").is_empty() == one["hint"].is_null());
        format!("{}:{} {} ({})", one["line"], one["column"], word("code"), word("hint"))
    };
    to_json(&mistakes, &sources).as_array().unwrap().iter().map(one).collect()
}

#[test]
fn what_only_looks_like_syntax_is_a_mistake() {
    let rows = [
        ("！扫雷游戏", "1 full-width-mark", "did you mean `!扫雷游戏`?"),
        ("＃ 注释", "1 full-width-mark", "did you mean `# 注释`?"),
        ("赌场|weight=40", "3 option-not-separated", "did you mean `赌场 | weight=40`?"),
        ("赌场| weight=40", "3 option-not-separated", "did you mean `赌场 | weight=40`?"),
        ("赌场 ｜ weight=40", "4 option-not-separated", "did you mean `赌场 | weight=40`?"),
        ("赌局 weight=40", "4 option-not-separated", "did you mean `赌局 | weight=40`?"),
        ("赌局 wieght = 40", "4 option-not-separated", "did you mean `赌局 | wieght = 40`?"),
        ("赌局grades＝exact", "3 option-not-separated", "did you mean `赌局 | grades＝exact`?"),
        ("!赌局|boundary=none", "4 option-not-separated", "did you mean `!赌局 | boundary=none`?"),
        ("| weight=40", "1 option-not-separated", "before it stands a phrase"),
        ("福利 || 尾数", "4 option-not-separated", "joined by ` && `; for either of two"),
        ("红包扫雷 | ", "6 option-missing", "leave the bar out"),
        ("[dice|weight=40]", "6 option-not-separated", "did you mean `dice | weight=40`?"),
        ("扫雷 | grades=exact,+folded", "13 grades-mixed", "`exact,folded` takes these alone"),
        ("扫雷 | grades=+folded,-folded", "22 grade-twice", ""),
        ("扫雷 | grades=-exact,-folded,-skipped,-split", "1 grades-none", "take all away"),
        ("福利 & 尾数", "4 parts-not-joined", "did you mean `福利 && 尾数`?"),
        ("福利＆＆尾数", "3 parts-not-joined", "did you mean `福利 && 尾数`?"),
        ("福利 &&& 尾数", "4 parts-not-joined", "did you mean `福利 && 尾数`?"),
        ("扫雷 # 注释", "4 comment-after-phrase", "put it on the line above"),
        ("扫雷 | weight=3 # 注释", "15 comment-after-phrase", "put it on the line above"),
        ("[dice] # 注释", "8 comment-after-phrase", "put it on the line above"),
        ("【dice】", "1 section-brackets", "did you mean `[dice]`?"),
        ("［dice | weight=3］", "1 section-brackets", "did you mean `[dice | weight=3]`?"),
        ("【赌博】", "1 section-brackets", "write a header as `[gambling]`"),
        ("扫雷；赌博", "3 several-phrases", "on lines of their own"),
        ("扫雷、赌博、上下分", "3 several-phrases", "on lines of their own"),
    ];
    for (line, expected, hint) in rows {
        let told = told(&format!("[own]\n{line}\n抢庄牛牛\n"));
        assert_eq!(told.len(), 1, "{line}: {told:#?}");
        assert!(told[0].starts_with(&format!("2:{expected} (")), "{line}: {told:#?}");
        assert!(told[0].contains(hint), "{line}: {told:#?}");
    }
    // What the section takes away counts too, and of a phrase of parts each must be left one.
    let of_section = "[own | grades=exact]\n扫雷 | grades=-exact\n赌博 && 抢庄 | grades=-exact\n";
    let codes: Vec<_> = made(of_section).err().unwrap_or_default().iter().map(|m| m.code).collect();
    assert_eq!(codes, ["grades-none"; 2]);
    // Without a category above, a slip is not blamed for that as well.
    assert_eq!(told("赌场|category=own\n").len(), 1);
}

#[test]
fn marks_that_may_be_meant_are_part_of_a_phrase() {
    let lines = [
        "加我，带你赚",
        "扫雷,赌博",
        "吃、喝、玩",
        "足不出户在家赚、日入三百",
        "Q&A群",
        "扫雷;",
        "【京东】退款",
        "#扫雷",
        "加群#扫雷",
        "x.com/?category=5",
        "a=1的群",
        "福利&&尾数",
        "甲乙 | grades=-homophone,-homophones",
    ];
    for line in lines {
        assert_eq!(told(&format!("[own]\n{line}\n")), [""; 0], "{line}");
    }
}
