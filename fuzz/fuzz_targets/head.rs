//! Any fields as a request's head: who sent it, with which API key, and to whom.
//!
//! The first byte chooses the other end of the connection and which proxies are trusted; the first
//! line is the request's target, each other one a field.
#![no_main]

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use token_server::http::{Peer, fuzzing};
use token_server::networks::Networks;

const PEERS: [Option<&str>; 4] = [None, Some("127.0.0.1"), Some("10.0.0.1"), Some("2001:db8::1")];
const TRUSTED: [&str; 4] = ["", "10.0.0.0/8", "unix,127.0.0.1", "0.0.0.0/0,2001:db8::/32"];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let target = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let Ok(mut request) = Request::builder().uri(&*target).body(()) else {
        return;
    };
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            request.headers_mut().append(name, value);
        }
    }
    let peer = PEERS[usize::from(*first) % PEERS.len()].map(|text| {
        let address: IpAddr = text.parse().expect("an address");
        Peer::at(address)
    });
    let trusted: Networks = TRUSTED[usize::from(*first / 4) % TRUSTED.len()]
        .parse()
        .expect("networks");
    fuzzing::head(&request, &peer.unwrap_or_default(), &trusted);
});
