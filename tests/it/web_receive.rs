//! Webhooks of Sapo Web sites: whose they are, whether they are believed, and what a captured one can do.

use sapo_sync::domain::linking::Side;
use serde_json::{Value, json};

use crate::harness::World;
use crate::web_world::{connections_each, web_alias, web_connection, web_site, webs};
use crate::wire::{Answer, post, sign};

async fn send(world: &World, number: usize, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    post(&world.url(), &format!("/webhooks/web/{}", web_alias(number)), headers, body).await
}

/// A product of a web as its webhook tells it.
fn product(world: &World, number: usize, variant: u64) -> Vec<u8> {
    let product = world.web_variant(number, variant)["product_id"].as_u64().unwrap();
    world.sandbox.web(&web_alias(number)).product(product).unwrap().to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webs_own_signature_under_either_name_is_taken_and_nothing_else_is() {
    let world = webs(2, "").await;
    let variant = world.on_web(1, "AT-S", 115_000, 3);
    world.quiet().await;
    let body = product(&world, 1, variant);
    let right = sign(&web_site(1).webhook_secret, &body);
    let wrapped = [b"{\"product\":", body.as_slice(), b"}"].concat();
    let signed_wrapped = sign(&web_site(1).webhook_secret, &wrapped);
    for (name, value, body) in [
        ("x-sapo-hmac-sha256", &right, &body),
        ("X-Bizweb-Hmac-SHA256", &right, &body),
        ("x-sapo-hmac-sha256", &signed_wrapped, &wrapped),
    ] {
        let answer = send(&world, 1, &[("x-sapo-topic", "products/update"), (name, value)], body).await;
        assert_eq!(answer.status, 200, "{name}");
        let answer = send(&world, 1, &[("x-bizweb-topic", "products/update"), (name, value)], body).await;
        assert_eq!(answer.status, 200, "{name}, the older name of the topic");
    }
    world.quiet().await;
    let before = world.events().await.len();
    let hex = hex::encode(crate::wire::mac(&web_site(1).webhook_secret, &body));
    let shop = |alias: &str| format!("{alias}.mysapo.net");
    let (own, other) = (shop(&web_alias(1)), shop(&web_alias(2)));
    let topic = ("x-sapo-topic", "products/update");
    let name = "x-sapo-hmac-sha256";
    let wrong = sign(&web_site(2).webhook_secret, &body);
    let old = "x-bizweb-hmac-sha256";
    for (what, number, headers) in [
        ("no signature", 1, vec![topic]),
        ("hex", 1, vec![topic, (name, hex.as_str())]),
        ("doubled", 1, vec![topic, (name, &right), (name, &right)]),
        ("doubled under the older name", 1, vec![topic, (old, &right), (old, &right)]),
        ("both names, the older one wrong", 1, vec![topic, (name, &right), (old, &wrong)]),
        ("both names, the current one wrong", 1, vec![topic, (name, &wrong), (old, &right)]),
        ("both names, the older one empty", 1, vec![topic, (name, &right), (old, "")]),
        ("both names, one of them doubled", 1, vec![topic, (name, &right), (old, &right), (old, &right)]),
        ("the other web's path", 2, vec![topic, (name, &right)]),
        ("another shop's name", 1, vec![topic, (name, &right), ("x-sapo-shop-domain", &other)]),
        ("another shop's older name", 1, vec![topic, (old, &right), ("x-bizweb-shop-domain", &other)]),
        (
            "two shops' names",
            1,
            vec![topic, (name, &right), ("x-sapo-shop-domain", &own), ("x-bizweb-shop-domain", &other)],
        ),
        (
            "a shop's name doubled",
            1,
            vec![topic, (name, &right), ("x-bizweb-shop-domain", &own), ("x-bizweb-shop-domain", &own)],
        ),
    ] {
        assert_eq!(send(&world, number, &headers, &body).await.status, 401, "{what}");
    }
    let current = [topic, (name, right.as_str()), ("x-sapo-shop-domain", own.as_str())];
    let older = [("x-bizweb-topic", topic.1), (old, right.as_str()), ("x-bizweb-shop-domain", own.as_str())];
    for headers in [&current[..], &older[..], &[current, older].concat()] {
        assert_eq!(send(&world, 1, headers, &body).await.status, 200, "{headers:?}");
    }
    world.quiet().await;
    assert_eq!(world.events().await.len(), before + 3, "what was refused left nothing");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_app_signs_for_several_webs_a_body_of_another_web_is_read_before_it_is_believed() {
    let world = webs(2, "").await;
    let (first, second) = (web_site(1).webhook_secret, web_site(2).webhook_secret);
    let text = connections_each(&world.sandbox, (true, true, true), |_| String::new());
    world.apply(&text.replace(&format!("\"{second}\""), &format!("[\"{second}\", \"{first}\"]"))).await;
    let variant = world.on_web(1, "AT-S", 115_000, 3);
    world.quiet().await;
    let body = product(&world, 1, variant);
    let headers = [("x-sapo-topic", "products/update"), ("x-sapo-hmac-sha256", &*sign(&first, &body))];
    world.sandbox.clear_calls();
    assert_eq!(send(&world, 2, &headers, &body).await.status, 200, "the secret signs for both");
    world.quiet().await;
    let product: Value = serde_json::from_slice(&body).unwrap();
    let read = world.sandbox.web_call_count(&web_alias(2), "GET", &format!("products/{}$", product["id"]));
    assert_eq!(read, 1, "it is asked for at the web that it came for");
    let (connection, id) = (web_connection(2), product["id"].to_string());
    let known = world.store().variants_of_product(&connection, Side::Channel, &id).await.unwrap();
    assert_eq!(known.len(), 0, "and is not there");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_webhook_changes_nothing_and_is_shown() {
    let world = webs(1, "").await;
    world.on_pos("AT-S", 115_000, 3);
    let variant = world.on_web(1, "AT-S", 115_000, 3);
    world.quiet().await;
    let body = json!({"id": 174_199_999, "name": "#9999", "status": "open", "modified_on": "2026-03-02T03:15:23Z",
        "line_items": [{"variant_id": variant, "quantity": 1, "price": 115_000}]});
    let body = body.to_string().into_bytes();
    let signature = sign(&web_site(1).webhook_secret, &body);
    for (name, value) in [("x-sapo-test", "true"), ("x-bizweb-test", "true"), ("X-Bizweb-Test", "True")] {
        let headers = [("x-sapo-topic", "orders/create"), ("x-sapo-hmac-sha256", &*signature), (name, value)];
        let seen = world.events().await.len();
        world.sandbox.clear_calls();
        assert_eq!(send(&world, 1, &headers, &body).await.status, 200, "{name}");
        world.quiet().await;
        assert_eq!(world.sandbox.calls().len(), 0, "{name}");
        let mut rows = world.events().await;
        assert_eq!(rows.len(), seen + 1, "{name}");
        let row = rows.pop().unwrap();
        assert_eq!((row.outcome.as_str(), row.topic.as_str()), ("skipped", "test/orders/create"), "{name}");
    }
    world.finish(&[]).await;
}
