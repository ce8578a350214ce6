//! One slice's way through a worker: before the state is asked, and after it has answered.

mod opinions;
mod provisional;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use compact_str::CompactString;

use crate::alerts::Share;
use crate::decision::DecisionBatch;
use crate::event::{ACCOUNT_ID, Column, FieldId, KindSet, NULL_INT, Strings, TEXT, Type, Value};
use crate::features::catalogue::{Cluster, Computed, Features, Formula, Lent, SlotSource};
use crate::features::devices::Clusters;
use crate::features::devices::view::{ClusterView, Linked};
use crate::features::kept::{self, OUTCOME, RowKind};
use crate::features::plan::Source;
use crate::features::requests::Keys;
use crate::features::text::Reader;
use crate::job::{Epoch, Job};
use crate::keyed::{Key, NULL_TEXT, Replies};
use crate::packet::finding::Finding;
use crate::sink::Scored;
use crate::source::order::Slice;

use opinions::Opinions;
pub(crate) use provisional::Provisional;
use provisional::{OfAlerted, Sides};

/// A slice with all that is known before any state is asked.
pub(crate) struct Prepared {
    pub(crate) slice: Arc<Slice>,
    /// The place of the slice's first event in its step.
    pub(crate) rank: u64,
    /// The epoch in which all its events lie.
    pub(crate) epoch: usize,
    /// The text features, a column each.
    texts: Vec<Vec<i64>>,
    /// For each condition of the plan, whether it holds in each row.
    holds: Vec<Vec<bool>>,
    pub(crate) keys: RefCell<Keys>,
    /// What links the account of each event to others; nothing is known of an account alone.
    linked: OnceCell<Vec<Option<OwnLinked>>>,
}

/// A cluster as of an event: its size, its number of groups, and its id.
#[derive(Clone)]
struct OwnLinked {
    accounts: i64,
    groups: i64,
    id: CompactString,
}

impl Prepared {
    /// The keys of fields' values, row by row.
    pub(crate) fn keys_of<const N: usize>(&self, fields: [FieldId; N]) -> [Rc<[Key]>; N] {
        let mut keys = self.keys.borrow_mut();
        fields.map(|field| keys.of(&self.slice.chunk, field))
    }

    /// The digit that each row's text announces, which is the last of the text features.
    pub(crate) fn bet_digits(&self) -> &[i64] {
        self.texts.last().map_or(&[], Vec::as_slice)
    }

    /// Notes what is known of the cluster of each event's account; `keyed` says whether that is a
    /// key of some family, and else only transactions ask.
    pub(crate) fn annotate(&self, view: &mut ClusterView, clusters: &Clusters, keyed: bool) {
        let [accounts] = self.keys_of([ACCOUNT_ID]);
        let slice = &self.slice;
        let mut keys = Vec::with_capacity(if keyed { accounts.len() } else { 0 });
        let mut linked = vec![None; accounts.len()];
        for (row, &account) in accounts.iter().enumerate() {
            view.advance(clusters.known(slice.effective[row]));
            let is_transaction = slice.chunk.kind(row).is_transaction();
            let found = (keyed || is_transaction).then(|| view.linked(account.hash)).flatten();
            if keyed {
                keys.push(found.map_or(account, |linked| Key::of(linked.id.as_bytes())));
            }
            if is_transaction {
                linked[row] = found.map(|Linked { id, accounts, groups }| OwnLinked {
                    accounts,
                    groups,
                    id: id.into(),
                });
            }
        }
        if keyed {
            self.keys.borrow_mut().put(Source::Cluster, keys.into());
        }
        let first = self.linked.set(linked).is_ok();
        assert!(first, "a slice is annotated once");
    }

    /// The events, and what was read in their texts.
    fn told(&self) -> (&Slice, &[Vec<i64>]) {
        (&self.slice, &self.texts)
    }

    /// Whether the event at `row` passes a condition of the plan.
    pub(crate) fn passes(&self, condition: usize, row: usize) -> bool {
        self.holds[condition][row]
    }
}

