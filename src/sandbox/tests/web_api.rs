use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::{client, fields, sample, sandbox, two_sites, web};
use crate::sandbox::{Api, ApiEffect, ApiFault, BucketConfig, WebSite};

#[tokio::test]
async fn a_product_and_its_stock_have_every_field_of_the_samples() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    assert_eq!((ids.id, &ids.variants[..]), (46_400_001, &[147_200_001, 147_200_002][..]));
    let (status, body) = web(&sandbox, "webmau", "GET", "products.json", None).await.unwrap();
    let product = &body["products"][0];
    let products = sample(include_str!("../../../tests/fixtures/web/get-products.json"));
    assert_eq!((status, fields(product)), (200, fields(&products["products"][0])));
    assert_eq!(product["alias"], "ao-thun-co-tron");
    let variant = &product["variants"][0];
    assert_eq!(fields(variant), fields(&products["products"][0]["variants"][0]));
    assert_eq!(variant["price"].to_string(), "115000.0");
    assert_eq!((&variant["compare_at_price"], &variant["inventory_quantity"]), (&json!(0.0), &json!(12)));
    assert_eq!(
        (&variant["inventory_management"], &variant["inventory_item_id"]),
        (&json!("bizweb"), &json!(147_100_001))
    );
    let path = "inventory_levels.json?location_ids=825001&inventory_item_ids=147100002";
    let (_, body) = web(&sandbox, "webmau", "GET", path, None).await.unwrap();
    let level = &body["inventory_levels"][0];
    let levels = sample(include_str!("../../../tests/fixtures/web/get-inventory-levels.json"));
    assert_eq!(fields(level), fields(&levels["inventory_levels"][0]));
    assert_eq!((&level["variant_id"], level["available"].to_string()), (&json!(147_200_002), "3.0".into()));
    assert!(level["updated_at"].is_string() && level.get("modified_on").is_none());
    let (_, count) = web(&sandbox, "webmau", "GET", "products/count.json", None).await.unwrap();
    assert_eq!(count, json!({"count": 1}));
}

#[tokio::test]
async fn sites_share_an_address_and_nothing_else() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let other = sandbox.web("webhai").add_product(crate::sandbox::NewWebProduct::default());
    assert!(other.id != ids.id && other.variants[0] != ids.variants[0]);
    assert_ne!(sandbox.web("webmau").locations(), sandbox.web("webhai").locations());
    let (_, body) = web(&sandbox, "webhai", "GET", "products", None).await.unwrap();
    assert_eq!(body["products"].as_array().unwrap().len(), 1);
    assert_eq!(web(&sandbox, "webhai", "GET", &format!("products/{}", ids.id), None).await.unwrap().0, 404);
    assert_eq!(web(&sandbox, "khongco", "GET", "products", None).await.unwrap().0, 404);
    assert_eq!((sandbox.web_call_count("webhai", "GET", "products"), sandbox.call_count(Api::Web, "", "")), (2, 3));
    // As in real life: by the host's name.
    let base = sandbox.web_url("").trim_end_matches('/').to_owned();
    let token = &sandbox.web("webmau").config().access_token;
    let by_host = client().get(format!("{base}/admin/shop.json")).header("host", "webmau.mysapo.net");
    let shop: Value = by_host.header("x-sapo-access-token", token).send().await.unwrap().json().await.unwrap();
    assert_eq!(shop["shop"]["alias"], "webmau");
}

#[tokio::test]
async fn a_token_its_old_header_or_a_private_app_opens_the_door() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let url = format!("{}/admin/shop.json", sandbox.web_url("webmau"));
    let site = sandbox.web("webmau").config().clone();
    let (key, secret) = site.private_app.clone().unwrap();
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")));
    let other = &sandbox.web("webhai").config().access_token;
    for (header, value, status) in [
        ("x-sapo-access-token", site.access_token.clone(), 200),
        ("x-bizweb-access-token", site.access_token.clone(), 200),
        ("authorization", basic(&secret), 200),
        ("authorization", basic("wrong"), 401),
        ("x-sapo-access-token", other.clone(), 401),
    ] {
        let answer = client().get(&url).header(header, value).send().await.unwrap();
        assert_eq!(answer.status(), status, "{header}");
        assert!(answer.headers().contains_key("x-sapo-api-call-limit"));
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["errors"].is_string(), status == 401);
    }
    let (status, page) = web(&sandbox, "webmau", "GET", "nothing.json", None).await.unwrap();
    assert_eq!((status, page.is_string()), (404, true));
    sandbox.web("webmau").uninstall();
    assert_eq!(web(&sandbox, "webmau", "GET", "shop", None).await.unwrap().0, 401);
    sandbox.web("webmau").reinstall();
    assert_eq!(web(&sandbox, "webmau", "GET", "shop", None).await.unwrap().0, 200);
}

