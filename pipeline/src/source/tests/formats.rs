//! The same events through every format, compression and block size.

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow::array::*;
use arrow::datatypes::{Int8Type, Schema as ArrowSchema};

use super::*;

const CSV: &str =
    "\u{feff}event_id,event_time,kind,account_id,counterparty_id,amount_fen,text,verified,note\r
e1,2024-02-09T20:00:00.0009+08:00,send,a,,100,\"two\nlines, \"\"quoted\"\"\",,x\r
\r
e2,1707480000001,transfer,b,c,200,红包,,\r
e3,1707480000002,account,d,,,,true,";

const JSON: &str = r#"{"event_id":"e1","event_time":"2024-02-09T20:00:00.0009+08:00","kind":"send","account_id":"a","amount_fen":100,"text":"two\nlines, \"quoted\"","note":"x"}

{"event_time":1707480000001,"event_id":"e2","kind":"transfer","account_id":"b","counterparty_id":"c","amount_fen":200,"text":"\u7ea2包"}
 {"kind":"account","event_id":"e3","event_time":1707480000002,"account_id":"d","verified":true,"text":""} "#;

const EVENTS: [&str; 3] = [
    r#" event_id="e1" event_time=1707480000000 kind="send" account_id="a" amount_fen=100 text="two\nlines, \"quoted\"""#,
    r#" event_id="e2" event_time=1707480000001 kind="transfer" account_id="b" counterparty_id="c" amount_fen=200 text="红包""#,
    r#" event_id="e3" event_time=1707480000002 kind="account" account_id="d" verified=true"#,
];

fn at(lines: [u64; 3]) -> Vec<String> {
    lines.iter().zip(EVENTS).map(|(line, event)| format!("{line}:{event}")).collect()
}

#[test]
fn the_same_events_come_out_of_every_text_format() {
    for end in ["", ".gz", ".zst"] {
        for block_bytes in [1, 2, 3, 10, 50, 200, BLOCK_BYTES] {
            let csv = read(&format!("e.csv{end}"), CSV.as_bytes(), block_bytes).unwrap();
            assert_eq!(events(&csv), at([2, 5, 6]), "csv{end} {block_bytes}");
            for name in ["e.jsonl", "e.ndjson", "e.json"] {
                let json = read(&format!("{name}{end}"), JSON.as_bytes(), block_bytes).unwrap();
                assert_eq!(events(&json), at([1, 3, 4]), "{name}{end} {block_bytes}");
                assert_eq!(json.files[0].records, 3);
            }
        }
    }
}

#[test]
fn a_file_is_sealed_as_on_disk_and_members_of_gzip_follow_one_another() {
    let files = Files::new();
    files.write("a.csv.gz", CSV.as_bytes());
    files.write("b.csv.gz", b"\ne4,1707480000003,account,d,,,,,");
    let both = [fs::read(files.path("a.csv.gz")), fs::read(files.path("b.csv.gz"))];
    let both = both.map(Result::unwrap).concat();
    fs::write(files.path("c.csv.gz"), &both).unwrap();
    let read = read_input(Input::plain(files.path("c.csv.gz")), BLOCK_BYTES).unwrap();
    assert_eq!(events(&read).len(), 4);
    let file = read.files[0];
    assert_eq!((file.records, file.bytes), (4, both.len() as u64));
    assert_eq!(file.hash, *blake3::hash(&both).as_bytes());
}

#[test]
fn several_inputs_are_read_in_their_order() {
    let files = Files::new();
    let inputs = [files.write("b.csv", CSV.as_bytes()), files.write("a.jsonl", JSON.as_bytes())];
    let schema = Arc::new(schema(&inputs).unwrap());
    let read = read_all(&inputs, &schema, &()).unwrap();
    assert_eq!(events(&read), [at([2, 5, 6]), at([1, 3, 4])].concat());
    let sources: Vec<u32> = read.chunks.iter().map(|chunk| chunk.position(0).source).collect();
    assert_eq!(sources, [0, 1]);
}

