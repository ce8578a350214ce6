//! Models that score a transaction: training on columns, and inference that gives the same score on
//! every machine. Nothing here knows what a red packet is.
//!
//! Training uses floating point, once. What it leaves is an artefact of integers, the means and
//! scales of its inputs apart: a score is a sum of integers looked up in a table, from 0 to 1000.
//!
//! ```
//! use models::{Column, Logistic, Options, Table};
//!
//! let amount = [1.0, 2.0, 3.0, 40.0, 50.0, 60.0].map(Some);
//! let columns = vec![Column { name: "amount".into(), values: amount.into() }];
//! let fraud = vec![false, false, false, true, true, true];
//! let model = Logistic::train(&Table::new(columns, fraud)?, &Options::default())?;
//!
//! assert!(model.predict(&[Some(55.0)]) > 500);
//! assert!(model.predict(&[Some(1.5)]) < 500);
//! assert_eq!(Logistic::from_json(&model.to_json())?, model);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod logistic;
mod score;
mod table;

pub use logistic::{ArtefactError, Logistic, NamesDiffer, Options, TrainError};
pub use score::SCORE_MAX;
pub use table::{Column, Table, TableError};
