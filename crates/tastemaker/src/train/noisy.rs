//! Steps that bound what a user changes, and hide it in noise.

use tastemaker_core::SeedTree;
use tastemaker_nn::adamw::AdamW;
use tastemaker_nn::gradients::Gradients;
use tastemaker_nn::transformer::Transformer;

use super::trainer::Losses;
use super::{ObjectiveLoss, Privacy, Trainer, Window};
use crate::Result;

/// All windows of a user.
type OfUser<'w> = &'w [Window<'w>];

impl Trainer<'_> {
    /// The probability with which a private step takes a user.
    pub(super) fn rate(&self) -> f64 {
        (self.settings.batch_size as f64 / self.windows.n_users() as f64).min(1.0)
    }

    /// An epoch of private steps; returns the mean losses of the steps. See [`Privacy`].
    pub(super) fn private_epoch(
        &self,
        privacy: Privacy,
        epoch: usize,
        model: &Transformer,
        optimiser: &mut AdamW,
    ) -> Result<(f64, Vec<ObjectiveLoss>)> {
        let seeds = self.seeds.child("epoch").index(epoch as u64);
        let users: Vec<OfUser<'_>> = self.windows.by_user().collect();
        let (rate, steps) = (self.rate(), self.steps_per_epoch());
        let mut losses = Losses::of(self.questions);
        let mut told = 0;
        for seeds in (0..steps as u64).map(|step| seeds.index(step)) {
            let mut rng = seeds.child("users").rng();
            let taken = users.iter().filter(|_| rand::Rng::random_bool(&mut rng, rate));
            let taken: Vec<OfUser<'_>> = taken.copied().collect();
            let (loss, mut sum) =
                self.clipped_sum((privacy.clip, epoch), model, (&taken, &seeds), &mut losses)?;
            let deviation = privacy.noise * privacy.clip;
            sum.add_noise(deviation, model.parameters(), &seeds.child("noise"))?;
            // Not by how many were taken, which tells of them.
            sum.scale(1.0 / (rate * users.len() as f64))?;
            self.learn(epoch, model, optimiser, (loss, &sum), 0.0)?;
            losses.total += loss;
            told += usize::from(!taken.is_empty());
        }
        // Of steps that took nobody there is no loss.
        Ok((losses.total / told.max(1) as f64, self.apart(&losses)))
    }

    /// The sum of the gradients of each of the `users` by itself, none longer than `clip`, and their
    /// mean loss; adds each question's own loss to `losses`.
    fn clipped_sum(
        &self,
        (clip, epoch): (f64, usize),
        model: &Transformer,
        (users, seeds): (&[OfUser<'_>], &SeedTree),
        losses: &mut Losses,
    ) -> Result<(f64, Gradients)> {
        let (counts, mut total, mut sum) = (self.counting(epoch), 0.0, Gradients::default());
        for windows in users {
            let seeds = seeds.child("user").index(u64::from(windows[0].user.0));
            let parts = self.pack(&counts, windows, &seeds);
            let (loss, mut gradients) = self.gradients(epoch, model, (&parts, &seeds), losses)?;
            let norm = gradients.norm()?;
            // What is no number has no length to be bounded, and must not pass.
            if !norm.is_finite() {
                continue;
            }
            if norm > clip {
                gradients.scale(clip / norm)?;
            }
            sum.add(gradients)?;
            total += loss;
        }
        Ok((total / users.len().max(1) as f64, sum))
    }
}

#[cfg(test)]
mod tests {
    use tastemaker_core::splits::SplitSets;
    use tastemaker_core::{Dataset, Interactions, ItemId};
    use tastemaker_nn::backbones::{AnyBackbone, Decoder};

    use super::*;
    use crate::objectives::Softmax;
    use crate::train::{Facts, Question, Schedule, Silent, Training, Windows};

    const N_ITEMS: u32 = 12;

    /// Six users of ten items each, in windows of seven and three.
    fn data() -> Dataset {
        let of =
            |user: u32| (0..10).map(|i| ItemId((user * 5 + i * (user + 1)) % N_ITEMS)).collect();
        Dataset {
            users: (0..6).map(|user| user.to_string()).collect(),
            items: (0..N_ITEMS).map(|item| item.to_string()).collect(),
            interactions: Interactions::from_sequences((0..6).map(of).collect::<Vec<Vec<_>>>()),
            ..Dataset::default()
        }
    }

    /// Asks of a trainer that takes this many users a step, and a model, what `of` says.
    fn with<T>(batch_size: usize, of: impl Fn(&Trainer<'_>, &Transformer) -> T) -> T {
        let (embedding_size, max_length, dropout) = (Some(32), Some(6), Some(0.0));
        let decoder = Decoder { embedding_size, max_length, dropout, ..Decoder::default() };
        let model =
            Transformer::new(&AnyBackbone::Decoder(decoder), 14, &SeedTree::new(1)).unwrap();
        let data = data();
        let split = SplitSets::for_learning(&data, false);
        let facts = Facts::new(&data, &split, model.shape());
        let windows = Windows::new(&data, &split, 7);
        let objective = Softmax::default();
        let (name, prefix, schedule) = ("softmax", String::new(), Schedule::default());
        let questions = [Question { name, objective: &objective, prefix, schedule }];
        let settings = Training { batch_size, ..Training::default() };
        let trainer = Trainer {
            settings: &settings,
            questions: &questions,
            windows: &windows,
            facts: &facts,
            seeds: SeedTree::new(2),
            checkpoint: None,
            observer: &Silent,
        };
        of(&trainer, &model)
    }

    /// Every number of the gradients.
    fn numbers(gradients: &Gradients, model: &Transformer) -> Vec<f64> {
        let of = |(name, v): (&str, &candle_core::Var)| {
            let n = v.elem_count();
            gradients.values(name, n).unwrap().unwrap_or_else(|| vec![0.0; n])
        };
        model.parameters().learning().flat_map(of).map(f64::from).collect()
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn a_user_changes_the_sum_by_no_more_than_the_clip() {
        with(6, |trainer, model| {
            let users: Vec<OfUser<'_>> = trainer.windows.by_user().collect();
            assert_eq!((users.len(), users[0].len()), (6, 2));
            let sum = |users: &[OfUser<'_>], clip| {
                let mut losses = Losses::of(trainer.questions);
                let seeds = SeedTree::new(3);
                let sum = trainer.clipped_sum((clip, 0), model, (users, &seeds), &mut losses);
                numbers(&sum.unwrap().1, model)
            };
            for without in 0..users.len() {
                let mut others = users.clone();
                others.remove(without);
                let change = |clip| distance(&sum(&users, clip), &sum(&others, clip));
                // Each has more to say than it may.
                let free = change(f64::INFINITY);
                let clip = 0.1 * free;
                let clipped = change(clip);
                assert!((clipped - clip).abs() < 1e-3 * clip, "{clipped}, not {clip}");
                // Who says less than it may is not made louder.
                assert!((change(10.0 * free) - free).abs() < 1e-5 * free);
            }
        });
    }

    #[test]
    fn without_noise_and_with_room_the_sum_is_of_the_means_over_users() {
        with(6, |trainer, model| {
            let users: Vec<OfUser<'_>> = trainer.windows.by_user().collect();
            let mut losses = Losses::of(trainer.questions);
            let seeds = SeedTree::new(3);
            let (loss, mut sum) =
                trainer.clipped_sum((1e9, 0), model, (&users, &seeds), &mut losses).unwrap();
            sum.scale(1.0 / 6.0).unwrap();
            // All have as many questions, so that the mean over all is the mean over users.
            let parts = trainer.pack(&[0], trainer.windows.in_order(), &seeds);
            let (all, plain) = trainer.gradients(0, model, (&parts, &seeds), &mut losses).unwrap();
            assert!((loss - all).abs() < 1e-5, "{loss} {all}");
            let (sum, plain) = (numbers(&sum, model), numbers(&plain, model));
            let size = distance(&plain, &vec![0.0; plain.len()]);
            assert!(distance(&sum, &plain) < 1e-5 * size, "{} {size}", distance(&sum, &plain));
        });
    }

    #[test]
    fn steps_take_as_many_users_as_batch_size_says_in_the_mean() {
        let of = |batch_size| {
            with(batch_size, |trainer, _| {
                let privacy = Some(Privacy::default());
                let settings = Training { privacy, ..trainer.settings.clone() };
                let trainer = Trainer { settings: &settings, seeds: trainer.seeds, ..*trainer };
                (trainer.rate(), trainer.steps_per_epoch())
            })
        };
        assert_eq!(of(2), (2.0 / 6.0, 3));
        assert_eq!(of(4), (4.0 / 6.0, 2));
        assert_eq!(of(50), (1.0, 1));
    }
}
