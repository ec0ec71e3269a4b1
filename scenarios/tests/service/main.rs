//! The payment system as a process of its own, with a real PostgreSQL that keeps what it confirms, the simulated AWS services
//! on real ports, and stand-ins for the providers.

mod api;
mod bad_input;
mod crash;
mod fuzz;
mod messages;
mod provision;
mod queue;
mod region;
mod rollout;
mod shop;
mod suspects;
mod system;
