//! Narrower places for faults: everywhere becomes a Region, a Region one of its hosts, a gateway one of a smaller number, so that
//! the others can go. A Region that is lost becomes a machine that is, one that is isolated a cut towards one other Region.

use serde_json::{Value, json};

use crate::stage::REGIONS;

/// What stands in every Region besides gateways.
const SERVICES: [&str; 4] = ["aurora", "dynamodb", "eventbridge", "sqs"];

/// The places one step narrower.
pub(super) fn narrower(place: &str, gateways: u8) -> Vec<String> {
    if place == "*" {
        return REGIONS.map(str::to_owned).to_vec();
    }
    if REGIONS.contains(&place) {
        return hosts(place, gateways);
    }
    match gateway(place) {
        Some((region, number)) => (0..number)
            .map(|less| format!("gateway-{region}-{less}"))
            .collect(),
        None => Vec::new(),
    }
}

/// The faults one step narrower, of those that speak of whole Regions.
pub(super) fn narrower_faults(fault: &Value, gateways: u8) -> Vec<Value> {
    let (lost, isolated) = (&fault["region-loss"], &fault["region-isolated"]);
    if let Some(region) = lost["region"].as_str() {
        let machine = |host| json!({"machine-loss": {"place": host, "disk": lost["disk"]}});
        return hosts(region, gateways).into_iter().map(machine).collect();
    }
    if let Some(region) = isolated["region"].as_str() {
        let others = REGIONS.iter().filter(|other| **other != region);
        let cut = |other| json!({"partition": {"from": region, "to": other, "one_way": false}});
        return others.map(cut).collect();
    }
    Vec::new()
}

/// How wide a place is, or a fault: only the narrower one is the smaller one.
pub(super) fn breadth(value: &Value) -> u32 {
    const EVERYWHERE: u32 = 2_000;
    const REGION: u32 = 1_000;
    match value {
        Value::String(place) if place == "*" => EVERYWHERE,
        Value::String(place) if REGIONS.contains(&place.as_str()) => REGION,
        Value::String(place) => gateway(place).map_or(0, |(_, number)| number.into()),
        Value::Object(fault) => match fault.keys().any(|kind| kind.starts_with("region-")) {
            true => REGION,
            false => 0,
        },
        _ => 0,
    }
}

fn hosts(region: &str, gateways: u8) -> Vec<String> {
    let gateways = (0..gateways).map(|number| format!("gateway-{region}-{number}"));
    let services = SERVICES.iter().map(|service| format!("{service}-{region}"));
    gateways.chain(services).collect()
}

/// The Region and the number of a gateway.
fn gateway(place: &str) -> Option<(&str, u8)> {
    let (region, number) = place.strip_prefix("gateway-")?.rsplit_once('-')?;
    Some((region, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sumzero_sim::{Fault, Plan};

    use super::*;
    use crate::{script::Script, stage};

    #[test]
    fn every_host_that_a_region_is_narrowed_to_is_on_the_stage() {
        for region in REGIONS {
            for host in narrower(region, 2) {
                let kill = Fault::kill(&host).at(Duration::from_secs(1));
                let script = Script {
                    plan: Plan { faults: vec![kill] },
                    ..Script::calm(1)
                };
                assert!(stage::check(&script).is_ok(), "{host}");
            }
        }
    }

    #[test]
    fn each_step_is_narrower() {
        let mut places = vec!["*".to_owned(), "gateway-us-west-2-3".to_owned()];
        let mut steps = 0;
        while let Some(place) = places.pop() {
            for to in narrower(&place, 2) {
                assert!(
                    breadth(&to.clone().into()) < breadth(&place.clone().into()),
                    "{to} {place}"
                );
                places.push(to);
                steps += 1;
            }
        }
        assert!(steps > 20);
        for host in ["psp", "client-1", "aurora-us-east-1"] {
            assert_eq!(narrower(host, 2), Vec::<String>::new());
        }
    }
}
