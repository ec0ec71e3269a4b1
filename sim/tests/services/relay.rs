//! A way between two servers on localhost that can be cut: a TCP relay that, while cut, drops what it carries and refuses
//! what is new.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Whether the way is open.
#[derive(Clone, Default)]
pub(crate) struct Way(Arc<Mutex<Option<Instant>>>);

impl Way {
    /// Cuts it for a while.
    pub(crate) fn cut(&self, lasting: Duration) {
        *self.0.lock().expect("way") = Some(Instant::now() + lasting);
    }

    fn is_cut(&self) -> bool {
        self.0
            .lock()
            .expect("way")
            .is_some_and(|until| Instant::now() < until)
    }
}

/// Carries what comes to `target`, for as long as the body runs.
pub(crate) async fn carry_all(listener: TcpListener, target: SocketAddr, way: Way) {
    loop {
        let (near, _) = listener.accept().await.expect("accept");
        if !way.is_cut() {
            tokio::spawn(carry(near, target, way.clone()));
        }
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, way: Way) {
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let carried = tokio::io::copy_bidirectional(&mut near, &mut far);
    let severed = async {
        while !way.is_cut() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = carried => {}
        () = severed => {}
    }
}
