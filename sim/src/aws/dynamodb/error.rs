//! DynamoDB's errors as they stand on the wire.
//!
//! The engine's own errors are translated here; the rest are those that only the service in front of the engine can
//! have: throttles, conflicts in time, faults, and what global tables refuse.

use super::super::wire::Error;
use dynoxide::DynoxideError;
use serde_json::{Value, json};

const NAMESPACE: &str = "com.amazonaws.dynamodb.v20120810#";

fn service(status: u16, name: &str, message: impl Into<String>) -> Error {
    Error::new(status, format!("{NAMESPACE}{name}"), message)
}

/// `ValidationException`, which has a namespace of its own.
pub(super) fn validation(message: impl Into<String>) -> Error {
    Error::new(400, "com.amazon.coral.validate#ValidationException", message)
}

/// The request's JSON does not have the operation's shape.
pub(super) fn serialization(message: &str) -> Error {
    match message {
        "" => Error::serialization(),
        _ => Error::coral("SerializationException", message).capital_message(),
    }
}

pub(super) fn unknown_operation() -> Error {
    Error::unknown_operation()
}

pub(super) fn resource_not_found() -> Error {
    service(400, "ResourceNotFoundException", "Requested resource not found")
}

pub(super) fn resource_in_use(message: impl Into<String>) -> Error {
    service(400, "ResourceInUseException", message)
}

/// A throttle of the table's or the key's capacity. The SDK retries it.
pub(super) fn throughput_exceeded() -> Error {
    service(
        400,
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
         provisioning level with the UpdateTable API.",
    )
}

/// 500: the outcome is not known to the caller. The SDK retries it.
pub(super) fn internal() -> Error {
    service(500, "InternalServerError", "Internal server error")
}

/// 503: the service cannot take the request now. The SDK retries it.
pub(super) fn unavailable() -> Error {
    service(503, "ServiceUnavailable", "Service is temporarily unavailable")
}

/// A write met a transaction that holds its item. The SDK does not retry it.
pub(super) fn transaction_conflict() -> Error {
    service(
        400,
        "TransactionConflictException",
        "Transaction is ongoing for the item",
    )
}

/// The same token's first call is still being performed. The SDK retries it.
pub(super) fn transaction_in_progress() -> Error {
    service(
        400,
        "TransactionInProgressException",
        "The transaction with the given request token is already in progress.",
    )
}

/// The same token came with other parameters. The SDK does not retry it.
pub(super) fn idempotent_parameter_mismatch() -> Error {
    service(
        400,
        "IdempotentParameterMismatchException",
        "An error occurred (IdempotentParameterMismatchException)",
    )
}

/// A strongly consistent global table saw the item being written in another Region. The SDK retries it.
pub(super) fn replicated_write_conflict() -> Error {
    service(
        400,
        "ReplicatedWriteConflictException",
        "One or more items in this request are being modified by a request in another Region",
    )
}

/// One reason of a cancelled transaction; a clean item has the code `None` and no message.
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) message: Option<&'static str>,
}

impl Reason {
    pub(super) const CLEAN: Self = Self {
        code: "None",
        message: None,
    };
    pub(super) const CONFLICT: Self = Self {
        code: "TransactionConflict",
        message: Some("Transaction is ongoing for the item"),
    };
    pub(super) const THROTTLED: Self = Self {
        code: "ProvisionedThroughputExceeded",
        message: Some(
            "The level of configured provisioned throughput for one or more tables was exceeded. Consider increasing \
             your provisioning level with the UpdateTable API.",
        ),
    };
}

/// A transaction cancelled before the engine saw it.
pub(super) fn transaction_canceled(reasons: &[Reason]) -> Error {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code).collect();
    let listed: Vec<Value> = reasons
        .iter()
        .map(|reason| match reason.message {
            Some(message) => json!({"Code": reason.code, "Message": message}),
            None => json!({"Code": reason.code}),
        })
        .collect();
    canceled(codes.join(", "), Value::Array(listed))
}

fn canceled(codes: String, reasons: Value) -> Error {
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]");
    service(400, "TransactionCanceledException", message)
        .capital_message()
        .with("CancellationReasons", reasons)
}

