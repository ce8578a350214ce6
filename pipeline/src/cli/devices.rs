//! `hongxian devices`.

use super::print;
use crate::diagnostic::Failure;
use crate::features::devices::load::{ACCOUNTS_MIN, Load, Measured, Moved, measure};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Put a load through the graph of accounts and devices on one core: hubs, a giant cluster,
    /// and edges that go as fast as they come
    Bench {
        /// Events of accounts on devices
        #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        events: u64,
        /// Accounts, at least two
        #[arg(
            long,
            default_value_t = 1_000_000,
            value_parser = clap::value_parser!(u64).range(ACCOUNTS_MIN..)
        )]
        accounts: u64,
        /// Devices
        #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
        devices: u64,
        /// Accounts of each of two giant clusters that one device joins and that part when it goes,
        /// at least two
        #[arg(
            long,
            default_value_t = 50_000,
            value_parser = clap::value_parser!(u64).range(ACCOUNTS_MIN..)
        )]
        giant_accounts: u64,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Bench { events, accounts, devices, giant_accounts, json } = *command;
    let load = Load { events, accounts, devices, giant_accounts };
    let measured = measure(load);
    print(&if json {
        let mut report = serde_json::json!(measured);
        report["events"] = events.into();
        report["accounts"] = accounts.into();
        report["devices"] = devices.into();
        report["giant_accounts"] = giant_accounts.into();
        format!("{report}\n")
    } else {
        told(load, &measured)
    });
    Ok(())
}

fn told(load: Load, measured: &Measured) -> String {
    let Load { events, accounts, devices, giant_accounts } = load;
    let Measured { links, cuts, edges_max, cluster_accounts_max, .. } = measured;
    let rate = measured.links_a_second;
    let rate = rate.map_or("too few to measure".to_owned(), |rate| format!("{rate:.0}"));
    let giants = |moved: &Moved| {
        format!(
            "{:.1} ms (wall clock {:.1} ms) in {} pieces of up to {:.2} ms (wall clock {:.2} ms)",
            moved.ms, moved.wall_ms, moved.pieces, moved.piece_ms_max, moved.piece_wall_ms_max,
        )
    };
    format!(
        "{events} events of {accounts} accounts on {devices} devices, one core; processor time, \
         whose clock steps by {:.2} ms, and wall clock where it says so\n\
         {links} edges came and {cuts} went; at most {edges_max} at once, and \
         {cluster_accounts_max} accounts in one cluster\n\
         new edges a second, each of which goes again: {rate}; the view of a worker takes {:.2} s \
         (wall clock {:.2} s) beside {:.2} s (wall clock {:.2} s)\n\
         longest tick {:.1} ms (with {} changes); longest piece {:.2} ms (wall clock {:.2} ms), \
         99.9 % up to {:.2} ms; longest change of a view {:.1} ms\n\
         {:.0} MB for the graph, without names and groups of accounts\n\
         two giants of {giant_accounts} accounts each become one by a device: {}\n\
         that device goes, and they part: {}\n",
        measured.clock_step_ms,
        measured.view_seconds,
        measured.view_wall_seconds,
        measured.graph_seconds,
        measured.graph_wall_seconds,
        measured.tick_ms_max,
        measured.tick_changes_max,
        measured.piece_ms_max,
        measured.piece_wall_ms_max,
        measured.piece_ms_p999,
        measured.view_ms_max,
        measured.graph_bytes as f64 / 1e6,
        giants(&measured.giants_join),
        giants(&measured.giants_part),
    )
}
