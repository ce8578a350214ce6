//! Hongxian (红线) watches group red packets and the money around them.

pub mod event;
pub mod diagnostic;
pub mod document;
pub mod expr;
pub mod stopwatch;
pub mod source;
pub mod keyed;
pub mod packet;
pub mod features;
pub mod decision;
pub mod rules;
pub mod score;
pub mod verdicts;
pub mod sink;
pub mod gather;
pub mod dataflow;
pub mod backtest;
pub mod judge;
pub mod report;
pub mod run;
pub mod rules_test;
pub mod cli;
