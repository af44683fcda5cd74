//! The kinds of checks. A failed one names the key, what was expected and what was found.

use std::fmt::Display;

/// Fails unless the condition `holds`.
pub fn expect(
    holds: bool,
    key: &str,
    expected: impl Display,
    found: impl Display,
) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(format!("{key}: expected {expected}, found {found}")),
    }
}

/// A size from 1 to `most`, a bound that keeps a hostile file from taking all memory.
pub fn size(key: &str, found: usize, most: usize) -> Result<(), String> {
    expect((1..=most).contains(&found), key, format_args!("1 to {most}"), found)
}

/// A size that another one divides.
pub fn multiple(key: &str, found: usize, part_key: &str, part: usize) -> Result<(), String> {
    let expected = format_args!("a multiple of {part_key} = {part}");
    expect(found.is_multiple_of(part), key, expected, found)
}

/// A finite number above zero.
pub fn positive(key: &str, found: f64) -> Result<(), String> {
    expect(found.is_finite() && found > 0.0, key, "a positive number", found)
}
