//! Who may use whom: `http → service → {realm, upstream, store}`. What reaches upwards fails here.

#![expect(clippy::unwrap_used, reason = "a test; the line tells which")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Types that everyone may use; they use only each other.
const ROOT_TYPES: [&str; 6] = ["api_key", "clock", "failure", "networks", "secret", "token"];

/// Every other module, and what it may use besides itself and the root types: a module, or one item
/// of it.
const LAYERS: [(&str, &[&str]); 14] = [
    ("failpoint", &[]),
    ("json", &[]),
    ("realm", &["json"]),
    ("store", &[]),
    ("tasks", &[]),
    ("fake_provider", &[]),
    ("upstream", &["realm"]),
    (
        "config",
        &[
            "store::DatabaseUrl",
            "upstream::Authorities",
            "upstream::Egress",
            "upstream::Limits",
        ],
    ),
    ("telemetry", &["config"]),
    (
        "service",
        &[
            "json",
            "realm",
            "store",
            "upstream",
            "tasks",
            "telemetry",
            "failpoint",
        ],
    ),
    ("import", &["json", "realm", "store", "service"]),
    (
        "http",
        &["json", "realm", "store", "service", "tasks", "telemetry"],
    ),
    ("app", &[EVERYTHING]),
    ("cli", &[EVERYTHING]),
];
const EVERYTHING: &str = "*";

/// Where it may be known which database is spoken to.
const DIALECT: [&str; 3] = [
    "src/store/sql/dialect.rs",
    "src/store/sql/migrations/",
    // Reads the inherited service's database, which is MySQL's or MariaDB's; there is no branch.
    "src/import/legacy.rs",
];

#[test]
fn no_module_reaches_upwards() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|(file, source)| upward(file, source))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_place_in_the_layers() {
    for (file, _) in sources() {
        let module = module_of(&file);
        assert!(
            module.is_empty() || may_use(&module[0]).is_some(),
            "{file}: add it to LAYERS in this test"
        );
    }
}

