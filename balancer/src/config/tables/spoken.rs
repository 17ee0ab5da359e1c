//! How endpoints of a pool are spoken to: `tls`, `http2`, `proxy_protocol`. Decides which of them go together; called by [`super::pool`];
//! never speaks.

use super::proxy_protocol::ProxyProtocol;
use super::upstream_tls::UpstreamTls;
use super::{http2, proxy_protocol, upstream_tls};
use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// What the keys say.
pub(super) struct Spoken {
    pub(super) tls: Option<UpstreamTls>,
    pub(super) http2: bool,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
}

/// The keys of pool `item`, of whose endpoints some may be `at_sockets`.
pub(super) fn read(section: &mut Section<'_>, item: &Item<'_>, at_sockets: bool) -> Spoken {
    let proxy_protocol = proxy_protocol::read(section);
    let http2 = http2::read(section, "http2").unwrap_or(false);
    if http2 && proxy_protocol.is_some() {
        item.key_wrong(
            format!("pool {} has `http2` and `proxy_protocol`", quote(item.key)),
            "clients share connections of HTTP/2, so that no header tells whose they are: leave one of the two out",
        );
    }
    let tls_item = section.take("tls");
    let tls = tls_item.as_ref().and_then(upstream_tls::read);
    if let (Some(item), Some(tls)) = (&tls_item, &tls) {
        upstream_tls::need_name(item, tls, at_sockets);
    }
    Spoken { tls, http2, proxy_protocol }
}
