//! The provider's book: every fetch, every token, and whether a fetch had a reason.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::outages::{Outage, Outages, Place};
use crate::realms::{FETCH_TIMEOUT, LEASE, Realm, Reissue, Secret};
use crate::tally::{Ago, Invariant, Tally, Verdict};

/// A token and until when it lives, whatever replaces it.
#[derive(Clone)]
pub(crate) struct Issue {
    pub(crate) account: usize,
    pub(crate) text: String,
    /// The newest that it was answered for.
    pub(crate) credentials: u64,
    /// Those that it was made with.
    pub(crate) made_with: u64,
    pub(crate) at: Instant,
    pub(crate) expires: Instant,
    /// The fetch that was answered it first, in its account.
    fetch: usize,
}

/// A call as the provider saw it.
#[derive(Clone)]
struct Fetch {
    place: Place,
    credentials: u64,
    arrived: Instant,
    /// `None`: the connection is open, and nothing was answered.
    ended: Option<Instant>,
    /// A token was answered, and with it this life.
    told: Option<Duration>,
    /// The token was the one of the fetch before.
    repeated: bool,
}

/// What callers do that is a reason for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Flush,
    Report,
}

struct Wished {
    wish: Wish,
    sent: Instant,
    /// `None`: it was not answered yet, or it failed and may have its effect later.
    got: Option<Instant>,
    /// A fetch was made for it.
    used: bool,
}

#[derive(Default)]
struct Account {
    fetches: Vec<Fetch>,
    issues: Vec<Issue>,
    wishes: Vec<Wished>,
    /// The latest credentials that were posted, and when.
    posted: Option<(u64, Instant)>,
}

/// A request is read by the provider a little after it was sent, on a busy machine.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// An answer is committed within this time, or the commit was cut off.
const COMMIT: Duration = Duration::from_secs(2);
/// A fetch that took longer than this may have been given up on the other side.
const SURELY_IN_TIME: Duration = FETCH_TIMEOUT.saturating_sub(Duration::from_millis(600));
/// What two ends of a connection may see apart.
const SKEW: Duration = Duration::from_millis(500);
/// The floor of reports, which is 30 s since the fetch.
const REPORT_FLOOR: Duration = Duration::from_secs(29);

/// All accounts.
pub(crate) struct Book {
    secrets: Vec<Secret>,
    accounts: Vec<Mutex<Account>>,
    tokens: Mutex<HashMap<String, Issue>>,
    outages: Arc<Outages>,
    tally: Arc<Tally>,
}

/// A fetch that was begun; it ends when this is dropped.
pub(crate) struct UnderWay {
    book: Arc<Book>,
    account: usize,
    fetch: usize,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.book.locked(self.account).fetches[self.fetch].ended = Some(Instant::now());
    }
}

impl Book {
    pub(crate) fn new(secrets: Vec<Secret>, outages: Arc<Outages>, tally: Arc<Tally>) -> Self {
        let accounts = secrets.iter().map(|_| Mutex::default()).collect();
        Self {
            secrets,
            accounts,
            tokens: Mutex::default(),
            outages,
            tally,
        }
    }

