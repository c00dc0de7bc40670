//! Numbers and times as they stand in files.

use super::lines::quoted;

/// A finite number.
///
/// # Errors
/// What was found and what was expected, for the caller to say where.
pub(crate) fn finite(column: &str, text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(format!("{column} is {}, expected a finite number", quoted(text))),
        Err(_) => Err(format!("{column} is {}, expected a number", quoted(text))),
    }
}

/// A finite number in single precision.
pub(crate) fn finite32(column: &str, text: &str) -> Result<f32, String> {
    let number = finite(column, text)?;
    #[expect(clippy::cast_possible_truncation, reason = "ratings and counts; overflow is checked")]
    let single = number as f32;
    if single.is_finite() {
        Ok(single)
    } else {
        Err(format!("{column} is {}, expected a number below 3.4e38", quoted(text)))
    }
}
