//! Processes of the payment system and of its providers.

use std::{net::Ipv4Addr, time::Duration};

use payments::{
    api::LimitConfig,
    engine::EngineConfig,
    external::{BreakerConfig, DependencyConfig},
    gate::GateConfig,
    ledger::Grouping,
    messages::{ConsumerConfig, RelayConfig},
    node::{self, NodeConfig, Role},
    reconcile::ReconcilerConfig,
    sweeper::SweeperConfig,
};
use sumzero_sim::Host;
use tokio::net::TcpListener;

use crate::{externals::Provider, script::Tuning};

use super::{
    aws,
    network::{self, HTTP, REGIONS, at},
};

/// A provider. What it knows outlives its process.
pub(super) fn provider(name: &str, ip: Ipv4Addr, provider: &Provider) -> Host {
    let provider = provider.clone();
    let host = Host::new(name).region("providers").ip(ip).run(move || {
        let provider = provider.clone();
        async move { provider.serve(TcpListener::bind(("0.0.0.0", HTTP)).await?).await }
    });
    host.restarts_after(Duration::from_secs(1))
}

pub(super) fn config(tuning: &Tuning) -> NodeConfig {
    let lease = tuning.operation_lease;
    NodeConfig {
        roles: [Role::Gateway, Role::Sweeper].into(),
        region: REGIONS[0].to_owned(),
        database: aws::ledger("payments_service"),
        worker_database: aws::ledger("payments_worker"),
        consumer_database: aws::ledger("payments_consumer"),
        connections: 4,
        grouping: Grouping {
            commands_max: tuning.group_max.into(),
            ..Grouping::default()
        },
        gate: GateConfig {
            lease: tuning.gate_lease,
            ..GateConfig::default()
        },
        engine: EngineConfig {
            lease,
            limit: lease / 2,
            attempts_max: tuning.attempts_max.into(),
        },
        sweeper: SweeperConfig {
            lease,
            ..SweeperConfig::default()
        },
        relay: RelayConfig::default(),
        consumer: ConsumerConfig::default(),
        // More often than anybody would elsewhere: worlds are short.
        reconciler: ReconcilerConfig {
            interval: Duration::from_secs(15),
            age_min: Duration::from_secs(30),
            ..ReconcilerConfig::default()
        },
        limits: LimitConfig::default(),
        psp: DependencyConfig {
            key_window: tuning.psp_key_window,
            key_margin: tuning.psp_key_margin,
            ..DependencyConfig::new("psp", format!("http://{}", at(network::PSP, HTTP)))
        },
        kyc: DependencyConfig::new("kyc", format!("http://{}", at(network::KYC, HTTP))),
        // Smaller than in production, where a process makes more calls than a client of a world.
        breaker: BreakerConfig {
            window: 10,
            failures: tuning.breaker_failures.into(),
            ..BreakerConfig::default()
        },
        webhook_secret: "a secret of the stage".to_owned(),
    }
}

/// A process that serves clients and takes up what others left. When it ends it is started again, as an orchestrator does.
pub(super) fn gateway(number: u8, tuning: &Tuning) -> Host {
    let tuning = tuning.clone();
    let host = Host::new(format!("gateway-{number}"))
        .region(REGIONS[0])
        .ip(network::gateway(number));
    let host = host.run(move || {
        let config = config(&tuning);
        async move {
            let listener = TcpListener::bind(("0.0.0.0", HTTP)).await?;
            let never = std::future::pending();
            node::run(config, aws::clients(), listener, never).await
        }
    });
    host.restarts_after(Duration::from_secs(2))
}
