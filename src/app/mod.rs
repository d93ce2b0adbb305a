//! Puts the rooms together: opens what a process needs, starts its roles, stops them in order.

mod keep;
mod open;
mod running;
mod state;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use open::{lock, migrate, open_store, rabbit_settings, sender};
pub use running::Running;

use crate::broker::Queue;
use crate::config::Config;
use crate::domain::event::Kind;
use crate::observe::{crash, metric};
use crate::receive::oauth::OauthReceiver;
use crate::sync::connect::oauth::{Oauth, OauthConfig};
use crate::sync::jobs;
use crate::work;
use crate::work::context::Context;
use running::Roles;

/// How often an absent state database is tried.
const RETRY: Duration = Duration::from_secs(1);

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Up,
    /// Takes webhooks.
    Receive,
    /// Works on events of these kinds.
    Work(Vec<Kind>),
    /// Files dead letters, runs jobs, keeps the timers; any number may run, one leads.
    Keeper,
}

impl Role {
    /// Its word, in file names and in the list of processes alive.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Receive => "receive",
            Self::Work(_) => "work",
            Self::Keeper => "keeper",
        }
    }

    /// The kinds of events it works on.
    fn kinds(&self) -> Option<&[Kind]> {
        match self {
            Self::Up => Some(&Queue::KINDS),
            Self::Work(kinds) => Some(kinds),
            Self::Receive | Self::Keeper => None,
        }
    }

    fn keeps(&self) -> bool {
        matches!(self, Self::Up | Self::Keeper)
    }

    fn receives(&self) -> bool {
        matches!(self, Self::Up | Self::Receive)
    }
}

/// A process's settings, state and queue, opened.
pub struct App {
    /// Settings.
    pub config: Config,
    /// What workers and jobs work with.
    pub context: Context,
    role: Role,
    /// Whether the state database was seen to be usable already.
    prepared: bool,
    /// Held while this process is the one of its role that works on the data dir.
    _lock: Option<File>,
}

impl App {
    /// Opens everything for a process that works: the data dir must not be in use by another of its role. PostgreSQL and
    /// RabbitMQ may be away as yet: the process then waits for them.
    pub async fn open(config: Config, role: Role) -> anyhow::Result<Self> {
        if role != Role::Up && !config.is_scaled() {
            bail!(
                "roles apart need PostgreSQL and RabbitMQ: set SAPO_SYNC__DATABASE__URL and SAPO_SYNC__BROKER__URL; `sapo-sync up` runs everything in one process on files"
            );
        }
        // Before anything counts: a gauge that goes up unheard only ever goes down.
        let _pages = metric::recorder();
        let Some(lock) = open::lock_for(&config, &role)? else {
            bail!(
                "another sapo-sync works on {} already; stop it, or choose another data dir with SAPO_SYNC__DATA_DIR (commands such as `events` and `import` work beside it)",
                config.data_dir.display()
            );
        };
        if let Some(point) = &config.crash_at {
            crash::arm(point);
        }
        let owner = open::owner(&config, &role)?;
        let store = open::connect_store(&config).await?;
        let broker = open::open_broker(&config, &role, &owner).await?;
        let context = open::context(&config, store, broker, owner)?;
        let mut app = Self { config, context, role, prepared: false, _lock: Some(lock) };
        match app.prepare().await {
            Ok(()) => app.prepared = true,
            Err(error) if app.config.is_scaled() && state::is_transient(&error) => {
                tracing::warn!(error = %format!("{error:#}"), "waiting for the state database");
            }
            Err(error) => return Err(error),
        }
        Ok(app)
    }

    /// Does what can be done once the state database answers.
    async fn prepare(&self) -> anyhow::Result<()> {
        state::prepare(&self.config, &self.role, &self.context).await
    }

    /// Binds the listener; says who else has the port.
    pub async fn bind(&self) -> anyhow::Result<TcpListener> {
        bind(&self.config).await
    }

    /// Starts this process's role; without a listener everything but the receiver and the health endpoints, for a
    /// command that works on its own.
    pub fn start(self, listener: Option<TcpListener>) -> anyhow::Result<Running> {
        let stop = CancellationToken::new();
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let context = self.context.clone();
        let (ready, is_ready) = watch::channel(self.prepared);
        let mut roles = Roles { tasks: JoinSet::new(), ended: Arc::default(), ready: is_ready.clone() };
        roles.start(
            "state",
            state::keep_state(self.config.clone(), self.role.clone(), context.clone(), ready, stop.clone()),
        );
        if let Some(kinds) = self.role.kinds() {
            let (queues, share) = work::queues::share(kinds, context.broker.partitions().unwrap_or(1));
            let wanted = context.broker.partitions().map(|_| queues.wanted());
            roles.when_ready("work", &stop, work::work(context.clone(), share, stop.clone()));
            roles.when_ready("release", &stop, fine(work::release::release(context.clone(), wanted, stop.clone())));
            if context.broker.partitions().is_some() {
                roles.when_ready("queues", &stop, fine(queues.keep(context.clone(), stop.clone())));
            }
        }
        if self.role.keeps() {
            roles.when_ready("jobs", &stop, fine(jobs::run(context.clone(), stop.clone())));
            roles.when_ready("keeper", &stop, keep::keep(self.config.clone(), context.clone(), stop.clone()));
        }
        if let Some(listener) = listener {
            let oauth = self.role.receives().then(|| oauth(&self.config, &context));
            roles.start("receive", running::serve(context, listener, oauth, is_ready, stop.clone()));
        }
        Ok(Running { app: self, stop, roles, address })
    }
}

/// Where the browsers of shops' owners start and land with OAuth.
fn oauth(config: &Config, context: &Context) -> OauthReceiver {
    let oauth = Arc::new(Oauth::new(context.store.clone(), context.http.clone(), OauthConfig::from(config)));
    let starting = Arc::clone(&oauth);
    OauthReceiver::new(
        Arc::new(move |system, word| {
            let oauth = Arc::clone(&starting);
            Box::pin(async move { oauth.started(system, &word).await })
        }),
        Arc::new(move |system, pairs| {
            let oauth = Arc::clone(&oauth);
            // A browser that is closed meanwhile does not undo what its owner has agreed to.
            let landing = tokio::spawn(async move { oauth.landed(system, &pairs).await });
            Box::pin(async move { landing.await.unwrap_or(false) })
        }),
    )
}

/// Binds the address that the settings name.
pub async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.listen;
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "{address} cannot be listened on: the port is in use or not allowed; choose another with SAPO_SYNC__LISTEN"
        )
    })
}

async fn fine(role: impl Future<Output = ()>) -> Result<(), String> {
    role.await;
    Ok(())
}

/// Resolves at the first Ctrl-C or SIGTERM; a second one ends the process at once.
pub async fn signal() {
    wait_for_signal().await;
    tokio::spawn(async {
        wait_for_signal().await;
        std::process::exit(130);
    });
}

async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _signalled = tokio::signal::ctrl_c().await;
}
