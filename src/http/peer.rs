//! Where a request comes from: the other end of its connection, and whom a proxy names.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};

use crate::api_key::KeyHash;
use crate::networks::{Networks, unmapped};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    /// Its address; none of a Unix socket, or of a function's event.
    pub address: Option<IpAddr>,
    /// The SHA-256 of the client certificate that it showed, if the listener trusts it.
    pub certificate: Option<KeyHash>,
}

impl Peer {
    /// At this address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self {
            address: Some(unmapped(address)),
            certificate: None,
        }
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The party that a request comes from, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This address; none for a Unix socket.
    Known(Option<IpAddr>),
    /// Somebody whom a peer names that is not a trusted proxy, or that a trusted one names in a way
    /// that cannot be read.
    Unknown,
}

/// Who sent a request: the peer, or whom trusted proxies name.
pub(super) fn origin(peer: &Peer, headers: &HeaderMap, trusted: &Networks) -> Origin {
    let is_forwarded =
        headers.contains_key(header::FORWARDED) || headers.contains_key(X_FORWARDED_FOR);
    if !is_forwarded {
        return Origin::Known(peer.address);
    }
    if !trusted.contain(peer.address) {
        return Origin::Unknown;
    }
    // A proxy adds at the end: the last one that is not trusted is the client.
    for hop in hops(headers).iter().rev() {
        match hop {
            None => return Origin::Unknown,
            Some(address) if trusted.contain(Some(*address)) => {}
            Some(address) => return Origin::Known(Some(*address)),
        }
    }
    Origin::Known(peer.address)
}

/// The addresses that proxies added, in order; `None`: one that is not an address. Where both
/// fields are there, nobody knows which of them the proxy wrote.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let of = |name: HeaderName| {
        let lines = headers.get_all(name).into_iter();
        let lines = lines.map(|line| line.to_str().unwrap_or("?"));
        lines.collect::<Vec<_>>().join(",")
    };
    let (listed, elements) = (of(X_FORWARDED_FOR), of(header::FORWARDED));
    match (listed.is_empty(), elements.is_empty()) {
        (false, false) => vec![None],
        (false, true) => listed.split(',').map(address).collect(),
        (true, _) => split_outside_quotes(&elements, ',')
            .into_iter()
            .map(|element| {
                let pairs = split_outside_quotes(element, ';');
                let mut pairs = pairs.into_iter().filter_map(|pair| pair.split_once('='));
                let named = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
                named.and_then(|(_, value)| address(value))
            })
            .collect(),
    }
}

/// The parts between separators that do not stand in a quoted string (RFC 7239 §4).
fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|sign: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match sign {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        sign == separator && !is_quoted
    });
    parts.collect()
}

/// An address as proxies write it: with a port, in brackets, in quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = match text.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    bare.parse().ok().map(unmapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(HeaderName, &str)], trusted: &str) -> Origin {
        let peer = Peer {
            address: peer.parse().ok(),
            certificate: None,
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        origin(&peer, &map, &trusted.parse().unwrap())
    }

    fn known(address: &str) -> Origin {
        Origin::Known(Some(address.parse().unwrap()))
    }

    #[test]
    fn the_peer_counts_unless_a_trusted_proxy_names_another() {
        let (xff, forwarded) = (X_FORWARDED_FOR, header::FORWARDED);
        assert_eq!(seen("10.0.0.1", &[], "10.0.0.1"), known("10.0.0.1"));
        let named = [(xff.clone(), "192.0.2.9, 10.0.0.2")];
        assert_eq!(seen("10.0.0.1", &named, ""), Origin::Unknown);
        assert_eq!(seen("10.0.0.1", &named, "10.0.0.0/8"), known("192.0.2.9"));
        assert_eq!(seen("10.0.0.1", &named, "10.0.0.1"), known("10.0.0.2"));
        // What the client wrote itself stands before what the proxy saw.
        let forged = [(xff.clone(), "127.0.0.1"), (xff.clone(), "192.0.2.9")];
        assert_eq!(seen("10.0.0.1", &forged, "10.0.0.0/8"), known("192.0.2.9"));
        let named = [(
            forwarded.clone(),
            "for=\"[2001:db8::1]:99\";proto=https, For=10.0.0.2:8080",
        )];
        assert_eq!(seen("10.0.0.1", &named, "10.0.0.0/8"), known("2001:db8::1"));
        assert_eq!(seen("none", &named, "unix"), known("10.0.0.2"));
        assert_eq!(seen("none", &[], ""), Origin::Known(None));
        for odd in ["unknown", "", "_hidden", "10.0.0.2, x"] {
            let named = [(xff.clone(), odd)];
            let origin = seen("10.0.0.1", &named, "10.0.0.1");
            assert!(
                origin == Origin::Unknown || odd.is_empty(),
                "{odd}: {origin:?}"
            );
        }
        let both = [
            (xff.clone(), "10.9.0.1"),
            (forwarded.clone(), "for=192.0.2.9"),
        ];
        assert_eq!(seen("10.0.0.1", &both, "10.0.0.1"), Origin::Unknown);
        let quoted = [(forwarded.clone(), "for=192.0.2.9;x=\",for=10.9.0.1\"")];
        assert_eq!(seen("10.0.0.1", &quoted, "10.0.0.1"), known("192.0.2.9"));
        let hidden = [(forwarded, "proto=https")];
        assert_eq!(seen("10.0.0.1", &hidden, "10.0.0.1"), Origin::Unknown);
    }
}
