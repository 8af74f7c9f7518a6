//! What the fuzz targets in `tests/fuzz` reach of this crate beside its public parts: all that a registry answers.

use crate::layout;
use crate::network::address::Home;
use crate::network::challenge::{self, Challenge};
use crate::network::token;

/// Reads a manifest; returns the size of its component.
pub fn manifest(bytes: &[u8]) -> Result<u64, String> {
    layout::layer(bytes).map(|layer| layer.size)
}

/// Reads what a token server answers; returns the header, and whether it is kept out of logs.
pub fn token(bytes: &[u8]) -> Result<(Vec<u8>, bool), String> {
    token::authorization(bytes).map(|header| (header.as_bytes().to_vec(), header.is_sensitive()))
}

/// Reads how a registry asks who is there; returns the realm and the service of a token server.
pub fn challenge(headers: &[&[u8]]) -> Result<Option<(String, Option<String>)>, String> {
    let chosen = challenge::choose(headers.iter().copied())?;
    Ok(chosen.and_then(|chosen| match chosen {
        Challenge::Bearer { realm, service } => Some((realm, service)),
        Challenge::Basic => None,
    }))
}

/// Where a registry leads.
pub struct Led {
    /// The address.
    pub address: String,
    /// Whether it may have the registry's password.
    pub has_password: bool,
}

/// Follows an address that a registry names for its token server.
pub fn realm(host: &str, plain: bool, realm: &str) -> Result<Led, String> {
    let home = Home::new(host, plain, &[])?;
    let url = home.realm(realm)?;
    Ok(Led { has_password: home.may_have_password(&url).is_ok(), address: url.into() })
}

/// Follows a redirect of a registry.
pub fn redirect(host: &str, plain: bool, location: &str) -> Result<Led, String> {
    let home = Home::new(host, plain, &[])?;
    let url = home.next(&home.at("/v2/a/blobs/b"), location)?;
    Ok(Led { has_password: home.owns(&url), address: url.into() })
}
