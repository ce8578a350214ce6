//! How much is said in each group, and how short people write there. All of it is drawn apart from
//! what moves money, whose draws are the same with it and without.

use rustc_hash::FxHashSet;

use super::figures::GroupType;
use super::random::Rng;
use super::words::Words;
use super::world::{Account, Event, Group};
use crate::event::Kind;

/// Of a hundred groups so many are quiet, those of rings no less than others.
const QUIET_PERCENT: u64 = 30;

/// What is drawn for the sake of what is said.
pub(super) struct Talk {
    seed: u64,
    /// Where a ring has opened a group, what is said there; and every memo that is changed.
    pub(super) rng: Rng,
    manners: Vec<Manner>,
    /// Who has done anything in a quiet group.
    heard: FxHashSet<(Group, Account)>,
}

/// How people talk in a group.
#[derive(Clone, Copy)]
struct Manner {
    /// Hardly at all: whoever has done anything there says no more.
    quiet: bool,
    /// Of a hundred memos of packets, so many are a number or a sign.
    short_percent: u64,
    /// In a ring's group, as in a group of which type people write.
    guise: GroupType,
}

/// As in groups of which type people write in those of rings: about as many as there are of each.
const GUISES: [u32; 4] = [70, 12, 12, 6];

impl Talk {
    pub(super) fn new(seed: u64) -> Talk {
        let rng = Rng::named(seed, "talk", 0);
        Talk { seed, rng, manners: Vec::new(), heard: FxHashSet::default() }
    }

    /// There is one more group.
    pub(super) fn add_group(&mut self) {
        let mut rng = Rng::named(self.seed, "manner", self.manners.len() as u64);
        let quiet = rng.below(100) < QUIET_PERCENT;
        // In most groups few memos are short, in some nearly all.
        let short = rng.below(100);
        let guise = GroupType::ALL[rng.weighted(&GUISES)];
        self.manners.push(Manner { quiet, short_percent: short * short / 100, guise });
    }

    fn manner(&self, group: Group) -> Manner {
        self.manners[group.0 as usize]
    }

    /// Something has happened.
    pub(super) fn take_note(&mut self, event: &Event) {
        if let (Some(group), Some(account)) = (event.group, event.account)
            && !matches!(event.kind, Kind::Group | Kind::Refund)
            && self.manner(group).quiet
        {
            self.heard.insert((group, account));
        }
    }

    /// Whether somebody keeps to himself what he would say: in a quiet group, who has been seen
    /// there. So everybody who would have been seen in a group is, and the shares of people that
    /// are counted by who is in which groups stay what they are.
    pub(super) fn hushes(&self, group: Group, who: Account) -> bool {
        self.manner(group).quiet && self.heard.contains(&(group, who))
    }

    /// As in a group of which type people write in a ring's.
    pub(super) fn guise(&self, group: Group) -> GroupType {
        self.manner(group).guise
    }

    /// What somebody says in a ring's group.
    pub(super) fn chat_of_ring(&mut self, words: &Words, group: Group) -> String {
        let lookalike = self.rng.chance(LOOKALIKE);
        let scene = if lookalike { "chat.lookalike" } else { chat_scene(self.guise(group)) };
        words.say(scene, &[], &mut self.rng)
    }

    /// What anybody writes on a packet in a ring's group.
    pub(super) fn usual_memo(&mut self, words: &Words, group: Group) -> String {
        anybodys(words, self.guise(group), &mut self.rng)
    }

    /// A packet's memo as it is written in a group: this one or something short.
    pub(super) fn memo(&mut self, words: &Words, group: Group, usual: String) -> String {
        if self.rng.below(100) < self.manner(group).short_percent {
            return words.say("memo.short", &[], &mut self.rng);
        }
        usual
    }

    /// The memo of a ring's packet in a group, as long as anybody's: who has only a word to say
    /// adds some of what people say, and who has none says only that.
    pub(super) fn memo_of_ring(&mut self, words: &Words, group: Group, said: String) -> String {
        let guise = self.guise(group);
        let anybody = anybodys(words, guise, &mut self.rng);
        let anybody = self.memo(words, group, anybody);
        if said.is_empty() {
            return anybody;
        }
        let length = |text: &str| text.chars().count() as i64;
        let room = length(&anybody) - length(&said) - 1;
        if room < ADDED_MIN {
            return said;
        }
        let tries: [String; TRIES] = std::array::from_fn(|_| anybodys(words, guise, &mut self.rng));
        let added = tries.into_iter().min_by_key(|added| (length(added) - room).abs());
        added.map_or_else(|| said.clone(), |added| format!("{said}，{added}"))
    }
}

/// Less than this is not added to a memo, in characters.
const ADDED_MIN: i64 = 2;
/// Of so many phrases the one that fits best is added.
const TRIES: usize = 8;

/// How likely somebody says what a list of forbidden words alone would stop.
pub(super) const LOOKALIKE: f64 = 0.04;

/// What is said in groups of a type.
pub(super) fn chat_scene(kind: GroupType) -> &'static str {
    match kind {
        GroupType::Family => "chat.family",
        GroupType::Interest => "chat.interest",
        GroupType::Business => "chat.business",
        GroupType::Stranger => "chat.stranger",
    }
}

/// What people write on packets that pay for no task in groups of a type.
fn anybodys(words: &Words, kind: GroupType, rng: &mut Rng) -> String {
    let scene = match kind {
        _ if rng.chance(0.4) => "memo.default",
        GroupType::Family => "memo.family",
        GroupType::Interest => "memo.interest",
        GroupType::Business => "memo.business",
        GroupType::Stranger => "memo.stranger",
    };
    words.say(scene, &[], rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(groups: usize) -> Talk {
        let mut talk = Talk::new(1);
        (0..groups).for_each(|_| talk.add_group());
        talk
    }

    /// The mean length of memos of a ring is that of anybody's, but for words that are longer.
    #[test]
    fn rings_memos_are_as_long_as_anybodys() {
        let words = Words::new();
        let mut talk = talk(200);
        let groups: Vec<Group> = (0..200).map(Group).collect();
        let mut mean = |write: &dyn Fn(&mut Talk, Group) -> String| {
            let memos = groups.iter().flat_map(|&group| [group; 20]);
            let lengths = memos.map(|group| write(&mut talk, group).chars().count());
            lengths.sum::<usize>() as f64 / 4_000.0
        };
        let anybody = mean(&|talk, group| {
            let usual = talk.usual_memo(&words, group);
            talk.memo(&words, group, usual)
        });
        for said in ["", "货款", "代收"] {
            let ring = mean(&|talk, group| talk.memo_of_ring(&words, group, said.to_owned()));
            assert!((ring - anybody).abs() < 1.2, "{said}: {ring} beside {anybody}");
        }
        let kept = talk.memo_of_ring(&words, Group(0), "归~集".to_owned());
        assert!(kept.starts_with("归~集"), "what the ring says stays there: {kept}");
    }

    #[test]
    fn some_groups_are_quiet_and_some_write_short() {
        let talk = talk(1_000);
        let of =
            |wanted: &dyn Fn(&Manner) -> bool| talk.manners.iter().filter(|m| wanted(m)).count();
        let quiet = of(&|manner| manner.quiet);
        assert!(quiet.abs_diff(10 * QUIET_PERCENT as usize) < 60, "{quiet}");
        assert!(of(&|manner| manner.short_percent < 10) > 200);
        assert!(of(&|manner| manner.short_percent > 80) > 50);
    }
}
