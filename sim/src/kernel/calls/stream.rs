//! Reading and writing, by all the names that libc has for it.

use std::ffi::{c_int, c_void};
use std::slice;

use libc::{iovec, msghdr, off_t, sockaddr, socklen_t, ssize_t};

use super::answer;
use crate::kernel::descriptor::{FileId, is_simulated};
use crate::kernel::raw::system_call;
use crate::kernel::{Breach, Kernel, Object, with};
use crate::net::{Socket, SocketState};

/// # Safety
/// `from` must be valid for reads of `length` bytes, or `length` zero.
unsafe fn bytes<'a>(from: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { slice::from_raw_parts(from.cast(), length) }
}

/// # Safety
/// `from` must be valid for writes of `length` bytes, or `length` zero.
unsafe fn bytes_mut<'a>(from: *mut c_void, length: usize) -> &'a mut [u8] {
    if length == 0 {
        return &mut [];
    }
    // SAFETY: the caller vouches for it.
    unsafe { slice::from_raw_parts_mut(from.cast(), length) }
}

fn read_simulated(fd: c_int, into: &mut [u8], peek: bool) -> ssize_t {
    answer!(with(|kernel| kernel.read(fd, into, peek)))
}

fn write_simulated(fd: c_int, from: &[u8]) -> ssize_t {
    answer!(with(|kernel| kernel.write(fd, from)))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, into: *mut c_void, length: usize) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffer, which libc's contract says is valid.
        return read_simulated(fd, unsafe { bytes_mut(into, length) }, false);
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_read, fd, into, length) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, from: *const c_void, length: usize) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffer, which libc's contract says is valid.
        return write_simulated(fd, unsafe { bytes(from, length) });
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_write, fd, from, length) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvfrom(
    fd: c_int,
    into: *mut c_void,
    length: usize,
    flags: c_int,
    address: *mut sockaddr,
    address_length: *mut socklen_t,
) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffer, which libc's contract says is valid. TCP leaves the address alone.
        return read_simulated(
            fd,
            unsafe { bytes_mut(into, length) },
            flags & libc::MSG_PEEK != 0,
        );
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        system_call!(
            libc::SYS_recvfrom,
            fd,
            into,
            length,
            flags,
            address,
            address_length
        ) as ssize_t
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(fd: c_int, into: *mut c_void, length: usize, flags: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        recvfrom(
            fd,
            into,
            length,
            flags,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    from: *const c_void,
    length: usize,
    flags: c_int,
    address: *const sockaddr,
    address_length: socklen_t,
) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffer, which libc's contract says is valid. TCP ignores the address.
        return write_simulated(fd, unsafe { bytes(from, length) });
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_sendto, fd, from, length, flags, address, address_length) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, from: *const c_void, length: usize, flags: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { sendto(fd, from, length, flags, std::ptr::null(), 0) }
}

/// Reads into one buffer after the other until one is not filled.
///
/// # Safety
/// `buffers` must be valid for `count` entries, each naming a valid buffer.
unsafe fn read_vectored(fd: c_int, buffers: *const iovec, count: usize, peek: bool) -> ssize_t {
    let mut total = 0;
    for index in 0..count {
        // SAFETY: the caller vouches for the entries and their buffers.
        let into = unsafe {
            let entry = *buffers.add(index);
            bytes_mut(entry.iov_base, entry.iov_len)
        };
        let length = into.len();
        if length == 0 {
            continue;
        }
        let got = read_simulated(fd, into, peek);
        match usize::try_from(got) {
            Ok(got) => total += got,
            Err(_) if total == 0 => return got,
            Err(_) => break,
        }
        // A second look at the same bytes is no more bytes.
        if got as usize != length || peek {
            break;
        }
    }
    total as ssize_t
}

