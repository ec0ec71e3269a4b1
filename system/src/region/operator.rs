//! What an operator asks for by plan: that a Region be left, that it write again, that clients be sent to it again. Each is one
//! conditional write of the routing; the controllers carry it out.

use time::OffsetDateTime;

use super::routing::{Absence, Change, Routing, RoutingError, RoutingTable, State};

/// An operator, by the routing.
#[derive(Clone, Debug)]
pub struct Operator {
    table: RoutingTable,
    name: String,
}

impl Operator {
    /// Whoever decides under this name.
    pub fn new(table: RoutingTable, name: impl Into<String>) -> Self {
        Self {
            table,
            name: name.into(),
        }
    }

    /// Takes a Region out of service until it is returned. If it writes, another one does from then on, without loss. The
    /// decision; none if the Region was out of service already.
    ///
    /// # Errors
    /// When the ledger is not open, both Regions are the same, or the routing changes meanwhile: nothing was changed then.
    pub async fn evacuate(
        &self,
        region: &str,
        to: &str,
        now: OffsetDateTime,
    ) -> Result<Option<Routing>, RoutingError> {
        if region == to {
            return Err(RoutingError::Itself(region.to_owned()));
        }
        let mut routing = self.open().await?;
        let before = routing
            .out_of_service
            .insert(region.to_owned(), Absence::Evacuated);
        if routing.writer == region {
            return self.hand_over(routing, to, now).await.map(Some);
        }
        if before == Some(Absence::Evacuated) {
            return Ok(None);
        }
        let reason = format!("{region} is evacuated");
        self.decide(routing, reason, now).await.map(Some)
    }

    /// Has a Region write, without loss, and clients sent to it. The decision; none if it writes already.
    ///
    /// # Errors
    /// As [`Operator::evacuate`].
    pub async fn return_to(
        &self,
        region: &str,
        now: OffsetDateTime,
    ) -> Result<Option<Routing>, RoutingError> {
        let routing = self.open().await?;
        if routing.writer == region {
            return Ok(None);
        }
        self.hand_over(routing, region, now).await.map(Some)
    }

    /// Has clients sent to a Region again, whoever writes. The decision; none if they are sent there already.
    ///
    /// # Errors
    /// As [`Operator::evacuate`].
    pub async fn put_back(&self, region: &str, now: OffsetDateTime) -> Result<Option<Routing>, RoutingError> {
        let mut routing = self.open().await?;
        if routing.out_of_service.remove(region).is_none() {
            return Ok(None);
        }
        let reason = format!("{region} is returned to service");
        self.decide(routing, reason, now).await.map(Some)
    }

    pub(super) async fn open(&self) -> Result<Routing, RoutingError> {
        let routing = self.table.read().await?;
        match routing.state {
            State::Open => Ok(routing),
            _ => Err(RoutingError::Busy(routing.to_string())),
        }
    }

    async fn hand_over(
        &self,
        routing: Routing,
        to: &str,
        now: OffsetDateTime,
    ) -> Result<Routing, RoutingError> {
        let reason = format!("{} hands over", routing.writer);
        let next = Routing {
            before: Some(routing.writer),
            writer: to.to_owned(),
            epoch: routing.epoch + 1,
            state: State::FailingOver,
            planned: true,
            lost_since: None,
            ..routing
        };
        self.decide(next, reason, now).await
    }

    /// Decides this, as the version after the one that it was made from.
    pub(super) async fn decide(
        &self,
        next: Routing,
        reason: String,
        now: OffsetDateTime,
    ) -> Result<Routing, RoutingError> {
        let decision = Routing {
            version: next.version + 1,
            decided_by: self.name.clone(),
            decided_at: now,
            reason,
            ..next
        };
        match self.table.change(decision).await? {
            Change::Won(decided) => Ok(decided),
            Change::Lost => Err(RoutingError::Busy("it changed meanwhile".to_owned())),
        }
    }
}
