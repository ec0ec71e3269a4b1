//! Files: those of a simulated machine's own disk, and for reading only, those of the real one.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use libc::{dirent64, mode_t, off_t};

use super::{answer, failed, next};
use crate::kernel::descriptor::is_simulated;
use crate::kernel::disk::{Entry, Facts, normal};
use crate::kernel::raw::system_call;
use crate::kernel::{Breach, Kernel, on_host, with};

/// # Safety
/// `path` must be null or a string.
unsafe fn text<'a>(path: *const c_char) -> Result<&'a str, c_int> {
    if path.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller vouches for the string.
    unsafe { CStr::from_ptr(path) }.to_str().map_err(|_| libc::EINVAL)
}

/// # Safety
/// As libc's `openat`.
unsafe fn open_at(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller vouches for the path.
    let text = unsafe { text(path) };
    let absolute = directory == libc::AT_FDCWD || text.is_ok_and(|path| path.starts_with('/'));
    if on_host() && absolute {
        match text.and_then(|path| with(|kernel| kernel.open_file(path, flags))) {
            Ok(Some(fd)) => return fd,
            Ok(None) => {}
            Err(errno) => return failed(errno),
        }
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_openat, directory, path, flags, mode) as c_int }
}

/// Defines the names that libc has for one call; they differ where `off_t` has 32 bits, which it has not here.
///
/// # Safety
/// As libc's. Where it is declared variadic there: on x86-64 and aarch64 Linux, integer arguments of a variadic call are
/// passed like any others.
macro_rules! names {
    ($first:ident, $second:ident $arguments:tt -> $answer:ty $body:block) => {
        names! { $first $arguments -> $answer $body }
        names! { $second $arguments -> $answer $body }
    };
    ($name:ident ($($argument:ident: $type:ty),*) -> $answer:ty $body:block) => {
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $answer $body
    };
}

names! { open, open64 (path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
} }

names! { openat, openat64 (directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe { open_at(directory, path, flags, mode) }
} }

names! { lseek, lseek64 (fd: c_int, offset: off_t, whence: c_int) -> off_t {
    if is_simulated(fd) {
        return answer!(with(|kernel| kernel.seek_file(fd, offset, whence)));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_lseek, fd, offset, whence) as off_t }
} }

names! { ftruncate, ftruncate64 (fd: c_int, length: off_t) -> c_int {
    if is_simulated(fd) {
        return answer!(with(|kernel| kernel.resize_file(fd, length)).map(|()| 0));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_ftruncate, fd, length) as c_int }
} }

names! { fsync (fd: c_int) -> c_int {
    if is_simulated(fd) {
        return answer!(with(|kernel| kernel.sync_file(fd)).map(|()| 0));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_fsync, fd) as c_int }
} }

names! { fdatasync (fd: c_int) -> c_int {
    if is_simulated(fd) {
        return answer!(with(|kernel| kernel.sync_file(fd)).map(|()| 0));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_fdatasync, fd) as c_int }
} }

/// Writes what `stat` says of a simulated file.
///
/// # Safety
/// `into` must be valid for a stat.
unsafe fn write_facts(into: *mut libc::stat, facts: &Facts) {
    // SAFETY: a stat is all integers, for which zeros are a value; the caller vouches for the pointer.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        stat.st_mode = if facts.directory {
            libc::S_IFDIR | 0o755
        } else {
            libc::S_IFREG | 0o644
        };
        stat.st_nlink = 1;
        stat.st_size = facts.length as off_t;
        stat.st_ino = facts.inode;
        into.write(stat);
    }
}

/// The facts of a path that is on the host's own disk.
///
/// # Safety
/// `path` must be null or a string.
unsafe fn simulated_facts(path: *const c_char) -> Option<Facts> {
    if !on_host() {
        return None;
    }
    // SAFETY: the caller vouches for the path.
    let path = unsafe { text(path) }.ok()?;
    with(|kernel| kernel.path_facts(path))
}

