//! Closing, copying and adjusting descriptors.

use std::ffi::{c_int, c_ulong, c_void};

use super::{answer, failed};
use crate::kernel::descriptor::is_simulated;
use crate::kernel::raw::system_call;
use crate::kernel::{Kernel, Object, try_with, with};
use crate::net::{Socket, SocketState};

#[unsafe(no_mangle)]
extern "C" fn close(fd: c_int) -> c_int {
    if is_simulated(fd) {
        // What outlives its world, because somebody outside kept it, may be closed at any time.
        return answer!(try_with(|kernel| kernel.close(fd)).unwrap_or(Ok(())).map(|()| 0));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_close, fd) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn dup(fd: c_int) -> c_int {
    if is_simulated(fd) {
        return answer!(with(|kernel| kernel.duplicate(fd)));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_dup, fd) as c_int }
}

fn control(fd: c_int, command: c_int, argument: usize) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on; where one is a pointer, libc's contract says that it is valid.
        return unsafe { system_call!(libc::SYS_fcntl, fd, command, argument) as c_int };
    }
    if command == libc::F_GETFD {
        // Destructors ask this before they close, and may run after their process, or their world, is gone.
        let known = try_with(|kernel| kernel.descriptors.file(fd).is_some()).unwrap_or(true);
        return if known {
            libc::FD_CLOEXEC
        } else {
            failed(libc::EBADF)
        };
    }
    answer!(with(|kernel| {
        let file = kernel.file(fd)?;
        match command {
            libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => kernel.duplicate(fd),
            libc::F_SETFD => Ok(0),
            libc::F_GETFL => {
                let nonblocking = kernel.descriptors.get(file).is_some_and(|file| file.nonblocking);
                Ok(libc::O_RDWR | if nonblocking { libc::O_NONBLOCK } else { 0 })
            }
            libc::F_SETFL => {
                kernel.set_nonblocking(fd, argument as c_int & libc::O_NONBLOCK != 0)?;
                Ok(0)
            }
            // A lock on a file of the host's own disk: its one process has it.
            libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_SETLK | libc::F_OFD_SETLKW => Ok(0),
            _ => Err(libc::EINVAL),
        }
    }))
}

/// # Safety
/// As libc's. It is declared variadic there; on x86-64 and aarch64 Linux, integer arguments of a variadic call are
/// passed like any others.
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    control(fd, command, argument)
}

/// # Safety
/// As for [`fcntl`].
#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    control(fd, command, argument)
}

/// # Safety
/// As for [`fcntl`].
#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    if !is_simulated(fd) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_ioctl, fd, request, argument) as c_int };
    }
    if argument.is_null() {
        return failed(libc::EFAULT);
    }
    let number = argument.cast::<c_int>();
    match request {
        libc::FIONBIO => {
            // SAFETY: FIONBIO's argument is a valid pointer to an int.
            let on = unsafe { number.read_unaligned() } != 0;
            answer!(with(|kernel| kernel.set_nonblocking(fd, on)).map(|()| 0))
        }
        libc::FIONREAD => answer!(with(|kernel| kernel.readable_bytes(fd)).map(|readable| {
            // SAFETY: FIONREAD's argument is a valid pointer to an int.
            unsafe { number.write_unaligned(readable) };
            0
        })),
        _ => failed(libc::ENOTTY),
    }
}

impl Kernel {
    fn set_nonblocking(&mut self, fd: c_int, on: bool) -> Result<(), c_int> {
        let id = self.file(fd)?;
        self.descriptors.get_mut(id).ok_or(libc::EBADF)?.nonblocking = on;
        Ok(())
    }

    fn readable_bytes(&mut self, fd: c_int) -> Result<c_int, c_int> {
        match self.object(fd)? {
            Object::Socket(Socket {
                state: SocketState::Stream { connection, side },
                ..
            }) => {
                let (connection, side) = (*connection, *side);
                let connection = self.connection(connection).ok_or(libc::ENOTCONN)?;
                Ok(c_int::try_from(connection.pipes[side.other().index()].readable()).unwrap_or(c_int::MAX))
            }
            _ => Err(libc::ENOTTY),
        }
    }
}
