//! Builds the plan: what features of one key can share, they do.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{
    Carried, Condition, Definition, EntryWord, Family, Fold, Form, Latest, Lookup, Output, Plan,
    Read, RecentPlan, Source, Stream, WindowPlan,
};
use crate::event::{AMOUNT_FEN, KindSet, Schema, Type};
use crate::features::declare::{Agg, Window, Windowed};
use crate::features::state::{QUANTILE_UNIT, SQUARES_WORDS};

/// Streams and lookups of one family are bits of a word.
const BITS_MAX: usize = 32;
/// How long a calendar day can be: clocks have been put back by up to three hours (Casey, 2018).
const DAY_MS_MAX: i64 = 27 * 3_600_000;

impl Plan {
    /// Plans the features, in the order of declaration; every name must be of the schema.
    pub(crate) fn new(schema: &Schema, features: Vec<Definition>) -> Plan {
        let mut plan = Plan::default();
        let mut by_key: BTreeMap<(Vec<Source>, bool), usize> = BTreeMap::new();
        let mut by_text: BTreeMap<String, usize> = BTreeMap::new();
        for Definition { name, windowed } in &features {
            let over = windowed.over;
            let condition = windowed.where_.as_ref().map(|(text, _)| {
                let index = *by_text.entry(text.clone()).or_insert_with(|| {
                    plan.conditions.push((KindSet::default(), text.clone()));
                    plan.conditions.len() - 1
                });
                plan.conditions[index].0.0 |= over.0;
                Condition { index }
            });
            let sources = |names: &[String]| -> Vec<Source> {
                names.iter().filter_map(|name| Source::find(schema, name)).collect()
            };
            let (key, at) = (sources(&windowed.key), sources(&windowed.at));
            let full = |family: &Family| {
                family.streams.len() == BITS_MAX || family.lookups.len() == BITS_MAX
            };
            // What waits for clusters holds up nothing that does not.
            let by = (key, windowed.uses_clusters());
            let family = match by_key.get(&by) {
                Some(&family) if !full(&plan.families[family]) => family,
                _ => {
                    plan.families.push(Family::new(by.0.clone()));
                    by_key.insert(by, plan.families.len() - 1);
                    plan.families.len() - 1
                }
            };
            let feature = plan.features.len();
            let place = Place { feature, condition, at };
            let kind = plan.families[family].add(schema, windowed, place);
            plan.features.push((name.clone(), kind));
        }
        plan.definitions = features;
        plan
    }
}

/// What a feature wants of a tally.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Top,
    Entropy,
}

/// Where a feature belongs.
struct Place {
    feature: usize,
    condition: Option<Condition>,
    at: Vec<Source>,
}

impl Family {
    fn new(key: Vec<Source>) -> Family {
        Family {
            key,
            carried: Vec::new(),
            streams: Vec::new(),
            lookups: Vec::new(),
            cells: 0,
            rings: 0,
            recents: 0,
            tallies: Vec::new(),
            extremes: 0,
            quantiles: 0,
            staying: Vec::new(),
            more_stays: false,
            keeps_texts: false,
        }
    }

