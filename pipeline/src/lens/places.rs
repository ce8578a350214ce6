//! Where groups and people are.

use std::collections::{BTreeMap, BTreeSet};

use super::gather::Gathered;
use super::sections::{Class, column, mean, row, share};
use super::{Cell, Part, SMALL_CELL, Section, Unit, Whole, Words};
use crate::simulate::figures::{BANNED_PROVINCES, GroupType, Zone, zone_of};

/// The provinces that are listed; those of fewer accounts are one row.
const PROVINCES_SHOWN: usize = 12;

pub(super) fn regions(gathered: &Gathered) -> Section {
    let zones = [
        (Some(Zone::Delta), "deltas", "Pearl and Yangtze deltas", "珠三角、长三角"),
        (Some(Zone::Inland), "inland", "middle and west", "中西部"),
        (Some(Zone::Rest), "rest", "rest of the country", "其他地区"),
        (None, "unknown", "unknown", "未知"),
    ];
    let zone = |at: u32| {
        let province = gathered.tables.groups.get(&at).map_or(0, |group| group.province);
        (province != 0).then(|| zone_of(province))
    };
    let mut rows = Vec::new();
    for (at, (here, id, name, zh)) in zones.into_iter().enumerate() {
        let groups = gathered.groups_of(|at| zone(at) == here);
        if groups.is_empty() {
            continue;
        }
        let people = gathered.people(&groups);
        let of = |kind: GroupType, whole: Whole| {
            let class = Class::Type(kind);
            if !gathered.names(kind) {
                return (Cell::unknown(), Cell::unknown());
            }
            let those: BTreeSet<u32> =
                groups.iter().copied().filter(|at| gathered.class(*at) == class).collect();
            let people = gathered.people(&those);
            let cell = match people {
                0 => Cell::count(0, 0),
                _ => Cell::of(share(those.len(), groups.len()), people),
            };
            let cell = cell.part(whole, 1 << at, those.len());
            let packets = gathered.packets_of(class);
            (cell, mean(packets.filter(|p| p.group.is_some_and(|at| zone(at) == here))))
        };
        let (business, business_mean) = of(GroupType::Business, Whole::BusinessByZone);
        let (family, _) = of(GroupType::Family, Whole::FamilyByZone);
        let packets = gathered.tables.packets.iter();
        let all_mean = mean(packets.filter(|p| p.group.is_some_and(|at| zone(at) == here)));
        let delta = here == Some(Zone::Delta);
        let inland = here == Some(Zone::Inland);
        let beside = |cell: Cell, holds: bool, text: &str| match holds {
            true => cell.beside(text),
            false => cell,
        };
        let atoms = gathered.atoms(&groups);
        let cells = vec![
            Cell::count(groups.len(), people).part(Whole::GroupsByPlace, atoms, groups.len()),
            Cell::count(people, people),
            beside(business, delta, ">60"),
            beside(business_mean, delta, "35.8"),
            beside(family, inland, "78"),
            beside(all_mean, inland, "12.4"),
        ];
        rows.push(row(id, Words::new(name, zh), cells));
    }
    // How many groups of a type there are in all stands with the types.
    let of_type = |kind: GroupType, whole: Whole| {
        let count = gathered.groups_of(|at| gathered.class(at) == Class::Type(kind)).len();
        let parts = rows.iter().flat_map(|row| &row.cells).filter_map(|cell| cell.part);
        let parts = parts.filter(|part| part.whole == whole);
        Part { whole, atoms: parts.fold(0, |all, part| all | part.atoms), count }
    };
    let known = vec![
        gathered.known(Whole::GroupsByPlace, &gathered.groups_of(|_| true)),
        of_type(GroupType::Business, Whole::BusinessByZone),
        of_type(GroupType::Family, Whole::FamilyByZone),
    ];
    Section {
        id: "regions",
        title: Words::new("Regions of groups", "地域分布（群）"),
        columns: vec![
            column("groups", ("groups", "群数"), Unit::Count),
            column("accounts", ("accounts", "账户"), Unit::Count),
            column("business", ("of business, %", "商业群 %"), Unit::Percent),
            column("business_mean", ("their mean, yuan", "其单包均值"), Unit::Yuan),
            column("family", ("of family, %", "亲友群 %"), Unit::Percent),
            column("mean", ("mean of all, yuan", "全部均值"), Unit::Yuan),
        ],
        rows,
        notes: gathered.with_gap(Vec::new()),
        known,
    }
}

