//! A process at work: its roles, each a task, and their end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::observe::health;
use crate::receive::oauth::OauthReceiver;
use crate::receive::{self, Receiver};
use crate::work::context::Context;

/// How long a stop waits for what was started.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// The receiver, with where OAuth lands, where the role has one, and the health endpoints.
pub(super) async fn serve(
    context: Context,
    listener: TcpListener,
    oauth: Option<OauthReceiver>,
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let mut router = health::router(readiness(context.clone(), oauth.is_some(), ready));
    if let Some(oauth) = oauth {
        let Context { broker, snapshot, store, clock, .. } = context;
        router = receive::router(Receiver::new(broker, snapshot, store, clock))
            .merge(receive::oauth::router(oauth))
            .merge(router);
    }
    let listener = listener.tap_io(|stream| {
        // Answers are one small packet each; waiting to fill it would only add delay.
        let _best_effort = stream.set_nodelay(true);
    });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// A receiver is ready while it can take webhooks, on its own disk too; anything else while state and queue answer.
fn readiness(context: Context, receives: bool, ready: watch::Receiver<bool>) -> health::Ready {
    Arc::new(move || {
        let (context, ready) = (context.clone(), *ready.borrow());
        Box::pin(async move {
            context.broker.ready().await.map_err(|error| error.to_string())?;
            if !ready {
                let why = context.store.check_schema().await.err();
                let why = why.map_or_else(|| "it is being opened".to_owned(), |error| error.to_string());
                return Err(format!("the state database is not usable yet: {why}"));
            }
            if receives && context.snapshot.fresh() {
                return Ok(context.broker.warning().await);
            }
            if receives {
                return Err("the connections known are older than 15 minutes; is the state database away?".to_owned());
            }
            context.store.ping().await.map(|()| None).map_err(|error| error.to_string())
        })
    })
}

/// A role's name and how it ended.
type Ended = (&'static str, Result<(), String>);

/// The roles of a process, each a task of its own.
pub(super) struct Roles {
    pub(super) tasks: JoinSet<Ended>,
    pub(super) ended: Arc<AtomicBool>,
    pub(super) ready: watch::Receiver<bool>,
}

impl Roles {
    pub(super) fn start<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        role: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let ended = Arc::clone(&self.ended);
        self.tasks.spawn(async move {
            let result = role.await.map_err(|error| format!("{error:#}"));
            ended.store(true, Ordering::Relaxed);
            (name, result)
        });
    }

    /// Starts a role once the state database is usable.
    pub(super) fn when_ready<E: std::fmt::Display + Send>(
        &mut self,
        name: &'static str,
        stop: &CancellationToken,
        role: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let (mut ready, stop) = (self.ready.clone(), stop.clone());
        self.start(name, async move {
            let is_ready = stop.run_until_cancelled(async { ready.wait_for(|ready| *ready).await.is_ok() }).await;
            if is_ready == Some(true) { role.await } else { Ok(()) }
        });
    }
}

/// A process at work.
pub struct Running {
    pub(super) app: App,
    pub(super) stop: CancellationToken,
    pub(super) roles: Roles,
    pub(super) address: Option<SocketAddr>,
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
