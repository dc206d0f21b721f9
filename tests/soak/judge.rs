//! What a caller was told, held against the provider's book.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::book::{Book, Issue};
use crate::cluster::Address;
use crate::outages::{Outage, Outages};
use crate::realms::{DATABASE_TIMEOUT, Secret, WAIT};
use crate::tally::{Ago, Invariant, Tally, Verdict};

/// What was asked, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Flush,
    Report,
}

/// An ask with its outcome.
pub(crate) struct Asked {
    pub(crate) address: Address,
    pub(crate) secret: Secret,
    pub(crate) kind: Kind,
    /// Just before the request was sent.
    pub(crate) sent: Instant,
    /// When the answer was whole.
    pub(crate) got: Instant,
    /// `None`: there was none.
    pub(crate) answer: Option<(u16, Value)>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            address,
            secret,
            kind,
            sent,
            got,
            answer,
        } = self;
        write!(
            f,
            "{kind:?} of {secret:?} at {:?}, process {}, ",
            address.place, address.process
        )?;
        write!(f, "{:?} to {:?}: ", Ago(*sent), Ago(*got))?;
        match answer {
            Some((status, body)) => write!(f, "{status} {body}"),
            None => write!(f, "no answer"),
        }
    }
}

/// The last token that a process has answered of a secret.
#[derive(Clone)]
struct Seen {
    version: i64,
    issue: Issue,
    got: Instant,
}

/// By when a caller is answered, at the latest, on a busy machine.
const LATEST: Duration = WAIT.saturating_add(Duration::from_secs(5));
/// By how much the clocks of an instance and its database may differ: they are compared over a busy
/// connection.
const CLOCKS: Duration = Duration::from_millis(500);
/// How long a change takes to be seen everywhere where nothing is wrong: the trust of memory, and a
/// look.
const SETTLED: Duration = Duration::from_secs(5);

/// Judges asks.
pub(crate) struct Judge {
    pub(crate) book: Arc<Book>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) tally: Arc<Tally>,
    /// By process and account.
    seen: Mutex<HashMap<(u64, usize), Seen>>,
    /// When credentials that were posted were answered as stored, and by which process; by account
    /// and number.
    edits: Mutex<HashMap<(usize, u64), (Instant, u64)>>,
}

impl Judge {
    pub(crate) fn new(book: Arc<Book>, outages: Arc<Outages>, tally: Arc<Tally>) -> Self {
        Self {
            book,
            outages,
            tally,
            seen: Mutex::default(),
            edits: Mutex::default(),
        }
    }

    /// An edit was answered as stored.
    pub(crate) fn edited(&self, account: usize, credentials: u64, process: u64) {
        self.edits
            .lock()
            .unwrap()
            .insert((account, credentials), (Instant::now(), process));
    }

    /// The version of the token that a process answered last.
    pub(crate) fn version(&self, process: u64, account: usize) -> Option<i64> {
        self.seen
            .lock()
            .unwrap()
            .get(&(process, account))
            .map(|seen| seen.version)
    }

    /// Judges an ask and its outcome; answers whether it brought a token that works.
    pub(crate) fn judge(&self, asked: &Asked) -> bool {
        let Some((status, body)) = &asked.answer else {
            self.judge_silence(asked);
            return false;
        };
        self.judge_wait(asked);
        if *status != 200 {
            self.judge_refusal(asked, *status);
            return false;
        }
        let text = body["token"].as_str().unwrap_or_default();
        let issue = self
            .book
            .find(text)
            .filter(|issue| issue.account == asked.secret.account);
        self.tally
            .check(Invariant::Issued, issue.is_some(), || format!("{asked:?}"));
        let Some(issue) = issue else { return false };
        self.judge_life(asked, body, &issue);
        self.judge_credentials(asked, body, &issue);
        let works = self.judge_use(asked, body, &issue);
        self.judge_order(asked, body, issue);
        works
    }

    /// A process that was killed answers nothing; else every ask is answered.
    fn judge_silence(&self, asked: &Asked) {
        // It may have been chosen to be asked just before.
        let since = asked.sent - Duration::from_secs(1);
        let killed = self
            .outages
            .touch(asked.address.place, &[Outage::Killed], since, asked.got);
        self.tally
            .check(Invariant::Answered, killed, || format!("{asked:?}"));
    }

    /// DESIGN.md: a caller's wait is bounded. While its process stands still, nobody answers. A
    /// report looks for the held token first; it has the same deadline.
    fn judge_wait(&self, asked: &Asked) {
        self.tally.check(Invariant::Answered, true, String::new);
        let stopped = self
            .outages
            .stopped_for(asked.address.place, asked.sent, asked.got);
        let waited = (asked.got - asked.sent).saturating_sub(stopped);
        self.tally.check(Invariant::Deadline, waited <= LATEST, || {
            format!("{waited:?}: {asked:?}")
        });
    }

