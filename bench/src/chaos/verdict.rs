//! What must be true of the topics, whatever happened: worked out from the input alone.

use std::collections::{BTreeMap, BTreeSet};

use super::feed::{CLASS, Class, NUMBER};
use super::topics::Seen;

/// What became of records, as the stream counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) decided: u64,
    pub(super) applied: u64,
    pub(super) rejected: u64,
    pub(super) duplicates: u64,
}

impl Counts {
    pub(super) fn read(value: &serde_json::Value) -> Counts {
        let count = |name: &str| value[name].as_u64().unwrap_or(u64::MAX);
        Counts {
            decided: count("decided"),
            applied: count("applied"),
            rejected: count("rejected"),
            duplicates: count("duplicates"),
        }
    }
}

/// What stands in the topics of a stream that has decided everything.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) input: Vec<Seen>,
    pub(super) decisions: Vec<Seen>,
    pub(super) letters: Vec<Seen>,
    /// What the stream says of itself.
    pub(super) counts: Counts,
    pub(super) digest: String,
}

/// Checks that every record of the input has exactly one decision, application, dead letter or
/// place among the duplicates; that decisions have the numbers from 0 on; and their digest.
///
/// Says how many records of the input are there once more than they were sent.
pub(super) fn check(evidence: &Evidence) -> Result<u64, String> {
    let due = Due::of(&evidence.input)?;
    check_decisions(evidence, &due)?;
    let counts = check_letters(evidence, &due)?;
    if evidence.counts != counts {
        return Err(format!("the stream counts {:?}, not {counts:?}", evidence.counts));
    }
    Ok(due.written_twice)
}

type Place = (i32, i64);

/// What has to become of the input.
#[derive(Debug, Default)]
struct Due {
    decided: BTreeSet<String>,
    refused: BTreeMap<Place, String>,
    /// By id, where its two bodies stand, each once unless it was written twice: all of one of them are
    /// refused, and of the other all but one are duplicates.
    conflicts: BTreeMap<String, [Vec<Place>; 2]>,
    /// All but what becomes of conflicts.
    counts: Counts,
    written_twice: u64,
}

impl Due {
    fn of(input: &[Seen]) -> Result<Due, String> {
        let mut due = Due::default();
        let (mut places, mut others) = (BTreeMap::new(), BTreeMap::new());
        let mut numbers = BTreeSet::new();
        for seen in input {
            let place = (seen.partition, seen.offset);
            let foreign = || format!("the record at {place:?} is not of this harness");
            let class = seen.headers.get(CLASS).and_then(|text| Class::of_header(text));
            let number = seen.headers.get(NUMBER).ok_or_else(foreign)?;
            let is_first = numbers.insert(number);
            due.written_twice += u64::from(!is_first);
            let mut stands = |id| {
                let all: &mut Vec<Place> = places.entry(id).or_default();
                all.push(place);
                match all.len() > 1 && is_first {
                    false => Ok(()),
                    true => Err(format!("the record at {place:?} was sent twice")),
                }
            };
            match class.ok_or_else(foreign)? {
                Class::Transaction(id) => {
                    stands(id.clone())?;
                    due.decided.insert(id);
                }
                Class::Other(id) => {
                    stands(id)?;
                    due.counts.applied += u64::from(is_first);
                }
                Class::Repeat(_) => due.counts.duplicates += 1,
                Class::Conflict(id) => others.entry(id).or_insert_with(Vec::new).push(place),
                Class::Refused(code) => drop(due.refused.insert(place, code)),
            }
        }
        for (id, other) in others {
            let first = places.remove(&id).ok_or_else(|| format!("the broker has lost {id}"))?;
            due.conflicts.insert(id, [first, other]);
        }
        due.counts.decided = due.decided.len() as u64;
        due.counts.duplicates += places.values().map(|all| all.len() as u64 - 1).sum::<u64>();
        due.counts.rejected = due.refused.len() as u64;
        Ok(due)
    }
}

