//! Which worker takes from which queue: leases in the state database, shared evenly among the workers alive.
//!
//! A worker holds the same partitions of every kind it works on, as far as it can: a store's objects are then all
//! worked on in one process, which counts the store's API limit. A queue that is given up is drained first: what was
//! started ends, its channel is closed, and only then its lease is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::broker::{Queue, Share};
use crate::domain::clock::{Millis, millis};
use crate::domain::event::Kind;
use crate::store::StoreError;
use crate::store::leases::{BEYOND_BELIEF, Lease, Member};

/// A lease ends so long after its last renewal: a dead worker's queues move after that.
const LEASE: Duration = Duration::from_secs(8);
/// How often leases are renewed and shared anew.
const TICK: Duration = Duration::from_secs(1);
/// A worker that cannot reach the broker for so long leaves its queues to others; longer than a restart of it takes.
const CUT_OFF: Duration = Duration::from_secs(20);
/// How long a stopping worker waits for its queues to be drained.
const DRAIN: Duration = Duration::from_secs(15);

/// What this worker wants and has.
pub struct Queues {
    kinds: Vec<Kind>,
    partitions: u16,
    wanted: watch::Sender<BTreeSet<Queue>>,
    held: watch::Receiver<BTreeSet<Queue>>,
    up: watch::Receiver<bool>,
    /// When the broker could be reached last.
    reached: Instant,
}

/// The queues that this process may take from: `None` where it has them all.
pub type Wanted = Option<watch::Receiver<BTreeSet<Queue>>>;

/// Makes a share that begins empty; [`Queues::keep`] fills it.
pub fn share(kinds: &[Kind], partitions: u16) -> (Queues, Share) {
    let (wanted, wanted_seen) = watch::channel(BTreeSet::new());
    let (held, held_seen) = watch::channel(BTreeSet::new());
    let up = watch::Sender::new(false);
    let (up_seen, reached) = (up.subscribe(), Instant::now());
    let queues = Queues { kinds: kinds.to_vec(), partitions, wanted, held: held_seen, up: up_seen, reached };
    (queues, Share { wanted: wanted_seen, held, up })
}

impl Queues {
    /// What is wanted, as it changes.
    pub fn wanted(&self) -> watch::Receiver<BTreeSet<Queue>> {
        self.wanted.subscribe()
    }

