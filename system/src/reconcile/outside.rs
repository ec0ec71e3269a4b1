//! Outcomes: what the ledger booked and what the providers say they did.

use sqlx::{PgPool, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    drain::Drain,
    ledger::{LedgerError, Operation, Outcome, Progress, Schema, load_operation, within},
};

use super::{Difference, Reconciler};

/// A page of operations that have an outcome: what comes after an operation, in the order of time and keys.
#[derive(Clone, Debug)]
struct Page {
    after_at: OffsetDateTime,
    after: (Uuid, Uuid, String, i32),
    /// Outcomes from this time on are left out.
    before: OffsetDateTime,
    count: i64,
}

/// Version 1 of the schema does not say when an operation got its outcome: all that there ever were are looked through, by keys.
const BY_KEY: &str = "select *, created_at as since from operation \
     where $1::timestamptz is not null \
       and (tenant_id > $2 or (tenant_id = $2 and (payment_id > $3 or (payment_id = $3 \
            and (kind > $4 or (kind = $4 and seq > $5)))))) \
       and state in ('succeeded', 'declined') and created_at < $6 \
     order by tenant_id, payment_id, kind, seq limit $7";

/// As the index `operation_settled` has them.
const BY_TIME: &str = "select *, coalesce(settled_at, created_at) as since from operation \
     where (coalesce(settled_at, created_at), tenant_id, payment_id, kind, seq) > ($1, $2, $3, $4, $5) \
       and state in ('succeeded', 'declined') and coalesce(settled_at, created_at) < $6 \
     order by coalesce(settled_at, created_at), tenant_id, payment_id, kind, seq limit $7";

async fn outcomes(
    pool: &PgPool,
    schema: Schema,
    page: Page,
) -> Result<Vec<(OffsetDateTime, Operation)>, LedgerError> {
    let query = match schema {
        Schema::V1 => BY_KEY,
        Schema::V2 => BY_TIME,
    };
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let (tenant, payment, kind, seq) = page.after;
            let query = sqlx::query(query).bind(page.after_at).bind(tenant).bind(payment);
            let query = query.bind(kind).bind(seq).bind(page.before).bind(page.count);
            Ok(query.fetch_all(connection).await?)
        })
    })
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("since")?, load_operation(row)?)))
        .collect()
}

impl Reconciler {
    /// Every outcome of the ledger that its provider still remembers.
    pub(super) async fn compare_outcomes(&self, drain: &mut Drain) -> Result<usize, String> {
        let mut page = Page {
            after_at: OffsetDateTime::now_utc() - self.externals.memory_max(),
            after: (Uuid::nil(), Uuid::nil(), String::new(), 0),
            before: self.settled_before(),
            count: self.config.page,
        };
        let mut compared = 0;
        while !drain.begun() {
            let found = outcomes(&self.pool, self.schema, page.clone()).await;
            let found = found.map_err(|error| error.to_string())?;
            let Some((at, last)) = found.last() else { break };
            let id = last.id;
            page.after_at = *at;
            page.after = (id.tenant.0, id.payment.0, id.kind.name().to_owned(), id.seq);
            for (_, operation) in &found {
                let (dependency, breaker) = self.externals.of(operation.id.kind);
                if !dependency.remembers(operation) {
                    continue;
                }
                breaker.admit().map_err(|open| open.to_string())?;
                let said = dependency
                    .look_up(operation)
                    .await
                    .map_err(|unknown| unknown.to_string())?;
                self.compare_outcome(operation, said);
                compared += 1;
            }
            drain.sleep(self.config.pause).await;
        }
        Ok(compared)
    }

    fn compare_outcome(&self, operation: &Operation, said: Option<Outcome>) {
        let Some((kind, detail)) = difference(operation, said) else {
            return;
        };
        self.report(&Difference {
            kind,
            tenant: operation.id.tenant,
            subject: &operation.key(),
            detail: &detail,
            repaired: false,
        });
    }
}

fn difference(operation: &Operation, said: Option<Outcome>) -> Option<(&'static str, String)> {
    let booked = operation.reference.as_deref().unwrap_or_default();
    match (operation.state, said) {
        (Progress::Succeeded, Some(Outcome::Succeeded { reference })) if reference == booked => None,
        // Restored from its answer, which does not have the dependency's own name for it.
        (Progress::Succeeded, Some(Outcome::Succeeded { .. })) if booked == operation.key() => None,
        (Progress::Declined, Some(Outcome::Declined { .. })) => None,
        // What was not done need not be known.
        (Progress::Declined, None) => None,
        (Progress::Succeeded, None) => Some((
            "outcome_unknown_outside",
            "the provider does not know it".to_owned(),
        )),
        (state, Some(said)) => {
            let detail = format!(
                "the ledger has it as {} {booked}, the provider says {said:?}",
                state.name()
            );
            Some(("outcome_differs", detail))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{PaymentId, TenantId},
        ledger::{OperationId, OperationKind},
        money::Amount,
    };

    fn operation(state: Progress) -> Operation {
        Operation {
            id: OperationId {
                tenant: TenantId(Uuid::nil()),
                payment: PaymentId(Uuid::nil()),
                kind: OperationKind::Sale,
                seq: 1,
            },
            amount: Amount::new(1).unwrap(),
            state,
            reference: Some("ref_1".to_owned()),
            request: None,
            fence: 1,
            attempts: 1,
            lease_until: OffsetDateTime::UNIX_EPOCH,
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn money_that_only_one_side_moved_is_a_difference() {
        let done = |reference: &str| Outcome::Succeeded {
            reference: reference.to_owned(),
        };
        let declined = || Outcome::Declined {
            reason: "do_not_honor".to_owned(),
        };
        let found = |state, said| difference(&operation(state), said).map(|(kind, _)| kind);
        assert_eq!(found(Progress::Succeeded, Some(done("ref_1"))), None);
        assert_eq!(
            found(Progress::Succeeded, Some(done("ref_2"))),
            Some("outcome_differs")
        );
        assert_eq!(
            found(Progress::Succeeded, Some(declined())),
            Some("outcome_differs")
        );
        assert_eq!(found(Progress::Succeeded, None), Some("outcome_unknown_outside"));
        assert_eq!(found(Progress::Declined, Some(declined())), None);
        assert_eq!(
            found(Progress::Declined, Some(done("ref_1"))),
            Some("outcome_differs")
        );
        assert_eq!(found(Progress::Declined, None), None);
    }
}
