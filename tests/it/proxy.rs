//! A proxy before one of the sandbox's APIs: keeps what passes, and changes it where a test says so.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::{Setup, World};

type Edit = Box<dyn Fn(&mut Value) + Send + Sync>;

/// A call that passed.
#[derive(Clone, Debug)]
pub struct Passed {
    pub method: String,
    pub path: String,
    pub location: Option<String>,
    pub body: Value,
}

/// A running proxy.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    client: reqwest::Client,
    passed: Mutex<Vec<Passed>>,
    requests: Mutex<Vec<(&'static str, Edit)>>,
    answers: Mutex<Vec<(&'static str, Edit)>>,
}

impl Proxy {
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (passed, requests, answers) = (Mutex::default(), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { target, client, passed, requests, answers });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Changes the bodies of `POST`s to this path before they arrive.
    pub fn edit_requests(&self, path: &'static str, edit: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.shared.requests.lock().unwrap().push((path, Box::new(edit)));
    }

    /// Changes the answers to calls of this path before they go back.
    pub fn edit_answers(&self, path: &'static str, edit: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.shared.answers.lock().unwrap().push((path, Box::new(edit)));
    }

    /// Everything that passed with a body.
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.passed.lock().unwrap().clone()
    }

    /// The bodies that were posted to this path.
    pub fn posted(&self, path: &str) -> Vec<Passed> {
        self.passed().into_iter().filter(|passed| passed.method == "POST" && passed.path == path).collect()
    }
}

/// A world whose calls pass proxies: Sapo's and Abaha's.
pub async fn proxied(setup: Setup) -> (World, Proxy, Proxy) {
    let (switches, extra) = (setup.switches, setup.extra.clone());
    let world = World::with(setup).await;
    let omni = Proxy::start(world.sandbox.omni_url()).await;
    let abaha = Proxy::start(world.sandbox.abaha_url()).await;
    let file = world.connections(switches, &extra);
    world
        .apply(&file.replace(&world.sandbox.omni_url(), &omni.url).replace(&world.sandbox.abaha_url(), &abaha.url))
        .await;
    (world, omni, abaha)
}

async fn pass(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = uri.path().to_owned();
    let mut json: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut body = body;
    if method == Method::POST {
        for (_, edit) in shared.requests.lock().unwrap().iter().filter(|(wanted, _)| *wanted == path) {
            edit(&mut json);
            body = json.to_string().into();
        }
    }
    let location = headers.get("x-sapo-locationid").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    shared.passed.lock().unwrap().push(Passed { method: method.to_string(), path: path.clone(), location, body: json });
    let mut request = shared.client.request(method.clone(), format!("{}{uri}", shared.target)).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| **name != header::HOST && **name != header::CONTENT_LENGTH) {
        request = request.header(name, value);
    }
    let Ok(answer) = request.send().await else { return status(StatusCode::BAD_GATEWAY, Body::empty()) };
    let code = answer.status();
    let Ok(mut answered) = answer.bytes().await else { return status(StatusCode::BAD_GATEWAY, Body::empty()) };
    for (_, edit) in shared.answers.lock().unwrap().iter().filter(|(wanted, _)| *wanted == path) {
        let mut json: Value = serde_json::from_slice(&answered).unwrap_or(Value::Null);
        edit(&mut json);
        answered = json.to_string().into();
    }
    status(code, Body::from(answered))
}

fn status(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
}
