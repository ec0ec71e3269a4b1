//! One Regional endpoint of a routing-control cluster: the data plane that `aws-sdk-route53recoverycluster` calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::config::{Configuration, Control, ControlState};
use super::error::Error;
use super::member::{Member, NoQuorum};
use super::state::{Convergence, States, View};
use crate::aws::wire::{
    self, Answer, Call, Faulty, JsonVersion, Protocol, Refusals, RequestIdStyle, Service, Signing, parse,
};
use crate::fault::{FaultHandle, Service as Kind};

/// Entries of one `UpdateRoutingControlStates`, at most.
const ENTRIES_MAX: usize = 100;

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Region it is in, as in signatures.
    pub region: String,
    /// Its place among the members.
    pub member: u8,
    /// Where the members listen for each other, in the same order at each. AWS: five.
    pub members: Vec<SocketAddr>,
    /// Panels, controls and rules, the same at each member.
    pub configuration: Configuration,
    /// How fast a change shows.
    pub convergence: Convergence,
    /// How long another member may take to answer. Default 2 s.
    pub member_timeout: Duration,
    /// Decides the draws of convergence and faults. Default 0.
    pub seed: u64,
    /// What signatures are held to. Default: AWS's rules for this Region.
    pub signing: Signing,
}

impl Options {
    /// The defaults for one of the members.
    pub fn new(
        region: impl Into<String>,
        member: u8,
        members: Vec<SocketAddr>,
        configuration: Configuration,
    ) -> Self {
        let region = region.into();
        Self {
            signing: Signing::new("route53-recovery-cluster", region.clone()),
            region,
            member,
            members,
            configuration,
            convergence: Convergence::default(),
            member_timeout: Duration::from_secs(2),
            seed: 0,
        }
    }
}

/// An endpoint. Clones are the same one: keep one as a handle, since what it has promised the others lives in it, and
/// serve another.
#[derive(Debug, Clone)]
pub struct Endpoint(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    configuration: Configuration,
    controls: BTreeMap<String, Control>,
    view: View,
    member: Arc<Member<States>>,
    faults: FaultHandle,
}

impl Endpoint {
    /// All controls Off.
    ///
    /// # Errors
    /// A configuration that names what it does not have.
    pub fn new(options: Options) -> Result<Self, super::Invalid> {
        options.configuration.check()?;
        let faults = FaultHandle::new(options.seed, Kind::RoutingControl, &options.region);
        let protocol = Protocol {
            json: JsonVersion::V1_0,
            targets: &["ToggleCustomerAPI"],
            signing: options.signing,
            request_ids: RequestIdStyle::Uuid,
            checksums: false,
            health: format!("healthy: route53-recovery-cluster.{}", options.region),
            seed: options.seed,
        };
        let member = Member::new(
            options.member,
            options.members,
            options.member_timeout,
            options.seed,
        );
        Ok(Self(Arc::new(Shared {
            protocol,
            controls: options.configuration.controls(),
            configuration: options.configuration,
            view: View {
                endpoint: options.region,
                convergence: options.convergence,
                seed: options.seed,
            },
            member: Arc::new(member),
            faults,
        })))
    }

    /// Serves clients on one listener and the other members on another, until the future is dropped.
    ///
    /// # Errors
    /// As [`wire::serve`].
    pub async fn serve(self, clients: TcpListener, members: TcpListener) -> io::Result<()> {
        let refusals = Refusals {
            throttled: Error::Throttling.into(),
            failed: Error::InternalServer.into(),
            unavailable: Error::EndpointTemporarilyUnavailable.into(),
        };
        let member = Arc::clone(&self.0.member);
        let faults = self.0.faults.clone();
        tokio::select! {
            // Unbiased selection would draw from a generator that no seed controls.
            biased;
            served = wire::serve(clients, Arc::new(Faulty::new(self, refusals, faults))) => served,
            () = member.serve(members) => Ok(()),
        }
    }

    /// The faults of requests; `unavailable` makes it answer `EndpointTemporarilyUnavailableException`.
    pub fn faults(&self) -> &FaultHandle {
        &self.0.faults
    }

