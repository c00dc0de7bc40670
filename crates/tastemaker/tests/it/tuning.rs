use std::path::Path;

use serde_json::json;
use tastemaker::core::catalog::{Attribute, Catalog, Column};
use tastemaker::core::splits::{LeaveLastOut, Split};
use tastemaker::core::{
    Dataset, Interactions, ItemId, RankOptions, RecQuery, Recommender, SeedTree, TieOrder,
};
use tastemaker::nn::adapters::{AnyAdapter, Bottleneck, Lora, SoftPrompt};
use tastemaker::nn::checkpoint::Checkpoint;
use tastemaker::paradigms::{
    AnyParadigm, FinetuneExtra, FinetuneFull, FixedPromptTuning, Pretrain, PromptAndModelTuning,
    PromptTuning,
};
use tastemaker::prompts::Prompting;
use tastemaker::recommenders::{
    FitContext, FitRecommender, Given, Others, TextLanguageModel, Tuning,
};
use tastemaker::train::Silent;
use tastemaker::verbalizers::{AnswerWords, AnyVerbalizer, Likelihood};

const ITEMS: u32 = 10;

/// A model of random numbers over a few words, as `transformers` would leave it.
fn write_model(folder: &Path) {
    let (width, inner, keys) = (32, 48, 16);
    let words = ["<unk>", "<s>", "</s>", "will", "like", "yes", "no", "?"].map(str::to_owned);
    let words: Vec<String> = words.into_iter().chain((0..ITEMS).map(|i| format!("w{i}"))).collect();
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
        let value = |i: usize| ((i * 37 + seed * 11) as f32 * 0.7).sin() * 0.2;
        let value = move |i| if norm { 1.0 } else { value(i) };
        let n = dimensions.iter().product();
        (name, (dimensions, (0..n).map(value).collect()))
    };
    let tensors = all.into_iter().enumerate().map(with_values).collect();
    Checkpoint { about: (), tensors }.write(&folder.join("model.safetensors")).unwrap();
}

/// Everybody meets one item after the other, from different ones on.
fn data() -> Dataset {
    let title = |i: u32| Some(format!("w{i}"));
    let column = Column::Text((0..ITEMS).map(title).collect());
    let of = |user: u32| (0..6).map(|i| ItemId((user + i) % ITEMS)).collect::<Vec<_>>();
    Dataset {
        users: (0..ITEMS).map(|user| user.to_string()).collect(),
        items: (0..ITEMS).map(|item| item.to_string()).collect(),
        interactions: Interactions::from_sequences((0..ITEMS).map(of)),
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
    ] {
        let name = paradigm.name();
        let run = tempfile::tempdir().unwrap();
        let context = FitContext {
            data: &data,
            split: &split,
            seeds,
            checkpoints: Some(run.path()),
            pretrained: None,
            others: &others,
            allow_seen: false,
            observer: &Silent,
        };
        let settings = names(model.path(), paradigm);
        let given = Given { data: &data, split: &split, others: &others };
        assert!(settings.problems().is_empty() && settings.unsuitable(&given).is_empty());
        let before = TextLanguageModel { tuning: None, ..settings.clone() };
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
    let (data, seeds) = (data(), SeedTree::new(1));
    let split = LeaveLastOut {}.split(&data, &seeds).unwrap();
    let others = Others::default();
    let mut settings = names(model.path(), AnyParadigm::FinetuneFull(FinetuneFull::default()));
    settings.prompt.template =
        "{% for item in history %}{{ item.title }} {% endfor %}will like {{ item.title }} ? "
            .to_owned();
    let [good, bad] = ["yes", "no"].map(|word| vec![word.to_owned()]);
    settings.verbalizer = AnyVerbalizer::AnswerWords(AnswerWords { good, bad });
    let context = FitContext {
        data: &data,
        split: &split,
        seeds,
        checkpoints: None,
        pretrained: None,
        others: &others,
        allow_seen: false,
        observer: &Silent,
    };
    let before = TextLanguageModel { tuning: None, ..settings.clone() };
    let [before, after] = [before, settings].map(|of| right(&*of.fit(&context).unwrap()));
    // Five questions of each kind: enough to do better than chance, not to know it all.
    assert!(after > 0.15 && after > before, "{before} to {after}");
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
