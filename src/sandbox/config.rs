//! What a sandbox is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::WebSite;

/// Why a sandbox could not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// An address could not be listened on.
    #[error(
        "the sandbox cannot listen on {address} for {what}: {source}; choose another address, or end the program that holds it"
    )]
    Listen {
        /// Which server it was for.
        what: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The sender of the webhooks could not be built.
    #[error("the sandbox cannot build its webhook sender: {0}")]
    Sender(#[from] reqwest::Error),
}

impl SandboxError {
    /// A stable word for this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "sandbox_listen",
            Self::Sender(_) => "sandbox_sender",
        }
    }
}

/// The size and speed of a leaky bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BucketConfig {
    /// How many calls fit.
    pub size: u32,
    /// How many leak out in a second.
    pub leak_per_second: f64,
    /// Whether every answer says how full the bucket is.
    pub header: bool,
}

impl Default for BucketConfig {
    /// Sapo Web's published limit, which Omni is taken to share.
    fn default() -> Self {
        Self { size: 40, leak_per_second: 2.0, header: true }
    }
}

/// Everything a sandbox can be told before it starts.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct SandboxConfig {
    /// Where the Omni API listens; port 0 takes any free one.
    pub omni_listen: SocketAddr,
    /// Where the Abaha API listens.
    pub abaha_listen: SocketAddr,
    /// Where all Sapo Web sites listen.
    pub web_listen: SocketAddr,
    /// Where the control API listens.
    pub control_listen: SocketAddr,
    /// The shop's name, the first part of its domain.
    pub alias: String,
    /// The shop's number.
    pub tenant_id: u64,
    /// The access token that Omni accepts.
    pub access_token: String,
    /// The app's secret key: signs Omni's webhooks and is the client secret of OAuth.
    pub webhook_secret: String,
    /// The Abaha site's number.
    pub site: String,
    /// The token that Abaha accepts.
    pub abaha_token: String,
    /// The custom header, key and value, of Abaha's webhooks.
    pub abaha_header: Option<(String, String)>,
    /// Signs `x-abaha-hmac-sha256` of Abaha's webhooks, where set.
    pub abaha_secret: Option<String>,
    /// Makes the same catalogue again.
    pub seed: u64,
    /// How many products are made up; 0 is an empty shop.
    pub products: usize,
    /// How many customers are made up.
    pub customers: usize,
    /// Omni's rate limit.
    pub bucket: BucketConfig,
    /// Abaha's rate limit, if any; unpublished, and sent without a header.
    pub abaha_bucket: Option<BucketConfig>,
    /// The waits between the sends of an Omni webhook: one fewer than the sends.
    pub retry: Vec<Duration>,
    /// The waits between the sends of an Abaha webhook; only the first two count.
    pub abaha_retry: Vec<Duration>,
    /// How long a receiver may take to answer a webhook.
    pub webhook_timeout: Duration,
    /// Whether every change lies at least a whole second past the object's last, ahead of the wall clock if need be.
    pub distinct_times: bool,
    /// Whether Abaha keeps `pos_id` and `pos_type` as they are written.
    pub keeps_pos_id: bool,
    /// The Sapo Web sites; none by default.
    pub web_sites: Vec<WebSite>,
    /// Whether each Sapo Web site gets the odd data of real ones, as [`Web::seed_odd`](crate::sandbox::Web::seed_odd)
    /// makes it.
    pub web_odd: bool,
    /// Whether Omni and Sapo Web send only the topics that were registered by `POST webhooks`, to the registered
    /// addresses; else all topics go where [`Sandbox::send_webhooks_to`](crate::sandbox::Sandbox::send_webhooks_to)
    /// says.
    pub webhooks_need_registration: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            omni_listen: any,
            abaha_listen: any,
            web_listen: any,
            control_listen: any,
            alias: "cuahangmau".into(),
            tenant_id: 70_001,
            access_token: "sandbox-access-token".into(),
            webhook_secret: "sandbox-webhook-secret".into(),
            site: "501".into(),
            abaha_token: "sandbox-abaha-token".into(),
            abaha_header: Some(("x-abaha-key".into(), "sandbox-abaha-key".into())),
            abaha_secret: None,
            seed: 1,
            products: 0,
            customers: 0,
            bucket: BucketConfig::default(),
            abaha_bucket: Some(BucketConfig { size: 60, leak_per_second: 10.0, header: false }),
            retry: omni_schedule(),
            abaha_retry: vec![Duration::from_mins(3), Duration::from_mins(10)],
            webhook_timeout: Duration::from_secs(5),
            distinct_times: true,
            keeps_pos_id: true,
            web_sites: Vec::new(),
            web_odd: false,
            webhooks_need_registration: false,
        }
    }
}

/// Sapo's schedule: 19 retries over 48 hours, close together at first.
pub(crate) fn omni_schedule() -> Vec<Duration> {
    // The single waits are not published; these add up to the 48 hours that are.
    const MINUTES: [u64; 19] = [1, 2, 4, 8, 15, 30, 60, 120, 180, 180, 180, 240, 240, 240, 240, 240, 300, 300, 300];
    MINUTES.iter().map(|minutes| Duration::from_secs(minutes * 60)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omni_sends_nineteen_times_more_over_forty_eight_hours() {
        let schedule = omni_schedule();
        assert_eq!(schedule.len(), 19);
        assert_eq!(schedule.iter().sum::<Duration>(), Duration::from_hours(48));
    }
}
