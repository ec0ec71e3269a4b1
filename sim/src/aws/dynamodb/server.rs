//! The server: one Region's DynamoDB on a listener for clients and one for the other Regions.

use super::super::wire::{
    self, Answer, Call, Error, JsonVersion, Protocol, RequestIdStyle, Service, Signing,
};
use super::config::Config;
use super::error;
use super::global::counters::Counters;
use super::key::ItemKey;
use super::region::Region;
use crate::fault::{FaultHandle, FaultId, Service as Kind, ServiceFault};
use serde_json::Value;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

/// One Region's DynamoDB: its state, and the handle to it.
///
/// Clones are handles to the same Region. The state belongs to the handle, not to a running server: a server whose
/// host died can be started again on it, as AWS keeps its data.
#[derive(Clone)]
pub struct DynamoDb {
    region: Arc<Region>,
    protocol: Arc<Protocol>,
}

impl DynamoDb {
    /// A Region with no tables.
    ///
    /// # Errors
    /// The storage engine could not be opened.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut signing = Signing::new("dynamodb", &config.region);
        signing.skew_limit = config.skew_limit;
        signing.required = config.signatures_required;
        let protocol = Protocol {
            json: JsonVersion::V1_0,
            targets: &["DynamoDB_20120810", "DynamoDBStreams_20120810"],
            signing,
            request_ids: RequestIdStyle::Opaque,
            checksums: true,
            health: format!("healthy: dynamodb.{}.amazonaws.com ", config.region),
            seed: config.seed,
        };
        Ok(Self {
            region: Arc::new(Region::new(config)?),
            protocol: Arc::new(protocol),
        })
    }

    /// Serves clients and other Regions until dropped. Must run inside a tokio runtime with time and I/O; one
    /// `current_thread` runtime serves any number of Regions.
    ///
    /// # Errors
    /// A listener failed.
    pub async fn run(self, clients: TcpListener, regions: TcpListener) -> io::Result<()> {
        self.region.give_up_unfinished();
        let tasks = Tasks::start(&self.region);
        let service = Arc::new(Front {
            region: Arc::clone(&self.region),
            protocol: Arc::clone(&self.protocol),
        });
        let result = tokio::select! {
            // Unbiased selection would draw from a generator that no seed controls.
            biased;
            result = wire::serve(clients, service) => result,
            result = self.region.answer_regions(regions) => result,
        };
        drop(tasks);
        result
    }

    /// The Region's name.
    pub fn region(&self) -> &str {
        &self.region.config.region
    }

    /// The faults of requests and of replication.
    pub fn faults(&self) -> &FaultHandle {
        &self.region.faults
    }

    /// This Region's account of replication.
    pub fn counters(&self) -> Counters {
        self.region.account()
    }

    /// Every item of a table in this Region, as DynamoDB JSON, without going through the wire, faults or capacity. For
    /// an oracle.
    ///
    /// # Errors
    /// There is no such table.
    pub fn items(&self, table: &str) -> Result<Vec<Value>, Error> {
        self.region.engine.items(table)
    }

    /// One item of a table in this Region, likewise.
    ///
    /// # Errors
    /// There is no such table.
    pub fn item(&self, key: &ItemKey) -> Result<Option<Value>, Error> {
        self.region.engine.image(key)
    }
}

/// The Region's own activity; ends with the server that started it.
struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Tasks {
    fn start(region: &Arc<Region>) -> Self {
        let mut tasks = Vec::new();
        for name in region.outbound.keys() {
            let (own, name_of_peer) = (Arc::clone(region), name.clone());
            tasks.push(tokio::spawn(async move {
                if let Some(outbound) = own.outbound.get(&name_of_peer) {
                    outbound.link.run().await;
                }
            }));
            let (own, name_of_peer) = (Arc::clone(region), name.clone());
            tasks.push(tokio::spawn(async move {
                if let Some(outbound) = own.outbound.get(&name_of_peer) {
                    own.ship(&name_of_peer, outbound).await;
                }
            }));
        }
        let own = Arc::clone(region);
        tasks.push(tokio::spawn(async move { own.expire().await }));
        Self(tasks)
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// The Region behind the wire.
struct Front {
    region: Arc<Region>,
    protocol: Arc<Protocol>,
}

impl Service for Front {
    async fn call(&self, call: Call) -> Answer {
        self.region.serve(call.operation, call.body).await
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// `POST /_sumzero/faults`: the list in the body takes the place of all faults in force. Answers with their ids.
    fn admin(&self, path: &str, body: &[u8]) -> Option<Result<String, Error>> {
        if !self.region.config.admin || path != "/_sumzero/faults" {
            return None;
        }
        let faults: Vec<ServiceFault> = match serde_json::from_slice(body) {
            Ok(faults) => faults,
            Err(wrong) => {
                return Some(Err(error::validation(format!(
                    "the body is no list of faults: {wrong}"
                ))));
            }
        };
        if let Some(wrong) = faults.iter().find_map(|fault| fault.check(Kind::Dynamodb).err()) {
            return Some(Err(error::validation(wrong.to_string())));
        }
        let board = &self.region.faults;
        board.end_all();
        let ids: Vec<FaultId> = faults
            .into_iter()
            .filter_map(|fault| board.begin(fault).ok())
            .collect();
        Some(serde_json::to_string(&ids).map_err(|_| error::internal()))
    }
}
