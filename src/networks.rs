//! Networks that an operator names: of proxies that are trusted, of callers without an API key.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A list of networks, `10.1.0.0/16, ::1, loopback, unix`. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    listed: Vec<IpNet>,
    has_sockets: bool,
}

/// Words that stand for networks.
const NAMED: [(&str, &[&str]); 2] = [
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    (
        "private",
        &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    ),
];

impl Networks {
    /// Whether an address is in one of them; no address is that of a Unix socket.
    #[must_use]
    pub fn contain(&self, address: Option<IpAddr>) -> bool {
        let Some(address) = address else {
            return self.has_sockets;
        };
        let address = unmapped(address);
        self.listed.iter().any(|network| network.contains(&address))
    }

    /// Whether nothing is in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && !self.has_sockets
    }
}

/// The IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d`.
#[must_use]
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::to_ipv4_mapped(&six).map_or(address, IpAddr::V4),
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut networks = Self::default();
        let words = text.split(',').map(str::trim);
        for word in words.filter(|word| !word.is_empty()) {
            if word == "unix" {
                networks.has_sockets = true;
                continue;
            }
            if let Some((_, listed)) = NAMED.iter().find(|(name, _)| *name == word) {
                let listed = listed
                    .iter()
                    .filter_map(|network| network.parse::<IpNet>().ok());
                networks.listed.extend(listed);
                continue;
            }
            let network = word.parse::<IpNet>().ok();
            let network = network.or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            networks.listed.push(network.ok_or_else(|| {
                format!(
                    "{word:?} is not a network: expected an address, a network like 10.1.0.0/16, \
                     loopback, private or unix"
                )
            })?);
        }
        Ok(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_in_either_spelling() {
        let networks: Networks = "10.1.0.0/16, ::1, loopback".parse().unwrap();
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.3.2.1", true),
            ("::1", true),
            ("::2", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(networks.contain(Some(address)), expected, "{address}");
        }
        assert!(!networks.contain(None));
        assert!("unix".parse::<Networks>().unwrap().contain(None));
    }

    #[test]
    fn what_is_not_a_network_is_named() {
        assert!("".parse::<Networks>().unwrap().is_empty());
        for wrong in ["10.0.0.0/33", "host", "10.0.0", "any"] {
            let error = wrong.parse::<Networks>().unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
