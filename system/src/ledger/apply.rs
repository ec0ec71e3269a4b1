//! What each request does to the book, and who answers for it.

use crate::{
    id::{AccountId, IdempotencyKey, PaymentId, TenantId},
    money::{Amount, Currency},
    variant::{Variant, as_written},
};

use super::{
    account::{Account, Cause, Phase, Role},
    book::{Book, Leg},
    command::{Answer, Command, Mutation, Reply, Request},
    legs,
    payment::{Kind, Operation, OperationKind, Outcome, Payment, Progress, State},
    refusal::Refusal,
    view::{self, AccountView, PaymentView},
};

impl Book {
    /// Does what a command asks for, or leaves everything as it was.
    pub(super) fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Mutate(request, mutation) => {
                if let Some(known) = self.known(request) {
                    return known;
                }
                self.mutate(request, mutation, Cause::Request)
                    .unwrap_or_else(Reply::Refused)
            }
            Command::Restore(request, mutation, answer) => self.restore(request, mutation, answer.as_ref()),
            Command::Suspect {
                request,
                mutation,
                reason,
                at,
            } => self.suspect(request, mutation, reason, *at),
            Command::Resolve {
                operation,
                fence,
                outcome,
                at,
                lease_until,
            } => match self.operations.get(operation) {
                Some(held)
                    if held.state == Progress::Pending
                        && (held.fence == *fence || as_written(Variant::LeaseAlone)) =>
                {
                    let held = held.clone();
                    self.resolve(&held, outcome, *at, *lease_until)
                }
                _ => Reply::Stale,
            },
            Command::GiveUp {
                operation,
                fence,
                reason,
                at,
            } => match self.operations.get(operation) {
                Some(held)
                    if held.state == Progress::Pending
                        && (held.fence == *fence || as_written(Variant::LeaseAlone)) =>
                {
                    self.give_up(*operation, reason, *at)
                }
                _ => Reply::Stale,
            },
        }
    }

    /// What an earlier attempt of the same request came to.
    pub(super) fn known(&self, request: &Request) -> Option<Reply> {
        let asked = self.requests.get(&(request.tenant, request.key.clone()))?;
        if asked.fingerprint != request.fingerprint && !as_written(Variant::FingerprintIgnored) {
            return Some(Reply::Mismatch);
        }
        if as_written(Variant::ReplayOfTheState)
            && let Some(answer) = &asked.answer
            && self.payment(request.tenant, PaymentId(asked.subject)).is_ok()
        {
            let now = self.payment_answer(answer.status, request.tenant, PaymentId(asked.subject));
            return Some(Reply::Replayed(now));
        }
        Some(match &asked.answer {
            Some(answer) => Reply::Replayed(answer.clone()),
            // Only operations leave a request unanswered, and they are loaded with it.
            None => match self.unfinished(request.tenant, PaymentId(asked.subject)) {
                Some(operation) => Reply::InFlight(operation.clone()),
                None => Reply::Stale,
            },
        })
    }

    /// Does what a request asks for, within the rules that `cause` is bound by.
    pub(super) fn mutate(
        &mut self,
        request: &Request,
        mutation: &Mutation,
        cause: Cause,
    ) -> Result<Reply, Refusal> {
        match mutation {
            Mutation::OpenAccount {
                currency,
                overdraft_limit,
            } => Ok(self.open_account(request, *currency, *overdraft_limit)),
            Mutation::SetFrozen { account, frozen } => {
                self.account(request.tenant, *account)?;
                self.set_frozen(request.tenant, *account, *frozen);
                Ok(self.answer_account(request, 200, *account))
            }
            Mutation::Charge {
                payee,
                amount,
                currency,
                instrument,
                capture,
            } => {
                let payment = new_payment(request, Kind::Charge, *amount, *currency, *payee);
                let kind = if *capture {
                    OperationKind::Sale
                } else {
                    OperationKind::Authorize
                };
                self.takes_part(&payment, *payee, cause)?;
                let payment = Payment {
                    instrument: instrument.clone(),
                    ..payment
                };
                Ok(self.start(request, payment, kind, *amount, "pending"))
            }
            Mutation::Capture { payment, amount } => {
                let payment = self.idle(request.tenant, *payment, "captured")?;
                let amount = part(&payment, payment.open(), *amount, "captured")?;
                Ok(self.start(request, payment, OperationKind::Capture, amount, "capturing"))
            }
            Mutation::Void { payment } => {
                let payment = self.idle(request.tenant, *payment, "voided")?;
                let amount = part(&payment, payment.open(), None, "voided")?;
                Ok(self.start(request, payment, OperationKind::Void, amount, "voiding"))
            }
            Mutation::Refund { payment, amount } => {
                let payment = self.idle(request.tenant, *payment, "refunded")?;
                let amount = part(&payment, payment.refundable(), *amount, "refunded")?;
                let seq = self.next_seq(&payment, OperationKind::Refund);
                let legs = [legs::outbound(&payment, Phase::Pending, amount)];
                if !as_written(Variant::RefundNotHeld) {
                    self.post(&payment, "refund-hold", seq, &legs, cause, request.at)?;
                }
                Ok(self.start(request, payment, OperationKind::Refund, amount, "refunding"))
            }
            Mutation::Settle {
                payer,
                payee,
                amount,
                currency,
                fee,
            } => self.settle(request, *payer, *payee, *amount, *currency, *fee, cause),
            Mutation::Decide { payment, outcome } => self.decide(request, *payment, outcome, cause),
        }
    }

    fn open_account(&mut self, request: &Request, currency: Currency, overdraft_limit: i64) -> Reply {
        let tenant = request.tenant;
        for role in Role::SYSTEM {
            let id = Self::system(tenant, role, currency);
            if self.account(tenant, id).is_err() {
                self.open(Account::open(tenant, id, role, currency, 0, request.at));
            }
        }
        let id = AccountId::of_request(tenant, &request.key);
        self.open(Account::open(
            tenant,
            id,
            Role::Wallet,
            currency,
            overdraft_limit,
            request.at,
        ));
        self.answer_account(request, 201, id)
    }

    fn answer_account(&mut self, request: &Request, status: u16, id: AccountId) -> Reply {
        let account = self
            .account(request.tenant, id)
            .expect("it was looked up or opened just now");
        let answer = Answer {
            status,
            body: view::json(&AccountView::from(account)),
        };
        self.ask(request, id.0, Some(answer.clone()));
        Reply::Answered(answer)
    }

    /// Whether a client may start a payment with this account.
    fn takes_part(&self, payment: &Payment, id: AccountId, cause: Cause) -> Result<(), Refusal> {
        let account = self.account(payment.tenant, id)?;
        if account.role != Role::Wallet {
            return Err(Refusal::UnknownAccount(id));
        }
        if account.currency != payment.currency && !as_written(Variant::OneSumForAll) {
            return Err(Refusal::WrongCurrency {
                account: id,
                kept: account.currency,
                asked: payment.currency,
            });
        }
        if account.frozen && cause == Cause::Request && !as_written(Variant::FreezeUnchecked) {
            Err(Refusal::AccountFrozen(id))
        } else {
            Ok(())
        }
    }

    /// A charge on which nothing is under way.
    fn idle(&self, tenant: TenantId, id: PaymentId, wanted: &'static str) -> Result<Payment, Refusal> {
        let payment = self.payment(tenant, id)?;
        if self.unfinished(tenant, id).is_some() {
            return Err(Refusal::PaymentBusy(id));
        }
        match payment.kind {
            Kind::Charge => Ok(payment.clone()),
            Kind::Settlement => Err(wrong_state(payment, wanted)),
        }
    }

    /// Intends an operation whose outcome answers the request.
    fn start(
        &mut self,
        request: &Request,
        payment: Payment,
        kind: OperationKind,
        amount: Amount,
        event: &str,
    ) -> Reply {
        self.ask(request, payment.id.0, None);
        let key = Some(request.key.clone());
        let operation = self.intend(&payment, kind, amount, key, request.at, request.lease_until);
        self.put(payment, event, request.at);
        let payment = self.payment(request.tenant, operation.id.payment);
        let payment = payment.expect("it was put in the book just now").clone();
        Reply::Started(operation, Box::new(payment))
    }

    #[expect(clippy::too_many_arguments, reason = "a settlement's own members, one by one")]
    fn settle(
        &mut self,
        request: &Request,
        payer: AccountId,
        payee: AccountId,
        amount: Amount,
        currency: Currency,
        fee: i64,
        cause: Cause,
    ) -> Result<Reply, Refusal> {
        if payer == payee {
            return Err(Refusal::SameAccount(payer));
        }
        let payment = Payment {
            state: State::Verifying,
            payer: Some(payer),
            fee,
            ..new_payment(request, Kind::Settlement, amount, currency, payee)
        };
        self.takes_part(&payment, payer, cause)?;
        self.takes_part(&payment, payee, cause)?;
        let hold = Leg {
            phase: Phase::Posted,
            debit: payer,
            credit: Self::system(payment.tenant, Role::Escrow, currency),
            amount,
        };
        self.post(&payment, "hold", 1, &[hold], cause, request.at)?;
        let verify = self.intend(
            &payment,
            OperationKind::Verify,
            amount,
            None,
            request.at,
            request.lease_until,
        );
        let id = payment.id;
        self.put(payment, "verifying", request.at);
        let answer = self.payment_answer(202, request.tenant, id);
        self.ask(request, id.0, Some(answer.clone()));
        Ok(Reply::Resolved {
            answer: Some(answer),
            next: Some(verify),
        })
    }

    fn decide(
        &mut self,
        request: &Request,
        id: PaymentId,
        outcome: &Outcome,
        cause: Cause,
    ) -> Result<Reply, Refusal> {
        let payment = self.payment(request.tenant, id)?;
        // What was decided once stays so, even if that it was in limbo has been lost.
        let held = self
            .unfinished(request.tenant, id)
            .filter(|held| held.state == Progress::Limbo || cause == Cause::Fact);
        let held = held.cloned().ok_or_else(|| wrong_state(payment, "decided"))?;
        let resolved = self.resolve(&held, outcome, request.at, request.lease_until);
        let answer = self.payment_answer(200, request.tenant, id);
        self.ask(request, id.0, Some(answer.clone()));
        Ok(match resolved {
            Reply::Resolved { next, .. } => Reply::Resolved {
                answer: Some(answer),
                next,
            },
            _ => Reply::Answered(answer),
        })
    }

    pub(super) fn payment_answer(&self, status: u16, tenant: TenantId, id: PaymentId) -> Answer {
        let payment = self.payment(tenant, id).expect("it was put in the book just now");
        Answer {
            status,
            body: view::json(&PaymentView::from(payment)),
        }
    }
}

