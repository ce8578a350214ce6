//! What a run reads: event files, or an input log. Out of either come events with their effective
//! times, rejects, and what is known of the files.

use std::path::PathBuf;
use std::sync::Arc;

use super::log::{Changes, InputLog, LogRead, Times};
use super::order::{SortMemory, Sorter};
use super::reject::{Origin, Reject};
use super::{BLOCK_BYTES, Block, FileRead, Input, Progress, read_blocks, schema};
use crate::diagnostic::Failure;
use crate::event::Schema;

/// What is to be read, opened.
#[derive(Debug)]
pub enum Intake {
    /// Files: one partition that is put in order first, so that nothing in it is late.
    Files(Vec<Input>),
    /// A log: what came to each partition, in the order in which it came.
    Log(Box<InputLog>),
}

/// What was read.
#[derive(Debug)]
pub struct Taken {
    /// The events, not yet in order.
    pub events: Sorter,
    /// The refused records.
    pub rejects: Vec<Reject>,
    /// What each source of an event or a reject is.
    pub origins: Vec<Origin>,
    /// The files that were read, and what is known of them.
    pub files: Vec<(PathBuf, FileRead)>,
    /// Where it was a log: the times by which it was read.
    pub times: Option<Times>,
}

impl Intake {
    /// The schema of the events.
    pub fn schema(&self) -> Result<Schema, Failure> {
        match self {
            Intake::Files(inputs) => schema(inputs),
            Intake::Log(log) => Ok(log.schema()),
        }
    }

    /// The changes of rules on the way; files tell of none.
    pub fn changes(&self) -> Changes {
        match self {
            Intake::Files(_) => Changes::default(),
            Intake::Log(log) => log.changes(),
        }
    }

    /// Reads everything; events that do not fit in `memory` go to disk. `policy` holds where a log
    /// does not say what held for it.
    pub fn take(
        &self,
        schema: &Arc<Schema>,
        policy: Times,
        memory: SortMemory,
        progress: &dyn Progress,
    ) -> Result<Taken, Failure> {
        let mut events = Sorter::new(schema.clone(), Some(memory));
        match self {
            Intake::Files(inputs) => {
                let mut rejects = Vec::new();
                let each = &mut |block: Block| {
                    rejects.extend(block.rejects);
                    block.chunks.into_iter().try_for_each(|chunk| events.push(chunk, None))
                };
                let summary = read_blocks(inputs, schema, BLOCK_BYTES, progress, each)?;
                let paths = inputs.iter().map(|input| input.path.clone());
                let name = |input: &Input| Origin::File(input.path.display().to_string());
                Ok(Taken {
                    events,
                    rejects,
                    origins: inputs.iter().map(name).collect(),
                    files: paths.zip(summary.files).collect(),
                    times: None,
                })
            }
            Intake::Log(log) => {
                let times = log.times(policy);
                let LogRead { rejects, files } = log.read(times, &mut events, progress)?;
                let origins = (0..log.partitions()).map(Origin::Partition).collect();
                Ok(Taken { events, rejects, origins, files, times: Some(times) })
            }
        }
    }
}
