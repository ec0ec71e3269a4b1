//! The simulated engine on a real localhost port: a thread and a runtime of its own for each instance, empty at first.

use std::{net::SocketAddr, thread};

use sumzero_sim::aws::aurora::{Engine, Options};
use tokio::{net::TcpListener, runtime, sync::oneshot};

/// A running instance, stopped when dropped.
pub(crate) struct Instance {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Instance {
    /// # Panics
    /// When no port can be had.
    pub(super) fn start() -> Self {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            let engine = Engine::new(Options::default());
            runtime.block_on(async {
                tokio::select! {
                    ended = engine.serve(listener) => ended.expect("the listener lives"),
                    // The sender being gone means the same as its message.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(serve)
            .expect("a thread");
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in the engine shows in its own output and as a lost connection.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
