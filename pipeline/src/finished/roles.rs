//! What part accounts play, where a feature of the run says so of their transactions.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _};

use super::FinishedRun;
use crate::diagnostic::Failure;

/// The feature that tells the role of the account that acts.
pub const ROLE_FEATURE: &str = "social.account.role";
/// What it says of who plays no part.
pub const NO_ROLE: &str = "honest";
/// From so many transactions on a role is an account's: one alone is too often a mistake.
pub const ROLE_TRANSACTIONS_MIN: u64 = 2;

/// How many of an account's transactions were given each role.
pub type RoleCounts = BTreeMap<String, u64>;

/// The role of an account: of those other than [`NO_ROLE`] the one that most of its transactions
/// have, where enough have it. Of two that are as frequent, the first by name.
pub fn role(counts: &RoleCounts) -> &str {
    let roles = counts
        .iter()
        .filter(|(role, count)| role.as_str() != NO_ROLE && **count >= ROLE_TRANSACTIONS_MIN);
    roles.rev().max_by_key(|(_, count)| **count).map_or(NO_ROLE, |(role, _)| role)
}

impl FinishedRun {
    /// The roles that the `wanted` accounts were given, by account; none where no feature tells any.
    ///
    /// # Errors
    /// When decisions.parquet or features.parquet cannot be read.
    pub fn account_roles(
        &self,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Option<BTreeMap<String, RoleCounts>>, Failure> {
        if !self.feature_names()?.iter().any(|name| name == ROLE_FEATURE) {
            return Ok(None);
        }
        let mut accounts: Vec<Option<String>> = Vec::new();
        self.decision_columns(&["account_id"], &mut |_, batch| {
            let column = batch.column(0).as_string_opt::<i32>();
            accounts.extend((0..batch.num_rows()).map(|row| {
                let id = column.filter(|column| column.is_valid(row))?.value(row);
                wanted(id).then(|| id.to_owned())
            }));
            Ok(())
        })?;
        let mut roles: BTreeMap<String, RoleCounts> = BTreeMap::new();
        self.features(&|name| name == ROLE_FEATURE, &mut |first, batch| {
            let Some(column) = batch.column(0).as_string_opt::<i32>() else { return };
            for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                if let Some(account) = accounts.get(first + row).and_then(Option::as_ref) {
                    let counts = roles.entry(account.clone()).or_default();
                    *counts.entry(column.value(row).to_owned()).or_default() += 1;
                }
            }
        })?;
        Ok(Some(roles))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_role_is_what_most_transactions_have_and_some_must() {
        let role = |counts: &[(&str, u64)]| {
            let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            super::role(&counts).to_owned()
        };
        assert_eq!(role(&[]), "honest");
        assert_eq!(role(&[("honest", 900), ("player", 1)]), "honest");
        assert_eq!(role(&[("honest", 900), ("player", 2)]), "player");
        assert_eq!(role(&[("collector", 4), ("player", 5)]), "player");
        assert_eq!(role(&[("collector", 5), ("player", 5)]), "collector");
    }
}
