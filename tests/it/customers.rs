//! Customers, Sapo → Abaha: by phone, never with an address, never a name twice.

use sapo_sync::sandbox::Api;
use sapo_sync::store::links::LinkKind;
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{CONNECTION, World};

const ALL: (bool, bool, bool) = (true, true, true);

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_a_phone_arrives_as_khach_or_by_name_as_the_setting_says() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    // Setting, name on Sapo, name on Abaha.
    let cases = [
        ("", "Trần Thị Mẫu", "Khách"),
        ("customer_name = \"khach\"", "Trần Thị Mẫu", "Khách"),
        ("customer_name = \"sapo\"", "Trần Thị Mẫu", "Trần Thị Mẫu"),
        ("customer_name = \"sapo\"", "", "Khách"),
        ("customer_name = \"sapo\"", "Khách lẻ", "Khách"),
        ("customer_name = \"sapo\"", "0981 000 006", "Khách"),
        ("customer_name = \"sapo\"", "Khách lẻ Nam", "Khách lẻ Nam"),
    ];
    for (number, (setting, name, shown)) in cases.into_iter().enumerate() {
        world.apply(&world.connections(ALL, setting)).await;
        let id = omni.add_customer(name, Some(&format!("+84 98100000{}", number + 1)));
        world.quiet().await;
        let there = abaha.customer_by_tel(&format!("098100000{}", number + 1)).unwrap();
        assert_eq!(there["name"], shown, "{setting} {name:?}");
        assert_eq!(there["tel"], format!("098100000{}", number + 1), "Abaha gets the national form");
        assert_eq!(world.outcome(id).await, ("done".into(), "created".into()));
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_without_a_number_that_is_a_key_is_skipped_with_the_reason() {
    let world = World::new().await;
    let phones =
        [None, Some(""), Some("  "), Some("09******12"), Some("0912000001/0981234567"), Some("113"), Some("không có")];
    for phone in phones {
        let id = world.sandbox.omni().add_customer("Lê Văn Thử", phone);
        world.quiet().await;
        let event = world.events_of(id).await.pop().unwrap();
        assert_eq!((event.outcome.as_str(), event.code.as_str()), ("skipped", "no_phone"), "{phone:?}");
        assert!(event.reason.contains("khách không có số điện thoại"), "{phone:?}: {}", event.reason);
        if let Some(phone) = phone.filter(|phone| phone.starts_with("09")) {
            assert!(!event.reason.contains(phone), "no phone is told: {}", event.reason);
        }
    }
    assert_eq!(world.writing_calls(Api::Abaha), 0);
    assert!(world.sandbox.abaha().customers().is_empty());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whom_abaha_has_is_linked_and_keeps_the_name() {
    let world = World::new().await;
    world.apply(&world.connections(ALL, "customer_name = \"sapo\"")).await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let there = abaha.add_customer("Chị Mẫu quen", "+84912000001").unwrap();
    let id = omni.add_customer("Trần Thị Mẫu", Some("0912 000 001"));
    world.quiet().await;
    assert_eq!(world.outcome(id).await, ("done".into(), "linked".into()));
    let link = world.store().link_by_sapo(CONNECTION, LinkKind::Customer, &id.to_string()).await.unwrap().unwrap();
    assert_eq!((link.channel_id, link.natural_key.as_str()), (there.to_string(), "+84912000001"));

    // Whatever Sapo says later, the name there stays; so does one that Abaha's people change.
    let made = omni.add_customer("Lê Văn Thử", Some("0912000002"));
    world.quiet().await;
    for customer in [id, made] {
        omni.change_customer(customer, |shape| shape["name"] = "Tên khác".into()).unwrap();
        world.quiet().await;
        assert_eq!(world.outcome(customer).await, ("skipped".into(), "unchanged".into()));
    }
    assert_eq!(abaha.customer_by_tel("0912000001").unwrap()["name"], "Chị Mẫu quen");
    assert_eq!(abaha.customer_by_tel("0912000002").unwrap()["name"], "Lê Văn Thử");
    assert_eq!(abaha.customers().len(), 2);
    assert_eq!(world.sandbox.call_count(Api::Abaha, "", "customer/update"), 0);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_phone_in_several_written_forms_is_one_customer() {
    let world = World::new().await;
    let (omni, abaha) = (world.sandbox.omni(), world.sandbox.abaha());
    let forms = [
        "0981 234 567",
        "+84981234567",
        "84981234567",
        "0084981234567",
        "0981.234.567",
        "+84 (0)981 234 567",
        "981234567",
    ];
    for form in forms {
        omni.add_customer("Nguyễn Văn Mẫu", Some(form));
    }
    // 084 is a prefix of its own, and an 11-digit number has moved to its new one.
    for (phone, other) in [("0845123456", "845123456"), ("01201234567", "0701234567")] {
        omni.add_customer("Khác", Some(phone));
        omni.add_customer("Khác", Some(other));
    }
    world.quiet().await;
    let mut tels: Vec<_> =
        abaha.customers().iter().map(|customer| customer["tel"].as_str().unwrap().to_owned()).collect();
    tels.sort();
    assert_eq!(tels, ["0701234567", "0845123456", "0981234567"]);
    assert_eq!(world.sandbox.call_count(Api::Abaha, "", "customer/create$"), 3);
    let open: Vec<_> =
        world.events().await.into_iter().filter(|row| row.source == "omni" && row.outcome != "done").collect();
    assert!(open.is_empty(), "{open:#?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_deleted_on_sapo_leaves_abahas_untouched() {
    let world = World::new().await;
    let id = world.sandbox.omni().add_customer("Lê Văn Thử", Some("0912000003"));
    world.quiet().await;
    world.sandbox.clear_calls();
    world.sandbox.omni().delete_customer(id).unwrap();
    world.quiet().await;
    assert!(world.sandbox.abaha().customer_by_tel("0912000003").is_some());
    assert_eq!(world.writing_calls(Api::Abaha), 0);
    let link = world.store().link_by_sapo(CONNECTION, LinkKind::Customer, &id.to_string()).await.unwrap().unwrap();
    assert_eq!(link.code.as_deref(), Some("deleted"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_carries_an_address_or_any_field_that_is_not_ours() {
    let world = World::new().await;
    let site = MockServer::start().await;
    let answer = |data: serde_json::Value| {
        ResponseTemplate::new(200).set_body_json(json!({"status": 200, "message": "", "data": data}))
    };
    let none = ResponseTemplate::new(200)
        .set_body_json(json!({"status": 0, "message": "Khách hàng không tồn tại", "data": null}));
    let empty = json!({"items": [], "total": 0, "page": 1, "limit": 100});
    for (at, response) in [
        ("/category/index", answer(empty.clone())),
        ("/product/index", answer(empty)),
        ("/customer/info", none),
        ("/customer/create", answer(json!({"id": 7}))),
        ("/category/create", answer(json!({"id": 8}))),
        ("/product/create", answer(json!({"id": 9}))),
        ("/product/update", answer(json!({"id": 9}))),
    ] {
        Mock::given(path(at)).respond_with(response).mount(&site).await;
    }
    let text = world.connections(ALL, "customer_name = \"sapo\"").replace(&world.sandbox.abaha_url(), &site.uri());
    world.apply(&text).await;
    let omni = world.sandbox.omni();
    let customer = omni.add_customer("Trần Thị Mẫu", None);
    omni.change_customer(customer, |shape| {
        shape["phone_number"] = "0912000001".into();
        shape["email"] = "mau@example.com".into();
        shape["addresses"] = json!([{"address1": "Số 1 phố Thử Nghiệm", "city": "Hà Nội"}]);
    })
    .unwrap();
    let product = omni
        .add_product(
            &json!({"name": "Áo", "category": "Áo", "description": "d", "image": "https://images.example/1.jpg",
            "variants": [{"sku": "K", "retail": 1_000, "wholesale": 800, "import": 500, "stock": {"58001": 2}}]}),
        )
        .unwrap();
    world.quiet().await;
    omni.change_product(product, |shape| {
        shape["description"] = "khác".into();
        shape["variants"][0]["variant_retail_price"] = 2_000.into();
    })
    .unwrap();
    world.quiet().await;
    let sent = async |at: &str| {
        let all = site.received_requests().await.unwrap();
        let bodies: Vec<serde_json::Value> =
            all.iter().filter(|request| request.url.path() == at).map(|request| request.body_json().unwrap()).collect();
        bodies
    };
    assert_eq!(sent("/customer/create").await, [json!({"name": "Trần Thị Mẫu", "tel": "0912000001"})]);
    let owned =
        json!({"name": "Áo", "category_id": 8, "price": 1_000, "price_sale": 1_000, "quantity": 2, "status": 1});
    let mut made = owned.clone();
    made["product_code"] = "K".into();
    made["description"] = "d".into();
    made["images"] = json!(["https://images.example/1.jpg"]);
    assert_eq!(sent("/product/create").await, [made]);
    let mut changed = owned;
    (changed["id"], changed["price"], changed["price_sale"]) = (9.into(), 2_000.into(), 2_000.into());
    assert_eq!(sent("/product/update").await, [changed]);
    world.finish(&[]).await;
}
