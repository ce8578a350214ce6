//! The configuration of a stream: a TOML file, read with its spans, and what the command line says
//! otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::cluster::{Cluster, read_file};
use super::http::HttpConfig;
use super::serve::PacketConfig;
use super::{days, snapshots};
use crate::diagnostic::{Diagnostic, Failure, Message};
use crate::document::Reader;
use crate::event::{Pseudonyms, Schema, Type};
use crate::peers::{Hosts, Place};
use crate::run::ModelPaths;
use crate::source::mapping::extra_columns;

/// More threads than any machine's cores.
const WORKERS_MAX: i64 = 1024;
/// A commit is a round trip to the brokers; a minute without one is a mistake.
const COMMIT_MAX_MS: i64 = 60_000;
const TICK_MAX_MS: i64 = 3_600_000;
/// An editor writes a file in less than a tenth of a second; a day of stillness is a mistake.
const RELOAD_AFTER_MS: std::ops::RangeInclusive<i64> = 100..=86_400_000;
/// Memory for events that wait, in MiB: less than a few records would stop a stream at once.
const WAITING_MIB: std::ops::RangeInclusive<i64> = 16..=1 << 20;
const WAITING_MIB_DEFAULT: i64 = 1024;
/// How far a partition is read ahead of one that is behind: an hour's worth of either is too much to
/// wait in memory, and less than a second would read them by turns.
const SKEW_MS: std::ops::RangeInclusive<i64> = 1_000..=31_536_000_000;
const SKEW_MS_DEFAULT: i64 = 600_000;

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
    /// The models that score with them.
    pub models: ModelPaths,
    /// Rules and models are read again when their files have changed and then been still for so
    /// long, in ms; none: only when asked by a signal.
    pub reload_after: Option<i64>,
    /// The run directory; none: none is written.
    pub out: Option<PathBuf>,
    /// Worker threads, of each process.
    pub workers: usize,
    /// The processes among which it is shared out, where there are several.
    pub hosts: Option<Hosts>,
    /// Length of a tick, in ms of effective time.
    pub tick: i64,
    /// Time between commits, in ms.
    pub commit_interval: i64,
    /// How much memory events may take up while they wait for others that come before them, in
    /// bytes.
    pub waiting_bytes: usize,
    /// How far ahead of one that has more to read a partition is read, in ms of event time.
    pub skew: i64,
    /// How it is reached by HTTP; none: it is not.
    pub http: Option<HttpConfig>,
    /// How the packet engine beside it is reached; none: there is none.
    pub packet: Option<PacketConfig>,
    /// Where and when state is saved; none: it is not.
    pub snapshots: Option<snapshots::Settings>,
    /// Where what is decided is kept by day; none: only in the output topic.
    pub days: Option<days::Settings>,
    /// What replaces the ids of events and lists, if anything does.
    pub pseudonyms: Option<Arc<Pseudonyms>>,
    /// Columns of one's own, with their types.
    pub extras: Vec<(String, Type)>,
}

/// What the command line says in place of the file.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in Config")]
pub struct Overrides {
    pub brokers: Option<String>,
    pub rules: Option<PathBuf>,
    pub models: ModelPaths,
    pub out: Option<PathBuf>,
    pub workers: Option<usize>,
    pub tick: Option<i64>,
    pub commit_interval: Option<i64>,
    pub connect_limit: Option<i64>,
}

/// What a configuration may say.
pub(super) const KEYS: [&str; 22] = [
    "brokers",
    "name",
    "rules",
    "model",
    "challenger",
    "reload_after",
    "out",
    "workers",
    "tick",
    "commit_interval",
    "connect_limit",
    "waiting_mib",
    "max_skew",
    "topics",
    "cluster",
    "snapshots",
    "days",
    "extra",
    "pseudonymise",
    "http",
    "packet",
    "kafka",
];

