//! Made-up data of any size with a structure that is known.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{RawData, Source};
use crate::catalog::{Attribute, Catalog, Column};
use crate::error::{Error, Result};
use crate::ids::Vocabulary;
use crate::people::{UserAttribute, UserAttributes};
use crate::rng::SeedTree;

/// Users who follow series of items, with titles, attributes, user groups and times.
///
/// # The structure
/// * The items are divided into series of `series-length` (the last series may be shorter), the
///   series in turn among `groups` genres. Item `i` is volume `i mod series-length + 1` of series
///   `i / series-length`; the volume after the last is the first again.
/// * Each user belongs to a group. A user's first item is drawn as by a jump. After that, with
///   probability `follow`, the next item is the next volume of the last item's series; otherwise
///   the user jumps: with probability `loyalty` to an item of the genre of the user's group,
///   else to any item, all of them equally likely.
/// * Nobody meets an item twice: if the next volume was met before, the user jumps; a jump that
///   hits an item that was met before is drawn again.
/// * Groups are of equal size (but for one user), so all items are about equally popular, and a
///   list of the most popular items finds next to nothing.
/// * `gender` is drawn for each user by a fair coin and changes nothing: any difference between
///   genders that is found is made by the recommender. It is marked as sensitive; `group` is not.
///
/// # The optimum
/// Who always foretells the next volume where it was not met before is right with probability
/// [`Synthetic::optimum`] (a little more, since a jump may land there by chance); no rule has a
/// higher hit rate at 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Synthetic {
    /// The number of users.
    pub users: u32,
    /// The number of items; those that nobody meets do not appear.
    pub items: u32,
    /// The mean number of interactions of a user; they are spread evenly from half of it to one
    /// and a half times of it.
    pub mean_length: u32,
    /// The number of user groups, and of genres.
    pub groups: u32,
    /// The number of items in a series.
    pub series_length: u32,
    /// The probability that the next item is the next volume.
    pub follow: f64,
    /// The probability that a jump stays within the genre of the user's group.
    pub loyalty: f64,
    /// The seed; the same configuration gives the same bytes everywhere.
    pub seed: u64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            users: 1000,
            items: 500,
            mean_length: 12,
            groups: 2,
            series_length: 10,
            follow: 0.8,
            loyalty: 0.7,
            seed: 1,
        }
    }
}

/// 2020-01-01T00:00:00Z.
const START: f64 = 1_577_836_800.0;

impl Source for Synthetic {
    fn read(&self) -> Result<RawData> {
        self.check()?;
        let mut raw = RawData::new(
            "synthetic",
            format!(
                "generated with seed {}: the next item is the next volume of the last one's \
                 series with probability {}",
                self.seed, self.follow
            ),
        );
        raw.items = (0..self.items).map(|item| format!("i{item}")).collect::<Vocabulary>();
        let seeds = SeedTree::new(self.seed).child("synthetic").child("user");
        let mut times = Vec::new();
        let (mut groups, mut genders) = (Vec::new(), Vec::new());
        // The user who met an item last: who has met what, without clearing for each user.
        let mut met_by = vec![u32::MAX; self.items as usize];
        for user in 0..self.users {
            let mut rng = seeds.index(user.into()).rng();
            let group = user % self.groups;
            groups.push(vec![format!("group-{group}")]);
            genders.push(vec![if rng.random_bool(0.5) { "f" } else { "m" }.to_owned()]);
            raw.users.intern(&format!("u{user}"));
            let mut time = START + f64::from(rng.random_range(0..365 * 86_400_u32));
            let mut last = None;
            for _ in 0..self.length(&mut rng) {
                let item = self.next(last, group, &mut rng, |item| met_by[item as usize] == user);
                met_by[item as usize] = user;
                raw.push(user, item);
                times.push(time);
                time += f64::from(rng.random_range(60..3 * 86_400_u32));
                last = Some(item);
            }
        }
        raw.times = Some(times);
        raw.catalog = self.catalog();
        let attribute = |name: &str, rows, sensitive| UserAttribute {
            attribute: Attribute { name: name.to_owned(), column: Column::Categories(rows) },
            sensitive,
        };
        raw.people = UserAttributes::new(vec![
            attribute("group", groups, false),
            attribute("gender", genders, true),
        ]);
        Ok(raw)
    }
}

impl Synthetic {
    /// The item after `item` in its series; the first one after the last.
    pub fn next_volume(&self, item: u32) -> u32 {
        let series = item / self.series_length;
        let first = series * self.series_length;
        let length = self.series_length.min(self.items - first);
        first + (item - first + 1) % length
    }

    /// A lower bound of the probability that the next item is the next volume, given that the
    /// next volume was not met before, and at once the hit rate at 1 of the best rule but for
    /// the hits by chance, which are fewer than one in `items / groups − mean-length`.
    pub fn optimum(&self) -> f64 {
        self.follow
    }

    /// The genre of `item`: series are dealt to the genres in turn.
    fn genre(&self, item: u32) -> u32 {
        item / self.series_length % self.groups
    }

    /// Refuses what cannot be generated.
    fn check(&self) -> Result<()> {
        let refuse = |name: &str, found: String, expected: &str| {
            Err(Error::Setting { name: name.to_owned(), found, expected: expected.to_owned() })
        };
        let shares = [("follow", self.follow), ("loyalty", self.loyalty)];
        if let Some((name, share)) = shares.into_iter().find(|(_, x)| !(0.0..=1.0).contains(x)) {
            return refuse(name, share.to_string(), "a probability from 0 to 1");
        }
        let counts = [
            ("users", self.users, 1),
            ("mean-length", self.mean_length, 1),
            ("groups", self.groups, 1),
            ("series-length", self.series_length, 2),
        ];
        if let Some((name, found, least)) = counts.into_iter().find(|(_, n, least)| n < least) {
            return refuse(name, found.to_string(), &format!("at least {least}"));
        }
        // A user must find an item not met before without long search, in each genre too.
        let least = u64::from(self.mean_length) * 3 * u64::from(self.groups)
            + u64::from(self.series_length) * u64::from(self.groups);
        if u64::from(self.items) < least {
            let expected = format!(
                "at least {least}: groups × (3 × mean-length + series-length), so that nobody \
                 runs out of items"
            );
            return refuse("items", self.items.to_string(), &expected);
        }
        Ok(())
    }

