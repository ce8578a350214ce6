//! How the processes of a cluster meet: each connects with those before it, as timely does, and they
//! say who they are. Nothing is waited for without end, and a Ctrl-C ends the waiting.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::{Peers, Place, Term};
use crate::diagnostic::{Failure, Message};
use crate::stopwatch::Since;

/// How long processes may be apart in their start.
const MEET_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long whoever connects may take to say who it is.
const HELLO_LIMIT: Duration = Duration::from_secs(2);

/// A machine that is gone sends nothing that would say so: after so long without a word it is asked,
/// so often it may stay silent, and so long what was sent to it may stay unacknowledged.
const ASKED_AFTER: Duration = Duration::from_secs(3);
const ASKED_EVERY: Duration = Duration::from_secs(1);
const ASKED_TIMES: u32 = 5;
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// What every connection begins with: it tells a process of a cluster from any other client.
const MAGIC: &[u8; 16] = b"hongxian-peers-2";
/// Terms are a few hashes.
const TERMS_BYTES_MAX: usize = 1 << 16;
/// What process 0 says before a run: rules and models, compressed, all that decided so far.
const WORD_BYTES_MAX: usize = 1 << 30;

/// Who a process is and how it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hello {
    line: Line,
    process: u32,
    processes: u32,
    workers: u32,
    /// Of the program and of the addresses.
    built: u64,
    hosts: u64,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// The run.
    Work,
    /// To hear whether the other process runs.
    Pulse,
}

const LINES: [Line; 2] = [Line::Work, Line::Pulse];

const HELLO_BYTES: usize = 16 + 4 * 4 + 2 * 8;

/// Whether the waiting is to end.
type Stop<'s> = &'s dyn Fn() -> bool;

