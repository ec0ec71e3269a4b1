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
//! | [`Traffic`], beside it | has ARC's routing controls follow the item: which Regions clients are sent to |
//! | [`Repair`], after a promotion | restores from the gate what the new writer's ledger has lost |
//! | [`Operator`] | has another Region write by plan, or clients sent to a Region again |
//! | [`retire`], when a release has been rolled out | sees that nobody writes the schema's version before any more |
//!
//! **A change of writer** goes open -> failing-over -> quarantined -> open. Each arrow is a conditional write that one
//! controller wins; each step in between can be done twice, or by another controller when the first has died.
//!
//! 1. Whoever wins `failing-over` names a new epoch and its own Region. Nobody writes from here on.
//! 2. It has RDS promote its Region: at once if the writer before was given up, after step 3 if that hands over.
//! 3. It waits until every lease has run out that was read before: 1.5 leases by its own clock, enough for clocks of which one
//!    runs half as fast again as the other. Whoever was the writer has stopped by then, cut off or not. What that still wrote
//!    while RDS was at work is lost with the tail, and restored like it.
//! 4. It raises the epoch in the database, and writes `quarantined`.
//! 5. It restores what was lost and writes `open`.
//!
//! **How long that takes** when a Region is lost, with the default configuration:
//!
//! | step | time |
//! |---|---|
//! | the Region is silent at five looks in a row, 3 s apart | 15 to 18 s |
//! | RDS promotes; leases (9 s) run out meanwhile | 60 to 90 s |
//! | a look sees it, 3 s apart; epoch, quarantine and opening follow each other at once | 1 to 3 s |
//! | the window is restored: one scan of the gate | 1 s, more with the gate's size |
//! | gateways read that it is open | 0 to 3 s |
//!
//! That is 80 to 115 s, of which RDS has the most: 90 s are met when RDS takes no longer than about 70. What cannot be
//! restored at once holds the opening up for 20 s at most. A Region that answers and says that it is ill is given up after 93 s,
//! since an in-Region failover takes 60.
//!
//! **Where clients go** is in the item too: the Regions that are out of service, by a failover or by plan. [`Traffic`] tells ARC,
//! which can be out without holding any of this up; clients that go astray meanwhile are forwarded, or find nobody and ask again.
//!
//! **What the vote of the gate's table costs**: each process reads the item every 2 s or so, from a majority of its Regions. A
//! Region that is cut off from the other two cannot read it, and stops writing. That is the price of never having two writers.
//!
//! Not modelled: several ledgers. The item is named after its ledger; that a tenant's home is this one is not written down.

mod arc;
mod controller;
mod forward;
mod health;
mod keeper;
mod operator;
mod rds;
mod repair;
mod routing;
mod schemas;
mod seen;
mod traffic;

pub use arc::{ArcError, RoutingControls};
pub use controller::{Controller, ControllerConfig};
pub use forward::{ForwardError, Forwarder, HOP, VERSION};
pub use health::{Health, HealthTable};
pub use keeper::{Keeper, KeeperConfig};
pub use operator::Operator;
pub use rds::{GlobalDatabase, RdsError};
pub use repair::{Repair, RepairConfig, RepairError, Restored, Suspect, restore};
pub use routing::{Absence, Change, Routing, RoutingError, RoutingTable, State};
pub use schemas::{RetireError, retire};
pub use traffic::Traffic;
