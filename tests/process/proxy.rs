//! A TCP proxy that can be cut, frozen and mended, and can lose its connections: a database that
//! goes away, or falls silent, and comes back.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::program::PATIENCE;

/// What a proxy does with its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Passes them on.
    Whole,
    /// Ends them and refuses new ones.
    Cut,
    /// Keeps them and passes nothing on.
    Frozen,
}

/// Passes connections on while it is whole.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<watch::Sender<State>>,
    /// Moves when the connections of the moment are lost.
    losses: Arc<watch::Sender<u64>>,
    /// How many connections it has refused.
    refusals: Arc<watch::Sender<u64>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// In front of `HOST:PORT`; whole or cut at first.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own task, aborted when dropped"
    )]
    pub(crate) async fn start(target: &str, whole: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::channel(if whole { State::Whole } else { State::Cut }).0);
        let (losses, refusals) = (
            Arc::new(watch::Sender::new(0)),
            Arc::new(watch::Sender::new(0)),
        );
        let (shared, lost, refused) = (
            Arc::clone(&state),
            Arc::clone(&losses),
            Arc::clone(&refusals),
        );
        let target = target.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut state = shared.subscribe();
                if *state.borrow_and_update() == State::Cut {
                    refused.send_modify(|count| *count += 1);
                } else {
                    tokio::spawn(pass(stream, target.clone(), state, lost.subscribe()));
                }
            }
        });
        Self {
            port,
            state,
            losses,
            refusals,
            task,
        }
    }

    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Waits until it has refused a connection.
    pub(crate) async fn wait_for_refusal(&self) {
        let mut refusals = self.refusals.subscribe();
        let refused = tokio::time::timeout(PATIENCE, refusals.wait_for(|count| *count > 0)).await;
        assert!(refused.is_ok(), "nobody tried to connect");
    }

    pub(crate) fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// From now on nothing is passed on, and no end told, of the connections there are. New ones
    /// are not concerned.
    pub(crate) fn lose(&self) {
        self.losses.send_modify(|losses| *losses += 1);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn pass(
    mut client: TcpStream,
    target: String,
    mut state: watch::Receiver<State>,
    mut lost: watch::Receiver<u64>,
) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    loop {
        // The sender lives as long as the proxy.
        let Ok(now) = state
            .wait_for(|state| *state != State::Frozen)
            .await
            .map(|state| *state)
        else {
            return;
        };
        if now == State::Cut {
            return;
        }
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            () = async { drop(state.wait_for(|state| *state != State::Whole).await) } => {}
            _ = lost.changed() => break,
        }
    }
    // Both ends stay open until the proxy's runtime ends.
    std::future::pending::<()>().await;
}
