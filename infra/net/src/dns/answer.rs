//! From the bytes of a query to the bytes of an answer, where the zone knows it. Pure.
use super::zone::{Meaning, Zone};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::Ipv4Addr;

/// Seconds a record of ours may be remembered: sandboxes move when they resume.
const TTL: u32 = 5;
/// The largest answer over UDP to a client that does not say what it takes.
const PLAIN_UDP: u16 = 512;

/// What to do with a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send these bytes.
    Answer(Vec<u8>),
    /// Ask the host's resolvers; if they do not answer, send these bytes.
    Forward(Vec<u8>),
    /// Not a query: say nothing.
    Ignore,
}

/// Decides about one query. `udp`: the answer must fit a datagram.
pub(crate) fn decide(zone: &Zone, query: &[u8], asker: Ipv4Addr, udp: bool) -> Step {
    let Ok(query) = Message::from_vec(query) else { return Step::Ignore };
    if query.metadata.message_type != MessageType::Query {
        return Step::Ignore;
    }
    let [question] = &query.queries[..] else { return refuse(&query, ResponseCode::FormErr) };
    if query.metadata.op_code != OpCode::Query || question.query_class() != DNSClass::IN {
        return refuse(&query, ResponseCode::NotImp);
    }
    if matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR) {
        return refuse(&query, ResponseCode::Refused);
    }
    let name = question.name().to_ascii();
    match zone.resolve(name.trim_end_matches('.'), asker) {
        Meaning::Addresses(addresses) => emit(&query, &positive(zone, &query, question, &addresses), udp),
        Meaning::Missing => emit(&query, &negative(zone, &query, ResponseCode::NXDomain), udp),
        Meaning::Refused => refuse(&query, ResponseCode::Refused),
        Meaning::Outside => match refuse(&query, ResponseCode::ServFail) {
            Step::Answer(failure) => Step::Forward(failure),
            other => other,
        },
    }
}

fn positive(zone: &Zone, query: &Message, question: &Query, addresses: &[Ipv4Addr]) -> Message {
    if !matches!(question.query_type(), RecordType::A | RecordType::ANY) {
        return negative(zone, query, ResponseCode::NoError);
    }
    let mut answer = response(query, ResponseCode::NoError);
    // The query's id turns the order, so that clients that take the first spread over all.
    let turn = usize::from(query.metadata.id) % addresses.len().max(1);
    let turned = addresses[turn..].iter().chain(&addresses[..turn]);
    answer.add_answers(turned.map(|a| Record::from_rdata(question.name().clone(), TTL, RData::A(A(*a)))));
    answer
}

fn negative(zone: &Zone, query: &Message, code: ResponseCode) -> Message {
    let mut answer = response(query, code);
    let name = |text: String| Name::from_ascii(text).unwrap_or_else(|_| Name::root());
    let domain = zone.domain();
    let soa = SOA::new(
        name(format!("ns.dns.{domain}.")),
        name(format!("hostmaster.{domain}.")),
        1,
        7200,
        1800,
        86400,
        5,
    );
    answer.add_authority(Record::from_rdata(name(format!("{domain}.")), TTL, RData::SOA(soa)));
    answer
}

fn refuse(query: &Message, code: ResponseCode) -> Step {
    let mut answer = response(query, code);
    answer.metadata.authoritative = false;
    answer.to_vec().map_or(Step::Ignore, Step::Answer)
}

fn response(query: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.response_code = code;
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = hickory_proto::op::Edns::new();
        edns.set_max_payload(1232);
        answer.set_edns(edns);
    }
    answer
}

fn emit(query: &Message, answer: &Message, udp: bool) -> Step {
    let Ok(bytes) = answer.to_vec() else { return Step::Ignore };
    let room = query.edns.as_ref().map_or(PLAIN_UDP, |edns| edns.max_payload().clamp(PLAIN_UDP, 1232));
    if udp && bytes.len() > usize::from(room) {
        return answer.truncate().to_vec().map_or(Step::Ignore, Step::Answer);
    }
    Step::Answer(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 2);

    fn zone(addresses: u8) -> Zone {
        let zone = Zone::new("cluster.local", "10.201.0.0/18".parse().unwrap());
        zone.set("default", "web", (1..=addresses).map(|i| Ipv4Addr::new(10, 201, 1, i)).collect());
        zone.set_client(POD, "default", false);
        zone
    }

    fn query(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    fn answer(zone: &Zone, name: &str, kind: RecordType, udp: bool) -> Message {
        match decide(zone, &query(name, kind), POD, udp) {
            Step::Answer(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_addresses_of_a_headless_service_are_answered() {
        let found = answer(&zone(3), "web.default.svc.cluster.local.", RecordType::A, true);
        assert_eq!((found.metadata.id, found.answers.len()), (7, 3));
        assert!(found.metadata.authoritative);
    }

    #[test]
    fn a_name_without_ipv6_exists_but_has_no_data() {
        let found = answer(&zone(1), "web.default.svc.cluster.local.", RecordType::AAAA, true);
        assert_eq!(found.metadata.response_code, ResponseCode::NoError);
        assert!(found.answers.is_empty() && !found.authorities.is_empty());
    }

    #[test]
    fn a_missing_name_is_said_to_be_missing_at_once() {
        let found = answer(&zone(1), "nope.default.svc.cluster.local.", RecordType::A, true);
        assert_eq!(found.metadata.response_code, ResponseCode::NXDomain);
    }

    #[test]
    fn an_answer_too_large_for_a_datagram_says_so_and_comes_whole_over_tcp() {
        let zone = zone(200);
        let udp = answer(&zone, "web.default.svc.cluster.local.", RecordType::A, true);
        assert!(udp.metadata.truncation && udp.answers.is_empty());
        let tcp = answer(&zone, "web.default.svc.cluster.local.", RecordType::A, false);
        assert_eq!(tcp.answers.len(), 200);
    }

    #[test]
    fn zone_transfers_are_refused_and_noise_is_ignored() {
        let axfr = answer(&zone(1), "cluster.local.", RecordType::AXFR, false);
        assert_eq!(axfr.metadata.response_code, ResponseCode::Refused);
        assert_eq!(decide(&zone(1), b"not dns", POD, true), Step::Ignore);
        let mut reply = Message::response(7, OpCode::Query);
        reply.add_query(Query::query(Name::from_ascii("web.").unwrap(), RecordType::A));
        assert_eq!(decide(&zone(1), &reply.to_vec().unwrap(), POD, true), Step::Ignore);
    }

    #[test]
    fn other_names_are_forwarded_with_a_failure_at_hand() {
        let Step::Forward(failure) = decide(&zone(1), &query("example.org.", RecordType::MX), POD, true)
        else {
            panic!("not forwarded")
        };
        let failure = Message::from_vec(&failure).unwrap();
        assert_eq!(failure.metadata.response_code, ResponseCode::ServFail);
    }
}
