//! Delta debugging: as little as possible of what makes something hold (Zeller and Hildebrandt,
//! "Simplifying and isolating failure-inducing input", 2002).

use crate::diagnostic::Failure;

/// What is left of `count` things, which all together make something hold: places, in order.
pub(super) struct Reduced {
    /// They make it hold.
    pub(super) kept: Vec<usize>,
    /// Without any one of them it does not; false where the bound was reached before that was known.
    pub(super) minimal: bool,
}

/// Takes away parts, the oldest first: halves, then halves of those, single ones in the end until
/// none can go. `holds` says whether it holds with these; none where no more may be tried.
pub(super) fn reduce(
    count: usize,
    mut holds: impl FnMut(&[usize]) -> Result<Option<bool>, Failure>,
) -> Result<Reduced, Failure> {
    let mut kept: Vec<usize> = (0..count).collect();
    match holds(&[])? {
        Some(true) => return Ok(Reduced { kept: Vec::new(), minimal: true }),
        Some(false) => {}
        None => return Ok(Reduced { kept, minimal: false }),
    }
    let mut size = count.div_ceil(2);
    loop {
        let (mut at, mut less) = (0, false);
        while at < kept.len() {
            let end = (at + size).min(kept.len());
            let without = [&kept[..at], &kept[end..]].concat();
            // With nothing it does not hold.
            let can_go = if without.is_empty() { Some(false) } else { holds(&without)? };
            match can_go {
                Some(true) => (kept, less) = (without, true),
                Some(false) => at = end,
                None => return Ok(Reduced { kept, minimal: false }),
            }
        }
        match size {
            // A whole round in which nothing could go.
            1 if !less => return Ok(Reduced { kept, minimal: true }),
            1 => {}
            _ => size = size.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(count: usize, holds: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let mut trials = 0;
        let tried = reduce(count, |places| {
            trials += 1;
            assert!(places.is_sorted(), "{places:?}");
            Ok(Some(holds(places)))
        });
        let Ok(Reduced { kept, minimal }) = tried else { panic!("nothing failed") };
        assert!(minimal && holds(&kept), "{kept:?}");
        for at in 0..kept.len() {
            let mut without = kept.clone();
            without.remove(at);
            assert!(!holds(&without), "{kept:?} without {}", kept[at]);
        }
        (kept, trials)
    }

    #[test]
    fn what_is_left_holds_and_nothing_of_it_can_go() {
        assert_eq!(reduced(1000, |_| true).0, Vec::<usize>::new());
        assert_eq!(reduced(1, |places| places == [0]).0, [0]);
        let (kept, trials) =
            reduced(1000, |places| [3, 500, 999].iter().all(|place| places.contains(place)));
        assert_eq!(kept, [3, 500, 999]);
        assert!(trials < 80, "{trials}");
        // Any five will do: the newest stay.
        assert_eq!(reduced(100, |places| places.len() >= 5).0, [95, 96, 97, 98, 99]);
        // What does not only grow with more: an even number of them, and 7.
        let odd = |places: &[usize]| places.contains(&7) && places.len().is_multiple_of(2);
        assert_eq!(reduced(64, odd).0.len(), 2);
        let all = |places: &[usize]| places.len() == 33;
        assert_eq!(reduced(33, all).0.len(), 33);
    }

    #[test]
    fn at_the_bound_what_holds_is_left() {
        for bound in 0..40 {
            let mut trials = 0;
            let holds = |places: &[usize]| places.contains(&2) && places.contains(&17);
            let tried = reduce(20, |places| {
                trials += 1;
                Ok((trials <= bound).then(|| holds(places)))
            });
            let Ok(Reduced { kept, minimal }) = tried else { panic!("nothing failed") };
            assert!(holds(&kept) && (!minimal || kept == [2, 17]), "{bound}: {kept:?}");
        }
    }
}
