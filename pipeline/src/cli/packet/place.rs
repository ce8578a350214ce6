//! The directory of a journal: beside the journal its secret and its public key.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use super::damage::damaged;
use crate::cli::environment;
use crate::diagnostic::{Failure, Message, unwritable};
use crate::packet::draw::MasterSecret;
use crate::packet::durable::{Durable, DurableError, Opened};
use crate::packet::journal::{
    Begin, Directory, JournalError, Options, PublicKey, Signer, Trust, is_begun,
};
use crate::packet::limits::Limits;
use crate::packet::server::{Pace, Server, ServerError};
use crate::packet::units::{Span, Time};

/// Holds the secret of a journal, 64 hexadecimal digits: whoever has it knows every draw to come
/// and can sign checkpoints.
pub(super) const SECRET: &str = "secret.key";
/// Holds the public key by which checkpoints and proofs are checked.
pub(super) const PUBLIC: &str = "public.key";
/// The name under which checkpoints are signed.
const ORIGIN: &str = "hongxian/packet";
/// A journal may be ahead of the machine's clock by so much: what two machines' clocks differ by. One
/// that is further ahead would stand still until the clock has caught up.
const AHEAD_MAX: Span = Span::from_seconds(3_600);

/// What is made from the secret of a journal.
pub(super) struct Keys {
    pub(super) draws: MasterSecret,
    pub(super) signer: Signer,
}

impl Keys {
    fn of(secret: &[u8; 32]) -> Keys {
        let draws = blake3::derive_key("hongxian 2026 packet draws", secret);
        let signing = blake3::derive_key("hongxian 2026 packet checkpoints", secret);
        let signer = Signer::new(ORIGIN, &signing).expect("the name is one");
        Keys { draws: MasterSecret::new(draws), signer }
    }

    /// Of a secret from the machine's randomness.
    pub(super) fn random() -> Result<Keys, Failure> {
        Ok(Keys::of(&random()?))
    }

    /// Those of a journal; a new one gets a secret. A public key that is missing is written.
    pub(super) fn open(directory: &Path) -> Result<Keys, Failure> {
        fs::create_dir_all(directory).map_err(|error| not_written(directory, &error))?;
        let path = directory.join(SECRET);
        let keys = match path.exists() {
            true => Keys::read(directory)?,
            false if begun(directory)? => {
                let shown = directory.display();
                return Err(usage(
                    format!(
                        "there is a journal in {shown}, and its {SECRET} is missing: put it back"
                    ),
                    format!("{shown} 中已有日志,但缺少其 {SECRET}:请放回原文件"),
                ));
            }
            false => Keys::make(&path)?,
        };
        let path = directory.join(PUBLIC);
        if !path.exists() {
            fs::write(&path, format!("{}\n", keys.signer.public()))
                .map_err(|error| not_written(&path, &error))?;
        }
        Ok(keys)
    }

    /// Those of a new secret, which is written to that file.
    fn make(path: &Path) -> Result<Keys, Failure> {
        let secret = random()?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| not_written(path, &error))?;
        let text = format!("{}\n", blake3::Hash::from_bytes(secret).to_hex());
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| not_written(path, &error))?;
        Ok(Keys::of(&secret))
    }

    /// Those of a journal that exists.
    pub(super) fn read(directory: &Path) -> Result<Keys, Failure> {
        let path = directory.join(SECRET);
        let text = fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
        let secret = blake3::Hash::from_hex(text.trim()).map_err(|_| {
            usage(
                format!("{} does not hold 64 hexadecimal digits", path.display()),
                format!("{} 的内容不是 64 位十六进制数字", path.display()),
            )
        })?;
        Ok(Keys::of(secret.as_bytes()))
    }
}

/// A server that keeps its journal in a directory and goes by the machine's clock; it tells what batches
/// come to, a `T` each.
pub(super) fn server<T: Send + 'static>(
    directory: &Path,
    limits: Option<Limits>,
    begin: Begin,
    pace: Pace,
    tell: impl FnMut(T) -> std::io::Result<()> + Send + 'static,
) -> Result<(Server<T>, Opened), Failure> {
    let (server, opened) = server_by_any_clock(directory, limits, begin, pace, tell)?;
    let (reached, now) = (server.engine().clock(), clock());
    if reached > now.after(AHEAD_MAX) {
        server.finish().map_err(stopped)?;
        let shown = directory.display();
        let hours = (reached.ms() - now.ms()) / 3_600_000;
        return Err(usage(
            format!(
                "the journal in {shown} is {hours} hours ahead of the machine's clock, so its time would \
                 stand still for as long: set the clock, go on by --clock commands, or begin another"
            ),
            format!(
                "{shown} 中的日志比本机时钟快 {hours} 小时,在此之前其时间将停滞:请校准时钟,\
                 用 --clock commands 继续,或另建日志"
            ),
        ));
    }
    Ok((server, opened))
}

