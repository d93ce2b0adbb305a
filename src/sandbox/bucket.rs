//! The leaky bucket that limits the calls of one shop.

use std::time::{Duration, Instant};

use super::BucketConfig;

/// A bucket that fills by one with each call and leaks steadily.
#[derive(Debug)]
pub(crate) struct Bucket {
    config: BucketConfig,
    level: f64,
    last: Instant,
}

impl Bucket {
    /// An empty bucket.
    pub fn new(config: BucketConfig) -> Self {
        Self { config, level: 0.0, last: Instant::now() }
    }

    /// Takes one call in; says how full the bucket is then, or after how many seconds to come again.
    pub fn take(&mut self) -> Result<u32, u64> {
        self.take_at(Instant::now())
    }

    /// The written call limit, such as `7/40`, where the API sends it.
    pub fn header(&self) -> Option<String> {
        self.config.header.then(|| format!("{}/{}", self.level.ceil() as u32, self.config.size))
    }

    fn take_at(&mut self, now: Instant) -> Result<u32, u64> {
        let passed = now.saturating_duration_since(self.last).max(Duration::ZERO).as_secs_f64();
        self.last = now;
        self.level = (self.level - passed * self.config.leak_per_second).max(0.0);
        let size = f64::from(self.config.size);
        if self.level + 1.0 > size {
            let wait = (self.level + 1.0 - size) / self.config.leak_per_second.max(0.001);
            return Err((wait.ceil() as u64).max(1));
        }
        self.level += 1.0;
        Ok(self.level.ceil() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket::new(BucketConfig { size: 40, leak_per_second: 2.0, header: true })
    }

    #[test]
    fn forty_calls_fit_and_the_next_is_refused_with_a_wait() {
        let mut bucket = bucket();
        let start = bucket.last;
        for call in 1..=40 {
            assert_eq!(bucket.take_at(start), Ok(call));
        }
        assert_eq!(bucket.take_at(start), Err(1));
        assert_eq!(bucket.header().as_deref(), Some("40/40"));
    }

    #[test]
    fn two_calls_a_second_leak_out() {
        let mut bucket = bucket();
        let start = bucket.last;
        for _ in 0..40 {
            bucket.take_at(start).unwrap();
        }
        let later = start + Duration::from_secs(1);
        assert!(bucket.take_at(later).is_ok());
        assert!(bucket.take_at(later).is_ok());
        assert!(bucket.take_at(later).is_err());
    }
}
