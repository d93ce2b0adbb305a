//! What connecting a shop needs: its price lists and its registered webhooks.

use reqwest::Method;

use crate::destination::error::{CallError, WireError};
use crate::destination::fields::{flag, integer, object, text};
use crate::destination::hook::{Hook, hook, hook_body};
use crate::destination::http::Call;
use crate::destination::omni::error::Asked;

use super::{OmniClient, one};

/// A price list (Chính sách giá).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceList {
    /// Its id.
    pub id: u64,
    /// Its code: `BANLE`.
    pub code: String,
    /// What people call it.
    pub name: String,
    /// Whether it says what goods cost the shop: such prices never leave it.
    pub cost: bool,
}

impl OmniClient {
    /// The price lists.
    pub async fn price_lists(&self) -> Result<Vec<PriceList>, CallError> {
        self.walk("price_lists", None, price_list, |list| list.id.to_string()).await
    }

    /// The webhooks registered by this app.
    pub async fn webhooks(&self) -> Result<Vec<Hook>, CallError> {
        self.walk("webhooks", None, hook, |hook| hook.id.clone()).await
    }

    /// Registers a webhook.
    pub async fn create_webhook(&self, topic: &str, address: &str) -> Result<Hook, CallError> {
        let call = self
            .write("admin/webhooks.json", format!("register the webhook {topic} at the shop"))
            .json(&hook_body(topic, address));
        self.send(call, Asked::Other, "the new webhook", hook).await
    }

    /// Changes a registered webhook.
    pub async fn update_webhook(&self, id: &str, topic: &str, address: &str) -> Result<(), CallError> {
        let path = one("webhooks", "webhook", id, "")?;
        let call = Call::write_with(Method::PUT, path, format!("change the webhook {topic} at the shop"))
            .json(&hook_body(topic, address));
        self.send(call, Asked::Other, &format!("webhook {id}"), |_| Ok(())).await
    }

    /// Takes a webhook off the shop.
    pub async fn delete_webhook(&self, id: &str) -> Result<(), CallError> {
        let path = one("webhooks", "webhook", id, "")?;
        let call = Call::write_with(Method::DELETE, path, format!("remove webhook {id} from the shop"));
        self.send(call, Asked::Other, &format!("webhook {id}"), |_| Ok(())).await
    }
}

/// A list of costs says so, or has the code of the one that comes with every shop.
fn price_list(body: &[u8]) -> Result<PriceList, WireError> {
    let it = object(body)?;
    let code = text(&it, "code").unwrap_or_default();
    Ok(PriceList {
        id: integer(&it, "id").and_then(|id| u64::try_from(id).ok()).ok_or(WireError::Missing("id"))?,
        name: text(&it, "name").or_else(|| text(&it, "label")).unwrap_or_default(),
        cost: flag(&it, "is_cost") || code == "GIANHAP",
        code,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wiremock::matchers::{body_json, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::destination::http::tests::{http, token};

    async fn shop() -> (MockServer, OmniClient) {
        let server = MockServer::start().await;
        let client = OmniClient::new(&http(), "cuahangmau", token(), Some(&server.uri())).unwrap();
        (server, client)
    }

    #[tokio::test]
    async fn price_lists_of_costs_are_marked() {
        let (server, client) = shop().await;
        let settings: Value =
            serde_json::from_str(include_str!("../../../../tests/fixtures/omni/get-settings.json")).unwrap();
        Mock::given(path("/admin/price_lists.json"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"price_lists": settings["price_lists"]})))
            .expect(1)
            .mount(&server)
            .await;
        let lists = client.price_lists().await.unwrap();
        let lists: Vec<(u64, &str, bool)> = lists.iter().map(|list| (list.id, list.code.as_str(), list.cost)).collect();
        assert_eq!(lists, [(167_001, "BANLE", false), (167_002, "BANBUON", false), (167_003, "GIANHAP", true)]);
    }

    #[tokio::test]
    async fn webhooks_are_listed_registered_changed_and_removed() {
        let (server, client) = shop().await;
        let row = json!({"id": 7, "topic": "orders/create", "address": "https://x.example/h", "format": "json"});
        let body = json!({"webhook": {"topic": "orders/create", "address": "https://x.example/h", "format": "json"}});
        Mock::given(method("GET"))
            .and(path("/admin/webhooks.json"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"webhooks": [row]})))
            .mount(&server)
            .await;
        for (verb, at, answer) in [
            ("POST", "/admin/webhooks.json", json!({"webhook": row})),
            ("PUT", "/admin/webhooks/7.json", json!({"webhook": row})),
        ] {
            Mock::given(method(verb))
                .and(path(at))
                .and(body_json(&body))
                .respond_with(ResponseTemplate::new(200).set_body_json(answer))
                .expect(1)
                .mount(&server)
                .await;
        }
        Mock::given(method("DELETE"))
            .and(path("/admin/webhooks/7.json"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        let hook = Hook { id: "7".into(), topic: "orders/create".into(), address: "https://x.example/h".into() };
        assert_eq!(client.webhooks().await.unwrap(), std::slice::from_ref(&hook));
        assert_eq!(client.create_webhook("orders/create", "https://x.example/h").await.unwrap(), hook);
        client.update_webhook("7", "orders/create", "https://x.example/h").await.unwrap();
        client.delete_webhook("7").await.unwrap();
        assert_eq!(client.delete_webhook("../orders/1").await.unwrap_err().code(), "not_found");
        assert!(matches!(client.dry().delete_webhook("7").await, Err(CallError::DryRun { .. })));
    }
}
