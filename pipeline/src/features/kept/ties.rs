//! Where payer and payee meet, and where both are.

use super::{Row, RowKind};

/// In the order of a tie's answer, see [`crate::features::social::ties`].
pub(super) const TIE: &[Row] = &[Row {
    name: "social.tie.groups_30d",
    kind: RowKind::Int,
    doc: "distinct groups in which payer and payee dealt with each other in 30 days: one claimed \
          from the other or paid the other by transfer, in either direction, this one included; \
          dealings without a group count for none; 0 with oneself, null without a payee",
    doc_zh: "30天内付款方与收款方彼此往来(任一方向的领取或转账,含本笔)所在的不同群数;\
             无群的往来不计,与自己为 0,无收款方时为空",
    unit: "groups",
    misleads: "two who never dealt with each other have none, however many groups they share \
               (social.tie.common_groups_30d); a banker and the regulars who follow from group to group share many, and so do \
               relatives with a group for each branch",
}];

/// In the order of an answer about what the two have in common, see
/// [`crate::features::social::common`].
pub(super) const COMMON: &[Row] = &[
    Row {
        name: "social.tie.common_groups_30d",
        kind: RowKind::Int,
        doc: "distinct groups in which both payer and payee acted in 30 days, whether or not they \
              dealt with each other there: each is the account_id of an event of any kind in the \
              group, this one included; of each the 64 groups in which it acted last count \
              (social.tie.common_groups_cut_30d says when there are more); 0 with oneself, null \
              without a payee",
        doc_zh: "30天内付款方与收款方都活动过(在群内有任何类型的事件,含本笔)的不同群数,\
                 不论彼此是否往来;每方只计最近活动的 64 个群\
                 (超过时见 social.tie.common_groups_cut_30d);与自己为 0,无收款方时为空",
        unit: "groups",
        misleads: "members who only read a group are not in it by this; two strangers in a large \
                   group have it in common; a banker's new groups and those of a family are \
                   counted alike",
    },
    Row {
        name: "social.tie.common_groups_cut_30d",
        kind: RowKind::Int,
        doc: "how many of payer and payee acted in more than 64 groups in 30 days, so that \
              social.tie.common_groups_30d may be too small: 0, 1 or 2; 0 with oneself, null \
              without a payee",
        doc_zh: "付款方与收款方中30天内活动群数超过 64 个的方数(0、1 或 2),\
                 此时 social.tie.common_groups_30d 可能偏小;与自己为 0,无收款方时为空",
        unit: "accounts",
        misleads: "a robot that serves hundreds of groups, an organiser of many classes",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::social::common::GROUPS_MAX;

    #[test]
    fn the_limit_is_said_where_it_bites() {
        let limit = format!(" {GROUPS_MAX} ");
        for row in COMMON {
            let said = [row.doc, row.doc_zh].iter().all(|doc| doc.contains(&limit));
            assert!(said, "{}", row.name);
        }
    }
}
