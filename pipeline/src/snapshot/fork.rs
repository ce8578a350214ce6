//! A frozen image of this process, which writes while the process itself goes on.
//!
//! `fork` gives a child whose memory is this process's as of that moment; the kernel copies a page
//! only when one of the two changes it. So what is to be written need not be copied, and nothing has
//! to wait until it is on disk. How long `fork` takes follows the number of pages: [`tidy`] makes
//! them large beforehand, while the process works, which is what keeps it short with gigabytes.
//!
//! Only on Linux: elsewhere threads and `fork` do not go together, and whoever asks is refused.
//!
//! # Why this is sound
//! The child has one thread, the one that called. It borrows what that thread could borrow, so no
//! value is seen by a thread that may not see it. What other threads were changing at that moment
//! stays half changed for ever in the child, and the locks that they held stay locked: therefore
//! what it runs may touch nothing that is shared with them. It allocates (jemalloc, and the
//! allocators of glibc and musl, take their locks around `fork`), computes, writes to one file that
//! was opened before, and ends by `_exit`, so that no destructor and no handler runs twice. Files
//! that it inherited are closed first, signals are blocked, and it dies with the thread that made it.
#![expect(unsafe_code, reason = "fork, and what a child may call, are the system's: see above")]

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::stopwatch::Since;

/// A child that has written nothing for so long hangs, and is ended: as long as it lives, memory is
/// there twice. Encoding the largest part takes seconds, also on a loaded machine.
const SILENT_MAX: Duration = Duration::from_secs(300);
/// Whoever waits for a child looks as often.
const LOOK: Duration = Duration::from_millis(5);

/// How a child ends whose writing failed with an error that has no number, and one that panicked.
/// Numbers of errors are below.
const NO_NUMBER: i32 = 254;
const PANICKED: i32 = 255;

/// A child that writes. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: i32,
    reaped: bool,
}

