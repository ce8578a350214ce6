//! Whether the other processes run. One that is frozen, or whose machine stands still, keeps its
//! connections: the system answers for it. So each process has a second connection to each other, by
//! which a thread that does nothing else says again and again that it runs.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::link::Watch;
use crate::stopwatch::Since;

const EVERY: Duration = Duration::from_secs(1);
/// Whoever is silent for longer is lost. What keeps a whole machine busy is seldom as long.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Another process.
struct Pulse {
    remote: String,
    stream: TcpStream,
    /// None before the first word: whoever has met may have much to read before its run begins.
    heard: Option<Since>,
}

/// Beats, and listens to the others, until the run is over or one of them is lost.
pub(super) fn watch(streams: Vec<(String, TcpStream)>, watch: Arc<Watch>) -> io::Result<()> {
    let pulse = |(remote, stream): (String, TcpStream)| {
        stream.set_nonblocking(true)?;
        Ok(Pulse { remote, stream, heard: None })
    };
    let mut pulses = streams.into_iter().map(pulse).collect::<io::Result<Vec<_>>>()?;
    let beat = move || {
        while !watch.is_over() {
            pulses.retain_mut(Pulse::beat);
            if let Some(lost) = pulses.iter().find(|pulse| pulse.is_silent()) {
                watch.lose(&lost.remote);
            }
            std::thread::sleep(EVERY);
        }
    };
    std::thread::Builder::new().name("pulse".to_owned()).spawn(beat).map(drop)
}

impl Pulse {
    fn is_silent(&self) -> bool {
        self.heard.is_some_and(|heard| heard.elapsed() > SILENCE_MAX)
    }

    /// Says that this process runs and hears the other; false where the connection has ended, of which
    /// the other connection tells the reason.
    fn beat(&mut self) -> bool {
        // Where nobody has heard anything for long there is no room, and nothing to add.
        if let Err(error) = self.stream.write(&[0]).map(drop)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            return false;
        }
        let mut beats = [0; 64];
        loop {
            match self.stream.read(&mut beats) {
                Ok(0) => return false,
                Ok(_) => self.heard = Some(Since::now()),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    /// The other end stays open all the time, as that of a frozen process does.
    #[test]
    fn whoever_is_silent_is_lost_and_whoever_beats_or_has_ended_is_not() {
        let ((own, mut other), (beside, mut silent)) = (pair(), pair());
        silent.write_all(&[0]).unwrap();
        let (seen, watched) = (Arc::<Watch>::default(), Arc::<Watch>::default());
        watch(vec![("one".to_owned(), own)], seen.clone()).unwrap();
        watch(vec![("two".to_owned(), beside)], watched.clone()).unwrap();
        let since = Since::now();
        while since.elapsed() < SILENCE_MAX + 5 * EVERY && watched.lost().is_none() {
            other.write_all(&[0]).unwrap();
            std::thread::sleep(EVERY / 2);
        }
        assert_eq!(watched.lost(), Some("two"));
        assert_eq!(seen.lost(), None);
        drop(other);
        std::thread::sleep(2 * EVERY);
        assert_eq!(seen.lost(), None, "why it has ended is not known here");
    }
}
