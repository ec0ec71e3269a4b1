//! The stand-ins: functions of libc, defined here under their own names.
//!
//! The linker takes the first definition that it meets, and a program's own objects come before libc. Each stand-in asks one
//! question first: is a simulated host running on this thread (`on_host`), or is the descriptor a simulated one?
//! If not, it passes on to the operating system, by a system call of its own (`raw`) or, where libc's function is more
//! than a system call, by libc's own function, which the dynamic linker knows as the next of that name.
//!
//! A stand-in must not panic, since a panic cannot leave an `extern "C"` function, and must leave `errno` as libc would.

mod descriptor;
mod file;
mod poll;
mod random;
mod socket;
mod stream;
mod thread;
mod time;

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

pub(super) use poll::set_return;

use super::raw::set_errno;
use crate::error::Error;

/// Answers a call as libc does: the value, or -1 with the reason in `errno`.
macro_rules! answer {
    ($result:expr) => {
        match $result {
            Ok(value) => value as _,
            Err(errno) => $crate::kernel::calls::failed(errno) as _,
        }
    };
}
use answer;

fn failed(errno: c_int) -> c_int {
    set_errno(errno);
    -1
}

/// libc's own function of a name that is defined here, found once.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Next {
        Next {
            name,
            address: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: dlsym takes any name; RTLD_NEXT looks behind the object that this code is in, the program itself.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

/// Calls libc's own function through a [`Next`].
macro_rules! next {
    ($name:literal as $signature:ty) => {{
        static NEXT: $crate::kernel::calls::Next = $crate::kernel::calls::Next::new($name);
        let address = NEXT.address();
        if address.is_null() {
            None
        } else {
            // SAFETY: the address is libc's definition of this very name, whose signature is the one given.
            Some(unsafe { std::mem::transmute::<*mut std::ffi::c_void, $signature>(address) })
        }
    }};
}
use next;

/// Makes sure that the calls of this program end up here, by making some while a host is said to run.
pub(crate) fn check_interposition() -> Result<(), Error> {
    time::check()?;
    random::check()?;
    poll::check()
}
