//! Webhooks written by hand, byte for byte, as a stranger or a careless sender would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::World;

/// The sandbox's shop, site and secrets, as its default configuration has them.
pub const OMNI: &str = "/webhooks/omni/cuahangmau";
pub const ABAHA: &str = "/webhooks/abaha/501";
pub const SECRET: &str = "sandbox-webhook-secret";

/// base64(HMAC-SHA256(secret, body)).
pub fn sign(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(mac(secret, body))
}

/// A client that goes straight to whoever listens on this machine, whatever the environment says of proxies.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The bare MAC.
pub fn mac(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers but for the date, which is another each second.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {text:?}"));
        let kept: Vec<&str> = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        Self { status, head: kept.join("\n"), body: body.to_owned() }
    }
}

/// A request's head, with `Connection: close`.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: receiver.example\r\nconnection: close\r\n");
    for (name, value) in headers {
        head = head + name + ": " + value + "\r\n";
    }
    head + "\r\n"
}

/// Opens a connection to `base`, writes bytes, and leaves it open.
pub async fn open(base: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
    // A receiver that refuses early may close before all is written; its answer is what counts.
    let _refused_early = stream.write_all(bytes).await;
    stream
}

/// Writes bytes and reads the answer.
pub async fn raw(base: &str, bytes: &[u8]) -> Answer {
    let mut stream = open(base, bytes).await;
    let mut answer = Vec::new();
    tokio::time::timeout(crate::harness::PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    Answer::parse(&answer)
}

/// Posts a body with its length and exactly these headers.
pub async fn post(base: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let length = body.len().to_string();
    let mut all = headers.to_vec();
    all.push(("content-length", &length));
    raw(base, &[head("POST", path, &all).as_bytes(), body].concat()).await
}

/// Gets a page.
pub async fn get(base: &str, path: &str) -> Answer {
    raw(base, head("GET", path, &[]).as_bytes()).await
}

/// Posts a rightly signed Sapo webhook to the world's own shop.
pub async fn omni(world: &World, topic: &str, body: &[u8]) -> Answer {
    omni_to(&world.url(), OMNI, topic, body).await
}

/// Posts a rightly signed Sapo webhook.
pub async fn omni_to(base: &str, path: &str, topic: &str, body: &[u8]) -> Answer {
    let signature = sign(SECRET, body);
    post(base, path, &[("x-sapo-topic", topic), ("x-sapo-hmac-sha256", &signature)], body).await
}

/// The sum of a metric's lines that hold all of these labels.
pub async fn metric(base: &str, name: &str, labels: &[&str]) -> f64 {
    let page = get(base, "/metrics").await;
    let lines =
        page.body.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
