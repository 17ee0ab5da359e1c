//! In the place of TLS, where the program is built without the feature `tls`: `config` refuses listeners that would need it.

mod standing;

pub use standing::Standing;

/// Certificates, of which there are none.
#[derive(Debug, Default)]
pub struct Certificates;

impl Certificates {
    /// Whether there is one for this host: never.
    pub fn has(&self, _: &[u8]) -> bool {
        false
    }

    /// Nobody asks.
    pub fn answer_to(&self, _: &str) -> Option<String> {
        None
    }

    /// How it is with all of them.
    pub fn standings(&self) -> Vec<Standing> {
        Vec::new()
    }
}

/// What it takes to speak TLS to endpoints, which nobody does.
#[derive(Debug, Clone)]
pub struct EndpointTls {
    /// Nothing.
    pub oddity: Option<String>,
}

impl EndpointTls {
    /// Nothing is read.
    ///
    /// # Errors
    /// None.
    pub fn load(_: &crate::config::UpstreamTls, _: bool) -> Result<Self, String> {
        Ok(Self { oddity: None })
    }

    /// Whether both believe and show the same.
    pub fn is_same_as(&self, _: &Self) -> bool {
        true
    }
}
