//! What `balancer check` says of TLS: files that cannot be used, and certificates that the other side will refuse. Decides nothing; called by
//! `check`. Never shows a certificate to anybody.

use crate::config::Config;
use crate::tls::EndpointTls;

/// Certificates that cannot be shown, or that clients will refuse.
#[cfg(feature = "tls")]
pub(super) fn of_certificates(config: &Config) -> Vec<String> {
    let loaded = config.tls.certificates.iter().map(crate::tls::Pair::load);
    loaded.flat_map(|loaded| loaded.map_or_else(|error| vec![error.to_string()], |pair| pair.oddities)).collect()
}

#[cfg(not(feature = "tls"))]
pub(super) fn of_certificates(_: &Config) -> Vec<String> {
    Vec::new()
}

/// Whom pools are to believe, and what they are to show to endpoints.
pub(super) fn of_pools(config: &Config) -> Vec<String> {
    let of_pool = |pool: &crate::config::Pool| {
        let why = match EndpointTls::load(pool.tls.as_ref()?, pool.http2) {
            Ok(tls) => tls.oddity?,
            Err(error) => error,
        };
        Some(format!("pool {}: {why}", pool.name))
    };
    config.pools.iter().filter_map(of_pool).collect()
}
