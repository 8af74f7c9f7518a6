//! The sha256 by which everything is named.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "sha256:";

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest(String);

impl Digest {
    /// Of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{ALGORITHM}{hex}"))
    }

    /// With its algorithm.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits alone.
    pub(crate) fn hex(&self) -> &str {
        self.0.strip_prefix(ALGORITHM).unwrap_or_default()
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(ALGORITHM).unwrap_or_default();
        // Upper case would name the same bytes by another name.
        match digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("'{text}' is not 'sha256:' and 64 lower-case hexadecimal digits")),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_sha256_is_a_digest() {
        let empty = Digest::of(b"");
        assert_eq!(empty.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty.as_str().parse(), Ok(empty.clone()));
        let hex = empty.hex();
        for text in ["", "sha256:", hex, &format!("sha256:{}", hex.to_uppercase()), &format!("sha512:{hex}{hex}")] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        for text in [format!("sha256:{}", &hex[1..]), format!("sha256:../{}", &hex[3..]), format!("sha256:{hex}0")] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
