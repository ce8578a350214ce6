//! Which processes there are: a host file.

use std::fs;
use std::path::Path;

use crate::diagnostic::{Failure, Message, unreadable};

/// Each process is connected with every other; more than that is a mistake in the file.
const PROCESSES_MAX: usize = 64;

/// The addresses of all processes, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

/// Which of the processes this one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) hosts: Hosts,
    pub(super) process: usize,
}

impl Hosts {
    /// Reads a host file: a `host:port` a line, in the order of the processes. Empty lines, and what
    /// stands behind `#`, count for nothing.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Hosts::new`].
    pub fn read(path: &Path) -> Result<Hosts, Failure> {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::Environment(unreadable(path, &error)))?;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or(line).trim());
        let hosts = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Hosts::new(hosts).map_err(|Message { en, zh }| {
            let path = path.display();
            Failure::Usage(Message::new(format!("{path}: {en}"), format!("{path}：{zh}")))
        })
    }

    /// These addresses, or what is wrong with them.
    pub fn new(hosts: Vec<String>) -> Result<Hosts, Message> {
        if hosts.is_empty() || hosts.len() > PROCESSES_MAX {
            return Err(Message::new(
                format!("{} processes; there can be 1 to {PROCESSES_MAX}", hosts.len()),
                format!("有 {} 个进程；应为 1 至 {PROCESSES_MAX} 个", hosts.len()),
            ));
        }
        for (at, host) in hosts.iter().enumerate() {
            let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none_or(|port| port == 0) {
                return Err(Message::new(
                    format!("`{host}` is no host:port"),
                    format!("`{host}` 不是 host:port"),
                ));
            }
            if hosts[..at].contains(host) {
                return Err(Message::new(
                    format!("`{host}` is there twice"),
                    format!("`{host}` 出现了两次"),
                ));
            }
        }
        Ok(Hosts(hosts))
    }

    /// How many processes there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The place of process number `process`.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn place(self, process: usize) -> Result<Place, Failure> {
        if process < self.count() {
            return Ok(Place { hosts: self, process });
        }
        let count = self.count();
        Err(Failure::Usage(Message::new(
            format!("there is no process {process}: the hosts are {count}, numbered from 0"),
            format!("没有进程 {process}：共有 {count} 个主机，从 0 开始编号"),
        )))
    }
}

impl Place {
    /// The number of this process.
    pub fn process(&self) -> usize {
        self.process
    }

    pub(super) fn address(&self, process: usize) -> &str {
        &self.hosts.0[process]
    }

    /// How a process is named in messages.
    pub(crate) fn name(&self, process: usize) -> String {
        format!("{process} ({})", self.address(process))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_host_file_has_a_line_a_process() {
        let rows = [
            ("a:1\nb:2\n", Ok(2)),
            ("# two\n\na:1   # first\n  [::1]:2\n", Ok(2)),
            ("", Err("0 processes; there can be 1 to 64")),
            ("a:1\na:1\n", Err("`a:1` is there twice")),
            ("a\n", Err("`a` is no host:port")),
            ("a:0\n", Err("`a:0` is no host:port")),
            ("a:70000\n", Err("`a:70000` is no host:port")),
        ];
        for (text, expected) in rows {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            match (Hosts::read(file.path()), expected) {
                (Ok(hosts), Ok(count)) => assert_eq!(hosts.count(), count, "{text:?}"),
                (Err(Failure::Usage(message)), Err(expected)) => {
                    assert!(message.en.ends_with(expected), "{text:?}: {}", message.en);
                }
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_process_has_one_of_the_numbers() {
        let hosts = Hosts::new(vec!["a:1".to_owned(), "b:2".to_owned()]).unwrap();
        assert_eq!(hosts.clone().place(1).unwrap().name(1), "1 (b:2)");
        assert_eq!(hosts.place(2).unwrap_err().exit_code(), 2);
    }
}
