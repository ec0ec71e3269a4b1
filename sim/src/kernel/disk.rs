//! A machine's own disk, in memory.
//!
//! Modelled: files by absolute path, directories, appending, truncating, renaming, unlinking an open file; what a process
//! wrote survives its death; of what a machine's file system held, the loss of the machine leaves what was synced
//! (`fsync`, `fdatasync`), or nothing when the disk is lost too. What the disk does not have is read from the real machine
//! (certificates, time zones, configuration) and can never be changed there.
//!
//! Not modelled: permissions, times, links, sparse files, a full disk, slow or failing writes, torn writes (a sync is all or
//! nothing), lost directory entries (creating, renaming and removing are durable at once), mmap.

use std::collections::BTreeMap;
use std::ffi::c_int;

use super::{Breach, Kernel, Object};
use crate::trace::Kind;

/// What every machine has before a program makes more.
const DIRECTORIES: [&str; 7] = ["/", "/data", "/tmp", "/var", "/var/lib", "/var/log", "/var/tmp"];

type Inode = u64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Directory,
    File(Inode),
}

pub(crate) struct Drive {
    names: BTreeMap<String, Entry>,
    nodes: BTreeMap<Inode, Node>,
    made: Inode,
}

impl Default for Drive {
    fn default() -> Drive {
        let names = DIRECTORIES
            .iter()
            .map(|path| ((*path).to_owned(), Entry::Directory))
            .collect();
        Drive {
            names,
            nodes: BTreeMap::new(),
            made: 0,
        }
    }
}

#[derive(Default)]
struct Node {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Where `content` may differ from `durable`, besides in length.
    dirty: std::ops::Range<usize>,
}

impl Node {
    fn touch(&mut self, start: usize, end: usize) {
        self.dirty = if self.dirty.is_empty() {
            start..end
        } else {
            self.dirty.start.min(start)..self.dirty.end.max(end)
        };
    }

    fn sync(&mut self) {
        self.durable.resize(self.content.len(), 0);
        let end = self.dirty.end.min(self.content.len());
        let start = self.dirty.start.min(end);
        self.durable[start..end].copy_from_slice(&self.content[start..end]);
        self.dirty = 0..0;
    }

    fn resize(&mut self, length: usize) {
        let before = self.content.len();
        self.content.resize(length, 0);
        self.touch(before.min(length), before.max(length));
    }
}

/// A file or a directory that a process has open.
pub(crate) struct OpenFile {
    path: String,
    /// None for a directory.
    inode: Option<Inode>,
    position: u64,
    append: bool,
    readable: bool,
    writable: bool,
}

/// What `stat` says.
pub(crate) struct Facts {
    pub(crate) directory: bool,
    pub(crate) length: u64,
    pub(crate) inode: u64,
}

impl Drive {
    pub(crate) fn entry(&self, path: &str) -> Option<Entry> {
        self.names.get(path).copied()
    }

    pub(crate) fn facts(&self, entry: Entry) -> Facts {
        match entry {
            Entry::Directory => Facts {
                directory: true,
                length: 0,
                inode: 1,
            },
            Entry::File(inode) => {
                let length = self.nodes.get(&inode).map_or(0, |node| node.content.len() as u64);
                Facts {
                    directory: false,
                    length,
                    inode: inode + 1,
                }
            }
        }
    }

