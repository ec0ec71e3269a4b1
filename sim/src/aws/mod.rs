//! Simulated AWS services. Each is an ordinary tokio server that speaks the real wire protocol: it runs on a host
//! inside a world and, unchanged, on a real localhost port.

#[cfg(feature = "aurora")]
pub mod aurora;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
#[cfg(feature = "messaging")]
pub mod eventbridge;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "routing")]
pub mod routing;
#[cfg(feature = "messaging")]
pub mod sqs;
#[cfg(feature = "_http")]
pub mod wire;
