//! The providers and their spells, in words.

use scenarios::{
    externals::Behaviour,
    script::{Script, Spell},
};

/// A provider that a script can have misbehave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    /// The host that stands in for it.
    pub(crate) host: &'static str,
    name: &'static str,
}

const PSP: Provider = Provider {
    host: "psp",
    name: "the PSP",
};

const KYC: Provider = Provider {
    host: "kyc",
    name: "the KYC provider",
};

/// All spells of a script, each with whose it is.
pub(crate) fn spells(script: &Script) -> impl Iterator<Item = (Provider, &Spell)> {
    let psp = script.psp.iter().map(|spell| (PSP, spell));
    psp.chain(script.kyc.iter().map(|spell| (KYC, spell)))
}

impl Provider {
    /// How it behaves, in words.
    pub(crate) fn misbehaves(self, behaviour: &Behaviour) -> String {
        let usual = Behaviour::default();
        let percent = |ppm: u32| format!("{} %", f64::from(ppm) / 1e4);
        let mut all = Vec::new();
        if behaviour.hanging {
            all.push("hangs".to_owned());
        }
        if behaviour.key_window_s != usual.key_window_s {
            all.push(format!("forgets keys after {} s", behaviour.key_window_s));
        }
        if behaviour.delay_ms + behaviour.jitter_ms > 0 {
            let (least, most) = (behaviour.delay_ms, behaviour.delay_ms + behaviour.jitter_ms);
            all.push(format!("takes {least} to {most} ms"));
        }
        for (ppm, what) in [
            (behaviour.declined_ppm, "declines"),
            (behaviour.failed_before_ppm, "fails before it acts"),
            (behaviour.failed_after_ppm, "fails after it acted"),
            (behaviour.answer_lost_ppm, "loses its answer"),
        ] {
            if ppm > 0 {
                all.push(format!("{what} ({})", percent(ppm)));
            }
        }
        if all.is_empty() {
            all.push("behaves as usual".to_owned());
        }
        format!("{} {}", self.name, all.join(", "))
    }
}
