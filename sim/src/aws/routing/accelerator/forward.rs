//! Forwarding: which endpoint a new connection goes to, and the bytes both ways until either side ends it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Accelerator;

impl Accelerator {
    pub(super) async fn forward_all(&self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // Unbiased selection would draw from a generator that no seed controls.
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((client, from)) => {
                        connections.spawn(self.clone().forward(client, from.ip()));
                    }
                    // Out of descriptors, or a connection that died early: the next may do better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn forward(self, mut client: TcpStream, from: IpAddr) {
        let Some(address) = self.choose(from) else { return };
        match TcpStream::connect(address).await {
            Ok(mut endpoint) => {
                let _ = (client.set_nodelay(true), endpoint.set_nodelay(true));
                // However it ends, both sides are closed by dropping them.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await;
            }
            Err(_) => self.lock().counts.unreachable += 1,
        }
    }

    /// A random endpoint of the nearest healthy Region; of the nearest Region at all, if none is healthy.
    pub(super) fn choose(&self, from: IpAddr) -> Option<SocketAddr> {
        let options = &self.0.options;
        let near = options.nearest.get(&from).map_or(&[][..], Vec::as_slice);
        let distance = |group: &usize| {
            let region = &options.groups[*group].region;
            (
                near.iter().position(|near| near == region).unwrap_or(usize::MAX),
                *group,
            )
        };
        let mut groups: Vec<usize> = (0..options.groups.len())
            .filter(|n| !options.groups[*n].endpoints.is_empty())
            .collect();
        groups.sort_by_key(distance);
        let mut state = self.lock();
        let healthy = groups.iter().copied().find(|group| state.health.group(*group));
        let (group, candidates) = match healthy {
            Some(group) => (group, state.health.endpoints(group)),
            None => {
                let group = groups.first().copied()?;
                state.counts.failed_open += 1;
                (group, (0..options.groups[group].endpoints.len()).collect())
            }
        };
        let chosen = candidates.get(state.pick.below(candidates.len() as u64) as usize)?;
        let region = options.groups[group].region.clone();
        *state.counts.connections.entry(region).or_default() += 1;
        options.groups[group].endpoints.get(*chosen).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Accelerator, EndpointGroup, Options};
    use std::collections::BTreeMap;

    #[test]
    fn the_nearest_healthy_region_and_the_nearest_at_all_when_none_is() {
        let group = |region: &str, port: u16| EndpointGroup {
            region: region.into(),
            endpoints: vec![([127, 0, 0, 1], port).into()],
            routing_control: None,
        };
        let (east, west) = ("10.0.0.1".parse().expect("ip"), "10.0.0.2".parse().expect("ip"));
        let accelerator = Accelerator::new(Options {
            groups: vec![group("east", 1), group("west", 2), group("south", 3)],
            nearest: BTreeMap::from([(west, vec!["west".into(), "south".into()])]),
            ..Options::default()
        });
        let port = |from| accelerator.choose(from).map(|address| address.port());
        assert_eq!((port(east), port(west)), (Some(1), Some(2)));
        let down = |group, down: bool| {
            for _ in 0..3 {
                accelerator.lock().health.checked(group, 0, !down);
            }
        };
        down(1, true);
        assert_eq!((port(east), port(west)), (Some(1), Some(3)));
        down(0, true);
        down(2, true);
        assert_eq!((port(east), port(west)), (Some(1), Some(2)), "open");
        assert_eq!(accelerator.counts().failed_open, 2);
        down(2, false);
        assert_eq!((port(east), port(west)), (Some(3), Some(3)));
    }
}