names! { fstat, fstat64 (fd: c_int, into: *mut libc::stat) -> c_int {
    if is_simulated(fd) {
        return answer!(with(|kernel| kernel.file_facts(fd)).map(|facts| {
            // SAFETY: the caller's pointer, which libc's contract says is valid.
            unsafe { write_facts(into, &facts) };
            0
        }));
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_newfstatat, fd, c"".as_ptr(), into, libc::AT_EMPTY_PATH) as c_int }
} }

names! { stat, stat64 (path: *const c_char, into: *mut libc::stat) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        if let Some(facts) = simulated_facts(path) {
            write_facts(into, &facts);
            return 0;
        }
        system_call!(libc::SYS_newfstatat, libc::AT_FDCWD, path, into, 0) as c_int
    }
} }

names! { lstat, lstat64 (path: *const c_char, into: *mut libc::stat) -> c_int {
    // SAFETY: the caller's arguments, passed on. There are no links on a simulated disk.
    unsafe {
        if let Some(facts) = simulated_facts(path) {
            write_facts(into, &facts);
            return 0;
        }
        system_call!(libc::SYS_newfstatat, libc::AT_FDCWD, path, into, libc::AT_SYMLINK_NOFOLLOW) as c_int
    }
} }

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    into: *mut libc::statx,
) -> c_int {
    let facts = if is_simulated(directory) {
        match with(|kernel| kernel.file_facts(directory)) {
            Ok(facts) => Some(facts),
            Err(errno) => return failed(errno),
        }
    } else {
        // SAFETY: the caller's path, which libc's contract says is a string.
        unsafe { simulated_facts(path) }.filter(|_| directory == libc::AT_FDCWD)
    };
    let Some(facts) = facts else {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_statx, directory, path, flags, mask, into) as c_int };
    };
    // SAFETY: a statx is all integers, for which zeros are a value; the pointer is the caller's.
    unsafe {
        let mut statx: libc::statx = std::mem::zeroed();
        statx.stx_mask =
            libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_SIZE | libc::STATX_INO | libc::STATX_NLINK;
        statx.stx_mode = if facts.directory { 0o040_755 } else { 0o100_644 };
        statx.stx_nlink = 1;
        statx.stx_size = facts.length;
        statx.stx_ino = facts.inode;
        into.write(statx);
    }
    0
}

/// A change to a path: on the host's own disk, or refused.
///
/// # Safety
/// `path` must be null or a string.
unsafe fn change(
    path: *const c_char,
    call: &str,
    act: impl FnOnce(&mut Kernel, &str) -> Result<(), c_int>,
) -> c_int {
    // SAFETY: the caller vouches for the path.
    let path = unsafe { text(path) };
    answer!(
        path.and_then(|path| with(|kernel| {
            let path = normal(path);
            match act(kernel, &path) {
                Err(libc::ENOENT)
                    if std::ffi::CString::new(path.as_str()).is_ok_and(|real| exists(&real)) =>
                {
                    kernel.violate(
                        format!("{call} {path:?}, which is not on the host's disk"),
                        Breach::RealFile,
                    );
                    Err(libc::EROFS)
                }
                outcome => outcome,
            }
        }))
        .map(|()| 0)
    )
}

/// Whether the real machine has this path.
fn exists(path: &CString) -> bool {
    // SAFETY: the path is a string.
    unsafe { system_call!(libc::SYS_faccessat, libc::AT_FDCWD, path.as_ptr(), libc::F_OK) == 0 }
}

names! { unlink (path: *const c_char) -> c_int {
    if on_host() {
        // SAFETY: the caller's path, which libc's contract says is a string.
        return unsafe { change(path, "unlink", |kernel, path| kernel.drive().unlink(path)) };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0) as c_int }
} }

