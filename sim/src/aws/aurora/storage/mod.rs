//! Storage: heaps of tuple versions, ordered indexes over them, the log of committed changes, and the volume that
//! outlives an instance.

pub(super) mod heap;
pub(super) mod index;
pub(super) mod log;
pub(super) mod volume;

pub(super) use heap::{Heap, HeapId, Row, RowLock, Tid, Tuple};
pub(super) use index::Index;
pub(super) use volume::Volume;
