//! What is audited, and what it can be asked.

use std::collections::{BTreeMap, BTreeSet};

use tastemaker_core::splits::{EvalCase, Part, SplitSets};
use tastemaker_core::{
    Dataset, Error, ItemId, RankOptions, RankedList, RecQuery, Recommender, Result, SeedTree,
    TieOrder, UserId,
};
use tastemaker_eval::metrics::Metric;
use tastemaker_eval::{About, Candidates, Ground};

/// Makes a recommender over changed data: learns anew, or is told other texts.
pub type Remake<'a> = dyn Fn(&Dataset) -> Result<Box<dyn Recommender>> + 'a;

/// Of whom and of what an audit is taken.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The data.
    pub data: &'a Dataset,
    /// How it is divided.
    pub split: &'a SplitSets,
    /// Whose targets are looked at.
    pub part: Part,
    /// The first k of each list are looked at.
    pub k: usize,
    /// Among what each list is ranked; sampled ones are those of the evaluation with the same seeds.
    pub candidates: Candidates,
    /// Whether what a user has met is recommended again.
    pub allow_seen: bool,
}

/// A recommender, or lists, with all that is known of them.
pub struct Subject<'a> {
    /// What it is called.
    pub name: String,
    /// Of whom and of what.
    pub scope: Scope<'a>,
    /// The users with their histories and targets; of users without targets there are none.
    pub cases: Vec<EvalCase<'a>>,
    /// The items among which each is answered; `None` for the whole catalog.
    pub candidates: Option<Vec<Vec<ItemId>>>,
    /// Their lists, of k items or fewer.
    pub lists: Vec<RankedList>,
    /// What can be asked; `None` for lists that were made elsewhere.
    pub recommender: Option<&'a dyn Recommender>,
    /// What is known of items.
    pub ground: Ground,
    /// What was found out elsewhere.
    pub evidence: Evidence<'a>,
    ties: TieOrder,
}

/// What was found out elsewhere, or how it can be; what is missing is not measured.
///
/// Lists are in the order of [`Subject::cases`].
#[derive(Default)]
pub struct Evidence<'a> {
    /// The recommender as it is where items have other titles.
    pub retitle: Option<&'a Remake<'a>>,
    /// The recommender as it is after it has learnt from other interactions.
    pub refit: Option<&'a Remake<'a>>,
    /// Lists of people who are told apart by a sensitive attribute alone.
    pub counterfactual: Vec<Counterfactual>,
    /// How well it knows whom it has learnt from.
    pub membership: Option<Membership>,
    /// How it continued texts that it has learnt.
    pub extractions: Vec<Extraction>,
    /// Lists before and after it has unlearnt users.
    pub unlearning: Option<Unlearning>,
    /// Whether it unlearns by learning anew from all others, after which nothing is left by construction.
    pub learns_anew: bool,
    /// What it named for each user, as it was written.
    pub titles: Vec<Vec<String>>,
    /// Lists for the same questions with other seeds, or asked again.
    pub runs: Vec<Vec<RankedList>>,
    /// Lists for the same questions of later states of the recommender.
    pub snapshots: Vec<Vec<RankedList>>,
    /// How it explains what it recommends.
    pub explanations: Vec<Explanation>,
    /// What is on record of it: a value for each field that is filled in.
    pub provenance: BTreeMap<String, String>,
    /// Seconds of computing: to train it, and to make these lists.
    pub seconds: Option<f64>,
}

/// Lists of the same questions, with and without a value of a sensitive attribute told.
///
/// Items may have numbers beyond the catalog, as what a language model names may not be in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counterfactual {
    /// The attribute.
    pub attribute: String,
    /// A list a question, where nothing is told.
    pub neutral: Vec<Vec<ItemId>>,
    /// For each value the same questions' lists where it is told.
    pub values: Vec<(String, Vec<Vec<ItemId>>)>,
    /// What each question's user is known to like; may be empty.
    pub liked: Vec<Vec<ItemId>>,
}

/// A number a user that is larger the better a recommender knows the user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    /// Of users whom it has learnt from.
    pub members: Vec<f64>,
    /// Of users whom it has not.
    pub non_members: Vec<f64>,
}

/// A text that was learnt, cut in two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// How it goes on.
    pub truth: String,
    /// What the model wrote when the beginning was shown.
    pub continued: String,
}

/// The lists of users who asked to be forgotten, or of their neighbours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unlearning {
    /// By the recommender that has learnt from them.
    pub original: Vec<RankedList>,
    /// After it has unlearnt them.
    pub unlearnt: Vec<RankedList>,
    /// By one that has never learnt from them.
    pub retrained: Vec<RankedList>,
}

/// Why something was recommended, as a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The user.
    pub user: UserId,
    /// What was recommended.
    pub item: ItemId,
    /// What is said; may be empty.
    pub text: String,
    /// The item of the history that is said to be the reason; the first that the text names, where absent.
    pub cited: Option<ItemId>,
}

