//! Orders that carry our mark though this database does not know of them, as where an older back-up of it was put back:
//! they are looked for before anything is sent, and linked instead of being made once more.
//!
//! Whatever was sent since this process began left an intent. So only what is older than the process is looked for, and
//! what a walk brings; and each side is read once for all of it, not once for each order, back from now as far as an order
//! asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::context::{Halt, Run};
use super::order_in::POS_TYPE;
use super::pos_order::{MARGIN, two_marks};
use crate::destination::CallError;
use crate::destination::abaha::client::OrderQuery;
use crate::destination::omni::client::{MOST_ORDERS, PageQuery};
use crate::destination::page::{Next, Pages};
use crate::destination::web::client::WebQuery;
use crate::domain::clock::{Clock, Millis, millis};
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::domain::order::{ChannelOrder, NewPosOrder, PosOrder};
use crate::domain::outcome::{Cause, Outcome};
use crate::domain::web::WebOrder;
use crate::map::abaha::order::reference;
use crate::map::web::order::carried;
use crate::store::intents::IntentKey;

/// How long before its order on the POS a channel's order is looked for. One that waited longer for a link is found by
/// a walk, from its own side.
const EARLIER: Duration = Duration::from_hours(24);

/// The statuses of a web's orders: `any` gives nothing at all.
const STATUSES: [&str; 3] = ["open", "closed", "cancelled"];

/// The topic of the events by which an order is read that was linked without its latest state.
const ADOPTED: &str = "adopted";

/// An order of the POS or of Abaha that is older than this before the process began is not looked for any more.
const FARTHEST: Duration = Duration::from_hours(30 * 24);
/// So far back a side is looked through at once, at least.
const STEP: Duration = Duration::from_hours(1);
/// Pages of one span: a list that tells no total and never ends would be read for ever.
const MOST_PAGES: u32 = 500;
/// How long an order waits for another one that looks through the same side, before it gives its place to others.
const TURN: Duration = Duration::from_millis(50);
/// When it comes again.
const LATER: Duration = Duration::from_secs(2);

/// What carries our mark on the sides that were looked through.
#[derive(Clone, Debug)]
pub struct Marks(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    began: Millis,
    sides: HashMap<String, Turn>,
}

/// One side, which one order at a time looks through.
type Turn = Arc<tokio::sync::Mutex<Seen>>;

impl Marks {
    /// None yet, for a process that begins now.
    pub fn new(clock: &Clock) -> Self {
        Self(Arc::new(Mutex::new(Known::beginning(clock))))
    }

    /// Begins anew: the state database was away, and may be an older one since it is back.
    pub fn begin_anew(&self, clock: &Clock) {
        *self.lock() = Known::beginning(clock);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, side: String) -> Turn {
        Arc::clone(self.lock().sides.entry(side).or_default())
    }
}

impl Known {
    /// The APIs tell whole seconds only, so the second of its beginning belongs to what comes after.
    fn beginning(clock: &Clock) -> Self {
        Self { began: clock.now().div_euclid(1000) * 1000, sides: HashMap::new() }
    }
}

/// What was seen of one side: everything from a moment on, and of what is before it some pages.
#[derive(Debug, Default)]
struct Seen {
    from: Option<Millis>,
    slice: Option<Slice>,
    /// The ids of the orders with each mark.
    ids: HashMap<String, BTreeSet<String>>,
}

/// A span of orders that is being looked through, and where: a page that was read is not read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    from: Millis,
    to: Millis,
    page: u32,
}

impl Seen {
    /// What is to be read next, so that everything since then is seen; nothing where it is.
    fn next(&self, since: Millis, now: Millis) -> Option<Slice> {
        if self.from.is_some_and(|from| since >= from) {
            return None;
        }
        let to = self.from.unwrap_or(now);
        let from = since.min(to - millis(STEP));
        Some(self.slice.unwrap_or(Slice { from, to, page: 1 }))
    }

    fn add(&mut self, slice: Slice, found: Vec<(String, String)>, more: bool) {
        for (mark, id) in found {
            self.ids.entry(mark).or_default().insert(id);
        }
        if more {
            self.slice = Some(Slice { page: slice.page + 1, ..slice });
        } else {
            (self.from, self.slice) = (Some(slice.from), None);
        }
    }

    fn ids_of(&self, mark: &str) -> Vec<String> {
        self.ids.get(mark).into_iter().flatten().cloned().collect()
    }
}

/// Where orders were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Pos,
    Abaha,
}

