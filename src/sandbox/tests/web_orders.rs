use serde_json::{Value, json};

use super::support::{client, fields, sample, two_sites, web};
use crate::sandbox::{PlaceWebOrder, Sandbox, WebBuyer};

/// Two of the first variant, the delivery 30,000.
fn two(variant: u64) -> PlaceWebOrder {
    PlaceWebOrder { lines: vec![(variant, 2.into())], shipping: 30_000.into(), ..PlaceWebOrder::default() }
}

async fn listed(sandbox: &Sandbox, query: &str) -> Vec<Value> {
    let (status, body) = web(sandbox, "webmau", "GET", &format!("orders.json{query}"), None).await.unwrap();
    assert_eq!(status, 200);
    body["orders"].as_array().unwrap().iter().map(|order| order["name"].clone()).collect()
}

#[tokio::test]
async fn an_order_has_every_field_of_the_samples_and_holds_its_stock() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let id = sandbox.web("webmau").place_order(two(ids.variants[0]));
    let (_, body) = web(&sandbox, "webmau", "GET", &format!("orders/{id}.json"), None).await.unwrap();
    let order = &body["order"];
    let wanted = sample(include_str!("../../../tests/fixtures/web/webhook-orders-create.json"));
    assert_eq!((id, fields(order)), (174_100_001, fields(&wanted)));
    for part in ["customer", "shipping_address", "billing_address"] {
        assert_eq!(fields(&order[part]), fields(&wanted[part]), "{part}");
    }
    for list in ["line_items", "shipping_lines"] {
        assert_eq!(fields(&order[list][0]), fields(&wanted[list][0]), "{list}");
    }
    assert_eq!((&order["name"], &order["order_number"]), (&json!("#1001"), &json!(1001)));
    assert_eq!(order["total_price"].to_string(), "260000.0");
    assert_eq!((&order["status"], &order["financial_status"]), (&json!("open"), &json!("pending")));
    assert_eq!(order["shipping_address"]["name"], "Trần Thị Mẫu");
    assert_eq!(order["shipping_lines"][0]["price"], 30_000.0);
    let variant = sandbox.web("webmau").variant(ids.variants[0]).unwrap();
    assert_eq!(variant["inventory_quantity"], 10);
    let (_, levels) =
        web(&sandbox, "webmau", "GET", "inventory_levels?inventory_item_ids=147100001", None).await.unwrap();
    let level = &levels["inventory_levels"][0];
    assert_eq!([&level["on_hand"], &level["available"], &level["committed"]], [12.0, 10.0, 2.0]);
    // Every site counts its own.
    let other = sandbox.web("webhai").place_order(PlaceWebOrder::default());
    assert_eq!(sandbox.web("webhai").order(other).unwrap()["name"], "#1001");
    assert_ne!(other, id);
}

#[tokio::test]
async fn lists_show_one_status_and_any_shows_nothing() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let web_site = sandbox.web("webmau");
    let orders: Vec<u64> = (0..3).map(|_| web_site.place_order(two(ids.variants[0]))).collect();
    web_site.close_order(orders[1]).unwrap();
    web_site.cancel_order(orders[2]).unwrap();
    assert_eq!(listed(&sandbox, "").await, ["#1001"]);
    assert_eq!(listed(&sandbox, "?status=open&fields=id").await, ["#1001"]);
    assert_eq!(listed(&sandbox, "?status=closed").await, ["#1002"]);
    assert_eq!(listed(&sandbox, "?status=cancelled").await, ["#1003"]);
    assert!(listed(&sandbox, "?status=any").await.is_empty());
    let (_, count) = web(&sandbox, "webmau", "GET", "orders/count.json?status=closed", None).await.unwrap();
    assert_eq!(count["count"], 1);
    let (_, body) = web(&sandbox, "webmau", "GET", "orders.json?fields=id", None).await.unwrap();
    assert!(body["orders"][0]["line_items"].is_array(), "fields is ignored");
}

#[tokio::test]
async fn money_comes_in_parts_and_goes_back() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let site = sandbox.web("webmau");
    let id = site.place_order(two(ids.variants[0]));
    let state = |field: &str| sandbox.web("webmau").order(id).unwrap()[field].clone();
    site.set_partially_paid(id, 100_000).unwrap();
    assert_eq!((state("financial_status"), state("total_received")), (json!("partially_paid"), json!(100_000.0)));
    let path = format!("orders/{id}/transactions.json");
    let (status, body) =
        web(&sandbox, "webmau", "POST", &path, Some(&json!({"transaction": {"kind": "capture"}}))).await.unwrap();
    assert_eq!((status, &body["transaction"]["amount"]), (201, &json!(160_000.0)));
    assert_eq!((state("financial_status"), state("unpaid_amount")), (json!("paid"), json!(0.0)));
    assert!(site.set_paid(id).is_err());
    site.refund_part(id, 60_000).unwrap();
    assert_eq!(state("financial_status"), "partially_refunded");
    site.refund(id).unwrap();
    assert_eq!((state("financial_status"), state("total_refunded")), (json!("refunded"), json!(260_000.0)));
    let (_, body) = web(&sandbox, "webmau", "GET", &path, None).await.unwrap();
    assert_eq!(body["transactions"].as_array().unwrap().len(), 4);
    for word in ["authorized", "partially_paid", "paid", "partially_refunded", "refunded", "voided", "pending"] {
        let placed = site.place_order(PlaceWebOrder { financial_status: word.into(), ..two(ids.variants[0]) });
        assert_eq!(site.order(placed).unwrap()["financial_status"], word);
    }
}

