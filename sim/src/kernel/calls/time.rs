//! Clocks, and what would wait for them.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::ptr::NonNull;

use super::{answer, next};
use crate::error::Error;
use crate::kernel::raw::system_call;
use crate::kernel::{Breach, look_at_clock, on_host, with};

fn timespec(nanos: i64) -> libc::timespec {
    libc::timespec {
        tv_sec: nanos.div_euclid(1_000_000_000),
        tv_nsec: nanos.rem_euclid(1_000_000_000),
    }
}

fn wall_nanos() -> i64 {
    with(|kernel| {
        let host = kernel.running;
        if let Some(host) = host {
            kernel.machine_mut(host).wall_clock_reads += 1;
        }
    });
    look_at_clock().wall_nanos
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, into: *mut libc::timespec) -> c_int {
    if !on_host() {
        type Signature = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
        // libc's own reads the clock without entering the kernel, and is many times faster.
        return match next!(c"clock_gettime" as Signature) {
            // SAFETY: the caller's arguments, passed on.
            Some(next) => unsafe { next(clock, into) },
            // SAFETY: the caller's arguments, passed on.
            None => unsafe { system_call!(libc::SYS_clock_gettime, clock, into) as c_int },
        };
    }
    let nanos = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => wall_nanos(),
        _ => look_at_clock().monotonic_nanos as i64,
    };
    match NonNull::new(into) {
        Some(into) => {
            // SAFETY: the caller's pointer, which libc's contract says is valid for a timespec.
            unsafe { into.write(timespec(nanos)) };
            0
        }
        None => answer!(Err::<c_int, _>(libc::EFAULT)),
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(into: *mut libc::timeval, zone: *mut c_void) -> c_int {
    if !on_host() {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { system_call!(libc::SYS_gettimeofday, into, zone) as c_int };
    }
    if let Some(into) = NonNull::new(into) {
        let now = timespec(wall_nanos());
        // SAFETY: the caller's pointer, which libc's contract says is valid for a timeval.
        unsafe {
            into.write(libc::timeval {
                tv_sec: now.tv_sec,
                tv_usec: now.tv_nsec / 1000,
            })
        };
    }
    0
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn time(into: *mut libc::time_t) -> libc::time_t {
    let seconds = if on_host() {
        timespec(wall_nanos()).tv_sec
    } else {
        let mut now = timespec(0);
        // SAFETY: the pointer is to a local timespec.
        unsafe { system_call!(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &raw mut now) };
        now.tv_sec
    };
    if let Some(into) = NonNull::new(into) {
        // SAFETY: the caller's pointer, which libc's contract says is valid for a time_t.
        unsafe { into.write(seconds) };
    }
    seconds
}

fn refuse_to_sleep(call: &str) -> c_int {
    with(|kernel| kernel.violate(call.to_owned(), Breach::Blocking));
    libc::EINTR
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(wait: *const libc::timespec, left: *mut libc::timespec) -> c_int {
    if on_host() {
        refuse_to_sleep("nanosleep");
        // As if it had slept: a program that starts again after EINTR would never give the thread back.
        return 0;
    }
    // SAFETY: the caller's arguments, passed on.
    unsafe { system_call!(libc::SYS_nanosleep, wait, left) as c_int }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    wait: *const libc::timespec,
    left: *mut libc::timespec,
) -> c_int {
    if on_host() {
        refuse_to_sleep("clock_nanosleep (std::thread::sleep)");
        return 0;
    }
    // SAFETY: the caller's arguments, passed on. This function answers the error itself, not through errno.
    let outcome = unsafe { system_call!(libc::SYS_clock_nanosleep, clock, flags, wait, left) };
    if outcome == 0 {
        0
    } else {
        std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EINVAL)
    }
}

fn really_sleep(wait: libc::timespec) -> bool {
    let mut left = timespec(0);
    // SAFETY: both pointers are to local timespecs.
    unsafe { system_call!(libc::SYS_nanosleep, &raw const wait, &raw mut left) == 0 as c_long }
}

#[unsafe(no_mangle)]
extern "C" fn usleep(micros: c_uint) -> c_int {
    if on_host() {
        refuse_to_sleep("usleep");
        return 0;
    }
    if really_sleep(timespec(i64::from(micros) * 1000)) {
        0
    } else {
        -1
    }
}

#[unsafe(no_mangle)]
extern "C" fn sleep(seconds: c_uint) -> c_uint {
    if on_host() {
        refuse_to_sleep("sleep");
        return 0;
    }
    if really_sleep(timespec(i64::from(seconds) * 1_000_000_000)) {
        0
    } else {
        seconds
    }
}

pub(super) fn check() -> Result<(), Error> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    // A world begins at a fixed date, which no real clock shows to the nanosecond.
    if now == crate::kernel::EPOCH {
        Ok(())
    } else {
        Err(Error::NotInterposed {
            call: "clock_gettime",
        })
    }
}