fn check_decisions(evidence: &Evidence, due: &Due) -> Result<(), String> {
    let mut numbered = BTreeMap::new();
    let mut decided = BTreeSet::new();
    let mut last = (-1, 0);
    for seen in &evidence.decisions {
        let place = (seen.partition, seen.offset);
        let number = seen.headers.get("number").and_then(|text| text.parse::<u64>().ok());
        let number = number.ok_or_else(|| format!("the decision at {place:?} has no number"))?;
        if last.0 == seen.partition && number <= last.1 {
            return Err(format!("decision {number} comes after {} at {place:?}", last.1));
        }
        last = (seen.partition, number);
        if numbered.insert(number, &seen.value).is_some() {
            return Err(format!("decision {number} is there twice"));
        }
        let decision: serde_json::Value = serde_json::from_slice(&seen.value)
            .map_err(|error| format!("the decision at {place:?}: {error}"))?;
        let id = decision["event_id"].as_str().unwrap_or_default().to_owned();
        if !due.decided.contains(&id) {
            return Err(format!("{id} at {place:?} has a decision and is no transaction"));
        }
        if !decided.insert(id.clone()) {
            return Err(format!("{id} is decided twice, again at {place:?}"));
        }
    }
    if let Some(missing) = due.decided.difference(&decided).next() {
        let many = due.decided.len() - decided.len();
        return Err(format!("{many} transactions have no decision, as {missing}"));
    }
    let mut digest = blake3::Hasher::new();
    for (at, (number, line)) in numbered.into_iter().enumerate() {
        if number != at as u64 {
            return Err(format!("decision {at} is missing, and {number} is there"));
        }
        digest.update(line);
        digest.update(b"\n");
    }
    let digest = digest.finalize().to_hex();
    if digest.as_str() != evidence.digest {
        return Err(format!("the decisions are {digest}, and the stream says {}", evidence.digest));
    }
    Ok(())
}

/// Says the counts that follow from them.
fn check_letters(evidence: &Evidence, due: &Due) -> Result<Counts, String> {
    let each = evidence.input.iter();
    let input: BTreeMap<Place, &Seen> =
        each.map(|seen| ((seen.partition, seen.offset), seen)).collect();
    let mut refused = BTreeMap::new();
    for letter in &evidence.letters {
        let header = |name: &str| letter.headers.get(&format!("hongxian.{name}"));
        let place = header("partition").and_then(|text| text.parse().ok());
        let place = place.zip(header("offset").and_then(|text| text.parse().ok()));
        let place: Place = place.ok_or("a dead letter says not of what")?;
        let code = header("code").cloned().unwrap_or_default();
        let of = input.get(&place);
        let same = of.is_some_and(|of| of.value == letter.value);
        // Those that waited in a snapshot are written anew from what they say.
        if !same && !matches!(code.as_str(), "id_conflict" | "too_old") {
            return Err(format!("the dead letter of {place:?} has not its bytes"));
        }
        if refused.insert(place, code).is_some() {
            return Err(format!("the record at {place:?} has two dead letters"));
        }
    }
    for (place, code) in &due.refused {
        match refused.remove(place) {
            Some(found) if found == *code => {}
            found => return Err(format!("the record at {place:?}: {found:?}, not {code}")),
        }
    }
    let mut counts = due.counts;
    for (id, both) in &due.conflicts {
        let found = both.each_ref().map(|places| {
            places.iter().filter_map(|place| refused.remove(place)).collect::<Vec<String>>()
        });
        let taken = found.iter().position(Vec::is_empty).unwrap_or_default();
        let other = &found[1 - taken];
        if !found[taken].is_empty()
            || other.len() != both[1 - taken].len()
            || other.iter().any(|code| code != "id_conflict")
        {
            return Err(format!("of the records of {id} at {both:?}: {found:?}"));
        }
        counts.rejected += other.len() as u64;
        counts.duplicates += both[taken].len() as u64 - 1;
    }
    match refused.into_iter().next() {
        Some((place, code)) => Err(format!("the record at {place:?} is refused: {code}")),
        None => Ok(counts),
    }
}

