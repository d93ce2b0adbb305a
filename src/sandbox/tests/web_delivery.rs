use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::support::{Came, Receiver, client, omni, sample_order, small, two_sites, web};
use crate::sandbox::sign::base64_signature;
use crate::sandbox::{
    Api, PlaceWebOrder, Sandbox, SandboxConfig, TrafficConfig, WebBuyer, WebSite, WebhookEffect, WebhookFault, traffic,
};

fn order(variant: u64) -> PlaceWebOrder {
    PlaceWebOrder { lines: vec![(variant, 1.into())], ..PlaceWebOrder::default() }
}

fn sorted(receiver: &Receiver) -> Vec<String> {
    let mut topics = receiver.topics();
    topics.sort();
    topics
}

fn of(receiver: &Receiver, topic: &str) -> Came {
    receiver.came().into_iter().find(|came| came.header("x-sapo-topic") == topic).unwrap()
}

#[tokio::test]
async fn a_web_webhook_is_the_bare_object_signed_by_its_site() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let receiver = Receiver::start(&sandbox).await;
    let id = sandbox.web("webmau").place_order(order(ids.variants[0]));
    sandbox.webhooks_settled().await;
    assert_eq!(sorted(&receiver), ["customers/create", "inventory_levels/update", "orders/create", "products/update"]);
    let came = of(&receiver, "orders/create");
    assert_eq!(came.path, "/webhooks/web/webmau");
    assert_eq!((&came.json()["id"], &came.json()["name"]), (&json!(id), &json!("#1001")));
    assert_eq!(came.header("x-sapo-shop-domain"), "webmau.mysapo.net");
    assert_eq!(came.header("x-sapo-test"), "false");
    let secret = &sandbox.web("webmau").config().webhook_secret;
    assert_eq!(came.header("x-sapo-hmac-sha256"), base64_signature(secret, &came.body));
    assert_ne!(*secret, sandbox.web("webhai").config().webhook_secret);
    assert_eq!(of(&receiver, "products/update").json()["variants"][0]["inventory_quantity"], 11);
}

#[tokio::test]
async fn the_steps_of_an_order_have_the_topics_of_sapo_web() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let site = sandbox.web("webmau");
    let id = site.place_order(order(ids.variants[0]));
    let other = site.place_order(order(ids.variants[1]));
    let receiver = Receiver::start(&sandbox).await;
    let told = async |step: &dyn Fn()| {
        let before = receiver.came().len();
        step();
        sandbox.webhooks_settled().await;
        let mut topics = receiver.topics()[before..].to_vec();
        topics.retain(|topic| topic.starts_with("orders/") || topic.starts_with("refunds/"));
        topics.sort();
        topics
    };
    assert_eq!(told(&|| site.set_partially_paid(id, 15_000).unwrap()).await, ["orders/updated"]);
    assert_eq!(told(&|| site.set_paid(id).unwrap()).await, ["orders/paid", "orders/updated"]);
    assert_eq!(told(&|| site.fulfil_order(id).unwrap()).await, ["orders/fulfilled", "orders/updated"]);
    assert_eq!(told(&|| site.refund(id).unwrap()).await, ["orders/updated", "refunds/create"]);
    assert_eq!(told(&|| site.close_order(id).unwrap()).await, ["orders/updated"]);
    assert_eq!(told(&|| site.cancel_order(other).unwrap()).await, ["orders/cancelled", "orders/updated"]);
    assert_eq!(told(&|| site.delete_order(other).unwrap()).await, ["orders/delete"]);
    assert!(site.order(other).is_none());
    let customer = site.customers()[0]["id"].as_u64().unwrap();
    site.change_customer(customer, &WebBuyer { phone: None, ..WebBuyer::default() }).unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!(of(&receiver, "customers/update").json()["phone"], Value::Null);
}

