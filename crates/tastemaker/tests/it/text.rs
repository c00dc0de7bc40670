use std::path::{Path, PathBuf};

use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::splits::{LeaveLastOut, Split, SplitSets};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RankedList, RecQuery, SeedTree, TieOrder,
};
use tastemaker::endpoint::Endpoint;
use tastemaker::memorisation::MemorisationProbe;
use tastemaker::nn::fused::Precision;
use tastemaker::nn::text::{CausalModel, Past, SentenceEncoder, TextTokenizer};
use tastemaker::prompts::{Prompting, Shown};
use tastemaker::recommenders::{
    FitContext, FitRecommender, Given, Others, TextLanguageModel, TextSimilarity,
};
use tastemaker::text::TextEmbeddings;
use tastemaker::train::Silent;
use tastemaker::verbalizers::{
    AnswerWords, AnyVerbalizer, ConstrainedTitles, Likelihood, WrittenTitles,
};

use crate::models::model;
use crate::server::server;

const TITLES: [Option<&str>; 6] = [
    Some("Star Trek: The Motion Picture"),
    Some("Star Wars"),
    None,
    Some("Pride and Prejudice"),
    Some("Sense and Sensibility"),
    Some("Alien"),
];

pub(crate) fn data() -> Dataset {
    let column = Column::Text(TITLES.map(|title| title.map(str::to_owned)).into());
    let title = Attribute { name: "title".to_owned(), column };
    let sequence = |items: [u32; 4]| items.map(ItemId).to_vec();
    Dataset {
        users: (0..2).map(|user| user.to_string()).collect(),
        items: (0..6).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences([
            sequence([0, 1, 2, 5]),
            sequence([3, 4, 2, 1]),
        ]),
        catalog: Catalog::new(vec![title], Some("title")),
        ..Dataset::default()
    }
}

pub(crate) fn context<'a>(
    (data, split, others): (&'a Dataset, &'a SplitSets, &'a Others),
    seeds: SeedTree,
    pretrained: Option<&'a Path>,
) -> FitContext<'a> {
    FitContext {
        data,
        split,
        seeds,
        checkpoints: None,
        pretrained,
        others,
        allow_seen: false,
        observer: &Silent,
    }
}

#[test]
fn items_are_ranked_by_the_mean_cosine_to_the_end_of_the_history() {
    let Some(model) = model("all-minilm-l6-v2") else { return };
    let (data, seeds, folder) = (data(), SeedTree::new(1), tempfile::tempdir().unwrap());
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let context = context((&data, &split, &others), seeds, Some(folder.path()));
    let recommender =
        TextSimilarity { model: model.clone(), last_items: 2, ..TextSimilarity::default() };
    let given = Given { data: &data, split: &split, others: &Others::default() };
    assert!(recommender.unsuitable(&given).is_empty());
    let ties = TieOrder::new(6, &seeds);
    let options = RankOptions { n: 6, allow_seen: true, ties: &ties };
    // The last two: Sense and Sensibility is too long ago.
    let history = [4, 0, 1].map(ItemId);
    let query = RecQuery { user: None, history: &history, candidates: None };
    let list = recommender.fit(&context).unwrap().recommend(&[query], &options).unwrap().remove(0);

    let encoder = SentenceEncoder::read(&model, Precision::F32).unwrap();
    let embeddings = encoder.encode(&TITLES.map(Option::unwrap_or_default)).unwrap();
    let cosine = |a: usize, b: usize| -> f32 {
        let row = |item: usize| &embeddings[item * 384..][..384];
        row(a).iter().zip(row(b)).map(|(a, b)| a * b).sum()
    };
    for (item, score) in list.items.iter().zip(&list.scores) {
        let item = item.index();
        let expected =
            if item == 2 { 0.0 } else { f32::midpoint(cosine(item, 0), cosine(item, 1)) };
        assert!((score - expected).abs() < 1e-5, "item {item}: {score} and not {expected}");
    }
    let place = |item: u32| list.items.iter().position(|other| other.0 == item).unwrap();
    assert!(place(5) < place(3) && place(5) < place(4), "{list:?}");

    // They are kept, and read the next time: what stands in the file is what is found.
    let kept: Vec<PathBuf> =
        fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let embedded = |kept: Option<&Path>| {
        let encoder = (&*model, Precision::F32);
        TextEmbeddings::of_items(&data.catalog, data.n_items(), encoder, kept).unwrap()
    };
    let first = embedded(Some(folder.path()));
    assert_eq!(first, embedded(None));
    let mut file = tastemaker::nn::checkpoint::Checkpoint::<String>::read(&kept[0]).unwrap();
    file.tensors.get_mut("embeddings").unwrap().1[0] = 7.0;
    file.write(&kept[0]).unwrap();
    let again = embedded(Some(folder.path()));
    assert!((again.of(ItemId(0))[0] - 7.0).abs() < f32::EPSILON);
}

