//! A host, or all below it, that values out of answers may name.

use url::Url;

/// A host that values out of answers may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Lower case; without the `*.` of a pattern.
    name: String,
    /// Whether it stands for all names below it.
    is_pattern: bool,
    /// `None`: HTTPS on its own port.
    port: Option<u16>,
}

impl Host {
    /// Reads it as it is written.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let lower = text.to_ascii_lowercase();
        let (host, port) = match lower.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (
                host,
                Some(port.parse().map_err(|_| "the port is not a number")?),
            ),
            Some(_) | None => (lower.as_str(), None),
        };
        let (name, is_pattern) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host, false),
        };
        let parsed = url::Host::parse(name).map_err(|_| WORDS)?;
        if name.contains('*')
            || is_pattern && name.split('.').filter(|part| !part.is_empty()).count() < 2
        {
            return Err(WORDS);
        }
        if is_pattern && !matches!(parsed, url::Host::Domain(_)) {
            return Err(WORDS);
        }
        Ok(Self {
            name: parsed.to_string(),
            is_pattern,
            port,
        })
    }

    /// Whether a request may go to this URL.
    pub(super) fn allows(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_host = if self.is_pattern {
            host.strip_suffix(self.name.as_str())
                .is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        } else {
            host == self.name
        };
        let is_port = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.scheme() == "https" && url.port().is_none(),
        };
        is_host && is_port
    }

    /// As it is written.
    pub(super) fn written(&self) -> String {
        let star = if self.is_pattern { "*." } else { "" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{star}{}{port}", self.name)
    }
}

/// What is expected.
pub(super) const WORDS: &str = "expected a host: an exact name, or *. and a name of at least two labels, e.g. *.my.example.com";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_allows_itself_and_a_pattern_what_is_below() {
        for (host, url, expected) in [
            ("a.example", "https://a.example/x", true),
            ("A.example", "https://a.EXAMPLE/x", true),
            ("a.example", "https://a.example:444/x", false),
            ("a.example", "http://a.example/x", false),
            ("a.example", "https://b.a.example/x", false),
            ("a.example:81", "http://a.example:81/x", true),
            ("*.my.example", "https://b.my.example/", true),
            ("*.my.example", "https://c.b.my.example/", true),
            ("*.my.example", "https://my.example/", false),
            ("*.my.example", "https://evilmy.example/", false),
            ("*.my.example", "https://b.my.example.evil.example/", false),
            ("127.0.0.1:80", "http://127.0.0.1/", true),
        ] {
            let host = Host::read(host).unwrap();
            assert_eq!(host.allows(&Url::parse(url).unwrap()), expected, "{url}");
        }
        for wrong in [
            "*.example",
            "*",
            "a.*.example",
            "https://a.example",
            "a/b",
            "",
            "*.127.0.0.1",
            "a:b",
        ] {
            assert!(Host::read(wrong).is_err(), "{wrong}");
        }
    }
}