impl Gathered {
    /// Those of some groups of which an event told the province. Shares are of these: the others are
    /// in some province as well.
    fn placed(&self, groups: &BTreeSet<u32>) -> BTreeSet<u32> {
        let province = |at: &u32| self.tables.groups.get(at).map_or(0, |group| group.province);
        groups.iter().copied().filter(|at| province(at) != 0).collect()
    }

    /// The provinces of groups, a bit each.
    fn atoms(&self, groups: &BTreeSet<u32>) -> u64 {
        let province = |at: &u32| self.tables.groups.get(at).map_or(0, |group| group.province);
        groups.iter().map(|at| province_bit(province(at))).fold(0, |a, b| a | b)
    }

    fn known(&self, whole: Whole, groups: &BTreeSet<u32>) -> Part {
        Part { whole, atoms: self.atoms(groups), count: groups.len() }
    }
}

/// The bit of a province; one of no known code has none of its own.
fn province_bit(code: u32) -> u64 {
    let at = NAMES.iter().position(|(two, ..)| two * 10_000 == code);
    1 << at.unwrap_or(NAMES.len())
}

pub(super) fn provinces(gathered: &Gathered) -> Section {
    let tables = &gathered.tables;
    let mut people: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (account, province) in &gathered.provinces {
        people.entry(*province).or_default().insert(*account);
    }
    let mut order: Vec<u32> = people.keys().copied().collect();
    order.sort_by_key(|code| (std::cmp::Reverse(people[code].len()), *code));
    let line = |id: String, name: Words, codes: &BTreeSet<u32>| {
        let accounts: usize =
            codes.iter().filter_map(|code| people.get(code)).map(BTreeSet::len).sum();
        let lived_in = codes.iter().filter(|code| people.contains_key(code));
        let lived_in = lived_in.map(|code| province_bit(*code)).fold(0, |a, b| a | b);
        let there = |at: &u32| tables.groups.get(at).is_some_and(|g| codes.contains(&g.province));
        let groups = gathered.groups_of(|at| there(&at));
        let part = |whole: Whole, of: BTreeSet<u32>| {
            let those: BTreeSet<u32> = of.iter().copied().filter(there).collect();
            let cell = match those.len() {
                _ if of.is_empty() => return Cell::default(),
                0 => Cell::count(0, 0),
                count => Cell::of(share(count, of.len()), gathered.people(&those)),
            };
            cell.part(whole, gathered.atoms(&those), those.len())
        };
        let cells = vec![
            Cell::count(accounts, accounts).part(Whole::PeopleByPlace, lived_in, accounts),
            Cell::count(groups.len(), gathered.people(&groups)).part(
                Whole::GroupsByPlace,
                gathered.atoms(&groups),
                groups.len(),
            ),
            part(Whole::BannedByPlace, gathered.placed(&gathered.banned)),
            part(Whole::FoundByPlace, gathered.placed(&gathered.found)),
        ];
        row(id, name, cells)
    };
    let mut rows = Vec::new();
    for code in order.iter().take(PROVINCES_SHOWN) {
        rows.push(line(code.to_string(), province_name(*code), &BTreeSet::from([*code])));
    }
    let rest: BTreeSet<u32> = order.iter().skip(PROVINCES_SHOWN).copied().collect();
    if !rest.is_empty() {
        rows.push(line("other".to_owned(), Words::new("all others", "其余"), &rest));
    }
    let mut three = line(
        "three".to_owned(),
        Words::new("Shandong, Henan, Hebei", "山东、河南、河北"),
        &BANNED_PROVINCES.into_iter().collect(),
    );
    three.cells[2] = std::mem::take(&mut three.cells[2]).beside("62");
    three.cells[3] = std::mem::take(&mut three.cells[3]).beside("62");
    rows.push(three);
    Section {
        id: "provinces",
        title: Words::new("Provinces", "省份"),
        columns: vec![
            column("accounts", ("accounts", "账户"), Unit::Count),
            column("groups", ("groups", "群数"), Unit::Count),
            column("banned", ("of banned groups, %", "占被封群 %"), Unit::Percent),
            column("found", ("of groups found fraud, %", "占认定欺诈群 %"), Unit::Percent),
        ],
        rows,
        notes: vec![totals(gathered)],
        known: vec![
            gathered.known(Whole::BannedByPlace, &gathered.placed(&gathered.banned)),
            gathered.known(Whole::FoundByPlace, &gathered.placed(&gathered.found)),
        ],
    }
}

