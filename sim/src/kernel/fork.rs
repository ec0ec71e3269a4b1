//! Forking: how a seed gets memory of its own that is the same every time.

use std::panic::AssertUnwindSafe;

use nix::unistd::{ForkResult, Pid};

use crate::error::Error;

/// Starts a child that is a copy of this process, does `work` and ends without running what a program does at its end
/// (the copy's destructors and exit handlers are its parent's business).
///
/// # Errors
/// More than one thread in this process, or the operating system's refusal.
pub(crate) fn fork(work: impl FnOnce()) -> Result<Pid, Error> {
    let failed = |doing| move |source| Error::System { doing, source };
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(failed("counting this process's threads in /proc/self/task"))?
        .count();
    if threads > 1 {
        return Err(Error::NotSingleThreaded { threads });
    }
    // SAFETY: fork is dangerous where another thread may hold a lock, say the allocator's, that the child then waits for
    // for ever. This thread is the only one, as was just counted, and it cannot start another in between.
    match unsafe { nix::unistd::fork() }.map_err(std::io::Error::from) {
        Ok(ForkResult::Parent { child }) => Ok(child),
        Ok(ForkResult::Child) => {
            let code = match std::panic::catch_unwind(AssertUnwindSafe(work)) {
                Ok(()) => 0,
                Err(_) => 101,
            };
            // SAFETY: it ends the process and touches nothing of it.
            unsafe { libc::_exit(code) }
        }
        Err(source) => Err(failed("starting a seed's process")(source)),
    }
}