    /// The names directly below a directory, in order.
    pub(crate) fn list(&self, directory: &str) -> Vec<(String, Entry)> {
        let prefix = if directory == "/" {
            "/".to_owned()
        } else {
            format!("{directory}/")
        };
        self.names
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| path.len() > prefix.len() && !path[prefix.len()..].contains('/'))
            .map(|(path, entry)| (path[prefix.len()..].to_owned(), *entry))
            .collect()
    }

    fn parent_exists(&self, path: &str) -> bool {
        let parent = path
            .rsplit_once('/')
            .map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        self.entry(parent) == Some(Entry::Directory)
    }

    pub(crate) fn make_directory(&mut self, path: &str) -> Result<(), c_int> {
        if self.entry(path).is_some() {
            return Err(libc::EEXIST);
        }
        if !self.parent_exists(path) {
            return Err(libc::ENOENT);
        }
        self.names.insert(path.to_owned(), Entry::Directory);
        Ok(())
    }

    pub(crate) fn remove_directory(&mut self, path: &str) -> Result<(), c_int> {
        match self.entry(path) {
            Some(Entry::Directory) if self.list(path).is_empty() => {
                self.names.remove(path);
                Ok(())
            }
            Some(Entry::Directory) => Err(libc::ENOTEMPTY),
            Some(Entry::File(_)) => Err(libc::ENOTDIR),
            None => Err(libc::ENOENT),
        }
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Result<(), c_int> {
        match self.entry(path) {
            // The content stays for whoever has it open.
            Some(Entry::File(_)) => {
                self.names.remove(path);
                Ok(())
            }
            Some(Entry::Directory) => Err(libc::EISDIR),
            None => Err(libc::ENOENT),
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), c_int> {
        let entry = self.entry(from).ok_or(libc::ENOENT)?;
        if !self.parent_exists(to) {
            return Err(libc::ENOENT);
        }
        match (entry, self.entry(to)) {
            (Entry::File(_), Some(Entry::Directory)) => return Err(libc::EISDIR),
            (Entry::Directory, Some(Entry::File(_))) => return Err(libc::ENOTDIR),
            (Entry::Directory, Some(Entry::Directory)) if !self.list(to).is_empty() => {
                return Err(libc::ENOTEMPTY);
            }
            _ => {}
        }
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .names
            .range(below.clone()..)
            .map(|(path, _)| path.clone())
            .collect();
        for path in moved.into_iter().take_while(|path| path.starts_with(&below)) {
            if let Some(entry) = self.names.remove(&path) {
                self.names.insert(format!("{to}/{}", &path[below.len()..]), entry);
            }
        }
        self.names.remove(from);
        self.names.insert(to.to_owned(), entry);
        Ok(())
    }

    fn open(&mut self, path: &str, flags: c_int) -> Result<OpenFile, c_int> {
        let (readable, writable) = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => (true, false),
            libc::O_WRONLY => (false, true),
            _ => (true, true),
        };
        let inode = match self.entry(path) {
            Some(_) if flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0 => return Err(libc::EEXIST),
            Some(Entry::Directory) if writable => return Err(libc::EISDIR),
            Some(Entry::Directory) => None,
            Some(Entry::File(_)) if flags & libc::O_DIRECTORY != 0 => return Err(libc::ENOTDIR),
            Some(Entry::File(inode)) => Some(inode),
            None if flags & libc::O_CREAT == 0 || !self.parent_exists(path) => return Err(libc::ENOENT),
            None => {
                self.made += 1;
                self.nodes.insert(self.made, Node::default());
                self.names.insert(path.to_owned(), Entry::File(self.made));
                Some(self.made)
            }
        };
        if let Some(node) = inode.and_then(|inode| self.nodes.get_mut(&inode))
            && writable
            && flags & libc::O_TRUNC != 0
        {
            node.resize(0);
        }
        let append = flags & libc::O_APPEND != 0;
        Ok(OpenFile {
            path: path.to_owned(),
            inode,
            position: 0,
            append,
            readable,
            writable,
        })
    }

    /// The machine lost power: what was not synced is gone.
    pub(crate) fn lose_power(&mut self) {
        for node in self.nodes.values_mut() {
            node.content.clone_from(&node.durable);
            node.dirty = 0..0;
        }
    }
}

/// An absolute path without `.`, `..` and double slashes. Every process starts in `/`.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

impl Kernel {
    pub(crate) fn drive(&mut self) -> &mut Drive {
        let host = self.running();
        &mut self.machine_mut(host).drive
    }

    /// Opens a file of the host's own disk; None when it is for the real machine to answer, which may only be read.
    pub(crate) fn open_file(&mut self, path: &str, flags: c_int) -> Result<Option<c_int>, c_int> {
        if path == "/dev/urandom" || path == "/dev/random" {
            return Ok(Some(self.open(Object::Random, false)));
        }
        let path = normal(path);
        let for_reading = flags & libc::O_ACCMODE == libc::O_RDONLY;
        if self.drive().entry(&path).is_none() && flags & libc::O_CREAT == 0 {
            if for_reading {
                return Ok(None);
            }
            self.violate(
                format!("open {path:?} for writing, which is not on the host's disk"),
                Breach::RealFile,
            );
            return Err(libc::EROFS);
        }
        let file = self.drive().open(&path, flags)?;
        Ok(Some(self.open(Object::Regular(file), false)))
    }

