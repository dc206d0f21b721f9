//! Inputs that are files: read anew for each fetch, and only below the realm's own folder.
//!
//! A file is opened once, from the folder's descriptor, by a library that never leaves it
//! (`openat2` with `RESOLVE_BENEATH` where the system has it), and all is asked of that descriptor:
//! nobody can swap the file in between. Links are followed as long as they stay in the realm's
//! folder, since Kubernetes mounts secrets as such links.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};

use crate::failure::{Failure, FailureKind};

/// Where files for inputs may be.
#[derive(Clone, Debug, Default)]
pub struct InputFiles {
    root: Option<PathBuf>,
}

/// The largest file read, in bytes.
const LARGEST: u64 = 64 << 10;

impl InputFiles {
    /// Below this folder, which has one for each realm; `None`: no file is read.
    #[must_use]
    pub fn below(root: Option<PathBuf>) -> Self {
        Self { root }
    }

    /// The content of a file that a secret of this realm names, without white space at its end.
    ///
    /// # Errors
    /// `Config`, naming the input. All refusals have the same text: another one for a file that is
    /// there would tell which paths of the machine exist. The log has the reason.
    pub async fn read(&self, realm: &str, input: &str, name: &str) -> Result<String, Failure> {
        let refused = |why: &str| {
            Failure::new(
                FailureKind::Config,
                format!("the file of input {input} is not read: {why}"),
            )
        };
        let Some(root) = self.root.clone() else {
            return Err(refused("inputs.file_root is not set in the configuration"));
        };
        let (folder, file) = (folder_of(realm), PathBuf::from(name));
        let reading = move || read_beneath(&root, &folder, &file);
        #[expect(
            clippy::disallowed_methods,
            reason = "a small file is read: it waits for the disk, and computes nothing"
        )]
        let read = tokio::task::spawn_blocking(reading).await;
        let content = match read {
            Ok(content) => content,
            Err(ended) => Err(ended.into()),
        };
        content.map_err(|reason| {
            tracing::warn!(realm, input, %reason, "the file of an input cannot be read");
            refused(
                "it must be a UTF-8 text file of 1 byte to 64 KiB in the realm's folder below inputs.file_root; the \
                 log has the reason",
            )
        })
    }
}

/// The name of a realm's folder: one component, whatever the realm is called.
fn folder_of(realm: &str) -> String {
    let mut folder = String::with_capacity(realm.len());
    for (index, c) in realm.char_indices() {
        let is_plain = !matches!(c, '/' | '\\' | '%') && !c.is_control() && (index > 0 || c != '.');
        if is_plain {
            folder.push(c);
        } else {
            let mut bytes = [0; 4];
            let encoded = percent_encoding::percent_encode(
                c.encode_utf8(&mut bytes).as_bytes(),
                percent_encoding::NON_ALPHANUMERIC,
            );
            folder.extend(encoded);
        }
    }
    folder
}

/// The text of a file in a folder of the root.
fn read_beneath(root: &Path, folder: &str, file: &Path) -> std::io::Result<String> {
    let wrong = |why: &str| std::io::Error::other(why);
    let root = Dir::open_ambient_dir(root, ambient_authority())?;
    let folder = root.open_dir(folder)?;
    let mut options = OpenOptions::new();
    // Opening a FIFO would wait for somebody who writes.
    options.read(true).custom_flags(not_waiting());
    let file = folder.open_with(file, &options)?;
    if !file.metadata()?.is_file() {
        return Err(wrong("it is not a regular file"));
    }
    let mut content = String::new();
    file.take(LARGEST + 1).read_to_string(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(wrong("it is larger than 64 KiB"));
    }
    content.truncate(content.trim_end().len());
    if content.is_empty() {
        return Err(wrong("it is empty"));
    }
    Ok(content)
}

