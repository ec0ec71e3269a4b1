//! Storage: heaps of tuple versions, ordered indexes over them, and the log of committed changes.

pub(super) mod heap;
pub(super) mod index;
pub(super) mod log;

pub(super) use heap::{Heap, HeapId, Row, RowLock, Tid, Tuple};
pub(super) use index::Index;
