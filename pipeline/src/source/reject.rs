//! A record that did not become an event: where it stood, why it was refused, and its bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::event::{IS_REQUIRED, Refusal, RejectCode};

/// How much of a refused record is kept: enough to find and mend it, little enough that a file of
/// nothing but overlong lines does not fill the disk a second time.
pub const RAW_BYTES_MAX: usize = 4096;

/// What a source of records is to those who read of its rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, by its name.
    File(String),
    /// A partition of an input log, by its number.
    Partition(u32),
}

/// One refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Index into the run's inputs.
    pub source: u32,
    /// The line on which the record starts, or its row in a Parquet file, both counted from 1; its
    /// offset in a partition.
    pub at: u64,
    /// Why it was refused.
    pub code: RejectCode,
    /// One sentence: the field, and what was found there.
    pub detail: String,
    /// The record as it stood in the file (a Parquet row as a JSON object), its first
    /// [`RAW_BYTES_MAX`] bytes.
    pub raw: Vec<u8>,
}

impl Reject {
    /// A reject of the record at `source`, `at`; `raw` is cut to [`RAW_BYTES_MAX`].
    pub fn new(source: u32, at: u64, refusal: Refusal, raw: &[u8]) -> Self {
        let raw = raw[..raw.len().min(RAW_BYTES_MAX)].to_vec();
        Reject { source, at, code: refusal.code, detail: refusal.detail, raw }
    }

    /// The field that it lacks, if it was refused for that.
    pub(super) fn missing_field(&self) -> Option<&str> {
        let is_missing = self.code == RejectCode::MissingField;
        self.detail.strip_suffix(IS_REQUIRED).filter(|_| is_missing)
    }

    /// Where the record stood, for a person.
    pub fn place(&self, origin: &Origin) -> String {
        match origin {
            Origin::File(name) => format!("{name}:{}", self.at),
            Origin::Partition(number) => format!("partition {number}, offset {}", self.at),
        }
    }

    /// The line of `rejects.jsonl`, without the newline. The bytes are in base64 because a
    /// refused record need not be text at all.
    pub fn to_json_line(&self, origin: &Origin) -> String {
        #[derive(serde::Serialize)]
        #[serde(untagged)]
        enum Place<'a> {
            File { source: &'a str, line: u64 },
            Partition { partition: u32, offset: u64 },
        }
        #[derive(serde::Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            place: Place<'a>,
            code: &'a str,
            detail: &'a str,
            raw_base64: String,
        }
        let line = Line {
            place: match origin {
                Origin::File(source) => Place::File { source, line: self.at },
                Origin::Partition(partition) => {
                    Place::Partition { partition: *partition, offset: self.at }
                }
            },
            code: self.code.name(),
            detail: &self.detail,
            raw_base64: STANDARD.encode(&self.raw),
        };
        serde_json::to_string(&line).expect("strings and integers always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_keys_of_the_contract_in_order() {
        let refusal = Refusal::new(RejectCode::WrongType, "amount_fen is not an integer");
        let reject = Reject::new(0, 7, refusal, b"a,\xff");
        assert_eq!(
            reject.to_json_line(&Origin::File("events.csv".to_owned())),
            r#"{"source":"events.csv","line":7,"code":"wrong_type","detail":"amount_fen is not an integer","raw_base64":"YSz/"}"#
        );
        assert_eq!(
            reject.to_json_line(&Origin::Partition(3)),
            r#"{"partition":3,"offset":7,"code":"wrong_type","detail":"amount_fen is not an integer","raw_base64":"YSz/"}"#
        );
    }
}
