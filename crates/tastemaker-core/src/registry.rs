//! The one table each kind of thing stands in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};

use crate::suggest::did_you_mean;

/// What a table says about one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name in study files and on the command line.
    pub name: &'static str,
    /// The first line of its documentation.
    pub summary: &'static str,
}

/// Makes the closed table of a kind: an enum with one variant an entry, each around the entry's
/// own configuration struct.
///
/// The enum is (de)serialised with the entry's name as the key (`{ ndcg = { k = 10 } }`), knows
/// all [`Entry`]s as `ENTRIES`, its own `name()`, and hands itself out as the kind's trait with
/// `as_dyn()`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tastemaker_core::registry;
///
/// pub trait Shape { fn corners(&self) -> usize; }
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// pub struct Square {}
/// impl Shape for Square { fn corners(&self) -> usize { 4 } }
///
/// registry! {
///     /// Every shape.
///     pub enum AnyShape: Shape {
///         /// Four equal sides.
///         "square" => Square(Square),
///     }
/// }
/// assert_eq!(AnyShape::ENTRIES[0].summary, "Four equal sides.");
/// assert_eq!(AnyShape::Square(Square {}).as_dyn().corners(), 4);
/// let refused = serde_json::from_str::<AnyShape>("\"square\"").unwrap_err().to_string();
/// assert!(refused.contains("expected a name with its settings, for example { square = {} }"));
/// ```
#[macro_export]
macro_rules! registry {
    (
        $(#[$meta:meta])*
        pub enum $any:ident: $kind:ident {
            $( #[doc = $summary:literal] $(#[$more:meta])* $name:literal => $variant:ident($entry:ty), )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize)]
        pub enum $any {
            $( #[doc = $summary] $(#[$more])* #[serde(rename = $name)] $variant($entry), )*
        }

        impl $any {
            /// Name and summary of every entry, in the order of the table.
            pub const ENTRIES: &'static [$crate::registry::Entry] = &[
                $( $crate::registry::Entry { name: $name, summary: $summary.trim_ascii() }, )*
            ];

            /// The entry's name in study files and on the command line.
            pub fn name(&self) -> &'static str {
                match self { $( Self::$variant(_) => $name, )* }
            }

            /// The entry as what all of its kind can do.
            pub fn as_dyn(&self) -> &dyn $kind {
                match self { $( Self::$variant(entry) => entry, )* }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $any {
            fn deserialize<D: ::serde::Deserializer<'de>>(written: D) -> ::std::result::Result<Self, D::Error> {
                #[derive(::serde::Deserialize)]
                enum Written {
                    $( #[serde(rename = $name)] $variant(Box<$entry>), )*
                }
                ::std::result::Result::Ok(match $crate::registry::read(written, Self::ENTRIES)? {
                    $( Written::$variant(entry) => Self::$variant(*entry), )*
                })
            }
        }
    };
}

/// The entry `name` of a table as it is where nothing is said; `None` where something must be said.
pub fn usual<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(serde_json::json!({ name: {} })).ok()
}

/// Reads one of `entries` with its settings, `{ ndcg = { k = 10 } }`; what is written otherwise is
/// refused with an example of what was expected.
pub fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    written: D,
    entries: &'static [Entry],
) -> Result<T, D::Error> {
    written.deserialize_any(OneOf { entries, entry: PhantomData })
}

struct OneOf<T> {
    entries: &'static [Entry],
    entry: PhantomData<T>,
}

impl<T> OneOf<T> {
    /// What could be written, with the name most like `written`.
    fn example(&self, written: &str) -> String {
        let names = || self.entries.iter().map(|entry| entry.name);
        let name = did_you_mean(written, names()).or_else(|| names().next()).unwrap_or_default();
        format!("a name with its settings, for example {{ {name} = {{}} }}")
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOf<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.example(""))
    }

    fn visit_str<E: Error>(self, written: &str) -> Result<T, E> {
        Err(E::custom(format!("found the string {written:?}, expected {}", self.example(written))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        if map.size_hint() == Some(0) {
            return Err(A::Error::custom(format!("found {{}}, expected {}", self.example(""))));
        }
        let entry = T::deserialize(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<String>()? {
            None => Ok(entry),
            Some(second) => Err(A::Error::custom(format!(
                "found the second name {second:?}, expected one name with its settings"
            ))),
        }
    }
}