/// A mistake, and how it is made.
type Mistake = (&'static str, fn(&mut Evidence));

/// Puts each kind of mistake into what was found to be right, and says which are not found: a check
/// that finds nothing may look at nothing. There are three decisions at least.
pub(super) fn blind_spots(evidence: &Evidence) -> Vec<&'static str> {
    let mistakes: [Mistake; 8] = [
        ("a decision that is there twice", |it| it.decisions.extend(it.decisions.last().cloned())),
        ("one that is missing", |it| drop(it.decisions.remove(it.decisions.len() / 2))),
        ("the last one missing", |it| drop(it.decisions.pop())),
        ("an event decided twice", |it| {
            let middle = it.decisions.len() / 2;
            it.decisions[middle].value = it.decisions[0].value.clone();
        }),
        ("another decision", |it| {
            let middle = it.decisions.len() / 2;
            it.decisions[middle].value.insert(1, b' ');
        }),
        ("a dead letter twice", |it| {
            let again = it.letters.first().cloned().unwrap_or_default();
            it.letters.push(again);
        }),
        ("one missing", |it| match it.letters.pop() {
            Some(_) => {}
            None => it.letters.push(Seen::default()),
        }),
        ("a duplicate that is counted twice", |it| it.counts.duplicates += 1),
    ];
    let unseen = |(name, put): &Mistake| {
        let mut wrong = evidence.clone();
        put(&mut wrong);
        check(&wrong).is_ok().then_some(*name)
    };
    mistakes.iter().filter_map(unseen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: (i32, i64), headers: &[(&str, &str)], value: &str) -> Seen {
        let headers = headers.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        Seen {
            partition: at.0,
            offset: at.1,
            key: None,
            value: value.as_bytes().to_vec(),
            headers: headers.collect(),
        }
    }

    fn evidence() -> Evidence {
        let input = [
            ((0, 0), "transaction e1", "1"),
            ((0, 1), "other e2", "2"),
            ((0, 2), "repeat e1", "1"),
            ((1, 0), "transaction e3", "3"),
            ((1, 1), "conflict e3", "4"),
            ((1, 2), "refused malformed", "x"),
            ((1, 3), "transaction e5", "5"),
        ];
        let lines = ["{\"event_id\":\"e1\"}", "{\"event_id\":\"e3\"}", "{\"event_id\":\"e5\"}"];
        let numbers = ["0", "1", "2"];
        let mut digest = blake3::Hasher::new();
        for line in lines {
            digest.update(format!("{line}\n").as_bytes());
        }
        let letter = |code: &str, offset: &str, value: &str| {
            let headers =
                [("hongxian.partition", "1"), ("hongxian.offset", offset), ("hongxian.code", code)];
            seen((0, 0), &headers, value)
        };
        let sent = ["0", "1", "2", "3", "4", "5", "6"];
        let input = std::iter::zip(input, sent).map(|((at, class, value), number)| {
            seen(at, &[(CLASS, class), (NUMBER, number)], value)
        });
        Evidence {
            input: input.collect(),
            decisions: (0..3)
                .map(|at| seen((0, at as i64), &[("number", numbers[at])], lines[at]))
                .collect(),
            letters: vec![letter("malformed", "2", "x"), letter("id_conflict", "1", "4")],
            counts: Counts { decided: 3, applied: 1, rejected: 2, duplicates: 1 },
            digest: digest.finalize().to_hex().to_string(),
        }
    }

    #[test]
    fn what_is_right_is_right_and_every_mistake_is_found() {
        assert_eq!(check(&evidence()), Ok(0));
        assert_eq!(blind_spots(&evidence()), Vec::<&str>::new());
    }

    /// A batch that a broker wrote twice: what was taken has a duplicate, what was refused another refusal.
    #[test]
    fn records_that_are_written_twice_are_counted_and_known_by_their_numbers() {
        let mut evidence = evidence();
        let again = |evidence: &mut Evidence, of: usize, offset: i64| {
            let mut again = evidence.input[of].clone();
            again.offset = offset;
            evidence.input.push(again);
        };
        for (of, offset) in [(0, 10), (3, 11), (4, 12), (5, 13)] {
            again(&mut evidence, of, offset);
        }
        for (at, of) in [("12", 1), ("13", 0)] {
            let mut letter = evidence.letters[of].clone();
            letter.headers.insert("hongxian.offset".to_owned(), at.to_owned());
            evidence.letters.push(letter);
        }
        evidence.counts.duplicates += 2;
        evidence.counts.rejected += 2;
        assert_eq!(check(&evidence), Ok(4));

        // The other body was taken: both of the first are refused.
        for (letter, offset) in [(1, "0"), (2, "11")] {
            let headers = &mut evidence.letters[letter].headers;
            headers.insert("hongxian.offset".to_owned(), offset.to_owned());
            evidence.letters[letter].value = b"3".to_vec();
        }
        assert_eq!(check(&evidence), Ok(4));
        evidence.letters[2].headers.insert("hongxian.offset".to_owned(), "12".to_owned());
        assert!(check(&evidence).unwrap_err().contains("of the records of e3"));

        let mut twice = super::tests::evidence();
        again(&mut twice, 0, 10);
        twice.input[7].headers.insert(NUMBER.to_owned(), "7".to_owned());
        assert!(check(&twice).unwrap_err().contains("sent twice"));
    }

    #[test]
    fn a_refusal_that_nobody_expected_is_found() {
        let mut evidence = evidence();
        evidence.letters[0].headers.insert("hongxian.code".to_owned(), "wrong_type".to_owned());
        assert!(check(&evidence).unwrap_err().contains("not malformed"));
        let mut other = super::tests::evidence();
        other.letters[1].headers.insert("hongxian.offset".to_owned(), "3".to_owned());
        assert!(check(&other).is_err());
    }
}
