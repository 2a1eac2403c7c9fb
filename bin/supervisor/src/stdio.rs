//! The container's input and outputs, as pipes or as a terminal.

use crate::{config::Config, log::Stream};
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
    pipe::PipeFlags,
    termios::Winsize,
};
use std::{
    fs::{self, File},
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::Stdio as ForChild,
};

/// One output that is still open.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stream: Stream,
    pub(crate) fd: OwnedFd,
}

/// Our ends.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    pub(crate) outputs: Vec<Output>,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) terminal: Option<OwnedFd>,
    /// Where the runtime sends the terminal.
    pub(crate) console: Option<(UnixListener, PathBuf)>,
}

/// The runtime's ends: input, output, errors.
pub(crate) type ForRuntime = (ForChild, ForChild, ForChild);

// === impl Stdio ===

impl Stdio {
    pub(crate) fn open(config: &Config) -> io::Result<(Stdio, ForRuntime)> {
        if config.tty {
            let path = config.mount_dir.join("console.sock");
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            let own = Stdio { console: Some((listener, path)), ..Stdio::default() };
            return Ok((own, (ForChild::null(), ForChild::null(), ForChild::null())));
        }
        let mut own = Stdio::default();
        let input = if config.stdin {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&write, true)?;
            own.stdin = Some(write);
            ForChild::from(read)
        } else {
            ForChild::null()
        };
        let (out_read, out_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (err_read, err_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&out_write, &err_write] {
            give(end, config)?;
        }
        for (stream, fd) in [(Stream::Stdout, out_read), (Stream::Stderr, err_read)] {
            rustix::io::ioctl_fionbio(&fd, true)?;
            own.outputs.push(Output { stream, fd });
        }
        Ok((own, (input, out_write.into(), err_write.into())))
    }

    /// Takes the terminal that the runtime made.
    pub(crate) fn receive_terminal(&mut self, keep_input: bool) -> io::Result<()> {
        let Some((listener, path)) = self.console.take() else { return Ok(()) };
        let (stream, _) = listener.accept()?;
        let _ = fs::remove_file(path);
        let master = receive_descriptor(&stream)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        if keep_input {
            self.stdin = Some(master.try_clone()?);
        }
        self.terminal = Some(master.try_clone()?);
        self.outputs.push(Output { stream: Stream::Stdout, fd: master });
        Ok(())
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let Some(terminal) = &self.terminal else {
            return Err(io::Error::other("the container has no terminal"));
        };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(terminal, size)?)
    }
}

/// Makes the container's root the owner of a pipe, so that processes inside may open it again as `/dev/stdout` or
/// `/proc/1/fd/1`. From inside its user namespace the runtime could not.
fn give(pipe: &OwnedFd, config: &Config) -> io::Result<()> {
    let Some(ids) = config.ids else { return Ok(()) };
    let (user, group) = (rustix::fs::Uid::from_raw(ids.base), rustix::fs::Gid::from_raw(ids.base));
    Ok(rustix::fs::fchown(pipe, Some(user), Some(group))?)
}

/// The descriptor in the first message of a stream.
fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0_u8; 4096];
    rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut name)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(descriptor) = descriptors.next()
        {
            return Ok(descriptor);
        }
    }
    Err(io::Error::other("the runtime sent no terminal"))
}

/// Descriptor 1 to `/dev/null`: the agent waits for its end.
pub(crate) fn close_report() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