fn not_waiting() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a root, in it the realms `r` and `other`, and all kinds of files.
    fn files() -> (tempfile::TempDir, InputFiles) {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        let own = root.join("r");
        std::fs::create_dir_all(own.join("sub")).unwrap();
        std::fs::create_dir_all(root.join("other")).unwrap();
        std::fs::write(own.join("sub/token"), "first\n").unwrap();
        for file in [&outside, &root.join("other/token"), &root.join("token")] {
            std::fs::write(file, "private").unwrap();
        }
        symlink(&outside, own.join("link-out")).unwrap();
        symlink("../other/token", own.join("link-to-another")).unwrap();
        symlink("/proc/self/environ", own.join("magic")).unwrap();
        symlink("/proc/self/root", own.join("magic-root")).unwrap();
        symlink(own.join("sub/token"), own.join("absolute-link")).unwrap();
        symlink("loop", own.join("loop")).unwrap();
        std::fs::write(own.join("empty"), "\n").unwrap();
        std::fs::write(own.join("latin1"), [0xe4]).unwrap();
        std::fs::write(own.join("big"), vec![b'x'; 65_537]).unwrap();
        std::fs::write(own.join("largest"), vec![b'x'; 65_536]).unwrap();
        let fifo = std::process::Command::new("mkfifo")
            .arg(own.join("fifo"))
            .status();
        assert!(fifo.unwrap().success());
        (folder, InputFiles::below(Some(root)))
    }

    #[tokio::test]
    async fn only_files_in_the_realms_folder_are_read() {
        let (folder, files) = files();
        let own = folder.path().join("root/r");
        let read = async |name: &str| files.read("r", "t", name).await;
        assert_eq!(read("sub/token").await.as_deref(), Ok("first"));
        std::fs::write(own.join("sub/token"), "second").unwrap();
        assert_eq!(read("sub/token").await.as_deref(), Ok("second"), "anew");
        assert_eq!(read("largest").await.map(|text| text.len()), Ok(65_536));
        let mut texts = std::collections::BTreeSet::new();
        for name in [
            "../../outside",
            "../other/token",
            "../token",
            "/etc/passwd",
            own.join("sub/token").to_str().unwrap(),
            "sub/../../token",
            "link-out",
            "link-to-another",
            "magic",
            "magic-root/etc/passwd",
            "absolute-link",
            "loop",
            "absent",
            "absent/../../other/token",
            "sub",
            ".",
            "..",
            "",
            "empty",
            "latin1",
            "big",
            "fifo",
            "sub/token/",
            "sub\0token",
        ] {
            let failure = read(name).await.expect_err(name);
            assert_eq!(failure.kind, FailureKind::Config, "{name}");
            texts.insert(failure.detail);
        }
        assert_eq!(texts.len(), 1, "{texts:?}");
        let other = files.read("other", "t", "token").await;
        assert_eq!(other.as_deref(), Ok("private"));
        let unset = InputFiles::default().read("r", "t", "token").await;
        let unset = unset.unwrap_err().detail;
        assert!(unset.contains("inputs.file_root is not set"), "{unset}");
    }

    #[tokio::test]
    async fn links_as_kubernetes_mounts_them_are_followed() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("r");
        for (version, text) in [("..2026_01", "first"), ("..2026_02", "second")] {
            std::fs::create_dir_all(own.join(version)).unwrap();
            std::fs::write(own.join(version).join("token"), text).unwrap();
        }
        symlink("..2026_01", own.join("..data")).unwrap();
        symlink("..data/token", own.join("token")).unwrap();
        let files = InputFiles::below(Some(root.path().to_owned()));
        assert_eq!(files.read("r", "t", "token").await.as_deref(), Ok("first"));
        symlink("..2026_02", own.join("..data_tmp")).unwrap();
        std::fs::rename(own.join("..data_tmp"), own.join("..data")).unwrap();
        assert_eq!(files.read("r", "t", "token").await.as_deref(), Ok("second"));
    }

    #[test]
    fn a_realms_folder_is_one_component() {
        for (realm, folder) in [
            ("acme", "acme"),
            ("acme eu", "acme eu"),
            ("微信", "微信"),
            ("a/b", "a%2Fb"),
            ("..", "%2E."),
            (".", "%2E"),
            (".hidden", "%2Ehidden"),
            ("a.b", "a.b"),
            ("a%2Fb", "a%252Fb"),
            ("a\\b", "a%5Cb"),
            ("a\0b", "a%00b"),
        ] {
            assert_eq!(folder_of(realm), folder);
        }
    }
}
