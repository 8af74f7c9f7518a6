//! Where requests go: which addresses a registry may name, and which of them may have its password.
//!
//! A registry names addresses in redirects, in challenges (the realm of its token server) and for uploads. None of them may be in
//! plain HTTP where the registry, or the address before, is in TLS. A registry in plain HTTP may name others in plain HTTP that the
//! user named, too, and on this machine if it is there itself.

use std::net::IpAddr;

use reqwest::Url;

use crate::text::shown;

const MAX_ADDRESS: usize = 8 << 10;

/// The registry of a reference.
#[derive(Debug)]
pub(crate) struct Home {
    url: Url,
    /// Those that the user lets be spoken to in plain HTTP.
    plain_http: Vec<String>,
}

impl Home {
    /// `host` is HOST or HOST:PORT; `plain` is HTTP without TLS.
    pub(crate) fn new(host: &str, plain: bool, plain_http: &[String]) -> Result<Self, String> {
        let scheme = if plain { "http" } else { "https" };
        let url =
            Url::parse(&format!("{scheme}://{host}/")).map_err(|error| format!("'{host}' is no host ({error})"))?;
        Ok(Self { url, plain_http: plain_http.to_vec() })
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// An address of the registry itself.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// Whether the address is the registry's own: its scheme, host and port.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        same_origin(&self.url, url)
    }

    /// Where the answer to a request at `from` leads.
    pub(crate) fn next(&self, from: &Url, location: &str) -> Result<Url, String> {
        self.checked(from, location, from.join(short(location)?).map_err(|error| error.to_string()))
    }

    /// The token server that a challenge names.
    pub(crate) fn realm(&self, realm: &str) -> Result<Url, String> {
        self.checked(&self.url, realm, Url::parse(short(realm)?).map_err(|error| error.to_string()))
    }

    fn checked(&self, from: &Url, text: &str, parsed: Result<Url, String>) -> Result<Url, String> {
        let refused = |why: &str| Err(format!("'{}' {why}", shown(text, 200)));
        let url = match parsed {
            Ok(url) => url,
            Err(error) => return refused(&format!("is no address ({error})")),
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return refused("is neither https:// nor http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            // It is not shown: it may be somebody's.
            return Err(format!("an address of {} has a name or a password in it", origin(&url)));
        }
        if url.fragment().is_some() {
            return refused("has a '#' in it");
        }
        if url.scheme() == "https" {
            return Ok(url);
        }
        if from.scheme() == "https" {
            return Err(format!("it leads out of TLS, from {} to {}", origin(from), origin(&url)));
        }
        match self.owns(&url) || self.is_named(&url) || (self.is_loopback() && is_loopback(&url)) {
            true => Ok(url),
            false => Err(format!(
                "{} is in plain HTTP and is not the registry; if you trust it and the way to it, name {} with \
                 --plain-http, too",
                origin(&url),
                host(&url)
            )),
        }
    }

    /// Whether a token server that the registry named may have the password that is kept for the registry.
    ///
    /// A registry in TLS could ask for the password itself, so who it names may have it: Docker Hub's and many others' is another
    /// host. What comes in plain HTTP anybody on the way may have written.
    pub(crate) fn may_have_password(&self, realm: &Url) -> Result<(), String> {
        let same_host = self.url.host_str() == realm.host_str();
        let here = self.is_loopback() && is_loopback(realm);
        match !self.is_plain() || same_host || here || self.is_named(realm) {
            true => Ok(()),
            false => Err(format!(
                "its token server is said to be {}, and the password for a registry in plain HTTP goes to no other host; \
                 reach the registry in TLS, or name {} with --plain-http, too",
                origin(realm),
                host(realm)
            )),
        }
    }

    fn is_named(&self, url: &Url) -> bool {
        let name = host(url);
        self.plain_http.iter().any(|named| {
            named.eq_ignore_ascii_case(&name) || (url.port().is_none() && Some(named.as_str()) == url.host_str())
        })
    }
}

pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// What to say of an address: no path and no query, which may have secrets in them.
pub(crate) fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme(), shown(url.host_str().unwrap_or_default(), 253))
        + &url.port().map(|port| format!(":{port}")).unwrap_or_default()
}

