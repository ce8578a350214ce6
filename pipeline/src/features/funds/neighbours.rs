//! The counterparties of an account in the graph of payments: a list while there are few.
//!
//! Accounts that are not cut, and those that are cut just now, have lists; the order in them says
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Accounts that one paid, each with the number of the moment from which on its edge is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Payees {
    Few(Vec<(u32, u32)>),
    #[expect(clippy::box_collection, reason = "an account has two of these, seldom a tree")]
    Many(Box<BTreeMap<u32, u32>>),
}

/// Accounts that paid one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Payers {
    Few(Vec<u32>),
    #[expect(clippy::box_collection, reason = "an account has two of these, seldom a tree")]
    Many(Box<BTreeSet<u32>>),
}

const NOT_CUT: &str = "an account with many counterparties is cut";

/// What of some payees is among some payers.
pub(super) fn in_both(payees: &[(u32, u32)], payers: &[u32], found: &mut Vec<u32>) {
    found.clear();
    if !payers.is_empty() {
        found.extend(payees.iter().map(|(payee, _)| *payee).filter(|one| payers.contains(one)));
    }
}

/// Accounts of which is asked often whether one is among them.
pub(super) struct Among {
    /// Bits by which most that are not among them are known without a search.
    perhaps: Box<[u64; AMONG_BITS / 64]>,
    sorted: Vec<u32>,
}

/// Enough for the counterparties of one account, and few enough to be cleared each time.
const AMONG_BITS: usize = 1 << 12;

impl Among {
    pub(super) fn new(mut accounts: Vec<u32>) -> Among {
        accounts.sort_unstable();
        let mut perhaps = Box::new([0; AMONG_BITS / 64]);
        for account in &accounts {
            let bit = *account as usize % AMONG_BITS;
            perhaps[bit / 64] |= 1 << (bit % 64);
        }
        Among { perhaps, sorted: accounts }
    }

    pub(super) fn contains(&self, account: u32) -> bool {
        let bit = account as usize % AMONG_BITS;
        self.perhaps[bit / 64] & (1 << (bit % 64)) != 0
            && self.sorted.binary_search(&account).is_ok()
    }
}

/// A list becomes a tree only well above the limit, so that what is at the limit stays as it is.
fn is_long(length: usize, most: usize) -> bool {
    length > 2 * most
}

impl Default for Payees {
    fn default() -> Self {
        Payees::Few(Vec::new())
    }
}

impl Payees {
    pub(super) fn len(&self) -> usize {
        match self {
            Payees::Few(list) => list.len(),
            Payees::Many(map) => map.len(),
        }
    }

    pub(super) fn list(&self) -> &[(u32, u32)] {
        match self {
            Payees::Few(list) => list,
            Payees::Many(_) => unreachable!("{NOT_CUT}"),
        }
    }

    /// Lets an edge stay until `gone`, if it is there.
    pub(super) fn stay(&mut self, payee: u32, gone: u32) -> bool {
        let held = match self {
            Payees::Few(list) => {
                list.iter_mut().find(|(held, _)| *held == payee).map(|(_, held)| held)
            }
            Payees::Many(map) => map.get_mut(&payee),
        };
        held.map(|held| *held = gone).is_some()
    }

    /// When an edge that is there is gone.
    pub(super) fn gone(&self, payee: u32) -> u32 {
        let held = match self {
            Payees::Few(list) => {
                list.iter().find(|(held, _)| *held == payee).map(|(_, gone)| *gone)
            }
            Payees::Many(map) => map.get(&payee).copied(),
        };
        held.expect("an edge that is due is there")
    }

    /// Adds an edge that is not there.
    pub(super) fn insert(&mut self, payee: u32, gone: u32, most: usize) {
        match self {
            Payees::Few(list) if is_long(list.len(), most) => {
                let many = std::mem::take(list).into_iter().chain([(payee, gone)]);
                *self = Payees::Many(Box::new(many.collect()));
            }
            Payees::Few(list) => list.push((payee, gone)),
            Payees::Many(map) => {
                map.insert(payee, gone);
            }
        }
    }

    pub(super) fn remove(&mut self, payee: u32, most: usize) {
        match self {
            Payees::Few(list) => {
                if let Some(at) = list.iter().position(|(held, _)| *held == payee) {
                    list.swap_remove(at);
                }
                give_back(list);
            }
            Payees::Many(map) => {
                map.remove(&payee);
                if map.len() <= most {
                    let list = map.iter().map(|(payee, gone)| (*payee, *gone)).collect();
                    *self = Payees::Few(list);
                }
            }
        }
    }

    pub(super) fn touch(&self) -> u32 {
        match self {
            Payees::Few(list) => list.first().map_or(0, |(payee, _)| *payee),
            Payees::Many(_) => 0,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Payees::Few(list) => list.capacity() * 8,
            Payees::Many(map) => map.len() * 12,
        }
    }
}

impl Default for Payers {
    fn default() -> Self {
        Payers::Few(Vec::new())
    }
}

impl Payers {
    pub(super) fn len(&self) -> usize {
        match self {
            Payers::Few(list) => list.len(),
            Payers::Many(set) => set.len(),
        }
    }

    pub(super) fn list(&self) -> &[u32] {
        match self {
            Payers::Few(list) => list,
            Payers::Many(_) => unreachable!("{NOT_CUT}"),
        }
    }

    /// Adds who is not there.
    pub(super) fn insert(&mut self, payer: u32, most: usize) {
        match self {
            Payers::Few(list) if is_long(list.len(), most) => {
                let many = std::mem::take(list).into_iter().chain([payer]);
                *self = Payers::Many(Box::new(many.collect()));
            }
            Payers::Few(list) => list.push(payer),
            Payers::Many(set) => {
                set.insert(payer);
            }
        }
    }

    pub(super) fn remove(&mut self, payer: u32, most: usize) {
        match self {
            Payers::Few(list) => {
                if let Some(at) = list.iter().position(|held| *held == payer) {
                    list.swap_remove(at);
                }
                give_back(list);
            }
            Payers::Many(set) => {
                set.remove(&payer);
                if set.len() <= most {
                    *self = Payers::Few(set.iter().copied().collect());
                }
            }
        }
    }

    pub(super) fn touch(&self) -> u32 {
        match self {
            Payers::Few(list) => list.first().copied().unwrap_or(0),
            Payers::Many(_) => 0,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Payers::Few(list) => list.capacity() * 4,
            // Leaves of eleven are a good half full.
            Payers::Many(set) => set.len() * 8,
        }
    }
}

/// Gives room back of a list most of which is empty.
fn give_back<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        *list = Vec::new();
    } else if list.capacity() > 8 * list.len() + 8 {
        list.shrink_to(2 * list.len());
    }
}
