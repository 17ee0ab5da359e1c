//! What is ordered, and who shows what was obtained.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config;
use crate::tls::Pair;

/// What shows the certificate of a name to clients from now on; `None`: none any more.
pub type Show = Arc<dyn Fn(&str, Option<Pair>) + Send + Sync>;

/// What is ordered, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// Names, account and CA.
    pub acme: config::Acme,
    /// Where all of it is kept; `None`: nothing is ordered.
    pub state_dir: Option<PathBuf>,
    /// Whether somebody can ask us without TLS, as http-01 does.
    pub plain: bool,
}
