//! What investigators know, where that is not the truth: rings that nobody finds, honest subjects
//! that are taken for fraud, and findings that come late.

use std::collections::BTreeSet;

use super::figures::DAY;
use super::labels::{self, Label};
use super::options::Noise;
use super::random::Rng;
use super::world::{SchemeId, World};

/// The labels of a world as investigators know them, sorted by subject.
pub(super) fn labels(world: &World, noise: Noise) -> Vec<Label> {
    let mut rng = world.rng("noise", 0);
    let mut labels = labels::of_known(world, &missed(world, noise, &mut rng));
    for kind in ["account", "event", "group"] {
        accuse(&mut labels, kind, noise, &mut rng);
    }
    for label in &mut labels {
        let late = rng.between(0, noise.late_days * DAY);
        label.known_at = label.known_at.map(|known_at| known_at + late);
    }
    labels
}

/// Rings that are never found.
fn missed(world: &World, noise: Noise, rng: &mut Rng) -> BTreeSet<SchemeId> {
    let ids = (0..world.schemes.len() as u32).map(SchemeId);
    let rings: Vec<SchemeId> = ids.filter(|&id| world.scheme(id).fraud).collect();
    let count = rings.len() * noise.missed_percent as usize / 100;
    rng.sample(&rings, count).into_iter().collect()
}

/// Labels honest subjects of a kind as fraud. Those who are taken for fraud have a part in it or look
/// like it, so only who is labelled already can be; and no evidence is ever complete.
fn accuse(labels: &mut [Label], kind: &str, noise: Noise, rng: &mut Rng) {
    let of = |fraud: bool| -> Vec<usize> {
        let wanted = |label: &Label| {
            label.subject_kind == kind && label.fraud == fraud && label.typology.is_some()
        };
        (0..labels.len()).filter(|&at| wanted(&labels[at])).collect()
    };
    let count = of(true).len() * noise.wrong_percent as usize / 100;
    for at in rng.sample(&of(false), count) {
        labels[at].fraud = true;
        labels[at].detectable_from = None;
    }
}
