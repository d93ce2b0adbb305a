//! What the order tests share: orders placed on either side, and webhooks written and signed by hand.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rust_decimal::Decimal;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, PlaceAbahaOrder, PlaceOrder, Timing, WebhookEffect, WebhookFault};
use sapo_sync::store::intents::IntentKind;
use sapo_sync::store::links::{Link, LinkKind};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{CONNECTION, Setup, World, dong};
use crate::wire;

/// The phone of the fixtures' customer.
pub const TEL: &str = "0912000001";
/// Fixtures are from March 2026, whenever the tests run.
pub const FROM: &str = "orders_from = \"2026-01-01T00:00:00Z\"";

/// A world with more lines in the connection's table.
pub async fn world(extra: &str) -> World {
    World::with(Setup { extra: extra.to_owned(), ..Setup::default() }).await
}

/// Makes a product with one variant on Sapo, 120.000 ₫ each, and gives the variant's id.
pub fn add_product(world: &World, sku: &str) -> u64 {
    let shape = json!({"name": format!("Hàng {sku}"), "variants": [{"sku": sku, "retail": 120_000, "stock": {"58001": 1_000}}]});
    world.sandbox.omni().add_product(&shape).unwrap();
    variant(world, sku)
}

/// The same, waiting until it is linked.
pub async fn linked_product(world: &World, sku: &str) -> u64 {
    let id = add_product(world, sku);
    world.quiet().await;
    assert_eq!(world.sandbox.abaha().product_by_code(sku).len(), 1);
    id
}

/// The products of the fixtures, linked: AT-S 5700001, AT-M 5700002, QV-01 5700003.
pub async fn fixture_products(world: &World) {
    let variants = json!([
        {"sku": "AT-S", "retail": 120_000, "stock": {"58001": 1_000}},
        {"sku": "AT-M", "retail": 120_000, "stock": {"58001": 1_000}}
    ]);
    world.sandbox.omni().add_product(&json!({"name": "Áo thun cổ tròn", "variants": variants})).unwrap();
    add_product(world, "QV-01");
    world.quiet().await;
    assert_eq!(
        (variant(world, "AT-S"), variant(world, "AT-M"), variant(world, "QV-01")),
        (5_700_001, 5_700_002, 5_700_003)
    );
}

pub fn variant(world: &World, sku: &str) -> u64 {
    world.sandbox.omni().variant_by_sku(sku).unwrap()
}

/// An order on Abaha: so many of one SKU at 120.000 ₫.
pub fn order_in(sku: &str, quantity: i64) -> PlaceAbahaOrder {
    PlaceAbahaOrder { lines: vec![(sku.to_owned(), quantity.into(), dong(120_000))], ..PlaceAbahaOrder::default() }
}

/// Places an order on Abaha; its id and its code.
pub fn place_in(world: &World, order: &PlaceAbahaOrder) -> (u64, String) {
    let id = world.sandbox.abaha().place_order(order).unwrap();
    (id, world.sandbox.abaha().order(id).unwrap()["cart_code"].as_str().unwrap().to_owned())
}

/// An order on Sapo: so many of one variant at 120.000 ₫, for somebody with the fixtures' phone.
pub fn order_out(variant: u64, quantity: i64) -> PlaceOrder {
    PlaceOrder {
        phone: Some(TEL.to_owned()),
        lines: vec![(variant, quantity.into(), dong(120_000))],
        ..PlaceOrder::default()
    }
}

pub fn place_out(world: &World, order: PlaceOrder) -> u64 {
    world.sandbox.omni().place_order(order).unwrap()
}

/// The one order on Sapo that was made of an Abaha order.
#[track_caller]
pub fn sapo(world: &World, code: &str) -> Value {
    let mut made = world.sandbox.omni().order_by_reference(code);
    assert_eq!(made.len(), 1, "orders on Sapo for {code}");
    made.remove(0)
}

/// The one order on Abaha that was made of a Sapo order.
#[track_caller]
pub fn abaha(world: &World, pos_id: u64) -> Value {
    let mut made = world.sandbox.abaha().orders_by_pos_id(pos_id);
    assert_eq!(made.len(), 1, "orders on Abaha for {pos_id}");
    made.remove(0)
}

/// How many orders there are on Sapo and on Abaha.
pub fn counts(world: &World) -> (usize, usize) {
    (world.sandbox.omni().orders().len(), world.sandbox.abaha().orders().len())
}

/// How many calls were made that write.
pub fn writes(world: &World, api: Api) -> Vec<String> {
    world.sandbox.calls().into_iter().filter(|call| call.api == api && call.writing).map(|call| call.path).collect()
}

/// The link of an Abaha order.
pub async fn link_in(world: &World, id: u64) -> Link {
    world.store().link_by_channel(CONNECTION, LinkKind::Order, &id.to_string()).await.unwrap().expect("a link")
}

