//! Our own servers, each run in a child process.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use sapo_sync::app::rabbit_settings;
use sapo_sync::broker::Broker;
use sapo_sync::broker::embedded::Embedded;
use sapo_sync::broker::rabbitmq::RabbitMq;
use sapo_sync::broker::spool::Spooled;
use sapo_sync::config::RabbitConfig;
use sapo_sync::destination::{Http, HttpSettings, Limits, Rate};
use sapo_sync::domain::clock::Clock;
use sapo_sync::observe::{health, logs};
use sapo_sync::receive::{Receiver, router};
use sapo_sync::store::cache::SnapshotCache;
use sapo_sync::store::{Cipher, Store};
use sapo_sync::sync::connect::{apply, file};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{SECRET, rabbit};

/// Partitions of each kind, as the default settings have them.
pub const PARTITIONS: u16 = 8;
/// Events in the spool at the most, as the default settings have it.
const SPOOL_EVENTS: i64 = 500_000;

/// Serves until it is killed: `nothing PORT FOLDER`, `embedded PORT FOLDER`, `rabbitmq PORT FOLDER PREFIX`.
pub async fn serve(arguments: &[String]) {
    let (what, folder) = (arguments[0].as_str(), Path::new(&arguments[2]));
    logs::start("warn", false).unwrap();
    let router = match what {
        "nothing" => Router::new().route(
            "/webhooks/omni/{name}",
            post(async |_body: Bytes| "{\"id\":\"00000000-0000-0000-0000-000000000000\"}"),
        ),
        "embedded" => {
            let queue = Embedded::open(&folder.join("queue.db")).await.unwrap();
            receiver(folder, Arc::new(queue.clone()), queue).await
        }
        _ => {
            let config = RabbitConfig {
                url: SecretString::from(rabbit::url()),
                prefix: arguments[3].clone(),
                partitions: PARTITIONS,
                spool_events: SPOOL_EVENTS,
            };
            let settings = rabbit_settings(&config, "sapo-sync bench".to_owned());
            let spool = Embedded::open(&folder.join("spool.db")).await.unwrap();
            let broker = Spooled::new(RabbitMq::open(settings).await.unwrap(), spool.clone(), SPOOL_EVENTS);
            receiver(folder, Arc::new(broker), spool).await
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", arguments[1].parse().unwrap())).await.unwrap();
    let listener =
        axum::serve::ListenerExt::tap_io(listener, |stream: &mut TcpStream| stream.set_nodelay(true).unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// What `receive` serves, and beside it how `file` (the queue or the spool) stands: commits, a space, events in it.
async fn receiver(folder: &Path, broker: Arc<dyn Broker>, file: Embedded) -> Router {
    let store = connected_store(folder).await;
    let snapshot = SnapshotCache::new(store.clone());
    snapshot.refresh().await.unwrap();
    tokio::spawn(snapshot.clone().keep_fresh(CancellationToken::new()));
    let asked = Arc::clone(&broker);
    let ready: health::Ready = Arc::new(move || {
        let broker = Arc::clone(&asked);
        Box::pin(async move { broker.ready().await.map(|()| None).map_err(|error| error.to_string()) })
    });
    let state = move || {
        let file = file.clone();
        async move { format!("{} {}", file.commits(), file.depth().await.unwrap().events) }
    };
    router(Receiver::new(broker, snapshot, store, Clock::system()))
        .merge(health::router(ready))
        .route("/bench/state", post(state))
}

/// A store with one connection, in `SQLite`: webhooks are verified from the snapshot in memory, whatever is behind it.
pub async fn connected_store(folder: &Path) -> Store {
    let cipher = Cipher::from_key_or_file(None, &folder.join("master.key")).unwrap();
    let store =
        Store::open(&format!("sqlite://{}", folder.join("state.db").display()), cipher, Clock::system()).await.unwrap();
    let parsed = file::parse(&connections_file(), folder).unwrap();
    let limits = Limits::new(Clock::system(), Rate::SAPO, Rate::ABAHA);
    let http = Http::new(HttpSettings::default(), limits, Clock::system()).unwrap();
    apply(&store, &http, &parsed, false, true, "bench").await.unwrap();
    // The first webhook of a shop teaches it; a shop at work has long had it.
    store.learn_tenant("mau", "70001").await.unwrap();
    store
}

fn connections_file() -> String {
    format!(
        "[[store]]\nalias = \"mau\"\naccess_token = \"t\"\nwebhook_secret = \"{SECRET}\"\n\
         [[connection]]\nname = \"mau-abaha\"\nstore = \"mau\"\nchannel = \"abaha\"\nsite = \"501\"\ntoken = \"t\"\n\
         webhook_header = {{ name = \"X-Shop-Key\", value = \"v\" }}\nbranch = 58001\n"
    )
}
