//! The control plane's record of a Global Database: who is writer, what is being changed, and what was lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{Config, RegionConfig};
use super::copy::Copies;
use super::region::Region;
use super::server::Cluster;
use super::snapshot::{LostTransaction, Snapshot, tail};
use crate::aws::aurora::catalog::Catalog;
use crate::aws::aurora::storage::volume::{Epoch, Volume, common};

/// Why the control plane does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No Region at all, or one twice.
    #[error("a Global Database needs Regions, each once; {0}")]
    Regions(String),
    /// `rds.global_db_rpo` below 20 s.
    #[error("rds.global_db_rpo is 20 seconds or more, not {0:?}")]
    Rpo(std::time::Duration),
    /// Not a member.
    #[error("{0} is no member of this Global Database")]
    NotMember(String),
    /// The target is the writer already.
    #[error("{0} is the writer already")]
    AlreadyWriter(String),
    /// Another change of writer is under way.
    #[error("a change of writer to {0} is under way")]
    InProgress(String),
    /// The Region that would have to act does not answer.
    #[error("{0} does not answer")]
    Unreachable(String),
}

/// A change of writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) id: u64,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) allow_data_loss: bool,
}

#[derive(Debug)]
struct Record {
    writer: String,
    /// By epoch: whether it began with a failover that may lose data.
    epochs: Vec<(Epoch, bool)>,
    operation: Option<Operation>,
    operations: u64,
    snapshots: Vec<Snapshot>,
}

impl Record {
    fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }
}

#[derive(Debug)]
pub(super) struct Global {
    pub(super) config: Config,
    record: Mutex<Record>,
    /// Each Region's present volume, for others to take the contents of what was shipped from.
    volumes: Mutex<BTreeMap<String, Volume>>,
    pub(super) copies: Copies,
}

impl Global {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn volume(&self, region: &str) -> Option<Volume> {
        let volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        volumes.get(region).cloned()
    }

    pub(super) fn set_volume(&self, region: &str, volume: Volume) {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        volumes.insert(region.to_owned(), volume);
    }

    pub(super) fn member(&self, region: &str) -> Option<&RegionConfig> {
        self.config.regions.iter().find(|member| member.region == region)
    }

    pub(super) fn writer(&self) -> String {
        self.record().writer.clone()
    }

    pub(super) fn operation(&self) -> Option<Operation> {
        self.record().operation.clone()
    }

    /// Whether an epoch after this one began by leaving data behind.
    pub(super) fn lossy_since(&self, epoch: Epoch) -> bool {
        let record = self.record();
        record
            .epochs
            .iter()
            .any(|(later, lossy)| *later > epoch && *lossy)
    }

    /// Begins a change of writer.
    pub(super) fn begin(&self, to: &str, allow_data_loss: bool) -> Result<Operation, Refusal> {
        if self.member(to).is_none() {
            return Err(Refusal::NotMember(to.to_owned()));
        }
        let mut record = self.record();
        if let Some(running) = &record.operation {
            return Err(Refusal::InProgress(running.to.clone()));
        }
        if record.writer == to {
            return Err(Refusal::AlreadyWriter(to.to_owned()));
        }
        record.operations += 1;
        let operation = Operation {
            id: record.operations,
            from: record.writer.clone(),
            to: to.to_owned(),
            allow_data_loss,
        };
        record.operation = Some(operation.clone());
        Ok(operation)
    }

    /// Gives a change of writer up. False if it is too late.
    pub(super) fn cancel(&self, id: u64) -> bool {
        let mut record = self.record();
        let running = record.operation.as_ref().is_some_and(|running| running.id == id);
        if running {
            record.operation = None;
        }
        running
    }

    /// Makes the target of an operation the writer, in a new epoch. None if the operation was given up.
    pub(super) fn complete(&self, operation: &Operation) -> Option<Epoch> {
        let mut record = self.record();
        if record.operation.as_ref() != Some(operation) {
            return None;
        }
        record.operation = None;
        record.writer = operation.to.clone();
        let epoch = record.epoch() + 1;
        record.epochs.push((epoch, operation.allow_data_loss));
        Some(epoch)
    }

    pub(super) fn keep(&self, snapshot: Snapshot) {
        self.record().snapshots.push(snapshot);
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.record().snapshots.clone()
    }
}

/// A Global Database; clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct GlobalCluster {
    pub(super) global: Arc<Global>,
    regions: Arc<BTreeMap<String, Cluster>>,
}

impl GlobalCluster {
    /// An empty database, whose first Region is the writer.
    ///
    /// # Errors
    /// [`Refusal::Regions`], [`Refusal::Rpo`].
    pub fn new(config: Config) -> Result<GlobalCluster, Refusal> {
        if let Some(rpo) = config.rpo.filter(|rpo| rpo.as_secs() < 20) {
            return Err(Refusal::Rpo(rpo));
        }
        let Some(writer) = config.regions.first().map(|region| region.region.clone()) else {
            return Err(Refusal::Regions("there is none".to_owned()));
        };
        let volumes: BTreeMap<String, Volume> = config
            .regions
            .iter()
            .map(|region| {
                let catalog = Catalog::new(&config.instance.superuser);
                (region.region.clone(), Volume::new(catalog, 1))
            })
            .collect();
        if volumes.len() < config.regions.len() {
            return Err(Refusal::Regions("one is named twice".to_owned()));
        }
        let global = Arc::new(Global {
            record: Mutex::new(Record {
                writer,
                epochs: vec![(1, false)],
                operation: None,
                operations: 0,
                snapshots: Vec::new(),
            }),
            volumes: Mutex::new(volumes),
            copies: Copies::default(),
            config,
        });
        let regions = global.config.regions.iter();
        let regions = regions.map(|member| {
            let region = Region::new(&global, member);
            (member.region.clone(), Cluster::new(region))
        });
        Ok(GlobalCluster {
            regions: Arc::new(regions.collect()),
            global,
        })
    }

    /// The cluster of a Region.
    ///
    /// # Errors
    /// [`Refusal::NotMember`].
    pub fn cluster(&self, region: &str) -> Result<Cluster, Refusal> {
        let cluster = self.regions.get(region).cloned();
        cluster.ok_or_else(|| Refusal::NotMember(region.to_owned()))
    }

    /// The Region that the control plane holds for the writer. While a failover's old writer cannot be reached, that one
    /// takes writes too.
    pub fn writer(&self) -> String {
        self.global.writer()
    }

    /// The Regions whose cluster endpoint takes writes now: more than one is a split brain.
    pub fn writers(&self) -> Vec<String> {
        let writing = self.regions.iter().filter(|(_, cluster)| cluster.is_writer());
        writing.map(|(region, _)| region.clone()).collect()
    }

    /// What failovers have left behind, as far as it was found and kept aside.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.global.snapshots()
    }

    /// Every transaction that was committed and is not part of the database any more: those kept aside, and those of a
    /// former writer that has not been reached yet.
    pub fn lost(&self) -> Vec<LostTransaction> {
        let mut lost: Vec<LostTransaction> = Vec::new();
        for snapshot in self.global.snapshots() {
            lost.extend(snapshot.transactions);
        }
        let writer = self.global.writer();
        let Some(current) = self.global.volume(&writer) else {
            return lost;
        };
        for (region, cluster) in self.regions.iter().filter(|(region, _)| **region != writer) {
            if let Some(volume) = self.global.volume(region).filter(|_| cluster.wrote_last()) {
                let shared = common(&current.timeline(), volume.epoch(), volume.end());
                lost.extend(tail(region, &volume, shared.unwrap_or_default()));
            }
        }
        lost
    }
}
