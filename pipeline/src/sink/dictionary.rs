//! Column chunks of few distinct values. The arrays hold indices into a dictionary, and so do the pages:
//! what the library does, to hash and compare the value of every row, only finds the indices again.

use std::collections::hash_map::Entry;

use ::parquet::basic::{Encoding, EncodingMask, PageType, Type};
use ::parquet::column::page::{CompressedPage, Page, PageWriter as _};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use ::parquet::file::statistics::Statistics;
use ::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use ::parquet::schema::types::ColumnDescPtr;
use arrow::array::{Array as _, ArrayRef, AsArray as _, DictionaryArray};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use rustc_hash::FxHashMap;

/// Values that Parquet packs together.
const GROUP: usize = 8;

/// A column chunk in the making: a dictionary, and one page of indices into it.
pub(super) struct DictionaryChunk {
    column: ColumnDescPtr,
    /// The distinct values, end to end, as a page has them.
    values: Vec<u8>,
    /// The index of each, by its bytes in there.
    places: FxHashMap<Vec<u8>, u32>,
    /// The least and the greatest one, of numbers.
    bounds: Option<(i64, i64)>,
    /// The index of every value that is there.
    indices: Vec<u32>,
    /// For each value that is there or not: 0 where a row begins. Only of lists.
    repetition: Vec<u8>,
    /// For each value: 1 where it is there. Only where one may not be.
    definition: Vec<u8>,
    rows: usize,
}

impl DictionaryChunk {
    pub(super) fn new(column: ColumnDescPtr) -> DictionaryChunk {
        DictionaryChunk {
            column,
            values: Vec::new(),
            places: FxHashMap::default(),
            bounds: None,
            indices: Vec::new(),
            repetition: Vec::new(),
            definition: Vec::new(),
            rows: 0,
        }
    }

    /// Appends rows. Where they are lists, `offsets` say where each begins among the values of `array`,
    /// and the last one ends.
    pub(super) fn append(
        &mut self,
        array: &DictionaryArray<Int32Type>,
        offsets: Option<&[i32]>,
    ) -> Result<()> {
        let keys = array.keys();
        let nulls = keys.nulls().filter(|nulls| nulls.null_count() > 0);
        let used = match (offsets, self.column.max_rep_level(), self.column.max_def_level()) {
            (None, 0, 0) if nulls.is_none() => 0..keys.len(),
            (None, 0, 1) => {
                match nulls {
                    Some(nulls) => self.definition.extend(nulls.iter().map(u8::from)),
                    None => self.definition.resize(self.definition.len() + keys.len(), 1),
                }
                0..keys.len()
            }
            (Some(offsets @ [first, .., last]), 1, 1) if nulls.is_none() => {
                self.begin_lists(offsets);
                *first as usize..*last as usize
            }
            _ => return Err(self.refused("nulls or lists")),
        };
        self.rows += offsets.map_or(keys.len(), |offsets| offsets.len() - 1);
        // Most of what the array could say is never said: it is looked up when it is.
        let mut places = vec![None; array.values().len()];
        self.indices.reserve(used.len());
        for at in used.filter(|at| nulls.is_none_or(|nulls| nulls.is_valid(*at))) {
            let key = keys.value(at) as usize;
            let place = match places[key] {
                Some(place) => place,
                None => *places[key].insert(self.place(array.values(), key)?),
            };
            self.indices.push(place);
        }
        Ok(())
    }

    fn begin_lists(&mut self, offsets: &[i32]) {
        let levels = (offsets[offsets.len() - 1] - offsets[0]) as usize + offsets.len();
        self.repetition.reserve(levels);
        self.definition.reserve(levels);
        for list in offsets.windows(2) {
            // A list without items has a level, too.
            self.repetition.push(0);
            self.definition.push(u8::from(list[0] < list[1]));
            for _ in list[0] + 1..list[1] {
                self.repetition.push(1);
                self.definition.push(1);
            }
        }
    }