#[test]
fn a_model_that_is_not_there_and_items_without_texts_are_refused_before_anything_is_made() {
    let seeds = SeedTree::new(1);
    let bare = Dataset { catalog: Catalog::default(), ..data() };
    let split = LeaveLastOut {}.split(&bare, &seeds).unwrap();
    let given = Given { data: &bare, split: &split, others: &Others::default() };
    let recommender = TextSimilarity { model: "nowhere".into(), ..TextSimilarity::default() };
    let found: Vec<String> =
        recommender.unsuitable(&given).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("text-similarity cannot be used here: the items have no texts"));
    assert!(found[1].contains("model is \"nowhere\", expected a file"), "{found:?}");
    let none = TextSimilarity { last_items: 0, ..TextSimilarity::default() };
    assert_eq!(none.problems().len(), 1);
}

#[test]
fn a_causal_language_model_embeds_texts_by_its_mean_states() {
    let Some(path) = smollm() else { return };
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let of = || {
        let kept = Some(folder.path());
        TextEmbeddings::of_items(&data.catalog, 6, (&path, Precision::F32), kept).unwrap()
    };
    let embeddings = of();
    let language_model = CausalModel::read(&path, Precision::F32).unwrap();
    let tokenizer = TextTokenizer::read_gguf(&path).unwrap();
    assert_eq!((embeddings.width, embeddings.values.len()), (576, 6 * 576));
    for (item, title) in (0..).map(ItemId).zip(&TITLES) {
        let found = embeddings.of(item);
        let Some(title) = title else {
            assert!(found.iter().all(|value| *value == 0.0));
            continue;
        };
        let tokens = tokenizer.encode(&[title]).unwrap().concat();
        let states = language_model.states(&[&tokens], &mut Past::default(), false).unwrap();
        let mut expected = vec![0.0; 576];
        for state in states.chunks_exact(576) {
            expected.iter_mut().zip(state).for_each(|(sum, value)| *sum += value);
        }
        let length = expected.iter().map(|value| value * value).sum::<f32>().sqrt();
        let furthest = found.iter().zip(&expected).map(|(a, b)| (a - b / length).abs());
        assert!(furthest.fold(0.0, f32::max) < 1e-5, "{title}");
    }
    // They are kept, as a sentence encoder's are, and apart from those.
    assert_eq!(of(), embeddings);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    // Embeddings of items can begin with them.
    let begin = tastemaker::recommenders::TextInitialise { model: path };
    let texts = Some(tastemaker::recommenders::ItemTexts::Initialise(begin));
    let model = tastemaker::recommenders::LanguageModel { texts, ..Default::default() };
    let split = SplitSets::for_learning(&data, false);
    let given = Given { data: &data, split: &split, others: &Others::default() };
    let problems: Vec<String> = model.unsuitable(&given).iter().map(ToString::to_string).collect();
    assert!(problems.iter().all(|problem| !problem.contains("texts")), "{problems:?}");
}

#[test]
fn diversity_by_texts_is_refused_where_there_is_no_encoder() {
    let text = r#"
[study]
name = "texts"
seeds = [1]
[dataset.synthetic]
users = 20
items = 200
[[arm]]
name = "most-popular"
recommender = { most-popular = {} }
[evaluate]
metrics = [{ text-diversity = { k = 10, model = "nowhere" } }]
"#;
    let study = tastemaker::study::parse("a.toml", text, &[]).unwrap();
    let found = tastemaker::check(&study).unwrap_err().to_string();
    assert!(found.contains("evaluate.metrics: ILD@10 texts (nowhere): "), "{found}");
    assert!(found.contains("nowhere/config.json"), "{found}");
}

