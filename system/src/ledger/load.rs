//! Locks and reads the rows that a batch of commands needs, always in this order: requests (read only), payments in the
//! order of their ids, their operations (workers take them up without their payment's lock: without their own, one that was
//! taken up after its fence was read would be settled all the same), accounts in the order of their ids.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    id::{AccountId, Fingerprint, IdempotencyKey, PaymentId, TenantId},
    money::{Amount, Currency},
    variant::{Variant, as_written},
};

use super::{
    account::{Account, Role, Totals},
    apply::request_key,
    book::{Asked, Book},
    command::{Answer, Command, Mutation},
    error::LedgerError,
    payment::{Kind, Operation, OperationId, OperationKind, Payment, Progress, State},
};

impl Book {
    /// Everything that the commands need.
    pub(super) async fn load(
        connection: &mut PgConnection,
        commands: &[Command],
    ) -> Result<Self, LedgerError> {
        let mut book = Self::default();
        book.load_requests(connection, commands).await?;
        let payments = book.payments_of(commands);
        book.load_payments(connection, &payments).await?;
        let accounts = book.accounts_for(commands);
        book.load_accounts(connection, &accounts).await?;
        Ok(book)
    }

    async fn load_requests(
        &mut self,
        connection: &mut PgConnection,
        commands: &[Command],
    ) -> Result<(), LedgerError> {
        let keys: BTreeSet<_> = commands.iter().filter_map(request_key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let (tenants, keys): (Vec<Uuid>, Vec<&str>) =
            keys.iter().map(|(tenant, key)| (tenant.0, key.as_str())).unzip();
        let rows = sqlx::query(
            "select r.tenant_id, r.idempotency_key, r.fingerprint, r.subject_id, r.status, r.body, r.created_at \
             from unnest($1::uuid[], $2::text[]) as k (tenant_id, idempotency_key) \
             join request r on r.tenant_id = k.tenant_id and r.idempotency_key = k.idempotency_key",
        )
        .bind(tenants)
        .bind(keys)
        .fetch_all(connection)
        .await?;
        for row in &rows {
            let key: String = row.try_get("idempotency_key")?;
            let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
            let status: Option<i16> = row.try_get("status")?;
            let body: Option<String> = row.try_get("body")?;
            let answer = status.zip(body).map(|(status, body)| Answer {
                status: status.unsigned_abs(),
                body,
            });
            let asked = Asked {
                fingerprint: Fingerprint(
                    fingerprint
                        .try_into()
                        .map_err(|_| LedgerError::corrupt("request.fingerprint"))?,
                ),
                subject: row.try_get("subject_id")?,
                answer,
                at: row.try_get("created_at")?,
            };
            let key =
                IdempotencyKey::new(key).map_err(|_| LedgerError::corrupt("request.idempotency_key"))?;
            self.requests
                .insert((TenantId(row.try_get("tenant_id")?), key), asked);
        }
        Ok(())
    }

    /// The payments that commands name, and those that earlier attempts of the same requests have started.
    fn payments_of(&self, commands: &[Command]) -> BTreeSet<(TenantId, PaymentId)> {
        let named = commands.iter().filter_map(|command| match command {
            Command::Mutate(request, mutation)
            | Command::Restore(request, mutation, _)
            | Command::Suspect {
                request, mutation, ..
            } => mutation.payment().map(|payment| (request.tenant, payment)),
            Command::Resolve { operation, .. } | Command::GiveUp { operation, .. } => {
                Some((operation.tenant, operation.payment))
            }
        });
        let again = as_written(Variant::ReplayOfTheState);
        let waiting = self
            .requests
            .iter()
            .filter(|(_, asked)| asked.answer.is_none() || again);
        let started = waiting.map(|((tenant, _), asked)| (*tenant, PaymentId(asked.subject)));
        named.chain(started).collect()
    }

    async fn load_payments(
        &mut self,
        connection: &mut PgConnection,
        ids: &BTreeSet<(TenantId, PaymentId)>,
    ) -> Result<(), LedgerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let (tenants, payments): (Vec<Uuid>, Vec<Uuid>) =
            ids.iter().map(|(tenant, id)| (tenant.0, id.0)).unzip();
        let query = "select p.tenant_id, p.payment_id, p.kind, p.state, p.currency, p.amount, p.fee, p.payee_id, p.payer_id, \
                    p.instrument, p.authorized, p.captured, p.refunded, p.version, p.events, p.created_at, p.updated_at \
             from unnest($1::uuid[], $2::uuid[]) as k (tenant_id, payment_id) \
             join payment p on p.tenant_id = k.tenant_id and p.payment_id = k.payment_id \
             order by p.tenant_id, p.payment_id for no key update of p";
        let query = match () {
            () if as_written(Variant::PaymentWithoutLock) => query.trim_end_matches("for no key update of p"),
            () => query,
        };
        let rows = sqlx::query(query)
            .bind(&tenants)
            .bind(&payments)
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let payment = payment(row)?;
            self.payments.insert((payment.tenant, payment.id), payment);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "select o.tenant_id, o.payment_id, o.kind, o.seq, o.amount, o.state, o.reference, o.idempotency_key, o.fence, \
                    o.attempts, o.lease_until, o.created_at \
             from unnest($1::uuid[], $2::uuid[]) as k (tenant_id, payment_id) \
             join operation o on o.tenant_id = k.tenant_id and o.payment_id = k.payment_id \
             order by o.tenant_id, o.payment_id, o.kind, o.seq for no key update of o",
        )
        .bind(&tenants)
        .bind(&payments)
        .fetch_all(connection)
        .await?;
        for row in &rows {
            let operation = operation(row)?;
            self.operations.insert(operation.id, operation);
        }
        Ok(())
    }

    /// The accounts that the commands can book on.
    fn accounts_for(&self, commands: &[Command]) -> BTreeSet<(TenantId, AccountId)> {
        let mut accounts = BTreeSet::new();
        for command in commands {
            let tenant = command.tenant();
            // Restoring a request books its outcome as well: on the accounts of its payment, new or old.
            if let Command::Restore(request, mutation, _)
            | Command::Suspect {
                request, mutation, ..
            } = command
            {
                let own = PaymentId::of_request(tenant, &request.key);
                let payment = self.payments.get(&(tenant, mutation.payment().unwrap_or(own)));
                accounts.extend(payment.map(Self::accounts_of).into_iter().flatten());
                if let Mutation::Charge { currency, .. } | Mutation::Settle { currency, .. } = mutation {
                    accounts.extend(Role::SYSTEM.map(|role| (tenant, Self::system(tenant, role, *currency))));
                }
            }
            let mutation = command.asked().map(|(_, mutation)| mutation);
            match (command, mutation) {
                (_, Some(Mutation::OpenAccount { currency, .. })) => {
                    accounts.extend(Role::SYSTEM.map(|role| (tenant, Self::system(tenant, role, *currency))));
                }
                (_, Some(Mutation::SetFrozen { account, .. })) => {
                    accounts.insert((tenant, *account));
                }
                // An intent moves nothing: only that the account may take part is looked at.
                (_, Some(Mutation::Charge { payee, .. })) => {
                    accounts.insert((tenant, *payee));
                }
                (
                    _,
                    Some(Mutation::Settle {
                        payer,
                        payee,
                        currency,
                        ..
                    }),
                ) => {
                    let escrow = Self::system(tenant, Role::Escrow, *currency);
                    accounts.extend([*payer, *payee, escrow].map(|account| (tenant, account)));
                }
                (_, Some(Mutation::Capture { .. } | Mutation::Void { .. })) => {}
                (_, Some(Mutation::Refund { payment, .. } | Mutation::Decide { payment, .. })) => {
                    let payment = self.payments.get(&(tenant, *payment));
                    accounts.extend(payment.map(Self::accounts_of).into_iter().flatten());
                }
                (Command::Resolve { operation, .. } | Command::GiveUp { operation, .. }, _) => {
                    let payment = self.payments.get(&(tenant, operation.payment));
                    accounts.extend(payment.map(Self::accounts_of).into_iter().flatten());
                }
                (Command::Mutate(..) | Command::Restore(..) | Command::Suspect { .. }, None) => {}
            }
        }
        accounts
    }

    async fn load_accounts(
        &mut self,
        connection: &mut PgConnection,
        ids: &BTreeSet<(TenantId, AccountId)>,
    ) -> Result<(), LedgerError> {
        if ids.is_empty() {
            return Ok(());
        }
        let (tenants, accounts): (Vec<Uuid>, Vec<Uuid>) =
            ids.iter().map(|(tenant, id)| (tenant.0, id.0)).unzip();
        let query = "select a.tenant_id, a.account_id, a.role, a.currency, a.overdraft_limit, a.opened_at, a.frozen, \
                    a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending, a.version \
             from unnest($1::uuid[], $2::uuid[]) as k (tenant_id, account_id) \
             join account a on a.tenant_id = k.tenant_id and a.account_id = k.account_id \
             order by a.tenant_id, a.account_id for no key update of a";
        let query = match () {
            () if as_written(Variant::BalanceWithoutLock) => query.trim_end_matches("for no key update of a"),
            () => query,
        };
        let rows = sqlx::query(query)
            .bind(tenants)
            .bind(accounts)
            .fetch_all(connection)
            .await?;
        for row in &rows {
            let account = account(row)?;
            self.accounts.insert((account.tenant, account.id), account);
        }
        Ok(())
    }
}

