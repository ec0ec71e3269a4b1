//! What a process counts, in Prometheus' format. Each process has its own registry: nothing is global.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Consumed {
    subscriber: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    difference: &'static str,
    repaired: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Units {
    kind: &'static str,
}

/// A process's counters. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Route, Counter>,
    seconds: Family<Route, Histogram>,
    relayed: Family<Outcome, Counter>,
    consumed: Family<Consumed, Counter>,
    found: Family<Found, Counter>,
    units: Family<Units, Counter<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::default();
        let buckets = || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let seconds = Family::new_with_constructor(buckets as fn() -> Histogram);
        let mut registry = Registry::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_seconds", "Time to the answer", seconds.clone());
        let (relayed, consumed, found) = (Family::default(), Family::default(), Family::default());
        let units = Family::default();
        registry.register(
            "gate_capacity_units",
            "DynamoDB units that the gate used in this Region",
            units.clone(),
        );
        registry.register(
            "outbox_events",
            "Events of the outbox by what came of them",
            relayed.clone(),
        );
        registry.register(
            "inbox_messages",
            "Messages of queues by what came of them",
            consumed.clone(),
        );
        registry.register(
            "reconciler_differences",
            "Differences that the reconciler found",
            found.clone(),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            seconds,
            relayed,
            consumed,
            found,
            units,
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

    /// Counts what came of an event of the outbox.
    pub fn relayed(&self, outcome: &'static str) {
        self.relayed.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts what came of a message to a subscriber.
    pub fn consumed(&self, subscriber: &'static str, outcome: &'static str) {
        self.consumed
            .get_or_create(&Consumed { subscriber, outcome })
            .inc();
    }

    /// Counts a difference that the reconciler found.
    pub fn found(&self, difference: &'static str, repaired: bool) {
        let repaired = if repaired { "yes" } else { "no" };
        self.found.get_or_create(&Found { difference, repaired }).inc();
    }

    /// Counts DynamoDB's units.
    pub fn consumed_units(&self, kind: &'static str, units: f64) {
        self.units.get_or_create(&Units { kind }).inc_by(units);
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
