//! Amazon's reviews.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{RawData, Source, left_out};
use crate::catalog::{Attribute, Catalog, Column};
use crate::error::{Error, Result};
use crate::reading::attributes::{Attributes, Kind};
use crate::reading::files;
use crate::reading::json::{Json, describe};
use crate::reading::lines::{Encoding, Line, Lines};
use crate::reading::raw::Input;

/// Amazon reviews as JSON lines: 2014 and 2018 (`reviewerID`, `asin`, `overall`,
/// `unixReviewTime`) and 2023 (`user_id`, `parent_asin` or else `asin`, `rating`, `timestamp` in
/// milliseconds), with the metadata (`title`, `brand` or `store`, `category` or `categories`,
/// `price`) from the file `meta_X.json` or `.jsonl` beside `X.json`, where it is there; plain or
/// compressed. With `reviews`, what was written is kept with the interactions: the `review`
/// (`reviewText`, `text`) and its `summary` (`summary`, `title`).
///
/// # References
/// Ni, Li and McAuley, EMNLP 2019, <https://nijianmo.github.io/amazon/>; Hou et al., 2024,
/// <https://amazon-reviews-2023.github.io>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AmazonReviews {
    /// The file with the reviews, or a folder with only one such file.
    pub path: PathBuf,
    /// The file with the metadata, where it is not found by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PathBuf>,
    /// Whether what was written is kept, which needs much more memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reviews: bool,
}

/// One review; the fields of all versions, of which the needed ones are checked later.
#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow, alias = "reviewerID")]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    asin: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parent_asin: Option<Cow<'a, str>>,
    #[serde(alias = "overall")]
    rating: Option<f64>,
    #[serde(alias = "unixReviewTime")]
    timestamp: Option<f64>,
}

/// What is written in one review, in the fields of all versions.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    review_text: Option<Json>,
    text: Option<Json>,
    summary: Option<Json>,
    title: Option<Json>,
}

impl Source for AmazonReviews {
    fn read(&self) -> Result<RawData> {
        let path = self.reviews()?;
        let mut raw = RawData::new(files::stem(&path), "Amazon reviews");
        raw.inputs.push(Input::File(path.clone()));
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let (mut reviews, mut summaries) = (Vec::new(), Vec::new());
        let mut lines = Lines::open(&path, Encoding::Utf8)?;
        while let Some(line) = lines.next_filled()? {
            let (time, value) = read_review(&line, &mut raw)?;
            times.push(time);
            values.push(value);
            if self.reviews {
                let (review, summary) = read_written(&line)?;
                reviews.push(review);
                summaries.push(summary);
            }
        }
        if raw.is_empty() {
            return Err(Error::file(&path, "is empty, expected one review a line"));
        }
        (raw.times, raw.values) = (Some(times), Some(values));
        if self.reviews {
            let texts = [("review", reviews), ("summary", summaries)];
            raw.texts.extend(texts.map(|(name, rows)| Attribute {
                name: name.to_owned(),
                column: Column::Text(rows),
            }));
        }
        match self.metadata.clone().or_else(|| beside(&path)) {
            Some(metadata) => {
                raw.catalog = read_metadata(&metadata, &mut raw)?;
                raw.inputs.push(Input::File(metadata));
            }
            None => raw.notes.push(format!(
                "no metadata beside {}: the items have no titles",
                files::name(&path)
            )),
        }
        Ok(raw)
    }
}

impl AmazonReviews {
    /// The file with the reviews.
    fn reviews(&self) -> Result<PathBuf> {
        if !self.path.is_dir() {
            return Ok(self.path.clone());
        }
        let all = files::list(&self.path)?;
        let mut reviews = all.clone();
        reviews.retain(|path| is_json_lines(path) && !files::name(path).starts_with("meta_"));
        match reviews.as_slice() {
            [one] => Ok(one.clone()),
            [] => {
                let problem =
                    format!("has {}, expected a file X.json or X.jsonl", files::names(&all));
                Err(Error::file(&self.path, problem))
            }
            many => {
                let problem = format!("has {}, expected one: name one of them", files::names(many));
                Err(Error::file(&self.path, problem))
            }
        }
    }
}

