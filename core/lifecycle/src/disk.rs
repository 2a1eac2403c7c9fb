//! Decides what a node does when the disk that holds everything runs full, so that no sandbox can stop the store.
//!
//! As in the kubelet: first the node says so, then images that nothing uses go, then the Pod that takes most of what it
//! did not ask for, one at a time. Rules and words are the kubelet's; its threshold of a tenth is capped, because on a large
//! disk a tenth is no shortage.

/// The part of a disk below which free space is short.
const SHORT_PART: u64 = 10;

/// Free bytes that are never called short, however large the disk.
const SHORT_MOST: u64 = 5 << 30;

/// Of a hundred inodes, how many must be free.
const SHORT_INODES: u64 = 5;

/// To evict a Pod that uses less than this frees nothing worth its end.
const WORTH: u64 = 16 << 20;

/// A file system as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that a process may still use.
    pub free: u64,
    /// Inodes in all; 0 where there is no limit.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// What one Pod has on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The Pod.
    pub uid: String,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that it asked for.
    pub requested: u64,
    /// `spec.priority`.
    pub priority: i32,
}

/// All that the plan may look at.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The disk.
    pub disk: Disk,
    /// Free bytes below which space is short, instead of the usual share.
    pub threshold: Option<u64>,
    /// Whether space was short when last looked.
    pub pressed: bool,
    /// Whether images were collected since it became short.
    pub collected: bool,
    /// The Pods that run; known once images were collected.
    pub pods: &'a [Usage],
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say whether space is short.
    Report(bool),
    /// Remove images that nothing uses.
    CollectImages,
    /// Fail this Pod, so that what it has goes.
    Evict {
        /// The Pod.
        uid: String,
        /// Why, in the kubelet's words.
        message: String,
    },
}

/// What to do now.
pub fn plan(snapshot: &Snapshot<'_>) -> Vec<Step> {
    let pressed = is_pressed(snapshot);
    let mut steps = Vec::new();
    if pressed != snapshot.pressed {
        steps.push(Step::Report(pressed));
    }
    if !pressed {
        return steps;
    }
    if !snapshot.collected {
        steps.push(Step::CollectImages);
        return steps;
    }
    steps.extend(largest(snapshot.pods).map(|pod| Step::Evict {
        uid: pod.uid.clone(),
        message: format!(
            "The node was low on resource: ephemeral-storage. Threshold quantity: {}, available: {}. The pod was using {}, \
             request is {}. ",
            quantity(short(snapshot)),
            quantity(snapshot.disk.free),
            quantity(pod.used),
            quantity(pod.requested),
        ),
    }));
    steps
}

/// What a Pod that comes while space is short is told.
pub const REJECTED: &str = "The node had condition: [DiskPressure]. ";

/// Short space stays short until there is half as much again, so that the answer does not flutter.
fn is_pressed(snapshot: &Snapshot<'_>) -> bool {
    let Disk { free, inodes, inodes_free, .. } = snapshot.disk;
    let inodes_short = inodes / 100 * SHORT_INODES;
    let more = |bound: u64| if snapshot.pressed { bound + bound / 2 } else { bound };
    free < more(short(snapshot)) || inodes_free < more(inodes_short)
}

fn short(snapshot: &Snapshot<'_>) -> u64 {
    snapshot.threshold.unwrap_or_else(|| (snapshot.disk.total / SHORT_PART).min(SHORT_MOST))
}

/// The first to go: who uses more than was asked for, then who matters least, then who is furthest over.
fn largest(pods: &[Usage]) -> Option<&Usage> {
    let over = |pod: &Usage| pod.used.saturating_sub(pod.requested);
    let worth = pods.iter().filter(|pod| pod.used >= WORTH);
    worth.max_by_key(|pod| (over(pod) > 0, std::cmp::Reverse(pod.priority), over(pod), pod.used))
}

fn quantity(bytes: u64) -> String {
    if bytes == 0 { "0".to_owned() } else { format!("{}Ki", bytes / 1024) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn disk(total: u64, free: u64) -> Disk {
        Disk { total: total * GIB, free: free * GIB, inodes: 1000, inodes_free: 500 }
    }

    fn check(disk: Disk, pressed: bool, collected: bool, pods: &[Usage]) -> Vec<Step> {
        plan(&Snapshot { disk, threshold: None, pressed, collected, pods })
    }

    fn pod(uid: &str, used: u64, requested: u64, priority: i32) -> Usage {
        Usage { uid: uid.to_owned(), used: used << 20, requested: requested << 20, priority }
    }

    fn evicted(pods: &[Usage]) -> Option<String> {
        check(disk(100, 1), true, true, pods).into_iter().find_map(|step| match step {
            Step::Evict { uid, .. } => Some(uid),
            _ => None,
        })
    }

    #[test]
    fn space_is_short_below_a_tenth_or_five_gibibytes() {
        assert_eq!(check(disk(20, 2), false, false, &[]), []);
        assert_eq!(check(disk(20, 1), false, false, &[]), [Step::Report(true), Step::CollectImages]);
        assert_eq!(check(disk(1000, 6), false, false, &[]), []);
        assert_eq!(check(disk(1000, 4), false, false, &[]), [Step::Report(true), Step::CollectImages]);
        let few = Disk { inodes_free: 40, ..disk(20, 10) };
        assert_eq!(check(few, false, false, &[]), [Step::Report(true), Step::CollectImages]);
        let unlimited = Disk { inodes: 0, inodes_free: 0, ..disk(20, 10) };
        assert_eq!(check(unlimited, false, false, &[]), []);
    }

    #[test]
    fn it_stays_short_until_there_is_half_as_much_again() {
        assert_eq!(check(disk(20, 2), true, false, &[]), [Step::CollectImages]);
        assert_eq!(check(disk(20, 3), true, true, &[]), [Step::Report(false)]);
    }

    /// Kubernetes: over its request first, then the lower priority, then the most over it.
    #[test]
    fn the_pod_that_takes_most_of_what_it_did_not_ask_for_goes_first() {
        let (small, large) = (pod("small", 100, 0, 0), pod("large", 900, 0, 0));
        let (entitled, vital) = (pod("entitled", 2000, 3000, 0), pod("vital", 3000, 0, 1000));
        let all = [small.clone(), vital.clone(), large, entitled.clone()];
        assert_eq!(evicted(&all).as_deref(), Some("large"));
        assert_eq!(evicted(&[small, vital.clone()]).as_deref(), Some("small"));
        assert_eq!(evicted(&[entitled.clone(), vital]).as_deref(), Some("vital"));
        assert_eq!(evicted(&[entitled]).as_deref(), Some("entitled"));
        assert_eq!(evicted(&[pod("tiny", 1, 0, 0)]), None, "its end would free nothing");
    }

    #[test]
    fn a_pod_is_told_why() {
        let steps = check(disk(100, 1), true, true, &[pod("a", 64, 0, 0)]);
        let message = "The node was low on resource: ephemeral-storage. Threshold quantity: 5242880Ki, available: 1048576Ki. \
                       The pod was using 65536Ki, request is 0. ";
        assert_eq!(steps, [Step::Evict { uid: "a".to_owned(), message: message.to_owned() }]);
    }
}
