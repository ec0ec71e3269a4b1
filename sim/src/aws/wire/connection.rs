//! A TCP connection that its own request handler can cut, so that a request is applied and its answer never leaves.
//!
//! hyper owns the socket while a handler runs, and a handler can only answer. So the socket is wrapped: once severed, every
//! write fails, hyper gives the connection up, and the peer sees it close with nothing sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The pause after an accept that failed for want of something, descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Handed to each request's handler: the end of its connection.
#[derive(Debug, Clone)]
pub(super) struct Cutter(Arc<AtomicBool>);

impl Cutter {
    pub(super) fn sever(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) struct Connection {
    tcp: TcpStream,
    severed: Arc<AtomicBool>,
}

impl Connection {
    /// The next connection of a listener, and what cuts it.
    pub(super) async fn accept(listener: &TcpListener) -> (Connection, Cutter) {
        loop {
            match listener.accept().await {
                Ok((tcp, _)) => {
                    // Without it, a small answer may wait for the peer's delayed acknowledgement. A socket that refuses
                    // is slower, not wrong.
                    let _ = tcp.set_nodelay(true);
                    let severed = Arc::default();
                    let cutter = Cutter(Arc::clone(&severed));
                    return (Connection { tcp, severed }, cutter);
                }
                // The client was gone before it was accepted.
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.severed.load(Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "severed by a fault",
            ));
        }
        Ok(())
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
