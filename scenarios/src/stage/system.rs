//! Processes of the payment system and of its providers.

use std::{net::Ipv4Addr, time::Duration};

use payments::{
    api::LimitConfig,
    engine::EngineConfig,
    external::{BreakerConfig, DependencyConfig},
    gate::GateConfig,
    ledger::{Grouping, Schema},
    messages::{ConsumerConfig, RelayConfig},
    node::{self, NodeConfig, PromotionConfig, Role},
    reconcile::ReconcilerConfig,
    region::{ControllerConfig, KeeperConfig, RepairConfig},
    sweeper::SweeperConfig,
};
use sumzero_sim::Host;
use tokio::net::TcpListener;

use crate::{externals::Provider, script::Script};

use super::{
    Notes, arc, aws,
    network::{self, HTTP, REGIONS, at},
    rollout,
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

pub(super) fn config(region: usize, script: &Script) -> NodeConfig {
    let tuning = &script.tuning;
    let lease = tuning.operation_lease;
    let urls = |region: usize| {
        let url = |number| format!("http://{}", at(network::gateway(region, number).ip, HTTP));
        (
            REGIONS[region].to_owned(),
            (0..script.gateways).map(url).collect(),
        )
    };
    NodeConfig {
        roles: [Role::Gateway, Role::Sweeper, Role::Controller].into(),
        region: REGIONS[region].to_owned(),
        database: aws::ledger(region, "payments_service"),
        worker_database: aws::ledger(region, "payments_worker"),
        replica_database: aws::replica(region, "payments_service"),
        consumer_database: aws::ledger(region, "payments_consumer"),
        schema: Schema::default(),
        keeper: KeeperConfig::default(),
        gateways: (0..REGIONS.len()).map(urls).collect(),
        promotion: Some(PromotionConfig {
            database: aws::global_database(region),
            controller_database: aws::ledger(region, "payments_controller"),
            controller: ControllerConfig::default(),
            repair: RepairConfig::default(),
            repair_gate: GateConfig::default(),
            controls: Some(arc::controls()),
        }),
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
        // Less often than elsewhere: looking in vain is most of what an idle process does.
        sweeper: SweeperConfig {
            interval: Duration::from_secs(2),
            lease,
            ..SweeperConfig::default()
        },
        relay: RelayConfig {
            interval: Duration::from_secs(2),
            ..RelayConfig::default()
        },
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

/// A process that serves clients, takes up what others left and watches the Region that writes. When it ends it is started
/// again, as an orchestrator does.
pub(super) fn gateway(
    region: usize,
    number: u8,
    script: &Script,
    notes: &Notes,
    set_up: fn(&mut NodeConfig),
) -> Host {
    let place = network::gateway(region, number);
    let (script, notes, name) = (script.clone(), notes.clone(), place.name.clone());
    let host = Host::new(place.name).region(REGIONS[region]).ip(place.ip);
    let host = host.run(move || {
        let (schema, drained) = rollout::process(&script, &notes, &name);
        let mut config = NodeConfig {
            schema,
            ..config(region, &script)
        };
        set_up(&mut config);
        async move {
            let listener = TcpListener::bind(("0.0.0.0", HTTP)).await?;
            node::run(config, aws::clients(region), listener, drained).await
        }
    });
    host.restarts_after(Duration::from_secs(2))
}
