//! Models of a replayed input log: told on the command line, and changed by the log.

use super::*;

/// A replay decides as the files did, and over a change of rules the model goes on.
#[test]
fn an_input_log_replays_to_the_same_digest_with_the_model() {
    let scene = Scene::new();
    let model = scene.train("forest", FOREST, 0);
    let cut = (3, 7, 64);
    let files = scene.run("files", "rules", Some("forest"), None, cut).ok().unwrap();
    let log = scene.log();
    for (at, cut) in [(1, 1_000, 10_000), (4, 5, 1)].into_iter().enumerate() {
        let replayed = scene.replay(&format!("replay{at}"), cut).ok().unwrap();
        assert_eq!(replayed.facts.decisions_digest, files.facts.decisions_digest);
    }

    // From the middle on other rules decide, and the policy lets less of the model's score count.
    scene.write_rules("log/later", "[model]\nblend = 'sum'\nweight = 10\nat_least = 0\n");
    let middle = scene.claims.0[CLAIMS as usize / 2].0;
    let change =
        format!("{{\"kind\":\"change\",\"effective_time\":{middle},\"rules\":\"later\"}}\n");
    fs::write(log.join("control.jsonl"), change).unwrap();
    scene.replay("changed", cut).ok().unwrap();
    let expected = expected(&scene, &model);
    for (decision, expected) in scene.decisions("changed").iter().zip(expected) {
        assert_eq!(int(decision, "model_score"), expected);
        let rules = int(decision, "rule_score");
        let before = int(decision, "effective_time") < middle;
        let score = if before { rules.max(expected) } else { (rules + expected / 10).min(1000) };
        assert_eq!(int(decision, "score"), score);
    }

    // What the columns of such a run mean, nobody can say.
    let program = Command::new(env!("CARGO_BIN_EXE_hongxian"))
        .args(["train", "changed", "--labels=labels.csv", "--out=mixed", "--lang=en"])
        .current_dir(scene.directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(program.stderr).unwrap();
    assert_eq!(program.status.code(), Some(2), "{said}");
    assert!(said.contains("the rules changed during this run"), "{said}");
}

/// From the times of a log on other models score, what it says nothing of goes on, and what it names
/// is held to its hash.
#[test]
fn a_log_that_changes_the_model_is_followed_to_the_event() {
    let scene = Scene::new();
    let first = scene.train("forest", FOREST, 0);
    // It reads the last five of the inputs, and the plan is enough for both from the beginning.
    let second = scene.train("boosting", BOOSTING, 3);
    let log = scene.log();
    let time = |part: usize| scene.claims.0[CLAIMS as usize * part / 4].0;
    let line = |part: usize, more: &str| {
        let time = time(part);
        format!("{{\"kind\":\"change\",\"effective_time\":{time},\"rules\":\"../rules\"{more}}}\n")
    };
    let hash = second.hash();
    let named = format!(",\"model\":\"../boosting\",\"model_hash\":\"{hash}\"");
    let control = line(1, &named)
        + &line(2, ",\"challenger\":\"../forest\"")
        + &line(3, ",\"model\":null,\"challenger\":null");
    fs::write(log.join("control.jsonl"), &control).unwrap();
    let mut digests = Vec::new();
    for (at, cut) in [(3, 7, 64), (1, 1_000, 10_000)].into_iter().enumerate() {
        let outcome = scene.replay(&format!("replay{at}"), cut).ok().unwrap();
        let changes: Vec<_> = outcome.facts.changes.iter().map(|one| &one.model_hash).collect();
        assert_eq!(changes, [&Some(hash.clone()), &Some(hash.clone()), &None]);
        digests.push(outcome.facts.decisions_digest);
    }
    assert_eq!(digests[0], digests[1]);
    let (of_first, of_second) = (expected(&scene, &first), expected(&scene, &second));
    let mut by_second = 0;
    for (at, decision) in scene.decisions("replay0").iter().enumerate() {
        let (own, hash) = match int(decision, "effective_time") {
            before if before < time(1) => (Some(of_first[at]), Some(first.hash())),
            before if before < time(3) => (Some(of_second[at]), Some(hash.clone())),
            _ => (None, None),
        };
        assert_eq!(decision["model_score"].as_i64(), own, "{decision}");
        assert_eq!(decision["model_hash"].as_str(), hash.as_deref(), "{decision}");
        by_second += usize::from(own.is_some_and(|own| own != of_first[at]));
    }
    assert!(by_second > 10, "the models differ");
    let watched = read_parquet(&scene.path("replay0/challenger.parquet"));
    let times = scene.claims.0.iter().map(|claim| claim.0);
    let in_third = times.enumerate().filter(|(_, at)| (time(2)..time(3)).contains(at));
    let scores: Vec<f64> = in_third.map(|(at, _)| of_first[at] as f64).collect();
    assert_eq!(numbers(&watched, "challenger_model_score"), scores);

    let refused = |control: String| {
        fs::write(log.join("control.jsonl"), control).unwrap();
        rendered(scene.replay("refused", (1, 1_000, 64)))
    };
    let said = refused(line(1, &named.replace(&hash, &first.hash())));
    assert!(said.contains("control.jsonl:1") && said.contains("is not that of the log"), "{said}");
    let said = refused(line(1, ",\"model\":\"../nothing\""));
    assert!(said.contains("cannot use the model"), "{said}");
    let said = refused(line(1, ",\"model_hash\":\"0\""));
    assert!(
        said.contains("control.jsonl:1") && said.contains("model_hash without model"),
        "{said}"
    );
    let said = refused(line(1, ",\"model\":null,\"challenger\":\"../forest\""));
    assert!(said.contains("no model beside which it is watched"), "{said}");
    let said = refused("{\"kind\":\"model\",\"path\":\"other\"}\n".to_owned());
    assert!(said.contains("control.jsonl:1"), "{said}");
}
