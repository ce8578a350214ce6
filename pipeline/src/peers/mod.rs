//! Several processes as one: a timely cluster, each process with as many workers as the others.
//!
//! [`Place::meet`] connects them, and they say to each other with what they were called; before
//! anything is decided they [`agree`](Peers::agree) on what they have read. After that the
//! connections are timely's. A process that goes without a word is noticed by the others at once
//! (`link`), one that is frozen after a while (`pulse`), and all of them end.

mod hosts;
mod link;
mod meet;
mod pulse;

use std::net::TcpStream;

pub use self::hosts::{Hosts, Place};
pub(crate) use self::link::{Watch, part};
use crate::diagnostic::Message;

/// The processes of a cluster that have met.
#[derive(Debug)]
pub struct Peers {
    place: Place,
    workers: usize,
    /// To each other process, in their order; none to this one.
    sockets: Vec<Option<TcpStream>>,
    /// The same once more, by which they hear whether the others run.
    pulses: Vec<Option<TcpStream>>,
}

/// Something that must be the same in all processes.
#[derive(Clone, Debug)]
pub struct Term {
    /// What it is.
    pub what: Message,
    /// A hash of it.
    pub hash: blake3::Hash,
}

impl Peers {
    /// The number of this process.
    pub fn process(&self) -> usize {
        self.place.process
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.sockets.len()
    }

    /// Workers of each process.
    pub fn workers(&self) -> usize {
        self.workers
    }
}
