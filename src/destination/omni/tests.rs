use rust_decimal::Decimal;
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, header, header_exists, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::destination::error::{CallError, Done};
use crate::destination::http::tests::{TOKEN, http, token};
use crate::domain::customer::NewPosCustomer;
use crate::domain::order::{NewPosLine, NewPosOrder};
use crate::domain::phone::Phone;
use crate::domain::web::Address;

use super::client::{Choice, NewPrepayment, OmniClient, PageQuery};

macro_rules! sample {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../../../tests/fixtures/omni/", $name, ".json"))).unwrap()
    };
}

async fn shop() -> (MockServer, OmniClient) {
    let server = MockServer::start().await;
    let client = OmniClient::new(&http(), "cuahangmau", token(), Some(&server.uri())).unwrap();
    (server, client)
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn new_order() -> NewPosOrder {
    let line = |variant: &str, quantity: i64| NewPosLine {
        variant_id: variant.into(),
        product_id: Some("3900001".into()),
        price: 120_000.into(),
        quantity: quantity.into(),
    };
    NewPosOrder {
        reference: "ABH000001".into(),
        tag: "sapo-sync:mau-abaha".into(),
        customer_id: Some("3689001".into()),
        phone: Some("0912000001".into()),
        email: None,
        shipping_address: None,
        billing_address: None,
        branch: 58_001,
        staff: Some(72_001),
        source: Some(387_002),
        lines: vec![line("5700001", 2), line("5700002", 1)],
        discount: 20_000.into(),
        fee: 30_000.into(),
        note: Some("Giao buổi sáng".into()),
        total: 370_000.into(),
    }
}

#[tokio::test]
async fn an_order_is_created_as_the_sample_has_it_at_its_own_branch() {
    let (server, client) = shop().await;
    let mut body = sample!("post-order-request");
    body["order"].as_object_mut().unwrap().remove("price_list_id");
    let answer = json!({ "order": sample!("webhook-orders-create") });
    Mock::given(method("POST"))
        .and(path("/admin/orders.json"))
        .and(header("X-Sapo-Access-Token", TOKEN))
        .and(header("X-Sapo-LocationId", "58001"))
        .and(body_json(&body))
        .respond_with(ResponseTemplate::new(201).set_body_json(answer))
        .expect(1)
        .mount(&server)
        .await;
    let order = client.branch(Some(9)).create_order(&new_order()).await.unwrap();
    assert_eq!(order.id, "14800001");
}

#[tokio::test]
async fn addresses_are_written_as_the_shop_has_them_and_none_without_its_first_line() {
    let (server, client) = shop().await;
    let address = Address {
        address1: "Số 1 phố Thử Nghiệm".into(),
        name: "Trần Thị Mẫu".into(),
        phone: "0912000001".into(),
        ward: "Phường Mẫu".into(),
        district: "Quận Mẫu".into(),
        province: "Hà Nội".into(),
        country: "Việt Nam".into(),
        ..Address::default()
    };
    let nameless = Address { address1: "  ".into(), ..address.clone() };
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({ "order": sample!("webhook-orders-create") })))
        .mount(&server)
        .await;
    let order = NewPosOrder {
        email: Some("mau@example.com".into()),
        shipping_address: Some(address),
        billing_address: Some(nameless),
        ..new_order()
    };
    client.create_order(&order).await.unwrap();
    let sent: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    let there = sample!("webhook-orders-create")["shipping_address"].clone();
    for (field, value) in sent["order"]["shipping_address"].as_object().unwrap() {
        assert_eq!(*value, there[field], "{field}");
    }
    assert_eq!(sent["order"]["shipping_address"].as_object().unwrap().len(), 7);
    assert_eq!((sent["order"].get("billing_address"), &sent["order"]["email"]), (None, &json!("mau@example.com")));
}

