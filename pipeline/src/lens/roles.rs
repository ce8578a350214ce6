//! What part accounts play, held against what was found true of them.

use std::collections::{BTreeMap, BTreeSet};

use super::sections::row;
use super::{Cell, Column, SMALL_CELL, Section, Unit, Words};
use crate::diagnostic::Failure;
use crate::finished::{FinishedRun, NO_ROLE, ROLE_FEATURE, ROLE_TRANSACTIONS_MIN, role};
use crate::judge::{Labels, Subject};

/// The table of roles; none where no feature of the run tells any.
pub(super) fn section(run: &FinishedRun) -> Result<Option<Section>, Failure> {
    let Some(roles) = run.account_roles(&|_| true)? else { return Ok(None) };
    let labels = run.labels()?;
    let given: BTreeMap<&str, &str> =
        roles.iter().map(|(account, counts)| (account.as_str(), role(counts))).collect();
    let columns: BTreeSet<&str> = given.values().copied().chain([NO_ROLE]).collect();
    // How many accounts of each found role were given each role.
    let mut found: BTreeMap<Words, BTreeMap<&str, usize>> = BTreeMap::new();
    for (account, given) in &given {
        if let Some(labels) = &labels {
            *found.entry(found_role(labels, account)).or_default().entry(*given).or_default() += 1;
        }
    }
    let all = columns.iter().map(|column| {
        let count = given.values().filter(|given| *given == column).count();
        Cell::count(count, count)
    });
    let all = row("all", Words::new("all", "全部"), all.collect());
    let mut rows: Vec<Vec<Cell>> = vec![Vec::new(); found.len()];
    for column in &columns {
        let parts: Vec<usize> =
            found.values().map(|row| row.get(column).copied().unwrap_or(0)).collect();
        rows.iter_mut().zip(closed(&parts)).for_each(|(row, cell)| row.push(cell));
    }
    let rows = found.into_keys().zip(rows).map(|(name, cells)| row(name.en.clone(), name, cells));
    let rows = std::iter::once(all).chain(rows).collect();
    let mut notes = vec![Words::new(
        format!(
            "accounts by role, from the feature {ROLE_FEATURE}: the role that most of an account's \
             transactions have, {NO_ROLE} aside, where {ROLE_TRANSACTIONS_MIN} or more have it"
        ),
        format!(
            "按角色统计账户，来源为特征 {ROLE_FEATURE}：除 {NO_ROLE} 外，账户多数交易所属的角色，\
             至少 {ROLE_TRANSACTIONS_MIN} 笔"
        ),
    )];
    if labels.is_some() {
        notes.push(Words::new(
            "columns: the role given; rows below the first: the role in the labels",
            "列为判定的角色；首行以下各行为标签中的角色",
        ));
    }
    Ok(Some(Section {
        id: "roles",
        title: Words::new("Roles of accounts", "账户角色"),
        columns: columns.into_iter().map(column).collect(),
        rows,
        notes,
        known: Vec::new(),
    }))
}

/// The parts of a total. Where the small ones, which are hidden, are few accounts together, which
/// is what the total and the others leave, the smallest of the others is hidden with them.
fn closed(parts: &[usize]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = parts.iter().map(|part| Cell::count(*part, *part)).collect();
    let hidden: usize = parts.iter().filter(|part| **part < SMALL_CELL).sum();
    if (1..SMALL_CELL).contains(&hidden) {
        let open = (0..parts.len()).filter(|at| parts[*at] >= SMALL_CELL);
        if let Some(smallest) = open.min_by_key(|at| parts[*at]) {
            cells[smallest].hide();
        }
    }
    cells
}

fn column(role: &str) -> Column {
    let zh = match role {
        "banker" => "庄家",
        "brusher" => "刷单",
        "collector" => "归集",
        "grabber" => "外挂抢包",
        NO_ROLE => "正常",
        "player" => "赌客",
        other => other,
    };
    Column { id: role.to_owned().into(), name: Words::new(role, zh), unit: Unit::Count }
}

/// The role of an account in the labels, else its typology, else whether it is fraud.
fn found_role(labels: &Labels, account: &str) -> Words {
    let Some(label) = labels.get(Subject::Account, account) else {
        return Words::new("no label", "无标签");
    };
    let role = label.role.map(|at| labels.roles()[usize::from(at)].as_str());
    let typology = label.typology.map(|at| labels.typologies()[usize::from(at)].as_str());
    match (role.or(typology), label.fraud) {
        (Some(name), _) => Words::new(name, name),
        (None, true) => Words::new("fraud", "欺诈"),
        (None, false) => Words::new("honest", "正常"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_and_its_parts_tell_of_no_few_accounts() {
        let shown = |parts: &[usize]| -> Vec<Option<f64>> {
            closed(parts).into_iter().map(|cell| cell.value).collect()
        };
        assert_eq!(shown(&[40, 12]), [Some(40.0), Some(12.0)]);
        assert_eq!(shown(&[40, 12, 9]), [Some(40.0), None, None], "nine would be the difference");
        assert_eq!(shown(&[40, 5, 5]), [Some(40.0), None, None], "two parts, of ten together");
        assert_eq!(shown(&[40, 0]), [Some(40.0), Some(0.0)]);
        assert_eq!(shown(&[9]), [None], "the total is hidden as well");
    }
}
