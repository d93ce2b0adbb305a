//! The three webhook endpoints, and the order of their checks: 413, 415, 401, 503, 200.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::TryStreamExt as _;
use futures::future::try_join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::verify::{self, Claim};
use super::{BODY_PATIENCE, MAX_BODY, MAX_IN_FLIGHT, ReceiveError};
use crate::broker::Broker;
use crate::domain::clock::Clock;
use crate::domain::event::{Event, System};
use crate::store::Store;
use crate::store::cache::SnapshotCache;

/// What the receiver works with.
#[derive(Clone)]
pub struct Receiver {
    broker: Arc<dyn Broker>,
    snapshot: SnapshotCache,
    store: Store,
    clock: Clock,
    budget: Arc<Semaphore>,
}

impl Receiver {
    /// Makes a receiver that publishes to `broker`.
    pub fn new(broker: Arc<dyn Broker>, snapshot: SnapshotCache, store: Store, clock: Clock) -> Self {
        Self { broker, snapshot, store, clock, budget: Arc::new(Semaphore::new(MAX_IN_FLIGHT)) }
    }
}

/// The webhook endpoints.
pub fn router(receiver: Receiver) -> Router {
    Router::new()
        .route(
            "/webhooks/omni/{name}",
            post(|state, path, headers, body| take(System::Omni, state, path, headers, body)),
        )
        .route("/webhooks/web/{name}", post(|state, path, headers, body| take(System::Web, state, path, headers, body)))
        .route(
            "/webhooks/abaha/{name}",
            post(|state, path, headers, body| take(System::Abaha, state, path, headers, body)),
        )
        .with_state(receiver)
}

async fn take(
    source: System,
    State(receiver): State<Receiver>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match receive(source, &receiver, &name, &headers, body).await {
        Ok(events) => {
            metrics::counter!("sapo_sync_webhooks_total", "source" => source.as_str(), "result" => "taken")
                .increment(1);
            let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
            Json(serde_json::json!({ "id": ids.first(), "ids": ids })).into_response()
        }
        Err(error) => {
            metrics::counter!("sapo_sync_webhooks_total", "source" => source.as_str(), "result" => error.code())
                .increment(1);
            error.into_response()
        }
    }
}

async fn receive(
    source: System,
    receiver: &Receiver,
    name: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<Event>, ReceiveError> {
    let (body, _budget) = read_body(receiver, headers, body).await?;
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(ReceiveError::Encoded);
    }
    let snapshot = receiver.snapshot.get().ok_or(ReceiveError::Away)?;
    let claim = Claim { source, name, headers, body: &body, received_at: receiver.clock.now() };
    let verified = verify::verify(&snapshot.0, &claim).map_err(|verify::Unauthorised| ReceiveError::Unauthorised);
    let verified = match verified {
        // A source that is missing here may be one that was connected since: with the store away that cannot be told.
        Err(error) if !receiver.snapshot.fresh() && !verify::is_known(&snapshot.0, source, name) => {
            return Err(if receiver.store.ping().await.is_err() { ReceiveError::Away } else { error });
        }
        other => other?,
    };
    try_join_all(verified.events.iter().map(|event| receiver.broker.publish(event))).await.map_err(|error| {
        tracing::warn!(code = error.code(), %error, source = source.as_str(), "a webhook could not be kept; its sender will repeat it");
        ReceiveError::Away
    })?;
    crate::observe::crash::point("published");
    if let Some((alias, tenant)) = verified.learned_tenant {
        let store = receiver.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.learn_tenant(&alias, &tenant).await {
                tracing::warn!(code = error.code(), %error, "the store's tenant could not be remembered; the next webhook tells it again");
            }
        });
    }
    Ok(verified.events)
}

/// Reads a body of at most [`MAX_BODY`] within the byte budget of all bodies in flight.
async fn read_body(
    receiver: &Receiver,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, OwnedSemaphorePermit), ReceiveError> {
    let stated: Option<usize> = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if stated.is_some_and(|length| length > MAX_BODY) {
        return Err(ReceiveError::TooLarge);
    }
    let permits = u32::try_from(stated.unwrap_or(MAX_BODY)).unwrap_or(u32::MAX);
    let permit = Arc::clone(&receiver.budget).try_acquire_many_owned(permits).map_err(|_| ReceiveError::Busy)?;
    let mut whole = Vec::with_capacity(stated.unwrap_or(0));
    let mut stream = body.into_data_stream();
    let deadline = tokio::time::Instant::now() + BODY_PATIENCE;
    let next = async |stream: &mut BodyDataStream| match tokio::time::timeout_at(deadline, stream.try_next()).await {
        Ok(part) => part.map_err(|_| ReceiveError::Broken),
        Err(_) => Err(ReceiveError::Broken),
    };
    while let Some(part) = next(&mut stream).await? {
        if whole.len() + part.len() > MAX_BODY {
            return Err(ReceiveError::TooLarge);
        }
        whole.extend_from_slice(&part);
    }
    Ok((whole.into(), permit))
}