#[tokio::test]
async fn an_order_is_cancelled_once_and_not_after_it_was_sent() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let site = sandbox.web("webmau");
    let (first, second) = (site.place_order(two(ids.variants[0])), site.place_order(two(ids.variants[0])));
    let cancel = async |id: u64| {
        let body = json!({"reason": "customer"});
        web(&sandbox, "webmau", "POST", &format!("orders/{id}/cancel.json"), Some(&body)).await.unwrap()
    };
    let (status, body) = cancel(first).await;
    assert_eq!(
        (status, &body["order"]["status"], &body["order"]["cancel_reason"]),
        (200, &json!("cancelled"), &json!("customer"))
    );
    assert_eq!(site.stock(ids.variants[0]), Some(10.into()));
    let (status, body) = cancel(first).await;
    assert!(status == 422 && body["errors"].as_str().unwrap().contains("already"), "{body}");
    let send = json!({"fulfillment": {"tracking_number": "GH1", "line_items": [{"id": site.order(second).unwrap()["line_items"][0]["id"], "quantity": 1}]}});
    let path = format!("orders/{second}/fulfillments.json");
    let (status, body) = web(&sandbox, "webmau", "POST", &path, Some(&send)).await.unwrap();
    assert_eq!((status, &body["fulfillment"]["tracking_number"]), (201, &json!("GH1")));
    assert_eq!(site.order(second).unwrap()["fulfillment_status"], "partial");
    let rest = json!({"fulfillment": {}});
    assert_eq!(web(&sandbox, "webmau", "POST", &path, Some(&rest)).await.unwrap().0, 201);
    assert_eq!(web(&sandbox, "webmau", "POST", &path, Some(&rest)).await.unwrap().0, 422);
    assert_eq!(site.order(second).unwrap()["fulfillment_status"], "fulfilled");
    assert_eq!(site.fulfillments(second).len(), 2);
    assert_eq!(site.stock(ids.variants[0]), Some(10.into()));
    assert_eq!(cancel(second).await.0, 422);
    assert!(site.fulfil_order(first).is_err());
}

#[tokio::test]
async fn odd_orders_are_written_as_they_are() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let site = sandbox.web("webmau");
    let nobody = site.place_order(PlaceWebOrder {
        lines: vec![(ids.variants[1], "0.5".parse().unwrap())],
        free_form: Some(("Phụ thu".into(), 15_000.into())),
        customer: None,
        address: false,
        test: true,
        created_on: Some("2026-03-02T02:01:04Z".into()),
        ..PlaceWebOrder::default()
    });
    site.text_money(nobody, true);
    let order = site.order(nobody).unwrap();
    assert_eq!([&order["customer"], &order["shipping_address"], &order["phone"]], [&Value::Null; 3]);
    assert_eq!((&order["total_price"], &order["test"]), (&json!("72500.00"), &json!(true)));
    assert_eq!(order["created_on"], "2026-03-02T02:01:04Z");
    assert_eq!(
        (&order["line_items"][0]["quantity"], &order["line_items"][1]["variant_id"]),
        (&json!(0.5), &Value::Null)
    );
    let by_mail = WebBuyer { phone: None, email: Some("mau@example.com".into()), ..WebBuyer::default() };
    let mailed = site.place_order(PlaceWebOrder { customer: Some(by_mail.clone()), ..two(ids.variants[0]) });
    site.place_order(PlaceWebOrder { customer: Some(by_mail), ..two(ids.variants[0]) });
    assert_eq!(site.order(mailed).unwrap()["shipping_address"]["phone"], "+84912000001", "an address has a phone");
    let (_, found) = web(&sandbox, "webmau", "GET", "customers/search.json?query=mau@example", None).await.unwrap();
    assert_eq!((found["customers"].as_array().unwrap().len(), &found["customers"][0]["orders_count"]), (1, &json!(2)));
    site.change_order(mailed, |order| order["total_price"] = json!(1)).unwrap();
    assert_eq!(site.order(mailed).unwrap()["total_price"], 1);
    let path = format!("orders/{mailed}.json");
    let (status, body) =
        web(&sandbox, "webmau", "PUT", &path, Some(&json!({"order": {"line_items": []}}))).await.unwrap();
    assert_eq!((status, body), (422, json!({"errors": {"line_items": "is protected"}})));
    let (_, body) =
        web(&sandbox, "webmau", "PUT", &path, Some(&json!({"order": {"note": "gọi trước"}}))).await.unwrap();
    assert_eq!(body["order"]["note"], "gọi trước");
}

#[tokio::test]
async fn the_control_api_places_web_orders_and_shows_the_sites() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let call = async |method: &str, path: &str, body: Value| {
        let url = format!("{}/{path}", sandbox.control_url());
        let answer = client().request(method.parse().unwrap(), url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let order = json!({"lines": [{"sku": "AT-S", "quantity": 2}], "customer": null, "financial_status": "paid"});
    let (status, made) = call("POST", "web/webmau/orders", order).await;
    assert_eq!(status, 200);
    let (_, order) = call("GET", &format!("web/webmau/orders/{}", made["id"]), json!({})).await;
    assert_eq!((&order["financial_status"], &order["customer"]), (&json!("paid"), &Value::Null));
    call("POST", &format!("web/webmau/orders/{}/cancel", made["id"]), json!({})).await;
    let (_, state) = call("GET", "state", json!({})).await;
    assert_eq!(state["web"]["webmau"]["orders"], json!({"cancelled": 1}));
    assert_eq!(state["web"]["webhai"]["products"], 0);
    assert_eq!(call("GET", "web/khongco/orders", json!({})).await.0, 404);
    let (status, _) =
        call("POST", "faults", json!({"api": "web", "site": "webmau", "effect": "html_error", "code": 502})).await;
    assert_eq!(status, 200);
    assert_eq!(web(&sandbox, "webmau", "GET", "shop", None).await.unwrap().0, 502);
}
