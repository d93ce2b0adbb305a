//! The window: what is held, the newest state per object, one object at a time.

use std::collections::{HashMap, VecDeque};

use crate::broker::Delivery;
use crate::domain::event::{Event, Kind, ObjectKey, Shape};

/// While orders wait, every so manyth start is for something else.
const OTHERS: usize = 10;

/// One piece of work: the state to apply, and the deliveries that it settles.
pub struct Batch {
    /// What is applied.
    pub event: Event,
    /// The delivery that carries it.
    pub survivor: Box<dyn Delivery>,
    /// Older states of the same object: settled after the survivor's outcome is committed.
    pub superseded: Vec<Box<dyn Delivery>>,
}

#[derive(Default)]
struct Object {
    running: bool,
    waiting: Vec<Box<dyn Delivery>>,
}

/// The deliveries a worker holds.
#[derive(Default)]
pub struct Window {
    objects: HashMap<ObjectKey, Object>,
    orders: VecDeque<ObjectKey>,
    others: VecDeque<ObjectKey>,
    started: usize,
    alone: VecDeque<Box<dyn Delivery>>,
    held: usize,
}

impl Window {
    /// Adds a delivery. One that may have killed a worker before waits to run alone.
    pub fn add(&mut self, delivery: Box<dyn Delivery>, alone: bool) {
        self.held += 1;
        if alone {
            self.alone.push_back(delivery);
            return;
        }
        let key = delivery.event().key.clone();
        let object = self.objects.entry(key.clone()).or_default();
        let ready = !object.running && object.waiting.is_empty();
        object.waiting.push(delivery);
        if ready {
            self.make_ready(key);
        }
    }

    fn make_ready(&mut self, key: ObjectKey) {
        match key.kind {
            Kind::Order | Kind::Shop => self.orders.push_back(key),
            Kind::Product | Kind::Customer => self.others.push_back(key),
        }
    }

    /// How many deliveries are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether something waits to run alone: until then nothing else is started.
    pub fn must_run_alone(&self) -> bool {
        !self.alone.is_empty()
    }

    /// The next delivery that runs alone.
    pub fn take_alone(&mut self) -> Option<Batch> {
        loop {
            let delivery = self.alone.pop_front()?;
            if !delivery.alive() {
                self.held -= 1;
                continue;
            }
            self.objects.entry(delivery.event().key.clone()).or_default().running = true;
            return Some(Batch { event: delivery.event().clone(), survivor: delivery, superseded: Vec::new() });
        }
    }

    /// The next object whose newest state can be worked on: orders first, but not only. Deliveries that the broker has
    /// taken back are left to it.
    pub fn take(&mut self) -> Option<Batch> {
        loop {
            let key = self.next_ready()?;
            let Some(object) = self.objects.get_mut(&key) else { continue };
            // It was made ready twice, before and after something of it ran alone: its end makes it ready again.
            if object.running {
                continue;
            }
            let before = object.waiting.len();
            object.waiting.retain(|delivery| delivery.alive());
            self.held -= before - object.waiting.len();
            if object.waiting.is_empty() {
                self.objects.remove(&key);
                continue;
            }
            object.running = true;
            self.started += 1;
            return newest(std::mem::take(&mut object.waiting));
        }
    }

    fn next_ready(&mut self) -> Option<ObjectKey> {
        if self.started % OTHERS == OTHERS - 1 {
            self.others.pop_front().or_else(|| self.orders.pop_front())
        } else {
            self.orders.pop_front().or_else(|| self.others.pop_front())
        }
    }

    /// An object's work has ended, and with it `settled` deliveries.
    pub fn finished(&mut self, key: &ObjectKey, settled: usize) {
        self.held -= settled;
        if let Some(object) = self.objects.get_mut(key) {
            object.running = false;
            if object.waiting.is_empty() {
                self.objects.remove(key);
            } else {
                self.make_ready(key.clone());
            }
        }
    }

    /// Gives up what was not started, as far as it is chosen.
    pub fn give_up(&mut self, chosen: impl Fn(&dyn Delivery) -> bool) -> Vec<Box<dyn Delivery>> {
        let mut all = Vec::new();
        let mut keep = VecDeque::new();
        for delivery in self.alone.drain(..) {
            if chosen(&*delivery) { all.push(delivery) } else { keep.push_back(delivery) }
        }
        self.alone = keep;
        for object in self.objects.values_mut() {
            all.extend(object.waiting.extract_if(.., |delivery| chosen(&**delivery)));
        }
        self.held -= all.len();
        self.objects.retain(|_, object| object.running || !object.waiting.is_empty());
        let waits = |key: &ObjectKey| self.objects.contains_key(key);
        self.orders.retain(waits);
        self.others.retain(waits);
        all
    }
}

