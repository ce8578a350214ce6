//! A file as a stream of text: its format and compression by name, its bytes hashed on the way.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// The format of a file, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.csv`: a header row, then a record a row (RFC 4180).
    Csv,
    /// `.jsonl`, `.ndjson`, `.json`: a JSON object a line.
    JsonLines,
    /// `.parquet`.
    Parquet,
}

/// The compression of a text file, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// `.gz`, of any number of members.
    Gzip,
    /// `.zst`, of any number of frames.
    Zstd,
}

/// Every accepted extension, for messages.
pub(super) const EXTENSIONS: &str =
    ".csv, .jsonl, .ndjson and .json, alone or with .gz or .zst, and .parquet";

/// The format and compression that the name of a file tells; none for an unknown extension.
pub fn format_of(path: &Path) -> Option<(Format, Compression)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
        (stem, Compression::Gzip)
    } else if let Some(stem) = name.strip_suffix(".zst") {
        (stem, Compression::Zstd)
    } else {
        (name.as_str(), Compression::None)
    };
    let format = match stem.rsplit_once('.')?.1 {
        "csv" => Format::Csv,
        "jsonl" | "ndjson" | "json" => Format::JsonLines,
        "parquet" if compression == Compression::None => Format::Parquet,
        _ => return None,
    };
    Some((format, compression))
}

/// What is known of a file once it has been read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// Its size on disk.
    pub(super) bytes: u64,
    /// BLAKE3 of the file as on disk.
    pub(super) hash: [u8; 32],
}

/// Reads a file and hashes what it reads.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Hashing { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// Reads what is left (a decoder may stop before the end of its file) and seals it.
    fn seal(mut self) -> io::Result<Seal> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Seal { bytes: self.bytes, hash: *self.hasher.finalize().as_bytes() })
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}

/// The bytes of a text file, decompressed as they are read.
pub(super) enum Text {
    Plain(Hashing<File>),
    Gzip(Box<MultiGzDecoder<BufReader<Hashing<File>>>>),
    Zstd(zstd::Decoder<'static, BufReader<Hashing<File>>>),
}

/// Large enough that a system call and a call of the hasher cost nothing a byte.
const READ_BYTES: usize = 1 << 17;

impl Text {
    pub(super) fn open(path: &Path, compression: Compression) -> io::Result<Text> {
        let file = Hashing::new(File::open(path)?);
        let buffered = |file| BufReader::with_capacity(READ_BYTES, file);
        Ok(match compression {
            Compression::None => Text::Plain(file),
            Compression::Gzip => Text::Gzip(Box::new(MultiGzDecoder::new(buffered(file)))),
            Compression::Zstd => Text::Zstd(zstd::Decoder::with_buffer(buffered(file))?),
        })
    }

    /// Bytes read from disk so far.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Text::Plain(file) => file.bytes,
            Text::Gzip(decoder) => decoder.get_ref().get_ref().bytes,
            Text::Zstd(decoder) => decoder.get_ref().get_ref().bytes,
        }
    }

    pub(super) fn seal(self) -> io::Result<Seal> {
        match self {
            Text::Plain(file) => file.seal(),
            Text::Gzip(decoder) => decoder.into_inner().into_inner().seal(),
            Text::Zstd(decoder) => decoder.finish().into_inner().seal(),
        }
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Text::Plain(file) => file.read(buffer),
            Text::Gzip(decoder) => decoder.read(buffer),
            Text::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// The seal of a file that is read out of order.
pub(super) fn seal(path: &Path) -> io::Result<Seal> {
    let file = File::open(path)?;
    let mut reader = BufReader::with_capacity(READ_BYTES, Hashing::new(file));
    io::copy(&mut reader, &mut io::sink())?;
    reader.into_inner().seal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_format_and_compression() {
        use Compression as C;
        use Format::*;
        let cases = [
            ("a.csv", Some((Csv, C::None))),
            ("a.CSV.GZ", Some((Csv, C::Gzip))),
            ("dir.d/a.jsonl.zst", Some((JsonLines, C::Zstd))),
            ("a.ndjson", Some((JsonLines, C::None))),
            ("a.json", Some((JsonLines, C::None))),
            ("a.parquet", Some((Parquet, C::None))),
            ("a.parquet.gz", None),
            ("a.txt", None),
            ("a.gz", None),
            ("csv", None),
        ];
        for (name, format) in cases {
            assert_eq!(format_of(Path::new(name)), format, "{name}");
        }
    }
}
