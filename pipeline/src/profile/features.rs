//! How the features of an account moved over its transactions.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde::Serialize;

use crate::diagnostic::Failure;
use crate::finished::FinishedRun;

/// Points of a sparkline: the transactions in order, in so many parts of which the largest stands.
const POINTS: usize = 24;

/// A feature that moved.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// Its name.
    pub name: String,
    /// On how many transactions it has a value.
    pub values: usize,
    /// The first value.
    pub first: f64,
    /// The last value.
    pub last: f64,
    /// The largest value.
    pub largest: f64,
    /// How often it was another than on the transaction before.
    pub changes: usize,
    /// The largest value of each part of its time, in order; none where there is no value.
    pub points: Vec<Option<f64>>,
}

/// Those of the `wanted` features with numbers that moved over the transactions at `rows`, which
/// rise; those that changed most often first.
pub(super) fn trends(
    run: &FinishedRun,
    rows: &[usize],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Trend>, Failure> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = Vec::new();
    let mut values: Vec<Vec<Option<f64>>> = Vec::new();
    let mut next = 0;
    run.features(&|name| name != "event_id" && wanted(name), &mut |first, batch| {
        if names.is_empty() {
            names = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            values = vec![Vec::new(); names.len()];
        }
        let from = next;
        while next < rows.len() && rows[next] < first + batch.num_rows() {
            next += 1;
        }
        let own = &rows[from..next];
        if !own.is_empty() {
            read(batch, first, own, &mut values);
        }
    })?;
    let mut trends: Vec<Trend> =
        names.into_iter().zip(&values).filter_map(|(name, values)| trend(name, values)).collect();
    trends.sort_by(|a, b| b.changes.cmp(&a.changes).then_with(|| a.name.cmp(&b.name)));
    Ok(trends)
}

/// Appends the values of the rows; texts are not followed.
fn read(batch: &RecordBatch, first: usize, rows: &[usize], values: &mut [Vec<Option<f64>>]) {
    for (column, values) in batch.columns().iter().zip(values) {
        let number = match column.data_type() {
            DataType::Utf8 => continue,
            _ => cast(column, &DataType::Float64),
        };
        let Ok(numbers) = number else { continue };
        let numbers = numbers.as_primitive::<Float64Type>();
        for row in rows {
            let at = row - first;
            values.push(numbers.is_valid(at).then(|| numbers.value(at)));
        }
    }
}

fn trend(name: String, values: &[Option<f64>]) -> Option<Trend> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let changes = known.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let (first, last) = (*known.first()?, *known.last()?);
    let largest = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let part = values.len().div_ceil(POINTS).max(1);
    let most = |part: &[Option<f64>]| part.iter().flatten().copied().reduce(f64::max);
    let points = values.chunks(part).map(most).collect();
    (changes > 0).then_some(Trend {
        name,
        values: known.len(),
        first,
        last,
        largest,
        changes,
        points,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_first_last_largest_and_what_is_between() {
        let values = [None, Some(1.0), Some(1.0), Some(5.0), None, Some(2.0)];
        let found = trend("f".to_owned(), &values).expect("it moved");
        assert_eq!((found.first, found.last, found.largest), (1.0, 2.0, 5.0));
        assert_eq!((found.values, found.changes), (4, 2));
        assert_eq!(found.points, values, "few values are all points");
        assert!(trend("f".to_owned(), &[Some(1.0), None, Some(1.0)]).is_none(), "it stayed");
        let many: Vec<Option<f64>> = (0..100).map(|at| Some(f64::from(at))).collect();
        let found = trend("f".to_owned(), &many).expect("it moved");
        assert_eq!(found.points.len(), 20, "of five each");
        assert_eq!(found.points[0], Some(4.0), "the largest of its part");
    }
}
