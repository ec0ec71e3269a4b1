//! Serves an empty Aurora engine: `aurora_serve [ADDRESS]`, 127.0.0.1:5433 by default. Prints the address it got.

use sumzero_sim::aws::aurora::{Engine, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5433".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    Engine::new(Options::default()).serve(listener).await
}