#[test]
fn candidates_are_ranked_by_the_likelihood_of_their_titles() {
    let Some(model) = model("smollm2-135m-instruct") else { return };
    let path = model.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let context = context((&data, &split, &others), seeds, None);
    let given = Given { data: &data, split: &split, others: &Others::default() };
    let ties = TieOrder::new(6, &seeds);
    let options = RankOptions { n: 6, allow_seen: true, ties: &ties };
    // The first is too long ago, the third has no title.
    let (history, candidates) = ([3, 0, 1].map(ItemId), [5, 2, 4, 3].map(ItemId));
    let query = RecQuery { user: None, history: &history, candidates: Some(&candidates) };

    let language_model = CausalModel::read(&path, Precision::F32).unwrap();
    let tokenizer = TextTokenizer::read_gguf(&path).unwrap();
    let tokens = |text: &str| tokenizer.encode(&[text]).unwrap().remove(0);
    let mean = |prompt: &str, item: ItemId| {
        let title = tokens(TITLES[item.index()].unwrap());
        let found = language_model.log_probabilities(&tokens(prompt), &[&title]).unwrap().remove(0);
        found.iter().sum::<f32>() / found.len() as f32
    };
    let told = "Seen: Star Trek: The Motion Picture, Star Wars, then ";
    let template = "Seen: {% for item in history %}{{ item.title }}, {% endfor %}then ".to_owned();
    for calibrated in [false, true] {
        let likelihood = Likelihood { calibrated, ..Likelihood::default() };
        let recommender = TextLanguageModel {
            model: path.clone(),
            prompt: Prompting { template: template.clone(), last_items: 2, ..Prompting::default() },
            verbalizer: AnyVerbalizer::Likelihood(likelihood),
            ..TextLanguageModel::default()
        };
        assert!(recommender.unsuitable(&given).is_empty() && recommender.problems().is_empty());
        let fitted = recommender.fit(&context).unwrap();
        let list = fitted.recommend(&[query], &options).unwrap().remove(0);
        assert_eq!((list.items.len(), list.items[3]), (4, ItemId(2)), "{list:?}");
        for (&item, score) in list.items.iter().zip(&list.scores).take(3) {
            let alone = if calibrated { mean("Seen: then ", item) } else { 0.0 };
            let expected = mean(told, item) - alone;
            assert!((score - expected).abs() < 1e-3, "{item:?}: {score} and not {expected}");
        }
        let whole = RecQuery { candidates: None, ..query };
        let problem = fitted.recommend(&[whole], &options).unwrap_err().to_string();
        assert!(problem.contains("ranks among sampled items alone"), "{problem}");
    }
}

/// What is made ready for the small data, and asked with this history and these candidates.
pub(crate) fn asked(
    recommender: &TextLanguageModel,
    (history, candidates): (&[u32], Option<&[u32]>),
    allow_seen: bool,
) -> (RankedList, Shown) {
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let context = context((&data, &split, &others), seeds, None);
    assert!(recommender.problems().is_empty(), "{:?}", recommender.problems());
    let ties = TieOrder::new(6, &seeds);
    let options = RankOptions { n: 6, allow_seen, ties: &ties };
    let items = |items: &[u32]| items.iter().copied().map(ItemId).collect::<Vec<_>>();
    let (history, candidates) = (items(history), candidates.map(items));
    let query = RecQuery { user: None, history: &history, candidates: candidates.as_deref() };
    let shown = recommender.prompt(&context, &query).unwrap().unwrap();
    let list = recommender.fit(&context).unwrap().recommend(&[query], &options).unwrap().remove(0);
    (list, shown)
}

fn smollm() -> Option<PathBuf> {
    Some(model("smollm2-135m-instruct")?.join("SmolLM2-135M-Instruct.Q4_1.gguf"))
}

pub(crate) fn told(template: &str, verbalizer: AnyVerbalizer, model: &Path) -> TextLanguageModel {
    let prompt = Prompting { template: template.to_owned(), ..Prompting::default() };
    TextLanguageModel { model: model.to_owned(), prompt, verbalizer, ..Default::default() }
}

