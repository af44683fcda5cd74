//! The text of pickles: Python 2 string literals, raw-unicode-escapes, and bytes of unknown
//! encoding.

use std::borrow::Cow;

/// Bytes as text: UTF-8 where they are that, latin-1 where not.
pub(crate) fn from_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// The argument of STRING: what Python 2's `repr` writes, such as `'caf\xe9'`.
pub(crate) fn from_literal(line: &[u8]) -> Result<Cow<'_, str>, String> {
    let ([b'\'', body @ .., b'\''] | [b'"', body @ .., b'"']) = line.trim_ascii() else {
        return Err("a quoted string literal expected".to_owned());
    };
    if !body.contains(&b'\\') {
        return Ok(from_bytes(body));
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let code = hex(&[*high, *low]).ok_or("two hex digits expected after \\x")?;
                (code as u8, after)
            }
            (b'\\', [byte @ (b'\\' | b'\'' | b'"'), after @ ..]) => (*byte, after),
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b't', after @ ..]) => (b'\t', after),
            (b'\\', [b'r', after @ ..]) => (b'\r', after),
            (b'\\', _) => return Err("an escape that Python's repr writes expected".to_owned()),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Ok(Cow::Owned(from_bytes(&bytes).into_owned()))
}

/// The argument of UNICODE: latin-1 with `\uXXXX` and `\UXXXXXXXX` (raw-unicode-escape). Python 2
/// built with two-byte characters writes a pair of surrogates for one character beyond them.
pub(crate) fn from_raw_unicode_escape(line: &[u8]) -> Result<Cow<'_, str>, String> {
    if line.is_ascii() && !line.contains(&b'\\') {
        return Ok(from_bytes(line));
    }
    let mut units: Vec<u16> = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        let digits = match after {
            [b'u', ..] if *byte == b'\\' => 4,
            [b'U', ..] if *byte == b'\\' => 8,
            _ => {
                units.push(u16::from(*byte));
                rest = after;
                continue;
            }
        };
        let code = after.get(1..=digits).and_then(hex);
        let code = code.ok_or_else(|| format!("{digits} hex digits expected after \\u or \\U"))?;
        match (u16::try_from(code), char::from_u32(code)) {
            (Ok(unit), _) => units.push(unit),
            (_, Some(character)) => units.extend_from_slice(character.encode_utf16(&mut [0; 2])),
            _ => return Err(format!("U+{code:X} is no character")),
        }
        rest = &after[digits + 1..];
    }
    let text = String::from_utf16(&units).map_err(|_| "half of a surrogate pair".to_owned())?;
    Ok(Cow::Owned(text))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}
