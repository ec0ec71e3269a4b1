//! A stand-in for Global Accelerator: one address, whose TCP connections go to the nearest healthy Region.
//!
//! Modelled: health checks at an interval with a threshold, endpoint groups per Region with a traffic dial of on or off,
//! the nearest Region by the client's address, a random endpoint within it, connections that stay where they are when
//! health changes, failing open when nothing is healthy, and following ARC routing controls.
//! Not modelled: weights, partial traffic dials, client affinity, UDP, the 340 s idle time-out, a second anycast address. AWS
//! ties routing controls to Route 53 health checks rather than to an accelerator; here a control that is Off makes its
//! Region unhealthy, and no more than that: if all are, it fails open all the same.
//!
//! A connection whose endpoint cannot be reached is closed, not tried elsewhere, as in AWS: that a Region is unhealthy is
//! for the health checks to find out, and until then its clients suffer.

mod control;
mod forward;
mod health;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::{Seed, Stream, units};
use health::Health;

/// A Region's endpoints behind the accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointGroup {
    /// The Region.
    pub region: String,
    /// Where its endpoints listen.
    pub endpoints: Vec<SocketAddr>,
    /// The routing control that must be On for the Region to count as healthy.
    #[serde(default)]
    pub routing_control: Option<String>,
}

/// What a health check does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Opens a connection.
    #[default]
    Tcp,
    /// Asks for this path and wants a 200.
    Http(String),
}

/// How health is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// Between two checks of an endpoint: 10 or 30 s in AWS. Default 10 s.
    #[serde(with = "units::duration")]
    pub interval: Duration,
    /// Checks in a row that it takes to change an endpoint's health, either way: 1 to 10. Default 3.
    pub threshold: u32,
    /// How long one check may take. AWS does not say. Default 5 s.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// What a check does.
    pub probe: Probe,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            threshold: 3,
            timeout: Duration::from_secs(5),
            probe: Probe::Tcp,
        }
    }
}

/// An endpoint of the routing-control cluster to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlEndpoint {
    /// The Region it signs for.
    pub region: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How an accelerator is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The Regions, the nearest first for clients whose address is not in `nearest`.
    pub groups: Vec<EndpointGroup>,
    /// For clients at an address: the Regions, the nearest first. Those left out come last.
    #[serde(default)]
    pub nearest: BTreeMap<IpAddr, Vec<String>>,
    /// How health is checked.
    #[serde(default)]
    pub health: HealthCheck,
    /// The cluster that routing controls are asked from; any endpoint will do.
    #[serde(default)]
    pub cluster: Vec<ControlEndpoint>,
    /// Between two questions to the cluster. Default 5 s.
    #[serde(default = "poll_default", with = "units::duration")]
    pub cluster_poll: Duration,
    /// Decides which endpoint of a Region a connection goes to.
    #[serde(default)]
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            nearest: BTreeMap::new(),
            health: HealthCheck::default(),
            cluster: Vec::new(),
            cluster_poll: poll_default(),
            seed: 0,
        }
    }
}

fn poll_default() -> Duration {
    Duration::from_secs(5)
}

/// What has happened so far, for a judge that knows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections sent to each Region.
    pub connections: BTreeMap<String, u64>,
    /// Of all connections, those sent on although nothing was healthy.
    pub failed_open: u64,
    /// Of all connections, those whose endpoint could not be reached.
    pub unreachable: u64,
    /// Times that a Region became healthy or unhealthy.
    pub shifts: u64,
}

/// An accelerator. Clones are the same one: keep one as a handle and serve another.
#[derive(Debug, Clone)]
pub struct Accelerator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    health: Health,
    counts: Counts,
    pick: Stream,
}

impl Accelerator {
    /// Every endpoint counts as healthy until its checks say otherwise, and every routing control as On until the cluster
    /// does.
    pub fn new(options: Options) -> Self {
        let pick = Seed(options.seed).stream("accelerator/pick");
        let health = Health::new(&options);
        Self(Arc::new(Shared {
            options,
            state: Mutex::new(State {
                health,
                counts: Counts::default(),
                pick,
            }),
        }))
    }

    /// Forwards connections and checks health, until the future is dropped; then every connection ends.
    ///
    /// # Errors
    /// None once listening: accept errors are waited out.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut checks = JoinSet::new();
        for (group, endpoints) in self.0.options.groups.iter().enumerate() {
            for endpoint in 0..endpoints.endpoints.len() {
                checks.spawn(self.clone().check_health(group, endpoint));
            }
        }
        if !self.0.options.cluster.is_empty() {
            checks.spawn(self.clone().follow_controls());
        }
        self.forward_all(listener).await
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Which Regions count as healthy now.
    pub fn healthy(&self) -> BTreeMap<String, bool> {
        let state = self.lock();
        let groups = self.0.options.groups.iter().enumerate();
        groups
            .map(|(n, group)| (group.region.clone(), state.health.group(n)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