    /// Takes and keeps this worker's share until stopped, then gives everything up once it is drained.
    pub async fn keep(mut self, context: Context, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        let mut renewed = Instant::now();
        let mut given_up = BTreeSet::new();
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let shared = tokio::time::timeout(LEASE, self.share_anew(&context, &mut given_up)).await;
            match shared {
                Ok(Ok(())) => renewed = Instant::now(),
                Ok(Err(error)) => tracing::debug!(%error, "leases cannot be renewed"),
                Err(_) => tracing::debug!("leases cannot be renewed: the state database does not answer"),
            }
            if renewed.elapsed() > LEASE {
                // Somebody else may have them by now.
                self.wanted.send_if_modified(|wanted| !std::mem::take(wanted).is_empty());
            }
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!("sapo_sync_queues_held").set(self.held.borrow().len() as f64);
        }
        let handed_over = tokio::time::timeout(DRAIN + LEASE, self.hand_over(&context)).await;
        if let Ok(Err(error)) = handed_over {
            tracing::debug!(%error, "leases cannot be given up; they end by themselves");
        }
    }

    /// Gives everything up: what is idle at once, what is being worked on when that has ended. Until then its lease is
    /// renewed; what does not end in time, or may still be worked on, keeps a lease that ends by itself.
    async fn hand_over(&mut self, context: &Context) -> Result<(), StoreError> {
        self.wanted.send_replace(BTreeSet::new());
        context.store.leave(&context.owner).await?;
        let by = Instant::now() + DRAIN;
        let mut kept: BTreeSet<Queue> = self.all().collect();
        while Instant::now() < by {
            let held = self.held.borrow_and_update().clone();
            let idle: Vec<Queue> = kept.difference(&held).copied().collect();
            for queue in idle {
                context.store.drop_lease(&queue.to_string(), &context.owner).await?;
                kept.remove(&queue);
            }
            if kept.is_empty() {
                break;
            }
            let names: Vec<String> = kept.iter().map(ToString::to_string).collect();
            if let Err(error) = context.store.renew_leases(&context.owner, &names, LEASE).await {
                tracing::debug!(%error, "leases of what is being worked on cannot be renewed");
            }
            if let Ok(Err(_)) = tokio::time::timeout(TICK, self.held.changed()).await {
                break;
            }
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = Queue> {
        let partitions = self.partitions;
        self.kinds.iter().flat_map(move |kind| (0..partitions).map(move |partition| Queue { kind: *kind, partition }))
    }

    /// Whether the broker has been out of reach for so long that others are to have the queues.
    fn is_cut_off(&mut self) -> bool {
        if *self.up.borrow() {
            self.reached = Instant::now();
        }
        self.reached.elapsed() > CUT_OFF
    }

    async fn share_anew(&mut self, context: &Context, given_up: &mut BTreeSet<Queue>) -> Result<(), StoreError> {
        let store = &context.store;
        let cut_off = self.is_cut_off();
        if cut_off {
            store.leave(&context.owner).await?;
        } else {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
            store.join(&context.owner, ROLE, &kinds.join(","), LEASE).await?;
        }
        let wanted = self.wanted.borrow().clone();
        let held = self.held.borrow().clone();
        let names: Vec<String> = wanted.union(&held).map(ToString::to_string).collect();
        let kept: BTreeSet<Queue> = store
            .renew_leases(&context.owner, &names, LEASE)
            .await?
            .iter()
            .filter_map(|name| Queue::from_word(name))
            .collect();
        // Given up a tick ago at least, and drained since: others may have it.
        for queue in given_up.difference(&held) {
            store.drop_lease(&queue.to_string(), &context.owner).await?;
        }
        given_up.retain(|queue| held.contains(queue));
        // What another one took meanwhile is left to it for a tick at least, until nothing of it is held here any more.
        given_up.extend(wanted.difference(&kept));
        let mut mine: BTreeSet<Queue> = wanted.intersection(&kept).copied().collect();
        let leases = store.leases("").await?;
        let taken = taken_by_others(&leases, &context.owner, context.clock.now());
        let fair = if cut_off {
            self.kinds.iter().map(|kind| (*kind, 0)).collect()
        } else {
            fair_shares(&store.members(ROLE).await?, &self.kinds, self.partitions)
        };
        for (queue, change) in changes(&mine, &taken, &fair, self.partitions) {
            match change {
                Change::GiveUp => {
                    mine.remove(&queue);
                }
                Change::Take if given_up.contains(&queue) => {}
                Change::Take => {
                    if store.take_lease(&queue.to_string(), &context.owner, LEASE).await? {
                        mine.insert(queue);
                    }
                }
            }
        }
        given_up.extend(wanted.difference(&mine));
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != mine;
            *wanted = mine;
            changed
        });
        Ok(())
    }
}

/// The role that shares queues.
const ROLE: &str = "work";

/// What is to be done about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Take,
    GiveUp,
}

fn taken_by_others(leases: &[Lease], owner: &str, now: Millis) -> BTreeSet<Queue> {
    leases
        .iter()
        .filter(|lease| {
            lease.owner != owner && lease.lease_until > now && lease.lease_until < now + millis(BEYOND_BELIEF)
        })
        .filter_map(|lease| Queue::from_word(&lease.name))
        .collect()
}

/// How many queues of each kind one worker should have at most.
fn fair_shares(members: &[Member], kinds: &[Kind], partitions: u16) -> BTreeMap<Kind, usize> {
    let sharing = |kind: Kind| members.iter().filter(|m| m.kinds.split(',').any(|word| word == kind.as_str())).count();
    kinds.iter().map(|kind| (*kind, usize::from(partitions).div_ceil(sharing(*kind).max(1)))).collect()
}

