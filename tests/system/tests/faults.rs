//! Disks that are full, read-only or damaged, and a port that is taken: a clear stop that says what to do, never a silent loss.

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    net::TcpListener,
    path::PathBuf,
    time::Instant,
};
use system::{Disk, Machine, eventually};

#[test]
fn a_full_disk_stops_the_agent_and_nothing_acknowledged_is_lost() {
    let disk = Disk::of("full", 96);
    let machine = Machine::prepare_on(&disk, &[]);
    machine.start().ok();
    machine.cli(&["create", "box", "--runtime", "runc"]).ok();
    let pid = machine.pid();
    disk.fill();
    let text = format!("--from-literal=text={}", "x".repeat(40_000));
    let mut acknowledged = Vec::new();
    let started = Instant::now();
    loop {
        let name = format!("note-{}", acknowledged.len());
        let answer = machine.kubectl(&["create", "configmap", &name, &text]);
        if answer.code != 0 {
            break;
        }
        acknowledged.push(name);
        assert!(started.elapsed().as_secs() < 60, "a full disk takes no writes");
    }
    eventually("the agent has stopped", || !PathBuf::from(format!("/proc/{pid}/exe")).exists());
    assert_eq!(
        machine.command().args(["status", "--data-dir"]).arg(machine.data()).status().expect("run").code(),
        Some(3)
    );

    let said = machine.start().refused();
    assert!(said.contains("No space left on device") && said.contains("free"), "cause and remedy: {said}");

    disk.free();
    machine.start().ok();
    for name in &acknowledged {
        let kept = machine.get("configmap", name)["data"]["text"].as_str().map(str::len);
        assert_eq!(kept, Some(40_000), "{name} was acknowledged");
    }
    eventually("the sandbox still runs", || machine.cli(&["exec", "box", "--", "true"]).code == 0);
    machine.kubectl(&["create", "configmap", "after", &text]).ok();
    machine.purge();
}

#[test]
fn a_read_only_data_directory_is_refused() {
    let disk = Disk::of("read-only", 96);
    let machine = Machine::prepare_on(&disk, &[]);
    machine.start().ok();
    machine.kubectl(&["create", "configmap", "kept"]).ok();
    machine.command().args(["down", "--data-dir"]).arg(machine.data()).output().expect("down");
    disk.remount("ro");
    let said = machine.start().refused();
    assert!(said.contains("Read-only file system") && said.contains("writable"), "cause and remedy: {said}");
    disk.remount("rw");
    machine.start().ok();
    machine.get("configmap", "kept");
    machine.purge();
}

/// A stopped installation that holds some objects, and the newest file of its log.
fn stopped() -> (Machine, PathBuf) {
    let machine = Machine::up();
    for i in 0..5 {
        machine.kubectl(&["create", "configmap", &format!("kept-{i}")]).ok();
    }
    machine.kill();
    let files =
        fs::read_dir(machine.data().join("store")).expect("store").flatten().map(|entry| entry.path());
    let logs =
        files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")));
    let log = logs.max().expect("a log file");
    (machine, log)
}

/// Starting is refused for `expected`, the file is as it was left, and with the original back nothing is missing.
#[track_caller]
fn refused_and_untouched(machine: Machine, log: &PathBuf, original: &[u8], expected: &[&str]) {
    let damaged = fs::read(log).expect("read");
    let said = machine.start().refused();
    for word in expected {
        assert!(said.contains(word), "{word:?} in: {said}");
    }
    assert!(said.contains(&*log.to_string_lossy()), "the file is named: {said}");
    assert!(fs::read(log).expect("read") == damaged, "nothing was changed");
    fs::write(log, original).expect("restore");
    machine.start().ok();
    for i in 0..5 {
        machine.get("configmap", &format!("kept-{i}"));
    }
    machine.purge();
}

#[test]
fn a_truncated_store_is_refused() {
    let (machine, log) = stopped();
    let original = fs::read(&log).expect("read");
    let file = OpenOptions::new().write(true).open(&log).expect("open");
    file.set_len(written(&original) - 100).expect("truncate");
    refused_and_untouched(machine, &log, &original, &["is damaged", "restore", "backup"]);
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let (machine, log) = stopped();
    let original = fs::read(&log).expect("read");
    // The header: the format's version at byte 8, a checksum of the first 40 bytes after them.
    let mut header = original[..40].to_vec();
    header[8..12].copy_from_slice(&99_u32.to_le_bytes());
    let sum = crc32c(&header);
    overwrite(&log, 0, &[header, sum.to_le_bytes().to_vec()].concat());
    refused_and_untouched(machine, &log, &original, &["store format 99", "run the newer version"]);
}

#[test]
fn a_damaged_store_is_refused() {
    let (machine, log) = stopped();
    let original = fs::read(&log).expect("read");
    let middle = written(&original) / 2;
    let byte = original[usize::try_from(middle).expect("fits")];
    overwrite(&log, middle, &[byte ^ 0xff]);
    refused_and_untouched(machine, &log, &original, &["is damaged", "restore", "backup"]);
}

/// How much of a log is written: after it come zeros, which were made in advance.
fn written(log: &[u8]) -> u64 {
    let last = log.iter().rposition(|byte| *byte != 0).expect("something");
    u64::try_from(last + 1).expect("fits")
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

fn overwrite(path: &PathBuf, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("open");
    file.seek(SeekFrom::Start(at)).expect("seek");
    file.write_all(bytes).expect("write");
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_chooses_another() {
    let machine = Machine::prepare(&[]);
    let taken = TcpListener::bind(("127.0.0.1", machine.port())).expect("bind");
    let said = machine.start().refused();
    let address = format!("127.0.0.1:{}", machine.port());
    assert!(said.contains(&address) && said.contains("in use") && said.contains("--listen"), "{said}");
    drop(taken);
    machine.start().ok();
    machine.purge();
}
