//! Who asks: what `docker login` left for the registry, in Docker's configuration or one of its credential helpers.

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use oci_client::secrets::RegistryAuth;

/// What Docker's configuration has for a registry; without anything, nobody. The error says why what it has can't be used.
pub(crate) fn of(registry: &str) -> Result<RegistryAuth, String> {
    // Docker keeps its own registry under an address of old.
    let server = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    match get_credential(server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err("what Docker's configuration has for it is an identity token, which harness can't use; log in with a password or \
                 an access token"
                .into())
        }
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        // A helper for every registry fails for those that it has nothing for.
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
            tracing::info!("{helper} gave nothing for {registry}: {} {}", stdout.trim(), stderr.trim());
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => Err(format!("Docker's configuration can't be used for it ({})", error.to_string().trim_end())),
    }
}
