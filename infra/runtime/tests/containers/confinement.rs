//! What a sandbox sees of the host, asked from inside.
use crate::support::{BASE, DRIVERS, Host, exec};
use podspec::Volume;
use runtime::Driver;
use serde_json::json;
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    time::Duration,
};

/// Tries what must not work, without tools that a minimal system lacks.
const PROBE: &str = r#"
import ctypes, os, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    r = libc.syscall(*args)
    print(name, "ok" if r >= 0 else errno.errorcode[ctypes.get_errno()])
call("unshare", 272, 0x10000000)
call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, None)
call("bpf", 321, 0, 0, 0)
call("keyctl", 250, 0, 0, 0, 0, 0)
call("perf", 298, 0, 0, -1, -1, 0)
call("io_uring", 425, 1, 0)
call("userfaultfd", 323, 0)
call("af_vsock", 41, 40, 1, 0)
call("af_alg", 41, 38, 5, 0)
call("raw_socket", 41, 2, 3, 1)
call("mknod", 133, b"/place/node", 0o20600, (1 << 8) | 1)
call("fifo", 133, b"/place/fifo", 0o10600, 0)
call("reboot", 169, 0, 0, 0, None)
call("unix_socket", 41, 1, 1, 0)
print("nnp", libc.prctl(39, 0, 0, 0, 0))
for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/sysrq-trigger", "/sys/kernel/debug"]:
    try:
        data = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(16)
        print("read", path, "empty" if not data else "DATA")
    except OSError as e:
        print("read", path, "no")
for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/memory/x", "/sys/power/state"]:
    try:
        open(path, "w").write("x"); print("write", path, "DONE")
    except OSError:
        print("write", path, "no")
"#;

#[tokio::test]
async fn ways_out_are_closed() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let (code, output) =
            host.run(host.request(driver, json!({ "command": ["python3", "-c", PROBE] }))).await;
        assert_eq!(code, 0, "{driver:?}: {output}");
        let refused = [
            "unshare",
            "mount",
            "bpf",
            "keyctl",
            "perf",
            "io_uring",
            "userfaultfd",
            "af_vsock",
            "af_alg",
            "raw_socket",
            "mknod",
            "reboot",
        ];
        for name in refused {
            assert!(output.contains(&format!("{name} E")), "{driver:?} {name}: {output}");
        }
        assert!(
            output.contains("unix_socket ok") && output.contains("fifo ok") && output.contains("nnp 1"),
            "{driver:?}: {output}"
        );
        assert!(!output.contains("DATA"), "{driver:?}: {output}");
        // gVisor's files under /proc and /sys are its own: writing them changes nothing of the host.
        assert!(!output.contains("DONE") || driver == Driver::Runsc, "{driver:?}: {output}");
        assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname").trim(), "x");
    }
    host.finish();
}

/// `socketcall` is how 32-bit programs make sockets. Any program can make the call with `int 0x80`, on a kernel that runs
/// 32-bit programs; its arguments lie in memory, where seccomp cannot see that they name AF_ALG.
const OLD_GATE: &str = r#"
import ctypes, mmap, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22 | 0x40, -1, ctypes.c_long(0))
def attempt(name, number, first, words):
    ctypes.memmove(page + 1024, struct.pack("<%dI" % len(words), *words), 4 * len(words))
    code = b"\x53\xb8" + struct.pack("<I", number) + b"\xbb" + struct.pack("<I", first)
    code += b"\xb9" + struct.pack("<I", page + 1024) + b"\xcd\x80\x5b\xc3"
    ctypes.memmove(page, code, len(code))
    child = os.fork()
    if child == 0:
        result = ctypes.CFUNCTYPE(ctypes.c_int)(page)()
        os._exit(7 if result >= 0 else 1)
    status = os.waitpid(child, 0)[1]
    print(name, "ok" if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 7 else "refused", status)
attempt("af_alg", 102, 1, [38, 5, 0])
attempt("getpid", 20, 0, [0])
"#;

#[tokio::test]
async fn the_32_bit_way_into_the_kernel_is_closed() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let (code, output) =
            host.run(host.request(driver, json!({ "command": ["python3", "-c", OLD_GATE] }))).await;
        assert_eq!(code, 0, "{driver:?}: {output}");
        assert!(
            output.contains("af_alg refused") && output.contains("getpid refused"),
            "{driver:?}: {output}"
        );
    }
    host.finish();
}

