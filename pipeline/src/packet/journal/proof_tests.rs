//! Proofs of every claim of a journal, and every way in which one can be false.

use super::super::log::{Journal, Options};
use super::super::memory::Memory;
use super::super::note::Signer;
use super::super::toy::{COMMAND_BYTES, Toy, append, body, journal, options, signer};
use super::*;

/// A journal of some batches, and after each batch what its packets were.
struct World {
    journal: Journal<Memory>,
    tree: Tree,
    checkpoint: SignedCheckpoint,
}

/// A claim as the test finds it in the bodies, without the engine.
#[derive(Clone)]
struct Found {
    packet: u8,
    before: Head,
    record: Vec<u8>,
}

impl World {
    fn new(batches: u64) -> World {
        let mut journal = Journal::open(journal(batches), &options()).unwrap().0;
        let checkpoint = journal.checkpoint(&signer()).unwrap();
        World { tree: journal.log_tree().unwrap(), journal, checkpoint }
    }

    /// Every claim up to a batch, and the proof of each that the batch's packets have.
    fn proofs_at(&self, batch: BatchNumber) -> Vec<(u32, Found, Result<Proof, ProofError>)> {
        let mut claims: Vec<Found> = Vec::new();
        let mut toy = Toy::default();
        let mut batches = self.journal.batches_from(BatchNumber(0)).unwrap();
        let (header, touched) = loop {
            let (header, body) = batches.next_batch().unwrap().unwrap();
            for command in body.chunks(COMMAND_BYTES) {
                let last = claims.iter().rfind(|claim| claim.packet == command[0]);
                let before = last.map_or(chain::start(&command[..1]), |claim| {
                    chain::extend(claim.before, &claim.record)
                });
                claims.push(Found { packet: command[0], before, record: command[1..].to_vec() });
            }
            let touched = toy.apply(body).unwrap();
            if header.batch == batch {
                break (header, touched);
            }
        };
        let prove = |(at, found): (usize, &Found)| {
            let of_packet = |claims: &[Found]| -> Vec<Vec<u8>> {
                let same = claims.iter().filter(|claim| claim.packet == found.packet);
                same.map(|claim| claim.record.clone()).collect()
            };
            let place = of_packet(&claims[..at]).len() as u32;
            let after = of_packet(&claims[at + 1..]);
            let after: Vec<&[u8]> = after.iter().map(Vec::as_slice).collect();
            let claim = Claim {
                packet: &[found.packet],
                before: found.before,
                record: &found.record,
                after: &after,
            };
            let proof = Proof::new(&claim, (&header, &touched), &self.tree, &self.checkpoint);
            (place, found.clone(), proof)
        };
        claims.iter().enumerate().map(prove).collect()
    }

    /// A proof with records behind the claim, in a batch of several packets.
    fn proof(&self) -> Proof {
        let proofs = self.proofs_at(BatchNumber(7)).into_iter();
        let proof = proofs.filter_map(|(_, _, proof)| proof.ok()).find(|proof| proof.place == 1);
        let proof = proof.unwrap();
        assert!(proof.after.len() >= 2 && proof.batch.path.len() >= 2 && proof.log_path.len() >= 3);
        proof
    }
}

#[test]
fn every_claim_of_every_batch_is_proved_with_its_place() {
    let world = World::new(11);
    let key = signer().public().to_string().parse().unwrap();
    let mut proved = 0;
    for batch in (0..11).map(BatchNumber) {
        for (place, found, proof) in world.proofs_at(batch) {
            let proof = match proof {
                Ok(proof) => proof,
                Err(error) => {
                    assert_eq!(error, ProofError::NotTouched);
                    continue;
                }
            };
            let proven = Proof::from_json(&proof.to_json()).unwrap().check(&key).unwrap();
            assert_eq!((&proven.packet, proven.place), (&vec![found.packet], place));
            assert_eq!((&proven.record, proven.batch), (&found.record, batch));
            assert_eq!(proven.receipt, chain::extend(found.before, &found.record));
            assert_eq!(proven.checkpoint.root, world.journal.root());
            proved += 1;
        }
    }
    assert!(proved > 40, "{proved}");
}

