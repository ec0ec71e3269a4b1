//! The simulated AWS services on their hosts, and the official SDK pointed at them.

use std::time::Duration;

use payments::node::Clients;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sumzero_sim::{
    Host, World,
    aws::{
        aurora::cluster::{self, GlobalCluster, Listeners, RegionConfig},
        dynamodb::{Config, DynamoDb},
    },
    fault::Service,
};
use tokio::net::TcpListener;

use super::network::{
    self, DYNAMODB, DYNAMODB_REPLICATION, HTTP, POSTGRES, POSTGRES_READER, POSTGRES_REPLICATION, RDS,
    REGIONS, at,
};

/// DynamoDB in every Region.
pub(super) fn dynamodb(mut world: World, seed: u64) -> World {
    for (number, region) in REGIONS.iter().enumerate() {
        let mut config = Config::new(*region, seed);
        for (peer, name) in REGIONS.iter().enumerate().filter(|(_, name)| *name != region) {
            let address = at(network::dynamodb(peer), DYNAMODB_REPLICATION);
            config.peers.insert((*name).to_owned(), address);
        }
        let database = DynamoDb::new(config).expect("an engine in memory");
        world = world.service(Service::Dynamodb, *region, database.faults());
        let host = Host::new(format!("dynamodb-{region}"))
            .region(*region)
            .ip(network::dynamodb(number))
            .run(move || {
                let database = database.clone();
                async move {
                    let clients = TcpListener::bind(("0.0.0.0", DYNAMODB)).await?;
                    let regions = TcpListener::bind(("0.0.0.0", DYNAMODB_REPLICATION)).await?;
                    database.run(clients, regions).await
                }
            });
        world = world.host(host.restarts_after(Duration::from_secs(1)));
    }
    world
}

/// One Aurora Global Database.
pub(super) fn aurora(mut world: World, seed: u64) -> World {
    let regions = REGIONS.iter().enumerate().map(|(number, region)| {
        let ip = network::aurora(number);
        RegionConfig {
            region: (*region).to_owned(),
            endpoint: at(ip, POSTGRES),
            reader_endpoint: at(ip, POSTGRES_READER),
            replication: at(ip, POSTGRES_REPLICATION),
        }
    });
    let config = cluster::Config::new("ledger", seed, regions.collect());
    let database = GlobalCluster::new(config).expect("three different Regions");
    for (number, region) in REGIONS.iter().enumerate() {
        let cluster = database.cluster(region).expect("one of its Regions");
        world = world.service(Service::Aurora, *region, cluster.faults());
        let host = Host::new(format!("aurora-{region}"))
            .region(*region)
            .ip(network::aurora(number))
            .run(move || {
                let cluster = cluster.clone();
                async move {
                    let listeners = Listeners {
                        cluster: TcpListener::bind(("0.0.0.0", POSTGRES)).await?,
                        reader: TcpListener::bind(("0.0.0.0", POSTGRES_READER)).await?,
                        replication: TcpListener::bind(("0.0.0.0", POSTGRES_REPLICATION)).await?,
                        api: TcpListener::bind(("0.0.0.0", RDS)).await?,
                    };
                    cluster.run(listeners).await
                }
            });
        world = world.host(host.restarts_after(Duration::from_secs(1)));
    }
    world
}

/// The ledger's database in the Region that writes.
pub(super) fn ledger(user: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&network::aurora(0).to_string())
        .port(POSTGRES)
        .username(user)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}

macro_rules! client {
    ($sdk:ident, $address:expr) => {{
        use $sdk::config::{
            BehaviorVersion, Config, Credentials, Region,
            retry::{RetryPartition, TokenBucket},
        };
        // The SDK keeps what retries cost for the whole process, and each host here is a process of its own.
        let tokens = RetryPartition::custom("own")
            .token_bucket(TokenBucket::default())
            .build();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGIONS[0]))
            .endpoint_url(format!("http://{}", $address))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "stage"))
            .retry_partition(tokens)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        $sdk::Client::from_conf(config)
    }};
}

/// The official SDK with its default retries, in the Region that writes.
pub(super) fn clients() -> Clients {
    Clients {
        dynamodb: client!(aws_sdk_dynamodb, at(network::dynamodb(0), DYNAMODB)),
        eventbridge: client!(aws_sdk_eventbridge, at(network::eventbridge(0), HTTP)),
        sqs: client!(aws_sdk_sqs, at(network::sqs(0), HTTP)),
    }
}