#[test]
fn no_circle_between_files() {
    let uses = uses_between_files(&sources());
    let circles: Vec<String> = uses
        .keys()
        .filter_map(|file| way_back(file, &uses))
        .map(|way| way.join(" → "))
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_fetch_runs_without_the_readers_of_definitions() {
    let uses = uses_between_files(&sources());
    let found: Vec<String> = uses
        .iter()
        .filter(|(file, _)| file.starts_with("src/realm/run"))
        .flat_map(|(file, used)| used.iter().map(move |used| format!("{file} → {used}")))
        .filter(|edge| edge.contains("src/realm/general"))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_also_through_what_a_parent_passes_on() {
    let file = |name: &str, source: &str| (format!("src/{name}.rs"), source.to_owned());
    let passed_on = [
        file("a", "mod b;\nmod c;\npub use b::{B, Other};\npub use c::C;"),
        file("a/b", "use super::C;\nuse super::super::a::unknown;"),
        file("a/c", "use crate::a::B;"),
    ];
    let uses = uses_between_files(&passed_on);
    let way = way_back("src/a/b.rs", &uses).unwrap();
    assert_eq!(way, ["src/a/b.rs", "src/a/c.rs", "src/a/b.rs"]);
    let only_in_tests = [
        file("a", "use crate::b::B;"),
        file(
            "b",
            "struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
        ),
    ];
    assert_eq!(
        way_back("src/a.rs", &uses_between_files(&only_in_tests)),
        None
    );
}

#[test]
fn which_database_it_is_is_known_in_one_place() {
    let knows = |(file, source): &(String, String)| {
        let names = ["DbBackend", "DatabaseBackend"]
            .iter()
            .any(|name| code(source).contains(name));
        names && !DIALECT.iter().any(|place| file.starts_with(place))
    };
    let found: Vec<String> = sources()
        .into_iter()
        .filter(knows)
        .map(|(file, _)| file)
        .collect();
    assert!(
        found.is_empty(),
        "these files ask which database it is: {found:?}"
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
fn an_upward_use_is_found_in_every_form() {
    for (file, source, expected) in [
        ("src/store/sql/realms.rs", "use crate::service::Tokens;", 1),
        (
            "src/store/sql/realms.rs",
            "use super::super::super::service::Tokens;",
            1,
        ),
        (
            "src/store/sql/realms.rs",
            "use super::super::{RealmRow, StoreResult};",
            0,
        ),
        (
            "src/store.rs",
            "use crate::{\n    clock::Timestamp,\n    http::{self, body::{Body, Page}},\n};",
            3,
        ),
        (
            "src/realm/path.rs",
            "fn f() -> crate::store::StoreResult<()> { crate::store::f::<u8>() }",
            2,
        ),
        (
            "src/realm/path.rs",
            "    use super::super::upstream as up;",
            1,
        ),
        (
            "src/realm/path.rs",
            "// crate::store::Store\n/// [`crate::http`]\n",
            0,
        ),
        (
            "src/clock.rs",
            "use crate::realm::*;\nuse crate::token::Life;",
            1,
        ),
        (
            "src/config.rs",
            "use crate::store::{DatabaseUrl,};\nuse crate::upstream::Limits;",
            0,
        ),
        (
            "src/config/database.rs",
            "use crate::store::{DatabaseUrl, SqlStore};\nuse crate::store;",
            2,
        ),
        (
            "src/service.rs",
            "use crate::config::Config;\nuse crate::{realm, upstream, store, tasks};",
            1,
        ),
        (
            "src/http.rs",
            "pub(crate) use crate::service::Tokens;\nuse crate::cli::Exit;",
            1,
        ),
        (
            "src/cli/serve.rs",
            "use crate::{app::App, http, config, store, import};",
            0,
        ),
        (
            "src/store.rs",
            "use crate::secret::SecretId;\nuse other_crate::http;\nmacro!($crate::http);",
            0,
        ),
        ("src/main.rs", "use crate::cli::Exit;", 0),
    ] {
        let found = upward(file, source);
        assert_eq!(found.len(), expected, "{file}: {source}\n{found:?}");
    }
}

/// The uses in a file that its module may not make.
fn upward(file: &str, source: &str) -> Vec<String> {
    let module = module_of(file);
    let Some(allowed) = module.first().and_then(|name| may_use(name)) else {
        return Vec::new();
    };
    let is_refused = |used: &String| {
        let target = used.split("::").next().unwrap_or_default();
        let is_item_of = |place: &&str| used == place || used.starts_with(&format!("{place}::"));
        target != module[0]
            && !ROOT_TYPES.contains(&target)
            && may_use(target).is_some()
            && !allowed
                .iter()
                .any(|place| *place == EVERYTHING || is_item_of(place))
    };
    let used = paths(&code(source))
        .into_iter()
        .filter_map(|path| from_root(&module, &path));
    used.filter(is_refused)
        .map(|used| format!("{file}: {} may not use {used}", module[0]))
        .collect()
}

fn may_use(module: &str) -> Option<&'static [&'static str]> {
    if ROOT_TYPES.contains(&module) {
        return Some(&[]);
    }
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, allowed)| *allowed)
}

/// `src/store/sql/realms.rs` is `store::sql::realms`; nothing for `lib.rs` and `main.rs`, which
/// wire the modules up.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let is_root = ["lib", "main"].contains(&path);
    if is_root {
        Vec::new()
    } else {
        path.split('/').map(str::to_owned).collect()
    }
}

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Which file uses which: an item that a parent only passes on is used where it is defined. A
/// parent's uses of its own modules by their bare names do not count, nor what tests use.
fn uses_between_files(sources: &[(String, String)]) -> Uses {
    let files: BTreeMap<Vec<String>, &str> = sources
        .iter()
        .map(|(file, _)| (module_of(file), file.as_str()))
        .filter(|(module, _)| !module.is_empty())
        .collect();
    let passed_on: BTreeMap<(&str, String), Vec<String>> = sources
        .iter()
        .flat_map(|(file, source)| {
            let passed = passed_on(&module_of(file), &code(source));
            passed.into_iter().map(move |path| {
                let name = path.last().cloned().unwrap_or_default();
                ((file.as_str(), name), path)
            })
        })
        .collect();
    let mut uses = Uses::new();
    for (file, source) in sources {
        let of_file = uses.entry(file.clone()).or_default();
        let tested = code(source);
        let code = tested.split("#[cfg(test)]").next().unwrap_or_default();
        for path in paths(code) {
            let path = from_root(&module_of(file), &path).unwrap_or_default();
            let mut path: Vec<String> = path.split("::").map(str::to_owned).collect();
            // An item may be passed on more than once.
            for _ in 0..5 {
                let Some((target, item)) = target_of(&path, &files) else {
                    break;
                };
                match passed_on.get(&(target, item.clone())) {
                    Some(further) if !item.is_empty() => path.clone_from(further),
                    Some(_) | None => {
                        if target != file && !item.is_empty() {
                            of_file.insert(target.to_owned());
                        }
                        break;
                    }
                }
            }
        }
    }
    uses
}

