//! A Global Database of up to three Regions, each on a host of its own, and clients that note what they see.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sumzero_sim::aws::aurora::cluster::{Config, GlobalCluster, Listeners, RegionConfig};
use sumzero_sim::fault::{Service, ServiceFault};
use sumzero_sim::{Fault, Host, World};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "sa-east-1"];
const CLUSTER: u16 = 5432;
const READER: u16 = 5433;
const REPLICATION: u16 = 5434;
pub(crate) const API: u16 = 8080;

/// What clients saw, for the test to read.
pub(crate) type Notes<T> = Arc<Mutex<Vec<T>>>;

fn at(region: usize, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, region as u8, 0, 1), port).into()
}

/// The cluster endpoint of a Region.
pub(crate) fn cluster(region: usize) -> SocketAddr {
    at(region, CLUSTER)
}

/// The reader endpoint of a Region.
pub(crate) fn reader(region: usize) -> SocketAddr {
    at(region, READER)
}

/// A database in the first so many Regions.
pub(crate) fn config(seed: u64, regions: usize) -> Config {
    let members = REGIONS.iter().enumerate().take(regions);
    let members = members.map(|(n, region)| RegionConfig {
        region: (*region).to_owned(),
        endpoint: cluster(n),
        reader_endpoint: reader(n),
        replication: at(n, REPLICATION),
    });
    Config::new("ledger", seed, members.collect())
}

/// A world with a database in it: hosts `aurora-REGION`.
pub(crate) fn world(seed: u64, config: Config) -> (World, GlobalCluster) {
    let count = config.regions.len();
    let database = GlobalCluster::new(config).unwrap();
    let mut world = World::new(seed);
    for (n, region) in REGIONS.iter().enumerate().take(count) {
        let cluster = database.cluster(region).unwrap();
        world = world.service(Service::Aurora, *region, cluster.faults());
        let host = Host::new(format!("aurora-{region}"))
            .region(*region)
            .ip(Ipv4Addr::new(10, n as u8, 0, 1))
            .run(move || {
                let cluster = cluster.clone();
                async move {
                    let listeners = Listeners {
                        cluster: TcpListener::bind(("0.0.0.0", CLUSTER)).await?,
                        reader: TcpListener::bind(("0.0.0.0", READER)).await?,
                        replication: TcpListener::bind(("0.0.0.0", REPLICATION)).await?,
                        api: TcpListener::bind(("0.0.0.0", API)).await?,
                    };
                    cluster.run(listeners).await
                }
            });
        world = world.host(host);
    }
    (world, database)
}

/// A client in a Region. Its program gets the notes.
pub(crate) fn client<T, P, F>(name: &str, region: usize, notes: &Notes<T>, program: P) -> Host
where
    T: Send + 'static,
    P: Fn(Notes<T>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), sqlx::Error>> + 'static,
{
    let notes = notes.clone();
    Host::new(name)
        .region(REGIONS[region])
        .run(move || program(notes.clone()))
}

/// A connection, within 3 s.
pub(crate) async fn connect(address: SocketAddr) -> Result<PgConnection, sqlx::Error> {
    let connected = timeout(seconds(3), connect_patiently(address)).await;
    connected.map_err(|late| sqlx::Error::Io(late.into()))?
}

/// A connection, however long it takes.
pub(crate) async fn connect_patiently(address: SocketAddr) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&address.ip().to_string())
        .port(address.port())
        .username("postgres")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable);
    options.connect().await
}

/// A table of entries, in a database that was empty.
pub(crate) async fn open_ledger(region: usize) -> Result<PgConnection, sqlx::Error> {
    let mut connection = connect(cluster(region)).await?;
    sqlx::raw_sql(
        "CREATE TABLE entry (id bigint PRIMARY KEY, amount bigint NOT NULL); CREATE INDEX ON entry (amount)",
    )
    .execute(&mut connection)
    .await?;
    Ok(connection)
}

pub(crate) async fn post(connection: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("INSERT INTO entry VALUES ($1, 10)").bind(id);
    let done = timeout(Duration::from_secs(3), insert.execute(connection)).await;
    done.map_err(|late| sqlx::Error::Io(late.into()))??;
    Ok(())
}

pub(crate) async fn entries(connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM entry ORDER BY id")
        .fetch_all(connection)
        .await
}

/// Asks for the entries until the answer comes.
pub(crate) async fn entries_when_up(address: SocketAddr) -> Vec<i64> {
    loop {
        if let Ok(mut connection) = connect(address).await
            && let Ok(entries) = entries(&mut connection).await
        {
            return entries;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

pub(crate) fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map_or_else(|| "no answer".to_owned(), std::borrow::Cow::into_owned)
}

/// A fault of one Region's cluster.
pub(crate) fn aurora(region: usize, fault: ServiceFault) -> Fault {
    Fault::Service {
        service: Service::Aurora,
        region: REGIONS[region].to_owned(),
        fault,
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
