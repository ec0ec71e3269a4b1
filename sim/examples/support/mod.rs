//! The command line that all examples share: `--seed N`, and `--trace FILE` for the events as text.

use std::fs::File;
use std::io::BufWriter;

use sumzero_sim::trace::Sink;

pub(crate) struct Arguments {
    pub(crate) seed: u64,
    pub(crate) trace: Sink,
}

pub(crate) fn arguments() -> Arguments {
    let mut arguments = Arguments {
        seed: 1,
        trace: Sink::Off,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .unwrap_or_else(|| usage(&format!("{word} needs a value")));
        match word.as_str() {
            "--seed" => {
                arguments.seed = value
                    .parse()
                    .unwrap_or_else(|_| usage(&format!("{value:?} is not a seed")));
            }
            "--trace" => match File::create(&value) {
                Ok(file) => arguments.trace = Sink::Text(Box::new(BufWriter::new(file))),
                Err(error) => usage(&format!("{value}: {error}")),
            },
            _ => usage(&format!("unknown option {word}")),
        }
    }
    arguments
}

fn usage(what: &str) -> ! {
    eprintln!("{what}\nusage: [--seed N] [--trace FILE]");
    std::process::exit(2)
}
