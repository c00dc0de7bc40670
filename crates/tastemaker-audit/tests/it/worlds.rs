//! Small worlds, and recommenders in which a harm is planted or not.

use rand::Rng;
use tastemaker_audit::harms::AnyHarm;
use tastemaker_audit::{Evidence, Indicator, NotMeasured, Scope, Subject};
use tastemaker_core::catalog::{Attribute, Catalog, Column};
use tastemaker_core::people::{UserAttribute, UserAttributes};
use tastemaker_core::recommender::rank_by_scores;
use tastemaker_core::splits::{LeaveLastOut, Part, Split, SplitSets};
use tastemaker_core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, Recommender, Result,
    SeedTree, UserId,
};
use tastemaker_eval::Candidates;

pub(crate) const USERS: u32 = 200;
pub(crate) const ITEMS: u32 = 120;
pub(crate) const GENRES: u32 = 4;
pub(crate) const K: usize = 10;
const LENGTH: usize = 14;

/// Bootstrap samples of the tests.
pub(crate) const RESAMPLES: usize = 300;

/// The seeds over which every harm must be told apart.
pub(crate) const SEEDS: [u64; 3] = [1, 2, 3];

/// Users who meet items of all genres, popular ones more often; half of them are f, half m.
pub(crate) struct World {
    pub(crate) data: Dataset,
    pub(crate) split: SplitSets,
    pub(crate) seeds: SeedTree,
}

/// The genre of an item.
pub(crate) fn genre(item: ItemId) -> u32 {
    item.0 % GENRES
}

/// 1 for f, 0 for m.
pub(crate) fn gender(user: UserId) -> u32 {
    user.0 % 2
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let seeds = SeedTree::new(seed).child("world");
        let sequences: Vec<Vec<ItemId>> = (0..USERS).map(|user| sequence(user, &seeds)).collect();
        let data = Dataset {
            name: "world".to_owned(),
            hash: format!("world {seed}"),
            users: (0..USERS).map(|user| format!("u{user}")).collect(),
            items: (0..ITEMS).map(|item| format!("i{item}")).collect(),
            interactions: Interactions::from_sequences(sequences),
            catalog: catalog(),
            people: people(),
            graph: None,
        };
        let split = LeaveLastOut::default().split(&data, &seeds).unwrap();
        Self { data, split, seeds }
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        let candidates = Candidates::Full;
        let (data, split, part) = (&self.data, &self.split, Part::Test);
        Scope { data, split, part, k: K, candidates, allow_seen: false }
    }

    pub(crate) fn subject<'a>(&'a self, recommender: &'a dyn Recommender) -> Subject<'a> {
        Subject::of_recommender(self.scope(), recommender, &self.seeds).unwrap()
    }

    /// The last item of each user, which is to be foretold.
    pub(crate) fn target(&self, user: UserId) -> ItemId {
        *self.data.interactions.sequence(user).last().unwrap()
    }

    /// A number between 0 and 1 that follows from these numbers and from nothing else.
    pub(crate) fn chance(&self, of: &[u32]) -> f64 {
        let seeds = of.iter().fold(self.seeds.child("chance"), |seeds, &n| seeds.index(n.into()));
        seeds.rng().random()
    }
}

fn sequence(user: u32, seeds: &SeedTree) -> Vec<ItemId> {
    let mut rng = seeds.child("user").index(user.into()).rng();
    let mut sequence: Vec<ItemId> = Vec::new();
    while sequence.len() < LENGTH {
        // Small numbers are met more often.
        let item = ItemId((f64::from(ITEMS) * rng.random::<f64>().powi(2)) as u32);
        if !sequence.contains(&item) {
            sequence.push(item);
        }
    }
    sequence
}