    /// The index of a value of an array.
    fn place(&mut self, values: &ArrayRef, at: usize) -> Result<u32> {
        let plain = match self.column.physical_type() {
            Type::BYTE_ARRAY => values.as_string_opt::<i32>().map(|words| {
                let word = words.value(at).as_bytes();
                [&(word.len() as u32).to_le_bytes()[..], word].concat()
            }),
            Type::INT64 => values.as_primitive_opt::<Int64Type>().map(|numbers| {
                let number = numbers.value(at);
                let (least, greatest) = self.bounds.unwrap_or((number, number));
                self.bounds = Some((least.min(number), greatest.max(number)));
                number.to_le_bytes().to_vec()
            }),
            _ => None,
        };
        let next = self.places.len() as u32;
        match self.places.entry(plain.ok_or_else(|| self.refused("values of another type"))?) {
            Entry::Occupied(held) => Ok(*held.get()),
            Entry::Vacant(free) => {
                self.values.extend_from_slice(free.key());
                Ok(*free.insert(next))
            }
        }
    }

    fn refused(&self, what: &str) -> ParquetError {
        ParquetError::General(format!("{what} that {} does not have", self.column.path()))
    }

    /// The pages, and what the footer says of them.
    pub(super) fn close(self) -> Result<(Bytes, ColumnCloseResult)> {
        let distinct = self.places.len() as u32;
        let levels = self.definition.len().max(self.indices.len());
        let width = u32::BITS - distinct.saturating_sub(1).leading_zeros();
        let mut page = Vec::new();
        for level in [&self.repetition, &self.definition] {
            if !level.is_empty() {
                let start = page.len() + 4;
                page.extend([0; 4]);
                pack(level, 1, &mut page);
                let bytes = (page.len() - start) as u32;
                page[start - 4..start].copy_from_slice(&bytes.to_le_bytes());
            }
        }
        page.push(width as u8);
        pack(&self.indices, width, &mut page);
        let dictionary_page = Page::DictionaryPage {
            buf: self.values.into(),
            num_values: distinct,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let data_page = Page::DataPage {
            buf: page.into(),
            num_values: levels as u32,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let mut sink = TrackedWrite::new(Vec::new());
        let mut write = |page: Page| {
            let bytes = page.buffer().len();
            SerializedPageWriter::new(&mut sink).write_page(CompressedPage::new(page, bytes))
        };
        let dictionary = write(dictionary_page)?;
        let data = write(data_page)?;
        let encodings = [Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY];
        let pages = [
            (PageType::DICTIONARY_PAGE, Encoding::PLAIN),
            (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY),
        ];
        let bytes = (dictionary.compressed_size + data.compressed_size) as i64;
        let mut metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(
                pages
                    .map(|(page_type, encoding)| PageEncodingStats {
                        page_type,
                        encoding,
                        count: 1,
                    })
                    .to_vec(),
            )
            .set_num_values(levels as i64)
            .set_total_compressed_size(bytes)
            .set_total_uncompressed_size(bytes)
            .set_dictionary_page_offset(Some(dictionary.offset as i64))
            .set_data_page_offset(data.offset as i64);
        if self.column.physical_type() == Type::INT64 {
            let (least, greatest) = self.bounds.unzip();
            let nulls = (levels - self.indices.len()) as u64;
            metadata = metadata.set_statistics(Statistics::int64(
                least,
                greatest,
                None,
                Some(nulls),
                false,
            ));
        }
        let mut places = OffsetIndexBuilder::new();
        places.append_row_count(self.rows as i64);
        places.append_offset_and_size(data.offset as i64, data.compressed_size as i32);
        let result = ColumnCloseResult {
            bytes_written: bytes as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(places.build()),
        };
        Ok((sink.into_inner()?.into(), result))
    }
}

/// Appends numbers of `width` bits each, as levels and indices are written: a value and how often it
/// comes, or groups of values bit by bit.
fn pack<T: Copy + PartialEq + Into<u32>>(values: &[T], width: u32, out: &mut Vec<u8>) {
    let mut rest = values;
    while let [first, ..] = rest {
        let same = rest.iter().take_while(|value| *value == first).count();
        if same >= GROUP || same == rest.len() {
            header((same as u64) << 1, out);
            let first: u32 = (*first).into();
            out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
            rest = &rest[same..];
            continue;
        }
        let is_run = |group: &[T]| group.len() == GROUP && group.iter().all(|one| *one == group[0]);
        let groups = rest.chunks(GROUP).take_while(|group| !is_run(group)).count();
        header(((groups as u64) << 1) | 1, out);
        out.reserve(groups * width as usize);
        let (packed, after) = rest.split_at(rest.len().min(groups * GROUP));
        for group in packed.chunks(GROUP) {
            let (mut bits, mut held) = (0u64, 0);
            // The last group is filled up with zeros, which nobody counts.
            for nth in 0..GROUP {
                bits |= group.get(nth).map_or(0, |value| u64::from((*value).into())) << held;
                held += width;
                while held >= 8 {
                    out.push(bits as u8);
                    bits >>= 8;
                    held -= 8;
                }
            }
        }
        rest = after;
    }
}

/// Appends a number, seven bits a byte.
fn header(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use arrow::array::{Int32Array, Int64Array, ListArray, StringArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::sink::parquet::Writer;

    /// A number below `end`.
    fn below(end: usize, seed: &mut u64) -> usize {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % end
    }

    /// The library reads by value what was written by index: runs of all lengths, nulls and empty lists,
    /// batches whose dictionaries are in other orders, and more rows than a row group has.
    #[test]
    fn what_is_written_by_index_is_read_by_value() {
        for distinct in [1, 2, 300] {
            check(distinct);
        }
    }

    fn check(distinct: usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let words_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let lists_type = DataType::new_list(DataType::Int64, false);
        let schema = Schema::new(vec![
            Field::new("word", words_type, true),
            Field::new("numbers", lists_type, false),
        ]);
        let mut writer = Writer::create(&path, Arc::new(schema)).unwrap();
        let mut expected: Vec<(Option<String>, Vec<i64>)> = Vec::new();
        let mut seed = distinct as u64;
        for batch in 0..3 {
            let values = (0..distinct).map(|at| ((at + batch * 7) % distinct) as i64);
            let values = values.collect::<Vec<i64>>();
            let (mut words, mut numbers, mut ends) = (Vec::new(), Vec::new(), vec![0]);
            while words.len() < 50_000 {
                let run_max = [3, 40][below(2, &mut seed)];
                let (key, items) = (below(distinct + 1, &mut seed), below(4, &mut seed));
                for _ in 0..=below(run_max, &mut seed) {
                    let list: Vec<usize> = (0..items).map(|nth| (key + nth) % distinct).collect();
                    words.push((key < distinct).then_some(key as i32));
                    numbers.extend(list.iter().map(|key| *key as i32));
                    ends.push(numbers.len() as i32);
                    let word = values.get(key).map(|value| format!("word {value}"));
                    expected.push((word, list.iter().map(|key| values[*key]).collect()));
                }
            }
            let held = values.iter().map(|value| format!("word {value}"));
            let held = Arc::new(StringArray::from_iter_values(held));
            let words = DictionaryArray::new(Int32Array::from(words), held);
            let held = Arc::new(Int64Array::from(values));
            let numbers = DictionaryArray::new(Int32Array::from(numbers), held);
            let item = Arc::new(Field::new("item", numbers.data_type().clone(), false));
            let ends = OffsetBuffer::new(ends.into());
            let lists = ListArray::new(item, ends, Arc::new(numbers), None);
            writer.write(vec![Arc::new(words), Arc::new(lists)]).unwrap();
        }
        writer.close().unwrap();

        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata().clone();
        let mut rows = expected.iter();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let words = cast(batch.column(0), &DataType::Utf8).unwrap();
            for (row, word) in words.as_string::<i32>().iter().enumerate() {
                let list = batch.column(1).as_list::<i32>().value(row);
                let list = list.as_primitive::<Int64Type>().values().to_vec();
                assert_eq!(rows.next(), Some(&(word.map(str::to_owned), list)));
            }
        }
        assert_eq!(rows.next(), None);
        assert!(metadata.num_row_groups() > 1);
        let mut rest = &expected[..];
        for group in metadata.row_groups() {
            let (rows, after) = rest.split_at(group.num_rows() as usize);
            rest = after;
            let numbers = || rows.iter().flat_map(|(_, list)| list.iter().copied());
            let Some(Statistics::Int64(held)) = group.column(1).statistics() else { panic!() };
            assert_eq!(held.min_opt().copied(), numbers().min());
            assert_eq!(held.max_opt().copied(), numbers().max());
        }
    }
}
