//! A worker that panics ends the run with an error: the others do not wait for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use hongxian::event::{Schema, Type};
use hongxian::features::catalogue::Columns;
use hongxian::features::declare;

use super::support::{Ev, START, chunk, features_of, job, options};

/// Long enough for the slowest machine, and a failure all the same for one that waits without end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Features that read a column of one's own, over events that do not have it: only the worker that
/// reads the one claim finds out.
#[test]
fn a_run_ends_when_a_worker_fails() {
    let toml = "[t.seen]\nover = ['claim']\nkey = ['account_id']\nagg = 'count'\nwindow = '1h'\n\
                where = \"extra.shop == 's'\"\n";
    let schema = Arc::new(Schema::with_extras([("shop".to_owned(), Type::Str)]));
    let (read, wrong) = declare::read(Path::new("features.toml"), toml, &schema);
    assert_eq!(wrong, []);
    let event = |at: i64| Ev {
        id: format!("e{at}"),
        time: START + at * 1_000,
        kind: if at == 100 { "claim" } else { "login" },
        account: "u".to_owned(),
        counterparty: if at == 100 { "s".to_owned() } else { String::new() },
        group: "g".to_owned(),
        packet: if at == 100 { "p".to_owned() } else { String::new() },
        amount: (at == 100).then_some(1),
        ..Ev::default()
    };
    let events: Vec<Ev> = (0..400).map(event).collect();
    let job =
        job(vec![chunk(&events)], features_of(&schema, read.list, (None, Columns::Used)), true);
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Who waits has gone where this comes too late.
        let _ = sender.send(hongxian::backtest::decide(&job, options(4, 1_000, 8)).map(|_| ()));
    });
    let ended = receiver.recv_timeout(PATIENCE).expect("the other workers wait");
    let said = ended.expect_err("a feature read a column that is not there");
    assert!(said.starts_with("worker ") && said.contains("out of bounds"), "{said}");
}
