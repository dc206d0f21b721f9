//! Which addresses may be called: public ones, and those that the operator allows.
//!
//! Realms are data, and parts of their URLs come from secrets and from responses. So an address is
//! checked after it was resolved, by whoever connects: what a name meant before does not count. With
//! a proxy, the proxy resolves names; then names of local networks are refused, and addresses in
//! URLs are checked.
//!
//! Two kinds of addresses need more than a network in the setting: metadata services of clouds,
//! which hand out a machine's credentials, and the listeners of this process.

mod addresses;
mod own;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::cause::cause;
use crate::failure::{Failure, FailureKind};
use addresses::{is_metadata, is_public, unmapped};
pub use own::OwnListeners;

/// What may be called beside public addresses. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    any: bool,
    allowed: Arc<Vec<IpNet>>,
    own: OwnListeners,
    /// Whether secrets may go over `http://` to public addresses without the realm saying so.
    plain_http: bool,
}

/// What an address must be besides allowed, to be called for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The port that is connected to, if a listener of this process has the same: not this machine.
    own_port: Option<u16>,
    /// Not public: a secret goes over `http://`.
    only_private: bool,
}

/// Networks that have a name in the setting.
const NAMED: [(&str, &[&str]); 3] = [
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    (
        "private",
        &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    ),
    // RFC 6598: between a carrier and its customers; clouds have services there.
    ("shared", &["100.64.0.0/10"]),
];

impl FromStr for Egress {
    type Err = String;

    /// Reads `loopback, private, shared, 10.1.0.0/16`, or `any`; an empty text allows public
    /// addresses only.
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
                allowed.push(read_network(word)?);
            }
        }
        egress.allowed = Arc::new(allowed);
        Ok(egress)
    }
}

/// One network, or one address.
fn read_network(word: &str) -> Result<IpNet, String> {
    let address = word.parse::<IpAddr>().ok().map(IpNet::from);
    let network = address.or_else(|| word.parse::<IpNet>().ok());
    let network = network.ok_or_else(|| {
        format!(
            "{word} is not a network: expected loopback, private, shared, any, or one like 10.1.0.0/16"
        )
    })?;
    let is_address = network.prefix_len() == network.max_prefix_len();
    Ok(if is_address {
        IpNet::from(unmapped(network.addr()))
    } else {
        network
    })
}

impl Egress {
    /// The same, which also refuses these listeners of this process.
    #[must_use]
    pub fn sparing(self, own: &OwnListeners) -> Self {
        Self {
            own: own.clone(),
            ..self
        }
    }

    /// Whether an address may be called, whatever the port.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.check(address).is_ok()
    }

    fn check(&self, address: IpAddr) -> Result<(), NotAllowed> {
        let address = unmapped(address);
        if is_metadata(address) {
            let very = IpNet::from(address);
            return if self.allowed.contains(&very) {
                Ok(())
            } else {
                Err(NotAllowed::Metadata)
            };
        }
        let is_allowed = self.any
            || is_public(address)
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address));
        if is_allowed {
            Ok(())
        } else {
            Err(NotAllowed::NotPublic)
        }
    }

    /// The same, which lets secrets go over `http://` to public addresses.
    #[must_use]
    pub fn with_plain_http(self, plain_http: bool) -> Self {
        Self { plain_http, ..self }
    }

    /// What the address must be for a request to this URL.
    pub(super) fn route(&self, url: &Url, may_be_plain: bool) -> Route {
        let port = url.port_or_known_default();
        Route {
            own_port: port.filter(|port| self.own.has_port(*port)),
            only_private: url.scheme() == "http" && !may_be_plain && !self.plain_http,
        }
    }

    /// Refuses a URL whose host is an address that may not be called. A name is checked when it is
    /// resolved; if a proxy does that, names of local networks are refused here.
    ///
    /// # Errors
    /// `Config`. The address is not in the text: a part of it may have come from a secret.
    pub(super) fn demand(&self, url: &Url, route: Route, by_proxy: bool) -> Result<(), Failure> {
        let checked = match url.host() {
            Some(Host::Ipv4(address)) => self.check_on(route, address.into()),
            Some(Host::Ipv6(address)) => self.check_on(route, address.into()),
            Some(Host::Domain(name)) if by_proxy && is_local_name(name) => {
                Err(NotAllowed::LocalName)
            }
            Some(Host::Domain(_)) if by_proxy && route.only_private => Err(NotAllowed::PlainHttp),
            Some(Host::Domain(_)) | None => Ok(()),
        };
        checked.map_err(Failure::from)
    }

    fn check_on(&self, route: Route, address: IpAddr) -> Result<(), NotAllowed> {
        self.check(address)?;
        match route.own_port {
            Some(port) if self.own.has(address, port) => Err(NotAllowed::Own),
            _ if route.only_private && is_public(unmapped(address)) => Err(NotAllowed::PlainHttp),
            Some(_) | None => Ok(()),
        }
    }

    /// The system's resolver for such requests.
    pub(super) fn resolver(&self, route: Route) -> Resolver {
        Resolver {
            egress: self.clone(),
            route,
        }
    }
}

