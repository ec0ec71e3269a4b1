//! The volume of a cluster: the storage that outlives every instance.
//!
//! It holds an image of what is committed and the log records after it. A record moves into the image once nobody needs
//! it as a record any more: no reader of this Region, no other Region. An instance that starts reads the image with the
//! records replayed over it; so what was not committed is gone, and what was is there.
//!
//! A failover forks history: the new writer goes on from where its copy ended, whatever the old one wrote after that. Hence
//! positions are compared along a timeline, as in PostgreSQL: an epoch for each writer, and the position it began at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::heap::{HeapId, Row, Tid};
use super::log::{Change, Log, Lsn, Record};
use crate::aws::aurora::catalog::{Catalog, Oid};
use crate::aws::aurora::txn::Xid;

/// The follower that stands for all other Regions where the writer is not.
pub(crate) const OTHER_REGIONS: &str = "other Regions";

/// Counts the writers that a global cluster has had; each change of writer begins a new one.
pub(crate) type Epoch = u64;

/// The committed rows of one heap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// By place.
    pub rows: BTreeMap<Tid, Row>,
    /// The highest place ever used: a place is not used twice.
    pub last: Tid,
}

/// What is committed at one position of the log.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The position.
    pub lsn: Lsn,
    /// The highest transaction id that committed.
    pub xid: Xid,
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Rows by heap.
    pub heaps: BTreeMap<HeapId, Rows>,
    /// Sequence positions.
    pub sequences: BTreeMap<Oid, (i64, bool)>,
}

impl Image {
    fn apply(&mut self, record: &Record) {
        if let Some(catalog) = &record.catalog {
            for table in catalog.tables() {
                self.heaps.entry(table.heap).or_default();
            }
            self.catalog = catalog.clone();
        }
        for change in &record.changes {
            match change {
                Change::Insert { heap, tid, row } => {
                    // Heaps of temporary tables are not here.
                    if let Some(heap) = self.heaps.get_mut(heap) {
                        heap.rows.insert(*tid, row.clone());
                        heap.last = heap.last.max(*tid);
                    }
                }
                Change::Delete { heap, tid, .. } => {
                    if let Some(heap) = self.heaps.get_mut(heap) {
                        heap.rows.remove(tid);
                    }
                }
            }
        }
        if let Some(catalog) = &record.catalog {
            let used: Vec<HeapId> = catalog.tables().map(|table| table.heap).collect();
            self.heaps.retain(|heap, _| used.contains(heap));
            self.sequences.retain(|oid, _| catalog.sequence(*oid).is_some());
        }
        self.sequences.extend(&record.sequences);
        self.xid = self.xid.max(record.xid);
        self.lsn = record.lsn;
    }

    /// About how many bytes a copy of it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let rows = self.heaps.values().flat_map(|heap| heap.rows.values());
        let values = rows.map(|row| 24 + row.iter().map(|value| value.size() as u64).sum::<u64>());
        8192 + values.sum::<u64>()
    }
}

#[derive(Debug)]
struct Contents {
    image: Image,
    /// Records after the image, with when they came here.
    records: VecDeque<(Instant, Arc<Record>)>,
    end: Lsn,
    timeline: Vec<(Epoch, Lsn)>,
    /// From where on each follower still needs records.
    needs: BTreeMap<String, Lsn>,
}

impl Contents {
    fn push(&mut self, record: Arc<Record>) {
        self.end = record.lsn;
        self.records.push_back((Instant::now(), record));
        self.fold();
    }

    fn fold(&mut self) {
        let keep = self.needs.values().min().copied().unwrap_or(self.end);
        while let Some((_, record)) = self.records.front()
            && record.lsn <= keep
        {
            self.image.apply(record);
            self.records.pop_front();
        }
    }

    fn from(&self, lsn: Lsn) -> usize {
        self.records.partition_point(|(_, record)| record.lsn <= lsn)
    }
}

/// A handle to a volume; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Volume(Arc<Mutex<Contents>>);

impl Volume {
    /// An empty volume.
    pub(crate) fn new(catalog: Catalog, epoch: Epoch) -> Volume {
        let image = Image {
            lsn: Log::START,
            xid: 2,
            catalog: Arc::new(catalog),
            heaps: BTreeMap::new(),
            sequences: BTreeMap::new(),
        };
        Volume::copy(image, vec![(epoch, Log::START)])
    }

