//! A load for the benchmark of clusters: accounts on devices, some of which are hubs, chains that
//! make a giant component, and a window short enough that edges go as fast as they come.

use std::collections::BTreeMap;

use super::ClusterOptions;
use super::edges::{EdgeChange, EdgeStep, SharedEdges};
use super::linkage::{Linkage, Moment};
use super::view::{Changes, ClusterView};
use crate::keyed::Key;
use crate::stopwatch::{ThreadTime, Took};

const HUB_LIMIT: usize = 50;
const GRAPH_TICK: i64 = 10_000;
/// A month, compressed to as many ticks.
const WINDOW: i64 = 60 * GRAPH_TICK;
/// The stream is as long as so many windows.
const WINDOWS: i64 = 3;
/// Devices are as popular as Zipf's law says with this exponent.
const ZIPF: f64 = 0.9;
/// Of a hundred events, so many build a chain, account by account.
const CHAIN_PERCENT: u64 = 20;
/// The work between two looks at the clock, as an operator of a run does it.
const VISITS: u64 = 20_000;
const START: i64 = 1_700_000_000_000;

/// How large the load is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) events: u64,
    /// At least [`ACCOUNTS_MIN`].
    pub(crate) accounts: u64,
    pub(crate) devices: u64,
    /// Accounts of each of the two giants that one device joins, at least [`ACCOUNTS_MIN`].
    pub(crate) giant_accounts: u64,
}

/// Fewer accounts are never linked.
pub(crate) const ACCOUNTS_MIN: u64 = 2;

/// What was measured; times are processor time of one thread, and where they are called so
/// wall-clock time beside it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Measured {
    /// Edges that came, and edges that went.
    pub(crate) links: u64,
    pub(crate) cuts: u64,
    /// The most edges at once, and accounts of the largest cluster.
    pub(crate) edges_max: usize,
    pub(crate) cluster_accounts_max: u32,
    /// Seconds for the graph, and for the view of one worker.
    pub(crate) graph_seconds: f64,
    pub(crate) graph_wall_seconds: f64,
    pub(crate) view_seconds: f64,
    pub(crate) view_wall_seconds: f64,
    /// New edges a second, each of which goes again; none if nothing was long enough to measure.
    pub(crate) links_a_second: Option<f64>,
    /// The graph tick that took longest as a whole.
    pub(crate) tick_ms_max: f64,
    pub(crate) tick_changes_max: usize,
    /// What other operators waited for at most: the longest piece of the graph's work, and the
    /// longest change of a view.
    pub(crate) piece_ms_max: f64,
    pub(crate) piece_wall_ms_max: f64,
    pub(crate) piece_ms_p999: f64,
    pub(crate) view_ms_max: f64,
    /// What the graph takes up.
    pub(crate) graph_bytes: usize,
    /// One device joins two giants, and then it goes.
    pub(crate) giants_join: Moved,
    pub(crate) giants_part: Moved,
    /// The step of the clock of processor time: what is shorter is 0 or one step.
    pub(crate) clock_step_ms: f64,
}

/// What a moment of giants took.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Moved {
    /// Accounts of the largest cluster after it.
    pub(crate) cluster_accounts: u32,
    pub(crate) pieces: usize,
    pub(crate) ms: f64,
    pub(crate) wall_ms: f64,
    /// The longest piece.
    pub(crate) piece_ms_max: f64,
    pub(crate) piece_wall_ms_max: f64,
}

