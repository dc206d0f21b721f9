//! Programs that the tests speak to: real providers and real SDKs.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::program::{PATIENCE, lines_of, needed};

/// A peer that prints its URL and ends when its standard input closes.
pub(crate) struct Peer {
    child: Child,
    pub(crate) url: String,
    /// All that it said of itself when it started.
    pub(crate) hello: Value,
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    pub(crate) fn start(mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let line = lines_of(child.stdout.take().unwrap(), |_| {})
            .recv_timeout(PATIENCE)
            .unwrap();
        let hello: Value = serde_json::from_str(&line).unwrap();
        Self {
            child,
            url: hello["url"].as_str().unwrap().to_owned(),
            hello,
        }
    }

    /// The operator's function.
    pub(crate) fn function() -> Self {
        let mut command = Command::new("python3");
        command.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/peers/function/server.py"
        ));
        Self::start(command)
    }
}

/// Runs one of the Python peers' scripts; answers what it printed.
pub(crate) fn python(script: &str, args: &[&str]) -> Option<Value> {
    let python = needed("TEST_PYTHON")?;
    let path = format!("{}/tests/peers/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python).arg(path).args(args).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
