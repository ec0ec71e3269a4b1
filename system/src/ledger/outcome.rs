//! What the outcome of each operation does to the book, and what follows from it.
//!
//! | step of a payment | legs |
//! |---|---|
//! | authorize | pending clearing -> payee |
//! | sale | posted clearing -> payee |
//! | capture | released and posted clearing -> payee |
//! | void | released clearing -> payee, all that is open |
//! | refund-hold, refund, refund-release | pending, then released and posted, or released: payee -> clearing |
//! | hold | posted payer -> escrow |
//! | release | posted escrow -> payee and escrow -> fees; pending payee -> clearing |
//! | payout | released and posted payee -> clearing |
//! | reverse | posted escrow -> payer; after a release first released and posted back to escrow |

use time::OffsetDateTime;

use crate::variant::{Variant, as_written};

use super::{
    account::{Cause, Phase},
    book::Book,
    command::{Answer, Reply},
    legs,
    payment::{Operation, OperationId, OperationKind, Outcome, Payment, Progress, State},
    refusal::Refusal,
    view,
};

impl Book {
    /// Books the outcome of an operation and answers the request that waits for it.
    pub(super) fn resolve(
        &mut self,
        operation: &Operation,
        outcome: &Outcome,
        at: OffsetDateTime,
        lease_until: OffsetDateTime,
    ) -> Reply {
        let OperationId {
            tenant,
            payment,
            kind,
            ..
        } = operation.id;
        let payment = match self.payment(tenant, payment) {
            Ok(payment) => payment.clone(),
            Err(refusal) => return Reply::Refused(refusal),
        };
        let booked = match outcome {
            Outcome::Succeeded { .. } => self.succeed(operation, payment, at, lease_until),
            Outcome::Declined { .. } => self.decline(operation, payment, at),
        };
        let next = match booked {
            Ok(next) => next,
            // Totals out of range: the fact stays with the operation, for an operator.
            Err(refusal) => return Reply::Refused(refusal),
        };
        let (state, reference) = match outcome {
            Outcome::Succeeded { reference } => (Progress::Succeeded, reference),
            Outcome::Declined { reason } => (Progress::Declined, reason),
        };
        self.finish(operation.id, state, reference.clone());
        self.changes.settled.insert(operation.id, at);
        let answer = operation.request.as_ref().map(|request| {
            let answer = self.outcome_answer(operation, kind, outcome);
            self.answer(tenant, request, answer.clone());
            answer
        });
        Reply::Resolved { answer, next }
    }

    fn outcome_answer(&self, operation: &Operation, kind: OperationKind, outcome: &Outcome) -> Answer {
        let OperationId { tenant, payment, .. } = operation.id;
        match outcome {
            Outcome::Succeeded { .. } => {
                let created = matches!(kind, OperationKind::Authorize | OperationKind::Sale);
                self.payment_answer(if created { 201 } else { 200 }, tenant, payment)
            }
            Outcome::Declined { reason } => {
                let payment = self
                    .payment(tenant, payment)
                    .expect("it was put in the book just now");
                Answer {
                    status: 402,
                    body: view::declined(payment, kind.name(), reason),
                }
            }
        }
    }

    fn succeed(
        &mut self,
        operation: &Operation,
        mut payment: Payment,
        at: OffsetDateTime,
        lease_until: OffsetDateTime,
    ) -> Result<Option<Operation>, Refusal> {
        let amount = operation.amount;
        let seq = operation.id.seq;
        let kind = operation.id.kind;
        let taken = |phase| legs::inbound(&payment, phase, amount);
        let given = |phase| legs::outbound(&payment, phase, amount);
        let (legs, event) = match kind {
            OperationKind::Authorize => (vec![taken(Phase::Pending)], "authorized"),
            OperationKind::Sale => (vec![taken(Phase::Posted)], "captured"),
            OperationKind::Capture if as_written(Variant::HoldReleasedTwice) => {
                let all = legs::inbound(&payment, Phase::Released, legs::share(payment.open()));
                (vec![all, taken(Phase::Posted)], "captured")
            }
            OperationKind::Capture => (vec![taken(Phase::Released), taken(Phase::Posted)], "captured"),
            OperationKind::Void => (vec![taken(Phase::Released)], "voided"),
            OperationKind::Refund if as_written(Variant::RefundNotHeld) => {
                (vec![given(Phase::Posted)], "refunded")
            }
            OperationKind::Payout if as_written(Variant::ReleaseInTwoSteps) => {
                (vec![given(Phase::Posted)], "settled")
            }
            OperationKind::Refund => (vec![given(Phase::Released), given(Phase::Posted)], "refunded"),
            OperationKind::Payout => (vec![given(Phase::Released), given(Phase::Posted)], "settled"),
            OperationKind::Verify => {
                let payout = self.release(payment, at, lease_until)?;
                // Where a lost window is gone through again, the payout may have been asked for in it, too.
                return Ok(Some(self.fence_off(payout, operation.fence)));
            }
        };
        self.post(&payment, kind.name(), seq, &legs, Cause::Fact, at)?;
        let units = amount.get();
        match kind {
            OperationKind::Authorize => payment.authorized = units,
            OperationKind::Sale => (payment.authorized, payment.captured) = (units, units),
            OperationKind::Capture => payment.captured += units,
            OperationKind::Void => payment.authorized -= units,
            OperationKind::Refund => payment.refunded += units,
            OperationKind::Payout | OperationKind::Verify => {}
        }
        payment.state = match kind {
            OperationKind::Payout => State::Settled,
            _ => payment.standing(),
        };
        self.put(payment, event, at);
        Ok(None)
    }

