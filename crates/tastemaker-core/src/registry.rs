//! The one table each kind of thing stands in.

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
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
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
    };
}
