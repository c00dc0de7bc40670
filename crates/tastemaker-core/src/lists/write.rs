//! Writes lists, and what is relevant.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde::Serialize;

use crate::artifact::write_atomically;
use crate::error::{Error, Result};
use crate::reading::files;
use crate::reading::lines::quoted;

/// Rows that are written to Parquet at once.
const ROWS: usize = 1 << 20;

const SCHEMA: &str = "message lists { required binary user (string); required binary item (string); \
                      required int32 rank; required float score; }";

/// An item in a user's list.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ListedRow<'a> {
    /// The user's outside id.
    pub user: &'a str,
    /// The item's outside id.
    pub item: &'a str,
    /// From 1.
    pub rank: usize,
    /// The score.
    pub score: f32,
}

/// Writes what `rows` hands on to `path`, in the format that its ending says; runs of TREC are called
/// `tag`.
pub fn write_lists<E: From<Error>>(
    path: &Path,
    tag: &str,
    rows: impl FnOnce(&mut dyn FnMut(ListedRow<'_>) -> Result<()>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let format = Format::of(path)?;
    let failed = |source| Error::Write { path: path.to_owned(), source };
    // What was no failure of the file is told as it is.
    let mut failure = None;
    let written = write_atomically(path, |out| {
        let mut sink = Sink::new(format, tag, out)?;
        if let Err(error) = rows(&mut |row| sink.write(row).map_err(failed)) {
            failure = Some(error);
            return Err(std::io::Error::other("not all of it could be made"));
        }
        sink.finish()
    });
    failure.map_or(Ok(written?), Err)
}

/// Writes pairs of a user and an item that is relevant to `path`, as qrels of TREC.
pub fn write_qrels<'a>(
    path: &Path,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    write_atomically(path, |out| {
        for (user, item) in pairs {
            writeln!(out, "{} 0 {} 1", word(user)?, word(item)?)?;
        }
        Ok(())
    })
}

/// How lists are written.
#[derive(Clone, Copy)]
enum Format {
    Trec,
    Delimited(u8),
    JsonLines,
    Parquet,
}

impl Format {
    /// What the ending of the file's name says.
    fn of(path: &Path) -> Result<Self> {
        let name = files::name(path).to_lowercase();
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "trec" | "run" | "txt" => Ok(Self::Trec),
            "csv" => Ok(Self::Delimited(b',')),
            "tsv" => Ok(Self::Delimited(b'\t')),
            "jsonl" | "ndjson" | "json" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            _ => {
                let expected = "a name that ends in .trec, .run, .csv, .tsv, .jsonl or .parquet";
                Err(Error::setting("the file of lists", quoted(&name), expected))
            }
        }
    }
}

/// Where rows go.
enum Sink<'a, W: Write + Send> {
    Trec(W, &'a str),
    Delimited(Box<csv::Writer<W>>),
    JsonLines(W),
    Parquet(Box<Columns<W>>),
}

impl<'a, W: Write + Send> Sink<'a, W> {
    fn new(format: Format, tag: &'a str, out: W) -> std::io::Result<Self> {
        Ok(match format {
            Format::Trec => Self::Trec(out, tag),
            Format::Delimited(delimiter) => {
                let writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(out);
                Self::Delimited(Box::new(writer))
            }
            Format::JsonLines => Self::JsonLines(out),
            Format::Parquet => Self::Parquet(Box::new(Columns::new(out)?)),
        })
    }

    fn write(&mut self, row: ListedRow<'_>) -> std::io::Result<()> {
        match self {
            Self::Trec(out, tag) => {
                let ListedRow { user, item, rank, score } = row;
                writeln!(out, "{} Q0 {} {rank} {score} {tag}", word(user)?, word(item)?)
            }
            Self::Delimited(out) => Ok(out.serialize(row)?),
            Self::JsonLines(out) => {
                serde_json::to_writer(&mut *out, &row)?;
                out.write_all(b"\n")
            }
            Self::Parquet(columns) => columns.write(row),
        }
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Self::Trec(mut out, _) | Self::JsonLines(mut out) => out.flush(),
            Self::Delimited(mut out) => out.flush(),
            Self::Parquet(columns) => columns.finish(),
        }
    }
}

/// The rows of a Parquet file that are not written yet.
struct Columns<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    users: Vec<ByteArray>,
    items: Vec<ByteArray>,
    ranks: Vec<i32>,
    scores: Vec<f32>,
}

impl<W: Write + Send> Columns<W> {
    fn new(out: W) -> std::io::Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("tastemaker".to_owned());
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?;
        Ok(Self { writer, users: vec![], items: vec![], ranks: vec![], scores: vec![] })
    }

    fn write(&mut self, row: ListedRow<'_>) -> std::io::Result<()> {
        self.users.push(row.user.into());
        self.items.push(row.item.into());
        self.ranks.push(i32::try_from(row.rank).unwrap_or(i32::MAX));
        self.scores.push(row.score);
        if self.ranks.len() == ROWS { self.group() } else { Ok(()) }
    }

    /// Writes what is there.
    fn group(&mut self) -> std::io::Result<()> {
        let mut group = self.writer.next_row_group()?;
        let mut place = 0;
        while let Some(mut column) = group.next_column()? {
            match place {
                0 => column.typed::<ByteArrayType>().write_batch(&self.users, None, None)?,
                1 => column.typed::<ByteArrayType>().write_batch(&self.items, None, None)?,
                2 => column.typed::<Int32Type>().write_batch(&self.ranks, None, None)?,
                _ => column.typed::<FloatType>().write_batch(&self.scores, None, None)?,
            };
            column.close()?;
            place += 1;
        }
        group.close()?;
        self.users.clear();
        self.items.clear();
        self.ranks.clear();
        self.scores.clear();
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<()> {
        if !self.ranks.is_empty() {
            self.group()?;
        }
        self.writer.close()?;
        Ok(())
    }
}

/// An id as a word of a line.
fn word(id: &str) -> std::io::Result<&str> {
    if id.is_empty() || id.contains(char::is_whitespace) {
        let problem = format!(
            "the id {} has blanks in it, which the files of TREC cannot hold; expected another \
             format, such as CSV",
            quoted(id)
        );
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, problem));
    }
    Ok(id)
}
