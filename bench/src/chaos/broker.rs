//! A real broker of the harness's own, which can be killed, frozen and started again.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::fail;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A broker, and its two ways in.
#[derive(Debug)]
pub(super) struct Broker {
    script: PathBuf,
    dir: PathBuf,
    proxy: u16,
    /// Its own address, which no fault of the network touches.
    pub(super) address: String,
    /// Where the proxy takes those to who come by it.
    pub(super) behind: SocketAddr,
}

impl Broker {
    /// Starts a broker that tells those who come by the proxy to come by it again.
    pub(super) fn start(
        root: &Path,
        dir: &Path,
        proxy: u16,
        topics: &[(&str, i32)],
    ) -> Result<Broker, String> {
        let script = root.join("scripts/kafka");
        let mut command = Command::new(&script);
        command.args(["start", "--port", "0", "--proxy", &proxy.to_string(), "--dir"]).arg(dir);
        for (topic, partitions) in topics {
            command.args(["--topic", &format!("{topic}:{partitions}")]);
        }
        let address = said(&mut command)?;
        let behind = dir.join("behind-proxy");
        let behind = fs::read_to_string(&behind).map_err(fail(&behind))?;
        let behind = behind.trim().parse().map_err(fail(dir))?;
        Ok(Broker { script, dir: dir.to_owned(), proxy, address, behind })
    }

    /// Kills it, and waits until it is gone: one that is about to go looks as if it ran.
    pub(super) fn kill(&self) -> Result<(), String> {
        self.signal("-KILL")?;
        let process = Path::new("/proc").join(self.pid()?);
        // Of one whose parent has not looked after it a name is left, and nothing else.
        while fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty()) {
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    pub(super) fn freeze(&self) -> Result<(), String> {
        self.signal("-STOP")
    }

    pub(super) fn thaw(&self) -> Result<(), String> {
        self.signal("-CONT")
    }

    /// Starts it again, with all that it had on disk.
    pub(super) fn restart(&self) -> Result<(), String> {
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let mut command = Command::new(&self.script);
        command.args(["start", "--port", port, "--proxy", &self.proxy.to_string(), "--dir"]);
        said(command.arg(&self.dir)).map(drop)
    }

    /// Makes a topic, while it runs.
    pub(super) fn make(&self, topic: &str, partitions: i32) -> Result<(), String> {
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let topic = format!("{topic}:{partitions}");
        let mut command = Command::new(&self.script);
        command.args(["start", "--port", port, "--topic", &topic, "--dir"]).arg(&self.dir);
        said(&mut command).map(drop)
    }

    /// Ends it; what it wrote stays.
    pub(super) fn stop(&self) -> Result<(), String> {
        said(Command::new(&self.script).args(["stop", "--dir"]).arg(&self.dir)).map(drop)
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        signal(name, &self.pid()?)
    }

    fn pid(&self) -> Result<String, String> {
        let path = self.dir.join("kafka.pid");
        let pid = fs::read_to_string(&path).map_err(fail(&path))?;
        Ok(pid.trim().to_owned())
    }
}

/// Sends a signal to a process.
pub(super) fn signal(name: &str, pid: &str) -> Result<(), String> {
    let status = Command::new("kill").args([name, pid]).status();
    match status.map_err(|error| format!("kill: {error}"))?.success() {
        true => Ok(()),
        false => Err(format!("kill {name} {pid} failed")),
    }
}

/// Runs a command; the last line that it says.
pub(super) fn said(command: &mut Command) -> Result<String, String> {
    let named = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{named}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        return Err(format!("{named} ended with {}: {}", output.status, text(&output.stderr)));
    }
    Ok(text(&output.stdout).lines().next_back().unwrap_or_default().to_owned())
}
