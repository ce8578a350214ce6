//! Random bytes for the packet engine: the checks of its fuzz targets, on input that comes nearer to
//! journals and commands than bytes drawn at random do.

#[expect(unreachable_pub, reason = "the fuzz targets are another crate")]
#[path = "../../../fuzz/src/packets.rs"]
mod packets;

use hongxian::packet::journal::frame::{self, Header};
use hongxian::packet::journal::ids::{BatchNumber, FrameHash, Root, Seq, Time};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A field of a command and its value; few of each, so that commands meet.
fn field() -> impl Strategy<Value = (&'static str, Value)> {
    let account = || prop::sample::select(vec!["ada", "bo", "cy", "r1"]);
    let number = || prop::sample::select(vec![0u64, 1, 2, 3, 100, 20_000, u64::from(u32::MAX)]);
    let text = |field: &'static str, values: Vec<&'static str>| {
        prop::sample::select(values).prop_map(move |value| (field, json!(value))).boxed()
    };
    let numbered =
        |field: &'static str| number().prop_map(move |value| (field, json!(value))).boxed();
    prop_oneof![
        account().prop_map(|value| ("to", json!(value))),
        numbered("amount_fen"),
        numbered("shares"),
        numbered("tilt_per_mille"),
        numbered("ttl_ms"),
        text("play", vec!["lucky", "equal", "exclusive", "relay", "timed", "password"]),
        text("packet", vec!["p1", "p2"]),
        text("group", vec!["g1", "g2"]),
        text("password", vec!["open", "sesame"]),
        text("tie", vec!["strong", "none", "weak"]),
        text("funding", vec!["change", "bank", "balance"]),
        text("transaction", vec!["r0", "r1", "r2", "r3"]),
        text("decision", vec!["allow", "review", "hold", "block"]),
        text("at", vec!["2024-02-09T20:00:00+08:00", "2024-02-12T20:00:00+08:00", "soon"]),
        Just(("under_review", json!(true))),
    ]
}

/// Commands that mostly have what they need; ids are used again.
fn command() -> impl Strategy<Value = Map<String, Value>> {
    let names =
        ["topup", "send", "send", "claim", "claim", "claim", "transfer", "withdraw", "tick"];
    let names = [&names[..], &["decide", "resolve", "join", "link", "move", "clear"]].concat();
    let who = prop::sample::select(vec!["ada", "bo", "cy", "dee"]);
    let more = prop::collection::vec(field(), 0..3);
    (0u32..40, prop::sample::select(names), who, 1u64..30_000, more).prop_map(
        |(id, name, who, fen, more)| {
            let mut line = match name {
                "topup" | "withdraw" => json!({ "account": who, "amount_fen": fen * 10 }),
                "send" => {
                    json!({ "account": who, "packet": format!("p{}", id % 3), "amount_fen": fen,
                            "shares": id % 4 + 1 })
                }
                "claim" => json!({ "account": who, "packet": format!("p{}", id % 3) }),
                "transfer" => json!({ "account": who, "to": "bo", "amount_fen": fen }),
                "decide" => json!({ "transaction": format!("r{}", id % 7), "decision": "allow" }),
                "join" => json!({ "account": who, "group": "g1" }),
                _ => json!({}),
            };
            line["id"] = json!(format!("r{id}"));
            line["do"] = json!(name);
            for (field, value) in more {
                line[field] = value;
            }
            line.as_object().cloned().expect("it is one")
        },
    )
}

/// Lines of commands, of which some bytes are others.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let commands = prop::collection::vec(command(), 1..40);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (commands, changes).prop_map(|(commands, changes)| {
        let lines = commands.into_iter().map(|line| format!("{}\n", Value::Object(line)));
        let mut bytes = lines.collect::<String>().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// A frame, whole or with a byte changed, and something behind it.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..80);
    let change = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (0u64..3, any::<u32>(), body, change, prop::collection::vec(any::<u8>(), 0..9)).prop_map(
        |(batch, count, body, change, behind)| {
            let header = Header {
                batch: BatchNumber(batch),
                first_sequence: Seq(batch),
                count,
                time: Time(batch as i64),
                durable: BatchNumber(0),
                previous: FrameHash([0; 32]),
                heads_root: Root([0; 32]),
                body_bytes: 0,
                hash: FrameHash([0; 32]),
            };
            let mut bytes = Vec::new();
            frame::encode(&header, &body, &mut bytes);
            bytes.extend(behind);
            if let Some((at, byte)) = change {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_journal_of_any_bytes_is_refused_or_holds_what_was_written(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..64), frames()],
    ) {
        packets::journal(&bytes);
    }

    #[test]
    fn commands_of_any_bytes_keep_the_money(
        bytes in prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 9 => lines()],
    ) {
        packets::commands(&bytes);
    }
}

/// The commands are what they are for: they are executed, and packets are shared out.
#[test]
fn a_packet_is_shared_out_in_lines() {
    let lines = r#"{"id":"r1","do":"topup","account":"ada","amount_fen":1000}
{"id":"r2","do":"send","account":"ada","packet":"p1","amount_fen":10,"shares":2,"play":"lucky"}
no command
{"id":"r3","do":"decide","transaction":"r2","decision":"allow"}
{"id":"r4","do":"claim","account":"bo","packet":"p1"}
"#;
    assert_eq!(packets::commands(lines.as_bytes()), 4);
}