/// The file that a path from the root leads into, and the first name in it.
fn target_of<'a>(
    path: &[String],
    files: &BTreeMap<Vec<String>, &'a str>,
) -> Option<(&'a str, String)> {
    let length = (1..=path.len())
        .rev()
        .find(|length| files.contains_key(&path[..*length]))?;
    let item = path.get(length).cloned().unwrap_or_default();
    Some((files[&path[..length]], item))
}

/// The paths from the root of what a file passes on by `pub use`.
fn passed_on(module: &[String], code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rsplit('\n').next().unwrap_or_default();
        if !line.trim_start().starts_with("pub") {
            continue;
        }
        let mut paths = Vec::new();
        take_path(&code[at + 4..], "", &mut paths);
        for path in paths {
            let is_absolute = path.starts_with("crate::") || path.starts_with("super::");
            let path = if is_absolute {
                from_root(module, &path).unwrap_or_default()
            } else {
                format!(
                    "{}::{}",
                    module.join("::"),
                    path.trim_start_matches("self::")
                )
            };
            found.push(path.split("::").map(str::to_owned).collect());
        }
    }
    found
}

/// From a file over those it uses to itself.
fn way_back(file: &str, uses: &Uses) -> Option<Vec<String>> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![vec![file.to_owned()]]);
    while let Some(way) = open.pop() {
        for used in way
            .last()
            .and_then(|last| uses.get(last))
            .into_iter()
            .flatten()
        {
            let longer = || way.iter().cloned().chain([used.clone()]).collect();
            if used == file {
                return Some(longer());
            }
            if seen.insert(used.clone()) {
                open.push(longer());
            }
        }
    }
    None
}

/// A path without its `crate` or `super`s; `None` for one that leaves the crate, as it seems to
/// from an inline module.
fn from_root(module: &[String], path: &str) -> Option<String> {
    let supers = path.split("::").take_while(|part| *part == "super").count();
    let mut parts = module[..module.len().checked_sub(supers)?].to_vec();
    if supers == 0 {
        parts.clear();
    }
    parts.extend(path.split("::").skip(supers.max(1)).map(str::to_owned));
    Some(parts.join("::"))
}

/// The paths that begin with `crate` or `super`, groups taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code
        .match_indices("crate::")
        .chain(code.match_indices("super::"))
    {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|sign| is_in_name(sign) || sign == ':' || sign == '$') {
            take_path(&code[at..], "", &mut found);
        }
    }
    found
}

/// Takes one path, or all of a group; answers the rest of the text.
fn take_path<'a>(text: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    if let Some(group) = text.strip_prefix('{') {
        return take_group(group, prefix, found);
    }
    let (name, rest) = text.split_at(
        text.find(|sign| !is_in_name(sign) && sign != '*')
            .unwrap_or(text.len()),
    );
    let path = if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}::{name}")
    };
    match rest.strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => take_path(rest, &path, found),
        _ => {
            found.push(path.trim_end_matches("::self").to_owned());
            rest
        }
    }
}

fn take_group<'a>(group: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let mut rest = group.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        rest = take_path(rest, prefix, found);
        // Past a new name that may follow.
        rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
        rest = rest.trim_start_matches(',').trim_start();
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

fn is_in_name(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// The source without the lines that are comments.
fn code(source: &str) -> String {
    source
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect()
}

/// All files of `src` by their path, with their text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 50, "only {} files found", files.len());
    let named = |path: PathBuf| {
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.into_iter().map(named).collect()
}
