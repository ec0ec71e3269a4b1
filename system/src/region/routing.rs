//! Who writes the ledger: one item, changed by conditional writes.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
};

use aws_sdk_dynamodb::{
    Client,
    error::{DisplayErrorContext, SdkError},
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::ledger::Schema;

/// How far a change of writer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = RoutingState)]
pub enum State {
    /// The writer writes.
    Open,
    /// The writer-to-be is being promoted. Nobody writes.
    FailingOver,
    /// The new writer restores what its ledger has lost. Nobody else writes.
    Quarantined,
}

impl State {
    const ALL: [Self; 3] = [Self::Open, Self::FailingOver, Self::Quarantined];

    /// Its name in the item.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FailingOver => "failing-over",
            Self::Quarantined => "quarantined",
        }
    }
}

impl FromStr for State {
    type Err = RoutingError;

    fn from_str(name: &str) -> Result<Self, RoutingError> {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or(RoutingError::Corrupt("state"))
    }
}

/// Why clients are not sent to a Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its controllers were silent and its gateways did not answer. It is put back when it has been well for a while.
    GivenUp,
    /// The operator took it out, and puts it back.
    Evacuated,
}

impl Absence {
    const ALL: [Self; 2] = [Self::GivenUp, Self::Evacuated];

    /// Its name in the item.
    pub fn name(self) -> &'static str {
        match self {
            Self::GivenUp => "given-up",
            Self::Evacuated => "evacuated",
        }
    }
}

/// Who writes a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Which ledger.
    pub ledger: String,
    /// Changes so far. Whoever changes it names the version that it has seen.
    pub version: i64,
    /// The Region that writes, or will.
    pub writer: String,
    /// The Region that wrote before.
    pub before: Option<String>,
    /// The writer epoch, new with every change of writer.
    pub epoch: i64,
    /// How far the change has come.
    pub state: State,
    /// Whether the writer before is there and hands over: nothing is lost then.
    pub planned: bool,
    /// The oldest version of the schema that may be written.
    pub schema: Schema,
    /// Since when the new writer's ledger may lack what the one before had, by the clock of that one's controller. Known from
    /// quarantine on.
    pub lost_since: Option<OffsetDateTime>,
    /// The Regions that clients are not sent to. The writer is never among them: see [`RoutingTable::change`].
    pub out_of_service: BTreeMap<String, Absence>,
    /// Which process decided.
    pub decided_by: String,
    /// When, by its clock.
    pub decided_at: OffsetDateTime,
    /// Why, for people.
    pub reason: String,
}

/// What somebody makes of a routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was this one's change that came about.
    Won(Routing),
    /// Somebody else's did. Nothing was changed here.
    Lost,
}

/// Who writes could not be read or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RoutingError {
    /// DynamoDB does not answer. A change that was made all the same is seen by the next read.
    #[error("the routing cannot be asked for: {0}")]
    Unavailable(String),
    /// A change is under way.
    #[error("the ledger is not open, so nothing is changed: {0}")]
    Busy(String),
    /// A Region is to be left for itself.
    #[error("{0} is to be left: name another Region that is to write")]
    Itself(String),
    /// There is no item.
    #[error("no Region writes the ledger {0} yet: `payments migrate` says which one does first")]
    Missing(String),
    /// The item holds what this version does not know.
    #[error("the routing's {0} is not one that this version knows")]
    Corrupt(&'static str),
}

fn unavailable<E>(error: &SdkError<E>) -> RoutingError
where
    SdkError<E>: std::error::Error,
{
    RoutingError::Unavailable(DisplayErrorContext(error).to_string())
}

/// The table of the gate, where the item is. Clones share it.
#[derive(Clone, Debug)]
pub struct RoutingTable {
    client: Client,
    table: String,
    ledger: String,
}

impl RoutingTable {
    /// The usual name of a ledger.
    pub const LEDGER: &str = "main";

