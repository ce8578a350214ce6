//! Hongxian (红线) watches group red packets and the money around them.

pub mod event;
pub mod diagnostic;
pub mod expr;
