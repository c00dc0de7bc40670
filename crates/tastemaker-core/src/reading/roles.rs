//! What the columns of tables are usually called.

use std::path::Path;

use super::csv_rows::require;
use crate::error::{Error, Result};

/// A role of a column, with the names that are guessed, in order of preference; case and
/// punctuation do not count.
pub(crate) struct Role {
    /// What is looked for.
    pub(crate) key: &'static str,
    /// The names.
    pub(crate) names: &'static [&'static str],
}

/// Who.
pub(crate) const USER: Role = Role {
    key: "user",
    names: &[
        "userid",
        "user",
        "uid",
        "reviewerid",
        "customerid",
        "visitorid",
        "memberid",
        "playerid",
        "sessionid",
        "session",
    ],
};
/// What.
pub(crate) const ITEM: Role = Role {
    key: "item",
    names: &[
        "itemid",
        "item",
        "iid",
        "parentasin",
        "asin",
        "movieid",
        "bookid",
        "productid",
        "articleid",
        "businessid",
        "gameid",
        "songid",
        "trackid",
        "artistid",
        "wineid",
        "animeid",
        "recipeid",
        "newsid",
        "isbn",
        "sku",
    ],
};
/// When.
pub(crate) const TIME: Role = Role {
    key: "time",
    names: &[
        "timestamp",
        "time",
        "ts",
        "unixreviewtime",
        "unixtime",
        "datetime",
        "eventtime",
        "createdat",
        "date",
    ],
};
/// How much.
pub(crate) const VALUE: Role = Role {
    key: "value",
    names: &["rating", "value", "score", "overall", "stars", "count", "plays", "weight"],
};
/// What the item is called.
pub(crate) const TITLE: Role = Role {
    key: "title",
    names: &[
        "title",
        "itemtitle",
        "movietitle",
        "booktitle",
        "producttitle",
        "itemname",
        "productname",
        "name",
    ],
};
/// The user of a list, as tools of retrieval call it.
pub(crate) const QUERY: Role = Role { key: "user", names: &["queryid", "qid", "query"] };
/// The item of a list, as tools of retrieval call it.
pub(crate) const DOCUMENT: Role =
    Role { key: "item", names: &["docid", "documentid", "docno", "doc", "document"] };
/// Where in its list an item stands.
pub(crate) const RANK: Role = Role { key: "rank", names: &["rank", "position", "ranking"] };
/// By what a list is in order.
pub(crate) const SCORE: Role =
    Role { key: "score", names: &["score", "prediction", "pred", "similarity", "weight", "value"] };
/// Whether an item is relevant.
pub(crate) const RELEVANCE: Role =
    Role { key: "relevance", names: &["relevance", "rel", "relevant", "qrel", "gain", "label"] };

/// What a tool foretold: a rating, a probability, a score.
pub(crate) const FORETOLD: Role = Role {
    key: "prediction",
    names: &["prediction", "predicted", "pred", "probability", "prob", "score", "estimate", "est"],
};
/// The rating that was given.
pub(crate) const RATED: Role =
    Role { key: "truth", names: &["truth", "rating", "rui", "label", "actual", "target", "stars"] };
/// Whether there was a click.
pub(crate) const CLICK: Role =
    Role { key: "truth", names: &["truth", "click", "clicked", "label", "actual", "target"] };
/// What was asked about together.
pub(crate) const IMPRESSION: Role = Role {
    key: "group",
    names: &["group", "groupid", "impressionid", "impression", "requestid", "sessionid", "session"],
};
/// A text that a tool wrote.
pub(crate) const WRITTEN: Role = Role {
    key: "prediction",
    names: &["generated", "prediction", "predicted", "hypothesis", "output", "answer", "text"],
};
/// Why something was recommended, as a user is told.
pub(crate) const EXPLANATION: Role = Role {
    key: "explanation",
    names: &["explanation", "why", "text", "generated", "output", "answer"],
};
/// The item that an explanation names as the reason.
pub(crate) const CITED: Role =
    Role { key: "cited", names: &["cited", "citeditem", "reason", "because", "becauseof"] };
/// The right text.
pub(crate) const REFERENCE: Role =
    Role { key: "truth", names: &["reference", "truth", "target", "label", "gold", "actual"] };
/// What a text should speak of.
pub(crate) const FEATURE: Role = Role { key: "feature", names: &["feature", "aspect"] };

impl Role {
    /// The place of the column that is named, or else of the first one with a usual name; none
    /// where "" is named.
    pub(crate) fn find(
        &self,
        path: &Path,
        columns: &[String],
        given: Option<&str>,
    ) -> Result<Option<usize>> {
        match given {
            Some("") => Ok(None),
            Some(given) => require(path, columns, given).map(Some),
            None => Ok(self.usual(columns)),
        }
    }

    /// The place of the first column with a usual name.
    pub(crate) fn usual(&self, columns: &[String]) -> Option<usize> {
        let place = |name: &&str| columns.iter().position(|column| plain(column) == **name);
        self.names.iter().find_map(place)
    }

    /// What to say where no column has a usual name; `how` it can be said which one it is.
    pub(crate) fn missing(&self, path: &Path, columns: &[String], how: &str) -> Error {
        let key = self.key;
        let hint = crate::suggest::hint(key, columns.iter().map(String::as_str));
        let has = columns.join(", ");
        let problem =
            format!("has the columns {has}, of which none is called like the {key}{hint}");
        Error::file(path, format!("{problem}; say which it is {how}"))
    }
}

/// A name without case and punctuation.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
