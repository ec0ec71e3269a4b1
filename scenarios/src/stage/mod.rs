//! The stage: the whole payment system, unmodified, in a simulated world with everything that it needs.
//!
//! | hosts | what runs there |
//! |---|---|
//! | `aurora-REGION` | the simulated Aurora Global Database, one cluster a Region |
//! | `dynamodb-REGION` | the simulated DynamoDB, the gate's table strongly consistent across three Regions |
//! | `eventbridge-REGION`, `sqs-REGION` | the simulated EventBridge and SQS, one bus and its queues in the Region that writes |
//! | `psp`, `kyc` | the stand-ins for the providers |
//! | `gateway-N` | processes of the system, as `payments serve` runs them |
//! | `worker-N` | processes of the system that publish events and take them in |
//! | `operator` | migrates, adds a tenant, opens accounts; in the end waits until all is quiet and reads the books |
//! | `client-N` | clients that insist: the same request under the same key until there is an answer |

mod aws;
mod clients;
mod messaging;
mod network;
mod operator;
mod system;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sumzero_sim::{Outcome, Plan, World, trace::Sink};

use crate::{
    externals::{Behaviour, Provider},
    history::History,
};

pub use network::REGIONS;

/// What is put on the stage.
#[derive(Clone, Debug)]
pub struct Script {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// Processes of the system.
    pub gateways: u8,
    /// Clients.
    pub clients: u8,
    /// Requests of each client.
    pub requests: u32,
    /// How the payment service provider behaves until the faults are over.
    pub psp: Behaviour,
    /// How the KYC provider does.
    pub kyc: Behaviour,
    /// What goes wrong.
    pub plan: Plan,
    /// When the providers behave again, and clients stop making new requests.
    pub faults_end: Duration,
}

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
}

#[derive(Clone)]
struct Opened {
    api_key: String,
    accounts: Vec<String>,
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
    let notes = Notes::default();
    let (psp, kyc) = (
        Provider::new(script.psp.clone()),
        Provider::new(script.kyc.clone()),
    );
    let mut world = network::links(World::new(script.seed).trace(trace));
    world = aws::dynamodb(world, script.seed);
    world = aws::aurora(world, script.seed);
    world = messaging::services(world, script.seed);
    world = world.host(system::provider("psp", network::PSP, &psp));
    world = world.host(system::provider("kyc", network::KYC, &kyc));
    for number in 0..script.gateways {
        world = world.host(system::gateway(number));
    }
    world = messaging::workers(world);
    world = world.client(operator::host(script, &notes, &psp, &kyc));
    for number in 0..script.clients {
        world = world.client(clients::host(number, script, &notes));
    }
    let outcome = world.plan(script.plan.clone()).run_until_done(LIMIT)?;
    let mut history = std::mem::take(&mut notes.lock().history);
    history.effects = psp.effects();
    Ok(Performance { history, outcome })
}
