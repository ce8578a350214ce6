//! What packets are for, by the words of their memos.

use super::gather::Gathered;
use super::sections::{CLASSES, Class, column, row, senders, share};
use super::{Cell, Section, Unit, Whole, Words};
use crate::simulate::fidelity::tables::Packet;
use crate::simulate::figures::GroupType;

/// In the place of a figure, where the document only names something.
pub(super) const NAMED: &str = "*";

/// What a packet is for.
struct Scene {
    /// Its name for programs.
    id: &'static str,
    /// Its name in English and Chinese.
    name: (&'static str, &'static str),
    /// Any of these in a memo tells of it.
    words: &'static [&'static str],
    /// The type of groups for which the document names it.
    of: Option<GroupType>,
}

/// The scenes, those of the document among them; a memo is of the first that fits.
const SCENES: [Scene; 8] = [
    Scene {
        id: "festival",
        name: ("festival", "节日"),
        words: &[
            "新年",
            "春节",
            "中秋",
            "除夕",
            "元宵",
            "拜年",
            "节日",
            "恭喜发财",
            "年快乐",
            "过年",
        ],
        of: Some(GroupType::Family),
    },
    Scene {
        id: "wedding",
        name: ("wedding", "婚礼"),
        words: &["新婚", "百年好合", "婚礼", "早生贵子", "喜酒", "囍", "喜糖"],
        of: Some(GroupType::Family),
    },
    Scene {
        id: "birthday", name: ("birthday", "生日"), words: &["生日", "生快", "寿"], of: None
    },
    Scene {
        id: "check-in",
        name: ("check-in", "打卡"),
        words: &["打卡", "课程", "作业", "签到", "学习", "上课"],
        of: Some(GroupType::Interest),
    },
    Scene {
        id: "sign-up",
        name: ("sign-up", "报名"),
        words: &["报名", "活动", "接龙", "团建", "聚餐"],
        of: Some(GroupType::Interest),
    },
    Scene {
        id: "task",
        name: ("task", "任务"),
        words: &["任务", "刷单", "返利", "返现", "佣金", "试用", "问卷", "难度"],
        of: Some(GroupType::Business),
    },
    Scene {
        id: "recruiting",
        name: ("recruit", "拉新"),
        words: &["拉新", "推广", "地推", "拉人", "邀请"],
        of: Some(GroupType::Business),
    },
    Scene {
        id: "luck",
        name: ("good luck", "祝福"),
        words: &["大吉大利", "好运", "发财", "顺", "福", "喜"],
        of: None,
    },
];

/// The scene that a memo tells of, by its place among the scenes.
pub(super) fn scene(memo: &str) -> Option<usize> {
    SCENES.iter().position(|scene| scene.words.iter().any(|word| memo.contains(word)))
}

pub(super) fn section(gathered: &Gathered) -> Section {
    let mut rows = Vec::new();
    for (bit, class) in CLASSES.into_iter().enumerate() {
        let memos: Vec<(&Packet, Option<usize>)> = gathered
            .memos
            .iter()
            .map(|(at, scene)| (&gathered.tables.packets[*at as usize], *scene))
            .filter(|(packet, _)| packet.group.is_some_and(|at| gathered.class(at) == class))
            .collect();
        if memos.is_empty() {
            continue;
        }
        let with_memo = senders(memos.iter().map(|(packet, _)| *packet));
        // Nearly every packet has a memo, so that they count as the packets themselves.
        let count = Cell::count(memos.len(), with_memo);
        let mut cells = vec![count.part(Whole::PacketsByType, 1 << bit, memos.len())];
        for (at, scene) in SCENES.iter().enumerate() {
            let there = memos.iter().filter(|(_, of)| *of == Some(at));
            let who = senders(there.clone().map(|(packet, _)| *packet));
            let cell = match who {
                0 => Cell::count(0, 0),
                _ => Cell::of(share(there.count(), memos.len()), who),
            };
            let named = scene.of.is_some_and(|kind| class == Class::Type(kind));
            cells.push(if named { cell.beside(NAMED) } else { cell });
        }
        rows.push(row(class.id(), class.name(), cells));
    }
    let scene = |scene: &Scene| column(scene.id, scene.name, Unit::Percent);
    let memos = column("memos", ("memos", "留言数"), Unit::Count);
    Section {
        id: "scenes",
        title: Words::new("Scenes, % of packets with a memo", "高频场景（占有留言红包的 %）"),
        columns: std::iter::once(memos).chain(SCENES.iter().map(scene)).collect(),
        rows,
        notes: vec![Words::new(
            "*: the document names this scene for the type. A memo counts for the first scene \
             whose words it has",
            "*：文档将该场景列为该类型的高频场景；留言计入首个匹配词语的场景",
        )],
        known: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_has_the_scene_of_its_words() {
        let cases = [
            ("新婚快乐，百年好合", Some("wedding")),
            ("中秋快乐", Some("festival")),
            ("第三天打卡", Some("check-in")),
            ("3星任务", Some("task")),
            ("拉新奖励", Some("recruiting")),
            ("晚饭", None),
        ];
        for (memo, expected) in cases {
            assert_eq!(scene(memo).map(|at| SCENES[at].id), expected, "{memo}");
        }
    }
}
