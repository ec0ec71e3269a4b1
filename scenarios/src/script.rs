//! A script: everything that decides a run, with every value drawn. Written out as `plan.json`, it is replayed, edited and shrunk.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sumzero_sim::{Plan, units};

use crate::externals::Behaviour;

/// The format of scripts that this build reads and writes.
pub const FORMAT: u32 = 1;

/// What is put on the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenario that it was drawn from.
    pub scenario: String,
    /// Decides everything else that chance decides.
    pub seed: u64,
    /// The unsound variant of the system that is put on the stage; none: the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Processes of the system in each Region.
    pub gateways: u8,
    /// How the system is set up.
    pub tuning: Tuning,
    /// What clients do.
    pub workload: Workload,
    /// How the payment service provider misbehaves.
    pub psp: Vec<Spell>,
    /// How the KYC provider does.
    pub kyc: Vec<Spell>,
    /// What else goes wrong.
    pub plan: Plan,
    /// What the operator asks for meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handovers: Vec<Handover>,
    /// The release that is rolled out meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What is promised all the same.
    pub limits: Limits,
    /// The properties that are judged; empty: all.
    pub properties: Vec<String>,
}

/// How the system is set up, as far as scenarios change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// How long a claim at the gate keeps others out.
    #[serde(with = "units::duration")]
    pub gate_lease: Duration,
    /// How long a process works on an operation before another may.
    #[serde(with = "units::duration")]
    pub operation_lease: Duration,
    /// Attempts after which an operation goes to limbo.
    pub attempts_max: u16,
    /// Failures of a dependency, of 10 calls, that open its breaker.
    pub breaker_failures: u8,
    /// Most postings of one transaction.
    pub group_max: u16,
    /// How long the payment service provider remembers keys, as far as the system knows.
    #[serde(with = "units::duration")]
    pub psp_key_window: Duration,
    /// How much earlier than that the system stops to ask again.
    #[serde(with = "units::duration")]
    pub psp_key_margin: Duration,
    /// Whether reconcilers run. Without them, what they repair is seen.
    pub reconcile: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            gate_lease: Duration::from_secs(15),
            operation_lease: Duration::from_secs(20),
            attempts_max: 100,
            breaker_failures: 5,
            group_max: 64,
            psp_key_window: Duration::from_hours(24),
            psp_key_margin: Duration::from_hours(2),
            reconcile: true,
        }
    }
}

/// What clients do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Clients.
    pub clients: u8,
    /// Requests of each, spread over `over`.
    pub requests: u32,
    /// How long clients make new requests.
    #[serde(with = "units::duration")]
    pub over: Duration,
    /// Accounts that they share.
    pub accounts: u8,
    /// How unevenly accounts are chosen: the exponent of Zipf's law; 0 is evenly.
    pub zipf: f64,
    /// How often each kind of request is made.
    pub mix: Mix,
    /// Requests that are sent by two connections at once, in parts of a million.
    pub duplicate_ppm: u32,
    /// Settlements of exactly what an account was just credited, in parts of a million.
    pub collide_ppm: u32,
    /// Requests that are another one under the key of the one before, by mistake, in parts of a million.
    pub reuse_ppm: u32,
    /// Captures, voids and refunds that come together with another on the same payment, in parts of a million.
    pub rival_ppm: u32,
    /// How long a client waits for one answer.
    #[serde(with = "units::duration")]
    pub patience: Duration,
    /// How soon clients ask again.
    pub retry: Retry,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            clients: 4,
            requests: 8,
            over: Duration::from_secs(60),
            accounts: 4,
            zipf: 0.0,
            mix: Mix::default(),
            duplicate_ppm: 0,
            collide_ppm: 0,
            reuse_ppm: 0,
            rival_ppm: 0,
            patience: Duration::from_secs(15),
            retry: Retry::Told,
        }
    }
}

/// How often each kind of request is made, relative to the others. Captures and voids follow authorizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Charges that capture at once.
    pub charge: u32,
    /// Charges that only authorize.
    pub authorize: u32,
    /// Refunds, in full or in part, of what was captured.
    pub refund: u32,
    /// Marketplace settlements.
    pub settlement: u32,
    /// Freezing an account and thawing it again.
    pub freeze: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            charge: 4,
            authorize: 2,
            refund: 1,
            settlement: 3,
            freeze: 0,
        }
    }
}

/// How soon clients ask again when there was no answer, or none that says how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// When they were told to, with jitter; after a second if nobody told them.
    #[default]
    Told,
    /// At once, all of them.
    AtOnce,
}

/// A time during which a provider behaves otherwise. Where spells overlap the one that is listed last counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// When it begins, in true time after the world begins.
    #[serde(with = "units::duration")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(with = "units::duration")]
    pub lasting: Duration,
    /// How the provider behaves meanwhile.
    pub behaviour: Behaviour,
}

/// The operator has another Region write the ledger, by plan: `payments region return` if that was left before, and else
/// `payments region evacuate` of the one that writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// When, in true time after the world begins.
    #[serde(with = "units::duration")]
    pub at: Duration,
    /// The Region that is to write.
    pub to: String,
}

/// A new version of the system takes the place of the one before: the schema is expanded, every process is drained and started
/// as the new version, and the schema is contracted when all are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// When it begins, in true time after the world begins.
    #[serde(with = "units::duration")]
    pub at: Duration,
    /// The time over which the processes are replaced, each at a moment of its own.
    #[serde(with = "units::duration")]
    pub over: Duration,
}

