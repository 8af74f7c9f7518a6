//! How a registry asks who is there: the header `WWW-Authenticate`, as RFC 9110 (11.6.1) has it.

const MAX_HEADER: usize = 8 << 10;
const MAX_HEADERS: usize = 8;

/// What the registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token of the server that `realm` is the address of. Its scope is not read: harness asks for what it needs.
    Bearer { realm: String, service: Option<String> },
    /// The name and the password.
    Basic,
}

/// The best of what is offered: a token before a password; `None` where nothing is that harness can do.
pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Challenge>, String> {
    let mut best = None;
    for (at, header) in headers.into_iter().enumerate() {
        if at == MAX_HEADERS {
            return Err(format!("it asks who is there in more than {MAX_HEADERS} headers"));
        }
        if header.len() > MAX_HEADER {
            return Err(format!("how it asks who is there is longer than {MAX_HEADER} bytes"));
        }
        let unreadable = |what: &str| format!("how it asks who is there can't be read ({what})");
        let text = std::str::from_utf8(header).map_err(|_| unreadable("it is no text"))?;
        for offer in offers(text).map_err(unreadable)? {
            if offer.scheme.eq_ignore_ascii_case("bearer") && !matches!(best, Some(Challenge::Bearer { .. })) {
                let realm =
                    offer.parameter("realm").map_err(unreadable)?.ok_or_else(|| unreadable("it has no realm"))?;
                let service = offer.parameter("service").map_err(unreadable)?;
                best = Some(Challenge::Bearer { realm, service });
            } else if offer.scheme.eq_ignore_ascii_case("basic") && best.is_none() {
                best = Some(Challenge::Basic);
            }
        }
    }
    Ok(best)
}

struct Offer<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Offer<'_> {
    /// Twice is refused: two readers would take different ones.
    fn parameter(&self, name: &str) -> Result<Option<String>, &'static str> {
        let mut found = self.parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err("it has a parameter twice"),
            (first, None) => Ok(first.map(|(_, value)| value.clone())),
        }
    }
}

/// `Scheme token68`, `Scheme name=value, name="value"`, and several of them with commas between.
fn offers(text: &str) -> Result<Vec<Offer<'_>>, &'static str> {
    let mut offers: Vec<Offer<'_>> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (word, after) = token(rest);
        if word.is_empty() {
            return Err("a name is missing");
        }
        let next = blanks(after);
        if let (Some(value), Some(offer)) = (next.strip_prefix('='), offers.last_mut()) {
            let (value, after) = value_of(blanks(value))?;
            offer.parameters.push((word, value));
            rest = after;
        } else {
            if next.starts_with('=') {
                return Err("a parameter comes before its scheme");
            }
            offers.push(Offer { scheme: word, parameters: Vec::new() });
            let separated = after.len() > next.len();
            if !(separated || next.is_empty() || next.starts_with(',')) {
                return Err("a blank is missing");
            }
            rest = token68(next).unwrap_or(next);
            // Its first parameter follows without a comma.
            if !rest.is_empty() && !rest.starts_with(',') {
                continue;
            }
        }
        rest = blanks(rest);
        if !(rest.is_empty() || rest.starts_with(',')) {
            return Err("a comma is missing");
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    Ok(offers)
}

/// What comes after a `token68`, if that is all there is up to the next comma.
fn token68(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/".contains(c))).unwrap_or(text.len());
    let rest = blanks(text[end..].trim_start_matches('='));
    (end > 0 && (rest.is_empty() || rest.starts_with(','))).then_some(rest)
}

fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Some registries leave the quotes out even where RFC 9110 wants them.
        let end = text.find([' ', '\t', ',', '"']).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next().ok_or("a quote is not closed")?.1),
            character if character.is_control() => return Err("it has a control character in it"),
            character => value.push(character),
        }
    }
    Err("a quote is not closed")
}

fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

fn blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[&str]) -> Result<Option<Challenge>, String> {
        choose(headers.iter().map(|header| header.as_bytes()))
    }

    fn bearer(realm: &str, service: Option<&str>) -> Result<Option<Challenge>, String> {
        Ok(Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) }))
    }

    #[test]
    fn what_registries_send_is_read() {
        for (header, read) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (r#"Bearer realm="https://a/b?c=d, e""#, bearer("https://a/b?c=d, e", None)),
            (r#"bearer  REALM = "x" , , Service=y"#, bearer("x", Some("y"))),
            (r#"Bearer realm=https://a/t,service=s"#, bearer("https://a/t", Some("s"))),
            (r#"Bearer realm="a\"b\\c",error="invalid_token""#, bearer("a\"b\\c", None)),
            (r#"Basic realm="Registry Realm""#, Ok(Some(Challenge::Basic))),
            ("Basic", Ok(Some(Challenge::Basic))),
            (r#"Basic realm="x", Bearer realm="t",service="s""#, bearer("t", Some("s"))),
            (r#"Bearer realm="t", Basic realm="x", Bearer realm="u""#, bearer("t", None)),
            (r#"Negotiate abc+/==, NTLM, Basic realm="x", charset="UTF-8""#, Ok(Some(Challenge::Basic))),
            ("Negotiate", Ok(None)),
            ("Negotiate a.b==", Ok(None)),
            (", ,", Ok(None)),
            ("", Ok(None)),
        ] {
            assert_eq!(of(&[header]), read, "{header}");
        }
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["Basic realm=x", "Bearer realm=t"]), bearer("t", None));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (header, why) in [
            ("Bearer", "no realm"),
            ("Bearer service=x", "no realm"),
            ("Bearer realm=", "no realm"),
            (r#"Bearer realm="x"#, "not closed"),
            (r#"Bearer realm="x\"#, "not closed"),
            (r#"Bearer realm="x", realm="y""#, "twice"),
            (r#"Bearer realm="x", service=a, SERVICE=b"#, "twice"),
            (r#"Bearer realm="x" service="y""#, "comma is missing"),
            (r#"Bearer realm="x"y"#, "comma is missing"),
            (r#"realm="x""#, "before its scheme"),
            (r#"="x""#, "name is missing"),
            (r#""Bearer" realm="x""#, "name is missing"),
            ("Bearer/x realm=y", "blank is missing"),
            ("Bearer realm=\"a\u{1b}b\"", "control character"),
            ("Bearer realm=\"a\tb\"", "control character"),
            ("<html>", "name is missing"),
        ] {
            let error = of(&[header]).unwrap_err();
            assert!(error.contains(why), "{header}: {error}");
        }
        assert!(choose([&b"Bearer realm=\"\xff\""[..]]).unwrap_err().contains("no text"));
    }

    #[test]
    fn it_is_bounded() {
        let long = format!(r#"Bearer realm="{}""#, "x".repeat(MAX_HEADER));
        assert!(of(&[&long]).unwrap_err().contains("longer than 8192 bytes"));
        assert!(of(&["Basic"; 9]).unwrap_err().contains("more than 8 headers"));
        assert_eq!(of(&["Basic"; 8]), Ok(Some(Challenge::Basic)));
        // As long as it may be, and of as many parts.
        for part in ["a,", "a=b,", "a b ", "\",", "a \"", "=", "a="] {
            let _ = of(&[&part.repeat(MAX_HEADER / part.len())]);
        }
    }
}