/// Reads texts and conditions, by the features of the slice's epoch and what others lend them.
pub(crate) fn prepare(
    slice: Slice,
    step_first: u64,
    epoch: usize,
    features: &Features,
    reader: &mut Reader,
) -> Prepared {
    let rank = slice.first - step_first;
    let texts = read_texts(&slice, features, reader);
    let mut holds = vec![vec![false; slice.chunk.len()]; features.plan.conditions.len()];
    let has = |condition: &usize| features.conditions[*condition].is_some();
    let own: Vec<usize> = (0..holds.len()).filter(has).collect();
    test(&slice, &texts, features, &own, &mut holds);
    for Lent { features: lender, conditions } in &features.lent {
        let reads_texts = read_slots(lender, conditions).iter().any(|(_, source)| source.is_text());
        let texts = if reads_texts { read_texts(&slice, lender, reader) } else { Vec::new() };
        test(&slice, &texts, lender, conditions, &mut holds);
    }
    Prepared {
        slice: Arc::new(slice),
        rank,
        epoch,
        texts,
        holds,
        keys: RefCell::default(),
        linked: OnceCell::new(),
    }
}

fn read_texts(slice: &Slice, features: &Features, reader: &mut Reader) -> Vec<Vec<i64>> {
    let rows = slice.chunk.len();
    let lexicon = &features.lexicon;
    let mut columns = vec![vec![NULL_INT; rows]; lexicon.features()];
    let Column::Str(texts) = slice.chunk.column(TEXT) else {
        return columns;
    };
    for row in 0..rows {
        let text = texts.get(row);
        if text.is_empty() {
            continue;
        }
        for (column, value) in columns.iter_mut().zip(reader.read(lexicon, text)) {
            column[row] = *value;
        }
    }
    columns
}

/// Says of some of the plan's conditions where they hold. One that cannot be evaluated does not: the
/// event does not contribute.
fn test(
    slice: &Slice,
    texts: &[Vec<i64>],
    features: &Features,
    conditions: &[usize],
    holds: &mut [Vec<bool>],
) {
    if conditions.is_empty() {
        return;
    }
    let planned = &features.plan.conditions;
    let any = conditions.iter().fold(0, |any, &at| any | planned[at].0.0);
    let mut values = vec![Value::Null; features.slots.len()];
    let own = read_slots(features, conditions);
    for row in 0..slice.chunk.len() {
        let kind = slice.chunk.kind(row);
        if !KindSet(any).contains(kind) {
            continue;
        }
        fill_own((slice, texts), features, &own, row, &mut values);
        for &at in conditions {
            let (Some(program), held) = (&features.conditions[at], &mut holds[at]) else {
                continue;
            };
            held[row] = planned[at].0.contains(kind) && program.test(&values).unwrap_or(false);
        }
    }
}

/// The slots that some of the plan's conditions read, which are of the event's own values.
fn read_slots(features: &Features, conditions: &[usize]) -> Slots {
    let programs = conditions.iter().filter_map(|&at| features.conditions[at].as_ref());
    let mut read: Vec<usize> =
        programs.flat_map(|program| program.slots()).map(|slot| usize::from(slot.0)).collect();
    read.sort_unstable();
    read.dedup();
    read.into_iter().map(|slot| (slot, features.slots[slot])).collect()
}

type Slots = Vec<(usize, SlotSource)>;

/// The slots of an event's own values, and those of values that state or others give.
fn slots(features: &Features) -> (Slots, Slots) {
    features.slots.iter().copied().enumerate().partition(|(_, source)| source.is_own())
}

/// Puts the event's own values in their slots.
fn fill_own<'p>(
    (slice, texts): (&'p Slice, &'p [Vec<i64>]),
    features: &Features,
    own: &Slots,
    row: usize,
    values: &mut [Value<'p>],
) {
    let chunk = &slice.chunk;
    for &(slot, source) in own {
        values[slot] = match source {
            SlotSource::Field(field) => chunk.value(field, row),
            SlotSource::Payer => text_value(chunk.payer(row)),
            SlotSource::Payee => text_value(chunk.payee(row)),
            SlotSource::Text(at) => features.lexicon.value(at, texts[at][row]),
            _ => Value::Null,
        };
    }
}