#[tokio::test]
async fn a_customer_is_found_by_an_email_however_it_is_typed_and_never_by_a_part_of_it() {
    let (server, client) = shop().await;
    let row = |id: u64, email: Value| json!({"id": id, "name": "Người Mẫu", "email": email});
    let rows = [row(1, json!(" Mau@Example.com ")), row(2, json!("xmau@example.com")), row(3, Value::Null)];
    Mock::given(path("/admin/customers.json"))
        .and(query_param("query", "mau@example.com"))
        .respond_with(ok(&json!({"customers": rows, "metadata": {"total": 3, "page": 1, "limit": 250}})))
        .mount(&server)
        .await;
    let found = client.customers_by_email(" MAU@example.com").await.unwrap();
    assert_eq!(found.iter().map(|customer| customer.id.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(client.customers_by_email("  ").await.unwrap(), []);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_leaves_open_whether_the_order_was_created() {
    let (server, client) = shop().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("{\"order\":")).mount(&server).await;
    let Err(CallError::Failing { code, done, .. }) = client.create_order(&new_order()).await else { panic!() };
    assert_eq!((code, done), ("unreadable_answer", Done::Unknown));
}

#[tokio::test]
async fn a_prepayment_is_written_as_the_sample_has_it() {
    let (server, client) = shop().await;
    Mock::given(method("POST"))
        .and(path("/admin/orders/14800001/prepayments.json"))
        .and(header("X-Sapo-LocationId", "58001"))
        .and(body_json(sample!("post-prepayment-request")))
        .respond_with(ok(&json!({})))
        .expect(1)
        .mount(&server)
        .await;
    let prepayment = NewPrepayment { payment_method: 220_001, amount: Decimal::from(370_000), reference: "ABH000001" };
    client.branch(Some(58_001)).add_prepayment("14800001", &prepayment).await.unwrap();
}

#[tokio::test]
async fn cancel_and_finalize_are_already_so_only_for_themselves() {
    let (server, client) = shop().await;
    let said = |words: &str| ResponseTemplate::new(422).set_body_json(json!({"data_error": {"errors": {"": words}}}));
    Mock::given(path("/admin/orders/1/cancel.json")).respond_with(said("Đơn hàng đã bị hủy")).mount(&server).await;
    Mock::given(path("/admin/orders/1/finalize.json")).respond_with(said("Đơn hàng đã bị hủy")).mount(&server).await;
    Mock::given(path("/admin/orders/2/finalize.json"))
        .respond_with(said("Đơn hàng đã được xác nhận rồi"))
        .mount(&server)
        .await;
    assert!(matches!(client.cancel_order("1").await, Err(CallError::AlreadySo { .. })));
    assert_eq!(client.finalize_order("1").await.unwrap_err().code(), "conflict_cancelled");
    assert!(matches!(client.finalize_order("2").await, Err(CallError::AlreadySo { .. })));
}

#[tokio::test]
async fn in_a_dry_run_nothing_is_written_and_reading_goes_through() {
    let (server, client) = shop().await;
    Mock::given(method("POST")).respond_with(ok(&json!({}))).expect(0).mount(&server).await;
    Mock::given(method("GET")).respond_with(ok(&sample!("webhook-orders-create"))).expect(1).mount(&server).await;
    let dry = client.dry();
    let Err(CallError::DryRun { would }) = dry.create_order(&new_order()).await else { panic!() };
    assert_eq!(would, "create order ABH000001 on Sapo, total 370.000 ₫");
    assert!(matches!(dry.cancel_order("1").await, Err(CallError::DryRun { .. })));
    let customer =
        NewPosCustomer { name: "Khách".into(), phone: Some("0912000001".into()), ..NewPosCustomer::default() };
    let Err(CallError::DryRun { would }) = dry.create_customer(&customer).await else { panic!() };
    assert!(!would.contains("0912"), "{would}");
    assert_eq!(dry.order("14800001").await.unwrap().code, "SON000001");
}

#[tokio::test]
async fn a_page_keeps_each_rows_own_json_and_survives_a_bad_row() {
    let (server, client) = shop().await;
    let mut body = sample!("get-products");
    body["products"].as_array_mut().unwrap().push(json!({"id": 3_900_099, "name": "no variants"}));
    Mock::given(path("/admin/products.json"))
        .and(query_param("page", "1"))
        .and(query_param("limit", "250"))
        .and(query_param("modified_on_min", "2026-03-02T03:15:23Z"))
        .and(query_param("status", "active"))
        .respond_with(ok(&body))
        .mount(&server)
        .await;
    let query = PageQuery { modified_from: Some(1_772_421_323_000), status: Some("active"), ..PageQuery::default() };
    let page = client.products(query).await.unwrap();
    assert_eq!((page.items.len(), page.total, page.limit), (6, Some(5), 250));
    let first = page.items[0].as_ref().unwrap();
    assert_eq!(super::wire::product(&first.raw).unwrap(), first.value);
    let bad = page.items[5].as_ref().unwrap_err();
    assert_eq!((bad.id.as_deref(), bad.reason.as_str()), (Some("3900099"), "the field variants is missing"));
}

#[tokio::test]
async fn orders_are_asked_for_in_pages_of_a_hundred() {
    let (server, client) = shop().await;
    let body = json!({"metadata": {"total": 1, "page": 1, "limit": 100}, "orders": [sample!("webhook-orders-create")]});
    Mock::given(path("/admin/orders.json"))
        .and(query_param("limit", "100"))
        .respond_with(ok(&body))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(client.orders(PageQuery::default()).await.unwrap().into_values().count(), 1);
}

#[tokio::test]
async fn a_sku_is_matched_exactly_over_all_pages_of_the_search() {
    let (server, client) = shop().await;
    let all: Vec<Value> = ["MY/LAN/01", " MY/LAN/01 ", "my/lan/01", "MY/LAN/011"]
        .iter()
        .zip(1..)
        .map(|(sku, id)| json!({"id": id, "product_id": 9, "sku": sku}))
        .collect();
    Mock::given(path("/admin/variants.json"))
        .and(query_param("query", "MY/LAN/01"))
        .respond_with(move |request: &Request| {
            let page = request.url.query_pairs().find(|(name, _)| name == "page").unwrap().1.parse::<usize>().unwrap();
            let rows = &all[(page - 1) * 2..(page * 2).min(all.len())];
            ok(&json!({"metadata": {"total": all.len(), "page": page, "limit": 2}, "variants": rows}))
        })
        .expect(2)
        .mount(&server)
        .await;
    let found = client.variants_by_sku("MY/LAN/01 ").await.unwrap();
    let ids: Vec<&str> = found.iter().map(|variant| variant.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert!(client.variants_by_sku("  ").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_customer_is_found_however_the_phone_is_written_and_only_once() {
    let (server, client) = shop().await;
    let customers = [
        (1, Some("+84912000001")),
        (2, Some("0912 000 001")),
        (3, Some("09120000012")),
        (4, None),
        (5, Some("0912000001/0912000002")),
    ];
    let rows: Vec<Value> =
        customers.iter().map(|(id, phone)| json!({"id": id, "name": "A", "phone_number": phone})).collect();
    let body = json!({"metadata": {"total": 5, "page": 1, "limit": 250}, "customers": rows});
    Mock::given(path("/admin/customers.json")).respond_with(ok(&body)).mount(&server).await;
    let found = client.customers_by_phone(&Phone::parse("0912000001").unwrap()).await.unwrap();
    assert_eq!(found.iter().map(|customer| customer.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[tokio::test]
async fn the_walk_in_customer_has_the_name_and_no_phone() {
    let (server, client) = shop().await;
    let rows = json!([
        {"id": 30, "name": "khách lẻ ", "phone_number": ""},
        {"id": 9, "name": "Khách Lẻ", "phone_number": null},
        {"id": 1, "name": "Khách lẻ", "phone_number": "0912000001"},
        {"id": 2, "name": "Khách lẻ Hà Nội"},
    ]);
    let body = json!({"metadata": {"total": 4, "page": 1, "limit": 250}, "customers": rows});
    Mock::given(query_param("query", "Khách lẻ")).respond_with(ok(&body)).mount(&server).await;
    assert_eq!(client.walk_in_customer().await.unwrap().unwrap().id, "9");
}

#[tokio::test]
async fn the_settings_are_read() {
    let (server, client) = shop().await;
    let settings = sample!("get-settings");
    for list in ["locations", "accounts", "order_sources", "payment_methods"] {
        let body = json!({ list: settings[list] });
        Mock::given(path(format!("/admin/{list}.json"))).respond_with(ok(&body)).expect(1).mount(&server).await;
    }
    let tenant = json!({"tenant": {"id": 70001, "name": "Cửa hàng Mẫu"}});
    Mock::given(path("/admin/tenant.json")).respond_with(ok(&tenant)).mount(&server).await;
    Mock::given(path("/admin/categories.json")).respond_with(ok(&sample!("get-categories"))).mount(&server).await;
    let locations = client.locations().await.unwrap();
    assert_eq!((locations[0].id, locations[0].name.as_str(), locations[0].primary), (58_001, "Chi nhánh Hà Nội", true));
    assert!(!locations[1].primary && locations[1].active);
    assert_eq!(client.accounts().await.unwrap()[0].name, "Nhân viên Mẫu");
    assert!(client.order_sources().await.unwrap().iter().all(|source| source.active));
    assert_eq!(client.payment_methods().await.unwrap().len(), 2);
    assert_eq!(client.tenant().await.unwrap().id.as_deref(), Some("70001"));
    assert_eq!(client.categories(1).await.unwrap().into_values().count(), 2);
}

#[tokio::test]
async fn a_missing_object_is_not_found_but_a_strange_page_says_nothing() {
    let (server, client) = shop().await;
    let missing = json!({"error": {"message": "Không tìm thấy đối tượng"}});
    Mock::given(path("/admin/products/1.json"))
        .respond_with(ResponseTemplate::new(404).set_body_json(missing))
        .mount(&server)
        .await;
    Mock::given(header_exists("X-Sapo-Access-Token"))
        .respond_with(ResponseTemplate::new(404).set_body_string("<html>404</html>"))
        .mount(&server)
        .await;
    assert_eq!(client.product("1").await.unwrap_err(), CallError::NotFound { what: "product 1".into() });
    assert_eq!(client.product("2").await.unwrap_err().code(), "unknown_path");
    assert_eq!(client.customer("../orders/1").await.unwrap_err().code(), "not_found");
    assert_eq!(client.order("").await.unwrap_err().code(), "not_found");
}

#[test]
fn the_default_branch_is_the_marked_or_only_one_of_those_that_are_open() {
    let branch = |id, active, primary| Choice { id, name: format!("Chi nhánh {id}"), active, primary };
    let (open, marked, closed) = (branch(1, true, false), branch(2, true, true), branch(3, false, false));
    for (branches, expected) in [
        (vec![open.clone(), marked.clone()], Some(2)),
        (vec![open.clone(), closed.clone()], Some(1)),
        (vec![closed.clone()], None),
        (vec![open.clone(), branch(4, false, true)], Some(1)),
        (vec![open.clone(), branch(5, true, false)], None),
        (Vec::new(), None),
    ] {
        assert_eq!(Choice::default_of(&branches), expected, "{branches:?}");
    }
}
