//! A wire between two Regions that a test can cut: a TCP relay that, while cut, drops what it carries and refuses what
//! is new.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The wires of a cluster, all cut and mended together.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<AtomicBool>);

impl Wires {
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Starts a wire to `target`; where it begins.
    pub(crate) async fn lay(&self, target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let here = listener.local_addr().expect("address");
        let wires = self.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.expect("accept");
                if !wires.is_cut() {
                    tokio::spawn(wires.clone().carry(near, target));
                }
            }
        });
        here
    }

    async fn carry(self, mut near: TcpStream, target: SocketAddr) {
        let Ok(mut far) = TcpStream::connect(target).await else {
            return;
        };
        let carried = tokio::io::copy_bidirectional(&mut near, &mut far);
        let severed = async {
            while !self.is_cut() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = carried => {}
            () = severed => {}
        }
    }
}
