//! The payment system on trial: who it deals with, and what becomes of it when they fail.

pub mod externals;
