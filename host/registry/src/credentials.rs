//! Who asks: what `docker login` or `podman login` left for a registry, in its file or in a credential helper that the file names.
//!
//! The files are looked through in the order of containers-auth.json(5), which podman, skopeo and buildah share.

mod helper;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::file::{self, Unread};
use crate::text::shown;

/// Where Docker keeps what it has for its own registry: an address of old.
const DOCKER_IO: &str = "https://index.docker.io/v1/";
const MAX_FILE: u64 = 1 << 20;
/// A helper may ask its user for something.
const HELPER_TIME: Duration = Duration::from_secs(120);

/// A name and a password. It has no `Debug`, so that nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What is known for a repository of a registry; without anything, nobody. The error says why what is there can't be used.
pub(crate) fn of(registry: &str, repository: &str) -> Result<Option<Login>, String> {
    from(|name| std::env::var_os(name), registry, repository)
}

fn from(
    environment: impl Fn(&str) -> Option<OsString>,
    registry: &str,
    repository: &str,
) -> Result<Option<Login>, String> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(named) = set("REGISTRY_AUTH_FILE") {
        let path = PathBuf::from(named);
        let text = file::read(&path, MAX_FILE, true)
            .map_err(|error| format!("REGISTRY_AUTH_FILE names {}, which can't be read ({error})", path.display()))?;
        return in_file(&path, &text, registry, repository);
    }
    let home = || set("HOME").map(PathBuf::from);
    let folder =
        |name: &str, default: &str| set(name).map(PathBuf::from).or_else(|| home().map(|home| home.join(default)));
    let files = [
        set("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("containers/auth.json")),
        folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("containers/auth.json")),
        folder("DOCKER_CONFIG", ".docker").map(|folder| folder.join("config.json")),
    ];
    for path in files.into_iter().flatten() {
        let text = match file::read(&path, MAX_FILE, true) {
            Ok(text) => text,
            Err(Unread::System(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(format!("{} can't be read ({error})", path.display())),
        };
        if let Some(found) = in_file(&path, &text, registry, repository)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The parts of such a file that count here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Entry>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// `None` where the file has nothing for it.
fn in_file(path: &Path, text: &[u8], registry: &str, repository: &str) -> Result<Option<Login>, String> {
    let unusable = |what: String| format!("{} can't be used for it ({what})", path.display());
    let token = || {
        Err(format!(
            "what {} has for it is an identity token, which harness can't use; log in with a password or an access token",
            path.display()
        ))
    };
    // Where a value is wrong, serde_json would say it, and it may be a password.
    let file: File = serde_json::from_slice(text).map_err(|error| {
        unusable(format!("it is not written as it should be at line {}, column {}", error.line(), error.column()))
    })?;
    let auths = file.auths.unwrap_or_default();
    let key = key(&auths, registry, repository);
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let named = file.cred_helpers.unwrap_or_default().remove(&key).filter(|helper| !helper.is_empty());
    if named.is_none()
        && let Some(entry) = entry(&auths, &key)
    {
        if set(&entry.identitytoken).is_some() {
            return token();
        }
        if let Some(auth) = set(&entry.auth) {
            return decoded(&auth)
                .map(Some)
                .ok_or_else(|| unusable("its 'auth' is no base64 of a name and a password".into()));
        }
        if let (Some(user), Some(password)) = (&entry.username, &entry.password) {
            return Ok(Some(Login { user: user.clone(), password: password.clone() }));
        }
    }
    let Some(helper) = named.or(file.creds_store.filter(|helper| !helper.is_empty())) else { return Ok(None) };
    match helper::get(&helper, &key, HELPER_TIME).map_err(unusable)? {
        helper::Said::Login(login) => Ok(Some(login)),
        helper::Said::IdentityToken => token(),
        // A helper for every registry fails for those that it has nothing for.
        helper::Said::Nothing(why) => {
            tracing::info!("docker-credential-{helper} gave nothing for {registry}: {}", shown(&why, 300));
            Ok(None)
        }
    }
}

/// What the file calls it: podman keeps entries for repositories and what is above them, too, and the closest counts.
fn key(auths: &BTreeMap<String, Entry>, registry: &str, repository: &str) -> String {
    let whole = format!("{registry}/{repository}");
    let mut name = whole.as_str();
    loop {
        if auths.contains_key(name) {
            return name.to_owned();
        }
        match name.rsplit_once('/') {
            Some((above, _)) => name = above,
            None if registry == "docker.io" => return DOCKER_IO.to_owned(),
            None => return registry.to_owned(),
        }
    }
}

/// By its own name, or by an address of the same registry, as old versions of Docker wrote it.
fn entry<'a>(auths: &'a BTreeMap<String, Entry>, key: &str) -> Option<&'a Entry> {
    auths.get(key).or_else(|| auths.iter().find(|(known, _)| host(known) == host(key)).map(|(_, entry)| entry))
}

fn host(key: &str) -> &str {
    let host = match key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
        Some(address) => address.split('/').next().unwrap_or_default(),
        None => key,
    };
    match host {
        "registry-1.docker.io" | "docker.io" => "index.docker.io",
        host => host,
    }
}

