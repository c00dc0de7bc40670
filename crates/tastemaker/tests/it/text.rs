use std::path::{Path, PathBuf};

use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::splits::{LeaveLastOut, Split, SplitSets};
use tastemaker::core::{Dataset, Interactions, ItemId, RankOptions, RecQuery, SeedTree, TieOrder};
use tastemaker::nn::fused::Precision;
use tastemaker::nn::text::{CausalModel, SentenceEncoder, TextTokenizer};
use tastemaker::recommenders::{
    FitContext, FitRecommender, Given, Others, TextLikelihood, TextSimilarity,
};
use tastemaker::text::TextEmbeddings;
use tastemaker::train::Silent;

use crate::models::model;

const TITLES: [Option<&str>; 6] = [
    Some("Star Trek: The Motion Picture"),
    Some("Star Wars"),
    None,
    Some("Pride and Prejudice"),
    Some("Sense and Sensibility"),
    Some("Alien"),
];

fn data() -> Dataset {
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

fn context<'a>(
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
    let recommender = TextSimilarity { model: model.clone(), last_items: 2 };
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
    let first = TextEmbeddings::of_items(&data, &model, Some(folder.path())).unwrap();
    assert_eq!(first, TextEmbeddings::of_items(&data, &model, None).unwrap());
    let mut file = tastemaker::nn::checkpoint::Checkpoint::<String>::read(&kept[0]).unwrap();
    file.tensors.get_mut("embeddings").unwrap().1[0] = 7.0;
    file.write(&kept[0]).unwrap();
    let again = TextEmbeddings::of_items(&data, &model, Some(folder.path())).unwrap();
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
    assert!(found[1].contains("nowhere/config.json"), "{found:?}");
    let none = TextSimilarity { last_items: 0, ..TextSimilarity::default() };
    assert_eq!(none.problems().len(), 1);
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
        let recommender = TextLikelihood {
            model: path.clone(),
            template: template.clone(),
            last_items: 2,
            calibrated,
            ..TextLikelihood::default()
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

#[test]
fn a_likelihood_over_the_whole_catalog_and_a_broken_template_are_refused_in_the_study() {
    let study = |evaluate: &str, template: &str| {
        let text = format!(
            "[study]\nname = \"s\"\nseeds = [1]\n[dataset.demo]\n{evaluate}\n[[arm]]\nname = \"a\"\n\
             recommender = {{ text-likelihood = {{ template = \"{template}\" }} }}\n"
        );
        tastemaker::study::parse("s.toml", &text, &[]).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(study("[evaluate]\nsampled = 19", "{{ history }}"), Ok(()));
    let problem = study("", "{{ history }}").unwrap_err();
    assert!(problem.contains("cannot rank over the whole catalog; set sampled"), "{problem}");
    let problem = study("[evaluate]\nsampled = 19", "{{ histories }}").unwrap_err();
    assert!(problem.contains("did you mean \"history\"?"), "{problem}");
}