names! { rmdir (path: *const c_char) -> c_int {
    if on_host() {
        // SAFETY: the caller's path, which libc's contract says is a string.
        return unsafe { change(path, "rmdir", |kernel, path| kernel.drive().remove_directory(path)) };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_unlinkat, libc::AT_FDCWD, path, libc::AT_REMOVEDIR) as c_int }
} }

names! { mkdir (path: *const c_char, mode: mode_t) -> c_int {
    if on_host() {
        // SAFETY: the caller's path, which libc's contract says is a string.
        let path = unsafe { text(path) };
        return answer!(path.and_then(|path| with(|kernel| kernel.drive().make_directory(&normal(path)))).map(|()| 0));
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode) as c_int }
} }

names! { rename (from: *const c_char, to: *const c_char) -> c_int {
    if on_host() {
        // SAFETY: the caller's paths, which libc's contract says are strings.
        return unsafe {
            match text(to) {
                Ok(to) => change(from, "rename", |kernel, from| kernel.drive().rename(from, &normal(to))),
                Err(errno) => failed(errno),
            }
        };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as c_int }
} }

/// An open directory of a simulated disk, as libc's opaque `DIR`.
struct Listing {
    entries: Vec<(String, Entry)>,
    current: dirent64,
}

names! { opendir (path: *const c_char) -> *mut c_void {
    if on_host() {
        // SAFETY: the caller's path, which libc's contract says is a string.
        let listing = unsafe { text(path) }.ok().and_then(|path| with(|kernel| {
            let path = normal(path);
            let drive = kernel.drive();
            (drive.entry(&path) == Some(Entry::Directory)).then(|| drive.list(&path))
        }));
        if let Some(mut entries) = listing {
            entries.reverse();
            // SAFETY: a dirent is all integers and characters, for which zeros are a value.
            let current = unsafe { std::mem::zeroed() };
            let listing = Box::into_raw(Box::new(Listing { entries, current })).cast::<c_void>();
            with(|kernel| kernel.listings.insert(listing as usize));
            return listing;
        }
    }
    match next!(c"opendir" as unsafe extern "C" fn(*const c_char) -> *mut c_void) {
        // SAFETY: the caller's arguments, passed on.
        Some(next) => unsafe { next(path) },
        None => std::ptr::null_mut(),
    }
} }

fn is_listing(directory: *mut c_void) -> bool {
    on_host() && with(|kernel| kernel.listings.contains(&(directory as usize)))
}

names! { readdir, readdir64 (directory: *mut c_void) -> *mut dirent64 {
    if is_listing(directory) {
        // SAFETY: the pointer is one that `opendir` made from a box, and `closedir` has not been called on it.
        let listing = unsafe { &mut *directory.cast::<Listing>() };
        let Some((name, entry)) = listing.entries.pop() else { return std::ptr::null_mut() };
        let current = &mut listing.current;
        current.d_ino = 1;
        current.d_type = if entry == Entry::Directory { libc::DT_DIR } else { libc::DT_REG };
        current.d_name.fill(0);
        let room = current.d_name.len() - 1;
        for (to, from) in current.d_name[..room].iter_mut().zip(name.bytes()) {
            *to = from as c_char;
        }
        return current;
    }
    match next!(c"readdir64" as unsafe extern "C" fn(*mut c_void) -> *mut dirent64) {
        // SAFETY: the caller's arguments, passed on.
        Some(next) => unsafe { next(directory) },
        None => std::ptr::null_mut(),
    }
} }

names! { closedir (directory: *mut c_void) -> c_int {
    if is_listing(directory) {
        with(|kernel| kernel.listings.remove(&(directory as usize)));
        // SAFETY: the pointer is one that `opendir` made from a box, and it was in the list, so this is the first close.
        drop(unsafe { Box::from_raw(directory.cast::<Listing>()) });
        return 0;
    }
    match next!(c"closedir" as unsafe extern "C" fn(*mut c_void) -> c_int) {
        // SAFETY: the caller's arguments, passed on.
        Some(next) => unsafe { next(directory) },
        None => failed(libc::ENOSYS),
    }
} }