fn text_value(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Null } else { Value::Str(text) }
}

/// A column in the making: replies fill it in any order.
enum Gathered {
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<u8>),
    /// Places among the texts of the replies.
    Str(Vec<(u32, u32)>),
    /// Small numbers that stand for names.
    Name(Vec<u8>, fn(u8) -> &'static str),
    /// Nobody asks for it.
    Nothing,
}

const NO_TEXT: (u32, u32) = (u32::MAX, u32::MAX);

/// Gathers replies into rows and scores them.
pub(crate) struct Gatherer {
    /// For each family or keeper and each lookup, the features in the order of the replies'
    /// values: those of the plan, and after them the kept ones.
    outputs: Vec<Vec<Vec<usize>>>,
}

/// What is known of the cluster of each transaction's account.
#[derive(Default)]
struct Known {
    accounts: Vec<i64>,
    groups: Vec<i64>,
    ids: Strings,
}

impl Gatherer {
    pub(crate) fn new(features: &Features) -> Gatherer {
        let planned = features.plan.features.len();
        let kept = kept::lookups().into_iter().map(|lookups| {
            let places = |places: Vec<usize>| places.into_iter().map(|at| planned + at).collect();
            lookups.into_iter().map(places).collect()
        });
        let outputs = features
            .families
            .iter()
            .map(|family| {
                let of_lookup = |lookup: &crate::features::plan::Lookup| {
                    lookup.outputs.iter().map(|output| output.feature).collect()
                };
                family.lookups.iter().map(of_lookup).collect()
            })
            .chain(kept)
            .collect();
        Gatherer { outputs }
    }

    /// Decides the transactions of a slice, as far as it is known; `share` is there where a
    /// feature depends on earlier decisions.
    pub(crate) fn score(
        &self,
        job: &Job,
        prepared: &Prepared,
        replies: &[Replies],
        mut share: Option<&mut Share<'_>>,
    ) -> Provisional {
        let Epoch { features, scorer, .. } = &job.epoch(prepared.epoch);
        let slice = &prepared.slice;
        let mut batch = DecisionBatch::new(slice.clone());
        let rows = 0..slice.chunk.len() as u32;
        batch.rows = rows.filter(|row| slice.chunk.kind(*row as usize).is_transaction()).collect();
        let (mut gathered, mut findings) =
            self.gather(features, &batch.rows, slice.chunk.len(), replies);
        for &(feature, until) in &features.warming {
            let cold = |row: &u32| slice.effective[*row as usize] < until;
            let cold = batch.rows.partition_point(cold);
            gathered[feature].forget(cold);
        }
        let clusters = self.clusters(features, prepared, &batch, replies);
        let kept = features.plan.features.len();
        let mut columns =
            Columns { prepared, gathered: &mut gathered, kept, clusters: &clusters, replies };
        let opinions = Opinions::of(scorer, features, &batch.rows, &columns);
        let mut computed: Vec<Column> = features.computed_columns();
        let mut values: Vec<Value<'_>> = vec![Value::Null; features.slots.len()];
        let (own, given) = slots(features);
        let of_alerted = OfAlerted::among(features);
        let mut decider = scorer.decider();
        let sides = Sides::of(prepared);
        let mut alerted = Vec::new();
        for at in 0..batch.rows.len() {
            let row = batch.rows[at];
            fill_own(prepared.told(), features, &own, row as usize, &mut values);
            columns.fill(&given, at, &mut values);
            if let Some(share) = &mut share {
                let hangs = of_alerted.hangs(|of| columns.is_there(of.feature, at));
                let known = sides.alerted(row as usize, hangs, share);
                of_alerted.forget(known, &mut values);
                alerted.push(known);
            }
            let amount = slice.chunk.int(crate::event::AMOUNT_FEN, row as usize);
            for (feature, column) in features.computed.iter().zip(&mut computed) {
                let value = columns.compute(feature, at, amount, &values);
                if let Some(slot) = feature.slot {
                    values[slot] = value;
                }
                column.push(value);
            }
            let (kind, opinion) = (slice.chunk.kind(row as usize), opinions.at(at));
            let outcome = columns.outcome(at);
            findings.extend(outcome.filter(Finding::is_breach).map(|finding| (row, finding)));
            let verdict = decider.decide(kind, &values, outcome, opinion, &mut batch);
            if let Some(share) = &mut share {
                sides.note(row as usize, verdict, share);
            }
        }
        findings.sort_unstable();
        let rows = &batch.rows;
        let mut column = |(_, kind, source): &(String, Type, SlotSource)| match *source {
            SlotSource::Computed(at) => std::mem::replace(&mut computed[at], Column::Absent),
            SlotSource::Windowed(at) => columns.take(at),
            SlotSource::Kept(at) => columns.take(kept + at),
            source => columns.column(source, *kind, rows),
        };
        let mut scored = Scored {
            part: 0,
            epoch: prepared.epoch,
            names: scorer.names().clone(),
            features: features.columns.iter().map(&mut column).collect(),
            events: [0; 12],
            not_evaluable: decider.not_evaluable(),
            findings,
            batch,
        };
        for row in 0..slice.chunk.len() {
            scored.events[slice.chunk.kind(row) as usize] += 1;
        }
        Provisional { scored, alerted }
    }

