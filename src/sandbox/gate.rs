//! The way of every API call: limit, fault, work, webhooks, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::calls::CallAt;
use super::inner::Inner;
use super::serve::Line;
use super::webhooks::{self, Change, Post};
use super::{Api, ApiEffect, CallSeen, Phase, Timing};

/// How long after its answer a call's own webhooks go: longer than the answer's way to the caller.
const AFTER: Duration = Duration::from_millis(20);
/// In how many drops a slow answer comes.
const DROPS: usize = 8;

/// A call that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub api: Api,
    /// The Sapo Web site's alias; none for the other systems.
    pub site: Option<String>,
    pub method: String,
    /// The path after `/admin/` or `/`, without `.json`.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub line: Line,
    pub writing: bool,
}

impl Request {
    /// A header's text, or "".
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What an API answers, and what it changed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub html: bool,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub object_id: Option<u64>,
    pub changes: Vec<Change>,
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        let (headers, changes) = (Vec::new(), Vec::new());
        Self { status, html: false, headers, body: body.to_string(), object_id: None, changes }
    }

    /// An HTML page, as a proxy or an unknown path answers.
    pub fn html(status: u16) -> Self {
        let body =
            format!("<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>");
        Self { html: true, body, ..Self::json(status, &Value::Null) }
    }
}

/// Takes a call through limit and faults to its work, and its answer back.
pub(crate) async fn pass(
    inner: Arc<Inner>,
    request: Request,
    work: impl FnOnce(&Inner, &Request) -> Answer + Send + 'static,
) -> Response<Body> {
    let seen = Seen::new(&inner, &request);
    seen.tell(Phase::Received);
    let (limit, level) = inner.limit(request.api, request.site.as_deref());
    if let Err(wait) = limit {
        return seen.answer(refusal(request.api, 429, Some(wait)), level, None);
    }
    let effect = inner.faults.take_api(request.api, request.site.as_deref(), &request.method, &request.path);
    match effect {
        Some(ApiEffect::Status { code, retry_after }) => {
            return seen.answer(refusal(request.api, code, retry_after), level, None);
        }
        Some(ApiEffect::HtmlError(code)) => return seen.answer(Answer::html(code), level, None),
        Some(ApiEffect::ResetBefore) => return cut(&request),
        Some(ApiEffect::WorkLater(time)) => {
            let response = cut(&request);
            work_later(inner, seen, request, time, work);
            return response;
        }
        _ => {}
    }
    let mut answer = work(&inner, &request);
    // From here the webhooks go whatever becomes of the answer: `Seen` sends them when it is dropped.
    let mut seen = seen.worked(&mut answer);
    match inner.faults.timing() {
        Timing::Before => webhooks::launch_and_wait(&inner, std::mem::take(&mut seen.posts)).await,
        Timing::During => webhooks::launch(&inner, std::mem::take(&mut seen.posts)),
        Timing::After => {}
    }
    let mut slow = None;
    match effect {
        Some(ApiEffect::WorkThenReset) => return cut(&request),
        Some(ApiEffect::WorkThenHang(time)) => until_stopped(&inner, tokio::time::sleep(time)).await,
        Some(ApiEffect::Hold(name)) => {
            let hold = inner.faults.hold(&name);
            until_stopped(&inner, hold.wait()).await;
        }
        Some(ApiEffect::WrongJson) => {
            let half = (0..=answer.body.len() / 2).rev().find(|at| answer.body.is_char_boundary(*at)).unwrap_or(0);
            answer.body.truncate(half);
        }
        Some(ApiEffect::SlowBody(time)) => slow = Some(time),
        _ => {}
    }
    seen.answer(answer, level, slow)
}

async fn until_stopped(inner: &Inner, wait: impl Future<Output = ()>) {
    tokio::select! {
        () = wait => {}
        () = inner.stop.cancelled() => {}
    }
}

