//! Which addresses may be called: public ones, and those that the operator allows.
//!
//! Realms are data, and parts of their URLs come from secrets and from responses. So the address is
//! judged after it was resolved, by whoever connects: what a name meant before does not count. With
//! a proxy, names are the proxy's business.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::cause::cause;
use crate::failure::{Failure, FailureKind};

/// What may be called beside public addresses. Clones share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    any: bool,
    allowed: Arc<Vec<IpNet>>,
}

/// Networks that have a name in the setting.
const NAMED: [(&str, &[&str]); 2] = [
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    (
        "private",
        &[
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
        ],
    ),
];

impl FromStr for Egress {
    type Err = String;

    /// Reads `loopback, private, 10.1.0.0/16`, or `any`; nothing allows public addresses alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut egress = Self::default();
        let mut allowed = Vec::new();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            if word == "any" {
                egress.any = true;
            } else if let Some((_, networks)) = NAMED.iter().find(|(name, _)| *name == word) {
                allowed.extend(
                    networks
                        .iter()
                        .filter_map(|network| network.parse::<IpNet>().ok()),
                );
            } else {
                let network = word
                    .parse::<IpNet>()
                    .ok()
                    .or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
                allowed.push(network.ok_or_else(|| {
                    format!("{word} is no network: expected loopback, private, any, or one like 10.1.0.0/16")
                })?);
            }
        }
        egress.allowed = Arc::new(allowed);
        Ok(egress)
    }
}

impl Egress {
    /// Whether an address may be called.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = unmapped(address);
        self.any
            || is_public(address)
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address))
    }

    /// Refuses a URL whose host is an address that may not be called; names are judged when they
    /// are resolved.
    ///
    /// # Errors
    /// `Config`, naming the address.
    pub(super) fn demand(&self, url: &Url) -> Result<(), Failure> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.allows(address) {
            Ok(())
        } else {
            Err(NotAllowed(address).into())
        }
    }
}

/// An address that may not be called.
#[derive(Debug)]
pub(super) struct NotAllowed(IpAddr);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0;
        write!(
            f,
            "the provider's address {address} is not public: if it is meant, add {address} or its network to \
             upstream.allow_networks"
        )
    }
}

impl std::error::Error for NotAllowed {}

impl From<NotAllowed> for Failure {
    fn from(refused: NotAllowed) -> Self {
        Self {
            is_unsent: true,
            ..Self::new(FailureKind::Config, refused.to_string())
        }
    }
}

/// The refusal in an error's chain of causes.
pub(super) fn refusal_in(error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    cause::<NotAllowed>(error).map(|NotAllowed(address)| NotAllowed(*address).into())
}

/// The system's resolver; only addresses that may be called come out.
impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (allowed, refused): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|address| egress.allows(address.ip()));
            match (allowed.is_empty(), refused.first()) {
                (true, Some(address)) => Err(NotAllowed(address.ip()).into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// An IPv4 address in IPv6 clothes is what it is.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(wide) => wide.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Source: IANA IPv4 Special-Purpose Address Registry (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

/// Global unicast is `2000::/3`; of it are not public: documentation, 6to4, Teredo and other
/// special purposes.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_special =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    (a & 0xe000) == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(setting: &str, address: &str) -> bool {
        setting
            .parse::<Egress>()
            .unwrap()
            .allows(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_pass_unless_others_are_allowed() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::1",
            "2001:db8::1",
            "2002:7f00:1::",
        ] {
            assert!(!allows("", address), "{address}");
            assert!(allows("any", address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(allows("", address), "{address}");
        }
        assert!(
            allows("loopback", "127.9.9.9")
                && allows("loopback", "::1")
                && !allows("loopback", "10.0.0.1")
        );
        assert!(
            allows("private", "10.0.0.1")
                && allows("private", "fd00::1")
                && !allows("private", "169.254.169.254")
        );
        assert!(
            allows("10.1.0.0/16, 192.168.1.7", "10.1.2.3")
                && allows("10.1.0.0/16,192.168.1.7", "192.168.1.7")
        );
        assert!(!allows("10.1.0.0/16", "10.2.0.1") && allows("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(
            "10.1.0.0/99".parse::<Egress>().is_err() && "everything".parse::<Egress>().is_err()
        );
    }
}
