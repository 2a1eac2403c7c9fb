//! Who the process runs as.

use crate::{Refusal, inputs::Inputs};
use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext};

/// Numeric identity of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional: Vec<u32>,
}

/// Resolves `runAsUser`, `runAsGroup`, `runAsNonRoot`, `supplementalGroups`, `fsGroup` and the image's `User`.
///
/// # Errors
/// A name the image does not know, an id out of range, root where `runAsNonRoot` is asked.
pub(crate) fn resolve(inputs: &Inputs<'_>) -> Result<User, Refusal> {
    let pod = inputs.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own = inputs.container.security_context.as_ref();
    let asked = own.and_then(|c| c.run_as_user).or_else(|| pod.and_then(|p| p.run_as_user));
    let (image_user, image_group) = inputs.image.user.split_once(':').unwrap_or((&inputs.image.user, ""));
    let (uid, account) = match asked {
        Some(id) => {
            let id = number(inputs, "runAsUser", id)?;
            (id, account_by_id(inputs, id))
        }
        None => image_account(inputs, image_user)?,
    };
    let run_as_group = own.and_then(|c| c.run_as_group).or_else(|| pod.and_then(|p| p.run_as_group));
    let gid = match run_as_group {
        Some(id) => number(inputs, "runAsGroup", id)?,
        None if asked.is_none() && !image_group.is_empty() => group_id(inputs, image_group)?,
        None => account.as_ref().map_or(0, |account| account.gid),
    };
    check_non_root(inputs, uid, own, pod, asked.is_none().then_some(image_user))?;
    let mut additional = memberships(inputs, account.as_ref(), gid);
    if let Some(pod) = pod {
        for id in pod.supplemental_groups.iter().flatten().chain(pod.fs_group.iter()) {
            additional.push(number(inputs, "supplementalGroups", *id)?);
        }
    }
    additional.sort_unstable();
    additional.dedup();
    Ok(User { uid, gid, additional })
}

struct Account {
    name: String,
    gid: u32,
}

/// The image's user: a number, a name, or nothing (root).
fn image_account(inputs: &Inputs<'_>, user: &str) -> Result<(u32, Option<Account>), Refusal> {
    if user.is_empty() {
        return Ok((0, account_by_id(inputs, 0)));
    }
    if let Ok(id) = user.parse::<u32>() {
        return Ok((id, account_by_id(inputs, id)));
    }
    let found = inputs.image.passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next()? == user).then_some(())?;
        let uid = parts.nth(1)?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        Some((uid, Some(Account { name: user.to_owned(), gid })))
    });
    found.ok_or_else(|| {
        Refusal::config(
            format!("spec.containers[{}].image", inputs.container.name),
            format!("unable to find user {user}: no matching entries in passwd file"),
        )
    })
}

fn account_by_id(inputs: &Inputs<'_>, id: u32) -> Option<Account> {
    inputs.image.passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse::<u32>().ok()? == id).then_some(())?;
        Some(Account { name: name.to_owned(), gid: parts.next()?.parse().ok()? })
    })
}

fn group_id(inputs: &Inputs<'_>, group: &str) -> Result<u32, Refusal> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let found = inputs.image.group.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next()? == group).then_some(())?;
        parts.nth(1)?.parse().ok()
    });
    found.ok_or_else(|| {
        Refusal::config(
            format!("spec.containers[{}].image", inputs.container.name),
            format!("unable to find group {group}: no matching entries in group file"),
        )
    })
}

/// Groups whose member list names the account (Kubernetes' `Merge` policy), the primary group included.
fn memberships(inputs: &Inputs<'_>, account: Option<&Account>, gid: u32) -> Vec<u32> {
    let policy = inputs.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let strict = policy.and_then(|p| p.supplemental_groups_policy.as_deref()) == Some("Strict");
    let mut groups = vec![gid];
    let Some(account) = account.filter(|_| !strict) else { return groups };
    for line in inputs.image.group.lines() {
        let parts: Vec<&str> = line.split(':').collect();
        let [_, _, id, members] = parts[..] else { continue };
        if members.split(',').any(|member| member == account.name)
            && let Ok(id) = id.parse()
        {
            groups.push(id);
        }
    }
    groups
}

/// kubelet's verifyRunAsNonRoot, with its messages.
fn check_non_root(
    inputs: &Inputs<'_>,
    uid: u32,
    own: Option<&SecurityContext>,
    pod: Option<&PodSecurityContext>,
    image_user: Option<&str>,
) -> Result<(), Refusal> {
    let asked = own.and_then(|c| c.run_as_non_root).or_else(|| pod.and_then(|p| p.run_as_non_root));
    if asked != Some(true) {
        return Ok(());
    }
    let name = inputs.pod.metadata.name.as_deref().unwrap_or_default();
    let container = &inputs.container.name;
    let field = format!("spec.containers[{container}].securityContext.runAsNonRoot");
    let named = image_user.filter(|user| !user.is_empty() && user.parse::<u32>().is_err());
    if let Some(user) = named {
        return Err(Refusal::config(
            field,
            format!(
                "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root \
                 (pod: \"{name}\", container: {container})"
            ),
        ));
    }
    match (uid, image_user) {
        (0, None) => Err(Refusal::config(
            field,
            format!("container's runAsUser breaks non-root policy (pod: \"{name}\", container: {container})"),
        )),
        (0, Some(_)) => Err(Refusal::config(
            field,
            format!(
                "container has runAsNonRoot and image will run as root (pod: \"{name}\", container: {container})"
            ),
        )),
        _ => Ok(()),
    }
}

/// An id that fits the pod's range.
fn number(inputs: &Inputs<'_>, field: &str, id: i64) -> Result<u32, Refusal> {
    let limit = inputs.ids.map_or(u32::MAX, |range| range.size);
    u32::try_from(id).ok().filter(|id| *id < limit).ok_or_else(|| {
        Refusal::forbidden(
            format!("spec.containers[{}].securityContext.{field}", inputs.container.name),
            format!("id {id} is outside the sandbox's user namespace"),
            format!("use an id below {limit}"),
        )
    })
}
