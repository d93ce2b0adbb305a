//! The fault schedule: what goes wrong with which call and which webhook.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::calls::path_matches;

/// One of the systems that the sandbox stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Sapo Omni.
    Omni,
    /// Abaha.
    Abaha,
    /// Sapo Web, all its sites.
    Web,
}

/// A fault of some API calls.
#[derive(Clone, Debug)]
pub struct ApiFault {
    /// Which API it befalls.
    pub api: Api,
    /// Which method; none is every method.
    pub method: Option<String>,
    /// The beginning of the path after `/admin/` or `/`; "" is every path, an end in `$` the whole path.
    pub path: String,
    /// How many calls are spared first.
    pub skip: u32,
    /// How many calls it befalls then; `u32::MAX` is for ever.
    pub times: u32,
    /// What happens.
    pub effect: ApiEffect,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiEffect {
    /// Answers with this status; the work is not done.
    Status {
        /// The HTTP status.
        code: u16,
        /// The seconds of a `Retry-After` header.
        retry_after: Option<u64>,
    },
    /// Cuts the connection; the work is not done.
    ResetBefore,
    /// Does the work, then cuts the connection.
    WorkThenReset,
    /// Does the work, then answers after this time.
    WorkThenHang(Duration),
    /// Cuts the connection now, and does the work after this time.
    WorkLater(Duration),
    /// Does the work and sends the answer in drops over this time.
    SlowBody(Duration),
    /// Does the work and answers with half of the JSON.
    WrongJson,
    /// Answers with an HTML page of this status; the work is not done.
    HtmlError(u16),
    /// Does the work and holds the answer until [`Faults::release`] of this name.
    Hold(String),
}

/// A fault of some webhooks.
#[derive(Clone, Debug)]
pub struct WebhookFault {
    /// Whose webhooks it befalls.
    pub api: Api,
    /// The beginning of the topic; "" is every topic.
    pub topic: String,
    /// How many webhooks are spared first.
    pub skip: u32,
    /// How many it befalls then; `u32::MAX` is for ever.
    pub times: u32,
    /// What happens.
    pub effect: WebhookEffect,
}

/// What happens to a webhook.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WebhookEffect {
    /// Never sent.
    Drop,
    /// Sent this many times more.
    Duplicate(u32),
    /// Sent after this time.
    Delay(Duration),
    /// First sent with half of its body (its signature is of the whole); retries are whole.
    Truncate,
    /// Sent after the next webhook of the same system, or after a second if none comes.
    Reorder,
}

/// When the webhooks of a change made by an API call arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Sent and answered before the caller has its answer.
    Before,
    /// Sent while the caller is being answered.
    During,
    /// Sent once the caller has its answer.
    #[default]
    After,
}

/// Probabilities, 0 to 1, of faults at random.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultMix {
    /// A webhook is dropped.
    pub drop: f64,
    /// A webhook is sent twice.
    pub duplicate: f64,
    /// Every webhook waits up to this time.
    pub delay_max: Duration,
    /// A webhook changes places with the next.
    pub reorder: f64,
    /// A webhook's first body is cut.
    pub truncate: f64,
    /// A call is answered 429.
    pub api_429: f64,
    /// A call is answered 500.
    pub api_500: f64,
    /// A call's work is done and its answer lost.
    pub work_then_reset: f64,
}

/// The schedule, to be changed at any time.
#[derive(Default)]
pub struct Faults {
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    /// The site that a fault is for, where it is for one alone.
    api: Vec<(Option<String>, ApiFault)>,
    webhook: Vec<(Option<String>, WebhookFault)>,
    timing: Timing,
    random: Option<(StdRng, FaultMix)>,
    holds: HashMap<String, Arc<Hold>>,
}

