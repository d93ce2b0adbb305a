//! OAuth: asks a shop's owner for access, and takes what comes back.
//!
//! The owner opens the address that [`Oauth::begin`] makes, agrees, and Sapo sends the browser to our redirect with a
//! code. [`Oauth::land`] believes it only where the shop signed it, it is of now, and it answers a question that we
//! asked this shop and that nobody has answered yet. Then the code is exchanged for a token, the token is tried with a
//! reading call, and both are kept encrypted; where the shop is connected already, it is put in place at once. A token
//! that a busy shop does not let us try is kept untried, for it is given once.
//!
//! That Sapo gives back the `state` of its question is not documented.

mod redirect;
mod refused;

use std::time::Duration;

use rand::Rng as _;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, OauthApp};
use crate::destination::oauth::{Code, Granted, OauthClient, base_of, form};
use crate::destination::{CallError, Class, ClientError, Http, OmniClient, WebAccess, WebClient};
use crate::domain::clock::{Millis, millis};
use crate::domain::connection::{State, account};
use crate::domain::event::System;
use crate::store::connections::{CHANGES, StoreAccount};
use crate::store::grants::{Authorization, Grant};
use crate::store::{Store, StoreError, Tx};
use crate::work::context::ACCESS;

pub use redirect::{Answer, Pairs, Redirect, is_shop, signed_text, verify};
pub use refused::{OauthError, Refused};

/// How long an owner has to agree (ours).
pub const PATIENCE: Duration = Duration::from_mins(15);

/// The length of a question's word, in hexadecimal digits.
const WORD: usize = 64;

/// Who the audit log says it was.
const ACTOR: &str = "sapo-sync";

/// What came of a question that was answered with yes.
const GRANTED: &str = "granted";

/// The same where the token could not be tried yet; the code of what kept the shop from answering follows.
const UNTRIED: &str = "granted, not tried yet: ";

/// What we ask of a POS: its documents' names. Products are only read there.
const OMNI_SCOPES: [&str; 9] = [
    "read_products",
    "read_sales",
    "write_sales",
    "read_orderreturn",
    "read_customers",
    "write_customers",
    "read_settings",
    "read_accounts",
    "read_Branch",
];

/// What we ask of a web; the names for stock are assumed.
const WEB_SCOPES: [&str; 6] =
    ["read_products", "write_products", "read_inventory", "write_inventory", "read_orders", "write_orders"];

/// The apps that shops grant access to, and where their answers land.
#[derive(Clone, Debug, Default)]
pub struct OauthConfig {
    /// Where Sapo reaches the receiver, without a slash at the end.
    pub public_url: Option<String>,
    /// The app at Sapo Omni.
    pub omni: Option<OauthApp>,
    /// The app at Sapo Web.
    pub web: Option<OauthApp>,
}

impl From<&Config> for OauthConfig {
    fn from(config: &Config) -> Self {
        Self { public_url: config.public_url.clone(), omni: config.oauth_omni.clone(), web: config.oauth_web.clone() }
    }
}

/// Asks for access and takes the answers.
#[derive(Clone, Debug)]
pub struct Oauth {
    store: Store,
    http: Http,
    config: OauthConfig,
}

/// A question, ready to be opened in the owner's browser.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What to open.
    pub url: String,
    /// An address of our own receiver that leads there.
    pub link: String,
    /// The shop's name, as it is kept.
    pub name: String,
    /// The word that tells its answer.
    pub state: String,
    /// Where the answer lands: the app's own settings at Sapo must name it.
    pub redirect_uri: String,
    /// Until when an answer is taken.
    pub until: Millis,
}

/// How a question stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No answer as yet.
    Open,
    /// The owner agreed, and the token works.
    Granted,
    /// The owner agreed; the shop did not let the token be tried, with the code of why.
    Untried(String),
    /// An answer came that is no use, with why.
    Failed(String),
    /// No answer came in time.
    Expired,
}

impl Oauth {
    /// Makes one.
    pub fn new(store: Store, http: Http, config: OauthConfig) -> Self {
        Self { store, http, config }
    }

