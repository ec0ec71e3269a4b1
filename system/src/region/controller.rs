//! The controller: watches the writer from its own Region, and makes its own Region the writer when the other is gone.
//!
//! **When a writer is given up.** Two things must come together, so that a controller that is itself cut off gives up nobody:
//! its own questions to the writer's gateways have failed several times in a row; and the writer's own reports, in the
//! routing's table, have stopped for [`ControllerConfig::silent_after`] looks or say that it is ill for
//! [`ControllerConfig::ill_after`]. Looks are counted, not seconds: a controller that slept has seen nothing. Of several
//! Regions the one whose replica is furthest goes first.
//!
//! **The other Regions** are judged by the same evidence, and what follows is less: while the ledger is open, one that is gone is
//! taken out of service, and one that was given up and has been well for [`ControllerConfig::well_after`] looks, and answers, is
//! put back. Both are changes of the routing, so that all agree on them; [`Traffic`](super::Traffic) has clients follow.
//!
//! **Who carries it out.** The controllers of the Region that is to be the writer: any of them, at any step, after a restart
//! too. Should that Region fall silent, another takes over with an epoch of its own.

use std::{collections::BTreeMap, time::Duration};

use sqlx::PgPool;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    clock::now,
    ledger::{beat, last_beat, raise_epoch},
};

use super::{
    forward::Forwarder,
    health::{Health, HealthTable},
    keeper::Keeper,
    rds::GlobalDatabase,
    repair::{Repair, Suspect},
    routing::{Absence, Change, Routing, State},
    seen::Seen,
};

/// How a controller watches and decides.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// How often it looks.
    pub interval: Duration,
    /// How long one question may take.
    pub patience: Duration,
    /// Own questions to the writer's gateways in a row that fail before it may be given up.
    pub failures: u32,
    /// Looks without a report of the writer's Region after which that is given up.
    pub silent_after: u32,
    /// Looks at reports that the writer is ill after which it is given up: longer than an in-Region failover takes.
    pub ill_after: u32,
    /// Looks in a row that show a Region well after which clients are sent there again.
    pub well_after: u32,
    /// How long quarantine may last. What cannot be restored by then is named, and the ledger opens.
    pub quarantine_max: Duration,
    /// For how long after that the window is looked at again: for what could not be restored, and for what a process that
    /// slept through the failover does when it wakes up.
    pub repair_for: Duration,
    /// How often.
    pub repair_interval: Duration,
    /// How long the promotion of a Region may take before another may take over.
    pub promotion_max: Duration,
    /// How long a planned one may take before the writer before gets it back.
    pub switchover_max: Duration,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(3),
            patience: Duration::from_secs(2),
            failures: 4,
            silent_after: 5,
            ill_after: 31,
            well_after: 10,
            quarantine_max: Duration::from_secs(20),
            repair_for: Duration::from_secs(600),
            repair_interval: Duration::from_secs(30),
            promotion_max: Duration::from_secs(300),
            switchover_max: Duration::from_secs(180),
        }
    }
}

/// One step of a controller; whatever stops it, the next look tries again.
type Step = Result<(), Error>;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a controller works with.
#[derive(Debug)]
pub struct Controller {
    /// Who writes.
    pub keeper: Keeper,
    /// What the Regions say of themselves.
    pub health: HealthTable,
    /// The way to other Regions' gateways.
    pub gateways: Forwarder,
    /// The Global Database.
    pub database: GlobalDatabase,
    /// This Region's cluster, as `payments_controller`.
    pub pool: PgPool,
    /// What is done with the lost window.
    pub repair: Repair,
    /// This process, for people.
    pub name: String,
    /// How it watches and decides.
    pub config: ControllerConfig,
}

/// What a controller remembers between looks. All of it can be found out again.
#[derive(Debug, Default)]
struct Memory {
    seen: BTreeMap<String, Seen>,
    /// The epoch and the state that are being carried out, since when they are known here, and when that was last repaired.
    stage: Option<(i64, State)>,
    since: Option<Instant>,
    repaired: Option<Instant>,
    /// Whether what could not be restored has been given up.
    given_up: bool,
    /// Looks in a row at which another Region was let go first.
    deferred: u32,
}

