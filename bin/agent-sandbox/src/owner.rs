//! The person behind the command: under sudo the files of the command line belong to the invoking user, not to root.

use std::path::PathBuf;

/// A person's ids and home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) home: PathBuf,
}

// === impl Owner ===

impl Owner {
    /// Who typed the command, and `None` where they are who they seem to be.
    pub(crate) fn behind_sudo() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let (user, group) = (variable("SUDO_UID")?, variable("SUDO_GID")?);
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        Some(Self { user, group, home: home_of(&passwd, user)? }).filter(|owner| owner.user != 0)
    }
}

/// Where the kubeconfig context is written unless a flag says otherwise: the first file of $KUBECONFIG, else the
/// person's `~/.kube/config`.
pub(crate) fn kubeconfig(owner: Option<&Owner>) -> Option<PathBuf> {
    if let Some(listed) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        return std::env::split_paths(&listed).next();
    }
    let home =
        owner.map(|owner| owner.home.clone()).or_else(|| std::env::var_os("HOME").map(PathBuf::from))?;
    Some(home.join(".kube/config"))
}

fn home_of(passwd: &str, user: u32) -> Option<PathBuf> {
    let line = passwd.lines().find(|line| line.split(':').nth(2).is_some_and(|id| id == user.to_string()))?;
    line.split(':').nth(5).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_found_by_id() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(home_of(passwd, 1000), Some(PathBuf::from("/home/ann")));
        assert_eq!(home_of(passwd, 100), None);
    }
}