    /// Asks a shop's owner for access: gives the address to be opened in his browser.
    ///
    /// `base_url` is for shops that are not at their own host; one that is connected already need not name it.
    pub async fn begin(&self, system: System, name: &str, base_url: Option<&str>) -> Result<Begun, OauthError> {
        let app = self.app(system).ok_or(match system {
            System::Web => OauthError::NoApp("Sapo Web", System::Web, "WEB"),
            System::Omni | System::Abaha => OauthError::NoApp("Sapo Omni", System::Omni, "OMNI"),
        })?;
        let public_url = self.config.public_url.as_deref().ok_or(OauthError::NoPublicUrl)?;
        let name = name.trim().to_ascii_lowercase();
        let base_url = match base_url {
            Some(base_url) => Some(base_url.to_owned()),
            None => self.known_base_url(system, &name).await?,
        };
        let mut random = [0_u8; WORD / 2];
        rand::rng().fill_bytes(&mut random);
        let now = self.store.clock().now();
        let question = Authorization {
            state: hex::encode(random),
            account: account(system, &name),
            redirect_uri: format!("{public_url}/oauth/{system}/callback"),
            base_url,
            created_at: now,
            used_at: None,
            outcome: None,
        };
        let url = self.address(system, &name, app, &question)?;
        self.store.put_authorization(&question).await?;
        let Authorization { state, redirect_uri, .. } = question;
        let link = format!("{public_url}/oauth/{system}/start?state={state}");
        Ok(Begun { url, link, name, state, redirect_uri, until: now + millis(PATIENCE) })
    }

    /// Where the owner is asked: made of what we keep and of our own settings, and of nothing that came with a browser.
    fn address(
        &self,
        system: System,
        name: &str,
        app: &OauthApp,
        question: &Authorization,
    ) -> Result<String, OauthError> {
        let base_url = question.base_url.as_deref();
        // Checks name and host before the owner is sent there.
        OauthClient::new(&self.http, system, name, base_url)?;
        let query = form(&[
            ("client_id", &app.client_id),
            ("scope", &scopes(system, app).join(",")),
            ("redirect_uri", &question.redirect_uri),
            ("state", &question.state),
        ]);
        let base = base_of(system, name, base_url)?;
        Ok(format!("{base}/admin/oauth/authorize?{}", query.ok_or(OauthError::Address)?))
    }

    /// Leads a browser from our own link to the shop that is asked, and logs where it does not; gives the address.
    pub async fn started(&self, system: System, state: &str) -> Option<String> {
        match self.start(system, state).await {
            Ok(url) => {
                tracing::info!(source = %system, "a link of OAuth was opened");
                Some(url)
            }
            Err(error) => {
                tracing::warn!(source = %system, code = error.code(), %error, "a link of OAuth was not followed");
                None
            }
        }
    }

