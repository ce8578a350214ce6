//! `entities.parquet`: accounts and groups with a verdict at the end of the run.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::parquet::Writer;
use super::written::Written;
use crate::verdicts::Finding;

/// Writes the findings, which are in order of kind and id.
pub fn write(path: &Path, findings: &[Finding]) -> Result<Written, String> {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("subject_kind", DataType::Utf8, false),
        Field::new("subject_id", DataType::Utf8, false),
        Field::new("verdict", DataType::Utf8, false),
        Field::new("since", time(), false),
        Field::new("until", time(), true),
        Field::new("reviews", DataType::Int64, false),
        Field::new("holds", DataType::Int64, false),
        Field::new("blocks", DataType::Int64, false),
    ]));
    let words = |of: &dyn Fn(&Finding) -> String| -> ArrayRef {
        Arc::new(findings.iter().map(|finding| Some(of(finding))).collect::<StringArray>())
    };
    let times = |of: &dyn Fn(&Finding) -> Option<i64>| -> ArrayRef {
        let times: TimestampMillisecondArray = findings.iter().map(of).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let counts = |at: usize| -> ArrayRef {
        let counts = findings.iter().map(|finding| Some(finding.decisions[at] as i64));
        Arc::new(counts.collect::<Int64Array>())
    };
    let columns = vec![
        words(&|finding| finding.subject.name().to_owned()),
        words(&|finding| finding.id.clone()),
        words(&|finding| finding.standing.name().to_owned()),
        times(&|finding| Some(finding.since)),
        times(&|finding| finding.until),
        counts(0),
        counts(1),
        counts(2),
    ];
    let failed = |error| format!("cannot write {}: {error}", path.display());
    let mut writer = Writer::create(path, schema).map_err(failed)?;
    writer.write(columns).and_then(|()| writer.close()).map_err(failed)
}
