//! This process at work: the roles run in the background while a command waits for what they do.

use anyhow::anyhow;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::work::context::Context;

/// The roles of this process.
pub struct Process {
    /// What they work with.
    pub context: Context,
    /// Where it listens.
    pub address: Option<std::net::SocketAddr>,
    stop: CancellationToken,
    finishing: JoinHandle<anyhow::Result<()>>,
}

impl Process {
    /// Starts the roles; without a listener everything but the receiver.
    pub fn start(app: App, listener: Option<TcpListener>) -> anyhow::Result<Self> {
        let running = app.start(listener)?;
        Ok(Self {
            context: running.context().clone(),
            address: running.address(),
            stop: running.stopper(),
            finishing: tokio::spawn(running.finish()),
        })
    }

    /// Resolves when the process has ended by itself, with why.
    pub async fn died(&mut self) -> anyhow::Error {
        match (&mut self.finishing).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => anyhow!("the work ended by itself; start the command again"),
            Err(error) => anyhow!("the work ended by itself ({error}); start the command again"),
        }
    }

    /// Stops the roles in order: what was started is finished.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.finishing.await?
    }
}
