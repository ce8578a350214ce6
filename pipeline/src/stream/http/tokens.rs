//! Who may do what: bearer tokens, of which a file holds the hashes; and how often.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use toml::de::DeValue;

use super::super::ends::lock;
use crate::diagnostic::{Diagnostic, Failure, Message, Sources, unreadable};
use crate::document::Reader;
use crate::stopwatch::Since;

/// Requests without a token that counts, a second: enough for a mistake, too few to guess.
const STRANGERS_RATE: u32 = 10;

/// What whoever has a token may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::stream) enum Role {
    /// Look.
    Viewer,
    /// Have events decided, and say what was found true.
    Analyst,
    /// Release and void what is held.
    Approver,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stream) struct Actor {
    pub(in crate::stream) name: String,
    pub(in crate::stream) role: Role,
}

/// A token's hash, and whose it is.
type Entry = ([u8; 32], Actor);

/// The tokens of a file, as they are now.
pub(in crate::stream) struct Tokens {
    path: Option<PathBuf>,
    rate: u32,
    state: Mutex<State>,
}

struct State {
    entries: Vec<Entry>,
    /// When the file was changed and how long it is: what tells that it is another.
    version: Option<(SystemTime, u64)>,
    /// By actor; strangers share one under the empty name.
    buckets: BTreeMap<String, Bucket>,
}

/// How many more requests come in at once.
struct Bucket {
    left: f64,
    since: Since,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) enum Denied {
    /// It has no token that counts.
    Unknown,
    /// The token's role does not reach.
    Role,
    /// There were too many.
    TooMany,
}

impl Tokens {
    /// Reads the file, which must be right when a stream begins.
    pub(in crate::stream) fn open(path: Option<&Path>, rate: u32) -> Result<Tokens, Failure> {
        let mut state = State { entries: Vec::new(), version: None, buckets: BTreeMap::new() };
        if let Some(path) = path {
            state.version = version(path);
            state.entries = read(path)?;
        }
        Ok(Tokens { path: path.map(Path::to_owned), rate, state: Mutex::new(state) })
    }

    /// Who sends a request with that `Authorization`, if their role is at least `wanted`.
    pub(in crate::stream) fn admit(
        &self,
        header: Option<&str>,
        wanted: Role,
    ) -> Result<Actor, Denied> {
        let mut state = lock(&self.state);
        self.read_again(&mut state);
        let actor = header.and_then(|header| state.find(token(header)?));
        let Some(actor) = actor else {
            let within = state.take("", STRANGERS_RATE);
            return Err(if within { Denied::Unknown } else { Denied::TooMany });
        };
        if !state.take(&actor.name, self.rate) {
            return Err(Denied::TooMany);
        }
        if actor.role < wanted { Err(Denied::Role) } else { Ok(actor) }
    }

    /// Reads the file once more where it has changed. One that is wrong changes nothing: the tokens
    /// that were good still are.
    fn read_again(&self, state: &mut State) {
        let Some(path) = &self.path else { return };
        let version = version(path);
        if version == state.version {
            return;
        }
        state.version = version;
        match read(path) {
            Ok(entries) => {
                tracing::info!(tokens = entries.len(), "the file of tokens was read again");
                state.entries = entries;
            }
            Err(_) => tracing::warn!("the file of tokens is wrong; those before it still count"),
        }
    }
}

/// The token of an `Authorization`, whose scheme may be written in any case (RFC 9110, 11.1).
fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl State {
    /// Whose a token is. All are compared, so that the time tells nothing.
    fn find(&self, token: &str) -> Option<Actor> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for (known, actor) in &self.entries {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(actor);
            }
        }
        found.cloned()
    }

    fn take(&mut self, name: &str, rate: u32) -> bool {
        let full = f64::from(rate);
        let new = || Bucket { left: full, since: Since::now() };
        let bucket = self.buckets.entry(name.to_owned()).or_insert_with(new);
        let gained = bucket.since.elapsed().as_secs_f64() * full;
        (bucket.left, bucket.since) = ((bucket.left + gained).min(full), Since::now());
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}

fn version(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
    let (entries, wrong) = parse(path, &text);
    if wrong.is_empty() {
        return Ok(entries);
    }
    // Lines are not shown: somebody may have written the token itself.
    Err(Failure::Input(wrong, Sources::default()))
}

