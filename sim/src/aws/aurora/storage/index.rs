//! An index: an ordered set of (key, tuple version). Every version has its own entry, as without HOT.
//!
//! Keys are kept ascending with NULLs last whatever the definition says; a DESC index serves the same look-ups.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use super::heap::Tid;
use crate::aws::aurora::catalog::KeyPart;
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::types::{Value, compare};

/// An entry, or (with an edge) a place just before or after every entry that starts with the same values.
#[derive(Clone, Debug)]
pub(crate) struct IndexKey {
    values: Box<[Value]>,
    tid: Tid,
    edge: i8,
}

impl IndexKey {
    fn edge(values: &[Value], edge: i8) -> IndexKey {
        IndexKey {
            values: values.into(),
            tid: 0,
            edge,
        }
    }
}

impl PartialEq for IndexKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for IndexKey {}

impl PartialOrd for IndexKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for IndexKey {
    fn cmp(&self, other: &Self) -> Ordering {
        for (a, b) in self.values.iter().zip(other.values.iter()) {
            let order = compare(a, b);
            if order != Ordering::Equal {
                return order;
            }
        }
        match self.values.len().cmp(&other.values.len()) {
            Ordering::Equal => self.edge.cmp(&other.edge).then(self.tid.cmp(&other.tid)),
            Ordering::Less => self.edge.cmp(&0).then(Ordering::Less),
            Ordering::Greater => 0.cmp(&other.edge).then(Ordering::Greater),
        }
    }
}

/// One end of a range over an index: values, and whether they belong to it.
pub(crate) type End<'a> = Option<(&'a [Value], bool)>;

/// The entries of one index, and how a row's key is made.
#[derive(Debug)]
pub(crate) struct Index {
    /// Key columns.
    pub parts: Vec<KeyPart>,
    /// WHERE of a partial index.
    pub predicate: Option<Expr>,
    entries: BTreeSet<IndexKey>,
}

impl Index {
    /// An empty index.
    pub(crate) fn new(parts: Vec<KeyPart>, predicate: Option<Expr>) -> Index {
        Index {
            parts,
            predicate,
            entries: BTreeSet::new(),
        }
    }

    /// Adds the entry of a version.
    pub(crate) fn insert(&mut self, values: Box<[Value]>, tid: Tid) {
        self.entries.insert(IndexKey { values, tid, edge: 0 });
    }

    /// Removes the entry of a version.
    pub(crate) fn remove(&mut self, values: Box<[Value]>, tid: Tid) {
        self.entries.remove(&IndexKey { values, tid, edge: 0 });
    }

    /// Versions whose key starts with `prefix`, in key order.
    pub(crate) fn equal<'a>(&'a self, prefix: &[Value]) -> impl DoubleEndedIterator<Item = Tid> + use<'a> {
        self.entries
            .range(IndexKey::edge(prefix, -1)..IndexKey::edge(prefix, 1))
            .map(|k| k.tid)
    }

    /// Versions between two ends, in key order. An end's values may be a prefix of the key.
    pub(crate) fn range<'a>(
        &'a self,
        low: End<'_>,
        high: End<'_>,
    ) -> Box<dyn DoubleEndedIterator<Item = Tid> + 'a> {
        let low = low.map(|(v, inclusive)| IndexKey::edge(v, if inclusive { -1 } else { 1 }));
        let high = high.map(|(v, inclusive)| IndexKey::edge(v, if inclusive { 1 } else { -1 }));
        if let (Some(l), Some(h)) = (&low, &high)
            && l >= h
        {
            return Box::new(std::iter::empty());
        }
        let bounds = (
            low.map_or(Bound::Unbounded, Bound::Included),
            high.map_or(Bound::Unbounded, Bound::Included),
        );
        Box::new(self.entries.range(bounds).map(|k| k.tid))
    }
}
