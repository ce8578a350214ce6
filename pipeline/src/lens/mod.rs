//! The tables of the domain document, recomputed over the events of a run, so that analysts see
//! their population as the document describes it, with the document's figure beside each.
//!
//! Nothing about a single person is in a lens. A figure of fewer than [`SMALL_CELL`] accounts is not
//! shown; and what could be had of it from totals and subtotals is hidden with it (`close`). Values
//! are as exact as they are shown, for a long fraction tells its denominator.

mod close;
mod gather;
mod page;
mod places;
mod roles;
mod scenes;
mod sections;
mod shown;

use std::borrow::Cow;

use serde::Serialize;

pub use self::gather::TypeSource;
pub use self::page::html;
pub use self::shown::terminal;

use self::close::Figure;
use crate::diagnostic::{Failure, Lang};
use crate::finished::FinishedRun;
use crate::source::Progress;

/// A figure of fewer accounts than this could tell of one of them.
pub const SMALL_CELL: usize = 10;

/// A population as the document describes one.
#[derive(Clone, Debug, Serialize)]
pub struct Lens {
    /// The run directory.
    pub run: String,
    /// The digest of the run's decisions.
    pub decisions_digest: String,
    /// When the first event happened, by the run's clock.
    pub from: String,
    /// When the last event happened.
    pub to: String,
    /// Calendar days from the first event to the last.
    pub days: i64,
    /// The events that were looked at.
    pub events: usize,
    /// Records that the run rejected.
    pub rejected: u64,
    /// Whether the run was interrupted: then its input goes on after `to`.
    pub partial: bool,
    /// Whence the types of groups come.
    pub group_types: Words,
    /// `features`, `labels`, `events` or `none`.
    pub group_types_from: &'static str,
    /// Figures of fewer accounts are hidden.
    pub small_cell: usize,
    /// The tables.
    pub sections: Vec<Section>,
    /// What went on at which hour.
    pub hours: Vec<Hours>,
}

/// One text in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Words {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

impl Words {
    fn new(en: impl Into<String>, zh: impl Into<String>) -> Words {
        Words { en: en.into(), zh: zh.into() }
    }

    /// The text in one language.
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Its name for programs.
    pub id: &'static str,
    /// Its heading.
    pub title: Words,
    /// Its columns after the first, which names the row.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// How the figures came about.
    pub notes: Vec<Words>,
    /// Totals that are known without a cell of their own.
    #[serde(skip)]
    known: Vec<Part>,
}

/// What a column of figures is.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name for programs.
    pub id: Cow<'static, str>,
    /// Its heading.
    pub name: Words,
    /// How its values are written.
    pub unit: Unit,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A whole number.
    Count,
    /// Yuan with two decimals.
    Yuan,
    /// Hundredths.
    Percent,
    /// Minutes.
    Minutes,
    /// A number with two decimals.
    Number,
    /// A half-hour of the day, in hours since midnight.
    Clock,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name for programs.
    pub id: String,
    /// Its name.
    pub name: Words,
    /// Its figures, one a column.
    pub cells: Vec<Cell>,
}

/// One figure.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// The value; none where there is nothing to measure, or too few accounts.
    pub value: Option<f64>,
    /// Whether it is hidden because it is of fewer than [`SMALL_CELL`] accounts, or would give such
    /// a one away.
    pub small: bool,
    /// The document's figure, in words; it may be a bound or a span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Whether it cannot be known, for the run does not tell what it is about.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// Of how many accounts the value is. Never shown.
    #[serde(skip)]
    accounts: usize,
    /// What it is a part of, where that adds up.
    #[serde(skip)]
    part: Option<Part>,
}

/// Something that rows of tables add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// Groups by their type; accounts in them; packets in them.
    GroupsByType,
    PeopleByType,
    PacketsByType,
    /// Accounts, by their province.
    PeopleByPlace,
    /// Groups, banned groups and groups found fraud, by province.
    GroupsByPlace,
    BannedByPlace,
    FoundByPlace,
    /// Groups of a type, by zone.
    BusinessByZone,
    FamilyByZone,
    /// Packets by platform, and by the age of who sends them.
    PacketsByPlatform,
    PacketsByAge,
}

impl Whole {
    const ALL: [Whole; 11] = [
        Whole::GroupsByType,
        Whole::PeopleByType,
        Whole::PacketsByType,
        Whole::PeopleByPlace,
        Whole::GroupsByPlace,
        Whole::BannedByPlace,
        Whole::FoundByPlace,
        Whole::BusinessByZone,
        Whole::FamilyByZone,
        Whole::PacketsByPlatform,
        Whole::PacketsByAge,
    ];
}

/// A part of a whole: what it adds up, a bit each, and how much that is.
#[derive(Clone, Copy, Debug)]
struct Part {
    whole: Whole,
    atoms: u64,
    count: usize,
}