/// A column whose text is one of a closed set.
fn named<T>(row: &PgRow, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, LedgerError> {
    parse(row.try_get(column)?).ok_or(LedgerError::corrupt(column))
}

fn currency(row: &PgRow) -> Result<Currency, LedgerError> {
    named(row, "currency", |code| code.parse().ok())
}

fn amount(row: &PgRow) -> Result<Amount, LedgerError> {
    Amount::new(row.try_get("amount")?).map_err(|_| LedgerError::corrupt("amount"))
}

/// The account that a row of `account` shows.
pub(super) fn account(row: &PgRow) -> Result<Account, LedgerError> {
    Ok(Account {
        tenant: TenantId(row.try_get("tenant_id")?),
        id: AccountId(row.try_get("account_id")?),
        role: named(row, "role", Role::parse)?,
        currency: currency(row)?,
        overdraft_limit: row.try_get("overdraft_limit")?,
        frozen: row.try_get("frozen")?,
        posted: Totals {
            debits: row.try_get("debits_posted")?,
            credits: row.try_get("credits_posted")?,
        },
        pending: Totals {
            debits: row.try_get("debits_pending")?,
            credits: row.try_get("credits_pending")?,
        },
        version: row.try_get("version")?,
        opened_at: row.try_get("opened_at")?,
    })
}

/// The payment that a row of `payment` shows.
pub(super) fn payment(row: &PgRow) -> Result<Payment, LedgerError> {
    Ok(Payment {
        tenant: TenantId(row.try_get("tenant_id")?),
        id: PaymentId(row.try_get("payment_id")?),
        kind: named(row, "kind", Kind::parse)?,
        state: named(row, "state", State::parse)?,
        currency: currency(row)?,
        amount: amount(row)?,
        fee: row.try_get("fee")?,
        payee: AccountId(row.try_get("payee_id")?),
        payer: row.try_get::<Option<Uuid>, _>("payer_id")?.map(AccountId),
        instrument: row.try_get("instrument")?,
        authorized: row.try_get("authorized")?,
        captured: row.try_get("captured")?,
        refunded: row.try_get("refunded")?,
        version: row.try_get("version")?,
        events: row.try_get("events")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// The operation that a row of `operation` shows.
pub(crate) fn operation(row: &PgRow) -> Result<Operation, LedgerError> {
    let request: Option<String> = row.try_get("idempotency_key")?;
    let request = request.map(IdempotencyKey::new).transpose();
    Ok(Operation {
        id: OperationId {
            tenant: TenantId(row.try_get("tenant_id")?),
            payment: PaymentId(row.try_get("payment_id")?),
            kind: named(row, "kind", OperationKind::parse)?,
            seq: row.try_get("seq")?,
        },
        amount: amount(row)?,
        state: named(row, "state", Progress::parse)?,
        reference: row.try_get("reference")?,
        request: request.map_err(|_| LedgerError::corrupt("operation.idempotency_key"))?,
        fence: row.try_get("fence")?,
        attempts: row.try_get("attempts")?,
        lease_until: row.try_get::<OffsetDateTime, _>("lease_until")?,
        created_at: row.try_get("created_at")?,
    })
}
