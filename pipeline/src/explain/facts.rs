//! What the run tells of a transaction: its event, what surrounds it, what was decided before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Before, Cluster, Side, Standing, Transaction};
use crate::diagnostic::{Failure, Message};
use crate::event::{ACCOUNT_ID, AMOUNT_FEN, EVENT_ID, EVENT_TIME, GROUP_ID, Kind, TEXT, Value};
use crate::expr::{Constant, Zone};
use crate::finished::{Decided, Events, FinishedRun, Record};
use crate::report::printable;
use crate::source::Progress;
use crate::source::order::Slice;

/// Ids that are proposed where an event does not occur.
const NEAREST_MAX: usize = 3;
/// Decisions before that are told of the one who acts, and of the other side.
const BEFORE_MAX: [usize; 2] = [5, 3];

/// The event of a transaction.
pub(super) struct Event {
    /// The event alone.
    pub(super) slice: Slice,
    /// What its group was called then; empty where no event said.
    pub(super) group_name: String,
}

/// Finds the event of a decision among those of the run: the transaction in its place, for an id may
/// be used again.
pub(super) fn event(
    events: &Events,
    record: &Record,
    progress: &dyn Progress,
) -> Result<Event, Failure> {
    let (mut at, mut transactions) = (None, 0);
    let mut group_name = String::new();
    events.each_slice(progress, &mut |slice| {
        let chunk = &slice.chunk;
        for row in 0..chunk.len() {
            if at.is_some() {
                return;
            }
            if chunk.kind(row) == Kind::Group
                && chunk.str(GROUP_ID, row) == record.group_id
                && let Value::Str(name) = chunk.value(TEXT, row)
            {
                group_name = name.to_owned();
            }
            if chunk.kind(row).is_transaction() {
                let found = transactions == record.row;
                at = found.then_some(slice.first as usize + row);
                transactions += 1;
            }
        }
    })?;
    let slice = at.map(|at| events.ordered().slice(at..at + 1, 0)).transpose();
    let slice = slice.map_err(Failure::Environment)?;
    let own = |slice: &Slice| slice.chunk.str(EVENT_ID, 0) == record.event_id;
    let Some(slice) = slice.filter(own) else {
        return Err(Failure::Usage(Message::new(
            format!("decisions.parquet has {}, and the inputs do not", printable(&record.event_id)),
            format!("决策文件中有 {}，但输入中没有", printable(&record.event_id)),
        )));
    };
    Ok(Event { slice, group_name })
}

/// What to say of an id on which there is no decision.
pub(super) fn absent(events: &Events, id: &str, progress: &dyn Progress) -> Failure {
    let mut kind = None;
    let mut best: BTreeSet<(usize, String)> = BTreeSet::new();
    let looked = events.each_slice(progress, &mut |slice| {
        for row in 0..slice.chunk.len() {
            let held = slice.chunk.str(EVENT_ID, row);
            if held == id {
                kind = Some(slice.chunk.kind(row));
            }
            // Far ids are told apart by their lengths, which costs nothing.
            let longest = held.len().max(id.len());
            if 3 * held.len().abs_diff(id.len()) > longest
                || !slice.chunk.kind(row).is_transaction()
            {
                continue;
            }
            let distance = strsim::damerau_levenshtein(held, id);
            if 3 * distance > longest {
                continue;
            }
            best.insert((distance, held.to_owned()));
            if best.len() > NEAREST_MAX {
                best.pop_last();
            }
        }
    });
    if let Err(failure) = looked {
        return failure;
    }
    let shown = printable(id);
    if let Some(kind) = kind {
        let name = kind.name();
        return Failure::Usage(Message::new(
            format!(
                "{shown} is a {name}, and decisions are on send, claim, transfer and withdraw only"
            ),
            format!("{shown} 是 {name} 事件；只有 send、claim、transfer、withdraw 才有决策"),
        ));
    }
    let near: Vec<String> = best.iter().map(|(_, id)| printable(id)).collect();
    let (en, zh) = match near.join(", ") {
        none if none.is_empty() => (String::new(), String::new()),
        near => (format!("; the nearest ids: {near}"), format!("；相近的事件：{near}")),
    };
    Failure::Usage(Message::new(
        format!("no transaction {shown} occurs in this run{en}"),
        format!("该运行中没有交易 {shown}{zh}"),
    ))
}