impl Cell {
    /// A value of so many accounts.
    fn of(value: f64, accounts: usize) -> Cell {
        let small = accounts > 0 && accounts < SMALL_CELL;
        let value = (accounts >= SMALL_CELL && value.is_finite()).then_some(value);
        Cell { value, small, accounts, ..Cell::default() }
    }

    /// A value of which the run tells nothing.
    fn unknown() -> Cell {
        Cell { unknown: true, ..Cell::default() }
    }

    /// As a part of a whole.
    fn part(self, whole: Whole, atoms: u64, count: usize) -> Cell {
        Cell { part: Some(Part { whole, atoms, count }), ..self }
    }

    /// A count of so many accounts; where there is nobody, it is zero.
    fn count(value: usize, accounts: usize) -> Cell {
        match accounts {
            0 => Cell { value: Some(0.0), ..Cell::default() },
            _ => Cell::of(value as f64, accounts),
        }
    }

    /// With the document's figure.
    fn beside(self, document: impl Into<String>) -> Cell {
        Cell { document: Some(document.into()), ..self }
    }

    fn hide(&mut self) {
        (self.value, self.small) = (None, true);
    }
}

/// How many packets were sent in each half-hour of the day, as shares of all.
#[derive(Clone, Debug, Serialize)]
pub struct Hours {
    /// The type of the groups.
    pub id: &'static str,
    /// Its name.
    pub name: Words,
    /// Hundredths of the type's packets; none where there are too few accounts.
    pub percent: Vec<Option<f64>>,
    /// The document's active hours, in half-hours from midnight: from and to.
    pub active: Option<(usize, usize)>,
}

/// Looks at the events of a run; the types of groups are taken from `types`, or else from the first
/// source that tells of any.
///
/// # Errors
/// When the run cannot be read again.
pub fn look(
    run: &FinishedRun,
    types: Option<TypeSource>,
    progress: &dyn Progress,
) -> Result<Lens, Failure> {
    let gathered = gather::gather(run, types, progress)?;
    let mut sections = sections::all(&gathered);
    // Beside the types of groups.
    let roles = roles::section(run)?;
    sections.splice(2..2, roles);
    hide_derived(&mut sections);
    sections.iter_mut().for_each(round);
    let zone = run.zone();
    let moment = |time: i64| if gathered.events == 0 { "-".to_owned() } else { zone.moment(time) };
    Ok(Lens {
        run: run.directory().display().to_string(),
        decisions_digest: run.decisions_digest().to_owned(),
        from: moment(gathered.first),
        to: moment(gathered.last),
        days: gathered.tables.days,
        events: gathered.events,
        rejected: run.metrics()["counts"]["rejected"].as_u64().unwrap_or(0),
        partial: run.partial(),
        group_types: gathered.source.words(),
        group_types_from: gathered.source.name(),
        small_cell: SMALL_CELL,
        hours: sections::hours(&gathered),
        sections,
    })
}

/// Hides what could be had of hidden figures.
fn hide_derived(sections: &mut [Section]) {
    for whole in Whole::ALL {
        let of = |part: &&Part| part.whole == whole;
        let known: Vec<Part> =
            sections.iter().flat_map(|section| &section.known).filter(of).copied().collect();
        let cells = sections.iter_mut().flat_map(|section| &mut section.rows);
        let cells = cells.flat_map(|row| &mut row.cells);
        let mut cells: Vec<&mut Cell> =
            cells.filter(|cell| cell.part.as_ref().filter(of).is_some()).collect();
        let figure = |part: Part, accounts: usize, hidden: bool, fixed: bool| Figure {
            atoms: part.atoms,
            count: part.count,
            accounts,
            hidden,
            fixed,
        };
        let open = cells.iter().filter_map(|cell| {
            cell.part.map(|part| figure(part, cell.accounts, cell.small, false))
        });
        let known = known.into_iter().map(|part| figure(part, usize::MAX, false, true));
        let mut figures: Vec<Figure> = open.chain(known).collect();
        close::close(&mut figures);
        for (cell, figure) in cells.iter_mut().zip(figures) {
            if figure.hidden {
                cell.hide();
            }
        }
    }
}

/// Values as they are shown, and no more exact.
fn round(section: &mut Section) {
    for row in &mut section.rows {
        for (cell, column) in row.cells.iter_mut().zip(&section.columns) {
            cell.value = cell.value.map(|value| rounded(value, column.unit));
        }
    }
}

fn rounded(value: f64, unit: Unit) -> f64 {
    let parts = match unit {
        Unit::Count | Unit::Minutes => 1.0,
        Unit::Percent => 10.0,
        Unit::Yuan | Unit::Number => 100.0,
        Unit::Clock => return value,
    };
    libm::round(value * parts) / parts
}
