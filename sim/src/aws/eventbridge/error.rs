//! The errors of EventBridge, of whole requests and of single entries.

/// Why EventBridge refused a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such bus or rule.
    #[error("{0}")]
    ResourceNotFound(String),
    /// A bus of that name exists.
    #[error("{0}")]
    ResourceAlreadyExists(String),
    /// Too many buses, rules or targets.
    #[error("{0}")]
    LimitExceeded(String),
    /// A pattern that is none, or that is not simulated.
    #[error("{0}")]
    InvalidEventPattern(#[from] super::pattern::Invalid),
    /// A parameter outside its range, or one that is not simulated.
    #[error("{0}")]
    Validation(String),
    /// Throttled, by an injected fault.
    #[error("Rate exceeded")]
    Throttling,
    /// A failure of the service, by an injected fault.
    #[error("We encountered an internal error. Please try again.")]
    Internal,
    /// The service is out, by an injected fault.
    #[error("Service is unavailable.")]
    ServiceUnavailable,
}

impl Error {
    /// The `__type`.
    pub fn shape(&self) -> &'static str {
        match self {
            Self::ResourceNotFound(_) => "ResourceNotFoundException",
            Self::ResourceAlreadyExists(_) => "ResourceAlreadyExistsException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::InvalidEventPattern(_) => "InvalidEventPatternException",
            Self::Validation(_) => "ValidationException",
            Self::Throttling => "ThrottlingException",
            Self::Internal => "InternalException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Internal => 500,
            Self::ServiceUnavailable => 503,
            _ => 400,
        }
    }
}

/// Why one entry of a `PutEvents` was not taken, although the request was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryError {
    /// `ErrorCode`.
    pub code: &'static str,
    /// `ErrorMessage`.
    pub message: String,
}

impl EntryError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
