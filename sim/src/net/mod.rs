//! The network: who is where, what the ways between them are like, and TCP on top.
//!
//! Modelled: hosts with a name and an IPv4 address in zones and Regions; for every ordered pair of hosts a delay with
//! jitter, a probability of loss and a bandwidth; cuts, both ways and one way; black-holed ports; the loopback of each
//! host. What of TCP is modelled, and what is not, stands in `tcp`.
//!
//! Not modelled: routers and shared bottlenecks (each pair of hosts has its bandwidth to itself), packets in flight
//! outliving a cut (what has not arrived when a way is cut is lost and sent again), name resolution, UDP, IPv6.

mod link;
mod tcp;
mod topology;

pub use link::{Link, Traffic};
pub use topology::HostId;

pub(crate) use link::{Effect, Links, RETRANSMISSION_FLOOR, Route};
pub(crate) use tcp::{Connection, ConnectionId, Options, Ports, Side, Socket, SocketState};
pub(crate) use topology::{Site, Topology};
