//! Simulated DynamoDB.