    /// The cluster of each transaction's account, as of its moment; empty where nobody asks.
    fn clusters(
        &self,
        features: &Features,
        prepared: &Prepared,
        batch: &DecisionBatch,
        replies: &[Replies],
    ) -> Known {
        let mut known = Known::default();
        let Some(linked) = prepared.linked.get() else {
            return known;
        };
        let slice = &batch.slice;
        let mut own = vec![0; slice.chunk.len()];
        let family = features.cluster_family();
        for reply in replies.iter().filter(|reply| reply.family == family) {
            for (row, count) in reply.rows.iter().zip(&reply.values) {
                own[*row as usize] = *count as i64;
            }
        }
        for &row in &batch.rows {
            let row = row as usize;
            let alone = (1, own[row], slice.chunk.str(ACCOUNT_ID, row));
            let (accounts, groups, id) = linked[row]
                .as_ref()
                .map_or(alone, |linked| (linked.accounts, linked.groups, linked.id.as_str()));
            known.accounts.push(accounts);
            known.groups.push(groups);
            known.ids.push(id);
        }
        known
    }

    /// The values of each transaction; and what the referee finds of refunds, which are none.
    fn gather(
        &self,
        features: &Features,
        transactions: &[u32],
        rows: usize,
        replies: &[Replies],
    ) -> (Vec<Gathered>, Vec<(u32, Finding)>) {
        let count = transactions.len();
        let mut place = vec![u32::MAX; rows];
        for (at, row) in transactions.iter().enumerate() {
            place[*row as usize] = at as u32;
        }
        let planned = features.plan.features.iter().map(|(_, kind)| Gathered::nulls(*kind, count));
        let kept = kept::rows().enumerate().map(|(at, row)| match features.keepers.answer(at) {
            true => Gathered::kept(row.kind, count),
            false => Gathered::Nothing,
        });
        let mut gathered: Vec<Gathered> = planned.chain(kept).collect();
        let mut of_refunds = Vec::new();
        for (nth, reply) in replies.iter().enumerate() {
            let Some(lookups) = self.outputs.get(reply.family as usize) else { continue };
            let mut words = reply.values.iter();
            for (row, wanted) in reply.rows.iter().zip(&reply.lookups) {
                let at = place[*row as usize] as usize;
                if at == u32::MAX as usize {
                    // Only the packets' keeper is asked of what has no decision.
                    let finding = words.next().and_then(|word| Finding::at(*word));
                    of_refunds.extend(finding.filter(Finding::is_breach).map(|one| (*row, one)));
                    words.by_ref().take(lookups[0].len() - 1).for_each(drop);
                    continue;
                }
                for (bit, outputs) in lookups.iter().enumerate() {
                    if wanted & (1 << bit) == 0 {
                        continue;
                    }
                    for (feature, word) in outputs.iter().zip(&mut words) {
                        gathered[*feature].set(at, *word, nth as u32);
                    }
                }
            }
        }
        (gathered, of_refunds)
    }
}

