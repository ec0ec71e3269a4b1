//! File descriptors that the operating system never gave out.
//!
//! A simulated socket, epoll set, eventfd or file has a number far above any real one. So telling them apart costs one
//! comparison, and a call that is not stood in for fails with EBADF instead of doing something real.
//!
//! Modelled: descriptors shared by `dup` and `F_DUPFD`; epoll sets, edge and level triggered, one-shot excepted;
//! eventfd. Not modelled: epoll sets inside epoll sets.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;

use super::Kernel;
use super::disk::OpenFile;
use crate::net::{HostId, Socket};

/// Linux allows no more than 2^30 descriptors or so to a process (`fs.nr_open`), and gives them out from below.
const FIRST_FD: c_int = 0x4000_0000;

/// Whether this descriptor is a simulated one.
pub(crate) fn is_simulated(fd: c_int) -> bool {
    fd >= FIRST_FD
}

/// What descriptors refer to: an open file description, in POSIX's words.
pub(crate) type FileId = usize;

pub(crate) struct File {
    pub(crate) host: HostId,
    references: u32,
    pub(crate) nonblocking: bool,
    watchers: Vec<Watcher>,
    pub(crate) object: Object,
}

struct Watcher {
    epoll: FileId,
    fd: c_int,
}

pub(crate) enum Object {
    Epoll(Epoll),
    Event {
        count: u64,
    },
    Socket(Socket),
    Regular(OpenFile),
    /// `/dev/urandom`.
    Random,
    /// The process is gone, the number not yet free.
    Dead,
}

#[derive(Default)]
pub(crate) struct Epoll {
    interests: BTreeMap<c_int, Interest>,
    ready: VecDeque<c_int>,
}

struct Interest {
    file: FileId,
    events: u32,
    data: u64,
    queued: bool,
}

#[derive(Default)]
pub(crate) struct Descriptors {
    fds: Vec<Option<FileId>>,
    files: Vec<Option<File>>,
    free_files: Vec<FileId>,
}

impl Descriptors {
    fn slot(fd: c_int) -> usize {
        (fd - FIRST_FD) as usize
    }

    pub(crate) fn file(&self, fd: c_int) -> Option<FileId> {
        self.fds.get(Self::slot(fd)).copied().flatten()
    }

    pub(crate) fn get(&self, file: FileId) -> Option<&File> {
        self.files.get(file).and_then(Option::as_ref)
    }

    pub(crate) fn get_mut(&mut self, file: FileId) -> Option<&mut File> {
        self.files.get_mut(file).and_then(Option::as_mut)
    }

    /// The lowest free number, as POSIX has it.
    fn number(&mut self, file: FileId) -> c_int {
        let slot = match self.fds.iter().position(Option::is_none) {
            Some(slot) => slot,
            None => {
                self.fds.push(None);
                self.fds.len() - 1
            }
        };
        self.fds[slot] = Some(file);
        FIRST_FD + slot as c_int
    }
}

impl Kernel {
    /// Opens a file in the running process.
    pub(crate) fn open(&mut self, object: Object, nonblocking: bool) -> c_int {
        let host = self.running();
        let file = File {
            host,
            references: 1,
            nonblocking,
            watchers: Vec::new(),
            object,
        };
        let id = match self.descriptors.free_files.pop() {
            Some(id) => {
                self.descriptors.files[id] = Some(file);
                id
            }
            None => {
                self.descriptors.files.push(Some(file));
                self.descriptors.files.len() - 1
            }
        };
        self.machine_mut(host).open.push(id);
        self.descriptors.number(id)
    }

    /// The file behind a descriptor of a process that is still alive.
    pub(crate) fn file(&self, fd: c_int) -> Result<FileId, c_int> {
        let id = self.descriptors.file(fd).ok_or(libc::EBADF)?;
        match self.descriptors.get(id) {
            Some(File {
                object: Object::Dead, ..
            })
            | None => Err(libc::EBADF),
            Some(_) => Ok(id),
        }
    }

