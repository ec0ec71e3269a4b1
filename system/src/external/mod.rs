//! What others do for us over HTTP: the payment service provider (PSP) moves money, the KYC provider verifies payees.
//!
//! Both are spoken to alike. `POST /v1/operations` with an `Idempotency-Key` asks for an operation and answers with its
//! status; `GET /v1/operations/{key}` tells what became of it. The key follows from the operation, so that every attempt, in
//! every process, is the same one to them, for as long as they remember keys.
//!
//! An outcome is known only if they said it. Time-outs, resets and 5xx leave it unknown, and it is then asked for, never
//! assumed: not as done, and not as not done.

mod breaker;

use std::time::Duration;

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    backoff::full_jitter,
    ledger::{Operation, OperationKind, Outcome, Payment},
    variant::{Variant, as_written},
};

pub use breaker::{Breaker, BreakerConfig, Open};

/// How a dependency is used.
#[derive(Clone, Debug)]
pub struct DependencyConfig {
    /// What it is called in logs and metrics.
    pub name: &'static str,
    /// Where it is, as in `http://10.0.0.9:8080`.
    pub url: String,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long it remembers keys. Past that, less `key_margin`, nothing is asked for under an old key again.
    pub key_window: Duration,
    /// For clocks that disagree, ours with theirs and ours with each other.
    pub key_margin: Duration,
}

impl DependencyConfig {
    /// A dependency with the usual limits.
    pub fn new(name: &'static str, url: impl Into<String>) -> Self {
        Self {
            name,
            url: url.into(),
            timeout: Duration::from_secs(3),
            key_window: Duration::from_hours(24),
            key_margin: Duration::from_hours(2),
        }
    }
}

/// Why no outcome is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// It may have been done, it may be done yet. To be asked again.
    #[error("{dependency} has not said what became of {key}: {reason}")]
    NotSaid {
        /// Which dependency.
        dependency: &'static str,
        /// The operation's key.
        key: String,
        /// What was heard instead.
        reason: String,
    },
    /// It is working on it. To be asked again.
    #[error("{dependency} is still working on {key}")]
    Processing {
        /// Which dependency.
        dependency: &'static str,
        /// The operation's key.
        key: String,
    },
    /// It has forgotten the key, if it ever knew it: asking again could do the thing twice.
    #[error("{dependency} may have forgotten {key}: it can neither be asked for nor done again")]
    Forgotten {
        /// Which dependency.
        dependency: &'static str,
        /// The operation's key.
        key: String,
    },
}

/// A dependency.
#[derive(Clone, Debug)]
pub struct Dependency {
    http: reqwest::Client,
    config: DependencyConfig,
}

/// What is asked for.
#[derive(Serialize)]
struct Ask<'a> {
    kind: OperationKind,
    amount: i64,
    currency: &'a str,
    /// Groups the operations of one payment.
    payment: String,
    /// The vault's token of what is charged; empty when nothing is.
    instrument: &'a str,
    /// Who is paid or verified.
    account: String,
}

/// What it says.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Said {
    Succeeded { reference: String },
    Declined { reason: String },
    Processing,
}

impl Said {
    fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Succeeded { reference } => Some(Outcome::Succeeded { reference }),
            Self::Declined { reason } => Some(Outcome::Declined { reason }),
            Self::Processing => as_written(Variant::ProcessingIsDone).then(|| Outcome::Succeeded {
                reference: "accepted".to_owned(),
            }),
        }
    }
}

/// What came of one call.
enum Heard {
    Outcome(Outcome),
    Processing,
    /// It does not know the key.
    NoSuchKey,
    Nothing(String),
}

impl Dependency {
    /// A dependency behind a client of HTTP.
    pub fn new(http: reqwest::Client, config: DependencyConfig) -> Self {
        Self { http, config }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.config.name
    }