#[tokio::test]
async fn products_are_told_when_they_change_and_when_they_go() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let receiver = Receiver::start(&sandbox).await;
    let site = sandbox.web("webmau");
    site.set_price(ids.variants[0], 99_000).unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!(receiver.topics(), ["products/update"]);
    let body = json!({"variant": {"price": 98_000}});
    web(&sandbox, "webmau", "PUT", &format!("variants/{}", ids.variants[0]), Some(&body)).await.unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!(receiver.came()[1].json()["variants"][0]["price"], 98_000.0, "our own call comes back as an echo");
    site.add_product(crate::sandbox::NewWebProduct::default());
    site.delete_product(ids.id).unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!(sorted(&receiver), ["products/create", "products/delete", "products/update", "products/update"]);
}

#[tokio::test]
async fn a_site_may_wrap_its_bodies_and_use_the_old_names() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let receiver = Receiver::start(&sandbox).await;
    let site = sandbox.web("webmau");
    site.wrap_bodies(true);
    site.old_headers(true);
    site.set_price(ids.variants[0], 1).unwrap();
    sandbox.webhooks_settled().await;
    let came = &receiver.came()[0];
    assert_eq!((came.header("x-bizweb-topic"), came.header("x-sapo-topic")), ("products/update", ""));
    assert_eq!(came.header("x-bizweb-hmac-sha256"), base64_signature(&site.config().webhook_secret, &came.body));
    assert_eq!(came.json()["product"]["id"], ids.id);
    site.wrap_bodies(false);
    site.old_headers(false);
    site.test_header(true);
    site.set_price(ids.variants[0], 2).unwrap();
    sandbox.webhooks_settled().await;
    let came = &receiver.came()[1];
    assert_eq!((came.header("x-sapo-test"), &came.json()["id"]), ("true", &json!(ids.id)));
}

#[tokio::test]
async fn webhooks_of_one_site_fail_and_are_sent_again_by_its_own_schedule() {
    let (sandbox, ids) = two_sites(|config| config.web_sites[0].webhook_retry.truncate(1)).await;
    let receiver = Receiver::start(&sandbox).await;
    receiver.answer(&[500, 500, 500]);
    sandbox.web("webmau").set_price(ids.variants[0], 1).unwrap();
    sandbox.webhooks_settled().await;
    let sent = sandbox.webhooks_sent();
    assert_eq!(sent.iter().map(|sent| sent.try_no).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((sent[0].api, sent[0].site.as_deref()), (Api::Web, Some("webmau")));
    let (topic, effect) = (String::from("products/"), WebhookEffect::Drop);
    let fault = WebhookFault { api: Api::Web, topic, skip: 0, times: 1, effect };
    sandbox.faults().web_webhook("webhai", fault);
    sandbox.web("webhai").add_product(crate::sandbox::NewWebProduct::default());
    sandbox.web("webmau").set_price(ids.variants[0], 2).unwrap();
    sandbox.webhooks_settled().await;
    assert!(sandbox.webhooks_sent()[2..].iter().all(|sent| sent.site.as_deref() == Some("webmau")));
}

#[tokio::test]
async fn an_uninstalled_app_hears_one_last_word() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let receiver = Receiver::start(&sandbox).await;
    sandbox.web("webmau").uninstall();
    sandbox.web("webmau").set_price(ids.variants[0], 1).unwrap();
    sandbox.omni().uninstall();
    sandbox.omni().add_customer("Khách", None);
    sandbox.webhooks_settled().await;
    assert_eq!(receiver.topics(), ["app/uninstalled", "app/uninstalled"]);
    assert_eq!(omni(&sandbox, "GET", "tenant", None).await.unwrap().0, 401);
    sandbox.omni().reinstall();
    assert_eq!(omni(&sandbox, "GET", "tenant", None).await.unwrap().0, 200);
}

