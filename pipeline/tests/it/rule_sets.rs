//! Every rule set that is shipped can be read by the program that it is shipped with.

use std::sync::Arc;

use hongxian::diagnostic::Lang;
use hongxian::event::Schema;
use hongxian::rules;

use super::support::workspace;

#[test]
fn the_benchmarks_and_the_mappings_have_good_rules() {
    let sets = [
        "bench/batch-job",
        "bench/full-job",
        "fixtures/mappings/amlsim-rules",
        "fixtures/mappings/handbook-rules",
    ];
    for set in sets {
        let loaded = rules::load(Some(&workspace().join(set)), &Arc::new(Schema::default()));
        if let Err(failure) = loaded {
            panic!("{set}:\n{}", failure.render(Lang::En, false));
        }
    }
}
