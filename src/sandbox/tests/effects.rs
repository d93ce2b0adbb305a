use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::support::{Receiver, client, omni, sample_order, sandbox, small};
use crate::sandbox::{Api, ApiEffect, ApiFault, BucketConfig, Phase, Sandbox, TrafficConfig, traffic};

fn fault(sandbox: &Sandbox, effect: ApiEffect) {
    let (api, method, path) = (Api::Omni, Some("POST".into()), "orders$".into());
    sandbox.faults().api(ApiFault { api, method, path, skip: 0, times: 1, effect });
}

async fn post(sandbox: &Sandbox) -> Result<(u16, Value), reqwest::Error> {
    omni(sandbox, "POST", "orders.json", Some(&sample_order())).await
}

#[tokio::test]
async fn faults_before_the_work_leave_the_shop_as_it_was() {
    let (sandbox, _) = small().await;
    fault(&sandbox, ApiEffect::Status { code: 503, retry_after: Some(7) });
    assert_eq!(post(&sandbox).await.unwrap().0, 503);
    fault(&sandbox, ApiEffect::HtmlError(502));
    let (status, page) = post(&sandbox).await.unwrap();
    assert!(status == 502 && page.as_str().unwrap().starts_with("<!DOCTYPE"));
    fault(&sandbox, ApiEffect::ResetBefore);
    assert!(post(&sandbox).await.is_err());
    assert!(sandbox.omni().orders().is_empty());
    assert!(sandbox.calls().iter().all(|call| !call.worked && call.writing));
    assert_eq!(post(&sandbox).await.unwrap().0, 201);
}

#[tokio::test]
async fn faults_after_the_work_lose_only_the_answer() {
    let (sandbox, _) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    fault(&sandbox, ApiEffect::WorkThenReset);
    assert!(post(&sandbox).await.is_err());
    assert_eq!(sandbox.omni().orders().len(), 1);
    assert_eq!((sandbox.calls()[0].status, sandbox.calls()[0].worked), (None, true));
    fault(&sandbox, ApiEffect::WrongJson);
    let (status, half) = post(&sandbox).await.unwrap();
    assert!(status == 201 && half.is_string());
    fault(&sandbox, ApiEffect::SlowBody(Duration::from_millis(40)));
    assert_eq!(post(&sandbox).await.unwrap().1["order"]["id"], 14_800_003);
    fault(&sandbox, ApiEffect::WorkThenHang(Duration::from_millis(20)));
    assert_eq!(post(&sandbox).await.unwrap().1["order"]["id"], 14_800_004);
    sandbox.webhooks_settled().await;
    assert_eq!(receiver.came().len(), 4);
}

#[tokio::test]
async fn late_work_is_done_after_the_connection_is_gone() {
    let (sandbox, _) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    let late = Duration::from_secs(1);
    fault(&sandbox, ApiEffect::WorkLater(late));
    let began = Instant::now();
    assert!(post(&sandbox).await.is_err());
    let made = sandbox.omni().orders().len();
    // On a slow machine the work may be due by now.
    assert!(made == 0 || began.elapsed() >= late, "it was done before its time");
    sandbox.webhooks_settled().await;
    assert_eq!(sandbox.omni().orders().len(), 1);
    assert_eq!(receiver.topics(), ["orders/create"]);
}

#[tokio::test]
async fn a_held_answer_comes_when_it_is_released() {
    let (sandbox, _) = small().await;
    fault(&sandbox, ApiEffect::Hold("made".into()));
    let caller = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { post(&sandbox).await.unwrap().0 }
    });
    sandbox.faults().reached("made").await;
    assert_eq!(sandbox.omni().orders().len(), 1);
    assert!(!caller.is_finished());
    sandbox.faults().release("made");
    assert_eq!(caller.await.unwrap(), 201);
}

#[tokio::test]
async fn the_hook_is_told_of_each_phase_on_the_spot() {
    let (sandbox, _) = small().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    sandbox.on_call({
        let seen = Arc::clone(&seen);
        move |call| seen.lock().unwrap().push((call.path.clone(), call.phase))
    });
    fault(&sandbox, ApiEffect::WorkThenReset);
    assert!(post(&sandbox).await.is_err());
    let path = || String::from("orders");
    assert_eq!(*seen.lock().unwrap(), [(path(), Phase::Received), (path(), Phase::WorkDone)]);
    omni(&sandbox, "GET", "orders.json", None).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 5);
    assert_eq!(seen.lock().unwrap()[4].1, Phase::Answered);
}

