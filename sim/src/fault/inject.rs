//! Making faults happen, and making them stop.

use super::{Disk, Fault};
use crate::error::Error;
use crate::kernel::{Down, Kernel, with};
use crate::net::{Effect, HostId};
use crate::trace::Kind;
use crate::world::Simulation;

impl Simulation {
    pub(crate) fn start_fault(&mut self, index: u32) {
        let fault = self.plan.faults[index as usize].fault.clone();
        let what = fault.to_string();
        let cause = with(|kernel| {
            kernel.set_cause(0);
            kernel.record(None, None, &Kind::Fault { index, what })
        });
        with(|kernel| kernel.set_cause(cause));
        match &fault {
            Fault::RegionLoss { region, disk } => {
                for host in hosts(region) {
                    self.bring_down(index, host, Down::Machine, *disk);
                }
            }
            Fault::MachineLoss { place, disk } => {
                for host in hosts(place) {
                    self.bring_down(index, host, Down::Machine, *disk);
                }
            }
            Fault::ProcessKill { place } => {
                for host in hosts(place) {
                    self.bring_down(index, host, Down::Process, Disk::Kept);
                }
            }
            Fault::ProcessPause { place } => {
                for host in hosts(place) {
                    self.bites[index as usize] += u64::from(self.is_running(host));
                    with(|kernel| {
                        kernel.machine_mut(host).pauses += 1;
                        kernel.record(Some(host), None, &Kind::Pause);
                    });
                }
            }
            Fault::ConnectionReset { from, to } => {
                let ways = with(|kernel| fault.ways(&kernel.topology, from, to, false)).unwrap_or_default();
                self.bites[index as usize] += with(|kernel| kernel.reset_all(&ways));
            }
            Fault::ClockJump { place, by } => {
                for host in hosts(place) {
                    with(|kernel| kernel.machine_mut(host).clock.step_wall(by.as_nanos()));
                }
                self.watch_clocks(index, place);
            }
            Fault::ClockOffset { place, by } => {
                for host in hosts(place) {
                    with(|kernel| kernel.machine_mut(host).clock.step_wall(by.as_nanos()));
                }
                self.watch_clocks(index, place);
            }
            Fault::ClockDrift { place, ppm } => {
                self.change_drift(place, *ppm);
                self.watch_clocks(index, place);
            }
            Fault::Service {
                service,
                region,
                fault,
            } => self.services.begin(index, *service, region, fault),
            Fault::RegionIsolated { .. }
            | Fault::Partition { .. }
            | Fault::NetworkLatency { .. }
            | Fault::NetworkPacketLoss { .. }
            | Fault::NetworkBandwidth { .. }
            | Fault::NetworkBlackholePort { .. } => {
                with(|kernel| {
                    if let Some(effect) = effect(&fault, kernel) {
                        kernel.links.impose(index, effect);
                    }
                });
            }
        }
    }

    pub(crate) fn end_fault(&mut self, index: u32) -> Result<(), Error> {
        let of_others = with(|kernel| kernel.links.bites(index)) + self.services.bites(index);
        self.bites[index as usize] = self.bites_of(index) - of_others;
        let fault = self.plan.faults[index as usize].fault.clone();
        let what = fault.to_string();
        let cause = with(|kernel| {
            kernel.set_cause(0);
            kernel.record(None, None, &Kind::Heal { index, what })
        });
        with(|kernel| kernel.set_cause(cause));
        match &fault {
            Fault::RegionLoss { region: place, .. }
            | Fault::MachineLoss { place, .. }
            | Fault::ProcessKill { place } => {
                for host in hosts(place) {
                    self.bring_up(index, host)?;
                }
            }
            Fault::ProcessPause { place } => {
                for host in hosts(place) {
                    with(|kernel| {
                        let machine = kernel.machine_mut(host);
                        machine.pauses -= 1;
                        if machine.pauses == 0 {
                            kernel.record(Some(host), None, &Kind::Resume);
                            kernel.run_again(host);
                        }
                    });
                }
            }
            Fault::ClockOffset { place, by } => {
                for host in hosts(place) {
                    with(|kernel| kernel.machine_mut(host).clock.step_wall(-by.as_nanos()));
                }
            }
            Fault::ClockDrift { place, ppm } => self.change_drift(place, -ppm),
            Fault::Service { .. } => self.services.end(index),
            _ => with(|kernel| kernel.links.lift(index)),
        }
        Ok(())
    }

    /// How often a fault bit so far.
    pub(crate) fn bites_of(&self, index: u32) -> u64 {
        let planned = &self.plan.faults[index as usize];
        let of_links = with(|kernel| kernel.links.bites(index));
        let mut bites = self.bites[index as usize] + of_links + self.services.bites(index);
        let (Fault::ClockOffset { place, .. }
        | Fault::ClockDrift { place, .. }
        | Fault::ClockJump { place, .. }) = &planned.fault
        else {
            return bites;
        };
        let before = self.clock_reads_before[index as usize];
        if before > 0 && self.bites[index as usize] == 0 {
            bites += clock_reads(place) + 1 - before;
        }
        bites
    }

