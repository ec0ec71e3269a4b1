//! The errors of the routing-control data plane.

use serde_json::{Value, json};

use crate::aws::wire;

/// Why an endpoint refused a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such control, panel or rule.
    #[error("{kind} {id} does not exist.")]
    ResourceNotFound {
        /// Its ARN.
        id: String,
        /// What it would be.
        kind: &'static str,
    },
    /// A safety rule forbids the change.
    #[error("The request was not processed: it conflicts with {reason}.")]
    Conflict {
        /// The rule's ARN.
        rule: String,
        /// Which rule, and how.
        reason: String,
    },
    /// A parameter is missing or out of range.
    #[error("{0}")]
    Validation(String),
    /// Fewer than three endpoints are in touch. Whether an update under way was made is not known.
    #[error("The cluster endpoint isn't available. Try another cluster endpoint.")]
    EndpointTemporarilyUnavailable,
    /// Throttled, by an injected fault.
    #[error("Rate exceeded")]
    Throttling,
    /// A failure of the endpoint, by an injected fault.
    #[error("There was an unexpected error during processing of the request.")]
    InternalServer,
}

impl Error {
    pub(super) fn control_not_found(arn: &str) -> Self {
        Self::ResourceNotFound {
            id: arn.to_owned(),
            kind: "RoutingControl",
        }
    }

    pub(super) fn conflict(rule: &str, reason: String) -> Self {
        Self::Conflict {
            rule: rule.to_owned(),
            reason,
        }
    }
}

impl From<Error> for wire::Error {
    fn from(error: Error) -> Self {
        let (status, shape) = match &error {
            Error::ResourceNotFound { .. } => (400, "ResourceNotFoundException"),
            Error::Conflict { .. } => (400, "ConflictException"),
            Error::Validation(_) => (400, "ValidationException"),
            Error::EndpointTemporarilyUnavailable => (400, "EndpointTemporarilyUnavailableException"),
            Error::Throttling => (400, "ThrottlingException"),
            Error::InternalServer => (500, "InternalServerException"),
        };
        let answer = Self::new(status, shape, error.to_string());
        let resource = |answer: Self, id: String, kind: &str| {
            answer
                .with("resourceId", json!(id))
                .with("resourceType", json!(kind))
        };
        match error {
            Error::ResourceNotFound { id, kind } => resource(answer, id, kind),
            Error::Conflict { rule, .. } => resource(answer, rule, "SafetyRule"),
            Error::Validation(_) => answer.with("reason", Value::from("fieldValidationFailed")),
            _ => answer,
        }
    }
}
