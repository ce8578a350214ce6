//! The proof that a log was only added to between two checkpoints: a JSON text that anyone with the
//! public key can check, without the journal. It is the consistency proof of RFC 6962, section 2.1.2.
//!
//! Whoever has kept a checkpoint asks for the proof from its size on, and compares the older
//! checkpoint of the proof with the one that was kept: signatures of one text by one key are the same.

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::merkle::{Tree, verify_consistency};
use super::note::{PublicKey, Signer};
use super::proof::{ProofError, hashes, read, texts};

/// The version of the layout.
pub const VERSION: u32 = 1;

/// A proof as it is written and read. It shows nothing until [`Growth::check`] has said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    version: u32,
    old_checkpoint: String,
    new_checkpoint: String,
    /// The hashes of the proof, in the order of the RFC.
    consistency: Vec<String>,
}

/// What tells the two kinds of proofs apart.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "old_checkpoint")]
    _old: String,
}

/// What a proof has shown: the first log is the beginning of the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// What the operator signed first.
    pub old: Checkpoint,
    /// What the operator signed later.
    pub new: Checkpoint,
}

impl Growth {
    /// The proof from the first `old` batches to the first `new`, both signed.
    ///
    /// # Errors
    /// [`ProofError::Sizes`] if there are not so many batches, or none in the older log.
    pub fn new(old: u64, new: u64, tree: &Tree, signer: &Signer) -> Result<Growth, ProofError> {
        let sizes = ProofError::Sizes { old, new, batches: tree.size() };
        let path = tree.consistency(old, new).filter(|_| old > 0).ok_or(sizes.clone())?;
        let sign = |size| -> Result<String, ProofError> {
            let root = tree.root_at(size).ok_or(sizes.clone())?;
            Ok(SignedCheckpoint::sign(size, root, signer).note().to_owned())
        };
        let (old_checkpoint, new_checkpoint) = (sign(old)?, sign(new)?);
        Ok(Growth { version: VERSION, old_checkpoint, new_checkpoint, consistency: texts(&path) })
    }

