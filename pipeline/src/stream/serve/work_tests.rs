//! What is heard becomes commands, and what is executed events.

use super::*;
use crate::packet::command::Funding;
use crate::packet::draw::MasterSecret;
use crate::packet::limits::Limits;
use crate::packet::units::Fen;

const NOW: Time = Time::from_ms(1_707_480_000_000);
const HOLD: Span = Span::from_seconds(3_600);

/// An engine with the transfers `a` and `b` of 5 yuan, on which nothing is decided.
fn engine() -> Engine {
    let mut engine = Engine::new(Limits::default(), MasterSecret::new([3; 32]));
    for id in ["a", "b"] {
        let (account, to, amount) = ("ada", "bo", Fen(500));
        let command = Command::Transfer { account, to, amount, funding: Funding::Bank };
        engine.apply(NOW, &Request { id, command }).unwrap().result.unwrap();
    }
    engine
}

fn decided(offset: u64, event_id: &str, verdict: Verdict) -> Heard {
    let [rules_hash, evidence] = [[1; 32], [2; 32]];
    let decided = Decided {
        event_id: event_id.to_owned(),
        account_id: "ada".to_owned(),
        amount_fen: 500,
        verdict,
        rules_hash,
        evidence,
    };
    Heard { source: 0, offset, what: What::Decided(decided) }
}

fn act(offset: u64, event_id: &str, action: Action, actor: &str) -> Heard {
    let act = Act {
        event_id: event_id.to_owned(),
        action,
        actor: actor.to_owned(),
        reason: "known".to_owned(),
        at_ms: 0,
        at_engine: false,
    };
    Heard { source: 1, offset, what: What::Act(act) }
}

struct Room {
    engine: Engine,
    heard: HeardSoFar,
}

impl Room {
    fn new() -> Room {
        let sources = vec![("decisions/0".to_owned(), 0), ("holds/0".to_owned(), 0)];
        Room { engine: engine(), heard: HeardSoFar::new(sources, None) }
    }

    /// Hears records as one batch, has the engine do what follows, and says what that was.
    fn hear(&mut self, records: Vec<Heard>) -> Vec<String> {
        let mut orders = Vec::new();
        for record in records {
            self.heard.orders(record, &self.engine, HOLD, &mut orders);
        }
        let done = |order: &Order| {
            let reply = self.engine.apply(NOW, &order.request()).unwrap();
            match reply.result {
                Ok(done) => format!("{} {done:?}", order.transaction),
                Err(refusal) => format!("{} {refusal:?}", order.transaction),
            }
        };
        orders.iter().map(done).collect()
    }

    fn read(&self) -> [u64; 2] {
        let read = self.heard.read();
        [read["decisions/0"], read["holds/0"]]
    }
}

/// Each decision settles its transaction, once; decisions on what others sent are passed over.
#[test]
fn decisions_settle_what_is_ours_and_once() {
    let mut room = Room::new();
    let none: [&str; 0] = [];
    assert_eq!(room.hear(vec![decided(0, "elsewhere", Verdict::Block)]), none);
    let both = vec![decided(1, "a", Verdict::Review), decided(4, "b", Verdict::Hold)];
    assert_eq!(room.hear(both), ["a Decided(Posted)", "b Decided(Held)"]);
    assert_eq!(room.read(), [5, 0]);
    // Read again after a restart it is the same command, and gets the same reply.
    let commands = room.engine.commands();
    assert_eq!(room.hear(vec![decided(4, "b", Verdict::Hold)]), ["b Decided(Held)"]);
    assert_eq!(room.engine.commands(), commands, "nothing was executed");
    assert_eq!(room.read(), [5, 0], "what is read again takes nothing back");
}