impl Gathered {
    fn nulls(kind: Type, count: usize) -> Gathered {
        match kind {
            Type::Int => Gathered::Int(vec![NULL_INT; count]),
            Type::Double => Gathered::Double(vec![f64::NAN; count]),
            Type::Bool => Gathered::Bool(vec![2; count]),
            Type::Str => Gathered::Str(vec![NO_TEXT; count]),
        }
    }

    /// What there is of a kept feature where its keeper does not answer.
    fn kept(kind: RowKind, count: usize) -> Gathered {
        match kind {
            RowKind::Int => Gathered::Int(vec![NULL_INT; count]),
            RowKind::Count => Gathered::Int(vec![0; count]),
            RowKind::Double => Gathered::Double(vec![f64::NAN; count]),
            RowKind::Name(name) => Gathered::Name(vec![u8::MAX; count], name),
        }
    }

    /// Makes the first `count` values null.
    fn forget(&mut self, count: usize) {
        match self {
            Gathered::Int(values) => values[..count].fill(NULL_INT),
            Gathered::Double(values) => values[..count].fill(f64::NAN),
            Gathered::Bool(values) => values[..count].fill(2),
            Gathered::Str(values) => values[..count].fill(NO_TEXT),
            Gathered::Name(values, _) => values[..count].fill(u8::MAX),
            Gathered::Nothing => {}
        }
    }

    fn set(&mut self, at: usize, word: u64, reply: u32) {
        match self {
            Gathered::Int(values) => values[at] = word as i64,
            Gathered::Double(values) => values[at] = f64::from_bits(word),
            Gathered::Bool(values) => values[at] = word as u8,
            Gathered::Str(values) if word == NULL_TEXT => values[at] = NO_TEXT,
            Gathered::Str(values) => values[at] = (reply, word as u32),
            Gathered::Name(values, _) => values[at] = u8::try_from(word).unwrap_or(u8::MAX),
            Gathered::Nothing => {}
        }
    }
}

/// Everything that a row's values are read from.
struct Columns<'c> {
    prepared: &'c Prepared,
    gathered: &'c mut [Gathered],
    /// Where the kept features begin among the gathered ones.
    kept: usize,
    clusters: &'c Known,
    replies: &'c [Replies],
}

impl<'c> Columns<'c> {
    fn fill(&self, given: &Slots, at: usize, values: &mut [Value<'c>]) {
        for &(slot, source) in given {
            match source {
                SlotSource::Windowed(feature) => values[slot] = self.gathered(feature, at),
                SlotSource::Kept(feature) => values[slot] = self.gathered(self.kept + feature, at),
                SlotSource::Cluster(cluster) => values[slot] = self.clusters.value(cluster, at),
                _ => {}
            }
        }
    }

    /// The referee's finding on the transaction.
    fn outcome(&self, at: usize) -> Option<Finding> {
        match &self.gathered[self.kept + OUTCOME] {
            Gathered::Name(findings, _) => Finding::at(findings[at].into()),
            _ => None,
        }
    }

    fn gathered(&self, feature: usize, at: usize) -> Value<'c> {
        match &self.gathered[feature] {
            Gathered::Int(values) if values[at] == NULL_INT => Value::Null,
            Gathered::Int(values) => Value::Int(values[at]),
            Gathered::Double(values) if values[at].is_nan() => Value::Null,
            Gathered::Double(values) => Value::Double(values[at]),
            Gathered::Bool(values) if values[at] > 1 => Value::Null,
            Gathered::Bool(values) => Value::Bool(values[at] == 1),
            Gathered::Str(values) => self.text(values[at]),
            Gathered::Name(values, name) => text_value(name(values[at])),
            Gathered::Nothing => Value::Null,
        }
    }