#[tokio::test]
async fn what_was_not_granted_is_refused_by_name() {
    let (sandbox, ids) = two_sites(|config| config.web_sites[0].scopes = vec!["write_products".into()]).await;
    assert_eq!(web(&sandbox, "webmau", "GET", "products", None).await.unwrap().0, 200);
    let body = json!({"location_id": 825_001, "inventory_item_id": 147_100_001, "available": 1});
    let (status, refused) = web(&sandbox, "webmau", "POST", "inventory_levels/set.json", Some(&body)).await.unwrap();
    assert_eq!(status, 403);
    assert_eq!(refused["errors"], "[API] This action requires merchant approval for write_inventory scope.");
    assert_eq!(sandbox.web("webmau").stock(ids.variants[0]), Some(12.into()));
}

#[tokio::test]
async fn each_site_has_a_bucket_of_its_own_and_says_how_full_it_is() {
    let bucket = BucketConfig { size: 3, leak_per_second: 0.5, header: true };
    let (sandbox, _) = two_sites(|config| config.web_sites[0].bucket = bucket).await;
    let url = format!("{}/admin/shop.json", sandbox.web_url("webmau"));
    let get = async || {
        let token = &sandbox.web("webmau").config().access_token;
        client().get(&url).header("x-sapo-access-token", token).send().await.unwrap()
    };
    assert_eq!(get().await.headers()["x-sapo-api-call-limit"], "1/3");
    get().await;
    get().await;
    let full = get().await;
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (429, "2"));
    assert_eq!(full.headers()["x-sapo-api-call-limit"], "3/3");
    let body: Value = full.json().await.unwrap();
    assert!(body["errors"].as_str().unwrap().starts_with("Exceeded 2 calls per second"));
    assert_eq!(web(&sandbox, "webhai", "GET", "shop", None).await.unwrap().0, 200);
}

#[tokio::test]
async fn pages_are_of_fifty_at_most_of_two_hundred_and_fifty_and_can_go_on_from_an_id() {
    let (sandbox, _) = two_sites(|_| {}).await;
    sandbox.web("webmau").bulk(299);
    let page = async |query: &str| {
        let (_, body) = web(&sandbox, "webmau", "GET", &format!("products.json?{query}"), None).await.unwrap();
        assert!(body.get("metadata").is_none() && body.get("total").is_none());
        let ids = body["products"].as_array().unwrap().iter().map(|product| product["id"].as_u64().unwrap());
        ids.collect::<Vec<u64>>()
    };
    assert_eq!(page("").await.len(), 50);
    assert_eq!(page("limit=999").await.len(), 250);
    assert_eq!(page("limit=999&page=2").await.len(), 50);
    assert!(page("limit=250&page=3").await.is_empty());
    let mut all = BTreeSet::new();
    let mut last = 0;
    loop {
        let ids = page(&format!("limit=100&since_id={last}")).await;
        let Some(newest) = ids.last() else { break };
        assert!(ids.is_sorted());
        last = *newest;
        all.extend(ids);
    }
    assert_eq!(all.len(), 300);
    assert_eq!(page("ids=46400001,46400003").await.len(), 2);
    assert!(page("created_on_max=2020-01-01T00:00:00Z").await.is_empty());
}

