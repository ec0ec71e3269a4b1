//! Answers: what the ledger has and what the gate gives.

use sqlx::{PgPool, Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    clock::now,
    drain::Drain,
    gate::Entry,
    id::{Fingerprint, IdempotencyKey, TenantId},
    ledger::{Answer, LedgerError, within},
};

use super::{Difference, Reconciler};

/// An answered request of the ledger.
struct Answered {
    tenant: TenantId,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    answer: Answer,
}

fn answered(row: &PgRow) -> Result<Answered, LedgerError> {
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    let corrupt = |_| LedgerError::Corrupt("fingerprint");
    Ok(Answered {
        tenant: TenantId(row.try_get("tenant_id")?),
        key: IdempotencyKey::new(row.try_get::<String, _>("idempotency_key")?)
            .map_err(|_| LedgerError::Corrupt("idempotency_key"))?,
        fingerprint: Fingerprint(fingerprint.try_into().map_err(corrupt)?),
        answer: Answer {
            status: row.try_get::<i16, _>("status")?.unsigned_abs(),
            body: row.try_get("body")?,
        },
    })
}

/// A page of requests that were made in a window and are answered, in the order of their keys.
async fn answers(
    pool: &PgPool,
    after: (TenantId, String),
    window: (OffsetDateTime, OffsetDateTime),
    count: i64,
) -> Result<Vec<Answered>, LedgerError> {
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let query = "select tenant_id, idempotency_key, fingerprint, status, body from request \
                         where (tenant_id > $1 or (tenant_id = $1 and idempotency_key > $2)) \
                           and status is not null and created_at >= $3 and created_at < $4 \
                         order by tenant_id, idempotency_key limit $5";
            let query = sqlx::query(query).bind(after.0.0).bind(after.1);
            let query = query.bind(window.0).bind(window.1).bind(count);
            Ok(query.fetch_all(connection).await?)
        })
    })
    .await?;
    rows.iter().map(answered).collect()
}

/// Which of these requests the ledger has, answered or not.
async fn known(pool: &PgPool, kept: &[Entry]) -> Result<Vec<(TenantId, String)>, LedgerError> {
    let tenants: Vec<Uuid> = kept.iter().map(|kept| kept.tenant.0).collect();
    let keys: Vec<String> = kept.iter().map(|kept| kept.key.as_str().to_owned()).collect();
    let rows = within(pool, move |connection| {
        Box::pin(async move {
            let query = "select r.tenant_id, r.idempotency_key \
                         from unnest($1::uuid[], $2::text[]) as k (tenant_id, idempotency_key) \
                         join request r on r.tenant_id = k.tenant_id and r.idempotency_key = k.idempotency_key";
            Ok(sqlx::query(query).bind(tenants).bind(keys).fetch_all(connection).await?)
        })
    })
    .await?;
    let known = |row: &PgRow| {
        Ok((
            TenantId(row.try_get("tenant_id")?),
            row.try_get("idempotency_key")?,
        ))
    };
    rows.iter().map(known).collect()
}

impl Reconciler {
    /// Every answer of the ledger that the gate should still give.
    pub(super) async fn compare_answers(&self, drain: &mut Drain) -> Result<usize, String> {
        // Less an hour: what expires while it is looked at is not missing.
        let kept_for = self
            .gate
            .retention()
            .saturating_sub(std::time::Duration::from_hours(1));
        let window = (now() - kept_for, self.settled_before());
        let mut after = (TenantId(Uuid::nil()), String::new());
        let mut compared = 0;
        while !drain.begun() {
            let page = answers(&self.pool, after.clone(), window, self.config.page).await;
            let page = page.map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = (last.tenant, last.key.as_str().to_owned());
            for answered in &page {
                self.compare_answer(answered).await?;
            }
            compared += page.len();
            drain.sleep(self.config.pause).await;
        }
        Ok(compared)
    }

    async fn compare_answer(&self, answered: &Answered) -> Result<(), String> {
        let Answered {
            tenant,
            key,
            fingerprint,
            answer,
        } = answered;
        let kept = self
            .gate
            .look(*tenant, key)
            .await
            .map_err(|error| error.to_string())?;
        let (kind, detail, repaired) = match kept {
            Some(kept) if kept.answer.as_ref() == Some(answer) => return Ok(()),
            Some(Entry { answer: Some(_), .. }) => ("answer_differs", "the gate gives another answer", false),
            // Somebody is about to complete it.
            Some(kept) if kept.lease_until > now() => return Ok(()),
            _ => {
                let epoch = self.authority.epoch().map_err(|error| error.to_string())?;
                let request = (*tenant, key, *fingerprint);
                let put_back = self.gate.put_back(request, answer, epoch, now()).await;
                put_back.map_err(|error| error.to_string())?;
                ("answer_lost", "the gate has the ledger's answer again", true)
            }
        };
        self.report(&Difference {
            kind,
            tenant: *tenant,
            subject: key.as_str(),
            detail,
            repaired,
        });
        Ok(())
    }

    /// Every answer of the gate: the ledger must have the request.
    pub(super) async fn compare_gate(&self, drain: &mut Drain) -> Result<usize, String> {
        let mut start = None;
        let mut compared = 0;
        while !drain.begun() {
            let page = self.gate.page(start, self.config.page as i32).await;
            let (kept, next) = page.map_err(|error| error.to_string())?;
            let answers: Vec<Entry> = kept.into_iter().filter(|kept| kept.answer.is_some()).collect();
            let known = known(&self.pool, &answers)
                .await
                .map_err(|error| error.to_string())?;
            compared += answers.len();
            for kept in answers {
                let (tenant, key) = (kept.tenant, kept.key.as_str().to_owned());
                if !known.contains(&(tenant, key.clone())) {
                    self.report(&Difference {
                        kind: "answer_unfounded",
                        tenant,
                        subject: &key,
                        detail: "the gate gives an answer to a request that the ledger does not have",
                        repaired: false,
                    });
                }
            }
            start = next;
            if start.is_none() {
                break;
            }
            drain.sleep(self.config.pause).await;
        }
        Ok(compared)
    }
}