async fn registers(sandbox: &Sandbox, base: &str, token: &str) {
    let call = async |method: &str, path: &str, body: Value| {
        let request = client().request(method.parse().unwrap(), format!("{base}/admin/{path}"));
        let answer = request.header("x-sapo-access-token", token).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (topic, address) = ("products/update", "https://a.example/in");
    let hook = json!({"webhook": {"topic": topic, "address": address, "format": "json"}});
    let (status, made) = call("POST", "webhooks.json", hook.clone()).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("webhooks/{}.json", made["webhook"]["id"]);
    let (status, refused) = call("POST", "webhooks.json", hook).await;
    assert_eq!(status, 422);
    assert!(refused.to_string().contains("address for this topic has already been taken"), "{refused}");
    let flat = json!({"topic": "products/delete", "address": address});
    assert_eq!(call("POST", "webhooks", flat).await.0, 201, "a flat body is taken too");
    let (_, changed) = call("PUT", &path, json!({"webhook": {"address": "https://b.example/in"}})).await;
    assert_eq!(changed["webhook"]["address"], "https://b.example/in");
    assert_eq!(call("GET", "webhooks/count.json", json!({})).await.1["count"], 2);
    assert_eq!(call("GET", &path, json!({})).await.1["webhook"]["topic"], topic);
    assert_eq!(call("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(call("DELETE", &path, json!({})).await.0, 404);
    assert_eq!(call("GET", "webhooks.json", json!({})).await.1["webhooks"].as_array().unwrap().len(), 1);
    assert!(sandbox.calls().iter().all(|call| call.status.is_some()));
}

#[tokio::test]
async fn webhooks_are_registered_changed_and_taken_away_on_both_systems() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let token = sandbox.web("webmau").config().access_token.clone();
    registers(&sandbox, &sandbox.web_url("webmau"), &token).await;
    registers(&sandbox, &sandbox.omni_url(), &sandbox.config().access_token).await;
    let wrong = json!({"webhook": {"topic": "orders/update", "address": "https://a.example/in"}});
    let (status, body) = web(&sandbox, "webmau", "POST", "webhooks.json", Some(&wrong)).await.unwrap();
    assert_eq!((status, body), (422, json!({"errors": {"topic": ["is invalid"]}})), "that is Omni's word");
    assert_eq!(sandbox.web("webmau").webhooks().len(), 1);
    assert!(sandbox.web("webmau").remove_webhook("products/delete"));
    assert!(sandbox.web("webmau").webhooks().is_empty());
    assert_eq!(sandbox.omni().registered_webhooks().len(), 1);
}

#[tokio::test]
async fn where_registration_counts_only_registered_topics_go_to_their_addresses() {
    let (sandbox, ids) = two_sites(|config| config.webhooks_need_registration = true).await;
    let receiver = Receiver::start(&sandbox).await;
    let address = second_address(&receiver).await;
    let site = sandbox.web("webmau");
    site.set_price(ids.variants[0], 1).unwrap();
    let hook = json!({"webhook": {"topic": "products/update", "address": format!("{address}/here")}});
    web(&sandbox, "webmau", "POST", "webhooks", Some(&hook)).await.unwrap();
    let hook = json!({"webhook": {"topic": "app/uninstalled", "address": format!("{address}/gone")}});
    web(&sandbox, "webmau", "POST", "webhooks", Some(&hook)).await.unwrap();
    site.set_price(ids.variants[0], 2).unwrap();
    site.place_order(PlaceWebOrder::default());
    sandbox.omni().add_customer("Khách", None);
    let hook = json!({"webhook": {"topic": "customers/create", "address": format!("{address}/omni")}});
    omni(&sandbox, "POST", "webhooks", Some(&hook)).await.unwrap();
    sandbox.omni().add_customer("Khách", None);
    sandbox.webhooks_settled().await;
    site.uninstall();
    sandbox.webhooks_settled().await;
    let mut came: Vec<(String, String)> =
        receiver.came().iter().map(|came| (came.path.clone(), came.header("x-sapo-topic").to_owned())).collect();
    came.sort();
    let wanted = [("/gone", "app/uninstalled"), ("/here", "products/update"), ("/omni", "customers/create")];
    assert_eq!(came, wanted.map(|(path, topic)| (path.to_owned(), topic.to_owned())));
    assert!(site.webhooks().is_empty());
}

/// Another address of a receiver: registered ones need not be the target.
async fn second_address(receiver: &Receiver) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    receiver.serve(listener);
    base
}

#[tokio::test]
async fn traffic_places_pays_and_cancels_on_the_sites_too() {
    let sandbox = Sandbox::start(SandboxConfig {
        products: 30,
        customers: 10,
        web_sites: vec![WebSite::named("webmau"), WebSite::named("webhai")],
        ..SandboxConfig::default()
    })
    .await
    .unwrap();
    let mut news = sandbox.watch();
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (sandbox, stop) = (sandbox.clone(), stop.clone());
        async move { traffic(&sandbox, TrafficConfig { events_per_second: 2000.0, seed: 3 }, stop).await }
    });
    for _ in 0..200 {
        news.recv().await.unwrap();
    }
    stop.cancel();
    running.await.unwrap();
    for alias in ["webmau", "webhai"] {
        let orders = sandbox.web(alias).orders();
        assert!(orders.iter().any(|order| order["financial_status"] == "paid"), "{alias}");
        assert!(orders.iter().any(|order| order["status"] == "cancelled"), "{alias}");
    }
}