#[tokio::test]
async fn stock_is_set_by_item_and_place_and_not_where_it_is_not_counted() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let set = async |item: u64, available: Value| {
        let body = json!({"location_id": 825_001, "inventory_item_id": item, "available": available});
        web(&sandbox, "webmau", "POST", "inventory_levels/set.json", Some(&body)).await.unwrap()
    };
    let (status, body) = set(147_100_001, json!(2.5)).await;
    assert_eq!((status, &body["inventory_level"]["available"]), (200, &json!(2.5)));
    assert_eq!(sandbox.web("webmau").variant(ids.variants[0]).unwrap()["inventory_quantity"], 2.5);
    // An inventory item is not its variant.
    assert_eq!(set(147_200_001, json!(1)).await.0, 404);
    assert_eq!(set(147_100_001, json!("many")).await.1["errors"]["available"], json!(["is not a number"]));
    sandbox.web("webmau").set_managed(ids.variants[1], false).unwrap();
    let (status, body) = set(147_100_002, json!(1)).await;
    assert!(status == 422 && body["errors"]["inventory_item_id"].is_string(), "{body}");
    let (_, levels) = web(&sandbox, "webmau", "GET", "inventory_levels", None).await.unwrap();
    assert_eq!(levels["inventory_levels"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.web("webmau").variant(ids.variants[1]).unwrap()["inventory_management"], "");
    sandbox.web("webmau").without_inventory_levels(true);
    let (status, page) = set(147_100_001, json!(1)).await;
    assert_eq!((status, page.is_string()), (404, true));
}

#[tokio::test]
async fn a_variant_takes_price_and_quantity_and_refuses_what_is_no_number_or_locked() {
    let (sandbox, ids) = two_sites(|config| config.web_sites[0].locations = 2).await;
    let put = async |body: Value| {
        let path = format!("variants/{}.json", ids.variants[0]);
        web(&sandbox, "webmau", "PUT", &path, Some(&json!({"variant": body}))).await.unwrap()
    };
    let (status, body) =
        put(json!({"price": "99000", "compare_at_price": 120_000, "inventory_quantity": 7, "sku": "AT-S2"})).await;
    assert_eq!((status, &body["variant"]["price"]), (200, &json!(99_000.0)));
    assert_eq!((&body["variant"]["sku"], &body["variant"]["inventory_quantity"]), (&json!("AT-S2"), &json!(7)));
    assert!(sandbox.web("webmau").variant_by_sku("AT-S").is_empty());
    let second = sandbox.web("webmau").locations()[1];
    sandbox.web("webmau").set_stock_at(ids.variants[0], second, 5).unwrap();
    assert_eq!(put(json!({"inventory_quantity": 10})).await.1["variant"]["inventory_quantity"], 10);
    let (status, body) = put(json!({"price": "dear"})).await;
    assert_eq!((status, body), (422, json!({"errors": {"price": ["is not a number"]}})));
    sandbox.web("webmau").refuse_variant(ids.variants[0], true);
    assert_eq!(put(json!({"price": 1})).await.0, 422);
    sandbox.web("webmau").refuse_variant(ids.variants[0], false);
    assert_eq!(put(json!({"compare_at_price": null})).await.1["variant"]["compare_at_price"], Value::Null);
}

#[tokio::test]
async fn products_are_made_changed_and_deleted_by_the_api() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let wanted = json!({"product": {"name": "Mũ", "variants": [{"sku": "MU-1", "price": 50_000, "inventory_management": "bizweb", "inventory_quantity": 4}]}});
    let (status, body) = web(&sandbox, "webmau", "POST", "products.json", Some(&wanted)).await.unwrap();
    let id = body["product"]["id"].as_u64().unwrap();
    assert_eq!((status, &body["product"]["variants"][0]["inventory_quantity"]), (201, &json!(4)));
    let path = format!("products/{id}.json");
    let hide = json!({"product": {"published_on": null, "name": "Mũ len"}});
    let (_, body) = web(&sandbox, "webmau", "PUT", &path, Some(&hide)).await.unwrap();
    assert_eq!((&body["product"]["published_on"], &body["product"]["name"]), (&Value::Null, &json!("Mũ len")));
    let blank = json!({"product": {"name": " "}});
    let (status, body) = web(&sandbox, "webmau", "POST", "products", Some(&blank)).await.unwrap();
    assert_eq!((status, body), (422, json!({"errors": {"name": ["can't be blank"]}})));
    let unwrapped = json!({"name": "Mũ"});
    let (_, body) = web(&sandbox, "webmau", "POST", "products", Some(&unwrapped)).await.unwrap();
    assert!(body["errors"]["product"].is_string());
    assert_eq!(web(&sandbox, "webmau", "DELETE", &path, None).await.unwrap().0, 200);
    assert_eq!(web(&sandbox, "webmau", "GET", &path, None).await.unwrap(), (404, json!({"errors": "Not Found"})));
}

