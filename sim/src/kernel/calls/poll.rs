//! Waiting for events: the hinge of the kernel.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_uint, c_void};
use std::slice;
use std::task::Waker;

use super::{answer, failed};
use crate::error::Error;
use crate::kernel::descriptor::is_simulated;
use crate::kernel::raw::system_call;
use crate::kernel::{Breach, Object, on_host, with};

thread_local! {
    /// Wakes the future that returns from the running host's runtime to the world.
    static RETURN_TO_WORLD: RefCell<Option<Waker>> = const { RefCell::new(None) };
    /// That waker is at work: the wake-up call that it writes to the runtime's eventfd has nobody to wake.
    static RETURNING: Cell<bool> = const { Cell::new(false) };
}

/// Sets how the running host's runtime is made to return.
pub(in crate::kernel) fn set_return(waker: Option<Waker>) {
    RETURN_TO_WORLD.with(|place| *place.borrow_mut() = waker);
}

fn return_to_world() {
    RETURNING.set(true);
    RETURN_TO_WORLD.with(|waker| {
        if let Some(waker) = &*waker.borrow() {
            waker.wake_by_ref();
        }
    });
    RETURNING.set(false);
}

/// Whether a write to an eventfd comes from `return_to_world`.
pub(super) fn is_returning() -> bool {
    RETURNING.get()
}

#[unsafe(no_mangle)]
extern "C" fn epoll_create1(flags: c_int) -> c_int {
    if on_host() {
        return with(|kernel| kernel.open(Object::Epoll(Default::default()), false));
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_epoll_create1, flags) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn epoll_create(_size: c_int) -> c_int {
    epoll_create1(0)
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut libc::epoll_event,
) -> c_int {
    if !is_simulated(epoll) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_epoll_ctl, epoll, operation, fd, event) as c_int };
    }
    let (events, data) = if event.is_null() {
        (0, 0)
    } else {
        // SAFETY: the caller's pointer, which libc's contract says is valid for an epoll_event. The type is packed on
        // x86-64, so it is read as a whole.
        let event = unsafe { event.read_unaligned() };
        (event.events, event.u64)
    };
    answer!(with(|kernel| kernel.epoll_control(epoll, operation, fd, events, data)).map(|()| 0))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    events_max: c_int,
    timeout_ms: c_int,
) -> c_int {
    if !is_simulated(epoll) {
        // SAFETY: the caller's arguments, passed on; epoll_pwait without a mask is epoll_wait, which aarch64 lacks.
        return unsafe {
            system_call!(libc::SYS_epoll_pwait, epoll, events, events_max, timeout_ms, 0, 8) as c_int
        };
    }
    let Ok(length @ 1..) = usize::try_from(events_max) else {
        return failed(libc::EINVAL);
    };
    // SAFETY: the caller's buffer, which libc's contract says is valid for `events_max` events.
    let into = unsafe { slice::from_raw_parts_mut(events, length) };
    match with(|kernel| kernel.poll(epoll, timeout_ms, into)) {
        Ok((ready, must_return)) => {
            if must_return {
                return_to_world();
            }
            ready as c_int
        }
        Err(errno) => failed(errno),
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    events_max: c_int,
    timeout_ms: c_int,
    mask: *const libc::sigset_t,
) -> c_int {
    if is_simulated(epoll) {
        // SAFETY: the caller's arguments, passed on. Simulated processes get no signals, so the mask is no matter.
        return unsafe { epoll_wait(epoll, events, events_max, timeout_ms) };
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        system_call!(
            libc::SYS_epoll_pwait,
            epoll,
            events,
            events_max,
            timeout_ms,
            mask,
            8
        ) as c_int
    }
}

#[unsafe(no_mangle)]
extern "C" fn eventfd(initial: c_uint, flags: c_int) -> c_int {
    if on_host() {
        let nonblocking = flags & libc::EFD_NONBLOCK != 0;
        return with(|kernel| {
            kernel.open(
                Object::Event {
                    count: u64::from(initial),
                },
                nonblocking,
            )
        });
    }
    // SAFETY: this call takes no pointers.
    unsafe { system_call!(libc::SYS_eventfd2, initial, flags) as c_int }
}

/// Answers at once: what is ready of the simulated descriptors. A time-out other than zero would wait.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout_ms: c_int) -> c_int {
    if !on_host() {
        // SAFETY: ppoll with the time-out as a timespec is poll, which aarch64 lacks; the pointers are the caller's
        // and one to a local.
        return unsafe {
            let wait = libc::timespec {
                tv_sec: i64::from(timeout_ms.max(0) / 1000),
                tv_nsec: i64::from(timeout_ms.max(0) % 1000) * 1_000_000,
            };
            let wait = if timeout_ms < 0 {
                std::ptr::null()
            } else {
                &raw const wait
            };
            system_call!(libc::SYS_ppoll, fds, count, wait, std::ptr::null::<c_void>(), 8) as c_int
        };
    }
    let fds = if count == 0 {
        &mut []
    } else {
        // SAFETY: the caller's buffer, which libc's contract says is valid for `count` entries.
        unsafe { slice::from_raw_parts_mut(fds, count as usize) }
    };
    with(|kernel| {
        let mut ready = 0;
        for entry in fds.iter_mut() {
            let state = match kernel.file(entry.fd) {
                Ok(file) => kernel.readiness(file) as i16,
                Err(_) if is_simulated(entry.fd) => libc::POLLNVAL,
                Err(_) => 0,
            };
            entry.revents = state & (entry.events | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL);
            ready += c_int::from(entry.revents != 0);
        }
        if ready == 0 && timeout_ms != 0 {
            kernel.violate("poll".to_owned(), Breach::Blocking);
        }
        ready
    })
}

pub(super) fn check() -> Result<(), Error> {
    // SAFETY: the call takes no pointers. It is made through libc's name on purpose.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    // SAFETY: the descriptor was opened by the line before and is nobody else's.
    unsafe { libc::close(fd) };
    if is_simulated(fd) {
        Ok(())
    } else {
        Err(Error::NotInterposed {
            call: "epoll_create1",
        })
    }
}
