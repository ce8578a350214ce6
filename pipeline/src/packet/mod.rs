//! The red packet itself: an engine that pays, and a referee that watches.
//!
//! The [`engine`] is good enough to trust with money: every command has an id and is executed once,
//! money moves by double entry ([`ledger`]) and in two steps wherever a risk decision is awaited,
//! shares are drawn so that anyone can draw them again ([`draw`], [`split`]), and the order of claims
//! is a chain of hashes ([`chain`]). It has no files, no clock and no randomness of its own. What it
//! allows stands in one file ([`limits`]), how packets are played in one table ([`plays`]).
//!
//! With its [`journal`] it is [`durable`]: nobody is told of a command before it is on disk, and
//! what is on disk proves its own order. A [`server`] executes batches while those before them are
//! on their way to disk.
//!
//! What it does is told to the pipeline as [`events`].
//!
//! The [`referee`] looks at a stream of events from elsewhere and says where it breaks these laws
//! ([`finding`]), and [`luck`] whether its shares can have been drawn.
//!
//! ```
//! use hongxian::packet::command::{Command, Funding, Play, Purse, Request, Send, Tie};
//! use hongxian::packet::command::PerMille;
//! use hongxian::packet::draw::MasterSecret;
//! use hongxian::packet::engine::Engine;
//! use hongxian::packet::limits::Limits;
//! use hongxian::packet::reply::{Done, Refusal};
//! use hongxian::packet::units::{Fen, Time};
//!
//! let limits = Limits { decisions_awaited: false, ..Limits::default() };
//! let mut engine = Engine::new(limits, MasterSecret::new([7; 32]));
//! let now = Time::from_ms(1_707_480_000_000);
//! let mut ask = |id, command| engine.apply(now, &Request { id, command }).unwrap().result;
//!
//! ask("r1", Command::TopUp { account: "ada", amount: Fen(1_000) }).unwrap();
//! let packet = Send {
//!     account: "ada",
//!     packet: "p1",
//!     group: None,
//!     amount: Fen(1_000),
//!     shares: 2,
//!     play: Play::Lucky,
//!     funding: Funding::Purse(Purse::Change),
//!     tilt: PerMille(0),
//! };
//! ask("r2", Command::Send(packet)).unwrap();
//! let claim = |account| Command::Claim { account, packet: "p1", guess: None, tie: Tie::None };
//! let first = ask("r3", claim("bo"));
//! assert!(matches!(first, Ok(Done::Claimed { index: 0, .. })));
//! assert_eq!(ask("r3", claim("bo")), first, "the same command again: the same reply");
//! assert_eq!(ask("r4", claim("bo")), Err(Refusal::ClaimedAlready));
//! ask("r5", claim("cy")).unwrap();
//! assert_eq!(ask("r6", claim("dee")), Err(Refusal::PacketExhausted));
//! ```

pub(crate) mod bugs;
pub mod units;
pub mod command;
pub mod plays;
pub mod reply;
pub mod limits;
pub mod draw;
pub mod split;
pub mod tilt;
pub mod journal;
pub mod chain;
mod hash_index;
pub mod names;
pub mod numbered;
pub mod ledger;
pub mod engine;
pub mod events;
pub mod executor;
mod frozen;
pub mod durable;
pub mod server;
pub mod json;
pub mod finding;
pub mod luck;
pub mod referee;
pub(crate) mod requests;
#[cfg(test)]
mod simulation;