/// The POS's order that was made of a channel's before this database knew of it; `created_at` is when the channel's was
/// placed.
pub async fn on_pos(
    run: &Run<'_>,
    key: &IntentKey,
    new: &NewPosOrder,
    created_at: Option<Millis>,
) -> Result<Option<PosOrder>, Halt> {
    let Some(since) = unknown_since(run, key, created_at).await? else { return Ok(None) };
    let ids = marked(run, Side::Pos, &new.reference, since).await?;
    let [id] = ids.as_slice() else {
        return if ids.is_empty() { Ok(None) } else { Err(two_marks(&ids, &new.reference).into()) };
    };
    match run.omni.order(id).await {
        Ok(order) => {
            run.step("found", format!("Sapo order {id} carries its mark: it was made before this database knew of it"));
            Ok(Some(order))
        }
        Err(CallError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The id of the Abaha order that was made of a POS order before this database knew of it. One that Abaha gave no mark
/// is nobody's guess.
pub async fn on_abaha(run: &Run<'_>, key: &IntentKey, order: &PosOrder) -> Result<Option<String>, Halt> {
    let Some(since) = unknown_since(run, key, order.created_at).await? else { return Ok(None) };
    let mut ids = marked(run, Side::Abaha, &order.id, since).await?;
    if ids.len() > 1 {
        let reason = format!(
            "orders {} on Abaha carry the mark of Sapo order {}; cancel all but one by hand",
            ids.join(", "),
            order.code
        );
        return Err(Outcome::dead("two_objects_one_mark", reason).into());
    }
    if let Some(id) = ids.first() {
        run.step("found", format!("Abaha order {id} carries its mark: it was made before this database knew of it"));
    }
    Ok(ids.pop())
}

/// Since when an order's mark is to be looked for; nothing where this database knows what became of it, or it is too
/// new to have been made by another one.
async fn unknown_since(run: &Run<'_>, key: &IntentKey, created_at: Option<Millis>) -> Result<Option<Millis>, Halt> {
    let began = run.context.marks.lock().began;
    let created_at = created_at.unwrap_or_else(|| run.connection().start_line());
    let old = run.event.job.is_some() || created_at < began;
    if run.dry || !old || run.store().intent(&key.account, key.kind, &key.natural_key).await?.is_some() {
        return Ok(None);
    }
    Ok(Some((created_at - millis(MARGIN)).max(began - millis(FARTHEST))))
}

/// The ids of a side's orders that carry a mark of ours, of those made since then. While another order looks through
/// that side, this one comes again later: its place is for others.
async fn marked(run: &Run<'_>, side: Side, mark: &str, since: Millis) -> Result<Vec<String>, Halt> {
    let turn = run.context.marks.turn(format!("{}/{side:?}", run.name()));
    let Ok(mut seen) = tokio::time::timeout(TURN, turn.lock()).await else {
        let reason = "the shop's older orders are being looked through for another order; it goes on in a moment";
        let due = Some(run.context.clock.after(LATER));
        let (cause, reason) = (Cause::Throttled, reason.to_owned());
        return Err(Outcome::Parked { cause, cause_key: None, reason, due }.into());
    };
    while let Some(slice) = seen.next(since, run.context.clock.now()) {
        let (found, more) = match side {
            Side::Pos => page_of_pos(run, slice).await?,
            Side::Abaha => page_of_abaha(run, slice).await?,
        };
        seen.add(slice, found, more);
    }
    Ok(seen.ids_of(mark))
}

/// A page of marks, each with the id of its order, and whether there are more pages.
type Found = (Vec<(String, String)>, bool);

/// The POS's orders with the connection's tag, each by its reference.
async fn page_of_pos(run: &Run<'_>, slice: Slice) -> Result<Found, Halt> {
    let tag = run.connection().tag();
    let query = PageQuery {
        created_from: Some(slice.from),
        created_to: Some(slice.to),
        page: slice.page,
        limit: MOST_ORDERS,
        ..PageQuery::default()
    };
    let page = run.omni.orders(query).await?;
    let more = page.more() && slice.page < MOST_PAGES;
    let ours = page.into_values().filter(|order| order.tags.contains(&tag));
    Ok((ours.filter_map(|order| Some((order.reference?, order.id))).collect(), more))
}

/// Abaha's orders that were made of the POS's, each by the POS's id.
async fn page_of_abaha(run: &Run<'_>, slice: Slice) -> Result<Found, Halt> {
    let query = OrderQuery {
        created_from: Some(slice.from),
        created_to: Some(slice.to),
        page: slice.page,
        ..OrderQuery::default()
    };
    let page = run.abaha()?.orders(query).await?;
    let more = page.more() && slice.page < MOST_PAGES;
    let ours = page.into_values().filter(|order| order.pos_type.as_deref() == Some(POS_TYPE));
    Ok((ours.filter_map(|order| Some((order.pos_id?, order.id))).collect(), more))
}

/// The channel's orders of which one on the POS may have been made: those of its reference from the day before it.
pub async fn made_of(run: &Run<'_>, order: &PosOrder, mark: &str) -> Result<Vec<ChannelOrder>, Halt> {
    let Some(made) = order.created_at.filter(|_| !mark.is_empty()) else { return Ok(Vec::new()) };
    let (from, to) = (made - millis(EARLIER), made + millis(MARGIN));
    let found = match run.connection().channel {
        System::Web => on_web(run, mark, from, to).await?,
        System::Abaha | System::Omni => named_on_abaha(run, mark, from, to).await?,
    };
    Ok(found.into_values().collect())
}

/// A web's orders of this name, by their ids; the lists go on in the order of ids, and end where later orders begin.
async fn on_web(run: &Run<'_>, name: &str, from: Millis, to: Millis) -> Result<BTreeMap<String, ChannelOrder>, Halt> {
    let in_time = |there: &WebOrder| there.created_at.is_none_or(|at| at <= to);
    let mut found = BTreeMap::new();
    for status in STATUSES {
        let mut after = "0".to_owned();
        loop {
            let query = WebQuery {
                since_id: Some(after.clone()),
                status: Some(status),
                created_from: Some(from),
                ..WebQuery::default()
            };
            let page: Vec<WebOrder> = run.web()?.orders(query).await?.into_values().collect();
            let last = page.iter().map(|there| there.id.as_str()).max_by_key(|id| (id.len(), *id));
            let last = last.filter(|last| *last != after && page.iter().all(in_time)).map(ToOwned::to_owned);
            let named = page.iter().filter(|there| there.name == name && in_time(there));
            found.extend(named.map(|there| (there.id.clone(), carried(there))));
            let Some(last) = last else { break };
            after = last;
        }
    }
    Ok(found)
}

/// Abaha's own orders of this code, by their ids.
async fn named_on_abaha(
    run: &Run<'_>,
    code: &str,
    from: Millis,
    to: Millis,
) -> Result<BTreeMap<String, ChannelOrder>, Halt> {
    let mut query = OrderQuery { created_from: Some(from), created_to: Some(to), ..OrderQuery::default() };
    let (mut found, mut pages) = (BTreeMap::new(), Pages::default());
    loop {
        let page = run.abaha()?.orders(query).await?;
        let next = pages.next(&page);
        let named =
            page.into_values().filter(|there| reference(there) == code && there.pos_type.as_deref() != Some(POS_TYPE));
        found.extend(named.map(|there| (there.id.clone(), there)));
        if next != Next::More {
            return Ok(found);
        }
        query.page += 1;
    }
}

/// Has an order read once this event is settled.
pub fn read_anew(run: &Run<'_>, source: System, id: &str) {
    let key = ObjectKey { connection: run.name().to_owned(), source, kind: Kind::Order, object_id: id.to_owned() };
    let body = Bytes::from_static(b"{}");
    run.follow_up(Event::new(key, run.event.store.clone(), ADOPTED, Shape::Id, run.context.clock.now(), body));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    #[test]
    fn a_side_is_looked_through_once_for_all_orders_and_goes_on_where_it_was_left() {
        let (mut seen, now) = (Seen::default(), 100 * HOUR);
        // An hour at least, and what comes a little earlier is then seen already.
        let first = seen.next(now - 1, now).unwrap();
        assert_eq!(first, Slice { from: now - HOUR, to: now, page: 1 });
        seen.add(first, vec![("#1001".into(), "700".into()), ("#1001".into(), "700".into())], false);
        assert_eq!(seen.next(now - HOUR, now + 5), None);
        assert_eq!(seen.ids_of("#1001"), ["700"], "a page that moves gives an order twice");
        // A page that was read is not read again, whatever comes between.
        let far = now - 40 * HOUR;
        let second = seen.next(far, now).unwrap();
        assert_eq!(second, Slice { from: far, to: now - HOUR, page: 1 });
        seen.add(second, vec![("#1001".into(), "701".into())], true);
        assert_eq!(seen.next(now - 1, now), None, "what is newer has been seen");
        let third = seen.next(far, now).unwrap();
        assert_eq!(third, Slice { page: 2, ..second });
        seen.add(third, Vec::new(), false);
        assert_eq!((seen.next(far, now), seen.ids_of("#1001").len(), seen.ids_of("#1002").len()), (None, 2, 0));
    }
}
