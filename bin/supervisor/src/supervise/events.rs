//! Waiting, and serving whatever is ready.

use super::{OWN_GRACE, Phase, Stop, Supervisor};
use crate::{
    control::{Client, EXIT, Event, Mode, Request, STDERR, STDOUT},
    log::Stream,
    sys,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io,
    time::{Duration, Instant},
};

/// Attached clients at once. Only they cost: each is sent all output. Requests are always taken, so that a container can
/// be stopped however many watch it.
const MAX_ATTACHED: usize = 32;

impl Supervisor {
    /// Sleeps until something is ready or overdue, then serves it.
    pub(super) fn wait_and_serve(&mut self) -> io::Result<()> {
        // Output waits in the kernel's pipe until the container exists and every client has kept up.
        let behind = self.clients.iter().any(Client::is_behind);
        // What an ended container left in the pipe is read in any case.
        let held_up = matches!(self.phase, Phase::Running) && self.early.holds_up_until().is_some();
        let read_output = !behind && !held_up && !matches!(self.phase, Phase::Starting { .. });
        let read_clients = self.input.is_empty();
        let ready = {
            let mut fds =
                vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
            for client in &self.clients {
                let attached = matches!(client.mode, Mode::Attached { .. });
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, read_clients || !attached);
                flags.set(PollFlags::OUT, client.is_behind());
                fds.push(PollFd::new(&client.stream, flags));
            }
            if read_output {
                fds.extend(self.stdio.outputs.iter().map(|output| PollFd::new(&output.fd, PollFlags::IN)));
            }
            if let Some(stdin) = self.stdio.stdin.as_ref().filter(|_| !self.input.is_empty()) {
                fds.push(PollFd::new(stdin, PollFlags::OUT));
            }
            let timeout = self.timeout();
            poll(&mut fds, timeout.as_ref())?;
            fds.iter().map(PollFd::revents).collect::<Vec<_>>()
        };
        self.serve(&ready, read_output);
        Ok(())
    }

    fn serve(&mut self, ready: &[PollFlags], read_output: bool) {
        let is = |index: usize| ready.get(index).is_some_and(|flags| !flags.is_empty());
        let known = self.clients.len();
        if is(0) {
            while let Some(signal) = sys::take_signal(&self.signals) {
                if signal != libc::SIGCHLD {
                    self.begin_stop(libc::SIGTERM, OWN_GRACE);
                }
            }
        }
        for index in 0..known {
            if is(2 + index) {
                self.serve_client(index, ready[2 + index]);
            }
        }
        if read_output {
            let open = self.stdio.outputs.len();
            for index in (0..open).rev() {
                if is(2 + known + index) {
                    self.read_output(index);
                }
            }
        }
        self.write_input();
        self.serve_buffered(known);
        if is(1) {
            self.accept();
        }
        self.drop_clients();
    }

    /// Messages that came together with input and waited for it to be taken: nothing else would wake us for them.
    fn serve_buffered(&mut self, known: usize) {
        while self.input.is_empty()
            && let Some(index) = (0..known).find(|index| self.clients[*index].has_message())
        {
            self.serve_client(index, PollFlags::IN);
            self.write_input();
        }
    }

    /// Time until the next thing is overdue.
    fn timeout(&self) -> Option<Timespec> {
        let phase = match &self.phase {
            Phase::Starting { deadline, .. } => Some(*deadline),
            Phase::Running => None,
            Phase::Draining { heard, .. } => Some(*heard + super::DRAIN_SILENCE),
        };
        let stop = self.stop.as_ref().and_then(|stop| stop.deadline);
        let clients = self.clients.iter().filter_map(Client::deadline);
        let early = self.early.holds_up_until();
        let next = clients.chain(phase).chain(stop).chain(early).min()?;
        Timespec::try_from(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1)).ok()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.clients.extend(Client::new(stream).ok());
        }
    }

    fn serve_client(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        while let Some(event) = self.clients[index].receive() {
            match event {
                Event::Request(request) => {
                    let answer = self.request(index, &request);
                    self.clients[index].answer(&answer);
                    if matches!(self.clients[index].mode, Mode::Attached { .. }) {
                        self.early.give(&mut self.clients[index]);
                    }
                }
                Event::Stdin(data) => {
                    if self.clients[index].mode == (Mode::Attached { stdin: true })
                        && self.stdio.stdin.is_some()
                    {
                        self.input.extend_from_slice(&data);
                    }
                }
                Event::CloseStdin => self.end_input(index),
                Event::Resize(columns, rows) => {
                    let _ = self.stdio.resize(columns, rows);
                }
            }
            if !self.input.is_empty() {
                break;
            }
        }
    }

    fn request(&mut self, index: usize, request: &Request) -> serde_json::Value {
        let ok = serde_json::json!({ "ok": true });
        match request.op.as_str() {
            "status" => serde_json::json!({
                "ok": true,
                "state": match self.phase {
                    Phase::Starting { .. } => "starting",
                    Phase::Running => "running",
                    Phase::Draining { .. } => "ending",
                },
                "pid": self.pid,
                "startedAt": self.started_at,
            }),
            "wait" => {
                self.clients[index].waits = true;
                ok
            }
            "attach" if self.attached() >= MAX_ATTACHED => {
                let error = format!("{MAX_ATTACHED} clients are attached already");
                serde_json::json!({ "ok": false, "error": error })
            }
            "attach" => {
                self.clients[index].mode = Mode::Attached { stdin: request.stdin && self.config.stdin };
                ok
            }
            "signal" if (1..=64).contains(&request.signal) => {
                self.signal(request.signal);
                ok
            }
            "stop" if (1..=64).contains(&request.signal) => {
                self.begin_stop(request.signal, Duration::from_millis(request.grace_ms));
                ok
            }
            "resize" => match self.stdio.resize(request.columns, request.rows) {
                Ok(()) => ok,
                Err(error) => serde_json::json!({ "ok": false, "error": error.to_string() }),
            },
            other => serde_json::json!({ "ok": false, "error": format!("bad request {other:?}") }),
        }
    }

    fn attached(&self) -> usize {
        self.clients.iter().filter(|client| matches!(client.mode, Mode::Attached { .. })).count()
    }

    /// A second stop may only shorten the first one's grace.
    fn begin_stop(&mut self, signal: i32, grace: Duration) {
        match &mut self.stop {
            None => {
                self.stop = Some(Stop { signal: Some(signal), grace, deadline: None });
                self.send_stop();
            }
            Some(stop) => {
                stop.grace = stop.grace.min(grace);
                let sooner = Instant::now() + grace;
                stop.deadline = stop.deadline.map(|deadline| deadline.min(sooner));
            }
        }
    }

    fn read_output(&mut self, index: usize) {
        let output = &self.stdio.outputs[index];
        let stream = output.stream;
        match rustix::io::read(&output.fd, &mut self.chunk) {
            // The terminal answers EIO when the last process that had it is gone.
            Ok(0) | Err(rustix::io::Errno::IO) => {
                self.stdio.outputs.remove(index);
            }
            Ok(count) => {
                let data = &self.chunk[..count];
                self.log.write(stream, data);
                self.early.keep(stream, data);
                let kind = if stream == Stream::Stdout { STDOUT } else { STDERR };
                for client in &mut self.clients {
                    if matches!(client.mode, Mode::Attached { .. }) && !client.gone {
                        client.frame(kind, data);
                    }
                }
                if let Phase::Draining { heard, .. } = &mut self.phase {
                    *heard = Instant::now();
                }
            }
            Err(_) => {}
        }
    }

    fn write_input(&mut self) {
        let Some(stdin) = &self.stdio.stdin else {
            self.input.clear();
            return;
        };
        while !self.input.is_empty() {
            match rustix::io::write(stdin, &self.input) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Err(_) => {
                    self.input = Vec::new();
                    self.close_input = true;
                }
            }
        }
        if self.input.capacity() > 4096 {
            self.input = Vec::new();
        }
        if self.close_input && self.stdio.terminal.is_none() {
            self.stdio.stdin = None;
        }
    }

    /// A client says that no more input comes: closes a pipe; a terminal stays.
    fn end_input(&mut self, index: usize) {
        if self.clients[index].mode == (Mode::Attached { stdin: true }) {
            self.close_input |= self.config.stdin_once;
        }
    }

    fn drop_clients(&mut self) {
        let once = self.config.stdin_once;
        let close = &mut self.close_input;
        self.clients.retain(|client| {
            *close |= client.gone && once && client.mode == (Mode::Attached { stdin: true });
            !client.gone
        });
        self.write_input();
    }

    /// Tells everybody how it ended, then hangs up.
    pub(super) fn tell_end(&mut self, exit: &serde_json::Value) {
        let payload = exit.to_string();
        for client in &mut self.clients {
            match client.mode {
                Mode::Attached { .. } => client.frame(EXIT, payload.as_bytes()),
                Mode::Requests if client.waits => client.answer(exit),
                Mode::Requests => {}
            }
        }
        let deadline = Instant::now() + crate::control::PATIENCE;
        while self.clients.iter().any(|client| client.is_behind() && !client.gone)
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(2));
            self.clients.iter_mut().for_each(Client::flush);
        }
    }
}
