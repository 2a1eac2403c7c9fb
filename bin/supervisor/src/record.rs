//! Records that outlive everything.

use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// How the container ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exit {
    pub(crate) exit_code: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
    pub(crate) started_at: String,
    pub(crate) finished_at: String,
    pub(crate) oom_killed: bool,
}

/// A running container, for those who come later.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State<'a> {
    pub(crate) state: &'a str,
    pub(crate) id: &'a str,
    pub(crate) supervisor: u32,
    pub(crate) pid: i32,
    pub(crate) started_at: &'a str,
}

/// Writes `name` in the current directory so that a crash leaves the old file or the new one, and the new one is on
/// disk when this returns.
pub(crate) fn durable(name: &str, value: &impl Serialize) -> io::Result<()> {
    write(name, value, true)?;
    File::open(".")?.sync_all()
}

/// Writes `name` atomically, without waiting for the disk.
pub(crate) fn quick(name: &str, value: &impl Serialize) -> io::Result<()> {
    write(name, value, false)
}

fn write(name: &str, value: &impl Serialize, sync: bool) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let mut file = File::create(Path::new(&temporary))?;
    file.write_all(&serde_json::to_vec(value)?)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(temporary, name)
}