/// Whether a file is called like JSON or JSON lines.
pub(crate) fn is_json_lines(path: &Path) -> bool {
    let name = files::unpacked_name(path);
    matches!(name.rsplit_once('.'), Some((_, "json" | "jsonl")))
}

/// Takes note of one review; gives its time and rating.
fn read_review(line: &Line<'_>, raw: &mut RawData) -> Result<(f64, f32)> {
    let review: Review<'_> = serde_json::from_str(line.text)
        .map_err(|error| line.problem(describe(&error, line.text)))?;
    let missing = |what: &str| line.problem(format!("has no {what}, expected one in each review"));
    let user = review.user_id.ok_or_else(|| missing("reviewerID or user_id"))?;
    let item = review.parent_asin.or(review.asin).ok_or_else(|| missing("asin or parent_asin"))?;
    let rating = review.rating.ok_or_else(|| missing("overall or rating"))?;
    let time = review.timestamp.ok_or_else(|| missing("unixReviewTime or timestamp"))?;
    let (user, item) = (raw.users.intern(&user), raw.items.intern(&item));
    raw.push(user, item);
    #[expect(clippy::cast_possible_truncation, reason = "one to five stars; overflow is checked")]
    let value = rating as f32;
    if value.is_finite() {
        Ok((time, value))
    } else {
        Err(line.problem(format!("the rating is {rating}, expected 1 to 5")))
    }
}