#[tokio::test]
async fn a_full_bucket_answers_429_with_a_wait() {
    let sandbox = sandbox(|config| config.bucket = BucketConfig { size: 3, leak_per_second: 0.5, header: false }).await;
    for _ in 0..3 {
        assert_eq!(omni(&sandbox, "GET", "tenant", None).await.unwrap().0, 200);
    }
    let url = format!("{}/admin/tenant", sandbox.omni_url());
    let full = client().get(url).send().await.unwrap();
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (429, "2"));
    assert!(full.headers().get("x-sapo-api-call-limit").is_none());
}

#[tokio::test]
async fn the_control_api_looks_changes_and_says_what_is_wrong() {
    let (sandbox, id) = small().await;
    let call = async |method: &str, path: &str, body: Value| {
        let url = format!("{}/{path}", sandbox.control_url());
        let answer = client().request(method.parse().unwrap(), url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (_, product) =
        call("POST", &format!("omni/products/{id}"), json!({"price": 99_000, "stock": {"58001": 4}, "active": false}))
            .await;
    assert_eq!(
        (&product["status"], &product["variants"][0]["variant_retail_price"]),
        (&json!("inactive"), &json!(99_000))
    );
    let order = json!({"lines": [{"sku": "AT-S", "quantity": 2, "price": 99_000}], "customer_id": 3_689_001});
    let (_, made) = call("POST", "omni/orders", order).await;
    let (status, _) = call("POST", &format!("omni/orders/{}/complete", made["id"]), json!({})).await;
    assert_eq!(status, 200);
    let (status, wrong) = call("POST", &format!("omni/orders/{}/cancel", made["id"]), json!({})).await;
    assert!(status == 400 && wrong["error"].as_str().unwrap().contains("phiếu trả hàng"), "{wrong}");
    let (_, made) = call("POST", "abaha/orders", json!({"lines": [{"product_code": "AT-S", "price": 99_000}]})).await;
    call("POST", &format!("abaha/orders/{}", made["id"]), json!({"status": 0, "paid": true})).await;
    let (_, state) = call("GET", "state", json!({})).await;
    assert_eq!(state["omni"], json!({"products": 1, "customers": 1, "orders": {"completed": 1}}));
    assert_eq!(state["abaha"]["orders"], json!({"0": 1}));
    let (status, wrong) = call("POST", "faults", json!({"api": "omni", "effect": "explode"})).await;
    assert!(status == 400 && wrong["error"].as_str().unwrap().contains("explode"));
    call("POST", "faults", json!({"api": "omni", "path": "tenant", "effect": "status", "code": 418})).await;
    assert_eq!(omni(&sandbox, "GET", "tenant.json", None).await.unwrap().0, 418);
    assert_eq!(call("GET", "nothing", json!({})).await.0, 404);
}

#[tokio::test]
async fn traffic_changes_both_shops_and_tells_of_it() {
    let sandbox = sandbox(|config| (config.products, config.customers) = (30, 20)).await;
    let sku = sandbox.omni().products()[0]["variants"][0]["sku"].as_str().unwrap().to_owned();
    sandbox.abaha().add_product(&sku, "Áo", 120_000, 3).unwrap();
    let mut news = sandbox.watch();
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (sandbox, stop) = (sandbox.clone(), stop.clone());
        async move {
            traffic(&sandbox, TrafficConfig { events_per_second: 2000.0, seed: 3 }, stop).await;
        }
    });
    for _ in 0..120 {
        news.recv().await.unwrap();
    }
    stop.cancel();
    running.await.unwrap();
    assert!(!sandbox.omni().orders().is_empty() && !sandbox.abaha().orders().is_empty());
}

#[tokio::test]
async fn a_stopped_sandbox_gives_its_address_back() {
    let (sandbox, _) = small().await;
    omni(&sandbox, "GET", "tenant", None).await.unwrap();
    let address = sandbox.omni_url().replace("http://", "").parse().unwrap();
    sandbox.stop().await;
    let again = super::support::sandbox(|config| config.omni_listen = address).await;
    assert_eq!(omni(&again, "GET", "tenant", None).await.unwrap().0, 200);
}
