//! How long each operator of a worker was at work, from what timely logs of its schedule.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// Times by operator, without those of the operators inside it.
#[derive(Default)]
struct Times {
    names: BTreeMap<usize, String>,
    spent: BTreeMap<usize, Duration>,
    /// The operators at work, from the outermost to the innermost: since when, and how much of
    /// that the ones inside have taken.
    at_work: Vec<(usize, Duration, Duration)>,
}

/// Collects a worker's times from now on.
pub(super) struct OperatorTimes(Rc<RefCell<Times>>);

impl OperatorTimes {
    /// Listens to what the worker logs; only dataflows built after it are heard.
    pub(super) fn listen(worker: &Worker) -> OperatorTimes {
        let times = Rc::new(RefCell::new(Times::default()));
        if let Some(mut register) = worker.log_register() {
            let times = times.clone();
            register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
                for (time, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                    times.borrow_mut().take(time, event);
                }
            });
        }
        OperatorTimes(times)
    }

    /// Seconds by the operators' names, once what was logged is heard.
    pub(super) fn seconds(self, worker: &Worker) -> BTreeMap<String, f64> {
        if let Some(mut register) = worker.log_register() {
            register.flush();
            register.remove("timely");
        }
        let times = self.0.borrow();
        let mut seconds = BTreeMap::new();
        for (id, spent) in &times.spent {
            if let Some(name) = times.names.get(id) {
                *seconds.entry(name.clone()).or_default() += spent.as_secs_f64();
            }
        }
        seconds
    }
}

impl Times {
    fn take(&mut self, time: Duration, event: TimelyEvent) {
        match event {
            TimelyEvent::Operates(operates) => {
                self.names.insert(operates.id, operates.name);
            }
            TimelyEvent::Schedule(schedule) => match schedule.start_stop {
                StartStop::Start => self.at_work.push((schedule.id, time, Duration::ZERO)),
                StartStop::Stop => {
                    let Some((id, since, inside)) = self.at_work.pop() else { return };
                    let whole = time.saturating_sub(since);
                    *self.spent.entry(id).or_default() += whole.saturating_sub(inside);
                    if let Some((_, _, inside)) = self.at_work.last_mut() {
                        *inside += whole;
                    }
                }
            },
            _ => {}
        }
    }
}
