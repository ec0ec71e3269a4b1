//! A provider: remembers keys for a window, does things, and keeps a record of what it really did.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::behaviour::{Behaviour, happens};

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Hold an amount.
    Authorize,
    /// Take an amount in one step.
    Sale,
    /// Take what was held.
    Capture,
    /// Give up what was held.
    Void,
    /// Give back what was taken.
    Refund,
    /// Verify a payee.
    Verify,
    /// Pay a payee out.
    Payout,
}

/// The body of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ask {
    kind: Kind,
    amount: i64,
    currency: String,
    payment: String,
    instrument: String,
    account: String,
}

/// Something that a provider did. Asked for twice under a key that it had forgotten, it did it twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The key that it was asked for under.
    pub key: String,
    /// What it did.
    pub kind: Kind,
    /// How much, in minor units.
    pub amount: i64,
    /// Of what.
    pub currency: String,
    /// Which payment it was asked for.
    pub payment: String,
    /// When, in nanoseconds of true time since the world began; 0 outside of worlds.
    pub at_nanos: u64,
}

/// What it says.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Said {
    Succeeded { reference: String },
    Declined { reason: String },
    Processing,
}

struct Remembered {
    ask: Ask,
    said: Said,
    since: SystemTime,
}

#[derive(Default)]
struct Books {
    behaviour: Behaviour,
    keys: BTreeMap<String, Remembered>,
    effects: Vec<Effect>,
}

/// A provider. Clones are the same one.
#[derive(Clone, Default)]
pub struct Provider(Arc<Mutex<Books>>);

impl Provider {
    /// A provider that behaves so.
    pub fn new(behaviour: Behaviour) -> Self {
        let provider = Self::default();
        provider.behave(behaviour);
        provider
    }

    /// From now on it behaves so.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    /// Everything that it did so far, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
    }

    /// Its own name for what it did under a key, from its books and not from what it remembers for retries.
    pub fn reference(&self, key: &str) -> Option<String> {
        let state = self.state();
        let number = state.effects.iter().position(|effect| effect.key == key)?;
        Some(format!("ref_{number}"))
    }

    /// Serves calls on a listener.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        self.resume();
        let routes = Router::new()
            .route("/v1/operations", post(operate))
            .route("/v1/operations/{key}", get(show))
            .with_state(self);
        axum::serve(listener, routes).await
    }

    /// Goes on with what an earlier process had taken on when it ended.
    fn resume(&self) {
        let state = self.state();
        let unfinished = state
            .keys
            .iter()
            .filter(|(_, known)| matches!(known.said, Said::Processing));
        for (key, _) in unfinished {
            tokio::spawn(self.clone().work(key.clone(), state.behaviour.clone()));
        }
    }

    /// Takes its time, then does it or declines.
    async fn work(self, key: String, behaviour: Behaviour) -> Said {
        let delay = behaviour.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.finish(&key, happens(behaviour.declined_ppm))
    }

    fn state(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, key: &str) -> Option<(Ask, Said)> {
        let mut state = self.state();
        let window = state.behaviour.key_window();
        let now = SystemTime::now();
        let known = state.keys.get(key)?;
        if now.duration_since(known.since).is_ok_and(|age| age >= window) {
            state.keys.remove(key);
            return None;
        }
        Some((known.ask.clone(), known.said.clone()))
    }

    /// Does it, once the time has passed that it takes.
    fn finish(&self, key: &str, declined: bool) -> Said {
        let mut state = self.state();
        let number = state.effects.len();
        let Some(known) = state.keys.get_mut(key) else {
            return Said::Processing;
        };
        known.said = if declined {
            Said::Declined {
                reason: "do_not_honor".to_owned(),
            }
        } else {
            Said::Succeeded {
                reference: format!("ref_{number}"),
            }
        };
        let said = known.said.clone();
        if !declined {
            let effect = Effect {
                key: key.to_owned(),
                kind: known.ask.kind,
                amount: known.ask.amount,
                currency: known.ask.currency.clone(),
                payment: known.ask.payment.clone(),
                at_nanos: sumzero_sim::here().map_or(0, |here| here.at.as_nanos()),
            };
            state.effects.push(effect);
        }
        said
    }
}

/// Whether a call fails before anything is done about it. A provider that hangs never says.
async fn fails_before(behaviour: &Behaviour) -> bool {
    if behaviour.hanging {
        std::future::pending::<()>().await;
    }
    happens(behaviour.failed_before_ppm)
}

async fn operate(State(provider): State<Provider>, headers: HeaderMap, Json(ask): Json<Ask>) -> Response {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let Some(key) = key.map(str::to_owned) else {
        return (StatusCode::BAD_REQUEST, "no idempotency-key").into_response();
    };
    let behaviour = provider.state().behaviour.clone();
    if fails_before(&behaviour).await {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match provider.recall(&key) {
        Some((known, _)) if known != ask => {
            return (
                StatusCode::UNPROCESSABLE_ENTITY,
                "the key belongs to another operation",
            )
                .into_response();
        }
        Some((_, said)) => return Json(said).into_response(),
        None => {}
    }
    let remembered = Remembered {
        ask,
        said: Said::Processing,
        since: SystemTime::now(),
    };
    provider.state().keys.insert(key.clone(), remembered);
    // It goes on whether or not its caller still listens.
    let work = tokio::spawn(provider.clone().work(key, behaviour.clone()));
    let said = work.await.unwrap_or(Said::Processing);
    if happens(behaviour.failed_after_ppm) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if happens(behaviour.answer_lost_ppm) {
        return lost();
    }
    Json(said).into_response()
}

/// An answer that breaks off: its client hears the connection close.
fn lost() -> Response {
    let broken = axum::body::Body::from_stream(futures::stream::once(async {
        Err::<axum::body::Bytes, _>(io::Error::other("the answer is lost"))
    }));
    Response::new(broken)
}

async fn show(State(provider): State<Provider>, Path(key): Path<String>) -> Response {
    let behaviour = provider.state().behaviour.clone();
    if fails_before(&behaviour).await {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match provider.recall(&key) {
        Some((_, said)) => Json(said).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
