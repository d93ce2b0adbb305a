//! Processes whose servers are not there, say nothing, or are too old: what they say, and that they end when they are
//! told to. No server is needed for this.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::free_port;
use crate::harness::{PATIENCE, until};
use crate::wire;

/// A process of the program, with a data dir of its own.
struct Process {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Process {
    /// Starts it, with the servers at these addresses.
    fn start(role: &str, database: SocketAddr, broker: SocketAddr) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sapo-sync"))
            .arg(role)
            .env("SAPO_SYNC__DATA_DIR", dir.path().join("data"))
            .env("SAPO_SYNC__LISTEN", format!("127.0.0.1:{port}"))
            .env("SAPO_SYNC__DATABASE__URL", format!("postgres://lan:mat-khau@{database}/cua-hang"))
            .env("SAPO_SYNC__BROKER__URL", format!("amqp://lan:mat-khau@{broker}/%2f"))
            .env("SAPO_SYNC__MASTER_KEY", "11".repeat(32))
            .env("SAPO_SYNC__LOG__FILTER", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { dir, port, child }
    }

    /// What it has said so far.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Why it is not ready, where it answers that it is not.
    async fn unready(&self) -> Option<String> {
        let answer = wire::client().get(format!("http://127.0.0.1:{}/readyz", self.port)).send().await.ok()?;
        let refused = answer.status().as_u16() == 503;
        answer.text().await.ok().filter(|_| refused)
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "it got {signal}");
    }

    /// Waits until it has ended by itself.
    async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Where nobody listens.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_told_with_its_address_and_the_cure_and_without_the_password() {
    let broker = nobody();
    let process = Process::start("work", nobody(), broker);
    let told = |text: &str| {
        text.contains(&broker.to_string())
            && text.contains("check that RabbitMQ runs there and that SAPO_SYNC__BROKER__URL names its host and port")
    };
    until("it says what it waits for", async || process.unready().await.is_some_and(|why| told(&why))).await;
    until("the log says it", async || told(&process.log())).await;
    for text in [process.unready().await.unwrap(), process.log()] {
        assert!(!text.contains("mat-khau"), "{text}");
    }
}

/// A server that takes connections and says nothing, as long as it is kept.
async fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Waits until somebody has come.
async fn comes(server: &TcpListener) -> TcpStream {
    tokio::time::timeout(PATIENCE, server.accept()).await.expect("somebody comes").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_servers_say_nothing_ends_in_order_when_it_is_told_to() {
    for (role, signal) in [("up", "TERM"), ("receive", "TERM"), ("work", "INT"), ("keeper", "TERM")] {
        let ((_database, database), (server, broker)) = (silent().await, silent().await);
        let mut process = Process::start(role, database, broker);
        let _held = comes(&server).await;
        process.signal(signal);
        let (status, log) = (process.ended().await, process.log());
        assert!(status.success(), "{role}, {signal}: {status}: {log}");
        assert!(log.contains("stopped before anything was started"), "{role}: {log}");
    }
    let ((server, database), (_broker, broker)) = (silent().await, silent().await);
    let mut process = Process::start("migrate", database, broker);
    let _held = comes(&server).await;
    process.signal("TERM");
    let status = process.ended().await;
    let log = process.log();
    assert_eq!(status.code(), Some(1), "what was asked for was not done: {log}");
    assert!(log.contains("stopped before the state database could be brought up to date"), "{log}");
}

/// A message of PostgreSQL: its kind, its length with the length itself, what it says.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// One row of one column of type text.
fn row(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [message(b'D', &[&[0, 1][..], &length, text.as_bytes()].concat()), message(b'C', b"SELECT 1\0")].concat()
}

/// Speaks as a PostgreSQL server of some version, which gives that version as the answer to whatever it is asked.
async fn speak(mut stream: TcpStream, version: &str) -> io::Result<()> {
    const TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();
    // No parameters; a column without a table, of type text (25), of any length.
    let described = b"\0\x01version\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    let described = [message(b't', &[0, 0]), message(b'T', described)].concat();
    let ready = message(b'Z', b"I");
    // It is asked for TLS, has none, and is then told who comes.
    while said(&mut stream).await? == TLS {
        stream.write_all(b"N").await?;
    }
    let named = message(b'S', format!("server_version\0{version}\0").as_bytes());
    stream.write_all(&[message(b'R', &[0; 4]), named, message(b'K', &[0; 8]), ready.clone()].concat()).await?;
    loop {
        let kind = stream.read_u8().await?;
        said(&mut stream).await?;
        let answer = match kind {
            b'P' => message(b'1', b""),
            b'D' => described.clone(),
            b'B' => message(b'2', b""),
            b'E' => row(version),
            b'C' => message(b'3', b""),
            b'S' => ready.clone(),
            _ => return Ok(()),
        };
        stream.write_all(&answer).await?;
    }
}

/// What a message says, after its kind.
async fn said(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await? as usize;
    let mut body = vec![0; length.saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_too_old_is_refused_with_its_version_and_the_oldest_that_is_not() {
    let (listener, database) = silent().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _gone = speak(stream, "13.4").await;
            });
        }
    });
    for role in ["migrate", "work"] {
        let mut process = Process::start(role, database, nobody());
        let (status, log) = (process.ended().await, process.log());
        assert_eq!(status.code(), Some(1), "{role}: {log}");
        for part in ["is PostgreSQL 13.4, and 14 is the oldest that is supported", "SAPO_SYNC__DATABASE__URL"] {
            assert!(log.contains(part), "{role}: {log}");
        }
    }
}