fn parse(path: &Path, text: &str) -> (Vec<Entry>, Vec<Diagnostic>) {
    let mut reader = Reader::new(path, text);
    let root = reader.parse();
    let (span, root) = (root.span(), root.get_ref());
    reader.known_keys(root, &["token"]);
    reader.required_keys(root, span, &["token"]);
    let mut entries = Vec::new();
    let tokens = root.get("token").map(|node| node.get_ref());
    let tokens = tokens.and_then(DeValue::as_array).into_iter().flatten();
    for node in tokens {
        let Some(table) = reader.as_table("token", node) else { continue };
        reader.known_keys(table, &["actor", "role", "sha256"]);
        reader.required_keys(table, node.span(), &["actor", "role", "sha256"]);
        let actor = reader.string(table, "actor");
        let (role, hash) = (reader.string(table, "role"), reader.string(table, "sha256"));
        let (Some(actor), Some(role), Some(hash)) = (actor, role, hash) else { continue };
        let found = match role.get_ref().as_str() {
            "viewer" => Some(Role::Viewer),
            "analyst" => Some(Role::Analyst),
            "approver" => Some(Role::Approver),
            _ => None,
        };
        let bytes = blake3::Hash::from_hex(hash.get_ref()).ok();
        if found.is_none() {
            let message = Message::new(
                "`role` is viewer, analyst or approver",
                "`role` 须为 viewer、analyst 或 approver",
            );
            reader.fail("wrong-value", role.span(), message, None);
        }
        if bytes.is_none() {
            let message = Message::new(
                "`sha256` is the SHA-256 of the token, 64 hexadecimal digits",
                "`sha256` 须为令牌的 SHA-256，64 位十六进制",
            );
            reader.fail("wrong-value", hash.span(), message, None);
        }
        if let (Some(role), Some(bytes)) = (found, bytes) {
            entries.push((*bytes.as_bytes(), Actor { name: actor.into_inner(), role }));
        }
    }
    (entries, reader.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(actor: &str, role: &str, token: &str) -> String {
        let hash = blake3::Hash::from_bytes(Sha256::digest(token.as_bytes()).into()).to_hex();
        format!("[[token]]\nactor = '{actor}'\nrole = '{role}'\nsha256 = '{hash}'\n")
    }

    #[test]
    fn a_token_names_its_actor_until_the_file_says_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        fs::write(&path, line("liu", "viewer", "one") + &line("wang", "approver", "two")).unwrap();
        let tokens = Tokens::open(Some(&path), 1_000).unwrap();
        let admit = |token: &str, role| tokens.admit(Some(token), role).map(|actor| actor.name);
        assert_eq!(admit("Bearer one", Role::Viewer), Ok("liu".to_owned()));
        assert_eq!(admit("bearer one", Role::Viewer), Ok("liu".to_owned()));
        assert_eq!(admit("Basic one", Role::Viewer), Err(Denied::Unknown));
        assert_eq!(admit("Bearer one", Role::Analyst), Err(Denied::Role));
        assert_eq!(admit("Bearer two", Role::Approver), Ok("wang".to_owned()));
        for wrong in ["Bearer three", "one", "Basic one", "Bearer ", ""] {
            assert_eq!(admit(wrong, Role::Viewer), Err(Denied::Unknown), "{wrong}");
        }
        assert_eq!(tokens.admit(None, Role::Viewer), Err(Denied::Unknown));
        // Another token for the same actor.
        fs::write(&path, line("liu", "analyst", "another")).unwrap();
        assert_eq!(admit("Bearer one", Role::Viewer), Err(Denied::Unknown));
        assert_eq!(admit("Bearer another", Role::Analyst), Ok("liu".to_owned()));
        fs::write(&path, "[[token]]\nactor = 1\n").unwrap();
        assert_eq!(admit("Bearer another", Role::Analyst), Ok("liu".to_owned()), "still good");
    }

    #[test]
    fn nobody_asks_more_often_than_is_fair() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        fs::write(&path, line("liu", "viewer", "one") + &line("wang", "viewer", "two")).unwrap();
        let tokens = Tokens::open(Some(&path), 20).unwrap();
        let many = |header: &str| {
            let each = (0..200).map(|_| tokens.admit(Some(header), Role::Viewer));
            each.filter(|one| *one != Err(Denied::TooMany)).count()
        };
        let first = many("Bearer one");
        assert!((20..100).contains(&first), "{first}");
        assert!(many("Bearer two") >= 20, "one actor does not take another's");
        assert!(many("Bearer guess") < 100);
    }

    #[test]
    fn a_plain_token_in_the_file_is_told_of_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        fs::write(&path, "[[token]]\nactor = 'a'\nrole = 'boss'\nsha256 = 'hunter2'\n").unwrap();
        let Err(failure) = Tokens::open(Some(&path), 1) else { panic!("it is wrong") };
        let shown = failure.render(crate::diagnostic::Lang::En, false);
        assert!(shown.contains("64 hexadecimal digits") && shown.contains("role"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
