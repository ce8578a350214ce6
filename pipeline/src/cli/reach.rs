//! How commands on Kafka are told where the brokers are, and with what to sign in.

use std::path::PathBuf;

use super::duration;
use crate::diagnostic::{Failure, Message};
use crate::stream::{CONNECT_LIMIT_MS, Cluster, Overrides};

#[derive(clap::Args)]
pub(super) struct Reach {
    /// Addresses of brokers, host:port with commas between
    #[arg(long)]
    brokers: Option<String>,
    /// File with brokers, connect_limit and [kafka], as the configuration of a stream has them
    ///
    /// That of a stream will do. [kafka] holds settings of librdkafka, passwords as
    /// { env = "NAME" } or { file = "PATH" }.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How long to try to reach the brokers [default: 60s]
    #[arg(long, value_parser = duration)]
    connect_limit: Option<i64>,
}

impl Reach {
    /// The cluster; none where nothing is said of one.
    pub(super) fn cluster(&self) -> Result<Option<Cluster>, Failure> {
        let Reach { brokers, config, connect_limit } = self;
        if let Some(config) = config {
            let over = Overrides {
                brokers: brokers.clone(),
                connect_limit: *connect_limit,
                ..Overrides::default()
            };
            return Cluster::read(config, &over).map(Some);
        }
        Ok(brokers.as_ref().map(|brokers| Cluster {
            brokers: brokers.clone(),
            connect_limit: connect_limit.unwrap_or(CONNECT_LIMIT_MS),
            settings: Default::default(),
        }))
    }

    /// The cluster, which must be told.
    pub(super) fn required(&self) -> Result<Cluster, Failure> {
        self.cluster()?.ok_or_else(|| {
            Failure::Usage(Message::new(
                "where are the brokers? say --brokers, or --config with a file",
                "请用 --brokers 或 --config 指明代理地址",
            ))
        })
    }
}
