//! The rules, and the scenarios they are checked in.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use stateright::{Checker, Model, Property};
use token_server::service::Cause;
use token_server::telemetry::Metrics;

use crate::instance::{Instance, Phase};
use crate::run::{Action, Run};

/// What may go wrong in a scenario, how often.
#[derive(Clone, Copy, Debug, Default)]
struct Mishaps {
    kills: usize,
    leases_end: usize,
    fails: usize,
    edits: usize,
}

struct Scenario {
    causes: Vec<Cause>,
    mishaps: Mishaps,
    metrics: Arc<Metrics>,
}

/// A schedule, and what it came to.
#[derive(Clone, Debug)]
struct State {
    schedule: Vec<Action>,
    print: u64,
    phases: Vec<Phase>,
    calls: usize,
    /// The calls that mishaps allow beside the first.
    lost: usize,
    is_leased: bool,
    broken: Option<String>,
    finishes: bool,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            self.print,
            self.count(|action| !matches!(action, Action::Step(_))),
        )
            .hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl State {
    fn count(&self, is: impl Fn(&Action) -> bool) -> usize {
        self.schedule.iter().filter(|action| is(action)).count()
    }
}

/// Lets everybody go on in turn until all have answered; leases end meanwhile.
fn finish(run: &mut Run) -> Result<(), String> {
    for turn in 0..400 {
        let is_live =
            |instance: &Instance| !matches!(instance.phase(), Phase::Done(_) | Phase::Dead);
        let live: Vec<_> = (0..run.instances.len())
            .filter(|number| is_live(&run.instances[*number]))
            .collect();
        if live.is_empty() {
            return run.broken.clone().map_or(Ok(()), Err);
        }
        if turn % 50 == 49 {
            run.take(Action::LeasesEnd);
        }
        for number in live {
            run.take(Action::Step(number));
        }
    }
    Err("not all have answered".to_owned())
}

impl Scenario {
    fn run(&self, schedule: &[Action]) -> Run {
        let mut run = Run::begin(&self.causes, &self.metrics);
        for action in schedule {
            run.take(*action);
        }
        run
    }

    fn state(&self, schedule: Vec<Action>) -> State {
        let mut run = self.run(&schedule);
        let phases: Vec<_> = run
            .instances
            .iter()
            .map(|instance| instance.phase().clone())
            .collect();
        let (print, broken) = (run.print(), run.broken.clone());
        let calls = usize::try_from(*run.issued.lock().unwrap()).unwrap();
        let (is_leased, lost) = (run.is_leased(), run.lost);
        let finishes = finish(&mut run).is_ok() && all_answered(&run, &schedule);
        State {
            schedule,
            print,
            phases,
            calls,
            lost,
            is_leased,
            broken,
            finishes,
        }
    }
}

/// Whoever was not killed has a token, unless a statement of its own failed.
fn all_answered(run: &Run, schedule: &[Action]) -> bool {
    run.instances
        .iter()
        .enumerate()
        .all(|(number, instance)| match instance.phase() {
            Phase::Done(Ok(_)) | Phase::Dead => true,
            Phase::Done(Err(_)) => schedule.contains(&Action::Fail(number)),
            Phase::At(_) | Phase::Sleeps => false,
        })
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.state(Vec::new())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = |is: fn(&Action) -> bool, most| state.count(is) < most;
        for (number, phase) in state.phases.iter().enumerate() {
            if matches!(phase, Phase::Done(_) | Phase::Dead) {
                continue;
            }
            actions.push(Action::Step(number));
            if left(
                |action| matches!(action, Action::Kill(_)),
                self.mishaps.kills,
            ) {
                actions.push(Action::Kill(number));
            }
            let is_statement =
                matches!(phase, Phase::At(call) if !["send", "answer"].contains(call));
            if is_statement
                && left(
                    |action| matches!(action, Action::Fail(_)),
                    self.mishaps.fails,
                )
            {
                actions.push(Action::Fail(number));
            }
        }
        let is_over = actions.is_empty();
        if !is_over
            && state.is_leased
            && left(
                |action| *action == Action::LeasesEnd,
                self.mishaps.leases_end,
            )
        {
            actions.push(Action::LeasesEnd);
        }
        if !is_over && left(|action| *action == Action::Edit, self.mishaps.edits) {
            actions.push(Action::Edit);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut schedule = state.schedule.clone();
        schedule.push(action);
        Some(self.state(schedule))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("commits keep their order", |_, state: &State| {
                state.broken.is_none()
            }),
            Property::always(
                "one call, and one more for each holder lost",
                |_, state: &State| state.calls <= 1 + state.lost,
            ),
            Property::always("whoever lives gets a token", |_, state: &State| {
                state.finishes
            }),
            Property::sometimes("several wait for one", |_, state: &State| {
                state
                    .phases
                    .iter()
                    .filter(|phase| **phase == Phase::Sleeps)
                    .count()
                    == state.phases.len() - 1
            }),
        ]
    }
}

/// Checks every state; prints how many there were.
#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn check(causes: &[Cause], mishaps: Mishaps) {
    let scenario = Scenario {
        causes: causes.to_vec(),
        mishaps,
        metrics: Arc::new(Metrics::new()),
    };
    let checker = scenario.checker().threads(2).spawn_bfs().join();
    println!(
        "{causes:?} {mishaps:?}: {} states",
        checker.unique_state_count()
    );
    checker.assert_properties();
}

const REPORT: Cause = Cause::Report { version: 1 };

#[test]
fn three_instances_miss_together() {
    check(&[Cause::Miss; 3], Mishaps::default());
}

#[test]
fn a_holder_is_killed_at_any_call_and_its_lease_ends() {
    check(
        &[Cause::Miss; 2],
        Mishaps {
            kills: 1,
            leases_end: 1,
            ..Mishaps::default()
        },
    );
}

#[test]
fn leases_end_under_their_holders_again_and_again() {
    check(
        &[Cause::Miss; 2],
        Mishaps {
            leases_end: 2,
            ..Mishaps::default()
        },
    );
}

#[test]
fn reports_of_one_token_meet_slow_holders() {
    check(
        &[REPORT; 2],
        Mishaps {
            kills: 1,
            leases_end: 1,
            ..Mishaps::default()
        },
    );
}

#[test]
fn an_operator_edits_at_any_moment() {
    check(
        &[Cause::Miss; 2],
        Mishaps {
            edits: 1,
            leases_end: 1,
            ..Mishaps::default()
        },
    );
}

#[test]
fn a_statement_fails_at_any_moment() {
    check(
        &[REPORT; 2],
        Mishaps {
            fails: 1,
            leases_end: 1,
            ..Mishaps::default()
        },
    );
}
