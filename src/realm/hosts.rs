//! Where the requests of a realm may go: literals say it, stored inputs are confirmed with the secret
//! that has them, and all else lies within the realm's `hosts`.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use url::Url;

use super::host::{Host, WORDS};
use super::recipe::templates::var_templates;
use super::recipe::{Origin, Recipe};
use super::template::{Template, top};
use crate::json::{Issues, kind, pointer};

/// The most hosts of a realm.
const MOST_HOSTS: usize = 50;

/// Reads `hosts`.
pub(super) fn read(value: Option<&Json>, recipe: &mut Recipe, issues: &mut Issues) {
    let at = "/config/hosts";
    let list = match value {
        None | Some(Json::Null) => return,
        Some(Json::Array(list)) if list.len() <= MOST_HOSTS => list,
        Some(Json::Array(_)) => return issues.add(at, format!("at most {MOST_HOSTS} hosts")),
        Some(other) => return issues.add(at, format!("expected an array, found {}", kind(other))),
    };
    for (index, item) in list.iter().enumerate() {
        match item.as_str().ok_or(WORDS).and_then(Host::read) {
            Ok(host) => recipe.hosts.push(host),
            Err(wrong) => issues.add(format!("{at}/{index}"), wrong),
        }
    }
}

/// Ends the words about a URL that leads elsewhere; no value is in them.
pub(super) const ELSEWHERE: &str = "leads to a host that is not in the realm's hosts: add it there if it is meant; nothing was sent";

impl Recipe {
    /// Whether a rendered URL of this template may be asked.
    pub(super) fn may_ask(&self, template: &Template, url: &Url) -> bool {
        let names = template.authority().names;
        let is_told = names.is_empty()
            || !self.sends_what_is_elsewhere()
                && names.iter().all(|name| self.is_confirmed(top(name)));
        is_told || self.hosts.iter().any(|host| host.allows(url))
    }

    /// Whether it has values that are not stored with the secret, so that whoever stores a host with
    /// it need not have them: files, and tokens of others.
    fn sends_what_is_elsewhere(&self) -> bool {
        !self.depends_on.is_empty() || self.inputs_from(Origin::File).next().is_some()
    }

    /// Whether a value was posted together with the secret's other values, or is made of nothing
    /// else.
    fn is_confirmed(&self, name: &str) -> bool {
        self.leaves(name).into_iter().all(|leaf| {
            self.input(leaf)
                .is_some_and(|input| input.from == Origin::Stored)
        })
    }

    /// The names that a name is made of in the end: inputs, and what the engine provides.
    fn leaves<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let (mut leaves, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![name]);
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            match self.vars.iter().find(|var| var.name == name) {
                Some(var) if self.input(name).is_none() => open.extend(
                    var_templates(var)
                        .into_iter()
                        .flat_map(Template::names)
                        .map(top),
                ),
                Some(_) | None => {
                    leaves.insert(name);
                }
            }
        }
        leaves
    }

    fn urls(&self) -> impl Iterator<Item = &Template> {
        let requests = self.requests.iter().chain(&self.refresh_requests);
        requests.map(|request| &request.url)
    }

    /// Where its requests may go, in words that can be compared: as the definition writes it, with
    /// the vars and defaults that go into it.
    #[must_use]
    pub fn origins(&self) -> BTreeSet<String> {
        let hosts = self.hosts.iter().map(Host::written);
        self.urls()
            .map(|url| self.origin(url))
            .chain(hosts)
            .collect()
    }

    fn origin(&self, url: &Template) -> String {
        let authority = url.authority();
        let mut written = authority.written;
        if authority.names.is_empty() {
            return Url::parse(&written)
                .map(|url| url.origin().ascii_serialization())
                .unwrap_or(written);
        }
        let (mut seen, mut open) = (BTreeSet::new(), Vec::from_iter(authority.names));
        while let Some(name) = open.pop().map(top) {
            if !seen.insert(name) {
                continue;
            }
            if let Some(default) = self.input(name).and_then(|input| input.default.as_ref()) {
                written.extend([" (", name, " defaults to ", default, ")"]);
            }
            if let Some(var) = self.vars.iter().find(|var| var.name == name) {
                for template in var_templates(var) {
                    written.extend([" (", name, " is ", &template.written(), ")"]);
                    open.extend(template.names());
                }
            }
        }
        written
    }

    /// The stored inputs that say where requests go, or whose token is used.
    #[must_use]
    pub fn deciding_inputs(&self) -> BTreeSet<&str> {
        let bases = self.depends_on.iter();
        let bases = bases.flat_map(|base| base.realm.names().into_iter().chain(base.key.names()));
        let mut inputs = self.host_inputs();
        inputs.extend(self.inputs_of(bases));
        inputs
    }

    /// The stored inputs that say where requests go.
    #[must_use]
    pub fn host_inputs(&self) -> BTreeSet<&str> {
        self.inputs_of(self.urls().flat_map(|url| url.authority().names))
    }

    fn inputs_of<'a>(&'a self, names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let names: BTreeSet<&str> = names.map(top).collect();
        names
            .into_iter()
            .flat_map(|name| self.leaves(name))
            .filter(|leaf| self.input(leaf).is_some())
            .collect()
    }
}

/// What a URL must begin with.
const UNCLEAR: &str = "it cannot be told where this leads: expected http:// or https://, then a host, then /, ? or the end; or one \
                       expression that makes all of these, then /, ? or the end";

/// Checks what only shows in the whole: no host is changed by what follows it, and nothing that
/// others write says where a request goes or whose token is used.
pub(super) fn check(recipe: &Recipe, issues: &mut Issues) {
    for url in recipe.urls() {
        let authority = url.authority();
        if authority.is_unclear {
            // Another beginning is told where it is read.
            if ["http", "{{", "$"]
                .iter()
                .any(|begin| authority.written.starts_with(begin))
            {
                issues.add(url.pointer(), UNCLEAR);
            }
            continue;
        }
        if authority.continues_host {
            issues.add(
                url.pointer(),
                "after a host that is written out stands /, ? or the end: an expression there would change the host",
            );
        }
        for name in authority.names.iter().copied().map(top) {
            demand_stored(recipe, name, url, "the host of a request", issues);
        }
    }
    for base in &recipe.depends_on {
        for template in [&base.realm, &base.key] {
            for name in template.names().into_iter().map(top) {
                demand_stored(recipe, name, template, "the name of another secret", issues);
            }
        }
    }
}

fn demand_stored(
    recipe: &Recipe,
    name: &str,
    template: &Template,
    what: &str,
    issues: &mut Issues,
) {
    for leaf in recipe.leaves(name) {
        let from = recipe.input(leaf).map(|input| input.from);
        if let Some(Origin::Pushed | Origin::File) = from {
            let input = pointer("/config/inputs", leaf);
            issues.add(
                template.pointer(),
                format!("{leaf} is pushed or read from a file ({input}), and must not go into {what}: make it a stored input"),
            );
        }
    }
}
