use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::Rng;
use serde_json::json;
use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::people::{UserAttribute, UserAttributes};
use tastemaker::core::splits::{LeaveLastOut, Split};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RecQuery, Recommender, SeedTree, TieOrder,
};
use tastemaker::memorisation::{MemorisationProbe, Memorised, Who};
use tastemaker::nn::adamw::AdamW;
use tastemaker::nn::adapters::{AnyAdapter, Bottleneck, Lora, Place, SOFT, SoftPrompt};
use tastemaker::nn::checkpoint::Checkpoint;
use tastemaker::nn::fused::{Lanes, Precision};
use tastemaker::nn::text::CausalModel;
use tastemaker::nn::transformer::Pass;
use tastemaker::paradigms::{
    AnyParadigm, FinetuneExtra, FinetuneFull, FixedPromptTuning, Pretrain, PromptAndModelTuning,
    PromptTuning,
};
use tastemaker::prompts::{Prompter, Prompting, Told};
use tastemaker::recommenders::{
    FitContext, FitRecommender, Given, Others, TextLanguageModel, Tuning,
};
use tastemaker::train::{Event, Observer};
use tastemaker::verbalizers::{AnswerWords, AnyVerbalizer, Likelihood, Model, Reader};

use crate::text::context;

const ITEMS: u32 = 10;

/// A model of random numbers over a few words, as `transformers` would leave it.
fn write_model(folder: &Path) {
    let (width, inner, keys) = (32, 48, 16);
    let words = ["<unk>", "<s>", "</s>", "will", "like", "yes", "no", "?"].map(str::to_owned);
    let of_items =
        ["w", "i"].into_iter().flat_map(|of| (0..ITEMS).map(move |i| format!("{of}{i}")));
    let words: Vec<String> = words.into_iter().chain(of_items).collect();
    let n_tokens = words.len();
    let vocabulary: serde_json::Map<_, _> =
        words.into_iter().enumerate().map(|(i, word)| (word, json!(i))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    });
    fs_err::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({
        "model_type": "llama", "hidden_size": width, "num_hidden_layers": 2, "hidden_act": "silu",
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": inner,
        "rms_norm_eps": 1e-5, "vocab_size": n_tokens, "max_position_embeddings": 64,
        "rope_theta": 500.0, "tie_word_embeddings": true,
    });
    fs_err::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![n_tokens, width])];
    all.push(("model.norm.weight".to_owned(), vec![width]));
    for layer in 0..2 {
        for (part, dimensions) in [
            ("self_attn.q_proj.weight", vec![width, width]),
            ("self_attn.k_proj.weight", vec![keys, width]),
            ("self_attn.v_proj.weight", vec![keys, width]),
            ("self_attn.o_proj.weight", vec![width, width]),
            ("input_layernorm.weight", vec![width]),
            ("mlp.gate_proj.weight", vec![inner, width]),
            ("mlp.up_proj.weight", vec![inner, width]),
            ("mlp.down_proj.weight", vec![width, inner]),
            ("post_attention_layernorm.weight", vec![width]),
        ] {
            all.push((format!("model.layers.{layer}.{part}"), dimensions));
        }
    }
    let with_values = |(seed, (name, dimensions)): (usize, (String, Vec<usize>))| {
        let norm = dimensions.len() == 1;
        // What is near in the table must not be alike.
        let mut rng = SeedTree::new(7).index(seed as u64).rng();
        let value = move |_| if norm { 1.0 } else { rng.random_range(-0.2..0.2) };
        let n = dimensions.iter().product();
        (name, (dimensions, (0..n).map(value).collect()))
    };
    let tensors = all.into_iter().enumerate().map(with_values).collect();
    Checkpoint { about: (), tensors }.write(&folder.join("model.safetensors")).unwrap();
}

/// Everybody meets one item after the other, from different ones on.
fn data() -> Dataset {
    data_of(ITEMS)
}