impl Place {
    /// Connects with all other processes; each of them must have this program, these hosts and as
    /// many workers.
    ///
    /// # Errors
    /// When one does not come within a minute (exit 3) or was called otherwise (exit 2), or when
    /// `stop` says so.
    pub fn meet(self, workers: usize, stop: Stop<'_>) -> Result<Peers, Failure> {
        let own = self.hello(workers);
        let address = self.address(self.process);
        let failed = |error: io::Error| {
            environment(
                format!("cannot listen on {address}, the address of this process: {error}"),
                format!("无法监听本进程的地址 {address}：{error}"),
            )
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let none = || (0..self.hosts.count()).map(|_| None).collect();
        let mut sockets: [Vec<Option<TcpStream>>; 2] = [none(), none()];
        let mut others = Vec::new();
        let since = Since::now();
        loop {
            for (sockets, line) in sockets.iter_mut().zip(LINES) {
                let own = Hello { line, ..own };
                for (process, socket) in sockets.iter_mut().enumerate().take(self.process) {
                    if socket.is_none()
                        && let Some((stream, hello)) = call(self.address(process), &own)
                    {
                        *socket = Some(stream);
                        others.push((process, hello));
                    }
                }
            }
            while let Ok((stream, _)) = listener.accept() {
                let Some((stream, hello)) = answer(stream, &own) else { continue };
                let process = hello.process as usize;
                if process == self.process {
                    return Err(self.twice(process));
                }
                // One that comes again gave up the first time.
                if let Some(socket) = sockets[hello.line as usize].get_mut(process) {
                    *socket = Some(stream);
                }
                others.push((process, hello));
            }
            for (process, hello) in others.drain(..) {
                self.compare(process, &own, &hello)?;
            }
            let is_missing = |process: usize| sockets.iter().any(|line| line[process].is_none());
            let missing: Vec<String> = (0..self.hosts.count())
                .filter(|process| *process != self.process && is_missing(*process))
                .map(|process| self.name(process))
                .collect();
            if missing.is_empty() {
                let [sockets, pulses] = sockets;
                return Ok(Peers { place: self, workers, sockets, pulses });
            }
            if stop() {
                return Err(Failure::Interrupted);
            }
            if since.elapsed() > MEET_LIMIT {
                let (missing, limit) = (missing.join(", "), MEET_LIMIT.as_secs());
                return Err(environment(
                    format!("process {missing} did not come within {limit} s"),
                    format!("进程 {missing} 在 {limit} 秒内没有出现"),
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn hello(&self, workers: usize) -> Hello {
        let version = concat!(env!("CARGO_PKG_VERSION"), " ");
        let format = crate::snapshot::FORMAT;
        let hosts: String = self.hosts.addresses().map(|host| format!("{host}\n")).collect();
        Hello {
            line: Line::Work,
            process: self.process as u32,
            processes: self.hosts.count() as u32,
            workers: workers as u32,
            built: short(format!("{version}{format}").as_bytes()),
            hosts: short(hosts.as_bytes()),
        }
    }

    /// Whether another process was called as this one was.
    fn compare(&self, process: usize, own: &Hello, other: &Hello) -> Result<(), Failure> {
        let name = |hello: &Hello| hello.process as usize;
        let (en, zh) = if own.built != other.built {
            ("is another version of this program".to_owned(), "是本程序的另一个版本".to_owned())
        } else if (own.processes, own.hosts) != (other.processes, other.hosts) {
            ("was given other hosts".to_owned(), "的主机列表不同".to_owned())
        } else if own.workers != other.workers {
            let (own, other) = (own.workers, other.workers);
            (
                format!("has {other} workers and this one {own}: give all the same number"),
                format!("有 {other} 个工作线程，而本进程有 {own} 个：请使用相同的数量"),
            )
        } else if name(other) != process {
            return Err(self.twice(name(other)));
        } else {
            return Ok(());
        };
        let other = match process < self.hosts.count() {
            true => self.name(process),
            false => process.to_string(),
        };
        Err(Failure::Usage(Message::new(
            format!("process {other} {en}"),
            format!("进程 {other} {zh}"),
        )))
    }

    fn twice(&self, process: usize) -> Failure {
        Failure::Usage(Message::new(
            format!("two processes are called number {process}"),
            format!("有两个进程的编号都是 {process}"),
        ))
    }
}

impl Peers {
    /// Says to all what it has read, and hears what they have.
    ///
    /// # Errors
    /// When one has something else (exit 2) or has gone (exit 3), or when `stop` says so.
    pub fn agree(&mut self, terms: &[Term], stop: Stop<'_>) -> Result<(), Failure> {
        let own: Vec<u8> = terms.iter().flat_map(|term| *term.hash.as_bytes()).collect();
        for socket in self.sockets.iter_mut().flatten() {
            // One that is gone is missed when it is heard.
            let _ = socket.write_all(&(own.len() as u32).to_le_bytes());
            let _ = socket.write_all(&own);
        }
        let mut differ = None;
        for (process, socket) in self.sockets.iter_mut().enumerate() {
            let Some(socket) = socket else { continue };
            let name = self.place.name(process);
            let other =
                hear(socket, TERMS_BYTES_MAX, stop).map_err(|error| unheard(&error, &name))?;
            if other != own && differ.is_none() {
                let hashes = other.chunks(blake3::OUT_LEN);
                let same = terms.iter().zip(hashes);
                let same = same.take_while(|(term, hash)| term.hash.as_bytes() == hash).count();
                let term = terms.get(same).or(terms.last()).map(|term| term.what.clone());
                differ = term.map(|term| (name, term));
            }
        }
        // All are heard first, so that each has heard what is wrong.
        let Some((name, Message { en, zh })) = differ else { return Ok(()) };
        Err(Failure::Usage(Message::new(
            format!("process {name} has other {en} than this one; all must have the same"),
            format!("进程 {name} 的{zh}与本进程不同；所有进程必须相同"),
        )))
    }
}

impl Peers {
    /// Process 0 says something to all others before the run begins.
    pub fn say(&mut self, word: &[u8]) {
        for socket in self.sockets.iter_mut().flatten() {
            // One that is gone is missed when the run begins.
            let _ = socket.write_all(&(word.len() as u32).to_le_bytes());
            let _ = socket.write_all(word);
        }
    }

    /// What process 0 [says](Self::say), however long that takes.
    ///
    /// # Errors
    /// When it has gone (exit 3), or when `stop` says so.
    pub fn hear(&mut self, stop: Stop<'_>) -> Result<Vec<u8>, Failure> {
        let name = self.place.name(0);
        let Some(Some(socket)) = self.sockets.first_mut() else {
            unreachable!("process 0 hears nothing of itself");
        };
        hear(socket, WORD_BYTES_MAX, stop).map_err(|error| unheard(&error, &name))
    }
}

/// Why a process says nothing.
fn unheard(error: &io::Error, name: &str) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::Interrupted,
        _ => environment(
            format!("process {name} has ended before the run began, and says why itself"),
            format!("进程 {name} 在运行开始之前已结束，原因见其自身的输出"),
        ),
    }
}

/// The first eight bytes of BLAKE3.
fn short(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Connects with a process, if it is there.
fn call(address: &str, own: &Hello) -> Option<(TcpStream, Hello)> {
    exchange(TcpStream::connect(address).ok()?, own)
}

/// Answers whoever has connected, if it is a process of a cluster.
fn answer(stream: TcpStream, own: &Hello) -> Option<(TcpStream, Hello)> {
    stream.set_nonblocking(false).ok()?;
    exchange(stream, own)
}

fn exchange(mut stream: TcpStream, own: &Hello) -> Option<(TcpStream, Hello)> {
    stream.set_nodelay(true).ok()?;
    notice_silence(&stream).ok()?;
    stream.set_read_timeout(Some(HELLO_LIMIT)).ok()?;
    stream.write_all(&own.to_bytes()).ok()?;
    let mut bytes = [0; HELLO_BYTES];
    stream.read_exact(&mut bytes).ok()?;
    let hello = Hello::from_bytes(&bytes)?;
    stream.set_read_timeout(Some(PAUSE)).ok()?;
    Some((stream, hello))
}

/// Has the connection break where the other machine is gone.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let asked = TcpKeepalive::new().with_time(ASKED_AFTER);
    let asked = asked.with_interval(ASKED_EVERY).with_retries(ASKED_TIMES);
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&asked)
}

impl Hello {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.line as u32, self.process, self.processes, self.workers] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.built.to_le_bytes());
        bytes.extend(self.hosts.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HELLO_BYTES]) -> Option<Hello> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut next = |many: usize| {
            let (number, others) = rest.split_at(many);
            rest = others;
            number.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
        };
        Some(Hello {
            line: *LINES.get(next(4) as usize)?,
            process: next(4) as u32,
            processes: next(4) as u32,
            workers: next(4) as u32,
            built: next(8),
            hosts: next(8),
        })
    }
}

/// What another process says, however long it takes. An error of the kind `Interrupted`: it was to
/// stop.
fn hear(stream: &mut TcpStream, bytes_max: usize, stop: Stop<'_>) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    fill(stream, &mut length, stop)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    fill(stream, &mut bytes, stop)?;
    Ok(bytes)
}

fn fill(stream: &mut TcpStream, mut bytes: &mut [u8], stop: Stop<'_>) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes = &mut bytes[read..],
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if stop() => {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

fn environment(en: String, zh: String) -> Failure {
    Failure::Environment(Message::new(en, zh))
}
