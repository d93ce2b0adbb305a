//! What a worker works with, and one run of one event.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::marks::Marks;
use crate::broker::{Broker, BrokerError};
use crate::destination::{
    AbahaClient, CallError, CallLog, Class, ClientError, Http, Limits, OmniClient, WebAccess, WebClient,
};
use crate::domain::clock::{Clock, Millis};
use crate::domain::connection::Connection;
use crate::domain::event::{Event, Kind, System};
use crate::domain::outcome::{Cause, Outcome};
use crate::store::cache::SnapshotCache;
use crate::store::connections::{ConnectionAccount, StoreAccount};
use crate::store::ledger::Step;
use crate::store::objects::Settled;
use crate::store::{Store, StoreError};

/// The cause key of what waits for an access token that is accepted.
pub const ACCESS: &str = "access";
/// The cause key of what waits for other settings.
pub const SETTINGS: &str = "settings";
/// How long an intent is held; longer than any call's deadline.
pub const LEASE: Duration = Duration::from_secs(45);

/// What a worker works with.
#[derive(Clone)]
pub struct Context {
    /// State.
    pub store: Store,
    /// Where events come from and go to.
    pub broker: Arc<dyn Broker>,
    /// Connections.
    pub snapshot: SnapshotCache,
    /// The one sender.
    pub http: Http,
    /// The accounts' buckets.
    pub limits: Limits,
    /// Time.
    pub clock: Clock,
    /// Waiting times between attempts.
    pub schedule: Vec<Duration>,
    /// How long after an unknown outcome it is looked up.
    pub settle_after: Duration,
    /// How often a cause is looked at again.
    pub recheck: Duration,
    /// This process, as the owner of leases.
    pub owner: String,
    /// Where shops reach the receiver, where that was told.
    pub public_url: Option<String>,
    /// The accounts that are seen to fail just now.
    pub failing: Failing,
    /// Default branches and the like, and until when they are not asked for again.
    pub branches: Branches,
    /// What carries our mark, as far as it was looked for.
    pub marks: Marks,
}

impl Context {
    /// Accounts that are seen to fail: the next call that works opens them again.
    pub fn note_failing(&self, accounts: impl Iterator<Item = String>) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).extend(accounts);
    }
}

/// What was found where nothing is chosen, each with the moment when it is to be asked for again: default branches by
/// store account; the locations of webs; and what the settings name that is missing. And when a token that was not
/// taken is to be tried again.
pub type Branches = Arc<Mutex<HashMap<String, (u64, Millis)>>>;

/// The accounts whose last call failed: a call that works opens them again.
pub type Failing = Arc<Mutex<HashSet<String>>>;

/// Why a run ends before its last line.
#[derive(Debug)]
pub enum Halt {
    /// With an outcome.
    Outcome(Outcome),
    /// A call failed.
    Call(CallError),
    /// The state database is away: nothing is settled.
    Store(StoreError),
}

impl From<CallError> for Halt {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Halt {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Outcome> for Halt {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(outcome)
    }
}

/// One run of one event, for one connection.
pub struct Run<'a> {
    /// The worker's.
    pub context: &'a Context,
    /// The event.
    pub event: &'a Event,
    /// The connection with its secrets.
    pub account: Arc<ConnectionAccount>,
    /// The store's API.
    pub omni: OmniClient,
    channel: Channel,
    /// Nothing is written on either side, nor here: a plan.
    pub dry: bool,
    /// Every call it makes.
    pub calls: CallLog,
    notes: Mutex<Notes>,
}

/// The channel's API.
enum Channel {
    Abaha(AbahaClient),
    Web(WebClient),
}

impl Channel {
    fn new(context: &Context, account: &ConnectionAccount) -> Result<Self, ClientError> {
        let (http, site, base_url) = (&context.http, &account.connection.site, account.base_url.as_deref());
        Ok(match account.connection.channel {
            System::Web => Self::Web(WebClient::new(http, site, web_access(account), base_url)?),
            System::Abaha | System::Omni => Self::Abaha(AbahaClient::new(http, site, account.token.clone(), base_url)?),
        })
    }
}

/// How a web's API is told who calls.
pub fn web_access(account: &ConnectionAccount) -> WebAccess {
    match &account.api_key {
        Some(key) => WebAccess::Private { key: key.clone(), secret: account.token.clone() },
        None => WebAccess::Token(account.token.clone()),
    }
}

#[derive(Default)]
struct Notes {
    steps: Vec<Step>,
    settled: Option<Settled>,
    follow_ups: Vec<Event>,
}