/// As [`server`], whatever time the journal has come to.
pub(super) fn server_by_any_clock<T: Send + 'static>(
    directory: &Path,
    limits: Option<Limits>,
    begin: Begin,
    pace: Pace,
    tell: impl FnMut(T) -> std::io::Result<()> + Send + 'static,
) -> Result<(Server<T>, Opened), Failure> {
    let keys = Keys::open(directory)?;
    let storage = Directory::open(directory).map_err(|error| at(directory, &error))?;
    let beside = storage.beside();
    let trust = Trust { key: Some(keys.signer.public().clone()), ..Trust::default() };
    let options = Options { trust, begin, ..Options::default() };
    let (durable, opened) =
        Durable::open(storage, &options, limits, &keys.draws).map_err(failure)?;
    let server = Server::durable(durable, Some(beside), keys.signer, pace, tell);
    Ok((server, opened))
}

/// Whether a directory has a journal, or what is left of one.
fn begun(directory: &Path) -> Result<bool, Failure> {
    let begun = Directory::read_only(directory).and_then(|storage| is_begun(&storage));
    begun.map_err(|error| at(directory, &error))
}

/// Refuses a directory that has no journal, nor what is left of one.
pub(super) fn must_be_a_journal(directory: &Path) -> Result<(), Failure> {
    if begun(directory)? { Ok(()) } else { Err(no_journal(directory)) }
}

pub(super) fn no_journal(directory: &Path) -> Failure {
    usage(
        format!("there is no journal in {}", directory.display()),
        format!("{} 中没有日志", directory.display()),
    )
}

/// The public key of a journal, from a file.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = fs::read_to_string(path).map_err(|error| at(path, &error))?;
    text.trim().parse().map_err(|error| {
        usage(
            format!("{} holds no public key: {error}", path.display()),
            format!("{} 不是公钥文件:{error}", path.display()),
        )
    })
}

/// A file of limits.
pub(super) fn limits(path: &Path) -> Result<Limits, Failure> {
    let text = fs::read_to_string(path).map_err(|error| at(path, &error))?;
    Limits::parse(&text).map_err(|error| {
        usage(format!("{}: {error}", path.display()), format!("{}:{error}", path.display()))
    })
}

/// What the clock of the machine shows.
#[expect(clippy::disallowed_methods, reason = "the engine is told the time; here it is read")]
pub(super) fn clock() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// What a failing journal is to the program: damage is a no, the disk the environment, and the
/// wrong secret or limits are usage.
pub(super) fn failure(error: DurableError) -> Failure {
    let text = error.to_string();
    match error {
        DurableError::Journal(JournalError::Damage(damage)) => damaged(&damage),
        DurableError::Differs { .. } => broken(&text),
        DurableError::Journal(_) => environment(text),
        DurableError::SecretDiffers
        | DurableError::LimitsDiffer
        | DurableError::Snapshot { .. } => Failure::Usage(Message::new(text.clone(), text)),
    }
}

/// What stops a server is to the program.
pub(super) fn stopped(error: ServerError) -> Failure {
    match error {
        ServerError::Durable(error) => failure(error),
        ServerError::Telling(error) => environment(error.to_string()),
    }
}

/// The answer is that a journal is broken.
pub(super) fn broken(what: &str) -> Failure {
    Failure::No(Message::new(
        format!("the journal is broken: {what}"),
        format!("日志已损坏:{what}"),
    ))
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Environment(unwritable(path, error))
}

pub(super) fn usage(en: String, zh: String) -> Failure {
    Failure::Usage(Message::new(en, zh))
}

pub(super) fn at(path: &Path, error: &std::io::Error) -> Failure {
    usage(
        format!("cannot open {}: {error}", path.display()),
        format!("无法打开 {}:{error}", path.display()),
    )
}

fn random() -> Result<[u8; 32], Failure> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| environment(error.to_string()))?;
    Ok(secret)
}
