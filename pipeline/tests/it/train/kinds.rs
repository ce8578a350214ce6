//! What is learnt beside fraud: classes of accounts, and how odd a transaction is without labels.

use super::*;

/// Accounts of two classes: a row an account and day, whole accounts on one side.
#[test]
fn classes_are_learnt_of_whole_accounts_a_row_a_day() {
    let directory = decided();
    let path = directory.path();
    let mut labels = "subject_kind,subject_id,label,role\n".to_owned();
    for (ring, member) in (0..RINGS).flat_map(|ring| (0..MEMBERS).map(move |one| (ring, one))) {
        // Accounts of the last rings have a role of no class.
        let role = ["shop", "home", "other"][(ring / 12) as usize];
        writeln!(labels, "account,u{ring}-{member},honest,{role}").unwrap();
    }
    fs::write(path.join("roles.csv"), labels).unwrap();
    let target =
        "[target]\nsubject = 'account'\n[target.classes]\nhome = ['home']\nshop = ['sh*']\n[split]";
    fs::write(path.join("classes.toml"), CONFIG.replace("[split]", target)).unwrap();
    let train = ["train", "run", "--labels=roles.csv", "--config=classes.toml", "--json"];
    let outcome = |out: &str, threads: &str| -> Value {
        let done = hongxian(path, &[&train[..], &[out, threads]].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let (one, other) =
        (outcome("--out=one", "--threads=1"), outcome("--out=sub/one", "--threads=3"));
    // Each account pays once a day, and 27 days take part.
    let accounts = 24 * MEMBERS;
    assert_eq!(one["subjects"], Value::from(accounts));
    assert_eq!(one["rows"], Value::from(accounts * 27));
    let groups: Vec<i64> =
        one["split"]["groups"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
    assert_eq!(groups.iter().sum::<i64>(), accounts);
    // Eight days of whole accounts are tested.
    assert_eq!(one["judgement"]["rows"], Value::from(groups[1] * 8));
    assert_eq!(one["model_hash"], other["model_hash"]);
    let model = models::Classes::load(&path.join("one")).unwrap();
    assert_eq!(model.names(), ["home", "shop"]);
    assert!(model.inputs().iter().all(|input| !input.definition.is_empty()));
    let read = |name: &str| fs::read(path.join(name)).unwrap();
    assert_eq!(read("one/model.json"), read("sub/one/model.json"));
    // The config as it was used makes the model again.
    let used = ["train", "run", "--labels=roles.csv", "--config=one/train.toml", "--json"];
    let done = hongxian(path, &[&used[..], &["--out=again/one"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(read("one/model.json"), read("again/one/model.json"));

    // Without a label an account is of the class of others; roles are played in labelled acts only.
    let found = transfers().into_iter().filter(|one| one.account.starts_with("u1") && one.fraud);
    let (shops, acts): (BTreeSet<_>, Vec<_>) = found.map(|one| (one.account, one.id)).unzip();
    let mut labels = "subject_kind,subject_id,label,typology,role\n".to_owned();
    shops.iter().for_each(|id| labels += &format!("account,{id},fraud,street,shop\n"));
    acts.iter().for_each(|id| labels += &format!("event,{id},fraud,street,\n"));
    fs::write(path.join("roles.csv"), labels).unwrap();
    let acts_only = target
        .replace("[target.classes]", "others = 'home'\nlabelled_acts = true\n[target.classes]")
        .replace("sh*", "str*/shop");
    fs::write(path.join("classes.toml"), CONFIG.replace("[split]", &acts_only)).unwrap();
    let days = START + 2 * DAY..START + 29 * DAY;
    let plays = |one: &Transfer| !shops.contains(&one.account) || acts.contains(&one.id);
    let takes_part = |one: &&Transfer| days.contains(&one.time) && plays(one);
    let rows = Value::from(transfers().iter().filter(takes_part).count());
    assert_eq!(outcome("--out=acts", "--threads=2")["rows"], rows);

    let none = CONFIG.replace("[split]", &target.replace("sh*", "x").replace("'home'", "'y'"));
    fs::write(path.join("classes.toml"), none).unwrap();
    let said = refused(path, &[&train[..], &["--out=refused"]].concat());
    assert!(said.contains("no account_id of the run has a label of the classes"), "{said}");
}

/// What is odd is learnt without labels, and the same again where labels judge it.
#[test]
fn an_isolation_forest_needs_no_labels() {
    let directory = decided();
    let path = directory.path();
    let config = CONFIG.replace("\"forest\"", "\"isolation\"").replace("depth_max = 6\n", "");
    // Without labels there is no delay of them, however long the config says, and no label waits in
    // a gap: both learn from the same rows, those of a calibration among them.
    fs::write(path.join("train.toml"), config.replace("4d", "40d")).unwrap();
    fs::write(path.join("judged.toml"), config.replace("4d", "0s")).unwrap();
    let said = hongxian(path, &["train", "run", "--config=train.toml", "--out=said"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("nothing is judged") && said.contains("blend = \"rules\""), "{said}");
    assert!(!said.contains("precision") && !said.contains("0 frauds"), "{said}");
    let card = fs::read_to_string(path.join("said/card.md")).unwrap();
    assert!(card.contains("Calibration: none") && card.contains("nothing was judged"), "{card}");
    assert!(!card.contains("| figure |") && !card.contains("Platt"), "{card}");
    let train = |labels: &[&str], out: &str| -> Value {
        let arguments = ["train", "run", "--json", out];
        let done = hongxian(path, &[&arguments[..], labels].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let without = train(&["--config=train.toml"], "--out=odd");
    assert!(without["judgement"]["auc"].is_null(), "nothing judges it");
    assert_eq!(without["split"]["gap_rows"], Value::from(0));
    assert_eq!(without["split"]["parts"][1]["rows"], Value::from(0), "nothing calibrates");
    let with = train(&["--config=judged.toml", "--labels=labels.csv"], "--out=judged/odd");
    assert!(with["judgement"]["calibration_error"].is_null(), "it is no probability");
    // Frauds are the largest payments.
    let auc = with["judgement"]["auc"]["value"].as_f64().unwrap();
    assert!(auc > 0.6, "{auc}");
    let scores = |name: &str| {
        let model = Model::load(&path.join(name)).unwrap();
        let (_, table) = table(path);
        models::raw_of(&model, &table, &(0..table.rows() as u32).collect::<Vec<_>>())
    };
    assert_eq!(scores("odd"), scores("judged/odd"));
    // How odd a transaction is decides by no odds: refused, whichever model it is, of before, too.
    let backtest = ["backtest", "events.csv", "--rules=rules"];
    let artefact = fs::read_to_string(path.join("odd/model.json")).unwrap();
    let old = artefact.replacen("\"scale\":\"anomaly\"", "\"scale\":\"probability\"", 1);
    fs::write(path.join("old.json"), old).unwrap();
    for model in ["odd", "old.json"] {
        let model = format!("--model={model}");
        let said = refused(path, &[&backtest[..], &[&model, "--out=refused"]].concat());
        assert!(said.contains("no probability") && said.contains("blend = \"rules\""), "{said}");
        let zh = refused(path, &[&backtest[..], &[&model, "--out=refused", "--lang=zh"]].concat());
        assert!(zh.contains("不是概率") && zh.contains("blend = \"rules\""), "{zh}");
    }
    let policy = "[features]\ncolumns = 'used'\n[model]\nblend = 'rules'\n";
    fs::write(path.join("rules/policy.toml"), policy).unwrap();
    let done = hongxian(path, &[&backtest[..], &["--model=odd", "--out=scored"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let scored = parquet(&path.join("scored/decisions.parquet"));
    assert_eq!(scored.column_by_name("model_score").unwrap().null_count(), 0);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("those of an isolation forest"), "{said}");
    fs::write(path.join("rules/policy.toml"), "[features]\ncolumns = 'used'\n").unwrap();

    let forest = config.replace("\"isolation\"", "\"forest\"");
    fs::write(path.join("train.toml"), forest).unwrap();
    let said = refused(path, &["train", "run", "--config=train.toml", "--out=refused"]);
    assert!(said.contains("--labels is missing"), "{said}");
}
