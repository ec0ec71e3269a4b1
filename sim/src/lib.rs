//! Unmodified tokio services in a seeded, faulty, deterministic world.
//!
//! A world has hosts, and each host runs an ordinary async program on plain `tokio::net`, with whatever stands on that:
//! axum, hyper, reqwest, sqlx, the AWS SDK. Their clocks, their randomness, their network and their disks are simulated,
//! and everything that happens follows from one number, the seed. Time is simulated as well: it jumps to whatever
//! happens next, so a minute of waiting takes no time at all.
//!
//! # A first world
//!
//! A till that adds up what it is paid, and a customer who pays it three times:
//!
//! ```
//! use std::time::Duration;
//! use sumzero_sim::{Host, World};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! async fn till() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("0.0.0.0:7000").await?;
//!     let mut total = 0;
//!     loop {
//!         let (mut customer, _) = listener.accept().await?;
//!         while let Ok(amount) = customer.read_u64().await {
//!             total += amount;
//!             customer.write_u64(total).await?;
//!         }
//!     }
//! }
//!
//! async fn pay(amount: u64) -> std::io::Result<u64> {
//!     let mut till = TcpStream::connect("10.0.0.1:7000").await?;
//!     till.write_u64(amount).await?;
//!     till.read_u64().await
//! }
//!
//! let world = World::new(7)
//!     .host(Host::new("till").ip([10, 0, 0, 1]).run(till))
//!     .client(Host::new("customer").run(|| async {
//!         for total in [5, 10, 15] {
//!             assert_eq!(pay(5).await?, total);
//!             tokio::time::sleep(Duration::from_secs(3600)).await;
//!         }
//!         Ok::<_, std::io::Error>(())
//!     }));
//! let outcome = world.run_until_done(Duration::from_secs(24 * 3600))?;
//! assert!(outcome.finished_at.since_start() > Duration::from_secs(3 * 3600));
//! # Ok::<(), sumzero_sim::Error>(())
//! ```
//!
//! [`World::host`] adds what serves for ever, [`World::client`] what the world waits for. A program is a function, because
//! a host that is restarted runs it again. A program that returns an error or panics ends the run with an [`Error`] that
//! names its host, and so does a wrong description of the world.
//!
//! # Places, links and faults
//!
//! Hosts stand in Regions and zones; [`World::link`] says what the ways between them are like. A [`Fault`] sets in at a
//! time and lasts for a while. It speaks of a host, a zone, a Region, or `*`. Here the till's process is killed while it
//! is about to answer, which nobody but a simulation hits reliably:
//!
//! ```
//! # use std::sync::{Arc, Mutex};
//! # use std::time::Duration;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use tokio::net::{TcpListener, TcpStream};
//! use sumzero_sim::{Fault, Host, Link, World};
//!
//! # async fn till(paid: Arc<Mutex<u64>>) -> std::io::Result<()> {
//! #     let listener = TcpListener::bind("0.0.0.0:7000").await?;
//! #     loop {
//! #         let (mut customer, _) = listener.accept().await?;
//! #         while let Ok(amount) = customer.read_u64().await {
//! #             let total = { let mut paid = paid.lock().unwrap(); *paid += amount; *paid };
//! #             tokio::time::sleep(Duration::from_millis(20)).await;
//! #             customer.write_u64(total).await?;
//! #         }
//! #     }
//! # }
//! # async fn pay(amount: u64) -> std::io::Result<u64> {
//! #     let mut till = TcpStream::connect("10.0.0.1:7000").await?;
//! #     till.write_u64(amount).await?;
//! #     till.read_u64().await
//! # }
//! let paid = Arc::new(Mutex::new(0));
//! let books = paid.clone();
//! let world = World::new(7)
//!     .host(Host::new("till").region("us-east-1").ip([10, 0, 0, 1]).run(move || till(books.clone())))
//!     .client(Host::new("customer").region("eu-west-1").run(|| async {
//!         // The answer is lost. Was it paid?
//!         assert!(pay(5).await.is_err());
//!     }))
//!     .link("us-east-1", "eu-west-1", Link::delay(Duration::from_millis(40)))
//!     .fault(Fault::kill("till").at(Duration::from_millis(130)).lasting(Duration::from_secs(5)));
//! let outcome = world.run_until_done(Duration::from_secs(60))?;
//! assert_eq!(*paid.lock().unwrap(), 5);
//! assert_eq!(outcome.faults[0].bites, 1);
//! # Ok::<(), sumzero_sim::Error>(())
//! ```
//!
//! The [`Outcome`] says how each host stood at the end and how often each fault bit: a fault that never bit has tested
//! nothing. A [`Plan`] of faults is plain data, to be written down, edited and run again. To look at a world while it
//! runs, or to inject faults by what is seen, drive it by hand with [`World::run`].
//!
//! # The same again
//!
//! [`Outcome::trace_hash`] is a hash over every event. The same executable, world and seed give the same hash, in any
//! process and at any load; another seed gives another one. The events themselves are written where [`World::trace`] says,
//! each with the true time, the host, the host's own clock, and the event that caused it.
//!
//! Worlds of one process share its statics, and what is made only once (a table on first use, the tokens of an SDK's
//! retries) the first world makes and the second finds. So compare runs of fresh processes, or seeds of a campaign,
//! which all begin with the same memory.
//!
//! What no seed could decide does not happen silently: a host that starts a thread, looks up a name, sleeps its thread or
//! calls a real address ends the run with a [`Violation`] that says what to do instead. For what cannot be noticed as it
//! happens, such as a program that looks at the addresses of its memory, [`campaign::self_check`] runs a seed in two
//! processes and shows the first event that differs.
//!
//! # Many seeds
//!
//! A [`Campaign`](campaign::Campaign) runs seed after seed on all cores, each in a process of its own, so that neither a
//! panic nor an endless loop is more than the result of one seed. It forks, so it is run from `main`, before any thread
//! is started:
//!
//! ```
//! use std::ops::ControlFlow;
//! use sumzero_sim::campaign::Campaign;
//! # use sumzero_sim::{Host, World};
//! # use std::time::Duration;
//! # fn world(seed: u64) -> World {
//! #     World::new(seed).client(Host::new("idler").run(|| tokio::time::sleep(Duration::from_secs(1))))
//! # }
//!
//! # fn main() -> Result<(), sumzero_sim::Error> {
//! let run = |seed| match world(seed).run_until_done(Duration::from_secs(60)) {
//!     Ok(outcome) => Ok(outcome.trace_hash),
//!     Err(error) => Err(error.to_string()),
//! };
//! Campaign::new(0..20).run(run, |result| {
//!     if let Some(Ok(_)) = result.fate.answer() {
//!         return ControlFlow::Continue(());
//!     }
//!     eprintln!("seed {} {}: {:?}", result.seed, result.fate, result.fate.answer());
//!     ControlFlow::Break(())
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it asks of a program
//!
//! Linux on x86-64 or aarch64, a dynamically linked executable, tokio's `current_thread` flavour of everything (no
//! `spawn_blocking`, no `tokio::fs`; `std::fs` works), IP addresses and not host names, TCP. Computing takes no
//! simulated time. What is modelled of the network and what is not is said in [`net`], of faults in [`fault`].

pub mod aws;
pub mod campaign;
mod error;
pub mod fault;
mod kernel;
pub mod net;
mod time;
pub mod trace;
pub mod units;
mod world;

pub use error::Error;
pub use fault::{Disk, Fault, Plan, PlannedFault};
pub use kernel::{Breach, EPOCH, Here, Seed, Stats, Stream, Violation, here};
pub use net::Link;
pub use time::Time;
pub use trace::TraceHash;
pub use units::Skew;
pub use world::{Answer, FaultReport, Host, HostReport, HostState, Outcome, Simulation, World};
