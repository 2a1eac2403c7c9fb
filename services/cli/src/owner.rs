//! The person behind the command: under sudo the files of the command line belong to the invoking user, not to root.

use std::path::PathBuf;

/// A person's ids and home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// Home directory.
    pub home: PathBuf,
}

// === impl Owner ===

impl Owner {
    /// Who typed the command, and `None` where they are who they seem to be.
    pub fn behind_sudo() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let (user, group) = (variable("SUDO_UID")?, variable("SUDO_GID")?);
        // sudo says the home itself since 1.9.16, also of people who are in no local file.
        let told = std::env::var_os("SUDO_HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = told.or_else(|| home_of(&std::fs::read_to_string("/etc/passwd").ok()?, user))?;
        Some(Self { user, group, home }).filter(|owner| owner.user != 0)
    }

    /// Where kubectl looks for this person's contexts.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join(".kube/config")
    }
}

/// Where the kubeconfig context is written unless a flag says otherwise: the first file of $KUBECONFIG, else the
/// person's `~/.kube/config`.
pub fn kubeconfig(owner: Option<&Owner>) -> Option<PathBuf> {
    if let Some(listed) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        return std::env::split_paths(&listed).next();
    }
    owner.map(Owner::kubeconfig).or_else(own)
}

/// `~/.kube/config` of whoever runs this process.
pub(crate) fn own() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"))
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