impl<'a> Subject<'a> {
    /// Asks `recommender` for every user with targets; ties follow from `seeds`.
    pub fn of_recommender(
        scope: Scope<'a>,
        recommender: &'a dyn Recommender,
        seeds: &SeedTree,
    ) -> Result<Self> {
        Self::of_users(scope, recommender, 0, seeds)
    }

    /// The same for `n` users drawn at random, for what takes seconds a user; 0 are all.
    pub fn of_users(
        scope: Scope<'a>,
        recommender: &'a dyn Recommender,
        n: usize,
        seeds: &SeedTree,
    ) -> Result<Self> {
        let mut cases = scope.split.cases(scope.data, scope.part);
        cases.retain(|case| scope.candidates.are_for(case, scope.allow_seen));
        if (1..cases.len()).contains(&n) {
            let draw = rand::seq::index::sample(&mut seeds.child("users").rng(), cases.len(), n);
            let mut drawn = draw.into_vec();
            drawn.sort_unstable();
            cases = drawn.into_iter().map(|at| cases[at]).collect();
        }
        let mut subject = Self::new(recommender.name(), scope, cases, seeds)?;
        subject.recommender = Some(recommender);
        subject.lists = subject.ask(recommender, &subject.everybody(), subject.scope.k)?;
        Ok(subject)
    }

    /// Takes `lists` that were made elsewhere. Users without targets have what they met in training as
    /// their history.
    pub fn of_lists(
        scope: Scope<'a>,
        name: &str,
        lists: Vec<(UserId, RankedList)>,
        seeds: &SeedTree,
    ) -> Result<Self> {
        let known: BTreeMap<UserId, EvalCase<'a>> =
            scope.split.iter_cases(scope.data, scope.part).map(|case| (case.user, case)).collect();
        let (mut cases, mut cut) = (Vec::new(), Vec::new());
        let mut asked = BTreeSet::new();
        for (user, mut list) in lists {
            if user.index() >= scope.data.n_users() {
                let expected = format!("less than {}, the data's users", scope.data.n_users());
                return Err(Error::setting("a list's user", user.0, expected));
            }
            if let Some(item) = list.items.iter().find(|item| item.index() >= scope.data.n_items())
            {
                let expected = format!("less than {}, the data's items", scope.data.n_items());
                return Err(Error::setting("a list's item", item.0, expected));
            }
            let items: BTreeSet<&ItemId> = list.items.iter().collect();
            if items.len() < list.items.len() || !asked.insert(user) {
                let name = format!("the list of user {}", user.0);
                let expected = "one list a user, and each item in it once";
                return Err(Error::setting(&name, "there twice, or has an item twice", expected));
            }
            list.items.truncate(scope.k);
            list.scores.truncate(scope.k);
            let history = scope.split.train(scope.data, user);
            cases.push(known.get(&user).copied().unwrap_or(EvalCase {
                user,
                history,
                targets: &[],
            }));
            cut.push(list);
        }
        let mut subject = Self::new(name, scope, cases, seeds)?;
        subject.lists = cut;
        Ok(subject)
    }

    fn new(
        name: &str,
        scope: Scope<'a>,
        cases: Vec<EvalCase<'a>>,
        seeds: &SeedTree,
    ) -> Result<Self> {
        if scope.k == 0 {
            return Err(Error::setting("k", 0, "1 or more items of each list"));
        }
        if cases.is_empty() {
            return Err(Error::setting("the users to audit", "none", "one or more"));
        }
        let n_items = scope.data.n_items();
        let own = |case| scope.candidates.of(case, n_items, scope.allow_seen, seeds);
        let candidates: Option<Vec<Vec<ItemId>>> = cases.iter().map(own).collect();
        let fewest = candidates.iter().flatten().map(Vec::len).min();
        if let Some(fewest) = fewest.filter(|fewest| scope.k >= *fewest) {
            let expected = format!("less than {fewest}: a list of all candidates says nothing");
            return Err(Error::setting("k", scope.k, expected));
        }
        let ties = TieOrder::new(n_items, &seeds.child("ties"));
        let ground = Ground::new(scope.data, scope.split);
        let (lists, evidence) = (Vec::new(), Evidence::default());
        let (name, recommender) = (name.to_owned(), None);
        Ok(Self { name, scope, cases, candidates, lists, recommender, ground, evidence, ties })
    }