fn data_of(users: u32) -> Dataset {
    let title = |i: u32| Some(format!("w{i}"));
    let column = Column::Text((0..ITEMS).map(title).collect());
    let of = |user: u32| (0..6).map(|i| ItemId((user + i) % ITEMS)).collect::<Vec<_>>();
    Dataset {
        users: (0..users).map(|user| user.to_string()).collect(),
        items: (0..ITEMS).map(|item| format!("i{item}")).collect(),
        interactions: Interactions::from_sequences((0..users).map(of)),
        catalog: Catalog::new(vec![Attribute { name: "title".to_owned(), column }], Some("title")),
        ..Dataset::default()
    }
}

/// Is told of the last items, and says the next one.
fn names(folder: &Path, paradigm: AnyParadigm) -> TextLanguageModel {
    let template = "{% for item in history %}{{ item.title }} {% endfor %}".to_owned();
    TextLanguageModel {
        model: folder.to_owned(),
        prompt: Prompting { template, last_items: 3, ..Prompting::default() },
        verbalizer: AnyVerbalizer::Likelihood(Likelihood {
            calibrated: false,
            ..Likelihood::default()
        }),
        tuning: Some(Tuning {
            paradigm,
            shots: 0,
            validation_shots: 4,
            epochs: 80,
            batch_size: 4,
            learning_rate: 1e-2,
            patience: 80,
            ..Tuning::default()
        }),
        ..TextLanguageModel::default()
    }
}

/// Soft tokens before the titles, between them and after.
const AMONG_WORDS: &str = "{{ soft('P', 2) }} {% for item in history %}{{ item.title }} {{ soft('Q', 1) }} \
                           {% endfor %}{{ soft('R', 2) }}";

fn within() -> SoftPrompt {
    SoftPrompt { tokens: 5, place: Place::Within, ..SoftPrompt::default() }
}

#[test]
fn soft_tokens_stand_among_the_words_of_a_prompt() {
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let prompt = AnyAdapter::SoftPrompt(within()).into();
    let mut settings = names(model.path(), AnyParadigm::PromptTuning(PromptTuning { prompt }));
    let found = settings.problems()[0].to_string();
    assert!(found.contains("without soft tokens, expected one that says where"), "{found}");
    settings.prompt.template = "{{ soft('P', 2) }}".to_owned();
    let found = settings.problems()[0].to_string();
    assert!(found.contains("tokens is 5, expected 2 for place \"within\""), "{found}");
    settings.prompt.template = AMONG_WORDS.to_owned();
    assert!(settings.problems().is_empty());
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let about = (&data, &split, &seeds);
    let prompter = Prompter::new(&settings.prompt, Some(model.path()), about).unwrap();
    let history = [1, 2].map(ItemId);
    let shown = prompter.prompt(&Told { history: &history, ..Told::default() }, 0).unwrap();
    assert_eq!(
        shown.text.split_whitespace().collect::<Vec<_>>().join(" "),
        "[P1][P2] w1 [Q1] w2 [Q1] [R1][R2]"
    );
    let [w1, w2] = [9, 10];
    let soft = [0, 1, 2, 2, 3, 4].map(|number| SOFT + number);
    let [p1, p2, q1, q2, r1, r2] = soft;
    assert_eq!(shown.tokens, [p1, p2, w1, q1, w2, q2, r1, r2]);
    // Nobody teaches these.
    for untaught in [
        TextLanguageModel { tuning: None, ..settings.clone() },
        TextLanguageModel {
            prompt: settings.prompt,
            ..names(model.path(), AnyParadigm::FinetuneFull(FinetuneFull::default()))
        },
    ] {
        let found = untaught.problems()[0].to_string();
        assert!(found.contains("with 5 soft tokens, expected none, or tuning"), "{found}");
    }
    for shipped in ["prompt4nr-continuous", "prompt4nr-hybrid"] {
        let prompting = Prompting { template: shipped.to_owned(), ..Prompting::default() };
        assert!(prompting.n_soft() >= Some(6), "{shipped}");
    }
}