    fn text(&self, place: (u32, u32)) -> Value<'c> {
        if place == NO_TEXT {
            return Value::Null;
        }
        text_value(self.replies[place.0 as usize].texts.get(place.1 as usize))
    }

    fn compute<'v>(
        &self,
        feature: &'v Computed,
        at: usize,
        amount: i64,
        values: &[Value<'v>],
    ) -> Value<'v> {
        match &feature.formula {
            Formula::Expr(program) => program.value(values).unwrap_or(Value::Null),
            Formula::Learnt(answer) => answer.value(values),
            Formula::Ratio(mean) => match self.gathered[*mean] {
                Gathered::Double(ref means) if !means[at].is_nan() && means[at] != 0.0 => {
                    Value::Double(amount as f64 / means[at])
                }
                _ => Value::Null,
            },
        }
    }

    /// Whether a kept feature that is a number has a value.
    fn is_there(&self, feature: usize, at: usize) -> bool {
        let gathered = &self.gathered[self.kept + feature];
        matches!(gathered, Gathered::Int(values) if values[at] != NULL_INT)
    }

    /// Moves a gathered feature out as a column: it is one, so it is asked for once.
    fn take(&mut self, feature: usize) -> Column {
        match std::mem::replace(&mut self.gathered[feature], Gathered::Nothing) {
            Gathered::Int(values) => Column::Int(values),
            Gathered::Double(values) => Column::Double(values),
            Gathered::Bool(values) => Column::Bool(values),
            Gathered::Str(places) => {
                let mut strings = Strings::default();
                for place in places {
                    strings.push(match self.text(place) {
                        Value::Str(text) => text,
                        _ => "",
                    });
                }
                Column::Str(strings)
            }
            Gathered::Name(values, name) => {
                let mut strings = Strings::default();
                values.into_iter().for_each(|value| strings.push(name(value)));
                Column::Str(strings)
            }
            Gathered::Nothing => unreachable!("a column is of something that is asked for"),
        }
    }

    fn column(&self, source: SlotSource, kind: Type, rows: &[u32]) -> Column {
        match source {
            SlotSource::Text(at) => {
                let ints = rows.iter().map(|row| self.prepared.texts[at][*row as usize]);
                if kind == Type::Bool {
                    Column::Bool(
                        ints.map(|value| if value == NULL_INT { 2 } else { value as u8 }).collect(),
                    )
                } else {
                    Column::Int(ints.collect())
                }
            }
            SlotSource::Cluster(cluster) => {
                let mut column = Column::empty(kind);
                (0..rows.len()).for_each(|at| column.push(self.clusters.value(cluster, at)));
                column
            }
            SlotSource::Nowhere => {
                let mut column = Column::empty(kind);
                (0..rows.len()).for_each(|_| column.push(Value::Null));
                column
            }
            _ => unreachable!("only features are columns, and gathered ones are moved"),
        }
    }
}

impl Known {
    fn value(&self, cluster: Cluster, at: usize) -> Value<'_> {
        if self.accounts.is_empty() {
            return Value::Null;
        }
        match cluster {
            Cluster::Accounts => Value::Int(self.accounts[at]),
            Cluster::Groups => Value::Int(self.groups[at]),
            Cluster::Id => text_value(self.ids.get(at)),
        }
    }
}

impl Features {
    /// The values of one decided transaction by slot, from what its part keeps.
    pub fn row<'s>(&self, scored: &'s Scored, at: usize) -> Vec<Value<'s>> {
        let slice = &scored.batch.slice;
        let row = scored.batch.rows[at] as usize;
        let value = |source: &SlotSource| match *source {
            SlotSource::Field(field) => slice.chunk.value(field, row),
            SlotSource::Payer => text_value(slice.chunk.payer(row)),
            SlotSource::Payee => text_value(slice.chunk.payee(row)),
            SlotSource::Kept(OUTCOME) => text_value(scored.batch.outcomes.get(at)),
            source => self.stored(scored, source, at),
        };
        self.slots.iter().map(value).collect()
    }

    /// The value of one decided transaction from a feature's column.
    fn stored<'s>(&self, scored: &'s Scored, source: SlotSource, at: usize) -> Value<'s> {
        let column = self.columns.iter().position(|(.., held)| *held == source);
        column.map_or(Value::Null, |column| scored.features[column].value(at))
    }
}
