//! What the stream's people are told of held money that stays or goes without them: the engine falls
//! back where no decision comes in time, its holds end by themselves, and an approver may act at the
//! engine itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::outbox::Event;
use super::work::{Executed, Item};
use crate::event::Pseudonyms;
use crate::packet::command::{Command, Decision, Resolution};
use crate::packet::engine::Engine;
use crate::packet::reply::{Effect, Happening, Reply, Seq, Settlement};
use crate::packet::units::Time;

use super::super::http::holds::{Act, Action, Hold, Record};

/// Who acts where the engine does by itself.
const ENGINE: &str = "packet engine";

/// What a batch has to tell, and whose money waits after it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notices {
    pub(super) events: Vec<Event>,
    /// As in an entry of the outbox.
    pub(super) opened: Vec<(u64, String)>,
    pub(super) closed: Vec<u64>,
}

impl Notices {
    /// Of a batch that was executed. `before` has the ids of what waited before it.
    pub(super) fn of(
        (items, executed): (&[Item<'_>], &[Executed]),
        effects: &[Effect],
        engine: &Engine,
        before: &BTreeMap<u64, String>,
        pseudonyms: Option<&Arc<Pseudonyms>>,
    ) -> Notices {
        let mut notices = Notices::default();
        for (item, Executed { reply, is_new, .. }) in items.iter().zip(executed) {
            let Ok(Reply { seq, result: Ok(_), time, .. }) = reply else { continue };
            if !is_new {
                continue;
            }
            let request = item.request();
            match request.command {
                Command::Decide { transaction, .. } => notices.settled(engine, transaction),
                Command::Resolve { transaction, resolution, actor, reason } => {
                    notices.settled(engine, transaction);
                    if let Item::Client { .. } = item {
                        let why = match resolution {
                            Resolution::Freeze { case } => {
                                format!("frozen for case {case}: {reason}").into()
                            }
                            Resolution::Release | Resolution::Return => Cow::Borrowed(reason),
                        };
                        let is_paid = resolution == Resolution::Release;
                        notices.act(transaction, is_paid, (actor, &why), *time);
                    }
                }
                _ if waits(engine, request.id) => {
                    notices.opened.push((seq.0, request.id.to_owned()))
                }
                _ => {}
            }
        }
        let opened: BTreeMap<u64, String> = notices.opened.iter().cloned().collect();
        for Effect { time, what } in effects {
            let (Happening::FellBack { transaction: Seq(seq), .. }
            | Happening::HoldEnded { transaction: Seq(seq), .. }) = what
            else {
                continue;
            };
            // The journal may have been executed by another program.
            let Some(id) = before.get(seq).or_else(|| opened.get(seq)) else { continue };
            let late = "no decision came in time";
            match what {
                Happening::FellBack { decision: Decision::Hold { .. }, .. } => {
                    notices.held(engine, id, *time, pseudonyms);
                }
                Happening::FellBack { decision, .. } => {
                    let is_paid = *decision != Decision::Block;
                    notices.act(id, is_paid, (ENGINE, late), *time);
                    notices.closed.push(*seq);
                }
                Happening::HoldEnded { settlement, .. } => {
                    let is_paid = *settlement == Settlement::Released;
                    notices.act(id, is_paid, (ENGINE, "the time of its hold was over"), *time);
                    notices.closed.push(*seq);
                }
                _ => {}
            }
        }
        notices
    }

    /// A transaction was decided or ended: it may wait for nobody any more.
    fn settled(&mut self, engine: &Engine, transaction: &str) {
        if !waits(engine, transaction)
            && let Some(ours) = engine.transaction(transaction)
        {
            self.closed.push(ours.seq.0);
        }
    }

    fn act(&mut self, transaction: &str, is_paid: bool, (actor, reason): (&str, &str), time: Time) {
        let act = Act {
            event_id: transaction.to_owned(),
            action: if is_paid { Action::Release } else { Action::Void },
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            at_ms: time.ms(),
            at_engine: true,
        };
        self.push(transaction, &Record::Act(act));
    }

    fn held(
        &mut self,
        engine: &Engine,
        id: &str,
        time: Time,
        pseudonyms: Option<&Arc<Pseudonyms>>,
    ) {
        let Some(ours) = engine.transaction(id) else { return };
        let account_id =
            pseudonyms.map_or_else(|| ours.account.to_owned(), |held| held.of(ours.account));
        let held = Hold {
            event_id: id.to_owned(),
            account_id,
            amount_fen: ours.amount.0 as i64,
            effective_time: time.ms(),
            decision: None,
            score: None,
        };
        self.push(id, &Record::Held { held });
    }

    fn push(&mut self, id: &str, record: &Record) {
        let value = serde_json::json!(record).to_string();
        self.events.push(Event { key: id.to_owned(), value, of_hold: true });
    }
}

/// Whether a transaction of the engine waits for a decision or a person.
pub(super) fn waits(engine: &Engine, id: &str) -> bool {
    let settlement = engine.transaction(id).map(|ours| ours.settlement);
    matches!(settlement, Some(Settlement::Undecided | Settlement::Held))
}
