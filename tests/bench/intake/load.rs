//! The client: raw HTTP/1.1 on connections that stay open, the same for every server that is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an answer may take; Sapo itself waits 5 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause after an error: a server that is gone is not asked as fast as it can refuse.
const PAUSE: Duration = Duration::from_millis(10);

/// What came of a run.
#[derive(Default)]
pub struct Figures {
    /// Answered 200, or confirmed.
    pub answered: u64,
    /// Everything else.
    pub errors: u64,
    /// What the first of them was.
    pub first_error: Option<String>,
    /// From the start to the last answer.
    pub span: Duration,
    /// In microseconds, ascending.
    latencies: Vec<u32>,
}

impl Figures {
    /// Answered in a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.span.as_secs_f64()
    }

    /// In milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        f64::from(self.latencies.get(at).copied().unwrap_or_default()) / 1000.0
    }

    /// Puts together what each task noted.
    pub async fn collect(mut tasks: JoinSet<Tally>, start: Instant) -> Self {
        let mut all = Self::default();
        while let Some(tally) = tasks.join_next().await {
            let tally = tally.expect("a task that only counts does not fail");
            all.latencies.extend(tally.latencies);
            all.errors += tally.errors;
            all.first_error = all.first_error.or(tally.first_error);
        }
        all.span = start.elapsed();
        all.latencies.sort_unstable();
        all.answered = all.latencies.len() as u64;
        all
    }
}

/// What one connection, or one publisher, noted.
#[derive(Default)]
pub struct Tally {
    latencies: Vec<u32>,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    /// Notes one answer, asked for at `sent`.
    pub async fn note(&mut self, sent: Instant, result: Result<(), String>) {
        match result {
            Ok(()) => self.latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX)),
            Err(why) => {
                self.errors += 1;
                self.first_error.get_or_insert(why);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// When requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// On each connection the next one as soon as the last is answered.
    FlatOut,
    /// So many a second over all connections, due at equal distances whether or not the ones before are answered.
    Steady(f64),
}

/// Sends `request` on so many connections for so long.
pub async fn load(address: SocketAddr, request: &Arc<[u8]>, connections: usize, span: Duration, pace: Pace) -> Figures {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for index in 0..connections {
        let request = Arc::clone(request);
        tasks.spawn(async move {
            let mut client = Client { address, stream: None, answer: vec![0; 4096] };
            let mut tally = Tally::default();
            let mut number = index;
            loop {
                let due = match pace {
                    Pace::FlatOut => Instant::now(),
                    Pace::Steady(rate) => start + Duration::from_secs_f64(number as f64 / rate),
                };
                if due.duration_since(start) >= span {
                    return tally;
                }
                // One that waits for its connection is late by the server's doing, and that counts. One that waits for
                // this client's timer, which rings up to a millisecond late, does not.
                let sent = if due > Instant::now() {
                    tokio::time::sleep_until(due.into()).await;
                    Instant::now()
                } else {
                    due
                };
                let result = client.ask(&request).await;
                tally.note(sent, result).await;
                number += connections;
            }
        });
    }
    Figures::collect(tasks, start).await
}

/// One connection.
struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Client {
    /// Sends a request and reads its answer; anything but 200 is an error, and the next request has a new connection.
    async fn ask(&mut self, request: &[u8]) -> Result<(), String> {
        let result = match timeout(PATIENCE, self.exchange(request)).await {
            Ok(Ok(200)) => return Ok(()),
            Ok(Ok(status)) => Err(format!("answered {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        self.stream = None;
        result
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream.insert(stream)
        };
        stream.write_all(request).await?;
        let mut have = 0;
        loop {
            let read = stream.read(&mut self.answer[have..]).await?;
            if read == 0 {
                return Err(std::io::Error::other("the server closed the connection, or its answer is over 4 KiB"));
            }
            have += read;
            if let Some((status, _)) = whole(&self.answer[..have]) {
                return Ok(status);
            }
        }
    }
}

/// The status and the body of an answer, once all of it is there.
fn whole(answer: &[u8]) -> Option<(u16, &str)> {
    let (head, body) = std::str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (body.len() >= length.unwrap_or(0)).then_some((status, body))
}

/// Posts without a body and without a signature, on a connection of its own; the answer's status and body.
pub async fn post(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let told = whole(&answer).ok_or_else(|| std::io::Error::other("an answer was cut short"))?;
    Ok((told.0, told.1.to_owned()))
}