impl Config {
    /// Reads a file; a failure holds everything that is wrong with it.
    pub fn read(path: &Path, over: &Overrides) -> Result<Config, Failure> {
        read_file(path, |text| Config::parse(path, text, over))
    }

    /// Which of the processes number `process` is; none where the stream has only one.
    ///
    /// # Errors
    /// Where several are configured and no number is given, or the other way round, or one that none
    /// of them has.
    pub fn place(&self, process: Option<usize>) -> Result<Option<Place>, Failure> {
        match (&self.hosts, process) {
            (None, None) => Ok(None),
            (Some(hosts), Some(process)) => hosts.clone().place(process).map(Some),
            (Some(_), None) => Err(Failure::Usage(Message::new(
                "[cluster] names several processes: say with --process which of them this one is",
                "[cluster] 列出了多个进程：请用 --process 指明本进程的编号",
            ))),
            (None, Some(_)) => Err(Failure::Usage(Message::new(
                "--process needs the hosts of all processes in [cluster]",
                "--process 需要在 [cluster] 中列出所有进程的主机",
            ))),
        }
    }

    /// The schema of the events.
    pub fn schema(&self) -> Schema {
        let schema = Schema::with_extras(self.extras.iter().cloned());
        schema.with_pseudonyms(self.pseudonyms.clone())
    }

    fn parse(path: &Path, text: &str, over: &Overrides) -> (Config, Vec<Diagnostic>) {
        let mut reader = Reader::new(path, text);
        let root = reader.parse();
        let (span, root) = (root.span(), root.get_ref());
        reader.known_keys(root, &KEYS);
        reader.required_keys(root, span.clone(), &["topics"]);
        not_empty(&mut reader, root, &["brokers", "name"]);
        let cluster = Cluster::of(&mut reader, (root, span), path, over);
        let beside = |name: String| path.parent().unwrap_or(Path::new("")).join(name);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = reader.integer(root, "workers", 1..=WORKERS_MAX);
        let tick = reader.duration(root, "tick", 1..=TICK_MAX_MS);
        let commit_interval = reader.duration(root, "commit_interval", 1..=COMMIT_MAX_MS);
        let reload_after = reader.duration(root, "reload_after", RELOAD_AFTER_MS);
        let waiting_mib = reader.integer(root, "waiting_mib", WAITING_MIB);
        let skew = reader.duration(root, "max_skew", SKEW_MS);
        let (rules, out) = (string(&mut reader, root, "rules"), string(&mut reader, root, "out"));
        let models = ModelPaths {
            champion: string(&mut reader, root, "model").map(beside),
            challenger: string(&mut reader, root, "challenger").map(beside),
        };
        let models = ModelPaths {
            champion: over.models.champion.clone().or(models.champion),
            challenger: over.models.challenger.clone().or(models.challenger),
        };
        let key = string(&mut reader, root, "pseudonymise");
        let mut topics = Topics::default();
        if let Some(node) = root.get("topics")
            && let Some(table) = reader.as_table("topics", node)
        {
            topics = Topics::read(&mut reader, table, node.span());
        }
        let hosts = hosts(&mut reader, root);
        let http = HttpConfig::read(&mut reader, root, path, &topics.input);
        let packet = PacketConfig::read(&mut reader, root, path, &topics.input);
        let config = Config {
            cluster,
            input: topics.input,
            output: topics.output,
            dead_letter: topics.dead_letter,
            control: topics.control,
            name: string(&mut reader, root, "name").unwrap_or_else(|| "hongxian".to_owned()),
            rules: over.rules.clone().or(rules.map(beside)),
            models,
            reload_after,
            out: over.out.clone().or(out.map(beside)),
            workers: over.workers.or(workers.map(|many| many as usize)).unwrap_or(cores),
            hosts,
            tick: over.tick.or(tick).unwrap_or(10),
            commit_interval: over.commit_interval.or(commit_interval).unwrap_or(200),
            waiting_bytes: (waiting_mib.unwrap_or(WAITING_MIB_DEFAULT) as usize) << 20,
            skew: skew.unwrap_or(SKEW_MS_DEFAULT),
            http,
            packet,
            snapshots: snapshots::Settings::read(&mut reader, root, path),
            days: days::Settings::read(&mut reader, root, path),
            pseudonyms: key.map(beside).and_then(|path| pseudonyms(&mut reader, root, &path)),
            extras: extra_columns(&mut reader, root),
        };
        if config.models.champion.is_none() && config.models.challenger.is_some() {
            // It may stand on the command line alone.
            let at = root.get("challenger").map_or(0..0, |node| node.span());
            let message = Message::new(
                "there is a `challenger` and no `model` beside which it is watched",
                "有 `challenger`，却没有与之对照的 `model`",
            );
            reader.fail("challenger-alone", at, message, None);
        }
        if let (Some(days), Some(snapshots)) = (&config.days, &config.snapshots)
            && days.dir == snapshots.dir
        {
            // Each takes away what it does not know.
            let dir = root.get("days").and_then(|node| node.get_ref().as_table()?.get("dir"));
            let at = dir.map_or(0..0, |node| node.span());
            let message = Message::new(
                "[days] and [snapshots] have one directory; give each its own",
                "[days] 与 [snapshots] 使用了同一目录；请各用一个",
            );
            reader.fail("one-directory", at, message, None);
        }
        if let (Some(_), Some(_), Some(node)) =
            (&config.pseudonyms, &config.out, root.get("pseudonymise"))
        {
            let message = Message::new(
                "`out` holds the input log, and so every id as it came: it does not go with pseudonymise",
                "`out` 包含输入日志，其中有全部原始编号：不能与 pseudonymise 同时使用",
            );
            let hint = Message::new(
                "[days] keeps a run without them; or export the input log and replay it with \
                 backtest --pseudonymise",
                "可用 [days] 保存不含原始编号的运行；或导出输入日志，再用 backtest --pseudonymise 重放",
            );
            reader.fail("out-in-clear", node.span(), message, Some(hint));
        }
        (config, reader.finish())
    }
}

