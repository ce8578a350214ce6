//! What the labels say of each row, and when that became known.

use std::collections::BTreeSet;

use serde::Serialize;

use super::rows::Rows;
use crate::judge::{Label, Labels, Subject};

/// How many labels that matched nothing are named.
const EXAMPLES_MAX: usize = 3;

/// What the labels file says, and of how much of it a transaction was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LabelFacts {
    /// Labels of events.
    pub events: usize,
    /// Those of events that are no transaction of the rows that take part.
    pub events_unmatched: usize,
    /// The first few of these.
    pub events_unmatched_examples: Vec<String>,
    /// Labels of accounts; looked at only where the config says so.
    pub accounts: usize,
    /// Those of accounts that act in no row that takes part.
    pub accounts_unmatched: usize,
    /// Rows that take part.
    pub rows: usize,
    /// Those labelled fraud.
    pub fraud: usize,
    /// Those of them by the label of their account alone.
    pub fraud_by_account: usize,
    /// Those labelled honest.
    pub honest: usize,
    /// Those without a label, which count as honest.
    pub unlabelled: usize,
    /// Frauds before the test of which nobody knew when it began: they count as honest in training.
    pub not_yet_known: usize,
}

/// The truth of each row.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Whether it is fraud, and since when that is known (ms); none for honest rows.
    pub(super) fraud_known: Vec<Option<i64>>,
    /// The typology of a fraud, as its place in the labels' typologies.
    pub(super) typologies: Vec<Option<u16>>,
    pub(super) facts: LabelFacts,
}

impl Truth {
    /// Joins labels and rows. A label without a time became known `delay` after the transaction.
    pub(super) fn new(labels: &Labels, rows: &Rows, by_account: bool, delay: i64) -> Truth {
        let mut truth = Truth::default();
        let mut matched = BTreeSet::new();
        let account_labels: Vec<Option<&Label>> = match by_account {
            true => {
                let names = rows.accounts.names.iter();
                names.map(|name| labels.get(Subject::Account, name)).collect()
            }
            false => vec![None; rows.accounts.names.len()],
        };
        for (row, id) in rows.ids.iter().enumerate() {
            let event = labels.find(Subject::Event, id);
            matched.extend(event.map(|(at, _)| at));
            let account = account_labels.get(rows.accounts.of_row[row] as usize);
            let account = account.copied().flatten();
            let label = event.map(|(_, label)| label).or(account);
            match label {
                None => truth.facts.unlabelled += 1,
                Some(label) if label.fraud => {
                    truth.facts.fraud += 1;
                    truth.facts.fraud_by_account += usize::from(event.is_none());
                }
                Some(_) => truth.facts.honest += 1,
            }
            let fraud = label.filter(|label| label.fraud);
            let known = |label: &Label| label.known_at.unwrap_or(rows.times[row] + delay);
            truth.fraud_known.push(fraud.map(known));
            truth.typologies.push(fraud.and_then(|label| label.typology));
        }
        truth.facts.rows = rows.ids.len();
        truth.facts.events = labels.count(Subject::Event);
        truth.facts.events_unmatched = truth.facts.events - matched.len();
        let ids = (0..truth.facts.events).filter(|at| !matched.contains(at));
        let examples = ids.take(EXAMPLES_MAX).map(|at| labels.id(Subject::Event, at).to_owned());
        truth.facts.events_unmatched_examples = examples.collect();
        if by_account {
            truth.facts.accounts = labels.count(Subject::Account);
            let found = account_labels.iter().filter(|label| label.is_some()).count();
            truth.facts.accounts_unmatched = truth.facts.accounts - found;
        }
        truth
    }

    /// Which rows are fraud as far as is known: of those before `until` what is known at `until`,
    /// of the others what is known in the `end`.
    pub(super) fn as_of(&self, until: i64, end: i64, times: &[i64]) -> Vec<bool> {
        let known = |(known, time): (&Option<i64>, &i64)| {
            known.is_some_and(|known| known <= if *time >= until { end } else { until })
        };
        self.fraud_known.iter().zip(times).map(known).collect()
    }

    /// The earliest moment, an account, at which a fraud of it from `from` on was known.
    pub(super) fn accounts_known(&self, rows: &Rows, from: i64) -> Vec<i64> {
        let mut known = vec![i64::MAX; rows.accounts.names.len()];
        for (row, fraud) in self.fraud_known.iter().enumerate() {
            if let (Some(at), true) = (fraud, rows.times[row] >= from)
                && let Some(known) = known.get_mut(rows.accounts.of_row[row] as usize)
            {
                *known = (*known).min(*at);
            }
        }
        known
    }
}