/// What is written in one review, and what is above it.
fn read_written(line: &Line<'_>) -> Result<(Option<String>, Option<String>)> {
    let written: Written = serde_json::from_str(line.text)
        .map_err(|error| line.problem(describe(&error, line.text)))?;
    let text = |field: Option<Json>, other: Option<Json>| {
        let texts = field.or(other).map(|field| field.texts().join(" ")).unwrap_or_default();
        Some(texts.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Ok((text(written.review_text, written.text), text(written.summary, written.title)))
}

/// The metadata of `X.json`, `X_5.json` or `reviews_X_5.json`: `meta_X.json` or `.jsonl`.
fn beside(path: &Path) -> Option<PathBuf> {
    let stem = files::stem(path);
    let category = stem.strip_prefix("reviews_").unwrap_or(&stem);
    let category = category.strip_suffix("_5").unwrap_or(category);
    let names = ["json", "jsonl"].map(|extension| format!("meta_{category}.{extension}"));
    names.iter().find_map(|name| files::find(files::folder_of(path), name))
}

/// One product; the fields of all versions.
#[derive(Deserialize)]
struct Product<'a> {
    #[serde(borrow)]
    asin: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parent_asin: Option<Cow<'a, str>>,
    title: Option<Json>,
    brand: Option<Json>,
    store: Option<Json>,
    category: Option<Json>,
    categories: Option<Json>,
    main_category: Option<Json>,
    price: Option<Json>,
}

/// Reads what is known about the items that were reviewed.
fn read_metadata(path: &Path, raw: &mut RawData) -> Result<Catalog> {
    let mut attributes = Attributes::new([
        ("title", Kind::Text),
        ("brand", Kind::Categories),
        ("categories", Kind::Categories),
        ("price", Kind::Number),
    ]);
    let mut unknown = 0;
    let mut lines = Lines::open(path, Encoding::Utf8)?;
    while let Some(line) = lines.next_filled()? {
        let product: Product<'_> = serde_json::from_str(line.text)
            .map_err(|error| line.problem(describe(&error, line.text)))?;
        let Some(id) = product.parent_asin.as_ref().or(product.asin.as_ref()) else {
            return Err(line.problem("has no asin or parent_asin, expected one in each product"));
        };
        let Some(row) = raw.items.get(id) else {
            unknown += 1;
            continue;
        };
        if attributes.begin(row) {
            set_product(&mut attributes, row, &product);
        }
    }
    raw.notes.extend(left_out(path, unknown, attributes.repeated(), "items"));
    Ok(Catalog::new(attributes.finish(raw.items.len()), Some("title")))
}

fn set_product(attributes: &mut Attributes, row: u32, product: &Product<'_>) {
    let texts = |field: &Option<Json>| field.as_ref().map(Json::texts).unwrap_or_default();
    let first_filled = |fields: &[&Option<Json>]| {
        fields.iter().map(|field| texts(field)).find(|t| !t.is_empty()).unwrap_or_default()
    };
    attributes.text(row, 0, &texts(&product.title).join(" "));
    let brand = first_filled(&[&product.brand, &product.store]);
    attributes.categories(row, 1, brand.iter().map(String::as_str));
    let categories =
        first_filled(&[&product.category, &product.categories, &product.main_category]);
    attributes.categories(row, 2, categories.iter().map(String::as_str));
    // Prices come as numbers, as "$5.00" and as "$5.00 - $7.00", of which nothing is made.
    let price = texts(&product.price).join("");
    if let Ok(price) = price.trim_start_matches('$').replace(',', "").parse::<f64>()
        && price.is_finite()
    {
        attributes.number(row, 3, price);
    }
}

/// Whether a line is a review of any version.
pub(crate) fn is_review(line: &str) -> bool {
    let review = serde_json::from_str::<Review<'_>>(line);
    review.is_ok_and(|review| {
        review.user_id.is_some()
            && (review.asin.is_some() || review.parent_asin.is_some())
            && review.timestamp.is_some()
            && review.rating.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemId;

    fn read(files: &[(&str, &str)]) -> Result<RawData> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        AmazonReviews { path: folder.path().to_owned(), metadata: None, reviews: true }.read()
    }

    #[test]
    fn reviews_of_2018_with_their_metadata_are_read() {
        let raw = read(&[
            (
                "Cards_5.json",
                "{\"overall\": 5.0, \"reviewerID\": \"A1\", \"asin\": \"B1\", \"unixReviewTime\": 9, \
                 \"reviewText\": \" It is\\na card.\", \"summary\": \" \"}\n",
            ),
            (
                "meta_Cards.json",
                "{\"asin\": \"B1\", \"title\": \"Card\", \"brand\": \"\", \"category\": [\"X\", \"Y\", \
                 \"X\"], \"price\": \"$1,005.50\"}\n{\"asin\": \"B2\"}\n",
            ),
        ])
        .unwrap();
        assert_eq!(raw.catalog.text(ItemId(0)), "Card X, Y");
        assert_eq!(raw.catalog.attribute("price").unwrap().column.display(0).unwrap(), "1005.5");
        assert_eq!((raw.times, raw.values), (Some(vec![9.0]), Some(vec![5.0])));
        let of = |rows: &[Option<&str>]| {
            Column::Text(rows.iter().map(|text| text.map(str::to_owned)).collect())
        };
        assert_eq!(raw.texts[0].column, of(&[Some("It is\na card.")]));
        assert_eq!(raw.texts[1].column, of(&[None]));
    }

    #[test]
    fn reviews_of_2023_go_by_the_parent_product() {
        let raw = read(&[
            (
                "Cards.jsonl",
                "{\"rating\": 4, \"user_id\": \"A\", \"asin\": \"B1\", \"parent_asin\": \"P\", \
                 \"timestamp\": 1588687728923}\n",
            ),
            (
                "meta_Cards.jsonl",
                "{\"parent_asin\": \"P\", \"title\": \"Card\", \"store\": \"S\", \"categories\": [[\"Z\"]], \
                 \"price\": null}\n",
            ),
        ])
        .unwrap();
        assert_eq!(raw.items.id(0), Some("P"));
        assert_eq!(raw.catalog.text(ItemId(0)), "Card S Z");
    }

    #[test]
    fn malformed_lines_are_named_with_what_was_expected() {
        for (text, expected) in [
            ("", "r.json: is empty"),
            ("{\"asin\": 1}\n", "line 1: invalid type: integer `1`, expected a string"),
            ("{\"asin\": \"a\"}\n", "line 1: has no reviewerID or user_id"),
            ("{'asin': 'a'}\n", "line 1: is a Python literal"),
            ("[]\n", "line 1: "),
        ] {
            let error = read(&[("r.json", text)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