#[tokio::test]
async fn capabilities_and_seccomp_are_what_the_spec_says() {
    let host = Host::new().await;
    for driver in DRIVERS {
        let (_, output) = host.run(host.script(driver, "cat /proc/self/status")).await;
        let field = |name: &str| {
            let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{name}: {output}")).trim().to_owned()
        };
        // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP.
        let expect = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31].iter().fold(0_u64, |set, bit| set | 1 << bit);
        assert_eq!(u64::from_str_radix(&field("CapBnd"), 16).expect("hex"), expect, "{driver:?}");
        assert_eq!(u64::from_str_radix(&field("CapEff"), 16).expect("hex"), expect, "{driver:?}");
        assert_eq!(field("Seccomp"), "2", "{driver:?}");
    }
    host.finish();
}

#[tokio::test]
async fn neither_host_processes_nor_mounts_are_seen() {
    let host = Host::new().await;
    let mut sleeper = std::process::Command::new("sleep").arg("4242.5").spawn().expect("sleep");
    for driver in DRIVERS {
        let (_, output) = host
            .run(host.script(driver, "cat /proc/*/cmdline | tr '\\0' ' '; ls /; cat /proc/mounts; hostname"))
            .await;
        assert!(!output.contains("4242.5"), "{driver:?}: {output}");
        assert!(!output.contains("/tmp/as-runtime") || driver == Driver::Runc, "{driver:?}: {output}");
        assert!(output.contains("sandbox\n"), "{output}");
        let (code, output) = host.run(host.script(driver, "touch /usr/x 2>&1")).await;
        assert!(code != 0, "{driver:?}: /usr is writable: {output}");
    }
    sleeper.kill().expect("kill");
    sleeper.wait().expect("wait");
    host.finish();
}

#[tokio::test]
async fn root_inside_is_nobody_outside_and_files_keep_plain_ids() {
    let mut host = Host::new().await;
    let volume = host.dir.join("volume");
    fs::create_dir(&volume).expect("volume");
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o700)).expect("mode");
    host.volumes.insert("data".into(), Volume::Dir { path: volume.clone(), read_only: false });
    for driver in DRIVERS {
        let script = "cat /proc/self/uid_map; stat -c %u:%g /etc/owned; cat /data/* 2>/dev/null; \
                      echo hi > /data/new; mkdir -p /data/dir; chown 1000:1001 /data/new; stat -c %u:%g /data/new; \
                      echo x > /top; chown 7 /top; rm /etc/owned; sleep 100";
        let mounts = json!([{ "name": "data", "mountPath": "/data" }]);
        let request =
            host.request(driver, json!({ "command": ["/bin/sh", "-c", script], "volumeMounts": mounts }));
        let (log, upper) = (request.log.path.clone(), request.rootfs.upper.clone());
        let container = host.start(request).await;
        crate::support::until(&log, "1000:1001").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let output = crate::support::text(&log);
        assert!(output.contains("5:6\n"), "{driver:?}: owner of a layer's file: {output}");
        let meta = fs::metadata(volume.join("new")).expect("on disk");
        assert_eq!((meta.uid(), meta.gid()), (1000, 1001), "{driver:?}: unshifted on the volume");
        assert_eq!(fs::metadata(volume.join("dir")).expect("dir").uid(), 0, "{driver:?}");
        assert_eq!(
            fs::metadata(upper.join("top")).expect("upper").uid(),
            7,
            "{driver:?}: unshifted in the kept layer"
        );
        if driver == Driver::Runc {
            assert!(output.contains(&format!("{BASE}")), "uid_map: {output}");
            let owner = fs::metadata(format!("/proc/{}", container.pid())).expect("proc").uid();
            assert_eq!(owner, BASE, "runs as a host user that owns nothing");
        }
        container.stop(9, Duration::ZERO).await.expect("stops");
        fs::remove_file(volume.join("new")).expect("clean");
    }
    host.finish();
}

