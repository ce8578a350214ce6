//! `hongxian packet prove`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::damage::{damaged, shows_nothing};
use super::place::{self, Keys, PUBLIC};
use crate::cli::{Shown, environment, print};
use crate::diagnostic::{Failure, Lang, Message};
use crate::packet::chain::{self, Record};
use crate::packet::command::{Command, Request};
use crate::packet::durable::{Auditor, Onlooker};
use crate::packet::engine::Engine;
use crate::packet::journal::ids::Head;
use crate::packet::journal::{
    Checkpoint, Claim, Directory, Grown, Growth, Header, Journal, JournalError, Options, Proof,
    ProofError, Proven, Touched, Trust, verify,
};
use crate::packet::reply::{Digest, Done, Effect, Happening, Reply, Seq};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the journal
    #[arg(required_unless_present = "check")]
    directory: Option<PathBuf>,
    /// The id of the claim's command
    #[arg(required_unless_present_any = ["check", "from"], conflicts_with = "from")]
    claim: Option<String>,
    /// Prove that the journal of so many batches, the size in a checkpoint, was only added to
    #[arg(long, value_name = "BATCHES", conflicts_with = "check")]
    from: Option<u64>,
    /// Up to so many batches [default: all]
    #[arg(long, value_name = "BATCHES", requires = "from")]
    to: Option<u64>,
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

pub(super) fn run(arguments: &Arguments, shown: Shown) -> Result<(), Failure> {
    let Arguments { directory, claim, from, to, .. } = arguments;
    match (&arguments.check, directory, claim, from) {
        (Some(proof), ..) => check(proof, arguments.key.as_deref(), arguments.json, shown.lang),
        (None, Some(directory), Some(claim), None) => prove(directory, claim),
        (None, Some(directory), None, Some(from)) => prove_growth(directory, *from, *to),
        _ => unreachable!("clap asks for them"),
    }
}

/// The storage of a journal, its keys, and what is believed of it.
fn open(directory: &Path) -> Result<(Directory, Keys, Trust), Failure> {
    place::must_be_a_journal(directory)?;
    let keys = Keys::read(directory)?;
    let storage = Directory::open(directory).map_err(|error| place::at(directory, &error))?;
    let trust = Trust { key: Some(keys.signer.public().clone()), ..Trust::default() };
    Ok((storage, keys, trust))
}

fn broken(error: JournalError) -> Failure {
    match error {
        JournalError::Damage(damage) => damaged(&damage),
        other => environment(other.to_string()),
    }
}

fn prove_growth(directory: &Path, from: u64, to: Option<u64>) -> Result<(), Failure> {
    let (storage, keys, trust) = open(directory)?;
    let mut auditor = Auditor::new(keys.draws, ());
    verify(&storage, &trust, Some(&mut auditor)).map_err(broken)?;
    let options = Options { trust, ..Options::default() };
    let (mut journal, _) = Journal::open(storage, &options).map_err(broken)?;
    let all = journal.checkpoint(&keys.signer).map_err(broken)?.checkpoint().size;
    let tree = journal.log_tree().map_err(broken)?;
    let to = to.unwrap_or(all);
    let growth = Growth::new(from, to, &tree, &keys.signer).map_err(|_| {
        place::usage(
            format!("no proof leads from {from} batches to {to}: the journal has {all}"),
            format!("无法证明从 {from} 批到 {to} 批:日志共 {all} 批"),
        )
    })?;
    print(&growth.to_json());
    Ok(())
}

fn prove(directory: &Path, claim: &str) -> Result<(), Failure> {
    let (storage, keys, trust) = open(directory)?;
    let mut auditor = Auditor::new(keys.draws, Search { id: claim, found: None });
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

fn check(path: &Path, key: Option<&Path>, json: bool, lang: Lang) -> Result<(), Failure> {
    let key = place::public_key(key.unwrap_or(Path::new(PUBLIC)))?;
    let text = std::fs::read_to_string(path).map_err(|error| place::at(path, &error))?;
    let no = |error: ProofError| shows_nothing(&error);
    if Growth::is_meant(&text) {
        let grown = Growth::from_json(&text).and_then(|growth| growth.check(&key)).map_err(no)?;
        print(&if json { grown_as_json(&grown) } else { grown_in_words(&grown, lang) });
        return Ok(());
    }
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
    let Proven { place, receipt, batch, .. } = &proven;
    let packet = String::from_utf8_lossy(&proven.packet);
    let (fen, time, batches) = (claim.amount.0, claim.time.0, proven.checkpoint.size);
    print(&match lang {
        Lang::En => format!(
            "claim {place} of packet {packet}: {fen} fen at {time} ns, by the account whose id has the \
             BLAKE3 digest {account}\nreceipt {receipt}\nin batch {batch}, which the signed checkpoint of \
             {batches} batches covers\n\
             This proves the order of the claims and their amounts, not the time of day.\n"
        ),
        Lang::Zh => format!(
            "红包 {packet} 的第 {place} 笔领取(自 0 起):{fen} 分,{time} 纳秒,账户编号的 BLAKE3 摘要为 \
             {account}\n回执 {receipt}\n在第 {batch} 批,已签名的 {batches} 批检查点涵盖该批\n\
             本证明说明领取的次序和金额,不说明当时的钟点。\n"
        ),
    });
    Ok(())
}

fn grown_as_json(Grown { old, new }: &Grown) -> String {
    let value = serde_json::json!({
        "old_batches": old.size,
        "old_root": STANDARD.encode(old.root.0),
        "new_batches": new.size,
        "new_root": STANDARD.encode(new.root.0),
    });
    format!("{value:#}\n")
}

fn grown_in_words(Grown { old, new }: &Grown, lang: Lang) -> String {
    // In the letters of a checkpoint.
    let root = |checkpoint: &Checkpoint| STANDARD.encode(checkpoint.root.0);
    let (from, old, to, new) = (old.size, root(old), new.size, root(new));
    match lang {
        Lang::En => format!(
            "the first {from} of {to} batches are those of the older checkpoint: the log was only added \
             to\nroot of {from} batches {old}\nroot of {to} batches {new}\n\
             Compare the roots with the checkpoints that you have kept.\n"
        ),
        Lang::Zh => format!(
            "{to} 批中的前 {from} 批就是较早检查点所涵盖的各批:日志只有追加\n\
             {from} 批的根 {old}\n{to} 批的根 {new}\n请与您保存的检查点核对。\n"
        ),
    }
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