impl Controller {
    /// Watches and decides, for ever.
    pub async fn run(self) {
        let mut memory = Memory::default();
        loop {
            let began = Instant::now();
            match self.look(&mut memory).await {
                Err(error) => {
                    tracing::warn!(region = self.keeper.region(), %error, "the controller goes on");
                }
                // What it decided is carried on at once.
                Ok(())
                    if self
                        .keeper
                        .known()
                        .is_some_and(|known| memory.stage != Some((known.epoch, known.state))) =>
                {
                    continue;
                }
                Ok(()) => {}
            }
            let pause = self.config.interval.mul_f64(0.9 + 0.2 * fastrand::f64());
            sleep(pause.saturating_sub(began.elapsed())).await;
        }
    }

    async fn look(&self, memory: &mut Memory) -> Step {
        let region = self.keeper.region();
        let routing = self.keeper.current().ok_or("who writes cannot be read")?;
        let stage = Some((routing.epoch, routing.state));
        if memory.stage != stage {
            memory.stage = stage;
            memory.since = Some(Instant::now());
            (memory.repaired, memory.given_up, memory.deferred) = (None, false, 0);
        }
        let mine = routing.writer == region;
        let well = match (mine, routing.state) {
            (true, State::Open) => timeout(self.config.patience, beat(&self.pool, now()))
                .await
                .is_ok_and(|beat| beat.is_ok()),
            // Being promoted: alive is all that can be said.
            (true, _) => true,
            (false, _) => true,
        };
        let replica = timeout(self.config.patience, last_beat(&self.pool))
            .await
            .ok()
            .and_then(Result::ok);
        let well = well && (mine || replica.is_some());
        let reported = timeout(self.config.patience, self.health.report(region, well, replica)).await;
        if !matches!(reported, Ok(Ok(()))) {
            tracing::debug!(region, "no report");
        }
        match (mine, routing.state) {
            (true, State::Open) => {
                let repaired = self.repair_further(memory, &routing).await;
                self.look_around(memory).await?;
                self.review(memory, &routing).await?;
                repaired
            }
            (true, State::FailingOver) => self.promote(memory, &routing).await,
            (true, State::Quarantined) => self.restore(memory, &routing).await,
            (false, _) => self.watch(memory, &routing, replica.is_some()).await,
        }
    }

    /// Looks at what the Regions say of themselves.
    async fn look_around(&self, memory: &mut Memory) -> Result<BTreeMap<String, Health>, Error> {
        let reports = timeout(self.config.patience, self.health.all()).await??;
        let own = self.keeper.region();
        for region in self.database.regions().filter(|region| *region != own) {
            let health = reports.get(region).copied().unwrap_or_default();
            memory.seen.entry(region.to_owned()).or_default().look(health);
        }
        Ok(reports)
    }

    /// Looks at the other Regions, and gives the writer up if it is gone.
    async fn watch(&self, memory: &mut Memory, routing: &Routing, readable: bool) -> Step {
        let own = self.keeper.region().to_owned();
        let (reports, ready) = tokio::join!(
            self.look_around(memory),
            self.gateways.ready(&routing.writer, self.config.patience),
        );
        let reports = reports?;
        let Some(writer) = memory.seen.get_mut(&routing.writer) else {
            return Ok(());
        };
        writer.answered(ready);
        let stuck = routing.state != State::Open
            && memory
                .since
                .is_some_and(|since| since.elapsed() > self.config.promotion_max);
        let reason = match writer.gone(&self.config) {
            Some(reason) => reason,
            None if stuck => "its promotion does not come to an end",
            None => return self.review(memory, routing).await,
        };
        if !readable {
            return Ok(());
        }
        let here = reports.get(&own).copied().unwrap_or_default();
        if memory.deferred < self.config.silent_after && another_is_further(memory, routing, &own, here) {
            memory.deferred += 1;
            return Ok(());
        }
        let mut out_of_service = routing.out_of_service.clone();
        out_of_service.insert(routing.writer.clone(), Absence::GivenUp);
        let decision = Routing {
            version: routing.version + 1,
            writer: own,
            before: Some(routing.writer.clone()),
            epoch: routing.epoch + 1,
            state: State::FailingOver,
            planned: false,
            lost_since: None,
            out_of_service,
            decided_by: self.name.clone(),
            decided_at: now(),
            reason: format!("{} was given up: {reason}", routing.writer),
            ..routing.clone()
        };
        self.decide(decision).await
    }

