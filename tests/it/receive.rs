//! What a sender, a stranger and a thief get from the webhook endpoints.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sapo_sync::broker::{Broker, BrokerError, Consumer, Depth, Share};
use sapo_sync::domain::event::Event;
use sapo_sync::receive::{MAX_BODY, Receiver, router};
use sapo_sync::store::cache::SnapshotCache;
use sapo_sync::sync::connect::{apply, file};
use serde_json::{Value, json};

use crate::harness::{CONNECTION, PATIENCE, World, until};
use crate::wire::{self, ABAHA, Answer, OMNI, SECRET, head, mac, post, raw, sign};

/// A body of a topic that is skipped: it shows that a webhook was taken, and changes nothing.
const HARMLESS: &[u8] = br#"{"id": 1, "tenant_id": 70001, "note": "xin ch\u00e0o"}"#;
const TOPIC: (&str, &str) = ("x-sapo-topic", "themes/publish");

type Headers<'a> = Vec<(&'a str, &'a str)>;
/// What is wrong with it, where it goes, its headers and its body.
type Request<'a> = (&'a str, &'a str, Headers<'a>, &'a [u8]);

/// Nothing was taken: no row, nothing in the queue.
async fn assert_nothing_was_taken(world: &World) {
    assert_eq!(world.depth().await, Depth::default());
    assert!(world.events().await.is_empty(), "{:#?}", world.events().await);
    assert!(world.dead().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_proof_and_every_unknown_source_get_the_same_401_byte_for_byte_and_leave_nothing() {
    let world = World::new().await;
    let base = world.url();
    let right = sign(SECRET, HARMLESS);
    let reserialised = serde_json::from_slice::<Value>(HARMLESS).unwrap().to_string();
    let foreign = br#"{"id": 1, "tenant_id": 70002}"#.as_slice();
    let wrapped = br#"{"product": {"id": 1, "tenant_id": 70002, "variants": []}}"#.as_slice();
    let (of_foreign, of_wrapped, of_empty) = (sign(SECRET, foreign), sign(SECRET, wrapped), sign(SECRET, b""));
    let swapped: String =
        right.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
    let other = sign("another-secret", HARMLESS);
    let no_secret = sign("", HARMLESS);
    let padded = STANDARD.encode([mac(SECRET, HARMLESS), vec![0]].concat());
    let half = STANDARD.encode(&mac(SECRET, HARMLESS)[..16]);
    let hex = hex::encode(mac(SECRET, HARMLESS));
    let prefixed = format!("sha256={right}");
    let unpadded = right.trim_end_matches('=').to_owned();
    let cut = &right[..40];
    let name = "x-sapo-hmac-sha256";
    let old = "x-bizweb-hmac-sha256";
    let cases: Vec<Request<'_>> = vec![
        ("no signature", OMNI, vec![], HARMLESS),
        ("an empty signature", OMNI, vec![(name, "")], HARMLESS),
        ("the body written anew", OMNI, vec![(name, &right)], reserialised.as_bytes()),
        ("a byte more", OMNI, vec![(name, &right)], br#"{"id": 1, "tenant_id": 70001, "note": "xin ch\u00e0o"} "#),
        ("hex", OMNI, vec![(name, &hex)], HARMLESS),
        ("wrong case", OMNI, vec![(name, &swapped)], HARMLESS),
        ("truncated text", OMNI, vec![(name, cut)], HARMLESS),
        ("a truncated MAC", OMNI, vec![(name, &half)], HARMLESS),
        ("a longer MAC", OMNI, vec![(name, &padded)], HARMLESS),
        ("without its padding", OMNI, vec![(name, &unpadded)], HARMLESS),
        ("with a prefix", OMNI, vec![(name, &prefixed)], HARMLESS),
        ("another secret", OMNI, vec![(name, &other)], HARMLESS),
        ("the empty secret", OMNI, vec![(name, &no_secret)], HARMLESS),
        ("of the empty body", OMNI, vec![(name, &of_empty)], HARMLESS),
        ("doubled, both right", OMNI, vec![(name, &right), (name, &right)], HARMLESS),
        ("doubled, the first right", OMNI, vec![(name, &right), (name, &other)], HARMLESS),
        ("under both names, the older one wrong", OMNI, vec![(name, &right), (old, &other)], HARMLESS),
        ("under both names, the current one wrong", OMNI, vec![(name, &other), (old, &right)], HARMLESS),
        ("under both names, one doubled", OMNI, vec![(name, &right), (old, &right), (old, &right)], HARMLESS),
        ("in Abaha's header", OMNI, vec![("x-abaha-hmac-sha256", &right)], HARMLESS),
        (
            "another shop's tenant header",
            OMNI,
            vec![(name, &right), ("x-sapo-tenant-domain", "cuahangkhac.mysapogo.com")],
            HARMLESS,
        ),
        (
            "two tenant headers, in conflict",
            OMNI,
            vec![
                (name, &right),
                ("x-sapo-tenant-domain", "cuahangmau.mysapogo.com"),
                ("x-sapo-shop-domain", "cuahangkhac.mysapogo.com"),
            ],
            HARMLESS,
        ),
        ("another shop's body", OMNI, vec![(name, &of_foreign)], foreign),
        ("another shop's body in a wrapper", OMNI, vec![(name, &of_wrapped)], wrapped),
        ("an unknown shop", "/webhooks/omni/khongco", vec![(name, &right)], HARMLESS),
        ("an unknown shop, unsigned", "/webhooks/omni/khongco", vec![], HARMLESS),
        ("a Sapo Web site, none is connected", "/webhooks/web/cuahangmau", vec![(name, &right)], HARMLESS),
        ("the shop's alias as an Abaha site", "/webhooks/abaha/cuahangmau", vec![(name, &right)], HARMLESS),
        ("Abaha without its header", ABAHA, vec![], HARMLESS),
        ("Abaha with an empty header", ABAHA, vec![("x-abaha-key", "")], HARMLESS),
        ("Abaha with a wrong value", ABAHA, vec![("x-abaha-key", "sandbox-abaha-kez")], HARMLESS),
        ("Abaha with the beginning of its value", ABAHA, vec![("x-abaha-key", "sandbox-abaha")], HARMLESS),
        (
            "Abaha with its header doubled",
            ABAHA,
            vec![("x-abaha-key", "sandbox-abaha-key"), ("x-abaha-key", "sandbox-abaha-key")],
            HARMLESS,
        ),
        ("Abaha's value in another header", ABAHA, vec![("x-shop-key", "sandbox-abaha-key")], HARMLESS),
        (
            "another site's body",
            ABAHA,
            vec![("x-abaha-key", "sandbox-abaha-key")],
            br#"{"event":"order.updated","site_id":502,"data":{"id":9}}"#,
        ),
        (
            "an unknown site with a known value",
            "/webhooks/abaha/502",
            vec![("x-abaha-key", "sandbox-abaha-key")],
            HARMLESS,
        ),
    ];
    let before = wire::metric(&base, "sapo_sync_webhooks_total", &["unauthorised"]).await;
    let mut first: Option<Answer> = None;
    for (what, path, headers, body) in &cases {
        for topic in ["themes/publish", "products/update"] {
            let answer = post(&base, path, &[&[("x-sapo-topic", topic)], headers.as_slice()].concat(), body).await;
            assert_eq!(answer.status, 401, "{what}: {answer:?}");
            assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "{what} can be told from the others");
            assert!(!answer.body.contains("cuahangmau") && !answer.body.contains("hmac"), "{what}: {answer:?}");
        }
    }
    let counted = wire::metric(&base, "sapo_sync_webhooks_total", &["unauthorised"]).await - before;
    assert!(counted >= 2.0 * cases.len() as f64, "{counted} of 2 × {} were counted", cases.len());
    assert_nothing_was_taken(&world).await;
    // The same body with the right proof is taken: what was refused above was refused for its proof.
    assert_eq!(
        post(&base, OMNI, &[TOPIC, (name, &right), ("x-sapo-tenant-domain", "cuahangmau.mysapogo.com")], HARMLESS)
            .await
            .status,
        200
    );
    let shop = "cuahangmau.mysapogo.com";
    let families =
        [(name, right.as_str()), (old, &right), ("x-sapo-tenant-domain", shop), ("x-sapo-shop-domain", shop)];
    assert_eq!(post(&base, OMNI, &[&[TOPIC][..], &families].concat(), HARMLESS).await.status, 200, "both say the same");
    assert_eq!(post(&base, ABAHA, &[("x-abaha-key", "sandbox-abaha-key")], HARMLESS).await.status, 200);
    world.quiet().await;
    assert_eq!(world.events().await.len(), 3);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_and_the_previous_secret_are_taken_under_either_name_until_the_previous_one_is_removed() {
    let world = World::new().await;
    let text = world.connections((true, true, true), "");
    let both = text.replace(&format!("[\"{SECRET}\"]"), "[\"the-new-one\", \"sandbox-webhook-secret\"]");
    let new = text.replace(&format!("[\"{SECRET}\"]"), "[\"the-new-one\"]");
    assert!(both != text && new != text);
    for (rotation, file, old_is_taken) in
        [("before", &text, true), ("while", &both, true), ("after", &new, false), ("again", &both, true)]
    {
        world.apply(file).await;
        for name in ["x-sapo-hmac-sha256", "X-Sapo-Hmac-SHA256", "x-bizweb-hmac-sha256"] {
            for (secret, taken) in
                [(SECRET, old_is_taken), ("the-new-one", rotation != "before"), ("one-never-known", false)]
            {
                let answer = post(&world.url(), OMNI, &[TOPIC, (name, &sign(secret, HARMLESS))], HARMLESS).await;
                assert_eq!(answer.status, if taken { 200 } else { 401 }, "{rotation} the rotation, {name}, {secret}");
            }
        }
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_configured_for_an_abaha_source_must_pass() {
    let world = World::new().await;
    let text = world.connections((true, true, true), "");
    let header_line = text.lines().find(|line| line.contains("webhook_header")).unwrap().to_owned();
    let signature_line = r#"webhook_secret = ["abaha-secret", "abaha-secret-before"]"#;
    let both = text.replace(&header_line, &format!("{header_line}\n{signature_line}"));
    let signature_only = text.replace(&header_line, signature_line);
    let (right, before, wrong) =
        (sign("abaha-secret", HARMLESS), sign("abaha-secret-before", HARMLESS), sign("x", HARMLESS));
    let key = ("x-abaha-key", "sandbox-abaha-key");
    let name = "x-abaha-hmac-sha256";
    // What is sent; whether it is taken with the header configured, the signature, both.
    let table: Vec<(&str, Headers<'_>, [bool; 3])> = vec![
        ("nothing", vec![], [false, false, false]),
        ("the header", vec![key], [true, false, false]),
        ("the signature", vec![(name, &right)], [false, true, false]),
        ("both", vec![key, (name, &right)], [true, true, true]),
        ("both, the previous secret", vec![key, (name, &before)], [true, true, true]),
        ("the header, a wrong signature", vec![key, (name, &wrong)], [true, false, false]),
        ("a wrong header, the signature", vec![("x-abaha-key", "x"), (name, &right)], [false, true, false]),
        ("the header, the signature doubled", vec![key, (name, &right), (name, &right)], [true, false, false]),
        ("the signature under Sapo's name", vec![key, ("x-sapo-hmac-sha256", &right)], [true, false, false]),
    ];
    for (configured, (words, file)) in
        [("header", &text), ("signature", &signature_only), ("both", &both)].into_iter().enumerate()
    {
        world.apply(file).await;
        for (what, headers, taken) in &table {
            let answer = post(&world.url(), ABAHA, headers, HARMLESS).await;
            assert_eq!(answer.status, if taken[configured] { 200 } else { 401 }, "{words} configured, {what} sent");
        }
    }
    world.finish(&[]).await;
}

/// A queue that takes nothing.
struct Full;

#[async_trait]
impl Broker for Full {
    async fn publish(&self, _: &Event) -> Result<(), BrokerError> {
        Err(BrokerError::NotTaken("no room".to_owned()))
    }
    fn partitions(&self) -> Option<u16> {
        None
    }

    async fn consume(&self, _share: Share) -> Result<Box<dyn Consumer>, BrokerError> {
        Err(BrokerError::Closed)
    }
    async fn consume_dead(&self) -> Result<Box<dyn Consumer>, BrokerError> {
        Err(BrokerError::Closed)
    }
    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(Depth::default())
    }
    async fn ready(&self) -> Result<(), BrokerError> {
        Err(BrokerError::NotTaken("no room".to_owned()))
    }
    async fn close(&self) {}
}

/// Serves a receiver of its own, beside the world's.
async fn serve(broker: Arc<dyn Broker>, snapshot: SnapshotCache, world: &World) -> String {
    let receiver = Receiver::new(broker, snapshot, world.store().clone(), world.store().clock().clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(receiver)).await });
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_come_in_the_order_413_415_401_503_200() {
    let world = World::new().await;
    let full = serve(Arc::new(Full), world.running().context().snapshot.clone(), &world).await;
    let right = sign(SECRET, HARMLESS);
    let (proof, gzip) = (("x-sapo-hmac-sha256", right.as_str()), ("content-encoding", "gzip"));
    let too_long = (MAX_BODY + 1).to_string();
    let length = ("content-length", too_long.as_str());
    // Every request fails in all the ways of the lines below its own as well.
    let head_only = |headers: &[(&str, &str)]| head("POST", OMNI, headers).into_bytes();
    assert_eq!(raw(&full, &head_only(&[gzip, length])).await.status, 413, "before encoding, signature and queue");
    for encoding in ["gzip", "br", "deflate", "x-nothing", "identity, gzip"] {
        let answer = post(&full, OMNI, &[TOPIC, ("content-encoding", encoding)], HARMLESS).await;
        assert_eq!(answer.status, 415, "{encoding}: before signature and queue");
    }
    assert_eq!(
        post(&full, OMNI, &[TOPIC, ("content-encoding", "gzip"), proof], HARMLESS).await.status,
        415,
        "rightly signed, too"
    );
    assert_eq!(post(&full, OMNI, &[TOPIC], HARMLESS).await.status, 401, "before the queue");
    let answer = post(&full, OMNI, &[TOPIC, proof], HARMLESS).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "never 4xx for a failure of ours");
    assert_nothing_was_taken(&world).await;
    let taken = post(&world.url(), OMNI, &[TOPIC, proof, ("content-encoding", "identity")], HARMLESS).await;
    assert_eq!(taken.status, 200);
    world.quiet().await;
    let rows = world.events().await;
    assert_eq!(
        rows.iter().map(|row| row.event_id.as_str()).collect::<Vec<_>>(),
        [taken.json()["id"].as_str().unwrap()]
    );
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_snapshot_everybody_is_asked_to_come_back() {
    let world = World::new().await;
    let context = world.running().context();
    let base = serve(Arc::clone(&context.broker), SnapshotCache::new(world.store().clone()), &world).await;
    for path in [OMNI, "/webhooks/omni/khongco", ABAHA] {
        let answer = wire::omni_to(&base, path, "themes/publish", HARMLESS).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_one_mebibyte_is_taken_and_one_byte_more_is_not_whatever_the_transfer() {
    let world = World::new().await;
    let base = world.url();
    let whole = |length: usize| {
        let (before, after) = (br#"{"id":1,"x":""#, br#""}"#);
        [before.as_slice(), &vec![b'a'; length - before.len() - after.len()], after].concat()
    };
    for (length, status) in [(MAX_BODY, 200), (MAX_BODY + 1, 413)] {
        let body = whole(length);
        let proof = sign(SECRET, &body);
        let headers = [TOPIC, ("x-sapo-hmac-sha256", proof.as_str())];
        assert_eq!(post(&base, OMNI, &headers, &body).await.status, status, "{length} bytes, announced");
        let chunked = head("POST", OMNI, &[&headers[..], &[("transfer-encoding", "chunked")]].concat());
        let parts: Vec<Vec<u8>> = body
            .chunks(60_000)
            .map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())
            .collect();
        // The last chunk is left out where the body is over the limit: the answer does not wait for its end.
        let end: &[u8] = if status == 200 { b"0\r\n\r\n" } else { b"" };
        let request = [chunked.as_bytes(), &parts.concat(), end].concat();
        assert_eq!(raw(&base, &request).await.status, status, "{length} bytes, in chunks");
    }
    world.quiet().await;
    assert_eq!(world.events().await.len(), 2);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_at_once_are_answered_503_and_stalled_senders_do_not_hold_the_budget_for_ever() {
    let world = World::new().await;
    let base = world.url();
    let length = MAX_BODY.to_string();
    let mut held = Vec::new();
    let probe = async || wire::omni(&world, "themes/publish", HARMLESS).await.status;
    let deadline = Instant::now() + PATIENCE;
    // More than fit, for a probe may come between; and again, for a slow machine may have given up on the first.
    while probe().await != 503 {
        assert!(Instant::now() < deadline, "the budget of bytes is never used up");
        for _ in 0..80 {
            held.push(wire::open(&base, head("POST", OMNI, &[TOPIC, ("content-length", &length)]).as_bytes()).await);
        }
    }
    // They stay connected and send nothing: the receiver gives up on them.
    until("there is room again", async || probe().await == 200).await;
    drop(held);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_tenant_was_not_told_learns_it_from_its_first_verified_body_alone() {
    let world = World::new().await;
    let text = world
        .connections((false, false, false), "")
        .replace("cuahangmau", "cuahangmoi")
        .replace(CONNECTION, "moi-abaha")
        .replace("site = \"501\"", "site = \"777\"");
    let context = world.running().context();
    apply(&context.store, &context.http, &file::parse(&text, world.dir.path()).unwrap(), false, true, "test")
        .await
        .unwrap();
    context.snapshot.refresh().await.unwrap();
    let body = |tenant: u64| json!({"id": 5, "tenant_id": tenant, "variants": []}).to_string().into_bytes();
    let send = async |tenant: u64| {
        wire::omni_to(&world.url(), "/webhooks/omni/cuahangmoi", "products/update", &body(tenant)).await.status
    };
    // A body that proves nothing teaches nothing.
    let stranger =
        post(&world.url(), "/webhooks/omni/cuahangmoi", &[("x-sapo-hmac-sha256", &sign("x", &body(666)))], &body(666))
            .await;
    assert_eq!(stranger.status, 401);
    assert_eq!(send(70_009).await, 200);
    let tenant = async || world.store().snapshot().await.unwrap().stores["cuahangmoi"].tenant_id.clone();
    until("the tenant is learned", async || tenant().await.as_deref() == Some("70009")).await;
    context.snapshot.refresh().await.unwrap();
    assert_eq!(send(70_010).await, 401);
    assert_eq!(send(70_009).await, 200);
    world.quiet().await;
    assert_eq!(world.events_of(5).await.len(), 2);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_cannot_be_read_is_taken_and_becomes_a_dead_letter() {
    let world = World::new().await;
    let bodies: [&[u8]; 7] = [b"", b"<html>502</html>", b"[1,2]", b"{}", b"{\"id\":", b"\xff\xfe{}", b"\"text\""];
    for body in bodies {
        let answer = wire::omni(&world, "orders/create", body).await;
        assert_eq!(answer.status, 200, "{body:?}");
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        until("it is filed", async || {
            world.dead().await.iter().any(|letter| letter.event_id == id && letter.code == "unreadable")
        })
        .await;
        let kept = world.store().letter_event(&id, 0).await.unwrap().unwrap();
        assert_eq!(kept.body.as_ref(), body, "its bytes are kept as they came");
    }
    world.finish(&["dead:unreadable"; 7]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_synchronised_is_taken_skipped_and_shown() {
    let world = World::new().await;
    for topic in ["themes/publish", "orders", "Orders/Create", "x"] {
        let id = wire::omni(&world, topic, HARMLESS).await.json()["id"].as_str().unwrap().to_owned();
        world.quiet().await;
        let row = world.events().await.into_iter().find(|row| row.event_id == id).unwrap();
        assert_eq!(
            (row.outcome.as_str(), row.code.as_str(), row.topic.as_str()),
            ("skipped", "topic_not_synchronised", topic)
        );
        assert!(row.reason.contains(topic), "{}", row.reason);
    }
    let nameless = post(&world.url(), OMNI, &[("x-sapo-hmac-sha256", &sign(SECRET, HARMLESS))], HARMLESS).await;
    assert_eq!(nameless.status, 200);
    let abaha = post(
        &world.url(),
        ABAHA,
        &[("x-abaha-key", "sandbox-abaha-key")],
        br#"{"event":"shop.opened","data":{"id":3}}"#,
    )
    .await;
    assert_eq!(abaha.status, 200);
    world.quiet().await;
    assert!(world.events().await.iter().all(|row| row.code == "topic_not_synchronised"), "{:#?}", world.events().await);
    assert_eq!(world.events().await.len(), 6);
    assert!(world.sandbox.calls().iter().all(|call| !call.writing));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics_are_told() {
    let world = World::new().await;
    let base = world.url();
    for page in ["/healthz", "/readyz"] {
        assert_eq!(wire::get(&base, page).await.status, 200, "{page}");
    }
    wire::omni(&world, "themes/publish", HARMLESS).await;
    world.quiet().await;
    assert!(wire::metric(&base, "sapo_sync_webhooks_total", &["source=\"omni\"", "result=\"taken\""]).await >= 1.0);
    assert!(
        wire::metric(&base, "sapo_sync_events_total", &["outcome=\"skipped\"", "code=\"topic_not_synchronised\""])
            .await
            >= 1.0
    );
    assert!(wire::get(&base, "/metrics").await.body.contains("# HELP sapo_sync_webhooks_total "));
    world.finish(&[]).await;
}
