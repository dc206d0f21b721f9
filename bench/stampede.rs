//! Placeholder.
fn main() {
    let _ = token_server::upstream::client_builder();
}