/// Writes the buffers as one message: what a program hands over at once travels at once.
///
/// # Safety
/// `buffers` must be valid for `count` entries, each naming a valid buffer.
unsafe fn write_vectored(fd: c_int, buffers: *const iovec, count: usize) -> ssize_t {
    let mut message = Vec::new();
    for index in 0..count {
        // SAFETY: the caller vouches for the entries and their buffers.
        message.extend_from_slice(unsafe {
            let entry = *buffers.add(index);
            bytes(entry.iov_base, entry.iov_len)
        });
    }
    write_simulated(fd, &message)
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn readv(fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffers, which libc's contract says are valid.
        return unsafe { read_vectored(fd, buffers, usize::try_from(count).unwrap_or(0), false) };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_readv, fd, buffers, count) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffers, which libc's contract says are valid.
        return unsafe { write_vectored(fd, buffers, usize::try_from(count).unwrap_or(0)) };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_writev, fd, buffers, count) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's message, which libc's contract says is valid with all that it names.
        return unsafe {
            (*message).msg_controllen = 0;
            (*message).msg_flags = 0;
            let peek = flags & libc::MSG_PEEK != 0;
            read_vectored(fd, (*message).msg_iov, (*message).msg_iovlen, peek)
        };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_recvmsg, fd, message, flags) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's message, which libc's contract says is valid with all that it names.
        return unsafe { write_vectored(fd, (*message).msg_iov, (*message).msg_iovlen) };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_sendmsg, fd, message, flags) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pread64(fd: c_int, into: *mut c_void, length: usize, offset: off_t) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffer, which libc's contract says is valid.
        let into = unsafe { bytes_mut(into, length) };
        return answer!(with(|kernel| kernel.read_file_at(fd, into, offset)));
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_pread64, fd, into, length, offset) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pread(fd: c_int, into: *mut c_void, length: usize, offset: off_t) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { pread64(fd, into, length, offset) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, from: *const c_void, length: usize, offset: off_t) -> ssize_t {
    if is_simulated(fd) {
        // SAFETY: the caller's buffer, which libc's contract says is valid.
        let from = unsafe { bytes(from, length) };
        return answer!(with(|kernel| kernel.write_file_at(fd, from, offset)));
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_pwrite64, fd, from, length, offset) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, from: *const c_void, length: usize, offset: off_t) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { pwrite64(fd, from, length, offset) }
}

#[unsafe(no_mangle)]
extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    if is_simulated(fd) {
        return answer!(
            with(|kernel| match kernel.object(fd)? {
                Object::Socket(Socket {
                    state: SocketState::Stream { connection, side },
                    ..
                }) => {
                    let (connection, side) = (*connection, *side);
                    kernel.tcp_shutdown(connection, side, how)
                }
                Object::Socket(_) => Err(libc::ENOTCONN),
                _ => Err(libc::ENOTSOCK),
            })
            .map(|()| 0)
        );
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_shutdown, fd, how) as c_int }
}

impl Kernel {
    fn read(&mut self, fd: c_int, into: &mut [u8], peek: bool) -> Result<usize, c_int> {
        let file = self.file(fd)?;
        let answer = match self.object(fd)? {
            Object::Socket(Socket {
                state: SocketState::Stream { connection, side },
                ..
            }) => {
                let (connection, side) = (*connection, *side);
                self.tcp_read(connection, side, into, peek)
            }
            Object::Socket(_) => Err(libc::ENOTCONN),
            Object::Event { count } => {
                if into.len() < 8 {
                    return Err(libc::EINVAL);
                }
                match std::mem::take(count) {
                    0 => Err(libc::EAGAIN),
                    count => {
                        into[..8].copy_from_slice(&count.to_ne_bytes());
                        Ok(8)
                    }
                }
            }
            Object::Regular(_) => self.read_file(fd, into),
            Object::Random => {
                self.fill_random(into);
                Ok(into.len())
            }
            Object::Epoll(_) | Object::Dead => Err(libc::EINVAL),
        };
        if answer == Err(libc::EAGAIN) {
            self.refuse_blocking(file, "read");
        }
        answer
    }

    fn write(&mut self, fd: c_int, from: &[u8]) -> Result<usize, c_int> {
        let file = self.file(fd)?;
        let answer = match self.object(fd)? {
            Object::Socket(Socket {
                state: SocketState::Stream { connection, side },
                ..
            }) => {
                let (connection, side) = (*connection, *side);
                self.tcp_write(connection, side, from)
            }
            Object::Socket(_) => Err(libc::ENOTCONN),
            Object::Event { count } => {
                let Ok(added) = <[u8; 8]>::try_from(from) else {
                    return Err(libc::EINVAL);
                };
                if super::poll::is_returning() {
                    return Ok(8);
                }
                *count = count.saturating_add(u64::from_ne_bytes(added));
                self.notify(file, libc::EPOLLIN as u32);
                Ok(8)
            }
            Object::Regular(_) => self.write_file(fd, from),
            Object::Random => Ok(from.len()),
            Object::Epoll(_) | Object::Dead => Err(libc::EINVAL),
        };
        if answer == Err(libc::EAGAIN) {
            self.refuse_blocking(file, "write");
        }
        answer
    }

    /// A call that would wait, on a file that is not set to answer EAGAIN instead.
    pub(super) fn refuse_blocking(&mut self, file: FileId, call: &str) {
        if self.descriptors.get(file).is_some_and(|file| !file.nonblocking) {
            self.violate(format!("{call} on a blocking descriptor"), Breach::Blocking);
        }
    }
}
