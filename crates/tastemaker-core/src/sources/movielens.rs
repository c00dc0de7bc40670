//! The MovieLens originals.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RawData, Source, left_out};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::people::UserAttributes;
use crate::reading::attributes::{Attributes, Kind};
use crate::reading::csv_rows::{self, CsvRows};
use crate::reading::files;
use crate::reading::lines::{Encoding, Line, Lines, quoted};
use crate::reading::numbers::{finite, finite32};
use crate::reading::raw::Input;
use crate::reading::times;

/// MovieLens in its original files: `u.data`, `u.item`, `u.user` (100K); `ratings.dat`,
/// `movies.dat`, `users.dat` (1M, 10M); `ratings.csv`, `movies.csv`, `tags.csv` (20M and later);
/// plain or compressed. Only the ratings must be there.
///
/// Titles stay as they are, with the year; the year is an attribute of its own as well. The
/// originals are in ISO-8859-1 up to 1M; copies in UTF-8 are read too. Age and gender are
/// marked as sensitive; the codes of 1M for age and occupation become words.
///
/// # References
/// Harper and Konstan, The MovieLens Datasets, ACM Transactions on Interactive Intelligent
/// Systems 5(4), 2015, <https://grouplens.org/datasets/movielens/>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Movielens {
    /// The folder, or the file with the ratings.
    pub path: PathBuf,
}

/// Which of the three layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `u.data`: tabs; the other files `|`.
    Tabs,
    /// `ratings.dat`: `::`.
    Colons,
    /// `ratings.csv` with a header.
    Csv,
}

impl Layout {
    /// By the name of the file with the ratings.
    fn of(path: &Path) -> Option<Self> {
        let name = files::unpacked_name(path);
        match name.rsplit_once('.') {
            Some((_, "data")) => Some(Self::Tabs),
            Some((stem, "dat")) if stem.starts_with("ratings") => Some(Self::Colons),
            Some((stem, "csv")) if stem.starts_with("ratings") => Some(Self::Csv),
            _ => None,
        }
    }
}

impl Source for Movielens {
    fn read(&self) -> Result<RawData> {
        let (path, layout) = self.ratings()?;
        let name = files::data_set_name(&self.path);
        let mut raw = RawData::new(name, format!("MovieLens ({})", files::name(&path)));
        raw.inputs.push(Input::File(path.clone()));
        (raw.times, raw.values) = (Some(Vec::new()), Some(Vec::new()));
        match layout {
            Layout::Tabs => read_ratings(&path, "\t", &mut raw)?,
            Layout::Colons => read_ratings(&path, "::", &mut raw)?,
            Layout::Csv => read_ratings_csv(&path, &mut raw)?,
        }
        if raw.is_empty() {
            return Err(Error::file(&path, "is empty, expected ratings"));
        }
        let folder = files::folder_of(&path);
        match layout {
            Layout::Tabs => {
                side(folder, "u.item", &mut raw, |path, raw| movies_100k(folder, path, raw))?;
                side(folder, "u.user", &mut raw, users_100k)?;
            }
            Layout::Colons => {
                side(folder, "movies.dat", &mut raw, movies_1m)?;
                side(folder, "users.dat", &mut raw, users_1m)?;
            }
            Layout::Csv => {
                side(folder, "movies.csv", &mut raw, |path, raw| movies_csv(folder, path, raw))?;
            }
        }
        Ok(raw)
    }
}

