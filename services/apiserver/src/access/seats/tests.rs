use futures::FutureExt as _;

use super::*;

const LINE: usize = 10;

/// Polls a request once: seated, refused, or waiting.
fn poll<'a>(
    seats: &'a Arc<Seats>,
    user: &'a str,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Seat, Status>> + 'a>> {
    Box::pin(seats.take(user))
}

#[tokio::test(start_paused = true)]
async fn one_user_leaves_half_of_the_seats_to_others() {
    let seats = Seats::new(4, 2, LINE);
    let (_first, _second) = (seats.take("flood").await.unwrap(), seats.take("flood").await.unwrap());
    let mut third = poll(&seats, "flood");
    assert!((&mut third).now_or_never().is_none(), "a third one waits although seats are free");
    let (_a, _b) = (seats.take("jane").await.unwrap(), seats.take("joe").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn users_who_wait_are_seated_in_turn() {
    let seats = Seats::new(2, 1, LINE);
    let (held, other) = (seats.take("flood").await.unwrap(), seats.take("x").await.unwrap());
    let mut flood: Vec<_> = (0..10).map(|_| poll(&seats, "flood")).collect();
    for waiting in &mut flood {
        assert!(waiting.now_or_never().is_none());
    }
    let mut jane = poll(&seats, "jane");
    assert!((&mut jane).now_or_never().is_none());
    // The seat of the flood goes to its own next request, for it has waited longest; the next one to jane, not to the other
    // nine.
    drop(held);
    let seated = (&mut flood[0]).now_or_never().expect("seated").unwrap();
    drop(other);
    let jane = jane.now_or_never().expect("it is her turn").unwrap();
    assert!((&mut flood[1]).now_or_never().is_none());
    drop(seated);
    assert!((&mut flood[1]).now_or_never().is_some());
    drop(jane);
}

#[tokio::test(start_paused = true)]
async fn a_line_has_an_end_and_its_users_are_told_when_to_come_again() {
    let seats = Seats::new(2, 1, LINE);
    let _held = seats.take("flood").await.unwrap();
    let mut waiting: Vec<_> = (0..LINE).map(|_| poll(&seats, "flood")).collect();
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    let refused = seats.take("flood").await.unwrap_err();
    assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
    assert!(seats.take("jane").await.is_ok(), "others have lines of their own");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_so() {
    let seats = Seats::new(2, 1, LINE);
    let _held = seats.take("flood").await.unwrap();
    assert_eq!(seats.take("flood").await.unwrap_err().code, 429);
}

#[tokio::test(start_paused = true)]
async fn seats_of_those_who_went_away_are_not_lost() {
    let seats = Seats::new(2, 1, LINE);
    for _ in 0..100 {
        let (a, b) = (seats.take("a").await.unwrap(), seats.take("b").await.unwrap());
        let mut gone = poll(&seats, "a");
        assert!((&mut gone).now_or_never().is_none());
        let mut late = poll(&seats, "b");
        assert!((&mut late).now_or_never().is_none());
        drop(gone);
        drop(a);
        drop(b);
        // Seated, and gone before it noticed.
        drop(late);
    }
    let state = seats.state.lock();
    assert_eq!((state.free, state.waiting, state.users.len(), state.turns.len()), (2, 0, 0, 0));
}
