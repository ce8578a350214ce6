//! Hongxian (红线) watches group red packets and the money around them.

pub mod backtest;
pub mod dataflow;
pub mod diagnostic;
pub mod event;
pub mod expr;
pub mod features;
pub mod gather;
pub mod keyed;
pub mod packet;
pub mod score;
pub mod sink;
pub mod source;
pub mod stopwatch;
