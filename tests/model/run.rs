//! One run of the real code along a schedule.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use token_server::clock::{Clock as _, ManualClock, Timestamp};
use token_server::secret::{Credentials, SecretContent, SecretId};
use token_server::service::Cause;
use token_server::store::{
    Commit, LeaseStore as _, MemoryStore, RealmRow, RealmStore as _, SecretRow, SecretStore as _,
    StoredToken, TokenRow, TokenStore as _,
};
use token_server::telemetry::Metrics;
use token_server::token::{Life, Outputs};
use tokio::runtime::Runtime;

use crate::instance::{FETCH, Instance, MARGIN, Phase};

/// One thing that happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The instance of this number makes its next call.
    Step(usize),
    /// Its next call of the store fails.
    Fail(usize),
    /// It is killed.
    Kill(usize),
    /// So much time passes that every lease ends.
    LeasesEnd,
    /// An operator changes the credential.
    Edit,
}

/// What the real code did along a schedule.
pub(crate) struct Run {
    runtime: Runtime,
    store: MemoryStore,
    clock: Arc<ManualClock>,
    pub(crate) issued: Arc<Mutex<u32>>,
    pub(crate) instances: Vec<Instance>,
    /// What each instance has been answered, as hashes; what a loop forgets is left out.
    histories: Vec<Vec<u64>>,
    /// The instance that took the lease last, and whether it has asked the provider since.
    holder: Option<(usize, bool)>,
    /// How many calls of the provider mishaps allow beside the first: one for each holder lost
    /// after it had sent, for each lease that ended under a living holder, for a credential that
    /// changed.
    pub(crate) lost: usize,
    /// The epoch and the token's number of each commit.
    commits: Vec<(i64, u32)>,
    pub(crate) row: Option<TokenRow>,
    pub(crate) secret_version: i64,
    /// The first rule that was broken.
    pub(crate) broken: Option<String>,
}

fn id() -> SecretId {
    SecretId::new("r", "k")
}

const START: Timestamp = Timestamp::from_epoch_ms(1_795_478_400_000);

impl Run {
    /// Instances that begin to renew for these causes. With a report there is a token of version 1
    /// to report.
    pub(crate) fn begin(causes: &[Cause], metrics: &Arc<Metrics>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let store = MemoryStore::new(clock.clone());
        let issued = Arc::new(Mutex::new(0));
        let reported = causes
            .iter()
            .any(|cause| matches!(cause, Cause::Report { .. }));
        runtime.block_on(set_up(&store, reported));
        let in_runtime = runtime.enter();
        let begin = |cause| Instance::begin(&store, &clock, &issued, metrics, (id(), cause));
        let instances: Vec<_> = causes.iter().map(|cause| begin(*cause)).collect();
        drop(in_runtime);
        let histories = vec![Vec::new(); instances.len()];
        let mut run = Self {
            runtime,
            store,
            clock,
            issued,
            instances,
            histories,
            holder: None,
            lost: 0,
            commits: Vec::new(),
            row: None,
            secret_version: 1,
            broken: None,
        };
        run.look();
        run
    }

    /// Goes on by one action and looks whether a rule was broken.
    pub(crate) fn take(&mut self, action: Action) {
        match action {
            Action::Step(number) => self.step(number, false),
            Action::Fail(number) => {
                self.lost += usize::from(self.holder == Some((number, true)));
                self.step(number, true);
            }
            Action::Kill(number) => {
                self.lost += usize::from(self.holder == Some((number, true)));
                self.instances[number].kill();
            }
            Action::LeasesEnd => {
                let holder = self
                    .holder
                    .take()
                    .map(|(number, _)| self.instances[number].phase());
                self.lost += usize::from(
                    holder.is_some_and(|phase| matches!(phase, Phase::At(_) | Phase::Sleeps)),
                );
                self.clock.advance(FETCH + MARGIN);
            }
            Action::Edit => {
                self.lost += 1;
                self.runtime.block_on(edit(&self.store));
            }
        }
        self.look();
    }

    fn step(&mut self, number: usize, fails: bool) {
        match self.instances[number].phase() {
            Phase::At(call) => {
                let (call, seen) = (*call, self.answer_to(call));
                let history = &mut self.histories[number];
                // From one turn of the loop to the next it keeps only what it read first.
                if call == "claim_lease" {
                    history.truncate(1);
                }
                history.push(hash_of(&(call, seen, fails)));
                if call == "send" && self.holder.is_some_and(|(holder, _)| holder == number) {
                    self.holder = Some((number, true));
                }
            }
            Phase::Sleeps => self
                .runtime
                .block_on(tokio::time::advance(Duration::from_millis(250))),
            Phase::Done(_) | Phase::Dead => {}
        }
        let in_runtime = self.runtime.enter();
        self.instances[number].step(fails);
        drop(in_runtime);
        let row = self.runtime.block_on(self.store.find_token(&id())).unwrap();
        let epoch = |row: Option<&TokenRow>| row.map_or(0, |row| row.lease_epoch);
        if epoch(row.as_ref()) > epoch(self.row.as_ref()) {
            self.holder = Some((number, false));
        }
    }