/// The event as it is told.
pub(super) fn transaction(event: &Event, zone: &Zone) -> Transaction {
    let (slice, chunk) = (&event.slice, &event.slice.chunk);
    let time = chunk.int(EVENT_TIME, 0);
    // What stands in a place of its own.
    const TOLD: [&str; 8] = [
        "event_id",
        "event_time",
        "kind",
        "account_id",
        "counterparty_id",
        "group_id",
        "amount_fen",
        "text",
    ];
    let mut fields = BTreeMap::new();
    for field in chunk.schema().fields() {
        if TOLD.contains(&field.name.as_str()) {
            continue;
        }
        let Some(id) = chunk.schema().find(&field.name) else { continue };
        let value = match chunk.value(id, 0) {
            Value::Null => continue,
            Value::Int(time) if field.name == "registered_at" => zone.moment(time),
            Value::Int(value) => value.to_string(),
            Value::Double(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Str(value) => value.to_owned(),
        };
        fields.insert(field.name.clone(), value);
    }
    Transaction {
        event_id: chunk.str(EVENT_ID, 0).to_owned(),
        time: zone.moment(time),
        effective_time: slice.late(0).then(|| zone.moment(slice.effective[0])),
        kind: chunk.kind(0).name().to_owned(),
        account: chunk.str(ACCOUNT_ID, 0).to_owned(),
        payer: chunk.payer(0).to_owned(),
        payee: chunk.payee(0).to_owned(),
        amount_fen: chunk.int(AMOUNT_FEN, 0),
        group: chunk.str(GROUP_ID, 0).to_owned(),
        group_name: event.group_name.clone(),
        fields,
    }
}

/// What was decided before on transactions of those who take part, and the place of the last one of
/// the other side.
pub(super) fn before(
    run: &FinishedRun,
    record: &Record,
) -> Result<(Vec<Before>, Option<Decided>), Failure> {
    let sides = [record.account_id.as_str(), record.counterparty_id.as_str()];
    let mut latest: [VecDeque<Decided>; 2] = Default::default();
    run.decisions(&|acts, _| !acts.is_empty() && sides.contains(&acts), &mut |decided| {
        if decided.row >= record.row {
            return;
        }
        let side = usize::from(decided.account_id != sides[0]);
        if latest[side].len() == BEFORE_MAX[side] {
            latest[side].pop_front();
        }
        latest[side].push_back(decided);
    })?;
    let other = latest[1].back().cloned();
    let zone = run.zone();
    let mut all = Vec::new();
    for (role, latest) in ["acts", "other"].into_iter().zip(latest) {
        all.extend(latest.into_iter().rev().map(|one| Before {
            role,
            event_id: one.event_id,
            time: zone.moment(one.event_time),
            kind: one.kind,
            amount_fen: one.amount_fen,
            counterparty: one.counterparty_id,
            decision: one.decision,
            score: one.score,
            rules: one.reasons.into_iter().map(|reason| reason.rule).collect(),
        }));
    }
    Ok((all, other))
}

/// Those who take part, with what is known of their clusters and the verdicts on them.
pub(super) fn sides(
    run: &FinishedRun,
    record: &Record,
    features: &BTreeMap<String, Option<Constant>>,
    other: Option<Decided>,
) -> Result<Vec<Side>, Failure> {
    let of_other = match &other {
        Some(decided) => Some((run.feature_values(decided.row)?, decided.event_id.as_str())),
        None => None,
    };
    let entities = run.entities()?;
    let zone = run.zone();
    let standing = |kind: &str, id: &str| -> Vec<Standing> {
        let own = entities.iter().filter(|one| one.subject_kind == kind && one.subject_id == id);
        own.map(|one| Standing {
            verdict: one.verdict.clone(),
            since: zone.moment(one.since),
            until: one.until.map(|until| zone.moment(until)),
            in_force: one.since < record.effective_time
                && one.until.is_none_or(|until| record.effective_time < until),
        })
        .collect()
    };
    let acts = cluster(features, &record.event_id);
    let of_other = of_other.and_then(|(features, event)| cluster(&features, event));
    let of = [
        ("acts", "account", &record.account_id, acts),
        ("other", "account", &record.counterparty_id, of_other),
        ("group", "group", &record.group_id, None),
    ];
    let named = of.into_iter().filter(|(_, _, id, _)| !id.is_empty());
    let side = |(role, kind, id, cluster): (_, &str, &String, _)| Side {
        role,
        verdicts: standing(kind, id),
        id: id.clone(),
        cluster,
    };
    Ok(named.map(side).collect())
}

/// The cluster of the account that acts, as far as it was recorded.
fn cluster(features: &BTreeMap<String, Option<Constant>>, event_id: &str) -> Option<Cluster> {
    let value = |name: &str| features.get(&format!("devices.cluster_{name}"))?.as_ref();
    let int = |name: &str| match value(name) {
        Some(Constant::Int(value)) => Some(*value),
        _ => None,
    };
    let id = match value("id") {
        Some(Constant::Str(id)) => id.clone(),
        _ => String::new(),
    };
    let (accounts, groups) = (int("accounts"), int("groups"));
    let known = !id.is_empty() || accounts.is_some();
    known.then(|| Cluster { id, accounts, groups, as_of: event_id.to_owned() })
}
