//! The event buses of one account in one Region, their rules, and which deliveries an event causes.
//!
//! Nothing here waits or sends. As in AWS, an event put on a bus that does not exist is accepted, and lost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{EntryError, Error};
use super::event::Entry;
use super::outbox::Delivery;
use super::pattern::Pattern;
use super::target::{Target, queue_name};
use crate::{Seed, Stream};

/// Entries of one `PutEvents`, at most.
pub const ENTRIES_MAX: usize = 10;
/// The bytes of all entries of one `PutEvents` together stay below this.
pub const REQUEST_BYTES_MAX: usize = 1_048_576;
const BUSES_MAX: usize = 100;
const RULES_MAX: usize = 300;
const TARGETS_MAX: usize = 5;

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The pattern as it was given.
    pub pattern_text: String,
    pattern: Pattern,
    /// Whether it takes events.
    pub enabled: bool,
    /// Free text.
    pub description: Option<String>,
    /// By id.
    pub targets: BTreeMap<String, Target>,
}

/// All buses.
#[derive(Debug)]
pub struct Buses {
    pub(super) region: String,
    pub(super) account: String,
    buses: BTreeMap<String, BTreeMap<String, Rule>>,
    ids: Stream,
}

/// A name as AWS allows it for buses and rules.
fn check_name(name: &str, what: &str, max: usize) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match (1..=max).contains(&name.len()) && name.chars().all(plain) {
        true => Ok(()),
        false => Err(Error::Validation(format!(
            "Value '{name}' at '{what}' failed to satisfy constraint."
        ))),
    }
}

impl Buses {
    /// The default bus, with no rules.
    pub fn new(region: impl Into<String>, account: impl Into<String>, seed: u64) -> Self {
        let (region, account) = (region.into(), account.into());
        let ids = Seed(seed).stream(&format!("eventbridge/{region}/{account}/id"));
        let buses = BTreeMap::from([("default".to_owned(), BTreeMap::new())]);
        Self {
            region,
            account,
            buses,
            ids,
        }
    }

    /// The ARN of a bus.
    pub fn bus_arn(&self, bus: &str) -> String {
        format!("arn:aws:events:{}:{}:event-bus/{bus}", self.region, self.account)
    }

    /// The ARN of a rule.
    pub fn rule_arn(&self, bus: &str, rule: &str) -> String {
        let path = if bus == "default" {
            rule.to_owned()
        } else {
            format!("{bus}/{rule}")
        };
        format!("arn:aws:events:{}:{}:rule/{path}", self.region, self.account)
    }

    /// A bus's name, from its name or its ARN; the default one's if none.
    pub fn bus_name(&self, given: Option<&str>) -> String {
        let given = given.unwrap_or("default");
        given.strip_prefix(&self.bus_arn("")).unwrap_or(given).to_owned()
    }

