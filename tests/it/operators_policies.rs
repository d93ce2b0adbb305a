//! The policies of `deploy/rabbitmq` on a broker: loaded either way they say the same, and keep away from our queues
//! what an operator sets for all queues of the vhost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sapo_sync::broker::rabbitmq::{RabbitMq, RabbitSettings};
use sapo_sync::broker::{Broker as _, Depth, Share};
use sapo_sync::domain::event::Kind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{PATIENCE, until};
use crate::rabbitmq::{event, take};
use crate::servers::RabbitServer;

/// Vhost, user and prefix are the ones that `deploy/rabbitmq` names.
const NAME: &str = "sapo-sync";
const PASSWORD: &str = "mat-khau";
/// Made for somebody else: on our queues it would drop what was confirmed and give up what was handed out twice.
const FOR_ALL: &str = r#"{"max-length":1,"overflow":"drop-head","delivery-limit":1}"#;
const EVENTS: usize = 5;

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rabbitmq").join(file)
}

/// The password as definitions have it: base64 of a salt of four bytes and SHA-256 of salt and password.
fn password_hash() -> String {
    let salt = [7; 4];
    let digest = Sha256::digest([&salt[..], PASSWORD.as_bytes()].concat());
    STANDARD.encode([&salt[..], &digest[..]].concat())
}

/// What each policy of the vhost sets.
async fn policies(rabbit: &RabbitServer) -> BTreeMap<String, Value> {
    let listed = rabbit.try_ctl(&["-q", "list_policies", "--no-table-headers", "-p", NAME]).await.unwrap_or_default();
    let policy = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let definition = columns.iter().find(|column| column.starts_with('{'))?;
        Some((columns[1].to_owned(), serde_json::from_str(definition).unwrap()))
    };
    listed.lines().filter_map(policy).collect()
}

async fn open(rabbit: &RabbitServer) -> RabbitMq {
    let url = rabbit.url().replace("guest:guest", &format!("{NAME}:{PASSWORD}")).replace("%2f", NAME);
    let settings = RabbitSettings {
        url: url.into(),
        prefix: NAME.to_owned(),
        partitions: 2,
        name: "sapo-sync test".to_owned(),
        publish_timeout: PATIENCE,
        window: 256,
    };
    RabbitMq::open(settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn our_policies_keep_a_policy_for_all_queues_away_from_what_is_in_ours() {
    let rabbit = RabbitServer::start().await;
    let template = std::fs::read_to_string(deploy("definitions.template.json")).unwrap();
    let definitions = template.replace("@PASSWORD_HASH@", &password_hash());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("definitions.json");
    std::fs::write(&file, &definitions).unwrap();
    let definitions: Value = serde_json::from_str(&definitions).unwrap();
    let wanted: BTreeMap<String, Value> = definitions["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| (policy["name"].as_str().unwrap().to_owned(), policy["definition"].clone()))
        .collect();
    assert_eq!(wanted.len(), 3);
    rabbit.ctl(&["import_definitions", file.to_str().unwrap()]).await;
    // It goes on by itself, and policies come last.
    until("the definitions are loaded", async || policies(&rabbit).await == wanted).await;
    for name in wanted.keys() {
        rabbit.ctl(&["clear_policy", "-p", NAME, name.as_str()]).await;
    }
    assert!(policies(&rabbit).await.is_empty());
    rabbit.script(&deploy("set-policies.sh")).await;
    assert_eq!(policies(&rabbit).await, wanted, "the script sets what the definitions do");
    rabbit.ctl(&["set_policy", "-p", NAME, "--priority", "1", "--apply-to", "queues", "for-all", ".*", FOR_ALL]).await;

    let (first, second) = (open(&rabbit).await, open(&rabbit).await);
    assert!(first.is_up() && second.is_up(), "the probe's queue took one after the other");
    let listed = rabbit.ctl(&["-q", "list_queues", "--no-table-headers", "-p", NAME, "name", "policy"]).await;
    let holds: BTreeMap<&str, &str> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    assert_eq!(holds.len(), 8, "three kinds in two partitions, dead letters and the probe: {listed}");
    for (queue, policy) in holds {
        let own = match queue.strip_prefix("sapo-sync.").unwrap() {
            "dead" => "sapo-sync-dead",
            "probe" => "sapo-sync-probe",
            _ => "sapo-sync-events",
        };
        assert_eq!(policy, own, "of {queue}");
    }

    // More than one lies there, and each is handed out more than once.
    for number in 0..EVENTS {
        first.publish(&event(Kind::Order, "cuahangmau", number)).await.unwrap();
    }
    let mut taker = second.consume(Share::all(second.partitions())).await.unwrap();
    for _ in 0..3 {
        for delivery in take(&mut taker, EVENTS).await {
            delivery.give_back().await;
        }
    }
    let mut ids = Vec::new();
    for delivery in take(&mut taker, EVENTS).await {
        ids.push(delivery.event().id);
        delivery.reject().await.unwrap();
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), EVENTS, "none was dropped");
    let mut dead = first.consume_dead().await.unwrap();
    for _ in 0..3 {
        for letter in take(&mut dead, EVENTS).await {
            letter.give_back().await;
        }
    }
    let mut letters = Vec::new();
    for letter in take(&mut dead, EVENTS).await {
        letters.push(letter.event().id);
        letter.ack().await.unwrap();
    }
    letters.sort_unstable();
    assert_eq!(letters, ids, "and each became a dead letter");
    until("nothing is left", async || first.depth().await.is_ok_and(|depth| depth == Depth::default())).await;
    first.ready().await.unwrap();
    first.close().await;
    second.close().await;
}