    /// The proof as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers are always JSON") + "\n"
    }

    /// Whether a JSON text is of this kind of proof, right or wrong, and not of a claim.
    pub fn is_meant(text: &str) -> bool {
        serde_json::from_str::<Kind>(text).is_ok()
    }

    /// Reads a proof. Nothing of it is checked.
    ///
    /// # Errors
    /// [`ProofError::Json`], [`ProofError::TooLong`] and [`ProofError::Version`].
    pub fn from_json(text: &str) -> Result<Growth, ProofError> {
        read(text, VERSION)
    }

    /// Checks the proof with the operator's public key, and nothing else.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn check(&self, key: &PublicKey) -> Result<Grown, ProofError> {
        if self.version != VERSION {
            return Err(ProofError::Version(self.version));
        }
        let signed = |note| -> Result<Checkpoint, ProofError> {
            Ok(SignedCheckpoint::parse(note)?.verify(key)?.clone())
        };
        let (old, new) = (signed(&self.old_checkpoint)?, signed(&self.new_checkpoint)?);
        let path = hashes("consistency", &self.consistency)?;
        verify_consistency((old.size, &old.root), (new.size, &new.root), &path)
            .map_err(ProofError::Growth)?;
        Ok(Grown { old, new })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use ct_merkle::{ConsistencyProof, RootHash};
    use sha2::Sha256;

    use super::super::ids::{BatchNumber, Root};
    use super::super::log::Journal;
    use super::super::toy::{journal, options, signer, written};
    use super::*;

    const BATCHES: u64 = 11;

    fn tree(of: super::super::memory::Memory) -> Tree {
        Journal::open(of, &options()).unwrap().0.log_tree().unwrap()
    }

    /// The leaves of RFC 6962, as one who knows nothing of this code takes them from the frames.
    fn leaves() -> Vec<Vec<u8>> {
        let journal = Journal::open(journal(BATCHES), &options()).unwrap().0;
        let mut batches = journal.batches_from(BatchNumber(0)).unwrap();
        let mut leaves = Vec::new();
        while let Some((header, _)) = batches.next_batch().unwrap() {
            leaves.push([header.hash.0, header.heads_root.0].concat());
        }
        leaves
    }

    #[test]
    fn every_two_sizes_have_a_proof_which_another_program_gives_and_takes() {
        let (tree, leaves) = (tree(journal(BATCHES)), leaves());
        let key = signer().public().to_string().parse().unwrap();
        for new in 1..=BATCHES {
            let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
            leaves[..new as usize].iter().for_each(|leaf| oracle.push(leaf.clone()));
            for old in 1..=new {
                let growth = Growth::new(old, new, &tree, &signer()).unwrap();
                let grown = Growth::from_json(&growth.to_json()).unwrap().check(&key).unwrap();
                assert_eq!((grown.old.size, grown.new.size), (old, new));
                assert_eq!(Some(grown.old.root), tree.root_at(old));
                assert_eq!(grown.new.root.0, oracle.root().as_bytes()[..]);
                if old == new {
                    assert!(growth.consistency.is_empty());
                    continue;
                }
                let decode = |text: &String| STANDARD.decode(text).unwrap();
                let bytes: Vec<u8> = growth.consistency.iter().flat_map(decode).collect();
                assert!(oracle.prove_consistency((new - old) as usize).as_bytes() == bytes);
                let proof = ConsistencyProof::try_from_bytes(bytes).unwrap();
                let older = RootHash::<Sha256>::new(grown.old.root.0.into(), old);
                assert!(oracle.root().verify_consistency(&older, &proof).is_ok());
            }
        }
    }

    #[test]
    fn each_way_to_falsify_one_has_its_error() {
        let tree = tree(journal(BATCHES));
        let good = Growth::new(5, BATCHES, &tree, &signer()).unwrap();
        let other_key = Signer::new("example.org/packets", &[8; 32]).unwrap();
        let sign = |size, root: Root, signer: &Signer| {
            SignedCheckpoint::sign(size, root, signer).note().to_owned()
        };
        let root = tree.root_at(5).unwrap();
        // Batch 3 was another when the older checkpoint was signed.
        let forked = self::tree(written(5, 3)).root_at(5).unwrap();
        let zeros = STANDARD.encode([0; 32]);
        let mut rows: Vec<(&str, &str, Growth)> = Vec::new();
        let mut row = |what, code, change: &dyn Fn(&mut Growth)| {
            let mut growth = good.clone();
            change(&mut growth);
            rows.push((what, code, growth));
        };
        row("version", "proof-version", &|p| p.version = 2);
        row("rewritten", "proof-growth", &|p| p.old_checkpoint = sign(5, forked, &signer()));
        row("other size", "proof-growth", &|p| p.old_checkpoint = sign(4, root, &signer()));
        row("other key", "note-unknown-key", &|p| p.old_checkpoint = sign(5, root, &other_key));
        row("shrunk", "proof-growth", &|p| {
            std::mem::swap(&mut p.old_checkpoint, &mut p.new_checkpoint);
        });
        row("shorter", "proof-growth", &|p| drop(p.consistency.pop()));
        row("longer", "proof-growth", &|p| p.consistency.push(zeros.clone()));
        row("a hash", "proof-growth", &|p| p.consistency[1] = zeros.clone());
        row("no base64", "proof-field", &|p| p.consistency[1] = "%".into());
        row("no checkpoint", "note-malformed", &|p| p.new_checkpoint.clear());
        assert!(good.check(signer().public()).is_ok());
        for (what, code, growth) in rows {
            let growth = Growth::from_json(&growth.to_json()).unwrap();
            assert_eq!(growth.check(signer().public()).unwrap_err().code(), code, "{what}");
        }
        for (old, new) in [(0, 5), (5, 4), (5, BATCHES + 1)] {
            let error = Growth::new(old, new, &tree, &signer()).unwrap_err();
            assert_eq!(error.code(), "proof-sizes", "{old} to {new}");
        }
    }
}
