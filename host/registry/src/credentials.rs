//! Who asks: what `docker login` or `podman login` left for a registry, in its file or in a credential helper that the file names.
//!
//! The files are looked through in the order of containers-auth.json(5), which podman, skopeo and buildah share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

/// Where Docker keeps what it has for its own registry: an address of old.
const DOCKER_IO: &str = "https://index.docker.io/v1/";

/// What is known for a repository of a registry; without anything, nobody. The error says why what is there can't be used.
pub(crate) fn of(registry: &str, repository: &str) -> Result<RegistryAuth, String> {
    from(|name| std::env::var_os(name), registry, repository)
}

fn from(
    environment: impl Fn(&str) -> Option<OsString>,
    registry: &str,
    repository: &str,
) -> Result<RegistryAuth, String> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(named) = set("REGISTRY_AUTH_FILE") {
        let path = PathBuf::from(named);
        let text = std::fs::read(&path)
            .map_err(|error| format!("REGISTRY_AUTH_FILE names {}, which can't be read ({error})", path.display()))?;
        return Ok(in_file(&path, &text, registry, repository)?.unwrap_or(RegistryAuth::Anonymous));
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
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(format!("{} can't be read ({error})", path.display())),
        };
        if let Some(found) = in_file(&path, &text, registry, repository)? {
            return Ok(found);
        }
    }
    Ok(RegistryAuth::Anonymous)
}

/// The part of such a file that says what it has entries for.
#[derive(Deserialize)]
struct Entries {
    #[serde(default)]
    auths: BTreeMap<String, serde_json::Value>,
}

/// `None` where the file has nothing for it.
fn in_file(path: &Path, text: &[u8], registry: &str, repository: &str) -> Result<Option<RegistryAuth>, String> {
    let unusable = |what: String| format!("{} can't be used for it ({what})", path.display());
    let entries: Entries = serde_json::from_slice(text).map_err(|error| unusable(error.to_string()))?;
    let key = key(&entries, registry, repository);
    match get_credential_from_reader(text, &key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(RegistryAuth::Basic(user, password))),
        Ok(DockerCredential::IdentityToken(_)) => Err(format!(
            "what {} has for it is an identity token, which harness can't use; log in with a password or an access token",
            path.display()
        )),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // A helper for every registry fails for those that it has nothing for.
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
            tracing::info!("{helper} gave nothing for {registry}: {} {}", stdout.trim(), stderr.trim());
            Ok(None)
        }
        Err(error) => Err(unusable(error.to_string().trim_end().to_owned())),
    }
}

/// What the file calls it: podman keeps entries for repositories and what is above them, too, and the closest counts.
fn key(entries: &Entries, registry: &str, repository: &str) -> String {
    let whole = format!("{registry}/{repository}");
    let mut name = whole.as_str();
    loop {
        if entries.auths.contains_key(name) {
            return name.to_owned();
        }
        match name.rsplit_once('/') {
            Some((above, _)) => name = above,
            None if registry == "docker.io" => return DOCKER_IO.to_owned(),
            None => return registry.to_owned(),
        }
    }
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

        fn of(&self, registry: &str, repository: &str) -> Result<RegistryAuth, String> {
            let variables = self.variables.clone();
            from(
                move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()),
                registry,
                repository,
            )
        }

        fn user(&self, registry: &str, repository: &str) -> Option<String> {
            match self.of(registry, repository).unwrap() {
                RegistryAuth::Basic(user, _) => Some(user),
                RegistryAuth::Anonymous => None,
                RegistryAuth::Bearer(_) => panic!("a token that nobody gave"),
            }
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
        let error = machine.of("reg.io", "a").unwrap_err();
        assert!(error.contains("identity token") && error.contains(path.to_str().unwrap()), "{error}");
        let path = machine.write(RUNTIME, "{nonsense");
        let error = machine.of("reg.io", "a").unwrap_err();
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains("line 1"), "{error}");
        machine.variables.push(("REGISTRY_AUTH_FILE", machine.folder.path().join("gone.json").into()));
        let error = machine.of("reg.io", "a").unwrap_err();
        assert!(error.starts_with("REGISTRY_AUTH_FILE names ") && error.contains("gone.json"), "{error}");
    }
}
