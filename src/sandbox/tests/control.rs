//! The control API over Sapo Web sites, as a script uses it.

use serde_json::{Value, json};

use super::support::{Receiver, client, two_sites};
use crate::sandbox::Sandbox;

async fn call(sandbox: &Sandbox, method: &str, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/{path}", sandbox.control_url());
    let answer = client().request(method.parse().unwrap(), url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
}

#[tokio::test]
async fn a_script_adds_changes_and_deletes_what_a_web_sells_and_the_web_tells_it() {
    let (sandbox, _) = two_sites(|_| {}).await;
    let receiver = Receiver::start(&sandbox).await;
    let given = json!({
        "name": "Mũ len",
        "variants": [{"sku": "MU-1", "price": 90_000, "stock": 4}, {"sku": "MU-2", "managed": false}]
    });
    let (status, made) = call(&sandbox, "POST", "web/webhai/products", given).await;
    assert_eq!(status, 200, "{made}");
    let (first, second) = (&made["variants"][0], &made["variants"][1]);
    let path = format!("web/webhai/products/{}", made["id"]);
    let (_, product) = call(&sandbox, "GET", &path, json!({})).await;
    assert_eq!((&product["name"], &product["variants"][0]["price"]), (&json!("Mũ len"), &json!(90_000.0)));
    assert_eq!(product["variants"][0]["inventory_quantity"], 4);
    assert_eq!(product["variants"][1]["inventory_management"], "");

    let edit = json!({
        "name": "Mũ len xanh", "published": false, "variant_id": first, "price": "95000", "compare_at": 120_000,
        "managed": false
    });
    let (status, product) = call(&sandbox, "POST", &path, edit).await;
    assert_eq!((status, &product["name"], &product["published_on"]), (200, &json!("Mũ len xanh"), &Value::Null));
    let [one, other] = [&product["variants"][0], &product["variants"][1]];
    assert_eq!((&one["price"], &one["compare_at_price"]), (&json!(95_000.0), &json!(120_000.0)));
    assert_eq!((&one["inventory_management"], &other["price"]), (&json!(""), &json!(100_000.0)), "one was named");

    let edit = json!({"managed": true, "stock": 7, "compare_at": null, "sku": "MU-3"});
    let (status, variant) = call(&sandbox, "POST", &format!("web/webhai/variants/{first}"), edit).await;
    assert_eq!((status, &variant["sku"], &variant["compare_at_price"]), (200, &json!("MU-3"), &Value::Null));
    assert_eq!((&variant["inventory_management"], &variant["inventory_quantity"]), (&json!("bizweb"), &json!(7)));

    assert_eq!(call(&sandbox, "DELETE", &format!("web/webhai/variants/{second}"), json!({})).await.0, 200);
    let (_, product) = call(&sandbox, "GET", &path, json!({})).await;
    assert_eq!(product["variants"].as_array().unwrap().len(), 1);
    assert_eq!(call(&sandbox, "DELETE", &path, json!({})).await.0, 200);
    assert_eq!(call(&sandbox, "GET", &path, json!({})).await.0, 404);
    sandbox.webhooks_settled().await;
    let topics = receiver.topics();
    for topic in ["products/create", "products/delete"] {
        assert_eq!(topics.iter().filter(|told| *told == topic).count(), 1, "{topic}: {topics:?}");
    }
    assert!(topics.iter().any(|told| told == "products/update"), "{topics:?}");
}

#[tokio::test]
async fn what_a_script_asks_wrongly_of_a_web_is_told_and_changes_nothing() {
    let (sandbox, ids) = two_sites(|_| {}).await;
    let before = sandbox.web("webmau").product(ids.id).unwrap();
    let (product, variant) = (format!("products/{}", ids.id), format!("variants/{}", ids.variants[0]));
    for (path, body, said) in [
        (&variant, json!({"price": "a lot", "stock": 1}), "price must be a number"),
        (&variant, json!({"price": 1, "managed": "yes"}), "managed must be true or false"),
        (&variant, json!({"sku": 7}), "sku must be a text"),
        (&product, json!({"sku": "AT", "price": 1}), "variant_id"),
        (&product, json!({"variant_id": 1, "price": 1}), "no variant 1"),
        (&product, json!({"published": "no", "price": 1}), "published must be true or false"),
        (&"products".to_owned(), json!({"variants": []}), "needs a variant"),
    ] {
        let (status, answer) = call(&sandbox, "POST", &format!("web/webmau/{path}"), body).await;
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(said), "{path}: {answer}");
    }
    assert_eq!(sandbox.web("webmau").products(), [before]);
    assert_eq!(call(&sandbox, "POST", "web/webmau/variants/1", json!({"price": 1})).await.0, 404);
    assert_eq!(call(&sandbox, "POST", "web/khongco/products", json!({})).await.0, 404);
}
