//! What goes wrong: processes, their databases, the provider; and what people do at the worst
//! moment.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::callers::{Callers, pick};
use crate::cluster::{Cluster, Seat};
use crate::dice::Dice;
use crate::judge::Kind;
use crate::outages::{Outage, Outages};
use crate::provider::{Mood, Provider, Spell};
use crate::realms::LEASE;
use crate::tally::say;

/// What happens to the processes of a cluster, one at a time.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// SIGKILL, and another process a moment later.
    Kill,
    /// SIGSTOP for longer than a lease.
    Stop,
    /// One process's connections to the database end, and come again.
    Cut,
    /// Those of all.
    CutAll,
    /// The database says nothing for a moment.
    Freeze,
}

const MISHAPS: [Mishap; 7] = [
    Mishap::Kill,
    Mishap::Kill,
    Mishap::Stop,
    Mishap::Stop,
    Mishap::Cut,
    Mishap::CutAll,
    Mishap::Freeze,
];

/// Breaks a cluster.
pub(crate) struct Faults {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) outages: Arc<Outages>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) callers: Callers,
}

/// Connections that were cut are noticed, and made anew, within this time.
const RECONNECTED: Duration = Duration::from_secs(1);

impl Faults {
    /// One thing after another happens to the processes.
    pub(crate) async fn befall(&self, mut dice: Dice) {
        loop {
            sleep(dice.between(Duration::from_secs(1), Duration::from_secs(7))).await;
            let mishap = *pick(&MISHAPS, &mut dice).unwrap();
            let seat = pick(&self.cluster.seats, &mut dice).unwrap();
            say(&format!(
                "{} {}: {mishap:?}",
                self.cluster.name, seat.place.number
            ));
            let seconds = |dice: &mut Dice, least, most| {
                dice.between(Duration::from_secs(least), Duration::from_secs(most))
            };
            match mishap {
                Mishap::Kill => {
                    seat.kill(&self.outages);
                    sleep(seconds(&mut dice, 0, 4)).await;
                    seat.start().await;
                }
                Mishap::Stop => self.stop(seat, LEASE + seconds(&mut dice, 1, 4)).await,
                Mishap::Cut => self.cut(seat, seconds(&mut dice, 0, 7)).await,
                Mishap::CutAll => {
                    let lasts = seconds(&mut dice, 0, 7);
                    join_all(self.cluster.seats.iter().map(|seat| self.cut(seat, lasts))).await;
                }
                Mishap::Freeze => self.freeze(seat, seconds(&mut dice, 1, 5)).await,
            }
        }
    }

    async fn stop(&self, seat: &Seat, lasts: Duration) {
        let stop = self.outages.begin(seat.place, Outage::Stopped);
        seat.signal("STOP");
        sleep(lasts).await;
        seat.signal("CONT");
        self.outages.end(stop);
    }

    async fn cut(&self, seat: &Seat, lasts: Duration) {
        let cut = self.outages.begin(seat.place, Outage::Cut);
        seat.proxy.cut();
        sleep(lasts).await;
        seat.proxy.mend();
        sleep(RECONNECTED).await;
        self.outages.end(cut);
    }

    async fn freeze(&self, seat: &Seat, lasts: Duration) {
        let cut = self.outages.begin(seat.place, Outage::Cut);
        seat.proxy.freeze();
        sleep(lasts).await;
        seat.proxy.mend();
        sleep(RECONNECTED).await;
        self.outages.end(cut);
    }

    /// The provider has its moods.
    pub(crate) async fn enchant(&self, mut dice: Dice) {
        loop {
            sleep(dice.between(Duration::from_secs(2), Duration::from_secs(10))).await;
            let mood = *pick(&Mood::BAD, &mut dice).unwrap();
            let percent = 30 + dice.roll(71);
            say(&format!(
                "{}: the provider: {mood:?}, {percent} %",
                self.cluster.name
            ));
            self.provider
                .enchant(self.cluster.number, Some(Spell { mood, percent }));
            sleep(dice.between(Duration::from_secs(1), Duration::from_secs(8))).await;
            self.provider.enchant(self.cluster.number, None);
        }
    }

    /// Callers storm, operators edit.
    pub(crate) async fn meddle(&self, mut dice: Dice) {
        loop {
            sleep(dice.between(Duration::from_millis(500), Duration::from_secs(5))).await;
            let secret = *pick(&self.cluster.secrets, &mut dice).unwrap();
            match dice.roll(3) {
                0 => self.callers.storm(&self.cluster, secret, Kind::Flush).await,
                1 => {
                    self.callers
                        .storm(&self.cluster, secret, Kind::Report)
                        .await;
                }
                _ => {
                    let addresses = self.cluster.addresses();
                    let Some(address) = pick(&addresses, &mut dice) else {
                        continue;
                    };
                    self.callers.edit(address.clone(), secret).await;
                }
            }
        }
    }

    /// Ends what lasts, wherever a fault was broken off.
    pub(crate) async fn mend(&self) {
        self.provider.enchant(self.cluster.number, None);
        for seat in &self.cluster.seats {
            seat.proxy.mend();
            seat.signal("CONT");
            if seat.address().is_none() {
                seat.start().await;
            }
        }
    }
}
