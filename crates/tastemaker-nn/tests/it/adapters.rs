use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::adapters::{
    AnyAdapter, Bottleneck, Lora, ONE_OF_EACH, PersonalPrompt, Place, Prefix, Projection,
    SoftPrompt, SpecialTokens, Target,
};
use tastemaker_nn::backbones::{AnyBackbone, Decoder, Encoder};
use tastemaker_nn::fused::{FeedForward, Norm, Positions, Precision};
use tastemaker_nn::parameters::Group;
use tastemaker_nn::transformer::{Input, Pass, TABLE, Transformer};

use crate::gradients::{
    VALUES, check_gradients, enlarge, loss, model_on, models, models_on, models_with, profiles,
    with_encoded,
};

/// Every adapter, those with settings that change what they do in each form.
fn adapters() -> Vec<AnyAdapter> {
    let soft = |tokens, inner_size, place| {
        AnyAdapter::SoftPrompt(SoftPrompt { tokens, inner_size, place })
    };
    let attributes = vec!["age".to_owned(), "gender".to_owned()];
    vec![
        AnyAdapter::Bottleneck(Bottleneck { size: 5 }),
        AnyAdapter::Lora(Lora { rank: 3, ..Lora::default() }),
        AnyAdapter::Prefix(Prefix { tokens: 2, inner_size: 0 }),
        AnyAdapter::Prefix(Prefix { tokens: 3, inner_size: 7 }),
        AnyAdapter::Projection(Projection { size: 6 }),
        AnyAdapter::PersonalPrompt(PersonalPrompt { attributes, tokens: 2, inner_size: 6 }),
        soft(3, 0, Place::Before),
        soft(2, 7, Place::Before),
        soft(3, 0, Place::After),
        soft(1, 7, Place::After),
        special(Place::Before),
        special(Place::After),
    ]
}

fn special(place: Place) -> AnyAdapter {
    let tokens = vec!["next-item".to_owned(), "of-a-shop".to_owned()];
    AnyAdapter::SpecialTokens(SpecialTokens { tokens, place })
}

/// Each adapter alone, and prompts of all kinds together.
fn sets() -> Vec<Vec<AnyAdapter>> {
    let (all, prompts) = (adapters(), adapters());
    let names = ["prompt.prefix", "prompt.personal-prompt", "prompt.soft-prompt"];
    let names = names.into_iter().chain(["prompt.soft-prompt-after", "prompt.special-tokens"]);
    let first = |name| prompts.iter().find(|adapter| adapter.prefix() == name).unwrap().clone();
    all.into_iter().map(|adapter| vec![adapter]).chain([names.map(first).collect()]).collect()
}

/// The backbones, and one with other choices, to which adapters must fit too.
fn backbones_on(device: &Device, dropout: f32) -> Vec<(&'static str, Transformer)> {
    let decoder = Decoder {
        embedding_size: Some(16),
        max_length: Some(12),
        dropout: Some(dropout),
        norm: Norm::Rms,
        feed_forward: FeedForward::Swiglu,
        positions: Positions::Rotary,
        ..Decoder::default()
    };
    let model = model_on(device, &AnyBackbone::Decoder(decoder));
    models_on(device, dropout).into_iter().chain([("modern decoder", model)]).collect()
}

/// Every backbone with every adapter, large enough to matter.
fn adapted(dropout: f32) -> Vec<(String, Transformer)> {
    adapted_on(&Device::Cpu, dropout)
}

pub(crate) fn adapted_on(device: &Device, dropout: f32) -> Vec<(String, Transformer)> {
    let mut all = Vec::new();
    for adapters in sets() {
        for (backbone, model) in backbones_on(device, dropout) {
            let mut model = model.with_values(VALUES as usize);
            for adapter in &adapters {
                model.insert(adapter, &SeedTree::new(6)).unwrap();
            }
            enlarge(&model, |name| !Group::of(name).is_backbone());
            all.push((format!("{backbone} with {adapters:?}"), model));
        }
    }
    all
}

fn histories() -> Vec<Vec<u32>> {
    vec![vec![1, 2, 3], vec![4], (0..12).collect()]
}

fn close(what: &str, a: &[f32], b: &[f32]) {
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{what}: {a} against {b}");
    }
}