/// Makes the load and puts it through the graph.
pub(crate) fn measure(load: Load) -> Measured {
    let mut measured = Measured::default();
    let (mut linkage, mut view) = (Linkage::default(), ClusterView::default());
    let mut pieces: Vec<f64> = Vec::new();
    for (time, edges) in moments(load) {
        let count = |wanted: fn(&EdgeStep) -> bool| {
            edges.iter().filter(|change| wanted(&change.step)).count() as u64
        };
        measured.links += count(|step| matches!(step, EdgeStep::Link { .. }));
        measured.cuts += count(|step| matches!(step, EdgeStep::Cut));
        let (changes, mut tick_ms) = (edges.len(), 0.0);
        let told = apply(&mut linkage, Moment { time, edges, memberships: Vec::new() }, |took| {
            tick_ms += took.processor * 1e3;
            pieces.push(took.processor * 1e3);
            measured.piece_wall_ms_max = measured.piece_wall_ms_max.max(took.wall * 1e3);
            measured.graph_seconds += took.processor;
            measured.graph_wall_seconds += took.wall;
        });
        if tick_ms > measured.tick_ms_max {
            (measured.tick_ms_max, measured.tick_changes_max) = (tick_ms, changes);
        }
        measured.edges_max = measured.edges_max.max(linkage.len());
        let sizes = told.described.iter().map(|one| one.accounts);
        measured.cluster_accounts_max = sizes.fold(measured.cluster_accounts_max, u32::max);
        view.take(told);
        let ((), took) = ThreadTime::with_wall(|| view.advance(time));
        measured.view_seconds += took.processor;
        measured.view_wall_seconds += took.wall;
        measured.view_ms_max = measured.view_ms_max.max(took.processor * 1e3);
    }
    pieces.sort_by(f64::total_cmp);
    measured.piece_ms_max = pieces.last().copied().unwrap_or(0.0);
    measured.piece_ms_p999 = pieces.get(pieces.len() * 999 / 1_000).copied().unwrap_or(0.0);
    let seconds = measured.graph_seconds;
    measured.links_a_second = (seconds > 0.0).then(|| measured.links as f64 / seconds);
    measured.graph_bytes = linkage.bytes();
    [measured.giants_join, measured.giants_part] = giants(load.giant_accounts);
    measured.clock_step_ms = ThreadTime::step() * 1e3;
    measured
}

/// Applies a moment piece by piece, and says of each what it took.
fn apply(linkage: &mut Linkage, moment: Moment, mut each: impl FnMut(Took)) -> Changes {
    linkage.begin(moment);
    loop {
        let (told, took) = ThreadTime::with_wall(|| linkage.work(VISITS));
        each(took);
        if let Some(told) = told {
            return told;
        }
    }
}

/// Accounts of a device of a giant; one of them is on another device too.
const ON_DEVICE: u64 = 8;
/// Accounts of a giant that act in one group.
const IN_GROUP: u64 = 5;

/// Two giants, each a tree of devices: what it takes to make them one by a device, and to part them
/// when that goes.
fn giants(accounts: u64) -> [Moved; 2] {
    let join = START + GRAPH_TICK;
    let part = join + WINDOW;
    let (mut edges, mut memberships) = (Vec::new(), Vec::new());
    let link = |giant: u64, account: u64, device: u64, at: i64| {
        let change = edge(giant, account, device);
        let name = format!("g{giant}a{account:09}").into();
        let until = if at == join { part } else { i64::MAX - 1 };
        EdgeChange { at, step: EdgeStep::Link { name, until }, ..change }
    };
    for giant in 0..2 {
        for account in 0..accounts {
            let device = account / ON_DEVICE;
            edges.push(link(giant, account, 2 * device + giant, START));
            if account % ON_DEVICE == 0 && device > 0 {
                edges.push(link(giant, account, 2 * ((device - 1) / 2) + giant, START));
            }
            let group = [2 * (account / IN_GROUP) + giant, 1];
            memberships.push(((edge(giant, account, 0).account, group), 1));
        }
    }
    let joining = |step: &mut dyn FnMut(u64) -> EdgeChange| (0..2).map(step).collect::<Vec<_>>();
    let device = u64::MAX;
    let joined = joining(&mut |giant| link(giant, accounts / 2, device, join));
    let parted = joining(&mut |giant| EdgeChange { at: part, ..edge(giant, accounts / 2, device) });
    let mut linkage = Linkage::default();
    apply(&mut linkage, Moment { time: START, edges, memberships }, |_| {});
    [(join, joined), (part, parted)].map(|(time, edges)| {
        let mut moved = Moved::default();
        let told = apply(&mut linkage, Moment { time, edges, memberships: Vec::new() }, |took| {
            moved.pieces += 1;
            moved.ms += took.processor * 1e3;
            moved.wall_ms += took.wall * 1e3;
            moved.piece_ms_max = moved.piece_ms_max.max(took.processor * 1e3);
            moved.piece_wall_ms_max = moved.piece_wall_ms_max.max(took.wall * 1e3);
        });
        let sizes = told.described.iter().map(|one| one.accounts);
        moved.cluster_accounts = sizes.fold(0, u32::max);
        moved
    })
}

