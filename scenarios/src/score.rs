//! Whether the judges are any good: unsound variants of the system, one after the other, until a property notices each.
//!
//! A variant is tried on the scenarios that are most likely to show it, and when half of its seeds are used up without a
//! catch, on all. The sound system is put through every world that a variant was put through, and must show nothing.

use std::{collections::BTreeSet, num::NonZeroUsize, ops::ControlFlow, time::Duration};

pub use payments::variant::Variant;
use sumzero_sim::{
    Error,
    campaign::{Campaign, Limits},
};

use crate::{
    ending::Ending,
    scenario::{Scenario, catalogue},
    script::Script,
    verdict::{Conclusion, Verdict},
};

/// A world: the name of a scenario, and a seed.
pub type World = (String, u64);

/// What became of a variant.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The variant; none is the sound system.
    pub variant: Option<Variant>,
    /// The first world that showed something.
    pub caught: Option<Catch>,
    /// Worlds that were looked at, that one included.
    pub seeds: u64,
}

/// A world that shows that something is wrong.
#[derive(Clone, Debug)]
pub struct Catch {
    /// The world.
    pub world: World,
    /// What noticed: the property and the way of failing.
    pub fingerprint: String,
    /// What shows it.
    pub evidence: String,
}

/// Tries variants and remembers the worlds.
#[derive(Debug)]
pub struct Score {
    scenarios: Vec<Scenario>,
    jobs: Option<NonZeroUsize>,
    seen: BTreeSet<World>,
}

impl Score {
    /// On the scenarios of the catalogue, so many seeds at a time; one a core if that is not said.
    pub fn new(jobs: Option<NonZeroUsize>) -> Self {
        Self {
            scenarios: catalogue(),
            jobs,
            seen: BTreeSet::new(),
        }
    }

    /// Tries a variant in up to `seeds` worlds.
    ///
    /// # Errors
    /// When the worlds' processes cannot be started.
    pub fn try_variant(&mut self, variant: Variant, seeds: u64) -> Result<Tried, Error> {
        let likely: Vec<usize> = likely(variant)
            .iter()
            .filter_map(|name| self.scenarios.iter().position(|scenario| scenario.name == *name))
            .collect();
        let all: Vec<usize> = (0..self.scenarios.len()).collect();
        let half = seeds.div_ceil(2);
        let worlds = (0..seeds).map(|number| {
            let (list, number) = match number.checked_sub(half) {
                None => (&likely, number),
                Some(rest) => (&all, rest),
            };
            let kinds = list.len() as u64;
            (list[(number % kinds) as usize], number / kinds)
        });
        self.look(Some(variant), worlds.collect())
    }

    /// Puts the sound system through all worlds that variants were put through.
    ///
    /// # Errors
    /// When the worlds' processes cannot be started.
    pub fn try_sound(&mut self) -> Result<Tried, Error> {
        let place = |name: &str| self.scenarios.iter().position(|scenario| scenario.name == name);
        let seen = self.seen.iter();
        let worlds = seen.filter_map(|(name, seed)| Some((place(name)?, *seed)));
        self.look(None, worlds.collect())
    }

    fn look(&mut self, variant: Option<Variant>, worlds: Vec<(usize, u64)>) -> Result<Tried, Error> {
        // A variant can keep its clients asking to the end of the world, which takes its time.
        let limits = Limits {
            real_time: Duration::from_secs(300),
            ..Limits::default()
        };
        let mut campaign = Campaign::new(0..worlds.len() as u64).limits(limits);
        if let Some(jobs) = self.jobs {
            campaign = campaign.jobs(jobs);
        }
        let mut caught = None;
        let (scenarios, seen) = (&self.scenarios, &mut self.seen);
        let world = |number: u64| {
            let (place, seed) = worlds[number as usize];
            (&scenarios[place], seed)
        };
        let seeds = campaign.run(
            |number| {
                let (scenario, seed) = world(number);
                let variant = variant.map(|variant| variant.name().to_owned());
                let script = Script {
                    variant,
                    ..scenario.draw(seed)
                };
                Verdict::reach(&script).conclusion
            },
            |result| {
                let (scenario, seed) = world(result.seed);
                let world = (scenario.name.clone(), seed);
                seen.insert(world.clone());
                let ended = |ending: &Ending| (ending.fingerprint.clone(), ending.why.clone());
                let shown = match result.fate.answer() {
                    Some(Conclusion::Held) => None,
                    Some(Conclusion::Violated(violations)) => violations
                        .first()
                        .map(|violation| (violation.fingerprint(), violation.evidence.clone())),
                    Some(Conclusion::Unknown(ending)) => Some(ended(ending)),
                    None => Ending::of_process(&result.fate).as_ref().map(ended),
                };
                // A world that does not end says little: it is no catch, but the sound system must not have one.
                let unfinished = !matches!(result.fate.answer(), Some(Conclusion::Violated(_)));
                match shown.filter(|_| variant.is_none() || !unfinished) {
                    Some((fingerprint, evidence)) => {
                        caught = Some(Catch {
                            world,
                            fingerprint,
                            evidence,
                        });
                        ControlFlow::Break(())
                    }
                    None => ControlFlow::Continue(()),
                }
            },
        )?;
        Ok(Tried {
            variant,
            caught,
            seeds,
        })
    }
}

/// The scenarios that are most likely to show a variant.
fn likely(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::LeaseAlone | Variant::SweeperReissues => &["takeover"],
        Variant::RetryAfterASecond => &["crash", "takeover"],
        Variant::CheckThenAct => &["duplicates", "takeover"],
        Variant::ToldBeforeKept | Variant::OwnPutARival => &["dynamodb", "lost-answers"],
        Variant::ReissuePastTheWindow | Variant::NotFoundIsNotDone => &["forgetful-psp"],
        Variant::OneEntryAKey => &["hot-account", "psp-gray"],
        Variant::KeyOfTheAttempt | Variant::VoidOnTimeOut => &["psp-gray", "lost-answers"],
        Variant::CallBeforeTheIntent
        | Variant::BalanceWithoutLock
        | Variant::PaymentWithoutLock
        | Variant::ReleaseInTwoSteps
        | Variant::FreezeUnchecked
        | Variant::RefundNotHeld => &["hot-account"],
        Variant::AnswerInTheGateOnly => &["takeover"],
        Variant::ReplayOfTheState => &["evacuation", "region-loss"],
        Variant::StampAfterAttempts
        | Variant::OutboxCursor
        | Variant::EffectAfterTheCommit
        | Variant::GapThrownAway
        | Variant::PartialFailureUnread => &["broker-outage"],
        Variant::EventAfterTheCommit => &["aurora-failover", "lost-answers", "crash"],
        Variant::RetriesAtOnce | Variant::ProcessingIsDone => &["psp-gray"],
        Variant::BreakerCountsSuccess => &["kyc-gray"],
        Variant::OneSumForAll
        | Variant::KeyWithoutNumber
        | Variant::GrossPaidOut
        | Variant::FeeLost
        | Variant::OverCapture
        | Variant::HoldReleasedTwice
        | Variant::FingerprintIgnored => &["calm", "duplicates"],
    }
}