fn catalog() -> Catalog {
    let items = || (0..ITEMS).map(ItemId);
    let attribute = |name: &str, column| Attribute { name: name.to_owned(), column };
    let titles = items().map(|item| Some(format!("Thing {}", item.0))).collect();
    let genres = items().map(|item| vec![format!("genre {}", genre(item))]).collect();
    let makers = items().map(|item| vec![format!("maker {}", item.0 % 6)]).collect();
    let years = items().map(|item| Some(f64::from(1980 + item.0 * 7 % 40))).collect();
    let attributes = vec![
        attribute("title", Column::Text(titles)),
        attribute("genres", Column::Categories(genres)),
        attribute("maker", Column::Categories(makers)),
        attribute("year", Column::Number(years)),
    ];
    Catalog::new(attributes, Some("title"))
}

fn people() -> UserAttributes {
    let value = |user| vec![if gender(user) == 1 { "f" } else { "m" }.to_owned()];
    let genders = Column::Categories((0..USERS).map(UserId).map(value).collect());
    let attribute = Attribute { name: "gender".to_owned(), column: genders };
    UserAttributes::new(vec![UserAttribute { attribute, sensitive: true }])
}

/// Scores each item for a query.
pub(crate) struct By<F>(pub(crate) F);

impl<F: Fn(&RecQuery<'_>, ItemId) -> f64 + Send + Sync> Recommender for By<F> {
    fn name(&self) -> &'static str {
        "by"
    }

    fn recommend(
        &self,
        queries: &[RecQuery<'_>],
        options: &RankOptions<'_>,
    ) -> Result<Vec<RankedList>> {
        rank_by_scores(queries, options, |queries, scores| {
            for (query, row) in queries.iter().zip(scores.chunks_mut(options.ties.n_items())) {
                for (item, score) in (0..).map(ItemId).zip(row) {
                    *score = (self.0)(query, item) as f32;
                }
            }
            Ok(())
        })
    }
}

/// What a harm's probe found.
pub(crate) struct Found(pub(crate) Vec<Indicator>, pub(crate) Vec<NotMeasured>);

impl Found {
    pub(crate) fn of(harm: &AnyHarm, subject: &Subject<'_>, seeds: &SeedTree) -> Self {
        let mut notes = harm.as_dyn().notes(RESAMPLES, seeds);
        harm.as_dyn().probe(subject, &mut notes, seeds).unwrap();
        let (measured, not_measured) = notes.finish();
        Self(measured, not_measured)
    }

    /// With what was found out elsewhere.
    pub(crate) fn with<'a>(
        harm: &AnyHarm,
        subject: Subject<'a>,
        evidence: Evidence<'a>,
        seeds: &SeedTree,
    ) -> Self {
        Self::of(harm, &subject.with(evidence).unwrap(), seeds)
    }

    /// The indicator `name`, of `of`; the last where there are several.
    pub(crate) fn get(&self, name: &str, of: &str) -> &Indicator {
        let is = |found: &&Indicator| found.name == name && found.of == of;
        let why: Vec<_> = self.1.iter().filter(|not| not.name == name).collect();
        self.0.iter().rfind(is).unwrap_or_else(|| panic!("{name} {of:?} is not there: {why:?}"))
    }

    pub(crate) fn reason(&self, name: &str) -> &str {
        &self.1.iter().find(|not| not.name == name).unwrap_or_else(|| panic!("{name}")).reason
    }
}

/// The whole interval of `worse` is beyond that of `better`.
pub(crate) fn separate(better: &Indicator, worse: &Indicator) {
    use tastemaker_eval::metrics::Better;
    let ends = |of: &Indicator| of.interval.unwrap_or([of.value; 2]);
    let ([b0, b1], [w0, w1]) = (ends(better), ends(worse));
    let apart = match better.better {
        Better::Lower => b1 < w0,
        Better::Higher => w1 < b0,
    };
    assert!(apart, "{}: {:?} {:?} and planted {:?}", better.name, better.value, [b0, b1], [w0, w1]);
    let (b, w) = (better.value, worse.value);
    assert!((b0..=b1).contains(&b) && (w0..=w1).contains(&w), "{}", better.name);
}