    pub(crate) fn object(&mut self, fd: c_int) -> Result<&mut Object, c_int> {
        let id = self.file(fd)?;
        self.descriptors
            .get_mut(id)
            .map(|file| &mut file.object)
            .ok_or(libc::EBADF)
    }

    pub(crate) fn duplicate(&mut self, fd: c_int) -> Result<c_int, c_int> {
        let id = self.file(fd)?;
        if let Some(file) = self.descriptors.get_mut(id) {
            file.references += 1;
        }
        Ok(self.descriptors.number(id))
    }

    pub(crate) fn close(&mut self, fd: c_int) -> Result<(), c_int> {
        let id = self.descriptors.file(fd).ok_or(libc::EBADF)?;
        self.descriptors.fds[Descriptors::slot(fd)] = None;
        let Some(file) = self.descriptors.get_mut(id) else {
            return Err(libc::EBADF);
        };
        file.references -= 1;
        if file.references == 0 {
            self.dispose(id);
            self.descriptors.files[id] = None;
            self.descriptors.free_files.push(id);
        }
        Ok(())
    }

    /// Does what closing the last descriptor of a file does, except freeing its number.
    fn dispose(&mut self, id: FileId) {
        let Some(file) = self.descriptors.get_mut(id) else {
            return;
        };
        let host = file.host;
        let object = std::mem::replace(&mut file.object, Object::Dead);
        for watcher in std::mem::take(&mut file.watchers) {
            if let Some(File {
                object: Object::Epoll(epoll),
                ..
            }) = self.descriptors.get_mut(watcher.epoll)
            {
                epoll.interests.remove(&watcher.fd);
            }
        }
        self.machine_mut(host).open.retain(|open| *open != id);
        match object {
            Object::Socket(socket) => self.socket_closed(host, socket),
            Object::Epoll(epoll) => {
                for interest in epoll.interests.into_values() {
                    if let Some(file) = self.descriptors.get_mut(interest.file) {
                        file.watchers.retain(|watcher| watcher.epoll != id);
                    }
                }
            }
            Object::Event { .. } | Object::Regular(_) | Object::Random | Object::Dead => {}
        }
    }

    /// Closes the sockets and files of the process on this host, as the operating system does for a process that is gone.
    /// Their numbers, and what its runtime needs to be taken down, stay until its own destructors have closed them, which
    /// may be later: whoever shares state with the program keeps some of it alive.
    pub(crate) fn close_all(&mut self, host: HostId) {
        for id in std::mem::take(&mut self.machine_mut(host).open) {
            let object = self.descriptors.get(id).map(|file| &file.object);
            if matches!(object, Some(Object::Socket(_) | Object::Regular(_))) {
                self.dispose(id);
            }
        }
    }

    pub(crate) fn epoll_control(
        &mut self,
        epoll: c_int,
        operation: c_int,
        fd: c_int,
        events: u32,
        data: u64,
    ) -> Result<(), c_int> {
        let epoll = self.file(epoll)?;
        // A real descriptor in a simulated set: the runtime's signal pipe. Nothing signals a simulated process.
        if !is_simulated(fd) {
            return Ok(());
        }
        let file = self.file(fd)?;
        let Some(File {
            object: Object::Epoll(set),
            ..
        }) = self.descriptors.get_mut(epoll)
        else {
            return Err(libc::EINVAL);
        };
        let known = set.interests.contains_key(&fd);
        match (operation, known) {
            (libc::EPOLL_CTL_ADD, true) => return Err(libc::EEXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, false) => return Err(libc::ENOENT),
            (libc::EPOLL_CTL_DEL, true) => {
                set.interests.remove(&fd);
                if let Some(file) = self.descriptors.get_mut(file) {
                    file.watchers
                        .retain(|watcher| (watcher.epoll, watcher.fd) != (epoll, fd));
                }
                return Ok(());
            }
            (libc::EPOLL_CTL_ADD, false) => {
                set.interests.insert(
                    fd,
                    Interest {
                        file,
                        events,
                        data,
                        queued: false,
                    },
                );
                if let Some(file) = self.descriptors.get_mut(file) {
                    file.watchers.push(Watcher { epoll, fd });
                }
            }
            (libc::EPOLL_CTL_MOD, true) => {
                if let Some(interest) = set.interests.get_mut(&fd) {
                    interest.events = events;
                    interest.data = data;
                }
            }
            _ => return Err(libc::EINVAL),
        }
        let readiness = self.readiness(file);
        if readiness != 0 {
            self.notify(file, readiness);
        }
        Ok(())
    }

