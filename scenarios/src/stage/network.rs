//! Where everything is.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use sumzero_sim::{Link, World};

/// The Regions, all of one set for strongly consistent tables. The first one writes.
pub const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

/// Where AWS has the endpoints of every ARC cluster.
pub(super) const ARC_REGIONS: [&str; 5] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "ap-northeast-1",
    "ap-southeast-2",
];

/// Where clients are, and the operator: in no Region that can be lost.
pub(super) const ELSEWHERE: &str = "internet";

pub(super) const PSP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(super) const KYC: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Of every HTTP service.
pub(super) const HTTP: u16 = 8080;

pub(super) const POSTGRES: u16 = 5432;
pub(super) const POSTGRES_READER: u16 = 5433;
pub(super) const POSTGRES_REPLICATION: u16 = 5434;
pub(super) const RDS: u16 = 8081;
pub(super) const DYNAMODB: u16 = 8000;
pub(super) const DYNAMODB_REPLICATION: u16 = 8001;
pub(super) const ARC_MEMBERS: u16 = 8002;

pub(super) fn aurora(region: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, region as u8, 0, 1)
}

pub(super) fn dynamodb(region: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, region as u8, 0, 2)
}

pub(super) fn eventbridge(region: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, region as u8, 0, 3)
}

pub(super) fn sqs(region: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, region as u8, 0, 4)
}

/// An endpoint of the ARC cluster, by its place among [`ARC_REGIONS`].
pub(super) fn arc(member: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 10, 0, member as u8 + 1)
}

pub(super) fn worker(region: usize, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, region as u8, 2, number + 1)
}

/// A process that serves clients.
pub(super) struct Gateway {
    pub name: String,
    pub ip: Ipv4Addr,
}

/// A Region's gateway, `gateways` of which there are.
pub(super) fn gateway(region: usize, number: u8) -> Gateway {
    Gateway {
        name: format!("gateway-{}-{number}", REGIONS[region]),
        ip: Ipv4Addr::new(10, region as u8, 1, number + 1),
    }
}

pub(super) fn at(ip: Ipv4Addr, port: u16) -> SocketAddr {
    (ip, port).into()
}

/// Round trips as measured between the Regions, halved; the providers are near the first one.
pub(super) fn links(world: World) -> World {
    let between = [
        ("us-east-1", "us-east-2", 6_000),
        ("us-east-1", "us-west-2", 31_000),
        ("us-east-2", "us-west-2", 25_000),
        ("us-east-1", "providers", 10_000),
        ("us-east-2", "providers", 14_000),
        ("us-west-2", "providers", 35_000),
        ("us-east-1", ELSEWHERE, 10_000),
        ("us-east-2", ELSEWHERE, 14_000),
        ("us-west-2", ELSEWHERE, 35_000),
    ];
    between
        .into_iter()
        .fold(world, |world, (one, other, microseconds)| {
            world.link(one, other, Link::delay(Duration::from_micros(microseconds)))
        })
}