#[tokio::test]
async fn a_kept_layer_survives_a_change_of_ids_and_of_driver() {
    let host = Host::new().await;
    let first = host.script(Driver::Runc, "echo kept > /root/file; chown 12:13 /root/file; ln -s x /link");
    let rootfs = first.rootfs.clone();
    host.run(first).await;
    for (driver, base) in [(Driver::Runc, BASE + 65_536), (Driver::Runsc, 0), (Driver::Runc, BASE)] {
        let mut request =
            host.script(driver, "cat /root/file; stat -c %u:%g /root/file; echo again >> /root/log");
        request.rootfs = rootfs.clone();
        if let Some(ids) = &mut request.ids {
            ids.base = base;
            let map = json!([{ "containerID": 0, "hostID": base, "size": 65_536 }]);
            request.spec["linux"]["uidMappings"] = map.clone();
            request.spec["linux"]["gidMappings"] = map;
        }
        let (code, output) = host.run(request).await;
        assert_eq!((code, output.as_str()), (0, "kept\n12:13\n"), "{driver:?}");
    }
    host.finish();
}

#[tokio::test]
async fn read_only_roots_and_volumes_are_read_only_and_sub_paths_stay_inside() {
    let mut host = Host::new().await;
    let volume = host.dir.join("volume");
    fs::create_dir_all(volume.join("sub")).expect("volume");
    fs::write(volume.join("sub/file"), "inside").expect("file");
    std::os::unix::fs::symlink("/etc", volume.join("evil")).expect("link");
    host.volumes.insert("data".into(), Volume::Dir { path: volume.clone(), read_only: false });
    for driver in DRIVERS {
        let context = json!({ "readOnlyRootFilesystem": true });
        let mounts = json!([
            { "name": "data", "mountPath": "/ro", "readOnly": true },
            { "name": "data", "mountPath": "/place", "subPath": "sub" },
            { "name": "data", "mountPath": "/tmp", "subPath": "made/here" }
        ]);
        let script = "cat /place/file; touch /x 2>/dev/null && echo ROOT; touch /ro/x 2>/dev/null && echo VOLUME; touch /tmp/y && echo fine";
        let request = host.request(driver, json!({ "command": ["/bin/sh", "-c", script], "securityContext": context, "volumeMounts": mounts }));
        let (_, output) = host.run(request).await;
        assert_eq!(output, "insidefine\n", "{driver:?}");
        assert!(volume.join("made/here/y").exists());
        let mounts = json!([{ "name": "data", "mountPath": "/place", "subPath": "evil" }]);
        let request = host.request(driver, json!({ "command": ["true"], "volumeMounts": mounts }));
        let error = host.runtimes.start(request).await.expect_err("must not follow the link out").to_string();
        assert!(error.contains("cannot mount"), "{error}");
    }
    host.finish();
}

/// The node agent has looked; between its look and the mount a sandbox may have put a link there.
#[tokio::test]
async fn a_host_path_that_became_a_link_is_not_mounted() {
    let mut host = Host::new().await;
    let allowed = host.dir.join("allowed");
    fs::create_dir_all(allowed.join("plain")).expect("directory");
    fs::write(allowed.join("plain/file"), "seen").expect("file");
    std::os::unix::fs::symlink("plain", allowed.join("link")).expect("link");
    let volume = |beneath: &str| Volume::Host { allowed: allowed.clone(), beneath: beneath.to_owned() };
    host.volumes.insert("plain".into(), volume("plain"));
    host.volumes.insert("link".into(), volume("link"));
    for driver in DRIVERS {
        let with = |name: &str| {
            let mounts = json!([{ "name": name, "mountPath": "/place" }]);
            host.request(driver, json!({ "command": ["cat", "/place/file"], "volumeMounts": mounts }))
        };
        assert_eq!(host.run(with("plain")).await.1, "seen", "{driver:?}");
        let error = host.runtimes.start(with("link")).await.expect_err("a link").to_string();
        assert!(error.contains("cannot mount"), "{error}");
    }
    host.finish();
}

#[tokio::test]
async fn low_ports_and_ping_work_without_power_over_the_network() {
    let host = Host::new().await;
    let script = "import socket\ns=socket.socket(); s.bind(('127.0.0.1',80)); print('bound')\np=socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); print('ping')";
    let container = host.start(host.script(Driver::Runc, "sleep 100")).await;
    let (_, out, err) = exec(&container, &format!("python3 -c \"{script}\"")).await;
    assert_eq!(out, "bound\nping\n", "{err}");
    container.stop(9, Duration::ZERO).await.expect("stops");
    host.finish();
}