    fn add(&mut self, schema: &Schema, windowed: &Windowed, place: Place) -> Type {
        let field = |name: &str| Source::find(schema, name).unwrap_or(Source::Field(AMOUNT_FEN));
        // The first value needs a ring in which no value is null, else it would have to search.
        let non_null = match &windowed.agg {
            Agg::First(name) => {
                let source = field(name);
                Some(self.carry(source, Form::Exact(source.kind(schema))))
            }
            _ => None,
        };
        let stream = self.stream(windowed.over, place.condition, non_null);
        let window = windowed.window;
        let (read, kind) = match &windowed.agg {
            Agg::Count => (Read::Count { window: self.window(stream, window) }, Type::Int),
            Agg::Sum(name) => {
                let (window, cell) = self.sum(stream, window, field(name));
                (Read::Sum { window, cell }, Type::Int)
            }
            Agg::Min(name) => (self.extreme(stream, window, field(name), false), Type::Int),
            Agg::Max(name) => (self.extreme(stream, window, field(name), true), Type::Int),
            Agg::Mean(name) => (self.mean(stream, window, field(name)), Type::Double),
            Agg::RatioToMean => {
                (self.mean(stream, window, Source::Field(AMOUNT_FEN)), Type::Double)
            }
            Agg::Stddev(name) => (self.stddev(stream, window, field(name)), Type::Double),
            Agg::First(name) => {
                let kind = field(name).kind(schema);
                (self.first(stream, window, non_null.unwrap_or(0), kind), kind)
            }
            Agg::Last(name) => {
                let kind = field(name).kind(schema);
                (self.latest(stream, window, field(name), kind), kind)
            }
            Agg::SinceLast => (self.since_last(stream, window), Type::Int),
            Agg::SinceFirst => (self.since_first(stream, window), Type::Int),
            Agg::Distinct(name) => {
                let cell = self.recents(stream, window, field(name));
                (Read::Distinct { cell }, Type::Int)
            }
            Agg::TopShare(name) => {
                let (tally, window, cells) =
                    self.tally(stream, window, field(name), Form::Hash, Wants::Top);
                (Read::TopShare { tally, window, cells }, Type::Double)
            }
            Agg::Entropy(name, divisor) => {
                let form = divisor.map_or(Form::Hash, Form::Remainder);
                let cells = self.tally(stream, window, field(name), form, Wants::Entropy).2;
                (Read::Entropy { cells }, Type::Double)
            }
            Agg::Quantile(name, q) => (self.quantile(stream, window, field(name), *q), Type::Int),
        };
        let before =
            !windowed.include_current || matches!(windowed.agg, Agg::SinceLast | Agg::RatioToMean);
        self.lookup(place.at).outputs.push(Output { feature: place.feature, stream, before, read });
        kind
    }

    fn lookup(&mut self, at: Vec<Source>) -> &mut Lookup {
        let found = self.lookups.iter().position(|lookup| lookup.at == at);
        let index = found.unwrap_or_else(|| {
            self.lookups.push(Lookup { at, outputs: Vec::new() });
            self.lookups.len() - 1
        });
        &mut self.lookups[index]
    }

    fn stream(
        &mut self,
        over: KindSet,
        where_: Option<Condition>,
        non_null: Option<usize>,
    ) -> usize {
        let same = |stream: &Stream| {
            stream.over == over && stream.non_null == non_null && stream.where_ == where_
        };
        self.streams.iter().position(same).unwrap_or_else(|| {
            self.streams.push(Stream {
                over,
                where_,
                non_null,
                ring: None,
                entry: Vec::new(),
                windows: Vec::new(),
                recents: Vec::new(),
                latest: Vec::new(),
                newest: None,
                oldest: None,
                lifetime: 0,
                stays: false,
            });
            self.streams.len() - 1
        })
    }

    /// The first word at which the value is carried.
    fn carry(&mut self, source: Source, form: Form) -> usize {
        let same = |carried: &&Carried| carried.source == source && carried.form == form;
        if let Some(carried) = self.carried.iter().find(same) {
            return carried.word;
        }
        let word = self.words();
        self.carried.push(Carried { source, form, word });
        word
    }

    fn cell(&mut self, count: usize) -> usize {
        self.cells += count;
        self.cells - count
    }

    fn outlives(&mut self, stream: usize, window: Window) {
        let stream = &mut self.streams[stream];
        let lifetime = match window {
            Window::Span(span) => span,
            Window::Day => DAY_MS_MAX,
            Window::Forever => {
                stream.stays = true;
                0
            }
        };
        stream.lifetime = stream.lifetime.max(lifetime);
    }

    /// Notes cells of which a feature over the window is read.
    fn reads(&mut self, window: Window, cells: Range<usize>) {
        if window == Window::Forever {
            let fresh = cells.filter(|cell| !self.staying.contains(cell));
            let fresh: Vec<usize> = fresh.collect();
            self.staying.extend(fresh);
        }
    }

