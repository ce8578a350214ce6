//! What was said and what was paid, in little memory.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use xxhash_rust::xxh3::{Xxh3DefaultBuilder, xxh3_64};

use super::terms::fold_numbers;
use crate::diagnostic::Failure;
use crate::event::{
    ACCOUNT_ID, AMOUNT_FEN, COUNTERPARTY_ID, EVENT_TIME, GROUP_ID, Kind, PACKET_ID, SHARES, TEXT,
};
use crate::features::text::{Lexicon, Scratch};
use crate::finished::Events;
use crate::source::Progress;
use crate::source::order::Slice;

/// Nobody, or no group.
pub(super) const NONE: u32 = u32::MAX;
/// The most texts that are looked at: with all beside them about 2 GiB.
pub(super) const TEXTS_MAX: usize = 20_000_000;
/// A payment settles what was said so long before, in ms. The orders of a coded settlement are paid
/// within a minute or so; in an hour people pay for other things as well.
pub(super) const SETTLES_WITHIN_MS: i64 = 10 * 60_000;
/// The most payees of one speaker after one text.
const PAYEES_MAX: usize = 4;

/// Something that was said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) time: i64,
    pub(super) speaker: u32,
    pub(super) group: u32,
    /// Its place among the events of the run.
    pub(super) event: u32,
    /// The number of its text.
    pub(super) text: u32,
}

/// Money that somebody got from somebody: a transfer, or a packet of one share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Payment {
    payer: u32,
    time: i64,
    payee: u32,
    fen: i64,
}

/// All of a run.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) said: Vec<Said>,
    /// The symbols of the texts, end to end, and where each ends.
    symbols: Vec<u32>,
    ends: Vec<(usize, bool)>,
    payments: Vec<Payment>,
    /// Who acts in which group.
    members: BTreeSet<(u32, u32)>,
    /// Names of accounts and groups, by number.
    pub(super) names: Vec<String>,
    /// Texts that were not looked at, because there are too many.
    pub(super) left_out: u64,
}

impl Gathered {
    /// The symbols of a text.
    pub(super) fn text(&self, text: u32) -> &[u32] {
        let at = text as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].0);
        &self.symbols[start..self.ends[at].0]
    }

    /// Whether a phrase hits the text.
    pub(super) fn is_hit(&self, text: u32) -> bool {
        self.ends[text as usize].1
    }

    /// Whom the speaker pays within [`SETTLES_WITHIN_MS`], and how much.
    pub(super) fn paid_after(&self, said: &Said, out: &mut Vec<(u32, i64)>) {
        out.clear();
        let from = self.payments.partition_point(|p| (p.payer, p.time) < (said.speaker, said.time));
        let until = said.time + SETTLES_WITHIN_MS;
        let theirs = self.payments[from..].iter();
        for paid in theirs.take_while(|p| p.payer == said.speaker && p.time <= until) {
            match out.iter().position(|(payee, _)| *payee == paid.payee) {
                Some(at) => out[at].1 += paid.fen,
                None if out.len() < PAYEES_MAX => out.push((paid.payee, paid.fen)),
                None => {}
            }
        }
    }

    /// Whether an account acts in a group.
    pub(super) fn acts_in(&self, account: u32, group: u32) -> bool {
        group != NONE && self.members.contains(&(account, group))
    }
}

/// Reads what was said and paid in a run.
pub(super) fn gather(
    events: &Events,
    lexicon: &Lexicon,
    progress: &dyn Progress,
) -> Result<Gathered, Failure> {
    let mut gatherer = Gatherer {
        lexicon,
        gathered: Gathered::default(),
        ids: HashMap::default(),
        texts: HashMap::default(),
        single: HashMap::default(),
        scratch: Scratch::default(),
        read: Vec::new(),
    };
    events.each_slice(progress, &mut |slice| gatherer.slice(slice))?;
    let mut gathered = gatherer.gathered;
    gathered.payments.sort_unstable();
    Ok(gathered)
}

struct Gatherer<'l> {
    lexicon: &'l Lexicon,
    gathered: Gathered,
    ids: HashMap<String, u32, Xxh3DefaultBuilder>,
    /// The numbers of texts, by the hash of what they are written as.
    texts: HashMap<u64, u32, Xxh3DefaultBuilder>,
    /// Packets of one share.
    single: HashMap<u64, (), Xxh3DefaultBuilder>,
    scratch: Scratch,
    read: Vec<u32>,
}

impl Gatherer<'_> {
    fn slice(&mut self, slice: &Slice) {
        let chunk = &slice.chunk;
        for row in 0..chunk.len() {
            let kind = chunk.kind(row);
            let time = chunk.int(EVENT_TIME, row);
            let account = self.id("a", chunk.str(ACCOUNT_ID, row));
            let group = self.id("g", chunk.str(GROUP_ID, row));
            if account != NONE && group != NONE && kind != Kind::Group {
                self.gathered.members.insert((account, group));
            }
            let text = chunk.str(TEXT, row);
            let fen = chunk.int(AMOUNT_FEN, row);
            match kind {
                Kind::Transfer => {
                    let payee = self.id("a", chunk.str(COUNTERPARTY_ID, row));
                    self.paid(Payment { payer: account, time, payee, fen });
                }
                Kind::Send if chunk.int(SHARES, row) == 1 => {
                    self.single.insert(xxh3_64(chunk.str(PACKET_ID, row).as_bytes()), ());
                }
                Kind::Claim => {
                    let packet = xxh3_64(chunk.str(PACKET_ID, row).as_bytes());
                    if self.single.contains_key(&packet) {
                        let payer = self.id("a", chunk.str(COUNTERPARTY_ID, row));
                        self.paid(Payment { payer, time, payee: account, fen });
                    }
                }
                _ => {}
            }
            let speaks = matches!(kind, Kind::Send | Kind::Transfer | Kind::Message | Kind::Group);
            if speaks && !text.is_empty() {
                let event = (slice.first + row as u64) as u32;
                self.said(text, Said { time, speaker: account, group, event, text: 0 });
            }
        }
    }

    fn paid(&mut self, payment: Payment) {
        if payment.payer != NONE && payment.payee != NONE {
            self.gathered.payments.push(payment);
        }
    }

    fn said(&mut self, text: &str, said: Said) {
        if self.gathered.said.len() == TEXTS_MAX {
            self.gathered.left_out += 1;
            return;
        }
        let hash = xxh3_64(text.as_bytes());
        let number = match self.texts.get(&hash) {
            Some(number) => *number,
            None => {
                let hit = self.lexicon.unknown_symbols(text, &mut self.scratch, &mut self.read);
                fold_numbers(&mut self.read);
                self.gathered.symbols.extend_from_slice(&self.read);
                self.gathered.ends.push((self.gathered.symbols.len(), hit));
                let number = self.gathered.ends.len() as u32 - 1;
                self.texts.insert(hash, number);
                number
            }
        };
        self.gathered.said.push(Said { text: number, ..said });
    }

    /// The number of an account or a group; the kind keeps ids apart that are spelt alike.
    fn id(&mut self, kind: &str, id: &str) -> u32 {
        if id.is_empty() {
            return NONE;
        }
        let key = [kind, id].concat();
        if let Some(number) = self.ids.get(&key) {
            return *number;
        }
        let number = self.gathered.names.len() as u32;
        self.gathered.names.push(id.to_owned());
        self.ids.insert(key, number);
        number
    }
}