/// What is promised. A limit that is absent is not judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Quiescence: how long after the last fault the system may take to come to rest.
    #[serde(with = "units::duration")]
    pub rest: Duration,
    /// The longest time without any confirmed request while some client asks.
    #[serde(with = "units::optional_duration", skip_serializing_if = "Option::is_none")]
    pub rto: Option<Duration>,
    /// The 99th percentile of how long confirmed attempts took.
    #[serde(with = "units::optional_duration", skip_serializing_if = "Option::is_none")]
    pub p99: Option<Duration>,
    /// Attempts answered 409, in parts of a million of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_ppm: Option<u32>,
    /// Attempts for each request, on average: retry amplification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<f64>,
    /// Calls of a process to a dependency that fail in a row, with no breaker opening.
    pub failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rest: Duration::from_secs(600),
            rto: None,
            p99: None,
            conflict_ppm: None,
            attempts: None,
            // Of ten calls that are counted together four may fail in the end, and the next five open the breaker.
            failures: 9,
        }
    }
}

impl Script {
    /// A calm day of this seed: nothing goes wrong.
    pub fn calm(seed: u64) -> Self {
        Self {
            format: FORMAT,
            scenario: "calm".to_owned(),
            seed,
            variant: None,
            gateways: 2,
            tuning: Tuning::default(),
            workload: Workload::default(),
            psp: Vec::new(),
            kyc: Vec::new(),
            plan: Plan::default(),
            handovers: Vec::new(),
            rollout: None,
            limits: Limits::default(),
            properties: Vec::new(),
        }
    }

    /// When clients make no new requests and every fault that has an end is over, in true time after the world begins.
    pub fn quiet_from(&self) -> Duration {
        let faults = self.plan.faults.iter();
        let faults = faults.map(|fault| fault.at + fault.lasting.unwrap_or_default());
        let spells = self.psp.iter().chain(&self.kyc);
        let spells = spells.map(|spell| spell.at.saturating_add(spell.lasting));
        let handovers = self.handovers.iter().map(|handover| handover.at);
        let rollout = self.rollout.iter().map(|rollout| rollout.at + rollout.over);
        faults
            .chain(spells)
            .chain(handovers)
            .chain(rollout)
            .fold(self.workload.over, Duration::max)
    }

    /// Reads a script from JSON.
    ///
    /// # Errors
    /// When it is of another format, or of none; in words that name the place.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Formatted {
            format: u32,
        }
        let Formatted { format } =
            serde_json::from_str(text).map_err(|error| format!("it is not a plan: {error}"))?;
        if format != FORMAT {
            return Err(format!(
                "it is a plan of format {format}, and this build reads format {FORMAT}: run it with the build that wrote it"
            ));
        }
        let script: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match script.variant {
            Some(name) if !known(&name) => Err(format!(
                "it is a plan for the unsound variant {name} of the system, which this build does not have: build with \
                 `--features as-written`"
            )),
            _ => Ok(script),
        }
    }

    /// Which unsound variant of the system is on the stage, if one is, and what it says as far as this build knows.
    pub fn unsound(&self) -> Option<String> {
        let variant = self.variant.as_deref()?;
        #[cfg(feature = "as-written")]
        if let Some(known) = crate::score::Variant::named(variant) {
            let claim = known
                .claim()
                .map(|claim| format!(" ({claim})"))
                .unwrap_or_default();
            return Some(format!(
                "the unsound variant `{variant}`{claim} of the system: {}",
                known.says()
            ));
        }
        Some(format!("the unsound variant `{variant}` of the system"))
    }

    /// Writes the script as JSON that a person can edit.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a script is a tree of strings and numbers, which JSON can hold") + "\n"
    }
}

/// Whether this build has a variant.
fn known(variant: &str) -> bool {
    #[cfg(feature = "as-written")]
    return crate::score::Variant::named(variant).is_some();
    #[cfg(not(feature = "as-written"))]
    return variant.is_empty();
}

/// How a provider behaves at a time, in true time after the world begins.
pub fn behaviour_at(spells: &[Spell], now: Duration) -> Behaviour {
    let current = |spell: &&Spell| spell.at <= now && now < spell.at.saturating_add(spell.lasting);
    let spell = spells.iter().rev().find(current);
    spell.map(|spell| spell.behaviour.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_back_as_it_was_written() {
        let mut script = Script::calm(7);
        script.psp.push(Spell {
            at: Duration::from_secs(1),
            lasting: Duration::from_secs(2),
            behaviour: Behaviour::default(),
        });
        assert_eq!(Script::from_json(&script.to_json()), Ok(script));
    }

    #[test]
    fn another_format_is_named() {
        let later = Script {
            format: 2,
            ..Script::calm(7)
        };
        assert!(
            Script::from_json(&later.to_json())
                .unwrap_err()
                .contains("format 2")
        );
        assert!(Script::from_json("[]").unwrap_err().contains("not a plan"));
    }

    #[test]
    fn a_plan_for_a_variant_that_this_build_lacks_is_refused() {
        let unsound = Script {
            variant: Some("no-such-variant".to_owned()),
            ..Script::calm(7)
        };
        let refused = Script::from_json(&unsound.to_json()).unwrap_err();
        assert!(refused.contains("no-such-variant"), "{refused}");
    }

    #[test]
    fn the_later_spell_counts_and_ends() {
        let spell = |at, delay_ms| Spell {
            at: Duration::from_secs(at),
            lasting: Duration::from_secs(10),
            behaviour: Behaviour {
                delay_ms,
                ..Behaviour::default()
            },
        };
        let spells = [spell(0, 1), spell(5, 2)];
        let at = |seconds| behaviour_at(&spells, Duration::from_secs(seconds)).delay_ms;
        assert_eq!([at(0), at(5), at(12), at(15)], [1, 2, 2, 0]);
    }
}
