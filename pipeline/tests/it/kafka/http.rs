//! A stream that is asked by HTTP, seen by whoever asks; every answer is held to the document that the
//! stream serves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use hongxian::stopwatch::Since;
use serde_json::{Value, json};

use super::bench::{self, Bench, PATIENCE, Sent, claim_json};
use super::{ended, signal, succeeds, until};
use crate::support::START;

const LARGE: &str = "title = 'large'\nstatus = 'live'\non = ['claim']\nwhen = 'amount_fen >= 90000'\n\
                     score = 700\nreason = 'large'\n";

/// The SHA-256 of the tokens `one`, `two` and `three`, by another program.
pub(super) const TOKENS: &str = "
[[token]]
actor = 'viewer'
role = 'viewer'
sha256 = '7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed'
[[token]]
actor = 'till'
role = 'analyst'
sha256 = '3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3'
[[token]]
actor = 'wang'
role = 'approver'
sha256 = '8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f'
";

/// Who asks a stream.
pub(super) struct Client {
    address: String,
    document: Value,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }
}

impl Client {
    /// Asks, and holds the answer to the document.
    fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let answer = self.ask_plainly(method, path, token, body);
        let route = path.split('?').next().unwrap();
        let pointer = format!("/paths/{}/{}", route.replace('/', "~1"), method.to_lowercase());
        let operation = self.document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
        let told = &operation["responses"][answer.status.to_string()];
        assert!(told.is_object(), "{method} {path}: {} is not told of", answer.status);
        let told = self.resolved(told);
        let schema = self.resolved(&told["content"]["application/json"]["schema"]);
        let schema = schema.get("oneOf").map_or(schema, |of| self.resolved(&of[0]));
        for field in schema["required"].as_array().into_iter().flatten() {
            let field = field.as_str().unwrap();
            let value = answer.json();
            assert!(value.is_array() || value.get(field).is_some(), "{path}: no {field}");
        }
        answer
    }

    fn resolved<'v>(&'v self, value: &'v Value) -> &'v Value {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
        self.document.pointer(reference.trim_start_matches('#')).unwrap()
    }

    pub(super) fn ask_plainly(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        ask(&self.address, (method, path), token, body).unwrap()
    }

    fn decide(&self, event: &str) -> Answer {
        self.ask("POST", "/v1/decide", "two", event)
    }
}

/// Asks at an address, whatever is there; fails where nobody answers to the end.
pub(super) fn ask(
    address: &str,
    (method, path): (&str, &str),
    token: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n\
         {body}"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let whole = status.zip(text.split_once("\r\n\r\n"));
    let (status, (_, body)) = whole.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(Answer { status, text: body.to_owned() })
}

/// Starts a stream that is asked, and waits until it is ready.
pub(super) fn serve(bench: &Bench, more: &str) -> (Child, Client) {
    serve_with(bench, "", more)
}

/// The same, with more lines before the tables of the configuration.
fn serve_with(bench: &Bench, first: &str, more: &str) -> (Child, Client) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    fs::write(bench.path("tokens.toml"), TOKENS).unwrap();
    bench.configure_with(&bench.rules(), first);
    let plain = fs::read_to_string(bench.config()).unwrap();
    let (labels, holds) = (bench.topic("labels"), bench.topic("holds"));
    let http = format!(
        "[http]\nlisten = '{address}'\ntokens = 'tokens.toml'\nlabels = '{labels}'\n\
         holds = '{holds}'\n{more}\n"
    );
    fs::write(bench.config(), plain + &http).unwrap();
    let child = bench.spawn(&[]);
    until("nobody answers", || TcpStream::connect(&address).is_ok());
    let mut client = Client { address, document: Value::Null };
    client.document = client.ask_plainly("GET", "/openapi.json", "", "").json();
    (child, client)
}

/// The policy with nothing late, idle after so many ms.
fn policy(bench: &Bench, idle_ms: i64) {
    let text = format!("allowed_lateness = '0s'\ndedup_window = '1d'\nidle_ms = {idle_ms}\n");
    fs::write(bench.rules().join("policy.toml"), text).unwrap();
    fs::write(bench.rules().join("funds/large.toml"), LARGE).unwrap();
}

