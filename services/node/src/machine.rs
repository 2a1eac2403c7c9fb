//! Facts of this machine: what a Node object says.

use std::fs;

/// What the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpus: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) os: String,
    pub(crate) machine_id: String,
    pub(crate) boot_id: String,
    pub(crate) addresses: Vec<String>,
}

/// Reads the machine's facts. What cannot be read is empty or the smallest value.
pub(crate) fn read() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    Machine {
        cpus,
        memory_bytes: memory_bytes(&text("/proc/meminfo")),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        os: os_name(&text("/etc/os-release")),
        machine_id: text("/etc/machine-id").trim().to_owned(),
        boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        addresses: addresses(),
    }
}

/// The address that this machine would use towards the outside. Nothing is sent to find it.
fn addresses() -> Vec<String> {
    let probe = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip().to_string())
    };
    vec![probe().unwrap_or_else(|| "127.0.0.1".to_owned())]
}

fn memory_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_name_are_read_as_the_kernel_and_the_distribution_write_them() {
        assert_eq!(memory_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n"), 16384 * 1024);
        assert_eq!(memory_bytes("nonsense"), 0);
        assert_eq!(os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
    }

    #[test]
    fn this_machine_has_a_processor_memory_and_an_address() {
        let machine = read();
        assert!(machine.cpus > 0 && machine.memory_bytes > 1 << 20 && !machine.addresses.is_empty());
    }
}