    async fn perform(&self, operation: &str, body: Value) -> Result<Value, wire::Error> {
        let Shared {
            configuration,
            controls,
            view,
            member,
            ..
        } = &*self.0;
        match operation {
            "GetRoutingControlState" => {
                let given: Get = parse(body)?;
                let arn = required(given.routing_control_arn, "RoutingControlArn")?;
                let control = controls.get(&arn).ok_or_else(|| Error::control_not_found(&arn))?;
                let state = view.state(&member.read().await?, &arn, wall());
                Ok(json!({
                    "RoutingControlArn": arn,
                    "RoutingControlName": control.name,
                    "RoutingControlState": state,
                }))
            }
            "ListRoutingControls" => {
                let given: List = parse(body)?;
                let panel = given.control_panel_arn.as_deref();
                if let Some(panel) = panel.filter(|panel| !controls.values().any(|c| c.panel_arn == *panel)) {
                    return Err(Error::ResourceNotFound {
                        id: panel.to_owned(),
                        kind: "ControlPanel",
                    }
                    .into());
                }
                let max = given.max_results.unwrap_or(500);
                if max < 1 {
                    return Err(Error::Validation("MaxResults must be at least 1.".to_owned()).into());
                }
                let (states, now) = (member.read().await?, wall());
                let after = given.next_token.unwrap_or_default();
                let shown = controls
                    .values()
                    .filter(|c| panel.is_none_or(|panel| c.panel_arn == panel));
                let mut shown = shown.filter(|c| c.arn > after).peekable();
                let page: Vec<_> = shown.by_ref().take(max as usize).collect();
                let listed = page.iter().map(|control| {
                    json!({
                        "ControlPanelArn": control.panel_arn,
                        "ControlPanelName": control.panel,
                        "RoutingControlArn": control.arn,
                        "RoutingControlName": control.name,
                        "RoutingControlState": view.state(&states, &control.arn, now),
                        "Owner": configuration.account,
                    })
                });
                let mut answer = json!({ "RoutingControls": listed.collect::<Vec<_>>() });
                if shown.peek().is_some() {
                    answer["NextToken"] = json!(page.last().map(|control| &control.arn));
                }
                Ok(answer)
            }
            "UpdateRoutingControlState" => {
                let mut given: Update = parse(body)?;
                let entry = Entry {
                    routing_control_arn: given.routing_control_arn.take(),
                    routing_control_state: given.routing_control_state.take(),
                };
                self.update(vec![entry], given.safety_rules_to_override).await
            }
            "UpdateRoutingControlStates" => {
                let given: Update = parse(body)?;
                let entries = required(
                    given.update_routing_control_state_entries,
                    "UpdateRoutingControlStateEntries",
                )?;
                self.update(entries, given.safety_rules_to_override).await
            }
            _ => Err(wire::Error::unknown_operation()),
        }
    }

    async fn update(&self, entries: Vec<Entry>, overridden: BTreeSet<String>) -> Result<Value, wire::Error> {
        if !(1..=ENTRIES_MAX).contains(&entries.len()) {
            let text = format!("UpdateRoutingControlStateEntries must hold 1 to {ENTRIES_MAX} entries.");
            return Err(Error::Validation(text).into());
        }
        let mut wanted = BTreeMap::new();
        for entry in entries {
            let arn = required(entry.routing_control_arn, "RoutingControlArn")?;
            let state = match required(entry.routing_control_state, "RoutingControlState")?.as_str() {
                "On" => ControlState::On,
                "Off" => ControlState::Off,
                other => return Err(Error::Validation(format!("{other:?} is neither On nor Off.")).into()),
            };
            if wanted.insert(arn.clone(), state).is_some() {
                return Err(Error::Validation(format!("{arn} is named twice.")).into());
            }
        }
        let configuration = &self.0.configuration;
        let change = |states: &States| states.update(configuration, &wanted, &overridden, wall());
        self.0.member.change(change).await??;
        Ok(json!({}))
    }
}

fn wall() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Get {
    routing_control_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct List {
    control_panel_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Update {
    routing_control_arn: Option<String>,
    routing_control_state: Option<String>,
    update_routing_control_state_entries: Option<Vec<Entry>>,
    safety_rules_to_override: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    routing_control_arn: Option<String>,
    routing_control_state: Option<String>,
}

impl From<NoQuorum> for wire::Error {
    fn from(_: NoQuorum) -> Self {
        Error::EndpointTemporarilyUnavailable.into()
    }
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::Validation(format!("{name} is required.")))
}

impl Service for Endpoint {
    async fn call(&self, call: Call) -> Answer {
        self.perform(&call.operation, call.body).await.into()
    }

    fn protocol(&self) -> &Protocol {
        &self.0.protocol
    }

    fn resources(&self, call: &Call) -> Vec<String> {
        let control = |named: &Value| named["RoutingControlArn"].as_str().map(str::to_owned);
        match call.body["UpdateRoutingControlStateEntries"].as_array() {
            Some(entries) => entries.iter().filter_map(control).collect(),
            None => control(&call.body).into_iter().collect(),
        }
    }
}
