//! What pictures are read as.
//!
//! Provenance: the everyday Chinese name of what the picture shows, in pinyin; where people are
//! seen to use a picture for a homophone (🐔 for 机, 🐶 for 够), the sound is the same. Written for
//! Hongxian. A picture that is mere decoration (hearts, fire, faces, money bags) has no reading: it
//! stands inside of words far more often than for one.

/// Each picture and its syllables.
pub(super) const PICTURES: &[(char, &str)] = &[
    ('🐔', "ji"), ('🐓', "ji"), ('🐥', "ji"), ('🐤', "ji"), ('🐣', "ji"),
    ('🐂', "niu"), ('🐮', "niu"), ('🐄', "niu"), ('🐃', "niu"),
    ('🐴', "ma"), ('🐎', "ma"), ('🐐', "yang"), ('🐑', "yang"), ('🐏', "yang"),
    ('🐶', "gou"), ('🐕', "gou"), ('🐱', "mao"), ('🐈', "mao"), ('🐷', "zhu"), ('🐖', "zhu"),
    ('🐭', "shu"), ('🐁', "shu"), ('🐀', "shu"), ('🐯', "hu"), ('🐅', "hu"), ('🐆', "bao"),
    ('🐰', "tu"), ('🐇', "tu"), ('🐲', "long"), ('🐉', "long"), ('🐍', "she"), ('🐵', "hou"),
    ('🐒', "hou"), ('🐟', "yu"), ('🐠', "yu"), ('🐡', "yu"), ('🦆', "ya"), ('🦢', "e"),
    ('🐸', "wa"), ('🐢', "gui"), ('🐝', "feng"), ('🐜', "yi"), ('🐛', "chong"), ('🦐', "xia"),
    ('🦀', "xie"), ('🐘', "xiang"), ('🐻', "xiong"), ('🦁', "shi"), ('🐺', "lang"), ('🦊', "hu"),
    ('💣', "lei"), ('⚡', "dian"), ('🧧', "hong bao"), ('🎲', "shai zi"), ('🀄', "ma jiang"),
    ('🚗', "che"), ('🚙', "che"), ('🚕', "che"), ('✈', "fei ji"), ('🛩', "fei ji"), ('⛵', "chuan"),
    ('🚢', "chuan"), ('🚀', "huo jian"), ('⌚', "biao"), ('📞', "dian hua"), ('☎', "dian hua"),
    ('📱', "shou ji"), ('💻', "dian nao"), ('📷', "xiang ji"), ('🔑', "yao shi"), ('🔒', "suo"),
    ('🔫', "qiang"), ('🔪', "dao"), ('🗡', "jian"), ('🍺', "pi jiu"), ('🍻', "pi jiu"), ('🍷', "jiu"),
    ('🍵', "cha"), ('🍆', "qie"), ('🥬', "cai"), ('🍚', "fan"), ('🍜', "mian"), ('🍑', "tao"),
    ('🍐', "li"), ('🍎', "ping guo"), ('🍌', "jiao"), ('🍇', "pu tao"), ('🍉', "gua"), ('🥚', "dan"),
    ('🌧', "yu"), ('☔', "yu"), ('❄', "xue"), ('🌊', "shui"), ('💧', "shui"), ('🚰', "shui"),
    ('👋', "shou"), ('🖐', "shou"), ('✋', "shou"), ('🤚', "shou"), ('👣', "jiao"), ('👂', "er"),
    ('👀', "yan"), ('👄', "zui"), ('🦷', "ya"), ('🧠', "nao"), ('🔢', "shu"), ('🏠', "fang"),
    ('🏡', "fang"), ('🚪', "men"), ('🛏', "chuang"), ('📖', "shu"), ('📚', "shu"), ('🖊', "bi"),
    ('✏', "bi"), ('✒', "bi"), ('💊', "yao"), ('💉', "zhen"), ('👗', "qun"), ('👟', "xie"),
    ('👠', "xie"), ('🧦', "wa"), ('👖', "ku"), ('☂', "san"), ('🌂', "san"), ('🎋', "zhu"),
    ('🌲', "shu"), ('🌳', "shu"), ('🌾', "dao"), ('🌽', "yu mi"), ('🍄', "gu"), ('⛰', "shan"),
    ('🏔', "shan"), ('🕊', "ge"), ('🦅', "ying"), ('🦋', "die"), ('📦', "bao"), ('👜', "bao"),
    ('🎒', "bao"), ('👛', "bao"), ('💼', "bao"),
];
