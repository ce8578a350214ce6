//! The ledger: double entry in whole fen, in one currency.
//!
//! Money stands in *places*. Every movement takes it out of one and puts it into another, in one
//! step or in two: reserved where it is first, so that it cannot be spent twice, and later settled
//! or cancelled. What is reserved can always be settled: whatever could be in the way is asked when
//! it is reserved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bugs::{Bug, made};
use super::command::Purse;
use super::numbered::Numbered;
use super::reply::{Refusal, Wallet};
use super::units::{Day, Fen};

/// Where money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// The outside world. It may owe: what it owes is what all other places have.
    Bank,
    /// Between the bank and the wallets, by the day of the movement, until that day is cleared. It
    /// may owe, too.
    Transit(Day),
    /// A purse of an account.
    Purse(u32, Purse),
    /// What is held of an account's transactions.
    Held(u32),
    /// What is in a packet: the packet's part of the reserve account (备付金).
    Escrow(u64),
    /// What is frozen for a case.
    Frozen(u32),
}

impl Place {
    fn may_owe(self) -> bool {
        matches!(self, Place::Bank | Place::Transit(_))
    }
}

/// The most money that there can be outside the bank: forty quadrillion yuan, a thousand times all
/// there is. Sums within a place then always fit in 64 bits. In tests it is so little that they
/// come there.
pub(crate) const MONEY_MAX: Fen = Fen(1 << if cfg!(test) { 41 } else { 62 });

/// The two sides of a place, each settled and in reserve. The settled sums are those of the current
/// page: what is on both sides may have been left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// What was taken out of it.
    pub debits: Fen,
    /// What was put into it.
    pub credits: Fen,
    /// What is reserved to be taken out of it.
    pub reserved: Fen,
    /// What is reserved elsewhere to be put into it.
    pub incoming: Fen,
}

impl Balance {
    /// What can be taken out of it.
    pub fn available(&self) -> Fen {
        self.credits - self.debits - self.reserved
    }

    /// What is in it, with a minus what it owes.
    pub fn net(&self) -> i128 {
        i128::from(self.credits.0) - i128::from(self.debits.0)
    }

    fn covers(&self, amount: Fen) -> bool {
        let reserved = if made(Bug::ReservedIsSpentTwice) { Fen::ZERO } else { self.reserved };
        let out = u128::from(self.debits.0) + u128::from(reserved.0) + u128::from(amount.0);
        out <= u128::from(self.credits.0)
    }

    /// Begins a new page when the sums grow large: what both sides have in common is left out.
    fn carry_forward(&mut self) {
        if self.debits.0 | self.credits.0 >= MONEY_MAX.0 {
            let both = self.debits.min(self.credits);
            self.debits -= both;
            self.credits -= both;
        }
    }
}

/// An account's places.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Purses {
    change: Balance,
    lingqiantong: Balance,
    held: Balance,
}

/// All places and what stands in them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    bank: Balance,
    transit: BTreeMap<Day, Balance>,
    accounts: Numbered<Purses>,
    escrows: Numbered<Balance>,
    cases: Vec<Balance>,
    /// Kept along with every movement, so that the sums can be compared after each batch at no
    /// cost: all money ever taken out of any place, and put into any.
    debits: u128,
    credits: u128,
    reserved: u128,
    incoming: u128,
    /// What the places that may owe do owe, all together.
    owed: i128,
    /// What is reserved in them.
    promised: u128,
}

impl Ledger {
    /// Opens the places of the next account.
    pub fn open_account(&mut self) -> u32 {
        self.accounts.push(Purses::default()) as u32
    }

    /// Opens the escrow of the next packet.
    pub fn open_escrow(&mut self) -> u64 {
        self.escrows.push(Balance::default())
    }

    /// Opens the place of the next case.
    pub fn open_case(&mut self) -> u32 {
        self.cases.push(Balance::default());
        self.cases.len() as u32 - 1
    }

