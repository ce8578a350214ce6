//! The tables of the domain document, recomputed over the events of a run, so that analysts see
//! their population as the document describes it, with the document's figure beside each.
//!
//! Nothing about a single person is in a lens. A figure of fewer than [`SMALL_CELL`] accounts is not
//! shown; and where one hidden count of a column could be had by subtraction from the total, the
//! next smallest is hidden with it.

mod gather;
mod page;
mod places;
mod scenes;
mod sections;
mod shown;

use serde::Serialize;

pub use self::gather::TypeSource;
pub use self::page::html;
pub use self::shown::terminal;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
}

/// What a column of figures is.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name for programs.
    pub id: &'static str,
    /// Its heading.
    pub name: Words,
    /// How its values are written.
    pub unit: Unit,
    /// Whether its rows add up to something that is known, so that a hidden one could be had by
    /// subtraction.
    #[serde(skip)]
    adds_up: bool,
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
    /// Of how many accounts the value is. Never shown.
    #[serde(skip)]
    accounts: usize,
}

impl Cell {
    /// A value of so many accounts.
    fn of(value: f64, accounts: usize) -> Cell {
        let small = accounts > 0 && accounts < SMALL_CELL;
        let value = (accounts >= SMALL_CELL && value.is_finite()).then_some(value);
        Cell { value, small, document: None, accounts }
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
    sections.iter_mut().for_each(hide_neighbours);
    let zone = run.zone();
    let moment = |time: i64| if gathered.events == 0 { "-".to_owned() } else { zone.moment(time) };
    Ok(Lens {
        run: run.directory().display().to_string(),
        decisions_digest: run.decisions_digest().to_owned(),
        from: moment(gathered.first),
        to: moment(gathered.last),
        days: gathered.tables.days,
        events: gathered.events,
        group_types: gathered.source.words(),
        group_types_from: gathered.source.name(),
        small_cell: SMALL_CELL,
        hours: sections::hours(&gathered),
        sections,
    })
}

/// Where exactly one value of a column is hidden and the column's total is known, the next smallest
/// is hidden too.
fn hide_neighbours(section: &mut Section) {
    for at in (0..section.columns.len()).filter(|at| section.columns[*at].adds_up) {
        let hidden = section.rows.iter().filter(|row| row.cells[at].small).count();
        if hidden != 1 {
            continue;
        }
        let open = section.rows.iter_mut().filter(|row| row.id != "all");
        let open = open.map(|row| &mut row.cells[at]);
        let open = open.filter(|cell| !cell.small && cell.accounts > 0);
        if let Some(next) = open.min_by_key(|cell| cell.accounts) {
            next.hide();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(accounts: &[usize]) -> Section {
        let row = |(at, accounts): (usize, &usize)| Row {
            id: at.to_string(),
            name: Words::default(),
            cells: vec![Cell::count(*accounts * 3, *accounts)],
        };
        let name = Words::default();
        Section {
            id: "test",
            title: Words::default(),
            columns: vec![Column { id: "count", name, unit: Unit::Count, adds_up: true }],
            rows: accounts.iter().enumerate().map(row).collect(),
            notes: Vec::new(),
        }
    }

    /// What a reader of the table sees: hidden, or a number.
    fn seen(accounts: &[usize]) -> Vec<Option<f64>> {
        let mut section = section(accounts);
        hide_neighbours(&mut section);
        section.rows.iter().map(|row| row.cells[0].value).collect()
    }

    #[test]
    fn few_accounts_are_hidden_and_cannot_be_had_by_subtraction() {
        assert_eq!(seen(&[10, 20, 30]), [Some(30.0), Some(60.0), Some(90.0)], "ten are enough");
        assert_eq!(seen(&[9, 20, 30]), [None, None, Some(90.0)], "twenty goes with nine");
        assert_eq!(seen(&[9, 1, 30]), [None, None, Some(90.0)], "two hidden ones hide each other");
        assert_eq!(seen(&[0, 20]), [Some(0.0), Some(60.0)], "nobody is no one");
    }
}
