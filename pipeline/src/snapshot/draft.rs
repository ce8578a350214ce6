//! A snapshot on its way to disk: what is to be in it is fixed, and what writes it does so beside
//! whatever goes on.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::fork::{self, Child};
use super::parts::{self, Place, Writer};
use super::{Part, State};

/// Takes a part: its keeper, its number, and what it is.
pub(crate) type Put<'p> = dyn FnMut(&str, u32, Vec<u8>) + 'p;

/// A directory in which a snapshot is being written, see [`Store::begin`](super::Store::begin).
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) directory: PathBuf,
    pub(super) stopped: bool,
}

/// State as it was at a moment, which may still have to be written down. The threads whose state it
/// is must live until then.
#[derive(Debug)]
pub struct Frozen {
    /// The end of the last step, see [`State::until`].
    pub(crate) until: Option<i64>,
    pub(crate) handed: Vec<Handed>,
}

/// What one thread hands over: parts, or a child that writes them to a file of the draft.
#[derive(Debug)]
pub struct Handed(How);

#[derive(Debug)]
enum How {
    Parts(Vec<Part>),
    Child(u32, Child),
    /// Parts, for no child was to be had.
    Refused(Vec<Part>, io::Error),
}

impl Handed {
    /// What `save` puts, which may borrow only what this thread alone uses; written to a file of
    /// this number where there is a draft.
    pub(crate) fn over(draft: Option<(&Draft, u32)>, save: &dyn Fn(&mut Put<'_>)) -> Handed {
        let here = || {
            let mut parts = Vec::new();
            save(&mut |keeper, number, bytes| {
                parts.push(Part { keeper: keeper.to_owned(), number, bytes });
            });
            parts
        };
        let Some((draft, number)) = draft else { return Handed(How::Parts(here())) };
        match draft.fork(number, save) {
            Ok(child) => Handed(How::Child(number, child)),
            Err(error) => Handed(How::Refused(here(), error)),
        }
    }
}

impl Handed {
    /// What was handed over in memory, by a thread of another process.
    pub(crate) fn parts(parts: Vec<Part>) -> Handed {
        Handed(How::Parts(parts))
    }

    /// The parts that are in memory.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        match self.0 {
            How::Parts(parts) | How::Refused(parts, _) => parts,
            How::Child(..) => Vec::new(),
        }
    }
}

impl Draft {
    /// The same, but whoever writes it waits for SIGCONT. For tests of what happens meanwhile.
    #[must_use]
    pub fn stopped(self) -> Draft {
        Draft { stopped: true, ..self }
    }

    fn fork(&self, number: u32, save: &dyn Fn(&mut Put<'_>)) -> io::Result<Child> {
        let file = File::create(self.path(number))?;
        fork::fork(&file, self.stopped, || {
            let mut writer = Writer::new(&file, number);
            save(&mut |keeper, part, bytes| writer.put(keeper, part, &bytes));
            writer.finish_with_index()
        })
    }

    fn path(&self, file: u32) -> PathBuf {
        self.directory.join(parts::name(file))
    }

    /// Brings all to disk; where the parts are, in order of the files.
    pub(super) fn write(&self, frozen: Frozen) -> io::Result<Vec<Place>> {
        let (mut places, mut rest) = (Vec::new(), Vec::new());
        let mut next = 0;
        for handed in frozen.handed {
            match handed.0 {
                How::Parts(parts) | How::Refused(parts, _) => rest.extend(parts),
                How::Child(number, child) => {
                    next = next.max(number + 1);
                    let path = self.path(number);
                    child.wait(|| length(&path))?;
                    let file = File::options().read(true).write(true).open(&path)?;
                    places.extend(parts::take_index(&file)?);
                    file.sync_all()?;
                }
            }
        }
        if !rest.is_empty() {
            places.extend(self.write_parts(next, &rest)?);
        }
        places.sort_by_key(|place| place.file);
        Ok(places)
    }

    pub(super) fn write_parts(&self, file: u32, parts: &[Part]) -> io::Result<Vec<Place>> {
        let (number, file) = (file, File::create(self.path(file))?);
        let mut writer = Writer::new(&file, number);
        parts.iter().for_each(|part| writer.put(&part.keeper, part.number, &part.bytes));
        let places = writer.finish()?;
        file.sync_all()?;
        Ok(places)
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

impl Frozen {
    /// The processes that write it, by their numbers.
    pub fn writers(&self) -> Vec<u32> {
        let child = |handed: &Handed| match &handed.0 {
            How::Child(_, child) => Some(child.id()),
            _ => None,
        };
        self.handed.iter().filter_map(child).collect()
    }

    /// Why state had to be copied, which takes longer, instead of being written by a child.
    pub fn copied(&self) -> Option<&io::Error> {
        self.handed.iter().find_map(|handed| match &handed.0 {
            How::Refused(_, error) => Some(error),
            _ => None,
        })
    }

    /// What was handed over in memory.
    pub(crate) fn into_state(self) -> State {
        let parts = self.handed.into_iter().flat_map(Handed::into_parts);
        State { until: self.until, parts: parts.collect() }
    }
}

impl From<State> for Frozen {
    fn from(State { until, parts }: State) -> Frozen {
        Frozen { until, handed: vec![Handed(How::Parts(parts))] }
    }
}
