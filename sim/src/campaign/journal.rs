//! The results of a campaign on disk, from which one that was interrupted goes on.
//!
//! The first line says which campaign it is; every other is the result of one seed, in the order of the seeds. So the
//! file is the same byte for byte however many seeds ran at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::fate::Fate;
use crate::error::Error;

/// What a journal is the journal of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) campaign: String,
    pub(super) first_seed: u64,
    pub(super) shard: String,
    /// The program: another one's results are not this one's.
    program: String,
}

impl Header {
    pub(super) fn new(campaign: &str, first_seed: u64, shard: String) -> Result<Header, Error> {
        let program = program().map_err(|source| Error::System {
            doing: "reading this program's file",
            source,
        })?;
        Ok(Header {
            campaign: campaign.to_owned(),
            first_seed,
            shard,
            program,
        })
    }
}

/// A hash over this program's file.
fn program() -> io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 20, File::open("/proc/self/exe")?);
    let mut hash = Xxh3::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(format!("{:016x}", hash.digest()));
        }
        hash.update(bytes);
        let count = bytes.len();
        file.consume(count);
    }
}

/// One seed's line. Its fate is owned when read and borrowed when written.
#[derive(Serialize, Deserialize)]
pub(super) struct Line<F> {
    pub(super) seed: u64,
    pub(super) fate: F,
}

/// What a journal holds, in the order of the seeds.
pub(super) type Results<T> = Vec<Line<Fate<T>>>;

pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal of this campaign, or begins it; answers the results it holds.
    ///
    /// # Errors
    /// The journal of another campaign, which is left as it is.
    pub(super) fn open<T: DeserializeOwned>(
        path: &Path,
        header: &Header,
    ) -> Result<(Journal, Results<T>), Error> {
        let unusable = |problem: String| Error::Journal {
            path: path.to_owned(),
            problem,
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| unusable(error.to_string()))?;
        let mut journal = Journal {
            path: path.to_owned(),
            file,
        };
        let mut lines = BufReader::new(&journal.file);
        let mut results = Vec::new();
        let mut good_bytes = 0;
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            let count = lines
                .read_line(&mut line)
                .map_err(|error| unusable(error.to_string()))?;
            // A last line without an end was being written when the campaign was interrupted.
            if !line.ends_with('\n') {
                break;
            }
            let bad = |error: serde_json::Error| unusable(format!("line {number}: {error}"));
            if number == 1 {
                let found: Header = serde_json::from_str(&line).map_err(bad)?;
                if found != *header {
                    return Err(unusable(format!(
                        "it is the journal of {}, and this is {}; choose another file, or delete it",
                        describe(&found),
                        describe(header)
                    )));
                }
            } else {
                results.push(serde_json::from_str(&line).map_err(bad)?);
            }
            good_bytes += count as u64;
        }
        drop(lines);
        let cut = |file: &mut File| {
            file.set_len(good_bytes)?;
            file.seek(SeekFrom::Start(good_bytes))
        };
        cut(&mut journal.file).map_err(|error| unusable(error.to_string()))?;
        if good_bytes == 0 {
            journal.write(header)?;
        }
        Ok((journal, results))
    }

    pub(super) fn add<T: Serialize>(&mut self, seed: u64, fate: &Fate<T>) -> Result<(), Error> {
        self.write(&Line { seed, fate })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec(line).expect("a seed's answer is data that JSON can hold");
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(|error| Error::Journal {
            path: self.path.clone(),
            problem: error.to_string(),
        })
    }
}

fn describe(header: &Header) -> String {
    format!(
        "{:?} from seed {} (shard {}, program {})",
        header.campaign, header.first_seed, header.shard, header.program
    )
}