    /// The names of all buses, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.buses.keys().map(String::as_str)
    }

    /// The rules of a bus.
    ///
    /// # Errors
    /// No such bus.
    pub fn rules(&self, bus: &str) -> Result<&BTreeMap<String, Rule>, Error> {
        self.buses.get(bus).ok_or_else(|| no_bus(bus))
    }

    /// A rule.
    ///
    /// # Errors
    /// No such bus or rule.
    pub fn rule(&self, bus: &str, rule: &str) -> Result<&Rule, Error> {
        self.rules(bus)?.get(rule).ok_or_else(|| no_rule(bus, rule))
    }

    fn rule_mut(&mut self, bus: &str, rule: &str) -> Result<&mut Rule, Error> {
        let rules = self.buses.get_mut(bus).ok_or_else(|| no_bus(bus))?;
        rules.get_mut(rule).ok_or_else(|| no_rule(bus, rule))
    }

    /// Makes a bus.
    ///
    /// # Errors
    /// A bad name, one that exists, or too many.
    pub fn create_bus(&mut self, bus: &str) -> Result<(), Error> {
        check_name(bus, "name", 256)?;
        if self.buses.contains_key(bus) {
            return Err(Error::ResourceAlreadyExists(format!(
                "Event bus {bus} already exists."
            )));
        }
        if self.buses.len() >= BUSES_MAX {
            return Err(Error::LimitExceeded(
                "The requested resource exceeds the maximum number allowed.".into(),
            ));
        }
        self.buses.insert(bus.to_owned(), BTreeMap::new());
        Ok(())
    }

    /// Deletes a bus without rules; one that does not exist is no error.
    ///
    /// # Errors
    /// It is the default bus, or has rules.
    pub fn delete_bus(&mut self, bus: &str) -> Result<(), Error> {
        if bus == "default" {
            return Err(Error::Validation("Cannot delete event bus default.".to_owned()));
        }
        if self.buses.get(bus).is_some_and(|rules| !rules.is_empty()) {
            return Err(Error::Validation(
                "Event bus can't be deleted since it has rules.".to_owned(),
            ));
        }
        self.buses.remove(bus);
        Ok(())
    }

    /// Makes a rule, or changes it and keeps its targets. Gives its ARN.
    ///
    /// # Errors
    /// No such bus, a bad name or pattern, or too many rules.
    pub fn put_rule(
        &mut self,
        bus: &str,
        name: &str,
        pattern: &str,
        enabled: bool,
        description: Option<String>,
    ) -> Result<String, Error> {
        check_name(name, "name", 64)?;
        let parsed = Pattern::parse(pattern)?;
        let rules = self.buses.get_mut(bus).ok_or_else(|| no_bus(bus))?;
        if rules.len() >= RULES_MAX && !rules.contains_key(name) {
            return Err(Error::LimitExceeded(
                "The requested resource exceeds the maximum number allowed.".into(),
            ));
        }
        let targets = rules.remove(name).map(|rule| rule.targets).unwrap_or_default();
        let rule = Rule {
            pattern_text: pattern.to_owned(),
            pattern: parsed,
            enabled,
            description,
            targets,
        };
        rules.insert(name.to_owned(), rule);
        Ok(self.rule_arn(bus, name))
    }

    /// Deletes a rule without targets; one that does not exist is no error.
    ///
    /// # Errors
    /// No such bus, or it has targets.
    pub fn delete_rule(&mut self, bus: &str, name: &str) -> Result<(), Error> {
        let rules = self.buses.get_mut(bus).ok_or_else(|| no_bus(bus))?;
        if rules.get(name).is_some_and(|rule| !rule.targets.is_empty()) {
            return Err(Error::Validation(
                "Rule can't be deleted since it has targets.".to_owned(),
            ));
        }
        rules.remove(name);
        Ok(())
    }

    /// Switches a rule on or off.
    ///
    /// # Errors
    /// No such bus or rule.
    pub fn enable(&mut self, bus: &str, name: &str, enabled: bool) -> Result<(), Error> {
        self.rule_mut(bus, name)?.enabled = enabled;
        Ok(())
    }

    /// Adds targets to a rule, each in the place of one with the same id.
    ///
    /// # Errors
    /// No such rule, a bad target, or too many; then none is added.
    pub fn put_targets(&mut self, bus: &str, name: &str, targets: Vec<Target>) -> Result<(), Error> {
        for target in &targets {
            target.check(&self.region, &self.account)?;
        }
        let rule = self.rule_mut(bus, name)?;
        let mut all = rule.targets.clone();
        let given = targets.len();
        let distinct: BTreeMap<_, _> = targets.into_iter().map(|t| (t.id.clone(), t)).collect();
        if distinct.len() < given {
            return Err(Error::Validation(
                "Target Ids must be distinct in a request.".to_owned(),
            ));
        }
        all.extend(distinct);
        if all.len() > TARGETS_MAX {
            return Err(Error::LimitExceeded(
                "The requested resource exceeds the maximum number allowed.".into(),
            ));
        }
        rule.targets = all;
        Ok(())
    }

    /// Takes targets from a rule; gives the ids that it did not have.
    ///
    /// # Errors
    /// No such bus or rule.
    pub fn remove_targets(&mut self, bus: &str, name: &str, ids: &[String]) -> Result<Vec<String>, Error> {
        let rule = self.rule_mut(bus, name)?;
        Ok(ids
            .iter()
            .filter(|id| rule.targets.remove(*id).is_none())
            .cloned()
            .collect())
    }

    /// Refuses a request whole.
    ///
    /// # Errors
    /// Too few or too many entries, or too many bytes.
    pub fn check_request(entries: &[Entry]) -> Result<(), Error> {
        if !(1..=ENTRIES_MAX).contains(&entries.len()) {
            return Err(Error::Validation(format!(
                "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have \
                 length less than or equal to {ENTRIES_MAX} and greater than or equal to 1"
            )));
        }
        if entries.iter().map(Entry::size).sum::<usize>() >= REQUEST_BYTES_MAX {
            return Err(Error::Validation(
                "Total size of the entries in the request is over the limit.".to_owned(),
            ));
        }
        Ok(())
    }

    /// Takes one entry: its event's id, and the deliveries that the bus's rules make of it.
    ///
    /// # Errors
    /// As one entry of a request fails.
    pub fn put_event(
        &mut self,
        entry: &Entry,
        now: Duration,
        wall: Duration,
    ) -> Result<(String, Vec<Delivery>), EntryError> {
        let event = entry.accept(self.ids.uuid(), &self.region, &self.account, wall)?;
        let bus = self.bus_name(entry.event_bus_name.as_deref());
        let mut deliveries = Vec::new();
        for (name, rule) in self.buses.get(&bus).into_iter().flatten() {
            if !rule.enabled || !rule.pattern.matches(&event.value) {
                continue;
            }
            for target in rule.targets.values() {
                let queue = queue_name(&target.arn, &self.region, &self.account);
                let (Some(queue), Some(body)) = (queue, target.input(&event)) else {
                    continue;
                };
                deliveries.push(Delivery {
                    event: event.id.clone(),
                    rule: self.rule_arn(&bus, name),
                    queue,
                    body,
                    since: now,
                    attempts: 0,
                    target: target.clone(),
                });
            }
        }
        Ok((event.id, deliveries))
    }
}

fn no_bus(bus: &str) -> Error {
    Error::ResourceNotFound(format!("Event bus {bus} does not exist."))
}

fn no_rule(bus: &str, rule: &str) -> Error {
    Error::ResourceNotFound(format!("Rule {rule} does not exist on EventBus {bus}."))
}
