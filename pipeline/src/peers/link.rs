//! The connection to another process as timely has it, and what becomes of a process that goes.
//!
//! Where a connection breaks, timely's threads panic, which ends the program with a signal
//! and no word. So they never see it: what is behind the connection notes which process was lost
//! and has the workers end, and the thread that read from it sleeps until the program ends. A
//! process that fails itself breaks its connections off, for a clean end would say that it is done.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::{
    CommsGuard, initialize_networking_from_sockets,
};
use timely::communication::allocator::zero_copy::stream::Stream;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

use super::{Peers, pulse};

/// Whoever is done waits so long for what it has sent to be taken.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// Whoever has lost a process stays so long, so that the others see that one go first.
const AFTER_LOSS: Duration = Duration::from_secs(2);

/// What is known of the other processes while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whether something here has failed; then the workers end.
    pub(crate) failed: AtomicBool,
    /// Whether all is done: nobody is missed any more.
    done: AtomicBool,
    lost: OnceLock<String>,
}

impl Watch {
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether nobody is missed any more.
    pub(super) fn is_over(&self) -> bool {
        self.done.load(Ordering::Relaxed) || self.has_failed()
    }

    /// The first process that was lost.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    pub(super) fn lose(&self, remote: &str) {
        if !self.done.load(Ordering::Relaxed) && !self.has_failed() {
            self.lost.get_or_init(|| remote.to_owned());
        }
        self.fail();
    }
}

/// What timely makes workers of, and the threads that send and receive.
pub(crate) struct Allocators {
    pub(crate) builders: Vec<AllocatorBuilder>,
    threads: CommsGuard,
}

impl Peers {
    /// Hands the connections over to timely. `watch` hears of what breaks.
    pub(crate) fn allocators(self, watch: &Arc<Watch>) -> io::Result<Allocators> {
        let Peers { place, workers, sockets, pulses } = self;
        let link = |(process, socket): (usize, Option<TcpStream>)| {
            let open = |stream: TcpStream| {
                stream.set_read_timeout(None)?;
                let remote = place.name(process);
                let (frames, ended) = (Frames::default(), Arc::default());
                Ok(Link { stream, remote, frames, ended, watch: watch.clone() })
            };
            socket.map(open).transpose()
        };
        let links = sockets.into_iter().enumerate().map(link).collect::<io::Result<Vec<_>>>()?;
        let hooks = Hooks::default();
        let inside =
            ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
        let (builders, threads) =
            initialize_networking_from_sockets(inside, links, place.process, workers, hooks)?;
        let beating = (0..).zip(pulses);
        let beating = beating.filter_map(|(at, stream)| Some((place.name(at), stream?)));
        pulse::watch(beating.collect(), watch.clone())?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        Ok(Allocators { builders, threads })
    }
}

/// Ends the connections of a run whose workers have all ended.
pub(crate) fn part(threads: CommsGuard, watch: &Watch) {
    if watch.has_failed() {
        if watch.lost().is_some() {
            std::thread::sleep(AFTER_LOSS);
        }
        // They sleep, or will, and end with the program.
        std::mem::forget(threads);
        return;
    }
    watch.done.store(true, Ordering::Relaxed);
    let (sender, ended) = channel();
    std::thread::spawn(move || {
        drop(threads);
        let _ = sender.send(());
    });
    let _ = ended.recv_timeout(LAST_WORDS);
}

impl Allocators {
    /// The workers' part, and what is left for [`part`].
    pub(crate) fn split(self) -> (Vec<AllocatorBuilder>, CommsGuard) {
        (self.builders, self.threads)
    }
}

/// A connection to another process.
struct Link {
    stream: TcpStream,
    remote: String,
    frames: Frames,
    /// Whether the other process has said that it is done; it needs nothing more then.
    ended: Arc<AtomicBool>,
    watch: Arc<Watch>,
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) if self.frames.ended || buffer.is_empty() => return Ok(0),
                Ok(read) if read > 0 => {
                    self.frames.take(&buffer[..read]);
                    self.ended.store(self.frames.ended, Ordering::Relaxed);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        self.watch.lose(&self.remote);
        loop {
            std::thread::park();
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.watch.has_failed() {
            return Ok(bytes.len());
        }
        match self.stream.write(bytes) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                if !self.ended.load(Ordering::Relaxed) {
                    self.watch.lose(&self.remote);
                }
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Link> {
        let stream = self.stream.try_clone()?;
        let (remote, watch) = (self.remote.clone(), self.watch.clone());
        let (frames, ended) = (Frames::default(), self.ended.clone());
        Ok(Link { stream, remote, frames, ended, watch })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if self.watch.lost().is_some() {
            // It is closed with the program, see `AFTER_LOSS`.
            return Ok(());
        }
        let how = if self.watch.has_failed() { Shutdown::Both } else { how };
        // Whoever is not there any more needs no end.
        let _ = self.stream.shutdown(how);
        Ok(())
    }
}

/// Follows timely's messages, a header of six numbers and as many bytes as it says, to know whether
/// the last one came: it has no bytes.
#[derive(Default)]
struct Frames {
    header: Vec<u8>,
    /// Bytes of the message in hand that are still to come.
    left: usize,
    ended: bool,
}

/// Six numbers of eight bytes, of which the fifth is the length.
const HEADER_BYTES: usize = 48;
const LENGTH_AT: usize = 32;

impl Frames {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let more = (HEADER_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..more]);
            bytes = &bytes[more..];
            if self.header.len() == HEADER_BYTES {
                let mut length = [0; 8];
                length.copy_from_slice(&self.header[LENGTH_AT..LENGTH_AT + 8]);
                self.left = u64::from_be_bytes(length) as usize;
                self.ended = self.left == 0;
                self.header.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use timely::communication::networking::MessageHeader;

    use super::*;

    /// Messages as timely writes them, of so many bytes each, and their end.
    fn messages(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &length in lengths {
            let header = MessageHeader {
                channel: 3,
                source: 1,
                target_lower: 0,
                target_upper: 1,
                length,
                seqno: 7,
            };
            header.write_to(&mut bytes).unwrap();
            // What looks like the end in the middle of a message is none.
            bytes.extend(vec![0; length]);
        }
        bytes
    }

    #[test]
    fn the_end_is_told_from_a_break_however_bytes_come() {
        let whole = messages(&[96, 8, 480, 0]);
        for piece in [1, 7, 48, 100, 10_000] {
            let mut frames = Frames::default();
            let mut seen = 0;
            for bytes in whole.chunks(piece) {
                frames.take(bytes);
                seen += bytes.len();
                assert_eq!(frames.ended, seen == whole.len(), "{seen} of pieces of {piece}");
            }
        }
    }
}
