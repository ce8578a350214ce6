//! The oracle's money: a list of all movements ever made, and sums over it.

use std::collections::{BTreeMap, BTreeSet};

use crate::packet::command::Purse;
use crate::packet::reply::Wallet;
use crate::packet::units::{Day, Fen};

/// Where money can stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::packet::simulation) enum Place {
    Purse(String, Purse),
    Held(String),
    Escrow(String),
    Frozen(String),
    Transit(Day),
    Bank,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Reserved,
    Posted,
    GivenUp,
}

#[derive(Clone, Debug)]
struct Movement {
    from: Place,
    to: Place,
    fen: u64,
    phase: Phase,
}

/// All movements, and which of them touch a place. No balance is kept.
#[derive(Clone, Debug, Default)]
pub(in crate::packet::simulation) struct Movements {
    all: Vec<Movement>,
    touching: BTreeMap<Place, Vec<usize>>,
}

impl Movements {
    pub(super) fn add(&mut self, from: &Place, to: &Place, fen: u64, phase: Phase) -> usize {
        let number = self.all.len();
        self.all.push(Movement { from: from.clone(), to: to.clone(), fen, phase });
        self.touching.entry(from.clone()).or_default().push(number);
        self.touching.entry(to.clone()).or_default().push(number);
        number
    }

    pub(super) fn settle(&mut self, number: usize, phase: Phase) {
        assert_eq!(self.all[number].phase, Phase::Reserved, "the oracle settles once");
        self.all[number].phase = phase;
    }

    /// What was posted into a place less what was posted out of it.
    pub(in crate::packet::simulation) fn balance(&self, place: &Place) -> i128 {
        let of = |movement: &Movement| match movement.phase {
            Phase::Posted if movement.to == *place => i128::from(movement.fen),
            Phase::Posted => -i128::from(movement.fen),
            Phase::Reserved | Phase::GivenUp => 0,
        };
        self.touching(place).map(of).sum()
    }

    /// What is reserved to go out of a place.
    pub(super) fn reserved(&self, place: &Place) -> i128 {
        self.touching(place)
            .filter(|movement| movement.phase == Phase::Reserved && movement.from == *place)
            .map(|movement| i128::from(movement.fen))
            .sum()
    }

    pub(in crate::packet::simulation) fn spendable(&self, place: &Place) -> i128 {
        self.balance(place) - self.reserved(place)
    }

    /// What the bank has put in and has not been given back, and what it is about to.
    pub(super) fn outside_the_bank(&self) -> i128 {
        let at_the_bank = |place: &&Place| matches!(place, Place::Bank | Place::Transit(_));
        let places = || self.touching.keys().filter(at_the_bank);
        places().map(|place| self.reserved(place) - self.balance(place)).sum()
    }

    /// The balances of a kind of place together.
    pub(in crate::packet::simulation) fn sum_where(&self, of: impl Fn(&Place) -> bool) -> i128 {
        self.touching.keys().filter(|place| of(place)).map(|place| self.balance(place)).sum()
    }

    pub(super) fn accounts(&self) -> BTreeSet<&str> {
        let mut accounts = BTreeSet::new();
        for place in self.touching.keys() {
            if let Place::Purse(account, _) | Place::Held(account) = place {
                accounts.insert(&**account);
            }
        }
        accounts
    }

    pub(super) fn wallet(&self, account: &str) -> Wallet {
        let purse = |purse| Place::Purse(account.to_owned(), purse);
        let (change, lingqiantong) = (purse(Purse::Change), purse(Purse::Lingqiantong));
        Wallet {
            change: fen(self.spendable(&change)),
            lingqiantong: fen(self.spendable(&lingqiantong)),
            reserved: fen(self.reserved(&change) + self.reserved(&lingqiantong)),
            held: fen(self.balance(&Place::Held(account.to_owned()))),
        }
    }

    fn touching(&self, place: &Place) -> impl Iterator<Item = &Movement> {
        self.touching.get(place).into_iter().flatten().map(|&number| &self.all[number])
    }
}

pub(super) fn fen(amount: i128) -> Fen {
    Fen(u64::try_from(amount).expect("the oracle owes nobody"))
}
