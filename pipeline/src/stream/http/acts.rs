//! What is done with held transactions, as the topic of holds has it: read back at the start, and
//! then followed, for others write to it too. Beside a packet engine that is the engine, of what ends
//! by itself and of what it holds by itself; and an instance that is about to lose the stream's name.

use std::sync::Arc;
use std::time::Duration;

use super::super::config::Config;
use super::super::connect::ensure_topic;
use super::super::ends::lock;
use super::super::input::{Fetched, Input};
use super::desk::Desk;
use super::holds::Record;
use super::settings::HttpConfig;
use crate::diagnostic::{Failure, Lang, Message};

/// Time between looks at the topic.
const EVERY: Duration = Duration::from_millis(20);

/// The topic of holds, read to what was its end.
pub(super) struct Acts(Input);

impl Acts {
    /// Reads back what was done; makes the topics that are not there.
    ///
    /// # Errors
    /// When a record is not one of holds (exit 2), or brokers are away.
    pub(super) fn read(config: &Config, http: &HttpConfig, desk: &Desk) -> Result<Acts, Failure> {
        let cluster = &config.cluster;
        let consumer = cluster.consumer()?;
        ensure_topic(cluster, &consumer, (&http.labels, 1), &[])?;
        // What people did is never to be lost for its age.
        let keep = [("retention.ms", "-1"), ("retention.bytes", "-1")];
        ensure_topic(cluster, &consumer, (&http.holds, 1), &keep)?;
        let partitions = Input::whole_topic(cluster, &http.holds)?;
        let mut input = Input::open(cluster, &partitions)?;
        let mut holds = lock(desk.holds());
        input.read_to_end(|_, fetched| {
            let record = record(&fetched).map_err(|error| {
                let (topic, offset) = (&http.holds, fetched.arrived.offset);
                Failure::Usage(Message::new(
                    format!("the record at offset {offset} of {topic} is nothing done: {error}"),
                    format!("主题 {topic} 偏移 {offset} 的记录不是处置记录：{error}"),
                ))
            })?;
            holds.hear(record);
            Ok(())
        })?;
        drop(holds);
        Ok(Acts(input))
    }

    /// Hears what comes to the topic, until the desk ends.
    pub(super) fn follow(mut self, desk: Arc<Desk>) {
        std::thread::spawn(move || {
            while !desk.is_ending() {
                if let Err(failure) = self.hear(&desk) {
                    let why = failure.render(Lang::En, false);
                    tracing::error!(why = why.trim_end(), "holds that others end stay listed");
                    return;
                }
                std::thread::sleep(EVERY);
            }
        });
    }

    fn hear(&mut self, desk: &Desk) -> Result<(), Failure> {
        for at in 0..self.0.sources.len() {
            for fetched in self.0.take(at, None)? {
                match record(&fetched) {
                    Ok(record) => desk.hear(record),
                    Err(error) => {
                        let offset = fetched.arrived.offset;
                        tracing::warn!(offset, %error, "a record of the topic of holds is none");
                    }
                }
            }
        }
        self.0.rest(true)
    }
}

fn record(fetched: &Fetched) -> serde_json::Result<Record> {
    serde_json::from_slice(&fetched.arrived.value)
}
