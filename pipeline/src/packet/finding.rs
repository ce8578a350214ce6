//! The laws of a red packet by the names under which the referee finds them broken.

use serde::{Deserialize, Serialize};

/// What the referee says of a send, a claim or a refund. Most names are those of the engine's
/// refusals: what the engine would have refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Finding {
    /// All laws hold so far.
    Ok,
    /// A claim of a packet whose sending was not seen before.
    PacketUnknown,
    /// A second packet with the id of one that is still remembered.
    PacketReused,
    /// A second claim by the same account.
    ClaimedTwice,
    /// More claims than shares.
    TooManyClaims,
    /// The claims add up to more than the packet held.
    Overdrawn,
    /// A claim when the packet's time was certainly over.
    Expired,
    /// A claim after the rest of the packet went back to its sender.
    AfterRefund,
    /// A sending later than a claim of the same packet.
    SentAfterClaims,
    /// No share, or more than allowed.
    SharesOutOfLimits,
    /// An exclusive packet in more than one share.
    SharesNotOne,
    /// Less than a fen for each share, or a mean share over its limit.
    ShareAmountOutOfLimits,
    /// Equal shares that do not come out even.
    SharesUneven,
    /// A claim or refund that names another sender than the packet's.
    OtherSender,
    /// A claim or refund in another group than the packet's.
    OtherGroup,
    /// A claim of no money.
    ClaimOfNothing,
    /// A claim that leaves less than a fen for each share still to come.
    ReserveShort,
    /// A claim of an equal packet that is not its equal share.
    ShareUnequal,
    /// The last share of a drawn packet without all that was left.
    RemainderLeft,
    /// A share of a drawn packet that the law of the split cannot draw at its place.
    ShareImpossible,
    /// A refund of a packet whose sending was not seen.
    RefundUnknown,
    /// A second refund of a packet.
    RefundedTwice,
    /// A refund before the packet's time can be over.
    RefundEarly,
    /// A refund of less than what nobody claimed.
    RefundShort,
    /// A refund of more than what nobody claimed and blocked shares could give back.
    RefundExcess,
}

impl Finding {
    /// Every finding, in the order of its code.
    pub const ALL: [Finding; 25] = [
        Finding::Ok,
        Finding::PacketUnknown,
        Finding::PacketReused,
        Finding::ClaimedTwice,
        Finding::TooManyClaims,
        Finding::Overdrawn,
        Finding::Expired,
        Finding::AfterRefund,
        Finding::SentAfterClaims,
        Finding::SharesOutOfLimits,
        Finding::SharesNotOne,
        Finding::ShareAmountOutOfLimits,
        Finding::SharesUneven,
        Finding::OtherSender,
        Finding::OtherGroup,
        Finding::ClaimOfNothing,
        Finding::ReserveShort,
        Finding::ShareUnequal,
        Finding::RemainderLeft,
        Finding::ShareImpossible,
        Finding::RefundUnknown,
        Finding::RefundedTwice,
        Finding::RefundEarly,
        Finding::RefundShort,
        Finding::RefundExcess,
    ];

    /// That of a code; none where there is no such code.
    pub fn at(code: u64) -> Option<Finding> {
        Finding::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Whether a law is broken.
    pub fn is_breach(&self) -> bool {
        *self != Finding::Ok
    }

    /// The name in the decision record's `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Finding::Ok => "ok",
            Finding::PacketUnknown => "packet_unknown",
            Finding::PacketReused => "packet_reused",
            Finding::ClaimedTwice => "claimed_twice",
            Finding::TooManyClaims => "too_many_claims",
            Finding::Overdrawn => "overdrawn",
            Finding::Expired => "expired",
            Finding::AfterRefund => "after_refund",
            Finding::SentAfterClaims => "sent_after_claims",
            Finding::SharesOutOfLimits => "shares_out_of_limits",
            Finding::SharesNotOne => "shares_not_one",
            Finding::ShareAmountOutOfLimits => "share_amount_out_of_limits",
            Finding::SharesUneven => "shares_uneven",
            Finding::OtherSender => "other_sender",
            Finding::OtherGroup => "other_group",
            Finding::ClaimOfNothing => "claim_of_nothing",
            Finding::ReserveShort => "reserve_short",
            Finding::ShareUnequal => "share_unequal",
            Finding::RemainderLeft => "remainder_left",
            Finding::ShareImpossible => "share_impossible",
            Finding::RefundUnknown => "refund_unknown",
            Finding::RefundedTwice => "refunded_twice",
            Finding::RefundEarly => "refund_early",
            Finding::RefundShort => "refund_short",
            Finding::RefundExcess => "refund_excess",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_stands_at_its_code_under_a_name_of_its_own() {
        let mut names: Vec<&str> = Finding::ALL.iter().map(|finding| finding.name()).collect();
        assert!(Finding::ALL.iter().enumerate().all(|(at, finding)| *finding as usize == at));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Finding::ALL.len());
    }
}