/// How many groups are banned and found fraud; of few people it is not said. Of those whose province
/// is known and of the others it is said apart and of no sum, which would tell the one by the other.
fn totals(gathered: &Gathered) -> Words {
    let number = |groups: &BTreeSet<u32>| match gathered.people(groups) {
        people if people > 0 && people < SMALL_CELL => None,
        _ => Some(groups.len()),
    };
    let both = |all: &BTreeSet<u32>| {
        let placed = gathered.placed(all);
        let others: BTreeSet<u32> = all.difference(&placed).copied().collect();
        (number(&placed), number(&others))
    };
    let (banned, found) = (both(&gathered.banned), both(&gathered.found));
    let en = |count: Option<usize>| match count {
        Some(1) => "1 group".to_owned(),
        Some(count) => format!("{count} groups"),
        None => format!("groups of fewer than {SMALL_CELL} accounts"),
    };
    let zh = |count: Option<usize>| match count {
        Some(count) => format!("{count} 个"),
        None => format!("不足 {SMALL_CELL} 个账户，已隐藏"),
    };
    let en = |(placed, others): (Option<usize>, Option<usize>)| match others {
        Some(0) => en(placed),
        others => format!("{} and, of unknown province, {}", en(placed), en(others)),
    };
    let zh = |(placed, others): (Option<usize>, Option<usize>)| match others {
        Some(0) => zh(placed),
        others => format!("{}，另有省份未知的 {}", zh(placed), zh(others)),
    };
    Words::new(
        format!(
            "banned at the end of the run: {}; fraud by labels: {}; shares are of groups of known \
             province",
            en(banned),
            en(found)
        ),
        format!(
            "运行结束时被封群：{}；标签认定欺诈群：{}；占比以省份已知的群为分母",
            zh(banned),
            zh(found)
        ),
    )
}

const NAMES: [(u32, &str, &str); 34] = [
    (11, "Beijing", "北京"),
    (12, "Tianjin", "天津"),
    (13, "Hebei", "河北"),
    (14, "Shanxi", "山西"),
    (15, "Inner Mongolia", "内蒙古"),
    (21, "Liaoning", "辽宁"),
    (22, "Jilin", "吉林"),
    (23, "Heilongjiang", "黑龙江"),
    (31, "Shanghai", "上海"),
    (32, "Jiangsu", "江苏"),
    (33, "Zhejiang", "浙江"),
    (34, "Anhui", "安徽"),
    (35, "Fujian", "福建"),
    (36, "Jiangxi", "江西"),
    (37, "Shandong", "山东"),
    (41, "Henan", "河南"),
    (42, "Hubei", "湖北"),
    (43, "Hunan", "湖南"),
    (44, "Guangdong", "广东"),
    (45, "Guangxi", "广西"),
    (46, "Hainan", "海南"),
    (50, "Chongqing", "重庆"),
    (51, "Sichuan", "四川"),
    (52, "Guizhou", "贵州"),
    (53, "Yunnan", "云南"),
    (54, "Tibet", "西藏"),
    (61, "Shaanxi", "陕西"),
    (62, "Gansu", "甘肃"),
    (63, "Qinghai", "青海"),
    (64, "Ningxia", "宁夏"),
    (65, "Xinjiang", "新疆"),
    (71, "Taiwan", "台湾"),
    (81, "Hong Kong", "香港"),
    (82, "Macau", "澳门"),
];

/// The name of a province by its code of GB/T 2260.
fn province_name(code: u32) -> Words {
    let found = NAMES.iter().find(|(two, ..)| two * 10_000 == code);
    let unknown = || Words::new(code.to_string(), code.to_string());
    found.map_or_else(unknown, |(_, en, zh)| Words::new(*en, *zh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::figures::PROVINCES;

    #[test]
    fn provinces_of_the_document_have_names() {
        for (code, ..) in PROVINCES {
            assert_ne!(province_name(*code).en, code.to_string());
        }
        assert_eq!(province_name(990_000).en, "990000");
        assert_eq!(BANNED_PROVINCES.map(|code| province_name(code).zh), ["山东", "河南", "河北"]);
    }
}
