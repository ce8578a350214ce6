//! What is decided on a transaction.

/// A decision, from the mildest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The money moves.
    Allow,
    /// The money moves and a person looks at it.
    Review,
    /// The money waits for a person.
    Hold,
    /// The money does not move.
    Block,
}

impl Verdict {
    /// Every decision, from the mildest to the strictest.
    pub const ALL: [Verdict; 4] = [Verdict::Allow, Verdict::Review, Verdict::Hold, Verdict::Block];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Review => "review",
            Verdict::Hold => "hold",
            Verdict::Block => "block",
        }
    }
}
