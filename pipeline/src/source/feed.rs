//! The inputs as a sequence of steps: every file is opened and its header checked before anything
//! is read, then block after block is handed out to be decoded.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use memchr::memchr_iter;

use super::file::{Compression, EXTENSIONS, Format, Seal, Text, format_of, seal};
use super::json::{Keys, Seen};
use super::log::frames::{self, Offsets};
use super::mapping::{Bound, ColumnKind};
use super::parquet::ParquetFile;
use super::reject::Reject;
use super::sink::{Block, Sink, Target};
use super::split::{Framing, Piece, Splitter, Strays};
use super::{Input, columns, csv, empty, failure, finding, json, parquet};
use crate::diagnostic::{Diagnostic, Failure, Message, Severity, Sources};
use crate::event::{FIELDS, Refusal, Schema};

/// How much of a text file is looked at for its header.
const HEADER_BYTES: usize = 1 << 16;

/// An input whose header has been read and understood.
pub(super) struct Source {
    index: u32,
    input: Input,
    compression: Compression,
    shape: Shape,
    target: Target,
}

enum Shape {
    Csv {
        names: csv::Names,
    },
    JsonLines {
        keys: Keys,
    },
    /// A partition of an input log.
    Frames {
        keys: Keys,
        max_ahead: i64,
    },
    Parquet(ParquetFile),
}

impl Shape {
    /// The names of its columns, where it has columns.
    fn names(&self) -> &[String] {
        match self {
            Shape::Csv { names } => names,
            Shape::Parquet(file) => file.names(),
            Shape::JsonLines { .. } | Shape::Frames { .. } => &[],
        }
    }
}

/// Something to be decoded, on any thread.
pub(super) enum Step {
    /// Whole records of a text file.
    Text { source: Arc<Source>, bytes: Vec<u8>, line: u64, strays: Strays, disk_bytes: u64 },
    /// A record that is refused as it stands.
    Refused { reject: Reject, disk_bytes: u64 },
    /// Rows of a Parquet file.
    Rows { source: Arc<Source>, rows: parquet::Rows },
    /// The end of an input; the file is sealed then, if that has not been done on the way.
    End { source: Arc<Source>, seal: Option<Seal> },
}

/// What a step came to.
pub(super) enum Decoded {
    Block {
        block: Block,
        seen: Option<Seen>,
        offsets: Option<Offsets>,
        bytes: u64,
        buffer: Vec<u8>,
    },
    End {
        source: u32,
        seal: Seal,
    },
}

impl Step {
    pub(super) fn decode(self, schema: &Arc<Schema>) -> Result<Decoded, Failure> {
        match self {
            Step::Text { source, bytes, line, strays, disk_bytes } => {
                let lines = memchr_iter(b'\n', &bytes).count();
                let mut sink = Sink::new(source.index, schema, &source.target, lines);
                let (seen, offsets) = match &source.shape {
                    Shape::Csv { names } => {
                        csv::decode(&bytes, line, &strays, names.len(), &mut sink);
                        (None, None)
                    }
                    Shape::JsonLines { keys } => {
                        (Some(json::decode(&bytes, line, keys, &mut sink)), None)
                    }
                    Shape::Frames { keys, max_ahead } => {
                        let partition = (source.input.path.as_path(), *max_ahead);
                        let (seen, offsets) =
                            frames::decode(&bytes, line, partition, keys, &mut sink)?;
                        (Some(seen), offsets)
                    }
                    Shape::Parquet(_) => unreachable!("a Parquet file has no text"),
                };
                let (block, bytes, buffer) = (sink.finish(), disk_bytes, bytes);
                Ok(Decoded::Block { block, seen, offsets, bytes, buffer })
            }
            Step::Refused { mut reject, disk_bytes } => {
                if schema.pseudonyms().is_some() {
                    reject.raw.clear();
                }
                let source = reject.source;
                let mut block = Block::of(source);
                (block.rejects, block.records) = (vec![reject], 1);
                Ok(Decoded::other(block, disk_bytes))
            }
            Step::Rows { source, rows } => {
                let Shape::Parquet(file) = &source.shape else {
                    unreachable!("only a Parquet file has rows");
                };
                let mut sink = Sink::new(source.index, schema, &source.target, rows.count);
                let path = &source.input.path;
                file.decode(path, &rows, &mut sink).map_err(|error| unreadable(path, &error))?;
                Ok(Decoded::other(sink.finish(), rows.disk_bytes))
            }
            Step::End { source, seal: known } => {
                let path = &source.input.path;
                let seal = match known {
                    Some(seal) => seal,
                    None => seal(path).map_err(|error| unreadable(path, &error))?,
                };
                Ok(Decoded::End { source: source.index, seal })
            }
        }
    }
}

