//! Models that score rows of columns: training, judging, and inference that gives the same score on
//! every machine. Nothing here knows what a red packet is.
//!
//! Training uses floating point, once. What it leaves is an artefact of integers, the edges of bins
//! and the means and scales of inputs apart: a raw score is a sum of integers, and a table turns it
//! into a score from 0 to 1000.
//!
//! ```
//! use models::{Column, Identity, Model, Table, TrainConfig, Work, train};
//!
//! let amount = Column::new("amount", (0..1000).map(|row| Some(f64::from(row * 37 % 1000))));
//! let fraud = amount.values.iter().map(|amount| *amount > 900.0).collect();
//! let table = Table::new(vec![amount], fraud, (0..1000).collect())?;
//! let config = r#"{"model": {"kind": "forest", "trees": 10}, "calibration": {"method": "none"}}"#;
//! let config: TrainConfig = serde_json::from_str(config)?;
//! let identity = Identity { name: "large-amounts", catalogue_hash: "none" };
//! let trained = train(&table, &config, identity, Work::default())?;
//!
//! let model = Model::from_json(&trained.model.to_json())?;
//! assert!(model.score(&[990.0]) > 900 && model.score(&[100.0]) < 100);
//! let why = model.explain(&[990.0]);
//! assert_eq!(why.bias + why.contributions[0].adds, model.raw(&[990.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod table;
mod random;
mod split;
mod bins;
mod inputs;
mod score;
mod forest;
mod calibrate;
mod logistic;
pub mod judge;
mod train;
mod card;
mod model;
mod classes;
mod any;
pub mod onnx;

pub use any::AnyModel;
pub use calibrate::{Levels, Method, Scale};
pub use card::card;
pub use classes::{
    CLASSES_MAX, ClassFigures, Classes, ClassesFacts, ClassesJudgement, TrainedClasses,
    judge_classes, train_classes,
};
pub use forest::{
    BoostingConfig, ClassWeight, DEPTH_MAX, ForestConfig, IsolationConfig, TREES_MAX, TreeConfig,
    Work,
};
pub use inputs::{Input, NamesDiffer, NullConfig, NullPolicy};
pub use logistic::{LogisticConfig, LogisticError};
pub use model::{
    ARTEFACT_BYTES_MAX, ArtefactError, Binding, Contribution, Explanation, Model, ModelKind,
};
pub use score::SCORE_MAX;
pub use split::{PartFacts, Split, SplitConfig, SplitError, SplitFacts};
pub use table::{COLUMNS_MAX, Codes, Column, Kind, MISSING, ROWS_MAX, Table, TableError};
pub use train::{
    CalibrationConfig, CalibrationRows, Identity, LEAK_AUC, SAMPLE_ROWS_MAX, TrainConfig,
    TrainError, Trained, Trainer, Warning, raw_of, train, train_anomaly,
};
