//! Writes the files that are made of the code; `make gen`.

mod roles;

use std::path::Path;

use clap::Args;

use crate::realm::{reference, schema};

const HEAD: &str = include_str!("generate/roles_head.txt");
const HEAD_ZH: &str = include_str!("generate/roles_head.zh-CN.txt");

#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// The folder of the sources.
    #[arg(default_value = ".")]
    folder: std::path::PathBuf,
}

/// Runs the command.
pub(super) async fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| -> anyhow::Result<()> {
        let path = args.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        Ok(std::fs::write(path, text)?)
    };
    write(
        "openapi.json",
        &(crate::http::description().to_pretty_json()? + "\n"),
    )?;
    write("schema/realm.json", &schema::text())?;
    write("docs/reference/realm-language.md", &reference::language())?;
    write("docs/reference/catalog.md", &reference::catalog())?;
    let routes = roles::matrix().await?;
    for (name, head) in [("roles", HEAD), ("roles.zh-CN", HEAD_ZH)] {
        write(
            &format!("docs/reference/{name}.md"),
            &roles::page(&routes, head),
        )?;
    }
    Ok(())
}
