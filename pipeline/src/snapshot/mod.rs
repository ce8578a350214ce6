//! Snapshots: all that lives over the steps of a run, as of a moment at which a step ended, so that
//! another process goes on from there as if nothing had happened, whatever its number of workers.
//!
//! Whatever an operator keeps over steps is a *keeper*, and says by `Snapshot` how it is cut
//! into parts. The wiring takes no state that is not one (`dataflow/keepers.rs`), so none can be
//! forgotten. Parts are bytes of [postcard](https://postcard.jamesmunns.com), whose structs have
//! no names: what is read back as what it is not is noise. Therefore a snapshot names the
//! [`FORMAT`] and the plan of the state with which it was written (`Session::layout`), and one with
//! others is refused.
//!
//! What can be made of the rest is not written, but made anew: tables by which things are found.
//!
//! State is *frozen* at a moment and written beside the run: `fork` has the child that does so,
//! `draft` what is on its way. `store` has a directory of what is whole, and finds it again; `parts`
//! writes and reads a part at a time. `digest` is the running digest of decisions, which goes on as
//! well.

#[cfg(feature = "kafka")]
pub(crate) mod bucket;
mod digest;
mod draft;
mod fork;
mod parts;
mod store;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[cfg(feature = "kafka")]
pub use self::bucket::{Address, Bucket, NotPut};
pub use self::digest::RunningDigest;
pub(crate) use self::draft::Put;
pub use self::draft::{Draft, Frozen, Handed};
pub use self::fork::tidy;
pub(crate) use self::fork::{Child, fork};
pub use self::parts::Saved;
pub(crate) use self::store::take_away;
pub use self::store::{Found, Store, Stored, Unusable};

/// The version of all that is kept: to be raised with every change of a structure that is in a
/// snapshot, for a file of another one cannot be read.
pub const FORMAT: u32 = 5;

/// All that a run keeps over steps, in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The end of the last step, in ms of effective time; none before any.
    pub until: Option<i64>,
    /// The parts, in no order.
    pub parts: Vec<Part>,
}

/// A part of what a keeper keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The keeper's name.
    pub keeper: String,
    /// The number of a key group, or which of the parts of the whole it is.
    pub number: u32,
    /// What is kept.
    pub bytes: Vec<u8>,
}

/// Which worker has which parts of a keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// A part a key group: each worker has those of its groups.
    Groups,
    /// Every worker has the whole.
    Whole,
    /// One worker has the whole, and the others have nothing.
    Owner,
}

/// Something that lives over steps.
pub(crate) trait Snapshot {
    /// Which worker has what.
    fn share(&self) -> Share;

    /// Writes the parts that this worker has, each with its number.
    fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>));

    /// Takes a part in; all that the worker is to have come, one after the other, before anything
    /// else happens.
    fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), Broken>;
}

/// An operator that keeps nothing.
impl Snapshot for () {
    fn share(&self) -> Share {
        Share::Groups
    }

    fn save(&self, _put: &mut dyn FnMut(usize, Vec<u8>)) {}

    fn load(&mut self, number: usize, _bytes: &[u8]) -> Result<(), Broken> {
        Err(Broken(format!("part {number} of what is not kept")))
    }
}

/// Bytes that are not what they are said to be; as they are checked before, a mistake in this
/// program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

/// Something as bytes.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("what is kept always has a length that is known")
}

/// Bytes as what they were made of.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    let broken = |error: &dyn std::fmt::Display| Broken(error.to_string());
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Broken(format!("{} bytes are left over", rest.len()))),
        Err(error) => Err(broken(&error)),
    }
}

/// A keeper that is no more than one of its fields.
macro_rules! kept_in {
    ($keeper:ty, $field:ident) => {
        impl crate::snapshot::Snapshot for $keeper {
            fn share(&self) -> crate::snapshot::Share {
                self.$field.share()
            }

            fn save(&self, put: &mut dyn FnMut(usize, Vec<u8>)) {
                self.$field.save(put);
            }

            fn load(&mut self, number: usize, bytes: &[u8]) -> Result<(), crate::snapshot::Broken> {
                self.$field.load(number, bytes)
            }
        }
    };
}

pub(crate) use kept_in;
