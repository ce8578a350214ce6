//! `hongxian packet prove`.

use std::path::{Path, PathBuf};

use super::place::{self, Keys, PUBLIC};
use crate::cli::{environment, print};
use crate::diagnostic::{Failure, Message};
use crate::packet::chain::{self, Record};
use crate::packet::command::{Command, Request};
use crate::packet::durable::{Auditor, Onlooker};
use crate::packet::engine::Engine;
use crate::packet::journal::ids::Head;
use crate::packet::journal::{
    Claim, Directory, Header, Journal, JournalError, Options, Proof, ProofError, Touched, Trust,
    verify,
};
use crate::packet::reply::{Digest, Done, Effect, Happening, Reply, Seq};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the journal
    #[arg(required_unless_present = "check")]
    directory: Option<PathBuf>,
    /// The id of the claim's command
    #[arg(required_unless_present = "check")]
    claim: Option<String>,
    /// Check a proof instead of making one: nothing but the proof and the public key is needed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["directory", "claim"], requires = "key")]
    check: Option<PathBuf>,
    /// The operator's public key [default: public.key in the directory]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print what --check finds as one JSON object; a proof is JSON in any case
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match (&arguments.check, &arguments.directory, &arguments.claim) {
        (Some(proof), ..) => check(proof, arguments.key.as_deref(), arguments.json),
        (None, Some(directory), Some(claim)) => prove(directory, claim),
        _ => unreachable!("clap asks for them"),
    }
}

fn prove(directory: &Path, claim: &str) -> Result<(), Failure> {
    let keys = Keys::read(directory)?;
    let storage = Directory::open(directory).map_err(|error| place::at(directory, &error))?;
    let trust = Trust { key: Some(keys.signer.public().clone()), ..Trust::default() };
    let mut auditor = Auditor::new(keys.draws, Search { id: claim, found: None });
    let broken = |error: JournalError| match error {
        JournalError::Damage(damage) => place::broken(&damage.to_string()),
        other => environment(other.to_string()),
    };
    verify(&storage, &trust, Some(&mut auditor)).map_err(broken)?;
    let Some(found) = auditor.onlooker.found else {
        return Err(Failure::No(Message::new(
            format!("no command `{claim}` in this journal took a share"),
            format!("日志中没有编号为 `{claim}` 的成功领取"),
        )));
    };
    let options = Options { trust, ..Options::default() };
    let (mut journal, _) = Journal::open(storage, &options).map_err(broken)?;
    let checkpoint = journal.checkpoint(&keys.signer).map_err(broken)?;
    let tree = journal.log_tree().map_err(broken)?;
    let after: Vec<&[u8]> = found.after.iter().map(Record::as_slice).collect();
    let claim = Claim {
        packet: found.packet.as_bytes(),
        before: Head(found.before),
        record: &found.record,
        after: &after,
    };
    let Ended { header, touched } = found.batch.expect("the batch has an end");
    let touched: Vec<Touched<'_>> = touched
        .iter()
        .map(|(packet, head, claims)| Touched {
            packet: packet.as_bytes(),
            head: Head(*head),
            claims: *claims,
        })
        .collect();
    let proof = Proof::new(&claim, (&header, &touched), &tree, &checkpoint)
        .map_err(|error| place::broken(&error.to_string()))?;
    print(&proof.to_json());
    Ok(())
}

fn check(path: &Path, key: Option<&Path>, json: bool) -> Result<(), Failure> {
    let key = place::public_key(key.unwrap_or(Path::new(PUBLIC)))?;
    let text = std::fs::read_to_string(path).map_err(|error| place::at(path, &error))?;
    let no = |error: ProofError| {
        Failure::No(Message::new(
            format!("the proof shows nothing: {error}"),
            format!("证明无效:{error}"),
        ))
    };
    let proven = Proof::from_json(&text).and_then(|proof| proof.check(&key)).map_err(no)?;
    let record: Record = proven.record.as_slice().try_into().map_err(|_| {
        Failure::No(Message::new("the proof is not of a claim", "该证明不是领取记录的证明"))
    })?;
    let claim = chain::read(&record).ok_or_else(|| {
        Failure::No(Message::new("the proof is not of a claim", "该证明不是领取记录的证明"))
    })?;
    let account = blake3::Hash::from_bytes(claim.digest);
    if json {
        let proven = serde_json::json!({
            "packet": String::from_utf8_lossy(&proven.packet),
            "place": proven.place,
            "amount_fen": claim.amount.0,
            "time_ns": claim.time.0,
            "account_blake3": account.to_hex().as_str(),
            "receipt": proven.receipt.to_string(),
            "batch": proven.batch.0,
            "checkpoint_batches": proven.checkpoint.size,
        });
        print(&format!("{proven:#}\n"));
        return Ok(());
    }
    print(&format!(
        "claim {} of packet {}: {} fen at {} ns, by the account whose id has the BLAKE3 digest {}\n\
         receipt {}\nin batch {}, which the signed checkpoint of {} batches covers\n\
         This proves the order of the claims and their amounts, not the time of day.\n",
        proven.place,
        String::from_utf8_lossy(&proven.packet),
        claim.amount.0,
        claim.time.0,
        account,
        proven.receipt,
        proven.batch,
        proven.checkpoint.size,
    ));
    Ok(())
}

/// Looks for a claim while the journal is executed again.
struct Search<'a> {
    id: &'a str,
    found: Option<Found>,
}

struct Found {
    packet: String,
    sent: Option<Seq>,
    before: Digest,
    record: Record,
    after: Vec<Record>,
    batch: Option<Ended>,
}

/// A batch at its end, with the packets that it touched: their ids, heads and links.
struct Ended {
    header: Header,
    touched: Vec<(String, Digest, u32)>,
}

impl Onlooker for Search<'_> {
    fn before(&mut self, engine: &Engine, request: &Request<'_>) {
        if request.id == self.id
            && let Command::Claim { packet, .. } = request.command
            && let Some(view) = engine.packet(packet)
        {
            self.found = Some(Found {
                packet: packet.to_owned(),
                sent: Some(view.seq),
                before: view.head,
                record: [0; chain::RECORD_BYTES],
                after: Vec::new(),
                batch: None,
            });
        }
    }

    fn after(&mut self, _: &Engine, request: &Request<'_>, reply: &Reply) {
        let Some(found) = self.found.as_mut().filter(|found| found.batch.is_none()) else { return };
        let (Command::Claim { account, packet, .. }, Ok(Done::Claimed { index, amount, .. })) =
            (request.command, reply.result)
        else {
            if request.id == self.id {
                self.found = None;
            }
            return;
        };
        if packet != found.packet {
            return;
        }
        let record = chain::claim(index, amount, reply.time, &chain::account_digest(account));
        if request.id == self.id {
            found.record = record;
        } else {
            found.after.push(record);
        }
    }

    fn end(&mut self, engine: &Engine, header: &Header, effects: &[Effect]) {
        let Some(found) = self.found.as_mut().filter(|found| found.batch.is_none()) else { return };
        for effect in effects {
            if let Happening::Closed { packet, secret } = effect.what
                && Some(packet) == found.sent
                && let Some(view) = engine.packet(&found.packet)
            {
                let claims = view.claims.len() as u32;
                let record = chain::close(claims, view.parts.refunded, effect.time, &secret);
                found.after.push(record);
            }
        }
        let touched = engine.heads().map(|head| (head.packet.to_owned(), head.head, head.links));
        found.batch = Some(Ended { header: *header, touched: touched.collect() });
    }
}
