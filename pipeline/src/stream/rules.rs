//! How other rules, or another model, come into force in a stream that runs.
//!
//! They are in force from the first tick on that is after everything handed to the session, and
//! after every change before: what has come and waits for its turn is decided by them already. That
//! time is committed, with their bytes, and then they decide: so a replay of the input log has the
//! same rules at the same events, whatever the program dies of.
//!
//! Where nothing has been handed to the session, they are in force from the beginning. What they
//! need and the session does not compute is worked out beside it first, see [`mod@super::shadow`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::config::Config;
use super::control::{Begin, Change, Entry, Held};
use super::live::{How, Stream};
use super::reader::Reader;
use super::reload::{Read, Reload, tell_refused};
use super::shadow::{Basis, Caught, Due, Round, Shadow};
use super::told::Told;
use crate::changes::Deciders;
use crate::diagnostic::{Failure, Lang, Message};
use crate::event::{Schema, TIME_MIN};
use crate::run::{InForce, Laid};
use crate::source::log::Heartbeat;

/// The digits of a hash that tell one from another for people.
const SHOWN: usize = 12;

/// The rules of a stream, as far as they may change.
pub(super) struct Rules {
    pub(super) schema: Arc<Schema>,
    reload: Reload,
    /// The hashes of the rules and models whose bytes the control topic holds.
    held: BTreeSet<String>,
    begin: Begin,
    /// Those that are committed, in the order of offsets for each partition.
    pub(super) heartbeats: Vec<Heartbeat>,
    /// A session that is being built for rules that need more than is computed.
    shadow: Option<Shadow>,
}

impl Drop for Rules {
    fn drop(&mut self) {
        self.shadow.iter().for_each(Shadow::cancel);
    }
}

impl Rules {
    pub(super) fn new(
        config: &Config,
        how: &How<'_>,
        (held, begin): (&Held, &Begin),
        schema: &Arc<Schema>,
        disk: Option<Result<Read, Failure>>,
    ) -> Rules {
        let mut reload = Reload::new(config, schema, &how.reload);
        match disk {
            Some(Ok(read)) => reload.next = Some(read),
            Some(Err(failure)) => tell_refused(&reload.places, &failure, how.warn),
            None => {}
        }
        let Deciders { rules_hash, .. } = &begin.deciders;
        let begun = begin.deciders.models().chain([rules_hash]);
        Rules {
            schema: schema.clone(),
            reload,
            held: held.parts.keys().chain(begun).cloned().collect(),
            begin: begin.clone(),
            heartbeats: held.heartbeats.clone(),
            shadow: None,
        }
    }
}

