//! The account with a CA: the one that is kept, else a new one.

use std::path::PathBuf;

use instant_acme::{Account, ExternalAccountKey, NewAccount};
use tokio::task::spawn_blocking;

use super::failure::OrderFailure;
use super::http::Http;
use super::store::{KeptAccount, Store};
use crate::config::{self, regular};
use crate::tls;

/// The account at `url`, of which the directory has been read.
///
/// # Errors
/// Why there is none.
pub(super) async fn open(acme: &config::Acme, url: &str, store: &Store) -> Result<Account, OrderFailure> {
    let http = client(acme)?;
    let reading = (store.clone(), url.to_owned());
    let kept = apart(move || reading.0.account(&reading.1)).await?;
    let key_id = acme.eab.as_ref().map(|eab| eab.key_id.clone());
    if let Some(kept) = kept.filter(|kept| kept.key_id == key_id) {
        return again(acme, url, store, kept, http).await;
    }
    let contact = contact(acme);
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let asked = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let eab = acme.eab.as_ref().map(|eab| ExternalAccountKey::new(eab.key_id.clone(), &eab.mac_key));
    let made = Account::builder_with_http(Box::new(http)).create(&asked, url.to_owned(), eab.as_ref()).await;
    let (account, credentials) = made?;
    keep(store, url, KeptAccount { credentials, email: acme.email.clone(), key_id }).await?;
    Ok(account)
}

/// The account at `url` that is kept; `None` where there is none, or its directory cannot be read.
pub(super) async fn known(acme: &config::Acme, url: &str, store: &Store) -> Option<Account> {
    let http = client(acme).ok()?;
    let (store, url) = (store.clone(), url.to_owned());
    let kept = apart(move || store.account(&url)).await.ok()??;
    Account::builder_with_http(Box::new(http)).from_credentials(kept.credentials).await.ok()
}

/// The CA does not know the account any more: the next order makes a new one.
pub(super) async fn forget(url: &str, store: &Store) {
    let (store, url) = (store.clone(), url.to_owned());
    // It fails only where the runtime ends.
    let _ = spawn_blocking(move || store.forget_account(&url)).await;
}

/// One that is known, whose address of mail may be another one now.
async fn again(
    acme: &config::Acme,
    url: &str,
    store: &Store,
    kept: KeptAccount,
    http: Http,
) -> Result<Account, OrderFailure> {
    let is_told = kept.email == acme.email;
    let (again, key_id) = (kept.credentials, kept.key_id);
    // They are opaque, and wanted twice.
    let text = serde_json::to_value(&again).map_err(|error| OrderFailure::other(error.to_string()))?;
    let account = Account::builder_with_http(Box::new(http)).from_credentials(again).await?;
    if !is_told {
        let contact = contact(acme);
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await?;
        let credentials = serde_json::from_value(text).map_err(|error| OrderFailure::other(error.to_string()))?;
        keep(store, url, KeptAccount { credentials, email: acme.email.clone(), key_id }).await?;
    }
    Ok(account)
}

async fn keep(store: &Store, url: &str, kept: KeptAccount) -> Result<(), OrderFailure> {
    let (store, url) = (store.clone(), url.to_owned());
    let written = apart(move || store.keep_account(&url, &kept)).await?;
    written.map_err(|error| OrderFailure::other(format!("the account cannot be kept: {error}")))
}

fn contact(acme: &config::Acme) -> Option<String> {
    Some(format!("mailto:{}", acme.email.as_ref()?))
}

fn client(acme: &config::Acme) -> Result<Http, OrderFailure> {
    let ca = acme.directory_ca.as_ref();
    let cannot = |path: &PathBuf, error| format!("cannot read {}: {error}", path.display());
    let pem = ca.map(|path| regular::read(path, BYTES_MAX).map_err(|error| cannot(path, error)));
    let config = pem.transpose().and_then(|pem| {
        let named = |error: String| ca.map_or_else(String::new, |path| format!("{} ", path.display())) + &error;
        tls::asking(pem.as_deref()).map_err(named)
    });
    config.map(Http).map_err(OrderFailure::other)
}

/// On a thread where a disk may take its time.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, OrderFailure> {
    spawn_blocking(work).await.map_err(|_| OrderFailure::other("balancer ends"))
}

/// Of a file with those who vouch for others.
const BYTES_MAX: u64 = 4 << 20;
