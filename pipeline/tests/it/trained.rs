//! The models that are shipped fit the features as they are: a feature that is defined otherwise
//! shows here, and `scripts/models` trains anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hongxian::event::Schema;
use hongxian::rules;
use models::AnyModel;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn shipped_models_read_the_features_as_they_are_defined() {
    let loaded = rules::load(Some(&root().join("rules")), &Arc::new(Schema::default()));
    let Ok(loaded) = loaded else { panic!("good rules") };
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("models/trained")).unwrap() {
        let directory = entry.unwrap().path();
        let model = AnyModel::load(&directory).unwrap();
        let differing: Vec<&str> = model
            .inputs()
            .iter()
            .filter(|input| {
                let held = loaded.features.definition(&input.name);
                input.definition.is_empty() || held.is_none_or(|held| held.hash != input.definition)
            })
            .map(|input| input.name.as_str())
            .collect();
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        assert!(differing.is_empty(), "{name} reads {differing:?}: run scripts/models");
        let card = fs::read_to_string(directory.join("card.md")).unwrap();
        assert!(card.contains(&model.hash()), "{name}: the card is of another model");
        assert!(directory.join("train.toml").exists(), "{name}");
        found.push(name);
    }
    found.sort_unstable();
    assert_eq!(found, ["group-type"]);
}
