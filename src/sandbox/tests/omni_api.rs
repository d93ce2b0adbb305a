use serde_json::{Value, json};

use super::support::{Receiver, client, omni, sample_order, sandbox, small};
use crate::sandbox::{Api, PlaceOrder};

fn message(body: &Value, field: &str) -> String {
    body["data_error"]["errors"][field].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_order_is_made_with_its_total_its_code_and_our_fields() {
    let (sandbox, _) = small().await;
    let (status, body) = omni(&sandbox, "POST", "orders.json", Some(&sample_order())).await.unwrap();
    let order = &body["order"];
    assert_eq!(status, 201, "{body}");
    assert_eq!(order["total"], 370_000);
    assert_eq!(order["code"], "SON000001");
    assert_eq!(order["status"], "draft");
    assert_eq!(order["reference_number"], "ABH000001");
    assert_eq!(order["tags"], json!(["sapo-sync:mau-abaha"]));
    assert_eq!(order["location_id"], 58_001);
    assert_eq!(order["order_line_items"][0]["line_amount"], 240_000);
    assert_eq!(sandbox.omni().order_by_reference("ABH000001").len(), 1);
    // A draft commits nothing.
    assert_eq!(sandbox.omni().product(3_900_001).unwrap()["variants"][0]["inventories"][0]["available"], 12);
}

#[tokio::test]
async fn a_wrong_order_is_refused_field_by_field_and_makes_nothing() {
    let (sandbox, _) = small().await;
    let mut order = sample_order();
    order["order"]["tax_treatment"] = Value::Null;
    order["order"]["shipping_address"] = json!({"full_name": "Trần Thị Mẫu"});
    order["order"]["customer_id"] = json!(1);
    order["order"]["order_line_items"][1]["variant_id"] = json!(1);
    let (status, body) = omni(&sandbox, "POST", "orders", Some(&order)).await.unwrap();
    assert_eq!(status, 422);
    assert_eq!(message(&body, "tax_treatment"), "may not be null");
    assert_eq!(message(&body, "shipping_address.address1"), "may not be empty");
    assert!(!message(&body, "customer_id").is_empty());
    assert!(!message(&body, "order_line_items[1].variant_id").is_empty());
    assert!(sandbox.omni().orders().is_empty());
}

#[tokio::test]
async fn tokens_branches_and_paths_are_checked() {
    let (sandbox, _) = small().await;
    let url = format!("{}/admin/products.json", sandbox.omni_url());
    let wrong = client().get(&url).header("x-sapo-access-token", "wrong").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let old_name =
        client().get(&url).header("x-bizweb-access-token", &sandbox.config().access_token).send().await.unwrap();
    assert_eq!(old_name.headers()["x-sapo-api-call-limit"], "2/40");
    let url = format!("{}/admin/orders.json", sandbox.omni_url());
    let token = &sandbox.config().access_token;
    let no_branch =
        client().post(&url).header("x-sapo-access-token", token).json(&sample_order()).send().await.unwrap();
    assert_eq!(no_branch.status(), 422);
    let (status, page) = omni(&sandbox, "GET", "nothing.json", None).await.unwrap();
    assert_eq!((status, page.is_string()), (404, true));
    let (status, body) = omni(&sandbox, "GET", "orders/1.json", None).await.unwrap();
    assert_eq!((status, &body["error"]["message"]), (404, &json!("Đơn hàng không tồn tại")));
    assert_eq!(sandbox.call_count(Api::Omni, "POST", "orders$"), 1);
}

#[tokio::test]
async fn the_life_of_an_order_moves_stock_and_refuses_what_omni_refuses() {
    let (sandbox, _) = small().await;
    omni(&sandbox, "POST", "orders.json", Some(&sample_order())).await.unwrap();
    let id = 14_800_001;
    let stock = || {
        let product = sandbox.omni().product(3_900_001).unwrap();
        let here = &product["variants"][0]["inventories"][0];
        (here["on_hand"].as_i64().unwrap(), here["committed"].as_i64().unwrap(), here["available"].as_i64().unwrap())
    };
    assert!(sandbox.omni().finish(id).unwrap_err().contains("'đặt hàng'"));
    omni(&sandbox, "POST", &format!("orders/{id}/finalize.json"), None).await.unwrap();
    assert_eq!(stock(), (12, 2, 10));
    let (status, body) = omni(&sandbox, "POST", &format!("orders/{id}/finalize"), None).await.unwrap();
    assert_eq!((status, message(&body, "")), (422, "Đơn hàng đã được xác nhận rồi".into()));
    sandbox.omni().ship(id).unwrap();
    assert_eq!(stock(), (10, 0, 10));
    sandbox.omni().receive(id).unwrap();
    let order = sandbox.omni().order(id).unwrap();
    assert_eq!(
        [&order["status"], &order["received_status"], &order["payment_status"]],
        ["finalized", "received", "unpaid"]
    );
    let (status, body) = omni(&sandbox, "POST", &format!("orders/{id}/cancel"), None).await.unwrap();
    assert_eq!(status, 422);
    assert!(body.to_string().contains("phiếu trả hàng"), "{body}");
    let payment = json!({"prepayment": {"payment_method_id": 220_001, "amount": 370_000, "reference": "ABH000001"}});
    let (status, _) = omni(&sandbox, "POST", &format!("orders/{id}/prepayments"), Some(&payment)).await.unwrap();
    assert_eq!(status, 201);
    let order = sandbox.omni().order(id).unwrap();
    assert_eq!(
        [&order["status"], &order["payment_status"], &order["prepayments"][0]["reference"]],
        ["completed", "paid", "ABH000001"]
    );
    sandbox.omni().return_order(id, true).unwrap();
    assert_eq!(sandbox.omni().order(id).unwrap()["return_status"], "partial");
    assert_eq!(stock(), (11, 0, 11));
    sandbox.omni().return_order(id, false).unwrap();
    assert_eq!(sandbox.omni().order(id).unwrap()["return_status"], "returned");
}

#[tokio::test]
async fn a_cancelled_order_gives_its_stock_back_and_takes_nothing_more() {
    let (sandbox, _) = small().await;
    omni(&sandbox, "POST", "orders.json", Some(&sample_order())).await.unwrap();
    let id = 14_800_001;
    sandbox.omni().finalize(id).unwrap();
    sandbox.omni().ship(id).unwrap();
    omni(&sandbox, "POST", &format!("orders/{id}/cancel.json"), None).await.unwrap();
    let product = sandbox.omni().product(3_900_001).unwrap();
    let here = &product["variants"][0]["inventories"][0];
    assert_eq!([&here["on_hand"], &here["committed"]], [12, 0]);
    for step in ["cancel", "finalize"] {
        let (status, body) = omni(&sandbox, "POST", &format!("orders/{id}/{step}"), None).await.unwrap();
        assert_eq!((status, message(&body, "")), (422, "Đơn hàng đã bị hủy".into()));
    }
    assert_eq!(sandbox.omni().pay(id), Err("Đơn hàng đã bị hủy".into()));
}

#[tokio::test]
async fn lists_are_newest_first_cut_at_their_limits_and_ignore_what_they_do_not_know() {
    let (sandbox, _) = small().await;
    for day in [3, 1, 2] {
        let created_on = Some(format!("2026-03-0{day}T00:00:00Z"));
        let lines = vec![(5_700_001, 1.into(), 120_000.into())];
        sandbox.omni().place_order(PlaceOrder { lines, created_on, ..PlaceOrder::default() }).unwrap();
    }
    let (_, body) = omni(&sandbox, "GET", "orders.json?limit=999&reference_number=NONE", None).await.unwrap();
    assert_eq!(body["metadata"], json!({"total": 3, "page": 1, "limit": 100}));
    assert_eq!(body["orders"][0]["created_on"], "2026-03-03T00:00:00Z");
    assert_eq!(body["orders"][2]["created_on"], "2026-03-01T00:00:00Z");
    let window = "orders.json?created_on_min=2026-03-02T00:00:00Z&created_on_max=2026-03-02T23:59:59Z";
    let (_, body) = omni(&sandbox, "GET", window, None).await.unwrap();
    assert_eq!(body["metadata"]["total"], 1);
    let (_, body) = omni(&sandbox, "GET", "variants.json?query=at-m", None).await.unwrap();
    assert_eq!(body["variants"][0]["sku"], "AT-M");
    let (_, body) = omni(&sandbox, "GET", "locations", None).await.unwrap();
    assert_eq!(body["locations"][0]["is_primary"], true);
}

#[tokio::test]
async fn a_component_changes_its_carton_and_its_combo_but_only_its_own_product_is_told() {
    let sandbox = sandbox(|_| {}).await;
    let own = json!({"name": "Sữa tươi", "variants": [{"sku": "SUA", "unit": "hộp", "stock": {"58001": 15}}]});
    let own = sandbox.omni().add_product(&own).unwrap();
    let carton = json!({"name": "Sữa thùng", "variants": [{"sku": "SUA-T6", "pack": {"sku": "SUA", "quantity": 6}}]});
    let carton = sandbox.omni().add_product(&carton).unwrap();
    let combo = json!({"name": "Bộ quà", "variants": [{"sku": "COMBO", "combo": [{"sku": "SUA", "quantity": 2}]}]});
    let combo = sandbox.omni().add_product(&combo).unwrap();
    let available =
        |product| sandbox.omni().product(product).unwrap()["variants"][0]["inventories"][0]["available"].clone();
    assert_eq!([available(own), available(carton), available(combo)], [json!(15), json!(2.5), json!(7)]);
    let receiver = Receiver::start(&sandbox).await;
    sandbox.omni().set_stock(sandbox.omni().variant_by_sku("SUA").unwrap(), 58_001, 9).unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!([available(own), available(carton), available(combo)], [json!(9), json!(1.5), json!(4)]);
    let told: Vec<Value> = receiver.came().iter().map(|came| came.json()["id"].clone()).collect();
    assert_eq!(told, [json!(own)]);
}

#[tokio::test]
async fn what_a_test_writes_into_a_product_stays_and_what_the_shop_knows_follows() {
    let (sandbox, id) = small().await;
    sandbox
        .omni()
        .change_product(id, |shape| {
            shape["name"] = json!("Áo mới");
            shape["unheard_of"] = json!([1]);
            shape["variants"][0]["variant_retail_price"] = Value::Null;
            shape["variants"][1]["inventories"][1]["available"] = Value::Null;
        })
        .unwrap();
    let product = sandbox.omni().product(id).unwrap();
    assert_eq!((&product["name"], &product["unheard_of"]), (&json!("Áo mới"), &json!([1])));
    assert_eq!(product["variants"][0]["variant_retail_price"], Value::Null);
    assert_eq!(product["variants"][0]["variant_prices"], json!([]));
    assert_eq!(product["variants"][1]["inventories"][1]["available"], Value::Null);
    sandbox.omni().set_stock(5_700_002, 58_002, 4).unwrap();
    assert_eq!(sandbox.omni().product(id).unwrap()["variants"][1]["inventories"][1]["available"], 4);
    assert!(
        sandbox
            .omni()
            .add_product(&json!({"name": "B", "variants": [{"sku": "AT-S"}]}))
            .unwrap_err()
            .contains("đã trùng")
    );
}

#[tokio::test]
async fn the_written_shapes_have_every_field_of_the_samples() {
    let (sandbox, id) = small().await;
    omni(&sandbox, "POST", "orders", Some(&sample_order())).await.unwrap();
    let order = sandbox.omni().order(14_800_001).unwrap();
    assert_eq!(order.as_object().unwrap().len(), 58);
    assert_eq!(order["order_line_items"][0].as_object().unwrap().len(), 27);
    let product = sandbox.omni().product(id).unwrap();
    assert_eq!(product.as_object().unwrap().len(), 24);
    assert_eq!(product["variants"][0].as_object().unwrap().len(), 40);
    assert_eq!(sandbox.omni().customer(3_689_001).unwrap().as_object().unwrap().len(), 28);
}

#[tokio::test]
async fn a_code_is_exchanged_once() {
    let (sandbox, _) = small().await;
    let url = format!("{}/admin/oauth/access_token", sandbox.omni_url());
    let body = json!({"client_id": "key", "client_secret": sandbox.config().webhook_secret, "code": "abc"});
    let first: Value = client().post(&url).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(first["access_token"], sandbox.config().access_token.as_str());
    assert_eq!(client().post(&url).form(&body).send().await.unwrap().status(), 401);
}
