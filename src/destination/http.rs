//! The only sender: every call to every API passes here.
//!
//! Acquire a token, send, read the answer up to a cap, record what came of it. No redirect is followed, no proxy of
//! the environment is used, nothing is sent twice, and no URL with a query leaves this file.

mod call;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use secrecy::ExposeSecret;
use tracing::Instrument;

use crate::domain::clock::{Clock, Millis, millis};
use crate::domain::connection::account;
use crate::domain::event::System;

use super::call_log::{CallLog, CallRecord};
use super::error::{CallError, ClientError, Done};
use super::limit::{Class, Limits};
pub(super) use call::{Answer, Auth, Call};

/// The longest `Retry-After` that is believed (ours): a day.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// How the sender behaves.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// From the sending of a call to the last byte of its answer; shorter than an intent's lease.
    pub timeout: Duration,
    /// For reaching the host.
    pub connect_timeout: Duration,
    /// The longest answer that is read, in bytes.
    pub max_answer_bytes: usize,
    /// Whether hosts other than the APIs' own may be called: a sandbox, a proxy.
    pub allow_custom_hosts: bool,
    /// What the program calls itself.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_answer_bytes: 8 * 1024 * 1024,
            allow_custom_hosts: false,
            user_agent: concat!("sapo-sync/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The sender that every account shares.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    settings: Arc<HttpSettings>,
    limits: Limits,
    clock: Clock,
}

impl Http {
    /// Makes the sender.
    ///
    /// # Errors
    /// [`ClientError::Tls`] where the machine has no certificates to trust.
    pub fn new(settings: HttpSettings, limits: Limits, clock: Clock) -> Result<Self, ClientError> {
        // An error says that it was installed before, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(&settings.user_agent)
            .build()
            .map_err(|error| ClientError::Tls(error.without_url().to_string()))?;
        Ok(Self { client, settings: Arc::new(settings), limits, clock })
    }

    /// The limits that the calls keep to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Makes the way to one account, after checking where it leads.
    pub(super) fn api(
        &self,
        system: System,
        name: &str,
        base: &str,
        own_host: fn(&str) -> bool,
        auth: Auth,
    ) -> Result<Api, ClientError> {
        let base = Url::parse(base.trim()).map_err(|_| ClientError::Address)?;
        let host = base.host_str().ok_or(ClientError::Address)?;
        let plain = base.query().is_none()
            && base.fragment().is_none()
            && base.username().is_empty()
            && base.password().is_none();
        if !plain || !matches!(base.scheme(), "https" | "http") {
            return Err(ClientError::Address);
        }
        let own = base.scheme() == "https" && base.port().is_none() && own_host(host);
        if !(own || self.settings.allow_custom_hosts) {
            return Err(ClientError::Host(host.to_owned()));
        }
        auth.check()?;
        Ok(Api {
            http: self.clone(),
            system,
            account: account(system, name).into(),
            base,
            auth,
            class: Class::Bulk,
            dry: false,
            calls: None,
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The way to one account at one API.
#[derive(Clone)]
pub(super) struct Api {
    http: Http,
    system: System,
    account: Arc<str>,
    base: Url,
    auth: Auth,
    class: Class,
    dry: bool,
    calls: Option<CallLog>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Api");
        shown.field("account", &self.account).field("host", &self.base.host_str()).field("class", &self.class);
        shown.field("dry", &self.dry).finish_non_exhaustive()
    }
}

/// Gives its place among the calls under way back, also when the caller has lost interest.
struct UnderWay<'a>(&'a Api);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.http.limits.ended(&self.0.account);
    }
}

impl Api {
    /// The same way, with its calls recorded.
    pub fn recording(&self, calls: CallLog) -> Self {
        Self { calls: Some(calls), ..self.clone() }
    }

    /// The same way, for calls of a class.
    pub fn class(&self, class: Class) -> Self {
        Self { class, ..self.clone() }
    }

    /// The same way, on which nothing is written.
    pub fn dry(&self) -> Self {
        Self { dry: true, ..self.clone() }
    }

    /// Sends a call once; `judge` says what its answer means.
    pub async fn send<T>(
        &self,
        call: Call,
        judge: impl FnOnce(&Answer) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        if let (true, Some(would)) = (self.dry, &call.would) {
            return Err(CallError::DryRun { would: would.clone() });
        }
        self.http.limits.acquire(&self.account, self.class).await?;
        let _under_way = UnderWay(self);
        let span = tracing::debug_span!("api_call", account = %self.account, method = %call.method, path = %call.path);
        self.send_now(call, judge).instrument(span).await
    }