    /// A volume that begins with a copy of another.
    pub(crate) fn copy(image: Image, timeline: Vec<(Epoch, Lsn)>) -> Volume {
        Volume(Arc::new(Mutex::new(Contents {
            end: image.lsn,
            image,
            records: VecDeque::new(),
            timeline,
            needs: BTreeMap::new(),
        })))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position after the last record.
    pub(crate) fn end(&self) -> Lsn {
        self.contents().end
    }

    /// Appends what the writer committed.
    pub(crate) fn append(&self, record: Record) {
        self.contents().push(Arc::new(record));
    }

    /// Appends records of the writer in another Region. False, and nothing done, if they do not follow what is here.
    pub(crate) fn receive(&self, records: &[Arc<Record>]) -> bool {
        let mut contents = self.contents();
        if records.first().is_some_and(|first| first.from != contents.end) {
            return false;
        }
        for record in records {
            contents.push(record.clone());
        }
        true
    }

    /// What is committed now.
    pub(crate) fn image(&self) -> Image {
        let contents = self.contents();
        let mut image = contents.image.clone();
        for (_, record) in &contents.records {
            image.apply(record);
        }
        image
    }

    /// A row of the image.
    pub(crate) fn stored(&self, (heap, tid): (HeapId, Tid)) -> Option<Row> {
        self.contents().image.heaps.get(&heap)?.rows.get(&tid).cloned()
    }

    /// Whether every record after a position is still here as a record.
    pub(crate) fn reaches_back_to(&self, lsn: Lsn) -> bool {
        self.contents().image.lsn <= lsn
    }

    /// Records after a position, as far as they are still here as records.
    pub(crate) fn after(&self, lsn: Lsn) -> Vec<Arc<Record>> {
        let contents = self.contents();
        let records = contents.records.range(contents.from(lsn)..);
        records.map(|(_, record)| record.clone()).collect()
    }

    /// The catalog that the first record after a position was written under.
    pub(crate) fn catalog_at(&self, lsn: Lsn) -> Arc<Catalog> {
        let contents = self.contents();
        let before = contents.records.range(..contents.from(lsn));
        let latest = before.rev().find_map(|(_, record)| record.catalog.clone());
        latest.unwrap_or_else(|| contents.image.catalog.clone())
    }

    /// Where a batch that begins at `lsn` ends: with the last record that is at least so old, or earlier if the batch would
    /// grow beyond so many bytes. Otherwise how long until the first record is so old; None if there is none.
    pub(crate) fn batch(&self, lsn: Lsn, age: Duration, bytes_max: u64) -> Option<Result<Lsn, Duration>> {
        let now = Instant::now();
        let contents = self.contents();
        let from = contents.from(lsn);
        let (since, first) = contents.records.get(from)?;
        let wait = age.saturating_sub(now.saturating_duration_since(*since));
        if !wait.is_zero() {
            return Some(Err(wait));
        }
        let mut end = first.lsn;
        for (since, record) in contents.records.range(from + 1..) {
            if now.saturating_duration_since(*since) < age || record.lsn - lsn > bytes_max {
                break;
            }
            end = record.lsn;
        }
        Some(Ok(end))
    }

    /// How long the first record after a position has been here; None if there is none.
    pub(crate) fn age_after(&self, lsn: Lsn) -> Option<Duration> {
        let contents = self.contents();
        let first = contents.records.get(contents.from(lsn));
        first.map(|(since, _)| since.elapsed())
    }

    /// Keeps the records after a position for this follower.
    pub(crate) fn need(&self, follower: &str, lsn: Lsn) {
        let mut contents = self.contents();
        contents.needs.insert(follower.to_owned(), lsn);
        contents.fold();
    }

    /// Keeps nothing any more for this follower.
    pub(crate) fn need_no_more(&self, follower: &str) {
        let mut contents = self.contents();
        contents.needs.remove(follower);
        contents.fold();
    }

    /// The position that every follower has reached.
    pub(crate) fn needed(&self) -> Lsn {
        let contents = self.contents();
        contents.needs.values().min().copied().unwrap_or(contents.end)
    }

    /// The writer of now.
    pub(crate) fn epoch(&self) -> Epoch {
        self.contents().timeline.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Its writers and where each began.
    pub(crate) fn timeline(&self) -> Vec<(Epoch, Lsn)> {
        self.contents().timeline.clone()
    }

    /// Begins the epoch of a new writer here.
    pub(crate) fn fork(&self, epoch: Epoch) {
        let mut contents = self.contents();
        let end = contents.end;
        contents.timeline.push((epoch, end));
    }

    /// Takes over the timeline of the volume that is followed, whose writer says from now on what others need.
    pub(crate) fn follow(&self, timeline: Vec<(Epoch, Lsn)>) {
        let needed = self.needed();
        let mut contents = self.contents();
        contents.timeline = timeline;
        contents.needs = BTreeMap::from([(OTHER_REGIONS.to_owned(), needed)]);
    }
}

/// Up to where history that ends at this position of an epoch is also the history of a timeline. None if that timeline
/// does not know the epoch.
pub(crate) fn common(timeline: &[(Epoch, Lsn)], epoch: Epoch, lsn: Lsn) -> Option<Lsn> {
    let at = timeline.iter().position(|(known, _)| *known == epoch)?;
    Some(timeline.get(at + 1).map_or(lsn, |(_, end)| lsn.min(*end)))
}