/// Writes columns as a Parquet file of small row groups.
pub(super) fn write_parquet(path: &Path, columns: &[(&str, ArrayRef)]) {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let schema: Arc<ArrowSchema> = batch.schema();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn the_same_events_come_out_of_parquet_in_any_of_its_types() {
    let files = Files::new();
    let ids = vec!["e1", "e2", "e3"];
    let kinds = ["send", "transfer", "account"];
    let text = vec![Some("two\nlines, \"quoted\""), Some("红包"), None];
    let counterparty = StringArray::from(vec![None, Some("c"), Some("")]);
    let nanos =
        vec![1_707_480_000_000_900_000, 1_707_480_000_001_000_000, 1_707_480_000_002_999_999];
    let micros = vec![1_707_480_000_000_900, 1_707_480_000_001_000, 1_707_480_000_002_999];
    let millis = vec![1_707_480_000_000, 1_707_480_000_001, 1_707_480_000_002];
    let rfc =
        ["2024-02-09T12:00:00Z", "2024-02-09T20:00:00.001+08:00", "2024-02-09T12:00:00.0020Z"];
    let times: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from(nanos.clone())),
        Arc::new(TimestampNanosecondArray::from(nanos).with_timezone("Asia/Shanghai")),
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")),
        Arc::new(TimestampMillisecondArray::from(millis.clone())),
        Arc::new(Int64Array::from(millis.clone())),
        Arc::new(UInt64Array::from(millis.iter().map(|&t| t as u64).collect::<Vec<_>>())),
        Arc::new(StringArray::from(rfc.to_vec())),
    ];
    let amounts: Vec<ArrayRef> = vec![
        Arc::new(Int8Array::from(vec![Some(100), Some(-56), None])),
        Arc::new(UInt8Array::from(vec![Some(100), Some(200), None])),
        Arc::new(Int16Array::from(vec![Some(100), Some(200), None])),
        Arc::new(UInt32Array::from(vec![Some(100), Some(200), None])),
        Arc::new(Int64Array::from(vec![Some(100), Some(200), None])),
    ];
    let texts: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(text.clone())),
        Arc::new(LargeStringArray::from(text.clone())),
        Arc::new(StringViewArray::from(text.clone())),
        Arc::new(text.iter().copied().collect::<DictionaryArray<Int8Type>>()),
        Arc::new(BinaryArray::from(
            text.iter().map(|text| text.map(str::as_bytes)).collect::<Vec<_>>(),
        )),
    ];
    for case in 0..times.len() {
        let amount = case % amounts.len();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("note", Arc::new(Int32Array::from(vec![1, 2, 3]))),
            ("event_id", Arc::new(StringArray::from(ids.clone()))),
            ("event_time", times[case].clone()),
            (
                "kind",
                Arc::new(kinds.iter().copied().map(Some).collect::<DictionaryArray<Int8Type>>()),
            ),
            ("account_id", Arc::new(StringArray::from(vec!["a", "b", "d"]))),
            ("counterparty_id", Arc::new(counterparty.clone())),
            ("amount_fen", amounts[amount].clone()),
            ("text", texts[case % texts.len()].clone()),
            ("verified", Arc::new(BooleanArray::from(vec![None, None, Some(true)]))),
        ];
        write_parquet(&files.path("e.parquet"), &columns);
        let read = read_input(Input::plain(files.path("e.parquet")), BLOCK_BYTES).unwrap();
        let mut wanted = at([1, 2, 3]);
        if amount == 0 {
            assert_eq!(refused(&read), ["2 out_of_bounds"]);
            wanted.remove(1);
        }
        assert_eq!(events(&read), wanted, "case {case}");
        let bytes = fs::read(files.path("e.parquet")).unwrap();
        assert_eq!(read.files[0].hash, *blake3::hash(&bytes).as_bytes());
    }
}

/// Whatever others compress their files by: gzip is what older tools write, LZ4 and Brotli are choices of
/// newer ones.
#[test]
fn the_same_events_come_out_of_parquet_however_it_is_compressed() {
    let files = Files::new();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", Arc::new(StringArray::from(vec!["e1"; 1]))),
        ("event_time", Arc::new(Int64Array::from(vec![1_707_480_000_000]))),
        ("kind", Arc::new(StringArray::from(vec!["message"]))),
        ("account_id", Arc::new(StringArray::from(vec!["a"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for codec in codecs {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let file = fs::File::create(files.path("e.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let read = read_input(Input::plain(files.path("e.parquet")), BLOCK_BYTES).unwrap();
        let event = r#"1: event_id="e1" event_time=1707480000000 kind="message" account_id="a""#;
        assert_eq!(events(&read), [event], "{codec:?}");
    }
}

#[test]
fn the_whole_of_a_large_row_group_is_read() {
    let files = Files::new();
    let rows = 300_000;
    let ids: Vec<String> = (0..rows).map(|row| format!("e{row}")).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", Arc::new(StringArray::from_iter_values(&ids))),
        ("event_time", Arc::new(Int64Array::from_value(1_707_480_000_000, rows))),
        ("kind", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "message")))),
        ("account_id", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "a")))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(files.path("e.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let read = read_input(Input::plain(files.path("e.parquet")), BLOCK_BYTES).unwrap();
    let mut row = 0;
    for chunk in &read.chunks {
        for at in 0..chunk.len() {
            assert_eq!(chunk.str(crate::event::EVENT_ID, at), ids[row]);
            row += 1;
            assert_eq!(chunk.position(at).at, row as u64);
        }
    }
    assert_eq!(row, rows);
}
