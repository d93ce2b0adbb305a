//! Delivery of webhooks: each its own task, sent again by the schedule of its system.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot, watch};

use super::clock::iso;
use super::inner::Inner;
use super::sign::base64_signature;
use super::{Api, WebhookEffect};

/// How long a webhook that is to change places waits for another one.
const REORDER_PATIENCE: Duration = Duration::from_secs(1);
/// How many webhooks are in flight at once, so that a burst does not use up the open files.
const IN_FLIGHT: usize = 128;

/// One try to deliver a webhook.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Sent {
    /// When it was answered or given up, ISO-8601.
    pub at: String,
    /// Whose webhook it is.
    pub api: Api,
    /// The Sapo Web site's alias; none for the other systems.
    pub site: Option<String>,
    /// Its topic, such as `orders/create` or `order.created`.
    pub topic: String,
    /// The object that it tells of.
    pub object_id: u64,
    /// The HTTP status that the receiver answered; none if it did not, or not whole.
    pub answer: Option<u16>,
    /// The ids of the events that the receiver made of it, as its answer names them.
    pub ids: Vec<String>,
    /// 1 for the first try.
    pub try_no: u32,
}

impl Sent {
    /// Whether the receiver took it.
    pub fn taken(&self) -> bool {
        self.answer.is_some_and(|status| (200..300).contains(&status))
    }
}

/// What is read of an answer.
#[derive(Default, serde::Deserialize)]
struct Answer {
    #[serde(default)]
    ids: Vec<String>,
}

/// A change that has happened and is to be told.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Whose it is.
    pub api: Api,
    /// The Sapo Web site's alias; none for the other systems.
    pub site: Option<String>,
    /// The topic.
    pub topic: String,
    /// The object.
    pub object_id: u64,
    /// Omni and Web: the bare object. Abaha: the `data` of the envelope.
    pub body: Value,
}

/// A system, and of Sapo Web the site.
type Whose = (Api, Option<String>);

/// Where webhooks go.
#[derive(Default)]
enum Target {
    /// Nowhere yet, but to registered addresses where registration counts.
    #[default]
    None,
    /// To this base.
    Base(String),
    /// Nowhere at all.
    Stopped,
}

/// Where webhooks go, and what has become of them.
pub(crate) struct Webhooks {
    client: reqwest::Client,
    target: Mutex<Target>,
    waiting: watch::Sender<usize>,
    sent: Mutex<Vec<Sent>>,
    /// The webhook of each system or site that waits to change places with the next.
    swaps: Mutex<HashMap<Whose, oneshot::Sender<()>>>,
    version: Mutex<u64>,
    places: Semaphore,
}

/// A webhook that is ready to go.
pub(crate) struct Post {
    api: Api,
    site: Option<String>,
    topic: String,
    object_id: u64,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    truncate: bool,
    delay: Duration,
    wait_for: Option<oneshot::Receiver<()>>,
    then_release: Option<oneshot::Sender<()>>,
    ticket: Ticket,
}

/// Counts as waiting for as long as it lives.
pub(crate) struct Ticket(watch::Sender<usize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Webhooks {
    /// A sender without a target.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        // The provider is the process's choice; a second choice is refused, and the first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(timeout).user_agent("JVM").no_proxy().build()?;
        Ok(Self {
            client,
            target: Mutex::default(),
            waiting: watch::Sender::new(0),
            sent: Mutex::default(),
            swaps: Mutex::default(),
            version: Mutex::new(1_668_737_203),
            places: Semaphore::new(IN_FLIGHT),
        })
    }

    /// Sets or unsets the base of the addresses.
    pub fn set_target(&self, base: Option<&str>) {
        *lock(&self.target) = base.map_or(Target::Stopped, |base| Target::Base(base.trim_end_matches('/').to_owned()));
    }

    /// Every try so far.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.sent).clone()
    }

    /// How many are waiting, delayed or in flight.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Waits until none is waiting, delayed or in flight.
    pub async fn settled(&self) {
        // The sender lives in `self`, so the wait ends only by the count.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// Keeps [`Webhooks::settled`] waiting while it lives.
    pub fn ticket(&self) -> Ticket {
        self.waiting.send_modify(|waiting| *waiting += 1);
        Ticket(self.waiting.clone())
    }

    fn next_version(&self) -> u64 {
        let mut version = lock(&self.version);
        *version += 1;
        *version
    }
}

