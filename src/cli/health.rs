//! `healthcheck`: asks a running process whether it can do its work; for containers and supervisors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::args::Global;
use super::exit::{Exit, Usage};
use super::{out, setup};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of an answer.
const LONGEST: u64 = 64 * 1024;

/// Asks `/readyz` of the own address, or the URL given.
pub async fn run(global: &Global, url: Option<String>) -> anyhow::Result<Exit> {
    let url = match url {
        Some(url) => url,
        None => own_url(setup::load(global)?.listen),
    };
    let asked = tokio::time::timeout(PATIENCE, get(&url)).await;
    let (status, body) = asked.with_context(|| format!("{url} does not answer within {} s", PATIENCE.as_secs()))??;
    let fine = status == 200;
    if global.json {
        out::json(&serde_json::json!({"url": url, "ready": fine, "status": status, "answer": body.trim()}));
    } else if fine {
        out::line(body.trim());
    }
    if fine {
        return Ok(Exit::Fine);
    }
    bail!("{url} answers {status}: {}", body.trim())
}

/// Where a process of this machine that listens there is asked.
fn own_url(listen: SocketAddr) -> String {
    let host = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}/readyz", SocketAddr::new(host, listen.port()))
}

/// One plain GET: the only call of this program that is not one to an API.
async fn get(url: &str) -> anyhow::Result<(u16, String)> {
    let (host, path) = parts(url)?;
    let address = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut stream = TcpStream::connect(&address).await.with_context(|| {
        format!("{url} cannot be reached; is `sapo-sync up` running, and SAPO_SYNC__LISTEN the same?")
    })?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    read(&String::from_utf8_lossy(&answer)).with_context(|| format!("{url} does not answer as a web server does"))
}

/// The host and the path of a plain http URL.
fn parts(url: &str) -> anyhow::Result<(&str, &str)> {
    let Some(rest) = url.strip_prefix("http://") else {
        let text = format!("--url {url:?} must begin with http://, such as http://127.0.0.1:8080/readyz");
        return Err(Usage(text).into());
    };
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    if host.is_empty() || url.contains(char::is_whitespace) {
        return Err(Usage(format!("--url {url:?} names no host; for example http://127.0.0.1:8080/readyz")).into());
    }
    Ok((host, if path.is_empty() { "/readyz" } else { path }))
}

fn read(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_listens_everywhere_is_asked_here() {
        let cases = [
            ("0.0.0.0:8080", "http://127.0.0.1:8080/readyz"),
            ("[::]:80", "http://[::1]:80/readyz"),
            ("10.0.0.4:9000", "http://10.0.0.4:9000/readyz"),
        ];
        for (listen, url) in cases {
            assert_eq!(own_url(listen.parse().unwrap()), url);
        }
    }

    #[test]
    fn only_plain_urls_are_asked() {
        assert_eq!(parts("http://a:1/x").unwrap(), ("a:1", "/x"));
        assert_eq!(parts("http://a").unwrap(), ("a", "/readyz"));
        for url in ["https://a/", "a:80", "http:///x", "http://a/ b"] {
            assert!(parts(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_answer_is_its_status_and_body() {
        assert_eq!(
            read("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nnot ready\n"),
            Some((503, "not ready\n".to_owned()))
        );
        assert_eq!(read("garbage"), None);
    }
}
