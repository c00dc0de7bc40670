//! Dot products of codes in AVX-512 and in AVX2 with FMA. (The compiler by itself turns bytes into
//! numbers four at a time.) Everything here is safe: the instructions come with a token that the
//! machine has them.

use std::arch::x86_64::{__m128i, __m256, __m512};

use pulp::x86::{V3, V4};
use pulp::{NullaryFnOnce, Simd, cast};

use super::{Dots, Factors, Lanes, Quantised};

/// [`Quantised::stripe`], compiled for the instructions of `dots`.
pub(super) fn run(
    dots: impl Dots + Simd,
    matrix: &Quantised,
    first: usize,
    factors: &Factors<'_>,
    out: &mut [f32],
) {
    dots.vectorize(Stripe { dots, matrix, first, factors, out });
}

struct Stripe<'a, D> {
    dots: D,
    matrix: &'a Quantised,
    first: usize,
    factors: &'a Factors<'a>,
    out: &'a mut [f32],
}

impl<D: Dots> NullaryFnOnce for Stripe<'_, D> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.matrix.stripe(self.dots, self.first, self.factors, self.out);
    }
}

impl Dots for V4 {
    #[inline(always)]
    fn four(self, codes: &[[u8; 16]], scales: (&[f32], &[f32]), x: (&[Lanes], &[Lanes])) -> f32 {
        let (f, mask) = (self.avx512f, self.sse2._mm_set1_epi8(15));
        let number = |codes| f._mm512_cvtepi32_ps(f._mm512_cvtepu8_epi32(codes));
        let (mut sum, mut of_offsets) = (f._mm512_setzero_ps(), f._mm512_setzero_ps());
        let scales = scales.0.iter().zip(scales.1);
        let factors = x.0.as_chunks::<2>().0.iter().zip(x.1);
        for ((codes, (scale, offset)), (x, folded)) in codes.iter().zip(scales).zip(factors) {
            let codes: __m128i = cast(*codes);
            let high = self.sse2._mm_and_si128(self.sse2._mm_srli_epi16::<4>(codes), mask);
            let low = self.sse2._mm_and_si128(codes, mask);
            let [first, second]: [__m512; 2] = cast(*x);
            let part = f._mm512_mul_ps(number(low), first);
            let part = f._mm512_fmadd_ps(number(high), second, part);
            sum = f._mm512_fmadd_ps(f._mm512_set1_ps(*scale), part, sum);
            of_offsets = f._mm512_fmadd_ps(f._mm512_set1_ps(*offset), cast(*folded), of_offsets);
        }
        f._mm512_reduce_add_ps(f._mm512_add_ps(sum, of_offsets))
    }

    #[inline(always)]
    fn eight<const N: usize>(self, codes: &[[i8; N]], scales: &[f32], x: &[Lanes]) -> f32 {
        let f = self.avx512f;
        let mut sum = f._mm512_setzero_ps();
        for ((codes, scale), x) in codes.iter().zip(scales).zip(x.chunks_exact(N / 16)) {
            let scale = f._mm512_set1_ps(*scale);
            for (codes, x) in codes.as_chunks::<16>().0.iter().zip(x) {
                let numbers = f._mm512_cvtepi32_ps(f._mm512_cvtepi8_epi32(cast(*codes)));
                sum = f._mm512_fmadd_ps(scale, f._mm512_mul_ps(numbers, cast(*x)), sum);
            }
        }
        f._mm512_reduce_add_ps(sum)
    }
}

impl Dots for V3 {
    #[inline(always)]
    fn four(self, codes: &[[u8; 16]], scales: (&[f32], &[f32]), x: (&[Lanes], &[Lanes])) -> f32 {
        let mask = self.sse2._mm_set1_epi8(15);
        let mut sums = [self.avx._mm256_setzero_ps(); 2];
        let scales = scales.0.iter().zip(scales.1);
        let factors = x.0.as_chunks::<2>().0.iter().zip(x.1);
        for ((codes, (scale, offset)), (x, folded)) in codes.iter().zip(scales).zip(factors) {
            let codes: __m128i = cast(*codes);
            let high = self.sse2._mm_and_si128(self.sse2._mm_srli_epi16::<4>(codes), mask);
            let low = self.sse2._mm_and_si128(codes, mask);
            let x: [__m256; 4] = cast(*x);
            let folded: [__m256; 2] = cast(*folded);
            let [scale, offset] = [scale, offset].map(|of| self.avx._mm256_set1_ps(*of));
            for (i, sum) in sums.iter_mut().enumerate() {
                let eight = |codes: __m128i| {
                    let [first, second]: [u64; 2] = cast(codes);
                    let own: __m128i = cast([if i == 0 { first } else { second }, 0]);
                    self.avx._mm256_cvtepi32_ps(self.avx2._mm256_cvtepu8_epi32(own))
                };
                let part = self.avx._mm256_mul_ps(eight(low), x[i]);
                let part = self.fma._mm256_fmadd_ps(eight(high), x[2 + i], part);
                *sum = self.fma._mm256_fmadd_ps(scale, part, *sum);
                *sum = self.fma._mm256_fmadd_ps(offset, folded[i], *sum);
            }
        }
        total(sums)
    }