    fn locked(&self, account: usize) -> MutexGuard<'_, Account> {
        self.accounts[account].lock().unwrap()
    }

    fn realm(&self, account: usize) -> &'static Realm {
        self.secrets[account].realm
    }

    /// A fetch has come: judges whether it may.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        account: usize,
        credentials: u64,
        place: Place,
    ) -> UnderWay {
        let mut held = self.locked(account);
        let arrived = Instant::now();
        let fetch = Fetch {
            place,
            credentials,
            arrived,
            ended: None,
            told: None,
            repeated: false,
        };
        self.judge_alone(account, &held, &fetch);
        self.judge_reason(account, &mut held, &fetch);
        held.fetches.push(fetch);
        UnderWay {
            book: Arc::clone(self),
            account,
            fetch: held.fetches.len() - 1,
        }
    }

    /// DESIGN.md: one holder over all instances. A call ends two seconds before its lease does,
    /// also with the database gone; so two are under way only when the holder of one was killed, or
    /// stopped beyond its lease: it cannot hang up while it stands still, and may send what it was
    /// about to send when it goes on.
    fn judge_alone(&self, account: usize, held: &Account, fetch: &Fetch) {
        let lost = |other: &Fetch| {
            let lost = [Outage::Killed, Outage::Stopped];
            self.outages.touch(
                other.place,
                &lost,
                other.arrived - ON_ITS_WAY,
                fetch.arrived,
            )
        };
        let others: Vec<_> = held
            .fetches
            .iter()
            .filter(|other| other.ended.is_none())
            .collect();
        let excused = self.was_stopped(fetch) || others.iter().all(|other| lost(other));
        self.tally.check(
            Invariant::OneAtATime,
            Verdict::of(others.is_empty(), excused),
            || format!("{:?}: {fetch:?} while {others:?}", self.secrets[account]),
        );
    }

    /// Its holder stood still, and may have begun with a lease that it has lost since.
    fn was_stopped(&self, fetch: &Fetch) -> bool {
        let begun = fetch.arrived - LEASE - ON_ITS_WAY;
        self.outages
            .touch(fetch.place, &[Outage::Stopped], begun, fetch.arrived)
    }

    /// DESIGN.md: "the provider is asked once per expiry, however many callers, instances and edges
    /// there are".
    ///
    /// Further reasons: the fetch before failed, or its outcome was lost with its holder; an edit,
    /// a flush, a report. Each flush and report is good for one fetch. A holder that stood still
    /// may come with what it began before.
    fn judge_reason(&self, account: usize, held: &mut Account, fetch: &Fetch) {
        let verdict = match held.fetches.last() {
            None => Verdict::Holds,
            Some(last) if !self.is_kept(last) => Verdict::Excused,
            Some(last) if fetch.credentials > last.credentials => Verdict::Holds,
            Some(last) if self.due_at(account, last) <= fetch.arrived => Verdict::Holds,
            Some(last) => {
                let since = last.ended.unwrap_or(last.arrived);
                let reports = fetch.arrived > last.arrived + REPORT_FLOOR;
                let wish = held
                    .wishes
                    .iter_mut()
                    .find(|wish| wish.explains(since, fetch.arrived, reports));
                let wished = wish.map(|wish| wish.used = true).is_some();
                Verdict::of(wished, self.was_stopped(fetch))
            }
        };
        self.tally.check(Invariant::OnePerReason, verdict, || {
            let wishes: Vec<_> = held.wishes.iter().rev().take(3).collect();
            format!(
                "{:?}: {fetch:?} after {:?}; {wishes:?}",
                self.secrets[account],
                held.fetches.last()
            )
        });
    }

    /// Whether a token was answered, in time, to a holder that could store it.
    fn is_kept(&self, fetch: &Fetch) -> bool {
        let Some((ended, _)) = fetch.ended.zip(fetch.told) else {
            return false;
        };
        let all = [Outage::Killed, Outage::Stopped, Outage::Cut];
        ended - fetch.arrived <= SURELY_IN_TIME
            && !self.outages.touch(
                fetch.place,
                &all,
                fetch.arrived - ON_ITS_WAY,
                ended + COMMIT,
            )
    }

    /// From when on the token that this fetch brought may be fetched anew.
    ///
    /// A provider that repeated its token is asked again half-way to its expiry, not within 10 s
    /// (LANGUAGE.md), or when the expiry that was told with the first answer has passed: a fetch
    /// earlier, since its life counts from before.
    fn due_at(&self, account: usize, fetch: &Fetch) -> Instant {
        let told = fetch.told.unwrap_or_default();
        let ruled = fetch.arrived + told - self.realm(account).ahead(told) - SKEW;
        if fetch.repeated {
            let again = fetch.arrived + (told / 2).max(Duration::from_secs(10)).min(told);
            return ruled.min(again - FETCH_TIMEOUT);
        }
        ruled
    }

    /// The provider gives a token: a new one, or the same again.
    pub(crate) fn issue(&self, under_way: (usize, usize)) -> (String, Duration) {
        let (account, fetch) = under_way;
        let (realm, now) = (self.realm(account), Instant::now());
        let mut held = self.locked(account);
        let credentials = held.fetches[fetch].credentials;
        if let (Reissue::Same(until), Some(last)) = (realm.reissue, held.issues.last().cloned()) {
            let left = last.expires.saturating_duration_since(now);
            if left >= until {
                held.fetches[fetch].repeated = true;
                // It is the token of the new credentials too.
                let again = Issue {
                    credentials: credentials.max(last.credentials),
                    ..last.clone()
                };
                self.tokens.lock().unwrap().insert(last.text.clone(), again);
                return (last.text, Duration::from_secs(left.as_secs()));
            }
        }
        let text = format!("token-{account}-{}", held.issues.len() + 1);
        let issue = Issue {
            account,
            text: text.clone(),
            credentials,
            made_with: credentials,
            at: now,
            expires: now + realm.life,
            fetch,
        };
        held.issues.push(issue.clone());
        self.tokens.lock().unwrap().insert(text.clone(), issue);
        (text, realm.life)
    }

    /// The token goes out, with this life.
    pub(crate) fn answer(&self, under_way: &UnderWay, told: Duration) {
        self.locked(under_way.account).fetches[under_way.fetch].told = Some(told);
    }

    /// What is known of a token.
    pub(crate) fn find(&self, token: &str) -> Option<Issue> {
        self.tokens.lock().unwrap().get(token).cloned()
    }

    /// Since when a token is not let in any more although it has not expired: by a later one that
    /// its holder has stored.
    ///
    /// One whose answer was lost, or came to a holder that could not store it, killed the old token
    /// too; but nobody here can know, and the old one is handed out until the next fetch.
    pub(crate) fn replaced_at(&self, issue: &Issue) -> Option<Instant> {
        let Reissue::Replaces(overlap) = self.realm(issue.account).reissue else {
            return None;
        };
        let held = self.locked(issue.account);
        let later = held.issues.iter().filter(|later| later.at > issue.at);
        let known = later.filter(|later| self.is_kept(&held.fetches[later.fetch]));
        let known = known.map(|later| {
            let ended = held.fetches[later.fetch].ended.unwrap_or(later.at);
            // Others are told by their next look, and answer what they trust until then.
            (later.at + overlap).max(ended + self.realm(issue.account).trusted_for() + SKEW)
        });
        known.min()
    }

    /// A caller is about to ask for a new token.
    pub(crate) fn wish(&self, account: usize, wish: Wish) -> usize {
        let mut held = self.locked(account);
        held.wishes.push(Wished {
            wish,
            sent: Instant::now(),
            got: None,
            used: false,
        });
        held.wishes.len() - 1
    }

    /// It was answered.
    pub(crate) fn wish_answered(&self, account: usize, number: usize) {
        self.locked(account).wishes[number].got = Some(Instant::now());
    }

    /// New credentials are about to be posted.
    pub(crate) fn post(&self, account: usize) -> u64 {
        let mut held = self.locked(account);
        let number = held.posted.map_or(1, |(number, _)| number + 1);
        held.posted = Some((number, Instant::now()));
        number
    }

    /// The latest credentials that were posted, and when.
    pub(crate) fn posted(&self, account: usize) -> Option<(u64, Instant)> {
        self.locked(account).posted
    }

    /// How many fetches came in all, and how many brought a new token.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let all = self.accounts.iter().map(|account| account.lock().unwrap());
        all.map(|held| (held.fetches.len(), held.issues.len()))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }
}

