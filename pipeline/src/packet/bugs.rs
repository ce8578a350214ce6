//! Mistakes that a test makes in the engine or its journal, one at a time, to see that the simulation
//! finds each.
//! In programs there are none of them, and asking for one costs nothing.

/// A mistake. Its name says what the engine then does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    KnownIdRunsAgain,
    BodyIsNotCompared,
    RefusedIdIsNotRemembered,
    MomentIsNotLater,
    ReservedIsSpentTwice,
    MoneyEndsOneFenLate,
    DayIsClearedTwice,
    MemberIsNotAsked,
    GuessIsNotCounted,
    ClaimAtExpiryWins,
    ExpiryWaitsOneMomentMore,
    ShareTakesReservedFen,
    BlockedShareIsDrawnAgain,
    LuckiestIsLastOfEqual,
    WatchedGroupIsTilted,
    RelayGoesOnTwice,
    BlockedSendingEndsRelay,
    RestComesIntoOtherPurse,
    RestGoesBackWhileSharesWait,
    SecondDecisionWins,
    FallbackAllowsItsBound,
    HoldEndsOneMomentLate,
    HeldShareReturnsToClaimer,
    ReviewIsNotQueued,
    HeldIsForgotten,
    ForgottenIdHidesItsSuccessor,
    PacketIdsAreNotRestored,
    // Of the journal, from here on.
    SyncIsLeftOut,
    FailedSyncCounts,
    FailedAppendCounts,
    OldSegmentIsNotSynced,
    SegmentNameIsNotSynced,
    FrameCallsItselfDurable,
    UnfinishedEndStays,
    SnapshotRunsAhead,
}

#[cfg(not(test))]
pub(crate) const fn made(_: Bug) -> bool {
    false
}

#[cfg(test)]
pub(crate) use self::in_tests::{ALL, OF_THE_JOURNAL, made, with};

#[cfg(test)]
mod in_tests {
    use std::cell::Cell;

    use super::Bug::{self, *};

    /// Every one of the engine.
    pub(crate) const ALL: [Bug; PacketIdsAreNotRestored as usize + 1] = [
        KnownIdRunsAgain,
        BodyIsNotCompared,
        RefusedIdIsNotRemembered,
        MomentIsNotLater,
        ReservedIsSpentTwice,
        MoneyEndsOneFenLate,
        DayIsClearedTwice,
        MemberIsNotAsked,
        GuessIsNotCounted,
        ClaimAtExpiryWins,
        ExpiryWaitsOneMomentMore,
        ShareTakesReservedFen,
        BlockedShareIsDrawnAgain,
        LuckiestIsLastOfEqual,
        WatchedGroupIsTilted,
        RelayGoesOnTwice,
        BlockedSendingEndsRelay,
        RestComesIntoOtherPurse,
        RestGoesBackWhileSharesWait,
        SecondDecisionWins,
        FallbackAllowsItsBound,
        HoldEndsOneMomentLate,
        HeldShareReturnsToClaimer,
        ReviewIsNotQueued,
        HeldIsForgotten,
        ForgottenIdHidesItsSuccessor,
        PacketIdsAreNotRestored,
    ];

    /// Every one of the journal.
    pub(crate) const OF_THE_JOURNAL: [Bug; 8] = [
        SyncIsLeftOut,
        FailedSyncCounts,
        FailedAppendCounts,
        OldSegmentIsNotSynced,
        SegmentNameIsNotSynced,
        FrameCallsItselfDurable,
        UnfinishedEndStays,
        SnapshotRunsAhead,
    ];

    thread_local! {
        static MADE: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether the engine of this thread makes a mistake.
    pub(crate) fn made(bug: Bug) -> bool {
        MADE.get() == Some(bug)
    }

    /// Runs with a mistake in the engines of this thread.
    pub(crate) fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
        MADE.set(Some(bug));
        let ran = run();
        MADE.set(None);
        ran
    }
}
