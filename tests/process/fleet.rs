//! Three instances on one database, and three hundred callers at each.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::crowd::{Answer, Crowd};
use crate::program::{Program, new_database};

/// Callers of each instance.
pub(crate) const CALLERS: usize = 300;
/// What [`Fleet::start`] sets: how long a caller waits at most.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// How much later than its deadline a caller may be answered on a slow machine.
const SLACK: Duration = Duration::from_secs(10);

/// Settings of an instance: environment names and values.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A lease of 12 s: nothing in the test takes so long.
pub(crate) const LONG_LEASE: Settings<'static> =
    &[("TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS", "10")];
/// A lease of 3 s: the fetch and 2 s more.
pub(crate) const SHORT_LEASE: Settings<'static> =
    &[("TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS", "1")];

/// A lease of 5 s: time for callers to gather while the provider is being asked.
pub(crate) const MEDIUM_LEASE: Settings<'static> =
    &[("TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS", "3")];

/// Three instances.
pub(crate) struct Fleet {
    pub(crate) programs: Vec<Program>,
}

impl Fleet {
    /// On a new database of this server.
    pub(crate) async fn start(server: &str, settings: Settings<'_>) -> Self {
        let database = new_database(server).await;
        Self::on(&[&database, &database, &database], settings, &[]).await
    }

    /// Each on the database under this URL; the first one has further settings.
    pub(crate) async fn on(
        databases: &[&str],
        settings: Settings<'_>,
        first: Settings<'_>,
    ) -> Self {
        let wait = WAIT.as_secs().to_string();
        let wait = [("TOKEN_SERVER__RENEWAL__WAIT_SECONDS", wait.as_str())];
        let start = |(number, database): (usize, &&str)| {
            let first = if number == 0 { first } else { &[] };
            Program::serve(database, &[], &[&wait, settings, first].concat())
        };
        let programs: Vec<_> = databases.iter().enumerate().map(start).collect();
        for program in &programs {
            program.wait_for_status("/readyz", 200).await;
        }
        Self { programs }
    }

    /// Saves a realm with its secret, each at another instance.
    pub(crate) async fn configure(&self, realm: &Value) {
        self.programs[0].post("/api/realm", realm).await;
        self.programs[1]
            .post("/api/secret", &json!({"realm": "r", "key": "k"}))
            .await;
    }

    /// 300 callers at each of these instances send a request; returns when all are being handled.
    pub(crate) async fn storm(&self, instances: &[usize], request: &str) -> Storm {
        let connect = |instance: &usize| Crowd::at(&self.programs[*instance], CALLERS);
        let mut crowds = join_all(instances.iter().map(connect)).await;
        join_all(crowds.iter_mut().map(|crowd| crowd.send(request))).await;
        join_all(
            instances
                .iter()
                .map(|instance| caught_up(&self.programs[*instance])),
        )
        .await;
        Storm { crowds }
    }

    /// 300 callers at one instance send a request; returns when it is on its way.
    pub(crate) async fn storm_unawaited(&self, instance: usize, request: &str) -> Storm {
        let mut crowd = Crowd::at(&self.programs[instance], CALLERS).await;
        crowd.send(request).await;
        Storm {
            crowds: vec![crowd],
        }
    }

    /// All at all instances; what they got.
    pub(crate) async fn ask_all(&self, request: &str) -> Vec<Answer> {
        self.storm(&[0, 1, 2], request).await.answers().await
    }
}

/// Requests are taken up in the order they come, and so are their statements: once a few later ones
/// that need the database were answered, the earlier ones have asked it.
async fn caught_up(program: &Program) {
    for _ in 0..10 {
        program.get("/api/realm?pageSize=1").await;
    }
}

/// Callers who wait for their answers.
pub(crate) struct Storm {
    crowds: Vec<Crowd>,
}

impl Storm {
    /// What each got.
    pub(crate) async fn answers(mut self) -> Vec<Answer> {
        let all = join_all(self.crowds.iter_mut().map(Crowd::answers)).await;
        let all: Vec<_> = all.into_iter().flatten().collect();
        for answer in &all {
            assert!(
                answer.took < WAIT + SLACK,
                "later than its deadline: {answer:?}"
            );
        }
        all
    }
}

/// All were given this token.
pub(crate) fn assert_all_got(token: &str, answers: &[Answer]) {
    let other = answers
        .iter()
        .find(|answer| answer.status != 200 || answer.body["token"] != token);
    assert!(
        other.is_none(),
        "{token} expected, one of {} got {other:?}",
        answers.len()
    );
}
