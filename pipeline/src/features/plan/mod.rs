//! The plan: declared features compiled once into families, one a key, that share their state.
//!
//! A *family* is everything filed under one key. In it, a *stream* is the events of certain kinds
//! that pass one condition; all features over a stream share one ring of its events, and each
//! *window* is a place in that ring up to which its sums have been taken back.

mod build;

use super::declare::{Window, Windowed};
use crate::event::{self, FieldId, KindSet, Schema, Type};

/// What the cluster of an event's account is called where events are filed and counted.
pub(crate) const CLUSTER_ID: &str = "cluster_id";

/// A value of an event that a key or an aggregate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A field of the schema.
    Field(FieldId),
    /// The derived `payer_id`.
    Payer,
    /// The derived `payee_id`.
    Payee,
    /// `cluster_id`: the cluster of the event's account as of the event's own moment.
    Cluster,
}

impl Source {
    /// The source of that name.
    pub fn find(schema: &Schema, name: &str) -> Option<Source> {
        match name {
            "payer_id" => Some(Source::Payer),
            "payee_id" => Some(Source::Payee),
            CLUSTER_ID => Some(Source::Cluster),
            name => schema.find(name).map(Source::Field),
        }
    }

    /// The type of its values.
    pub fn kind(self, schema: &Schema) -> Type {
        match self {
            Source::Field(field) => schema.field(field).kind,
            Source::Payer | Source::Payee | Source::Cluster => Type::Str,
        }
    }

    /// The kinds of events that can have a value of it.
    pub fn carriers(self) -> KindSet {
        match self {
            Source::Field(field) => event::carriers(field),
            Source::Payer => KindSet::TRANSACTIONS,
            Source::Payee => KindSet::PAID,
            Source::Cluster => KindSet::ALL,
        }
    }
}

/// How a value travels with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// One word: the integer.
    Int,
    /// One word: an integer's, double's or bool's bits, or a place among the request's texts.
    Exact(Type),
    /// Two words: 128 bits that stand for the value.
    Hash,
    /// Two words: the remainder by the divisor.
    Remainder(i64),
}

impl Form {
    pub(crate) fn words(self) -> usize {
        match self {
            Form::Int | Form::Exact(_) => 1,
            Form::Hash | Form::Remainder(_) => 2,
        }
    }
}

/// A value that a family's requests carry, at its place among the words of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) source: Source,
    pub(crate) form: Form,
    pub(crate) word: usize,
}

/// All windowed features of a rules directory.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) families: Vec<Family>,
    /// The distinct conditions of the streams in their normal form, with the kinds on which each
    /// is asked for. The program of each is with the [`super::Features`] that are in force.
    pub(crate) conditions: Vec<(KindSet, String)>,
    /// The name and type of each feature, in the order of declaration.
    pub(crate) features: Vec<(String, Type)>,
    /// What each feature is, in the same places.
    pub(crate) definitions: Vec<Definition>,
}

/// What is filed under one key.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) key: Vec<Source>,
    pub(crate) carried: Vec<Carried>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) cells: usize,
    /// How many streams keep a ring of their events.
    pub(crate) rings: usize,
    /// How many sets of values are kept by when each was last seen.
    pub(crate) recents: usize,
    /// For each tally, how many windows count its values.
    pub(crate) tallies: Vec<usize>,
    pub(crate) extremes: usize,
    pub(crate) quantiles: usize,
    /// The cells of which features without an end are read: they stay for good.
    pub(crate) staying: Vec<usize>,
    /// Whether something stays that is in no cell, but a ring or a set of values.
    pub(crate) more_stays: bool,
    /// Whether some value is a text that outlives its event.
    pub(crate) keeps_texts: bool,
}

/// A contribution: which events, and what is kept of them.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) over: KindSet,
    pub(crate) where_: Option<Condition>,
    /// Only events in which this value is not null.
    pub(crate) non_null: Option<usize>,
    /// The ring of its events, where some window needs one.
    pub(crate) ring: Option<usize>,
    pub(crate) entry: Vec<EntryWord>,
    /// The windows over the ring.
    pub(crate) windows: Vec<WindowPlan>,
    pub(crate) recents: Vec<RecentPlan>,
    pub(crate) latest: Vec<Latest>,
    /// Cell of the newest event's time, where some feature asks for it.
    pub(crate) newest: Option<usize>,
    /// Cell of the first event's time, where some feature asks for it.
    pub(crate) oldest: Option<usize>,
    /// How long after an event something of it may still be in a window that has an end.
    pub(crate) lifetime: i64,
    /// Whether something of it stays for good: attributes of accounts and groups.
    pub(crate) stays: bool,
}