    /// The same, with what was found out elsewhere.
    ///
    /// # Errors
    /// If lists are not as many as there are users or questions, or scores are no numbers.
    pub fn with(self, evidence: Evidence<'a>) -> Result<Self> {
        let same = |what: &str, found: usize, expected: usize| {
            let words = format!("{expected}, as many as there are users or questions");
            if found == expected { Ok(()) } else { Err(Error::setting(what, found, words)) }
        };
        for lists in evidence.runs.iter().chain(&evidence.snapshots) {
            same("lists of a run", lists.len(), self.cases.len())?;
        }
        if !evidence.titles.is_empty() {
            same("named titles", evidence.titles.len(), self.cases.len())?;
        }
        for Counterfactual { neutral, values, liked, .. } in &evidence.counterfactual {
            for (value, lists) in values {
                same(&format!("lists of {value:?}"), lists.len(), neutral.len())?;
            }
            if !liked.is_empty() {
                same("lists of what is liked", liked.len(), neutral.len())?;
            }
        }
        if let Some(Membership { members, non_members }) = &evidence.membership
            && let Some(score) = members.iter().chain(non_members).find(|score| score.is_nan())
        {
            return Err(Error::setting("a membership score", score, "a number"));
        }
        if let Some(Unlearning { original, unlearnt, retrained }) = &evidence.unlearning {
            same("lists after unlearning", unlearnt.len(), original.len())?;
            same("lists after retraining", retrained.len(), original.len())?;
        }
        Ok(Self { evidence, ..self })
    }

    /// The same users, asked of another recommender, with nothing that was found out elsewhere.
    pub fn changed<'b>(&self, recommender: &'b dyn Recommender) -> Result<Subject<'b>>
    where
        'a: 'b,
    {
        let lists = self.ask(recommender, &self.everybody(), self.scope.k)?;
        Ok(Subject {
            name: recommender.name().to_owned(),
            scope: self.scope.clone(),
            cases: self.cases.clone(),
            candidates: self.candidates.clone(),
            lists,
            recommender: Some(recommender),
            ground: self.ground.clone(),
            evidence: Evidence::default(),
            ties: self.ties.clone(),
        })
    }

    /// Asks `recommender` for `n` items for each of the users at the places `users`.
    pub fn ask(
        &self,
        recommender: &dyn Recommender,
        users: &[usize],
        n: usize,
    ) -> Result<Vec<RankedList>> {
        self.ask_by(recommender, users, &self.options(n))
    }

    /// The same, with answers cut as `options` say.
    pub fn ask_by(
        &self,
        recommender: &dyn Recommender,
        users: &[usize],
        options: &RankOptions<'_>,
    ) -> Result<Vec<RankedList>> {
        let query = |&at: &usize| self.query(at, self.cases[at].history);
        let queries: Vec<RecQuery<'_>> = users.iter().map(query).collect();
        recommender.recommend(&queries, options)
    }

    /// The question about the user at the place `at` who has met `history`, among that user's candidates.
    pub fn query<'q>(&'q self, at: usize, history: &'q [ItemId]) -> RecQuery<'q> {
        let candidates = self.candidates.as_ref().map(|all| &all[at][..]);
        RecQuery { user: Some(self.cases[at].user), history, candidates }
    }

    /// How answers to questions about it are cut: `n` items, none of the history unless that is allowed.
    pub fn options(&self, n: usize) -> RankOptions<'_> {
        let n = n.min(self.scope.data.n_items());
        RankOptions { n, allow_seen: self.scope.allow_seen, ties: &self.ties }
    }

    /// `metric` of each user that is in `of`.
    pub fn per_user(&self, metric: &dyn Metric, of: &[usize]) -> Vec<f64> {
        let value = |&at: &usize| {
            let (case, list) = (&self.cases[at], &self.lists[at]);
            let (candidates, seen) = match &self.candidates {
                Some(all) => (all[at].len(), &[][..]),
                None if self.scope.allow_seen => (self.scope.data.n_items(), &[][..]),
                None => (self.scope.data.n_items(), case.history),
            };
            let about = About { history: case.history, candidates, seen, ground: &self.ground };
            metric.of_user(list, case.targets, &about)
        };
        of.iter().filter_map(value).collect()
    }

    /// The explanations, each with the number of its user; of whom nothing is asked are left out.
    pub fn explained(&self) -> impl Iterator<Item = (&Explanation, usize)> {
        let of = |user: UserId| self.cases.iter().position(|case| case.user == user);
        let all = self.evidence.explanations.iter();
        all.filter_map(move |explanation| Some((explanation, of(explanation.user)?)))
    }

    /// The numbers of all users.
    pub fn everybody(&self) -> Vec<usize> {
        (0..self.cases.len()).collect()
    }

    /// The numbers of the users with targets.
    pub fn with_targets(&self) -> Vec<usize> {
        let has = |at: &usize| !self.cases[*at].targets.is_empty();
        self.everybody().into_iter().filter(has).collect()
    }

    /// The numbers of `n` users drawn at random, ascending; of all where there are no more.
    pub fn draw(&self, n: usize, seeds: &SeedTree) -> Vec<usize> {
        let all = self.cases.len();
        if n >= all {
            return self.everybody();
        }
        let mut drawn = rand::seq::index::sample(&mut seeds.rng(), all, n).into_vec();
        drawn.sort_unstable();
        drawn
    }
}
