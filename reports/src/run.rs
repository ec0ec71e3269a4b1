//! What one run left behind, read back.

use scenarios::{history::History, record::Record, script::Script, verdict::Verdict};
use sumzero_sim::{PlannedFault, trace::Event};

use crate::Error;

/// What one run left behind.
#[derive(Clone, Debug)]
pub struct Run {
    /// Everything that was drawn.
    pub script: Script,
    /// What happened, as those saw it who can be believed.
    pub history: History,
    /// What it came to.
    pub verdict: Verdict,
    /// Every event of the world.
    pub trace: Vec<Event>,
}

impl Run {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// Naming the file that is missing, cut off or of another version.
    pub fn read(record: &Record) -> Result<Self, Error> {
        let (script, verdict) = (record.script()?, record.verdict()?);
        if (&verdict.scenario, verdict.seed) != (&script.scenario, script.seed) {
            return Err(Error::TwoRuns {
                folder: record.folder().to_owned(),
                verdict: (verdict.scenario, verdict.seed),
                plan: (script.scenario, script.seed),
            });
        }
        Ok(Self {
            script,
            verdict,
            history: record.history()?,
            trace: record.trace()?,
        })
    }

    /// Every planned fault, with how often it bit.
    pub(crate) fn planned(&self) -> impl Iterator<Item = (&PlannedFault, u64)> {
        let bites = self.verdict.faults.iter().map(|report| report.bites);
        // A world that did not come to its end says nothing of its faults.
        let bites = bites.chain(std::iter::repeat(0));
        self.script.plan.faults.iter().zip(bites)
    }
}
