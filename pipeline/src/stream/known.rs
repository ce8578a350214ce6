//! Clients that know no broker any more. librdkafka forgets the brokers that are not in an answer about the
//! cluster, and while all of them are fenced (a broker whose disk or processor stood still for longer
//! than its session) there are none in it. It should then begin anew with the addresses that it was
//! told, and may not: that answer also stops the timer for it, for good (its issue 5301). Such a client
//! is silent for ever, so whoever has one makes another.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::statistics::Statistics;

use super::ends::lock;
use crate::stopwatch::Since;

/// Beginning anew takes a moment.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// How often a client tells of itself that is not asked for more, in ms.
pub(super) const TOLD_MS: &str = "1000";

/// Whether a client knows brokers, by what it tells of itself.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Since when it knows none.
    none: Mutex<Option<Since>>,
}

impl Known {
    /// Hears what the client tells.
    pub(super) fn hear(&self, told: &Statistics) {
        let is_broker = |source: &str| matches!(source, "learned" | "configured");
        let mut none = lock(&self.none);
        if told.brokers.values().any(|broker| is_broker(&broker.source)) {
            *none = None;
        } else {
            none.get_or_insert_with(Since::now);
        }
    }

    /// Whether the client is of no use any more.
    pub(super) fn is_lost(&self) -> bool {
        lock(&self.none).is_some_and(|since| since.elapsed() > LOST_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::Broker;

    use super::*;

    /// As a client told it that had been silent for minutes beside a broker that was well.
    #[test]
    fn a_client_that_has_none_but_itself_and_a_coordinator_is_lost() {
        let told = |sources: &[&str]| {
            let broker = |source: &&str| {
                let broker = Broker { source: (*source).to_owned(), ..Broker::default() };
                ((*source).to_owned(), broker)
            };
            Statistics { brokers: sources.iter().map(broker).collect(), ..Statistics::default() }
        };
        let known = Known::default();
        known.hear(&told(&["internal", "logical"]));
        assert!(!known.is_lost(), "it may just be beginning anew");
        std::thread::sleep(LOST_AFTER + Duration::from_millis(10));
        assert!(known.is_lost());
        known.hear(&told(&["internal", "logical", "configured"]));
        assert!(!known.is_lost());
        known.hear(&told(&["learned"]));
        assert!(!known.is_lost());
    }
}