/// What a worker that has `mine` should do. The highest partitions are given up first, of every kind, so that the
/// partitions of its kinds stay the same.
fn changes(
    mine: &BTreeSet<Queue>,
    taken: &BTreeSet<Queue>,
    fair: &BTreeMap<Kind, usize>,
    partitions: u16,
) -> Vec<(Queue, Change)> {
    let mut changes = Vec::new();
    for (kind, fair) in fair {
        let have: Vec<Queue> = mine.iter().filter(|queue| queue.kind == *kind).copied().collect();
        for queue in have.iter().rev().take(have.len().saturating_sub(*fair)) {
            changes.push((*queue, Change::GiveUp));
        }
        let mut free: Vec<Queue> = (0..partitions)
            .map(|partition| Queue { kind: *kind, partition })
            .filter(|queue| !mine.contains(queue) && !taken.contains(queue))
            .collect();
        let known = |queue: &Queue| mine.iter().any(|own| own.partition == queue.partition);
        free.sort_by_key(|queue| (!known(queue), queue.partition));
        changes.extend(free.into_iter().take(fair.saturating_sub(have.len())).map(|queue| (queue, Change::Take)));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(kind: Kind, partitions: impl IntoIterator<Item = u16>) -> BTreeSet<Queue> {
        partitions.into_iter().map(|partition| Queue { kind, partition }).collect()
    }

    fn member(owner: &str, kinds: &str) -> Member {
        Member { owner: owner.into(), role: ROLE.into(), kinds: kinds.into(), seen_until: 0 }
    }

    /// Workers that look one after the other, as often as it takes.
    fn settle(workers: &mut [BTreeSet<Queue>], kinds: &[&str], partitions: u16) {
        let members: Vec<Member> = kinds.iter().enumerate().map(|(n, kinds)| member(&n.to_string(), kinds)).collect();
        for _ in 0..10 {
            for n in 0..workers.len() {
                let own: Vec<Kind> = kinds[n].split(',').filter_map(Kind::from_word).collect();
                let taken = workers.iter().enumerate().filter(|(m, _)| *m != n).flat_map(|(_, q)| q.clone()).collect();
                for (queue, change) in
                    changes(&workers[n].clone(), &taken, &fair_shares(&members, &own, partitions), partitions)
                {
                    match change {
                        Change::Take => workers[n].insert(queue),
                        Change::GiveUp => workers[n].remove(&queue),
                    };
                }
            }
        }
    }

    const ALL: &str = "order,product,customer";

    #[test]
    fn one_worker_has_everything_and_a_second_takes_half_of_each_kind() {
        let mut workers = vec![BTreeSet::new()];
        settle(&mut workers, &[ALL], 8);
        assert_eq!(workers[0].len(), 24);
        workers.push(BTreeSet::new());
        settle(&mut workers, &[ALL, ALL], 8);
        let (one, other) = (&workers[0], &workers[1]);
        assert_eq!((one.len(), other.len()), (12, 12));
        assert!(one.is_disjoint(other));
        for worker in [one, other] {
            let of = |kind| worker.iter().filter(|q| q.kind == kind).map(|q| q.partition).collect::<Vec<_>>();
            assert_eq!(of(Kind::Order), of(Kind::Product));
            assert_eq!(of(Kind::Order), of(Kind::Customer));
        }
    }

    #[test]
    fn every_queue_has_one_worker_whatever_their_number_and_kinds() {
        for kinds in [vec![ALL; 3], vec![ALL; 5], vec![ALL, "order", "product,customer"], vec![ALL; 9]] {
            let mut workers = vec![BTreeSet::new(); kinds.len()];
            settle(&mut workers, &kinds, 8);
            let all: Vec<Queue> = workers.iter().flatten().copied().collect();
            assert_eq!(all.len(), 24, "{kinds:?}: {workers:?}");
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 24, "{kinds:?}");
        }
    }

    #[test]
    fn a_share_that_is_fair_stays_as_it_is() {
        let mine = queues(Kind::Order, [0, 1]);
        let fair = BTreeMap::from([(Kind::Order, 2)]);
        assert!(changes(&mine, &queues(Kind::Order, [2, 3]), &fair, 4).is_empty());
    }
}