/// Names that only mean something in the network of whoever resolves them.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.contains('.') || ["localhost", "internal", "local"].contains(&last)
}

/// Why an address may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAllowed {
    NotPublic,
    Metadata,
    Own,
    LocalName,
    PlainHttp,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPublic => {
                "the provider's address is not public: if it is meant, add it or its network to upstream.allow_networks"
            }
            Self::Metadata => {
                "the provider's address belongs to a cloud's metadata service: it is only called if this very \
                 address, not a network, is in upstream.allow_networks"
            }
            Self::Own => {
                "the provider's address is a listener of token-server itself, which is never called: correct the \
                 realm's URL"
            }
            Self::LocalName => {
                "the provider's host is a name of a local network (localhost, *.localhost, *.internal, *.local or \
                 a name without a dot), which is not called through upstream.proxy_url: use the full name of a \
                 public host, or an address that upstream.allow_networks allows"
            }
            Self::PlainHttp => {
                "the request would send a secret over http:// to a public address, where anybody on the way can read \
                 it: use https://, or set \"insecure_http\": true beside its URL if the provider has no https"
            }
        })
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
    cause::<NotAllowed>(error).map(|refused| (*refused).into())
}

/// The system's resolver; only addresses that may be called come out.
pub(super) struct Resolver {
    egress: Egress,
    route: Route,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (egress, route) = (self.egress.clone(), self.route);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut refused = None;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| {
                    let checked = egress.check_on(route, address.ip());
                    refused = refused.or(checked.err());
                    checked.is_ok()
                })
                .collect();
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                Some(_) | None => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
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
            let is_metadata = address == "169.254.169.254";
            assert_eq!(allows("any", address), !is_metadata, "{address}");
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

    #[test]
    fn metadata_services_are_called_only_where_their_very_address_is_allowed() {
        for (cloud, address) in [
            ("Alibaba Cloud", "100.100.100.200"),
            ("Tencent Cloud", "169.254.0.23"),
            ("Huawei Cloud, AWS, Google, Azure", "169.254.169.254"),
            ("Volcengine", "100.96.0.96"),
            ("AWS, ECS tasks", "169.254.170.2"),
            ("AWS over IPv6", "fd00:ec2::254"),
            ("Google over IPv6", "fd20:ce::254"),
            ("Azure's WireServer", "168.63.129.16"),
            ("Oracle Cloud", "192.0.0.192"),
            ("Alibaba Cloud, mapped", "::ffff:100.100.100.200"),
            ("Azure's WireServer, mapped", "::ffff:168.63.129.16"),
            ("AWS by NAT64", "64:ff9b::a9fe:a9fe"),
            ("AWS by a network's own NAT64", "64:ff9b:1::a9fe:a9fe"),
            ("AWS by 6to4", "2002:a9fe:a9fe::"),
            ("AWS, compatible", "::a9fe:a9fe"),
        ] {
            for setting in [
                "",
                "any",
                "private, shared, loopback",
                "100.64.0.0/10, 169.254.0.0/16, 168.63.129.0/24, 0.0.0.0/0, ::/0",
                "any, 1.1.1.1",
            ] {
                assert!(!allows(setting, address), "{cloud} with {setting:?}");
            }
            assert!(allows(address, address), "{cloud}");
            let long = IpNet::from(address.parse::<IpAddr>().unwrap());
            assert!(allows(&format!("private, {long}"), address), "{cloud}");
        }
        assert!(allows("", "168.63.129.17") && allows("shared", "100.100.100.201"));
    }

    #[test]
    fn the_network_between_carriers_and_customers_is_not_private() {
        assert!(!allows("private", "100.64.0.1"));
        assert!(allows("shared", "100.64.0.1") && !allows("shared", "10.0.0.1"));
    }

    fn refusal(egress: &Egress, url: &str, by_proxy: bool) -> Option<String> {
        let url = url.parse().unwrap();
        let refused = egress.demand(&url, egress.route(&url, true), by_proxy);
        refused.err().map(|failure| failure.detail)
    }

    #[test]
    fn behind_a_proxy_names_of_local_networks_are_refused() {
        let egress = Egress::default();
        for (host, is_refused) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("a.localhost", true),
            ("metadata.google.internal", true),
            ("metadata", true),
            ("printer.local", true),
            ("api.example.com", false),
            ("internal.example.com", false),
            ("1.1.1.1", false),
            ("10.0.0.1", true),
        ] {
            let refused = refusal(&egress, &format!("http://{host}:81/"), true);
            assert_eq!(refused.is_some(), is_refused, "{host}: {refused:?}");
            let word = if host == "10.0.0.1" {
                "not public"
            } else {
                "upstream.proxy_url"
            };
            assert!(refused.is_none_or(|words| words.contains(word)), "{host}");
        }
        assert_eq!(refusal(&egress, "http://localhost/", false), None);
    }

    #[test]
    fn no_refusal_repeats_the_address() {
        let secret = "fd00:5333:6372:3374::1";
        for setting in ["", "any"] {
            let egress: Egress = setting.parse().unwrap();
            let egress = egress.sparing(&OwnListeners::of([([0, 0, 0, 0], 80).into()]));
            for host in [
                format!("[{secret}]"),
                "169.254.83.51".into(),
                "127.0.0.1".into(),
            ] {
                let words = refusal(&egress, &format!("http://{host}/"), false);
                let is_told = |words: &String| words.contains("5333") || words.contains(&host);
                assert!(
                    words.as_ref().is_none_or(|words| !is_told(words)),
                    "{words:?}"
                );
                assert!(setting == "any" || words.is_some());
            }
        }
    }

    #[test]
    fn own_listeners_are_refused_whatever_is_allowed() {
        let own = OwnListeners::of([([127, 0, 0, 1], 8080).into(), ([0, 0, 0, 0], 443).into()]);
        let egress = "any, loopback".parse::<Egress>().unwrap().sparing(&own);
        for (url, is_refused) in [
            ("http://127.0.0.1:8080/api/token", true),
            ("http://127.9.9.9:8080/", true),
            ("http://0.0.0.0:8080/", true),
            ("http://[::1]:8080/", true),
            ("http://[::]:8080/", true),
            ("http://[::ffff:127.0.0.1]:8080/", true),
            ("https://127.0.0.1/", true),
            ("http://127.0.0.1:8081/", false),
            ("http://192.0.2.77:8080/", false),
        ] {
            let refused = refusal(&egress, url, false);
            assert_eq!(refused.is_some(), is_refused, "{url}: {refused:?}");
            assert!(
                refused.is_none_or(|words| words.contains("itself")),
                "{url}"
            );
        }
        let on = |url: &str| egress.check_on(egress.route(&url.parse().unwrap(), true), here());
        assert_eq!(
            on("http://a.example:8080/"),
            Err(NotAllowed::Own),
            "of a name"
        );
        assert_eq!(on("http://a.example:8081/"), Ok(()));
    }

    fn here() -> IpAddr {
        IpAddr::from([127, 0, 0, 1])
    }

    #[test]
    fn secrets_go_over_plain_http_only_where_it_is_not_public() {
        let egress: Egress = "loopback, private".parse().unwrap();
        for (url, is_refused) in [
            ("http://1.1.1.1/", true),
            ("http://[2606:4700::1]/", true),
            ("http://[::ffff:1.1.1.1]/", true),
            ("https://1.1.1.1/", false),
            ("http://127.0.0.1/", false),
            ("http://10.0.0.1/", false),
            ("http://[fd00::1]/", false),
        ] {
            let url: Url = url.parse().unwrap();
            let demand = |egress: &Egress, may_be_plain| {
                let route = egress.route(&url, may_be_plain);
                let refused = egress.demand(&url, route, false).err();
                refused.map(|failure| failure.detail)
            };
            let refused = demand(&egress, false);
            assert_eq!(refused.is_some(), is_refused, "{url}");
            assert!(refused.is_none_or(|words| words.contains("insecure_http")));
            assert_eq!(demand(&egress, true), None, "{url}: no secret, or said so");
            let dev = egress.clone().with_plain_http(true);
            assert_eq!(demand(&dev, false), None, "{url}: dev");
        }
        let name: Url = "http://api.example.com/".parse().unwrap();
        let route = egress.route(&name, false);
        assert!(
            egress.demand(&name, route, true).is_err(),
            "a proxy resolves it"
        );
        assert!(
            egress.demand(&name, route, false).is_ok(),
            "checked when resolved"
        );
        assert_eq!(
            egress.check_on(route, [1, 1, 1, 1].into()),
            Err(NotAllowed::PlainHttp)
        );
        assert_eq!(egress.check_on(route, here()), Ok(()));
    }
}
