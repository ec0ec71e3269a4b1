//! Outcomes: what the ledger booked and what the providers say they did.

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    drain::Drain,
    ledger::{LedgerError, Operation, Outcome, Progress, load_operation, within},
};

use super::{Difference, Reconciler};

/// Where a page starts: after this operation.
type After = (Uuid, Uuid, String, i32);

/// A page of operations that have an outcome and are older than a time, in the order of their keys.
async fn outcomes(
    pool: &PgPool,
    after: After,
    before: OffsetDateTime,
    count: i64,
) -> Result<Vec<Operation>, LedgerError> {
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let query = "select * from operation \
                         where (tenant_id > $1 or (tenant_id = $1 and (payment_id > $2 or (payment_id = $2 \
                                and (kind > $3 or (kind = $3 and seq > $4)))))) \
                           and state in ('succeeded', 'declined') and created_at < $5 \
                         order by tenant_id, payment_id, kind, seq limit $6";
            let query = sqlx::query(query)
                .bind(after.0)
                .bind(after.1)
                .bind(after.2)
                .bind(after.3);
            Ok(query.bind(before).bind(count).fetch_all(connection).await?)
        })
    })
    .await?;
    rows.iter().map(load_operation).collect()
}

impl Reconciler {
    /// Every outcome of the ledger that its provider still remembers.
    pub(super) async fn compare_outcomes(&self, drain: &mut Drain) -> Result<usize, String> {
        let before = self.settled_before();
        let mut after = (Uuid::nil(), Uuid::nil(), String::new(), 0);
        let mut compared = 0;
        while !drain.begun() {
            let page = outcomes(&self.pool, after, before, self.config.page).await;
            let page = page.map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            let id = last.id;
            after = (id.tenant.0, id.payment.0, id.kind.name().to_owned(), id.seq);
            for operation in &page {
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
