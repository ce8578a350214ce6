//! What is known of an account's funds, as the payer and as the payee of a transaction.

use super::{Row, RowKind};

/// The rows of the keeper of flows for a side, in the order of its answers.
macro_rules! flows {
    ($side:literal, $side_zh:literal) => {
        &[
            Row {
                name: concat!("funds.", $side, ".residence_24h_minutes"),
                kind: RowKind::Double,
                doc: concat!(
                    "how long money stayed with the ", $side, " in 24 hours: what it paid (packets \
                     sent, transfers, withdrawals, whatever funded them) is matched with what it \
                     received before in the window (claims, transfers), oldest first, and the time \
                     from receipt to spend is averaged by fen, this transaction included; what was \
                     paid and finds no receipt is ignored, and a transfer to oneself is neither; \
                     null while nothing is matched",
                ),
                doc_zh: concat!(
                    "24小时内资金在", $side_zh, "停留的平均时长:付出(发包、转账、提现,不论资金来源)\
                     按先进先出与窗口内此前的收入(领取、转入)匹配,按金额加权(含本次交易);\
                     无对应收入的付出不计,转给自己不计;无匹配时为空",
                ),
                unit: "minutes",
                misleads: "at most 24 hours: money that stayed longer has left the window and does \
                           not show; savings and bank cards count as if what was received had been \
                           spent; a packet counts in full when it is sent, and a claim of one's \
                           own packet is a receipt",
            },
            Row {
                name: concat!("funds.", $side, ".recirculated_24h"),
                kind: RowKind::Double,
                doc: concat!(
                    "share of what the ", $side, " received in 24 hours (claims, transfers) that \
                     it has paid out again (packets sent, transfers, withdrawals), matched as for \
                     residence_24h_minutes, transfers to oneself left out: 0 nothing, 1 all; null \
                     while nothing, or nothing but 0 fen, was received",
                ),
                doc_zh: concat!(
                    "24小时内", $side_zh, "收入(领取、转入)中已再付出(发包、转账、提现)的比例,\
                     匹配方式同 residence_24h_minutes,转给自己不计:0 为全部留存,1 为全部付出;未收到资金时为空",
                ),
                unit: "ratio",
                misleads: "as residence_24h_minutes; an even exchange of packets among friends is \
                           recirculated whole",
            },
            Row {
                name: concat!("funds.", $side, ".turnover_24h"),
                kind: RowKind::Double,
                doc: concat!(
                    "what the ", $side, " paid from its balance in 24 hours (withdrawals, and \
                     packets sent and transfers that no bank card funded), in full even where the \
                     balance was less, over its balance, averaged over the time of the window, or \
                     since its first movement if that is shorter; the balance begins at 0, grows \
                     by claims, transfers, refunds and topups, and is never below 0; a movement \
                     is each of these events by which it pays or is paid, also one of 0 fen or \
                     from a bank card, but no transfer to oneself; the account is forgotten, and \
                     its next movement its first, 24 hours after its last one to the millisecond \
                     if nothing is left, and else 90 days after it; null while the balance was 0 \
                     all that time, as at the first movement",
                ),
                doc_zh: concat!(
                    "24小时内", $side_zh, "从余额付出的金额(发包、转账、提现,不含银行卡支付,\
                     余额不足也全额计)与同期按时间加权的平均余额之比(首次变动不足24小时的自首次变动起算);\
                     余额从 0 起,随领取、转入、退款、充值增加,不低于 0;上述收付均为变动\
                     (含 0 分和银行卡支付),转给自己不算;末次变动满24小时且无余额、或满90天(均精确到毫秒)的\
                     账号不再记得,其下一次变动即为首次;期间余额一直为 0(如首次变动时)则为空",
                ),
                unit: "ratio",
                misleads: "the balance is of what the stream shows: what was there before, and \
                           movements elsewhere, are missing, so that it is too small until enough \
                           has come in; very large soon after the first receipt, when little time \
                           has passed; lingqiantong is part of the balance, for moving money there \
                           is no event; a refund counts as balance also where a bank card paid; \
                           after 90 days without a movement savings begin at 0 again",
            },
        ]
    };
}

/// The rows of the keeper of chains for a side, in the order of its answers.
macro_rules! chains {
    ($side:literal, $side_zh:literal) => {
        &[
            Row {
                name: concat!("funds.", $side, ".chain_2hop_24h"),
                kind: RowKind::Int,
                doc: concat!(
                    "money that reached the ", $side, " through exactly one other account: hops \
                     (claims and transfers, payer to payee) A -> X -> ", $side, " of three \
                     different accounts, where X passed on what A had given it less than 24 hours \
                     before, oldest first in the order of events; payments to oneself are no hops; \
                     second hops from T - 24 h, included, to before T, which is the beginning of \
                     the graph tick before this one; 0 where there is none",
                ),
                doc_zh: concat!(
                    "经恰好一个中间账号到达", $side_zh, "的金额:A→X→", $side_zh, "(领取或转账,三个不同账号),\
                     X 将此前不足24小时从 A 收到的资金按先进先出转出;付给自己不算一跳;第二跳在 [T-24小时, T) 内,\
                     T 为上一图刻起点;没有则为 0",
                ),
                unit: "fen",
                misleads: "one to two graph ticks old; what X pays goes out of what it received \
                           first, also if it pays from savings; only hops use a receipt up: a \
                           packet counts when it is claimed, and withdrawals not at all; money \
                           that X gives back to A is used up and no chain; organisers who collect \
                           and pay on have many",
            },
            Row {
                name: concat!("funds.", $side, ".chain_groups_24h"),
                kind: RowKind::Int,
                doc: concat!(
                    "distinct groups in which the first hops of chain_2hop_24h to the ", $side,
                    " were made; hops outside groups count for none",
                ),
                doc_zh: concat!("到达", $side_zh, "的 chain_2hop_24h 第一跳所在的不同群数;群外的不计"),
                unit: "groups",
                misleads: "as chain_2hop_24h; one fen that came through counts its group",
            },
        ]
    };
}

