//! The stage: the whole payment system, unmodified, in a simulated world with everything that it needs.
//!
//! | hosts | what runs there |
//! |---|---|
//! | `aurora-REGION` | the simulated Aurora Global Database, one cluster a Region |
//! | `dynamodb-REGION` | the simulated DynamoDB, the gate's table strongly consistent across three Regions |
//! | `eventbridge-REGION`, `sqs-REGION` | the simulated EventBridge and SQS, one bus and its queues in the Region that writes |
//! | `arc-REGION` | the five endpoints of an ARC cluster, one routing control for each Region of the system |
//! | `psp`, `kyc` | the stand-ins for the providers |
//! | `gateway-REGION-N` | processes of the system, as `payments serve` runs them: gateway, sweeper and controller in one |
//! | `worker-N` | processes of the system that publish events and take them in, the first in the Region that writes first |
//! | `operator` | migrates, adds a tenant, opens accounts; in the end waits until all is quiet, reads the books, and asks again for all that clients were told, half of which the gate has forgotten |
//! | `client-N` | clients that insist: the same request under the same key until there is an answer |

mod arc;
mod aws;
mod clients;
mod decisions;
mod expiry;
mod messaging;
mod network;
mod operator;
mod rollout;
mod system;
mod telemetry;
mod trade;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use payments::node::NodeConfig;
use sumzero_sim::{Outcome, World, trace::Sink};

use crate::{externals::Provider, history::History, script::Script};

pub use network::REGIONS;
pub use telemetry::listen;

/// What came of it.
#[derive(Debug)]
pub struct Performance {
    /// What happened.
    pub history: History,
    /// The world's end: trace hash, hosts, faults that bit.
    pub outcome: Outcome,
}

/// After that a world that is not at rest never will be.
const LIMIT: Duration = Duration::from_secs(1_800);

/// What the hosts tell the audience. Not part of the system: nothing in it reads this.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    history: History,
    /// What clients need to know: the API key and the accounts.
    opened: Option<Opened>,
    clients_done: u8,
    /// Whether it has taken too long to come to rest, and nobody asks any more.
    closed: bool,
    /// Whether the schema bears the next version of the system; whether it bears no other.
    expanded: bool,
    contracted: bool,
}

#[derive(Clone)]
struct Opened {
    api_key: String,
    accounts: Vec<TradingAccount>,
}

/// An account that clients trade with.
#[derive(Clone, Debug, Default)]
struct TradingAccount {
    id: String,
    currency: String,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Performs a script. The world's events go to `trace`.
///
/// # Errors
/// When the world cannot be built or does not come to its end.
pub fn perform(script: &Script, trace: Sink) -> Result<Performance, sumzero_sim::Error> {
    perform_as(script, trace, |_| {})
}

/// Performs a script with processes that are set up otherwise.
///
/// # Errors
/// When the world cannot be built or does not come to its end.
pub fn perform_as(
    script: &Script,
    trace: Sink,
    set_up: fn(&mut NodeConfig),
) -> Result<Performance, sumzero_sim::Error> {
    #[cfg(feature = "as-written")]
    if let Some(variant) = &script.variant {
        let variant = payments::variant::Variant::named(variant);
        payments::variant::select(variant.expect("a plan for a variant of this build"));
    }
    listen();
    let notes = Notes::default();
    let (psp, kyc) = (Provider::default(), Provider::default());
    let world = build(script, &notes, &psp, &kyc, set_up).trace(trace);
    let (heard, outcome) = world.run(|simulation| {
        simulation.run_until_done(LIMIT)?;
        Ok(telemetry::heard())
    })?;
    let outcome = outcome?;
    let mut history = std::mem::take(&mut notes.lock().history);
    history.effects = psp.effects();
    history.telemetry = heard;
    Ok(Performance { history, outcome })
}

/// Checks that a script can be performed: every place that its faults name exists, every value is in its range.
///
/// # Errors
/// Naming the fault and what is wrong with it.
pub fn check(script: &Script) -> Result<(), sumzero_sim::Error> {
    let (psp, kyc) = (Provider::default(), Provider::default());
    build(script, &Notes::default(), &psp, &kyc, |_| {}).check()
}

fn build(
    script: &Script,
    notes: &Notes,
    psp: &Provider,
    kyc: &Provider,
    set_up: fn(&mut NodeConfig),
) -> World {
    let mut world = network::links(World::new(script.seed));
    world = aws::dynamodb(world, script.seed);
    let (world, database) = aws::aurora(world, script.seed);
    let mut world = messaging::services(world, script.seed);
    world = arc::cluster(world, script.seed);
    world = world.host(system::provider("psp", network::PSP, psp));
    world = world.host(system::provider("kyc", network::KYC, kyc));
    for region in 0..REGIONS.len() {
        for number in 0..script.gateways {
            world = world.host(system::gateway(region, number, script, notes, set_up));
        }
    }
    world = messaging::workers(world, script, notes);
    world = world.client(operator::host(script, notes, database, psp, kyc));
    for number in 0..script.workload.clients {
        world = world.client(clients::host(number, script, notes));
    }
    world.plan(script.plan.clone())
}
