//! How fast a forest trains and scores: `scripts/bench model 200000 100` (rows, trees of depth 8, 40
//! columns).
//!
//! The rows are random, which is hard for inference: they spread over all leaves of a tree, where
//! real ones mostly share a few. Times are of this thread's processor where the system tells
//! (Linux), so that a busy machine does not count; else of the clock.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use models::onnx::OnnxModel;
use models::{Column, Identity, Table, TrainConfig, Work, train};

const COLUMNS: usize = 40;
const DEPTH: usize = 8;
const ROUNDS: usize = 5;
/// Rows that are scored in a round where few are scored at once.
const SCORED: usize = 1 << 16;
/// Calls in such a round.
const CALLS: usize = 2000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |at, default| std::env::args().nth(at).map_or(Ok(default), |text| text.parse());
    let (rows, trees): (usize, usize) = (number(1, 100_000)?, number(2, 100)?);
    let mut state = 7u64;
    let mut unit = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let values: Vec<Vec<f64>> = (0..COLUMNS).map(|_| (0..rows).map(|_| unit()).collect()).collect();
    let label = |row: usize| {
        let of = |column: usize| values[column][row];
        of(0) + of(1) * of(2) + 0.5 * of(3) + 0.5 * of(39) > 1.75
    };
    let labels = (0..rows).map(label).collect();
    let named = values.iter().enumerate();
    let columns = named.map(|(at, values)| {
        Column::new(format!("column_{at}"), values.iter().map(|value| Some(*value)))
    });
    let table = Table::new(columns.collect(), labels, (0..rows as i64).collect())?;
    let config: TrainConfig = serde_json::from_value(serde_json::json!({
        "model": {"kind": "forest", "trees": trees, "depth_max": DEPTH},
        "split": {"test_share": 0.1, "calibration_share": 0.0},
        "calibration": {"method": "none"},
    }))?;
    let identity = Identity { name: "speed", catalogue_hash: "" };
    let start = clock();
    let trained = train(&table, &config, identity, Work::default())?;
    println!("{rows} rows, {trees} trees: trained in {:.2} s of one thread", clock() - start);
    println!("artefact: {} bytes", trained.model.to_json().len());
    let columns: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
    println!("rows a call, nanoseconds a row (the fastest of {ROUNDS} rounds)");
    for at_once in [1, 2, 4, 8, 16, 32, 64, 128, 1024, rows] {
        let calls = (rows.min(SCORED) / at_once).clamp(1, CALLS);
        let mut fastest = f64::INFINITY;
        for _ in 0..ROUNDS {
            let start = clock();
            for call in 0..calls {
                let here = call * at_once..(call + 1) * at_once;
                let columns: Vec<&[f64]> = columns.iter().map(|all| &all[here.clone()]).collect();
                black_box(trained.model.raw_columns(&columns));
            }
            fastest = fastest.min(clock() - start);
        }
        let a_row = fastest * 1e9 / (calls * at_once) as f64;
        println!("{at_once:11}  {a_row:9.0}  {:.3} million rows a second", 1e3 / a_row);
    }
    onnx(&columns, rows)
}

/// The models of the tests that were made elsewhere: 3 inputs each.
fn onnx(columns: &[&[f64]], rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    for name in ["lightgbm", "xgboost", "forest", "logistic"] {
        let model = OnnxModel::load(&directory.join(name).with_extension("onnx"))?;
        let fastest = (0..ROUNDS).map(|_| {
            let start = clock();
            black_box(model.scores(&columns[..3]));
            clock() - start
        });
        let a_row = fastest.fold(f64::INFINITY, f64::min) * 1e9 / rows as f64;
        println!("{name}.onnx: {a_row:.0} nanoseconds a row");
    }
    Ok(())
}

/// Seconds of this thread's processor, or of the clock.
#[expect(clippy::disallowed_methods, reason = "this measures and decides nothing")]
fn clock() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let of_thread = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = of_thread.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}
