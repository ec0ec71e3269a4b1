//! Pages of real runs in a real browser: they open, draw, can be searched and read, in the dark and in the light, with a
//! keyboard alone and on paper.

mod browser;
mod page;
mod records;
