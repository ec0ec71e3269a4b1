//! What would need a second thread, or leave this one waiting for one.

use std::ffi::{c_char, c_int, c_long, c_void};

use super::{failed, next};
use crate::kernel::raw::{call, system_call};
use crate::kernel::{Breach, on_host, with};

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    if on_host() {
        with(|kernel| kernel.violate("pthread_create".to_owned(), Breach::Thread));
        return libc::EAGAIN;
    }
    type Signature = unsafe extern "C" fn(
        *mut libc::pthread_t,
        *const libc::pthread_attr_t,
        extern "C" fn(*mut c_void) -> *mut c_void,
        *mut c_void,
    ) -> c_int;
    match next!(c"pthread_create" as Signature) {
        // SAFETY: the caller's arguments, passed on.
        Some(next) => unsafe { next(thread, attributes, start, argument) },
        None => libc::ENOSYS,
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    answers: *mut *mut libc::addrinfo,
) -> c_int {
    if on_host() {
        let name = if node.is_null() {
            String::new()
        } else {
            // SAFETY: the caller's pointer, which libc's contract says is a string.
            unsafe { std::ffi::CStr::from_ptr(node) }
                .to_string_lossy()
                .into_owned()
        };
        with(|kernel| kernel.violate(format!("getaddrinfo({name:?})"), Breach::NameLookUp));
        return libc::EAI_FAIL;
    }
    type Signature = unsafe extern "C" fn(
        *const c_char,
        *const c_char,
        *const libc::addrinfo,
        *mut *mut libc::addrinfo,
    ) -> c_int;
    match next!(c"getaddrinfo" as Signature) {
        // SAFETY: the caller's arguments, passed on.
        Some(next) => unsafe { next(node, service, hints, answers) },
        None => libc::EAI_FAIL,
    }
}

/// libc's own way to make any system call: how the standard library waits on futexes (mutexes, condition variables,
/// `thread::park`).
///
/// # Safety
/// As libc's. It is declared variadic there; on x86-64 and aarch64 Linux, integer arguments of a variadic call are
/// passed like any others.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if on_host() {
        match number {
            libc::SYS_getrandom => {
                // SAFETY: the caller's arguments, passed on.
                return unsafe { libc::getrandom(a as *mut c_void, b, c as u32) as c_long };
            }
            libc::SYS_futex => {
                let operation = b as c_int & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
                let timed = d != 0;
                if matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET) && timed {
                    // Nobody else runs in this world, so only the time-out could end the wait.
                    with(|kernel| {
                        let call = "futex wait with a time-out (a Condvar, a channel, thread::park_timeout)";
                        kernel.violate(call.to_owned(), Breach::Blocking);
                    });
                    return c_long::from(failed(libc::ETIMEDOUT));
                }
            }
            libc::SYS_clock_gettime => {
                // SAFETY: the caller's arguments, passed on.
                return unsafe {
                    c_long::from(libc::clock_gettime(
                        a as libc::clockid_t,
                        b as *mut libc::timespec,
                    ))
                };
            }
            _ => {}
        }
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { call(number, &[a, b, c, d, e, f]) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_yield() -> c_int {
    if on_host() {
        return 0;
    }
    // SAFETY: this call takes nothing.
    unsafe { system_call!(libc::SYS_sched_yield) as c_int }
}
