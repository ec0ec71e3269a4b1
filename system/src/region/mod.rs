//! Several Regions: who writes the ledger, how that is known, and what happens when the writer's Region is lost.
//!
//! The ledger has one writer at a time: a cluster of an Aurora Global Database. Which one, under which writer epoch, is one
//! item of a strongly consistent DynamoDB table, changed by conditional writes ([`Routing`]). Everything else follows from it:
//!
//! | part | does |
//! |---|---|
//! | [`Keeper`], in every process | reads the item, and holds the right to write for a lease from when it asked |
//! | [`Forwarder`], in every gateway | hands what it may not do itself to a gateway of the writer's Region, once |
//! | [`Controller`], in every Region | watches the writer, wins the item when it is gone, promotes its own Region |
//! | [`Repair`], after a promotion | restores from the gate what the new writer's ledger has lost |
//! | [`retire`], when a release has been rolled out | sees that nobody writes the schema's version before any more |
//!
//! **A change of writer** goes open -> failing-over -> quarantined -> open. Each arrow is a conditional write that one
//! controller wins; each step in between can be done twice, or by another controller when the first has died.
//!
//! 1. Whoever wins `failing-over` names a new epoch and its own Region. Nobody writes from here on.
//! 2. It waits until every lease has run out that was read before: 1.5 leases by its own clock, enough for clocks of which one
//!    runs half as fast again as the other. Whoever was the writer has stopped by then, cut off or not.
//! 3. It has RDS promote its Region, raises the epoch in the database, and writes `quarantined`.
//! 4. It restores what was lost and writes `open`.
//!
//! **How long that takes**: a Region that is silent is given up after 32 s, one that says it is ill after 92 s (an in-Region
//! failover takes 60); 9 s for leases; 60 to 90 s in RDS; then one scan of the gate. So two to four minutes, not 90 seconds.
//!
//! **What the vote of the gate's table costs**: each process reads the item every 2 s or so, from a majority of its Regions. A
//! Region that is cut off from the other two cannot read it, and stops writing. That is the price of never having two writers.
//!
//! Not modelled: several ledgers. The item is named after its ledger; that a tenant's home is this one is not written down.

mod controller;
mod forward;
mod health;
mod keeper;
mod rds;
mod repair;
mod routing;
mod schemas;

pub use controller::{Controller, ControllerConfig};
pub use forward::{ForwardError, Forwarder, HOP, VERSION};
pub use health::{Health, HealthTable};
pub use keeper::{Keeper, KeeperConfig};
pub use rds::{GlobalDatabase, RdsError};
pub use repair::{Repair, RepairConfig, RepairError, Restored, Suspect, restore};
pub use routing::{Change, Routing, RoutingError, RoutingTable, State, hand_over};
pub use schemas::{RetireError, retire};
