//! The part of a URL's template that says where a request goes: scheme, host and port.

use std::collections::BTreeSet;

use super::{Part, Parts, Template};

/// What a template writes of scheme, host and port.
#[derive(Debug, Default)]
pub(in crate::realm) struct Authority<'a> {
    /// The names that go into it; none: it is written out.
    pub(in crate::realm) names: BTreeSet<&'a str>,
    /// As the definition writes it.
    pub(in crate::realm) written: String,
    /// Whether an expression stands right after a host that is written out, which it would change.
    pub(in crate::realm) continues_host: bool,
}

/// In place of what an expression makes.
const MADE: char = '\u{1}';

impl Template {
    /// What it writes of scheme, host and port, seen as a URL.
    pub(in crate::realm) fn authority(&self) -> Authority<'_> {
        let literal = |text: &str| Authority {
            written: text[..end_of_authority(text).unwrap_or(text.len())].to_owned(),
            ..Authority::default()
        };
        let parts = match &self.parts {
            Parts::Literal(value) => return literal(value.as_str().unwrap_or_default()),
            Parts::Dollar(name) => {
                return Authority {
                    names: BTreeSet::from([name.as_str()]),
                    written: format!("${name}"),
                    continues_host: false,
                };
            }
            Parts::Mixed(parts) => parts,
        };
        let (mut authority, mut seen) = (Authority::default(), String::new());
        for part in parts {
            match part {
                Part::Text(text) => {
                    let before = seen.len();
                    seen.push_str(text);
                    if let Some(end) = end_of_authority(&seen) {
                        authority.written.push_str(&seen[before..end.max(before)]);
                        return authority;
                    }
                    authority.written.push_str(text);
                }
                Part::Expression(expression) => {
                    let host = seen.split_once("://").map_or("", |(_, host)| host);
                    authority.continues_host |=
                        host.ends_with(|c: char| c.is_alphanumeric() || c == ']');
                    authority
                        .names
                        .extend(expression.names.iter().map(String::as_str));
                    authority.written.extend(["{{ ", &expression.source, " }}"]);
                    seen.push(MADE);
                }
            }
        }
        authority
    }
}

/// Where scheme, host and port end in what is written of a URL; `None`: not yet.
///
/// What begins with an expression is taken to begin with scheme and host.
fn end_of_authority(seen: &str) -> Option<usize> {
    let begin = match (seen.find("://"), seen.starts_with(MADE)) {
        (Some(at), _) => at + "://".len(),
        (None, true) => MADE.len_utf8(),
        (None, false) => return None,
    };
    // A slash of `{{ scheme }}://` is not the end.
    let rest = &seen[begin..];
    if seen.starts_with(MADE) && !seen.contains("://") && ":/".starts_with(rest) {
        return None;
    }
    rest.find(['/', '?', '#', '\\']).map(|at| begin + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port_end_where_the_path_begins() {
        for (url, names, written, continues_host) in [
            (
                "https://a.example/x/{{ p }}",
                "",
                "https://a.example",
                false,
            ),
            ("https://a.example", "", "https://a.example", false),
            ("https://a.example?{{ p }}", "", "https://a.example", false),
            (
                "https://a.example{{ p }}",
                "p",
                "https://a.example{{ p }}",
                true,
            ),
            (
                "https://a.example:81{{ p }}/x",
                "p",
                "https://a.example:81{{ p }}",
                true,
            ),
            ("https://[::1]{{ p }}/x", "p", "https://[::1]{{ p }}", true),
            (
                "https://a.{{ p }}.example/{{ q }}",
                "p",
                "https://a.{{ p }}.example",
                false,
            ),
            (
                "https://a-{{ p }}:{{ q }}/{{ r }}",
                "p q",
                "https://a-{{ p }}:{{ q }}",
                false,
            ),
            ("{{ b }}/x/{{ p }}", "b", "{{ b }}", false),
            ("{{ b }}{{ p }}/x", "b p", "{{ b }}{{ p }}", false),
            (
                "{{ s }}://{{ h }}/{{ p }}",
                "h s",
                "{{ s }}://{{ h }}",
                false,
            ),
            ("{{ b }}", "b", "{{ b }}", false),
        ] {
            let template = Template::read(url, "/at").unwrap();
            let authority = template.authority();
            let found: Vec<_> = authority.names.iter().copied().collect();
            assert_eq!(found.join(" "), names, "{url}");
            assert_eq!(authority.written, written, "{url}");
            assert_eq!(authority.continues_host, continues_host, "{url}");
        }
    }
}
