//! The configuration of a stream: a TOML file, read with its spans, and what the command line says
//! otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::snapshots;
use crate::diagnostic::{Diagnostic, Failure, Message, Sources, unreadable};
use crate::document::{Node, Reader};
use crate::event::{Schema, Type};
use crate::source::mapping::extra_columns;

/// More threads than any machine's cores.
const WORKERS_MAX: i64 = 1024;
/// A commit is a round trip to the brokers; a minute without one is a mistake.
const COMMIT_MAX_MS: i64 = 60_000;
const TICK_MAX_MS: i64 = 3_600_000;
const CONNECT_MAX_MS: i64 = 3_600_000;

/// What a stream is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How to reach the brokers.
    pub cluster: Cluster,
    /// What is read, in the order in which its partitions are numbered.
    pub input: Vec<String>,
    /// Where decisions go.
    pub output: String,
    /// Where refused records go.
    pub dead_letter: String,
    /// Where input-log records go, and how far the stream is.
    pub control: String,
    /// The stream's name: two of one name fence each other.
    pub name: String,
    /// The rules directory; none: no rules.
    pub rules: Option<PathBuf>,
    /// The run directory; none: none is written.
    pub out: Option<PathBuf>,
    /// Worker threads.
    pub workers: usize,
    /// Length of a tick, in ms of effective time.
    pub tick: i64,
    /// Time between commits, in ms.
    pub commit_interval: i64,
    /// Where and when state is saved; none: it is not.
    pub snapshots: Option<snapshots::Settings>,
    /// Columns of one's own, with their types.
    pub extras: Vec<(String, Type)>,
}

/// How to reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Addresses, `host:port`, with commas between.
    pub brokers: String,
    /// How long to try before giving up, in ms.
    pub connect_limit: i64,
    /// Settings of librdkafka that are passed through.
    pub settings: BTreeMap<String, String>,
}

/// How long brokers that are away are waited for unless told otherwise, in ms.
pub const CONNECT_LIMIT_MS: i64 = 60_000;

/// What the command line says in place of the file.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in Config")]
pub struct Overrides {
    pub brokers: Option<String>,
    pub rules: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub workers: Option<usize>,
    pub tick: Option<i64>,
    pub commit_interval: Option<i64>,
    pub connect_limit: Option<i64>,
}

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

const KEYS: [&str; 12] = [
    "brokers",
    "name",
    "rules",
    "out",
    "workers",
    "tick",
    "commit_interval",
    "connect_limit",
    "topics",
    "snapshots",
    "extra",
    "kafka",
];

impl Config {
    /// Reads a file; a failure holds everything that is wrong with it.
    pub fn read(path: &Path, over: &Overrides) -> Result<Config, Failure> {
        let text =
            fs::read_to_string(path).map_err(|error| Failure::Usage(unreadable(path, &error)))?;
        let (config, wrong) = Config::parse(path, &text, over);
        if wrong.is_empty() {
            return Ok(config);
        }
        let mut sources = Sources::default();
        sources.add(path, text);
        Err(Failure::Input(wrong, sources))
    }

    /// The schema of the events.
    pub fn schema(&self) -> Schema {
        Schema::with_extras(self.extras.iter().cloned())
    }

    fn parse(path: &Path, text: &str, over: &Overrides) -> (Config, Vec<Diagnostic>) {
        let mut reader = Reader::new(path, text);
        let root = reader.parse();
        let (span, root) = (root.span(), root.get_ref());
        reader.known_keys(root, &KEYS);
        reader.required_keys(root, span.clone(), &["topics"]);
        if over.brokers.is_none() {
            reader.required_keys(root, span, &["brokers"]);
        }
        let beside = |name: String| path.parent().unwrap_or(Path::new("")).join(name);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let brokers = string(&mut reader, root, "brokers").unwrap_or_default();
        let workers = reader.integer(root, "workers", 1..=WORKERS_MAX);
        let tick = reader.duration(root, "tick", 1..=TICK_MAX_MS);
        let commit_interval = reader.duration(root, "commit_interval", 1..=COMMIT_MAX_MS);
        let connect_limit = reader.duration(root, "connect_limit", 0..=CONNECT_MAX_MS);
        let (rules, out) = (string(&mut reader, root, "rules"), string(&mut reader, root, "out"));
        let mut topics = Topics::default();
        if let Some(node) = root.get("topics")
            && let Some(table) = reader.as_table("topics", node)
        {
            topics = Topics::read(&mut reader, table, node.span());
        }
        let config = Config {
            cluster: Cluster {
                brokers: over.brokers.clone().unwrap_or(brokers),
                connect_limit: over.connect_limit.or(connect_limit).unwrap_or(CONNECT_LIMIT_MS),
                settings: settings(&mut reader, root, path),
            },
            input: topics.input,
            output: topics.output,
            dead_letter: topics.dead_letter,
            control: topics.control,
            name: string(&mut reader, root, "name").unwrap_or_else(|| "hongxian".to_owned()),
            rules: over.rules.clone().or(rules.map(beside)),
            out: over.out.clone().or(out.map(beside)),
            workers: over.workers.or(workers.map(|many| many as usize)).unwrap_or(cores),
            tick: over.tick.or(tick).unwrap_or(10),
            commit_interval: over.commit_interval.or(commit_interval).unwrap_or(200),
            snapshots: snapshots::Settings::read(&mut reader, root, path),
            extras: extra_columns(&mut reader, root),
        };
        (config, reader.finish())
    }
}

