//! From SQL text to plans: parsing, name and type resolution, access paths.

pub(super) mod bind;
pub(super) mod command;
pub(super) mod expr;
pub(super) mod parse;
pub(super) mod plan;
pub(super) mod rewrite;
