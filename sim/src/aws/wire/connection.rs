//! A TCP connection that its own request handler can cut, so that a request is applied and its answer never leaves.
//!
//! hyper owns the socket while a handler runs, and a handler can only answer. So the socket is wrapped: once severed, every
//! write fails, hyper gives the connection up, and the peer sees it close with nothing sent.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
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

/// Answers the requests of every connection that a listener accepts, until the future is dropped.
///
/// # Errors
/// None: accept errors are waited out.
pub(super) async fn serve<A, F>(listener: TcpListener, answer: A) -> io::Result<()>
where
    A: Fn(Cutter, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    loop {
        let (connection, cutter) = Connection::accept(&listener).await;
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(cutter.clone(), request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        tokio::spawn(async move {
            // A date of hyper's own would come from a cache that all hosts of a thread share.
            let mut http = http1::Builder::new();
            http.auto_date_header(false);
            // A connection that ends badly is its client's affair.
            let _ = http.serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

struct Connection {
    tcp: TcpStream,
    severed: Arc<AtomicBool>,
}

impl Connection {
    /// The next connection of a listener, and what cuts it.
    async fn accept(listener: &TcpListener) -> (Connection, Cutter) {
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