#[test]
fn titles_that_may_be_written_are_ranked_by_their_likelihood_and_no_others_come_out() {
    let Some(path) = smollm() else { return };
    let language_model = CausalModel::read(&path, Precision::F32).unwrap();
    let tokenizer = TextTokenizer::read_gguf(&path).unwrap();
    let tokens = |text: &str| tokenizer.encode(&[text]).unwrap().remove(0);
    // With a beam for every title it is exact.
    let verbalizer = AnyVerbalizer::ConstrainedTitles(ConstrainedTitles::default());
    let recommender = told("chosen-in-order", verbalizer, &path);
    let (list, shown) = asked(&recommender, (&[0, 3], None), false);
    assert_eq!(
        shown.text,
        "A customer has chosen, in this order:\nStar Trek: The Motion Picture\nPride and Prejudice\n"
    );
    let mut expected: Vec<(u32, f32)> = [1, 4, 5]
        .map(|item| {
            let title = [tokens(TITLES[item as usize].unwrap()), tokens("\n")].concat();
            let found = language_model.log_probabilities(&shown.tokens, &[&title]).unwrap();
            (item, found[0].iter().sum())
        })
        .into();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let found: Vec<u32> = list.items.iter().map(|item| item.0).collect();
    assert_eq!(found, expected.iter().map(|(item, _)| *item).collect::<Vec<_>>());
    for (score, (_, expected)) in list.scores.iter().zip(&expected) {
        assert!((score - expected).abs() < 1e-2, "{score} and not {expected}");
    }
    // Where a longer list is asked for than there are beams, there are as many as it is long.
    let few = ConstrainedTitles { beams: 1, ..ConstrainedTitles::default() };
    let few = told("chosen-in-order", AnyVerbalizer::ConstrainedTitles(few), &path);
    assert_eq!(asked(&few, (&[0, 3], None), false).0.items, list.items);
    // Among candidates what exists only, too.
    let (list, _) = asked(&recommender, (&[0, 3], Some(&[5, 1])), false);
    assert_eq!(list.items.len(), 2);
}

#[test]
fn an_encoder_that_finds_titles_near_their_ids_is_told_from_one_that_does_not() {
    let Some(model) = model("all-minilm-l6-v2") else { return };
    let games = [
        "Tetris",
        "Chess",
        "Doom",
        "Portal",
        "Myst",
        "Pong",
        "Zork",
        "Snake",
        "Halo",
        "Risk",
        "Go",
        "Frogger",
        "Asteroids",
        "Worms",
    ];
    let column = Column::Text(games.map(|title| Some(title.to_owned())).into());
    let title = Attribute { name: "title".to_owned(), column };
    let of = |ids: Vec<String>| Dataset {
        items: ids.into_iter().collect(),
        catalog: Catalog::new(vec![title.clone()], Some("title")),
        ..data()
    };
    let probe = MemorisationProbe { items: 14, others: 8, ..MemorisationProbe::default() };
    let (seeds, others) = (SeedTree::new(1), Others::default());
    let association = |data: &Dataset| {
        let split = SplitSets::for_learning(data, false);
        let context = context((data, &split, &others), seeds, None);
        let similar = TextSimilarity { model: model.clone(), ..TextSimilarity::default() };
        let found = similar.memorised(&context, &probe).unwrap().unwrap();
        assert_eq!((found.items, found.exact, found.written.len()), (14, None, 0));
        assert!(found.prompt.ends_with('|') && !found.prompt.contains('\n'), "{found:?}");
        found.association.unwrap()
    };
    // Ids that say what the title says stand for what is known by heart.
    let known = association(&of(games.map(str::to_lowercase).into()));
    assert!(known.interval[0] > 0.9, "{known:?}");
    let unknown = association(&of((1..=14).map(|id| id.to_string()).collect()));
    assert!(unknown.interval[0] < 0.5 && unknown.interval[1] < 0.9, "{unknown:?}");
}

#[test]
fn answer_words_are_weighed_after_each_candidates_own_prompt() {
    let Some(path) = smollm() else { return };
    let language_model = CausalModel::read(&path, Precision::F32).unwrap();
    let tokenizer = TextTokenizer::read_gguf(&path).unwrap();
    let tokens = |text: &str| tokenizer.encode(&[text]).unwrap().remove(0);
    let good = [" Yes", " yes"].map(str::to_owned).to_vec();
    let words = AnswerWords { good, ..AnswerWords::default() };
    let recommender = told("tallrec", AnyVerbalizer::AnswerWords(words), &path);
    let (list, shown) = asked(&recommender, (&[0, 1], Some(&[5, 3, 4])), false);
    assert!(shown.text.ends_with("Will the user like \"Alien\"?\nAnswer:"), "{}", shown.text);
    for (item, score) in list.items.iter().zip(&list.scores) {
        let title = TITLES[item.index()].unwrap();
        let prompt = tokens(&shown.text.replace("Alien", title));
        let words = [" Yes", " yes", " No"].map(tokens);
        let words: Vec<&[u32]> = words.iter().map(Vec::as_slice).collect();
        let found = language_model.log_probabilities(&prompt, &words).unwrap();
        let p: Vec<f32> = found.iter().map(|word| word.iter().sum::<f32>().exp()).collect();
        let expected = (p[0] + p[1]).ln() - p[2].ln();
        assert!((score - expected).abs() < 1e-2, "{title}: {score} and not {expected}");
    }
    assert!(list.scores.is_sorted_by(|a, b| a >= b) && list.items.len() == 3);
}

