//! The fault vocabulary: everything that can be made to go wrong with links, processes, machines and clocks.
//!
//! Faults are plain data. A plan of them is written out with every run, and is what replaying and shrinking work
//! on. The words are those of AWS Fault Injection Service where it has one. Where a fault speaks of a place, the
//! name of a host, a zone or a Region serves; `*` is every host.
//!
//! Each fault has its paired end: what lasts for a while carries its duration, and ending one fault leaves every
//! other as it was, however they overlap.

mod board;
mod catalogue;
mod inject;
mod plan;
mod service;

#[cfg(feature = "aurora")]
pub(crate) use board::{Failover, Kill};
pub use board::{FaultHandle, FaultId, Touched, Verdict};
pub use catalogue::{KINDS, SERVICE_KINDS};
pub use plan::{Plan, PlannedFault};
pub use service::{Failure, Invalid, Outage, Service, ServiceFault, Target};

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::net::{HostId, Topology, Traffic};
use crate::units::{self, Skew};

/// What becomes of a lost machine's disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// It comes back with the machine, holding all that was synced.
    #[default]
    Kept,
    /// The machine comes back with an empty disk.
    Lost,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// A Region dies: every machine in it is lost, with silence towards the rest of the world.
    RegionLoss {
        /// The Region.
        region: String,
        /// What becomes of the disks.
        #[serde(default)]
        disk: Disk,
    },
    /// A Region's links to all other Regions are cut, both ways; inside it all goes on.
    RegionIsolated {
        /// The Region.
        region: String,
    },
    /// Packets between two places are lost.
    Partition {
        /// A host, a zone, a Region or `*`.
        from: String,
        /// A host, a zone, a Region or `*`.
        to: String,
        /// Only packets from `from` to `to`; those that come back get through.
        #[serde(default)]
        one_way: bool,
    },
    /// Packets between two places take longer.
    NetworkLatency {
        /// A host, a zone, a Region or `*`.
        from: String,
        /// A host, a zone, a Region or `*`.
        to: String,
        /// Added to the delay, one way: 0s to 10m.
        #[serde(with = "units::duration")]
        delay: Duration,
        /// Added to the jitter: 0s to 10m.
        #[serde(with = "units::duration", default)]
        jitter: Duration,
        /// Only packets from `from` to `to`.
        #[serde(default)]
        one_way: bool,
    },
    /// Packets between two places are lost now and then, which shows as retransmission delay.
    NetworkPacketLoss {
        /// A host, a zone, a Region or `*`.
        from: String,
        /// A host, a zone, a Region or `*`.
        to: String,
        /// How many in a hundred: 0 to 99. For all of them, use a partition.
        loss_percent: f64,
        /// Only packets from `from` to `to`.
        #[serde(default)]
        one_way: bool,
    },
    /// The ways between two places are narrow.
    NetworkBandwidth {
        /// A host, a zone, a Region or `*`.
        from: String,
        /// A host, a zone, a Region or `*`.
        to: String,
        /// For each pair of hosts: 1 or more.
        bytes_per_second: u64,
        /// Only packets from `from` to `to`.
        #[serde(default)]
        one_way: bool,
    },
    /// Packets to a port vanish.
    NetworkBlackholePort {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
        /// The port that the packets are addressed to: 1 to 65535.
        port: u16,
        /// Packets that come to these hosts, or packets that leave them.
        traffic: Traffic,
    },
    /// Every connection between two places is reset, at both ends, once.
    ConnectionReset {
        /// A host, a zone, a Region or `*`.
        from: String,
        /// A host, a zone, a Region or `*`.
        to: String,
    },
    /// A process is killed: SIGKILL. It is started again when the fault ends.
    ProcessKill {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
    },
    /// A process is stopped in its tracks, as by SIGSTOP, a long garbage collection or a stolen CPU: time passes,
    /// and it does not. Its machine still accepts connections and data for it. It goes on when the fault ends.
    ProcessPause {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
    },
    /// A machine is lost: power gone, no FIN, no RST, silence. It boots when the fault ends.
    MachineLoss {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
        /// What becomes of its disk.
        #[serde(default)]
        disk: Disk,
    },
    /// A wall clock is off by this much while the fault lasts, and is right again afterwards.
    ClockOffset {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
        /// How far: up to 10 years each way.
        by: Skew,
    },
    /// Both clocks run fast or slow while the fault lasts. What the wall clock gained or lost stays.
    ClockDrift {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
        /// Microseconds a second: -200,000 to 200,000, negative is slow.
        ppm: i32,
    },
    /// A wall clock is stepped, and stays so.
    ClockJump {
        /// The hosts: a host, a zone, a Region or `*`.
        place: String,
        /// How far: up to 10 years each way.
        by: Skew,
    },
    /// A simulated service misbehaves.
    Service {
        /// Which kind of service.
        service: Service,
        /// In which Region; `*` is all that the world [has](crate::World::service).
        region: String,
        /// How.
        fault: ServiceFault,
    },
}