    /// The payee is verified: the money and the fee leave escrow in one transfer, and what the payee got is set aside to
    /// be paid out, so that it cannot be spent before.
    fn release(
        &mut self,
        mut payment: Payment,
        at: OffsetDateTime,
        lease_until: OffsetDateTime,
    ) -> Result<Operation, Refusal> {
        let net = legs::share(payment.net());
        let mut legs = legs::out_of_escrow(&payment);
        if !as_written(Variant::ReleaseInTwoSteps) {
            legs.push(legs::outbound(&payment, Phase::Pending, net));
        }
        self.post(&payment, "release", 1, &legs, Cause::Fact, at)?;
        payment.state = State::PayingOut;
        let net = if as_written(Variant::GrossPaidOut) {
            payment.amount
        } else {
            net
        };
        let payout = self.intend(&payment, OperationKind::Payout, net, None, at, lease_until);
        self.put(payment, "released", at);
        Ok(payout)
    }

    fn decline(
        &mut self,
        operation: &Operation,
        mut payment: Payment,
        at: OffsetDateTime,
    ) -> Result<Option<Operation>, Refusal> {
        let seq = operation.id.seq;
        let event = match operation.id.kind {
            OperationKind::Authorize | OperationKind::Sale => {
                payment.state = State::Declined;
                "declined"
            }
            OperationKind::Capture | OperationKind::Void => {
                payment.state = payment.standing();
                "unchanged"
            }
            OperationKind::Refund => {
                let legs = [legs::outbound(&payment, Phase::Released, operation.amount)];
                if !as_written(Variant::RefundNotHeld) {
                    self.post(&payment, "refund-release", seq, &legs, Cause::Fact, at)?;
                }
                payment.state = payment.standing();
                "unchanged"
            }
            // Only what was done is undone: nothing has left escrow yet.
            OperationKind::Verify => {
                let legs = [legs::to_payer(&payment)];
                self.post(&payment, "reverse", seq, &legs, Cause::Fact, at)?;
                payment.state = State::Reversed;
                "reversed"
            }
            OperationKind::Payout => {
                let mut legs = vec![legs::outbound(&payment, Phase::Released, operation.amount)];
                if as_written(Variant::ReleaseInTwoSteps) {
                    legs.clear();
                }
                legs.extend(legs::out_of_escrow(&payment).into_iter().map(legs::back));
                legs.push(legs::to_payer(&payment));
                self.post(&payment, "reverse", seq, &legs, Cause::Fact, at)?;
                payment.state = State::Reversed;
                "reversed"
            }
        };
        self.put(payment, event, at);
        Ok(None)
    }

    /// Nobody can tell what the outside did: everything stops until an operator has found out.
    pub(super) fn give_up(&mut self, id: OperationId, reason: &str, at: OffsetDateTime) -> Reply {
        let mut payment = match self.payment(id.tenant, id.payment) {
            Ok(payment) => payment.clone(),
            Err(refusal) => return Reply::Refused(refusal),
        };
        for account in [Some(payment.payee), payment.payer].into_iter().flatten() {
            self.set_frozen(id.tenant, account, true);
        }
        payment.state = State::Limbo;
        self.put(payment, "limbo", at);
        self.finish(id, Progress::Limbo, reason.to_owned());
        Reply::Resolved {
            answer: None,
            next: None,
        }
    }
}
