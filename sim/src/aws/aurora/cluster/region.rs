//! One Region of a Global Database: its volume, its instances, and whether it is the writer's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bell::Bell;
use super::config::RegionConfig;
use super::control::{Global, Operation};
use super::gate::Gate;
use super::message::Reply;
use super::shipping::Shipping;
use super::snapshot::{Snapshot, tail};
use crate::Stream;
use crate::aws::aurora::engine::{Engine, Options};
use crate::aws::aurora::error::Result;
use crate::aws::aurora::storage::Volume;
use crate::aws::aurora::storage::log::Lsn;
use crate::aws::aurora::storage::volume::{Epoch, OTHER_REGIONS, common};
use crate::fault::{FaultHandle, Service};
use crate::units::Span;

#[derive(Debug)]
pub(super) struct State {
    pub(super) volume: Volume,
    /// It takes writes, or would if it were not quiesced.
    pub(super) writer: bool,
    /// Its volume was last written by itself.
    pub(super) wrote_last: bool,
    /// Writes wait for this switchover.
    pub(super) quiesced: Option<u64>,
    /// The instance behind the cluster endpoint; none while one takes over.
    pub(super) head: Option<Engine>,
    /// The instance behind the reader endpoint of the writer's Region, started with its first client.
    pub(super) reader: Option<Engine>,
    /// A server has run here before.
    pub(super) started: bool,
    /// In-Region failovers that were asked for.
    pub(super) reboots: u32,
    /// Changes of writer that this Region is to carry out.
    pub(super) operations: VecDeque<Operation>,
}

#[derive(Debug)]
pub(super) struct Region {
    pub(super) global: Arc<Global>,
    pub(super) member: RegionConfig,
    pub(super) options: Arc<Options>,
    pub(super) faults: FaultHandle,
    pub(super) gate: Arc<Gate>,
    pub(super) shipping: Arc<Shipping>,
    state: Mutex<State>,
    /// Rings when this Region has something new to do, or has received more of the log.
    pub(super) news: Bell,
    draws: Mutex<Stream>,
}

/// What reading a volume or its log comes to: the writer evaluated the same index expressions on the same rows.
pub(super) fn fits<T>(read: Result<T>) -> T {
    read.unwrap_or_else(|error| unreachable!("a committed row does not fit its index: {error}"))
}

impl Region {
    pub(super) fn new(global: &Arc<Global>, member: &RegionConfig) -> Arc<Region> {
        let config = &global.config;
        let name = &member.region;
        let volume = global
            .volume(name)
            .unwrap_or_else(|| unreachable!("each member was given one"));
        let faults = FaultHandle::new(config.seed, Service::Aurora, name);
        let shipping = Arc::new(Shipping::new(volume.clone()));
        let gate = Gate::new(
            faults.clone(),
            config.commit,
            config.stream(name, "commit"),
            config.rpo,
            shipping.clone(),
        );
        let writer = global.writer() == *name;
        let region = Region {
            options: Arc::new(config.instance.clone()),
            faults,
            gate: Arc::new(gate),
            shipping,
            state: Mutex::new(State {
                volume: volume.clone(),
                writer,
                wrote_last: writer,
                quiesced: None,
                head: None,
                reader: None,
                started: false,
                reboots: 0,
                operations: VecDeque::new(),
            }),
            news: Bell::default(),
            draws: Mutex::new(config.stream(name, "failover")),
            global: global.clone(),
            member: member.clone(),
        };
        if writer {
            region.shipping.begin(&volume, region.others(), volume.end());
        }
        Arc::new(region)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.member.region
    }

