//! What happened, as those saw it who can be believed: the clients, the provider, the ledger's own rows.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, Row, types::time::OffsetDateTime};

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

#[cfg(test)]
impl Attempt {
    /// Somebody's attempt at something: it took a second and was answered so.
    pub(crate) fn sample(status: Option<u16>) -> Self {
        Self {
            key: "k".to_owned(),
            client: "c".to_owned(),
            gateway: "g".to_owned(),
            at_nanos: 0,
            took: Duration::from_secs(1),
            status,
        }
    }
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

impl Telemetry {
    /// A field that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// A field that is a whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.fields.get(name)?.as_i64()
    }

    /// A field that is yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.fields.get(name)?.as_bool()
    }
}

#[cfg(test)]
impl Telemetry {
    /// Something that a gateway said, of this.
    pub(crate) fn sample<V: Into<serde_json::Value>, const N: usize>(
        message: &str,
        of: [(&str, V); N],
    ) -> Self {
        Self {
            at_nanos: 0,
            host: "gateway-us-east-1-0".to_owned(),
            clock_nanos: 0,
            level: "INFO".to_owned(),
            target: "payments".to_owned(),
            message: message.to_owned(),
            fields: of.map(|(name, value)| (name.to_owned(), value.into())).into(),
        }
    }
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

#[cfg(test)]
impl LedgerPayment {
    /// A charge `p` of this, captured in full.
    pub(crate) fn sample(minor_units: i64) -> Self {
        Self {
            id: "p".to_owned(),
            kind: "charge".to_owned(),
            state: "captured".to_owned(),
            net: minor_units,
            captured: minor_units,
            refunded: 0,
        }
    }
}

/// A row of `account`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAccount {
    /// Its id.
    pub id: String,
    /// `wallet`, `clearing`, `escrow` or `fees`.
    pub role: String,
    /// ISO 4217.
    pub currency: String,
    /// Credits less debits, in minor units.
    pub balance: i64,
    /// The same of what is set aside.
    pub pending: i64,
}

/// A row of `transfer` with its legs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its payment.
    pub payment: String,
    /// Which step of the payment.
    pub step: String,
    /// The epoch of the writer that booked it.
    pub epoch: i64,
    /// When it was booked, by the clock of whoever booked it: nanoseconds since 1970.
    pub posted_at_nanos: i64,
    /// What moved.
    pub legs: Vec<TransferLeg>,
}

/// A row of `leg`: an amount from one account to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferLeg {
    /// `posted`, `pending` or `released`.
    pub phase: String,
    /// The account that is debited.
    pub debit: String,
    /// The account that is credited.
    pub credit: String,
    /// ISO 4217.
    pub currency: String,
    /// In minor units.
    pub amount: i64,
    /// Its place among the entries of the account that is debited.
    pub debit_place: i64,
    /// Its place among those of the account that is credited.
    pub credit_place: i64,
}

/// A row of `operation`: what was asked for outside the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerOperation {
    /// Payment, kind and number, as telemetry names them: `PAYMENT-KIND-NUMBER`.
    pub key: String,
    /// `pending`, `succeeded`, `declined` or `limbo`.
    pub state: String,
    /// Raised whenever the work was taken up by another; never once it is settled.
    pub fence: i64,
}

/// The ledger, read when all was quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// All payments.
    pub payments: Vec<LedgerPayment>,
    /// All accounts.
    pub accounts: Vec<LedgerAccount>,
    /// All transfers, in the order of their times.
    pub transfers: Vec<Transfer>,
    /// What an audit of the books finds wrong.
    pub faults: Vec<String>,
    /// All operations.
    pub operations: Vec<LedgerOperation>,
    /// Events and their deliveries.
    pub deliveries: Deliveries,
}