    /// The address at which the owner is asked, while that question is open.
    pub async fn start(&self, system: System, state: &str) -> Result<String, Refused> {
        let app = self.app(system).ok_or(Refused::NoApp)?;
        // What cannot be one of our words is not looked for.
        if state.len() != WORD || !state.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Refused::State);
        }
        let (question, name) = self.open(system, state).await?;
        self.address(system, &name, app, &question).map_err(|_| Refused::Address)
    }

    /// A question that nobody has answered yet, with the name of the shop that is asked.
    async fn open(&self, system: System, state: &str) -> Result<(Authorization, String), Refused> {
        let question = self.store.authorization(state).await?.ok_or(Refused::State)?;
        let name = question.account.strip_prefix(&account(system, "")).ok_or(Refused::State)?.to_owned();
        if question.used_at.is_some() {
            return Err(Refused::Used);
        }
        if self.store.clock().now() - question.created_at > millis(PATIENCE) {
            return Err(Refused::Old);
        }
        Ok((question, name))
    }

    /// How a question stands.
    pub async fn standing(&self, state: &str) -> Result<Standing, StoreError> {
        let Some(question) = self.store.authorization(state).await? else { return Ok(Standing::Expired) };
        let is_old = self.store.clock().now() - question.created_at > millis(PATIENCE);
        Ok(match question.outcome {
            Some(outcome) if outcome == GRANTED => Standing::Granted,
            Some(outcome) => match outcome.strip_prefix(UNTRIED) {
                Some(code) => Standing::Untried(code.to_owned()),
                None => Standing::Failed(outcome),
            },
            None if is_old => Standing::Expired,
            None => Standing::Open,
        })
    }

    /// Takes what came back with a browser, and logs how it ended; whether the owner's grant is in place.
    pub async fn landed(&self, system: System, pairs: &Pairs) -> bool {
        let result = self.land(system, pairs).await;
        let code = result.as_ref().err().map_or(GRANTED, Refused::code);
        metrics::counter!("sapo_sync_oauth_redirects_total", "source" => system.as_str(), "result" => code)
            .increment(1);
        match result {
            Ok(()) => tracing::info!(source = %system, "a shop granted access"),
            Err(error) => tracing::warn!(source = %system, code, %error, "a redirect of OAuth was not taken"),
        }
        code == GRANTED
    }

    /// Takes what came back with a browser.
    pub async fn land(&self, system: System, pairs: &Pairs) -> Result<(), Refused> {
        let app = self.app(system).ok_or(Refused::NoApp)?;
        let Redirect { state, answer } = verify(pairs, &app.client_secret, self.store.clock().now())?;
        let (question, name) = self.open(system, state).await?;
        if answer.shop().is_some_and(|shop| !is_shop(system, &name, shop)) {
            return Err(Refused::Shop);
        }
        // Of two that come at once, one is taken.
        if !self.store.use_authorization(&question.state).await? {
            return Err(Refused::Used);
        }
        let result = match answer {
            Answer::Agreed { code, .. } => self.take(system, &name, app, &question, code).await,
            Answer::Declined { .. } => Err(Refused::Declined),
        };
        if let Err(error) = &result {
            let mut tx = self.store.begin().await?;
            self.store.end_authorization(&mut tx, &question.state, &error.to_string()).await?;
            tx.commit().await?;
        }
        result
    }

    async fn take(
        &self,
        system: System,
        name: &str,
        app: &OauthApp,
        question: &Authorization,
        code: &str,
    ) -> Result<(), Refused> {
        let base_url = question.base_url.as_deref();
        let client =
            OauthClient::new(&self.http, system, name, base_url).map_err(|error| Refused::Exchange(error.code()))?;
        let code = Code { client_id: &app.client_id, client_secret: &app.client_secret, code };
        let Granted { token, scopes: told } =
            client.exchange(code).await.map_err(|error| Refused::Exchange(error.code()))?;
        let missing = told.as_deref().map(|told| lacking(told, &scopes(system, app))).unwrap_or_default();
        if !missing.is_empty() {
            return Err(Refused::Scopes(missing));
        }
        let tried = self.attempt(system, name, &token, base_url).await?;
        let grant = Grant {
            account: question.account.clone(),
            token,
            scopes: told.unwrap_or_default(),
            base_url: question.base_url.clone(),
            granted_at: self.store.clock().now(),
        };
        Ok(self.keep(system, name, app, question, &grant, tried).await?)
    }

    /// Tries a token with a reading call.
    async fn attempt(
        &self,
        system: System,
        name: &str,
        token: &SecretString,
        base_url: Option<&str>,
    ) -> Result<Tried, Refused> {
        let wrong = |error: ClientError| Refused::Check(error.code());
        // Its owner waits: before all that is not urgent.
        let answer = if system == System::Web {
            let access = WebAccess::Token(token.clone());
            let web = WebClient::new(&self.http, name, access, base_url).map_err(wrong)?.class(Class::Order);
            web.shop().await.map(|shop| Some(shop.id))
        } else {
            let omni = OmniClient::new(&self.http, name, token.clone(), base_url).map_err(wrong)?.class(Class::Order);
            omni.tenant().await.map(|tenant| tenant.id)
        };
        match answer {
            Ok(id) => Ok(Tried::Works(id)),
            Err(error @ CallError::Unauthorised { .. }) => Err(Refused::Check(error.code())),
            Err(error) => {
                tracing::warn!(source = %system, code = error.code(), %error, "a token that was granted could not be tried; it is kept");
                Ok(Tried::NotYet(error.code()))
            }
        }
    }

    /// Keeps a grant, and puts it in place where the shop is connected already.
    async fn keep(
        &self,
        system: System,
        name: &str,
        app: &OauthApp,
        question: &Authorization,
        grant: &Grant,
        tried: Tried,
    ) -> Result<(), StoreError> {
        let scopes = if grant.scopes.is_empty() { "not told".to_owned() } else { grant.scopes.join(",") };
        let (tenant, outcome, detail) = match tried {
            Tried::Works(tenant) => (tenant, GRANTED.to_owned(), format!("scopes: {scopes}")),
            Tried::NotYet(code) => {
                (None, format!("{UNTRIED}{code}"), format!("scopes: {scopes}; the token is not tried yet ({code})"))
            }
        };
        let mut tx = self.store.begin().await?;
        self.store.serialise(&mut tx, CHANGES).await?;
        self.store.end_authorization(&mut tx, &question.state, &outcome).await?;
        self.store.put_grant(&mut tx, grant).await?;
        self.store.audit(&mut tx, ACTOR, "oauth granted", &grant.account, &detail).await?;
        let connections = if system == System::Web {
            self.put_in_webs(&mut tx, name, app, grant).await?
        } else {
            self.put_in_store(&mut tx, name, app, grant, tenant).await?
        };
        for connection in &connections {
            self.store.set_access(&mut tx, connection, None).await?;
        }
        tx.commit().await?;
        for connection in &connections {
            self.store.bring_forward(connection, ACCESS).await?;
        }
        Ok(())
    }

    /// Tells which connections use the grant.
    async fn put_in_store(
        &self,
        tx: &mut Tx,
        alias: &str,
        app: &OauthApp,
        grant: &Grant,
        tenant: Option<String>,
    ) -> Result<Vec<String>, StoreError> {
        let known = self.store.snapshot().await?;
        let Some(row) = known.stores.get(alias) else { return Ok(Vec::new()) };
        let row = StoreAccount {
            access_token: grant.token.clone(),
            webhook_secrets: with_secret(&row.webhook_secrets, &app.client_secret),
            tenant_id: row.tenant_id.clone().or(tenant),
            ..row.as_ref().clone()
        };
        self.store.put_store(tx, &row).await?;
        self.store.audit(tx, ACTOR, "oauth granted", &format!("store {alias}"), "access_token changed").await?;
        Ok(known.of_store(alias).map(|row| row.connection.name.clone()).collect())
    }

    /// Tells which connections use the grant.
    async fn put_in_webs(
        &self,
        tx: &mut Tx,
        site: &str,
        app: &OauthApp,
        grant: &Grant,
    ) -> Result<Vec<String>, StoreError> {
        let mut put = Vec::new();
        let known = self.store.snapshot().await?;
        let rows = known.connections.values().filter(|row| {
            row.connection.channel == System::Web
                && row.connection.site == site
                && row.connection.state != State::Stopped
        });
        for row in rows {
            let mut row = row.as_ref().clone();
            row.token = grant.token.clone();
            row.api_key = None;
            row.webhook_secrets = with_secret(&row.webhook_secrets, &app.client_secret);
            self.store.put_connection(tx, &row).await?;
            self.store.audit(tx, ACTOR, "oauth granted", &row.connection.name, "access_token changed").await?;
            put.push(row.connection.name);
        }
        Ok(put)
    }

    /// The address at which a shop is reached that is connected already, or granted access before.
    async fn known_base_url(&self, system: System, name: &str) -> Result<Option<String>, StoreError> {
        let known = self.store.snapshot().await?;
        let connected = match system {
            System::Web => known.of_site(System::Web, name).map(|row| row.base_url.clone()),
            System::Omni | System::Abaha => known.stores.get(name).map(|row| row.base_url.clone()),
        };
        match connected {
            Some(base_url) => Ok(base_url),
            None => Ok(self.store.grant(&account(system, name)).await?.and_then(|grant| grant.base_url)),
        }
    }

    fn app(&self, system: System) -> Option<&OauthApp> {
        match system {
            System::Web => self.config.web.as_ref(),
            System::Omni => self.config.omni.as_ref(),
            System::Abaha => None,
        }
    }
}