    /// The routing of a ledger in a table: string partition key `pk`, string sort key `sk`, strongly consistent across Regions.
    pub fn new(client: Client, table: impl Into<String>, ledger: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            ledger: ledger.into(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn partition(&self) -> AttributeValue {
        AttributeValue::S(format!("routing#{}", self.ledger))
    }

    /// Who writes, as of now or later.
    ///
    /// # Errors
    /// See [`RoutingError`].
    pub async fn read(&self) -> Result<Routing, RoutingError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", self.partition())
            .key("sk", AttributeValue::S("routing".to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable(&error))?;
        let item = get
            .item
            .ok_or_else(|| RoutingError::Missing(self.ledger.clone()))?;
        self.parse(&item)
    }

    /// Says which Region writes first, and which version of the schema at least, unless one does.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn create(
        &self,
        writer: &str,
        epoch: i64,
        schema: Schema,
        now: OffsetDateTime,
    ) -> Result<(), RoutingError> {
        let first = Routing {
            ledger: self.ledger.clone(),
            version: 1,
            writer: writer.to_owned(),
            before: None,
            epoch,
            state: State::Open,
            planned: true,
            schema,
            lost_since: None,
            out_of_service: BTreeMap::new(),
            decided_by: "migrate".to_owned(),
            decided_at: now,
            reason: "the first writer".to_owned(),
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(self.item(&first, "")))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            other => other.map(|_| ()).map_err(|error| unavailable(&error)),
        }
    }

