use super::*;
use bytes::Bytes;

fn created(key: &str, revision: u64) -> Record {
    Record {
        revision,
        key: key.into(),
        kind: EventKind::Created,
        value: Value::new(Bytes::from_static(b"v")),
        previous: None,
    }
}

fn publish(window: &Window, key: &str, revision: u64) {
    window.publish(vec![created(key, revision)], revision);
}

fn revisions(watch: &mut Watch) -> Result<Vec<u64>, Expired> {
    let mut seen = Vec::new();
    while let Some(event) = watch.try_next()? {
        seen.push(event.revision);
    }
    Ok(seen)
}

#[test]
fn a_watch_sees_its_prefix_from_its_revision_on() {
    let window = Window::new(1, 100, 1 << 20);
    publish(&window, "core/pods/a/x", 2);
    publish(&window, "core/pods/b/x", 3);
    let mut all = window.watch("core/pods/", 1).unwrap();
    let mut late = window.watch("core/pods/", 2).unwrap();
    let mut space = window.watch("core/pods/b/", 1).unwrap();
    publish(&window, "core/secrets/b/x", 4);
    publish(&window, "core/pods/b/y", 5);
    assert_eq!(revisions(&mut all), Ok(vec![2, 3, 5]));
    assert_eq!(revisions(&mut late), Ok(vec![3, 5]));
    assert_eq!(revisions(&mut space), Ok(vec![3, 5]));
}

#[test]
fn all_events_of_one_transaction_are_delivered() {
    let window = Window::new(1, 100, 1 << 20);
    let mut watch = window.watch("a/b/", 1).unwrap();
    window.publish(vec![created("a/b/1", 2), created("a/b/2", 2), created("a/b/3", 2)], 2);
    assert_eq!(watch.try_next().unwrap().unwrap().key.as_ref(), "a/b/1");
    assert_eq!(watch.progress(), 1, "two events of revision 2 are still to come");
    assert_eq!(revisions(&mut watch), Ok(vec![2, 2]));
    assert_eq!(watch.progress(), 2);
}

#[test]
fn what_was_dropped_is_expired_and_a_quiet_topic_is_not() {
    let window = Window::new(1, 3, 1 << 20);
    let mut quiet = window.watch("core/nodes/", 1).unwrap();
    let mut slow = window.watch("core/pods/", 1).unwrap();
    for revision in 2..12 {
        publish(&window, "core/pods/a/x", revision);
    }
    assert_eq!(slow.try_next(), Err(Expired { requested: 1, oldest: 8 }));
    assert_eq!(window.watch("core/pods/", 7).unwrap_err(), Expired { requested: 7, oldest: 8 });
    assert_eq!(revisions(&mut window.watch("core/pods/", 8).unwrap()), Ok(vec![9, 10, 11]));
    assert_eq!(quiet.try_next(), Ok(None));
    assert_eq!(quiet.progress(), 11);
    publish(&window, "core/nodes//n", 12);
    assert_eq!(revisions(&mut quiet), Ok(vec![12]));
    assert!(window.watch("", 1).is_err());
}

#[test]
fn the_window_is_bounded_in_bytes_that_only_it_holds() {
    let window = Window::new(1, 1000, 10 * 1000);
    for revision in 2..102 {
        let mut event = created("core/pods/a/x", revision);
        event.previous = Some(Value::new(Bytes::from(vec![0; 1000 - EVENT_COST])));
        window.publish(vec![event], revision);
    }
    assert_eq!(window.ring.read().events.len(), 10);
    assert_eq!(window.ring.read().bytes, 10 * 1000);
}

#[test]
fn nothing_before_the_opening_can_be_watched() {
    let window = Window::new(50, 100, 1 << 20);
    assert_eq!(window.watch("core/pods/", 49).unwrap_err(), Expired { requested: 49, oldest: 50 });
    assert!(window.watch("core/pods/", 50).is_ok());
}