    fn open_regular(&mut self, fd: c_int) -> Result<(&mut OpenFile, &mut Node), c_int> {
        let id = self.file(fd)?;
        let host = self.running();
        let Some(Object::Regular(open)) = self.descriptors.get_mut(id).map(|file| &mut file.object) else {
            return Err(libc::EBADF);
        };
        let inode = open.inode.ok_or(libc::EISDIR)?;
        let node = self.machines[host.index()]
            .drive
            .nodes
            .get_mut(&inode)
            .ok_or(libc::EIO)?;
        Ok((open, node))
    }

    pub(crate) fn read_file_at(&mut self, fd: c_int, into: &mut [u8], offset: i64) -> Result<usize, c_int> {
        let offset = usize::try_from(offset).map_err(|_| libc::EINVAL)?;
        let (open, node) = self.open_regular(fd)?;
        if !open.readable {
            return Err(libc::EBADF);
        }
        let rest = node.content.get(offset..).unwrap_or(&[]);
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    pub(crate) fn write_file_at(&mut self, fd: c_int, from: &[u8], offset: i64) -> Result<usize, c_int> {
        let (open, node) = self.open_regular(fd)?;
        if !open.writable {
            return Err(libc::EBADF);
        }
        // Linux appends even where an offset is given.
        let offset = if open.append {
            node.content.len()
        } else {
            usize::try_from(offset).map_err(|_| libc::EINVAL)?
        };
        let end = offset.checked_add(from.len()).ok_or(libc::EFBIG)?;
        if node.content.len() < end {
            node.resize(end);
        }
        node.content[offset..end].copy_from_slice(from);
        node.touch(offset, end);
        Ok(from.len())
    }

    pub(crate) fn read_file(&mut self, fd: c_int, into: &mut [u8]) -> Result<usize, c_int> {
        let position = self.open_regular(fd)?.0.position;
        let length = self.read_file_at(fd, into, position as i64)?;
        self.open_regular(fd)?.0.position += length as u64;
        Ok(length)
    }

    pub(crate) fn write_file(&mut self, fd: c_int, from: &[u8]) -> Result<usize, c_int> {
        let (open, node) = self.open_regular(fd)?;
        let position = if open.append {
            node.content.len() as u64
        } else {
            open.position
        };
        let length = self.write_file_at(fd, from, position as i64)?;
        self.open_regular(fd)?.0.position = position + length as u64;
        Ok(length)
    }

    pub(crate) fn seek_file(&mut self, fd: c_int, offset: i64, whence: c_int) -> Result<u64, c_int> {
        let (open, node) = self.open_regular(fd)?;
        let base = match whence {
            libc::SEEK_SET => 0,
            libc::SEEK_CUR => open.position as i64,
            libc::SEEK_END => node.content.len() as i64,
            _ => return Err(libc::EINVAL),
        };
        let position = base
            .checked_add(offset)
            .and_then(|position| u64::try_from(position).ok());
        open.position = position.ok_or(libc::EINVAL)?;
        Ok(open.position)
    }

    pub(crate) fn resize_file(&mut self, fd: c_int, length: i64) -> Result<(), c_int> {
        let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
        let (open, node) = self.open_regular(fd)?;
        if !open.writable {
            return Err(libc::EINVAL);
        }
        node.resize(length);
        Ok(())
    }

    pub(crate) fn sync_file(&mut self, fd: c_int) -> Result<(), c_int> {
        let host = self.running();
        let (path, bytes) = match self.open_regular(fd) {
            Ok((open, node)) => {
                node.sync();
                (open.path.clone(), node.content.len() as u64)
            }
            // Names are durable at once, so there is nothing to sync in a directory.
            Err(libc::EISDIR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        self.record(Some(host), None, &Kind::Sync { path, bytes });
        Ok(())
    }

    pub(crate) fn file_facts(&mut self, fd: c_int) -> Result<Facts, c_int> {
        let Object::Regular(open) = self.object(fd)? else {
            return Ok(Facts {
                directory: false,
                length: 0,
                inode: 0,
            });
        };
        let entry = open.inode.map_or(Entry::Directory, Entry::File);
        Ok(self.drive().facts(entry))
    }

    pub(crate) fn path_facts(&mut self, path: &str) -> Option<Facts> {
        let path = normal(path);
        let drive = self.drive();
        drive.entry(&path).map(|entry| drive.facts(entry))
    }
}
