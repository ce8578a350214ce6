//! What features will take up in memory, before an event has been seen.
//!
//! What a key and an event take up follows from the layout of the state. How full blocks are, and
//! how many values a key meets, depends on the events: that is assumed, and `tests/it/cost.rs`
//! holds it to what a run measures.

use std::fmt::Write as _;

use serde::Serialize;

use super::plan::{EntryWord, Family, Stream};
use super::state::key_bytes;
use crate::diagnostic::Lang;
use crate::event::{Schema, Type};

/// Blocks that keys share double as keys come: over all sizes alike, one is 1 / ln 2 of what is in
/// it.
const KEYS_SLACK: f64 = 1.44;
/// Rings grow by half: 0.5 / ln 1.5.
const EVENTS_SLACK: f64 = 1.25;
/// Values that a key holds of a field of which the commonest value or the entropy is asked: amounts.
const COUNTED_PER_KEY: usize = 6;
/// Values that it holds of a field of which the distinct values are: most devices have one account.
const DISTINCT_PER_KEY: usize = 1;
/// Bytes of a text that is kept, with its place.
const TEXT_BYTES: usize = 32;

/// What a family, the features filed under one key, is expected to take up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FamilyCost {
    /// The fields of the key: the family's name in the `state` of `metrics.json`.
    pub family: String,
    /// Bytes of a live key, without the events in its windows.
    pub bytes_per_key: u64,
    /// Bytes of an event in a stream's window, the mean over streams.
    pub bytes_per_event: u64,
    /// The streams: events of certain kinds and one condition, kept once for all features over
    /// them.
    pub streams: Vec<StreamCost>,
}

/// What a stream is expected to take up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamCost {
    /// The features that share it.
    pub features: Vec<String>,
    /// Bytes of an event in its longest window; 0 where only the latest of each value is kept.
    pub bytes_per_event: u64,
}

impl FamilyCost {
    pub(crate) fn new(family: &Family, schema: &Schema, features: &[(String, Type)]) -> FamilyCost {
        let windowed = || family.streams.iter().filter(|stream| !stream.windows.is_empty());
        // A ring has room for an event more than it holds, and for two at least.
        let spare: usize = windowed().map(entry_bytes).sum();
        // A counted value takes two words, one for its count, and one for each window's; a distinct
        // one two words, one for its time, and one for its neighbours.
        let counted: usize = family.tallies.iter().map(|windows| 3 + windows).sum();
        let values = 8 * (COUNTED_PER_KEY * counted + 4 * DISTINCT_PER_KEY * family.recents);
        let latest = family.streams.iter().flat_map(|stream| &stream.latest);
        let texts = latest.filter(|latest| latest.kind == Type::Str).count() * TEXT_BYTES;
        let slab = key_bytes(family) as f64 * KEYS_SLACK;
        let held = windowed().map(entry_bytes).sum::<usize>() as f64 * EVENTS_SLACK;
        FamilyCost {
            family: family.name(schema),
            bytes_per_key: slab.round() as u64 + (spare + values + texts) as u64,
            bytes_per_event: (held / windowed().count().max(1) as f64).round() as u64,
            streams: (0..family.streams.len())
                .map(|at| StreamCost::new(family, at, features))
                .collect(),
        }
    }

    /// Bytes of so many live keys with so many events in their windows.
    pub fn bytes(&self, keys: u64, events: u64) -> u64 {
        keys * self.bytes_per_key + events * self.bytes_per_event
    }
}

impl StreamCost {
    fn new(family: &Family, at: usize, features: &[(String, Type)]) -> StreamCost {
        let stream = &family.streams[at];
        let outputs = family.lookups.iter().flat_map(|lookup| &lookup.outputs);
        let own = outputs.filter(|output| output.stream == at);
        let held = if stream.windows.is_empty() { 0 } else { entry_bytes(stream) };
        StreamCost {
            features: own.map(|output| features[output.feature].0.clone()).collect(),
            bytes_per_event: (held as f64 * EVENTS_SLACK).round() as u64,
        }
    }
}

/// Bytes of an event in a stream's ring: its time, and what features read of it.
fn entry_bytes(stream: &Stream) -> usize {
    let text = |word: &&EntryWord| matches!(word, EntryWord::Word { text: true, .. });
    8 * (1 + stream.entry.len()) + TEXT_BYTES * stream.entry.iter().filter(text).count()
}

/// The costs as a person reads them.
pub fn render(costs: &[FamilyCost], lang: Lang) -> String {
    let mut out = String::new();
    for cost in costs {
        let FamilyCost { family, bytes_per_key, bytes_per_event, streams } = cost;
        let features: usize = streams.iter().map(|stream| stream.features.len()).sum();
        // Writing to a string does not fail.
        let _ = match lang {
            Lang::En => writeln!(
                out,
                "by {family}: {features} features, {} streams; about {bytes_per_key} bytes a live \
                 key, {bytes_per_event} bytes an event in a window",
                streams.len()
            ),
            Lang::Zh => writeln!(
                out,
                "按 {family}:{features} 个特征,{} 个流;每个活跃键约 {bytes_per_key} 字节,\
                 窗口内每个事件约 {bytes_per_event} 字节",
                streams.len()
            ),
        };
        for (at, stream) in streams.iter().enumerate() {
            let (names, bytes) = (stream.features.join(", "), stream.bytes_per_event);
            let _ = match lang {
                Lang::En => writeln!(out, "  stream {at}, {bytes} bytes an event: {names}"),
                Lang::Zh => writeln!(out, "  流 {at},每个事件 {bytes} 字节:{names}"),
            };
        }
    }
    out + match lang {
        Lang::En => ABOUT_EN,
        Lang::Zh => ABOUT_ZH,
    }
}

const ABOUT_EN: &str = "\
nothing here is measured. From the layout: what a key, an event and a value take up. Assumed: blocks
of keys are 1.44 times what is in them and rings 1.25 times, with room for one event more; a key holds
1 value of a field whose distinct values are counted, and 6 where their commonest or entropy is asked;
a text takes 32 bytes. Keys are those at the peak: what they give back waits for the next. Clusters and
packets are not counted.
Measured: after a backtest, `state` in metrics.json has keys, events and bytes of each family.
";
const ABOUT_ZH: &str = "\
以上均非实测。由内存布局得出:一个键、一个事件、一个取值各占多少。假定:键的内存块为实际用量的 1.44 倍,
环形缓冲为 1.25 倍并多留一个事件的位置;统计不同取值的字段,每个键有 1 个取值,求最常见取值或熵的有 6 个;
一段文本占 32 字节。键数按峰值计:释放的内存留给后来的键。关联群体与红包的内存未计入。
实测:回测之后,metrics.json 的 state 中有各族的键数、事件数和字节数。
";