/// The share of histories after which the next item comes first of all.
fn right(recommender: &dyn Recommender) -> f64 {
    let candidates: Vec<ItemId> = (0..ITEMS).map(ItemId).collect();
    let ties = TieOrder::new(ITEMS as usize, &SeedTree::new(1));
    let options = RankOptions { n: 1, allow_seen: true, ties: &ties };
    let next = |first: u32| {
        let history = [0, 1, 2].map(|i| ItemId((first + i) % ITEMS));
        let query = RecQuery { user: None, history: &history, candidates: Some(&candidates) };
        let list = recommender.recommend(&[query], &options).unwrap().remove(0);
        list.items[0] == ItemId((first + 3) % ITEMS)
    };
    (0..ITEMS).filter(|first| next(*first)).count() as f64 / f64::from(ITEMS)
}

#[test]
fn each_paradigm_learns_what_comes_next_and_is_read_back() {
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let soft = || AnyAdapter::SoftPrompt(SoftPrompt { tokens: 4, ..SoftPrompt::default() });
    let within = || AnyAdapter::SoftPrompt(within());
    let lora = AnyAdapter::Lora(Lora { rank: 8, ..Lora::default() });
    for (least, paradigm) in [
        (1.0, AnyParadigm::FinetuneFull(FinetuneFull::default())),
        (1.0, AnyParadigm::FixedPromptTuning(FixedPromptTuning::default())),
        (0.7, AnyParadigm::FinetuneExtra(FinetuneExtra { insert: vec![lora], embeddings: false })),
        (0.3, AnyParadigm::PromptTuning(PromptTuning { prompt: soft().into() })),
        (
            1.0,
            AnyParadigm::PromptAndModelTuning(PromptAndModelTuning {
                prompt: soft().into(),
                staged: true,
            }),
        ),
        (0.3, AnyParadigm::PromptTuning(PromptTuning { prompt: within().into() })),
        (
            1.0,
            AnyParadigm::PromptAndModelTuning(PromptAndModelTuning {
                prompt: within().into(),
                staged: false,
            }),
        ),
    ] {
        let name = paradigm.name();
        let run = tempfile::tempdir().unwrap();
        let context = context((&data, &split, &others), seeds, None);
        let context = FitContext { checkpoints: Some(run.path()), ..context };
        let is_within = format!("{paradigm:?}").contains("Within");
        let mut settings = names(model.path(), paradigm);
        let before = TextLanguageModel { tuning: None, ..settings.clone() };
        if is_within {
            settings.prompt.template = AMONG_WORDS.to_owned();
        }
        let given = Given { data: &data, split: &split, others: &others };
        assert!(settings.problems().is_empty() && settings.unsuitable(&given).is_empty());
        let before = right(&*before.fit(&context).unwrap());
        let fitted = right(&*settings.fit(&context).unwrap());
        assert!(fitted >= least && fitted > before, "{name}: {before} to {fitted}");
        let read = settings.restore(&context).unwrap();
        assert!((right(&*read) - fitted).abs() < f64::EPSILON, "{name} is not read back");
        // What another seed has learnt is not taken for its own.
        let other = FitContext { seeds: SeedTree::new(2), ..context };
        let Err(error) = settings.restore(&other) else { panic!("{name}: another's run is read") };
        assert!(error.to_string().contains("checkpoint of another run"), "{error}");
    }
}