fn claim(id: &str, after: i64, amount: i64) -> String {
    json!({
        "event_id": id, "event_time": START + after, "kind": "claim", "account_id": format!("u{id}"),
        "counterparty_id": "s", "group_id": "g", "packet_id": "p", "amount_fen": amount,
    })
    .to_string()
}

/// Events are decided while somebody waits; the same event gets the same answer, also after a restart,
/// and another under its id a conflict; and the log replays to the same bytes.
#[test]
fn events_are_decided_while_somebody_waits() {
    let Some(bench) = Bench::new("decide", 1) else { return };
    policy(&bench, 100);
    let (child, client) = serve(&bench, "time_limit = '20s'");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    assert_eq!(client.ask("GET", "/healthz", "", "").status, 200);
    for (token, status) in [("wrong", 401), ("one", 403), ("two", 200)] {
        let answer = client.ask("POST", "/v1/decide", token, &claim("a", 0, 5));
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let first = client.decide(&claim("a", 0, 5));
    assert_eq!((first.status, &first.json()["status"]), (200, &json!("decided")));
    assert_eq!(first.json()["decision"]["decision"], "allow");
    assert_eq!(first.json()["decision"]["event_id"], "a");
    assert_eq!(client.decide(&claim("a", 0, 6)).json()["code"], "id_conflict");
    assert_eq!(client.decide(&claim("a", 0, 6)).status, 409);
    let old = client.decide(&claim("older", -172_800_000, 5));
    assert_eq!((old.status, &old.json()["code"]), (422, &json!("too_old")));
    assert_eq!(client.decide("{\"event_id\":\"x\"}").status, 422);
    assert_eq!(client.decide("[").status, 400);
    let login = json!({ "event_id": "l", "event_time": START + 1, "kind": "login",
        "account_id": "u" });
    assert_eq!(client.decide(&login.to_string()).status, 202);
    let many = format!("[{},{},{{}}]", claim("b", 1_000, 5), claim("a", 0, 6));
    let many = client.decide(&many).json();
    let statuses: Vec<_> = (0..3).map(|at| many[at]["http_status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [200, 409, 422], "{many}");
    let mut took: Vec<Duration> = (0..40)
        .map(|at| {
            let since = Since::now();
            let answer = client.decide(&claim(&format!("n{at}"), 10_000 + at * 1_000, 5));
            assert_eq!(answer.status, 200, "{}", answer.text);
            since.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("one event after the other: p50 {:?}, largest {:?}", took[20], took[39]);
    let metrics = client.ask("GET", "/metrics", "", "").text;
    for line in [
        "hongxian_decisions_total{decision=\"allow\"} 42",
        "hongxian_append_to_decided_seconds_count 42",
        "hongxian_http_requests_total{route=\"/v1/decide\",status=\"409\"}",
        "hongxian_partition_lag_records{",
        "hongxian_live 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("un1"), "no ids in metrics");
    // The order of an array is that of the topic: nothing in it is late, and of an id the first counts.
    let rising = (0..40).map(|at| claim(&format!("o{at}"), 60_000 + at * 100, 5));
    let same = [5, 6].map(|amount| claim("same", 70_000, amount));
    let array: Vec<String> = rising.chain(same).collect();
    let answers = client.decide(&format!("[{}]", array.join(","))).json();
    for at in 0..41 {
        assert_eq!(answers[at]["decision"]["late"], false, "{at}: {}", answers[at]);
    }
    assert_eq!(answers[40]["decision"]["amount_fen"], 5);
    assert_eq!(answers[41]["code"], "id_conflict");
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    let (child, client) = serve(&bench, "time_limit = '20s'");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    assert_eq!(client.decide(&claim("a", 0, 5)).json(), first.json(), "also after a restart");
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    assert_eq!(bench.replayed("2").0, bench.digest());
    assert_eq!(bench.decided().len(), 42 + 41);
}

/// More clients than there may be, of which none says more than half a head, do not stop a stream: it
/// decides what comes by the topic, and whoever asks is answered when they were hung up on.
#[test]
fn who_only_connects_does_not_stop_a_stream() {
    let Some(bench) = Bench::new("crowd", 1) else { return };
    policy(&bench, 100);
    let limits = "time_limit = '20s'\nconnections = 8\nread_limit = '2s'\nkeep_alive = '2s'";
    let (child, client) = serve(&bench, limits);
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let crowd: Vec<TcpStream> = (0..100)
        .filter_map(|_| {
            let mut one = TcpStream::connect(&client.address).ok()?;
            one.write_all(b"GET /readyz HT").ok().map(|()| one)
        })
        .collect();
    bench.send((0..20).map(|at| super::bench::claim(at, 0)));
    until("it does not decide", || bench.decided().len() + 5 > 20);
    // The crowd is still there, and silent.
    until("it does not answer", || {
        ask(&client.address, ("GET", "/readyz"), "", "").is_ok_and(|answer| answer.status == 200)
    });
    assert!(crowd.len() > 8, "{}", crowd.len());
    assert_eq!(client.decide(&claim("a", 60_000, 5)).json()["status"], "decided");
    let metrics = client.ask("GET", "/metrics", "", "").text;
    let refused = metrics
        .lines()
        .find_map(|line| line.strip_prefix("hongxian_http_connections_refused_total "))
        .expect("it is counted");
    assert!(refused.parse::<u64>().unwrap() >= 50, "{refused}");
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
}

/// Whatever is wrong is said as the document tells, also where a library finds it.
#[test]
fn what_is_wrong_is_said_as_the_document_tells() {
    let Some(bench) = Bench::new("wrong", 1) else { return };
    policy(&bench, 100);
    let (child, client) = serve(&bench, "time_limit = '20s'\nbody_kib = 4");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let large = "x".repeat(5_000);
    let many = format!("[{}]", vec!["1"; 257].join(","));
    for (method, path, body, status, code) in [
        ("POST", "/v1/decide", &*large, 413, "too_large"),
        ("POST", "/v1/decide", &*many, 413, "too_many_records"),
        ("POST", "/v1/labels", &*large, 413, "too_large"),
        ("POST", "/v1/holds", &*large, 413, "too_large"),
        ("GET", "/v1/holds?limit=x", "", 400, "malformed"),
    ] {
        let answer = client.ask(method, path, "three", body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{path}");
    }
    for (method, path, status, code) in
        [("GET", "/v2/decide", 404, "no_route"), ("GET", "/v1/decide", 405, "no_method")]
    {
        let answer = client.ask_plainly(method, path, "three", "");
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{path}");
    }
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
}

/// Who waits longer than they may is answered by the policy; that answer is written down and binds,
/// also after a restart and after the event is decided.
#[test]
fn after_the_time_limit_the_fallback_answers_and_binds() {
    // The events are in two partitions at most. Others have nothing and are not idle for long:
    // nothing can be decided.
    let Some(bench) = Bench::new("fallback", 3) else { return };
    policy(&bench, 600_000);
    let (child, client) = serve(&bench, "time_limit = '300ms'\nidle = '60s'");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let small = client.decide(&claim("a", 0, 19_999));
    assert_eq!((small.status, &small.json()["status"]), (200, &json!("fallback")));
    assert_eq!(small.json()["decision"]["decision"], "review");
    let large = client.decide(&claim("b", 0, 20_000)).json();
    assert_eq!(large["decision"]["decision"], "hold");
    assert_eq!(client.decide(&claim("b", 0, 20_000)).json(), large);
    assert_eq!(client.decide(&claim("b", 0, 20_001)).status, 409);
    let list = client.ask("GET", "/v1/holds", "one", "").json();
    let hold = &list["holds"][0];
    assert_eq!((&list["open"], &hold["event_id"]), (&json!(1), &json!("b")), "{list}");
    assert_eq!((&hold["decision"], &hold["amount_fen"]), (&Value::Null, &json!(20_000)));
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    assert_eq!(bench.stream(&["--once"])["counts"]["decided"], 2, "they are decided too");
    let (child, client) = serve(&bench, "time_limit = '300ms'\nidle = '60s'");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    assert_eq!(client.decide(&claim("b", 0, 20_000)).json(), large, "what was answered binds");
    let list = client.ask("GET", "/v1/holds", "one", "").json();
    assert_eq!(list["holds"][0]["decision"], "allow", "what was decided since is told: {list}");
    assert_eq!(list["holds"][0]["held_by"], "fallback", "and why it is held all the same");
    let wish = json!({ "event_id": "b", "action": "release", "reason": "known" });
    assert_eq!(client.ask("POST", "/v1/holds", "three", &wish.to_string()).status, 200);
    assert_eq!(client.ask("GET", "/v1/holds", "one", "").json()["open"], 0);
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
}

/// A broker of its own, of which a test may do as it likes.
struct Broker {
    directory: tempfile::TempDir,
    address: String,
}

impl Broker {
    fn start() -> Broker {
        let directory = tempfile::tempdir().unwrap();
        let said = succeeds(Broker::kafka("start", &directory).args(["--port", "0"]));
        let address = said.lines().last().unwrap().to_owned();
        Broker { directory, address }
    }

    fn kafka(what: &str, directory: &tempfile::TempDir) -> Command {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka");
        let mut command = Command::new(script);
        command.arg(what).arg("--dir").arg(directory.path());
        command
    }

    fn signal(&self, name: &str) {
        let pid = fs::read_to_string(self.directory.path().join("kafka.pid")).unwrap();
        assert!(Command::new("kill").args([name, pid.trim()]).status().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.signal("-CONT");
        let _ = Broker::kafka("stop", &self.directory).status();
    }
}

/// A broker that is frozen closes no connection and says nothing: the stream is not ready then, and it
/// is again when the broker goes on.
#[test]
fn beside_a_frozen_broker_a_stream_is_not_ready() {
    if bench::broker().is_none() {
        return;
    }
    let broker = Broker::start();
    let bench = Bench::at(broker.address.clone(), "frozen", 1);
    policy(&bench, 100);
    let (child, client) = serve(&bench, "time_limit = '20s'");
    let ready = || client.ask("GET", "/readyz", "", "").json();
    until("it is not ready", || ready()["ready"] == true);
    assert_eq!(client.decide(&claim("a", 0, 5)).json()["status"], "decided");
    broker.signal("-STOP");
    until("it is ready", || ready()["ready"] == false);
    let told = ready();
    assert_eq!((&told["live"], &told["lag_records"]), (&json!(true), &Value::Null), "{told}");
    let metrics = client.ask("GET", "/metrics", "", "").text;
    assert!(!metrics.contains("hongxian_partition_lag_records{"), "{metrics}");
    broker.signal("-CONT");
    until("it is not ready any more", || ready()["ready"] == true);
    assert_eq!(client.decide(&claim("b", 1_000, 5)).json()["status"], "decided");
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// Held transactions are listed; whoever is first releases or voids one, with a reason, and whoever
/// comes later is told who was; a restart forgets nothing. Labels come with who sent them.
#[test]
fn holds_are_closed_once_and_labels_come_in() {
    let Some(bench) = Bench::new("holds", 1) else { return };
    policy(&bench, 100);
    let (child, client) = serve(&bench, "time_limit = '20s'\nrate = 1000");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    for (at, id) in ["h0", "h1"].into_iter().enumerate() {
        let answer = client.decide(&claim(id, at as i64 * 1_000, 95_000)).json();
        assert_eq!(answer["decision"]["decision"], "hold", "{answer}");
    }
    let list = client.ask("GET", "/v1/holds", "one", "").json();
    assert_eq!((&list["open"], &list["holds"][0]["event_id"]), (&json!(2), &json!("h0")));
    assert_eq!(list["holds"][0]["amount_fen"], 95_000);
    let act = |id: &str, action: &str, token: &str, reason: &str| {
        let wish = json!({ "event_id": id, "action": action, "reason": reason });
        client.ask("POST", "/v1/holds", token, &wish.to_string())
    };
    assert_eq!(act("h0", "release", "two", "known").status, 403);
    assert_eq!(act("h0", "release", "three", " ").status, 422);
    assert_eq!(act("h0", "settle", "three", "known").status, 422);
    assert_eq!(act("other", "void", "three", "known").status, 404);
    let done = act("h0", "release", "three", "a known customer");
    assert_eq!((done.status, &done.json()["actor"]), (200, &json!("wang")));
    let second = act("h0", "void", "three", "no");
    assert_eq!((second.status, &second.json()["first"]), (409, &done.json()));
    let label = json!({ "event_id": "lab", "event_time": START, "kind": "label", "label": "fraud",
        "subject_kind": "event", "subject_id": "h1" });
    assert_eq!(client.ask("POST", "/v1/labels", "one", &label.to_string()).status, 403);
    assert_eq!(client.ask("POST", "/v1/labels", "two", &claim("x", 0, 1)).status, 422);
    let written = client.ask("POST", "/v1/labels", "two", &format!("[{label}]"));
    assert_eq!((written.status, written.json()), (200, json!({ "written": 1 })));
    let labels = bench.committed("labels");
    assert_eq!(labels[0].headers["actor"], "till");
    assert_eq!(serde_json::from_slice::<Value>(&labels[0].value).unwrap(), label);
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    let (child, client) = serve(&bench, "rate = 5");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let list = client.ask("GET", "/v1/holds", "one", "").json();
    assert_eq!((&list["open"], &list["holds"][0]["event_id"]), (&json!(1), &json!("h1")));
    let many = (0..40).map(|_| client.ask("GET", "/v1/holds", "one", "").status);
    assert!(many.into_iter().any(|status| status == 429), "nobody asks more often than is fair");
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
}

/// What is held is in a snapshot: a restart that reads nothing from before it lists it still, and
/// whoever asks for a decision of before gets it, from the output topic.
#[test]
fn what_is_held_is_in_a_snapshot() {
    let Some(bench) = Bench::new("held", 1) else { return };
    policy(&bench, 100);
    let more = "time_limit = '20s'\n[snapshots]\ndir = 'snapshots'";
    let (child, client) = serve(&bench, more);
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let answer = client.decide(&claim("h0", 0, 95_000)).json();
    assert_eq!(answer["decision"]["decision"], "hold", "{answer}");
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    bench.delete_before(1);
    let (child, client) = serve(&bench, more);
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let list = client.ask("GET", "/v1/holds", "one", "").json();
    assert_eq!((&list["open"], &list["holds"][0]["event_id"]), (&json!(1), &json!("h0")));
    let again = client.decide(&claim("h0", 0, 95_000));
    assert_eq!((again.status, again.json()), (200, answer));
    let other = client.decide(&claim("h0", 0, 95_001));
    assert_eq!((other.status, &other.json()["code"]), (409, &json!("id_conflict")));
    signal(&child, "-TERM");
    assert_eq!(ended(child).0, Some(0));
    assert_eq!(bench.decided().len(), 1);
}

/// Where partitions had an event a moment ago and are silent, whoever asks gets the decision within the
/// time limit, though the policy waits for longer before a partition is idle; and the log replays to
/// the same bytes.
#[test]
fn who_asks_does_not_wait_for_silent_partitions() {
    let Some(bench) = Bench::new("silent", 3) else { return };
    policy(&bench, 600_000);
    let (child, client) = serve(&bench, "time_limit = '60s'");
    until("it is not ready", || client.ask("GET", "/readyz", "", "").status == 200);
    let mut took = Vec::new();
    for at in 0..20 {
        let since = Since::now();
        let answer = client.decide(&claim(&format!("s{at}"), at * 1_000, 5));
        if answer.json()["status"] != "decided" {
            let metrics = client.ask("GET", "/metrics", "", "").text;
            signal(&child, "-TERM");
            panic!("{}: {}\n{metrics}", answer.text, ended(child).1);
        }
        took.push(since.elapsed());
    }
    took.sort_unstable();
    println!(
        "one after the other over three partitions: p50 {:?}, largest {:?}",
        took[10], took[19]
    );
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    let partitions = bench.filled_partitions(3);
    assert!(partitions > 1, "the events are in {partitions} partition");
    assert_eq!(bench.replayed("2").0, bench.digest());
    assert_eq!(bench.decided().len(), 20);
}

/// A partition that lags by hours after a restart is read first: what is ahead of it waits at the
/// brokers and not in memory, nothing is lost, and a backtest of the log decides the same.
#[test]
fn what_is_ahead_of_a_partition_that_lags_waits_at_the_brokers() {
    const MESSAGES: i64 = 10_000;
    const CLAIMS: i64 = 40_000;
    let Some(bench) = Bench::new("lags", 2) else { return };
    bench.send((0..2).map(|at| super::bench::claim(at, at as i32)));
    bench.stream(&["--once"]);
    // Both over five hours and a half; a batch of the first is more than an hour of it.
    let text = "t".repeat(4_000);
    bench.send((0..MESSAGES).map(|at| {
        Sent {
            partition: 0,
            value: Some(
                json!({ "event_id": format!("m{at}"), "event_time": START + 10_000 + at * 2_000,
                "kind": "message", "account_id": "u", "group_id": "g", "text": text })
                .to_string()
                .into_bytes(),
            ),
        }
    }));
    bench.send((0..CLAIMS).map(|at| Sent {
        partition: 1,
        value: Some(claim_json(&format!("c{at}"), 10_000 + at * 500, at % 10, at).into_bytes()),
    }));
    let (child, client) = serve_with(&bench, "max_skew = '1m'\n", "");
    let (mut most, mut paused) = (0, false);
    until("it does not catch up", || {
        let metrics = client.ask("GET", "/metrics", "", "").text;
        let of = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<i64>().ok()).unwrap_or(0)
        };
        most = most.max(of("hongxian_waiting_bytes ") >> 20);
        let labels = format!("{{topic=\"{}\",partition=\"0\"}} ", bench.topic("in"));
        paused |= of(&format!("hongxian_partition_paused{labels}")) == 1;
        of("hongxian_records_total{outcome=\"decided\"} ") == CLAIMS + 2
            && of("hongxian_records_total{outcome=\"applied\"} ") == MESSAGES
    });
    // Events, and their records as they came.
    println!("at most {most} MiB wait of 80");
    assert!(paused && most < 40, "{most} MiB");
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(bench.replayed("2").0, bench.digest());
}

/// A certificate that is renewed is served after a SIGHUP; one that is wrong is not taken.
#[test]
fn a_renewed_certificate_is_served_after_a_signal() {
    let Some(bench) = Bench::new("renewed", 1) else { return };
    let made = |name: &str| {
        let subject = format!("/CN={name}");
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj"]);
        openssl.arg(subject).arg("-keyout").arg(bench.path("key.pem"));
        openssl.arg("-out").arg(bench.path("cert.pem"));
        openssl.output().is_ok_and(|output| output.status.success())
    };
    if !made("first") {
        eprintln!("not tested: there is no openssl to make certificates");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let plain = fs::read_to_string(bench.config()).unwrap();
    let (labels, holds) = (bench.topic("labels"), bench.topic("holds"));
    let http = format!(
        "[http]\nlisten = '{address}'\ntls = {{ certificate = 'cert.pem', key = 'key.pem' }}\n\
         labels = '{labels}'\nholds = '{holds}'\n"
    );
    fs::write(bench.config(), plain + &http).unwrap();
    let child = bench.spawn(&[]);
    let serves = |name: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &address]).stdin(std::process::Stdio::null());
        let said = String::from_utf8_lossy(&openssl.output().unwrap().stdout).into_owned();
        let subject = said.lines().find(|line| line.trim_start().starts_with("subject"));
        subject.is_some_and(|line| line.ends_with(name))
    };
    until("it does not listen", || serves("first"));
    fs::write(bench.path("cert.pem"), "no certificate").unwrap();
    signal(&child, "-HUP");
    std::thread::sleep(Duration::from_secs(1));
    assert!(serves("first"), "what is wrong is not taken");
    assert!(made("second"));
    signal(&child, "-HUP");
    until("the old one is served", || serves("second"));
    signal(&child, "-TERM");
    let (code, said) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the certificate cannot be read"), "{said}");
}