/// Chooses the newest of several states of one object. Only a whole state supersedes by its version; where two cannot
/// be ordered, or one is a part or an id, the object is read; a deletion leaves a tombstone that a read confirms.
fn newest(deliveries: Vec<Box<dyn Delivery>>) -> Option<Batch> {
    let mut deliveries = deliveries.into_iter();
    let mut survivor = deliveries.next()?;
    let mut event = survivor.event().clone();
    let mut superseded = Vec::new();
    for delivery in deliveries {
        let next = delivery.event();
        let (takes_over, merged) = merge(&event, next);
        event = merged;
        if takes_over {
            superseded.push(std::mem::replace(&mut survivor, delivery));
        } else {
            superseded.push(delivery);
        }
    }
    Some(Batch { event, survivor, superseded })
}

/// Whether `next` takes over from `current`, and what is then applied.
fn merge(current: &Event, next: &Event) -> (bool, Event) {
    if let Some(body) = next.asked_with(current) {
        let job = next.job.clone().or_else(|| current.job.clone());
        let parked_since = current.parked_since.or(next.parked_since);
        return (true, Event { job, parked_since, body, ..next.clone() });
    }
    let (takes_over, read) = match (current.shape, next.shape) {
        (Shape::Gone, Shape::Gone) => (true, false),
        (Shape::Gone, _) => (false, true),
        (_, Shape::Gone) => (true, true),
        _ => match (current.version, next.version) {
            // A state that had to be read may have stood for a newer one than either: then a read is still needed.
            (Some(old), Some(new)) if new > old && !next.must_be_read() => (true, current.must_be_read()),
            (Some(old), Some(new)) if new < old && !current.must_be_read() && !next.must_be_read() => (false, false),
            (Some(old), Some(new)) if new == old && current.body == next.body => (true, current.read || next.read),
            _ => (true, true),
        },
    };
    let mut merged = if takes_over { next.clone() } else { current.clone() };
    merged.read |= read;
    merged.force = current.force || next.force;
    merged.job = merged.job.or_else(|| current.job.clone()).or_else(|| next.job.clone());
    merged.parked_since = current.parked_since.or(next.parked_since);
    if current.is_by_hand() || next.is_by_hand() {
        merged.take_on_wish();
    }
    (takes_over, merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::BrokerError;
    use crate::domain::event::{BY_HAND, Kind, System};
    use bytes::Bytes;

    struct Held(Event, bool);

    #[async_trait::async_trait]
    impl Delivery for Held {
        fn event(&self) -> &Event {
            &self.0
        }
        fn redelivered(&self) -> bool {
            self.1
        }
        async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
            Ok(())
        }
        async fn reject(self: Box<Self>) -> Result<(), BrokerError> {
            Ok(())
        }
        async fn give_back(self: Box<Self>) {}
    }

    fn event(id: &str, version: Option<i64>, shape: Shape, body: &'static str) -> Event {
        let key = ObjectKey { connection: "c".into(), source: System::Omni, kind: Kind::Product, object_id: id.into() };
        let mut event = Event::new(key, "s", "products/update", shape, 0, Bytes::from_static(body.as_bytes()));
        event.version = version;
        event
    }

    fn window(events: &[Event]) -> Window {
        let mut window = Window::default();
        for event in events {
            window.add(Box::new(Held(event.clone(), false)), false);
        }
        window
    }

    #[test]
    fn the_newest_whole_state_of_a_burst_is_worked_on_once() {
        let mut window = window(&[
            event("1", Some(1), Shape::Whole, "a"),
            event("1", Some(3), Shape::Whole, "c"),
            event("1", Some(2), Shape::Whole, "b"),
        ]);
        let batch = window.take().unwrap();
        assert_eq!((batch.event.version, batch.event.read, batch.superseded.len()), (Some(3), false, 2));
        assert!(window.take().is_none());
        window.finished(&batch.event.key, 3);
        assert_eq!(window.held(), 0);
    }

    #[test]
    fn a_later_delivery_of_a_running_object_waits_for_it() {
        let mut window = window(&[event("1", Some(1), Shape::Whole, "a"), event("2", Some(1), Shape::Whole, "a")]);
        let first = window.take().unwrap();
        window.add(Box::new(Held(event("1", Some(2), Shape::Whole, "b"), false)), false);
        assert_eq!(window.take().unwrap().event.key.object_id, "2");
        assert!(window.take().is_none());
        window.finished(&first.event.key, 1);
        assert_eq!(window.take().unwrap().event.version, Some(2));
    }

    #[test]
    fn states_that_cannot_be_ordered_are_read() {
        for (a, b) in [
            (event("1", Some(1), Shape::Whole, "a"), event("1", Some(1), Shape::Whole, "b")),
            (event("1", None, Shape::Whole, "a"), event("1", Some(1), Shape::Whole, "b")),
            (event("1", Some(1), Shape::Whole, "a"), event("1", None, Shape::Id, "b")),
            (event("1", Some(9), Shape::Partial, "a"), event("1", Some(1), Shape::Whole, "b")),
        ] {
            assert!(window(&[a, b]).take().unwrap().event.must_be_read());
        }
        let same = event("1", Some(1), Shape::Whole, "a");
        assert!(!window(&[same.clone(), same]).take().unwrap().event.read);
    }

    #[test]
    fn a_part_between_states_that_come_out_of_order_still_needs_a_read() {
        let whole = |version, body| event("1", Some(version), Shape::Whole, body);
        let late = [whole(6, "f"), event("1", None, Shape::Partial, "p"), whole(4, "d"), whole(5, "e")];
        assert!(window(&late).take().unwrap().event.must_be_read());
    }

    #[test]
    fn a_wish_made_by_hand_outlives_what_joins_it_before_and_after() {
        let mut wish = event("1", None, Shape::Id, "{}");
        wish.force = true;
        BY_HAND.clone_into(&mut wish.topic);
        let told = event("1", Some(5), Shape::Whole, "a");
        for both in [[wish.clone(), told.clone()], [told.clone(), wish.clone()]] {
            let merged = window(&both).take().unwrap().event;
            assert!(merged.is_by_hand() && merged.must_be_read(), "{merged:?}");
        }
        let forced = Event { force: true, ..told.clone() };
        assert!(!window(&[forced, told]).take().unwrap().event.is_by_hand());
    }

    #[test]
    fn wishes_for_single_variants_of_a_product_are_worked_on_together_and_are_for_no_more() {
        let wish = |body| Event { topic: BY_HAND.to_owned(), force: true, ..event("1", None, Shape::Id, body) };
        let wishes = [wish(r#"{"variants":["11"]}"#), wish(r#"{"variants":["12"]}"#)];
        let batch = window(&wishes).take().unwrap();
        assert_eq!((batch.event.asked_variants(), batch.superseded.len()), (vec!["11".to_owned(), "12".to_owned()], 1));
        let told = event("1", Some(5), Shape::Whole, "a");
        let merged = window(&[wishes[0].clone(), told]).take().unwrap().event;
        assert!(merged.asked_variants().is_empty(), "what changed may be any of them");
    }

    #[test]
    fn a_deletion_is_never_superseded_by_a_state() {
        let gone = event("1", None, Shape::Gone, "g");
        let late = event("1", Some(5), Shape::Whole, "a");
        assert_eq!(window(&[gone.clone(), late.clone()]).take().unwrap().event.shape, Shape::Gone);
        assert_eq!(window(&[late, gone]).take().unwrap().event.shape, Shape::Gone);
    }

    fn order(id: &str) -> Event {
        let mut order = event(id, Some(1), Shape::Whole, "a");
        order.key.kind = Kind::Order;
        order
    }

    #[test]
    fn orders_go_first_and_leave_a_tenth_to_the_others() {
        let mut all: Vec<Event> = (0..20).map(|n| event(&n.to_string(), Some(1), Shape::Whole, "a")).collect();
        all.extend((0..20).map(|n| order(&n.to_string())));
        let mut window = window(&all);
        let started: Vec<Kind> = (0..20).map(|_| window.take().unwrap().event.key.kind).collect();
        let orders = started.iter().filter(|kind| **kind == Kind::Order).count();
        assert_eq!((started[0], orders), (Kind::Order, 18));
        assert_eq!(std::iter::from_fn(|| window.take()).count(), 20);
    }

    #[test]
    fn what_is_given_up_is_not_started_and_the_rest_goes_on() {
        let mut window = window(&[order("1"), order("2"), event("3", Some(1), Shape::Whole, "a")]);
        let running = window.take().unwrap();
        window.add(Box::new(Held(order("1"), false)), false);
        window.add(Box::new(Held(order("4"), true)), true);
        let given_up = window.give_up(|delivery| delivery.event().key.kind == Kind::Order);
        assert_eq!((given_up.len(), window.held()), (3, 2));
        assert!(!window.must_run_alone());
        assert_eq!(window.take().unwrap().event.key.object_id, "3");
        assert!(window.take().is_none());
        window.finished(&running.event.key, 1);
        assert!(window.take().is_none());
    }

    #[test]
    fn an_object_of_which_something_ran_alone_is_still_worked_on_once_at_a_time() {
        let mut window = Window::default();
        let add = |window: &mut Window, version, alone| {
            window.add(Box::new(Held(event("1", Some(version), Shape::Whole, "a"), alone)), alone);
        };
        add(&mut window, 2, false);
        add(&mut window, 1, true);
        let suspect = window.take_alone().unwrap();
        window.finished(&suspect.event.key, 1);
        let running = window.take().unwrap();
        assert_eq!(running.event.version, Some(2));
        assert!(window.take().is_none());
        add(&mut window, 3, false);
        assert!(window.take().is_none(), "version 2 is still being worked on");
        window.finished(&running.event.key, 1);
        assert_eq!(window.take().unwrap().event.version, Some(3));
        assert_eq!(window.held(), 1);
    }

    #[test]
    fn a_suspect_runs_alone() {
        let mut window = Window::default();
        window.add(Box::new(Held(event("1", Some(1), Shape::Whole, "a"), true)), true);
        assert!(window.must_run_alone() && window.take().is_none());
        assert!(window.take_alone().is_some());
        assert!(!window.must_run_alone());
    }
}