/// HOST:PORT.
fn host(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn short(text: &str) -> Result<&str, String> {
    match text.len() <= MAX_ADDRESS {
        true => Ok(text),
        false => Err(format!("an address of {} bytes is longer than {MAX_ADDRESS}", text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> Home {
        Home::new("reg.io", false, &["lan:5001".into()]).unwrap()
    }

    fn plain() -> Home {
        Home::new("lan:5000", true, &["lan:5000".into(), "auth.lan".into(), "store.lan:9000".into()]).unwrap()
    }

    fn loopback() -> Home {
        Home::new("127.0.0.1:5000", true, &[]).unwrap()
    }

    #[test]
    fn a_registry_in_tls_leads_nowhere_else() {
        let home = tls();
        for good in
            ["https://reg.io/token", "https://auth.docker.io/token?a=b", "https://reg.io:8443/x", "https://[::1]/"]
        {
            assert_eq!(home.realm(good).unwrap().as_str(), good);
        }
        let long = format!("https://reg.io/{}", "x".repeat(MAX_ADDRESS));
        for (bad, why) in [
            ("http://reg.io/token", "out of TLS, from https://reg.io to http://reg.io"),
            ("http://127.0.0.1:1/token", "out of TLS"),
            ("http://localhost/token", "out of TLS"),
            ("http://lan:5001/token", "out of TLS"),
            ("file:///etc/passwd", "is neither https:// nor http://"),
            ("unix:/run/docker.sock", "is neither"),
            ("http+unix://%2Frun%2Fdocker.sock/x", "is neither"),
            ("data:,x", "is neither"),
            ("ftp://reg.io/", "is neither"),
            ("/token", "is no address"),
            ("token", "is no address"),
            ("", "is no address"),
            ("https://", "is no address"),
            ("https:///", "is no address"),
            ("https://user:secret@reg.io/token", "has a name or a password in it"),
            ("https://user@reg.io/token", "has a name or a password in it"),
            ("https://reg.io/token#x", "has a '#' in it"),
            ("\u{1b}[2J\u{202e}", "'\\u{1b}[2J\\u{202e}' is no address"),
            (&long, "is longer than 8192"),
        ] {
            let error = home.realm(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret") && error.len() < 400, "{bad}: {error}");
        }
    }

    #[test]
    fn redirects_are_taken_from_where_they_were_found() {
        let home = tls();
        let from = home.at("/v2/a/blobs/x");
        assert_eq!(home.next(&from, "/other").unwrap().as_str(), "https://reg.io/other");
        assert_eq!(home.next(&from, "y?z").unwrap().as_str(), "https://reg.io/v2/a/blobs/y?z");
        let elsewhere = home.next(&from, "//store.io/x").unwrap();
        assert!(!home.owns(&elsewhere) && elsewhere.as_str() == "https://store.io/x");
        for bad in ["http://reg.io/x", "file:///etc/passwd", "https://a:b@reg.io/x"] {
            assert!(home.next(&from, bad).is_err(), "{bad}");
        }
        // Back into plain HTTP is refused even where the registry is plain.
        let home = plain();
        let secure = home.next(&home.at("/"), "https://lan/").unwrap();
        assert!(home.next(&secure, "http://lan:5000/").unwrap_err().contains("out of TLS"));
    }

    #[test]
    fn plain_http_leads_to_what_was_named_and_on_this_machine_to_this_machine() {
        for (home, good, bad) in [
            (
                plain(),
                &[
                    "http://lan:5000/a",
                    "http://auth.lan/",
                    "http://AUTH.lan:80/",
                    "http://store.lan:9000/",
                    "https://x.y/",
                ][..],
                &[
                    "http://lan/",
                    "http://auth.lan:81/",
                    "http://127.0.0.1:80/",
                    "http://169.254.169.254/",
                    "http://[::1]/",
                ][..],
            ),
            (
                loopback(),
                &["http://127.0.0.1:1/", "http://localhost/", "http://[::1]:9/", "http://0x7f.1/", "https://x.y/"],
                &[
                    "http://10.0.0.1/",
                    "http://localhost.evil.io/",
                    "http://0.0.0.0:5000/",
                    "http://[::ffff:127.0.0.1]/",
                ],
            ),
        ] {
            for address in good {
                home.realm(address).unwrap();
            }
            for address in bad {
                let error = home.realm(address).unwrap_err();
                assert!(error.contains("--plain-http"), "{address}: {error}");
            }
        }
    }

    #[test]
    fn a_password_follows_no_challenge_that_came_in_plain_http() {
        let may = |home: &Home, realm: &str| home.may_have_password(&Url::parse(realm).unwrap());
        may(&tls(), "https://auth.docker.io/token").unwrap();
        for realm in ["http://lan:5000/t", "http://lan:5001/t", "https://lan/t", "http://auth.lan/t"] {
            may(&plain(), realm).unwrap();
        }
        may(&loopback(), "http://localhost:1/t").unwrap();
        for (home, realm) in
            [(plain(), "https://evil.io/t"), (loopback(), "https://evil.io/t"), (plain(), "https://lan.evil/")]
        {
            let error = may(&home, realm).unwrap_err();
            assert!(error.contains("goes to no other host"), "{error}");
        }
    }
}
