//! What a failover may have lost and nobody can find out: left to people.

use std::time::Duration;

use payments::{
    engine::{Engine, EngineConfig, Externals},
    external::{Breaker, BreakerConfig, Dependency, DependencyConfig},
    gate::{Call, Claim, Gate, GateConfig},
    id::{AccountId, Fingerprint, IdempotencyKey, PaymentId, TenantId},
    ledger::{Authority, Grant, Grouping, Ledger, Mutation, Schema, State},
    region::{Repair, RepairConfig},
};
use scenarios::externals::Behaviour;
use serde_json::json;
use sqlx::{
    PgPool,
    types::{Uuid, time::OffsetDateTime},
};
use tokio::sync::watch;

use crate::system::{Client, Surroundings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_charge_of_which_the_provider_says_nothing_is_for_an_operator() {
    let surroundings = tokio::task::spawn_blocking(|| Surroundings::start("fsync = off"))
        .await
        .unwrap();
    let process = surroundings.process(&[]);
    let operator = Client::new(process.address, &surroundings.operator_key);
    let account = operator.open_account("a-1", "EUR").await;
    let tenant: Uuid = sqlx::query_scalar("select tenant_id from tenant")
        .fetch_one(&mut surroundings.superuser().await)
        .await
        .unwrap();
    surroundings.psp.behave(Behaviour {
        hanging: true,
        ..Behaviour::default()
    });

    // A request that came to the gate under the epoch before, and of which the ledger has nothing.
    let gate = Gate::new(surroundings.dynamodb(), GateConfig::default());
    let call = Call {
        tenant: TenantId(tenant),
        key: IdempotencyKey::new("lost").unwrap(),
        fingerprint: Fingerprint::of("POST", "/v1/charges", b"lost"),
        mutation: Mutation::Charge {
            payee: AccountId(account.parse().unwrap()),
            amount: payments::money::Amount::new(700).unwrap(),
            currency: "EUR".parse().unwrap(),
            instrument: "tok_visa".to_owned(),
            capture: true,
        },
    };
    let payment = PaymentId::of_request(call.tenant, &call.key);
    let since = OffsetDateTime::now_utc() - Duration::from_secs(60);
    let claimed = gate.claim(&call, 0, OffsetDateTime::now_utc()).await.unwrap();
    assert!(matches!(claimed, Claim::Mine(_)), "{claimed:?}");

    let (_grants, granted) = watch::channel(Some(Grant::lasting(1)));
    let pool = PgPool::connect_lazy(&surroundings.postgres.url("payments_service", "ledger")).unwrap();
    let ledger = Ledger::new(
        pool,
        "us-east-1",
        Schema::default(),
        Authority::new(granted),
        Grouping::default(),
    );
    let dependency = |name, variable| {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let breaker = Breaker::new(name, surroundings.dynamodb(), BreakerConfig::default());
        let config = DependencyConfig::new(name, surroundings.variable(variable));
        (Dependency::new(http, config), breaker)
    };
    let externals = Externals {
        psp: dependency("psp", "PAYMENTS_PSP_URL"),
        kyc: dependency("kyc", "PAYMENTS_KYC_URL"),
    };
    let engine = Engine::new(ledger.clone(), externals, EngineConfig::default());
    let config = RepairConfig {
        inquiry: Duration::from_secs(1),
        ..RepairConfig::default()
    };
    let repair = Repair::new(gate, engine, config);

    for _ in 0..2 {
        let suspects = repair.run(1, since).await.unwrap();
        assert_eq!(suspects.len(), 1, "{suspects:?}");
        assert!(ledger.payment(call.tenant, payment).await.unwrap().is_none());
    }
    let suspects = repair.run(1, since).await.unwrap();
    repair.give_up(suspects.clone(), 1).await.unwrap();
    // Another controller comes to it too.
    repair.give_up(suspects, 1).await.unwrap();
    let (lost, operations) = ledger.payment(call.tenant, payment).await.unwrap().unwrap();
    assert_eq!((lost.state, operations.len()), (State::Limbo, 1));
    let shown = operator.get(&format!("/v1/accounts/{account}")).await.json();
    assert_eq!(shown["frozen"], true, "{shown}");
    assert_eq!(repair.run(1, since).await.unwrap(), []);

    // An operator finds out by other ways, and decides.
    let listed = operator.get("/v1/limbo").await.json();
    assert_eq!(listed[0]["payment_id"], payment.to_string(), "{listed}");
    let decision = json!({"outcome": "declined", "reason": "not in the provider's books"});
    let path = format!("/v1/limbo/{payment}/decision");
    assert_eq!(operator.post(&path, "d-1", &decision).await.status, 200);
    assert_eq!(surroundings.faults().await, Vec::<String>::new());
    assert!(process.terminate());
}
