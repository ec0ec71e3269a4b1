//! Writes what a batch of commands changed: one part of a statement a table and kind of change, whatever the number of rows.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::variant::{Variant, as_written};

use super::{
    account::Phase,
    book::{Book, BookedLeg, Change, Transfer},
    command::Answer,
    error::LedgerError,
    payment::Operation,
    poster::Writer,
    schema::Schema,
    writes::Writes,
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

/// A leg of a new transfer.
struct Leg<'a> {
    transfer: &'a Transfer,
    place: i16,
    booked: &'a BookedLeg,
}

impl Book {
    /// Writes all changes.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        writer: &Writer,
        epoch: i64,
    ) -> Result<(), LedgerError> {
        // Two things cannot go with the rest: new accounts are booked on in the same batch, and of a payment's operations only
        // one may be under way, so that what is finished makes room for what is next.
        let mut first = Writes::default();
        self.insert_accounts(&mut first);
        self.update_operations(&mut first, writer.schema);
        let inserts = |change: &Change| *change == Change::Insert;
        let room_first =
            self.changes.accounts.values().any(inserts) || self.changes.operations.values().any(inserts);
        let mut writes = if room_first {
            first.send(connection).await?;
            Writes::default()
        } else {
            first
        };
        self.insert_payments(&mut writes);
        self.update_payments(&mut writes);
        self.store_requests(&mut writes);
        self.insert_operations(&mut writes, writer.schema);
        self.insert_transfers(&mut writes, epoch);
        self.insert_legs(&mut writes);
        self.update_accounts(&mut writes);
        if !as_written(Variant::EventAfterTheCommit) {
            self.insert_events(&mut writes, writer, epoch);
        }
        writes.send(connection).await?;
        Ok(())
    }

    fn insert_accounts(&self, writes: &mut Writes) {
        let rows = changed(&self.changes.accounts, &self.accounts, Change::Insert);
        if rows.is_empty() {
            return;
        }
        writes
            .part(
                "insert into account (tenant_id, account_id, role, currency, overdraft_limit, opened_at) \
                 select * from",
            )
            .rows(&rows)
            .column(|row| row.tenant.0)
            .column(|row| row.id.0)
            .column(|row| row.role.name())
            .column(|row| row.currency.code())
            .column(|row| row.overdraft_limit)
            .column(|row| row.opened_at)
            .end("");
    }

    fn update_accounts(&self, writes: &mut Writes) {
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
            return;
        }
        writes
            .part(
                "update account a set frozen = c.frozen, debits_posted = c.debits_posted, credits_posted = c.credits_posted, \
                        debits_pending = c.debits_pending, credits_pending = c.credits_pending, version = c.version \
                 from",
            )
            .rows(&rows)
            .column(|row| row.tenant.0)
            .column(|row| row.id.0)
            .column(|row| row.frozen)
            .column(|row| row.posted.debits)
            .column(|row| row.posted.credits)
            .column(|row| row.pending.debits)
            .column(|row| row.pending.credits)
            .column(|row| row.version)
            .end(
                "as c (tenant_id, account_id, frozen, debits_posted, credits_posted, debits_pending, credits_pending, version) \
                 where a.tenant_id = c.tenant_id and a.account_id = c.account_id",
            );
    }

    fn is_update(&self, account: &super::account::Account) -> bool {
        self.changes.accounts.get(&(account.tenant, account.id)) == Some(&Change::Update)
    }

    fn insert_payments(&self, writes: &mut Writes) {
        let rows = changed(&self.changes.payments, &self.payments, Change::Insert);
        if rows.is_empty() {
            return;
        }
        writes
            .part(
                "insert into payment (tenant_id, payment_id, kind, state, currency, amount, fee, payee_id, payer_id, \
                        instrument, authorized, captured, refunded, version, events, created_at, updated_at) \
                 select * from",
            )
            .rows(&rows)
            .column(|row| row.tenant.0)
            .column(|row| row.id.0)
            .column(|row| row.kind.name())
            .column(|row| row.state.name())
            .column(|row| row.currency.code())
            .column(|row| row.amount.get())
            .column(|row| row.fee)
            .column(|row| row.payee.0)
            .column(|row| row.payer.map(|payer| payer.0))
            .column(|row| row.instrument.as_str())
            .column(|row| row.authorized)
            .column(|row| row.captured)
            .column(|row| row.refunded)
            .column(|row| row.version)
            .column(|row| row.events)
            .column(|row| row.created_at)
            .column(|row| row.updated_at)
            .end("");
    }

    fn update_payments(&self, writes: &mut Writes) {
        let rows = changed(&self.changes.payments, &self.payments, Change::Update);
        if rows.is_empty() {
            return;
        }
        writes
            .part(
                "update payment p set state = c.state, authorized = c.authorized, captured = c.captured, \
                        refunded = c.refunded, version = c.version, events = c.events, updated_at = c.updated_at \
                 from",
            )
            .rows(&rows)
            .column(|row| row.tenant.0)
            .column(|row| row.id.0)
            .column(|row| row.state.name())
            .column(|row| row.authorized)
            .column(|row| row.captured)
            .column(|row| row.refunded)
            .column(|row| row.version)
            .column(|row| row.events)
            .column(|row| row.updated_at)
            .end(
                "as c (tenant_id, payment_id, state, authorized, captured, refunded, version, events, updated_at) \
                 where p.tenant_id = c.tenant_id and p.payment_id = c.payment_id",
            );
    }

    fn store_requests(&self, writes: &mut Writes) {
        let rows: Vec<_> = self
            .changes
            .requests
            .iter()
            .filter_map(|key| self.requests.get(key).map(|asked| (key, asked)))
            .collect();
        let status = |answer: &Answer| answer.status.cast_signed();
        if !rows.is_empty() {
            writes
                .part(
                    "insert into request (tenant_id, idempotency_key, fingerprint, subject_id, status, body, created_at) \
                     select * from",
                )
                .rows(&rows)
                .column(|row| row.0.0.0)
                .column(|row| row.0.1.as_str())
                .column(|row| row.1.fingerprint.0.to_vec())
                .column(|row| row.1.subject)
                .column(|row| row.1.answer.as_ref().map(status))
                .column(|row| row.1.answer.as_ref().map(|answer| answer.body.as_str()))
                .column(|row| row.1.at)
                .end("");
        }
        let rows: Vec<_> = self.changes.answers.iter().collect();
        if !rows.is_empty() {
            writes
                .part("update request r set status = c.status, body = c.body from")
                .rows(&rows)
                .column(|row| row.0.0.0)
                .column(|row| row.0.1.as_str())
                .column(|row| status(row.1))
                .column(|row| row.1.body.as_str())
                .end(
                    "as c (tenant_id, idempotency_key, status, body) \
                     where r.tenant_id = c.tenant_id and r.idempotency_key = c.idempotency_key and r.status is null",
                );
        }
    }

    fn settled_at(&self, operation: &Operation) -> Option<time::OffsetDateTime> {
        self.changes.settled.get(&operation.id).copied()
    }

    fn update_operations(&self, writes: &mut Writes, schema: Schema) {
        let rows = changed(&self.changes.operations, &self.operations, Change::Update);
        if rows.is_empty() {
            return;
        }
        let (set, column) = match schema {
            Schema::V1 => ("", ""),
            Schema::V2 => (", settled_at = c.settled_at", ", settled_at"),
        };
        writes
            .part("update operation o set state = c.state, reference = c.reference")
            .sql(format_args!("{set} from "));
        let columns = writes
            .rows(&rows)
            .column(|row| row.id.tenant.0)
            .column(|row| row.id.payment.0)
            .column(|row| row.id.kind.name())
            .column(|row| row.id.seq)
            .column(|row| row.state.name())
            .column(|row| row.reference.as_deref());
        let columns = match schema {
            Schema::V1 => columns,
            Schema::V2 => columns.column(|row| self.settled_at(row)),
        };
        columns.end(&format!(
            "as c (tenant_id, payment_id, kind, seq, state, reference{column}) \
             where o.tenant_id = c.tenant_id and o.payment_id = c.payment_id and o.kind = c.kind and o.seq = c.seq"
        ));
    }

    fn insert_operations(&self, writes: &mut Writes, schema: Schema) {
        let rows = changed(&self.changes.operations, &self.operations, Change::Insert);
        if rows.is_empty() {
            return;
        }
        let column = match schema {
            Schema::V1 => "",
            Schema::V2 => ", settled_at",
        };
        writes
            .part(
                "insert into operation (tenant_id, payment_id, kind, seq, amount, state, reference, idempotency_key, fence, \
                        attempts, lease_until, created_at",
            )
            .sql(format_args!("{column}) select * from "));
        let columns = writes
            .rows(&rows)
            .column(|row| row.id.tenant.0)
            .column(|row| row.id.payment.0)
            .column(|row| row.id.kind.name())
            .column(|row| row.id.seq)
            .column(|row| row.amount.get())
            .column(|row| row.state.name())
            .column(|row| row.reference.as_deref())
            .column(|row| row.request.as_ref().map(|key| key.as_str()))
            .column(|row| row.fence)
            .column(|row| row.attempts)
            .column(|row| row.lease_until)
            .column(|row| row.created_at);
        let columns = match schema {
            Schema::V1 => columns,
            Schema::V2 => columns.column(|row| self.settled_at(row)),
        };
        columns.end("");
    }

    fn insert_transfers(&self, writes: &mut Writes, epoch: i64) {
        let rows = &self.changes.transfers;
        if rows.is_empty() {
            return;
        }
        writes
            .part(
                "insert into transfer (tenant_id, transfer_id, payment_id, step, seq, epoch, posted_at) \
                 select c.tenant_id, c.transfer_id, c.payment_id, c.step, c.seq,",
            )
            .value(epoch)
            .sql(", c.posted_at from ")
            .rows(rows)
            .column(|row| row.tenant.0)
            .column(|row| row.id.0)
            .column(|row| row.payment.0)
            .column(|row| row.step)
            .column(|row| row.seq)
            .column(|row| row.at)
            .end("as c (tenant_id, transfer_id, payment_id, step, seq, posted_at)");
    }

    fn insert_legs(&self, writes: &mut Writes) {
        let transfers = self.changes.transfers.iter();
        let rows: Vec<Leg<'_>> = transfers
            .flat_map(|transfer| {
                let legs = (1..).zip(&transfer.legs);
                legs.map(move |(place, booked)| Leg {
                    transfer,
                    place,
                    booked,
                })
            })
            .collect();
        if rows.is_empty() {
            return;
        }
        writes
            .part(
                "insert into leg (tenant_id, transfer_id, leg, phase, debit_account_id, credit_account_id, currency, amount, \
                        debit_version, credit_version) \
                 select * from",
            )
            .rows(&rows)
            .column(|row| row.transfer.tenant.0)
            .column(|row| row.transfer.id.0)
            .column(|row| row.place)
            .column(|row| row.booked.leg.phase.name())
            .column(|row| row.booked.leg.debit.0)
            .column(|row| row.booked.leg.credit.0)
            .column(|row| row.booked.currency.code())
            .column(|row| row.booked.leg.amount.get())
            .column(|row| row.booked.debit_version)
            .column(|row| row.booked.credit_version)
            .end("");
        if as_written(Variant::OneEntryAKey) {
            insert_entries(&rows, writes);
        }
    }

    /// Has the events written of what has changed.
    pub(super) fn insert_events(&self, writes: &mut Writes, writer: &Writer, epoch: i64) {
        let rows = &self.changes.events;
        if rows.is_empty() {
            return;
        }
        writes
            .part(
                "insert into outbox (tenant_id, payment_id, seq, event_type, body, region, epoch, created_at) \
                 select c.tenant_id, c.payment_id, c.seq, c.event_type, c.body,",
            )
            .value(&*writer.region)
            .sql(", ")
            .value(epoch)
            .sql(", c.created_at from ")
            .rows(rows)
            .column(|row| row.tenant.0)
            .column(|row| row.payment.0)
            .column(|row| row.seq)
            .column(|row| row.kind.as_str())
            .column(|row| row.body.as_str())
            .column(|row| row.at)
            .end("as c (tenant_id, payment_id, seq, event_type, body, created_at)");
    }
}

/// What [`Variant::OneEntryAKey`] keeps.
fn insert_entries(legs: &[Leg<'_>], writes: &mut Writes) {
    let posted = legs.iter().filter(|row| row.booked.leg.phase == Phase::Posted);
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
    writes
        .part("insert into entry select * from")
        .rows(&entries)
        .column(|entry| entry.0)
        .column(|entry| entry.1)
        .column(|entry| entry.2)
        .end("");
}
