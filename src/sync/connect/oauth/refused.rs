//! Why nobody can be asked for access, and why an answer is not taken.

use crate::destination::ClientError;
use crate::domain::event::System;
use crate::store::StoreError;

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// No app.
    #[error(
        "no app at {0} is set up: set client_id and client_secret of [oauth.{1}] in the settings (SAPO_SYNC__OAUTH__{2}__CLIENT_ID and …__CLIENT_SECRET_FILE) to the app's API key and secret key"
    )]
    NoApp(&'static str, System, &'static str),
    /// No address for the answer.
    #[error(
        "public_url is not set: the shop's answer comes to the receiver, so set SAPO_SYNC__PUBLIC_URL to the address by which Sapo reaches it, such as https://sync.example.com"
    )]
    NoPublicUrl,
    /// The shop cannot be called.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The address cannot be made.
    #[error("the address to be opened cannot be made; check client_id and public_url in the settings")]
    Address,
    /// The state database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an answer is not taken. A stranger learns none of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No app of this system is set up here.
    #[error("no app of this system is set up")]
    NoApp,
    /// Parameters are missing or cannot be right.
    #[error("the redirect cannot be read")]
    Unreadable,
    /// A parameter came twice.
    #[error("a parameter of the redirect came twice")]
    Doubled,
    /// The signature is missing or wrong.
    #[error("the redirect's signature (hmac) is wrong")]
    Signature,
    /// Its time is missing or not of now.
    #[error("the redirect is not of now")]
    Time,
    /// The owner did not agree.
    #[error("the shop's owner did not agree (chủ cửa hàng không đồng ý); ask again once he does")]
    Declined,
    /// It comes from another shop than the one that was asked, or from none.
    #[error("the redirect is another shop's")]
    Shop,
    /// It answers no question of ours.
    #[error("the redirect answers no question of ours (state)")]
    State,
    /// The question was answered before.
    #[error("the question was answered before")]
    Used,
    /// The question is older than 15 minutes.
    #[error("the question is too old")]
    Old,
    /// The shop's address cannot be made any more.
    #[error(
        "the shop's address cannot be made any more; check client_id and outgoing.allow_custom_hosts in the settings"
    )]
    Address,
    /// The code was not exchanged.
    #[error("{}", not_exchanged(.0))]
    Exchange(&'static str),
    /// The token does not work.
    #[error("the token that was granted does not work ({0}); ask again")]
    Check(&'static str),
    /// The shop granted less than was asked for.
    #[error("the shop granted too little: {} missing; have the app's settings at Sapo allow it, and ask again", .0.join(", "))]
    Scopes(Vec<String>),
    /// The state database did not answer.
    #[error("the state database did not answer ({0})")]
    Store(&'static str),
}

impl Refused {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoApp => "no_app",
            Self::Unreadable => "unreadable",
            Self::Doubled => "doubled_parameter",
            Self::Signature => "wrong_signature",
            Self::Time => "wrong_time",
            Self::Declined => "declined",
            Self::Shop => "other_shop",
            Self::State => "unknown_state",
            Self::Used => "used_state",
            Self::Old => "old_state",
            Self::Address => "no_address",
            Self::Exchange(_) => "exchange_failed",
            Self::Check(_) => "token_refused",
            Self::Scopes(_) => "missing_scope",
            Self::Store(_) => "store",
        }
    }
}

/// Why a code was not exchanged, by the call's own word for it, and what mends it. A code is good for once.
fn not_exchanged(code: &str) -> String {
    let why = match code {
        "exchange_refused" => "the shop refused it; check the app's client_id and client_secret",
        "throttled" => "the shop's API limit is used up for now; wait a minute",
        "unreadable_answer" => "the shop's answer cannot be read; see whether the address is the shop's own",
        "bad_name" | "bad_address" | "foreign_host" | "tls" => {
            "the shop cannot be called; check its base_url, and outgoing.allow_custom_hosts in the settings"
        }
        _ => "the shop did not answer as it should; see whether it can be reached",
    };
    format!("the code was not exchanged for a token ({code}): {why}, and ask again")
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error.code())
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_exchange_tells_by_its_code_what_mends_it() {
        for (code, words) in [
            ("exchange_refused", "client_secret"),
            ("throttled", "limit"),
            ("unreadable_answer", "cannot be read"),
            ("foreign_host", "outgoing.allow_custom_hosts"),
            ("timeout", "can be reached"),
            ("server_error", "can be reached"),
        ] {
            let told = Refused::Exchange(code).to_string();
            assert!(told.contains(words) && told.contains(code) && told.ends_with("ask again"), "{told}");
            assert_eq!(told.contains("client_secret"), code == "exchange_refused", "{told}");
        }
    }
}
