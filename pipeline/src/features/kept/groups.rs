//! What the money of a group says of it.

use super::{Row, RowKind};

/// In the order of a group's answer, see [`crate::features::social::groups`].
pub(super) const GROUP: &[Row] = &[
    Row {
        name: "funds.group.turnover_24h",
        kind: RowKind::Int,
        doc: "money that members put into this group in 24 hours: its packets when they are sent \
              and transfers in it, this one included; null without a group",
        doc_zh: "24小时内成员在该群投入的总额:发出的红包(按发出时)与群内转账(含本笔);无群时为空",
        unit: "fen",
        misleads: "a packet counts in full, also if half of it goes back; the same fen sent on \
                   twice count twice",
    },
    Row {
        name: "funds.group.net_winner_share_24h",
        kind: RowKind::Double,
        doc: "the largest net gain of a member of this group in 24 hours over \
              funds.group.turnover_24h; a member's net gain is what it received (claims, transfers \
              to it, refunds) less what it paid (packets, transfers); 0 when nobody gains, null \
              when nothing was put in",
        doc_zh: "24小时内该群净收益最大的成员的净收益与投入总额之比;净收益为所得(领取、收到转账、退款)\
                 减去所付(发包、转账);无人净得时为 0,无投入时为空",
        unit: "share",
        misleads: "a collector of a dinner's shares and a birthday child win as a banker does; \
                   claims of packets and refunds of them that were sent before the window count as \
                   gains, so that it can be above 1; money that a banker pays or takes outside the \
                   group is not seen",
    },
    Row {
        name: "funds.group.rake_24h",
        kind: RowKind::Int,
        doc: "money that stays with those who pay least: of those who in 24 hours in this group \
              sent a packet, claimed, got a refund, paid by transfer or were paid by one, those \
              who paid the least fen (often none; all who paid equally little), and the sum of \
              their net gains as in funds.group.net_winner_share_24h, losses not set off; that a \
              packet is claimed does not count its sender in; 0 when there are none, null without \
              a group",
        doc_zh: "24小时内留在付出最少者手中的金额:在该群发包、领取、收到退款、转出或收到转账的成员中\
                 (红包被领取不使其发包人计入),\
                 付出最少者(并列者均计)的净收益之和(亏损不抵);没有时为 0,无群时为空",
        unit: "fen",
        misleads: "it cannot tell a banker who never pays from relatives who only claim: in a \
                   family it is what the children got; a banker who sends one packet pays more than \
                   those and drops out; read it beside funds.group.turnover_24h and \
                   social.group.type",
    },
    Row {
        name: "funds.group.mine_payouts_24h",
        kind: RowKind::Int,
        doc: "payments of mine packets' losers (扫雷) in this group in 24 hours whose ratio to \
              their packet had been seen before in it. A loss is a claim whose share ends in the \
              digit that its packet's text announces (text.bet_digit); the packet is the first one \
              sent in this group under the claim's packet_id, and there is no loss if that has 0 \
              fen or is the claimer's own. Later events under the id in this group, also a sending \
              by another, only keep it known: it is forgotten 72 hours after the last of them, and \
              before the first claim or refund 193 hours and 2 seconds later than that. A transfer \
              in this group of more than 0 fen from the loser to the packet's sender, less than 60 \
              seconds after the loss, pays one loss, and each loss is paid once: of the latest 8 \
              losses of the two, paid ones too, the oldest one unpaid that gives a ratio of \
              payment to packet, in lowest terms, that was seen before, or else the oldest one \
              unpaid. A ratio was seen before if, when the payment \
              is made, another payment of the 30 days before it had it, among the 64 ratios that \
              the group saw last; a payment that counts does so until it leaves the window; \
              funds.group.mine_payouts_cut_24h says when the limits bit; null without a group",
        doc_zh: "24小时内该群扫雷赔付中比例已出现过的次数。所领金额尾数等于红包文字所报雷号\
                 (text.bet_digit)即为中雷;红包为该 packet_id 在本群首次发出者,\
                 其金额为 0 或系本人所发时不算中雷;该编号在本群的后续事件(含他人再次发出)只延长其记忆:\
                 末次事件72小时后不再记得,未被领取或退款的再晚193小时2秒。\
                 中雷后不足60秒时中雷者在本群向发包人的转账(大于 0)\
                 赔付一次中雷,每次中雷只赔一次:在两人最近 8 次中雷(含已赔)中,取使赔付与红包金额之比\
                 (约分后)已出现过的最早未赔者,没有则取最早未赔者。某比例已出现过,指赔付当时\
                 此前30天内本群另有一次赔付为该比例,且在本群最近出现的 64 种比例之内;\
                 计入的赔付在离开窗口前一直计入;上限起作用时见 funds.group.mine_payouts_cut_24h;无群时为空",
        unit: "payments",
        misleads: "payments outside the group, by transfers that name no group, by packets instead \
                   of transfers or after more than a minute are not seen: a game settled like that \
                   has 0; the first payment of a ratio never counts, nor do those of a game whose \
                   losers pay a different ratio each time; two friends who pass the same round \
                   amounts to and fro after a packet named 100-6 can have 1",
    },
    Row {
        name: "funds.group.mine_payouts_cut_24h",
        kind: RowKind::Int,
        doc: "how often in 24 hours a limit of funds.group.mine_payouts_24h bit in this group: an \
              unpaid loss of less than 60 seconds before gave way to the ninth of the two, or a \
              ratio of the 30 days before to a 65th; null without a group",
        doc_zh: "24小时内该群触及 funds.group.mine_payouts_24h 上限的次数:不足60秒的未赔中雷因两人\
                 第 9 次中雷而不再记得,或30天内的比例因第 65 种而不再记得;无群时为空",
        unit: "times",
        misleads: "what gave way need not have been wanted any more; a ratio that did can be missed \
                   until 30 days after it was last seen",
    },
    Row {
        name: "social.group.stranger_share_24h",
        kind: RowKind::Double,
        doc: "share of this group's claims in 24 hours at which the claimer and the packet's \
              sender were strangers: neither had claimed from the other or paid the other by \
              transfer in this group in the 30 days before the claim; claims of one's own packets \
              and without a counterparty do not count; null when no claim does",
        doc_zh: "24小时内该群的领取中,领取人与发包人此前30天在本群互无领取和转账的占比;\
                 领取自己红包或无对方账号者不计;没有可计的领取时为空",
        unit: "share",
        misleads: "in a new group, and at the start of a history, all are strangers; who met in \
                   another group is a stranger here",
    },
    Row {
        name: "social.group.claim_latency_p10_1h",
        kind: RowKind::Int,
        doc: "of the claims in this group in an hour, how long after its packet came the fastest \
              tenth (nearest rank: the smallest value such that a tenth of all are no larger): \
              of their devices.claim_latency_ms, wherever the packet was sent; claims for which \
              that is null do not count; null when none does",
        doc_zh: "1小时内该群领取时延的第10百分位(最近秩);时延即 devices.claim_latency_ms,\
                 不论红包发自何处;其为空的领取不计,没有时为空",
        unit: "ms",
        misleads: "a plug-in (外挂) in the group makes it small, and so does a lively evening; of a \
                   few claims it is the fastest one; as devices.claim_latency_ms",
    },
    Row {
        name: "social.group.claim_latency_p50_1h",
        kind: RowKind::Int,
        doc: "the median of the times from sending to claim in this group in an hour, as \
              social.group.claim_latency_p10_1h",
        doc_zh: "1小时内该群领取距发包时长的中位数,口径同 social.group.claim_latency_p10_1h",
        unit: "ms",
        misleads: "packets found in the morning make it hours; as \
                   social.group.claim_latency_p10_1h",
    },
    Row {
        name: "social.group.claim_latency_p90_1h",
        kind: RowKind::Int,
        doc: "the slow end of the times from sending to claim in this group in an hour (nearest \
              rank of 90 %), as social.group.claim_latency_p10_1h",
        doc_zh: "1小时内该群领取距发包时长的第90百分位,口径同 social.group.claim_latency_p10_1h",
        unit: "ms",
        misleads: "one sleeper in a small group; of fewer than ten claims it is the slowest one; as \
                   social.group.claim_latency_p10_1h",
    },
    Row {
        name: "social.group.claim_latency_spread_1h",
        kind: RowKind::Int,
        doc: "social.group.claim_latency_p90_1h less social.group.claim_latency_p10_1h: people \
              are spread out, programs and gamblers who wait for the packet are not",
        doc_zh: "第90与第10百分位领取时长之差:普通人分散,外挂和守包的赌客集中",
        unit: "ms",
        misleads: "0 for a single claim: ask for a number of claims beside it; claims more than 72 \
                   hours after their packet's event before them do not count",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::social::mines::{LOSSES_MAX, RATIOS_MAX};

    #[test]
    fn the_limits_of_mine_payments_are_said() {
        let is_it = |row: &&Row| row.name == "funds.group.mine_payouts_24h";
        let row = GROUP.iter().find(is_it).expect("it is there");
        for said in [format!("latest {LOSSES_MAX} losses"), format!("{RATIOS_MAX} ratios")] {
            assert!(row.doc.contains(&said), "{said}");
        }
        for said in [format!("最近 {LOSSES_MAX} 次"), format!("最近出现的 {RATIOS_MAX} 种")]
        {
            assert!(row.doc_zh.contains(&said), "{said}");
        }
    }
}
