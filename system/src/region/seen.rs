//! What a controller has seen of another Region: its reports, and whether its gateways answer.

use super::{controller::ControllerConfig, health::Health};

/// Looks without a new report that prove nothing: whoever reports and whoever looks are not in step.
const OUT_OF_STEP: u32 = 2;

/// Counted in looks, not in seconds: a controller that slept has seen nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) health: Health,
    /// Looks in a row without a new report.
    silent: u32,
    /// Looks in a row without a report that it is well.
    ill: u32,
    /// Looks in a row that showed it well.
    well: u32,
    /// Own questions to its gateways in a row that failed.
    unanswered: u32,
}

impl Seen {
    /// Takes in what a look at the reports showed.
    pub(super) fn look(&mut self, health: Health) {
        if health.beats > self.health.beats {
            self.silent = 0;
            (self.ill, self.well) = if health.well {
                (0, self.well + 1)
            } else {
                (self.ill + 1, 0)
            };
        } else {
            self.silent += 1;
            self.ill += 1;
            if self.silent > OUT_OF_STEP {
                self.well = 0;
            }
        }
        self.health = health;
    }

    /// Takes in whether one of its gateways answered.
    pub(super) fn answered(&mut self, ready: bool) {
        self.unanswered = if ready { 0 } else { self.unanswered + 1 };
    }

    /// Whether it reports, and reports that it is well.
    pub(super) fn alive(&self) -> bool {
        self.silent <= OUT_OF_STEP && self.health.well
    }

    /// What its reports say against it.
    pub(super) fn suspect(&self, config: &ControllerConfig) -> Option<&'static str> {
        if self.silent >= config.silent_after {
            return Some("its Region is silent");
        }
        (self.ill >= config.ill_after).then_some("its Region says that it is ill")
    }

    /// Why it may be given up: its reports and its gateways must both say so.
    pub(super) fn gone(&self, config: &ControllerConfig) -> Option<&'static str> {
        let answers = self.unanswered < config.failures;
        self.suspect(config).filter(|_| !answers)
    }

    /// Whether it has been well for long enough that clients may be sent there again.
    pub(super) fn recovered(&self, config: &ControllerConfig) -> bool {
        self.well >= config.well_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(beats: i64, well: bool) -> Health {
        Health {
            beats,
            well,
            ..Health::default()
        }
    }

    #[test]
    fn a_region_is_gone_when_it_neither_reports_nor_answers() {
        let config = ControllerConfig::default();
        let mut seen = Seen::default();
        seen.look(report(1, true));
        for _ in 0..config.silent_after {
            assert_eq!(seen.gone(&config), None);
            seen.look(report(1, true));
        }
        assert!(seen.suspect(&config).is_some());
        assert_eq!(seen.gone(&config), None, "nobody has asked its gateways");
        for _ in 0..config.failures {
            seen.answered(false);
        }
        assert_eq!(seen.gone(&config), Some("its Region is silent"));
        seen.answered(true);
        assert_eq!(seen.gone(&config), None);
    }

    #[test]
    fn a_region_has_recovered_after_a_row_of_good_reports() {
        let config = ControllerConfig::default();
        let mut seen = Seen::default();
        let mut beats = 0;
        let mut well = |seen: &mut Seen, looks: u32| {
            for _ in 0..looks {
                beats += 1;
                seen.look(report(beats, true));
            }
            beats
        };
        let beats = well(&mut seen, config.well_after - 1);
        assert!(!seen.recovered(&config));
        seen.look(report(beats, true));
        well(&mut seen, 1);
        assert!(seen.recovered(&config), "a look out of step proves nothing");
        for _ in 0..=OUT_OF_STEP {
            seen.look(report(beats + 1, true));
        }
        assert!(!seen.recovered(&config), "silence does");
        let beats = well(&mut seen, config.well_after);
        seen.look(report(beats + 1, false));
        assert!(!seen.recovered(&config), "and so does its own word");
    }
}