/// The rows of the keeper of cycles for a side, in the order of its answers.
macro_rules! cycles {
    ($side:literal, $side_zh:literal) => {
        &[
            Row {
                name: concat!("funds.", $side, ".cycle_24h"),
                kind: RowKind::Int,
                doc: concat!(
                    "hops of the shortest directed cycle of money through the ", $side, ", 2 or 3, \
                     in the graph whose edges are the claims and transfers from one account to \
                     another (payer to payee, never to oneself) from T - 24 h, included, to before \
                     T, which is the beginning of the graph tick before this one; null where there \
                     is none",
                ),
                doc_zh: concat!(
                    "经过", $side_zh, "的最短资金闭环的跳数(2 或 3):图由 [T-24小时, T) 内(T 为上一图刻起点)\
                     账号之间的领取和转账(付款方→收款方)构成,付给自己不计;没有则为空",
                ),
                unit: "hops",
                misleads: "friends who pay each other back; the order in time and the amounts do \
                           not matter, so that money need not have gone around; one to two graph \
                           ticks old; accounts with more distinct payees or payers in that time \
                           than counterparties_max (64 unless policy.toml says otherwise) are cut \
                           and lie on no cycle: cycle_cut_24h says when",
            },
            Row {
                name: concat!("funds.", $side, ".cycle_cut_24h"),
                kind: RowKind::Int,
                doc: concat!(
                    "edges of the ", $side, " in the graph of cycle_24h that were left out when \
                     its cycles were sought, because it or the account at their other end had \
                     more distinct payees or payers than counterparties_max; 0: every cycle was \
                     found",
                ),
                doc_zh: concat!(
                    "查找 cycle_24h 时", $side_zh, "被略去的边数:其本身或对方的不同收款方或付款方\
                     超过 counterparties_max 个;0 表示未遗漏任何闭环",
                ),
                unit: "edges",
                misleads: "a shop or an organiser among the counterparties is enough",
            },
        ]
    };
}

/// The rows of the keeper of long cycles for a side, in the order of its answers.
macro_rules! long_cycles {
    ($side:literal, $side_zh:literal) => {
        &[
            Row {
                name: concat!("funds.", $side, ".cycle4_24h"),
                kind: RowKind::Int,
                doc: concat!(
                    "hops of the shortest directed cycle of money through the ", $side, ", 2, 3 or \
                     4, in the graph of cycle_24h, if before T there was an alert on the ", $side,
                    ": a decision other than allow by the rules on what it did; null where there \
                     is no such cycle, and where there was no alert",
                ),
                doc_zh: concat!(
                    "经过", $side_zh, "的最短资金闭环的跳数(2、3 或 4),图同 cycle_24h;\
                     仅限 T 之前规则曾对", $side_zh, "的行为作出放行以外决定的账号;\
                     没有闭环或没有此类决定则为空",
                ),
                unit: "hops",
                misleads: "as cycle_24h; an alert counts for ever, also one that was wrong, and \
                           other rules make other alerts; the floors of enforced verdicts are no \
                           alerts; accounts with more distinct payees or payers than \
                           counterparties_max are on no cycle: cycle4_cut_24h says when",
            },
            Row {
                name: concat!("funds.", $side, ".cycle4_cut_24h"),
                kind: RowKind::Int,
                doc: concat!(
                    "edges that were left out when cycle4_24h was sought: those of cycle_cut_24h \
                     and, unless the ", $side, " is cut itself (has more distinct payees or payers \
                     than counterparties_max) or a cycle of 2 or 3 hops was found, those between \
                     accounts that are cut and accounts, not cut, that it paid or was paid by; \
                     null where nothing was left out, and where nothing was sought, for there was \
                     no alert on the ", $side, " before T",
                ),
                doc_zh: concat!(
                    "查找 cycle4_24h 时略去的边数:cycle_cut_24h 的边,以及(", $side_zh,
                    "本身未超限且未找到2或3跳闭环时)其未超限的收付款对方与超限账号之间的边;\
                     超限指不同收款方或付款方超过 counterparties_max 个;\
                     没有略去任何边,或 T 之前没有放行以外的决定,则为空",
                ),
                unit: "edges",
                misleads: "a shop two payments away is enough",
            },
        ]
    };
}

pub(super) const FLOWS: [&[Row]; 2] = [flows!("payer", "付款方"), flows!("payee", "收款方")];
pub(super) const CHAINS: [&[Row]; 2] = [chains!("payer", "付款方"), chains!("payee", "收款方")];
pub(super) const CYCLES: [&[Row]; 2] = [cycles!("payer", "付款方"), cycles!("payee", "收款方")];
pub(super) const LONG_CYCLES: [&[Row]; 2] =
    [long_cycles!("payer", "付款方"), long_cycles!("payee", "收款方")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_said_where_it_bites() {
        let says = |row: &Row| {
            [row.doc, row.misleads].iter().any(|text| text.contains("counterparties_max"))
        };
        assert!(CYCLES.iter().chain(&LONG_CYCLES).copied().flatten().all(says));
    }
}