impl Movielens {
    /// The file with the ratings and its layout.
    fn ratings(&self) -> Result<(PathBuf, Layout)> {
        const EXPECTED: &str = "u.data, ratings.dat or ratings.csv";
        if !self.path.exists() {
            let problem =
                format!("does not exist, expected a folder with {EXPECTED}, or one of them");
            return Err(Error::file(&self.path, problem));
        }
        if !self.path.is_dir() {
            let layout = Layout::of(&self.path);
            let layout =
                layout.ok_or_else(|| Error::file(&self.path, format!("expected {EXPECTED}")))?;
            return Ok((self.path.clone(), layout));
        }
        let named = ["u.data", "ratings.dat", "ratings.csv"];
        let named = named.iter().find_map(|name| files::find(&self.path, name));
        let all = files::list(&self.path)?;
        // Or a sample such as ratings_sample_100k.dat.gz.
        let path = named.or_else(|| {
            let is_sample =
                |path: &&PathBuf| matches!(Layout::of(path), Some(Layout::Colons | Layout::Csv));
            all.iter().find(is_sample).cloned()
        });
        match path.map(|path| (Layout::of(&path), path)) {
            Some((Some(layout), path)) => Ok((path, layout)),
            _ => Err(Error::file(
                &self.path,
                format!("has {}, expected {EXPECTED}", files::names(&all)),
            )),
        }
    }
}

/// Reads the file `name` in `folder` if it is there.
fn side(
    folder: &Path,
    name: &str,
    raw: &mut RawData,
    read: impl FnOnce(&Path, &mut RawData) -> Result<()>,
) -> Result<()> {
    let Some(path) = files::find(folder, name) else {
        raw.notes.push(format!("no {name} beside the ratings"));
        return Ok(());
    };
    raw.inputs.push(Input::File(path.clone()));
    read(&path, raw)
}

/// Splits a line into exactly `N` fields.
fn fields<'a, const N: usize>(
    line: &Line<'a>,
    separator: &str,
    names: &str,
) -> Result<[&'a str; N]> {
    let mut parts = line.text.split(separator);
    let fields: [&str; N] = std::array::from_fn(|_| parts.next().unwrap_or("\0"));
    if fields.contains(&"\0") || parts.next().is_some() {
        let found = line.text.split(separator).count();
        return Err(line.problem(format!(
            "has {found} fields, expected {N} separated by {separator:?}: {names}"
        )));
    }
    Ok(fields)
}

/// Takes note of one rating.
fn push(
    raw: &mut RawData,
    [user, item, rating, time]: [&str; 4],
) -> std::result::Result<(), String> {
    if user.is_empty() || item.is_empty() {
        return Err("user or movie is empty, expected an id".to_owned());
    }
    let (user, item) = (raw.users.intern(user), raw.items.intern(item));
    raw.push(user, item);
    raw.values.get_or_insert_default().push(finite32("rating", rating)?);
    raw.times.get_or_insert_default().push(times::parse("timestamp", time)?);
    Ok(())
}

fn read_ratings(path: &Path, separator: &str, raw: &mut RawData) -> Result<()> {
    let mut lines = Lines::open(path, Encoding::Latin1)?;
    while let Some(line) = lines.next_filled()? {
        let fields = fields::<4>(&line, separator, "user, movie, rating, timestamp")?;
        push(raw, fields).map_err(|problem| line.problem(problem))?;
    }
    Ok(())
}

fn read_ratings_csv(path: &Path, raw: &mut RawData) -> Result<()> {
    let mut rows = CsvRows::open(path, csv_rows::Dialect::comma())?;
    let columns = ["userId", "movieId", "rating", "timestamp"];
    let columns = columns.map(|column| rows.require(column));
    let [user, item, rating, time] = columns;
    let columns = [user?, item?, rating?, time?];
    while let Some(row) = rows.next()? {
        push(raw, columns.map(|column| row.field(column)))
            .map_err(|problem| row.problem(problem))?;
    }
    Ok(())
}

