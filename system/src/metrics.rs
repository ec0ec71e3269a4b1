//! What a process counts, in Prometheus' format. Each process has its own registry: nothing is global.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
    status: u16,
}

/// A process's counters. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Route, Counter>,
    seconds: Family<Route, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::default();
        let buckets = || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let seconds = Family::new_with_constructor(buckets as fn() -> Histogram);
        let mut registry = Registry::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_seconds", "Time to the answer", seconds.clone());
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            seconds,
        }
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn request(&self, route: String, status: u16, took: Duration) {
        let route = Route { route, status };
        self.requests.get_or_create(&route).inc();
        self.seconds.get_or_create(&route).observe(took.as_secs_f64());
    }

    /// All counters as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
