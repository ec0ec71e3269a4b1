//! The payment system on trial: the stage that boots it in a simulated world, those it deals with, what its clients do, and
//! what must be true of it whatever happens.

pub mod deliveries;
pub mod externals;
pub mod history;
pub mod properties;
pub mod stage;