/// What trying a token came to.
enum Tried {
    /// It works; the shop's id, where the shop tells it.
    Works(Option<String>),
    /// The shop did not let it be tried, with the code of why.
    NotYet(&'static str),
}

/// What is asked for.
fn scopes(system: System, app: &OauthApp) -> Vec<String> {
    let usual: &[&str] = if system == System::Web { &WEB_SCOPES } else { &OMNI_SCOPES };
    if app.scopes.is_empty() { usual.iter().map(|scope| (*scope).to_owned()).collect() } else { app.scopes.clone() }
}

/// What was asked for and not granted; a right to write is one to read.
fn lacking(granted: &[String], asked: &[String]) -> Vec<String> {
    let has = |wanted: &str| granted.iter().any(|scope| scope.eq_ignore_ascii_case(wanted));
    let covered =
        |scope: &str| has(scope) || scope.strip_prefix("read_").is_some_and(|what| has(&format!("write_{what}")));
    asked.iter().filter(|scope| !covered(scope)).cloned().collect()
}

/// The app's secret key signs the webhooks that it registers, so it is one of the secrets from now on.
fn with_secret(known: &[SecretString], secret: &SecretString) -> Vec<SecretString> {
    let others = known.iter().filter(|other| other.expose_secret() != secret.expose_secret());
    std::iter::once(secret).chain(others).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_to_write_is_one_to_read_and_what_is_lacking_is_named() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let asked = words(&["read_products", "write_products", "read_Branch", "write_sales"]);
        assert_eq!(lacking(&words(&["write_products", "read_branch"]), &asked), ["write_sales"]);
        assert_eq!(lacking(&words(&["read_products"]), &asked), ["write_products", "read_Branch", "write_sales"]);
        assert!(lacking(&asked, &asked).is_empty());
    }

    #[test]
    fn the_apps_secret_comes_first_and_once() {
        let list = |words: &[&str]| words.iter().map(|word| SecretString::from(*word)).collect::<Vec<_>>();
        let shown = |secrets: Vec<SecretString>| {
            secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(with_secret(&list(&["a", "b"]), &"b".into())), ["b", "a"]);
        assert_eq!(shown(with_secret(&list(&["a"]), &"c".into())), ["c", "a"]);
    }
}
