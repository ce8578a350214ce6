//! Grades of evidence: how a text spells a phrase, and which spellings a phrase accepts.

/// How a text spells a phrase, from plain to disguised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Grade {
    /// As its file does, but for the case of ASCII letters.
    Exact,
    /// With other characters for the same: width, script, numerals, look-alikes, repeats.
    Folded,
    /// With punctuation, spaces, pictures or zero-width characters inside.
    Skipped,
    /// With characters taken apart: 贝者 for 赌.
    Split,
    /// With one character that only sounds the same: 红包扫蕾, hong包扫雷, 红🎒扫雷.
    Homophone,
    /// With several characters that only sound the same: hongbao saolei.
    Homophones,
}

impl Grade {
    /// Every grade.
    pub const ALL: [Grade; 6] = [
        Grade::Exact,
        Grade::Folded,
        Grade::Skipped,
        Grade::Split,
        Grade::Homophone,
        Grade::Homophones,
    ];

    /// The name in files and outputs.
    pub fn name(self) -> &'static str {
        match self {
            Grade::Exact => "exact",
            Grade::Folded => "folded",
            Grade::Skipped => "skipped",
            Grade::Split => "split",
            Grade::Homophone => "homophone",
            Grade::Homophones => "homophones",
        }
    }

    fn named(name: &str) -> Option<Grade> {
        Grade::ALL.into_iter().find(|grade| grade.name() == name)
    }
}

/// From this many syllables and letters on, a phrase accepts homophones unless its line says
/// otherwise. Two syllables are too little: 中雷 sounds like 种类, 爆庄 like 包装.
pub(super) const HOMOPHONE_SOUNDS_MIN: usize = 3;

/// The grades of evidence that a phrase accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grades(u8);

impl Grades {
    pub(super) const ALL: Grades = Grades(0b11_1111);

    /// What a phrase of so many syllables and letters accepts when its line does not say.
    fn by_default(sounds: usize) -> Grades {
        let grades = Grades(0)
            .with(Grade::Exact)
            .with(Grade::Folded)
            .with(Grade::Skipped)
            .with(Grade::Split);
        if sounds >= HOMOPHONE_SOUNDS_MIN {
            grades.with(Grade::Homophone).with(Grade::Homophones)
        } else {
            grades
        }
    }

    pub(super) fn contains(self, grade: Grade) -> bool {
        self.0 & 1 << grade as u8 != 0
    }

    fn with(self, grade: Grade) -> Grades {
        Grades(self.0 | 1 << grade as u8)
    }

    /// Whether it accepts a phrase by its sound.
    pub(super) fn by_sound(self) -> bool {
        self.contains(Grade::Homophone) || self.contains(Grade::Homophones)
    }

    /// Whether it accepts nothing.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn names(self) -> String {
        let accepted = Grade::ALL.into_iter().filter(|grade| self.contains(*grade));
        accepted.map(Grade::name).collect::<Vec<_>>().join(",")
    }
}

/// What an option `grades=` says: these grades, or the default with some more and some less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GradeChoice {
    only: Option<Grades>,
    more: Grades,
    less: Grades,
}

/// What is wrong with the value of an option `grades=`: a part and its place in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GradeMistake<'v> {
    /// It names no grade.
    Unknown(usize, &'v str),
    /// It names one that was named before.
    Twice(usize, &'v str),
    /// Some parts have a sign, and some have none.
    Mixed,
}

impl GradeChoice {
    /// Reads `exact,folded` or `+homophone,-skipped`. What only adds and takes away changes
    /// `before`, which is what the section says.
    pub(super) fn read(value: &str, before: GradeChoice) -> Result<GradeChoice, GradeMistake<'_>> {
        let (mut only, mut named) = (Grades::default(), Grades::default());
        let mut choice = before;
        let mut at = 0;
        for part in value.split(',') {
            let name = part.strip_prefix(['+', '-']).unwrap_or(part);
            let place = at + part.len() - name.len();
            let grade = Grade::named(name).ok_or(GradeMistake::Unknown(place, name))?;
            if named.contains(grade) {
                return Err(GradeMistake::Twice(place, name));
            }
            named = named.with(grade);
            let bit = Grades::default().with(grade).0;
            match part.as_bytes()[0] {
                b'+' => {
                    choice.more.0 |= bit;
                    choice.less.0 &= !bit;
                }
                b'-' => {
                    choice.less.0 |= bit;
                    choice.more.0 &= !bit;
                }
                _ => only = only.with(grade),
            }
            at += part.len() + 1;
        }
        if only.is_empty() {
            Ok(choice)
        } else if only == named {
            Ok(GradeChoice { only: Some(only), ..GradeChoice::default() })
        } else {
            Err(GradeMistake::Mixed)
        }
    }

    /// The grades of a phrase of so many syllables and letters.
    pub(super) fn of(self, sounds: usize) -> Grades {
        let base = self.only.unwrap_or(Grades::by_default(sounds));
        Grades((base.0 | self.more.0) & !self.less.0)
    }
}