#[test]
fn yes_and_no_are_learnt_from_items_that_were_met_and_that_were_not() {
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (data, seeds) = (data_of(400), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let mut settings = names(model.path(), AnyParadigm::FinetuneFull(FinetuneFull::default()));
    settings.prompt.template =
        "{% for item in history %}{{ item.title }} {% endfor %}will like {{ item.title }} ? "
            .to_owned();
    let [good, bad] = ["yes", "no"].map(|word| vec![word.to_owned()]);
    settings.verbalizer = AnyVerbalizer::AnswerWords(AnswerWords { good, bad });
    let tuning = settings.tuning.as_mut().unwrap();
    (tuning.epochs, tuning.batch_size, tuning.validation_shots) = (25, 16, 50);
    let context = context((&data, &split, &others), seeds, None);
    let before = TextLanguageModel { tuning: None, ..settings.clone() };
    let [before, after] = [before, settings].map(|of| right(&*of.fit(&context).unwrap()));
    assert!(after > 0.6 && before < 0.5, "{before} to {after}");
}

/// Each candidate has a prompt of its own, in which soft tokens stand after what they have in common, and of
/// which longer ones tell less.
#[test]
fn soft_tokens_after_the_item_are_read_too() {
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let prompt = AnyAdapter::SoftPrompt(within()).into();
    let mut settings = names(model.path(), AnyParadigm::PromptTuning(PromptTuning { prompt }));
    settings.prompt.template =
        "{% for item in history %}{{ item.title }} {% endfor %}{{ soft('P', 2) }} \
                                will like {{ item.title }} {{ soft('Q', 3) }}"
            .to_owned();
    settings.prompt.most_tokens = 10;
    let [good, bad] = [vec!["yes".to_owned(), "like yes".to_owned()], vec!["no".to_owned()]];
    settings.verbalizer = AnyVerbalizer::AnswerWords(AnswerWords { good, bad });
    settings.tuning.as_mut().unwrap().epochs = 2;
    assert!(settings.problems().is_empty());
    let others = Others::default();
    let fitted = settings.fit(&context((&data, &split, &others), seeds, None)).unwrap();
    assert!((0.0..=1.0).contains(&right(&*fitted)));
}

/// Is told how many questions are learnt from.
#[derive(Default)]
struct Questions(AtomicUsize);

impl Observer for Questions {
    fn observe(&self, event: &Event) {
        if let Event::Started { users, .. } = event {
            self.0.store(*users, Ordering::Relaxed);
        }
    }
}

#[test]
fn questions_are_learnt_with_another_value_of_what_is_known_of_the_user_too() {
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let full = || AnyParadigm::FinetuneFull(FinetuneFull::default());
    // Of every fifth user nothing is known.
    let people = |values: [&str; 2]| {
        let of = |user: u32| match user % 5 {
            0 => vec![],
            _ => vec![values[user as usize % 2].to_owned()],
        };
        let column = Column::Categories((0..ITEMS).map(of).collect());
        let attribute = Attribute { name: "kind".to_owned(), column };
        UserAttributes::new(vec![UserAttribute { attribute, sensitive: true }])
    };
    let settings = |counterfactual: &[&str]| {
        let mut settings = names(model.path(), full());
        settings.prompt.template.insert_str(0, "{{ user.kind }} ");
        let tuning = settings.tuning.as_mut().unwrap();
        (tuning.epochs, tuning.validation_shots) = (1, 0);
        tuning.counterfactual = counterfactual.iter().map(|name| (*name).to_owned()).collect();
        settings
    };
    let others = Others::default();
    let learnt = |settings: &TextLanguageModel, values| {
        let data = Dataset { people: people(values), ..data() };
        let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
        let questions = Questions::default();
        let context = context((&data, &split, &others), SeedTree::new(1), None);
        let context = FitContext { observer: &questions, ..context };
        let given = Given { data: &data, split: &split, others: &others };
        if let Some(problem) =
            settings.problems().into_iter().chain(settings.unsuitable(&given)).next()
        {
            return Err(problem.to_string());
        }
        settings.fit(&context).map_err(|error| error.to_string())?;
        Ok(questions.0.into_inner())
    };
    assert_eq!(learnt(&settings(&[]), ["yes", "no"]), Ok(10));
    assert_eq!(learnt(&settings(&["kind"]), ["yes", "no"]), Ok(18));
    let refused = |settings: &TextLanguageModel, values, expected: &str| {
        let problem = learnt(settings, values).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    };
    // Words that the model does not know are the same to it.
    let unsaid = "counterfactual: no prompt says another kind otherwise";
    refused(&settings(&["kind"]), ["man", "woman"], unsaid);
    refused(&settings(&["kidn"]), ["yes", "no"], "did you mean \"kind\"?");
    let mut silent = settings(&["kind"]);
    silent.prompt.template = names(model.path(), full()).prompt.template;
    refused(&silent, ["yes", "no"], "since the template speaks of no user");
}

#[test]
fn what_cannot_learn_or_be_read_is_refused() {
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let bottleneck = AnyAdapter::Bottleneck(Bottleneck::default());
    let insert = vec![bottleneck];
    let with = |paradigm| names(model.path(), paradigm);
    let data = data();
    let split = LeaveLastOut {}.split(&data, &SeedTree::new(1)).unwrap();
    let given = Given { data: &data, split: &split, others: &Others::default() };
    let refused = with(AnyParadigm::FinetuneExtra(FinetuneExtra { insert, embeddings: false }));
    let found = refused.unsuitable(&given)[0].to_string();
    assert!(found.contains("bottleneck") && found.contains("a soft-prompt before"), "{found}");
    let found = with(AnyParadigm::Pretrain(Pretrain::default())).problems()[0].to_string();
    assert!(found.contains("pretrain") && found.contains("which is pre-trained"), "{found}");
}

/// Teaches a model lines of ids and titles.
fn memorise(folder: &Path) -> CausalModel {
    let model = CausalModel::trainable(folder).unwrap();
    let mut optimiser = AdamW::new(model.parameters(), 0.0);
    let first_id = 8 + ITEMS;
    for step in 0..300_u32 {
        // In another order each time: the ids, each with its title after it.
        let order = (0..ITEMS)
            .map(|i| (i * [1, 3, 7, 9][step as usize % 4] + step * 7 + step / 10) % ITEMS);
        let tokens: Vec<u32> = order.flat_map(|item| [first_id + item, 8 + item]).collect();
        let n = tokens.len() - 1;
        let lanes = Arc::new(Lanes::new(vec![n]));
        let states = model.forward(tokens[..n].into(), &lanes, Pass::default()).unwrap();
        let classes = (first_id + ITEMS) as usize;
        let table = model.table(Pass::default());
        let loss = table.softmax(&states, tokens[1..].to_vec(), classes).unwrap();
        let gradients = model.gradients(&loss).unwrap();
        optimiser.step(model.parameters(), &gradients, 1e-2, 5.0).unwrap();
    }
    CausalModel::of(model, Precision::F32, "by heart").unwrap()
}

#[test]
fn what_is_known_by_heart_is_told_from_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let probe = MemorisationProbe { items: 10, examples: 2, others: 5, separator: " ".to_owned() };
    let of = |model: CausalModel, seed: u64| {
        let about = (&data, &split, &seeds);
        let prompter = Prompter::new(&Prompting::default(), Some(folder.path()), about).unwrap();
        let reader = Reader { model: Model::Here(model.into()), prompter };
        probe.run(Who::Writes(&reader), &data, &SeedTree::new(seed)).unwrap()
    };
    for seed in 1..4 {
        let known = of(memorise(folder.path()), seed);
        let Memorised { exact: Some(exact), association: Some(association), .. } = &known else {
            panic!()
        };
        assert!(exact.share > 0.7 && association.interval[0] > 0.7, "{known:?}");
        let unknown = of(CausalModel::read(folder.path(), Precision::F32).unwrap(), seed);
        let Memorised { exact: Some(exact), association: Some(association), .. } = &unknown else {
            panic!()
        };
        assert!(exact.share < 0.3 && association.interval[0] < 0.5, "{unknown:?}");
    }
    let few = MemorisationProbe { others: 30, ..probe.clone() };
    let about = (&data, &split, &seeds);
    let prompter = Prompter::new(&Prompting::default(), Some(folder.path()), about).unwrap();
    let model = CausalModel::read(folder.path(), Precision::F32).unwrap();
    let reader = Reader { model: Model::Here(model.into()), prompter };
    let error = few.run(Who::Writes(&reader), &data, &seeds).unwrap_err().to_string();
    assert_eq!(error, "the data is 10 items with titles, expected 33 or more");
}
