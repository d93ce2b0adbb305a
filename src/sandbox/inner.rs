//! Everything that the servers and the handles share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::abaha::Site;
use super::bucket::Bucket;
use super::calls::Calls;
use super::clock::Clock;
use super::omni::Shop;
use super::web::{self, WebPart};
use super::webhooks::{self, Change, Webhooks};
use super::{Api, Faults, SandboxConfig, SandboxError, WebSite};

/// All shops and sites, their limits, faults, calls and webhooks.
pub(crate) struct Inner {
    pub config: SandboxConfig,
    pub clock: Clock,
    pub faults: Faults,
    pub calls: Calls,
    pub webhooks: Webhooks,
    pub news: broadcast::Sender<String>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub runtime: Handle,
    shop: Mutex<Shop>,
    site: Mutex<Site>,
    webs: Vec<WebPart>,
    nowhere: WebPart,
    omni_bucket: Mutex<Bucket>,
    abaha_bucket: Option<Mutex<Bucket>>,
}

impl Inner {
    /// All shops and sites, filled from the seed; must be called within a runtime.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let clock = Clock { distinct: config.distinct_times };
        let mut shop = Shop::new(config.tenant_id, &config.alias, clock);
        super::seed::fill(&mut shop, &config);
        shop.take_changes();
        let mut webs = Vec::new();
        for (index, site) in config.web_sites.iter().enumerate() {
            let web = WebPart::new(site.clone(), index as u64, clock);
            web::fill(&mut web.state(), &shop, &config, site);
            webs.push(web);
        }
        Ok(Self {
            clock,
            faults: Faults::default(),
            calls: Calls::default(),
            webhooks: Webhooks::new(config.webhook_timeout)?,
            news: broadcast::Sender::new(256),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            shop: Mutex::new(shop),
            webs,
            nowhere: WebPart::new(WebSite::named(""), 0, clock),
            site: Mutex::new(Site::new(&config.site, clock, config.keeps_pos_id)),
            omni_bucket: Mutex::new(Bucket::new(config.bucket)),
            abaha_bucket: config.abaha_bucket.map(|bucket| Mutex::new(Bucket::new(bucket))),
            config,
        })
    }

    /// Reads the Omni shop.
    pub fn shop(&self) -> MutexGuard<'_, Shop> {
        lock(&self.shop)
    }

    /// Reads the Abaha site.
    pub fn site(&self) -> MutexGuard<'_, Site> {
        lock(&self.site)
    }

    /// The Sapo Web sites, as they were configured.
    pub fn webs(&self) -> &[WebPart] {
        &self.webs
    }

    /// The Sapo Web site of this alias.
    pub fn web(&self, alias: &str) -> Option<&WebPart> {
        self.webs.iter().find(|web| web.config.alias == alias)
    }

    /// The Sapo Web site of this alias, or an empty one that nobody serves.
    pub fn web_or_nowhere(&self, alias: &str) -> &WebPart {
        self.web(alias).unwrap_or(&self.nowhere)
    }

    /// Changes the Omni shop; what is to be told comes along.
    pub fn with_shop<T>(&self, work: impl FnOnce(&mut Shop) -> T) -> (T, Vec<Change>) {
        let mut shop = self.shop();
        let done = work(&mut shop);
        let changes = shop.take_changes();
        (done, changes)
    }

    /// Changes the Abaha site; what is to be told comes along.
    pub fn with_site<T>(&self, work: impl FnOnce(&mut Site) -> T) -> (T, Vec<Change>) {
        let mut site = self.site();
        let done = work(&mut site);
        let changes = site.take_changes();
        (done, changes)
    }

    /// Makes a change of the owner's to the Omni shop, and tells it.
    pub fn change_shop<T>(self: &Arc<Self>, work: impl FnOnce(&mut Shop) -> T) -> T {
        let (done, changes) = self.with_shop(work);
        webhooks::launch(self, webhooks::prepare(self, changes));
        done
    }

    /// Makes a change of a person's to the Abaha site, and tells it.
    pub fn change_site<T>(self: &Arc<Self>, work: impl FnOnce(&mut Site) -> T) -> T {
        let (done, changes) = self.with_site(work);
        webhooks::launch(self, webhooks::prepare(self, changes));
        done
    }

    /// Makes a change of the owner's to a Sapo Web site, and tells it.
    pub fn change_web<T>(self: &Arc<Self>, web: &WebPart, work: impl FnOnce(&mut web::State) -> T) -> T {
        let (done, changes) = web.with(work);
        webhooks::launch(self, webhooks::prepare(self, changes));
        done
    }

    /// Takes a call in under the API's limit: the header to send, or the seconds to wait.
    pub fn limit(&self, api: Api, site: Option<&str>) -> (Result<(), u64>, Option<String>) {
        let bucket = match api {
            Api::Omni => Some(&self.omni_bucket),
            Api::Abaha => self.abaha_bucket.as_ref(),
            Api::Web => site.and_then(|site| self.web(site)).map(|web| &web.bucket),
        };
        bucket.map_or((Ok(()), None), |bucket| {
            let mut bucket = lock(bucket);
            (bucket.take().map(|_| ()), bucket.header())
        })
    }

    /// Tells those who watch.
    pub fn say(&self, line: String) {
        // Nobody may be watching.
        let _ = self.news.send(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
