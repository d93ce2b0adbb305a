use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, body_partial_json, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::destination::error::CallError;
use crate::destination::http::tests::{TOKEN, http, token};
use crate::domain::customer::NewCustomer;
use crate::domain::phone::Phone;
use crate::domain::product::Listing;

use super::client::{AbahaClient, OrderQuery};

async fn site() -> (MockServer, AbahaClient) {
    let server = MockServer::start().await;
    let client = AbahaClient::new(&http(), "501", token(), Some(&server.uri())).unwrap();
    (server, client)
}

fn ok(data: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"status": 200, "message": "", "data": data}))
}

fn refused(message: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"status": 0, "message": message, "data": null}))
}

fn bare_order() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/abaha/webhook-order-bare.json")).unwrap()
}

#[tokio::test]
async fn a_call_is_a_post_with_the_token_in_its_query() {
    let (server, client) = site().await;
    Mock::given(method("POST"))
        .and(path("/order/update"))
        .and(query_param("token", TOKEN))
        .and(body_json(json!({"id": 900_001, "status": 0})))
        .respond_with(ok(&json!({"id": 900_001})))
        .expect(1)
        .mount(&server)
        .await;
    client.set_order_status("900001", 0).await.unwrap();
}

#[tokio::test]
async fn an_order_is_read_from_detail_else_from_the_list() {
    let (server, client) = site().await;
    Mock::given(path("/order/detail")).respond_with(ok(&bare_order())).up_to_n_times(1).mount(&server).await;
    assert_eq!(client.order("900001").await.unwrap().code.as_deref(), Some("ABH000001"));

    for unknown in [ResponseTemplate::new(404).set_body_string("<html>"), refused("Không tìm thấy")] {
        server.reset().await;
        Mock::given(path("/order/detail")).respond_with(unknown).mount(&server).await;
        Mock::given(path("/order/index"))
            .and(body_partial_json(json!({"id": 900_001})))
            .respond_with(ok(&json!({"items": [bare_order()], "total": 1})))
            .mount(&server)
            .await;
        Mock::given(path("/order/index")).respond_with(ok(&json!({"items": [], "total": 0}))).mount(&server).await;
        assert_eq!(client.order("900001").await.unwrap().id, "900001");
        assert_eq!(client.order("7").await.unwrap_err(), CallError::NotFound { what: "order 7".into() });
    }
}

#[tokio::test]
async fn a_list_that_ignores_the_id_proves_nothing() {
    let (server, client) = site().await;
    Mock::given(path("/order/detail")).respond_with(refused("Không tìm thấy")).mount(&server).await;
    Mock::given(path("/order/index")).respond_with(ok(&json!([bare_order()]))).mount(&server).await;
    assert_eq!(client.order("7").await.unwrap_err().code(), "unreadable_answer");
}

#[tokio::test]
async fn a_page_of_orders_names_its_window() {
    let (server, client) = site().await;
    let body = json!({"page": 2, "limit": 50, "status": 5, "created_from": "2026-03-02T03:15:23Z"});
    Mock::given(path("/order/index"))
        .and(body_json(body))
        .respond_with(ok(&json!({"items": [bare_order(), {"id": 5}], "total": 52})))
        .mount(&server)
        .await;
    let query = OrderQuery {
        page: 2,
        limit: 50,
        created_from: Some(1_772_421_323_000),
        status: Some(5),
        ..OrderQuery::default()
    };
    let page = client.orders(query).await.unwrap();
    assert!(!page.more());
    assert_eq!(page.items[1].as_ref().unwrap_err().id.as_deref(), Some("5"));
    assert_eq!(super::wire::order(&page.items[0].as_ref().unwrap().raw).unwrap().id, "900001");
}

#[tokio::test]
async fn a_product_is_matched_by_its_exact_code_even_where_the_filter_is_not_heeded() {
    let (server, client) = site().await;
    let all: Vec<Value> = ["AT-S", "AT-SS", "at-s", " AT-S"]
        .iter()
        .zip(1..)
        .map(|(code, id)| json!({"id": id, "product_code": code}))
        .collect();
    Mock::given(path("/product/index"))
        .and(body_partial_json(json!({"product_code": "AT-S"})))
        .respond_with(move |request: &Request| {
            let page = request.body_json::<Value>().unwrap()["page"].as_u64().unwrap() as usize;
            ok(&json!(all.iter().skip((page - 1) * 2).take(2).collect::<Vec<_>>()))
        })
        .expect(3)
        .mount(&server)
        .await;
    let found = client.products_by_code("AT-S").await.unwrap();
    assert_eq!(found.iter().map(|product| product.id.as_str()).collect::<Vec<_>>(), ["1", "4"]);
}

