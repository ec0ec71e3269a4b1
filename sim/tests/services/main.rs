//! The simulated services as their clients see them: the official SDKs with their default retries. Every body runs twice
//! over, on localhost and in a world.

mod bad_input;
mod clients;
mod dynamodb;
mod messaging;
mod relay;
mod routing;
mod stage;
