//! How many connections there may be: in all, and of one address.
//!
//! When there are too many, those that have been free the longest are closed, some at once: a
//! client that keeps connections it does not use keeps nobody else away.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::watch::{BUSY, Watch};

/// The connections of one listener or several.
#[derive(Clone, Debug)]
pub struct Crowd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The most in all.
    all: usize,
    /// The most of one address.
    per_address: usize,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    by_number: HashMap<u64, Member>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Member {
    address: Option<IpAddr>,
    watch: Arc<Watch>,
    stop: CancellationToken,
}

/// A place in the crowd; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    number: u64,
}

/// What part of the free connections is closed when there are too many.
const CLOSE_ONE_IN: usize = 100;

impl Crowd {
    /// At most so many, and so many of one address.
    #[must_use]
    pub fn of(all: usize, per_address: usize) -> Self {
        Self(Arc::new(Inner {
            all,
            per_address,
            members: Mutex::default(),
        }))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members().by_number.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place for a new connection; `None`: there are too many, and all of them are busy.
    pub(super) fn enter(
        &self,
        address: Option<IpAddr>,
        watch: &Arc<Watch>,
        stop: &CancellationToken,
    ) -> Option<Place> {
        let mut members = self.members();
        let of_address = address.and_then(|address| members.by_address.get(&address));
        if of_address.copied().unwrap_or(0) >= self.0.per_address
            && !members.close_oldest(|member| member.address == address)
        {
            return None;
        }
        if members.by_number.len() >= self.0.all && !members.close_oldest(|_| true) {
            return None;
        }
        let number = members.next;
        members.next += 1;
        let member = Member {
            address,
            watch: Arc::clone(watch),
            stop: stop.clone(),
        };
        members.by_number.insert(number, member);
        if let Some(address) = address {
            *members.by_address.entry(address).or_default() += 1;
        }
        Some(Place {
            crowd: self.clone(),
            number,
        })
    }

    /// Closes some that are free: the system has no more descriptors.
    pub(super) fn make_room(&self) {
        self.members().close_oldest(|_| true);
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        let members = self.0.members.lock();
        members.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// Closes those that have been free the longest; whether there were any.
    fn close_oldest(&mut self, is_meant: impl Fn(&Member) -> bool) -> bool {
        let free = self.by_number.values().filter(|member| is_meant(member));
        let mut free: Vec<_> = free
            .filter(|member| !member.stop.is_cancelled())
            .map(|member| (member.watch.free_since(), member))
            .filter(|(since, _)| *since != BUSY)
            .collect();
        let count = free.len().div_ceil(CLOSE_ONE_IN);
        free.sort_unstable_by_key(|(since, _)| *since);
        for (_, member) in free.iter().take(count) {
            member.stop.cancel();
        }
        count > 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members();
        let Some(member) = members.by_number.remove(&self.number) else {
            return;
        };
        let Some(address) = member.address else {
            return;
        };
        if let Some(count) = members.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                members.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that has been free since then.
    fn enter(crowd: &Crowd, address: [u8; 4], since: u64) -> Option<(Place, CancellationToken)> {
        let (watch, stop) = (Watch::new(), CancellationToken::new());
        watch.set_free_since(since);
        let place = crowd.enter(Some(address.into()), &watch, &stop);
        place.map(|place| (place, stop))
    }

    #[test]
    fn the_one_that_is_free_the_longest_makes_room() {
        let crowd = Crowd::of(3, 3);
        let kept: Vec<_> = [5, 3, BUSY]
            .into_iter()
            .map(|since| enter(&crowd, [10, 0, 0, 1], since).unwrap())
            .collect();
        let more = enter(&crowd, [10, 0, 0, 2], 9);
        let closed: Vec<_> = kept.iter().map(|(_, stop)| stop.is_cancelled()).collect();
        assert!(more.is_some());
        assert_eq!(closed, [false, true, false]);
    }

    #[test]
    fn busy_ones_are_never_closed_and_places_come_back() {
        let crowd = Crowd::of(2, 2);
        let busy = [BUSY, BUSY].map(|since| enter(&crowd, [10, 0, 0, 1], since).unwrap());
        assert!(enter(&crowd, [10, 0, 0, 2], 1).is_none());
        assert_eq!(crowd.len(), 2);
        drop(busy);
        assert!(crowd.is_empty());
        assert!(enter(&crowd, [10, 0, 0, 2], 1).is_some());
    }

    #[test]
    fn one_address_takes_no_more_than_its_share() {
        let crowd = Crowd::of(10, 1);
        let first = enter(&crowd, [10, 0, 0, 1], 1).unwrap();
        let other = enter(&crowd, [10, 0, 0, 2], 1).unwrap();
        let _second = enter(&crowd, [10, 0, 0, 1], 2).unwrap();
        assert!(first.1.is_cancelled() && !other.1.is_cancelled());
        let busy = enter(&crowd, [10, 0, 0, 3], BUSY).unwrap();
        assert!(enter(&crowd, [10, 0, 0, 3], BUSY).is_none());
        drop(busy);
    }
}
