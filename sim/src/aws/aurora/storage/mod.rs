//! Storage: heaps of tuple versions, ordered indexes over them, and the log of committed changes.

pub mod heap;
pub mod index;
pub mod log;

pub use heap::{Heap, HeapId, Row, RowLock, Tid, Tuple};
pub use index::{Index, IndexKey};
