use serde_json::{Value, json};

use super::support::{Receiver, abaha, client, sandbox};
use crate::sandbox::{Api, PlaceAbahaOrder};

fn product(code: &str) -> Value {
    json!({"product_code": code, "name": "Áo thun", "price": 120_000, "price_sale": 120_000, "quantity": 5})
}

#[tokio::test]
async fn refusals_come_with_http_200_and_a_bad_token_does_not() {
    let sandbox = sandbox(|_| {}).await;
    let (status, body) = abaha(&sandbox, "product/create", &product("AT-S")).await;
    assert_eq!((status, &body), (200, &json!({"status": 200, "message": "", "data": {"id": 800_001}})));
    let (status, body) = abaha(&sandbox, "product/create", &product("AT-S")).await;
    assert_eq!((status, &body), (200, &json!({"status": 0, "message": "Mã sản phẩm đã tồn tại", "data": null})));
    let url = format!("{}/product/index?token=wrong", sandbox.abaha_url());
    let answer = client().post(url).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], 401);
    assert!(sandbox.calls().iter().all(|call| !call.query.contains("token")));
    assert_eq!(sandbox.call_count(Api::Abaha, "POST", "product/create"), 2);
}

#[tokio::test]
async fn two_equal_posts_make_two_orders_that_keep_their_pos_id() {
    let sandbox = sandbox(|_| {}).await;
    abaha(&sandbox, "product/create", &product("AT-S")).await;
    abaha(&sandbox, "customer/create", &json!({"name": "Khách", "tel": "+84 912 000 001"})).await;
    let order = json!({
        "product_items": [{"product_code": "AT-S", "quantity": 2, "price": 120_000}],
        "fee": {"price": 30_000, "name": "Phí ship"}, "tel": "0912000001", "status": 5, "pos_id": 14_800_001, "pos_type": "sapopos"
    });
    abaha(&sandbox, "order/create", &order).await;
    abaha(&sandbox, "order/create", &order).await;
    let kept = sandbox.abaha().orders_by_pos_id(14_800_001);
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0]["customer_id"], 700_001);
    assert_eq!(kept[0]["product_items"][0]["product_id"], 800_001);
    assert!(kept[0].get("total").is_none());
    let (_, body) = abaha(&sandbox, "order/index", &json!({"limit": 1, "page": 2, "status": 5})).await;
    assert_eq!([&body["data"]["total"], &body["data"]["items"][0]["id"]], [&json!(2), &json!(900_001)]);
    let unknown = json!({"product_items": [{"product_code": "X", "quantity": 1, "price": 1}], "tel": "0912000001"});
    assert_eq!(abaha(&sandbox, "order/create", &unknown).await.1["message"], "Sản phẩm không tồn tại");
}

#[tokio::test]
async fn a_site_that_does_not_keep_pos_id_writes_null() {
    let sandbox = sandbox(|config| config.keeps_pos_id = false).await;
    abaha(&sandbox, "product/create", &product("AT-S")).await;
    let order =
        json!({"product_items": [{"product_code": "AT-S", "quantity": 1, "price": 1}], "tel": "09", "pos_id": 1});
    abaha(&sandbox, "order/create", &order).await;
    assert_eq!(sandbox.abaha().order(900_001).unwrap()["pos_id"], Value::Null);
}

#[tokio::test]
async fn customers_are_found_by_their_national_form_and_are_unique() {
    let sandbox = sandbox(|_| {}).await;
    abaha(&sandbox, "customer/create", &json!({"name": "Khách", "tel": "84912000001"})).await;
    let (_, found) = abaha(&sandbox, "customer/info", &json!({"tel": "0912 000 001"})).await;
    assert_eq!(found["data"]["tel"], "84912000001");
    let (_, twice) = abaha(&sandbox, "customer/create", &json!({"name": "Khách", "tel": "0912000001"})).await;
    assert_eq!(twice["message"], "Số điện thoại đã tồn tại");
    assert_eq!(abaha(&sandbox, "customer/info", &json!({"tel": "0999"})).await.1["status"], 0);
}

#[tokio::test]
async fn a_form_does_as_well_as_json() {
    let sandbox = sandbox(|_| {}).await;
    let url = format!("{}/product/create", sandbox.abaha_url());
    let form = json!({"token": sandbox.config().abaha_token, "product_code": "A/1", "name": "Áo", "quantity": "7", "price": "1000"});
    client().post(url).form(&form).send().await.unwrap();
    let found = sandbox.abaha().product_by_code("A/1");
    assert_eq!([&found[0]["quantity"], &found[0]["price"]], [7, 1000]);
}

#[tokio::test]
async fn webhooks_carry_the_envelope_the_secret_header_and_a_signature_where_set() {
    let sandbox = sandbox(|config| config.abaha_secret = Some("secret".into())).await;
    let receiver = Receiver::start(&sandbox).await;
    let lines = vec![("AT-S".to_owned(), 2.into(), 120_000.into())];
    let id = sandbox.abaha().place_order(&PlaceAbahaOrder { lines, paid: true, ..PlaceAbahaOrder::default() }).unwrap();
    sandbox.webhooks_settled().await;
    sandbox.abaha().set_status(id, 30, Some("Hoàn hàng")).unwrap();
    sandbox.webhooks_settled().await;
    let came = receiver.came();
    assert_eq!(receiver.topics(), ["order.created", "order.updated"]);
    assert_eq!(came[0].path, "/webhooks/abaha/501");
    assert_eq!(came[0].header("x-abaha-key"), "sandbox-abaha-key");
    let signed = crate::sandbox::sign::base64_signature("secret", &came[0].body);
    assert_eq!(came[0].header("x-abaha-hmac-sha256"), signed);
    assert_eq!([&came[0].json()["site_id"], &came[0].json()["data"]["payment_status"]], [501, 5]);
    let (before, after) = (came[0].json(), came[1].json());
    assert_eq!(after["data"]["status_view"], "Hoàn hàng");
    assert!(before["data"]["updated_at"].as_str() < after["data"]["updated_at"].as_str());
}
