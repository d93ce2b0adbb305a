//! Confirms, and the messages that come back because no queue takes them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lapin::{BasicProperties, Confirmation};

/// Notes that something woke it.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// All that is ready by now. `FuturesUnordered` may stop early, to be fair to others, and wakes its task to tell so.
fn ready<F: Future>(pending: &mut FuturesUnordered<F>) -> Vec<F::Output> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut all = Vec::new();
    loop {
        match pending.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(one)) => all.push(one),
            Poll::Pending if woken.0.swap(false, Ordering::SeqCst) => {}
            Poll::Ready(None) | Poll::Pending => return all,
        }
    }
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Taken {
    /// Kept durably.
    Yes,
    /// The broker said no.
    Refused,
    /// No queue takes it. Its properties came back with it.
    Nowhere(Box<BasicProperties>),
    /// The connection was lost first.
    Unknown,
}

/// A publish's number, what it was, and its confirm.
pub(super) type Sent<C> = (u64, C, lapin::Result<Confirmation>);

/// Settles what is confirmed by now, starting with `first`.
///
/// One frame may confirm many publishes, and `lapin` gives the returned messages that wait to the first ones it
/// settles, in no order. So `Ack(None)` alone does not say that a message was not returned. But whenever a publish
/// settles as `Ack(None)`, no returned message waited any more: its own, had it been returned, came in before its
/// confirm and so was handed to a publish that settled before it. Everything that settled is looked at together here,
/// until nothing is ready: that one is among them, or was in an earlier round and is remembered in `unmatched`.
pub(super) fn returned<C, F: Future<Output = Sent<C>>>(
    first: Sent<C>,
    pending: &mut FuturesUnordered<F>,
    unmatched: &mut HashMap<u64, Box<BasicProperties>>,
) -> (Vec<(C, Taken)>, Option<lapin::Error>) {
    let mut all = vec![first];
    all.extend(ready(pending));
    let mut lost = None;
    let mut settled = Vec::with_capacity(all.len());
    for (number, command, result) in all {
        let (taken, message) = match result {
            Ok(Confirmation::Ack(message)) => (Taken::Yes, message),
            Ok(Confirmation::Nack(message)) => (Taken::Refused, message),
            // Confirms are always on.
            Ok(Confirmation::NotRequested) => (Taken::Unknown, None),
            Err(error) => {
                lost.get_or_insert(error);
                (Taken::Unknown, None)
            }
        };
        if let Some(properties) = message.map(|message| message.delivery.properties) {
            let told = properties.correlation_id().as_ref().and_then(|number| number.as_str().parse().ok());
            unmatched.extend(told.map(|number: u64| (number, Box::new(properties))));
        }
        settled.push((number, command, taken));
    }
    let settled = settled
        .into_iter()
        .map(|(number, command, taken)| (command, unmatched.remove(&number).map_or(taken, Taken::Nowhere)))
        .collect();
    (settled, lost)
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready as now};

    use lapin::message::{BasicReturnMessage, Delivery};

    use super::*;

    /// The confirm of a publish, with the returned message of another one or its own.
    fn confirmed(number: u64, returned: Option<u64>) -> Sent<u64> {
        let message = returned.map(|number| {
            let mut delivery = Delivery::mock(0, "".into(), "".into(), false, Vec::new());
            delivery.properties = BasicProperties::default().with_correlation_id(number.to_string().into());
            BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
        });
        (number, number, Ok(Confirmation::Ack(message)))
    }

    fn settle(all: Vec<Sent<u64>>, unmatched: &mut HashMap<u64, Box<BasicProperties>>) -> Vec<(u64, Taken)> {
        let mut pending: FuturesUnordered<Ready<Sent<u64>>> = all.into_iter().map(now).collect();
        let first = ready(&mut pending);
        let mut first = first.into_iter();
        let one = first.next().unwrap();
        pending.extend(first.map(now));
        let (settled, lost) = returned(one, &mut pending, unmatched);
        assert!(lost.is_none());
        settled
    }

    /// A message of this number came back, as it was sent.
    fn nowhere(number: u64) -> Taken {
        Taken::Nowhere(Box::new(BasicProperties::default().with_correlation_id(number.to_string().into())))
    }

    #[test]
    fn a_returned_message_counts_for_its_own_publish_whichever_confirm_brings_it() {
        for order in [[1, 2], [2, 1]] {
            let mut unmatched = HashMap::new();
            let all = order.map(|number| confirmed(number, (number == 1).then_some(2))).into();
            let mut settled = settle(all, &mut unmatched);
            settled.sort_unstable_by_key(|(number, _)| *number);
            assert_eq!(settled, [(1, Taken::Yes), (2, nowhere(2))]);
            assert!(unmatched.is_empty());
        }
    }

    #[test]
    fn a_returned_message_is_remembered_until_its_own_confirm_comes() {
        let mut unmatched = HashMap::new();
        assert_eq!(settle(vec![confirmed(7, Some(9))], &mut unmatched), [(7, Taken::Yes)]);
        assert_eq!(settle(vec![confirmed(8, None)], &mut unmatched), [(8, Taken::Yes)]);
        assert_eq!(settle(vec![confirmed(9, None)], &mut unmatched), [(9, nowhere(9))]);
        assert!(unmatched.is_empty());
    }
}