impl Fault {
    /// A partition between two places, both ways.
    pub fn partition(from: impl Into<String>, to: impl Into<String>) -> Fault {
        Fault::Partition {
            from: from.into(),
            to: to.into(),
            one_way: false,
        }
    }

    /// Packets from one place to another are lost; those that come back get through.
    pub fn partition_one_way(from: impl Into<String>, to: impl Into<String>) -> Fault {
        Fault::Partition {
            from: from.into(),
            to: to.into(),
            one_way: true,
        }
    }

    /// The loss of a whole Region, disks kept.
    pub fn region_loss(region: impl Into<String>) -> Fault {
        Fault::RegionLoss {
            region: region.into(),
            disk: Disk::Kept,
        }
    }

    /// The kill of a process.
    pub fn kill(place: impl Into<String>) -> Fault {
        Fault::ProcessKill { place: place.into() }
    }

    /// The pause of a process.
    pub fn pause(place: impl Into<String>) -> Fault {
        Fault::ProcessPause { place: place.into() }
    }

    /// The loss of a machine.
    pub fn machine_loss(place: impl Into<String>, disk: Disk) -> Fault {
        Fault::MachineLoss {
            place: place.into(),
            disk,
        }
    }

    /// A wall clock that is off for a while.
    pub fn clock_offset(place: impl Into<String>, by: Skew) -> Fault {
        Fault::ClockOffset {
            place: place.into(),
            by,
        }
    }

    /// A wall clock that is stepped.
    pub fn clock_jump(place: impl Into<String>, by: Skew) -> Fault {
        Fault::ClockJump {
            place: place.into(),
            by,
        }
    }

    /// A simulated service that misbehaves in one Region.
    pub fn service(service: Service, region: impl Into<String>, fault: ServiceFault) -> Fault {
        Fault::Service {
            service,
            region: region.into(),
            fault,
        }
    }

    /// This fault, setting in at `at` after the world begins, without an end.
    pub fn at(self, at: Duration) -> PlannedFault {
        PlannedFault {
            at,
            lasting: None,
            fault: self,
        }
    }

    /// Whether it is over as soon as it has happened, so that it cannot last.
    pub fn is_instant(&self) -> bool {
        matches!(self, Fault::ConnectionReset { .. } | Fault::ClockJump { .. })
    }

    /// The names of the places that it speaks of: hosts, zones, Regions, `*`.
    pub fn places(&self) -> Vec<&str> {
        match self {
            Fault::RegionLoss { region, .. }
            | Fault::RegionIsolated { region }
            | Fault::Service { region, .. } => {
                vec![region]
            }
            Fault::Partition { from, to, .. }
            | Fault::NetworkLatency { from, to, .. }
            | Fault::NetworkPacketLoss { from, to, .. }
            | Fault::NetworkBandwidth { from, to, .. }
            | Fault::ConnectionReset { from, to } => vec![from, to],
            Fault::NetworkBlackholePort { place, .. }
            | Fault::ProcessKill { place }
            | Fault::ProcessPause { place }
            | Fault::MachineLoss { place, .. }
            | Fault::ClockOffset { place, .. }
            | Fault::ClockDrift { place, .. }
            | Fault::ClockJump { place, .. } => vec![place],
        }
    }

