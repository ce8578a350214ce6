//! The engine's state as it was at a moment, for who writes it down while the engine goes on.
//!
//! A child of the process has it ([`fork`](crate::snapshot)) and writes it to a scratch file; where
//! there are no children it is copied, and the engine stands still for as long as that takes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use super::executor::Executor;
use crate::snapshot::{Child, fork};

/// The state after a batch.
pub(super) enum Frozen {
    /// A copy of it.
    Copied(Vec<u8>),
    /// What writes it to a file.
    Written(Child, File),
}

impl Frozen {
    /// The state as it is now. The thread that calls must live until it was [read](Self::read).
    pub(super) fn of(executor: &Executor, scratch: Option<&File>) -> Frozen {
        let child = scratch.and_then(|scratch| Frozen::child(executor, scratch, false).ok());
        child.unwrap_or_else(|| Frozen::Copied(executor.state()))
    }

    /// A child with the state; one that is `stopped` waits until it gets SIGCONT.
    fn child(executor: &Executor, scratch: &File, stopped: bool) -> io::Result<Frozen> {
        let mut file = scratch.try_clone()?;
        file.set_len(0)?;
        file.rewind()?;
        let child = fork(&file, stopped, || executor.write_state(&file))?;
        Ok(Frozen::Written(child, file))
    }

    /// The state's bytes, once they are there.
    ///
    /// # Errors
    /// When who writes them could not, or was ended.
    pub(super) fn read(self) -> io::Result<Vec<u8>> {
        match self {
            Frozen::Copied(state) => Ok(state),
            Frozen::Written(child, mut file) => {
                child.wait(|| file.metadata().map_or(0, |found| found.len()))?;
                let mut state = Vec::with_capacity(file.metadata()?.len() as usize);
                file.rewind()?;
                file.read_to_end(&mut state)?;
                // What it held need not be on disk.
                file.set_len(0)?;
                Ok(state)
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::packet::command::{Command, Request};
    use crate::packet::draw::MasterSecret;
    use crate::packet::engine::Engine;
    use crate::packet::units::{Fen, Time};

    fn top_up(executor: &mut Executor, accounts: std::ops::Range<u32>) {
        executor.begin(Time::from_ms(1_707_480_000_000));
        for account in accounts {
            let (id, account) = (format!("t{account}"), format!("a{account}"));
            let command = Command::TopUp { account: &account, amount: Fen(100) };
            executor.apply(&Request { id: &id, command }).unwrap();
        }
        executor.end();
    }

    fn signal(frozen: &Frozen, signal: i32) {
        let Frozen::Written(child, _) = frozen else { panic!("there are children here") };
        let signalled = std::process::Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status();
        assert!(signalled.unwrap().success());
    }

    /// The engine goes on while nothing is written yet, and what is written is as of before.
    #[test]
    fn what_is_written_is_the_state_of_the_moment() {
        let mut executor =
            Executor::new(Engine::new(Default::default(), MasterSecret::new([7; 32])));
        let scratch = tempfile::tempfile().unwrap();
        top_up(&mut executor, 0..10_000);
        let before = executor.state();
        let frozen = Frozen::child(&executor, &scratch, true).unwrap();
        top_up(&mut executor, 10_000..20_000);
        assert!(executor.state() != before);
        signal(&frozen, 18);
        assert!(frozen.read().unwrap() == before);
    }

    /// A child that the system ends is told of, and the next one writes all.
    #[test]
    fn a_child_that_is_killed_is_an_error_and_the_next_one_writes() {
        let mut executor =
            Executor::new(Engine::new(Default::default(), MasterSecret::new([7; 32])));
        let scratch = tempfile::tempfile().unwrap();
        top_up(&mut executor, 0..10_000);
        let frozen = Frozen::child(&executor, &scratch, true).unwrap();
        signal(&frozen, 9);
        assert!(frozen.read().unwrap_err().to_string().contains("signal 9"));
        let frozen = Frozen::of(&executor, Some(&scratch));
        assert!(frozen.read().unwrap() == executor.state());
    }
}