    /// Takes Regions that are gone out of service, and puts those back that were given up and have recovered.
    async fn review(&self, memory: &mut Memory, routing: &Routing) -> Step {
        if routing.state != State::Open {
            return Ok(());
        }
        let mut asking = JoinSet::new();
        for (region, seen) in memory
            .seen
            .iter()
            .filter(|(region, _)| **region != routing.writer)
        {
            let in_question = match routing.out_of_service.get(region) {
                None => seen.suspect(&self.config).is_some(),
                Some(Absence::GivenUp) => seen.recovered(&self.config),
                Some(Absence::Evacuated) => false,
            };
            if in_question {
                let (gateways, region, patience) =
                    (self.gateways.clone(), region.clone(), self.config.patience);
                asking.spawn(async move { (gateways.ready(&region, patience).await, region) });
            }
        }
        let mut decision = Routing {
            version: routing.version + 1,
            decided_by: self.name.clone(),
            decided_at: now(),
            ..routing.clone()
        };
        let mut reasons = Vec::new();
        while let Some(asked) = asking.join_next().await {
            let (ready, region) = asked?;
            let Some(seen) = memory.seen.get_mut(&region) else {
                continue;
            };
            seen.answered(ready);
            match (routing.out_of_service.get(&region), seen.gone(&self.config)) {
                (Some(_), _) if ready => {
                    reasons.push(format!("{region} is well again"));
                    decision.out_of_service.remove(&region);
                }
                (None, Some(reason)) => {
                    reasons.push(format!("{region} was given up: {reason}"));
                    decision.out_of_service.insert(region, Absence::GivenUp);
                }
                _ => {}
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        decision.reason = reasons.join("; ");
        if let Some(decided) = self.change(decision).await? {
            tracing::warn!(
                region = self.keeper.region(),
                out_of_service = ?decided.out_of_service,
                reason = decided.reason,
                "in service"
            );
        }
        Ok(())
    }

    async fn decide(&self, decision: Routing) -> Step {
        if let Some(decided) = self.change(decision).await? {
            tracing::warn!(
                region = self.keeper.region(),
                writer = decided.writer,
                epoch = decided.epoch,
                state = decided.state.name(),
                planned = decided.planned,
                reason = decided.reason,
                "decided"
            );
        }
        Ok(())
    }

    /// Changes the routing; nothing if somebody else did.
    async fn change(&self, to: Routing) -> Result<Option<Routing>, Error> {
        let change = self.keeper.table().change(to).await?;
        // What was decided is told even if it cannot be read at once: the keeper goes on reading by itself.
        if let Err(error) = self.keeper.refresh().await {
            tracing::warn!(region = self.keeper.region(), %error, "who writes cannot be read");
        }
        Ok(match change {
            Change::Won(decided) => Some(decided),
            Change::Lost => None,
        })
    }

    /// Makes this Region the writer.
    async fn promote(&self, memory: &mut Memory, routing: &Routing) -> Step {
        let elapsed = memory.since.map(|since| since.elapsed()).unwrap_or_default();
        let stopped = elapsed >= self.keeper.config().surely_over();
        // Who hands over is let finish. Who is given up is not waited for: what it still writes is lost like all of the tail,
        // and restored like that, since the window ends with quarantine.
        if routing.planned && !stopped {
            return Ok(());
        }
        let own = self.keeper.region();
        match self.database.writer().await? {
            Some(writer) if writer == own && !stopped => return Ok(()),
            Some(writer) if writer == own => {}
            None => return Ok(()),
            Some(_) => {
                if let Some(before) = routing.before.clone().filter(|_| routing.planned)
                    && elapsed > self.config.switchover_max
                {
                    return self.give_back(routing, before).await;
                }
                return Ok(self.database.promote(own, !routing.planned).await?);
            }
        }
        // Before the first write of the new epoch: this is how far the replica had come.
        let lost_since = self.repair.lost_since(&self.pool).await?;
        let epoch = raise_epoch(&self.pool, routing.epoch, own).await?;
        if epoch != routing.epoch {
            return Err(format!("the database is in epoch {epoch} already").into());
        }
        self.decide(Routing {
            version: routing.version + 1,
            state: State::Quarantined,
            lost_since: Some(lost_since),
            decided_by: self.name.clone(),
            decided_at: now(),
            reason: format!("{own} has been promoted"),
            ..routing.clone()
        })
        .await
    }

    /// Lets the writer before go on: the switchover does not come about.
    async fn give_back(&self, routing: &Routing, before: String) -> Step {
        self.decide(Routing {
            version: routing.version + 1,
            reason: format!("the switchover to {} did not come about", routing.writer),
            writer: before,
            before: Some(routing.writer.clone()),
            epoch: routing.epoch + 1,
            decided_by: self.name.clone(),
            decided_at: now(),
            ..routing.clone()
        })
        .await
    }

    /// Restores what was lost, then opens.
    async fn restore(&self, memory: &mut Memory, routing: &Routing) -> Step {
        let since = routing.lost_since.unwrap_or(routing.decided_at);
        let suspects = self.repair.run(routing.epoch, since).await;
        let waited = memory.since.map(|since| since.elapsed()).unwrap_or_default();
        let suspects = match suspects {
            Ok(suspects) => suspects,
            Err(error) if waited < self.config.quarantine_max => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "the ledger opens before all that may be lost has been looked at");
                Vec::new()
            }
        };
        if !suspects.is_empty() && waited < self.config.quarantine_max {
            return Ok(());
        }
        name(&suspects);
        self.decide(Routing {
            version: routing.version + 1,
            state: State::Open,
            decided_by: self.name.clone(),
            decided_at: now(),
            reason: format!("restored; {} requests are suspect", suspects.len()),
            ..routing.clone()
        })
        .await
    }

