//! Connecting: what `connect apply` changes and leaves alone, every bad input with its own words, and no secret shown.

use std::time::Duration;

use sapo_sync::app;
use sapo_sync::config::Config;
use sapo_sync::domain::clock::millis;
use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::{Kind, System};
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, WebhookEffect, WebhookFault};
use sapo_sync::sync::connect::{Applied, ConnectError, apply, file};
use serde_json::json;

use crate::cluster::free_port;
use crate::harness::{CONNECTION, Setup, World, dong};

const ALL: (bool, bool, bool) = (true, true, true);

/// Every secret of the usual file.
const SECRETS: [&str; 4] =
    ["sandbox-access-token", "sandbox-webhook-secret", "sandbox-abaha-token", "sandbox-abaha-key"];

/// Applies a connections file, which may be refused.
pub async fn try_apply(world: &World, text: &str, prune: bool) -> Result<Applied, ConnectError> {
    let parsed = file::parse(text, world.dir.path())?;
    let context = world.running().context();
    let applied = apply(&context.store, &context.http, &parsed, prune, false, "test").await?;
    context.snapshot.refresh().await.unwrap();
    Ok(applied)
}

fn check_message(what: &str, error: &ConnectError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not in {text:?}");
    }
    for secret in SECRETS.iter().chain(&["another-secret", "123456789"]) {
        assert!(!text.contains(secret), "{what}: a secret is shown: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_says_what_it_changes_and_changes_nothing_twice() {
    let world = World::new().await;
    let text = world.connections(ALL, "");
    assert_eq!(try_apply(&world, &text, false).await.unwrap(), Applied::default());

    let cases = [
        ("customers = true", "customers = false", "connection mau-abaha: customers true → false"),
        ("branch = 58001", "branch = 58002", "connection mau-abaha: branch 58001 → 58002"),
        (
            "orders = true",
            "orders = true\ncustomer_name = \"sapo\"",
            "connection mau-abaha: customer_name \"khach\" → \"sapo\"",
        ),
        (
            "webhook_secret = [\"",
            "webhook_secret = [\"another-secret\", \"",
            "store cuahangmau: webhook_secret changed",
        ),
        ("value = \"sandbox", "value = \"another-secret-sandbox", "connection mau-abaha: webhook_header changed"),
    ];
    for (from, to, said) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let applied = try_apply(&world, &changed, false).await.unwrap();
        assert_eq!(applied.changes, [said]);
        assert_eq!(try_apply(&world, &changed, false).await.unwrap(), Applied::default(), "{said}: twice");
        try_apply(&world, &text, false).await.unwrap();
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_removes_nothing_unless_it_is_told_to_prune() {
    let world = World::new().await;
    let text = world.connections(ALL, "");
    let store_only = text.split("[[connection]]").next().unwrap().to_owned();
    let activated = world.store().snapshot().await.unwrap().connections[CONNECTION].connection.activated_at;
    let applied = try_apply(&world, &store_only, false).await.unwrap();
    assert_eq!(applied, Applied { left_alone: vec![CONNECTION.to_owned()], ..Applied::default() });
    let state = async || world.store().snapshot().await.unwrap().connections[CONNECTION].connection.clone();
    assert_eq!(state().await.state, State::Active);

    // A paused connection stays paused, and keeps its start line.
    world.pause().await;
    let paused = try_apply(&world, &text, false).await.unwrap();
    assert_eq!(paused, Applied { paused: vec![CONNECTION.to_owned()], ..Applied::default() });
    assert_eq!((state().await.state, state().await.activated_at), (State::Paused, activated));

    let pruned = try_apply(&world, &store_only, true).await.unwrap();
    assert_eq!(pruned.changes, ["connection mau-abaha: stopped"]);
    assert_eq!(state().await.state, State::Stopped);
    let minute = Duration::from_mins(1);
    world.store().clock().advance(minute);
    let again = try_apply(&world, &text, false).await.unwrap();
    let line = "only orders made from now on are created on the other side";
    assert_eq!(again.changes, [format!("connection mau-abaha: activated anew; {line}")]);
    let anew = state().await;
    assert!(anew.activated_at >= activated + millis(minute) && anew.state == State::Active, "{anew:?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_connected_under_another_name_once_the_first_is_pruned_in_the_same_go() {
    let world = World::new().await;
    let renamed = world.connections(ALL, "").replacen("name = \"mau-abaha\"", "name = \"hai\"", 1);
    let error = try_apply(&world, &renamed, false).await.expect_err("one active connection a site");
    check_message("one active connection a site", &error, &["hai", "site", "mau-abaha", "--prune"]);
    let applied = try_apply(&world, &renamed, true).await.unwrap();
    assert_eq!(
        applied.changes,
        [
            "connection mau-abaha: stopped",
            "connection hai: connected; only orders made from now on are created on the other side"
        ]
    );
    let known = world.store().snapshot().await.unwrap();
    let state = |name: &str| known.connections[name].connection.state;
    assert_eq!((state(CONNECTION), state("hai")), (State::Stopped, State::Active));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_in_itself_names_the_key_and_the_cure() {
    let world = World::new().await;
    let text = world.connections(ALL, "");
    let connection = text.split("[[connection]]").nth(1).unwrap();
    let store = text.split("[[connection]]").next().unwrap();
    let replace = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        changed
    };
    std::fs::write(world.dir.path().join("empty"), "").unwrap();
    let alias = |alias: &str| text.replace("\"cuahangmau\"", &format!("{alias:?}"));
    let cases = [
        (
            "unknown key of a store",
            replace("alias =", "colour = \"another-secret\"\nalias ="),
            vec!["colour", "expected", "access_token", "line 3"],
        ),
        ("unknown key of a connection", replace("products =", "product ="), vec!["product", "expected", "products"]),
        ("unknown table", format!("{text}\n[[shop]]\nalias = \"x\""), vec!["shop", "store", "connection"]),
        ("duplicate key", replace("alias =", "alias = \"x\"\nalias ="), vec!["duplicate key", "alias"]),
        (
            "duplicate secret",
            replace("access_token =", "access_token = \"another-secret\"\naccess_token ="),
            vec!["duplicate key", "access_token"],
        ),
        ("duplicate store", format!("{store}{text}"), vec!["store cuahangmau", "twice", "keep one"]),
        (
            "duplicate connection",
            format!("{text}\n[[connection]]{connection}"),
            vec!["connection mau-abaha", "twice", "keep one"],
        ),
        (
            "one site twice",
            format!("{text}\n[[connection]]{}", connection.replace("mau-abaha", "hai")),
            vec!["connection hai", "501", "one connection a site"],
        ),
        (
            "a whole address as alias",
            alias("https://cuahangmau.mysapogo.com"),
            vec!["alias", "not an alias", "mysapogo.com"],
        ),
        ("capitals and blanks", alias("Cua Hang"), vec!["alias", "not an alias"]),
        ("an empty alias", alias(""), vec!["alias", "not an alias"]),
        ("a dash at the end", alias("cuahang-"), vec!["alias", "not an alias"]),
        (
            "both tokens of a store",
            replace("access_token =", "access_token_file = \"t\"\naccess_token ="),
            vec!["access_token", "access_token_file", "keep one"],
        ),
        (
            "both tokens of a channel",
            replace("site =", "token_file = \"t\"\nsite ="),
            vec!["token", "token_file", "keep one"],
        ),
        (
            "both secrets",
            replace("webhook_secret =", "webhook_secret_file = \"t\"\nwebhook_secret ="),
            vec!["webhook_secret", "webhook_secret_file", "keep one"],
        ),
        ("no token", replace("access_token =", "#"), vec!["access_token", "missing", "access_token_file"]),
        ("an empty token", replace("\"sandbox-abaha-token\"", "\" \""), vec!["mau-abaha", "token", "missing"]),
        ("no webhook secret", replace("webhook_secret =", "#"), vec!["cuahangmau", "webhook_secret", "missing"]),
        (
            "a source that nobody verifies",
            replace("webhook_header =", "#"),
            vec!["webhook_header", "missing", "webhook_secret"],
        ),
        (
            "a header without a value",
            replace("value = \"sandbox-abaha-key\"", "value = \"\""),
            vec!["webhook_header", "not empty"],
        ),
        (
            "a file that is not there",
            replace("access_token = \"sandbox-access-token\"", "access_token_file = \"nowhere\""),
            vec!["access_token_file", "nowhere", "cannot be read"],
        ),
        (
            "an empty file",
            replace("access_token = \"sandbox-access-token\"", "access_token_file = \"empty\""),
            vec!["access_token_file", "empty"],
        ),
        (
            "a number as token",
            replace("access_token = \"sandbox-access-token\"", "access_token = 123456789"),
            vec!["access_token", "string"],
        ),
        (
            "a secret without quotes",
            replace("\"sandbox-access-token\"", "another-secret"),
            vec!["line 4", "access_token"],
        ),
        ("a number as secret", replace("[\"sandbox-webhook-secret\"]", "123456789"), vec!["webhook_secret", "text"]),
        ("a token as switch", replace("products = true", "products = \"another-secret\""), vec!["products", "boolean"]),
        ("a word as branch", replace("branch = 58001", "branch = \"another-secret\""), vec!["branch"]),
        (
            "an unknown profile",
            replace("orders = true", "orders = true\nstatus_profile = \"three\""),
            vec!["status_profile", "two-class", "detailed"],
        ),
        (
            "a buffer over 100",
            replace("orders = true", "orders = true\nstock_buffer = { percent = 101 }"),
            vec!["stock_buffer", "at most 100"],
        ),
        (
            "a time that is none",
            replace("orders = true", "orders = true\norders_from = \"gestern\""),
            vec!["orders_from", "2026-01-01T00:00:00Z"],
        ),
        (
            "a returned code that is taken",
            replace("orders = true", "orders = true\nreturned_code = 25"),
            vec!["returned_code", "Hoàn hàng"],
        ),
        ("another channel", replace("channel = \"abaha\"", "channel = \"shopee\""), vec!["channel", "abaha"]),
        ("a name with blanks", replace("name = \"mau-abaha\"", "name = \"mau abaha\""), vec!["name", "letters"]),
        ("an empty site", replace("site = \"501\"", "site = \"\""), vec!["site", "empty"]),
    ];
    for (what, text, words) in cases {
        let error = file::parse(&text, world.dir.path()).expect_err(what);
        check_message(what, &error, &words);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shop_does_not_accept_is_refused_before_anything_is_written() {
    let world = World::new().await;
    let text = world.connections(ALL, "");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let (omni, abaha) = (world.sandbox.omni_url(), world.sandbox.abaha_url());
    let cases = [
        (
            "a token that Sapo refuses",
            ("sandbox-access-token", "another-secret"),
            vec!["cuahangmau", "access_token", "refuses", "make a new one"],
        ),
        (
            "a token that Abaha refuses",
            ("sandbox-abaha-token", "another-secret"),
            vec!["mau-abaha", "token", "refuses", "copy it again"],
        ),
        (
            "a shop that cannot be reached",
            (omni.as_str(), nobody.as_str()),
            vec!["cuahangmau", "base_url", "cannot be reached", "--offline"],
        ),
        (
            "a site that cannot be reached",
            (abaha.as_str(), nobody.as_str()),
            vec!["mau-abaha", "base_url", "cannot be reached", "--offline"],
        ),
        (
            "a branch that the shop does not have",
            ("branch = 58001", "branch = 58009"),
            vec!["branch", "58009", "58001 (Chi nhánh Hà Nội)", "58002"],
        ),
        ("a staff member", ("staff = 72001", "staff = 1"), vec!["staff", "72001 (Nhân viên Mẫu)"]),
        ("a source", ("source = 387002", "source = 3"), vec!["source", "387002 (Abaha)"]),
        (
            "a payment method",
            ("payment_method = 220001", "payment_method = 5"),
            vec!["payment_method", "220001 (Chuyển khoản)"],
        ),
        (
            "a store that is not there",
            ("store = \"cuahangmau\"", "store = \"khac\""),
            vec!["store", "khac", "add a [[store]]"],
        ),
        (
            "a site that is connected",
            ("name = \"mau-abaha\"", "name = \"hai\""),
            vec!["site", "501", "mau-abaha", "one active connection"],
        ),
        ("an address that is none", (omni.as_str(), "nowhere"), vec!["cuahangmau", "base_url", "https://HOST"]),
    ];
    let known = world.store().snapshot().await.unwrap().stamp;
    for (what, (from, to), words) in cases {
        let changed = text.replacen(from, to, 1).replacen("customers = true", "customers = false", 1);
        let error = try_apply(&world, &changed, false).await.expect_err(what);
        check_message(what, &error, &words);
        assert_eq!(world.store().snapshot().await.unwrap().stamp, known, "{what}: nothing is written");
    }
    assert!(world.store().snapshot().await.unwrap().connections[CONNECTION].connection.settings.customers);
    // Later, without the shop.
    let parsed = file::parse(&text.replacen("branch = 58001", "branch = 58009", 1), world.dir.path()).unwrap();
    let context = world.running().context();
    let offline = apply(&context.store, &context.http, &parsed, false, true, "test").await.unwrap();
    assert_eq!(offline.changes, ["connection mau-abaha: branch 58001 → 58009"]);
    world.apply(&text).await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_ones_own_needs_the_setting() {
    let world = World::new().await;
    let strict = Config { allow_custom_hosts: false, ..world.config.clone() };
    let sender = app::sender(&strict, world.store().clock()).unwrap();
    let text = world.connections(ALL, "");
    let store_only = text.replacen(&format!("base_url = \"{}\"", world.sandbox.omni_url()), "", 1);
    for (what, text, words) in [
        ("the store's", text.clone(), ["store", "cuahangmau"]),
        ("the channel's", store_only, ["connection", "mau-abaha"]),
    ] {
        let parsed = file::parse(&text, world.dir.path()).unwrap();
        let error = apply(world.store(), &sender, &parsed, false, true, "test").await.expect_err(what);
        check_message(what, &error, &words);
        check_message(what, &error, &["base_url", "127.0.0.1", "SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS"]);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_file_of_the_data_dir_in_plain() {
    let mut world = World::on_files(Setup::default()).await;
    let omni = world.sandbox.omni();
    // Calls that fail in every way put addresses and answers into the story.
    for effect in [
        ApiEffect::Status { code: 500, retry_after: None },
        ApiEffect::ResetBefore,
        ApiEffect::WrongJson,
        ApiEffect::HtmlError(502),
    ] {
        world.sandbox.faults().api(ApiFault {
            api: Api::Abaha,
            method: None,
            path: "product".into(),
            skip: 0,
            times: 1,
            effect,
        });
    }
    omni.add_product(&json!({"name": "Áo", "variants": [{"sku": "S", "retail": 1_000}]})).unwrap();
    omni.add_customer("Lê Văn Thử", Some("0912000001"));
    world.quiet().await;
    let text = world.connections(ALL, "");
    let _refused = try_apply(&world, &text.replace("sandbox-access-token", "another-secret"), false).await.unwrap_err();
    world.stop().await;
    let mut looked = 0;
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in SECRETS.iter().chain(&["another-secret"]) {
            let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!there, "{secret} stands in {}", path.display());
        }
        looked += usize::from(bytes.windows(CONNECTION.len()).any(|window| window == CONNECTION.as_bytes()));
    }
    assert!(looked > 0, "the connection is stored here");
    world.start().await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_paused_is_taken_and_kept_and_goes_once_it_is_resumed() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    let product = json!({"name": "Áo", "variants": [{"sku": "P", "retail": 1_000, "stock": {"58001": 2}}]});
    let first = omni.add_product(&product).unwrap();
    world.quiet().await;
    let started = world.store().snapshot().await.unwrap().connections[CONNECTION].connection.start_line();
    world.pause().await;
    world.sandbox.clear_calls();
    let variant = omni.variant_by_sku("P").unwrap();
    for price in 1..=20 {
        omni.set_price(variant, dong(price * 1_000)).unwrap();
    }
    let customer = omni.add_customer("Lê Văn Thử", Some("0912000001"));
    world.quiet().await;
    assert!(world.sandbox.webhooks_sent().iter().all(|sent| sent.answer == Some(200)), "they are taken");
    assert!(world.sandbox.calls().is_empty());
    let mut parked: Vec<_> = world.parked().await.into_iter().map(|row| (row.object_id, row.cause)).collect();
    parked.sort();
    let mut expected = vec![(first.to_string(), "paused".to_owned()), (customer.to_string(), "paused".to_owned())];
    expected.sort();
    assert_eq!(parked, expected, "one row an object");

    world.resume().await;
    world.quiet().await;
    assert_eq!(world.on_abaha("P")["price"], 20_000);
    assert!(world.sandbox.abaha().customer_by_tel("0912000001").is_some());
    assert_eq!(world.sandbox.call_count(Api::Abaha, "", "product/update$"), 1, "twenty changes, one call");
    let now = world.store().snapshot().await.unwrap().connections[CONNECTION].connection.start_line();
    assert_eq!(now, started, "a pause moves no line");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_app_is_believed_only_after_a_read() {
    let world = World::new().await;
    let omni = world.sandbox.omni();
    omni.add_product(&json!({"name": "Áo", "variants": [{"sku": "U", "retail": 1_000}]})).unwrap();
    world.quiet().await;
    let state = async || world.store().snapshot().await.unwrap().connections[CONNECTION].connection.state;
    let notice = async || {
        let body = json!({"tenant_id": world.sandbox.config().tenant_id}).to_string();
        let status = post_signed(&world, "app/uninstalled", &body).await;
        world.quiet().await;
        status
    };
    assert_eq!(notice().await, 200);
    let events = world.events().await;
    assert_eq!(events.last().unwrap().code, "still_installed");
    assert_eq!(state().await, State::Active);

    let refused = ApiEffect::Status { code: 401, retry_after: None };
    world.sandbox.faults().api(ApiFault {
        api: Api::Omni,
        method: None,
        path: String::new(),
        skip: 0,
        times: u32::MAX,
        effect: refused,
    });
    assert_eq!(notice().await, 200);
    let event = world.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.code.as_str()), (Kind::Shop.as_str(), "stopped"));
    assert_eq!(event.source, System::Omni.as_str());
    assert_eq!(state().await, State::Stopped);
    world.running().context().snapshot.refresh().await.unwrap();

    world.sandbox.faults().clear();
    world.sandbox.clear_calls();
    omni.set_price(omni.variant_by_sku("U").unwrap(), dong(9_000)).unwrap();
    world.quiet().await;
    assert!(world.sandbox.calls().is_empty());
    assert_eq!(world.on_abaha("U")["price"], 1_000);
    let links = sapo_sync::store::links::LinkFilter { limit: 10, ..Default::default() };
    assert_eq!(world.store().list_links(&links).await.unwrap().len(), 1, "its links are kept");
    world.finish(&[]).await;
}

/// Sends a webhook of the shop's, rightly signed.
async fn post_signed(world: &World, topic: &str, body: &str) -> u16 {
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let config = world.sandbox.config();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(config.webhook_secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let request = reqwest::Client::builder().no_proxy().build().unwrap().post(format!(
        "{}/webhooks/omni/{}",
        world.url(),
        config.alias
    ));
    let request = request.header("x-sapo-topic", topic).header("x-sapo-hmac-sha256", signature).body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_came_truncated_is_refused_and_its_repetition_taken() {
    let world = World::new().await;
    world.sandbox.faults().webhook(WebhookFault {
        api: Api::Omni,
        topic: String::new(),
        skip: 0,
        times: 1,
        effect: WebhookEffect::Truncate,
    });
    let product = json!({"name": "Áo", "variants": [{"sku": "TR", "retail": 1_000}]});
    let id = world.sandbox.omni().add_product(&product).unwrap();
    world.quiet().await;
    let answers: Vec<_> =
        world.sandbox.webhooks_sent().iter().filter(|sent| sent.object_id == id).map(|sent| sent.answer).collect();
    assert_eq!(answers, [Some(401), Some(200)]);
    assert_eq!(world.on_abaha("TR")["price"], 1_000);
    assert_eq!(world.events_of(id).await.len(), 1, "the refusal leaves no row");
    world.finish(&[]).await;
}