#[test]
fn a_conversation_is_held_as_the_model_was_taught() {
    let Some(path) = smollm() else { return };
    let mut recommender = told(
        "{% for item in history %}{{ item.title }}.{% endfor %}",
        AnyVerbalizer::Likelihood(Likelihood::default()),
        &path,
    );
    recommender.prompt.chat = true;
    let (_, shown) = asked(&recommender, (&[5], Some(&[0])), false);
    // As transformers' apply_chat_template gives it for this model.
    let before = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    let expected = |system: &str| {
        format!(
            "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nAlien.<|im_end|>\n<|im_start|>assistant\n"
        )
    };
    assert_eq!(shown.text, expected(before));
    // Tokens that stand for themselves are one token each.
    let tokenizer = TextTokenizer::read_gguf(&path).unwrap();
    assert_eq!(shown.tokens[0], tokenizer.token("<|im_start|>").unwrap());
    recommender.prompt.system = "You recommend films.".to_owned();
    let (_, shown) = asked(&recommender, (&[5], Some(&[0])), false);
    assert_eq!(shown.text, expected("You recommend films."));
    assert_eq!((shown.items, shown.left_out), (1, 0));
}

#[test]
fn the_oldest_items_are_left_out_where_a_prompt_would_be_too_long() {
    let Some(path) = smollm() else { return };
    let template = "Met:\n{% for item in history %}{{ item.title }}\n{% endfor %}";
    let mut recommender = told(template, AnyVerbalizer::Likelihood(Likelihood::default()), &path);
    let history = [0, 3, 4, 1, 5];
    let whole = asked(&recommender, (&history, Some(&[0])), true).1;
    assert_eq!((whole.items, whole.left_out), (5, 0));
    let mut before = whole.tokens.len();
    for items in (0..5).rev() {
        // One token too few for what was told before.
        recommender.prompt.most_tokens = before - 1;
        let shown = asked(&recommender, (&history, Some(&[0])), true).1;
        let told = &history[5 - items..];
        let titles: String =
            told.iter().map(|&item| format!("{}\n", TITLES[item as usize].unwrap())).collect();
        let expected = (format!("Met:\n{titles}"), items, 5 - items);
        assert_eq!((shown.text, shown.items, shown.left_out), expected);
        before = shown.tokens.len();
    }
    recommender.prompt.most_tokens = before - 1;
    let (data, seeds, others) = (data(), SeedTree::new(1), Others::default());
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let context = context((&data, &split, &others), seeds, None);
    let query = RecQuery { user: None, history: &[ItemId(0)], candidates: None };
    let problem = recommender.prompt(&context, &query).unwrap_err().to_string();
    assert!(problem.contains("the prompt is empty or too long"), "{problem}");
}

#[test]
fn a_model_that_is_not_there_is_told_with_what_fetches_one() {
    let (data, seeds, others) = (data(), SeedTree::new(1), Others::default());
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let given = Given { data: &data, split: &split, others: &others };
    let model = Path::new("models/none").to_owned();
    let similar = TextSimilarity { model: model.clone(), ..TextSimilarity::default() };
    let text = TextLanguageModel { model, ..TextLanguageModel::default() };
    for problems in [similar.unsuitable(&given), text.unsuitable(&given)] {
        let problem = problems[0].to_string();
        assert!(problem.contains("\"models/none\", expected a file or folder"), "{problem}");
        assert!(problem.contains("scripts/fetch-models.sh"), "{problem}");
    }
}

