//! From SQL text to plans: parsing, name and type resolution, access paths.

pub mod bind;
pub mod expr;
pub mod parse;
pub mod plan;