impl Decoded {
    /// What is not text.
    fn other(block: Block, bytes: u64) -> Decoded {
        Decoded::Block { block, seen: None, offsets: None, bytes, buffer: Vec::new() }
    }
}

/// Hands out the steps of all inputs in order.
pub(super) struct Feed<'a> {
    sources: Vec<Arc<Source>>,
    /// By input: what its keys were, if it is JSON lines.
    seen: Vec<Seen>,
    /// By input: what its records lack.
    lacks: Vec<Lacks>,
    /// By input: how many rows have no label for a null in its condition.
    unlabelled: Vec<u64>,
    /// By input: the last offset, if it is a partition of an input log.
    offsets: Vec<Option<u64>>,
    /// Whether the inputs are partitions of an input log, and how far its records may be ahead.
    max_ahead: Option<i64>,
    warnings: Vec<Diagnostic>,
    bytes_total: u64,
    block_bytes: usize,
    next: usize,
    open: Option<Open>,
    schema: &'a Schema,
}

enum Open {
    Text { splitter: Box<Splitter<Text>>, disk_bytes: u64, header_due: bool },
    Parquet { steps: Box<dyn Iterator<Item = parquet::Rows> + Send> },
}

/// What the records of an input lack.
#[derive(Default)]
struct Lacks {
    /// How many were refused for want of a field, by field.
    fields: BTreeMap<String, u64>,
    /// Whether there was any other record.
    others: bool,
}

impl Lacks {
    fn see(&mut self, block: &Block) {
        self.others |= block.chunks.iter().any(|chunk| !chunk.is_empty());
        for reject in &block.rejects {
            match reject.missing_field() {
                None => self.others = true,
                Some(field) => match self.fields.get_mut(field) {
                    Some(records) => *records += 1,
                    None => _ = self.fields.insert(field.to_owned(), 1),
                },
            }
        }
    }

    /// Whether each record lacks `field`.
    fn in_all(&self, field: &str) -> bool {
        !self.others && self.fields.keys().eq([field])
    }
}

/// Whether a source could give its records a value of `field`, as far as its columns say.
fn gives(source: &Source, seen: &Seen, field: &str) -> bool {
    match (&source.input.mapping, &source.shape) {
        (Some(mapping), _) => mapping.gives(field),
        (None, Shape::JsonLines { keys }) => seen.has(keys, field),
        (None, shape) => shape.names().iter().any(|name| name == field),
    }
}

impl<'a> Feed<'a> {
    /// Opens every input; a failure holds what is wrong with any of them.
    pub(super) fn new(
        inputs: &[Input],
        schema: &'a Schema,
        block_bytes: usize,
    ) -> Result<Self, Failure> {
        Feed::open(inputs, schema, block_bytes, None)
    }

    /// The same with the partitions of an input log.
    pub(super) fn of_log(
        partitions: &[Input],
        schema: &'a Schema,
        block_bytes: usize,
        max_ahead: i64,
    ) -> Result<Self, Failure> {
        Feed::open(partitions, schema, block_bytes, Some(max_ahead))
    }

    fn open(
        inputs: &[Input],
        schema: &'a Schema,
        block_bytes: usize,
        max_ahead: Option<i64>,
    ) -> Result<Self, Failure> {
        let mut feed = Feed {
            sources: Vec::new(),
            seen: inputs.iter().map(|_| Seen::default()).collect(),
            lacks: inputs.iter().map(|_| Lacks::default()).collect(),
            unlabelled: vec![0; inputs.len()],
            offsets: vec![None; inputs.len()],
            max_ahead,
            warnings: Vec::new(),
            bytes_total: 0,
            block_bytes,
            next: 0,
            open: None,
            schema,
        };
        let mut errors = Vec::new();
        let mut texts = Sources::default();
        for (index, input) in inputs.iter().enumerate() {
            match feed.prepare(index as u32, input) {
                Ok(source) => feed.sources.push(Arc::new(source)),
                Err(found) => {
                    if let Some(mapping) = &input.mapping {
                        texts.add(mapping.path(), mapping.text());
                    }
                    errors.extend(found);
                }
            }
        }
        if errors.is_empty() { Ok(feed) } else { Err(Failure::Input(errors, texts)) }
    }