#[test]
fn each_way_to_falsify_a_proof_has_its_error() {
    let world = World::new(11);
    let good = world.proof();
    let zeros = STANDARD.encode([0; 32]);
    let eight = STANDARD.encode([9; 8]);
    let long = STANDARD.encode([9; RECORD_BYTES_MAX + 1]);
    let other_key = Signer::new("example.org/packets", &[8; 32]).unwrap();
    let other_name = Signer::new("example.org/others", &[7; 32]).unwrap();
    let sign =
        |size, root, signer: &Signer| SignedCheckpoint::sign(size, root, signer).note().to_owned();
    let (size, root) = (world.tree.size(), world.journal.root());
    let older = world.tree.root_at(5).unwrap();
    let wrong_sig = world.checkpoint.note().replace("\n11\n", "\n12\n");
    let mut rows: Vec<(&str, &str, Proof)> = Vec::new();
    let mut row = |what, code, change: &dyn Fn(&mut Proof)| {
        let mut proof = good.clone();
        change(&mut proof);
        rows.push((what, code, proof));
    };
    row("version", "proof-version", &|p| p.version = 1);
    row("record", "proof-chain", &|p| p.record = eight.clone());
    row("longer record", "proof-field", &|p| p.record = long.clone());
    row("no base64", "proof-field", &|p| p.record = "%".into());
    row("short hash", "proof-field", &|p| p.before = eight.clone());
    row("head before", "proof-chain", &|p| p.before = zeros.clone());
    row("swapped records", "proof-chain", &|p| p.after.swap(0, 1));
    row("a record less", "proof-place", &|p| drop(p.after.pop()));
    row("a record less, place too", "proof-chain", &|p| {
        (_, p.place) = (p.after.pop(), p.place + 1)
    });
    row("place", "proof-place", &|p| p.place += 1);
    row("place and claims", "proof-batch-path", &|p| {
        (p.place, p.claims) = (p.place + 1, p.claims + 1);
    });
    row("head", "proof-chain", &|p| p.head = zeros.clone());
    row("packet", "proof-batch-path", &|p| p.packet = STANDARD.encode(b"z"));
    row("packet's side", "proof-batch-path", &|p| {
        p.batch.path[0] = match p.batch.path[0].clone() {
            Beside::Left(text) => Beside::Right(text),
            Beside::Right(text) => Beside::Left(text),
        };
    });
    row("short batch path", "proof-batch-path", &|p| drop(p.batch.path.pop()));
    row("heads root", "proof-batch-path", &|p| p.batch.heads_root = zeros.clone());
    row("frame hash", "proof-log-path", &|p| p.batch.hash = zeros.clone());
    row("batch", "proof-log-path", &|p| p.batch.number -= 1);
    row("batch past the end", "proof-not-covered", &|p| p.batch.number = size);
    row("short log path", "proof-log-path", &|p| drop(p.log_path.pop()));
    row("long log path", "proof-log-path", &|p| p.log_path.push(zeros.clone()));
    row("older checkpoint", "proof-not-covered", &|p| p.checkpoint = sign(5, older, &signer()));
    row("other log", "proof-log-path", &|p| p.checkpoint = sign(size, older, &signer()));
    row("other key", "note-unknown-key", &|p| p.checkpoint = sign(size, root, &other_key));
    row("other name", "note-unknown-key", &|p| p.checkpoint = sign(size, root, &other_name));
    row("size", "note-bad-signature", &|p| p.checkpoint = wrong_sig.clone());
    row("no checkpoint", "checkpoint-malformed", &|p| p.checkpoint = signer().sign("a\n"));
    row("no note", "note-malformed", &|p| p.checkpoint.clear());
    assert!(good.check(signer().public()).is_ok());
    for (what, code, proof) in rows {
        let proof = Proof::from_json(&proof.to_json()).unwrap();
        assert_eq!(proof.check(signer().public()).unwrap_err().code(), code, "{what}");
    }
}

/// The text itself: cut anywhere, or with any bit changed, it is refused; but for what JSON does
/// not look at, such as white space. Nothing stands in it that is not bound to what was signed.
#[test]
fn a_text_that_is_cut_or_changed_proves_nothing_else() {
    let good = World::new(11).proof();
    let text = good.to_json();
    for end in (0..text.len() - 2).filter(|end| text.is_char_boundary(*end)) {
        assert_eq!(Proof::from_json(&text[..end]).unwrap_err().code(), "proof-json");
    }
    let proven = good.check(signer().public()).unwrap();
    for bit in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let Ok(proof) = Proof::from_json(&changed) else { continue };
        if let Ok(checked) = proof.check(signer().public()) {
            assert_eq!((proof, checked), (good.clone(), proven.clone()), "bit {bit}");
        }
    }
    let longer = format!("{text}{}", " ".repeat(PROOF_BYTES_MAX));
    assert_eq!(Proof::from_json(&longer).unwrap_err().code(), "proof-too-long");
    let earlier = text.replace("\"version\": 2", "\"version\": 1").replace("heads_root", "packets");
    assert_eq!(Proof::from_json(&earlier).unwrap_err().code(), "proof-version");
    let more = text.replacen('{', "{\"more\": 1,", 1);
    assert_eq!(Proof::from_json(&more).unwrap_err().code(), "proof-json");
}

#[test]
fn a_proof_is_not_made_from_what_does_not_fit() {
    let mut journal = Journal::open(Memory::default(), &Options::default()).unwrap().0;
    let mut toy = Toy::default();
    let header = append(&mut journal, &mut toy, &body(BatchNumber(1)));
    let early = journal.checkpoint(&signer()).unwrap();
    let later = append(&mut journal, &mut toy, b"zzzzzzzzz");
    let tree = journal.log_tree().unwrap();
    let of_batch = |bytes: &[u8]| bytes.to_vec();
    let touched_body = of_batch(&body(BatchNumber(1)));
    let mut again = Toy::default();
    let touched = again.apply(&touched_body).unwrap();
    let claim = Claim {
        packet: &touched_body[..1],
        before: chain::start(&touched_body[..1]),
        record: &touched_body[1..9],
        after: &[],
    };
    let error = |claim: &Claim<'_>, header: &Header, touched: &[Touched<'_>]| {
        Proof::new(claim, (header, touched), &tree, &early).unwrap_err().code()
    };
    assert!(Proof::new(&claim, (&header, &touched), &tree, &early).is_ok());
    assert_eq!(error(&claim, &header, &touched[..1]), "proof-other-batch");
    assert_eq!(error(&Claim { packet: b"y", ..claim }, &header, &touched), "proof-not-touched");
    assert_eq!(error(&Claim { record: b"x", ..claim }, &header, &touched), "proof-chain");
    let after: [&[u8]; 9] = [b"x"; 9];
    assert_eq!(error(&Claim { after: &after, ..claim }, &header, &touched), "proof-place");
    let mut toy = Toy::default();
    let touched = toy.apply(b"zzzzzzzzz").unwrap();
    let claim = Claim { packet: b"z", before: chain::start(b"z"), record: b"zzzzzzzz", after: &[] };
    assert_eq!(error(&claim, &later, &touched), "proof-not-covered");
}
