//! What a program may not do in a world, because no seed decides its outcome.

use std::fmt;

use crate::time::Time;

/// A host did something that cannot be deterministic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host {host:?} at {at} s: {call}: {breach}")]
pub struct Violation {
    /// The host.
    pub host: String,
    /// When, in true time.
    pub at: Time,
    /// The call that it made, with what tells it apart.
    pub call: String,
    /// Why that is no good here, and what to do instead.
    pub breach: Breach,
}

/// The kinds of [`Violation`]. Each prints as its reason and its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// A thread was created.
    Thread,
    /// The thread was put to sleep, or made to wait for input.
    Blocking,
    /// A name was looked up.
    NameLookUp,
    /// A socket of a kind that is not simulated.
    Socket,
    /// An address that no host of the world has.
    RealAddress,
    /// A file outside the host's disk was to be changed.
    RealFile,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Breach::Thread => {
                "a thread runs when the operating system likes, not when the seed says. Run the work as a task \
                 (tokio::spawn) on a current_thread runtime. What usually brings a thread along: \
                 tokio::task::spawn_blocking, tokio::fs, a multi_thread runtime, a host name instead of an IP \
                 address (its look-up runs on a thread), a blocking HTTP client"
            }
            Breach::Blocking => {
                "a world has one thread and its time stands still while a host computes, so this would wait for \
                 ever. Await instead: tokio::time::sleep, tokio::net, tokio::sync"
            }
            Breach::NameLookUp => {
                "the answer would come from the real network. Use the IP address of a host of this world"
            }
            Breach::Socket => "only TCP over IPv4 is simulated. Use a TcpStream or a TcpListener",
            Breach::RealAddress => {
                "no host of this world has this address, and nothing may leave it. Add a host with this address, \
                 or point the program at one that exists"
            }
            Breach::RealFile => {
                "the file is on the real machine, which every seed shares. Let the program write below a directory \
                 of the host's own disk, and read what the real machine holds"
            }
        })
    }
}
