//! Random input: nothing panics, nothing is lost, and blocks of any size give the same records.

use std::path::Path;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::Int8Type;
use proptest::prelude::*;

use super::formats::write_parquet;
use super::*;

const HEADER: &str = "event_id,event_time,kind,account_id,amount_fen,text\n";
const GOOD: &[u8] = b"e0,1700000000000,message,a,,hello\n";

/// What came of a file, whatever the size of the blocks.
fn outcome(name: &str, bytes: &[u8], block_bytes: usize) -> (Vec<String>, Vec<Reject>) {
    let read = read(name, bytes, block_bytes).unwrap();
    let events = events(&read);
    let records = events.len() + read.rejects.len();
    assert_eq!(read.files[0].records, records as u64, "nothing is lost");
    (events, read.rejects)
}

/// A CSV file whose cells, quotes and line ends are all likely to meet.
fn csv_soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => Just(b"e1,1700000000000,message,a,,hello\n".to_vec()),
        3 => Just(b"\"".to_vec()),
        2 => Just(b"\"\"".to_vec()),
        3 => Just(b",".to_vec()),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        2 => Just(b"a".to_vec()),
        1 => Just(b"\xff".to_vec()),
        1 => Just("红".as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Events of several types and lengths in small row groups.
fn write_events_parquet(path: &Path) {
    let numbers = 0..20i64;
    let ids = StringArray::from_iter_values(numbers.clone().map(|at| format!("e{at}")));
    let kinds = numbers.clone().map(|at| Some(if at % 3 == 0 { "send" } else { "message" }));
    let texts = numbers.clone().map(|at| (at % 4 > 0).then(|| "红包".repeat(at as usize)));
    let times = numbers.clone().map(|at| 1_700_000_000_000 + at);
    let columns: [(&str, ArrayRef); 6] = [
        ("event_id", Arc::new(ids)),
        ("event_time", Arc::new(Int64Array::from_iter_values(times))),
        ("kind", Arc::new(kinds.collect::<DictionaryArray<Int8Type>>())),
        ("account_id", Arc::new(StringArray::from(vec!["a"; 20]))),
        (
            "amount_fen",
            Arc::new(numbers.map(|at| (at % 5 > 0).then_some(at)).collect::<Int64Array>()),
        ),
        ("text", Arc::new(texts.collect::<StringArray>())),
    ];
    write_parquet(path, &columns);
}

proptest! {
    #[test]
    fn csv_does_not_depend_on_the_size_of_blocks(soup in csv_soup(), block_bytes in 1usize..100) {
        let file = [HEADER.as_bytes(), GOOD, &soup].concat();
        let whole = outcome("e.csv", &file, BLOCK_BYTES);
        prop_assert_eq!(outcome("e.csv", &file, block_bytes), whole);
    }

    /// The same where the longest record ends somewhere among the quotes, in a cell or not.
    #[test]
    fn overlong_csv_does_not_depend_on_the_size_of_blocks(
        soup in csv_soup(),
        quoted in any::<bool>(),
        short_of_max in 0usize..60,
        block_bytes in 1usize..100,
    ) {
        let text = vec![b'a'; crate::event::RECORD_BYTES_MAX - short_of_max];
        let open: &[u8] = if quoted { b"\"" } else { b"" };
        let file = [HEADER.as_bytes(), GOOD, open, &text, &soup, GOOD].concat();
        let whole = outcome("e.csv", &file, BLOCK_BYTES);
        prop_assert_eq!(outcome("e.csv", &file, block_bytes), whole);
    }

    #[test]
    fn json_lines_do_not_depend_on_the_size_of_blocks(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'{'), Just(b'"'), Just(b'}'), Just(b'\n'), Just(b':'), any::<u8>()],
            1..200,
        ),
        block_bytes in 1usize..100,
    ) {
        let file = [b"x\n".as_slice(), &bytes].concat();
        let whole = outcome("e.jsonl", &file, BLOCK_BYTES);
        prop_assert_eq!(outcome("e.jsonl", &file, block_bytes), whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        for name in ["e.csv", "e.csv.gz", "e.csv.zst", "e.jsonl", "e.parquet"] {
            let files = Files::new();
            fs::write(files.path(name), &bytes).unwrap();
            let _ = read_input(Input::plain(files.path(name)), 16);
        }
    }

    /// A damaged file is refused or read, in blocks of any size alike; page checksums are left out,
    /// for they would end every reading before the decoder.
    #[test]
    fn a_damaged_parquet_file_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let files = Files::new();
        let path = files.path("e.parquet");
        write_events_parquet(&path);
        let mut bytes = fs::read(&path).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.remove(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        let read = |block_bytes| read_input(Input::plain(&path), block_bytes).ok();
        let outcome = |read: Read| (events(&read), read.rejects);
        prop_assert_eq!(read(16).map(outcome), read(BLOCK_BYTES).map(outcome));
    }

    #[test]
    fn cells_come_back_as_they_were_written(
        rows in proptest::collection::vec(
            proptest::collection::vec("[a\",\n\r 红]{0,6}", 2..=2), 1..20),
        quoted in any::<u64>(),
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
        block_bytes in 1usize..200,
    ) {
        let mut file = format!("event_id,event_time,kind,account_id,group_id,text{line_end}");
        let mut wanted = Vec::new();
        let mut line = 2;
        for (at, row) in rows.iter().enumerate() {
            let cells = row.iter().enumerate().map(|(column, text)| {
                let must = text.contains(['"', ',', '\n', '\r']);
                let may = quoted >> ((2 * at + column) % 64) & 1 == 1;
                let text = text.replace('"', "\"\"");
                if must || may { format!("\"{text}\"") } else { text }
            });
            let cells: Vec<String> = cells.collect();
            let record = format!("e,1700000000000,message,a,{}{line_end}", cells.join(","));
            let mut event = format!(
                "{line}: event_id=\"e\" event_time=1700000000000 kind=\"message\" account_id=\"a\""
            );
            for (name, text) in ["group_id", "text"].into_iter().zip(row) {
                if !text.is_empty() {
                    event += &format!(" {name}={text:?}");
                }
            }
            wanted.push(event);
            line += record.matches('\n').count();
            file += &record;
        }
        let (events, rejects) = outcome("e.csv", file.as_bytes(), block_bytes);
        prop_assert_eq!(rejects, vec![]);
        prop_assert_eq!(events, wanted);
    }

    /// A line is refused as malformed exactly where another parser refuses it.
    #[test]
    fn json_is_what_serde_json_takes_for_json(
        inner in prop_oneof![
            "[-+0-9.eE]{1,8}",
            "[\\[\\]{}\",:a1 ]{1,12}",
            "\"[a\\\\u\"0/bn]{0,8}\"",
            "(true|false|null|nul|tru)",
        ]
    ) {
        let line = format!(
            "{{\"event_id\":\"e\",\"event_time\":1700000000000,\"kind\":\"message\",\"account_id\":\"a\",\"x\":{inner}}}"
        );
        let repeats = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&line)
            .map(|object| object.len() < 5);
        // Repeated keys are valid JSON, and refused all the same.
        prop_assume!(repeats.as_ref().map_or(true, |repeats| !repeats) && inner.matches(':').count() == 0);
        let (_, rejects) = outcome("e.jsonl", line.as_bytes(), BLOCK_BYTES);
        prop_assert_eq!(rejects.is_empty(), repeats.is_ok(), "{}", line);
    }
}