    fn window(&mut self, stream: usize, window: Window) -> usize {
        self.outlives(stream, window);
        self.more_stays |= window == Window::Forever;
        let windows = &self.streams[stream].windows;
        windows.iter().position(|plan| plan.window == window).unwrap_or_else(|| {
            let tail = self.cell(1);
            let rings = &mut self.rings;
            self.streams[stream].ring.get_or_insert_with(|| {
                *rings += 1;
                *rings - 1
            });
            let windows = &mut self.streams[stream].windows;
            windows.push(WindowPlan { window, tail, folds: Vec::new() });
            windows.len() - 1
        })
    }

    fn entry(&mut self, stream: usize, word: EntryWord) -> usize {
        let entry = &mut self.streams[stream].entry;
        let at = entry.iter().position(|held| *held == word).unwrap_or_else(|| {
            entry.push(word);
            entry.len() - 1
        });
        at + 1 // the time comes first
    }

    fn int_entry(&mut self, stream: usize, source: Source) -> usize {
        let word = self.carry(source, Form::Int);
        self.entry(stream, EntryWord::Word { word, text: false })
    }

    fn fold(&mut self, stream: usize, window: usize) -> &mut Vec<Fold> {
        &mut self.streams[stream].windows[window].folds
    }

    fn filled(&mut self, stream: usize, window: usize, entry: usize) -> usize {
        let held = self.fold(stream, window).iter().find_map(|fold| match fold {
            Fold::Filled { entry: at, cell } if *at == entry => Some(*cell),
            _ => None,
        });
        held.unwrap_or_else(|| {
            let cell = self.cell(1);
            self.fold(stream, window).push(Fold::Filled { entry, cell });
            cell
        })
    }

    fn sum(&mut self, stream: usize, window: Window, source: Source) -> (usize, usize) {
        let window = self.window(stream, window);
        let entry = self.int_entry(stream, source);
        let held = self.fold(stream, window).iter().find_map(|fold| match fold {
            Fold::Sum { entry: at, cell } if *at == entry => Some(*cell),
            _ => None,
        });
        let cell = held.unwrap_or_else(|| {
            let cell = self.cell(2);
            self.fold(stream, window).push(Fold::Sum { entry, cell });
            cell
        });
        (window, cell)
    }

    fn mean(&mut self, stream: usize, window: Window, source: Source) -> Read {
        let (window, sum) = self.sum(stream, window, source);
        let entry = self.int_entry(stream, source);
        let filled = self.filled(stream, window, entry);
        Read::Mean { window, sum, filled }
    }

    fn stddev(&mut self, stream: usize, window: Window, source: Source) -> Read {
        let (window, sum) = self.sum(stream, window, source);
        let entry = self.int_entry(stream, source);
        let filled = self.filled(stream, window, entry);
        let held = self.fold(stream, window).iter().find_map(|fold| match fold {
            Fold::Squares { entry: at, cell } if *at == entry => Some(*cell),
            _ => None,
        });
        let squares = held.unwrap_or_else(|| {
            let cell = self.cell(SQUARES_WORDS);
            self.fold(stream, window).push(Fold::Squares { entry, cell });
            cell
        });
        Read::Stddev { sum, squares, filled }
    }

    fn extreme(&mut self, stream: usize, window: Window, source: Source, max: bool) -> Read {
        let window = self.window(stream, window);
        let entry = self.int_entry(stream, source);
        let held = self.fold(stream, window).iter().find_map(|fold| match fold {
            Fold::Extreme { entry: at, extreme, max: is } if *at == entry && *is == max => {
                Some(*extreme)
            }
            _ => None,
        });
        let extreme = held.unwrap_or_else(|| {
            let extreme = self.extremes;
            self.extremes += 1;
            self.fold(stream, window).push(Fold::Extreme { entry, extreme, max });
            extreme
        });
        Read::Extreme { extreme }
    }

    fn quantile(&mut self, stream: usize, window: Window, source: Source, q: f64) -> Read {
        let window = self.window(stream, window);
        let entry = self.int_entry(stream, source);
        let q = (q * QUANTILE_UNIT as f64).round() as u64;
        let quantile = self.quantiles;
        self.quantiles += 1;
        self.fold(stream, window).push(Fold::Quantile { entry, quantile, q });
        Read::Quantile { quantile }
    }