    /// Moves money at once.
    ///
    /// # Errors
    /// When there is less to spend in `from`.
    pub fn post(&mut self, from: Place, to: Place, amount: Fen) -> Result<(), Refusal> {
        self.reserve(from, to, amount)?;
        self.settle(from, to, amount);
        Ok(())
    }

    /// Reserves money in `from` for `to`.
    ///
    /// # Errors
    /// When there is less to spend in `from`.
    pub fn reserve(&mut self, from: Place, to: Place, amount: Fen) -> Result<(), Refusal> {
        assert_ne!(from, to, "money moves between two places");
        // What moves between two that may owe is no more money than before.
        if from.may_owe() && !to.may_owe() && !self.can_owe(amount) {
            return Err(Refusal::LedgerFull);
        }
        let source = self.balance_mut(from);
        if !from.may_owe() && !source.covers(amount) {
            return Err(Refusal::FundsInsufficient);
        }
        source.reserved += amount;
        self.balance_mut(to).incoming += amount;
        self.promised += u128::from(amount.0) * u128::from(from.may_owe());
        self.reserved += u128::from(amount.0);
        self.incoming += u128::from(amount.0);
        Ok(())
    }

    /// Whether so much more can come from places that may owe.
    pub fn can_owe(&self, amount: Fen) -> bool {
        let more = i128::from(made(Bug::MoneyEndsOneFenLate));
        let money = self.owed + self.promised as i128 + i128::from(amount.0) - more;
        money <= i128::from(MONEY_MAX.0)
    }

    /// Moves what was reserved.
    ///
    /// # Panics
    /// When it was not.
    pub fn settle(&mut self, from: Place, to: Place, amount: Fen) {
        let source = self.balance_mut(from);
        source.reserved -= amount;
        source.debits += amount;
        source.carry_forward();
        let target = self.balance_mut(to);
        target.incoming -= amount;
        target.credits += amount;
        target.carry_forward();
        self.count_cancelled(from, amount);
        self.owed += i128::from(amount.0) * i128::from(from.may_owe());
        self.owed -= i128::from(amount.0) * i128::from(to.may_owe());
        self.debits += u128::from(amount.0);
        self.credits += u128::from(amount.0);
    }

    /// Gives up what was reserved.
    ///
    /// # Panics
    /// When it was not.
    pub fn cancel(&mut self, from: Place, to: Place, amount: Fen) {
        self.balance_mut(from).reserved -= amount;
        self.balance_mut(to).incoming -= amount;
        self.count_cancelled(from, amount);
    }

    fn count_cancelled(&mut self, from: Place, amount: Fen) {
        self.promised -= u128::from(amount.0) * u128::from(from.may_owe());
        self.reserved -= u128::from(amount.0);
        self.incoming -= u128::from(amount.0);
    }

    /// What stands in a place; nothing in one that was never used.
    pub fn balance(&self, place: Place) -> Balance {
        let account = |number: u32| self.accounts.get(u64::from(number)).copied();
        match place {
            Place::Bank => self.bank,
            Place::Transit(day) => self.transit.get(&day).copied().unwrap_or_default(),
            Place::Purse(number, Purse::Change) => account(number).unwrap_or_default().change,
            Place::Purse(number, Purse::Lingqiantong) => {
                account(number).unwrap_or_default().lingqiantong
            }
            Place::Held(number) => account(number).unwrap_or_default().held,
            Place::Escrow(number) => self.escrows.get(number).copied().unwrap_or_default(),
            Place::Frozen(case) => self.cases.get(case as usize).copied().unwrap_or_default(),
        }
    }

    /// Reads all memory that an account's places have, so that it is near when it is needed.
    pub fn near(&self, account: u32) -> u64 {
        let near = |purses: &Purses| purses.change.credits.0 ^ purses.held.incoming.0;
        self.accounts.get(account.into()).map_or(0, near)
    }

