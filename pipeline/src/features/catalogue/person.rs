//! What tells of a person's age or region alone: that never adds to a score by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalogue, full_name};
use crate::event::{AGE_BAND, FieldId, KIND, REGION};
use crate::expr::{self, Ast};
use crate::features::declare::{Agg, Body, Windowed};
use crate::features::entries::EntrySource;

impl Catalogue {
    /// Whether there is nothing behind these names but age bands and regions: of the event or of a
    /// side of it, and what is computed from nothing else. The kind of the event is no more than
    /// what a rule is `on`.
    pub(crate) fn is_of_person_alone(
        &self,
        names: BTreeSet<String>,
        conditions: &BTreeMap<String, Ast>,
    ) -> bool {
        let mut waiting: Vec<String> = names.into_iter().collect();
        let (mut seen, mut found) = (BTreeSet::new(), false);
        while let Some(name) = waiting.pop() {
            if name == self.field_name(KIND) || !seen.insert(name.clone()) {
                continue;
            }
            let Some(entry) = self.entries.get(full_name(&name)) else { return false };
            match entry.source {
                EntrySource::Field(_) | EntrySource::Attribute if self.is_of_person(&name) => {
                    found = true;
                }
                EntrySource::Declared(at) => match &self.declarations[at].body {
                    Body::Expr { source, .. } => {
                        // What is not settled may go round in circles.
                        let parsed = expr::parse(source).ok().filter(|_| self.settled);
                        let Some(ast) = parsed else { return false };
                        waiting.extend(ast.expanded(conditions).written_names());
                    }
                    Body::Windowed(Windowed {
                        agg: Agg::First(field) | Agg::Last(field), ..
                    }) if self.is_of_person(field) => {
                        found = true;
                    }
                    _ => return false,
                },
                _ => return false,
            }
        }
        found
    }

    /// Whether a field, or that of a side, is an age band or a region; a column of one's own may be
    /// called so as well.
    fn is_of_person(&self, name: &str) -> bool {
        let last = name.rsplit('.').next().unwrap_or(name);
        [AGE_BAND, REGION].into_iter().any(|field| last == self.field_name(field))
    }

    fn field_name(&self, field: FieldId) -> &str {
        &self.schema.field(field).name
    }
}
