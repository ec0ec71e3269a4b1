//! How much of its work a process gives to whom, decided before any of it is done.
//!
//! Token buckets, one for each tenant and one for each account that a payment names first: a bucket fills at a steady rate up to
//! a burst, a request takes one token, and one that finds none is told when there will be one (429). Each process counts for
//! itself: with N gateways a tenant may have up to N times the rate. Besides, a process has only so many requests under way;
//! what comes on top is turned away at once (503), since a queue would only make everybody wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use crate::id::{AccountId, TenantId};

use super::{Api, problem::Problem};

/// Buckets that are kept at most; then those that are full are forgotten, which changes nothing.
const BUCKETS_MAX: usize = 10_000;

/// The limits of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitConfig {
    /// Requests of a tenant.
    pub tenant: Rate,
    /// Payments that name an account.
    pub account: Rate,
    /// Requests under way at a time.
    pub in_flight_max: usize,
}

/// A rate and how far it may be exceeded for a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: f64,
    /// Tokens of a full bucket.
    pub burst: f64,
}

impl Rate {
    /// So many a second, and as many at once.
    pub fn per_second(per_second: f64) -> Self {
        Self {
            per_second,
            burst: per_second.max(1.0),
        }
    }
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            tenant: Rate::per_second(5_000.0),
            account: Rate::per_second(1_000.0),
            in_flight_max: 2_048,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    since: Instant,
}

#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// Until when there is one, if there is none.
    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Rate { per_second, burst } = self.rate;
        let filled = |bucket: &Bucket| {
            let filled = bucket.tokens + (now - bucket.since).as_secs_f64() * per_second;
            filled.min(burst)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| filled(bucket) < burst);
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: burst,
            since: now,
        });
        let tokens = filled(bucket);
        if tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - tokens) / per_second));
        }
        *bucket = Bucket {
            tokens: tokens - 1.0,
            since: now,
        };
        Ok(())
    }
}

/// What a process has given, and to whom.
#[derive(Debug)]
pub(super) struct Limits {
    tenants: Buckets<TenantId>,
    accounts: Buckets<(TenantId, AccountId)>,
    in_flight: Arc<AtomicUsize>,
    in_flight_max: usize,
}

impl Limits {
    pub(super) fn new(config: LimitConfig) -> Self {
        Self {
            tenants: Buckets::new(config.tenant),
            accounts: Buckets::new(config.account),
            in_flight: Arc::default(),
            in_flight_max: config.in_flight_max,
        }
    }

    pub(super) fn admit_tenant(&self, tenant: TenantId) -> Result<(), Problem> {
        let taken = self.tenants.take(tenant, Instant::now());
        taken.map_err(|pause| limited("this tenant asks too often", pause))
    }

    pub(super) fn admit_account(&self, tenant: TenantId, account: AccountId) -> Result<(), Problem> {
        let taken = self.accounts.take((tenant, account), Instant::now());
        taken.map_err(|pause| limited("too many payments name this account", pause))
    }
}

fn limited(detail: &str, pause: Duration) -> Problem {
    // Those who were told together come back apart.
    let pause = pause + Duration::from_secs(1).mul_f64(fastrand::f64());
    let status = StatusCode::TOO_MANY_REQUESTS;
    Problem::new(status, "/problems/rate-limited", "Too many requests", detail).after(pause)
}

/// A request under way.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Turns requests away while too many are under way. What operators and load balancers ask is always answered.
pub(super) async fn shed(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let limits = &api.limits;
    let under_way = UnderWay(limits.in_flight.clone());
    if limits.in_flight.fetch_add(1, Ordering::Relaxed) >= limits.in_flight_max {
        return Problem::unavailable("too many requests are under way here; nothing was done")
            .into_response();
    }
    let response = next.run(request).await;
    drop(under_way);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let rate = Rate {
            per_second: 10.0,
            burst: 3.0,
        };
        let buckets = Buckets::new(rate);
        let now = Instant::now();
        let given = |at, times| (0..times).filter(|_| buckets.take("a", at).is_ok()).count();
        assert_eq!(given(now, 5), 3);
        assert_eq!(buckets.take("a", now), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take("b", now), Ok(()), "another one has its own");
        assert_eq!(given(now + Duration::from_millis(100), 5), 1);
        // It holds no more than its burst, however long nobody asks.
        assert_eq!(given(now + Duration::from_secs(60), 5), 3);
    }

    #[test]
    fn only_full_buckets_are_forgotten() {
        let buckets = Buckets::new(Rate::per_second(1.0));
        let now = Instant::now();
        buckets.take(0, now).unwrap();
        for key in 1..=2 * BUCKETS_MAX {
            buckets
                .take(key, now + Duration::from_millis(key as u64))
                .unwrap();
        }
        assert!(buckets.buckets.lock().unwrap().len() <= BUCKETS_MAX + 1);
        let later = now + Duration::from_millis(2 * BUCKETS_MAX as u64);
        assert!(buckets.take(2 * BUCKETS_MAX, later).is_err());
    }
}