#[test]
fn other_users_are_told_as_examples() {
    let Some(path) = smollm() else { return };
    let likelihood = AnyVerbalizer::Likelihood(Likelihood::default());
    let mut recommender = told("few-shot", likelihood, &path);
    let problems: Vec<String> = recommender.problems().iter().map(ToString::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains("examples is 0"), "{problems:?}");
    recommender.prompt.examples = 2;
    let (_, shown) = asked(&recommender, (&[5], Some(&[0])), false);
    // Both users' training parts, two items each.
    for (before, next) in [(0, 1), (3, 4)] {
        let title = |item: usize| TITLES[item].unwrap();
        let told = format!(
            "A customer chose: {}\nThen this customer chose: {}\n\n",
            title(before),
            title(next)
        );
        assert!(shown.text.contains(&told), "{}", shown.text);
    }
    assert!(shown.text.ends_with("A customer chose: Alien\nThen this customer chose:"));
}

#[test]
fn what_a_text_model_cannot_be_told_is_refused_in_the_study() {
    let with = |evaluate: &str, template: &str, more: &str| {
        let text = format!(
            "[study]\nname = \"s\"\nseeds = [1]\n[dataset.demo]\n{evaluate}\n[[arm]]\nname = \"a\"\n\
             [arm.recommender.text-language-model]\nprompt = {{ template = \"{template}\" }}\n{more}"
        );
        tastemaker::study::parse("s.toml", &text, &[]).map(drop).map_err(|error| error.to_string())
    };
    let study = |evaluate: &str, template: &str| with(evaluate, template, "");
    assert_eq!(study("[evaluate]\nsampled = 19", "{{ history }}"), Ok(()));
    assert_eq!(with("", "{{ history }}", "verbalizer = { constrained-titles = {} }"), Ok(()));
    let words = "verbalizer = { answer-words = {} }";
    let problem = with("[evaluate]\nsampled = 19", "{{ history }}", words).unwrap_err();
    assert!(problem.contains("expected one that speaks of item"), "{problem}");
    let problem = study("[evaluate]\nsampled = 19", "tallrec").unwrap_err();
    assert!(problem.contains("expected one that does not speak of item"), "{problem}");
    let problem = study("", "{{ history }}").unwrap_err();
    assert!(problem.contains("cannot rank over the whole catalog; set sampled"), "{problem}");
    // What can name what does not exist is measured by it.
    let text = "[study]\nname = \"s\"\nseeds = [1]\n[dataset.demo]\n[[arm]]\nname = \"a\"\n\
                [arm.recommender.text-language-model]\nverbalizer = { written-titles = {} }";
    let free = tastemaker::study::parse("s.toml", text, &[]).unwrap();
    assert_eq!(free.evaluate.metrics.last().unwrap().as_dyn().label(), "invalid-rate");
    let problem = study("[evaluate]\nsampled = 19", "{{ histories }}").unwrap_err();
    assert!(problem.contains("did you mean \"history\"?"), "{problem}");
}

#[test]
fn a_model_behind_an_endpoint_writes_titles_and_is_asked_once() {
    let (data, seeds, folder) = (data(), SeedTree::new(1), tempfile::tempdir().unwrap());
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let context = context((&data, &split, &others), seeds, Some(folder.path()));
    let answer = "Here they are:\n1. Alien\n2. Citizen Kane\n3. Sense & Sensibility\n4. Alien\n";
    let body = format!("{{\"choices\": [{{\"message\": {{\"content\": {answer:?}}}}}]}}");
    let (url, asked) = server(vec![(200, "", body)]);
    let endpoint: Endpoint =
        toml::from_str(&format!("url = {url:?}\nmodel = \"large\"\nretries = 0")).unwrap();
    let mut recommender = TextLanguageModel {
        endpoint: Some(endpoint),
        verbalizer: AnyVerbalizer::WrittenTitles(WrittenTitles::default()),
        ..TextLanguageModel::default()
    };
    recommender.prompt.template = "llmrank-sequential".to_owned();
    recommender.prompt.system = "You rank films.".to_owned();
    assert!(recommender.problems().is_empty(), "{:?}", recommender.problems());
    let given = Given { data: &data, split: &split, others: &others };
    assert!(recommender.unsuitable(&given).is_empty());
    let ties = TieOrder::new(6, &seeds);
    let options = RankOptions { n: 6, allow_seen: false, ties: &ties };
    let (history, candidates) = ([0, 1].map(ItemId), [4, 5, 3].map(ItemId));
    let query = RecQuery { user: None, history: &history, candidates: Some(&candidates) };
    let ask = || recommender.fit(&context).unwrap().recommend(&[query], &options);
    let list = ask().unwrap().remove(0);
    assert_eq!((&list.items[..], list.invalid), (&[5, 4].map(ItemId)[..], 1));
    let asked: serde_json::Value = serde_json::from_str(&asked.recv().unwrap().1).unwrap();
    assert_eq!(asked["messages"][0]["content"], "You rank films.");
    let told = asked["messages"][1]["content"].as_str().unwrap();
    assert!(told.contains("2. Star Wars") && told.contains("2. Alien"), "{told}");
    // Another run of the same is answered from what was kept; another question is not.
    assert!(ask().unwrap().remove(0) == list);
    let other = RecQuery { history: &history[..1], ..query };
    let problem = recommender.fit(&context).unwrap().recommend(&[other], &options).unwrap_err();
    let source = std::error::Error::source(&problem).map(ToString::to_string);
    assert!(source.unwrap_or_default().contains("does not answer"), "{problem}");
    // It tells no probabilities.
    recommender.verbalizer = AnyVerbalizer::Likelihood(Likelihood::default());
    let problems: Vec<String> = recommender.problems().iter().map(ToString::to_string).collect();
    assert!(problems[0].contains("expected written-titles"), "{problems:?}");
}

