//! Merkle trees against the test vectors of Certificate Transparency and against `ct-merkle`.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::Sha256;

use super::*;

/// The eight leaves of the reference tests of Certificate Transparency.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// The roots of 0 to 8 of those leaves, from the same tests.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// The inclusion proof of leaf 1 of 5, from the same tests.
const INCLUSION_1_OF_5: [&str; 3] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
];

fn tree(leaves: &[impl AsRef<[u8]>]) -> (Tree, Frontier) {
    let (mut tree, mut frontier) = (Tree::default(), Frontier::default());
    for leaf in leaves {
        tree.push(leaf_hash(leaf.as_ref()));
        frontier.push(leaf_hash(leaf.as_ref()));
    }
    (tree, frontier)
}

#[test]
fn the_roots_are_those_of_certificate_transparency() {
    for (size, root) in ROOTS.iter().enumerate() {
        let (tree, frontier) = tree(&LEAVES[..size]);
        assert_eq!(frontier.root().to_string(), *root, "frontier of {size}");
        assert_eq!(tree.root_at(size as u64).unwrap().to_string(), *root, "tree of {size}");
    }
    let path = tree(&LEAVES).0.inclusion(1, 5).unwrap();
    assert_eq!(path.iter().map(Root::to_string).collect::<Vec<_>>(), INCLUSION_1_OF_5);
}

#[test]
fn every_small_tree_proves_every_leaf_and_every_beginning() {
    let leaves: Vec<[u8; 1]> = (0..40).map(|byte| [byte]).collect();
    let (tree, _) = tree(&leaves);
    for size in 0..=40 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let leaf = leaf_hash(&leaves[index as usize]);
            let path = tree.inclusion(index, size).unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &path, &root), Ok(()));
        }
        for old in 0..=size {
            let old_root = tree.root_at(old).unwrap();
            let path = tree.consistency(old, size).unwrap();
            assert_eq!(verify_consistency((old, &old_root), (size, &root), &path), Ok(()));
        }
    }
    assert_eq!(tree.inclusion(0, 41), None);
    assert_eq!(tree.inclusion(3, 3), None);
    assert_eq!(tree.consistency(4, 3), None);
    assert_eq!(tree.root_at(41), None);
}

#[test]
fn a_proof_that_is_cut_or_longer_or_of_another_place_is_refused() {
    let (tree, _) = tree(&LEAVES);
    let (leaf, root) = (leaf_hash(LEAVES[2]), tree.root_at(7).unwrap());
    let path = tree.inclusion(2, 7).unwrap();
    let longer = [&path[..], &[root]].concat();
    let check = |index, size, path: &[Root], root| verify_inclusion(&leaf, index, size, path, root);
    assert_eq!(check(2, 7, &path[..path.len() - 1], &root), Err(MerkleError::TooShort));
    assert_eq!(check(2, 7, &longer, &root), Err(MerkleError::TooLong));
    assert_eq!(check(3, 7, &path, &root), Err(MerkleError::Root));
    assert_eq!(check(7, 7, &path, &root), Err(MerkleError::Index { index: 7, size: 7 }));
    assert_eq!(check(2, 7, &path, &Root([0; 32])), Err(MerkleError::Root));

    let old = tree.root_at(3).unwrap();
    let path = tree.consistency(3, 7).unwrap();
    let longer = [&path[..], &[root]].concat();
    let check = |sizes: (u64, u64), path: &[Root], old, new| {
        verify_consistency((sizes.0, old), (sizes.1, new), path)
    };
    assert_eq!(check((3, 7), &path[..path.len() - 1], &old, &root), Err(MerkleError::TooShort));
    assert_eq!(check((3, 7), &[], &old, &root), Err(MerkleError::TooShort));
    assert_eq!(check((3, 7), &longer, &old, &root), Err(MerkleError::TooLong));
    assert_eq!(check((7, 3), &path, &old, &root), Err(MerkleError::Sizes { old: 7, new: 3 }));
    assert_eq!(check((3, 7), &path, &root, &root), Err(MerkleError::Root));
    assert_eq!(check((3, 7), &path, &old, &old), Err(MerkleError::Root));
    assert_eq!(check((7, 7), &[], &old, &root), Err(MerkleError::Root));
    assert_eq!(check((0, 7), &[], &old, &root), Err(MerkleError::Root));
}

proptest! {
    #[test]
    fn it_agrees_with_ct_merkle(size in 1usize..300, at: Index, old: Index) {
        let leaves: Vec<Vec<u8>> = (0..size).map(|leaf| vec![leaf as u8; leaf % 7]).collect();
        let (tree, frontier) = tree(&leaves);
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        leaves.iter().for_each(|leaf| oracle.push(leaf.clone()));
        let root = frontier.root();
        prop_assert!(oracle.root().as_bytes()[..] == root.0);

        let index = at.index(size);
        let path = tree.inclusion(index as u64, size as u64).unwrap();
        let bytes: Vec<u8> = path.iter().flat_map(|node| node.0).collect();
        prop_assert!(oracle.prove_inclusion(index).as_bytes() == bytes);
        let theirs = RootHash::<Sha256>::new(root.0.into(), size as u64);
        let proof = InclusionProof::try_from_bytes(bytes).unwrap();
        prop_assert!(theirs.verify_inclusion(&leaves[index], index as u64, &proof).is_ok());

        let old = 1 + old.index(size);
        if old < size {
            let path = tree.consistency(old as u64, size as u64).unwrap();
            let bytes: Vec<u8> = path.iter().flat_map(|node| node.0).collect();
            prop_assert!(oracle.prove_consistency(size - old).as_bytes() == bytes);
            let old_root = tree.root_at(old as u64).unwrap();
            let older = RootHash::<Sha256>::new(old_root.0.into(), old as u64);
            let proof = ConsistencyProof::try_from_bytes(bytes).unwrap();
            prop_assert!(theirs.verify_consistency(&older, &proof).is_ok());
        }
    }
}
