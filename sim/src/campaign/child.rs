//! One seed in a process of its own.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, getppid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fate::{Fate, Report, fate_of};
use super::{Limits, SeedResult};
use crate::error::Error;
use crate::kernel::fork;

/// What is kept of what a seed printed: the end of it.
const OUTPUT_BYTES_KEPT: usize = 16 << 10;

pub(super) struct Child {
    pub(super) seed: u64,
    pid: Pid,
    started: Instant,
    limits: Limits,
    timed_out: bool,
    reaped: bool,
    report: PipeReader,
    reported: Vec<u8>,
    output: PipeReader,
    printed: Vec<u8>,
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { doing, source }
}

impl Child {
    /// Runs one seed in a copy of this process.
    pub(super) fn start<T: Serialize>(
        seed: u64,
        limits: Limits,
        run: impl FnOnce(u64) -> T,
    ) -> Result<Child, Error> {
        let pipe = || io::pipe().map_err(failed("making a pipe to a seed's process"));
        let (report, mut report_to) = pipe()?;
        let (output, output_to) = pipe()?;
        let data_bytes = data_bytes()?.saturating_add(limits.memory_bytes);
        // The copy would print the half line that this process has begun.
        let _ = io::stdout().flush();
        let parent = nix::unistd::getpid();
        let pid = fork(|| {
            confine(parent, data_bytes, &output_to).expect("a process may limit itself");
            tell(&mut report_to, run, seed);
            // What waits in the buffer of stdout would be lost with the process.
            let _ = io::stdout().flush();
        })?;
        Ok(Child {
            seed,
            pid,
            started: Instant::now(),
            limits,
            timed_out: false,
            reaped: false,
            report,
            reported: Vec::new(),
            output,
            printed: Vec::new(),
        })
    }

    /// How long it may go on.
    pub(super) fn time_left(&self) -> Duration {
        self.limits.real_time.saturating_sub(self.started.elapsed())
    }

    pub(super) fn pipes(&self) -> [BorrowedFd<'_>; 2] {
        [self.report.as_fd(), self.output.as_fd()]
    }

    /// Kills it if its time is up. It is [`read`](Child::read) to its end as ever.
    pub(super) fn kill_if_late(&mut self) {
        if !self.timed_out && self.time_left().is_zero() {
            self.timed_out = true;
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Takes what it has written, `[report, output]` being ready; answers whether it has ended.
    pub(super) fn read(&mut self, ready: [bool; 2]) -> Result<bool, Error> {
        let mut buffer = [0; 16 << 10];
        if ready[1] {
            self.read_output(&mut buffer)?;
        }
        if !ready[0] {
            return Ok(false);
        }
        let count = self
            .report
            .read(&mut buffer)
            .map_err(failed("reading a seed's answer"))?;
        self.reported.extend_from_slice(&buffer[..count]);
        // The process holds its end of this pipe until it ends.
        Ok(count == 0)
    }

    fn read_output(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = self
            .output
            .read(buffer)
            .map_err(failed("reading a seed's output"))?;
        self.printed.extend_from_slice(&buffer[..count]);
        let surplus = self.printed.len().saturating_sub(OUTPUT_BYTES_KEPT);
        self.printed.drain(..surplus);
        Ok(count)
    }

    /// What became of it, once it has ended.
    pub(super) fn into_result<T: DeserializeOwned>(mut self) -> Result<SeedResult<T>, Error> {
        let took = self.started.elapsed();
        let status =
            waitpid(self.pid, None).map_err(|error| failed("waiting for a seed's process")(error.into()))?;
        self.reaped = true;
        let mut buffer = [0; 16 << 10];
        // To the end, which is here already: but a process that the seed left behind would keep it away for ever.
        while is_readable(self.output.as_fd()) && self.read_output(&mut buffer)? > 0 {}
        let output = String::from_utf8_lossy(&self.printed).into_owned();
        // One that was ended while it wrote has said nothing.
        let report: Option<Report<T>> = match (serde_json::from_slice(&self.reported), status) {
            (Ok(report), _) => Some(report),
            (Err(error), WaitStatus::Exited(_, 0)) if !self.reported.is_empty() => {
                return Err(Error::UnreadableAnswer {
                    seed: self.seed,
                    problem: error.to_string(),
                });
            }
            (Err(_), _) => None,
        };
        let fate: Fate<T> = fate_of(report, status, self.timed_out, &output, &self.limits);
        Ok(SeedResult {
            seed: self.seed,
            fate,
            output,
            took: Some(took),
        })
    }
}

impl Drop for Child {
    /// A campaign that stops takes its children along.
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

fn is_readable(pipe: BorrowedFd<'_>) -> bool {
    let mut pipes = [PollFd::new(pipe, PollFlags::POLLIN)];
    poll(&mut pipes, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// The private writable memory of this process: what `RLIMIT_DATA` counts.
fn data_bytes() -> Result<u64, Error> {
    const DATA_PAGES: usize = 5;
    let statm = std::fs::read_to_string("/proc/self/statm")
        .map_err(failed("reading this process's size from /proc/self/statm"))?;
    let pages: u64 = statm
        .split_whitespace()
        .nth(DATA_PAGES)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or_default();
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .unwrap_or(4096);
    Ok(pages * page_bytes as u64)
}

/// In the child: it dies with its parent, talks to nobody but the campaign, and has its limits.
fn confine(parent: Pid, data_bytes: u64, output: &PipeWriter) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other("the campaign ended before its seed began"));
    }
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(output)?;
    dup2_stderr(output)?;
    let (_, most) = getrlimit(Resource::RLIMIT_DATA)?;
    setrlimit(Resource::RLIMIT_DATA, data_bytes.min(most), most)?;
    // A seed can be run again; its core would only fill the disk.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

/// In the child: runs the seed and reports.
fn tell<T: Serialize>(to: &mut PipeWriter, run: impl FnOnce(u64) -> T, seed: u64) {
    static PANIC: Mutex<String> = Mutex::new(String::new());
    let inner = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        let place = panic
            .location()
            .map(|place| format!(" ({place})"))
            .unwrap_or_default();
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = format!("{message}{place}");
        // A backtrace reads the program's tables into memory, and waits for ever where it gets none.
        if let Ok((_, most)) = getrlimit(Resource::RLIMIT_DATA) {
            let _ = setrlimit(Resource::RLIMIT_DATA, most, most);
        }
        inner(panic);
    }));
    let report = match std::panic::catch_unwind(AssertUnwindSafe(|| run(seed))) {
        Ok(answer) => Report::Finished(answer),
        Err(_) => Report::Panicked(PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()),
    };
    let bytes = serde_json::to_vec(&report).expect("a seed's answer is data that JSON can hold");
    // Nobody listens when the campaign was stopped.
    let _ = to.write_all(&bytes);
}
