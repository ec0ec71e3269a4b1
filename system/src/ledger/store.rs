//! Writes what a batch of commands changed: one statement a table and kind of change, whatever the number of rows.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::variant::{Variant, as_written};

use super::{
    account::Phase,
    book::{Book, Change},
    command::Answer,
    error::LedgerError,
    payment::Operation,
    poster::Writer,
    schema::Schema,
};

/// The rows of a table to which something of one kind is to be done.
fn changed<'a, K: Ord, V>(
    changes: &'a BTreeMap<K, Change>,
    rows: &'a BTreeMap<K, V>,
    wanted: Change,
) -> Vec<&'a V> {
    let keys = changes
        .iter()
        .filter(|(_, change)| **change == wanted)
        .map(|(key, _)| key);
    keys.filter_map(|key| rows.get(key)).collect()
}

/// A column of some rows.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

impl Book {
    /// Writes all changes. Rows that others refer to come first.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        writer: &Writer,
        epoch: i64,
    ) -> Result<(), LedgerError> {
        self.insert_accounts(connection).await?;
        self.insert_payments(connection).await?;
        self.update_payments(connection).await?;
        self.store_requests(connection).await?;
        self.store_operations(connection, writer.schema).await?;
        self.insert_transfers(connection, epoch).await?;
        self.insert_legs(connection).await?;
        self.update_accounts(connection).await?;
        if as_written(Variant::EventAfterTheCommit) {
            return Ok(());
        }
        self.insert_events(connection, writer, epoch).await
    }

    async fn insert_accounts(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        let rows = changed(&self.changes.accounts, &self.accounts, Change::Insert);
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into account (tenant_id, account_id, role, currency, overdraft_limit, opened_at) \
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int8[], $6::timestamptz[])",
        )
        .bind(column(&rows, |row| row.tenant.0))
        .bind(column(&rows, |row| row.id.0))
        .bind(column(&rows, |row| row.role.name()))
        .bind(column(&rows, |row| row.currency.code()))
        .bind(column(&rows, |row| row.overdraft_limit))
        .bind(column(&rows, |row| row.opened_at))
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn update_accounts(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        // New accounts are booked on as well, in the same batch.
        let touched = self
            .changes
            .accounts
            .keys()
            .filter_map(|key| self.accounts.get(key));
        let rows: Vec<_> = touched
            .filter(|row| row.version > 0 || row.frozen || self.is_update(row))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "update account a set frozen = c.frozen, debits_posted = c.debits_posted, credits_posted = c.credits_posted, \
                    debits_pending = c.debits_pending, credits_pending = c.credits_pending, version = c.version \
             from unnest($1::uuid[], $2::uuid[], $3::bool[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[]) \
                  as c (tenant_id, account_id, frozen, debits_posted, credits_posted, debits_pending, credits_pending, version) \
             where a.tenant_id = c.tenant_id and a.account_id = c.account_id",
        )
        .bind(column(&rows, |row| row.tenant.0))
        .bind(column(&rows, |row| row.id.0))
        .bind(column(&rows, |row| row.frozen))
        .bind(column(&rows, |row| row.posted.debits))
        .bind(column(&rows, |row| row.posted.credits))
        .bind(column(&rows, |row| row.pending.debits))
        .bind(column(&rows, |row| row.pending.credits))
        .bind(column(&rows, |row| row.version))
        .execute(connection)
        .await?;
        Ok(())
    }

    fn is_update(&self, account: &super::account::Account) -> bool {
        self.changes.accounts.get(&(account.tenant, account.id)) == Some(&Change::Update)
    }

    async fn insert_payments(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        let rows = changed(&self.changes.payments, &self.payments, Change::Insert);
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into payment (tenant_id, payment_id, kind, state, currency, amount, fee, payee_id, payer_id, instrument, \
                    authorized, captured, refunded, version, events, created_at, updated_at) \
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::int8[], \
                    $8::uuid[], $9::uuid[], $10::text[], $11::int8[], $12::int8[], $13::int8[], $14::int8[], $15::int4[], \
                    $16::timestamptz[], $17::timestamptz[])",
        )
        .bind(column(&rows, |row| row.tenant.0))
        .bind(column(&rows, |row| row.id.0))
        .bind(column(&rows, |row| row.kind.name()))
        .bind(column(&rows, |row| row.state.name()))
        .bind(column(&rows, |row| row.currency.code()))
        .bind(column(&rows, |row| row.amount.get()))
        .bind(column(&rows, |row| row.fee))
        .bind(column(&rows, |row| row.payee.0))
        .bind(column(&rows, |row| row.payer.map(|payer| payer.0)))
        .bind(column(&rows, |row| row.instrument.as_str()))
        .bind(column(&rows, |row| row.authorized))
        .bind(column(&rows, |row| row.captured))
        .bind(column(&rows, |row| row.refunded))
        .bind(column(&rows, |row| row.version))
        .bind(column(&rows, |row| row.events))
        .bind(column(&rows, |row| row.created_at))
        .bind(column(&rows, |row| row.updated_at))
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn update_payments(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        let rows = changed(&self.changes.payments, &self.payments, Change::Update);
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "update payment p set state = c.state, authorized = c.authorized, captured = c.captured, refunded = c.refunded, \
                    version = c.version, events = c.events, updated_at = c.updated_at \
             from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int4[], \
                         $9::timestamptz[]) \
                  as c (tenant_id, payment_id, state, authorized, captured, refunded, version, events, updated_at) \
             where p.tenant_id = c.tenant_id and p.payment_id = c.payment_id",
        )
        .bind(column(&rows, |row| row.tenant.0))
        .bind(column(&rows, |row| row.id.0))
        .bind(column(&rows, |row| row.state.name()))
        .bind(column(&rows, |row| row.authorized))
        .bind(column(&rows, |row| row.captured))
        .bind(column(&rows, |row| row.refunded))
        .bind(column(&rows, |row| row.version))
        .bind(column(&rows, |row| row.events))
        .bind(column(&rows, |row| row.updated_at))
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn store_requests(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        let rows: Vec<_> = self
            .changes
            .requests
            .iter()
            .filter_map(|key| self.requests.get(key).map(|asked| (key, asked)))
            .collect();
        let status = |answer: &Answer| answer.status.cast_signed();
        if !rows.is_empty() {
            sqlx::query(
                "insert into request (tenant_id, idempotency_key, fingerprint, subject_id, status, body, created_at) \
                 select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::uuid[], $5::int2[], $6::text[], \
                        $7::timestamptz[])",
            )
            .bind(column(&rows, |row| row.0.0.0))
            .bind(column(&rows, |row| row.0.1.as_str()))
            .bind(column(&rows, |row| row.1.fingerprint.0.to_vec()))
            .bind(column(&rows, |row| row.1.subject))
            .bind(column(&rows, |row| row.1.answer.as_ref().map(status)))
            .bind(column(&rows, |row| row.1.answer.as_ref().map(|answer| answer.body.as_str())))
            .bind(column(&rows, |row| row.1.at))
            .execute(&mut *connection)
            .await?;
        }
        let rows: Vec<_> = self.changes.answers.iter().collect();
        if !rows.is_empty() {
            sqlx::query(
                "update request r set status = c.status, body = c.body \
                 from unnest($1::uuid[], $2::text[], $3::int2[], $4::text[]) as c (tenant_id, idempotency_key, status, body) \
                 where r.tenant_id = c.tenant_id and r.idempotency_key = c.idempotency_key and r.status is null",
            )
            .bind(column(&rows, |row| row.0.0.0))
            .bind(column(&rows, |row| row.0.1.as_str()))
            .bind(column(&rows, |row| status(row.1)))
            .bind(column(&rows, |row| row.1.body.as_str()))
            .execute(connection)
            .await?;
        }
        Ok(())
    }

    async fn store_operations(
        &self,
        connection: &mut PgConnection,
        schema: Schema,
    ) -> Result<(), LedgerError> {
        let settled_at = |row: &&Operation| self.changes.settled.get(&row.id).copied();
        // What is finished goes first: of a payment's operations only one may be under way.
        let rows = changed(&self.changes.operations, &self.operations, Change::Update);
        if !rows.is_empty() {
            let update = match schema {
                Schema::V1 => {
                    "update operation o set state = c.state, reference = c.reference \
                     from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::text[], $6::text[]) \
                          as c (tenant_id, payment_id, kind, seq, state, reference) \
                     where o.tenant_id = c.tenant_id and o.payment_id = c.payment_id and o.kind = c.kind and o.seq = c.seq"
                }
                Schema::V2 => {
                    "update operation o set state = c.state, reference = c.reference, settled_at = c.settled_at \
                     from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::text[], $6::text[], $7::timestamptz[]) \
                          as c (tenant_id, payment_id, kind, seq, state, reference, settled_at) \
                     where o.tenant_id = c.tenant_id and o.payment_id = c.payment_id and o.kind = c.kind and o.seq = c.seq"
                }
            };
            let update = sqlx::query(update)
                .bind(column(&rows, |row| row.id.tenant.0))
                .bind(column(&rows, |row| row.id.payment.0))
                .bind(column(&rows, |row| row.id.kind.name()))
                .bind(column(&rows, |row| row.id.seq))
                .bind(column(&rows, |row| row.state.name()))
                .bind(column(&rows, |row| row.reference.as_deref()));
            let update = match schema {
                Schema::V1 => update,
                Schema::V2 => update.bind(column(&rows, settled_at)),
            };
            update.execute(&mut *connection).await?;
        }
        let rows = changed(&self.changes.operations, &self.operations, Change::Insert);
        if !rows.is_empty() {
            let insert = match schema {
                Schema::V1 => {
                    "insert into operation (tenant_id, payment_id, kind, seq, amount, state, reference, idempotency_key, \
                            fence, attempts, lease_until, created_at) \
                     select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::int8[], $6::text[], \
                            $7::text[], $8::text[], $9::int8[], $10::int4[], $11::timestamptz[], $12::timestamptz[])"
                }
                Schema::V2 => {
                    "insert into operation (tenant_id, payment_id, kind, seq, amount, state, reference, idempotency_key, \
                            fence, attempts, lease_until, created_at, settled_at) \
                     select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::int8[], $6::text[], \
                            $7::text[], $8::text[], $9::int8[], $10::int4[], $11::timestamptz[], $12::timestamptz[], \
                            $13::timestamptz[])"
                }
            };
            let insert = sqlx::query(insert)
                .bind(column(&rows, |row| row.id.tenant.0))
                .bind(column(&rows, |row| row.id.payment.0))
                .bind(column(&rows, |row| row.id.kind.name()))
                .bind(column(&rows, |row| row.id.seq))
                .bind(column(&rows, |row| row.amount.get()))
                .bind(column(&rows, |row| row.state.name()))
                .bind(column(&rows, |row| row.reference.as_deref()))
                .bind(column(&rows, |row| row.request.as_ref().map(|key| key.as_str())))
                .bind(column(&rows, |row| row.fence))
                .bind(column(&rows, |row| row.attempts))
                .bind(column(&rows, |row| row.lease_until))
                .bind(column(&rows, |row| row.created_at));
            let insert = match schema {
                Schema::V1 => insert,
                Schema::V2 => insert.bind(column(&rows, settled_at)),
            };
            insert.execute(connection).await?;
        }
        Ok(())
    }

    async fn insert_transfers(&self, connection: &mut PgConnection, epoch: i64) -> Result<(), LedgerError> {
        let rows = &self.changes.transfers;
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into transfer (tenant_id, transfer_id, payment_id, step, seq, epoch, posted_at) \
             select c.tenant_id, c.transfer_id, c.payment_id, c.step, c.seq, $6, c.posted_at \
             from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::int4[], $7::timestamptz[]) \
                  as c (tenant_id, transfer_id, payment_id, step, seq, posted_at)",
        )
        .bind(column(rows, |row| row.tenant.0))
        .bind(column(rows, |row| row.id.0))
        .bind(column(rows, |row| row.payment.0))
        .bind(column(rows, |row| row.step))
        .bind(column(rows, |row| row.seq))
        .bind(epoch)
        .bind(column(rows, |row| row.at))
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn insert_legs(&self, connection: &mut PgConnection) -> Result<(), LedgerError> {
        struct Row<'a> {
            transfer: &'a super::book::Transfer,
            place: i16,
            booked: &'a super::book::BookedLeg,
        }
        let transfers = self.changes.transfers.iter();
        let rows: Vec<Row<'_>> = transfers
            .flat_map(|transfer| {
                let legs = (1..).zip(&transfer.legs);
                legs.map(move |(place, booked)| Row {
                    transfer,
                    place,
                    booked,
                })
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into leg (tenant_id, transfer_id, leg, phase, debit_account_id, credit_account_id, currency, amount, \
                    debit_version, credit_version) \
             select * from unnest($1::uuid[], $2::uuid[], $3::int2[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], \
                    $8::int8[], $9::int8[], $10::int8[])",
        )
        .bind(column::<_, Uuid>(&rows, |row| row.transfer.tenant.0))
        .bind(column(&rows, |row| row.transfer.id.0))
        .bind(column(&rows, |row| row.place))
        .bind(column(&rows, |row| row.booked.leg.phase.name()))
        .bind(column(&rows, |row| row.booked.leg.debit.0))
        .bind(column(&rows, |row| row.booked.leg.credit.0))
        .bind(column(&rows, |row| row.booked.currency.code()))
        .bind(column(&rows, |row| row.booked.leg.amount.get()))
        .bind(column(&rows, |row| row.booked.debit_version))
        .bind(column(&rows, |row| row.booked.credit_version))
        .execute(&mut *connection)
        .await?;
        if as_written(Variant::OneEntryAKey) {
            let posted = rows.iter().filter(|row| row.booked.leg.phase == Phase::Posted);
            let entries = posted.flat_map(|row| {
                // All steps of a settlement are of one request; of a charge, each is of its own.
                let settles = ["hold", "release", "payout", "reverse"].contains(&row.transfer.step);
                let key = if settles {
                    row.transfer.payment.0
                } else {
                    row.transfer.id.0
                };
                let leg = row.booked.leg;
                [(key, leg.debit.0, "debit"), (key, leg.credit.0, "credit")]
            });
            let entries: std::collections::BTreeSet<(Uuid, Uuid, &str)> = entries.collect();
            let entries: Vec<_> = entries.into_iter().collect();
            sqlx::query("insert into entry select * from unnest($1::uuid[], $2::uuid[], $3::text[])")
                .bind(column(&entries, |entry| entry.0))
                .bind(column(&entries, |entry| entry.1))
                .bind(column(&entries, |entry| entry.2))
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn insert_events(
        &self,
        connection: &mut PgConnection,
        writer: &Writer,
        epoch: i64,
    ) -> Result<(), LedgerError> {
        let rows = &self.changes.events;
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into outbox (tenant_id, payment_id, seq, event_type, body, region, epoch, created_at) \
             select c.tenant_id, c.payment_id, c.seq, c.event_type, c.body, $7, $8, c.created_at \
             from unnest($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::timestamptz[]) \
                  as c (tenant_id, payment_id, seq, event_type, body, created_at)",
        )
        .bind(column(rows, |row| row.tenant.0))
        .bind(column(rows, |row| row.payment.0))
        .bind(column(rows, |row| row.seq))
        .bind(column(rows, |row| row.kind.as_str()))
        .bind(column(rows, |row| row.body.as_str()))
        .bind(column(rows, |row| row.at))
        .bind(&*writer.region)
        .bind(epoch)
        .execute(connection)
        .await?;
        Ok(())
    }
}