/// Makes the webhooks of some changes, with the faults that befall them.
pub(crate) fn prepare(inner: &Inner, changes: Vec<Change>) -> Vec<Post> {
    let changes = changes.into_iter().flat_map(|change| {
        let urls = urls(inner, &change);
        urls.into_iter().map(move |url| (url, change.clone()))
    });
    let mut posts = Vec::new();
    for (url, change) in changes.collect::<Vec<_>>() {
        let effects = inner.faults.take_webhook(change.api, change.site.as_deref(), &change.topic);
        if effects.contains(&WebhookEffect::Drop) {
            continue;
        }
        let mut post = address(inner, url, change);
        let whose = (post.api, post.site.clone());
        let mut swaps = lock(&inner.webhooks.swaps);
        post.then_release = swaps.remove(&whose);
        let mut copies = 0;
        for effect in effects {
            match effect {
                WebhookEffect::Drop => {}
                WebhookEffect::Duplicate(count) => copies = count,
                WebhookEffect::Delay(time) => post.delay = time,
                WebhookEffect::Truncate => post.truncate = true,
                WebhookEffect::Reorder => {
                    let (release, wait) = oneshot::channel();
                    swaps.insert(whose.clone(), release);
                    post.wait_for = Some(wait);
                }
            }
        }
        drop(swaps);
        for _ in 0..copies {
            posts.push(copy(inner, &post));
        }
        posts.push(post);
    }
    posts
}

/// Sends some webhooks, each in its own task.
pub(crate) fn launch(inner: &Arc<Inner>, posts: Vec<Post>) {
    for post in posts {
        let task = deliver(Arc::clone(inner), post, None);
        inner.tasks.spawn_on(task, &inner.runtime);
    }
}

/// Sends some webhooks and waits until each has been tried once.
pub(crate) async fn launch_and_wait(inner: &Arc<Inner>, posts: Vec<Post>) {
    let mut tried = Vec::new();
    for post in posts {
        let (done, wait) = oneshot::channel();
        inner.tasks.spawn_on(deliver(Arc::clone(inner), post, Some(done)), &inner.runtime);
        tried.push(wait);
    }
    for wait in tried {
        let _ = wait.await;
    }
}

fn copy(inner: &Inner, post: &Post) -> Post {
    Post {
        api: post.api,
        site: post.site.clone(),
        topic: post.topic.clone(),
        object_id: post.object_id,
        url: post.url.clone(),
        headers: post.headers.clone(),
        body: post.body.clone(),
        truncate: false,
        delay: post.delay,
        wait_for: None,
        then_release: None,
        ticket: inner.webhooks.ticket(),
    }
}

/// Where a change is told: at the registered addresses where registration counts, else at the target.
fn urls(inner: &Inner, change: &Change) -> Vec<String> {
    let target = lock(&inner.webhooks.target);
    let base = match &*target {
        Target::Stopped => return Vec::new(),
        Target::None => None,
        Target::Base(base) => Some(base.clone()),
    };
    drop(target);
    let site = change.site.as_deref().unwrap_or_default();
    let part = match change.api {
        Api::Omni if inner.config.webhooks_need_registration => return inner.shop().hooks.addresses(&change.topic),
        Api::Web if inner.config.webhooks_need_registration => {
            return inner.web(site).map(|site| site.state().hooks.addresses(&change.topic)).unwrap_or_default();
        }
        Api::Omni => format!("omni/{}", inner.config.alias),
        Api::Web => format!("web/{site}"),
        Api::Abaha => format!("abaha/{}", inner.config.site),
    };
    base.map(|base| format!("{base}/webhooks/{part}")).into_iter().collect()
}