impl Child {
    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.pid as u32
    }

    /// Waits until it has written. `written` says how much there is so far.
    ///
    /// # Errors
    /// Its own, and when it was killed or hangs.
    pub(crate) fn wait(mut self, written: impl Fn() -> u64) -> io::Result<()> {
        let (mut before, mut since) = (0, Since::now());
        loop {
            if let Some(status) = self.status()? {
                return ended(status);
            }
            let now = written();
            if now != before {
                (before, since) = (now, Since::now());
            }
            if since.elapsed() > SILENT_MAX {
                return Err(io::Error::other("the process that writes it hangs"));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What the end of a child says.
fn ended(status: Status) -> io::Result<()> {
    match status {
        Status::Exited(0) => Ok(()),
        Status::Exited(PANICKED) => Err(io::Error::other("the process that writes it failed")),
        Status::Exited(NO_NUMBER) => Err(io::Error::other("it cannot be written")),
        Status::Exited(number) => Err(io::Error::from_raw_os_error(number)),
        Status::Killed(signal) => Err(io::Error::other(format!(
            "the process that writes it was killed by signal {signal}"
        ))),
    }
}

/// How a process ended.
enum Status {
    Exited(i32),
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there are no children"))]
    Killed(i32),
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsRawFd as _;

    use super::{Child, File, NO_NUMBER, PANICKED, Status, io};

    /// Large pages of x86-64 and, with pages of 4 KiB, of arm64.
    const LARGE: usize = 2 << 20;
    /// Regions smaller than this are stacks of threads and buffers: state lies in larger ones.
    const REGION_MIN: usize = 32 << 20;

    /// Runs `write` in a child. It may touch nothing that other threads share, see above, and no
    /// file but `file`. One that is `stopped` waits first until it gets SIGCONT.
    pub(crate) fn fork(
        file: &File,
        stopped: bool,
        write: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Child> {
        // SAFETY: plain calls; the masks are written before they are read.
        let (pid, failed) = unsafe {
            let parent = libc::getpid();
            let mut all = std::mem::zeroed::<libc::sigset_t>();
            let mut before = std::mem::zeroed::<libc::sigset_t>();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let pid = libc::fork();
            if pid == 0 {
                if stopped {
                    libc::raise(libc::SIGSTOP);
                }
                in_child(parent, file.as_raw_fd(), write);
            }
            let failed = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            (pid, failed)
        };
        if pid < 0 { Err(failed) } else { Ok(Child { pid, reaped: false }) }
    }

    fn in_child(parent: i32, file: i32, write: impl FnOnce() -> io::Result<()>) -> ! {
        // Where memory runs out, it is this process that goes. It is a wish.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        // SAFETY: plain calls. No other file is used from here on: sockets that stay open here would
        // keep their ports from a program that is started anew.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() != parent {
                libc::_exit(PANICKED);
            }
            // The stream goes first, but on a busy machine this has its share too: the lower it is, the
            // longer memory is there twice.
            libc::nice(5);
            if file > 0 {
                libc::syscall(libc::SYS_close_range, 0, file - 1, 0);
            }
            libc::syscall(libc::SYS_close_range, file + 1, libc::c_uint::MAX, 0);
        }
        // Standard error may be locked by a thread that is not here.
        std::panic::set_hook(Box::new(|_| exit(PANICKED)));
        match write() {
            Ok(()) => exit(0),
            Err(error) => exit(error.raw_os_error().unwrap_or(NO_NUMBER)),
        }
    }

    fn exit(code: i32) -> ! {
        // SAFETY: it ends the process at once.
        unsafe { libc::_exit(code) }
    }

    impl Child {
        /// How it ended, if it has.
        pub(super) fn status(&mut self) -> io::Result<Option<Status>> {
            let mut status = 0;
            // SAFETY: `status` is written to; the process is a child of this one and not reaped.
            let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
            if pid == 0 {
                return Ok(None);
            }
            self.reaped = true;
            if pid < 0 {
                let error = io::Error::last_os_error();
                // A process that was started with SIGCHLD ignored is not told how children end. What
                // they wrote ends with an index, which is missing where they were ended.
                let untold = error.raw_os_error() == Some(libc::ECHILD);
                return if untold { Ok(Some(Status::Exited(0))) } else { Err(error) };
            }
            Ok(Some(match libc::WIFEXITED(status) {
                true => Status::Exited(libc::WEXITSTATUS(status)),
                false => Status::Killed(libc::WTERMSIG(status)),
            }))
        }

        /// Ends it, if it has not ended.
        pub(super) fn end(&mut self) {
            if !self.reaped {
                // SAFETY: it has not been reaped, so the number is still its own.
                unsafe {
                    libc::kill(self.pid, libc::SIGKILL);
                    libc::waitpid(self.pid, std::ptr::null_mut(), 0);
                }
                self.reaped = true;
            }
        }
    }

    /// Puts memory that is in use on large pages, as far as the system has them: a fork copies the
    /// table of pages, which is then hundreds of times smaller. Afterwards, what a process changes
    /// while a child lives is on small pages again. Returns how many bytes are on large ones.
    pub fn tidy() -> usize {
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return 0 };
        let regions = maps.lines().filter_map(region);
        let mut tidied = 0;
        for (start, end) in regions.filter(|(start, end)| end - start >= REGION_MIN) {
            let mut at = start.next_multiple_of(LARGE);
            while at + LARGE <= end {
                // SAFETY: it changes no byte; of what is no longer mapped it says so.
                let done = unsafe { libc::madvise(at as *mut _, LARGE, libc::MADV_COLLAPSE) };
                match done {
                    0 => tidied += LARGE,
                    // Nothing of it is in use, or the system cannot; where there is no memory to be
                    // had, one does not ask on.
                    _ if io::Error::last_os_error().raw_os_error() == Some(libc::ENOMEM) => {
                        return tidied;
                    }
                    _ => {}
                }
                at += LARGE;
            }
        }
        tidied
    }

    /// The bounds of a region of this process's own memory, from its line in the list of them.
    fn region(line: &str) -> Option<(usize, usize)> {
        let mut fields = line.split_ascii_whitespace();
        let (bounds, rights) = (fields.next()?, fields.next()?);
        let (file, name) = (fields.nth(2)?, fields.next());
        let own = rights == "rw-p" && file == "0" && name.is_none_or(|name| name == "[heap]");
        let (start, end) = bounds.split_once('-').filter(|_| own)?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        number(start).zip(number(end))
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    use super::{Child, File, NO_NUMBER, Status, io};

    pub(crate) fn fork(_: &File, _: bool, _: impl FnOnce() -> io::Result<()>) -> io::Result<Child> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    impl Child {
        pub(super) fn status(&mut self) -> io::Result<Option<Status>> {
            Ok(Some(Status::Exited(NO_NUMBER)))
        }

        pub(super) fn end(&mut self) {}
    }

    pub fn tidy() -> usize {
        0
    }
}

pub(crate) use self::linux::fork;
pub use self::linux::tidy;

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory says the same on large pages, and a system that has them gives some.
    #[test]
    #[cfg(target_os = "linux")]
    fn tidied_memory_holds_what_it_held() {
        let words: Vec<u64> =
            (0..16_u64 << 20).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let tidied = tidy();
        assert!(
            (0..)
                .zip(&words)
                .all(|(at, word)| *word == u64::wrapping_mul(at, 0x9e37_79b9_7f4a_7c15))
        );
        // Systems before Linux 6.1 have nothing of the kind.
        assert!(tidied == 0 || tidied >= 64 << 20, "{tidied}");
    }

    /// How a child ended is told: of itself, by an error, by a mistake, by a signal.
    #[test]
    #[cfg(target_os = "linux")]
    fn how_a_child_ended_is_told() {
        let file = tempfile::tempfile().expect("a file");
        let child = |write: &dyn Fn() -> io::Result<()>| {
            fork(&file, false, write)
                .expect("a child")
                .wait(|| 0)
                .map_err(|error| error.to_string())
        };
        assert_eq!(child(&|| Ok(())), Ok(()));
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(
            child(&|| Err(io::Error::from_raw_os_error(libc::ENOSPC))),
            Err(full.to_string())
        );
        assert!(child(&|| panic!("a mistake")).is_err_and(|told| told.contains("failed")));
        assert!(child(&|| std::process::abort()).is_err_and(|told| told.contains("signal")));
    }
}
