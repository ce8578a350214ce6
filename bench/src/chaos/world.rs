//! The stream as it runs, the broker, the network and the disk beside it, and what is done to them.
#![expect(clippy::disallowed_methods, reason = "the harness waits for things to happen")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::broker::{Broker, signal};
use super::dice::Dice;
use super::feed::Feed;
use super::proxy::{Proxy, Weather};
use super::snapshots;
use super::topics::{Growth, Topics};
use crate::measure::fail;

pub(super) const INPUT: &str = "chaos.in";
pub(super) const OUTPUT: &str = "chaos.out";
pub(super) const DEAD: &str = "chaos.dead";
pub(super) const CONTROL: &str = "chaos.control";
/// Decisions go to so many partitions.
pub(super) const OUTPUTS: i32 = 2;

/// How long the stream may take to commit again after a fault: it gives up after two minutes
/// without a commit, and whoever watches over it starts it again.
const RECOVERY: Duration = Duration::from_secs(180);
/// A stream that has not committed for so long has decided what it can: some seconds more than it
/// waits for what is late.
const QUIET: Duration = Duration::from_secs(5);
/// How long a stream that runs may take to end where it has to.
const END: Duration = Duration::from_secs(60);
/// What watches over a stream starts it again after so long.
const RESTART: Duration = Duration::from_millis(300);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Environment is missing: brokers, disk.
const EXIT_ENVIRONMENT: i32 = 3;
/// Lines of its log that are shown of a stream that failed.
const LINES_SHOWN: usize = 6;

/// A program that runs.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) log: PathBuf,
}

impl Running {
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    /// Nothing goes on after the harness has lost sight of it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often a fault was done, and what it led to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) times: u64,
    /// Deaths of the stream, by its hand.
    pub(super) kills: u64,
    /// Times that the stream gave up and was started again.
    pub(super) gave_up: u64,
    /// The longest until the stream had committed again.
    pub(super) recovery: Duration,
}

/// What a harness is told.
pub(super) struct Setup<'s> {
    pub(super) program: &'s Path,
    pub(super) dir: &'s Path,
    pub(super) rules: &'s Path,
    pub(super) workers: &'s [u64],
    pub(super) seed: u64,
}

/// All of it.
pub(super) struct World {
    pub(super) program: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) workers: Vec<u64>,
    pub(super) dice: Dice,
    pub(super) broker: Broker,
    pub(super) proxy: Proxy,
    pub(super) feed: Feed,
    pub(super) topics: Topics,
    growth: Growth,
    stream: Option<Running>,
    started: u64,
    /// Whether something is wrong with broker, network or name, so that the stream may give up.
    pub(super) troubled: bool,
    /// The fault that is being done.
    pub(super) fault: &'static str,
    pub(super) tally: BTreeMap<&'static str, Tally>,
    pub(super) kills: u64,
    diary: File,
    since: Instant,
}

impl World {
    /// Brings everything up but the stream.
    pub(super) fn open(root: &Path, setup: &Setup<'_>) -> Result<World, String> {
        let dir = setup.dir.to_owned();
        fs::create_dir_all(dir.join("logs")).map_err(fail(&dir))?;
        let proxy = Proxy::open().map_err(|error| format!("no proxy: {error}"))?;
        let topics = [(INPUT, super::feed::PARTITIONS), (OUTPUT, OUTPUTS)];
        let broker = Broker::start(root, &dir.join("broker"), proxy.port(), &topics)?;
        proxy.lead_to(broker.behind);
        let topics = Topics { brokers: broker.address.clone() };
        let growth = Growth::of(&topics, CONTROL);
        let feed = Feed::start(&broker.address, INPUT, setup.seed)?;
        let diary = dir.join("diary.txt");
        let diary = File::create(&diary).map_err(fail(&diary))?;
        let world = World {
            program: setup.program.to_owned(),
            dir,
            workers: setup.workers.to_vec(),
            dice: Dice::new(setup.seed),
            broker,
            proxy,
            feed,
            topics,
            growth,
            stream: None,
            started: 0,
            troubled: false,
            fault: "",
            tally: BTreeMap::new(),
            kills: 0,
            diary,
            since: Instant::now(),
        };
        world.configure(setup.rules)?;
        Ok(world)
    }