/// The histories of people of whom different things are known.
fn input(model: &Transformer) -> Input {
    with_encoded(model, Input { profiles: profiles(3), ..Input::of(&histories()) })
}

fn answers(model: &Transformer) -> Vec<f32> {
    model.frozen(Precision::F32).unwrap().last_hidden(&input(model)).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_adapter_on_every_backbone_has_the_gradients_of_its_difference_quotients() {
    for (what, mut model) in adapted(0.1) {
        // Alone, as in parameter-efficient tuning, and together with the backbone.
        model.choose(|name| !Group::of(name).is_backbone());
        check_gradients(&what, &model);
        model.choose(|_| true);
        check_gradients(&what, &model);
    }
}

#[test]
fn what_learns_through_an_adapter_answers_as_it_learnt() {
    for (what, model) in adapted(0.0) {
        let input = input(&model);
        let hidden = model.states(&input, Pass::default()).unwrap();
        let rows: Vec<u32> = input.lanes.last_tokens().map(|row| row as u32).collect();
        let rows = Tensor::new(rows, &Device::Cpu).unwrap();
        close(&what, &values(&hidden.index_select(&rows, 0).unwrap()), &answers(&model));
    }
}

#[test]
fn a_fresh_adapter_is_as_if_it_were_not_there() {
    for adapter in adapters() {
        if adapter.as_dyn().prompt_length() > 0 {
            continue;
        }
        for (backbone, mut model) in models() {
            let before = answers(&model);
            model.insert(&adapter, &SeedTree::new(6)).unwrap();
            assert!(before == answers(&model), "{backbone} with {adapter:?}");
        }
    }
}

#[test]
fn merged_finds_the_same_and_removed_is_the_backbone_again() {
    for (what, mut model) in adapted(0.1) {
        let with = answers(&model);
        model.merge().unwrap();
        close(&what, &with, &answers(&model));
        let mergeable = model.adapters().is_empty();
        assert_eq!(mergeable, what.contains("Lora"), "{what}");
        if mergeable {
            continue;
        }
        model.remove_adapters();
        assert!(model.parameters().iter().all(|(name, _)| Group::of(name).is_backbone()));
        assert!(with != answers(&model), "{what} does nothing");
    }
}

#[test]
fn only_what_is_chosen_moves() {
    for (what, mut model) in adapted(0.1) {
        model.choose(|name| !Group::of(name).is_backbone());
        let all = |model: &Transformer| -> BTreeMap<String, Vec<f32>> {
            let names = model.parameters().iter().map(|(name, _)| name.to_owned());
            names.map(|name| (name.clone(), model.parameters().values(&name).unwrap())).collect()
        };
        let before = all(&model);
        let mut optimiser = AdamW::new(model.parameters(), 0.1);
        let gradients = model.gradients(&loss(&model)).unwrap();
        optimiser.step(model.parameters(), &gradients, 1e-2, 0.0).unwrap();
        for (name, after) in all(&model) {
            let stays = Group::of(&name).is_backbone();
            assert_eq!(after == before[&name], stays, "{what}: {name}");
        }
    }
}

#[test]
fn an_adapter_that_does_not_fit_is_refused() {
    let (_, mut model) = models().remove(0);
    let lora = AnyAdapter::Lora(Lora { rank: 17, ..Lora::default() });
    let error = model.insert(&lora, &SeedTree::new(6)).unwrap_err().to_string();
    assert_eq!(error, "rank is 17, expected a number from 1 to 16");
    let (_, mut hstu) = models().pop().unwrap();
    let targets = vec![Target::Qkv, Target::FeedForwardIn];
    let lora = AnyAdapter::Lora(Lora { targets, ..Lora::default() });
    let error = hstu.insert(&lora, &SeedTree::new(6)).unwrap_err().to_string();
    assert_eq!(
        error,
        "targets is [\"qkv\", \"feed-forward-in\"], expected [\"qkv\", \"attention-out\"] or one of them, the matrices that an HSTU's block has"
    );
    let soft = AnyAdapter::SoftPrompt(SoftPrompt::default());
    model.insert(&soft, &SeedTree::new(6)).unwrap();
    let error = model.insert(&soft, &SeedTree::new(6)).unwrap_err().to_string();
    assert_eq!(error, format!("an adapter is soft-prompt, expected {ONE_OF_EACH}"));
    let soft = SoftPrompt { place: Place::Within, ..SoftPrompt::default() };
    let error = model.insert(&AnyAdapter::SoftPrompt(soft), &SeedTree::new(6)).unwrap_err();
    assert!(error.to_string().contains("place is within, expected before or after"), "{error}");
    let after = AnyAdapter::SoftPrompt(SoftPrompt { place: Place::After, ..SoftPrompt::default() });
    model.insert(&after, &SeedTree::new(6)).unwrap();
    let long = |tokens| SoftPrompt { tokens, ..SoftPrompt::default() };
    let names = |n: usize| (0..n).map(|i| format!("t-{i}")).collect();
    let attributes = vec!["age".to_owned()];
    for (adapter, n) in [
        (AnyAdapter::SoftPrompt(long(13)), 13),
        (AnyAdapter::SoftPrompt(long(0)), 0),
        (AnyAdapter::Prefix(Prefix { tokens: 99, inner_size: 0 }), 99),
        (AnyAdapter::SpecialTokens(SpecialTokens { tokens: names(13), place: Place::After }), 13),
        (AnyAdapter::PersonalPrompt(PersonalPrompt { attributes, tokens: 14, inner_size: 8 }), 14),
    ] {
        let (_, mut model) = models().remove(0);
        let error = model.insert(&adapter, &SeedTree::new(6)).unwrap_err().to_string();
        let expected = "1 to 12, the backbone's max-length";
        assert_eq!(error, format!("the number of a prompt's tokens is {n}, expected {expected}"));
    }
    let nobody = AnyAdapter::PersonalPrompt(PersonalPrompt::default());
    let error = model.insert(&nobody, &SeedTree::new(6)).unwrap_err().to_string();
    assert_eq!(error, "attributes is [], expected one of the users' or more, each once");
}

/// A decoder and an encoder without embeddings of places.
fn placeless() -> Vec<(bool, Transformer)> {
    let (embedding_size, max_length, dropout) = (Some(16), Some(12), Some(0.0));
    let positions = Positions::Rotary;
    let decoder = Decoder { embedding_size, max_length, dropout, positions, ..Decoder::default() };
    let encoder = Encoder { embedding_size, max_length, dropout, positions, ..Encoder::default() };
    let all = [(true, AnyBackbone::Decoder(decoder)), (false, AnyBackbone::Encoder(encoder))];
    let model = |(causal, backbone)| {
        let model = Transformer::new(&backbone, 30, &SeedTree::new(5)).unwrap();
        enlarge(&model, |_| true);
        (causal, model)
    };
    all.into_iter().map(model).collect()
}

#[test]
fn a_prompt_is_read_as_tokens_in_its_place_would_be() {
    let tokens = ["next-item", "of-a-shop"];
    for place in [Place::Before, Place::After] {
        for (causal, mut model) in placeless() {
            let longer = histories().into_iter().map(|mut history| {
                history.truncate(9);
                match place {
                    Place::Before => [&[20, 21], &history[..]].concat(),
                    Place::After | Place::Within => [&history[..], &[20, 21]].concat(),
                }
            });
            let longer: Vec<Vec<u32>> = longer.collect();
            let expected = model.states(&Input::of(&longer), Pass::default()).unwrap();
            // The last token of a causal model is read at the end, that of another where it stands.
            let back = if place == Place::After && !causal { 2 } else { 0 };
            let lanes = Input::of(&longer).lanes;
            let rows: Vec<u32> = lanes.last_tokens().map(|row| (row - back) as u32).collect();
            let rows = Tensor::new(rows, &Device::Cpu).unwrap();
            let expected = values(&expected.index_select(&rows, 0).unwrap());

            let adapter = special(place);
            model.insert(&adapter, &SeedTree::new(6)).unwrap();
            let all: BTreeMap<String, Vec<f32>> = model
                .parameters()
                .iter()
                .map(|(name, _)| (name.to_owned(), model.parameters().values(name).unwrap()))
                .collect();
            let row = |name: &str| {
                let i = tokens.iter().position(|token| name.ends_with(token))?;
                Some(&all[TABLE][(20 + i) * 16..(21 + i) * 16])
            };
            model.parameters().set(|name, _| Ok(row(name).unwrap_or(&all[name]))).unwrap();
            let histories: Vec<Vec<u32>> = histories()
                .into_iter()
                .map(|history| history.into_iter().take(9).collect())
                .collect();
            let frozen = model.frozen(Precision::F32).unwrap();
            let found = frozen.last_hidden(&Input::of(&histories)).unwrap();
            close(&format!("{place:?}, causal {causal}"), &found, &expected);
        }
    }
}

#[test]
fn what_stands_after_is_seen_by_nothing_of_a_causal_sequence_and_by_all_of_another() {
    for (backbone, mut model) in models_with(0.0) {
        let rows = |model: &Transformer| -> Vec<Vec<f32>> {
            let states = model.states(&input(model), Pass::default()).unwrap();
            states.to_vec2().unwrap()
        };
        let before = rows(&model);
        let soft = SoftPrompt { tokens: 3, inner_size: 0, place: Place::After };
        model.insert(&AnyAdapter::SoftPrompt(soft), &SeedTree::new(6)).unwrap();
        let after = rows(&model);
        let last: Vec<usize> = input(&model).lanes.last_tokens().collect();
        for (row, (before, after)) in before.iter().zip(&after).enumerate() {
            let same = ["decoder", "hstu"].contains(&backbone) && !last.contains(&row);
            assert_eq!(before == after, same, "{backbone}, row {row}");
        }
    }
}

#[test]
fn a_personal_prompt_depends_on_what_is_known_and_begins_as_one_for_everybody() {
    let attributes = vec!["gender".to_owned()];
    let adapter =
        AnyAdapter::PersonalPrompt(PersonalPrompt { attributes, tokens: 2, inner_size: 6 });
    for (backbone, model) in models_with(0.0) {
        let mut model = model.with_values(3);
        model.insert(&adapter, &SeedTree::new(6)).unwrap();
        let of = |model: &Transformer, profiles: [Vec<u32>; 3]| {
            let mut input =
                Input { profiles: profiles.into(), ..Input::of(&vec![vec![1, 2, 3]; 3]) };
            input.encoded = model.shape().has_encoder().then(|| Arc::new(input.clone()));
            let found = model.frozen(Precision::F32).unwrap().last_hidden(&input).unwrap();
            found.chunks(16).map(<[f32]>::to_vec).collect::<Vec<_>>()
        };
        let of_nobody = || [vec![], vec![], vec![]];
        let fresh = of(&model, [vec![0], vec![1, 2], vec![]]);
        assert!(fresh[0] == fresh[1] && fresh[1] == fresh[2], "{backbone}");
        assert!(fresh == of(&model, of_nobody()), "{backbone}");
        enlarge(&model, |name| name.starts_with("prompt."));
        let found = of(&model, [vec![0], vec![1, 2], vec![]]);
        assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2], "{backbone}");
        let unknown = of(&model, of_nobody());
        close(backbone, &found[2], &unknown[2]);
        let swapped = of(&model, [vec![2, 1], vec![], vec![0]]);
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            close(backbone, &swapped[a], &found[b]);
        }
        let input = Input { profiles: profiles(2), ..Input::of(&histories()) };
        let input = with_encoded(&model, input);
        let error = model.states(&input, Pass::default()).unwrap_err().to_string();
        assert_eq!(error, "profiles is 2, expected 3, one a sequence");
    }
}

#[test]
fn one_thread_and_three_learn_the_same_through_every_adapter() {
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let of = |(what, model): (String, Transformer)| {
                let gradients = model.gradients(&loss(&model)).unwrap();
                let names = model.parameters().iter();
                let all = names.map(|(name, variable)| {
                    (name.to_owned(), gradients.values(name, variable.elem_count()).unwrap())
                });
                (what, all.collect::<BTreeMap<_, _>>())
            };
            adapted(0.1).into_iter().map(of).collect::<BTreeMap<_, _>>()
        })
    };
    assert!(gradients(1) == gradients(3));
}
