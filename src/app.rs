//! Puts the rooms together: opens what a process needs, starts the roles, stops them in order.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::broker::embedded::Embedded;
use crate::config::Config;
use crate::destination::{Http, HttpSettings, Limits, Rate};
use crate::domain::clock::Clock;
use crate::observe::{crash, health};
use crate::receive::{self, Receiver};
use crate::store::cache::SnapshotCache;
use crate::store::{Cipher, Store};
use crate::sync::jobs;
use crate::work;
use crate::work::context::Context;

/// How long a stop waits for what was started.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// A process's settings, state and queue, opened.
pub struct App {
    /// Settings.
    pub config: Config,
    /// What workers and jobs work with.
    pub context: Context,
    /// Held while this process is the one that works on the data dir.
    _lock: Option<File>,
}

/// Opens the state alone: for commands that work beside a running `up`.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    std::fs::create_dir_all(&config.data_dir).with_context(|| {
        format!("the data dir {} cannot be made; choose another with SAPO_SYNC__DATA_DIR", config.data_dir.display())
    })?;
    let cipher = Cipher::from_key_or_file(config.master_key.as_ref(), &config.data_dir.join("master.key"))?;
    Ok(Store::open(&config.database_url, cipher, Clock::system()).await?)
}

/// Takes the data dir's lock, or tells that another process has it.
pub fn lock(config: &Config) -> anyhow::Result<Option<File>> {
    std::fs::create_dir_all(&config.data_dir).with_context(|| {
        format!("the data dir {} cannot be made; choose another with SAPO_SYNC__DATA_DIR", config.data_dir.display())
    })?;
    let path = config.data_dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).with_context(|| {
        format!(
            "{} cannot be written; choose a data dir that this user may write (SAPO_SYNC__DATA_DIR)",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

impl App {
    /// Opens everything for a process that works: the data dir must not be in use.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let Some(lock) = lock(&config)? else {
            bail!(
                "another sapo-sync works on {} already; stop it, or choose another data dir with SAPO_SYNC__DATA_DIR (commands such as `events` and `import` work beside it)",
                config.data_dir.display()
            );
        };
        if let Some(point) = &config.crash_at {
            crash::arm(point);
        }
        let store = open_store(&config).await?;
        // The lock says that whoever held a lease is gone.
        store.end_leases().await?;
        let broker = Arc::new(Embedded::open(&config.data_dir.join("queue.db")).await?);
        let context = context(&config, store, broker)?;
        for (account, closed) in context.store.closed_accounts().await? {
            context.limits.close_until(&account, closed.not_before);
            context.failing.lock().map_err(|_| anyhow!("poisoned"))?.insert(account);
        }
        context.snapshot.refresh().await?;
        Ok(Self { config, context, _lock: Some(lock) })
    }

    /// Binds the listener; says who else has the port.
    pub async fn bind(&self) -> anyhow::Result<TcpListener> {
        let address = self.config.listen;
        TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on: the port is in use or not allowed; choose another with SAPO_SYNC__LISTEN"))
    }

    /// Starts every role in this process; without a listener everything but the receiver, for a command that works on
    /// its own.
    pub fn start(self, listener: Option<TcpListener>) -> anyhow::Result<Running> {
        let stop = CancellationToken::new();
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let mut roles = Roles::default();
        let context = self.context.clone();
        roles.start("connections", context.snapshot.clone().keep_fresh(stop.clone()));
        roles.start_fallible("work", work::work(context.clone(), stop.clone()));
        roles.start("release", work::release::release(context.clone(), stop.clone()));
        roles.start_fallible("keeper", work::keeper::file_dead_letters(context.clone(), stop.clone()));
        roles.start("gauges", work::keeper::keep_gauges(context.clone(), stop.clone()));
        if let Some(keep) = self.config.keep_ledger {
            roles.start("prune", work::keeper::prune(context.clone(), keep, stop.clone()));
        }
        roles.start("jobs", jobs::run(context.clone(), stop.clone()));
        if let Some(every) = self.config.reconcile_every {
            roles.start("timers", jobs::reconcile_every(context.clone(), every, stop.clone()));
        }
        if let Some(listener) = listener {
            roles.start_fallible("receive", serve(context, listener, stop.clone()));
        }
        Ok(Running { app: self, stop, roles, address })
    }
}

fn context(config: &Config, store: Store, broker: Arc<dyn Broker>) -> anyhow::Result<Context> {
    let clock = store.clock().clone();
    let http = sender(config, &clock)?;
    let limits = http.limits().clone();
    Ok(Context {
        snapshot: SnapshotCache::new(store.clone()),
        http,
        store,
        broker,
        limits,
        clock,
        schedule: config.retry.schedule.clone(),
        settle_after: config.retry.settle_after,
        recheck: config.retry.recheck,
        owner: uuid::Uuid::now_v7().to_string(),
        failing: Arc::new(Mutex::default()),
        branches: Arc::default(),
    })
}

/// Makes the one sender, for commands that only call the APIs.
pub fn sender(config: &Config, clock: &Clock) -> anyhow::Result<Http> {
    let rate = |(size, per_second)| Rate { size, per_second };
    let limits = Limits::new(clock.clone(), rate(config.sapo_limit), rate(config.abaha_limit));
    let settings = HttpSettings {
        timeout: config.call_timeout,
        allow_custom_hosts: config.allow_custom_hosts,
        ..HttpSettings::default()
    };
    Ok(Http::new(settings, limits, clock.clone())?)
}

async fn serve(context: Context, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let receiver = Receiver::new(
        Arc::clone(&context.broker),
        context.snapshot.clone(),
        context.store.clone(),
        context.clock.clone(),
    );
    let router = receive::router(receiver).merge(health::router(readiness(context)));
    let listener = listener.tap_io(|stream| {
        // Answers are one small packet each; waiting to fill it would only add delay.
        let _best_effort = stream.set_nodelay(true);
    });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn readiness(context: Context) -> health::Ready {
    Arc::new(move || {
        let context = context.clone();
        Box::pin(async move {
            context.broker.ready().await.map_err(|error| error.to_string())?;
            if context.snapshot.fresh() {
                Ok(())
            } else {
                Err("the connections known are older than 15 minutes; is the state database away?".to_owned())
            }
        })
    })
}

/// A role's name and how it ended.
type Ended = (&'static str, Result<(), String>);

/// The roles of a process, each a task of its own.
#[derive(Default)]
struct Roles {
    tasks: JoinSet<Ended>,
    ended: Arc<AtomicBool>,
}

impl Roles {
    fn start(&mut self, name: &'static str, role: impl Future<Output = ()> + Send + 'static) {
        self.start_fallible(name, async move {
            role.await;
            Ok::<(), String>(())
        });
    }

    fn start_fallible<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        role: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let ended = Arc::clone(&self.ended);
        self.tasks.spawn(async move {
            let result = role.await.map_err(|error| error.to_string());
            ended.store(true, Ordering::Relaxed);
            (name, result)
        });
    }
}

/// A process at work.
pub struct Running {
    app: App,
    stop: CancellationToken,
    roles: Roles,
    address: Option<SocketAddr>,
}

impl Running {
    /// Where it listens, where it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether every role that was started is at work.
    pub fn is_healthy(&self) -> bool {
        !self.roles.ended.load(Ordering::Relaxed)
    }

    /// What it works with.
    pub fn context(&self) -> &Context {
        &self.app.context
    }

    /// Asks it to stop.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until it is asked to stop or a role dies, then stops everything: nothing new is accepted, what was
    /// started is finished, up to a deadline.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        let mut died = None;
        tokio::select! {
            // Asked to stop, roles end one after the other: that is no death.
            biased;
            () = self.stop.cancelled() => {}
            ended = self.roles.tasks.join_next() => died = Some(describe(ended)),
        }
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.roles.tasks.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    died.get_or_insert(format!("{name}: {error}"));
                }
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!("not everything ended in time; what was cut off goes on at the next start");
            self.roles.tasks.abort_all();
        }
        self.app.context.broker.close().await;
        self.app.context.store.close().await;
        match died {
            None => Ok(()),
            Some(role) => {
                Err(anyhow!("a part of the program ended by itself ({role}); everything was stopped, start it again"))
            }
        }
    }
}

fn describe(ended: Option<Result<Ended, tokio::task::JoinError>>) -> String {
    match ended {
        Some(Ok((name, Ok(())))) => name.to_owned(),
        Some(Ok((name, Err(error)))) => format!("{name}: {error}"),
        Some(Err(error)) => error.to_string(),
        None => "nothing was started".to_owned(),
    }
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
