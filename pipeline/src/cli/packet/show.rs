//! `hongxian packet show`.

use std::path::PathBuf;

use super::place::{self, Keys};
use crate::cli::{JsonAnyway, environment, print};
use crate::diagnostic::{Failure, Message};
use crate::packet::command::Request;
use crate::packet::durable::{Auditor, Onlooker};
use crate::packet::engine::{Engine, PacketState, Parts};
use crate::packet::journal::{Directory, Header, JournalError, Trust, verify};
use crate::packet::json::shown;
use crate::packet::reply::{Digest, Effect, Reply};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the journal
    directory: PathBuf,
    /// The id of the packet
    packet: String,
    #[command(flatten)]
    _json: JsonAnyway,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { directory, packet: id, .. } = arguments;
    let keys = Keys::read(directory)?;
    let storage = Directory::read_only(directory).map_err(|error| place::at(directory, &error))?;
    let trust = Trust { key: Some(keys.signer.public().clone()), ..Trust::default() };
    let mut auditor = Auditor::new(keys.draws, Watch { id, seen: None });
    verify(&storage, &trust, Some(&mut auditor)).map_err(|error| match error {
        JournalError::Damage(damage) => place::broken(&damage.to_string()),
        other => environment(other.to_string()),
    })?;
    let Some((_, text)) = auditor.onlooker.seen else {
        return Err(Failure::No(Message::new(
            format!("there is no packet `{id}` in this journal"),
            format!("日志中没有编号为 `{id}` 的红包"),
        )));
    };
    print(&text);
    Ok(())
}

/// What a packet was last, while the journal is executed again: the engine forgets it in time.
struct Watch<'a> {
    id: &'a str,
    seen: Option<((PacketState, Parts, Digest), String)>,
}

impl Onlooker for Watch<'_> {
    fn before(&mut self, _: &Engine, _: &Request<'_>) {}

    fn after(&mut self, _: &Engine, _: &Request<'_>, _: &Reply) {}

    fn end(&mut self, engine: &Engine, _: &Header, _: &[Effect]) {
        let Some(packet) = engine.packet(self.id) else { return };
        let now = (packet.state, packet.parts, packet.head);
        if self.seen.as_ref().is_none_or(|(then, _)| *then != now) {
            let value = serde_json::json!(shown(self.id, engine));
            self.seen = Some((now, format!("{value}\n")));
        }
    }
}