#[tokio::test]
async fn a_search_ends_where_the_api_ignores_the_page_or_heeds_the_filter() {
    let (server, client) = site().await;
    let rows = json!([{"id": 1, "product_code": "AT-S", "price": "150000", "price_sale": 120_000, "quantity": "2.5", "status": "1"}]);
    Mock::given(any()).respond_with(ok(&rows)).expect(1).mount(&server).await;
    let found = client.products_by_code("AT-S").await.unwrap();
    assert_eq!((found[0].visible, found[0].stock), (Some(true), Some("2.5".parse().unwrap())));
    server.reset().await;
    Mock::given(any()).respond_with(ok(&json!([{"id": 1, "product_code": "QV-01"}]))).expect(2).mount(&server).await;
    assert!(client.products_by_code("AT-S").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_customer_is_found_by_phone_and_never_another_ones() {
    let (server, client) = site().await;
    let phone = Phone::parse("+84912000001").unwrap();
    let info = |data: Value| {
        Mock::given(path("/customer/info")).and(body_json(json!({"tel": "0912000001"}))).respond_with(ok(&data))
    };
    for (data, found) in [
        (json!({"id": 7, "name": "Khách", "tel": "84912000001"}), Some("7")),
        (json!([{"id": 8, "tel": "0912000001"}]), Some("8")),
        (json!({"id": 9, "tel": "0912000002"}), None),
        (json!([]), None),
        (Value::Null, None),
    ] {
        server.reset().await;
        info(data).mount(&server).await;
        assert_eq!(client.customer_by_phone(&phone).await.unwrap().map(|customer| customer.id).as_deref(), found);
    }
    server.reset().await;
    Mock::given(any()).respond_with(refused("Khách hàng không tồn tại")).mount(&server).await;
    assert_eq!(client.customer_by_phone(&phone).await, Ok(None));
    let customer = NewCustomer { name: "Khách".into(), phone: phone.national() };
    server.reset().await;
    Mock::given(body_json(json!({"name": "Khách", "tel": "0912000001"})))
        .respond_with(refused("Số điện thoại đã tồn tại"))
        .mount(&server)
        .await;
    assert_eq!(client.create_customer(&customer).await.unwrap_err().code(), "duplicate");
}

#[tokio::test]
async fn products_and_categories_are_written_and_refusals_understood() {
    let (server, client) = site().await;
    let listing =
        Listing { name: "Áo".into(), category_id: None, price: Some(5.into()), stock: Some(0), visible: true };
    let body = json!({"id": 7, "name": "Áo", "price": 5, "price_sale": 5, "quantity": 0, "status": 1});
    Mock::given(path("/product/update"))
        .and(body_json(body))
        .respond_with(ok(&Value::Null))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/product/update")).respond_with(refused("Sản phẩm không tồn tại")).mount(&server).await;
    Mock::given(path("/category/create"))
        .and(body_json(json!({"name": "Áo"})))
        .respond_with(ok(&json!({"id": "31"})))
        .mount(&server)
        .await;
    client.update_product("7", &listing).await.unwrap();
    assert_eq!(client.hide_product("8").await.unwrap_err(), CallError::NotFound { what: "product 8".into() });
    assert_eq!(client.create_category("Áo").await.unwrap(), "31");
    let Err(CallError::DryRun { would }) = client.dry().rename_category("31", "Áo mới").await else { panic!() };
    assert_eq!(would, "rename category 31 on Abaha to Áo mới");
}

#[tokio::test]
async fn a_bad_token_is_told_whatever_the_http_status() {
    let (server, client) = site().await;
    let body = json!({"status": 401, "message": "Token không hợp lệ", "data": null});
    for status in [200, 401] {
        server.reset().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(status).set_body_json(&body)).mount(&server).await;
        assert_eq!(client.products(1, 20).await.unwrap_err().code(), "unauthorised");
    }
}
