//! How a cluster is reached: addresses, and settings of librdkafka, whose secrets stand in the
//! environment or in files of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::config::{KEYS, Overrides, string};
use crate::diagnostic::{Diagnostic, Failure, Message, Sources, unreadable};
use crate::document::{Node, Reader};

/// How to reach a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Addresses, `host:port`, with commas between.
    pub brokers: String,
    /// How long to try before giving up, in ms.
    pub connect_limit: i64,
    /// Settings of librdkafka that are passed through.
    pub settings: BTreeMap<String, String>,
}

const CONNECT_MAX_MS: i64 = 3_600_000;
/// How long brokers that are away are waited for unless told otherwise, in ms.
pub const CONNECT_LIMIT_MS: i64 = 60_000;

/// Settings that hold a secret: they may not stand in the file.
const SECRETS: [&str; 9] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.pem",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl.truststore.password",
    "sasl.oauthbearer.assertion.private.key.passphrase",
];

/// What names of settings with a secret have in them, also where they are misspelt.
const SECRET_WORDS: [&str; 6] = ["passw", "secret", "key.pem", "passphrase", "token", "jaas"];
const SECRET_IN_FILE: &str = "secret-in-file";

/// Settings on which exactly once rests: the program's alone.
const OWN: [&str; 12] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "transactional.id",
    "enable.idempotence",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "isolation.level",
    "acks",
];

