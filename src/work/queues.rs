//! Which worker takes from which queue: leases in the state database, shared evenly among the workers alive.
//!
//! A worker holds the same partitions of every kind it works on, as far as it can: a store's objects are then all
//! worked on in one process, which counts the store's API limit. Where the partitions of a kind do not come out even,
//! some workers have one more of it; they are others in the next kind, so that nobody has much more than another in
//! all. A queue that is given up is drained first: what was started ends, its channel is closed, and only then its
//! lease is dropped.

use std::cmp::{Ordering, Reverse};
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
        let changes = if cut_off {
            mine.iter().map(|queue| (*queue, Change::GiveUp)).collect()
        } else {
            fair_changes(context, &mine, self.partitions).await?
        };
        for (queue, change) in changes {
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

/// What is to be done so that this worker, which has `mine`, gets its fair share.
async fn fair_changes(
    context: &Context,
    mine: &BTreeSet<Queue>,
    partitions: u16,
) -> Result<Vec<(Queue, Change)>, StoreError> {
    let leases = context.store.leases("").await?;
    let members = context.store.members(ROLE).await?;
    let now = context.clock.now();
    let held: Vec<BTreeSet<Queue>> =
        members.iter().map(|member| queues_where(&leases, now, |owner| owner == member.owner)).collect();
    // Who is not among those alive, after a long pause, changes nothing.
    let Some(own) = members.iter().position(|member| member.owner == context.owner) else { return Ok(Vec::new()) };
    let fair = fair_shares(&members, &held, partitions).swap_remove(own);
    let taken = queues_where(&leases, now, |owner| owner != context.owner);
    Ok(changes(mine, &taken, &fair, partitions))
}

/// The role that shares queues.
const ROLE: &str = "work";

/// What is to be done about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Take,
    GiveUp,
}

/// The queues that are held now by such owners.
fn queues_where(leases: &[Lease], now: Millis, is_one: impl Fn(&str) -> bool) -> BTreeSet<Queue> {
    leases
        .iter()
        .filter(|lease| {
            is_one(&lease.owner) && lease.lease_until > now && lease.lease_until < now + millis(BEYOND_BELIEF)
        })
        .filter_map(|lease| Queue::from_word(&lease.name))
        .collect()
}

/// How many queues of each kind a worker should have.
type Fair = BTreeMap<Kind, usize>;

fn in_all(fair: &Fair) -> usize {
    fair.values().sum()
}

/// How many queues of each kind each member should have, in the order of the members, who hold `held` now.
///
/// In a kind, no two that work on it differ by more than one. Who has the one more is whoever has it already, as far as
/// that is even over all kinds: so nothing moves while nobody comes or goes, and little when somebody does. Everybody
/// comes to the same by the same leases.
fn fair_shares(members: &[Member], held: &[BTreeSet<Queue>], partitions: u16) -> Vec<Fair> {
    let has = |m: usize, kind: Kind| held[m].iter().filter(|queue| queue.kind == kind).count();
    let mut kinds = Vec::new();
    let mut fair = vec![Fair::new(); members.len()];
    for kind in Queue::KINDS {
        let works = |m: &usize| members[*m].kinds.split(',').any(|word| word == kind.as_str());
        let sharing: Vec<usize> = (0..members.len()).filter(works).collect();
        if sharing.is_empty() {
            continue;
        }
        let (least, over) = (usize::from(partitions) / sharing.len(), usize::from(partitions) % sharing.len());
        for m in &sharing {
            fair[*m].insert(kind, has(*m, kind).clamp(least, least + 1));
        }
        kinds.push((kind, sharing, least, over));
    }
    for (kind, sharing, least, over) in &kinds {
        loop {
            let (more, fewer): (Vec<usize>, Vec<usize>) =
                sharing.iter().copied().partition(|m| fair[*m][kind] > *least);
            match more.len().cmp(over) {
                Ordering::Greater => {
                    let Some(most) = more.into_iter().max_by_key(|m| (in_all(&fair[*m]), *m)) else { break };
                    fair[most].insert(*kind, *least);
                }
                Ordering::Less => {
                    let Some(fewest) = fewer.into_iter().min_by_key(|m| (in_all(&fair[*m]), *m)) else { break };
                    fair[fewest].insert(*kind, least + 1);
                }
                Ordering::Equal => break,
            }
        }
    }
    loop {
        let mut swaps = Vec::new();
        for (kind, sharing, least, _) in &kinds {
            for from in sharing.iter().filter(|m| fair[**m][kind] > *least) {
                for to in sharing.iter().filter(|m| fair[**m][kind] == *least) {
                    let (more, fewer) = (in_all(&fair[*from]), in_all(&fair[*to]));
                    if more > fewer + 1 {
                        // Best where nothing has to move for it, then where it helps most.
                        let moved = u8::from(has(*from, *kind) > *least) + u8::from(has(*to, *kind) <= *least);
                        swaps.push((moved, Reverse(more - fewer), *kind, *least, *from, *to));
                    }
                }
            }
        }
        let Some((_, _, kind, least, from, to)) = swaps.into_iter().min_by_key(|swap| (swap.0, swap.1)) else { break };
        fair[from].insert(kind, least);
        fair[to].insert(kind, least + 1);
    }
    fair
}