    /// What an account has.
    pub fn wallet(&self, account: u32) -> Wallet {
        let purses = &self.accounts[u64::from(account)];
        Wallet {
            change: purses.change.available(),
            lingqiantong: purses.lingqiantong.available(),
            reserved: purses.change.reserved + purses.lingqiantong.reserved,
            held: purses.held.available(),
        }
    }

    /// The days that are not cleared, the first one first.
    pub fn days(&self) -> impl Iterator<Item = Day> + '_ {
        self.transit.keys().copied()
    }

    /// Settles a day's net with the bank and closes the day. Gives what the bank pays in.
    ///
    /// # Errors
    /// None that a caller can bring about: a sum between places that may owe always fits.
    ///
    /// # Panics
    /// When something is still reserved for the day.
    pub fn clear(&mut self, day: Day) -> Result<i64, Refusal> {
        let transit = self.balance(Place::Transit(day));
        assert_eq!((transit.reserved, transit.incoming), (Fen::ZERO, Fen::ZERO), "{day:?} is over");
        let owed = i64::try_from(-transit.net()).expect("no more than all money");
        match owed {
            0 => {}
            1.. => self.post(Place::Bank, Place::Transit(day), Fen(owed as u64))?,
            _ => self.post(Place::Transit(day), Place::Bank, Fen(owed.unsigned_abs()))?,
        }
        // What was in it is now all on the other side of itself: nothing is lost with it.
        if let Some(balance) = self.transit.remove(&day) {
            assert_eq!(balance.net(), 0, "{day:?} is settled");
        }
        Ok(owed)
    }

    /// Forgets escrows of numbers below `number`, which must be empty.
    pub fn forget_escrows_before(&mut self, number: u64) {
        for balance in self.escrows.forget_before(number) {
            assert_eq!((balance.net(), balance.reserved), (0, Fen::ZERO), "a packet that is over");
        }
    }

    /// The sums that are kept along: what was taken is what was put, settled and reserved.
    ///
    /// # Panics
    /// When they differ.
    pub fn assert_sums(&self) {
        assert_eq!(self.debits, self.credits, "all debits are all credits");
        assert_eq!(self.reserved, self.incoming, "what is reserved is expected");
    }

    /// Every place that is open, with what stands in it.
    pub fn places(&self) -> impl Iterator<Item = (Place, Balance)> + '_ {
        let bank = std::iter::once((Place::Bank, self.bank));
        let transit = self.transit.iter().map(|(&day, &balance)| (Place::Transit(day), balance));
        let accounts = self.accounts.iter().flat_map(|(number, purses)| {
            let number = number as u32;
            [
                (Place::Purse(number, Purse::Change), purses.change),
                (Place::Purse(number, Purse::Lingqiantong), purses.lingqiantong),
                (Place::Held(number), purses.held),
            ]
        });
        let escrows =
            self.escrows.iter().map(|(number, &balance)| (Place::Escrow(number), balance));
        let cases = (0..).zip(&self.cases).map(|(case, &balance)| (Place::Frozen(case), balance));
        bank.chain(transit).chain(accounts).chain(escrows).chain(cases)
    }

    /// Looks at every place: money neither comes from nowhere nor goes there, nobody owes who may
    /// not, and all that is reserved somewhere is expected somewhere.
    ///
    /// # Panics
    /// When it is not so.
    pub fn audit(&self) {
        self.assert_sums();
        let (mut net, mut owed, mut promised, mut reserved, mut incoming) = (0, 0, 0, 0, 0);
        for (place, balance) in self.places() {
            let out = u128::from(balance.debits.0) + u128::from(balance.reserved.0);
            assert!(place.may_owe() || out <= u128::from(balance.credits.0), "{place:?} owes");
            net += balance.net();
            owed -= balance.net() * i128::from(place.may_owe());
            promised += u128::from(balance.reserved.0) * u128::from(place.may_owe());
            reserved += u128::from(balance.reserved.0);
            incoming += u128::from(balance.incoming.0);
        }
        assert_eq!((owed, promised), (self.owed, self.promised), "what the bank owes");
        assert_eq!(net, 0, "all that is anywhere came from the bank");
        assert_eq!((reserved, incoming), (self.reserved, self.incoming), "reserved and expected");
    }

    fn balance_mut(&mut self, place: Place) -> &mut Balance {
        match place {
            Place::Bank => &mut self.bank,
            Place::Transit(day) => self.transit.entry(day).or_default(),
            Place::Purse(account, purse) => {
                let purses = &mut self.accounts[u64::from(account)];
                match purse {
                    Purse::Change => &mut purses.change,
                    Purse::Lingqiantong => &mut purses.lingqiantong,
                }
            }
            Place::Held(account) => &mut self.accounts[u64::from(account)].held,
            Place::Escrow(packet) => &mut self.escrows[packet],
            Place::Frozen(case) => &mut self.cases[case as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place = Place::Purse(0, Purse::Change);
    const B: Place = Place::Purse(1, Purse::Change);

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open_account();
        ledger.open_account();
        ledger.post(Place::Transit(Day(0)), A, Fen(100)).unwrap();
        ledger
    }

    #[test]
    fn what_is_reserved_cannot_be_spent_again() {
        let mut ledger = ledger();
        ledger.reserve(A, B, Fen(60)).unwrap();
        assert_eq!(ledger.post(A, B, Fen(41)), Err(Refusal::FundsInsufficient));
        assert_eq!(ledger.reserve(A, B, Fen(41)), Err(Refusal::FundsInsufficient));
        ledger.post(A, B, Fen(40)).unwrap();
        ledger.settle(A, B, Fen(60));
        assert_eq!(ledger.balance(A).available(), Fen(0));
        assert_eq!(ledger.balance(B).available(), Fen(100));
        ledger.audit();
    }

    #[test]
    fn what_is_given_up_can_be_spent() {
        let mut ledger = ledger();
        ledger.reserve(A, B, Fen(100)).unwrap();
        assert!(ledger.can_owe(Fen(MONEY_MAX.0 - 100)), "what is reserved inside counts once");
        assert_eq!(ledger.wallet(0).reserved, Fen(100));
        ledger.cancel(A, B, Fen(100));
        ledger.post(A, B, Fen(100)).unwrap();
        ledger.audit();
    }

    #[test]
    fn what_is_expected_cannot_be_spent() {
        let mut ledger = ledger();
        ledger.reserve(A, B, Fen(100)).unwrap();
        assert_eq!(ledger.post(B, A, Fen(1)), Err(Refusal::FundsInsufficient));
    }

    #[test]
    fn a_day_is_settled_with_the_bank_by_its_net() {
        let mut ledger = ledger();
        ledger.post(A, Place::Transit(Day(0)), Fen(30)).unwrap();
        ledger.post(A, Place::Transit(Day(1)), Fen(70)).unwrap();
        assert_eq!(ledger.clear(Day(0)), Ok(70));
        assert_eq!(ledger.clear(Day(1)), Ok(-70));
        assert_eq!(ledger.clear(Day(2)), Ok(0), "a day without movements");
        assert_eq!(ledger.balance(Place::Bank).net(), 0);
        ledger.audit();
    }

    #[test]
    fn there_is_an_end_to_money_and_none_to_its_turnover() {
        let mut ledger = ledger();
        let most = Fen(MONEY_MAX.0 - 100);
        ledger.post(Place::Transit(Day(0)), A, most).unwrap();
        assert_eq!(ledger.post(Place::Transit(Day(0)), A, Fen(1)), Err(Refusal::LedgerFull));
        for _ in 0..20 {
            ledger.post(A, B, most).unwrap();
            ledger.reserve(B, A, most).unwrap();
            ledger.settle(B, A, most);
            ledger.audit();
        }
        assert_eq!(ledger.balance(A).available(), MONEY_MAX);
        // The day on which all of it came in is settled like others.
        assert_eq!(ledger.clear(Day(0)), Ok(MONEY_MAX.0 as i64));
        ledger.audit();
    }
}
