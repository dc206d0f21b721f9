//! The real program, `token-server realm check`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What it printed, and how it ended.
pub(crate) struct Checked {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Checked {
    /// The report.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| json!({"unreadable": self.stdout}))
    }
}

/// What the command is given.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    pub(crate) config: &'a Value,
    /// `{"inputs", "tokens", "grant"}`; null: none are given.
    pub(crate) credentials: &'a Value,
    pub(crate) answers: &'a [Value],
    /// Where `now`, `uuid` and `nonce` are.
    pub(crate) facts: &'a Value,
    pub(crate) show_secrets: bool,
    pub(crate) output: &'a str,
}

impl Check<'_> {
    /// Runs it with files of its own.
    pub(crate) fn run(&self) -> Checked {
        let folder = tempfile::tempdir().unwrap();
        let realm = json!({"id": "example", "config": self.config});
        let mut command = Command::new(env!("CARGO_BIN_EXE_token-server"));
        command
            .env_clear()
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null());
        command.args(["--output", self.output, "realm", "check"]);
        command.arg(written(folder.path(), "realm.json", &realm));
        if !self.credentials.is_null() {
            command.arg("--credentials").arg(written(
                folder.path(),
                "credentials.json",
                self.credentials,
            ));
        }
        for (index, answer) in self.answers.iter().enumerate() {
            command.arg("--answer").arg(written(
                folder.path(),
                &format!("answer-{index}.json"),
                answer,
            ));
        }
        for (name, flag) in [("now", "--now"), ("uuid", "--uuid"), ("nonce", "--nonce")] {
            let value = &self.facts[name];
            if !value.is_null() {
                command.arg(flag).arg(
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                );
            }
        }
        if self.show_secrets {
            command.arg("--show-secrets");
        }
        run(&mut command)
    }
}

/// Checks a file with this text, without values.
pub(crate) fn check_text(name: &str, text: &str) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-server"));
    run(command
        .env_clear()
        .args(["--output", "json", "realm", "check"])
        .arg(path))
}

fn run(command: &mut Command) -> Checked {
    let output = command.output().unwrap();
    Checked {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn written(folder: &Path, name: &str, document: &Value) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, document.to_string()).unwrap();
    path
}

/// Does the same for each item on a few threads; answers in the items' order.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    const THREADS: usize = 4;
    let share = items.len().div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().map(work).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}