/// One named place where answers are held.
pub(crate) struct Hold {
    reached: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

impl Hold {
    /// Waits here until released.
    pub async fn wait(&self) {
        self.reached.send_replace(true);
        // The sender lives in `self`, so the wait ends only by a release.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }
}

impl Faults {
    /// Adds a fault of API calls; where several match, the first added goes first.
    pub fn api(&self, fault: ApiFault) {
        self.lock().api.push((None, fault));
    }

    /// Adds a fault of the calls to one Sapo Web site; which API the fault names does not matter.
    pub fn web_api(&self, site: &str, fault: ApiFault) {
        self.lock().api.push((Some(site.to_owned()), ApiFault { api: Api::Web, ..fault }));
    }

    /// Adds a fault of webhooks.
    pub fn webhook(&self, fault: WebhookFault) {
        self.lock().webhook.push((None, fault));
    }

    /// Adds a fault of the webhooks of one Sapo Web site; which API the fault names does not matter.
    pub fn web_webhook(&self, site: &str, fault: WebhookFault) {
        self.lock().webhook.push((Some(site.to_owned()), WebhookFault { api: Api::Web, ..fault }));
    }

    /// Sets when the webhooks of changes by API calls arrive.
    pub fn echo_timing(&self, timing: Timing) {
        self.lock().timing = timing;
    }

    /// Adds faults at random; the same seed and the same order of calls give the same faults.
    pub fn random(&self, seed: u64, mix: FaultMix) {
        self.lock().random = Some((StdRng::seed_from_u64(seed), mix));
    }

    /// Ends all faults, releases what is held, and puts the timing back.
    pub fn clear(&self) {
        let rules = std::mem::take(&mut *self.lock());
        for hold in rules.holds.values() {
            hold.released.send_replace(true);
        }
    }

    /// Resolves when a call has come to the [`ApiEffect::Hold`] of this name.
    pub async fn reached(&self, name: &str) {
        let hold = self.hold(name);
        let _ = hold.reached.subscribe().wait_for(|reached| *reached).await;
    }

    /// Lets go every answer that is held under this name, now or later.
    pub fn release(&self, name: &str) {
        self.hold(name).released.send_replace(true);
    }

