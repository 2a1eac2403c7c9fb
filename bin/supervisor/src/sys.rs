//! System calls without a safe wrapper. Nothing here decides anything.
//!
//! The process has one thread; that is what makes `fork` and namespace changes sound.

use crate::config::Ids;
use std::{
    ffi::CStr,
    fs, io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr,
};

/// On-disk id that stands for the host's root on idmapped layers: the overlay's own work files are made by root,
/// which the container's range does not contain.
const WORKER_ID: u32 = 65_536;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Blocks every signal, so that they are taken by [`wait_signal`] or [`signal_fd`].
pub(crate) fn block_all_signals() {
    set_mask(libc::SIG_BLOCK, true);
}

/// Unblocks every signal: a new program must not inherit our mask.
pub(crate) fn unblock_all_signals() {
    set_mask(libc::SIG_SETMASK, false);
}

fn set_mask(how: libc::c_int, full: bool) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset and sigemptyset initialise the set that sigprocmask then reads.
    unsafe {
        if full {
            libc::sigfillset(set.as_mut_ptr())
        } else {
            libc::sigemptyset(set.as_mut_ptr())
        };
        libc::sigprocmask(how, set.as_ptr(), ptr::null_mut());
    }
}

/// Waits for any blocked signal and takes it.
pub(crate) fn wait_signal() -> i32 {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set; sigwaitinfo accepts a null info pointer.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        libc::sigwaitinfo(set.as_ptr(), ptr::null_mut())
    }
}

/// A descriptor that becomes readable when one of `signals` (blocked) arrives.
pub(crate) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised before use; the returned descriptor is new and owned by nobody else.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        let fd = check(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Takes one signal from the descriptor, if there is one.
pub(crate) fn take_signal(fd: &OwnedFd) -> Option<i32> {
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(fd, &mut info).ok()?;
    let number = info.first_chunk::<4>()?;
    (read == info.len()).then(|| i32::from_ne_bytes(*number))
}

/// Orphans below this process become its children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: prctl with plain integers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Sends any signal, real-time ones included; one that cannot be sent is no error here.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes plain integers.
    unsafe { libc::kill(pid, signal) };
}

/// In a child before exec: own process group, in the foreground of the terminal if there is one; signals unblocked.
pub(crate) fn own_foreground(terminal: bool) -> io::Result<()> {
    // SAFETY: plain system calls on this process and descriptor 0, all async-signal-safe. TTOU is blocked here, so
    // tcsetpgrp from the background does not stop the process.
    unsafe {
        libc::setpgid(0, 0);
        if terminal {
            libc::tcsetpgrp(0, libc::getpid());
        }
    }
    unblock_all_signals();
    Ok(())
}

/// Leaves the shared mount namespace.
pub(crate) fn own_mounts() -> io::Result<()> {
    // SAFETY: one thread; the new namespace is a copy, so every path stays valid.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }).map(drop)
}

/// Enters a network namespace.
pub(crate) fn enter_network(namespace: &impl std::os::fd::AsRawFd) -> io::Result<()> {
    // SAFETY: setns on a descriptor that the caller keeps open.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// A child that makes a user namespace while its parent does something else.
pub(crate) struct UserNamespace {
    child: i32,
    ready: OwnedFd,
    /// The child ends when this is closed.
    done: OwnedFd,
}

/// Begins to make a user namespace; [`UserNamespace::finish`] has it.
pub(crate) fn user_namespace() -> io::Result<UserNamespace> {
    let (ready_read, ready_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (done_read, done_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: one thread, so the child may run anything; it ends by _exit and never returns.
    let child = check(unsafe { libc::fork() })?;
    if child == 0 {
        drop((ready_read, done_write));
        // SAFETY: unshare and _exit take plain integers.
        let made = unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0;
        let _ = rustix::io::write(&ready_write, &[u8::from(made)]);
        let _ = rustix::io::read(&done_read, &mut [0_u8; 1]);
        // SAFETY: ends this process only.
        unsafe { libc::_exit(0) };
    }
    drop((ready_write, done_read));
    Ok(UserNamespace { child, ready: ready_read, done: done_write })
}

// === impl UserNamespace ===

impl UserNamespace {
    /// The namespace as a descriptor for idmapped mounts: its map shifts on-disk ids into `ids`.
    pub(crate) fn finish(self, ids: Ids) -> io::Result<OwnedFd> {
        let mut made = [0_u8; 1];
        let result = match rustix::io::read(&self.ready, &mut made) {
            Ok(1) if made[0] == 1 => map_ids(self.child, ids),
            _ => Err(io::Error::other("the kernel does not allow a user namespace")),
        };
        drop(self.done);
        // SAFETY: waits for the child made above; a null status pointer is allowed.
        unsafe { libc::waitpid(self.child, ptr::null_mut(), 0) };
        result
    }
}

fn map_ids(child: i32, ids: Ids) -> io::Result<OwnedFd> {
    let map = format!("0 {} {}\n{WORKER_ID} 0 1\n", ids.base, ids.size.min(WORKER_ID));
    fs::write(format!("/proc/{child}/uid_map"), &map)?;
    fs::write(format!("/proc/{child}/gid_map"), &map)?;
    Ok(fs::File::open(format!("/proc/{child}/ns/user"))?.into())
}

/// Changes a mount that is not attached yet.
pub(crate) fn set_mount(tree: BorrowedFd<'_>, idmap: Option<&OwnedFd>, read_only: bool) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NODEV;
    if read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if idmap.is_some() {
        set |= libc::MOUNT_ATTR_IDMAP;
    }
    let fd = idmap.map_or(0, |namespace| namespace.as_raw_fd());
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(fd).unwrap_or(0),
    };
    let empty: &CStr = c"";
    // SAFETY: the path is an empty C string, the structure is complete and its size is passed; descriptors are open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
