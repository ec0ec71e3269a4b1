//! A process: an ordinary tokio runtime and the program on it.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::calls::set_return;
use super::{on_host, with};
use crate::net::HostId;
use crate::time::Time;
use crate::trace::Kind;

/// A program's own error.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a host runs, made anew for each of its processes.
pub(crate) type HostProgram =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), Failure>>>> + Send + Sync>;

/// How a program ended by itself.
#[derive(Debug)]
pub(crate) enum Ended {
    Well,
    Failed(String),
    Panicked(String),
}

pub(crate) struct Process {
    host: HostId,
    runtime: Option<Runtime>,
    main: JoinHandle<Result<(), Failure>>,
}

/// A future that is polled and dropped on the thread of its world and nowhere else.
struct OnWorldsThread<F>(F);

// SAFETY: `Process` hands the future to a current_thread runtime, which polls it inside `block_on` and drops it with the
// runtime; `Process::run` and `Process::end` do both, and `Process` is not Send, so both happen on one thread.
unsafe impl<F> Send for OnWorldsThread<F> {}

impl<F: Future> Future for OnWorldsThread<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the inner future is pinned whenever the outer one is: it is never moved out of it.
        unsafe { self.map_unchecked_mut(|outer| &mut outer.0) }.poll(context)
    }
}

/// While this lives, the calls of this thread are those of a host.
struct Identity;

impl Identity {
    fn assume(host: HostId) -> Identity {
        with(|kernel| kernel.switch_to(Some(host)));
        Identity
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        with(|kernel| kernel.switch_to(None));
    }
}

/// Has everything that a process keeps once for all its threads made outside any world: tokio's signal pipe above all.
pub(crate) fn warm_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        drop(Builder::new_current_thread().enable_all().build());
        let inner = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if on_host() {
                super::try_with(|kernel| {
                    let host = kernel.running();
                    let name = kernel.topology.name(host).clone();
                    let text = format!("panicked: {}", message(panic.payload()));
                    kernel.record(Some(host), None, &Kind::Note { text });
                    eprintln!("[{} s, host {name}]", kernel.now);
                });
            }
            inner(panic);
        }));
    });
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// An error with its causes, on one line.
fn describe(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Many errors quote their cause already.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

impl Process {
    /// Starts the host's program. Nothing of it runs yet.
    pub(crate) fn boot(host: HostId, program: &HostProgram) -> io::Result<Process> {
        let _identity = Identity::assume(host);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let program = program.clone();
        let main = runtime.spawn(OnWorldsThread(async move { program().await }));
        Ok(Process {
            host,
            runtime: Some(runtime),
            main,
        })
    }

    /// Runs everything that can run at this instant; answers when the host's next timer is due.
    pub(crate) fn run(&mut self) -> Time {
        let Some(runtime) = &self.runtime else {
            return Time::NEVER;
        };
        let _identity = Identity::assume(self.host);
        runtime.block_on(poll_fn(|context| {
            if with(|kernel| kernel.poll.idle || kernel.poll.stuck) {
                return Poll::Ready(());
            }
            set_return(Some(context.waker().clone()));
            Poll::Pending
        }));
        set_return(None);
        with(|kernel| kernel.poll.deadline)
    }

    /// How the program ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        if !self.main.is_finished() {
            return None;
        }
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(&mut self.main).poll(&mut context) {
            Poll::Pending => None,
            Poll::Ready(Ok(Ok(()))) => Some(Ended::Well),
            Poll::Ready(Ok(Err(failure))) => Some(Ended::Failed(describe(&failure))),
            Poll::Ready(Err(error)) => Some(Ended::Panicked(match error.try_into_panic() {
                Ok(payload) => message(&*payload),
                Err(error) => error.to_string(),
            })),
        }
    }

    /// Ends the process. Its files must have been closed: what its destructors write goes nowhere.
    pub(crate) fn end(mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let _identity = Identity::assume(self.host);
        // A destructor that panics must not take the world along; its message was printed by the hook.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
            drop(runtime);
            drop(self.main);
        }));
    }
}
