//! What the system knows of this process, by the names that Go's client library gives it.

use std::{fmt::Error, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Reads `/proc/self` whenever it is asked.
#[derive(Debug)]
pub(super) struct Process;

/// From `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    /// Clock ticks, in user and in kernel mode.
    cpu: u64,
    threads: u64,
    /// Clock ticks since the machine started.
    started: u64,
    /// Bytes.
    memory: u64,
    /// Pages.
    resident: u64,
}

// === impl Process ===

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
        if let Some(stat) = stat {
            let cpu = ConstCounter::new(seconds(stat.cpu));
            let help = "Total user and system CPU time spent in seconds";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?;
            cpu.encode(metric)?;
            let pages = page_size() as u64;
            gauge(
                &mut encoder,
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                stat.resident * pages,
            )?;
            gauge(&mut encoder, "process_virtual_memory_bytes", "Virtual memory size in bytes", stat.memory)?;
            gauge(&mut encoder, "process_threads", "Number of threads of the process", stat.threads)?;
            if let Some(boot) = boot_time() {
                let help = "Start time of the process since unix epoch in seconds";
                gauge(&mut encoder, "process_start_time_seconds", help, boot as f64 + seconds(stat.started))?;
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            gauge(&mut encoder, "process_open_fds", "Number of open file descriptors", open.count() as u64)?;
        }
        let most = getrlimit(Resource::Nofile).current;
        gauge(
            &mut encoder,
            "process_max_fds",
            "Maximum number of open file descriptors",
            most.unwrap_or(u64::MAX),
        )
    }
}

fn gauge<N>(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: N) -> Result<(), Error>
where
    ConstGauge<N>: EncodeMetric,
{
    let value = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, value.metric_type())?;
    value.encode(metric)
}

#[expect(clippy::cast_precision_loss, reason = "a process does not live for 2^53 ticks")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// Seconds since 1970 at which the machine started.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

// === impl Stat ===

impl Stat {
    /// Fact: proc(5); the second field, the program's name in brackets, may hold spaces and brackets.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu: field(14)? + field(15)?,
            threads: field(20)?,
            started: field(22)?,
            memory: field(23)?,
            resident: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_whatever_the_programs_name() {
        let line =
            "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 120 30 0 0 20 0 5 0 999 8192 2 18446744073709551615 1";
        let want = Stat { cpu: 150, threads: 5, started: 999, memory: 8192, resident: 2 };
        assert_eq!(Stat::parse(line), Some(want));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }
}
