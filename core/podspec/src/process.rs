//! The `process` section: command, environment, identity, limits.

use crate::{
    INIT_PATH, Refusal, capabilities,
    env::{self, expand},
    inputs::{Inputs, Role},
    resources, user,
};
use serde_json::{Value, json};

/// Search path of a container whose image sets none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files a process starts with, unless the host's hard limit is lower.
const OPEN_FILES: u64 = 65_536;

/// Highest hard limit of open files.
const MAX_OPEN_FILES: u64 = 1_048_576;

pub(crate) fn build(
    inputs: &Inputs<'_>,
    variables: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Result<Value, Refusal> {
    let user = user::resolve(inputs)?;
    let tty = inputs.container.tty.unwrap_or(false);
    let capabilities = capabilities::resolve(inputs.container, inputs.policy)?;
    // Without root the kernel keeps only what is ambient; Kubernetes gives non-root users none.
    let effective = if user.uid == 0 { capabilities.clone() } else { Vec::new() };
    if user.uid != 0 && adds_capabilities(inputs) {
        warnings.push(format!(
            "container {}: added capabilities have no effect for a user other than root",
            inputs.container.name
        ));
    }
    Ok(json!({
        "terminal": tty,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.additional },
        "args": arguments(inputs, variables)?,
        "env": environment(inputs, variables, tty),
        "cwd": directory(inputs, variables)?,
        "capabilities": {
            "bounding": capabilities,
            "effective": effective,
            "permitted": effective,
        },
        "rlimits": [{
            "type": "RLIMIT_NOFILE",
            "hard": inputs.host.max_open_files.min(MAX_OPEN_FILES),
            "soft": inputs.host.max_open_files.min(OPEN_FILES),
        }],
        "noNewPrivileges": true,
        "oomScoreAdj": resources::oom_score(inputs),
    }))
}

/// Kubernetes: `command` replaces entrypoint and cmd; `args` alone replaces cmd.
fn arguments(inputs: &Inputs<'_>, variables: &[(String, String)]) -> Result<Vec<String>, Refusal> {
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|text| expand(text, variables)).collect()
    };
    let command = expanded(&inputs.container.command);
    let args = expanded(&inputs.container.args);
    let image = inputs.image;
    let words: Vec<String> = match (command.is_empty(), args.is_empty()) {
        (false, _) => command.into_iter().chain(args).collect(),
        (true, false) => image.entrypoint.iter().cloned().chain(args).collect(),
        (true, true) => image.entrypoint.iter().chain(&image.cmd).cloned().collect(),
    };
    if words.is_empty() {
        return Err(Refusal::config(
            format!("spec.containers[{}].command", inputs.container.name),
            "no command specified",
        ));
    }
    Ok(match inputs.init {
        Some(_) => {
            [INIT_PATH.to_owned(), "init".to_owned(), "--".to_owned()].into_iter().chain(words).collect()
        }
        None => words,
    })
}

/// The image's variables, with the container's over them.
fn environment(inputs: &Inputs<'_>, variables: &[(String, String)], tty: bool) -> Vec<String> {
    let mut all: Vec<(String, String)> = Vec::new();
    for entry in &inputs.image.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        env::set(&mut all, name, value.to_owned());
    }
    if env::lookup(&all, "PATH").is_none() {
        all.insert(0, ("PATH".to_owned(), PATH.to_owned()));
    }
    env::set(&mut all, "HOSTNAME", inputs.hostname.to_owned());
    if tty && env::lookup(&all, "TERM").is_none() {
        env::set(&mut all, "TERM", "xterm".to_owned());
    }
    for (name, value) in variables {
        env::set(&mut all, name, value.clone());
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn directory(inputs: &Inputs<'_>, variables: &[(String, String)]) -> Result<String, Refusal> {
    let asked = inputs.container.working_dir.as_deref().map(|dir| expand(dir, variables)).unwrap_or_default();
    let dir = if asked.is_empty() { inputs.image.working_dir.clone() } else { asked };
    match dir.as_str() {
        "" => Ok("/".to_owned()),
        dir if dir.starts_with('/') => Ok(dir.to_owned()),
        dir => Err(Refusal::config(
            format!("spec.containers[{}].workingDir", inputs.container.name),
            format!("workingDir {dir:?} must be an absolute path"),
        )),
    }
}

fn adds_capabilities(inputs: &Inputs<'_>) -> bool {
    let context = inputs.container.security_context.as_ref();
    let added = context.and_then(|c| c.capabilities.as_ref()).and_then(|c| c.add.as_ref());
    added.is_some_and(|list| !list.is_empty()) && inputs.role != &Role::Pause
}
