//! What is kept from one start to the next: accounts and certificates, in a directory that is ours alone.
//!
//! Without a place that can be written to, nothing is ordered: a program that is started again and again would use up what a CA gives within
//! a week. One process has it at a time, by a lock that ends with the process.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use instant_acme::AccountCredentials;
use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::tls::{Pair, Shown};
use crate::trust;

/// The directory. To read in it, nobody has to be asked.
#[derive(Debug, Clone)]
pub(super) struct Store {
    directory: PathBuf,
}

/// It is ours to write to, as long as this is kept.
#[derive(Debug, Clone)]
pub(super) struct StoreClaim {
    _lock: Arc<File>,
}

/// An account with a CA.
pub(super) struct KeptAccount {
    pub(super) credentials: AccountCredentials,
    /// The address that the CA knows.
    pub(super) email: Option<String>,
    /// The account that it was joined to.
    pub(super) key_id: Option<String>,
}

impl Store {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { directory: state_dir.join("acme") }
    }

    /// Makes the directory where it is not there, and finds out whether it can be written to, unless somebody else does.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(super) fn claim(&self, claim: Option<StoreClaim>) -> Result<StoreClaim, String> {
        let directory = &self.directory;
        let failed = |error: io::Error| {
            format!(
                "it cannot be kept in {}: {error}; balancer's account has to be allowed to write there",
                directory.display()
            )
        };
        private(directory).map_err(failed)?;
        let claim = match claim {
            Some(claim) => claim,
            None => self.lock().map_err(failed)?.ok_or_else(|| {
                format!("another balancer has {}: end it, or give each a state_dir of its own", directory.display())
            })?,
        };
        let trial = directory.join("trial");
        let written = trust::replace(&trial, b"whether this can be written to\n");
        written.and_then(|()| fs::remove_file(&trial)).map_err(failed)?;
        Ok(claim)
    }

    /// Nothing where somebody else has it.
    fn lock(&self) -> io::Result<Option<StoreClaim>> {
        let lock = trust::append(&self.directory.join("lock"), 0o600)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(StoreClaim { _lock: Arc::new(lock) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The certificate of a name that a CA has given; `None`: none that can be shown, which is told of where there is one.
    pub(super) fn certificate(&self, url: &str, name: &str) -> Option<Pair> {
        let path = self.path(url, &format!("{name}.pem"));
        let bytes = match trust::read_own(&path, BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            read => read.map_err(|error| error.to_string()),
        };
        let pair = bytes.and_then(|bytes| Self::pair(&bytes, name, &Shown::one(&path)));
        pair.map_err(|why| tracing::warn!("the certificate in {} is not used: {why}", path.display())).ok()
    }

    /// What is kept in one text, and is for that name.
    pub(super) fn pair(bytes: &[u8], name: &str, shown: &Shown) -> Result<Pair, String> {
        let pair = Pair::of_pem(bytes, bytes, shown).map_err(|error| error.to_string())?;
        match pair.certificate.names.iter().any(|known| known == name) {
            true => Ok(pair),
            false => Err(format!("it is for {}", pair.certificate.shown())),
        }
    }

    /// Keeps the certificate of a name: with its key, in one file, so that the two always fit.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn keep_certificate(&self, url: &str, name: &str, text: &str) -> io::Result<()> {
        self.keep(url, &format!("{name}.pem"), text.as_bytes())
    }

    /// The account with a CA; `None`: none that can be used, which is told of where there is one.
    pub(super) fn account(&self, url: &str) -> Option<KeptAccount> {
        let path = self.path(url, ACCOUNT);
        let read = match trust::read_own(&path, BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            read => read.map_err(|error| error.to_string()).and_then(|bytes| KeptAccount::parse(&bytes)),
        };
        read.map_err(|why| {
            tracing::warn!("the account in {} is not used, and a new one is made: {why}", path.display())
        })
        .ok()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn keep_account(&self, url: &str, kept: &KeptAccount) -> io::Result<()> {
        self.keep(url, ACCOUNT, kept.to_json()?.to_string().as_bytes())
    }

    /// The CA does not know it any more.
    pub(super) fn forget_account(&self, url: &str) {
        // What is not there any more need not be removed.
        let _ = fs::remove_file(self.path(url, ACCOUNT));
    }

    fn keep(&self, url: &str, file: &str, bytes: &[u8]) -> io::Result<()> {
        private(&self.directory.join(folder(url)))?;
        trust::replace(&self.path(url, file), bytes)
    }

    fn path(&self, url: &str, file: &str) -> PathBuf {
        self.directory.join(folder(url)).join(file)
    }
}

impl KeptAccount {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if value["version"] != VERSION {
            return Err("the file is of another version".to_owned());
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (email, key_id) = (text(&value["email"]), text(&value["key_id"]));
        let credentials = serde_json::from_value(value["credentials"].take()).map_err(|error| error.to_string())?;
        Ok(Self { credentials, email, key_id })
    }

    fn to_json(&self) -> io::Result<Value> {
        let credentials = serde_json::to_value(&self.credentials)?;
        Ok(json!({ "version": VERSION, "email": self.email, "key_id": self.key_id, "credentials": credentials }))
    }
}

/// A directory that we alone may enter.
fn private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            trust::folder(path, geteuid())?;
            fs::set_permissions(path, Permissions::from_mode(MODE))
        }
        made => made,
    }
}

/// What a CA's folder is called: its address, without what a file's name cannot have.
fn folder(url: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    url.trim_start_matches("https://").chars().map(plain).collect()
}

const ACCOUNT: &str = "account.json";
const VERSION: u64 = 1;
/// Ours alone: keys are in there.
const MODE: u32 = 0o700;
/// Far above any chain.
const BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