    /// Puts `to` in the place of the version before it, if that is still the current one. Whoever is to write is in service
    /// from then on.
    ///
    /// # Errors
    /// When DynamoDB does not say what became of it.
    pub async fn change(&self, mut to: Routing) -> Result<Change, RoutingError> {
        to.out_of_service.remove(&to.writer);
        let nonce = Uuid::new_v4().simple().to_string();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(self.item(&to, &nonce)))
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", AttributeValue::N((to.version - 1).to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match put {
            Ok(_) => Ok(Change::Won(to)),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    // The SDK may have repeated a put whose answer was lost.
                    let own = failed.item().and_then(|item| item.get("nonce"));
                    Ok(if own == Some(&AttributeValue::S(nonce)) {
                        Change::Won(to)
                    } else {
                        Change::Lost
                    })
                }
                _ => Err(unavailable(&error)),
            },
        }
    }

    fn item(&self, routing: &Routing, nonce: &str) -> HashMap<String, AttributeValue> {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let number = |value: i64| AttributeValue::N(value.to_string());
        let time = |at: OffsetDateTime| AttributeValue::S(at.format(&Rfc3339).unwrap_or_default());
        let mut item = HashMap::from([
            ("pk".to_owned(), self.partition()),
            ("sk".to_owned(), text("routing")),
            ("version".to_owned(), number(routing.version)),
            ("writer".to_owned(), text(&routing.writer)),
            ("epoch".to_owned(), number(routing.epoch)),
            ("state".to_owned(), text(routing.state.name())),
            ("planned".to_owned(), AttributeValue::Bool(routing.planned)),
            ("schema".to_owned(), number(routing.schema.number())),
            ("decided_by".to_owned(), text(&routing.decided_by)),
            ("decided_at".to_owned(), time(routing.decided_at)),
            ("reason".to_owned(), text(&routing.reason)),
            ("nonce".to_owned(), text(nonce)),
        ]);
        if !routing.out_of_service.is_empty() {
            let absent = routing.out_of_service.iter();
            let absent = absent.map(|(region, absence)| (region.clone(), text(absence.name())));
            item.insert("out_of_service".to_owned(), AttributeValue::M(absent.collect()));
        }
        item.extend(
            routing
                .before
                .iter()
                .map(|region| ("before".to_owned(), text(region))),
        );
        item.extend(
            routing
                .lost_since
                .map(|since| ("lost_since".to_owned(), time(since))),
        );
        item
    }

    fn parse(&self, item: &HashMap<String, AttributeValue>) -> Result<Routing, RoutingError> {
        let text = |name| {
            let value = item.get(name).and_then(|value| value.as_s().ok());
            value.ok_or(RoutingError::Corrupt(name))
        };
        let number = |name| {
            let value = item.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
            value.ok_or(RoutingError::Corrupt(name))
        };
        let time =
            |name| OffsetDateTime::parse(text(name)?, &Rfc3339).map_err(|_| RoutingError::Corrupt(name));
        let lost_since = item.contains_key("lost_since").then(|| time("lost_since"));
        // The release before does not name it.
        let named = item
            .contains_key("schema")
            .then(|| number("schema"))
            .transpose()?;
        let schema = named.unwrap_or(Schema::V1.number());
        let schema = Schema::ALL.into_iter().find(|known| known.number() == schema);
        // The release before does not name these either, nor does an item in which every Region is in service.
        let absent = item.get("out_of_service").and_then(|value| value.as_m().ok());
        let absent = absent.into_iter().flatten().map(|(region, why)| {
            let why = why.as_s().ok();
            let mut known = Absence::ALL.into_iter();
            let absence = known.find(|absence| Some(absence.name()) == why.map(String::as_str));
            // A later release has a reason of its own: not ours to put the Region back.
            (region.clone(), absence.unwrap_or(Absence::Evacuated))
        });
        let planned = item.get("planned").and_then(|value| value.as_bool().ok());
        Ok(Routing {
            ledger: self.ledger.clone(),
            version: number("version")?,
            writer: text("writer")?.clone(),
            before: text("before").ok().cloned(),
            epoch: number("epoch")?,
            state: text("state")?.parse()?,
            planned: *planned.ok_or(RoutingError::Corrupt("planned"))?,
            // A later one: this process may write none that is taken.
            schema: schema.ok_or(RoutingError::Corrupt("schema"))?,
            lost_since: lost_since.transpose()?,
            out_of_service: absent.collect(),
            decided_by: text("decided_by")?.clone(),
            decided_at: time("decided_at")?,
            reason: text("reason")?.clone(),
        })
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ledger {} is {} in {}, epoch {}, version {}, decided by {} at {}: {}",
            self.ledger,
            self.state.name(),
            self.writer,
            self.epoch,
            self.version,
            self.decided_by,
            self.decided_at,
            self.reason
        )?;
        for (region, absence) in &self.out_of_service {
            write!(f, "; clients are not sent to {region}: {}", absence.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region};

    use super::*;

    fn table() -> RoutingTable {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"));
        RoutingTable::new(Client::from_conf(config.build()), "gate", RoutingTable::LEDGER)
    }

    fn routing() -> Routing {
        let absent = [("a", Absence::GivenUp), ("c", Absence::Evacuated)];
        Routing {
            ledger: RoutingTable::LEDGER.to_owned(),
            version: 3,
            writer: "b".to_owned(),
            before: Some("a".to_owned()),
            epoch: 2,
            state: State::Quarantined,
            planned: false,
            schema: Schema::default(),
            lost_since: Some(OffsetDateTime::UNIX_EPOCH),
            out_of_service: absent
                .map(|(region, absence)| (region.to_owned(), absence))
                .into(),
            decided_by: "test".to_owned(),
            decided_at: OffsetDateTime::UNIX_EPOCH,
            reason: "a was given up".to_owned(),
        }
    }

    #[test]
    fn an_item_says_what_was_decided() {
        let (table, routing) = (table(), routing());
        assert_eq!(table.parse(&table.item(&routing, "n")).unwrap(), routing);
    }

    #[test]
    fn an_item_of_the_release_before_has_every_region_in_service() {
        let table = table();
        let mut item = table.item(&routing(), "n");
        item.remove("out_of_service");
        assert!(table.parse(&item).unwrap().out_of_service.is_empty());
    }

    #[test]
    fn a_region_that_a_later_release_took_out_stays_out() {
        let table = table();
        let mut item = table.item(&routing(), "n");
        let later = HashMap::from([("a".to_owned(), AttributeValue::S("sold".to_owned()))]);
        item.insert("out_of_service".to_owned(), AttributeValue::M(later));
        let absent = table.parse(&item).unwrap().out_of_service;
        assert_eq!(absent, BTreeMap::from([("a".to_owned(), Absence::Evacuated)]));
    }
}
