//! An AWS JSON error: status, `__type`, message, and the members that some errors add.

use serde_json::{Map, Value};

/// One error answer. Its body is `{"__type": kind, "message": ...}` plus any further members.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    status: u16,
    kind: String,
    message: Option<(&'static str, String)>,
    members: Vec<(String, Value)>,
    headers: Vec<(&'static str, String)>,
}

impl Error {
    /// An error of this qualified kind, for example `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException`.
    pub fn new(status: u16, kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind.into(),
            message: Some(("message", message.into())),
            members: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// An error of the request layer that all services share (`com.amazon.coral.service#` + `name`), status 400.
    pub fn coral(name: &str, message: impl Into<String>) -> Self {
        Self::new(400, format!("com.amazon.coral.service#{name}"), message)
    }

    /// As [`Error::coral`] with no message member at all, which is how a body that is not JSON and an operation that
    /// does not exist are answered.
    pub fn coral_bare(name: &str) -> Self {
        Self {
            message: None,
            ..Self::coral(name, "")
        }
    }

    /// The body is no JSON, or has a member of the wrong type.
    pub fn serialization() -> Self {
        Self::coral_bare("SerializationException")
    }

    /// There is no such operation.
    pub fn unknown_operation() -> Self {
        Self::coral_bare("UnknownOperationException")
    }

    /// Spells the message member `Message`, as a few errors do.
    pub fn capital_message(mut self) -> Self {
        self.message = self.message.map(|(_, text)| ("Message", text));
        self
    }

    /// Adds a member to the body, for example `CancellationReasons`.
    pub fn with(mut self, member: impl Into<String>, value: Value) -> Self {
        self.members.push((member.into(), value));
        self
    }

    /// Adds a response header, for example `x-amzn-query-error`.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The qualified kind, as in `__type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The kind without its namespace: `ResourceNotFoundException`.
    pub fn name(&self) -> &str {
        self.kind
            .rsplit_once('#')
            .map_or(self.kind.as_str(), |(_, name)| name)
    }

    /// The message; empty if the error has none.
    pub fn message(&self) -> &str {
        self.message.as_ref().map_or("", |(_, text)| text)
    }

    pub(super) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The JSON body.
    pub fn body(&self) -> String {
        let mut object = Map::new();
        object.insert("__type".to_owned(), Value::String(self.kind.clone()));
        if let Some((name, text)) = &self.message {
            object.insert((*name).to_owned(), Value::String(text.clone()));
        }
        for (name, value) in &self.members {
            object.insert(name.clone(), value.clone());
        }
        Value::Object(object).to_string()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.name(), self.message())
    }
}

impl std::error::Error for Error {}