fn new_payment(
    request: &Request,
    kind: Kind,
    amount: Amount,
    currency: Currency,
    payee: AccountId,
) -> Payment {
    Payment {
        tenant: request.tenant,
        id: PaymentId::of_request(request.tenant, &request.key),
        kind,
        state: State::Pending,
        currency,
        amount,
        fee: 0,
        payee,
        payer: None,
        instrument: String::new(),
        authorized: 0,
        captured: 0,
        refunded: 0,
        version: 0,
        events: 0,
        created_at: request.at,
        updated_at: request.at,
    }
}

fn wrong_state(payment: &Payment, wanted: &'static str) -> Refusal {
    Refusal::WrongState {
        payment: payment.id,
        state: payment.state.name(),
        wanted,
    }
}

/// All that is left, or the part of it that was asked for.
fn part(
    payment: &Payment,
    left: i64,
    asked: Option<Amount>,
    wanted: &'static str,
) -> Result<Amount, Refusal> {
    let all = Amount::new(left).map_err(|_| wrong_state(payment, wanted))?;
    match asked {
        Some(asked) if asked > all && !as_written(Variant::OverCapture) => Err(Refusal::AmountTooLarge {
            payment: payment.id,
            left,
            asked,
        }),
        asked => Ok(asked.unwrap_or(all)),
    }
}

/// What a request would start outside, as long as the ledger has nothing against it.
pub(crate) fn intent_of(request: &Request, mutation: &Mutation) -> Option<(Payment, Operation)> {
    let mut book = Book::default();
    if let Mutation::Charge { payee, currency, .. } = mutation {
        let (tenant, at) = (request.tenant, request.at);
        book.open(Account::open(tenant, *payee, Role::Wallet, *currency, 0, at));
    }
    match book.apply(&Command::Mutate(request.clone(), mutation.clone())) {
        Reply::Started(operation, payment) => Some((*payment, operation)),
        _ => None,
    }
}

/// The request that a command answers, and what it names.
pub(super) fn request_key(command: &Command) -> Option<(TenantId, &IdempotencyKey)> {
    command.asked().map(|(request, _)| (request.tenant, &request.key))
}
