//! Simulated DynamoDB through the official SDK: a request, the same request to a server that does nothing, and the start of
//! three Regions.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Config, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use sumzero_sim::aws::dynamodb::{self, DynamoDb};
use sumzero_sim::{Host, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::services::{ASKED_BEFORE, ready};

const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];
const TABLES: usize = 6;
const CLIENT_PORT: u16 = 8000;
const REGION_PORT: u16 = 8001;

/// What is asked again and again.
#[derive(Clone, Copy)]
pub enum Request {
    /// A conditional put of a new item.
    Put,
    /// A strongly consistent read of an item.
    Get,
}

/// One Region, and a client that asks so many times, one after the other.
pub fn requests(request: Request, count: u64) -> World {
    let world = regions(&REGIONS[..1]);
    world.client(Host::new("client").region("clients").run(move || async move {
        create(&client(0), "things").await?;
        ask(request, count).await
    }))
}

/// The same client, and in the Region's place a server that reads each request up to its end and sends a fixed answer: what
/// the SDK and the world cost by themselves.
pub fn floor(request: Request, count: u64) -> World {
    let server = Host::new("server").region(REGIONS[0]).ip([10, 0, 0, 1]);
    let world = World::new(1).host(server.run(|| async {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).await?;
        // The SDK's one client keeps its one connection.
        agree(listener.accept().await?.0).await
    }));
    world.client(
        Host::new("client")
            .region("clients")
            .run(move || ask(request, count)),
    )
}

/// Answers everything with an item, which a put passes over.
async fn agree(mut tcp: TcpStream) -> io::Result<()> {
    const BODY: &str = r#"{"Item":{"id":{"S":"0"},"owner":{"S":"a-client"}}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    tcp.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    loop {
        // A request's head has no brace, and hyper writes head and body at once.
        while !request.ends_with(b"}") {
            if tcp.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        request.clear();
        tcp.write_all(answer.as_bytes()).await?;
    }
}

async fn ask(request: Request, count: u64) -> Result<(), aws_sdk_dynamodb::Error> {
    let dynamodb = client(0);
    put(&dynamodb, "0").await?;
    for asked in 0..ASKED_BEFORE + count {
        ready(asked).await;
        match request {
            Request::Put => put(&dynamodb, &(asked + 1).to_string()).await?,
            Request::Get => {
                let get = dynamodb
                    .get_item()
                    .table_name("things")
                    .key("id", AttributeValue::S("0".to_owned()));
                let got = get.consistent_read(true).send().await?;
                assert!(got.item.is_some());
            }
        }
    }
    Ok(())
}

/// Three Regions in which a client makes six tables, two in each.
pub fn start() -> World {
    regions(&REGIONS).client(Host::new("client").region("clients").run(|| async {
        for table in 0..TABLES {
            create(&client(table % REGIONS.len()), &format!("table-{table}")).await?;
        }
        Ok::<_, aws_sdk_dynamodb::Error>(())
    }))
}

fn address(region: usize, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, region as u8 + 1), port))
}

fn regions(names: &[&str]) -> World {
    let mut world = World::new(1);
    for (number, name) in names.iter().enumerate() {
        let peers = names.iter().enumerate().filter(|(other, _)| *other != number);
        let peers = peers.map(|(other, name)| ((*name).to_owned(), address(other, REGION_PORT)));
        let mut config = dynamodb::Config::new(*name, 1);
        config.peers = BTreeMap::from_iter(peers);
        let handle = DynamoDb::new(config).expect("an engine");
        let host = Host::new(format!("dynamodb-{name}"))
            .region(*name)
            .ip([10, 0, 0, number as u8 + 1]);
        world = world.host(host.run(move || {
            let handle = handle.clone();
            async move {
                let clients = TcpListener::bind((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).await?;
                let regions = TcpListener::bind((Ipv4Addr::UNSPECIFIED, REGION_PORT)).await?;
                handle.run(clients, regions).await
            }
        }));
    }
    world
}

fn client(region: usize) -> Client {
    let config = Config::builder()
        .behavior_version_latest()
        .region(Region::new(REGIONS[region]))
        .credentials_provider(Credentials::new("key", "secret", None, None, "bench"))
        .endpoint_url(format!("http://{}", address(region, CLIENT_PORT)))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

async fn create(dynamodb: &Client, table: &str) -> Result<(), aws_sdk_dynamodb::Error> {
    let key = KeySchemaElement::builder()
        .attribute_name("id")
        .key_type(KeyType::Hash);
    let id = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S);
    let create = dynamodb
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest);
    create
        .key_schema(key.build()?)
        .attribute_definitions(id.build()?)
        .send()
        .await?;
    Ok(())
}

async fn put(dynamodb: &Client, id: &str) -> Result<(), aws_sdk_dynamodb::Error> {
    let put = dynamodb
        .put_item()
        .table_name("things")
        .item("id", AttributeValue::S(id.to_owned()))
        .item("owner", AttributeValue::S("a-client".to_owned()));
    put.condition_expression("attribute_not_exists(id)")
        .send()
        .await?;
    Ok(())
}