#[derive(Default)]
struct Topics {
    input: Vec<String>,
    output: String,
    dead_letter: String,
    control: String,
}

impl Topics {
    fn read(reader: &mut Reader<'_>, table: &DeTable<'_>, span: std::ops::Range<usize>) -> Topics {
        const NAMES: [&str; 4] = ["input", "output", "dead_letter", "control"];
        reader.known_keys(table, &NAMES);
        reader.required_keys(table, span, &NAMES);
        let input = reader.strings(table, "input").unwrap_or_default();
        let mut topics = Topics::default();
        let mut all = Vec::new();
        topics.input = input.iter().map(|name| name.get_ref().clone()).collect();
        all.extend(input);
        for (key, place) in [
            ("output", &mut topics.output),
            ("dead_letter", &mut topics.dead_letter),
            ("control", &mut topics.control),
        ] {
            if let Some(name) = reader.string(table, key) {
                place.clone_from(name.get_ref());
                all.push(name);
            }
        }
        // A stream that read what it writes would never end.
        for (at, name) in all.iter().enumerate() {
            let first = all[..at].iter().find(|first| first.get_ref() == name.get_ref());
            if first.is_some() {
                let topic = name.get_ref();
                let message = Message::new(
                    format!("the topic `{topic}` is used twice"),
                    format!("主题 `{topic}` 被使用了两次"),
                );
                reader.fail("topic-twice", name.span(), message, None);
            }
        }
        topics
    }
}

fn string(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<String> {
    reader.string(table, key).map(|text| text.get_ref().clone())
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
        DeValue::String(_) if SECRETS.contains(&name) => {
            let message = Message::new(
                format!("`{name}` is a secret, which does not belong in this file"),
                format!("`{name}` 是机密，不应写在此文件中"),
            );
            let hint = Message::new(
                "write { env = \"NAME\" } or { file = \"PATH\" }",
                "请写 { env = \"变量名\" } 或 { file = \"路径\" }",
            );
            reader.fail("secret-in-file", node.span(), message, Some(hint));
            None
        }
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(_) => crate::document::integer_of(node.get_ref()).map(|n| n.to_string()),
        DeValue::Table(table) => from_elsewhere(reader, name, (table, node), path),
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

    const WHOLE: &str = r#"
brokers = "127.0.0.1:9092"
name = "night"
rules = "rules"
out = "out"
workers = 3
tick = "5ms"
commit_interval = "100ms"
connect_limit = "10s"
[topics]
input = ["events", "more"]
output = "decisions"
dead_letter = "rejects"
control = "control"
[extra]
channel = "string"
[kafka]
"security.protocol" = "plaintext"
"queued.min.messages" = 1000
"#;

    fn codes(text: &str) -> Vec<(&'static str, String)> {
        let (_, wrong) = Config::parse(Path::new("dir/stream.toml"), text, &Overrides::default());
        let at = |one: &Diagnostic| text[one.span.clone().unwrap()].to_owned();
        wrong.iter().map(|one| (one.code, at(one))).collect()
    }

    #[test]
    fn a_whole_file_is_read_and_the_command_line_has_the_last_word() {
        let path = Path::new("dir/stream.toml");
        let (config, wrong) = Config::parse(path, WHOLE, &Overrides::default());
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!((config.workers, config.tick, config.commit_interval), (3, 5, 100));
        assert_eq!(config.input, ["events", "more"]);
        assert_eq!(config.rules.as_deref(), Some(Path::new("dir/rules")), "beside the file");
        assert_eq!(config.cluster.settings["queued.min.messages"], "1000");
        assert_eq!(config.extras, [("channel".to_owned(), Type::Str)]);
        let over = Overrides {
            brokers: Some("b:1".to_owned()),
            rules: Some(PathBuf::from("other")),
            workers: Some(1),
            ..Overrides::default()
        };
        let (config, _) = Config::parse(path, WHOLE, &over);
        assert_eq!((config.cluster.brokers.as_str(), config.workers), ("b:1", 1));
        assert_eq!(config.rules.as_deref(), Some(Path::new("other")), "as it was given");
    }

    #[test]
    fn every_mistake_is_shown_at_its_place() {
        let secret = WHOLE.replace("[kafka]", "[kafka]\n\"sasl.password\" = \"x\"");
        assert_eq!(codes(&secret), [("secret-in-file", "\"x\"".to_owned())]);
        let own = WHOLE.replace("[kafka]", "[kafka]\n\"isolation.level\" = \"read_uncommitted\"");
        assert_eq!(codes(&own), [("own-setting", "\"isolation.level\"".to_owned())]);
        let both = WHOLE.replace("workers = 3", "worker = 3").replace("\"5ms\"", "5");
        let expected = [("unknown-key", "worker".to_owned()), ("wrong-type", "5".to_owned())];
        assert_eq!(codes(&both), expected);
        let same = WHOLE.replace("\"rejects\"", "\"events\"");
        assert_eq!(codes(&same), [("topic-twice", "\"events\"".to_owned())]);
        let env = "[kafka]\n\"sasl.password\" = { env = \"HONGXIAN_TEST_NO_SUCH\" }";
        let found = codes(&WHOLE.replace("[kafka]", env));
        assert_eq!(found[0].0, "no-value");
    }
}
