//! `hongxian packet`: the reference packet engine on its own.

mod bench;
mod place;
mod prove;
mod run;
mod verify;

use clap::Subcommand;

use crate::diagnostic::Failure;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Execute commands, one JSON object a line, and print an outcome for each
    ///
    /// Commands are read from standard input: {"id":"r1","do":"topup","account":"ada",
    /// "amount_fen":1000}. `do` is one of topup, withdraw, move, transfer, send, claim, decide,
    /// resolve, thaw, clear, join, leave, watch, link, tick. A repeated id gets its first reply again;
    /// `effects`, what the engine did beside it, are told once. A line that is no command gets an
    /// outcome with `error`.
    Run(run::Arguments),
    /// Read a journal from its first byte, execute it again, and say whether it is whole
    Verify(verify::Arguments),
    /// Print a proof of one claim's place in its packet, or check one
    Prove(prove::Arguments),
    /// Measure the engine under a load offered at a rate
    Bench(bench::Arguments),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Prove(arguments) => prove::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    }
}
