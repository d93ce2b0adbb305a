use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::destination::limit::Rate;
use crate::destination::{AbahaClient, OmniClient};

use secrecy::SecretString;

use super::*;

pub const TOKEN: &str = "top5ecret";

/// A sender for tests: custom hosts allowed, and time enough for a slow machine.
pub fn http() -> Http {
    patient(Duration::from_secs(10))
}

/// A sender for tests that waits so long for an answer.
fn patient(timeout: Duration) -> Http {
    let settings =
        HttpSettings { timeout, max_answer_bytes: 60_000, allow_custom_hosts: true, ..HttpSettings::default() };
    with(settings)
}

fn with(settings: HttpSettings) -> Http {
    let clock = Clock::system();
    let fast = Rate { size: 1_000, per_second: 1_000.0 };
    Http::new(settings, Limits::new(clock.clone(), fast, fast), clock).unwrap()
}

pub fn token() -> SecretString {
    TOKEN.into()
}

/// Answers every connection with these bytes, some time apart, and then closes it.
async fn raw(parts: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 8_192]).await;
                for part in parts {
                    let _ = stream.write_all(part.as_bytes()).await;
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_millis(150)).await;
                }
            });
        }
    });
    format!("http://{address}")
}

async fn order_from(base: &str) -> CallError {
    order_by(&http(), base).await
}

async fn order_by(http: &Http, base: &str) -> CallError {
    OmniClient::new(http, "cuahangmau", token(), Some(base)).unwrap().order("1").await.unwrap_err()
}

#[tokio::test]
async fn a_slow_body_is_cut_off_at_the_deadline() {
    let base =
        raw(&["HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{", " ", " ", " ", " ", " ", " ", " ", " ", " "]).await;
    let http = patient(Duration::from_millis(700));
    assert_eq!(order_by(&http, &base).await, CallError::failing("timeout", Done::Unknown));
}

#[tokio::test]
async fn a_lost_connection_leaves_open_whether_the_work_was_done() {
    assert_eq!(order_from(&raw(&[]).await).await, CallError::failing("reset", Done::Unknown));
    let base = raw(&["HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"id\""]).await;
    assert_eq!(order_from(&base).await, CallError::failing("reset", Done::Unknown));
}

#[tokio::test]
async fn a_host_that_does_not_answer_has_done_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(order_from(&base).await, CallError::failing("connect", Done::No));
}

#[tokio::test]
async fn an_answer_over_the_cap_is_not_read() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_string("x".repeat(60_001)))
        .mount(&server)
        .await;
    assert_eq!(order_from(&server.uri()).await, CallError::failing("answer_too_large", Done::Unknown));
    let chunked: &[&str] =
        &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nea62\r\n", BIG, BIG, "\r\n0\r\n\r\n"];
    let base = raw(chunked).await;
    assert_eq!(order_from(&base).await, CallError::failing("answer_too_large", Done::Unknown));
}

/// 30,001 bytes.
const BIG: &str = {
    static BYTES: [u8; 30_001] = [b'x'; 30_001];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = MockServer::start().await;
    let there = format!("{}/elsewhere", server.uri());
    Mock::given(path("/admin/orders/1.json"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", there))
        .mount(&server)
        .await;
    Mock::given(path("/elsewhere")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
    assert_eq!(order_from(&server.uri()).await.code(), "redirected");
}

#[tokio::test]
async fn a_429_stops_the_account_and_the_servers_count_is_taken_over() {
    let server = MockServer::start().await;
    let answer =
        ResponseTemplate::new(429).insert_header("retry-after", "60").insert_header("x-sapo-api-call-limit", "40/40");
    Mock::given(any()).respond_with(answer).expect(1).mount(&server).await;
    let http = http();
    let log = CallLog::new();
    let client = OmniClient::new(&http, "cuahangmau", token(), Some(&server.uri())).unwrap().recording(log.clone());
    let before = http.clock.now();
    for _ in 0..2 {
        let Err(CallError::Throttled { until }) = client.order("1").await else { panic!() };
        assert!(until >= before + 60_000 && until <= http.clock.now() + 60_000);
    }
    let calls = log.take();
    assert_eq!(calls.len(), 1, "the second was not sent");
    assert_eq!((calls[0].status, calls[0].outcome), (Some(429), "throttled"));
    let neighbour = OmniClient::new(&http, "other", token(), Some("http://127.0.0.1:1")).unwrap();
    assert_eq!(neighbour.order("1").await.unwrap_err().code(), "connect");
}

#[tokio::test]
async fn every_call_is_recorded_without_its_query() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).mount(&server).await;
    let log = CallLog::new();
    let client = AbahaClient::new(&http(), "501", token(), Some(&server.uri())).unwrap().recording(log.clone());
    client.order("7").await.unwrap_err();
    let calls = log.take();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].account, "abaha:501");
    assert_eq!((calls[0].method, calls[0].path.as_str()), ("POST", "order/detail"));
    assert_eq!((calls[0].status, calls[0].outcome), (Some(500), "server_error"));
    assert!(log.take().is_empty());
}