    /// Tells every epoll set that watches this file that something changed: an edge.
    pub(crate) fn notify(&mut self, file: FileId, changed: u32) {
        let Some(watchers) = self
            .descriptors
            .get_mut(file)
            .map(|file| std::mem::take(&mut file.watchers))
        else {
            return;
        };
        for watcher in &watchers {
            let Some(File {
                object: Object::Epoll(set),
                host,
                ..
            }) = self.descriptors.get_mut(watcher.epoll)
            else {
                continue;
            };
            let host = *host;
            let Some(interest) = set.interests.get_mut(&watcher.fd) else {
                continue;
            };
            if changed & (interest.events | ALWAYS) != 0 {
                if !interest.queued {
                    interest.queued = true;
                    set.ready.push_back(watcher.fd);
                }
                self.wake(host);
            }
        }
        if let Some(file) = self.descriptors.get_mut(file) {
            file.watchers = watchers;
        }
    }

    /// Fills `into` with what is ready; answers how many.
    pub(crate) fn epoll_collect(
        &mut self,
        epoll: c_int,
        into: &mut [libc::epoll_event],
    ) -> Result<usize, c_int> {
        let epoll = self.file(epoll)?;
        let mut filled = 0;
        let mut level_triggered = Vec::new();
        while filled < into.len() {
            let Some(File {
                object: Object::Epoll(set),
                ..
            }) = self.descriptors.get_mut(epoll)
            else {
                return Err(libc::EINVAL);
            };
            let Some(fd) = set.ready.pop_front() else { break };
            // A number closed since it was queued has no interest, or another file's, which is queued by itself.
            let Some(interest) = set.interests.get_mut(&fd).filter(|interest| interest.queued) else {
                continue;
            };
            interest.queued = false;
            let (file, events, data) = (interest.file, interest.events, interest.data);
            let ready = self.readiness(file) & (events | ALWAYS);
            if ready != 0 {
                into[filled] = libc::epoll_event {
                    events: ready,
                    u64: data,
                };
                filled += 1;
                if events & libc::EPOLLET as u32 == 0 {
                    level_triggered.push(fd);
                }
            }
        }
        if let Some(File {
            object: Object::Epoll(set),
            ..
        }) = self.descriptors.get_mut(epoll)
        {
            for fd in level_triggered {
                if let Some(interest) = set.interests.get_mut(&fd)
                    && !std::mem::replace(&mut interest.queued, true)
                {
                    set.ready.push_back(fd);
                }
            }
        }
        Ok(filled)
    }

    /// What epoll would say of a file at this moment.
    pub(crate) fn readiness(&self, file: FileId) -> u32 {
        let Some(file) = self.descriptors.get(file) else {
            return 0;
        };
        match &file.object {
            Object::Event { count: 0 } => libc::EPOLLOUT as u32,
            Object::Event { .. } => (libc::EPOLLIN | libc::EPOLLOUT) as u32,
            Object::Socket(socket) => self.socket_readiness(file.host, socket),
            Object::Epoll(_) | Object::Regular(_) | Object::Random | Object::Dead => 0,
        }
    }
}

/// What epoll reports whether asked to or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
