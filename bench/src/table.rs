//! What a benchmark prints.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::measure::Run;

/// A family that took less is not shown.
const FAMILY_SECONDS_MIN: f64 = 0.005;

/// The parts of a run's time.
type PartsOf = fn(&Run) -> &Vec<(String, f64)>;

/// What was run.
pub(crate) struct Job<'a> {
    pub(crate) name: &'a str,
    pub(crate) events: u64,
    pub(crate) workers: u64,
    /// Whether all columns are of one input.
    pub(crate) one_input: bool,
}

/// One line: its name, its unit, and how its figure comes from a run.
struct Row {
    name: String,
    unit: &'static str,
    /// In the order of the programs; None where a program does not say.
    figures: Vec<Option<f64>>,
}

/// A table with one column a program and, beside a baseline, the ratio to it.
pub(crate) fn text(job: &Job, columns: &[(String, Vec<Run>)]) -> String {
    let mut out = format!(
        "{}: {} events, {} workers on {} cores, median of {} runs\n\n{:<28}",
        job.name,
        grouped(job.events as f64),
        job.workers,
        cores(),
        columns[0].1.len(),
        "",
    );
    // Writing to a string cannot fail.
    for (name, _) in columns {
        let _ = write!(out, "{name:>20}");
    }
    let _ = writeln!(out, "{}", if columns.len() > 1 { "     ratio" } else { "" });
    for row in rows(job, columns) {
        let _ = write!(out, "{:<28}", row.name);
        for figure in &row.figures {
            let figure = figure.map_or("-".to_owned(), |figure| shown(figure, row.unit));
            let _ = write!(out, "{figure:>20}");
        }
        if let [Some(this), Some(baseline)] = row.figures[..] {
            let _ = write!(out, "{:>10.3}", this / baseline);
        }
        out.push('\n');
    }
    if let [(_, this), (name, baseline)] = columns
        && job.one_input
        && this[0].digest != baseline[0].digest
    {
        let _ = writeln!(out, "\nthe decisions are not those of {name}");
    }
    out
}

/// The same as JSON.
pub(crate) fn json(job: &Job, columns: &[(String, Vec<Run>)]) -> Value {
    let rows = rows(job, columns);
    let programs: Vec<Value> = columns
        .iter()
        .enumerate()
        .map(|(at, (name, runs))| {
            let figures: Map<String, Value> =
                rows.iter().map(|row| (key(row), json!(row.figures[at]))).collect();
            let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
            json!({
                "program": name,
                "decisions_digest": runs[0].digest,
                "seconds_of_runs": seconds,
                "median": figures,
            })
        })
        .collect();
    json!({
        "job": job.name,
        "events": job.events,
        "workers": job.workers,
        "cores": cores(),
        "programs": programs,
    })
}

fn key(row: &Row) -> String {
    let name = row.name.replace(' ', "_");
    if row.unit == "s" { format!("{name}_seconds") } else { name }
}

fn rows(job: &Job, columns: &[(String, Vec<Run>)]) -> Vec<Row> {
    let row = |name: &str, unit, figure: &dyn Fn(&Run) -> Option<f64>| Row {
        name: name.to_owned(),
        unit,
        figures: columns.iter().map(|(_, runs)| median(runs.iter().filter_map(figure))).collect(),
    };
    let events = job.events as f64;
    let mut rows = vec![
        row("events a second", "", &|run| Some(events / run.seconds)),
        row("wall clock", "s", &|run| Some(run.seconds)),
        row("peak memory", "bytes", &|run| Some(run.peak_bytes as f64)),
        row("bytes a live key", "", &|run| run.bytes_a_key),
    ];
    let first = &columns[0].1[0];
    let parts: [(&str, PartsOf, f64); 2] =
        [("stage", |run| &run.stages, 0.0), ("family", |run| &run.families, FAMILY_SECONDS_MIN)];
    for (kind, of, least) in parts {
        for (part, _) in of(first).iter().filter(|(_, seconds)| *seconds >= least) {
            rows.push(row(&format!("{kind} {part}"), "s", &|run| {
                let found = of(run).iter().find(|(name, _)| name == part);
                found.map(|(_, seconds)| *seconds)
            }));
        }
    }
    rows
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = figures[(figures.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

pub(crate) fn shown(figure: f64, unit: &str) -> String {
    match unit {
        "s" => format!("{figure:.3} s"),
        "bytes" => format!("{:.1} MiB", figure / f64::from(1 << 20)),
        _ => grouped(figure),
    }
}

/// Rounded, with a comma after each three digits.
pub(crate) fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: f64, read: f64) -> Run {
        Run {
            seconds,
            peak_bytes: 3 << 20,
            decided: 1_000_000,
            digest: "d".to_owned(),
            stages: vec![("read".to_owned(), read)],
            families: vec![("device_id".to_owned(), 2.0 * read), ("idle".to_owned(), 0.0)],
            bytes_a_key: None,
        }
    }

    #[test]
    fn a_table_with_a_baseline_shows_medians_and_their_ratio() {
        let job = Job { name: "batch-job", events: 1_000_000, workers: 2, one_input: true };
        let this = vec![run(1.0, 0.25), run(3.0, 0.5), run(2.0, 0.75)];
        let columns =
            [("this build".to_owned(), this), ("baseline".to_owned(), vec![run(4.0, 1.0)])];
        let text = text(&job, &columns);
        let squeezed: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert!(squeezed[0].starts_with("batch-job: 1,000,000 events, 2 workers on "));
        assert_eq!(
            squeezed[2..],
            [
                "this build baseline ratio",
                "events a second 500,000 250,000 2.000",
                "wall clock 2.000 s 4.000 s 0.500",
                "peak memory 3.0 MiB 3.0 MiB 1.000",
                "bytes a live key - -",
                "stage read 0.500 s 1.000 s 0.500",
                "family device_id 1.000 s 2.000 s 0.500",
            ]
        );
        let json = json(&job, &columns);
        assert_eq!(json["programs"][0]["median"]["stage_read_seconds"], 0.5);
        assert_eq!(json["programs"][1]["median"]["events_a_second"], 250_000.0);
    }

    #[test]
    fn medians_of_even_and_odd_numbers() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