#[tokio::test]
async fn oauth_comes_back_signed_in_base64_and_its_code_works_once() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let base = format!("{}/admin/oauth", sandbox.web_url("webmau"));
    let quiet = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let authorize = format!(
        "{base}/authorize?client_id=k&scope=read_products&redirect_uri=https%3A%2F%2Fsync.example%2Fback&state=a%26b"
    );
    let answer = quiet.get(authorize).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    let back = answer.headers()["location"].to_str().unwrap().to_owned();
    let (address, query) = back.split_once('?').unwrap();
    assert_eq!(address, "https://sync.example/back");
    let pairs = crate::sandbox::form::pairs(query);
    let get = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap();
    assert_eq!((get("store"), get("state")), ("webmau.mysapo.net".into(), "a&b".into()));
    let mut signed: Vec<String> = pairs
        .iter()
        .filter(|(key, _)| key != "hmac" && key != "signature")
        .map(|(key, value)| format!("{key}={}", value.replace('%', "%25").replace('&', "%26")))
        .collect();
    signed.sort();
    let secret = &sandbox.web("webmau").config().webhook_secret;
    assert_eq!(get("hmac"), crate::sandbox::sign::base64_signature(secret, signed.join("&").as_bytes()));
    let exchange = async |secret: &str| {
        let body = json!({"client_id": "k", "client_secret": secret, "code": get("code")});
        let answer = client().post(format!("{base}/access_token")).form(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(exchange("wrong").await.1["error"], "invalid_client");
    let (status, body) = exchange(secret).await;
    assert_eq!((status, &body["access_token"]), (200, &json!(sandbox.web("webmau").config().access_token)));
    let (status, body) = exchange(secret).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    assert!(body["error_description"].as_str().unwrap().contains("already used"));
}

#[tokio::test]
async fn a_fault_of_one_site_leaves_the_other_alone() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let (path, effect) = (String::from("products$"), ApiEffect::Status { code: 500, retry_after: None });
    let fault = ApiFault { api: Api::Web, method: None, path, skip: 0, times: 1, effect };
    sandbox.faults().web_api("webhai", fault);
    assert_eq!(web(&sandbox, "webmau", "GET", "products", None).await.unwrap().0, 200);
    assert_eq!(web(&sandbox, "webhai", "GET", "products", None).await.unwrap().0, 500);
    assert_eq!(web(&sandbox, "webhai", "GET", "products", None).await.unwrap().0, 200);
    let sites: Vec<_> = sandbox.calls().iter().map(|call| call.site.clone().unwrap()).collect();
    assert_eq!(sites, ["webmau", "webhai", "webhai"]);
}

#[tokio::test]
async fn the_made_up_shop_and_its_sites_share_most_skus() {
    let sandbox = sandbox(|config| {
        config.products = 60;
        config.web_odd = true;
        config.web_sites = vec![WebSite::named("webmau"), WebSite::named("webhai")];
    })
    .await;
    let shared = sandbox.shared_web_variants("webmau").len();
    let all: usize =
        sandbox.web("webmau").products().iter().map(|product| product["variants"].as_array().unwrap().len()).sum();
    assert!(shared * 10 > all * 6 && shared < all, "{shared} of {all}");
    assert!(sandbox.web("webhai").product_ids().len() > 30);
    assert_eq!(sandbox.web("webmau").variant_by_sku("").len(), 1);
}

#[tokio::test]
async fn a_bulk_of_both_sides_has_the_same_skus_and_tells_nothing() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let receiver = super::support::Receiver::start(&sandbox).await;
    sandbox.omni().bulk(1_000);
    sandbox.web("webmau").bulk(600);
    sandbox.web("webmau").bulk(400);
    for sku in ["SP-000001", "SP-001000"] {
        assert!(sandbox.omni().variant_by_sku(sku).is_some());
        assert_eq!(sandbox.web("webmau").variant_by_sku(sku).len(), 1);
    }
    sandbox.webhooks_settled().await;
    assert!(receiver.came().is_empty());
}