/// The link of a Sapo order.
pub async fn link_out(world: &World, id: u64) -> Link {
    world.store().link_by_sapo(CONNECTION, LinkKind::Order, &id.to_string()).await.unwrap().expect("a link")
}

/// How many intents are open at an account.
pub async fn open_intents(world: &World, account: &str) -> usize {
    world.store().open_intents(account, IntentKind::Order).await.unwrap().len()
}

/// The last outcome, code and reason of an object.
pub async fn reason(world: &World, object: impl ToString) -> (String, String, String) {
    let row = world.events_of(object).await.pop().expect("an event of the object");
    (row.outcome, row.code, row.reason)
}

/// A copy of a sample.
pub fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Posts a body as Sapo does.
pub async fn post_omni(world: &World, topic: &str, body: &Value) {
    let config = world.sandbox.config();
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(config.webhook_secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let answer = wire::client()
        .post(format!("{}/webhooks/omni/{}", world.url(), config.alias))
        .header("x-sapo-topic", topic)
        .header("x-sapo-hmac-sha256", STANDARD.encode(mac.finalize().into_bytes()))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

/// Posts a body as Abaha does.
pub async fn post_abaha(world: &World, body: &Value) {
    let config = world.sandbox.config();
    let (name, value) = config.abaha_header.clone().unwrap();
    let url = format!("{}/webhooks/abaha/{}", world.url(), config.site);
    let answer = wire::client().post(url).header(name, value).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// A whole Abaha order as its webhook carries it, of one line.
pub fn abaha_body(id: u64, updated: &str, line: &Value) -> Value {
    let mut body = fixture("abaha/webhook-order-created");
    body["data"]["id"] = id.into();
    body["data"]["cart_code"] = format!("ABX{id}").into();
    body["data"]["updated_at"] = updated.into();
    body["data"]["product_items"] = json!([line]);
    body["data"]["discount"] = Value::Null;
    body["data"]["fee"] = Value::Null;
    body
}

/// A Sapo order as its webhook carries it: a copy of a sample under another id.
pub fn omni_body(name: &str, id: u64) -> Value {
    let mut body = fixture(&format!("omni/{name}"));
    body["id"] = id.into();
    body["code"] = format!("SON{id}").into();
    body
}

/// So many as a decimal.
pub fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A world that looks again soon.
pub async fn lively(keeps_pos_id: bool) -> World {
    World::with(looks_again_soon(keeps_pos_id)).await
}

/// One that waits for no answer long, either: for answers that never come.
pub async fn impatient(keeps_pos_id: bool) -> World {
    World::with(Setup { call_timeout: NOT_LONG, ..looks_again_soon(keeps_pos_id) }).await
}

/// So long an impatient world waits for an answer. On a busy machine the usual ones take a while, too.
pub const NOT_LONG: Duration = Duration::from_millis(1_500);

fn looks_again_soon(keeps_pos_id: bool) -> Setup {
    let mut setup =
        Setup { settle_after: Duration::from_millis(500), recheck: Duration::from_secs(2), ..Setup::default() };
    setup.sandbox.keeps_pos_id = keeps_pos_id;
    setup
}

/// Waits until it is known of an object that a call of its event may have been carried out. Its story tells of that ever
/// after, whatever a look-up has found meanwhile.
pub async fn unknown_outcome(world: &World, object: impl ToString) {
    let object = object.to_string();
    let told = async || world.events_of(&object).await.iter().any(|row| row.story.contains("\"step\":\"unknown\""));
    world.eventually("a call's outcome is not known", told).await;
}

/// Lets so many `POST`s to a path go wrong.
pub fn fault(world: &World, api: Api, path: &str, times: u32, effect: ApiEffect) {
    world.sandbox.faults().api(ApiFault {
        api,
        method: Some("POST".into()),
        path: path.into(),
        skip: 0,
        times,
        effect,
    });
}

fn lose_webhooks(world: &World, api: Api, topic: &str) {
    world.sandbox.faults().webhook(WebhookFault {
        api,
        topic: topic.into(),
        skip: 0,
        times: u32::MAX,
        effect: WebhookEffect::Drop,
    });
}

/// Says when the webhooks of our own calls come; none loses those of this topic. Ends all other faults.
pub fn set_echo(world: &World, echo: Option<Timing>, api: Api, topic: &str) {
    world.sandbox.faults().clear();
    match echo {
        Some(timing) => world.sandbox.faults().echo_timing(timing),
        None => lose_webhooks(world, api, topic),
    }
}

/// Waits until nothing waits for anything.
pub async fn all_settled(world: &World) {
    world.eventually("nothing waits", || async { world.parked().await.is_empty() }).await;
    world.quiet().await;
}
