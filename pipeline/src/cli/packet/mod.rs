//! `hongxian packet`: the reference packet engine on its own.

mod bench;
mod damage;
mod place;
mod prove;
mod run;
#[cfg(feature = "kafka")]
mod serve;
mod show;
mod verify;

use clap::Subcommand;

use super::{Shown, print};
use crate::diagnostic::Failure;
use crate::packet::{json, limits};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Execute commands, one JSON object a line, and print an outcome for each
    ///
    /// Commands are read from standard input: {"id":"r1","do":"topup","account":"ada",
    /// "amount_fen":1000}. `do` is one of topup, withdraw, move, transfer, send, claim, decide,
    /// resolve, thaw, clear, join, leave, watch, link, tick. A line that is no command gets an
    /// outcome with `error`. Outcomes are for programs: `because` and `error` are English whatever
    /// --lang says, `refusal` and `code` are names that stay.
    ///
    /// A repeated id gets its first reply again, for memory_hours of the limits after its time (400 h as
    /// shipped, and while something that came before it is held); after that it is forgotten, and the
    /// same id is a new command that is executed. `effects`, what the engine did beside the replies, are
    /// told once: where the program ends between disk and print they are missed. Then `packet show`
    /// tells what became of a packet, with its secret once it is closed. Effects name transactions by
    /// `seq`, which is in the reply of the command that made each.
    #[command(after_long_help = json::reference())]
    Run(run::Arguments),
    /// Execute commands from HTTP; what waits for a decision is decided by a stream
    ///
    /// `POST /v1/packet` takes a command of `packet run` or an array of them, and answers with outcomes
    /// that are on disk. A command may have `context` with what only its event has: device_id, ip,
    /// region, platform and text. Transactions are published to the stream's input under the
    /// command's id; its decisions settle them, and so do those on holds by its /v1/holds. Where none
    /// comes within decision_ms_max of the limits (more than idle_ms of policy.toml, where events are
    /// few), the limits' fallback binds. `GET /v1/accounts/ID`, `/v1/packets/ID` and
    /// `/v1/transactions/ID` show what there is, of a packet that is closed with the secret of its
    /// draws. `resolve` and `thaw` need an approver. Killed anywhere, it goes on as if nothing had
    /// happened.
    ///
    /// A repeated id gets its first reply again and is published once, with its first `context`: that is
    /// not compared. It is remembered for memory_hours of the limits, as with `packet run`.
    #[cfg(feature = "kafka")]
    Serve(serve::Arguments),
    /// Read a journal from its first byte, execute it again, and say whether it is whole
    ///
    /// What executing it comes to is compared with every outcome in the journal and with the state in
    /// each snapshot, to the byte. Without secret.key nothing is executed.
    Verify(verify::Arguments),
    /// Print what a packet is, as one JSON object: play, shares, claims, where its money is, and the
    /// secret of its draws once it is closed
    ///
    /// Reads the journal from its first byte and changes nothing, also beside a program that writes it.
    Show(show::Arguments),
    /// Print the limits that hold where no others are given, with the source of each
    ///
    /// A file for --limits has this form and names those that are to be others. They are written into a
    /// new journal, and stay.
    Limits {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print a proof of one claim's place in its packet or, with --from, that the journal was only added
    /// to since a checkpoint; or check one
    Prove(prove::Arguments),
    /// Measure the engine under a load offered at a rate
    Bench(bench::Arguments),
}

pub(super) fn run(command: &Command, shown: Shown) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        #[cfg(feature = "kafka")]
        Command::Serve(arguments) => serve::run(arguments, shown),
        Command::Verify(arguments) => verify::run(arguments, shown),
        Command::Show(arguments) => show::run(arguments),
        Command::Limits { json } => {
            print(&limits::shipped(*json));
            Ok(())
        }
        Command::Prove(arguments) => prove::run(arguments, shown),
        Command::Bench(arguments) => bench::run(arguments),
    }
}
