//! Copies of a volume on their way to another Region.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::aws::aurora::storage::log::Lsn;
use crate::aws::aurora::storage::volume::{Epoch, Image};

/// A volume's contents at one position.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) image: Image,
    pub(super) timeline: Vec<(Epoch, Lsn)>,
}

/// The contents of copies whose bytes cross the network, by number.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<(u64, BTreeMap<u64, Copy>)>);

impl Copies {
    pub(super) fn send(&self, copy: Copy) -> u64 {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copies.0 += 1;
        let number = copies.0;
        copies.1.insert(number, copy);
        number
    }

    pub(super) fn take(&self, number: u64) -> Option<Copy> {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copies.1.remove(&number)
    }
}
