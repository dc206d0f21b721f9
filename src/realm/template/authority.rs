//! The part of a URL's template that says where a request goes: scheme, host and port.

use std::collections::BTreeSet;

use url::Url;

use super::expression::Expression;
use super::{Names, Part, Parts, Template, Wrong, text_of};

/// What a template writes of scheme, host and port.
#[derive(Debug, Default)]
pub(in crate::realm) struct Authority<'a> {
    /// The names that go into it; none: it is written out.
    pub(in crate::realm) names: BTreeSet<&'a str>,
    /// As the definition writes it.
    pub(in crate::realm) written: String,
    /// Whether an expression stands right after a host that is written out, which it would change.
    pub(in crate::realm) continues_host: bool,
    /// Whether it cannot be told where it ends, so that something else could name the host.
    pub(in crate::realm) is_unclear: bool,
}

/// In place of what an expression makes.
const MADE: char = '\u{1}';

/// How a URL begins that says where it leads.
const BEGINS: [&str; 2] = ["http://", "https://"];

impl Template {
    /// What it writes of scheme, host and port, seen as a URL.
    pub(in crate::realm) fn authority(&self) -> Authority<'_> {
        let mut authority = Authority::default();
        let mut seen = String::new();
        for part in &self.authority_parts() {
            match part {
                AuthorityPart::Text(text) => {
                    seen.push_str(text);
                    authority.written.push_str(text);
                }
                AuthorityPart::Expression(expression) => {
                    let host = seen.split_once("://").map_or("", |(_, host)| host);
                    authority.continues_host |=
                        host.ends_with(|c: char| c.is_alphanumeric() || c == ']');
                    authority
                        .names
                        .extend(expression.names.iter().map(String::as_str));
                    authority.written.extend(["{{ ", &expression.source, " }}"]);
                    seen.push(MADE);
                }
                AuthorityPart::Dollar(name) => {
                    authority.names.insert(name);
                    authority.written.extend(["$", name]);
                    seen.push(MADE);
                }
            }
        }
        authority.is_unclear = if seen.starts_with(MADE) {
            !seen.chars().all(|c| c == MADE)
        } else {
            !is_plain(&seen.replace(MADE, "x"))
        };
        authority
    }

    /// Whether a URL that it made leads where its scheme, host and port alone do: no value that
    /// stands after them moved their end.
    pub(in crate::realm) fn leads_where_it_says(
        &self,
        made: &str,
        url: &Url,
        names: &dyn Names,
    ) -> Result<bool, Wrong> {
        let mut authority = String::new();
        for part in self.authority_parts() {
            match part {
                AuthorityPart::Text(text) => authority.push_str(text),
                AuthorityPart::Expression(expression) => {
                    let value = expression.eval(names).and_then(|value| text_of(&value));
                    authority.push_str(&value.map_err(|wrong| self.at(&wrong))?);
                }
                // It is the whole.
                AuthorityPart::Dollar(_) => authority.push_str(made),
            }
        }
        // A value may bring a path of its own.
        let end = end_of_authority(&authority).unwrap_or(authority.len());
        let is_told = is_plain(&authority[..end])
            && made.starts_with(&authority)
            && !made.contains(char::is_control)
            && !before_query(made).contains('\\');
        Ok(is_told
            && Url::parse(&authority[..end]).is_ok_and(|alone| alone.origin() == url.origin()))
    }

    /// Its parts up to the end of scheme, host and port.
    ///
    /// What begins with an expression is taken to begin with scheme and host: the text after it is
    /// not part of them if it begins with `/` or `?`.
    fn authority_parts(&self) -> Vec<AuthorityPart<'_>> {
        let parts = match &self.parts {
            Parts::Literal(value) => {
                let text = value.as_str().unwrap_or_default();
                let end = end_of_authority(text).unwrap_or(text.len());
                return vec![AuthorityPart::Text(&text[..end])];
            }
            Parts::Dollar(name) => return vec![AuthorityPart::Dollar(name)],
            Parts::Mixed(parts) => parts,
        };
        let (mut found, mut seen) = (Vec::new(), String::new());
        for part in parts {
            match part {
                Part::Text(text) if seen.starts_with(MADE) && text.starts_with(['/', '?']) => break,
                Part::Text(text) => {
                    let before = seen.len();
                    seen.push_str(text);
                    if let Some(end) = end_of_authority(&seen) {
                        found.push(AuthorityPart::Text(&text[..end.max(before) - before]));
                        break;
                    }
                    found.push(AuthorityPart::Text(text));
                }
                Part::Expression(expression) => {
                    seen.push(MADE);
                    found.push(AuthorityPart::Expression(expression));
                }
            }
        }
        found
    }
}

enum AuthorityPart<'a> {
    Text(&'a str),
    Expression(&'a Expression),
    Dollar(&'a str),
}

/// Where scheme, host and port end in what is written of a URL; `None`: not yet.
fn end_of_authority(seen: &str) -> Option<usize> {
    let begin = begin_of_host(seen)?;
    let rest = &seen[begin..];
    rest.find(['/', '?', '#']).map(|at| begin + at)
}

fn begin_of_host(seen: &str) -> Option<usize> {
    let begins = |begin: &&&str| {
        let text = seen.get(..begin.len());
        text.is_some_and(|text| text.eq_ignore_ascii_case(begin))
    };
    BEGINS.iter().find(begins).map(|begin| begin.len())
}

/// Whether a text is `http://` or `https://` and something that every reader of URLs takes for host
/// and port.
fn is_plain(authority: &str) -> bool {
    let host = begin_of_host(authority).and_then(|begin| authority.get(begin..));
    host.is_some_and(|host| {
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "/?#\\".contains(c);
        !host.is_empty() && !host.contains(is_odd)
    })
}

fn before_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
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
            ("{{ b }}?{{ p }}", "b", "{{ b }}", false),
            ("HTTPS://{{ h }}/{{ p }}", "h", "HTTPS://{{ h }}", false),
            ("{{ b }}", "b", "{{ b }}", false),
        ] {
            let template = Template::read(url, "/at").unwrap();
            let authority = template.authority();
            let found: Vec<_> = authority.names.iter().copied().collect();
            assert_eq!(found.join(" "), names, "{url}");
            assert_eq!(authority.written, written, "{url}");
            assert_eq!(authority.continues_host, continues_host, "{url}");
            assert!(!authority.is_unclear, "{url}");
        }
    }

    #[test]
    fn a_url_whose_host_another_reader_would_find_elsewhere_is_unclear() {
        for url in [
            "http:///{{ h }}/t",
            "http:////{{ h }}/t",
            "http://{{ h }}\\{{ p }}",
            "http:\\\\{{ h }}/t",
            "http:\\\\a.example/t",
            "http://\\{{ h }}/t",
            "http://\t/{{ h }}/t",
            "http://a\n.example/{{ h }}",
            "http://?{{ h }}",
            "http:{{ h }}/t",
            "http:/{{ h }}/t",
            " http://{{ h }}/t",
            "{{ s }}://{{ h }}/{{ p }}",
            "{{ s }}:/{{ h }}",
            "{{ s }}\\{{ h }}",
            "{{ b }}#{{ p }}",
            "{{ b }}.example/{{ p }}",
        ] {
            let template = Template::read(url, "/at").unwrap();
            assert!(template.authority().is_unclear, "{url}");
        }
    }
}
