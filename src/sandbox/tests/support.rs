//! A receiver of webhooks, and short ways to call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};

use crate::sandbox::{NewWebProduct, NewWebVariant, Sandbox, SandboxConfig, WebProductIds, WebSite};

/// One webhook as it came in.
#[derive(Clone, Debug)]
pub struct Came {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Came {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A receiver that answers from a list of statuses, then 200.
#[derive(Clone, Default)]
pub struct Receiver {
    pub came: Arc<Mutex<Vec<Came>>>,
    pub answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    pub async fn start(sandbox: &Sandbox) -> Self {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        receiver.serve(listener);
        sandbox.send_webhooks_to(&base);
        receiver
    }

    /// Takes webhooks at one more address.
    pub fn serve(&self, listener: tokio::net::TcpListener) {
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    pub fn answer(&self, statuses: &[u16]) {
        *self.answers.lock().unwrap() = statuses.to_vec();
    }

    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    pub fn topics(&self) -> Vec<String> {
        let topic = |came: &Came| {
            let topic = Some(came.header("x-sapo-topic")).filter(|topic| !topic.is_empty());
            let topic = topic.unwrap_or_else(|| came.header("x-bizweb-topic"));
            if topic.is_empty() {
                came.json()["event"].as_str().unwrap_or_default().to_owned()
            } else {
                topic.to_owned()
            }
        };
        self.came().iter().map(topic).collect()
    }
}

async fn take(State(receiver): State<Receiver>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    receiver.came.lock().unwrap().push(Came { path: parts.uri.path().to_owned(), headers: parts.headers, body });
    let mut answers = receiver.answers.lock().unwrap();
    let status = if answers.is_empty() { 200 } else { answers.remove(0) };
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// A sandbox whose retries come at once.
pub async fn sandbox(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let quick = vec![Duration::from_millis(5); 5];
    let mut config = SandboxConfig { retry: quick.clone(), abaha_retry: quick, ..SandboxConfig::default() };
    change(&mut config);
    Sandbox::start(config).await.unwrap()
}

/// A sandbox with one product of two variants and one customer.
pub async fn small() -> (Sandbox, u64) {
    let sandbox = sandbox(|_| {}).await;
    let id = sandbox
        .omni()
        .add_product(&json!({
            "name": "Áo thun cổ tròn", "category": "Áo",
            "variants": [
                {"sku": "AT-S", "option": "S", "retail": 120_000, "stock": {"58001": 12, "58002": 5}},
                {"sku": "AT-M", "option": "M", "retail": 120_000, "stock": {"58002": 3}}
            ]
        }))
        .unwrap();
    sandbox.omni().add_customer("Trần Thị Mẫu", Some("0912000001"));
    (sandbox, id)
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Calls Omni with the right token and branch.
pub async fn omni(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), reqwest::Error> {
    let mut request = client()
        .request(method.parse().unwrap(), format!("{}/admin/{path}", sandbox.omni_url()))
        .header("X-Sapo-Access-Token", &sandbox.config().access_token)
        .header("X-Sapo-LocationId", "58001");
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// A sandbox with two Sapo Web sites, and a product of two variants on the first: AT-S and AT-M.
pub async fn two_sites(change: impl FnOnce(&mut SandboxConfig)) -> (Sandbox, WebProductIds) {
    let sandbox = sandbox(|config| {
        let quick = config.retry.clone();
        let site = |alias| WebSite { webhook_retry: quick.clone(), ..WebSite::named(alias) };
        config.web_sites = vec![site("webmau"), site("webhai")];
        change(config);
    })
    .await;
    let variant = |sku: &str, stock: i64| NewWebVariant {
        sku: sku.into(),
        price: 115_000.into(),
        compare_at: None,
        stock: stock.into(),
        managed: true,
    };
    let variants = vec![variant("AT-S", 12), variant("AT-M", 3)];
    let product = NewWebProduct { name: "Áo thun cổ tròn".into(), variants, published: true };
    let ids = sandbox.web("webmau").add_product(product);
    (sandbox, ids)
}

/// Calls a Sapo Web site with its token.
pub async fn web(
    sandbox: &Sandbox,
    alias: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), reqwest::Error> {
    let mut request = client()
        .request(method.parse().unwrap(), format!("{}/admin/{path}", sandbox.web_url(alias)))
        .header("X-Sapo-Access-Token", &sandbox.web(alias).config().access_token);
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// A sample payload.
pub fn sample(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The names of an object's fields, in order.
pub fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Calls Abaha with the right token.
pub async fn abaha(sandbox: &Sandbox, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/{path}?token={}", sandbox.abaha_url(), sandbox.config().abaha_token);
    let response = client().post(url).json(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The sample order: two of S, one of M, 20,000 off, 30,000 delivery.
pub fn sample_order() -> Value {
    json!({"order": {
        "status": "draft", "customer_id": 3_689_001, "source_id": 387_002, "account_id": 72_001, "assignee_id": 72_001,
        "price_list_id": 167_001, "phone_number": "0912000001", "reference_number": "ABH000001", "tax_treatment": "inclusive",
        "note": "Giao buổi sáng", "tags": ["sapo-sync:mau-abaha"], "order_discount_value": 20_000, "delivery_fee": {"fee": 30_000},
        "order_line_items": [
            {"variant_id": 5_700_001, "product_id": 3_900_001, "price": 120_000, "quantity": 2},
            {"variant_id": 5_700_002, "product_id": 3_900_001, "price": 120_000, "quantity": 1}
        ]
    }})
}
