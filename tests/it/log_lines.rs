//! What the program writes to its log, as all tests of this binary make it; a test looks for names
//! that only it uses.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: OnceLock<()> = OnceLock::new();

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to keep what is logged from `debug` on.
pub(crate) fn keep() {
    STARTED.get_or_init(|| {
        let builder = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(|| Lines);
        builder.with_env_filter("token_server=debug").init();
    });
}

/// The lines about one secret with this message, oldest first.
pub(crate) fn of(realm: &str, key: &str, message: &str) -> Vec<Value> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines = String::from_utf8(lines).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["realm"] == realm && line["key"] == key)
        .filter(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains(message))
        })
        .collect()
}
