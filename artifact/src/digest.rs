use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Text, Value, json};

/// A SHA-256 digest in lower-case hexadecimal, of bytes or of a value's canonical JSON (keys sorted, no spaces).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "Text", try_from = "Text")]
pub struct Digest(Text);

impl From<Digest> for Text {
    fn from(digest: Digest) -> Text {
        digest.0
    }
}

impl TryFrom<Text> for Digest {
    type Error = String;

    fn try_from(text: Text) -> Result<Digest, String> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(is_hex) {
            Ok(Digest(text))
        } else {
            Err(format!(
                "`{text}` is not a digest: 64 lower-case hexadecimal digits"
            ))
        }
    }
}

impl Digest {
    /// Computes the digest of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(bytes) {
            use fmt::Write as _;
            let _ = write!(hex, "{byte:02x}");
        }
        Digest(hex.into())
    }

    /// Computes the digest of a value. Equal values have equal digests, regardless of the order of their keys.
    pub fn of_value(value: &Value) -> Digest {
        Digest::of_bytes(canonical(value).as_bytes())
    }

    /// Returns all 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Encodes the 32 bytes in base64, the form of a `SHA256` checksum in S3.
    pub fn to_base64(&self) -> String {
        let byte = |at| u8::from_str_radix(&self.0[at..at + 2], 16).unwrap_or_default();
        let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect();
        crate::base64::encode(&bytes)
    }

    /// Returns the first 12 digits, for names that people read.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns compact JSON with sorted keys.
fn canonical(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::List(items) => json::list(items, out, write),
            Value::Map(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                json::map(entries, out, write);
            }
            scalar => json::scalar(scalar, out),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_checksum_of_s3() {
        let digest = Digest::of_bytes(b"");
        assert_eq!(digest.to_base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn digest_ignores_the_order_of_keys() {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(
            canonical(&value(r#"{"b": [1, 2.50], "a": "x\n"}"#)),
            r#"{"a":"x\n","b":[1,2.5]}"#
        );
        assert_eq!(
            Digest::of_value(&value(r#"{"a":1,"b":2}"#)),
            Digest::of_value(&value(r#"{"b":2,"a":1}"#))
        );
        assert_ne!(
            Digest::of_value(&value("[1,2]")),
            Digest::of_value(&value("[2,1]"))
        );
    }
}
