//! What the referee knows, of a packet and of an account.

use super::{Row, RowKind};
use crate::packet::finding::Finding;

fn finding(word: u8) -> &'static str {
    Finding::at(word.into()).map_or("", Finding::name)
}

/// In the order of a packet's answer, see [`crate::packet::requests`].
pub(super) const PACKET: &[Row] = &[
    Row {
        name: "packet.outcome",
        kind: RowKind::Name(finding),
        doc: "the referee's finding on a send or claim: ok, or the law that it breaks",
        doc_zh: "裁判对发包或领取的结论:ok 或所违反的规则",
        unit: "",
        misleads: "packet_unknown where the history begins in the middle of a packet, where a \
                   packet waited longer than the shipped limits let it, or where a claim has the time \
                   of its packet's sending and no seq says which was first; the limits are those of \
                   the shipped engine, and another platform may have others; share_impossible for \
                   an honest packet whose shares are tilted by relationship, where a claim was lost \
                   or late, and for the first of claims at one moment whose source gives no seq; an \
                   exclusive packet that another claims than the one whom it names is ok, for no \
                   send says who that is",
    },
    Row {
        name: "packet.share_rank",
        kind: RowKind::Double,
        doc: "where this claim's share stands among all that the double-mean law could have drawn \
              in its place: 0 the smallest, 1 the largest, and a half is the mean of honest shares",
        doc_zh: "本次所得在二倍均值法于该位次可能抽出的全部金额中的位置:0 最小,1 最大,\
                 正常均值为 0.5",
        unit: "probability",
        misleads: "high or low by luck for one claim in as many as one expects; null for the last \
                   share, which takes what is left, for equal packets and where the packet or the \
                   order of its claims is not known whole",
    },
    Row {
        name: "packet.split_deviation",
        kind: RowKind::Double,
        doc: "how far the ranks of this packet's shares so far are from the law: with y the rank \
              less a half and v its variance, 12 (sum y)^2 / n + 180 (sum (y^2 - v))^2 / n, \
              Neyman's smooth test of order 2 (1937); a share counts if floor(2F / k) is 9 or \
              more, where k shares and F fen more than one for each of them were left before it; \
              by honest luck a packet ends over 9.2 in one of 100, over 13.8 in one to two of \
              1000 and over 18.4 in one to three of 10000, most often with few ranks; null below \
              5 ranks",
        doc_zh: "该红包至今各份位次偏离抽取规则的程度(Neyman 二阶光滑检验);领取前剩 k 份、除每份 1 分外\
                 剩 F 分时,floor(2F/k) 不小于 9 的份额才计;正常红包领完时约百分之一超过 9.2,\
                 千分之一至二超过 13.8,万分之一至三超过 18.4,位次少的较多;少于 5 个位次时为空",
        unit: "chi-square with 2 degrees of freedom",
        misleads: "packets whose shares are tilted by relationship are shuffled, and deviate; with \
                   many packets a day the rarest honest one is rare indeed, and looking after \
                   each share finds more than one look at the end: over 18.4 at some share by \
                   honest luck in 3 of 10000 packets of 5 ranks, 16 of 19 ranks and 28 of 100",
    },
    Row {
        name: "packet.shares_taken",
        kind: RowKind::Int,
        doc: "shares of this packet that were taken, this claim included; claims that the engine \
              would have refused take none",
        doc_zh: "该红包已被领取的份数(含本次);规则本应拒绝的领取不计",
        unit: "shares",
        misleads: "null where the sending was not seen",
    },
    Row {
        name: "packet.left_fen",
        kind: RowKind::Int,
        doc: "money of this packet that nobody has claimed, after this claim",
        doc_zh: "本次领取之后该红包尚未被领取的金额",
        unit: "fen",
        misleads: "null where the sending was not seen; a claim that was blocked has still taken \
                   its share",
    },
    Row {
        name: "devices.claim_latency_ms",
        kind: RowKind::Int,
        doc: "time from the sending of this claim's packet to the claim, by when both happened \
              (event_time); under an id that is used again, from the first sending; a packet is \
              forgotten 72 hours after its last event, and before the first claim or refund that \
              takes some of it (packet.outcome has no objection) 193 hours and 2 seconds later than \
              that, for it may wait to open",
        doc_zh: "从发出红包到本次领取的时延,按发生时间(event_time)计;同一编号重复使用时自首次发出起算;\
                 红包在最后一个事件72小时后即不再记得,尚无有效领取或退款(packet.outcome 无异议)的可能仍待开启,再晚193小时2秒",
        unit: "ms",
        misleads: "a timed packet is sent before it can be claimed; null on all but claims, where \
                   the sending was not seen, and on a claim that comes when the packet is \
                   forgotten; an id that is used again sooner makes claims look slow; \
                   negative where the claim's clock was behind",
    },
];

/// In the order of an account's answer, see [`crate::packet::luck`].
pub(super) const ACCOUNT: &[Row] = &[
    Row {
        name: "packet.luck_30d",
        kind: RowKind::Double,
        doc: "how lucky the acting account's drawn shares of 30 days were for their places: the sum \
              of rank less a half over sqrt(n / 12), of the latest 1000 that count as in \
              packet.split_deviation; by honest luck over 3 for one account of 740",
        doc_zh: "该账号30天内(最近1000次,计入条件同 packet.split_deviation)拼手气所得位次的标准化均值:\
                 正常情况下约740个账号中有一个超过 3",
        unit: "standard deviations",
        misleads: "with many accounts the luckiest honest one is lucky indeed; null below 10 ranks; \
                   those whom a relationship tilts are lucky by rule",
    },
    Row {
        name: "packet.refund_faults_30d",
        kind: RowKind::Count,
        doc: "refunds to the acting account in 30 days that broke a law of the packet: to another \
              than its sender, twice, too early, of another amount than was left, or of an unknown \
              packet; of the latest 100",
        doc_zh: "30天内退给该账号且违反规则的退款数:退给他人、重复、过早、金额不符或红包不明(最多100)",
        unit: "refunds",
        misleads: "in the first days of a history that begins in the middle all refunds are of \
                   unknown packets; a platform that books the return of a blocked packet as a \
                   refund is too early; a lost claim makes a refund short, and a refund of too \
                   much is not told from one with a blocked claim's share",
    },
    Row {
        name: "packet.refund_finding",
        kind: RowKind::Name(finding),
        doc: "the referee's finding on the latest of these refunds",
        doc_zh: "其中最近一笔退款所违反的规则",
        unit: "",
        misleads: "as packet.refund_faults_30d; null where there is none",
    },
    Row {
        name: "behaviour.hasty_claims_7d",
        kind: RowKind::Count,
        doc: "claims in groups by the acting account in 7 days that came within 600 ms of the \
              sending (devices.claim_latency_ms from 0 to 599), this one included; of the latest \
              1000",
        doc_zh: "该账号7天内(含本次)在群里于发出后600毫秒内领取的次数\
                 (devices.claim_latency_ms 为 0 至 599,最多1000)",
        unit: "claims",
        misleads: "who watches a lively group has one now and then; a timed packet is sent before \
                   it can be claimed, so that those who wait for it are never hasty by this, unless \
                   the source books its opening as its sending; clocks that differ by more than \
                   people's reaction make everybody hasty or nobody",
    },
];
