//! Lists of values, each valid for a time; a calendar is a list of dates.

use std::collections::BTreeMap;

/// Values and when each is on the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    values: BTreeMap<String, Vec<(i64, i64)>>,
    /// The values by their pseudonyms, where ids of events are replaced.
    pseudonyms: BTreeMap<String, String>,
}

impl List {
    /// Adds a value from `valid_from` on and before `valid_until`, in ms since 1970 UTC.
    pub fn add(&mut self, value: impl Into<String>, valid_from: i64, valid_until: i64) {
        self.values.entry(value.into()).or_default().push((valid_from, valid_until));
    }

    /// Whether the value is on the list at that time.
    pub fn contains(&self, value: &str, time: i64) -> bool {
        let valid = |&(from, until): &(i64, i64)| from <= time && time < until;
        self.spans(value).is_some_and(|spans| spans.iter().any(valid))
    }

    /// The last moment, not after `time`, from which on the value is on the list.
    pub fn last_from(&self, value: &str, time: i64) -> Option<i64> {
        let froms = self.spans(value)?.iter().map(|(from, _)| *from);
        froms.filter(|from| *from <= time).max()
    }

    fn spans(&self, value: &str) -> Option<&[(i64, i64)]> {
        let by_pseudonym = || self.values.get(self.pseudonyms.get(value)?);
        self.values.get(value).or_else(by_pseudonym).map(Vec::as_slice)
    }

    /// Has every value also stand for its pseudonym: a list does not say which of its values are ids.
    pub fn add_pseudonyms(&mut self, of: impl Fn(&str) -> String) {
        self.pseudonyms = self.values.keys().map(|value| (of(value), value.clone())).collect();
    }

    /// The value on the list that this is, as it is or by its pseudonym.
    pub fn value<'l>(&'l self, value: &'l str) -> Option<&'l str> {
        let plain = self.values.contains_key(value).then_some(value);
        plain.or_else(|| self.pseudonyms.get(value).map(String::as_str))
    }

    /// The values with their times of validity.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[(i64, i64)])> {
        self.values.iter().map(|(value, spans)| (value.as_str(), spans.as_slice()))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_on_the_list_from_its_first_moment_to_before_its_last() {
        let mut list = List::default();
        list.add("u1", 100, 200);
        list.add("u1", 300, 301);
        let on = |time| list.contains("u1", time);
        assert_eq!(
            [99, 100, 199, 200, 299, 300, 301].map(on),
            [false, true, true, false, false, true, false]
        );
        assert!(!list.contains("u2", 150));
        let last = |time| list.last_from("u1", time);
        assert_eq!([99, 100, 299, 300].map(last), [None, Some(100), Some(100), Some(300)]);
    }
}
