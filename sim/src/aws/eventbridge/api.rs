//! The operations of EventBridge between their JSON and [`Buses`], all but `PutEvents`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::buses::{Buses, Rule};
use super::error::Error;
use super::pattern::Pattern;
use super::target::Target;
use crate::aws::wire::{self, parse};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Given {
    name: Option<String>,
    name_prefix: Option<String>,
    rule: Option<String>,
    event_bus_name: Option<String>,
    event_pattern: Option<String>,
    event: Option<String>,
    schedule_expression: Option<String>,
    role_arn: Option<String>,
    state: Option<String>,
    description: Option<String>,
    targets: Vec<Target>,
    target_arn: Option<String>,
    ids: Vec<String>,
    limit: Option<usize>,
    next_token: Option<String>,
    event_source_name: Option<String>,
}

fn required<'a>(value: &'a Option<String>, name: &str) -> Result<&'a str, Error> {
    value.as_deref().ok_or_else(|| {
        Error::Validation(format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

fn unsimulated(what: &str) -> Error {
    Error::Validation(format!("{what} is not simulated."))
}

/// Performs any operation but `PutEvents`.
pub(super) fn perform(buses: &mut Buses, operation: &str, body: Value) -> Result<Value, wire::Error> {
    let given: Given = parse(body)?;
    let bus = buses.bus_name(given.event_bus_name.as_deref());
    match operation {
        "CreateEventBus" => {
            if given.event_source_name.is_some() {
                return Err(unsimulated("EventSourceName").into());
            }
            let name = required(&given.name, "name")?;
            buses.create_bus(name)?;
            Ok(json!({ "EventBusArn": buses.bus_arn(name) }))
        }
        "DeleteEventBus" => {
            let name = buses.bus_name(Some(required(&given.name, "name")?));
            buses.delete_bus(&name)?;
            Ok(json!({}))
        }
        "DescribeEventBus" => {
            let name = buses.bus_name(given.name.as_deref());
            buses.rules(&name)?;
            Ok(json!({ "Name": name, "Arn": buses.bus_arn(&name) }))
        }
        "ListEventBuses" => {
            let all = buses
                .names()
                .map(|name| (name, json!({ "Name": name, "Arn": buses.bus_arn(name) })));
            Ok(page("EventBuses", all, &given))
        }
        "PutRule" => put_rule(buses, &bus, &given),
        "DeleteRule" => {
            buses.delete_rule(&bus, required(&given.name, "name")?)?;
            Ok(json!({}))
        }
        "EnableRule" | "DisableRule" => {
            buses.enable(&bus, required(&given.name, "name")?, operation == "EnableRule")?;
            Ok(json!({}))
        }
        "DescribeRule" => {
            let name = required(&given.name, "name")?;
            Ok(describe(buses, &bus, name, buses.rule(&bus, name)?))
        }
        "ListRules" => {
            let rules = buses.rules(&bus)?.iter();
            let all = rules.map(|(name, rule)| (name.as_str(), describe(buses, &bus, name, rule)));
            Ok(page("Rules", all, &given))
        }
        "PutTargets" => {
            buses.put_targets(&bus, required(&given.rule, "rule")?, given.targets)?;
            Ok(json!({ "FailedEntryCount": 0, "FailedEntries": [] }))
        }
        "RemoveTargets" => {
            let unknown = buses.remove_targets(&bus, required(&given.rule, "rule")?, &given.ids)?;
            let failed = unknown.iter().map(|id| {
                let message = "Rule does not have this target.";
                json!({ "TargetId": id, "ErrorCode": "ResourceNotFoundException", "ErrorMessage": message })
            });
            Ok(json!({ "FailedEntryCount": unknown.len(), "FailedEntries": failed.collect::<Vec<_>>() }))
        }
        "ListTargetsByRule" => {
            let targets = buses.rule(&bus, required(&given.rule, "rule")?)?.targets.iter();
            Ok(page(
                "Targets",
                targets.map(|(id, target)| (id.as_str(), json!(target))),
                &given,
            ))
        }
        "ListRuleNamesByTarget" => {
            let arn = required(&given.target_arn, "targetArn")?;
            let rules = buses.rules(&bus)?.iter();
            let named = rules.filter(|(_, rule)| rule.targets.values().any(|target| target.arn == arn));
            Ok(page(
                "RuleNames",
                named.map(|(name, _)| (name.as_str(), json!(name))),
                &given,
            ))
        }
        "TestEventPattern" => {
            let pattern =
                Pattern::parse(required(&given.event_pattern, "eventPattern")?).map_err(Error::from)?;
            let event = serde_json::from_str(required(&given.event, "event")?)
                .map_err(|_| Error::Validation("Parameter Event is not valid.".to_owned()))?;
            Ok(json!({ "Result": pattern.matches(&event) }))
        }
        other if REFUSED.contains(&other) => Err(unsimulated(other).into()),
        _ => Err(wire::Error::unknown_operation()),
    }
}

fn put_rule(buses: &mut Buses, bus: &str, given: &Given) -> Result<Value, wire::Error> {
    if given.schedule_expression.is_some() {
        return Err(unsimulated("ScheduleExpression").into());
    }
    if given.role_arn.is_some() {
        return Err(unsimulated("RoleArn of a rule").into());
    }
    let enabled = match given.state.as_deref() {
        None | Some("ENABLED") => true,
        Some("DISABLED") => false,
        Some(other) => return Err(unsimulated(&format!("State {other}")).into()),
    };
    let Some(pattern) = given.event_pattern.as_deref() else {
        let text = "Parameter(s) EventPattern or ScheduleExpression must be specified.";
        return Err(Error::Validation(text.to_owned()).into());
    };
    let name = required(&given.name, "name")?;
    let arn = buses.put_rule(bus, name, pattern, enabled, given.description.clone())?;
    Ok(json!({ "RuleArn": arn }))
}

fn describe(buses: &Buses, bus: &str, name: &str, rule: &Rule) -> Value {
    let mut described = json!({
        "Name": name,
        "Arn": buses.rule_arn(bus, name),
        "EventPattern": rule.pattern_text,
        "State": if rule.enabled { "ENABLED" } else { "DISABLED" },
        "EventBusName": bus,
    });
    if let Some(description) = &rule.description {
        described["Description"] = json!(description);
    }
    described
}

/// One page of a list that is in the order of its names; the token is the name after which to go on.
fn page<'a>(member: &str, all: impl Iterator<Item = (&'a str, Value)>, given: &Given) -> Value {
    let prefix = given.name_prefix.clone().unwrap_or_default();
    let after = given.next_token.clone().unwrap_or_default();
    let limit = given.limit.unwrap_or(100).clamp(1, 100);
    let rest = all.filter(|(name, _)| name.starts_with(&prefix) && *name > after.as_str());
    let mut rest = rest.peekable();
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let last = page.last().map(|(name, _)| (*name).to_owned());
    let mut answer = json!({ member: page.into_iter().map(|(_, value)| value).collect::<Vec<_>>() });
    if rest.peek().is_some() {
        answer["NextToken"] = json!(last);
    }
    answer
}

/// Operations of AWS that are not simulated.
const REFUSED: [&str; 40] = [
    "ActivateEventSource",
    "CancelReplay",
    "CreateApiDestination",
    "CreateArchive",
    "CreateConnection",
    "CreateEndpoint",
    "CreatePartnerEventSource",
    "DeactivateEventSource",
    "DeauthorizeConnection",
    "DeleteApiDestination",
    "DeleteArchive",
    "DeleteConnection",
    "DeleteEndpoint",
    "DeletePartnerEventSource",
    "DescribeApiDestination",
    "DescribeArchive",
    "DescribeConnection",
    "DescribeEndpoint",
    "DescribeEventSource",
    "DescribePartnerEventSource",
    "DescribeReplay",
    "ListApiDestinations",
    "ListArchives",
    "ListConnections",
    "ListEndpoints",
    "ListEventSources",
    "ListPartnerEventSourceAccounts",
    "ListPartnerEventSources",
    "ListReplays",
    "ListTagsForResource",
    "PutPartnerEvents",
    "PutPermission",
    "RemovePermission",
    "StartReplay",
    "TagResource",
    "UntagResource",
    "UpdateApiDestination",
    "UpdateArchive",
    "UpdateConnection",
    "UpdateEventBus",
];
