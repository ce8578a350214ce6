//! What a run reads: event files, or an input log. Out of either come events with their effective
//! times, rejects, and what is known of the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;

use super::log::{Changes, InputLog, Times};
use super::order::{SortMemory, Sorter};
use super::reject::Origin;
use super::{BLOCK_BYTES, Block, FileRead, Input, Progress, Rejects, empty, read_blocks, schema};
use crate::diagnostic::{Failure, Message};
use crate::event::{Schema, Type};
use crate::parquet_file::{self, Batches};

/// The column that holds where an event stands in the order, in ms.
pub(crate) const EFFECTIVE_TIME: &str = "effective_time";

/// What is to be read, opened.
#[derive(Debug)]
pub enum Intake {
    /// Files: one partition that is put in order first, so that nothing in it is late.
    Files(Vec<Input>),
    /// A log: what came to each partition, in the order in which it came.
    Log(Box<InputLog>),
    /// The days of a stream: events in total order, beside each where it stands.
    Days(Days),
}

/// The events of a stream as its days hold them.
#[derive(Clone, Debug, Default)]
pub struct Days {
    /// Files of them, in order.
    pub files: Vec<PathBuf>,
    /// Columns of one's own, with their types.
    pub extras: Vec<(String, Type)>,
}

/// What was read.
#[derive(Debug)]
pub struct Taken {
    /// The events, not yet in order.
    pub events: Sorter,
    /// The refused records.
    pub rejects: Rejects,
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
            Intake::Days(days) => Ok(Schema::with_extras(days.extras.iter().cloned())),
        }
    }

    /// The changes of rules on the way; files tell of none.
    pub fn changes(&self) -> Changes {
        match self {
            Intake::Files(_) | Intake::Days(_) => Changes::default(),
            Intake::Log(log) => log.changes(),
        }
    }

    /// What the sources of events and rejects are.
    fn origins(&self) -> Vec<Origin> {
        let name = |path: &PathBuf| Origin::File(path.display().to_string());
        match self {
            Intake::Files(inputs) => inputs.iter().map(|input| name(&input.path)).collect(),
            Intake::Log(log) => (0..log.partitions()).map(Origin::Partition).collect(),
            Intake::Days(days) => days.files.iter().map(name).collect(),
        }
    }

    /// Reads everything; events that do not fit in `memory` go to disk, and more than `rejects_max`
    /// refused records end it. `policy` holds where a log does not say what held for it.
    pub fn take(
        &self,
        schema: &Arc<Schema>,
        policy: Times,
        memory: SortMemory,
        rejects_max: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Taken, Failure> {
        let mut rejects = Rejects::new(self.origins(), &memory.folder, rejects_max);
        let mut events = Sorter::new(schema.clone(), Some(memory));
        match self {
            Intake::Files(inputs) => {
                let each = &mut |block: Block| {
                    make_room(&block, &rejects, &events, progress)?;
                    rejects.extend(block.rejects)?;
                    block.chunks.into_iter().try_for_each(|chunk| events.push(chunk, None))
                };
                let files = read_blocks(inputs, schema, BLOCK_BYTES, progress, each)?;
                if let Some(at) = files.iter().position(FileRead::is_empty) {
                    return Err(empty(&inputs[at].path));
                }
                let paths = inputs.iter().map(|input| input.path.clone());
                Ok(Taken { events, rejects, files: paths.zip(files).collect(), times: None })
            }
            Intake::Log(log) => {
                let times = log.times(policy);
                let files = log.read(times, &mut events, &mut rejects, progress)?;
                Ok(Taken { events, rejects, files, times: Some(times) })
            }
            Intake::Days(days) => days.take(events, rejects, progress),
        }
    }
}

impl Days {
    fn take(
        &self,
        mut events: Sorter,
        mut rejects: Rejects,
        progress: &dyn Progress,
    ) -> Result<Taken, Failure> {
        // What is replaced was replaced when they were written.
        let schema = Arc::new(Schema::clone(events.schema()).with_pseudonyms(None));
        let inputs: Vec<Input> = self.files.iter().map(Input::plain).collect();
        let mut held = None;
        let each = &mut |block: Block| {
            make_room(&block, &rejects, &events, progress)?;
            rejects.extend(block.rejects)?;
            let source = block.source as usize;
            if held.as_ref().is_none_or(|(own, _)| *own != source) {
                held = Some((source, effective_times(&self.files[source])?));
            }
            let times = held.as_ref().map(|(_, times)| times.as_slice()).unwrap_or_default();
            block.chunks.into_iter().try_for_each(|chunk| {
                let row = |row: usize| (chunk.position(row).at as usize).wrapping_sub(1);
                let own = (0..chunk.len()).map(|at| times.get(row(at)).copied());
                let own = own.collect::<Option<Vec<i64>>>();
                let own = own.ok_or_else(|| untimed(&self.files[source], "it has too few"))?;
                events.push(chunk, Some(own))
            })
        };
        let read = read_blocks(&inputs, &schema, BLOCK_BYTES, progress, each)?;
        let files = self.files.iter().cloned().zip(read).collect();
        Ok(Taken { events, rejects, files, times: None })
    }
}

/// Tells `progress` before a block takes up more memory than there is.
fn make_room(
    block: &Block,
    rejects: &Rejects,
    events: &Sorter,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    if rejects.have_room(&block.rejects) && events.has_room(&block.chunks) {
        return Ok(());
    }
    progress.spill()
}

/// Where each event of a file stands in the order, in ms.
fn effective_times(path: &Path) -> Result<Vec<i64>, Failure> {
    let read = || -> Result<Vec<i64>, Box<dyn std::error::Error>> {
        let builder = parquet_file::open(path)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [EFFECTIVE_TIME]);
        let mut times = Vec::new();
        for batch in Batches::of(builder.with_projection(mask))? {
            let batch = batch?;
            let column = batch.column_by_name(EFFECTIVE_TIME).ok_or("it has no such column")?;
            let column = column.as_primitive_opt::<Int64Type>().ok_or("they are no integers")?;
            times.extend_from_slice(column.values());
        }
        Ok(times)
    };
    read().map_err(|error| untimed(path, &error.to_string()))
}

fn untimed(path: &Path, why: &str) -> Failure {
    let path = path.display();
    Failure::Usage(Message::new(
        format!("the effective times of {path} cannot be read: {why}"),
        format!("无法读取 {path} 的生效时间：{why}"),
    ))
}
