use proptest::prelude::*;

use super::*;

const FAST: Rate = Rate { size: 4, per_second: 200.0 };

fn limits(rate: Rate) -> Limits {
    Limits::new(Clock::system(), rate, rate)
}

/// A real bucket on the other side; leaks steadily, refuses what does not fit.
struct Real {
    size: f64,
    leak: f64,
    level: f64,
    at: Millis,
}

impl Real {
    fn call(&mut self, now: Millis) -> bool {
        self.level = (self.level - (now - self.at) as f64 / 1000.0 * self.leak).max(0.0);
        self.at = now;
        let fits = self.level + 1.0 <= self.size;
        if fits {
            self.level += 1.0;
        }
        fits
    }
}

/// Calls as often as allowed for `seconds`; gives calls answered and calls refused.
fn drive(bucket: &mut Bucket, real: &mut Real, seconds: i64, header: bool) -> (u32, u32) {
    let (mut answered, mut refused, mut now) = (0, 0, bucket_start(real));
    let end = now + seconds * 1000;
    while now < end {
        if bucket.take(now) {
            let arrives = now + 20 + (i64::from(answered) * 7) % 60;
            if real.call(arrives.max(real.at)) {
                answered += 1;
                if header {
                    bucket.feed(now, real.level.ceil() as u32, real.size as u32);
                }
            } else {
                refused += 1;
                bucket.slow(now, now + 2_000);
            }
            bucket.ended();
        } else {
            now = bucket.time_of(now, 0).max(now + 1);
        }
    }
    (answered, refused)
}

fn bucket_start(real: &Real) -> Millis {
    real.at
}

#[test]
fn the_documented_limit_is_used_and_never_overrun() {
    for header in [true, false] {
        let mut bucket = Bucket::new(Rate::SAPO, 0);
        let mut real = Real { size: 40.0, leak: 2.0, level: 0.0, at: 0 };
        let (answered, refused) = drive(&mut bucket, &mut real, 120, header);
        assert_eq!(refused, 0, "header {header}");
        assert!(f64::from(answered) >= 0.95 * (40.0 + 2.0 * 120.0), "{answered}, header {header}");
    }
}

#[test]
fn a_slower_bucket_without_a_header_is_learned() {
    for leak in [0.5, 1.0, 1.7] {
        let mut bucket = Bucket::new(Rate::SAPO, 0);
        let mut real = Real { size: 40.0, leak, level: 0.0, at: 0 };
        let (answered, refused) = drive(&mut bucket, &mut real, 3_600, false);
        assert!(f64::from(answered) >= 0.95 * (40.0 + leak * 3_600.0), "{answered} at {leak}");
        assert!(f64::from(refused) <= 0.01 * f64::from(answered), "{refused} of {answered} at {leak}");
    }
}

#[test]
fn a_slower_or_smaller_bucket_with_a_header_is_followed() {
    let mut bucket = Bucket::new(Rate::SAPO, 0);
    let mut real = Real { size: 20.0, leak: 1.0, level: 15.0, at: 0 };
    assert!(bucket.take(0));
    bucket.feed(0, 16, 20);
    let (answered, refused) = drive(&mut bucket, &mut real, 600, true);
    assert!(f64::from(refused) <= 0.01 * f64::from(answered), "{refused} of {answered}");
    assert!(answered >= 570, "{answered}");
}

#[test]
fn a_leak_that_was_lowered_recovers() {
    let mut bucket = Bucket::new(Rate::SAPO, 0);
    let mut real = Real { size: 40.0, leak: 0.5, level: 0.0, at: 0 };
    drive(&mut bucket, &mut real, 600, false);
    real.leak = 2.0;
    let (_, refused) = drive(&mut bucket, &mut real, 3_600, false);
    assert_eq!(refused, 0);
    let (answered, _) = drive(&mut bucket, &mut real, 600, false);
    assert!(answered >= 1_140, "{answered}");
}

#[test]
fn the_servers_count_is_the_truth() {
    let mut bucket = Bucket::new(Rate::SAPO, 0);
    bucket.feed(0, 39, 40);
    assert!(!bucket.take(0));
    assert_eq!(bucket.time_of(0, 0), 500);
    assert!(bucket.take(500));
    bucket.ended();
    bucket.feed(500, 3, 40);
    assert!(bucket.take(500));
}

#[test]
fn nobody_gets_a_token_before_retry_after_or_while_it_is_closed() {
    let mut bucket = Bucket::new(Rate::SAPO, 0);
    bucket.slow(0, 3_000);
    assert!(!bucket.take(2_999));
    assert!(bucket.take(3_000));
    bucket.close_until(9_000);
    assert!(!bucket.take(8_999));
    bucket.close_until(0);
    assert!(bucket.take(8_999));
}