    async fn send_now<T>(
        &self,
        call: Call,
        judge: impl FnOnce(&Answer) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let at = self.http.clock.now();
        let started = Instant::now();
        let method = method_name(&call.method);
        let path = call.path.clone();
        let (status, result) = match self.exchange(call).await {
            Ok(answer) => (Some(answer.status), judge(&answer).map_err(|error| error.without(self.auth.secret()))),
            Err(error) => (None, Err(error)),
        };
        if let Err(CallError::Throttled { until }) = &result {
            self.http.limits.slow(&self.account, *until);
        }
        let outcome = result.as_ref().err().map_or("ok", CallError::code);
        let took = started.elapsed();
        tracing::debug!(status, outcome, milliseconds = millis(took), "called");
        metrics::counter!("sapo_sync_api_calls_total", "system" => self.system.as_str(), "method" => method, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("sapo_sync_api_call_seconds", "system" => self.system.as_str(), "method" => method)
            .record(took.as_secs_f64());
        if let Some(calls) = &self.calls {
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            calls.push(CallRecord {
                at,
                account: self.account.to_string(),
                method,
                path,
                status,
                milliseconds,
                outcome,
            });
        }
        result
    }

    async fn exchange(&self, call: Call) -> Result<Answer, CallError> {
        let content_type = call.content_type;
        let mut request =
            self.http.client.request(call.method, self.url(&call.path, &call.query)).headers(call.headers);
        if let Some((name, value)) = self.auth.header()? {
            request = request.header(name, value);
        }
        if let Some(body) = call.body {
            let body = body.map_err(|()| CallError::failing("not_sent", Done::No))?;
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        let response = request.send().await.map_err(|error| failed(&error))?;
        self.listen(response.headers());
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| self.moment(value));
        let body = self.read(response).await?;
        Ok(Answer { status, retry_after, at: self.http.clock.now(), body })
    }

    fn url(&self, path: &str, query: &[(&'static str, String)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() || matches!(self.auth, Auth::Query(..)) {
            let mut pairs = url.query_pairs_mut();
            if let Auth::Query(name, token) = &self.auth {
                pairs.append_pair(name, token.expose_secret());
            }
            pairs.extend_pairs(query);
        }
        url
    }

    /// Takes over the API's count of our calls, `X-Sapo-Api-Call-Limit: 7/40`.
    fn listen(&self, headers: &HeaderMap) {
        let count = headers
            .get("x-sapo-api-call-limit")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once('/'));
        if let Some((used, size)) = count
            && let (Ok(used), Ok(size)) = (used.trim().parse(), size.trim().parse())
        {
            self.http.limits.feed(&self.account, used, size);
        }
    }

    /// Reads `Retry-After`: seconds, or a date.
    fn moment(&self, value: &HeaderValue) -> Option<Millis> {
        let text = value.to_str().ok()?.trim();
        let now = self.http.clock.now();
        let most = now + millis(LONGEST_PAUSE);
        if let Ok(seconds) = text.parse::<f64>() {
            return seconds
                .is_finite()
                .then(|| now.saturating_add((seconds.max(0.0) * 1000.0).ceil() as Millis).min(most));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(date.timestamp().as_millisecond().clamp(now, most))
    }

    async fn read(&self, mut response: Response) -> Result<Bytes, CallError> {
        let most = self.http.settings.max_answer_bytes;
        let too_large = || CallError::failing("answer_too_large", Done::Unknown);
        let told = response.content_length().unwrap_or(0);
        if told > most as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(told as usize);
        while let Some(chunk) = response.chunk().await.map_err(|error| broke_off(&error))? {
            if body.len() + chunk.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Why no answer came. The error's own text is dropped: it holds the URL.
fn failed(error: &reqwest::Error) -> CallError {
    if error.is_connect() {
        CallError::failing("connect", Done::No)
    } else if error.is_builder() {
        CallError::failing("not_sent", Done::No)
    } else {
        broke_off(error)
    }
}

/// Why an answer did not come whole.
fn broke_off(error: &reqwest::Error) -> CallError {
    CallError::failing(if error.is_timeout() { "timeout" } else { "reset" }, Done::Unknown)
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

#[cfg(test)]
pub(super) mod tests;
