//! The blocks in which GGUF files keep quantised numbers.
//!
//! Layouts: llama.cpp, `ggml/src/ggml-common.h` and `ggml-quants.c`.

use candle_core::quantized::GgmlDType;
use half::f16;

use crate::fused::{Codes, Quantised};

/// The rows of `inputs` numbers that `bytes` are, in their codes; `None` of a kind whose codes are
/// not read (its numbers are, by the tensor library).
pub(super) fn quantised(kind: GgmlDType, bytes: &[u8], inputs: usize) -> Option<Quantised> {
    let whole = if matches!(kind, GgmlDType::Q4K | GgmlDType::Q6K) { 256 } else { 32 };
    if !inputs.is_multiple_of(whole) {
        // Rows that share a block are no rows of codes.
        return None;
    }
    let (mut scales, mut offsets) = (Vec::new(), Vec::new());
    let codes = match kind {
        GgmlDType::Q4_0 => Codes::Four(blocks(bytes, |[d, rest @ ..]: &[[u8; 2]; 9]| {
            scales.push(half(*d));
            offsets.push(-8.0 * half(*d));
            vec![bytes_of(rest)]
        })),
        GgmlDType::Q4_1 => Codes::Four(blocks(bytes, |[d, m, rest @ ..]: &[[u8; 2]; 10]| {
            scales.push(half(*d));
            offsets.push(half(*m));
            vec![bytes_of(rest)]
        })),
        GgmlDType::Q5_0 => Codes::Eight32(blocks(bytes, |block: &[[u8; 2]; 11]| {
            scales.push(half(block[0]));
            vec![five_0(&bytes_of(block))]
        })),
        GgmlDType::Q8_0 => Codes::Eight32(blocks(bytes, |[d, rest @ ..]: &[[u8; 2]; 17]| {
            scales.push(half(*d));
            vec![bytes_of::<16, 32>(rest).map(u8::cast_signed)]
        })),
        GgmlDType::Q4K => Codes::Four(blocks(bytes, |block: &[[u8; 2]; 72]| {
            let block: [u8; 144] = bytes_of(block);
            four_k(&block, (&mut scales, &mut offsets))
        })),
        GgmlDType::Q6K => Codes::Eight16(blocks(bytes, |block: &[[u8; 2]; 105]| {
            let block: [u8; 210] = bytes_of(block);
            six_k(&block, &mut scales)
        })),
        _ => return None,
    };
    Some(Quantised::new(inputs, codes, scales, offsets))
}

/// What `of` makes of each block of two times `N` bytes.
fn blocks<const N: usize, T>(bytes: &[u8], of: impl FnMut(&[[u8; 2]; N]) -> Vec<T>) -> Vec<T> {
    bytes.as_chunks::<2>().0.as_chunks::<N>().0.iter().flat_map(of).collect()
}

fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// Pairs of bytes as so many bytes.
fn bytes_of<const PAIRS: usize, const N: usize>(pairs: &[[u8; 2]; PAIRS]) -> [u8; N] {
    std::array::from_fn(|i| pairs[i / 2][i % 2])
}

/// 32 numbers: a half, four bytes of high bits and sixteen of low halves.
fn five_0(block: &[u8; 22]) -> [i8; 32] {
    let (high, low) = (&block[2..6], &block[6..]);
    std::array::from_fn(|i| {
        let low = low[i % 16] >> (i / 16 * 4) & 15;
        let high = high[i / 8] >> (i % 8) & 1;
        (low | high << 4).cast_signed() - 16
    })
}

