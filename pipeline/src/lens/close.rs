//! What else must be hidden so that nobody can work out what is.
//!
//! Figures of a table are sums over *atoms* that nobody splits further: the groups of a type or of a
//! province, the packets of a platform or of a half-hour. Whoever sees a total and all of its parts
//! but one has that one too; and where several are hidden, their sum can be had, which is a figure
//! like any other: it must not be of few accounts, and must leave open what each part is.

use super::SMALL_CELL;

/// A figure as a sum over atoms.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// The atoms that it adds up, a bit each.
    pub(super) atoms: u64,
    /// The sum.
    pub(super) count: usize,
    /// Of how many accounts it is.
    pub(super) accounts: usize,
    /// Whether it is hidden.
    pub(super) hidden: bool,
    /// Whether it is known in any case, as that percentages add up to a hundred.
    pub(super) fixed: bool,
}

impl Figure {
    fn is_within(&self, atoms: u64) -> bool {
        self.atoms != 0 && self.atoms & !atoms == 0
    }
}

/// Hides figures, the smallest first, until what is hidden cannot be had from what is not.
pub(super) fn close(figures: &mut [Figure]) {
    while let Some(within) = leak(figures) {
        let open = figures.iter_mut().enumerate();
        let open = open.filter(|(_, one)| !one.hidden && !one.fixed && one.is_within(within));
        // Parts before their total, and what is zero, of which nobody is told, last.
        let next =
            open.min_by_key(|(at, one)| (one.atoms == within, one.count == 0, one.accounts, *at));
        let Some((_, next)) = next else { return };
        next.hidden = true;
    }
}

/// The atoms of a visible figure, or of all of them, from which something hidden can be had.
fn leak(figures: &[Figure]) -> Option<u64> {
    if figures.iter().all(|one| !one.hidden) {
        return None;
    }
    let visible: Vec<&Figure> =
        figures.iter().filter(|one| !one.hidden && one.atoms != 0).collect();
    let hidden: Vec<&Figure> = figures.iter().filter(|one| one.hidden).collect();
    for backwards in [false, true] {
        for at in 0..visible.len() {
            if rest_tells(&visible, at, backwards, &hidden) {
                return Some(visible[at].atoms);
            }
        }
    }
    let all = visible.iter().fold(0, |all, one| all | one.atoms);
    let basis = basis(&visible);
    let had = |one: &&Figure| one.atoms != 0 && reduce(vector(one.atoms), &basis).is_none();
    hidden.iter().any(|one| one.count > 0 && had(one)).then_some(all)
}

/// Whether something is told by what is left of a visible figure after visible parts are taken off.
fn rest_tells(visible: &[&Figure], at: usize, backwards: bool, hidden: &[&Figure]) -> bool {
    let (mut rest, mut count) = (visible[at].atoms, visible[at].count);
    let mut take = |other: usize| {
        let part = visible[other];
        if other != at && part.is_within(rest) && part.atoms != visible[at].atoms {
            rest &= !part.atoms;
            count = count.saturating_sub(part.count);
        }
    };
    match backwards {
        false => (0..visible.len()).for_each(&mut take),
        true => (0..visible.len()).rev().for_each(&mut take),
    }
    let mut within: Vec<&&Figure> = hidden.iter().filter(|one| one.is_within(rest)).collect();
    if within.iter().all(|one| one.count == 0) {
        return false;
    }
    // The sum of what is hidden is of at least as many accounts as its largest part.
    if within.iter().all(|one| one.accounts < SMALL_CELL) {
        return true;
    }
    within.sort_by_key(|one| one.atoms.count_ones());
    let (mut covered, mut parts, mut zeros) = (0, 0, false);
    for one in within {
        if one.atoms & covered == 0 {
            covered |= one.atoms;
            parts += 1;
            zeros |= one.count == 0;
        }
    }
    // What is hidden is one at least, unless what is zero is hidden too.
    match (covered == rest, zeros) {
        (true, true) => parts < 2,
        (true, false) => parts < 2 || count <= parts,
        (false, true) => false,
        (false, false) => count <= parts,
    }
}

type Vector = Vec<i128>;

fn vector(atoms: u64) -> Vector {
    (0..64).map(|bit| i128::from(atoms >> bit & 1)).collect()
}

/// The sums that visible figures tell, as rows of which each begins later than the one before.
fn basis(visible: &[&Figure]) -> Vec<Vector> {
    let mut basis: Vec<Vector> = Vec::new();
    for one in visible {
        if let Some(new) = reduce(vector(one.atoms), &basis) {
            basis.push(new);
            basis.sort_by_key(|row| row.iter().position(|value| *value != 0));
        }
    }
    basis
}