    /// The cell that counts the distinct values in a window.
    fn recents(&mut self, stream: usize, window: Window, source: Source) -> usize {
        self.outlives(stream, window);
        self.more_stays |= window == Window::Forever;
        let word = self.carry(source, Form::Hash);
        let held = self.streams[stream].recents.iter().position(|plan| plan.word == word);
        let at = held.unwrap_or_else(|| {
            let plan = RecentPlan { word, recents: self.recents, windows: Vec::new() };
            self.recents += 1;
            self.streams[stream].recents.push(plan);
            self.streams[stream].recents.len() - 1
        });
        let windows = &self.streams[stream].recents[at].windows;
        let held = windows.iter().find(|(held, _)| *held == window).map(|(_, cell)| *cell);
        held.unwrap_or_else(|| {
            let cell = self.cell(1);
            self.streams[stream].recents[at].windows.push((window, cell));
            cell
        })
    }

    /// The tally of a value, the window's place among those that count it, and its cells.
    fn tally(
        &mut self,
        stream: usize,
        window: Window,
        source: Source,
        form: Form,
        wants: Wants,
    ) -> (usize, usize, usize) {
        let plan = self.window(stream, window);
        let word = self.carry(source, form);
        let held = self.streams[stream].entry.iter().find_map(|held| match held {
            EntryWord::Slot { word: at, tally } if *at == word => Some(*tally),
            _ => None,
        });
        let tally = held.unwrap_or_else(|| {
            self.tallies.push(0);
            self.tallies.len() - 1
        });
        let entry = self.entry(stream, EntryWord::Slot { word, tally });
        let held = self
            .fold(stream, plan)
            .iter()
            .position(|fold| matches!(fold, Fold::Tally { tally: at, .. } if *at == tally));
        let at = held.unwrap_or_else(|| {
            let window = self.tallies[tally];
            self.tallies[tally] += 1;
            let cells = self.cell(3);
            let (top, entropy) = (false, false);
            let fold = Fold::Tally { entry, tally, window, cells, top, entropy };
            let folds = self.fold(stream, plan);
            folds.push(fold);
            folds.len() - 1
        });
        match &mut self.fold(stream, plan)[at] {
            Fold::Tally { window, cells, top, entropy, .. } => {
                *top |= wants == Wants::Top;
                *entropy |= wants == Wants::Entropy;
                (tally, *window, *cells)
            }
            _ => unreachable!("the fold at this place is a tally"),
        }
    }

    fn first(&mut self, stream: usize, window: Window, word: usize, kind: Type) -> Read {
        let window = self.window(stream, window);
        let text = kind == Type::Str;
        self.keeps_texts |= text;
        let entry = self.entry(stream, EntryWord::Word { word, text });
        Read::First { window, entry, kind }
    }

    fn latest(&mut self, stream: usize, window: Window, source: Source, kind: Type) -> Read {
        self.outlives(stream, window);
        self.keeps_texts |= kind == Type::Str;
        let word = self.carry(source, Form::Exact(kind));
        let latest = &self.streams[stream].latest;
        let held = latest.iter().find(|latest| latest.word == word).map(|latest| latest.cell);
        let cell = held.unwrap_or_else(|| {
            let cell = self.cell(2);
            self.streams[stream].latest.push(Latest { word, kind, cell });
            cell
        });
        self.reads(window, cell..cell + 2);
        Read::Latest { window, cell, kind }
    }

    fn since_last(&mut self, stream: usize, window: Window) -> Read {
        self.outlives(stream, window);
        let cell = match self.streams[stream].newest {
            Some(cell) => cell,
            None => self.cell(1),
        };
        self.streams[stream].newest = Some(cell);
        self.reads(window, cell..cell + 1);
        Read::SinceLast { window, cell }
    }

    fn since_first(&mut self, stream: usize, window: Window) -> Read {
        self.outlives(stream, window);
        let cell = match self.streams[stream].oldest {
            Some(cell) => cell,
            None => self.cell(1),
        };
        self.streams[stream].oldest = Some(cell);
        self.reads(window, cell..cell + 1);
        Read::SinceFirst { cell }
    }
}