    /// Tries again, for a while after opening, to restore what could not be; then leaves it to people.
    async fn repair_further(&self, memory: &mut Memory, routing: &Routing) -> Step {
        let Some(since) = routing.lost_since else {
            return Ok(());
        };
        let (begun, last) = (memory.since, memory.repaired);
        let due = last
            .or(begun)
            .is_none_or(|at| at.elapsed() >= self.config.repair_interval);
        let over = begun.is_some_and(|begun| begun.elapsed() > self.config.repair_for);
        if memory.given_up || !due {
            return Ok(());
        }
        memory.repaired = Some(Instant::now());
        let suspects = self.repair.run(routing.epoch, since).await?;
        name(&suspects);
        if over {
            self.repair.give_up(suspects, routing.epoch).await?;
            memory.given_up = true;
        }
        Ok(())
    }
}

/// Whether a Region that is alive has a replica that is further than this one's; of two that are equal, the first by name.
fn another_is_further(memory: &Memory, routing: &Routing, own: &str, here: Health) -> bool {
    memory.seen.iter().any(|(region, seen)| {
        let first = (seen.health.beat_at, own) > (here.beat_at, region.as_str());
        *region != routing.writer && seen.alive() && first
    })
}

fn name(suspects: &[Suspect]) {
    for suspect in suspects {
        tracing::error!(
            tenant = %suspect.kept.call.tenant, request = suspect.kept.call.key.as_str(),
            confirmed = suspect.kept.answer.is_some(), reason = suspect.reason,
            "lost-suspect"
        );
    }
}
