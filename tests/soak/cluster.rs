//! Three processes on one database, each with a proxy before it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::outages::{Outage, Outages, Place};
use crate::program::{Program, new_database};
use crate::provider::Provider;
use crate::proxy::Proxy;
use crate::realms::{DATABASE_TIMEOUT, FETCH_TIMEOUT, REALMS, Secret, WAIT, secrets_of};
use crate::tally::say;

/// Processes of a cluster.
pub(crate) const PLACES: usize = 3;

/// Where a process is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) place: Place,
    /// A process has a number of its own.
    pub(crate) process: u64,
    pub(crate) url: String,
}

/// A place and who is there.
pub(crate) struct Seat {
    pub(crate) place: Place,
    pub(crate) proxy: Proxy,
    database: String,
    door: String,
    program: Mutex<Option<Program>>,
    address: Mutex<Option<Address>>,
}

/// Three seats, and the secrets of their database.
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    pub(crate) number: usize,
    pub(crate) seats: Vec<Seat>,
    pub(crate) secrets: Vec<Secret>,
}

/// Number of the next process.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Seat {
    async fn take(place: Place, direct: &str, provider: &Arc<Provider>) -> Self {
        let mut url = url::Url::parse(direct).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let proxy = Proxy::start(&target, true).await;
        url.set_port(Some(proxy.port)).unwrap();
        let door = provider.open_door(place).await;
        let (program, address) = (Mutex::default(), Mutex::default());
        Self {
            place,
            proxy,
            database: url.to_string(),
            door,
            program,
            address,
        }
    }

    /// Starts a process and waits until it is ready.
    pub(crate) async fn start(&self) {
        let seconds = |duration: std::time::Duration| duration.as_secs().to_string();
        let (fetch, wait, database) = (
            seconds(FETCH_TIMEOUT),
            seconds(WAIT),
            seconds(DATABASE_TIMEOUT),
        );
        let settings = [
            ("TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS", fetch.as_str()),
            ("TOKEN_SERVER__UPSTREAM__PROXY_URL", &self.door),
            ("TOKEN_SERVER__RENEWAL__WAIT_SECONDS", &wait),
            ("TOKEN_SERVER__RENEWAL__SWEEP_INTERVAL_SECONDS", "5"),
            ("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", &database),
        ];
        #[expect(
            clippy::disallowed_methods,
            reason = "starts a process; nothing is served here"
        )]
        let program =
            tokio::task::block_in_place(|| Program::serve(&self.database, &[], &settings));
        program.wait_for_status("/readyz", 200).await;
        let process = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = Address {
            place: self.place,
            process,
            url: program.url.clone(),
        };
        *self.address.lock().unwrap() = Some(address);
        *self.program.lock().unwrap() = Some(program);
    }

    /// Where the process is reached, if one runs.
    pub(crate) fn address(&self) -> Option<Address> {
        self.address.lock().unwrap().clone()
    }

    /// `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(program) = self.program.lock().unwrap().as_ref() {
            program.signal(name);
        }
    }

    /// Kills the process. Its log is kept in `target/soak`.
    pub(crate) fn kill(&self, outages: &Outages) {
        let process = self.address.lock().unwrap().take();
        if let Some(program) = self.program.lock().unwrap().take() {
            let kill = outages.begin(self.place, Outage::Killed);
            program.signal("KILL");
            let log = program.log();
            drop(program);
            outages.end(kill);
            keep(
                self.place,
                process.map_or(0, |address| address.process),
                &log,
            );
        }
    }
}

/// Writes a log down for whoever looks for the reason of a broken invariant.
fn keep(place: Place, process: u64, log: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/soak");
    let file = format!("{folder}/{}-{}-{process}.log", place.cluster, place.number);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, log));
    if let Err(error) = written {
        say(&format!("{file}: {error}"));
    }
}

impl Cluster {
    /// On a new database of a server, with all realms and secrets.
    pub(crate) async fn start(
        name: &'static str,
        number: usize,
        server: &str,
        provider: &Arc<Provider>,
        mut post: impl FnMut(usize) -> u64,
    ) -> Self {
        let database = new_database(server).await;
        let mut seats = Vec::new();
        for seat in 0..PLACES {
            let seat = Seat::take(
                Place {
                    cluster: number,
                    number: seat,
                },
                &database,
                provider,
            )
            .await;
            seat.start().await;
            seats.push(seat);
        }
        let secrets = secrets_of(number);
        {
            let first = seats[0].program.lock().unwrap().take().unwrap();
            for realm in &REALMS {
                first
                    .post("/api/realm", &realm.document(&seats[0].door))
                    .await;
            }
            for secret in &secrets {
                first
                    .post("/api/secret", &secret.document(post(secret.account)))
                    .await;
            }
            *seats[0].program.lock().unwrap() = Some(first);
        }
        Self {
            name,
            number,
            seats,
            secrets,
        }
    }

    /// Seats with a running process.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.seats.iter().filter_map(Seat::address).collect()
    }
}
