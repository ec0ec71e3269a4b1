//! Routing controls and the accelerator.

mod accelerator;
mod control;
mod model;
