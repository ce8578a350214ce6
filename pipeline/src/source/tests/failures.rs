//! What ends a run before it begins, and what is only warned about.

use super::*;

const HEADER: &str = "event_id,event_time,kind,account_id\n";

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("e.csv", b"", "empty-file: the file is empty: no header and no records"),
        ("e.csv", b"\n\r\n\n", "empty-file: the file is empty: no header and no records"),
        ("e.csv.gz", b"", "empty-file: the file is empty: no header and no records"),
        ("e.jsonl", b"", "empty-file: the file is empty: no records"),
        ("e.jsonl", b" \n\n", "empty-file: the file is empty: no records"),
        (
            "e.csv",
            b"event_id,event_time,kind,event_id\n",
            "repeated-column: the header names column `event_id` twice",
        ),
        (
            "e.csv",
            b"event_id,kind,event_tme\n",
            "missing-column: the file has no column `event_time` (did you mean `event_tme`?)",
        ),
        (
            "e.csv",
            b"event_id,kind,Event_Time\n",
            "missing-column: the file has no column `event_time` (did you mean `Event_Time`?)",
        ),
        (
            "e.csv",
            b"event_id,kind,when\n",
            "missing-column: the file has no column `event_time` (its columns are event_id, kind, when; a mapping file (--map) makes fields of them)",
        ),
        (
            "e.csv",
            b"event_id,event_time,kind,\xff\n",
            "bad-header: the header cannot be read: the record has bytes that are not UTF-8",
        ),
        (
            "e.csv",
            b"event_id,event_time,\"kind\n",
            "bad-header: the header cannot be read: a quote is opened and never closed",
        ),
        (
            "e.txt",
            b"x",
            "unknown-extension: the name does not tell a format that can be read (names end in .csv, .jsonl, .ndjson and .json, alone or with .gz or .zst, and .parquet)",
        ),
    ];
    for (name, bytes, wanted) in cases {
        let found = findings(read(name, bytes, BLOCK_BYTES));
        assert_eq!(found, [*wanted], "{name} {:?}", String::from_utf8_lossy(bytes));
    }
    let files = Files::new();
    for name in ["absent.csv", "absent.jsonl", "absent.parquet"] {
        let found = findings(read_input(Input::plain(files.path(name)), 1));
        assert!(found[0].starts_with("unreadable-file: cannot read the file: No such file"));
    }
    for name in ["e.parquet", "damaged.csv.gz"] {
        fs::write(files.path(name), b"not what the name says").unwrap();
        let found = findings(read_input(Input::plain(files.path(name)), 1));
        assert!(found[0].starts_with("unreadable-file"), "{found:?}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_unreadable() {
    let files = Files::new();
    let mut csv = HEADER.to_owned();
    for row in 0..100_000 {
        csv += &format!("e{row},{},message,a{}\n", 1_700_000_000_000i64 + row * 7919, row % 977);
    }
    for name in ["e.csv.gz", "e.csv.zst"] {
        files.write(name, csv.as_bytes());
        let whole = fs::read(files.path(name)).unwrap();
        fs::write(files.path(name), &whole[..whole.len() / 2]).unwrap();
        let found = findings(read_input(Input::plain(files.path(name)), BLOCK_BYTES));
        assert!(found[0].starts_with("unreadable-file"), "{found:?}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let files = Files::new();
    let inputs = [
        files.write("a.csv", b"event_id,x,x\n"),
        Input::plain(files.path("b.csv")),
        files.write("c.csv", HEADER.as_bytes()),
        files.write("d.txt", b""),
    ];
    let schema = Arc::new(schema(&inputs).unwrap());
    let found = findings(read_all(&inputs, &schema, &()));
    let codes: Vec<&str> = found.iter().map(|found| found.split(':').next().unwrap()).collect();
    assert_eq!(
        codes,
        [
            "repeated-column",
            "missing-column",
            "missing-column",
            "unreadable-file",
            "unknown-extension"
        ]
    );
}

/// An empty file among others is hardly what was meant.
#[test]
fn a_file_without_records_is_refused_beside_others() {
    let one = format!("{HEADER}e,1700000000000,login,a\n");
    for (name, bytes) in [("none.csv", HEADER), ("none.jsonl", ""), ("none.jsonl", "\n \n")] {
        let files = Files::new();
        let inputs = [files.write("one.csv", one.as_bytes()), files.write(name, bytes.as_bytes())];
        let schema = Arc::new(schema(&inputs).unwrap());
        let found = findings(read_all(&inputs, &schema, &()));
        assert_eq!(found, ["empty-file: the file is empty: no records"], "{name} {bytes:?}");
    }
}

/// What is warned about when the files are read.
pub(super) fn warned_of(inputs: &[Input]) -> Vec<String> {
    #[derive(Default)]
    struct Warned(std::sync::Mutex<Vec<String>>);
    impl Progress for Warned {
        fn warn(&self, warnings: &[Diagnostic]) {
            self.0.lock().unwrap().extend(warnings.iter().map(shown));
        }
    }
    let schema = Arc::new(schema(inputs).unwrap());
    let warned = Warned::default();
    read_all(inputs, &schema, &warned).unwrap();
    warned.0.into_inner().unwrap()
}

fn warned(name: &str, bytes: &str) -> Vec<String> {
    let files = Files::new();
    warned_of(&[files.write(name, bytes.as_bytes())])
}

#[test]
fn a_name_that_is_nearly_a_fields_is_warned_about() {
    let ignored = |name: &str, meant: &str| {
        format!("ignored-column: column `{name}` is ignored (did you mean `{meant}`?)")
    };
    let record = "e,1700000000000,message,a,1,2,3\n";
    let header = |names: &str| format!("event_id,event_time,kind,account_id,{names}\n{record}");
    assert_eq!(
        warned("e.csv", &header("devce_id,note,Group_ID")),
        [ignored("devce_id", "device_id"), ignored("Group_ID", "group_id")]
    );
    assert_eq!(warned("e.csv", &header("ips,id,txt")), [ignored("txt", "text")]);
    let json = r#"{"event_id":"e","event_time":1700000000000,"kind":"message","account_id":"a","txet":"x","y":1}"#;
    assert_eq!(warned("e.jsonl", json), [ignored("txet", "text")]);
}

/// A column that some kinds do without is missing where none of the file's records can do without it.
#[test]
fn a_column_that_every_record_lacks_is_named() {
    let header = "event_id,event_time,kind,acount_id,amount\n";
    let record = |id: &str, kind: &str| format!("{id},1700000000000,{kind},a,5\n");
    let lacking = [header, &record("x", "send"), &record("y", "login")].concat();
    assert_eq!(
        findings(read("e.csv", lacking.as_bytes(), 1)),
        ["missing-column: the file has no column `account_id` (did you mean `acount_id`?)"]
    );
    let header = "event_id,event_time,kind,account_id,amount\n";
    let lacking = [header, &record("x", "send"), &record("y", "transfer")].concat();
    let found = findings(read("e.csv", lacking.as_bytes(), BLOCK_BYTES));
    assert!(
        found[0].starts_with("missing-column: the file has no column `amount_fen`"),
        "{found:?}"
    );
    // One that is none of them, refused or not, says that the file is not all amiss.
    for other in [record("y", "login"), record("z", "nothing")] {
        let mixed = [header, &record("x", "send"), &other, &record("v", "send")].concat();
        let read = read("e.csv", mixed.as_bytes(), BLOCK_BYTES).unwrap();
        assert_eq!(refused(&read)[0], "2 missing_field");
        assert_eq!(
            warned("e.csv", &mixed),
            ["missing-field: no record has `amount_fen`: 2 that need it are refused"]
        );
    }
    // Of JSON lines, too.
    let json = r#"{"id":"x","event_time":1700000000000,"kind":"message","account_id":"a"}"#;
    for lacking in [json.to_owned(), format!("{json}\n{json}\n")] {
        let found = findings(read("e.jsonl", lacking.as_bytes(), 1));
        let says = "missing-column: the file has no column `event_id` (its columns are event_time, kind, account_id, id; ";
        assert!(found.len() == 1 && found[0].starts_with(says), "{found:?}");
    }
    let mixed = [json, "\n", &json.replace("\"id\"", "\"event_id\"")].concat();
    assert_eq!(refused(&read("e.jsonl", mixed.as_bytes(), 1).unwrap()), ["1 missing_field"]);
    let mixed = [json, "\nno object\n"].concat();
    assert_eq!(
        warned("e.jsonl", &mixed),
        ["missing-field: no record has `event_id`: 1 that need it are refused"]
    );
    // A column that is there, and empty in some records, is theirs to answer for.
    let header = "event_id,event_time,kind,account_id,amount_fen\n";
    let sparse = [header, &record("x", "send"), "y,1700000000000,send,a,\n"].concat();
    assert_eq!(warned("e.csv", &sparse), [] as [&str; 0]);
}

#[test]
fn reading_stops_when_told_to() {
    struct Stop;
    impl Progress for Stop {
        fn stop(&self) -> bool {
            true
        }
    }
    let files = Files::new();
    let inputs = [files.write("e.csv", HEADER.as_bytes())];
    let schema = Arc::new(schema(&inputs).unwrap());
    assert!(matches!(read_all(&inputs, &schema, &Stop), Err(Failure::Interrupted)));
}