#[test]
fn a_small_model_writes_titles_itself() {
    let Some(path) = smollm() else { return };
    let titles = WrittenTitles { most_tokens: 40, similar: 0.9 };
    let recommender = told("llmrank-sequential", AnyVerbalizer::WrittenTitles(titles), &path);
    let (list, shown) = asked(&recommender, (&[0, 1], Some(&[5, 3, 4])), false);
    // What it says, as it goes on by itself.
    let model = CausalModel::read(&path, Precision::F32).unwrap();
    let tokenizer = TextTokenizer::read_gguf(&path).unwrap();
    let stop = tokenizer.token("<|im_end|>").unwrap();
    let written = model.generate(&shown.tokens, 40, &[stop]).unwrap();
    let text = tokenizer.decode(&written).unwrap().to_lowercase();
    let named = list.items.len() + list.invalid;
    assert!(named > 0 && named <= text.lines().count(), "{text:?}: {list:?}");
    for item in &list.items {
        let title = TITLES[item.index()].unwrap().to_lowercase();
        assert!(text.contains(&title), "{title} is not in {text:?}");
    }
}

#[test]
fn names_of_models_on_hubs_become_paths_wherever_a_model_can_be_said() {
    let text = r#"
[study]
name = "hub"
seeds = [1]
[dataset.demo]
[search]
trials = 2
[[arm]]
name = "a"
recommender = { text-similarity = { model = "hub:one/Encoder" } }
[arm.space]
model = { one-of = ["hub:one/Other@v2", "models/other-one"] }
[[arm]]
name = "b"
[arm.recommender.text-language-model]
model = "hub:two/small-gguf/q4.gguf"
[[arm]]
name = "c"
[arm.recommender.text-language-model]
verbalizer = { written-titles = {} }
endpoint = { url = "http://localhost:1/v1", model = "hub:as/it-is" }
"#;
    let study =
        tastemaker::study::parse("s.toml", text, &["evaluate.sampled=5".to_owned()]).unwrap();
    let all: Vec<(&str, &str)> =
        study.hub.iter().map(|hub| (&hub.model[..], &hub.revision[..])).collect();
    assert_eq!(all, [("one/Encoder", "main"), ("one/Other", "v2"), ("two/small-gguf", "main")]);
    let written = study.to_toml().unwrap();
    assert!(written.contains("\"models/small-gguf/q4.gguf\"") && written.contains("hub:as/it-is"));
    assert!(
        written.contains("\"models/encoder\"") && written.contains("\"models/other\""),
        "{written}"
    );
    let twice = text.replace("one/Other@v2", "one/Encoder@v2");
    let error = tastemaker::study::parse("s.toml", &twice, &["evaluate.sampled=5".to_owned()]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("one/Encoder at main alone, which the study names too"), "{error}");
    // What was read back is the same study.
    let again = tastemaker::study::parse("s.toml", &written, &[]).unwrap();
    assert!(again.hub.is_empty() && again.one(&again.arm[0], 1) == study.one(&study.arm[0], 1));
}
