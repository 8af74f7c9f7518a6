//! What the user's environment says of the hub, as Python's huggingface_hub takes it.
//!
//! Two things differ: a variable that is empty is one that is not set, and no cache depends on the present folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness_core::format::count;
use harness_core::input;
use reqwest::Url;
use reqwest::header::HeaderValue;

const ENDPOINT: &str = "https://huggingface.co";
/// How long nothing may come, unless `HF_HUB_DOWNLOAD_TIMEOUT` says otherwise.
const SILENCE: Duration = Duration::from_secs(30);
/// The most seconds of that: a day.
const MAX_SILENCE: u64 = 24 * 60 * 60;
/// Of a value that is no number, in characters.
const MAX_SHOWN: usize = 40;
/// The most bytes of a file with a token.
const MAX_TOKEN: u64 = 64 << 10;

/// The environment's variables.
pub(crate) struct Environment<'a>(pub(crate) &'a dyn Fn(&str) -> Option<OsString>);

/// What is shown to the hub, and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// `Authorization`.
    pub(crate) header: HeaderValue,
    /// A variable or a file.
    pub(crate) from: String,
}

/// Reads the variables of this process.
pub(crate) fn process(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Environment<'_> {
    /// The folder of models, if there is a place for it. An error where it would depend on the present folder.
    pub(crate) fn cache(&self) -> Result<Option<PathBuf>, String> {
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            if let Some(folder) = self.path(name)? {
                return Ok(Some(folder));
            }
        }
        Ok(self.home()?.map(|home| home.join("hub")))
    }

    /// The token that the user has for the hub, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Token>, String> {
        if self.is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let Some(token) = self.text(name)?.as_deref().and_then(clean) {
                return header(token, name.to_owned()).map(Some);
            }
        }
        let path = match self.path("HF_TOKEN_PATH")? {
            Some(path) => Some(path),
            None => self.home()?.map(|home| home.join("token")),
        };
        let Some(path) = path else { return Ok(None) };
        match input::read_text(&path, MAX_TOKEN) {
            Ok(text) => clean(&text).map(|token| header(token, path.display().to_string())).transpose(),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(format!("the token can't be read: {error}; set HF_TOKEN, or mend that file")),
        }
    }

    /// Which variable says that nothing is to be fetched.
    pub(crate) fn offline(&self) -> Option<&'static str> {
        ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| self.is_true(name))
    }

    /// The hub's address, without a slash at its end.
    pub(crate) fn endpoint(&self) -> Result<Url, String> {
        let text = self.text("HF_ENDPOINT")?.unwrap_or_else(|| ENDPOINT.into());
        let wrong = |why: &str| format!("HF_ENDPOINT {why}; set it to an address such as {ENDPOINT}");
        let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|_| wrong("is no address"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("is neither https:// nor http://"));
        }
        // Not shown: it may be somebody's.
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a name, a password, a '?' or a '#' in it"));
        }
        Ok(url)
    }

    /// How long nothing may come.
    pub(crate) fn silence(&self) -> Result<Duration, String> {
        const NAME: &str = "HF_HUB_DOWNLOAD_TIMEOUT";
        match self.text(NAME)? {
            None => Ok(SILENCE),
            // Python takes whole seconds, too.
            Some(text) => match text.trim().parse::<u64>() {
                Ok(seconds) if (1..=MAX_SILENCE).contains(&seconds) => Ok(Duration::from_secs(seconds)),
                _ => Err(format!(
                    "{NAME} is '{}', and what is wanted is a whole number of seconds from 1 to {}; set it to such as {}",
                    text.chars().take(MAX_SHOWN).collect::<String>(),
                    count(MAX_SILENCE),
                    SILENCE.as_secs()
                )),
            },
        }
    }

    /// An error if something stands where the folder of models is to be that is no folder.
    pub(crate) fn check_place(&self, cache: &Path) -> Result<(), String> {
        // A slash at its end would hide a file. What can't be looked at is said when it is written to.
        let cache: PathBuf = cache.components().collect();
        let Some(there) = cache.ancestors().find(|path| path.symlink_metadata().is_ok()) else { return Ok(()) };
        if there.is_dir() || there.metadata().is_err() {
            return Ok(());
        }
        let by = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"];
        let by = by.into_iter().find(|name| self.raw(name).is_some()).unwrap_or("HOME");
        Err(format!(
            "by {by} the models' folder is {}, and {} is no folder; set {by} to a folder, or HF_HUB_CACHE to one for models alone",
            cache.display(),
            there.display()
        ))
    }

    fn home(&self) -> Result<Option<PathBuf>, String> {
        if let Some(folder) = self.path("HF_HOME")? {
            return Ok(Some(folder));
        }
        // Those ignore a path that is relative.
        let absolute = |name: &str| self.raw(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Ok(base.map(|base| base.join("huggingface")))
    }

    /// An absolute path.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, String> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let path = match raw.to_str() {
            Some(text) => self.expanded(text),
            None => PathBuf::from(raw),
        };
        match path.is_absolute() {
            true => Ok(Some(path)),
            false => Err(format!(
                "{name} is {}, which depends on where harness is run; set it to an absolute path",
                path.display()
            )),
        }
    }

    /// A leading `~`, and variables as `$NAME` or `${NAME}`. What is not set stays as it is.
    fn expanded(&self, text: &str) -> PathBuf {
        let mut whole = OsString::new();
        let mut rest = text;
        if let (Some(after), Some(home)) = (text.strip_prefix('~'), self.raw("HOME"))
            && (after.is_empty() || after.starts_with('/'))
        {
            whole.push(home);
            rest = after;
        }
        while let Some(at) = rest.find('$') {
            whole.push(&rest[..at]);
            let after = &rest[at + 1..];
            let name = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
            let (name, length) = match braced {
                Some(name) => (name, name.len() + 2),
                None => (&after[..name(after)], name(after)),
            };
            match self.raw(name).filter(|_| !name.is_empty()) {
                Some(value) => whole.push(value),
                None => whole.push(&rest[at..=at + length]),
            }
            rest = &after[length..];
        }
        whole.push(rest);
        whole.into()
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        self.raw(name)
            .map(|value| value.into_string().map_err(|_| format!("{name} is no text in UTF-8; set it anew")))
            .transpose()
    }

    fn is_true(&self, name: &str) -> bool {
        let value = self.raw(name).and_then(|value| value.into_string().ok()).unwrap_or_default();
        ["1", "ON", "YES", "TRUE"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
    }

    fn raw(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

fn clean(token: &str) -> Option<&str> {
    Some(token.trim()).filter(|token| !token.is_empty())
}

fn header(token: &str, from: String) -> Result<Token, String> {
    // The token itself is shown nowhere.
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| format!("the token in {from} has characters that no token has; copy it again"))?;
    header.set_sensitive(true);
    Ok(Token { header, from })
}

/// What to show of an address: no path and no query, which can hold secrets.
pub(crate) fn origin(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Whether it is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether there is nothing but `file` to its name: no folder, nothing hidden.
pub(crate) fn is_plain(file: &str) -> bool {
    !file.is_empty()
        && file.len() <= 200
        && !file.starts_with(['.', '-'])
        && file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && Path::new(file).file_name().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(variables: &[(&str, &str)], ask: impl FnOnce(&Environment<'_>) -> T) -> T {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        ask(&Environment(&find))
    }

    fn cache(variables: &[(&str, &str)]) -> Result<String, String> {
        let found = with(variables, |environment| environment.cache())?;
        Ok(found.map_or_else(|| "none".into(), |path| path.display().to_string()))
    }

    #[test]
    fn the_cache_lies_where_python_has_it() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/e"),
        ];
        for (skipped, expected) in
            ["/a", "/b", "/c/hub", "/d/huggingface/hub", "/e/.cache/huggingface/hub"].into_iter().enumerate()
        {
            assert_eq!(cache(&all[skipped..]).unwrap(), expected);
            // Empty is not set.
            let mut empty = all;
            empty[..skipped].iter_mut().for_each(|(_, value)| *value = "");
            assert_eq!(cache(&empty).unwrap(), expected);
        }
        for (written, expected) in [
            ("~/x", "/e/x/hub"),
            ("~", "/e/hub"),
            ("$HOME/x", "/e/x/hub"),
            ("${HOME}/$NONE/x$", "/e/$NONE/x$/hub"),
            ("/y/${", "/y/${/hub"),
        ] {
            assert_eq!(cache(&[("HF_HOME", written), ("HOME", "/e")]).unwrap(), expected);
        }
    }

    #[test]
    fn without_an_absolute_path_there_is_no_cache() {
        assert_eq!(cache(&[]).unwrap(), "none");
        assert_eq!(cache(&[("HOME", "e"), ("XDG_CACHE_HOME", ".cache")]).unwrap(), "none");
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"] {
            assert_eq!(
                cache(&[(name, "models"), ("HOME", "/e")]).unwrap_err(),
                format!("{name} is models, which depends on where harness is run; set it to an absolute path")
            );
        }
    }

    #[test]
    fn the_token_is_found_where_python_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let other = folder.path().join("other");
        std::fs::write(folder.path().join("token"), "  of-home\n").unwrap();
        std::fs::write(&other, "of-path\r\n").unwrap();
        let token = |variables: &[(&str, &str)]| {
            let found = with(variables, |environment| environment.token()).unwrap();
            found.map(|token| token.header.to_str().unwrap().to_owned())
        };
        let path = ("HF_TOKEN_PATH", other.to_str().unwrap());
        let home = ("HF_HOME", home);
        assert_eq!(token(&[("HF_TOKEN", " a\n"), path, home]).unwrap(), "Bearer a");
        assert_eq!(token(&[("HF_TOKEN", " "), ("HUGGING_FACE_HUB_TOKEN", "b"), path]).unwrap(), "Bearer b");
        assert_eq!(token(&[path, home]).unwrap(), "Bearer of-path");
        assert_eq!(token(&[home]).unwrap(), "Bearer of-home");
        // Wherever the models lie.
        assert_eq!(token(&[home, ("HF_HUB_CACHE", "/elsewhere")]).unwrap(), "Bearer of-home");
        assert_eq!(token(&[home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_HOME", "/nowhere")]), None);
        assert_eq!(token(&[]), None);
        let wrong = with(&[("HF_TOKEN", "se\ncret")], |environment| environment.token()).unwrap_err();
        assert_eq!(wrong, "the token in HF_TOKEN has characters that no token has; copy it again");
        let folder = with(&[("HF_TOKEN_PATH", folder.path().to_str().unwrap())], |e| e.token()).unwrap_err();
        assert!(folder.starts_with("the token can't be read: can't read ") && folder.contains("is a folder"));
    }

    #[test]
    fn offline_endpoint_and_time_are_read_or_refused() {
        let offline = |name, value| with(&[(name, value)], |environment| environment.offline());
        for yes in ["1", "on", "YES", "True"] {
            assert_eq!(offline("HF_HUB_OFFLINE", yes), Some("HF_HUB_OFFLINE"));
            assert_eq!(offline("TRANSFORMERS_OFFLINE", yes), Some("TRANSFORMERS_OFFLINE"));
        }
        for no in ["", "0", "no", "false"] {
            assert_eq!(offline("HF_HUB_OFFLINE", no), None);
        }
        let endpoint = |value| with(&[("HF_ENDPOINT", value)], |environment| environment.endpoint());
        assert_eq!(endpoint("").unwrap().as_str(), "https://huggingface.co/");
        assert_eq!(endpoint("http://mirror.lan/hf//").unwrap().as_str(), "http://mirror.lan/hf");
        for wrong in ["mirror.lan", "file:///x", "https://u:secret@h", "https://h/?secret", "https://h/#secret"] {
            let error = endpoint(wrong).unwrap_err();
            assert!(error.contains("set it to an address such as") && !error.contains("secret"), "{wrong}: {error}");
        }
        let silence = |value| with(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)], |environment| environment.silence());
        assert_eq!(silence("").unwrap(), SILENCE);
        assert_eq!(silence("2").unwrap(), Duration::from_secs(2));
        assert_eq!(silence("86400").unwrap(), Duration::from_secs(86_400));
        for wrong in ["0", "soon", "0.001", "-1", "86401", "1e3", "inf", "18446744073709551616"] {
            assert_eq!(
                silence(wrong).unwrap_err(),
                format!(
                    "HF_HUB_DOWNLOAD_TIMEOUT is '{wrong}', and what is wanted is a whole number of seconds from 1 to 86,400; set it \
                     to such as 30"
                )
            );
        }
    }

    #[test]
    fn a_place_that_is_no_folder_is_named_with_its_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let check = |name: &'static str, value: &Path| {
            with(&[(name, value.to_str().unwrap())], |environment| {
                environment.check_place(&environment.cache().unwrap().unwrap())
            })
        };
        for name in ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"] {
            for below in ["", "a/b"] {
                assert_eq!(check(name, &folder.path().join("new").join(below)), Ok(()));
                let error = check(name, &file.join(below)).unwrap_err();
                assert!(error.starts_with(&format!("by {name} the models' folder is {}", file.display())), "{error}");
                let advice = format!(
                    "and {} is no folder; set {name} to a folder, or HF_HUB_CACHE to one for models alone",
                    file.display()
                );
                assert!(error.ends_with(&advice), "{error}");
            }
            assert_eq!(check(name, folder.path()), Ok(()));
        }
    }
}
