//! The database behind `faulty` (PyPI): slow, losing what is sent, cut off and back.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::crowd::{ASK, Caller, Crowd, FLUSH};
use crate::fleet::{Fleet, LONG_LEASE, SHORT_LEASE, WAIT, assert_all_got};
use crate::issuer::Issuer;
use crate::program::{PATIENCE, lines_of, needed, new_database};
use crate::storms::{fetched_once, miss_and_flush};

/// How long the database is lossy.
const LOSSY: Duration = Duration::from_secs(12);
/// A token's life meanwhile, in seconds: several expire.
const LIFE: u64 = 3;
/// How long a statement may take.
const STATEMENT: (&str, &str) = ("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", "2");

/// The proxy; cut when dropped.
struct Faulty {
    child: Child,
    said: Receiver<String>,
    port: u16,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Faulty {
    /// `None` where it is not installed.
    fn start(target: &str, port: u16) -> Option<Self> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/peers/python/faulty_proxy.py"
        );
        let mut command = Command::new(needed("TEST_PYTHON")?);
        command.arg(script).arg(target).arg(port.to_string());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = lines_of(child.stdout.take().unwrap(), |_| {});
        let hello: Value = serde_json::from_str(&said.recv_timeout(PATIENCE).unwrap()).unwrap();
        let port = hello["url"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        Some(Self { child, said, port })
    }

    /// `clear`, `slow` or `lossy`, from now on.
    fn be(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
        self.said.recv_timeout(PATIENCE).unwrap();
    }
}

/// A new database and the way to it through a proxy.
async fn behind_faulty(server: &str) -> Option<(Faulty, String, String)> {
    let mut url = url::Url::parse(&new_database(server).await).unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let faulty = Faulty::start(&target, 0)?;
    url.set_port(Some(faulty.port)).unwrap();
    Some((faulty, target, url.to_string()))
}

async fn a_slow_database_that_is_cut_off(server: &str) {
    let Some((mut faulty, target, database)) = behind_faulty(server).await else {
        return;
    };
    let fleet = Fleet::on(&[database.as_str(); 3], &[LONG_LEASE[0], STATEMENT], &[]).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    faulty.be("slow");
    miss_and_flush(&fleet, &issuer).await;

    let port = faulty.port;
    drop(faulty);
    for program in &fleet.programs {
        program.wait_for_status("/readyz?strict=1", 503).await;
    }
    assert_all_got("token-2", &fleet.ask_all(ASK).await);
    let _back = Faulty::start(&target, port);
    for program in &fleet.programs {
        program.wait_for_status("/readyz?strict=1", 200).await;
    }
    assert_eq!(issuer.calls(), 2, "nothing was due");
    fetched_once(&fleet, &issuer, 3, FLUSH).await;
}

/// Of what goes either way one in fifty is lost: statements hang, connections are out of step.
async fn a_lossy_database(server: &str) {
    let Some((mut faulty, _, database)) = behind_faulty(server).await else {
        return;
    };
    let fleet = Fleet::on(&[database.as_str(); 3], &[SHORT_LEASE[0], STATEMENT], &[]).await;
    let issuer = Issuer::start(LIFE).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    assert_all_got("token-1", &fleet.ask_all(ASK).await);
    faulty.be("lossy");
    let end = Instant::now() + LOSSY;
    let crowds = join_all(fleet.programs.iter().map(|program| Crowd::at(program, 10))).await;
    let callers = crowds.into_iter().flat_map(|crowd| crowd.callers);
    let good: Vec<usize> = join_all(callers.map(|caller| ask_until(end, caller, &issuer))).await;
    assert!(good.iter().sum::<usize>() > 0, "not one was answered");

    faulty.be("clear");
    for program in &fleet.programs {
        program.wait_for_status("/readyz?strict=1", 200).await;
        let mended = async { while program.token().await.0 != 200 {} };
        assert!(
            tokio::time::timeout(PATIENCE, mended).await.is_ok(),
            "{}",
            program.log()
        );
    }
}

/// Each answer is a living token, or says in time that there is none; how many were tokens.
async fn ask_until(end: Instant, mut caller: Caller, issuer: &Issuer) -> usize {
    let mut good = 0;
    while Instant::now() < end {
        let answer = caller.ask(ASK).await;
        assert!(
            answer.took < WAIT + PATIENCE / 6,
            "later than its deadline: {answer:?}"
        );
        if answer.status == 200 {
            let token = answer.body["token"].as_str().unwrap();
            assert!(
                !issuer.is_dead_at(token, answer.asked_at),
                "asked for after its death: {answer:?}"
            );
            good += 1;
        } else {
            assert!(
                [503, 504].contains(&answer.status) && answer.body["code"].is_string(),
                "{answer:?}"
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    good
}

crate::program::on_both! {
    a_slow_database_that_is_cut_off: a_slow_mariadb_that_is_cut_off_costs_no_fetch,
        a_slow_postgresql_that_is_cut_off_costs_no_fetch;
    a_lossy_database: a_lossy_mariadb_kills_no_token, a_lossy_postgresql_kills_no_token;
}