    /// Notes how often the clocks of a place have been read, plus one, so that zero means "not yet in force".
    fn watch_clocks(&mut self, index: u32, place: &str) {
        self.clock_reads_before[index as usize] = clock_reads(place) + 1;
    }

    fn bring_down(&mut self, index: u32, host: HostId, what: Down, disk: Disk) {
        let was_running = self.is_running(host);
        self.bites[index as usize] += u64::from(was_running);
        with(|kernel| {
            let disk_lost = disk == Disk::Lost;
            let kind = if what == Down::Machine {
                Kind::Lose { disk_lost }
            } else {
                Kind::Kill
            };
            kernel.record(Some(host), None, &kind);
            let machine = kernel.machine_mut(host);
            if machine.down_by.is_empty() {
                machine.boots_again = was_running;
            }
            machine.down_by.push((index, what));
            if what == Down::Machine {
                machine.up = false;
                machine.drive.lose_power();
                if disk_lost {
                    machine.drive = Default::default();
                }
                // First, so that closing the files of the process finds nothing left to tell anybody.
                kernel.lose_connections(host);
            }
        });
        self.end_process(host);
    }

    fn bring_up(&mut self, index: u32, host: HostId) -> Result<(), Error> {
        let boots = with(|kernel| {
            let machine = kernel.machine_mut(host);
            machine.down_by.retain(|(by, _)| *by != index);
            machine.up = machine.down_by.iter().all(|(_, what)| *what == Down::Process);
            machine.down_by.is_empty() && machine.boots_again
        });
        if boots {
            self.boot_if_possible(host)
        } else {
            Ok(())
        }
    }

    /// A host whose oscillator changes its rate has to be told anew when its next timer is due.
    fn change_drift(&mut self, place: &str, by_ppm: i32) {
        for host in hosts(place) {
            with(|kernel| {
                let now = kernel.now;
                let clock = &mut kernel.machine_mut(host).clock;
                let drift_ppm = clock.drift_ppm() + by_ppm;
                clock.set_drift(now, drift_ppm);
                kernel.run_again(host);
            });
        }
    }
}

impl Kernel {
    /// Has a host run although nothing arrived for it.
    fn run_again(&mut self, host: HostId) {
        self.machine_mut(host).woken_by = None;
        self.wake(host);
    }
}

fn hosts(place: &str) -> Vec<HostId> {
    // Every name of a plan was checked before it was accepted.
    with(|kernel| {
        kernel
            .topology
            .place(place)
            .map(<[HostId]>::to_vec)
            .unwrap_or_default()
    })
}

fn clock_reads(place: &str) -> u64 {
    hosts(place)
        .into_iter()
        .map(|host| with(|kernel| kernel.machine(host).wall_clock_reads))
        .sum()
}

/// What a fault does to the links.
fn effect(fault: &Fault, kernel: &Kernel) -> Option<Effect> {
    let topology = &kernel.topology;
    let ways = |from: &str, to: &str, one_way: bool| fault.ways(topology, from, to, one_way).ok();
    Some(match fault {
        Fault::RegionIsolated { region } => {
            let inside = topology.region(region).ok()?;
            let outside = || topology.hosts().filter(|host| !inside.contains(host));
            let ways = inside
                .iter()
                .flat_map(|&a| outside().flat_map(move |b| [(a, b), (b, a)]));
            Effect::Cut { ways: ways.collect() }
        }
        Fault::Partition { from, to, one_way } => Effect::Cut {
            ways: ways(from, to, *one_way)?,
        },
        Fault::NetworkLatency {
            from,
            to,
            delay,
            jitter,
            one_way,
        } => Effect::Slow {
            ways: ways(from, to, *one_way)?,
            delay: *delay,
            jitter: *jitter,
        },
        Fault::NetworkPacketLoss {
            from,
            to,
            loss_percent,
            one_way,
        } => Effect::Lossy {
            ways: ways(from, to, *one_way)?,
            loss: loss_percent / 100.0,
        },
        Fault::NetworkBandwidth {
            from,
            to,
            bytes_per_second,
            one_way,
        } => Effect::Narrow {
            ways: ways(from, to, *one_way)?,
            bytes_per_second: *bytes_per_second,
        },
        Fault::NetworkBlackholePort { place, port, traffic } => Effect::Hole {
            hosts: topology.place(place).ok()?.to_vec(),
            port: *port,
            traffic: *traffic,
        },
        _ => return None,
    })
}
