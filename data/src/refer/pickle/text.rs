//! The text of pickles: Python 2 string literals, raw-unicode-escapes, and bytes of unknown
//! encoding.

use std::borrow::Cow;

/// Bytes as text: UTF-8 where they are that, latin-1 where not.
pub(super) fn from_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// The argument of STRING: a Python 2 literal with its quotes, such as `'caf\xe9'`.
pub(super) fn from_literal(line: &[u8]) -> Result<Cow<'_, str>, String> {
    let line = line.trim_ascii();
    let body = match line {
        [b'\'', body @ .., b'\''] | [b'"', body @ .., b'"'] => body,
        _ => return Err("a quoted string literal expected".to_owned()),
    };
    if !body.contains(&b'\\') {
        return Ok(from_bytes(body));
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&escape, after) =
            rest.split_first().ok_or("the string literal ends in a backslash")?;
        rest = after;
        match escape {
            b'\\' | b'\'' | b'"' => bytes.push(escape),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'a' => bytes.push(7),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'v' => bytes.push(11),
            b'x' => {
                let digits = rest.get(..2).ok_or("two hex digits expected after \\x")?;
                bytes.push(hex(digits).and_then(|code| u8::try_from(code).ok()).ok_or_else(
                    || format!("two hex digits expected after \\x, found {digits:?}"),
                )?);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let mut code = u32::from(escape - b'0');
                for _ in 0..2 {
                    let Some((&digit @ b'0'..=b'7', after)) = rest.split_first() else {
                        break;
                    };
                    code = code * 8 + u32::from(digit - b'0');
                    rest = after;
                }
                bytes.push((code & 0xff) as u8);
            }
            // As in Python: an unknown escape stands for itself.
            other => bytes.extend([b'\\', other]),
        }
    }
    Ok(Cow::Owned(from_bytes(&bytes).into_owned()))
}

/// The argument of UNICODE: latin-1 with `\uXXXX` and `\UXXXXXXXX` (raw-unicode-escape). Python 2
/// built with two-byte characters writes a pair of surrogates for one character beyond them.
pub(super) fn from_raw_unicode_escape(line: &[u8]) -> Result<Cow<'_, str>, String> {
    if line.is_ascii() && !line.contains(&b'\\') {
        return Ok(from_bytes(line));
    }
    let mut units: Vec<u16> = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                units.push(u16::from(byte));
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