    fn configure(&self, rules: &Path) -> Result<(), String> {
        let port = self.proxy.port();
        let rules = rules.display();
        let text = format!(
            "brokers = '127.0.0.1:{port}'\nname = 'chaos'\nrules = '{rules}'\n\
             commit_interval = '50ms'\n\
             [topics]\ninput = ['{INPUT}']\noutput = '{OUTPUT}'\ndead_letter = '{DEAD}'\n\
             control = '{CONTROL}'\n\
             [snapshots]\ndir = 'snapshots'\ninterval = '300ms'\nkeep = 3\n"
        );
        let path = self.config();
        fs::write(&path, text).map_err(fail(&path))
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("stream.toml")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// Notes what happens, with the time: what a person reads who looks for a cause.
    pub(super) fn note(&mut self, what: &str) {
        let seconds = self.since.elapsed().as_secs_f64();
        // Without its diary the harness finds what it finds all the same.
        let _ = writeln!(self.diary, "{seconds:9.3} {what}");
    }

    pub(super) fn tally(&mut self) -> &mut Tally {
        self.tally.entry(self.fault).or_default()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    /// A stream, at a number of workers that it may not have had before.
    pub(super) fn spawn(&mut self, more: &[&str]) -> Result<Running, String> {
        self.started += 1;
        let workers = self.dice.pick(&self.workers).to_string();
        let log = self.dir.join(format!("logs/{:05}.txt", self.started));
        let file = File::create(&log).map_err(fail(&log))?;
        let mut command = Command::new(&self.program);
        command.arg("stream").arg(self.config()).args(["--lang", "en", "--workers", &workers]);
        command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().map_err(fail(&self.program))?;
        let (number, pid) = (self.started, child.id());
        self.note(&format!("stream {number} starts, process {pid}, {workers} workers {more:?}"));
        Ok(Running { child, log })
    }

    /// Starts the stream, if it does not run.
    pub(super) fn start(&mut self, more: &[&str]) -> Result<(), String> {
        if self.stream.is_none() {
            self.stream = Some(self.spawn(more)?);
        }
        Ok(())
    }

    /// The stream that runs, for whoever does something to it that is not done here.
    pub(super) fn take(&mut self) -> Result<Running, String> {
        self.stream.take().ok_or_else(|| "no stream runs".to_owned())
    }

    pub(super) fn set(&mut self, stream: Running) {
        self.stream = Some(stream);
    }

    /// Kills the stream where it is.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        let mut stream = self.take()?;
        self.note("kill -9");
        // One that has ended by itself is looked at as such.
        if let Some(status) = stream.child.try_wait().map_err(fail(&stream.log))? {
            return self.gave_up(status, &stream.log);
        }
        stream.child.kill().map_err(fail(&stream.log))?;
        stream.child.wait().map_err(fail(&stream.log))?;
        self.killed();
        self.check_snapshots()
    }

    pub(super) fn killed(&mut self) {
        self.kills += 1;
        self.tally().kills += 1;
    }

    /// What has the name of a snapshot is whole, wherever the stream died. Not to be asked while one
    /// runs, which takes old ones away.
    pub(super) fn check_snapshots(&self) -> Result<(), String> {
        snapshots::check(&self.snapshots()).map(drop)
    }

    /// Ends the stream as a service is ended.
    pub(super) fn terminate(&mut self) -> Result<(), String> {
        let mut stream = self.take()?;
        self.note("SIGTERM");
        signal("-TERM", &stream.child.id().to_string())?;
        let status = self.ended(&mut stream)?;
        if status.code() != Some(0) && !self.troubled {
            return Err(format!("SIGTERM ended it with {status}: {}", last_of(&stream.log)));
        }
        self.killed();
        self.check_snapshots()
    }

    /// Waits until a program ends by itself.
    pub(super) fn ended(&mut self, running: &mut Running) -> Result<ExitStatus, String> {
        let since = Instant::now();
        loop {
            if let Some(status) = running.child.try_wait().map_err(fail(&running.log))? {
                self.note(&format!("it ends with {status}: {}", last_of(&running.log)));
                return Ok(status);
            }
            if since.elapsed() > END {
                let pid = running.child.id();
                return Err(format!("process {pid} goes on, and should have ended"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Looks after the stream for a while, as a supervisor does.
    pub(super) fn watch(&mut self, time: Duration) -> Result<(), String> {
        let since = Instant::now();
        while since.elapsed() < time {
            self.look_after()?;
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Starts the stream again where it gave up, which it may in trouble alone.
    fn look_after(&mut self) -> Result<(), String> {
        let Some(stream) = &mut self.stream else { return self.start(&[]) };
        let Some(status) = stream.child.try_wait().map_err(fail(&stream.log))? else {
            return Ok(());
        };
        let log = stream.log.clone();
        self.stream = None;
        self.gave_up(status, &log)?;
        std::thread::sleep(RESTART);
        self.start(&[])
    }

    fn gave_up(&mut self, status: ExitStatus, log: &Path) -> Result<(), String> {
        let said = last_of(log);
        self.note(&format!("it gave up with {status}: {said}"));
        if !self.troubled || status.code() != Some(EXIT_ENVIRONMENT) {
            let log = log.display();
            return Err(format!("the stream ended by itself with {status} ({log}): {said}"));
        }
        self.tally().gave_up += 1;
        Ok(())
    }

    /// Waits until the stream commits, now that nothing hinders it.
    pub(super) fn recover(&mut self) -> Result<(), String> {
        let since = Instant::now();
        self.feed.busy(true);
        // What was under way may still come: the second one is new.
        let mut end = None;
        let mut grown = 0;
        while grown < 2 {
            self.look_after()?;
            let now = self.growth.end();
            grown += u8::from(now.is_some() && end.is_some() && now > end);
            end = now.or(end);
            if since.elapsed() > RECOVERY {
                let seconds = RECOVERY.as_secs();
                self.keep_stacks();
                return Err(format!("nothing is committed {seconds} s after all is well again"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        self.feed.busy(false);
        self.troubled = false;
        let took = since.elapsed();
        self.note(&format!("it commits after {:.1} s", took.as_secs_f64()));
        let tally = self.tally();
        tally.recovery = tally.recovery.max(took);
        Ok(())
    }

    /// Keeps what the threads of the stream are at, where there is a debugger to ask: it is killed next.
    fn keep_stacks(&self) {
        let Some(stream) = &self.stream else { return };
        let pid = stream.child.id().to_string();
        let asked = Command::new("gdb")
            .args(["-p", &pid, "-batch", "-ex", "thread apply all bt 20"])
            .stdin(Stdio::null())
            .output();
        if let Ok(said) = asked {
            // Evidence that is missing is no reason for another error.
            let _ = fs::write(self.dir.join("stacks.txt"), said.stdout);
        }
    }

    /// Waits until something is so; false where it is not in that time.
    pub(super) fn until(&self, time: Duration, mut is_so: impl FnMut(&World) -> bool) -> bool {
        let since = Instant::now();
        while since.elapsed() < time {
            if is_so(self) {
                return true;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        false
    }

    /// Whether the stream that runs has said something.
    pub(super) fn has_said(&self, what: &str) -> bool {
        let log = self.stream.as_ref().map(|stream| &stream.log);
        log.and_then(|log| fs::read_to_string(log).ok()).is_some_and(|text| text.contains(what))
    }

    /// Lets the stream decide all that there is, and ends it. Nothing comes any more.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let (since, mut quiet, mut end) = (Instant::now(), Instant::now(), None);
        while quiet.elapsed() < QUIET {
            self.look_after()?;
            let now = self.growth.end();
            if now != end || now.is_none() {
                (quiet, end) = (Instant::now(), now);
            }
            if since.elapsed() > RECOVERY {
                return Err("it commits on and on, and nothing comes".to_owned());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        if let Some(mut stream) = self.stream.take() {
            self.note("kill -9, to look at what there is");
            if let Some(status) = stream.child.try_wait().map_err(fail(&stream.log))? {
                return self.gave_up(status, &stream.log);
            }
            stream.child.kill().map_err(fail(&stream.log))?;
            stream.child.wait().map_err(fail(&stream.log))?;
        }
        Ok(())
    }

    /// Ends everything, as well as it can be ended.
    pub(super) fn close(&mut self) {
        self.proxy.set(Weather::Fair);
        // The broker first: whoever sends is to find it there.
        let _ = self.broker.thaw();
        if let Err(why) = self.feed.end() {
            self.note(&why);
        }
        self.stream = None;
        let _ = self.broker.stop();
    }
}

/// The last lines of a log.
pub(super) fn last_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join(" | ")
}
