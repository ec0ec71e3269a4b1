//! What happened, as those saw it who can be believed: the clients, the provider, the ledger's own rows.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row};

use crate::{deliveries::Deliveries, externals::Effect};

/// An answer that ended a client's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The Idempotency-Key.
    pub key: String,
    /// The path.
    pub path: String,
    /// The body that was sent.
    pub asked: serde_json::Value,
    /// The status of the answer.
    pub status: u16,
    /// Its body.
    pub body: String,
    /// How long the client tried, all attempts together.
    pub took: Duration,
    /// How often it asked.
    pub attempts: u32,
    /// When the answer came, in nanoseconds of true time since the world began.
    pub at_nanos: u64,
}

/// One time that a client asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The Idempotency-Key.
    pub key: String,
    /// Who asked.
    pub client: String,
    /// Which gateway.
    pub gateway: String,
    /// When, in nanoseconds of true time since the world began.
    pub at_nanos: u64,
    /// How long it waited.
    pub took: Duration,
    /// The status of the answer; none if there was no answer.
    pub status: Option<u16>,
}

/// What the system said of itself: an event of its telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// When, in nanoseconds of true time since the world began.
    pub at_nanos: u64,
    /// Which host.
    pub host: String,
    /// What that host's clock showed, in nanoseconds since 1970.
    pub clock_nanos: i64,
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// Which part of the system.
    pub target: String,
    /// What it said.
    pub message: String,
    /// Of what.
    pub fields: BTreeMap<String, serde_json::Value>,
}

impl Told {
    /// Whether the answer must be given again to every retry: what was begun is answered for good, refusals are decided
    /// anew.
    pub fn is_final(&self) -> bool {
        self.status < 300 || self.status == 402
    }
}

/// A row of `payment`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPayment {
    /// Its id.
    pub id: String,
    /// `charge` or `settlement`.
    pub kind: String,
    /// Its state.
    pub state: String,
    /// The amount less the fee, in minor units.
    pub net: i64,
    /// What was captured.
    pub captured: i64,
    /// What was refunded.
    pub refunded: i64,
}

/// The ledger, read when all was quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// All payments.
    pub payments: Vec<LedgerPayment>,
    /// What an audit of the books finds wrong.
    pub faults: Vec<String>,
    /// Operations that are still pending, by their keys.
    pub pending: Vec<String>,
    /// Requests that wait for an operation in limbo: an operator decides what they are answered.
    #[serde(default)]
    pub in_limbo: Vec<String>,
    /// Events and their deliveries.
    pub deliveries: Deliveries,
}

impl Books {
    /// Reads them, as somebody who sees all tenants.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read(
        connection: &mut PgConnection,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let query = "select payment_id::text, kind, state, amount - fee as net, captured, refunded from payment \
                     order by payment_id";
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let payments = rows.iter().map(|row| LedgerPayment {
            id: row.get("payment_id"),
            kind: row.get("kind"),
            state: row.get("state"),
            net: row.get("net"),
            captured: row.get("captured"),
            refunded: row.get("refunded"),
        });
        let payments = payments.collect();
        let query = "select payment_id::text || '-' || kind || '-' || seq from operation where state = 'pending' order by 1";
        let pending = sqlx::query_scalar(query).fetch_all(&mut *connection).await?;
        let query = "select idempotency_key from operation where state = 'limbo' and idempotency_key is not null order by 1";
        let in_limbo = sqlx::query_scalar(query).fetch_all(&mut *connection).await?;
        let deliveries = Deliveries::read(&mut *connection).await?;
        let faults = payments::ledger::audit(connection).await?;
        Ok(Self {
            payments,
            faults,
            pending,
            in_limbo,
            deliveries,
        })
    }
}

/// Everything that a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What clients were told, in the order in which they were.
    pub told: Vec<Told>,
    /// Answers to the same requests, asked for once more when all was quiet.
    pub told_again: Vec<Told>,
    /// Requests that never got an answer.
    pub unanswered: Vec<String>,
    /// Every time that a client asked while there were faults, in the order in which it was over.
    pub attempts: Vec<Attempt>,
    /// What the payment service provider did.
    pub effects: Vec<Effect>,
    /// The ledger in the end, if it could be read.
    pub books: Option<Books>,
    /// What the system said of itself.
    pub telemetry: Vec<Telemetry>,
    /// When clients made no new requests any more and every fault that has an end was over, in nanoseconds.
    pub quiet_from_nanos: u64,
}

impl History {
    /// The ledger's payments in the end; none if it could not be read.
    pub fn payments(&self) -> &[LedgerPayment] {
        self.books.as_ref().map_or(&[], |books| &books.payments)
    }
}