impl Stream<'_> {
    /// Reads rules again where that is asked for, and has them come into force when they are right.
    pub(super) fn reload(&mut self) -> Result<(), Failure> {
        if !self.engine.is_live() {
            return Ok(());
        }
        if let Some(shadow) = self.rules.shadow.take() {
            // Rules that are asked for meanwhile come after these.
            return self.go_on_with(shadow);
        }
        if let Some(failure) = self.rules.reload.poll(self.engine.session().timetable()) {
            tell_refused(&self.rules.reload.places, &failure, self.how.warn);
            self.count_reload("refused");
        }
        let Some(read) = self.rules.reload.next.take() else { return Ok(()) };
        let (en, zh) = self.rules.reload.places.named();
        if read.deciders() == self.engine.session().timetable().last_deciders() {
            (self.how.tell)(&Message::new(
                format!("the {en} on disk are those that are in force"),
                format!("磁盘上的{zh}与生效的{zh}相同"),
            ));
            self.count_reload("unchanged");
            return Ok(());
        }
        match (self.engine.change_time(), self.engine.session().lacks(&read.candidate)) {
            (None, _) => self.begin_with(&read),
            (Some(time), None) => self.change(&read, time),
            (Some(_), Some(names)) => self.work_out(read, &names),
        }
    }

    /// Has rules come into force whose features are all computed.
    fn change(&mut self, read: &Read, effective_time: i64) -> Result<(), Failure> {
        self.commit_change(read, effective_time)?;
        if self.how.place.is_some() {
            self.engine.tell(Told::of_change(read, effective_time)?.to_bytes());
        }
        let in_force = self.engine.change(&read.candidate, effective_time);
        self.tell_in_force(&in_force);
        Ok(())
    }

    /// Has rules decide from the first event on.
    fn begin_with(&mut self, read: &Read) -> Result<(), Failure> {
        self.commit_change(read, TIME_MIN)?;
        let timetable = self.engine.session().timetable().with(&read.candidate, TIME_MIN);
        let laid = Laid::new(timetable, Vec::new());
        self.snapshots.laid_out(laid.layout());
        let session = self.session_of(laid, None, None)?;
        self.engine.go_on_with(session);
        self.tell_in_force(&InForce { deciders: read.deciders(), effective_time: TIME_MIN });
        Ok(())
    }

    /// Commits that rules are in force from a time on, with everything that was decided before.
    fn commit_change(&mut self, read: &Read, effective_time: i64) -> Result<(), Failure> {
        let mut entries = read.entries(&self.rules.held)?;
        let deciders = read.deciders();
        let change = Change { effective_time, deciders: deciders.clone(), backfilled: true };
        entries.push(Entry::Change(change));
        self.commit_with(Vec::new(), entries, true)?;
        self.rules.held.extend(deciders.models().chain([&deciders.rules_hash]).cloned());
        Ok(())
    }

    fn tell_in_force(&mut self, in_force: &InForce) {
        let InForce { deciders, effective_time } = in_force;
        let shown = shown(deciders);
        let (from, zh_from) = match *effective_time {
            TIME_MIN => ("from the first event on".to_owned(), "自首个事件起".to_owned()),
            time => (format!("from {} on", moment(time)), format!("自 {} 起", moment(time))),
        };
        (self.how.tell)(&Message::new(
            format!("the rules {} are in force {from}", shown.en),
            format!("规则 {} {zh_from}生效", shown.zh),
        ));
        if !self.engine.session().timetable().has_live_rules() {
            (self.how.warn)(&Message::new(
                "none of them is live: no rule decides",
                "其中没有 status 为 live 的规则：不由任何规则决策",
            ));
        }
        self.settings.idle = self.engine.session().settings().idle;
        self.count_reload("taken");
        self.report_rules();
    }

    /// Begins to build a session that computes what rules need.
    fn work_out(&mut self, read: Read, names: &[String]) -> Result<(), Failure> {
        let (names, Message { en, zh }) = (names.join(", "), shown(&read.deciders()));
        (self.how.tell)(&Message::new(
            format!(
                "the rules {en} need what is not computed yet: {names}; it is worked out beside \
                 the stream from its whole input, and the rules before decide until then"
            ),
            format!(
                "规则 {zh} 需要尚未计算的特征：{names}；正由全部输入在旁路计算，此前仍由原有规则决策"
            ),
        ));
        // What it is to decide again is what is committed.
        self.commit_with(Vec::new(), Vec::new(), true)?;
        let Some(committed) = &self.committed else { return Ok(()) };
        let basis = Basis {
            config: self.config.clone(),
            schema: self.rules.schema.clone(),
            begin: self.rules.begin.clone(),
            timetable: self.engine.session().timetable().clone(),
            heartbeats: self.rules.heartbeats.clone(),
        };
        let shadow = Shadow::begin(basis, read, committed);
        if self.how.once {
            return self.go_on_with(shadow);
        }
        self.rules.shadow = Some(shadow);
        Ok(())
    }

    /// Looks how far a session is that is being built; when it is far enough, it takes over.
    fn go_on_with(&mut self, shadow: Shadow) -> Result<(), Failure> {
        let (caught, due) = match shadow.look(self.how.once) {
            Round::Working(shadow) => {
                self.rules.shadow = Some(shadow);
                return Ok(());
            }
            Round::Failed(read, failure) => {
                self.give_up(&read, &failure);
                return Ok(());
            }
            Round::Done(caught, due) => (*caught, due),
        };
        if due.is_last() || self.how.once {
            return self.take_over(caught, due);
        }
        let Some(committed) = &self.committed else { return Ok(()) };
        let beats = self.rules.heartbeats.as_slice();
        let again = due.again(caught, (committed, beats), Reader::of(self.config));
        self.rules.shadow = Some(again);
        Ok(())
    }

    /// Goes on with a session that was built beside, and has its rules come into force.
    fn take_over(&mut self, caught: Caught, due: Due) -> Result<(), Failure> {
        self.commit_with(Vec::new(), Vec::new(), true)?;
        // From here on there are other features.
        self.engine.write_days(true)?;
        let Some(committed) = &self.committed else { return Ok(()) };
        let beats = self.rules.heartbeats.as_slice();
        let caught = due.finish(caught, (committed, beats), Reader::of(self.config));
        let Caught { mut input, mut engine } = match caught {
            Ok(caught) => caught,
            Err(failure) => {
                self.give_up(&due.read, &failure);
                return Ok(());
            }
        };
        if self.how.place.is_some() {
            // It was built in this process, and the workers of all go on with what it keeps.
            let state = engine.save()?.into();
            let timetable = engine.session().timetable().clone();
            let laid = Laid::new(timetable, vec![due.read.candidate.clone()]);
            let session = self.session_of(laid, Some(state), Some(&due.read))?;
            engine.go_on_with(session);
        }
        for (new, old) in input.sources.iter_mut().zip(&self.input.sources) {
            (new.end, new.quiet) = (old.end, old.quiet);
        }
        engine.stops_at_committed = false;
        engine.watch = self.engine.watch.take();
        engine.set_days(self.engine.days.take());
        (self.input, self.engine) = (input, engine);
        self.snapshots.laid_out(self.engine.session().layout());
        let time = self.engine.change_time();
        let time = time.expect("something was handed to the session that it stands for");
        self.change(&due.read, time)
    }

    /// Says that what rules need cannot be worked out.
    fn give_up(&self, read: &Read, failure: &Failure) {
        let Message { en, zh } = shown(&read.deciders());
        let why = |lang| failure.render(lang, false);
        (self.how.warn)(&Message::new(
            format!(
                "{}the rules {en} are refused, those before stay in force: what they need cannot \
                 be worked out from the input; take back what is new in features.toml, or begin a \
                 new stream",
                why(Lang::En)
            ),
            format!(
                "{}规则 {zh} 被拒绝，原有规则继续生效：无法由输入计算其所需的特征；请撤回 features.toml \
                 中的新特征，或另起一个流",
                why(Lang::Zh)
            ),
        ));
        self.count_reload("refused");
    }

    pub(super) fn count_reload(&self, result: &'static str) {
        if let Some(watch) = &self.engine.watch {
            watch.desk.metrics.reload(result);
        }
    }

    /// Says to whoever asks which rules are in force.
    pub(super) fn report_rules(&self) {
        if let Some(watch) = &self.engine.watch {
            let deciders = self.engine.session().timetable().last_deciders();
            watch.desk.metrics.deciders(&deciders);
        }
    }
}

/// Rules and their models for people: the first digits of their hashes.
fn shown(deciders: &Deciders) -> Message {
    let digits = |hash: &String| hash.get(..SHOWN).unwrap_or(hash).to_owned();
    let Deciders { rules_hash, model_hash, challenger_hash } = deciders;
    let (mut en, mut zh) = (digits(rules_hash), digits(rules_hash));
    for (model, name, zh_name) in [
        (model_hash, "with the model", "与模型"),
        (challenger_hash, "and the challenger", "及挑战者"),
    ] {
        if let Some(hash) = model.as_ref().map(digits) {
            en = format!("{en} {name} {hash}");
            zh = format!("{zh} {zh_name} {hash}");
        }
    }
    Message::new(en, zh)
}

/// A moment in RFC 3339.
fn moment(time: i64) -> String {
    jiff::Timestamp::from_millisecond(time).map_or_else(|_| time.to_string(), |at| at.to_string())
}
