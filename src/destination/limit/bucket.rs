//! One account's leaky bucket, as far as it can be known from here; pure, it is told the time.

use crate::domain::clock::Millis;

use super::Rate;

/// Room that is never used: two calls sent half a second apart may arrive closer together (ours).
const HEADROOM: f64 = 1.0;

/// What a 429 leaves of the assumed leak, where nothing better is known (ours).
const LOWERED: f64 = 0.8;

/// The share of a measured leak that is used (ours).
const BELOW_MEASURED: f64 = 0.98;

/// The least share of the documented leak that is ever assumed (ours).
const LEAST: f64 = 0.05;

/// How fast the assumed leak recovers with each call: slow enough that a 429 comes less than once in a hundred calls.
const RECOVERY: f64 = 1.0002;

/// The same when there was no 429 for ten minutes.
const RECOVERY_LATER: f64 = 1.002;

/// Ten minutes.
const LATER: Millis = 600_000;

/// Refusals closer together than this are one: calls were in flight. In milliseconds.
const ONE_REFUSAL: Millis = 1_000;

/// What is known of a leaky bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    size: f64,
    leak: f64,
    level: f64,
    at: Millis,
    slow_until: Millis,
    closed_until: Millis,
    in_flight: u32,
    given: u64,
    /// Whether the API tells its count.
    told: bool,
    refused: Option<Refusal>,
}

/// The last 429: at that moment the real bucket was full.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    at: Millis,
    given: u64,
    /// Whether calls have come so thick since that the bucket never ran empty.
    busy: bool,
}

impl Bucket {
    /// Makes an empty one.
    pub fn new(rate: Rate, now: Millis) -> Self {
        let leak = if rate.per_second.is_finite() { rate.per_second.max(0.001) } else { Rate::SAPO.per_second };
        let rate = Rate { size: rate.size.max(1), per_second: leak };
        Self {
            rate,
            size: f64::from(rate.size),
            leak,
            level: 0.0,
            at: now,
            slow_until: 0,
            closed_until: 0,
            in_flight: 0,
            given: 0,
            told: false,
            refused: None,
        }
    }

    /// Whether a token can be had now.
    pub fn ready(&mut self, now: Millis) -> bool {
        self.drain(now);
        now >= self.closed_until() && self.level + 1.0 <= self.capacity() + 1e-9
    }

    /// Takes a token, where one can be had.
    pub fn take(&mut self, now: Millis) -> bool {
        let ready = self.ready(now);
        if ready {
            self.level += 1.0;
            self.in_flight += 1;
            self.given += 1;
            let quiet = self.refused.is_none_or(|refused| now - refused.at > LATER);
            let faster = self.leak * if quiet { RECOVERY_LATER } else { RECOVERY };
            self.leak = faster.min(self.rate.per_second);
        }
        ready
    }

    /// When somebody with that many before him can have a token, as far as can be told.
    pub fn time_of(&mut self, now: Millis, before: usize) -> Millis {
        self.drain(now);
        let opens = self.closed_until().max(now);
        let too_many = self.level + 1.0 + before as f64 - self.capacity();
        let leaks = now + (too_many.max(0.0) / self.leak * 1000.0).ceil() as Millis;
        // While it is closed it leaks all the same.
        opens.max(leaks)
    }

    /// The moment before which nobody gets a token; in the past where it is open.
    pub fn closed_until(&self) -> Millis {
        self.slow_until.max(self.closed_until)
    }

    /// Takes over the API's count. Calls that are under way may or may not be in it.
    pub fn feed(&mut self, now: Millis, used: u32, size: u32) {
        self.drain(now);
        self.told = true;
        if size > 0 {
            self.size = f64::from(size);
        }
        self.leak = self.rate.per_second;
        let used = f64::from(used);
        // The count is rounded to a whole number, hence one more on the upper side.
        self.level = self.level.clamp(used, used + 1.0 + f64::from(self.in_flight));
    }

    /// Takes over a 429: the real bucket is full at this moment.
    pub fn slow(&mut self, now: Millis, until: Millis) {
        self.drain(now);
        self.slow_until = self.slow_until.max(until);
        self.level = self.level.max(self.capacity());
        let same = self.refused.is_some_and(|refused| now - refused.at < ONE_REFUSAL);
        if same || self.told {
            return;
        }
        self.leak = self.lowered(now).clamp(self.rate.per_second * LEAST, self.rate.per_second);
        self.refused = Some(Refusal { at: now, given: self.given, busy: true });
    }

    /// What leaked between two moments at which the bucket was full is what it was given between them.
    fn lowered(&self, now: Millis) -> f64 {
        let measured = self.refused.filter(|refused| refused.busy).and_then(|refused| {
            let seconds = (now - refused.at) as f64 / 1000.0;
            let taken = (self.given - refused.given).saturating_sub(1) as f64;
            (seconds >= 5.0 && taken >= 5.0).then_some(taken / seconds)
        });
        measured.map_or(self.leak * LOWERED, |leak| {
            (leak * BELOW_MEASURED).clamp(self.leak * 0.5, self.leak * BELOW_MEASURED)
        })
    }

    /// Closes it until a moment, or opens it.
    pub fn close_until(&mut self, until: Millis) {
        self.closed_until = until;
    }

    /// Notes that a call has ended.
    pub fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn capacity(&self) -> f64 {
        (self.size - HEADROOM).max(1.0)
    }

    fn drain(&mut self, now: Millis) {
        let passed = (now - self.at).max(0) as f64 / 1000.0;
        self.level -= passed * self.leak;
        if self.level <= 0.0 {
            self.level = 0.0;
            if let Some(refused) = &mut self.refused {
                refused.busy = false;
            }
        }
        self.at = now;
    }
}
