//! How good scores are: ranking, budgets, money, calibration, drift, with intervals.

mod ranking;

pub use ranking::{auc, average_precision};