#[tokio::test]
async fn the_pos_owner_changes_prices_skus_branches_and_rows() {
    let (sandbox, id) = small().await;
    let shop = sandbox.omni();
    let variant = |index: usize| sandbox.omni().product(id).unwrap()["variants"][index].clone();
    shop.set_list_price(5_700_001, "BANBUON", rust_decimal::Decimal::from(90_000)).unwrap();
    shop.set_list_price(5_700_001, "BANLE", None).unwrap();
    assert_eq!(
        (&variant(0)["variant_whole_price"], &variant(0)["variant_retail_price"]),
        (&json!(90_000), &Value::Null)
    );
    assert_eq!(variant(0)["variant_prices"].as_array().unwrap().len(), 1);
    assert!(shop.set_list_price(5_700_001, "KHAC", None).is_err());
    shop.set_sku(5_700_001, "AT-S2").unwrap();
    assert!(shop.set_sku(5_700_001, "AT-M").unwrap_err().contains("đã trùng"));
    assert_eq!((shop.variant_by_sku("AT-S"), shop.variant_by_sku("AT-S2")), (None, Some(5_700_001)));
    shop.set_stock(5_700_001, 58_001, "-2.5".parse::<rust_decimal::Decimal>().unwrap()).unwrap();
    assert_eq!(variant(0)["inventories"][0]["on_hand"], -2.5);
    shop.remove_stock(5_700_001, 58_001).unwrap();
    let rows = variant(0)["inventories"].as_array().unwrap().len();
    assert_eq!(rows, 1);
    shop.set_primary_branch(None).unwrap();
    shop.remove_branch(58_002).unwrap();
    let (_, body) = omni(&sandbox, "GET", "locations", None).await.unwrap();
    assert_eq!(body["locations"].as_array().unwrap().len(), 1);
    assert_eq!(body["locations"][0]["is_primary"], false);
    assert_eq!(variant(0)["inventories"], json!([]));
    shop.remove_price_list(167_002).unwrap();
    let (_, body) = omni(&sandbox, "GET", "price_lists", None).await.unwrap();
    let codes: Vec<_> = body["price_lists"].as_array().unwrap().iter().map(|list| list["code"].clone()).collect();
    assert_eq!(codes, ["BANLE", "GIANHAP"]);
    let mail = |customer: &mut Value| customer["email"] = json!("mau@example.com");
    shop.change_customer(3_689_001, mail).unwrap();
    let (_, body) = omni(&sandbox, "GET", "customers?query=MAU@example.com", None).await.unwrap();
    assert_eq!(body["metadata"]["total"], 1);
}

#[tokio::test]
async fn a_pos_order_keeps_its_addresses() {
    let (sandbox, _) = small().await;
    let mut wanted = sample_order();
    let address = json!({"address1": "Số 1 phố Thử Nghiệm", "full_name": "Trần Thị Mẫu"});
    wanted["order"]["shipping_address"] = address.clone();
    wanted["order"]["billing_address"] = address.clone();
    let (status, body) = omni(&sandbox, "POST", "orders", Some(&wanted)).await.unwrap();
    assert_eq!(status, 201);
    assert_eq!([&body["order"]["shipping_address"], &body["order"]["billing_address"]], [&address; 2]);
}
