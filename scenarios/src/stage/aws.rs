//! The simulated AWS services on their hosts, and the official SDK pointed at them.

use std::time::Duration;

use payments::{node::Clients, region::GlobalDatabase};
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

/// The Global Database's identifier.
const GLOBAL_CLUSTER: &str = "ledger";

/// One Aurora Global Database.
pub(super) fn aurora(mut world: World, seed: u64) -> (World, GlobalCluster) {
    let regions = REGIONS.iter().enumerate().map(|(number, region)| {
        let ip = network::aurora(number);
        RegionConfig {
            region: (*region).to_owned(),
            endpoint: at(ip, POSTGRES),
            reader_endpoint: at(ip, POSTGRES_READER),
            replication: at(ip, POSTGRES_REPLICATION),
        }
    });
    let config = cluster::Config::new(GLOBAL_CLUSTER, seed, regions.collect());
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
    (world, database)
}

/// A Region's cluster endpoint.
pub(super) fn ledger(region: usize, user: &str) -> PgConnectOptions {
    endpoint(region, POSTGRES, user)
}

/// A Region's reader endpoint.
pub(super) fn replica(region: usize, user: &str) -> PgConnectOptions {
    endpoint(region, POSTGRES_READER, user)
}

fn endpoint(region: usize, port: u16, user: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&network::aurora(region).to_string())
        .port(port)
        .username(user)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}

macro_rules! client {
    ($sdk:ident, $region:expr, $address:expr) => {{
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
            .region(Region::new($region))
            .endpoint_url(format!("http://{}", $address))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "stage"))
            .retry_partition(tokens)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        $sdk::Client::from_conf(config)
    }};
}

pub(super) use client;

/// The ledger's Global Database, asked for through the RDS API of a Region.
pub(super) fn global_database(region: usize) -> GlobalDatabase {
    let arn = |region: &&str| {
        let arn = format!("arn:aws:rds:{region}:123456789012:cluster:{GLOBAL_CLUSTER}-{region}");
        ((*region).to_owned(), arn)
    };
    let clusters = REGIONS.iter().map(arn).collect();
    let client = client!(aws_sdk_rds, REGIONS[region], at(network::aurora(region), RDS));
    GlobalDatabase::new(client, GLOBAL_CLUSTER, clusters)
}

/// The official SDK with its default retries, in a Region.
pub(super) fn clients(region: usize) -> Clients {
    Clients {
        dynamodb: client!(
            aws_sdk_dynamodb,
            REGIONS[region],
            at(network::dynamodb(region), DYNAMODB)
        ),
        eventbridge: client!(
            aws_sdk_eventbridge,
            REGIONS[region],
            at(network::eventbridge(region), HTTP)
        ),
        sqs: client!(aws_sdk_sqs, REGIONS[region], at(network::sqs(region), HTTP)),
    }
}
