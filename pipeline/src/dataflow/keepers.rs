//! What the operators of a worker keep over steps, where a snapshot finds it.
//!
//! An operator gets its state from [`Keepers::keep`], which takes nothing that cannot be in a
//! snapshot and hands it back as it was when the run goes on from one. A snapshot is taken between
//! two steps, when everything that follows from the steps before has been done: operators that work
//! on by themselves say so by [`Keepers::settles`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::snapshot::{Put, Saved, Share, Snapshot};

/// The worker that has what only one has.
pub(super) const OWNER: usize = 0;

/// Up to when an operator has done all that follows from what came to it.
#[derive(Clone, Default)]
pub(super) struct Settled(Rc<Cell<u64>>);

impl Settled {
    /// The operator's frontier is at `until`, none at the end, and all before is done.
    pub(super) fn set(&self, until: Option<u64>) {
        self.0.set(until.unwrap_or(u64::MAX));
    }
}

/// The keepers of one worker.
pub(super) struct Keepers {
    index: usize,
    peers: usize,
    /// Where the run goes on, if it does not begin.
    restored: Option<Arc<Saved>>,
    kept: RefCell<BTreeMap<String, Rc<RefCell<dyn Snapshot>>>>,
    settled: RefCell<Vec<Until>>,
    /// The first part that could not be read back.
    broken: RefCell<Option<String>>,
}

/// An operator's frontier, and how far it has to be when all steps until a time are done.
type Until = (Settled, Box<dyn Fn(u64) -> u64>);

impl Keepers {
    pub(super) fn new(index: usize, peers: usize, restored: Option<Arc<Saved>>) -> Keepers {
        Keepers {
            index,
            peers,
            restored,
            kept: RefCell::default(),
            settled: RefCell::default(),
            broken: RefCell::default(),
        }
    }

    /// The state of an operator: as given, or as it was. Of several of one name, the order in which
    /// they are wired, which is the same for all workers, tells one from the other.
    pub(super) fn keep<S: Snapshot + 'static>(&self, name: &str, mut state: S) -> Rc<RefCell<S>> {
        let mut name = name.to_owned();
        while self.kept.borrow().contains_key(&name) {
            name.push('\'');
        }
        if let Some(restored) = &self.restored {
            let share = state.share();
            let own = restored.parts.iter().filter(|part| part.keeper == name);
            for part in own.filter(|part| self.is_loaded(share, part.number as usize)) {
                let bytes = part.read();
                let loaded = bytes.and_then(|bytes| state.load(part.number as usize, &bytes));
                if let Err(broken) = loaded {
                    let said = || format!("part {} of {name}: {}", part.number, broken.0);
                    self.broken.borrow_mut().get_or_insert_with(said);
                }
            }
        }
        let state = Rc::new(RefCell::new(state));
        self.kept.borrow_mut().insert(name, state.clone());
        state
    }

    /// What an operator says how far it is with. All steps until a time are done when it is at
    /// `goal` of that time.
    pub(super) fn settles(&self, goal: impl Fn(u64) -> u64 + 'static) -> Settled {
        let settled = Settled::default();
        self.settled.borrow_mut().push((settled.clone(), Box::new(goal)));
        settled
    }

    /// Whether everything that follows from the steps until `until` has been done here.
    pub(super) fn are_settled(&self, until: u64) -> bool {
        self.settled.borrow().iter().all(|(settled, goal)| settled.0.get() >= goal(until))
    }

    /// Whether all parts were read back, and each is somebody's.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(broken) = &*self.broken.borrow() {
            return Err(format!("the snapshot cannot be read: {broken}"));
        }
        let kept = self.kept.borrow();
        let parts = self.restored.iter().flat_map(|state| &state.parts);
        let mut others = parts.filter(|part| !kept.contains_key(&part.keeper));
        others.next().map_or(Ok(()), |part| {
            let keeper = &part.keeper;
            Err(format!("the snapshot cannot be read: nothing here keeps what {keeper:?} kept"))
        })
    }

    /// All that this worker writes down, a part at a time.
    pub(super) fn save(&self, put: &mut Put<'_>) {
        for (at, (keeper, state)) in self.kept.borrow().iter().enumerate() {
            let state = state.borrow();
            let share = state.share();
            let is_own = match share {
                Share::Groups => true,
                // All have the same; the work is shared out.
                Share::Whole => at % self.peers == self.index,
                Share::Owner => self.index == OWNER,
            };
            if !is_own {
                continue;
            }
            state.save(&mut |number, bytes| {
                // What a worker has of the groups of others is empty.
                if share != Share::Groups || number % self.peers == self.index {
                    put(keeper, number as u32, bytes);
                }
            });
        }
    }

    fn is_loaded(&self, share: Share, number: usize) -> bool {
        match share {
            Share::Groups => number % self.peers == self.index,
            Share::Whole => true,
            Share::Owner => self.index == OWNER,
        }
    }
}