impl fmt::Debug for Cluster {
    /// Without the values of settings, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cluster { brokers, connect_limit, settings } = self;
        f.debug_struct("Cluster")
            .field("brokers", brokers)
            .field("connect_limit", connect_limit)
            .field("settings", &settings.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Cluster {
    /// Reads how to reach a cluster from the configuration of a stream, or from a file that says
    /// nothing else.
    pub fn read(path: &Path, over: &Overrides) -> Result<Cluster, Failure> {
        read_file(path, |text| {
            let mut reader = Reader::new(path, text);
            let root = reader.parse();
            let (span, root) = (root.span(), root.get_ref());
            reader.known_keys(root, &KEYS);
            let cluster = Cluster::of(&mut reader, (root, span), path, over);
            (cluster, reader.finish())
        })
    }

    /// What a file says of it.
    pub(super) fn of(
        reader: &mut Reader<'_>,
        (root, span): (&DeTable<'_>, Range<usize>),
        path: &Path,
        over: &Overrides,
    ) -> Cluster {
        if over.brokers.is_none() {
            reader.required_keys(root, span, &["brokers"]);
        }
        let brokers = string(reader, root, "brokers").unwrap_or_default();
        let connect_limit = reader.duration(root, "connect_limit", 0..=CONNECT_MAX_MS);
        Cluster {
            brokers: over.brokers.clone().unwrap_or(brokers),
            connect_limit: over.connect_limit.or(connect_limit).unwrap_or(CONNECT_LIMIT_MS),
            settings: settings(reader, root, path),
        }
    }
}

/// Reads a file; a failure holds everything that is wrong with it, and no secret.
pub(super) fn read_file<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> (T, Vec<Diagnostic>),
) -> Result<T, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
    let (read, wrong) = parse(&text);
    if wrong.is_empty() {
        return Ok(read);
    }
    let mut sources = Sources::default();
    sources.add(path, masked(&text, &wrong));
    Err(Failure::Input(wrong, sources))
}

/// The text as it may be shown: lines that look as if they held a secret, and what was found to be
/// one, have stars in its place, of which there are as many as it has bytes.
fn masked(text: &str, wrong: &[Diagnostic]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let hide = |bytes: &mut Vec<u8>, span: Range<usize>| {
        let shown = bytes.get_mut(span).into_iter().flatten();
        shown.filter(|byte| !matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b'*');
    };
    for diagnostic in wrong.iter().filter(|one| one.code == SECRET_IN_FILE) {
        hide(&mut bytes, diagnostic.span.clone().unwrap_or_default());
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let is_secret = SECRET_WORDS.iter().any(|word| line.contains(word));
        // A value from elsewhere is a table.
        let value = line.find('=').filter(|at| !line[at + 1..].trim_start().starts_with('{'));
        if let Some(at) = value.filter(|_| is_secret) {
            hide(&mut bytes, start + at + 1..start + line.len());
        }
        start += line.len();
    }
    // Whole values and whole rests of lines were replaced, so that it is text still.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The settings of librdkafka: strings, or where the value comes from.
fn settings(reader: &mut Reader<'_>, root: &DeTable<'_>, path: &Path) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (key, node) in reader.table(root, "kafka").into_iter().flatten() {
        let name: &str = key.get_ref();
        if OWN.contains(&name) {
            let message = Message::new(
                format!("`{name}` is set by the stream: exactly once rests on it"),
                format!("`{name}` 由流处理自行设置：恰好一次依赖于它"),
            );
            reader.fail("own-setting", key.span(), message, None);
        } else if let Some(value) = setting(reader, name, node, path) {
            settings.insert(name.to_owned(), value);
        }
    }
    settings
}

fn setting(reader: &mut Reader<'_>, name: &str, node: &Node<'_>, path: &Path) -> Option<String> {
    match node.get_ref() {
        DeValue::Table(table) => from_elsewhere(reader, name, (table, node), path),
        _ if SECRETS.contains(&name) => {
            let message = Message::new(
                format!("`{name}` is a secret, which does not belong in this file"),
                format!("`{name}` 是机密，不应写在此文件中"),
            );
            let hint = Message::new(
                "write { env = \"NAME\" } or { file = \"PATH\" }",
                "请写 { env = \"变量名\" } 或 { file = \"路径\" }",
            );
            reader.fail(SECRET_IN_FILE, node.span(), message, Some(hint));
            None
        }
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(_) => crate::document::integer_of(node.get_ref()).map(|n| n.to_string()),
        _ => reader.wrong_type(
            name,
            node,
            (
                "a string, a number, true or false, or where to find it",
                "字符串、数字、真假值或来源",
            ),
        ),
    }
}

/// A value that stands in the environment or in a file of its own, without the newline at its end.
fn from_elsewhere(
    reader: &mut Reader<'_>,
    name: &str,
    (table, node): (&DeTable<'_>, &Node<'_>),
    path: &Path,
) -> Option<String> {
    reader.known_keys(table, &["env", "file"]);
    let (env, file) = (string(reader, table, "env"), string(reader, table, "file"));
    let found = match (&env, &file) {
        (Some(variable), None) => variable_of(variable).ok_or_else(|| {
            (format!("the environment has no {variable}"), format!("环境变量 {variable} 不存在"))
        }),
        (None, Some(file)) => {
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            fs::read_to_string(&file).map_err(|error| {
                let said = unreadable(&file, &error);
                (said.en, said.zh)
            })
        }
        _ => Err((
            format!("`{name}` wants one of env and file"),
            format!("`{name}` 须为 env 与 file 之一"),
        )),
    };
    match found {
        Ok(value) => Some(value.trim_end_matches(['\n', '\r']).to_owned()),
        Err((en, zh)) => {
            reader.fail("no-value", node.span(), Message::new(en, zh), None);
            None
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "secrets come from the environment or from files")]
fn variable_of(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Lang;

    /// What is shown of a file with mistakes in and around its secrets.
    fn shown(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kafka.toml");
        fs::write(&path, text).unwrap();
        let failure = Cluster::read(&path, &Overrides::default()).expect_err("it is wrong");
        failure.render(Lang::En, false)
    }

    #[test]
    fn no_diagnostic_shows_a_secret() {
        let rows = [
            (r#""sasl.password" = "hunter2""#, "is a secret"),
            (r#""sasl.password" = "hunter2"#, "not TOML"),
            (r#""sasl.password" = 'hunter2' x"#, "not TOML"),
            ("\"sasl.password\" = \"\"\"\nhunter2\"\"\"", "is a secret"),
            ("\"ssl.key.pem\" = '''\nhunter2\n'''", "is a secret"),
            (r#""sasl.passwd" = ['hunter2']"#, "a string, a number"),
            (r#""ssl.key.password" = 4711"#, "is a secret"),
        ];
        for (line, said) in rows {
            let shown = shown(&format!("brokers = 'b:1'\n[kafka]\n{line}\n"));
            assert!(shown.contains(said), "{line}: {shown}");
            assert!(!shown.contains("hunter2") && !shown.contains("4711"), "{line}: {shown}");
        }
        let elsewhere = "brokers = 1\n[kafka]\n\"sasl.password\" = { fil = 'x' }\n";
        assert!(shown(elsewhere).contains("fil = 'x'"), "where to find it is no secret");
    }

    #[test]
    fn a_debugger_sees_no_secret() {
        let settings = BTreeMap::from([("sasl.password".to_owned(), "hunter2".to_owned())]);
        let cluster = Cluster { brokers: "b:1".to_owned(), connect_limit: 1, settings };
        let shown = format!("{cluster:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
