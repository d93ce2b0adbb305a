//! What can go wrong with a call, and what that means for the event.

use crate::domain::clock::Millis;

use super::http::Answer;
use super::limit::Throttled;

/// Whether a failed call's work may have been done on the other side all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Certainly not: the call never reached the API, or the API said so.
    No,
    /// It may have been: look it up before anything is created again.
    Unknown,
}

/// Why a call did not do what was asked.
///
/// Texts in it are capped and carry no token, phone, e-mail or URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The account's limit is used up, here or there: nothing was done, and no attempt is used up.
    #[error("the API's limit is used up for now")]
    Throttled {
        /// When it is worth trying again.
        until: Millis,
    },
    /// The other side, or the way to it, fails; it may pass.
    #[error("the API is failing ({code})")]
    Failing {
        /// A stable word: `timeout`, `connect`, `reset`, `server_error`, `unreadable_answer`…
        code: &'static str,
        /// Whether the work may have been done.
        done: Done,
        /// Not before this moment (`Retry-After`).
        not_before: Option<Millis>,
        /// The answer, capped and redacted.
        answer: Option<String>,
    },
    /// The other side said no, for good.
    #[error("the API refused: {message}")]
    Refused {
        /// A stable word for what its words mean: `duplicate`, `conflict_cancelled`…
        code: &'static str,
        /// The vendor's words.
        message: String,
        /// The answer, capped and redacted.
        answer: Option<String>,
    },
    /// It was so already; success for the call that asked for it.
    #[error("already so: {message}")]
    AlreadySo {
        /// The vendor's words.
        message: String,
    },
    /// The object is not there.
    #[error("{what} was not found")]
    NotFound {
        /// What was asked for: `order 14800001`.
        what: String,
    },
    /// The token is not, or no longer, good for this call (401, 403).
    #[error("the API does not accept the token; connect the shop again")]
    Unauthorised {
        /// The answer, capped and redacted.
        answer: Option<String>,
    },
    /// A writing call of a dry run: nothing was sent.
    #[error("dry run: would {would}")]
    DryRun {
        /// What it would have done, in words.
        would: String,
    },
}

impl CallError {
    /// The stable word, the same in metrics, logs, console and dead letters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Failing { code, .. } | Self::Refused { code, .. } => code,
            Self::AlreadySo { .. } => "already_so",
            Self::NotFound { .. } => "not_found",
            Self::Unauthorised { .. } => "unauthorised",
            Self::DryRun { .. } => "dry_run",
        }
    }

    /// The other side's last answer, capped and redacted, where there was one.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::Failing { answer, .. } | Self::Refused { answer, .. } | Self::Unauthorised { answer } => {
                answer.as_deref()
            }
            Self::AlreadySo { message } => Some(message),
            Self::Throttled { .. } | Self::NotFound { .. } | Self::DryRun { .. } => None,
        }
    }

    /// A failure of the way there or of the other side.
    pub fn failing(code: &'static str, done: Done) -> Self {
        Self::Failing { code, done, not_before: None, answer: None }
    }

    /// An answer that says success but cannot be read: the work may have been done.
    pub(super) fn unreadable(answer: &Answer) -> Self {
        Self::Failing {
            code: "unreadable_answer",
            done: Done::Unknown,
            not_before: None,
            answer: Some(answer.excerpt()),
        }
    }

    /// What a status means at every API; `None` where the API's own words decide (2xx, and 4xx with an answer in JSON).
    ///
    /// A 404 that is not the API's own JSON says nothing about the object: it may be a proxy's, or a path that is
    /// not there, and must never pass for a deletion.
    pub(super) fn of_status(answer: &Answer) -> Option<Self> {
        let failing =
            |code, done| Self::Failing { code, done, not_before: answer.retry_after, answer: Some(answer.excerpt()) };
        match answer.status {
            401 | 403 => Some(Self::Unauthorised { answer: Some(answer.excerpt()) }),
            408 => Some(failing("timeout", Done::Unknown)),
            429 => Some(Self::Throttled { until: answer.retry_after.unwrap_or(answer.at + DEFAULT_PAUSE) }),
            503 if answer.retry_after.is_some() => Some(failing("unavailable", Done::No)),
            500.. => Some(failing("server_error", Done::Unknown)),
            100..=199 | 300..=399 => Some(failing("redirected", Done::Unknown)),
            404 | 405 if !answer.is_json_object() => Some(failing("unknown_path", Done::No)),
            _ => None,
        }
    }

    /// The same without a secret, should an answer have repeated it.
    pub(super) fn without(mut self, secret: &str) -> Self {
        let clean = |text: &mut String| {
            if !secret.is_empty() && text.contains(secret) {
                *text = text.replace(secret, "***");
            }
        };
        match &mut self {
            Self::Failing { answer, .. } | Self::Unauthorised { answer } => answer.iter_mut().for_each(clean),
            Self::Refused { message, answer, .. } => {
                clean(message);
                answer.iter_mut().for_each(clean);
            }
            Self::AlreadySo { message } => clean(message),
            Self::NotFound { what } => clean(what),
            Self::DryRun { would } => clean(would),
            Self::Throttled { .. } => {}
        }
        self
    }
}

/// How long an account rests after a 429 that does not say how long, in milliseconds (ours).
pub(super) const DEFAULT_PAUSE: Millis = 2_000;

impl From<Throttled> for CallError {
    fn from(throttled: Throttled) -> Self {
        Self::Throttled { until: throttled.until }
    }
}

/// Why a client cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The shop's name is no name of a host.
    #[error(
        "the shop's name {0:?} may hold letters, digits and hyphens only; take it from https://NAME.mysapogo.com (POS) or https://NAME.mysapo.net (web)"
    )]
    Name(String),
    /// The address cannot be read.
    #[error("the API's address must look like https://HOST, without user, query or fragment")]
    Address,
    /// The address is not the API's own.
    #[error("{0} is not the API's own host; allow other hosts in the settings if it is a sandbox or proxy")]
    Host(String),
    /// The token is empty or holds characters that no header can carry.
    #[error("the access token is empty or holds characters that no token has; paste it again")]
    Token,
    /// The machine's TLS set-up does not allow any call.
    #[error("no HTTPS client can be made: {0}")]
    Tls(String),
}

impl ClientError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "bad_name",
            Self::Address => "bad_address",
            Self::Host(_) => "foreign_host",
            Self::Token => "bad_token",
            Self::Tls(_) => "tls",
        }
    }
}

/// Why a body cannot be read; names fields only, never their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field without which nothing right can be made of it.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field that holds something other than it should.
    #[error("the field {0} cannot be read")]
    Bad(&'static str),
}

impl WireError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        "unreadable"
    }
}
