//! Of whom a value tells: of the account that acts, of a side of the payment, or of something else.

use super::Catalogue;
use crate::features::declare::Body;
use crate::features::entries::{EntrySource, attribute};
use crate::features::kept::{self, Keeper};
use crate::features::plan::CLUSTER_ID;

/// What an account has to be in a transaction for a value to tell of it: all that is true here. Where
/// nothing is, the value is the transaction's own, such as what its text says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// Who acts, or its cluster.
    pub acting: bool,
    /// Who pays.
    pub payer: bool,
    /// Who is paid.
    pub payee: bool,
    /// Something else: a group, a device, a packet, a pair. From one transaction of an account to
    /// the next it is another one's value.
    pub other: bool,
}

impl Whose {
    const ACTING: Whose = Whose { acting: true, ..Whose::NOBODY };
    const PAYER: Whose = Whose { payer: true, ..Whose::NOBODY };
    const PAYEE: Whose = Whose { payee: true, ..Whose::NOBODY };
    const OTHER: Whose = Whose { other: true, ..Whose::NOBODY };
    const NOBODY: Whose = Whose { acting: false, payer: false, payee: false, other: false };

    /// Of what is looked up by these fields. Two of them are a pair, which is nobody's alone.
    pub(super) fn by(at: &[String]) -> Whose {
        match at {
            [one] => match one.as_str() {
                "account_id" | CLUSTER_ID => Whose::ACTING,
                "payer_id" => Whose::PAYER,
                "payee_id" => Whose::PAYEE,
                _ => Whose::OTHER,
            },
            _ => Whose::OTHER,
        }
    }

    /// Of what is computed of both.
    pub(super) fn and(self, with: Whose) -> Whose {
        Whose {
            acting: self.acting || with.acting,
            payer: self.payer || with.payer,
            payee: self.payee || with.payee,
            other: self.other || with.other,
        }
    }
}

impl Catalogue {
    /// Of whom a value tells, as far as it is computed of no others.
    pub(super) fn whose(&self, name: &str, source: &EntrySource) -> Whose {
        match source {
            EntrySource::Field(field) => of_field(&self.schema.field(*field).name),
            EntrySource::Payer => Whose::PAYER,
            EntrySource::Payee => Whose::PAYEE,
            EntrySource::Cluster(_) => Whose::ACTING,
            EntrySource::Kept(at) => of_kept(*at),
            EntrySource::Attribute => {
                attribute(name).map_or(Whose::OTHER, |windowed| Whose::by(&windowed.at))
            }
            EntrySource::Declared(at) => match &self.declarations[*at].body {
                Body::Windowed(windowed) => Whose::by(&windowed.at),
                Body::Expr { .. } | Body::Learnt { .. } => Whose::NOBODY,
            },
            EntrySource::Text(_) => Whose::NOBODY,
        }
    }

    /// Whether it is computed of other values of the transaction.
    pub(super) fn is_computed(&self, source: &EntrySource) -> bool {
        let EntrySource::Declared(at) = source else { return false };
        !matches!(self.declarations[*at].body, Body::Windowed(_))
    }
}

/// An id tells of what it names, and any other field of the transaction alone.
fn of_field(name: &str) -> Whose {
    match name {
        "account_id" => Whose::ACTING,
        "counterparty_id" | "group_id" | "packet_id" | "device_id" | "ip" | "subject_id" => {
            Whose::OTHER
        }
        _ => Whose::NOBODY,
    }
}

/// The keepers of accounts are asked for the acting one, or first for the payer and then the payee.
fn of_kept(feature: usize) -> Whose {
    match kept::keeper(feature) {
        Some(Keeper::Fortunes | Keeper::Senders) => Whose::ACTING,
        Some(keeper @ (Keeper::Flows | Keeper::Chains | Keeper::Cycles | Keeper::LongCycles)) => {
            let payer = kept::lookups()[keeper as usize][0].contains(&feature);
            if payer { Whose::PAYER } else { Whose::PAYEE }
        }
        _ => Whose::OTHER,
    }
}
