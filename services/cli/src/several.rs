//! One verb over several sandboxes: all are tried, side by side, and each failure is told.

use crate::failure::{Failure, Result};
use futures::{StreamExt as _, stream};

/// How many are acted on at once.
const AT_ONCE: usize = 16;

/// Does `act` for every item, whatever becomes of the others.
///
/// # Errors
/// The one failure of one item; or, where there are several, how many failed after each was printed.
pub(crate) async fn each<'a, T, F>(items: &'a [T], act: impl Fn(&'a T) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let mut failed = Vec::new();
    let mut all = stream::iter(items).map(act).buffer_unordered(AT_ONCE);
    while let Some(outcome) = all.next().await {
        if let Err(failure) = outcome {
            if items.len() > 1 {
                eprintln!("{failure}");
            }
            failed.push(failure);
        }
    }
    match failed.len() {
        0 => Ok(()),
        _ if items.len() == 1 => failed.pop().map_or(Ok(()), Err),
        count => Err(Failure::new(format!("{count} of {} failed", items.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test]
    async fn a_failure_stops_nobody_else_and_is_counted() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let done = RefCell::new(Vec::new());
        let act = |name: &'static str, fails: bool| {
            done.borrow_mut().push(name);
            async move { if fails { Err(Failure::new(format!("{name} is stuck"))) } else { Ok(()) } }
        };
        let outcome = each(&names, |name| match name.as_str() {
            "a" => act("a", true),
            "b" => act("b", false),
            _ => act("c", true),
        });
        let failure = outcome.await.expect_err("two fail");
        assert_eq!((failure.to_string().as_str(), failure.code()), ("error: 2 of 3 failed", 1));
        assert_eq!(*done.borrow(), ["a", "b", "c"]);
        let alone = each(&names[..1], |_| act("a", true)).await.expect_err("it fails");
        assert_eq!(alone.to_string(), "error: a is stuck", "one failure speaks for itself");
    }
}
