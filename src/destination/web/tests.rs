use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::destination::error::{CallError, ClientError, Done};
use crate::destination::http::tests::{TOKEN, http, token};

use super::client::{PriceChange, WebAccess, WebClient, WebQuery};

macro_rules! sample {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../tests/fixtures/web/", $name, ".json"))).unwrap()
    };
}

async fn web() -> (MockServer, WebClient) {
    let server = MockServer::start().await;
    let client = WebClient::new(&http(), "webmau", WebAccess::Token(token()), Some(&server.uri())).unwrap();
    (server, client)
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn refuses(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

#[tokio::test]
async fn a_private_app_signs_in_with_key_and_secret_below_a_base_address_with_a_path() {
    let server = MockServer::start().await;
    let access = || WebAccess::Private { key: "khoa".into(), secret: token() };
    let base = format!("{}/webmau/", server.uri());
    let client = WebClient::new(&http(), "webmau", access(), Some(&base)).unwrap();
    Mock::given(path("/webmau/admin/store.json"))
        .and(header("Authorization", "Basic a2hvYTp0b3A1ZWNyZXQ="))
        .respond_with(ok(&json!({"store": {"id": 574_001, "name": "Web Mẫu"}})))
        .expect(1)
        .mount(&server)
        .await;
    let shop = client.shop().await.unwrap();
    assert_eq!((shop.id.as_str(), shop.name.as_str()), ("574001", "Web Mẫu"));
    for (key, secret) in [("", "x"), ("a:b", "x"), ("a b", "x"), ("a", "")] {
        let access = WebAccess::Private { key: key.into(), secret: secret.into() };
        assert_eq!(WebClient::new(&http(), "webmau", access, Some(&base)).unwrap_err(), ClientError::Token, "{key:?}");
    }
    assert!(!format!("{client:?} {:?}", access()).contains(TOKEN));
}

#[tokio::test]
async fn only_the_apis_own_host_is_called_unless_others_are_allowed() {
    let strict = crate::destination::Http::new(
        crate::destination::HttpSettings::default(),
        crate::destination::Limits::new(
            crate::domain::clock::Clock::system(),
            crate::destination::Rate::SAPO,
            crate::destination::Rate::ABAHA,
        ),
        crate::domain::clock::Clock::system(),
    )
    .unwrap();
    let made = |site: &str, base: Option<&str>| WebClient::new(&strict, site, WebAccess::Token(token()), base);
    assert!(made("webmau", None).is_ok());
    assert!(made("webmau", Some("https://webmau.mysapo.net")).is_ok());
    for foreign in
        ["https://x.webmau.mysapo.net", "http://webmau.mysapo.net", "https://mysapo.net", "https://a.example"]
    {
        assert!(matches!(made("webmau", Some(foreign)), Err(ClientError::Host(_))), "{foreign}");
    }
    assert!(matches!(made("web.mau", None), Err(ClientError::Name(_))));
}

#[tokio::test]
async fn a_page_survives_a_row_that_cannot_be_read() {
    let (server, client) = web().await;
    let mut body = sample!("get-products");
    body["products"].as_array_mut().unwrap().insert(1, json!({"id": 46_400_099, "name": "no variants"}));
    Mock::given(path("/admin/products.json"))
        .and(header("X-Sapo-Access-Token", TOKEN))
        .and(query_param("page", "2"))
        .and(query_param("limit", "250"))
        .and(query_param("since_id", "46400000"))
        .and(query_param("modified_on_min", "2026-03-02T03:15:23Z"))
        .and(query_param_is_missing("status"))
        .respond_with(ok(&body))
        .mount(&server)
        .await;
    let query = WebQuery {
        page: 2,
        limit: 900,
        since_id: Some("46400000".into()),
        modified_from: Some(1_772_421_323_000),
        ..WebQuery::default()
    };
    let page = client.products(query).await.unwrap();
    assert_eq!((page.items.len(), page.total, page.page, page.limit), (4, None, 2, 250));
    let first = page.items[0].as_ref().unwrap();
    assert_eq!(super::wire::product(&first.raw).unwrap(), first.value);
    let bad = page.items[1].as_ref().unwrap_err();
    assert_eq!((bad.id.as_deref(), bad.reason.as_str()), (Some("46400099"), "the field variants is missing"));
    assert!(page.more(), "without a total only an empty page is the last");
}

#[tokio::test]
async fn orders_are_asked_for_by_one_status() {
    let (server, client) = web().await;
    for status in ["open", "cancelled"] {
        Mock::given(path("/admin/orders.json"))
            .and(query_param("status", status))
            .respond_with(ok(&json!({"orders": [sample!("webhook-orders-create")]})))
            .expect(1)
            .mount(&server)
            .await;
    }
    assert_eq!(client.orders(WebQuery::default()).await.unwrap().into_values().count(), 1);
    let cancelled = WebQuery { status: Some("cancelled"), ..WebQuery::default() };
    assert_eq!(client.orders(cancelled).await.unwrap().into_values().count(), 1);
}

#[tokio::test]
async fn stock_is_written_as_the_sample_has_it() {
    let (server, client) = web().await;
    Mock::given(method("POST"))
        .and(path("/admin/inventory_levels/set.json"))
        .and(body_json(sample!("post-inventory-set-request")))
        .respond_with(ok(&json!({"inventory_level": {}})))
        .expect(1)
        .mount(&server)
        .await;
    client.set_stock(825_001, "147200001", "147100001", 15).await.unwrap();
}

#[tokio::test]
async fn where_levels_cannot_be_set_the_variants_quantity_is() {
    let (server, client) = web().await;
    Mock::given(method("PUT"))
        .and(path("/admin/variants/147200001.json"))
        .and(body_json(json!({"variant": {"id": 147_200_001, "inventory_quantity": 15}})))
        .respond_with(ok(&json!({})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(404).set_body_string("<html>")).mount(&server).await;
    client.set_stock(825_001, "147200001", "147100001", 15).await.unwrap();
}

#[tokio::test]
async fn levels_are_read_at_one_location_and_a_web_that_tells_none_has_none() {
    let (server, client) = web().await;
    let mut body = sample!("get-inventory-levels");
    body["inventory_levels"].as_array_mut().unwrap().push(json!({"id": 1, "inventory_item_id": 147_100_002}));
    // A web that does not know the filter tells of other places too.
    let elsewhere = json!({"id": 2, "inventory_item_id": 147_100_001, "location_id": 825_002, "available": 99});
    body["inventory_levels"].as_array_mut().unwrap().push(elsewhere);
    Mock::given(path("/admin/inventory_levels.json"))
        .and(query_param("location_ids", "825001"))
        .and(query_param("inventory_item_ids", "147100001,147100002"))
        .and(query_param("limit", "250"))
        .respond_with(ok(&body))
        .expect(1)
        .mount(&server)
        .await;
    let items = ["147100001".to_owned(), "147100002".to_owned()];
    let levels = client.levels(825_001, &items).await.unwrap();
    assert_eq!(levels.len(), 1, "a figure that is missing is left out: {levels:?}");
    assert_eq!(levels[&items[0]], 3.into());
    let scope = json!({"errors": "This action requires merchant approval for read_inventory scope."});
    let forbidden = json!({"errors": "Forbidden"});
    let none = ResponseTemplate::new(404).set_body_string("<html>");
    for answer in [none, refuses(403, &scope), refuses(403, &forbidden)] {
        let (server, client) = web().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        assert!(client.levels(825_001, &items).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refused_stock_says_why() {
    let (server, client) = web().await;
    let unmanaged = json!({"errors": "Inventory item does not have inventory tracking enabled"});
    Mock::given(body_json(json!({"location_id": 1, "inventory_item_id": 2, "available": 3})))
        .respond_with(refuses(422, &unmanaged))
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(refuses(404, &json!({"errors": "Not Found"}))).mount(&server).await;
    assert_eq!(client.set_stock(1, "9", "2", 3).await.unwrap_err().code(), "unmanaged");
    assert_eq!(client.set_stock(1, "9", "5", 3).await.unwrap_err(), CallError::NotFound { what: "variant 9".into() });
}

#[tokio::test]
async fn a_price_is_written_alone_and_nothing_to_change_is_no_call() {
    let (server, client) = web().await;
    for variant in [
        json!({"id": 9, "price": 115_000}),
        json!({"id": 9, "price": 115_000.5, "compare_at_price": 150_000}),
        json!({"id": 9, "compare_at_price": null}),
    ] {
        Mock::given(method("PUT"))
            .and(path("/admin/variants/9.json"))
            .and(body_json(json!({ "variant": variant })))
            .respond_with(ok(&json!({})))
            .expect(1)
            .mount(&server)
            .await;
    }
    let change = |price: Option<&str>, compare_at: Option<Option<&str>>| PriceChange {
        price: price.map(|price| price.parse().unwrap()),
        compare_at: compare_at.map(|price| price.map(|price| price.parse().unwrap())),
    };
    client.set_price("9", &change(Some("115000.0"), None)).await.unwrap();
    client.set_price("9", &change(Some("115000.5"), Some(Some("150000")))).await.unwrap();
    client.set_price("9", &change(None, Some(None))).await.unwrap();
    client.set_price("9", &PriceChange::default()).await.unwrap();
}

#[tokio::test]
async fn cancelling_twice_is_already_so() {
    let (server, client) = web().await;
    Mock::given(path("/admin/orders/1/cancel.json"))
        .respond_with(refuses(422, &json!({"errors": {"order": ["Đơn hàng đã bị hủy"]}})))
        .mount(&server)
        .await;
    Mock::given(path("/admin/orders/1/fulfillments.json"))
        .respond_with(refuses(422, &json!({"errors": {"order": ["Đơn hàng đã bị hủy"]}})))
        .mount(&server)
        .await;
    assert!(matches!(client.cancel_order("1").await, Err(CallError::AlreadySo { .. })));
    assert_eq!(client.fulfil_order("1").await.unwrap_err().code(), "conflict_cancelled");
    assert_eq!(client.cancel_order("x").await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn a_short_list_is_read_in_one_call_and_a_long_one_to_its_end() {
    let (server, client) = web().await;
    let rows: Vec<Value> =
        (1..=260).map(|id| json!({"id": id, "topic": "orders/create", "address": "https://x.example"})).collect();
    for (page, rows) in [("1", &rows[..250]), ("2", &rows[250..])] {
        Mock::given(path("/admin/webhooks.json"))
            .and(query_param("page", page))
            .respond_with(ok(&json!({ "webhooks": rows })))
            .expect(1)
            .mount(&server)
            .await;
    }
    Mock::given(path("/admin/locations.json"))
        .respond_with(ok(&json!({"locations": [{"id": 825_001, "name": "Kho"}]})))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(client.webhooks().await.unwrap().len(), 260);
    assert_eq!(client.locations().await.unwrap()[0].id, 825_001);
}

#[tokio::test]
async fn in_a_dry_run_nothing_is_written() {
    let (server, client) = web().await;
    Mock::given(any()).respond_with(ok(&json!({"count": 3}))).expect(1).mount(&server).await;
    let dry = client.dry();
    let Err(CallError::DryRun { would }) = dry.set_stock(1, "9", "2", 3).await else { panic!() };
    assert_eq!(would, "set the stock of variant 9 to 3 on the web");
    let change = PriceChange { price: Some(115_000.into()), compare_at: Some(None) };
    let Err(CallError::DryRun { would }) = dry.set_price("9", &change).await else { panic!() };
    assert_eq!(would, "set the price to 115.000 ₫ and the compare-at price to none of variant 9 on the web");
    for refused in [
        dry.cancel_order("1").await,
        dry.fulfil_order("1").await,
        dry.delete_webhook("1").await,
        dry.update_webhook("1", "orders/create", "https://x.example").await,
        dry.create_webhook("orders/create", "https://x.example").await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(CallError::DryRun { .. })));
    }
    assert_eq!(dry.products_count().await.unwrap(), 3);
}

#[tokio::test]
async fn a_limit_that_is_used_up_and_a_strange_page_are_told_apart_from_a_refusal() {
    let (server, client) = web().await;
    Mock::given(path("/admin/orders/1.json"))
        .respond_with(refuses(429, &json!({"errors": "Exceeded 2 calls per second"})).insert_header("Retry-After", "2"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(ResponseTemplate::new(502).set_body_string("<html>")).mount(&server).await;
    assert_eq!(client.order("1").await.unwrap_err().code(), "throttled");
    let other = WebClient::new(&http(), "webhai", WebAccess::Token(token()), Some(&server.uri())).unwrap();
    let Err(CallError::Failing { code, done, .. }) = other.order("2").await else { panic!() };
    assert_eq!((code, done), ("server_error", Done::Unknown));
}
