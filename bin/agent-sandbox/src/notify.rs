//! Tells a service manager that this process serves (sd_notify's protocol: a datagram to the socket it names).

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Says so where somebody asked to be told.
pub(crate) fn ready() {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
        && let Err(error) = tell(&socket, b"READY=1\n")
    {
        eprintln!("tell the service manager through {}: {error}", socket.display());
    }
}

/// A name that begins with @ is one of the abstract namespace.
fn tell(socket: &OsStr, text: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_through_a_path_or_an_abstract_name() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("notify");
        let name = format!("agent-sandbox-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("name");
        for (address, said) in [
            (SocketAddr::from_pathname(&path).expect("path"), path.clone().into_os_string()),
            (abstract_name, format!("@{name}").into()),
        ] {
            let manager = UnixDatagram::bind_addr(&address).expect("bind");
            tell(&said, b"READY=1\n").expect("told");
            let mut heard = [0; 64];
            let read = manager.recv(&mut heard).expect("heard");
            assert_eq!(&heard[..read], b"READY=1\n");
        }
    }
}