/// What a run leaves behind, besides its outcome.
pub struct Left {
    /// Its story.
    pub steps: Vec<Step>,
    /// The object's state, to be remembered once settled.
    pub settled: Option<Settled>,
    /// Events that follow from it.
    pub follow_ups: Vec<Event>,
    /// The account of its last call, and what came of it, where it made one.
    pub last_call: Option<(String, &'static str)>,
}

impl Left {
    /// Nothing.
    pub fn nothing() -> Self {
        Self { steps: Vec::new(), settled: None, follow_ups: Vec::new(), last_call: None }
    }
}

impl<'a> Run<'a> {
    /// Makes a run with clients for its connection.
    pub fn new(
        context: &'a Context,
        event: &'a Event,
        store: &StoreAccount,
        account: Arc<ConnectionAccount>,
        dry: bool,
    ) -> Result<Self, ClientError> {
        let calls = CallLog::new();
        let class = class(event);
        let mut omni =
            OmniClient::new(&context.http, &store.alias, store.access_token.clone(), store.base_url.as_deref())?
                .recording(calls.clone())
                .class(class);
        let mut channel = match Channel::new(context, &account)? {
            Channel::Abaha(abaha) => Channel::Abaha(abaha.recording(calls.clone()).class(class)),
            Channel::Web(web) => Channel::Web(web.recording(calls.clone()).class(class)),
        };
        if dry {
            omni = omni.dry();
            channel = match channel {
                Channel::Abaha(abaha) => Channel::Abaha(abaha.dry()),
                Channel::Web(web) => Channel::Web(web.dry()),
            };
        }
        let omni = omni.branch(account.connection.settings.branch);
        Ok(Self { context, event, account, omni, channel, dry, calls, notes: Mutex::default() })
    }

    /// The API of the Abaha site that is connected.
    ///
    /// # Errors
    /// Where the channel is another system: no path of this program asks for that.
    pub fn abaha(&self) -> Result<&AbahaClient, CallError> {
        match &self.channel {
            Channel::Abaha(abaha) => Ok(abaha),
            Channel::Web(_) => Err(wrong_channel("an Abaha site")),
        }
    }

    /// The API of the Sapo Web site that is connected.
    ///
    /// # Errors
    /// Where the channel is another system: no path of this program asks for that.
    pub fn web(&self) -> Result<&WebClient, CallError> {
        match &self.channel {
            Channel::Web(web) => Ok(web),
            Channel::Abaha(_) => Err(wrong_channel("a Sapo Web site")),
        }
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.account.connection
    }

    /// The connection's name.
    pub fn name(&self) -> &str {
        &self.account.connection.name
    }

    /// State.
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step to the story.
    pub fn step(&self, step: &str, text: impl Into<String>) {
        let step = Step { at: self.context.clock.now(), step: step.to_owned(), text: text.into() };
        self.notes().steps.push(step);
    }

    /// Says which state of the object this run applies.
    pub fn applies(&self, state: Settled) {
        self.notes().settled = Some(state);
    }

    /// Adds an event to be published once this one is settled.
    pub fn follow_up(&self, event: Event) {
        self.notes().follow_ups.push(event);
    }

    /// What the run leaves behind.
    pub fn left(self) -> Left {
        let mut notes = self.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut last_call = None;
        for call in self.calls.take() {
            last_call = Some((call.account.clone(), call.outcome));
            let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let text = format!(
                "{} {} at {}: {status}, {} ({} ms)",
                call.method, call.path, call.account, call.outcome, call.milliseconds
            );
            notes.steps.push(Step { at: call.at, step: "call".to_owned(), text });
        }
        notes.steps.sort_by_key(|step| step.at);
        Left { steps: notes.steps, settled: notes.settled, follow_ups: notes.follow_ups, last_call }
    }
}

fn wrong_channel(expected: &str) -> CallError {
    let message = format!("the connection's channel is not {expected}");
    CallError::Refused { code: "wrong_channel", message, answer: None }
}

/// The class of an event's calls: a job's come last.
pub fn class(event: &Event) -> Class {
    match event.key.kind {
        _ if event.job.is_some() => Class::Bulk,
        Kind::Order | Kind::Shop => Class::Order,
        Kind::Product => Class::Product,
        Kind::Customer => Class::Customer,
    }
}

/// Parked until the connection's settings are right.
pub fn wrong_settings(reason: impl Into<String>) -> Outcome {
    Outcome::parked(Cause::Setup, Some(SETTINGS.to_owned()), reason)
}

/// What a failed call means for its event.
pub fn outcome_of(error: CallError) -> Outcome {
    let answer = error.answer().map(ToOwned::to_owned);
    match error {
        CallError::Throttled { until } => Outcome::Parked {
            cause: Cause::Throttled,
            cause_key: None,
            reason: "the shop's API limit is used up for now; it goes by itself".to_owned(),
            due: Some(until),
        },
        CallError::Failing { code, not_before, .. } => Outcome::Failing {
            code,
            reason: "the other side, or the way to it, is failing; it is tried again".to_owned(),
            last_answer: answer,
            not_before,
        },
        CallError::Unauthorised { .. } => Outcome::parked(
            Cause::Setup,
            Some(ACCESS.to_owned()),
            "the API does not accept the access token: get a new one from the shop and run `sapo-sync connect apply`",
        ),
        CallError::DryRun { would } => Outcome::done("planned", would),
        // The app was granted too little: what that forbids waits until the shop grants it.
        CallError::Refused { code: "missing_scope", message, .. } => {
            Outcome::parked(Cause::Setup, Some(ACCESS.to_owned()), message)
        }
        CallError::Refused { code, message, .. } => {
            Outcome::Dead { code, reason: format!("the other side refused: {message}"), last_answer: answer }
        }
        CallError::AlreadySo { message } => Outcome::done("already_so", message),
        CallError::NotFound { what } => {
            Outcome::Dead { code: "not_found", reason: format!("{what} is not there (any more)"), last_answer: answer }
        }
    }
}

impl From<BrokerError> for Halt {
    fn from(error: BrokerError) -> Self {
        Self::Outcome(Outcome::Failing {
            code: error.code(),
            reason: error.to_string(),
            last_answer: None,
            not_before: None,
        })
    }
}
