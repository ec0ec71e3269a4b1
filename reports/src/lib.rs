//! What a run or a campaign came to, for people.
//!
//! | page | made from |
//! |---|---|
//! | [`run_page`]: one run as one HTML file | the folder that `sumzero run --out` leaves |
//! | [`bundle`]: a run's record with its page | a script |
//! | [`campaign_page`]: a campaign as one HTML file | the lines that `sumzero explore --out` leaves, a verdict each |
//! | [`junit`]: a campaign as JUnit XML | the same |
//! | [`finding`]: a failure in Markdown, with a drawing | the folder of its smallest run |
//! | [`plots`]: single drawings (SVG) | a run, or a campaign |
//!
//! A page needs nothing but itself: no network, no file beside it. It reads in the dark and in the light, on paper, and with a
//! keyboard. What is said in words is said by [`story`]; what a page computes for itself is only what moves.

mod bundle;
mod campaign;
mod data;
mod diagram;
mod error;
mod finding;
mod html;
mod junit;
mod money;
mod names;
mod page;
mod plot;
pub mod plots;
mod providers;
mod run;
mod story;
mod timeline;

pub use bundle::bundle;
pub use campaign::{campaign_page, read_results, write_campaign};
pub use error::Error;
pub use finding::{Finding, finding, needed};
pub use junit::junit;
pub use page::run_page;
pub use plot::{Plot, Series, Style};
pub use run::Run;
pub use story::{Clause, Story, story};
