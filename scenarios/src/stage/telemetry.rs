//! Hears what the system says of itself: the `tracing` events that a deployment exports, with the host and the true time.
//!
//! A world lives on a thread of its own, and so does what is heard from it.

use std::{cell::RefCell, collections::BTreeMap, fmt};

use serde_json::Value;
use sumzero_sim::here;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::history::Telemetry;

thread_local! {
    static HEARD: RefCell<Vec<Telemetry>> = const { RefCell::new(Vec::new()) };
}

/// From now on this process listens. Called again, it does nothing.
pub fn listen() {
    // Somebody else's subscriber may be there already, as in a test; then nothing is heard, and its properties say so.
    let _ = tracing::subscriber::set_global_default(Listener);
}

/// What was heard on this thread since the last time.
pub(super) fn heard() -> Vec<Telemetry> {
    HEARD.take()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with("payments")
    }

    fn event(&self, event: &Event<'_>) {
        let Some(here) = here() else { return };
        let mut said = Said::default();
        event.record(&mut said);
        let heard = Telemetry {
            at_nanos: here.at.as_nanos(),
            host: here.host.to_string(),
            clock_nanos: here.clock_nanos,
            level: event.metadata().level().to_string(),
            target: event.metadata().target().to_owned(),
            message: said.message,
            fields: said.fields,
        };
        HEARD.with_borrow_mut(|all| all.push(heard));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Said {
    message: String,
    fields: BTreeMap<String, Value>,
}

impl Said {
    fn add(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text.into());
        }
    }
}