    /// The size of all inputs on disk.
    pub(super) fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// What looks like a mistake but is none.
    pub(super) fn warnings(self) -> Vec<Diagnostic> {
        self.warnings
    }

    /// The next steps, at most `count`; none at the end of the last input.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<Step>, Failure> {
        let mut steps = Vec::with_capacity(count);
        while steps.len() < count {
            match self.step()? {
                Some(step) => steps.push(step),
                None => break,
            }
        }
        Ok(steps)
    }

    /// Takes back the buffer of a block.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        if let Some(Open::Text { splitter, .. }) = &mut self.open
            && buffer.capacity() > 0
        {
            splitter.recycle(buffer);
        }
    }

    /// Notes the keys of a block, and what its records lack.
    pub(super) fn saw(&mut self, block: &Block, seen: Option<Seen>) {
        let source = block.source as usize;
        if let Some(seen) = seen {
            self.seen[source].merge(seen);
        }
        self.lacks[source].see(block);
        self.unlabelled[source] += block.unlabelled;
    }

    /// Checks that a block's offsets follow those before.
    pub(super) fn follow(&mut self, source: u32, offsets: Option<Offsets>) -> Result<(), Failure> {
        let Some(offsets) = offsets else { return Ok(()) };
        let path = &self.sources[source as usize].input.path;
        let last = &mut self.offsets[source as usize];
        *last = Some(offsets.after(path, *last)?);
        Ok(())
    }

    /// Checks what can only be known at the end of an input.
    pub(super) fn check_end(&mut self, source: u32, records: u64) -> Result<(), Failure> {
        let at = source as usize;
        let source = self.sources[at].clone();
        let path = &source.input.path;
        let has_extras = self.schema.fields().len() > FIELDS.len();
        let nested = self.seen[at].unknown.contains("extra");
        if nested && has_extras && source.input.mapping.is_none() {
            self.warnings.push(columns::nested_extra(path));
        }
        match source.shape {
            // A partition may well be empty, and a live run took its keys as they came.
            Shape::Frames { .. } => return Ok(()),
            Shape::Csv { .. } | Shape::JsonLines { .. } if records == 0 => return Err(empty(path)),
            _ => {}
        }
        if self.unlabelled[at] > 0 {
            let rows = self.unlabelled[at];
            let message = Message::new(
                format!("`when` of [label] meets a null in {rows} of the rows: they have no label"),
                format!("[label] 的 `when` 在 {rows} 行中遇到空值，这些行没有标签"),
            );
            self.warnings.push(finding(Severity::Warning, "no-label", path, message, None));
        }
        for (field, records) in &self.lacks[at].fields {
            if gives(&source, &self.seen[at], field) {
                continue;
            }
            let names = match &source.shape {
                Shape::JsonLines { keys } => self.seen[at].names(keys),
                shape => shape.names().to_vec(),
            };
            if source.input.mapping.is_none() && self.lacks[at].in_all(field) {
                let unknown = names.iter().map(String::as_str);
                let unknown: Vec<&str> =
                    unknown.filter(|name| self.schema.find(name).is_none()).collect();
                let missing = columns::missing_column(path, field, &unknown, &names);
                return Err(Failure::Input(vec![missing], Sources::default()));
            }
            let message = Message::new(
                format!("no record has `{field}`: {records} that need it are refused"),
                format!("所有记录都没有 `{field}`，{records} 条需要它的记录被拒绝"),
            );
            self.warnings.push(finding(Severity::Warning, "missing-field", path, message, None));
        }
        let Shape::JsonLines { keys } = &source.shape else { return Ok(()) };
        let seen = &self.seen[at];
        match &source.input.mapping {
            None => {
                let unknown = seen.unknown.iter().map(String::as_str);
                let present = |name: &str| seen.has(keys, name);
                self.warnings.extend(columns::slips(path, unknown, &present));
            }
            Some(mapping) => {
                // Where nothing was seen at all, nothing was readable: that is in the rejects.
                let never = (0..keys.names().len()).filter(|&column| !seen.columns[column]);
                if seen.columns.contains(&true) {
                    let names = seen.names(keys);
                    let missing: Vec<Diagnostic> =
                        never.map(|column| mapping.no_column(column, path, &names)).collect();
                    if !missing.is_empty() {
                        let mut texts = Sources::default();
                        texts.add(mapping.path(), mapping.text());
                        return Err(Failure::Input(missing, texts));
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Step>, Failure> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let source = self.sources[self.next - 1].clone();
            let Some(open) = &mut self.open else { continue };
            match open {
                Open::Parquet { steps } => match steps.next() {
                    Some(rows) => return Ok(Some(Step::Rows { source, rows })),
                    None => {
                        self.open = None;
                        return Ok(Some(Step::End { source, seal: None }));
                    }
                },
                Open::Text { splitter, disk_bytes, header_due } => {
                    let path = &source.input.path;
                    let piece = splitter.next().map_err(|error| unreadable(path, &error))?;
                    let read = splitter.reader().bytes() - *disk_bytes;
                    *disk_bytes += read;
                    let Some(piece) = piece else { break };
                    if let Some(step) = text_step(source, piece, read, header_due)? {
                        return Ok(Some(step));
                    }
                }
            }
        }
        let source = self.sources[self.next - 1].clone();
        let Some(Open::Text { splitter, .. }) = self.open.take() else { return Ok(None) };
        let path = &source.input.path;
        let seal = splitter.into_reader().seal().map_err(|error| unreadable(path, &error))?;
        Ok(Some(Step::End { source, seal: Some(seal) }))
    }

    fn open_next(&mut self) -> Result<bool, Failure> {
        let Some(source) = self.sources.get(self.next) else { return Ok(false) };
        self.next += 1;
        let framing = match &source.shape {
            Shape::Parquet(file) => {
                self.open = Some(Open::Parquet { steps: Box::new(file.steps()) });
                return Ok(true);
            }
            Shape::Csv { .. } => Framing::Csv,
            Shape::JsonLines { .. } => Framing::Lines,
            Shape::Frames { .. } => Framing::Frames,
        };
        let path = &source.input.path;
        let splitter = splitter(path, source.compression, framing, self.block_bytes)
            .map_err(|error| unreadable(path, &error))?;
        self.open = Some(Open::Text {
            splitter: Box::new(splitter),
            disk_bytes: 0,
            header_due: framing == Framing::Csv,
        });
        Ok(true)
    }

    /// Opens an input for a look at its header.
    fn prepare(&mut self, index: u32, input: &Input) -> Result<Source, Vec<Diagnostic>> {
        let path = &input.path;
        let Some((format, compression)) = format_of(path) else {
            return Err(vec![unknown_extension(path)]);
        };
        let io = |error: io::Error| vec![unreadable_finding(path, &error)];
        let metadata = std::fs::metadata(path).map_err(io)?;
        if metadata.is_dir() {
            return Err(io(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        if !metadata.is_file() {
            // Its header is read first, and then all of it from the start.
            let message = "a pipe or device cannot be read twice: write it to a file";
            return Err(io(io::Error::other(message)));
        }
        self.bytes_total += metadata.len();
        let (shape, target) = match format {
            Format::Csv => {
                let names = csv_header(path, compression)?;
                let target = self.target(input, &names, &|_| ColumnKind::Plain)?;
                (Shape::Csv { names }, target)
            }
            Format::JsonLines => {
                // A look at the first bytes, so that what is not there or damaged is known now.
                let mut text = Text::open(path, compression).map_err(io)?;
                io::Read::read(&mut text, &mut [0; 1]).map_err(io)?;
                let keys: Vec<String> = match &input.mapping {
                    Some(mapping) => mapping.columns().map(str::to_owned).collect(),
                    None => self.schema.fields().iter().map(|f| f.name.clone()).collect(),
                };
                let target = self.target(input, &keys, &|_| ColumnKind::Plain)?;
                let keys = Keys::new(keys);
                match self.max_ahead {
                    Some(max_ahead) => (Shape::Frames { keys, max_ahead }, target),
                    None => (Shape::JsonLines { keys }, target),
                }
            }
            Format::Parquet => {
                let mut file = ParquetFile::open(path).map_err(io)?;
                let kinds = file.kinds();
                let target = self.target(input, file.names(), &|column| kinds[column])?;
                file.read_for(&target);
                (Shape::Parquet(file), target)
            }
        };
        Ok(Source { index, input: input.clone(), compression, shape, target })
    }

    fn target(
        &mut self,
        input: &Input,
        names: &[String],
        kind: &dyn Fn(usize) -> ColumnKind,
    ) -> Result<Target, Vec<Diagnostic>> {
        let path = &input.path;
        let mut errors = columns::check_names(path, names);
        let Some(mapping) = &input.mapping else {
            let (fields, found) = columns::fields(path, names, self.schema);
            let (wrong, warnings): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|found| found.severity == Severity::Error);
            errors.extend(wrong);
            self.warnings.extend(warnings);
            return if errors.is_empty() { Ok(Target::Fields(fields)) } else { Err(errors) };
        };
        let place = |name: &str| {
            let column = names.iter().position(|found| found == name)?;
            Some((column, kind(column)))
        };
        match Bound::new(mapping.clone(), self.schema, place) {
            Ok(bound) if errors.is_empty() => Ok(Target::Mapped(bound)),
            Ok(_) => Err(errors),
            Err(missing) => {
                let missing = missing.into_iter();
                errors.extend(missing.map(|column| mapping.no_column(column, path, names)));
                Err(errors)
            }
        }
    }
}

/// The step that a piece of text makes; the header makes none.
fn text_step(
    source: Arc<Source>,
    piece: Piece,
    disk_bytes: u64,
    header_due: &mut bool,
) -> Result<Option<Step>, Failure> {
    let (mut bytes, mut line, mut strays) = match piece {
        Piece::Refused { line, .. } if matches!(source.shape, Shape::Frames { .. }) => {
            return Err(frames::too_long(&source.input.path, line));
        }
        Piece::Refused { line, refusal, raw } => {
            let reject = Reject::new(source.index, line, refusal, &raw);
            return Ok(Some(Step::Refused { reject, disk_bytes }));
        }
        Piece::Block { bytes, line, strays } => (bytes, line, strays),
    };
    if *header_due {
        let path = &source.input.path;
        let header = csv::header(&bytes, &strays).map_err(|refusal| {
            Failure::Input(vec![bad_header(path, &refusal)], Sources::default())
        })?;
        let Some((names, end)) = header else { return Ok(None) };
        let Shape::Csv { names: before } = &source.shape else {
            unreachable!("only CSV has a header");
        };
        if names != *before {
            let en = "the file changed while it was read".to_owned();
            return Err(failure("changed-file", path, en, "文件在读取时发生了变化".to_owned()));
        }
        *header_due = false;
        line += memchr::memchr_iter(b'\n', &bytes[..end]).count() as u64;
        bytes.drain(..end);
        strays = strays.after(end);
    }
    Ok(Some(Step::Text { source, bytes, line, strays, disk_bytes }))
}

fn splitter(
    path: &Path,
    compression: Compression,
    framing: Framing,
    block_bytes: usize,
) -> io::Result<Splitter<Text>> {
    let path = path.to_owned();
    Splitter::new(move || Text::open(&path, compression), framing, block_bytes)
}

fn csv_header(path: &Path, compression: Compression) -> Result<csv::Names, Vec<Diagnostic>> {
    let io = |error: io::Error| vec![unreadable_finding(path, &error)];
    let mut splitter = splitter(path, compression, Framing::Csv, HEADER_BYTES).map_err(io)?;
    while let Some(piece) = splitter.next().map_err(io)? {
        let header = match piece {
            Piece::Block { bytes, strays, .. } => csv::header(&bytes, &strays),
            Piece::Refused { refusal, .. } => Err(refusal),
        };
        match header {
            Ok(Some((names, _))) => return Ok(names),
            Ok(None) => {}
            Err(refusal) => return Err(vec![bad_header(path, &refusal)]),
        }
    }
    Err(vec![headless(path)])
}

fn bad_header(path: &Path, refusal: &Refusal) -> Diagnostic {
    let detail = &refusal.detail;
    let message = Message::new(
        format!("the header cannot be read: {detail}"),
        format!("无法读取表头:{detail}"),
    );
    finding(Severity::Error, "bad-header", path, message, None)
}

fn headless(path: &Path) -> Diagnostic {
    let message =
        Message::new("the file is empty: no header and no records", "文件为空:没有表头,也没有记录");
    finding(Severity::Error, "empty-file", path, message, None)
}

/// That the name of a file tells no format.
pub(crate) fn unknown_extension(path: &Path) -> Diagnostic {
    let message =
        Message::new("the name does not tell a format that can be read", "无法从文件名判断格式");
    let hint =
        Message::new(format!("names end in {EXTENSIONS}"), format!("文件名应以 {EXTENSIONS} 结尾"));
    finding(Severity::Error, "unknown-extension", path, message, Some(hint))
}

fn unreadable_finding(path: &Path, error: &io::Error) -> Diagnostic {
    let message =
        Message::new(format!("cannot read the file: {error}"), format!("无法读取文件:{error}"));
    finding(Severity::Error, "unreadable-file", path, message, None)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Input(vec![unreadable_finding(path, error)], Sources::default())
}