impl Books {
    /// Reads them, as somebody who sees all tenants, and as they were at one moment.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read(
        connection: &mut PgConnection,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let snapshot = "begin isolation level repeatable read read only";
        let mut snapshot = connection.begin_with(snapshot).await?;
        let books = Self::of(&mut snapshot).await?;
        snapshot.commit().await?;
        Ok(books)
    }

    async fn of(connection: &mut PgConnection) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
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
        let query = "select payment_id::text || '-' || kind || '-' || seq as key, state, fence from operation order by 1";
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let operations = rows.iter().map(|row| LedgerOperation {
            key: row.get("key"),
            state: row.get("state"),
            fence: row.get("fence"),
        });
        let operations = operations.collect();
        let query = "select account_id::text, role, currency::text as currency, credits_posted - debits_posted as balance, \
                     credits_pending - debits_pending as pending from account order by role, currency, opened_at, account_id";
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let accounts = rows.iter().map(|row| LedgerAccount {
            id: row.get("account_id"),
            role: row.get("role"),
            currency: row.get("currency"),
            balance: row.get("balance"),
            pending: row.get("pending"),
        });
        let accounts = accounts.collect();
        let transfers = transfers(connection).await?;
        let deliveries = Deliveries::read(&mut *connection).await?;
        let faults = payments::ledger::audit(connection).await?;
        Ok(Self {
            payments,
            accounts,
            transfers,
            faults,
            operations,
            deliveries,
        })
    }

    /// Operations whose outcome is not known yet.
    pub fn pending(&self) -> impl Iterator<Item = &LedgerOperation> {
        self.operations
            .iter()
            .filter(|operation| operation.state == "pending")
    }
}

async fn transfers(connection: &mut PgConnection) -> Result<Vec<Transfer>, sqlx::Error> {
    let query = "select t.transfer_id::text as transfer, t.payment_id::text as payment, t.step, t.epoch, t.posted_at, l.phase, \
                 l.debit_account_id::text as debit, l.credit_account_id::text as credit, l.currency::text as currency, \
                 l.amount, l.debit_version, l.credit_version from transfer t join leg l on l.tenant_id = t.tenant_id and l.transfer_id = t.transfer_id \
                 order by t.posted_at, t.transfer_id, l.leg";
    let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
    let mut transfers: Vec<Transfer> = Vec::new();
    let mut last = String::new();
    for row in &rows {
        let id: String = row.get("transfer");
        if id != last {
            let posted_at: OffsetDateTime = row.get("posted_at");
            transfers.push(Transfer {
                payment: row.get("payment"),
                step: row.get("step"),
                epoch: row.get("epoch"),
                posted_at_nanos: i64::try_from(posted_at.unix_timestamp_nanos()).unwrap_or_default(),
                legs: Vec::new(),
            });
            last = id;
        }
        let leg = TransferLeg {
            phase: row.get("phase"),
            debit: row.get("debit"),
            credit: row.get("credit"),
            currency: row.get("currency"),
            amount: row.get("amount"),
            debit_place: row.get("debit_version"),
            credit_place: row.get("credit_version"),
        };
        transfers.last_mut().expect("one was pushed").legs.push(leg);
    }
    Ok(transfers)
}

/// Everything that a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// What clients were told, in the order in which they were.
    pub told: Vec<Told>,
    /// Answers to the same requests, asked for once more when all was quiet.
    pub told_again: Vec<Told>,
    /// Which of these requests got no answer any more.
    #[serde(default)]
    pub unanswered_again: Vec<String>,
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
    /// What had not come to rest when the time for that was over, in words.
    #[serde(default)]
    pub restless: Vec<String>,
    /// When, after that, the gate forgot some answers, in nanoseconds. What it had forgotten may be claimed anew.
    #[serde(default)]
    pub forgotten_at_nanos: Option<u64>,
}

#[cfg(test)]
impl History {
    /// Somebody's attempts at something, answered so.
    pub(crate) fn answered(statuses: &[u16]) -> Self {
        let attempts = statuses.iter().map(|status| Attempt::sample(Some(*status)));
        Self {
            attempts: attempts.collect(),
            ..Self::default()
        }
    }
}

impl History {
    /// The ledger's payments in the end; none if it could not be read.
    pub fn payments(&self) -> &[LedgerPayment] {
        self.books.as_ref().map_or(&[], |books| &books.payments)
    }

    /// The telemetry of this message.
    pub fn said<'a>(&'a self, message: &'a str) -> impl Iterator<Item = &'a Telemetry> {
        self.telemetry.iter().filter(move |said| said.message == message)
    }
}
