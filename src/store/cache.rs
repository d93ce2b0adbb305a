//! The snapshot of stores and connections, held in memory and refreshed in the background, so that webhooks are
//! taken while the database is away.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;

use super::connections::Snapshot;
use super::{Store, StoreError};
use crate::domain::clock::{Millis, millis};

/// A snapshot older than this makes the process not ready.
pub const STALE_AFTER: Duration = Duration::from_mins(15);

/// Holds the newest snapshot.
#[derive(Clone)]
pub struct SnapshotCache {
    store: Store,
    held: Arc<ArcSwapOption<(Snapshot, Millis)>>,
}

impl SnapshotCache {
    /// Makes an empty cache; [`SnapshotCache::refresh`] fills it.
    pub fn new(store: Store) -> Self {
        Self { store, held: Arc::default() }
    }

    /// The newest snapshot, if there is one yet.
    pub fn get(&self) -> Option<Arc<(Snapshot, Millis)>> {
        self.held.load_full()
    }

    /// Reads the database where something changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let now = self.store.clock().now();
        if let Some(held) = self.get()
            && held.0.stamp == self.store.snapshot_stamp().await?
        {
            self.held.store(Some(Arc::new((held.0.clone(), now))));
            return Ok(());
        }
        let snapshot = self.store.snapshot().await?;
        self.held.store(Some(Arc::new((snapshot, now))));
        Ok(())
    }

    /// Whether the snapshot is there and young enough.
    pub fn fresh(&self) -> bool {
        self.get().is_some_and(|held| self.store.clock().now() - held.1 < millis(STALE_AFTER))
    }

    /// Refreshes once a second until cancelled.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut failing = false;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(code = error.code(), %error, "connections cannot be read; webhooks go on with those known");
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }
}
