//! A packet as JSON, for whoever wants to know what it is or to check its draws.

use serde::Serialize;

use super::outcome::hex;
use crate::packet::engine::{Engine, PacketState};

/// A packet. Its parts, `remaining_fen` to `refunded_fen`, add up to `amount_fen`.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are told of in docs/packet-engine.md")]
pub struct Shown<'a> {
    pub packet: &'a str,
    /// The command that sent it.
    pub seq: u64,
    pub account: &'a str,
    pub group: Option<&'a str>,
    pub play: &'static str,
    pub to: Option<&'a str>,
    pub amount_fen: u64,
    pub shares: u32,
    pub tilt_per_mille: u16,
    pub state: &'static str,
    pub expires_ns: i64,
    pub commitment: String,
    /// None before it is closed.
    pub secret: Option<String>,
    pub head: String,
    pub remaining_fen: u64,
    pub undecided_fen: u64,
    pub voided_fen: u64,
    pub paid_fen: u64,
    pub held_fen: u64,
    pub returned_fen: u64,
    pub frozen_fen: u64,
    pub refunded_fen: u64,
    pub next: Option<&'a str>,
    /// In their order.
    pub claims: Vec<ShownClaim<'a>>,
}

/// A share that was taken.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "as above")]
pub struct ShownClaim<'a> {
    pub account: &'a str,
    pub amount_fen: u64,
    /// The command that took it.
    pub seq: u64,
}

/// The packet of an id; none where there is none, or it is forgotten.
pub fn shown<'a>(id: &'a str, engine: &'a Engine) -> Option<Shown<'a>> {
    let packet = engine.packet(id)?;
    let parts = packet.parts;
    let claims = packet.claims.iter().map(|claim| ShownClaim {
        account: engine.account_name(claim.account),
        amount_fen: claim.amount.0,
        seq: claim.seq.0,
    });
    Some(Shown {
        packet: id,
        seq: packet.seq.0,
        account: packet.sender,
        group: packet.group,
        play: packet.play.name,
        to: packet.named,
        amount_fen: parts.total().0,
        shares: packet.shares,
        tilt_per_mille: packet.tilt.0,
        state: state_name(packet.state),
        expires_ns: packet.expires_at.0,
        commitment: hex(&packet.commitment),
        secret: packet.secret.as_ref().map(hex),
        head: hex(&packet.head),
        remaining_fen: parts.remaining.0,
        undecided_fen: parts.undecided.0,
        voided_fen: parts.voided.0,
        paid_fen: parts.paid.0,
        held_fen: parts.held.0,
        returned_fen: parts.returned.0,
        frozen_fen: parts.frozen.0,
        refunded_fen: parts.refunded.0,
        next: packet.next_sender,
        claims: claims.collect(),
    })
}

fn state_name(state: PacketState) -> &'static str {
    match state {
        PacketState::Waiting => "waiting",
        PacketState::Open => "open",
        PacketState::Exhausted => "exhausted",
        PacketState::Expired => "expired",
        PacketState::Closed => "closed",
        PacketState::Blocked => "blocked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::command::{Command, Funding, PerMille, Play, Purse, Request, Send, Tie};
    use crate::packet::draw::MasterSecret;
    use crate::packet::limits::Limits;
    use crate::packet::reply::{Done, Happening};
    use crate::packet::units::{Fen, Time};

    /// Its secret can be asked for once it was told, and not before; what it is always can be.
    #[test]
    fn a_packet_tells_its_secret_once_it_is_closed() {
        let limits = Limits { decisions_awaited: false, ..Limits::default() };
        let mut engine = Engine::new(limits, MasterSecret::new([7; 32]));
        let mut at = 1_707_480_000_000;
        let mut ask = |engine: &mut Engine, id: &str, command: Command<'_>| {
            at += 1;
            engine.apply(Time::from_ms(at), &Request { id, command }).unwrap().result.unwrap()
        };
        ask(&mut engine, "t", Command::TopUp { account: "ada", amount: Fen(1_000) });
        let send = Send {
            account: "ada",
            packet: "p",
            group: None,
            amount: Fen(1_000),
            shares: 2,
            play: Play::Lucky,
            funding: Funding::Purse(Purse::Change),
            tilt: PerMille(50),
        };
        let Done::Sent { commitment } = ask(&mut engine, "s", Command::Send(send)) else {
            panic!("it is sent")
        };
        let claim = |account| Command::Claim { account, packet: "p", guess: None, tie: Tie::Close };
        ask(&mut engine, "c1", claim("bo"));
        let open = shown("p", &engine).unwrap();
        assert_eq!((open.play, open.shares, open.tilt_per_mille), ("lucky", 2, 50));
        assert_eq!((open.state, &open.commitment), ("open", &hex(&commitment)));
        assert_eq!(open.secret, None, "shares are still to be drawn");
        ask(&mut engine, "c2", claim("cy"));
        let told = engine.take_effects().into_iter().find_map(|effect| match effect.what {
            Happening::Closed { secret, .. } => Some(hex(&secret)),
            _ => None,
        });
        let closed = shown("p", &engine).unwrap();
        assert!(told.is_some() && closed.secret == told, "{closed:?}");
        assert_eq!((closed.state, closed.paid_fen, closed.amount_fen), ("closed", 1_000, 1_000));
        let claims = closed.claims.iter().map(|claim| (claim.account, claim.seq));
        assert_eq!(claims.collect::<Vec<_>>(), [("bo", 2), ("cy", 3)]);
        assert!(shown("q", &engine).is_none());
    }
}