/// Writes body and headers as the system does.
fn address(inner: &Inner, url: String, change: Change) -> Post {
    let config = &inner.config;
    let Change { api, site, topic, object_id, body } = change;
    let header = |name: &str, value: String| (name.to_owned(), value);
    let (body, headers) = match api {
        Api::Omni => {
            let body = Bytes::from(body.to_string());
            let mut headers = vec![
                header("content-type", "application/json; charset=utf-8".into()),
                header("x-sapo-topic", topic.clone()),
                header("x-sapo-hmac-sha256", base64_signature(&config.webhook_secret, &body)),
                header("x-sapo-tenant-domain", format!("{}.mysapogo.com", config.alias)),
                header("x-sapo-object-id", object_id.to_string()),
                header("x-event-version", inner.webhooks.next_version().to_string()),
                header("x-sapo-test", "false".into()),
                header("x-sapo-webhook-address", url.clone()),
            ];
            if topic.starts_with("orders/") {
                headers.push(header("x-sapo-order-id", object_id.to_string()));
            }
            (body, headers)
        }
        Api::Web => {
            inner.web(site.as_deref().unwrap_or_default()).map(|site| site.letter(&topic, body)).unwrap_or_default()
        }
        Api::Abaha => {
            let site = config.site.parse::<u64>().map_or_else(|_| json!(config.site), |site| json!(site));
            let envelope = json!({"event": topic, "site_id": site, "sent_at": iso(inner.clock.now()), "data": body});
            let body = Bytes::from(envelope.to_string());
            let mut headers = vec![header("content-type", "application/json".into())];
            headers.extend(config.abaha_header.clone());
            if let Some(secret) = &config.abaha_secret {
                headers.push(header("x-abaha-hmac-sha256", base64_signature(secret, &body)));
            }
            (body, headers)
        }
    };
    let ticket = inner.webhooks.ticket();
    let (wait_for, then_release) = (None, None);
    Post {
        api,
        site,
        topic,
        object_id,
        url,
        headers,
        body,
        truncate: false,
        delay: Duration::ZERO,
        wait_for,
        then_release,
        ticket,
    }
}

/// Sends one webhook until it is taken, the schedule is used up, or the sandbox stops.
async fn deliver(inner: Arc<Inner>, post: Post, tried: Option<oneshot::Sender<()>>) {
    let stop = inner.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = tries(inner, post, tried) => {}
    }
}

async fn tries(inner: Arc<Inner>, mut post: Post, mut tried: Option<oneshot::Sender<()>>) {
    if let Some(wait) = post.wait_for.take() {
        let _ = tokio::time::timeout(REORDER_PATIENCE, wait).await;
    }
    if !post.delay.is_zero() {
        tokio::time::sleep(post.delay).await;
    }
    let waits = schedule(&inner, &post);
    for try_no in 1.. {
        let taken = try_once(&inner, &post, try_no).await;
        drop(post.then_release.take());
        drop(tried.take());
        let Some(wait) = waits.get(try_no as usize - 1).filter(|_| !taken) else {
            break;
        };
        tokio::time::sleep(*wait).await;
    }
    drop(post.ticket);
}

/// The waits between the sends: Abaha sends three times in all, whatever the configuration says.
fn schedule(inner: &Inner, post: &Post) -> Vec<Duration> {
    match post.api {
        Api::Omni => inner.config.retry.clone(),
        Api::Web => {
            let site = inner.web(post.site.as_deref().unwrap_or_default());
            site.map(|site| site.config.webhook_retry.clone()).unwrap_or_default()
        }
        Api::Abaha => inner.config.abaha_retry.iter().take(2).copied().collect(),
    }
}

async fn try_once(inner: &Inner, post: &Post, try_no: u32) -> bool {
    let Ok(_place) = inner.webhooks.places.acquire().await else {
        return false;
    };
    let body = if post.truncate && try_no == 1 { post.body.slice(..post.body.len() / 2) } else { post.body.clone() };
    let mut request = inner.webhooks.client.post(&post.url).body(body);
    for (name, value) in &post.headers {
        request = request.header(name, value);
    }
    let (answer, ids) = answered(request).await.map_or((None, Vec::new()), |(status, ids)| (Some(status), ids));
    let (api, site, topic) = (post.api, post.site.clone(), post.topic.clone());
    let sent = Sent { at: iso(inner.clock.now()), api, site, topic, object_id: post.object_id, answer, ids, try_no };
    let taken = sent.taken();
    lock(&inner.webhooks.sent).push(sent);
    taken
}

/// Sends, and reads the whole answer: its status, and the ids of events that its body names, where it names any.
async fn answered(request: reqwest::RequestBuilder) -> Option<(u16, Vec<String>)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let body = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice::<Answer>(&body).unwrap_or_default().ids))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