/// What a person did with a hold waits for the decision that held it, which another topic brings,
/// however late; until then it would be read again.
#[test]
fn an_act_waits_for_its_decision() {
    let mut room = Room::new();
    let none: [&str; 0] = [];
    let acts = vec![
        act(0, "elsewhere", Action::Release, "lin"),
        act(1, "a", Action::Release, "lin"),
        act(2, "a", Action::Void, "wang"),
    ];
    assert_eq!(room.hear(acts), none);
    assert_eq!(room.read(), [0, 1]);
    assert_eq!(
        room.hear(vec![decided(0, "a", Verdict::Hold)]),
        ["a Decided(Held)", "a Decided(Released)"],
        "the first act counts"
    );
    assert_eq!(room.read(), [1, 3]);
    // In one batch, and after the decision.
    let both = vec![decided(1, "b", Verdict::Hold), act(3, "b", Action::Void, "wang")];
    assert_eq!(room.hear(both), ["b Decided(Held)", "b Decided(Returned)"]);
    assert_eq!(room.read(), [2, 4]);
}

/// A decision on an event that somebody else has sent under the id of a transaction settles nothing.
#[test]
fn a_decision_on_another_event_of_the_id_settles_nothing() {
    let rows: [fn(&mut Decided); 2] =
        [|decided| decided.amount_fen = 499, |decided| decided.account_id = "bo".to_owned()];
    for change in rows {
        let mut room = Room::new();
        let none: [&str; 0] = [];
        let mut heard = decided(0, "a", Verdict::Allow);
        let What::Decided(decided) = &mut heard.what else { unreachable!() };
        change(decided);
        assert_eq!(room.hear(vec![heard]), none);
        assert_eq!(settlement(&room, "a"), Settlement::Undecided);
    }
}

fn settlement(room: &Room, transaction: &str) -> Settlement {
    room.engine.transaction(transaction).unwrap().settlement
}

/// Where the engine has fallen back on its own, that binds.
#[test]
fn a_fallback_stays_whatever_is_heard_later() {
    let mut room = Room::new();
    let late = Time::from_ms(NOW.ms() + 3_000);
    room.engine.advance(late);
    assert_eq!(settlement(&room, "a"), Settlement::Posted, "5 yuan are allowed");
    assert_eq!(room.hear(vec![decided(0, "a", Verdict::Block)]), ["a DecidedOtherwise"]);
    assert_eq!(room.hear(vec![act(0, "a", Action::Void, "lin")]), ["a NotHeld"]);
    assert_eq!(settlement(&room, "a"), Settlement::Posted);
}

/// A command makes its event when it is executed, with its context, and none when it is repeated.
#[test]
fn a_command_makes_one_event() {
    let limits = Limits { decisions_awaited: false, ..Limits::default() };
    let engine = Engine::new(limits, MasterSecret::new([3; 32]));
    let mut server: Server<Told> = Server::forgetful(engine, |_| Ok(()));
    let mut batch = |commands: &[(&str, &str, u64)]| {
        let context = Map::from_iter([("text".to_owned(), Value::from("新年"))]);
        let items = commands.iter().map(|&(id, account, amount)| Item::Client {
            ask: 0,
            place: 0,
            request: Request { id, command: Command::TopUp { account, amount: Fen(amount) } },
            context: &context,
        });
        let items: Vec<Item<'_>> = items.collect();
        let executed = execute(&mut server, &items, NOW);
        let (effects, engine) = server.end();
        let events = made(&items, &executed, effects, engine);
        let shown = events.iter().map(|event| {
            let value: Value = serde_json::from_str(&event.value).unwrap();
            assert_eq!(value["text"], "新年");
            format!("{} {} {}", event.key, value["event_id"], value["amount_fen"])
        });
        shown.collect::<Vec<String>>()
    };
    assert_eq!(batch(&[("r1", "ada", 5), ("r2", "bo", 0)]), ["ada \"r1\" 5"], "0 is refused");
    let again = [("r1", "ada", 5), ("r3", "cy", 7), ("r3", "cy", 7), ("r1", "ada", 6)];
    assert_eq!(batch(&again), ["cy \"r3\" 7"]);
}