    /// The place of this name.
    pub(crate) fn hold(&self, name: &str) -> Arc<Hold> {
        let mut rules = self.lock();
        let hold = rules.holds.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Hold { reached: watch::Sender::new(false), released: watch::Sender::new(false) })
        });
        Arc::clone(hold)
    }

    /// When the webhooks of a call go.
    pub(crate) fn timing(&self) -> Timing {
        self.lock().timing
    }

    /// What happens to this call.
    pub(crate) fn take_api(&self, api: Api, site: Option<&str>, method: &str, path: &str) -> Option<ApiEffect> {
        let rules = &mut *self.lock();
        let matches = |of: &Option<String>, fault: &ApiFault| {
            fault.api == api
                && of.as_deref().is_none_or(|of| site == Some(of))
                && fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && path_matches(path, &fault.path)
        };
        let turn = rules.api.iter_mut().filter(|(of, fault)| matches(of, fault));
        let mut turn =
            turn.filter_map(|(_, fault)| due(&mut fault.skip, &mut fault.times).then(|| fault.effect.clone()));
        if let Some(effect) = turn.next() {
            rules.api.retain(|(_, fault)| fault.times > 0);
            return Some(effect);
        }
        let (dice, mix) = rules.random.as_mut()?;
        let roll = dice.random::<f64>();
        if roll < mix.api_429 {
            Some(ApiEffect::Status { code: 429, retry_after: Some(1) })
        } else if roll < mix.api_429 + mix.api_500 {
            Some(ApiEffect::Status { code: 500, retry_after: None })
        } else if roll < mix.api_429 + mix.api_500 + mix.work_then_reset {
            Some(ApiEffect::WorkThenReset)
        } else {
            None
        }
    }

    /// What happens to this webhook, one effect or several.
    pub(crate) fn take_webhook(&self, api: Api, site: Option<&str>, topic: &str) -> Vec<WebhookEffect> {
        let rules = &mut *self.lock();
        let turn = rules.webhook.iter_mut().filter(|(of, fault)| {
            fault.api == api && of.as_deref().is_none_or(|of| site == Some(of)) && topic.starts_with(&fault.topic)
        });
        let mut turn = turn.filter_map(|(_, fault)| due(&mut fault.skip, &mut fault.times).then_some(fault.effect));
        if let Some(effect) = turn.next() {
            rules.webhook.retain(|(_, fault)| fault.times > 0);
            return vec![effect];
        }
        let Some((dice, mix)) = rules.random.as_mut() else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let chances = [
            (mix.drop, WebhookEffect::Drop),
            (mix.duplicate, WebhookEffect::Duplicate(1)),
            (mix.reorder, WebhookEffect::Reorder),
            (mix.truncate, WebhookEffect::Truncate),
        ];
        for (chance, effect) in chances {
            if dice.random::<f64>() < chance {
                effects.push(effect);
            }
        }
        if !mix.delay_max.is_zero() {
            effects.push(WebhookEffect::Delay(mix.delay_max.mul_f64(dice.random::<f64>())));
        }
        effects
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one event against a rule: spares it, or says that it is due.
fn due(skip: &mut u32, times: &mut u32) -> bool {
    if *skip > 0 {
        *skip -= 1;
        return false;
    }
    if *times == 0 {
        return false;
    }
    if *times != u32::MAX {
        *times -= 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(skip: u32, times: u32) -> ApiFault {
        let effect = ApiEffect::ResetBefore;
        ApiFault { api: Api::Omni, method: Some("POST".into()), path: "orders$".into(), skip, times, effect }
    }

    #[test]
    fn a_fault_spares_the_first_calls_and_ends_after_its_times() {
        let faults = Faults::default();
        faults.api(fault(1, 2));
        let seen: Vec<bool> = (0..5).map(|_| faults.take_api(Api::Omni, None, "POST", "orders").is_some()).collect();
        assert_eq!(seen, [false, true, true, false, false]);
    }

    #[test]
    fn a_fault_befalls_no_other_method_path_or_api() {
        let faults = Faults::default();
        faults.api(fault(0, u32::MAX));
        assert!(faults.take_api(Api::Omni, None, "GET", "orders").is_none());
        assert!(faults.take_api(Api::Omni, None, "POST", "orders/1/cancel").is_none());
        assert!(faults.take_api(Api::Abaha, None, "POST", "orders").is_none());
        assert!(faults.take_api(Api::Omni, None, "POST", "orders").is_some());
        faults.clear();
        assert!(faults.take_api(Api::Omni, None, "POST", "orders").is_none());
    }

    #[test]
    fn a_fault_of_one_site_spares_the_others() {
        let faults = Faults::default();
        faults.web_api("mot", fault(0, 1));
        assert!(faults.take_api(Api::Web, Some("hai"), "POST", "orders").is_none());
        assert!(faults.take_api(Api::Omni, None, "POST", "orders").is_none());
        assert!(faults.take_api(Api::Web, Some("mot"), "POST", "orders").is_some());
        let drop = WebhookFault {
            api: Api::Web,
            topic: "orders/".into(),
            skip: 0,
            times: u32::MAX,
            effect: WebhookEffect::Drop,
        };
        faults.web_webhook("mot", drop);
        assert!(faults.take_webhook(Api::Web, Some("hai"), "orders/create").is_empty());
        assert_eq!(faults.take_webhook(Api::Web, Some("mot"), "orders/create"), [WebhookEffect::Drop]);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let draw = |seed| {
            let faults = Faults::default();
            faults.random(seed, FaultMix { drop: 0.3, reorder: 0.3, api_500: 0.5, ..FaultMix::default() });
            (0..40)
                .map(|_| {
                    (
                        faults.take_api(Api::Omni, None, "GET", "x"),
                        faults.take_webhook(Api::Omni, None, "orders/create"),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
