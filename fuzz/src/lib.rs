//! What the targets share: one file, read in blocks of two sizes, must give the same records; and
//! what must hold of the packet engine ([`packets`]).

pub mod packets;

use std::sync::Arc;

use hongxian::diagnostic::Failure;
use hongxian::source::{BLOCK_BYTES, Input, Mapping, Reject, read_blocks, schema};

/// What came of a file: the place and body of every event, and the rejects.
type Outcome = (Vec<(u64, String)>, Vec<Reject>);

/// Reads `bytes` as a file of that name, in small blocks and in one, and compares.
pub fn check(name: &str, bytes: &[u8], mapping: Option<Mapping>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("a temporary file");
    let inputs = [Input { path, mapping: mapping.map(Arc::new) }];
    let small = usize::from(bytes.first().copied().unwrap_or(1));
    match (read(&inputs, small), read(&inputs, BLOCK_BYTES)) {
        (Ok(small), Ok(whole)) => assert_eq!(small, whole),
        (Err(_), Err(_)) => {}
        (small, whole) => panic!("only one of them failed: {small:?}\n{whole:?}"),
    }
}

fn read(inputs: &[Input], block_bytes: usize) -> Result<Outcome, Failure> {
    let schema = Arc::new(schema(inputs)?);
    let mut events = Vec::new();
    let mut rejects = Vec::new();
    let summary = read_blocks(inputs, &schema, block_bytes, &(), &mut |block| {
        for chunk in &block.chunks {
            let body = |row| (chunk.position(row).at, chunk.to_json(row).to_string());
            events.extend((0..chunk.len()).map(body));
        }
        rejects.extend(block.rejects);
        Ok(())
    })?;
    let records = (events.len() + rejects.len()) as u64;
    assert_eq!(summary.files[0].records, records, "nothing is lost");
    Ok((events, rejects))
}
