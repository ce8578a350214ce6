//! What decides, as process 0 of a cluster tells the others of it: it alone looks at rules and models on
//! disk, and what the others have is what the control topic holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bundle::{Bundle, Part, Places};
use super::control::{Begin, Change, Held};
use super::reload::{self, Read, temporary};
use crate::changes::{Candidate, Deciders, Timetable};
use crate::diagnostic::{Failure, Message};
use crate::event::Schema;
use crate::run::Laid;

/// All that decides in a session, or what comes into force while it goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// With what the stream began; none where it is known.
    begin: Option<Begin>,
    changes: Vec<Change>,
    /// Those for which the session has room, and which are not in force.
    to_come: Option<Deciders>,
    parts: BTreeMap<String, Vec<Part>>,
}

impl Told {
    /// All that decides, with rules that are to come.
    pub(super) fn of(held: &Held, to_come: Option<&Read>) -> Result<Told, Failure> {
        let Held { begin, changes, parts, .. } = held.clone();
        let mut told = Told { begin, changes, to_come: to_come.map(Read::deciders), parts };
        to_come.map_or(Ok(()), |read| told.add(read))?;
        Ok(told)
    }

    /// Rules that come into force.
    pub(super) fn of_change(read: &Read, effective_time: i64) -> Result<Told, Failure> {
        let changes = vec![Change { effective_time, deciders: read.deciders(), backfilled: true }];
        let mut told = Told { begin: None, changes, to_come: None, parts: BTreeMap::new() };
        told.add(read)?;
        Ok(told)
    }

    /// Adds the bytes of rules.
    fn add(&mut self, read: &Read) -> Result<(), Failure> {
        let known: BTreeSet<String> = self.parts.keys().cloned().collect();
        let mut held = Held::default();
        read.entries(&known)?.into_iter().for_each(|entry| held.take(entry));
        self.parts.extend(held.parts);
        Ok(())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers always serialise")
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Told, Failure> {
        serde_json::from_slice(bytes).map_err(|error| not_understood(&error.to_string()))
    }

    /// The rules of a session, as process 0 has them.
    pub(super) fn laid(self, schema: &Arc<Schema>) -> Result<Laid, Failure> {
        let Told { begin, changes, to_come, parts } = self;
        let held = Held { begin, changes, parts, ..Held::default() };
        let timetable = reload::kept(&held, schema)?;
        let timetable = timetable.ok_or_else(|| not_understood("it has no rules"))?;
        let candidate = |deciders| candidate(&held, &deciders, &timetable, schema);
        let to_come = to_come.map(candidate).transpose()?.into_iter().collect();
        Ok(Laid::new(timetable, to_come))
    }

    /// The rules that come into force after those of a timetable, and when.
    pub(super) fn change(
        self,
        timetable: &Timetable,
        schema: &Arc<Schema>,
    ) -> Result<(Candidate, i64), Failure> {
        let Told { mut changes, parts, .. } = self;
        let held = Held { parts, ..Held::default() };
        let Change { effective_time, deciders, .. } =
            changes.pop().ok_or_else(|| not_understood("it has no change"))?;
        Ok((candidate(&held, &deciders, timetable, schema)?, effective_time))
    }
}

/// Rules that may come after those of a timetable.
fn candidate(
    held: &Held,
    deciders: &Deciders,
    timetable: &Timetable,
    schema: &Arc<Schema>,
) -> Result<Candidate, Failure> {
    let bundle: Option<Bundle> = held.bundle(deciders);
    let bundle = bundle.ok_or_else(|| not_understood("bytes are missing"))?;
    let folder = temporary()?;
    let Places { rules, models } = bundle.write(folder.path(), deciders)?;
    timetable.candidate(rules.as_deref(), models.load()?, schema)
}

fn not_understood(why: &str) -> Failure {
    Failure::Environment(Message::new(
        format!("what process 0 says of rules and models is not understood: {why}"),
        format!("无法理解进程 0 所述的规则与模型：{why}"),
    ))
}
