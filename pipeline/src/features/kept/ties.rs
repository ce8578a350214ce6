//! Where payer and payee meet.

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
    misleads: "a banker and the regulars who follow from group to group share many, and so do \
               relatives with a group for each branch",
}];
