//! Base64 as RFC 4648 defines it, used for bytes in JSON and in the `data` of a Secret.

use serde::{Deserialize, Deserializer, Serializer};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes with the standard alphabet and padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = ALPHABET[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode(&text).ok_or_else(|| serde::de::Error::custom("not base64"))
}

/// Decodes base64 of the standard or the URL alphabet, with or without padding and line breaks. Returns `None` for any
/// other text.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text
        .trim_end()
        .trim_end_matches('=')
        .bytes()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'));
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut pending) = (0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        pending += 6;
        if pending >= 8 {
            pending -= 8;
            out.push((bits >> pending & 0xff) as u8);
        }
    }
    // Up to 4 leftover bits belong to the last digit. 6 leftover bits are a digit that completes no byte.
    (pending < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        for length in 0..9u8 {
            let bytes: Vec<u8> = (0..length).map(|b| b.wrapping_mul(83)).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn decodes_both_alphabets() {
        for (text, bytes) in [
            ("aGVsbG8=", &b"hello"[..]),
            ("aGVsbG8", b"hello"),
            ("YWJj\nZGVm\n", b"abcdef"),
            ("-_8=", &[0xfb, 0xff]),
            ("+/8=", &[0xfb, 0xff]),
            ("", b""),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["hello world", "a", "aGVsbG8!"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