/// Reads the key of `pseudonymise`.
fn pseudonyms(reader: &mut Reader<'_>, root: &DeTable<'_>, path: &Path) -> Option<Arc<Pseudonyms>> {
    let span = root.get("pseudonymise").map_or(0..0, |node| node.span());
    match Pseudonyms::read(path) {
        Ok(held) => Some(Arc::new(held)),
        Err(Failure::Input(wrong, _)) => {
            for Diagnostic { code, message: Message { en, zh }, hint, .. } in wrong {
                let path = path.display();
                let message = Message::new(format!("{path}: {en}"), format!("{path}：{zh}"));
                reader.fail(code, span.clone(), message, hint);
            }
            None
        }
        Err(_) => None,
    }
}

/// Reads the table `[cluster]`, if it is there.
fn hosts(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<Hosts> {
    let node = root.get("cluster")?;
    let table = reader.as_table("cluster", node)?;
    reader.known_keys(table, &["hosts"]);
    reader.required_keys(table, node.span(), &["hosts"]);
    let hosts = reader.strings(table, "hosts")?;
    let hosts = hosts.into_iter().map(|host| host.get_ref().clone()).collect();
    match Hosts::new(hosts) {
        Ok(hosts) => Some(hosts),
        Err(message) => {
            reader.fail("hosts", node.span(), message, None);
            None
        }
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
        if let Some(node) = table.get("input").filter(|_| topics.input.is_empty()) {
            let message = Message::new("there is no topic to read", "没有要读取的主题");
            reader.fail("no-input", node.span(), message, None);
        }
        for name in all.iter().filter(|name| !is_topic(name.get_ref())) {
            let topic = name.get_ref();
            let message = Message::new(
                format!("`{topic}` cannot be a topic: 1 to 249 letters, digits, `.`, `_` and `-`"),
                format!("`{topic}` 不能作主题名：须为 1 到 249 个字母、数字、点、下划线或连字符"),
            );
            reader.fail("topic-name", name.span(), message, None);
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

/// What brokers take for the name of a topic.
fn is_topic(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name.bytes().all(is_legal) && name != "." && name != ".."
}

fn not_empty(reader: &mut Reader<'_>, table: &DeTable<'_>, keys: &[&str]) {
    for key in keys {
        if let Some(node) = table.get(*key)
            && node.get_ref().as_str() == Some("")
        {
            let message = Message::new(format!("`{key}` is empty"), format!("`{key}` 为空"));
            reader.fail("empty", node.span(), message, None);
        }
    }
}

pub(super) fn string(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<String> {
    reader.string(table, key).map(|text| text.get_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
brokers = "127.0.0.1:9092"
name = "night"
rules = "rules"
model = "models/night"
challenger = "models/day.onnx"
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
[days]
dir = "days"
interval = "5s"
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
    fn days_and_snapshots_have_directories_of_their_own() {
        let apart = codes(&format!("{WHOLE}[snapshots]\ndir = 'days/saved'\n"));
        assert_eq!(apart, []);
        let same = codes(&format!("{WHOLE}[snapshots]\ndir = 'days'\n"));
        assert_eq!(same, [("one-directory", "\"days\"".to_owned())]);
    }

    #[test]
    fn a_whole_file_is_read_and_the_command_line_has_the_last_word() {
        let path = Path::new("dir/stream.toml");
        let (config, wrong) = Config::parse(path, WHOLE, &Overrides::default());
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!((config.workers, config.tick, config.commit_interval), (3, 5, 100));
        assert_eq!(config.input, ["events", "more"]);
        assert_eq!(config.rules.as_deref(), Some(Path::new("dir/rules")), "beside the file");
        let beside = |name: &str| Some(Path::new("dir").join(name));
        assert_eq!(config.models.champion, beside("models/night"));
        assert_eq!(config.models.challenger, beside("models/day.onnx"));
        assert_eq!(config.cluster.settings["queued.min.messages"], "1000");
        let days = days::Settings { dir: "dir/days".into(), interval: 5_000 };
        assert_eq!(config.days, Some(days));
        assert_eq!(config.extras, [("channel".to_owned(), Type::Str)]);
        let over = Overrides {
            brokers: Some("b:1".to_owned()),
            rules: Some(PathBuf::from("other")),
            models: ModelPaths { champion: Some("m".into()), challenger: None },
            workers: Some(1),
            ..Overrides::default()
        };
        let (config, _) = Config::parse(path, WHOLE, &over);
        assert_eq!((config.cluster.brokers.as_str(), config.workers), ("b:1", 1));
        assert_eq!(config.rules.as_deref(), Some(Path::new("other")), "as it was given");
        assert_eq!(config.models.champion.as_deref(), Some(Path::new("m")));
        assert_eq!(config.models.challenger, beside("models/day.onnx"), "which nothing overrides");
        let models = ModelPaths { champion: None, challenger: Some("m".into()) };
        let over = Overrides { models, ..Overrides::default() };
        let (_, wrong) =
            Config::parse(path, &WHOLE.replace("model = \"models/night\"\n", ""), &over);
        assert!(wrong.iter().any(|one| one.code == "challenger-alone"), "{wrong:?}");
    }

    #[test]
    fn a_stream_of_several_processes_says_which_one_this_is() {
        let read = |lines: &str| {
            let text = format!("{WHOLE}{lines}\n");
            Config::parse(Path::new("dir/stream.toml"), &text, &Overrides::default())
        };
        let (config, wrong) = read("[cluster]\nhosts = ['a:1', 'b:2']");
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(config.place(Some(1)).unwrap().unwrap().process(), 1);
        let (alone, _) = read("");
        assert!(alone.place(None).unwrap().is_none());
        for (config, process) in [(&config, None), (&config, Some(2)), (&alone, Some(0))] {
            assert_eq!(config.place(process).unwrap_err().exit_code(), 2, "{process:?}");
        }
        let codes = |lines| read(lines).1.iter().map(|one| one.code).collect::<Vec<_>>();
        assert_eq!(codes("[cluster]\nhosts = ['a']"), ["hosts"]);
        assert_eq!(codes("[cluster]\nhost = ['a:1']"), ["missing-key", "unknown-key"]);
    }

    #[test]
    fn http_is_closed_to_other_machines_unless_somebody_says_how() {
        let read = |lines: &str| {
            let text = format!("{WHOLE}[http]\n{lines}\n");
            let (config, wrong) =
                Config::parse(Path::new("dir/stream.toml"), &text, &Overrides::default());
            (config.http, wrong.iter().map(|one| one.code).collect::<Vec<_>>())
        };
        let (http, wrong) = read("listen = '127.0.0.1:80'\ntokens = 'tokens.toml'");
        let http = http.unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!((http.topic.as_str(), http.labels.as_str()), ("events", "events"));
        assert_eq!(http.tokens.as_deref(), Some(Path::new("dir/tokens.toml")), "beside the file");
        assert_eq!(http.fallback.of(19_999).name(), "review");
        assert_eq!(http.fallback.of(20_000).name(), "hold");
        let rows: [(&str, &[&str]); 7] = [
            ("listen = '0.0.0.0:80'", &["listen-in-clear"]),
            ("listen = '0.0.0.0:80'\nplain = true", &[]),
            ("listen = '0.0.0.0:80'\ntls = { certificate = 'c', key = 'k' }", &[]),
            ("listen = 'localhost'", &["listen"]),
            ("listen = '[::1]:80'\ntopic = 'other'", &["topic-not-read"]),
            ("listen = '[::1]:80'\nfallback = { large = 'no' }", &["wrong-value"]),
            ("listn = '[::1]:80'", &["missing-key", "unknown-key"]),
        ];
        for (lines, codes) in rows {
            assert_eq!(read(lines).1, codes, "{lines}");
        }
    }

    #[test]
    fn snapshots_are_put_where_an_address_says() {
        let read = |lines: &str| {
            let text = format!("{WHOLE}[snapshots]\ndir = 'saved'\n{lines}\n");
            let (config, wrong) =
                Config::parse(Path::new("dir/stream.toml"), &text, &Overrides::default());
            (config.snapshots.unwrap(), wrong.iter().map(|one| one.code).collect::<Vec<_>>())
        };
        let (settings, wrong) = read("store = 's3://bucket/some/prefix/'");
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(settings.dir, Path::new("dir/saved"), "beside the file");
        assert_eq!(settings.store.unwrap().to_string(), "s3://bucket/some/prefix");
        assert!(read("keep = 2").0.store.is_none());
        for address in ["bucket/prefix", "s3://bucket", "gs://bucket/prefix", ""] {
            assert_eq!(read(&format!("store = '{address}'")).1, ["store"], "{address}");
        }
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
        for (old, new, code) in [
            ("[\"events\", \"more\"]", "[]", "no-input"),
            ("output = \"decisions\"", "output = \"\"", "topic-name"),
            ("control = \"control\"", "control = \"../control\"", "topic-name"),
            ("name = \"night\"", "name = \"\"", "empty"),
        ] {
            let text = WHOLE.replace(old, new);
            assert_ne!(text, WHOLE);
            let found: Vec<&str> = codes(&text).iter().map(|one| one.0).collect();
            assert!(found.contains(&code), "{new}: {found:?}");
        }
        let env = "[kafka]\n\"sasl.password\" = { env = \"HONGXIAN_TEST_NO_SUCH\" }";
        let found = codes(&WHOLE.replace("[kafka]", env));
        assert_eq!(found[0].0, "no-value");
    }
}
