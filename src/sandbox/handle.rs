//! The handle on a running sandbox.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::calls::CallSeen;
use super::inner::Inner;
use super::serve::{CuttableListener, Line};
use super::{Abaha, Api, Call, Faults, Omni, SandboxConfig, SandboxError, Sent, Web, abaha, control, omni, web};

/// How long open connections may take to end when the sandbox stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A running sandbox; clones share it, and it stops when told to or when the last one is dropped.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
    addresses: [SocketAddr; 4],
    _stop: Arc<StopOnDrop>,
}

struct StopOnDrop(CancellationToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Sandbox {
    /// Fills the shops and sites and listens on the four addresses.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let wanted = [
            ("the Omni API", config.omni_listen),
            ("the Abaha API", config.abaha_listen),
            ("the control API", config.control_listen),
            ("the Sapo Web API", config.web_listen),
        ];
        let mut listeners = Vec::new();
        for (what, address) in wanted {
            let refused = |source| SandboxError::Listen { what, address, source };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            let bound = listener.local_addr().map_err(refused)?;
            listeners.push((listener, bound));
        }
        let inner = Arc::new(Inner::new(config)?);
        let routers = [omni::router(&inner), abaha::router(&inner), control::router(&inner), web::router(&inner)];
        let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 4];
        for (index, ((listener, bound), router)) in listeners.into_iter().zip(routers).enumerate() {
            addresses[index] = bound;
            serve(&inner, listener, router);
        }
        let stop = Arc::new(StopOnDrop(inner.stop.clone()));
        Ok(Self { inner, addresses, _stop: stop })
    }

    /// The base address of the Omni API, without `/admin`.
    pub fn omni_url(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    /// The base address of the Abaha API.
    pub fn abaha_url(&self) -> String {
        format!("http://{}", self.addresses[1])
    }

    /// The base address of the control API.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.addresses[2])
    }

    /// The base address of a Sapo Web site's API, without `/admin`.
    ///
    /// All sites share one listener, so the alias that is the host's name in real life is the path's first part here.
    pub fn web_url(&self, alias: &str) -> String {
        format!("http://{}/{alias}", self.addresses[3])
    }

    /// What it was started with.
    pub fn config(&self) -> &SandboxConfig {
        &self.inner.config
    }

    /// From now on sends webhooks to `{base}/webhooks/omni/{alias}`, `{base}/webhooks/abaha/{site}` and
    /// `{base}/webhooks/web/{alias}`.
    pub fn send_webhooks_to(&self, base: &str) {
        self.inner.webhooks.set_target(Some(base));
    }

    /// From now on changes make no webhooks; those that exist still go.
    pub fn stop_webhooks(&self) {
        self.inner.webhooks.set_target(None);
    }

    /// Waits until no webhook is waiting, delayed, due for another try, or in flight.
    pub async fn webhooks_settled(&self) {
        self.inner.webhooks.settled().await;
    }

    /// How many webhooks are waiting, delayed, due for another try, or in flight.
    pub fn webhooks_waiting(&self) -> usize {
        self.inner.webhooks.waiting()
    }

    /// What the Omni shop's owner sees and does.
    pub fn omni(&self) -> Omni<'_> {
        Omni::new(&self.inner)
    }

    /// What the Abaha site's people see and do.
    pub fn abaha(&self) -> Abaha<'_> {
        Abaha::new(&self.inner)
    }

    /// What a Sapo Web site's owner and buyers see and do; an alias that is not configured gives an empty site that
    /// nobody serves.
    pub fn web(&self, alias: &str) -> Web<'_> {
        Web::new(&self.inner, alias)
    }

    /// The aliases of the Sapo Web sites, as they were configured.
    pub fn web_aliases(&self) -> Vec<String> {
        self.inner.webs().iter().map(|web| web.config.alias.clone()).collect()
    }

    /// The fault schedule.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Every API call so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.inner.calls.all()
    }

    /// How many calls had this method ("" is any) and a path with this beginning (an end in `$` is the whole path).
    pub fn call_count(&self, api: Api, method: &str, path: &str) -> usize {
        self.inner.calls.count(api, None, method, path)
    }

    /// The same for the calls to one Sapo Web site.
    pub fn web_call_count(&self, alias: &str, method: &str, path: &str) -> usize {
        self.inner.calls.count(Api::Web, Some(alias), method, path)
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.inner.calls.clear();
    }

    /// Has `hook` called, on the spot, at each phase of every API call.
    pub fn on_call(&self, hook: impl Fn(&CallSeen) + Send + Sync + 'static) {
        self.inner.calls.set_hook(Arc::new(hook));
    }

    /// Every try to deliver a webhook so far, in the order of their ends.
    pub fn webhooks_sent(&self) -> Vec<Sent> {
        self.inner.webhooks.sent()
    }

    /// Short lines for people, one for each event of [`traffic`](super::traffic()).
    pub fn watch(&self) -> broadcast::Receiver<String> {
        self.inner.news.subscribe()
    }

    /// Resolves when the sandbox is stopped.
    pub async fn stopped(&self) {
        self.inner.stop.cancelled().await;
    }

    /// Stops servers and webhooks, and waits until they have ended.
    pub async fn stop(self) {
        self.inner.stop.cancel();
        self.inner.faults.clear();
        self.inner.tasks.close();
        // A caller that keeps its connection busy does not keep the sandbox.
        let _ = tokio::time::timeout(STOP_PATIENCE, self.inner.tasks.wait()).await;
    }

    /// The products that both sides know, by code, with Abaha's selling price.
    pub(crate) fn shared_products(&self) -> Vec<(String, Decimal)> {
        let shop = self.inner.shop();
        let site = self.inner.site();
        let shown =
            site.products.values().filter(|product| product.status == 1 && shop.skus.contains_key(&product.code));
        shown.map(|product| (product.code.clone(), product.price_sale)).collect()
    }

    /// The ids of the newest orders of Omni and of Abaha.
    pub(crate) fn newest_orders(&self, most: usize) -> (Vec<u64>, Vec<u64>) {
        let omni = self.inner.shop().orders.keys().rev().take(most).copied().collect();
        let abaha = self.inner.site().orders.keys().rev().take(most).copied().collect();
        (omni, abaha)
    }

    /// The variants that a Sapo Web site and Omni both know, by SKU.
    pub(crate) fn shared_web_variants(&self, alias: &str) -> Vec<u64> {
        let shop = self.inner.shop();
        let state = self.inner.web_or_nowhere(alias).state();
        let shown = state.products.values().filter(|product| product.published.is_some());
        let variants = shown.flat_map(|product| &product.variants);
        variants.filter(|variant| shop.skus.contains_key(&variant.sku)).map(|variant| variant.id).collect()
    }

    /// The ids of a Sapo Web site's newest orders.
    pub(crate) fn newest_web_orders(&self, alias: &str, most: usize) -> Vec<u64> {
        self.inner.web_or_nowhere(alias).state().orders.keys().rev().take(most).copied().collect()
    }

    /// Tells those who watch.
    pub(crate) fn say(&self, line: String) {
        self.inner.say(line);
    }
}

/// Serves one API until the sandbox stops.
fn serve(inner: &Arc<Inner>, listener: TcpListener, router: Router) {
    let stop = inner.stop.clone();
    let service = router.into_make_service_with_connect_info::<Line>();
    inner.tasks.spawn(async move {
        let served = axum::serve(CuttableListener(listener), service).with_graceful_shutdown(stop.cancelled_owned());
        // This listener never fails: it waits and accepts again.
        let _ = served.await;
    });
}
