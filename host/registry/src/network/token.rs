//! What a token server answers.

use reqwest::header::HeaderValue;
use serde::Deserialize;

/// The most bytes of the whole answer.
pub(crate) const MAX_ANSWER: u64 = 1 << 20;
/// The most bytes of the token: more than servers take of a header.
const MAX_TOKEN: usize = 64 << 10;

/// Both names are in use; `token` is the older.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The header that shows the token. The error says what is wrong, and nothing of the token.
pub(crate) fn authorization(answer: &[u8]) -> Result<HeaderValue, String> {
    // serde_json says where and, of a wrong type, what: that may be the token.
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| {
        format!("it is no JSON object with a token (line {}, column {})", error.line(), error.column())
    })?;
    let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
    let token = token.ok_or("it has no token")?;
    if token.len() > MAX_TOKEN {
        return Err(format!("its token has {} bytes, and {MAX_TOKEN} are the most", token.len()));
    }
    let unusable = "its token has characters that no header takes";
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable.into());
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable)?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_under_both_names() {
        for text in [
            r#"{"token": "t0k.e-n=="}"#,
            r#"{"access_token": "t0k.e-n==", "expires_in": 300, "more": [[{}]]}"#,
            r#"{"token": "t0k.e-n==", "access_token": "other"}"#,
            r#"{"token": "", "access_token": "t0k.e-n=="}"#,
            r#"{"token": null, "access_token": "t0k.e-n=="}"#,
        ] {
            let header = authorization(text.as_bytes()).unwrap();
            assert_eq!((header.as_bytes(), header.is_sensitive()), (&b"Bearer t0k.e-n=="[..], true), "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        let (longest, longer) = ("s".repeat(MAX_TOKEN), "s".repeat(MAX_TOKEN + 1));
        assert!(authorization(format!(r#"{{"token": "{longest}"}}"#).as_bytes()).is_ok());
        let deep = format!(r#"{{"more": {}"#, "[".repeat(1 << 19));
        for (text, why) in [
            ("", "no JSON object"),
            ("<html>secret</html>", "no JSON object"),
            (r#""secret""#, "no JSON object"),
            (r#"["secret"]"#, "no JSON object"),
            (r#"{"token": ["secret"]}"#, "no JSON object"),
            (r#"{"token": "secret", "token": "secret"}"#, "no JSON object"),
            (r#"{"token": {"secret": 1}}"#, "no JSON object"),
            (r#"{"token": "secret"} secret"#, "no JSON object"),
            ("{}", "no token"),
            (r#"{"token": "", "access_token": ""}"#, "no token"),
            (r#"{"token": "secret\r\nHost: evil"}"#, "characters"),
            (r#"{"token": "sec ret"}"#, "characters"),
            (r#"{"token": "sécret"}"#, "characters"),
            (r#"{"token": "secret\u0000"}"#, "characters"),
            (&format!(r#"{{"token": "{longer}"}}"#), "65536 are the most"),
            (&deep, "no JSON object"),
        ] {
            let error = authorization(text.as_bytes()).unwrap_err();
            assert!(error.contains(why) && !error.contains("cret"), "{text}: {error}");
        }
    }
}
