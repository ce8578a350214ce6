//! The packet engine beside a stream: money moves as the stream decides, and not before; killed
//! anywhere, as if nothing had happened.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use hongxian::stopwatch::Since;
use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, hongxian};
use super::http::{Answer, TOKENS, ask};
use super::{ended, signal, succeeds, until};

/// Payments of 900 yuan are held, of 2,000 blocked, and those of 7.77 reviewed.
const RULES: [(&str, &str, u32); 3] = [
    ("large", "amount_fen >= 90000", 700),
    ("huge", "amount_fen >= 200000", 900),
    ("sevens", "amount_fen == 777", 400),
];
/// Longer than any test: nothing falls back.
const PATIENT: &str = "[decision_ms_max]\nvalue = 600000\nsource = \"test\"\n";

/// An engine and its stream, with a topic each of their own.
struct Beside {
    bench: Bench,
    engine: String,
    desk: String,
}

/// A program that does not outlive its test, also where that fails.
struct Running(Option<Child>);

impl Running {
    /// Sends it a signal; what it ends with and has said.
    fn end(mut self, name: &str) -> (Option<i32>, String) {
        let child = self.0.take().expect("it runs");
        signal(&child, name);
        ended(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("127.0.0.1:{port}")
}

impl Beside {
    fn new(name: &str, limits: &str) -> Option<Beside> {
        Beside::holding(name, limits, "1h")
    }

    /// With so long a hold.
    fn holding(name: &str, limits: &str, hold: &str) -> Option<Beside> {
        let bench = Bench::new(name, 1)?;
        let policy = "allowed_lateness = '0s'\ndedup_window = '1d'\nidle_ms = 100\n";
        fs::write(bench.rules().join("policy.toml"), policy).unwrap();
        for (rule, when, score) in RULES {
            let text = format!(
                "title = '{rule}'\nstatus = 'live'\non = ['send', 'claim', 'transfer', 'withdraw']\n\
                 when = '{when}'\nscore = {score}\nreason = '{rule}'\n"
            );
            fs::write(bench.rules().join(format!("funds/{rule}.toml")), text).unwrap();
        }
        bench.configure(&bench.rules());
        let (engine, desk) = (free_address(), free_address());
        fs::write(bench.path("tokens.toml"), TOKENS).unwrap();
        fs::write(bench.path("limits.toml"), limits).unwrap();
        let plain = fs::read_to_string(bench.config()).unwrap();
        let more = format!(
            "[http]\nlisten = '{desk}'\ntokens = 'tokens.toml'\nholds = '{}'\n\
             [packet]\nlisten = '{engine}'\ntokens = 'tokens.toml'\nhold = '{hold}'\n",
            bench.topic("holds")
        );
        fs::write(bench.config(), plain + &more).unwrap();
        Some(Beside { bench, engine, desk })
    }

    /// Starts the engine; it may die at once.
    fn start(&self, more: &[&str]) -> Child {
        let mut command = hongxian();
        command.args(["packet", "serve"]).arg(self.bench.config());
        command.arg("--journal").arg(self.bench.path("journal"));
        command.arg("--limits").arg(self.bench.path("limits.toml"));
        command.args(["--lang", "en"]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts the engine, and waits until it is ready.
    fn serve(&self) -> Running {
        let child = Running(Some(self.start(&[])));
        until("the engine is not ready", || self.get("/readyz").is_some());
        child
    }

    /// Starts the stream, and waits until it is ready.
    fn stream(&self) -> Running {
        let child = Running(Some(self.bench.spawn(&[])));
        until("the stream is not ready", || {
            ask(&self.desk, ("GET", "/readyz"), "one", "").is_ok_and(|answer| answer.status == 200)
        });
        child
    }

    /// What the stream lists for approvers: ids, and what it decided on each.
    fn listed(&self) -> Vec<(String, Value)> {
        let answer = ask(&self.desk, ("GET", "/v1/holds"), "one", "").unwrap().json();
        let holds = answer["holds"].as_array().unwrap().iter();
        holds
            .map(|hold| (hold["event_id"].as_str().unwrap().to_owned(), hold["decision"].clone()))
            .collect()
    }

    fn until_listed(&self, expected: &[(&str, Value)]) {
        let expected: Vec<(String, Value)> =
            expected.iter().map(|(id, decision)| ((*id).to_owned(), decision.clone())).collect();
        until(&format!("the holds are not {expected:?}"), || self.listed() == expected);
    }

    /// What an approver has done at the stream.
    fn act(&self, transaction: &str, action: &str) -> Answer {
        let act = json!({ "event_id": transaction, "action": action, "reason": "asked" });
        ask(&self.desk, ("POST", "/v1/holds"), "three", &act.to_string()).unwrap()
    }

    fn get(&self, path: &str) -> Option<Value> {
        let answer = ask(&self.engine, ("GET", path), "one", "").ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// Sends a command until it is answered, as a client does that repeats the same id.
    fn send(&self, command: &Value) -> Value {
        let since = Since::now();
        loop {
            let answer = ask(&self.engine, ("POST", "/v1/packet"), "two", &command.to_string());
            match answer {
                Ok(answer) if answer.status != 503 => return answer.json(),
                _ => assert!(since.elapsed() < PATIENCE, "nobody answers {command}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn settlement(&self, transaction: &str) -> Option<String> {
        let seen = self.get(&format!("/v1/transactions/{transaction}"))?;
        Some(seen["settlement"].as_str().unwrap().to_owned())
    }

    fn until_settled(&self, transaction: &str, settlement: &str) {
        until(&format!("{transaction} is not {settlement}"), || {
            self.settlement(transaction).as_deref() == Some(settlement)
        });
    }

    /// Change, reserved and held of an account, in fen.
    fn wallet(&self, account: &str) -> [u64; 3] {
        let wallet = self.get(&format!("/v1/accounts/{account}")).unwrap();
        ["change_fen", "reserved_fen", "held_fen"].map(|field| wallet[field].as_u64().unwrap())
    }

    fn metric(&self, line: &str) -> u64 {
        let text = ask(&self.engine, ("GET", "/metrics"), "one", "").unwrap().text;
        let found = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0, |value| value.parse().unwrap())
    }

    /// Ends the engine as a supervisor does, and has its journal executed again from the first byte.
    fn end(&self, engine: Running) -> String {
        let (code, said) = engine.end("-TERM");
        assert_eq!(code, Some(0), "{said}");
        let level =
            |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["level"].is_string());
        let logged = said.lines().all(|line| level(line) == Some(true));
        assert!(logged, "every line is JSON with a level: {said}");
        succeeds(hongxian().args(["packet", "verify"]).arg(self.bench.path("journal")))
    }
}

fn topup(account: &str, amount: u64) -> Value {
    json!({ "id": format!("in-{account}"), "do": "topup", "account": account, "amount_fen": amount })
}

fn pay(id: &str, from: &str, to: &str, amount: u64) -> Value {
    json!({ "id": id, "do": "transfer", "account": from, "to": to, "amount_fen": amount })
}

/// Nothing settles before the stream decides; then each transaction settles as it decided, and holds
/// end as an approver says at the stream.
#[test]
fn money_settles_as_the_stream_decides_and_not_before() {
    let Some(beside) = Beside::new("serve", PATIENT) else { return };
    let engine = beside.serve();
    beside.send(&topup("ada", 1_000_000));
    let context = json!({ "device_id": "d1", "text": "新年快乐" });
    let mut small = pay("small", "ada", "bo", 500);
    small["context"] = context;
    for command in [
        small,
        pay("seven", "ada", "bo", 777),
        pay("large", "ada", "cy", 90_000),
        pay("other", "ada", "cy", 95_000),
        pay("huge", "ada", "dee", 200_000),
        json!({ "id": "sent", "do": "send", "account": "ada", "packet": "p", "amount_fen": 600,
                "shares": 2, "play": "equal" }),
    ] {
        let outcome = beside.send(&command);
        assert!(["waiting", "sent"].contains(&outcome["result"].as_str().unwrap()), "{outcome}");
    }
    let reserved = 500 + 777 + 90_000 + 95_000 + 200_000 + 600;
    let early =
        beside.send(&json!({ "id": "early", "do": "claim", "account": "bo", "packet": "p" }));
    assert_eq!(early["refusal"], "packet_waiting");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(beside.wallet("ada"), [1_000_000 - reserved, reserved, 0]);
    assert_eq!(beside.wallet("bo"), [0, 0, 0]);
    let stream = beside.stream();
    for (transaction, settlement) in
        [("small", "posted"), ("seven", "posted"), ("large", "held"), ("huge", "voided")]
    {
        beside.until_settled(transaction, settlement);
    }
    beside.until_settled("sent", "posted");
    beside.until_settled("other", "held");
    let claimed =
        beside.send(&json!({ "id": "c1", "do": "claim", "account": "bo", "packet": "p" }));
    assert_eq!((&claimed["result"], &claimed["amount_fen"]), (&json!("claimed"), &json!(300)));
    beside.until_settled("c1", "posted");
    let packet = beside.get("/v1/packets/p").unwrap();
    assert_eq!((&packet["play"], &packet["shares"]), (&json!("equal"), &json!(2)), "{packet}");
    assert_eq!(packet["head"], claimed["head"]);
    assert!(packet["commitment"].is_string() && packet["secret"].is_null(), "{packet}");
    assert_eq!(beside.wallet("bo"), [500 + 777 + 300, 0, 0]);
    assert_eq!(beside.wallet("ada"), [1_000_000 - reserved + 200_000, 0, 185_000]);
    for (transaction, action) in [("large", "release"), ("other", "void")] {
        let answer = beside.act(transaction, action);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    beside.until_settled("large", "released");
    beside.until_settled("other", "returned");
    assert_eq!(beside.wallet("cy"), [90_000, 0, 0]);
    assert_eq!(beside.wallet("dee"), [0, 0, 0]);
    assert_eq!(beside.wallet("ada"), [1_000_000 - 500 - 777 - 90_000 - 600, 0, 0]);
    // What the engine does not know of a transaction stands in its event.
    let events: Vec<Value> = beside
        .bench
        .committed("in")
        .iter()
        .map(|seen| serde_json::from_slice(&seen.value).unwrap())
        .collect();
    let small = events.iter().find(|event| event["event_id"] == "small").unwrap();
    assert_eq!((&small["text"], &small["device_id"]), (&json!("新年快乐"), &json!("d1")));
    assert!(beside.bench.committed("dead").is_empty(), "the stream takes every event");
    assert!(beside.end(engine).contains("executed again"));
    assert_eq!(stream.end("-TERM").0, Some(0));
}

/// Where nothing is decided in time the limits' fallback binds, and what the stream says later is
/// counted and changes nothing.
#[test]
fn a_fallback_binds_and_a_later_decision_is_counted() {
    let limits = "[decision_ms_max]\nvalue = 300\nsource = \"test\"\n\
                  [fallback_allow_fen_below]\nvalue = 100000\nsource = \"test\"\n";
    let Some(beside) = Beside::new("falls-back", limits) else { return };
    let engine = beside.serve();
    beside.send(&topup("ada", 1_000_000));
    beside.send(&pay("large", "ada", "bo", 90_000));
    beside.send(&pay("huge", "ada", "bo", 200_000));
    beside.until_settled("large", "posted");
    beside.until_settled("huge", "held");
    let _stream = beside.stream();
    until("the stream's decisions are not heard", || {
        beside.metric("hongxian_packet_not_done_total{why=\"late\"}") == 2
    });
    assert_eq!(beside.metric("hongxian_packet_fallbacks_total"), 2);
    assert_eq!(beside.settlement("large").as_deref(), Some("posted"));
    assert_eq!(beside.settlement("huge").as_deref(), Some("held"));
    assert_eq!(beside.wallet("bo"), [90_000, 0, 0]);
    // The stream holds the large one and blocks the huge one: listed is what the engine holds.
    beside.until_listed(&[("huge", json!("block"))]);
    let late = beside.act("large", "void");
    assert_eq!((late.status, &late.json()["first"]["action"]), (409, &json!("release")));
    // An approver ends it at the engine.
    let command = json!({ "id": "end", "do": "resolve", "transaction": "huge",
                          "resolution": "return", "reason": "asked" });
    let answer = |token| ask(&beside.engine, ("POST", "/v1/packet"), token, &command.to_string());
    let denied = answer("two").unwrap();
    assert_eq!(
        (denied.status, &denied.json()["code"]),
        (403, &json!("role")),
        "an analyst is none"
    );
    assert_eq!(answer("three").unwrap().json()["settlement"], "returned");
    beside.until_listed(&[]);
    let late = beside.act("huge", "release");
    assert_eq!(late.status, 409);
    assert_eq!(late.json()["first"]["actor"], "wang");
    beside.end(engine);
}

/// What the engine gives back when its hold is over is no longer the stream's to release; also where
/// engine and stream began anew between.
#[test]
fn what_is_over_at_the_engine_is_not_listed_at_the_stream() {
    let Some(beside) = Beside::holding("over", PATIENT, "4s") else { return };
    let (engine, stream) = (beside.serve(), beside.stream());
    beside.send(&topup("ada", 1_000_000));
    beside.send(&pay("first", "ada", "bo", 90_000));
    beside.until_settled("first", "held");
    beside.until_listed(&[("first", json!("hold"))]);
    engine.end("-KILL");
    let engine = beside.serve();
    beside.until_settled("first", "returned");
    beside.until_listed(&[]);
    let late = beside.act("first", "release");
    assert_eq!((late.status, &late.json()["first"]["action"]), (409, &json!("void")));
    assert_eq!(late.json()["first"]["at_engine"], true);
    assert_eq!(beside.wallet("ada"), [1_000_000, 0, 0]);
    assert_eq!(stream.end("-TERM").0, Some(0));
    let stream = beside.stream();
    assert_eq!(beside.listed(), []);
    assert_eq!(beside.act("first", "release").status, 409);
    assert_eq!(stream.end("-TERM").0, Some(0));
    beside.end(engine);
}

/// Who may not, and what is no command, changes nothing.
#[test]
fn nobody_decides_but_the_stream() {
    let Some(beside) = Beside::new("refuses", PATIENT) else { return };
    let engine = beside.serve();
    beside.send(&topup("ada", 1_000));
    beside.send(&pay("t", "ada", "bo", 10));
    let post =
        |token, body: &str| ask(&beside.engine, ("POST", "/v1/packet"), token, body).unwrap();
    let body = pay("u", "ada", "bo", 10).to_string();
    for (token, status) in [("wrong", 401), ("one", 403)] {
        assert_eq!(post(token, &body).status, status);
    }
    for (command, why) in [
        (json!({ "id": "d", "do": "decide", "transaction": "t", "decision": "allow" }), "decides"),
        (json!({ "id": "engine:decide:1", "do": "tick" }), "engine's own"),
        (json!({ "id": "c", "do": "tick", "at": 1 }), "--clock"),
        (json!({ "id": "c", "do": "join", "context": { "card": "1" } }), "does not belong"),
        (json!({ "id": "c", "do": "join", "context": { "ip": 1 } }), "ip is not a string"),
        (json!({ "id": "c", "do": "tick", "context": { "ip": "::1" } }), "make an event"),
        (json!({ "id": "c", "do": "tack" }), "did you mean"),
    ] {
        let answer = post("three", &command.to_string());
        assert_eq!(answer.status, 422, "{command}");
        assert!(answer.text.contains(why), "{command}: {}", answer.text);
    }
    // Of several each has its own outcome.
    let both = json!([{ "id": "no", "do": "tack" }, topup("bo", 5)]);
    let outcomes = post("two", &both.to_string()).json();
    assert!(outcomes[0]["error"].is_string(), "{outcomes}");
    assert_eq!(outcomes[1]["result"], "applied");
    assert_eq!(beside.settlement("t").as_deref(), Some("undecided"));
    assert_eq!(beside.get("/v1/accounts/nobody"), None);
    beside.end(engine);
}

/// Payments in a ring, packets and their claims: the commands of a day, one after the other.
fn day() -> Vec<Value> {
    const ACCOUNTS: usize = 6;
    let name = |at: usize| format!("u{}", at % ACCOUNTS);
    let mut commands: Vec<Value> = (0..ACCOUNTS).map(|at| topup(&name(at), 10_000_000)).collect();
    for at in 0..30 {
        let amount = [120, 777, 90_001, 45_000, 200_005, 3][at % 6];
        commands.push(pay(&format!("pay{at}"), &name(at), &name(at * 5 + 1), amount + at as u64));
        if at % 5 == 0 {
            let (packet, sender) = (format!("p{at}"), name(at));
            commands.push(json!({ "id": format!("send{at}"), "do": "send", "account": sender,
                "packet": packet, "amount_fen": 1_000, "shares": 5, "play": "equal" }));
            for claimer in 1..4 {
                commands.push(json!({ "id": format!("claim{at}-{claimer}"), "do": "claim",
                    "account": name(at + claimer), "packet": packet }));
            }
        }
    }
    commands
}

/// Sends the commands of a day, each when those before it are settled as far as it needs them; gives
/// what every account has in the end.
fn live_through(beside: &Beside) -> BTreeMap<String, [u64; 3]> {
    let mut transactions = Vec::new();
    for command in day() {
        let id = command["id"].as_str().unwrap();
        let outcome = beside.send(&command);
        assert!(outcome["refusal"].is_null() && outcome["error"].is_null(), "{outcome}");
        if command["do"] == "send" {
            beside.until_settled(id, "posted");
        }
        if command["do"] != "topup" {
            transactions.push(id.to_owned());
        }
    }
    for transaction in &transactions {
        until(&format!("{transaction} is not decided"), || {
            beside.settlement(transaction).is_some_and(|one| one != "undecided")
        });
    }
    (0..6).map(|at| format!("u{at}")).map(|name| (name.clone(), wallet(beside, &name))).collect()
}

/// What an account has, of an engine that may be away for a moment.
fn wallet(beside: &Beside, account: &str) -> [u64; 3] {
    until("nobody answers", || beside.get(&format!("/v1/accounts/{account}")).is_some());
    beside.wallet(account)
}

/// Where it hurts, and anywhere.
#[derive(Clone, Copy, Debug)]
enum End {
    At(&'static str),
    After(Duration),
}

const ENDS: [End; 12] = [
    End::At("before-journal:3"),
    End::At("before-publish:2"),
    End::At("after-publish:5"),
    End::After(Duration::from_millis(600)),
    End::At("before-journal:1"),
    End::At("before-journal:2"),
    End::At("before-publish:1"),
    End::After(Duration::from_millis(400)),
    End::At("after-publish:4"),
    End::At("before-journal:7"),
    End::At("before-publish:6"),
    End::After(Duration::from_millis(500)),
];

/// Runs the engine until it meets its end, or the day is over; whether it was there that it ended.
fn die(beside: &Beside, end: End, is_over: impl Fn() -> bool) -> bool {
    let mut child = match end {
        End::At(place) => beside.start(&["--crash-at", place]),
        End::After(_) => beside.start(&[]),
    };
    let since = Since::now();
    let mut as_meant = true;
    while child.try_wait().unwrap().is_none() {
        let in_time = matches!(end, End::After(time) if since.elapsed() > time);
        if in_time || is_over() {
            as_meant = in_time;
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    as_meant
}

/// The engine is killed again and again between outbox, journal, brokers and clients; in the end every
/// account has what it has where nobody was killed, every event was decided once, and the journal is
/// whole.
#[test]
fn killed_anywhere_the_engine_pays_what_it_pays_undisturbed() {
    let Some(calm) = Beside::new("calm", PATIENT) else { return };
    let (engine, stream) = (calm.serve(), calm.stream());
    let expected = live_through(&calm);
    assert!(calm.end(engine).contains("executed again"));
    let decided = calm.bench.decided().len();
    drop(stream);
    assert!(expected.values().any(|[_, _, held]| *held > 0), "some of it is held");
    let Some(troubled) = Beside::new("troubled", PATIENT) else { return };
    let _stream = troubled.stream();
    let (found, last) = std::thread::scope(|scope| {
        let living = scope.spawn(|| live_through(&troubled));
        let died = ENDS.into_iter().filter(|end| die(&troubled, *end, || living.is_finished()));
        let died = died.count();
        let last = troubled.serve();
        let found = living.join().unwrap();
        assert_eq!(died, ENDS.len(), "each end was met before the day was over");
        (found, last)
    });
    assert_eq!(found, expected);
    assert!(troubled.end(last).contains("executed again"));
    let ids = troubled.bench.decided();
    let each: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), each.len()), (decided, decided));
    assert!(troubled.bench.committed("dead").is_empty(), "nothing was published in two forms");
}

/// Decisions that were made while the engine was away settle when it is back, however long that was:
/// nothing falls back on which the stream has decided. And nothing is done twice.
#[test]
fn what_is_decided_meanwhile_settles_when_the_engine_is_back() {
    const LIMIT: Duration = Duration::from_secs(6);
    // The fallback would hold what the stream allows.
    let limits = "[decision_ms_max]\nvalue = 6000\nsource = \"test\"\n";
    let Some(beside) = Beside::new("away", limits) else { return };
    let engine = beside.serve();
    beside.send(&topup("ada", 1_000_000));
    let since = Since::now();
    (0..5).for_each(|at| drop(beside.send(&pay(&format!("t{at}"), "ada", "bo", 30_000))));
    // An answer does not wait for brokers; here the events have to be there.
    until("not all is published", || {
        beside.send(&json!({ "id": "look", "do": "tick" }));
        beside.metric("hongxian_packet_events_published_total") == 6
    });
    engine.end("-KILL");
    let _stream = beside.stream();
    until("not all is decided", || beside.bench.decided().len() == 5);
    until("time passes", || since.elapsed() > LIMIT);
    let engine = beside.serve();
    (0..5).for_each(|at| beside.until_settled(&format!("t{at}"), "posted"));
    assert_eq!(beside.wallet("bo"), [150_000, 0, 0]);
    assert_eq!(beside.metric("hongxian_packet_fallbacks_total"), 0);
    let repeat = beside.send(&pay("t3", "ada", "bo", 30_000));
    assert_eq!(repeat["result"], "waiting", "the first reply again");
    let other = beside.send(&pay("t3", "ada", "bo", 30_001));
    assert!(other["error"].is_string(), "{other}");
    beside.end(engine);
    let engine = beside.serve();
    assert_eq!(beside.wallet("bo"), [150_000, 0, 0]);
    assert_eq!(beside.metric("hongxian_packet_events_published_total"), 0, "all were published");
    beside.end(engine);
}
