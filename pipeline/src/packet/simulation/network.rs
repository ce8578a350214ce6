//! Clock and network between the clients and the engine: what is asked is lost, repeated, late and
//! in another order, and the clock is a bad one.

use super::oracle::Oracle;
use super::workload::{Dice, Workload};
use crate::packet::units::Time;

/// A request on its way.
struct Message {
    made: Time,
    request: Vec<u8>,
}

/// What is on its way, and the caller's clock.
pub(super) struct Network {
    dice: Dice,
    on_the_way: Vec<Message>,
    clock: Time,
    /// How far the clock goes at most from one command to the next, mostly.
    stride: i64,
    /// Whether the clock never leaps.
    calm: bool,
}

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

impl Network {
    pub(super) fn new(seed: u64) -> Network {
        let mut dice = Dice::new(!seed);
        // Some hours around a midnight in China.
        let start = 1_707_480_000_000_000_000 + dice.below(40 * HOUR as u64) as i64;
        let calm = dice.chance(30);
        let stride = dice.pick(&[SECOND / 1_000, SECOND / 20, SECOND]);
        Network { dice, on_the_way: Vec::new(), clock: Time(start), stride, calm }
    }

    /// What the clock shows now.
    pub(super) fn tick(&mut self, oracle: &Oracle) -> Time {
        let step = |dice: &mut Dice, end: i64| 1 + dice.below(end as u64) as i64;
        let Time(now) = self.clock;
        let due = oracle.next_due().filter(|due| due.0 > now).unwrap_or(Time(now));
        self.clock = match self.dice.below(if self.calm { 860 } else { 1_000 }) {
            0..350 => Time(now),
            350..450 => Time(now + step(&mut self.dice, 4)),
            450..850 => Time(now + step(&mut self.dice, self.stride)),
            850..905 => Time(now + step(&mut self.dice, 300 * SECOND)),
            905..910 => Time(now + step(&mut self.dice, 3 * HOUR)),
            910..925 => Time(now - HOUR),
            925..929 => Time(now + 25 * HOUR),
            929..935 => Time(due.0 - 1),
            935..945 => due,
            945..950 => Time(due.0 + 1),
            950..970 => match oracle.next_expiry() {
                Some(expiry) if expiry.0 > now => {
                    Time(expiry.0 - step(&mut self.dice, 5)).max(self.clock)
                }
                _ => self.clock,
            },
            // The last moments of a day, and the first at which it can be cleared.
            970..976 => Time(self.clock.day().end().0 - step(&mut self.dice, 4)),
            976..985 => {
                let decided = self.clock.day().end().after(oracle.limits.decision_max());
                Time(decided.0 + 1 - step(&mut self.dice, 4))
            }
            _ => oracle.clock.max(Time(0)),
        };
        self.clock
    }

    /// The next request that reaches the engine: one that was on its way, or a new one.
    pub(super) fn next(&mut self, workload: &mut Workload, oracle: &Oracle) -> Vec<u8> {
        let made = oracle.clock.max(self.clock);
        workload.now = made;
        self.on_the_way.retain(|message| workload.remembered(message.made));
        loop {
            if !self.on_the_way.is_empty() && self.dice.chance(25) {
                let which = self.dice.below(self.on_the_way.len() as u64) as usize;
                let message = self.on_the_way.swap_remove(which);
                if self.dice.chance(20) {
                    // Its reply is lost: the client sends it again.
                    let (made, request) = (message.made, message.request.clone());
                    self.on_the_way.push(Message { made, request });
                }
                return message.request;
            }
            let request = workload.request(oracle);
            match self.dice.below(100) {
                // It is lost, and the client sends it again later.
                0..4 => self.on_the_way.push(Message { made, request }),
                // It is lost, and the client gives up.
                4 => {}
                // It is late.
                5..12 => self.on_the_way.push(Message { made, request }),
                // It comes twice, or its reply is lost and the client sends it again.
                12..24 => {
                    self.on_the_way.push(Message { made, request: request.clone() });
                    return request;
                }
                _ => return request,
            }
        }
    }
}