    /// How many interactions a user has.
    fn length(&self, rng: &mut ChaCha8Rng) -> u32 {
        let half = self.mean_length / 2;
        rng.random_range(self.mean_length - half..=self.mean_length + half)
    }

    /// The item after `last`.
    fn next(
        &self,
        last: Option<u32>,
        group: u32,
        rng: &mut ChaCha8Rng,
        met: impl Fn(u32) -> bool,
    ) -> u32 {
        if let Some(last) = last
            && rng.random_bool(self.follow)
        {
            let next = self.next_volume(last);
            if !met(next) {
                return next;
            }
        }
        let loyal = rng.random_bool(self.loyalty);
        loop {
            let item = rng.random_range(0..self.items);
            if (!loyal || self.genre(item) == group) && !met(item) {
                return item;
            }
        }
    }

    /// Titles, series, genres and years.
    fn catalog(&self) -> Catalog {
        let all = 0..self.items;
        let series = |item: u32| series_name(item / self.series_length);
        let title = |item: u32| format!("{} {}", series(item), item % self.series_length + 1);
        let titles = all.clone().map(|item| Some(title(item))).collect();
        let names = all.clone().map(|item| vec![series(item)]).collect();
        let genres = all.clone().map(|item| vec![format!("genre-{}", self.genre(item))]).collect();
        let years = all.map(|item| {
            Some(f64::from(1950 + item / self.series_length % 50 + item % self.series_length))
        });
        let attribute = |name: &str, column| Attribute { name: name.to_owned(), column };
        let attributes = vec![
            attribute("title", Column::Text(titles)),
            attribute("series", Column::Categories(names)),
            attribute("genre", Column::Categories(genres)),
            attribute("year", Column::Number(years.collect())),
        ];
        Catalog::new(attributes, Some("title"))
    }
}

/// A name for a series, different for each.
fn series_name(series: u32) -> String {
    const FIRST: [&str; 16] = [
        "Amber", "Broken", "Crimson", "Distant", "Emerald", "Frozen", "Golden", "Hidden", "Iron",
        "Jade", "Lost", "Midnight", "Northern", "Quiet", "Silver", "Winter",
    ];
    const SECOND: [&str; 16] = [
        "Bridge", "Crown", "Desert", "Empire", "Forest", "Garden", "Harbour", "Island", "Journey",
        "Lantern", "Mirror", "Orchard", "River", "Signal", "Tower", "Voyage",
    ];
    let (first, second) = (series as usize % 16, series as usize / 16 % 16);
    let name = format!("{} {}", FIRST[first], SECOND[second]);
    if series < 256 { name } else { format!("{name} of {}", series / 256) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_data_and_another_seed_other_data() {
        let read = |seed| Synthetic { seed, ..Synthetic::default() }.read().unwrap();
        assert_eq!(read(1), read(1));
        assert_ne!(read(1).item, read(2).item);
    }

    #[test]
    fn the_planted_chain_is_followed_as_often_as_said() {
        let source = Synthetic { users: 4000, ..Synthetic::default() };
        let raw = source.read().unwrap();
        let (mut open, mut followed) = (0, 0);
        for user in raw.item.chunk_by_indices(&raw.user) {
            for end in 1..user.len() {
                let next = source.next_volume(user[end - 1]);
                if !user[..end].contains(&next) {
                    open += 1;
                    followed += i32::from(user[end] == next);
                }
            }
        }
        let share = f64::from(followed) / f64::from(open);
        // 44,000 draws: three standard errors are 0.006.
        assert!((share - source.optimum()).abs() < 0.01, "{share}");
    }

    #[test]
    fn no_item_is_much_more_popular_than_another_and_none_is_met_twice() {
        let source = Synthetic { users: 4000, ..Synthetic::default() };
        let raw = source.read().unwrap();
        let mut counts = vec![0; 500];
        raw.item.iter().for_each(|&item| counts[item as usize] += 1);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 50 && *most < 150, "{least} to {most}, 96 expected");
        for user in raw.item.chunk_by_indices(&raw.user) {
            let mut seen = user.clone();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), user.len());
        }
    }

    #[test]
    fn what_cannot_be_generated_is_refused() {
        for (source, expected) in [
            (Synthetic { users: 0, ..Synthetic::default() }, "users is 0, expected at least 1"),
            (Synthetic { items: 20, ..Synthetic::default() }, "items is 20, expected at least 92"),
            (Synthetic { follow: 1.5, ..Synthetic::default() }, "follow is 1.5"),
        ] {
            assert!(source.read().unwrap_err().to_string().contains(expected));
        }
    }

    /// The items of each user in turn.
    trait ByUser {
        fn chunk_by_indices(&self, users: &[u32]) -> Vec<Vec<u32>>;
    }

    impl ByUser for Vec<u32> {
        fn chunk_by_indices(&self, users: &[u32]) -> Vec<Vec<u32>> {
            let mut rows = users.iter().zip(self).collect::<Vec<_>>();
            rows.sort_by_key(|(user, _)| **user);
            rows.chunk_by(|a, b| a.0 == b.0)
                .map(|chunk| chunk.iter().map(|(_, item)| **item).collect())
                .collect()
        }
    }
}
