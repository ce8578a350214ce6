//! What reading promises, format by format; `Files` is a directory of small inputs.

mod failures;
mod formats;
mod mapped;
mod random;
mod rejects;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::event::{FieldId, Value};

/// A directory of inputs that is gone after the test.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Files { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, compressed as its name says.
    fn write(&self, name: &str, bytes: &[u8]) -> Input {
        let bytes = match format_of(std::path::Path::new(name)) {
            Some((_, Compression::Gzip)) => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                gzip.write_all(bytes).unwrap();
                gzip.finish().unwrap()
            }
            Some((_, Compression::Zstd)) => zstd::encode_all(bytes, 1).unwrap(),
            _ => bytes.to_vec(),
        };
        fs::write(self.path(name), bytes).unwrap();
        Input::plain(self.path(name))
    }

    fn mapped(&self, name: &str, bytes: &[u8], mapping: &str) -> Input {
        let mapping = Mapping::parse(Path::new("map.toml"), mapping.to_owned()).unwrap();
        Input { mapping: Some(Arc::new(mapping)), ..self.write(name, bytes) }
    }
}

/// Reads one file of that name and content, in blocks of that size.
fn read(name: &str, bytes: &[u8], block_bytes: usize) -> Result<Read, Failure> {
    let files = Files::new();
    read_input(files.write(name, bytes), block_bytes)
}

fn read_input(input: Input, block_bytes: usize) -> Result<Read, Failure> {
    let inputs = [input];
    let schema = Arc::new(schema(&inputs)?);
    let mut read = Read::default();
    read.files = read_blocks(&inputs, &schema, block_bytes, &(), &mut |block| {
        let records = block.chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        assert_eq!(block.records, records + block.rejects.len() as u64, "nothing is lost");
        read.chunks.extend(block.chunks);
        read.rejects.extend(block.rejects);
        Ok(())
    })?;
    Ok(read)
}

/// Every event as a line: where it stood, then its fields that are not null.
fn events(read: &Read) -> Vec<String> {
    let mut lines = Vec::new();
    for chunk in &read.chunks {
        assert!(chunk.len() <= CHUNK_ROWS_MAX);
        for row in 0..chunk.len() {
            let mut line = format!("{}:", chunk.position(row).at);
            for (at, field) in chunk.schema().fields().iter().enumerate() {
                let name = &field.name;
                match chunk.value(FieldId(at as u16), row) {
                    Value::Null => {}
                    Value::Int(value) => line += &format!(" {name}={value}"),
                    Value::Double(value) => line += &format!(" {name}={value:?}"),
                    Value::Bool(value) => line += &format!(" {name}={value}"),
                    Value::Str(value) => line += &format!(" {name}={value:?}"),
                }
            }
            lines.push(line);
        }
    }
    lines
}

/// Every reject as `line code`.
fn refused(read: &Read) -> Vec<String> {
    read.rejects.iter().map(|reject| format!("{} {}", reject.at, reject.code.name())).collect()
}

/// The findings of a failure as `code: message (hint)`.
fn findings(result: Result<Read, Failure>) -> Vec<String> {
    match result {
        Err(Failure::Input(findings, _)) => findings.iter().map(shown).collect(),
        Err(other) => panic!("an unexpected failure: {other:?}"),
        Ok(_) => panic!("it was read"),
    }
}

fn shown(found: &Diagnostic) -> String {
    let hint = found.hint.as_ref().map_or(String::new(), |hint| format!(" ({})", hint.en));
    assert!(!found.message.zh.is_empty());
    format!("{}: {}{hint}", found.code, found.message.en)
}
