//! Hongxian (红线) watches group red packets and the money around them.

pub mod event;
