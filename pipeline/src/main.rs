//! The program `hongxian`.

use std::process::ExitCode;

/// Batches of columns come and go all the time: this allocator keeps their pages for the next, where
/// others hand them back to the system and have them cleared again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hongxian::cli::main()
}
