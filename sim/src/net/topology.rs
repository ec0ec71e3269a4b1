//! Who is where: hosts by name and IP address, in zones, in Regions.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::error::Error;

/// A host's number in its world, in the order in which the hosts were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u16);

impl HostId {
    pub(crate) fn new(index: usize) -> HostId {
        HostId(u16::try_from(index).expect("a world has fewer than 65,536 hosts; Topology::new checks it"))
    }

    /// Its place in the order of the hosts, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Where a host stands, before the world checks it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) name: Arc<str>,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) region: Arc<str>,
    pub(crate) zone: Arc<str>,
}

/// The checked map of a world.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    sites: Vec<Site>,
    ips: Vec<Ipv4Addr>,
    by_ip: BTreeMap<Ipv4Addr, HostId>,
    /// Every name that a fault or a link may use, with the hosts that it stands for.
    places: BTreeMap<Arc<str>, Vec<HostId>>,
}

impl Topology {
    /// Hosts without an address get one: 10.REGION.HIGH.LOW by their Region's and their own place in the order.
    pub(crate) fn new(sites: Vec<Site>) -> Result<Topology, Error> {
        if sites.is_empty() {
            return Err(Error::EmptyWorld);
        }
        if sites.len() > 10_000 {
            return Err(Error::TooManyHosts { hosts: sites.len() });
        }
        let mut kinds: BTreeMap<Arc<str>, &'static str> = BTreeMap::new();
        let mut places: BTreeMap<Arc<str>, Vec<HostId>> = BTreeMap::new();
        let mut by_ip: BTreeMap<Ipv4Addr, HostId> = BTreeMap::new();
        let mut regions: Vec<Arc<str>> = Vec::new();
        for (index, site) in sites.iter().enumerate() {
            let id = HostId::new(index);
            if kinds.insert(site.name.clone(), "host").is_some() {
                return Err(Error::DuplicateName {
                    name: site.name.to_string(),
                });
            }
            for (name, kind) in [(&site.zone, "zone"), (&site.region, "Region")] {
                match kinds.insert(name.clone(), kind) {
                    Some(other) if other != kind => {
                        return Err(Error::DuplicateName {
                            name: name.to_string(),
                        });
                    }
                    _ => places.entry(name.clone()).or_default().push(id),
                }
            }
            places.insert(site.name.clone(), vec![id]);
            if !regions.contains(&site.region) {
                regions.push(site.region.clone());
            }
            if let Some(ip) = site.ip {
                if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
                    return Err(Error::UnusableAddress {
                        host: site.name.to_string(),
                        ip,
                    });
                }
                if let Some(first) = by_ip.insert(ip, id) {
                    return Err(Error::DuplicateAddress {
                        ip,
                        first: sites[first.index()].name.to_string(),
                        second: site.name.to_string(),
                    });
                }
            }
        }
        places.insert("*".into(), (0..sites.len()).map(HostId::new).collect());
        let mut ips = Vec::with_capacity(sites.len());
        for (index, site) in sites.iter().enumerate() {
            let ip = site.ip.unwrap_or_else(|| {
                let region = regions
                    .iter()
                    .position(|region| *region == site.region)
                    .unwrap_or(0);
                let mut number = index as u32 + 1;
                loop {
                    let ip = Ipv4Addr::from(0x0a00_0000 | ((region as u32 & 0xff) << 16) | (number & 0xffff));
                    if !by_ip.contains_key(&ip) {
                        break ip;
                    }
                    number += 1;
                }
            });
            by_ip.insert(ip, HostId::new(index));
            ips.push(ip);
        }
        Ok(Topology {
            sites,
            ips,
            by_ip,
            places,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.sites.len()
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.sites.len()).map(HostId::new)
    }

    pub(crate) fn name(&self, host: HostId) -> &Arc<str> {
        &self.sites[host.index()].name
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.sites.iter().map(|site| site.name.clone()).collect()
    }

    pub(crate) fn ip(&self, host: HostId) -> Ipv4Addr {
        self.ips[host.index()]
    }

    pub(crate) fn at_ip(&self, ip: Ipv4Addr) -> Option<HostId> {
        self.by_ip.get(&ip).copied()
    }

    pub(crate) fn same_zone(&self, a: HostId, b: HostId) -> bool {
        let (a, b) = (&self.sites[a.index()], &self.sites[b.index()]);
        a.region == b.region && a.zone == b.zone
    }

    pub(crate) fn same_region(&self, a: HostId, b: HostId) -> bool {
        self.sites[a.index()].region == self.sites[b.index()].region
    }

    /// The hosts that the name of a host, a zone or a Region stands for; `*` is all of them.
    pub(crate) fn place(&self, name: &str) -> Result<&[HostId], Error> {
        self.places
            .get(name)
            .map(Vec::as_slice)
            .ok_or_else(|| Error::UnknownPlace {
                name: name.to_owned(),
                nearest: nearest(name, self.places.keys()),
            })
    }

    /// The hosts of a place that must be a Region.
    pub(crate) fn region(&self, name: &str) -> Result<&[HostId], Error> {
        if self.sites.iter().any(|site| &*site.region == name) {
            return self.place(name);
        }
        let regions: Vec<_> = self.sites.iter().map(|site| site.region.clone()).collect();
        Err(Error::UnknownRegion {
            name: name.to_owned(),
            nearest: nearest(name, regions.iter()),
        })
    }

    /// The one host of this name.
    pub(crate) fn host(&self, name: &str) -> Result<HostId, Error> {
        self.sites
            .iter()
            .position(|site| &*site.name == name)
            .map(HostId::new)
            .ok_or_else(|| Error::UnknownHost {
                name: name.to_owned(),
                nearest: nearest(name, self.sites.iter().map(|site| &site.name)),
            })
    }
}

/// The known name that looks most like the one given: what the writer probably meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a Arc<str>>) -> String {
    known
        .filter(|candidate| &***candidate != "*")
        .map(|candidate| (edits(name, candidate), candidate))
        .min()
        .map(|(_, candidate)| candidate.to_string())
        .unwrap_or_default()
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
