//! An Aurora Global Database: a cluster in each of several Regions, one of them the writer.
//!
//! One host stands for the whole of a Region's cluster: its volume, its instances behind a cluster and a reader endpoint,
//! and its RDS API. What it holds outlives its process: a [`Cluster`] that is run again recovers from its volume.
//!
//! Modelled:
//! - the volume (`storage::volume`) and crash recovery: what was committed is there, what was not is gone;
//! - in-Region failover: connections drop, new ones are closed until another instance has taken over, nothing that was
//!   committed is lost; a commit under way may be lost or kept, and its client does not hear which;
//! - a reader instance that follows the writer's log with a lag of its own;
//! - the Global Database: the log goes to the other Regions asynchronously over TCP, they apply it and serve read-only
//!   sessions (25006); `rds.global_db_rpo`; managed switchover, and failover that loses what was not shipped. Fencing of
//!   the old writer is best effort: cut off, it goes on taking writes. Reached again, it is fenced, what it had written
//!   beyond the fork is kept aside ([`Snapshot`]), and it rejoins on a new volume copied from the new writer;
//! - the global writer endpoint ([`WriterEndpoint`]), the RDS API (`api`), RDS Proxy ([`proxy`]).
//!
//! May suffer: what [`ServiceFault`](crate::fault::ServiceFault) lists for Aurora, whatever befalls the hosts, and the
//! network between them.
//!
//! Not modelled: availability zones and the six copies of a volume (storage does not fail), instances on hosts of their
//! own, more than one reader, write forwarding, backtrack, clones. The control plane's own record of who is writer is one
//! and always reachable, as if AWS kept it outside the Regions; what it orders a Region to do goes over the network. Of the
//! log, what crosses the network has the size of the records; their contents are handed over in memory, because all
//! Regions are of one process.

mod api;
mod bell;
mod config;
mod control;
mod copy;
mod endpoint;
pub(super) mod gate;
mod instance;
mod message;
mod operation;
pub mod proxy;
mod region;
mod server;
mod shipper;
mod shipping;
mod snapshot;

pub use config::{Config, RegionConfig};
pub use control::{GlobalCluster, Refusal};
pub use endpoint::WriterEndpoint;
pub use server::{Cluster, Listeners};
pub use shipping::Counters;
pub use snapshot::{LostRow, LostTransaction, RowChange, Snapshot};
