//! What a registry and its token server answer. The first byte chooses what the rest is.
#![no_main]

use std::time::Duration;

use harness_core::text::deceives;
use harness_fuzz::bounds::within;
use harness_registry::{MOST_COMPONENT, fuzzing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    within(64 << 10 | 64 * bytes.len(), Duration::from_secs(2), || read(kind, bytes));
});

fn read(kind: u8, bytes: &[u8]) {
    let text = || std::str::from_utf8(bytes).unwrap_or_default();
    let registries = [("reg.io", false), ("lan:5000", true), ("127.0.0.1:5000", true)];
    match kind % 5 {
        0 => match fuzzing::manifest(bytes) {
            Ok(size) => assert!(size <= MOST_COMPONENT),
            Err(error) => plain(&error),
        },
        1 => match fuzzing::token(bytes) {
            Ok((header, hidden)) => assert!(hidden && header.iter().all(|byte| (b' '..=b'~').contains(byte))),
            Err(error) => plain(&error),
        },
        2 => {
            let headers: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
            match fuzzing::challenge(&headers) {
                Ok(Some((realm, _))) => registries.iter().for_each(|(host, plain)| led(host, *plain, &realm)),
                Ok(None) => {}
                Err(error) => plain(&error),
            }
        }
        3 => registries.iter().for_each(|(host, plain)| led(host, *plain, text())),
        _ => {
            for (host, plain_http) in registries {
                match fuzzing::redirect(host, plain_http, text()) {
                    Ok(led) => assert!(plain_http || led.address.starts_with("https://")),
                    Err(error) => plain(&error),
                }
            }
        }
    }
}

/// No address in plain HTTP follows one in TLS, and none that a registry in plain HTTP names has its password elsewhere.
fn led(host: &str, plain_http: bool, realm: &str) {
    match fuzzing::realm(host, plain_http, realm) {
        Ok(led) => {
            assert!(plain_http || led.address.starts_with("https://"), "{}", led.address);
            assert!(
                !led.address.contains('@') || !led.address[..].split('/').nth(2).is_some_and(|at| at.contains('@'))
            );
        }
        Err(error) => plain(&error),
    }
}

/// What is shown of an answer is short and drives no terminal.
fn plain(error: &str) {
    assert!(error.len() < 2000 && !error.contains(deceives), "{error:?}");
}