/// Does the work after the caller has been cut off.
fn work_later(
    inner: Arc<Inner>,
    seen: Seen,
    request: Request,
    time: Duration,
    work: impl FnOnce(&Inner, &Request) -> Answer + Send + 'static,
) {
    let ticket = inner.webhooks.ticket();
    let (tasks, runtime) = (inner.tasks.clone(), inner.runtime.clone());
    tasks.spawn_on(
        async move {
            until_stopped(&inner, tokio::time::sleep(time)).await;
            if !inner.stop.is_cancelled() {
                let mut answer = work(&inner, &request);
                drop(seen.worked(&mut answer));
            }
            drop(ticket);
        },
        &runtime,
    );
}

/// Cuts the connection; the answer is never written.
fn cut(request: &Request) -> Response<Body> {
    request.line.cut();
    Response::new(Body::empty())
}

/// What an API says when it does not do the work.
fn refusal(api: Api, code: u16, retry_after: Option<u64>) -> Answer {
    let message = if code == 429 { "Too many requests" } else { "Internal error" };
    let body = match api {
        Api::Omni => json!({"error": {"message": message}}),
        Api::Abaha => json!({"status": code, "message": message, "data": null}),
        Api::Web if code == 429 => json!({
            "errors": "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."
        }),
        Api::Web => json!({"errors": message}),
    };
    let mut answer = Answer::json(code, &body);
    answer.headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
    answer
}

/// A call in the record; sends the webhooks of its work when the answer is out or lost.
struct Seen {
    inner: Arc<Inner>,
    api: Api,
    site: Option<String>,
    method: String,
    path: String,
    at: CallAt,
    posts: Vec<Post>,
    answered: bool,
}

impl Seen {
    fn new(inner: &Arc<Inner>, request: &Request) -> Self {
        let at = inner.calls.begin(inner.clock.now(), request);
        let (api, site) = (request.api, request.site.clone());
        let (method, path) = (request.method.clone(), request.path.clone());
        Self { inner: Arc::clone(inner), api, site, method, path, at, posts: Vec::new(), answered: false }
    }

    fn tell(&self, phase: Phase) {
        let Self { api, site, method, path, .. } = self;
        self.inner.calls.tell(|| CallSeen {
            api: *api,
            site: site.clone(),
            method: method.clone(),
            path: path.clone(),
            phase,
        });
    }

    /// Notes that the work is done, and makes its webhooks.
    fn worked(mut self, answer: &mut Answer) -> Self {
        let object = answer.object_id;
        self.inner.calls.note(self.at, |call| {
            call.worked = answer.status < 400;
            call.object_id = object.or(call.object_id);
        });
        self.posts = webhooks::prepare(&self.inner, std::mem::take(&mut answer.changes));
        self.tell(Phase::WorkDone);
        self
    }

    /// Writes the answer.
    fn answer(mut self, answer: Answer, level: Option<String>, slow: Option<Duration>) -> Response<Body> {
        self.inner.calls.note(self.at, |call| call.status = Some(answer.status));
        self.answered = true;
        let length = answer.body.len();
        let body = Bytes::from(answer.body);
        let size = if slow.is_some() { length.div_ceil(DROPS).max(1) } else { length.max(1) };
        let pause = slow.unwrap_or_default() / u32::try_from(length.div_ceil(size).max(1)).unwrap_or(1);
        let parts: Vec<Bytes> =
            (0..length).step_by(size).map(|from| body.slice(from..(from + size).min(length))).collect();
        // The stream owns `self`, and is dropped when the last part is written or the caller is gone.
        let stream = stream::iter(parts).then(move |part| {
            let _owned = &self;
            async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Ok::<_, std::io::Error>(part)
            }
        });
        let mut response = Response::new(Body::from_stream(stream));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let kind = if answer.html { "text/html; charset=utf-8" } else { "application/json; charset=utf-8" };
        headers.insert("content-type", HeaderValue::from_static(kind));
        headers.insert("content-length", HeaderValue::from(length));
        let level = level.map(|level| ("x-sapo-api-call-limit", level));
        for (name, value) in answer.headers.into_iter().chain(level) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        if self.answered {
            self.tell(Phase::Answered);
        }
        if self.posts.is_empty() {
            return;
        }
        let (inner, posts) = (Arc::clone(&self.inner), std::mem::take(&mut self.posts));
        let task = async move {
            tokio::time::sleep(AFTER).await;
            webhooks::launch(&inner, posts);
        };
        self.inner.tasks.spawn_on(task, &self.inner.runtime);
    }
}
