//! Files of events, as TensorBoard reads them.
//!
//! Records of `TFRecord` (length, its checksum, bytes, their checksum), each with a message `Event` of
//! protocol buffers (`tensorflow/core/util/event.proto`, `summary.proto`), of which four fields are
//! needed.

use std::io::Write;
use std::path::Path;

use tastemaker_core::Result;
use tastemaker_core::artifact::write_atomically;

/// A number that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) tag: String,
    pub(crate) step: usize,
    pub(crate) value: f64,
}

impl Scalar {
    pub(crate) fn new(tag: String, step: usize, value: f64) -> Self {
        Self { tag, step, value }
    }
}

/// Writes `scalars`, all of them of the time `time`, in seconds since 1970.
pub(crate) fn write(path: &Path, time: f64, scalars: &[Scalar]) -> Result<()> {
    write_atomically(path, |out| {
        let mut first = event(time, 0);
        bytes(&mut first, 3, b"brain.Event:2"); // file_version
        record(out, &first)?;
        for Scalar { tag, step, value } in scalars {
            let (mut of_tag, mut summary) = (Vec::new(), Vec::new());
            bytes(&mut of_tag, 1, tag.as_bytes()); // tag
            key(&mut of_tag, 2, FOUR_BYTES); // simple_value
            #[expect(clippy::cast_possible_truncation, reason = "the format is single")]
            of_tag.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &of_tag); // value
            let mut event = event(time, *step);
            bytes(&mut event, 5, &summary); // summary
            record(out, &event)?;
        }
        Ok(())
    })
}

// Kinds of fields of protocol buffers.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// An event with its time and its step, which is not written where it is 0.
fn event(time: f64, step: usize) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, EIGHT_BYTES); // wall_time
    event.extend(time.to_le_bytes());
    if step > 0 {
        key(&mut event, 2, VARINT); // step
        varint(&mut event, step as u64);
    }
    event
}

fn key(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, LENGTH);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn record(out: &mut impl Write, data: &[u8]) -> std::io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked(data).to_le_bytes())
}

/// The checksum of `TFRecord`: CRC-32C, turned and shifted so that checksums of checksums are none.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 by the polynomial of Castagnoli (RFC 3720, B.4), bit by bit: events are short.
fn crc32c(data: &[u8]) -> u32 {
    let of_bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    let of_byte = |crc: u32, &byte: &u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| of_bit(crc));
    !data.iter().fold(u32::MAX, of_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn events_are_the_bytes_that_tensorboards_own_writer_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("events");
        let scalar = |tag: &str, step, value| Scalar::new(tag.to_owned(), step, value);
        let scalars = [
            scalar("train/epoch/loss", 0, 2.193_211_078_643_799),
            scalar("train/epoch/loss", 1, -0.0),
            scalar("test/NDCG@10", 0, 0.061_5),
            scalar(&"é".repeat(100), 70_000, f64::NAN),
        ];
        write(&path, 1_700_000_000.25, &scalars).unwrap();
        let golden = include_bytes!("../tests/golden/events.tfevents");
        assert_eq!(fs_err::read(&path).unwrap(), golden);
    }
}
