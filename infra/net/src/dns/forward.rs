//! Asks the host's resolvers. Each query has a socket of its own, so that its source port is a secret, too.
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one resolver may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Resolvers asked for one query, at most.
const RESOLVERS: usize = 3;

/// The host's resolvers as `/etc/resolv.conf` has them now, without ourselves.
pub(crate) fn upstreams(ourselves: Ipv4Addr) -> Vec<SocketAddr> {
    parse(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), ourselves)
}

/// The first resolver's answer to `query`, as bytes; None if none answered.
pub(crate) async fn ask(resolvers: &[SocketAddr], query: &[u8], udp: bool) -> Option<Vec<u8>> {
    for &resolver in resolvers.iter().take(RESOLVERS) {
        let answer =
            async { if udp { over_udp(resolver, query).await } else { over_tcp(resolver, query).await } };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(e)) => tracing::debug!(%resolver, error = %e, "resolver failed"),
            Err(_) => tracing::debug!(%resolver, "resolver did not answer in time"),
        }
    }
    None
}

async fn over_udp(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = &buffer[..length];
        // The id and the "response" bit: anything else is not the answer to this query.
        if length > 12 && answer[..2] == query[..2] && answer[2] & 0x80 != 0 {
            return Ok(answer.to_vec());
        }
    }
}

async fn over_tcp(resolver: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_message(&mut stream, query).await?;
    read_message(&mut stream).await
}

/// Reads one message with its length before it.
pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message with its length before it.
pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

fn parse(text: &str, ourselves: Ipv4Addr) -> Vec<SocketAddr> {
    let lines = text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default());
    let servers = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let addresses =
        servers.filter_map(|server| server.parse::<IpAddr>().ok()).filter(|a| *a != IpAddr::V4(ourselves));
    addresses.map(|address| SocketAddr::new(address, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_resolvers_are_read_without_ourselves() {
        let text = "# a comment\nsearch lan\nnameserver 127.0.0.53\nnameserver  fd00::1 # two\nnameserver 10.201.0.1\nnameserver x\noptions edns0";
        let found = parse(text, Ipv4Addr::new(10, 201, 0, 1));
        assert_eq!(found, ["127.0.0.53:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap()]);
    }
}