    #[inline(always)]
    fn eight<const N: usize>(self, codes: &[[i8; N]], scales: &[f32], x: &[Lanes]) -> f32 {
        let mut sums = [self.avx._mm256_setzero_ps(); 2];
        for ((codes, scale), x) in codes.iter().zip(scales).zip(x.chunks_exact(N / 16)) {
            let scale = self.avx._mm256_set1_ps(*scale);
            for (codes, x) in codes.as_chunks::<16>().0.iter().zip(x) {
                let (codes, x): ([u64; 2], [__m256; 2]) = (cast(*codes), cast(*x));
                for i in 0..2 {
                    let own: __m128i = cast([codes[i], 0]);
                    let numbers = self.avx._mm256_cvtepi32_ps(self.avx2._mm256_cvtepi8_epi32(own));
                    let part = self.avx._mm256_mul_ps(numbers, x[i]);
                    sums[i] = self.fma._mm256_fmadd_ps(scale, part, sums[i]);
                }
            }
        }
        total(sums)
    }
}

#[inline(always)]
fn total(sums: [__m256; 2]) -> f32 {
    cast::<_, [f32; 16]>(sums).iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::{Codes, Portable, Quantised, fold};
    use super::*;

    /// What is in wide registers is what is not, for every kind of codes.
    #[test]
    fn wide_dots_are_the_portable_ones() {
        let byte = |i: usize| u8::try_from(i * 37 % 251).expect("a byte");
        let scale = |i: usize| 0.01 + (i % 7) as f32 * 0.1;
        let offset = |i: usize| (i % 5) as f32 - 2.0;
        let (inputs, outputs) = (96, 5);
        let x: Vec<f32> = (0..2 * inputs).map(|i| ((i * 29) as f32 * 0.7).sin()).collect();
        let folded: Vec<Lanes> = x.as_chunks::<32>().0.iter().map(fold).collect();
        let factors = Factors { x: &x, folded: &folded };
        let halves = (0..15).map(|block| std::array::from_fn(|i| byte(block * 16 + i)));
        let whole = |i: usize| byte(i).cast_signed();
        let of_32 = (0..15).map(|block| std::array::from_fn(|i| whole(block * 32 + i)));
        let of_16 = (0..30).map(|block| std::array::from_fn(|i| whole(block * 16 + i)));
        for codes in [
            Codes::Four(halves.collect()),
            Codes::Eight32(of_32.collect()),
            Codes::Eight16(of_16.collect()),
        ] {
            let blocks = if matches!(codes, Codes::Eight16(_)) { 30 } else { 15 };
            let offsets = if matches!(codes, Codes::Four(_)) { 0..blocks } else { 0..0 };
            let (scales, offsets) =
                ((0..blocks).map(scale).collect(), offsets.map(offset).collect());
            let matrix = Quantised::new(inputs, codes, scales, offsets);
            let product = |run: &dyn Fn(&mut [f32])| {
                let mut out = vec![f32::NAN; outputs * 2];
                run(&mut out);
                out
            };
            let plain = product(&|out| matrix.stripe(Portable, 0, &factors, out));
            let same = |wide: Vec<f32>| {
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (1.0 + a.abs());
                assert!(plain.iter().zip(&wide).all(near), "{plain:?}\n{wide:?}");
            };
            if let Some(simd) = V4::try_new() {
                same(product(&|out| run(simd, &matrix, 0, &factors, out)));
            }
            if let Some(simd) = V3::try_new() {
                same(product(&|out| run(simd, &matrix, 0, &factors, out)));
            }
        }
    }
}
