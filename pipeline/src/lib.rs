//! Hongxian (红线) watches group red packets and the money around them.

pub mod event;
pub mod diagnostic;
pub mod expr;
pub mod score;
pub mod judge;
pub mod report;
