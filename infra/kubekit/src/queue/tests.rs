//! What the queue promises, on paused time.

use super::*;
use std::collections::HashMap;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const MS: Duration = Duration::from_millis(1);

async fn take(queue: &Queue<&'static str>) -> &'static str {
    let lease =
        timeout(60 * 60 * 1000 * MS, queue.next()).await.expect("a key within an hour").expect("open");
    let key = *lease.key();
    lease.finish(Outcome::Done);
    key
}

async fn is_empty_for(queue: &Queue<&'static str>, time: Duration) -> bool {
    timeout(time, queue.next()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_key_added_often_is_handed_out_once() {
    let queue = Queue::default();
    for _ in 0..100 {
        queue.add("a");
    }
    assert_eq!(take(&queue).await, "a");
    assert!(is_empty_for(&queue, MS).await);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_never_held_twice_and_comes_back_if_added_meanwhile() {
    let queue = Queue::default();
    queue.add("a");
    let lease = queue.next().await.unwrap();
    queue.add("a");
    assert!(is_empty_for(&queue, 1000 * MS).await);
    lease.finish(Outcome::Done);
    assert_eq!(take(&queue).await, "a");
    assert!(is_empty_for(&queue, 1000 * MS).await);
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time_and_a_success_forgets_them() {
    let queue = Queue::new(Backoff { base: 100 * MS, cap: 300 * MS });
    let mut waits = Vec::new();
    queue.add("a");
    for outcome in
        [Outcome::Retry, Outcome::Retry, Outcome::Retry, Outcome::After(MS), Outcome::Retry, Outcome::Done]
    {
        let start = Instant::now();
        queue.next().await.unwrap().finish(outcome);
        waits.push(start.elapsed().as_millis());
    }
    let expected = [(0, 0), (75, 101), (150, 201), (225, 301), (1, 2), (75, 101)];
    for (wait, (least, most)) in waits.iter().zip(expected) {
        assert!((least..=most).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bounded_retry_comes_in_time() {
    let queue = Queue::new(Backoff { base: 60_000 * MS, cap: 60_000 * MS });
    queue.add("a");
    let start = Instant::now();
    queue.next().await.unwrap().finish(Outcome::RetryWithin(20 * MS));
    take(&queue).await;
    assert!(start.elapsed() <= 21 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_event_does_not_wait_for_the_backoff() {
    let queue = Queue::new(Backoff { base: 60_000 * MS, cap: 60_000 * MS });
    queue.add("a");
    queue.next().await.unwrap().finish(Outcome::Retry);
    queue.add("a");
    let start = Instant::now();
    take(&queue).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn of_two_delays_the_earlier_counts() {
    let queue = Queue::default();
    let start = Instant::now();
    queue.add_after("a", 500 * MS);
    queue.add_after("a", 100 * MS);
    queue.add_after("a", 900 * MS);
    take(&queue).await;
    assert!((100..=101).contains(&start.elapsed().as_millis()));
    assert!(is_empty_for(&queue, 2000 * MS).await);
}

#[tokio::test(start_paused = true)]
async fn the_high_lane_goes_first_but_the_low_lane_is_not_starved() {
    let names: Vec<&'static str> =
        (0..40).map(|n| &*Box::leak(format!("high{n}").into_boxed_str())).collect();
    let queue = Queue::default();
    queue.add_in(Lane::Low, "low");
    queue.add_in(Lane::Low, "urgent");
    queue.add_in(Lane::High, "urgent");
    for name in names {
        queue.add(name);
    }
    let mut order = Vec::new();
    for _ in 0..42 {
        order.push(take(&queue).await);
    }
    assert_eq!(order[0], "urgent");
    let place = order.iter().position(|key| *key == "low").unwrap();
    assert!((1..=16).contains(&place), "{place}: {order:?}");
}

#[tokio::test(start_paused = true)]
async fn several_due_keys_wake_several_workers() {
    let queue = Queue::default();
    let workers =
        [queue.clone(), queue.clone(), queue.clone()].map(|queue| async move { queue.next().await.unwrap() });
    for key in ["a", "b", "c"] {
        queue.add_after(key, 10 * MS);
    }
    let leases =
        timeout(1000 * MS, futures::future::join_all(workers)).await.expect("all three are handed out");
    assert_eq!(leases.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn closing_lets_waiting_workers_go() {
    let queue: Queue<&'static str> = Queue::default();
    let waiting = [queue.clone(), queue.clone()].map(|queue| async move { queue.next().await.is_none() });
    let close = async { queue.close() };
    let (ended, ()) = futures::join!(futures::future::join_all(waiting), close);
    assert_eq!(ended, [true, true]);
    queue.add("a");
    assert!(queue.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_that_key_only() {
    let queue = Queue::default();
    let shutdown = CancellationToken::new();
    let seen = Arc::new(Mutex::new(HashMap::<&'static str, u32>::new()));
    queue.add("bad");
    queue.add("good");
    let handle = {
        let (seen, shutdown) = (Arc::clone(&seen), shutdown.clone());
        move |key: &'static str| {
            let tries = *seen.lock().entry(key).and_modify(|tries| *tries += 1).or_insert(1);
            if key == "bad" && tries == 3 {
                shutdown.cancel();
            }
            async move {
                assert!(key != "bad" || tries == 3, "on purpose");
                Outcome::Done
            }
        }
    };
    timeout(60_000 * MS, queue.work(1, shutdown, handle)).await.expect("the worker survives");
    assert_eq!(*seen.lock(), HashMap::from([("bad", 3), ("good", 1)]));
    assert_eq!(queue.depth(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_board_shows_what_its_queues_do_and_who_is_stuck() {
    let (board, metrics) = (Board::default(), telemetry::Metrics::default());
    metrics.collect(board.clone());
    let queue: Queue<&str> = Queue::default();
    board.show("things", &queue);
    queue.add("a");
    queue.add("a");
    queue.add("b");
    tokio::time::advance(50 * MS).await;
    let lease = queue.next().await.unwrap();
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(board.stuck(Duration::from_secs(2)), [("things", Duration::from_secs(3))]);
    assert_eq!(board.stuck(Duration::from_secs(4)), []);
    let shows = |line: &str| {
        let text = metrics.text().unwrap();
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    };
    // Facts: names and labels of k8s.io/component-base 0.36.3, metrics/prometheus/workqueue.
    shows("workqueue_adds_total{name=\"things\"} 2");
    shows("workqueue_depth{name=\"things\"} 1");
    shows("workqueue_longest_running_processor_seconds{name=\"things\"} 3.0");
    shows("workqueue_unfinished_work_seconds{name=\"things\"} 3.0");
    shows("workqueue_queue_duration_seconds_sum{name=\"things\"} 0.05");
    lease.finish(Outcome::Retry);
    shows("workqueue_retries_total{name=\"things\"} 1");
    shows("workqueue_work_duration_seconds_sum{name=\"things\"} 3.0");
    shows("workqueue_work_duration_seconds_bucket{name=\"things\",le=\"1\"} 0");
    shows("workqueue_work_duration_seconds_bucket{name=\"things\",le=\"10\"} 1");
    drop(queue);
    assert!(!metrics.text().unwrap().contains("things"));
}
