use std::time::Duration;

use super::support::{Receiver, abaha, omni, sample_order, small};
use crate::sandbox::{Api, Timing, WebhookEffect, WebhookFault};
use serde_json::json;

fn fault(topic: &str, times: u32, effect: WebhookEffect) -> WebhookFault {
    WebhookFault { api: Api::Omni, topic: topic.into(), skip: 0, times, effect }
}

#[tokio::test]
async fn an_omni_webhook_is_the_bare_object_with_the_documented_headers() {
    let (sandbox, _) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    omni(&sandbox, "POST", "orders", Some(&sample_order())).await.unwrap();
    sandbox.webhooks_settled().await;
    let came = receiver.came();
    assert_eq!(receiver.topics(), ["orders/create"]);
    assert_eq!(came[0].path, "/webhooks/omni/cuahangmau");
    assert_eq!(came[0].json()["id"], 14_800_001);
    assert_eq!(came[0].header("x-sapo-order-id"), "14800001");
    assert_eq!(came[0].header("x-sapo-tenant-domain"), "cuahangmau.mysapogo.com");
    let signed = crate::sandbox::sign::base64_signature(&sandbox.config().webhook_secret, &came[0].body);
    assert_eq!(came[0].header("x-sapo-hmac-sha256"), signed);
    sandbox.omni().cancel(14_800_001).unwrap();
    sandbox.omni().delete_product(3_900_001).unwrap();
    sandbox.webhooks_settled().await;
    let mut topics = receiver.topics();
    topics.sort();
    assert_eq!(topics, ["orders/cancelled", "orders/create", "orders/update", "products/delete"]);
}

#[tokio::test]
async fn a_refused_webhook_is_sent_again_until_it_is_taken() {
    let (sandbox, id) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    receiver.answer(&[503, 401]);
    sandbox.omni().set_active(id, false).unwrap();
    sandbox.webhooks_settled().await;
    let answers: Vec<_> = sandbox.webhooks_sent().iter().map(|sent| (sent.try_no, sent.answer)).collect();
    assert_eq!(answers, [(1, Some(503)), (2, Some(401)), (3, Some(200))]);
    let bodies: Vec<_> = receiver.came().into_iter().map(|came| came.body).collect();
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
}

#[tokio::test]
async fn abaha_gives_up_after_three_sends_and_omni_when_its_schedule_ends() {
    let (sandbox, id) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    receiver.answer(&[500; 20]);
    sandbox.abaha().add_customer("Khách", "0912000001").unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!(sandbox.webhooks_sent().len(), 3);
    sandbox.omni().set_active(id, false).unwrap();
    sandbox.webhooks_settled().await;
    assert_eq!(sandbox.webhooks_sent().len(), 3 + 6);
}

#[tokio::test]
async fn webhooks_are_dropped_doubled_delayed_cut_and_swapped() {
    let (sandbox, id) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    let change = |active| sandbox.omni().set_active(id, active).unwrap();
    let count = || receiver.came().len();

    sandbox.faults().webhook(fault("products/", 1, WebhookEffect::Drop));
    change(false);
    sandbox.webhooks_settled().await;
    assert_eq!(count(), 0);

    sandbox.faults().webhook(fault("products/", 1, WebhookEffect::Duplicate(2)));
    sandbox.faults().webhook(fault("products/", 1, WebhookEffect::Delay(Duration::from_millis(30))));
    change(true);
    sandbox.webhooks_settled().await;
    assert_eq!(count(), 3);
    change(false);
    assert_eq!(sandbox.webhooks_waiting(), 1);
    sandbox.webhooks_settled().await;
    assert_eq!(count(), 4);

    sandbox.faults().webhook(fault("products/", 1, WebhookEffect::Truncate));
    receiver.answer(&[401]);
    change(true);
    sandbox.webhooks_settled().await;
    let came = receiver.came();
    assert_eq!(came.len(), 6);
    assert_eq!(came[4].body, came[5].body[..came[5].body.len() / 2]);
    assert_eq!(came[4].header("x-sapo-hmac-sha256"), came[5].header("x-sapo-hmac-sha256"));

    sandbox.faults().webhook(fault("products/", 1, WebhookEffect::Reorder));
    change(false);
    change(true);
    sandbox.webhooks_settled().await;
    let statuses: Vec<_> = receiver.came()[6..].iter().map(|came| came.json()["status"].clone()).collect();
    assert_eq!(statuses, [json!("active"), json!("inactive")]);
}

#[tokio::test]
async fn an_echo_comes_before_or_after_its_answer() {
    let (sandbox, _) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    sandbox.faults().echo_timing(Timing::Before);
    omni(&sandbox, "POST", "orders", Some(&sample_order())).await.unwrap();
    assert_eq!(receiver.topics(), ["orders/create"]);
    sandbox.faults().echo_timing(Timing::After);
    abaha(&sandbox, "customer/create", &json!({"name": "Khách", "tel": "0912000001"})).await;
    sandbox.webhooks_settled().await;
    assert_eq!(receiver.topics(), ["orders/create", "customer.created"]);
    sandbox.faults().echo_timing(Timing::During);
    abaha(&sandbox, "customer/create", &json!({"name": "Khách", "tel": "0912000002"})).await;
    sandbox.webhooks_settled().await;
    assert_eq!(receiver.came().len(), 3);
}

#[tokio::test]
async fn no_webhook_is_made_before_there_is_a_target_or_after_it_is_taken_away() {
    let (sandbox, id) = small().await;
    let receiver = Receiver::start(&sandbox).await;
    sandbox.stop_webhooks();
    sandbox.omni().set_active(id, false).unwrap();
    sandbox.webhooks_settled().await;
    assert!(receiver.came().is_empty());
}