    /// What decides the answer to a call.
    fn answer_to(&self, call: &str) -> u64 {
        let lease = self
            .row
            .as_ref()
            .map(|row| (row.lease_epoch, row.lease_until.epoch_ms()));
        match call {
            "claim_lease" => hash_of(&(lease, self.clock.now().epoch_ms())),
            "commit_token" | "release_lease" => hash_of(&lease),
            "send" => hash_of(&*self.issued.lock().unwrap()),
            "answer" => 0,
            _ => self.seen(),
        }
    }

    /// Whether somebody holds the lease.
    pub(crate) fn is_leased(&self) -> bool {
        self.row
            .as_ref()
            .is_some_and(|row| row.lease_until > self.clock.now())
    }

    /// What is stored, and the time.
    fn seen(&self) -> u64 {
        let row = self.row.as_ref().map(|row| {
            let token = row
                .token
                .as_ref()
                .map(|token| (token.text.expose().to_owned(), token.secret_version));
            (
                row.version,
                token,
                row.lease_epoch,
                row.lease_until.epoch_ms(),
                row.failed_attempts,
            )
        });
        hash_of(&(row, self.secret_version, self.clock.now().epoch_ms()))
    }

    /// The state that was come to.
    pub(crate) fn print(&self) -> u64 {
        let phases: Vec<_> = self.instances.iter().map(Instance::phase).collect();
        hash_of(&(
            self.seen(),
            *self.issued.lock().unwrap(),
            phases,
            &self.histories,
            self.holder,
            self.lost,
        ))
    }

    fn look(&mut self) {
        let row = self.runtime.block_on(self.store.find_token(&id())).unwrap();
        self.secret_version = self
            .runtime
            .block_on(self.store.find_secret(&id()))
            .unwrap()
            .unwrap()
            .version;
        if let Some((before, row)) = self.row.as_ref().zip(row.as_ref())
            && (row.version != before.version || row.token != before.token)
        {
            self.look_at_commit(before.version, row);
        }
        self.row = row;
    }

    fn look_at_commit(&mut self, before: i64, row: &TokenRow) {
        let (number, credential) = row
            .token
            .as_ref()
            .unwrap()
            .text
            .expose()
            .split_once('-')
            .unwrap();
        let commit = (row.lease_epoch, number.parse().unwrap());
        let made_with = row.token.as_ref().unwrap().secret_version;
        let rules = [
            (
                row.version == before + 1,
                "versions are counted without a gap",
            ),
            (
                self.commits
                    .last()
                    .is_none_or(|(epoch, _)| *epoch < commit.0),
                "one commit for one epoch",
            ),
            (
                self.commits
                    .last()
                    .is_none_or(|(_, number)| *number < commit.1),
                "no old token after a newer",
            ),
            (
                credential == format!("credential {made_with}"),
                "a token is marked with what it was made with",
            ),
        ];
        self.commits.push(commit);
        let broken = rules
            .into_iter()
            .find(|(holds, _)| !holds)
            .map(|(_, rule)| rule.to_owned());
        self.broken = self.broken.take().or(broken);
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

async fn set_up(store: &MemoryStore, with_token: bool) {
    let config = r#"{"url": "http://provider.invalid/", "method": "GET", "token_path": "access_token", "expires_in_path": "expires_in",
        "arguments": [{"name": "appid", "place": "url", "value": "$key_1"}]}"#;
    let realm = RealmRow {
        id: "r".to_owned(),
        config: Some(config.to_owned()),
        logic_code: None,
        comment: None,
        version: 1,
        revision: 1,
        created_at: START,
        updated_at: START,
        changed_at: START,
        deleted_at: None,
    };
    assert!(store.insert_realm(&realm).await.unwrap());
    assert!(store.insert_secret(&secret(1)).await.unwrap());
    if with_token {
        let lease = store
            .claim_lease(&id(), "before", START, START.plus(MARGIN))
            .await
            .unwrap()
            .unwrap();
        let obtained_at = START.minus(Duration::from_hours(1));
        let life = Life {
            obtained_at,
            expires_at: Some(START.plus(Duration::from_hours(1))),
        };
        let token = StoredToken {
            text: "0-credential 1".into(),
            life,
            realm_version: 1,
            secret_version: 1,
            outputs: Outputs::default(),
        };
        let commit = Commit {
            token,
            version: 1,
            due_at: None,
            was_asked: true,
            repeat_count: 0,
            is_foreign: false,
            previous: None,
            at: START,
        };
        assert!(store.commit_token(&lease, &commit).await.unwrap());
    }
}

fn secret(version: i64) -> SecretRow {
    let credentials = [("key_1", format!("credential {version}"))]
        .into_iter()
        .collect();
    SecretRow {
        id: id(),
        content: SecretContent {
            credentials,
            fixed: None,
        },
        next: None,
        pushed: Credentials::default(),
        pushed_version: 0,
        version,
        revision: version,
        created_at: START,
        updated_at: START,
        changed_at: START,
        deleted_at: None,
    }
}

async fn edit(store: &MemoryStore) {
    assert!(store.update_secret(&secret(2), 1).await.unwrap());
}
