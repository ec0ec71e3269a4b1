//! Routing controls of Amazon Application Recovery Controller (ARC): which Regions Route 53 sends clients to.
//!
//! There is one control a Region. Route 53 has a health check for each, and answers with the gateways of those Regions whose
//! control is On. A cluster of ARC has five Regional endpoints, of which at any time some may be out; each shows the agreed
//! states, and a change by about 5 s later. So a call goes to one after the other, in random order, until one takes it.
//!
//! The endpoints are configured, not looked up: what would list them is a control plane in one Region. IAM has to allow
//! `route53-recovery-cluster:ListRoutingControls` and `UpdateRoutingControlStates`, on these controls alone. Overriding a safety
//! rule (`SafetyRulesToOverride`) is for people: nothing here asks for it.

use std::{collections::BTreeMap, future::Future, time::Duration};

use aws_sdk_route53recoverycluster::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::{RoutingControlState, UpdateRoutingControlStateEntry},
};

/// How long one endpoint may take. Another may be quicker.
const ENDPOINT_MAX: Duration = Duration::from_secs(2);

/// ARC does not do, or does not answer, what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArcError {
    /// The configuration names no endpoints, or controls that are not of one panel.
    #[error("routing controls: {0}")]
    Configuration(&'static str),
    /// No endpoint answers. Nothing was changed.
    #[error("no endpoint of the ARC cluster answers, the last one: {0}")]
    Unavailable(String),
    /// No endpoint says that the change was made, and it may have been. To ask for it again does no harm.
    #[error("whether the routing controls were changed is not known: {0}")]
    Unknown(String),
    /// A safety rule forbids the change, or follows too soon upon another. Nothing was changed.
    #[error("a safety rule of ARC forbids the change of the routing controls: {0}")]
    Conflict(String),
    /// It is asked for what is not there, or what this process may not have: see the ARNs and the IAM policy.
    #[error("ARC refuses: {0}")]
    Refused(String),
    /// The change was no longer wanted before an endpoint took it.
    #[error("the change of the routing controls was given up: the routing has changed")]
    Outdated,
}

/// The routing controls of all Regions. Clones share the connections.
#[derive(Clone, Debug)]
pub struct RoutingControls {
    endpoints: Vec<Client>,
    /// The ARN of each Region's control.
    controls: BTreeMap<String, String>,
    panel: String,
}

impl RoutingControls {
    /// These controls by Region, all of one control panel, of a cluster with these endpoints: each client has the URL and the
    /// signing Region of one. They wait 2 s for an answer, and repeat nothing by themselves.
    ///
    /// # Errors
    /// [`ArcError::Configuration`].
    pub fn new(endpoints: Vec<Client>, controls: BTreeMap<String, String>) -> Result<Self, ArcError> {
        if endpoints.is_empty() {
            return Err(ArcError::Configuration("no endpoint of the cluster is named"));
        }
        let panel = |arn: &String| {
            arn.split_once("/routingcontrol/")
                .map(|(panel, _)| panel.to_owned())
        };
        let mut panels = controls.values().map(panel);
        let first = panels.next().flatten();
        let first = first.ok_or(ArcError::Configuration(
            "a control is named as REGION=ARN, with the ARN of a routing control",
        ))?;
        if !panels.all(|panel| panel.as_ref() == Some(&first)) {
            return Err(ArcError::Configuration("all must be of one control panel"));
        }
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ENDPOINT_MAX)
            .build();
        let bounded = |client: Client| {
            let config = client.config().to_builder();
            let config = config
                .timeout_config(timeouts.clone())
                .retry_config(RetryConfig::disabled());
            Client::from_conf(config.build())
        };
        Ok(Self {
            endpoints: endpoints.into_iter().map(bounded).collect(),
            controls,
            panel: first,
        })
    }

    /// The Regions that have a control.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        self.controls.keys().map(String::as_str)
    }

    /// Whether each Region's control is On, as one endpoint shows it.
    ///
    /// # Errors
    /// When no endpoint answers, or a control is not there.
    pub async fn states(&self) -> Result<BTreeMap<String, bool>, ArcError> {
        let list = async |endpoint: Client| {
            let pages = endpoint.list_routing_controls().control_panel_arn(&self.panel);
            pages
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
        };
        let listed = self.ask(list, || true).await.map_err(Failure::of_a_question)?;
        let state = |(region, arn): (&String, &String)| {
            let control = listed
                .iter()
                .find(|control| control.routing_control_arn() == Some(arn));
            let state = control.and_then(|control| control.routing_control_state());
            let state = state.ok_or_else(|| ArcError::Refused(format!("the panel has no control {arn}")))?;
            Ok((region.clone(), *state == RoutingControlState::On))
        };
        self.controls.iter().map(state).collect()
    }

    /// Switches these Regions' controls, all or none, as long as that is `still` wanted. Regions without a control are left out.
    ///
    /// # Errors
    /// See [`ArcError`].
    pub async fn set(&self, on: &BTreeMap<&str, bool>, still: impl Fn() -> bool) -> Result<(), ArcError> {
        let entry = |(region, on): (&&str, &bool)| {
            let state = if *on {
                RoutingControlState::On
            } else {
                RoutingControlState::Off
            };
            let entry = UpdateRoutingControlStateEntry::builder()
                .routing_control_arn(self.controls.get(*region)?)
                .routing_control_state(state);
            entry.build().ok()
        };
        let entries: Vec<_> = on.iter().filter_map(entry).collect();
        let update = async |endpoint: Client| {
            let update = endpoint.update_routing_control_states();
            update
                .set_update_routing_control_state_entries(Some(entries.clone()))
                .send()
                .await
        };
        let done = self.ask(update, still).await;
        done.map(drop).map_err(Failure::of_a_change)
    }

    /// The answer of the first endpoint that takes the call, in random order.
    async fn ask<T, E, F>(&self, call: impl Fn(Client) -> F, still: impl Fn() -> bool) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        SdkError<E>: std::error::Error,
        E: ProvideErrorMetadata,
    {
        let mut endpoints = self.endpoints.clone();
        fastrand::shuffle(&mut endpoints);
        let (mut heard, mut maybe_done) = (String::new(), false);
        for endpoint in endpoints {
            if !still() {
                return Err(Failure::Final(ArcError::Outdated));
            }
            let error = match call(endpoint).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            heard = DisplayErrorContext(&error).to_string();
            match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                // The wait period of a rule begins with what an endpoint did before, answered or not.
                Some("ConflictException") if maybe_done => break,
                Some("ConflictException") => return Err(Failure::Final(ArcError::Conflict(heard))),
                // All endpoints would say the same.
                Some(
                    "AccessDeniedException"
                    | "ResourceNotFoundException"
                    | "ServiceLimitExceededException"
                    | "ValidationException",
                ) => return Err(Failure::Final(ArcError::Refused(heard))),
                Some("ThrottlingException") => {}
                // Out, cut short or silent: it may have been on its way.
                _ => maybe_done = true,
            }
        }
        Err(Failure::NoAnswer { heard, maybe_done })
    }
}

/// No endpoint took a call.
enum Failure {
    Final(ArcError),
    NoAnswer { heard: String, maybe_done: bool },
}

impl Failure {
    fn of_a_question(self) -> ArcError {
        match self {
            Self::Final(error) => error,
            Self::NoAnswer { heard, .. } => ArcError::Unavailable(heard),
        }
    }

    fn of_a_change(self) -> ArcError {
        match self {
            Self::NoAnswer {
                heard,
                maybe_done: true,
            } => ArcError::Unknown(heard),
            other => other.of_a_question(),
        }
    }
}
