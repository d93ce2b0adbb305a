//! Events that may have killed their worker.
//!
//! What is delivered again is marked before it is worked on, once by each process. What has a mark already runs alone,
//! so that it takes no neighbour with it; the third mark makes it a dead letter. After a broker's restart a whole window
//! is delivered again: it has no marks yet, and runs side by side.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::broker::Delivery;
use crate::store::{Store, StoreError};

/// A message that is marked so often killed its worker that often.
const MARKS: i64 = 3;

/// The marks, and which of them this process put.
#[derive(Clone)]
pub struct Poison {
    store: Store,
    own: Arc<Mutex<HashSet<String>>>,
}

impl Poison {
    /// Nothing is marked by this process yet.
    pub fn new(store: Store) -> Self {
        Self { store, own: Arc::default() }
    }

    /// Which of these deliveries are to run alone: those that bear another process's mark. With the state database
    /// away, all that are delivered again.
    pub async fn alone(&self, deliveries: Vec<Box<dyn Delivery>>) -> Vec<(Box<dyn Delivery>, bool)> {
        let id = |delivery: &dyn Delivery| delivery.event().id.to_string();
        let again: Vec<String> = deliveries.iter().filter(|d| d.redelivered()).map(|d| id(&**d)).collect();
        if again.is_empty() {
            return deliveries.into_iter().map(|delivery| (delivery, false)).collect();
        }
        let marked = self.store.marked(&again).await.ok();
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_alone = |delivery: &dyn Delivery| {
            let id = id(delivery);
            let suspect = marked.as_ref().is_none_or(|marked| marked.contains(&id));
            delivery.redelivered() && suspect && !own.contains(&id)
        };
        deliveries.into_iter().map(|delivery| (is_alone(&*delivery), delivery)).map(|(a, d)| (d, a)).collect()
    }

    /// Marks an event that was delivered again; tells whether it has killed its workers too often.
    pub async fn mark(&self, event_id: &str) -> Result<bool, StoreError> {
        if self.own.lock().unwrap_or_else(PoisonError::into_inner).contains(event_id) {
            return Ok(false);
        }
        let marks = self.store.mark_poison(event_id).await?;
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(event_id.to_owned());
        Ok(marks >= MARKS)
    }

    /// An event is settled: its marks are gone.
    pub fn settled(&self, event_id: &str) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).remove(event_id);
    }
}
