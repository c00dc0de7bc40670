//! Text files line by line, plain or compressed.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// UTF-8; anything else is an error.
    Utf8,
    /// UTF-8 where a line is that, ISO-8859-1 where it is not (the MovieLens originals; some
    /// copies of them were converted).
    Latin1,
}

/// Opens `path`; gzip and Zstandard are unpacked, whatever the file is called.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let failed = |source| Error::read(path, source);
    if path.is_dir() {
        return Err(Error::file(path, "is a folder, expected a file"));
    }
    let file = fs_err::File::open(path).map_err(failed)?;
    unpack(BufReader::with_capacity(1 << 16, file)).map_err(failed)
}

/// Unpacks `reader` if its first bytes say that it is gzip or Zstandard.
pub(crate) fn unpack(mut reader: impl BufRead + 'static) -> std::io::Result<Box<dyn BufRead>> {
    let mut magic = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = std::io::Cursor::new(magic).chain(reader);
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => {
            Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(whole)))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        }
        _ => Box::new(BufReader::with_capacity(1 << 16, whole)),
    })
}

/// The lines of a file with their numbers; one line is in memory at a time.
pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    encoding: Encoding,
    text: String,
    number: u64,
}

impl Lines {
    /// Opens the file at `path`.
    pub(crate) fn open(path: &Path, encoding: Encoding) -> Result<Self> {
        Ok(Self::new(path, open(path)?, encoding))
    }

    /// Reads lines from `reader`; errors name `path`.
    pub(crate) fn new(path: &Path, reader: Box<dyn BufRead>, encoding: Encoding) -> Self {
        Self { path: path.to_owned(), reader, encoding, text: String::new(), number: 0 }
    }

    /// The next line without its end (`\n` or `\r\n`) and without a byte-order mark.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        Ok(self.advance()?.then(|| self.current()))
    }

    /// The next line that is neither empty nor only spaces.
    pub(crate) fn next_filled(&mut self) -> Result<Option<Line<'_>>> {
        while self.advance()? {
            if !self.text.bytes().all(|byte| byte == b' ') {
                return Ok(Some(self.current()));
            }
        }
        Ok(None)
    }

    /// The line that was read last.
    fn current(&self) -> Line<'_> {
        Line { text: &self.text, number: self.number, path: &self.path }
    }

    /// Reads a line; `false` at the end of the file.
    fn advance(&mut self) -> Result<bool> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        let n = self.reader.read_until(b'\n', &mut bytes);
        let n = n.map_err(|source| broken_stream(&self.path, self.number + 1, &source))?;
        if n == 0 {
            return Ok(false);
        }
        self.number += 1;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if self.number == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        self.text = match (String::from_utf8(bytes), self.encoding) {
            (Ok(text), _) => text,
            (Err(error), Encoding::Latin1) => {
                error.as_bytes().iter().map(|&byte| char::from(byte)).collect()
            }
            (Err(error), Encoding::Utf8) => {
                let problem = not_utf8(error.as_bytes(), error.utf8_error());
                return Err(Error::line(&self.path, self.number, problem));
            }
        };
        Ok(true)
    }
}

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The text.
    pub(crate) text: &'a str,
    /// The number, from 1.
    pub(crate) number: u64,
    /// The file.
    pub(crate) path: &'a Path,
}

impl Line<'_> {
    /// A problem of this line.
    pub(crate) fn problem(&self, problem: impl Into<String>) -> Error {
        Error::line(self.path, self.number, problem)
    }
}

/// What to say about bytes that are not UTF-8.
fn not_utf8(line: &[u8], error: std::str::Utf8Error) -> String {
    let at = error.valid_up_to();
    let byte = line.get(at).copied().unwrap_or_default();
    format!("byte {} of the line is {byte:#04x}, which is not UTF-8; expected UTF-8 text", at + 1)
}

/// A stream that could not be read on: a truncated or damaged gzip file, a failing disk.
pub(crate) fn broken_stream(path: &Path, line: u64, source: &std::io::Error) -> Error {
    let problem = match source.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            "the compressed data ends too early: the file is truncated".to_owned()
        }
        _ => format!("cannot be read on: {source}; expected whole plain, gzip or zstd data"),
    };
    Error::line(path, line, problem)
}

/// `text` cut to what an error message can carry, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], encoding: Encoding) -> Result<Vec<String>> {
        let reader = unpack(std::io::Cursor::new(bytes.to_vec())).unwrap();
        let mut lines = Lines::new(Path::new("a.txt"), reader, encoding);
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.push(line.text.to_owned());
        }
        Ok(all)
    }

    #[test]
    fn byte_order_mark_and_carriage_returns_are_no_part_of_a_line() {
        let read = lines(b"\xef\xbb\xbfa\tb\r\nc\r\n\r\nd", Encoding::Utf8).unwrap();
        assert_eq!(read, ["a\tb", "c", "", "d"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named_with_their_line() {
        let error = lines(b"a\nb\xe9\n", Encoding::Utf8).unwrap_err().to_string();
        assert_eq!(
            error,
            "a.txt, line 2: byte 2 of the line is 0xe9, which is not UTF-8; expected UTF-8 text"
        );
        assert_eq!(lines(b"a\nb\xe9\n", Encoding::Latin1).unwrap(), ["a", "bé"]);
    }

    #[test]
    fn a_truncated_gzip_file_is_an_error_and_a_whole_one_is_text() {
        use std::io::Write as _;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&b"1 2 3\n".repeat(5000)).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(lines(&packed, Encoding::Utf8).unwrap().len(), 5000);
        let error = lines(&packed[..packed.len() - 9], Encoding::Utf8).unwrap_err().to_string();
        assert!(error.contains("truncated"), "{error}");
    }
}