/// What is left of a row after multiples of the basis are taken off; none where nothing is.
fn reduce(mut row: Vector, basis: &[Vector]) -> Option<Vector> {
    for base in basis {
        let first = base.iter().position(|value| *value != 0)?;
        let (own, theirs) = (row[first], base[first]);
        if own == 0 {
            continue;
        }
        row.iter_mut().zip(base).for_each(|(value, base)| *value = *value * theirs - base * own);
        let divisor = row.iter().fold(0, |divisor, value| gcd(divisor, value.abs()));
        if divisor > 1 {
            row.iter_mut().for_each(|value| *value /= divisor);
        }
    }
    row.iter().any(|value| *value != 0).then_some(row)
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A table of rows that are atoms, with a total, and a subtotal of the first few rows.
    fn table(parts: &[(usize, usize)], subtotal: usize) -> Vec<Figure> {
        let one = |atoms: u64, parts: &[(usize, usize)]| {
            let (count, accounts) =
                parts.iter().fold((0, 0), |(c, a), (count, accounts)| (c + count, a + accounts));
            let hidden = accounts > 0 && accounts < SMALL_CELL;
            Figure { atoms, count, accounts, hidden, fixed: false }
        };
        let mut figures: Vec<Figure> =
            parts.iter().enumerate().map(|(at, part)| one(1 << at, &[*part])).collect();
        figures.push(one((1 << parts.len()) - 1, parts));
        if subtotal > 1 {
            figures.push(one((1 << subtotal) - 1, &parts[..subtotal]));
        }
        figures
    }

    fn seen(parts: &[(usize, usize)], subtotal: usize) -> Vec<Option<usize>> {
        let mut figures = table(parts, subtotal);
        close(&mut figures);
        figures.iter().map(|one| (!one.hidden).then_some(one.count)).collect()
    }

    #[test]
    fn what_could_be_had_by_subtraction_is_hidden_too() {
        let some = |counts: &[usize]| counts.iter().map(|count| Some(*count)).collect::<Vec<_>>();
        assert_eq!(seen(&[(30, 10), (60, 20), (90, 30)], 0), some(&[30, 60, 90, 180]));
        let next = seen(&[(27, 9), (60, 20), (120, 30)], 0);
        assert_eq!(next, [None, None, Some(120), Some(207)], "the next smallest goes with it");
        assert_eq!(
            seen(&[(27, 9), (3, 1), (90, 30), (120, 40)], 0),
            [None, None, None, Some(120), Some(240)],
            "the sum of two that are of ten accounts together is no better than one of nine"
        );
        assert_eq!(seen(&[(27, 9), (0, 0)], 0), [None, Some(0), None], "the total is hidden too");
        assert_eq!(
            seen(&[(1, 9), (1, 30), (5, 40)], 0),
            [None, None, None, Some(7)],
            "a sum of two is one and one"
        );
        // A subtotal is no second hidden row: with it open the rows in it are a table of their own.
        let shown = seen(&[(8, 8), (40, 20), (50, 30), (60, 40)], 2);
        assert_eq!(shown[..2], [None, None]);
        let hidden = shown.iter().filter(|count| count.is_none()).count();
        assert!(hidden <= 3, "{shown:?}");
    }

    /// All counts that are possible with what is shown: of nothing that is hidden only one.
    fn derived(figures: &[Figure], atoms: usize) -> Option<Figure> {
        let zeros = figures.iter().any(|one| one.hidden && one.count == 0);
        // A reader knows of no bound but what is shown.
        let most = figures.iter().map(|one| one.count).max().unwrap_or(0) + 2;
        let mut values: Vec<std::collections::BTreeSet<usize>> =
            vec![Default::default(); figures.len()];
        let mut counts = vec![0; atoms];
        loop {
            let sum = |one: &Figure| -> usize {
                (0..atoms).filter(|at| one.atoms >> at & 1 == 1).map(|at| counts[at]).sum()
            };
            let possible = figures.iter().all(|one| match one.hidden {
                false => sum(one) == one.count,
                true => zeros || sum(one) > 0,
            });
            if possible {
                figures.iter().zip(&mut values).for_each(|(one, values)| {
                    values.insert(sum(one));
                });
            }
            let Some(at) = (0..atoms).find(|at| counts[*at] < most) else { break };
            counts[..at].fill(0);
            counts[at] += 1;
        }
        let told = figures.iter().zip(&values);
        told.filter(|(one, values)| one.hidden && one.count > 0 && values.len() == 1)
            .map(|(one, _)| one.clone())
            .next()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// The oracle tries all counts.
        #[test]
        fn nothing_hidden_can_be_derived(
            parts in prop::collection::vec((0..4_usize, 1..25_usize), 1..5),
            subtotal in 0..4_usize,
        ) {
            let parts: Vec<(usize, usize)> = parts
                .into_iter()
                .map(|(count, accounts)| (count, if count == 0 { 0 } else { accounts }))
                .collect();
            let subtotal = subtotal.min(parts.len().saturating_sub(1));
            let mut figures = table(&parts, subtotal);
            let before: Vec<bool> = figures.iter().map(|one| one.hidden).collect();
            close(&mut figures);
            for (one, was) in figures.iter().zip(before) {
                prop_assert!(one.hidden || !was, "what was hidden stays so");
            }
            prop_assert_eq!(derived(&figures, parts.len()).map(|one| one.atoms), None);
            // And whatever can be had of a sum of hidden rows is of ten accounts.
            for total in figures.iter().filter(|one| !one.hidden && one.atoms.count_ones() > 1) {
                let shown: u64 = figures
                    .iter()
                    .filter(|one| !one.hidden && one.atoms.count_ones() == 1)
                    .fold(0, |all, one| all | one.atoms);
                let rest = total.atoms & !shown;
                let accounts: usize =
                    parts.iter().enumerate().filter(|(at, _)| rest >> at & 1 == 1).map(|(_, part)| part.1).sum();
                prop_assert!(accounts == 0 || accounts >= SMALL_CELL, "{:?}", figures);
            }
        }
    }
}
