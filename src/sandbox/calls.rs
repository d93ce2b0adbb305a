//! The record of every call that reached an API.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::Api;
use super::clock::iso;
use super::gate::Request;

/// One call, as a test asks for it afterwards.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Call {
    /// When it came, ISO-8601.
    pub at: String,
    /// Which API it was made to.
    pub api: Api,
    /// The Sapo Web site's alias; none for the other systems.
    pub site: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path after `/admin/` or `/`, without `.json`.
    pub path: String,
    /// The query, without tokens.
    pub query: String,
    /// The HTTP status it was answered with; none while it waits, or when the connection was cut.
    pub status: Option<u16>,
    /// Whether it asks for a change.
    pub writing: bool,
    /// Whether the work was done, whatever the caller was told.
    pub worked: bool,
    /// The object that it made or changed, or that it named.
    pub object_id: Option<u64>,
}

/// The moments of a call at which a hook is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has been read; nothing is done yet.
    Received,
    /// The change is made; the caller does not know.
    WorkDone,
    /// The answer has been handed to the network.
    Answered,
}

/// What a hook sees of a call.
#[derive(Clone, Debug)]
pub struct CallSeen {
    /// Which API it was made to.
    pub api: Api,
    /// The Sapo Web site's alias; none for the other systems.
    pub site: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path after `/admin/` or `/`, without `.json`.
    pub path: String,
    /// How far it is.
    pub phase: Phase,
}

/// A function that is told of every call while it happens.
pub(crate) type Hook = Arc<dyn Fn(&CallSeen) + Send + Sync>;

/// All calls since the last clearing, and the hook.
#[derive(Default)]
pub(crate) struct Calls {
    list: Mutex<(u64, Vec<Call>)>,
    hook: RwLock<Option<Hook>>,
}

/// Where a call stands in the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallAt {
    generation: u64,
    index: usize,
}

/// Whether a call's path is meant: a prefix, or the whole path where `wanted` ends in `$`.
pub(crate) fn path_matches(path: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_start_matches('/').trim_start_matches("admin/");
    wanted.strip_suffix('$').map_or_else(|| path.starts_with(wanted), |whole| path == whole)
}

impl Calls {
    /// Notes a call that has just come.
    pub fn begin(&self, now: i64, request: &Request) -> CallAt {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.1.push(Call {
            at: iso(now),
            api: request.api,
            site: request.site.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            status: None,
            writing: request.writing,
            worked: false,
            object_id: request.path.split('/').find_map(|part| part.parse().ok()),
        });
        CallAt { generation: list.0, index: list.1.len() - 1 }
    }

    /// Notes more of a call, unless the record was cleared meanwhile.
    pub fn note(&self, at: CallAt, change: impl FnOnce(&mut Call)) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.0 == at.generation
            && let Some(call) = list.1.get_mut(at.index)
        {
            change(call);
        }
    }

    /// A copy of the record.
    pub fn all(&self) -> Vec<Call> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// How many calls are meant; no site is every site.
    pub fn count(&self, api: Api, site: Option<&str>, method: &str, path: &str) -> usize {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.1
            .iter()
            .filter(|call| {
                call.api == api
                    && site.is_none_or(|site| call.site.as_deref() == Some(site))
                    && (method.is_empty() || call.method == method)
                    && path_matches(&call.path, path)
            })
            .count()
    }

    /// Forgets all calls.
    pub fn clear(&self) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.0 += 1;
        list.1.clear();
    }

    /// Sets the hook.
    pub fn set_hook(&self, hook: Hook) {
        *self.hook.write().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    /// Tells the hook.
    pub fn tell(&self, seen: impl FnOnce() -> CallSeen) {
        let hook = self.hook.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(&seen());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(api: Api, site: Option<&str>, path: &str) -> Request {
        Request {
            api,
            site: site.map(str::to_owned),
            method: "GET".into(),
            path: path.into(),
            query: String::new(),
            headers: axum::http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            line: super::super::serve::Line::default(),
            writing: false,
        }
    }

    #[test]
    fn a_path_is_meant_by_its_beginning_or_as_a_whole() {
        assert!(path_matches("orders/1/cancel", "orders"));
        assert!(path_matches("orders/1/cancel", "/admin/orders/1"));
        assert!(!path_matches("orders/1/cancel", "orders$"));
        assert!(path_matches("orders", "orders$"));
        assert!(path_matches("anything", ""));
    }

    #[test]
    fn a_call_of_before_the_clearing_does_not_change_a_later_one() {
        let calls = Calls::default();
        let old = calls.begin(0, &request(Api::Omni, None, "orders/7"));
        calls.clear();
        calls.begin(0, &request(Api::Omni, None, "orders/8"));
        calls.note(old, |call| call.status = Some(500));
        assert_eq!(calls.all()[0].status, None);
        assert_eq!(calls.all()[0].object_id, Some(8));
        assert_eq!(calls.count(Api::Omni, None, "GET", "orders"), 1);
    }

    #[test]
    fn calls_are_counted_by_site() {
        let calls = Calls::default();
        for site in ["mot", "hai", "mot"] {
            calls.begin(0, &request(Api::Web, Some(site), "orders"));
        }
        assert_eq!(calls.count(Api::Web, Some("mot"), "", "orders$"), 2);
        assert_eq!(calls.count(Api::Web, None, "", "orders$"), 3);
    }
}