impl fmt::Debug for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            text,
            credentials,
            at,
            expires,
            ..
        } = self;
        write!(
            f,
            "{text} of credentials {credentials}, issued {:?}, to expire {:?}",
            Ago(*at),
            Ago(*expires)
        )
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            credentials,
            arrived,
            ended,
            told,
            repeated,
        } = self;
        write!(
            f,
            "fetch by {place:?} with credentials {credentials}, {:?} to ",
            Ago(*arrived)
        )?;
        write!(
            f,
            "{:?}, told {told:?}, repeated {repeated}",
            ended.map(Ago)
        )
    }
}

impl fmt::Debug for Wished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wish,
            sent,
            got,
            used,
        } = self;
        write!(
            f,
            "{wish:?} {:?} to {:?}, used {used}",
            Ago(*sent),
            got.map(Ago)
        )
    }
}

impl Wished {
    /// Whether a fetch that arrived at `at` may be for it, the last one having ended at `since`.
    fn explains(&self, since: Instant, at: Instant, reports: bool) -> bool {
        let asked_since = self.sent <= at && self.got.is_none_or(|got| got >= since);
        !self.used && asked_since && (self.wish == Wish::Flush || reports)
    }
}

impl UnderWay {
    /// For [`Book::issue`], which may come when the caller has gone.
    pub(crate) fn name(&self) -> (usize, usize) {
        (self.account, self.fetch)
    }
}