    /// The other Regions.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        let members = self.global.config.regions.iter();
        members
            .map(|member| member.region.as_str())
            .filter(|region| *region != self.name())
    }

    pub(super) fn draw(&self, span: Span) -> std::time::Duration {
        span.draw(&mut self.draws.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An instance on the volume.
    pub(super) fn instance(&self, state: &State, read_only: bool) -> Engine {
        fits(Engine::on(&state.volume, &self.options, &self.gate, read_only))
    }

    /// Puts a new first instance in the place of what is there, whose connections end.
    pub(super) fn replace_head(&self, state: &mut State) {
        if let Some(head) = state.head.take() {
            head.crash();
        }
        let read_only = !state.writer || state.quiesced.is_some();
        state.head = Some(self.instance(state, read_only));
    }

    pub(super) fn drop_reader(&self, state: &mut State) {
        if let Some(reader) = state.reader.take() {
            reader.crash();
            state.volume.need_no_more("reader");
        }
    }

    /// Another Region says that it is the writer, with this history.
    pub(super) fn follow(&self, timeline: &[(Epoch, Lsn)]) -> Reply {
        let mut state = self.state();
        let (own, theirs) = (state.volume.epoch(), timeline.last().map_or(0, |last| last.0));
        if own > theirs || (own == theirs && state.writer) {
            return Reply::Superseded { epoch: own };
        }
        if state.writer {
            self.demote(&mut state);
        }
        let end = state.volume.end();
        let shared = common(timeline, own, end);
        let left_behind = state.wrote_last && self.global.lossy_since(own);
        if shared == Some(end) && !left_behind {
            state.volume.follow(timeline.to_vec());
            if own != theirs
                && std::mem::take(&mut state.wrote_last)
                && let Some(head) = &state.head
            {
                fits(head.reload(&state.volume));
            }
            return Reply::At { lsn: end };
        }
        Reply::NeedsCopy
    }

    /// Takes writes no more. What is open for reading stays.
    pub(super) fn demote(&self, state: &mut State) {
        state.writer = false;
        state.quiesced = None;
        if let Some(head) = &state.head {
            head.fence();
        }
        self.drop_reader(state);
        self.shipping.end();
    }

    /// Takes the writer's log in. None if it does not follow what is here.
    pub(super) fn receive(&self, writer: &str, epoch: Epoch, from: Lsn, to: Lsn, keep: Lsn) -> Option<Lsn> {
        let source = self
            .global
            .volume(writer)
            .filter(|source| source.epoch() == epoch)?;
        let mut records = source.after(from);
        records.retain(|record| record.lsn <= to);
        let state = self.state();
        let complete = records.last().is_some_and(|last| last.lsn == to);
        if state.writer || state.volume.epoch() != epoch || !complete {
            return None;
        }
        // Should this Region become the writer, others may need what comes after it.
        state.volume.need(OTHER_REGIONS, keep);
        if !state.volume.receive(&records) {
            return None;
        }
        if let Some(head) = &state.head {
            fits(head.follow(&records));
        }
        drop(state);
        self.news.ring();
        Some(to)
    }

    /// Begins anew with a copy of the writer's volume. What the old one has beyond it is kept aside.
    pub(super) fn rejoin(&self, number: u64) -> Option<Lsn> {
        let copy = self.global.copies.take(number)?;
        let mut state = self.state();
        if state.writer {
            return None;
        }
        if state.wrote_last {
            let shared = common(&copy.timeline, state.volume.epoch(), state.volume.end());
            let transactions = tail(self.name(), &state.volume, shared.unwrap_or_default());
            let cluster = self.global.config.cluster(self.name());
            self.global.keep(Snapshot {
                identifier: format!("rds:unplanned-global-failover-{cluster}-{number}"),
                region: self.name().to_owned(),
                transactions,
            });
        }
        state.volume = Volume::copy(copy.image, copy.timeline);
        state.wrote_last = false;
        self.global.set_volume(self.name(), state.volume.clone());
        if state.head.is_some() {
            self.replace_head(&mut state);
        }
        Some(state.volume.end())
    }

    /// Becomes the writer in a new epoch.
    pub(super) fn promote(&self, epoch: Epoch) {
        let mut state = self.state();
        let from = state.volume.needed();
        state.volume.fork(epoch);
        state.writer = true;
        state.wrote_last = true;
        state.quiesced = None;
        let volume = state.volume.clone();
        self.shipping.begin(&volume, self.others(), from);
        volume.need_no_more(OTHER_REGIONS);
        if state.head.is_some() {
            self.replace_head(&mut state);
        }
        drop(state);
        self.news.ring();
    }
}
