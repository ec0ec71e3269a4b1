//! Randomness, and what tells one process or machine from another.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::slice;

use super::answer;
use crate::error::Error;
use crate::kernel::raw::system_call;
use crate::kernel::{on_host, with};

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(into: *mut c_void, length: usize, flags: c_uint) -> isize {
    if !on_host() {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_getrandom, into, length, flags) as isize };
    }
    if length > 0 {
        // SAFETY: the caller's buffer, which libc's contract says is valid for `length` bytes.
        let bytes = unsafe { slice::from_raw_parts_mut(into.cast::<u8>(), length) };
        with(|kernel| kernel.fill_random(bytes));
    }
    length as isize
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(into: *mut c_void, length: usize) -> c_int {
    if length > 256 {
        return answer!(Err::<c_int, _>(libc::EIO));
    }
    // SAFETY: the caller's arguments, passed on.
    if unsafe { getrandom(into, length, 0) } == length as isize {
        0
    } else {
        -1
    }
}

#[unsafe(no_mangle)]
extern "C" fn getpid() -> libc::pid_t {
    if on_host() {
        return with(|kernel| {
            let host = kernel.running();
            // Like a container's: small, and another one after each restart.
            10 + kernel.machine(host).incarnation as libc::pid_t
        });
    }
    // SAFETY: this call takes nothing.
    unsafe { system_call!(libc::SYS_getpid) as libc::pid_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn gethostname(into: *mut c_char, length: usize) -> c_int {
    let mut name = [0u8; 256];
    let name = if on_host() {
        with(|kernel| {
            let host = kernel.running();
            let text = kernel.topology.name(host).as_bytes();
            let end = text.len().min(name.len() - 1);
            name[..end].copy_from_slice(&text[..end]);
            &name[..=end]
        })
    } else {
        // SAFETY: a utsname is all arrays of characters, for which zeros are a value.
        let mut system: libc::utsname = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a local utsname.
        if unsafe { system_call!(libc::SYS_uname, &raw mut system) } != 0 {
            return -1;
        }
        for (to, from) in name.iter_mut().zip(system.nodename) {
            *to = from as u8;
        }
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
        &name[..=end]
    };
    if name.len() > length {
        return answer!(Err::<c_int, _>(libc::ENAMETOOLONG));
    }
    // SAFETY: the caller's buffer, which libc's contract says is valid for `length` bytes, and `name` is no longer.
    unsafe { std::ptr::copy_nonoverlapping(name.as_ptr().cast(), into, name.len()) };
    0
}

/// One processor, on every machine: what a program makes of their number must not depend on where the seed runs.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_getaffinity(pid: libc::pid_t, size: usize, set: *mut libc::cpu_set_t) -> c_int {
    if !on_host() {
        // SAFETY: the caller's arguments, passed on. The system call answers how much it filled; libc clears the rest.
        let filled = unsafe { system_call!(libc::SYS_sched_getaffinity, pid, size, set) };
        if filled < 0 {
            return -1;
        }
        let filled = filled as usize;
        if filled < size {
            // SAFETY: the caller's buffer is `size` bytes long.
            unsafe { set.cast::<u8>().add(filled).write_bytes(0, size - filled) };
        }
        return 0;
    }
    if size == 0 {
        return answer!(Err::<c_int, _>(libc::EINVAL));
    }
    // SAFETY: the caller's buffer is `size` bytes long.
    unsafe {
        set.cast::<u8>().write_bytes(0, size);
        set.cast::<u8>().write(1);
    }
    0
}

pub(super) fn check() -> Result<(), Error> {
    let drawn = with(|kernel| kernel.random_bytes_drawn);
    let mut bytes = [0u8; 8];
    // SAFETY: the buffer is local and of this length. The call is made through libc's name on purpose.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if with(|kernel| kernel.random_bytes_drawn) == drawn + bytes.len() as u64 {
        Ok(())
    } else {
        Err(Error::NotInterposed { call: "getrandom" })
    }
}