    /// DESIGN.md, "Failure": a good token is served until it expires. So an ask fails only where
    /// the process has answered none before, or one that has expired, or whose credentials were
    /// replaced.
    ///
    /// A token that another instance has renewed is dropped from memory, and the new one is read;
    /// if the database goes away in between, there is none. Asks for another token than the held
    /// one (flush, report) may say why none came.
    fn judge_refusal(&self, asked: &Asked, status: u16) {
        let is_expected = matches!(status, 429 | 502..=504);
        let account = asked.secret.account;
        let seen = self
            .seen
            .lock()
            .unwrap()
            .get(&(asked.address.process, account))
            .cloned();
        let away = [Outage::Cut, Outage::Stopped];
        let since = asked.sent - SETTLED - DATABASE_TIMEOUT;
        let excused = asked.kind != Kind::Plain
            || self
                .outages
                .touch(asked.address.place, &away, since, asked.got);
        let newest = self.book.posted(account).map_or(0, |(number, _)| number);
        // The last hundredth of its life is not handed out; and what is left by its process's
        // reckoning is a fetch less.
        let good = seen.filter(|seen| {
            let life = asked.secret.realm.life;
            let until = seen.issue.expires - life / 100 - CLOCKS - Duration::from_secs(1);
            // With `same` an old token is also that of new credentials; but no process knows it
            // before it was answered for them, and that answer may have been lost.
            let is_current = seen.issue.made_with == newest;
            seen.got < asked.sent && asked.got < until && is_current
        });
        let verdict = Verdict::of(is_expected && good.is_none(), is_expected && excused);
        self.tally.check(Invariant::Served, verdict, || {
            let good = good.map(|seen| (seen.version, seen.issue));
            format!("{status} although {good:?}: {asked:?}")
        });
    }

    /// DESIGN.md, "Time": a token's life counts from before its request was sent, and it is not
    /// handed out past it.
    fn judge_life(&self, asked: &Asked, body: &Value, issue: &Issue) {
        let lives = asked.sent < issue.expires;
        self.tally.check(Invariant::Unexpired, lives, || {
            format!(
                "{:?} too late: {asked:?}",
                asked.sent.saturating_duration_since(issue.expires)
            )
        });
        let told = Duration::from_millis(body["expires_in"].as_u64().unwrap_or(u64::MAX));
        let left = issue.expires.saturating_duration_since(asked.sent);
        self.tally
            .check(Invariant::Left, told <= left + CLOCKS, || {
                format!("{left:?} left: {asked:?}")
            });
    }

    /// DESIGN.md: "a changed credential retires the token". At once in the process that took the
    /// edit; elsewhere when its memory is not trusted any more. Where the database is away memory
    /// goes on, and says so (`stale_since`).
    fn judge_credentials(&self, asked: &Asked, body: &Value, issue: &Issue) {
        let trusted = asked.secret.realm.trusted_for() + CLOCKS;
        let edits = self.edits.lock().unwrap();
        let newer = edits.iter().filter(|((account, number), _)| {
            *account == asked.secret.account && *number > issue.credentials
        });
        let known = newer.map(|(_, (at, process))| {
            if *process == asked.address.process {
                *at
            } else {
                *at + trusted
            }
        });
        let is_late = known.min().is_some_and(|known| asked.sent > known);
        let is_told = body["stale_since"].is_i64();
        self.tally
            .check(Invariant::Edited, Verdict::of(!is_late, is_told), || {
                format!("{issue:?}: {asked:?}")
            });
    }

    /// LANGUAGE.md, `replaces`: "give everyone the new one within the overlap". Where the database
    /// is away memory goes on, and says so (`stale_since`); one whose replacement could not be
    /// stored is not known to be dead.
    fn judge_use(&self, asked: &Asked, body: &Value, issue: &Issue) -> bool {
        let dead = self.book.replaced_at(issue).filter(|at| *at < asked.sent);
        let is_told = body["stale_since"].is_i64();
        self.tally.check(
            Invariant::Works,
            Verdict::of(dead.is_none(), is_told),
            || {
                let since = dead.map(|at| asked.sent - at);
                format!("dead since {since:?}: {issue:?}: {asked:?}")
            },
        );
        dead.is_none() && !is_told && asked.sent < issue.expires
    }

    /// DESIGN.md, "Memory": versions decide, and the store's never go back; so they do not in one
    /// process either, whatever happens. A token that could not be stored has the version of the
    /// one before.
    fn judge_order(&self, asked: &Asked, body: &Value, issue: Issue) {
        let version = body["version"].as_i64().unwrap_or(i64::MIN);
        let mut seen = self.seen.lock().unwrap();
        let key = (asked.address.process, asked.secret.account);
        let before = seen.get(&key).filter(|seen| seen.got < asked.sent);
        let is_newer = before.is_none_or(|seen| version >= seen.version);
        self.tally.check(Invariant::Order, is_newer, || {
            format!(
                "version {} before: {asked:?}",
                before.map_or(0, |seen| seen.version)
            )
        });
        if seen.get(&key).is_none_or(|seen| version >= seen.version) {
            seen.insert(
                key,
                Seen {
                    version,
                    issue,
                    got: asked.got,
                },
            );
        }
    }
}
