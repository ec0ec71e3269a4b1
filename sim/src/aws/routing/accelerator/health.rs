//! Which endpoints and Regions are healthy.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::{Accelerator, Options, Probe};

/// The health of every endpoint, and whether its Region's routing control lets it count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    threshold: u32,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    on: bool,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Endpoint {
    healthy: bool,
    /// Checks in a row that said otherwise.
    contrary: u32,
}

impl Health {
    pub(super) fn new(options: &Options) -> Self {
        let endpoint = Endpoint {
            healthy: true,
            contrary: 0,
        };
        let groups = options.groups.iter();
        let group = |endpoints: usize| Group {
            on: true,
            endpoints: vec![endpoint; endpoints],
        };
        Self {
            threshold: options.health.threshold.max(1),
            groups: groups.map(|g| group(g.endpoints.len())).collect(),
        }
    }

    /// Whether the group has an endpoint to send anyone to.
    pub(super) fn group(&self, group: usize) -> bool {
        self.groups
            .get(group)
            .is_some_and(|g| g.on && g.endpoints.iter().any(|e| e.healthy))
    }

    /// The healthy endpoints of a group, whatever its control says.
    pub(super) fn endpoints(&self, group: usize) -> Vec<usize> {
        let endpoints = self.groups.get(group).map_or(&[][..], |g| &g.endpoints);
        endpoints
            .iter()
            .enumerate()
            .filter(|(_, e)| e.healthy)
            .map(|(n, _)| n)
            .collect()
    }

    /// Takes a check's result; true if the group's health changed.
    pub(super) fn checked(&mut self, group: usize, endpoint: usize, passed: bool) -> bool {
        let before = self.group(group);
        let threshold = self.threshold;
        if let Some(e) = self
            .groups
            .get_mut(group)
            .and_then(|g| g.endpoints.get_mut(endpoint))
        {
            e.contrary = if passed == e.healthy { 0 } else { e.contrary + 1 };
            if e.contrary >= threshold {
                *e = Endpoint {
                    healthy: passed,
                    contrary: 0,
                };
            }
        }
        before != self.group(group)
    }

    /// Takes a routing control's state; true if the group's health changed.
    pub(super) fn controlled(&mut self, group: usize, on: bool) -> bool {
        let before = self.group(group);
        if let Some(g) = self.groups.get_mut(group) {
            g.on = on;
        }
        before != self.group(group)
    }
}

impl Accelerator {
    /// Checks one endpoint for as long as the accelerator serves.
    pub(super) async fn check_health(self, group: usize, endpoint: usize) {
        let check = &self.0.options.health;
        let Some(address) = self
            .0
            .options
            .groups
            .get(group)
            .and_then(|g| g.endpoints.get(endpoint))
        else {
            return;
        };
        let mut ticks = tokio::time::interval(check.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let probe = async {
                let mut tcp = TcpStream::connect(address).await?;
                match &check.probe {
                    Probe::Tcp => Ok(true),
                    Probe::Http(path) => {
                        let request =
                            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
                        tcp.write_all(request.as_bytes()).await?;
                        let mut status = [0; 12];
                        tcp.read_exact(&mut status).await?;
                        Ok::<_, std::io::Error>(status.ends_with(b" 200"))
                    }
                }
            };
            let passed = matches!(tokio::time::timeout(check.timeout, probe).await, Ok(Ok(true)));
            let mut state = self.lock();
            let shifted = state.health.checked(group, endpoint, passed);
            state.counts.shifts += u64::from(shifted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EndpointGroup, HealthCheck};
    use super::*;

    fn health() -> Health {
        let group = EndpointGroup {
            region: "r".into(),
            endpoints: vec!["127.0.0.1:1".parse().expect("address"); 2],
            routing_control: None,
        };
        Health::new(&Options {
            groups: vec![group],
            health: HealthCheck::default(),
            ..Options::default()
        })
    }

    #[test]
    fn it_takes_a_row_of_checks_either_way() {
        let mut health = health();
        health.checked(0, 1, false);
        health.checked(0, 1, false);
        health.checked(0, 1, true);
        health.checked(0, 1, false);
        health.checked(0, 1, false);
        assert_eq!(health.endpoints(0), [0, 1], "never three in a row");
        health.checked(0, 1, false);
        assert_eq!(health.endpoints(0), [0]);
        assert!(health.group(0));
        health.checked(0, 0, false);
        health.checked(0, 0, false);
        assert!(health.checked(0, 0, false), "the last one shifts the Region");
        assert!(!health.group(0));
        health.checked(0, 1, true);
        health.checked(0, 1, true);
        assert!(health.checked(0, 1, true));
    }

    #[test]
    fn a_control_that_is_off_takes_the_region_out() {
        let mut health = health();
        assert!(health.controlled(0, false));
        assert!(!health.group(0));
        assert!(!health.controlled(0, false), "no change");
        assert!(health.controlled(0, true));
    }
}
