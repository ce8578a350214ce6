//! A stream that replaces ids: what it writes has none of the input's, and is what a backtest of its
//! input log with the same key decides.

use std::fs;

use super::bench::{Bench, Sent, hongxian};
use super::succeeds;
use crate::support::START;

fn claim(at: i64) -> Sent {
    let (time, who) = (START + at * 1_000, at % 10);
    let json = format!(
        "{{\"event_id\":\"e{at}\",\"event_time\":{time},\"kind\":\"claim\",\"account_id\":\"acct-{who}\",\
         \"counterparty_id\":\"peer-1\",\"group_id\":\"room-1\",\"packet_id\":\"parcel-{at}\",\
         \"amount_fen\":5}}"
    );
    Sent { partition: 0, value: Some(json.into_bytes()) }
}

fn sent(text: &str) -> Sent {
    Sent { partition: 0, value: Some(text.as_bytes().to_vec()) }
}

#[test]
fn what_a_stream_writes_has_no_id_of_its_input_and_replays_to_the_same_digest() {
    let Some(bench) = Bench::new("pseudonyms", 1) else { return };
    let rules = bench.rules();
    fs::create_dir_all(rules.join("lists")).unwrap();
    let list = "value,valid_from,valid_until,added_by,reason\nacct-3,,,li,\n";
    fs::write(rules.join("lists/watched.csv"), list).unwrap();
    let rule = "title = 'watched'\nstatus = 'live'\non = ['claim']\nscore = 650\n\
                when = \"in_list('watched', account_id)\"\nreason = '{account_id}'\n";
    fs::write(rules.join("funds/watched.toml"), rule).unwrap();
    fs::write(bench.path("key"), [7; 32]).unwrap();
    bench.configure_with(&rules, "pseudonymise = 'key'\n");
    let tables = "[days]\ndir = 'days'\ninterval = '50ms'\n[snapshots]\ndir = 'snapshots'\n";
    let plain = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("{plain}{tables}")).unwrap();
    bench.send((0..60).map(claim));
    bench.send([sent("{\"acct-1\":"), sent("{\"event_id\":\"x\",\"kind\":\"acct-1\"}")]);
    let conflict = claim(7).value.map(|value| String::from_utf8(value).unwrap());
    bench.send([sent(&conflict.unwrap().replace("acct-7", "acct-8"))]);
    let ended = bench.stream(&["--once"]);
    assert_eq!(ended["counts"]["decided"], 60);
    assert_eq!(ended["counts"]["rejected"], 3);
    for topic in ["out", "dead"] {
        let seen = bench.committed(topic);
        assert_eq!(seen.len(), if topic == "out" { 60 } else { 3 });
        for record in seen {
            let text = format!("{} {:?}", String::from_utf8_lossy(&record.value), record.headers);
            for mark in ["acct-", "peer-", "room-", "parcel-"] {
                assert!(!text.contains(mark), "{topic}: {text}");
            }
        }
    }
    let held = |seen: &super::bench::Seen| String::from_utf8_lossy(&seen.value).contains("watched");
    assert_eq!(bench.committed("out").iter().filter(|seen| held(seen)).count(), 6);
    let verified = succeeds(hongxian().arg("verify").arg(bench.path("days")).arg("--lang=en"));
    assert!(verified.contains("every decision is the same"), "{verified}");
    let (log, run) = (bench.path("log"), bench.path("replayed"));
    let told = succeeds(hongxian().arg("input-log").arg(bench.config()).arg("--out").arg(&log));
    let key = bench.path("key");
    assert!(told.contains(&format!("--pseudonymise {}", key.display())), "{told}");
    let replay = |key: Option<&std::path::Path>| {
        let mut backtest = hongxian();
        backtest.arg("backtest").arg("--input-log").arg(&log).arg("--out").arg(&run);
        backtest.arg("--rules").arg(&rules).args(key.map(|_| "--pseudonymise")).args(key);
        succeeds(&mut backtest);
        succeeds(hongxian().arg("digest").arg(&run)).trim().to_owned()
    };
    assert_eq!(replay(Some(&key)), bench.digest());
    assert_ne!(replay(None), bench.digest());
}

#[test]
fn a_stream_goes_on_with_its_own_key_and_keeps_no_log_in_clear() {
    let Some(bench) = Bench::new("pseudonyms-key", 1) else { return };
    fs::write(bench.path("key"), [7; 32]).unwrap();
    bench.configure_with(&bench.rules(), "pseudonymise = 'key'\n");
    bench.send((0..20).map(claim));
    let out = bench.path("run");
    let said = bench.fails(&["--once", "--out", out.to_str().unwrap()], 2);
    assert!(said.contains("it does not go with pseudonymise"), "{said}");
    bench.stream(&["--once"]);
    fs::write(bench.path("key"), [8; 32]).unwrap();
    let said = bench.fails(&["--once"], 2);
    assert!(said.contains("the stream began with others: the key of pseudonymise"), "{said}");
    fs::write(bench.path("key"), [8; 31]).unwrap();
    let said = bench.fails(&["--once"], 2);
    assert!(said.contains("bad-key") && said.contains("stream.toml:6"), "{said}");
    fs::write(bench.path("key"), [7; 32]).unwrap();
    assert_eq!(bench.stream(&["--once"])["written"], 0);
}
