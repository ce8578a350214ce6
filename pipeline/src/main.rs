//! The program `hongxian`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hongxian::cli::main()
}
