//! Inputs that are files: read anew for each fetch, and only below one folder.

use std::path::PathBuf;

use crate::failure::{Failure, FailureKind};

/// Where files for inputs may be.
#[derive(Clone, Debug, Default)]
pub struct InputFiles {
    root: Option<PathBuf>,
}

/// The largest file read, in bytes.
const LARGEST: u64 = 64 << 10;

impl InputFiles {
    /// Below this folder; `None`: no file is read.
    #[must_use]
    pub fn below(root: Option<PathBuf>) -> Self {
        Self { root }
    }

    /// The content of a file named by a secret, without white space at its end.
    ///
    /// # Errors
    /// `Config`, naming the input and never the content.
    pub async fn read(&self, input: &str, name: &str) -> Result<String, Failure> {
        let refused = |why: &str| {
            Failure::new(
                FailureKind::Config,
                format!("the file of input {input} is not read: {why}"),
            )
        };
        let Some(root) = &self.root else {
            return Err(refused("inputs.file_root is not set in the configuration"));
        };
        let root = tokio::fs::canonicalize(root)
            .await
            .map_err(|_| refused("inputs.file_root does not exist"))?;
        // Links and `..` are resolved before it is judged; an absolute name stays as it is.
        let path = tokio::fs::canonicalize(root.join(name))
            .await
            .map_err(|_| refused("it does not exist"))?;
        if !path.starts_with(&root) {
            return Err(refused("it is not below inputs.file_root"));
        }
        let about = tokio::fs::metadata(&path)
            .await
            .map_err(|_| refused("it does not exist"))?;
        if !about.is_file() || about.len() > LARGEST {
            return Err(refused("it is no file of at most 64 KiB"));
        }
        let content = tokio::fs::read_to_string(&path).await;
        let content = content.map_err(|_| refused("it cannot be read, or is not UTF-8"))?;
        let content = content.trim_end().to_owned();
        if content.is_empty() {
            Err(refused("it is empty"))
        } else {
            Ok(content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_files_below_the_root_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/token"), "first\n").unwrap();
        std::fs::write(folder.path().join("outside"), "private").unwrap();
        std::os::unix::fs::symlink(folder.path().join("outside"), root.join("link")).unwrap();
        let files = InputFiles::below(Some(root.clone()));
        assert_eq!(files.read("t", "sub/token").await.as_deref(), Ok("first"));
        std::fs::write(root.join("sub/token"), "second").unwrap();
        assert_eq!(
            files.read("t", "sub/token").await.as_deref(),
            Ok("second"),
            "read anew"
        );
        let absolute = root.join("sub/token");
        assert_eq!(
            files.read("t", absolute.to_str().unwrap()).await.as_deref(),
            Ok("second")
        );
        for name in [
            "../outside",
            "link",
            "sub",
            "absent",
            "/etc/passwd",
            "sub/../../outside",
        ] {
            let failure = files.read("t", name).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Config, "{name}");
            assert!(!failure.detail.contains("private"));
        }
        let unset = InputFiles::default()
            .read("t", "sub/token")
            .await
            .unwrap_err();
        assert!(
            unset.detail.contains("inputs.file_root is not set"),
            "{unset}"
        );
    }
}
