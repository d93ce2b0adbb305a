//! The line before a bucket: who waits, and who is next.

use std::collections::VecDeque;

use super::{Class, Place, Throttled, WAITERS};

/// The right to be told when it is one's turn.
pub type Ticket<T> = tokio::sync::oneshot::Sender<T>;

/// A class that waits and was passed over this often comes next.
///
/// With three such classes and the orders, each of the three is served at least once in ten tokens.
const PASSED_OVER: u32 = 7;

/// Those that wait for one account's tokens, a line per class.
#[derive(Debug, Default)]
pub struct Lines {
    waiting: [VecDeque<Place>; 4],
    passed_over: [u32; 4],
}

impl Lines {
    /// The places left for a class.
    pub fn free(&mut self, class: Class) -> usize {
        self.forget_gone();
        let taken: usize = match class {
            Class::Order => self.waiting[0].len(),
            _ => self.waiting[1..].iter().map(VecDeque::len).sum(),
        };
        WAITERS.saturating_sub(taken)
    }

    /// How many wait.
    pub fn len(&mut self) -> usize {
        self.forget_gone();
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    /// Joins the end of a class's line.
    pub fn join(&mut self, class: Class, place: Place) {
        self.waiting[class as usize].push_back(place);
    }

    /// Gives a token to whoever is next; false where nobody took it.
    pub fn call_next(&mut self) -> bool {
        self.forget_gone();
        let waits = self.waiting.each_ref().map(|line| !line.is_empty());
        let Some(next) = next_class(waits, &mut self.passed_over) else {
            return false;
        };
        self.waiting[next].pop_front().is_some_and(|place| place.send(Ok(())).is_ok())
    }

    /// Sends everybody away.
    pub fn send_away(&mut self, why: Throttled) {
        for line in &mut self.waiting {
            for place in line.drain(..) {
                // Whoever does not wait any more need not be told.
                let _ = place.send(Err(why));
            }
        }
        self.passed_over = [0; 4];
    }

    fn forget_gone(&mut self) {
        for line in &mut self.waiting {
            line.retain(|place| !place.is_closed());
        }
    }
}

/// Chooses the class that gets the next token: the one passed over too often, else the first in order.
fn next_class(waits: [bool; 4], passed_over: &mut [u32; 4]) -> Option<usize> {
    let first = waits.iter().position(|waits| *waits)?;
    let next = (0..4)
        .filter(|class| waits[*class] && passed_over[*class] >= PASSED_OVER)
        .max_by_key(|class| passed_over[*class])
        .unwrap_or(first);
    for class in 0..4 {
        passed_over[class] = if waits[class] && class != next { passed_over[class] + 1 } else { 0 };
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_first_and_every_class_that_waits_keeps_a_tenth() {
        let mut passed_over = [0; 4];
        let given: Vec<usize> = (0..1000).filter_map(|_| next_class([true; 4], &mut passed_over)).collect();
        for window in given.windows(10) {
            for class in 0..4 {
                assert!(window.contains(&class), "{window:?}");
            }
        }
        let orders = given.iter().filter(|class| **class == 0).count();
        assert!(orders >= 600, "{orders}");
    }

    #[test]
    fn who_waits_alone_gets_everything() {
        let mut passed_over = [0; 4];
        assert_eq!(next_class([false, false, false, true], &mut passed_over), Some(3));
        assert_eq!(next_class([true, false, false, true], &mut passed_over), Some(0));
        assert_eq!(next_class([false; 4], &mut passed_over), None);
    }
}
