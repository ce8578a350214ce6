//! Commands and replies as JSON, one object a line.
//!
//! ```json
//! {"id":"r1","do":"topup","account":"ada","amount_fen":1000}
//! {"id":"r2","do":"send","account":"ada","packet":"p1","amount_fen":1000,"shares":2,"play":"lucky"}
//! {"id":"r3","do":"decide","transaction":"r2","decision":"allow"}
//! {"id":"r4","do":"claim","account":"bo","packet":"p1"}
//! ```
//!
//! Which fields a command has stands in [`FIELDS`]; a field that does not belong to it is a mistake.

mod outcome;
mod parse;
mod shown;

pub use outcome::{Outcome, outcome};
pub use parse::{FIELDS, Fields, Line, command, id_of, reference};
pub use shown::{Shown, ShownClaim, shown};