/// What the engine answered, as DynamoDB words it for `operation`.
pub(super) fn of_engine(operation: &str, error: DynoxideError) -> Error {
    let status = error.status_code();
    let kind = error.error_type();
    match error {
        DynoxideError::EnvelopedValidation(message)
            if matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem") =>
        {
            validation(format!("1 validation error detected: {message}"))
        }
        DynoxideError::SerializationException(message) => serialization(&message),
        DynoxideError::ConditionalCheckFailedException(message, item) => {
            let error = Error::new(status, kind, message);
            let error = if operation == "ExecuteStatement" {
                error.capital_message()
            } else {
                error
            };
            match item.and_then(|item| serde_json::to_value(item).ok()) {
                Some(item) => error.with("Item", item),
                None => error,
            }
        }
        DynoxideError::TransactionCanceledException(message, reasons) => {
            let reasons = serde_json::to_value(reasons).unwrap_or(Value::Array(Vec::new()));
            Error::new(status, kind, message)
                .capital_message()
                .with("CancellationReasons", reasons)
        }
        // The engine's own failures carry SQL; a real 500 says nothing.
        _ if status >= 500 => internal(),
        other => Error::new(status, kind, other.to_string()),
    }
}

/// What serde said of a body that is JSON but not the operation's request.
///
/// The engine's deserializers prefix their messages with the class of error that AWS answers with.
pub(super) fn of_request(operation: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if let Some(message) = text.strip_prefix("VALIDATION_REQUEST:") {
        return of_engine(operation, DynoxideError::EnvelopedValidation(message.to_owned()));
    }
    if let Some(message) = text
        .strip_prefix("VALIDATION:")
        .or(text.strip_prefix("VALIDATION_AS_READ:"))
    {
        return validation(message);
    }
    if let Some(message) = text
        .strip_prefix("SERIALIZATION:")
        .or(text.strip_prefix("SERIALIZATION_AS_READ:"))
    {
        return serialization(message);
    }
    if text.contains("Supplied AttributeValue") {
        return validation(text);
    }
    if text.contains("empty AttributeValue") {
        return validation(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        );
    }
    if ["missing field", "unknown variant", "invalid type: null"]
        .iter()
        .any(|part| text.contains(part))
    {
        return validation(text);
    }
    serialization(&type_mismatch(text))
}

/// Serde's `invalid type: integer 7, expected a string` in the words of DynamoDB's JSON reader.
fn type_mismatch(text: &str) -> String {
    let Some((found, expected)) = text
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split_once(", expected "))
    else {
        return text.to_owned();
    };
    let token = match found.split([' ', '`']).next().unwrap_or_default() {
        "map" => return "Start of structure or map found where not expected".to_owned(),
        "sequence" => return "Start of list found where not expected".to_owned(),
        "string" => "STRING_VALUE",
        "boolean" if found.contains("true") => "TRUE_VALUE",
        "boolean" => "FALSE_VALUE",
        "floating" => "DECIMAL_VALUE",
        _ => "NUMBER_VALUE",
    };
    let class = match expected {
        "a string" => "String",
        "a boolean" => "Boolean",
        "a map" | "a sequence" => return "Unexpected field type".to_owned(),
        _ if expected.starts_with("struct") => return "Unexpected field type".to_owned(),
        _ => "Integer",
    };
    format!("{token} cannot be converted to {class}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_transaction_lists_reasons_in_request_order() {
        let body: Value =
            serde_json::from_str(&transaction_canceled(&[Reason::CLEAN, Reason::CONFLICT]).body())
                .expect("json");
        assert_eq!(
            body,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons \
                            [None, TransactionConflict]",
                "CancellationReasons": [
                    {"Code": "None"},
                    {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"},
                ],
            })
        );
    }

    #[test]
    fn serde_messages_become_dynamodb_messages() {
        let of = |text: &str| type_mismatch(text);
        assert_eq!(
            of("invalid type: integer `7`, expected a string"),
            "NUMBER_VALUE cannot be converted to String"
        );
        assert_eq!(
            of("invalid type: boolean `true`, expected a string"),
            "TRUE_VALUE cannot be converted to String"
        );
        assert_eq!(
            of("invalid type: string \"x\", expected u32"),
            "STRING_VALUE cannot be converted to Integer"
        );
    }

    #[test]
    fn the_engine_never_leaks_its_own_words_in_a_500() {
        let error = of_engine(
            "GetItem",
            DynoxideError::InternalServerError("SELECT * FROM secret".to_owned()),
        );
        assert_eq!((error.status(), error.message()), (500, "Internal server error"));
    }
}
