//! The `sumzero` command.
fn main() {}