fn decoded(auth: &str) -> Option<Login> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(auth).ok()?;
    let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Login { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `user:password`, as both tools write it.
    fn entry(encoded: &str) -> String {
        format!(r#"{{"auth": "{encoded}"}}"#)
    }

    const PODMAN: &str = "cG9kbWFuOnA="; // podman:p
    const USER: &str = "dXNlcjp1"; // user:u
    const DOCKER: &str = "ZG9ja2VyOmQ="; // docker:d

    struct Machine {
        folder: tempfile::TempDir,
        variables: Vec<(&'static str, OsString)>,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let variables = vec![("HOME", folder.path().into()), ("XDG_RUNTIME_DIR", folder.path().join("run").into())];
            Self { folder, variables }
        }

        fn write(&self, path: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        fn auths(&self, path: &str, auths: &[(&str, &str)]) -> PathBuf {
            let auths: Vec<String> = auths.iter().map(|(key, auth)| format!(r#""{key}": {}"#, entry(auth))).collect();
            self.write(path, &format!(r#"{{"auths": {{{}}}}}"#, auths.join(", ")))
        }

        fn of(&self, registry: &str, repository: &str) -> Result<Option<Login>, String> {
            let variables = self.variables.clone();
            from(
                move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()),
                registry,
                repository,
            )
        }

        fn error(&self, registry: &str, repository: &str) -> String {
            self.of(registry, repository).err().unwrap()
        }

        fn user(&self, registry: &str, repository: &str) -> Option<String> {
            self.of(registry, repository).unwrap().map(|login| login.user)
        }
    }

    const RUNTIME: &str = "run/containers/auth.json";
    const CONFIG: &str = ".config/containers/auth.json";
    const DOCKERS: &str = ".docker/config.json";

    #[test]
    fn the_first_file_that_has_something_counts() {
        let mut machine = Machine::new();
        assert_eq!(machine.user("reg.io", "a/b"), None);
        machine.auths(DOCKERS, &[("reg.io", DOCKER), ("other.io", DOCKER)]);
        assert_eq!(machine.user("reg.io", "a/b").unwrap(), "docker");
        machine.auths(CONFIG, &[("reg.io", USER)]);
        assert_eq!(machine.user("reg.io", "a/b").unwrap(), "user");
        machine.auths(RUNTIME, &[("reg.io", PODMAN)]);
        assert_eq!(machine.user("reg.io", "a/b").unwrap(), "podman");
        assert_eq!(machine.user("other.io", "a/b").unwrap(), "docker");
        // A file that is named is the only one.
        let named = machine.auths("named.json", &[("third.io", USER)]);
        machine.variables.push(("REGISTRY_AUTH_FILE", named.into()));
        assert_eq!((machine.user("reg.io", "a/b"), machine.user("third.io", "a").unwrap()), (None, "user".to_owned()));
    }

    #[test]
    fn the_closest_entry_counts() {
        let machine = Machine::new();
        machine.auths(RUNTIME, &[("reg.io", PODMAN), ("reg.io/team", USER), ("reg.io/team/mine", DOCKER)]);
        for (repository, user) in
            [("team/mine", "docker"), ("team/mine/more", "docker"), ("team/other", "user"), ("teams", "podman")]
        {
            assert_eq!(machine.user("reg.io", repository).unwrap(), user, "{repository}");
        }
    }

    #[test]
    fn dockers_own_registry_has_two_names() {
        for key in ["docker.io", DOCKER_IO] {
            let machine = Machine::new();
            machine.auths(DOCKERS, &[(key, DOCKER)]);
            assert_eq!(machine.user("docker.io", "library/a").unwrap(), "docker", "{key}");
        }
    }

    #[test]
    fn what_can_not_be_used_says_where_it_is() {
        let mut machine = Machine::new();
        let path = machine.write(DOCKERS, r#"{"auths": {"reg.io": {"auth": "Og==", "identitytoken": "x"}}}"#);
        let error = machine.error("reg.io", "a");
        assert!(error.contains("identity token") && error.contains(path.to_str().unwrap()), "{error}");
        let path = machine.write(RUNTIME, "{nonsense");
        let error = machine.error("reg.io", "a");
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains("line 1"), "{error}");
        machine.variables.push(("REGISTRY_AUTH_FILE", machine.folder.path().join("gone.json").into()));
        let error = machine.error("reg.io", "a");
        assert!(error.starts_with("REGISTRY_AUTH_FILE names ") && error.contains("gone.json"), "{error}");
    }

    #[test]
    fn a_password_is_kept_in_three_ways() {
        let machine = Machine::new();
        for (entry, password) in [
            (r#"{"auth": "dXNlcjp1"}"#, "u"),
            (r#"{"auth": "dXNlcjpwOnE"}"#, "p:q"),
            (r#"{"username": "user", "password": "u"}"#, "u"),
            (r#"{"auth": "dXNlcjp1", "username": "other", "password": "x"}"#, "u"),
        ] {
            machine.write(DOCKERS, &format!(r#"{{"auths": {{"https://reg.io/v2/": {entry}}}, "credsStore": ""}}"#));
            let login = machine.of("reg.io", "a").unwrap().unwrap();
            assert_eq!((login.user.as_str(), login.password.as_str()), ("user", password), "{entry}");
            assert!(machine.of("reg.io:5000", "a").unwrap().is_none());
        }
        for entry in [r#"{"auth": "secret!"}"#, r#"{"auth": "c2VjcmV0"}"#, r#"{"auth": ["secret"]}"#, r#""secret""#] {
            machine.write(DOCKERS, &format!(r#"{{"auths": {{"reg.io": {entry}}}}}"#));
            let error = machine.error("reg.io", "a");
            assert!(error.contains("config.json can't be used") && !error.contains("ecret"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_none_or_too_long_is_not_read() {
        let mut machine = Machine::new();
        machine.write(DOCKERS, &" ".repeat(MAX_FILE as usize + 1));
        let error = machine.error("reg.io", "a");
        assert!(error.contains("more than 1048576 bytes"), "{error}");
        machine.variables.push(("REGISTRY_AUTH_FILE", "/dev/zero".into()));
        let error = machine.error("reg.io", "a");
        assert!(error.contains("REGISTRY_AUTH_FILE names /dev/zero") && error.contains("no regular file"), "{error}");
    }
}