proptest! {
    #[test]
    fn over_any_schedule_no_window_gets_more_than_the_bucket_gives(
        size in 1_u32..60,
        per_second in 0.1_f64..20.0,
        steps in prop::collection::vec((0_i64..5_000, 0_u8..12), 1..200),
    ) {
        let mut bucket = Bucket::new(Rate { size, per_second }, 0);
        let (mut now, mut given) = (0, Vec::new());
        for (pause, what) in steps {
            now += pause;
            match what {
                0 => bucket.slow(now, now + pause),
                1 => bucket.close_until(now + pause),
                2 => bucket.ended(),
                _ => while bucket.take(now) {
                    given.push(now);
                },
            }
        }
        for (first, from) in given.iter().enumerate() {
            for (last, to) in given.iter().enumerate().skip(first) {
                let most = f64::from(size) + per_second * (to - from) as f64 / 1000.0 + 1.0;
                prop_assert!((last - first + 1) as f64 <= most + 1e-6);
            }
        }
    }

    #[test]
    fn a_token_is_there_when_it_was_promised(before in 0_usize..38, used in 0_u32..60, pause in 0_i64..10_000) {
        let mut bucket = Bucket::new(Rate::SAPO, 0);
        bucket.feed(0, used, 40);
        bucket.slow(0, pause);
        let at = bucket.time_of(0, before);
        let tokens = (0..=before).filter(|_| bucket.take(at)).count();
        prop_assert_eq!(tokens, before + 1);
    }
}

#[tokio::test]
async fn who_finds_no_token_waits_and_gets_one() {
    let limits = limits(FAST);
    for _ in 0..10 {
        limits.acquire("omni:a", Class::Product).await.unwrap();
    }
    assert_eq!(limits.waiting("omni:a"), 0);
    assert_eq!(limits.free("omni:a", Class::Order), WAITERS);
}

#[tokio::test]
async fn a_full_line_answers_at_once_and_says_when_and_orders_have_a_line_of_their_own() {
    let limits = limits(Rate { size: 2, per_second: 0.5 });
    limits.acquire("omni:a", Class::Bulk).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..WAITERS {
        let limits = limits.clone();
        let class = if at % 2 == 0 { Class::Bulk } else { Class::Product };
        tasks.spawn(async move { limits.acquire("omni:a", class).await });
    }
    while limits.waiting("omni:a") < WAITERS {
        tokio::task::yield_now().await;
    }
    assert_eq!(limits.free("omni:a", Class::Customer), 0);
    assert_eq!(limits.free("omni:a", Class::Order), WAITERS);
    let now = limits.clock.now();
    let throttled = limits.acquire("omni:a", Class::Customer).await.unwrap_err();
    assert!((now + 30_000..now + 36_000).contains(&throttled.until), "{}", throttled.until - now);
    limits.acquire("omni:b", Class::Customer).await.unwrap();

    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    assert_eq!(limits.waiting("omni:a"), 0, "whoever gave up leaves his place");
    assert_eq!(limits.free("omni:a", Class::Customer), WAITERS);
}

#[tokio::test]
async fn each_system_has_its_own_rate_and_each_account_its_own_bucket() {
    let narrow = Rate { size: 2, per_second: 0.01 };
    let limits = limits(FAST).web(narrow);
    limits.acquire("web:mau", Class::Order).await.unwrap();
    limits.close_until("web:mau", limits.clock.now() + 60_000);
    assert!(limits.acquire("web:mau", Class::Order).await.is_err());
    limits.acquire("web:hai", Class::Order).await.unwrap();
    for _ in 0..5 {
        limits.acquire("omni:mau", Class::Order).await.unwrap();
    }
    let (web, omni) = (limits.account("web:ba"), limits.account("omni:ba"));
    let now = limits.clock.now();
    assert!(web.lock().bucket.take(now) && !web.lock().bucket.take(now));
    assert!(omni.lock().bucket.take(now) && omni.lock().bucket.take(now));
}

#[tokio::test]
async fn an_order_overtakes_what_waits() {
    let limits = limits(Rate { size: 2, per_second: 2.0 });
    limits.acquire("omni:a", Class::Bulk).await.unwrap();
    let (done, mut order_of_calls) = tokio::sync::mpsc::unbounded_channel();
    for class in [Class::Bulk, Class::Bulk, Class::Bulk, Class::Order] {
        let (limits, done) = (limits.clone(), done.clone());
        let before = limits.waiting("omni:a");
        let waiting = limits.clone();
        tokio::spawn(async move {
            limits.acquire("omni:a", class).await.unwrap();
            done.send(class).unwrap();
        });
        while waiting.waiting("omni:a") == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(order_of_calls.recv().await, Some(Class::Order));
}

#[tokio::test]
async fn an_account_that_stays_closed_keeps_nobody() {
    let limits = limits(Rate { size: 2, per_second: 0.01 });
    limits.acquire("omni:a", Class::Order).await.unwrap();
    let waiting = tokio::spawn({
        let limits = limits.clone();
        async move { limits.acquire("omni:a", Class::Order).await }
    });
    while limits.waiting("omni:a") == 0 {
        tokio::task::yield_now().await;
    }
    let until = limits.clock.now() + 60_000;
    limits.close_until("omni:a", until);
    assert_eq!(waiting.await.unwrap(), Err(Throttled { until }));
    assert_eq!(limits.acquire("omni:a", Class::Order).await, Err(Throttled { until }));
    limits.clock.advance(Duration::from_secs(200));
    limits.acquire("omni:a", Class::Order).await.unwrap();
}
