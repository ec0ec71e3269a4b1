//! API keys seen lately, so that not every request asks the database. A key that is revoked is good for another minute.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

use crate::ledger::Caller;

const KEEP: Duration = Duration::from_secs(60);
const KEYS_MAX: usize = 10_000;

/// API keys by their hashes.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<BTreeMap<[u8; 32], (Caller, OffsetDateTime)>>);

impl Callers {
    pub(super) fn get(&self, hash: &[u8; 32], now: OffsetDateTime) -> Option<Caller> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (caller, seen) = keys.get(hash)?;
        // A clock that went back makes an entry old, not young for ever.
        let fresh = (now - *seen).abs() < KEEP && caller.expires_at > now;
        fresh.then_some(*caller)
    }

    pub(super) fn put(&self, hash: [u8; 32], caller: Caller, now: OffsetDateTime) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(hash, (caller, now));
    }
}