    /// Checks every name and every value.
    pub(crate) fn check(&self, topology: &Topology) -> Result<(), Error> {
        let wrong = |field: &'static str, value: String, range: &'static str| {
            Err(Error::OutOfRange {
                what: self.to_string(),
                field,
                value,
                range,
            })
        };
        let longest = Duration::from_secs(600);
        match self {
            Fault::RegionLoss { region, .. } | Fault::RegionIsolated { region } => {
                topology.region(region)?;
            }
            Fault::Partition { from, to, .. } | Fault::ConnectionReset { from, to } => {
                self.ways(topology, from, to, false)?;
            }
            Fault::NetworkLatency {
                from,
                to,
                delay,
                jitter,
                ..
            } => {
                self.ways(topology, from, to, false)?;
                for (field, value) in [("delay", delay), ("jitter", jitter)] {
                    if *value > longest {
                        return wrong(field, humantime::format_duration(*value).to_string(), "0s to 10m");
                    }
                }
            }
            Fault::NetworkPacketLoss {
                from,
                to,
                loss_percent,
                ..
            } => {
                self.ways(topology, from, to, false)?;
                if !(0.0..=99.0).contains(loss_percent) {
                    return wrong("loss_percent", loss_percent.to_string(), "0 to 99");
                }
            }
            Fault::NetworkBandwidth {
                from,
                to,
                bytes_per_second,
                ..
            } => {
                self.ways(topology, from, to, false)?;
                if *bytes_per_second == 0 {
                    return wrong("bytes_per_second", "0".to_owned(), "1 or more");
                }
            }
            Fault::NetworkBlackholePort { place, port, .. } => {
                topology.place(place)?;
                if *port == 0 {
                    return wrong("port", "0".to_owned(), "1 to 65535");
                }
            }
            Fault::ProcessKill { place }
            | Fault::ProcessPause { place }
            | Fault::MachineLoss { place, .. } => {
                topology.place(place)?;
            }
            Fault::ClockOffset { place, by } | Fault::ClockJump { place, by } => {
                topology.place(place)?;
                if by.magnitude() > Duration::from_secs(10 * 365 * 86_400) {
                    return wrong("by", by.to_string(), "at most 10 years");
                }
            }
            Fault::ClockDrift { place, ppm } => {
                topology.place(place)?;
                if ppm.unsigned_abs() > 200_000 {
                    return wrong("ppm", ppm.to_string(), "-200000 to 200000");
                }
            }
            Fault::Service { service, fault, .. } => {
                if let Err(Invalid {
                    field, value, range, ..
                }) = fault.check(*service)
                {
                    return wrong(field, value, range);
                }
            }
        }
        Ok(())
    }

    /// The directed pairs of hosts between two places; a fault that touches none is a mistake.
    pub(crate) fn ways(
        &self,
        topology: &Topology,
        from: &str,
        to: &str,
        one_way: bool,
    ) -> Result<Vec<(HostId, HostId)>, Error> {
        let mut ways = Vec::new();
        for &a in topology.place(from)? {
            for &b in topology.place(to)? {
                if a != b {
                    ways.push((a, b));
                    if !one_way {
                        ways.push((b, a));
                    }
                }
            }
        }
        ways.sort_unstable();
        ways.dedup();
        if ways.is_empty() {
            return Err(Error::OutOfRange {
                what: self.to_string(),
                field: "to",
                value: format!("{to:?}"),
                range: "another place than `from`",
            });
        }
        Ok(ways)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = |one_way: &bool| if *one_way { "->" } else { "<->" };
        let time = humantime::format_duration;
        let disk_lost = |disk: &Disk| {
            if *disk == Disk::Lost {
                ", with its disk"
            } else {
                ""
            }
        };
        match self {
            Fault::RegionLoss { region, disk } => write!(f, "Region {region} lost{}", disk_lost(disk)),
            Fault::RegionIsolated { region } => write!(f, "Region {region} isolated"),
            Fault::Partition { from, to, one_way } => {
                write!(f, "partition {from} {} {to}", arrow(one_way))
            }
            Fault::NetworkLatency {
                from,
                to,
                delay,
                jitter,
                one_way,
            } => write!(
                f,
                "latency {from} {} {to}: +{}, jitter +{}",
                arrow(one_way),
                time(*delay),
                time(*jitter)
            ),
            Fault::NetworkPacketLoss {
                from,
                to,
                loss_percent,
                one_way,
            } => {
                write!(f, "packet loss {from} {} {to}: {loss_percent} %", arrow(one_way))
            }
            Fault::NetworkBandwidth {
                from,
                to,
                bytes_per_second,
                one_way,
            } => {
                write!(
                    f,
                    "bandwidth {from} {} {to}: {bytes_per_second} B/s",
                    arrow(one_way)
                )
            }
            Fault::NetworkBlackholePort {
                place,
                port,
                traffic: Traffic::Ingress,
            } => {
                write!(f, "black hole: packets to port {port} of {place}")
            }
            Fault::NetworkBlackholePort {
                place,
                port,
                traffic: Traffic::Egress,
            } => {
                write!(f, "black hole: packets from {place} to port {port}")
            }
            Fault::ConnectionReset { from, to } => write!(f, "connections reset {from} <-> {to}"),
            Fault::ProcessKill { place } => write!(f, "process of {place} killed"),
            Fault::ProcessPause { place } => write!(f, "process of {place} paused"),
            Fault::MachineLoss { place, disk } => write!(f, "machine {place} lost{}", disk_lost(disk)),
            Fault::ClockOffset { place, by } => write!(f, "clock of {place} off by {by}"),
            Fault::ClockDrift { place, ppm } => write!(f, "clock of {place} drifts by {ppm} ppm"),
            Fault::ClockJump { place, by } => write!(f, "clock of {place} jumps by {by}"),
            Fault::Service {
                service,
                region,
                fault,
            } => write!(f, "{service} in {region}: {fault}"),
        }
    }
}