/// What a worker that has `mine` should do. It takes first what it has of other kinds, and gives up last what it has of
/// them, so that the partitions of its kinds stay the same; of those that are alike it gives up the highest.
///
/// Nothing of a kind is given up while another queue of it is free: first that goes to who has too few.
fn changes(mine: &BTreeSet<Queue>, taken: &BTreeSet<Queue>, fair: &Fair, partitions: u16) -> Vec<(Queue, Change)> {
    let alike = |queue: &Queue| mine.iter().filter(|own| own.partition == queue.partition).count();
    let mut changes = Vec::new();
    for (kind, fair) in fair {
        let mut have: Vec<Queue> = mine.iter().filter(|queue| queue.kind == *kind).copied().collect();
        let mut free: Vec<Queue> = (0..partitions)
            .map(|partition| Queue { kind: *kind, partition })
            .filter(|queue| !mine.contains(queue) && !taken.contains(queue))
            .collect();
        if free.is_empty() {
            have.sort_by_key(|queue| (alike(queue), Reverse(queue.partition)));
            let many = have.len().saturating_sub(*fair);
            changes.extend(have.into_iter().take(many).map(|queue| (queue, Change::GiveUp)));
        } else {
            free.sort_by_key(|queue| (Reverse(alike(queue)), queue.partition));
            let few = fair.saturating_sub(have.len());
            changes.extend(free.into_iter().take(few).map(|queue| (queue, Change::Take)));
        }
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

    /// Workers that look one after the other, until nobody changes anything; how many queues they took.
    fn settle(workers: &mut [BTreeSet<Queue>], kinds: &[&str], partitions: u16) -> usize {
        let members: Vec<Member> = kinds.iter().enumerate().map(|(n, kinds)| member(&n.to_string(), kinds)).collect();
        let mut moved = 0;
        for _ in 0..50 {
            let before = workers.to_vec();
            for n in 0..workers.len() {
                let taken = workers.iter().enumerate().filter(|(m, _)| *m != n).flat_map(|(_, q)| q.clone()).collect();
                let fair = fair_shares(&members, workers, partitions).swap_remove(n);
                for (queue, change) in changes(&workers[n], &taken, &fair, partitions) {
                    match change {
                        Change::Take => {
                            workers[n].insert(queue);
                            moved += 1;
                        }
                        Change::GiveUp => {
                            workers[n].remove(&queue);
                        }
                    }
                }
            }
            if before == workers {
                return moved;
            }
        }
        panic!("{kinds:?} with {partitions} partitions never come to rest: {workers:?}");
    }

    /// Every queue has one worker, of its kind; nobody has more than one more of a kind than another, nor, of those
    /// that work on all kinds, in all.
    fn assert_even(workers: &[BTreeSet<Queue>], kinds: &[&str], partitions: u16) {
        let told = || format!("{partitions} partitions, {kinds:?}: {workers:?}");
        let differ = |counts: &[usize]| counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0);
        let all: BTreeSet<Queue> = workers.iter().flatten().copied().collect();
        assert_eq!(all.len(), workers.iter().map(BTreeSet::len).sum::<usize>(), "one has two workers: {}", told());
        for kind in Queue::KINDS {
            let of = |worker: &BTreeSet<Queue>| worker.iter().filter(|queue| queue.kind == kind).count();
            let (own, other): (Vec<_>, Vec<_>) =
                workers.iter().zip(kinds).partition(|(_, kinds)| kinds.contains(kind.as_str()));
            let counts: Vec<usize> = own.iter().map(|(worker, _)| of(worker)).collect();
            assert!(other.iter().all(|(worker, _)| of(worker) == 0), "{kind}: {}", told());
            let wanted = if counts.is_empty() { 0 } else { usize::from(partitions) };
            assert_eq!(counts.iter().sum::<usize>(), wanted, "{kind}: {}", told());
            assert!(differ(&counts) <= 1, "{kind}: {}", told());
        }
        let of_all: Vec<usize> =
            workers.iter().zip(kinds).filter(|(_, kinds)| **kinds == ALL).map(|(worker, _)| worker.len()).collect();
        assert!(differ(&of_all) <= 1, "{}", told());
    }

    const ALL: &str = "order,product,customer";
    const PARTITIONS: [u16; 9] = [1, 2, 3, 5, 8, 12, 16, 31, 64];

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
    fn shares_are_even_and_no_more_moves_than_who_comes_takes_or_who_goes_had() {
        for partitions in PARTITIONS {
            let (mut workers, mut kinds) = (Vec::new(), Vec::new());
            for number in 1..=9 {
                let new = workers.len() / 2;
                workers.insert(new, BTreeSet::new());
                kinds.push(ALL);
                let moved = settle(&mut workers, &kinds, partitions);
                assert_even(&workers, &kinds, partitions);
                assert_eq!(moved, workers[new].len(), "{partitions} partitions, worker {number} comes: {workers:?}");
                assert_eq!(settle(&mut workers, &kinds, partitions), 0);
            }
            while workers.len() > 1 {
                let had = workers.remove(workers.len() / 2).len();
                kinds.pop();
                let moved = settle(&mut workers, &kinds, partitions);
                assert_even(&workers, &kinds, partitions);
                assert_eq!(moved, had, "{partitions} partitions, {} workers are left: {workers:?}", workers.len());
            }
        }
    }

    #[test]
    fn five_workers_share_eight_partitions_so_that_none_is_idle() {
        let mut workers = vec![BTreeSet::new(); 5];
        settle(&mut workers, &[ALL; 5], 8);
        let mut counts: Vec<usize> = workers.iter().map(BTreeSet::len).collect();
        counts.sort_unstable();
        assert_eq!(counts, [4, 5, 5, 5, 5]);
    }

    #[test]
    fn a_worker_counts_only_for_its_kinds() {
        for kinds in [
            vec![ALL, "order", "product,customer"],
            vec![ALL, ALL, "order", "order"],
            vec!["order", "order", "product", ALL, ALL],
            vec!["customer", "customer", "customer", ALL, ALL, ALL, ALL],
            vec![ALL, ALL, ALL, ALL, ALL, "order,product", "order,product"],
            vec!["order", "product"],
        ] {
            for partitions in PARTITIONS {
                let mut workers = vec![BTreeSet::new(); kinds.len()];
                settle(&mut workers, &kinds, partitions);
                assert_even(&workers, &kinds, partitions);
                assert_eq!(settle(&mut workers, &kinds, partitions), 0);
            }
        }
    }

    #[test]
    fn a_share_that_is_fair_stays_as_it_is() {
        let mine = queues(Kind::Order, [0, 1]);
        let fair = BTreeMap::from([(Kind::Order, 2)]);
        assert!(changes(&mine, &queues(Kind::Order, [2, 3]), &fair, 4).is_empty());
    }

    #[test]
    fn nothing_is_given_up_while_another_queue_of_the_kind_is_free() {
        let mine = queues(Kind::Order, [0, 1, 2]);
        let fair = BTreeMap::from([(Kind::Order, 2)]);
        assert!(changes(&mine, &BTreeSet::new(), &fair, 4).is_empty());
        let highest = Queue { kind: Kind::Order, partition: 2 };
        assert_eq!(changes(&mine, &queues(Kind::Order, [3]), &fair, 4), [(highest, Change::GiveUp)]);
    }
}
