//! SQS and EventBridge.

mod eventbridge;
mod sqs;
mod sqs_model;
