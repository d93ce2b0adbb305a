//! A TCP proxy, where a test cuts, stalls or refuses the network; with several targets a plain load balancer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes and of new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pass,
    /// Nothing passes; connections stay open, as with a cable pulled.
    Stall,
    /// Connections end, new ones at once.
    Refuse,
}

/// A running proxy; it ends with its value.
pub struct TcpProxy {
    /// Where it listens.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    /// Raised to end the connections that there are.
    cuts: watch::Sender<u64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl TcpProxy {
    /// Passes each connection on to the next of these that takes it.
    pub async fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, cuts) = (watch::Sender::new(Way::Pass), watch::Sender::new(0));
        let (seen, ended) = (way.clone(), cuts.clone());
        let (targets, turn) = (Arc::new(targets), Arc::new(AtomicUsize::new(0)));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, mut ended) = (seen.subscribe(), ended.subscribe());
                let (targets, turn) = (Arc::clone(&targets), Arc::clone(&turn));
                ended.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(stream, &targets, &turn, seen) => {}
                        _ = ended.changed() => {}
                    }
                });
            }
        });
        Self { address, way, cuts, accepting }
    }

    /// Ends the connections that there are; new ones pass.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all connections, and each new one.
    pub fn refuse(&self) {
        self.way.send_replace(Way::Refuse);
        self.cut();
    }

    /// Lets nothing pass, and ends nothing.
    pub fn stall(&self) {
        self.way.send_replace(Way::Stall);
    }

    /// Lets everything pass again.
    pub fn pass(&self) {
        self.way.send_replace(Way::Pass);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn carry(stream: TcpStream, targets: &[SocketAddr], turn: &AtomicUsize, mut way: watch::Receiver<Way>) {
    let opened = way.wait_for(|way| *way != Way::Stall).await.map(|way| *way);
    if !matches!(opened, Ok(Way::Pass)) {
        return;
    }
    let first = turn.fetch_add(1, Ordering::Relaxed);
    for n in 0..targets.len() {
        let Ok(target) = TcpStream::connect(targets[(first + n) % targets.len()]).await else { continue };
        let _small_answers = (stream.set_nodelay(true), target.set_nodelay(true));
        let ((near_in, near_out), (far_in, far_out)) = (stream.into_split(), target.into_split());
        tokio::join!(pump(near_in, far_out, way.clone()), pump(far_in, near_out, way));
        return;
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        if way.wait_for(|way| *way != Way::Stall).await.is_err() || length == 0 {
            break;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _closed_already = to.shutdown().await;
}
