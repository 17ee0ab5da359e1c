//! What is done at a CA for one name, apart from everything else: it may take minutes, and may be given up at any time.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier, Error};
use jiff::Timestamp;

use super::account::{self, apart};
use super::failure::{OrderFailure, OrderReason};
use super::history::Challenge;
use super::order::{self, OrderWish};
use super::renewal::Suggested;
use super::store::{Store, StoreClaim};
use crate::config;
use crate::tls::{Certificates, Pair, Shown};

/// What it takes.
pub(super) struct Job {
    pub(super) acme: config::Acme,
    /// The directory that is asked; not the configured one where the order is one for trial.
    pub(super) url: String,
    pub(super) store: Option<Store>,
    pub(super) claim: Option<StoreClaim>,
    pub(super) account: Option<Account>,
    pub(super) certificates: Arc<Certificates>,
}

/// What has become of an order.
pub(super) struct Ordered {
    pub(super) claim: Option<StoreClaim>,
    pub(super) account: Option<Account>,
    pub(super) result: Result<Pair, OrderFailure>,
}

impl Job {
    /// Orders a certificate for a name, and keeps it unless it is for `trial`.
    pub(super) async fn order(
        mut self,
        name: &str,
        challenge: Challenge,
        trial: bool,
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Ordered {
        let result = self.try_order(OrderWish { name, challenge, replaces }, trial).await;
        if let (Err(OrderFailure { reason: OrderReason::NoAccount, .. }), Some(store)) = (&result, &self.store) {
            account::forget(&self.url, store).await;
            self.account = None;
        }
        Ordered { claim: self.claim, account: self.account, result }
    }

    async fn try_order(&mut self, wish: OrderWish<'_>, trial: bool) -> Result<Pair, OrderFailure> {
        let store = self.claimed().await?;
        let account = match &self.account {
            Some(account) => account.clone(),
            None => account::open(&self.acme, &self.url, &store).await?,
        };
        self.account = Some(account.clone());
        let name = wish.name.to_owned();
        let issued = order::obtain(&account, wish, &self.certificates).await?;
        let text = issued.key + &issued.certificate;
        let pair = Store::pair(text.as_bytes(), &name, &Shown::called("what the CA has given"))
            .map_err(OrderFailure::other)?;
        if !trial {
            let (url, kept) = (self.url.clone(), name.clone());
            if let Err(error) = apart(move || store.keep_certificate(&url, &kept, &text)).await? {
                tracing::error!("{name}: its certificate cannot be kept, and is ordered anew after a restart: {error}");
            }
        }
        Ok(pair)
    }

    /// The store, once it is sure that what is obtained can be kept in it.
    async fn claimed(&mut self) -> Result<Store, OrderFailure> {
        let Some(store) = self.store.clone() else {
            return Err(OrderFailure::other(
                "there is no state_dir to keep it in, so that none is ordered: write state_dir = \"/var/lib/balancer\", a directory \
                 that balancer's account may write to",
            ));
        };
        let (claiming, claim) = (store.clone(), self.claim.take());
        self.claim = Some(apart(move || claiming.claim(claim)).await?.map_err(OrderFailure::other)?);
        Ok(store)
    }

    /// Asks when to renew; `None`: the CA has nothing to say about that. Else when to ask again.
    pub(super) async fn ask(
        self,
        id: &CertificateIdentifier<'_>,
        now: Timestamp,
    ) -> (Option<Account>, Result<Option<Suggested>, Duration>) {
        let account = match (self.account, &self.store) {
            (Some(account), _) => Some(account),
            (None, Some(store)) => account::known(&self.acme, &self.url, store).await,
            (None, None) => None,
        };
        let Some(account) = account else { return (None, Err(ASK_AGAIN)) };
        let answer = match account.renewal_info(id).await {
            Ok((info, wait)) => {
                let span = &info.suggested_window;
                let at = |moment: i64| Timestamp::from_second(moment).unwrap_or(now);
                let span = (at(span.start.unix_timestamp()), at(span.end.unix_timestamp()));
                Ok(Some(Suggested::of(span, wait, now, &mut rand::rng())))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => {
                tracing::debug!("the CA does not say when to renew: {error}");
                Err(ASK_AGAIN)
            }
        };
        (Some(account), answer)
    }
}

/// When the CA could not be asked.
const ASK_AGAIN: Duration = Duration::from_secs(3600);