/// A stream's condition: its index into the plan's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) index: usize,
}

/// One word of a ring's entry after its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryWord {
    /// The carried word, as it is.
    Word { word: usize, text: bool },
    /// A slot of a tally; `u64::MAX` where the value is null.
    Slot { word: usize, tally: usize },
}

impl EntryWord {
    /// Whether something that is kept elsewhere has to be given up with the entry.
    pub(crate) fn is_held_elsewhere(self) -> bool {
        !matches!(self, EntryWord::Word { text: false, .. })
    }
}

/// A window over a stream, with what it keeps up to date.
#[derive(Debug)]
pub(crate) struct WindowPlan {
    pub(crate) window: Window,
    /// Cell with the number of ring entries that are before the window.
    pub(crate) tail: usize,
    pub(crate) folds: Vec<Fold>,
}

/// Something a window keeps up to date as events enter and leave. `entry` is a word of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Number of entries that are not null, in one cell.
    Filled { entry: usize, cell: usize },
    /// Sum in two cells, as an i128.
    Sum { entry: usize, cell: usize },
    /// Sum of squares in three cells.
    Squares { entry: usize, cell: usize },
    /// Largest or smallest value.
    Extreme { entry: usize, extreme: usize, max: bool },
    /// Values by slot: the number of entries with a value in `cells`, the surprisal in
    /// `cells + 1` and `cells + 2` where entropy is asked for.
    Tally { entry: usize, tally: usize, window: usize, cells: usize, top: bool, entropy: bool },
    /// A quantile, in parts of a million.
    Quantile { entry: usize, quantile: usize, q: u64 },
}

/// The distinct values of two carried words, by when each was last seen.
#[derive(Debug)]
pub(crate) struct RecentPlan {
    pub(crate) word: usize,
    pub(crate) recents: usize,
    /// Each window, and the cell that stands for its part of the values.
    pub(crate) windows: Vec<(Window, usize)>,
}

/// The newest value that is not null, in cells `cell` (time) and `cell + 1` (value).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latest {
    pub(crate) word: usize,
    pub(crate) kind: Type,
    pub(crate) cell: usize,
}

/// The features that are read under one value of the transaction.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) at: Vec<Source>,
    pub(crate) outputs: Vec<Output>,
}

/// One feature as read from its family's state.
#[derive(Debug)]
pub(crate) struct Output {
    /// Index into [`Plan::features`].
    pub(crate) feature: usize,
    pub(crate) stream: usize,
    /// Whether the transaction itself is left out.
    pub(crate) before: bool,
    pub(crate) read: Read,
}

/// How a feature is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Count { window: usize },
    Sum { window: usize, cell: usize },
    Extreme { extreme: usize },
    First { window: usize, entry: usize, kind: Type },
    Latest { window: Window, cell: usize, kind: Type },
    Mean { window: usize, sum: usize, filled: usize },
    Stddev { sum: usize, squares: usize, filled: usize },
    Distinct { cell: usize },
    Quantile { quantile: usize },
    SinceLast { window: Window, cell: usize },
    SinceFirst { cell: usize },
    TopShare { tally: usize, window: usize, cells: usize },
    Entropy { cells: usize },
}

/// A windowed feature ready to be planned. Two that are equal are one feature, whichever rules
/// directory says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    /// Its condition is in the normal form, with named conditions in place of their names, and
    /// stands nowhere.
    pub(crate) windowed: Windowed,
}

impl Plan {
    /// The features' names and types, in the order of declaration.
    pub fn features(&self) -> &[(String, Type)] {
        &self.features
    }
}

impl Family {
    /// Words that a contributing request carries.
    pub(crate) fn words(&self) -> usize {
        self.carried.iter().map(|carried| carried.form.words()).sum()
    }

    /// Whether its requests are made of the clusters of accounts, and so wait until those are known.
    pub(crate) fn uses_clusters(&self) -> bool {
        let looked_up = self.lookups.iter().flat_map(|lookup| &lookup.at);
        let carried = self.carried.iter().map(|carried| &carried.source);
        self.key.iter().chain(looked_up).chain(carried).any(|source| *source == Source::Cluster)
    }

    /// The family's name: its key.
    pub(crate) fn name(&self, schema: &Schema) -> String {
        let names = self.key.iter().map(|source| match source {
            Source::Field(field) => schema.field(*field).name.as_str(),
            Source::Payer => "payer_id",
            Source::Payee => "payee_id",
            Source::Cluster => CLUSTER_ID,
        });
        names.collect::<Vec<_>>().join(", ")
    }
}