    /// Carries an operation out, or finds out what became of an earlier attempt, within `limit`.
    ///
    /// # Errors
    /// When the outcome stays unknown.
    pub async fn carry_out(
        &self,
        payment: &Payment,
        operation: &Operation,
        epoch: i64,
        limit: Duration,
    ) -> Result<Outcome, Unknown> {
        let started = tokio::time::Instant::now();
        // Somebody has tried before: it may be done. And a late reissue could be a second one.
        let mut ask_first = operation.fence > 1 && !as_written(Variant::SweeperReissues);
        let (dependency, key) = (self.config.name, operation.key());
        let mut unknown = Unknown::NotSaid {
            dependency,
            key: key.clone(),
            reason: "no time was left to ask".to_owned(),
        };
        for attempt in 0.. {
            if attempt > 0 {
                let pause = full_jitter(Duration::from_millis(50), Duration::from_secs(2), attempt);
                if started.elapsed() + pause >= limit {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            let left = limit.saturating_sub(started.elapsed());
            tracing::info!(
                payment_id = %operation.id.payment, tenant = %operation.id.tenant, dependency, key, attempt,
                epoch, fence = operation.fence, "{}", if ask_first { "asks what became of it" } else { "asks for it" }
            );
            let heard = if ask_first {
                self.inquire(&key, left).await
            } else {
                self.request(payment, operation, left).await
            };
            match heard {
                Heard::Outcome(outcome) => return Ok(outcome),
                Heard::NoSuchKey if as_written(Variant::NotFoundIsNotDone) => {
                    return Ok(Outcome::Declined {
                        reason: "not_found".to_owned(),
                    });
                }
                Heard::NoSuchKey if self.remembers(operation) => ask_first = false,
                Heard::NoSuchKey => {
                    return Err(Unknown::Forgotten { dependency, key });
                }
                Heard::Processing => {
                    unknown = Unknown::Processing {
                        dependency,
                        key: key.clone(),
                    };
                    ask_first = true;
                }
                Heard::Nothing(_) if as_written(Variant::VoidOnTimeOut) => {
                    return Ok(Outcome::Declined {
                        reason: "time_out".to_owned(),
                    });
                }
                Heard::Nothing(reason) => {
                    unknown = Unknown::NotSaid {
                        dependency,
                        key: key.clone(),
                        reason,
                    };
                    ask_first = true;
                }
            }
        }
        Err(unknown)
    }

    /// What it says became of an operation, without asking for it: none if it does not know the key.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn look_up(&self, operation: &Operation) -> Result<Option<Outcome>, Unknown> {
        let (dependency, key) = (self.config.name, operation.key());
        match self.inquire(&key, self.config.timeout).await {
            Heard::Outcome(outcome) => Ok(Some(outcome)),
            Heard::NoSuchKey => Ok(None),
            Heard::Processing => Err(Unknown::Processing { dependency, key }),
            Heard::Nothing(reason) => Err(Unknown::NotSaid {
                dependency,
                key,
                reason,
            }),
        }
    }

    /// Whether the dependency surely still knows the key of an operation that it was asked for when that was intended.
    pub fn remembers(&self, operation: &Operation) -> bool {
        if as_written(Variant::ReissuePastTheWindow) {
            return true;
        }
        let age = OffsetDateTime::now_utc() - operation.created_at;
        age < self.memory()
    }

    /// For how long the dependency surely knows the key of an operation from when that was intended.
    pub fn memory(&self) -> Duration {
        self.config.key_window.saturating_sub(self.config.key_margin)
    }

    async fn request(&self, payment: &Payment, operation: &Operation, limit: Duration) -> Heard {
        if !self.remembers(operation) {
            return Heard::NoSuchKey;
        }
        let mut key = operation.key();
        if as_written(Variant::KeyOfTheAttempt) {
            key = format!("{key}-{:08x}", fastrand::u32(..));
        }
        let ask = Ask {
            kind: operation.id.kind,
            amount: operation.amount.get(),
            currency: payment.currency.code(),
            payment: payment.id.to_string(),
            instrument: &payment.instrument,
            account: payment.payee.to_string(),
        };
        let call = self
            .http
            .post(format!("{}/v1/operations", self.config.url))
            .header("idempotency-key", key)
            .json(&ask);
        hear(call.timeout(limit.min(self.config.timeout)).send().await).await
    }

    /// Whether it has been asked for something under this key, as far as it remembers.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn knows(&self, key: &str, limit: Duration) -> Result<bool, Unknown> {
        let started = tokio::time::Instant::now();
        for attempt in 1.. {
            let left = limit.saturating_sub(started.elapsed());
            match self.inquire(key, left).await {
                Heard::Outcome(_) | Heard::Processing => return Ok(true),
                Heard::NoSuchKey => return Ok(false),
                Heard::Nothing(reason) => {
                    let pause = full_jitter(Duration::from_millis(50), Duration::from_secs(1), attempt);
                    if started.elapsed() + pause >= limit {
                        return Err(Unknown::NotSaid {
                            dependency: self.config.name,
                            key: key.to_owned(),
                            reason,
                        });
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
        unreachable!("attempts are not bounded by their number")
    }

    async fn inquire(&self, key: &str, limit: Duration) -> Heard {
        let call = self.http.get(format!("{}/v1/operations/{key}", self.config.url));
        hear(call.timeout(limit.min(self.config.timeout)).send().await).await
    }
}

async fn hear(answer: reqwest::Result<reqwest::Response>) -> Heard {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Heard::Nothing(chain(&error)),
    };
    match answer.status() {
        StatusCode::OK => match answer.json::<Said>().await {
            Ok(said) => said.outcome().map_or(Heard::Processing, Heard::Outcome),
            Err(error) => Heard::Nothing(chain(&error)),
        },
        StatusCode::NOT_FOUND => Heard::NoSuchKey,
        status => Heard::Nothing(status.to_string()),
    }
}

/// An error with its causes: reqwest's own text stops at the first.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
