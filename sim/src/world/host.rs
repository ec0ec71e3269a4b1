//! What runs in a world.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::kernel::{Failure, HostProgram};
use crate::net::Site;

/// A machine with one program on it.
///
/// ```
/// use sumzero_sim::Host;
///
/// let server = Host::new("server").region("us-east-1").zone("use1-az1").ip([10, 0, 0, 1]).run(|| async {
///     let listener = tokio::net::TcpListener::bind("0.0.0.0:80").await?;
///     listener.accept().await?;
///     Ok::<_, std::io::Error>(())
/// });
/// ```
#[derive(Clone)]
pub struct Host {
    pub(super) name: Arc<str>,
    pub(super) region: Arc<str>,
    pub(super) zone: Option<Arc<str>>,
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) program: Option<HostProgram>,
    pub(super) restarts_after: Option<Duration>,
    pub(super) is_client: bool,
}

/// What a program may return.
pub trait Answer {
    /// The program's end, as a result.
    fn into_result(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

impl Answer for () {
    fn into_result(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure>> Answer for Result<(), E> {
    fn into_result(self) -> Result<(), Failure> {
        self.map_err(Into::into)
    }
}

impl Host {
    /// A host of this name. Without more it stands in the Region `region-1`, in a zone of its Region, and gets an address.
    pub fn new(name: impl Into<Arc<str>>) -> Host {
        Host {
            name: name.into(),
            region: "region-1".into(),
            zone: None,
            ip: None,
            program: None,
            restarts_after: None,
            is_client: false,
        }
    }

    /// The Region in which it stands.
    pub fn region(self, region: impl Into<Arc<str>>) -> Host {
        Host {
            region: region.into(),
            ..self
        }
    }

    /// The availability zone in which it stands. Without one: `REGION-az1`.
    pub fn zone(self, zone: impl Into<Arc<str>>) -> Host {
        Host {
            zone: Some(zone.into()),
            ..self
        }
    }

    /// Its address. Without one: 10.REGION.0.HOST, by the order in which they were added.
    pub fn ip(self, ip: impl Into<Ipv4Addr>) -> Host {
        Host {
            ip: Some(ip.into()),
            ..self
        }
    }

    /// The program: called once for each process of this host, so again after a restart. When its future ends, so does the
    /// process; an error or a panic ends the run, unless the host [restarts](Host::restarts_after).
    pub fn run<P, F>(self, program: P) -> Host
    where
        P: Fn() -> F + Send + Sync + 'static,
        F: Future + 'static,
        F::Output: Answer,
    {
        let program: HostProgram = Arc::new(move || {
            let running = program();
            Box::pin(async move { running.await.into_result() })
        });
        Host {
            program: Some(program),
            ..self
        }
    }

    /// Starts the program again this long after it ended, however it ended, as a service manager would. Without this an
    /// ended program stays ended.
    pub fn restarts_after(self, pause: Duration) -> Host {
        Host {
            restarts_after: Some(pause),
            ..self
        }
    }

    pub(super) fn site(&self) -> Site {
        let zone = self
            .zone
            .clone()
            .unwrap_or_else(|| format!("{}-az1", self.region).into());
        Site {
            name: self.name.clone(),
            ip: self.ip,
            region: self.region.clone(),
            zone,
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
