//! The sockets that this process listens on: a realm that calls them would act as one of its own
//! callers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::addresses::unmapped;

/// The listeners of this process. Clones share them; they are noted once they are bound.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<ArcSwap<Vec<SocketAddr>>>);

impl OwnListeners {
    /// These.
    #[must_use]
    pub fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let own = Self::default();
        addresses.into_iter().for_each(|address| own.note(address));
        own
    }

    /// Adds one, with the port that it got.
    pub fn note(&self, address: SocketAddr) {
        self.0.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push(address);
            known
        });
    }

    /// Whether one has this port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        self.0.load().iter().any(|own| own.port() == port)
    }

    /// Whether a connection there could come to one of them: it has this port, and the address is
    /// one of this machine. Which of the machine's addresses it listens on is not asked.
    pub(super) fn has(&self, address: IpAddr, port: u16) -> bool {
        let address = unmapped(address);
        let is_listened_on = |own: &SocketAddr| unmapped(own.ip()) == address;
        let known = self.0.load();
        let mut with_port = known.iter().filter(|own| own.port() == port).peekable();
        with_port.peek().is_some() && (with_port.any(is_listened_on) || is_of_this_machine(address))
    }
}

/// Whether a connection to it stays on this machine.
fn is_of_this_machine(address: IpAddr) -> bool {
    // Without a list of interfaces the sockets' own addresses and loopback are left.
    let interfaces = || if_addrs::get_if_addrs().unwrap_or_default();
    address.is_loopback()
        || address.is_unspecified()
        || interfaces()
            .iter()
            .any(|interface| interface.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_this_machine_counts() {
        let own = OwnListeners::of([([0, 0, 0, 0], 8080).into()]);
        let interfaces = if_addrs::get_if_addrs().unwrap();
        assert!(!interfaces.is_empty());
        for interface in interfaces {
            assert!(own.has(interface.ip(), 8080), "{}", interface.ip());
            assert!(!own.has(interface.ip(), 8081), "{}", interface.ip());
        }
        assert!(!own.has([192, 0, 2, 1].into(), 8080));
        let named = OwnListeners::of([([192, 0, 2, 1], 8080).into()]);
        assert!(named.has([192, 0, 2, 1].into(), 8080));
    }
}
