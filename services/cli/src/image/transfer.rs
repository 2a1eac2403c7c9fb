//! What a node says while it loads an image: lines of JSON, the last of them the result or an error.

use super::text;
use crate::{
    failure::{Doing as _, Failure, Result},
    output::{say, size},
    progress::Progress,
};
use futures::{AsyncBufRead, AsyncBufReadExt as _, StreamExt as _};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Follows the lines to the end. `sent` says how far the request itself has come, while nothing was answered yet.
///
/// # Errors
/// The node's own error, or a stream that ends without a result.
pub(super) async fn follow(
    stream: impl AsyncBufRead,
    what: &str,
    sent: impl Fn() -> Option<String>,
) -> Result<()> {
    let doing = || what.to_owned();
    let mut progress = Progress::start();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    futures::pin_mut!(stream);
    let mut lines = stream.lines();
    let mut layers = Layers::default();
    let mut last = Value::Null;
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) => last = serde_json::from_str(&line.doing(doing)?).unwrap_or_default(),
                None => break,
            },
            _ = tick.tick() => {}
        }
        layers.take(&last);
        match (layers.sum(), sent()) {
            (Some(sum), _) => progress.say(&format!("{what}: {sum}")),
            (None, Some(sent)) => progress.say(&format!("{what}: {sent}")),
            (None, None) => progress.say(what),
        }
    }
    drop(progress);
    if let Some(error) = last["error"].as_str() {
        return Err(Failure::new(format!("{what}: {error}")));
    }
    match last["reference"].as_str() {
        Some(reference) => say!("image/{reference} ready ({})", text(&last, "digest")),
        None => {
            return Err(Failure::new(format!("{what}: the server stopped in the middle"))
                .remedy("try again; what was loaded is kept"));
        }
    }
    Ok(())
}

/// How far each layer is.
#[derive(Default)]
struct Layers(BTreeMap<String, Layer>);

struct Layer {
    done: u64,
    total: u64,
    ready: bool,
}

// === impl Layers ===

impl Layers {
    fn take(&mut self, line: &Value) {
        let Some(layer) = line["layer"].as_str() else { return };
        let number = |key: &str| line[key].as_u64().unwrap_or(0);
        let ready = line["ready"].as_bool().unwrap_or_default();
        self.0.insert(layer.to_owned(), Layer { done: number("done"), total: number("total"), ready });
    }

    /// One line for all of them; nothing before the first is known.
    fn sum(&self) -> Option<String> {
        let ready = self.0.values().filter(|layer| layer.ready).count();
        let done: u64 = self.0.values().map(|layer| if layer.ready { layer.total } else { layer.done }).sum();
        let total: u64 = self.0.values().map(|layer| layer.total).sum();
        (!self.0.is_empty())
            .then(|| format!("{ready} of {} layers, {} of {}", self.0.len(), size(done), size(total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layers_are_summed_into_one_line() {
        let mut layers = Layers::default();
        assert_eq!(layers.sum(), None);
        layers.take(&json!({"progress": "received"}));
        layers.take(&json!({"layer": "a", "done": 1 << 20, "total": 4 << 20, "ready": false}));
        layers.take(&json!({"layer": "b", "done": 0, "total": 2 << 20, "ready": true}));
        layers.take(&json!({"layer": "a", "done": 2 << 20, "total": 4 << 20, "ready": false}));
        assert_eq!(layers.sum().as_deref(), Some("1 of 2 layers, 4.00 MiB of 6.00 MiB"));
    }
}