/// The columns every layout has for movies.
fn movie_columns() -> [(&'static str, Kind); 3] {
    [("title", Kind::Text), ("year", Kind::Number), ("genres", Kind::Categories)]
}

/// Makes the catalog from filled columns.
fn set_catalog(path: &Path, attributes: Attributes, unknown: usize, raw: &mut RawData) {
    raw.notes.extend(left_out(path, unknown, attributes.repeated(), "movies"));
    raw.catalog = Catalog::new(attributes.finish(raw.items.len()), Some("title"));
}

/// The year at the end of a title such as `Toy Story (1995)`.
fn year(title: &str) -> Option<f64> {
    let inside = title.trim_end().strip_suffix(')')?.rsplit_once('(')?.1;
    let year = inside.get(..4)?.parse::<u16>().ok()?;
    (1850..2100).contains(&year).then_some(f64::from(year))
}

/// The genres of `u.item`, in the order of its flags, where `u.genre` is not there.
const GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// The names of the genre flags.
fn genres_100k(folder: &Path, raw: &mut RawData) -> Result<Vec<String>> {
    let Some(path) = files::find(folder, "u.genre") else {
        return Ok(GENRES.iter().map(|&genre| genre.to_owned()).collect());
    };
    raw.inputs.push(Input::File(path.clone()));
    let mut lines = Lines::open(&path, Encoding::Latin1)?;
    let mut genres = Vec::new();
    while let Some(line) = lines.next_filled()? {
        let [name, _] = fields(&line, "|", "genre and number")?;
        genres.push(name.to_owned());
    }
    Ok(genres)
}

fn movies_100k(folder: &Path, path: &Path, raw: &mut RawData) -> Result<()> {
    const BEFORE_FLAGS: usize = 5;
    let genres = genres_100k(folder, raw)?;
    let mut attributes = Attributes::new(movie_columns());
    let mut unknown = 0;
    let mut lines = Lines::open(path, Encoding::Latin1)?;
    while let Some(line) = lines.next_filled()? {
        let fields: Vec<&str> = line.text.split('|').collect();
        let expected = BEFORE_FLAGS + genres.len();
        if fields.len() != expected {
            let found = fields.len();
            return Err(
                line.problem(format!("has {found} fields, expected {expected} separated by |"))
            );
        }
        let Some(row) = raw.items.get(fields[0]) else {
            unknown += 1;
            continue;
        };
        if !attributes.begin(row) {
            continue;
        }
        attributes.text(row, 0, fields[1]);
        // A few titles have no year; the release date, such as 01-Jan-1995, has.
        let released = fields[2].rsplit('-').next().and_then(|year| year.parse().ok());
        if let Some(year) = year(fields[1]).or(released) {
            attributes.number(row, 1, year);
        }
        let flags = fields[BEFORE_FLAGS..].iter().zip(&genres);
        if let Some((flag, genre)) = flags.clone().find(|(flag, _)| !matches!(**flag, "0" | "1")) {
            let found = quoted(flag);
            return Err(line.problem(format!("the flag of {genre} is {found}, expected 0 or 1")));
        }
        attributes.categories(row, 2, flags.filter(|(flag, _)| **flag == "1").map(|(_, g)| &**g));
    }
    set_catalog(path, attributes, unknown, raw);
    Ok(())
}

fn movies_1m(path: &Path, raw: &mut RawData) -> Result<()> {
    let mut attributes = Attributes::new(movie_columns());
    let mut unknown = 0;
    let mut lines = Lines::open(path, Encoding::Latin1)?;
    while let Some(line) = lines.next_filled()? {
        let [movie, title, genres] = fields(&line, "::", "movie, title, genres")?;
        match raw.items.get(movie) {
            Some(row) => set_movie(&mut attributes, row, title, genres),
            None => unknown += 1,
        }
    }
    set_catalog(path, attributes, unknown, raw);
    Ok(())
}

fn set_movie(attributes: &mut Attributes, row: u32, title: &str, genres: &str) {
    if attributes.begin(row) {
        attributes.text(row, 0, title);
        if let Some(year) = year(title) {
            attributes.number(row, 1, year);
        }
        let genres = genres.split('|').filter(|&genre| genre != "(no genres listed)");
        attributes.categories(row, 2, genres);
    }
}

fn movies_csv(folder: &Path, path: &Path, raw: &mut RawData) -> Result<()> {
    let tags = ("tags", Kind::Categories);
    let mut attributes = Attributes::new(movie_columns().into_iter().chain([tags]));
    let mut unknown = 0;
    let mut rows = CsvRows::open(path, csv_rows::Dialect::comma())?;
    let columns = ["movieId", "title", "genres"].map(|column| rows.require(column));
    let [movie, title, genres] = columns;
    let (movie, title, genres) = (movie?, title?, genres?);
    while let Some(row) = rows.next()? {
        match raw.items.get(row.field(movie)) {
            Some(item) => set_movie(&mut attributes, item, row.field(title), row.field(genres)),
            None => unknown += 1,
        }
    }
    if let Some(path) = files::find(folder, "tags.csv") {
        raw.inputs.push(Input::File(path.clone()));
        let mut tags = vec![Vec::new(); raw.items.len()];
        let mut rows = CsvRows::open(&path, csv_rows::Dialect::comma())?;
        let (movie, tag) = (rows.require("movieId")?, rows.require("tag")?);
        while let Some(row) = rows.next()? {
            if let Some(item) = raw.items.get(row.field(movie)) {
                tags[item as usize].push(row.field(tag).trim().to_lowercase());
            }
        }
        for (item, tags) in (0..).zip(&tags) {
            attributes.categories(item, 3, tags.iter().map(String::as_str));
        }
    }
    set_catalog(path, attributes, unknown, raw);
    Ok(())
}

fn users_100k(path: &Path, raw: &mut RawData) -> Result<()> {
    let mut attributes = Attributes::new([
        ("age", Kind::Number),
        ("gender", Kind::Categories),
        ("occupation", Kind::Categories),
        ("zip-code", Kind::Categories),
    ]);
    let mut unknown = 0;
    let mut lines = Lines::open(path, Encoding::Latin1)?;
    while let Some(line) = lines.next_filled()? {
        let [user, age, gender, occupation, zip] =
            fields(&line, "|", "user, age, gender, occupation, zip code")?;
        let Some(row) = raw.users.get(user) else {
            unknown += 1;
            continue;
        };
        if attributes.begin(row) {
            let age = finite("age", age).map_err(|problem| line.problem(problem))?;
            attributes.number(row, 0, age);
            attributes.categories(row, 1, [gender]);
            attributes.categories(row, 2, [occupation]);
            attributes.categories(row, 3, [zip]);
        }
    }
    raw.notes.extend(left_out(path, unknown, attributes.repeated(), "users"));
    raw.people = UserAttributes::new(attributes.finish_people(raw.users.len()));
    Ok(())
}

/// The age codes of 1M (its README).
const AGES: [(&str, &str); 7] = [
    ("1", "under 18"),
    ("18", "18-24"),
    ("25", "25-34"),
    ("35", "35-44"),
    ("45", "45-49"),
    ("50", "50-55"),
    ("56", "56 and over"),
];

/// The occupation codes of 1M, from 0 (its README).
const OCCUPATIONS: [&str; 21] = [
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
];

fn users_1m(path: &Path, raw: &mut RawData) -> Result<()> {
    let mut attributes = Attributes::new([
        ("gender", Kind::Categories),
        ("age", Kind::Categories),
        ("occupation", Kind::Categories),
        ("zip-code", Kind::Categories),
    ]);
    let mut unknown = 0;
    let mut lines = Lines::open(path, Encoding::Latin1)?;
    while let Some(line) = lines.next_filled()? {
        let [user, gender, age, occupation, zip] =
            fields(&line, "::", "user, gender, age, occupation, zip code")?;
        let Some(row) = raw.users.get(user) else {
            unknown += 1;
            continue;
        };
        let age_band = AGES.iter().find(|(code, _)| *code == age).map(|(_, words)| *words);
        let age_band = age_band.ok_or_else(|| {
            let codes = AGES.map(|(code, _)| code).join(", ");
            line.problem(format!("age is {}, expected one of the codes {codes}", quoted(age)))
        })?;
        let job = occupation.parse().ok().and_then(|code: usize| OCCUPATIONS.get(code));
        let job = job.ok_or_else(|| {
            line.problem(format!(
                "occupation is {}, expected a code from 0 to 20",
                quoted(occupation)
            ))
        })?;
        if attributes.begin(row) {
            attributes.categories(row, 0, [gender]);
            attributes.categories(row, 1, [age_band]);
            attributes.categories(row, 2, [*job]);
            attributes.categories(row, 3, [zip]);
        }
    }
    raw.notes.extend(left_out(path, unknown, attributes.repeated(), "users"));
    raw.people = UserAttributes::new(attributes.finish_people(raw.users.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemId;

    fn read(files: &[(&str, &[u8])]) -> Result<RawData> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs_err::write(folder.path().join(name), bytes).unwrap();
        }
        Movielens { path: folder.path().to_owned() }.read()
    }

    #[test]
    fn the_layout_of_100k_with_its_encoding_is_read() {
        let flags =
            |on: usize| (0..19).map(|i| if i == on { "|1" } else { "|0" }).collect::<String>();
        let mut movies = b"7|Mis\xe9rables, Les (1995)|01-Jan-1995||http://x".to_vec();
        movies.extend(flags(8).bytes());
        movies.extend(b"\n8|Unrated||");
        movies.extend(format!("|{}", flags(1)).bytes());
        let raw = read(&[
            ("u.data", b"1\t7\t5\t881250949\n2\t8\t3\t891717742\n"),
            ("u.item", &movies),
            ("u.user", b"1|24|M|technician|85711\n2|53|F|other|94043\n3|23|M|writer|32067\n"),
        ])
        .unwrap();
        assert_eq!(raw.catalog.title(ItemId(0)), Some("Misérables, Les (1995)"));
        assert_eq!(raw.catalog.attribute("genres").unwrap().column.display(0).unwrap(), "Drama");
        assert_eq!(raw.catalog.attribute("year").unwrap().column.n_present(), 1);
        let sensitive = raw.people.attributes().iter().filter(|known| known.sensitive).count();
        assert_eq!(sensitive, 2);
    }

    #[test]
    fn the_layout_of_1m_is_read_and_codes_become_words() {
        let raw = read(&[
            ("ratings.dat", b"1::10::4::978300760\n"),
            ("movies.dat", b"10::Heat (1995)::Action|Crime\n"),
            ("users.dat", b"1::F::1::10::48067\n"),
        ])
        .unwrap();
        assert_eq!(raw.catalog.text(ItemId(0)), "Heat (1995) Action, Crime");
        let words = |name| raw.people.attribute(name).unwrap().attribute.column.display(0).unwrap();
        assert_eq!((words("age"), words("occupation")), ("under 18".into(), "K-12 student".into()));
    }

    #[test]
    fn the_layout_with_commas_is_read_with_tags() {
        let raw = read(&[
            ("ratings.csv", b"userId,movieId,rating,timestamp\n1,3,4.0,964981247\n"),
            ("movies.csv", b"movieId,title,genres\n3,\"Odd, Couple (1995)\",Comedy|Romance\n"),
            ("tags.csv", b"userId,movieId,tag,timestamp\n1,3,Moldy,1\n2,3,moldy,1\n"),
        ])
        .unwrap();
        assert_eq!(raw.catalog.text(ItemId(0)), "Odd, Couple (1995) Comedy, Romance moldy");
    }

    #[test]
    fn malformed_files_are_named_with_line_found_and_expected() {
        for (name, text, expected) in [
            ("u.data", "", "u.data: is empty"),
            ("u.data", "1\t2\t3\n", "line 1: has 3 fields, expected 4 separated by \"\\t\""),
            ("ratings.dat", "1::2::x::4\n", "line 1: rating is \"x\", expected a number"),
            ("ratings.dat", "1::2::3::inf\n", "line 1: timestamp is \"inf\", expected a finite"),
            ("ratings.csv", "userId,movie,rating,timestamp\n", "expected also movieId"),
            ("other.csv", "", "has other.csv, expected u.data"),
        ] {
            let error = read(&[(name, text.as_bytes())]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
