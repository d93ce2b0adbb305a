//! The rate limit of each account: one leaky bucket, and a short line before it.
//!
//! The line is short on purpose: what finds no place in it is told when to come back and waits in the store, so one
//! shop's backlog never holds the worker.

mod bucket;
mod line;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::domain::clock::{Clock, Millis, until};

use bucket::Bucket;
use line::{Lines, Ticket};

/// How many orders wait in one account's line, and how many calls of the other classes together.
pub const WAITERS: usize = 16;

/// An account that stays closed for longer than this keeps nobody in its line, in milliseconds (ours).
const PATIENCE: Millis = 5_000;

/// The longest sleep between two looks at a line, so that a clock moved forward by a test is noticed.
const LOOK: Duration = Duration::from_secs(1);

/// A leaky bucket's documented or assumed shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls that it holds.
    pub size: u32,
    /// Calls that leak out of it in a second.
    pub per_second: f64,
}

impl Rate {
    /// Sapo Web's documented limit; Sapo Omni's is unpublished and taken to be the same.
    pub const SAPO: Self = Self { size: 40, per_second: 2.0 };
    /// Abaha's limit is unpublished: assumed.
    pub const ABAHA: Self = Self { size: 40, per_second: 10.0 };
}

/// What a call is for: orders get tokens first, and every class that waits keeps at least a tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Orders and what they need.
    Order,
    /// Stock, prices, products, categories.
    Product,
    /// Customers.
    Customer,
    /// Imports, reconciliation, look-ups of the console.
    Bulk,
}

impl Class {
    /// Every class, in the order in which tokens are given.
    pub const ALL: [Self; 4] = [Self::Order, Self::Product, Self::Customer, Self::Bulk];
}

/// The refusal of a token: nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API's limit is used up for now")]
pub struct Throttled {
    /// When it is worth trying again.
    pub until: Millis,
}

/// The limits of every account that this process calls.
#[derive(Clone, Debug)]
pub struct Limits {
    clock: Clock,
    sapo: Rate,
    abaha: Rate,
    web: Rate,
    accounts: Arc<Mutex<HashMap<String, Arc<Account>>>>,
}

#[derive(Debug)]
struct Account {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    lines: Lines,
    /// Whether a task hands out tokens to those that wait.
    served: bool,
}

impl Limits {
    /// Makes the limits of accounts at Sapo Omni (`omni:…`) and at Abaha (`abaha:…`); a web's (`web:…`) is the
    /// documented one.
    pub fn new(clock: Clock, sapo: Rate, abaha: Rate) -> Self {
        Self { clock, sapo, abaha, web: Rate::SAPO, accounts: Arc::default() }
    }

    /// The same, with another limit for webs. Call it before any account is used.
    #[must_use]
    pub fn web(self, web: Rate) -> Self {
        Self { web, ..self }
    }

    /// Takes a token, at once or after waiting in line.
    ///
    /// # Errors
    /// [`Throttled`] at once where the class's line is full, or the account is closed for more than five seconds.
    pub async fn acquire(&self, name: &str, class: Class) -> Result<(), Throttled> {
        let account = self.account(name);
        let (serve, ticket) = {
            let mut state = account.lock();
            let now = self.clock.now();
            state.hand_out(now);
            if state.lines.is_empty() && state.bucket.take(now) {
                return Ok(());
            }
            if state.bucket.closed_until() > now + PATIENCE {
                return Err(Throttled { until: state.bucket.closed_until() });
            }
            if state.lines.free(class) == 0 {
                let ahead = state.lines.len();
                return Err(Throttled { until: state.bucket.time_of(now, ahead) });
            }
            let (ticket, place) = oneshot::channel();
            state.lines.join(class, ticket);
            (!std::mem::replace(&mut state.served, true), place)
        };
        if serve {
            tokio::spawn(serve_line(Arc::clone(&account), self.clock.clone()));
        }
        // The line is dropped only with the runtime; whoever asks then is told to come back.
        ticket.await.unwrap_or_else(|_| Err(Throttled { until: self.clock.now() }))
    }

    /// The places left in line for a class: how much more work is worth taking for this account.
    pub fn free(&self, name: &str, class: Class) -> usize {
        self.account(name).lock().lines.free(class)
    }

    /// How many wait in line.
    pub fn waiting(&self, name: &str) -> usize {
        self.account(name).lock().lines.len()
    }

    /// Takes over the API's own count, `X-Sapo-Api-Call-Limit: used/size`.
    ///
    /// It is the truth: other programs of the shop may use the same bucket, or its size may be another.
    pub fn feed(&self, name: &str, used: u32, size: u32) {
        self.change(name, |bucket, now| bucket.feed(now, used, size));
    }

    /// Takes over a 429: nobody gets a token before `until`.
    ///
    /// Where the API never tells its count, the assumed leak is lowered as well; it recovers slowly.
    pub fn slow(&self, name: &str, until: Millis) {
        self.change(name, |bucket, now| bucket.slow(now, until));
    }

    /// Closes an account until a moment, or opens it where that has passed: the store's `not_before`.
    pub fn close_until(&self, name: &str, until: Millis) {
        self.change(name, |bucket, _| bucket.close_until(until));
    }

    /// Notes that a call that had a token has ended, whatever its end.
    pub(super) fn ended(&self, name: &str) {
        self.account(name).lock().bucket.ended();
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Bucket, Millis)) {
        let account = self.account(name);
        change(&mut account.lock().bucket, self.clock.now());
        account.changed.notify_one();
    }

    fn account(&self, name: &str) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(name) {
            return Arc::clone(account);
        }
        let rate = match name.split_once(':') {
            Some(("abaha", _)) => self.abaha,
            Some(("web", _)) => self.web,
            _ => self.sapo,
        };
        let state = State { bucket: Bucket::new(rate, self.clock.now()), lines: Lines::default(), served: false };
        let account = Arc::new(Account { state: Mutex::new(state), changed: Notify::new() });
        accounts.insert(name.to_owned(), Arc::clone(&account));
        account
    }
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives tokens to those that wait, as far as they go; sends them away where the account stays closed.
    fn hand_out(&mut self, now: Millis) {
        let closed = self.bucket.closed_until();
        if closed > now + PATIENCE {
            self.lines.send_away(Throttled { until: closed });
        }
        while !self.lines.is_empty() && self.bucket.ready(now) {
            if self.lines.call_next() {
                self.bucket.take(now);
            }
        }
    }
}

/// Hands out tokens until nobody waits any more.
async fn serve_line(account: Arc<Account>, clock: Clock) {
    loop {
        let pause = {
            let mut state = account.lock();
            let now = clock.now();
            state.hand_out(now);
            if state.lines.is_empty() {
                state.served = false;
                return;
            }
            until(now, state.bucket.time_of(now, 0)).clamp(Duration::from_millis(1), LOOK)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = account.changed.notified() => {}
        }
    }
}

type Place = Ticket<Result<(), Throttled>>;

#[cfg(test)]
mod tests;