#[tokio::test]
async fn a_token_is_in_no_error_and_no_debug_text_even_where_an_answer_repeats_it() {
    let server = MockServer::start().await;
    let html = format!("<html>{TOKEN} 0912000001 mau@example.com</html>");
    let refusal = serde_json::json!({"status": 0, "message": format!("{TOKEN} sai, gọi 0912000001"), "data": null});
    Mock::given(path("/order/detail"))
        .respond_with(ResponseTemplate::new(500).set_body_string(html))
        .mount(&server)
        .await;
    Mock::given(path("/order/update"))
        .respond_with(ResponseTemplate::new(200).set_body_json(refusal))
        .mount(&server)
        .await;
    let http = http();
    let abaha = AbahaClient::new(&http, "501", token(), Some(&server.uri())).unwrap();
    let omni = OmniClient::new(&http, "cuahangmau", token(), Some("http://127.0.0.1:1")).unwrap();
    let errors = [
        abaha.order("7").await.unwrap_err(),
        abaha.set_order_status("7", 10).await.unwrap_err(),
        abaha.hide_product("7").await.unwrap_err(),
        omni.order("7").await.unwrap_err(),
    ];
    let mut texts: Vec<String> = errors.iter().flat_map(|error| [format!("{error:?}"), error.to_string()]).collect();
    texts.extend([format!("{abaha:?}"), format!("{omni:?}"), format!("{http:?}")]);
    for text in texts {
        assert!(!text.contains(TOKEN) && !text.contains("0912") && !text.contains("mau@"), "{text}");
    }
    let sent = &server.received_requests().await.unwrap()[0];
    assert_eq!(sent.url.query(), Some(format!("token={TOKEN}").as_str()), "it is sent all the same");
}

#[test]
fn only_the_apis_own_hosts_are_called_unless_a_setting_says_otherwise() {
    let strict = with(HttpSettings::default());
    let omni = |http: &Http, alias: &str, base: Option<&str>| {
        OmniClient::new(http, alias, token(), base).map(drop).map_err(|e| e.code())
    };
    assert_eq!(omni(&strict, "cuahangmau", None), Ok(()));
    assert_eq!(omni(&strict, "cuahangmau", Some("https://other.mysapogo.com/")), Ok(()));
    for base in [
        "http://cuahangmau.mysapogo.com",
        "https://cuahangmau.mysapogo.com:8443",
        "https://cuahangmau.mysapogo.com.evil.vn",
        "https://evilmysapogo.com",
        "https://mysapogo.com",
        "https://a.b.mysapogo.com",
        "http://127.0.0.1:9",
    ] {
        assert_eq!(omni(&strict, "cuahangmau", Some(base)), Err("foreign_host"), "{base}");
    }
    for base in [
        "https://me@cuahangmau.mysapogo.com",
        "https://cuahangmau.mysapogo.com/?a=1",
        "ftp://cuahangmau.mysapogo.com",
        "x",
    ] {
        assert_eq!(omni(&http(), "cuahangmau", Some(base)), Err("bad_address"), "{base}");
    }
    for alias in ["", "evil.vn/", "a b", "cửa-hàng"] {
        assert_eq!(omni(&http(), alias, None), Err("bad_name"), "{alias}");
    }
    assert_eq!(omni(&http(), "cuahangmau", Some("http://127.0.0.1:9/omni")), Ok(()));
    let abaha = |base: Option<&str>| AbahaClient::new(&strict, "501", token(), base).map(drop).map_err(|e| e.code());
    assert_eq!(abaha(None), Ok(()));
    assert_eq!(abaha(Some("https://abaha.vn")), Err("foreign_host"));
    for bad in ["", "two words", "mã"] {
        assert_eq!(OmniClient::new(&strict, "a", bad.into(), None).unwrap_err(), ClientError::Token);
    }
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_as_a_date() {
    let server = MockServer::start().await;
    let client = OmniClient::new(&http(), "cuahangmau", token(), Some(&server.uri())).unwrap();
    let now = Clock::system().now();
    let date =
        jiff::Timestamp::from_millisecond(now + 90_000).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (value, from, to) in
        [("2.0", 2_000, 30_000), (date.as_str(), 80_000, 91_000), ("999999999", 86_400_000, 86_430_000)]
    {
        server.reset().await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(503).insert_header("retry-after", value))
            .mount(&server)
            .await;
        let Err(CallError::Failing { code, done, not_before: Some(at), .. }) = client.order("1").await else {
            panic!()
        };
        assert_eq!((code, done), ("unavailable", Done::No));
        assert!((now + from..=now + to).contains(&at), "{value}: {}", at - now);
    }
}
