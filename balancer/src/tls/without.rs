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
