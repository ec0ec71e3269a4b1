//! Random sequences of requests and outcomes against a model of the ledger that fits on a page.

use std::collections::BTreeMap;

use payments::{
    id::AccountId,
    ledger::{Grouping, Mutation, Operation, OperationKind, Reply},
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::books::{Books, amount, charge, done, refused};

const WALLETS: usize = 3;

/// A step of a history. Wallets and payments are named by their place.
#[derive(Clone, Debug)]
enum Step {
    Charge {
        payee: usize,
        units: i64,
        capture: bool,
    },
    Capture {
        payment: usize,
        units: Option<i64>,
    },
    Void {
        payment: usize,
    },
    Refund {
        payment: usize,
        units: Option<i64>,
    },
    Settle {
        payer: usize,
        payee: usize,
        units: i64,
        fee: i64,
    },
    Freeze {
        wallet: usize,
        frozen: bool,
    },
    Resolve {
        pending: usize,
        success: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let wallet = 0..WALLETS;
    let payment = 0_usize..6;
    // Amounts near one another, so that they collide with balances.
    let units = prop_oneof![1_i64..=5, Just(100), Just(150)];
    let some_units = proptest::option::of(units.clone());
    prop_oneof![
        3 => (wallet.clone(), units.clone(), any::<bool>())
            .prop_map(|(payee, units, capture)| Step::Charge { payee, units, capture }),
        2 => (payment.clone(), some_units.clone()).prop_map(|(payment, units)| Step::Capture { payment, units }),
        1 => payment.clone().prop_map(|payment| Step::Void { payment }),
        2 => (payment, some_units).prop_map(|(payment, units)| Step::Refund { payment, units }),
        3 => (wallet.clone(), wallet.clone(), units, 0_i64..3)
            .prop_map(|(payer, payee, units, fee)| Step::Settle { payer, payee, units, fee: fee.min(units - 1) }),
        1 => (wallet, any::<bool>()).prop_map(|(wallet, frozen)| Step::Freeze { wallet, frozen }),
        8 => (0_usize..4, prop::bool::weighted(0.8)).prop_map(|(pending, success)| Step::Resolve { pending, success }),
    ]
}

/// What a client may know of a payment.
#[derive(Clone, Copy, Default)]
struct Known {
    authorized: i64,
    captured: i64,
    refunded: i64,
    busy: bool,
    settlement: Option<(usize, usize, i64, i64)>,
}

/// The ledger on a page: wallets hold numbers, payments hold numbers, requests move them or are refused.
#[derive(Default)]
struct Model {
    balance: [i64; WALLETS],
    reserved: [i64; WALLETS],
    frozen: [bool; WALLETS],
    fees: i64,
    payments: Vec<Known>,
    payee: Vec<usize>,
}

impl Model {
    fn available(&self, wallet: usize) -> i64 {
        self.balance[wallet] - self.reserved[wallet]
    }

    /// Whether a request is accepted; then it has been done.
    fn accepts(&mut self, step: &Step) -> bool {
        let known = |payment: usize| {
            self.payments
                .get(payment)
                .copied()
                .filter(|known| !known.busy && known.settlement.is_none())
        };
        let part = |left: i64, units: Option<i64>| left > 0 && units.unwrap_or(left) <= left;
        match *step {
            Step::Charge { payee, .. } => {
                let accepted = !self.frozen[payee];
                if accepted {
                    self.payments.push(Known {
                        busy: true,
                        ..Known::default()
                    });
                    self.payee.push(payee);
                }
                accepted
            }
            Step::Capture { payment, units } => {
                let accepted =
                    known(payment).is_some_and(|known| part(known.authorized - known.captured, units));
                self.begin(payment, accepted)
            }
            Step::Void { payment } => {
                let accepted =
                    known(payment).is_some_and(|known| part(known.authorized - known.captured, None));
                self.begin(payment, accepted)
            }
            Step::Refund { payment, units } => {
                let Some(known) = known(payment) else { return false };
                let left = known.captured - known.refunded;
                let (wallet, taken) = (self.payee[payment], units.unwrap_or(left));
                let accepted = part(left, units) && !self.frozen[wallet] && self.available(wallet) >= taken;
                if accepted {
                    self.reserved[wallet] += taken;
                }
                self.begin(payment, accepted)
            }
            Step::Settle {
                payer,
                payee,
                units,
                fee,
            } => {
                let accepted = payer != payee
                    && !self.frozen[payer]
                    && !self.frozen[payee]
                    && self.available(payer) >= units;
                if accepted {
                    self.balance[payer] -= units;
                    let settlement = Some((payer, payee, units, fee));
                    self.payments.push(Known {
                        busy: true,
                        settlement,
                        ..Known::default()
                    });
                    self.payee.push(payee);
                }
                accepted
            }
            Step::Freeze { wallet, frozen } => {
                self.frozen[wallet] = frozen;
                true
            }
            Step::Resolve { .. } => unreachable!("no request"),
        }
    }

    fn begin(&mut self, payment: usize, accepted: bool) -> bool {
        if accepted {
            self.payments[payment].busy = true;
        }
        accepted
    }

    /// The outside has spoken. Whatever it says is booked.
    fn outcome(&mut self, payment: usize, kind: OperationKind, units: i64, success: bool) {
        let wallet = self.payee[payment];
        let known = &mut self.payments[payment];
        known.busy = kind == OperationKind::Verify && success;
        match (kind, success) {
            (OperationKind::Authorize, true) => known.authorized = units,
            (OperationKind::Sale, true) => {
                (known.authorized, known.captured) = (units, units);
                self.balance[wallet] += units;
            }
            (OperationKind::Capture, true) => {
                known.captured += units;
                self.balance[wallet] += units;
            }
            (OperationKind::Void, true) => known.authorized -= units,
            (OperationKind::Refund, _) => {
                self.reserved[wallet] -= units;
                if success {
                    known.refunded += units;
                    self.balance[wallet] -= units;
                }
            }
            (OperationKind::Verify | OperationKind::Payout, _) => {
                let (payer, payee, units, fee) = known.settlement.expect("a settlement");
                let net = units - fee;
                match (kind, success) {
                    (OperationKind::Verify, true) => {
                        self.balance[payee] += net;
                        self.reserved[payee] += net;
                        self.fees += fee;
                    }
                    (OperationKind::Verify, false) => self.balance[payer] += units,
                    (_, success) => {
                        self.balance[payee] -= net;
                        self.reserved[payee] -= net;
                        if !success {
                            self.balance[payer] += units;
                            self.fees -= fee;
                        }
                    }
                }
            }
            (_, false) => {}
        }
    }
}

/// A history on the real ledger, compared with the model at every step.
async fn play(steps: &[Step]) {
    let books = Books::grouped(Grouping {
        lanes: 1,
        ..Grouping::default()
    })
    .await;
    let mut wallets: Vec<AccountId> = Vec::new();
    for _ in 0..WALLETS {
        wallets.push(books.wallet("EUR").await);
    }
    let mut model = Model::default();
    let mut payments = Vec::new();
    let mut pending: Vec<Operation> = Vec::new();
    let mut places = BTreeMap::new();
    for step in steps {
        let at = |place: usize| {
            payments
                .get(place)
                .copied()
                .unwrap_or(payments::id::PaymentId(uuid::Uuid::nil()))
        };
        let some = |units: Option<i64>| units.map(amount);
        let mutation = match *step {
            Step::Resolve {
                pending: place,
                success,
            } => {
                if pending.is_empty() {
                    continue;
                }
                let operation = pending.remove(place % pending.len());
                let reply = books
                    .resolve(&operation, if success { done() } else { refused() })
                    .await;
                let Reply::Resolved { next, .. } = reply else {
                    panic!("{step:?}: {reply:?}")
                };
                let payment: usize = places[&operation.id.payment];
                model.outcome(payment, operation.id.kind, operation.amount.get(), success);
                pending.extend(next);
                check(&books, &wallets, &model).await;
                continue;
            }
            Step::Charge {
                payee,
                units,
                capture,
            } => charge(wallets[payee], units, "EUR", capture),
            Step::Capture { payment, units } => Mutation::Capture {
                payment: at(payment),
                amount: some(units),
            },
            Step::Void { payment } => Mutation::Void { payment: at(payment) },
            Step::Refund { payment, units } => Mutation::Refund {
                payment: at(payment),
                amount: some(units),
            },
            Step::Settle {
                payer,
                payee,
                units,
                fee,
            } => Mutation::Settle {
                payer: wallets[payer],
                payee: wallets[payee],
                amount: amount(units),
                currency: "EUR".parse().unwrap(),
                fee,
            },
            Step::Freeze { wallet, frozen } => Mutation::SetFrozen {
                account: wallets[wallet],
                frozen,
            },
        };
        let reply = books.ask(mutation).await.unwrap();
        let accepted = !matches!(reply, Reply::Refused(_));
        assert_eq!(accepted, model.accepts(step), "{step:?}: {reply:?}");
        let operation = match reply {
            Reply::Started(operation, _) => Some(operation),
            Reply::Resolved { next, .. } => next,
            _ => None,
        };
        if let Some(operation) = operation {
            places.entry(operation.id.payment).or_insert_with(|| {
                payments.push(operation.id.payment);
                payments.len() - 1
            });
            pending.push(operation);
        }
        check(&books, &wallets, &model).await;
    }
    books.audit().await;
}

async fn check(books: &Books, wallets: &[AccountId], model: &Model) {
    for (place, wallet) in wallets.iter().enumerate() {
        let account = books.account(*wallet).await;
        assert_eq!(account.balance(), model.balance[place], "wallet {place}");
        assert_eq!(
            account.available(),
            Some(model.available(place)),
            "wallet {place}"
        );
    }
}

#[test]
fn random_histories_agree_with_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let cases = std::env::var("PAYMENTS_TEST_HISTORIES").map_or(24, |cases| cases.parse().expect("a number"));
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(Default::default()),
    )
    .run(&prop::collection::vec(step(), 1..60), |steps| {
        runtime.block_on(play(&steps));
        Ok(())
    })
    .unwrap();
}