/// 256 numbers: two halves, twelve bytes of eight scales and eight offsets of six bits each, and
/// four times 32 bytes, of which the low halves are one block and the high ones the next.
fn four_k(block: &[u8; 144], (scales, offsets): (&mut Vec<f32>, &mut Vec<f32>)) -> Vec<[u8; 16]> {
    let (d, dmin) = (half([block[0], block[1]]), half([block[2], block[3]]));
    let (packed, codes) = (&block[4..16], &block[16..]);
    for i in 0..8 {
        let [scale, offset] = if i < 4 {
            [packed[i] & 63, packed[i + 4] & 63]
        } else {
            let (both, high) = (packed[i + 4], [packed[i - 4] >> 6, packed[i] >> 6]);
            [(both & 15) | (high[0] << 4), (both >> 4) | (high[1] << 4)]
        };
        scales.push(d * f32::from(scale));
        offsets.push(-dmin * f32::from(offset));
    }
    // Two blocks are in 32 bytes here; in Codes::Four, one is in 16.
    let of_pair = |bytes: &[u8; 32]| {
        let low: [u8; 16] = std::array::from_fn(|i| (bytes[i] & 15) | (bytes[16 + i] << 4));
        let high: [u8; 16] = std::array::from_fn(|i| (bytes[i] >> 4) | (bytes[16 + i] & 0xF0));
        [low, high]
    };
    codes.as_chunks::<32>().0.iter().flat_map(of_pair).collect()
}

/// 256 numbers: 128 bytes of low halves, 64 of high quarters, 16 scales and a half; each 128
/// numbers are four times 32 that share their high quarters.
fn six_k(block: &[u8; 210], scales: &mut Vec<f32>) -> Vec<[i8; 16]> {
    let (low, high, own) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half([block[208], block[209]]);
    scales.extend(own.iter().map(|scale| d * f32::from(scale.cast_signed())));
    let code = |i: usize| {
        let (of_128, part, at) = (i / 128, i % 128 / 32, i % 32);
        let low = low[of_128 * 64 + part % 2 * 32 + at] >> (part / 2 * 4) & 15;
        let high = high[of_128 * 32 + at] >> (part * 2) & 3;
        (low | high << 4).cast_signed() - 32
    };
    (0..16).map(|block| std::array::from_fn(|i| code(block * 16 + i))).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::fused::multiply_quantised;

    const ALL: [GgmlDType; 6] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q8_0,
        GgmlDType::Q4K,
        GgmlDType::Q6K,
    ];

    /// Every kind stands for the numbers that the tensor library reads from it, and its products
    /// are those of these numbers.
    #[test]
    fn codes_are_the_numbers_that_the_tensor_library_reads() {
        let (outputs, inputs) = (70, 512);
        let number = |i: usize| ((i * 37) as f32 * 0.37).sin() * (1.0 + (i % 23) as f32);
        let numbers: Vec<f32> = (0..outputs * inputs).map(number).collect();
        let x: Vec<f32> = (0..3 * inputs).map(|i| number(i * 5 + 1)).collect();
        let plain = Tensor::from_vec(numbers, (outputs, inputs), &Device::Cpu).unwrap();
        for kind in ALL {
            let kept = QTensor::quantize(&plain, kind).unwrap();
            let matrix = quantised(kind, &kept.data().unwrap(), inputs).unwrap();
            let expected = kept.dequantize(&Device::Cpu).unwrap();
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            let mut found = Vec::new();
            (0..outputs).for_each(|row| matrix.read_row(row, &mut found));
            let near = |a: f32, b: f32| (a - b).abs() <= 1e-5 * (1.0 + a.abs());
            let same = found.iter().zip(&expected).all(|(a, b)| near(*a, *b));
            assert!(same && found.len() == expected.len(), "{kind:?}");
            let halves = [matrix.reordered(0..30), matrix.reordered(30..outputs)];
            let products = multiply_quantised(&halves, &x);
            for (row, x) in x.chunks(inputs).enumerate() {
                for (output, w) in expected.chunks(inputs).enumerate() {
                    let exact: f64 =
                        x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    let found = f64::from(products[row * outputs + output]);
                    assert!((found - exact).abs() < 1e-2, "{kind:?}: {found} against {exact}");
                }
            }
        }
    }
}