/// An edge of a giant, which goes.
fn edge(giant: u64, account: u64, device: u64) -> EdgeChange {
    let of = |number: u64| Key::of(&number.to_le_bytes()).hash;
    EdgeChange {
        at: START,
        account: of(2 * account + giant),
        device: of(device),
        step: EdgeStep::Cut,
    }
}

/// How the edges change, by moment.
fn moments(load: Load) -> BTreeMap<i64, Vec<EdgeChange>> {
    let options = ClusterOptions { graph_tick: GRAPH_TICK, window: WINDOW, hub_limit: HUB_LIMIT };
    let mut edges = SharedEdges::new(options);
    let mut draw = Draw(1);
    let (mut changes, mut chained) = (Vec::new(), 0);
    let mut known = START;
    for nth in 0..load.events {
        let lasts = i128::from(WINDOWS * WINDOW);
        let time = START + (i128::from(nth) * lasts / i128::from(load.events.max(1))) as i64;
        let (account, device) = if draw.below(100) < CHAIN_PERCENT {
            chained += 1;
            let account = chained / 2;
            (account % load.accounts, load.devices + (account + chained % 2) % load.accounts)
        } else {
            (draw.below(load.accounts), draw.zipf(load.devices))
        };
        let name = format!("a{account:09}");
        let device = Key::of(&device.to_le_bytes()).hash;
        edges.see(device, Key::of(name.as_bytes()).hash, &name, time);
        if time - known >= GRAPH_TICK {
            known = time;
            edges.advance(known, &mut changes);
        }
    }
    edges.advance(START + WINDOWS * WINDOW, &mut changes);
    let mut moments: BTreeMap<i64, Vec<EdgeChange>> = BTreeMap::new();
    for change in changes {
        moments.entry(change.at).or_default().push(change);
    }
    moments
}

/// Draws of a fixed seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }

    /// One of so many, the first ones most often.
    fn zipf(&mut self, count: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let top = libm::pow(count as f64, 1.0 - ZIPF) - 1.0;
        (libm::pow(top * unit + 1.0, 1.0 / (1.0 - ZIPF)) as u64 - 1).min(count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The load is what the benchmark says of it: a giant cluster, and edges that go again.
    #[test]
    fn the_load_joins_and_breaks() {
        let load = Load { events: 30_000, accounts: 8_000, devices: 2_400, giant_accounts: 3_000 };
        let measured = measure(load);
        let Measured { links, cuts, edges_max, cluster_accounts_max, .. } = measured;
        assert!(links > 10_000 && cuts > links / 2, "{links} came, {cuts} went");
        assert!(edges_max < links as usize && cluster_accounts_max > 1_000);
        let sizes =
            [measured.giants_join, measured.giants_part].map(|moved| moved.cluster_accounts);
        assert_eq!(sizes, [6_000, 3_000]);
    }

    #[test]
    fn a_load_of_next_to_nothing_has_no_figure_that_is_no_number() {
        let load = Load { events: 1, accounts: 2, devices: 1, giant_accounts: 2 };
        let report = serde_json::json!(measure(load));
        let numbers = report.as_object().expect("an object").iter();
        let null: Vec<_> =
            numbers.filter(|(_, value)| value.is_null()).map(|(name, _)| name).collect();
        assert!(null.iter().all(|name| *name == "links_a_second"), "{null:?}");
    }
}
